"""A lifetime of trials: what is recorded is what happened, and what is drawn is what was recorded."""

import matplotlib

matplotlib.use("Agg")

from functools import cache

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest

from s5lib import ppo
from s5lib.viz import lifetime
from s5lib.viz.pieces import BAD, GOOD

pytestmark = pytest.mark.usefixtures("book_style")


@cache
def lived(**options):
    config = ppo.PPOConfig(
        env="ProjectedCartPole",
        env_options=(("trials", 3), ("max_steps", 60), *options.items()),
        memory="none",
        features=8,
        memory_options=(("layers", 1),),
    )
    agent = ppo.make(config)
    params = jax.jit(agent.init)(jax.random.key(0)).params
    return lifetime.record_lifetime(agent, params, seed=1), agent, params


def test_a_lifetime_is_what_happened():
    life, _, _ = lived()
    steps = len(life.trial)
    assert (
        life.limit == 60
        and life.obs.shape == (steps, 4)
        and life.action.shape == (steps, 2)
        and life.physics.shape == (steps, 4)
    )
    np.testing.assert_array_equal(np.unique(life.trial), [0, 1, 2])
    np.testing.assert_allclose(life.returns, np.bincount(life.trial) / 60, rtol=1e-5)
    # What is seen are mixtures of x and theta, by one matrix in all trials.
    shown = life.physics[:, [0, 2]]
    mixed, *_ = np.linalg.lstsq(shown, life.obs, rcond=None)
    np.testing.assert_allclose(shown @ mixed, life.obs, atol=1e-5)
    # A push to the right speeds the cart up to the right, within a trial.
    faster = np.diff(life.physics[:, 1]) > 0
    within = life.trial[1:] == life.trial[:-1]
    np.testing.assert_array_equal(faster[within], (life.push[:-1] == 1)[within])
    # One direction divides the answers that pushed right from those that pushed left, in all trials.
    angles = np.linspace(0, 2 * np.pi, 3600)
    right = life.action @ np.stack([np.cos(angles), np.sin(angles)]) > 0
    assert (right == (life.push == 1)[:, None]).all(0).any()


def test_a_trial_is_drawn():
    life, _, _ = lived()
    for trial in range(3):
        fig = lifetime.draw_trial(life, trial)
        length = int((life.trial == trial).sum())
        (said,) = (text for text in fig.axes[0].texts)
        fell = length < 60
        assert said.get_text() == (f"falls at step {length}" if fell else "stands for all 60 steps")
        assert said.get_color() == (BAD if fell else GOOD)
        assert len(fig.axes[1].lines) == 4 and len(fig.axes[2].lines) == 2
        assert all(len(line.get_xdata()) == length for line in fig.axes[1].lines + fig.axes[2].lines)
        heights = [patch.get_height() for patch in fig.axes[3].patches]
        np.testing.assert_allclose(heights, life.returns)
        plt.close(fig)
    arrays = {name: getattr(life, name)[:60] for name in life._fields if name not in ("trial", "limit")}
    stood = life._replace(trial=np.zeros(60, int), **arrays)
    (said,) = lifetime.draw_trial(stood, 0).axes[0].texts
    assert said.get_text() == "stands for all 60 steps" and said.get_color() == GOOD


def test_what_cannot_be_drawn():
    life, _, _ = lived()
    with pytest.raises(ValueError, match=r"trial must lie in 0 .. 2; got 3"):
        lifetime.draw_trial(life, 3)
    with pytest.raises(ValueError, match="agent must play projected trials"):
        lived(action_size=None)


def test_watching(monkeypatch):
    _, agent, params = lived()
    monkeypatch.setattr("s5lib.viz.page.in_kernel", lambda: False)
    shown = []
    monkeypatch.setattr("s5lib.viz.page.show", lambda fig, caption, alt: shown.append((fig, caption, alt)))
    lifetime.watch_trials(agent, params, seeds=(1,), trials=(1, 2))
    assert len(shown) == 1 and "the pole stands for" in shown[0][2]
