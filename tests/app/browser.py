"""A headless Chromium, driven as a person would use it, through chromedriver's HTTP protocol."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
KEYS = {"right": "\ue014", "left": "\ue012", "home": "\ue011", "end": "\ue010", "tab": "\ue004"}
KEYS |= {"enter": "\ue007", "space": "\ue00d"}


class Browser:
    """One window.

    Args:
        base: the address of the driver's session.
    """

    def __init__(self, base: str):
        self.base = base

    def __call__(self, method: str, path: str, **content: Any) -> Any:
        body = json.dumps(content).encode() if method == "POST" else None
        request = urllib.request.Request(
            self.base + path, body, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()[:2000]) from None

    def go(self, url: str) -> None:
        self("POST", "/url", url=url)

    def run(self, script: str, *args: Any) -> Any:
        return self("POST", "/execute/sync", script=script, args=list(args))

    def find(self, selector: str) -> str:
        found = self("POST", "/element", using="css selector", value=selector)
        return str(found[_ELEMENT])

    def text(self, selector: str) -> str:
        return str(self("GET", f"/element/{self.find(selector)}/text"))

    def click(self, selector: str) -> None:
        self("POST", f"/element/{self.find(selector)}/click")

    def type(self, selector: str, text: str) -> None:
        self("POST", f"/element/{self.find(selector)}/value", text=text)

    def clear(self, selector: str) -> None:
        self("POST", f"/element/{self.find(selector)}/clear")

    def press(self, *keys: str) -> None:
        """Press keys where the focus is."""
        actions = [
            {"type": kind, "value": KEYS.get(key, key)}
            for key in keys
            for kind in ("keyDown", "keyUp")
        ]
        self("POST", "/actions", actions=[{"type": "key", "id": "keys", "actions": actions}])

    def touch(self, selector: str) -> None:
        where = {_ELEMENT: self.find(selector)}
        actions = [
            {"type": "pointerMove", "duration": 0, "x": 0, "y": 0, "origin": where},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        pointer = {"type": "pointer", "id": "finger", "parameters": {"pointerType": "touch"}}
        self("POST", "/actions", actions=[{**pointer, "actions": actions}])

    def select(self, selector: str, value: str) -> None:
        self.run(
            "const e = document.querySelector(arguments[0]); e.value = arguments[1];"
            "e.dispatchEvent(new Event('input', {bubbles: true}))",
            selector,
            value,
        )

    def size(self, width: int, height: int) -> None:
        self("POST", "/window/rect", width=width, height=height)

    def picture(self, path: Path | str) -> None:
        Path(path).write_bytes(base64.b64decode(self("GET", "/screenshot")))

    def cdp(self, command: str, **parameters: Any) -> Any:
        return self("POST", "/goog/cdp/execute", cmd=command, params=parameters)

    def wait(self, condition: Callable[[], Any], seconds: float = 30, what: str = "") -> Any:
        """Until the condition holds; fails after so many seconds."""
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < end, f"waited {seconds} s for {what or condition}"
            time.sleep(0.03)
        return found


@contextmanager
def browser(
    folder: Path, width: int = 1280, height: int = 900, **options: Any
) -> Iterator[Browser]:
    """A browser with a profile in this folder, where its downloads go, too."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    assert DRIVER is not None
    driver = subprocess.Popen(
        [DRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    base = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"{base}/status", timeout=5).close()
                break
            except OSError:
                time.sleep(0.05)
        arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            f"--user-data-dir={folder / 'profile'}",
            f"--window-size={width},{height}",
        ]
        chrome = {
            "binary": CHROMIUM,
            "args": arguments,
            "prefs": {"download.default_directory": str(folder)},
            **options,
        }
        wanted = {
            "alwaysMatch": {
                "goog:chromeOptions": chrome,
                "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            }
        }
        request = urllib.request.Request(
            f"{base}/session",
            json.dumps({"capabilities": wanted}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            session = json.load(answer)["value"]["sessionId"]
        made = Browser(f"{base}/session/{session}")
        try:
            yield made
        finally:
            made("DELETE", "")
    finally:
        driver.terminate()
        driver.wait(10)
