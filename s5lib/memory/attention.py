"""Chapter 5. Attention over a window of the episode: pre-norm Transformer blocks with a key-value cache."""

from typing import ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from s5lib.config import check_flags, check_positive_int
from s5lib.memory.base import as_given, check_call
from s5lib.memory.feedforward import MLPBlock

__all__ = ["KeyValueCache", "SigmaDense", "Transformer", "largest_singular_value"]

PIECE = 128  # attention computes this many queries at once
LARGE = 1e15  # a number beyond this, whose square float32 can hardly sum, counts as not finite in attention


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


def largest_singular_value(kernel: jax.Array) -> jax.Array:
    """``max |W v| / |v|`` of a matrix W, as a function of W that gradients go through.

    The vector v is the limit of power iteration on ``W^T W``, which is squared six times: as good as 64 multiplications.

    Args:
        kernel: (m, n).
    Returns:
        One number, the kernel's dtype.
    Example:
        >>> round(float(largest_singular_value(jnp.diag(jnp.array([3.0, -4.0, 1.0])))), 4)
        4.0

    """
    tall = kernel if kernel.shape[0] >= kernel.shape[1] else kernel.T
    still = jax.lax.stop_gradient(tall)
    gram = still.T @ still
    for _ in range(6):
        gram = gram / jnp.maximum(jnp.abs(gram).max(), 1e-30)
        gram = gram @ gram
    right = gram[:, jnp.argmax(jnp.abs(gram).sum(0))]  # a column in which the largest one is not missing
    left, right = (vector / jnp.maximum(jnp.linalg.norm(vector), 1e-30) for vector in (still @ right, right))
    return left @ tall @ right


class SigmaDense(nn.Module):
    r"""A Dense layer whose kernel is ``gamma W / sigma(W)``: sigma the largest singular value, gamma learnt, 1 at birth.

    How much the layer can stretch what it reads is one number that learns slowly; attention's scores cannot run away in a few
    steps of the kernel.

    Source: Zhai et al. 2023 (arXiv 2303.06296), sigma reparametrisation.
    Differs: sigma is worked out anew each time, where one step of power iteration is kept from call to call.
    """

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (x.shape[-1], self.features), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        gamma = self.param("gamma", nn.initializers.ones, (), jnp.float32)
        return x @ (kernel * (gamma / largest_singular_value(kernel))) + bias


