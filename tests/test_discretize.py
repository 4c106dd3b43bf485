"""Discretisation against matrix exponentials, SciPy and closed forms: values and gradients, at Lambda = 0 and near it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from s5lib import bilinear, euler, hippo_eig, zoh
from tests.precision import double_precision

RULES = [zoh, bilinear, euler]


@pytest.fixture(params=["float32", "float64"])
def precision(request):
    """(real dtype, complex dtype, relative tolerance), with JAX in that precision."""
    if request.param == "float32":
        yield np.float32, np.complex64, 2e-5
    else:
        with double_precision():
            yield np.float64, np.complex128, 1e-12


def system(P=6, H=3, seed=0):
    rng = np.random.default_rng(seed)
    Lambda = -rng.uniform(0.1, 2, P) + 1j * rng.uniform(-20, 20, P)
    return Lambda, rng.normal(size=(P, H)) + 1j * rng.normal(size=(P, H)), rng.uniform(0.01, 0.3, P)


def cast(precision, Lambda, B_tilde, step):
    real, cplx, _ = precision
    return jnp.asarray(Lambda, cplx), jnp.asarray(B_tilde, cplx), jnp.asarray(step, real)


def close(actual, expected, rtol):
    expected = np.asarray(expected)
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=rtol, atol=rtol * np.abs(expected).max())


def test_zoh_is_the_matrix_exponential(precision):
    Lambda, B_tilde, step = system()
    Lambda_bar, B_bar = zoh(*cast(precision, Lambda, B_tilde, step))
    P, H = B_tilde.shape
    for n in range(P):  # exp of [[Lambda, B], [0, 0]] * step holds both answers
        augmented = np.zeros((1 + H, 1 + H), complex)
        augmented[0, 0], augmented[0, 1:] = Lambda[n], B_tilde[n]
        solved = scipy.linalg.expm(augmented * step[n])
        close(Lambda_bar[n], solved[0, 0], precision[2])
        close(B_bar[n], solved[0, 1:], precision[2])


def test_zoh_is_scipys(precision):
    Lambda, B_tilde, _ = system()
    identity, nothing = np.eye(len(Lambda)), np.zeros_like(B_tilde)
    A, B, *_ = scipy.signal.cont2discrete((np.diag(Lambda), B_tilde, identity, nothing), 0.05, method="zoh")
    Lambda_bar, B_bar = zoh(*cast(precision, Lambda, B_tilde, 0.05))
    close(Lambda_bar, np.diag(A), precision[2])
    close(B_bar, B, precision[2])


def test_bilinear_and_scipys_differ_by_the_input_convention(precision):
    """SciPy's bilinear state is w[t+1] = A w[t] + B u[t] and its output reads the input too: y[t] = C w[t] + D u[t].

    With C = I that output obeys y[t] = A y[t-1] + B u[t-1] + D (u[t] - A u[t-1]); SciPy chooses C and D so that this is
    y[t] = A y[t-1] + B_bar (u[t] + u[t-1]) / 2. So A and B are ours, and our recurrence, fed the mean of two neighbouring
    inputs, gives SciPy's output.
    """
    Lambda, B_tilde, _ = system()
    identity, nothing = np.eye(len(Lambda)), np.zeros_like(B_tilde)
    A, B, C, D, _ = scipy.signal.cont2discrete((np.diag(Lambda), B_tilde, identity, nothing), 0.05, method="bilinear")
    Lambda_bar, B_bar = bilinear(*cast(precision, Lambda, B_tilde, 0.05))
    close(Lambda_bar, np.diag(A), precision[2])
    close(B_bar, B, precision[2])
    u = np.random.default_rng(1).normal(size=(50, B_tilde.shape[1]))
    u[0] = 0
    w = ours = np.zeros(len(Lambda), complex)
    for t in range(1, 50):
        w = A @ w + B @ u[t - 1]
        ours = np.asarray(Lambda_bar) * ours + np.asarray(B_bar) @ (u[t] + u[t - 1]) / 2
        close(ours, C @ w + D @ u[t], 20 * precision[2])


def test_euler_follows_the_slope(precision):
    Lambda, B_tilde, step = system()
    Lambda_bar, B_bar = euler(*cast(precision, Lambda, B_tilde, step))
    close(Lambda_bar, 1 + Lambda * step, precision[2])
    close(B_bar, step[:, None] * B_tilde, precision[2])


@pytest.mark.parametrize("rule", RULES)
def test_one_step_for_all_or_one_for_each(rule):
    Lambda, B_tilde, _ = cast((np.float32, np.complex64, 0), *system())
    one, each = rule(Lambda, B_tilde, 0.1), rule(Lambda, B_tilde, jnp.full(6, 0.1))
    assert one[0].shape == (6,) and one[1].shape == (6, 3) and one[0].dtype == one[1].dtype == jnp.complex64
    for a, b in zip(one, each, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    for Lambda_bar, B_bar in (
        rule(jnp.array([-0.5]), jnp.ones((1, 2)), 0.1),
        rule(jnp.array([-1]), jnp.ones((1, 2), int), 1),
    ):
        assert Lambda_bar.shape == (1,) and B_bar.shape == (1, 2) and not jnp.iscomplexobj(Lambda_bar)
    assert float(rule([-0.5], [[1.0]], [0.1])[0][0]) == pytest.approx(0.95, abs=0.01)  # lists will do


# --- Lambda = 0 and tiny |Lambda step|


def phi_series(z):
    """(exp(z) - 1) / z and its derivative by 60 terms of the series, complex128: for |z| <= 1 accurate to the last digit or two."""
    value, slope, term = np.zeros_like(z), np.zeros_like(z), np.ones_like(z)
    for k in range(60):  # term = z^k / (k+1)!; the derivative's is (k+1) z^k / (k+2)!
        value, slope = value + term, slope + term * (k + 1) / (k + 2)
        term = term * z / (k + 2)
    return value, slope


def phi(z):
    """zoh's factor: B_bar for B_tilde = 1 and step = 1."""
    return zoh(jnp.atleast_1d(z), jnp.ones((1, 1)), 1.0)[1][0, 0]


