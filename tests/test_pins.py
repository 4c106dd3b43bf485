"""The pinned environments of the later chapters still run: one step of brax and one of MuJoCo Playground."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow
# Each in an interpreter of its own: these packages warn about many things that are not ours, and leave JAX settings behind.
BRAX = """
import jax
from brax import envs
env = envs.get_environment("reacher", backend="spring")
state = jax.jit(env.reset)(jax.random.key(0))
state = jax.jit(env.step)(state, jax.numpy.zeros(env.action_size))
assert state.obs.shape == (env.observation_size,) and bool(jax.numpy.isfinite(state.obs).all())
print("stepped")
"""
PLAYGROUND = """
import jax
from mujoco_playground import registry
env = registry.load("ReacherEasy")
state = jax.jit(env.reset)(jax.random.key(0))
state = jax.jit(env.step)(state, jax.numpy.zeros(env.action_size))
assert bool(jax.numpy.isfinite(state.obs).all())
print("stepped")
"""


@pytest.mark.parametrize("program", [BRAX, PLAYGROUND], ids=["brax", "playground"])
def test_one_step(program, tmp_path):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip().endswith("stepped"), done.stderr[-3000:]
