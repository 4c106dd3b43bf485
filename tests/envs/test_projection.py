"""Random projections: their statistics, when they are drawn and kept, that the task behind them can still be solved."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s5lib import ppo
from s5lib.envs import (
    PreviousAction,
    ProjectedCartPole,
    Projection,
    Trials,
    describe,
    env_names,
    make,
    play,
    spaces,
    vectorize,
)
from s5lib.envs.popgym.cartpole import FEEDBACK, TAU, CartPole
from s5lib.envs.projection import DISTRIBUTIONS, random_matrix
from s5lib.envs.spaces import MultiDiscrete, Reals

from .agreement import at, returns, returns_agree
from .test_base import KEY, Probe

DRAWS = 4000


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _draw(rows, columns, distribution, gain):
    keys = jax.random.split(KEY, DRAWS)
    return jax.vmap(lambda key: random_matrix(key, rows, columns, distribution, gain))(keys)


def draws(rows, columns, distribution="orthogonal", gain=1.0) -> np.ndarray:
    return np.asarray(_draw(rows, columns, distribution, gain), np.float64)


class Echo(Probe):
    """Shows the action that it was given."""

    def observation_space(self, params):
        return spaces.Box(-9.0, 9.0, self.action_space(params).shape or (1,))

    def reset_env(self, key, params):
        state = super().reset_env(key, params)[1]
        return jnp.zeros(self.observation_space(params).shape), state

    def transition(self, key, state, action, params):
        shown = jnp.float32(action).reshape(self.observation_space(params).shape)
        state = state.replace(time=state.time + 1)
        return shown, state, jnp.float32(0), jnp.bool_(False), {}


@partial(jax.jit, static_argnums=0)
def started(env, keys):
    """The first states of many episodes."""
    return jax.vmap(env.reset_env, in_axes=(0, None))(keys, env.default_params)[1]


def echoed(env, actions, key=KEY):
    """What the world got, for actions (k, ...) in one episode each; and the states."""
    state = started(env, jax.random.split(key, len(actions)))
    step = jax.jit(jax.vmap(env.step_env, in_axes=(None, 0, 0, None)))
    return np.asarray(step(key, state, actions, env.default_params)[0]), state


# ---------------------------------------------------------------------------------------------- the matrices

SHAPES = [(4, 2, 1.0), (2, 2, 1.7), (2, 5, 0.6)]


@pytest.mark.parametrize("rows, columns, gain", SHAPES)
def test_orthonormal_up_to_a_scale(rows, columns, gain):
    """The shorter side's vectors are orthogonal and of one length, gain sqrt(max(1, rows / columns)); any turn, any side."""
    M = draws(rows, columns, gain=gain)
    product = np.swapaxes(M, 1, 2) @ M if rows >= columns else M @ np.swapaxes(M, 1, 2)
    squared = gain**2 * max(1, rows / columns)
    np.testing.assert_allclose(product, np.broadcast_to(squared * np.eye(min(rows, columns)), product.shape), atol=1e-5)
    if (rows, columns) == (4, 2):
        np.testing.assert_allclose(squared, 2, err_msg="the paper's code: orthonormal times sqrt(2) for 2 -> 4")
    if rows == columns:
        mirrored = np.linalg.det(M) < 0
        assert abs(mirrored.mean() - 0.5) < 4 * 0.5 / np.sqrt(DRAWS), "reflections as often as rotations"


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("rows, columns, gain", SHAPES)
def test_mean_and_variance_of_the_entries(rows, columns, gain, distribution):
    """Mean 0 and variance gain^2 / columns, entry by entry, within 4.5 standard errors; the fourth moment tells them apart."""
    M = draws(rows, columns, distribution, gain)
    variance = gain**2 / columns
    assert M.shape == (DRAWS, rows, columns) and _draw(rows, columns, distribution, gain).dtype == jnp.float32
    assert np.all(np.abs(M.mean(0)) < 4.5 * np.sqrt(variance / DRAWS))
    assert np.all(np.abs((M**2).mean(0) - variance) < 4.5 * (M**2).std(0) / np.sqrt(DRAWS))
    longer = max(rows, columns)  # (M_ij / length)^2 is Beta(1/2, (longer - 1) / 2), or Gaussian
    kurtosis = 3.0 if distribution == "gaussian" else 3 * longer / (longer + 2)
    powers = M.reshape(-1) ** 4 / variance**2
    assert abs(powers.mean() - kurtosis) < 6 * powers.std() / np.sqrt(DRAWS)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("rows, columns, gain", SHAPES)
