"""The repository as a whole: public names and their docstrings, sizes of files, what has to be there."""

import ast
import importlib
import importlib.metadata
import inspect
import pathlib
import re
import subprocess
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import s5lib

ROOT = pathlib.Path(__file__).resolve().parents[1]
PUBLIC = [(module, name) for module in s5lib.MODULES for name in importlib.import_module(f"s5lib.{module}").__all__]
TOP = [
    "README.md", "LICENSE", "CITATION.cff", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "_config.yml", "_toc.yml",
    "pyproject.toml", "requirements.txt", ".ci/run", ".github/workflows/test.yml",
]  # fmt: skip
tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()


def test_top_level_files():
    assert not [name for name in TOP if not (ROOT / name).exists()]


def test_every_module_is_listed_and_no_other():
    """s5lib/__init__.py lists each module, and its docstring's table names them all."""
    modules = {path.stem for path in (ROOT / "s5lib").glob("*.py")} - {"__init__", "__main__"}
    modules |= {path.parent.name for path in (ROOT / "s5lib").glob("*/__init__.py")}
    assert set(s5lib.MODULES) == modules
    for module in modules:
        assert re.search(rf"\b{module}\b", s5lib.__doc__), f"{module} is missing in the table of s5lib's docstring"


def test_public_names_resolve():
    for name in s5lib.__all__:
        assert getattr(s5lib, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'linear_scam'"):
        _ = s5lib.linear_scam


@pytest.mark.parametrize("module", s5lib.MODULES)
def test_all_stands_first_and_is_right(module):
    """`__all__` follows the docstring, and each name in it exists and is defined there."""
    loaded = importlib.import_module(f"s5lib.{module}")
    source = inspect.getsource(loaded)
    assert loaded.__doc__ and loaded.__all__
    assert all(hasattr(loaded, name) for name in loaded.__all__)
    first = re.search(r"^(def|class) ", source, re.MULTILINE)  # none in a package that only gathers its files
    assert first is None or source.index("__all__") < first.start()
    assert set(s5lib.MODULES[module][2]) <= set(loaded.__all__)


@pytest.mark.parametrize("module, name", PUBLIC, ids=lambda part: part)
def test_docstrings(module, name):
    """A public function says what it takes and gives back; a public class says what it is."""
    thing = getattr(importlib.import_module(f"s5lib.{module}"), name)
    if not (inspect.isfunction(thing) or inspect.isclass(thing)):
        return
    text = inspect.getdoc(thing) or ""
    assert len(text.splitlines()[0]) > 10 and text.splitlines()[0].endswith((".", "?", ":")), (
        f"{name} needs a first line"
    )
    if inspect.isfunction(thing) and module != "checks":
        signature = inspect.signature(thing)
        parameters = [p.name for p in signature.parameters.values() if p.kind != p.VAR_KEYWORD]
        unexplained = [parameter for parameter in parameters if not re.search(rf"\b{parameter}\b", text)]
        assert len(parameters) < 2 or "Args:" in text, f"{name}'s docstring lacks Args"
        assert len(parameters) < 2 or not unexplained, f"{name}'s docstring does not explain {', '.join(unexplained)}"
        gives = signature.return_annotation not in (None, inspect.Signature.empty)
        assert len(parameters) < 2 or not gives or "Returns:" in text, f"{name}'s docstring lacks Returns"


def lines_of_code(text: str) -> int:
    """Lines that hold code: not blank, not only a comment, not in a docstring."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, documented) and ast.get_docstring(node)]
    words = [node.body[0] for node in nodes]
    in_words = {line for node in words for line in range(node.lineno, node.end_lineno + 1)}
    lines = enumerate(text.splitlines(), start=1)
    return sum(
        1 for number, line in lines if line.strip() and not line.strip().startswith("#") and number not in in_words
    )


def test_files_stay_small():
    """Near 300 lines is the aim; past 450 lines of code a file is split."""
    assert lines_of_code('"""Words."""\n\n# more\nx = 1\n') == 1
    for name in tracked:
        if name.endswith(".py") and (ROOT / name).exists():
            lines = lines_of_code((ROOT / name).read_text())
            assert lines <= 450, f"{name} has {lines} lines of code"


def test_no_large_files():
    """Stored weights are 1 MB or less, and nothing else comes near that."""
    assert not [name for name in tracked if (ROOT / name).exists() and (ROOT / name).stat().st_size > 1_100_000]


def test_table_of_contents_names_files_that_are_there():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    files = [toc["root"]] + [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    missing = [file for file in files if not any((ROOT / f"{file}{suffix}").exists() for suffix in (".md", ".ipynb"))]
    assert not missing
    stray = {path.with_suffix("").name for path in (ROOT / "book").glob("*.*") if path.suffix in (".md", ".ipynb")}
    assert stray == {pathlib.Path(file).name for file in files}


def test_requirements_are_pinned_and_fit_the_package():
    """Each requirement is one exact version, and JAX is the version that Colab has."""
    lines = [line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    pins = dict(line.split("==") for line in lines if line)
    assert pins["jax"] == pins["jaxlib"] == "0.7.2"
    assert not [name for name in pins if name.startswith(("jax-cuda", "s5lib"))]
    for group in (
        "jax",
        "flax",
        "optax",
        "numpy",
        "matplotlib",
        "gymnax",
        "six",
        "brax",
        "playground",
        "mujoco",
        "popgym",
        "bsuite",
        "jupyter-book",
    ):
        assert group in pins


def pinned() -> dict[str, str]:
    lines = [line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    return dict(line.split("==") for line in lines if line)


def test_the_pins_install_on_the_oldest_python_that_is_about():
    """Debian 12 has 3.11.2, where a package that asks for 3.11.5 cannot be had."""
    found = {canonicalize_name(part.name): part for part in importlib.metadata.distributions()}
    pins = {canonicalize_name(name): pin for name, pin in pinned().items()}
    held = [name for name, pin in pins.items() if name in found and found[name].version == pin]
    under_another_jax = not {"jax", "numpy"} <= set(held)  # `make latest` moves some of the pins, and needs fewer
    asked = {name: SpecifierSet(found[name].metadata.get("Requires-Python", "")) for name in held}
    assert len(held) == len(pins) or under_another_jax
    assert len(held) > 50 and not {name: spec for name, spec in asked.items() if not spec.contains("3.11.2")}


def test_what_users_install_leaves_their_jax_alone():
    """No extra but ``dev`` asks for gymnax, which caps JAX; every lower bound allows what is pinned."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for name, wanted in {"": project["dependencies"], **extras}.items():
        for requirement in map(Requirement, wanted):
            assert requirement.name != "gymnax" or name == "dev"
            assert not requirement.name.startswith("jax") or requirement.name == "jax"
            version = pinned().get(requirement.name)
            assert version is None or requirement.specifier.contains(version), f"{requirement} does not allow {version}"


def test_only_one_place_says_where_the_repository_is():
    """The address stands in _config.yml; the workflows take it from where they run."""
    url = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"].get("url")
    allowed = {"_config.yml", "README.md", *(name for name in tracked if name.endswith(".ipynb"))}
    if url:
        holders = {name for name in tracked if (ROOT / name).is_file() and url.encode() in (ROOT / name).read_bytes()}
        assert holders <= allowed


def test_workflows_call_make_and_pin_their_actions():
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        text = path.read_text()
        workflow = yaml.safe_load(text)
        assert workflow["permissions"] == {"contents": "read"}, path.name
        for used in re.findall(r"uses: (\S+)", text):
            assert re.search(r"@[0-9a-f]{40}$", used), f"{path.name}: {used} is not pinned by its commit"
        for command in re.findall(r"^\s*(?:- )?run: (.+)$", text, re.MULTILINE):
            assert command.startswith(("make ", "sudo apt-get")), f"{path.name} runs {command!r}"
