"""The digits, the packed sequences of them, the classifier and its learner."""

import dataclasses
import itertools
import sys
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits

from s5lib import hippo_eig, supervised
from s5lib.memory import GRU
from s5lib.supervised import (
    DigitsConfig,
    accuracy,
    digits,
    evaluate,
    make,
    make_classifier,
    num_params,
    packed_digits,
    single_digits,
)

SMALL = {"features": 8, "state_size": 8, "layers": 1, "blocks": 1}
CONFIGS = {
    (task, memory): DigitsConfig(
        task=task, memory=memory, **SMALL, batch_size=64, num_steps=128, steps_per_update=2, num_updates=2
    )
    for task in ("single", "packed")
    for memory in ("s5", "gru")
}


def rows(x):
    return {column.tobytes() for column in np.asarray(x)[..., 0].T}


def test_the_parts_of_the_digits_are_disjoint_complete_and_stratified():
    parts = {part: digits(part) for part in ("train", "heldout", "fit", "validation")}
    assert {part: x.shape[1] for part, (x, _) in parts.items()} == {
        "train": 1442,
        "heldout": 355,
        "fit": 1157,
        "validation": 285,
    }
    assert not rows(parts["train"][0]) & rows(parts["heldout"][0])
    assert not rows(parts["fit"][0]) & rows(parts["validation"][0])
    assert rows(parts["fit"][0]) | rows(parts["validation"][0]) == rows(parts["train"][0])
    for x, labels in parts.values():
        assert x.dtype == np.float32 and x.min() == -1 and x.max() == 1
        share = np.bincount(labels) / len(labels)
        assert np.all(np.abs(share - 0.1) < 0.005)


def test_pixels_stand_in_reading_order():
    images = load_digits().images
    x, labels = digits("heldout")
    found = x[..., 0].T.reshape(-1, 8, 8)
    place = [int(np.flatnonzero((images / 8 - 1 == image).all((1, 2)))[0]) for image in found[:20]]
    assert load_digits().target[place].tolist() == labels[:20].tolist()


def packed_by_hand(batch, labels_of):
    """Walk through packed sequences in plain Python and say what the label of every pixel must be."""
    resets, x = np.asarray(batch.resets), np.asarray(batch.x)
    expected = np.zeros(resets.shape, int)
    for b in range(resets.shape[1]):
        for t in range(0, len(resets), 64):
            if resets[t, b]:
                opening = labels_of[x[t : t + 64, b, 0].tobytes()]
            expected[t : t + 64, b] = opening
    return expected


def test_packed_digits_ask_for_the_digit_that_opened_the_episode():
    x, labels = digits("train")
    labels_of = {x[:, n, 0].tobytes(): labels[n] for n in range(len(labels))}
    batch = packed_digits(jax.random.key(3), x, labels, num_steps=1024, batch_size=50, max_digits=4)
    assert batch.x.shape == (1024, 50, 1)
    assert np.asarray(batch.resets)[0].all() and not np.asarray(batch.resets)[np.arange(1024) % 64 > 0].any()
    assert np.array_equal(np.asarray(batch.asked), np.broadcast_to(np.arange(1024)[:, None] % 64 == 63, (1024, 50)))
    assert np.array_equal(packed_by_hand(batch, labels_of), batch.labels)
    opened = np.asarray(batch.resets)[::64].T  # (B, digits)
    gaps = np.concatenate([np.diff(np.flatnonzero(row)) for row in opened])
    counts = np.bincount(gaps, minlength=5)
    assert counts[0] == 0 and len(counts) == 5 and np.all(counts[1:] > 0.15 * counts.sum())


def test_packed_digits_of_one_ask_for_their_own_class():
    batch = packed_digits(jax.random.key(0), *digits("fit"), num_steps=128, batch_size=4, max_digits=1)
    assert np.array_equal(np.asarray(batch.resets), np.broadcast_to(np.arange(128)[:, None] % 64 == 0, (128, 4)))


