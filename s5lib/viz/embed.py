"""How a figure becomes one HTML element: its picture embedded, a caption under it, readable on light and dark pages."""

import base64
import html
import io
from typing import Any

from s5lib.config import require
from s5lib.viz.style import Figure, plt

__all__ = [
    "check_figure",
    "check_text",
    "compress",
    "data_uri",
    "display",
    "encode",
    "figure",
    "img",
    "in_kernel",
    "pixels",
]

MAX_BYTES = 1_500_000  # of one explore() element; above it the frames are made coarser
SVG_BYTES = 150_000  # a larger drawing (a heat map, thousands of points) is embedded as pixels
DPI = 160  # of embedded pixels: 6.4 in become 1024, sharp at the 640 they are shown at


class _Html:
    """An HTML element that a plain terminal sees as one line of text."""

    def __init__(self, element: str, text: str):
        self.element, self.text = element, text

    def _repr_html_(self) -> str:
        return self.element

    def __repr__(self) -> str:
        return self.text


def display(element: str, text: str) -> None:
    """Show an HTML element; a plain terminal sees the text."""
    require("IPython", "viz").display.display(_Html(element, text))


def in_kernel() -> bool:
    """Whether a notebook's kernel runs this, so that widgets are alive."""
    return hasattr(require("IPython", "viz").get_ipython(), "kernel")


def check_text(name: str, value: Any) -> str:
    """Return a text on one line; a ValueError where it says nothing."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} must be a text that says what the figure shows; got {value!r}")
    return " ".join(value.split())


def check_figure(name: str, value: Any) -> None:
    """Refuse what is no matplotlib Figure with a TypeError."""
    if not isinstance(value, plt.Figure):
        raise TypeError(f"{name} must be a matplotlib Figure; got {type(value).__name__}")


def encode(fig: Figure) -> tuple[bytes, str]:
    """Draw a figure as SVG, or as PNG where the SVG would be heavy."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="svg", facecolor="white", metadata={"Date": None})
    if buffer.tell() <= SVG_BYTES:
        return buffer.getvalue(), "svg+xml"
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=DPI, facecolor="white", pil_kwargs={"optimize": True})
    return buffer.getvalue(), "png"


def data_uri(data: bytes, kind: str) -> str:
    """Write the bytes of an image of a kind, such as "png", as an address that holds them."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def img(source: str, alt: str, inches: float, size: tuple[int, int] | None = None) -> str:
    """Write an <img> element: up to 100 pixels an inch wide, ``size`` pixels where they are known."""
    # dark-light: the theme's own class for images that must not be dimmed on a dark page.
    css = f"display:block;width:100%;max-width:{100 * inches:.0f}px;height:auto;margin:0 auto;background:#fff"
    frame = f' width="{size[0]}" height="{size[1]}"' if size else ""
    return f'<img class="dark-light" src="{source}" alt="{html.escape(alt)}"{frame} style="{css};border-radius:.25em">'


def figure(kind: str, body: str, caption: str, tail: str = "") -> str:
    """Write a <figure> element: its body, the caption under it, and what follows unseen."""
    # The style is in place, for no style sheet reaches Colab; it overrules the theme's pale captions as well.
    type_ = "color:inherit;font-weight:400;font-size:.95em;text-align:left"
    text = (
        f'<figcaption style="{type_};max-width:640px;margin:.5em auto 0;padding:0">{html.escape(caption)}</figcaption>'
    )
    return f'<figure class="{kind} tex2jax_ignore" style="margin:.5em 0;color:inherit">{body}{text}{tail}</figure>'


def pixels(fig: Figure) -> Any:
    """Draw a figure as an image of Pillow's, for ``compress``."""
    pillow = require("PIL.Image", "viz")
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=DPI, facecolor="white", pil_kwargs={"compress_level": 1})
    return pillow.open(buffer).convert("RGB")


def compress(images: list) -> tuple[list[str], tuple[int, int]]:
    """Put every frame on one canvas, so that the page does not jump, and embed them as WebP in about ``MAX_BYTES``."""
    canvas = (max(image.width for image in images), max(image.height for image in images))
    padded = []
    for image in images:
        padded.append(require("PIL.Image", "viz").new("RGB", canvas, "white"))
        padded[-1].paste(image, ((canvas[0] - image.width) // 2, 0))
    sample = padded[:: max(1, len(padded) // 6)]
    for colours, scale in ((256, 1.0), (96, 0.8), (32, 0.625)):
        size = (round(canvas[0] * scale), round(canvas[1] * scale))
        if sum(len(_webp(image, colours, size)) for image in sample) * len(padded) <= MAX_BYTES * len(sample):
            break
    return [_webp(image, colours, size) for image in padded], size


def _webp(image: Any, colours: int, size: tuple[int, int]) -> str:
    # MAXCOVERAGE keeps rare colours, such as the bright end of a colour bar, that a median cut would merge.
    image = image.resize(size) if image.size != size else image
    image = image.quantize(colours, method=require("PIL.Image", "viz").Quantize.MAXCOVERAGE, dither=0).convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=True, quality=50, method=3)
    return data_uri(buffer.getvalue(), "webp")
