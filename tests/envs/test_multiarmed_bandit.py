"""Multi-armed Bandit beside the original."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binomtest, kstest

from s5lib.envs import make
from s5lib.envs.popgym.multiarmed_bandit import MultiarmedBandit

from .agreement import SEEDS, agree, episodes, names, original, returns_agree, spaces_agree

NAMES = names("MultiarmedBandit")


def draws(seed, steps):
    """The uniform number that ``play`` lets each step of this seed's episode draw."""
    _, key = jax.random.split(jax.random.key(seed))
    return jax.vmap(lambda key: jax.random.uniform(jax.random.split(key)[1]))(jax.random.split(key, steps))


@pytest.mark.parametrize("name", NAMES)
def test_equals_the_original(name):
    spaces_agree(name)
    horizon, seeds = make(name).horizon, iter(range(SEEDS))

    def put(theirs, state):
        """Set the same arms, and let the original draw what we drew."""
        theirs.bandits = state.arms
        drawn = iter(np.asarray(draws(next(seeds), horizon)))
        theirs.np_random = SimpleNamespace(random=lambda: next(drawn))
        return 0

    assert agree(name, put).steps == SEEDS * horizon
    batch = episodes(make(name))
    assert (batch.reward > 0).any() and (batch.reward < 0).any() and not batch.terminated.any()


@pytest.mark.parametrize("name", NAMES)
def test_returns(name):
    returns_agree(name)


def test_arms_are_uniform_as_the_original_s():
    env, theirs = make("MultiarmedBanditHard"), original("MultiarmedBanditHard")
    ours = jax.vmap(lambda key: env.reset_env(key, env.default_params)[1].arms)(
        jax.random.split(jax.random.key(0), 200)
    )
    theirs.reset(seed=0)
    other = np.concatenate([theirs.reset()[1]["bandits"] for _ in range(200)])
    assert ours.dtype == other.dtype == np.float32
    assert kstest(np.ravel(ours), "uniform")[1] > 1e-3 and kstest(np.ravel(ours), other)[1] > 1e-3


def test_an_arm_wins_as_often_as_it_says():
    env = MultiarmedBandit(3, 10)
    _, state = env.reset_env(jax.random.key(0), env.default_params)
    state = state.replace(arms=jnp.array([0.0, 0.3, 1.0]))
    keys = jax.random.split(jax.random.key(1), 4000)
    pull = jax.jit(jax.vmap(lambda key, arm: env.step_env(key, state, arm, env.default_params)[2], in_axes=(0, None)))
    wins = [int((pull(keys, arm) > 0).sum()) for arm in range(3)]
    assert wins[0] == 0 and wins[2] == 4000 and binomtest(wins[1], 4000, 0.3).pvalue > 1e-3


def test_the_arms_stay_hidden():
    """The original's ``info`` gives them away, at the reset and at each step."""
    theirs = original("MultiarmedBanditEasy")
    assert (theirs.reset(seed=0)[1]["bandits"] == theirs.step(0)[4]["bandits"]).all()
    env = make("MultiarmedBanditEasy")
    obs, state = env.reset(jax.random.key(0))
    assert obs.tolist() == [1, 0]  # and the first observation is that of a loss, in both
    assert env.step_env(jax.random.key(1), state, 0, env.default_params)[4] == {}


def test_bad_options():
    with pytest.raises(ValueError, match="num_bandits must be a positive integer; got 0"):
        MultiarmedBandit(0)
    with pytest.raises(TypeError, match="episode_length must be an integer"):
        MultiarmedBandit(10, 20.0)
