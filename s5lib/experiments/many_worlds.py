"""Chapter 8's experiments: six worlds side by side behind random projections, and one of them alone, on the way there."""

import dataclasses
from typing import Any

from s5lib.envs.tasks import HELD_OUT, TRAIN
from s5lib.experiments.agents import env_options, larger, small, with_paper
from s5lib.experiments.family import Family, Tuning
from s5lib.ppo import PPOConfig

__all__ = ["EVERYWHERE", "LADDER", "MANY_WORLDS", "PUBLISHED_WORLDS", "WORLD_TRIES"]

_SIZES: dict[str, dict[str, Any]] = {
    "s5": {
        "features": 64,
        "memory_options": (("state_size", 64), ("layers", 4), ("norm", "layer"), ("step_min", 0.02), ("step_max", 2.0)),
    },
    "gru": {"features": 100},
    "lstm": {"features": 88},
    "none": {"features": 64, "memory_options": (("layers", 2),)},
}
WORLD_TRIES = WORLD_TRIALS = (
    2.5e-4,
    5e-4,
    1e-3,
)  # step sizes to tune by: fewer than AGENT_TRIES, since these runs take longest
_LR = {"s5": 5e-4, "gru": 1e-3, "lstm": 1e-3, "none": 5e-4}
EVERYWHERE = (*TRAIN, *HELD_OUT, "brax/inverted_double_pendulum", "brax/reacher")
LADDER = ("neither", "actions", "observations", "both")  # what of swing-up is projected


def _config(memory: str) -> PPOConfig:
    """Six worlds side by side, a projection an episode; scored on held-out projections of these worlds and of others."""
    return PPOConfig(
        env="ProjectedWorlds", eval_env_options=(("worlds", EVERYWHERE), ("held_out", True)), memory=memory, **_SIZES[memory],
        encoder=(64,), head=(64,), num_envs=96, num_steps=250, total_steps=12_000_000, num_minibatches=24,
        eval_episodes=16 * len(EVERYWHERE), lr=_LR[memory], anneal=True, previous_reward=True, vf_coef=0.1,
    )  # fmt: skip


def _alone(memory: str, world: str, **options: Any) -> PPOConfig:
    """One world by itself, on the way to many."""
    return dataclasses.replace(
        _config(memory), env_options=(("worlds", (world,)), *options.items()), eval_env_options=(("held_out", True),), num_envs=64,
        num_minibatches=32, total_steps=4_000_000, eval_episodes=256, lr=1e-3,
    )  # fmt: skip


def _configs() -> dict[str, PPOConfig]:
    found = {f"projected-worlds-{memory}": _config(memory) for memory in _SIZES}
    for project in LADDER:
        found[f"cartpole-swingup-s5-{project}"] = _alone("s5", "CartpoleSwingup", project=project)
    swingup = found["cartpole-swingup-s5-both"]
    found["cartpole-swingup-s5-pool"] = dataclasses.replace(swingup, **env_options(swingup, pool=16))
    # Held for four steps, an answer does more: 3 million of them, 12 million steps.
    found["cartpole-swingup-s5-held"] = dataclasses.replace(
        swingup, **env_options(swingup, repeats=4), total_steps=3_000_000, vf_coef=0.02
    )
    levers = found["cartpole-swingup-none-actions"] = _alone("none", "CartpoleSwingup", project="actions")
    found["cartpole-swingup-none-no-last-action"] = dataclasses.replace(
        levers, previous_action=False, previous_reward=False
    )
    return found


def _metric(config: PPOConfig) -> str:
    return "return_trained" if "worlds" in dict(config.eval_env_options) else "return"


def _small(config: PPOConfig) -> PPOConfig:
    """Two of the worlds, which compile soon."""
    config = dataclasses.replace(config, **env_options(config, worlds=("PointMass",), max_steps=50))
    if "worlds" in dict(config.eval_env_options):
        elsewhere = {**dict(config.eval_env_options), "worlds": ("PointMass", "CartpoleBalance")}
        config = dataclasses.replace(config, eval_env_options=tuple(elsewhere.items()))
    return small(config)


# ------------------------------------------------------------------------------------------------------- the paper's
_SOURCE = "Lu et al. 2023, figure 4, read off by eye: mean over the six training worlds, 3 seeds, 2 G frames"
_MEANS = {"s5": 810.0, "lstm": 660.0, "none": 233.0}
_EACH: dict[str, tuple[float, float, float]] = {  # figures 5 and 7, read off by eye: S5, LSTM, no memory
    "BallInCup": (948, 912, 143), "CartpoleSwingup": (614, 510, 160), "FingerSpin": (812, 434, 34),
    "FingerTurnHard": (749, 411, 318), "PointMass": (801, 734, 6), "ReacherEasy": (918, 899, 733),
    "CartpoleBalance": (456, 276, 233), "FingerTurnEasy": (810, 518, 460), "PendulumSwingup": (4, 4, 3),
    "ReacherHard": (606, 584, 294),
}  # fmt: skip
PUBLISHED_WORLDS = {world: dict(zip(_MEANS, row, strict=True)) for world, row in _EACH.items()}
_PAPER: dict[str, Any] = {  # its optimiser is Muesli, and 1024 environments are no equal shares of six worlds
    "features": 512, "encoder": (512, 512), "head": (512,), "num_envs": 1026, "num_steps": 1000, "total_steps": 2_000_000_000,
    "num_minibatches": 27, "lr": 3e-4, "anneal": False, "gamma": 0.995,
}  # fmt: skip
_PAPER_S5: dict[str, Any] = {
    "features": 256,
    "memory_options": (("state_size", 256), ("layers", 10), ("norm", "layer")),
}

MANY_WORLDS = Family(
    configs=_configs(),
    metric=_metric,
    smoke=_small,
    gpu=larger,
    paper=lambda config: with_paper(config, _PAPER, _PAPER_S5 if config.memory == "s5" else {}),
    published={"projected-worlds": {m: (mean, _SOURCE) for m, mean in _MEANS.items()}},
    weights=(
        "projected-worlds-s5", "projected-worlds-none", "cartpole-swingup-s5-actions", "cartpole-swingup-s5-observations",
        "cartpole-swingup-s5-held", "cartpole-swingup-none-actions",
    ),
    tuning=Tuning(
        tasks={f"projected-worlds-{memory}": (f"projected-worlds-{memory}",) for memory in _SIZES},
        tries=tuple({"lr": lr} for lr in WORLD_TRIES),
        score=lambda result: result.final["return_trained"],
        changes={"total_steps": 4_000_000},  # a third of the stored runs'
        near=0.95,  # the longer a run the smaller a step it wants
    ),
)  # fmt: skip
