"""``python -m s5lib.experiments``: the stored runs made, made again where they are missing, and checked."""

import argparse
import pathlib
from typing import Any

import jax
import numpy as np

from s5lib import records
from s5lib.config import check_choice
from s5lib.experiments import WEIGHTS, get, names, run, tunable
from s5lib.experiments.search import tune

__all__ = ["check", "main"]

CLOCKS = ("wall_time", "cpu_time")


def main(arguments: list[str] | None = None) -> int:
    """Run experiments at the cpu budget and store them; what is stored already with today's config is left alone.

    Args:
        arguments: what follows the command; taken from the command line if None.
    Returns:
        The exit code: 1 where ``--check`` found a difference, else 0.
    """
    parser = argparse.ArgumentParser(prog="python -m s5lib.experiments", description=str(main.__doc__).split("\n")[0])
    parser.add_argument(
        "names", nargs="*", metavar="name", help="which, or how their names begin; all if none is given"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4], help="seeds to run (default: 0 to 4)")
    parser.add_argument(
        "--tune", action="store_true", help=f"run the tries of tuning instead, of: {', '.join(tunable())}"
    )
    parser.add_argument(
        "--check", action="store_true", help="make the first update of stored runs again, and compare it"
    )
    parser.add_argument("--out", default="runs", help="folder of unfinished runs (default: runs)")
    given = parser.parse_args(arguments)
    if given.tune:
        for name in given.names or tunable():
            print(name, tune(name, given.out), flush=True)
        return 0
    if given.check:
        return _check(given.names)
    for name in chosen(given.names):
        _store(name, given.seeds, given.out)
    return 0


def chosen(wanted: list[str]) -> list[str]:
    """The experiments of these names, and of those that begin with one; each once, in the order asked for."""
    known, found = names(), dict[str, None]()
    for name in wanted or [""]:
        found |= dict.fromkeys([name] if name in known else names(name) or [check_choice("name", name, known)])
    return list(found)


def _store(name: str, seeds: list[int], out: str) -> None:
    """Train the seeds of an experiment that are not stored, and store them."""
    config = get(name, "cpu").config
    wanted, learner = records.config_hash(config), config.make()
    ran_in = records.environments(learner)
    stored = records.stored(name) if records.is_stored(name) else []
    same = [result for result in stored if (result.provenance["hash"], result.environments) == (wanted, ran_in)]
    done = {result.seed for result in same}
    for seed in seeds:
        if seed in done:
            print(f"{name} seed {seed}: stored already")
            continue
        result = run(name, seed, "cpu", pathlib.Path(out) / f"{name}-{wanted}-seed{seed}", learner=learner)
        path = records.store(name, "cpu", result, weights=name in WEIGHTS)
        print(f"{name} seed {seed}: {result.final}, {result.wall_time:.0f} s -> {path}", flush=True)


def _check(wanted: list[str]) -> int:
    apart = 0
    for name in chosen(wanted):
        if records.is_stored(name):
            found = check(name)
            apart += bool(found)
            print(f"{name}: {'; '.join(found) or 'the same'}", flush=True)
    print(f"{apart} differ")
    return int(apart > 0)


def check(name: str, tolerance: float = 0.05) -> list[str]:
    """Make the first update of an experiment's stored run of seed 0 again, and say where its metrics differ.

    Another processor, or another number of cores, orders sums otherwise, and an update is many gradient steps on a rollout
    of many drawn actions: what differs by rounding at its start may differ by a few hundredths at its end.

    Args:
        name: an experiment with stored runs.
        tolerance: relative difference that is allowed.
    Returns:
        One entry a metric that differs; nothing where all are the same.
    Raises:
        ValueError: nothing is stored under this name.
    """
    stored, config = records.stored(name)[0], get(name, "cpu").config
    learner: Any = config.make()
    state = jax.jit(learner.init)(jax.random.key(stored.seed))
    metrics = jax.jit(learner.update)(state)[1]
    rows = []
    for metric, values in stored.metrics.items():
        if metric in metrics and metric not in CLOCKS:
            old, new = float(values[0]), float(metrics[metric])
            if not np.isclose(old, new, rtol=tolerance, atol=tolerance * 1e-2, equal_nan=True):
                rows.append(f"{metric} {old:g} stored, {new:g} now")
    return rows
