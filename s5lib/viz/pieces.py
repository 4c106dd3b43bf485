"""What the drawings of games are made of: tiles, cards, bars and arrows on a canvas ten units wide.

One code of colours for all games. Blue: what the player sees now. White: seen before, so a memory can hold it. Grey: not
seen yet. Orange: the action. Purple: what is asked for.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from s5lib.config import require
from s5lib.viz.style import Axes, plt

_collections, _textpath, _path = (require(f"matplotlib.{part}", "viz") for part in ("collections", "textpath", "path"))

__all__ = [
    "ACTION",
    "ASKED",
    "BAD",
    "GOOD",
    "HIDDEN",
    "INK",
    "KNOWN",
    "PALE",
    "RIGHT",
    "SEEN",
    "WRONG",
    "Face",
    "arc",
    "arrow",
    "canvas",
    "card",
    "cards",
    "face",
    "faint",
    "frame",
    "label",
    "pillars",
    "table",
    "tile",
    "unit",
]

INK, PALE, HIDDEN, KNOWN = "#222222", "#8C8C8C", "#D6D6D6", "#FFFFFF"
RIGHT, WRONG = "#CBE8CF", "#F6CFC9"  # grounds of what went well and what did not
SEEN, ACTION, ASKED = "#0072B2", "#D95F02", "#AA4499"
GOOD, BAD = "#1B7837", "#B2182B"
RED = "#C21807"
RANKS = ("A", *(str(number) for number in range(2, 11)), "J", "Q", "K")

Face = tuple[str, str]  # what stands on a card, and its colour


def canvas(ax: Axes) -> None:
    """Make the axes a board: 10 x 10 units, and below it room for two lines of text."""
    ax.set(xlim=(0, 10), ylim=(-2.5, 10.1), aspect="equal")
    ax.axis("off")


def unit(ax: Axes) -> float:
    """The size of one unit in points, so that text can fit its tile."""
    place = ax.get_position(original=True)
    width, height = ax.figure.get_size_inches()  # type: ignore[union-attr]  # never a part of a figure
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    return 72 * min(place.width * width / (right - left), place.height * height / (high - low))


def label(ax: Axes, x: float, y: float, text: str, **options: Any) -> None:
    """Write a word or two, centred at a place."""
    ax.text(x, y, text, **{"ha": "center", "va": "center", "fontsize": 11.5, "color": INK, **options})


def tile(ax: Axes, x: float, y: float, width: float, height: float, ground: str = HIDDEN, **options: Any) -> None:
    """Fill a rectangle whose lower left corner is (x, y), with a thin gap to its neighbours."""
    gap = 0.05 * min(width, height, 1.5)
    look = {"facecolor": ground, "edgecolor": "#9A9A9A", "linewidth": 0.6, **options}
    ax.add_patch(plt.Rectangle((x + gap, y + gap), width - 2 * gap, height - 2 * gap, **look))


def frame(ax: Axes, x: float, y: float, width: float, height: float, color: str, **options: Any) -> None:
    """Put a coloured frame around a tile; what is asked for has a dashed one."""
    gap = 0.05 * min(width, height, 1.5)
    look = {"linewidth": 2.4, "zorder": 4, "linestyle": (0, (2, 1)) if color == ASKED else "-", **options}
    ax.add_patch(plt.Rectangle((x + gap, y + gap), width - 2 * gap, height - 2 * gap, fill=False, ec=color, **look))


def card(ax: Axes, x: float, y: float, width: float, height: float, shown: Face, ground: str = HIDDEN) -> None:
    """Draw a tile with a glyph on it."""
    text, color = shown
    size = unit(ax) * min(0.66 * height, 0.62 * width if len(text) == 1 else 1.0 * width / len(text))
    tile(ax, x, y, width, height, ground)
    label(ax, x + width / 2, y + 0.48 * height, text, fontsize=size, color=color)


def faint(shown: Face) -> Face:
    """The same glyph as one that is there and that nobody sees, or needs."""
    return shown[0], "#9E9E9E"


def face(kinds: int, value: int) -> Face:
    """Say what stands on a card named by its colour (2 kinds), suit (4) or rank (13)."""
    if kinds == 2:
        return "BR"[value], RED if value else INK
    if kinds == 4:
        return "♠♦♣♥"[value], RED if value % 2 else INK
    return RANKS[value], INK


def cards(
    ax: Axes, places: Sequence[tuple[float, float]], side: float, grounds: Sequence[str], shown: Sequence[Face]
) -> None:
    """Draw many square tiles and what stands on them at once, which is much faster than one by one."""
    gap, look = 0.05 * min(side, 1.5), {"edgecolors": "#9A9A9A", "linewidths": 0.6}
    corners = side * np.array([(0, 0), (0, 1), (1, 1), (1, 0)]) + gap * np.array([(1, 1), (1, -1), (-1, -1), (-1, 1)])
    squares = np.asarray(places)[:, None] + corners
    ax.add_collection(_collections.PolyCollection(squares, facecolors=list(grounds), **look), autolim=False)
    middles = np.asarray(places) + side / 2
    for kind in dict.fromkeys(shown):
        text, color = kind
        if text:
            path, reach = _glyph(text)
            size = 0.66 * side * unit(ax) / max(1, 0.62 * len(text))  # of the type, in points
            x, y = middles[[one == kind for one in shown]].T
            ax.scatter(x, y, s=(2 * reach * size) ** 2, marker=path, color=color, linewidths=0)


@cache
def _glyph(text: str) -> tuple[Any, float]:
    """The outline of a text in type of size 1, its middle at the origin, and how far it reaches."""
    path = _textpath.TextPath((0, 0), text, size=1)
    box = path.get_extents()
    vertices = path.vertices - np.array([box.x0 + box.x1, box.y0 + box.y1]) / 2
    return _path.Path(vertices, path.codes), float(np.abs(vertices).max())


def table(count: int) -> tuple[list[tuple[float, float]], float]:
    """Lay out cards row by row from the top left: their lower left corners, and the side of a tile."""
    columns = math.ceil(math.sqrt(count))
    side = 10 / columns
    return [(i % columns * side, 10 - (i // columns + 1) * side) for i in range(count)], side


def pillars(
    ax: Axes,
    heights: Sequence[float] | np.ndarray,
    bottom: float,
    top: float,
    names: Sequence[str],
    color: str = HIDDEN,
) -> np.ndarray:
    """Draw bars side by side, 1 as high as there is room, with names beneath; return the middles of the bars."""
    width = 10 / len(names)
    middles = width * (np.arange(len(names)) + 0.5)
    ax.bar(middles, np.asarray(heights) * (top - bottom), 0.76 * width, bottom, color=color, ec="#9A9A9A", lw=0.6)
    ax.plot([0, 10], [bottom, bottom], color=PALE, linewidth=1)
    for middle, name in zip(middles, names, strict=True):
        label(ax, middle, bottom - 0.55, name, fontsize=min(12, 1.0 * unit(ax) * width))
    return middles


def arrow(
    ax: Axes, start: Sequence[float] | np.ndarray, end: Sequence[float] | np.ndarray, color: str, **options: Any
) -> None:
    """Draw a straight arrow."""
    look = {"arrowstyle": "-|>", "color": color, "linewidth": 2.4, "mutation_scale": 14, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", (end[0], end[1]), (start[0], start[1]), arrowprops={**look, **options}, zorder=5)


def arc(ax: Axes, centre: np.ndarray, radius: float, start: float, sweep: float, color: str) -> None:
    """Draw an arrow along a circle, from the angle ``start`` over ``sweep``, both in radians, counterclockwise."""
    if abs(sweep) < 0.05:
        return
    angles = start + np.linspace(0, sweep, 30)
    x, y = centre[0] + radius * np.cos(angles), centre[1] + radius * np.sin(angles)
    ax.plot(x[:-2], y[:-2], color=color, linewidth=2.4, solid_capstyle="butt")
    arrow(ax, (x[-4], y[-4]), (x[-1], y[-1]), color)
