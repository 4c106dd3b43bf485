"""Questions in the pages: with a keyboard, with and without scripts, remembered in the browser alone."""

import pytest

pytestmark = pytest.mark.browser
PAGE = "book/03-resettable-scan.html"


@pytest.fixture
def page(browser, address, request):
    context = browser.new_context(viewport={"width": 1300, "height": 900}, **getattr(request, "param", {}))
    opened = context.new_page()
    sent = []
    opened.on("request", lambda request: sent.append((request.method, request.url)))
    opened.goto(f"{address}/{PAGE}", wait_until="load")
    yield opened
    assert all(method == "GET" and url.startswith((address, "data:", "blob:")) for method, url in sent)
    context.close()


def test_one_option_is_open_and_the_right_one_is_remembered(page):
    ask = page.locator(".s5lib-ask").first
    right, wrong = ask.locator("details.right"), ask.locator("details:not(.right)").first
    wrong.locator("summary").focus()
    page.keyboard.press("Enter")
    assert wrong.locator("p").is_visible() and ask.get_attribute("data-answered") is None
    right.locator("summary").focus()
    page.keyboard.press("Space")
    assert right.locator("p").is_visible() and not wrong.locator("p").is_visible()
    assert ask.get_attribute("data-answered") is not None
    mark = page.locator("nav.bd-links .s5lib-progress")
    assert mark.count() == 1 and mark.inner_text() == f"1/{page.locator('.s5lib-ask').count()}"
    page.reload(wait_until="load")
    assert page.locator(".s5lib-ask[data-answered]").count() == 1
    for ask in page.locator(".s5lib-ask").all():
        ask.locator("details.right summary").click()
    assert mark.inner_text() == "✓"
    page.goto(page.url.replace("03-resettable-scan", "results"), wait_until="load")
    assert mark.inner_text() == "✓" and page.locator(".s5lib-ask").count() == 0


@pytest.mark.parametrize("page", [{"java_script_enabled": False}], indirect=True)
def test_each_option_answers_without_scripts(page):
    for option in page.locator(".s5lib-ask").first.locator("details").all():
        option.locator("summary").click()
        assert option.locator("p").is_visible()
