"""Play our environment and the original side by side: same hidden state, same actions, every step compared."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import flatten

from s5lib.envs import make, play
from s5lib.envs.popgym import FAMILIES

SEEDS = 12
LEVELS = ("Easy", "Medium", "Hard")


class Compared(NamedTuple):
    """What one test went over: whole episodes, and steps in them."""

    episodes: int
    steps: int


def original(name: str):
    """The original package's environment of this name, reset once so that all it needs is there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the labyrinths announce that they are deprecated, and Box how it rounds
        import popgym.envs

        env = getattr(popgym.envs, name)()
        env.reset(seed=0)
    return env


def mixed(env, share_of_random):
    """A player that is now and then careless, so that episodes go far and every kind of mistake is made."""

    def act(key, state, obs):
        key_which, key_action = jax.random.split(key)
        random = env.action_space(env.default_params).sample(key_action)
        return jnp.where(jax.random.bernoulli(key_which, share_of_random), random, env.best_action(state))

    return act


@partial(jax.jit, static_argnums=0)
def _play(env, keys, shares):
    return jax.vmap(lambda key, share: play(env, key, mixed(env, share)))(keys, shares)


def episodes(env, seeds: int = SEEDS, first_seed: int = 0):
    """``seeds`` whole episodes as NumPy arrays, leading axis the seed: from all best play to all random play."""
    keys = jax.vmap(jax.random.key)(jnp.arange(first_seed, first_seed + seeds))
    return jax.tree.map(np.asarray, _play(env, keys, jnp.linspace(0, 1, seeds)))


def agree(
    name: str, put: Callable, seeds: int = SEEDS, tolerance: float = 0, every_step: bool = False, **options
) -> Compared:
    """Replay our episodes in the original; assert equal observations, rewards, ends; say how much was compared.

    ``put(theirs, state)`` puts the hidden state (ours, of one time, NumPy) into the original, as if just reset, and
    returns the observation that the original would show then, or None where it cannot say. With ``every_step`` it is
    called before each step, for physics: then float32 rounding cannot build up.
    """
    ours, theirs = make(name), original(name)
    batch = episodes(ours, seeds)
    total = 0
    for seed in range(seeds):
        theirs.reset(seed=seed)
        episode = at(batch, seed)
        length = int(episode.active.sum())
        for t in range(length):
            where = f"{name}, seed {seed}, step {t}"
            if t == 0 or every_step:
                shown = put(theirs, at(episode.state, t))
                if shown is not None:
                    same(
                        episode.obs[t],
                        flatten(theirs.observation_space, shown),
                        f"{where}: observation before",
                        tolerance,
                    )
            action = episode.action[t]
            obs, reward, terminated, truncated, _ = theirs.step(action.item() if action.ndim == 0 else action)
            same(episode.next_obs[t], flatten(theirs.observation_space, obs), f"{where}: observation", tolerance)
            np.testing.assert_allclose(
                episode.reward[t], reward, rtol=1e-5, atol=max(tolerance, 1e-7), err_msg=f"{where}: reward"
            )
            ends = (bool(episode.terminated[t]), bool(episode.truncated[t]))
            assert ends == (bool(terminated), bool(truncated)), f"{where}: ends {ends}, theirs {terminated, truncated}"
            assert (t == length - 1) == any(ends), where
        total += length
    return Compared(seeds, total)


def at(tree, index: int):
    """The entry ``index`` of each leaf's first axis."""
    return jax.tree.map(lambda leaf: leaf[index], tree)


def same(mine, theirs, message, tolerance):
    theirs = np.asarray(theirs, np.float32)
    if tolerance:
        np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance, err_msg=message)
    else:
        np.testing.assert_array_equal(mine, theirs, err_msg=message)


def spaces_agree(name: str) -> None:
    """Same number of actions, and observations as long as the original's flattened ones."""
    from gymnasium import spaces as gym
    from gymnasium.spaces import flatdim

    ours, theirs = make(name), original(name)
    params = ours.default_params
    assert ours.observation_space(params).shape == (flatdim(theirs.observation_space),)
    action, other = ours.action_space(params), theirs.action_space
    if isinstance(other, gym.Discrete):
        assert action.n == other.n
    elif isinstance(other, gym.MultiDiscrete):
        assert action.nvec == tuple(other.nvec)
    else:
        assert action.shape == other.shape and action.low == other.low.item() and action.high == other.high.item()


def returns(env, policy: str, count: int, seed: int = 0) -> np.ndarray:
    """Returns of ``count`` episodes."""
    keys = jax.random.split(jax.random.key(seed), count)
    return np.asarray(jax.jit(jax.vmap(lambda key: play(env, key, policy).reward.sum()))(keys))


def returns_agree(name: str, count: int = 512) -> None:
    """Random play and ``best_action`` earn what ``describe`` says, to four standard errors (or rounding)."""
    env = make(name)
    told = env.describe()
    for policy, expected in (("random", told.random_return), ("best", told.best_return)):
        sample = returns(env, policy, count)
        error = abs(sample.mean() - expected)
        assert error < 4 * sample.std() / np.sqrt(count) + 1e-5, f"{name}, {policy}: {sample.mean()}, not {expected}"


def names(family: str) -> list[str]:
    return [family + level for level in FAMILIES[family][1]]
