"""Chapter 7's experiments: CartPole behind a random projection, learnt in context; and its ablations."""

import dataclasses
from typing import Any

from s5lib.experiments.agents import (
    AGENT_TRIES,
    PAPER_MEMORIES,
    PAPER_PPO,
    env_options,
    larger,
    small,
    with_paper,
)
from s5lib.experiments.family import Family, Tuning
from s5lib.ppo import PPOConfig

__all__ = ["IN_CONTEXT"]

_SIZES: dict[str, dict[str, Any]] = {
    "s5": {
        "features": 64,
        "memory_options": (("state_size", 64), ("layers", 4), ("norm", "layer"), ("step_min", 0.05), ("step_max", 2.0)),
    },
    "gru": {"features": 104},
    "none": {"features": 64, "memory_options": (("layers", 2),)},
}
_LR = {"s5": 2e-3, "gru": 2e-3, "none": 4e-3}  # for each the best of AGENT_TRIES
_LIFE = (("trials", None), ("steps", 2048), ("own_returns", True), ("gain", 10.0))
_HELD_OUT = (("trials", 32), ("steps", None), ("held_out", True))  # twice the paper's training horizon


def _config(memory: str) -> PPOConfig:
    """Learnt in lives of 2048 steps. A reward is 1/200, so the critic's error needs a large weight."""
    return PPOConfig(
        env="ProjectedCartPole", env_options=_LIFE, eval_env_options=_HELD_OUT, memory=memory, **_SIZES[memory],
        encoder=(64,), head=(64,), num_envs=64, num_steps=256, total_steps=12_000_000, num_minibatches=16,
        lr=_LR[memory], anneal=True, previous_reward=True, vf_coef=1000.0,
    )  # fmt: skip


def _configs() -> dict[str, PPOConfig]:
    found = {f"projected-cartpole-{memory}": _config(memory) for memory in _SIZES}
    s5 = _config("s5")
    memory = dict(s5.memory_options)
    changes: dict[str, dict[str, Any]] = {
        "no-resets": {"resets": False},
        "no-reward": {"previous_reward": False},
        "two-buttons": env_options(s5, action_size=None),
        "one-bit": env_options(s5, action_size=None, mirror=True),
        "same-starts": env_options(s5, fresh=False),
        "lives-of-trials": env_options(s5, trials=16, steps=None),
        "one-return": env_options(s5, trials=16, steps=None, own_returns=False),
        "usual-steps": {"memory_options": tuple({**memory, "step_min": 0.001, "step_max": 0.1}.items())},
        "two-layers": {"memory_options": tuple({**memory, "layers": 2}.items())},
        "light-critic": {"vf_coef": 1.0},
    }
    return found | {f"projected-cartpole-s5-{name}": dataclasses.replace(s5, **new) for name, new in changes.items()}


# ------------------------------------------------------------------------------------------------------- the paper's
_SOURCE = "Lu et al. 2023, figure 3, read off by eye: sum over 16 trials, divided by 16; 4 seeds, about 50 M steps"
_SUMS = {"s5": 6.83, "s5-no-resets": 5.89, "gru": 5.92, "none": 2.87}


def _paper(config: PPOConfig) -> PPOConfig:
    """Its settings are not published: those of POPGym, the released code's trials, as many updates as figure 3 shows."""
    trials = env_options(config, trials=16, steps=None, fresh=False, own_returns=False, gain=1.0)
    return with_paper(config, PAPER_PPO, PAPER_MEMORIES[config.memory], trials, {"total_steps": 762 * 64 * 1024})


IN_CONTEXT = Family(
    configs=_configs(),
    metric=lambda config: "trial_return",
    smoke=small,
    gpu=larger,
    paper=_paper,
    published={"projected-cartpole": {m: (total / 16, _SOURCE) for m, total in _SUMS.items()}},
    weights=tuple(f"projected-cartpole-{memory}" for memory in _SIZES),
    tuning=Tuning(
        tasks={f"projected-cartpole-{memory}": (f"projected-cartpole-{memory}",) for memory in _SIZES},
        tries=tuple({"lr": lr} for lr in AGENT_TRIES),
        score=lambda result: result.final["trial_return"],
        changes={"total_steps": 4_000_000},  # a third of the stored runs'
    ),
)