SIZES = np.concatenate([np.geomspace(1e-12, 1, 49), [0.25, 0.499, 0.4999999, 0.5, 0.501]])


@pytest.mark.parametrize("angle", [0, 0.3, 0.5, 0.9, 1.0])  # of z, in half turns
def test_zoh_is_accurate_near_zero(precision, angle):
    real, cplx, _ = precision
    z = jnp.asarray(SIZES * np.exp(1j * np.pi * angle), cplx)
    value, slope = phi_series(np.asarray(z, complex))
    ulp = np.finfo(real).eps
    wrong = np.abs(np.asarray(jax.jit(jax.vmap(phi))(z)) / value - 1) / ulp
    assert wrong.max() < 4, f"value: {wrong.max():.1f} ulp at |z| = {SIZES[wrong.argmax()]}"
    gradient = jax.jit(jax.vmap(jax.grad(phi, holomorphic=True)))(z)
    wrong = np.abs(np.asarray(gradient) / slope - 1) / ulp
    assert wrong.max() < 16, f"gradient: {wrong.max():.1f} ulp at |z| = {SIZES[wrong.argmax()]}"
    if angle in (0, 1.0):  # a real Lambda takes the same path
        x = jnp.real(z)
        wrong = np.abs(np.asarray(jax.jit(jax.vmap(phi))(x)) / value.real - 1) / ulp
        assert wrong.max() < 4
        wrong = np.abs(np.asarray(jax.jit(jax.vmap(jax.grad(phi)))(x)) / slope.real - 1) / ulp
        assert wrong.max() < 16


