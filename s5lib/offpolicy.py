"""Chapter 9. The mathematics of learning off policy for many discounts at once: targets, scales, two-hot values, exploration."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from s5lib.config import check_positive_int, check_shape
from s5lib.envs import spaces

__all__ = [
    "PopArt",
    "bin_centers",
    "decode_two_hot",
    "epsilon",
    "explored",
    "inside",
    "masked_mean",
    "symexp",
    "symlog",
    "td_target",
    "two_hot",
]

LEAST_VARIANCE = 1e-4  # of PopArt: rewards may all be alike


def td_target(reward: jax.Array, terminated: jax.Array, next_value: jax.Array, gammas: jax.Array) -> jax.Array:
    r"""One-step targets for every discount: ``target[t, g] = reward[t] + gamma[g] * (0 if terminated[t] else next_value[t, g])``.

    Args:
        reward: (T, B), of the action at t.
        terminated: (T, B) bool, nothing can be earned after the step.
        next_value: (T, B, G), the value of what follows it, under each discount.
        gammas: (G,), discounts, between 0 and 1.
    Returns:
        Targets (T, B, G).
    Raises:
        ValueError: shapes that do not fit.
    Example:
        >>> once = jnp.ones((1, 1))
        >>> td_target(once, once < 0, jnp.full((1, 1, 2), 10.0), jnp.array([0.5, 0.9]))[0, 0].tolist()
        [6.0, 10.0]

    Source: Grigsby et al. 2024 (arXiv 2310.09971), appendix A.2.
    """
    check_shape("reward", reward, ("T", "B"))
    check_shape("terminated", terminated, reward.shape)
    check_shape("next_value", next_value, (*reward.shape, *gammas.shape))
    return reward[..., None] + gammas * jnp.where(terminated[..., None], 0, next_value)


def masked_mean(values: jax.Array, mask: jax.Array) -> jax.Array:
    """The mean over the steps that count, and over all further axes; 0 where none does.

    Args:
        values: (T, B, ...).
        mask: (T, B) bool, True where a step counts. What stands elsewhere may be NaN.
    Returns:
        One number.
    Raises:
        ValueError: ``values`` does not begin with the axes of ``mask``.
    Example:
        >>> float(masked_mean(jnp.array([[1.0], [3.0], [jnp.nan]]), jnp.array([[True], [True], [False]])))
        2.0

    """
    check_shape("values", values, (*mask.shape, *(f"axis {i}" for i in range(mask.ndim, values.ndim))))
    mask = mask.reshape(*mask.shape, *[1] * (values.ndim - mask.ndim))
    count = jnp.sum(mask) * (values.size // mask.size)
    return jnp.sum(jnp.where(mask, values, 0)) / jnp.maximum(count, 1)


class PopArt(struct.PyTreeNode):
    r"""Mean and scale of the targets of each discount: critics learn ``(Q - mean) / scale``, whatever rewards are worth.

    The moments are exponential averages of rate ``beta``, without bias: the n-th batch counts ``beta / (1 - (1 - beta)^n)``.

    Attributes:
        mean: (G,), of the targets.
        square: (G,), the mean of their squares.
        count: batches seen, int32, shape ().
    Example:
        >>> seen = PopArt.create(1).updated(jnp.array([[[2.0]], [[4.0]]]), jnp.ones((2, 1), bool), beta=1e-3)
        >>> round(float(seen.mean[0]), 3), round(float(seen.scale[0]), 3)
        (3.0, 1.0)

    Source: van Hasselt et al. 2016 (arXiv 1602.07714); Hessel et al. 2018 (arXiv 1809.04474), one scale a task, here a discount.
    Differs: the average's bias is taken out, where Hessel et al. begin with mean 0 and scale 1.
    """

    mean: jax.Array
    square: jax.Array
    count: jax.Array

    @classmethod
    def create(cls, gammas: int) -> "PopArt":
        """Before any batch: mean 0 and scale 1 for each of so many discounts."""
        size = (check_positive_int("gammas", gammas),)
        return cls(jnp.zeros(size, jnp.float32), jnp.ones(size, jnp.float32), jnp.int32(0))

    @property
    def scale(self) -> jax.Array:
        """The standard deviation, (G,), .01 or more."""
        return jnp.sqrt(jnp.maximum(self.square - jnp.square(self.mean), LEAST_VARIANCE))

    def normalized(self, value: jax.Array) -> jax.Array:
        """``(value - mean) / scale`` of values (..., G)."""
        return (value - self.mean) / self.scale

    def updated(self, target: jax.Array, mask: jax.Array, beta: float) -> "PopArt":
        """The statistics after one batch more.

        Args:
            target: (T, B, G).
            mask: (T, B) bool, which steps count; where none does, nothing changes.
            beta: the rate, above 0, up to 1.
        Returns:
            The new statistics.
        """
        any_step = mask.any()
        count = self.count + any_step.astype(jnp.int32)
        rate = jnp.where(any_step, beta / -jnp.expm1(jnp.maximum(count, 1) * jnp.log1p(-jnp.float32(beta))), 0)
        each = jax.vmap(masked_mean, (-1, None))
        mean, square = each(target, mask), each(jnp.square(target), mask)
        return PopArt(self.mean + rate * (mean - self.mean), self.square + rate * (square - self.square), count)

    def moved(self, new: "PopArt", kernel: jax.Array, bias: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Change a last layer so that ``scale * (x @ kernel + bias) + mean`` stays what it was under these statistics.

        Args:
            new: those that come into force.
            kernel: (..., features, G * n), the outputs of a discount side by side.
            bias: (..., G * n).
        Returns:
            Kernel and bias.
        """
        each = bias.shape[-1] // len(self.mean)
        mean, scale, new_mean, new_scale = (jnp.repeat(x, each) for x in (self.mean, self.scale, new.mean, new.scale))
        return kernel * (scale / new_scale), (scale * bias + mean - new_mean) / new_scale


