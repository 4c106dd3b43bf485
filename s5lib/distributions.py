"""Chapter 5. What a policy draws its actions from: one choice, several at once, or real numbers."""

from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from s5lib.config import check_shape, is_concrete

__all__ = [
    "ActionSpace",
    "Categorical",
    "DiagNormal",
    "Distribution",
    "MultiCategorical",
    "from_parameters",
    "parameter_count",
]


class ActionSpace(Protocol):
    """What actions there are: a space of gymnax, or one of its shape, such as ``s5lib.envs.MultiDiscrete``.

    Attributes:
        shape: of one action.
    """

    shape: tuple[int, ...]

    def sample(self, key: jax.Array) -> jax.Array:
        """Draw an action, all alike."""

    def contains(self, x: jax.Array) -> jax.Array:
        """Whether x is such an action."""


class Distribution(Protocol):
    """What a policy is, over actions of one kind: any leading axes (...), one distribution for each of their entries."""

    def sample(self, key: jax.Array) -> jax.Array:
        """Draw actions, shape (..., and that of an action)."""

    def mode(self) -> jax.Array:
        """The likeliest actions."""

    def log_prob(self, action: jax.Array) -> jax.Array:
        """log p(action), shape (...)."""

    def entropy(self) -> jax.Array:
        """The entropy in nats, shape (...)."""


class Categorical(struct.PyTreeNode):
    """One of n choices, ``p = softmax(logits)``.

    Attributes:
        logits: (..., n), any real numbers; -inf forbids a choice, as long as another is left.

    Example:
        >>> fair = Categorical(jnp.zeros(4))
        >>> round(float(fair.entropy()), 3), round(float(fair.log_prob(jnp.int32(2))), 3)
        (1.386, -1.386)

    """

    logits: jax.Array

    def sample(self, key: jax.Array) -> jax.Array:
        """Draw integers, shape (...)."""
        return jax.random.categorical(key, self.logits).astype(jnp.int32)

    def mode(self) -> jax.Array:
        """The likeliest choice."""
        return jnp.argmax(self.logits, -1).astype(jnp.int32)

    def log_prob(self, action: jax.Array) -> jax.Array:
        """log p(action), shape (...), of integers from 0 to n - 1.

        Raises:
            TypeError, ValueError: actions that are none. While ``jit`` traces them, one out of range has log p = -inf instead.
        """
        n = self.logits.shape[-1]
        if not jnp.issubdtype(action.dtype, jnp.integer):
            raise TypeError(f"action must hold integers; got dtype {action.dtype}")
        check_shape("action", action, self.logits.shape[:-1])
        known = (action >= 0) & (action < n)
        if is_concrete(known) and not known.all():
            raise ValueError(f"action must lie in 0 to {n - 1}; got {np.asarray(action)[~np.asarray(known)][0]}")
        chosen = jnp.take_along_axis(self.logits, action[..., None], -1, mode="clip")[..., 0]
        return jnp.where(known, chosen - jax.nn.logsumexp(self.logits, -1), -jnp.inf)

    def entropy(self) -> jax.Array:
        """``-sum p log p`` in nats, shape (...)."""
        log_p = jax.nn.log_softmax(self.logits)
        return -jnp.sum(jnp.exp(log_p) * jnp.where(log_p == -jnp.inf, 0, log_p), -1)  # p log p goes to 0 with p


class MultiCategorical(struct.PyTreeNode):
    """Several choices at once, independent of one another given the logits.

    Attributes:
        logits: (..., sum(nvec)): the logits of all choices, one stretch after another.
        nvec: how many options each choice has.

    Example:
        >>> MultiCategorical(jnp.zeros(5), (2, 3)).sample(jax.random.key(0)).shape
        (2,)

    """

    logits: jax.Array
    nvec: tuple[int, ...] = struct.field(pytree_node=False)

    def _parts(self) -> list[Categorical]:
        ends = [sum(self.nvec[: i + 1]) for i in range(len(self.nvec) - 1)]
        return [Categorical(part) for part in jnp.split(self.logits, ends, -1)]

    def sample(self, key: jax.Array) -> jax.Array:
        """Draw integers, shape (..., len(nvec))."""
        keys = jax.random.split(key, len(self.nvec))
        return jnp.stack([part.sample(k) for part, k in zip(self._parts(), keys, strict=True)], -1)

    def mode(self) -> jax.Array:
        """The likeliest choices."""
        return jnp.stack([part.mode() for part in self._parts()], -1)

    def log_prob(self, action: jax.Array) -> jax.Array:
        """The sum of the choices' log probabilities, shape (...); what is refused, as for ``Categorical``."""
        check_shape("action", action, (*self.logits.shape[:-1], len(self.nvec)))
        return sum(part.log_prob(action[..., i]) for i, part in enumerate(self._parts()))  # type: ignore[return-value]

    def entropy(self) -> jax.Array:
        """The sum of the choices' entropies, shape (...)."""
        return sum(part.entropy() for part in self._parts())  # type: ignore[return-value]


