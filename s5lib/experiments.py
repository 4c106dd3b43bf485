"""Named experiments: a config for each budget, the number to expect, and where that number comes from.

A name is ``<task>-<memory>``: ``digits-gru``, ``memory-length-512-s5``, ``repeat-previous-hard-lstm``. ``-s5-no-resets`` is the
ablation that is never told where episodes open, ``-s5-wide`` a larger S5 with a step size of its own, ``-s5-slow`` one whose
dynamics take smaller steps than its other weights; ``projected-cartpole-s5-...`` are chapter 7's ablations. ``python -m
s5lib.experiments`` runs them at the cpu budget, several seeds each, resumably, and stores the results.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import re
from typing import Any

import numpy as np

from s5lib import records, runs, stats
from s5lib.config import BUDGETS, Experiment, check_choice
from s5lib.config import budget as budget_in_force
from s5lib.envs import describe
from s5lib.envs.popgym import FAMILIES
from s5lib.envs.worlds import HELD_OUT, TRAIN
from s5lib.ppo import PPOConfig
from s5lib.supervised import DigitsConfig

__all__ = [
    "AGENT_TRIALS", "EASY", "EPISODES", "EVERYWHERE", "HARD", "LADDER", "LENGTHS", "PUBLISHED", "PUBLISHED_WORLDS", "TRIALS",
    "WEIGHTS", "WORLD_TRIALS", "get", "main", "names", "run", "tune", "tuning",
]  # fmt: skip

# ------------------------------------------------------------------------------------------------ digits (chapter 4)
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
_DIGITS = {
    "digits-s5": dataclasses.replace(_S5, learning_rate=4e-3, weight_decay=0.3),
    "digits-gru": dataclasses.replace(_GRU, learning_rate=4e-3, weight_decay=0.3),
    "packed-s5": dataclasses.replace(_S5, **_PACKED, learning_rate=8e-3, weight_decay=0.3),
    "packed-gru": dataclasses.replace(_GRU, **_PACKED, learning_rate=8e-3, weight_decay=0.3),
    "packed-s5-no-resets": dataclasses.replace(_S5, **_PACKED, learning_rate=8e-3, weight_decay=0.3, resets=False),
}

# ------------------------------------------------------------------------------------------- agents (chapters 5 and 6)
LENGTHS = (4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)  # the RL paper's memory lengths
EPISODES = 5_000  # of each; the paper's and bsuite's 10 000 are the paper budget


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name.replace("CartPole", "Cartpole")).lower()


EASY = tuple(_kebab(family) + "-easy" for family in FAMILIES)
HARD = (  # the RL paper's five, under the names that POPGym uses now
    "position-only-cartpole-hard",
    "noisy-position-only-cartpole-hard",
    "position-only-pendulum-hard",
    "noisy-position-only-pendulum-hard",
    "repeat-previous-hard",
)
_LEVELS = {_kebab(family + level): family + level for family in FAMILIES for level in ("Easy", "Medium", "Hard")}

# Equal numbers of parameters in each set, within five in a hundred, the Dense layer before the memory counted too.
_EASY: dict[str, dict[str, Any]] = {
    "s5": {"features": 64, "memory_options": (("state_size", 64), ("layers", 2), ("norm", "none"))},
    "gru": {"features": 74},
    "lstm": {"features": 64},
    "attention": {"features": 52, "memory_options": (("layers", 1), ("heads", 2), ("window", 128))},
    "none": {"features": 64, "memory_options": (("layers", 1),)},
}
_HARD: dict[str, dict[str, Any]] = {
    "s5": {"features": 64, "memory_options": (("state_size", 256), ("layers", 2), ("norm", "none"))},
    "gru": {"features": 115},
    "lstm": {"features": 100},
    "attention": {"features": 80, "memory_options": (("layers", 1), ("heads", 2), ("window", 128))},
    "none": {"features": 100, "memory_options": (("layers", 1),)},
}
_CHAIN: dict[str, dict[str, Any]] = {
    "s5": {"features": 64, "memory_options": (("state_size", 64), ("layers", 1), ("norm", "none"))},
    "lstm": {"features": 45},
    "attention": {"features": 36, "memory_options": (("layers", 1), ("heads", 2))},  # and a window of one episode
    "none": {"features": 45, "memory_options": (("layers", 1),)},
}
# Step sizes: for each memory the best of AGENT_TRIALS, as `tune` found them.
AGENT_TRIALS = (2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3, 8e-3)
_LR = {"s5": 4e-3, "gru": 4e-3, "lstm": 4e-3, "attention": 2e-3, "none": 1e-3}
_CHAIN_LR = {"s5": 4e-3, "lstm": 2.5e-4, "attention": 5e-4, "none": 8e-3}


def _popgym(task: str, memory: str) -> PPOConfig:
    """One recipe for the Easy tasks; one for the others, with a larger memory, longer rollouts and more steps."""
    sizes, num_steps, total_steps = (_EASY, 128, 1_000_000) if task in EASY else (_HARD, 256, 2_000_000)
    return PPOConfig(
        env=_LEVELS[task], memory=memory, **sizes[memory], encoder=(64,), head=(64,), num_envs=64, num_steps=num_steps,
        total_steps=total_steps, lr=_LR[memory], anneal=True,
    )  # fmt: skip


def _chain(length: int, memory: str) -> PPOConfig:
    """Memory length: whole episodes as rollouts, so that the gradient reaches from the answer back to the cue."""
    config = PPOConfig(
        env="MemoryChain", env_options=(("memory_length", length),), memory=memory, **_CHAIN[memory], encoder=(), head=(64,),
        num_envs=32, num_steps=length + 1, total_steps=EPISODES * (length + 1), previous_action=False,
        lr=_CHAIN_LR[memory], anneal=True, gae_lambda=0.5, ent_coef=0.01,
    )  # fmt: skip
    if memory != "attention":
        return config
    return dataclasses.replace(config, memory_options=(*config.memory_options, ("window", length + 1)))


def _agents() -> dict[str, PPOConfig]:
    found = {}
    for task in (*EASY, *HARD):
        for memory in _EASY:
            found[f"{task}-{memory}"] = _popgym(task, memory)
    # As S5's authors train it: Lambda, B_tilde and log_step at a fraction of the step size.
    for task in EASY:
        found[f"{task}-s5-slow"] = dataclasses.replace(found[f"{task}-s5"], ssm_lr=0.25)
    for task in HARD:
        found[f"{task}-s5-no-resets"] = dataclasses.replace(found[f"{task}-s5"], resets=False)
    # Where S5 of equal size stays under the paper's S5: twice as wide, a smaller step, half as many steps again.
    narrow = found["noisy-position-only-pendulum-hard-s5"]
    wide = (("state_size", 128), ("layers", 2), ("norm", "none"))
    found["noisy-position-only-pendulum-hard-s5-wide"] = dataclasses.replace(
        narrow, features=128, memory_options=wide, encoder=(128,), head=(128,), total_steps=3_000_000, lr=5e-4
    )
    for length in LENGTHS:
        for memory in _CHAIN:
            if memory != "attention" or length <= 256:
                found[f"memory-length-{length}-{memory}"] = _chain(length, memory)
    return {**found, "repeat-previous-medium-s5": _popgym("repeat-previous-medium", "s5")}


# ------------------------------------------------------------------------------------- learning in context (chapter 7)
_PROJECTED: dict[str, dict[str, Any]] = {
    "s5": {
        "features": 64,
        "memory_options": (("state_size", 64), ("layers", 4), ("norm", "layer"), ("step_min", 0.05), ("step_max", 2.0)),
    },
    "gru": {"features": 104},
    "none": {"features": 64, "memory_options": (("layers", 2),)},
}
_PROJECTED_LR = {"s5": 2e-3, "gru": 2e-3, "none": 4e-3}
_LIFE = (("trials", None), ("steps", 2048), ("own_returns", True), ("gain", 10.0))
_HELD_OUT = (("trials", 32), ("steps", None), ("held_out", True))  # twice the paper's training horizon


def _projected(memory: str) -> PPOConfig:
    """Projected CartPole, learnt in lives of 2048 steps. A reward is 1/200, so the critic's error needs a large weight."""
    return PPOConfig(
        env="ProjectedCartPole", env_options=_LIFE, eval_env_options=_HELD_OUT, memory=memory, **_PROJECTED[memory],
        encoder=(64,), head=(64,), num_envs=64, num_steps=256, total_steps=12_000_000, num_minibatches=16,
        lr=_PROJECTED_LR[memory], anneal=True, previous_reward=True, vf_coef=1000.0,
    )  # fmt: skip


