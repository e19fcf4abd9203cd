"""A real browser: headless Chromium, spoken to by its DevTools protocol over a WebSocket."""

from __future__ import annotations

import base64
import itertools
import json
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import urlopen

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Message, Request, TextMessage

FOUND = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(FOUND is None, reason="no Chromium on this machine")


class Browser:
    """One page of a browser of one's own.

    Args:
        width: Of the window, in pixels.
        dark: Whether pages are asked for their dark colours.
    """

    def __init__(self, width: int = 1280, *, dark: bool = False) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True)
        self._process = subprocess.Popen(
            [
                FOUND or "chromium",
                *("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"),
                f"--user-data-dir={self._folder.name}",
                "about:blank",
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        address = next(found for line in self._process.stderr if (found := re.search(r"ws://([^/]+)/", line)))[1]
        pages = json.load(urlopen(f"http://{address}/json"))
        path = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page").partition(address)[2]
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=30)
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._socket.sendall(self._protocol.send(Request(host=address, target=path)))
        self._heard = self._messages()
        assert next(self._heard) is None  # the handshake's answer
        self._numbers = itertools.count(1)
        self.problems: list[str] = []
        """What pages complained of: errors in scripts, what their policy refused."""
        self.ask("Runtime.enable")
        self.ask("Log.enable")
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _a: type[BaseException] | None, _b: BaseException | None, _c: TracebackType | None) -> None:
        self._socket.close()
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def _messages(self) -> Iterator[Any]:
        """What the browser says, message by message."""
        text = ""
        while data := self._socket.recv(1 << 16):
            self._protocol.receive_data(data)
            for event in self._protocol.events():
                if isinstance(event, AcceptConnection):
                    yield None
                elif isinstance(event, Message):
                    text += str(event.data)
                    if event.message_finished:
                        yield json.loads(text)
                        text = ""

    def ask(self, method: str, **params: Any) -> Any:
        """Sends a command and returns its result."""
        number = next(self._numbers)
        words = json.dumps({"id": number, "method": method, "params": params})
        self._socket.sendall(self._protocol.send(TextMessage(words)))
        while True:
            said = next(self._heard)
            if said.get("method") == "Runtime.exceptionThrown":
                self.problems.append(str(said["params"]["exceptionDetails"]))
            elif said.get("method") == "Log.entryAdded" and said["params"]["entry"]["level"] == "error":
                self.problems.append(str(said["params"]["entry"]["text"]))
            if said.get("id") == number:
                assert "error" not in said, said
                return said["result"]

    def open(self, url: str) -> None:
        """Goes to a page."""
        self.ask("Page.navigate", url=url)

    def js(self, code: str) -> Any:
        """The value of an expression."""
        return self.ask("Runtime.evaluate", expression=code, returnByValue=True)["result"].get("value")

    def until(self, code: str, seconds: float = 30.0) -> Any:
        """Waits until an expression is true; its value."""
        end = time.monotonic() + seconds
        while not (value := self.js(code)):
            assert time.monotonic() < end, f"never true: {code}; the page says {self.js('document.body.innerText')!r}"
            time.sleep(0.1)
        return value

    def picture(self, path: str) -> None:
        """The whole page as a PNG."""
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self.ask("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        Path(path).write_bytes(base64.b64decode(shot["data"]))
