"""Graders for the book's exercises: ``check_<exercise>(answer)`` says whether an answer is right, or gives a hint.

A check never raises. It is written as a function that raises ``Hint`` where the answer is wrong and returns a sentence
where it is right; ``@graded`` makes the ``Verdict`` of it, and turns a stub or an error inside the answer into a hint.

Each chapter has a section below and adds its own names there: ``__all__ += [...]``.
"""

import functools
import html
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from s5lib.hippo import hippo_eig, hippo_legs, hippo_normal, legs_reconstruct
from s5lib.s5 import PreparedSSM
from s5lib.scan import linear_operator, resettable

__all__ = ["Verdict"]


@dataclass(frozen=True)
class Verdict:
    """What a check found. It is true when the answer is right, and shows itself in a notebook.

    Attributes:
        passed: whether the answer is right.
        message: what was right about it, or a hint.
    Example:
        >>> Verdict(False, "the sign is flipped.")
        Not yet: the sign is flipped.
        >>> bool(Verdict(True, "the two agree."))
        True
    """

    passed: bool
    message: str

    def __bool__(self) -> bool:
        return self.passed

    def _parts(self) -> tuple[str, str]:
        head, _, rest = self.message.partition(": ")
        return (head, rest) if head == "Not written yet" else ("Passed" if self.passed else "Not yet", self.message)

    def __repr__(self) -> str:
        return ": ".join(self._parts())

    def _repr_html_(self) -> str:
        # Its own background and text colour: the card reads the same on a light and on a dark page.
        edge, ground, ink = ("#1a7f37", "#e3f5e7", "#0b3d1a") if self.passed else ("#b97700", "#fff3d1", "#4a3000")
        card = f"border-left:.35em solid {edge};background:{ground};color:{ink};padding:.6em .9em;border-radius:.25em"
        code = '<code style="color:inherit;background:none;border:0;padding:0">'
        head, text = self._parts()
        text = re.sub(r"`([^`]+)`", rf"{code}\1</code>", html.escape(text))
        head = f'<strong style="color:inherit">{"&#10003;" if self.passed else "&#8230;"} {head}:</strong>'
        return f'<div class="s5lib-verdict" role="status" style="{card}">{head} {text}</div>'


class Hint(Exception):
    """Raised inside a check where the answer is wrong; its text is what the reader sees."""


NOT_WRITTEN = "Not written yet: replace the stub with your own code, run it, then run this cell again."


def graded(check: Callable[..., str]) -> Callable[..., Verdict]:
    """Make a check of a function that returns a sentence when the answer is right and raises ``Hint`` when it is not.

    An answer that is None or ``...``, or that raises NotImplementedError, is "not written yet". Any other exception
    becomes a hint that names it.
    """

    @functools.wraps(check)
    def verdict(answer: Any, *args: Any, **options: Any) -> Verdict:
        if answer is None or answer is Ellipsis:
            return Verdict(False, NOT_WRITTEN)
        try:
            return Verdict(True, check(answer, *args, **options))
        except NotImplementedError:
            return Verdict(False, NOT_WRITTEN)
        except Hint as hint:
            return Verdict(False, str(hint))
        except Exception as error:
            text = str(error).strip().split("\n")[0][:300]
            return Verdict(False, f"Your answer raised {type(error).__name__}: {text or 'no message'}")

    return verdict


