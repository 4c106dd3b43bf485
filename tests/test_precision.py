"""Other precisions than single: half, which sums in single; double switched on, which changes nothing that did not ask for it."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s5lib import ppo
from s5lib.memory import KINDS, make_memory
from s5lib.scan import METHODS, linear_scan
from tests.oracles.recurrence import loop, loop_gradient
from tests.precision import double_precision

T, B, H = 6, 3, 8
HALVES = (jnp.bfloat16, jnp.float16)
OPTIONS = {"s5": {"state_size": 8}, "attention": {"heads": 2, "window": 4}}
every_method = pytest.mark.parametrize("method", METHODS)
every_memory = pytest.mark.parametrize("name", [kind.name for kind in KINDS])
half = pytest.mark.parametrize("dtype", HALVES, ids=["bfloat16", "float16"])


def dtypes(tree):
    return jax.tree.map(lambda leaf: leaf.dtype, tree)


def to(dtype, tree):
    return jax.tree.map(lambda leaf: leaf.astype(dtype), tree)


# ------------------------------------------------------------------------------------------------------------------ scan
@half
@every_method
def test_a_long_sum_of_halves_is_right_to_their_rounding(method, dtype):
    states = linear_scan(dtype(1), jnp.ones(5000, dtype), method=method)
    assert states.dtype == dtype
    np.testing.assert_array_equal(states, np.arange(1, 5001).astype(dtype))


@half
@pytest.mark.parametrize("reverse", [False, True])
@every_method
def test_scans_of_halves_are_those_of_a_float64_loop(method, reverse, dtype):
    rng = np.random.default_rng(0)
    drawn = rng.uniform(0.9, 1, 3), rng.normal(size=(60, 2, 3)), rng.normal(size=(2, 3)), rng.normal(size=(60, 2, 3))
    resets = rng.random((60, 2)) < 0.05
    *arguments, cotangent = (jnp.asarray(a, dtype) for a in drawn)
    exact = [np.asarray(a, float) for a in (*arguments, cotangent)]
    run = lambda *arguments: linear_scan(*arguments, jnp.asarray(resets), method=method, reverse=reverse)  # noqa: E731
    states, vjp = jax.vjp(run, *arguments)
    expected = loop(*exact[:3], resets, reverse), *loop_gradient(*exact[:3], resets, exact[3], reverse)
    for found, right in zip((states, *vjp(cotangent)), expected, strict=True):
        assert found.dtype == dtype
        np.testing.assert_allclose(
            np.asarray(found, float), right, rtol=jnp.finfo(dtype).eps, atol=jnp.finfo(dtype).eps
        )


# -------------------------------------------------------------------------------------------------------------- memories
def read(memory, params, carry, x, resets):
    """Carry and outputs, and the gradient of the parameters."""
    loss = lambda params: jnp.sum(jnp.sin(memory.apply(params, carry, x, resets)[1].astype(jnp.float32)))  # noqa: E731
    return *memory.apply(params, carry, x, resets), jax.grad(loss)(params)


def drawn(name, dtype=jnp.float32):
    memory = make_memory(name, H, **OPTIONS.get(name, {}))
    x = jax.random.normal(jax.random.key(1), (T, B, H), jnp.float32).astype(dtype)
    resets = jax.random.bernoulli(jax.random.key(2), jnp.float32(0.3), (T, B))
    params = jax.jit(memory.init)(jax.random.key(0), memory.initial_carry(B), x)
    return memory, params, memory.initial_carry(B), x, resets


@every_memory
def test_with_double_switched_on_a_memory_is_the_same(name):
    memory, *arguments = drawn(name)
    expected = jax.jit(read, static_argnums=0)(memory, *arguments)
    with double_precision():
        memory, *again = drawn(name)
        assert dtypes(again) == dtypes(arguments)
        jax.tree.map(np.testing.assert_array_equal, again, arguments)
        found = jax.jit(read, static_argnums=0)(memory, *again)
    assert dtypes(found) == dtypes(expected)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), found, expected)


PAIRS = [("bfloat16", "float32"), ("bfloat16", "bfloat16"), ("float16", "float16"), ("float32", "bfloat16")]
PAIRS += [("float32", "float64"), ("float64", "float64")]


@pytest.mark.parametrize("parameters, inputs", PAIRS)
@every_memory
def test_any_precision_of_parameters_and_inputs(name, parameters, inputs):
    """Outputs have the inputs' dtype, the carry keeps its own, gradients have the parameters'; all are right to the coarsest."""
    with double_precision():
        memory, params, carry, x, resets = drawn(name)
        arguments = to(parameters, params), carry, to(inputs, x), resets
        program = jax.jit(read, static_argnums=0)
        end, y, gradient = program(memory, *arguments)
        assert y.dtype == inputs
        assert dtypes(end) == dtypes(carry) and dtypes(gradient) == dtypes(arguments[0])
        expected = program(memory, to("float64", arguments[0]), carry, to("float64", arguments[2]), resets)
    tolerance = 8 * max(float(jnp.finfo(dtype).eps) for dtype in (parameters, inputs, "float32"))

    def compare(found, right):
        found, right = np.asarray(found, complex), np.asarray(right, complex)
        np.testing.assert_allclose(found, right, rtol=tolerance, atol=tolerance * max(1, np.abs(right).max()))

    jax.tree.map(compare, (end, y, gradient), expected)


# ------------------------------------------------------------------------------------------------------------------- PPO
def test_with_double_switched_on_an_update_learns_in_single():
    config = ppo.PPOConfig(
        features=8,
        memory_options=(("state_size", 8),),
        num_envs=4,
        num_steps=8,
        num_minibatches=2,
        encoder=(8,),
        head=(8,),
    )

    def run():
        agent = ppo.make(config)
        state = jax.jit(agent.init)(jax.random.key(0))
        return state, *jax.jit(agent.update)(state)

    expected = run()
    with double_precision():
        found = run()
    assert dtypes(found) == dtypes(expected)
    for name in ("params", "carry", "obs"):
        jax.tree.map(
            partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6),
            getattr(found[1], name),
            getattr(expected[1], name),
        )
