"""The S5 layer: against an independent float64 implementation, step by step against whole sequences, and its initialisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from s5lib.hippo import hippo_normal
from s5lib.s5 import ACTIVATIONS, NORMS, S5SSM, S5Block, S5Stack
from tests.oracles import s5_reference

T, B, H = 9, 3, 4


def data(seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(T, B, H)).astype(np.float32)
    resets = rng.random((T, B)) < 0.3
    state = (rng.normal(size=(B, 4)) + 1j * rng.normal(size=(B, 4))).astype(np.complex64)
    return jnp.asarray(x), jnp.asarray(resets), jnp.asarray(state)


def shaken(params, seed=1):
    """Move every parameter, so that zeros and ones of the initialisation hide nothing."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: leaf + 0.1 * jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), params)


def close(actual, expected, tolerance=2e-5):
    np.testing.assert_allclose(
        np.asarray(actual), expected, rtol=tolerance, atol=tolerance * max(1, np.abs(expected).max())
    )


@pytest.mark.parametrize("rule", ["zoh", "bilinear"])
@pytest.mark.parametrize("clip", [True, False])
def test_ssm_equals_the_reference(rule, clip):
    x, resets, state = data()
    ssm = S5SSM(H, 8, blocks=2, discretization=rule, clip_eigs=clip, step_scale=1.5)
    params = shaken(ssm.init(jax.random.key(0), state, x, resets))
    params["params"]["Lambda_re"] = (
        params["params"]["Lambda_re"].at[0].set(0.02)
    )  # an eigenvalue that clipping must catch
    last, y = ssm.apply(params, state, x, resets)
    expected, expected_last = s5_reference.ssm(
        params["params"], np.asarray(x, float), resets, np.asarray(state, complex), rule, clip, 1.5
    )
    close(y, expected)
    close(last, expected_last)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", NORMS)
def test_block_equals_the_reference(activation, norm):
    x, resets, state = data()
    block = S5Block(S5SSM(H, 8), activation, norm)
    params = shaken(block.init(jax.random.key(0), state, x, resets))
    last, y = block.apply(params, state, x, resets)
    expected, expected_last = s5_reference.block(
        params["params"], np.asarray(x, float), resets, np.asarray(state, complex), activation, norm
    )
    close(y, expected)
    close(last, expected_last)


def stack_and_params(**options):
    stack = S5Stack(H, 8, layers=2, **options)
    x, resets, _ = data()
    return stack, shaken(stack.init(jax.random.key(0), stack.initial_carry(B), x, resets)), x, resets


def test_stack_is_its_blocks_one_above_the_other_each_with_parameters_of_its_own():
    stack, params, x, resets = stack_and_params()
    carry = stack.initial_carry(B)
    last, y = stack.apply(params, carry, x, resets)
    z = np.asarray(x, float)
    for index in range(2):
        z, state = s5_reference.block(params["params"][f"stack_{index}"], z, resets, np.zeros((B, 4), complex))
        close(last[index], state)
    close(y, z)


@pytest.mark.parametrize("prepared", [False, True])
def test_steps_of_one_equal_one_call(prepared):
    stack, params, x, resets = stack_and_params()
    ready = stack.apply(params, method="prepare") if prepared else None
    carry = stack.initial_carry(B)
    whole_carry, whole = stack.apply(params, carry, x, resets, ready)
    step = jax.jit(stack.apply)
    for t in range(T):
        carry, y = step(params, carry, x[t : t + 1], resets[t : t + 1], ready)
        close(y[0], whole[t], 1e-5)
    jax.tree.map(lambda a, b: close(a, b, 1e-5), carry, whole_carry)


def test_a_step_has_no_loop():
    stack, params, x, resets = stack_and_params()
    one = jax.make_jaxpr(stack.apply)(params, stack.initial_carry(B), x[:1], resets[:1])
    many = jax.make_jaxpr(stack.apply)(params, stack.initial_carry(B), x, resets)
    assert "scan[" not in str(one) and "scan[" in str(many)


@pytest.mark.parametrize("split", [1, 4, 8])
def test_splitting_a_sequence_changes_nothing(split):
    stack, params, x, resets = stack_and_params()
    whole_carry, whole = stack.apply(params, stack.initial_carry(B), x, resets)
    middle, head = stack.apply(params, stack.initial_carry(B), x[:split], resets[:split])
    carry, tail = stack.apply(params, middle, x[split:], resets[split:])
    close(np.concatenate([head, tail]), whole, 1e-5)
    jax.tree.map(lambda a, b: close(a, b, 1e-5), carry, whole_carry)


def test_packed_episodes_equal_separate_ones_and_nothing_leaks():
    stack, params, x, _ = stack_and_params()
    resets = jnp.zeros((T, B), bool).at[0].set(True).at[5].set(True)
    _, packed = stack.apply(params, stack.initial_carry(B), x, resets)
    for part in (slice(0, 5), slice(5, T)):
        close(packed[part], stack.apply(params, stack.initial_carry(B), x[part])[1], 1e-5)
    poisoned = x.at[:5].set(jnp.nan)
    _, y = stack.apply(params, stack.initial_carry(B), poisoned, resets)
    np.testing.assert_array_equal(y[5:], packed[5:])
    gradient = jax.grad(lambda x: jnp.sum(stack.apply(params, stack.initial_carry(B), x, resets)[1][5:] ** 2))(x)
    assert not gradient[:5].any() and gradient[5:].any()


