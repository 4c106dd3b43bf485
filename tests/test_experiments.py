"""Named experiments, and the stored runs: each is held to today's config and can still be run."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from s5lib import experiments, runs
from s5lib.config import BUDGETS, Experiment
from s5lib.supervised import make, num_params

STORED = sorted(path.name for path in runs.results_folder().glob("*.seed*.json"))


def record(name):
    return json.loads((runs.results_folder() / name).read_text())


@pytest.mark.parametrize("name", experiments.names())
@pytest.mark.parametrize("budget", BUDGETS)
def test_every_name_has_a_config_at_every_budget(name, budget):
    found = experiments.get(name, budget)
    assert isinstance(found, Experiment) and (found.name, found.budget) == (name, budget)
    assert dataclasses.is_dataclass(found.config) and hash(found.config) == hash(found.config)
    assert found.metric == "accuracy" and found.source
    assert (found.expected is None) == (budget == "smoke")
    assert not found.config.validation


def test_the_budget_in_force_decides_when_none_is_named(monkeypatch):
    monkeypatch.setenv("S5LIB_BUDGET", "smoke")
    assert experiments.get("digits-s5") == experiments.get("digits-s5", "smoke")
    assert experiments.get("digits-s5", "gpu").config == experiments.get("digits-s5", "cpu").config


def test_unknown_names_and_budgets_are_refused():
    with pytest.raises(ValueError, match=r"got 'digit-s5'. Did you mean 'digits-s5'\?"):
        experiments.get("digit-s5")
    with pytest.raises(ValueError, match=r"budget must be one of 'smoke', 'cpu', 'gpu', 'paper'; got 'tiny'"):
        experiments.get("digits-s5", "tiny")


@pytest.mark.parametrize("task", ["digits", "packed"])
def test_the_memories_have_equal_parameters_and_equal_tuning(task):
    configs = [experiments.get(f"{task}-{memory}", "cpu").config for memory in ("s5", "gru")]
    counts = [num_params(jax.eval_shape(make(config).init, jax.random.key(0)).params) for config in configs]
    assert abs(counts[0] - counts[1]) < 0.02 * max(counts)
    own = {"memory", "features", "learning_rate", "weight_decay"}
    fields = [{key: value for key, value in dataclasses.asdict(config).items() if key not in own} for config in configs]
    assert fields[0] == fields[1]


@pytest.mark.parametrize("name", ["digits-s5", "digits-gru", "packed-s5", "packed-gru"])
def test_each_config_is_the_one_that_tuning_chose(name):
    trials = experiments.tuning()[name]
    assert trials["trials"] == list(experiments.TRIALS)
    assert len(trials["validation_accuracy"]) == len(experiments.TRIALS)
    best = int(np.argmax(trials["validation_accuracy"]))
    config = dataclasses.asdict(experiments.get(name, "cpu").config)
    assert trials["chosen"] == trials["trials"][best] == {key: config[key] for key in trials["chosen"]}


def test_only_the_flags_differ_where_resets_are_left_out():
    with_flags, without = (experiments.get(name, "cpu").config for name in ("packed-s5", "packed-s5-no-resets"))
    assert dataclasses.replace(with_flags, resets=False) == without


def test_every_experiment_is_stored_for_seeds_without_gaps():
    assert runs.stored_names() == experiments.names()
    for name in experiments.names():
        seeds = [result.seed for result in runs.stored(name)]
        assert seeds == list(range(len(seeds))) and len(seeds) >= 3


@pytest.mark.parametrize("name", STORED)
def test_a_stored_run_is_of_todays_config_and_says_where_it_comes_from(name):
    run = record(name)
    experiment = experiments.get(run["name"], run["budget"])
    assert run["hash"] == runs.config_hash(experiment.config)
    assert run["config"] == {"class": "DigitsConfig", **dataclasses.asdict(experiment.config)}
    assert {"versions", "processor", "cores", "device", "commit"} <= set(run["provenance"])
    lengths = {len(values) for values in run["metrics"].values()}
    assert len(lengths) == 1 and lengths.pop() <= 200
    assert run["metrics"]["update"][-1] == experiment.config.num_updates
    assert 0 <= run["final"]["accuracy"] <= 1
    assert (runs.results_folder() / name).stat().st_size < 50_000


@pytest.mark.parametrize("name", experiments.names())
def test_the_number_to_expect_is_the_mean_of_the_stored_seeds(name):
    scores = [result.final["accuracy"] for result in runs.stored(name)]
    assert experiments.get(name, "cpu").expected == pytest.approx(np.mean(scores), abs=0.0006)


@pytest.mark.parametrize("name", experiments.names())
def test_stored_weights_are_small_and_score_what_was_stored(name):
    assert (runs.results_folder() / f"{name}.npz").stat().st_size <= 1_000_000
    learner = make(experiments.get(name, "cpu").config)
    shapes = jax.eval_shape(learner.init, jax.random.key(0))
    params = runs.load(name)
    jax.tree.map(
        lambda want, got: np.testing.assert_equal((want.shape, want.dtype), (got.shape, got.dtype)),
        shapes.params,
        params,
    )
    scores = learner.evaluate(shapes._replace(params=params))
    for metric, value in runs.stored(name)[0].final.items():
        assert scores[metric] == pytest.approx(value, abs=0.004)


@pytest.mark.slow
@pytest.mark.parametrize("name", experiments.names())
def test_one_update_of_each_stored_config_still_runs(name):
    learner = make(dataclasses.replace(experiments.get(name, "cpu").config, steps_per_update=1))
    _, metrics = jax.jit(learner.update)(learner.init(jax.random.key(0)))
    assert all(np.isfinite(value) for value in metrics.values())


def test_the_claims_of_the_stored_runs_hold():
    def mean(name, metric="accuracy"):
        return np.mean([result.final[metric] for result in runs.stored(name)])

    assert mean("digits-s5") >= 0.97
    assert mean("packed-s5") - mean("packed-s5", "accuracy_resets_hidden") >= 0.2
    assert mean("packed-s5") - mean("packed-s5-no-resets") >= 0.2


def test_the_command_stores_a_run_once(tmp_path, monkeypatch, capsys):
    smoke = {name: experiments.get(name, "smoke").config for name in experiments.names()}
    monkeypatch.setattr(experiments, "_CPU", smoke)
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(runs, "results_folder", lambda: tmp_path / "results")
    monkeypatch.setenv("S5LIB_BUILD", "1")
    experiments.main(["digits-gru", "--seeds", "0", "--out", str(tmp_path / "out")])
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["digits-gru.npz", "digits-gru.seed0.json"]
    capsys.readouterr()
    experiments.main(["digits-gru", "--seeds", "0", "--out", str(tmp_path / "out")])
    assert capsys.readouterr().out == "digits-gru seed 0: stored already\n"
