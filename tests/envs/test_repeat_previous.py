"""Repeat Previous beside the original."""

import numpy as np
import pytest

from s5lib.envs.popgym.repeat_previous import RepeatPrevious

from .agreement import agree, names, returns_agree, spaces_agree


def put(theirs, state):
    """Deal the same suits in the same order: the original deals from the end of its index."""
    deck = theirs.deck
    deck.reset(shuffle=False)
    by_suit = [list(np.flatnonzero(deck.suits_idx == suit)) for suit in range(4)]
    deck.idx = np.array([by_suit[suit].pop() for suit in state.suits])[::-1].copy()
    deck.deal("player", 1)
    return deck.suits_idx[deck["player"][-1]]


@pytest.mark.parametrize("name", names("RepeatPrevious"))
def test_equals_the_original(name):
    spaces_agree(name)
    agree(name, put)


@pytest.mark.parametrize("name", names("RepeatPrevious"))
def test_returns(name):
    returns_agree(name)


def test_bad_options():
    with pytest.raises(ValueError, match="k must be below the number of cards, 52; got 52"):
        RepeatPrevious(1, 52)
    with pytest.raises(ValueError, match="num_decks must be a positive integer; got 0"):
        RepeatPrevious(0)
    with pytest.raises(TypeError, match="k must be an integer"):
        RepeatPrevious(1, 4.0)
