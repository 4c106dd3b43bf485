"""Every memory under the same laws, each beside an independent implementation, and what they refuse."""

import importlib
import inspect
from functools import cache, partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s5lib import memory as memories
from s5lib import records
from s5lib.memory import (
    GRU,
    KINDS,
    LSTM,
    MEMORIES,
    Memory,
    Transformer,
    count_parameters,
    make_memory,
    match_parameters,
)
from s5lib.memory.attention import largest_singular_value
from s5lib.s5 import S5SSM, S5Block
from tests.oracles import attention

T, B, H = 10, 3, 8
# All that is said here of single memories: a small one of each, or several. One that is not named has its own defaults.
SMALL = {
    "s5": {"s5": {"state_size": 8, "layers": 1}},
    "gru": {"gru": {"layers": 2}},
    "lstm": {"lstm": {"layers": 2}, "lstm-residual": {"residual": True}},
    "attention": {
        "attention": {"heads": 2, "window": 4},
        "attention-long": {"layers": 1, "heads": 2, "window": 32},
        "attention-amago": {"layers": 1, "heads": 2, "window": 4, "normformer": True, "sigma_reparam": True},
    },
    "none": {"none": {"layers": 1}, "identity": {"layers": 0}},
}
WITHOUT_A_LOOP = {"attention", "none"}
CASES = {case: (name, options) for name in MEMORIES for case, options in SMALL.get(name, {name: {}}).items()}
every = pytest.mark.parametrize("case", CASES)
learns = pytest.mark.parametrize("case", [case for case in CASES if case != "identity"])
remembers = pytest.mark.parametrize("case", [case for case in CASES if CASES[case][0] != "none"])


def shaken(params, seed=1):
    """Move every parameter, so that zeros and ones of the initialisation hide nothing."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: leaf + 0.1 * rng.normal(size=leaf.shape).astype(leaf.dtype), params)


@cache
def made(case):
    """The module, its jitted call, parameters, inputs, flags and a carry in mid-episode."""
    name, options = CASES[case]
    memory = make_memory(name, H, **options)
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(T, B, H)).astype(np.float32))
    resets = jnp.asarray(rng.random((T, B)) < 0.25)
    init = jax.jit(lambda key: memory.init(key, memory.initial_carry(B), x, resets))
    params = shaken(init(jax.random.key(0)))
    apply = jax.jit(memory.apply)
    carry, _ = apply(params, memory.initial_carry(B), x[::-1], resets)
    return memory, apply, params, x, resets, carry


def close(actual, expected, tolerance=2e-5):
    def compare(a, e):
        np.testing.assert_allclose(np.asarray(a), np.asarray(e), rtol=tolerance, atol=tolerance)

    jax.tree.map(compare, actual, expected)


# -------------------------------------------------------------------------------------------------------------- contract
@every
def test_every_memory_is_one(case):
    """The contract's attributes, their kinds, and the signature of the call."""
    memory, _, _, _, _, carry = made(case)
    assert isinstance(memory, Memory) and memory.features == H
    assert list(inspect.signature(memory.__call__).parameters) == ["carry", "x", "resets", "prepared"]
    assert all(leaf.shape[0] == B for leaf in jax.tree.leaves(carry))
    assert jax.tree.structure(memory.initial_carry(B)) == jax.tree.structure(carry)


def test_what_is_no_memory_is_told_apart():
    assert not isinstance(nn.Dense(H), Memory) and not isinstance(nn.GRUCell(H), Memory)


def test_the_parts_of_s5_are_memories_too():
    ssm = S5SSM(H, 8)
    for memory in (ssm, S5Block(ssm)):
        assert isinstance(memory, Memory) and memory.features == H
        assert memory.slow_parameters == MEMORIES["s5"].slow_parameters


@every
def test_slow_parameters_name_leaves(case):
    """Each name is a leaf's in the memory's parameters."""
    memory, _, params, _, _, _ = made(case)
    leaves = {path[-1].key for path, _ in jax.tree_util.tree_leaves_with_path(params)}
    assert isinstance(memory.slow_parameters, tuple) and set(memory.slow_parameters) <= leaves


