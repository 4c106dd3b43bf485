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


def test_it_stands_alone_and_under_its_old_names():
    """Neither an environment's package nor a learner is loaded for it."""
    assert ppo.gae is gae is s5lib.gae
    code = "import sys; from s5lib import gae; print({'gymnax', 's5lib.envs', 's5lib.ppo'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
