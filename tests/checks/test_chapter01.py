"""The graders of chapter 1: right answers, the stub, and plausible mistakes."""

import jax.numpy as jnp
import numpy as np

from s5lib import checks
from tests.checks.grading import assert_graded, stub


def test_fade_step():
    assert_graded(
        checks.check_fade_step,
        right=[0.002, 2 / 1000, np.float32(0.002), np.array(0.002)],
        wrong=[0.001, 0.0005, 500, 2000.0, 2 * np.log(2) / 1000, 0.3, "0.002", [0.002, 0.002]],
    )


def recall_at(position, scaled=True):
    def recall(x, t, k):
        n = np.arange(len(x))
        curves = np.polynomial.legendre.legvander([2 * position(t, k) - 1], len(x) - 1)[0]
        return float(x @ (curves * np.sqrt(2 * n + 1) if scaled else curves))

    return recall


def test_recall():
    middle = recall_at(lambda t, k: (t - k - 0.5) / t)
    assert_graded(
        checks.check_recall,
        right=[
            middle,
            lambda x, t, k: np.array([middle(x, t, k)]),
            lambda x, t, k: np.float32(middle(x, t, k)).astype(float),
        ],
        wrong=[
            recall_at(lambda t, k: (k + 0.5) / t),
            recall_at(lambda t, k: (t - k) / t),
            recall_at(lambda t, k: (t - k - 1) / t),
            recall_at(lambda t, k: (t - k + 0.5) / t),
            recall_at(lambda t, k: (t - k - 0.5) / t, scaled=False),
            recall_at(lambda t, k: np.exp(-k)),
            lambda x, t, k: x,
        ],
        stub=stub,
    )


def kernel_from_half(Lambda, V, B, s):
    return 2 * ((np.exp(np.outer(s, Lambda)) * (V.conj().T @ B)) @ V.T).real


def test_kernel_from_half():
    def waves(Lambda, s):
        return np.exp(np.outer(s, Lambda))

    assert_graded(
        checks.check_kernel_from_half,
        right=[
            kernel_from_half,
            lambda Lambda, V, B, s: 2 * np.einsum("np,kp,p->kn", V, waves(Lambda, s), V.conj().T @ B).real,
            lambda Lambda, V, B, s: jnp.asarray(kernel_from_half(Lambda, V, B, s)),
        ],
        wrong=[
            lambda Lambda, V, B, s: kernel_from_half(Lambda, V, B, s) / 2,
            lambda Lambda, V, B, s: 2 * (waves(Lambda, s) * (V.conj().T @ B)) @ V.T,
            lambda Lambda, V, B, s: 2 * ((waves(Lambda, s) * (V.T @ B)) @ V.T).real,
            lambda Lambda, V, B, s: 2 * (waves(Lambda, s) * (V.conj().T @ B)).real @ V.real.T,
            lambda Lambda, V, B, s: 2 * ((waves(Lambda, s) * (V.conj().T @ B)) @ V.conj().T).real,
            lambda Lambda, V, B, s: kernel_from_half(Lambda, V, B, s).T,
            lambda Lambda, V, B, s: np.zeros((7, 7)),
        ],
        stub=stub,
    )


def test_best_step():
    assert_graded(
        checks.check_best_step,
        right=[0.025, np.float32(0.023)],
        wrong=[0.003, 0.05, 150, [0.01, 0.02], 2 / 1000],
    )
    assert "too small" in checks.check_best_step(0.002).message
    assert "too large" in checks.check_best_step(0.1).message
