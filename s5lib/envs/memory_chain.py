"""bsuite's memory length: one bit is shown at the start and asked for L steps later."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from s5lib.config import check_positive_int
from s5lib.envs.base import Description, Environment, spaces

__all__ = ["MemoryChain", "State"]


class State(struct.PyTreeNode):
    """``time``: steps taken; ``context`` (num_bits,) int32 of 0 and 1: the cue; ``query``: which bit will be asked for."""

    time: jax.Array
    context: jax.Array
    query: jax.Array


@dataclass(frozen=True)
class MemoryChain(Environment):
    """See a cue, wait, repeat it: the memory length experiment of bsuite, with its exact timing.

    Args:
        memory_length: L, steps between the cue's first showing and the answer; an episode has L + 1 steps.
        num_bits: bits of the cue; one of them, named at the end, is asked for. bsuite's experiment has one.
    Raises:
        ValueError: ``memory_length`` or ``num_bits`` is not positive.
    Example:
        >>> obs, state = MemoryChain(memory_length=3).reset(jax.random.key(0))
        >>> obs.shape
        (3,)

    Source: bsuite 0.3.6, environments/memory_chain.py.
    """

    memory_length: int = 10
    num_bits: int = 1

    def __post_init__(self) -> None:
        check_positive_int("memory_length", self.memory_length)
        check_positive_int("num_bits", self.num_bits)

    @property
    def horizon(self) -> int:
        return self.memory_length + 1

    def observation_space(self, params: Any) -> Any:
        return spaces.Box(-1.0, float(max(1, self.num_bits - 1)), (self.num_bits + 2,))

    def action_space(self, params: Any) -> Any:
        return spaces.Discrete(2)

    def is_truncated(self, state: State, params: Any) -> jax.Array:
        return (state.time >= params.max_steps_in_episode) & (state.time < self.horizon)

    def reset_env(self, key: jax.Array, params: Any) -> tuple:
        key_context, key_query = jax.random.split(key)
        context = jax.random.bernoulli(key_context, shape=(self.num_bits,)).astype(jnp.int32)
        state = State(jnp.int32(0), context, jax.random.randint(key_query, (), 0, self.num_bits))
        return self._see(state), state

    def _see(self, state: State) -> jax.Array:
        left = 1 - state.time / self.memory_length
        query = jnp.where(state.time == self.memory_length - 1, state.query, 0)
        context = jnp.where(state.time == 0, 2 * state.context - 1, 0)
        return jnp.concatenate([left[None], query[None].astype(jnp.float32), context.astype(jnp.float32)])

    def transition(self, key: jax.Array, state: State, action: jax.Array, params: Any) -> tuple:
        obs = self._see(state)  # before the clock moves on, as in bsuite: the first step shows the cue again
        last = state.time == self.memory_length
        reward = jnp.where(last, jnp.where(action == self.best_action(state), 1.0, -1.0), 0.0)
        return obs, state.replace(time=state.time + 1), reward, last, {}

    def best_action(self, state: State) -> jax.Array:
        return state.context[state.query]

    def describe(self) -> Description:
        return Description(
            name="MemoryChain",
            summary=f"A cue of {self.num_bits} bit(s) is shown twice at the start and asked for {self.memory_length} steps later.",
            observation=(
                ("0", "time left, 1 - t / L"),
                ("1", "which bit is asked for, shown on the step before last only"),
                (f"2-{self.num_bits + 1}", "the cue, -1 or 1, on the first two observations; then 0"),
            ),
            action="the bit, 0 or 1; only the last one counts",
            reward="on the last step 1 if right, -1 if wrong; before, 0",
            horizon=self.horizon,
            random_return=0.0,
            best_return=1.0,
            best_policy="remembers the cue",
            source="bsuite 0.3.6, environments/memory_chain.py",
        )
