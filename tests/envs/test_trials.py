"""Several trials in one meta-episode: where each ends, what the flags say there, which starts are fresh."""

import dataclasses
from functools import partial
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from s5lib.envs import EpisodeStatistics, PreviousAction, TimeLimit, Trials, make, play, vectorize
from s5lib.envs.popgym.cartpole import CartPole

from .agreement import returns
from .test_base import KEY, Probe

# Four trials of a world that ends after 3 steps, or where action 1 is taken: fallen, out of time, fallen, out of time.
ACTIONS = [0, 1, 0, 0, 0, 1, 0, 0, 0]
TRIAL = [0, 0, 1, 1, 1, 2, 3, 3, 3]
ENDED = [0, 1, 0, 0, 1, 1, 0, 0, 1]
REWARD = [1, 2, 1, 2, 3, 1, 1, 2, 3]
RETURN = [1, 3, 1, 3, 6, 1, 1, 3, 6]
CLOCK = [1, 0, 1, 2, 0, 0, 1, 2, 3]  # what the world shows next: the next trial's first where one ended, but the last


@partial(jax.jit, static_argnums=0)
def _script(env, actions, key):
    params = env.default_params

    def step(state, now):
        out = env.step_env(now[0], state, now[1], params)
        return out[1], (*out, env.is_truncated(out[1], params))

    obs, state = env.reset_env(key, params)
    return obs, state, jax.lax.scan(step, state, (jax.random.split(key, len(actions)), actions))[1]


def script(env, actions):
    """First observation, first state, and all that comes of a list of actions, without automatic resets."""
    return jax.tree.map(np.asarray, _script(env, jnp.array(actions), KEY))


@pytest.mark.parametrize("fresh", [True, False])
def test_flags_at_the_boundaries(fresh):
    """A trial's end is neither terminated nor truncated; a meta-episode's is terminated, even where time ran out."""
    env = PreviousAction(Trials(Probe(length=3), 4, fresh), reward=True, trial=True)
    first, _, (obs, state, reward, terminated, info, truncated) = script(env, ACTIONS)
    np.testing.assert_array_equal(reward, REWARD)
    np.testing.assert_array_equal(terminated, [0, 0, 0, 0, 0, 0, 0, 0, 1])
    assert not truncated.any() and terminated.dtype == truncated.dtype == bool
    np.testing.assert_array_equal(info["trial"], TRIAL)
    np.testing.assert_array_equal(info["trial_ended"], ENDED)
    np.testing.assert_array_equal(info["trial_return"], RETURN)
    np.testing.assert_allclose(obs[:, 1], np.array(CLOCK) / 3, rtol=1e-6)
    np.testing.assert_array_equal(state.env_state.trial, [0, 1, 1, 1, 2, 3, 3, 3, 3])
    np.testing.assert_array_equal(state.time, np.arange(1, 10))
    np.testing.assert_array_equal(state.episode_return, np.cumsum(REWARD))
    # what PreviousAction tells of the step before: action, reward, whether a trial ended; and never again "first"
    np.testing.assert_array_equal(first[2:], [0, 0, 0, 0, 1])
    np.testing.assert_array_equal(obs[:, 2:4], np.eye(2)[ACTIONS])
    np.testing.assert_array_equal(obs[:, 4:], np.stack([REWARD, ENDED, np.zeros(9)], 1))
    assert env.observation_space(env.default_params).shape == first.shape == (7,)
    # the ticket drawn at a start is shown throughout its trial: four of them, or one
    tickets = [first[0], *(obs[t, 0] for t in (1, 4, 5))]
    assert len(np.unique(tickets)) == (4 if fresh else 1)
    np.testing.assert_array_equal(obs[:, 0], np.array(tickets)[[0, 1, 1, 1, 2, 3, 3, 3, 3]])


def test_a_trial_flag_without_trials_is_zero():
    env = PreviousAction(Probe(length=3), trial=True)
    first, _, (obs, *_) = script(env, [0, 1, 0])
    np.testing.assert_array_equal(first[2:], [0, 0, 0, 1])
    np.testing.assert_array_equal(obs[:, 2:], [[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]])


