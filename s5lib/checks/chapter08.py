"""Graders of chapter 8: many worlds."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from s5lib.checks.grading import Hint, call, compare, graded
from s5lib.envs.tasks import TRAIN

__all__ = ["check_answer_for", "check_leave_out", "check_permutation", "check_world_size"]


@graded
def check_answer_for(answer: Callable) -> str:
    """Exercise 08-1: the shortest answer that makes a projected world do what is wanted."""
    rng = np.random.default_rng(8)
    for rows, columns in ((2, 2), (1, 2), (2, 5), (1, 1)):
        for _ in range(3):
            M_a, wanted = rng.normal(size=(rows, columns)), rng.normal(size=rows)
            right = np.linalg.pinv(M_a) @ wanted
            value = np.asarray(call(answer, M_a, wanted), dtype=float)
            if value.shape != (columns,):
                raise Hint(
                    f"`M_a` is ({rows}, {columns}), so the answer has shape `({columns},)`; got `{value.shape}`."
                )
            mistakes = {
                "The transpose undoes a matrix only where its rows are orthonormal; this one's are not.": M_a.T
                @ wanted,
                "That is M_a times something: the world applies `M_a` to your answer, so you have to undo it.": (
                    M_a[:, :rows] @ wanted if rows == columns else np.full(columns, np.nan)
                ),
            }
            reached = np.allclose(M_a @ value, wanted, rtol=1e-3, atol=1e-5)
            if reached and np.linalg.norm(value) > 1.001 * np.linalg.norm(right):
                raise Hint(
                    "It does what is wanted, but a shorter answer does too. Of all answers with M_a a = u take the one of least "
                    "norm: what lies in the null space of `M_a` moves nothing."
                )
            compare(value, right, mistakes, what=f"For M_a of {rows} x {columns}, the answer", rtol=1e-3, atol=1e-5)
    return "what is wanted comes out, and nothing is wasted. An agent that knew `M_a` would do this at every step."


@graded
def check_world_size(answer: Callable) -> str:
    """Exercise 08-2: how many numbers a world observes, from what is seen of it."""
    rng = np.random.default_rng(8)
    for size in (4, 5, 9, 12, 1):
        own = rng.normal(size=(400, size)) * rng.uniform(0.2, 2, size)
        seen = (own @ rng.normal(size=(12, size)).T).astype(np.float32)
        value = np.asarray(call(answer, seen))
        if value.shape != ():
            raise Hint(f"Return one number; got an array of shape `{value.shape}`.")
        if value == size:
            continue
        if value == 12:
            raise Hint(
                f"You say 12 for a world of {size}. Mixtures of {size} numbers span no more than {size} directions; what a "
                "singular value has beyond that is rounding, some 1e-7 of the largest."
            )
        raise Hint(
            f"You say {value} for a world that observes {size} numbers. Count singular values that are not nothing."
        )
    return "the sizes of five worlds, from mixtures. So an agent could tell a cart pole from a point mass by counting."


def _deals(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The difference of means for every way to deal the pooled numbers to the two groups; the true one is the first."""
    pooled, everyone = np.concatenate([one, other]), set(range(len(one) + len(other)))
    found = []
    for chosen in itertools.combinations(sorted(everyone), len(one)):
        rest = sorted(everyone - set(chosen))
        found.append(pooled[list(chosen)].mean() - pooled[rest].mean())
    return np.array(found)


@graded
def check_permutation(answer: Callable) -> str:
    """Exercise 08-3: how often chance alone would part two groups of seeds as far."""
    rng = np.random.default_rng(83)
    for size, apart in ((5, 0.0), (5, 1.5), (4, 4.0), (3, 0.7)):
        one, other = rng.normal(size=size) + apart, rng.normal(size=size)
        deals = _deals(one, other)
        as_far = np.abs(deals) >= abs(deals[0]) - 1e-9
        right = as_far.mean()
        mistakes = {
            "That is one-sided: count the deals that part the means as far in *either* direction.": (
                deals >= deals[0] - 1e-9
            ).mean(),
            "That is one-sided, and on the wrong side.": (deals <= deals[0] + 1e-9).mean(),
            "The deal that happened is one of them: as far *or* farther.": (
                np.abs(deals) > abs(deals[0]) + 1e-9
            ).mean(),
            "That is the share of deals that part the means *less*.": 1 - right,
            "That is a count; divide by the number of deals.": float(as_far.sum()),
            "Divide by the number of deals, and by nothing else.": (as_far.sum() + 1) / (len(deals) + 1),
        }
        wrong = {hint: bad for hint, bad in mistakes.items() if not np.isclose(bad, right)}
        value = np.asarray(call(answer, one.copy(), other.copy()), dtype=float)
        if (
            value.shape == ()
            and 1e-5 < abs(value - right) < 0.03
            and not any(np.isclose(value, bad) for bad in wrong.values())
        ):
            raise Hint(
                f"Close: {value:.4f}. With {len(deals)} deals there is no need to draw some at random: go through all."
            )
        compare(value, right, wrong, what=f"For {size} seeds against {size}, the p-value", rtol=1e-6)
    return "with five seeds against five the smallest p there is is 2/252 = .008; with three against three it is .1."


@graded
def check_leave_out(answer: Callable) -> str:
    """Exercise 08-4: a config that trains on all worlds but one, and is scored on that one."""
    from s5lib import experiments  # loaded here: the other graders do without a learner

    for memory in ("s5", "none"):
        config = experiments.get(f"projected-worlds-{memory}", "cpu").config
        for world in (TRAIN[0], TRAIN[3]):
            found: Any = call(answer, config, world)
            if type(found) is not type(config):
                raise Hint(f"Return a PPOConfig: `dataclasses.replace(config, ...)`; got `{type(found).__name__}`.")
            options, judged = dict(found.env_options), {**dict(found.env_options), **dict(found.eval_env_options)}
            others = tuple(name for name in TRAIN if name != world)
            if options.get("worlds") is None:
                raise Hint("It still trains on all six: put `worlds` among its `env_options`.")
            if world in options["worlds"]:
                raise Hint(f"It still trains on {world}.")
            if sorted(options["worlds"]) != sorted(others):
                raise Hint(f"It should train on {', '.join(others)}; it trains on {', '.join(options['worlds'])}.")
            if tuple(judged.get("worlds", ())) != (world,):
                raise Hint(f"It should be scored on {world} alone: `worlds` among its `eval_env_options` says where.")
            if not judged.get("held_out"):
                raise Hint("It is scored on projections of training: keep `held_out` among its `eval_env_options`.")
            if found.num_envs % len(others):
                raise Hint(
                    f"{found.num_envs} environments are no equal shares of five worlds. `num_envs` must be a multiple of 5, and "
                    "`num_minibatches` must divide it."
                )
            same = ("memory", "features", "memory_options", "lr", "total_steps", "num_steps")
            for name in same:
                if getattr(found, name) != getattr(config, name):
                    raise Hint(f"`{name}` changed too. To compare two runs, change nothing that need not be changed.")
    return "five worlds to learn from, one to be judged by. Now let it run, on a machine with time."
