"""Chapter 5. Gated recurrences: GRU and LSTM, one step after another, all products of the inputs in one."""

from collections.abc import Callable
from typing import ClassVar, NamedTuple, TypeAlias, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from s5lib.config import check_flags, check_positive_int, check_real
from s5lib.memory.base import as_given, check_call
from s5lib.scan import as_rows, as_sequences, vary_together

__all__ = ["GRU", "LSTM", "PreparedCell"]

State = TypeVar("State")  # of one layer: a GRU's h (B, H), an LSTM's (c, h)
Recur: TypeAlias = Callable[[jax.Array], jax.Array]  # from h (B, H), what it adds to all gates side by side (B, G H)
Update: TypeAlias = Callable[
    [jax.Array, Recur, State], tuple[State, jax.Array]
]  # the first is what x adds to the gates


class PreparedCell(NamedTuple):
    """One layer's weights with the gates side by side, so that a step needs one matrix product; G gates, H features.

    Attributes:
        input_kernel: (H, G H), what reads x.
        input_bias: (G H,).
        recurrent_kernel: (H, G H), what reads the state.
        recurrent_bias: (G H,).
    """

    input_kernel: jax.Array
    input_bias: jax.Array
    recurrent_kernel: jax.Array
    recurrent_bias: jax.Array


class _Gate(nn.Module):
    """A square kernel and a bias: parameters as a Dense of this name has them; zeros that are no parameter for no bias."""

    features: int
    kernel_init: nn.initializers.Initializer
    bias: float | None

    @nn.compact
    def __call__(self) -> tuple[jax.Array, jax.Array]:
        H = self.features
        kernel = self.param("kernel", self.kernel_init, (H, H), jnp.float32)
        return kernel, jnp.zeros(H, kernel.dtype) if self.bias is None else self.param(
            "bias", nn.initializers.constant(self.bias), (H,), jnp.float32
        )


class _Cell(nn.Module):
    """The gates of one layer, under flax's names: ``ir`` reads x for the gate r, ``hr`` reads the state."""

    features: int
    biases: dict[str, float]  # the gates that have a bias, and where it starts

    @nn.compact
    def __call__(self, gates: str) -> PreparedCell:
        found = []
        for side, init in (("i", nn.initializers.lecun_normal()), ("h", nn.initializers.orthogonal())):
            names = [side + gate for gate in gates]
            parts = [_Gate(self.features, init, self.biases.get(name), name=name)() for name in names]
            found += [jnp.concatenate(part, axis=-1) for part in zip(*parts, strict=True)]
        return PreparedCell(*found)


@jax.custom_vjp
def _product(hidden: jax.Array, kernel: jax.Array, transposed: jax.Array) -> jax.Array:
    """``hidden @ kernel``, whose gradient multiplies by a kernel transposed beforehand.

    A CPU transposes badly inside a loop: this makes a GRU's gradient 1.1 to 1.3 and an LSTM's 1.1 to 2.2 times as fast.
    """
    return hidden @ kernel


_product.defvjp(
    lambda hidden, kernel, transposed: (hidden @ kernel, (hidden, transposed)),
    lambda saved, grad: (grad @ saved[1], saved[0].T @ grad, None),
)


def _read(
    update: Update[State], weights: PreparedCell, state: State, x: jax.Array, resets: jax.Array | None
) -> tuple[State, jax.Array]:
    """Run one layer over x: the input products of all steps in one matmul, then one product a step.

    All is computed in one dtype, the widest of weights, state and input.
    """
    weights, state, x, resets = vary_together((weights, state, x, resets))
    dtype = jnp.result_type(*jax.tree.leaves((weights, state, x)))
    weights, state, x = jax.tree.map(lambda a: a.astype(dtype), (weights, state, x))
    T, B, _ = x.shape
    driven = as_sequences(as_rows(x) @ weights.input_kernel + weights.input_bias, B)
    kernel, bias = weights.recurrent_kernel, weights.recurrent_bias
    transposed = jax.lax.optimization_barrier(jax.lax.stop_gradient(kernel).T)  # or XLA moves it back into the loop

    def step(state, now):
        driven, reset = now
        if reset is not None:
            state = jax.tree.map(lambda s: jnp.where(reset[:, None], 0, s), state)
        return update(driven, lambda hidden: _product(hidden, kernel, transposed) + bias, state)

    if T == 1:
        state, y = step(state, jax.tree.map(lambda a: a[0], (driven, resets)))
        return state, y[None]
    return jax.lax.scan(step, state, (driven, resets))


