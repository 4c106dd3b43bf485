"""The interface that all environments share: names, actions, wrappers, automatic resets, many environments as one."""

import dataclasses
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from s5lib.envs import (
    FAMILIES,
    ActionRepeat,
    Environment,
    EpisodeStatistics,
    PreviousAction,
    Projection,
    ScaledAction,
    TimeLimit,
    Trials,
    VariedParams,
    WithParams,
    Wrapper,
    describe,
    env_names,
    make,
    play,
    spaces,
    vectorize,
)
from s5lib.envs.base import EnvParams
from s5lib.envs.popgym import ALIASES
from s5lib.envs.popgym import FAMILIES as POPGYM
from s5lib.envs.projection import ProjectedState
from s5lib.envs.spaces import MultiDiscrete
from s5lib.envs.trials import TrialState
from s5lib.envs.vector import rarely
from s5lib.envs.wrappers import WrappedState, inner

from .agreement import at, episodes

KEY = jax.random.key(0)


class ProbeState(struct.PyTreeNode):
    time: jax.Array
    ticket: jax.Array


@dataclasses.dataclass(frozen=True)
class Probe(Environment):
    """Ends after ``length`` steps, sooner when action 1 is taken; each start draws a ticket, shown at all times."""

    length: int = 3
    actions: Any = None

    horizon = property(lambda self: self.length)

    def observation_space(self, params):
        return spaces.Box(0.0, 1.0, (2,))

    def action_space(self, params):
        return self.actions or spaces.Discrete(2)

    def _see(self, state):
        return jnp.stack([state.ticket, state.time / self.length])

    def reset_env(self, key, params):
        state = ProbeState(jnp.int32(0), jax.random.uniform(key))
        return self._see(state), state

    def transition(self, key, state, action, params):
        state = state.replace(time=state.time + 1)
        return self._see(state), state, state.time * 1.0, jnp.any(action == 1), {}


# ---------------------------------------------------------------------------------------------- names


def test_all_tasks_are_there():
    """The original's 16 families at three levels are among POPGym's, and the memory chain; no name stands in two groups."""
    import popgym.envs

    theirs = {kind.__name__ for kind in popgym.envs.ALL}
    assert theirs <= {family + level for family, (_, levels) in POPGYM.items() for level in levels} <= set(env_names())
    assert len(theirs) == 48 and "MemoryChain" in env_names()
    every = [family for group in FAMILIES.values() for family in group]
    assert len(set(every)) == len(every)


@pytest.mark.parametrize("old, new", ALIASES.items())
def test_other_names_resolve(old, new):
    for level in POPGYM[new][1]:
        assert make(old + level) == make(new + level) == make(f"popgym-{old}{level}-v0")


def test_every_id_of_the_original_resolves():
    import popgym.envs

    for kind, entry in popgym.envs.ALL.items():
        assert make(entry["id"]) == make(kind.__name__)


def test_unknown_names_and_options():
    with pytest.raises(ValueError, match=r"called 'RepeatPreviosHard'. Did you mean 'RepeatPreviousHard'"):
        make("RepeatPreviosHard")
    with pytest.raises(ValueError, match="no environment is called 'RepeatPreviousImpossible'"):
        make("RepeatPreviousImpossible")
    with pytest.raises(ValueError, match="no environment is called 'MemoryChainHard'"):
        make("MemoryChainHard")
    with pytest.raises(ValueError, match="no environment is called 7"):
        make(7)
    with pytest.raises(TypeError, match="RepeatPrevious has no option 'num_deck'; it has num_decks, k"):
        make("RepeatPrevious", num_deck=2)
    assert make("RepeatPrevious") == make("RepeatPreviousEasy")


# ---------------------------------------------------------------------------------------------- every task


