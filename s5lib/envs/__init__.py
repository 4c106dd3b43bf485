"""Environments that need a memory, all in JAX with gymnax's interface: the POPGym suite and bsuite's memory chain.

``make("RepeatPreviousHard")`` builds one, ``env_names()`` lists them, ``describe(name)`` says what is seen, done and paid,
and ``vectorize(env, num_envs)`` steps many as one. gymnax itself is not needed; environments of its own go into our wrappers,
and ours into its. Worlds of rigid bodies, ``physics_names()``, need brax or MuJoCo Playground: ``pip install 's5lib[physics]'``.
"""

import dataclasses
import re
from typing import Any

from s5lib.config import did_you_mean
from s5lib.envs.base import Description, Environment, Family
from s5lib.envs.goals import FAMILIES as GOALS
from s5lib.envs.memory_chain import MemoryChain
from s5lib.envs.physics import PHYSICS, Brax, Playground, physics_names
from s5lib.envs.players import Episode, play
from s5lib.envs.popgym import ALIASES
from s5lib.envs.popgym import FAMILIES as POPGYM
from s5lib.envs.projection import Projection
from s5lib.envs.spaces import MultiDiscrete
from s5lib.envs.tasks import ProjectedCartPole, ProjectedWorlds, measure_spread
from s5lib.envs.trials import Trials
from s5lib.envs.vector import VectorEnv, vectorize
from s5lib.envs.worlds import ManyWorlds
from s5lib.envs.wrappers import (
    ActionRepeat,
    EpisodeStatistics,
    Padded,
    PreviousAction,
    ScaledAction,
    Standardized,
    TimeLimit,
    VariedParams,
    WithParams,
    Wrapper,
    inner,
)

__all__ = [
    "ActionRepeat",
    "Brax",
    "Description",
    "Environment",
    "Episode",
    "EpisodeStatistics",
    "ManyWorlds",
    "MemoryChain",
    "MultiDiscrete",
    "Padded",
    "Playground",
    "PreviousAction",
    "ProjectedCartPole",
    "ProjectedWorlds",
    "Projection",
    "ScaledAction",
    "Standardized",
    "TimeLimit",
    "Trials",
    "VariedParams",
    "VectorEnv",
    "WithParams",
    "Wrapper",
    "describe",
    "env_names",
    "inner",
    "make",
    "measure_spread",
    "physics_names",
    "play",
    "vectorize",
]


# The table of all that ``make`` builds: group -> family -> its class, and the options of each of its levels.
FAMILIES: dict[str, dict[str, Family]] = {
    "games": {"MemoryChain": (MemoryChain, {"": {}}), **POPGYM},
    "meta": {"ProjectedCartPole": (ProjectedCartPole, {"": {}}), "ProjectedWorlds": (ProjectedWorlds, {"": {}})},
    "goals": GOALS,
    "physics": PHYSICS,
}


def env_names(meta: bool = False, goals: bool = False) -> list[str]:
    """Every task that ``make`` knows, by its present name.

    Args:
        meta: the tasks that are learnt in context, instead of the single games.
        goals: the worlds of chapter 9, instead of the single games.
    Returns:
        ``"<Family><Difficulty>"`` for POPGym's tasks, spelled as POPGym spells them, and ``"MemoryChain"``; with
        ``meta``, ``"ProjectedCartPole"`` and ``"ProjectedWorlds"``; with ``goals``, those such as ``"PackageDeliveryHard"``.
    Raises:
        ValueError: both are asked for.
    Example:
        >>> "RepeatPreviousHard" in env_names()
        True
        >>> env_names(meta=True)
        ['ProjectedCartPole', 'ProjectedWorlds']

    """
    if meta and goals:
        raise ValueError("meta and goals must not both be True: each is a list of its own")
    group = FAMILIES["meta" if meta else "goals" if goals else "games"]
    return [family + level for family, (_, levels) in group.items() for level in levels]


def make(name: str, **options: Any) -> Environment:
    """Build an environment by name.

    Args:
        name: one of ``env_names()``, of it with ``meta=True`` or ``goals=True``, or of ``physics_names()``; a family's name
            alone means its Easy options. The names of POPGym's first version (``"StatelessCartPoleHard"``) and its gymnasium ids
            (``"popgym-RepeatFirstEasy-v0"``) work too.
        options: fields of the environment to set otherwise, such as ``k=10`` of RepeatPrevious.
    Returns:
        An ``Environment``; equal names and options give equal environments.
    Raises:
        ValueError: an unknown name, with the nearest one, or a bad option's value.
        TypeError: an option that this environment does not have.
        ImportError: a world of rigid bodies whose package is missing; the message holds the pip command.
    Example:
        >>> make("RepeatPreviousHard")
        RepeatPrevious(num_decks=3, k=64)
        >>> make("RepeatPreviousHard", k=10).k
        10

    """
    family, kind, level = find(name)
    known = [field.name for field in dataclasses.fields(kind) if field.init]
    for option in options:
        if option not in known:
            raise TypeError(
                f"{family} has no option {option!r}; it has {', '.join(known) or 'none'}.{did_you_mean(option, known)}"
            )
    return kind(**{**level, **options})


def find(name: str) -> tuple[str, Any, dict[str, Any]]:
    """Look a name up as ``make`` does, and build nothing.

    Args:
        name: as in ``make``.
    Returns:
        The family, its class, which is a dataclass, and what the level in the name sets of its fields.
    Raises:
        ValueError: an unknown name, with the nearest one.
    """
    bare = re.sub(r"^popgym-|-v0$", "", name) if isinstance(name, str) else str(name)
    family, level = re.fullmatch(r"(.*?)(Easy|Medium|Hard|)", bare).groups()  # type: ignore[union-attr]
    family = ALIASES.get(family, family)
    families = {name: entry for group in FAMILIES.values() for name, entry in group.items()}
    if family not in families or (level and level not in families[family][1]):
        nearest = did_you_mean(
            bare, [*env_names(), *env_names(meta=True), *env_names(goals=True), *physics_names(), *ALIASES]
        )
        raise ValueError(
            f"no environment is called {name!r}.{nearest} env_names() lists {len(env_names())} games, "
            f"env_names(meta=True) {', '.join(env_names(meta=True))}, env_names(goals=True) {len(env_names(goals=True))} worlds "
            f"with goals, physics_names() {len(physics_names())} worlds"
        )
    kind, levels = families[family]
    return family, kind, levels[level or next(iter(levels))]


def describe(name: str, **options: Any) -> Description:
    """Say what a task shows, asks and pays, index by index, and what its players earn.

    Args:
        name: as in ``make``.
        options: as in ``make``.
    Returns:
        A ``Description``.
    Raises:
        ValueError, TypeError: as in ``make``.
    Example:
        >>> describe("RepeatPreviousHard").best_return
        1.0

    """
    return dataclasses.replace(make(name, **options).describe(), name=name)
