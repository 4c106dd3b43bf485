"""Records: whose run it was, to the environment's last field; the defaults that records lean on; the files of stored runs."""

import dataclasses
import importlib.metadata
import json
import multiprocessing
import os
import pathlib
import subprocess
import sys
import types
from dataclasses import dataclass

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import s5lib
from s5lib import envs, memory, ppo, records, runs
from s5lib.amago import AmagoConfig
from s5lib.ppo import PPOConfig
from s5lib.supervised import DigitsConfig
from tests.test_runs import Walk

SMALL = PPOConfig(
    memory="none",
    features=8,
    encoder=(8,),
    head=(8,),
    num_envs=4,
    num_steps=16,
    num_minibatches=2,
    total_steps=128,
    eval_episodes=8,
)


def test_trials_are_read_from_the_score_in_their_order():
    final = {"trial_return": 0.5, **{f"trial/{k}": k / 10 for k in (10, 2, 0, 1, *range(3, 10))}}
    np.testing.assert_allclose(records.Result(None, 0, {}, final).trials, np.arange(11) / 10)
    assert records.Result(None, 0, {}, {"return": 1.0}).trials.shape == (0,)


def test_the_hash_changes_with_every_field_and_with_the_class():
    hashes = {
        records.config_hash(config) for config in (Walk(), Walk(8), Walk(width=2.0), Walk(breaks=1), DigitsConfig())
    }
    assert len(hashes) == 5


# ------------------------------------------------------------------------------------------------- whose run it is
def test_a_field_added_with_a_default_moves_no_hash():
    wider = dataclasses.make_dataclass(
        "Walk", [("num_updates", int, 7), ("extra", str, "none"), ("width", float, 1.0)], frozen=True
    )
    assert records.config_hash(wider()) == records.config_hash(Walk())
    assert records.config_hash(wider(width=2.0)) == records.config_hash(Walk(width=2.0))
    assert records.config_hash(wider(extra="more")) != records.config_hash(Walk())


def test_a_field_added_with_a_default_leaves_a_run_the_same():
    now = records.identity(Walk(), 0, None)
    before = {**now, "config": {name: value for name, value in now["config"].items() if name != "breaks"}}
    assert records.differences(before, now) == []
    other = records.identity(Walk(breaks=3), 0, None)
    assert records.differences(before, other) == ["breaks: None there, 3 now"]
    assert (
        records.differences({name: value for name, value in now.items() if name not in ("set", "environments")}, now)
        == []
    )


def own(env):
    return ppo.make(SMALL, env)


@pytest.mark.parametrize(
    "there, now, words",
    [
        (envs.make("PositionOnlyCartPoleEasy"), envs.make("PositionOnlyCartPoleHard"), "max_steps"),
        (envs.make("PositionOnlyCartPoleEasy"), envs.TimeLimit(envs.make("PositionOnlyCartPoleEasy"), 50), "TimeLimit"),
        (
            envs.TimeLimit(envs.make("PositionOnlyCartPoleEasy"), 50),
            envs.TimeLimit(envs.make("PositionOnlyCartPoleEasy"), 60),
            "environment.env.env.max_steps: 50 there, 60 now",
        ),
        (gymnax.make("CartPole-v1")[0], gymnax.make("Acrobot-v1")[0], "gymnax.Acrobot"),
    ],
    ids=["fields", "wrappers", "a wrapper's field", "class"],
)  # fmt: skip
def test_a_run_in_another_environment_is_not_resumed(tmp_path, there, now, words):
    """The config is the same in both: the environment is the user's own."""
    identities = [records.identity(SMALL, 0, own(env)) for env in (there, now)]
    records.write(tmp_path / "run.json", json.dumps(identities[0]))
    (tmp_path / "metrics.jsonl").write_text('{"update": 1}\n')
    with pytest.raises(ValueError, match="holds another run") as refused:
        runs.train(SMALL, 0, tmp_path, progress=False, learner=own(now))
    assert words in str(refused.value)


