"""Agents drawn: what is known when, how a score depends on a size, and with which settings it was reached."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from s5lib import experiments
from s5lib.config import check_choice, check_shape
from s5lib.viz.style import Axes, Figure, plt, style

__all__ = ["recipe", "sweep", "timeline"]

INK, UNKNOWN, CUT, TAKEN = "#222222", "#C9C9C9", "#C2410C", "#0072B2"
GROUNDS = ("#E4EEF7", "#CFE1F1")  # of episodes, in turn
ROWS = {
    "carry": 7.6,
    "resets": 6.5,
    "observation": 5.6,
    "action": 4.4,
    "reward": 3.2,
    "terminated": 2.35,
    "truncated": 1.5,
}
NEXT = 0.42  # the row of what the step's target takes as the value to come
LEFT = -1.78


def timeline(resets: ArrayLike, terminated: ArrayLike, truncated: ArrayLike, moment: int | None = None) -> Figure:
    """Draw what an agent knows when: carry, observation, action, reward, the three flags, and the value to come.

    Time runs to the right, one column a step; within a column, from top to bottom. The carry is cut where ``resets`` is
    set, and nowhere else. The lowest row says what stands for all that follows the step: nothing after a termination,
    V of the episode's own last observation after a truncation, V of the next observation otherwise.

    Args:
        resets: (T,) bool, True where the observation opens an episode.
        terminated: (T,) bool, True where the step ended an episode.
        truncated: (T,) bool, True where the step was the last one allowed.
        moment: how far things have gone: 2 t is when observation t has been read, 2 t + 1 when step t has returned. What
            is not known yet is drawn pale. None draws everything as known.
    Returns:
        A Figure.
    Raises:
        ValueError: a wrong shape, or flags that contradict each other.
    """
    flags = {"resets": np.asarray(resets), "terminated": np.asarray(terminated), "truncated": np.asarray(truncated)}
    T = len(flags["resets"])
    for name, values in flags.items():
        check_shape(name, values, (T,))
    ended = flags["terminated"] | flags["truncated"]
    if not np.array_equal(flags["resets"][1:], ended[:-1]):
        raise ValueError(
            f"resets must be set one step after each end; got resets {flags['resets'].astype(int)}, ends {ended.astype(int)}"
        )
    last = 2 * T if moment is None else moment
    fig, ax = plt.subplots(figsize=(6.8, 4.3), layout="none")
    fig.subplots_adjust(0, 0, 1, 1)
    ax.set(xlim=(LEFT - 0.06, T - 0.4), ylim=(-0.45, 8.9))
    ax.axis("off")
    _episodes(ax, flags["resets"], T)
    for t in range(T):
        _column(ax, t, {name: bool(values[t]) for name, values in flags.items()}, last)
    for name, y in ROWS.items():
        ax.text(LEFT, y, name, va="center", fontsize=11.5)
    ax.text(LEFT, NEXT, "value ahead,\nwith carry", va="center", fontsize=11.5)
    for y in (5.0, 3.8):
        ax.plot([LEFT, T - 0.53], [y, y], color="#9A9A9A", linewidth=0.9, linestyle=(0, (3, 3)))
    ax.plot([LEFT, T - 0.53], [0.95, 0.95], color="#9A9A9A", linewidth=0.9)
    return fig


def _episodes(ax: Axes, resets: np.ndarray, T: int) -> None:
    """A ground for each episode, its number above."""
    opens = [0, *(t for t in range(1, T) if resets[t])]
    for number, (start, stop) in enumerate(zip(opens, [*opens[1:], T], strict=True)):
        ground = {"facecolor": GROUNDS[number % 2], "edgecolor": "none", "zorder": 0}
        ax.add_patch(plt.Rectangle((start - 0.47, -0.25), stop - start - 0.06, 8.55, **ground))
        goes_on = " …" if stop == T else ""
        ax.text((start + stop - 1) / 2, 8.6, f"episode {number + 1}{goes_on}", ha="center", va="center", fontsize=11)


def _column(ax: Axes, t: int, flag: dict[str, bool], last: int) -> None:
    """One step: what is known by the time ``last`` in ink, the rest pale."""
    read, returned = last >= 2 * t, last >= 2 * t + 1
    ink, after = (INK if known else UNKNOWN for known in (read, returned))

    def put(row: str, text: str, color: str, bold: bool = False) -> None:
        ax.text(
            t,
            ROWS[row],
            text,
            ha="center",
            va="center",
            color=color,
            weight="bold" if bold else "normal",
            fontsize=12.5,
        )

    name = "t" if t == 0 else f"t+{t}"
    put("resets", str(int(flag["resets"])), (CUT if flag["resets"] else INK) if read else UNKNOWN, flag["resets"])
    put("observation", f"$o_{{{name}}}$", ink)
    put("action", f"$a_{{{name}}}$", ink)
    put("reward", f"$r_{{{name}}}$", after)
    for row in ("terminated", "truncated"):
        put(row, str(int(flag[row])), (CUT if flag[row] else INK) if returned else UNKNOWN, flag[row])
    y, arrow = ROWS["carry"], {"arrowstyle": "-|>", "linewidth": 1.8, "shrinkA": 0, "shrinkB": 0, "color": ink}
    ax.text(t, y, f"$h_{{{name}}}$", ha="center", va="center", color=ink, fontsize=12.5)
    if flag["resets"]:
        cut = CUT if read else UNKNOWN
        ax.plot([t - 0.5, t - 0.5], [y - 0.42, y + 0.42], color=cut, linewidth=4, solid_capstyle="butt")
        ax.text(t - 0.36, y, "0", ha="center", va="center", color=cut, fontsize=12.5, weight="bold")
    elif t:
        ax.annotate("", (t - 0.26, y), (t - 0.74, y), arrowprops=arrow)
    if flag["terminated"] or flag["truncated"]:
        ax.plot([t + 0.26, t + 0.44], [y, y], color=after, linewidth=1.8, linestyle=(0, (1.5, 1)))
    _to_come(ax, t, flag, last)


def _to_come(ax: Axes, t: int, flag: dict[str, bool], last: int) -> None:
    """What the target of step t takes as the value of all that follows, and the carry it is read from."""
    here, following = ("t" if k == 0 else f"t+{k}" for k in (t, t + 1))
    ended = flag["terminated"] or flag["truncated"]
    known = last >= (2 * t + 1 if ended else 2 * t + 2)  # V of the next observation needs that observation
    color = (CUT if ended else TAKEN) if known else UNKNOWN
    if flag["terminated"]:
        ax.text(t, NEXT, "0", ha="center", va="center", color=color, fontsize=12.5, weight="bold")
        return
    observation = r"o^{\ast}" if ended else f"o_{{{following}}}"
    text = f"$V({observation})$\n$h_{{{here}}}$"
    ax.text(t, NEXT, text, ha="center", va="center", color=color, fontsize=11.5)


def sweep(ax: Axes, values: Mapping[float, Sequence[float]], method: str, shift: float = 1.0, **overrides: Any) -> None:
    """Draw a score against a size on a log axis: every seed a point, a line through the means.

    Args:
        ax: a matplotlib Axes.
        values: size -> the score of each seed; a size without seeds is left out.
        method: a key of ``METHODS``; the label says how many seeds there are.
        shift: multiplies where the points stand, so that those of several methods do not hide each other.
        overrides: line properties.
    Raises:
        ValueError: an unknown method.
    """
    look = style(method)
    known = {size: np.asarray(seeds, float) for size, seeds in sorted(values.items()) if len(seeds)}
    counts = sorted({len(seeds) for seeds in known.values()})
    if counts:
        span = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        look["label"] += f" ({span} seed{'s' if counts[-1] > 1 else ''})"
        ax.plot(list(known), [seeds.mean() for seeds in known.values()], **{**look, **overrides})
    for size, seeds in known.items():
        ax.plot(
            np.full(len(seeds), size * shift),
            seeds,
            "o",
            color=look["color"],
            markersize=4.5,
            markeredgecolor="white",
            markeredgewidth=0.6,
        )
    ax.set_xscale("log", base=2)


def recipe(columns: Mapping[str, tuple[str, str]]) -> str:
    """Tabulate what stored agents were trained with, and what was tried before: a table in Markdown.

    One column an experiment, one row a setting. The step sizes tried stand with the best of them, which is marked where it is
    the smallest or the largest tried: a wider grid might then hold a better one.

    Args:
        columns: a label -> the experiment's name, and the name under which its settings were tuned.
    Returns:
        The table's lines, joined.
    Raises:
        ValueError: an unknown experiment, or one that was not tuned under that name.
    Example:
        >>> print(recipe({"S5": ("memory-length-32-s5", "memory-length-s5")}).splitlines()[0])
        | | S5 |
    """
    rows: dict[str, list[str]] = {}
    tried = experiments.tuning()
    for name, tuned in columns.values():
        config: Any = experiments.get(name, "cpu").config
        rates = sorted({one["lr"] for one in tried[check_choice("tuned", tuned, tuple(tried))]["tries"]})
        at_the_edge = config.lr in (rates[0], rates[-1])
        said = {
            "memory": f"{config.memory}, {config.features} wide",
            "its options": ", ".join(f"{key} {value}" for key, value in config.memory_options) or "its defaults",
            "step size": f"{config.lr:g}{', annealed' if config.anneal else ''}",
            "of those tried": f"{len(rates)}, {rates[0]:g} to {rates[-1]:g}{': at the edge' if at_the_edge else ''}",
            "pace of slow parameters": f"{config.ssm_lr:g}" if config.memory == "s5" else "",
            "gamma, lambda": f"{config.gamma:g}, {config.gae_lambda:g}",
            "value, entropy": f"{config.vf_coef:g}, {config.ent_coef:g}",
            "environments x steps": f"{config.num_envs} x {config.num_steps}",
            "passes x minibatches": f"{config.update_epochs} x {config.num_minibatches}",
            "million steps": f"{config.total_steps / 1e6:.3g}",
        }
        for setting, value in said.items():
            rows.setdefault(setting, []).append(value)
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    return "\n".join([*lines, *(f"| {setting} | {' | '.join(values)} |" for setting, values in rows.items())])
