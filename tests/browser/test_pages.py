"""Every page of the built book, as a reader meets it: wide and on a phone, light and dark, offline."""

import functools
import re
from urllib.parse import unquote, urldefrag, urljoin, urlparse

import pytest
from bs4 import BeautifulSoup

from .conftest import HTML, built_pages

pytestmark = pytest.mark.browser
PAGES = built_pages()
RAW = re.compile(
    r"\{(figure|admonition|note|math|cite|ref|glue|prf|exercise|solution|eval-rst)[:}]|(?m:^\s*:::)|\$[^$\n]{0,80}\\[a-zA-Z]+[^$\n]*\$"
    r"|\|\s*[-—]+\s*\|"  # a table that was not made one
)
HASH = re.compile(r"[0-9a-f]{32,}|_images/")

OVERFLOW = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width + 1) return [];
  const scrolls = el => { for (let e = el.parentElement; e && e !== document.body; e = e.parentElement)
      if (/auto|scroll|hidden/.test(getComputedStyle(e).overflowX)) return true; return false; };
  return [...document.querySelectorAll('.bd-article *')].filter(e => e.getBoundingClientRect().right > width + 1 && !scrolls(e))
      .slice(0, 5).map(e => e.outerHTML.slice(0, 160)).concat(['page is ' + document.documentElement.scrollWidth + ' px wide']);
}"""


class Visit:
    """One page in one browser context, with all that it asked for and complained about."""

    def __init__(self, browser, origin: str, width: int, colour: str):
        height = 900 if width > 600 else 844
        self.context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=colour)
        self.context.add_init_script(
            f"localStorage.setItem('mode', '{colour}'); localStorage.setItem('theme', '{colour}');"
        )
        self.page, self.complaints, self.origin = self.context.new_page(), [], origin
        self.page.on(
            "console", lambda message: message.type == "error" and self.complaints.append(f"console: {message.text}")
        )
        self.page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        self.page.on("requestfailed", self.failed)
        self.page.on(
            "response", lambda answer: answer.status >= 400 and self.complaints.append(f"{answer.status}: {answer.url}")
        )
        self.context.route("**/*", self.route)

    def failed(self, request) -> None:
        """A page that is left while its icon loads aborts it; that is no fault of the page."""
        if request.failure != "net::ERR_ABORTED" or not request.url.endswith("favicon.svg"):
            self.complaints.append(f"failed: {request.url} ({request.failure})")

    def route(self, route) -> None:
        url = route.request.url
        if url.startswith((self.origin, "data:", "blob:")):
            route.continue_()
        else:
            self.complaints.append(f"outside request: {url}")
            route.abort()

    def open(self, path: str):
        self.page.goto(f"{self.origin}/{path}", wait_until="load")
        if path == "index.html":  # it sends its reader on
            self.page.wait_for_url("**/book/intro.html", wait_until="load")
        self.page.evaluate("() => window.MathJax && MathJax.startup ? MathJax.startup.promise.then(() => 1) : 1")
        return self.page


@pytest.fixture(
    params=[(1300, "light"), (1300, "dark"), (390, "light"), (390, "dark")], ids=lambda p: f"{p[0]}px-{p[1]}"
)
def visit(request, browser, address):
    width, colour = request.param
    visit = Visit(browser, address, width, colour)
    yield visit
    visit.context.close()


@functools.cache
def anchors(path: str) -> set[str]:
    """Everything on a page that a link can point at."""
    return {element.get("id") or element.get("name") for element in soup(path).select("[id], a[name]")}


@functools.cache
def soup(page: str) -> BeautifulSoup:
    return BeautifulSoup((HTML / page).read_text(), "lxml")


def test_there_are_pages():
    """The list that the other tests go over holds the chapters."""
    assert len(PAGES) > 8, "no built book in _build/html: run `make book BUDGET=smoke` first"


@pytest.mark.parametrize("path", PAGES)
def test_page(visit, path):
    """No complaint, nothing from outside, no raw markup, all mathematics set, no sideways scrolling, sliders that work."""
    page = visit.open(path)
    text = page.evaluate("""() => { const copy = document.querySelector('.bd-article').cloneNode(true);
        copy.querySelectorAll('pre, code, script, style, mjx-container').forEach(e => e.remove()); return copy.textContent; }""")
    assert not RAW.findall(text), f"raw markup: {RAW.search(text)[0]!r}"
    assert page.locator("mjx-merror, .mjx-merror, [data-mjx-error]").count() == 0, "a formula that MathJax cannot read"
    wanted = page.locator(".bd-article span.math, .bd-article div.math").count()
    assert page.locator(".bd-article mjx-container").count() >= wanted, "mathematics that was not set"
    wide = page.evaluate(OVERFLOW)
    assert not wide, "wider than the screen:\n" + "\n".join(wide)
    mode = page.evaluate("document.documentElement.dataset.theme")
    assert mode == ("dark" if page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") else "light")
    for figure in page.locator("figure.s5lib-explore").all():
        use_sliders(page, figure)
    assert not visit.complaints, "\n".join(visit.complaints)


def use_sliders(page, figure) -> None:
    """Every slider changes the picture, by keyboard there and back, and by mouse."""
    picture = figure.locator("img:visible").first
    sliders = figure.locator("input[type=range]")
    assert sliders.count() > 0, "a figure to explore without a slider"
    for slider in sliders.all():
        slider.scroll_into_view_if_needed()
        assert slider.evaluate("e => e.getAttribute('aria-label') || (e.labels && e.labels.length)"), (
            "a slider without a label"
        )
        last = int(slider.evaluate("e => +e.max"))
        if last < 1:
            continue
        before = picture.get_attribute("src")
        slider.focus()
        at = int(slider.input_value())
        page.keyboard.press("ArrowRight" if at < last else "ArrowLeft")
        moved = picture.get_attribute("src")
        assert moved != before, "an arrow key does not move the figure"
        page.keyboard.press("ArrowLeft" if at < last else "ArrowRight")
        assert picture.get_attribute("src") == before, "the way back does not show the first picture again"
        box = slider.bounding_box()
        assert box and box["width"] > 20
        target = 2 if at > last / 2 else box["width"] - 2
        page.mouse.click(box["x"] + target, box["y"] + box["height"] / 2)
        assert picture.get_attribute("src") != before, "the mouse does not move the figure"


def test_pages_open_as_files(browser):
    """The book also works without a server, opened from the folder it was built in."""
    visit = Visit(browser, HTML.as_uri(), 1300, "light")
    for path in PAGES[1:]:
        visit.open(path)
    visit.context.close()
    assert not visit.complaints, "\n".join(visit.complaints)


@pytest.mark.parametrize("path", PAGES)
def test_links_resolve(path):
    """Every link inside the book leads to a page that is there, and to an anchor that is on it."""
    broken = []
    for link in soup(path).select("a[href], link[href], script[src], img[src]"):
        target = link.get("href") or link.get("src")
        parts = urlparse(target)
        if parts.scheme or parts.netloc or target in ("#", ""):
            continue
        where, anchor = urldefrag(urljoin(f"/{path}", target))
        file = HTML / unquote(urlparse(where).path).lstrip("/")
        if file.is_dir():
            file /= "index.html"
        there = file.exists()
        if there and anchor and file.suffix == ".html":
            there = unquote(anchor) in anchors(str(file.relative_to(HTML)))
        if not there:
            broken.append(target)
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("path", PAGES)
def test_every_image_has_alt_text(path):
    """Alt text says what a picture shows; a file's name or hash does not."""
    for image in soup(path).select(".bd-article img"):
        alt = (image.get("alt") or "").strip()
        assert len(alt) >= 15, f"image without alt text: {str(image)[:120]}"
        assert not HASH.search(alt), f"a file's name as alt text: {alt!r}"


@pytest.mark.parametrize("path", PAGES[1:])
def test_the_head_says_what_a_page_is_about(path):
    """A description and a title for whoever shares its address, in plain words; and an icon."""
    head = soup(path).head
    for kind, name in (("name", "description"), ("property", "og:title"), ("property", "og:description")):
        (tag,) = head.find_all("meta", {kind: name})
        assert len(tag["content"]) >= 7 and not re.search(r"[<>]|\\n", tag["content"])
    assert (HTML / path).parent.joinpath(head.find("link", rel="icon")["href"]).resolve().exists()


def test_there_is_a_page_for_what_is_not_there():
    assert "The book begins here" in (HTML / "404.html").read_text()
