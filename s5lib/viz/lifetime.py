"""A lifetime of trials, drawn: what an agent sees and does behind a projection, and what becomes of the pole."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from s5lib import acting
from s5lib.envs import Wrapper, inner
from s5lib.envs.projection import ProjectedState, Projection
from s5lib.envs.trials import TrialState
from s5lib.envs.wrappers import trials_of
from s5lib.memory import Params
from s5lib.viz import motion
from s5lib.viz.games import played
from s5lib.viz.page import explore
from s5lib.viz.pieces import ACTION, BAD, GOOD, PALE, SEEN
from s5lib.viz.style import Axes, Figure, plt

__all__ = ["Lifetime", "draw_trial", "record_lifetime", "watch_trials"]

POSES = 9  # of the pole, in a trial's strip


class Lifetime(NamedTuple):
    """One meta-episode on a projected cart pole, step by step.

    Attributes:
        obs: (T, O), what the agent saw, without what wrappers append.
        action: (T, A), what it did.
        push: (T,), what the cart got: 0 left, 1 right.
        physics: (T, 4), x, x_dot, theta, theta_dot.
        trial: (T,), which trial the step belongs to, from 0.
        reward: (T,).
        limit: how many steps a trial may last.
    """

    obs: np.ndarray
    action: np.ndarray
    push: np.ndarray
    physics: np.ndarray
    trial: np.ndarray
    reward: np.ndarray
    limit: int

    @property
    def returns(self) -> np.ndarray:
        """What each trial earned."""
        return np.bincount(self.trial, self.reward)


def record_lifetime(agent: acting.Playable, params: Params, seed: int = 0) -> Lifetime:
    """Let a trained agent live through one meta-episode of ``ProjectedCartPole``, with actions drawn from its policy.

    Args:
        agent: what ``s5lib.ppo.make`` returned.
        params: its weights.
        seed: which projection, and which starts.
    Returns:
        A Lifetime.
    Raises:
        ValueError: its environment projects no actions, or has no trials.
    """
    env, projects = agent.eval_env, False
    while isinstance(env, Wrapper):
        projects |= isinstance(env, Projection) and None not in (env.obs_size, env.action_size)
        env = env.env
    if not projects or not trials_of(agent.eval_env):
        raise ValueError(f"agent must play projected trials, with obs_size and action_size; got {agent.eval_env}")
    episode = jax.tree.map(np.asarray, played(agent, params, seed))
    hidden, trials = inner(episode.state, ProjectedState), inner(episode.state, TrialState)
    push = np.einsum("tij,tj->ti", hidden.action_matrix, episode.action).argmax(-1)
    obs = episode.obs[:, : hidden.obs_matrix.shape[1]]
    return Lifetime(obs, episode.action, push, trials.env_state.physics, trials.trial, episode.reward, env.max_steps)


def draw_trial(life: Lifetime, trial: int) -> Figure:
    """Draw one trial: the pole at moments, what the agent saw, what it answered, and the returns of all trials.

    Args:
        life: a Lifetime.
        trial: which, from 0.
    Returns:
        A Figure.
    Raises:
        ValueError: ``trial`` is none of the lifetime's.
    """
    steps = np.flatnonzero(life.trial == trial)
    if not len(steps):
        raise ValueError(f"trial must lie in 0 .. {life.trial.max()}; got {trial}")
    fig, axes = plt.subplots(
        4, 1, figsize=(6.4, 5.8), layout="constrained", gridspec_kw={"height_ratios": [1.5, 1.4, 1.0, 1.0]}
    )
    for ax in axes[:3]:
        ax.set(xlim=(-life.limit / 40, life.limit * 1.03))
    _strip(axes[0], life.physics[steps], life.limit)
    _seen(axes[1], life.obs[steps])
    _done(axes[2], life.action[steps], life.push[steps])
    _trials(axes[3], life.returns, trial)
    return fig


def _strip(ax: Axes, physics: np.ndarray, limit: int) -> None:
    """The cart and its pole, over time; red where it fell."""
    last = len(physics) - 1
    fell = last + 1 < limit
    places = np.linspace(0, last, max(2, round(POSES * len(physics) / limit)) if last else 1).round().astype(int)
    shape = (limit * 1.03 + limit / 40) / 3.4  # units of time to a unit of height, so that angles look right
    ax.plot([0, limit], [0.35, 0.35], color=PALE, linewidth=1)
    for t in places:
        color = BAD if fell and t == last else SEEN
        lean = 3.0 * physics[t, 2]  # drawn three times as large: a pole is out at twelve degrees
        tip = np.array([t, 0.6]) + 0.9 * motion.turned(lean) * [shape / 2, 1]
        ax.add_patch(plt.Rectangle((t - limit / 60, 0.35), limit / 30, 0.25, facecolor="white", edgecolor=color, lw=2))
        ax.plot([t, tip[0]], [0.6, tip[1]], color=color, linewidth=4, solid_capstyle="round")
    said = f"falls at step {last + 1}" if fell else f"stands for all {limit} steps"
    ax.text(limit * 1.03, 1.72, said, ha="right", va="center", color=BAD if fell else GOOD, fontsize=12)
    ax.set(ylim=(0.2, 1.9))
    ax.axis("off")


def _seen(ax: Axes, obs: np.ndarray) -> None:
    for number, line in enumerate(obs.T):
        ax.plot(line, color=plt.get_cmap("Blues")(0.45 + 0.5 * number / obs.shape[1]), linewidth=1.7)
    ax.set(ylabel="sees", xticklabels=[])
    ax.margins(y=0.15)


def _done(ax: Axes, action: np.ndarray, push: np.ndarray) -> None:
    """The agent's numbers, and under them what became of them: pushes to the right dark, to the left pale."""
    bottom = 1.25 * np.abs(action).max()
    for number, line in enumerate(action.T):
        ax.plot(line, color=ACTION, linewidth=1.3, linestyle=("-", (0, (4, 2)))[number % 2])
    shown = np.where(push[None] == 1, 0.9, 0.25)
    extent = (-0.5, len(push) - 0.5, -1.45 * bottom, -1.05 * bottom)
    ax.imshow(shown, cmap="Oranges", vmin=0, vmax=1, aspect="auto", extent=extent, interpolation="nearest")
    ax.set(ylim=(-1.5 * bottom, bottom), ylabel="answers", xlabel="step of the trial")


