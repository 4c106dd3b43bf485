"""Package Delivery beside a plain Python road, and what players who know or only remember earn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from s5lib.envs import env_names, make, play
from s5lib.envs.goals.package import PackageDelivery

from .agreement import returns
from .rollouts import rollouts

EASY, HARD = make("PackageDeliveryEasy"), make("PackageDeliveryHard")


class Road:
    """The rules once more, one step at a time."""

    def __init__(self, env, world, goals):
        self.length, self.limit, self.forgiving = env.length, env.episode_length, env.forgiving
        self.most, self.slots = env.max_goals * env.packages, env.max_goals
        self.sides = {int(i): bool(world.right[i]) for i in np.flatnonzero(world.forks)}
        self.drop, self.goals = int(world.drop), [int(goal) for goal in goals]
        self.place, self.packages, self.done, self.time = 0, len(self.goals) * env.packages, 0, 0

    def step(self, action):
        delivered = None
        here = self.place
        if action >= 4 and here not in self.sides:
            if action - 4 == self.drop and self.packages > 0 and here != 0:
                self.packages -= 1
                delivered = here
            elif not self.forgiving:
                self.place = 0
        elif here in self.sides:
            if action in (1, 2):
                self.place = here + 1 if (action == 2) == self.sides[here] else 0
        elif action == 0:
            self.place = here + 1
        if self.place == self.length:
            self.place = 0
        reward = 0
        if delivered is not None and delivered == self.goals[self.done]:
            reward, self.done = 1, self.done + 1
        self.time += 1
        return reward, delivered, self.done == len(self.goals) or self.time == self.limit

    def see(self):
        k, pad = len(self.goals), [0] * (self.slots - len(self.goals))
        flags = [1] * k + pad + [1] * self.done + [0] * (self.slots - self.done)
        own = [self.place / self.length, self.packages / self.most, self.place in self.sides]
        return [*own, *[goal / self.length for goal in self.goals], *pad, *flags, self.time / self.limit]


@pytest.mark.parametrize("env", [EASY, HARD, PackageDelivery(12, 72, packages=1)], ids=["Easy", "thirty", "few"])
def test_equals_a_plain_road(env):
    batch = rollouts(env, 60, most_random=0.95 if env.forgiving else 0.6)
    for i in range(60):
        first = jax.tree.map(lambda leaf, i=i: leaf[i, 0], batch.state)
        road = Road(env, first.world, first.goals[: first.count, 0])
        np.testing.assert_allclose(batch.obs[i, 0], road.see(), atol=1e-6)
        for t in range(batch.length[i]):
            reward, delivered, over = road.step(int(batch.action[i, t]))
            np.testing.assert_allclose(batch.obs[i, t + 1], road.see(), atol=1e-6)
            assert batch.reward[i, t] == reward and batch.terminated[i, t] == over == (t == batch.length[i] - 1)
            assert batch.achieved_any[i, t] == (delivered is not None)
            assert delivered in (None, batch.achieved[i, t, 0])
    needless = batch.achieved_any & (batch.reward == 0)
    assert needless.any() and (batch.length == env.horizon).any() and (batch.length < env.horizon).any()
    left = batch.state.world.packages[np.arange(env.horizon) < batch.length[:, None]]
    assert (left == 0).any() or env.packages > 1, "some run out of packages"


@pytest.mark.parametrize("name", [name for name in env_names(goals=True) if name.startswith("Package")])
def test_returns(name):
    """Who knows forks and drop delivers all, in every episode; random play what ``describe`` says."""
    env, told = make(name), make(name).describe()
    keys = jax.random.split(jax.random.key(0), 256)

    def best(key):
        episode = play(env, key, "best")
        return episode.reward.sum(), episode.state.count[0]

    earned, asked = map(np.asarray, jax.jit(jax.vmap(best))(keys))
    np.testing.assert_array_equal(earned, asked)
    assert told.best_return == {"Easy": 1.5, "Hard": 3.0}[name.removeprefix("PackageDelivery")]
    sample = returns(env, "random", 2048)
    assert abs(sample.mean() - told.random_return) < 4 * sample.std() / np.sqrt(len(sample)) + 1e-5


def remember(env, step, key):
    """A player that tries, and remembers forks and drop: what can be known from observations and rewards alone."""
    key_reset, key = jax.random.split(key)
    obs, state = env.reset(key_reset)
    goals, count = env.layout.read(obs)
    goals, count = np.asarray(goals)[:, 0].astype(int), int(count)
    sides, drops, total, done = {}, [4, 5, 6, 7], 0, 0
    for t in range(env.horizon):
        place, fork = round(float(obs[0]) * env.length), obs[2] == 1
        off_fork = drops[0] if place == goals[done] else 0
        action = sides.get(place, 1) if fork else off_fork
        obs, state, reward, terminated, _ = step(jax.random.fold_in(key, t), state, action)
        if fork:  # not one place on: it was the other side
            sides[place] = action if round(float(obs[0]) * env.length) == (place + 1) % env.length else 3 - action
        elif action >= 4:
            drops = [action] if reward == 1 else drops[1:]
        done += int(reward == 1)
        total += float(reward)
        if terminated:
            return total / count, t + 1
    raise AssertionError("an episode ends at its horizon")


@pytest.mark.parametrize("env, least", [(EASY, 0.9), (HARD, 0.95)], ids=["Easy", "thirty"])
def test_a_player_that_only_remembers(env, least):
    """Time suffices to try each fork and drop once and deliver nearly all; packages always do."""
    step = jax.jit(lambda key, state, action: env.step_env(key, state, action, env.default_params))
    shares, _ = zip(*[remember(env, step, key) for key in jax.random.split(jax.random.key(1), 40)], strict=True)
    assert np.mean(shares) > least


def test_draws():
    """Numbers of forks and goals, drops and places are equally likely; goals are distinct, in order, and no forks."""
    keys = jax.random.split(jax.random.key(0), 6000)
    _, state = jax.tree.map(np.asarray, jax.jit(jax.vmap(lambda key: HARD.reset_env(key, HARD.default_params)))(keys))
    forks = state.world.forks
    for drawn in (forks.sum(1), state.count, state.world.drop, forks.nonzero()[1]):
        assert chisquare(np.unique(drawn, return_counts=True)[1])[1] > 1e-3
    assert (
        set(forks.sum(1)) == {2, 3, 4, 5, 6} and set(state.count) == {2, 3, 4} and set(state.world.drop) == {0, 1, 2, 3}
    )
    assert not forks[:, 0].any() and (state.world.packages == 3 * state.count).all()
    goals, free = state.goals[..., 0].astype(int), ~forks & (np.arange(30) > 0)
    expected = (free * (state.count / free.sum(1))[:, None]).sum(0)
    counts = np.bincount(goals[goals > 0], minlength=30)
    assert (np.abs(counts - expected) <= 5 * np.sqrt(expected)).all(), "each place that is free, equally likely"
    for i in range(500):
        goals = state.goals[i, : state.count[i], 0].astype(int)
        assert (np.diff(goals) > 0).all() and goals.min() > 0 and not forks[i, goals].any()
        assert not state.goals[i, state.count[i] :].any()


def test_instruct():
    obs, state = HARD.reset(jax.random.key(0))
    k = int(state.count)
    goals = [[5], [3], [5], [7], [2]]
    obs, state = HARD.instruct(state, goals[:k])
    read, count = HARD.layout.read(obs)
    assert count == k and read[:k].tolist() == goals[:k]
    with pytest.raises(ValueError, match="goals must be 4 at most, the slots of PackageDelivery; got 5"):
        HARD.instruct(state, goals)
    with pytest.raises(ValueError, match=rf"goals must be {k}, as the world was drawn for; got 1"):
        HARD.instruct(state, goals[:1])
    with pytest.raises(ValueError, match=r"goals must have shape \(k, 1\); got \(2, 2\)"):
        HARD.instruct(state, jnp.zeros((2, 2)))


def test_a_lower_time_limit_truncates():
    params = HARD.default_params.replace(max_steps_in_episode=5)
    episode = jax.jit(lambda key: play(HARD, key, "best", params))(jax.random.key(0))
    assert int(episode.active.sum()) == 5 and episode.truncated[4] and not episode.terminated[4]


def test_bad_options():
    with pytest.raises(ValueError, match="length must be 11 or more, for 6 forks, 4 goals and the start; got 10"):
        PackageDelivery(length=10)
    with pytest.raises(ValueError, match="min_forks must be max_forks or less; got 7 and 6"):
        PackageDelivery(min_forks=7)
    with pytest.raises(ValueError, match="min_goals must be max_goals or less; got 5 and 4"):
        PackageDelivery(min_goals=5)
    with pytest.raises(TypeError, match=r"packages must be an integer; got 1\.5"):
        PackageDelivery(packages=1.5)
