"""The ring of trajectories beside a list, and relabelling beside a slow plain-Python one fed with the same random numbers."""

from collections import Counter, deque
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from s5lib import replay
from s5lib.envs import PreviousAction, make
from s5lib.envs.goals.instruction import Layout, layout_of
from s5lib.replay import Trajectories, create, relabel, sample, write

from .envs.rollouts import rollouts

KEY = jax.random.key(0)
LAYOUT = Layout(world=2, goal_scale=(3.0, 7.0), max_goals=4, previous_rewards=(2 + 8 + 8 + 1,))
STEPS = 12

put, draw = jax.jit(write), jax.jit(sample, static_argnums=2)
rewrite = jax.jit(relabel, static_argnums=(2, 3, 4))


# ---------------------------------------------------------------------------------------------- the ring


def numbered(lengths, first=0, steps=6):
    """Trajectories whose every number says which one it is, and at what time."""
    names = 100.0 * (first + np.arange(len(lengths)))
    clock = names + np.arange(steps + 1)[:, None]
    return Trajectories(
        obs=jnp.array(clock[..., None] + [0, 0.5], jnp.float32),
        action=jnp.array(clock[:-1], jnp.int32),
        reward=jnp.array(-clock[:-1], jnp.float32),
        terminated=jnp.array(np.arange(steps)[:, None] == np.array(lengths) - 1),
        length=jnp.array(lengths, jnp.int32),
    )


def test_the_ring_beside_a_list():
    """Batches with gaps of length 0, past the end of the ring and around; contents and order of a bounded queue."""
    rng = np.random.default_rng(0)
    ring, kept, first = create(numbered([1]), 7, 9), deque(maxlen=7), 0
    write_some = jax.jit(write, donate_argnums=0)
    for _ in range(12):
        lengths = rng.integers(0, 7, 4)
        ring = write_some(ring, numbered(lengths, first))
        kept += [(first + i, length) for i, length in enumerate(lengths) if length]
        first += 4
        assert int(ring.stored) == len(kept)
        start = int(ring.place) - len(kept)
        for i, (name, length) in enumerate(kept):
            row = jax.tree.map(lambda leaf, place=(start + i) % 7: leaf[place], ring.rows)
            assert row.length == length and row.terminated[length - 1] and row.terminated.sum() == 1
            np.testing.assert_array_equal(row.action[:length], 100 * name + np.arange(length))
            np.testing.assert_array_equal(row.obs[: length + 1, 1], 100 * name + np.arange(length + 1) + 0.5)
    assert ring.capacity == 7 and ring.horizon == 9 and ring.rows.obs.shape == (7, 10, 2)
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(ring))


def test_sampling():
    """Time first, whole rows, every stored one equally likely and no other."""
    ring = put(create(numbered([1]), 10, 6), numbered([3, 0, 6, 1]))
    drawn = draw(ring, KEY, 3000)
    assert drawn.obs.shape == (7, 3000, 2) and drawn.length.shape == (3000,)
    names = np.asarray(drawn.action[0]) // 100
    counts = Counter(names.tolist())
    assert set(counts) == {0, 2, 3} and chisquare(list(counts.values()))[1] > 1e-3
    np.testing.assert_array_equal(drawn.length, np.array([3, 0, 6, 1])[names])
    np.testing.assert_array_equal(drawn.reward, -drawn.action.astype(np.float32))


def test_errors_of_the_ring():
    ring = create(numbered([1]), 3, 6)
    with pytest.raises(ValueError, match="replay must hold a trajectory to sample from; it is empty"):
        sample(ring, KEY, 1)
    assert not draw(ring, KEY, 2).length.any()  # traced: nothing can be raised
    with pytest.raises(ValueError, match="trajectories must be 6 steps long at most, the ring's horizon; got 7"):
        write(ring, numbered([7], steps=7))
    with pytest.raises(ValueError, match=r"trajectories.length must lie in 0 \.\. 6, the steps given; got \[7\]"):
        write(ring, numbered([7]))
    with pytest.raises(ValueError, match="trajectories must be 3 at most, the ring's capacity; got 4"):
        write(ring, numbered([1, 1, 1, 1]))
    with pytest.raises(ValueError, match=r"trajectories.obs must have shape \(T, 2\); got \(7, 1\)"):
        write(ring, numbered([1]).replace(obs=jnp.zeros((7, 1, 1))))
    with pytest.raises(ValueError, match=r"trajectories.action must begin with the axes \(6, 1\); got \(5, 1\)"):
        write(ring, numbered([1]).replace(action=jnp.zeros((5, 1), int)))
    with pytest.raises(TypeError, match=r"trajectories.action must be int32, as in the example; got float32"):
        write(ring, numbered([1]).replace(action=jnp.zeros((6, 1))))
    with pytest.raises(ValueError, match=r"trajectories.achieved must be None, as in the example"):
        write(ring, numbered([1]).replace(achieved=jnp.zeros((6, 1, 1)), achieved_any=jnp.zeros((6, 1), bool)))
    with pytest.raises(ValueError, match="must have achieved and achieved_any both, or neither"):
        write(ring, numbered([1]).replace(achieved=jnp.zeros((6, 1, 1))))
    with pytest.raises(ValueError, match=r"example.reward must have shape \(T, B\), time first; got \(6,\)"):
        create(numbered([1]).replace(reward=jnp.zeros(6)), 3, 6)
    with pytest.raises(ValueError, match="capacity must be a positive integer; got 0"):
        create(numbered([1]), 0, 6)
    with pytest.raises(ValueError, match="count must be a positive integer; got 0"):
        sample(ring, KEY, 0)


