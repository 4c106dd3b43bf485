"""Build the pages: stage the sources with the executed chapters in _build/source, render, and put the result in _build/html.

python .ci/build.py [--budget smoke]
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import every_run
import live
import nbformat
import yaml
from cards import cards, gallery
from chapters import ROOT, notebooks, repository_url
from modules import with_reference
from pages import as_page

COSTS = re.compile(r"<!-- costs:.*?-->")
CHAPTERS = re.compile(r"<!-- chapters -->(.*?)<!-- end -->", re.DOTALL)
STAGE, HTML = ROOT / "_build/source", ROOT / "_build/html"


def code(path: pathlib.Path) -> list[str]:
    """The code of a notebook, cell by cell."""
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def stage(budget: str) -> list[str]:
    """Lay out the source tree that is rendered; return the chapters that have not been executed at this budget."""
    shutil.rmtree(STAGE, ignore_errors=True)
    shutil.copytree(
        ROOT / "book", STAGE / "book", ignore=shutil.ignore_patterns("*.ipynb", "*.npz", ".ipynb_checkpoints")
    )
    (STAGE / ".ci").mkdir()
    for name in [".ci/s5lib_pages.py", "_toc.yml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"]:
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, STAGE / name)
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    if repository_url():
        config["html"] |= {"use_repository_button": True, "use_issues_button": True}
        config["launch_buttons"] = {"colab_url": "https://colab.research.google.com"}
    (STAGE / "_config.yml").write_text(yaml.safe_dump(config, sort_keys=False))
    missing = []
    for path in notebooks():
        executed = ROOT / "_build/executed" / budget / path.name
        if executed.exists():
            notebook = as_page(nbformat.read(executed, as_version=4))
            if path.stem == "environments":
                thumbnails = gallery(notebook, STAGE / "book/_assets/gallery")
                notebook.cells.insert(1, nbformat.v4.new_markdown_cell(thumbnails))
            nbformat.write(notebook, STAGE / "book" / path.name)
            if code(executed)[: len(code(path))] != code(path):
                print(f"{path.stem}: the page shows a run of older code; `make book` runs it anew")
        else:
            missing.append(path.stem)
    page = STAGE / "book/how-to-run.md"
    page.write_text(COSTS.sub(costs(budget), page.read_text()))
    live.write(STAGE / "book/_assets")
    page = STAGE / "book/intro.md"
    if not missing:
        page.write_text(CHAPTERS.sub(lambda found: cards(found[1], STAGE / "book"), page.read_text()))
    page = STAGE / "book/results.md"
    page.write_text(page.read_text().replace("<!-- every run -->", every_run.write(STAGE / "book/_assets")))
    page = STAGE / "book/api.md"
    page.write_text(with_reference(page.read_text()))
    return missing


def costs(budget: str) -> str:
    """A table of what each executed chapter took: time and memory, and where."""
    rows = ["| chapter | budget | time | peak memory | on |", "|---|---|---|---|---|"]
    for path in sorted((STAGE / "book").glob("*.ipynb")):
        facts = nbformat.read(path, as_version=4).metadata["s5lib"]
        cost = f"{facts['seconds']:.0f} s | {facts['peak_mb']} MB"
        rows.append(f"| [{path.stem}]({path.name}) | {budget} | {cost} | {facts['processor']} |")
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", default=os.environ.get("BUDGET") or "cpu", choices=["smoke", "cpu", "gpu", "paper"])
    options = parser.parse_args()
    begun, missing = time.time(), stage(options.budget)
    if missing:
        print(
            f"not executed yet at budget {options.budget!r}: {', '.join(missing)}. Run `make book BUDGET={options.budget}`."
        )
        return 1
    command = [
        pathlib.Path(sys.executable).with_name("jupyter-book"),
        "build",
        STAGE,
        "--all",
        "-W",
        "--keep-going",
        "--quiet",
    ]
    failed = subprocess.run(command, stdout=subprocess.DEVNULL).returncode
    built = STAGE / "_build/html"
    if failed or not (built / "index.html").exists():
        print("The book did not build: see the warnings above. Each counts as an error.")
        return failed or 1
    shutil.rmtree(HTML, ignore_errors=True)
    shutil.move(built, HTML)
    shutil.move(HTML / "_static/404.html", HTML / "404.html")
    for path in notebooks():  # what a reader downloads has every cell where it runs
        shutil.copy(ROOT / "_build/executed" / options.budget / path.name, HTML / "_sources/book" / path.name)
    print(f"Built in {time.time() - begun:.0f} s. Open {HTML / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
