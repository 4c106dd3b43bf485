"""MineSweeper beside the original."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from s5lib.envs import make, play
from s5lib.envs.popgym.minesweeper import MineSweeper

from .agreement import agree, episodes, names, original, returns_agree, spaces_agree

NAMES = names("MineSweeper")


def put(theirs, state):
    """Lay the same mines, as the original's ``reset`` does."""
    choice = state.mines.reshape(-1).nonzero()[0]

    class Drawn:
        def choice(self, squares, size, replace):
            assert size == len(choice) and not replace
            return choice

    rng, theirs.np_random = theirs.np_random, Drawn()
    obs, _ = theirs.reset()
    theirs.np_random = rng
    return obs


@pytest.mark.parametrize("name", NAMES)
def test_equals_the_original(name):
    spaces_agree(name)
    batch = episodes(make(name), 60)
    blown, safe = batch.state.exploded, make(name).horizon
    assert not (blown & batch.active).any()  # no step follows an explosion
    won = (batch.reward > 0).sum(axis=1) == safe
    cut = (batch.active & batch.truncated).any(axis=1)
    assert won.any() and cut.any() and not (won | cut).all()  # a mine, the rest of them
    assert agree(name, put, seeds=60).steps > 300


@pytest.mark.parametrize("name", NAMES)
def test_returns(name):
    returns_agree(name)


def test_every_choice_of_squares_is_equally_likely():
    """All 120 pairs of squares on 4 x 4, and each square's share on 8 x 8 (mines exclude each other: less varies)."""
    env = MineSweeper(4, 2)
    keys = jax.random.split(jax.random.key(0), 24000)
    mines = np.asarray(jax.jit(jax.vmap(env._lay))(keys))
    assert (mines.sum(axis=1) == 2).all()
    _, counts = np.unique(mines @ 2 ** np.arange(16), return_counts=True)
    assert len(counts) == 120 and chisquare(counts)[1] > 1e-3
    shares = np.asarray(jax.jit(jax.vmap(MineSweeper(8, 10)._lay))(keys))
    assert (shares.sum(axis=1) == 10).all()
    statistic = ((shares.sum(axis=0) - 3750) ** 2 / 3750).sum() / (54 / 63)  # as 10 of 64 without replacement vary
    assert 30 < statistic < 105  # chi-square, 63 degrees of freedom: p > 1e-3 above, and as near below


def laid(mines):
    """An environment with these mines, and its state before the first step."""
    env = MineSweeper(len(mines), int(np.sum(mines)))
    _, state = env.reset_env(jax.random.key(0), env.default_params)
    return env, state.replace(mines=jnp.array(mines, bool))


def opened(env, state, row, column):
    return env.step_env(jax.random.key(0), state, jnp.array([row, column]), env.default_params)


def test_a_mine_counts_itself():
    env, state = laid(np.ones((4, 4)) * (np.arange(4) < 3))
    obs, _, reward, terminated, _ = opened(env, state, 1, 1)
    assert obs.argmax() == 9 and obs.shape == (10,) and terminated and np.isclose(reward, -0.5 - 1 / 4)
    assert opened(env, state, 0, 3)[0].argmax() == 2  # the board does not wrap around


def test_a_win_takes_every_step_and_is_not_cut():
    """The last safe square ends the game at the time limit: terminated alone. The 2023 port never saw a win."""
    env = make("MineSweeperEasy")
    episode = jax.jit(lambda key: play(env, key, "best"))(jax.random.key(0))
    assert episode.active.all() and episode.terminated[-1] and not episode.truncated.any()
    np.testing.assert_allclose(episode.reward, 1 / 14, rtol=1e-6)


def test_a_mine_at_the_time_limit_is_not_cut():
    env = make("MineSweeperEasy")
    _, state = env.reset_env(jax.random.key(0), env.default_params)
    mine, again = np.argwhere(state.mines)[0], np.argwhere(~np.asarray(state.mines))[0]
    state = state.replace(time=jnp.int32(13), viewed=state.viewed.at[tuple(again)].set(True))
    _, after, reward, terminated, _ = opened(env, state, *mine)
    assert terminated and not env.is_truncated(after, env.default_params)
    _, after, reward, terminated, _ = opened(env, state, *again)
    assert np.isclose(reward, -0.5 / 12) and not terminated and env.is_truncated(after, env.default_params)


def test_the_first_observation_is_a_count_of_0():
    env = make("MineSweeperEasy")
    assert env.reset(jax.random.key(0))[0].tolist() == [1, 0, 0] and original("MineSweeperEasy").reset(seed=0)[0] == 0


def test_a_lower_time_limit_truncates():
    env = make("MineSweeperEasy")
    params = env.default_params.replace(max_steps_in_episode=10)
    episode = jax.jit(lambda key: play(env, key, "best", params))(jax.random.key(0))
    assert int(episode.active.sum()) == 10 and episode.truncated[9] and not episode.terminated[9]


def test_random_return_of_a_small_board():
    """One mine on 2 x 2, 3 squares to open, by hand."""
    first = 3 / 4 * 1 / 3 - 1 / 4 * (0.5 + 1 / 3)
    second = 3 / 4 * (2 / 4 * 1 / 3 - 1 / 4 * 0.5 - 1 / 4 * (0.5 + 1 / 3))
    third = 3 / 4 * 2 / 4 * (1 / 4 * 1 / 3 - 2 / 4 * 0.5 - 1 / 4 * (0.5 + 1 / 3))
    third += 3 / 4 * 1 / 4 * (2 / 4 * 1 / 3 - 1 / 4 * 0.5 - 1 / 4 * (0.5 + 1 / 3))
    assert np.isclose(MineSweeper(2, 1).describe().random_return, first + second + third)


def test_bad_options():
    with pytest.raises(ValueError, match="board_size must be a positive integer; got 0"):
        MineSweeper(0)
    with pytest.raises(ValueError, match="num_mines must be at most 13 on this board; got 14"):
        MineSweeper(4, 14)
    with pytest.raises(ValueError, match="num_mines must be a positive integer; got 0"):
        MineSweeper(4, 0)
