"""Headless Chromium, driven over the pipe of its debugging protocol: pages are opened, asked and typed into.

In: the address of a page, and JavaScript. Out: what it gives, every request that the page made, and
every error that it wrote.
"""

import base64
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import Any, BinaryIO

import pytest

NAMES = ("chromium-headless-shell", "chromium", "google-chrome", "chrome")
BINARY = next(filter(None, map(shutil.which, NAMES)), None)
needed = pytest.mark.skipif(
    BINARY is None,
    reason="no Chromium here. Install one, such as Debian's chromium-headless-shell.",
)
# Seconds that a page may take for anything.
PATIENCE = 60


class Browser:
    """A running browser."""

    def __init__(self, commands: int, answers: BinaryIO):
        self._commands, self._answers = commands, answers
        self._rest, self._last = b"", 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **parameters: Any) -> Any:
        """The result of a command of the protocol; what happens meanwhile is kept in `events`."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._last:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            piece = self._answers.read(1 << 20)
            assert piece, "the browser ended"
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def open(self, address: str, width: int = 1280, dark: bool = False) -> "Page":
        """Opens a page in a tab of its own, of a width in pixels."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)
        page = Page(self, session["sessionId"])
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        size = {"width": width, "height": 1000, "deviceScaleFactor": 1}
        page.call("Emulation.setDeviceMetricsOverride", mobile=False, **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.call("Emulation.setEmulatedMedia", features=[scheme])
        page.go(address)
        return page


class Page:
    """A tab."""

    def __init__(self, browser: Browser, session: str):
        self.browser, self.session = browser, session

    def call(self, method: str, **parameters: Any) -> Any:
        """The result of a command of the protocol, for this tab."""
        return self.browser.call(method, self.session, **parameters)

    def go(self, address: str) -> None:
        """Goes to an address and waits until the page has shown it."""
        self.call("Page.navigate", url=address)
        self.settle()

    def settle(self) -> None:
        """Waits until the page shows what it was asked for."""
        self.wait(
            "document.readyState === 'complete' && document.querySelector('main h1')"
            " && !document.querySelector('main[aria-busy]')"
        )

    def route(self, hash: str) -> None:
        """Goes to another address of the same page."""
        self.evaluate(f"location.hash = {json.dumps(hash)}")
        self.evaluate("new Promise((done) => setTimeout(done, 50))")
        self.settle()

    def evaluate(self, script: str) -> Any:
        """What an expression gives, after what it promises."""
        answer = self.call(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Waits until an expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.evaluate(f"Boolean({condition})"):
            assert time.monotonic() < end, f"never true: {condition}\n{self.text()}"
            time.sleep(0.02)

    def close(self) -> None:
        """Closes the tab."""
        self.call("Page.close")

    def text(self, selector: str = "main") -> str:
        """The text that is shown in an element."""
        return self.evaluate(
            f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"
        )

    def texts(self, selector: str) -> list[str]:
        """The text of all elements."""
        return self.evaluate(
            f"[...document.querySelectorAll({json.dumps(selector)})].map((each) => each.innerText)"
        )

    def click(self, selector: str) -> None:
        """Clicks on an element and waits for what follows."""
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")
        self.evaluate("new Promise((done) => setTimeout(done, 50))")
        self.settle()

    def events(self, method: str) -> Iterator[dict[str, Any]]:
        """What happened in this tab, of a kind."""
        for event in self.browser.events:
            if event.get("sessionId") == self.session and event["method"] == method:
                yield event["params"]

    @property
    def requests(self) -> list[str]:
        """Every address that the page asked for."""
        return [
            each["request"]["url"] for each in self.events("Network.requestWillBeSent")
        ]

    @property
    def problems(self) -> list[str]:
        """Every error and warning that the page or the browser wrote."""
        return [
            *(str(each) for each in self.events("Runtime.exceptionThrown")),
            *(
                str(each["args"])
                for each in self.events("Runtime.consoleAPICalled")
                if each["type"] in ("error", "warning", "assert")
            ),
            *(
                each["entry"]["text"]
                for each in self.events("Log.entryAdded")
                if each["entry"]["level"] in ("error", "warning")
            ),
        ]

    def screenshot(self, path: pathlib.Path) -> None:
        """Keeps a picture of the whole page."""
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(picture["data"]))


@contextlib.contextmanager
def running() -> Iterator[Browser]:
    """A browser that ends with the block."""
    assert BINARY
    for_browser, commands = os.pipe()
    answers, from_browser = os.pipe()
    # It reads its commands from descriptor 3 and answers on 4.
    redirected = f'exec "$0" "$@" 3<&{for_browser} 4>&{from_browser}'
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [
                *("bash", "-c", redirected, BINARY, "--headless", "--no-sandbox"),
                *("--remote-debugging-pipe", f"--user-data-dir={profile}"),
                *("--disable-gpu", "--disable-dev-shm-usage"),
            ],
            pass_fds=(for_browser, from_browser),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"HOME": profile},
        )
        os.close(for_browser)
        os.close(from_browser)
        with open(commands, "wb", 0), open(answers, "rb", 0) as answering:
            try:
                yield Browser(commands, answering)
            finally:
                process.kill()
                process.wait()
