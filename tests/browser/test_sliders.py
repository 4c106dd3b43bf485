"""The element that explore() makes, alone on a page: two of them stay apart, and one without JavaScript still shows its figure."""

import os

import matplotlib

matplotlib.use("Agg")

import IPython
import matplotlib.pyplot as plt
import pytest

from s5lib import viz

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def elements():
    """Two elements, of one slider and of two."""

    def draw(n, kind="x"):
        fig, ax = plt.subplots(figsize=(3, 2))
        ax.plot([0, n], label=kind)
        ax.legend()
        return fig

    shown = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "S5LIB_BUILD", "1")
        patch.setattr(IPython.display, "display", shown.append)
        viz.explore(draw, caption=lambda n: f"to {n}", alt=lambda n: f"a line to {n}", n=[1, 2, 3])
        viz.explore(draw, caption="two", alt="a line", start={"n": 5}, n=[4, 5], kind=["p", "q"])
    return "".join(element._repr_html_() for element in shown)


@pytest.fixture
def page(browser, elements, request):
    context = browser.new_context(viewport={"width": 390, "height": 800}, **getattr(request, "param", {}))
    opened = context.new_page()
    opened.complaints = []
    opened.on("console", lambda message: opened.complaints.append(message.text))
    opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.on("request", lambda sent: sent.url.startswith("data:") or opened.complaints.append(sent.url))
    opened.set_content(f"<!DOCTYPE html><html lang=en><title>t</title><body>{elements}</body></html>")
    yield opened
    assert opened.complaints == []
    context.close()


def place(figure):
    return [shown.inner_text() for shown in figure.locator("output").all()]


def test_keys_and_mouse_move_one_figure_only(page):
    one, two = page.locator("figure.s5lib-explore").all()
    image = one.get_by_role("img")
    before, other, height = (
        image.get_attribute("src"),
        two.locator("img").get_attribute("src"),
        image.bounding_box()["height"],
    )
    slider = one.get_by_role("slider", name="n")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert place(one) == ["2"] and image.get_attribute("src") != before
    assert image.get_attribute("alt") == "a line to 2" and one.locator("figcaption").inner_text() == "to 2"
    assert slider.get_attribute("aria-valuetext") == "2" and image.bounding_box()["height"] == height
    page.keyboard.press("End")
    assert place(one) == ["3"]
    box = slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] - 8, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 2, middle, steps=4)
    page.mouse.up()
    assert place(one) == ["1"] and image.get_attribute("src") == before
    assert place(two) == ["5", "p"] and two.locator("img").get_attribute("src") == other


def test_two_sliders_combine(page):
    figure = page.locator("figure.s5lib-explore").nth(1)
    seen = set()
    for keys in (("Home", "Home"), ("Home", "End"), ("End", "Home"), ("End", "End")):
        for slider, key in zip(figure.get_by_role("slider").all(), keys, strict=True):
            slider.focus()
            page.keyboard.press(key)
        seen.add((*place(figure), figure.locator("img").get_attribute("src")))
    assert len(seen) == 4 and len({source for *_, source in seen}) == 4


def test_fits_a_phone(page):
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("page", [{"java_script_enabled": False}], indirect=True)
def test_without_javascript_the_figure_is_there(page):
    figure = page.locator("figure.s5lib-explore").first
    assert figure.locator("img").bounding_box()["height"] > 100
    assert "need JavaScript" in figure.inner_text()
