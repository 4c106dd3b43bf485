"""The scan's laws: every method against a float64 loop, in value and gradient; resets, NaN safety, packing, splitting, errors."""

import itertools
from functools import partial

import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import export

from s5lib.scan import METHODS, associative_states, linear_operator, linear_scan, resettable
from tests.oracles.recurrence import loop, loop_gradient
from tests.precision import double_precision

every_method = pytest.mark.parametrize("method", METHODS)
either_direction = pytest.mark.parametrize("reverse", [False, True])
quick = settings(max_examples=12, deadline=None, derandomize=True)


def numbers(rng, shape, is_complex):
    value = rng.normal(size=shape)
    return value + 1j * rng.normal(size=shape) if is_complex else value


def decays(rng, shape, is_complex):
    size = rng.uniform(0.3, 1.0, shape)
    return size * np.exp(1j * rng.uniform(-3, 3, shape)) if is_complex else size


def single(value):
    """To single precision, the precision that users run."""
    value = np.asarray(value)
    return jnp.asarray(value.astype({"f": np.float32, "c": np.complex64}.get(value.dtype.kind, value.dtype)))


def close(actual, expected, tolerance=2e-5):
    scale = max(1.0, float(np.max(np.abs(expected), initial=0)))
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=tolerance, atol=tolerance * scale)


CASES = {  # name: (decay's shape given T, shape of S, shape of resets given T, complex decay, complex inputs)
    "constant, complex": (lambda T: (3,), (2, 3), lambda T: (T, 2), True, True),
    "constant, one number": (lambda T: (), (2, 3), lambda T: (T,), False, False),
    "constant over part of S": (lambda T: (2, 1), (2, 3), lambda T: (T, 2), True, True),
    "varying": (lambda T: (T, 2, 3), (2, 3), lambda T: (T, 2), True, True),
    "varying, broadcast": (lambda T: (T, 1, 3), (2, 3), lambda T: (T, 2), False, False),
    "real decay, complex inputs": (lambda T: (3,), (2, 3), lambda T: (T, 2), False, True),
    "complex decay, real inputs": (lambda T: (T, 2, 3), (2, 3), lambda T: (T,), True, False),
    "no batch": (lambda T: (3,), (3,), lambda T: (T,), True, True),
    "scalars": (lambda T: (T,), (), lambda T: (T,), False, False),
    "deep": (lambda T: (T, 2, 3, 2), (2, 3, 2), lambda T: (T, 2), False, False),
}


def draw(case, T, seed, p=0.3):
    decay_shape, S, resets_shape, complex_decay, complex_inputs = CASES[case]
    rng = np.random.default_rng(seed)
    is_complex = complex_decay or complex_inputs
    return (
        decays(rng, decay_shape(T), complex_decay),
        numbers(rng, (T, *S), complex_inputs),
        numbers(rng, S, is_complex),
        rng.random(resets_shape(T)) < p,
        numbers(rng, (T, *S), is_complex),
    )


@pytest.mark.parametrize("case", CASES)
@either_direction
@every_method
def test_values_and_gradients_are_those_of_a_float64_loop(method, reverse, case):
    decay, inputs, initial, resets, cotangent = draw(case, T=11, seed=len(case))
    run = partial(linear_scan, resets=jnp.asarray(resets), method=method, reverse=reverse)
    arguments = single(decay), single(inputs), single(initial)
    states, vjp = jax.vjp(run, *arguments)
    close(states, loop(decay, inputs, initial, resets, reverse))
    gradients = vjp(single(cotangent).astype(states.dtype))
    for gradient, expected, argument in zip(
        gradients, loop_gradient(decay, inputs, initial, resets, cotangent, reverse), arguments, strict=True
    ):
        assert gradient.shape == argument.shape and gradient.dtype == argument.dtype
        close(gradient, expected if np.iscomplexobj(gradient) else expected.real, 1e-4)


