"""The pendulums beside the originals."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import ks_2samp

from s5lib.envs import make, play
from s5lib.envs.popgym.pendulum import MAX_SPEED, Pendulum, State

from .agreement import agree, episodes, names, original, returns_agree, spaces_agree
from .physics import free_run, with_noise

CLEAN, NOISY = names("PositionOnlyPendulum"), names("NoisyPositionOnlyPendulum")

# One step from the same state, ours in float32, theirs in float64. What is seen is at most 1, but of an angle up to 3.6,
# which float32 holds to 1.2e-7. The largest error measured, relative to 1 + |number|, is 2.4e-7.
TOLERANCE = 1e-6


def put(theirs, state):
    theirs.state = np.array(state.physics, np.float64)
    return theirs._get_obs()[:2]


@pytest.mark.parametrize("name", CLEAN + NOISY)
def test_equals_the_original(name):
    spaces_agree(name)
    agree(name, with_noise(name, put) if name in NOISY else put, tolerance=TOLERANCE, every_step=True)


@pytest.mark.parametrize("name", CLEAN + NOISY)
def test_returns(name):
    returns_agree(name)


def test_rewards_to_the_last_place():
    """The comparison above allows a ten-thousandth of a reward; here it is float32's rounding."""
    env, theirs = make("PositionOnlyPendulumHard"), original("PositionOnlyPendulumHard")
    batch = episodes(env, 2)
    for seed in range(2):
        for t in range(100):
            theirs.state = batch.state.physics[seed, t].astype(np.float64)
            reward = theirs.step(batch.action[seed, t])[1]
            np.testing.assert_allclose(batch.reward[seed, t], reward, rtol=0, atol=4e-7 / 100)
    worst = State(jnp.int32(0), jnp.array([math.pi, MAX_SPEED]))
    still = State(jnp.int32(0), jnp.zeros(2))
    for state, torque, expected in ((worst, 2.0, -0.01), (still, 0.0, 0.01)):
        theirs.state = np.array(state.physics, np.float64)
        ours = env.transition(jax.random.key(0), state, jnp.array([torque]), None)[2]
        assert float(ours) == pytest.approx(expected, rel=1e-6) == theirs.step(np.array([torque]))[1]


def test_free_runs_in_double_precision():
    """Random torques: held upright by fixed torques, any rounding grows by e^0.19 a step, in the original too."""

    def compare(theirs, state):
        turns = (state.physics[0] - theirs.state[0]) / (2 * math.pi)
        np.testing.assert_allclose(turns, round(turns), atol=1e-7)
        np.testing.assert_allclose(state.physics[1], theirs.state[1], rtol=1e-6, atol=1e-6)

    assert free_run("PositionOnlyPendulumEasy", 1.0, compare) == 200
    assert free_run("PositionOnlyPendulumHard", 0.6, compare) == 100


def test_speed_is_clipped_and_the_angle_may_turn_around():
    env, theirs = make("PositionOnlyPendulumEasy"), original("PositionOnlyPendulumEasy")
    for physics, torque in (([2.0, 7.9], 2.0), ([-2.0, -7.9], -2.0), ([3.1, 5.0], 0.0), ([20.0, 1.0], 1.0)):
        state = State(jnp.int32(0), jnp.array(physics))
        theirs.state = np.array(state.physics, np.float64)
        obs, after, reward, *_ = env.transition(jax.random.key(0), state, jnp.array([torque]), None)
        shown, their_reward, *_ = theirs.step(np.array([torque]))
        np.testing.assert_allclose(obs, shown, atol=4e-6)
        assert float(reward) == pytest.approx(their_reward, abs=1e-7)
        assert float(after.physics[1]) == pytest.approx(theirs.state[1], rel=1e-6)
        assert abs(float(after.physics[0])) <= math.pi + 0.4 + 1e-6


def test_starts_are_distributed_as_the_originals():
    env, theirs = make("PositionOnlyPendulum"), original("PositionOnlyPendulum")
    _, state = jax.vmap(env.reset_env, in_axes=(0, None))(jax.random.split(jax.random.key(0), 4000), None)
    starts = []
    for _ in range(4000):
        theirs.reset()
        starts.append(theirs.state)
    for mine, other in zip(np.asarray(state.physics).T, np.array(starts).T, strict=True):
        assert ks_2samp(mine, other).pvalue > 1e-3
    assert abs(np.corrcoef(np.asarray(state.physics).T)[0, 1]) < 0.08


