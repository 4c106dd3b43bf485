"""Mazes: how they are carved, what a player in one sees, how it moves; shared by the two labyrinths.

A maze of ``size`` (even) is a grid of (size + 1, size + 1) squares. Squares with two odd indices are cells, the squares
between them are passages or walls, and the border is wall but for the entrances.

Source: popgym 1.0.7, core/maze.py; mazelib 0.9.16, mazelib.py and generate/HuntAndKill.py with its random hunt.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from s5lib.config import check_positive_int
from s5lib.envs import spaces
from s5lib.envs.base import Action, Environment, EnvParams, one_hots
from s5lib.envs.spaces import Space

__all__ = [
    "ACTIONS",
    "DIFFICULTY",
    "FREE",
    "GOAL",
    "NONE",
    "OBSERVATION",
    "START",
    "WALL",
    "WARNING",
    "Draws",
    "Maze",
    "State",
]
__all__ += ["carve", "draws", "entrances", "first_step"]

DIFFICULTY: dict[str, dict[str, Any]] = {
    "Easy": {"size": 10, "episode_length": 1024},
    "Medium": {"size": 14, "episode_length": 1024},
    "Hard": {"size": 18, "episode_length": 1024},
}
FREE, WALL, START, GOAL = range(4)
NONE = 4  # what the observation shows as the action before the first one

ACTIONS = "0 left, 1 right, 2 up, 3 down; a step into a wall or off the grid leaves the player where it is"
OBSERVATION = (
    (
        "0-44",
        "the 3 by 3 squares around the player, row by row, each one-hot: free, wall, start, goal, hidden (never); "
        "at the top or left edge the player is in the view's first row or column, and the last one is filled with wall",
    ),
    ("45-49", "the last action, one-hot: left, right, up, down, none yet"),
)
WARNING = "popgym itself deprecates labyrinths as tests of memory: players without one solve them."


class State(struct.PyTreeNode):
    """A player in a maze.

    ``maze`` (n, n), int8: 0 free, 1 wall, 2 start, 3 goal; ``position`` (2,), int32: row and column; ``explored``
    (n, n), bool: where the player has been, its start included; ``time``: steps taken.
    """

    time: jax.Array
    maze: jax.Array
    position: jax.Array
    explored: jax.Array


class Draws(NamedTuple):
    """All random numbers that one maze can need. Step i carves into a neighbour or hunts for another cell.

    Attributes:
        first: the cell to start at, (row, column), both odd, shape (2,).
        turns: shape (steps, 4): step i carves up, down, left or right, whichever possible way has the largest number.
        hunted: shape (steps, 2): the cell that step i goes to if no way is possible.
    """

    first: jax.Array
    turns: jax.Array
    hunted: jax.Array


def draws(key: jax.Array, size: int) -> Draws:
    """Draw the random numbers of one maze.

    Args:
        key: random key.
        size: even size of the maze.
    Returns:
        ``Draws``, with steps = cells - 1 + hunts, where cells = (size / 2)^2 and hunts = (size + 1)^2.
    Example:
        >>> draws(jax.random.key(0), 10).turns.shape
        (145, 4)

    """
    cells = size // 2
    steps = cells**2 - 1 + (size + 1) ** 2
    numbers = jax.random.uniform(
        key, (steps + 1, 6), jnp.float32
    )  # one call: it compiles three times as fast as one for each
    places = _odd(numbers[:, 4:], cells)
    return Draws(places[steps], numbers[:steps, :4], places[:steps])


def _odd(uniform: jax.Array, count: int) -> jax.Array:
    """Turn uniform numbers from [0, 1) into one of the first ``count`` odd integers."""
    return 1 + 2 * jnp.floor(uniform * count).astype(jnp.int32)


def carve(drawn: Draws, size: int) -> jax.Array:
    """Carve a maze by hunt and kill: walk at random through uncarved cells until stuck, go to a random cell, repeat.

    A walk goes on from carved cells only. After (size + 1)^2 hunts carving ends, so in rare mazes a cell stays uncarved;
    the carved ones always form a tree. Hunts after the last cell has been carved change nothing and are skipped.

    Args:
        drawn: its random numbers.
        size: even size of the maze.
    Returns:
        Shape (size + 1, size + 1), int8: 0 free, 1 wall; no entrances yet.
    Example:
        >>> maze = carve(draws(jax.random.key(0), 10), 10)
        >>> maze.shape, int((maze == FREE).sum())  # 25 cells and 24 passages
        ((11, 11), 49)

    Source: mazelib 0.9.16, generate/HuntAndKill.py.
    """
    n, cells = size + 1, (size // 2) ** 2
    two_up_down_left_right = jnp.array([(-2, 0), (2, 0), (0, -2), (0, 2)])

    def unfinished(carry: tuple) -> jax.Array:
        carved, hunts, _, _ = carry
        return (carved < cells) & (hunts < n * n)

    def step(carry: tuple) -> tuple:
        carved, hunts, cell, maze = carry
        i = carved - 1 + hunts
        ways = cell + two_up_down_left_right
        inside = jnp.all((ways > 0) & (ways < n), axis=1)
        possible = inside & (maze[ways[:, 0], ways[:, 1]] == WALL) & (maze[cell[0], cell[1]] == FREE)
        walks = jnp.any(possible)
        way = ways[jnp.argmax(jnp.where(possible, drawn.turns[i], -1.0))]
        opened = jnp.where(walks, jnp.stack([way, (way + cell) // 2]), n)  # n is off the grid: nothing is written
        maze = maze.at[opened[:, 0], opened[:, 1]].set(FREE, mode="drop")
        return carved + walks, hunts + ~walks, jnp.where(walks, way, drawn.hunted[i]), maze

    maze = jnp.full((n, n), WALL, jnp.int8).at[drawn.first[0], drawn.first[1]].set(FREE)
    start = (jnp.int32(1), jnp.int32(0), drawn.first, maze)
    return jax.lax.while_loop(unfinished, step, start)[3]


def entrances(key: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
    """Draw a start on one of the four sides, and an exit on the side across, both next to a cell.

    Args:
        key: random key.
        size: even size of the maze.
    Returns:
        start and exit, each (row, column), shape (2,), int32.
    Example:
        >>> start, end = entrances(jax.random.key(0), 10)
        >>> start.tolist(), end.tolist()
        ([9, 10], [3, 0])

    Source: mazelib 0.9.16, mazelib.py.
    """
    side, *offsets = jax.random.uniform(key, (3,), jnp.float32)
    side = jnp.floor(4 * side).astype(jnp.int32)  # north, south, west, east
    along = _odd(jnp.stack(offsets), size // 2)
    across = jnp.where(side % 2 == 0, jnp.array([0, size]), jnp.array([size, 0]))
    places = jnp.where(side < 2, jnp.stack([across, along], axis=1), jnp.stack([along, across], axis=1))
    return places[0], places[1]


def first_step(free: jax.Array, position: jax.Array, targets: jax.Array) -> jax.Array:
    """Find where the shortest walk over all target squares begins, in a maze without loops.

    A flood leaves the player in all four directions at once. The walk takes the direction whose farthest target is
    nearest and leaves the deepest for last, since the last one is not walked back from.

    Args:
        free: squares that can be entered, shape (n, n), bool.
        position: where the player stands, (row, column).
        targets: squares to visit, shape (n, n), bool; those that cannot be reached do not matter.
    Returns:
        The first action, int32; 0 if there is nothing to visit.
    Example:
        >>> first_step(jnp.ones((1, 5), bool), jnp.array([0, 1]), jnp.array([[True, False, False, False, True]])).item()
        0

    """
    rows, columns = jnp.indices(free.shape)
    ways = free & ~((rows == position[0]) & (columns == position[1]))
    wanted = targets & ways

    def unfinished(carry: tuple) -> jax.Array:
        _, flooded, edge, _ = carry
        return jnp.any(edge) & jnp.any(wanted & ~jnp.any(flooded, axis=0))

    def step(carry: tuple) -> tuple:
        time, flooded, edge, farthest = carry
        farthest = jnp.where(jnp.any(edge & wanted, axis=(1, 2)), time, farthest)
        flooded |= edge
        wide = jnp.pad(edge, ((0, 0), (1, 1), (1, 1)))
        spread = wide[:, 1:-1, :-2] | wide[:, 1:-1, 2:] | wide[:, :-2, 1:-1] | wide[:, 2:, 1:-1]
        return time + 1, flooded, spread & ways & ~flooded, farthest

    beside = position + jnp.array(_MOVES)
    edge = (rows == beside[:, 0, None, None]) & (columns == beside[:, 1, None, None]) & ways
    start = (jnp.int32(1), jnp.zeros_like(edge), edge, jnp.zeros(4, jnp.int32))
    farthest = jax.lax.while_loop(unfinished, step, start)[3]
    return jnp.argmin(jnp.where(farthest > 0, farthest, free.size)).astype(jnp.int32)


_MOVES = ((0, -1), (0, 1), (-1, 0), (1, 0))  # left, right, up, down


@dataclass(frozen=True)
class Maze(Environment):
    """A player in a maze who sees the squares next to it; each labyrinth adds what it pays for.

    Args:
        size: of the square maze, even and at least 6: (size / 2)^2 cells.
        episode_length: the limit; an episode is cut after ``episode_length - 1`` steps.
    Raises:
        TypeError: an option that is not an integer.
        ValueError: ``size`` odd or below 6, or ``episode_length`` below 2.
    Source: popgym 1.0.7, core/maze.py.
    Differs: square mazes only (the original's view is wrong in others).
    """

    size: int = 10
    episode_length: int = 1024

    def __post_init__(self) -> None:
        if check_positive_int("size", self.size, multiple_of=2) < 6:
            raise ValueError(f"size must be at least 6; got {self.size}")
        if check_positive_int("episode_length", self.episode_length) < 2:
            raise ValueError(f"episode_length must be at least 2; got {self.episode_length}")

    @property
    def horizon(self) -> int:
        return self.episode_length - 1

    def observation_space(self, params: EnvParams) -> Space:
        return spaces.Box(0.0, 1.0, (50,))

    def action_space(self, params: EnvParams) -> Space:
        return spaces.Discrete(4)

    def _start(self, key: jax.Array) -> tuple[State, jax.Array]:
        """A state at the start of a fresh maze, and where its exit would be: that is still a wall."""
        key_maze, key_entrances = jax.random.split(key)
        start, end = entrances(key_entrances, self.size)
        maze = carve(draws(key_maze, self.size), self.size).at[start[0], start[1]].set(START)
        return State(jnp.int32(0), maze, start, maze == START), end

    def _move(self, state: State, action: jax.Array) -> State:
        """Take a step, or stay where a wall or the grid's edge is in the way."""
        ahead = jnp.clip(state.position + jnp.array(_MOVES)[action], 0, self.size)
        row, column = jnp.where(state.maze[ahead[0], ahead[1]] == WALL, state.position, ahead)
        return state.replace(
            time=state.time + 1,
            position=jnp.stack([row, column]),
            explored=state.explored.at[row, column].set(True),
        )

    def _see(self, state: State, action: Action) -> jax.Array:
        """The local view and the last action. A view cut at an edge, any edge, is filled at its bottom and right."""
        first = jnp.maximum(state.position - 1, 0)[:, None] + jnp.arange(3)
        within = first <= jnp.minimum(state.position + 1, self.size)[:, None]
        rows, columns = jnp.minimum(first, self.size)
        view = jnp.where(within[0][:, None] & within[1], state.maze[rows[:, None], columns], WALL)
        return one_hots(jnp.append(view.reshape(-1), action), (5,) * 10)
