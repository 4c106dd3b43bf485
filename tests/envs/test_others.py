"""Environments that others wrote: what they call their own, pay, flag and wrap themselves in, under our wrappers and learner."""

import dataclasses
from typing import Any

import flax.linen as nn
import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.wrappers.purerl import FlattenObservationWrapper, GymnaxWrapper, LogWrapper, StickyActionWrapper

from s5lib import acting, ppo, records
from s5lib.distributions import Categorical
from s5lib.envs import (
    ActionRepeat,
    Environment,
    EpisodeStatistics,
    ManyWorlds,
    PreviousAction,
    ScaledAction,
    TimeLimit,
    Trials,
    VariedParams,
    WithParams,
    Wrapper,
    make,
    play,
    spaces,
    vectorize,
)
from s5lib.envs.wrappers import trials_of
from s5lib.s5 import S5Stack
from tests.precision import double_precision

from .test_base import KEY, Probe

SMALL = ppo.PPOConfig(
    memory="none", features=8, encoder=(8,), head=(8,), num_envs=4, num_steps=16, num_minibatches=2, eval_episodes=4
)


def steps(env, actions, params=None):
    """What each of a list of actions gives, without automatic resets: (reward, terminated, truncated, info)."""
    params = env.default_params if params is None else params
    _, state = env.reset_env(KEY, params)
    for action in actions:
        _, state, reward, terminated, info = env.step_env(KEY, state, action, params)
        yield reward, terminated, env.is_truncated(state, params), info


# ---------------------------------------------------------------------------------------------- trials


@dataclasses.dataclass(frozen=True)
class Tried(Probe):
    """A world with a number of its own that it calls ``trials``."""

    trials: int = 5


def test_an_attribute_called_trials_makes_no_trials():
    agent = ppo.make(SMALL, Tried())
    state, metrics = jax.jit(agent.update)(jax.jit(agent.init)(KEY))
    assert "trial_return" not in metrics and "trial/0" not in jax.jit(agent.evaluate)(state)
    assert state.obs.shape == (4, 2 + 2 + 1)  # two numbers, two actions, first; no flag of a trial's end
    assert trials_of(Tried()) is None
    assert trials_of(EpisodeStatistics(Trials(Tried(), 2))) == Trials(Tried(), 2)


def test_a_repeated_action_stops_where_a_trial_ends():
    """Trials of 3 steps, each action done twice: 2 steps and 1 of each trial, as with the repeats inside."""
    rows = list(steps(ActionRepeat(Trials(Probe(length=3), 2, own_returns=True), 2), [0, 0, 0, 0]))
    assert [float(reward) for reward, *_ in rows] == [3, 3, 3, 3]
    assert [bool(info["trial_ended"]) for *_, info in rows] == [False, True, False, True]
    assert [bool(info["returns_end"]) for *_, info in rows] == [False, True, False, True]
    assert [float(info["trial_return"]) for *_, info in rows] == [3, 6, 3, 6]
    assert [int(info["trial"]) for *_, info in rows] == [0, 0, 1, 1]
    assert [bool(terminated) for _, terminated, *_ in rows] == [False, False, False, True]


@pytest.mark.parametrize(
    "trials, horizon",
    [
        (Trials(Probe(length=3), 2), 4),  # 2 decisions each
        (Trials(Probe(length=3), None, steps=7), 7),  # trials of one step each
        (TimeLimit(Trials(Probe(length=3), 2), 3), 3),
    ],
)
def test_repeated_actions_leave_time_for_every_trial(trials, horizon):
    assert ActionRepeat(trials, 2).horizon == horizon


@pytest.mark.parametrize("length, steps, bootstraps", [(4, 8, False), (3, 8, True)])
def test_a_trials_end_that_asks_for_it_is_never_bootstrapped(length, steps, bootstraps):
    """A life is cut after 8 steps: where a trial of 4 ends there too nothing follows, amid one of 3 the value does."""
    agent = ppo.make(SMALL, Trials(Probe(length=length), None, own_returns=True, steps=steps))
    state = jax.jit(agent.init)(KEY)
    params = jax.tree.map(lambda leaf: leaf, state.params)
    params["params"]["value"]["bias"] += 5.0  # values near 5
    params["params"]["policy"]["bias"] += jnp.array([50.0, 0.0])  # nobody ends a trial
    _, rollout, _ = jax.jit(agent.collect)(state.replace(params=params), KEY)
    assert rollout.ended[7].all() and rollout.ended[length - 1].all()
    assert bool((rollout.cut_value[7] > 1).all()) == bootstraps
    assert not rollout.cut_value[:7].any()


