"""HiPPO against exact projections, exact algebra and the statistics it promises. Everything is float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import Legendre

from s5lib.hippo import hippo_eig, hippo_legs, hippo_normal, legs_online, legs_reconstruct, timescale_init


def exact_projection(signal, N):
    """Legendre coefficients of the piecewise-constant signal on [0, 1], by antiderivatives: no quadrature, no matrix."""
    edges = np.linspace(-1, 1, len(signal) + 1)
    return np.array([np.sqrt(2 * n + 1) / 2 * signal @ np.diff(Legendre.basis(n).integ()(edges)) for n in range(N)])


def scaled_legendre(z, N):
    return np.stack([np.sqrt(2 * n + 1) * Legendre.basis(n, domain=[0, 1])(z) for n in range(N)], axis=-1)


# ---------------------------------------------------------------------------------------------- the matrices


def test_legs_by_hand():
    A, B = hippo_legs(3)
    r3, r5 = np.sqrt(3), np.sqrt(5)
    np.testing.assert_allclose(A, [[-1, 0, 0], [-r3, -2, 0], [-r5, -r3 * r5, -3]], rtol=1e-15)
    np.testing.assert_allclose(B, [1, r3, r5], rtol=1e-15)
    assert A.dtype == B.dtype == np.float64


@pytest.mark.parametrize("N", [1, 2, 7, 20])
def test_legs_is_the_derivation(N):
    # z g_n'(z) = sum_k c[n, k] g_k(z) and A = -(I + c), by Gauss-Legendre quadrature, exact for these degrees
    z, weights = np.polynomial.legendre.leggauss(N + 1)
    z, weights = (z + 1) / 2, weights / 2
    slope = np.stack([np.sqrt(2 * n + 1) * Legendre.basis(n, domain=[0, 1]).deriv()(z) for n in range(N)], axis=-1)
    c = (z[:, None] * slope).T @ (weights[:, None] * scaled_legendre(z, N))
    np.testing.assert_allclose(hippo_legs(N)[0], -(np.eye(N) + c), rtol=1e-11, atol=1e-10)


@pytest.mark.parametrize("N", [4, 16, 64, 256])
def test_normal_part(N):
    A, B = hippo_legs(N)
    S, p = hippo_normal(N), np.sqrt(np.arange(N) + 0.5)
    scale = np.abs(S).max()
    np.testing.assert_allclose(S, A + np.outer(p, p), atol=1e-13 * scale)
    np.testing.assert_allclose(B, np.sqrt(2) * p, rtol=1e-15)
    np.testing.assert_allclose(S + S.T, -np.eye(N), atol=1e-13 * scale)
    np.testing.assert_allclose(S @ S.T, S.T @ S, atol=1e-12 * scale**2)


@pytest.mark.parametrize("N", [4, 8, 32, 64, 128, 256])
def test_all_eigenvalues_rebuild_the_normal_part(N):
    A, _ = hippo_legs(N)
    p = np.sqrt(np.arange(N) + 0.5)
    Lambda, V = hippo_eig(N, conjugate=False)
    assert Lambda.shape == (N,) and V.shape == (N, N) and Lambda.dtype == V.dtype == np.complex128
    rebuilt, target = (V * Lambda) @ V.conj().T, A + np.outer(p, p)
    assert np.linalg.norm(rebuilt - target, 2) <= 1e-12 * np.linalg.norm(target, 2)
    np.testing.assert_allclose(V.conj().T @ V, np.eye(N), atol=1e-12)
    np.testing.assert_array_equal(Lambda.real, -0.5)
    np.testing.assert_allclose(np.sort(Lambda.imag), np.sort(-Lambda.imag), atol=1e-12 * np.abs(Lambda).max())


@pytest.mark.parametrize(("N", "blocks"), [(4, 1), (8, 2), (24, 3), (64, 8), (64, 32)])
def test_half_gives_the_same_real_output(N, blocks):
    Lambda, V = hippo_eig(N, blocks)
    S = scipy.linalg.block_diag(*[hippo_normal(N // blocks)] * blocks)
    B = np.random.default_rng(N).normal(size=N)
    assert Lambda.shape == (N // 2,) and V.shape == (N, N // 2) and (Lambda.imag > 0).all()
    for s in (0.0, 0.3, 2.0):
        half = 2 * (V @ (np.exp(Lambda * s) * (V.conj().T @ B))).real
        np.testing.assert_allclose(half, scipy.linalg.expm(S * s) @ B, atol=1e-10)


@given(st.integers(1, 6), st.integers(1, 10), st.booleans())
@settings(deadline=None, max_examples=40)
def test_blocks_are_copies_on_the_diagonal(blocks, half_size, conjugate):
    size = 2 * half_size
    Lambda, V = hippo_eig(blocks * size, blocks, conjugate)
    one, V_one = hippo_eig(size, 1, conjugate)
    np.testing.assert_array_equal(Lambda, np.tile(one, blocks))
    np.testing.assert_array_equal(V, scipy.linalg.block_diag(*[V_one] * blocks))
    assert (np.diff(one.imag) > 0).all()
    np.testing.assert_allclose(V_one[0].imag, 0, atol=1e-15)
    assert (V_one[0].real > 0).all()


def test_odd_sizes_need_all_eigenvalues():
    Lambda, _ = hippo_eig(5, conjugate=False)
    assert Lambda.shape == (5,) and np.abs(Lambda.imag).min() < 1e-12
    with pytest.raises(ValueError, match="N must be a positive multiple of 2; got 5"):
        hippo_eig(5)


def test_own_eigenvectors_are_ill_conditioned():
    # why the normal part is used at all: the statement of chapter 1
    assert np.linalg.cond(np.linalg.eig(hippo_legs(16)[0])[1]) > 1e10
    assert np.linalg.cond(np.linalg.eig(hippo_normal(16))[1]) < 1 + 1e-8


@pytest.mark.parametrize("N", [2, 16, 64])
def test_stability(N):
    np.testing.assert_array_equal(np.linalg.eigvalsh(np.diag(np.diag(hippo_legs(N)[0]))), -np.arange(N, 0, -1.0))
    state = np.random.default_rng(N).normal(size=N)
    for s in (0.1, 1.0, 5.0):
        decayed = np.linalg.norm(scipy.linalg.expm(hippo_normal(N) * s) @ state)
        np.testing.assert_allclose(decayed, np.exp(-s / 2) * np.linalg.norm(state), rtol=1e-9)


def test_normal_part_is_hippo_fed_with_its_own_echo():
    # S x + B u / 2 == A x + B (u + B.x) / 2, and B.x is the curve's value now
    (A, B), S = hippo_legs(12), hippo_normal(12)
    x, u = np.random.default_rng(0).normal(size=12), 0.7
    np.testing.assert_allclose(S @ x + B * u / 2, A @ x + B * (u + B @ x) / 2, atol=1e-12)
    np.testing.assert_allclose(legs_reconstruct(x, np.array([1.0])), [B @ x], rtol=1e-12)


# ---------------------------------------------------------------------------------------------- the memory


@pytest.mark.parametrize(("T", "N"), [(1, 5), (2, 1), (3, 16), (120, 32), (60, 64)])
def test_online_equals_the_exact_projection(T, N):
    signal = np.random.default_rng(T).normal(size=T)
    states = legs_online(signal, N)
    assert states.shape == (T, N) and states.dtype == np.float64
    for t in {1, 2, (T + 1) // 2, T} & set(range(1, T + 1)):
        np.testing.assert_allclose(states[t - 1], exact_projection(signal[:t], N), atol=1e-12)


@given(
    st.lists(st.floats(-10, 10), min_size=1, max_size=12),
    st.integers(1, 10),
    st.integers(1, 4),
)
@settings(deadline=None, max_examples=25)
def test_online_laws(values, N, stretch):
    signal = np.array(values)
    states = legs_online(signal, N)
    # the clock does not matter; fewer numbers are the first of more numbers; the first number is the running mean
    np.testing.assert_allclose(legs_online(np.repeat(signal, stretch), N)[stretch - 1 :: stretch], states, atol=1e-10)
    np.testing.assert_allclose(legs_online(signal, N + 3)[:, :N], states, atol=1e-10)
    np.testing.assert_allclose(states[:, 0], np.cumsum(signal) / np.arange(1, len(signal) + 1), atol=1e-10)
    np.testing.assert_allclose(legs_online(-2 * signal, N), -2 * states, atol=1e-10)


def test_online_takes_integers_and_keeps_its_argument():
    signal = np.array([1, 2, 3])
    np.testing.assert_array_equal(legs_online(signal, 4), legs_online(signal.astype(np.float64), 4))
    np.testing.assert_array_equal(signal, [1, 2, 3])


def test_reconstruction_is_the_sum_of_curves():
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(2, 3, 6)), rng.uniform(size=9)
    np.testing.assert_allclose(legs_reconstruct(x, z), x @ scaled_legendre(z, 6).T, atol=1e-12)


def test_a_polynomial_is_remembered_whole():
    # a cubic needs four coefficients; the signal is its samples, so the curve is off by the size of a step
    z = (np.arange(2000) + 0.5) / 2000
    cubic = 1 - 3 * z + 4 * z**3
    curve = legs_reconstruct(exact_projection(cubic, 4), z)
    np.testing.assert_allclose(curve, cubic, atol=2e-5)
    np.testing.assert_allclose(
        legs_reconstruct(legs_online(cubic.reshape(200, 10).mean(axis=1), 4)[-1], z), cubic, atol=1e-3
    )


def test_fading_kernels():
    # without 1/t: exp(A s) B = exp(-s) g_n(exp(-s)), the reading of position as exp(-age)
    A, B = hippo_legs(10)
    for s in (0.0, 0.2, 1.0, 4.0):
        kernel = scipy.linalg.expm(A * s) @ B
        np.testing.assert_allclose(kernel, np.exp(-s) * scaled_legendre(np.exp(-s), 10), atol=1e-10)


# ---------------------------------------------------------------------------------------------- time scales


def test_timescales_are_even_over_orders_of_magnitude():
    log_step = timescale_init(jax.random.key(0), (100, 200))
    assert log_step.shape == (100, 200) and log_step.dtype == jnp.float32
    low, high = np.log([0.001, 0.1])
    values = np.asarray(log_step, np.float64).ravel()
    assert low - 1e-6 <= values.min() and values.max() <= high + 1e-6
    # uniform: mean, variance and quantiles within five standard errors of 20 000 draws
    width, count = high - low, values.size
    assert abs(values.mean() - (low + high) / 2) < 5 * width / np.sqrt(12 * count)
    assert abs(values.var() - width**2 / 12) < 5 * width**2 / np.sqrt(180 * count)
    for q in (0.1, 0.25, 0.5, 0.9):
        assert abs(np.mean(values < low + q * width) - q) < 5 * np.sqrt(q * (1 - q) / count)


def test_timescales_options():
    np.testing.assert_allclose(timescale_init(jax.random.key(1), (5,), 0.01, 0.01), np.log(0.01), rtol=1e-6)
    a, b = (timescale_init(jax.random.key(k), (8,)) for k in (0, 1))
    assert not np.array_equal(a, b)
    np.testing.assert_array_equal(a, jax.jit(lambda key: timescale_init(key, (8,)))(jax.random.key(0)))


# ---------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: hippo_legs(0), ValueError, "N must be a positive integer; got 0"),
        (lambda: hippo_legs(2.0), TypeError, "N must be an integer; got 2.0 of type float"),
        (lambda: hippo_legs(True), TypeError, "N must be an integer"),
        (lambda: hippo_normal(-1), ValueError, "N must be a positive integer; got -1"),
        (lambda: hippo_eig(12, blocks=4), ValueError, "N must be a positive multiple of 8; got 12"),
        (lambda: hippo_eig(9, blocks=2, conjugate=False), ValueError, "N must be a positive multiple of 2; got 9"),
        (lambda: hippo_eig(8, blocks=0), ValueError, "blocks must be a positive integer; got 0"),
        (
            lambda: legs_online(np.zeros((2, 2)), 3),
            ValueError,
            r"signal must have shape \(T,\) with T >= 1; got \(2, 2\)",
        ),
        (lambda: legs_online(np.zeros(0), 3), ValueError, r"got \(0,\)"),
        (lambda: legs_online(np.array([1.0, np.nan]), 3), ValueError, "signal must be finite; it holds 1 NaN"),
        (lambda: legs_online(np.array([1j]), 3), TypeError, "signal must be real"),
        (lambda: legs_online(np.zeros(4), 0), ValueError, "N must be a positive integer"),
        (lambda: legs_reconstruct(np.zeros(3), np.array([0.0, 1.5])), ValueError, r"position must lie in \[0, 1\]"),
        (lambda: legs_reconstruct(np.zeros(3), np.array([-0.1])), ValueError, r"position must lie in \[0, 1\]"),
        (
            lambda: legs_reconstruct(np.float64(3.0), np.array([0.5])),
            ValueError,
            r"coefficients must have shape \(..., N\)",
        ),
        (lambda: legs_reconstruct(np.zeros(3), 0.5), ValueError, r"position must have shape \(K,\); got \(\)"),
        (lambda: timescale_init(jax.random.key(0), (3,), 0.1, 0.01), ValueError, "step_min must not exceed step_max"),
        (lambda: timescale_init(jax.random.key(0), (3,), 0.0), ValueError, "step_min must be positive"),
    ],
)
def test_errors_name_the_argument(call, error, said):
    with pytest.raises(error, match=said):
        call()
