"""Targets, PopArt, two-hot values and exploration against NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s5lib.envs import spaces
from s5lib.offpolicy import (
    PopArt,
    bin_centers,
    decode_two_hot,
    epsilon,
    explored,
    inside,
    masked_mean,
    symexp,
    symlog,
    td_target,
    two_hot,
)

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


def test_targets_beside_a_loop():
    reward, value = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 3, 2))
    over, gammas = RNG.random((5, 3)) < 0.4, (0.5, 0.9)
    wanted = np.zeros_like(value)
    for t, b, g in np.ndindex(5, 3, 2):
        wanted[t, b, g] = reward[t, b] + (0 if over[t, b] else gammas[g] * value[t, b, g])
    value[over] = np.nan  # what follows an end is not looked at
    found = td_target(jnp.float32(reward), jnp.asarray(over), jnp.float32(value), jnp.array(gammas))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"next_value must have shape \(5, 3, 2\); got \(5, 3, 1\)"):
        td_target(jnp.float32(reward), jnp.asarray(over), jnp.float32(value[..., :1]), jnp.array(gammas))


def test_means_look_at_the_steps_that_count():
    values, mask = RNG.normal(size=(6, 4, 3)), RNG.random((6, 4)) < 0.5
    wanted = values[mask].mean()
    values[~mask] = np.nan
    found, gradient = jax.value_and_grad(masked_mean)(jnp.float32(values), jnp.asarray(mask))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert jnp.isfinite(gradient).all() and not gradient[~mask].any()
    assert masked_mean(jnp.float32(values), jnp.zeros((6, 4), bool)) == 0
    with pytest.raises(ValueError, match="values must have shape"):
        masked_mean(jnp.ones((4, 6)), jnp.asarray(mask))


def batches(count):
    for k in range(count):
        target = RNG.normal(size=(7, 3, 2)) * (1 + k) + [3.0, -50.0]
        yield target, RNG.random((7, 3)) < 0.6


def test_statistics_are_averages_without_bias():
    """sum of w_k m_k with w_k falling by 1 - beta into the past, over the sum of w_k."""
    beta, now, moments = 0.1, PopArt.create(2), []
    for target, mask in batches(6):
        now = now.updated(jnp.float32(target), jnp.asarray(mask), beta)
        moments.append([target[mask].mean(0), (target[mask] ** 2).mean(0)])
        weights = (1 - beta) ** np.arange(len(moments))[::-1]
        mean, square = np.tensordot(weights / weights.sum(), np.array(moments), 1)
        np.testing.assert_allclose(now.mean, mean, rtol=1e-4)
        np.testing.assert_allclose(now.scale, np.sqrt(square - mean**2), rtol=1e-3)
    same = now.updated(jnp.full((7, 3, 2), jnp.nan), jnp.zeros((7, 3), bool), beta)
    jax.tree.map(np.testing.assert_array_equal, same, now)


def test_values_stay_when_the_statistics_move():
    """The law of PopArt, for outputs of several choices under each discount."""
    old, each = PopArt.create(2), 3
    kernel, bias, x = RNG.normal(size=(4, 5, 6)), RNG.normal(size=(4, 6)), RNG.normal(size=(9, 5))

    def values(statistics, kernel, bias):
        out = jnp.float32(x) @ jnp.float32(kernel) + jnp.float32(bias)[:, None]
        mean, scale = (np.repeat(a, each) for a in (statistics.mean, statistics.scale))
        return scale * out + mean

    before = values(old, kernel, bias)
    for target, mask in batches(5):
        new = old.updated(jnp.float32(target), jnp.asarray(mask), 0.1)
        assert not np.allclose(new.scale, old.scale)
        kernel, bias = old.moved(new, kernel, bias)
        old = new
        np.testing.assert_allclose(values(old, kernel, bias), before, rtol=1e-4, atol=1e-3)


def test_two_bins_share_a_value():
    centers = jnp.asarray(bin_centers(33, 1000.0))
    values = np.concatenate([RNG.normal(size=50) * 300, [0.0, 1000.0, -1000.0, 1.0]])
    values = np.clip(values, -1000, 1000)
    weights = np.asarray(two_hot(jnp.float32(values), centers), np.float64)
    edges = np.linspace(-np.log(1001), np.log(1001), 33)
    for value, row in zip(values, weights, strict=True):
        place = np.sign(value) * np.log1p(abs(value))
        low = min(np.searchsorted(edges, place, side="right") - 1, 31)
        wanted = np.zeros(33)
        wanted[low + 1] = (place - edges[low]) / (edges[low + 1] - edges[low])
        wanted[low] = 1 - wanted[low + 1]
        np.testing.assert_allclose(row, wanted, atol=2e-5)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    again = decode_two_hot(jnp.log(jnp.float32(weights) + 1e-20), centers)
    np.testing.assert_allclose(again, values, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(two_hot(jnp.float32([2e6, -2e6]), centers)[:, [-1, 0]], np.eye(2), atol=1e-6)
    np.testing.assert_allclose(symexp(symlog(jnp.float32(values))), values, rtol=1e-5)
    assert bin_centers(33, 1000.0)[16] == 0  # zero is told exactly


@pytest.mark.parametrize("bins, limit, message", [(1, 10.0, "bins must be 2"), (8, 0.0, "bin_limit must be positive")])
def test_bins_that_tell_nothing(bins, limit, message):
    with pytest.raises(ValueError, match=message):
        bin_centers(bins, limit)


def test_exploration_falls_within_a_rollout_and_over_training():
    corners = [[float(epsilon(a, b, (1.0, 0.05), (0.8, 0.01))) for a in (0.0, 1.0)] for b in (0.0, 1.0, 7.0)]
    np.testing.assert_allclose(corners, [[1, 0.8], [0.05, 0.01], [0.05, 0.01]], rtol=1e-6)
    np.testing.assert_allclose(epsilon(0.25, 0.5, (1.0, 0.05), (0.8, 0.01)), 0.525 + 0.25 * (0.405 - 0.525), rtol=1e-6)


def test_random_actions_are_so_many():
    space = spaces.Discrete(3)
    share = jnp.repeat(jnp.array([0.0, 0.5, 1.0]), 4000)
    action = explored(space, jnp.ones(12_000, jnp.int32), share, KEY).reshape(3, -1)
    np.testing.assert_allclose((action != 1).mean(1), [0, 1 / 3, 2 / 3], atol=0.03)
    np.testing.assert_allclose((action[2][:, None] == np.arange(3)).mean(0), 1 / 3, atol=0.03)
    box = spaces.Box(-2.0, 1.0, (1,))
    action = explored(box, jnp.full((12_000, 1), 0.5), share, KEY).reshape(3, -1)
    assert (action[0] == 0.5).all() and action.min() == -2 and action.max() == 1
    inwards = jax.grad(lambda x: inside(box, x).sum())(jnp.array([[3.0], [0.0]]))
    np.testing.assert_array_equal(inwards, 1)
