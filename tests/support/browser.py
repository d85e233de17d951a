"""Headless Chromium, driven over WebDriver's protocol with the standard library alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": False}  # a mobile one would shrink a wide page
_TOO_WIDE = """
const title = document.querySelector('h1, h2');
const isBox = e => /auto|scroll/.test(getComputedStyle(e).overflowX) && !e.contains(title);
const isFree = e => getComputedStyle(e).position !== 'fixed'
  && (!e.parentElement || !isBox(e.parentElement) && isFree(e.parentElement));
const end = e => {
  const {left, right} = e.getBoundingClientRect();
  return isBox(e) ? right : Math.max(right, left + e.scrollWidth);
};
for (const details of document.querySelectorAll('details')) details.open = true;
return [...document.body.querySelectorAll('*')]
  .filter(e => end(e) > innerWidth + 1 && isFree(e))
  .map(e => `${e.localName}: ${e.textContent.trim().slice(0, 60)}`);
"""  # a drawer at the side is fixed; whatever else is wider than the window needs a box that scrolls without the title


class Browser:
    """A window.

    Args:
        url: of the driver's sessions.
        profile: a new folder.
    """

    def __init__(self, url: str, profile: Path) -> None:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
        wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": flags}}}}
        self._url = f"{url}/{_ask(url, wanted)['sessionId']}"

    def open(self, url: str) -> None:
        """Go to a page, and wait until it is loaded."""
        _ask(f"{self._url}/url", {"url": url})

    def run(self, script: str) -> Any:
        """The value that a script in the page returns."""
        return _ask(f"{self._url}/execute/sync", {"script": script, "args": []})

    def devtools(self, command: str, **parameters: Any) -> Any:
        """The answer to a command of Chromium's own protocol."""
        return _ask(f"{self._url}/goog/cdp/execute", {"cmd": command, "params": parameters})

    def close(self) -> None:
        """End the browser."""
        _ask(self._url, None, "DELETE")


def too_wide(folder: Path, *urls: str) -> dict[str, list[str]]:
    """The pages of which something cannot be read on a phone without moving all of them sideways.

    Args:
        folder: for what the browser keeps.
        urls: the pages.

    Returns:
        What is too wide, by page.
    """
    found = {}
    with browser(folder) as window:
        window.devtools("Emulation.setDeviceMetricsOverride", **_PHONE)
        for url in urls:
            window.open(url)
            found[url] = window.run(_TOO_WIDE)
            assert "width=device-width" in window.run("return document.querySelector('meta[name=viewport]')?.content")
    return {url: elements for url, elements in found.items() if elements}


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser; without a driver for it the test is skipped, or fails where ``REQUIRE_BROWSER`` is set.

    Args:
        folder: for what it keeps.
    """
    driver = shutil.which("chromedriver")
    if driver is None:
        (pytest.fail if os.environ.get("REQUIRE_BROWSER") else pytest.skip)("there is no chromedriver")
    with subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = next(line.split()[-1].rstrip(".") for line in process.stdout if "successfully on port" in line)
            window = Browser(f"http://127.0.0.1:{port}/session", folder / "profile")
            yield window
            window.close()
        finally:
            process.terminate()


def _ask(url: str, body: Any, method: str = "POST") -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)["value"]
