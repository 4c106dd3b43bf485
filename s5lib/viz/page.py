"""What a page shows: a figure, one that sliders redraw, the source of a function, a progress bar."""

import ast
import html
import inspect
import itertools
import json
import os
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from s5lib.config import check_choice, check_positive_int, require
from s5lib.viz.embed import (
    check_figure,
    check_text,
    compress,
    data_uri,
    display,
    encode,
    figure,
    img,
    in_kernel,
    pixels,
)
from s5lib.viz.style import Figure, plt

__all__ = ["explore", "progress", "show", "show_source"]

MAX_FRAMES = 60


def show(fig: Figure, caption: str, alt: str) -> None:
    """Display a figure once, with a caption and a text for those who cannot see it, and close it.

    Args:
        fig: a matplotlib Figure.
        caption: what to see in it, and what the numbers come from: seeds, band, hardware. Plain text.
        alt: what the picture shows, in words.
    Raises:
        TypeError: ``fig`` is no Figure.
        ValueError: the caption or the alt text is empty.
    """
    check_figure("fig", fig)
    image = img(data_uri(*encode(fig)), check_text("alt", alt), fig.get_figwidth())
    display(figure("s5lib-figure", image, check_text("caption", caption)), f"[figure] {caption}")
    plt.close(fig)


def show_source(fn: Callable, docstring: bool = True) -> None:
    """Display the source of a function or class, highlighted: the code that runs, not a copy of it.

    Args:
        fn: a function or class written in Python; one wrapped by ``jax.jit`` is unwrapped.
        docstring: False leaves out its docstring, for when only the few lines of code matter.
    Raises:
        TypeError: ``fn`` has no Python source.
    """
    try:
        source = textwrap.dedent(inspect.getsource(fn))
    except (TypeError, OSError) as error:
        raise TypeError(f"fn must be a function or class written in Python; got {fn!r}") from error
    if not docstring:
        source = _without_docstring(source)
    require("IPython", "viz").display.display(_Source(source))


class _Source:
    """Python source: a page shows it in its own colours, light or dark; a plain terminal as it is."""

    def __init__(self, source: str):
        self.source = source

    def _repr_markdown_(self) -> str:
        return f"```python\n{self.source}```"

    def __repr__(self) -> str:
        return self.source


def _without_docstring(source: str) -> str:
    node: Any = ast.parse(source).body[0]
    if ast.get_docstring(node) is None or len(node.body) < 2:
        return source
    lines = source.splitlines(keepends=True)
    text = node.body[0]
    return "".join(lines[: text.lineno - 1] + lines[text.end_lineno :])


Words: TypeAlias = str | Callable[..., str]

# Every figure on the page that has not been set up yet is; so several may stand on one page, and nothing is global.
_SCRIPT = """
(function () {
  document.querySelectorAll("figure.s5lib-explore:not([data-ready])").forEach(function (figure) {
    var store = figure.querySelector("script[type='application/json']");
    if (!store) return;
    figure.setAttribute("data-ready", "");
    var data = JSON.parse(store.textContent);
    var sliders = figure.querySelectorAll("input[type=range]"), shown = figure.querySelectorAll("output");
    var image = figure.querySelector("img"), caption = figure.querySelector("figcaption");
    function update() {
      var frame = 0;
      data.values.forEach(function (values, axis) {
        var place = Number(sliders[axis].value);
        frame = frame * values.length + place;
        shown[axis].textContent = values[place];
        sliders[axis].setAttribute("aria-valuetext", values[place]);
      });
      image.src = data.frames[frame];
      image.alt = data.alts[frame];
      caption.textContent = data.captions[frame];
    }
    sliders.forEach(function (slider) { slider.addEventListener("input", update); });
    update();
  });
})();
"""


def explore(
    draw: Callable[..., Figure],
    *,
    caption: Words,
    alt: Words,
    labels: Mapping[str, str] | None = None,
    start: Mapping[str, Any] | None = None,
    **axes: Sequence[Any],
) -> None:
    """Display a figure with one slider per axis.

    With a live kernel the sliders are ipywidgets and ``draw`` runs when one moves. While the book is built
    (``S5LIB_BUILD=1``) every combination is drawn beforehand, into one HTML element that needs no kernel and no network.

    Args:
        draw: called as ``draw(**values)``; returns a matplotlib Figure.
        caption, alt: as in ``show``; a text, or a function of the same values that returns one.
        labels: axis name -> what its slider is called; without one, the name with spaces for underscores.
        start: axis name -> the value to begin at; the first one where none is given.
        axes: name -> its values in slider order, numbers or texts; 60 combinations at most.
    Raises:
        TypeError: ``draw`` returns something else than a Figure.
        ValueError: no axis, an empty one, a name or value that is not among the axes, or too many combinations.
    """
    grid = {name: list(values) for name, values in axes.items()}
    wish = _Exploration(draw, caption, alt, grid, _check_axes(grid, labels or {}), _check_start(grid, start or {}))
    if os.environ.get("S5LIB_BUILD") == "1":
        display(_page_element(wish), f"[figure with sliders] {wish.words(wish.start)[0]}")
    elif in_kernel():
        require("IPython", "viz").display.display(_live_widgets(wish))
    else:
        show(wish.frame(wish.start), *wish.words(wish.start))


@dataclass(frozen=True)
class _Exploration:
    """What explore() was asked for, checked; ``labels`` and ``start`` have an entry for every axis of ``grid``."""

    draw: Callable[..., Figure]
    caption: Words
    alt: Words
    grid: dict[str, list]
    labels: dict[str, str]
    start: dict[str, Any]

    def frame(self, values: dict[str, Any]) -> Figure:
        fig = self.draw(**values)
        check_figure("what draw returns", fig)
        return fig

    def words(self, values: dict[str, Any]) -> tuple[str, str]:
        """The caption and the alt text at these values."""
        caption, alt = (text(**values) if callable(text) else text for text in (self.caption, self.alt))
        return check_text("caption", caption), check_text("alt", alt)


