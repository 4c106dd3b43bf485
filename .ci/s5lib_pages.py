"""Sphinx extension: docstrings as our pages need them, and no scripts that would ask another machine for anything."""

import html
import inspect
import re

CLOSING = re.compile(r"^(Source|Differs): (.*)")
STAR = re.compile(r"(?<![\w*`])\*(?=\w+[,)])")


def process(app, what, name, obj, options, lines: list[str]) -> None:
    """Set one docstring's closing lines ("Source: ...") and shapes such as (T, *S), before napoleon reads its sections."""
    written: list[str] = []
    closing = False
    for line in lines:
        start = CLOSING.match(line)
        if start:
            closing = True
            written += ["", f"**{start[1]}.** {start[2]}"]
        elif closing and line.startswith(" ") and line.strip():
            written[-1] += " " + line.strip()
        elif line.lstrip().startswith((">>> ", "... ")):
            written.append(line)
        else:
            closing = False
            parts = line.split("``")  # every second part stands in a literal
            written.append("``".join(part if i % 2 else STAR.sub(r"\\*", part) for i, part in enumerate(parts)))
    lines[:] = written


def skip(app, what, name, obj, skipped, options) -> bool | None:
    """Leave out the fields of named tuples, which the tuple's docstring has explained, and what is another package's."""
    if type(obj).__name__ == "_tuplegetter":
        return True
    elsewhere = inspect.isclass(obj) and not obj.__module__.startswith("s5lib")
    return True if what == "module" and elsewhere else None


def sign(app, what, name, obj, options, signature, returns) -> tuple[str | None, str | None]:
    """Leave out the two arguments that flax adds to every module."""
    return re.sub(r", parent=<[^>]*>, name=None", "", signature or "") or None, returns


def without_thebe(app, config) -> None:
    """Leave out sphinx-thebe, which Jupyter Book always loads: live kernels from a server on the net are not for this book."""
    for name, listeners in app.events.listeners.items():
        app.events.listeners[name] = [one for one in listeners if not one.handler.__module__.startswith("sphinx_thebe")]
    app.registry.css_files[:] = [file for file in app.registry.css_files if "thebe" not in file[0]]


def mend(app, pagename, templatename, context, doctree) -> None:
    """Say in a page's head what it is about; take away a list's role where what is in it has none of its own."""
    if body := context.get("body"):
        context["body"] = body.replace('<div role="list" class="citation-list">', '<div class="citation-list">')
    if doctree is None:
        return

    def first(tag: str) -> str:
        words = next((node.astext() for node in doctree.findall(lambda node: node.tagname == tag)), "")
        return html.escape(" ".join(words.split())[:200], quote=True)

    words = first("paragraph")
    facts = {"og:title": first("title"), "og:description": words, "og:type": "article"}
    if base := app.config.html_baseurl:
        facts["og:image"] = f"{base.rstrip('/')}/_static/live.png"
    tags = [f'<meta property="{key}" content="{value}">' for key, value in facts.items()]
    context["metatags"] = "\n".join(
        [context.get("metatags", ""), f'<meta name="description" content="{words}">', *tags]
    )


def setup(app) -> dict:
    app.connect("html-page-context", mend)
    app.connect("autodoc-process-docstring", process, priority=400)
    app.connect("autodoc-skip-member", skip)
    app.connect("autodoc-process-signature", sign)
    app.connect("config-inited", without_thebe)
    return {"parallel_read_safe": True}
