"""axe-core, which knows the rules of accessibility, finds nothing serious on any page: wide and on a phone, light and dark."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from .conftest import built_pages

pytestmark = pytest.mark.browser
RULES = {"resultTypes": ["violations"], "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}


@pytest.mark.parametrize("width, colour", [(1300, "light"), (390, "dark")])
@pytest.mark.parametrize("path", built_pages()[1:])
def test_nothing_serious(browser, address, path, width, colour):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=colour)
    context.add_init_script(f"localStorage.setItem('mode', '{colour}'); localStorage.setItem('theme', '{colour}');")
    page = context.new_page()
    page.goto(f"{address}/{path}", wait_until="load")
    page.wait_for_timeout(500)  # MathJax
    found = Axe().run(page, options=RULES).response["violations"]
    context.close()
    serious = [
        f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found if each["impact"] in ("serious", "critical")
    ]
    assert not serious, "\n".join(serious)