@pytest.mark.parametrize("layers", [1, 2])
def test_gru_agrees_with_a_plain_loop_and_forgets_at_resets(layers):
    gru = GRU(5, layers)
    key = jax.random.key(0)
    x = jax.random.normal(key, (7, 3, 5))
    resets = jnp.zeros((7, 3), bool).at[4, 1].set(True)
    carry = jax.tree.map(lambda a: a + 0.3, gru.initial_carry(3))
    params = gru.init(key, carry, x, resets)
    after, y = gru.apply(params, carry, x, resets)

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    inputs = np.asarray(x, np.float64)
    for layer in range(layers):
        cell = jax.tree.map(lambda a: np.asarray(a, np.float64), params["params"][f"cell_{layer}"])
        hidden, outputs = np.full((3, 5), 0.3), []
        for t in range(7):
            hidden = np.where(np.asarray(resets)[t][:, None], 0, hidden)
            u = inputs[t]
            r = sigmoid(u @ cell["ir"]["kernel"] + cell["ir"]["bias"] + hidden @ cell["hr"]["kernel"])
            z = sigmoid(u @ cell["iz"]["kernel"] + cell["iz"]["bias"] + hidden @ cell["hz"]["kernel"])
            back = hidden @ cell["hn"]["kernel"] + cell["hn"]["bias"]
            n = np.tanh(u @ cell["in"]["kernel"] + cell["in"]["bias"] + r * back)
            hidden = (1 - z) * n + z * hidden
            outputs.append(hidden)
        inputs = np.stack(outputs)
        np.testing.assert_allclose(after[layer], hidden, atol=1e-5)
    np.testing.assert_allclose(y, inputs, atol=1e-5)


@pytest.mark.parametrize("memory", ["s5", "gru"])
def test_packed_episodes_are_read_as_if_each_stood_alone(memory):
    model = make_classifier(DigitsConfig(memory=memory, **SMALL))
    batch = packed_digits(jax.random.key(1), *digits("fit"), num_steps=256, batch_size=1)
    carry = model.initial_carry(1)
    params = model.init(jax.random.key(0), carry, batch.x, batch.resets)
    _, logits = model.apply(params, carry, batch.x, batch.resets)
    openings = [*np.flatnonzero(batch.resets[:, 0]), 256]
    for start, stop in itertools.pairwise(openings):
        _, alone = model.apply(params, carry, batch.x[start:stop], batch.resets[start:stop])
        np.testing.assert_allclose(logits[start:stop], alone, atol=1e-4)


@pytest.mark.parametrize("key", [("single", "s5"), ("single", "gru"), ("packed", "s5")], ids="-".join)
def test_an_update_learns_and_is_a_function_of_its_state_alone(key):
    learner = make(CONFIGS[key])
    state = jax.jit(learner.init)(jax.random.key(0))
    update = jax.jit(learner.update)
    after, metrics = update(state)
    again, _ = update(state)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert {name: value.shape for name, value in metrics.items()} == dict.fromkeys(
        ["accuracy", "loss", "train_accuracy"], ()
    )
    assert all(np.isfinite(value) for value in metrics.values())
    moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), after.params, state.params)
    assert sum(jax.tree.leaves(moved)) > len(jax.tree.leaves(moved)) / 2
    jax.tree.map(np.testing.assert_array_equal, after.params, again.params)


def frequencies(params):
    """The frequencies of each S5 layer, in order."""
    found = jax.tree_util.tree_leaves_with_path(params)
    return [np.asarray(leaf) for path, leaf in found if path[-1].key == "Lambda_im"]


def test_the_eigenvalues_that_states_start_from():
    config = dataclasses.replace(CONFIGS["single", "s5"], state_size=64, layers=2)
    hippo, random, real = (
        make(dataclasses.replace(config, eigenvalues=kind)).init(jax.random.key(0)).params
        for kind in ("hippo", "random", "real")
    )
    for plain, drawn, none in zip(*map(frequencies, (hippo, random, real)), strict=True):
        np.testing.assert_allclose(plain, hippo_eig(64)[0].imag, rtol=1e-5)
        assert not none.any() and drawn.min() >= 0 and drawn.max() <= plain.max()
        assert abs(np.mean(drawn) / plain.max() - 0.5) < 0.2 and np.std(drawn) > plain.max() / 5
    assert not np.array_equal(*frequencies(random))  # a draw for each layer
    others = [
        jax.tree_util.tree_map_with_path(lambda p, x: None if p[-1].key == "Lambda_im" else x, t)
        for t in (hippo, random)
    ]
    jax.tree.map(np.testing.assert_array_equal, *others)  # and nothing else differs