def test_of_the_first_memories_only_s5_has_slow_parameters():
    slow = {name: MEMORIES[name].slow_parameters for name in ("s5", "gru", "lstm", "attention", "none")}
    assert slow.pop("s5") == ("Lambda_re", "Lambda_im", "B_tilde", "log_step")
    assert not any(slow.values())


def test_kinds_are_named_and_drawn_apart():
    for field in ("name", "module", "label", "colour", "linestyle"):
        values = [getattr(kind, field) for kind in KINDS]
        assert len(set(values)) == len(values), field
    assert {kind.name: kind.module for kind in KINDS} == MEMORIES


@pytest.mark.parametrize("name", ["EXPANSION", "LARGE", "PIECE"])
def test_what_moved_is_found_where_it_was(name):
    home = "feedforward" if name == "EXPANSION" else "attention"
    assert getattr(memories, name) is getattr(importlib.import_module(f"s5lib.memory.{home}"), name)
    with pytest.raises(AttributeError, match=r"module 's5lib.memory' has no attribute 'GRUU'"):
        _ = memories.GRUU


# ------------------------------------------------------------------------------------------------------------------ laws
@every
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**16), rate=st.sampled_from([0.0, 0.1, 0.5]))
def test_steps_of_one_equal_one_call(case, seed, rate):
    _, apply, params, x, _, carry = made(case)
    resets = jnp.asarray(np.random.default_rng(seed).random((T, B)) < rate)
    whole_carry, whole = apply(params, carry, x, resets)
    assert whole.shape == x.shape and whole.dtype == x.dtype
    for t in range(T):
        carry, y = apply(params, carry, x[t : t + 1], resets[t : t + 1])
        close(y[0], whole[t])
    close(carry, whole_carry)


@every
def test_prepared_equals_not_prepared_and_the_loss_reaches_every_parameter(case):
    memory, apply, params, x, resets, carry = made(case)
    ready = jax.jit(partial(memory.apply, method="prepare"))(params)
    for length in (1, T):
        arguments = (params, carry, x[:length], resets[:length])
        close(apply(*arguments, ready), apply(*arguments), 1e-6)
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(jnp.sin(memory.apply(p, carry, x, resets)[1]))))(params)
    assert all(bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(gradient))


@every
def test_a_step_has_no_loop_and_only_recurrences_loop_over_time(case):
    memory, _, params, x, resets, carry = made(case)
    one = str(jax.make_jaxpr(memory.apply)(params, carry, x[:1], resets[:1]))
    many = str(jax.make_jaxpr(memory.apply)(params, carry, x, resets))
    assert "scan[" not in one
    assert ("scan[" in many) == (CASES[case][0] not in WITHOUT_A_LOOP)


@every
@pytest.mark.parametrize("split", [1, 6])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**16), rate=st.sampled_from([0.0, 0.1, 0.5]))
def test_splitting_a_sequence_changes_nothing(case, split, seed, rate):
    _, apply, params, x, _, carry = made(case)
    resets = jnp.asarray(np.random.default_rng(seed).random((T, B)) < rate)
    whole = apply(params, carry, x, resets)
    middle, head = apply(params, carry, x[:split], resets[:split])
    end, tail = apply(params, middle, x[split:], resets[split:])
    close((end, np.concatenate([head, tail])), whole)


@every
@pytest.mark.parametrize("opening", [1, 6])
def test_packed_episodes_equal_separate_ones(case, opening):
    """Each part is read on its own from an initial carry, and ends with the same carry, whatever came before."""
    memory, apply, params, x, _, carry = made(case)
    resets = jnp.zeros((T, B), bool).at[0].set(True).at[opening].set(True)
    flags = jnp.zeros((T, B), bool)
    end, packed = apply(params, carry, x, resets)
    _, first = apply(params, memory.initial_carry(B), x[:opening], flags[:opening])
    alone, second = apply(params, memory.initial_carry(B), x[opening:], flags[opening:])
    close((end, packed), (alone, np.concatenate([first, second])))