@pytest.mark.parametrize("name", env_names())
def test_every_task(name):
    """Whole episodes under jit, vmap and scan, without host callbacks; the same key plays the same; the spaces hold."""
    env = make(name)
    params = env.default_params
    assert isinstance(env, Environment)
    one = jax.make_jaxpr(lambda key: play(env, key))(KEY)
    assert "callback" not in str(one)
    first, again, other = episodes(env), episodes(env), episodes(env, first_seed=100)
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert not np.array_equal(first.obs, other.obs)
    space, actions = env.observation_space(params), env.action_space(params)
    assert first.obs.shape[1:] == (env.horizon, *space.shape) and first.obs.dtype == np.float32
    active = first.active
    assert not first.reward[~active].any()
    assert np.all((first.obs[active] >= space.low) & (first.obs[active] <= space.high))
    assert np.all(jax.vmap(actions.contains)(first.action[active]))
    assert first.reward.dtype == np.float32 and first.terminated.dtype == first.truncated.dtype == bool
    ends = (first.terminated | first.truncated) & active
    assert np.all(ends.sum(1) == 1), "an episode ends once, and within the horizon"
    told = describe(name)
    assert told.name == name and told.horizon == env.horizon
    assert None not in (told.random_return, told.best_return)
    covered = [int(end) for part, _ in told.observation for end in (part.split("-")[0], part.split("-")[-1])]
    assert covered[0] == 0 and covered[-1] == space.shape[0] - 1
    assert all(left + 1 == right for left, right in zip(covered[1:-1:2], covered[2::2], strict=True))


@pytest.mark.parametrize("name", FAMILIES["games"])
def test_step_resets(name):
    """gymnax's way: at an episode's end the next one's first observation, and the last in info."""
    env = make(name)
    obs, state = env.reset(KEY)
    assert obs.shape == env.observation_space(env.default_params).shape

    def step(carry, key):
        obs, state = carry
        key_act, key_step = jax.random.split(key)
        action = env.action_space(None).sample(key_act)
        raw = env.step_env(jax.random.split(key_step)[0], state, action, env.default_params)
        fresh = env.reset_env(jax.random.split(key_step)[1], env.default_params)[0]
        obs, state, reward, terminated, truncated, info = env.step(key_step, state, action)
        ended = terminated | truncated
        right = (obs == jnp.where(ended, fresh, raw[0])).all() & (info["final_observation"] == raw[0]).all()
        return (obs, state), (right & (reward == raw[2]) & (terminated == raw[3]), ended)

    _, (right, ended) = jax.lax.scan(step, (obs, state), jax.random.split(KEY, min(env.horizon + 5, 300)))
    assert right.all()
    if env.horizon < 300:
        assert ended.any()


# ---------------------------------------------------------------------------------------------- actions


def test_bad_actions():
    env = Probe()
    _, state = env.reset(KEY)
    with pytest.raises(ValueError, match=r"action must lie in Discrete\(2, dtype=int32\), from 0 to 1; got 2"):
        env.step(KEY, state, 2)
    with pytest.raises(ValueError, match="action must lie in"):
        env.step_env(KEY, state, jnp.int32(-1), env.default_params)
    with pytest.raises(TypeError, match=r"action must be an integer of Discrete.*; got float32"):
        env.step(KEY, state, jnp.float32(1))
    with pytest.raises(TypeError, match=r"action must be an integer of Discrete.*; got bool"):
        env.step(KEY, state, True)
    with pytest.raises(ValueError, match=r"action must have shape \(\); got \(1,\)"):
        jax.jit(env.step)(KEY, state, jnp.array([1]))
    envs = vectorize(env, 4)
    _, many = envs.reset(KEY)
    with pytest.raises(ValueError, match=r"action must have shape \(4\,\); got \(3,\)"):
        envs.step(KEY, many, jnp.zeros(3, int))
    with pytest.raises(ValueError, match="action must lie in"):
        envs.step(KEY, many, np.array([0, 0, 5, 0]))
    board = Probe(actions=MultiDiscrete((3, 4)))
    with pytest.raises(ValueError, match=r"action must lie in MultiDiscrete\(\(3, 4\)\)"):
        board.step(KEY, state, np.array([1, 4]))
    torque = Probe(actions=spaces.Box(-2.0, 2.0, (1,)))
    with pytest.raises(ValueError, match="action must lie in Box"):
        torque.step(KEY, state, np.array([2.5], np.float32))
    with pytest.raises(TypeError, match="action must be a float"):
        torque.step(KEY, state, np.array([1]))


@pytest.mark.parametrize("action, nearest", [(7, 3), (-2, 0)])
def test_traced_actions_are_clipped(action, nearest):
    env = make("RepeatPreviousEasy")
    _, state = env.reset(KEY)
    state = state.replace(time=jnp.int32(10), suits=jnp.full_like(state.suits, nearest))  # so that the nearest is right
    step = jax.jit(env.step)
    for got, wanted in zip(step(KEY, state, action)[:3], step(KEY, state, nearest)[:3], strict=True):
        jax.tree.map(np.testing.assert_array_equal, got, wanted)