def test_an_environments_parameters_are_part_of_the_run():
    class Longer(type(gymnax.make("CartPole-v1")[0])):
        @property
        def default_params(self):
            return super().default_params.replace(gravity=5.0)

    Longer.__name__ = Longer.__qualname__ = "CartPole"
    Longer.__module__ = "gymnax.environments"
    plain, light = (records.identity(SMALL, 0, own(env)) for env in (gymnax.make("CartPole-v1")[0], Longer()))
    assert records.differences(plain, light) == ["environment.params.gravity: None there, 5.0 now"]


def test_a_network_of_ones_own_is_part_of_the_run():
    env = envs.make("RepeatPreviousEasy")
    width = [ppo.ActorCritic(env.action_space(None), memory.GRU(features)) for features in (8, 16)]
    there, now = (records.identity(SMALL, 0, ppo.make(SMALL, env, network=network)) for network in width)
    assert records.differences(there, now) == ["network.memory.features: 8 there, 16 now"]
    assert json.loads(json.dumps(there)) == there
    del there["network"]  # as of a run that was begun before
    assert records.differences(there, now) == []


def test_a_run_in_the_same_environment_goes_on(tmp_path):
    env = envs.TimeLimit(envs.make("PositionOnlyCartPoleEasy"), 50)
    first = runs.train(SMALL, 0, tmp_path, progress=False, learner=own(env))
    assert first.environments["environment"]["env"]["env"] == {
        "class": "TimeLimit",
        "env": {"class": "CartPole"},
        "max_steps": 50,
    }
    seen = []
    again = runs.train(SMALL, 0, tmp_path, progress=False, learner=own(env), callback=seen.append)
    assert seen == [] and again.final == first.final


def test_what_is_described_is_json_and_the_same_every_time():
    @dataclass(frozen=True)
    class Odd:
        table: object
        play: object = max
        more: tuple = ()

    things = Odd(
        {"a": np.float32(1.5), "b": jnp.arange(3), "long": np.arange(1000.0)}, play=min, more=(Walk(width=3.0),)
    )
    once = json.dumps(records.described(things))
    assert once == json.dumps(records.described(dataclasses.replace(things)))
    assert json.loads(once)["more"] == [{"class": "Walk", "width": 3.0}] and json.loads(once)["play"] == "min"
    changed = {**things.table, "long": np.arange(1000.0) + 1}
    assert json.dumps(records.described(dataclasses.replace(things, table=changed))) != once
    assert records.described(types.SimpleNamespace(size=3, other=object()))["size"] == 3
    assert records.described(jax.random.key(0)) == [0, 0]


