"""The browser that prints and photographs the pages, and that the tests drive: a Chromium of this machine."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MISSING = "no chromium found: sudo apt-get install chromium, or set CHROMIUM to a browser's path"


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """Start it, headless; FileNotFoundError where there is none."""
    from playwright.sync_api import sync_playwright

    found = next((path for name in (os.environ.get("CHROMIUM"), *NAMES) if name and (path := shutil.which(name))), None)
    if found is None:
        raise FileNotFoundError(MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()
