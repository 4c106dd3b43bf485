"""Acting: one step, and whole episodes, against a loop written out here and players whose every move is known."""

import dataclasses
from dataclasses import dataclass
from functools import cache
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s5lib import acting, ppo, records
from s5lib.distributions import Categorical
from s5lib.envs import TimeLimit, Trials, make, vectorize
from s5lib.experiments import get

KEY = jax.random.key(0)


@dataclass(frozen=True)
class Counter:
    """A network that presses the button of the number of steps it remembers: 0, 1, 0, 1 ... from an empty memory on."""

    def initial_carry(self, batch_size):
        return jnp.zeros(batch_size, int)

    def apply(self, params, carry=None, obs=None, resets=None, prepared=None, method=None):
        if method == "prepare":
            return params["bias"]
        bias = params["bias"] if prepared is None else prepared
        carry = jnp.where(resets[0], 0, carry)
        logits = bias + 50.0 * jax.nn.one_hot(carry % 2, 2)[None]
        return carry + 1, Categorical(logits), jnp.zeros(resets.shape)


COUNTER, NOTHING = Counter(), {"bias": jnp.zeros(2)}


def pole(**options):
    return make("PositionOnlyCartPoleEasy", **options)


@cache
def agent(memory="s5"):
    config = ppo.PPOConfig(env="MemoryChain", env_options=(("memory_length", 6),), memory=memory, features=8)
    made = ppo.make(dataclasses.replace(config, memory_options=(("layers", 1),), encoder=(8,), head=(8,)))
    return made, jax.jit(made.init)(KEY).params


def loop(network, params, env, key, count, forget=()):
    """Episodes, written out: rewards until each ends, actions, lengths."""
    envs = vectorize(env, count)
    key_reset, key_play = jax.random.split(key)
    obs, state = envs.reset_env(key_reset)
    carry, active = network.initial_carry(count), np.ones(count, bool)
    rewards, actions = [], []
    for t in range(env.horizon):
        key_act, key_step = jax.random.split(jax.random.fold_in(key_play, t))
        carry, policy, _ = network.apply(params, carry, obs[None], jnp.full((1, count), t in forget))
        action = policy.sample(key_act)[0]
        obs, state, reward, terminated, truncated, _ = envs.step_env(key_step, state, action)
        rewards.append(np.where(active, reward, 0))
        actions.append(np.asarray(action))
        active = active & ~np.asarray(terminated | truncated)
    return np.array(rewards), np.array(actions)


# ------------------------------------------------------------------------------------------------------------ one step
@pytest.mark.parametrize("greedy", [False, True])
def test_a_step_is_the_networks_answer(greedy):
    made, params = agent()
    obs, resets = jax.random.normal(KEY, (5, made.env.observation_space(None).shape[0])), jnp.arange(5) == 2
    carry = jax.tree.map(lambda leaf: leaf + 1, made.network.initial_carry(5))
    action, after = acting.act(made.network, params, carry, obs, resets, KEY, greedy=greedy)
    want, policy, _ = made.network.apply(params, carry, obs[None], resets[None])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), after, want)
    np.testing.assert_array_equal(action, (policy.mode() if greedy else policy.sample(KEY))[0])
    prepared = made.network.apply(params, method="prepare")
    again, _ = acting.act(made.network, params, carry, obs, resets, KEY, prepared, greedy)
    np.testing.assert_array_equal(action, again)


def test_a_stranger_plays_with_stored_weights_in_a_loop_of_their_own():
    """Those of memory length 128 remember the cue; without the carry they cannot."""
    made, params = get("memory-length-128-s5", "cpu").config.make(), records.load("memory-length-128-s5")
    envs = vectorize(made.eval_env, 32)

    @jax.jit
    def play(key, forgetful):
        def step(now, key):
            obs, state, resets, carry = now
            action, carry = acting.act(made.network, params, carry, obs, resets | forgetful, key)
            obs, state, reward, terminated, truncated, _ = envs.step(key, state, action)
            return (obs, state, terminated | truncated, carry), reward

        start = (*envs.reset(key), jnp.ones(32, bool), made.network.initial_carry(32))
        return jax.lax.scan(step, start, jax.random.split(key, 2 * 129))[1].sum() / 64

    assert play(KEY, False) > 0.95
    assert abs(play(KEY, True)) < 0.5


# ------------------------------------------------------------------------------------------------------------ episodes
@pytest.mark.parametrize("memory", ["s5", "none"])
@pytest.mark.parametrize("apart", [False, True])
def test_episodes_equal_a_loop(memory, apart):
    made, params = agent(memory)
    rewards, actions = loop(made.network, params, made.env, KEY, 8)
    found = acting.episodes(made.network, params, made.env, KEY, 8, keep=lambda now: now.action, apart=apart)
    np.testing.assert_array_equal(found.rewards, rewards)
    np.testing.assert_array_equal(found.kept, actions)
    np.testing.assert_allclose(found.returns, rewards.sum(0))
    assert found.lengths.tolist() == [7] * 8 and not found.cut.any() and found.trial_returns.shape == (8, 0)


def test_episodes_end_each_for_itself_and_memories_stay_as_they_were_then():
    found = acting.episodes(COUNTER, NOTHING, pole(), KEY, 64)
    rewards, _ = loop(COUNTER, NOTHING, pole(), KEY, 64)
    np.testing.assert_array_equal(found.rewards, rewards)
    assert len(set(found.lengths.tolist())) > 5 and found.lengths.max() < 200
    np.testing.assert_array_equal(found.carry, found.lengths.astype(int))
    np.testing.assert_array_equal((np.asarray(found.rewards) > 0).sum(0), found.lengths)


