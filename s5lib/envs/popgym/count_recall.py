"""Count Recall: say how often a card has been dealt so far."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from s5lib.config import check_choice
from s5lib.envs import spaces
from s5lib.envs.base import Description, EnvParams, Start, Transition, one_hots
from s5lib.envs.popgym.deck import COLORS, RANKS, SUITS, CardGame, shuffled
from s5lib.envs.spaces import Space

__all__ = ["DIFFICULTY", "CountRecall", "State"]

DIFFICULTY: dict[str, dict[str, Any]] = {
    "Easy": {"num_decks": 1, "deck_type": "colors"},
    "Medium": {"num_decks": 2, "deck_type": "suits"},
    "Hard": {"num_decks": 4, "deck_type": "ranks"},
}

_KINDS = {"colors": COLORS, "suits": SUITS, "ranks": RANKS}


class State(struct.PyTreeNode):
    """The cards dealt and the cards asked about, in order of play, and how often each kind has been dealt so far.

    ``values`` and ``queries`` (52 * num_decks,), int8; those at ``time``, the steps taken, are in view. ``counts``
    (kinds,), int32, include the card in view.
    """

    time: jax.Array
    values: jax.Array
    queries: jax.Array
    counts: jax.Array


@dataclass(frozen=True)
class CountRecall(CardGame):
    """See a dealt card and a query a step; the action is how often the queried kind has been dealt, this card included.

    Queries come from a second deck, shuffled apart from the first. Each of the 52 * num_decks - 1 answers pays +1 or
    -1 over their number. A count that is off by one pays no more than any other wrong one: the original has an option
    ``error_clamp`` and a text about rewards that fall linearly, and never uses them.

    Args:
        num_decks: packs of 52 cards, in the deck that is dealt and in the deck of queries.
        deck_type: what tells cards apart: "colors" (2 kinds), "suits" (4) or "ranks" (13).
    Raises:
        TypeError, ValueError: ``num_decks`` is not a positive integer, or another ``deck_type``.
    Example:
        >>> env = CountRecall(num_decks=2, deck_type="suits")
        >>> obs, state = env.reset(jax.random.key(0))
        >>> obs.shape, env.num_actions, int(state.counts.sum())
        ((8,), 27, 1)

    Source: popgym 1.0.7, envs/count_recall.py.
    """

    deck_type: str = "colors"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("deck_type", self.deck_type, tuple(_KINDS))

    @property
    def _kinds(self) -> int:
        return len(_KINDS[self.deck_type])

    @property
    def _most(self) -> int:
        """Cards of one kind."""
        return self.num_cards // self._kinds

    def observation_space(self, params: EnvParams) -> Space:
        return spaces.Box(0.0, 1.0, (2 * self._kinds,))

    def action_space(self, params: EnvParams) -> Space:
        return spaces.Discrete(self._most + 1)

    def reset_env(self, key: jax.Array, params: EnvParams) -> Start:
        values, queries = (shuffled(key, self.num_decks, self.deck_type) for key in jax.random.split(key))
        state = State(jnp.int32(0), values, queries, self._one(values[0]))
        return self._see(state), state

    def _one(self, value: jax.Array) -> jax.Array:
        return (jnp.arange(self._kinds) == value).astype(jnp.int32)

    def _see(self, state: State) -> jax.Array:
        return one_hots(jnp.stack([state.values[state.time], state.queries[state.time]]), (self._kinds,) * 2)

    def transition(self, key: jax.Array, state: State, action: jax.Array, params: EnvParams) -> Transition:
        reward = jnp.where(action == self.best_action(state), 1.0, -1.0) / self.horizon
        time = state.time + 1
        state = state.replace(time=time, counts=state.counts + self._one(state.values[time]))
        return self._see(state), state, reward, time >= self.horizon, {}

    def best_action(self, state: State) -> jax.Array:
        return state.counts[state.queries[state.time]]

    def describe(self) -> Description:
        kind, kinds = {"colors": "colour", "suits": "suit", "ranks": "rank"}[self.deck_type], self._kinds
        named = ", ".join(_KINDS[self.deck_type])
        return Description(
            name="CountRecall",
            summary=f"A card and a query a step; say how many cards of the queried {kind} have been dealt so far.",
            observation=(
                (f"0-{kinds - 1}", f"{kind} of the card in view, one-hot: {named}"),
                (f"{kinds}-{2 * kinds - 1}", f"{kind} asked about, one-hot: {named}"),
            ),
            action=f"the count, 0 to {self._most}; the card in view counts",
            reward=f"each step +1/{self.horizon} if right, as much less if wrong",
            horizon=self.horizon,
            random_return=2 / (self._most + 1) - 1,
            best_return=1.0,
            best_policy=f"remembers how often each {kind} was dealt",
            source="popgym 1.0.7, envs/count_recall.py",
        )