# A record says what differs from the defaults, so a default is for ever. Where one of these must change, give the old value
# by name in every experiment that leans on it, see that no stored hash moves, and change the line here.
DEFAULTS = {
    "ActionRepeat": {"repeats": 4},
    "AmagoConfig": {
        "env": "PackageDeliveryEasy", "env_options": [], "memory": "s5", "features": 64,
        "memory_options": [["state_size", 64], ["activation", "half_glu1"]], "encoder": [64, 64], "head": [64],
        "gammas": [0.7, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999], "acting_gamma": 0.999, "critic": "popart", "bins": 64,
        "bin_limit": 100000.0, "critics": 4, "target_critics": 2, "num_envs": 64, "num_steps": 8,
        "total_steps": 1000000, "updates_per_collect": 1, "batch_size": 24, "capacity": 4000, "relabel": "some",
        "rarity": 0.0, "reward_scale": 10.0, "popart_beta": 0.001, "epsilon_start": [1.0, 0.05],
        "epsilon_end": [0.8, 0.01], "epsilon_steps": 400000, "warmup": 200, "previous_action": True,
        "previous_reward": True, "eval_episodes": 512, "eval_env_options": [], "lr": 0.001, "ssm_lr": 1.0,
        "tau": 0.01, "td_coef": 10.0, "pg_coef": 1.0, "bc_coef": 0.1, "max_grad_norm": 1.0
    },
    "Autoencode": {"num_decks": 1},
    "Battleship": {"board_size": 10, "ship_sizes": [2, 3, 3, 4]},
    "Brax": {"world": "reacher", "max_steps": 1000, "backend": "spring"},
    "CartPole": {"shown": "positions", "noise_sigma": 0.0, "max_steps": 200},
    "Concentration": {"num_decks": 1, "deck_type": "ranks"},
    "CountRecall": {"num_decks": 1, "deck_type": "colors"},
    "DarkKeyToDoor": {"size": 8, "attempt_length": 50, "episode_length": 500},
    "DigitsConfig": {
        "task": "single", "memory": "s5", "features": 64, "state_size": 64, "layers": 2, "blocks": 4, "step_min": 0.001,
        "step_max": 0.1, "eigenvalues": "hippo", "ssm_lr": 1.0, "num_updates": 80, "steps_per_update": 25, "batch_size": 32,
        "num_steps": 512, "max_digits": 4, "resets": True, "learning_rate": 0.004, "weight_decay": 0.05,
        "max_grad_norm": 1.0, "shift": 1, "validation": False
    },
    "EpisodeStatistics": {},
    "FeedForward": {"layers": 2},
    "GRU": {"layers": 1, "residual": False},
    "HigherLower": {"num_decks": 1},
    "LSTM": {"layers": 1, "residual": False, "forget_bias": 1.0},
    "LabyrinthEscape": {"size": 10, "episode_length": 1024},
    "LabyrinthExplore": {"size": 10, "episode_length": 1024},
    "ManyWorlds": {"obs_size": None, "action_size": None},
    "MazeRunner": {
        "size": 11, "episode_length": 250, "min_goals": 1, "max_goals": 3, "control": "discrete", "permuted": False,
        "position": True
    },
    "MemoryChain": {"memory_length": 10, "num_bits": 1},
    "MetaFrozenLake": {"size": 4, "attempts": 10, "attempt_length": 40, "hole_share": 0.3},
    "MineSweeper": {"board_size": 4, "num_mines": 2},
    "MultiarmedBandit": {"num_bandits": 10, "episode_length": 200},
    "PPOConfig": {
        "env": "RepeatPreviousEasy", "env_options": [], "memory": "s5", "features": 128, "memory_options": [],
        "encoder": [128], "head": [128], "num_envs": 64, "num_steps": 128, "total_steps": 1000000, "update_epochs": 4,
        "num_minibatches": 4, "anneal": False, "previous_action": True, "previous_reward": False, "resets": True,
        "normalize_advantage": True, "clip_value": False, "eval_episodes": 512, "eval_env_options": [], "lr": 0.0005,
        "ssm_lr": 1.0, "gamma": 0.99, "gae_lambda": 0.95, "clip_eps": 0.2, "ent_coef": 0.0, "vf_coef": 1.0,
        "max_grad_norm": 0.5
    },
    "PackageDelivery": {
        "length": 30, "episode_length": 180, "min_forks": 2, "max_forks": 6, "min_goals": 2, "max_goals": 4, "packages": 3,
        "forgiving": False
    },
    "Padded": {"obs_size": 12, "action_size": 2},
    "Pendulum": {"noise_sigma": 0.0, "max_steps": 200},
    "Playground": {"world": "CartpoleSwingup", "max_steps": 1000},
    "PreviousAction": {"reward": False, "trial": False},
    "ProjectedCartPole": {
        "trials": 16, "fresh": True, "own_returns": False, "steps": None, "obs_size": 4, "action_size": 2,
        "distribution": "orthogonal", "gain": 1.0, "action_gain": 1.0, "mirror": False, "pool": None, "seed": 0,
        "held_out": False, "max_steps": 200
    },
    "ProjectedWorlds": {
        "worlds": ["CartpoleSwingup", "PointMass", "ReacherEasy", "FingerSpin", "FingerTurnHard", "BallInCup"],
        "obs_size": 12, "action_size": 2, "project": "both", "distribution": "orthogonal", "gain": 1.0, "pool": None,
        "seed": 0, "held_out": False, "max_steps": 1000, "repeats": 1, "standardized": True
    },
    "Projection": {
        "obs_size": None, "action_size": None, "distribution": "orthogonal", "gain": 1.0, "action_gain": 1.0,
        "mirror": False, "pool": None, "seed": 0, "held_out": False
    },
    "RepeatFirst": {"num_decks": 1},
    "RepeatPrevious": {"num_decks": 1, "k": 4},
    "S5Stack": {
        "state_size": 128, "layers": 2, "blocks": 1, "activation": "full_glu", "norm": "layer", "discretization": "zoh",
        "clip_eigs": True, "step_min": 0.001, "step_max": 0.1, "step_scale": 1.0, "scan_method": "auto"
    },
    "Standardized": {},
    "TMaze": {"length": 100},
    "TimeLimit": {"max_steps": 1000},
    "Transformer": {"layers": 2, "heads": 4, "window": 128, "normformer": False, "sigma_reparam": False},
    "Trials": {"trials": 16, "fresh": True, "own_returns": False, "steps": None},
    "Wrapper": {},
}  # fmt: skip