# ---------------------------------------------------------------------------------------------- rewards, flags, states


class Clock(struct.PyTreeNode):
    time: Any


@dataclasses.dataclass(frozen=True)
class Loose(Environment):
    """Pays and flags in the dtypes that it is told; its state holds plain Python numbers at first."""

    reward: Any = jnp.int32
    flag: Any = jnp.int32

    horizon = property(lambda self: 3)

    def observation_space(self, params):
        return spaces.Box(0.0, 1.0, (1,))

    def action_space(self, params):
        return spaces.Discrete(2)

    def is_truncated(self, state, params):
        return jnp.asarray(False, self.flag)

    def reset_env(self, key, params):
        return jnp.full(1, 0.0), Clock(0)

    def transition(self, key, state, action, params):
        state = Clock(state.time + 1)
        return jnp.full(1, 0.0), state, jnp.asarray(2, self.reward), jnp.asarray(state.time >= 3, self.flag), {}


@pytest.mark.parametrize("reward", [jnp.int32, jnp.bool_, jnp.float16])
@pytest.mark.parametrize("flag", [jnp.int32, jnp.float32, jnp.bool_])
def test_rewards_become_float32_and_flags_bool(reward, flag):
    env = Loose(reward, flag)
    made = [env.reset(KEY)[1]]
    out = [env.step(KEY, made[0], 0)[2:5], Wrapper(env).step(KEY, Wrapper(env).reset(KEY)[1], 0)[2:5]]
    envs = vectorize(Trials(env, 2), 2)
    out.append(envs.step(KEY, envs.reset(KEY)[1], jnp.zeros(2, int))[2:5])
    played = play(env, KEY)
    out.append((played.reward, played.terminated, played.truncated))
    for paid, terminated, truncated in out:
        assert paid.dtype == jnp.float32 and terminated.dtype == truncated.dtype == jnp.bool_
    assert list(map(bool, played.terminated)) == [False, False, True]


def test_float64_rewards_in_x64_mode():
    with double_precision():
        envs = vectorize(EpisodeStatistics(Loose(jnp.float64, jnp.bool_)), 2)
        _, _, reward, *_, info = envs.step(KEY, envs.reset(KEY)[1], jnp.zeros(2, int))
        assert reward.dtype == info["episode_return"].dtype == jnp.float32


def test_an_update_compiles_once():
    """The state that ``init`` makes and the one that ``update`` gives have the same types, weak ones too."""
    agent = ppo.make(SMALL, Loose())
    update, state = jax.jit(agent.update), agent.init(KEY)
    for _ in range(2):
        state, metrics = update(state)
    assert update._cache_size() == 1 and metrics["return"] == 6


@pytest.mark.parametrize(
    "change, message",
    [
        ({"reward": jnp.complex64}, "reward must be one real number; Loose gives complex64 of shape"),
        ({"flag": jnp.complex64}, "terminated must be one real number; Loose gives complex64 of shape"),
    ],
)
def test_other_rewards_and_flags_are_refused(change, message):
    with pytest.raises(TypeError, match=message):
        play(Loose(**change), KEY)


# ---------------------------------------------------------------------------------------------- others' wrappers


class Halved(GymnaxWrapper):
    """A stranger's wrapper, as gymnax's own are written."""

    def reset(self, key, params=None):
        obs, state = self._env.reset(key, params)
        return obs / 2, state

    def step(self, key, state, action, params=None):
        obs, *rest = self._env.step(key, state, action, params)
        return obs / 2, *rest


class Louder(Probe):
    """A stranger's environment that overrides what gymnax's interface builds on ``step_env``."""

    def step(self, key, state, action, params=None):
        obs, state, reward, *rest = super().step(key, state, action, params)
        return obs, state, 2 * reward, *rest


class Passing:
    """A wrapper that passes on all it has."""

    def __init__(self, env):
        self.inside = env

    def __getattr__(self, name):
        return getattr(self.inside, name)