@pytest.mark.parametrize("fresh", [True, False])
def test_meta_episodes_side_by_side(fresh):
    """Under vectorize each meta-episode counts from trial 0, and has starts that no other has."""
    envs = vectorize(Trials(Probe(length=3), 3, fresh), 4)
    first, state = envs.reset(KEY)

    def step(state, key):
        key_act, key_step = jax.random.split(key)
        action = jax.random.bernoulli(key_act, 0.2, (4,)).astype(int)
        obs, state, _, terminated, truncated, info = envs.step(key_step, state, action)
        return state, (obs[:, 0], terminated, truncated, info, state.env_state)

    rows = jax.jit(lambda: jax.lax.scan(step, state, jax.random.split(KEY, 50))[1])()
    ticket, terminated, truncated, info, after = jax.tree.map(np.asarray, rows)
    assert terminated.sum() > 20 and not truncated.any()
    np.testing.assert_array_equal(terminated, info["trial_ended"] & (info["trial"] == 2))
    assert np.all(after.trial[terminated] == 0) and np.all(after.trial_return[info["trial_ended"]] == 0)
    began = info["trial_ended"] if fresh else terminated
    begun = np.concatenate([np.asarray(first[:, 0]), ticket[began]])
    assert len(np.unique(begun)) == len(begun)
    np.testing.assert_array_equal(ticket[1:][~began[1:]], ticket[:-1][~began[1:]])


def test_the_first_start_is_repeated_whole():
    """``fresh=False`` restores the world's state, not its observation alone; ``fresh=True`` draws another."""
    for fresh in (True, False):
        env = Trials(CartPole(), 3, fresh)
        first, start, (obs, state, _, _, info, _) = script(env, [1] * 40)
        ends = np.flatnonzero(info["trial_ended"])
        assert np.all(np.diff(ends[:3]) > 5) and info["trial"][ends[2]] == 2, (
            "pushed one way, a pole falls in some steps"
        )
        for t in ends[:2]:
            again = state.env_state.physics[t]
            assert state.env_state.time[t] == 0
            assert np.array_equal(again, start.env_state.physics) != fresh
            assert np.array_equal(obs[t], first) != fresh and np.abs(again).max() <= 0.05


def test_one_trial_is_the_world_itself():
    env = CartPole()
    key_start, key_step = jax.random.split(KEY)
    obs, state = env.reset(key_start)
    meta_obs, meta = Trials(env, 1).reset(key_start)
    np.testing.assert_array_equal(obs, meta_obs)
    for _ in range(30):
        obs, state, reward, terminated, _ = env.step_env(key_step, state, jnp.int32(1), env.default_params)
        out = Trials(env, 1).step_env(key_step, meta, jnp.int32(1), env.default_params)
        meta_obs, meta = out[0], out[1]
        np.testing.assert_allclose(obs, meta_obs, rtol=1e-6)
        assert out[2] == reward and out[3] == terminated == out[4]["trial_ended"]
        if terminated:
            return
    raise AssertionError("the pole never fell")


def test_wrappers_around_and_inside():
    """Statistics add up over the trials; a limit around cuts a meta-episode in the middle, as truncated."""
    env = EpisodeStatistics(TimeLimit(Trials(EpisodeStatistics(TimeLimit(Probe(length=9), 2)), 5), 7))
    assert env.horizon == 7 and Trials(TimeLimit(Probe(length=9), 2), 5).horizon == 10
    _, _, (_, _, _, terminated, info, truncated) = script(env, [0] * 7)
    np.testing.assert_array_equal(info["trial"], [0, 0, 1, 1, 2, 2, 3])
    np.testing.assert_array_equal(info["episode_return"], np.cumsum([1, 2, 1, 2, 1, 2, 1]))
    np.testing.assert_array_equal(truncated, [0, 0, 0, 0, 0, 0, 1])
    assert not terminated.any()


def test_a_life_of_so_many_steps():
    """It is cut where they are over, in the middle of a trial or at its end; as ``TimeLimit`` would cut it."""
    actions = [0] * 7
    counted = script(PreviousAction(Trials(Probe(length=3), None, steps=7), trial=True), actions)
    limited = script(PreviousAction(TimeLimit(Trials(Probe(length=3), 99), 7), trial=True), actions)
    np.testing.assert_array_equal(counted[2][0], limited[2][0])
    _, _, (_, _, reward, terminated, info, truncated) = counted
    np.testing.assert_array_equal(truncated, np.arange(7) == 6)
    np.testing.assert_array_equal(truncated, limited[2][-1])
    np.testing.assert_array_equal(info["trial"], [0, 0, 0, 1, 1, 1, 2])
    np.testing.assert_array_equal(reward, [1, 2, 3, 1, 2, 3, 1])
    assert not terminated.any()
    # With both, whichever comes first.
    for trials, steps, ends in ((2, 7, 5), (3, 7, 6), (2, 6, 5)):
        _, _, (_, _, _, terminated, _, truncated) = script(Trials(Probe(length=3), trials, steps=steps), actions)
        assert np.argmax(terminated | truncated) == ends and terminated[ends] == (trials == 2)
        assert Trials(Probe(length=3), trials, steps=steps).horizon == min(3 * trials, steps)
    env = Trials(make("PositionOnlyCartPoleEasy"), None, steps=512)
    told = env.describe()
    assert env.horizon == told.horizon == 512 and told.random_return is None and told.best_return is None
    assert "Trials to an episode, cut after 512 steps, a fresh start each" in told.summary


