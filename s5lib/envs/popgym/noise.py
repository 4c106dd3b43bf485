"""Noise on what the cart pole and the pendulum show."""

import jax
import jax.numpy as jnp

from s5lib.config import check_real, check_shape
from s5lib.envs.spaces import Box

__all__ = ["blur", "check_sigma"]


def check_sigma(noise_sigma: float) -> None:
    """Refuse standard deviations that are not one real number, 0 or above."""
    check_real("noise_sigma", noise_sigma)
    check_shape("noise_sigma", noise_sigma, ())
    if noise_sigma < 0:
        raise ValueError(f"noise_sigma must not be negative; got {noise_sigma}")


def blur(key: jax.Array, shown: jax.Array, noise_sigma: float, space: Box) -> jax.Array:
    """Add normal noise to each number shown, and clip the sums into the observation space; float32.

    Without noise nothing is drawn and nothing clipped, as in the original.

    Args:
        key: random key.
        shown: what would be seen without noise, any shape.
        noise_sigma: the standard deviation, a Python number.
        space: the observation space, a box.
    Returns:
        What is seen, of the shape of ``shown``.
    Example:
        >>> blur(jax.random.key(0), jnp.zeros(2), 100.0, Box(-1.0, 1.0, (2,))).tolist()
        [1.0, 1.0]

    Source: popgym 1.0.7, envs/noisy_position_only_cartpole.py and noisy_position_only_pendulum.py.
    """
    shown = shown.astype(jnp.float32)
    if noise_sigma == 0:
        return shown
    noise = noise_sigma * jax.random.normal(key, shown.shape, jnp.float32)
    return jnp.clip(shown + noise, space.low, space.high)
