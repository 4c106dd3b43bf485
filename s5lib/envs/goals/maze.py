"""MazeRunner: to places of an unseen maze in a given order, with nothing but the distances to the nearest walls in view."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from s5lib.config import check_choice, check_flags, check_positive_int
from s5lib.envs import spaces
from s5lib.envs.base import Description, EnvParams
from s5lib.envs.goals.grid import MOVES, STAY, free_distances, spanning_maze, toward
from s5lib.envs.goals.instruction import Instructed, InstructedState, check_goals, distinct
from s5lib.envs.spaces import Space

__all__ = ["CONTROLS", "DIFFICULTY", "Labyrinth", "MazeRunner"]

DIFFICULTY: dict[str, dict[str, Any]] = {
    "Easy": {"size": 11, "episode_length": 250},
    "Medium": {"size": 15, "episode_length": 400},
    "Hard": {"size": 31, "episode_length": 1000},
}
CONTROLS = ("discrete", "continuous")
_IDLE = 0.5  # a continuous action none of whose numbers is larger stays

# (size, episode_length), the rest by default: mean return of random play; 8 192, 4 096 and 1 024 episodes
_RANDOM = {(11, 250): 0.555, (15, 400): 0.399, (31, 1000): 0.184}


class Labyrinth(struct.PyTreeNode):
    """A maze and who runs in it.

    ``wall`` (size, size), bool; ``position`` (2,), int32: row and column; ``order`` (5,), int32: the move that each action makes.
    """

    wall: jax.Array
    position: jax.Array
    order: jax.Array


@dataclass(frozen=True)
class MazeRunner(Instructed):
    """Run to places of a maze in the order of the instruction; the maze is new in each episode, and only walls ahead are felt.

    The maze is a random spanning tree. Its lowest rows are cleared but for a tunnel, at whose closed end each episode begins, so
    that where the walls are tells little at first. Wherever the player stands is an achieved goal, at every step.

    With ``control="continuous"`` an action is two numbers from -1 to 1, (down, right): the larger in size decides the direction,
    the player goes one square, and none of them above 0.5 in size means to stay. Places stay whole squares, so that goals are met
    exactly and both controls pay the same. ``permuted`` draws anew in each episode which action makes which move; of
    continuous actions it permutes the four directions.

    Args:
        size: squares on a side, odd, 11 or more.
        episode_length: steps to the end.
        min_goals, max_goals: how many goals, at different free squares other than the start; every number between them is
            equally likely.
        control: ``"discrete"``, five actions, or ``"continuous"``.
        permuted: whether actions are permuted.
        position: whether row and column are seen.
    Raises:
        TypeError: an option of another type.
        ValueError: ``size`` even or below 11, an empty range of goals, or an unknown ``control``.
    Example:
        >>> env = MazeRunner()
        >>> obs, state = env.reset(jax.random.key(0))
        >>> obs, state, reward, terminated, truncated, info = env.step(jax.random.key(1), state, env.best_action(state))
        >>> obs.shape, info["achieved"].tolist(), bool(info["achieved_any"])
        ((19,), [8.0, 5.0], True)

    Source: Grigsby et al. 2024 (arXiv 2310.09971), appendix C.4; amago, envs/builtin/mazerunner.py.
    Differs: the code's mazes are random walls with loops and pockets, here a spanning tree, where every place can be reached; a
    maze of 30 is one of 31, as in the code. The paper does not say what its continuous actions do.
    """

    size: int = 11
    episode_length: int = 250
    min_goals: int = 1
    max_goals: int = 3
    control: str = "discrete"
    permuted: bool = False
    position: bool = True

    def __post_init__(self) -> None:
        if check_positive_int("size", self.size) < 11 or self.size % 2 == 0:
            raise ValueError(f"size must be odd, 11 or more; got {self.size}")
        check_positive_int("episode_length", self.episode_length)
        check_goals(self)
        check_choice("control", self.control, CONTROLS)
        check_flags(self)
        if self.max_goals > self.size:
            raise ValueError(f"max_goals must be {self.size} or less in this maze; got {self.max_goals}")

    @property
    def horizon(self) -> int:
        return self.episode_length

    @property
    def goal_scale(self) -> tuple[float, ...]:  # type: ignore[override]
        return (float(self.size), float(self.size))

    @property
    def world_size(self) -> int:  # type: ignore[override]
        return 4 + 2 * self.position

    @property
    def _start(self) -> tuple[int, int]:
        return self.size - 2, self.size // 2

    def action_space(self, params: EnvParams) -> Space:
        return spaces.Discrete(len(MOVES)) if self.control == "discrete" else spaces.Box(-1.0, 1.0, (2,))

    def begin_world(self, key: jax.Array, count: jax.Array) -> Labyrinth:
        key_maze, key_order = jax.random.split(key)
        row, column = self._start
        wall = spanning_maze(key_maze, self.size).at[row - 3 : row + 1, 1:-1].set(False)
        for side in (column - 1, column + 1):
            wall = wall.at[row - 2 : row + 1, side].set(True)
        order = jnp.arange(len(MOVES), dtype=jnp.int32)
        if self.permuted:
            permutable = order if self.control == "discrete" else order[:STAY]
            order = order.at[: len(permutable)].set(jax.random.permutation(key_order, permutable))
        return Labyrinth(wall, jnp.array([row, column], jnp.int32), order)

    def draw_goals(self, key: jax.Array, world: Labyrinth, count: jax.Array) -> jax.Array:
        free = ~world.wall.at[self._start].set(True)
        return jnp.stack(jnp.divmod(distinct(key, free.reshape(-1), self.max_goals), self.size), -1).astype(jnp.float32)

    def step_world(self, key: jax.Array, world: Labyrinth, action: jax.Array) -> Labyrinth:
        position = world.position + jnp.array(MOVES, jnp.int32)[world.order[self.choice(action)]]
        free = ~world.wall[position[0], position[1]]
        return world.replace(position=jnp.where(free, position, world.position))

    def choice(self, action: jax.Array) -> jax.Array:
        """The discrete action, 0 to 4, that an action stands for."""
        if self.control == "discrete":
            return action
        action = jnp.asarray(action)
        axis = jnp.argmax(jnp.abs(action))  # 0: up or down, 1: left or right
        down_or_right = action[axis] > 0
        moves = jnp.where(axis == 1, jnp.where(down_or_right, 2, 0), jnp.where(down_or_right, 3, 1))
        return jnp.where(jnp.abs(action[axis]) > _IDLE, moves, STAY)

    def see_world(self, world: Labyrinth) -> jax.Array:
        seen = [world.position] * self.position + [free_distances(world.wall, world.position)]
        return jnp.concatenate(seen) / self.size

    def achieved(self, world: Labyrinth) -> tuple[jax.Array, jax.Array]:
        return world.position.astype(jnp.float32), jnp.bool_(True)

    def best_action(self, state: InstructedState) -> jax.Array:
        world = state.world
        choice = jnp.argmax(world.order == toward(~world.wall, world.position, self.next_goal(state))).astype(jnp.int32)
        return choice if self.control == "discrete" else jnp.array(MOVES, jnp.float32)[choice]

    def describe(self) -> Description:
        usual = self.min_goals == 1 and self.max_goals == 3 and self.control == "discrete"
        measured = _RANDOM.get((self.size, self.episode_length)) if usual else None
        first = 2 * self.position
        actions = (
            "0 left, 1 up, 2 right, 3 down, 4 stay; a step into a wall does nothing"
            if self.control == "discrete"
            else f"(down, right), each from -1 to 1: the larger decides, none above {_IDLE} in size stays"
        )
        return Description(
            name="MazeRunner",
            summary=f"Reach {self.min_goals} to {self.max_goals} squares of an unseen maze of {self.size} x {self.size}, in order.",
            observation=(
                *((("0-1", f"row and column, divided by {self.size}"),) if self.position else ()),
                (
                    f"{first}-{first + 3}",
                    f"free squares to the wall left, above, right and below, divided by {self.size}",
                ),
                *self.told_instruction(f"row and column, divided by {self.size}"),
            ),
            action=actions + ("; which is which is drawn anew in each episode" if self.permuted else ""),
            reward="+1 for each goal, in order; the episode ends when all are done",
            horizon=self.horizon,
            random_return=measured,
            best_return=None if measured is None else (self.min_goals + self.max_goals) / 2,  # no walk took longer
            best_policy="sees the maze and takes the shortest ways",
            source="Grigsby et al. 2024 (arXiv 2310.09971), appendix C.4; amago, envs/builtin/mazerunner.py",
        )
