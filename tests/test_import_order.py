"""The library's modules import one way: each only those above it in the order of the book."""

import ast
import pathlib

import pytest

import s5lib

PACKAGE = pathlib.Path(__file__).resolve().parents[1] / "s5lib"
ORDER = [*s5lib.MODULES, "__main__"]
EVERYWHERE = {"jax", "flax", "optax", "numpy", "scipy"}  # JAX itself brings scipy
FIGURES = {"matplotlib", "IPython", "ipywidgets"}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def module_of(path: pathlib.Path) -> str:
    """The module of the order that a file belongs to; files of a package count as the package."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: pathlib.Path) -> set[str]:
    """Dotted names a file imports, at its top or inside a function, `require("name", ...)` included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively; write s5lib in full"
            names |= (
                {f"{node.module}.{alias.name}" for alias in node.names} if node.module == "s5lib" else {node.module}
            )
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "id", "") == "require"
            and isinstance(node.args[0], ast.Constant)
        ):
            names.add(node.args[0].value)
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_what_stands_above(path):
    own = module_of(path)
    assert own in ORDER, f"{own} has no place in the order of modules"
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "s5lib" and parts[1] != own:
            assert parts[1] in ORDER, f"{own} imports {name}: name the module, not what s5lib/__init__.py passes on"
            assert ORDER.index(parts[1]) < ORDER.index(own), f"{own} imports {parts[1]}, which stands below it"


@pytest.mark.parametrize("package", ["memory", "viz"])
def test_files_of_a_package_import_one_another_and_not_what_it_gathers(package):
    """A file says which file a name is from, and none of them imports in a circle."""
    files = {path.stem: path for path in (PACKAGE / package).glob("*.py") if path.stem != "__init__"}
    needs: dict[str, set[str]] = {}
    for stem, path in files.items():
        lines = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        gathered = [alias.name for node in lines if node.module == f"s5lib.{package}" for alias in node.names]
        assert set(gathered) <= set(files), f"{path.name} imports {set(gathered) - set(files)} from the package's root"
        inside = {(node.module or "").removeprefix(f"s5lib.{package}.") for node in lines}
        needs[stem] = set(gathered) | (inside & set(files))
    while ready := [stem for stem, needed in needs.items() if not needed & set(needs)]:
        needs = {stem: needed for stem, needed in needs.items() if stem not in ready}
    assert not needs, f"these import one another in a circle: {sorted(needs)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_figures_live_in_viz_alone(path):
    tops = {name.split(".")[0] for name in imported(path)}
    if module_of(path) != "viz":
        assert not tops & FIGURES, f"{path.name} imports {tops & FIGURES}: figures belong in viz"


def test_modules_of_the_core_load_with_core_packages_only():
    """At the top of a file stand the standard library, s5lib and the packages s5lib always has; viz may ask for more."""
    import sys

    for path in FILES:
        if module_of(path) in ("viz", "cli", "__main__"):
            continue
        tree = ast.parse(path.read_text())
        tops = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
        tops |= {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
        outside = {name.split(".")[0] for name in tops} - set(sys.stdlib_module_names) - EVERYWHERE - {"s5lib"}
        assert not outside, (
            f"{path.name} needs {outside} as soon as it is imported; use config.require where it is used"
        )
