"""The cart poles beside the originals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import ks_2samp

from s5lib.envs import make, play
from s5lib.envs.popgym.cartpole import THETA_LIMIT, X_LIMIT, CartPole, State

from .agreement import agree, episodes, names, original, returns, returns_agree, spaces_agree
from .physics import free_run, with_noise

CLEAN = names("PositionOnlyCartPole") + names("VelocityOnlyCartPole")
NOISY = names("NoisyPositionOnlyCartPole")

# One step from the same state, ours in float32, theirs in float64: a dozen roundings of 6e-8 each, most of them made small
# by the 0.02 s of a step. The largest error measured, relative to 1 + |number|, is 9e-8.
TOLERANCE = 5e-7


def put(theirs, state):
    """Set the four numbers; the first observation of either kind holds the positions."""
    theirs.state = np.array(state.physics, np.float64)
    theirs.steps_beyond_terminated = None
    shown = "velocities" if "Velocity" in type(theirs).__name__ and state.time else "positions"
    return np.array(state.physics[1::2] if shown == "velocities" else state.physics[::2])


@pytest.mark.parametrize("name", CLEAN + NOISY)
def test_equals_the_original(name):
    spaces_agree(name)
    env, theirs = make(name), original(name)
    np.testing.assert_array_equal(env.observation_space(None).low, theirs.observation_space.low)
    np.testing.assert_array_equal(env.observation_space(None).high, theirs.observation_space.high)
    agree(name, with_noise(name, put) if name in NOISY else put, tolerance=TOLERANCE, every_step=True)
    batch = episodes(env)
    assert batch.terminated[batch.active].any() and batch.truncated[batch.active].any()


@pytest.mark.parametrize("name", CLEAN + NOISY)
def test_returns(name):
    returns_agree(name)


@pytest.mark.parametrize("family", ["PositionOnlyCartPole", "VelocityOnlyCartPole"])
def test_free_runs_in_double_precision(family):
    def compare(theirs, state):
        np.testing.assert_allclose(state.physics, theirs.state, rtol=1e-6, atol=1e-9)

    assert free_run(f"{family}Easy", 0.0, compare) == 200
    assert 10 < free_run(f"{family}Hard", 0.7, compare) < 600


def test_starts_are_distributed_as_the_originals():
    env, theirs = make("PositionOnlyCartPole"), original("PositionOnlyCartPole")
    _, state = jax.vmap(env.reset_env, in_axes=(0, None))(jax.random.split(jax.random.key(0), 4000), None)
    starts = []
    for _ in range(4000):
        theirs.reset()
        starts.append(theirs.state)
    for mine, other in zip(np.asarray(state.physics).T, np.array(starts).T, strict=True):
        assert ks_2samp(mine, other).pvalue > 1e-3
    assert np.abs(np.corrcoef(np.asarray(state.physics).T) - np.eye(4)).max() < 0.08


@pytest.mark.parametrize("when", ["reset", "step"])
def test_noise_is_distributed_as_the_originals(when):
    """From one hidden state: the angle's noise is often clipped, so its ends have to be as likely as theirs."""
    name, count = "NoisyPositionOnlyCartPoleHard", 4000
    env, theirs = make(name), original(name)
    keys = jax.random.split(jax.random.key(1), count)
    state = State(jnp.int32(0), jnp.array([2.0, 0.0, 0.1, 0.0]))
    if when == "reset":
        mine = jax.vmap(env.reset_env, in_axes=(0, None))(keys, env.default_params)[0]
    else:
        mine = jax.vmap(env.step_env, in_axes=(0, None, None, None))(keys, state, jnp.int32(1), env.default_params)[0]
    other = []
    for _ in range(count):
        obs = theirs.reset()[0]
        if when == "step":
            theirs.state = np.array(state.physics, np.float64)
            obs = theirs.step(1)[0]
        other.append(obs)
    mine, other = np.asarray(mine), np.array(other)
    for ours, others in zip(mine.T, other.T, strict=True):
        assert ks_2samp(ours, others).pvalue > 1e-3
    high = np.float32(2 * THETA_LIMIT)
    for end in (-high, high):
        shares = (mine[:, 1] == end).mean(), (other[:, 1] == end).mean()
        assert min(shares) > 0.02 and abs(shares[0] - shares[1]) < 4 * np.sqrt(2 * 0.2 * 0.8 / count)
    assert abs(np.corrcoef(mine.T)[0, 1]) < 0.08


