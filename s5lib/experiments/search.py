"""Choosing settings: every method of a family is given the same tries, with a seed that no stored run has."""

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np

from s5lib import records, runs
from s5lib.config import check_choice
from s5lib.experiments import tunable

__all__ = ["tune"]


def tune(name: str, out: str | os.PathLike, progress: bool = True) -> dict[str, Any]:
    """Run every try that each memory is given, and record how each did in tuning.json.

    Digits are scored by accuracy on a validation part; POPGym by the final return, normalised (0 random play, 1 best), over
    three Easy tasks; memory length by the mean return over the whole run, which counts how soon it was learnt, over two
    lengths; projected CartPole by the mean return of a trial, after a third of the steps; many worlds by the mean return on
    held-out projections, after a third of the steps. A run that diverges scores 0, as random play or less. The best score is
    chosen; of many worlds, whose runs last three times as long as a try, the smallest step within 5 % of it, since the longer
    a run the smaller a step it wants.

    Args:
        name: "digits-s5", "packed-gru" and so on; "popgym-<memory>"; "memory-length-<memory>";
            "projected-cartpole-<memory>"; or "projected-worlds-<memory>".
        out: folder for the runs, which resume.
        progress: show progress bars.
    Returns:
        The record: the tasks, the tries, the score of each and the best one.
    Raises:
        ValueError: nothing is tuned under this name.
    """
    known = tunable()
    check_choice("name", name, tuple(known))
    family, how = known[name]
    scores = []
    for settings in how.tries:
        found = []
        for task in how.tasks[name]:
            config = dataclasses.replace(family.configs[task], **settings, **how.changes)
            folder = pathlib.Path(out) / f"tune-{task}-{records.config_hash(config)}"
            try:
                result = runs.train(config, how.seed, folder, progress=progress, label=f"{task} {settings}")
                found.append(how.score(result))
            except runs.DivergedError:
                found.append(0.0)
        scores.append(float(np.mean(found)))
    record = {
        "tasks": how.tasks[name],
        "tries": how.tries,
        how.called: scores,
        "chosen": how.tries[int(np.argmax(np.array(scores) >= how.near * max(scores)))],
        "seed": how.seed,
    }
    records.add_measurement("tuning", name, record)
    return record
