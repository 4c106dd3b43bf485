"""The memory chain and its score beside bsuite's."""

import jax
import numpy as np
import pandas as pd
import pytest

from s5lib.envs import MemoryChain, make, play
from s5lib.envs.memory_chain import MEMORY_LENGTHS, bsuite_score

from .agreement import SEEDS, at, episodes, returns


@pytest.mark.parametrize("length,bits", [(1, 1), (2, 1), (3, 1), (10, 1), (100, 1), (1500, 1), (1, 3), (2, 3), (7, 5)])
def test_equals_the_original(length, bits):
    from bsuite.environments.memory_chain import MemoryChain as Original

    ours, theirs = MemoryChain(length, bits), Original(length, bits, seed=0)
    assert (1, *ours.observation_space(None).shape) == theirs.observation_spec().shape
    assert ours.action_space(None).n == theirs.action_spec().num_values
    batch = episodes(ours)
    assert set(batch.reward[:, -1]) == {1.0, -1.0}
    for seed in range(SEEDS):
        episode = at(batch, seed)
        theirs.reset()
        theirs._context, theirs._query = episode.state.context[0], episode.state.query[0]
        np.testing.assert_array_equal(episode.obs[0], theirs._get_observation()[0])
        assert episode.active.sum() == length + 1
        for t in range(length + 1):
            step = theirs.step(episode.action[t].item())
            np.testing.assert_array_max_ulp(episode.next_obs[t], step.observation[0])  # XLA multiplies by 1 / L
            assert (episode.reward[t], episode.terminated[t]) == (step.reward, step.last()), (seed, t)
            assert step.discount == 1 - episode.terminated[t]
            assert not episode.truncated[t]
    assert theirs.bsuite_info()["total_perfect"] == (batch.reward[:, -1] == 1).sum()


def test_cues_and_queries_are_uniform():
    """Chi-square over the 24 pairs of a cue of three bits and a query."""
    from scipy.stats import chisquare

    env = MemoryChain(3, 3)
    _, state = jax.vmap(env.reset_env, in_axes=(0, None))(jax.random.split(jax.random.key(0), 4800), env.default_params)
    pair = state.context @ np.array([4, 2, 1]) * 3 + state.query
    assert chisquare(np.bincount(pair, minlength=24)).pvalue > 1e-3


def test_the_cue_is_shown_twice_and_the_answer_is_due_with_one_step_left():
    episode = play(MemoryChain(4, 2), jax.random.key(2), "best")
    seen = np.concatenate([episode.obs[:1], episode.next_obs])
    np.testing.assert_allclose(seen[:, 0], [1, 1, 0.75, 0.5, 0.25, 0])
    np.testing.assert_array_equal(np.abs(seen[:, 2:]).sum(1), [2, 2, 0, 0, 0, 0])
    np.testing.assert_array_equal(seen[:, 1], [0, 0, 0, 0, episode.state.query[0], 0])
    np.testing.assert_array_equal(episode.reward, [0, 0, 0, 0, 1])


def test_a_lower_time_limit_cuts_the_episode():
    env = make("MemoryChain", memory_length=10)
    episode = play(env, jax.random.key(0), "best", env.default_params.replace(max_steps_in_episode=4))
    np.testing.assert_array_equal(np.flatnonzero(episode.active), range(4))
    assert episode.truncated[3] and not episode.terminated[3]


def test_returns():
    env = MemoryChain(10)
    told = env.describe()
    assert returns(env, "best", 1024).min() == told.best_return
    assert abs(returns(env, "random", 1024).mean() - told.random_return) < 4 / np.sqrt(1024)


def frame(results):
    """What bsuite would have logged: the counts at the last episode, and at an earlier one where nothing was right."""
    rows = [
        (length, *counts) for length, (episodes, right) in results.items() for counts in ((1, 0), (episodes, right))
    ]
    return pd.DataFrame(rows, columns=["memory_length", "episode", "total_perfect"])


def test_the_score_is_bsuites():
    from bsuite.experiments.memory_len import analysis, sweep

    assert tuple(setting["memory_length"] for setting in sweep.SETTINGS) == MEMORY_LENGTHS
    assert len(MEMORY_LENGTHS) == 23
    rng = np.random.default_rng(0)
    scores = set()
    for trial in range(60):
        lengths = (
            MEMORY_LENGTHS if trial % 2 else rng.choice(MEMORY_LENGTHS, rng.integers(1, 23), replace=False).tolist()
        )
        episodes = int(rng.choice([10_000, 2_000, 80, 40]))
        share = rng.choice([0, 0.5, 0.6, 0.625, 0.65, 1], len(lengths))  # 0.625 is the border, not solved
        results = {length: (episodes, round(p * episodes)) for length, p in zip(lengths, share, strict=True)}
        scores.add(bsuite_score(results))
        assert bsuite_score(results) == analysis.score(frame(results)), results
    assert len(scores) > 10


def test_the_border_is_five_of_eight():
    assert bsuite_score({1: (10_000, 6_250)}) == 0
    assert bsuite_score({1: (10_000, 6_251)}) == 1


def test_bad_options():
    with pytest.raises(ValueError, match="memory_length must be a positive integer; got 0"):
        MemoryChain(0)
    with pytest.raises(TypeError, match="num_bits must be an integer"):
        MemoryChain(3, 1.0)
    with pytest.raises(ValueError, match="at least one memory length"):
        bsuite_score({})
    with pytest.raises(ValueError, match="episodes must be at most 10000, the first ones; got 20000 of length 3"):
        bsuite_score({3: (20_000, 10_000)})
    for perfect in (-1, 81):
        with pytest.raises(
            ValueError, match=rf"perfect must lie in 0 \.\. 80, the episodes; got {perfect} of length 3"
        ):
            bsuite_score({3: (80, perfect)})
    with pytest.raises(TypeError, match=r"perfect must be an integer; got 0\.5 of length 3"):
        bsuite_score({3: (80, 0.5)})
    with pytest.raises(TypeError, match="memory length must be an integer"):
        bsuite_score({"3": (80, 1)})
