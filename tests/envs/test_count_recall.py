"""Count Recall beside the original."""

import jax
import numpy as np
import pytest
from scipy.stats import chi2_contingency

from s5lib.envs import make
from s5lib.envs.popgym.count_recall import CountRecall

from .agreement import agree, episodes, names, original, returns_agree, spaces_agree
from .cards import stack

LENGTH = {"CountRecallEasy": 51, "CountRecallMedium": 103, "CountRecallHard": 207}
FIELD = {"CountRecallEasy": "colors_idx", "CountRecallMedium": "suits_idx", "CountRecallHard": "ranks_idx"}


@pytest.mark.parametrize("name", names("CountRecall"))
def test_equals_the_original(name):
    def put(theirs, state):
        stack(theirs.value_deck, FIELD[name], state.values)
        stack(theirs.query_deck, FIELD[name], state.queries)
        theirs.value, theirs.query = theirs.deal()
        theirs.counts[:] = 0
        theirs.counts[theirs.value] = 1
        np.testing.assert_array_equal(state.counts, theirs.counts)
        return np.array([theirs.value, theirs.query])

    spaces_agree(name)
    batch = episodes(make(name))
    assert (batch.reward > 0).any() and (batch.reward < 0).any() and batch.terminated.any(axis=1).all()
    assert agree(name, put).steps == 12 * LENGTH[name]


@pytest.mark.parametrize("name", names("CountRecall"))
def test_returns(name):
    returns_agree(name)


@pytest.mark.parametrize("name", ["CountRecallEasy", "CountRecallMedium"])
def test_starts(name):
    """First card and first query: as often each pair as in the original, where the two decks are shuffled apart."""
    env, theirs, starts = make(name), original(name), 4000
    kinds = env.observation_space(env.default_params).shape[0] // 2
    states = jax.jit(jax.vmap(lambda key: env.reset(key)[1]))(jax.random.split(jax.random.key(0), starts))
    mine = np.bincount(states.values[:, 0] * kinds + states.queries[:, 0], minlength=kinds**2)
    pairs = [theirs.reset(seed=seed)[0] for seed in range(starts)]
    other = np.bincount([value * kinds + query for value, query in pairs], minlength=kinds**2)
    assert chi2_contingency([mine, other]).pvalue > 1e-3


def right_counts(batch):
    """How often the queried kind has been dealt, at each step of some episodes."""
    queries = batch.obs[..., batch.obs.shape[-1] // 2 :].argmax(axis=-1)
    return np.take_along_axis(batch.state.counts, queries[..., None], axis=-1)[..., 0]


def test_the_card_in_view_counts():
    """Some first queries ask for the very card in view: the answer is 1, else 0."""
    batch = episodes(make("CountRecallEasy"))
    first = batch.obs[:, 0]
    same = (first[:, :2] == first[:, 2:]).all(axis=1)
    assert 0 < same.sum() < len(same)
    np.testing.assert_array_equal(right_counts(batch)[:, 0], same)
    np.testing.assert_array_equal(batch.reward[:, 0] > 0, batch.action[:, 0] == same)


def test_a_near_miss_pays_as_little_as_any_other():
    """The original has ``error_clamp`` and promises a linear reward; only the exact count pays."""
    theirs = original("CountRecallEasy")
    assert theirs.error_clamp == 0.5
    theirs.reset(seed=0)
    assert theirs.step(theirs.counts[theirs.query] + 1)[1] == -1 / 51
    batch = episodes(make("CountRecallEasy"))
    miss = np.abs(batch.action - right_counts(batch))
    assert (miss == 0).any() and (miss == 1).any() and (miss > 9).any()
    np.testing.assert_allclose(batch.reward, np.where(miss == 0, 1, -1) / 51, rtol=1e-6)


@pytest.mark.parametrize("name, most", [("CountRecallEasy", 26), ("CountRecallMedium", 26), ("CountRecallHard", 16)])
def test_the_largest_count_can_be_said(name, most):
    """Once all cards of a kind are out, the answer is the last action; versions of the original lacked it."""
    env = make(name)
    assert env.num_actions == most + 1
    batch = episodes(env)
    full = right_counts(batch) == most
    assert (batch.action[full] == most).any()
    np.testing.assert_array_equal(batch.reward[full] > 0, batch.action[full] == most)


def test_bad_options():
    with pytest.raises(ValueError, match="num_decks must be a positive integer; got 0"):
        CountRecall(0)
    with pytest.raises(ValueError, match="deck_type must be one of 'colors', 'suits', 'ranks'; got 'suit'"):
        CountRecall(1, "suit")
