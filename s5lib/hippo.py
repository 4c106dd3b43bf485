"""Chapter 1. HiPPO: what a state of N numbers can remember of a signal, and the matrices that make it remember.

Everything but ``timescale_init`` is NumPy in float64: these matrices are built once, before training, and are
ill-conditioned enough that single precision would show.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from s5lib.config import check_positive_int, check_real, check_shape

__all__ = ["hippo_eig", "hippo_legs", "hippo_normal", "legs_online", "legs_reconstruct", "timescale_init"]


def hippo_legs(N: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Build HiPPO-LegS: the matrices that keep the Legendre coefficients of a signal's whole past up to date.

    With ``x'(t) = (A x(t) + B u(t)) / t`` the state holds, at every time t, the first N coefficients of u on [0, t]:
    ``x_n(t) = 1/t * integral_0^t u(s) sqrt(2n+1) P_n(2s/t - 1) ds``. The entries are
    ``A[n, k] = -sqrt((2n+1)(2k+1))`` for n > k, ``-(n+1)`` for n = k, 0 above, and ``B[n] = sqrt(2n+1)``.
    Without the ``1/t``, ``x' = A x + B u`` is a different memory that fades: it weights what is s time units old by exp(-s).

    Args:
        N: number of coefficients, 1 or more.
    Returns:
        A (N, N) and B (N,), float64.
    Raises:
        TypeError, ValueError: N is not a positive integer.
    Example:
        >>> A, B = hippo_legs(2)
        >>> A.round(3).tolist(), B.round(3).tolist()
        ([[-1.0, -0.0], [-1.732, -2.0]], [1.0, 1.732])

    Source: Gu et al. 2020 (arXiv 2008.07669), theorem 2; lindermanlab/S5, s5/ssm_init.py, make_HiPPO.
    """
    N = check_positive_int("N", N)
    B = np.sqrt(2 * np.arange(N) + 1.0)
    A = -(np.tril(np.outer(B, B), -1) + np.diag(np.arange(N) + 1.0))
    return A, B


def legs_online(signal: np.ndarray, N: int) -> np.ndarray:
    r"""Run HiPPO-LegS over a signal, sample by sample, and return the state after each.

    The signal is held constant over each unit of time. Between sample t and t + 1 the equation ``x' = (A x + B u) / t``
    is linear with constant coefficients in ``log t``, so one step is exact:
    ``x(t+1) = E x(t) + A^-1 (E - I) B u(t)`` with ``E = exp(A log((t+1)/t))``; the first step gives ``x(1) = u(0) e_0``.

    Args:
        signal: (T,), real; one sample per unit of time.
        N: number of coefficients kept.
    Returns:
        Coefficients (T, N), float64: row t describes ``signal[: t + 1]``. ``legs_reconstruct`` turns a row into a curve.
    Raises:
        ValueError, TypeError: the signal is not one-dimensional, real and finite, or N is not a positive integer.
    Example:
        >>> legs_online(np.full(5, 3.0), 2).round(6)[-1].tolist()  # a constant needs only the first coefficient
        [3.0, 0.0]

    Source: Gu et al. 2020 (arXiv 2008.07669), section 3 and appendix B.
    Differs: exact for a held signal, where the paper's code steps by the bilinear rule.
    """
    check_real("signal", signal)
    signal = np.asarray(signal, dtype=np.float64)
    if signal.ndim != 1 or len(signal) == 0:
        raise ValueError(f"signal must have shape (T,) with T >= 1; got {signal.shape}")
    A, _ = hippo_legs(N)
    states = np.zeros((len(signal), N))
    states[0, 0] = signal[0]
    rest = np.eye(N)[0]  # -A^-1 B: where a constant input of 1 comes to rest
    for t in range(1, len(signal)):
        E = scipy.linalg.expm(A * np.log((t + 1) / t))
        states[t] = E @ (states[t - 1] - rest * signal[t]) + rest * signal[t]
    return states


def legs_reconstruct(coefficients: np.ndarray, position: np.ndarray) -> np.ndarray:
    r"""Turn N Legendre coefficients back into the curve they stand for.

    ``u(position) = sum_n x_n sqrt(2n+1) P_n(2 position - 1)``. For the ``1/t`` memory, position is s/t, the share of the
    past: 0 is the beginning, 1 is now. For the fading memory ``x' = A x + B u``, position is exp(-age).

    Args:
        coefficients: (..., N), real; one or many states.
        position: (K,), in [0, 1].
    Returns:
        (..., K), float64.
    Raises:
        ValueError: a shape is wrong, or a position lies outside [0, 1].
    Example:
        >>> legs_reconstruct(np.array([3.0, 0.0]), np.array([0.0, 0.5, 1.0])).tolist()
        [3.0, 3.0, 3.0]

    Source: Gu et al. 2020 (arXiv 2008.07669), appendix B.
    """
    check_real("coefficients", coefficients)
    check_real("position", position)
    coefficients, position = np.asarray(coefficients, np.float64), np.asarray(position, np.float64)
    if coefficients.ndim == 0 or coefficients.shape[-1] == 0:
        raise ValueError(f"coefficients must have shape (..., N) with N >= 1; got {coefficients.shape}")
    check_shape("position", position, ("K",))
    if np.any((position < 0) | (position > 1)):
        raise ValueError(f"position must lie in [0, 1]; got values from {position.min()} to {position.max()}")
    N = coefficients.shape[-1]
    basis = np.polynomial.legendre.legvander(2 * position - 1, N - 1) * np.sqrt(2 * np.arange(N) + 1)
    return coefficients @ basis.T


