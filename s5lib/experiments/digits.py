"""Chapter 4's experiments: scans of digits read pixel by pixel, one by one or packed end to end.

The digits are so few that the cpu budget is all they need, and no paper reports them: their other budgets are the same config.
"""

import dataclasses
from typing import Any

from s5lib.experiments.family import Family, Tuning
from s5lib.supervised import DigitsConfig

__all__ = ["DIGITS", "TRIES"]

# Tried for each memory on each task: as many tries for the GRU as for S5, all scored on the validation part.
TRIES = TRIALS = (
    {"learning_rate": 4e-3, "weight_decay": 0.05},
    {"learning_rate": 2e-3, "weight_decay": 0.3},
    {"learning_rate": 4e-3, "weight_decay": 0.3},
    {"learning_rate": 8e-3, "weight_decay": 0.3},
)

# The two memories have equal numbers of parameters: 34 506 and 34 884.
_S5 = DigitsConfig(memory="s5", features=64, state_size=64, layers=2, blocks=4)
_GRU = DigitsConfig(memory="gru", features=53, layers=2)
_PACKED: dict[str, Any] = {"task": "packed", "num_updates": 60, "steps_per_update": 25, "batch_size": 16}

# Learning rates and weight decays are those that `tune` found best.
_CONFIGS = {
    "digits-s5": dataclasses.replace(_S5, learning_rate=4e-3, weight_decay=0.3),
    "digits-s5-frozen": dataclasses.replace(_S5, learning_rate=4e-3, weight_decay=0.3, ssm_lr=0.0),
    "digits-s5-random": dataclasses.replace(_S5, learning_rate=8e-3, weight_decay=0.3, eigenvalues="random"),
    "digits-s5-random-frozen": dataclasses.replace(
        _S5, learning_rate=8e-3, weight_decay=0.3, eigenvalues="random", ssm_lr=0.0
    ),
    "digits-s5-real": dataclasses.replace(_S5, learning_rate=4e-3, weight_decay=0.3, eigenvalues="real"),
    "digits-gru": dataclasses.replace(_GRU, learning_rate=4e-3, weight_decay=0.3),
    "packed-s5": dataclasses.replace(_S5, **_PACKED, learning_rate=8e-3, weight_decay=0.3),
    "packed-gru": dataclasses.replace(_GRU, **_PACKED, learning_rate=8e-3, weight_decay=0.3),
    "packed-s5-no-resets": dataclasses.replace(_S5, **_PACKED, learning_rate=8e-3, weight_decay=0.3, resets=False),
}


def _small(config: DigitsConfig) -> DigitsConfig:
    tiny: dict[str, Any] = {"features": 16, "state_size": 16, "layers": 1, "blocks": 1, "num_updates": 2}
    few: dict[str, Any] = {"batch_size": 256} if config.task == "single" else {"batch_size": 8, "steps_per_update": 2}
    return dataclasses.replace(config, **tiny, **few)


DIGITS = Family(
    configs=_CONFIGS,
    metric=lambda config: "accuracy",
    smoke=_small,
    weights=("digits-s5", "digits-gru", "packed-s5", "packed-gru", "packed-s5-no-resets"),
    tuning=Tuning(
        tasks={name: (name,) for name in _CONFIGS if not name.endswith("no-resets")},
        tries=TRIES,
        score=lambda result: result.final["accuracy"],
        changes={"validation": True},
        seed=0,
        called="validation_accuracy",
    ),
)
