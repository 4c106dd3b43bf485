"""Physics worlds beside their packages: the same numbers, step for step; what the bridge adds are starts, limits and safety."""

import subprocess
import sys
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s5lib import ppo
from s5lib.envs import Brax, ManyWorlds, Playground, describe, env_names, make, physics_names, vectorize
from s5lib.envs.physics import _quietly

from .agreement import at

with _quietly():
    from brax.envs import Env, State
    from brax.envs.wrappers.training import AutoResetWrapper, EpisodeWrapper

KEY = jax.random.key(0)
COUNT = 3
# The cheapest of each package to compile. The pendulum never ends by itself; the poles fall within 20 random steps.
LIMIT = {"PendulumSwingup": 30, "brax/inverted_double_pendulum": 30}
STEPS = 64


@cache
def world(name: str):
    env = make(name, max_steps=LIMIT[name])
    envs = vectorize(env, COUNT)
    shape = (STEPS, COUNT, *env.action_space(None).shape)
    actions = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)

    @jax.jit
    def run(state):
        def step(state, now):
            key, action = now
            out = envs.step(key, state, action)
            return out[1], (out[0], *out[2:])

        return jax.lax.scan(step, state, (jax.random.split(KEY, STEPS), actions))[1]

    return env, jax.jit(envs.reset)(KEY), run, actions


@cache
def played(name: str):
    _, (obs, state), run, _ = world(name)
    return jax.tree.map(np.asarray, (obs, run(state)))


@cache
def own(name: str):
    """What the package itself shows, pays and says from the same starts under the same actions, never reset."""
    env, _, _, actions = world(name)

    @jax.jit
    def run(keys):
        start = jax.vmap(env.source.reset)(keys)

        def step(state, action):
            state = jax.vmap(env.source.step)(state, action)
            return state, (state.obs, state.reward, state.done)

        return start.obs, jax.lax.scan(step, start, actions)[1]

    with _quietly():
        return jax.tree.map(np.asarray, run(jax.random.split(jax.random.split(KEY)[0], COUNT)))


