"""Many environments stepped as one, with automatic resets that cost little."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from s5lib.config import check_positive_int
from s5lib.envs.base import (
    Action,
    AnyEnv,
    EnvParams,
    EnvState,
    Obs,
    Start,
    Step,
    advance,
    begin,
    check_action,
    check_interface,
    is_cut,
)

__all__ = ["VectorEnv", "VectorState", "beside", "rarely", "vectorize"]


def beside(flag: jax.Array, leaf: jax.Array) -> jax.Array:
    """Give a flag (B,) as many axes as a leaf (B, ...) has, so that ``where`` selects whole rows."""
    return flag.reshape(-1, *[1] * (jnp.ndim(leaf) - 1))


def rarely(predicate: jax.Array, update: Callable, operand: Any, *args: Any) -> Any:
    """Apply ``update`` where ``predicate`` holds, and skip its work where it holds nowhere, under ``vmap`` too.

    ``lax.cond`` under ``vmap`` becomes a select: both branches run, always. Here a batch runs ``update`` only on the
    steps where some member wants it, then selects.

    Args:
        predicate: bool, shape ().
        update: a function of (operand, *args) that returns something of operand's structure, shapes and dtypes.
        operand: what is returned unchanged where ``predicate`` is False.
        args: further arguments of ``update``.
    Returns:
        ``update(operand, *args)`` or ``operand``.
    Example:
        >>> jax.vmap(lambda p, x: rarely(p, jnp.square, x))(jnp.array([True, False]), jnp.array([3.0, 3.0])).tolist()
        [9.0, 3.0]

    """

    @jax.custom_batching.custom_vmap
    def branch(predicate: jax.Array, operand: Any, args: tuple) -> Any:
        return jax.lax.cond(predicate, update, lambda operand, *args: operand, operand, *args)

    @branch.def_vmap
    def _(axis_size: int, batched: list, predicate: jax.Array, operand: Any, args: tuple) -> tuple:
        def spread(leaf: jax.Array, is_batched: bool) -> jax.Array:
            return leaf if is_batched else jnp.broadcast_to(leaf, (axis_size, *jnp.shape(leaf)))

        def update_some(operand: Any, predicate: jax.Array, args: tuple) -> Any:
            new = jax.vmap(update)(operand, *args)
            return jax.tree.map(lambda new, old: jnp.where(beside(predicate, new), new, old), new, operand)

        predicate, operand, args = jax.tree.map(spread, (predicate, operand, args), tuple(batched))
        result = rarely(jnp.any(predicate), update_some, operand, predicate, args)
        return result, jax.tree.map(lambda _: True, result)

    return branch(predicate, operand, args)


class VectorState(struct.PyTreeNode):
    """Many environments: their states, the pool of fresh starts, and how many of those are used."""

    env_state: EnvState
    starts: Start
    used: jax.Array


@dataclass(frozen=True)
class VectorEnv:
    """``num_envs`` copies of one environment, stepped as one; made by ``vectorize``.

    ``reset(key, params)`` returns ``obs (num_envs, ...), state``; ``step(key, state, action, params)`` returns ``obs,
    state, reward, terminated, truncated, info``, all with a leading axis. Where an episode ended, ``obs`` and ``state``
    are those of the next one, and ``info["final_observation"]`` holds the last observation of the old one.
    """

    env: AnyEnv
    num_envs: int

    def __post_init__(self) -> None:
        check_interface(self.env)

    def reset(self, key: jax.Array, params: EnvParams | None = None) -> tuple[Obs, VectorState]:
        """Start all environments, and fill the pool."""
        params = self.env.default_params if params is None else params
        keys = jnp.concatenate([jax.random.split(part, self.num_envs) for part in jax.random.split(key)])
        starts = self._begin(keys, params)  # one call: the reset is compiled once
        obs, env_state = jax.tree.map(lambda leaf: leaf[: self.num_envs], starts)
        pool = jax.tree.map(lambda leaf: leaf[self.num_envs :], starts)
        return obs, VectorState(env_state, pool, jnp.int32(0))

    def reset_env(self, key: jax.Array, params: EnvParams | None = None) -> Start:
        """Start all environments, without a pool: for ``step_env``."""
        params = self.env.default_params if params is None else params
        return self._begin(jax.random.split(key, self.num_envs), params)

    def _begin(self, keys: jax.Array, params: EnvParams) -> Start:
        return jax.vmap(lambda key: begin(self.env, key, params))(keys)

    def step_env(self, key: jax.Array, env_state: EnvState, action: Action, params: EnvParams | None = None) -> Step:
        """Step all environments and start none anew; returns what ``step`` returns, with the environments' own states."""
        params = self.env.default_params if params is None else params
        action = check_action(self.env.action_space(params), action, (self.num_envs,))
        obs, env_state, reward, terminated, info = jax.vmap(
            lambda key, state, action: advance(self.env, key, state, action, params)
        )(jax.random.split(key, self.num_envs), env_state, action)
        truncated = jax.vmap(lambda state: is_cut(self.env, state, params))(env_state)
        return obs, env_state, reward, terminated, truncated, {**info, "final_observation": obs}

    def step(self, key: jax.Array, state: VectorState, action: Action, params: EnvParams | None = None) -> Step:
        """Step all environments; give those that ended a start from the pool, and refill the pool when it runs out."""
        params = self.env.default_params if params is None else params
        key_step, key_pool = jax.random.split(key)
        obs, env_state, reward, terminated, truncated, info = self.step_env(key_step, state.env_state, action, params)
        ended = terminated | truncated

        def refill(pool: tuple, key: jax.Array, params: EnvParams) -> tuple:
            return self.reset_env(key, params), jnp.int32(0)

        def restart(current: tuple, ended: jax.Array, starts: tuple, used: jax.Array) -> tuple:
            place = used + jnp.cumsum(ended) - 1
            return jax.tree.map(lambda old, start: jnp.where(beside(ended, old), start[place], old), current, starts)

        count = jnp.sum(ended, dtype=jnp.int32)
        pool = (state.starts, state.used)
        starts, used = rarely(state.used + count > self.num_envs, refill, pool, key_pool, params)
        obs, env_state = rarely(count > 0, restart, (obs, env_state), ended, starts, used)
        return obs, VectorState(env_state, starts, used + count), reward, terminated, truncated, info


