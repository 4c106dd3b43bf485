"""MazeRunner: mazes without loops, walls and moves beside plain Python, and shortest ways."""

from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s5lib.envs import make
from s5lib.envs.goals.grid import MOVES, distances, free_distances, spanning_maze, toward
from s5lib.envs.goals.maze import MazeRunner

from .agreement import returns
from .rollouts import rollouts

EASY = make("MazeRunnerEasy")
PERMUTED = make("MazeRunnerEasy", permuted=True)


def flood(wall, start):
    """Distances by breadth first search."""
    steps, queue = {tuple(map(int, start)): 0}, deque([tuple(map(int, start))])
    while queue:
        row, column = queue.popleft()
        for down, right in MOVES[:4]:
            there = (row + down, column + right)
            if not wall[there] and there not in steps:
                steps[there] = steps[row, column] + 1
                queue.append(there)
    return steps


@pytest.mark.parametrize("size", [5, 11, 15])
def test_a_maze_is_a_tree(size):
    """All cells are joined, with one opening fewer than cells; different keys carve different mazes."""
    keys = jax.random.split(jax.random.key(0), 50)
    walls = np.asarray(jax.jit(jax.vmap(lambda key: spanning_maze(key, size)))(keys))
    cells = (size // 2) ** 2
    for wall in walls:
        assert wall[[0, -1]].all() and wall[:, [0, -1]].all() and not wall[1::2, 1::2].any() and wall[::2, ::2].all()
        assert (~wall).sum() == 2 * cells - 1 == len(flood(wall, (1, 1)))
    assert len({wall.tobytes() for wall in walls}) > (3 if size == 5 else 45)


def test_the_trees_of_two_by_two_cells_are_equally_likely():
    keys = jax.random.split(jax.random.key(1), 4000)
    walls = np.asarray(jax.jit(jax.vmap(lambda key: spanning_maze(key, 5)))(keys))
    _, counts = np.unique(walls.reshape(4000, -1), axis=0, return_counts=True)
    assert len(counts) == 4 and abs(counts - 1000).max() < 120


def test_distances_and_ways_beside_a_search():
    keys = jax.random.split(jax.random.key(2), 30)
    state = jax.vmap(lambda key: EASY.reset_env(key, EASY.default_params))(keys)[1]
    walls = np.asarray(state.world.wall)
    found = np.asarray(jax.jit(jax.vmap(distances))(~walls, state.goals[:, 0].astype(int)))
    rng, way, rays = np.random.default_rng(0), jax.jit(toward), jax.jit(free_distances)
    for wall, goal, steps in zip(walls, np.asarray(state.goals[:, 0], int), found, strict=True):
        slow = flood(wall, goal)
        assert all(steps[place] == count for place, count in slow.items()) and len(slow) == (~wall).sum()
        assert (steps[wall] == steps.size).all()
        place = rng.permutation(np.argwhere(~wall))[0]
        move = MOVES[int(way(~wall, place, goal))]
        assert slow[tuple((place + move).tolist())] == max(slow[tuple(place.tolist())] - 1, 0)
        seen = [sum(1 for _ in run(wall, place, step)) for step in MOVES[:4]]
        assert rays(wall, place).tolist() == seen


def run(wall, place, step):
    place = place + step
    while not wall[tuple(place)]:
        yield place
        place = place + step


def test_no_way():
    free = jnp.array([[True, True, False, True]])
    assert toward(free, jnp.array([0, 0]), jnp.array([0, 3])) == 4 == toward(free, jnp.array([0, 3]), jnp.array([0, 3]))


@pytest.mark.parametrize("env", [EASY, PERMUTED], ids=["plain", "permuted"])
def test_equals_a_plain_runner(env):
    batch = rollouts(env, 30)
    world = jax.tree.map(lambda leaf: leaf[:, 0], batch.state.world)
    for i in range(30):
        wall, order, n = world.wall[i], world.order[i], env.size
        assert sorted(order) == [0, 1, 2, 3, 4] and (env.permuted or (order == np.arange(5)).all())
        place, done = np.array([n - 2, n // 2]), 0
        goals = batch.state.goals[i, 0, : batch.state.count[i, 0]]
        assert len({tuple(goal) for goal in goals}) == len(goals) and not (goals == place).all(1).any()
        assert not wall[tuple(goals.astype(int).T)].any()
        for t in range(batch.length[i]):
            ahead = place + MOVES[order[batch.action[i, t]]]
            place = place if wall[tuple(ahead)] else ahead
            hit = (place == goals[done]).all()
            done += hit
            rays = [sum(1 for _ in run(wall, place, step)) for step in MOVES[:4]]
            np.testing.assert_allclose(batch.obs[i, t + 1, :6], [*(place / n), *(np.array(rays) / n)], atol=1e-6)
            assert batch.reward[i, t] == hit and batch.achieved_any[i, t] and (batch.achieved[i, t] == place).all()
            over = done == len(goals) or t + 1 == env.horizon
            assert batch.terminated[i, t] == over == (t + 1 == batch.length[i])
    assert (batch.length == env.horizon).any()
    assert (len({tuple(order) for order in world.order}) > 20) == env.permuted


def test_goals_are_distinct_free_squares_other_than_the_start():
    keys = jax.random.split(jax.random.key(5), 2000)
    _, state = jax.tree.map(np.asarray, jax.jit(jax.vmap(lambda key: EASY.reset_env(key, EASY.default_params)))(keys))
    used = np.arange(3) < state.count[:, None]
    flat = np.where(used, state.goals @ [11, 1], -1 - np.arange(3)).astype(int)
    assert all(len(set(row)) == 3 for row in flat.tolist()) and not (flat == 9 * 11 + 5).any()
    free = ~state.world.wall.reshape(2000, -1)
    assert np.take_along_axis(free, np.maximum(flat, 0), 1)[used].all()
    expected = (free * (state.count / (free.sum(1) - 1))[:, None]).sum(0)
    expected[9 * 11 + 5] = 0
    counts = np.bincount(flat[used], minlength=121)
    assert (counts[expected == 0] == 0).all()
    assert np.all(np.abs(counts - expected) < 5 * np.sqrt(expected) + 1e-9), "each free square equally likely"
    assert abs(np.bincount(state.count)[1:] - 2000 / 3).max() < 90


def test_the_tunnel():
    wall = np.asarray(EASY.reset(jax.random.key(0))[1].world.wall)
    shown = ["".join("#" if square else "." for square in row) for row in wall[-5:]]
    assert shown == ["#.........#", "#...#.#...#", "#...#.#...#", "#...#.#...#", "###########"]
    for name in ("MazeRunnerMedium", "MazeRunnerHard"):
        _, state = make(name).reset(jax.random.key(1))
        wall = np.asarray(state.world.wall)
        assert len(flood(wall, state.world.position)) == (~wall).sum()


@pytest.mark.parametrize("name, options", [("MazeRunnerEasy", {}), ("MazeRunnerEasy", {"permuted": True})])
def test_returns(name, options):
    env, told = make(name, **options), make(name, **options).describe()
    sample = returns(env, "random", 1024)
    assert abs(sample.mean() - told.random_return) < 4 * sample.std() / np.sqrt(len(sample))
    assert told.best_return == 2.0
    batch = rollouts(env, 64, most_random=0.0)
    np.testing.assert_array_equal(batch.reward.sum(1), batch.state.count[:, 0])
    for i in range(64):
        place, total = (env.size - 2, env.size // 2), 0
        for goal in batch.state.goals[i, 0, : batch.state.count[i, 0]]:
            total += flood(batch.state.world.wall[i, 0], place)[tuple(goal.astype(int).tolist())]
            place = goal
        assert batch.length[i] == total, "the shortest ways"


def test_continuous_actions():
    """The larger number decides, small ones stay; the best player does as well as with five actions."""
    env = make("MazeRunnerEasy", control="continuous")
    for action, move in (
        ([0.2, -0.9], 0),
        ([-0.6, 0.5], 1),
        ([0.1, 1.0], 2),
        ([0.51, 0.0], 3),
        ([0.5, -0.5], 4),
        ([0, 0], 4),
    ):
        assert env.choice(jnp.array(action, jnp.float32)) == move
    batch = rollouts(make("MazeRunnerEasy", control="continuous", permuted=True), 16, most_random=0.0)
    np.testing.assert_array_equal(batch.reward.sum(1), batch.state.count[:, 0])
    orders = batch.state.world.order[:, 0]
    assert (orders[:, 4] == 4).all() and len({tuple(order) for order in orders}) > 5
    assert batch.length.max() < env.horizon and batch.action.shape[2:] == (2,)


def test_hidden_position():
    env = make("MazeRunnerEasy", position=False)
    obs, state = env.reset(jax.random.key(0))
    shown, _ = EASY.reset(jax.random.key(0))
    np.testing.assert_array_equal(obs, shown[2:])
    assert env.describe().observation[0][0] == "0-3" and state.world.position.tolist() == [9, 5]


def test_bad_options():
    for size in (9, 12):
        with pytest.raises(ValueError, match=f"size must be odd, 11 or more; got {size}"):
            MazeRunner(size=size)
    with pytest.raises(ValueError, match=r"control must be one of 'discrete', 'continuous'; got 'torque'"):
        MazeRunner(control="torque")
    with pytest.raises(TypeError, match="permuted must be True or False; got 1"):
        MazeRunner(permuted=1)
    with pytest.raises(ValueError, match="max_goals must be 11 or less in this maze; got 12"):
        MazeRunner(max_goals=12)