def _env(config: PPOConfig, **options: Any) -> dict[str, Any]:
    return {"env_options": tuple({**dict(config.env_options), **options}.items())}


def _in_context() -> dict[str, PPOConfig]:
    found = {f"projected-cartpole-{memory}": _projected(memory) for memory in _PROJECTED}
    s5 = _projected("s5")
    memory = dict(s5.memory_options)
    changes: dict[str, dict[str, Any]] = {
        "no-resets": {"resets": False},
        "no-reward": {"previous_reward": False},
        "two-buttons": _env(s5, action_size=None),
        "one-bit": _env(s5, action_size=None, mirror=True),
        "same-starts": _env(s5, fresh=False),
        "lives-of-trials": _env(s5, trials=16, steps=None),
        "one-return": _env(s5, trials=16, steps=None, own_returns=False),
        "usual-steps": {"memory_options": tuple({**memory, "step_min": 0.001, "step_max": 0.1}.items())},
        "two-layers": {"memory_options": tuple({**memory, "layers": 2}.items())},
        "light-critic": {"vf_coef": 1.0},
    }
    return found | {f"projected-cartpole-s5-{name}": dataclasses.replace(s5, **new) for name, new in changes.items()}


# ----------------------------------------------------------------------------------------------- many worlds (chapter 8)
_WORLDS: dict[str, dict[str, Any]] = {
    "s5": {
        "features": 64,
        "memory_options": (("state_size", 64), ("layers", 4), ("norm", "layer"), ("step_min", 0.02), ("step_max", 2.0)),
    },
    "gru": {"features": 100},
    "lstm": {"features": 88},
    "none": {"features": 64, "memory_options": (("layers", 2),)},
}
WORLD_TRIALS = (2.5e-4, 5e-4, 1e-3)  # step sizes to tune by: fewer than AGENT_TRIALS, since these runs take longest
_WORLDS_LR = {"s5": 5e-4, "gru": 1e-3, "lstm": 1e-3, "none": 5e-4}
EVERYWHERE = (*TRAIN, *HELD_OUT, "brax/inverted_double_pendulum", "brax/reacher")
LADDER = ("neither", "actions", "observations", "both")  # what of swing-up is projected


