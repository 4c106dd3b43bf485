"""Several worlds in one batch: each as it is alone, none told from another by anything but what it does."""

import dataclasses
from functools import cache
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from s5lib import ppo
from s5lib.envs import (
    Environment,
    EpisodeStatistics,
    ManyWorlds,
    Padded,
    PreviousAction,
    Projection,
    TimeLimit,
    make,
    physics_names,
    spaces,
    vectorize,
)
from s5lib.envs.tasks import HELD_OUT, SPREADS, TRAIN, measure_spread
from s5lib.envs.wrappers import Standardized

from .agreement import at

KEY = jax.random.key(0)


class TinyState(struct.PyTreeNode):
    time: jax.Array
    ticket: jax.Array
    moved: jax.Array


@dataclasses.dataclass(frozen=True)
class Tiny(Environment):
    """Shows its ticket, drawn at the start, and its last action, ``size`` numbers in all; pays ``pay`` a step."""

    size: int = 2
    pay: float = 1.0
    length: int = 4
    reach: float = 1.0
    width: int = 1
    broken: bool = False

    horizon = property(lambda self: self.length)

    def observation_space(self, params):
        return spaces.Box(-5.0, 5.0, (self.size,))

    def action_space(self, params):
        return spaces.Box(-self.reach, self.reach, (self.width,))

    def _see(self, state):
        return jnp.zeros(self.size).at[0].set(state.ticket).at[1].set(state.moved)

    def reset_env(self, key, params):
        state = TinyState(jnp.int32(0), jax.lax.asinh(jax.random.uniform(key)), jnp.float32(0))
        return self._see(state), state

    def transition(self, key, state, action, params):
        state = state.replace(time=state.time + 1, moved=action[0])
        reward = jnp.float32(jnp.nan if self.broken else self.pay)
        return self._see(state) * (jnp.nan if self.broken else 1), state, reward, jnp.bool_(False), {"paid": reward}


def pendulums():
    return tuple(make("PositionOnlyPendulum" + level, max_steps=20) for level in ("Easy", "Hard"))


# ---------------------------------------------------------------------------------------------- padding


def test_padding():
    """Observations end in zeros; actions are stretched to the world's box, and what is too many moves nothing."""
    env = Padded(Tiny(size=2, reach=3.0), 5, 2)
    params = env.default_params
    obs, state = env.reset_env(KEY, params)
    own, _ = env.env.reset_env(KEY, params)
    np.testing.assert_array_equal(obs, [*own, 0, 0, 0])
    np.testing.assert_array_equal(env.observation_space(params).low, [-5, -5, 0, 0, 0])
    for action, moved in (([0.5, 0.9], 1.5), ([-1, 0], -3), ([0.25, -1], 0.75)):
        obs, *_ = env.step_env(KEY, state, np.array(action, np.float32), params)
        np.testing.assert_array_equal(obs, [own[0], moved, 0, 0, 0])
    wide = Padded(gymnax.make("Pendulum-v1")[0], 3, 1)
    assert wide.observation_space(wide.default_params).shape == (3,) and wide.horizon == 200


def test_best_action_of_a_padded_world():
    env = Padded(make("PositionOnlyPendulumEasy"), 4, 3)
    _, state = env.reset(KEY)
    action = env.best_action(state)
    assert action.shape == (3,) and not action[1:].any()
    np.testing.assert_allclose(2 * action[:1], env.env.best_action(state.env_state), rtol=1e-6)


def test_bad_padding():
    world = Tiny(size=3, width=2)
    with pytest.raises(ValueError, match="obs_size = 2 is too small for Tiny: it has 3 observations"):
        Padded(world, 2, 2)
    with pytest.raises(ValueError, match="action_size = 1 is too small for Tiny: it has 2 actions"):
        ManyWorlds((world,), action_size=1)
    with pytest.raises(ValueError, match="obs_size = 2 is too small for Tiny: it has 3 observations"):
        ManyWorlds((Tiny(), world), obs_size=2)
    with pytest.raises(TypeError, match="obs_size must be an integer"):
        Padded(world, 3.5, 2)
    with pytest.raises(ValueError, match="env must have vectors as actions; CartPole has Discrete"):
        ManyWorlds((make("PositionOnlyCartPoleEasy"),))
    with pytest.raises(ValueError, match="env must have bounded actions"):
        Padded(Tiny(reach=np.inf), 4, 2)

    class Pictures(Tiny):
        def observation_space(self, params):
            return spaces.Box(0.0, 1.0, (4, 4))

    with pytest.raises(ValueError, match="env must have vectors as observations; Pictures has"):
        ManyWorlds((Tiny(), Pictures()))


