"""The book's figures: one style, one look per method, alt text everywhere, and sliders that need no kernel.

``show`` displays a finished figure, ``explore`` one that sliders redraw. Each emits one self-contained HTML element:
images are embedded, nothing is fetched, and it reads the same on a light and on a dark page.
"""

import ast
import base64
import html
import inspect
import io
import itertools
import json
import os
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from s5lib import stats
from s5lib.config import check_choice, check_positive_int, check_shape, require

plt: Any = require("matplotlib.pyplot", "viz")

__all__ = [
    "METHODS",
    "bars",
    "explore",
    "learning_curve",
    "progress",
    "show",
    "show_source",
    "state_heatmap",
    "style",
    "unit_disc",
    "use_style",
]

# Colours that colour-blind readers can tell apart, and line styles that differ in grey as well.
METHODS: dict[str, dict[str, Any]] = {
    "s5": {"color": "#0072B2", "linestyle": "-", "label": "S5"},
    "gru": {"color": "#D95F02", "linestyle": "-.", "label": "GRU"},
    "lstm": {"color": "#009E73", "linestyle": (0, (6, 1, 1, 1, 1, 1)), "label": "LSTM"},
    "attention": {"color": "#AA4499", "linestyle": ":", "label": "attention"},
    "none": {"color": "#7A7A7A", "linestyle": (0, (2, 0.8)), "label": "no memory"},
    "optimal": {"color": "#222222", "linestyle": "--", "label": "optimal"},
    "random": {"color": "#8A6D3B", "linestyle": "--", "label": "random"},
}

CENTRES: dict[str, stats.Statistic] = {"iqm": stats.interquartile_mean, "mean": stats.mean_score}

MAX_FRAMES = 60
MAX_BYTES = 1_500_000  # of one explore() element; above it the frames are made coarser
SVG_BYTES = 150_000  # a larger drawing (a heat map, thousands of points) is embedded as pixels
DPI = 160  # of embedded pixels: 6.4 in become 1024, sharp at the 640 they are shown at

# ---------------------------------------------------------------------------------------------- style


def use_style() -> None:
    """Set matplotlib's defaults for the book: 6.4 inches wide, 12 point type, opaque white ground.

    Example:
        >>> use_style()
        >>> plt.rcParams["figure.figsize"], plt.rcParams["font.size"]
        ([6.4, 3.6], 12.0)

    """
    settings = {
        "figure.figsize": (6.4, 3.6),
        "figure.facecolor": "white",
        "figure.constrained_layout.use": True,
        "savefig.facecolor": "white",
        "font.size": 12,
        "axes.titlesize": 12,
        "axes.labelsize": 12,
        "xtick.labelsize": 11,
        "ytick.labelsize": 11,
        "legend.fontsize": 11,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#E4E4E4",
        "grid.linewidth": 0.8,
        "lines.linewidth": 2,
        "image.cmap": "viridis",
        "svg.fonttype": "path",
        "svg.hashsalt": "s5lib",
        "axes.prop_cycle": plt.cycler(
            color=[METHODS[name]["color"] for name in ("s5", "gru", "lstm", "attention", "none")]
        ),
    }
    plt.rcParams.update(settings)


def style(method: str, **overrides: Any) -> dict[str, Any]:
    """Return the colour, line style and label that a method has in every figure of the book.

    Args:
        method: a key of ``METHODS``.
        overrides: matplotlib line properties to add or replace.
    Raises:
        ValueError: the method has no style.
    Example:
        >>> style("gru", linewidth=1)
        {'color': '#D95F02', 'linestyle': '-.', 'label': 'GRU', 'linewidth': 1}

    """
    return {**METHODS[check_choice("method", method, list(METHODS))], **overrides}


# ------------------------------------------------------------------------------------------- displaying