def pinned():
    """The defaults of everything that a run's identity is made of: configs, memories, environments, wrappers."""
    wrappers = {
        name: thing for name, thing in vars(envs).items() if isinstance(thing, type) and issubclass(thing, envs.Wrapper)
    }
    kinds = {
        *(kind for group in envs.FAMILIES.values() for kind, _ in group.values()),
        *wrappers.values(),
        *memory.MEMORIES.values(),
        envs.ManyWorlds,
        AmagoConfig,
        PPOConfig,
        DigitsConfig,
    }
    found = {}
    for kind in sorted(kinds, key=lambda kind: kind.__name__):
        entries = {entry.name: entry for entry in dataclasses.fields(kind) if entry.name not in ("parent", "name")}
        found[kind.__name__] = {
            name: records.described(entry.default)
            for name, entry in entries.items()
            if entry.default is not dataclasses.MISSING
        }
    return found


def test_the_defaults_that_stored_records_lean_on_have_not_moved():
    found = pinned()
    assert DEFAULTS.keys() <= found.keys()
    for name, defaults in DEFAULTS.items():
        moved = {
            field: (value, found[name].get(field))
            for field, value in defaults.items()
            if found[name].get(field) != value
        }
        assert not moved, (
            f"{name}: a default was (then, now) {moved}. Records lean on it: see the comment above DEFAULTS"
        )
    new = {name: defaults.keys() - DEFAULTS.get(name, {}).keys() for name, defaults in found.items()}
    assert not any(new.values()), (
        f"new defaults, to be pinned from now on: { {k: sorted(v) for k, v in new.items() if v} }"
    )


# ------------------------------------------------------------------------------------------------- stored results
def test_stored_runs_are_small_and_read_back(tmp_path, monkeypatch):
    result = runs.train(Walk(num_updates=450), 0, progress=False)
    monkeypatch.setattr(records, "results_folder", lambda: tmp_path)
    for seed in (0, 1):
        records.store("walk", "cpu", records.Result(**{**vars(result), "seed": seed}))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["walk.jsonl", "walk.npz"]
    assert records.stored_names() == ["walk"]
    found = records.stored("walk")
    assert [run.seed for run in found] == [0, 1]
    assert len(found[0].metrics["loss"]) == 100 and found[0].metrics["update"].dtype == int
    assert found[0].metrics["update"][[0, -1]].tolist() == [1, 450]
    kept = found[0].metrics["update"].astype(int) - 1
    np.testing.assert_allclose(found[0].metrics["loss"], result.metrics["loss"][kept], rtol=5e-4)
    assert found[0].final == result.final and found[0].provenance["hash"] == records.config_hash(result.config)
    jax.tree.map(np.testing.assert_array_equal, records.load("walk"), result.params)
    with pytest.raises(ValueError, match=r"stored: walk\. Did you mean 'walk'"):
        records.stored("wlak")


