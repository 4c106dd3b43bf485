"""Concentration beside the original."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s5lib.envs import make, play
from s5lib.envs.popgym.concentration import Concentration

from .agreement import agree, at, episodes, names, original, returns_agree, spaces_agree

NAMES = names("Concentration")


def put(theirs, state):
    """Lay the same cards; the original keeps their places in ``idx`` and deals none."""
    values = theirs.deck_idx_type
    of_value = {value: list(np.flatnonzero(values == value)) for value in np.unique(values)}
    theirs.deck.idx = np.array([of_value[card].pop() for card in np.asarray(state.cards)])
    assert sorted(theirs.deck.idx) == list(range(len(values)))
    return theirs.get_obs()


@pytest.mark.parametrize("name", NAMES)
def test_equals_the_original(name):
    spaces_agree(name)
    env = make(name)
    batch = episodes(env)
    assert batch.terminated.any() and (batch.active & batch.truncated).any()
    paid = np.round(batch.reward[batch.active] * env.horizon, 4)
    assert set(paid) == {4, 0, -1, -2}  # a match, a first card, a card that is up already, a failure
    assert agree(name, put).steps > 12 * env.num_cards


@pytest.mark.parametrize("name", NAMES)
def test_returns(name):
    returns_agree(name)


def turned(env, state, *cards):
    """The observations (a row a card), the state after, the rewards and the flags of these actions."""
    seen, rewards = [], []
    for card in cards:
        obs, state, reward, terminated, _ = env.step_env(jax.random.key(0), state, card, env.default_params)
        seen.append(np.asarray(obs).reshape(env.num_cards, -1).argmax(axis=1))
        rewards.append(float(reward) * env.horizon)
    return seen, state, np.round(rewards, 4).tolist(), bool(terminated)


def start(**fields):
    """One pack whose ranks lie in order: 0 0 0 0 1 1 1 1 ..."""
    env = Concentration(1, "ranks")
    _, state = env.reset_env(jax.random.key(0), env.default_params)
    return env, state.replace(cards=jnp.arange(52, dtype=jnp.int8) // 4, **fields)


def test_cards_that_fail_are_shown_once():
    env, state = start()
    seen, state, rewards, _ = turned(env, state, 0, 4, 8)
    assert [np.flatnonzero(row < 13).tolist() for row in seen] == [[0], [0, 4], [8]]
    assert [row[row < 13].tolist() for row in seen] == [[0], [0, 1], [2]]
    assert rewards == [0, -2, 0] and state.first == 8 and not state.face_up.any()
    assert np.flatnonzero(state.seen).tolist() == [0, 4, 8]


def test_a_card_does_not_match_itself():
    env, state = start()
    seen, state, rewards, _ = turned(env, state, 5, 5)
    assert rewards == [0, -2] and not state.face_up.any() and np.flatnonzero(seen[1] < 13).tolist() == [5]


def test_a_card_that_is_up_ends_the_turn():
    """As the first card of a turn it costs half as much, and the next card starts a new turn."""
    env, state = start()
    seen, state, rewards, _ = turned(env, state, 0, 1, 1, 2, 1, 2, 3)
    assert rewards == [0, 4, -1, 0, -2, 0, 4] and np.flatnonzero(state.face_up).tolist() == [0, 1, 2, 3]
    assert np.flatnonzero(seen[4] < 13).tolist() == [0, 1, 2]


def test_the_last_match_can_come_at_the_time_limit():
    """Both flags are then set, as in the original."""
    env, state = start(time=jnp.int32(102), face_up=jnp.arange(52) < 50)
    _, state, _, terminated = turned(env, state, 50, 51)
    assert terminated and env.is_truncated(state, env.default_params)
    theirs = original("ConcentrationHard")
    put(theirs, state)
    theirs.curr_step = 102
    theirs.deck["face_up_idx"].extend(range(50))
    theirs.deck["face_up"].extend(theirs.deck.idx[:50])
    assert theirs.step(50)[1:4] == (0, False, False)
    assert theirs.step(51)[2:4] == (True, True)


def test_the_player_remembers_and_does_not_peek():
    """What it does depends on the cards it has seen: other values on the cards it has not seen change nothing."""
    env = make("ConcentrationHard")
    batch = at(episodes(env, 2), 0)
    act = jax.jit(jax.vmap(env.best_action))
    rng = np.random.default_rng(0)
    others = np.where(batch.state.seen, batch.state.cards, rng.integers(0, 13, batch.state.cards.shape))
    np.testing.assert_array_equal(act(batch.state), act(batch.state.replace(cards=jnp.asarray(others, jnp.int8))))
    up = np.take_along_axis(batch.state.face_up, batch.action[:, None], axis=1)[:, 0]
    assert not up[batch.active].any() and batch.terminated.any()


def test_failures_of_the_player_with_two_colours():
    """With two colours a player of perfect memory can be computed: see which turns fail on average, by recursion."""
    from functools import cache

    @cache
    def failures(known, new):
        """Expected failed turns, given how many cards of each colour are known and how many are not seen yet."""
        total = 0.0
        for a in range(2):
            if not new[a]:
                continue
            b, chance = 1 - a, new[a] / sum(new)
            rest = minus(new, a)
            if known[a]:
                total += chance * failures(minus(known, a), rest)
            else:
                same = rest[a] / sum(rest)
                total += chance * same * failures(known, minus(rest, a)) if same else 0
                total += (
                    chance * (1 - same) * (1 + failures((known[0] + 1, known[1] + 1), minus(rest, b)))
                    if same < 1
                    else 0
                )
        return total

    def minus(pair, index):
        return (pair[0] - 1, pair[1]) if index == 0 else (pair[0], pair[1] - 1)

    told = make("ConcentrationEasy").describe().best_return
    assert abs(told - (1 - 2 * failures((0, 0), (26, 26)) / 104)) < 5e-4


def test_a_lower_time_limit_truncates():
    env = make("ConcentrationEasy")
    params = env.default_params.replace(max_steps_in_episode=10)
    episode = jax.jit(lambda key: play(env, key, "best", params))(jax.random.key(0))
    assert int(episode.active.sum()) == 10 and episode.truncated[9] and not episode.terminated[9]


def test_bad_options():
    with pytest.raises(ValueError, match="deck_type must be one of 'colors', 'ranks'; got 'suits'"):
        Concentration(1, "suits")
    with pytest.raises(ValueError, match="num_decks must be a positive integer; got 0"):
        Concentration(0)
    assert Concentration(3, "ranks").describe().random_return is None