def _check_axes(grid: dict[str, list], labels: Mapping[str, str]) -> dict[str, str]:
    """Return the label of every axis."""
    if not grid or not all(grid.values()):
        raise ValueError(f"axes must be one or more names, each with its values, such as n=[1, 2, 4]; got {grid}")
    count = int(np.prod([len(values) for values in grid.values()]))
    if count > MAX_FRAMES:
        sizes = " x ".join(f"{len(values)} ({name})" for name, values in grid.items())
        raise ValueError(
            f"axes must have {MAX_FRAMES} combinations at most, for the page holds them all; got {sizes} = {count}"
        )
    for name in labels:
        check_choice("a key of labels", name, list(grid))
    return {name: labels.get(name, name.replace("_", " ")) for name in grid}


def _check_start(grid: dict[str, list], start: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in start.items():
        check_choice("a key of start", name, list(grid))
        if value not in grid[name]:
            raise ValueError(f"start[{name!r}] must be one of {grid[name]}; got {value!r}")
    return {name: start.get(name, values[0]) for name, values in grid.items()}


def _say(value: Any) -> str:
    """Write a slider's value as a reader would."""
    if isinstance(value, float | np.floating):
        return f"{value:g}"
    return str(value)


def _live_widgets(wish: _Exploration) -> Any:
    # Only widgets that both ipywidgets 7 (Colab) and 8 have. One HTML widget swaps image, alt text and caption at once.
    widgets = require("ipywidgets", "viz")
    drawn: dict[tuple, str] = {}

    def element(values: dict[str, Any]) -> str:
        key = tuple(values.values())
        if key not in drawn:
            fig = wish.frame(values)
            caption, alt = wish.words(values)
            drawn[key] = figure("s5lib-figure", img(data_uri(*encode(fig)), alt, fig.get_figwidth()), caption)
            plt.close(fig)
        return drawn[key]

    def redraw(_: Any) -> None:
        try:
            page.value = element({name: slider.value for name, slider in sliders.items()})
        except Exception as error:  # a callback's traceback would be lost
            page.value = f"<pre>{html.escape(f'draw raised {type(error).__name__}: {error}')}</pre>"

    sliders = {
        name: widgets.SelectionSlider(
            options=[(_say(value), value) for value in values],
            value=wish.start[name],
            description=wish.labels[name],
            style={"description_width": "initial"},
            layout={"width": "95%", "max_width": "640px"},
        )
        for name, values in wish.grid.items()
    }
    page = widgets.HTML(element(wish.start))
    for slider in sliders.values():
        slider.observe(redraw, names="value")
    return widgets.VBox([*sliders.values(), page])


def _page_element(wish: _Exploration) -> str:
    combinations = [dict(zip(wish.grid, values, strict=True)) for values in itertools.product(*wish.grid.values())]
    words = [wish.words(values) for values in combinations]
    images, inches = [], 0.0
    for values in combinations:
        fig = wish.frame(values)
        images.append(pixels(fig))
        inches = max(inches, fig.get_figwidth())
        plt.close(fig)
    frames, size = compress(images)
    data = {
        "values": [[_say(value) for value in values] for values in wish.grid.values()],
        "frames": frames,
        "captions": [caption for caption, _ in words],
        "alts": [alt for _, alt in words],
    }
    store = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")  # so that no text can end the script
    tail = (
        "<noscript><p>The sliders need JavaScript; the figure shows where they start.</p></noscript>"
        f'<script type="application/json">{store}</script><script>{_SCRIPT}</script>'
    )
    sliders = (_slider(wish.labels[name], values, values.index(wish.start[name])) for name, values in wish.grid.items())
    first = combinations.index(wish.start)
    caption, alt = words[first]
    return figure("s5lib-explore", "".join(sliders) + img(frames[first], alt, inches, size), caption, tail)


def _slider(label: str, values: list, place: int) -> str:
    text, now = html.escape(label), html.escape(_say(values[place]))
    row = "display:block;max-width:640px;margin:0 auto .6em;color:inherit;font-size:1em"
    return (
        f'<label style="{row}"><span>{text} = <output style="color:inherit;font-weight:bold">{now}</output></span>'
        f'<input type="range" min="0" max="{len(values) - 1}" step="1" value="{place}" autocomplete="off" '
        f'aria-label="{text}" aria-valuetext="{now}" title="drag, or use the arrow keys" '
        'style="display:block;width:100%;height:1.6em;margin:0;cursor:pointer;accent-color:#0072B2"></label>'
    )


def progress(work: Iterable | int, description: str) -> Iterator:
    """Go through ``work`` behind a progress bar; while the book is built, print one line at the end instead.

    Args:
        work: something to iterate over, or a number n for ``range(n)``.
        description: what is being done.
    Returns:
        An iterator over what ``work`` gives.
    Example:
        >>> for _ in progress(3, "counting"):
        ...     pass
        counting: 3 steps in 0 s

    """
    steps = range(check_positive_int("work", work)) if isinstance(work, int) else work
    begin = time.monotonic()
    if os.environ.get("S5LIB_BUILD") != "1" and (sys.stderr.isatty() or in_kernel()):
        yield from require("tqdm.auto", "viz").tqdm(steps, desc=description)
        return
    count = 0
    for step in steps:
        yield step
        count += 1
    print(f"{description}: {count} steps in {time.monotonic() - begin:.0f} s")