def test_a_stored_agent_keeps_what_tells_how_it_learnt(tmp_path):
    metrics = {"update": np.array([1, 2]), "return": np.array([1 / 3, 2 / 3]), "steps": np.array([12345678, 24691356])}
    metrics |= {"clip_fraction": np.ones(2), "wall_time": np.array([0.1234567, 12345.678])}
    metrics |= {"return/Arm": np.array([0.25, 0.75])}
    result = records.Result(Walk(), 0, metrics, {"return": 0.5}, {"w": np.ones(2)}, stopped_early=True)
    path = records.store("walk", "cpu", result, tmp_path, weights=False)
    assert list(tmp_path.iterdir()) == [path]
    head, record = (json.loads(line) for line in path.read_text().splitlines())
    assert head["hash"] == records.config_hash(Walk()) and head["config"] == {"class": "Walk", **vars(Walk())}
    assert record["stopped_early"] and record["metrics"] == {
        "update": [1, 2], "return": [0.3333, 0.6667], "steps": [12345678, 24691356], "wall_time": [0.1235, 12350.0],
        "return/Arm": [0.25, 0.75],
    }  # fmt: skip
    assert record["final"] == {"return": 0.5, "return_best_update": 2 / 3, "return_mean_update": 0.5}


def test_what_is_no_number_is_stored_as_null_and_believed_by_no_score(tmp_path, monkeypatch):
    """A return before the first episode's end: 0 would be the best of a task that only punishes."""
    metrics = {"update": np.arange(1, 5), "return": np.array([np.nan, np.nan, -3.0, -1.0])}
    path = records.store("walk", "cpu", records.Result(Walk(), 0, metrics, {}), tmp_path, weights=False)
    record = json.loads(path.read_text().splitlines()[1], parse_constant=pytest.fail)
    assert record["metrics"]["return"] == [None, None, -3.0, -1.0]
    assert record["final"] == {"return_best_update": -1.0, "return_mean_update": -2.0}
    monkeypatch.setattr(records, "results_folder", lambda: tmp_path)
    np.testing.assert_array_equal(records.stored("walk")[0].metrics["return"], metrics["return"])
    never = records.Result(Walk(), 1, {**metrics, "return": np.full(4, np.nan)}, {})
    records.store("walk", "cpu", never, tmp_path, weights=False)
    assert json.loads(path.read_text().splitlines()[2])["final"]["return_best_update"] is None


def test_no_stored_run_tells_a_return_before_its_first_episode_has_ended():
    for name in records.stored_names():
        for run in records.stored(name):
            if "episodes" in run.metrics:
                told = np.isfinite(run.metrics["return"])
                assert told[0] == (run.metrics["episodes"][0] > 0) and np.all(told[np.argmax(told) :])
                for metric in (metric for metric in run.metrics if metric.split("/")[0] == "return"):
                    np.testing.assert_array_equal(
                        np.isfinite(run.metrics[metric]), told, f"{name}, seed {run.seed}: {metric}"
                    )


def _measure(folder, key):
    records.results_folder = lambda: folder
    records.add_measurement("tuning", key, key)


def test_measurements_that_are_added_in_the_same_moment_are_all_kept(tmp_path):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.starmap(_measure, [(tmp_path, f"key{k}") for k in range(12)])
    assert sorted(json.loads((tmp_path / "tuning.json").read_text())) == sorted(f"key{k}" for k in range(12))


