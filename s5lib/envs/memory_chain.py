"""bsuite's memory length: one bit is shown at the start and asked for L steps later."""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from s5lib.config import check_positive_int
from s5lib.envs import spaces
from s5lib.envs.base import Description, Environment, EnvParams, Start, Transition
from s5lib.envs.spaces import Space

__all__ = ["MEMORY_LENGTHS", "MemoryChain", "State", "bsuite_score"]

MEMORY_LENGTHS = (*range(1, 11), 12, 14, 17, 20, 25, *range(30, 101, 10))  # bsuite's 23, of 10 000 episodes each
_EPISODES = 10_000
_SOLVED = 0.75


class State(struct.PyTreeNode):
    """``time``: steps taken; ``context`` (num_bits,) int32 of 0 and 1: the cue; ``query``: the bit that is asked for."""

    time: jax.Array
    context: jax.Array
    query: jax.Array


@dataclass(frozen=True)
class MemoryChain(Environment):
    """See a cue, wait, repeat it: the memory length experiment of bsuite, with its exact timing.

    bsuite builds each observation before its clock moves on, so the cue is in view twice: after the reset and after
    the first step. The answer is due at time L, on the observation that shows the time left as 1 / L; it is the
    episode's action number L + 1 and the only one that counts. For L = 1 the cue is still in view then.

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

    def observation_space(self, params: EnvParams) -> Space:
        return spaces.Box(-1.0, float(max(1, self.num_bits - 1)), (self.num_bits + 2,))

    def action_space(self, params: EnvParams) -> Space:
        return spaces.Discrete(2)

    def is_truncated(self, state: State, params: EnvParams) -> jax.Array:
        return (state.time >= params.max_steps_in_episode) & (state.time < self.horizon)

    def reset_env(self, key: jax.Array, params: EnvParams) -> Start:
        key_context, key_query = jax.random.split(key)
        context = jax.random.bernoulli(key_context, shape=(self.num_bits,)).astype(jnp.int32)
        state = State(jnp.int32(0), context, jax.random.randint(key_query, (), 0, self.num_bits))
        return self._see(state), state

    def _see(self, state: State) -> jax.Array:
        left = (self.memory_length - state.time) / self.memory_length
        query = jnp.where(state.time == self.memory_length - 1, state.query, 0)
        context = jnp.where(state.time == 0, 2 * state.context - 1, 0)
        return jnp.concatenate([left[None], query[None], context]).astype(jnp.float32)

    def transition(self, key: jax.Array, state: State, action: jax.Array, params: EnvParams) -> Transition:
        obs = self._see(state)  # before the clock moves on, as in bsuite: the first step shows the cue again
        last = state.time == self.memory_length
        reward = jnp.where(last, jnp.where(action == self.best_action(state), 1.0, -1.0), 0.0)
        return obs, state.replace(time=state.time + 1), reward, last, {}

    def best_action(self, state: State) -> jax.Array:
        return state.context[state.query]

    def describe(self) -> Description:
        cue, bits = ("2", "1 bit") if self.num_bits == 1 else (f"2-{self.num_bits + 1}", f"{self.num_bits} bits")
        steps = "1 step" if self.memory_length == 1 else f"{self.memory_length} steps"
        return Description(
            name="MemoryChain",
            summary=f"A cue of {bits} is shown twice at the start and asked for {steps} later.",
            observation=(
                ("0", f"time left: 1, 1, then down to 0 by 1/{self.memory_length} a step"),
                ("1", "which bit is asked for, from 0; shown as the answer is due, else 0"),
                (cue, "the cue, -1 or 1 for 0 or 1, on the first two observations; then 0"),
            ),
            action="the bit, 0 or 1; only the last one counts",
            reward="on the last step 1 if right, -1 if wrong; before, 0",
            horizon=self.horizon,
            random_return=0.0,
            best_return=1.0,
            best_policy="remembers the cue",
            source="bsuite 0.3.6, environments/memory_chain.py",
        )


def bsuite_score(results: Mapping[int, tuple[int, int]]) -> float:
    """Score a learner as bsuite does: the share of memory lengths that it solved.

    All episodes from the first of training on count. A length is solved if the regret, as a share of a guesser's, is
    below 0.75: more than 5 of 8 answers right. A slow learner fails even if it is perfect in the end.

    Args:
        results: memory length to (episodes, how many of them were answered right); bsuite's are ``MEMORY_LENGTHS``,
            with 10 000 episodes each, and fewer episodes or lengths score what is there.
    Returns:
        A number from 0 to 1.
    Raises:
        ValueError: no lengths, more than 10 000 episodes, or more right answers than episodes.
        TypeError: a length or number that is not an integer.
    Example:
        >>> bsuite_score({1: (10_000, 9_900), 100: (10_000, 5_100)})
        0.5

    Source: bsuite 0.3.6, experiments/memory_len/analysis.py, for one seed.
    """
    if not results:
        raise ValueError("results must hold at least one memory length; got none")
    solved = 0
    for length, (episodes, perfect) in results.items():
        check_positive_int("memory length", length)
        if check_positive_int("episodes", episodes) > _EPISODES:
            raise ValueError(f"episodes must be at most {_EPISODES}, the first ones; got {episodes} of length {length}")
        if isinstance(perfect, bool) or not isinstance(perfect, int | np.integer):
            raise TypeError(f"perfect must be an integer; got {perfect!r} of length {length}")
        if not 0 <= perfect <= episodes:
            raise ValueError(f"perfect must lie in 0 .. {episodes}, the episodes; got {perfect} of length {length}")
        solved += (episodes - perfect) / 0.5 / episodes < _SOLVED
    return solved / len(results)
