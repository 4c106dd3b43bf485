"""Worlds of rigid bodies, drawn from what they observe: poses, what an agent sees of them, and what it earns."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from s5lib import acting
from s5lib.config import check_choice, check_positive_int, random_key
from s5lib.envs import EpisodeStatistics, PreviousAction, inner
from s5lib.envs.base import AnyEnv
from s5lib.envs.physics import PhysicsState
from s5lib.envs.worlds import ManyWorlds
from s5lib.memory import Params
from s5lib.viz import motion
from s5lib.viz.page import explore
from s5lib.viz.pieces import ACTION, GOOD, INK, PALE, SEEN
from s5lib.viz.style import METHODS, Axes, Figure, plt

__all__ = ["POSES", "Visit", "draw_pose", "draw_visit", "visit_worlds", "watch_worlds"]

FRAMES = 8  # poses in a strip
ROD = {"linewidth": 3.5, "solid_capstyle": "round"}


class Visit(NamedTuple):
    """One episode in one world, step by step.

    Attributes:
        world: its name.
        obs: (T, n), what the world observes, before any projection.
        seen: (T, O), what the agent saw of it, without what wrappers append.
        action: (T, A), what the agent did.
        reward: (T,).
    """

    world: str
    obs: np.ndarray
    seen: np.ndarray
    action: np.ndarray
    reward: np.ndarray


def visit_worlds(
    agent: acting.Playable, params: Params, seed: int = 0, episodes: int = 1, forget: Collection[int] = ()
) -> dict[str, list[Visit]]:
    """Let a trained agent play episodes in every world of its ``eval_env``, with actions drawn from its policy.

    Args:
        agent: what ``s5lib.ppo.make`` returned, on ``ProjectedWorlds`` or other ``ManyWorlds`` of rigid bodies.
        params: its weights.
        seed: which starts and projections.
        episodes: how many in each world.
        forget: steps before which the memory is emptied in all episodes: ``(500,)`` is once, ``range(0, 1000, 8)`` every
            eighth step.
    Returns:
        Name of a world -> its episodes.
    Raises:
        ValueError, TypeError: the agent's environment is none of many worlds, or a number out of range.
    """
    env = agent.eval_env
    if not isinstance(env, ManyWorlds):
        raise ValueError(f"agent must play many worlds; got {env}")
    count = check_positive_int("episodes", episodes) * len(env.names)
    key = random_key(seed)
    found = acting.episodes(agent.network, params, env, key, count, forget=forget, keep=_seen, apart=True)
    rewards, lengths = np.asarray(found.rewards), np.asarray(found.lengths, int)
    observed, seen, acted = jax.tree.map(np.asarray, found.kept)
    width = _width(env.worlds[0])
    visits: dict[str, list[Visit]] = {name: [] for name in env.names}
    for i, name in enumerate(np.repeat(env.names, episodes)):
        steps = slice(lengths[i])
        mine = observed[i // episodes][steps, i % episodes]
        visits[name].append(Visit(name, mine, seen[steps, i, :width], acted[steps, i], rewards[steps, i]))
    return visits


def _seen(now: acting.Moment) -> tuple:
    """What each world observes, what the agent is shown of it, and what it does."""
    return [inner(part, PhysicsState).obs for part in now.state], now.obs, now.action


def _width(world: AnyEnv) -> int:
    """How many numbers are seen of a world, without those that wrappers append."""
    while isinstance(world, PreviousAction | EpisodeStatistics):
        world = world.env
    return world.observation_space(world.default_params).shape[0]


# ----------------------------------------------------------------------------------------------- poses
# Each draws one moment from what the world observes, with ``at`` to take its metres to the drawing's units.


def _line(ax: Axes, at: Callable, *points: Any, **look: Any) -> None:
    ax.plot(*np.array([at(point) for point in points]).T, **look)


def _disc(ax: Axes, at: Callable, middle: Any, radius: float, **look: Any) -> None:
    ax.add_patch(plt.Circle(at(middle), at((radius, 0))[0] - at((0, 0))[0], **look))


def _walls(ax: Axes, at: Callable, side: float) -> None:
    corners = side * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)])
    _line(ax, at, *corners, color=PALE, linewidth=1)


def _cart(ax: Axes, at: Callable, x: float, tips: Sequence[np.ndarray], reach: float) -> None:
    """A cart on its rail, and the joints and ends of its poles."""
    _line(ax, at, (-reach, 0), (reach, 0), color=PALE, linewidth=1)
    low, high = at((x - 0.25, -0.15)), at((x + 0.25, 0.15))
    ax.add_patch(plt.Rectangle(low, *(high - low), facecolor="white", edgecolor=SEEN, linewidth=1.8, zorder=3))
    _line(ax, at, (x, 0), *tips, color=SEEN, zorder=4, **ROD)


def _cartpole(ax: Axes, at: Callable, obs: np.ndarray) -> None:
    x, cos, sin = obs[:3]
    _cart(ax, at, x, [np.array([x + sin, cos])], 1.9)


def _double_pendulum(ax: Axes, at: Callable, obs: np.ndarray) -> None:
    x, (first, second) = obs[0], np.arctan2(obs[1:3], obs[3:5])
    knee = np.array([x, 0]) + 0.6 * motion.turned(first)
    _cart(ax, at, x, [knee, knee + 0.6 * motion.turned(first + second)], 1.2)


def _pendulum(ax: Axes, at: Callable, obs: np.ndarray) -> None:
    _line(ax, at, (0, 0), obs[[1, 0]], color=SEEN, **ROD)
    _disc(ax, at, (0, 0), 0.05, color=INK)


def _point_mass(ax: Axes, at: Callable, obs: np.ndarray) -> None:
    _walls(ax, at, 0.3)
    _disc(ax, at, (0, 0), 0.03, color=GOOD, alpha=0.6)
    _disc(ax, at, obs[:2], 0.02, color=SEEN)


def _arm(
    ax: Axes, at: Callable, angles: np.ndarray, lengths: Sequence[float], root: Sequence[float] = (0, 0)
) -> np.ndarray:
    """Links one behind the other, each angle counted from the link before; returns where they end."""
    points = [np.asarray(root, float)]
    for angle, length in zip(np.cumsum(angles), lengths, strict=True):
        points.append(points[-1] + length * np.array([np.cos(angle), np.sin(angle)]))
    _line(ax, at, *points, color=SEEN, zorder=3, **ROD)
    return points[-1]


def _reacher(ax: Axes, at: Callable, obs: np.ndarray, radius: float) -> None:
    _walls(ax, at, 0.3)
    finger = _arm(ax, at, obs[:2], (0.12, 0.12))
    _disc(ax, at, finger + obs[2:4], radius, color=GOOD, alpha=0.6)


def _brax_reacher(ax: Axes, at: Callable, obs: np.ndarray) -> None:
    _walls(ax, at, 0.25)
    _arm(ax, at, np.arctan2(obs[2:4], obs[:2]), (0.1, 0.11))
    _disc(ax, at, obs[4:6], 0.012, color=GOOD, alpha=0.6)


def _finger(ax: Axes, at: Callable, obs: np.ndarray, radius: float | None) -> None:
    _arm(ax, at, obs[:2], (0.18, 0.16), root=(-0.2, 0))
    hinge, tip = np.array([0.2, 0]), obs[2:4]
    _line(ax, at, hinge - tip, hinge + tip, color="#C9C9C9", linewidth=6, solid_capstyle="round")
    _disc(ax, at, hinge + tip, 0.02, color=INK)
    if radius is not None:
        _disc(ax, at, hinge + obs[9:11], radius, color=GOOD, alpha=0.6)


def _ball_in_cup(ax: Axes, at: Callable, obs: np.ndarray) -> None:
    cup, ball = obs[:2] + np.array([0, 0.3]), obs[2:4] - np.array([0, 0.1])
    _line(ax, at, cup - np.array([0, 0.108]), ball, color=PALE, linewidth=1)
    rim = np.array([(-0.05, 0), (-0.05, -0.075), (-0.025, -0.1), (0.025, -0.1), (0.05, -0.075), (0.05, 0)])
    _line(ax, at, *(cup + rim), color=SEEN, linewidth=2.5)
    _disc(ax, at, ball, 0.03, color=GOOD)


# name of a world -> how it is drawn, and how many metres reach from the middle of a picture to its edge
POSES: dict[str, tuple[Callable[[Axes, Callable, np.ndarray], None], float]] = {
    "CartpoleSwingup": (_cartpole, 2.1),
    "CartpoleBalance": (_cartpole, 2.1),
    "PointMass": (_point_mass, 0.33),
    "ReacherEasy": (partial(_reacher, radius=0.05), 0.33),
    "ReacherHard": (partial(_reacher, radius=0.015), 0.33),
    "FingerSpin": (partial(_finger, radius=None), 0.5),
    "FingerTurnEasy": (partial(_finger, radius=0.07), 0.5),
    "FingerTurnHard": (partial(_finger, radius=0.03), 0.5),
    "BallInCup": (_ball_in_cup, 0.55),
    "PendulumSwingup": (_pendulum, 1.2),
    "brax/inverted_double_pendulum": (_double_pendulum, 1.5),
    "brax/reacher": (_brax_reacher, 0.28),
}


def draw_pose(ax: Axes, world: str, obs: np.ndarray, middle: Sequence[float] = (0, 0), size: float = 1.0) -> None:
    """Draw one moment of a world.

    Args:
        ax: a matplotlib Axes of equal aspect.
        world: one of ``POSES``.
        obs: (n,), what the world observes.
        middle: of the picture, in the units of ``ax``.
        size: from the middle to the edge.
    Raises:
        ValueError: a world that nobody knows how to draw.
    """
    pose, reach = POSES[check_choice("world", world, tuple(POSES))]
    pose(ax, lambda point: np.asarray(middle) + size / reach * np.asarray(point, float), np.asarray(obs))


def draw_visit(visit: Visit, frames: int = FRAMES) -> Figure:
    """Draw one episode: the world at some moments, what the agent saw, what it did, and the reward of each step.

    Args:
        visit: a Visit.
        frames: how many moments.
    Returns:
        A Figure.
    """
    check_positive_int("frames", frames)
    steps = len(visit.reward)
    fig, axes = plt.subplots(4, 1, figsize=(6.4, 5.4), layout="constrained", height_ratios=(1.1, 1.3, 0.9, 0.9))
    strip, sees, answers, paid = axes
    # A package's first observation may be older than its reset: a target where the last one was.
    for i, t in enumerate(np.linspace(min(1, steps - 1), steps - 1, frames).round().astype(int)):
        draw_pose(strip, visit.world, visit.obs[t], (2 * i + 1, 1), 0.95)
        strip.text(2 * i + 1, -0.1, str(t), ha="center", va="top", fontsize=9, color=INK)
    strip.set(xlim=(0, 2 * frames), ylim=(-0.4, 2), aspect="equal")
    strip.axis("off")
    for ax, row, colour in ((sees, visit.seen, SEEN), (answers, visit.action, ACTION)):
        for number, line in enumerate(row.T):
            ax.plot(line, color=colour, alpha=0.35 + 0.65 * number / row.shape[1], linewidth=0.9)
    sees.set(ylabel="sees", xticklabels=[], xlim=(0, steps))
    answers.set(ylabel="answers", xticklabels=[], xlim=(0, steps))
    paid.fill_between(np.arange(steps), visit.reward, color=GOOD, alpha=0.5, linewidth=0)
    low, high = min(0, visit.reward.min()), max(1, visit.reward.max()) * 1.05
    paid.set(ylabel="reward", xlabel="step", xlim=(0, steps), ylim=(low, high))
    return fig


def watch_worlds(
    visits: Mapping[str, Mapping[str, Sequence[Visit]]], worlds: Sequence[str] | None = None, count: int = 3
) -> None:
    """Display episodes of trained agents with sliders over the agent, the world and the projection.

    Args:
        visits: the memory, a key of ``s5lib.viz.METHODS`` -> what ``visit_worlds`` returned. With one seed for all agents,
            all play the same worlds behind the same projections.
        worlds: which to show; all if None.
        count: how many episodes of each world.
    Raises:
        ValueError, TypeError: as in ``draw_pose``, an unknown memory or world, or more episodes than there are.
    """
    labels = {METHODS[check_choice("a key of visits", memory, list(METHODS))]["label"]: memory for memory in visits}
    there = next(iter(visits.values()))
    names = [check_choice("worlds", world, list(there)) for world in worlds or there]
    episodes = min(len(found[world]) for found in visits.values() for world in names)
    if check_positive_int("count", count) > episodes:
        raise ValueError(f"count must be at most {episodes}, the episodes that were played; got {count}")

    def chosen(agent: str, world: str, projection: int) -> Visit:
        return visits[labels[agent]][world][projection - 1]

    explore(
        lambda **values: draw_visit(chosen(**values)),
        caption=f"From the top: the world at {FRAMES} moments, with their steps; the numbers that the agent sees; the numbers it "
        "answers with; the reward of each step. The weights are the same in every picture.",
        alt=lambda agent, world, projection: (
            f"{agent} in {world}, projection {projection}: return {chosen(agent, world, projection).reward.sum():.0f}."
        ),
        agent=list(labels),
        world=names,
        projection=list(range(1, count + 1)),
    )