def vectorize(env: AnyEnv, num_envs: int) -> VectorEnv:
    """Step ``num_envs`` environments as one, with cheap automatic resets.

    gymnax starts a new episode at every step of every environment and throws nearly all of them away. Here a pool of
    ``num_envs`` fresh starts is made at once, each is used once, and a new pool is made when it runs out: about one
    start made for each episode begun. Under a ``vmap`` over seeds it stays so.

    Args:
        env: any environment with gymnax's interface, wrapped as you like; wrappers go inside.
        num_envs: how many, positive.
    Returns:
        A ``VectorEnv``; of ``ManyWorlds``, what has its methods.
    Raises:
        TypeError, ValueError: ``num_envs`` is not a positive integer, or the environment is refused as by ``Wrapper``.
    Example:
        >>> from s5lib.envs import make
        >>> envs = vectorize(make("RepeatPreviousEasy"), 8)
        >>> obs, state = envs.reset(jax.random.key(0))
        >>> obs, state, reward, terminated, truncated, info = envs.step(jax.random.key(1), state, jnp.zeros(8, int))
        >>> obs.shape, reward.shape
        ((8, 4), (8,))

    """
    check_positive_int("num_envs", num_envs)
    many = hasattr(type(env), "vectorize")  # of the class: a wrapper passes on what it wraps
    return env.vectorize(num_envs) if many else VectorEnv(env, num_envs)