@every_method
@given(data=st.data())
@quick
def test_any_length_and_any_pattern_of_resets(method, data):
    T = data.draw(st.integers(1, 20))
    resets = data.draw(hnp.arrays(bool, (T, 2)))
    reverse = data.draw(st.booleans())
    decay, inputs, initial, _, _ = draw("constant, complex", T, seed=T)
    states = linear_scan(
        single(decay), single(inputs), single(initial), jnp.asarray(resets), method=method, reverse=reverse
    )
    close(states, loop(decay, inputs, initial, resets, reverse))


@every_method
@either_direction
def test_without_resets_or_initial(method, reverse):
    decay, inputs, *_ = draw("varying", 9, seed=3)
    close(
        linear_scan(single(decay), single(inputs), method=method, reverse=reverse), loop(decay, inputs, reverse=reverse)
    )


@every_method
def test_double_precision(method):
    with double_precision():
        decay, inputs, initial, resets, _ = draw("constant, complex", 50, seed=1)
        states = linear_scan(
            jnp.asarray(decay), jnp.asarray(inputs), jnp.asarray(initial), jnp.asarray(resets), method=method
        )
        assert states.dtype == jnp.complex128
        close(states, loop(decay, inputs, initial, resets), 1e-12)


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
@either_direction
@every_method
def test_nothing_crosses_a_reset(method, reverse, poison):
    """Values, and gradients of what comes after a reset, do not change when all that came before it is NaN or infinite."""
    T, cut = 12, 5
    decay, inputs, initial, _, cotangent = draw("constant, complex", T, seed=7)
    resets = np.zeros((T, 2), bool)
    resets[cut] = True
    # Reversed, the episode that opens at `cut` cuts what lies before it off from what comes later.
    after, before = (slice(None, cut), slice(cut, None)) if reverse else (slice(cut, None), slice(None, cut))
    cotangent[before] = 0
    poisoned = inputs.copy()
    poisoned[before] = poison
    clean_initial, dirty_initial = single(initial), jnp.full_like(single(initial), poison)
    run = partial(linear_scan, single(decay), resets=jnp.asarray(resets), method=method, reverse=reverse)
    states, vjp = jax.vjp(run, single(inputs), clean_initial)
    dirty, dirty_vjp = jax.vjp(run, single(poisoned), dirty_initial)
    np.testing.assert_array_equal(states[after], dirty[after])
    grad_inputs, grad_initial = vjp(single(cotangent))
    dirty_inputs, dirty_grad_initial = dirty_vjp(single(cotangent))
    np.testing.assert_array_equal(grad_inputs, dirty_inputs)
    np.testing.assert_array_equal(dirty_grad_initial, jnp.zeros_like(grad_initial))
    np.testing.assert_array_equal(grad_initial, dirty_grad_initial)


@every_method
def test_decays_beyond_one_agree_until_their_product_overflows(method):
    """From then on only the loop still knows that a state which nothing has driven yet is zero."""
    inputs = np.linspace(-1, 1, 50)
    close(linear_scan(single(1.5), single(inputs), method=method), loop(1.5, inputs))
    late = linear_scan(single(1e4), jnp.zeros(400).at[-1].set(1), method=method)[-1]
    assert late == 1 if method in ("sequential", "auto") else np.isnan(late)


@every_method
@either_direction
def test_packed_episodes_equal_separate_ones(method, reverse):
    decay, inputs, _, _, _ = draw("constant, complex", 12, seed=2)
    starts = [0, 4, 5, 9, 12]
    resets = np.zeros(12, bool)
    resets[starts[:-1]] = True
    run = partial(linear_scan, single(decay), method=method, reverse=reverse)
    separate = [run(single(inputs[a:b])) for a, b in itertools.pairwise(starts)]
    close(run(single(inputs), resets=jnp.asarray(resets)), np.concatenate(separate), 1e-6)


@every_method
@given(split=st.integers(1, 11), seed=st.integers(0, 3))
@quick
def test_splitting_anywhere_and_carrying_the_state_changes_nothing(method, split, seed):
    decay, inputs, initial, resets, _ = map(single, draw("constant, complex", 12, seed))
    whole = linear_scan(decay, inputs, initial, resets, method=method)
    head = linear_scan(decay, inputs[:split], initial, resets[:split], method=method)
    tail = linear_scan(decay, inputs[split:], head[-1], resets[split:], method=method)
    close(np.concatenate([head, tail]), whole, 2e-6)