def _worlds(memory: str) -> PPOConfig:
    """Six worlds side by side, a projection an episode; scored on held-out projections of these worlds and of others."""
    return PPOConfig(
        env="ProjectedWorlds", eval_env_options=(("worlds", EVERYWHERE), ("held_out", True)), memory=memory, **_WORLDS[memory],
        encoder=(64,), head=(64,), num_envs=96, num_steps=250, total_steps=12_000_000, num_minibatches=24,
        eval_episodes=16 * len(EVERYWHERE), lr=_WORLDS_LR[memory], anneal=True, previous_reward=True, vf_coef=0.1,
    )  # fmt: skip


def _many() -> dict[str, PPOConfig]:
    found = {f"projected-worlds-{memory}": _worlds(memory) for memory in _WORLDS}
    for project in LADDER:
        found[f"cartpole-swingup-s5-{project}"] = _alone("s5", "CartpoleSwingup", project=project)
    swingup = found["cartpole-swingup-s5-both"]
    found["cartpole-swingup-s5-pool"] = dataclasses.replace(swingup, **_env(swingup, pool=16))
    # Held for four steps, an answer does more: 3 million of them, 12 million steps.
    found["cartpole-swingup-s5-held"] = dataclasses.replace(
        swingup, **_env(swingup, repeats=4), total_steps=3_000_000, vf_coef=0.02
    )
    levers = found["cartpole-swingup-none-actions"] = _alone("none", "CartpoleSwingup", project="actions")
    found["cartpole-swingup-none-no-last-action"] = dataclasses.replace(
        levers, previous_action=False, previous_reward=False
    )
    return found


def _alone(memory: str, world: str, **options: Any) -> PPOConfig:
    """One world by itself, on the way to many."""
    return dataclasses.replace(
        _worlds(memory), env_options=(("worlds", (world,)), *options.items()), eval_env_options=(("held_out", True),), num_envs=64,
        num_minibatches=32, total_steps=4_000_000, eval_episodes=256, lr=1e-3,
    )  # fmt: skip


