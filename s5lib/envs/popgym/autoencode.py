"""Autoencode: watch a deck, then name its suits from the last card back to the first."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from s5lib.envs import spaces
from s5lib.envs.base import Description, EnvParams, Start, Transition, one_hots
from s5lib.envs.popgym.deck import SUITS, CardGame, shuffled
from s5lib.envs.spaces import Space

__all__ = ["DIFFICULTY", "Autoencode", "State"]

DIFFICULTY: dict[str, dict[str, Any]] = {
    "Easy": {"num_decks": 1},
    "Medium": {"num_decks": 2},
    "Hard": {"num_decks": 3},
}


class State(struct.PyTreeNode):
    """``suits`` (N,), int8: the cards in the order shown. ``time``: steps taken; up to N - 1, card ``time`` is in view."""

    time: jax.Array
    suits: jax.Array


@dataclass(frozen=True)
class Autoencode(CardGame):
    """See N = 52 * num_decks cards, one a step; then name their suits backwards, from the last one.

    The first N - 1 actions mean nothing. Each of the next N pays +1/N if it names the suit whose turn it is, else
    -1/N. The mode says "answer" with the last card already, since that card's action is the first answer. Once the
    answers have begun, the card shown is always a spade: it means nothing.

    Args:
        num_decks: packs of 52 cards; all cards are shown.
    Raises:
        TypeError, ValueError: ``num_decks`` is not a positive integer.
    Example:
        >>> env = Autoencode()
        >>> obs, state = env.reset(jax.random.key(0))
        >>> obs, state, reward, terminated, truncated, info = env.step(jax.random.key(1), state, 3)
        >>> obs.shape, float(reward)  # no answer is asked for yet
        ((6,), 0.0)

    Source: popgym 1.0.7, envs/autoencode.py.
    """

    @property
    def horizon(self) -> int:
        return 2 * self.num_cards - 1

    @property
    def _last(self) -> int:
        """The step at which the last card is in view and the answers begin."""
        return self.num_cards - 1

    def observation_space(self, params: EnvParams) -> Space:
        return spaces.Box(0.0, 1.0, (6,))

    def action_space(self, params: EnvParams) -> Space:
        return spaces.Discrete(4)

    def reset_env(self, key: jax.Array, params: EnvParams) -> Start:
        state = State(jnp.int32(0), shuffled(key, self.num_decks, "suits"))
        return self._see(state), state

    def _see(self, state: State) -> jax.Array:
        mode = state.time < self._last
        suit = jnp.where(state.time <= self._last, state.suits[jnp.minimum(state.time, self._last)], 0)
        return one_hots(jnp.stack([mode.astype(jnp.int8), suit]), (2, 4))

    def transition(self, key: jax.Array, state: State, action: jax.Array, params: EnvParams) -> Transition:
        right = action == self.best_action(state)
        reward = jnp.where(state.time >= self._last, jnp.where(right, 1.0, -1.0) / (self.num_cards), 0.0)
        state = state.replace(time=state.time + 1)
        return self._see(state), state, reward, state.time >= self.horizon, {}

    def best_action(self, state: State) -> jax.Array:
        turn = jnp.minimum(2 * self._last - state.time, self._last)
        return state.suits[jnp.maximum(turn, 0)].astype(jnp.int32)

    def describe(self) -> Description:
        cards = self.num_cards
        return Description(
            name="Autoencode",
            summary=f"See {cards} cards, one a step, then name their suits from the last card back to the first.",
            observation=(
                ("0-1", "mode, one-hot: answer (from the last card on), watch"),
                ("2-5", f"suit of the card in view, one-hot: {', '.join(SUITS)}; spades after the last card"),
            ),
            action=f"the suit to name: {', '.join(f'{i} {suit}' for i, suit in enumerate(SUITS))}; ignored in mode watch",
            reward=f"in mode answer, +1/{cards} if right, as much less if wrong; in mode watch, 0",
            horizon=self.horizon,
            random_return=-0.5,
            best_return=1.0,
            best_policy="remembers all suits in order",
            source="popgym 1.0.7, envs/autoencode.py",
        )
