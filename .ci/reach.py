"""Which modules of s5lib a piece of code reaches, found from its imports without running it."""

import ast
import hashlib
import pathlib
import re

from chapters import ROOT
from modules import listed


def lazy_names() -> tuple[set[str], dict[str, str]]:
    """s5lib's modules by name, and the module each public name lives in."""
    modules = listed()
    return set(modules), {name: module for module, (_, _, names) in modules.items() for name in names}


def files_of(dotted: str) -> list[pathlib.Path]:
    """The file behind "scan" or "envs", and for "envs.popgym" that of each package around it, which Python runs first."""
    parts, files = dotted.split("."), []
    for depth in range(1, len(parts) + 1):
        path = ROOT.joinpath("s5lib", *parts[:depth])
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if not file.exists():
            return []
        files.append(file)
    return files


def named_in(code: str) -> set[str]:
    """The parts of s5lib that this code names itself, as dotted names under s5lib."""
    modules, home = lazy_names()
    kept = [re.sub(r"^(\s*)[%!].*", r"\1pass", line) for line in code.splitlines()]  # magics are not Python
    found: set[str] = set()

    def take(name: str) -> None:
        first = name.split(".")[0]
        found.add(home.get(first, name if files_of(name) else first))

    for node in ast.walk(ast.parse("\n".join(kept))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("s5lib."):
                    take(alias.name.removeprefix("s5lib."))
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "s5lib":
            inside = node.module.removeprefix("s5lib").lstrip(".")
            for alias in node.names:
                take(
                    f"{inside}.{alias.name}" if inside and files_of(f"{inside}.{alias.name}") else inside or alias.name
                )
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "s5lib":
            take(node.attr)
    return {name for name in found if name in modules or files_of(name)}


def reached_modules(code: str) -> set[pathlib.Path]:
    """Every file of s5lib that the code can run, following imports between modules."""
    todo = [path for name in named_in(code) for path in files_of(name)]
    reached: set[pathlib.Path] = set()
    while todo:
        path = todo.pop()
        if path not in reached:
            reached.add(path)
            todo += [inner for name in named_in(path.read_text()) for inner in files_of(name)]
    return reached


def code_hash(path: pathlib.Path) -> str:
    """Hash a module's syntax tree, so that comments, layout and docstrings do not count."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return hashlib.sha256((path.name + ast.dump(tree)).encode()).hexdigest()
