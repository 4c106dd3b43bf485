"""How bandits, poles and pendulums are drawn."""

from typing import Any

import numpy as np

from s5lib.envs import Episode
from s5lib.viz.pieces import ACTION, BAD, GOOD, INK, KNOWN, PALE, SEEN, arc, arrow, label, pillars, unit
from s5lib.viz.style import Axes, plt

__all__ = ["bandit", "cartpole", "pendulum"]


def bandit(ax: Axes, env: Any, episode: Episode, t: int) -> None:
    """Each arm's chance of winning, hidden, and in front of it the share of its pulls so far that won."""
    arms, pulled = episode.state.arms[t], episode.action[:t].astype(int)
    pulls = np.bincount(pulled, minlength=len(arms))
    wins = np.bincount(pulled, weights=episode.reward[:t] > 0, minlength=len(arms))
    names = [str(arm) if len(arms) <= 10 or arm % 5 == 0 else "" for arm in range(len(arms))]
    middles = pillars(ax, arms, 2.0, 8.6, names)
    width = 10 / len(arms)
    share = wins / np.maximum(pulls, 1)
    ax.bar(middles, 6.6 * share, 0.36 * width, 2.0, color=KNOWN, ec=INK, lw=1.0)
    size = min(11.5, 0.5 * width * unit(ax))
    for middle, count in zip(middles, pulls, strict=True):
        if count and size > 6:  # smaller ones nobody can read
            label(ax, middle, 9.0, str(count), fontsize=size)
    if t > 0:
        won = episode.reward[t - 1] > 0
        ax.add_patch(plt.Rectangle((pulled[-1] * width, 1.0), width, 8.4, fill=False, ec=SEEN, lw=2.4, zorder=4))
        label(ax, 5, 9.75, f"arm {pulled[-1]} {'won' if won else 'lost'}", color=SEEN)
    arrow(ax, (middles[int(episode.action[t])], 0.05), (middles[int(episode.action[t])], 0.95), ACTION)


def cartpole(ax: Axes, env: Any, episode: Episode, t: int) -> None:
    """The cart, its pole (drawn longer than it is) and their velocities: what is shown is blue, what is hidden grey."""
    x, x_dot, theta, theta_dot = episode.state.physics[t]
    positions = env.noise_sigma == 0 and (env.shown == "positions" or t == 0)
    length, base, metre = 5.6, 2.1, 1.9
    for limit in (-2.4, 2.4):
        ax.plot([5 + metre * limit] * 2, [0.9, 3.2], color=BAD, linewidth=1.4, linestyle=":")
    ax.plot([0, 10], [1.3, 1.3], color=PALE, linewidth=1)
    for limit in np.deg2rad([-12, 12]):
        ends = np.array([5 + metre * x, base]) + np.outer([0.8 * length, 1.1 * length], turned(limit))
        ax.plot(*ends.T, color=BAD, linewidth=1.4, linestyle=":")
    draw_cart(ax, 5 + metre * x, theta, base, length, SEEN if positions else "#6E6E6E")
    if env.noise_sigma > 0:  # what is shown is not where they are
        seen_x, seen_theta = episode.obs[t]
        draw_cart(ax, np.clip(5 + metre * seen_x, -1, 11), seen_theta, base, length, SEEN, alpha=0.45)
    cart, tip = np.array([5 + metre * x, base]), np.array([5 + metre * x, base]) + length * turned(theta)
    look = {"linewidth": 1.8, "mutation_scale": 11}
    color = SEEN if env.shown == "velocities" and t > 0 else PALE
    arrow(ax, cart, (cart[0] + 1.4 * x_dot, cart[1]), color, **look)
    arrow(ax, tip, tip + 1.4 * theta_dot * np.array([np.cos(theta), -np.sin(theta)]), color, **look)
    push = 1 if episode.action[t] == 1 else -1
    side = cart[0] - 1.0 * push
    arrow(ax, (side - 1.6 * push, base - 0.1), (side, base - 0.1), ACTION)


def turned(theta: float) -> np.ndarray:
    """The direction of a rod that leans right by ``theta`` from upright."""
    return np.array([np.sin(theta), np.cos(theta)])


def draw_cart(ax: Axes, x: float, theta: float, base: float, length: float, color: str, alpha: float = 1.0) -> None:
    """A cart whose top is at height ``base``, and the pole on it."""
    look = {"facecolor": KNOWN, "edgecolor": color, "linewidth": 2.4, "alpha": alpha}
    ax.add_patch(plt.Rectangle((x - 0.9, base - 0.8), 1.8, 0.8, **look))
    tip = np.array([x, base]) + length * turned(theta)
    ax.plot([x, tip[0]], [base, tip[1]], color=color, linewidth=5, alpha=alpha, solid_capstyle="round")


def pendulum(ax: Axes, env: Any, episode: Episode, t: int) -> None:
    """The rod, upright is best; around the pivot the velocity, hidden, and the torque."""
    theta, theta_dot = episode.state.physics[t]
    pivot = np.array([5.0, 5.0])
    ax.plot([5, 5], [8.9, 9.7], color=GOOD, linewidth=1.6, linestyle=":")
    tip = pivot + 3.7 * np.array([-np.sin(theta), np.cos(theta)])  # the angle grows counterclockwise
    noisy = env.noise_sigma > 0
    ax.plot([pivot[0], tip[0]], [pivot[1], tip[1]], color="#6E6E6E" if noisy else SEEN, lw=8, solid_capstyle="round")
    if noisy:
        cos, sin = episode.obs[t]
        seen = pivot + 3.7 * np.array([-sin, cos])
        ax.plot([pivot[0], seen[0]], [pivot[1], seen[1]], color=SEEN, lw=3, alpha=0.5, solid_capstyle="round")
        ax.plot(*seen, "o", color=SEEN, markersize=9)
    ax.plot(*pivot, "o", color=INK, markersize=6, zorder=6)
    angle = float(theta) + np.pi / 2
    arc(ax, pivot, 4.4, angle, float(theta_dot) * 0.2, PALE)
    torque = float(np.ravel(episode.action[t])[0])
    arc(ax, pivot, 1.5, -np.pi / 2, torque * 0.7, ACTION)