def test_zoh_far_from_zero(precision):
    real, cplx, _ = precision
    size, angle = np.meshgrid(np.geomspace(1, 50, 30), np.pi * np.linspace(0.5, 1.5, 21))
    z = jnp.asarray((size * np.exp(1j * angle)).ravel(), cplx)
    exact = np.asarray(z, complex)
    exact = (np.exp(exact) - 1) / exact
    wrong = np.abs(np.asarray(jax.jit(jax.vmap(phi))(z)) - exact) / np.abs(np.asarray(z) ** -1) / np.finfo(real).eps
    assert wrong.max() < 8 * 50  # exp(i w) cannot be better than w * ulp


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.complex64])
def test_zoh_at_exactly_zero(dtype):
    Lambda, B_tilde = jnp.zeros(2, dtype), jnp.array([[1.0, 2.0], [3.0, 4.0]])
    Lambda_bar, B_bar = zoh(Lambda, B_tilde, 0.3)
    np.testing.assert_array_equal(Lambda_bar, np.ones(2))
    np.testing.assert_allclose(B_bar, 0.3 * B_tilde, rtol=1e-7)

    def total(Lambda, B_tilde, step):
        Lambda_bar, B_bar = zoh(Lambda, B_tilde, step)
        return jnp.sum(Lambda_bar.real) + jnp.sum(B_bar.real)

    for transform in (lambda f: f, jax.jit):
        d_Lambda, d_B, d_step = transform(jax.grad(total, (0, 1, 2)))(Lambda, B_tilde, jnp.float32(0.3))
        np.testing.assert_allclose(d_Lambda, 0.3 + 0.3**2 / 2 * B_tilde.sum(1), rtol=1e-6)  # phi'(0) = 1/2
        np.testing.assert_allclose(d_B, np.full((2, 2), 0.3), rtol=1e-6)
        np.testing.assert_allclose(d_step, B_tilde.sum(), rtol=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_gradients_match_finite_differences(rule):
    with double_precision():
        Lambda, B_tilde, step = (jnp.asarray(part) for part in system(P=5))
        Lambda = Lambda.at[0].set(0).at[1].set(1e-7 + 1e-7j)

        def parts(Lambda, B_tilde, step):
            return [part for array in rule(Lambda, B_tilde, step) for part in (array.real, array.imag)]

        check_grads(
            jax.jit(parts), (Lambda, B_tilde, step), order=1, modes=["rev", "fwd"], atol=1e-6, rtol=1e-6, eps=1e-5
        )


# --- laws

states = st.builds(complex, st.floats(-50, -1e-3), st.floats(-500, 500))


@settings(max_examples=60, deadline=None)
@given(states, st.floats(0.1, 10))
def test_what_forgets_keeps_forgetting(Lambda, factor):
    """ZOH and bilinear never leave the unit disc; Euler leaves it exactly where step > -2 Re / |Lambda|^2."""
    Lambda_, B_tilde, step = (
        jnp.asarray([Lambda], jnp.complex64),
        jnp.ones((1, 1)),
        -2 * Lambda.real / abs(Lambda) ** 2 * factor,
    )
    for rule in (zoh, bilinear):
        assert abs(rule(Lambda_, B_tilde, step)[0][0]) <= 1 + 2e-6
    if abs(abs(1 + Lambda * step) - 1) > 1e-5:
        assert (abs(euler(Lambda_, B_tilde, step)[0][0]) < 1) == (factor < 1)


@settings(max_examples=40, deadline=None)
@given(states, st.floats(1e-3, 0.5), st.integers(2, 8), st.floats(-3, 3))
def test_zoh_of_a_held_input_does_not_depend_on_the_number_of_steps(Lambda, step, pieces, u):
    """One long step equals many short ones: this is what lets a model change its sampling rate."""
    with double_precision():
        Lambda_, B_tilde = jnp.asarray([Lambda], jnp.complex128), jnp.ones((1, 1))
        (A,), ((B,),) = zoh(Lambda_, B_tilde, step)
        (a,), ((b,),) = zoh(Lambda_, B_tilde, step / pieces)
        x = 1.0
        for _ in range(pieces):
            x = a * x + b * u
        assert abs(A * 1.0 + B * u - x) < 1e-11


@pytest.mark.parametrize(("rule", "order"), [(zoh, None), (bilinear, 2), (euler, 1)])
def test_order_without_input(rule, order):
    with double_precision():
        Lambda, errors = jnp.array([-0.5 + 6j]), []
        for count in (256, 512):
            Lambda_bar = complex(rule(Lambda, jnp.ones((1, 1)), 1 / count)[0][0])
            errors.append(abs(Lambda_bar**count - np.exp(-0.5 + 6j)))
        if order is None:
            assert max(errors) < 1e-12
        else:
            assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.1)


