"""Under ``jax.disable_jit``, as debuggers have it, everything runs and gives the same numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s5lib import ppo
from s5lib.memory import KINDS, make_memory

T, B, H = 3, 2, 8
OPTIONS = {"s5": {"state_size": 8, "layers": 1}, "attention": {"layers": 1, "heads": 2, "window": 4}}


def close(found, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected)


@pytest.mark.parametrize("name", [kind.name for kind in KINDS])
def test_a_memory_and_its_gradient(name):
    memory = make_memory(name, H, **OPTIONS.get(name, {}))
    x, carry = jax.random.normal(jax.random.key(0), (T, B, H)), memory.initial_carry(B)
    resets = jnp.zeros((T, B), bool).at[1, 0].set(True)

    def loss(params, x):
        end, y = memory.apply(params, carry, x, resets)
        return jnp.sum(jnp.sin(y)), (end, y)

    run = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    params = jax.jit(memory.init)(jax.random.key(1), carry, x, resets)
    expected = jax.jit(run)(params, x)
    with jax.disable_jit():
        close(run(params, x), expected)


@pytest.mark.slow
def test_an_update_of_ppo():
    config = ppo.PPOConfig(
        features=4,
        memory_options=(("state_size", 4), ("layers", 1)),
        num_envs=2,
        num_steps=2,
        num_minibatches=1,
        update_epochs=1,
        encoder=(4,),
        head=(4,),
    )
    agent = ppo.make(config)
    state = agent.init(jax.random.key(0))
    expected = jax.jit(agent.update)(state)
    with jax.disable_jit():
        found = agent.update(state)
    close((found[0].params, found[1]), (expected[0].params, expected[1]))
