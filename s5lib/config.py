"""The budget in force, the Experiment record, and the checks that every module's arguments pass through."""

import dataclasses
import difflib
import importlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["BUDGETS", "Experiment", "budget"]

BUDGETS = ("smoke", "cpu", "gpu", "paper")


def budget() -> str:
    """Name the budget in force: how large the runs of a notebook are.

    ``S5LIB_BUDGET`` decides; unset, it is ``gpu`` where JAX sees one and ``cpu`` elsewhere. ``smoke`` only proves that
    every cell runs, ``cpu`` learns on two laptop cores, ``gpu`` is sized for one T4, ``paper`` is the papers' scale.

    Returns:
        One of ``BUDGETS``.
    Raises:
        ValueError: ``S5LIB_BUDGET`` is set to something else.
    Example:
        >>> budget() in BUDGETS
        True
    """
    chosen = os.environ.get("S5LIB_BUDGET")
    if chosen is None:
        return "gpu" if jax.default_backend() == "gpu" else "cpu"
    return check_choice("S5LIB_BUDGET", chosen, BUDGETS)


@dataclass(frozen=True)
class Experiment:
    """One named experiment at one budget: what to run and what to expect of it.

    Attributes:
        name: how chapters and the command line ask for it, such as ``"digits-s5"``.
        budget: the budget that ``config`` is for.
        config: a frozen dataclass that says everything a run depends on but its seed.
        metric: the name of the metric that ``expected`` is about.
        expected: the value to expect at the end, or None where no run at this budget is stored.
        source: where ``expected`` comes from: a paper's table, or "measured" and a stored run.
    """

    name: str
    budget: str
    config: Any
    metric: str
    expected: float | None
    source: str


def did_you_mean(value: object, options: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the option nearest to a misspelt value, or nothing."""
    near = difflib.get_close_matches(str(value), list(options), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def check_choice(name: str, value: str, options: Sequence[str]) -> str:
    """Return ``value`` if it is one of ``options``; else a ValueError that lists them and the nearest match."""
    if value not in options:
        raise ValueError(
            f"{name} must be one of {', '.join(map(repr, options))}; got {value!r}.{did_you_mean(value, options)}"
        )
    return value


def check_positive_int(name: str, value: Any, multiple_of: int = 1) -> int:
    """Return ``value`` as an int if it is a positive multiple of ``multiple_of``; else a TypeError or ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer; got {value!r} of type {type(value).__name__}")
    if value < 1 or value % multiple_of:
        wanted = "a positive integer" if multiple_of == 1 else f"a positive multiple of {multiple_of}"
        raise ValueError(f"{name} must be {wanted}; got {value}")
    return int(value)


def check_seed(name: str, value: Any) -> int:
    """Return ``value`` as an int if it is a seed, 0 to 2^32 - 1: of numbers beyond, JAX makes the keys that others have."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer; got {value!r}")
    if not 0 <= value < 2**32:
        raise ValueError(f"{name} must lie between 0 and 2**32 - 1; got {value}")
    return int(value)


def random_key(seed: Any) -> jax.Array:
    """JAX's key of a seed; what is no seed is refused, as by ``check_seed``."""
    return jax.random.key(check_seed("seed", seed))


def check_flags(config: Any) -> None:
    """Refuse a dataclass whose field of type bool holds anything else: the text "false" would count as True."""
    for entry in dataclasses.fields(config):
        value = getattr(config, entry.name)
        if entry.type is bool and not isinstance(value, bool):
            raise TypeError(f"{entry.name} must be True or False; got {value!r}")


def check_widths(name: str, value: Any) -> None:
    """Refuse what is no tuple of positive integers, the widths of layers; an empty one is no layer at all."""
    if not isinstance(value, tuple):
        raise TypeError(f"{name} must be a tuple of widths, such as (64, 64); got {value!r}")
    for width in value:
        check_positive_int(f"each width of {name}", width)


def is_concrete(value: Any) -> bool:
    """True when the numbers in ``value`` can be looked at: not while jit, grad or vmap traces it."""
    return not isinstance(value, jax.core.Tracer)


def check_real(name: str, value: Any, *, positive: bool = False) -> None:
    """Refuse complex dtypes and, where the values are known, NaN, infinities and (``positive``) values at or below 0."""
    value = value if hasattr(value, "dtype") else np.asarray(value)
    if not (jnp.issubdtype(value.dtype, jnp.floating) or jnp.issubdtype(value.dtype, jnp.integer)):
        raise TypeError(f"{name} must be real; got dtype {value.dtype}")
    if is_concrete(value):
        numbers = np.asarray(value)
        if not np.all(np.isfinite(numbers)):
            raise ValueError(
                f"{name} must be finite; it holds {np.sum(~np.isfinite(numbers))} NaN or infinite value(s)"
            )
        if positive and not np.all(numbers > 0):
            raise ValueError(f"{name} must be positive; its smallest value is {numbers.min()}")


def check_shape(name: str, value: Any, shape: tuple[int | str, ...]) -> None:
    """Compare a shape with ``shape``, whose entries are sizes or names of free axes such as "T"; else a ValueError."""
    actual = np.shape(value)
    if len(actual) != len(shape) or any(
        isinstance(want, int) and want != got for want, got in zip(shape, actual, strict=True)
    ):
        wanted = "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
        raise ValueError(f"{name} must have shape {wanted}; got {actual}")


def check_sequence(features: int, x: Any, resets: Any = None) -> None:
    """Refuse what no memory can read: x must be real (T, B, features) with T >= 1, resets None or bool (T, B)."""
    if np.ndim(x) != 3 or x.shape[2] != features or x.shape[0] == 0:
        raise ValueError(f"x must have shape (T, B, {features}), time first, T >= 1; got {np.shape(x)}")
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"x must be real floating point; got dtype {x.dtype}")
    if resets is not None and resets.dtype != jnp.bool_:
        raise TypeError(f"resets must be bool, True where x[t] opens an episode; got dtype {resets.dtype}")
    if resets is not None and resets.shape != x.shape[:2]:
        raise ValueError(f"resets must have shape {x.shape[:2]}, one flag a step and sequence; got {resets.shape}")


def require(module: str, extra: str) -> Any:
    """Import an optional package, or say which command installs it.

    Args:
        module: the package to import, such as ``"sklearn"``.
        extra: the extra of s5lib that brings it, such as ``"digits"``.
    Raises:
        ImportError: the package is missing; the message holds the pip command.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{module.split('.')[0]} is not installed; install it with: pip install 's5lib[{extra}]'"
        ) from error


def moved(module: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the ``__getattr__`` of a module some of whose names live elsewhere now: their old paths go on working.

    Nothing is imported before a name is asked for, so a module may pass on what stands below it.

    Args:
        module: the module's own name.
        homes: name -> the module that it lives in.
    Returns:
        A function to assign to ``__getattr__`` at the module's end.
    Example:
        >>> moved("here", {"zoh": "s5lib.discretize"})("zoh").__module__
        's5lib.discretize'
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return getattr(importlib.import_module(homes[name]), name)

    return find