@pytest.mark.slow
def test_the_slow_parameters_move_at_their_own_pace():
    def moves(pace):
        learner = make(dataclasses.replace(CONFIGS["single", "s5"], ssm_lr=pace))
        state = learner.init(jax.random.key(0))
        after = jax.jit(learner.update)(state)[0]
        paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(state.params)]
        moved = [
            float(jnp.abs(a - b).max())
            for a, b in zip(*map(jax.tree.leaves, (after.params, state.params)), strict=True)
        ]
        return {path[-1].key: how_far for path, how_far in zip(paths, moved, strict=True)}

    frozen, slow, free = moves(0.0), moves(0.01), moves(1.0)
    for name in ("Lambda_re", "Lambda_im", "B_tilde", "log_step"):
        assert frozen[name] == 0 < slow[name] < free[name] / 10
    assert frozen["C_tilde"] > 1e-3 and frozen["D"] > 1e-3


def test_init_and_update_run_under_vmap_over_seeds():
    learner = make(dataclasses.replace(CONFIGS["packed", "gru"], num_steps=64, steps_per_update=1))
    states = jax.vmap(learner.init)(jax.random.split(jax.random.key(0), 2))
    _, metrics = jax.jit(jax.vmap(learner.update))(states)
    assert metrics["loss"].shape == (2,) and metrics["loss"][0] != metrics["loss"][1]


class Oracle(nn.Module):
    """Answers what stands in ``answers`` (T, B) and reads nothing."""

    answers: Any

    def __call__(self, carry, x, resets, prepared=None):
        return carry, jax.nn.one_hot(self.answers, 10)

    def initial_carry(self, batch_size):
        return ()


def test_accuracy_counts_only_what_is_asked_for():
    batch = single_digits(*digits("validation"))
    elsewhere = jnp.where(batch.asked, batch.labels, (batch.labels + 1) % 10)
    assert accuracy(Oracle(elsewhere), {}, batch) == 1
    assert accuracy(Oracle((batch.labels + batch.asked) % 10), {}, batch) == 0


def test_hiding_the_flags_changes_what_a_memory_answers_and_is_reported():
    config = CONFIGS["packed", "s5"]
    learner = make(config)
    state = learner.init(jax.random.key(0))
    assert set(evaluate(config, state.params)) == {"accuracy", "accuracy_resets_hidden", "parameters"}
    blind = dataclasses.replace(config, resets=False)
    assert set(evaluate(blind, state.params)) == {"accuracy", "parameters"}
    hidden = evaluate(config, state.params)["accuracy_resets_hidden"]
    assert evaluate(blind, state.params)["accuracy"] == hidden


def test_num_params_counts_complex_numbers_twice():
    assert num_params({"a": jnp.ones((2, 3)), "b": jnp.ones(2, jnp.complex64)}) == 10


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"task": "pack"}, ValueError, "task must be one of 'single', 'packed'; got 'pack'"),
        ({"memory": "GRU"}, ValueError, "Did you mean 'gru'|memory must be one of"),
        ({"features": 0}, ValueError, "features must be a positive integer; got 0"),
        ({"layers": 1.5}, TypeError, "layers must be an integer"),
        ({"num_steps": 100}, ValueError, "num_steps must be a positive multiple of 64; got 100"),
        ({"learning_rate": -1.0}, ValueError, "learning_rate must be positive"),
        ({"weight_decay": -0.1}, ValueError, "weight_decay must be 0 or more"),
        ({"ssm_lr": -1.0}, ValueError, "ssm_lr must be 0 or more; got -1.0"),
        ({"eigenvalues": "hipo"}, ValueError, "eigenvalues must be one of .*Did you mean 'hippo'"),
        ({"shift": 3}, ValueError, "shift must be 0, 1 or 2 pixels; got 3"),
        ({"max_digits": 0}, ValueError, "max_digits must be a positive integer"),
    ],
)
def test_a_config_refuses_what_makes_no_sense(change, error, message):
    with pytest.raises(error, match=message):
        DigitsConfig(**change)


def test_functions_refuse_bad_arguments():
    x, labels = digits("fit")
    key = jax.random.key(0)
    with pytest.raises(ValueError, match=r"part must be one of .*Did you mean 'heldout'"):
        digits("held-out")
    with pytest.raises(ValueError, match=r"labels must have shape \(1157,\)"):
        single_digits(x, labels[:5])
    with pytest.raises(ValueError, match=r"x must have shape \(64, N, 1\)"):
        packed_digits(key, x[:32], labels)
    with pytest.raises(ValueError, match="num_steps must be a positive multiple of 64"):
        packed_digits(key, x, labels, num_steps=65)
    with pytest.raises(TypeError, match="config must be a DigitsConfig; got dict"):
        make({"task": "single"})


def test_without_scikit_learn_the_message_says_how_to_install_it(monkeypatch):
    supervised._scans.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"pip install 's5lib\[digits\]'"):
        digits("train")
