"""The library's modules in the docs: README's table, which `make sync` writes, and the reference page, which the build writes."""

import ast
import html
import re
from collections.abc import Sequence

from chapters import ROOT

PACKAGE = ROOT / "s5lib"
README = re.compile(r"<!-- modules -->.*?<!-- /modules -->", re.DOTALL)
API, INDEX = "<!-- reference -->", "<!-- index -->"


def listed() -> dict[str, tuple[str, str, list[str]]]:
    """s5lib.MODULES, read without importing it: name -> chapters, what it holds, the names that s5lib passes on."""
    for node in ast.parse((PACKAGE / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            if getattr(target, "id", "") == "MODULES" and node.value is not None:
                return ast.literal_eval(node.value)
    raise LookupError("s5lib/__init__.py no longer assigns MODULES")


def readme_table() -> str:
    """A row a module: where it is, the chapter that explains it, what it holds."""
    rows = ["<!-- modules -->", "| module | chapter | what it holds |", "|---|---|---|"]
    for name, (chapters, words, _) in listed().items():
        path = f"s5lib/{name}" if (PACKAGE / name).is_dir() else f"s5lib/{name}.py"
        rows.append(f"| [{name}]({path}) | {'' if chapters == 'all' else chapters} | {words} |")
    return "\n".join([*rows, "<!-- /modules -->"])


def parts(package: str) -> list[str]:
    """The dotted names of a package's modules, packages inside it with theirs, in the order of their names."""
    folder = PACKAGE.joinpath(*package.split("."))
    found = []
    for path in sorted(folder.iterdir()):
        if path.suffix == ".py" and not path.stem.startswith("_"):
            found.append(f"{package}.{path.stem}")
        elif (path / "__init__.py").exists():
            found += [f"{package}.{path.name}", *parts(f"{package}.{path.name}")]
    return found


def section(dotted: str, chapters: str = "all") -> str:
    """One module of the reference page; its docstring says what it holds."""
    package = (PACKAGE.joinpath(*dotted.split(".")) / "__init__.py").exists()
    options = ["   :members:", "   :special-members: __call__", "   :exclude-members: setup"]
    options += ["   :ignore-module-all:"] if package else []  # what a package gathers is shown where it is defined
    level = "#" * min(4, 2 + dotted.count("."))
    where = "" if chapters == "all" else f" (chapter{'s' * ('-' in chapters)} {chapters})"
    lines = [f"{level} {dotted}{where}", "", "```{eval-rst}", f".. automodule:: s5lib.{dotted}", *options, "```", ""]
    return "\n".join(lines)


def reference() -> str:
    """The body of the reference page: every public module."""
    sections = []
    for name, (chapters, _, _) in listed().items():
        sections.append(section(name, chapters))
        sections += map(section, parts(name) if (PACKAGE / name).is_dir() else [])
    return "\n" + "\n".join(sections)


def public(dotted: str) -> list[tuple[str, str]]:
    """The names in a module's ``__all__`` that it defines, each with the first line of its docstring."""
    path = PACKAGE.joinpath(*dotted.split("."))
    tree = ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text())
    said = {
        node.name: (ast.get_docstring(node) or "").split("\n")[0]
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    names: list[str] = []
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if getattr(target, "id", "") == "__all__":
            names += ast.literal_eval(node.value)
    return [(name, said[name]) for name in names if name in said]


def long_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that book/_assets/tables.js lets a reader filter and sort; cells are HTML."""

    def line(tag: str, cells: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>"

    body = "\n".join(line("td", cells) for cells in rows)
    return f'<table class="s5lib-table">\n<thead>{line("th", head)}</thead>\n<tbody>\n{body}\n</tbody>\n</table>'


def index() -> str:
    """A table of every public function and class: what it does in a line, and the chapter that explains it."""
    rows = []
    for name, (chapters, _, _) in listed().items():
        for dotted in [name, *(parts(name) if (PACKAGE / name).is_dir() else [])]:
            for called, words in public(dotted):
                link = f'<a href="#s5lib.{dotted}.{called}"><code>{dotted}.{called}</code></a>'
                words = html.escape(words.replace("``", ""))
                rows.append([link, words, chapters])
    return long_table(("name", "what it does", "chapter"), rows)


def with_reference(page: str) -> str:
    """The reference page's text with the index and every module in their places."""
    return page.replace(INDEX, index()).replace(API, reference())


def documented() -> dict:
    """The files that list the modules, and what each should say."""
    readme = ROOT / "README.md"
    return {readme: README.sub(lambda _: readme_table(), readme.read_text())}