# ---------------------------------------------------------------------------------------------- many worlds


STEPS = 45


def scan(envs, state, keys, actions):
    def step(state, now):
        key, action = now
        out = envs.step(key, state, action)
        return out[1], (out[0], *out[2:])

    return jax.lax.scan(step, state, (keys, actions))[1]


def actions(worlds, num_envs):
    return jax.random.uniform(KEY, (STEPS, num_envs, *worlds.action_space().shape), minval=-1, maxval=1)


@cache
def together(worlds: Any, num_envs: int):
    """The first observations, and ``STEPS`` random steps of a batch."""
    envs = vectorize(worlds, num_envs)

    @jax.jit
    def run(key):
        obs, state = envs.reset(key)
        return obs, scan(envs, state, jax.random.split(key, STEPS), actions(worlds, num_envs))

    return jax.tree.map(np.asarray, run(KEY))


def alone(worlds: Any, num_envs: int):
    """The same of each world's part by itself, with the keys and actions that it has in the batch."""
    n = len(worlds.worlds)
    mine = jnp.split(actions(worlds, num_envs), n, axis=1)

    @jax.jit
    def run(key):
        parts = []
        keys = jax.vmap(lambda key: jax.random.split(key, n))(jax.random.split(key, STEPS))
        for i, (world, start) in enumerate(zip(worlds.worlds, jax.random.split(key, n), strict=True)):
            part = vectorize(world, num_envs // n)
            obs, state = part.reset(start)
            parts.append((obs, scan(part, state, keys[:, i], mine[i])))
        return parts

    return jax.tree.map(np.asarray, run(KEY))


def test_each_world_is_as_it_is_alone():
    """Over two ends of every episode: observations, rewards, flags and last observations, all of each world's own part."""
    worlds = ManyWorlds((*pendulums(), Tiny(size=5, length=20, width=2)))
    obs, rows = together(worlds, 6)
    assert obs.shape == (6, 5)
    for i, (own_obs, own_rows) in enumerate(alone(worlds, 6)):
        part = slice(2 * i, 2 * i + 2)
        np.testing.assert_array_equal(obs[part], own_obs)
        *mine, info = at(rows, (slice(None), part))
        *own, own_info = own_rows
        for ours, theirs in zip(mine, own, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(info["final_observation"], own_info["final_observation"])
        assert own[3][19].all() and own[3][39].all(), "truncated at 20 and 40"
    assert set(rows[-1]) == {"final_observation"}, "what one world alone reports is left out"


def test_partition():
    worlds = ManyWorlds(tuple(Tiny(pay=float(pay)) for pay in (10, 20, 30)))
    envs = vectorize(worlds, 12)
    assert envs.world.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    _, rows = together(worlds, 12)
    np.testing.assert_array_equal(rows[1], np.broadcast_to(10.0 * (1 + envs.world), rows[1].shape))
    assert worlds.names == ("Tiny 1", "Tiny 2", "Tiny 3") and set(rows[-1]) == {"final_observation", "paid"}
    first = rows[0][0, :, 0]
    assert len(np.unique(first)) == 12, "each environment has a start of its own"


def test_a_broken_world_stays_alone():
    """NaN of one world in observation and reward; the other's numbers are those it has beside a sound one."""
    _, rows = together(ManyWorlds((Tiny(broken=True), Tiny())), 4)
    _, sound = together(ManyWorlds((Tiny(), Tiny())), 4)
    assert np.isnan(rows[1][:, :2]).all() and np.isnan(rows[-1]["final_observation"][:, :2, 1]).all()
    for ours, theirs in zip(rows[:-1], sound[:-1], strict=True):
        np.testing.assert_array_equal(ours[:, 2:], theirs[:, 2:])


def test_worlds_of_one_size_stay_as_they_are():
    plain = ManyWorlds((Tiny(), Tiny(pay=2.0)))
    assert plain.worlds == (Tiny(), Tiny(pay=2.0)) and plain == ManyWorlds([Tiny(), Tiny(pay=2.0)])
    assert hash(plain) == hash(ManyWorlds([Tiny(), Tiny(pay=2.0)]))
    projected = ManyWorlds((Projection(Tiny(size=3, width=2), 6, 2), Projection(Tiny(), 6, 2)))
    assert all(isinstance(world, Projection) for world in projected.worlds)
    stretched = ManyWorlds((Tiny(reach=2.0), Tiny()))
    assert all(isinstance(world, Padded) for world in stretched.worlds), "boxes differ, though sizes do not"


def test_wrappers_go_around_each_world():
    worlds = ManyWorlds((Tiny(size=3), Tiny())).wrap(
        lambda world: EpisodeStatistics(PreviousAction(world, reward=True))
    )
    assert worlds.observation_space().shape == (3 + 1 + 2,) and worlds.horizon == 4
    obs, rows = together(worlds, 4)
    np.testing.assert_array_equal(obs[:, -1], 1)
    np.testing.assert_array_equal(rows[-1]["episode_length"][:5, 0], [1, 2, 3, 4, 1])
    np.testing.assert_array_equal(
        rows[-1]["final_observation"][:, :, -3], np.float32(rows[-1]["final_observation"][:, :, 1])
    )
    with pytest.raises(TypeError, match=r"wrap each with ManyWorlds.wrap"):
        vectorize(EpisodeStatistics(worlds), 4).reset(KEY)
    for use in (worlds.reset, worlds.step, worlds.reset_env, worlds.step_env):
        with pytest.raises(TypeError, match=r"step them with vectorize\(worlds, num_envs\)"):
            use(KEY)


def test_bad_worlds():
    with pytest.raises(ValueError, match="worlds must hold at least one environment; got none"):
        ManyWorlds(())
    with pytest.raises(ValueError, match=r"episodes of one length; got Tiny 4, Tiny 7. TimeLimit cuts longer ones"):
        ManyWorlds((Tiny(), Tiny(length=7)))
    assert ManyWorlds((Tiny(), TimeLimit(Tiny(length=7), 4))).horizon == 4
    with pytest.raises(
        ValueError, match=r"num_envs must be a multiple of 2, the number of worlds; got 7. The nearest: 6 and 8"
    ):
        vectorize(ManyWorlds((Tiny(), Tiny())), 7)
    with pytest.raises(ValueError, match="num_envs must be a positive integer; got 0"):
        vectorize(ManyWorlds((Tiny(), Tiny())), 0)
    envs = vectorize(ManyWorlds((Tiny(), Tiny())), 4)
    _, state = envs.reset(KEY)
    with pytest.raises(ValueError, match=r"action must have shape \(4, 1\); got \(2, 1\)"):
        envs.step(KEY, state, np.zeros((2, 1), np.float32))


# ---------------------------------------------------------------------------------------------- the agent

CONFIG = ppo.PPOConfig(
    memory="none", features=16, encoder=(16,), head=(16,), num_envs=8, num_steps=8, num_minibatches=2, eval_episodes=6,
    previous_reward=True,
)  # fmt: skip


@cache
def agent():
    return ppo.make(CONFIG, env=ManyWorlds((Tiny(pay=1.0), Tiny(size=3, pay=5.0))))


def test_the_agent_trains_on_many_worlds():
    """An update moves the weights; returns are told by world, in training and in evaluation; seeds go side by side."""
    learner = agent()
    states = jax.jit(jax.vmap(learner.init))(jax.random.split(KEY, 2))
    after, metrics = jax.jit(jax.vmap(learner.update))(states)
    moved = jax.tree.map(lambda old, new: float(jnp.abs(old - new).max()), states.params, after.params)
    assert max(jax.tree.leaves(moved)) > 0 and np.isfinite(metrics["loss"]).all()
    assert after.obs.shape == (2, 8, 3 + 1 + 2)
    wanted = {"return/Tiny 1": 4.0, "return/Tiny 2": 20.0, "return": 12.0, "episodes": 16}
    for name, value in wanted.items():
        np.testing.assert_array_equal(metrics[name], [value] * 2, err_msg=name)
    result = jax.jit(learner.evaluate)(at(after, 0))
    told = {name: float(value) for name, value in result.items()}
    assert told == {"return": 12, "return_se": 0, "length": 4, "return/Tiny 1": 4, "return/Tiny 2": 20}


def test_worlds_that_were_trained_on_and_others_are_told_apart():
    class Other(Tiny):
        pass

    class Third(Tiny):
        pass

    trained = (Tiny(pay=1.0), Other(size=3, pay=5.0))
    learner = ppo.make(CONFIG, ManyWorlds(trained), ManyWorlds((*trained, Third(pay=9.0))))
    told = jax.jit(learner.evaluate)(jax.jit(learner.init)(KEY))
    assert told["return"] == 20 and told["return_trained"] == 12 and told["return_held_out"] == 36
    assert told["return/Third"] == 36


def test_shares_are_checked_when_the_agent_is_made():
    worlds = ManyWorlds((Tiny(), Tiny(), Tiny()))
    with pytest.raises(ValueError, match="num_envs must be a multiple of 3, the number of worlds; got 8"):
        ppo.make(CONFIG, env=worlds)
    with pytest.raises(ValueError, match="eval_episodes must be a multiple of 3, the number of worlds; got 8"):
        ppo.make(dataclasses.replace(CONFIG, num_envs=6, eval_episodes=8), env=worlds)


def test_a_start_is_compiled_once():
    """Each program holds the start of a world once, however costly it is: it is the larger half of what physics compiles to."""

    def starts(function, *args):
        return jax.jit(function).lower(*args).as_text().count("chlo.asinh")

    envs = vectorize(Tiny(), 4)
    state = jax.eval_shape(envs.reset, KEY)[1]
    assert starts(envs.reset, KEY) == 1
    assert starts(envs.step, KEY, state, jnp.zeros((4, 1))) == 1
    two = jax.eval_shape(jax.vmap(envs.reset), jax.random.split(KEY, 2))[1]
    assert starts(jax.vmap(envs.step), jax.random.split(KEY, 2), two, jnp.zeros((2, 4, 1))) == 1
    learner = agent()
    assert starts(learner.update, jax.eval_shape(learner.init, KEY)) == 2, "two worlds, one start each"


# ------------------------------------------------------------------------------------------ projected worlds by name
TWO = ("CartpoleSwingup", "PointMass")


@pytest.mark.parametrize("project", ["both", "observations", "actions", "neither"])
def test_projected_worlds_share_their_sizes(project):
    """Each world keeps its own part of the batch; what is not projected is the world's own, and zeros."""
    env = make("ProjectedWorlds", worlds=TWO, project=project)
    assert env.names == TWO and env.horizon == 1000 and env == make("ProjectedWorlds", worlds=TWO, project=project)
    assert env.observation_space().shape == (12,) and env.action_space().shape == (2,)
    envs = vectorize(env, 4)
    obs, state = envs.reset(KEY)
    assert obs.shape == (4, 12)
    seen = project in ("both", "observations")
    assert np.any(np.asarray(obs[:2, 5:]) != 0) == seen  # cart pole has 5 numbers of its own, the point mass 4
    acts = np.isinf(env.action_space().high).all()
    assert acts == (project in ("both", "actions"))
    obs, state, reward, *_ = envs.step(KEY, state, jnp.zeros((4, 2)))
    assert np.isfinite(obs).all() and np.isfinite(reward).all()


@pytest.mark.parametrize("standardized", [True, False])
def test_a_projection_of_the_whole_world_undone_is_the_world(standardized):
    """Seen through M_o and moved through M_a as ``Projection`` says: the world's own numbers come back."""
    world = make("PointMass")
    if standardized:
        world = Standardized(world, *SPREADS["PointMass"])
    (projected,) = make("ProjectedWorlds", worlds=("PointMass",), standardized=standardized).worlds
    key_world, _ = jax.random.split(KEY)
    obs, state = projected.reset_env(KEY, None)
    own, plain = world.reset_env(key_world, None)
    np.testing.assert_allclose(np.linalg.pinv(state.obs_matrix) @ obs, own, atol=1e-5)
    answer = jnp.array([0.3, -0.2])
    obs, state, reward, *_ = projected.step_env(KEY, state, answer, None)
    own, plain, paid, *_ = world.step_env(KEY, plain, jnp.clip(state.action_matrix @ answer, -1, 1), None)
    np.testing.assert_allclose(np.linalg.pinv(state.obs_matrix) @ obs, own, atol=1e-5)
    assert reward == pytest.approx(float(paid), abs=1e-6)


def test_standardized():
    """Two numbers, each with a mean and a spread of its own; the bounds of the space move along."""
    env = Standardized(Tiny(), mean=(1, -2), std=(0.5, 4))
    plain, (obs, state) = Tiny().reset_env(KEY, None)[0], env.reset_env(KEY, None)
    np.testing.assert_allclose(obs, (plain - jnp.array([1, -2])) / jnp.array([0.5, 4]), rtol=1e-6)
    after = env.step_env(KEY, state, jnp.zeros(env.action_space(None).shape), None)[0]
    plain = Tiny().step_env(KEY, Tiny().reset_env(KEY, None)[1], jnp.zeros(env.action_space(None).shape), None)[0]
    np.testing.assert_allclose(after, (plain - jnp.array([1, -2])) / jnp.array([0.5, 4]), rtol=1e-6)
    space, own = env.observation_space(None), Tiny().observation_space(None)
    np.testing.assert_allclose(space.low, (jnp.broadcast_to(own.low, 2) - jnp.array([1, -2])) / jnp.array([0.5, 4]))
    for mean, std, message in (
        ((1,), (1, 1), "mean must be 2 numbers"),
        ((0, 0), (1, 0), "std must be 2 positive numbers"),
        ((0, np.nan), (1, 1), "mean must be 2 numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            Standardized(Tiny(), mean, std)


@pytest.mark.parametrize("name", ["CartpoleSwingup", "PointMass", "PendulumSwingup"])
def test_spreads_are_what_is_measured(name):
    """Other starts and other actions than those that made the table: the same spread, up to chance; a pole that turns
    round and round is rare and fast, so its speed is the least certain of all."""
    mean, std = measure_spread(make(name), seed=1)
    table_mean, table_std = map(np.array, SPREADS[name])
    np.testing.assert_allclose(std, table_std, rtol=0.6, atol=2e-3)
    assert np.all(np.abs(mean - table_mean) < 0.5 * table_std)


def test_worlds_and_projections_to_hold_out():
    assert not set(TRAIN) & set(HELD_OUT) and set(TRAIN + HELD_OUT) <= set(SPREADS) <= set(physics_names())
    seen, unseen = (make("ProjectedWorlds", worlds=("PointMass",), held_out=held).worlds[0] for held in (False, True))
    for index in range(5):
        assert not np.allclose(seen.matrices(index)[0], unseen.matrices(index)[0])


@pytest.mark.parametrize(
    "options, message",
    [
        ({"worlds": ()}, "worlds must hold at least one environment"),
        ({"worlds": ("CartpoleSwingUp",)}, "Did you mean 'CartpoleSwingup'"),
        ({"worlds": ("CheetahRun",)}, "standardized must be False, or every world one of CartpoleSwingup"),
        ({"worlds": TWO, "obs_size": 4}, "obs_size must be at least 5"),
        ({"worlds": TWO, "obs_size": 4, "project": "neither"}, "obs_size = 4 is too small for CartpoleSwingup"),
        ({"worlds": TWO, "action_size": 1}, "action_size must be at least 2"),
        ({"worlds": TWO, "project": "rewards"}, "project must be one of 'both', 'observations', 'actions', 'neither'"),
    ],
)
def test_bad_projected_worlds(options, message):
    with pytest.raises(ValueError, match=message):
        make("ProjectedWorlds", **options)
