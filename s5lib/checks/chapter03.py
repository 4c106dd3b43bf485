"""Graders of chapter 3: the resettable scan."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from s5lib.checks.grading import Hint, call, compare, graded, parts, same
from s5lib.scan import linear_operator, resettable

__all__ = [
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
    pairs = {
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
    }
    for hint, wrong in pairs.items():
        if same([a, b], wrong):
            raise Hint(hint)
    for name, value, right in (("a", a, 1 / 4), ("b", b, 6.5)):
        compare(np.asarray(value, dtype=float), right, what=f"`{name}`")
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

    def tested(operator: Callable) -> Any:
        """The reader's verdict; plain numbers and bools are arrays to the operator."""
        return call(answer, lambda left, right: operator(*jax.tree.map(jnp.asarray, (left, right))))

    for operator in right * 3:
        verdict = tested(operator)
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
        if tested(operator):
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
