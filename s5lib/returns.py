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
        reward: (T, ...), of the action at t; any real numbers, bool among them.
        value: (T, ...), V(obs[t]).
        next_value: (T, ...), the value of what follows the action at t: V(obs[t + 1]) inside an episode, 0 where it
            terminated, V(last observation) where it was only truncated.
        ended: (T, ...) bool, terminated or truncated at t.
        gamma: discount.
        gae_lambda: how far errors are summed, 0 to 1.
    Returns:
        Advantages (T, ...), in the dtype of the values or float32, whichever is wider.
    Raises:
        ValueError: shapes that differ, or no step at all. TypeError: values that are not floats, ``ended`` that is not bool.
    Example:
        >>> gae(jnp.array([0.0, 1.0]), jnp.zeros(2), jnp.zeros(2), jnp.array([False, True]), 0.5, 1.0).tolist()
        [0.5, 1.0]

    Source: Schulman et al. 2016 (arXiv 1506.02438), equation 16.
    """

    reward, value, next_value, ended = _checked(reward, value, next_value, ended)

    def step(later: jax.Array, now: tuple) -> tuple:
        delta, ended = now
        advantage = (delta + gamma * gae_lambda * jnp.where(ended, 0, later)).astype(later.dtype)
        return advantage, advantage

    delta = (reward + gamma * next_value - value).astype(value.dtype)
    return jax.lax.scan(step, jnp.zeros_like(delta[0]), (delta, ended), reverse=True)[1]


def _checked(reward, value, next_value, ended) -> tuple[jax.Array, ...]:
    """Check the arguments of ``gae``; return the numbers in one dtype."""
    reward, value, next_value, ended = map(jnp.asarray, (reward, value, next_value, ended))
    if reward.ndim == 0 or len(reward) == 0:
        raise ValueError(f"reward must have shape (T, ...) with T >= 1; got {reward.shape}")
    for name, array in (("value", value), ("next_value", next_value), ("ended", ended)):
        if array.shape != reward.shape:
            raise ValueError(f"{name} must have shape {reward.shape}, that of reward; got {array.shape}")
    if jnp.iscomplexobj(reward):
        raise TypeError(f"reward must be real; got dtype {reward.dtype}")
    for name, array in (("value", value), ("next_value", next_value)):
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise TypeError(f"{name} must be real floating point; got dtype {array.dtype}")
    if ended.dtype != jnp.bool_:
        raise TypeError(f"ended must be bool, True where an episode ended; got dtype {ended.dtype}")
    dtype = jnp.result_type(value, next_value, jnp.float32)
    return reward.astype(dtype), value.astype(dtype), next_value.astype(dtype), ended
