"""Worlds drawn from what they observe: poses agree with MuJoCo's own geometry, episodes with what happened."""

import matplotlib

matplotlib.use("Agg")

from functools import cache

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

from s5lib import ppo
from s5lib.envs import make
from s5lib.viz import worlds

pytest.importorskip("mujoco_playground")
pytestmark = pytest.mark.usefixtures("book_style")

# world -> where the middle of the drawing is in the package's space, which of its axes are shown, and what is drawn last in blue
ENDS = {
    "PointMass": ((0, 0), (0, 1), "pointmass"),
    "ReacherEasy": ((0, 0), (0, 1), "finger"),
    "FingerSpin": ((0, 0.4), (0, 2), "fingertip"),
}


@cache
def moved(name):
    """What a world observes after some steps, and where all its parts are then, by MuJoCo itself."""
    mujoco = pytest.importorskip("mujoco")
    env = make(name)
    _, state = env.reset_env(jax.random.key(3), env.default_params)
    step = jax.jit(env.step_env)
    for _ in range(9):
        obs, state, *_ = step(jax.random.key(0), state, jnp.full(env.num_actions, 0.1), env.default_params)
    model = env.source.mj_model
    data = mujoco.MjData(model)
    kept = np.asarray(state.physics)  # time, positions, velocities ...
    data.qpos[:] = kept[1 : 1 + model.nq]
    mujoco.mj_forward(model, data)
    return np.asarray(obs), data


@pytest.mark.slow
@pytest.mark.parametrize("name", list(ENDS))
def test_a_pose_is_where_the_package_says(name):
    obs, data = moved(name)
    origin, axes, body = ENDS[name]
    fig, ax = plt.subplots()
    worlds.draw_pose(ax, name, obs, size=worlds.POSES[name][1])  # so that a unit is a metre
    end = data.geom(body).xpos[list(axes)] - origin
    rods = [line for line in ax.lines if len(line.get_xdata()) == 3]
    drawn = rods[0].get_xydata()[-1] if rods else ax.patches[-1].center
    np.testing.assert_allclose(drawn, end, atol=0.016 if name == "FingerSpin" else 2e-3)
    plt.close(fig)


@cache
def visited(forget=()):
    options = (("worlds", ("PointMass", "CartpoleSwingup")), ("max_steps", 40))
    config = ppo.PPOConfig(
        env="ProjectedWorlds", env_options=options, memory="gru", features=8, encoder=(8,), head=(8,), num_envs=4,
        num_minibatches=2, eval_episodes=4,
    )  # fmt: skip
    agent = ppo.make(config)
    params = jax.jit(agent.init)(jax.random.key(0)).params
    return worlds.visit_worlds(agent, params, 1, 2, forget), agent, params


@pytest.mark.slow
def test_a_visit_is_what_happened():
    visits, _, _ = visited()
    assert {name: len(episodes) for name, episodes in visits.items()} == {"PointMass": 2, "CartpoleSwingup": 2}
    for name, size in (("PointMass", 4), ("CartpoleSwingup", 5)):
        for visit in visits[name]:
            assert visit.world == name and visit.obs.shape == (40, size) and visit.seen.shape == (40, 12)
            assert visit.action.shape == (40, 2) and visit.reward.shape == (40,)
            # What is seen are mixtures of what the world observes, and a constant, the same in the whole episode ...
            known = np.c_[visit.obs, np.ones(40)]
            mixed, *_ = np.linalg.lstsq(known, visit.seen, rcond=None)
            np.testing.assert_allclose(known @ mixed, visit.seen, atol=2e-3)
        # ... and by another one in the next.
        assert np.abs(visits[name][0].seen[0] - visits[name][1].seen[0]).max() > 0.01


@pytest.mark.slow
def test_a_memory_that_is_emptied_acts_otherwise_from_then_on():
    kept, wiped, often = visited()[0], visited((20,))[0], visited(range(20, 40, 5))[0]
    for name, episodes in kept.items():
        for one, once, again in zip(episodes, wiped[name], often[name], strict=True):
            np.testing.assert_array_equal(one.action[:20], once.action[:20])
            assert np.abs(one.action[20] - once.action[20]).max() > 1e-5
            np.testing.assert_array_equal(once.action[:25], again.action[:25])
            assert np.abs(once.action[25] - again.action[25]).max() > 1e-5


@pytest.mark.slow
def test_a_visit_is_drawn():
    visit = visited()[0]["PointMass"][0]
    fig = worlds.draw_visit(visit, frames=5)
    strip, seen, action, _ = fig.axes
    assert [text.get_text() for text in strip.texts] == ["1", "10", "20", "30", "39"]
    assert len(seen.lines) == 12 and len(action.lines) == 2
    middles = [patch.center for patch in strip.patches if patch.get_facecolor() != strip.patches[0].get_facecolor()]
    for i, t in enumerate((1, 10, 20, 30, 39)):
        there = (np.array(middles[i]) - (2 * i + 1, 1)) / 0.95 * worlds.POSES["PointMass"][1]
        np.testing.assert_allclose(there, visit.obs[t, :2], atol=1e-6)
    plt.close(fig)


@pytest.mark.slow
def test_watching_and_what_cannot_be_watched(monkeypatch):
    found, agent, params = visited()
    monkeypatch.setattr("s5lib.viz.page.in_kernel", lambda: False)
    shown = []
    monkeypatch.setattr("s5lib.viz.page.show", lambda fig, caption, alt: shown.append((fig, caption, alt)))
    worlds.watch_worlds({"gru": found}, ["CartpoleSwingup"], count=1)
    assert len(shown) == 1 and "GRU in CartpoleSwingup, projection 1: return" in shown[0][2]
    with pytest.raises(ValueError, match="count must be at most 2, the episodes that were played; got 3"):
        worlds.watch_worlds({"gru": found})
    with pytest.raises(ValueError, match="worlds must be one of 'PointMass', 'CartpoleSwingup'; got 'ReacherEasy'"):
        worlds.watch_worlds({"gru": found}, ["ReacherEasy"])
    with pytest.raises(TypeError, match=r"forget must hold steps, such as \(500,\) or range\(0, 1000, 8\); got 500"):
        worlds.visit_worlds(agent, params, forget=500)


def test_other_worlds_and_agents():
    with pytest.raises(ValueError, match="world must be one of 'CartpoleSwingup'"):
        worlds.draw_pose(None, "WalkerRun", np.zeros(24))
    with pytest.raises(ValueError, match="agent must play many worlds"):
        worlds.visit_worlds(ppo.make(ppo.PPOConfig(features=8)), None)
