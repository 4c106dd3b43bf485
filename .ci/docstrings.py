"""Sphinx extension: what the page needs of our docstrings' closing lines ("Source: ...") and of shapes such as (T, *S)."""

import re

CLOSING = re.compile(r"^(Source|Differs): (.*)")
STAR = re.compile(r"(?<![\w*`])\*(?=\w+[,)])")


def process(app, what, name, obj, options, lines: list[str]) -> None:
    """Rewrite one docstring in place, before napoleon reads its sections."""
    written: list[str] = []
    closing = False
    for line in lines:
        start = CLOSING.match(line)
        if start:
            closing = True
            written += ["", f"**{start[1]}.** {start[2]}"]
        elif closing and line.startswith(" ") and line.strip():
            written[-1] += " " + line.strip()
        else:
            closing = False
            parts = line.split("``")  # every second part stands in a literal
            written.append("``".join(part if i % 2 else STAR.sub(r"\\*", part) for i, part in enumerate(parts)))
    lines[:] = written


def setup(app) -> dict:
    app.connect("autodoc-process-docstring", process, priority=400)
    return {"parallel_read_safe": True}