_CPU: dict[str, Any] = {**_DIGITS, **_agents(), **_in_context(), **_many()}

# ------------------------------------------------------------------------------------------------ the papers' figures
_LU = "Lu et al. 2023, appendix C: best epoch's mean return, 8 seeds, 15 M steps"
_LU_CHAIN = "Lu et al. 2023, figure 1, read off by eye: 5 seeds, 10 000 episodes"
_LU_TABLE: dict[str, tuple[float, ...]] = {  # S5, GRU, none, in the order of HARD
    "s5": (1.0, 0.28, 0.79, 0.55, 0.91), "gru": (1.0, 0.27, 0.75, 0.61, -0.46), "none": (0.26, 0.22, 0.41, 0.34, -0.48),
}  # fmt: skip
_LU_LENGTHS: dict[str, tuple[float, ...]] = {  # in the order of LENGTHS
    "s5": (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.0),
    "lstm": (1.0, 1.0, 0.85, 0.5, 0.1, 0.2, 0.35, 0.25, -0.05, 0.1),
    "attention": (1.0, 1.0, 1.0, 0.75, 1.0, 1.0, 1.0, 0.7, -0.25, 0.05),
}
_LU_TRIALS = "Lu et al. 2023, figure 3, read off by eye: sum over 16 trials, divided by 16; 4 seeds, about 50 M steps"
_LU_SUMS = {"s5": 6.83, "s5-no-resets": 5.89, "gru": 5.92, "none": 2.87}
_LU_WORLDS = "Lu et al. 2023, figure 4, read off by eye: mean over the six training worlds, 3 seeds, 2 G frames"
_LU_MEANS = {"s5": 810.0, "lstm": 660.0, "none": 233.0}
_LU_EACH: dict[str, tuple[float, float, float]] = {  # figures 5 and 7, read off by eye: S5, LSTM, no memory
    "BallInCup": (948, 912, 143), "CartpoleSwingup": (614, 510, 160), "FingerSpin": (812, 434, 34),
    "FingerTurnHard": (749, 411, 318), "PointMass": (801, 734, 6), "ReacherEasy": (918, 899, 733),
    "CartpoleBalance": (456, 276, 233), "FingerTurnEasy": (810, 518, 460), "PendulumSwingup": (4, 4, 3),
    "ReacherHard": (606, 584, 294),
}  # fmt: skip
PUBLISHED_WORLDS = {world: dict(zip(_LU_MEANS, row, strict=True)) for world, row in _LU_EACH.items()}
# Task to memory to (return, where it stands).
PUBLISHED: dict[str, dict[str, tuple[float, str]]] = {
    "projected-cartpole": {m: (total / 16, _LU_TRIALS) for m, total in _LU_SUMS.items()},
    "projected-worlds": {m: (mean, _LU_WORLDS) for m, mean in _LU_MEANS.items()},
    **{task: {m: (row[k], _LU) for m, row in _LU_TABLE.items()} for k, task in enumerate(HARD)},
    **{
        f"memory-length-{length}": {m: (row[k], _LU_CHAIN) for m, row in _LU_LENGTHS.items()}
        for k, length in enumerate(LENGTHS)
    },
}
# The papers' settings. What they do not publish (attention's and LSTM's sizes on POPGym) follows the GRU's.
_PAPER_MEMORIES: dict[str, dict[str, Any]] = {
    "s5": {"memory_options": (("state_size", 256), ("layers", 4), ("norm", "none"))},
    "gru": {},
    "lstm": {},
    "attention": {"memory_options": (("layers", 1), ("window", 1024))},
    "none": {"memory_options": (("layers", 1),)},
}
_PAPER_POPGYM: dict[str, Any] = {
    "features": 256, "encoder": (128,), "head": (128, 128), "num_envs": 64, "num_steps": 1024, "total_steps": 15_000_000,
    "update_epochs": 30, "num_minibatches": 8, "lr": 5e-5, "anneal": False, "gamma": 0.99, "gae_lambda": 1.0,
    "clip_eps": 0.2, "clip_value": True, "ent_coef": 0.0, "vf_coef": 1.0, "max_grad_norm": 0.5,
}  # fmt: skip
_PAPER_CHAIN: dict[str, Any] = {  # bsuite's actor-critic: one pass over each rollout, so the ratio is 1 and nothing is clipped
    "features": 256, "encoder": (256,), "head": (), "num_envs": 1, "num_steps": 32, "update_epochs": 1, "num_minibatches": 1,
    "normalize_advantage": False, "lr": 3e-4, "anneal": False, "gamma": 0.99, "gae_lambda": 0.9, "ent_coef": 0.0,
    "vf_coef": 2.0, "max_grad_norm": 1e9,
}  # fmt: skip
_PAPER_WORLDS: dict[str, Any] = {  # its optimiser is Muesli, and 1024 environments are no equal shares of six worlds
    "features": 512, "encoder": (512, 512), "head": (512,), "num_envs": 1026, "num_steps": 1000, "total_steps": 2_000_000_000,
    "num_minibatches": 27, "lr": 3e-4, "anneal": False, "gamma": 0.995,
}  # fmt: skip
_PAPER_WORLDS_S5: dict[str, Any] = {
    "features": 256,
    "memory_options": (("state_size", 256), ("layers", 10), ("norm", "layer")),
}