def show(fig: Any, caption: str, alt: str) -> None:
    """Display a figure once, with a caption and a text for those who cannot see it, and close it.

    Args:
        fig: a matplotlib Figure.
        caption: what to see in it, and what the numbers come from: seeds, band, hardware. Plain text.
        alt: what the picture shows, in words.
    Raises:
        TypeError: ``fig`` is no Figure.
        ValueError: the caption or the alt text is empty.
    """
    _check_figure("fig", fig)
    image = _image(_data_uri(*_encode(fig)), _check_text("alt", alt), fig.get_figwidth())
    _display(_figure("s5lib-figure", image, _check_text("caption", caption)), f"[figure] {caption}")
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


class _Html:
    """An HTML element that a plain terminal sees as one line of text."""

    def __init__(self, element: str, text: str):
        self.element, self.text = element, text

    def _repr_html_(self) -> str:
        return self.element

    def __repr__(self) -> str:
        return self.text


def _display(element: str, text: str) -> None:
    require("IPython", "viz").display.display(_Html(element, text))


def _in_kernel() -> bool:
    return hasattr(require("IPython", "viz").get_ipython(), "kernel")


def _check_text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} must be a text that says what the figure shows; got {value!r}")
    return " ".join(value.split())


def _check_figure(name: str, value: Any) -> None:
    if not isinstance(value, plt.Figure):
        raise TypeError(f"{name} must be a matplotlib Figure; got {type(value).__name__}")


