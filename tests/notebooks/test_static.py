"""What can be said of a chapter without running it."""

import re
import sys
import urllib.parse

import pytest

from .chapters import NEEDS, ROOT, code_cells, exercises, is_chapter, notebooks, read, repository_url, tags

CHAPTERS = notebooks()
chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
DIRECTIVE = re.compile(r"^(`{3,}|:{3,})\s*\{|\{(cite|ref|numref|eq|doc|glue|term)(:\w+)?\}`", re.MULTILINE)


def test_there_are_chapters():
    """Each has its needs written down, and is there."""
    assert [path.stem for path in CHAPTERS] == list(NEEDS)
    numbered = [path.stem for path in CHAPTERS if is_chapter(path.stem)]
    assert [int(stem[:2]) for stem in numbered] == list(range(1, len(numbered) + 1))


@chapter
def test_stored_without_outputs(path):
    for cell in code_cells(read(path)):
        assert not cell.outputs and cell.execution_count is None, f"outputs stored under: {cell.source[:60]!r}"


@chapter
def test_cells(path):
    """Cells are short, titled, in the agreed order, with stable ids."""
    notebook = read(path)
    assert notebook.cells[0].cell_type == "markdown" and notebook.cells[0].source.startswith("# ")
    code = code_cells(notebook)
    assert "setup" in tags(code[0]) and "hide-input" in tags(code[0])
    assert not any("setup" in tags(cell) for cell in code[1:])
    for cell in code[1:]:
        assert len(cell.source.splitlines()) <= 30, f"a cell of more than 30 lines: {cell.source[:80]!r}"
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert notebook.metadata.kernelspec.name == "python3"


@chapter
def test_colab_can_show_the_text(path):
    """No MyST directive or role: Colab would show it raw."""
    for cell in read(path).cells:
        if cell.cell_type == "markdown":
            found = DIRECTIVE.search(cell.source)
            assert not found, f"a directive Colab shows raw: {found and cell.source[found.start() :][:80]!r}"


@chapter
def test_no_branch_on_the_budget(path):
    """Sizes come from experiments; a chapter never asks which budget it runs at."""
    for cell in code_cells(read(path))[1:]:
        assert "S5LIB_" not in cell.source and "budget()" not in cell.source, cell.source


@chapter
def test_links_resolve(path):
    """Relative links lead to files of the book that are there."""
    for cell in read(path).cells:
        for target in LINK.findall(cell.source) if cell.cell_type == "markdown" else []:
            parts = urllib.parse.urlparse(target)
            if not parts.scheme and parts.path:
                assert (path.parent / parts.path).exists(), f"{path.name} links to {target}, which is not there"


@chapter
def test_exercises_are_complete(path):
    """Three to five in a chapter, each with statement, stub, check and a solution in code; none elsewhere."""
    found = exercises(read(path))
    assert 3 <= len(found) <= 5 if is_chapter(path.stem) else not found
    for number, parts in found.items():
        assert {"statement", "stub", "check", "solution"} <= set(parts), f"exercise {number} has only {sorted(parts)}"
        assert number.startswith(path.stem[:2])
        assert "★" in parts["statement"] and parts["solution"].strip()
        assert "check_" in parts["check"].source


def test_in_step_with_the_address():
    """The chapters' first cells and README say what `make sync` would write from _config.yml."""
    import sync

    stale = [
        str(path.relative_to(ROOT)) for path, text in sync.wanted(repository_url()).items() if path.read_text() != text
    ]
    assert not stale, f"run `make sync`; out of date: {', '.join(stale)}"


@chapter
def test_questions_answer_back(path):
    """Three to five a chapter; of the options of each exactly one is right, and each has an answer of its own."""
    if not is_chapter(path.stem):
        return
    asked = [cell.source for cell in read(path).cells if 'class="s5lib-ask"' in cell.source]
    assert 3 <= len(asked) <= 5
    for number, question in enumerate(asked):
        name = f"{int(path.stem[:2])}-{'abcde'[number]}"
        assert question.startswith(f'<div class="s5lib-ask">\n\n**Question {name}.** ') and question.endswith("</div>")
        options = re.findall(r"<details( class=\"right\")?><summary>(.+)</summary>\n\n(.+)\n\n</details>", question)
        assert len(options) == question.count("<details") >= 3 and sum(bool(right) for right, *_ in options) == 1
        assert len({option for _, option, _ in options}) == len({answer for *_, answer in options}) == len(options)
        assert all(answer.startswith(("Yes", "No")) for right, _, answer in options if right)


@pytest.mark.parametrize("url", ["", "https://github.com/someone/somewhere"])
def test_setup_cell_is_short_and_valid(url):
    from .chapters import setup_cell

    for stem in NEEDS:
        text = setup_cell(stem, url)
        assert len(text.splitlines()) <= 17
        compile(re.sub(r"(?m)^(\s*)!.*", r"\1pass", text), stem, "exec")
        assert ("git+" + url in text) == bool(url)


def test_every_colab_address_leads_to_a_tracked_file():
    """With an address set, each Colab link is that of a file git knows."""
    import subprocess

    import sync

    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    links = re.findall(
        r"colab\.research\.google\.com/github/a/b/blob/main/([^)\s]+)", sync.badges("https://github.com/a/b")
    )
    assert len(links) == len(CHAPTERS)
    assert set(links) <= set(tracked)


@pytest.mark.parametrize(
    "given, address",
    [
        ("someone/some-where", "https://github.com/someone/some-where"),
        ("git@github.com:someone/somewhere.git", "https://github.com/someone/somewhere"),
        ("https://github.com/someone/somewhere.git", "https://github.com/someone/somewhere"),
        ("https://github.com/someone/somewhere/", "https://github.com/someone/somewhere"),
        ("/srv/git/somewhere", ""),
        ("nonsense", ""),
    ],
)
def test_address_of(given, address):
    import sync

    assert sync.address_of(given) == address


def test_supported_pythons():
    assert (3, 11) <= sys.version_info[:2] <= (3, 13)
