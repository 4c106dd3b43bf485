"""The budget in force and the checks that arguments pass through: what is refused, and that the message helps."""

import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import s5lib
from s5lib import config

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", config.BUDGETS)
def test_the_environment_variable_decides_the_budget(monkeypatch, name):
    monkeypatch.setenv("S5LIB_BUDGET", name)
    assert config.budget() == name


@pytest.mark.parametrize(("backend", "expected"), [("cpu", "cpu"), ("gpu", "gpu"), ("tpu", "cpu")])
def test_without_it_the_device_decides(monkeypatch, backend, expected):
    monkeypatch.delenv("S5LIB_BUDGET", raising=False)
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    assert config.budget() == expected


def test_a_misspelt_budget_is_refused_with_the_nearest_one(monkeypatch):
    monkeypatch.setenv("S5LIB_BUDGET", "papr")
    with pytest.raises(ValueError, match=r"S5LIB_BUDGET must be one of .*'papr'. Did you mean 'paper'\?"):
        config.budget()


@pytest.mark.parametrize("value", [2, np.int32(2)])
def test_positive_integers_pass(value):
    assert config.check_positive_int("layers", value) == 2


@pytest.mark.parametrize(
    ("value", "multiple_of", "error", "message"),
    [
        (2.0, 1, TypeError, "layers must be an integer; got 2.0 of type float"),
        (True, 1, TypeError, "layers must be an integer"),
        ("2", 1, TypeError, "layers must be an integer"),
        (0, 1, ValueError, "layers must be a positive integer; got 0"),
        (-4, 4, ValueError, "layers must be a positive multiple of 4; got -4"),
        (6, 4, ValueError, "layers must be a positive multiple of 4; got 6"),
    ],
)
def test_other_values_do_not(value, multiple_of, error, message):
    with pytest.raises(error, match=message):
        config.check_positive_int("layers", value, multiple_of)


@pytest.mark.parametrize("value", [1, 0.5, [0.5, 2], np.float32(3), jnp.ones(3), jnp.ones(2, jnp.bfloat16)])
def test_real_numbers_pass(value):
    config.check_real("step", value, positive=True)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (1j, TypeError, "step must be real; got dtype complex"),
        (jnp.ones(2, complex), TypeError, "step must be real"),
        ("fast", TypeError, "step must be real"),
        (None, TypeError, "step must be real"),
        (True, TypeError, "step must be real"),
        ([0.1, float("nan")], ValueError, "step must be finite; it holds 1 NaN"),
        (float("inf"), ValueError, "step must be finite"),
        ([0.1, -2.0], ValueError, "step must be positive; its smallest value is -2.0"),
        (0, ValueError, "step must be positive"),
    ],
)
def test_what_is_not_real_finite_or_positive_is_named(value, error, message):
    with pytest.raises(error, match=message):
        config.check_real("step", value, positive=True)


def test_traced_values_are_let_through_but_their_dtype_is_not():
    jax.jit(lambda x: config.check_real("step", x, positive=True))(-1.0)
    with pytest.raises(TypeError, match="step must be real"):
        jax.jit(lambda x: config.check_real("step", x))(1j)


def test_shapes():
    config.check_shape("x", np.ones((3, 4)), ("T", 4))
    for value, shape in ((np.ones((3, 5)), "(3, 5)"), (np.ones(4), "(4,)")):
        with pytest.raises(ValueError, match=r"x must have shape \(T, 4\); got") as error:
            config.check_shape("x", value, ("T", 4))
        assert shape in str(error.value)


def test_a_missing_package_comes_with_the_command_that_installs_it():
    assert config.require("json", "viz").dumps([]) == "[]"
    with pytest.raises(ImportError, match=r"nonesuch is not installed; .*pip install 's5lib\[viz\]'"):
        config.require("nonesuch.part", "viz")


def test_an_experiment_cannot_be_changed():
    experiment = config.Experiment("a", "cpu", None, "accuracy", 0.9, "measured")
    with pytest.raises(AttributeError):
        experiment.expected = 1.0


def test_an_unknown_public_name_lists_the_known_ones():
    with pytest.raises(AttributeError, match=r"public names: .*linear_scan"):
        _ = s5lib.linear_scam


def test_a_jax_known_to_compute_wrongly_is_warned_about(monkeypatch):
    for version in s5lib.BAD_JAX:
        monkeypatch.setattr(jax, "__version__", version)
        with pytest.warns(UserWarning, match=rf"jax {version} .*pip install 'jax!=0\.10\.2"):
            s5lib._warn_about_jax()
    project = (ROOT / "pyproject.toml").read_text()
    excluded = re.search(r'"jax>=[\d.]+((?:,!=[\d.]+)*)"', project).group(1)
    assert excluded == "".join(f",!={version}" for version in s5lib.BAD_JAX)


def test_this_jax_multiplies_and_adds_the_same_under_jit():
    """jax-ml/jax issue 39103: a vmapped product of matrix and vector, then a sum, came out wrong on CPU with jax 0.10.2."""
    matrices, vector = jnp.full((64, 64, 1024), 16.0), jnp.full(1024, 16.0)

    def total(matrices):
        return jax.vmap(lambda matrix: (matrix @ vector).sum())(matrices).sum()

    assert float(total(matrices)) == float(jax.jit(total)(matrices)) == 64 * 64 * 1024 * 256
