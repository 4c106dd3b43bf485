"""An executed notebook as its page shows it: nothing but its order, its bars and its line breaks is changed."""

import ast
import re

import nbformat
import pytest

from .chapters import code_cells, notebooks, read

import pages  # isort: skip  (.ci, which the module above makes known)


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_code_fits_its_page(path):
    """What a page shows unfolded is 88 columns wide at most, and is the notebook's code but for its line breaks."""
    cells = [cell for cell in code_cells(read(path)) if not pages.MAGIC.search(cell.source)]
    for cell, shown in zip(cells, pages.wrapped([cell.source for cell in cells]), strict=True):
        assert same(shown) == same(cell.source), shown
        if not pages.is_hidden(cell):
            assert max(map(len, shown.splitlines())) <= pages.COLUMNS, shown


def same(source: str) -> str:
    """What code means, with white space in its docstrings made one."""
    return re.sub(r"(\\n *| )+", " ", ast.dump(ast.parse(source)))


def test_a_page_opens_on_its_figure_and_has_one_bar_for_each():
    def cell(source, *names, **data):
        outputs = [nbformat.v4.new_output("display_data", data={"text/html": html}) for html in data.values()]
        return nbformat.v4.new_code_cell(source, outputs=outputs, metadata={"tags": list(names)})

    picture, text = '<figure class="s5lib-figure">', nbformat.v4.new_markdown_cell
    before = [
        text("# Why?"), cell("import s5lib", "setup", "hide-input", said="1.0"), cell("import jax"),
        cell("draw()", "hide-input", shown=picture), text("Because."), cell("def f(): pass", "hide-input"),
        cell("f()", "hide-input", shown=picture), cell("x = 1"),
    ]  # fmt: skip
    question, figure, bar, answer, second, visible = pages.as_page(nbformat.v4.new_notebook(cells=before)).cells
    assert (question.source, answer.source, visible.source) == ("# Why?", "Because.", "x = 1")
    assert (
        figure.source.startswith("#")
        and pages.shows(figure) == "figure"
        and figure.metadata["tags"] == ["remove-input"]
    )
    assert bar.source.split() == ["import", "s5lib", "import", "jax", "draw()"] and "1.0" in str(bar.outputs)
    assert bar.metadata["tags"] == ["hide-cell"] and picture not in str(bar.outputs)
    assert re.findall(r"def f|f\(\)$", second.source) == ["def f", "f()"] and pages.shows(second) == "figure"
    assert second.metadata["mystnb"]["code_prompt_show"] == "Show the code of this figure"


@pytest.mark.parametrize(
    "line, rows",
    [
        ("x = f" + '"' + "ab {c + 1} " * 12 + '"', 2), ("    # " + "words and " * 12, 2), ('"' + "a b " * 40 + '",', 2),
        ('    """' + "one two " * 14 + '"""', 2), ("y = " + "1 + " * 30 + "1", 1), ("short", 1),
    ],
)  # fmt: skip
def test_long_lines_are_broken_where_nothing_changes(line, rows):
    found = pages.narrow(line)
    assert len([row for row in found if row.strip(" ()") not in ("", "x =")]) == rows
    assert rows == 1 or max(map(len, found)) <= pages.COLUMNS
