"""Worlds whose goal is never told: the lake, the dark room and the T-Maze, beside plain Python, with players that remember."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s5lib.envs import make, play
from s5lib.envs.goals.dark_key import DarkKeyToDoor
from s5lib.envs.goals.frozen_lake import MetaFrozenLake
from s5lib.envs.goals.grid import MOVES
from s5lib.envs.goals.t_maze import TMaze

from .agreement import episodes, returns
from .test_maze_runner import flood

LAKE, ROOM = make("MetaFrozenLakeEasy"), make("DarkKeyToDoorEasy")


def stepper(env):
    return jax.jit(lambda key, state, action: env.step_env(key, state, action, env.default_params))


# ---------------------------------------------------------------------------------------------- the lake


@pytest.mark.parametrize("name", ["MetaFrozenLakeEasy", "MetaFrozenLakeMedium", "MetaFrozenLakeHard"])
def test_lakes_can_be_crossed(name):
    env = make(name)
    keys = jax.random.split(jax.random.key(0), 300)
    state = jax.jit(jax.vmap(lambda key: env.reset_env(key, env.default_params)))(keys)[1]
    holes, orders = np.asarray(state.hole), np.asarray(state.order)
    for hole in holes:
        assert (env.size - 1, env.size - 1) in flood(np.pad(hole, ((0, 1), (0, 1)), constant_values=True), (0, 0))
    inner = (env.size**2 - 2 * env.size + 1) * 0.3
    assert 0.8 * inner < holes.sum((1, 2)).mean() < 1.2 * inner  # the freed way has 2 n - 1 squares
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 24 and abs(counts - 12.5).max() < 13


def test_the_lake_beside_plain_python():
    env = MetaFrozenLake(attempt_length=9)
    batch = episodes(env, 24)
    n, ended, late = env.size, 0, 0
    for i in range(24):
        hole, order = batch.state.hole[i, 0], batch.state.order[i, 0]
        place, attempt, clock = np.zeros(2, int), 0, 0
        for t in range(int(batch.active[i].sum())):
            np.testing.assert_allclose(
                batch.obs[i, t], [*(place / (n - 1)), clock == 0, attempt / env.attempts], atol=1e-6
            )
            place = np.clip(place + MOVES[order[batch.action[i, t]]], 0, n - 1)
            clock += 1
            home = (place == n - 1).all()
            if home or hole[tuple(place)] or clock == env.attempt_length:
                late += not home and not hole[tuple(place)]
                place, attempt, clock, ended = np.zeros(2, int), attempt + 1, 0, ended + 1
            assert batch.reward[i, t] == home and batch.terminated[i, t] == (attempt == env.attempts)
        assert attempt == env.attempts
    assert ended == 240 and late > 10 and batch.reward.sum(1).min() < 3 and (batch.state.hole.sum((2, 3)) > 0).any()


def test_returns_on_the_lake():
    told = LAKE.describe()
    sample = returns(LAKE, "random", 4096)
    assert abs(sample.mean() - told.random_return) < 4 * sample.std() / np.sqrt(len(sample))
    np.testing.assert_array_equal(returns(LAKE, "best", 64), told.best_return)


def cross_from_memory(env, step, key):
    """Learns each action's move where it shows, takes the shortest way over squares not known as holes."""
    n = env.size
    key, key_reset = jax.random.split(key)
    _, state = env.reset(key_reset)
    known, bad, rewards, place = {}, np.zeros((n, n), bool), [], np.zeros(2, int)
    for t in range(env.horizon):
        steps = flood(np.pad(bad, ((0, 1), (0, 1)), constant_values=True), (n - 1, n - 1))
        near = [(action, place + MOVES[move]) for action, move in known.items()]
        good = [(steps.get(tuple(there.tolist()), 99), action) for action, there in near if min(there) >= 0]
        here = steps[tuple(place.tolist())]
        untried = [action for action in range(4) if action not in known]
        action = min(good)[1] if good and min(good)[0] < here else untried[t % len(untried)]
        obs, state, reward, terminated, info = step(jax.random.fold_in(key, t), state, action)
        after = np.rint(np.asarray(obs[:2]) * (n - 1)).astype(int)
        if info["attempt_ended"]:
            rewards.append(float(reward))
            if not reward and action in known and env.attempt_length > 1:
                bad[tuple(place + MOVES[known[action]])] = True
            after = np.zeros(2, int)
        elif (after != place).any():
            known[action] = MOVES.index(tuple((after - place).tolist()))
        place = after
        if terminated:
            return rewards
    raise AssertionError("an episode ends at its horizon")


def test_a_player_that_remembers_the_lake():
    """Its later attempts are better than its first ones, and in the end it hardly ever falls."""
    step = stepper(LAKE)
    found = np.array([cross_from_memory(LAKE, step, key) for key in jax.random.split(jax.random.key(3), 30)])
    assert found.shape == (30, 10)
    assert found[:, -1].mean() > 0.8 > found[:, 0].mean() + 0.3


# ---------------------------------------------------------------------------------------------- the dark room


