"""What a grader is made of: a verdict, a hint, and the decorator that turns a check into one that never raises."""

import functools
import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Hint", "Verdict", "call", "compare", "graded", "parts", "same"]


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
