"""Autoencode beside the original."""

import numpy as np
import pytest
from popgym.envs.autoencode import Mode

from s5lib.envs import make
from s5lib.envs.popgym.autoencode import Autoencode

from .agreement import agree, at, episodes, names, returns_agree, spaces_agree
from .cards import stack

LENGTH = {"AutoencodeEasy": 103, "AutoencodeMedium": 207, "AutoencodeHard": 311}


def put(theirs, state):
    """Show the same suits in the same order."""
    stack(theirs.deck, "suits_idx", state.suits)
    theirs.deck.deal("system", 1)
    theirs.mode = Mode.WATCH
    return theirs.make_obs(theirs.deck["system"][-1])


@pytest.mark.parametrize("name", names("Autoencode"))
def test_equals_the_original(name):
    spaces_agree(name)
    batch = episodes(make(name))
    assert (batch.reward > 0).any() and (batch.reward < 0).any() and batch.terminated.any(axis=1).all()
    assert agree(name, put).steps == 12 * LENGTH[name]


@pytest.mark.parametrize("name", names("Autoencode"))
def test_returns(name):
    returns_agree(name)


def test_answers_run_backwards_and_begin_on_the_last_card():
    """51 actions without pay; the 52nd, taken on seeing the last card, is the first answer and names that card."""
    episode = at(episodes(make("AutoencodeEasy")), 0)  # best play
    seen = episode.obs[:, 2:].argmax(axis=1)
    np.testing.assert_array_equal(episode.reward[:51], 0)
    np.testing.assert_allclose(episode.reward[51:], 1 / 52, rtol=1e-6)
    np.testing.assert_array_equal(episode.action[51:], seen[:52][::-1])


def test_what_is_shown():
    """The last card comes with the mode "answer"; after it, spades are shown whatever was dealt."""
    episode = at(episodes(make("AutoencodeEasy")), 11)  # random play
    np.testing.assert_array_equal(episode.obs[:51, 1], 1)
    np.testing.assert_array_equal(episode.obs[51:, 0], 1)
    np.testing.assert_array_equal(episode.obs[52:, 2:], np.tile([1, 0, 0, 0], (51, 1)))
    assert (np.bincount(episode.obs[:52, 2:].argmax(axis=1)) == 13).all()


def test_bad_options():
    with pytest.raises(ValueError, match="num_decks must be a positive integer; got -1"):
        Autoencode(-1)
    with pytest.raises(TypeError, match="num_decks must be an integer"):
        Autoencode(True)
