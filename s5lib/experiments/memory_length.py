"""Chapter 5's experiments: bsuite's memory length, ten lengths from 4 to 2048."""

import dataclasses
import math
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
    "lstm-open": {"features": 45},  # born with its forget gate open for an episode; "lstm" has the usual bias of 1
    "attention": {"features": 36, "memory_options": (("layers", 1), ("heads", 2))},  # and a window of one episode
    "none": {"features": 45, "memory_options": (("layers", 1),)},
}
_TRIES = (6e-5, 1.25e-4, *AGENT_TRIES)  # the LSTM's best was the smallest of AGENT_TRIES
_LR = {"s5": 4e-3, "lstm": 1.25e-4, "lstm-open": 2e-3, "attention": 5e-4, "none": 8e-3}  # the best of _TRIES


def _config(length: int, method: str) -> PPOConfig:
    """Whole episodes as rollouts, so that the gradient reaches from the answer back to the cue."""
    config = PPOConfig(
        env="MemoryChain", env_options=(("memory_length", length),), memory=method.removesuffix("-open"), **_SIZES[method],
        encoder=(), head=(64,), num_envs=32, num_steps=length + 1, total_steps=EPISODES * (length + 1), previous_action=False,
        lr=_LR[method], anneal=True, gae_lambda=0.5, ent_coef=0.01,
    )  # fmt: skip
    by_length = {  # a forget gate of sigma(b) has exp(-L exp(-b)) left after L steps, nearly: 1/e at b = ln L
        "attention": (("window", length + 1),),
        "lstm-open": (("forget_bias", round(math.log(length + 1), 2)),),
    }
    return dataclasses.replace(config, memory_options=(*config.memory_options, *by_length.get(method, ())))


_CONFIGS = {
    f"memory-length-{length}-{method}": _config(length, method)
    for length in LENGTHS
    for method in _SIZES
    if method != "attention" or length <= 256
}
# Rollouts of 32 steps, with the carry passed on: no gradient reaches from the answer back to the cue.
_CONFIGS |= {
    f"memory-length-{length}-{method}-short": dataclasses.replace(_config(length, method), num_steps=32)
    for length in (64, 128, 256, 512)
    for method in ("s5", "lstm", "lstm-open")
}
# Which learns first, at one step size for both.
_CONFIGS |= {
    f"memory-length-32-{method}-same-step": dataclasses.replace(_config(32, method), lr=1e-3)
    for method in ("s5", "lstm")
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
            f"memory-length-{method}": (f"memory-length-64-{method}", f"memory-length-256-{method}")
            for method in _SIZES
        },
        tries=tuple({"lr": lr} for lr in _TRIES),
        score=lambda result: float(np.nan_to_num(result.metrics["return"]).mean()),  # counts how soon it was learnt
    ),
)