@every_method
def test_steps_of_one_equal_one_call(method):
    decay, inputs, state, resets, _ = map(single, draw("constant, complex", 6, seed=4))
    whole = linear_scan(decay, inputs, state, resets, method=method)
    for t in range(6):
        state = linear_scan(decay, inputs[t : t + 1], state, resets[t : t + 1], method=method)[0]
        close(state, whole[t], 1e-6)


@every_method
def test_under_jit_vmap_and_grad_of_vmap(method):
    decay, inputs, initial, resets, _ = map(single, draw("constant, complex", 7, seed=5))
    many = jnp.stack([inputs, 2 * inputs])

    def total(decay, inputs):
        return jnp.sum(jnp.abs(linear_scan(decay, inputs, initial, resets, method=method)) ** 2)

    values, gradients = jax.jit(jax.vmap(jax.value_and_grad(total), in_axes=(None, 0)))(decay, many)
    for k in range(2):
        value, gradient = jax.value_and_grad(total)(decay, many[k])
        close(values[k], value, 1e-5)
        close(gradients[k], gradient, 1e-5)


@pytest.mark.parametrize("method", ["associative", "chunked"])
def test_forward_mode_where_it_is_promised(method):
    decay, inputs, initial, resets, tangent = map(single, draw("constant, complex", 7, seed=6))
    _, moved = jax.jvp(lambda x: linear_scan(decay, x, initial, resets, method=method), (inputs,), (tangent,))
    close(moved, linear_scan(decay, tangent, None, resets, method=method), 1e-5)


def test_auto_takes_the_parallel_form_where_it_is_lowered_for_cuda():
    decay, inputs, initial, resets, _ = map(single, draw("constant, complex", 16, seed=6))

    def loss(decay, inputs):
        return jnp.sum(jnp.abs(linear_scan(decay, inputs, initial, resets)) ** 2)

    gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))
    loops = {
        platform: export.export(gradient, platforms=[platform])(decay, inputs).mlir_module().count("stablehlo.while")
        for platform in ("cpu", "cuda", "tpu")
    }
    assert loops == {"cpu": 2, "cuda": 0, "tpu": 0}


# --- the operator --------------------------------------------------------------------------------------------------------------


def paper_operator(left, right):
    """The three-tuple operator of Lu et al. 2023, section 3.1, with its masks by multiplication."""
    a_l, b_l, c_l = left
    a_r, b_r, c_r = right
    return (a_r * a_l) * (1 - c_r) + a_r * c_r, (a_r * b_l + b_r) * (1 - c_r) + b_r * c_r, c_l * (1 - c_r) + c_r


FLAGS = [(a, b, c) for a in (False, True) for b in (False, True) for c in (False, True)]
OPERATORS = {
    "linear": (linear_operator, (1.0, 0.0), lambda rng: (rng.normal(size=3), rng.normal(size=3))),
    "maximum": (jnp.maximum, -jnp.inf, lambda rng: rng.normal(size=3)),
    "matrix product": (lambda left, right: right @ left, jnp.eye(3), lambda rng: rng.normal(size=(3, 3))),
}


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("name", OPERATORS)
def test_resettable_is_associative_whenever_the_operator_is(name, flags):
    operator, identity, element = OPERATORS[name]
    rng = np.random.default_rng(0)
    x, y, z = [(jax.tree.map(single, element(rng)), jnp.asarray(flag)) for flag in flags]
    combine = resettable(operator, identity)
    left, right = combine(combine(x, y), z), combine(x, combine(y, z))
    jax.tree.map(lambda a, b: close(a, b, 1e-6), left, right)
    assert bool(left[1]) == any(flags)


@pytest.mark.parametrize("flags", FLAGS)
def test_the_papers_operator_agrees_on_finite_elements(flags):
    rng = np.random.default_rng(1)
    elements = [(single(rng.normal(size=3)), single(rng.normal(size=3)), jnp.asarray(flag)) for flag in flags]
    ours = resettable(linear_operator, (1.0, 0.0))
    (x, y, z), as_number = [((a, b), flag) for a, b, flag in elements], [(a, b, 1.0 * flag) for a, b, flag in elements]
    (a, b), flag = ours(ours(x, y), z)
    close(
        jnp.concatenate([a, b]), np.concatenate(paper_operator(paper_operator(*as_number[:2]), as_number[2])[:2]), 1e-6
    )
    assert bool(flag) == bool(paper_operator(paper_operator(*as_number[:2]), as_number[2])[2])


