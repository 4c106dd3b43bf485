"""Chapter 4. The S5 layer: a diagonal, complex, multi-input multi-output state space model with nonlinear gates between layers.

Every module here is a memory with the signature that all memories of this library share:
``memory.apply(params, carry, x, resets, prepared=None) -> carry, y`` with time first. T = 1 takes a step without a scan.
"""

from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from s5lib.config import check_choice, check_flags, check_positive_int, check_real, check_sequence
from s5lib.discretize import bilinear, zoh
from s5lib.hippo import hippo_eig, timescale_init
from s5lib.scan import METHODS, as_rows, as_sequences, linear_scan

__all__ = ["S5SSM", "PreparedSSM", "S5Block", "S5Stack"]

DISCRETIZATIONS = {"zoh": zoh, "bilinear": bilinear}
ACTIVATIONS = ("full_glu", "half_glu1", "half_glu2", "gelu")
NORMS: dict[str, Any] = {"layer": nn.LayerNorm, "rms": nn.RMSNorm, "none": None}
CLIP = -1e-4
SLOW = ("Lambda_re", "Lambda_im", "B_tilde", "log_step")  # what the S5 authors train with a step size of its own


class PreparedSSM(NamedTuple):
    """The matrices of one S5SSM, discretised and laid out for real matrix products; P complex states, H features.

    Attributes:
        Lambda_bar: (P,) complex64, the decay of each state per sample.
        B_stacked: (H, 2P) float32, real parts of ``B_bar^T`` beside its imaginary parts.
        C_stacked: (2P, H) float32, ``2 Re C_tilde^T`` above ``-2 Im C_tilde^T``: the factor 2 stands for the conjugates.
    """

    Lambda_bar: jax.Array
    B_stacked: jax.Array
    C_stacked: jax.Array