# Whose final weights are stored too, for read-outs and for watching them play.
WEIGHTS = (
    *_DIGITS, "memory-length-128-s5", "memory-length-1024-s5", "repeat-previous-easy-s5", "repeat-previous-easy-none",
    "repeat-previous-hard-s5", "repeat-previous-hard-gru", "projected-cartpole-s5", "projected-cartpole-gru",
    "projected-cartpole-none", "projected-worlds-s5", "projected-worlds-none", "cartpole-swingup-s5-actions",
    "cartpole-swingup-s5-observations", "cartpole-swingup-s5-held", "cartpole-swingup-none-actions",
)  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ by name
def names(prefix: str = "") -> list[str]:
    """Return the names of all experiments, or of those that begin with a prefix.

    Args:
        prefix: what the names begin with.
    Example:
        >>> names("digits")
        ['digits-gru', 'digits-s5']
        >>> names("repeat-previous-medium")
        ['repeat-previous-medium-s5']
    """
    return sorted(name for name in _CPU if name.startswith(prefix))


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
    check_choice("name", name, names())
    budget = budget_in_force() if budget is None else check_choice("budget", budget, BUDGETS)
    config = _CPU[name]
    digits = isinstance(config, DigitsConfig)
    metric = "accuracy" if digits else _metric(config)
    if budget == "smoke":
        small = _smoke_digits(config) if digits else _smoke_agent(config)
        return Experiment(name, budget, small, metric, None, "no number: too short to learn")
    if budget == "cpu" or digits:
        scores = [result.final[metric] for result in records.stored(name)] if records.is_stored(name) else []
        source = f"measured: mean of {len(scores)} stored runs, cpu budget"
        return Experiment(name, budget, config, metric, float(np.mean(scores)) if scores else None, source)
    if budget == "gpu":
        larger = dataclasses.replace(config, num_envs=4 * config.num_envs, total_steps=4 * config.total_steps)
        return Experiment(name, budget, larger, metric, None, "no number: never run")
    task, method = re.split(f"-(?={config.memory}(?:-|$))", name)
    none = "no number: the paper reports " + ("none" if config.resets else "the ablation over all five tasks only")
    expected, source = PUBLISHED.get(task, {}).get(method.removesuffix("-wide"), (None, none))
    return Experiment(name, budget, _paper(config), metric, expected, source)


def _metric(config: PPOConfig) -> str:
    if config.env == "ProjectedCartPole":
        return "trial_return"
    return "return_trained" if "worlds" in dict(config.eval_env_options) else "return"


def _smoke_digits(config: DigitsConfig) -> DigitsConfig:
    tiny: dict[str, Any] = {"features": 16, "state_size": 16, "layers": 1, "blocks": 1, "num_updates": 2}
    few: dict[str, Any] = {"batch_size": 256} if config.task == "single" else {"batch_size": 8, "steps_per_update": 2}
    return dataclasses.replace(config, **tiny, **few)


