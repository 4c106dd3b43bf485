"""The graders of chapter 7: right answers, the stub, and plausible mistakes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from s5lib import checks, envs, ppo
from tests.checks.grading import assert_graded, stub


def flags(ended, trials):
    terminated = ended & (np.cumsum(ended) % trials == 0)
    return np.concatenate([[True], terminated[:-1]]), terminated


def test_trial_flags():
    def after(ended):
        return np.concatenate([[True], ended[:-1]])

    def loop(ended, trials):
        count, resets, terminated, opens = 0, [], [], True
        for end in ended:
            resets.append(opens)
            count += end
            opens = bool(end) and count == trials
            count = 0 if opens else count
            terminated.append(opens)
        return resets, terminated

    assert_graded(
        checks.check_trial_flags,
        right=[flags, loop, lambda *args: [jnp.asarray(part) for part in flags(*args)]],
        wrong=[
            lambda ended, trials: (after(ended), flags(ended, trials)[1]),
            lambda ended, trials: (after(ended), ended),
            lambda ended, trials: (flags(ended, trials)[0], ended),
            lambda *args: flags(*args)[1:] * 2,
            lambda *args: (flags(*args)[0] & (np.arange(400) > 0), flags(*args)[1]),
            lambda *args: flags(*args)[::-1],
            lambda *args: flags(*args)[0],
            lambda *args: (flags(*args)[0][:-1], flags(*args)[1]),
            lambda ended, trials: flags(ended, trials + 1),
        ],
        stub=stub,
    )


def test_trial_flags_are_the_environments():
    """The exercise's flags are those of a vector of meta-episodes."""
    env = envs.make("ProjectedCartPole", trials=3)
    many = envs.vectorize(env, 4)
    _, state = many.reset(jax.random.key(0))

    def step(state, key):
        act = jax.vmap(env.action_space(env.default_params).sample)(jax.random.split(key, 4))
        _, state, _, terminated, truncated, info = many.step(key, state, act)
        return state, (info["trial_ended"], terminated | truncated)

    _, (ended, over) = jax.lax.scan(step, state, jax.random.split(jax.random.key(1), 300))
    for life in range(4):
        np.testing.assert_array_equal(flags(np.asarray(ended[:, life]), 3)[1], over[:, life])


def price(gamma, n, trials):
    return gamma ** (trials * n) * (1 - gamma**n) / (1 - gamma)


def test_price_of_a_fall():
    def total(gamma, steps):
        return (1 - gamma**steps) / (1 - gamma)

    assert_graded(
        checks.check_price_of_a_fall,
        right=[
            price,
            lambda g, n, K: total(g, (K + 1) * n) - total(g, K * n),
            lambda g, n, K: sum(g**t for t in range(K * n, (K + 1) * n)),
        ],
        wrong=[
            lambda g, n, K: total(g, n),
            lambda g, n, K: total(g, (K + 1) * n),
            lambda g, n, K: total(g, K * n),
            lambda g, n, K: -price(g, n, K),
            lambda g, n, K: n,
            lambda g, n, K: price(g, n, K + 1),
            lambda g, n, K: 0.5,
            lambda g, n, K: "nothing",
        ],
        stub=stub,
    )


def swapped(theta, action, opens, lag=0, apart=True):
    bend = theta[2:] - 2 * theta[1:-1] + theta[:-2]
    within = ~(opens[1:-1] | opens[2:]) if apart else np.ones(len(bend), bool)
    pushed = np.roll(2 * action - 1, lag)[: len(bend)]
    return (bend * pushed)[within].sum() > 0


def test_swapped():
    assert_graded(
        checks.check_swapped,
        right=[
            swapped,
            lambda theta, action, opens: jnp.asarray(swapped(theta, action, opens)),
            lambda theta, action, opens: (
                np.median(
                    ((theta[2:] - 2 * theta[1:-1] + theta[:-2]) * (2 * action[:-2] - 1))[~(opens[1:-1] | opens[2:])]
                )
                > 0
            ),
        ],
        wrong=[
            lambda *args: not swapped(*args),
            lambda *args: swapped(*args, lag=1),
            lambda *args: swapped(*args, apart=False),
            lambda *args: True,
            lambda *args: False,
            lambda theta, action, opens: action == 1,
        ],
        stub=stub,
    )


def gap(config, state, order=(False, True), which="eval_env_options"):
    earned = []
    for held_out in order:
        options = (*getattr(config, which), ("held_out", held_out))
        agent = ppo.make(dataclasses.replace(config, **{which: options}))
        earned.append(agent.evaluate(state)["return"])
    return earned[0] - sum(earned[1:])


def test_generalisation_gap():
    assert_graded(
        checks.check_generalisation_gap,
        right=[gap],
        wrong=[
            lambda *args: gap(*args, order=(True, False)),
            lambda *args: gap(*args, order=(False,)),
            lambda *args: gap(*args, order=(True,)),
            lambda *args: gap(*args, which="env_options"),
            lambda *args: 7.0,
        ],
        stub=stub,
    )