def test_time_limits_in_the_parameters_are_those_of_a_trial():
    env = Trials(Probe(length=9), 2)
    params = dataclasses.replace(env.default_params, max_steps_in_episode=2)
    _, state = env.reset(KEY, params)
    ends = []
    for _ in range(4):
        _, state, _, terminated, truncated, info = env.step(KEY, state, 0, params)
        ends.append((bool(info["trial_ended"]), bool(terminated), bool(truncated)))
    assert ends == [(False, False, False), (True, False, False), (False, False, False), (True, True, False)]


def test_a_start_is_made_only_where_a_trial_ends():
    """Resets of a physics world are dear: under vmap the batch makes them on the steps where some trial ends."""
    made = []

    class Counted(Probe):
        def reset_env(self, key, params):
            jax.debug.callback(lambda: made.append(1))
            return super().reset_env(key, params)

    three = jax.vmap(partial(_script, Trials(Counted(length=4), 2), jnp.zeros(8, int)))
    jax.block_until_ready(three(jax.random.split(KEY, 3)))
    jax.effects_barrier()
    assert len(made) == 2, "three starts made at once, and again as three second trials begin; seven steps make none"


class KeyedState(struct.PyTreeNode):
    time: Any
    key: Any


class Keyed(Probe):
    """A world whose state holds a random key and a plain Python number, as some packages' do."""

    def reset_env(self, key, params):
        return jnp.zeros(2), KeyedState(0, key)

    def transition(self, key, state, action, params):
        state = KeyedState(state.time + 1, jax.random.split(state.key)[0])
        return jnp.full(2, 0.0), state, jnp.float32(1), jnp.bool_(False), {}


@pytest.mark.parametrize(
    "env, fresh", [(Keyed(length=3), False), (gymnax.make("CartPole-v1")[0], True)], ids=["keys", "gymnax's CartPole"]
)
def test_other_peoples_worlds(env, fresh):
    meta = Trials(env, 2, fresh)
    assert meta.horizon == 2 * Trials(env, 1).horizon
    envs = vectorize(meta, 3)

    def step(state, key):
        return (out := envs.step(key, state, jnp.ones(3, int)))[1], (out[3], out[5]["trial_ended"])

    @jax.jit
    def run():
        return jax.lax.scan(step, envs.reset(KEY)[1], jax.random.split(KEY, 40))[1]

    terminated, ended = run()
    assert 0 < terminated.sum() < ended.sum()


def test_what_it_says_of_itself():
    env = Trials(make("PositionOnlyCartPoleEasy"), 16)
    told, world = env.describe(), CartPole().describe()
    assert env.horizon == told.horizon == 3200 and told.best_return == 16
    assert told.random_return == 16 * world.random_return and told.observation == world.observation
    assert "16 trials to an episode, a fresh start each" in told.summary
    assert "all from one start" in Trials(CartPole(), 16, fresh=False).describe().summary
    assert Trials(CartPole(max_steps=100)).describe().random_return is None
    assert env == Trials(CartPole(), 16) and hash(env) == hash(Trials(CartPole(), 16)) and env != Trials(CartPole(), 15)
    np.testing.assert_allclose(returns(Trials(CartPole(), 3), "best", 8), 3, rtol=1e-5)
    assert play(Trials(Probe(), 2), KEY).reward.shape == (6,)


@pytest.mark.parametrize("trials", [0, -1, 2.5, True, None])
def test_bad_trials(trials):
    with pytest.raises((ValueError, TypeError), match=f"trials must be .*; got {trials}"):
        Trials(Probe(), trials)


@pytest.mark.parametrize("steps", [0, -1, 2.5, True])
def test_bad_steps(steps):
    with pytest.raises((ValueError, TypeError), match=f"steps must be .*; got {steps}"):
        Trials(Probe(), None, steps=steps)
