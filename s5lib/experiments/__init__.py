"""Named experiments: a config for each budget, the number to expect, and where that number comes from.

A name is ``<task>-<memory>``: ``digits-gru``, ``memory-length-512-s5``, ``repeat-previous-hard-lstm``. ``-s5-no-resets`` is the
ablation that is never told where episodes open, ``-s5-wide`` a larger S5 with a step size of its own, ``-s5-slow`` one whose
dynamics take smaller steps than its other weights, ``-lstm-open`` an LSTM whose forget gate is born open, ``-short`` trained on
rollouts of 32 steps, ``-same-step`` with one step size for both memories; ``projected-cartpole-s5-...`` are chapter 7's
ablations. ``python -m s5lib.experiments`` runs them at the cpu budget, several seeds each, resumably, and stores the results.
"""

import os
from typing import Any

import numpy as np

from s5lib import records, runs
from s5lib.config import BUDGETS, Experiment, check_choice, moved
from s5lib.config import budget as budget_in_force
from s5lib.experiments.agents import AGENT_TRIES
from s5lib.experiments.digits import DIGITS, TRIES
from s5lib.experiments.family import Family, Published, Tuning
from s5lib.experiments.in_context import IN_CONTEXT
from s5lib.experiments.many_worlds import EVERYWHERE, LADDER, MANY_WORLDS, PUBLISHED_WORLDS, WORLD_TRIES
from s5lib.experiments.memory_length import EPISODES, LENGTHS, MEMORY_LENGTH
from s5lib.experiments.popgym import EASY, HARD, POPGYM

__all__ = [
    "AGENT_TRIES", "EASY", "EPISODES", "EVERYWHERE", "FAMILIES", "HARD", "LADDER", "LENGTHS", "PUBLISHED", "PUBLISHED_WORLDS",
    "TRIES", "WEIGHTS", "WORLD_TRIES", "Family", "Tuning", "family_of", "get", "names", "run", "tunable", "tuning",
]  # fmt: skip

FAMILIES = (DIGITS, POPGYM, MEMORY_LENGTH, IN_CONTEXT, MANY_WORLDS)  # the one list of them
PUBLISHED: Published = {task: row for family in FAMILIES for task, row in family.published.items()}
WEIGHTS = tuple(name for family in FAMILIES for name in family.weights)  # whose final weights are stored too


def names(prefix: str = "") -> list[str]:
    """Return the names of all experiments, or of those that begin with a prefix.

    Args:
        prefix: what the names begin with.
    Example:
        >>> names("packed")
        ['packed-gru', 'packed-s5', 'packed-s5-no-resets']
        >>> names("repeat-previous-medium")
        ['repeat-previous-medium-s5']
    """
    return sorted(name for family in FAMILIES for name in family.configs if name.startswith(prefix))


def family_of(name: str) -> Family:
    """Return the family that an experiment belongs to.

    Args:
        name: one of ``names()``.
    Raises:
        ValueError: an unknown name, with the nearest one.
    Example:
        >>> family_of("digits-s5").metric(None)
        'accuracy'
    """
    check_choice("name", name, names())
    return next(family for family in FAMILIES if name in family.configs)


def get(name: str, budget: str | None = None) -> Experiment:
    """Return a named experiment at a budget.

    ``smoke`` only runs. ``cpu`` is what is stored and what a chapter runs live. ``gpu`` has four times the environments and the
    steps of ``cpu``; nothing was timed on one. ``paper`` is the paper's table. The digits are so few that the cpu budget is all
    they need, and no paper reports them: their ``gpu`` and ``paper`` are the same config.

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
        >>> get("repeat-previous-hard-s5", "paper").expected
        0.91
    """
    family = family_of(name)
    budget = budget_in_force() if budget is None else check_choice("budget", budget, BUDGETS)
    config, metric = family.configs[name], family.metric(family.configs[name])
    sizes = {"smoke": family.smoke, "cpu": None, "gpu": family.gpu, "paper": family.paper}
    sized = sizes[budget]
    if sized is None:
        if not records.is_stored(name):
            return Experiment(name, budget, config, metric, None, "no number: no run is stored")
        scores = [result.final[metric] for result in records.stored(name)]
        source = f"measured: mean of {len(scores)} stored runs, cpu budget"
        return Experiment(name, budget, config, metric, float(np.mean(scores)), source)
    unknown = {"smoke": "no number: too short to learn", "gpu": "no number: never run"}
    expected, source = (None, unknown[budget]) if budget in unknown else family.expected(name, config)
    return Experiment(name, budget, sized(config), metric, expected, source)


def run(
    name: str, seed: int = 0, budget: str | None = None, out: str | os.PathLike | None = None, **options: Any
) -> runs.Result:
    """Train a named experiment; see ``runs.train`` for ``out`` and the other options.

    Args:
        name: one of ``names()``.
        seed: the seed.
        budget: as for ``get``.
        out: folder to keep metrics and checkpoints in; None keeps nothing.
        options: passed on to ``runs.train``, such as ``until``.
    Returns:
        The run's Result.
    Example:
        >>> result = run("digits-gru", budget="smoke", progress=False)
        >>> 0 <= result.final["accuracy"] <= 1
        True
    """
    return runs.train(get(name, budget).config, seed, out, **{"label": name, **options})


def tunable() -> dict[str, tuple[Family, Tuning]]:
    """Return what can be tuned by name: digits' experiments one by one, agents by suite and memory.

    Example:
        >>> "popgym-gru" in tunable()
        True
    """
    return {name: (family, family.tuning) for family in FAMILIES if family.tuning for name in family.tuning.tasks}


def tuning() -> dict[str, Any]:
    """Return all that was tried: for each name, the tries, their scores and which was chosen."""
    return records.measurements("tuning")


__getattr__ = moved(
    __name__,
    {
        "AGENT_TRIALS": "s5lib.experiments.agents", "TRIALS": "s5lib.experiments.digits",
        "WORLD_TRIALS": "s5lib.experiments.many_worlds", "tune": "s5lib.experiments.search", "main": "s5lib.experiments.command",
    },
)  # fmt: skip
