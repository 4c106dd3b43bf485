"""Repeat First: go on saying the suit of the first card."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from s5lib.envs import spaces
from s5lib.envs.base import Description, EnvParams, Start, Transition, one_hots
from s5lib.envs.popgym.deck import SUITS, CardGame, shuffled
from s5lib.envs.spaces import Space

__all__ = ["DIFFICULTY", "RepeatFirst", "State"]

DIFFICULTY: dict[str, dict[str, Any]] = {
    "Easy": {"num_decks": 1},
    "Medium": {"num_decks": 8},
    "Hard": {"num_decks": 16},
}


class State(struct.PyTreeNode):
    """``suits`` (52 * num_decks,), int8: the cards in order of play. ``time``: steps taken; card ``time`` is in view."""

    time: jax.Array
    suits: jax.Array


@dataclass(frozen=True)
class RepeatFirst(CardGame):
    """See a card a step; each action, the first one too, names the suit of the first card.

    Each of the 52 * num_decks - 1 answers pays +1 or -1 over their number. Nothing in an observation tells the first
    card from later ones; the original's text promises such a mark, its code has none.

    Args:
        num_decks: packs of 52 cards; all cards are shown.
    Raises:
        TypeError, ValueError: ``num_decks`` is not a positive integer.
    Example:
        >>> env = RepeatFirst(num_decks=8)
        >>> obs, state = env.reset(jax.random.key(0))
        >>> obs, state, reward, terminated, truncated, info = env.step(jax.random.key(1), state, state.suits[0])
        >>> obs.shape, round(float(reward) * 415, 4)
        ((4,), 1.0)

    Source: popgym 1.0.7, envs/repeat_first.py.
    """

    def observation_space(self, params: EnvParams) -> Space:
        return spaces.Box(0.0, 1.0, (4,))

    def action_space(self, params: EnvParams) -> Space:
        return spaces.Discrete(4)

    def reset_env(self, key: jax.Array, params: EnvParams) -> Start:
        state = State(jnp.int32(0), shuffled(key, self.num_decks, "suits"))
        return self._see(state), state

    def _see(self, state: State) -> jax.Array:
        return one_hots(state.suits[state.time][None], (4,))

    def transition(self, key: jax.Array, state: State, action: jax.Array, params: EnvParams) -> Transition:
        reward = jnp.where(action == self.best_action(state), 1.0, -1.0) / self.horizon
        state = state.replace(time=state.time + 1)
        return self._see(state), state, reward, state.time >= self.horizon, {}

    def best_action(self, state: State) -> jax.Array:
        return state.suits[0].astype(jnp.int32)

    def describe(self) -> Description:
        return Description(
            name="RepeatFirst",
            summary="A card a step; at every step, name the suit of the first card.",
            observation=(("0-3", f"suit of the card in view, one-hot: {', '.join(SUITS)}"),),
            action=f"the suit to name: {', '.join(f'{i} {suit}' for i, suit in enumerate(SUITS))}",
            reward=f"each step +1/{self.horizon} if right, as much less if wrong",
            horizon=self.horizon,
            random_return=-0.5,
            best_return=1.0,
            best_policy="remembers the first suit",
            source="popgym 1.0.7, envs/repeat_first.py",
        )
