"""Chapter 5. One signature for every memory: S5, GRU, LSTM, attention over a window, and none.

``memory.initial_carry(batch_size)`` is the state before an episode, ``memory.apply(params, carry, x, resets, prepared=None)``
reads x (T, B, H) and returns the carry and y (T, B, H), and ``memory.apply(params, method="prepare")`` works out once what many
calls share. T = 1 takes a step without a loop. A reset at t makes everything from t on independent of all before, NaN included.
``Memory`` states the whole contract.
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from s5lib.config import check_choice, check_positive_int, did_you_mean, moved
from s5lib.memory.attention import KeyValueCache, SigmaDense, Transformer, largest_singular_value
from s5lib.memory.base import Carry as Carry
from s5lib.memory.base import Memory, count_parameters
from s5lib.memory.base import Params as Params
from s5lib.memory.base import Prepared as Prepared
from s5lib.memory.feedforward import FeedForward
from s5lib.memory.gated import GRU, LSTM, PreparedCell
from s5lib.s5 import S5Stack

__all__ = [
    "GRU",
    "KINDS",
    "LSTM",
    "FeedForward",
    "KeyValueCache",
    "Kind",
    "Memory",
    "PreparedCell",
    "SigmaDense",
    "Transformer",
    "count_parameters",
    "largest_singular_value",
    "make_memory",
    "match_parameters",
    "options_of",
]


def _any_width(**options: Any) -> int:
    return 1


class Kind(NamedTuple):
    """One kind of memory: its class, and how every figure of the book draws it.

    Attributes:
        name: how configs ask for it.
        module: its class, a flax module that is a ``Memory``.
        label: its name in a legend.
        colour: one that colour-blind readers can tell from the others.
        linestyle: a dash pattern as matplotlib takes it, so that lines differ in grey as well.
        width_unit: called with its options, what ``features`` must be a multiple of.
    """

    name: str
    module: Callable[..., Memory]
    label: str
    colour: str
    linestyle: str | tuple[float, tuple[float, ...]] = "-"
    width_unit: Callable[..., int] = _any_width


# Every memory, in the order of legends. A new one is a line here and a file beside this one.
KINDS = (
    Kind("s5", S5Stack, "S5", "#0072B2"),
    Kind("gru", GRU, "GRU", "#D95F02", "-."),
    Kind("lstm", LSTM, "LSTM", "#009E73", (0, (6, 1, 1, 1, 1, 1))),
    Kind("attention", Transformer, "attention", "#AA4499", ":", Transformer.width_unit),
    Kind("none", FeedForward, "no memory", "#7A7A7A", (0, (2, 0.8))),
)
MEMORIES = {kind.name: kind.module for kind in KINDS}
_NO_OPTIONS = ("features", "parent", "name")  # attributes of every memory that are no options


def options_of(name: str) -> list[str]:
    """List the options of a memory: the attributes of its class but ``features``.

    Args:
        name: as for ``make_memory``.
    Raises:
        ValueError: an unknown name, with the nearest one.
    Example:
        >>> options_of("gru")
        ['layers', 'residual']
    """
    check_choice("name", name, tuple(MEMORIES))
    return [option for option in inspect.signature(MEMORIES[name]).parameters if option not in _NO_OPTIONS]


def make_memory(name: str, features: int, **options: Any) -> Memory:
    """Make a memory by its name.

    Args:
        name: "s5" (S5Stack), "gru" (GRU), "lstm" (LSTM), "attention" (Transformer) or "none" (FeedForward).
        features: H, width of input and output.
        options: the other attributes of that class, such as ``layers``, ``state_size`` or ``window``.
    Returns:
        A flax module.
    Raises:
        ValueError: an unknown name, or a value outside its range. TypeError: an unknown option, or a value of a wrong type.
    Example:
        >>> make_memory("attention", 64, window=32).window
        32
    """
    known = options_of(name)
    for option in options:
        if option not in known:
            raise TypeError(
                f"the memory {name!r} has no option {option!r}; it has {', '.join(known)}.{did_you_mean(option, known)}"
            )
    return MEMORIES[name](features=features, **options)


def match_parameters(name: str, features_in: int, target: int, **options: Any) -> int:
    """Find the width at which a memory has the number of parameters that another has.

    The options stay as given (S5's ``state_size`` too), only ``features`` is sought; of attention's, multiples of 2 * heads.

    Args:
        name: as for ``make_memory``.
        features_in: width of what a Dense layer before the memory reads, whose parameters are counted too; 0 for the memory alone.
        target: the number of parameters wanted.
        options: as for ``make_memory``.
    Returns:
        The width whose count comes nearest to target.
    Raises:
        ValueError, TypeError: as ``make_memory``; target is below what the smallest memory has.
    Example:
        >>> match_parameters("gru", 0, 25_000), match_parameters("lstm", 0, 25_000)
        (64, 56)
    """
    check_positive_int("target", target)
    if features_in != 0:
        check_positive_int("features_in", features_in)
    check_choice("name", name, tuple(MEMORIES))
    unit = next(kind.width_unit(**options) for kind in KINDS if kind.name == name)

    def count(multiple: int) -> int:
        width = multiple * unit
        memory = make_memory(name, width, **options)
        shapes = jax.eval_shape(
            lambda: memory.init(jax.random.key(0), memory.initial_carry(1), jnp.zeros((1, 1, width)))
        )
        return count_parameters(shapes) + bool(features_in) * (features_in + 1) * width

    first, second, third = (count(multiple) for multiple in (1, 2, 3))
    slope, bend = second - first, third - 2 * second + first

    def size(multiple: int) -> int:  # matrices from width to width and vectors: a polynomial of degree two
        return first + (multiple - 1) * slope + (multiple - 1) * (multiple - 2) // 2 * bend

    if target < first or slope == 0:
        raise ValueError(
            f"target must be {first} or more for {name!r} with these options, and its size vary; got {target}"
        )
    low, high = 1, 2
    while size(high) < target:
        low, high = high, 2 * high
    while high - low > 1:  # size(low) <= target <= size(high)
        middle = (low + high) // 2
        low, high = (middle, high) if size(middle) <= target else (low, middle)
    return unit * min(low, high, key=lambda multiple: abs(size(multiple) - target))


__getattr__ = moved(
    __name__,
    {"EXPANSION": "s5lib.memory.feedforward", "LARGE": "s5lib.memory.attention", "PIECE": "s5lib.memory.attention"},
)
