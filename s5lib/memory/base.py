"""Chapter 5. What every memory promises, and what all of them share: the check of a call and the count of parameters."""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp

from s5lib.config import check_sequence

__all__ = ["Carry", "Memory", "Params", "Prepared", "as_given", "check_call", "count_parameters"]

Carry: TypeAlias = Any  # a memory's own pytree of arrays, the batch first in every leaf; () where nothing is carried
Prepared: TypeAlias = (
    Any  # a memory's own pytree of arrays that depends on its parameters only; () where there is nothing
)
Params: TypeAlias = Mapping[str, Any]  # weights of a flax module, as ``init`` returns them: {"params": {name: ...}}


@runtime_checkable
class Memory(Protocol):
    """What every memory promises. A flax module of this shape is one, and need not inherit from this class.

    ``carry, y = memory.apply(params, carry, x, resets, prepared)`` reads x (T, B, H), time first, and gives y (T, B, H).

    - The state before an episode is ``initial_carry(B)``; every leaf of a carry has the batch first.
    - A reset at t makes outputs and gradients from t on independent of all before, NaN and infinities included. So packed
      episodes equal separate ones.
    - T calls of one step equal one call of T steps; a sequence may be split anywhere. T = 1 takes a step without a loop.
    - ``memory.apply(params, method="prepare")`` works out once what many calls share, and changes no number. A loss never
      passes it, so that gradients flow.
    - Sequences of a batch know nothing of each other.
    - y has the dtype of x, and the carry keeps its own, whatever that of the parameters; an initial carry has single precision.

    Attributes:
        features: H, width of input and output.
        slow_parameters: names of the leaves in the memory's parameters that may move at a pace of their own, as
            ``Hypers.ssm_lr`` lets them; () where there are none.
    Example:
        >>> from s5lib.s5 import S5Stack
        >>> isinstance(S5Stack(features=4, state_size=8), Memory), isinstance(jnp.ones(3), Memory)
        (True, False)
    """

    slow_parameters: ClassVar[tuple[str, ...]]

    @property
    def features(self) -> int: ...

    def initial_carry(self, batch_size: int) -> Carry:
        """The state before an episode."""

    def prepare(self) -> Prepared:
        """What many calls share, worked out once; () where there is nothing."""

    def __call__(
        self, carry: Carry, x: jax.Array, resets: jax.Array | None = None, prepared: Prepared | None = None
    ) -> tuple[Carry, jax.Array]:
        """Read x (T, B, H) with resets (T, B) or None; return the carry and y (T, B, H)."""

    def init(self, rngs: jax.Array, /, *args: Any, **kwargs: Any) -> Params:
        """Flax's: draw parameters."""

    def apply(self, variables: Params, /, *args: Any, **kwargs: Any) -> Any:
        """Flax's: call with these parameters."""


def check_call(memory: Memory, carry: Carry, x: jax.Array, resets: jax.Array | None) -> None:
    """Refuse a sequence or a carry that does not fit a memory.

    Args:
        memory: says what fits.
        carry: what it was given.
        x: what it is to read.
        resets: where episodes open, or None.
    Raises:
        TypeError, ValueError: something does not fit; the message names what was expected.
    """
    check_sequence(memory.features, x, resets)
    wanted = jax.eval_shape(lambda: memory.initial_carry(x.shape[1]))
    trees: list[Any] = [jax.tree.structure(wanted), jax.tree.structure(carry)]
    if trees[0] != trees[1]:
        raise ValueError(
            f"carry must be what initial_carry({x.shape[1]}) or the last call returned, {trees[0]}; got {trees[1]}"
        )
    for want, got in zip(jax.tree.leaves(wanted), jax.tree.leaves(carry), strict=True):
        if jnp.shape(got) != want.shape:
            raise ValueError(
                f"carry must have shapes as initial_carry({x.shape[1]}): {want.shape}; got {jnp.shape(got)}"
            )


def as_given(found: Any, given: Any) -> Any:
    """Cast what a memory found to the dtypes of what it was given: the carry to the carry's, y to x's.

    Args:
        found: any pytree of arrays.
        given: one of the same structure.
    Returns:
        What was found.
    Example:
        >>> as_given(jnp.ones(2), jnp.ones((), jnp.bfloat16)).dtype.name
        'bfloat16'
    """
    return jax.tree.map(lambda new, old: new.astype(old.dtype), found, given)


def count_parameters(params: Any) -> int:
    """Count the real numbers in a tree of parameters, or of their shapes; a complex one counts as two.

    Args:
        params: any pytree of arrays.
    Returns:
        Their number.
    Example:
        >>> count_parameters({"a": jnp.ones((2, 3)), "b": jnp.ones(2, jnp.complex64)})
        10
    """
    return sum(leaf.size * (2 if jnp.iscomplexobj(leaf) else 1) for leaf in jax.tree.leaves(params))
