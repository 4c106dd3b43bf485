"""Serve the built book on this machine and drive Chromium over it."""

import functools
import http.server
import pathlib
import sys
import threading

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
HTML = ROOT / "_build/html"
sys.path.insert(0, str(ROOT / ".ci"))
from chromium import chromium  # noqa: E402


def built_pages() -> list[str]:
    """Every page of the built book that a reader meets, relative to its root."""
    pages = sorted(str(page.relative_to(HTML)) for page in (HTML / "book").glob("*.html"))
    return ["index.html", *pages] if pages else []


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments) -> None:
        pass


@pytest.fixture(scope="session")
def address():
    """The address that serves _build/html."""
    if not (HTML / "index.html").exists():
        pytest.fail("no built book in _build/html: run `make book BUDGET=smoke` first")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=HTML))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def browser():
    """One Chromium for the whole session."""
    try:
        with chromium() as found:
            yield found
    except FileNotFoundError as error:
        pytest.fail(str(error))
