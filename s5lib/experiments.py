"""Named experiments: a config for each budget, the number to expect, and where that number comes from.

``python -m s5lib.experiments`` runs them all at the cpu budget, several seeds each, resumably, and stores the results.
"""

import argparse
import dataclasses
import json
import os
import pathlib
from typing import Any

from s5lib import runs
from s5lib.config import BUDGETS, Experiment, check_choice
from s5lib.config import budget as budget_in_force
from s5lib.supervised import DigitsConfig

__all__ = ["TRIALS", "get", "main", "names", "run", "tune", "tuning"]

# Tried for each memory on each task: as many trials for the GRU as for S5, all scored on the validation part.
TRIALS = (
    {"learning_rate": 4e-3, "weight_decay": 0.05},
    {"learning_rate": 2e-3, "weight_decay": 0.3},
    {"learning_rate": 4e-3, "weight_decay": 0.3},
    {"learning_rate": 8e-3, "weight_decay": 0.3},
)

# The two memories have equal numbers of parameters: 34 506 and 34 884.
_S5 = DigitsConfig(memory="s5", features=64, state_size=64, layers=2, blocks=4)
_GRU = DigitsConfig(memory="gru", features=53, layers=2)
_PACKED: dict[str, Any] = {"task": "packed", "num_updates": 60, "steps_per_update": 25, "batch_size": 16}

# The cpu budget of each experiment. Learning rates and weight decays are those that `tune` found best.
_CPU = {
    "digits-s5": dataclasses.replace(_S5, learning_rate=4e-3, weight_decay=0.3),
    "digits-gru": dataclasses.replace(_GRU, learning_rate=4e-3, weight_decay=0.3),
    "packed-s5": dataclasses.replace(_S5, **_PACKED, learning_rate=8e-3, weight_decay=0.3),
    "packed-gru": dataclasses.replace(_GRU, **_PACKED, learning_rate=8e-3, weight_decay=0.3),
    "packed-s5-no-resets": dataclasses.replace(_S5, **_PACKED, learning_rate=8e-3, weight_decay=0.3, resets=False),
}
# Accuracy on the held-out digits: the mean of the stored seeds.
_EXPECTED = {
    "digits-s5": 0.988,
    "digits-gru": 0.990,
    "packed-s5": 0.979,
    "packed-gru": 0.986,
    "packed-s5-no-resets": 0.523,
}
_SMOKE: dict[str, Any] = {"features": 16, "state_size": 16, "layers": 1, "blocks": 1, "num_updates": 2}


def names() -> list[str]:
    """Return the names of all experiments.

    Example:
        >>> names()
        ['digits-gru', 'digits-s5', 'packed-gru', 'packed-s5', 'packed-s5-no-resets']
    """
    return sorted(_CPU)


def get(name: str, budget: str | None = None) -> Experiment:
    """Return a named experiment at a budget.

    The digits are so few that the cpu budget is all they need: ``gpu`` is the same config, and so is ``paper``, for no
    paper reports this task.

    Args:
        name: one of ``names()``.
        budget: ``"smoke"``, ``"cpu"``, ``"gpu"`` or ``"paper"``; None takes the budget in force.
    Returns:
        An Experiment; ``.config`` is what ``runs.train`` takes.
    Raises:
        ValueError: an unknown name or budget.
    Example:
        >>> get("digits-s5", "smoke").config.num_updates
        2
    """
    check_choice("name", name, names())
    budget = budget_in_force() if budget is None else check_choice("budget", budget, BUDGETS)
    config = _CPU[name]
    if budget == "smoke":
        small: dict[str, Any] = (
            {"batch_size": 256} if config.task == "single" else {"batch_size": 8, "steps_per_update": 2}
        )
        config = dataclasses.replace(config, **_SMOKE, **small)
        return Experiment(name, budget, config, "accuracy", None, "no number: too short to learn")
    source = "measured: mean of the stored runs, cpu budget"
    return Experiment(name, budget, config, "accuracy", _EXPECTED.get(name), source)


def run(
    name: str, seed: int = 0, budget: str | None = None, out: str | os.PathLike | None = None, **options: Any
) -> runs.Result:
    """Train a named experiment; see ``runs.train`` for ``out`` and the other options.

    Args:
        name: one of ``names()``.
        seed: the seed.
        budget: as for ``get``.
        out: folder to keep metrics and checkpoints in; None keeps nothing.
    Returns:
        The run's Result.
    Example:
        >>> result = run("digits-gru", budget="smoke", progress=False)
        >>> 0 <= result.final["accuracy"] <= 1
        True
    """
    return runs.train(get(name, budget).config, seed, out, label=name, **options)


def tune(name: str, out: str | os.PathLike, progress: bool = True) -> dict[str, Any]:
    """Run every trial of ``TRIALS`` on the validation part, seed 0, and record the accuracies in tuning.json.

    Args:
        name: one of ``names()``.
        out: folder for the runs, which resume.
        progress: show progress bars.
    Returns:
        The record: the trials, their validation accuracies and the best trial.
    """
    config = dataclasses.replace(get(name, "cpu").config, validation=True)
    found = []
    for trial in TRIALS:
        tried = dataclasses.replace(config, **trial)
        folder = pathlib.Path(out) / f"tune-{name}-{runs.config_hash(tried)}"
        found.append(runs.train(tried, 0, folder, progress=progress).final["accuracy"])
    record = {
        "trials": list(TRIALS),
        "validation_accuracy": found,
        "chosen": TRIALS[found.index(max(found))],
        "seed": 0,
    }
    path = runs.results_folder() / "tuning.json"
    log = {**(tuning() if path.exists() else {}), name: record}
    path.write_text(json.dumps(log, indent=1, sort_keys=True) + "\n")
    return record


def tuning() -> dict[str, Any]:
    """Return all tuning trials: for each name, the trials and their validation accuracies."""
    return json.loads((runs.results_folder() / "tuning.json").read_text())


def main(arguments: list[str] | None = None) -> None:
    """Run experiments at the cpu budget and store them; what is stored already with today's config is left alone."""
    parser = argparse.ArgumentParser(prog="python -m s5lib.experiments", description=main.__doc__)
    parser.add_argument("names", nargs="*", default=names(), help=f"which; all if none is given: {', '.join(names())}")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4], help="seeds to run (default: 0 to 4)")
    parser.add_argument("--tune", action="store_true", help="run the tuning trials instead")
    parser.add_argument("--out", default="runs", help="folder of unfinished runs (default: runs)")
    chosen = parser.parse_args(arguments)
    for name in chosen.names:
        experiment = get(name, "cpu")
        if chosen.tune:
            print(name, tune(name, chosen.out), flush=True)
            continue
        wanted = runs.config_hash(experiment.config)
        done = (
            {r.seed for r in runs.stored(name) if r.provenance["hash"] == wanted}
            if name in runs.stored_names()
            else set()
        )
        for seed in chosen.seeds:
            if seed in done:
                print(f"{name} seed {seed}: stored already")
                continue
            result = run(name, seed, "cpu", pathlib.Path(chosen.out) / f"{name}-{wanted}-seed{seed}")
            print(
                f"{name} seed {seed}: {result.final}, {result.wall_time:.0f} s -> {runs.store(name, 'cpu', result)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