def test_a_run_needs_neither_git_nor_the_metadata_of_its_packages(monkeypatch):
    def missing(*arguments, **options):
        raise FileNotFoundError(2, "No such file or directory", "git")

    def unknown(package):
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(subprocess, "run", missing)
    monkeypatch.setattr(importlib.metadata, "version", unknown)
    monkeypatch.setattr(pathlib.Path, "read_text", missing)  # no /proc/cpuinfo
    monkeypatch.setattr(sys, "platform", "darwin")
    where = runs.train(Walk(), 0, progress=False).provenance
    assert where["commit"] is None and where["versions"]["jax"] == jax.__version__ and where["processor"]
    assert records.identity(Walk(), 0, None)["s5lib"] == s5lib.__version__


def test_a_run_of_another_config_or_environment_takes_the_place_of_all(tmp_path):
    first = runs.train(Walk(), 0, progress=False)
    for seed in (2, 0, 1):
        path = records.store("walk", "cpu", dataclasses.replace(first, seed=seed), tmp_path)
    assert [json.loads(line)["seed"] for line in path.read_text().splitlines()[1:]] == [0, 1, 2]
    again = dataclasses.replace(first, seed=1, final={"end": 5.0})
    records.store("walk", "cpu", again, tmp_path)
    assert [json.loads(line)["final"]["end"] for line in path.read_text().splitlines()[1:]] == [
        first.final["end"],
        5.0,
        first.final["end"],
    ]
    elsewhere = dataclasses.replace(first, environments={"environment": {"class": "Other"}})
    records.store("walk", "cpu", elsewhere, tmp_path)
    assert [json.loads(line).get("seed") for line in path.read_text().splitlines()] == [None, 0]
    records.store("walk", "cpu", runs.train(Walk(num_updates=8), 3, progress=False), tmp_path)
    assert [json.loads(line).get("seed") for line in path.read_text().splitlines()] == [None, 3]


def test_weights_are_there_before_a_record_names_them(tmp_path, monkeypatch):
    result = runs.train(Walk(), 0, progress=False)
    seen = []

    def crash(path, text):
        seen.append((tmp_path / "walk.npz").exists())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(records, "write", crash)
    with pytest.raises(OSError, match="No space"):
        records.store("walk", "cpu", result, tmp_path)
    assert seen == [True] and not (tmp_path / "walk.jsonl").exists()
    monkeypatch.undo()
    path = records.store("walk", "cpu", result, tmp_path)
    assert json.loads(path.read_text().splitlines()[1])["weights"] == "walk.npz"


def test_a_write_that_is_cut_short_leaves_the_old_file(tmp_path, monkeypatch):
    path = records.store("walk", "cpu", runs.train(Walk(), 0, progress=False), tmp_path)
    before = path.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *paths: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        records.store("walk", "cpu", runs.train(Walk(), 1, progress=False), tmp_path)
    assert path.read_bytes() == before


def _store(folder, result):
    records.store("walk", "cpu", result, folder, weights=False)


def test_seeds_that_end_in_the_same_moment_are_all_kept(tmp_path):
    result = runs.train(Walk(), 0, progress=False)
    plain = dataclasses.replace(result, params=None, provenance={})
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.starmap(_store, [(tmp_path, dataclasses.replace(plain, seed=seed)) for seed in range(12)])
    lines = (tmp_path / "walk.jsonl").read_text().splitlines()
    assert [json.loads(line)["seed"] for line in lines[1:]] == list(range(12))


def test_reading_is_noted(monkeypatch):
    monkeypatch.setattr(records, "_READ", set())
    records.stored("digits-s5")
    assert records.files_read() == ["digits-s5.jsonl"]
    assert not records.is_stored("digits-s7") and records.stored_names()
    assert records.files_read() == ["*.jsonl", "digits-s5.jsonl", "digits-s7.jsonl"]
    with pytest.raises(ValueError, match=r"no measurements are stored under 'envs-spede'; stored: .*envs-speed"):
        records.measurements("envs-spede")


@pytest.mark.parametrize(
    "name",
    ["Result", "config_hash", "is_stored", "load", "provenance", "results_folder", "store", "stored", "stored_names"],
)
def test_the_old_paths_lead_to_the_same_things(name):
    assert getattr(runs, name) is getattr(records, name)