def hippo_normal(N: int) -> np.ndarray:
    r"""Take the normal part of HiPPO-LegS, the part that can be diagonalised without losing precision.

    ``S = A + p p^T`` with ``p[n] = sqrt(n + 1/2)`` is ``-I/2`` plus a skew-symmetric matrix: its eigenvectors are
    orthonormal and its eigenvalues are ``-1/2 + i w``. A itself is not normal; its eigenvectors are useless beyond N ~ 20.

    Args:
        N: state size.
    Returns:
        S (N, N), float64.
    Raises:
        TypeError, ValueError: N is not a positive integer.
    Example:
        >>> S = hippo_normal(4)
        >>> bool(np.allclose(S + S.T, -np.eye(4)))
        True

    Source: Gu et al. 2022 (S4, arXiv 2111.00396), appendix C; Smith et al. 2023 (S5, arXiv 2208.04933), section 3.
    """
    A, B = hippo_legs(N)
    return A + np.outer(B, B) / 2


def hippo_eig(N: int, blocks: int = 1, conjugate: bool = True) -> tuple[np.ndarray, np.ndarray]:
    r"""Diagonalise HiPPO's normal part: the eigenvalues and eigenvectors that an S5 layer starts from.

    ``S V = V diag(Lambda)`` with V orthonormal. With ``blocks = J``, S is J copies of the normal part of size N/J down the
    diagonal. Eigenvalues come in pairs ``-1/2 +- i w``; ``conjugate=True`` keeps the half with w > 0, and a real output is
    then twice the real part of what this half gives.

    Args:
        N: real state size, divisible by ``2 * blocks`` (by ``blocks`` with ``conjugate=False``).
        blocks: number of diagonal blocks J.
        conjugate: keep one of each conjugate pair.
    Returns:
        Lambda (P,) and V (N, P), complex128; P = N/2, or N with ``conjugate=False``. Within a block w ascends, and the
        first entry of each block's eigenvector is real and positive, so that every machine gives the same V.
    Raises:
        TypeError, ValueError: N or blocks is not a positive integer, or N is not divisible as said.
    Example:
        >>> Lambda, V = hippo_eig(8, blocks=2)
        >>> Lambda.shape, V.shape, set(Lambda.real.round(12).tolist())
        ((4,), (8, 4), {-0.5})

    Source: Smith et al. 2023 (S5, arXiv 2208.04933), section 3; lindermanlab/S5, s5/ssm_init.py and s5/train.py.
    Differs: S5 keeps the half with w < 0; the two halves are conjugates and give the same real output.
    """
    blocks = check_positive_int("blocks", blocks)
    N = check_positive_int("N", N, multiple_of=2 * blocks if conjugate else blocks)
    w, V = _frequencies(N // blocks)
    if conjugate:
        w, V = w[len(w) // 2 :], V[:, len(w) // 2 :]
    return np.tile(-0.5 + 1j * w, blocks), scipy.linalg.block_diag(*[V] * blocks)


@cache  # every trace of an S5 layer asks again, and on a busy machine the threads of eigh take a second
def _frequencies(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies of the normal part, ascending, and its eigenvectors, each with a real positive first entry."""
    S = hippo_normal(size)
    w, V = np.linalg.eigh(-1j * (S - S.T) / 2)
    return w, V * (np.abs(V[:1]) / V[:1])


def timescale_init(key: jax.Array, shape: tuple[int, ...], step_min: float = 0.001, step_max: float = 0.1) -> jax.Array:
    """Draw the logarithm of each state's time step, spread evenly over orders of magnitude.

    ``log_step ~ Uniform(log step_min, log step_max)``. A state that decays as exp(-t/2) per unit of time forgets over
    about ``2 / step`` samples: the defaults spread the memories of a layer from 20 to 2000 samples.

    Args:
        key: JAX random key.
        shape: shape of the result; one entry per state.
        step_min: smallest step, > 0, in units of time per sample.
        step_max: largest step, >= step_min.
    Returns:
        log_step, float32.
    Raises:
        ValueError: not 0 < step_min <= step_max.
    Example:
        >>> log_step = timescale_init(jax.random.key(0), (64,))
        >>> bool((jnp.exp(log_step) >= 0.001).all() and (jnp.exp(log_step) <= 0.1).all())
        True

    Source: Smith et al. 2023 (S5, arXiv 2208.04933), section 3; lindermanlab/S5, s5/ssm_init.py, log_step_initializer.
    """
    check_real("step_min", step_min, positive=True)
    check_real("step_max", step_max, positive=True)
    if step_min > step_max:
        raise ValueError(f"step_min must not exceed step_max; got step_min={step_min}, step_max={step_max}")
    return jax.random.uniform(key, shape, jnp.float32, np.log(step_min), np.log(step_max))