def _gru(driven: jax.Array, recur: Recur, hidden: jax.Array) -> tuple[jax.Array, jax.Array]:
    r, z, n = jnp.split(driven, 3, -1)
    recur_r, recur_z, recur_n = jnp.split(recur(hidden), 3, -1)
    z = jax.nn.sigmoid(z + recur_z)
    n = jnp.tanh(n + jax.nn.sigmoid(r + recur_r) * recur_n)
    hidden = (1 - z) * n + z * hidden
    return hidden, hidden


def _lstm(
    driven: jax.Array, recur: Recur, state: tuple[jax.Array, jax.Array]
) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
    cell, hidden = state
    i, f, g, o = jnp.split(driven + recur(hidden), 4, -1)
    cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
    hidden = jax.nn.sigmoid(o) * jnp.tanh(cell)
    return (cell, hidden), hidden


class _Recurrent(nn.Module):
    """What GRU and LSTM share: layers one above the other, each read over time."""

    features: int
    layers: int = 1
    residual: bool = False
    slow_parameters: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        check_flags(self)
        check_positive_int("features", self.features)
        check_positive_int("layers", self.layers)
        super().__post_init__()

    def _make(self, biases: dict[str, float]) -> None:
        self.cell = [_Cell(self.features, biases) for _ in range(self.layers)]
        if self.residual:
            self.norm = [nn.LayerNorm() for _ in range(self.layers)]

    def _run(
        self,
        update: Update[State],
        carry: tuple[State, ...],
        x: jax.Array,
        resets: jax.Array | None,
        prepared: tuple[PreparedCell, ...] | None,
    ) -> tuple[tuple[State, ...], jax.Array]:
        check_call(self, carry, x, resets)
        weights = self.prepare() if prepared is None else prepared
        ends, stream = [], x
        for index in range(self.layers):
            read = self.norm[index](stream) if self.residual else stream
            end, y = _read(update, weights[index], carry[index], read, resets)
            stream = stream + y if self.residual else y
            ends.append(end)
        return as_given((tuple(ends), stream), (carry, x))

    @nn.nowrap
    def _zeros(self, batch_size: int) -> jax.Array:
        return jnp.zeros((check_positive_int("batch_size", batch_size), self.features), jnp.float32)