@pytest.mark.parametrize(
    "env, message",
    [
        (LogWrapper(make("RepeatPreviousEasy")), "LogWrapper changes reset and step.*EpisodeStatistics does the same"),
        (FlattenObservationWrapper(make("RepeatPreviousEasy")), "FlattenObservationWrapper changes reset and step"),
        (StickyActionWrapper(make("RepeatPreviousEasy")), "StickyActionWrapper changes reset and step"),
        (Halved(Probe()), "Halved changes reset and step.*define reset_env and step_env"),
        (Passing(Halved(Probe())), "Halved changes reset and step"),
        (Louder(), "Louder changes step"),
        (object(), "object has no reset_env"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
@pytest.mark.parametrize(
    "use", [Wrapper, PreviousAction, Trials, TimeLimit, lambda env: vectorize(env, 2), lambda env: ppo.make(SMALL, env)]
)
def test_a_wrapper_that_would_be_bypassed_is_refused(env, message, use):
    with pytest.raises(ValueError, match=message):
        use(env)


class Doubled(Passing):
    """A wrapper that does what it does where we look, and passes on the rest."""

    def step_env(self, *args):
        obs, state, reward, *rest = self.inside.step_env(*args)
        return obs, state, 2 * reward, *rest


OTHERS = [Probe(), gymnax.make("CartPole-v1")[0], gymnax.make("DeepSea-bsuite")[0], Passing(Probe()), Doubled(Probe())]


@pytest.mark.parametrize("env", OTHERS, ids=lambda env: type(env).__name__)
def test_what_goes_by_reset_env_and_step_env_is_taken(env):
    assert Wrapper(env).env is env and vectorize(env, 2).env is env


# ---------------------------------------------------------------------------------------------- actions of any size


@dataclasses.dataclass(frozen=True)
class Echo(Probe):
    """Pays what is done, the first number of it."""

    low: Any = -2000.0
    high: Any = 2000.0

    def action_space(self, params):
        return spaces.Box(jnp.array(self.low), jnp.array(self.high), (1,))

    def transition(self, key, state, action, params):
        obs, state, _, _, info = super().transition(key, state, jnp.zeros(()), params)
        return obs, state, action[0], jnp.bool_(False), info

    def best_action(self, state):
        return jnp.full(1, self.high)


@pytest.mark.parametrize("low, high", [(-2000.0, 2000.0), (0.0, 1000.0), (0.999, 1.001), (0.0, 1.0)])
def test_actions_of_another_scale_are_stretched_to_their_box(low, high):
    """A new policy draws standard normal numbers: they reach all of the box, and the record says how."""
    agent = ppo.make(SMALL, Echo(low=low, high=high))
    _, rollout, _ = jax.jit(agent.collect)(jax.jit(agent.init)(KEY), KEY)
    place = (np.asarray(rollout.reward) - low) / (high - low)
    assert (np.histogram(place, [-0.01, 1 / 3, 2 / 3, 1.01])[0] > 10).all()
    assert "'class': 'ScaledAction'" in str(records.described(agent.env))


@pytest.mark.parametrize("low, high", [(-1.0, 1.0), (-2.0, 2.0), (-0.5, (5.0,)), (-jnp.inf, jnp.inf), (0.0, jnp.inf)])
def test_actions_of_about_one_stay_as_they_are(low, high):
    agent = ppo.make(SMALL, Echo(low=low, high=high))
    assert agent.env == EpisodeStatistics(PreviousAction(Echo(low=low, high=high)))


def test_scaled_actions_by_hand():
    env = ScaledAction(Echo(low=0.0, high=1000.0))
    space = env.action_space(env.default_params)
    assert (space.low, space.high, space.shape) == (-1, 1, (1,))
    paid = [float(reward) for reward, *_ in steps(env, [jnp.full(1, a) for a in (-1.0, 0.0, 0.5)])]
    assert paid == [0, 500, 750]
    assert env.best_action(env.reset(KEY)[1]) == 1
    for other in (Probe(), Echo(high=np.inf)):
        with pytest.raises(ValueError, match="env must have"):
            ScaledAction(other)


# ---------------------------------------------------------------------------------------------- how long an episode may be


class Silent(Environment):
    """An environment written without a word on its horizon; it never ends."""

    reset_env, observation_space, action_space = Loose.reset_env, Loose.observation_space, Loose.action_space

    def transition(self, key, state, action, params):
        return jnp.zeros(1), Clock(state.time + 1), 1.0, False, {}


@pytest.mark.parametrize(
    "use",
    [
        lambda env: Wrapper(env).horizon,
        lambda env: Trials(env).horizon,
        lambda env: ActionRepeat(env).horizon,
        lambda env: play(env, KEY),
        lambda env: ppo.make(SMALL, env),
        lambda env: ManyWorlds((env,)),
    ],
)
def test_a_horizon_that_nobody_tells_is_asked_for(use):
    with pytest.raises(
        ValueError, match=r"horizon must be given: Silent does not say .* TimeLimit\(env, max_steps\) does"
    ):
        use(Silent())


def test_a_time_limit_is_horizon_enough():
    env = TimeLimit(Silent(), 5)
    assert env.horizon == 5 and play(env, KEY).reward.sum() == 5
    agent = ppo.make(SMALL, env)
    assert jax.jit(agent.evaluate)(agent.init(KEY))["length"] == 5
    assert not Silent().step(KEY, Silent().reset(KEY)[1], 0)[4]


def test_what_never_ends_is_cut_where_asked():
    agent = ppo.make(SMALL, TimeLimit(Silent(), 5))
    endless = EpisodeStatistics(PreviousAction(Silent()))
    played = acting.episodes(agent.network, agent.init(KEY).params, endless, KEY, 2, horizon=3)
    assert played.cut.all() and played.lengths.tolist() == [3, 3]


def test_gymnax_environments_are_played_by_their_time_limit():
    assert play(gymnax.make("Pendulum-v1")[0], KEY).truncated[-1]


# ---------------------------------------------------------------------------------------------- names beside one's own environment


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"env": "RepeatPreviosEasy"},
            "no environment is called 'RepeatPreviosEasy'. Did you mean 'RepeatPreviousEasy'",
        ),
        ({"env_options": (("k", 3),)}, "env_options must be empty beside an environment of your own; got"),
        ({"eval_env_options": (("k", 3),)}, "eval_env_options must be empty beside an environment of your own; got"),
    ],
)
def test_a_config_that_asks_for_another_environment_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        ppo.make(dataclasses.replace(SMALL, **change), Probe())


