"""Chapter 5. One signature for every memory: S5, GRU, LSTM, attention over a window, and none.

``memory.initial_carry(batch_size)`` is the state before an episode, ``memory.apply(params, carry, x, resets, prepared=None)``
reads x (T, B, H) and returns the carry and y (T, B, H), and ``memory.apply(params, method="prepare")`` works out once what many
calls share. T = 1 takes a step without a loop. A reset at t makes everything from t on independent of all before, NaN included.
"""

import dataclasses
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from s5lib.config import check_choice, check_positive_int, check_real, check_sequence, did_you_mean
from s5lib.s5 import S5Stack

__all__ = [
    "GRU",
    "LSTM",
    "FeedForward",
    "KeyValueCache",
    "PreparedCell",
    "Transformer",
    "count_parameters",
    "make_memory",
    "match_parameters",
]

PIECE = 128  # attention computes this many queries at once
EXPANSION = 4  # an MLP's hidden layer is this many times as wide as the stream
LARGE = 1e15  # a number beyond this, whose square float32 can hardly sum, counts as not finite in attention


def _check_call(memory: Any, carry: Any, x: Any, resets: Any) -> None:
    """Refuse a sequence or a carry that does not fit a memory; the message names what was expected."""
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


# -------------------------------------------------------------------------------------------------------- gated recurrences
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
    kernel_init: Any
    bias: float | None

    @nn.compact
    def __call__(self):
        H = self.features
        kernel = self.param("kernel", self.kernel_init, (H, H))
        return kernel, jnp.zeros(H) if self.bias is None else self.param(
            "bias", nn.initializers.constant(self.bias), (H,)
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
def _product(hidden: jax.Array, kernel: jax.Array, transposed: jax.Array):
    """``hidden @ kernel``, whose gradient multiplies by a kernel transposed beforehand.

    A CPU transposes badly inside a loop: this makes a GRU's gradient 1.1 to 1.3 and an LSTM's 1.1 to 2.2 times as fast.
    """
    return hidden @ kernel


_product.defvjp(
    lambda hidden, kernel, transposed: (hidden @ kernel, (hidden, transposed)),
    lambda saved, grad: (grad @ saved[1], saved[0].T @ grad, None),
)


def _read(update: Any, weights: PreparedCell, state: Any, x: jax.Array, resets: jax.Array | None):
    """Run one layer over x: the input products of all steps in one matmul, then one product a step."""
    T, B, H = x.shape
    driven = (x.reshape(T * B, H) @ weights.input_kernel + weights.input_bias).reshape(T, B, -1)
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


def _gru(driven: jax.Array, recur: Any, hidden: jax.Array):
    r, z, n = jnp.split(driven, 3, -1)
    recur_r, recur_z, recur_n = jnp.split(recur(hidden), 3, -1)
    z = jax.nn.sigmoid(z + recur_z)
    n = jnp.tanh(n + jax.nn.sigmoid(r + recur_r) * recur_n)
    hidden = (1 - z) * n + z * hidden
    return hidden, hidden


def _lstm(driven: jax.Array, recur: Any, state: tuple[jax.Array, jax.Array]):
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

    def __post_init__(self):
        check_positive_int("features", self.features)
        check_positive_int("layers", self.layers)
        super().__post_init__()

    def _make(self, biases: dict[str, float]) -> None:
        self.cell = [_Cell(self.features, biases) for _ in range(self.layers)]
        if self.residual:
            self.norm = [nn.LayerNorm() for _ in range(self.layers)]

    def _run(self, update: Any, carry: Any, x: jax.Array, resets: jax.Array | None, prepared: Any):
        _check_call(self, carry, x, resets)
        weights = self.prepare() if prepared is None else prepared
        ends = []
        for index in range(self.layers):
            read = self.norm[index](x) if self.residual else x
            end, y = _read(update, weights[index], carry[index], read, resets)
            x = x + y if self.residual else y
            ends.append(end)
        return tuple(ends), x

    @nn.nowrap
    def _zeros(self, batch_size: int) -> jax.Array:
        return jnp.zeros((check_positive_int("batch_size", batch_size), self.features))


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

    def __call__(self, carry: Any, x: jax.Array, resets: jax.Array | None = None, prepared: Any = None):
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

    def __call__(self, carry: Any, x: jax.Array, resets: jax.Array | None = None, prepared: Any = None):
        """Read x (T, B, H) with resets (T, B) or None; return the carry and y (T, B, H). See ``S5Stack.__call__``."""
        return self._run(_lstm, carry, x, resets, prepared)


# ---------------------------------------------------------------------------------------------------------------- attention
class KeyValueCache(NamedTuple):
    """What attention carries: the last ``window`` keys and values of each layer, oldest first, before rotation.

    Attributes:
        keys: for each layer (B, window, H); zeros where not valid.
        values: for each layer (B, window, H); zeros where not valid.
        valid: (B, window) bool, True for steps of the episode that is under way.
    """

    keys: tuple[jax.Array, ...]
    values: tuple[jax.Array, ...]
    valid: jax.Array


class _Moments(NamedTuple):
    """Whose steps the keys are, cache first, S = window + T: ``episode`` (B, S) counts resets, ``valid`` (B, S) bool.

    ``keep`` (B, window) marks those of the last that belong to the episode under way at the end.
    """

    episode: jax.Array
    valid: jax.Array
    keep: jax.Array


def _rotate(x: jax.Array, start: int) -> jax.Array:
    """Rotary positions: turn pair i of x (B, S, heads, d) at position p = start + s by the angle p * 10000^(-2 i / d)."""
    S, half = x.shape[1], x.shape[3] // 2
    angles = (start + np.arange(S))[:, None] * 10000.0 ** (-np.arange(half) / half)
    cos, sin = (jnp.asarray(f(angles)[:, None], x.dtype) for f in (np.cos, np.sin))
    left, right = x[..., :half], x[..., half:]
    return jnp.concatenate([left * cos - right * sin, left * sin + right * cos], axis=-1)


def _attend(q: jax.Array, keys: jax.Array, values: jax.Array, visible: jax.Array) -> jax.Array:
    """Softmax attention of q (B, T, heads, d) over (B, S, heads, d), S = T + an older stretch, where ``visible`` (B, T, S)."""
    T, S = q.shape[1], keys.shape[1]
    scores = jnp.einsum("bthd,bshd->bhts", _rotate(q, S - T) * q.shape[-1] ** -0.5, _rotate(keys, 0))
    weights = jax.nn.softmax(jnp.where(visible[:, None], scores, -jnp.inf))
    return jnp.einsum("bhts,bshd->bthd", weights, values)


class _MLP(nn.Module):
    """``x + W2 gelu(W1 norm(x))``, step by step."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        H = x.shape[-1]
        tokens = nn.LayerNorm(name="norm")(x.reshape(-1, H))
        tokens = nn.Dense(H, name="down")(jax.nn.gelu(nn.Dense(EXPANSION * H, name="up")(tokens)))
        return x + tokens.reshape(x.shape)


class _TransformerBlock(nn.Module):
    """``x + attention(norm(x))``, then the MLP. x (B, T, H) is finite; ``bad`` (B, T) marks what stands for NaN."""

    heads: int
    window: int

    @nn.compact
    def __call__(self, x: jax.Array, bad: jax.Array, keys: jax.Array, values: jax.Array, moments: _Moments):
        (B, T, H), W = x.shape, self.window
        tokens = nn.LayerNorm(name="norm")(x.reshape(B * T, H))
        q, k, v = jnp.split(nn.Dense(3 * H, name="qkv")(tokens).reshape(B, T, 3 * H), 3, axis=-1)
        bad = jnp.concatenate([~jnp.isfinite(keys + values).all(-1), bad], axis=1)
        # A product with weight 0 lets NaN through, forwards and backwards: NaN is selected away, and said again at the end.
        past_keys, past_values = (jnp.where(bad[:, :W, None], 0, past) for past in (keys, values))
        q, k, v = (
            a.reshape(B, -1, self.heads, H // self.heads)
            for a in (q, jnp.concatenate([past_keys, k], 1), jnp.concatenate([past_values, v], 1))
        )
        outputs, now_bad = [], []
        for start in range(0, T, PIECE):
            rows, columns = slice(start, min(start + PIECE, T)), slice(start, min(start + PIECE, T) + W)
            visible = _visible(moments, rows, columns, W)
            outputs.append(_attend(q[:, rows], k[:, columns], v[:, columns], visible))
            now_bad.append(jnp.any(visible & bad[:, None, columns], axis=-1))
        mixed = nn.Dense(H, name="out")(jnp.concatenate(outputs, 1).reshape(B * T, H))
        x = _MLP(name="mlp")(x + mixed.reshape(B, T, H))
        marked = (jnp.where(bad[..., None], jnp.nan, a.reshape(B, W + T, H))[:, -W:] for a in (k, v))
        return x, jnp.concatenate(now_bad, 1), *(jnp.where(moments.keep[..., None], a, 0) for a in marked)


def _visible(moments: _Moments, rows: slice, columns: slice, window: int) -> jax.Array:
    """Which keys a query sees, (B, rows, columns): those of its episode, up to ``window`` steps back, and its own."""
    lag = window + np.arange(rows.start, rows.stop)[:, None] - np.arange(columns.start, columns.stop)
    own = moments.episode[:, window + rows.start : window + rows.stop, None]
    same = (own == moments.episode[:, None, columns]) & moments.valid[:, None, columns]
    return same & ((lag >= 0) & (lag <= window))


class Transformer(nn.Module):
    r"""Causal self-attention over the last ``window`` steps of the episode: pre-norm Transformer blocks with a key-value cache.

    A block is ``x + W_o attention(norm(x))`` and ``x + W_2 gelu(W_1 norm(x))`` with a hidden layer 4 H wide; a norm closes the
    stack. Step t attends to itself and to up to ``window`` steps before it, never to another episode. Positions are rotary: a
    score depends on the distance of two steps only, so that packed episodes equal separate ones.

    Cost: training computes, for each layer and head, T (window + 128) scores or fewer, and keeps them for the
    gradient; an acting step reads and shifts a cache of 2 B window H numbers a layer. A step that reads NaN, an infinity
    or a number beyond 1e15 gives NaN, as do the steps that see it; no gradient flows through those.

    Attributes:
        features: H, width of input and output, divisible by ``2 * heads``.
        layers: number of blocks. What a stack sees reaches back ``layers * window`` steps.
        heads: number of attention heads.
        window: how many steps back a step attends; a longer memory costs more at every step.
    Raises:
        TypeError, ValueError: an attribute outside its range, when the module is made; inputs that do not fit, when it is called.
    Example:
        >>> memory = Transformer(features=8, layers=1, heads=2, window=16)
        >>> carry, y = jax.jit(memory.init_with_output)(jax.random.key(0), memory.initial_carry(2), jnp.ones((5, 2, 8)))[0]
        >>> carry.keys[0].shape, carry.valid[0].sum().item(), y.shape
        ((2, 16, 8), 5, (5, 2, 8))

    Source: Vaswani et al. 2017 (arXiv 1706.03762); Xiong et al. 2020 (arXiv 2002.04745), pre-norm; Su et al. 2021
        (arXiv 2104.09864), rotary positions; Dai et al. 2019 (arXiv 1901.02860), the cache of earlier steps.
    """

    features: int
    layers: int = 2
    heads: int = 4
    window: int = 128

    def __post_init__(self):
        for name in ("features", "layers", "heads", "window"):
            check_positive_int(name, getattr(self, name))
        if self.features % (2 * self.heads):
            raise ValueError(
                f"features must be a multiple of 2 * heads = {2 * self.heads}, an even share for each head; got {self.features}"
            )
        super().__post_init__()

    def setup(self):
        self.block = [_TransformerBlock(self.heads, self.window) for _ in range(self.layers)]
        self.norm = nn.LayerNorm()

    @nn.nowrap
    def initial_carry(self, batch_size: int) -> KeyValueCache:
        """The state before an episode: an empty cache."""
        B = check_positive_int("batch_size", batch_size)
        empty = (jnp.zeros((B, self.window, self.features)),) * self.layers
        return KeyValueCache(empty, empty, jnp.zeros((B, self.window), bool))

    def prepare(self) -> tuple[()]:
        """Nothing is worked out beforehand."""
        return ()

    def __call__(self, carry: KeyValueCache, x: jax.Array, resets: jax.Array | None = None, prepared: Any = None):
        """Read x (T, B, H) with resets (T, B) or None; return the cache and y (T, B, H). See ``S5Stack.__call__``."""
        _check_call(self, carry, x, resets)
        T, B, _ = x.shape
        flags = jnp.zeros((B, T), bool) if resets is None else resets.T
        episode = jnp.pad(jnp.cumsum(flags, axis=1), ((0, 0), (self.window, 0)))
        valid = jnp.concatenate([carry.valid, jnp.ones((B, T), bool)], axis=1)
        moments = _Moments(episode, valid, (valid & (episode == episode[:, -1:]))[:, -self.window :])
        x = x.transpose(1, 0, 2)
        bad = ~(jnp.abs(x) < LARGE).all(-1)
        x = jnp.where(bad[..., None], 0, x)
        all_keys, all_values = [], []
        for block, keys, values in zip(self.block, carry.keys, carry.values, strict=True):
            x, bad, keys, values = block(x, bad, keys, values, moments)
            all_keys.append(keys)
            all_values.append(values)
        y = jnp.where(bad[..., None], jnp.nan, self.norm(x)).transpose(1, 0, 2)
        return KeyValueCache(tuple(all_keys), tuple(all_values), moments.keep), y


# ---------------------------------------------------------------------------------------------------------------- no memory
class FeedForward(nn.Module):
    r"""No memory: residual blocks that read each step alone, ``x + W_2 gelu(W_1 norm(x))``; what the memories are compared with.

    Attributes:
        features: H, width of input and output.
        layers: number of blocks; 0 gives the identity.
    Raises:
        TypeError, ValueError: an attribute outside its range, when the module is made; inputs that do not fit, when it is called.
    Example:
        >>> FeedForward(4, layers=0).apply({}, (), jnp.ones((1, 2, 4)))[1].tolist()
        [[[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]]

    """

    features: int
    layers: int = 2

    def __post_init__(self):
        check_positive_int("features", self.features)
        if self.layers != 0:
            check_positive_int("layers", self.layers)
        super().__post_init__()

    def setup(self):
        self.block = [_MLP() for _ in range(self.layers)]

    @nn.nowrap
    def initial_carry(self, batch_size: int) -> tuple[()]:
        """Nothing is carried."""
        check_positive_int("batch_size", batch_size)
        return ()

    def prepare(self) -> tuple[()]:
        """Nothing is worked out beforehand."""
        return ()

    def __call__(self, carry: tuple[()], x: jax.Array, resets: jax.Array | None = None, prepared: Any = None):
        """Read x (T, B, H); return () and y (T, B, H). Resets change nothing."""
        _check_call(self, carry, x, resets)
        for block in self.block:
            x = block(x)
        return (), x


# ------------------------------------------------------------------------------------------------------------- by their names
MEMORIES: dict[str, Any] = {"s5": S5Stack, "gru": GRU, "lstm": LSTM, "attention": Transformer, "none": FeedForward}


def make_memory(name: str, features: int, **options: Any) -> Any:
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
    check_choice("name", name, tuple(MEMORIES))
    known = [field.name for field in dataclasses.fields(MEMORIES[name])]
    known = [option for option in known if option not in ("features", "parent", "name")]
    for option in options:
        if option not in known:
            raise TypeError(
                f"the memory {name!r} has no option {option!r}; it has {', '.join(known)}.{did_you_mean(option, known)}"
            )
    return MEMORIES[name](features=features, **options)


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
    unit = 2 * options.get("heads", Transformer.heads) if name == "attention" else 1

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
