"""The landing page's cards: one a chapter, with its opening figure, its question and the time it takes to read."""

import base64
import pathlib
import re
from collections.abc import Iterator

import nbformat

ROW = re.compile(
    r"^\| (\d+) \| (?:\[(?P<title>[^]]+)\]\((?P<page>[\w-]+)\.ipynb\)|(?P<planned>[^|]+?)) \| (?P<question>[^|]+?) \|",
    re.M,
)
TIME = re.compile(r"\*\*Time:?\*\* about (an hour|\d+ minutes)")
IMAGE = re.compile(r'<img[^>]*?src="data:image/(png|webp|svg\+xml);base64,([^"]+)"[^>]*?alt="([^"]*)"')


def pictures(cell: nbformat.NotebookNode) -> Iterator[tuple[str, bytes, str]]:
    """The first picture of each output of a cell: its kind, its bytes and what it shows in words."""
    for output in cell.get("outputs", []):
        if found := IMAGE.search("".join(output.get("data", {}).get("text/html", ""))):
            yield found[1].removesuffix("+xml"), base64.b64decode(found[2]), found[3]


def reading_time(notebook: nbformat.NotebookNode) -> str:
    """What the chapter says of itself."""
    return next(found[1] for cell in notebook.cells if (found := TIME.search(cell.source)))


def cards(table: str, book: pathlib.Path) -> str:
    """A grid of cards in place of the table of chapters; pictures are written beside the staged chapters."""
    lines, planned = ["::::{grid} 1 2 2 2", ":gutter: 3", ""], []
    for row in ROW.finditer(table):
        number, question = row[1], row["question"]
        if row["planned"]:
            planned.append(f"{number}. *{row['planned']}*: {question}")
            continue
        notebook = nbformat.read(book / f"{row['page']}.ipynb", as_version=4)
        kind, data, alt = next(found for cell in notebook.cells for found in pictures(cell))
        (book / "cards").mkdir(exist_ok=True)
        (book / f"cards/{row['page']}.{kind}").write_bytes(data)
        lines += [
            f":::{{grid-item-card}} {number} · {row['title']}",
            f":link: {row['page']}",
            ":link-type: doc",
            f":img-bottom: cards/{row['page']}.{kind}",
            f":img-alt: {alt}",
            f"{question} *{reading_time(notebook)}*",
            ":::",
            "",
        ]
    return "\n".join([*lines, "::::", "", "To come: " + "; ".join(planned) if planned else ""])


def gallery(notebook: nbformat.NotebookNode, folder: pathlib.Path) -> str:
    """Thumbnails that lead to a page's figures: the first picture under each heading of the third level, written to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    links, name = [], None
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heads = re.findall(r"^### (.+)$", cell.source, re.M)
            name = heads[-1] if heads else name
            continue
        for kind, data, _ in pictures(cell) if name else ():
            slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
            (folder / f"{slug}.{kind}").write_bytes(data)
            source, alt = f"../_static/{folder.name}/{slug}.{kind}", f"{name}: one step, drawn."
            image = f'<img src="{source}" alt="{alt}" loading="lazy">'
            links.append(f'<a href="#{slug}">{image}<span>{name}</span></a>')
            name = None
            break
    return '<div class="s5lib-gallery">\n' + "\n".join(links) + "\n</div>"