def _smoke_agent(config: PPOConfig) -> PPOConfig:
    options = {**dict(config.memory_options), "layers": 1}
    options |= {"state_size": 16} if config.memory == "s5" else {"window": 16} if config.memory == "attention" else {}
    if config.env == "ProjectedWorlds":  # two of them that compile soon
        config = dataclasses.replace(config, **_env(config, worlds=("PointMass",), max_steps=50))
        if "worlds" in dict(config.eval_env_options):
            elsewhere = {**dict(config.eval_env_options), "worlds": ("PointMass", "CartpoleBalance")}
            config = dataclasses.replace(config, eval_env_options=tuple(elsewhere.items()))
    return dataclasses.replace(
        config, features=16, memory_options=tuple(options.items()), encoder=(16,), head=(16,), num_envs=4, num_steps=16,
        num_minibatches=2, total_steps=128, eval_episodes=8,
    )  # fmt: skip


def _paper(config: PPOConfig) -> PPOConfig:
    memory = _PAPER_MEMORIES[config.memory]
    if config.env == "ProjectedCartPole":
        # Its settings are not published: those of POPGym, the released code's trials, as many updates as figure 3 shows.
        guess = {
            **_env(config, trials=16, steps=None, fresh=False, own_returns=False, gain=1.0),
            "total_steps": 762 * 64 * 1024,
        }
        return dataclasses.replace(config, **{"memory_options": (), **_PAPER_POPGYM, **memory, **guess})
    if config.env == "ProjectedWorlds":
        return dataclasses.replace(
            config,
            **{**_PAPER_WORLDS, "memory_options": (), **(_PAPER_WORLDS_S5 if config.memory == "s5" else {})},
        )
    if config.env != "MemoryChain":
        return dataclasses.replace(config, **{"memory_options": (), **_PAPER_POPGYM, **memory})
    options = {name: 1 if name == "layers" else value for name, value in dict(memory.get("memory_options", ())).items()}
    episodes = config.total_steps // EPISODES * 10_000
    return dataclasses.replace(config, **_PAPER_CHAIN, memory_options=tuple(options.items()), total_steps=episodes)


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


# ------------------------------------------------------------------------------------------------------------- tuning
TUNED_ON = ("count-recall-easy", "noisy-position-only-pendulum-easy", "repeat-previous-easy")
TUNED_LENGTHS = ("memory-length-64", "memory-length-256")
TUNING_SEED = 100  # none of the stored runs has it
TUNING_STEPS = 4_000_000  # of projected CartPole and of many worlds, less than the stored runs' steps


def _tunable() -> dict[str, tuple[str, ...]]:
    """What ``tune`` takes: digits' experiments one by one; agents by suite and memory, each on some of its tasks."""
    digits = {name: (name,) for name in _DIGITS if not name.endswith("no-resets")}
    popgym = {f"popgym-{memory}": tuple(f"{task}-{memory}" for task in TUNED_ON) for memory in _EASY}
    chain = {f"memory-length-{memory}": tuple(f"{task}-{memory}" for task in TUNED_LENGTHS) for memory in _CHAIN}
    trials = {name: (name,) for name in (f"projected-cartpole-{memory}" for memory in _PROJECTED)}
    worlds = {name: (name,) for name in (f"projected-worlds-{memory}" for memory in _WORLDS)}
    return {**digits, **popgym, **chain, **trials, **worlds}


