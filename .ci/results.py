"""Write the tables of book/results.md and book/intro.md from the stored runs: python .ci/results.py [--check]"""

import re
import sys
from collections.abc import Sequence

import numpy as np
from chapters import ROOT

from s5lib import experiments, records
from s5lib.envs.tasks import HELD_OUT
from s5lib.memory import KINDS

PAGES = (ROOT / "book/results.md", ROOT / "book/intro.md")
AGENTS = re.compile(r"(<!-- agents: ([\w -]+) -->)")  # a place for agents_table of the tasks that it names
VARIANTS = {
    "s5": ("s5", "s5-slow", "s5-wide", "s5-short", "s5-same-step", "s5-no-resets"),
    "lstm": ("lstm", "lstm-short", "lstm-same-step", "lstm-open", "lstm-open-short"),
}
BESIDE = (  # the introduction's rows: label, experiment, gated memory, digits, millions of steps in the paper
    ("the card of 63 cards ago, Hard", "repeat-previous-hard", "gru", 2, "15"),
    ("cart pole, velocities hidden, Hard", "position-only-cartpole-hard", "gru", 2, "15"),
    ("noisy cart pole, Hard", "noisy-position-only-cartpole-hard", "gru", 2, "15"),
    ("pendulum, velocity hidden, Hard", "position-only-pendulum-hard", "gru", 2, "15"),
    ("noisy pendulum, Hard", "noisy-position-only-pendulum-hard", "gru", 2, "15"),
    ("one bit, 512 steps ago", "memory-length-512", "lstm", 2, "5.1"),
    ("projected cart pole, a trial", "projected-cartpole", "gru", 2, "50"),
    ("six projected worlds, of 1000", "projected-worlds", "lstm", 0, "2000"),
)
MEMORIES = tuple(name for kind in KINDS for name in VARIANTS.get(kind.name, (kind.name,)))


def measured(name: str) -> str:
    """The metric that an experiment is judged by."""
    return experiments.family_of(name).metric(experiments.get(name, "cpu").config)


def scores_of(name: str) -> list[float]:
    """What each stored seed of an experiment scores after training; of many trials, the first sixteen on average."""
    metric, runs = measured(name), records.stored(name)
    return [float(run.trials[:16].mean() if metric == "trial_return" else run.final[metric]) for run in runs]


def minutes(stored: list[records.Result]) -> float:
    """Processor minutes that a run took, on average."""
    return float(np.mean([result.metrics["cpu_time"][-1] for result in stored])) / 60


def spread(scores: Sequence[float] | np.ndarray, digits: int) -> str:
    """The mean over seeds, the lowest and the highest."""
    return f"{np.mean(scores):.{digits}f} ({min(scores):.{digits}f} to {max(scores):.{digits}f})"


def stored_of(*prefixes: str) -> list[tuple[str, list[records.Result]]]:
    """The experiments whose names begin so, and their stored runs."""
    return [(name, records.stored(name)) for name in records.stored_names() if name.startswith(prefixes)]


def digits_table() -> list[str]:
    """One row an experiment of chapter 4."""
    lines = [
        "| experiment | seeds | parameters | updates | held-out accuracy: mean (each seed) | processor minutes a run |",
        "|---|---|---|---|---|---|",
    ]
    for name, stored in stored_of("digits", "packed"):
        scores = [result.final["accuracy"] for result in stored]
        row = [f"`{name}`", len(stored), f"{stored[0].final['parameters']:.0f}", stored[0].config["num_updates"]]
        row += [f"{np.mean(scores):.3f} ({', '.join(f'{score:.3f}' for score in scores)})", f"{minutes(stored):.1f}"]
        lines.append("| " + " | ".join(map(str, row)) + " |")
    return lines


def agents_table(tasks: Sequence[str]) -> list[str]:
    """One row a task, one column a memory: mean return over the seeds, the lowest and the highest; minutes of a run."""
    stored = set(records.stored_names())
    memories = [memory for memory in MEMORIES if any(f"{task}-{memory}" in stored for task in tasks)]
    lines = ["| task | million steps | " + " | ".join(memories) + " |", "|---|---|" + "---|" * len(memories)]
    for task in tasks:
        found = {memory: records.stored(f"{task}-{memory}") for memory in memories if f"{task}-{memory}" in stored}
        if not found:
            continue
        steps = next(iter(found.values()))[0].config["total_steps"] / 1e6
        row = [f"`{task}`", f"{steps:.3g}"]
        for memory in memories:
            scores = [result.final["return"] for result in found.get(memory, [])]
            row.append(f"{spread(scores, 2)}; {minutes(found[memory]):.1g}" if scores else "")
        lines.append("| " + " | ".join(row) + " |")
    return lines


