"""The passive T-Maze: a cue at the start of a corridor says which way to turn at its end."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from s5lib.config import check_positive_int
from s5lib.envs import spaces
from s5lib.envs.base import Description, Environment, EnvParams, Start, Transition
from s5lib.envs.spaces import Space

__all__ = ["DIFFICULTY", "Corridor", "TMaze"]

DIFFICULTY: dict[str, dict[str, Any]] = {
    "Easy": {"length": 100},
    "Medium": {"length": 1000},
    "Hard": {"length": 10_000},
}
LEFT, UP, RIGHT, DOWN = range(4)


class Corridor(struct.PyTreeNode):
    """``time``: steps taken; ``place``: squares from the start, int32; ``up``, bool: whether the reward lies up at the end."""

    time: jax.Array
    place: jax.Array
    up: jax.Array


@dataclass(frozen=True)
class TMaze(Environment):
    """See a cue, walk down a corridor, turn as the cue said: memory over ``length`` steps, and nothing else.

    The cue shows once, in the first observation. The corridor is ``length`` steps of right long, and the episode has one step
    more, the turn. Who does not go right in the corridor pays 1/length, and cannot be in time any more: what is learnt is one bit
    kept over the horizon. Turning up or down at the end ends the episode and pays 1 if the cue said so.

    Args:
        length: steps down the corridor, positive.
    Raises:
        TypeError, ValueError: ``length`` is not a positive integer.
    Example:
        >>> env = TMaze(length=3)
        >>> obs, state = env.reset(jax.random.key(0))
        >>> obs, state, reward, terminated, truncated, info = env.step(jax.random.key(1), state, env.best_action(state))
        >>> env.horizon, obs.tolist(), float(reward)
        (4, [0.0, 0.0], 0.0)

    Source: Ni et al. 2023 (arXiv 2307.03864), section 4.1, as used by Grigsby et al. 2024 (arXiv 2310.09971), appendix C.2;
    amago, envs/builtin/tmaze.py, TMazeAltPassive, whose penalty is this cost.
    Differs: the arm that was taken is not seen, for the episode is over. Running out of time is ``terminated`` alone.
    """

    length: int = 100

    def __post_init__(self) -> None:
        check_positive_int("length", self.length)

    @property
    def horizon(self) -> int:
        return self.length + 1

    def observation_space(self, params: EnvParams) -> Space:
        return spaces.Box(-1.0, 1.0, (2,))

    def action_space(self, params: EnvParams) -> Space:
        return spaces.Discrete(4)

    def is_truncated(self, state: Corridor, params: EnvParams) -> jax.Array:
        return (state.time >= params.max_steps_in_episode) & (state.time < self.horizon)

    def reset_env(self, key: jax.Array, params: EnvParams) -> Start:
        state = Corridor(jnp.int32(0), jnp.int32(0), jax.random.bernoulli(key))
        return self._see(state), state

    def _see(self, state: Corridor) -> jax.Array:
        cue = jnp.where(state.time == 0, jnp.where(state.up, 1, -1), 0)
        return jnp.stack([cue, state.place == self.length]).astype(jnp.float32)

    def transition(self, key: jax.Array, state: Corridor, action: jax.Array, params: EnvParams) -> Transition:
        junction = state.place == self.length
        turned = junction & ((action == UP) | (action == DOWN))
        idle = ~junction & (action != RIGHT)
        reward = jnp.where(turned & ((action == UP) == state.up), 1.0, 0.0) - jnp.where(idle, 1 / self.length, 0.0)
        state = state.replace(time=state.time + 1, place=state.place + (~junction & ~idle))
        return self._see(state), state, reward, turned | (state.time >= self.horizon), {}

    def best_action(self, state: Corridor) -> jax.Array:
        turn = jnp.where(state.up, UP, DOWN)
        return jnp.where(state.place == self.length, turn, RIGHT).astype(jnp.int32)

    def describe(self) -> Description:
        n = self.length
        return Description(
            name="TMaze",
            summary=f"A cue in the first observation says which way to turn {n} steps later, at the end of a corridor.",
            observation=(
                ("0", "the cue, 1 for up and -1 for down, in the first observation; then 0"),
                ("1", "1 at the end"),
            ),
            action="0 left, 1 up, 2 right, 3 down; in the corridor only right moves",
            reward=f"1 for the right turn at the end; -1/{n} for each step of the corridor that is not right",
            horizon=self.horizon,
            random_return=0.25 * 0.25**n - 0.75 * (1 + 1 / n) + 0.75 / n * 0.25**n,
            best_return=1.0,
            best_policy="remembers the cue",
            source="Ni et al. 2023 (arXiv 2307.03864), section 4.1; Grigsby et al. 2024 (arXiv 2310.09971), appendix C.2",
        )