def test_numbers_keep_their_scale(rows, columns, gain, distribution):
    """mean((M x)^2) is gain^2 mean(x^2) on average, and for each draw where orthogonal columns allow it."""
    x = np.arange(1.0, columns + 1)
    ratio = np.mean((draws(rows, columns, distribution, gain) @ x) ** 2, axis=1) / np.mean(x**2)
    assert abs(ratio.mean() - gain**2) < 4.5 * ratio.std() / np.sqrt(DRAWS) + 1e-5
    if distribution == "orthogonal" and rows >= columns:
        np.testing.assert_allclose(ratio, gain**2, rtol=1e-5)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("n, A", [(2, 2), (3, 3), (3, 5)])
def test_every_discrete_action_is_in_reach(n, A, distribution):
    """Some a leads to each of n actions, over all draws; standard normal ones lead to all equally often."""
    M = draws(n, A, distribution)
    inverse = np.linalg.pinv(M)
    for action in range(n):
        assert np.all((M @ inverse[:, :, action, None])[..., 0].argmax(1) == action)
    a = np.random.default_rng(0).standard_normal((DRAWS, A, 1))
    shares = np.bincount((M @ a)[..., 0].argmax(1), minlength=n) / DRAWS
    assert np.all(np.abs(shares - 1 / n) < 4.5 * np.sqrt(1 / n / DRAWS))
    if distribution == "orthogonal":  # within each single projection too
        shares = np.bincount((M[0] @ a[..., 0].T).argmax(0), minlength=n) / DRAWS
        assert np.all(np.abs(shares - 1 / n) < 4.5 * np.sqrt(1 / n / DRAWS))


@pytest.mark.parametrize(
    "arguments, kind, message",
    [
        ((0, 2), ValueError, "rows must be a positive integer; got 0"),
        ((2, 2.0), TypeError, r"columns must be an integer; got 2\.0"),
        ((2, 2, "orthogonl"), ValueError, "distribution must be one of .* Did you mean 'orthogonal'?"),
        ((2, 2, "gaussian", 0.0), ValueError, "gain must be positive"),
        ((2, 2, "gaussian", np.ones(2)), ValueError, r"gain must have shape \(\)"),
    ],
)
def test_bad_matrices(arguments, kind, message):
    with pytest.raises(kind, match=message):
        random_matrix(KEY, *arguments)


# ---------------------------------------------------------------------------------------------- when they are drawn


def test_one_projection_to_a_meta_episode():
    """It stays over the trials of a meta-episode; the next has another, and so has each environment beside it."""
    env = Projection(Trials(Probe(length=2), 3), 4, 2)
    envs = vectorize(env, 5)

    def step(state, key):
        key_act, key_step = jax.random.split(key)
        action = jax.random.normal(key_act, (5, 2))
        obs, after, _, terminated, _, info = envs.step(key_step, state, action)
        return after, (state.env_state, obs, after.env_state, terminated, info)

    state = envs.reset(KEY)[1]
    rows = jax.jit(lambda: jax.lax.scan(step, state, jax.random.split(KEY, 40))[1])()
    before, obs, after, terminated, info = jax.tree.map(np.asarray, rows)
    assert terminated.sum() > 30 and info["trial_ended"].sum() > 90
    np.testing.assert_array_equal(info["projection"], before.index)
    for name in ("index", "obs_matrix", "action_matrix"):
        old, new = getattr(before, name), getattr(after, name)
        np.testing.assert_array_equal(old[~terminated], new[~terminated])
    begun = np.concatenate([np.asarray(state.env_state.index), after.index[terminated]])
    assert len(np.unique(begun)) == len(begun)
    obs_matrix, action_matrix, mirrored = jax.vmap(jax.vmap(env.matrices))(after.index)
    np.testing.assert_allclose(after.obs_matrix, obs_matrix, atol=1e-6)
    np.testing.assert_allclose(after.action_matrix, action_matrix, atol=1e-6)
    assert mirrored is None and obs_matrix.shape[2:] == (4, 2) and action_matrix.shape[2:] == (2, 2)

    # the last observation of a meta-episode is seen through its own projection, the next through the new one
    def seen(state):
        probe = state.env_state.env_state
        return np.stack([probe.ticket, probe.time / 2], -1)

    np.testing.assert_allclose(obs, (after.obs_matrix @ seen(after)[..., None])[..., 0], atol=1e-5)
    last = info["final_observation"][terminated]
    world = (np.linalg.pinv(before.obs_matrix[terminated]) @ last[..., None])[..., 0]
    np.testing.assert_allclose(world[:, 0], before.env_state.env_state.ticket[terminated], atol=1e-5)
    assert np.all((np.abs(world[:, 1] - 1) < 1e-5) | (np.abs(world[:, 1] - 0.5) < 1e-5))