def beside_table() -> list[str]:
    """The introduction's: what S5 and a gated memory earn, here and in the paper, wherever both have a number."""
    lines = ["| | S5: ours | theirs | GRU (LSTM\\*): ours | theirs | million steps: ours | theirs |", "|---" * 7 + "|"]
    for label, task, rival, digits, theirs_in in BESIDE:
        row, steps = [label], 0.0
        for memory in ("s5", rival):
            name = f"{task}-{memory}"
            ours, theirs = np.mean(scores_of(name)), experiments.PUBLISHED[task][memory][0]
            mark = "\\*" if memory == "lstm" else ""
            row += [f"{ours:.{digits}f}{mark}", f"{theirs:.{digits}f}{mark}"]
            steps = max(steps, *(run.config["total_steps"] / 1e6 for run in records.stored(name)))
        lines.append("| " + " | ".join([*row, f"{steps:.2g}", theirs_in]) + " |")
    return [line.replace("-0.00", "0.00").replace("| -", "| −") if "---" not in line else line for line in lines]


def context_table() -> list[str]:
    """One row an experiment of chapter 7: what sixteen trials earn, and some of them apart."""
    lines = [
        "| experiment | seeds | 16 trials: mean (lowest to highest) | trial 1 | 13 to 16 | 29 to 32 | processor minutes a run |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, stored in stored_of("projected-cartpole"):
        trials = np.array([result.trials for result in stored])
        sums = trials[:, :16].sum(1)
        row = [f"`{name}`", len(stored), spread(sums, 2)]
        row += [f"{trials[:, first:last].mean():.2f}" for first, last in ((0, 1), (12, 16), (28, 32))]
        lines.append("| " + " | ".join(map(str, [*row, f"{minutes(stored):.1f}"])) + " |")
    return lines


def worlds_table() -> list[str]:
    """One row a memory of chapter 8: the worlds of training, and those held out."""
    lines = [
        "| experiment | seeds | six worlds: mean (lowest to highest) | four held out | processor minutes a run |",
        "|---|---|---|---|---|",
    ]
    for name, stored in stored_of("projected-worlds"):
        trained = [result.final["return_trained"] for result in stored]
        held_out = [np.mean([result.final[f"return/{world}"] for world in HELD_OUT]) for result in stored]
        row = [f"`{name}`", len(stored), spread(trained, 0), spread(held_out, 0), f"{minutes(stored):.0f}"]
        lines.append("| " + " | ".join(map(str, row)) + " |")
    return lines


def world_table() -> list[str]:
    """One row an experiment on one world of chapter 8."""
    lines = ["| experiment | seeds | return: mean (lowest to highest) | processor minutes a run |", "|---|---|---|---|"]
    for name, stored in stored_of("cartpole-swingup"):
        row = [f"`{name}`", len(stored), spread([result.final["return"] for result in stored], 0)]
        lines.append("| " + " | ".join(map(str, [*row, f"{minutes(stored):.1f}"])) + " |")
    return lines


TABLES = {
    "ours beside theirs": beside_table,
    "digits": digits_table,
    "memory length": lambda: agents_table([f"memory-length-{length}" for length in experiments.LENGTHS]),
    "easy": lambda: agents_table(experiments.EASY),
    "in context": context_table,
    "many worlds": worlds_table,
    "one world": world_table,
}


def filled(page: str, mark: str, rows: list[str]) -> str:
    """The page with a table between its mark and the end."""
    marks, text = rf"({re.escape(mark)}\n).*?(<!-- end -->)", "\n".join(rows)
    return re.sub(marks, lambda match: f"{match[1]}\n{text}\n\n{match[2]}", page, flags=re.S)


def rewritten(page: str) -> str:
    """The page with each table between its two comments as it should be."""
    for name, table in TABLES.items():
        if (mark := f"<!-- table: {name} -->") in page:
            page = filled(page, mark, table())
    for mark, tasks in AGENTS.findall(page):
        page = filled(page, mark, agents_table(tasks.split()))
    return page


def main() -> int:
    pages = {page: page.read_text() for page in PAGES}
    if missing := [name for name in TABLES if not any(f"<!-- table: {name} -->" in text for text in pages.values())]:
        raise SystemExit(f"no page has a place for the table {missing[0]!r}")
    wanted = {page: rewritten(text) for page, text in pages.items()}
    if "--check" in sys.argv:
        for page in (page for page in PAGES if pages[page] != wanted[page]):
            print(f"book/{page.name} differs from the stored runs: python .ci/results.py writes its tables")
        return int(pages != wanted)
    for page, text in wanted.items():
        page.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
