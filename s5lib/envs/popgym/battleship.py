"""Battleship: sink hidden ships on a board, told only whether the last shot hit."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from s5lib.config import check_positive_int
from s5lib.envs import spaces
from s5lib.envs.base import Description, Environment, EnvParams, Start, Transition
from s5lib.envs.spaces import Space

__all__ = ["DIFFICULTY", "Battleship", "State"]

DIFFICULTY: dict[str, dict[str, Any]] = {
    "Easy": {"board_size": 8},
    "Medium": {"board_size": 10},
    "Hard": {"board_size": 12},
}


class State(struct.PyTreeNode):
    """``ships`` and ``guessed`` (n, n), bool: where ships lie, and which squares were shot at.

    ``hits``: the ship squares among those shot at. ``time``: steps taken.
    """

    time: jax.Array
    ships: jax.Array
    guessed: jax.Array
    hits: jax.Array


@dataclass(frozen=True)
class Battleship(Environment):
    """Name a square, hear whether it is a hit; the agent must remember where it shot and what it hit.

    On an n x n board with S ship squares, a hit pays 1/S and anything else -1/(n^2 - S). A square that was shot at
    before is a miss, hit or not. The first observation, before any shot, is a miss too. The episode ends when every
    ship square is hit, and by time after n^2 shots; both can be true of the last shot.

    Args:
        board_size: n, the squares on a side.
        ship_sizes: the length of each ship, in the order in which they are placed. Ships lie along rows or columns,
            may touch, and never overlap; each placement that is free is equally likely.
    Raises:
        ValueError: the ships might not fit, or would fill the board.
    Example:
        >>> env = Battleship(board_size=8)
        >>> obs, state = env.reset(jax.random.key(0))
        >>> obs, state, reward, terminated, truncated, info = env.step(jax.random.key(1), state, env.best_action(state))
        >>> obs.tolist(), round(float(reward), 4)
        ([0.0, 1.0], 0.0833)

    Source: popgym 1.0.7, envs/battleship.py.
    Differs: the original loops for ever where a ship finds no room; here such options are refused.
    """

    board_size: int = 10
    ship_sizes: tuple[int, ...] = (2, 3, 3, 4)

    def __post_init__(self) -> None:
        n = check_positive_int("board_size", self.board_size)
        object.__setattr__(self, "ship_sizes", tuple(check_positive_int("ship_sizes", s) for s in self.ship_sizes))
        for i, size in enumerate(self.ship_sizes):
            # To leave no free run of `size` squares, at least n // size squares of every row must be taken.
            if sum(self.ship_sizes[:i]) >= n * (n // size):
                raise ValueError(
                    f"ship_sizes must fit a board of {n} x {n} wherever earlier ships lie; got {self.ship_sizes}"
                )
        if not 0 < self._ship_squares < n * n:
            raise ValueError(f"ship_sizes must take from 1 to {n * n - 1} squares; got {self.ship_sizes}")

    @property
    def _ship_squares(self) -> int:
        return sum(self.ship_sizes)

    @property
    def horizon(self) -> int:
        return self.board_size**2

    def observation_space(self, params: EnvParams) -> Space:
        return spaces.Box(0.0, 1.0, (2,))

    def action_space(self, params: EnvParams) -> Space:
        return spaces.MultiDiscrete((self.board_size, self.board_size))

    def _place(self, key: jax.Array, ships: jax.Array, size: int) -> jax.Array:
        """Add a ship: of all free placements, along rows and along columns, each is equally likely."""
        n, starts = self.board_size, self.board_size - size + 1
        squares = [ships, ships.T]
        free = ~jnp.stack([sum(s[:, i : i + starts] for i in range(size)) for s in squares]).astype(bool)
        # The free placement with the largest random number: its own index stands in the number's lowest bits.
        width = (free.size - 1).bit_length()
        numbers = jax.random.bits(key, (free.size,)) >> width << width | jnp.arange(free.size, dtype=jnp.uint32)
        chosen = jnp.max(jnp.where(free.reshape(-1), numbers, 0)) % 2**width
        along_columns, row, column = jnp.unravel_index(chosen, (2, n, starts))
        index = jnp.arange(n)
        ship = (index == row)[:, None] & ((index >= column) & (index < column + size))
        return ships | jnp.where(along_columns, ship.T, ship)

    def reset_env(self, key: jax.Array, params: EnvParams) -> Start:
        empty = jnp.zeros((self.board_size, self.board_size), bool)
        ships = empty
        for one, size in zip(jax.random.split(key, len(self.ship_sizes)), self.ship_sizes, strict=True):
            ships = self._place(one, ships, size)
        return self._see(jnp.bool_(False)), State(jnp.int32(0), ships, empty, jnp.int32(0))

    def _see(self, hit: jax.Array) -> jax.Array:
        return jnp.stack([~hit, hit]).astype(jnp.float32)

    def transition(self, key: jax.Array, state: State, action: jax.Array, params: EnvParams) -> Transition:
        index = jnp.arange(self.board_size)
        square = (index == action[0])[:, None] & (index == action[1])
        hit = state.ships[action[0], action[1]] & ~state.guessed[action[0], action[1]]
        reward = jnp.where(hit, 1 / self._ship_squares, -1 / (self.horizon - self._ship_squares))
        state = state.replace(time=state.time + 1, guessed=state.guessed | square, hits=state.hits + hit)
        return self._see(hit), state, reward, state.hits == self._ship_squares, {}

    def best_action(self, state: State) -> jax.Array:
        square = jnp.argmax((state.ships & ~state.guessed).reshape(-1))
        return jnp.stack(jnp.divmod(square, self.board_size)).astype(jnp.int32)

    def _random_return(self) -> float:
        """Step the distribution of the number of hits so far, which is all that random play depends on."""
        squares, wanted = self.horizon, self._ship_squares
        hits = np.eye(wanted + 1)[0]
        chance = (wanted - np.arange(wanted + 1)) / squares
        pays = np.where(chance > 0, chance / wanted - (1 - chance) / (squares - wanted), 0)
        total = 0.0
        for _ in range(squares):
            total += hits @ pays
            hits = hits * (1 - chance) + np.roll(hits * chance, 1)
        return float(total)

    def describe(self) -> Description:
        n, wanted = self.board_size, self._ship_squares
        return Description(
            name="Battleship",
            summary=f"Find ships of {', '.join(map(str, self.ship_sizes))} squares on a {n} x {n} board, one shot a step.",
            observation=(("0-1", "the last shot, one-hot: miss (also a repeated shot, and before the first), hit"),),
            action=f"the square to shoot at: row 0-{n - 1}, column 0-{n - 1}",
            reward=f"+1/{wanted} for a hit, -1/{self.horizon - wanted} for anything else",
            horizon=self.horizon,
            random_return=self._random_return(),
            best_return=1.0,
            best_policy="sees where the ships are",
            source="popgym 1.0.7, envs/battleship.py",
        )
