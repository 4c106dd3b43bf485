"""Chapter 5. No memory: blocks that read each step alone. Attention's blocks end in the same MLP."""

from collections.abc import Callable
from typing import Any, ClassVar

import flax.linen as nn
import jax

from s5lib.config import check_positive_int
from s5lib.memory.base import as_given, check_call

__all__ = ["FeedForward", "MLPBlock"]

EXPANSION = 4  # an MLP's hidden layer is this many times as wide as the stream


class MLPBlock(nn.Module):
    """``x + W2 gelu(W1 norm(x))``, step by step; x (B, ..., H), the batch first, that one split over devices stays split.

    ``linear`` makes W1 and W2; ``inner_norm`` puts a norm between gelu and W2.
    """

    linear: Callable[..., Any] = nn.Dense
    inner_norm: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        H = x.shape[-1]
        tokens = nn.LayerNorm(name="norm")(x.reshape(-1, H))
        hidden = jax.nn.gelu(self.linear(EXPANSION * H, name="up")(tokens))
        hidden = nn.LayerNorm(name="inner_norm")(hidden) if self.inner_norm else hidden
        return x + self.linear(H, name="down")(hidden).reshape(x.shape)


class FeedForward(nn.Module):
    r"""No memory: residual blocks that read each step alone, ``x + W_2 gelu(W_1 norm(x))``; what the memories are compared with.

    Attributes:
        features: H, width of input and output.
        layers: number of blocks; 0 gives the identity.
    Raises:
        TypeError, ValueError: an attribute outside its range, when the module is made; inputs that do not fit, when it is called.
    Example:
        >>> import jax.numpy as jnp
        >>> FeedForward(4, layers=0).apply({}, (), jnp.ones((1, 2, 4)))[1].tolist()
        [[[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]]

    """

    features: int
    layers: int = 2
    slow_parameters: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        check_positive_int("features", self.features)
        if self.layers != 0:
            check_positive_int("layers", self.layers)
        super().__post_init__()

    def setup(self):
        self.block = [MLPBlock() for _ in range(self.layers)]

    @nn.nowrap
    def initial_carry(self, batch_size: int) -> tuple[()]:
        """Nothing is carried."""
        check_positive_int("batch_size", batch_size)
        return ()

    def prepare(self) -> tuple[()]:
        """Nothing is worked out beforehand."""
        return ()

    def __call__(
        self, carry: tuple[()], x: jax.Array, resets: jax.Array | None = None, prepared: tuple[()] | None = None
    ) -> tuple[tuple[()], jax.Array]:
        """Read x (T, B, H); return () and y (T, B, H). Resets change nothing."""
        check_call(self, carry, x, resets)
        y = x.swapaxes(0, 1)
        for block in self.block:
            y = block(y)
        return (), as_given(y.swapaxes(0, 1), x)
