"""Multi-armed Bandit: find the arm that wins most often, told only whether the last pull won."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from s5lib.config import check_positive_int
from s5lib.envs import spaces
from s5lib.envs.base import Description, Environment, EnvParams, Start, Transition
from s5lib.envs.spaces import Space

__all__ = ["DIFFICULTY", "MultiarmedBandit", "State"]

DIFFICULTY: dict[str, dict[str, Any]] = {
    "Easy": {"num_bandits": 10, "episode_length": 200},
    "Medium": {"num_bandits": 20, "episode_length": 400},
    "Hard": {"num_bandits": 30, "episode_length": 600},
}


class State(struct.PyTreeNode):
    """``arms`` (num_bandits,), float32: how likely each arm is to win. ``time``: steps taken."""

    time: jax.Array
    arms: jax.Array


@dataclass(frozen=True)
class MultiarmedBandit(Environment):
    """Pull one of several arms a step, and hear whether it won; the agent must remember which arms win.

    Each episode draws each arm's chance of winning anew, uniformly from 0 to 1. A win pays 1/episode_length, a loss as
    much less. The first observation, before any pull, is that of a loss.

    Args:
        num_bandits: arms.
        episode_length: pulls.
    Raises:
        ValueError: an argument is not positive.
    Example:
        >>> env = MultiarmedBandit(num_bandits=10, episode_length=200)
        >>> obs, state = env.reset(jax.random.key(0))
        >>> obs, state, reward, terminated, truncated, info = env.step(jax.random.key(1), state, 3)
        >>> obs.shape, round(abs(float(reward)), 4)
        ((2,), 0.005)

    Source: popgym 1.0.7, envs/multiarmed_bandit.py.
    Differs: the arms are in the state; the original hands them to the agent too, in ``info``.
    """

    num_bandits: int = 10
    episode_length: int = 200

    def __post_init__(self) -> None:
        check_positive_int("num_bandits", self.num_bandits)
        check_positive_int("episode_length", self.episode_length)

    @property
    def horizon(self) -> int:
        return self.episode_length

    def observation_space(self, params: EnvParams) -> Space:
        return spaces.Box(0.0, 1.0, (2,))

    def action_space(self, params: EnvParams) -> Space:
        return spaces.Discrete(self.num_bandits)

    def reset_env(self, key: jax.Array, params: EnvParams) -> Start:
        state = State(jnp.int32(0), jax.random.uniform(key, (self.num_bandits,)))
        return self._see(jnp.bool_(False)), state

    def _see(self, won: jax.Array) -> jax.Array:
        return jnp.stack([~won, won]).astype(jnp.float32)

    def transition(self, key: jax.Array, state: State, action: jax.Array, params: EnvParams) -> Transition:
        won = jax.random.uniform(key, (), jnp.float32) < state.arms[action]
        reward = jnp.where(won, 1.0, -1.0) / self.episode_length
        return self._see(won), state.replace(time=state.time + 1), reward, jnp.bool_(False), {}

    def best_action(self, state: State) -> jax.Array:
        return jnp.argmax(state.arms).astype(jnp.int32)

    def describe(self) -> Description:
        n = self.num_bandits
        return Description(
            name="MultiarmedBandit",
            summary=f"{n} arms, each with its own chance of winning, drawn anew each episode; pull one a step.",
            observation=(("0-1", "the last pull, one-hot: loss (also before the first), win"),),
            action=f"the arm to pull, 0-{n - 1}",
            reward=f"+1/{self.episode_length} for a win, as much less for a loss",
            horizon=self.horizon,
            random_return=0.0,
            best_return=(n - 1) / (n + 1),  # the best of n chances is n / (n + 1) on average
            best_policy="knows each arm's chance of winning",
            source="popgym 1.0.7, envs/multiarmed_bandit.py",
        )