def test_the_papers_operator_lets_infinity_through_and_ours_does_not():
    dead, fresh = (jnp.array(0.5), jnp.array(jnp.inf)), (jnp.array(0.5), jnp.array(1.0))
    assert jnp.isnan(paper_operator((*dead, 0.0), (*fresh, 1.0))[1])
    (_, state), _ = resettable(linear_operator, (1.0, 0.0))((dead, jnp.array(False)), (fresh, jnp.array(True)))
    assert state == 1.0


@pytest.mark.parametrize("name", OPERATORS)
def test_associative_states_equal_a_loop_over_any_operator(name):
    operator, identity, element = OPERATORS[name]
    rng = np.random.default_rng(2)
    sequence = [jax.tree.map(single, element(rng)) for _ in range(9)]
    initial = jax.tree.map(single, element(rng))
    resets = np.array([0, 0, 1, 0, 0, 1, 1, 0, 0], bool)
    prefix, expected = initial, []
    for now, reset in zip(sequence, resets, strict=True):
        prefix = now if reset else operator(prefix, now)
        expected.append(prefix)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *sequence)
    operator = (
        operator if name != "matrix product" else (lambda left, right: jnp.einsum("...ij,...jk->...ik", right, left))
    )
    states = associative_states(operator, identity, stacked, initial, jnp.asarray(resets))
    jax.tree.map(lambda a, *b: close(a, np.stack(b), 1e-5), states, *expected)


# --- bad input ------------------------------------------------------------------------------------------------------------------

good = {
    "decay": jnp.ones(3),
    "inputs": jnp.ones((5, 2, 3)),
    "initial": jnp.ones((2, 3)),
    "resets": jnp.zeros((5, 2), bool),
}
BAD = {
    "unknown method": ({"method": "sequental"}, ValueError, "method must be one of.*Did you mean 'sequential'"),
    "inputs of no steps": ({"inputs": jnp.ones((0, 2, 3))}, ValueError, "inputs must have shape"),
    "integer inputs": ({"inputs": jnp.ones((5, 2, 3), int)}, TypeError, "inputs must be real or complex floating"),
    "decay with another P": ({"decay": jnp.ones(4)}, ValueError, "decay must broadcast"),
    "decay of too many axes": ({"decay": jnp.ones((1, 5, 2, 3))}, ValueError, "decay must broadcast"),
    "decay with another T": ({"decay": jnp.ones((4, 2, 3))}, ValueError, "first axis is time and must be T=5"),
    "initial with time": ({"initial": jnp.ones((5, 2, 3))}, ValueError, "initial must have shape"),
    "complex initial": ({"initial": jnp.ones((2, 3), complex)}, TypeError, "initial is complex"),
    "resets as numbers": ({"resets": jnp.zeros((5, 2))}, TypeError, "resets must be bool"),
    "resets of another T": ({"resets": jnp.zeros((4, 2), bool)}, ValueError, "resets must have shape"),
    "resets batch first": ({"resets": jnp.zeros((2, 5), bool)}, ValueError, "resets must have shape"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case):
    change, error, message = BAD[case]
    with pytest.raises(error, match=message):
        linear_scan(**(good | change))


def test_bad_elements_are_named():
    with pytest.raises(ValueError, match="elements must share one leading axis"):
        associative_states(linear_operator, (1.0, 0.0), (jnp.ones(3), jnp.ones(4)))
    with pytest.raises(ValueError, match="initial must be one element"):
        associative_states(jnp.maximum, -jnp.inf, jnp.ones((3, 2)), jnp.ones(3))
    with pytest.raises(TypeError, match="resets must be bool"):
        associative_states(jnp.maximum, -jnp.inf, jnp.ones(3), resets=jnp.ones(3))
