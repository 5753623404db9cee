"""The report's page in a browser: filters, keyboard, narrow screens, and no request to anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from made_runs import make_challenge, make_run, write_image

from longcut.report.page import write_report

pytest.importorskip("websocket", reason="needs websocket-client, of the extra 'dev'")
from browser import BROWSER, Tab, new_tab

CLASSES = ["dog", "<script>alert(1)</script>", "a class with quite a long name that has to be broken on a telephone"]
VISIBLE = "[...document.querySelectorAll('.card')].filter(card => card.checkVisibility()).length"

pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs chromium or google-chrome")


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


@pytest.fixture
def browser(address: str, report: Path) -> Iterator[Tab]:
    """A new tab with the report in it."""
    with new_tab(address) as tab:
        tab.open(report.as_uri())
        yield tab


def test_filters_choose_what_is_shown(browser: Tab) -> None:
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


def test_filters_work_by_keyboard(browser: Tab) -> None:
    browser.evaluate("document.querySelector('input[name=run]').focus()")
    browser.press("ArrowRight", 39)
    assert browser.evaluate("document.activeElement.value") == "erm"
    assert browser.evaluate(VISIBLE) == 24
    outline = "getComputedStyle(document.querySelector('input[name=run]:checked + span')).outlineStyle"
    assert browser.evaluate(outline) == "solid"
    browser.press("Tab", 9)
    assert browser.evaluate("document.activeElement.name") == "variant"


def test_names_are_text(browser: Tab) -> None:
    """A class called like a script does nothing but stand there, and its filter finds it."""
    assert browser.evaluate("document.querySelectorAll('script').length") == 1
    policy = "document.querySelector('meta[http-equiv=Content-Security-Policy]').content"
    assert "default-src 'none'; img-src data:" in browser.evaluate(policy)
    browser.select(CLASSES[1])
    assert browser.evaluate(VISIBLE) == 24
    assert browser.of("Page.javascriptDialogOpening") == []


def test_nothing_fails_and_nothing_leaves_the_page(browser: Tab) -> None:
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
def test_no_screen_is_too_narrow(browser: Tab, width: int) -> None:
    browser.resize(width)
    browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    too_wide = "e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll, .hidden')"
    elements = f"[...document.querySelectorAll('main *')].filter({too_wide}).map(e => e.outerHTML.slice(0, 80))"
    assert browser.evaluate(elements) == []
    assert browser.evaluate("innerWidth") == width
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_a_name_keeps_its_swatch_and_breaks_between_words(browser: Tab) -> None:
    browser.resize(360)
    torn = """
      [...document.querySelectorAll('tbody .swatch')].flatMap(swatch => {
        const text = [...swatch.parentElement.childNodes].filter(n => n.nodeType === 3);
        const letters = text.flatMap(n => [...n.data].map((letter, i) => {
          const range = document.createRange(); range.setStart(n, i); range.setEnd(n, i + 1);
          return {letter, place: range.getBoundingClientRect()}; }));
        const begins = letters.filter((l, i) => i && l.place.left < letters[i - 1].place.left
          && !'_ '.includes(letters[i - 1].letter)).map(l => l.letter);
        return swatch.getBoundingClientRect().bottom > letters[0].place.top
          && swatch.getBoundingClientRect().top < letters[0].place.bottom ? begins : ['alone', ...begins]; })
    """
    assert browser.evaluate("document.querySelectorAll('tbody .swatch').length") == 3
    assert browser.evaluate(torn) == []


@pytest.mark.parametrize(("width", "shown"), [(360, "inline"), (1280, "none")])
def test_a_name_breaks_on_a_narrow_screen_alone(browser: Tab, width: int, shown: str) -> None:
    browser.resize(width)
    places = "[...document.querySelectorAll('tbody wbr')].map(place => getComputedStyle(place).display)"
    assert set(browser.evaluate(places)) == {shown}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(browser: Tab, scheme: str) -> None:
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