@pytest.mark.parametrize("value", [0, -3, 2.5, True])
def test_bad_num_envs(value):
    with pytest.raises((ValueError, TypeError), match="num_envs must be"):
        vectorize(Probe(), value)


# ---------------------------------------------------------------------------------------------- wrappers

WRAPPED = {
    "nothing": Wrapper(Probe()),
    "previous action": PreviousAction(Probe()),
    "previous action and reward": PreviousAction(Probe(), reward=True),
    "statistics": EpisodeStatistics(Probe(length=5)),
    "time limit": TimeLimit(Probe(length=9), 4),
    "all": EpisodeStatistics(TimeLimit(PreviousAction(Probe(length=9), reward=True), 4)),
    "other order": PreviousAction(EpisodeStatistics(TimeLimit(Probe(length=9), 4))),
    "action repeat": EpisodeStatistics(ActionRepeat(PreviousAction(Probe(length=9)), 4)),
    "trials": Trials(Probe(length=3), 2),
    "trials of one start": Trials(Probe(length=3), 2, fresh=False),
    "projection": Projection(Probe(), 4, 2),
    "hidden bit": Projection(Probe(), mirror=True),
    "algorithm 1": PreviousAction(Projection(Trials(Probe(), 2), 3, 2), reward=True, trial=True),
    "gymnax's CartPole": EpisodeStatistics(PreviousAction(TimeLimit(gymnax.make("CartPole-v1")[0], 7))),
    "POPGym": EpisodeStatistics(PreviousAction(make("RepeatPreviousEasy"))),
    "scaled action": ScaledAction(Probe(actions=spaces.Box(-20.0, 20.0, (2,)))),
    "params": WithParams(Probe(length=9), EnvParams(max_steps_in_episode=4)),
    "varied params": VariedParams(
        Probe(length=9),
        lambda key, params: params.replace(max_steps_in_episode=jax.random.randint(key, (), 3, 10)),
    ),
}


@pytest.mark.parametrize("env", WRAPPED.values(), ids=WRAPPED)
def test_contract_of_wrappers(env):
    """One contract: ``step`` and ``vectorize`` show what step_env and reset_env say, the last observation included."""
    params, count = env.default_params, 3
    envs = vectorize(env, count)
    assert env.observation_space(params).shape == jax.eval_shape(env.reset_env, KEY, params)[0].shape

    def step(state, key):
        key_act, key_step = jax.random.split(key)
        action = jax.vmap(env.action_space(params).sample)(jax.random.split(key_act, count))
        keys = jax.random.split(jax.random.split(key_step)[0], count)
        raw = jax.vmap(env.step_env, in_axes=(0, 0, 0, None))(keys, state.env_state, action, params)
        cut = jax.vmap(env.is_truncated, in_axes=(0, None))(raw[1], params)
        out = envs.step(key_step, state, action)
        return out[1], (raw, cut, out)

    def scan(key):
        return jax.lax.scan(step, envs.reset(key)[1], jax.random.split(key, 60))[1]

    two_seeds = jax.jit(jax.vmap(scan))(jax.random.split(KEY, 2))
    raw, cut, (obs, state, reward, terminated, truncated, info) = jax.tree.map(np.asarray, two_seeds)
    ended = terminated | truncated
    np.testing.assert_array_equal(info["final_observation"], raw[0])
    np.testing.assert_array_equal(reward, raw[2])
    np.testing.assert_array_equal(terminated, raw[3])
    np.testing.assert_array_equal(truncated, cut)
    np.testing.assert_array_equal(obs[~ended], raw[0][~ended])
    assert ended.any() and (~ended).any()
    assert np.all(state.env_state.time[ended] == 0), "a new episode's clock stands at 0"
    for name in set(info) - {"final_observation"}:
        np.testing.assert_array_equal(info[name], raw[4][name])


def test_previous_action():
    """What is appended, at the start, after a step, and to an episode's last observation."""
    env = PreviousAction(Probe(length=9), reward=True)
    obs, state = env.reset(KEY)
    np.testing.assert_array_equal(obs[2:], [0, 0, 0, 1])
    obs, state, *_ = env.step(KEY, state, 0)
    np.testing.assert_array_equal(obs[2:], [1, 0, 1.0, 0])  # action 0, one-hot; reward 1; no longer the first
    obs, state, reward, terminated, _, info = env.step(KEY, state, 1)
    assert terminated and reward == 2
    np.testing.assert_array_equal(info["final_observation"][2:], [0, 1, 2.0, 0])
    np.testing.assert_array_equal(obs[2:], [0, 0, 0, 1])  # the next episode's first