def test_hippo_eigenvalues_are_stable():
    Lambda, _ = hippo_eig(64)
    step = np.geomspace(0.001, 0.1, 32)
    for rule in (zoh, bilinear):
        assert np.all(np.abs(rule(Lambda, np.ones((32, 1)), step)[0]) < 1)
    assert np.mean(np.abs(euler(Lambda, np.ones((32, 1)), step)[0]) > 1) > 0.5


# --- bad input

GOOD = {"Lambda": np.array([-0.5 + 1j, -0.5 + 2j]), "B_tilde": np.ones((2, 3)), "step": np.array([0.1, 0.2])}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({"step": -0.1}, ValueError, "step must be positive; its smallest value is -0.1"),
        ({"step": 0.0}, ValueError, "step must be positive"),
        ({"step": np.array([0.1, -0.2])}, ValueError, "step must be positive; its smallest value is -0.2"),
        ({"step": np.nan}, ValueError, "step must be finite; it holds 1 NaN"),
        ({"step": np.array([0.1, np.inf])}, ValueError, "step must be finite"),
        ({"step": 0.1j}, TypeError, "step must be real; got dtype complex128"),
        (
            {"step": np.ones((2, 1))},
            ValueError,
            r"step must be a number or have shape \(2,\), one per state; got \(2, 1\)",
        ),
        ({"step": np.ones(3)}, ValueError, r"step .* got \(3,\)"),
        ({"step": "0.1"}, TypeError, "step must be real"),
        ({"step": None}, TypeError, "step must be real; got dtype object"),
        ({"step": True}, TypeError, "step must be real; got dtype bool"),
        ({"Lambda": np.array(-0.5)}, ValueError, r"Lambda must have shape \(P,\); got \(\)"),
        ({"Lambda": np.full((2, 2), -0.5)}, ValueError, r"Lambda must have shape \(P,\); got \(2, 2\)"),
        ({"Lambda": np.array([-0.5, np.nan])}, ValueError, "Lambda must be finite"),
        ({"Lambda": ["a", "b"]}, TypeError, "Lambda must hold numbers"),
        ({"B_tilde": None}, TypeError, "B_tilde must hold numbers"),
        ({"B_tilde": np.ones(2)}, ValueError, r"B_tilde must have shape \(2, H\); got \(2,\)"),
        ({"B_tilde": np.ones((3, 2))}, ValueError, r"B_tilde must have shape \(2, H\); got \(3, 2\)"),
        ({"B_tilde": np.full((2, 3), np.inf)}, ValueError, "B_tilde must be finite"),
    ],
)
def test_bad_input_names_the_argument(rule, changed, error, said):
    with pytest.raises(error, match=said):
        rule(**{**GOOD, **changed})


@pytest.mark.parametrize("rule", RULES)
def test_shapes_and_dtypes_are_checked_under_jit_too(rule):
    with pytest.raises(ValueError, match=r"B_tilde must have shape \(2, H\)"):
        jax.jit(rule)(jnp.ones(2), jnp.ones((3, 3)), 0.1)
    with pytest.raises(TypeError, match="step must be real"):
        jax.jit(rule)(jnp.ones(2), jnp.ones((2, 3)), jnp.ones(2, jnp.complex64))
    assert np.all(np.isfinite(jax.jit(rule)(jnp.ones(2), jnp.ones((2, 3)), 0.1)[1]))
