"""A family of experiments: one record that says what is run at each budget, what is reported, and how settings were chosen."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from s5lib.amago import AmagoConfig
from s5lib.ppo import PPOConfig
from s5lib.records import Result
from s5lib.supervised import DigitsConfig

__all__ = ["Config", "Family", "Published", "Tuning"]

Config = AmagoConfig | DigitsConfig | PPOConfig
Published = Mapping[str, Mapping[str, tuple[float, str]]]  # task -> method -> (value, where it stands)

TUNING_SEED = 100  # none of the stored runs has it


@dataclass(frozen=True)
class Tuning:
    """How a family's settings were chosen: every method is given the same tries.

    Attributes:
        tasks: what can be tuned -> the experiments that each try is scored on.
        tries: the settings tried, each a dict of config fields.
        score: of a Result, higher is better.
        changes: config fields that differ in a try from the stored runs, such as fewer steps.
        seed: the seed of the tries.
        near: the first try that scores this share of the best is chosen; 1 is the best itself.
        called: what the scores are called in the record.
    """

    tasks: Mapping[str, tuple[str, ...]]
    tries: tuple[dict[str, float], ...]
    score: Callable[[Result], float]
    changes: Mapping[str, Any] = field(default_factory=dict)
    seed: int = TUNING_SEED
    near: float = 1.0
    called: str = "score"


@dataclass(frozen=True)
class Family:
    """Experiments that share their sizes, their metric and their source.

    Attributes:
        configs: name -> its config at the cpu budget, which is what is stored.
        metric: the metric that is reported, of a config.
        smoke: a config at the cpu budget -> one that takes seconds.
        gpu: likewise for one T4; None where the cpu budget is all that the experiment needs.
        paper: likewise at the paper's scale; None where no paper has it.
        published: the papers' numbers.
        unpublished: what to say of an experiment without one.
        weights: the experiments whose final weights are stored too.
        tuning: how settings were chosen; None where nothing was tuned.
    """

    configs: Mapping[str, Any]
    metric: Callable[[Any], str]
    smoke: Callable[[Any], Any]
    gpu: Callable[[Any], Any] | None = None
    paper: Callable[[Any], Any] | None = None
    published: Published = field(default_factory=dict)
    unpublished: str = "no number: the paper reports none"
    weights: tuple[str, ...] = ()
    tuning: Tuning | None = None

    def expected(self, name: str, config: Any) -> tuple[float | None, str]:
        """The papers' number for an experiment and where it stands; None and why where there is none."""
        parts = re.split(f"-(?={config.memory}(?:-|$))", name)
        if len(parts) != 2:
            raise ValueError(
                f"an experiment's name must be <task>-{config.memory}, its memory's name in it once; got {name!r}"
            )
        task, method = parts
        return self.published.get(task, {}).get(method.removesuffix("-wide"), (None, self.unpublished))