@pytest.mark.parametrize(
    "space, action, code",
    [
        (MultiDiscrete((3, 2)), np.array([2, 0]), [0, 0, 1, 1, 0]),
        (spaces.Box(-2.0, 2.0, (2,)), np.array([0.5, -1], np.float32), [0.5, -1]),
    ],
)
def test_previous_action_of_other_spaces(space, action, code):
    env = PreviousAction(Probe(length=9, actions=space))
    obs, state = env.reset(KEY)
    np.testing.assert_array_equal(obs[2:], [*[0] * len(code), 1])
    obs, *_ = env.step(KEY, state, action)
    np.testing.assert_array_equal(obs[2:], [*code, 0])
    assert env.observation_space(env.default_params).shape == obs.shape


def test_previous_action_needs_vectors():
    with pytest.raises(ValueError, match="env must have vectors as observations; Pictures has"):

        class Pictures(Probe):
            def observation_space(self, params):
                return spaces.Box(0.0, 1.0, (4, 4))

        PreviousAction(Pictures())


def test_statistics():
    env = EpisodeStatistics(Probe(length=4))
    _, state = env.reset(KEY)
    for length, total in ((1, 1), (2, 3), (3, 6), (4, 10)):  # rewards are 1, 2, 3, 4
        _, state, _, terminated, truncated, info = env.step(KEY, state, 0)
        assert info["episode_length"] == length and info["episode_return"] == total
    assert truncated and not terminated
    *_, info = env.step(KEY, state, 0)
    assert info["episode_length"] == 1 and info["episode_return"] == 1


def test_repeated_actions_pay_the_sum_and_stop_where_an_episode_ends():
    """A probe pays its time: four steps pay 1 + 2 + 3 + 4, and the ninth step is the last."""
    env = ActionRepeat(Probe(length=9), 4)
    assert env.horizon == 3 and ActionRepeat(Probe(length=8), 4).horizon == 2
    _, state = env.reset_env(KEY, env.default_params)
    for paid, time, ended in ((10, 4, False), (26, 8, False), (9, 9, True)):
        obs, state, reward, terminated, _ = env.step_env(KEY, state, 0, env.default_params)
        assert reward == paid and obs[1] == np.float32(time / 9) and not terminated
        assert state.env_state.time == time and env.is_truncated(state, env.default_params) == ended
    _, state = env.reset_env(KEY, env.default_params)
    _, state, reward, terminated, _ = env.step_env(KEY, state, 1, env.default_params)
    assert terminated and reward == 1 and state.env_state.time == 1 and state.time == 1
    with pytest.raises(ValueError, match="repeats must be a positive integer; got 0"):
        ActionRepeat(Probe(), 0)


