"""Chapter 6's experiments: all sixteen families of POPGym at Easy, and the RL paper's five Hard tasks."""

import dataclasses
import re
from typing import Any

from s5lib import stats
from s5lib.envs import describe
from s5lib.envs.popgym import FAMILIES
from s5lib.experiments.agents import AGENT_TRIES, PAPER_MEMORIES, PAPER_PPO, larger, small, with_paper
from s5lib.experiments.family import Family, Tuning
from s5lib.ppo import PPOConfig
from s5lib.records import Result

__all__ = ["EASY", "HARD", "POPGYM"]


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

# Equal numbers of parameters in each set, within a tenth (chapter 6 counts), the Dense layer before the memory counted too.
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
_LR = {"s5": 4e-3, "gru": 4e-3, "lstm": 4e-3, "attention": 2e-3, "none": 1e-3}  # for each the best of AGENT_TRIES


def _config(task: str, memory: str) -> PPOConfig:
    """One recipe for the Easy tasks; one for the others, with a larger memory, longer rollouts and more steps."""
    sizes, num_steps, total_steps = (_EASY, 128, 1_000_000) if task in EASY else (_HARD, 256, 2_000_000)
    return PPOConfig(
        env=_LEVELS[task], memory=memory, **sizes[memory], encoder=(64,), head=(64,), num_envs=64, num_steps=num_steps,
        total_steps=total_steps, lr=_LR[memory], anneal=True,
    )  # fmt: skip


def _configs() -> dict[str, PPOConfig]:
    found = {f"{task}-{memory}": _config(task, memory) for task in (*EASY, *HARD) for memory in _EASY}
    # As S5's authors train it: Lambda, B_tilde and log_step at a fraction of the step size.
    for task in EASY:
        found[f"{task}-s5-slow"] = dataclasses.replace(found[f"{task}-s5"], ssm_lr=0.25)
    for task in HARD:
        found[f"{task}-s5-no-resets"] = dataclasses.replace(found[f"{task}-s5"], resets=False)
    # Born with its forget gate open for the 64 steps that the task looks back.
    found["repeat-previous-hard-lstm-open"] = dataclasses.replace(
        found["repeat-previous-hard-lstm"], memory_options=(("forget_bias", 4.16),)
    )
    # Where S5 of equal size stays under the paper's S5: twice as wide, a smaller step, half as many steps again.
    narrow = found["noisy-position-only-pendulum-hard-s5"]
    wide = (("state_size", 128), ("layers", 2), ("norm", "none"))
    found["noisy-position-only-pendulum-hard-s5-wide"] = dataclasses.replace(
        narrow, features=128, memory_options=wide, encoder=(128,), head=(128,), total_steps=3_000_000, lr=5e-4
    )
    return {**found, "repeat-previous-medium-s5": _config("repeat-previous-medium", "s5")}


# ------------------------------------------------------------------------------------------------------- the paper's
_SOURCE = "Lu et al. 2023, appendix C: best epoch's mean return, 8 seeds, 15 M steps"
_RETURNS: dict[str, tuple[float, ...]] = {  # in the order of HARD
    "s5": (1.0, 0.28, 0.79, 0.55, 0.91), "gru": (1.0, 0.27, 0.75, 0.61, -0.46), "none": (0.26, 0.22, 0.41, 0.34, -0.48),
}  # fmt: skip


def _score(result: Result) -> float:
    """The final return, normalised: 0 for random play, 1 for the best."""
    about: Any = describe(result.config.env, **dict(result.config.env_options))
    return float(stats.normalised_scores(result.final["return"], about.random_return, about.best_return))


POPGYM = Family(
    configs=_configs(),
    metric=lambda config: "return",
    smoke=small,
    gpu=larger,
    paper=lambda config: with_paper(config, PAPER_PPO, PAPER_MEMORIES[config.memory]),
    published={task: {m: (row[k], _SOURCE) for m, row in _RETURNS.items()} for k, task in enumerate(HARD)},
    weights=(
        "repeat-previous-easy-s5", "repeat-previous-easy-none", "repeat-previous-hard-s5", "repeat-previous-hard-gru",
    ),
    tuning=Tuning(
        tasks={
            f"popgym-{memory}": tuple(
                f"{task}-easy-{memory}" for task in ("count-recall", "noisy-position-only-pendulum", "repeat-previous")
            )
            for memory in _EASY
        },
        tries=tuple({"lr": lr} for lr in AGENT_TRIES),
        score=_score,
    ),
)  # fmt: skip
