"""Higher Lower: guess whether the next card is higher or lower than the one in view."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from s5lib.envs import spaces
from s5lib.envs.base import Description, EnvParams, Start, Transition, one_hots
from s5lib.envs.popgym.deck import RANKS, CardGame, shuffled
from s5lib.envs.spaces import Space

__all__ = ["DIFFICULTY", "HigherLower", "State"]

DIFFICULTY: dict[str, dict[str, Any]] = {
    "Easy": {"num_decks": 1},
    "Medium": {"num_decks": 2},
    "Hard": {"num_decks": 3},
}


class State(struct.PyTreeNode):
    """``ranks`` (52 * num_decks,), int8: the cards in order of play. ``time``: steps taken; card ``time`` is in view."""

    time: jax.Array
    ranks: jax.Array


@dataclass(frozen=True)
class HigherLower(CardGame):
    """See a card a step and guess whether the next one is higher (0) or lower (1); the ace is lowest, the king highest.

    A guess pays +1/N if right, -1/N if wrong, and nothing if both cards have the same rank, where N = 52 * num_decks
    cards are dealt; there are N - 1 guesses. No action changes the cards, so that the best play takes, at every step,
    the side on which more cards are left.

    Args:
        num_decks: packs of 52 cards; all cards are shown.
    Raises:
        TypeError, ValueError: ``num_decks`` is not a positive integer.
    Example:
        >>> env = HigherLower()
        >>> obs, state = env.reset(jax.random.key(0))
        >>> obs, state, reward, terminated, truncated, info = env.step(jax.random.key(1), state, 0)
        >>> obs.shape, round(float(abs(reward)) * 52)
        ((13,), 1)

    Source: popgym 1.0.7, envs/higher_lower.py.
    """

    def observation_space(self, params: EnvParams) -> Space:
        return spaces.Box(0.0, 1.0, (13,))

    def action_space(self, params: EnvParams) -> Space:
        return spaces.Discrete(2)

    def reset_env(self, key: jax.Array, params: EnvParams) -> Start:
        state = State(jnp.int32(0), shuffled(key, self.num_decks, "ranks"))
        return self._see(state), state

    def _see(self, state: State) -> jax.Array:
        return one_hots(state.ranks[state.time][None], (13,))

    def transition(self, key: jax.Array, state: State, action: jax.Array, params: EnvParams) -> Transition:
        rise = jnp.sign(state.ranks[state.time + 1] - state.ranks[state.time])
        reward = jnp.where(action == 0, rise, -rise).astype(jnp.float32) / (self.num_cards)
        state = state.replace(time=state.time + 1)
        return self._see(state), state, reward, state.time >= self.horizon, {}

    def best_action(self, state: State) -> jax.Array:
        to_come = jnp.arange(self.num_cards) > state.time
        rise = jnp.sign(state.ranks - state.ranks[state.time])
        return (jnp.sum(jnp.where(to_come, rise, 0), dtype=jnp.int32) < 0).astype(jnp.int32)

    def describe(self) -> Description:
        cards = self.num_cards
        return Description(
            name="HigherLower",
            summary="A card a step; guess whether the next one is higher or lower.",
            observation=(("0-12", f"rank of the card in view, one-hot: {', '.join(RANKS)}"),),
            action="0 the next card is higher, 1 it is lower",
            reward=f"each step +1/{cards} if right, as much less if wrong; 0 for two cards of one rank",
            horizon=self.horizon,
            random_return=0.0,
            best_return=_counting(self.num_decks),
            best_policy="counts cards: remembers how many of each rank are still to come",
            source="popgym 1.0.7, envs/higher_lower.py",
        )


@cache
def _counting(num_decks: int) -> float:
    """The mean return of a player who counts cards, exactly.

    Of the N - 1 cards that are not in view, ``above`` are higher, ``below`` lower and ``equal`` of the same rank. Those
    still to come are a random subset of each size once an episode; of x, y and s such cards, the next one pays
    abs(x - y) / (x + y + s) on average, in units of 1/N.
    """
    cards = 52 * num_decks
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, cards)))])

    def log_choose(n: int, k: np.ndarray) -> np.ndarray:
        return log_factorial[n] - log_factorial[k] - log_factorial[n - k]

    total = 0.0
    for rank in range(13):
        above, below, equal = 4 * num_decks * (12 - rank), 4 * num_decks * rank, 4 * num_decks - 1
        x, y, s = np.ogrid[: above + 1, : below + 1, : equal + 1]
        left = x + y + s
        ways = log_choose(above, x) + log_choose(below, y) + log_choose(equal, s) - log_choose(cards - 1, left)
        total += np.sum(np.exp(ways) * np.abs(x - y) / np.maximum(left, 1)) / 13
    return float(total / cards)