def test_the_room_beside_plain_python():
    batch = episodes(ROOM, 12)
    n = ROOM.size
    seen = set()
    for i in range(12):
        key, door = batch.state.key[i, 0], batch.state.door[i, 0]
        assert (key != door).any()
        place, held, clock = batch.state.position[i, 0], False, 0
        for t in range(ROOM.horizon):
            np.testing.assert_allclose(batch.obs[i, t], [*(place / (n - 1)), held, clock / 50, t / 500], atol=1e-6)
            place = np.clip(place + MOVES[batch.action[i, t]], 0, n - 1)
            reward = float((place == (door if held else key)).all())
            over = (held and reward == 1) or clock + 1 == ROOM.attempt_length
            held, clock = (held or reward == 1) and not over, 0 if over else clock + 1
            seen.add((over, reward))
            assert batch.reward[i, t] == reward and batch.terminated[i, t] == (t == 499)
            assert batch.state.held[i, min(t + 1, 499)] == held or t == 499
            place = batch.state.start[i, 0] if over else place
    assert seen >= {(True, 1.0), (True, 0.0), (False, 1.0), (False, 0.0)}


def test_returns_in_the_room():
    told = ROOM.describe()
    for policy, expected in (("random", told.random_return), ("best", told.best_return)):
        sample = returns(ROOM, policy, 2048)
        assert abs(sample.mean() - expected) < 4 * sample.std() / np.sqrt(len(sample))


def search(env, step, key, forget):
    """Goes to the nearest square not tried yet, for the key and then for the door, and straight to what it has found before."""
    n = env.size
    key, key_reset = jax.random.split(key)
    obs, state = env.reset(key_reset)
    everywhere = [np.array(square) for square in np.ndindex(n, n)]
    places = {"key": everywhere, "door": everywhere}  # where each may still be
    target, total = "key", 0.0
    for t in range(env.horizon):
        place = np.rint(np.asarray(obs[:2]) * (n - 1)).astype(int)
        ahead = min(places[target], key=lambda square, place=place: abs(square - place).sum()) - place
        along = 0 if ahead[0] and not ahead[1] else 1
        move = MOVES.index(tuple(np.sign(ahead * (np.arange(2) == along)).tolist()))
        obs, state, reward, terminated, info = step(jax.random.fold_in(key, t), state, move)
        landed = place + MOVES[move]
        if reward == 1:
            places[target], target = [landed], "door"
        else:
            places[target] = [square for square in places[target] if (square != landed).any()]
        if info["attempt_ended"]:
            target = "key"
            places = {"key": everywhere, "door": everywhere} if forget else places
        total += float(reward)
    assert terminated
    return total


def test_a_player_that_remembers_the_room():
    """It earns several times what the same player does that forgets between attempts, and less than one who knows."""
    step = stepper(ROOM)
    keys = jax.random.split(jax.random.key(4), 12)
    remembers, forgets = (np.array([search(ROOM, step, key, forget) for key in keys]) for forget in (False, True))
    assert 2 * forgets.mean() < remembers.mean() < ROOM.describe().best_return
    assert remembers.mean() > 0.6 * ROOM.describe().best_return


# ---------------------------------------------------------------------------------------------- the T-Maze


def test_the_t_maze_beside_plain_python():
    env = TMaze(5)
    batch = episodes(env, 60)
    ways = set()
    for i in range(60):
        place, up = 0, batch.state.up[i, 0]
        for t in range(int(batch.active[i].sum())):
            cue = (1 if up else -1) if t == 0 else 0
            assert batch.obs[i, t].tolist() == [cue, place == 5]
            action, end, reward = batch.action[i, t], False, 0.0
            if place == 5:
                end, reward = action in (1, 3), float(action == (1 if up else 3))
            elif action == 2:
                place += 1
            else:
                reward = -0.2
            np.testing.assert_allclose(batch.reward[i, t], reward)
            assert batch.terminated[i, t] == (end or t == 5)
        ways.add((bool(up), reward))
    assert ways >= {(True, 1.0), (False, 1.0), (True, -0.2)}


@pytest.mark.parametrize("length", [1, 2, 100])
def test_returns_in_the_t_maze(length):
    env = TMaze(length)
    told = env.describe()
    sample = returns(env, "random", 4096)
    assert abs(sample.mean() - told.random_return) < 4 * sample.std() / np.sqrt(len(sample)) + 1e-6
    np.testing.assert_array_equal(returns(env, "best", 8), 1.0)


def test_ten_thousand_steps():
    env = make("TMazeHard")
    episode = jax.jit(lambda key: play(env, key, "best"))(jax.random.key(0))
    assert episode.reward.sum() == 1 and episode.active.sum() == 10_001 == env.horizon
    assert jnp.count_nonzero(episode.obs[:, 0]) == 1


def test_a_lower_time_limit_truncates():
    for env in (LAKE, ROOM, TMaze(9)):
        params = env.default_params.replace(max_steps_in_episode=3)
        episode = jax.jit(lambda key, env=env, params=params: play(env, key, "best", params))(jax.random.key(0))
        assert int(episode.active.sum()) == 3 and episode.truncated[2] and not episode.terminated[2]


def test_bad_options():
    with pytest.raises(ValueError, match="size must be 2 or more; got 1"):
        MetaFrozenLake(size=1)
    with pytest.raises(ValueError, match=r"hole_share must be a number from 0 to 1; got 1\.5"):
        MetaFrozenLake(hole_share=1.5)
    with pytest.raises(ValueError, match="size must be 2 or more; got 1"):
        DarkKeyToDoor(size=1)
    with pytest.raises(ValueError, match="attempt_length must be a positive integer; got 0"):
        DarkKeyToDoor(attempt_length=0)
    with pytest.raises(ValueError, match="length must be a positive integer; got 0"):
        TMaze(0)
