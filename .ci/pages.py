"""An executed notebook as its page shows it: the question and its figure first, code that only draws behind one bar a figure.

The notebook itself stays as it is: a reader who downloads it, or opens it on Colab, gets every cell where it runs.
"""

import ast
import re
import subprocess
import sys

import live
import nbformat

COLUMNS = 88  # of code that fit beside the sidebars
MAGIC = re.compile(r"^\s*[!%]", re.M)
FIGURE = re.compile(r"class=\"s5lib-")


def is_hidden(cell) -> bool:
    """Whether the page folds a cell's code away."""
    return cell.cell_type == "code" and "hide-input" in cell.metadata.get("tags", [])


def shows(cell) -> str:
    """What a code cell puts out, in a word: figure, table, text, or nothing."""
    outputs = cell.get("outputs", [])
    if any(FIGURE.search("".join(output.get("data", {}).get("text/html", ""))) for output in outputs):
        return "figure"
    if any("|---" in "".join(output.get("data", {}).get("text/markdown", "")) for output in outputs):
        return "table"
    return "text" if outputs else ""


def defined(source: str) -> list[str]:
    """The functions and classes that code defines."""
    return [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]


def label(cell) -> str:
    """What a folded cell's bar says."""
    kind, names = shows(cell), defined(cell.source)
    if "live" in cell.metadata:
        return "the code that draws this in a notebook"
    if kind in ("figure", "table"):
        return f"the code of this {kind}"
    if kind == "" and names:
        return "the code of " + ", ".join(names)
    return "the code of these lines" if kind else "code"


def fold(cell, words: str, tag: str = "hide-input") -> None:
    """Hide a cell's code behind a bar that says what it holds; with "hide-cell", what it put out too."""
    cell.metadata["tags"] = [tag]
    cell.metadata["mystnb"] = {"code_prompt_show": f"Show {words}", "code_prompt_hide": f"Hide {words}"}


def merged(cells: list) -> list:
    """Folded cells that only prepare a folded one join it, so that a figure has one bar."""
    found: list = []
    for cell in cells:
        last = found[-1] if found else None
        if is_hidden(cell) and last is not None and is_hidden(last) and not shows(last):
            cell.source = f"{last.source}\n\n\n{cell.source}"
            found[-1] = cell
        else:
            found.append(cell)
    return found


def opened(cells: list) -> list:
    """The first figure right under the question; set-up, imports and its code in one bar below it."""
    first = next((k for k, cell in enumerate(cells) if cell.cell_type == "code"), len(cells))
    after = next((k for k in range(first, len(cells)) if cells[k].cell_type != "code"), len(cells))
    figure = next((k for k in range(first, after) if shows(cells[k]) == "figure"), None)
    if figure is None:
        return cells
    bar = cells[figure]
    picture = nbformat.v4.new_code_cell(
        "# its code stands in the bar below", outputs=bar.outputs, metadata={"tags": ["remove-input"]}
    )
    bar.source = "\n\n".join(cell.source for cell in cells[first : figure + 1])
    bar.outputs = [output for cell in cells[first:figure] for output in cell.get("outputs", [])]
    fold(bar, "the set-up, the imports and the code of this figure", "hide-cell")
    return [*cells[:first], picture, bar, *cells[figure + 1 :]]


TEXT = re.compile(r'(?P<indent> *)(?P<name>return |[\w"]+(?:: |=| \+?= ))?(?P<quote>f?")(?P<words>[^"]*)"(?P<tail>,?)')
NOTE = re.compile(r'(?P<indent> *)(?P<quote>#|""")(?P<words>[^"]*)(?P<end>"""|)')


def broken(words: str, width: int) -> list[str]:
    """Text in pieces of at most this width, cut after spaces, and nowhere within the braces of an f-string."""
    pieces, depth, last, start = [], 0, 0, 0
    for k, letter in enumerate(words):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if k - start >= width and last > start:
            pieces.append(words[start:last])
            start = last
        if letter == " " and depth == 0:
            last = k + 1
    return [*pieces, words[start:]]


def narrow(line: str) -> list[str]:
    """A line of code that a formatter leaves too long, a text, a comment or a docstring, in several."""
    if len(line) <= COLUMNS:
        return [line]
    if text := TEXT.fullmatch(line):
        indent, name = text["indent"], text["name"] or ""
        statement = name.endswith(("= ", "return "))  # brackets are open everywhere else
        deep = indent + " " * 4 * statement
        pieces = broken(text["words"], COLUMNS - len(deep) - len(name) - 4)
        rows = [f'{deep}{text["quote"]}{piece}"' for piece in pieces]
        if statement:
            return [f"{indent}{name}(", *rows, f"{indent})"]
        rows[0] = f"{indent}{name}{rows[0].lstrip()}"
        return [*rows[:-1], rows[-1] + text["tail"]]
    if note := NOTE.fullmatch(line):
        lead = "# " if note["quote"] == "#" else ""
        pieces = broken(note["words"].strip(), COLUMNS - len(note["indent"]) - 6)
        rows = [note["indent"] + lead + piece.rstrip() for piece in pieces]
        if note["quote"] == "#":
            return rows
        return [note["indent"] + '"""' + pieces[0].rstrip(), *rows[1:-1], rows[-1] + note["end"]]
    return [line]


def enliven(cell) -> None:
    """Put a figure that lives in the page in the place of a cell's output, where its metadata names one."""
    if name := cell.metadata.get("live"):
        still = "".join(cell.outputs[-1].get("data", {}).get("text/html", "")) if cell.outputs else ""
        cell.outputs = [nbformat.v4.new_output("display_data", {"text/html": live.figure(name, still)})]
        cell.metadata["tags"] = [*cell.metadata.get("tags", []), "hide-input"]


def wrapped(sources: list[str]) -> list[str]:
    """Code with lines that fit the page."""
    mark = "\n# ---- next cell\n"
    command = [sys.executable, "-m", "ruff", "format", "--isolated", f"--line-length={COLUMNS}", "-"]
    done = subprocess.run(command, input=mark.join(sources), capture_output=True, text=True, check=True)
    narrowed = "\n".join(row for line in done.stdout.split("\n") for row in narrow(line))
    return [part.strip("\n") for part in narrowed.split(mark.strip("\n"))]


def as_page(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook, rearranged for its page."""
    for cell in notebook.cells:
        enliven(cell)
    cells = merged(opened(notebook.cells))
    for cell in cells:
        if is_hidden(cell):
            fold(cell, label(cell))
    shown = [cell for cell in cells if cell.cell_type == "code" and not MAGIC.search(cell.source)]
    for cell, source in zip(shown, wrapped([cell.source for cell in shown]), strict=True):
        cell.source = source
    notebook.cells = cells
    return notebook
