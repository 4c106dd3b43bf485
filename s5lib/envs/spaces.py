"""What can be seen and done: one choice of several, several choices at once, or an array of real numbers.

Environments of gymnax bring spaces of its own. They are accepted wherever these are: nothing here or elsewhere in s5lib asks
for the class of a space, only for what it has. ``nvec`` makes a MultiDiscrete, ``n`` a Discrete, ``low`` and ``high`` a Box.
"""

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike

from s5lib.config import check_positive_int, is_concrete

__all__ = ["Box", "Discrete", "MultiDiscrete", "Reals", "Space", "choices", "is_box", "is_discrete", "is_vector"]


class Space:
    """A set of arrays of one shape and dtype that can be drawn from."""

    shape: tuple[int, ...]
    dtype: Any

    def sample(self, key: jax.Array) -> jax.Array:
        """Draw an element."""
        raise NotImplementedError

    def contains(self, x: ArrayLike) -> jax.Array:
        """Whether the numbers in ``x`` are in range."""
        raise NotImplementedError

    # gymnax's wrappers ask for the class of a space. Where gymnax is loaded they get its own; without it there are none.
    @property  # type: ignore[misc]
    def __class__(self):  # type: ignore[override]
        theirs = sys.modules.get("gymnax.environments.spaces")
        return getattr(theirs, self._named, None) or type(self)

    _named = "Space"  # what gymnax calls this kind

    def __reduce__(self) -> tuple:
        return object.__new__, (type(self),), vars(self)  # pickle would write down the class it is told, gymnax's


class Discrete(Space):
    """One of n choices: an integer from 0 to n - 1.

    Args:
        num_categories: n, positive.
        dtype: int32, or int64 in JAX's x64 mode.
    Raises:
        TypeError, ValueError: n is not a positive integer, or another dtype.
    Example:
        >>> Discrete(4), int(Discrete(4).sample(jax.random.key(0)))
        (Discrete(4, dtype=int32), 1)

    Source: gymnax 1.0.1, environments/spaces.py; it draws the same numbers.
    Differs: gymnax refuses by ``assert``, accepts n = 0, and finds that 1.5 and -0.5 are contained.
    """

    _named = "Discrete"

    def __init__(self, num_categories: int, *, dtype: DTypeLike = jnp.int32):
        self.n = check_positive_int("num_categories", num_categories)
        self.shape = ()
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.int32, np.int64):
            raise ValueError(f"dtype must be int32 or int64; got {self.dtype}")
        if self.dtype == np.int64 and not jax.config.read("jax_enable_x64"):
            raise ValueError("dtype = int64 needs JAX's x64 mode: jax.config.update('jax_enable_x64', True)")

    def __repr__(self) -> str:
        return f"Discrete({self.n}, dtype={self.dtype.name})"

    def sample(self, key: jax.Array) -> jax.Array:
        return jax.random.randint(key, self.shape, 0, self.n, self.dtype)

    def contains(self, x: ArrayLike) -> jax.Array:
        x = jnp.asarray(x)
        whole = x.astype(self.dtype)
        return (whole == x) & (whole >= 0) & (whole < self.n)


class MultiDiscrete(Space):
    """Several choices at once: a vector of integers, entry i in 0 .. nvec[i] - 1. gymnax has no such space.

    Example:
        >>> board = MultiDiscrete((8, 8))
        >>> board.shape, bool(board.contains(jnp.array([7, 8])))
        ((2,), False)

    """

    def __init__(self, nvec: tuple[int, ...]):
        self.nvec = tuple(check_positive_int("nvec", n) for n in nvec)
        self.shape = (len(self.nvec),)
        self.dtype = np.dtype(np.int32)

    def __repr__(self) -> str:
        return f"MultiDiscrete({self.nvec})"

    def sample(self, key: jax.Array) -> jax.Array:
        return jax.random.randint(key, self.shape, 0, jnp.array(self.nvec))

    def contains(self, x: ArrayLike) -> jax.Array:
        x = jnp.asarray(x)
        return jnp.all((x >= 0) & (x < jnp.array(self.nvec)))


