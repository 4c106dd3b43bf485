"""Concentration: cards lie face down; turn them up two at a time, and those that match stay up."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from s5lib.config import check_choice, check_positive_int
from s5lib.envs import spaces
from s5lib.envs.base import Description, Environment, EnvParams, Start, Transition
from s5lib.envs.popgym.deck import COLORS, RANKS, shuffled
from s5lib.envs.spaces import Space

__all__ = ["DIFFICULTY", "Concentration", "State"]

DIFFICULTY: dict[str, dict[str, Any]] = {
    "Easy": {"num_decks": 1, "deck_type": "colors"},
    "Medium": {"num_decks": 2, "deck_type": "colors"},
    "Hard": {"num_decks": 1, "deck_type": "ranks"},
}

_VALUES = {"colors": COLORS, "ranks": RANKS}

# (num_decks, deck_type): mean return of random play and of best_action, over 100 000 episodes each.
_MEASURED = {
    (1, "colors"): (-0.1915, 0.8311),
    (2, "colors"): (-0.1854, 0.8321),
    (1, "ranks"): (-0.8350, 0.7324),
}


class State(struct.PyTreeNode):
    """``cards`` (52 * num_decks,), int8: the cards' values. ``face_up``, bool: those that matched and stay up.

    ``seen``, bool: those turned up at least once. ``first``: the card that waits for a second one, or -1. ``time``:
    steps taken.
    """

    time: jax.Array
    cards: jax.Array
    face_up: jax.Array
    seen: jax.Array
    first: jax.Array


@dataclass(frozen=True)
class Concentration(Environment):
    """Turn up a card a step; the second of a turn must match the first, which the agent may have to remember.

    All N = 52 * num_decks cards are shown, face down or not. Two different cards of one value stay up and pay 1/(N/2).
    Any other second card pays -2/(2 N) and both are turned down again; the observation of that step still shows them.
    Naming a card that is up already ends the turn too, at -1/(2 N) for each card turned in it. The episode ends when
    all cards are up, and by time after 2 N steps; both can be true of the last one.

    Args:
        num_decks: packs of 52 cards; all lie on the table.
        deck_type: what has to match, ``"colors"`` (2) or ``"ranks"`` (13).
    Raises:
        ValueError: another deck_type, or no pack.
    Example:
        >>> env = Concentration(num_decks=1, deck_type="ranks")
        >>> obs, state = env.reset(jax.random.key(0))
        >>> obs, state, reward, terminated, truncated, info = env.step(jax.random.key(1), state, 7)
        >>> obs.shape, int(state.first)
        ((728,), 7)

    Source: popgym 1.0.7, envs/concentration.py.
    """

    num_decks: int = 1
    deck_type: str = "ranks"

    def __post_init__(self) -> None:
        check_positive_int("num_decks", self.num_decks)
        check_choice("deck_type", self.deck_type, tuple(_VALUES))

    @property
    def num_cards(self) -> int:
        """Cards on the table."""
        return 52 * self.num_decks

    @property
    def horizon(self) -> int:
        return 2 * self.num_cards  # the original's ceil(2 N - N / (2 N - 1))

    @property
    def _face_down(self) -> int:
        """What a card looks like from behind: one more value."""
        return len(_VALUES[self.deck_type])

    def observation_space(self, params: EnvParams) -> Space:
        return spaces.Box(0.0, 1.0, (self.num_cards * (self._face_down + 1),))

    def action_space(self, params: EnvParams) -> Space:
        return spaces.Discrete(self.num_cards)

    def reset_env(self, key: jax.Array, params: EnvParams) -> Start:
        down = jnp.zeros(self.num_cards, bool)
        state = State(jnp.int32(0), shuffled(key, self.num_decks, self.deck_type), down, down, jnp.int32(-1))
        return self._see(state.cards, down), state

    def _see(self, cards: jax.Array, shown: jax.Array) -> jax.Array:
        looks = jnp.where(shown, cards, self._face_down).astype(jnp.int32)
        ones = jnp.arange(self.num_cards) * (self._face_down + 1) + looks
        # On a CPU this takes a fifth of the time of jax.nn.one_hot, and most of a step's work is this vector.
        zeros = jnp.zeros(self.num_cards * (self._face_down + 1), jnp.float32)
        return zeros.at[ones].set(1, unique_indices=True, mode="promise_in_bounds")

    def transition(self, key: jax.Array, state: State, action: jax.Array, params: EnvParams) -> Transition:
        index = jnp.arange(self.num_cards)
        second = state.first >= 0
        turned = index == action
        shown = state.face_up | turned | (index == state.first)
        up_already = state.face_up[action]
        matches = second & ~up_already & (action != state.first) & (state.cards[action] == state.cards[state.first])
        ends = second | up_already
        lost = jnp.where(ends, jnp.where(second, -2.0, -1.0) / self.horizon, 0.0)
        reward = jnp.where(matches, 2 / self.num_cards, lost)
        state = state.replace(
            time=state.time + 1,
            face_up=jnp.where(matches, shown, state.face_up),
            seen=state.seen | turned,
            first=jnp.where(ends, -1, action),
        )
        return self._see(state.cards, shown), state, reward, jnp.all(state.face_up), {}

    def best_action(self, state: State) -> jax.Array:
        index = jnp.arange(self.num_cards)
        known_match = state.seen & (state.cards == state.cards[state.first]) & (index != state.first)
        useful = jnp.where(state.first >= 0, 3 * known_match + 2 * ~state.seen, 1 + ~state.seen)
        return jnp.argmax(jnp.where(state.face_up, 0, useful)).astype(jnp.int32)

    def describe(self) -> Description:
        values, n = _VALUES[self.deck_type], self.num_cards
        what = {"colors": "colour", "ranks": "rank"}[self.deck_type]
        random_return, best_return = _MEASURED.get((self.num_decks, self.deck_type), (None, None))
        return Description(
            name="Concentration",
            summary=f"Turn up {n} cards two at a time; two of the same {what} stay up.",
            observation=(
                (f"0-{n * (len(values) + 1) - 1}", f"each card in turn, one-hot: {', '.join(values)}, face down"),
            ),
            action=f"the card to turn up, 0-{n - 1}",
            reward=f"+1/{n // 2} for a match; -2/{2 * n} for a second card that fails, -1/{2 * n} for a first one up already",
            horizon=self.horizon,
            random_return=random_return,
            best_return=best_return,
            best_policy="remembers the cards it has seen: turns up a new one, then its match, or another new one",
            source="popgym 1.0.7, envs/concentration.py",
        )
