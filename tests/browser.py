"""A headless Chromium, driven over its DevTools protocol: open a page, wait for it, read it, picture it."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
TEXT = "(document.body ? document.body.innerText : '')"
START_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 60.0
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # as root, as continuous integration is, Chromium has none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-port=0",
)


def find_browser() -> str | None:
    """The program; None where there is none. MCLD_CHROMIUM names another."""
    named = os.environ.get("MCLD_CHROMIUM")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


@dataclass(slots=True, kw_only=True)
class Browser:
    """One page of one browser; `directory` takes its profile."""

    program: str
    directory: Path
    width_px: int = 1400
    height_px: int = 1000
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _socket: ClientConnection | None = field(default=None, init=False)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1), init=False)

    def __enter__(self) -> Browser:
        size = f"--window-size={self.width_px},{self.height_px}"
        command = [self.program, *FLAGS, size, f"--user-data-dir={self.directory}", "about:blank"]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self._socket = connect(self._page_address(), max_size=None)
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable")
        return self

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def open(self, address: str) -> None:
        """Go to an address; returns once that is under way."""
        self._ask("Page.navigate", url=address)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self._ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression: str, *, timeout_s: float = 60.0) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + timeout_s
        while not self.evaluate(f"Boolean({expression})"):
            assert time.monotonic() < deadline, f"{expression}\n{self.text()[:4000]}"
            time.sleep(0.2)

    def text(self) -> str:
        """What a reader sees, as text."""
        return str(self.evaluate(TEXT))

    def resize(self, width_px: int, *, height_px: int, dark: bool = False) -> None:
        """Show pages as a screen of that size does; a narrow one is a phone's."""
        size = {"width": width_px, "height": height_px}
        self._ask("Emulation.setDeviceMetricsOverride", **size, deviceScaleFactor=1, mobile=width_px < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self) -> bytes:
        """A PNG of the window."""
        return base64.b64decode(self._ask("Page.captureScreenshot", format="png")["data"])

    def _page_address(self) -> str:
        """Chromium writes its port into its profile, then serves the list of its pages there."""
        import urllib.request

        port_path = self.directory / "DevToolsActivePort"
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                port = int(port_path.read_text().splitlines()[0])
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=5) as answer:
                    pages = [page for page in json.load(answer) if page["type"] == "page"]
                return str(pages[0]["webSocketDebuggerUrl"])
            except (OSError, ValueError, IndexError):
                assert time.monotonic() < deadline, "Chromium does not start"
                time.sleep(0.1)

    def _ask(self, method: str, **parameters: object) -> dict[str, Any]:
        assert self._socket is not None
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=ANSWER_TIMEOUT_S))
            if message.get("id") == number:
                assert "error" not in message, (method, message)
                result: dict[str, Any] = message["result"]
                return result
