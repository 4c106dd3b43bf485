"""Every chapter the way Colab runs it: its own environment, an empty folder, s5lib installed by the chapter's first cell with git.

In the same run each exercise is done: its check says "Not written yet" to the stub and passes the solution of the text.
"""

import ast
import os
import pathlib
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient

from .chapters import ROOT, code_cells, exercises, kernel_of, notebooks, read, setup_cell, version_of

pytestmark = pytest.mark.notebooks
# What Colab's image has, as far as it matters here, in the autumn of 2026; its Python is 3.13, or here the nearest that there is.
PYTHONS = [
    "python3.13",
    *map(str, pathlib.Path("~/.pyenv/versions").expanduser().glob("3.13.*/bin/python")),
    sys.executable,
]
COLAB = [
    "jax==0.7.2", "jaxlib==0.7.2", "flax==0.11.2", "optax==0.2.8", "numpy==2.1.3", "scipy==1.16.3", "matplotlib==3.10.0",
    "ipywidgets==7.7.1", "ipython==7.34.0", "ipykernel==6.17.1", "scikit-learn", "tqdm",
]  # fmt: skip


def run(*command, **options) -> str:
    """Run a command; on failure show all that it said."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def repository(tmp_path_factory):
    """A repository that holds the files as they are now, so that pip can fetch them with git."""
    folder = tmp_path_factory.mktemp("origin")
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    author = ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"]
    run("git", "init", "-q", "-b", "main", cwd=folder)
    run("git", "add", "-A", cwd=folder)
    run("git", *author, "commit", "-q", "-m", "The files as they are now", cwd=folder)
    return folder


@pytest.fixture(scope="session")
def colab(tmp_path_factory):
    """The interpreter of an environment with Colab's packages and nothing of ours; COLAB_VENV names a folder to keep it in."""
    kept = os.environ.get("COLAB_VENV")
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")  # each of several workers installs into its own
    folder = pathlib.Path(kept + worker) if kept else tmp_path_factory.mktemp("colab") / "venv"
    python = folder / "bin/python"
    if not python.exists():
        run(next(filter(version_of, PYTHONS)), "-m", "venv", folder)
        run(python, "-m", "pip", "install", "-q", "pip==24.1.2")  # older ones refuse git+file addresses
    run(python, "-m", "pip", "install", "-q", *COLAB)
    return python


def assign_verdict(check: str) -> str:
    """The check cell with its last expression kept as a name."""
    tree = ast.parse(check)
    last = tree.body[-1]
    assert isinstance(last, ast.Expr), f"a check cell must end with the check's call: {check!r}"
    tree.body[-1] = ast.Assign([ast.Name("_verdict", ast.Store())], last.value, lineno=0)
    return ast.unparse(ast.fix_missing_locations(tree))


def with_solutions(notebook, address: str, stem: str):
    """The chapter with its setup cell pointed at ``address``, and every exercise's stub and solution checked."""
    code_cells(notebook)[0].source = setup_cell(stem, address)
    done = exercises(notebook)
    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        for number, parts in done.items():
            if cell is parts["check"]:
                check = assign_verdict(cell.source)
                stub = f'{check}\nassert "Not written yet" in _verdict.message and not _verdict, ("{number}, stub", _verdict)'
                right = f'{check}\nassert _verdict.passed, ("{number}, solution", _verdict)'
                cells += [nbformat.v4.new_code_cell(text) for text in (stub, parts["solution"], right)]
    notebook.cells = cells
    return notebook


def environment() -> dict:
    """What a fresh Colab session has: nothing of this project's settings, the smallest budget."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("S5LIB", "PYTHON", "VIRTUAL_ENV"))
    }
    return {**kept, "S5LIB_BUDGET": "smoke", "JAX_PLATFORMS": "cpu"}


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_chapter_on_colab(path, repository, colab, tmp_path):
    run(colab, "-m", "pip", "uninstall", "-q", "-y", "s5lib")  # each chapter's first cell installs it anew
    notebook = with_solutions(read(path), f"file://{repository}", path.stem)
    NotebookClient(
        notebook,
        kernel_manager_class=kernel_of(str(colab)),
        timeout=900,
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute(env=environment())
    where = run(colab, "-c", "import jax, s5lib; print(jax.__version__, s5lib.__file__)", cwd=tmp_path).split()
    assert where[0] == "0.7.2", "the chapter's first cell replaced Colab's JAX"
    assert str(ROOT) not in where[1], "the chapter ran our working copy, not the installed package"
    stray = [item.name for item in tmp_path.iterdir()]
    assert not stray, f"the chapter left files behind: {stray}"