@pytest.mark.parametrize("when", ["reset", "step"])
def test_noise_is_distributed_as_the_originals(when):
    """Near the top, half of all cosines are clipped to 1; the share at each end has to be theirs too."""
    name, count = "NoisyPositionOnlyPendulumHard", 4000
    env, theirs = make(name), original(name)
    keys = jax.random.split(jax.random.key(1), count)
    state, torque = State(jnp.int32(0), jnp.array([0.3, -1.0])), jnp.array([1.0])
    if when == "reset":
        mine = jax.vmap(env.reset_env, in_axes=(0, None))(keys, env.default_params)[0]
    else:
        mine = jax.vmap(env.step_env, in_axes=(0, None, None, None))(keys, state, torque, env.default_params)[0]
    other = []
    for _ in range(count):
        obs = theirs.reset()[0]
        if when == "step":
            theirs.state = np.array(state.physics, np.float64)
            obs = theirs.step(np.asarray(torque))[0]
        other.append(obs)
    mine, other = np.asarray(mine), np.array(other)
    for ours, others in zip(mine.T, other.T, strict=True):
        assert ks_2samp(ours, others).pvalue > 1e-3
        shares = (ours == 1).mean(), (others == 1).mean()
        assert abs(shares[0] - shares[1]) < 4 * np.sqrt(2 * 0.25 / count)
    assert (mine[:, 0] == 1).mean() > 0.1
    assert np.abs(mine).max() == 1


def test_noise_is_new_each_time():
    episode = play(make("NoisyPositionOnlyPendulumEasy"), jax.random.key(0))
    noise = (
        episode.obs - np.stack([np.cos(episode.state.physics[:, 0]), np.sin(episode.state.physics[:, 0])], 1)
    ).ravel()
    noise = noise[np.abs(episode.obs.ravel()) < 1]
    assert len(np.unique(noise.round(5))) > 0.95 * len(noise)
    assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 0.2


def test_torques_beyond_the_limits():
    """The original clips them in silence; here they raise, and are clipped where values are traced."""
    env, theirs = make("PositionOnlyPendulum"), original("PositionOnlyPendulum")
    _, state = env.reset(jax.random.key(0))
    with pytest.raises(ValueError, match="action must lie in Box"):
        env.step(jax.random.key(1), state, jnp.array([2.5]))
    with pytest.raises(ValueError, match=r"action must have shape \(1,\); got \(\)"):
        env.step(jax.random.key(1), state, 2.0)
    theirs.state = np.array(state.physics, np.float64)
    obs, _, reward, *_ = jax.jit(env.step)(jax.random.key(1), state, jnp.array([2.5]))
    shown, their_reward, *_ = theirs.step(np.array([2.5], np.float32))
    np.testing.assert_allclose(obs, shown, atol=TOLERANCE)
    assert float(reward) == pytest.approx(their_reward, rel=1e-4)


def test_the_player_swings_up_from_rest_and_holds():
    env = Pendulum()

    def step(state, _):
        _, state, *_ = env.transition(jax.random.key(0), state, env.best_action(state), None)
        return state, state.physics

    start = State(jnp.int32(0), jnp.array([math.pi, 0.0]))
    path = np.asarray(jax.jit(lambda s: jax.lax.scan(step, s, length=200)[1])(start))
    assert (np.cos(path[-50:, 0]) > 0.999).all()
    assert np.abs(path[-50:, 1]).max() < 0.05


def test_descriptions():
    assert make("StatelessPendulumHard") == Pendulum(max_steps=100)
    assert make("popgym-NoisyPositionOnlyPendulumMedium-v0") == Pendulum(noise_sigma=0.2)
    assert Pendulum(max_steps=50).describe().best_return is None


def test_bad_options():
    with pytest.raises(ValueError, match=r"noise_sigma must not be negative; got -0\.1"):
        Pendulum(noise_sigma=-0.1)
    with pytest.raises(TypeError, match="max_steps must be an integer"):
        Pendulum(max_steps=100.0)
