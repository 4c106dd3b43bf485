"""Battleship beside the original."""

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2_contingency, chisquare

from s5lib.envs import make, play
from s5lib.envs.popgym.battleship import Battleship

from .agreement import agree, episodes, names, original, returns_agree, spaces_agree

NAMES = names("Battleship")


def put(theirs, state):
    """Lay the same ships."""
    theirs.board = state.ships.astype(np.int8)
    return theirs.last_obs


@pytest.mark.parametrize("name", NAMES)
def test_equals_the_original(name):
    spaces_agree(name)
    batch = episodes(make(name), 30)
    assert batch.terminated.any() and (batch.active & batch.truncated).any()  # won, and out of time
    assert agree(name, put, seeds=30).steps > 800


@pytest.mark.parametrize("name", NAMES)
def test_returns(name):
    returns_agree(name)


def boards(name, count):
    """``count`` boards of ours, and as many of the original's."""
    env, theirs = make(name), original(name)
    keys = jax.random.split(jax.random.key(5), count)
    ours = jax.jit(jax.vmap(lambda key: env.reset_env(key, env.default_params)[1].ships))(keys)
    theirs.reset(seed=5)
    return np.asarray(ours), np.stack([(theirs.reset(), theirs.board.copy())[1] for _ in range(count)])


@pytest.mark.parametrize("name", ["BattleshipEasy", "BattleshipHard"])
def test_ships_lie_as_the_original_lays_them(name):
    """Which squares they take, and how many neighbouring squares are alike: how far apart ships lie."""
    ours, theirs = boards(name, 4000)
    assert (ours.sum(axis=(1, 2)) == 12).all()
    rng = np.random.default_rng(0)
    picks = []  # one ship square of each board, so that they are independent
    for board in (ours, theirs):
        weights = board.reshape(len(board), -1) * rng.random((len(board), board[0].size))
        picks.append(np.bincount(weights.argmax(axis=1), minlength=board[0].size))
    assert chi2_contingency(picks)[1] > 1e-3
    for axis in (1, 2):
        alike = [(np.diff(board.astype(int), axis=axis) == 0).sum(axis=(1, 2)) for board in (ours, theirs)]
        common = [value for value, seen in Counter(np.concatenate(alike)).items() if seen >= 40]
        table = [[(counts == value).sum() for value in common] for counts in alike]
        assert chi2_contingency(table)[1] > 1e-3


def test_every_placement_is_equally_likely():
    """On 4 x 4 with ships of 3 and 2, all ordered pairs of free placements, each second one given the first."""
    env = Battleship(4, (3, 2))
    keys = jax.random.split(jax.random.key(0), 40000)

    def lay(key):
        first, second = jax.random.split(key)
        one = env._place(first, jnp.zeros((4, 4), bool), 3)
        return one, env._place(second, one, 2) & ~one

    one, two = (np.asarray(ship).reshape(-1, 16) @ 2 ** np.arange(16) for ship in jax.jit(jax.vmap(lay))(keys))
    lines = [[4 * r + c + i for i in range(3)] for r in range(4) for c in range(2)]
    lines += [[4 * (r + i) + c for i in range(3)] for r in range(2) for c in range(4)]
    dominoes = [{4 * r + c, 4 * r + c + 1} for r in range(4) for c in range(3)]
    dominoes += [{4 * r + c, 4 * r + c + 4} for r in range(3) for c in range(4)]
    expected = {}
    for line in lines:
        free = [domino for domino in dominoes if not domino & set(line)]
        for domino in free:
            expected[sum(2**i for i in line), sum(2**i for i in domino)] = len(keys) / len(lines) / len(free)
    seen = Counter(zip(one.tolist(), two.tolist(), strict=True))
    assert set(seen) == set(expected)
    assert chisquare([seen[pair] for pair in expected], list(expected.values()))[1] > 1e-3


def at_square(env, state, row, column):
    return env.step_env(jax.random.key(0), state, jnp.array([row, column]), env.default_params)


def board(env, squares, **fields):
    """A state with ships on these squares."""
    _, state = env.reset_env(jax.random.key(0), env.default_params)
    ships = np.zeros(state.ships.shape, bool)
    ships[tuple(np.transpose(squares))] = True
    return state.replace(ships=jnp.asarray(ships), **fields)


def test_a_repeated_hit_is_a_miss():
    env = Battleship(4, (2,))
    state = board(env, [(1, 2), (1, 3)])
    obs, state, reward, *_ = at_square(env, state, 1, 2)
    assert obs.tolist() == [0, 1] and reward == 0.5
    obs, state, reward, terminated, _ = at_square(env, state, 1, 2)
    assert obs.tolist() == [1, 0] and np.isclose(reward, -1 / 14) and not terminated
    assert at_square(env, state, 1, 3)[3]


def test_the_last_shot_can_win_and_be_out_of_time():
    """As in the original, where both flags are then set."""
    env = Battleship(4, (2,))
    state = board(env, [(0, 0), (1, 0)], time=jnp.int32(15))
    _, state, _, terminated, _ = at_square(
        env, state.replace(guessed=state.ships.at[1, 0].set(False), hits=jnp.int32(1)), 1, 0
    )
    assert terminated and env.is_truncated(state, env.default_params)
    theirs = original("BattleshipEasy")
    theirs.num_steps, theirs.hits = 63, 11
    assert theirs.step(np.argwhere(theirs.board)[0])[2:4] == (True, True)


def test_the_first_observation_is_a_miss():
    env = make("BattleshipEasy")
    assert env.reset(jax.random.key(0))[0].tolist() == [1, 0] and original("BattleshipEasy").reset(seed=0)[0] == 0


def test_random_return_of_a_small_board():
    """A ship of 2 on 2 x 2: 0 is expected until the first hit, then -1/4 a step; one hit at steps 1, 2, 3 by hand."""
    assert Battleship(2, (2,)).describe().random_return == -1 / 4 * (1 / 2 + 5 / 8 + 19 / 32)


def test_a_lower_time_limit_truncates():
    env = make("BattleshipEasy")
    params = env.default_params.replace(max_steps_in_episode=10)
    episode = jax.jit(lambda key: play(env, key, params=params))(jax.random.key(0))
    assert int(episode.active.sum()) == 10 and episode.truncated[9] and not episode.terminated[9]


def test_bad_options():
    with pytest.raises(ValueError, match="board_size must be a positive integer; got 0"):
        Battleship(0)
    with pytest.raises(TypeError, match="ship_sizes must be an integer"):
        Battleship(8, (2.0,))
    with pytest.raises(ValueError, match="ship_sizes must fit a board of 3 x 3 wherever earlier ships lie"):
        Battleship(3, (2, 3, 3, 4))
    with pytest.raises(ValueError, match="ship_sizes must take from 1 to 3 squares; got \\(\\)"):
        Battleship(2, ())
    with pytest.raises(ValueError, match="ship_sizes must take from 1 to 3 squares"):
        Battleship(2, (1, 1, 1, 1))
