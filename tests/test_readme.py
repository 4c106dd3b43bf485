"""README and the book's opening pages say what is true: their code runs, their map and their numbers agree with the files."""

import contextlib
import importlib
import io
import pathlib
import re
import subprocess
import sys

import pytest
import yaml

import s5lib

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / ".ci"))
import modules  # noqa: E402

PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
README = (ROOT / "README.md").read_text()
HOW_TO_RUN = (ROOT / "book/how-to-run.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.M | re.S)


def printed_by(code: list[str]) -> list[str]:
    """Run blocks of Python one after another, as a reader would, and return the lines that they print."""
    out, names = io.StringIO(), {}
    with contextlib.redirect_stdout(out):
        for block in code:
            exec(compile(block, "<page>", "exec"), names)
    return out.getvalue().splitlines()


@pytest.mark.parametrize("example", blocks(README, "python"), ids=["memory", "environments", "own environment", "act"])
def test_the_examples_in_readme_print_what_they_say(example):
    said = re.findall(r"^print\(.*\)  # (.*)$", example, flags=re.M)
    printed = printed_by([example])
    assert len(said) == len(printed) == 2
    for promise, line in zip(said, printed, strict=True):
        assert promise == line or promise.startswith(f"{line}: ")
    code_lines = [line for line in example.splitlines() if line.strip() and not line.startswith("#")]
    assert len(code_lines) <= 20


@pytest.mark.parametrize("page", ["how-to-run", "results", "api"])
def test_every_python_block_of_a_page_runs(page):
    code = blocks((ROOT / f"book/{page}.md").read_text(), "python")
    assert code
    printed_by(code)


def map_rows() -> dict[int, list[str]]:
    rows = re.findall(r"^\| (\d+) \|(.*)\|$", README, flags=re.M)
    return {int(number): [cell.strip() for cell in rest.split("|")] for number, rest in rows}


def test_the_map_of_readme_agrees_with_the_files():
    rows = map_rows()
    assert list(rows) == list(range(1, 12))
    toc = (ROOT / "_toc.yml").read_text()
    for number, (_, chapter) in rows.items():
        found = sorted((ROOT / "book").glob(f"{number:02d}-*.ipynb"))
        if chapter == "planned":
            assert not found, f"chapter {number} exists, and README calls it planned"
            continue
        (path,) = re.findall(r"\]\((book/.*\.ipynb)\)", chapter)
        assert [ROOT / path] == found
        assert path.removesuffix(".ipynb") in toc


def file_of(module: str) -> pathlib.Path:
    path = ROOT / "s5lib" / module
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def test_the_list_of_modules_says_what_each_file_says():
    """The chapters that the list names are those at the head of the file, or of the files of a package."""
    for module, (chapters, words, _) in s5lib.MODULES.items():
        assert re.search(rf"^{module} +{chapters} +{re.escape(words)}$", s5lib.__doc__, flags=re.M)
        head = file_of(module).read_text().splitlines()[0]
        if chapters.isdigit() and module != "stats":
            assert re.match(rf'"""Chapter {chapters}[. ]', head), f"{module} says: {head}"


def test_readme_and_the_reference_page_show_every_public_module():
    shown = set(re.findall(r"\(s5lib/(\w+)(?:\.py)?\)", README))
    assert shown == set(s5lib.MODULES)
    files = {path.relative_to(ROOT / "s5lib") for path in (ROOT / "s5lib").rglob("*.py")}
    public = {".".join((path.parent if path.stem == "__init__" else path.with_suffix("")).parts) for path in files} - {
        ""
    }
    public = {name for name in public if not name.split(".")[-1].startswith("_")}
    page = modules.with_reference((ROOT / "book/api.md").read_text())
    assert set(re.findall(r"automodule:: s5lib\.([\w.]+)", page)) == public


def test_the_index_of_the_reference_page_has_every_public_function_and_class():
    page = modules.with_reference((ROOT / "book/api.md").read_text())
    rows = re.findall(r'<a href="#s5lib\.([\w.]+)"><code>([\w.]+)</code></a></td><td>(.*?)</td>', page)
    assert all(target == name and len(words) > 10 for target, name, words in rows)
    listed = {name for _, name, _ in rows}
    assert len(listed) == len(rows) > 300
    for dotted in re.findall(r"automodule:: s5lib\.([\w.]+)", page):
        module = importlib.import_module(f"s5lib.{dotted}")
        for name in module.__all__:
            thing = getattr(module, name)
            own = callable(thing) and getattr(thing, "__module__", "") == module.__name__
            if own and hasattr(thing, "__qualname__"):
                assert f"{dotted}.{name}" in listed


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_lead_to_files(page):
    for target in re.findall(r"\]\((?!https?://|#)([^)\s]+)\)", (ROOT / page).read_text()):
        assert (ROOT / target.split("#")[0]).exists(), f"{page} links to {target}"


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.M))
    for page in [*PAGES, "book/intro.md", "book/how-to-run.md", "book/results.md"]:
        for target in re.findall(r"(?:^|`)make (\w+)", (ROOT / page).read_text(), flags=re.M):
            assert target in targets, f"{page} names make {target}"


def test_versions_agree():
    pinned = re.search(r"^jax==(.*)$", (ROOT / "requirements.txt").read_text(), flags=re.M).group(1)
    assert set(re.findall(r"jax\[\w+\]==([\d.]+)", HOW_TO_RUN)) == {pinned}
    assert f"JAX {pinned}" in README
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == s5lib.__version__
    assert 'requires-python = ">=3.11,<3.14"' in (ROOT / "pyproject.toml").read_text()
    for text in (README, HOW_TO_RUN):
        assert "Python 3.11, 3.12 or 3.13" in text


def test_the_tables_of_results_are_those_of_the_stored_runs():
    done = subprocess.run([sys.executable, ".ci/results.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_contributing_is_short_and_the_digits_are_credited():
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 45
    assert "doi:10.24432/C50P49" in (ROOT / "LICENSE").read_text()