def symlog(x: jax.Array) -> jax.Array:
    """``sign(x) log(1 + |x|)``: near 0 as x, far from it as its logarithm.

    Args:
        x: any real numbers.
    Returns:
        The same shape.
    Example:
        >>> round(float(symlog(jnp.float32(-99.0))), 3)
        -4.605

    Source: Hafner et al. 2023 (arXiv 2301.04104), equation 9.
    """
    return jnp.sign(x) * jnp.log1p(jnp.abs(x))


def symexp(x: jax.Array) -> jax.Array:
    """``sign(x) (exp(|x|) - 1)``, the inverse of ``symlog``."""
    return jnp.sign(x) * jnp.expm1(jnp.abs(x))


def bin_centers(bins: int, limit: float) -> np.ndarray:
    """Where the bins of a two-hot critic stand on the scale of ``symlog``: evenly from -limit's to limit's place.

    Args:
        bins: how many, 2 or more.
        limit: the largest value that can be told, above 0.
    Returns:
        (bins,), float32.
    Raises:
        ValueError: fewer than two bins, or a limit of 0 or less.
    Example:
        >>> bin_centers(3, float(np.expm1(2.0))).round(3).tolist()
        [-2.0, 0.0, 2.0]

    """
    if check_positive_int("bins", bins) < 2:
        raise ValueError(f"bins must be 2 or more; got {bins}")
    if not 0 < limit < np.inf:
        raise ValueError(f"bin_limit must be positive and finite; got {limit}")
    return np.linspace(-np.log1p(limit), np.log1p(limit), bins, dtype=np.float32)


