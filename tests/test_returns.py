"""Advantages against a loop and against numbers worked out by hand."""

import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

import s5lib
from s5lib import ppo
from s5lib.returns import gae


def gae_loop(reward, value, next_value, ended, gamma, lam):
    advantage = np.zeros_like(reward)
    later = 0.0
    for t in reversed(range(len(reward))):
        delta = reward[t] + gamma * next_value[t] - value[t]
        later = advantage[t] = delta + gamma * lam * (0.0 if ended[t] else later)
    return advantage


@pytest.mark.parametrize("lam", [0.0, 0.7, 1.0])
def test_gae_equals_a_loop(lam):
    rng = np.random.default_rng(0)
    reward, value, next_value = rng.normal(size=(3, 40))
    ended = rng.random(40) < 0.2
    ours = gae(*(jnp.asarray(a, jnp.float32) for a in (reward, value, next_value)), jnp.asarray(ended), 0.9, lam)
    np.testing.assert_allclose(ours, gae_loop(reward, value, next_value, ended, 0.9, lam), rtol=2e-5, atol=2e-5)


def test_gae_by_hand():
    """Two episodes of two steps; the first terminated, the second cut: its last value counts."""
    reward, value = jnp.array([1.0, 2.0, 3.0, 4.0]), jnp.array([0.5, 0.5, 0.5, 0.5])
    next_value, ended = jnp.array([0.5, 0.0, 0.5, 10.0]), jnp.array([False, True, False, True])
    np.testing.assert_allclose(gae(reward, value, next_value, ended, 0.5, 0.0), [0.75, 1.5, 2.75, 8.5])
    np.testing.assert_allclose(gae(reward, value, next_value, ended, 0.5, 1.0), [0.75 + 0.75, 1.5, 2.75 + 4.25, 8.5])


T3 = {"reward": jnp.ones(3), "value": jnp.ones(3), "next_value": jnp.ones(3), "ended": jnp.zeros(3, bool)}


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"value": jnp.ones((3, 1))}, ValueError, r"value must have shape \(3,\), that of reward; got \(3, 1\)"),
        ({"next_value": jnp.ones(())}, ValueError, r"next_value must have shape \(3,\)"),
        ({"ended": jnp.zeros((2, 3), bool)}, ValueError, r"ended must have shape \(3,\)"),
        ({"ended": jnp.zeros(3)}, TypeError, "ended must be bool, True where an episode ended; got dtype float32"),
        ({"value": jnp.ones(3, int)}, TypeError, "value must be real floating point; got dtype int32"),
        (
            {"next_value": jnp.ones(3, complex)},
            TypeError,
            "next_value must be real floating point; got dtype complex64",
        ),
        ({"reward": jnp.ones(3, complex)}, TypeError, "reward must be real; got dtype complex64"),
        ({name: value[:0] for name, value in T3.items()}, ValueError, r"reward must have shape \(T, ...\) with T >= 1"),
    ],
)
def test_what_does_not_fit_is_named(change, error, message):
    with pytest.raises(error, match=message):
        gae(**(T3 | change), gamma=0.9, gae_lambda=0.9)


@pytest.mark.parametrize("dtype", [bool, np.int32, np.uint8, np.float64, jnp.bfloat16])
def test_rewards_of_any_real_dtype_count_as_numbers(dtype):
    """NumPy's float64 among them, as environments outside of JAX give."""
    reward = np.array([1, 0, 1]).astype(dtype)
    expected = gae(**T3 | {"reward": jnp.array([1.0, 0.0, 1.0])}, gamma=0.9, gae_lambda=0.9)
    found = gae(**T3 | {"reward": reward}, gamma=0.9, gae_lambda=0.9)
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found, expected)


def test_it_stands_alone_and_under_its_old_names():
    """Neither an environment's package nor a learner is loaded for it."""
    assert ppo.gae is gae is s5lib.gae
    code = "import sys; from s5lib import gae; print({'gymnax', 's5lib.envs', 's5lib.ppo'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
