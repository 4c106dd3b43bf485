"""Higher Lower beside the original."""

from fractions import Fraction
from math import comb

import jax
import numpy as np
import pytest
from scipy.stats import chi2_contingency

from s5lib.envs import make, play
from s5lib.envs.popgym.higher_lower import HigherLower, State, _counting

from .agreement import agree, episodes, names, original, returns, returns_agree, spaces_agree
from .cards import stack

LENGTH = {"HigherLowerEasy": 51, "HigherLowerMedium": 103, "HigherLowerHard": 155}


def put(theirs, state):
    """Deal the same ranks in the same order."""
    stack(theirs.deck, "ranks_idx", state.ranks)
    theirs.deck.deal("player", 1)
    return theirs.deck.show("player", ["ranks_idx"]).item()


@pytest.mark.parametrize("name", names("HigherLower"))
def test_equals_the_original(name):
    spaces_agree(name)
    batch = episodes(make(name))
    for sign in (-1, 0, 1):
        assert (np.sign(batch.reward) == sign).any()
    assert batch.terminated.any(axis=1).all()
    assert agree(name, put).steps == 12 * LENGTH[name]


@pytest.mark.parametrize("name", names("HigherLower"))
def test_returns(name):
    returns_agree(name, 4096)


def test_starts():
    """First two cards: ranks and ties as often as in the original."""
    env, theirs, starts = make("HigherLowerEasy"), original("HigherLowerEasy"), 3000
    states = jax.jit(jax.vmap(lambda key: env.reset(key)[1]))(jax.random.split(jax.random.key(0), starts))
    first, second = np.asarray(states.ranks[:, :2]).T
    others = []
    for seed in range(starts):
        rank, _ = theirs.reset(seed=seed)
        others.append((rank, theirs.step(0)[0]))
    other_first, other_second = np.array(others).T
    ranks = [np.bincount(drawn, minlength=13) for drawn in (first, other_first)]
    ties = [np.bincount(np.sign(b - a) + 1, minlength=3) for a, b in ((first, second), (other_first, other_second))]
    assert chi2_contingency(ranks).pvalue > 1e-3 and chi2_contingency(ties).pvalue > 1e-3


def test_best_return_is_that_of_counting_cards():
    """The formula against exact fractions, for one deck; the sums go over subsets of the cards to come."""
    total = Fraction(0)
    for rank in range(13):
        above, below = 4 * (12 - rank), 4 * rank
        for x in range(above + 1):
            for y in range(below + 1):
                for s in range(4):
                    if x + y + s:
                        ways = Fraction(comb(above, x) * comb(below, y) * comb(3, s), comb(51, x + y + s))
                        total += ways * Fraction(abs(x - y), x + y + s)
    assert _counting(1) == pytest.approx(float(total / 13 / 52), rel=1e-9)


def test_counting_beats_a_player_without_memory():
    """Who only looks at the card in view says higher below the seven; counting adds to this."""
    env = make("HigherLowerEasy")
    counting = returns(env, "best", 4096)
    looking = jax.vmap(lambda key: play(env, key, lambda key, state, obs: (obs.argmax() > 6).astype(int)).reward.sum())
    looked = np.asarray(looking(jax.random.split(jax.random.key(0), 4096)))
    assert counting.mean() - looked.mean() > 6 * np.std(counting - looked) / 64


def test_what_pays():
    """Ties pay nothing; aces are lowest, kings highest; each guess pays 1/N though there are N - 1 guesses."""
    env = make("HigherLowerEasy")
    for pair, higher in (((0, 12), 1), ((12, 0), -1), ((5, 5), 0), ((9, 10), 1)):
        ranks = np.array([*pair, *[0] * 50], np.int8)
        for action, sign in ((0, higher), (1, -higher)):
            reward = env.step(jax.random.key(0), State(np.int32(0), jax.numpy.array(ranks)), action)[2]
            assert float(reward) == pytest.approx(sign / 52, rel=1e-6)


def test_bad_options():
    with pytest.raises(ValueError, match="num_decks must be a positive integer; got 0"):
        HigherLower(0)
    with pytest.raises(TypeError, match="num_decks must be an integer"):
        HigherLower("2")