@every
def test_no_resets_equals_flags_that_are_down(case):
    _, apply, params, x, _, carry = made(case)
    close(apply(params, carry, x, None), apply(params, carry, x, jnp.zeros((T, B), bool)), 1e-6)


@remembers
def test_the_carry_and_earlier_steps_matter_until_a_reset(case):
    """The laws on resets would hold for a memory that forgets at once; this one tells them apart."""
    memory, apply, params, x, _, carry = made(case)
    changed = apply(params, carry, x.at[0, :, 0].add(1.0), None)[1] - apply(params, carry, x, None)[1]
    assert float(jnp.abs(changed[3]).max()) > 1e-4
    fresh = apply(params, memory.initial_carry(B), x, None)[1] - apply(params, carry, x, None)[1]
    assert float(jnp.abs(fresh[0]).max()) > 1e-4


@every
def test_nothing_crosses_a_reset(case):
    """Values from the reset on, and their gradients with respect to inputs from there on, are the same bit for bit."""
    memory, _, params, x, _, carry = made(case)
    opens = 5
    resets = jnp.zeros((T, B), bool).at[opens].set(True)

    @jax.jit
    def read(x, carry):
        loss = lambda x: jnp.sum(jnp.sin(memory.apply(params, carry, x, resets)[1][opens:]))  # noqa: E731
        end, y = memory.apply(params, carry, x, resets)
        return end, y, jax.grad(loss)(x)

    end, y, gradient = read(x, carry)
    assert not gradient[:opens].any() and gradient[opens:].any()
    for poison in (np.nan, np.inf, -np.inf, 3e38):
        bad_x = x.at[1, 0, 2].set(poison).at[4].set(poison)
        bad_carry = jax.tree.map(lambda a, p=poison: a if a.dtype == bool else jnp.full_like(a, p), carry)
        for given_carry in (carry, bad_carry):
            bad_end, bad_y, bad_gradient = read(bad_x, given_carry)
            jax.tree.map(np.testing.assert_array_equal, bad_end, end)
            np.testing.assert_array_equal(bad_y[opens:], y[opens:])
            np.testing.assert_array_equal(bad_gradient[opens:], gradient[opens:])
    hidden = np.isfinite(read(x.at[1, 0, 2].set(np.nan), carry)[1][1, 0])
    assert not hidden.all()  # within its own episode NaN is not hidden


@every
def test_a_carry_that_is_not_finite_leaves_no_trace_in_the_gradients_after_a_reset(case):
    memory, _, params, x, _, carry = made(case)
    resets = jnp.zeros((T, B), bool).at[0].set(True)
    loss = lambda p, carry: jnp.sum(jnp.sin(memory.apply(p, carry, x, resets)[1]))  # noqa: E731
    gradient = jax.jit(jax.grad(loss))
    bad = jax.tree.map(lambda a: a if a.dtype == bool else jnp.full_like(a, jnp.nan), carry)
    jax.tree.map(np.testing.assert_array_equal, gradient(params, bad), gradient(params, carry))


@learns
def test_vmap_over_seeds_of_parameters(case):
    memory, apply, params, x, resets, carry = made(case)
    both = jax.tree.map(lambda a, b: jnp.stack([a, b]), params, shaken(params, 2))
    together = jax.jit(jax.vmap(lambda p: memory.apply(p, carry, x, resets)))(both)
    for seed in range(2):
        alone = apply(jax.tree.map(lambda a, seed=seed: a[seed], both), carry, x, resets)
        close(jax.tree.map(lambda a, seed=seed: a[seed], together), alone)


@every
def test_sequences_of_a_batch_are_independent(case):
    """Minibatches over environments take rows of the carry: every leaf has the batch first."""
    _, apply, params, x, resets, carry = made(case)
    end, y = apply(params, carry, x, resets)
    one_end, one = apply(params, jax.tree.map(lambda a: a[1:2], carry), x[:, 1:2], resets[:, 1:2])
    close((one_end, one), (jax.tree.map(lambda a: a[1:2], end), y[:, 1:2]))


