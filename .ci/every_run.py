"""The results page's table of every stored run with its curve, and a CSV of every seed, written when the pages are built."""

import csv
import pathlib

import numpy as np
from modules import long_table
from results import measured, minutes, scores_of

from s5lib import records

POINTS = 40  # of a drawn curve
HEAD = ("experiment", "seeds", "million steps", "score", "lowest", "highest", "processor minutes", "curve")
COLUMNS = (
    "experiment",
    "seed",
    "metric",
    "value",
    "updates",
    "steps",
    "processor_seconds",
    "processor",
    "cores",
    "jax",
    "commit",
)


def curve(runs: list[records.Result], metric: str) -> str:
    """The mean over seeds while they train, as a small picture without axes: its range is the row's own."""
    name = metric if metric in runs[0].metrics else "return"
    length = min(len(run.metrics[name]) for run in runs)
    with np.errstate(all="ignore"):
        values = np.mean([np.asarray(run.metrics[name][:length], float) for run in runs], axis=0)
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return ""
    values = values[np.linspace(0, len(values) - 1, min(POINTS, len(values))).round().astype(int)]
    low, high = values.min(), values.max()
    x, y = np.linspace(1, 79, len(values)), 19 - 18 * (values - low) / max(high - low, 1e-9)
    points = " ".join(f"{a:.0f},{b:.1f}" for a, b in zip(x, y, strict=True))
    said = f"from {values[0]:.2f} to {values[-1]:.2f}"
    return (
        f'<svg viewBox="0 0 80 20" width="80" height="20" role="img" aria-label="{said}">'
        f'<polyline points="{points}" fill="none" stroke="currentColor" stroke-width="1.5"/></svg>'
    )


def row(name: str) -> tuple[list[str], list[list]]:
    """An experiment's cells, and a line of the CSV for each of its seeds."""
    runs, metric, scores = records.stored(name), measured(name), scores_of(name)
    steps = [float(run.metrics["steps"][-1]) if "steps" in run.metrics else float("nan") for run in runs]
    seconds = [float(run.metrics["cpu_time"][-1]) for run in runs]
    lines = []
    for run, score, step, second in zip(runs, scores, steps, seconds, strict=True):
        of_run = [
            name,
            run.seed,
            metric,
            f"{score:.6g}",
            int(run.metrics["update"][-1]),
            "" if np.isnan(step) else f"{step:.0f}",
            f"{second:.1f}",
        ]
        made = run.provenance
        lines.append([*of_run, made["processor"], made["cores"], made["versions"]["jax"], made["commit"]])
    digits = 0 if max(map(abs, scores)) > 20 else 2
    numbers = [f"{value:.{digits}f}" for value in (np.mean(scores), min(scores), max(scores))]
    taken = "" if np.isnan(steps[0]) else f"{steps[0] / 1e6:.3g}"
    cells = [
        f"<code>{name}</code>",
        str(len(runs)),
        taken,
        *numbers,
        f"{minutes(runs):.2g}",
        curve(runs, metric),
    ]
    return cells, lines


def write(folder: pathlib.Path) -> str:
    """Write runs.csv, and return the table."""
    rows = [row(name) for name in records.stored_names()]
    with (folder / "runs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *(line for _, lines in rows for line in lines)])
    return long_table(HEAD, [cells for cells, _ in rows])