@pytest.mark.parametrize("name", LIMIT)
def test_equals_the_package(name):
    """Observations, rewards and ends of the first episodes, up to and with the last step."""
    obs, (_, reward, terminated, truncated, info) = played(name)
    start, (shown, paid, done) = own(name)
    np.testing.assert_array_equal(obs, start)
    lengths = np.argmax(terminated | truncated, axis=0) + 1
    for i, length in enumerate(lengths):
        np.testing.assert_allclose(info["final_observation"][:length, i], shown[:length, i], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(reward[:length, i], paid[:length, i], rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(terminated[:length, i], done[:length, i] > 0)
    assert np.ptp(shown, axis=0).min() > 0 and not info["diverged"].any()
    if name.startswith("brax"):
        assert terminated.any() and not truncated[:20].any()


@pytest.mark.parametrize("name", LIMIT)
def test_every_start_is_fresh(name):
    """brax's and Playground's training wrappers would show the first start again."""
    obs, (seen, _, terminated, truncated, _) = played(name)
    starts = np.concatenate([obs, seen[terminated | truncated]])
    assert len(starts) >= 3 * COUNT and len(np.unique(starts, axis=0)) == len(starts)


def test_the_time_limit_truncates():
    _, (_, _, terminated, truncated, _) = played("PendulumSwingup")
    assert not terminated.any()
    np.testing.assert_array_equal(
        truncated, np.broadcast_to((np.arange(1, STEPS + 1) % 30 == 0)[:, None], truncated.shape)
    )
    for name in LIMIT:
        env = make(name)
        assert env.horizon == 1000 == env.default_params.max_steps_in_episode


@pytest.mark.parametrize("name", LIMIT)
def test_a_diverged_world_ends_and_harms_no_other(name):
    _, (obs, state), run, _ = world(name)
    sound = played(name)[1]
    poison = jax.tree.map(
        lambda leaf: leaf.at[1].set(jnp.nan) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf,
        state.env_state.physics,
    )
    state = state.replace(env_state=state.env_state.replace(physics=poison))
    _, reward, terminated, truncated, info = broken = jax.tree.map(np.asarray, run(state))
    assert info["diverged"][0].tolist() == [False, True, False] and not info["diverged"][1:].any()
    assert terminated[0, 1] and not truncated[0, 1] and reward[0, 1] == 0
    np.testing.assert_array_equal(info["final_observation"][0, 1], obs[1])
    for leaf in jax.tree.leaves(broken):
        assert np.isfinite(leaf).all()
    length = 10
    for ours, theirs in zip(broken[:4], sound[:4], strict=True):  # until starts are handed out in another order
        np.testing.assert_array_equal(ours[:length, ::2], theirs[:length, ::2])


# ---------------------------------------------------------------------------------------------- names and packages


def test_names_are_the_packages():
    """All of the suite; of brax, all but its mock and the swimmer, which "spring" does not move."""
    with _quietly():
        from brax import envs
        from mujoco_playground import dm_control_suite

    brax = {f"brax/{name}" for name in set(envs._envs) - {"fast", "swimmer"}}
    assert set(physics_names()) == set(dm_control_suite.ALL_ENVS) | brax
    assert not set(physics_names()) & set(env_names())


def test_equal_options_make_equal_worlds():
    assert ManyWorlds((make("brax/inverted_double_pendulum"), make("PendulumSwingup"))).names == tuple(LIMIT)[::-1]
    assert make("PendulumSwingup") == Playground("PendulumSwingup") and hash(make("PendulumSwingup")) == hash(
        Playground("PendulumSwingup")
    )
    assert make("PendulumSwingup") != make("PendulumSwingup", max_steps=5)
    assert make("ReacherHard") == Playground("ReacherHard") != make("Reacher") == Playground("ReacherEasy")
    assert make("brax/inverted_double_pendulum") == Brax("inverted_double_pendulum", backend="spring")


@pytest.mark.parametrize("name", LIMIT)
def test_descriptions(name):
    told = describe(name)
    assert told.name == name and told.horizon == 1000
    covered = [int(end) for part, _ in told.observation for end in (part.split("-")[0], part.split("-")[-1])]
    assert covered[0] == 0 and covered[-1] == make(name).observation_space(None).shape[0] - 1
    assert all(left + 1 == right for left, right in zip(covered[1:-1:2], covered[2::2], strict=True))
    with pytest.raises(NotImplementedError, match="has no scripted player"):
        make(name).best_action(None)


def test_bad_worlds():
    with pytest.raises(ValueError, match=r"called 'CartpolSwingup'. Did you mean 'CartpoleSwingup'"):
        make("CartpolSwingup")
    with pytest.raises(ValueError, match=r"world must be one of .*; got 'Cartpole'"):
        Playground("Cartpole")
    with pytest.raises(ValueError, match=r"world must be one of .*; got 'reacher2'. Did you mean 'reacher'"):
        Brax("reacher2")
    with pytest.raises(ValueError, match="backend must be one of 'spring', 'positional', 'generalized'; got 'mjx'"):
        Brax("reacher", backend="mjx")
    with pytest.raises(ValueError, match="max_steps must be a positive integer; got 0"):
        make("PendulumSwingup", max_steps=0)
    with pytest.raises(TypeError, match="CartpoleSwingup has no option 'backend'; it has world, max_steps"):
        make("CartpoleSwingup", backend="spring")
    env, (_, state), *_ = world("PendulumSwingup")
    with pytest.raises(ValueError, match="action must lie in Box"):
        env.step_env(KEY, at(state.env_state, 0), np.array([1.5], np.float32), env.default_params)


class Drift(Env):
    """A brax environment of one's own, of the least there is: a point that is pushed, and falls off at 1."""

    observation_size, action_size, backend = 1, 1, "none"

    def reset(self, rng):
        x = jax.random.uniform(rng, (1,))
        return State(x, x, jnp.zeros(()), jnp.zeros(()), {"speed": jnp.zeros(())}, {"pushes": 0})

    def step(self, state, action):
        x, pushes = state.pipeline_state + action, state.info["pushes"] + 1
        done = jnp.where(x[0] > 1, 1.0, 0.0)
        return state.replace(
            pipeline_state=x,
            obs=x,
            reward=1.0 * pushes,
            done=done,
            metrics={"speed": action[0]},
            info={"pushes": pushes},
        )


def test_a_brax_environment_of_ones_own():
    """It pays the number of pushes, ends or is cut after 4 steps, and starts somewhere else each time."""
    own = Drift()
    env = Brax(own, max_steps=4)
    assert env.name == "brax/Drift" and env == Brax(own, max_steps=4) and env.describe().name == "brax/Drift"
    envs = vectorize(env, 2)
    obs, state = envs.reset(KEY)
    starts, flags = [*obs[:, 0]], []
    for key, push in zip(jax.random.split(KEY, 6), (0.0, 1.0, 0.0, 0.0, 0.0, 0.0), strict=True):
        seen, state, reward, terminated, truncated, _ = envs.step(key, state, jnp.array([[push], [0.0]]))
        flags.append([(float(r), bool(a), bool(b)) for r, a, b in zip(reward, terminated, truncated, strict=True)])
        starts += [seen[i, 0] for i in range(2) if terminated[i] or truncated[i]]
    falls, stays = zip(*flags, strict=True)
    assert falls == (
        (1, False, False),
        (2, True, False),
        (1, False, False),
        (2, False, False),
        (3, False, False),
        (4, False, True),
    )
    assert stays == (
        (1, False, False),
        (2, False, False),
        (3, False, False),
        (4, False, True),
        (1, False, False),
        (2, False, False),
    )
    assert len(np.unique(starts)) == len(starts) == 5
    agent = ppo.make(ppo.PPOConfig(memory="none", features=8, num_envs=2, num_steps=8, num_minibatches=1), env)
    assert jax.jit(agent.update)(agent.init(KEY))[1]["episodes"] >= 4


def test_what_is_no_brax_environment():
    with pytest.raises(ValueError, match=r"world must be the environment itself.*; got AutoResetWrapper"):
        Brax(AutoResetWrapper(EpisodeWrapper(Drift(), 5, 1)))
    for other in (Drift, object(), 3):
        with pytest.raises(
            TypeError, match=r"world must be a name or a brax.envs.Env, with reset, step and action_size; got"
        ):
            Brax(other)


def test_a_world_made_inside_a_trace_serves_outside():
    def inside(x):
        return x + make("PointMass").action_space(None).shape[0]

    assert jax.jit(inside)(1) == 3
    obs, state = jax.eval_shape(make("PointMass").reset_env, KEY, None)
    assert obs.shape == (4,) and state.time.shape == ()


def test_without_the_packages_the_command_that_installs_them_is_named():
    code = """
import sys
sys.modules.update(brax=None, mujoco_playground=None, mujoco=None)
from s5lib import envs
print(len(envs.physics_names()))
for name in ("CartpoleSwingup", "brax/reacher"):
    try:
        envs.make(name)
    except ImportError as error:
        print(error)
"""
    done: Any = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "35",
        "mujoco_playground is not installed; install it with: pip install 's5lib[physics]'",
        "brax is not installed; install it with: pip install 's5lib[physics]'",
    ]