# --------------------------------------------------------------------------------------------------------------- oracles
def stepped(cell, params, state, x, resets):
    """A cell of flax, one step at a time in a Python loop, its state made zero where an episode opens."""
    outputs, step = [], jax.jit(cell.apply)
    for t in range(len(x)):
        state = jax.tree.map(lambda s, t=t: jnp.where(resets[t][:, None], 0, s), state)
        state, y = step({"params": params}, state, x[t])
        outputs.append(y)
    return state, jnp.stack(outputs)


@pytest.mark.parametrize("case, cell", [("gru", nn.GRUCell), ("lstm", nn.OptimizedLSTMCell), ("lstm", nn.LSTMCell)])
def test_gru_and_lstm_equal_flax(case, cell):
    _, apply, params, x, resets, carry = made(case)
    end, y = apply(params, carry, x, resets)
    for layer in range(2):
        expected, x = stepped(cell(H), params["params"][f"cell_{layer}"], carry[layer], x, resets)
        close(end[layer], expected)
    close(y, x)


@pytest.mark.parametrize("case, cell", [("gru", nn.GRUCell), ("lstm", nn.OptimizedLSTMCell)])
def test_gradients_of_gru_and_lstm_equal_those_that_jax_derives_from_flax(case, cell):
    _, apply, params, x, resets, carry = made(case)

    def theirs(params, carry, x, resets):
        ends = []
        for layer in range(2):
            end, x = stepped(cell(H), params["params"][f"cell_{layer}"], carry[layer], x, resets)
            ends.append(end)
        return tuple(ends), x

    def loss(read, params, carry, x):
        return sum(jnp.sum(jnp.sin(3 * leaf)) for leaf in jax.tree.leaves(read(params, carry, x, resets)))

    ours, expected = (jax.jit(jax.grad(partial(loss, read), argnums=(0, 1, 2))) for read in (apply, theirs))
    close(ours(params, carry, x), expected(params, carry, x))


@pytest.mark.parametrize("case, cell", [("gru", nn.GRUCell), ("lstm", nn.OptimizedLSTMCell)])
def test_gru_and_lstm_start_as_flax_but_for_the_forget_bias(case, cell):
    memory, _, _, x, _, carry = made(case)
    params = jax.jit(memory.init)(jax.random.key(0), carry, x)["params"]["cell_0"]
    theirs = jax.jit(cell(H).init)(jax.random.key(0), carry[0], x[0])["params"]
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, theirs)
    for name, parts in params.items():
        kernel = np.asarray(parts["kernel"])
        if name[0] == "h":
            close(kernel @ kernel.T, np.eye(H))
        else:
            assert 0.7 < kernel.std() * H**0.5 < 1.3  # 64 draws of variance 1 / H
        assert set(np.unique(parts.get("bias", 0.0))) == {1.0 if name == "hf" else 0.0}


def test_residual_layers_are_the_same_cells_around_a_stream():
    _, apply, params, x, resets, carry = made("lstm-residual")
    plain = LSTM(H)
    scale, bias = (np.asarray(params["params"]["norm_0"][name]) for name in ("scale", "bias"))
    read = attention.norm(np.asarray(x, float), {"scale": scale, "bias": bias}).astype(np.float32)
    inner = {"params": {"cell_0": params["params"]["cell_0"]}}
    close(apply(params, carry, x, resets)[1], x + plain.apply(inner, carry, jnp.asarray(read), resets)[1])


@pytest.mark.parametrize("case", ["attention", "attention-long", "attention-amago"])
def test_attention_equals_the_reference(case):
    memory, apply, params, x, resets, _ = made(case)
    y = apply(params, memory.initial_carry(B), x, resets)[1]
    as_float64 = jax.tree.map(lambda a: np.asarray(a, np.float64), params["params"])
    close(y, attention.transformer(as_float64, np.asarray(x, float), np.asarray(resets), memory.heads, memory.window))


