"""Whole episodes of worlds with goals, with all that a step tells: what relabelling and slow oracles are fed with."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from s5lib.envs.base import advance, is_cut

from .agreement import mixed


class Rollout(NamedTuple):
    """Episodes, leading axes (B, T) but for ``obs`` (B, T + 1, ...) and ``length`` (B,); 0 after an episode's end."""

    obs: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    achieved: np.ndarray
    achieved_any: np.ndarray
    length: np.ndarray
    state: Any  # before each step


@partial(jax.jit, static_argnums=0)
def _roll(env, keys, shares):
    params = env.default_params

    def one(key, share):
        act = mixed(env, share)
        key_reset, key_steps = jax.random.split(key)
        obs, state = env.reset_env(key_reset, params)

        def step(carry, key):
            obs, state, active = carry
            key_act, key_step = jax.random.split(key)
            action = act(key_act, state, obs)
            new_obs, new_state, reward, terminated, info = advance(env, key_step, state, action, params)
            row = (new_obs, action, reward, terminated, info["achieved"], info["achieved_any"])
            row = jax.tree.map(lambda leaf: jnp.where(active, leaf, jnp.zeros_like(leaf)), row)
            return (new_obs, new_state, active & ~(terminated | is_cut(env, new_state, params))), (row, active, state)

        _, (rows, active, states) = jax.lax.scan(
            step, (obs, state, jnp.bool_(True)), jax.random.split(key_steps, env.horizon)
        )
        obs = jnp.concatenate([obs[None], rows[0]])
        return Rollout(obs, *rows[1:], active.sum(), states)

    return jax.vmap(one)(keys, shares)


def rollouts(env, count: int, seed: int = 0, most_random: float = 1.0) -> Rollout:
    """``count`` episodes, from all best play to play of which the share ``most_random`` is random."""
    keys = jax.random.split(jax.random.key(seed), count)
    return jax.tree.map(np.asarray, _roll(env, keys, jnp.linspace(0, most_random, count)))
