"""The two labyrinths and their mazes beside the original, and beside the package that carves the original's mazes."""

import random

import jax
import jax.numpy as jnp
import mazelib.generate.HuntAndKill as hunt_and_kill
import numpy as np
import pytest
from scipy.stats import chi2_contingency, chisquare

from s5lib.envs import make, play
from s5lib.envs.popgym.labyrinth_escape import LabyrinthEscape
from s5lib.envs.popgym.labyrinth_explore import LabyrinthExplore
from s5lib.envs.popgym.maze import FREE, GOAL, START, WALL, State, carve, draws, entrances, first_step

from .agreement import LEVELS, agree, at, episodes, names, original, returns, spaces_agree

SIZES = (10, 14, 18)
BOTH = ("LabyrinthEscape", "LabyrinthExplore")
LEFT, RIGHT, UP, DOWN = range(4)


def put(theirs, state):
    """Place the player in our maze, and count its free squares as the original's reset does."""
    theirs.maze.grid = np.array(state.maze)
    theirs.position = tuple(int(x) for x in state.position)
    theirs.explored = np.array(state.explored, np.int8)
    theirs.curr_step = int(state.time)
    theirs.pos_reward_scale = 1 / (theirs.maze.grid == 0).sum()
    return theirs.get_obs(4)


def steps_from(free, places):
    """Steps from one place to every square of each maze, -1 where there is no way: free (m, n, n), places (m, 2)."""
    steps = np.full(free.shape, -1)
    edge = np.zeros(free.shape, bool)
    edge[np.arange(len(places)), places[:, 0], places[:, 1]] = True
    time = 0
    while edge.any():
        steps[edge] = time
        wide = np.pad(edge, ((0, 0), (1, 1), (1, 1)))
        spread = wide[:, 1:-1, :-2] | wide[:, 1:-1, 2:] | wide[:, :-2, 1:-1] | wide[:, 2:, 1:-1]
        edge, time = spread & free & (steps < 0), time + 1
    return steps


def starts(name, count, seed=0):
    env = make(name)
    keys = jax.random.split(jax.random.key(seed), count)
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(lambda key: env.reset_env(key, None)[1]))(keys))


def best_returns(name, start):
    """What the shortest walks earn: to the exit, or over all squares and ending at the farthest."""
    length = make(name).episode_length
    steps = steps_from(start.maze != WALL, start.position)
    if "Escape" in name:
        out = steps[start.maze == GOAL]
        return np.where(out > 0, 1 - out / length, -(length - 1) / length)
    squares, deepest = (start.maze == FREE).sum((1, 2)), steps.max((1, 2))
    return np.where(deepest > 0, 1 - (squares - deepest) / length, -(length - 1) / length)


# ------------------------------------------------------------------------------------------ rules


@pytest.mark.parametrize("name", [name for family in BOTH for name in names(family)])
def test_equals_the_original(name):
    spaces_agree(name)
    compared = agree(name, put)
    batch = episodes(make(name))
    won = (batch.terminated & batch.active).any(axis=1)
    assert 0 < won.sum() < compared.episodes


def alike(name, state, actions):
    """Play both from ``state``; assert that they agree, and return our views as integers, rewards and ends."""
    env, theirs = make(name), original(name)
    step = jax.jit(lambda state, action: env.step_env(jax.random.key(0), state, action, env.default_params))
    put(theirs, state)
    rows = []
    for action in actions:
        obs, state, reward, terminated, _ = step(state, action)
        seen = np.asarray(obs).reshape(10, 5).argmax(1)
        truncated = bool(env.is_truncated(state, env.default_params))
        expected = theirs.step(action)
        np.testing.assert_array_equal(seen, expected[0])
        assert float(reward) == pytest.approx(expected[1], rel=1e-6)
        assert (bool(terminated), truncated) == (bool(expected[2]), bool(expected[3]))
        assert tuple(state.position.tolist()) == theirs.position
        np.testing.assert_array_equal(state.explored, theirs.explored)
        rows.append((seen, float(reward), bool(terminated), truncated))
    return rows


def cross(name, start, goal):
    """A maze of one row and one column of free squares that cross, with these two entrances."""
    maze = np.full((11, 11), WALL, np.int8)
    maze[5, 1:10] = maze[1:10, 5] = FREE
    maze[start] = START
    if "Escape" in name:
        maze[goal] = GOAL
    explored = maze == START
    return State(jnp.int32(0), jnp.asarray(maze), jnp.array(start, jnp.int32), jnp.asarray(explored))