def _trials(ax: Axes, returns: np.ndarray, trial: int) -> None:
    """What each trial earned, this one in colour."""
    colors = [SEEN if k == trial else "#C9C9C9" for k in range(len(returns))]
    ax.bar(np.arange(1, len(returns) + 1), returns, color=colors, width=0.8)
    ax.set(ylim=(0, 1.05), xlim=(0.3, len(returns) + 0.7), ylabel="return", xlabel="trial")


def watch_trials(
    agent: acting.Playable,
    params: Params,
    seeds: Sequence[int] = (0, 1, 2, 3),
    trials: Sequence[int] = (1, 2, 3, 5, 9, 16),
) -> None:
    """Display one agent behind several projections, with sliders over the projection and the trial; no weight changes.

    Args:
        agent: what ``s5lib.ppo.make`` returned, on ``ProjectedCartPole``.
        params: its weights.
        seeds: one for each projection.
        trials: which to show, from 1.
    Raises:
        ValueError: as in ``record_lifetime`` and ``draw_trial``.
    """
    lives = {number: record_lifetime(agent, params, seed) for number, seed in enumerate(seeds, 1)}

    def alt(projection: int, trial: int) -> str:
        steps = int((lives[projection].trial == trial - 1).sum())
        return f"Projection {projection}, trial {trial}: the pole stands for {steps} steps."

    explore(
        lambda projection, trial: draw_trial(lives[projection], trial - 1),
        caption="One network, the same weights in every picture; the memory is all that changes. From the top: the pole (its "
        "lean drawn three times as large; red where it falls), the numbers that the network sees, the two numbers it answers "
        "with, drawn from its policy, and beneath them what the cart gets (dark: a push to the right); the returns of all trials.",
        alt=alt,
        projection=list(lives),
        trial=list(trials),
    )