# ---------------------------------------------------------------------------------------------- relabelling


def follow(goals, achieved, length):
    """The times at which goals are done in order, in plain Python."""
    times, due = [], 0
    for t in range(length):
        if due < len(goals) and achieved[t] == goals[due]:
            times, due = [*times, t], due + 1
    return times


def show(goals, times, steps):
    """Goals, slots that hold one, done flags and previous rewards of each observation."""
    scale, pad = LAYOUT.goal_scale, LAYOUT.max_goals - len(goals)
    flat = [number / unit for goal in goals for number, unit in zip(goal, scale, strict=True)] + [0] * 2 * pad
    rows = []
    for t in range(steps + 1):
        done = [int(i < len(times) and times[i] < t) for i in range(LAYOUT.max_goals)]
        rows.append([*flat, *[1] * len(goals), *[0] * pad, *done, t / steps, float(t - 1 in times)])
    return np.array(rows, np.float32)


def relabel_slowly(goals, achieved, length, terminated, h, order):
    """Algorithm 1, one trajectory, with h and an order of preference among steps given."""
    times = follow(goals, achieved, length)
    n = len(times)
    others = [t for t in order if t < length and achieved[t] is not None and t not in times][:h]
    merged = sorted([*times, *others])
    goals = [achieved[t] for t in merged] + goals[len(merged) :]
    times = follow(goals, achieved, length)
    ends = list(terminated)
    if len(times) == len(goals):
        length = times[-1] + 1
        ends = [t == times[-1] for t in range(len(ends))]
    assert len(times) >= n + len(others)
    return goals, times, length, ends, len(others)


@cache
def random_trajectories(count, seed=0):
    """Small worlds in which goals are met by chance: all lengths, ends by time or cut, steps that achieve nothing."""
    rng = np.random.default_rng(seed)
    every = []
    for _ in range(count):
        k, length, pool = rng.integers(1, 5), rng.integers(1, STEPS + 1), rng.integers(1, 5)
        places = [(int(a), int(b)) for a, b in zip(rng.integers(0, 4, pool), rng.integers(0, 8, pool), strict=True)]
        often = rng.choice([0.0, 0.2, 0.6, 1.0])
        achieved = [places[rng.integers(pool)] if rng.random() < often else None for _ in range(STEPS)]
        goals = [places[rng.integers(pool)] if rng.random() < 0.7 else (3, 0) for _ in range(k)]
        times = follow(goals, achieved, length)
        won = len(times) == k
        length = times[-1] + 1 if won else length
        ends = [(won or rng.random() < 0.7) and t == length - 1 for t in range(STEPS)]
        every.append((goals, achieved, int(length), ends, times))
    return every


def packed(every):
    """The same trajectories as arrays, with rubbish after their ends."""
    obs, reward, ends, achieved, known, lengths = [], [], [], [], [], []
    for goals, steps, length, terminated, times in every:
        own = np.arange(2 * (STEPS + 1), dtype=np.float32).reshape(-1, 2)
        obs.append(np.concatenate([own, show(goals, times, STEPS)], 1))
        reward.append([float(t in times) for t in range(STEPS)])
        ends.append(terminated)
        achieved.append([goal or (9, 9) for goal in steps])
        known.append([goal is not None for goal in steps])
        lengths.append(length)
    obs, reward, ends, achieved, known = (
        jnp.swapaxes(jnp.array(np.array(part)), 0, 1) for part in (obs, reward, ends, achieved, known)
    )
    action = jnp.zeros(reward.shape, jnp.int32)
    parts = (obs, action, reward.astype(jnp.float32), ends, jnp.array(lengths, jnp.int32))
    return Trajectories(*parts, achieved.astype(jnp.float32), known)


