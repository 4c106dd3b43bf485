"""Deal a known order of cards in the original's games."""

import numpy as np


def stack(deck, field, values):
    """Put the deck in this order, undealt. ``field`` is the original's, such as "suits_idx"; it deals from the end."""
    deck.reset(shuffle=False)
    of_card = getattr(deck, field)
    cards = {value: list(np.flatnonzero(of_card == value)) for value in np.unique(of_card)}
    deck.idx = np.array([cards[value].pop() for value in values])[::-1].copy()
    assert sorted(deck.idx) == list(range(deck.num_cards))
