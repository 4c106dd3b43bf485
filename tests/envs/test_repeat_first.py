"""Repeat First beside the original."""

import jax
import numpy as np
import pytest

from s5lib.envs import make, play
from s5lib.envs.popgym.repeat_first import RepeatFirst

from .agreement import agree, at, episodes, names, original, returns_agree, spaces_agree
from .cards import stack

LENGTH = {"RepeatFirstEasy": 51, "RepeatFirstMedium": 415, "RepeatFirstHard": 831}


def put(theirs, state):
    """Deal the same suits in the same order."""
    stack(theirs.deck, "suits_idx", state.suits)
    theirs.deck.deal("player", 1)
    theirs.card = theirs.deck.show("player", ["suits_idx"])[0, -1]
    return theirs.card.item()


@pytest.mark.parametrize("name", names("RepeatFirst"))
def test_equals_the_original(name):
    spaces_agree(name)
    batch = episodes(make(name))
    assert (batch.reward > 0).any() and (batch.reward < 0).any() and batch.terminated.any(axis=1).all()
    assert agree(name, put).steps == 12 * LENGTH[name]


@pytest.mark.parametrize("name", names("RepeatFirst"))
def test_returns(name):
    returns_agree(name)


def test_all_steps_but_none_after_the_last_card_pay():
    """The first action is paid too, with the card still in view; the pay adds up to 1, not to N / (N - 1)."""
    episode = at(episodes(make("RepeatFirstEasy")), 0)  # best play
    np.testing.assert_allclose(episode.reward, 1 / 51, rtol=1e-6)
    assert episode.reward.shape == (51,) and episode.action[0] == episode.obs[0].argmax()


def test_the_first_card_has_no_mark():
    """The original's text promises "an indicator that this is the initial card"; its observation is a suit alone."""
    assert "indicator that this is the initial" in type(original("RepeatFirstEasy")).__mro__[1].__doc__
    assert original("RepeatFirstEasy").observation_space.n == 4
    episode = at(episodes(make("RepeatFirstEasy")), 11)  # random play
    assert (episode.obs.sum(axis=1) == 1).all()
    # the same suit looks the same, first or not
    assert any((episode.obs[0] == later).all() for later in episode.obs[1:])


def test_a_lower_time_limit_truncates():
    env = make("RepeatFirstEasy")
    episode = play(env, jax.random.key(0), params=env.default_params.replace(max_steps_in_episode=10))
    assert int(episode.active.sum()) == 10 and episode.truncated[9] and not episode.terminated[9]


def test_bad_options():
    with pytest.raises(ValueError, match="num_decks must be a positive integer; got 0"):
        RepeatFirst(0)
    with pytest.raises(TypeError, match="num_decks must be an integer"):
        RepeatFirst(1.0)
