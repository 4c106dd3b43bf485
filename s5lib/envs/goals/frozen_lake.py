"""Meta-Frozen-Lake: several attempts to cross one unseen lake with holes in its ice, by actions whose meaning is unknown."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from s5lib.config import check_positive_int
from s5lib.envs import spaces
from s5lib.envs.base import Description, Environment, EnvParams, Start, Transition
from s5lib.envs.goals.grid import MOVES, toward
from s5lib.envs.spaces import Space

__all__ = ["DIFFICULTY", "Lake", "MetaFrozenLake"]

DIFFICULTY: dict[str, dict[str, Any]] = {"Easy": {"size": 4}, "Medium": {"size": 5}, "Hard": {"size": 7}}

# size, the rest by default: mean return of random play, 8 192 episodes or more
_RANDOM = {4: 1.007, 5: 0.258, 7: 0.0179}


class Lake(struct.PyTreeNode):
    """A lake and who crosses it.

    ``hole`` (size, size), bool; ``position`` (2,), int32: row and column; ``order`` (4,), int32: the move that each action makes;
    ``attempt``: from 0; ``attempt_time``: steps of this attempt; ``time``: steps of the episode.
    """

    time: jax.Array
    hole: jax.Array
    position: jax.Array
    order: jax.Array
    attempt: jax.Array
    attempt_time: jax.Array


@dataclass(frozen=True)
class MetaFrozenLake(Environment):
    """Cross a lake from one corner to the corner across, again and again; find its holes and what the actions do on the way.

    An attempt ends in a hole, at the far corner, which pays 1, or after ``attempt_length`` steps, and the next begins at the
    start. Holes and the permutation of the four actions are hidden, stay the same through an episode, and are drawn afresh for
    the next. Each square but the start and the far corner is a hole with probability ``hole_share``; a random way of right and
    down moves is then freed, so that the lake can always be crossed.

    Args:
        size: squares on a side, 2 or more.
        attempts: attempts to an episode.
        attempt_length: steps of an attempt, at most.
        hole_share: between 0 and 1.
    Raises:
        TypeError: a number that is not an integer.
        ValueError: a number that is not positive, a ``size`` of 1, or ``hole_share`` out of range.
    Example:
        >>> env = MetaFrozenLake()
        >>> obs, state = env.reset(jax.random.key(0))
        >>> obs, state, reward, terminated, truncated, info = env.step(jax.random.key(1), state, env.best_action(state))
        >>> env.horizon, obs.shape, int(info["attempt"])
        (400, (4,), 0)

    Source: amago, envs/builtin/toy_gym.py, MetaFrozenLake; gymnasium, envs/toy_text/frozen_lake.py, not slippery.
    Differs: that code draws lakes with a share of 0.2 until one can be crossed, here one way is freed; it has a fifth action that
    does nothing, and no limit to an attempt. Its hard mode swaps two actions in half of the episodes, blurs the position and
    opens holes behind the player; here all four actions are permuted, and nothing else is.
    """

    size: int = 4
    attempts: int = 10
    attempt_length: int = 40
    hole_share: float = 0.3

    def __post_init__(self) -> None:
        for name in ("attempts", "attempt_length"):
            check_positive_int(name, getattr(self, name))
        if check_positive_int("size", self.size) < 2:
            raise ValueError(f"size must be 2 or more; got {self.size}")
        if not isinstance(self.hole_share, float | int) or not 0 <= self.hole_share <= 1:
            raise ValueError(f"hole_share must be a number from 0 to 1; got {self.hole_share!r}")

    @property
    def horizon(self) -> int:
        return self.attempts * self.attempt_length

    def observation_space(self, params: EnvParams) -> Space:
        return spaces.Box(0.0, 1.0, (4,))

    def action_space(self, params: EnvParams) -> Space:
        return spaces.Discrete(4)

    def is_truncated(self, state: Lake, params: EnvParams) -> jax.Array:
        return (state.time >= params.max_steps_in_episode) & (state.attempt < self.attempts)

    def reset_env(self, key: jax.Array, params: EnvParams) -> Start:
        key_holes, key_way, key_order = jax.random.split(key, 3)
        n = self.size
        hole = jax.random.bernoulli(key_holes, self.hole_share, (n, n)) & ~self._way(key_way)
        order = jax.random.permutation(key_order, jnp.arange(4, dtype=jnp.int32))
        state = Lake(jnp.int32(0), hole, jnp.zeros(2, jnp.int32), order, jnp.int32(0), jnp.int32(0))
        return self._see(state), state

    def _way(self, key: jax.Array) -> jax.Array:
        """The squares of a random way: each order of its moves right and down is equally likely."""
        n = self.size
        down = jax.random.permutation(key, jnp.arange(2 * n - 2) < n - 1)
        rows = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(down, dtype=jnp.int32)])
        return jnp.zeros((n, n), bool).at[rows, jnp.arange(2 * n - 1) - rows].set(True)

    def _see(self, state: Lake) -> jax.Array:
        opens = (state.attempt_time == 0)[None]
        attempt = jnp.minimum(state.attempt / self.attempts, 1)[None]
        parts = [state.position / (self.size - 1), opens, attempt]
        return jnp.concatenate([part.astype(jnp.float32) for part in parts])

    def transition(self, key: jax.Array, state: Lake, action: jax.Array, params: EnvParams) -> Transition:
        position = jnp.clip(state.position + jnp.array(MOVES, jnp.int32)[state.order[action]], 0, self.size - 1)
        home = jnp.all(position == self.size - 1)
        ended = home | state.hole[position[0], position[1]] | (state.attempt_time + 1 >= self.attempt_length)
        info = {"attempt": state.attempt, "attempt_ended": ended}
        state = state.replace(
            time=state.time + 1,
            position=jnp.where(ended, 0, position),
            attempt=state.attempt + ended,
            attempt_time=jnp.where(ended, 0, state.attempt_time + 1),
        )
        return self._see(state), state, jnp.where(home, 1.0, 0.0), state.attempt >= self.attempts, info

    def best_action(self, state: Lake) -> jax.Array:
        far = jnp.full(2, self.size - 1)
        return jnp.argmax(state.order == toward(~state.hole, state.position, far)).astype(jnp.int32)

    def describe(self) -> Description:
        usual = self == MetaFrozenLake(self.size)
        return Description(
            name="MetaFrozenLake",
            summary=f"Cross a lake of {self.size} x {self.size} squares with hidden holes, {self.attempts} attempts to an episode. "
            "What each action does is drawn anew in each episode.",
            observation=(
                ("0-1", f"row and column, divided by {self.size - 1}"),
                ("2", "1 where an attempt begins"),
                ("3", f"attempts that are over, divided by {self.attempts}"),
            ),
            action="four moves, left, up, right and down, in an unknown order; a step off the lake does nothing",
            reward="+1 for each crossing; a hole ends the attempt and pays nothing",
            horizon=self.horizon,
            random_return=_RANDOM.get(self.size) if usual else None,
            best_return=float(self.attempts) if self.attempt_length >= self.size**2 else None,
            best_policy="knows holes and actions, and takes a shortest way",
            source="amago, envs/builtin/toy_gym.py; gymnasium, envs/toy_text/frozen_lake.py",
        )