def call(answer: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Call the reader's function; one that returns None or ``...`` counts as not written yet."""
    if not callable(answer):
        raise Hint(f"Pass the function itself, without calling it; got a value of type `{type(answer).__name__}`.")
    result = answer(*args, **options)
    if result is None or result is Ellipsis:
        raise NotImplementedError
    return result


def parts(result: Any, count: int, what: str) -> tuple:
    """Return the ``count`` values of a tuple that the reader's function should return, or hint that it should."""
    if not isinstance(result, tuple | list) or len(result) != count:
        got = f"{len(result)} values" if isinstance(result, tuple | list) else f"one `{type(result).__name__}`"
        raise Hint(f"Return {count} values, {what}; your function returned {got}.")
    return tuple(result)


def same(value: Any, expected: Any, rtol: float = 1e-4, atol: float = 1e-5) -> bool:
    """True when both have one shape and agree within the tolerances; values that are no numbers never agree."""
    try:
        value, expected = np.asarray(value), np.asarray(expected)
        return value.shape == expected.shape and bool(np.allclose(value, expected, rtol=rtol, atol=atol))
    except (TypeError, ValueError):
        return False


def compare(
    value: Any,
    expected: Any,
    mistakes: Mapping[str, Any] | None = None,
    *,
    what: str = "Your answer",
    rtol: float = 1e-4,
    atol: float = 1e-5,
) -> None:
    """Raise a ``Hint`` unless ``value`` equals ``expected``.

    Args:
        value: what the reader's code gave.
        expected: the right value, an array or a number.
        mistakes: hint -> the value that this mistake leads to. The first that matches is the hint given.
        what: how messages call the value.
        rtol, atol: tolerances, as in ``np.allclose``.
    """
    if same(value, expected, rtol, atol):
        return
    for hint, wrong in (mistakes or {}).items():
        if same(value, wrong, rtol, atol):
            raise Hint(hint)
    expected = np.asarray(expected)
    try:
        value = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise Hint(f"{what} is not an array: {error}") from error
    if value.dtype.kind not in "biufc":
        raise Hint(f"{what} should hold numbers; it has dtype `{value.dtype}`.")
    if value.shape != expected.shape:
        raise Hint(f"{what} has shape `{value.shape}`; it should have shape `{expected.shape}`.")
    if not np.all(np.isfinite(value)) and np.all(np.isfinite(expected)):
        raise Hint(f"{what} holds {np.sum(~np.isfinite(value))} NaN or infinite value(s).")
    if value.dtype.kind == "c" and expected.dtype.kind != "c" and np.abs(value.imag).max() > atol:
        raise Hint(f"{what} is complex; it should be real.")
    if expected.shape == ():
        raise Hint(f"{what} is {value:.6g}, which is not right." if value.dtype.kind != "b" else f"{what} is {value}.")
    wrong = ~np.isclose(value, expected, rtol=rtol, atol=atol)
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    place = ", ".join(map(str, first))
    raise Hint(
        f"{what} differs from the right one in {wrong.sum()} of {wrong.size} places, first at `[{place}]`: "
        f"{value[first]:.6g} instead of {expected[first]:.6g}."
    )


# --- chapter 1

__all__ += ["check_best_step", "check_fade_step", "check_kernel_from_half", "check_recall"]


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


# --- chapter 2
__all__ += ["check_largest_euler_step", "check_phi_2", "check_run_uneven", "check_step_for_half_life"]


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

    def states(gaps: np.ndarray) -> np.ndarray:
        return _recur(np.exp(Lambda * gaps), np.expm1(Lambda * gaps) / Lambda * B_tilde * values)

    right = states(gaps)
    mistakes = {
        "You used one duration for every sample; each has its own.": states(np.full((30, 1), gaps.mean())),
        "Off by one: durations[t] leads up to sample t; you used the one after it.": states(np.roll(gaps, -1, axis=0)),
        "Off by one: durations[t] leads up to sample t; you used the one before it.": states(np.roll(gaps, 1, axis=0)),
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


# --- chapter 3
__all__ += [
    "check_discounted_returns",
    "check_law_test",
    "check_leak_length",
    "check_merged_element",
    "check_resets_from_flags",
]


@graded
def check_merged_element(answer: Any) -> str:
    """Exercise 03-1: three steps, the second of which opens an episode, as one element (a, b, flag)."""
    a, b, flag = parts(answer, 3, "(a, b, flag)")
    compare(
        [a, b],
        [1 / 4, 6.5],
        {
            "That is the merge without any reset: the second step opens an episode, so the first is dropped.": [
                1 / 8,
                6.75,
            ],
            "b is right. The decay of the step that opens the episode stays in the element; the flag does the cutting.": [
                0,
                6.5,
            ],
            "You dropped the input of the second step too. Only the state from before it is dropped.": [1 / 4, 5],
            "That is the third step alone: the episode opens at the second.": [1 / 2, 5],
            "That is the other order: the earlier step is applied first.": [1 / 4, 5.5],
            "Three steps in b, but the right a: the first step's input must go as well.": [1 / 4, 6.75],
        },
        what="The pair (a, b)",
    )
    if not isinstance(flag, bool | np.bool_ | int) or flag not in (0, 1):
        raise Hint(f"The flag should be True or False; yours is {flag!r}.")
    if not flag:
        raise Hint("a and b are right. But an episode opens inside this element: its flag is joined by *or*.")
    return "x -> x/4 + 6.5, and the flag says that no earlier x may come in."


def _flagged(flag_of: Callable, drop: Callable = lambda left, right: right) -> Callable:
    """An operator on ((a, b), flag): drops the left element where ``drop`` says so, joins the flags by ``flag_of``."""

    def combine(left: Any, right: Any) -> Any:
        ((a_l, b_l), f_l), ((a_r, b_r), f_r) = left, right
        gone = drop(f_l, f_r)
        return (a_r * jnp.where(gone, 1, a_l), a_r * jnp.where(gone, 0, b_l) + b_r), flag_of(f_l, f_r)

    return combine


@graded
def check_law_test(answer: Callable) -> str:
    """Exercise 03-2: the reader's law test must pass right operators and find what is wrong with the others."""

    def join(left: Any, right: Any) -> Any:
        return left | right

    def chosen_after(left: Any, right: Any) -> Any:
        element = linear_operator(left[0], right[0])
        return tuple(jnp.where(right[1], own, both) for own, both in zip(right[0], element, strict=True)), (
            left[1] | right[1]
        )

    right = [resettable(linear_operator, (1.0, 0.0)), _flagged(join), chosen_after]
    for operator in right * 3:
        verdict = call(answer, operator)
        if np.shape(verdict) != () or np.asarray(verdict).dtype.kind != "b":
            raise Hint(f"Return one bool, True or False; your test returned `{type(verdict).__name__}`.")
        if not verdict:
            raise Hint(
                "Your test turns away a right operator. In float32 the two bracketings round differently: compare with a tolerance."
            )
    wrong = {
        "keeps only the right flag. It fails when y is up and z is down.": _flagged(lambda left, right: right),
        "joins flags by *exclusive or*. It fails only where two neighbouring flags are up: try all eight patterns.": _flagged(
            lambda left, right: left ^ right
        ),
        "drops the left element when the *left* flag is up.": _flagged(join, drop=lambda left, right: left),
        "forgets to multiply the decays. It fails even with all flags down.": lambda left, right: (
            (right[0][0], _flagged(join)(left, right)[0][1]),
            left[1] | right[1],
        ),
        "breaks the law in `a` alone: compare every part.": lambda left, right: (
            (left[0][0] - right[0][0], right[0][1]),
            left[1] | right[1],
        ),
        "breaks the law in its flags alone: compare the flags too.": lambda left, right: (
            right[0],
            left[1] & ~right[1],
        ),
    }
    for fault, operator in wrong.items():
        if call(answer, operator):
            raise Hint(f"Your test lets through an operator that {fault}")
    return f"your test passed {len(right)} right operators and caught all {len(wrong)} wrong ones."


@graded
def check_resets_from_flags(answer: Callable) -> str:
    """Exercise 03-3: resets, known before each step, from flags that are known after it."""
    rng = np.random.default_rng(3)
    for T, B in ((40, 3), (12, 1), (1, 3)):
        terminated = rng.random((T, B)) < 0.2
        truncated = (rng.random((T, B)) < 0.2) & ~terminated
        prev = np.arange(B) % 2 == 0
        ended = terminated | truncated

        def after(first: Any, flags: Any) -> Any:
            return np.concatenate([np.broadcast_to(first, flags[:1].shape), flags[:-1]])

        right = after(prev, ended)
        later = np.concatenate([ended[1:], np.zeros((1, ended.shape[1]), bool)])
        mistakes = {
            "These are the flags of after the step, unmoved: an episode that ends with step t opens the next at t+1.": ended,
            "You moved the flags the wrong way. What ends at t-1 makes t an opening.": later,
            "You moved the flags the wrong way, and `roll` wraps around besides.": np.roll(ended, -1, axis=0),
            "`roll` wraps: your first row comes from the end of this rollout. It is `prev_ended`.": np.roll(
                ended, 1, axis=0
            ),
            "The first row is `prev_ended`, not False: an episode may open exactly where the rollout begins.": after(
                False, ended
            ),
            "The first row is `prev_ended`, not True: a rollout may begin in the middle of an episode.": after(
                True, ended
            ),
            "A truncated episode is over too. The memory must be emptied after it.": after(prev, terminated),
            "You used only `truncated`; a terminated episode is over as well.": after(prev, truncated),
            "Upside down: True is where an episode opens.": ~right,
            "Two steps late: move the flags by one.": after(prev, after(prev, ended)),
        }
        value = np.asarray(call(answer, jnp.asarray(terminated), jnp.asarray(truncated), jnp.asarray(prev)))
        compare(value, right, mistakes if T > 1 else None, what=f"resets for T = {T}, B = {B}")
        if value.dtype != np.bool_:
            raise Hint(f"The values are right; resets should be bool, yours have dtype `{value.dtype}`.")
    return "the memory is emptied exactly where an episode opens, also where the rollout begins."


@graded
def check_discounted_returns(answer: Callable) -> str:
    """Exercise 03-4: the discounted returns of a packed rollout by a reversed scan."""
    rng = np.random.default_rng(4)
    rewards, value = rng.normal(size=(30, 4)).astype(np.float32), np.array([2.0, -1.0, 3.0, 0.5], np.float32)
    opens, gamma = rng.random((30, 4)) < 0.15, 0.9

    def returns(following: Any, last: Any, gamma: float = gamma) -> np.ndarray:
        """``following[t]`` is True where what comes after t does not count."""
        G, out = np.asarray(last, np.float64), np.zeros((30, 4))
        for t in range(29, -1, -1):
            G = rewards[t] + gamma * np.where(following[t], 0, G)
            out[t] = G
        return out

    ends = np.concatenate([opens[1:], np.zeros((1, 4), bool)])
    x, forwards = np.asarray(value, np.float64), []
    for t in range(30):
        x = rewards[t] + gamma * np.where(opens[t], 0, x)
        forwards.append(x)
    mistakes = {
        "That runs forward in time: a return looks ahead. `linear_scan` has an option for it.": np.array(forwards),
        "Rewards of the next episode leak into this one: pass `resets`.": returns(np.zeros_like(ends), value),
        "What follows the last step is missing: `next_value` is where the scan starts.": returns(ends, 0 * value),
        "You cut at the flag's own step. G_t is cut where t+1 opens; `reverse=True` already sees to that.": returns(
            opens, value
        ),
        "You moved the flags, and `linear_scan` moves them too: with `reverse=True` it cuts t from t+1 by itself.": returns(
            np.concatenate([opens[2:], np.zeros((2, 4), bool)]), value
        ),
        "The discount is missing.": returns(ends, value, 1.0),
    }
    result = call(answer, jnp.asarray(rewards), jnp.asarray(opens), gamma, jnp.asarray(value))
    compare(result, returns(ends, value), mistakes, what="The array of returns", rtol=1e-3, atol=1e-4)
    return "a whole rollout's returns in one call."


@graded
def check_leak_length(answer: Any) -> str:
    """Exercise 03-5: steps until a state with Re lambda = -1/2 and step size 0.001 has fallen below one percent."""
    right = np.log(100) / 0.0005
    value = np.asarray(answer, dtype=float)
    compare(
        value,
        right,
        {
            "Twice as long: the real part is -1/2, so the state falls by exp(-0.0005) per step.": right / 2,
            "That is where the *real part* first falls below 0.01: the state turns as it fades. Take its size, |x|.": np.arccos(
                0.01
            )
            / np.pi
            * 1000,
            "That is the half-life. Asked is the fall to one percent.": np.log(2) / 0.0005,
            "That is the time in units of the continuous system. One step is 0.001 of it.": right / 1000,
            "That is the fall to 1/e. Asked is the fall to one percent.": 2000.0,
        },
        what="The number of steps",
        rtol=3e-3,
        atol=0,
    )
    return f"about {right:.0f} steps: one leak would reach through some {right / 32:.0f} of our episodes."


# --- chapter 4
__all__ += ["check_block_parameters", "check_block_start", "check_s5_step", "check_steps_to_overflow"]


@graded
def check_block_parameters(answer: float) -> str:
    """Exercise 04-1: the real parameters of S5Block(S5SSM(features=100, state_size=40))."""
    H, N = 100, 40
    P = N // 2
    ssm, norm, gate = 3 * P + 4 * P * H + H, 2 * H, 2 * H * H + 2 * H
    mistakes = {
        "You counted N complex states; of each conjugate pair one is kept, so P = N/2.": ssm * 2 - H + norm + gate,
        "A complex number counts as two: B_tilde and C_tilde have P·H complex entries each, Lambda has P.": 2 * P
        + 2 * P * H
        + H
        + norm
        + gate,
        "That is the SSM alone; the block also has a layer norm and the dense layer of the gate.": ssm,
        "2H numbers are missing: the layer norm's scale and bias, or the bias of the gate's dense layer.": ssm + gate,
        "The gate is missing: a dense layer from H to 2H.": ssm + norm,
        "`full_glu` needs a value and a gate, so its dense layer goes from H to 2H.": ssm + norm + H * H + H,
        "The skip weights D are missing: one for each feature.": ssm - H + norm + gate,
        "The steps are missing: each state has a log_step of its own.": ssm - P + norm + gate,
    }
    compare(np.asarray(answer, dtype=float), ssm + norm + gate, mistakes, what="The number", rtol=0, atol=0.5)
    return f"{ssm} in the SSM, {norm} in the norm, {gate} in the gate: the gate has {gate / (ssm + norm + gate):.0%} of them."


@graded
def check_s5_step(answer: Callable) -> str:
    """Exercise 04-2: one step of S5SSM from its prepared matrices, with resets."""
    rng = np.random.default_rng(4)
    B, P, H = 5, 4, 3
    Lambda_bar, B_stacked, C_stacked = (
        rng.random(P) * np.exp(1j * np.arange(P)),
        rng.random((H, 2 * P)),
        rng.random((2 * P, H)),
    )
    carry, u, D = (
        rng.normal(size=(B, P)) + 1j * rng.normal(size=(B, P)),
        rng.normal(size=(B, H)),
        np.array([1.0, -2.0, 0.5]),
    )
    reset = np.array([True, False, False, True, False])
    driven, kept = u @ B_stacked @ np.vstack([np.eye(P), 1j * np.eye(P)]), np.where(reset[:, None], 0, carry)
    state = Lambda_bar * kept + driven

    def read(state: np.ndarray) -> np.ndarray:
        return np.concatenate([state.real, state.imag], axis=-1) @ C_stacked

    def ask(carry: np.ndarray) -> tuple:
        complex_, real = (lambda z: jnp.asarray(z, jnp.complex64)), (lambda z: jnp.asarray(z, jnp.float32))
        prepared = PreparedSSM(complex_(Lambda_bar), real(B_stacked), real(C_stacked))
        result = call(answer, prepared, real(D), complex_(carry), real(u), jnp.asarray(reset))
        return parts(result, 2, "the new carry and the output")

    got_state, got_y = ask(carry)
    states = {
        "The flags are ignored: a state must not see what came before a reset.": Lambda_bar * carry + driven,
        "The reset also erased this step's input. It clears the previous state; the input opens the new episode.": np.where(
            reset[:, None], 0, state
        ),
        "The flags are upside down: True means that this input opens an episode.": Lambda_bar * (carry - kept) + driven,
        "The input is not added to the state.": Lambda_bar * kept,
        "The state is not multiplied by Lambda_bar.": kept + driven,
    }
    compare(got_state, state, states, what="The new carry", rtol=1e-3)
    outputs = {
        "The output lacks D * u, what passes by the state.": read(state),
        "The output reads the previous state; it should read the new one.": read(kept) + D * u,
        "The factor 2 of the conjugates is inside C_stacked already.": 2 * read(state) + D * u,
    }
    compare(got_y, read(state) + D * u, outputs, what="The output", rtol=1e-3, atol=1e-4)
    if not all(np.isfinite(np.asarray(part)).all() for part in ask(np.where(reset[:, None], np.nan, carry))):
        raise Hint(
            "A NaN in the carry survives the reset: `0 * nan` is NaN. Select with `jnp.where`, before multiplying."
        )
    return "equal to S5SSM's own step, and a reset stops NaN."


@graded
def check_block_start(answer: Callable) -> str:
    """Exercise 04-3: eigenvalues and eigenvectors of J HiPPO blocks; any order, phase and half of the pairs will do."""
    for N, J in ((8, 2), (12, 3), (16, 1)):
        result = parts(call(answer, N, J), 2, "Lambda and V")
        Lambda, V = np.asarray(result[0]), np.asarray(result[1])
        where = f"For N = {N}, J = {J}: "
        size, P = N // J, N // 2
        if Lambda.shape == (N,):
            raise Hint(f"{where}keep one of each conjugate pair: Lambda should have shape `({P},)`.")
        if Lambda.shape == (size // 2,) and J > 1:
            raise Hint(f"{where}that is one block; Lambda needs the eigenvalues of all {J}.")
        if Lambda.shape != (P,) or V.shape != (N, P):
            raise Hint(
                f"{where}Lambda has shape `{Lambda.shape}` and V `{V.shape}`; they should have `({P},)` and `({N}, {P})`."
            )
        if Lambda.real.max() > 0:
            raise Hint(f"{where}the real parts are positive; a state that forgets has Re λ < 0, here -1/2.")
        S = np.kron(np.eye(J), hippo_normal(size))
        if J > 1 and same(np.sort(np.abs(Lambda.imag)), np.sort(hippo_eig(N)[0].imag), rtol=1e-3):
            raise Hint(
                f"{where}that is one HiPPO matrix of size N; each block has a HiPPO matrix of size N/J of its own."
            )
        if not same(S @ V, V * Lambda, rtol=1e-3, atol=1e-3 * np.abs(S).max()):
            alone = same(np.sort(np.abs(Lambda.imag)), np.sort(np.tile(hippo_eig(size)[0].imag, J)), rtol=1e-3)
            why = (
                "the eigenvalues are right, but not in the order of V's columns (did you use repeat instead of tile?), "
                "or V's blocks are not down the diagonal."
                if alone
                else "S V differs from V diag(Lambda)."
            )
            raise Hint(where + why)
        if not same(V.conj().T @ V, np.eye(P), rtol=0, atol=1e-3):
            raise Hint(f"{where}V solves S V = V diag(Lambda), but its columns are not orthonormal.")
        if np.abs(V.T @ V).max() > 1e-3:
            raise Hint(f"{where}some pair is there twice and another not at all: keep one of each.")
    return "V diag(Lambda) V*, with its conjugate added, is the block-diagonal matrix."


@graded
def check_steps_to_overflow(answer: Callable) -> str:
    """Exercise 04-4: how long a growing state stays finite in float32."""
    for growth, step in ((0.5, 0.1), (0.2, 0.5)):
        right = np.log(np.finfo(np.float32).max) / (growth * step)
        mistakes = {
            "It never overflowed: is `clip_eigs=False`, and is `Lambda_re` really set to the growth?": 1.0,
            "You forgot the step: growth is per unit of time, and each sample lasts `step`.": right * step,
            "That is float64's limit; the layer computes in float32.": np.log(np.finfo(np.float64).max)
            / (growth * step),
        }
        value = np.asarray(call(answer, growth, step), dtype=float)
        if value.shape != ():
            raise Hint(f"Return one number of time steps; got an array of shape `{value.shape}`.")
        for hint, wrong in mistakes.items():
            if abs(value / wrong - 1) < 0.1:
                raise Hint(hint)
        if not np.isfinite(value) or abs(value / right - 1) > 0.1:
            raise Hint(
                f"For growth {growth} and step {step} you have {value:g} time steps; a state that grows as exp(growth·step·t) "
                "passes 3.4e38 elsewhere. Did you run long enough, and look at the first step that is not finite?"
            )
    return f"about ln(3.4e38) / (growth·step): {right:.0f} time steps for growth {growth} and step {step}."