class Box(Space):
    """Arrays of real numbers, each between its bounds.

    Args:
        low: the bounds below, one number or an array that broadcasts to ``shape``.
        high: the bounds above, likewise; none below ``low``.
        shape: of an element.
        dtype: of an element.
    Raises:
        ValueError: bounds that do not broadcast to ``shape``, or, where they can be looked at, are NaN or the wrong way round.
    Example:
        >>> Box(-1.0, 1.0, (2,))
        Box(low=-1.0, high=1.0, shape=(2,), dtype=float32)

    Source: gymnax 1.0.1, environments/spaces.py; it draws the same numbers.
    Differs: gymnax checks no argument.
    """

    _named = "Box"

    def __init__(self, low: ArrayLike, high: ArrayLike, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32):
        self.low: Any = low
        self.high: Any = high
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)
        for name, bound in (("low", low), ("high", high)):
            size = np.shape(bound)
            if len(size) > len(self.shape) or any(
                s not in (1, n) for s, n in zip(size[::-1], self.shape[::-1], strict=False)
            ):
                raise ValueError(f"{name} must broadcast to shape {self.shape}; got shape {size}")
        if is_concrete(low) and is_concrete(high) and not np.all(np.asarray(low) <= np.asarray(high)):
            raise ValueError(f"low must not lie above high, nor either be NaN; got {low} and {high}")

    def __repr__(self) -> str:
        low, high = (_told(bound) for bound in (self.low, self.high))
        return f"Box(low={low}, high={high}, shape={self.shape}, dtype={self.dtype.name})"

    def sample(self, key: jax.Array) -> jax.Array:
        return jax.random.uniform(key, self.shape, jnp.float32, self.low, self.high).astype(self.dtype)

    def contains(self, x: ArrayLike) -> jax.Array:
        x = jnp.asarray(x)
        return jnp.all(x >= self.low) & jnp.all(x <= self.high)


class Reals(Box):
    """All vectors of real numbers of one length: a ``Box`` without bounds, sampled from the standard normal.

    Example:
        >>> Reals(3).sample(jax.random.key(0)).shape
        (3,)

    """

    def __init__(self, size: int):
        super().__init__(-jnp.inf, jnp.inf, (check_positive_int("size", size),))

    def sample(self, key: jax.Array) -> jax.Array:
        return jax.random.normal(key, self.shape, self.dtype)


def is_box(space: Any) -> bool:
    """Whether a space is one of real numbers between bounds, ours or gymnax's."""
    return hasattr(space, "low") and hasattr(space, "high") and not hasattr(space, "nvec") and not hasattr(space, "n")


def is_vector(space: Any) -> bool:
    """Whether a space is a box of one dimension."""
    return is_box(space) and len(space.shape) == 1


def is_discrete(space: Any) -> bool:
    """Whether a space is a single choice, ours or gymnax's."""
    return hasattr(space, "n") and not hasattr(space, "nvec")


def choices(space: Any) -> tuple[int, ...]:
    """How many values each integer of a Discrete or MultiDiscrete space can take.

    Raises:
        TypeError: another kind of space.
    Example:
        >>> choices(Discrete(4)), choices(MultiDiscrete((2, 3)))
        ((4,), (2, 3))

    """
    if hasattr(space, "nvec"):
        return tuple(space.nvec)
    if is_discrete(space):
        return (space.n,)
    raise TypeError(f"space must be Discrete or MultiDiscrete; got {space}")


def _told(bound: ArrayLike) -> str:
    """Bounds as gymnax writes them."""
    if not is_concrete(bound):
        return str(bound)
    array = np.asarray(bound)
    return repr(array.item()) if array.ndim == 0 else np.array2string(array, threshold=6)
