"""What the notebook tests share: the chapters' list, their exercises, and .ci's own functions."""

import pathlib
import re
import sys

import nbformat

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / ".ci"))
from bootstrap import version_of  # noqa: E402
from chapters import NEEDS, is_chapter, notebooks, repository_url, setup_cell  # noqa: E402
from kernel import kernel_of  # noqa: E402

__all__ = [
    "NEEDS",
    "ROOT",
    "code_cells",
    "exercises",
    "is_chapter",
    "kernel_of",
    "notebooks",
    "read",
    "repository_url",
    "setup_cell",
    "tags",
    "version_of",
]

SOLUTION = re.compile(r"<details>\s*<summary>Solution (\d\d-\d)</summary>(.*?)</details>", re.DOTALL)
FENCE = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def read(path: pathlib.Path):
    """A chapter as a notebook."""
    return nbformat.read(path, as_version=4)


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def exercises(notebook) -> dict[str, dict]:
    """Each exercise's stub cell, check cell and solution code, by its number such as "01-1"."""
    found: dict[str, dict] = {}
    for cell in notebook.cells:
        for tag in tags(cell):
            match = re.fullmatch(r"ex-(\d\d-\d)-(stub|check)", tag)
            if match:
                found.setdefault(match[1], {})[match[2]] = cell
        if cell.cell_type == "markdown":
            for number, body in SOLUTION.findall(cell.source):
                found.setdefault(number, {})["solution"] = "\n".join(FENCE.findall(body))
            for number in re.findall(r"^### Exercise (\d\d-\d)", cell.source, re.MULTILINE):
                found.setdefault(number, {})["statement"] = cell.source
    return found