@partial(jax.jit, static_argnums=0)
def _flattened(env, indices):
    return jax.vmap(lambda i: jnp.concatenate([m.reshape(-1) for m in env.matrices(i)[:2]]))(indices)


def flattened(env, indices) -> np.ndarray:
    """The matrices of many projections, a row each."""
    return np.asarray(_flattened(env, indices))


def test_held_out_projections_are_not_in_training():
    """No index of one has a matrix of the other; streams of random numbers that differ by construction; pools likewise."""
    train, held_out = (Projection(Probe(), 4, 2, held_out=flag) for flag in (False, True))
    indices = jnp.arange(500, dtype=jnp.uint32)
    halves = [flattened(train, indices), flattened(held_out, indices)]
    both = np.concatenate(halves)
    assert len(np.unique(both.round(4), axis=0)) == 1000
    streams = jnp.concatenate([2 * indices, 2 * indices + 1, jnp.array([2**32 - 2, 2**32 - 1], jnp.uint32)])
    keys = jax.jit(jax.vmap(lambda i: jax.random.key_data(jax.random.fold_in(jax.random.key(0), i))))(streams)
    assert len(np.unique(np.asarray(keys), axis=0)) == 1002
    resets = jax.random.split(KEY, 300)
    fresh = np.asarray(started(train, resets).index)
    assert len(np.unique(fresh)) == 300 and fresh.max() < 2**31, "fresh ones do not repeat"
    drawn = started(Projection(Probe(), 4, 2, held_out=True, pool=3), resets)
    assert np.bincount(np.asarray(drawn.index)).min() > 60, "each of a pool's three comes up"
    of_pool = halves[1][np.asarray(drawn.index), :8].reshape(300, 4, 2)
    np.testing.assert_allclose(drawn.obs_matrix, of_pool, atol=1e-6, err_msg="whatever the key of the reset")
    other = np.append(*Projection(Probe(), 4, 2, seed=1).matrices(7)[:2])
    assert np.abs(both - other).max(1).min() > 1e-3, "another seed, other projections"
    obs_matrix, action_matrix, _ = Projection(Trials(CartPole(), 2), 4, 2).matrices(7)  # the same around another world
    np.testing.assert_allclose(np.append(obs_matrix, action_matrix), halves[0][7], atol=1e-6)


# ---------------------------------------------------------------------------------------------- what passes through


def test_continuous_actions_reach_the_world_clipped():
    world = Echo(length=9, actions=spaces.Box(-1.0, 2.0, (2,)))
    env = Projection(world, action_size=3, action_gain=1.3)
    actions = 2 * jax.random.normal(KEY, (200, 3))
    got, state = echoed(env, actions)
    moved = np.einsum("bij,bj->bi", state.action_matrix, actions)
    np.testing.assert_allclose(got, np.clip(moved, -1, 2), atol=1e-5)
    assert (got == -1).any() and (got == 2).any() and state.obs_matrix is None
    np.testing.assert_allclose(state.action_matrix[0] @ state.action_matrix[0].T, 1.69 * np.eye(2), atol=1e-5)
    far = env.step_env(KEY, at(state, 0), np.full(3, 50, np.float32), env.default_params)[0]
    assert set(np.asarray(far)) <= {-1, 2}, "outside jit, where the world would refuse numbers outside its box"
    pendulum = make("PositionOnlyPendulumEasy")  # the best player undoes the projection
    env = Projection(pendulum, 5, 3, "gaussian")
    state = started(env, jax.random.split(KEY, 50))
    wanted = jax.vmap(pendulum.best_action)(state.env_state)
    a = jax.jit(jax.vmap(env.best_action))(state)
    np.testing.assert_allclose(np.einsum("bij,bj->bi", state.action_matrix, a), wanted, atol=1e-4)