def _encode(fig: Any) -> tuple[bytes, str]:
    """Draw a figure as SVG, or as PNG where the SVG would be heavy."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="svg", facecolor="white", metadata={"Date": None})
    if buffer.tell() <= SVG_BYTES:
        return buffer.getvalue(), "svg+xml"
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=DPI, facecolor="white", pil_kwargs={"optimize": True})
    return buffer.getvalue(), "png"


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _image(source: str, alt: str, inches: float, size: tuple[int, int] | None = None) -> str:
    # dark-light: the theme's own class for images that must not be dimmed on a dark page.
    css = f"display:block;width:100%;max-width:{100 * inches:.0f}px;height:auto;margin:0 auto;background:#fff"
    frame = f' width="{size[0]}" height="{size[1]}"' if size else ""
    return f'<img class="dark-light" src="{source}" alt="{html.escape(alt)}"{frame} style="{css};border-radius:.25em">'


def _figure(kind: str, body: str, caption: str, tail: str = "") -> str:
    # The style is in place, for no style sheet reaches Colab; it overrules the theme's pale captions as well.
    type_ = "color:inherit;font-weight:400;font-size:.95em;text-align:left"
    text = (
        f'<figcaption style="{type_};max-width:640px;margin:.5em auto 0;padding:0">{html.escape(caption)}</figcaption>'
    )
    return f'<figure class="{kind} tex2jax_ignore" style="margin:.5em 0;color:inherit">{body}{text}{tail}</figure>'


def _without_docstring(source: str) -> str:
    node: Any = ast.parse(source).body[0]
    if ast.get_docstring(node) is None or len(node.body) < 2:
        return source
    lines = source.splitlines(keepends=True)
    text = node.body[0]
    return "".join(lines[: text.lineno - 1] + lines[text.end_lineno :])


# ---------------------------------------------------------------------------------------------- explore

Words = str | Callable[..., str]

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
    draw: Callable[..., Any],
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
        _display(_page_element(wish), f"[figure with sliders] {wish.words(wish.start)[0]}")
    elif _in_kernel():
        require("IPython", "viz").display.display(_live_widgets(wish))
    else:
        show(wish.frame(wish.start), *wish.words(wish.start))


@dataclass(frozen=True)
class _Exploration:
    """What explore() was asked for, checked; ``labels`` and ``start`` have an entry for every axis of ``grid``."""

    draw: Callable[..., Any]
    caption: Words
    alt: Words
    grid: dict[str, list]
    labels: dict[str, str]
    start: dict[str, Any]

    def frame(self, values: dict[str, Any]) -> Any:
        fig = self.draw(**values)
        _check_figure("what draw returns", fig)
        return fig

    def words(self, values: dict[str, Any]) -> tuple[str, str]:
        """The caption and the alt text at these values."""
        caption, alt = (text(**values) if callable(text) else text for text in (self.caption, self.alt))
        return _check_text("caption", caption), _check_text("alt", alt)


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
            drawn[key] = _figure("s5lib-figure", _image(_data_uri(*_encode(fig)), alt, fig.get_figwidth()), caption)
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
        images.append(_pixels(fig))
        inches = max(inches, fig.get_figwidth())
        plt.close(fig)
    frames, size = _compress(images)
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
    return _figure("s5lib-explore", "".join(sliders) + _image(frames[first], alt, inches, size), caption, tail)


def _slider(label: str, values: list, place: int) -> str:
    text, now = html.escape(label), html.escape(_say(values[place]))
    row = "display:block;max-width:640px;margin:0 auto .6em;color:inherit;font-size:1em"
    return (
        f'<label style="{row}"><span>{text} = <output style="color:inherit;font-weight:bold">{now}</output></span>'
        f'<input type="range" min="0" max="{len(values) - 1}" step="1" value="{place}" autocomplete="off" '
        f'aria-label="{text}" aria-valuetext="{now}" title="drag, or use the arrow keys" '
        'style="display:block;width:100%;height:1.6em;margin:0;cursor:pointer;accent-color:#0072B2"></label>'
    )


def _pixels(fig: Any) -> Any:
    pillow = require("PIL.Image", "viz")
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=DPI, facecolor="white", pil_kwargs={"compress_level": 1})
    return pillow.open(buffer).convert("RGB")


def _compress(images: list) -> tuple[list[str], tuple[int, int]]:
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
    return _data_uri(buffer.getvalue(), "webp")


# -------------------------------------------------------------------------------------- kinds of figure


def state_heatmap(ax: Any, states: np.ndarray, resets: np.ndarray | None = None, **options: Any) -> Any:
    """Draw how large every state is at every time step, and mark where a new episode begins.

    Args:
        ax: a matplotlib Axes.
        states: (T, P), real or complex; what is drawn is ``|states|``.
        resets: (T,) bool; a line is drawn before each True.
        options: passed to ``ax.imshow``, such as ``vmin`` and ``vmax``.
    Returns:
        The image, for ``fig.colorbar``.
    Raises:
        ValueError: a wrong shape.
    """
    states = np.asarray(states)
    check_shape("states", states, ("T", "P"))
    T, P = states.shape
    extent = (-0.5, T - 0.5, -0.5, P - 0.5)
    image = ax.imshow(np.abs(states).T, **{"aspect": "auto", "origin": "lower", "extent": extent, **options})
    if resets is not None:
        check_shape("resets", resets, (T,))
        for t in np.flatnonzero(resets):
            ax.axvline(t - 0.5, color="white", linewidth=2.5)
            ax.axvline(t - 0.5, color=METHODS["gru"]["color"], linewidth=1.2, linestyle="--")
    ax.grid(False)
    ax.set(xlabel="time step t", ylabel="state")
    return image


def unit_disc(ax: Any, points: np.ndarray | None = None, **options: Any) -> None:
    """Draw the unit disc of the complex plane, where the eigenvalues of a stable step lie, and points on it.

    Args:
        ax: a matplotlib Axes.
        points: complex numbers of any shape.
        options: passed to ``ax.scatter``, such as ``color`` and ``label``.
    """
    ax.add_patch(plt.Circle((0, 0), 1, facecolor="#EEF4F9", edgecolor="#4A4A4A", linewidth=1.2, zorder=0))
    ax.axhline(0, color="#B0B0B0", linewidth=0.8, zorder=1)
    ax.axvline(0, color="#B0B0B0", linewidth=0.8, zorder=1)
    if points is not None:
        points = np.ravel(points)
        ax.scatter(points.real, points.imag, **{"s": 28, "color": METHODS["s5"]["color"], "zorder": 3, **options})
    ax.grid(False)
    ax.set(aspect="equal", xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), xlabel="real part", ylabel="imaginary part")


def learning_curve(
    ax: Any,
    x: np.ndarray,
    runs: np.ndarray,
    method: str,
    centre: np.ndarray | str | None = None,
    band: tuple[np.ndarray, np.ndarray] | None = None,
    **overrides: Any,
) -> None:
    """Draw the runs of one method: a thin line per seed, a thick one through their middle, a band where one is given.

    Args:
        ax: a matplotlib Axes.
        x: (K,), environment steps or updates.
        runs: (seeds, K), the metric of every seed.
        method: a key of ``METHODS``; the label counts the seeds.
        centre: (K,), the thick line; the mean over seeds where none is given. Or ``"iqm"`` or ``"mean"``: the seeds'
            interquartile mean or mean, and, of two seeds or more, its 95 % bootstrap interval as the band. Both have a gap
            where a seed holds NaN.
        band: (low, high), each (K,), such as a bootstrap interval.
        overrides: line properties of the thick line.
    Raises:
        ValueError: an unknown method or centre, or a wrong shape.
    """
    x, runs = np.asarray(x), np.asarray(runs)
    check_shape("x", x, ("K",))
    check_shape("runs", runs, ("seeds", len(x)))
    look = style(method)
    count = len(runs)
    look["label"] += f" ({count} seed{'s' if count > 1 else ''})"
    if count > 1:
        ax.plot(x, runs.T, color=look["color"], linewidth=0.8, alpha=0.45)
    if isinstance(centre, str):
        centre, interval = _middle(runs, centre)
        band = interval if band is None else band
    if band is not None:
        for name, edge in zip(("band[0]", "band[1]"), band, strict=True):
            check_shape(name, edge, (len(x),))
        ax.fill_between(x, *band, color=look["color"], alpha=0.15, linewidth=0)
    centre = runs.mean(0) if centre is None else np.asarray(centre)
    check_shape("centre", centre, (len(x),))
    ax.plot(x, centre, **{**look, **overrides})


def _middle(runs: np.ndarray, name: str) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray] | None]:
    """Reduce (seeds, K) to a line (K,) and, where seeds can differ, the edges of its interval; NaN where a seed has none."""
    statistic = CENTRES[check_choice("centre", name, tuple(CENTRES))]
    known = np.isfinite(runs).all(0)
    centre, low, high = np.full((3, runs.shape[1]), np.nan)
    if len(runs) < 2 or not known.any():
        centre[known] = runs[0, known]
        return centre, None
    centre[known], low[known], high[known] = stats.curve_interval(runs[:, known], statistic, resamples=2000)
    return centre, (low, high)


def bars(ax: Any, values: Mapping[str, Sequence[float]]) -> None:
    """Draw one bar per method or condition, as high as the mean of its seeds, and every seed as a point.

    Args:
        ax: a matplotlib Axes.
        values: name -> the values of its seeds. A name in ``METHODS`` takes that method's colour and label.
    Raises:
        ValueError: nothing to draw.
    """
    if not values or not all(len(seeds) for seeds in values.values()):
        raise ValueError(f"values must hold one or more names, each with one value per seed; got {dict(values)}")
    looks = [METHODS.get(name, {"color": METHODS["s5"]["color"], "label": name}) for name in values]
    for place, (look, seeds) in enumerate(zip(looks, values.values(), strict=True)):
        ax.bar(place, np.mean(seeds), width=0.6, color=look["color"], alpha=0.55)
        spread = place + np.linspace(-0.12, 0.12, len(seeds)) if len(seeds) > 1 else [place]
        ax.plot(spread, seeds, "o", color="#222222", markersize=4)
    ax.set_xticks(range(len(looks)), [look["label"] for look in looks])
    ax.grid(False, axis="x")


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
    if os.environ.get("S5LIB_BUILD") != "1" and (sys.stderr.isatty() or _in_kernel()):
        yield from require("tqdm.auto", "viz").tqdm(steps, desc=description)
        return
    count = 0
    for step in steps:
        yield step
        count += 1
    print(f"{description}: {count} steps in {time.monotonic() - begin:.0f} s")