def tune(name: str, out: str | os.PathLike, progress: bool = True) -> dict[str, Any]:
    """Run every trial that each memory is given, and record how each did in tuning.json.

    Digits: ``TRIALS``, scored by accuracy on a validation part. Agents: the step sizes ``AGENT_TRIALS``, with a seed that no
    stored run has; on POPGym scored by the final return, normalised (0 random play, 1 best), over three Easy tasks; on
    memory length by the mean return over the whole run, which counts how soon it was learnt, over two lengths; on projected
    CartPole by the mean return of a trial, after a third of the steps; many worlds: ``WORLD_TRIALS``, by the mean return on
    held-out projections, after a third of the steps. A run that diverges scores 0, as random play or less. The best score
    is chosen; of many worlds, whose runs last three times as long as a trial, the smallest step within 5 % of it, since the
    longer a run the smaller a step it wants.

    Args:
        name: "digits-s5", "packed-gru" and so on; "popgym-<memory>"; "memory-length-<memory>";
            "projected-cartpole-<memory>"; or "projected-worlds-<memory>".
        out: folder for the runs, which resume.
        progress: show progress bars.
    Returns:
        The record: the tasks, the trials, the score of each and the best trial.
    """
    tunable = _tunable()
    check_choice("name", name, tuple(tunable))
    digits = name in _DIGITS
    rates, near = (WORLD_TRIALS, 0.95) if name.startswith("projected-worlds") else (AGENT_TRIALS, 1.0)
    trials: Any = TRIALS if digits else [{"lr": lr} for lr in rates]
    seed = 0 if digits else TUNING_SEED
    scores = []
    for trial in trials:
        found = []
        for task in tunable[name]:
            config = dataclasses.replace(_CPU[task], **trial, **({"validation": True} if digits else {}))
            if name.startswith("projected"):
                config = dataclasses.replace(config, total_steps=TUNING_STEPS)
            folder = pathlib.Path(out) / f"tune-{task}-{records.config_hash(config)}"
            try:
                found.append(
                    _tuning_score(runs.train(config, seed, folder, progress=progress, label=f"{task} {trial}"))
                )
            except runs.DivergedError:
                found.append(0.0)
        scores.append(float(np.mean(found)))
    score = "validation_accuracy" if digits else "score"
    record = {
        "tasks": tunable[name],
        "trials": trials,
        score: scores,
        "chosen": trials[int(np.argmax(np.array(scores) >= near * max(scores)))],
        "seed": seed,
    }
    path = records.results_folder() / "tuning.json"
    log = {**(tuning() if path.exists() else {}), name: record}
    records.write(path, json.dumps(log, indent=1, sort_keys=True) + "\n")
    return record


def _tuning_score(result: runs.Result) -> float:
    config = result.config
    if isinstance(config, DigitsConfig):
        return result.final["accuracy"]
    if config.env == "MemoryChain":
        return float(np.mean(result.metrics["return"]))
    if config.env in ("ProjectedCartPole", "ProjectedWorlds"):
        return result.final[_metric(config)]
    about: Any = describe(config.env, **dict(config.env_options))
    return float(stats.normalised_scores(result.final["return"], about.random_return, about.best_return))


def tuning() -> dict[str, Any]:
    """Return all tuning trials: for each name, the trials and their scores."""
    return records.measurements("tuning")


def main(arguments: list[str] | None = None) -> None:
    """Run experiments at the cpu budget and store them; what is stored already with today's config is left alone."""
    parser = argparse.ArgumentParser(prog="python -m s5lib.experiments", description=main.__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="name", help="which, or how their names begin; all if none is given"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4], help="seeds to run (default: 0 to 4)")
    parser.add_argument("--tune", action="store_true", help=f"run tuning trials instead, of: {', '.join(_tunable())}")
    parser.add_argument("--out", default="runs", help="folder of unfinished runs (default: runs)")
    chosen = parser.parse_args(arguments)
    if chosen.tune:
        for name in chosen.names or _tunable():
            print(name, tune(name, chosen.out), flush=True)
        return
    for name in _chosen(chosen.names):
        experiment = get(name, "cpu")
        wanted, learner = records.config_hash(experiment.config), experiment.config.make()
        ran_in = records.environments(learner)
        stored = records.stored(name) if records.is_stored(name) else []
        same = [result for result in stored if (result.provenance["hash"], result.environments) == (wanted, ran_in)]
        done = {result.seed for result in same}
        for seed in chosen.seeds:
            if seed in done:
                print(f"{name} seed {seed}: stored already")
                continue
            out = pathlib.Path(chosen.out) / f"{name}-{wanted}-seed{seed}"
            result = run(name, seed, "cpu", out, learner=learner)
            path = records.store(name, "cpu", result, weights=name in WEIGHTS)
            print(f"{name} seed {seed}: {result.final}, {result.wall_time:.0f} s -> {path}", flush=True)


def _chosen(wanted: list[str]) -> list[str]:
    """The experiments of these names, and of those that begin with one; each once, in the order asked for."""
    found: dict[str, None] = {}
    for name in wanted or [""]:
        found |= dict.fromkeys([name] if name in _CPU else names(name) or [check_choice("name", name, names())])
    return list(found)


if __name__ == "__main__":
    main()