def test_a_policy_is_drawn_from_or_followed():
    even = {"bias": jnp.array([-50.0, 0.0])}  # after two steps remembered: as likely 0 as 1
    greedy, drawn = (
        acting.episodes(COUNTER, even, pole(), KEY, 64, greedy, keep=lambda now: now.action) for greedy in (True, False)
    )
    assert set(np.asarray(greedy.kept[0])) == {0} and set(np.asarray(drawn.kept[0])) == {0, 1}


@pytest.mark.parametrize("apart", [False, True])
def test_a_memory_is_emptied_before_the_steps_that_are_named(apart):
    steps = {"keep": lambda now: now.carry, "horizon": 8, "apart": apart}
    kept = [
        acting.episodes(COUNTER, NOTHING, make("MemoryChain", memory_length=20), KEY, 2, forget=forget, **steps).kept[
            :, 0
        ]
        for forget in (None, (3,), range(0, 8, 2), (7, 100))
    ]
    assert [rows.tolist() for rows in kept] == [
        [1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 1, 2, 3, 4, 5], [1, 2, 1, 2, 1, 2, 1, 2], [1, 2, 3, 4, 5, 6, 7, 1]
    ]  # fmt: skip


def test_what_is_kept_is_of_every_so_many_steps():
    env, many = make("MemoryChain", memory_length=20), lambda now: (now.carry, {"obs": now.obs})
    carry, seen = acting.episodes(COUNTER, NOTHING, env, KEY, 2, keep=many, every=5).kept
    assert carry[:, 0].tolist() == [1, 6, 11, 16, 21] and seen["obs"].shape == (5, 2, 3)


def test_the_horizon_bounds_an_episode_and_says_what_it_cut():
    found = acting.episodes(COUNTER, NOTHING, pole(), KEY, 64, horizon=40)
    whole = acting.episodes(COUNTER, NOTHING, pole(), KEY, 64)
    np.testing.assert_array_equal(found.cut, whole.lengths > 40)
    assert found.rewards.shape == (40, 64) and found.cut.any() and not found.cut.all()
    np.testing.assert_array_equal(found.rewards, whole.rewards[:40])


@dataclass(frozen=True)
class Endless:
    """A cart pole that does not say how long its episodes may be."""

    inside: Any

    def __getattr__(self, name):
        if name == "horizon":
            raise AttributeError(name)
        return {} if name == "default_params" else getattr(self.inside, name)

    def is_truncated(self, state, params):
        return jnp.bool_(False)


def test_an_environment_without_a_horizon_asks_for_one():
    with pytest.raises(ValueError, match="horizon must be given: Endless does not say how long its episodes may be"):
        acting.episodes(COUNTER, NOTHING, Endless(pole()), KEY, 2)
    assert acting.episodes(COUNTER, NOTHING, Endless(pole()), KEY, 2, horizon=3).cut.all()
    found = acting.episodes(COUNTER, NOTHING, TimeLimit(Endless(pole()), 3), KEY, 2)
    assert found.rewards.shape == (3, 2) and not found.cut.any()
    cart, _ = gymnax.make("CartPole-v1")
    assert acting.episodes(COUNTER, NOTHING, cart, KEY, 4).rewards.shape == (
        cart.default_params.max_steps_in_episode,
        4,
    )


def test_a_learner_asks_before_it_learns():
    """Not when the run is over and is to be scored."""
    config = ppo.PPOConfig(memory="none", features=8)
    with pytest.raises(ValueError, match="horizon must be given: Endless"):
        ppo.make(config, Endless(pole()))
    assert ppo.make(config, Endless(pole()), TimeLimit(Endless(pole()), 9)).eval_env.horizon == 9


def test_trials_are_counted_one_by_one():
    env = Trials(pole(max_steps=20), 3)
    found = acting.episodes(COUNTER, NOTHING, env, KEY, 16)
    assert found.trial_returns.shape == (16, 3) and (found.trial_returns > 0).all()
    np.testing.assert_allclose(found.trial_returns.sum(1), found.returns, rtol=1e-5)


def test_the_same_start_again_and_a_memory_to_begin_with():
    start = vectorize(pole(), 4).reset_env(jax.random.key(5))
    carry = jnp.array([0, 1, 2, 3])
    options = {"start": start, "carry": carry, "keep": lambda now: (now.obs, now.action), "horizon": 3}
    seen = [acting.episodes(COUNTER, NOTHING, pole(), key, 4, **options) for key in jax.random.split(KEY)]
    for found in seen:
        np.testing.assert_array_equal(found.kept[0][0], start[0])
        assert found.kept[1][0].tolist() == [0, 1, 0, 1]


def test_an_environment_that_cannot_be_hashed_is_played_too():
    @dataclass  # of equality without a hash
    class Holding:
        inside: Any
        table: Any

        def __getattr__(self, name):
            return getattr(self.inside, name)

    env = Holding(pole(), np.arange(3))
    with pytest.raises(TypeError, match="unhashable"):
        hash(env)
    found = acting.episodes(COUNTER, NOTHING, env, KEY, 8)
    np.testing.assert_array_equal(found.rewards, acting.episodes(COUNTER, NOTHING, pole(), KEY, 8).rewards)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"count": 0}, ValueError, "count must be a positive integer"),
        ({"horizon": 0}, ValueError, "horizon must be a positive integer"),
        ({"every": 0}, ValueError, "every must be a positive integer"),
        ({"forget": 500}, TypeError, r"forget must hold steps, such as \(500,\) or range\(0, 1000, 8\); got 500"),
    ],
)
def test_what_cannot_be_meant_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        acting.episodes(COUNTER, NOTHING, pole(), KEY, **{"count": 2, **options})