SIDES = {LEFT: (5, 0), RIGHT: (5, 10), UP: (0, 5), DOWN: (10, 5)}


@pytest.mark.parametrize("side", SIDES)
def test_a_view_cut_at_any_edge_is_filled_at_the_bottom_and_right(side):
    across = side ^ 1
    state = cross("LabyrinthEscapeEasy", SIDES[side], SIDES[across])
    (seen, *_), *_ = alike("LabyrinthEscapeEasy", state, [side])  # off the grid: the player stays
    views = {
        LEFT: [[1, 1, 1], [2, 0, 1], [1, 1, 1]],  # the player is in the first column
        RIGHT: [[1, 1, 1], [0, 2, 1], [1, 1, 1]],  # the player is in the middle
        UP: [[1, 2, 1], [1, 0, 1], [1, 1, 1]],  # the player is in the first row
        DOWN: [[1, 0, 1], [1, 2, 1], [1, 1, 1]],
    }
    assert seen.tolist() == [*np.ravel(views[side]).tolist(), side]


def test_escape_pays_and_ends_at_the_exit_only():
    state = cross("LabyrinthEscapeEasy", (5, 0), (5, 10))
    rows = alike("LabyrinthEscapeEasy", state, [RIGHT, UP, LEFT, *[RIGHT] * 10])  # against a wall, and via the start
    assert [row[1] for row in rows] == pytest.approx([-1 / 1024] * 12 + [1 - 1 / 1024])
    assert [row[2] for row in rows] == [False] * 12 + [True]


def test_explore_has_no_exit_and_does_not_count_the_start():
    state = cross("LabyrinthExploreEasy", (5, 0), (5, 10))
    rows = alike("LabyrinthExploreEasy", state, [*[RIGHT] * 10, LEFT])
    assert [row[1] for row in rows] == pytest.approx([1 / 17] * 9 + [-1 / 1024] * 2)  # the tenth runs into a wall
    there_and_back = [RIGHT] * 9 + [LEFT] * 4 + [UP] * 4 + [DOWN] * 8
    rows = alike("LabyrinthExploreEasy", state, there_and_back)
    assert [row[2] for row in rows] == [False] * 24 + [True]
    assert sum(row[1] for row in rows) == pytest.approx(1 - 8 / 1024)


@pytest.mark.parametrize("name", ["LabyrinthEscapeEasy", "LabyrinthExploreEasy"])
def test_the_time_is_up_one_step_early_even_where_the_game_is_won(name):
    assert make(name).horizon == 1023
    state = cross(name, (5, 0), (5, 10)).replace(time=jnp.int32(1021))
    assert [row[2:] for row in alike(name, state, [LEFT, LEFT])] == [(False, False), (False, True)]
    if name == "LabyrinthEscapeEasy":
        state = state.replace(position=jnp.array([5, 8]))
    else:
        state = state.replace(position=jnp.array([5, 7]), explored=(state.maze != WALL).at[5, 9].set(False))
    assert [row[2:] for row in alike(name, state, [RIGHT, RIGHT])] == [(False, False), (True, True)]


# ------------------------------------------------------------------------------------------ mazes


