"""Packs of cards, and what the games that turn over one card a step share."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from s5lib.config import check_choice, check_positive_int
from s5lib.envs.base import Environment, EnvParams, EnvState

__all__ = ["COLORS", "RANKS", "SUITS", "CardGame", "shuffled"]

SUITS = ("spades", "diamonds", "clubs", "hearts")
COLORS = ("black", "red")
RANKS = ("ace", "2", "3", "4", "5", "6", "7", "8", "9", "10", "jack", "queen", "king")


def shuffled(key: jax.Array, num_decks: int, field: str) -> jax.Array:
    """Shuffle ``num_decks`` packs of 52 cards and name each card by one of its fields.

    Each card gets 28 random bits, its value in the 4 bits below, and one array of integers is sorted: four times as fast
    on a CPU as a permutation, which sorts two arrays. Two cards of 208 share their bits in one shuffle of 12 000.

    Args:
        key: random key.
        num_decks: packs put together.
        field: ``"suits"`` (0-3), ``"ranks"`` (0-12) or ``"colors"`` (0-1): indices into SUITS, RANKS, COLORS.
    Returns:
        The cards in the order of play, shape (52 * num_decks,), int8.
    Raises:
        ValueError: another field.
    Example:
        >>> jnp.bincount(shuffled(jax.random.key(0), 1, "suits")).tolist()
        [13, 13, 13, 13]

    Source: popgym 1.0.7, core/deck.py.
    Differs: the original deals from the end of its shuffled index; here card t is the t-th dealt.
    """
    check_choice("field", field, ("suits", "ranks", "colors"))
    cards = jnp.arange(52 * num_decks, dtype=jnp.uint32)
    values, mask = {"suits": (cards % 4, 3), "ranks": (cards // 4 % 13, 15), "colors": (cards % 2, 1)}[field]
    bits = jax.random.bits(key, cards.shape, jnp.uint32) >> 4 << 4
    return (jnp.sort(bits | values) & mask).astype(jnp.int8)


@dataclass(frozen=True)
class CardGame(Environment):
    """A game that ends when its cards do, never by a time limit, unless ``params.max_steps_in_episode`` is set lower.

    Args:
        num_decks: packs of 52 cards.
    Raises:
        TypeError, ValueError: ``num_decks`` is not a positive integer.
    """

    num_decks: int = 1

    def __post_init__(self) -> None:
        check_positive_int("num_decks", self.num_decks)

    @property
    def num_cards(self) -> int:
        """Cards in play."""
        return 52 * self.num_decks

    @property
    def horizon(self) -> int:
        return self.num_cards - 1

    def is_truncated(self, state: EnvState, params: EnvParams) -> jax.Array:
        return (state.time >= params.max_steps_in_episode) & (state.time < self.horizon)