def two_hot(value: jax.Array, centers: jax.Array) -> jax.Array:
    """Share a value out between the two bins beside it, so that the bins' mean is the value again.

    With ``c_k <= symlog(value) <= c_(k+1)`` bin k gets ``(c_(k+1) - symlog(value)) / (c_(k+1) - c_k)`` and bin k + 1 the rest.
    Values beyond the outermost bins count as those.

    Args:
        value: (...), real.
        centers: (bins,), rising, evenly spaced on the scale of ``symlog``.
    Returns:
        Weights (..., bins) that sum to 1.
    Example:
        >>> [round(float(w), 3) for w in two_hot(symexp(jnp.float32(0.5)), jnp.array([-2.0, 0.0, 2.0]))]
        [0.0, 0.75, 0.25]

    Source: Grigsby et al. 2024 (AMAGO-2, arXiv 2411.11188), appendix A.
    Differs: as typeset there the weights of the lower and the upper bin are swapped.
    """
    place = jnp.clip(symlog(value), centers[0], centers[-1])[..., None]
    return jnp.maximum(0, 1 - jnp.abs(place - centers) / (centers[1] - centers[0]))


def decode_two_hot(logits: jax.Array, centers: jax.Array) -> jax.Array:
    """The value that a two-hot critic means: ``symexp(sum softmax(logits) * centers)``.

    Args:
        logits: (..., bins).
        centers: (bins,), as for ``two_hot``.
    Returns:
        Values (...).
    Example:
        >>> centers = jnp.array(bin_centers(65, 100.0))
        >>> round(float(decode_two_hot(jnp.log(two_hot(jnp.float32(7.0), centers) + 1e-9), centers)), 3)
        7.0

    """
    return symexp(jnp.sum(jax.nn.softmax(logits) * centers, -1))


def epsilon(
    share_of_rollout: jax.Array, share_of_training: jax.Array, start: tuple[float, float], end: tuple[float, float]
) -> jax.Array:
    r"""How often to act at random: it falls within a rollout, and from rollout to rollout.

    With p the share of training, a rollout begins with ``start[0] + p (start[1] - start[0])``, ends with the same of ``end``, and
    goes from the one to the other in a straight line.

    Args:
        share_of_rollout: 0 at its first step, 1 at its last possible one.
        share_of_training: 0 at the start; from 1 on it falls no more.
        start: at a rollout's first step, early and late in training.
        end: at its last step, likewise.
    Returns:
        Probabilities, of the arguments' common shape.
    Example:
        >>> [round(float(epsilon(jnp.float32(t), jnp.float32(0.5), (1.0, 0.05), (0.8, 0.01))), 3) for t in (0, 1)]
        [0.525, 0.405]

    Source: Grigsby et al. 2024 (arXiv 2310.09971), appendix A.2 and table 4.
    """
    done = jnp.minimum(share_of_training, 1.0)
    first, last = (early + done * (late - early) for early, late in (start, end))
    return first + share_of_rollout * (last - first)


def explored(space: Any, action: jax.Array, share: jax.Array, key: jax.Array) -> jax.Array:
    """Act at random for a share of the time: another choice, all alike; in a box, with noise of so many half boxes added.

    Args:
        space: ``Discrete``, or a ``Box`` of finite bounds.
        action: (B, ...), what the policy would do.
        share: (B,), from 0 to 1.
        key: random key.
    Returns:
        Actions of the space.
    """
    if spaces.is_box(space):
        noise = jax.random.normal(key, action.shape, action.dtype)
        half = (jnp.asarray(space.high) - jnp.asarray(space.low)) / 2
        return inside(space, action + share[:, None] * half * noise)
    key_whether, key_what = jax.random.split(key)
    other = jax.random.randint(key_what, action.shape, 0, space.n, action.dtype)
    return jnp.where(jax.random.uniform(key_whether, share.shape) < share, other, action)


def inside(space: Any, action: jax.Array) -> jax.Array:
    """Clip to a box; the gradient is that of the action as it was, or what lies outside would never learn to come back.

    Args:
        space: the ``Box``.
        action: (..., k).
    Returns:
        The same shape.
    """
    return action + jax.lax.stop_gradient(jnp.clip(action, space.low, space.high) - action)