class Fed(hunt_and_kill.HuntAndKill):
    """The original's generator, with our random numbers in the place of its own."""

    def __init__(self, size, drawn, monkeypatch):
        super().__init__(size // 2, size // 2)
        self.drawn, self.step, self.cell = drawn, 0, drawn.first.tolist()
        monkeypatch.setattr(hunt_and_kill, "choice", self.choice)
        monkeypatch.setattr(hunt_and_kill, "randrange", self.randrange)

    def _find_neighbors(self, row, column, grid, is_wall=False):
        found = super()._find_neighbors(row, column, grid, is_wall)
        ways = ((row - 2, column), (row + 2, column), (row, column - 2), (row, column + 2))
        return sorted(found, key=lambda way: -self.drawn.turns[self.step][ways.index(way)])

    def choice(self, neighbours):
        self.step += 1
        return neighbours[0]

    def randrange(self, low, high, step):
        assert (low, high, step) == (1, self.H, 2)
        if not self.cell:
            self.cell = self.drawn.hunted[self.step].tolist()
            self.step += 1
        return self.cell.pop(0)


@pytest.mark.parametrize("size", SIZES)
def test_the_same_random_numbers_carve_the_same_maze(size, monkeypatch):
    count = 24
    drawn = jax.vmap(lambda key: draws(key, size))(jax.random.split(jax.random.key(1), count))
    ours = np.asarray(jax.jit(jax.vmap(lambda drawn: carve(drawn, size)))(drawn))
    drawn = jax.tree.map(np.asarray, drawn)
    for i in range(count):
        np.testing.assert_array_equal(ours[i], Fed(size, at(drawn, i), monkeypatch).generate(), err_msg=f"maze {i}")


def test_a_maze_may_keep_an_uncarved_cell(monkeypatch):
    """Hunts are limited: with all of them in one corner, both generators leave the same cells."""
    drawn = draws(jax.random.key(3), 10)._replace(hunted=jnp.ones((145, 2), int))
    ours = carve(drawn, 10)
    theirs = Fed(10, jax.tree.map(np.asarray, drawn), monkeypatch).generate()
    np.testing.assert_array_equal(ours, theirs)
    assert (ours[1::2, 1::2] == WALL).any()


def features(walls, start, goal):
    """Of each maze, walls (m, n, n) without entrances: counts and lengths that tell generators apart."""
    free = ~walls
    wide = np.pad(free, ((0, 0), (1, 1), (1, 1))).astype(int)
    left, right, up, down = wide[:, 1:-1, :-2], wide[:, 1:-1, 2:], wide[:, :-2, 1:-1], wide[:, 2:, 1:-1]
    ways = np.where(free, left + right + up + down, 0)[:, 1::2, 1::2]
    straight = (free & ((left & right & ~up & ~down) | (up & down & ~left & ~right)))[:, 1::2, 1::2]
    index = np.arange(len(walls))
    open_ends = free.copy()
    for place in (start, goal):
        open_ends[index, place[:, 0], place[:, 1]] = True
    steps = steps_from(open_ends, start)
    return {
        "squares": free.sum((1, 2)),
        "uncarved cells": (~free[:, 1::2, 1::2]).sum((1, 2)),
        "dead ends": (ways == 1).sum((1, 2)),
        "straight cells": straight.sum((1, 2)),
        "junctions of three": (ways == 3).sum((1, 2)),
        "crossings": (ways == 4).sum((1, 2)),
        "ways of the middle cell": ways[:, ways.shape[1] // 2, ways.shape[1] // 2],
        "ways of a corner": ways[:, 0, 0],
        "steps to the goal": steps[index, goal[:, 0], goal[:, 1]],
        "deepest square": steps.max((1, 2)),
        "side of the start": np.select([start[:, 0] == 0, start[:, 1] == 0, start[:, 0] > start[:, 1]], [0, 1, 2], 3),
        "start along its side": np.where(start % (walls.shape[1] - 1) == 0, 0, start).max(1),
        "goal along its side": np.where(goal % (walls.shape[1] - 1) == 0, 0, goal).max(1),
    }


def p_value(mine, theirs, rare=10):
    """Chi-square of two samples of one distribution; values are put together until each group has ``rare`` per sample."""
    edges, total = [], 0
    for value in np.unique([*mine, *theirs]):
        total += min((mine == value).sum(), (theirs == value).sum())
        if total >= rare:
            edges.append(value)
            total = 0
    edges = np.array(edges[:-1])
    groups = [np.bincount(np.searchsorted(edges, sample), minlength=len(edges) + 1) for sample in (mine, theirs)]
    return 1.0 if len(edges) == 0 else chi2_contingency(groups)[1]


def original_mazes(name, count):
    """Mazes of the original's resets, entrances walled up, and the entrances."""
    theirs = original(name)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  the original draws from the global generators
    rows = []
    for _ in range(count):
        theirs.reset()
        np.testing.assert_array_equal(theirs.explored, theirs.maze.grid == START)
        rows.append((theirs.maze.grid == 1, theirs.maze.start, theirs.maze.end))
    walls, start, goal = (np.array(part) for part in zip(*rows, strict=True))
    for place in (start, goal):
        walls[np.arange(count), place[:, 0], place[:, 1]] = True
    return walls, start, goal


def our_mazes(name, count):
    state = starts(name, count)
    walls = state.maze != FREE
    np.testing.assert_array_equal(state.explored, state.maze == START)
    np.testing.assert_array_equal(state.position, np.argwhere(state.maze == START)[:, 1:])
    goal = np.argwhere(state.maze == GOAL)[:, 1:]
    return walls, state.position, goal


@pytest.mark.parametrize("level", LEVELS)
def test_mazes_are_distributed_as_the_original_ones(level, count=500):
    name = f"LabyrinthEscape{level}"
    mine, theirs = features(*our_mazes(name, 4 * count)), features(*original_mazes(name, count))
    for feature in mine:
        assert p_value(mine[feature], theirs[feature]) > 1e-3, feature


@pytest.mark.parametrize("size", SIZES)
def test_entrances_lie_across_and_are_uniform(size):
    keys = jax.random.split(jax.random.key(0), 4000)
    start, goal = (np.asarray(part) for part in jax.vmap(lambda key: entrances(key, size))(keys))
    side = np.select([start[:, 0] == 0, start[:, 0] == size, start[:, 1] == 0], [0, 1, 2], 3)
    across = np.select([goal[:, 0] == 0, goal[:, 0] == size, goal[:, 1] == 0], [0, 1, 2], 3)
    np.testing.assert_array_equal(across, side ^ 1)
    along = [np.where(side < 2, place[:, 1], place[:, 0]) // 2 for place in (start, goal)]
    counts = np.zeros((4, size // 2, size // 2))
    np.add.at(counts, (side, *along), 1)
    assert chisquare(counts.ravel()).pvalue > 1e-3


@pytest.mark.parametrize("name", [f"{family}Easy" for family in BOTH])
def test_a_player_may_be_walled_in(name):
    """An uncarved cell behind the start: all there is to do is to wait."""
    state = cross(name, (1, 0), (1, 10))
    rows = alike(name, state, [UP, DOWN, LEFT, RIGHT])
    assert [row[1:] for row in rows] == [(-1 / 1024, False, False)] * 4
    assert int(make(name).best_action(state)) == 0


# ------------------------------------------------------------------------------------------ players


@pytest.mark.parametrize("name", [name for family in BOTH for name in names(family)])
def test_returns(name):
    """Best play takes the shortest walk, so that its mean can be taken over many starts without playing."""
    env = make(name)
    keys = jax.random.split(jax.random.key(0), 8)
    batch = jax.tree.map(np.asarray, jax.jit(jax.vmap(lambda key: play(env, key, "best")))(keys))
    start = jax.tree.map(lambda leaf: leaf[:, 0], batch.state)
    np.testing.assert_allclose(batch.reward.sum(1), best_returns(name, start), rtol=1e-5)

    told = env.describe()
    random, best = returns(env, "random", 256), best_returns(name, starts(name, 2000))
    for sample, expected in ((random, told.random_return), (best, told.best_return)):
        assert abs(sample.mean() - expected) < 4 * sample.std() / np.sqrt(len(sample)) + 1e-5


def test_first_step_leaves_the_deepest_branch_for_last():
    free = jnp.zeros((5, 5), bool).at[2].set(True).at[:3, 2].set(True)
    targets = jnp.zeros((5, 5), bool).at[2, 0].set(True).at[1, 2].set(True)
    here = jnp.array([2, 2])
    assert int(first_step(free, here, targets)) == UP
    assert int(first_step(free, here, targets.at[0, 2].set(True).at[2, 0].set(False).at[2, 1].set(True))) == LEFT
    assert int(first_step(free, here, jnp.zeros((5, 5), bool))) == 0


def test_what_it_says():
    for family in BOTH:
        told = make(family).describe()
        assert "deprecates" in told.summary and told.horizon == 1023
        assert make(family, size=12).describe().best_return is None


@pytest.mark.parametrize("kind", [LabyrinthEscape, LabyrinthExplore])
def test_bad_options(kind):
    with pytest.raises(TypeError, match=r"size must be an integer; got \(10, 10\)"):
        kind((10, 10))
    with pytest.raises(ValueError, match="size must be a positive multiple of 2; got 11"):
        kind(11)
    with pytest.raises(ValueError, match="size must be at least 6; got 4"):
        kind(4)
    with pytest.raises(ValueError, match="episode_length must be at least 2; got 1"):
        kind(10, 1)