class S5SSM(nn.Module):
    r"""The linear part of an S5 layer: P complex states that read and write all H features.

    ``x_t = Lambda_bar * x_{t-1} + B_bar u_t`` and ``y_t = 2 Re(C_tilde x_t) + D * u_t``, where a reset at t replaces
    x_{t-1} by zero. One of each conjugate pair of states is kept, hence the 2 Re. Parameters: Lambda (as two real
    arrays), B_tilde and C_tilde (trailing axis of real and imaginary part), D, log_step.

    Attributes:
        features: H, width of input and output.
        state_size: N, real state size, divisible by ``2 * blocks``; P = N / 2 complex numbers are kept.
        blocks: J, number of HiPPO blocks on the diagonal that the states start from.
        discretization: "zoh" or "bilinear".
        clip_eigs: keep Re Lambda at or below -1e-4, so that no state can grow without bound.
        step_min: smallest initial step, time per sample.
        step_max: largest initial step.
        step_scale: multiplies every step: 2.0 runs a trained layer on data sampled half as often.
        scan_method: as ``linear_scan``'s ``method``.
    Raises:
        TypeError, ValueError: an attribute outside its range, when the module is made; inputs of a wrong shape, when it is called.
    Example:
        >>> ssm = S5SSM(features=4, state_size=8)
        >>> x, resets = jnp.ones((5, 2, 4)), jnp.zeros((5, 2), bool)
        >>> params = ssm.init(jax.random.key(0), ssm.initial_carry(2), x, resets)
        >>> carry, y = ssm.apply(params, ssm.initial_carry(2), x, resets)
        >>> carry.shape, y.shape
        ((2, 4), (5, 2, 4))

    Source: Smith et al. 2023 (S5, arXiv 2208.04933), section 3; lindermanlab/S5, s5/ssm.py.
    Differs: blocks are honoured, which the RL paper's code does not do; eigenvalues are clipped by default; the entries of C_tilde
        start with variance 1/N and those of B with 1/H, so that a layer's scale depends on neither.
    """

    features: int
    state_size: int = 128
    blocks: int = 1
    discretization: str = "zoh"
    clip_eigs: bool = True
    step_min: float = 0.001
    step_max: float = 0.1
    step_scale: float = 1.0
    scan_method: str = "auto"
    slow_parameters: ClassVar[tuple[str, ...]] = SLOW

    def __post_init__(self):
        check_flags(self)
        check_positive_int("features", self.features)
        check_positive_int("blocks", self.blocks)
        check_positive_int("state_size", self.state_size, multiple_of=2 * self.blocks)
        check_choice("discretization", self.discretization, tuple(DISCRETIZATIONS))
        check_choice("scan_method", self.scan_method, METHODS)
        for name in ("step_min", "step_max", "step_scale"):
            check_real(name, getattr(self, name), positive=True)
        super().__post_init__()

    def setup(self):
        N, H = self.state_size, self.features
        Lambda, V = hippo_eig(N, self.blocks)
        P = len(Lambda)

        def input_init(key):  # V^* B with a real B
            B = jax.random.normal(key, (N, H), jnp.float32) / H**0.5
            return _split(jnp.asarray(V.conj().T, jnp.complex64) @ B)

        def output_init(key):  # C V with a complex C
            C = jax.random.normal(key, (H, N, 2), jnp.float32) * (0.5 / N) ** 0.5
            return _split(_join(C[..., 0], C[..., 1]) @ jnp.asarray(V, jnp.complex64))

        self.Lambda_re = self.param("Lambda_re", lambda _: jnp.asarray(Lambda.real, jnp.float32))
        self.Lambda_im = self.param("Lambda_im", lambda _: jnp.asarray(Lambda.imag, jnp.float32))
        self.B_tilde = self.param("B_tilde", input_init)
        self.C_tilde = self.param("C_tilde", output_init)
        self.D = self.param("D", nn.initializers.normal(1.0), (H,), jnp.float32)
        self.log_step = self.param("log_step", timescale_init, (P,), self.step_min, self.step_max)

    @nn.nowrap
    def initial_carry(self, batch_size: int) -> jax.Array:
        """The state before an episode: zeros (B, P), complex64."""
        return jnp.zeros((check_positive_int("batch_size", batch_size), self.state_size // 2), jnp.complex64)

    def prepare(self) -> PreparedSSM:
        """Discretise once, to be reused over many calls; a loss never passes the result, so gradients flow."""
        Lambda_re = jnp.minimum(self.Lambda_re, CLIP) if self.clip_eigs else self.Lambda_re
        Lambda = _join(Lambda_re, self.Lambda_im)
        B_tilde = _join(self.B_tilde[..., 0], self.B_tilde[..., 1])
        step = self.step_scale * jnp.exp(self.log_step)
        Lambda_bar, B_bar = DISCRETIZATIONS[self.discretization](Lambda, B_tilde, step)
        C_re, C_im = self.C_tilde[..., 0].T, self.C_tilde[..., 1].T
        return PreparedSSM(
            Lambda_bar, jnp.concatenate([B_bar.real.T, B_bar.imag.T], 1), jnp.concatenate([2 * C_re, -2 * C_im])
        )

    def __call__(
        self, carry: jax.Array, x: jax.Array, resets: jax.Array | None = None, prepared: PreparedSSM | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Read a sequence.

        Args:
            carry: (B, P) complex64, the state that the last call returned, or ``initial_carry(B)``.
            x: (T, B, H) float.
            resets: (T, B) bool, True where x[t] opens an episode; None stands for no reset.
            prepared: what ``prepare`` returned for the same parameters, or None.
        Returns:
            carry (B, P) after the last step, and y (T, B, H), each in the dtype of what it takes the place of.
        Raises:
            TypeError, ValueError: shapes or dtypes that do not fit; the message names the argument.
        """
        _check_call(self, carry, x, resets)
        T, B, _ = x.shape
        P = self.state_size // 2
        Lambda_bar, B_stacked, C_stacked = self.prepare() if prepared is None else prepared
        tokens = as_rows(x)
        driven = as_sequences(tokens @ B_stacked, B)
        inputs = jax.lax.complex(driven[..., :P], driven[..., P:])
        if T == 1:
            previous = carry if resets is None else jnp.where(resets[0][:, None], 0, carry)
            states = (Lambda_bar * previous + inputs[0])[None]
        else:
            states = linear_scan(Lambda_bar, inputs, carry, resets, method=self.scan_method)
        stacked = as_rows(jnp.concatenate([states.real, states.imag], axis=-1))
        y = stacked @ C_stacked + self.D * tokens
        return states[-1].astype(jnp.result_type(carry, jnp.complex64)), as_sequences(y, B).astype(x.dtype)


def _join(real: jax.Array, imag: jax.Array) -> jax.Array:
    """Real and imaginary part to complex; from half precision to that of single, for there is none of halves."""
    dtype = jnp.result_type(real, imag, jnp.float32)
    return jax.lax.complex(real.astype(dtype), imag.astype(dtype))


def _split(z: jax.Array) -> jax.Array:
    """Complex (...) to real (..., 2)."""
    return jnp.stack([z.real, z.imag], axis=-1)


def _check_call(ssm: "S5SSM", carry: jax.Array, x: jax.Array, resets: jax.Array | None) -> None:
    check_sequence(ssm.features, x, resets)
    wanted = (x.shape[1], ssm.state_size // 2)
    if jnp.shape(carry) != wanted:
        raise ValueError(
            f"carry must have shape {wanted}, as initial_carry({x.shape[1]}) gives; got {jnp.shape(carry)}"
        )


class S5Block(nn.Module):
    r"""One S5 layer as networks use it: normalise, run the SSM, gate, add the input back.

    ``y = x + gate(SSM(norm(x)))``. With g = GELU, s = sigmoid and dense W, the gates are ``full_glu``: ``W1 g(z) * s(W2 g(z))``,
    ``half_glu1``: ``g(z) * s(W g(z))``, ``half_glu2``: ``z * s(W g(z))``, and ``gelu``: ``g(z)``.

    Attributes:
        ssm: the linear part.
        activation: "full_glu" (the RL paper's), "half_glu1" (S5's), "half_glu2" or "gelu".
        norm: "layer", "rms" or "none" (the RL paper's), with parameters of its own. No batch norm: it would make a step differ
            from the same step inside a sequence.
    Raises:
        ValueError: an unknown activation or norm, when the module is made.
    Example:
        >>> block = S5Block(S5SSM(features=4, state_size=8), norm="none")
        >>> x, carry = jnp.ones((5, 2, 4)), block.initial_carry(2)
        >>> params = block.init(jax.random.key(0), carry, x)
        >>> block.apply(params, carry, x)[1].shape
        (5, 2, 4)

    Source: Smith et al. 2023 (S5, arXiv 2208.04933), section 3; lindermanlab/S5, s5/layers.py.
    Differs: one normalisation, before the SSM; the RL paper's code shares one instance between three places.
    """

    ssm: S5SSM
    activation: str = "full_glu"
    norm: str = "layer"
    slow_parameters: ClassVar[tuple[str, ...]] = SLOW

    def __post_init__(self):
        check_choice("activation", self.activation, ACTIVATIONS)
        check_choice("norm", self.norm, tuple(NORMS))
        super().__post_init__()

    def setup(self):
        if self.norm != "none":
            self.normalise = NORMS[self.norm]()
        if self.activation != "gelu":
            self.gate = nn.Dense(self.ssm.features * (2 if self.activation == "full_glu" else 1))

    @property
    def features(self) -> int:
        """As ``S5SSM.features``."""
        return self.ssm.features

    @nn.nowrap
    def initial_carry(self, batch_size: int) -> jax.Array:
        """As ``S5SSM.initial_carry``."""
        return self.ssm.initial_carry(batch_size)

    def prepare(self) -> PreparedSSM:
        """As ``S5SSM.prepare``."""
        return self.ssm.prepare()

    def __call__(
        self, carry: jax.Array, x: jax.Array, resets: jax.Array | None = None, prepared: PreparedSSM | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """As ``S5SSM.__call__``."""
        _check_call(self.ssm, carry, x, resets)
        carry, z = self.ssm(carry, x if self.norm == "none" else self.normalise(x), resets, prepared)
        return carry, x + as_sequences(self._activate(as_rows(z)), x.shape[1]).astype(x.dtype)

    def _activate(self, z: jax.Array) -> jax.Array:
        activated = jax.nn.gelu(z)
        if self.activation == "gelu":
            return activated
        gate = self.gate(activated)
        if self.activation == "full_glu":
            value, gate = jnp.split(gate, 2, axis=-1)
        else:
            value = activated if self.activation == "half_glu1" else z
        return value * jax.nn.sigmoid(gate)


class S5Stack(nn.Module):
    """Several S5 blocks, one above the other: the memory that agents and classifiers use.

    Attributes:
        features: H, width of input, output and every layer between.
        state_size: N, real state size of each layer, divisible by ``2 * blocks``.
        layers: number of blocks.
        blocks: HiPPO blocks per layer, J in the S5 paper.
        activation: as ``S5Block``.
        norm: as ``S5Block``.
        discretization: as ``S5SSM``; so are ``clip_eigs``, ``step_min``, ``step_max``, ``step_scale`` and ``scan_method``.
    Raises:
        TypeError, ValueError: an attribute outside its range, when the module is made; inputs that do not fit, when it is called.
    Example:
        >>> memory = S5Stack(features=4, state_size=8, layers=2)
        >>> x, resets = jnp.ones((5, 2, 4)), jnp.zeros((5, 2), bool)
        >>> params = memory.init(jax.random.key(0), memory.initial_carry(2), x, resets)
        >>> carry, y = memory.apply(params, memory.initial_carry(2), x, resets)
        >>> prepared = memory.apply(params, method="prepare")  # once a rollout
        >>> carry, y = memory.apply(params, carry, x[:1], resets[:1], prepared)  # one step more
        >>> y.shape
        (1, 2, 4)

    Source: Smith et al. 2023 (S5, arXiv 2208.04933), section 3; Lu et al. 2023 (arXiv 2303.03982), section 3.1.
    """

    features: int
    state_size: int = 128
    layers: int = 2
    blocks: int = 1
    activation: str = "full_glu"
    norm: str = "layer"
    discretization: str = "zoh"
    clip_eigs: bool = True
    step_min: float = 0.001
    step_max: float = 0.1
    step_scale: float = 1.0
    scan_method: str = "auto"
    slow_parameters: ClassVar[tuple[str, ...]] = SLOW

    def __post_init__(self):
        check_positive_int("layers", self.layers)
        self._ssm()  # refuses bad attributes at once
        check_choice("activation", self.activation, ACTIVATIONS)
        check_choice("norm", self.norm, tuple(NORMS))
        super().__post_init__()

    @nn.nowrap
    def _ssm(self) -> S5SSM:
        return S5SSM(
            self.features,
            self.state_size,
            self.blocks,
            self.discretization,
            self.clip_eigs,
            self.step_min,
            self.step_max,
            self.step_scale,
            self.scan_method,
            parent=None,
        )

    def setup(self):
        self.stack = [S5Block(self._ssm(), self.activation, self.norm) for _ in range(self.layers)]

    @nn.nowrap
    def initial_carry(self, batch_size: int) -> tuple[jax.Array, ...]:
        """The state before an episode: zeros (B, P), complex64, one for each layer."""
        return (self._ssm().initial_carry(batch_size),) * self.layers

    def prepare(self) -> tuple[PreparedSSM, ...]:
        """As ``S5SSM.prepare``, one for each layer."""
        return tuple(block.prepare() for block in self.stack)

    def __call__(
        self,
        carry: tuple[jax.Array, ...],
        x: jax.Array,
        resets: jax.Array | None = None,
        prepared: tuple[PreparedSSM, ...] | None = None,
    ) -> tuple[tuple[jax.Array, ...], jax.Array]:
        """Read a sequence.

        Args:
            carry: one (B, P) complex64 state for each layer.
            x: (T, B, H) float.
            resets: (T, B) bool, True where x[t] opens an episode; None stands for no reset.
            prepared: what ``prepare`` returned for the same parameters, or None.
        Returns:
            carry after the last step, and y (T, B, H).
        Raises:
            TypeError, ValueError: shapes or dtypes that do not fit; the message names the argument.
        """
        if not isinstance(carry, tuple | list) or len(carry) != self.layers:
            raise ValueError(
                f"carry must be a tuple of {self.layers} states, one for each layer; got {type(carry).__name__}"
            )
        carries = []
        for index, block in enumerate(self.stack):
            state, x = block(carry[index], x, resets, None if prepared is None else prepared[index])
            carries.append(state)
        return tuple(carries), x