class DiagNormal(struct.PyTreeNode):
    """Real numbers, each normal and independent of the others: ``action = mean + exp(log_std) * noise``.

    Attributes:
        mean: (..., k).
        log_std: broadcasts to the mean's shape.

    Example:
        >>> round(float(DiagNormal(jnp.zeros(2), jnp.zeros(2)).log_prob(jnp.zeros(2))), 3)  # -log(2 pi)
        -1.838

    """

    mean: jax.Array
    log_std: jax.Array

    def sample(self, key: jax.Array) -> jax.Array:
        """Draw floats, shape (..., k); unbounded: the environment clips to its box."""
        return self.mean + jnp.exp(self.log_std) * jax.random.normal(key, self.mean.shape, self.mean.dtype)

    def mode(self) -> jax.Array:
        """The mean."""
        return self.mean

    def log_prob(self, action: jax.Array) -> jax.Array:
        """The log density, summed over the k numbers, shape (...); a ValueError for actions of another shape than the mean."""
        check_shape("action", action, self.mean.shape)
        z = (action - self.mean) * jnp.exp(-self.log_std)
        return jnp.sum(-0.5 * z**2 - self.log_std - 0.5 * jnp.log(2 * jnp.pi), -1)

    def entropy(self) -> jax.Array:
        """The differential entropy in nats, shape (...)."""
        return jnp.sum(jnp.broadcast_to(self.log_std, self.mean.shape) + 0.5 * jnp.log(2 * jnp.pi * jnp.e), -1)


def parameter_count(space: ActionSpace) -> int:
    """How many numbers a policy head has to give for actions of this space.

    Args:
        space: a ``Discrete``, ``MultiDiscrete`` or one-dimensional ``Box`` space, told by what it has: ``n``, ``nvec``, ``low``.
    Returns:
        n, sum(nvec), or the number of means.
    Raises:
        TypeError: another kind of space.
    Example:
        >>> from s5lib.envs import make
        >>> parameter_count(make("BattleshipEasy").action_space(None))
        16

    """
    if hasattr(space, "nvec"):
        return sum(space.nvec)
    if hasattr(space, "n"):
        return space.n
    if hasattr(space, "low") and len(space.shape) == 1:
        return space.shape[0]
    raise TypeError(f"actions must be Discrete, MultiDiscrete or a Box of one dimension; got {space}")


def from_parameters(space: ActionSpace, parameters: jax.Array, log_std: jax.Array | None = None) -> Distribution:
    """Make a distribution over a space's actions from what a policy head gives.

    Args:
        space: as in ``parameter_count``.
        parameters: (..., parameter_count(space)): logits, or means.
        log_std: (k,), for a Box only.
    Returns:
        A Categorical, MultiCategorical or DiagNormal.
    Raises:
        ValueError: another number of parameters than the space asks for, or of log_std than a Box does.
    Example:
        >>> from s5lib.envs import make
        >>> type(from_parameters(make("RepeatFirstEasy").action_space(None), jnp.zeros((7, 4)))).__name__
        'Categorical'

    """
    count = parameter_count(space)
    if parameters.shape[-1:] != (count,):
        raise ValueError(f"parameters must have shape (..., {count}) for {space}; got {parameters.shape}")
    if hasattr(space, "nvec"):
        return MultiCategorical(parameters, tuple(space.nvec))
    if hasattr(space, "n"):
        return Categorical(parameters)
    if log_std is None or log_std.shape != (count,):
        raise ValueError(
            f"log_std must have shape ({count},) for {space}; got {None if log_std is None else log_std.shape}"
        )
    return DiagNormal(parameters, log_std)
