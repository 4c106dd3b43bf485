"""Every check passes right answers, knows a stub, gives each plausible mistake its own hint, and never raises."""

import numpy as np
import pytest

from s5lib import checks
from s5lib.checks.grading import Hint, Verdict, call, compare, graded, parts
from tests.checks.grading import assert_graded, stub


@graded
def check_double(answer):
    for x in (3.0, np.arange(4.0)):
        compare(call(answer, x), 2 * x, {"That is the square.": x**2, "You returned x itself.": x})
    return "it doubles."


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
    assert repr(good) == "Passed: it runs." and repr(bad).startswith("Not yet: use")
    assert repr(check_double(...)).startswith("Not written yet: replace the stub")
    assert "Not written yet:</strong> replace" in check_double(...)._repr_html_()
    assert "a &lt; b</code> &amp; think" in bad._repr_html_()
    assert "background:" in good._repr_html_() and "color:" in good._repr_html_()


def test_every_check_is_public():
    names = [name for name in vars(checks) if name.startswith("check_")]
    assert sorted(set(checks.__all__)) == sorted([*names, "Verdict"])