def test_noise_is_new_each_time():
    episode = play(make("NoisyPositionOnlyCartPoleEasy"), jax.random.key(0), "best")
    noise = (episode.obs - episode.state.physics[:, ::2])[:, 0]
    assert len(np.unique(noise.round(5))) > 190
    assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 0.25
    assert 0.08 < noise.std() < 0.12


def test_only_noisy_observations_are_clipped():
    """A cart that starts at 6 m, outside the space: the plain original shows it, the noisy one clips it."""
    state = State(jnp.int32(1), jnp.array([6.0, 0.0, 1.0, 0.0]))
    for name, expected in (
        ("PositionOnlyCartPoleEasy", [6, 1]),
        ("NoisyPositionOnlyCartPoleEasy", [4.8, 2 * THETA_LIMIT]),
    ):
        env, theirs = make(name), original(name)
        theirs.state = np.array(state.physics, np.float64)
        for obs in (env.step_env(jax.random.key(0), state, 0, env.default_params)[0], theirs.step(0)[0]):
            np.testing.assert_allclose(obs, expected, rtol=1e-6)


@pytest.mark.parametrize("name", CLEAN[::3] + NOISY[:1])
def test_a_fall_pays_and_on_the_last_step_sets_both_flags(name):
    env, theirs = make(name), original(name)
    for where, time in (([2.399, 1.0, 0.0, 0.0], 0), ([0.0, 0.0, -0.209, -1.0], env.max_steps - 1)):
        state = State(jnp.int32(time), jnp.array(where))
        theirs.reset(seed=0)
        theirs.state, theirs.num_steps = np.array(where), time
        _, after, reward, terminated, _ = env.step_env(jax.random.key(0), state, 1, env.default_params)
        ours = (bool(terminated), bool(env.is_truncated(after, env.default_params)))
        _, their_reward, *ends, _ = theirs.step(1)
        assert ours == tuple(ends) == (True, time > 0)
        assert float(reward) == np.float32(their_reward) == np.float32(1 / env.max_steps)


def test_velocities_start_with_positions():
    env = CartPole("velocities")
    obs, state = env.reset(jax.random.key(0))
    np.testing.assert_array_equal(obs, state.physics[::2])
    obs, state, *_ = env.step(jax.random.key(1), state, 1)
    np.testing.assert_array_equal(obs, state.physics[1::2])


def test_feedback_never_falls():
    env = CartPole(max_steps=600)
    assert returns(env, "best", 2000).min() > 1 - 1e-4
    corners = 0.05 * np.array(np.meshgrid(*[[-1, 1]] * 4)).reshape(4, -1).T.astype(np.float32)

    def step(state, _):
        _, state, _, fell, _ = env.transition(jax.random.key(0), state, env.best_action(state), None)
        return state, fell

    run = jax.vmap(lambda physics: jax.lax.scan(step, State(jnp.int32(0), physics), length=600)[1])
    assert not jax.jit(run)(corners).any()


def test_descriptions():
    assert make("StatelessCartPoleHard") == CartPole(max_steps=600)
    assert make("popgym-NoisyPositionOnlyCartPoleMedium-v0") == CartPole(noise_sigma=0.2)
    assert CartPole(max_steps=100).describe().random_return is None
    assert make("VelocityOnlyCartPole").describe().observation[1] == (
        "1",
        "theta_dot, rad/s; the first of an episode is theta",
    )
    assert original("PositionOnlyCartPole").x_threshold == X_LIMIT
    assert original("PositionOnlyCartPole").theta_threshold_radians == THETA_LIMIT


def test_bad_options():
    with pytest.raises(ValueError, match="shown must be one of 'positions', 'velocities'; got 'velocity'"):
        CartPole("velocity")
    with pytest.raises(ValueError, match=r"noise_sigma must not be negative; got -0\.1"):
        CartPole(noise_sigma=-0.1)
    with pytest.raises(ValueError, match="noise_sigma must be finite"):
        CartPole(noise_sigma=float("nan"))
    with pytest.raises(TypeError, match="noise_sigma must be real"):
        CartPole(noise_sigma="0.1")
    with pytest.raises(ValueError, match=r"noise_sigma must have shape \(\); got \(2,\)"):
        CartPole(noise_sigma=np.ones(2))
    with pytest.raises(ValueError, match="max_steps must be a positive integer; got 0"):
        CartPole(max_steps=0)
