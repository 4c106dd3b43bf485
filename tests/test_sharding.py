"""Split over four devices: gradients are those of one device, and a network that is split by sequences passes no activations round.

A process has one device unless XLA is told otherwise before it starts, so all is measured in one process of its own, by ``main``.
"""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from s5lib.envs import spaces
from s5lib.memory import MEMORIES, make_memory
from s5lib.networks import ActorCritic
from s5lib.returns import gae
from s5lib.scan import METHODS, linear_scan, vary_together

DEVICES, T, B, H = 4, 6, 8, 8
OPTIONS = {"s5": {"state_size": 8}, "attention": {"heads": 2, "window": 4}}
SCANS = [
    f"{method}, {decay} decay, {ends}"
    for method in METHODS
    for decay in ("constant", "varying")
    for ends in ("bare", "resets and initial")
]
GRADIENTS = [*MEMORIES, *SCANS, "gae"]
SPLIT, WHOLE = PartitionSpec(None, "batch"), PartitionSpec()


def scan_case(case):
    """A loss of arguments that are split over the batch, or whole where every device has all of them."""
    method, decay, ends = case.split(", ")
    rng = np.random.default_rng(0)
    inputs, initial = rng.normal(size=(T, B, 3)), rng.normal(size=(1, B, 3))
    decay = rng.uniform(0.3, 1, (T, 1, 3) if decay.startswith("varying") else (3,))
    resets = jnp.asarray(rng.random((T, B)) < 0.3)
    wholes, splits = (decay,), (inputs, *[initial] * (ends != "bare"))

    def loss(wholes, splits, resets):
        rest = (splits[1][0], resets) if len(splits) == 2 else ()
        return jnp.sum(jnp.sin(linear_scan(*wholes, splits[0], *rest, method=method)))

    return loss, *jax.tree.map(jnp.float32, (wholes, splits)), resets


def memory_case(name):
    memory = make_memory(name, H, **OPTIONS.get(name, {}))
    x = jax.random.normal(jax.random.key(1), (T, B, H))
    resets = jax.random.bernoulli(jax.random.key(2), 0.3, (T, B))
    params = jax.jit(memory.init)(jax.random.key(0), memory.initial_carry(B), x)

    def loss(params, x, resets):
        end, y = memory.apply(params, memory.initial_carry(x.shape[1]), x, resets)
        return jnp.sum(jnp.sin(y)) + sum(jnp.sum(jnp.abs(leaf)) for leaf in jax.tree.leaves(end))

    return loss, params, x, resets


def gae_case(_):
    reward, value, next_value = jax.random.normal(jax.random.key(0), (3, T, B))
    ended = jax.random.bernoulli(jax.random.key(1), 0.3, (T, B))
    loss = lambda gamma, splits, ended: jnp.sum(jnp.sin(gae(*splits, ended, gamma, 0.9)))  # noqa: E731
    return loss, jnp.float32(0.9), (reward, value, next_value), ended


def difference(case, mesh):
    """The largest difference of a gradient from that of one device, over the largest entry of the latter."""
    build = gae_case if case == "gae" else scan_case if case in SCANS else memory_case
    loss, *arguments = build(case)
    gradient = jax.grad(loss, argnums=(0, 1))
    split = jax.shard_map(gradient, mesh=mesh, in_specs=(WHOLE, SPLIT, SPLIT), out_specs=(WHOLE, SPLIT))
    found, expected = (jax.tree.leaves(jax.jit(f)(*arguments)) for f in (split, gradient))
    return max(float(jnp.abs(a - b).max() / jnp.abs(b).max()) for a, b in zip(found, expected, strict=True))


def exchanges(name, mesh):
    """How often a network's gradient, with sequences split over the devices, gathers or moves what they hold."""
    network = ActorCritic(spaces.Discrete(3), make_memory(name, H, **OPTIONS.get(name, {})), encoder=(H,), head=(H,))
    arguments = network.initial_carry(B), jnp.ones((T, B, 5)), jnp.zeros((T, B), bool)
    params = jax.jit(network.init)(jax.random.key(0), *arguments)

    def loss(params, carry, obs, resets):
        _, policy, value = network.apply(params, carry, obs, resets)
        return policy.entropy().mean() + jnp.square(value).mean()

    whole, split, carried = (NamedSharding(mesh, spec) for spec in (WHOLE, SPLIT, PartitionSpec("batch")))
    shardings = whole, jax.tree.map(lambda _: carried, arguments[0]), split, split
    text = jax.jit(jax.grad(loss), in_shardings=shardings).lower(params, *arguments).compile().as_text()
    assert "all-reduce" in text  # the gradients are summed: it is split
    return sum(text.count(f" {what}(") for what in ("all-gather", "all-to-all", "collective-permute"))


def main():
    mesh = Mesh(np.array(jax.devices()), ("batch",))
    found = {}
    for measure, cases in ((difference, GRADIENTS), (exchanges, MEMORIES)):
        for case in cases:
            try:
                answer = measure(case, mesh)
            except Exception as error:
                answer = repr(error)
            found[f"{measure.__name__} {case}"] = answer
    print(json.dumps(found))


@pytest.fixture(scope="module")
def found():
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={DEVICES}",
        "JAX_PLATFORMS": "cpu",
    }
    environment |= {"JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir}
    done = subprocess.run(
        [sys.executable, "-m", __name__], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("case", GRADIENTS)
def test_gradients_of_split_sequences_are_those_of_one_device(case, found):
    """Of parameters that every device has too: under ``shard_map`` JAX sums those over the devices by itself."""
    answer = found[f"difference {case}"]
    assert isinstance(answer, float) and answer < 1e-5, answer


@pytest.mark.parametrize("name", MEMORIES)
def test_a_network_whose_sequences_are_split_exchanges_nothing_but_sums(name, found):
    assert found[f"exchanges {name}"] == 0


def test_on_one_device_nothing_is_cast():
    operands = (jnp.ones(3), None, jnp.zeros(2, bool))
    assert vary_together(operands) is operands


if __name__ == "__main__":
    main()
