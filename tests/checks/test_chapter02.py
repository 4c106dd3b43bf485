"""The graders of chapter 2: right answers, the stub, and plausible mistakes."""

import re

import jax.numpy as jnp
import numpy as np

from s5lib import checks
from tests.checks.grading import assert_graded, stub


def test_step_for_half_life():
    right = 2 * np.log(2) / 50
    assert_graded(
        checks.check_step_for_half_life,
        right=[right, 0.0277, np.float32(right), jnp.asarray(right)],
        wrong=[right / 4, right / 2, 2 / 50, 50, 1 / right, right / 16, right / 8, 0.5, "0.03"],
    )
    assert "per frame" in checks.check_step_for_half_life(right / 4).message


def test_largest_euler_step():
    def limits(Lambda):
        return -2 * Lambda.real / np.abs(Lambda) ** 2

    assert_graded(
        checks.check_largest_euler_step,
        right=[
            lambda L: limits(L).min(),
            lambda L: float(limits(L).min()),
            lambda L: jnp.min(-2 * jnp.real(L) / jnp.abs(L) ** 2),
        ],
        wrong=[
            lambda L: np.min(2 / np.abs(L)),
            lambda L: np.min(-2 / L.real),
            lambda L: np.max(limits(L)),
            lambda L: np.min(limits(L)) / 2,
            lambda L: -np.min(limits(L)),
            limits,
            lambda L: 0.1,
            0.1,
        ],
        stub=stub,
    )
    assert "real λ only" in checks.check_largest_euler_step(lambda L: np.min(2 / np.abs(L))).message


def phi_2(z, seam=1.0, terms=14, patched=False):
    z = jnp.asarray(z)
    small = jnp.abs(z) < seam
    near, far = (z, z) if patched else (jnp.where(small, z, 0.0), jnp.where(small, 1.0, z))
    series = jnp.ones_like(z)
    for k in range(terms, 2, -1):
        series = 1 + near / k * series
    return jnp.where(small, series / 2, (jnp.expm1(far) - far) / far**2)


def test_phi_2():
    def naive(z):
        return (jnp.exp(z) - 1 - z) / z**2

    assert_graded(
        checks.check_phi_2,
        right=[phi_2, lambda z: phi_2(z, seam=0.5), lambda z: phi_2(z, seam=2.0, terms=22)],
        wrong=[
            naive,
            lambda z: jnp.where(z == 0, 0.5, naive(z)),  # the digits go long before 0
            lambda z: phi_2(z, patched=True),  # one where too few: the gradient is NaN
            lambda z: phi_2(jnp.where(jnp.abs(z) < 1e-5, 0.0, z)),  # flat near 0
            lambda z: phi_2(z, terms=4),
            lambda z: jnp.where(z == 0, 1, jnp.expm1(z) / jnp.where(z == 0, 1, z)),
            lambda z: 0.5,
        ],
        stub=stub,
    )
    assert "second `where`" in checks.check_phi_2(lambda z: phi_2(z, patched=True)).message


def uneven(Lambda, B_tilde, values, durations, gain=lambda L, d: np.expm1(L * d) / L, decay=lambda L, d: np.exp(L * d)):
    x, states = np.zeros(len(Lambda), complex), []
    for value, duration in zip(values, durations, strict=True):
        x = decay(Lambda, duration) * x + gain(Lambda, duration) * B_tilde * value
        states.append(x)
    return np.array(states)


def test_run_uneven():
    assert_graded(
        checks.check_run_uneven,
        right=[uneven, lambda *a: uneven(*a).astype(np.complex64)],
        wrong=[
            lambda L, B, u, d: uneven(L, B, u, np.full_like(d, d.mean())),
            lambda L, B, u, d: uneven(L, B, u, np.roll(d, -1)),
            lambda L, B, u, d: uneven(L, B, u, np.roll(d, 1)),
            lambda L, B, u, d: uneven(L, B, np.concatenate([[0.0], u[:-1]]), d),
            lambda *a: uneven(*a, gain=lambda L, d: d),
            lambda *a: uneven(*a, gain=lambda L, d: 1.0),
            lambda *a: uneven(*a, gain=lambda L, d: d, decay=lambda L, d: 1 + L * d),
            lambda *a: np.vstack([np.zeros(len(a[0])), uneven(*a)[:-1]]),
            lambda *a: uneven(*a).real,
            lambda *a: uneven(*a).T,
        ],
        stub=stub,
    )
    own, mean = (
        float(score) for score in re.findall(r"(?:R² =|it has) (-?\d\.\d\d)", checks.check_run_uneven(uneven).message)
    )
    assert own > 0.9 > 0.5 > mean
