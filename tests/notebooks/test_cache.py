"""When a chapter runs again: its own key, not only its code cells."""

import shutil

import nbformat
import pytest

from .chapters import ROOT  # which puts .ci on the path

import execute  # isort: skip
import reach  # isort: skip


def names(code: str) -> set[str]:
    return {path.stem for path in reach.reached_modules(code)}


@pytest.mark.parametrize(
    "code",
    [
        "from s5lib import linear_scan",
        "import s5lib\ns5lib.linear_scan",
        "from s5lib.scan import linear_scan",
        "from s5lib import scan",
        "import s5lib.scan",
        "%matplotlib inline\nif True:\n    !pip list\nfrom s5lib import resettable",
    ],
)
def test_reach_finds_every_way_to_import(code):
    assert names(code) >= {"scan", "config"}
    assert not names(code) & {"s5", "viz", "experiments"}


def test_reach_follows_imports_between_modules():
    assert names("from s5lib import S5Stack") >= {"s5", "scan", "discretize", "hippo", "config"}
    assert names("import numpy as np\nnp.zeros(3)") == set()
    assert all(path.is_relative_to(ROOT / "s5lib") for path in reach.reached_modules("from s5lib import S5Stack"))


def test_reach_goes_into_a_package_as_far_as_imports_do():
    assert names("from s5lib import checks") >= {"chapter01", "chapter04", "grading"}
    assert names("from s5lib.checks.grading import Verdict") >= {"chapter01"}, "the package itself runs first"
    assert "experiments" not in names("from s5lib import viz")


def test_code_hash_ignores_words_and_sees_code(tmp_path):
    file = tmp_path / "module.py"
    versions = []
    for text in ['"""One."""\nx = 1\n', '"""Two."""\n# a comment\nx = 1\n', '"""Two."""\nx = 2\n']:
        file.write_text(text)
        versions.append(reach.code_hash(file))
    assert versions[0] == versions[1] != versions[2]


def test_key_depends_on_code_and_budget_not_on_text():
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("One"), nbformat.v4.new_code_cell("1 + 1")])
    key = execute.cache_key(book, "smoke")
    book.cells[0].source = "Two"
    assert execute.cache_key(book, "smoke") == key
    assert execute.cache_key(book, "cpu") != key
    book.cells[1].source = "1 + 2"
    assert execute.cache_key(book, "smoke") != key


def test_only_the_results_that_a_chapter_reads_run_it_again(tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "ROOT", tmp_path)
    folder = tmp_path / "book/results"
    folder.mkdir(parents=True)
    (folder / "one.jsonl").write_text("{}")
    named, missing, listing = (execute.results_hash([name]) for name in ("one.jsonl", "two.jsonl", "*.jsonl"))
    (folder / "two.jsonl").write_text("{}")
    assert execute.results_hash(["one.jsonl"]) == named
    assert execute.results_hash(["two.jsonl"]) != missing and execute.results_hash(["*.jsonl"]) != listing
    (folder / "one.jsonl").write_text("{ }")
    assert execute.results_hash(["one.jsonl"]) != named


READER = """
from s5lib import experiments, records
experiments.get("digits-s5", "cpu")
records.load("digits-s5")
records.measurements("tuning")
print("more" if records.is_stored("no-such-run") else "none")
"""


def test_a_run_tells_which_results_it_read_and_is_kept_until_they_change(tmp_path, monkeypatch):
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(READER)])
    nbformat.write(book, tmp_path / "book.ipynb")
    shutil.copytree(ROOT / "book/results", tmp_path / "book/results")
    monkeypatch.setattr(execute, "ROOT", tmp_path)
    monkeypatch.setattr(execute, "cache_key", lambda notebook, budget: "k")

    def run():
        assert execute.execute(tmp_path / "book.ipynb", "smoke")
        return nbformat.read(tmp_path / "_build/executed/smoke/book.ipynb", as_version=4).metadata["s5lib"]

    first = run()
    assert first["read"] == ["digits-s5.jsonl", "digits-s5.npz", "no-such-run.jsonl", "tuning.json"]
    (tmp_path / "book/results/digits-gru.jsonl").write_text("other")
    assert run() == first
    (tmp_path / "book/results/tuning.json").write_text("{}")
    assert run()["results"] != first["results"]


def test_new_text_takes_over_old_outputs(tmp_path):
    old = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell("1 + 1", outputs=[nbformat.v4.new_output("stream", text="2")], execution_count=1),
            nbformat.v4.new_markdown_cell("the stamp"),
        ],
        metadata={"s5lib": {"key": "k", "date": "then"}},
    )
    new = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("Words"), nbformat.v4.new_code_cell("1 + 1")])
    execute.merge_text(new, old, tmp_path / "out.ipynb")
    merged = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert [cell.source for cell in merged.cells] == ["Words", "1 + 1", "the stamp"]
    assert merged.cells[1].outputs[0].text == "2"


def test_tidy_keeps_a_progress_bars_last_state():
    bar = nbformat.v4.new_output("stream", name="stderr", text="\r 0%|\r 50%|\r100%|\n")
    widget = nbformat.v4.new_output(
        "display_data", data={"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "VBox()"}
    )
    cell = nbformat.v4.new_code_cell("x", outputs=[bar, widget])
    execute.tidy(cell)
    assert cell.outputs[0].text == "100%|\n"
    assert list(cell.outputs[1].data) == ["text/plain"]
