"""The agent's network: one read of a sequence equals many of one step, for each kind of action; heads share the memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s5lib.envs import MultiDiscrete, spaces
from s5lib.memory import make_memory
from s5lib.networks import ActorCritic

KEY = jax.random.key(0)
T, B, O = 6, 3, 4


@pytest.mark.parametrize("space", [spaces.Discrete(3), MultiDiscrete((3, 2)), spaces.Box(-1.0, 1.0, (2,))], ids=repr)
def test_steps_equal_the_sequence(space):
    network = ActorCritic(space, make_memory("s5", 8, state_size=8, layers=1), encoder=(8,), head=(8,))
    obs = jax.random.normal(KEY, (T, B, O))
    resets = jnp.zeros((T, B), bool).at[3, 1].set(True)
    start = network.initial_carry(B)
    params = network.init(KEY, start, obs, resets)
    carry, policy, value = network.apply(params, start, obs, resets)
    prepared = network.apply(params, method="prepare")
    step = jax.jit(network.apply)
    for t in range(T):
        start, one, v = step(params, start, obs[t : t + 1], resets[t : t + 1], prepared)
        np.testing.assert_allclose(v[0], value[t], rtol=1e-4, atol=1e-5)
        action = one.mode()
        np.testing.assert_allclose(one.log_prob(action)[0], policy.log_prob(policy.mode())[t], rtol=1e-4, atol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), start, carry)
    assert ("log_std" in params["params"]) == isinstance(space, spaces.Box)


def test_the_policy_starts_nearly_uniform():
    network = ActorCritic(spaces.Discrete(5), make_memory("none", 8), encoder=(8,), head=(8,))
    obs, resets = jax.random.normal(KEY, (T, B, O)), jnp.zeros((T, B), bool)
    params = network.init(KEY, network.initial_carry(B), obs, resets)
    _, policy, _ = network.apply(params, network.initial_carry(B), obs, resets)
    np.testing.assert_allclose(policy.entropy(), np.log(5), atol=1e-2)


def test_bad_observations():
    network = ActorCritic(spaces.Discrete(5), make_memory("none", 8))
    with pytest.raises(ValueError, match=r"obs must have shape \(T, B, O\); got \(3, 4\)"):
        network.init(KEY, network.initial_carry(B), jnp.zeros((3, 4)), jnp.zeros((3, 4), bool))
