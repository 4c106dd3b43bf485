"""MineSweeper: open every square without a mine, told only how many mines lie about the last one."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from s5lib.config import check_positive_int
from s5lib.envs import spaces
from s5lib.envs.base import Description, Environment, EnvParams, Start, Transition, one_hots
from s5lib.envs.spaces import Space

__all__ = ["DIFFICULTY", "MineSweeper", "State"]

DIFFICULTY: dict[str, dict[str, Any]] = {
    "Easy": {"board_size": 4, "num_mines": 2},
    "Medium": {"board_size": 6, "num_mines": 6},
    "Hard": {"board_size": 8, "num_mines": 10},
}


class State(struct.PyTreeNode):
    """``mines`` and ``viewed`` (n, n), bool; ``viewed`` squares were opened and are safe. ``time``: steps taken.

    ``exploded``, bool: the last square opened was a mine.
    """

    time: jax.Array
    mines: jax.Array
    viewed: jax.Array
    exploded: jax.Array


@dataclass(frozen=True)
class MineSweeper(Environment):
    """Name a square, hear how many mines lie on it and its neighbours; the agent must remember the board.

    With L squares that hold no mine, a new one pays 1/L, one opened before -0.5/(L - 2), and a mine -0.5 - 1/L. The
    episode ends on a mine and when all L are open; else it is cut after L steps, so a single repeat rules out a win.
    The first observation, before any square is opened, is a count of 0.

    Args:
        board_size: n, the squares on a side.
        num_mines: mines, at different squares; every choice of squares is equally likely.
    Raises:
        ValueError: fewer than 3 squares hold no mine.
    Example:
        >>> env = MineSweeper(board_size=4, num_mines=2)
        >>> obs, state = env.reset(jax.random.key(0))
        >>> obs, state, reward, terminated, truncated, info = env.step(jax.random.key(1), state, env.best_action(state))
        >>> obs.shape, round(float(reward), 4)
        ((3,), 0.0714)

    Source: popgym 1.0.7, envs/minesweeper.py.
    """

    board_size: int = 4
    num_mines: int = 2

    def __post_init__(self) -> None:
        most = check_positive_int("board_size", self.board_size) ** 2 - 3
        if check_positive_int("num_mines", self.num_mines) > most:
            raise ValueError(f"num_mines must be at most {most} on this board; got {self.num_mines}")

    @property
    def horizon(self) -> int:
        return self.board_size**2 - self.num_mines

    @property
    def _counts(self) -> int:
        return min(self.num_mines + 1, 10)

    def observation_space(self, params: EnvParams) -> Space:
        return spaces.Box(0.0, 1.0, (self._counts,))

    def action_space(self, params: EnvParams) -> Space:
        return spaces.MultiDiscrete((self.board_size, self.board_size))

    def reset_env(self, key: jax.Array, params: EnvParams) -> Start:
        n = self.board_size
        mines = self._lay(key)
        state = State(jnp.int32(0), mines.reshape(n, n), jnp.zeros((n, n), bool), jnp.bool_(False))
        return self._see(jnp.int32(0)), state

    def _lay(self, key: jax.Array) -> jax.Array:
        """Choose squares for the mines without sorting: Floyd's method, one draw a mine."""
        squares = jnp.arange(self.board_size**2)
        last = np.arange(len(squares) - self.num_mines, len(squares))
        drawn = jax.random.randint(key, last.shape, 0, last + 1)
        mines = jnp.zeros(squares.shape, bool)
        for i in range(self.num_mines):
            mines |= squares == jnp.where(jnp.any(mines & (squares == drawn[i])), last[i], drawn[i])
        return mines

    def _see(self, count: jax.Array) -> jax.Array:
        return one_hots(count[None], (self._counts,))

    def transition(self, key: jax.Array, state: State, action: jax.Array, params: EnvParams) -> Transition:
        rows, columns = (jnp.abs(jnp.arange(self.board_size) - action[i]) for i in range(2))
        square = (rows == 0)[:, None] & (columns == 0)
        count = jnp.sum((rows <= 1)[:, None] & (columns <= 1) & state.mines, dtype=jnp.int32)
        exploded = jnp.any(square & state.mines)
        again = jnp.any(square & state.viewed)
        safe = self.horizon
        reward = jnp.where(exploded, -0.5 - 1 / safe, jnp.where(again, -0.5 / (safe - 2), 1 / safe))
        viewed = state.viewed | (square & ~state.mines)
        state = state.replace(time=state.time + 1, viewed=viewed, exploded=exploded)
        return self._see(count), state, reward, self._over(state), {}

    def _over(self, state: State) -> jax.Array:
        return state.exploded | jnp.all(state.mines | state.viewed)

    def is_truncated(self, state: State, params: EnvParams) -> jax.Array:
        return (state.time >= params.max_steps_in_episode) & ~self._over(state)

    def best_action(self, state: State) -> jax.Array:
        square = jnp.argmin((state.mines | state.viewed).reshape(-1))
        return jnp.stack(jnp.divmod(square, self.board_size)).astype(jnp.int32)

    def _random_return(self) -> float:
        """Step the distribution of the number of open squares while no mine is hit: all that random play depends on."""
        safe, squares = self.horizon, self.board_size**2
        viewed = np.eye(safe + 1)[0]
        again = np.arange(safe + 1) / squares
        new = (safe - np.arange(safe + 1)) / squares
        mine = self.num_mines / squares
        total = 0.0
        for _ in range(safe):
            total += viewed @ (new / safe - again * 0.5 / (safe - 2) - mine * (0.5 + 1 / safe))
            viewed = viewed * again + np.roll(viewed * new, 1)
        return float(total)

    def describe(self) -> Description:
        n, safe = self.board_size, self.horizon
        return Description(
            name="MineSweeper",
            summary=f"Open all {safe} squares without a mine on a {n} x {n} board with {self.num_mines} mines, one a step.",
            observation=(
                (
                    f"0-{self._counts - 1}",
                    "mines on the square last opened and its neighbours, one-hot, from 0; 0 before the first",
                ),
            ),
            action=f"the square to open: row 0-{n - 1}, column 0-{n - 1}",
            reward=f"+1/{safe} for a new square, -0.5/{safe - 2} for one opened before, -0.5 - 1/{safe} for a mine",
            horizon=self.horizon,
            random_return=self._random_return(),
            best_return=1.0,
            best_policy="sees where the mines are",
            source="popgym 1.0.7, envs/minesweeper.py",
        )