class GRU(_Recurrent):
    r"""A GRU read over time, or a stack of them, that forgets everything where an episode opens.

    With h = where(resets[t], 0, h_{t-1}), s = sigmoid: ``r = s(W_ir x + b_ir + W_hr h)``, ``z = s(W_iz x + b_iz + W_hz h)``,
    ``n = tanh(W_in x + b_in + r * (W_hn h + b_hn))``, ``h_t = (1 - z) * n + z * h``. One step after another: its training time
    grows with T on any device.

    Attributes:
        features: H, width of input, state and output.
        layers: number of GRUs, each reading the one below.
        residual: read a layer norm of the stream and add the result to it, as S5's blocks do; for deep stacks.
    Raises:
        TypeError, ValueError: an attribute outside its range, when the module is made; inputs that do not fit, when it is called.
    Example:
        >>> gru = GRU(features=4)
        >>> x, resets = jnp.ones((5, 2, 4)), jnp.zeros((5, 2), bool)
        >>> params = gru.init(jax.random.key(0), gru.initial_carry(2), x, resets)
        >>> carry, y = gru.apply(params, gru.initial_carry(2), x, resets)
        >>> carry[0].shape, y.shape
        ((2, 4), (5, 2, 4))

    Source: Cho et al. 2014 (arXiv 1406.1078); parameters and their start as flax's GRUCell.
    """

    def setup(self):
        self._make({"ir": 0.0, "iz": 0.0, "in": 0.0, "hn": 0.0})

    @nn.nowrap
    def initial_carry(self, batch_size: int) -> tuple[jax.Array, ...]:
        """The state before an episode: zeros (B, H) for each layer."""
        return (self._zeros(batch_size),) * self.layers

    def prepare(self) -> tuple[PreparedCell, ...]:
        """Set the gates' kernels side by side once, for many calls; a loss never passes the result, so gradients flow."""
        return tuple(cell("rzn") for cell in self.cell)

    def __call__(
        self,
        carry: tuple[jax.Array, ...],
        x: jax.Array,
        resets: jax.Array | None = None,
        prepared: tuple[PreparedCell, ...] | None = None,
    ) -> tuple[tuple[jax.Array, ...], jax.Array]:
        """Read x (T, B, H) with resets (T, B) or None; return the carry and y (T, B, H). See ``S5Stack.__call__``."""
        return self._run(_gru, carry, x, resets, prepared)


class LSTM(_Recurrent):
    r"""An LSTM read over time, or a stack of them, that forgets everything where an episode opens.

    With (c, h) zero at a reset and s = sigmoid: ``i, f, o = s(W_i. x + W_h. h + b_h.)``, ``g = tanh(W_ig x + W_hg h + b_hg)``,
    ``c_t = f * c + i * g``, ``h_t = o * tanh(c_t)``.

    Attributes:
        features: H, width of input, state and output.
        layers: number of LSTMs, each reading the one below.
        residual: read a layer norm of the stream and add the result to it, as S5's blocks do; for deep stacks.
        forget_bias: where b_hf starts; at 1 a new cell remembers for longer.
    Raises:
        TypeError, ValueError: an attribute outside its range, when the module is made; inputs that do not fit, when it is called.
    Example:
        >>> lstm = LSTM(features=4)
        >>> carry, y = lstm.init_with_output(jax.random.key(0), lstm.initial_carry(2), jnp.ones((5, 2, 4)))[0]
        >>> [part.shape for part in carry[0]], y.shape
        ([(2, 4), (2, 4)], (5, 2, 4))

    Source: Hochreiter and Schmidhuber 1997; parameters as flax's LSTMCell.
    Differs: flax starts every bias at 0; forget_bias is 1 here, as Jozefowicz et al. 2015 advise.
    """

    forget_bias: float = 1.0

    def __post_init__(self):
        check_real("forget_bias", self.forget_bias)
        super().__post_init__()

    def setup(self):
        self._make({"hi": 0.0, "hf": self.forget_bias, "hg": 0.0, "ho": 0.0})

    @nn.nowrap
    def initial_carry(self, batch_size: int) -> tuple[tuple[jax.Array, jax.Array], ...]:
        """The state before an episode: for each layer a pair of zeros (B, H), the cell c and the output h."""
        return ((self._zeros(batch_size),) * 2,) * self.layers

    def prepare(self) -> tuple[PreparedCell, ...]:
        """As ``GRU.prepare``."""
        return tuple(cell("ifgo") for cell in self.cell)

    def __call__(
        self,
        carry: tuple[tuple[jax.Array, jax.Array], ...],
        x: jax.Array,
        resets: jax.Array | None = None,
        prepared: tuple[PreparedCell, ...] | None = None,
    ) -> tuple[tuple[tuple[jax.Array, jax.Array], ...], jax.Array]:
        """Read x (T, B, H) with resets (T, B) or None; return the carry and y (T, B, H). See ``S5Stack.__call__``."""
        return self._run(_lstm, carry, x, resets, prepared)