def test_a_kernel_is_divided_by_its_largest_singular_value():
    rng = np.random.default_rng(2)
    for shape in ((24, 8), (8, 24), (128, 384)):
        kernel = rng.normal(size=shape)
        found, slope = jax.jit(jax.value_and_grad(largest_singular_value))(jnp.asarray(kernel, jnp.float32))
        u, s, v = np.linalg.svd(kernel)
        assert found == pytest.approx(s[0], rel=1e-2 if shape[1] == 384 else 1e-4)
        if shape[1] < 384:
            close(slope, np.outer(u[:, 0], v[0]), 1e-2)
    assert largest_singular_value(jnp.zeros((3, 2))) == 0


def test_attention_in_pieces_equals_the_reference():
    """Past 128 steps and one window the queries are computed in pieces."""
    memory = Transformer(4, layers=1, heads=1, window=3)
    rng = np.random.default_rng(5)
    x = rng.normal(size=(270, 1, 4)).astype(np.float32)
    resets = rng.random((270, 1)) < 0.02
    params = shaken(jax.jit(memory.init)(jax.random.key(0), memory.initial_carry(1), x))
    y = jax.jit(memory.apply)(params, memory.initial_carry(1), x, resets)[1]
    as_float64 = jax.tree.map(lambda a: np.asarray(a, np.float64), params["params"])
    close(y, attention.transformer(as_float64, x.astype(float), resets, 1, 3))


def test_attention_reaches_window_steps_back_and_no_further():
    memory = Transformer(4, layers=1, heads=1, window=4)
    x = jax.random.normal(jax.random.key(1), (T, 1, 4))
    params = jax.jit(memory.init)(jax.random.key(0), memory.initial_carry(1), x)
    run = lambda x: memory.apply(params, memory.initial_carry(1), x)[1]  # noqa: E731
    reach = jnp.abs(jax.jit(jax.jacobian(run))(x)).sum((1, 2, 4, 5)) > 0  # (query, key)
    lag = np.arange(T)[:, None] - np.arange(T)
    np.testing.assert_array_equal(reach, (lag >= 0) & (lag <= 4))


def test_attention_says_nan_wherever_a_step_that_is_not_finite_is_seen_and_the_cache_remembers_it():
    memory = Transformer(4, layers=1, heads=1, window=3)
    x = jax.random.normal(jax.random.key(1), (T, 2, 4))
    params = jax.jit(memory.init)(jax.random.key(0), memory.initial_carry(2), x)
    apply = jax.jit(memory.apply)
    sound = apply(params, memory.initial_carry(2), x)[1]
    broken = x.at[2, 0, 1].set(jnp.inf)
    whole_end, whole = apply(params, memory.initial_carry(2), broken)
    expected = sound.at[2:6, 0].set(jnp.nan)  # itself and the three steps that see it
    close(whole, expected)
    middle, head = apply(params, memory.initial_carry(2), broken[:4])
    end, tail = apply(params, middle, broken[4:])
    close((end, np.concatenate([head, tail])), (whole_end, expected))


# ------------------------------------------------------------------------------------------------------ names and counts
def test_stored_weights_of_a_gru_fit():
    stored = records.load("digits-gru")["params"]["memory"]
    width = stored["cell_0"]["hr"]["kernel"].shape[0]
    gru = GRU(width, layers=len(stored))
    shapes = jax.eval_shape(lambda: gru.init(jax.random.key(0), gru.initial_carry(1), jnp.zeros((1, 1, width))))
    assert jax.tree.map(jnp.shape, shapes["params"]) == jax.tree.map(jnp.shape, stored)


@pytest.mark.parametrize("name", list(MEMORIES))
def test_match_parameters_finds_the_nearest_width(name):
    options = {"state_size": 8, "layers": 1} if name == "s5" else {"layers": 1} if name in SMALL else {}
    width = match_parameters(name, 5, 20_000, **options)

    def count(width):
        memory = make_memory(name, width, **options)
        init = lambda: memory.init(jax.random.key(0), memory.initial_carry(1), jnp.zeros((1, 1, width)))  # noqa: E731
        return count_parameters(jax.eval_shape(init)) + 6 * width

    unit = next(kind.width_unit(**options) for kind in KINDS if kind.name == name)
    assert width % unit == 0
    assert abs(count(width) - 20_000) == min(abs(count(width + shift) - 20_000) for shift in (-unit, 0, unit))
    assert match_parameters(name, 5, count(width), **options) == width


