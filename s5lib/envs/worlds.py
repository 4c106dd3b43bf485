"""Chapter 8. Several worlds side by side in one batch: the agent is not told which one it is in.

A switch between worlds inside one environment would compute all of them at every step of every environment, since ``vmap``
turns a choice into a select. Here each world has its own part of the batch, and steps only that.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from s5lib.config import check_positive_int, moved
from s5lib.envs.base import (
    Action,
    AnyEnv,
    EnvParams,
    Start,
    Step,
    check_action,
    check_action_box,
    check_vectors,
    horizon_of,
)
from s5lib.envs.spaces import Box, Space
from s5lib.envs.vector import VectorEnv
from s5lib.envs.wrappers import Padded, bare_name

__all__ = ["ManyVectorEnv", "ManyWorlds", "check_share"]

Params = tuple[EnvParams, ...]  # what may be told anew at each call, one entry a world


def check_share(name: str, size: int, env: "ManyWorlds") -> int:
    """Return ``size``, a number of environments, if each world can have an equal part of them; else a ValueError."""
    n = len(env.worlds)
    if size % n:
        near = [near for near in (size // n * n, (size // n + 1) * n) if near]
        raise ValueError(
            f"{name} must be a multiple of {n}, the number of worlds; got {size}. The nearest: {' and '.join(map(str, near))}"
        )
    return size


def _same(left: Box, right: Box) -> bool:
    """Whether two spaces are boxes of one shape and the same bounds."""
    bounds = ((left.low, right.low), (left.high, right.high))
    return left.shape == right.shape and all(np.all(np.asarray(one) == np.asarray(other)) for one, other in bounds)


@dataclass(frozen=True)
class ManyWorlds:
    """Several worlds with observations and actions of one size, to be stepped side by side.

    ``vectorize(ManyWorlds(worlds), num_envs)`` has the interface of a ``VectorEnv``, and ``ppo.make(config, env)`` takes
    it as it takes an environment. The batch is cut into equal parts: of ``num_envs`` = n * k environments, i * k to
    (i + 1) * k - 1 are world i's. Nothing in an observation says so.

    Worlds that differ in size or in bounds of actions are ``Padded`` to a common size. Worlds behind a ``Projection`` to
    one size need no padding, and stay as they are. A wrapper goes around each world: see ``wrap``.

    Args:
        worlds: environments, one or more, with vectors as observations and actions, and episodes of equal length.
        obs_size: the common size of observations; the largest world's if None.
        action_size: the common size of actions; the largest world's if None.
    Raises:
        ValueError: no world, worlds of unequal horizons, a world wider than a common size, or with observations or
            actions of other kinds.
        TypeError: a size that is not an integer.
    Example:
        >>> from s5lib.envs import make, vectorize
        >>> easy, hard = (make("PositionOnlyPendulum" + level, max_steps=200) for level in ("Easy", "Hard"))
        >>> envs = vectorize(ManyWorlds((easy, hard), obs_size=12, action_size=2), 8)
        >>> obs, state = envs.reset(jax.random.key(0))
        >>> obs.shape, envs.world.tolist()
        ((8, 12), [0, 0, 0, 0, 1, 1, 1, 1])

    Source: Lu et al. 2023 (arXiv 2303.03982), section 4.4 and algorithm 1.
    Differs: there the world of each new episode is drawn at random; here every world always has its share.
    """

    worlds: tuple[AnyEnv, ...]
    obs_size: int | None = None
    action_size: int | None = None

    def __post_init__(self) -> None:
        worlds = tuple(self.worlds)
        if not worlds:
            raise ValueError("worlds must hold at least one environment; got none")
        horizons = [horizon_of(world) for world in worlds]
        if len(set(horizons)) > 1:
            told = ", ".join(f"{bare_name(world)} {horizon}" for world, horizon in zip(worlds, horizons, strict=True))
            raise ValueError(f"worlds must have episodes of one length; got {told}. TimeLimit cuts longer ones")
        obs_sizes, action_sizes = (
            [check_vectors(world) for world in worlds],
            [check_action_box(world) for world in worlds],
        )
        sizes = (
            max(obs_sizes) if self.obs_size is None else self.obs_size,
            max(action_sizes) if self.action_size is None else self.action_size,
        )
        actions = [world.action_space(world.default_params) for world in worlds]
        as_they_are = {*zip(obs_sizes, action_sizes, strict=True)} == {sizes} and all(
            _same(a, actions[0]) for a in actions
        )
        object.__setattr__(self, "worlds", worlds if as_they_are else tuple(Padded(world, *sizes) for world in worlds))

    @property
    def names(self) -> tuple[str, ...]:
        """What the worlds are called; a number tells those of one name apart."""
        names = [bare_name(world) for world in self.worlds]
        count, seen = Counter(names), Counter[str]()
        for i, name in enumerate(names):
            seen[name] += 1
            names[i] = name if count[name] == 1 else f"{name} {seen[name]}"
        return tuple(names)

    @property
    def horizon(self) -> int:
        return horizon_of(self.worlds[0])

    @property
    def default_params(self) -> Params:
        """The worlds' own, one after the other."""
        return tuple(world.default_params for world in self.worlds)

    def observation_space(self, params: EnvParams | None = None) -> Space:
        spaces_of = [world.observation_space(world.default_params) for world in self.worlds]
        shape = spaces_of[0].shape
        low = jnp.min(jnp.stack([jnp.broadcast_to(space.low, shape) for space in spaces_of]), axis=0)
        high = jnp.max(jnp.stack([jnp.broadcast_to(space.high, shape) for space in spaces_of]), axis=0)
        return Box(low, high, shape)

    def action_space(self, params: EnvParams | None = None) -> Space:
        return self.worlds[0].action_space(self.worlds[0].default_params)

    def wrap(self, wrapper: Callable[[AnyEnv], AnyEnv]) -> "ManyWorlds":
        """Put a wrapper around each world.

        Args:
            wrapper: a function of an environment, such as ``lambda world: PreviousAction(world, reward=True)``.
        Returns:
            The same worlds, wrapped.
        """
        return ManyWorlds(tuple(wrapper(world) for world in self.worlds))

    def reset_env(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not of many worlds: nor are ``reset``, ``step``, ``step_env`` and ``is_truncated``."""
        raise TypeError(
            "many worlds are no single environment: step them with vectorize(worlds, num_envs), and wrap each with ManyWorlds.wrap"
        )

    reset = step = step_env = is_truncated = reset_env

    def vectorize(self, num_envs: int) -> "ManyVectorEnv":
        """As ``vectorize(self, num_envs)``."""
        return ManyVectorEnv(self, check_positive_int("num_envs", num_envs))


@dataclass(frozen=True)
class ManyVectorEnv:
    """``num_envs`` environments, an equal part of them in each world; a ``VectorEnv`` for the rest of the library.

    ``info`` holds what all worlds report, such as ``"final_observation"``.

    Args:
        env: the worlds.
        num_envs: a multiple of their number.
    Raises:
        ValueError: ``num_envs`` cannot be cut into equal parts.
    """

    env: ManyWorlds
    num_envs: int

    def __post_init__(self) -> None:
        check_share("num_envs", self.num_envs, self.env)

    @property
    def parts(self) -> tuple[VectorEnv, ...]:
        return tuple(VectorEnv(world, self.num_envs // len(self.env.worlds)) for world in self.env.worlds)

    @property
    def world(self) -> np.ndarray:
        """The index in ``env.worlds`` of each environment of the batch, (num_envs,)."""
        return np.repeat(np.arange(len(self.env.worlds)), self.num_envs // len(self.env.worlds))

    def _each(self, method: str, key: jax.Array, rows: list[tuple], params: Params | None) -> list[tuple]:
        """Call a method of each world's part with its own key, arguments and params."""
        params = self.env.default_params if params is None else params
        keys = jax.random.split(key, len(self.parts))
        calls = zip(self.parts, keys, rows, params, strict=True)
        return [getattr(part, method)(key, *row, param) for part, key, row, param in calls]

    def _reset(self, method: str, key: jax.Array, params: Params | None) -> Start:
        obs, states = zip(*self._each(method, key, [()] * len(self.parts), params), strict=True)
        return jnp.concatenate(obs), states

    def _step(self, method: str, key: jax.Array, state: tuple, action: Action, params: Params | None) -> Step:
        action = check_action(self.env.action_space(), action, (self.num_envs,))
        rows = list(zip(state, jnp.split(action, len(self.parts)), strict=True))
        obs, states, reward, terminated, truncated, infos = zip(*self._each(method, key, rows, params), strict=True)
        shared = {name for name in infos[0] if all(name in info for info in infos)}
        info = {name: jax.tree.map(_join, *(info[name] for info in infos)) for name in sorted(shared)}
        return _join(*obs), states, _join(*reward), _join(*terminated), _join(*truncated), info

    def reset(self, key: jax.Array, params: Params | None = None) -> Start:
        """Start all environments, and fill each world's pool; ``params`` is a tuple, one entry a world."""
        return self._reset("reset", key, params)

    def step(self, key: jax.Array, state: tuple, action: Action, params: Params | None = None) -> Step:
        """As ``VectorEnv.step``; ``action`` (num_envs, action_size)."""
        return self._step("step", key, state, action, params)

    def reset_env(self, key: jax.Array, params: Params | None = None) -> Start:
        """As ``VectorEnv.reset_env``."""
        return self._reset("reset_env", key, params)

    def step_env(self, key: jax.Array, state: tuple, action: Action, params: Params | None = None) -> Step:
        """As ``VectorEnv.step_env``."""
        return self._step("step_env", key, state, action, params)


def _join(*parts: jax.Array) -> jax.Array:
    return jnp.concatenate(parts)


__getattr__ = moved(
    __name__,
    {
        **dict.fromkeys(("HELD_OUT", "PROJECTED", "SPREADS", "TRAIN"), "s5lib.envs.tasks"),
        **dict.fromkeys(("ProjectedWorlds", "measure_spread"), "s5lib.envs.tasks"),
        **dict.fromkeys(("ActionRepeat", "Padded", "Standardized", "WrappedState", "Wrapper"), "s5lib.envs.wrappers"),
        "check_action_box": "s5lib.envs.base",
    },
)