def test_discrete_actions_take_the_largest():
    env = Projection(Echo(length=9, actions=spaces.Discrete(3)), 2, 4)
    actions = jax.random.normal(KEY, (200, 4))
    got, state = echoed(env, actions)
    chosen = np.einsum("bij,bj->bi", state.action_matrix, actions).argmax(1)
    np.testing.assert_allclose(got, state.obs_matrix[..., 0] * chosen[:, None], atol=1e-5)
    assert set(chosen) == {0, 1, 2}


@pytest.mark.parametrize("space", [spaces.Discrete(3), spaces.Box(-1.0, 0.5, (2,))], ids=["discrete", "continuous"])
def test_one_hidden_bit(space):
    """``mirror``: in half of the episodes n - 1 - a, or -a (clipped); the agent's actions are the world's."""
    env = Projection(Echo(length=9, actions=space), mirror=True)
    assert env.action_space(env.default_params) is space
    actions = jax.vmap(space.sample)(jax.random.split(KEY, 400))
    got, state = echoed(env, actions)
    plain = np.asarray(actions, np.float32).reshape(400, -1)
    other = 2 - plain if isinstance(space, spaces.Discrete) else np.clip(-plain, -1, 0.5)
    np.testing.assert_array_equal(got, np.where(state.mirrored[:, None], other, plain))
    assert 160 < state.mirrored.sum() < 240 and state.action_matrix is None


def test_nothing_projected_is_the_world():
    env = Projection(Echo(length=9, actions=spaces.Box(-1.0, 1.0, (2,))))
    actions = jax.random.uniform(KEY, (20, 2))
    np.testing.assert_array_equal(echoed(env, actions)[0], actions)
    assert env.observation_space(env.default_params).high == 9.0


# ---------------------------------------------------------------------------------------------- can it be solved


@partial(jax.jit, static_argnums=0)
def informed(env, keys):
    """Returns of a player that sees o' and the flag of a trial's end, remembers the last positions, and knows the matrices.

    It inverts both projections, takes differences for velocities, and balances by linear feedback.
    """
    params = env.default_params

    def episode(key):
        obs, state = env.reset_env(key, params)
        projection = state.env_state.env_state  # PreviousAction's state, ProjectedCartPole's, Projection's
        M_o, M_a = projection.obs_matrix, projection.action_matrix
        undo = jnp.eye(2) if M_o is None else jnp.linalg.pinv(M_o)
        levers = jnp.eye(2) if M_a is None else jnp.linalg.pinv(M_a)

        def step(carry, key):
            obs, last, state, active = carry
            seen = obs[: undo.shape[1]]
            positions = undo @ seen
            opens = (obs[-2] + obs[-1]) > 0
            velocities = jnp.where(opens, 0, (positions - last) / TAU)
            x, x_dot, theta, theta_dot = FEEDBACK
            push = jnp.stack([x, theta]) @ positions + jnp.stack([x_dot, theta_dot]) @ velocities > 0
            action = push.astype(int) if M_a is None else levers[:, push.astype(int)]
            obs, state, reward, terminated, _ = env.step_env(key, state, action, params)
            return (obs, positions, state, active & ~terminated), jnp.where(active, reward, 0)

        start = (obs, jnp.zeros(2), state, jnp.bool_(True))
        return jax.lax.scan(step, start, jax.random.split(key, env.horizon))[1].sum()

    return jax.vmap(episode)(keys)


@pytest.mark.parametrize(
    "options",
    [{"obs_size": None, "action_size": None}, {}, {"obs_size": 7, "action_size": 3, "distribution": "gaussian"}],
    ids=["unprojected", "orthogonal", "gaussian"],
)
def test_who_knows_the_matrices_earns_what_is_earned_without(options):
    """The projected cart pole hides nothing for good: 3 of 3 trials balanced to the end, as without a projection."""
    env = PreviousAction(make("ProjectedCartPole", trials=3, **options), trial=True)
    np.testing.assert_allclose(informed(env, jax.random.split(KEY, 24)), 3, rtol=1e-5)


def test_the_best_player_undoes_the_hidden_bit():
    np.testing.assert_allclose(
        returns(ProjectedCartPole(trials=2, action_size=None, mirror=True), "best", 16), 2, rtol=1e-5
    )


def test_one_who_answers_with_twice_what_it_is_shown_stays_finite():
    """The pole does not mind how large an answer is: only its direction counts. So nothing else would stop it."""
    env = PreviousAction(ProjectedCartPole(trials=None, steps=300))
    obs, state = env.reset_env(KEY, env.default_params)

    def step(now, key):
        obs, state = now
        obs, state, *_ = env.step_env(key, state, 2 * obs[4:6] + 1, env.default_params)
        return (obs, state), obs

    seen = jax.lax.scan(step, (obs, state), jax.random.split(KEY, 200))[1]
    assert jnp.isfinite(seen).all() and jnp.abs(seen[:, 4:6]).max() == 10


