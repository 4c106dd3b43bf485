"""What all worlds with goals share: names, spaces, ends, and layouts that say where an instruction stands."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s5lib.envs import (
    ActionRepeat,
    EpisodeStatistics,
    PreviousAction,
    TimeLimit,
    describe,
    env_names,
    make,
    play,
)
from s5lib.envs.goals.instruction import Layout, goal_times, layout_of

from .agreement import episodes
from .rollouts import rollouts

KEY = jax.random.key(0)
NAMES = env_names(goals=True)
INSTRUCTED = [name for name in NAMES if name.startswith(("Maze", "Package"))]


def test_names():
    families = {name.removesuffix("Easy").removesuffix("Medium").removesuffix("Hard") for name in NAMES}
    assert families == {"DarkKeyToDoor", "MazeRunner", "MetaFrozenLake", "PackageDelivery", "TMaze"}
    assert not set(NAMES) & {*env_names(), *env_names(meta=True)}
    with pytest.raises(ValueError, match="meta and goals must not both be True"):
        env_names(meta=True, goals=True)
    with pytest.raises(ValueError, match="Did you mean 'MazeRunnerHard'"):
        make("MazeRunerHard")


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith(("Medium", "Hard"))] + ["TMazeMedium"])
def test_every_world(name):
    """Whole episodes under jit, vmap and scan; the same key plays the same; the spaces hold; each index is described."""
    env = make(name)
    params = env.default_params
    first, again, other = episodes(env), episodes(env), episodes(env, first_seed=100)
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert not np.array_equal(first.obs, other.obs)
    space, actions, active = env.observation_space(params), env.action_space(params), first.active
    assert first.obs.shape[1:] == (env.horizon, *space.shape) and first.obs.dtype == np.float32
    for seen in (first.obs[active], first.next_obs[active]):
        assert np.all((seen >= space.low) & (seen <= space.high))
    assert np.all(jax.vmap(actions.contains)(first.action[active]))
    assert np.all(((first.terminated | first.truncated) & active).sum(1) == 1) and not first.truncated[active].any()
    told = describe(name)
    assert told.name == name and told.horizon == env.horizon and told.best_return > told.random_return
    covered = [int(end) for part, _ in told.observation for end in (part.split("-")[0], part.split("-")[-1])]
    assert covered[0] == 0 and covered[-1] == space.shape[0] - 1
    assert all(left + 1 == right for left, right in zip(covered[1:-1:2], covered[2::2], strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_states_are_strongly_typed(name):
    """Before and after a step alike, so that a carried state is compiled once."""
    env = make(name)
    params = env.default_params
    obs, state = jax.eval_shape(env.reset_env, KEY, params)
    action = jnp.zeros(env.action_space(params).shape, env.action_space(params).dtype)
    stepped = jax.eval_shape(env.step_env, KEY, state, action, params)
    for leaf in jax.tree.leaves((obs, state, stepped[:2], stepped[4])):
        assert not leaf.weak_type
    jax.tree.map(
        lambda old, new: np.testing.assert_equal((old.shape, old.dtype), (new.shape, new.dtype)), state, stepped[1]
    )


@pytest.mark.parametrize("name", [name for name in INSTRUCTED if name.endswith("Easy")])
def test_an_instruction_is_read_and_replayed(name):
    """From the first observation and what each step achieved alone, the rewards follow."""
    env = make(name)
    batch, layout = rollouts(env, 60), env.layout
    goals, count = jax.tree.map(np.asarray, layout.read(jnp.array(batch.obs[:, 0])))
    np.testing.assert_array_equal(goals, batch.state.goals[:, 0])
    np.testing.assert_array_equal(count, batch.state.count[:, 0])
    np.testing.assert_allclose(layout.shown(jnp.array(goals)), batch.obs[:, 0, layout.goals], rtol=1e-6)
    times = jax.vmap(goal_times)(*map(jnp.array, (goals, count, batch.achieved, batch.achieved_any)))
    replayed = (np.asarray(times)[:, None] == np.arange(env.horizon)[:, None]).sum(-1)
    np.testing.assert_array_equal(replayed, batch.reward)
    assert (batch.reward.sum(1) < count).any() and (batch.reward.sum(1) == count).any()
    done = batch.obs[:, 1:, layout.done].sum(-1)
    held = np.arange(env.horizon) < batch.length[:, None]
    np.testing.assert_array_equal(done[held], batch.reward.cumsum(1)[held])
    np.testing.assert_allclose(batch.obs[:, 1:, layout.time][held], (held.cumsum(1) / env.horizon)[held], rtol=1e-6)


def test_goals_of_one_place_take_a_step_each():
    steps = jnp.array([[1.0], [2.0], [2.0], [1.0], [3.0]])
    goals, all_steps = jnp.array([[2.0], [2.0], [3.0]]), jnp.ones(5, bool)
    assert goal_times(goals, jnp.int32(3), steps, all_steps).tolist() == [1, 2, 4]
    assert goal_times(goals, jnp.int32(2), steps, all_steps).tolist() == [1, 2, 5]
    assert goal_times(goals, jnp.int32(3), steps, all_steps.at[1].set(False)).tolist() == [2, 5, 5]


def test_layouts():
    env = make("PackageDeliveryEasy")
    layout = env.layout
    parts = [
        range(layout.world),
        *(range(part.start, part.stop) for part in (layout.goals, layout.present, layout.done)),
    ]
    assert [i for part in parts for i in part] + [layout.time] == list(range(layout.size))
    assert env.observation_space(env.default_params).shape == (layout.size,)
    assert layout_of(env) == layout_of(TimeLimit(EpisodeStatistics(env), 7)) == layout_of(PreviousAction(env)) == layout
    twice = PreviousAction(PreviousAction(env, reward=True, trial=True), reward=True)
    told = layout_of(twice)
    obs, state = twice.reset(KEY)
    marked = twice.env.env.transition
    assert told == Layout(3, (12.0,), 2, (layout.size + 8, layout.size + 8 + 3 + 8)) and obs.shape == (
        told.previous_rewards[1] + 2,
    )
    assert marked is not None and state.time == 0


def test_the_previous_reward_is_where_the_layout_says():
    env = PreviousAction(make("MazeRunnerEasy"), reward=True)
    (index,) = layout_of(env).previous_rewards
    episode = jax.jit(lambda key: play(env, key, "best"))(KEY)
    np.testing.assert_array_equal(episode.next_obs[:, index][episode.active], episode.reward[episode.active])
    assert episode.reward.any()


def test_layouts_that_are_none():
    with pytest.raises(
        ValueError, match="env must be a world with goals, such as MazeRunner or PackageDelivery; got TMaze"
    ):
        layout_of(PreviousAction(make("TMaze")))
    with pytest.raises(ValueError, match=r"in no wrappers but PreviousAction, EpisodeStatistics, .*; got ActionRepeat"):
        layout_of(ActionRepeat(make("MazeRunner"), 2))