def test_options_of_an_evaluation_in_an_environment_of_ones_own_are_refused():
    config = dataclasses.replace(SMALL, env_options=(("k", 3),), eval_env_options=(("k", 4),))
    assert ppo.make(config).eval_env.k == 4
    with pytest.raises(ValueError, match="eval_env_options must be empty"):
        ppo.make(config, eval_env=make("RepeatPreviousEasy"))


# ---------------------------------------------------------------------------------------------- states that are given away


@pytest.mark.parametrize("start", ["reset", "reset_env"])
def test_a_state_may_be_donated(start):
    """A start is kept beside the state that it began, and is no less a buffer of its own."""
    env = Trials(Probe(), 2, fresh=False)
    _, state = getattr(env, start)(KEY, env.default_params)
    step = jax.jit(env.step, donate_argnums=1)
    for _ in range(2):
        _, state, *_ = step(KEY, state, 0)
    assert state.time == 2


# ---------------------------------------------------------------------------------------------- dictionaries and images


class Seen(struct.PyTreeNode):
    time: jax.Array
    goal: jax.Array


@dataclasses.dataclass(frozen=True)
class Picture(Environment):
    """Shows a picture of bytes with one bright pixel, and a goal: say whether the pixel is in the goal's half."""

    horizon = property(lambda self: 4)

    def observation_space(self, params):
        parts = {"image": spaces.Box(0, 255, (5, 5, 1), jnp.uint8), "goal": spaces.Box(-1.0, 1.0, (2,))}
        return gymnax.environments.spaces.Dict(parts)

    def action_space(self, params):
        return spaces.Discrete(2)

    def _show(self, state):
        image = jnp.zeros((5, 5, 1), jnp.uint8).at[state.time, 2].set(255)
        return {"image": image, "goal": state.goal}

    def reset_env(self, key, params):
        state = Seen(jnp.int32(0), jax.random.normal(key, (2,)))
        return self._show(state), state

    def transition(self, key, state, action, params):
        after = state.replace(time=state.time + 1)
        return self._show(after), after, (action == (state.time > 2)).astype(int), jnp.bool_(False), {}


class Looking(nn.Module):
    """A network of one's own: a convolution for the picture, the goal beside it, a memory and two heads."""

    memory: S5Stack = S5Stack(8, 8, 1)

    @nn.compact
    def __call__(self, carry, obs, resets, prepared=None):
        seen = nn.relu(nn.Conv(2, (3, 3))(obs["image"] / 255)).reshape(*resets.shape, -1)
        tokens = nn.Dense(8)(jnp.concatenate([seen, obs["goal"]], -1))
        carry, y = self.memory(carry, tokens, resets, prepared)
        return carry, Categorical(nn.Dense(2)(y)), nn.Dense(1)(y)[..., 0]

    def initial_carry(self, batch_size):
        return self.memory.initial_carry(batch_size)

    def prepare(self):
        return self.memory.prepare()


