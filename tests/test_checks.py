"""Every check passes right answers, knows a stub, gives each plausible mistake its own hint, and never raises."""

import re

import jax.numpy as jnp
import numpy as np
import pytest

from s5lib import checks
from s5lib.checks import Hint, Verdict, call, compare, graded, parts


@graded
def check_double(answer):
    for x in (3.0, np.arange(4.0)):
        compare(call(answer, x), 2 * x, {"That is the square.": x**2, "You returned x itself.": x})
    return "it doubles."


def assert_graded(check, right, wrong, stub=None):
    """Right answers pass, the stub is not written yet, and the wrong answers each get a hint of their own."""
    for answer in right:
        verdict = check(answer)
        assert isinstance(verdict, Verdict) and verdict.passed, verdict
    for answer in (None, ..., *([stub] if stub else [])):
        verdict = check(answer)
        assert not verdict and verdict.message.startswith("Not written yet"), verdict
    hints = [check(answer) for answer in wrong]
    assert not any(hints), hints
    messages = [verdict.message for verdict in hints]
    assert len(set(messages)) == len(messages), f"two wrong answers share a hint: {messages}"


def stub(*args, **options):
    raise NotImplementedError


def test_graded():
    assert_graded(
        check_double,
        right=[lambda x: 2 * x, lambda x: x + x],
        wrong=[lambda x: x**2, lambda x: x, lambda x: x.shape, lambda x: np.zeros(7), lambda x: "six", lambda: 6, 6.0],
        stub=stub,
    )
    assert check_double(lambda x: x**2).message == "That is the square."
    assert "AttributeError" in check_double(lambda x: x.shape).message
    assert "shape" in check_double(lambda x: np.zeros(7)).message
    assert not check_double(lambda x: None) and "Not written" in check_double(lambda x: ...).message


@pytest.mark.parametrize(
    ("value", "expected", "said"),
    [
        (np.zeros(3), np.zeros((3, 1)), "shape `(3,)`"),
        ([1.0, np.nan], [1.0, 2.0], "NaN"),
        ([1.0, 2.5], [1.0, 2.0], "first at `[1]`: 2.5 instead of 2"),
        ([1.0, 2j], [1.0, 2.0], "complex"),
        ("abc", 1.0, "dtype"),
        ([[1], [2, 3]], [1.0], "not an array"),
        (4.0, 5.0, "is 4, which is not right"),
        (True, False, "is True"),
        ([True, False], [True, True], "first at `[1]`"),
    ],
)
def test_compare(value, expected, said):
    with pytest.raises(Hint) as caught:
        compare(value, expected)
    assert said in str(caught.value)


def test_parts():
    assert parts([1, 2], 2, "a and b") == (1, 2)
    for wrong in (3, (1, 2, 3)):
        with pytest.raises(Hint, match="Return 2 values, a and b"):
            parts(wrong, 2, "a and b")


def test_verdict_shows_itself():
    good, bad = Verdict(True, "it runs."), Verdict(False, "use `a < b` & think")
    assert repr(good) == "Passed: it runs." and repr(bad).startswith("Not yet: ")
    assert "a &lt; b</code> &amp; think" in bad._repr_html_()
    assert "background:" in good._repr_html_() and "color:" in good._repr_html_()


def test_every_check_is_public():
    names = [name for name in vars(checks) if name.startswith("check_")]
    assert sorted(set(checks.__all__)) == sorted([*names, "Verdict"])


# --- chapter 1

# --- chapter 2


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


# --- chapter 3

# --- chapter 4