def test_algorithm_1_under_ppo():
    """The paper's inputs [M_o o, a, r, trial, first], a real action in R^A, and a memory that only a meta-episode resets."""
    env = PreviousAction(Projection(Trials(Probe(length=3), 2), 3, 2), reward=True, trial=True)
    config = ppo.PPOConfig(
        memory="gru",
        features=8,
        encoder=(8,),
        head=(8,),
        num_envs=4,
        num_steps=20,
        num_minibatches=1,
        previous_action=False,
    )
    agent = ppo.make(config, env)
    rollout = jax.jit(lambda key: agent.collect(agent.init(key), key)[1])(KEY)
    obs, resets = np.asarray(rollout.obs), np.asarray(rollout.resets)
    assert obs.shape == (20, 4, 3 + 2 + 1 + 1 + 1) and rollout.action.shape == (20, 4, 2)
    np.testing.assert_array_equal(resets, obs[..., -1] == 1)
    opens = obs[..., -2] == 1
    assert opens.sum() > 8 and not (opens & resets).any(), "a new trial is flagged, and memory is kept"
    goes_on = ~resets[1:]
    np.testing.assert_array_equal(obs[1:, :, 3:5][goes_on], rollout.action[:-1][goes_on])
    np.testing.assert_array_equal(obs[1:, :, 5][goes_on], rollout.reward[:-1][goes_on])
    assert np.all(obs[resets][:, 3:7] == 0)


# ---------------------------------------------------------------------------------------------- under a name


def test_projected_cart_pole():
    env = make("ProjectedCartPole", trials=32, held_out=True)
    assert env == ProjectedCartPole(trials=32, held_out=True) and hash(env) == hash(dataclasses.replace(env))
    assert env != ProjectedCartPole(trials=32) and dataclasses.replace(env, trials=3).horizon == 600
    assert env.env == Projection(Trials(CartPole(), 32), 4, 2, held_out=True) and env.horizon == 6400
    assert env_names(meta=True) == ["ProjectedCartPole", "ProjectedWorlds"] and not set(env_names(meta=True)) & set(
        env_names()
    )
    fields = {option.name: option.default for option in dataclasses.fields(ProjectedCartPole) if option.init}
    for option in dataclasses.fields(Projection)[1:]:
        assert fields.pop(option.name) == option.default or option.name in ("obs_size", "action_size")
    assert fields == {"trials": 16, "fresh": True, "own_returns": False, "steps": None, "max_steps": 200}
    told = describe("ProjectedCartPole")
    assert told.name == "ProjectedCartPole" and told.horizon == 3200 and told.best_return == 16
    np.testing.assert_allclose(told.random_return, 1.78, atol=0.01)  # where the paper's curves start, figure 3a
    assert told.observation[0][0] == "0-3" and "theta, rad" in told.observation[0][1]
    assert "vector a of 2 real numbers; the largest entry of M a chooses" in told.action
    assert told.best_policy.endswith("knows the projection") and told.random_return is not None
    returns_agree("ProjectedCartPole", 24)


def test_descriptions():
    three = Echo(length=9, actions=spaces.Discrete(3))
    box = make("PositionOnlyPendulumEasy")
    told = make("MultiarmedBanditEasy").describe()
    bandit = Projection(make("MultiarmedBanditEasy"), 2, 10)
    assert bandit.describe().random_return == told.random_return and bandit.describe().observation[0][0] == "0-1"
    assert dataclasses.replace(bandit, distribution="gaussian").describe().random_return is None
    assert ProjectedCartPole(distribution="gaussian").describe().random_return is not None  # two: by symmetry
    assert Projection(box, action_size=1).describe().random_return is None
    assert "M a, clipped" in Projection(box, action_size=1).describe().action
    assert Projection(box, 2).describe().random_return == box.describe().random_return
    assert "the other way round" in Projection(box, mirror=True).describe().action
    assert Projection(three, 3, 3) == Projection(three, 3, 3) != Projection(three, 3, 3, seed=1)


