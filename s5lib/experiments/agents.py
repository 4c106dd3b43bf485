"""What the families of agents share: how they shrink and grow from one budget to another."""

import dataclasses
from typing import Any

from s5lib.memory import options_of
from s5lib.ppo import PPOConfig

__all__ = ["AGENT_TRIES", "PAPER_MEMORIES", "PAPER_PPO", "env_options", "larger", "small", "with_paper"]

AGENT_TRIES = AGENT_TRIALS = (2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3, 8e-3)  # step sizes

# The RL paper's settings. What it does not publish (attention's and LSTM's sizes on POPGym) follows the GRU's.
PAPER_MEMORIES: dict[str, dict[str, Any]] = {
    "s5": {"memory_options": (("state_size", 256), ("layers", 4), ("norm", "none"))},
    "gru": {},
    "lstm": {},
    "attention": {"memory_options": (("layers", 1), ("window", 1024))},
    "none": {"memory_options": (("layers", 1),)},
}
PAPER_PPO: dict[str, Any] = {
    "features": 256, "encoder": (128,), "head": (128, 128), "num_envs": 64, "num_steps": 1024, "total_steps": 15_000_000,
    "update_epochs": 30, "num_minibatches": 8, "lr": 5e-5, "anneal": False, "gamma": 0.99, "gae_lambda": 1.0,
    "clip_eps": 0.2, "clip_value": True, "ent_coef": 0.0, "vf_coef": 1.0, "max_grad_norm": 0.5,
}  # fmt: skip


def env_options(config: PPOConfig, **options: Any) -> dict[str, Any]:
    """The field ``env_options`` of a config with some of them changed, for ``dataclasses.replace``."""
    return {"env_options": tuple({**dict(config.env_options), **options}.items())}


def small(config: PPOConfig) -> PPOConfig:
    """A few steps of a tiny agent."""
    least = {"layers": 1, "state_size": 16, "window": 16}
    known = options_of(config.memory)
    options = {**dict(config.memory_options), **{name: size for name, size in least.items() if name in known}}
    return dataclasses.replace(
        config, features=16, memory_options=tuple(options.items()), encoder=(16,), head=(16,), num_envs=4, num_steps=16,
        num_minibatches=2, total_steps=128, eval_episodes=8,
    )  # fmt: skip


def larger(config: PPOConfig) -> PPOConfig:
    """Four times the environments and the steps."""
    return dataclasses.replace(config, num_envs=4 * config.num_envs, total_steps=4 * config.total_steps)


def with_paper(config: PPOConfig, *changes: dict[str, Any]) -> PPOConfig:
    """A config with a paper's settings, of which a later one overrules; what they leave out of the memory is its default.

    A forget bias stays: what is born open at one budget is born open at all.
    """
    fields: dict[str, Any] = {"memory_options": ()}
    for change in changes:
        fields |= change
    fields["memory_options"] += tuple(option for option in config.memory_options if option[0] == "forget_bias")
    return dataclasses.replace(config, **fields)
