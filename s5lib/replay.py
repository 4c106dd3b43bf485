"""Chapter 9. A ring of whole trajectories on the device, and hindsight: what was achieved becomes what was asked for.

A trajectory is an episode, kept whole, so that a memory can be run over it from its start. Its instruction can be rewritten
without the world, since ``s5lib.envs.goals.instruction`` says where it stands in an observation and when its goals are done.

flashbax would not serve: its trajectory buffer cuts windows of one length out of an endless stream and knows no episode's end;
its item buffer would keep padded episodes, which is the few lines of ``write`` and ``sample`` here, but takes them in batches of
one fixed size, and so not those of the environments alone that ended.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from s5lib.config import check_choice, check_positive_int, check_shape, is_concrete
from s5lib.envs.goals.instruction import Layout, goal_times

__all__ = [
    "STRATEGIES",
    "Draws",
    "Replay",
    "Steps",
    "Trajectories",
    "append",
    "create",
    "draws",
    "relabel",
    "sample",
    "write",
]

STRATEGIES = ("all", "some", "none")


class Trajectories(struct.PyTreeNode):
    """Episodes side by side, time first, each padded to one length; what stands after an episode's end means nothing.

    Attributes:
        obs: what was seen, from the reset to after the last step, shape (T + 1, B, ...).
        action: what was done, shape (T, B, ...).
        reward: what it earned, shape (T, B), float32.
        terminated: whether the episode ended with this step, shape (T, B), bool; all False where it was cut.
        length: steps of each episode, shape (B,), int32; 0 for no episode.
        achieved: ``info["achieved"]`` of each step, shape (T, B, goal_size), float32; None in a world without goals.
        achieved_any: ``info["achieved_any"]``, shape (T, B), bool; None likewise.
    """

    obs: jax.Array
    action: jax.Array
    reward: jax.Array
    terminated: jax.Array
    length: jax.Array
    achieved: Any = None
    achieved_any: Any = None


class Replay(struct.PyTreeNode):
    """A ring of trajectories.

    ``rows``: ``Trajectories`` with axes (capacity, time, ...), so that an episode lies in one piece; ``place``: where the next one
    goes, int32; ``stored``: how many there are, int32.
    """

    rows: Trajectories
    place: jax.Array
    stored: jax.Array

    @property
    def capacity(self) -> int:
        """How many trajectories the ring holds."""
        return self.rows.length.shape[0]

    @property
    def horizon(self) -> int:
        """Steps of the longest trajectory that it holds."""
        return self.rows.reward.shape[1]


def create(example: Trajectories, capacity: int, horizon: int) -> Replay:
    """Make an empty ring.

    Args:
        example: trajectories such as will be written, arrays or shapes; their numbers, batch and time do not matter.
        capacity: how many to hold; later ones take the place of the oldest.
        horizon: steps of the longest, the environment's horizon.
    Returns:
        A ``Replay``: a pytree of arrays, which ``jax.jit(write, donate_argnums=0)`` updates in place.
    Raises:
        TypeError, ValueError: ``capacity`` or ``horizon`` is not a positive integer, or ``example`` is not time first.
    Example:
        >>> rewards = jnp.zeros((4, 1))
        >>> one = Trajectories(jnp.zeros((5, 1, 3)), jnp.zeros((4, 1), int), rewards, rewards > 0, jnp.array([4]))
        >>> ring = create(one, capacity=100, horizon=9)
        >>> ring.rows.obs.shape, int(ring.stored)
        ((100, 10, 3), 0)

    """
    check_positive_int("capacity", capacity)
    check_positive_int("horizon", horizon)
    _check(example, "example")

    def empty(name: str, leaf: Any) -> Any:
        if leaf is None:
            return None
        time = () if name == "length" else (horizon + (name == "obs"),)
        return jnp.zeros((capacity, *time, *leaf.shape[1 if name == "length" else 2 :]), leaf.dtype)

    rows = Trajectories(**{name: empty(name, leaf) for name, leaf in vars(example).items()})
    return Replay(rows, jnp.int32(0), jnp.int32(0))


def _check(trajectories: Trajectories, name: str) -> tuple[int, int]:
    """Return T and B of trajectories whose parts fit together; else a ValueError."""
    if np.ndim(trajectories.reward) != 2:
        raise ValueError(f"{name}.reward must have shape (T, B), time first; got {np.shape(trajectories.reward)}")
    steps, batch = trajectories.reward.shape
    if (trajectories.achieved is None) != (trajectories.achieved_any is None):
        raise ValueError(f"{name} must have achieved and achieved_any both, or neither")
    for part, leaf in vars(trajectories).items():
        if leaf is None:
            continue
        time = () if part == "length" else (steps + (part == "obs"),)
        if leaf.shape[: len(time) + 1] != (*time, batch):
            raise ValueError(f"{name}.{part} must begin with the axes {(*time, batch)}; got {leaf.shape}")
    return steps, batch


def write(replay: Replay, trajectories: Trajectories) -> Replay:
    """Add trajectories to the ring, in the order of the batch; those of length 0 are left out.

    Args:
        replay: the ring.
        trajectories: T up to the ring's horizon, B up to its capacity.
    Returns:
        The ring with them in it.
    Raises:
        ValueError: a trajectory longer than the horizon, or than T, where lengths can be looked at; more of them than the
            capacity; or parts that differ from those of the ``example``.
    """
    steps, batch = _check(trajectories, "trajectories")
    if steps > replay.horizon:
        raise ValueError(f"trajectories must be {replay.horizon} steps long at most, the ring's horizon; got {steps}")
    if batch > replay.capacity:
        raise ValueError(f"trajectories must be {replay.capacity} at most, the ring's capacity; got {batch}")
    lengths = trajectories.length
    if is_concrete(lengths) and not np.all((np.asarray(lengths) >= 0) & (np.asarray(lengths) <= steps)):
        raise ValueError(f"trajectories.length must lie in 0 .. {steps}, the steps given; got {np.asarray(lengths)}")
    wanted = lengths > 0
    place = (replay.place + jnp.cumsum(wanted) - 1) % replay.capacity
    place = jnp.where(wanted, place, replay.capacity)  # out of bounds: dropped

    def put(row: Any, leaf: Any, name: str) -> Any:
        if (row is None) != (leaf is None):
            raise ValueError(f"trajectories.{name} must be {'None' if row is None else 'given'}, as in the example")
        if row is None:
            return None
        leaf = leaf if name == "length" else jnp.swapaxes(leaf, 0, 1)
        check_shape(f"trajectories.{name}", leaf[0], (*(() if name == "length" else ("T",)), *row.shape[2:]))
        if leaf.dtype != row.dtype:
            raise TypeError(f"trajectories.{name} must be {row.dtype}, as in the example; got {leaf.dtype}")
        if name == "length":
            return row.at[place].set(leaf, mode="drop")
        return row.at[place, : leaf.shape[1]].set(leaf, mode="drop")

    rows = {name: put(row, getattr(trajectories, name), name) for name, row in vars(replay.rows).items()}
    count = jnp.sum(wanted, dtype=jnp.int32)
    stored = jnp.minimum(replay.stored + count, replay.capacity)
    return Replay(Trajectories(**rows), (replay.place + count) % replay.capacity, stored)


class Steps(NamedTuple):
    """Steps of environments side by side, leaves (T, B, ...): parts of one trajectory, or of several one after another.

    Attributes:
        seen: obs, action, reward, terminated, achieved and achieved_any of each step; ``length`` is the step's own time, from 0.
        final: the observation after the step, before any reset.
        ended: the trajectory's last step.
    """

    seen: Trajectories
    final: jax.Array
    ended: jax.Array


def append(current: Trajectories, replay: Replay, steps: Steps) -> tuple[Trajectories, Replay]:
    """Append steps to the trajectories under way, and write those that ended into the ring, in the order of their ends.

    Args:
        current: one for each environment, with T = the ring's horizon; what it holds beyond its steps so far means nothing.
        replay: the ring.
        steps: what came next. A trajectory may end at any of them, and another begins with the step after.
    Returns:
        The trajectories under way, and the ring.
    """
    horizon, (_, B) = replay.horizon, steps.ended.shape
    before = jnp.cumsum(steps.ended, 0) - steps.ended  # of each step, ends of its environment before it
    envs, time = jnp.arange(B), steps.seen.length

    def put(now: tuple) -> tuple:
        """Those steps of each environment that follow its k-th end."""
        k, current, replay = now
        mine = before == k
        place = jnp.where(mine, time, horizon + 1)  # beyond the end: dropped
        last = jnp.where(mine & steps.ended, time + 1, horizon + 2)

        def extended(row: jax.Array, leaf: jax.Array) -> jax.Array:
            return row.at[place, envs].set(leaf, mode="drop")

        length = jnp.sum(jnp.where(mine & steps.ended, time + 1, 0), 0)
        current = jax.tree.map(extended, current.replace(length=None), steps.seen.replace(length=None))
        current = current.replace(obs=current.obs.at[last, envs].set(steps.final, mode="drop"), length=length)
        return k + 1, current, write(replay, current)

    most = jnp.max(jnp.sum(steps.ended, 0))
    _, current, replay = jax.lax.while_loop(lambda now: now[0] <= most, put, (jnp.int32(0), current, replay))
    return current, replay


def sample(replay: Replay, key: jax.Array, count: int) -> Trajectories:
    """Draw trajectories, each stored one equally likely, with replacement.

    Args:
        replay: the ring.
        key: random key.
        count: how many, B.
    Returns:
        ``Trajectories`` with T = the ring's horizon.
    Raises:
        ValueError: the ring is empty; where that cannot be looked at, inside ``jax.jit``, trajectories of length 0 are drawn.
        TypeError: ``count`` is not an integer.
    """
    check_positive_int("count", count)
    if is_concrete(replay.stored) and replay.stored == 0:
        raise ValueError("replay must hold a trajectory to sample from; it is empty")
    drawn = jax.random.randint(key, (count,), 0, jnp.maximum(replay.stored, 1))
    rows = jax.tree.map(lambda row: row[drawn], replay.rows)
    return jax.tree.map(lambda row: jnp.swapaxes(row, 0, 1) if row.ndim > 1 else row, rows)


class Draws(NamedTuple):
    """All random numbers that relabelling one trajectory needs.

    Attributes:
        share: uniform in [0, 1): how many goals to draw, as a share of those that may be.
        noise: standard Gumbel, shape (T,): with log weights added, the steps with the h largest are h steps drawn without
            replacement by these weights.
    """

    share: jax.Array
    noise: jax.Array


def draws(key: jax.Array, steps: int) -> Draws:
    """Draw the random numbers for relabelling one trajectory.

    Args:
        key: random key.
        steps: T, those of its arrays.
    Returns:
        ``Draws``.
    Example:
        >>> draws(jax.random.key(0), 5).noise.shape
        (5,)

    """
    key_share, key_noise = jax.random.split(key)
    return Draws(jax.random.uniform(key_share), jax.random.gumbel(key_noise, (steps,)))


def relabel(
    trajectories: Trajectories, key: jax.Array, strategy: str, layout: Layout, rarity: float = 0.0
) -> Trajectories:
    """Hindsight instruction relabelling: ask for what was achieved, and replay what that earns.

    Of an instruction of k goals, n were done. Draw h from {0, ..., k - n}, and h of the other steps that achieved something.
    The new instruction is what those h and the n steps achieved, in the order of time, and then the last k - n - h goals of the
    old one. Rewards, ends, done flags and the previous rewards in view are those of the new instruction, replayed from the
    start; the trajectory is cut where all its goals are done. It earns n + h, and more where a goal that was kept happens to be
    met. With k = 1 and steps that each achieve their state it is hindsight experience replay.

    A trajectory of which fewer than h other steps achieved something gets as many as there are. All of them are relabelled by
    themselves: a learner that wants both mixes batches of ``"some"`` and ``"none"``.

    Args:
        trajectories: of a world with an instruction; rewards must be those of its goals alone.
        key: random key.
        strategy: ``"some"``, h uniform; ``"all"``, h = k - n; ``"none"``, no change.
        layout: where observations hold the instruction, ``layout_of(env)``.
        rarity: 0 draws steps uniformly; at 1 each different goal is equally likely to come first, however many steps of the
            trajectory achieved it; between and beyond, a step's weight is (steps that achieved its goal)^-rarity.
    Returns:
        ``Trajectories`` of the same shapes.
    Raises:
        ValueError: an unknown ``strategy``; trajectories without achieved goals; observations or goals that do not fit
            ``layout``; or a negative ``rarity``.
    Example:
        >>> from s5lib.envs.goals.instruction import Layout
        >>> layout = Layout(world=0, goal_scale=(1.0,), max_goals=1)
        >>> asked, achieved = jnp.array([[[9.0, 1.0, 0.0, 0.0]]] * 3), jnp.array([[[4.0]], [[5.0]]])  # 9 was, 4 and then 5 were
        >>> nothing = jnp.zeros((2, 1))
        >>> parts = (asked, nothing, nothing, nothing > 0, jnp.array([2]), achieved, nothing == 0)
        >>> new = relabel(Trajectories(*parts), jax.random.key(1), "all", layout)
        >>> new.obs[0, 0, 0].item(), new.reward[:, 0].tolist(), new.length.tolist()
        (4.0, [1.0, 0.0], [1])

    Source: Grigsby et al. 2024 (arXiv 2310.09971), section 4 and algorithm 1; amago, examples/13_mazerunner_relabeling.py.
    Differs: a goal achieved by the last step may be drawn, which the code leaves out; the paper weighs goals by how rare they
    are in all of the data, by a rule drawn at random, here within the trajectory.
    """
    check_choice("strategy", strategy, STRATEGIES)
    if not isinstance(rarity, int | float) or not 0 <= rarity < np.inf:
        raise ValueError(f"rarity must be a number, 0 or more; got {rarity!r}")
    if trajectories.achieved is None:
        raise ValueError("trajectories must tell what they achieved; these are of a world without goals")
    steps, batch = _check(trajectories, "trajectories")
    least = max(layout.size, *(index + 1 for index in (0, *layout.previous_rewards)))
    if np.ndim(trajectories.obs) != 3 or trajectories.obs.shape[2] < least:
        raise ValueError(
            f"trajectories.obs must be vectors of {least} or more, by layout; got {trajectories.obs.shape}"
        )
    check_shape("trajectories.achieved", trajectories.achieved, ("T", "B", layout.goal_size))
    if strategy == "none":
        return trajectories
    keys = jax.random.split(key, batch)

    def one(row: Trajectories, key: jax.Array) -> Trajectories:
        return _relabelled(row, draws(key, steps), strategy == "all", layout, rarity)

    axes = Trajectories(obs=1, action=1, reward=1, terminated=1, length=0, achieved=1, achieved_any=1)  # type: ignore[arg-type]
    return jax.vmap(one, in_axes=(axes, 0), out_axes=axes)(trajectories, keys)


def _relabelled(row: Trajectories, drawn: Draws, everything: bool, layout: Layout, rarity: float) -> Trajectories:
    """Relabel one trajectory, without a batch axis."""
    achieved, step = row.achieved, jnp.arange(row.reward.shape[0])
    any_goal = row.achieved_any & (step < row.length)
    goals, count = layout.read(row.obs[0])
    times = goal_times(goals, count, achieved, any_goal)
    reached = jnp.any(times == step[:, None], 1)
    left = count - jnp.sum(reached)
    others = any_goal & ~reached
    wanted = left if everything else jnp.minimum(jnp.floor(drawn.share * (left + 1)).astype(jnp.int32), left)
    wanted = jnp.minimum(wanted, jnp.sum(others))
    weights = -rarity * jnp.log(_occurrences(achieved, any_goal)) if rarity else 0.0
    scores = jnp.where(others, drawn.noise + weights, -jnp.inf)
    best = jax.lax.top_k(scores, min(layout.max_goals, len(step)))[1]
    chosen = jnp.zeros(len(step), bool).at[best].set(jnp.arange(len(best)) < wanted) | reached
    slot = jnp.where(chosen, jnp.cumsum(chosen) - 1, layout.max_goals)
    goals = goals.at[slot].set(achieved, mode="drop")
    return _replayed(row, goals, count, goal_times(goals, count, achieved, any_goal), layout)


def _occurrences(achieved: jax.Array, any_goal: jax.Array) -> jax.Array:
    """How many steps achieved what each step did, float32; 1 where it achieved nothing."""
    same = jnp.all(achieved[:, None] == achieved[None], -1) & any_goal[:, None] & any_goal[None]
    return jnp.maximum(jnp.sum(same, 1), 1).astype(jnp.float32)


def _replayed(row: Trajectories, goals: jax.Array, count: jax.Array, times: jax.Array, layout: Layout) -> Trajectories:
    """Put an instruction whose goals are done at these times into a trajectory, and what follows from it."""
    step, before = jnp.arange(row.reward.shape[0]), jnp.arange(row.obs.shape[0])
    reward = jnp.any(times == step[:, None], 1).astype(row.reward.dtype)
    end = times[jnp.maximum(count - 1, 0)]
    length = jnp.minimum(row.length, end + 1)
    terminated = jnp.where(step < end, row.terminated & (step < row.length), step == end)
    obs = row.obs.at[:, layout.goals].set(layout.shown(goals))
    obs = obs.at[:, layout.done].set((times < before[:, None]).astype(obs.dtype))
    for index in layout.previous_rewards:
        obs = obs.at[1:, index].set(reward)
    return row.replace(obs=obs, reward=reward, terminated=terminated, length=length)