def test_repeated_actions_are_the_worlds_own_steps():
    world = make("PositionOnlyPendulumEasy")
    held = ActionRepeat(world, 3)
    actions = jax.random.uniform(KEY, (5, 1), minval=-2, maxval=2)
    obs, state = world.reset_env(KEY, world.default_params)
    _, repeated = held.reset_env(KEY, held.default_params)
    for action in actions:
        total = 0.0
        for _ in range(3):
            obs, state, reward, *_ = world.step_env(KEY, state, action, world.default_params)
            total += reward
        seen, repeated, reward, *_ = held.step_env(KEY, repeated, action, held.default_params)
        np.testing.assert_allclose(seen, obs, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(reward, total, rtol=1e-5, atol=1e-6)


def test_time_limit_truncates():
    env = TimeLimit(Probe(length=9), 2)
    assert env.horizon == 2 and TimeLimit(Probe(length=3), 5).horizon == 3
    _, state = env.reset(KEY)
    *_, terminated, truncated, _ = env.step(KEY, state, 0)
    assert not terminated and not truncated
    _, state, *_ = env.step(KEY, state, 0)
    *_, terminated, truncated, _ = env.step(KEY, state, 0)
    assert truncated and not terminated
    *_, terminated, truncated, _ = env.step(KEY, state, 1)
    assert truncated and terminated, "both, when both happen: only terminated stops bootstrapping"
    inner_first = TimeLimit(Probe(length=1), 5)  # the environment's own limit goes on to hold
    *_, truncated, _ = inner_first.step(KEY, inner_first.reset(KEY)[1], 0)
    assert truncated
    with pytest.raises(ValueError, match="max_steps must be a positive integer; got 0"):
        TimeLimit(Probe(), 0)


def test_wrappers_pass_on_what_they_wrap():
    env = EpisodeStatistics(PreviousAction(make("RepeatPreviousHard")))
    assert env.k == 64 and env.describe().best_return == 1.0
    assert env == EpisodeStatistics(PreviousAction(make("RepeatPreviousHard"))) and hash(env) == hash(env)
    best = play(env, KEY, "best")
    np.testing.assert_allclose(best.reward.sum(), 1, rtol=1e-5)
    with pytest.raises(AttributeError):
        _ = env.nothing


def test_play_refuses_unknown_players():
    with pytest.raises(ValueError, match="policy must be 'random', 'best' or a function"):
        play(Probe(), KEY, "worst")


# ---------------------------------------------------------------------------------------------- many at once


def tickets(key, num_envs=5, steps=60):
    """The tickets of all episodes begun, of environments that end at different times."""
    envs = vectorize(Probe(length=4), num_envs)
    obs, state = envs.reset(key)

    def step(state, key):
        key_act, key_step = jax.random.split(key)
        action = jax.random.bernoulli(key_act, 0.3, (num_envs,)).astype(int)
        obs, state, _, terminated, truncated, _ = envs.step(key_step, state, action)
        return state, (obs[:, 0], terminated | truncated)

    shown, ended = jax.lax.scan(step, state, jax.random.split(key, steps))[1]
    return obs[:, 0], shown, ended


def test_each_start_is_used_once():
    first, shown, ended = map(np.asarray, jax.jit(tickets)(KEY))
    begun = np.concatenate([first, shown[ended]])
    assert len(begun) > 60 and len(np.unique(begun)) == len(begun)
    np.testing.assert_array_equal(shown[1:][~ended[1:]], shown[:-1][~ended[1:]])  # within an episode it stays


def test_seeds_under_vmap_are_as_seeds_alone():
    keys = jax.random.split(KEY, 3)
    together = jax.jit(jax.vmap(tickets))(keys)
    alone = jax.jit(tickets)
    for seed in range(3):
        jax.tree.map(np.testing.assert_array_equal, alone(keys[seed]), at(together, seed))
    nested = jax.jit(jax.vmap(jax.vmap(tickets)))(keys[:2, None])
    jax.tree.map(np.testing.assert_array_equal, nested[1][:, 0], together[1][:2])


def test_rarely_works_only_when_asked():
    """Under vmap, twice nested and in a scan, the work is done on the steps where some member asks for it."""
    calls = []

    def work(x, y):
        jax.debug.callback(lambda: calls.append(1))
        return x + y

    wanted = np.zeros((4, 2, 3), bool)
    wanted[1, 0, 2] = wanted[3, 1] = True

    def run(wanted):
        return jax.lax.scan(lambda x, w: (rarely(w, work, x, 10.0), None), 1.0, wanted)[0]

    result = jax.jit(jax.vmap(jax.vmap(run, in_axes=1), in_axes=1))(jnp.asarray(wanted))
    jax.effects_barrier()
    np.testing.assert_array_equal(result, 1 + 10 * wanted.sum(0))
    assert len(calls) == 2, "two of four steps have work, done for all members at once; a select would work on all four"


def test_params_cut_episodes_short():
    """gymnax's own way to set a time limit holds for games that end by themselves too."""
    env = make("RepeatPreviousEasy")
    _, state = env.reset(KEY)
    for kind in (EnvParams, gymnax.EnvParams):
        *_, terminated, truncated, _ = env.step(KEY, state, 0, kind(max_steps_in_episode=1))
        assert truncated and not terminated


def test_inner_finds_the_state_of_a_wrapper_or_of_what_is_inside():
    env = EpisodeStatistics(PreviousAction(Trials(Probe(), 2)))
    _, state = env.reset(KEY)
    assert inner(state, WrappedState) is state  # the outermost
    assert inner(state, TrialState) is state.env_state.env_state
    assert inner(state, ProbeState) is state.env_state.env_state.env_state
    _, many = vectorize(env, 3).reset_env(KEY)
    assert inner(many, TrialState).trial.shape == (3,)
    with pytest.raises(
        ValueError, match="state must hold a ProjectedState; it holds WrappedState, WrappedState, TrialState"
    ):
        inner(state, ProjectedState)