def test_prepared_matrices_give_the_same_values_and_the_loss_still_reaches_every_parameter():
    stack, params, x, resets = stack_and_params()
    ready = stack.apply(params, method="prepare")
    close(
        stack.apply(params, stack.initial_carry(B), x, resets, ready)[1],
        stack.apply(params, stack.initial_carry(B), x, resets)[1],
    )
    gradient = jax.grad(lambda p: jnp.sum(stack.apply(p, stack.initial_carry(B), x, resets)[1] ** 2))(params)
    assert all(bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("blocks", [1, 2, 4])
def test_the_initial_system_is_hippos_normal_part_block_by_block(blocks):
    """From the parameters back to the real matrices: Lambda must be the spectrum of J HiPPO blocks, and the blocks honoured."""
    N, J = 16, blocks
    ssm = S5SSM(H, N, blocks=J, step_min=0.01, step_max=0.01)
    x, resets, _ = data()
    params = ssm.init(jax.random.key(0), ssm.initial_carry(B), x, resets)["params"]
    spectrum = np.concatenate(
        [params["Lambda_re"] + 1j * params["Lambda_im"], params["Lambda_re"] - 1j * params["Lambda_im"]]
    )
    expected = np.tile(np.linalg.eigvals(hippo_normal(N // J)), J)
    close(np.sort(spectrum.imag), np.sort(expected.imag), 1e-4)
    close(spectrum.real, np.full(N, -0.5))
    # B_tilde = V^* B with a real B: in each block of states, V B_tilde and its conjugate add up to something real.
    B_tilde = np.asarray(params["B_tilde"][..., 0] + 1j * params["B_tilde"][..., 1])
    half = N // J // 2
    _, vectors = np.linalg.eigh(-1j * (hippo_normal(N // J) + 0.5 * np.eye(N // J)))
    for j in range(J):
        V = vectors[:, half:] * (np.abs(vectors[:1, half:]) / vectors[:1, half:])
        B_block = 2 * (V @ B_tilde[j * half : (j + 1) * half]).real  # the real rows of B that this block reads by
        close(V.conj().T @ B_block, B_tilde[j * half : (j + 1) * half], 1e-4)


def test_parameters_start_at_the_documented_scales():
    ssm = S5SSM(64, 256)
    params = ssm.init(jax.random.key(0), ssm.initial_carry(1), jnp.ones((2, 1, 64)))["params"]
    steps = np.exp(params["log_step"])
    assert 0.001 <= steps.min() < 0.002 and 0.05 < steps.max() <= 0.1
    assert abs(np.mean(np.sum(np.asarray(params["B_tilde"]) ** 2, -1)) * 64 - 1) < 0.1  # V^* keeps the variance 1/H
    assert abs(np.mean(np.sum(np.asarray(params["C_tilde"]) ** 2, -1)) * 256 - 1) < 0.1  # and V the variance 1/N
    assert abs(np.std(params["D"]) - 1) < 0.3


def test_the_update_lowers_for_cuda_without_a_loop_over_time():
    stack, params, x, resets = stack_and_params()

    def update(params, carry, x, resets):
        gradient = jax.grad(lambda p: jnp.mean(stack.apply(p, carry, x, resets)[1] ** 2))(params)
        return jax.tree.map(lambda p, g: p - 1e-3 * g, params, gradient)

    module = export.export(jax.jit(update), platforms=["cuda"])(params, stack.initial_carry(B), x, resets).mlir_module()
    assert "stablehlo.while" not in module


BAD = {
    "features": ({"features": 0}, ValueError, "features must be a positive integer"),
    "state_size of odd halves": (
        {"state_size": 10, "blocks": 2},
        ValueError,
        "state_size must be a positive multiple of 4",
    ),
    "blocks as float": ({"blocks": 2.0}, TypeError, "blocks must be an integer"),
    "activation": ({"activation": "full_gul"}, ValueError, "activation must be one of.*Did you mean 'full_glu'"),
    "norm": ({"norm": "batch"}, ValueError, "norm must be one of"),
    "discretization": ({"discretization": "euler"}, ValueError, "discretization must be one of"),
    "scan_method": ({"scan_method": "parallel"}, ValueError, "scan_method must be one of"),
    "negative step": ({"step_min": -0.1}, ValueError, "step_min must be positive"),
    "NaN step": ({"step_scale": float("nan")}, ValueError, "step_scale must be finite"),
    "layers": ({"layers": 0}, ValueError, "layers must be a positive integer"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_attribute_is_named_when_the_module_is_made(case):
    change, error, message = BAD[case]
    with pytest.raises(error, match=message):
        S5Stack(**({"features": H, "state_size": 8} | change))


def test_bad_calls_are_named():
    stack, params, x, resets = stack_and_params()
    carry = stack.initial_carry(B)
    for arguments, error, message in [
        ((carry, x[0], resets), ValueError, "x must have shape"),
        ((carry, x[..., :2], resets), ValueError, "x must have shape"),
        ((carry, x.astype(complex), resets), TypeError, "x must be real"),
        ((carry, x, resets[:4]), ValueError, "resets must have shape"),
        ((carry, x, resets.astype(float)), TypeError, "resets must be bool"),
        ((carry[:1], x, resets), ValueError, "carry must be a tuple of 2"),
        ((stack.initial_carry(B + 1), x, resets), ValueError, "carry must have shape"),
    ]:
        with pytest.raises(error, match=message):
            stack.apply(params, *arguments)
    with pytest.raises(ValueError, match="batch_size must be a positive integer"):
        stack.initial_carry(0)
