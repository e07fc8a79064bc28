"""A real browser, for tests of pages."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BINARIES = ("chromium", "chromium-browser", "google-chrome")
SAID = {"Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"}
"""Events of what a page writes to the console."""


@contextmanager
def opened_browser(profile: Path) -> Iterator[Browser | None]:
    """A started browser until the block ends; None where no Chromium is installed."""
    binary = next(filter(None, map(shutil.which, BINARIES)), None)
    if binary is None:
        yield None
        return
    browser = Browser(binary, profile)
    try:
        browser.start()
        yield browser
    finally:
        browser.close()


class Browser:
    """Chromium over a pipe (DevTools protocol): messages are JSON, each ended by a zero byte."""

    def __init__(self, binary: str, profile: Path) -> None:
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        options = (
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
        )
        launch = (
            f"import os, sys; os.dup2({theirs_in}, 1003); os.dup2({theirs_out}, 1004);"
            "os.dup2(1003, 3); os.dup2(1004, 4); os.execv(sys.argv[1], sys.argv[1:])"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", launch, binary, *options],
            pass_fds=(theirs_in, theirs_out),
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._buffer, self._number = b"", 0
        self.events: list[dict[str, Any]] = []
        self._session: str | None = None

    def start(self) -> None:
        """Open one tab, and hear what happens in it."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """End the browser."""
        self.process.terminate()
        self.process.wait(20)
        os.close(self._in)
        os.close(self._out)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page; an error of it fails."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 120) -> Any:
        """Ask a page that draws itself until a JavaScript expression is true; its value."""
        deadline = time.monotonic() + seconds
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < deadline, f"not within {seconds:g} s: {expression}"
            time.sleep(0.1)
        return value

    def screenshot(self) -> bytes:
        """What is seen, as PNG."""
        return b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def said(self) -> list[dict[str, Any]]:
        """What the page has written to the console since it was opened."""
        return [event for event in self.events if event["method"] in SAID]

    def open(self, url: str, width: int, height: int = 900) -> None:
        """Load a page, also where only the part after the # differs from the one before."""
        if "#" in url and url.partition("#")[0] == self.evaluate("location.href").partition("#")[0]:
            self.open("about:blank", width)
        self.events.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.call("Page.navigate", url=url)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            more = os.read(self._in, 1 << 20)
            assert more, "Chromium ended"
            self._buffer += more
        message, self._buffer = self._buffer.split(b"\0", 1)
        answer: dict[str, Any] = json.loads(message)
        return answer
