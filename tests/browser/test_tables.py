"""Long tables: filtered by words, sorted by a click on a head; every stored run has its row and its line."""

import csv

import pytest

from s5lib import records

from .conftest import HTML

pytestmark = pytest.mark.browser


@pytest.fixture
def page(browser, address):
    opened = browser.new_page(viewport={"width": 1300, "height": 900})
    opened.goto(f"{address}/book/results.html", wait_until="load")
    yield opened
    opened.close()


def test_every_run_is_there_and_is_found(page):
    table = page.locator("table.s5lib-table")
    names = records.stored_names()
    assert table.locator("tbody tr").count() == len(names)
    page.get_by_label("Show rows with").fill("HARD s5")
    shown = [row.locator("code").inner_text() for row in table.locator("tbody tr:visible").all()]
    assert shown == [name for name in names if "hard" in name and "s5" in name]
    table.get_by_role("button", name="score").click()
    scores = [float(row.locator("td").nth(3).inner_text()) for row in table.locator("tbody tr:visible").all()]
    assert scores == sorted(scores) != scores[::-1]
    table.get_by_role("button", name="score").press("Enter")
    assert [float(row.locator("td").nth(3).inner_text()) for row in table.locator("tbody tr:visible").all()] == scores[
        ::-1
    ]


def test_the_csv_has_every_seed():
    lines = list(csv.DictReader((HTML / "_static/runs.csv").read_text().splitlines()))
    stored = {(name, run.seed): run for name in records.stored_names() for run in records.stored(name)}
    assert {(line["experiment"], int(line["seed"])) for line in lines} == set(stored) and len(lines) == len(stored)
    for line in lines:
        if line["metric"] in ("return", "accuracy"):
            score = stored[line["experiment"], int(line["seed"])].final[line["metric"]]
            assert float(line["value"]) == pytest.approx(score, rel=1e-5)
