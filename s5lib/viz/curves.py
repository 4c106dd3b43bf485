"""Kinds of figure that many chapters draw: learning curves, bars, states over time, eigenvalues in the unit disc."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from s5lib import stats
from s5lib.config import check_choice, check_shape
from s5lib.viz.style import METHODS, Axes, AxesImage, plt, style

__all__ = ["bars", "learning_curve", "state_heatmap", "unit_disc"]

CENTRES: dict[str, stats.Statistic] = {"iqm": stats.interquartile_mean, "mean": stats.mean_score}


def state_heatmap(ax: Axes, states: np.ndarray, resets: np.ndarray | None = None, **options: Any) -> AxesImage:
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


def unit_disc(ax: Axes, points: np.ndarray | None = None, **options: Any) -> None:
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
    ax: Axes,
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


def bars(ax: Axes, values: Mapping[str, Sequence[float]]) -> None:
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
