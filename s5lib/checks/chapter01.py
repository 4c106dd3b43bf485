"""Graders of chapter 1: HiPPO."""

import functools
from typing import Any

import numpy as np

from s5lib.checks.grading import Hint, call, compare, graded
from s5lib.hippo import hippo_eig, hippo_legs, legs_reconstruct

__all__ = ["check_best_step", "check_fade_step", "check_kernel_from_half", "check_recall"]


@graded
def check_fade_step(answer: Any) -> str:
    """Exercise 01-1: the step at which states with Re lambda = -1/2 have fallen to 1/e after 1000 samples."""
    compare(
        answer,
        0.002,
        {
            "With this step a state falls to exp(-1/2) in 1000 samples. Its real part is -1/2, so it fades half as fast.": 0.001,
            "You halved where you should double: after k samples the state has fallen to exp(-k step / 2).": 0.0005,
            "That is a number of samples per unit of time. The step is the other way round: units of time per sample.": 500.0,
            "That is a reach in samples; the step is 2 divided by the reach.": 2000.0,
            "That is the step that halves the state. Asked is the fall to 1/e.": 2 * np.log(2) / 1000,
        },
        what="Your step",
        rtol=1e-3,
        atol=0,
    )
    return "a step of 0.002: the state fades by exp(-0.001) per sample, a thousand times over."


@graded
def check_recall(answer: Any) -> str:
    """Exercise 01-2: one sample read from the LegS memory, at the middle of the time for which it was held."""
    rng = np.random.default_rng(0)
    for N, t, k in ((8, 200, 57), (4, 10, 0), (6, 50, 49)):
        x = rng.normal(size=N)

        def at(position: float, x: Any = x) -> Any:
            return legs_reconstruct(x, np.array([position]))[0]

        compare(
            np.squeeze(np.asarray(call(answer, x.copy(), t, k), dtype=np.float64)),
            at((t - k - 0.5) / t),
            {
                "You read the curve backwards: position 0 is the beginning and 1 is now.": at((k + 0.5) / t),
                "Nearly: that is the end of the time for which the sample was held. Read at its middle.": at(
                    (t - k) / t
                ),
                "Nearly: that is the start of the time for which the sample was held. Read at its middle.": at(
                    (t - k - 1) / t
                ),
                "k counts back from 0: the newest sample has k = 0, so its middle is t - 1/2.": at(
                    min((t - k + 0.5) / t, 1)
                ),
                "The scale is missing: g_n is sqrt(2n+1) times P_n.": at(
                    (t - k - 0.5) / t, x / np.sqrt(2 * np.arange(N) + 1)
                ),
                "Position exp(-age) belongs to the fading memory. Here it is a share of the past.": at(np.exp(-k)),
            },
            what=f"The recalled sample for N = {N}, t = {t}, k = {k}",
            rtol=1e-6,
        )
    return "a question about the past is one dot product with the state."


@graded
def check_kernel_from_half(answer: Any) -> str:
    """Exercise 01-3: the real impulse response of the normal part from one eigenvalue of each conjugate pair."""
    s = np.linspace(0, 3, 7)
    for N in (4, 10):
        _, B = hippo_legs(N)
        Lambda, V = hippo_eig(N)
        waves = np.exp(np.outer(s, Lambda))
        half = (waves * (V.conj().T @ B)) @ V.T
        expected = 2 * half.real
        compare(
            call(answer, Lambda.copy(), V.copy(), B.copy(), s.copy()),
            expected,
            {
                "That is half of it: the dropped half of each pair gives as much again.": half.real,
                "Twice the whole complex value; take the real part.": 2 * half,
                "The inverse of V is its conjugate transpose; you left out the conjugate.": 2
                * ((waves * (V.T @ B)) @ V.T).real,
                "You took the real part in the eigenbasis. Go back with V first, then take it.": 2
                * (waves * (V.conj().T @ B)).real
                @ V.real.T,
                "On the way back use V, not its conjugate.": 2 * ((waves * (V.conj().T @ B)) @ V.conj().T).real,
                "Ages come first: the shape is (K, N), yours is transposed.": expected.T,
            },
            what=f"The kernel for N = {N}",
            rtol=1e-6,
        )
    return "half of the eigenvalues, twice the real part, and the kernel is exact."


@functools.cache
def _recall_error_at_150(step: float) -> float:
    """Error of the best linear recall of a sample of age 150 from 64 numbers with one step, as chapter 1 measures it."""
    waves = np.exp(np.outer(hippo_eig(64)[0] * step, np.arange(2000)))
    M = np.concatenate([waves.real, waves.imag])
    covariance = np.exp(-((np.arange(-90, 91) / 10) ** 2) / 2)  # of samples so many steps apart
    K = np.stack([np.convolve(row, covariance, "same") for row in M])
    size = np.sqrt(np.sum(K * M, axis=1, keepdims=True))
    M, K = M / size, K / size
    known = K[:, 150] @ np.linalg.solve(K @ M.T + 1e-12 * np.eye(64), K[:, 150])
    return float(np.sqrt(np.clip(1 - known, 0, 1)))


@graded
def check_best_step(answer: Any) -> str:
    """Exercise 01-4: the one step with which 64 numbers recall a sample of age 150 best."""
    step = np.asarray(answer, dtype=np.float64)
    if step.shape != ():
        raise Hint(f"Give one number, one step for all states; yours has shape `{step.shape}`.")
    if not 1e-5 <= step <= 1:
        raise Hint(f"A step is a number between 0.00001 and 1 here, in units of time per sample; yours is {step:.6g}.")
    tried = {float(s): _recall_error_at_150(float(s)) for s in np.geomspace(0.016, 0.04, 16)}
    yours, best = _recall_error_at_150(float(step)), min(tried.values())
    if yours <= 1.15 * best:
        return f"error {yours:.3f} at age 150, where the best step found gives {best:.3f}."
    if step > min(tried, key=tried.__getitem__):
        side = "large: at age 150 the states have faded"
    else:
        side = "small: the states see further than asked, and blur"
    raise Hint(f"Your step is too {side}. Its error at age 150 is {yours:.3f}; {best:.3f} is possible.")
