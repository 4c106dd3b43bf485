"""Dark Key-to-Door: find an unseen key, then an unseen door, again and again in one room."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from s5lib.config import check_positive_int
from s5lib.envs import spaces
from s5lib.envs.base import Description, Environment, EnvParams, Start, Transition
from s5lib.envs.goals.grid import MOVES, STAY
from s5lib.envs.spaces import Space

__all__ = ["DIFFICULTY", "DarkKeyToDoor", "Room"]

DIFFICULTY: dict[str, dict[str, Any]] = {"Easy": {"size": 8}, "Hard": {"size": 9}}

# size, the rest by default: mean return of random play and of the best player, 32 768 episodes
_MEASURED = {8: (3.31, 111.5), 9: (2.59, 98.8)}


class Room(struct.PyTreeNode):
    """A dark room and who looks around in it.

    ``position``, ``start``, ``key`` and ``door`` (2,), int32: row and column; ``held``, bool: whether the key was found in this
    attempt; ``attempt_time``: steps of this attempt; ``time``: steps of the episode.
    """

    time: jax.Array
    position: jax.Array
    start: jax.Array
    key: jax.Array
    door: jax.Array
    held: jax.Array
    attempt_time: jax.Array


@dataclass(frozen=True)
class DarkKeyToDoor(Environment):
    """Find a key, then a door, neither of which is seen, and do it again sooner.

    The first step that ends on the key's square pays 1, the first after it that ends on the door's pays 1 and ends the attempt;
    ``attempt_length`` steps end it too. The next attempt begins where the first one did, with key and door where they were, until
    the episode's horizon. Whether the key is held is seen.

    Args:
        size: squares on a side of the room, 2 or more.
        attempt_length: steps of an attempt, at most.
        episode_length: steps of an episode.
    Raises:
        TypeError: an option that is not an integer.
        ValueError: a number that is not positive, or a ``size`` of 1.
    Example:
        >>> env = DarkKeyToDoor()
        >>> obs, state = env.reset(jax.random.key(0))
        >>> obs, state, reward, terminated, truncated, info = env.step(jax.random.key(1), state, env.best_action(state))
        >>> env.horizon, obs.shape, bool(info["attempt_ended"])
        (500, (5,), False)

    Source: Grigsby et al. 2024 (arXiv 2310.09971), appendix C.2, after Laskin et al. 2022 (arXiv 2210.14215); amago,
    envs/builtin/room_key_door.py.
    Differs: key and door lie on different squares, and the time of the episode is seen. Its end is therefore ``terminated``.
    """

    size: int = 8
    attempt_length: int = 50
    episode_length: int = 500

    def __post_init__(self) -> None:
        for name in ("attempt_length", "episode_length"):
            check_positive_int(name, getattr(self, name))
        if check_positive_int("size", self.size) < 2:
            raise ValueError(f"size must be 2 or more; got {self.size}")

    @property
    def horizon(self) -> int:
        return self.episode_length

    def observation_space(self, params: EnvParams) -> Space:
        return spaces.Box(0.0, 1.0, (5,))

    def action_space(self, params: EnvParams) -> Space:
        return spaces.Discrete(len(MOVES))

    def is_truncated(self, state: Room, params: EnvParams) -> jax.Array:
        return (state.time >= params.max_steps_in_episode) & (state.time < self.horizon)

    def reset_env(self, key: jax.Array, params: EnvParams) -> Start:
        key_start, key_key, key_door = jax.random.split(key, 3)
        n = self.size
        lies = jax.random.randint(key_key, (), 0, n**2)
        door = (lies + jax.random.randint(key_door, (), 1, n**2)) % n**2  # any square but the key's
        at_key, at_door = (jnp.stack(jnp.divmod(place, n)).astype(jnp.int32) for place in (lies, door))
        start = jax.random.randint(key_start, (2,), 0, n)
        state = Room(jnp.int32(0), start, jnp.copy(start), at_key, at_door, jnp.bool_(False), jnp.int32(0))
        return self._see(state), state

    def _see(self, state: Room) -> jax.Array:
        clocks = jnp.stack([state.attempt_time / self.attempt_length, jnp.minimum(state.time / self.episode_length, 1)])
        parts = (state.position / (self.size - 1), state.held[None], clocks)
        return jnp.concatenate([part.astype(jnp.float32) for part in parts])

    def transition(self, key: jax.Array, state: Room, action: jax.Array, params: EnvParams) -> Transition:
        position = jnp.clip(state.position + jnp.array(MOVES, jnp.int32)[action], 0, self.size - 1)
        found = ~state.held & jnp.all(position == state.key)
        opened = state.held & jnp.all(position == state.door)
        ended = opened | (state.attempt_time + 1 >= self.attempt_length)
        state = state.replace(
            time=state.time + 1,
            position=jnp.where(ended, state.start, position),
            held=(state.held | found) & ~ended,
            attempt_time=jnp.where(ended, 0, state.attempt_time + 1),
        )
        reward = jnp.where(found | opened, 1.0, 0.0)
        return self._see(state), state, reward, state.time >= self.horizon, {"attempt_ended": ended}

    def best_action(self, state: Room) -> jax.Array:
        ahead = jnp.where(state.held, state.door, state.key) - state.position
        across = jnp.where(ahead[1] > 0, 2, 0)
        upright = jnp.where(ahead[0] > 0, 3, 1)
        return jnp.where(ahead[1] != 0, across, jnp.where(ahead[0] != 0, upright, STAY)).astype(jnp.int32)

    def describe(self) -> Description:
        measured = _MEASURED.get(self.size) if self == DarkKeyToDoor(self.size) else None
        random_return, best_return = measured or (None, None)
        return Description(
            name="DarkKeyToDoor",
            summary=f"In a dark room of {self.size} x {self.size}, step on a hidden key and then on a hidden door, as often as "
            "time allows; they stay where they are through an episode.",
            observation=(
                ("0-1", f"row and column, divided by {self.size - 1}"),
                ("2", "1 while the key is held"),
                ("3", f"steps of this attempt, divided by {self.attempt_length}"),
                ("4", f"time, as a share of {self.episode_length} steps"),
            ),
            action="0 left, 1 up, 2 right, 3 down, 4 stay; a step into the wall does nothing",
            reward="+1 for the key and +1 for the door after it, once an attempt each",
            horizon=self.horizon,
            random_return=random_return,
            best_return=best_return,
            best_policy="knows where key and door are",
            source="Grigsby et al. 2024 (arXiv 2310.09971), appendix C.2; amago, envs/builtin/room_key_door.py",
        )
