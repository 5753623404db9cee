"""A headless browser, spoken to by the DevTools protocol."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import websocket

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    "--remote-debugging-port=0",
)


class Tab:
    """A page of the browser."""

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

    def open(self, address: str) -> None:
        self.events.clear()
        self.call("Page.navigate", url=address)
        while not self.of("Page.loadEventFired"):
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
        """In the page's first list of choices."""
        change = f"s.value = {json.dumps(value)}; s.dispatchEvent(new Event('input', {{bubbles: true}}))"
        self.evaluate(f"(() => {{ const s = document.querySelector('select'); {change} }})()")

    def resize(self, width: int) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)

    def press(self, key: str, code: int, text: str = "") -> None:
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=code, text=text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=code)

    def of(self, method: str) -> list[dict[str, Any]]:
        return [event["params"] for event in self.events if event.get("method") == method]

    def close(self) -> None:
        self._socket.close()


@contextmanager
def started(profile: Path) -> Iterator[str]:
    """The DevTools address of a browser with an empty profile."""
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


@contextmanager
def new_tab(address: str) -> Iterator[Tab]:
    """An empty tab that says what happens in it."""
    front = Tab(address)
    target = front.call("Target.createTarget", url="about:blank")["targetId"]
    tab = Tab(f"{address.split('/devtools')[0]}/devtools/page/{target}")
    for domain in ("Page", "Runtime", "Log", "Network"):
        tab.call(f"{domain}.enable")
    yield tab
    tab.close()
    front.call("Target.closeTarget", targetId=target)
    front.close()