@pytest.mark.parametrize("strategy, rarity", [("some", 0.0), ("all", 0.0), ("some", 1.0), ("all", 0.5)])
def test_relabelling_beside_a_slow_one(strategy, rarity):
    """Three thousand trajectories, the same random numbers: equal in every entry up to the end."""
    every = random_trajectories(3000)
    batch = packed(every)
    new = jax.tree.map(np.asarray, rewrite(batch, KEY, strategy, LAYOUT, rarity))
    keys = jax.random.split(KEY, len(every))
    shares, noises = jax.tree.map(np.asarray, jax.jit(jax.vmap(partial(replay.draws, steps=STEPS)))(keys))
    met = Counter()
    for i, (goals, achieved, length, ends, times) in enumerate(every):
        left = len(goals) - len(times)
        h = left if strategy == "all" else int(np.float32(shares[i]) * np.float32(left + 1))
        often = Counter(goal for goal in achieved[:length] if goal)
        scores = [noises[i, t] - rarity * np.log(np.float32(often.get(achieved[t], 1))) for t in range(STEPS)]
        order = sorted(range(STEPS), key=lambda t, scores=scores: -scores[t])
        goals, times, cut, ends, drawn = relabel_slowly(goals, achieved, length, ends, h, order)
        assert new.length[i] == cut
        np.testing.assert_allclose(new.obs[: cut + 1, i, 2:], show(goals, times, STEPS)[: cut + 1], rtol=1e-6)
        np.testing.assert_array_equal(new.obs[:, i, :2], batch.obs[:, i, :2])
        assert new.reward[:, i].nonzero()[0].tolist() == times and set(new.reward[:, i]) <= {0.0, 1.0}
        assert new.terminated[:cut, i].tolist() == ends[:cut]
        met["full"] += left == 0
        met["nothing achieved"] += not often
        met["too few"] += drawn < h
        met["last step"] += bool(times) and times[-1] == length - 1
        met["cut"] += cut < length
        met["none drawn"] += left > 0 and h == 0
        met["whole length"] += length == STEPS
        met["one step"] += length == 1
        met["kept goal met"] += len(times) > len(every[i][4]) + drawn
    for name in (
        "none drawn",
        "kept goal met",
    ):  # with "all", every step that achieved something is taken, or no goal is kept
        assert (met.pop(name) > 10) == (strategy == "some")
    assert len(met) == 7 and min(met.values()) > 10
    np.testing.assert_array_equal(new.action, batch.action)
    np.testing.assert_array_equal(new.achieved, batch.achieved)


def of_rollout(batch):
    time_first = {name: np.swapaxes(getattr(batch, name), 0, 1) for name in ("obs", "action", "reward", "terminated")}
    achieved, known = (np.swapaxes(leaf, 0, 1) for leaf in (batch.achieved, batch.achieved_any))
    return jax.tree.map(
        jnp.array, Trajectories(**time_first, length=batch.length, achieved=achieved, achieved_any=known)
    )


WORLDS = {
    "package": PreviousAction(make("PackageDeliveryHard", length=12, episode_length=72), reward=True),
    "maze": PreviousAction(make("MazeRunner", size=11, episode_length=60), reward=True),
}


@cache
def played(name):
    return of_rollout(rollouts(WORLDS[name], 80, most_random=0.9))


