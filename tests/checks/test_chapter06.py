"""The graders of chapter 6: right answers, the stub, and plausible mistakes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s5lib import checks, envs, ppo, stats
from s5lib.envs import Environment, make
from tests.checks.grading import assert_graded, stub


def test_return_without_memory():
    right = 2 * 13 / 51 - 1
    assert_graded(
        checks.check_return_without_memory,
        right=[right, -0.490, np.float32(right)],
        wrong=[-0.5, 13 / 51, 2 * 12 / 51 - 1, 2 / 3 - 1, 1.0, "little"],
    )
    # It is what such a player earns: name the next suit after the one in view.
    env = make("RepeatPreviousEasy")
    games = jax.vmap(lambda key: envs.play(env, key, lambda key, state, obs: (obs.argmax() + 1) % 4))
    earned = jax.jit(games)(jax.random.split(jax.random.key(0), 4096)).reward.sum(1)
    assert earned.mean() == pytest.approx(right, abs=4 * float(earned.std()) / 64)


def knot(obs, remember=True, look=True):
    suit, previous, first = obs[:4].argmax(), obs[4:8].argmax(), obs[8] == 1
    return jnp.where(first if remember else True, suit if look else 0, previous)


def test_knot_player():
    assert_graded(
        checks.check_knot_player,
        right=[knot, lambda obs: (obs[:4] * obs[8] + obs[4:8]).argmax(), lambda obs: jnp.int32(knot(obs))],
        wrong=[
            lambda obs: knot(obs, remember=False),
            lambda obs: knot(obs, look=False),
            lambda obs: jnp.where(obs[8] == 1, obs[:4].argmax(), 2),
            lambda obs: obs[:4],
            lambda obs: obs[0],
        ],
        stub=stub,
    )


def count(counts, obs, first, reset=True, late=False, ask=True, off=0):
    K = obs.shape[-1] // 2
    before = jnp.where(first, 0, counts) if reset else counts
    after = before + obs[:K]
    said = (before if late else after) @ (obs[K:] if ask else obs[:K]) + off
    return after, jnp.round(said).astype(int)


def forgets_only_at_the_start():
    state = {"begun": False}

    def step(counts, obs, first):
        begun, state["begun"] = state["begun"] and obs.shape[-1] == state.get("K"), True
        state["K"] = obs.shape[-1]
        return count(counts, obs, first and not begun)

    return step


def test_counting_step():
    assert_graded(
        checks.check_counting_step,
        right=[count, lambda *args: [*count(*args)], lambda c, o, f: count(np.asarray(c), np.asarray(o), bool(f))],
        wrong=[
            lambda *args: count(*args, reset=False),
            forgets_only_at_the_start(),
            lambda *args: count(*args, late=True),
            lambda *args: count(*args, ask=False),
            lambda counts, obs, first: (
                jnp.where(first, 0, counts + obs[: len(counts)]),
                jnp.round(jnp.where(first, 0, counts + obs[: len(counts)]) @ obs[len(counts) :]).astype(int),
            ),
            lambda *args: count(*args, off=1)[1],
            lambda *args: (count(*args)[0][:1], count(*args)[1]),
            lambda *args: (count(*args)[0], count(*args)[0]),
            lambda counts, obs, first: (counts, 3),
        ],
        stub=stub,
    )


def test_suite_score():
    def score(returns, random, best, cut=stats.interquartile_mean):
        return cut(stats.normalised_scores(returns, random, best))

    def trimmed(low, high):
        def cut(scores):
            ordered = np.sort(scores.ravel())
            quarter = len(ordered) // 4
            return ordered[low * quarter : len(ordered) - high * quarter].mean()

        return cut

    assert_graded(
        checks.check_suite_score,
        right=[score, lambda *args: score(*args, cut=trimmed(1, 1)), lambda *args: np.float32(score(*args))],
        wrong=[
            lambda returns, random, best: stats.interquartile_mean(returns),
            lambda *args: score(*args, cut=np.mean),
            lambda *args: score(*args, cut=np.median),
            lambda *args: score(*args, cut=trimmed(1, 0)),
            lambda *args: score(*args, cut=trimmed(0, 1)),
            lambda *args: score(*args, cut=lambda s: np.mean([stats.interquartile_mean(column) for column in s.T])),
            lambda *args: score(*args, cut=lambda s: stats.interquartile_mean(s.mean(0))),
            lambda *args: score(*args, cut=lambda s: stats.interquartile_mean(np.clip(s, 0, 1))),
            lambda returns, random, best: stats.interquartile_mean((returns - random) / best),
            lambda *args: stats.normalised_scores(*args),
            lambda *args: 0.123,
        ],
        stub=stub,
    )


class Parity(Environment):
    """The exercise, and the ways to get it wrong."""

    horizon = 24
    fixed_start = fixed_bits = flipped = early = free = False
    pay, late_end, bit_of_obs, count_all = 1.0, 0, 1, True

    def observation_space(self, params):
        return make("MemoryChain").observation_space(params).__class__(0.0, 1.0, (1,))

    def action_space(self, params):
        return make("MemoryChain").action_space(params)

    def is_truncated(self, state, params):
        return jnp.bool_(False)

    def reset_env(self, key, params):
        bit = jnp.int32(1) if self.fixed_start else jax.random.bernoulli(key).astype(int)
        return bit[None].astype(float) * self.bit_of_obs, jnp.array([bit, bit, 0])

    def transition(self, key, state, action, params):
        shown, ones, t = state
        bit = shown if self.fixed_bits else jax.random.bernoulli(key).astype(int)
        asked = (ones + bit if self.early else ones) + self.flipped
        wrong = 0.0 if self.free else -self.pay
        reward = jnp.where(action == asked % 2, self.pay, wrong) / self.horizon
        state = jnp.array([bit, ones + bit if self.count_all else bit, t + 1])
        return bit[None].astype(float) * self.bit_of_obs, state, reward, t + 1 >= self.horizon + self.late_end, {}


def variant(**changes):
    return type("Variant", (Parity,), changes)


class Stub(Parity):
    def reset_env(self, key, params):
        raise NotImplementedError


def test_parity():
    assert_graded(
        checks.check_parity,
        right=[Parity, Parity()],
        wrong=[
            variant(fixed_start=True),
            variant(fixed_bits=True),
            variant(flipped=True),
            variant(early=True),
            variant(free=True),
            variant(pay=2.0),
            variant(late_end=1),
            variant(bit_of_obs=0.5),
            variant(count_all=False),
            3,
        ],
        stub=Stub,
    )


def test_parity_trains():
    """The exercise's own environment goes straight into PPO, as its solution says."""
    config = ppo.PPOConfig(
        memory="none", features=8, num_envs=4, num_steps=32, num_minibatches=2, previous_action=False
    )
    agent = ppo.make(config, env=Parity())
    _, metrics = jax.jit(agent.update)(agent.init(jax.random.key(0)))
    assert agent.steps_per_update == 128 and np.isfinite(metrics["loss"])
