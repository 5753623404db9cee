"""The report's page in a browser: filters, keyboard, narrow screens, and no request to anywhere."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_runs import make_challenge, make_run, write_image

from longcut.report.page import write_report

websocket = pytest.importorskip("websocket", reason="needs websocket-client, of the extra 'dev'")

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    "--remote-debugging-port=0",
)
CLASSES = ["dog", "<script>alert(1)</script>", "a class with quite a long name that has to be broken on a telephone"]
VISIBLE = "[...document.querySelectorAll('.card')].filter(card => card.checkVisibility()).length"

pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs chromium or google-chrome")


class Browser:
    """A page of a headless browser, spoken to by the DevTools protocol."""

    def __init__(self, address: str) -> None:
        self._socket = websocket.create_connection(address, timeout=30, suppress_origin=True, max_size=None)
        self._numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (answer := json.loads(self._socket.recv())).get("id") != number:
            self.events.append(answer)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def wait_for(self, event: str) -> None:
        while not any(e.get("method") == event for e in self.events):
            self.events.append(json.loads(self._socket.recv()))

    def evaluate(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def click(self, selector: str) -> None:
        """As a mouse does it, in the middle of the element."""
        place = self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect();"
            " return {x: r.x + r.width / 2, y: r.y + r.height / 2} })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def select(self, value: str) -> None:
        change = f"s.value = {json.dumps(value)}; s.dispatchEvent(new Event('input', {{bubbles: true}}))"
        self.evaluate(f"(() => {{ const s = document.querySelector('select'); {change} }})()")

    def press(self, key: str, code: int) -> None:
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def resize(self, width: int) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)

    def of(self, method: str) -> list[dict[str, Any]]:
        return [event["params"] for event in self.events if event.get("method") == method]

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    labels = ["erm", "clad", "a_method_with_a_name_that_is_longer_than_a_telephone_is_wide"]
    runs = []
    for i, label in enumerate(labels):
        method = "clad" if i else "erm"
        accuracies = (0.7, 0.5, 0.6, 0.4 + 0.05 * i, 0.3)
        runs.append(make_run(folder / label, accuracies, classes=CLASSES, method=method, preset=label))
        make_challenge(folder / "challenge", runs[-1], CLASSES)
        write_image(runs[-1] / "pictures" / "batch.jpg", seed=0, size=1200)
    return write_report(runs, folder / "a report.html")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The DevTools port of a browser with an empty profile."""
    profile = tmp_path_factory.mktemp("profile")
    with (profile / "log").open("w") as log:
        process = subprocess.Popen([str(BROWSER), *FLAGS, f"--user-data-dir={profile}"], stdout=log, stderr=log)
    port = profile / "DevToolsActivePort"
    try:
        deadline = time.monotonic() + 60
        while not (port.is_file() and port.read_text().count("\n")):
            assert process.poll() is None, (profile / "log").read_text()
            assert time.monotonic() < deadline, "the browser does not start"
            time.sleep(0.05)
        yield "ws://127.0.0.1:{}{}".format(*port.read_text().split())
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def browser(address: str, report: Path) -> Iterator[Browser]:
    """A new tab with the report in it."""
    front = Browser(address)
    target = front.call("Target.createTarget", url="about:blank")["targetId"]
    tab = Browser(f"{address.split('/devtools')[0]}/devtools/page/{target}")
    for domain in ("Page", "Runtime", "Log", "Network"):
        tab.call(f"{domain}.enable")
    tab.call("Page.navigate", url=report.as_uri())
    tab.wait_for("Page.loadEventFired")
    yield tab
    tab.close()
    front.call("Target.closeTarget", targetId=target)
    front.close()


def test_filters_choose_what_is_shown(browser: Browser) -> None:
    everything = browser.evaluate(VISIBLE)
    assert everything == 72
    browser.click('input[name=run][value="clad"]')
    assert browser.evaluate(VISIBLE) == 24
    browser.click('input[name=variant][value="original"]')
    assert browser.evaluate(VISIBLE) == 12
    browser.select("dog")
    assert browser.evaluate(VISIBLE) == 4
    assert browser.evaluate("document.getElementById('count').textContent") == "4 of 72 shown"
    browser.click("#all")
    assert browser.evaluate(VISIBLE) == everything


def test_filters_work_by_keyboard(browser: Browser) -> None:
    browser.evaluate("document.querySelector('input[name=run]').focus()")
    browser.press("ArrowRight", 39)
    assert browser.evaluate("document.activeElement.value") == "erm"
    assert browser.evaluate(VISIBLE) == 24
    outline = "getComputedStyle(document.querySelector('input[name=run]:checked + span')).outlineStyle"
    assert browser.evaluate(outline) == "solid"
    browser.press("Tab", 9)
    assert browser.evaluate("document.activeElement.name") == "variant"


def test_names_are_text(browser: Browser) -> None:
    """A class called like a script does nothing but stand there, and its filter finds it."""
    assert browser.evaluate("document.querySelectorAll('script').length") == 1
    browser.select(CLASSES[1])
    assert browser.evaluate(VISIBLE) == 24
    assert browser.of("Page.javascriptDialogOpening") == []


def test_nothing_fails_and_nothing_leaves_the_page(browser: Browser) -> None:
    browser.evaluate("scrollTo(0, document.body.scrollHeight)")
    browser.evaluate("Promise.all([...document.images].map(i => i.decode())).then(() => 1)")
    urls = [sent["request"]["url"] for sent in browser.of("Network.requestWillBeSent")]
    assert urls
    assert all(url.startswith(("file://", "data:")) for url in urls)
    assert sum(url.startswith("file://") for url in urls) == 1
    assert browser.of("Runtime.exceptionThrown") == []
    assert browser.of("Runtime.consoleAPICalled") == []
    assert browser.of("Log.entryAdded") == []
    assert browser.evaluate("[...document.images].every(i => i.naturalWidth > 0)")


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_no_screen_is_too_narrow(browser: Browser, width: int) -> None:
    browser.resize(width)
    browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    too_wide = "e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll, .hidden')"
    elements = f"[...document.querySelectorAll('main *')].filter({too_wide}).map(e => e.outerHTML.slice(0, 80))"
    assert browser.evaluate(elements) == []
    assert browser.evaluate("innerWidth") == width
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(browser: Browser, scheme: str) -> None:
    """Contrast of at least 4.5:1 (WCAG AA) for every colour of text."""
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    luminance = """
      const luminance = (c) => c.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
      const behind = (e) => { const c = getComputedStyle(e).backgroundColor;
        return /, 0\\)$/.test(c) && e.parentElement ? behind(e.parentElement) : c; };
      const texts = [...document.querySelectorAll('body *')].filter(e => e.checkVisibility() && !e.closest('svg')
        && [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()));
      const ratio = (e) => { const pair = [getComputedStyle(e).color, behind(e)].map(luminance).sort((a, b) => b - a);
        return (pair[0] + 0.05) / (pair[1] + 0.05); };
    """
    faint = "texts.filter(e => ratio(e) < 4.5).map(e => e.className + ' ' + ratio(e) + ' ' + e.outerHTML.slice(0, 60))"
    assert browser.evaluate(f"(() => {{ {luminance} return texts.length > 100 ? {faint} : 'no text' }})()") == []
    ink = "getComputedStyle(document.querySelector('figure svg text')).fill === getComputedStyle(document.body).color"
    assert browser.evaluate(ink)
