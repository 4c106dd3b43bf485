"""The command that makes the stored runs, and tuning, with every family at the smoke budget."""

import dataclasses
import json
import re

import pytest

from s5lib import experiments, records
from s5lib.experiments import command, search
from s5lib.experiments.family import TUNING_SEED


def shrunk(monkeypatch, **changes):
    """Every family at the smoke budget in place of the cpu budget; of its tuning, what is named."""
    families = []
    for family in experiments.FAMILIES:
        configs = {name: family.smoke(config) for name, config in family.configs.items()}
        how = family.tuning and dataclasses.replace(family.tuning, **changes)
        families.append(dataclasses.replace(family, configs=configs, tuning=how))
    monkeypatch.setattr(experiments, "FAMILIES", tuple(families))


@pytest.mark.parametrize("name, weights", [("digits-gru", True), ("repeat-previous-easy-gru", False)])
def test_the_command_stores_a_run_once(name, weights, tmp_path, monkeypatch, capsys):
    shrunk(monkeypatch)
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(records, "results_folder", lambda: tmp_path / "results")
    monkeypatch.setenv("S5LIB_BUILD", "1")
    assert command.main([name, "--seeds", "0", "--out", str(tmp_path / "out")]) == 0
    files = sorted(path.name for path in (tmp_path / "results").iterdir())
    assert files == [f"{name}.jsonl"] + [f"{name}.npz"] * weights
    capsys.readouterr()
    command.main([name, "--seeds", "0", "--out", str(tmp_path / "out")])
    assert capsys.readouterr().out == f"{name} seed 0: stored already\n"
    # The first update, made again, is what was stored; unless the file says otherwise.
    assert command.main([name, "--check"]) == 0 and capsys.readouterr().out == f"{name}: the same\n0 differ\n"
    path = tmp_path / "results" / f"{name}.jsonl"
    head, line = path.read_text().splitlines()
    run = json.loads(line)
    run["metrics"]["loss"][0] = 2 * run["metrics"]["loss"][0] + 1
    path.write_text(head + "\n" + json.dumps(run) + "\n")
    assert command.main([name, "--check"]) == 1
    assert re.search(rf"{name}: loss \S+ stored, \S+ now\n1 differ", capsys.readouterr().out)


def test_the_command_takes_the_beginning_of_names(monkeypatch):
    assert command.chosen(["memory-length-4-l", "packed-s5-no-resets", "packed"]) == [
        "memory-length-4-lstm", "memory-length-4-lstm-open", "packed-s5-no-resets", "packed-gru", "packed-s5"
    ]  # fmt: skip
    with pytest.raises(ValueError, match="Did you mean 'digits-s5'"):
        command.chosen(["digit-s5"])


def test_tuning_records_every_try(tmp_path, monkeypatch):
    shrunk(monkeypatch, tries=({"lr": 1e-3}, {"lr": 2e-3}))
    monkeypatch.setattr(records, "results_folder", lambda: tmp_path)
    found = search.tune("memory-length-none", tmp_path / "out", progress=False)
    assert found["chosen"] in found["tries"] and len(found["score"]) == 2 and found["seed"] == TUNING_SEED
    assert experiments.tuning()["memory-length-none"]["score"] == found["score"]


def test_tuning_goes_on_where_a_run_diverges(tmp_path, monkeypatch):
    shrunk(monkeypatch, tries=({"lr": 1e30}, {"lr": 1e-3}), changes={"total_steps": 256})
    monkeypatch.setattr(records, "results_folder", lambda: tmp_path)
    found = search.tune("projected-cartpole-none", tmp_path / "out", progress=False)
    assert found["score"][0] == 0 < found["score"][1] and found["chosen"] == {"lr": 1e-3}