def test_attention_is_as_wide_as_its_heads_allow():
    assert Transformer.width_unit() == 8 and Transformer.width_unit(heads=3, layers=1) == 6


def test_count_parameters_counts_complex_numbers_twice_and_reads_shapes():
    tree = {"a": jnp.ones((2, 3)), "b": jnp.ones(2, jnp.complex64)}
    assert count_parameters(tree) == count_parameters(jax.eval_shape(lambda: tree)) == 10


# ------------------------------------------------------------------------------------------------------------- bad input
@pytest.mark.parametrize(
    "name, features, options, error, message",
    [
        ("s55", 8, {}, ValueError, r"name must be one of 's5', 'gru'.* Did you mean 's5'\?"),
        ("attentions", 8, {}, ValueError, r"Did you mean 'attention'\?"),
        ("gru", 8, {"layer": 2}, TypeError, r"'gru' has no option 'layer'; it has layers.* Did you mean 'layers'\?"),
        ("gru", 8, {"window": 2}, TypeError, "'gru' has no option 'window'; it has layers, residual"),
        ("s5", 8, {"parent": None}, TypeError, "'s5' has no option 'parent'"),
        ("gru", 0, {}, ValueError, "features must be a positive integer; got 0"),
        ("lstm", 8, {"layers": 1.5}, TypeError, "layers must be an integer"),
        ("lstm", 8, {"forget_bias": float("inf")}, ValueError, "forget_bias must be finite"),
        ("attention", 8, {"window": 0}, ValueError, "window must be a positive integer; got 0"),
        ("attention", 8, {"heads": 3}, ValueError, "features must be a multiple of 2 \\* heads = 6.*got 8"),
        ("attention", 12, {}, ValueError, "features must be a multiple of 2 \\* heads = 8.*got 12"),
        ("none", 8, {"layers": -1}, ValueError, "layers must be a positive integer; got -1"),
        ("s5", 8, {"state_size": 7}, ValueError, "state_size must be a positive multiple of 2"),
    ],
)
def test_bad_names_and_options_are_refused(name, features, options, error, message):
    with pytest.raises(error, match=message):
        make_memory(name, features, **options)


@every
def test_bad_calls_are_refused(case):
    memory, _, params, x, resets, carry = made(case)
    bad = [
        ((carry, x[0], resets), ValueError, r"x must have shape \(T, B, 8\)"),
        ((carry, x[..., :2], resets), ValueError, "x must have shape"),
        ((carry, x[:0], resets[:0]), ValueError, "x must have shape"),
        ((carry, x.astype(int), resets), TypeError, "x must be real floating point"),
        ((carry, x, resets[:4]), ValueError, "resets must have shape"),
        ((carry, x, resets.astype(float)), TypeError, "resets must be bool"),
        ((None, x, resets), ValueError, "carry must"),
    ]
    if jax.tree.leaves(carry):
        bad.append(((memory.initial_carry(B + 1), x, resets), ValueError, "carry must have shape"))
    for arguments, error, message in bad:
        with pytest.raises(error, match=message):
            memory.apply(params, *arguments)
    with pytest.raises(ValueError, match="batch_size must be a positive integer"):
        memory.initial_carry(0)


def test_targets_out_of_reach_are_refused():
    with pytest.raises(ValueError, match="target must be 10 or more for 'gru'"):
        match_parameters("gru", 0, 5)
    with pytest.raises(ValueError, match=r"target must be .* and its size vary"):
        match_parameters("none", 0, 100, layers=0)
    with pytest.raises(TypeError, match="Did you mean 'layers'"):
        match_parameters("gru", 0, 100, layer=2)
    with pytest.raises(ValueError, match="features_in must be a positive integer"):
        match_parameters("gru", -1, 100)