def test_reals():
    """R^n: everything is inside, and random play draws standard normal numbers."""
    space = Reals(3)
    sample = np.asarray(jax.vmap(space.sample)(jax.random.split(KEY, DRAWS)))
    assert sample.shape == (DRAWS, *space.shape) and bool(space.contains(jnp.array([1e30, -5.0, 0.0])))
    assert abs(sample.mean()) < 0.04 and abs(sample.std() - 1) < 0.03
    env = Projection(Probe(), 4, 2)
    assert env.action_space(env.default_params).shape == (2,) and env.observation_space(env.default_params).shape == (
        4,
    )
    assert np.isfinite(play(env, KEY).action).all()
    with pytest.raises(ValueError, match="action must lie in"):
        env.step(KEY, env.reset(KEY)[1], np.array([np.nan, 0], np.float32))
    with pytest.raises(TypeError, match="action must be a float"):
        env.step(KEY, env.reset(KEY)[1], 1)


# ---------------------------------------------------------------------------------------------- bad input


class Pictures(Probe):
    def observation_space(self, params):
        return spaces.Box(0.0, 1.0, (4, 4))


@pytest.mark.parametrize(
    "build, kind, message",
    [
        (lambda: Projection(Pictures(), 16), ValueError, "env must have vectors as observations; Pictures has"),
        (lambda: Projection(Probe(), 1), ValueError, "obs_size must be at least 2, the observations inside, .* got 1"),
        (lambda: Projection(Probe(), 0), ValueError, "obs_size must be a positive integer; got 0"),
        (lambda: Projection(Probe(), 4.0), TypeError, r"obs_size must be an integer; got 4\.0"),
        (
            lambda: Projection(Probe(), 4, 1),
            ValueError,
            "action_size must be at least 2, the actions inside, .* got 1",
        ),
        (
            lambda: Projection(Probe(actions=spaces.Box(-1.0, 1.0, (3,))), 4, 2),
            ValueError,
            "action_size must be at least 3, the actions inside",
        ),
        (
            lambda: Projection(Probe(actions=MultiDiscrete((2, 2))), 4, 4),
            ValueError,
            "env must have Discrete actions or vectors; Probe has MultiDiscrete",
        ),
        (
            lambda: Projection(Probe(actions=spaces.Box(-1.0, 1.0, (2, 2))), mirror=True),
            ValueError,
            "env must have Discrete actions or vectors; Probe has Box",
        ),
        (lambda: Projection(Probe(), 4, 2, mirror=True), ValueError, "mirror takes the place of action_size; .* and 2"),
        (
            lambda: Projection(Probe(), 4, 2, "uniform"),
            ValueError,
            "distribution must be one of 'orthogonal', 'gaussian'",
        ),
        (lambda: Projection(Probe(), 4, 2, gain=-1.0), ValueError, "gain must be positive"),
        (lambda: Projection(Probe(), 4, 2, action_gain=0), ValueError, "action_gain must be positive"),
        (lambda: Projection(Probe(), 4, 2, pool=0), ValueError, "pool must be a positive integer; got 0"),
        (lambda: Projection(Probe(), 4, 2, pool=2**31 + 1), ValueError, "pool must be at most"),
        (lambda: Projection(Probe(), 4, 2, seed=-1), ValueError, r"seed must lie between 0 and 2\*\*32 - 1; got -1"),
        (lambda: Projection(Probe(), 4, 2, seed=2**32), ValueError, "seed must lie between"),  # would be 0 again
        (lambda: Projection(Probe(), 4, 2, seed=1.5), TypeError, r"seed must be an integer; got 1\.5"),
        (lambda: Projection(Probe(), 4, pool=3).matrices(3), ValueError, "index must lie in 0 .. 2; got 3"),
        (
            lambda: Projection(Probe(), 4).matrices(2**31),
            ValueError,
            "index must lie in 0 .. 2147483647; got 2147483648",
        ),
        (lambda: make("ProjectedCartPole", obs_size=1), ValueError, "obs_size must be at least 2"),
        (lambda: make("ProjectedCartPole", trials=0), ValueError, "trials must be a positive integer; got 0"),
        (
            lambda: make("ProjectedCartPole", env=Probe()),
            TypeError,
            "ProjectedCartPole has no option 'env'; it has trials",
        ),
        (lambda: make("ProjectedCartpole"), ValueError, "Did you mean 'ProjectedCartPole'?"),
        (lambda: make("ProjectedCartPoleHard"), ValueError, "no environment is called 'ProjectedCartPoleHard'"),
    ],
)
def test_bad_projections(build, kind, message):
    with pytest.raises(kind, match=message):
        build()
