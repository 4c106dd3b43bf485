"""Graders of chapter 2: discretisation."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from s5lib.checks.grading import Hint, call, compare, graded, same
from s5lib.hippo import hippo_eig, hippo_legs

__all__ = ["check_largest_euler_step", "check_phi_2", "check_run_uneven", "check_step_for_half_life"]


@graded
def check_step_for_half_life(answer: float) -> str:
    """Exercise 02-1: the step for a half-life of 200 frames at one decision in four frames."""
    right = 2 * np.log(2) / 50
    mistakes = {
        "That is the step per frame. The agent steps once per decision, and each decision lasts four frames.": right
        / 4,
        "You divided by the four frames; a decision lasts longer than a frame, so its step is larger.": right / 16,
        "You forgot that Re λ is -1/2 and not -1: the state decays as exp(-Δ/2) per step.": right / 2,
        "You forgot both the factor 1/2 in Re λ and the four frames of a decision.": right / 8,
        "That step loses a factor e, not 2, over 200 frames: the half-life has ln 2 in it.": 2 / 50,
        "That is the half-life in decisions. The step comes from half-life = ln 2 / (Δ/2).": 50.0,
        "Upside down: a longer half-life needs a smaller step.": 1 / right,
    }
    value = np.asarray(answer, dtype=float)
    compare(value, right, mistakes, what="The step", rtol=5e-3, atol=0)
    return f"2 ln 2 / 50 = {right:.4f} per decision: 50 decisions, or 200 frames, halve the cue."


@graded
def check_largest_euler_step(answer: Callable) -> str:
    """Exercise 02-2: the largest stable step of forward Euler over the states of a layer."""
    for Lambda in (
        np.array([-2.0 + 1j, -0.5 + 3j, -1 - 10j]),
        np.array([-0.5 + 0.3j, -0.5 + 80j]),
        np.array([-4.0 + 0j]),
    ):
        size = np.abs(Lambda)
        each = -2 * Lambda.real / size**2
        mistakes = {
            "That is 2/|λ|, which holds for real λ only; start from |1 + λΔ|² < 1.": np.min(2 / size),
            "That is -2/Re λ: an oscillation makes the limit tighter, so Im λ must appear.": np.min(-2 / Lambda.real),
            "That is the limit of the most patient state. Every state must stay inside the disc.": np.max(each),
            "Half of it is right: check the factor 2 in |1 + λΔ|² = 1 + 2 Re(λ)Δ + |λ|²Δ².": np.min(each) / 2,
            "A negative step: mind the sign of Re λ.": -np.min(each),
            "You returned one limit per state; the layer's is the smallest.": each,
        }
        compare(
            call(answer, Lambda), np.min(each), mistakes, what=f"The limit for {Lambda.tolist()}", rtol=1e-3, atol=0
        )
    return "right: the state with the smallest -2 Re(λ)/|λ|² decides for all."


@graded
def check_phi_2(answer: Callable) -> str:
    """Exercise 02-3: (exp(z) - 1 - z) / z^2, accurate in float32 in value and gradient, at 0 and near it."""
    z = np.concatenate([[0.0], *(sign * np.geomspace(1e-12, 5, 60) for sign in (1, -1))])
    terms = [1 / math.factorial(k + 2) for k in range(40)]
    value, slope = np.polyval(terms[::-1], z), np.polyval([k * term for k, term in enumerate(terms)][:0:-1], z)
    z32 = jnp.asarray(z, jnp.float32)
    got = np.asarray(call(answer, z32), float)
    if got.shape != z.shape:
        raise Hint(f"For an array of shape `{z.shape}` return one of the same shape; got `{got.shape}`.")
    if not np.isfinite(got[0]):
        raise Hint("At z = 0 the value is NaN or infinite: take the series (its first term is 1/2) for small z.")
    if same(got, np.where(z == 0, 1, np.expm1(z) / np.where(z == 0, 1, z)), rtol=1e-2):
        raise Hint("That is φ, (exp(z) - 1)/z, of section 5. Subtract z once more and divide by z².")
    error = np.abs(got / value - 1)
    worst = int(np.nanargmax(np.nan_to_num(error, nan=np.inf)))
    if error[worst] > 1e-4 or not np.isfinite(error[worst]):
        where = (
            "The quotient loses its digits there: use the series further out."
            if abs(z[worst]) < 0.5
            else "Is a series used too far out, or with too few terms?"
        )
        raise Hint(f"At z = {z32[worst]:.3g} the value is {got[worst]:.6g} instead of {value[worst]:.6g}. {where}")
    gradient = np.asarray(jax.vmap(jax.grad(lambda z: jnp.sum(answer(z))))(z32), float)
    if not np.all(np.isfinite(gradient)):
        raise Hint(
            f"The value is right, but the gradient at z = {z32[np.argmin(np.isfinite(gradient))]:.3g} is NaN: `where` "
            "differentiates both branches. Give the unused branch a harmless input with a second `where` inside."
        )
    wrong = np.abs(gradient / slope - 1)
    worst = int(np.argmax(wrong))
    if wrong[worst] > 1e-3:
        why = (
            "A constant near 0 has no gradient; keep more terms of the series."
            if gradient[worst] == 0
            else "Move the seam, or keep more terms."
        )
        raise Hint(
            f"The values are right; the gradient at z = {z32[worst]:.3g} is {gradient[worst]:.6g} instead of "
            f"{slope[worst]:.6g}. {why}"
        )
    return f"values to {error.max():.0e} and gradients to {wrong.max():.0e}, from |z| = 0 to 5, in float32."


def _recur(decay: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """x_t = decay_t x_{t-1} + inputs_t from x = 0, in float64: (T, P)."""
    x, states = np.zeros(decay.shape[1], complex), []
    for a, b in zip(decay, inputs, strict=True):
        x = a * x + b
        states.append(x)
    return np.array(states)


def _stalling_camera(answer: Callable) -> tuple[float, float]:
    """R squared of chapter 2's delay readout when the camera stalls: with each gap's own step, and with the mean step."""
    rng = np.random.default_rng(1)
    frequency, phase = rng.uniform(0.05, 1, (2, 12)), rng.uniform(0, 2 * np.pi, (2, 12))
    t = np.arange(1, 3001) / 50

    def signal(t: np.ndarray, which: int) -> np.ndarray:
        return np.cos(2 * np.pi * frequency[which] * t[:, None] + phase[which]).sum(axis=1) / np.sqrt(6)

    def features(t: np.ndarray, durations: np.ndarray, which: int) -> np.ndarray:
        x = np.asarray(answer(Lambda, B_tilde, signal(t, which), durations))[t > 5]
        return np.concatenate([x.real, x.imag], axis=1)

    Lambda, V = hippo_eig(32)
    B_tilde = V.conj().T @ hippo_legs(32)[1]
    X, Y = features(t, np.full(len(t), 1 / 50), 0), signal(t[t > 5] - 0.5, 0)
    readout = np.linalg.solve(X.T @ X + 1e-3 * len(X) * np.eye(32), X.T @ Y)
    kept = t[rng.random(len(t)) < np.where(t % 4 < 2, 1, 0.15)]
    gaps, truth = np.diff(kept, prepend=0), signal(kept[kept > 5] - 0.5, 1)
    own, mean = (features(kept, steps, 1) @ readout for steps in (gaps, np.full(len(gaps), gaps.mean())))
    explained = [float(1 - np.mean((guess - truth) ** 2) / np.var(truth)) for guess in (own, mean)]
    return explained[0], explained[1]


@graded
def check_run_uneven(answer: Callable) -> str:
    """Exercise 02-4: a step for each sample; then what a readout fitted on even samples makes of a camera that stalls."""
    rng = np.random.default_rng(0)
    Lambda, B_tilde = np.array([-0.5 + 2j, -1 + 0.3j]), np.array([1.0 + 0.5j, -2.0])
    values, gaps = rng.normal(size=(30, 1)), rng.uniform(0.05, 0.6, (30, 1))

    def states(gaps: np.ndarray, values: np.ndarray = values) -> np.ndarray:
        return _recur(np.exp(Lambda * gaps), np.expm1(Lambda * gaps) / Lambda * B_tilde * values)

    right = states(gaps)
    mistakes = {
        "You used one duration for every sample; each has its own.": states(np.full((30, 1), gaps.mean())),
        "Off by one: durations[t] leads up to sample t; you used the one after it.": states(np.roll(gaps, -1, axis=0)),
        "Off by one: durations[t] leads up to sample t; you used the one before it.": states(np.roll(gaps, 1, axis=0)),
        "You held the sample before over each gap; as in section 1, the one at a gap's end stands for all of it.": states(
            gaps, np.concatenate([np.zeros((1, 1)), values[:-1]])
        ),
        "That is forward Euler; hold the input and solve exactly.": _recur(1 + Lambda * gaps, gaps * B_tilde * values),
        "The decay is right. The input is held over the whole gap, so it needs (exp(λΔ) - 1)/λ and not Δ.": _recur(
            np.exp(Lambda * gaps), gaps * B_tilde * values
        ),
        "The decay is right, but the input is not held: it needs the factor (exp(λΔ) - 1)/λ.": _recur(
            np.exp(Lambda * gaps), B_tilde * values
        ),
        "These are the states before each sample; states[t] has already read values[t].": np.roll(right, 1, axis=0)
        * (gaps != gaps[0]),
    }
    result = call(answer, Lambda, B_tilde, values[:, 0], gaps[:, 0])
    compare(result, right, mistakes, what="The array of states", rtol=1e-3, atol=1e-4)
    own, mean = _stalling_camera(answer)
    score = f"R² = {own:.2f} with each gap's own step; with the mean gap it has {mean:.2f}"
    return f"when the camera stalls every other two seconds, the readout of section 6 keeps {score}."
