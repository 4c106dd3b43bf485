"""Chapter 5. From rewards to what a learner is told: advantages. Needs nothing but JAX."""

import jax
import jax.numpy as jnp

__all__ = ["gae"]


def gae(
    reward: jax.Array,
    value: jax.Array,
    next_value: jax.Array,
    ended: jax.Array,
    gamma: jax.Array | float,
    gae_lambda: jax.Array | float,
) -> jax.Array:
    r"""Generalised advantage estimation.

    ``delta[t] = reward[t] + gamma * next_value[t] - value[t]`` and
    ``advantage[t] = delta[t] + gamma * gae_lambda * where(ended[t], 0, advantage[t + 1])``.

    Args:
        reward: (T, ...), of the action at t.
        value: (T, ...), V(obs[t]).
        next_value: (T, ...), the value of what follows the action at t: V(obs[t + 1]) inside an episode, 0 where it
            terminated, V(last observation) where it was only truncated.
        ended: (T, ...) bool, terminated or truncated at t.
        gamma: discount.
        gae_lambda: how far errors are summed, 0 to 1.
    Returns:
        Advantages (T, ...).
    Example:
        >>> gae(jnp.array([0.0, 1.0]), jnp.zeros(2), jnp.zeros(2), jnp.array([False, True]), 0.5, 1.0).tolist()
        [0.5, 1.0]

    Source: Schulman et al. 2016 (arXiv 1506.02438), equation 16.
    """

    def step(later: jax.Array, now: tuple) -> tuple:
        delta, ended = now
        advantage = delta + gamma * gae_lambda * jnp.where(ended, 0, later)
        return advantage, advantage

    delta = reward + gamma * next_value - value
    return jax.lax.scan(step, jnp.zeros_like(delta[0]), (delta, ended), reverse=True)[1]
