"""gymnax's environments in our wrappers, ours in its, the same episodes step for step, and none of it needed."""

import subprocess
import sys
from functools import partial

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments.environment import Environment as GymnaxEnvironment
from gymnax.wrappers.gym import GymnaxToGymWrapper
from gymnax.wrappers.purerl import FlattenObservationWrapper, LogWrapper, StickyActionWrapper

from s5lib.envs import EpisodeStatistics, TimeLimit, Wrapper, make, vectorize

from .test_base import Probe

KEY = jax.random.key(0)


def run(env, steps=60):
    """What ``reset`` and ``step`` give, over several ends of episodes."""
    params = env.default_params

    def step(state, key):
        key_act, key_step = jax.random.split(key)
        out = env.step(key_step, state, env.action_space(params).sample(key_act), params)
        return out[1], out

    obs, state = env.reset(KEY, params)
    return jax.tree.map(np.asarray, (obs, jax.lax.scan(step, state, jax.random.split(KEY, steps))[1]))


def same(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    jax.tree.map(np.testing.assert_array_equal, left, right)


class Theirs(GymnaxEnvironment):
    """Our environment under gymnax's own ``reset`` and ``step``."""

    def __init__(self, env):
        self.env = env

    def __getattribute__(self, name):
        if name in ("env", "reset", "step") or name.startswith("__"):
            return super().__getattribute__(name)
        return getattr(self.env, name)


@pytest.mark.parametrize("env", [Probe(), make("RepeatPreviousEasy"), make("PositionOnlyPendulumEasy", max_steps=5)])
def test_reset_and_step_are_gymnax_own(env):
    mine = run(env)
    same(mine, run(Theirs(env)))
    ended = mine[1][3] | mine[1][4]
    assert ended.any() and set(mine[1][5]) >= {"terminated", "truncated", "final_observation"}


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_gymnax_environments_are_unchanged_in_our_wrapper(name):
    env, _ = gymnax.make(name)
    obs, (*_, reward, terminated, truncated, info) = run(env)
    mine_obs, (*_, mine_reward, mine_terminated, mine_truncated, mine_info) = run(Wrapper(env))
    same((terminated, truncated), (mine_terminated, mine_truncated))
    theirs, mine = (obs, reward, info["final_observation"]), (mine_obs, mine_reward, mine_info["final_observation"])
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), mine, theirs
    )  # jax 0.12 rounds the two otherwise
    envs = vectorize(EpisodeStatistics(TimeLimit(env, 7)), 3)
    _, state = envs.reset(KEY)
    action = jax.vmap(env.action_space(env.default_params).sample)(jax.random.split(KEY, 3))
    for _ in range(7):
        _, state, *_, truncated, info = envs.step(KEY, state, action)
    assert truncated.all() and (info["episode_length"] == 7).all()


def test_gymnax_wrappers_around_our_environments():
    env = make("RepeatPreviousEasy")
    params = env.default_params
    for wrapped in (LogWrapper(env), StickyActionWrapper(env, 0.5), FlattenObservationWrapper(env)):
        _, state = wrapped.reset(KEY, params)
        assert len(wrapped.step(KEY, state, 0, params)) == 6
    assert FlattenObservationWrapper(env).observation_space(params).shape == (4,)
    gym = GymnaxToGymWrapper(env, seed=3)
    assert gym.action_space.n == 4 and gym.observation_space.shape == (4,)
    obs, _ = gym.reset()
    assert obs.shape == (4,) and len(gym.step(0)) == 5


USE = """
import jax
from s5lib import envs
key = jax.random.key(0)
for name in envs.env_names() + ["ProjectedCartPole"]:
    env = envs.make(name)
    env.observation_space(env.default_params), env.describe()
    space = env.action_space(env.default_params)

    def few(key):
        state = env.reset(key)[1]
        many = envs.vectorize(envs.EpisodeStatistics(envs.PreviousAction(env)), 2)
        actions = jax.vmap(space.sample)(jax.random.split(key, 2))
        return env.step(key, state, space.sample(key)), many.step(key, many.reset(key)[1], actions)

    if name.endswith(("Easy", "Pole")):
        jax.eval_shape(few, key)  # traced: compiling would take minutes
env = envs.make("MemoryChain")
assert len(env.step(key, env.reset(key)[1], 1)) == 6
poles = envs.ManyWorlds((envs.make("PositionOnlyPendulumEasy"), envs.make("PositionOnlyPendulumHard", max_steps=200)))
jax.eval_shape(envs.vectorize(poles, 2).reset, key)
from s5lib import checks, distributions, experiments, ppo
assert distributions.parameter_count(envs.make("BattleshipEasy").action_space(None)) == 16
jax.eval_shape(ppo.make(experiments.get("projected-cartpole-s5", "smoke").config).init, key)
"""


@pytest.mark.parametrize("absent", [False, True], ids=["installed", "absent"])
def test_nothing_of_ours_needs_gymnax(absent):
    """Built, stepped and many at once: gymnax is not imported where it is there, nor missed where it is not."""
    before = "import sys; sys.modules['gymnax'] = None\n" if absent else "import sys\n"
    after = "\nassert not [name for name in sys.modules if name.startswith('gymnax.')]"
    after += "" if absent else "\nassert 'gymnax' not in sys.modules and 'gymnasium' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", before + USE + after], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_num_actions_and_name():
    env = make("RepeatPreviousEasy")
    assert env.name == "RepeatPrevious" and env.num_actions == 4
    assert env.default_params.max_steps_in_episode == env.horizon
    assert env.default_params.replace(max_steps_in_episode=3).max_steps_in_episode == 3
    assert jnp.shape(env.reset(KEY, gymnax.EnvParams(max_steps_in_episode=2))[0]) == (4,)