def test_a_network_of_ones_own_reads_pictures_and_dictionaries():
    config = dataclasses.replace(SMALL, previous_action=False, memory="s5")
    agent = ppo.make(config, Picture(), network=Looking())
    state = jax.jit(agent.init)(KEY)
    assert state.obs["image"].dtype == jnp.uint8
    after, metrics = jax.jit(agent.update)(state)
    moved = jax.tree.map(lambda new, old: bool((new != old).any()), after.params, state.params)
    assert moved["params"]["Conv_0"]["kernel"] and np.isfinite(metrics["loss"])
    assert jax.jit(agent.evaluate)(after)["length"] == 4


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({}, ValueError, "env must have vectors as observations; Picture has .*network=.*previous_action=False"),
        ({"network": Looking()}, ValueError, "env must have vectors as observations.*previous_action=False"),
        (
            {"network": Looking},
            TypeError,
            "network must be an object with initial_carry and prepare; got <class .*Looking",
        ),
        (
            {"network": nn.Dense(2)},
            TypeError,
            "network must be an object with initial_carry and prepare; got Dense",
        ),
    ],
)
def test_a_network_that_cannot_read_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        ppo.make(SMALL, Picture(), **options)


def test_an_evaluation_of_other_observations_is_refused():
    config = dataclasses.replace(SMALL, previous_action=False)
    with pytest.raises(ValueError, match="eval_env must have the observations and actions of env"):
        ppo.make(config, Picture(), Probe(), network=Looking())


# ---------------------------------------------------------------------------------------------- params


def test_params_of_ones_own_take_the_place_of_the_defaults():
    """Pushed back and forth, a pole falls later in weak gravity; the time limit in the params is the horizon."""
    pole = gymnax.make("CartPole-v1")[0]
    params = pole.default_params.replace(gravity=0.1, max_steps_in_episode=77)
    env = WithParams(pole, params)
    assert env.horizon == 77 and env == WithParams(pole, params) and hash(env) == hash(WithParams(pole, params))
    weak, given, strong = (
        play(each, KEY, lambda key, state, obs: state.time % 2, told).active.sum()
        for each, told in ((env, None), (pole, params), (pole, None))
    )
    assert weak == given > strong
    assert ppo.make(SMALL, env).eval_env.default_params == params


@pytest.mark.parametrize(
    "make_it, error, message",
    [
        (
            lambda pole: WithParams(pole, {"gravity": 1.0}),
            TypeError,
            "params must be of the kind of env's own, EnvParams",
        ),
        (
            lambda pole: WithParams(TimeLimit(pole, 5), pole.default_params),
            ValueError,
            "inside all wrappers; got TimeLimit",
        ),
        (
            lambda pole: WithParams(pole, pole.default_params.replace(gravity=jnp.ones(()))).reset(KEY),
            ValueError,  # jax's own, which says why
            "params must be plain numbers here; those that hold arrays go by vectorize",
        ),
    ],
)
def test_bad_params(make_it, error, message):
    with pytest.raises(error, match=message):
        make_it(gymnax.make("CartPole-v1")[0])


def test_agents_are_trained_side_by_side_under_params_of_their_own():
    pole = gymnax.make("CartPole-v1")[0]

    def fall(gravity):
        agent = ppo.make(SMALL, WithParams(pole, pole.default_params.replace(gravity=gravity)))
        state, _ = agent.update(agent.init(KEY))
        return agent.evaluate(state)["length"]

    weak, strong = jax.jit(jax.vmap(fall))(jnp.array([1.0, 50.0]))
    assert weak == jax.jit(fall)(1.0) > strong


def heavier(key, params):
    return params.replace(m=jax.random.uniform(key, minval=0.5, maxval=2.0))


def test_each_episode_may_draw_its_own_params():
    """A pendulum's mass is drawn anew for each episode, kept to its end, and is what the physics go by."""
    pendulum = gymnax.make("Pendulum-v1")[0]
    env = VariedParams(TimeLimit(pendulum, 3), heavier)
    envs = vectorize(env, 4)

    def step(state, key):
        out = envs.step(key, state, jnp.ones((4, 1)))
        return out[1], (out[1].env_state.params.m, out[4])

    state = envs.reset(KEY)[1]
    first = state.env_state.params.m
    masses, ended = map(np.asarray, jax.lax.scan(step, state, jax.random.split(KEY, 9))[1])
    assert ended.sum(0).tolist() == [3] * 4
    kept = np.concatenate([first[None], masses])
    assert len(np.unique(kept)) == 16 and (kept >= 0.5).all() and (kept <= 2).all()
    np.testing.assert_array_equal((np.diff(kept, axis=0) != 0), ended)
    _, one = env.reset_env(KEY, env.default_params)
    obs = env.step_env(KEY, one, jnp.ones(1), env.default_params)[0]
    own = pendulum.step_env(KEY, one.env_state.env_state, jnp.ones(1), one.params)[0]
    np.testing.assert_array_equal(obs, own)
    agent = ppo.make(SMALL, env)
    assert np.isfinite(jax.jit(agent.update)(jax.jit(agent.init)(KEY))[1]["loss"])
