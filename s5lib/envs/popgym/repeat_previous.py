"""Repeat Previous: say the suit of the card shown k - 1 steps ago."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from s5lib.config import check_positive_int
from s5lib.envs import spaces
from s5lib.envs.base import Description, EnvParams, Start, Transition, one_hots
from s5lib.envs.popgym.deck import SUITS, CardGame, shuffled
from s5lib.envs.spaces import Space

__all__ = ["DIFFICULTY", "RepeatPrevious", "State"]

DIFFICULTY: dict[str, dict[str, Any]] = {
    "Easy": {"num_decks": 1, "k": 4},
    "Medium": {"num_decks": 2, "k": 32},
    "Hard": {"num_decks": 3, "k": 64},
}


class State(struct.PyTreeNode):
    """``suits`` (52 * num_decks,), int8: the cards in order of play. ``time``: steps taken; card ``time`` is in view."""

    time: jax.Array
    suits: jax.Array


@dataclass(frozen=True)
class RepeatPrevious(CardGame):
    """See a card a step; from step k - 1 on, each action names the suit of the card shown k - 1 steps before.

    With cards c[0], c[1], ..., the action taken on seeing c[t] is right if it equals c[t - k + 1]. Each of the 52 *
    num_decks - k answers pays +1 or -1 over their number.

    Args:
        num_decks: packs of 52 cards; all cards are shown.
        k: how many cards have to be held, the one in view among them.
    Raises:
        ValueError: fewer cards than k + 1.
    Example:
        >>> env = RepeatPrevious(num_decks=2, k=32)
        >>> obs, state = env.reset(jax.random.key(0))
        >>> obs, state, reward, terminated, truncated, info = env.step(jax.random.key(1), state, 3)
        >>> obs.shape, float(reward)  # no answer is asked for yet
        ((4,), 0.0)

    Source: popgym 1.0.7, envs/repeat_previous.py.
    """

    k: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if check_positive_int("k", self.k) >= self.num_cards:
            raise ValueError(f"k must be below the number of cards, {self.num_cards}; got {self.k}")

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
        asked = state.time + 1 >= self.k
        right = action == self.best_action(state)
        reward = jnp.where(asked, jnp.where(right, 1.0, -1.0) / (self.num_cards - self.k), 0.0)
        state = state.replace(time=state.time + 1)
        return self._see(state), state, reward, state.time >= self.horizon, {}

    def best_action(self, state: State) -> jax.Array:
        return state.suits[jnp.maximum(state.time - self.k + 1, 0)].astype(jnp.int32)

    def describe(self) -> Description:
        return Description(
            name="RepeatPrevious",
            summary=f"A card a step; name the suit of the card shown {self.k - 1} steps before the one in view.",
            observation=(("0-3", f"suit of the card in view, one-hot: {', '.join(SUITS)}"),),
            action=f"the suit to name: {', '.join(f'{i} {suit}' for i, suit in enumerate(SUITS))}",
            reward=f"from step {self.k - 1} on, +1/{self.num_cards - self.k} if right, as much less if wrong; before, 0",
            horizon=self.horizon,
            random_return=-0.5,
            best_return=1.0,
            best_policy=f"remembers the last {self.k} suits",
            source="popgym 1.0.7, envs/repeat_previous.py",
        )
