"""Chapter 5's experiments: bsuite's memory length, ten lengths from 4 to 2048."""

import dataclasses
from typing import Any

import numpy as np

from s5lib.experiments.agents import AGENT_TRIES, PAPER_MEMORIES, larger, small, with_paper
from s5lib.experiments.family import Family, Tuning
from s5lib.ppo import PPOConfig

__all__ = ["EPISODES", "LENGTHS", "MEMORY_LENGTH"]

LENGTHS = (4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)  # the RL paper's memory lengths
EPISODES = 5_000  # of each; the paper's and bsuite's 10 000 are the paper budget

# Equal numbers of parameters, within a tenth, the Dense layer before the memory counted too.
_SIZES: dict[str, dict[str, Any]] = {
    "s5": {"features": 64, "memory_options": (("state_size", 64), ("layers", 1), ("norm", "none"))},
    "lstm": {"features": 45},
    "attention": {"features": 36, "memory_options": (("layers", 1), ("heads", 2))},  # and a window of one episode
    "none": {"features": 45, "memory_options": (("layers", 1),)},
}
_LR = {"s5": 4e-3, "lstm": 2.5e-4, "attention": 5e-4, "none": 8e-3}  # for each the best of AGENT_TRIES


def _config(length: int, memory: str) -> PPOConfig:
    """Whole episodes as rollouts, so that the gradient reaches from the answer back to the cue."""
    config = PPOConfig(
        env="MemoryChain", env_options=(("memory_length", length),), memory=memory, **_SIZES[memory], encoder=(), head=(64,),
        num_envs=32, num_steps=length + 1, total_steps=EPISODES * (length + 1), previous_action=False,
        lr=_LR[memory], anneal=True, gae_lambda=0.5, ent_coef=0.01,
    )  # fmt: skip
    if memory != "attention":
        return config
    return dataclasses.replace(config, memory_options=(*config.memory_options, ("window", length + 1)))


_CONFIGS = {
    f"memory-length-{length}-{memory}": _config(length, memory)
    for length in LENGTHS
    for memory in _SIZES
    if memory != "attention" or length <= 256
}

# ------------------------------------------------------------------------------------------------------- the paper's
_SOURCE = "Lu et al. 2023, figure 1, read off by eye: 5 seeds, 10 000 episodes"
_RETURNS: dict[str, tuple[float, ...]] = {  # in the order of LENGTHS
    "s5": (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.0),
    "lstm": (1.0, 1.0, 0.85, 0.5, 0.1, 0.2, 0.35, 0.25, -0.05, 0.1),
    "attention": (1.0, 1.0, 1.0, 0.75, 1.0, 1.0, 1.0, 0.7, -0.25, 0.05),
}
_PAPER: dict[str, Any] = {  # bsuite's actor-critic: one pass over each rollout, so the ratio is 1 and nothing is clipped
    "features": 256, "encoder": (256,), "head": (), "num_envs": 1, "num_steps": 32, "update_epochs": 1, "num_minibatches": 1,
    "normalize_advantage": False, "lr": 3e-4, "anneal": False, "gamma": 0.99, "gae_lambda": 0.9, "ent_coef": 0.0,
    "vf_coef": 2.0, "max_grad_norm": 1e9,
}  # fmt: skip


def _paper(config: PPOConfig) -> PPOConfig:
    options = dict(PAPER_MEMORIES[config.memory].get("memory_options", ()))
    if "layers" in options:
        options["layers"] = 1
    episodes = config.total_steps // EPISODES * 10_000
    return with_paper(config, _PAPER, {"memory_options": tuple(options.items()), "total_steps": episodes})


MEMORY_LENGTH = Family(
    configs=_CONFIGS,
    metric=lambda config: "return",
    smoke=small,
    gpu=larger,
    paper=_paper,
    published={
        f"memory-length-{length}": {m: (row[k], _SOURCE) for m, row in _RETURNS.items()}
        for k, length in enumerate(LENGTHS)
    },
    weights=("memory-length-128-s5", "memory-length-1024-s5"),
    tuning=Tuning(
        tasks={
            f"memory-length-{memory}": (f"memory-length-64-{memory}", f"memory-length-256-{memory}")
            for memory in _SIZES
        },
        tries=tuple({"lr": lr} for lr in AGENT_TRIES),
        score=lambda result: float(np.nan_to_num(result.metrics["return"]).mean()),  # counts how soon it was learnt
    ),
)