@pytest.mark.parametrize("name", WORLDS)
def test_what_the_world_itself_would_have_shown(name):
    """The world, told the new instruction and given the same actions, shows and pays what relabelling wrote, bit for bit."""
    env, old = WORLDS[name], played(name)
    layout, world = layout_of(env), env.env
    new = rewrite(old, KEY, "some", layout)
    goals, count = layout.read(new.obs[0])
    keys = jax.random.split(jax.random.key(0), 80)

    def again(key, goals, actions):
        key_reset = jax.random.split(key)[0]
        _, state = env.reset_env(key_reset, env.default_params)
        inner = state.env_state.replace(goals=goals)
        obs = env.reset_env(key_reset, env.default_params)[0].at[: layout.size].set(world._see(inner))

        def step(state, action):
            obs, state, reward, terminated, _ = env.step_env(key, state, action, env.default_params)
            return state, (obs, reward, terminated)

        rows = jax.lax.scan(step, state.replace(env_state=inner), actions)[1]
        return jnp.concatenate([obs[None], rows[0]]), rows[1], rows[2]

    obs, reward, terminated = jax.jit(jax.vmap(again, (0, 0, 1), 1))(keys, goals, old.action)
    steps = np.arange(len(reward))[:, None]
    held, seen = steps < new.length, np.arange(len(obs))[:, None] <= new.length
    np.testing.assert_allclose(new.obs[seen], obs[seen], rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(new.reward[held], reward[held])
    np.testing.assert_array_equal(new.terminated[held], terminated[held])
    before, after = np.asarray(old.reward.sum(0)), np.asarray(new.reward.sum(0))
    assert (after >= before).all() and (after > before).sum() > 10 and (after < count).any()
    assert (new.length < old.length).any()


@pytest.mark.parametrize("name", WORLDS)
def test_relabelling_everything_succeeds(name):
    """``"all"`` makes a success of each trajectory that achieved enough, ``"none"`` and a success change nothing."""
    old, layout = played(name), layout_of(WORLDS[name])
    new = rewrite(old, KEY, "all", layout)
    count = np.asarray(layout.read(old.obs[0])[1])
    reached = np.asarray(old.achieved_any & (jnp.arange(old.reward.shape[0])[:, None] < old.length)).sum(0)
    np.testing.assert_array_equal(np.asarray(new.reward.sum(0)) == count, reached >= count)
    won = np.asarray(old.reward.sum(0)) == count
    assert won.any() and not won.all()
    jax.tree.map(np.testing.assert_array_equal, rewrite(old, KEY, "none", layout), old)
    np.testing.assert_array_equal(new.length[won], old.length[won])
    for i in won.nonzero()[0]:
        end = int(old.length[i])
        np.testing.assert_allclose(new.obs[: end + 1, i], old.obs[: end + 1, i], rtol=1e-6)
        np.testing.assert_array_equal(new.reward[:end, i], old.reward[:end, i])
        np.testing.assert_array_equal(new.terminated[:end, i], old.terminated[:end, i])


def many(steps, goals, count, achieved):
    """``count`` copies of one trajectory of which nothing that was asked for was achieved."""
    layout = Layout(world=0, goal_scale=(9.0,), max_goals=len(goals))
    row = np.concatenate([np.array(goals) / 9.0, np.ones(len(goals)), np.zeros(len(goals) + 1)])
    shape = (steps, count)
    obs = jnp.broadcast_to(jnp.array(row, jnp.float32), (steps + 1, count, len(row)))
    goal = jnp.broadcast_to(jnp.array(achieved, jnp.float32)[:, None, None], (*shape, 1))
    flags, nothing = jnp.ones(shape, bool), jnp.zeros(shape)
    return layout, Trajectories(obs, nothing, nothing, ~flags, jnp.full(count, steps), goal, flags)


def test_how_many_and_which():
    """h is uniform on 0 .. k - n; which steps are drawn is uniform over all sets of h."""
    layout, batch = many(4, [9, 9], 6000, [1, 2, 3, 4])
    new = rewrite(batch, KEY, "some", layout)
    h = np.asarray(new.reward.sum(0), int)
    assert chisquare(np.bincount(h, minlength=3))[1] > 1e-3 and h.max() == 2
    goals = np.asarray(layout.read(new.obs[0])[0])[..., 0].astype(int)
    for wanted, kinds in ((1, 4), (2, 6)):
        kept, counts = np.unique(goals[h == wanted], axis=0, return_counts=True)
        assert len(counts) == kinds and chisquare(counts)[1] > 1e-3
        assert (np.diff(kept, axis=1) > 0).all(), "in the order of time, what is left at the end"


@pytest.mark.parametrize("rarity, share", [(0.0, 0.2), (1.0, 0.5)])
def test_rare_goals(rarity, share):
    """Four steps at one place and one at another: the other is drawn once in five, or with rarity 1 every second time."""
    layout, batch = many(5, [9], 4000, [1, 1, 2, 1, 1])
    goals = layout.read(rewrite(batch, KEY, "all", layout, rarity).obs[0])[0]
    assert abs(float((goals == 2).mean()) - share) < 0.035


def test_errors_of_relabelling():
    layout, batch = many(3, [9], 2, [1, 2, 3])
    with pytest.raises(ValueError, match=r"strategy must be one of 'all', 'some', 'none'; got 'most'"):
        relabel(batch, KEY, "most", layout)
    with pytest.raises(
        ValueError, match="trajectories must tell what they achieved; these are of a world without goals"
    ):
        relabel(batch.replace(achieved=None, achieved_any=None), KEY, "some", layout)
    with pytest.raises(ValueError, match=r"trajectories.obs must be vectors of 25 or more, by layout; got \(4, 2, 4\)"):
        relabel(batch, KEY, "some", layout_of(WORLDS["maze"]))
    with pytest.raises(ValueError, match=r"trajectories.achieved must have shape \(T, B, 1\); got \(3, 2, 2\)"):
        relabel(batch.replace(achieved=jnp.zeros((3, 2, 2))), KEY, "some", layout)
    for rarity in (-1.0, float("inf"), "some"):
        with pytest.raises(ValueError, match="rarity must be a number, 0 or more; got"):
            relabel(batch, KEY, "some", layout, rarity)