class _TransformerBlock(nn.Module):
    """``x + attention(norm(x))``, then the MLP. x (B, T, H) is finite; ``bad`` (B, T) marks what stands for NaN."""

    heads: int
    window: int
    normformer: bool
    sigma_reparam: bool

    @nn.compact
    def __call__(
        self, x: jax.Array, bad: jax.Array, keys: jax.Array, values: jax.Array, moments: _Moments
    ) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        (B, T, H), W = x.shape, self.window
        linear = SigmaDense if self.sigma_reparam else nn.Dense
        tokens = nn.LayerNorm(name="norm")(x.reshape(B * T, H))
        q, k, v = jnp.split(linear(3 * H, name="qkv")(tokens).reshape(B, T, 3 * H), 3, axis=-1)
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
        heard = jnp.concatenate(outputs, 1)
        if self.normformer:
            heard = heard * self.param("head_scale", nn.initializers.ones, (self.heads, 1), jnp.float32)
        mixed = linear(H, name="out")(heard.reshape(B * T, H))
        mixed = nn.LayerNorm(name="norm_after")(mixed) if self.normformer else mixed
        x = MLPBlock(linear, self.normformer, name="mlp")(x + mixed.reshape(B, T, H))
        marked = (jnp.where(bad[..., None], jnp.nan, a.reshape(B, W + T, H))[:, -W:] for a in (k, v))
        kept_keys, kept_values = (jnp.where(moments.keep[..., None], a, 0) for a in marked)
        return x, jnp.concatenate(now_bad, 1), kept_keys, kept_values


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
        normformer: two more norms in a block, of what attention gives and inside the MLP, and a learnt factor for each head.
        sigma_reparam: whether a block's linear layers are ``SigmaDense``.
    Raises:
        TypeError, ValueError: an attribute outside its range, when the module is made; inputs that do not fit, when it is called.
    Example:
        >>> memory = Transformer(features=8, layers=1, heads=2, window=16)
        >>> carry, y = jax.jit(memory.init_with_output)(jax.random.key(0), memory.initial_carry(2), jnp.ones((5, 2, 8)))[0]
        >>> carry.keys[0].shape, carry.valid[0].sum().item(), y.shape
        ((2, 16, 8), 5, (5, 2, 8))

    Source: Vaswani et al. 2017 (arXiv 1706.03762); Xiong et al. 2020 (arXiv 2002.04745), pre-norm; Su et al. 2021
        (arXiv 2104.09864), rotary positions; Dai et al. 2019 (arXiv 1901.02860), the cache of earlier steps; Shleifer et al. 2021
        (arXiv 2110.09456), NormFormer.
    """

    features: int
    layers: int = 2
    heads: int = 4
    window: int = 128
    normformer: bool = False
    sigma_reparam: bool = False
    slow_parameters: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        for name in ("features", "layers", "heads", "window"):
            check_positive_int(name, getattr(self, name))
        check_flags(self)
        unit = self.width_unit(self.heads)
        if self.features % unit:
            raise ValueError(
                f"features must be a multiple of 2 * heads = {unit}, an even share for each head; got {self.features}"
            )
        super().__post_init__()

    @staticmethod
    def width_unit(heads: int = heads, **others: object) -> int:
        """What ``features`` must be a multiple of, given the other attributes."""
        return 2 * heads

    def setup(self):
        self.block = [
            _TransformerBlock(self.heads, self.window, self.normformer, self.sigma_reparam) for _ in range(self.layers)
        ]
        self.norm = nn.LayerNorm()

    @nn.nowrap
    def initial_carry(self, batch_size: int) -> KeyValueCache:
        """The state before an episode: an empty cache."""
        B = check_positive_int("batch_size", batch_size)
        empty = (jnp.zeros((B, self.window, self.features), jnp.float32),) * self.layers
        return KeyValueCache(empty, empty, jnp.zeros((B, self.window), bool))

    def prepare(self) -> tuple[()]:
        """Nothing is worked out beforehand."""
        return ()

    def __call__(
        self, carry: KeyValueCache, x: jax.Array, resets: jax.Array | None = None, prepared: tuple[()] | None = None
    ) -> tuple[KeyValueCache, jax.Array]:
        """Read x (T, B, H) with resets (T, B) or None; return the cache and y (T, B, H). See ``S5Stack.__call__``."""
        check_call(self, carry, x, resets)
        T, B, _ = x.shape
        flags = jnp.zeros((B, T), bool) if resets is None else resets.T
        episode = jnp.pad(jnp.cumsum(flags, axis=1, dtype=jnp.int32), ((0, 0), (self.window, 0)))
        valid = jnp.concatenate([carry.valid, jnp.ones((B, T), bool)], axis=1)
        moments = _Moments(episode, valid, (valid & (episode == episode[:, -1:]))[:, -self.window :])
        stream = x.astype(jnp.result_type(x, jnp.float32)).transpose(1, 0, 2)
        bad = ~(jnp.abs(stream) < LARGE).all(-1)
        stream = jnp.where(bad[..., None], 0, stream)
        all_keys, all_values = [], []
        for block, keys, values in zip(self.block, carry.keys, carry.values, strict=True):
            stream, bad, keys, values = block(stream, bad, keys, values, moments)
            all_keys.append(keys)
            all_values.append(values)
        y = jnp.where(bad[..., None], jnp.nan, self.norm(stream)).transpose(1, 0, 2)
        return as_given((KeyValueCache(tuple(all_keys), tuple(all_values), moments.keep), y), (carry, x))
