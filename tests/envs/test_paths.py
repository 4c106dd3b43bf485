"""Where things of ``s5lib.envs`` live: the order of its modules, and every path that a name was ever reached by."""

import ast
import importlib
import pathlib
import subprocess
import sys

import pytest

import s5lib.envs

HERE = pathlib.Path(s5lib.envs.__file__).parent
# Each imports only those before it. What is not listed is an environment of its own.
ENVIRONMENT = "memory_chain"
ORDER = [
    "spaces", "base", "vector", "wrappers", "players", ENVIRONMENT, "popgym", "trials", "projection", "physics", "worlds",
    "tasks", "__init__",
]  # fmt: skip

# module -> name -> where it lives now, for all that was public there, or used from elsewhere, before the modules were cut
MOVED = {
    "base": {
        "ActionRepeat": "wrappers",
        "EpisodeStatistics": "wrappers",
        "PreviousAction": "wrappers",
        "TimeLimit": "wrappers",
        "WrappedState": "wrappers",
        "Wrapper": "wrappers",
        "inner": "wrappers",
        "VectorEnv": "vector",
        "VectorState": "vector",
        "rarely": "vector",
        "vectorize": "vector",
        "Episode": "players",
        "play": "players",
        "MultiDiscrete": "spaces",
        "Description": "base",
        "Environment": "base",
        "check_action": "base",
        "check_vectors": "base",
        "one_hots": "base",
    },
    "projection": {
        "DISTRIBUTIONS": "projection",
        "ProjectedCartPole": "tasks",
        "ProjectedState": "projection",
        "Projection": "projection",
        "Reals": "spaces",
        "random_matrix": "projection",
    },
    "trials": {"TrialState": "trials", "Trials": "trials"},
    "worlds": {
        "HELD_OUT": "tasks",
        "PROJECTED": "tasks",
        "SPREADS": "tasks",
        "TRAIN": "tasks",
        "ManyVectorEnv": "worlds",
        "ManyWorlds": "worlds",
        "Padded": "wrappers",
        "ProjectedWorlds": "tasks",
        "Standardized": "wrappers",
        "check_action_box": "base",
        "check_share": "worlds",
        "measure_spread": "tasks",
    },
    "memory_chain": dict.fromkeys(("MEMORY_LENGTHS", "MemoryChain", "State", "bsuite_score"), "memory_chain"),
    "physics": dict.fromkeys(("Brax", "PHYSICS", "PhysicsState", "Playground", "physics", "physics_names"), "physics"),
    "popgym": {"ALIASES": "popgym", "FAMILIES": "popgym", "Family": "base"},
    "": {
        "ActionRepeat": "wrappers",
        "Brax": "physics",
        "Description": "base",
        "Environment": "base",
        "Episode": "players",
        "EpisodeStatistics": "wrappers",
        "ManyWorlds": "worlds",
        "MemoryChain": "memory_chain",
        "MultiDiscrete": "spaces",
        "Padded": "wrappers",
        "Playground": "physics",
        "PreviousAction": "wrappers",
        "ProjectedCartPole": "tasks",
        "ProjectedWorlds": "tasks",
        "Projection": "projection",
        "Standardized": "wrappers",
        "TimeLimit": "wrappers",
        "Trials": "trials",
        "VectorEnv": "vector",
        "Wrapper": "wrappers",
        "inner": "wrappers",
        "measure_spread": "tasks",
        "physics_names": "physics",
        "play": "players",
        "vectorize": "vector",
    },
}
PATHS = [(old, name, new) for old, names in MOVED.items() for name, new in names.items()]


def module(name: str):
    return importlib.import_module(f"s5lib.envs.{name}".rstrip("."))


@pytest.mark.parametrize("old, name, new", PATHS, ids=lambda part: part or "envs")
def test_old_paths_lead_to_the_same_object(old, name, new):
    assert getattr(module(old), name) is getattr(module(new), name)
    assert name in module(new).__all__ or name == "PHYSICS"


def test_the_module_of_spaces_is_reached_as_before():
    from s5lib.envs.base import spaces

    assert spaces is module("spaces")
    assert {"Box", "Discrete"} <= set(dir(spaces))


def test_unknown_names_are_refused():
    for old in ("base", "projection", "worlds"):
        with pytest.raises(AttributeError, match=f"module 's5lib.envs.{old}' has no attribute 'Nothing'"):
            _ = module(old).Nothing


@pytest.mark.parametrize("old, name", [("base", "PreviousAction"), ("projection", "Reals"), ("worlds", "SPREADS")])
def test_an_old_path_may_be_the_first_import_of_all(old, name):
    done = subprocess.run(
        [sys.executable, "-c", f"from s5lib.envs.{old} import {name}"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", sorted(HERE.rglob("*.py")), ids=lambda path: str(path.relative_to(HERE)))
def test_modules_import_only_those_above(path):
    own = path.relative_to(HERE).parts[0].removesuffix(".py")

    def place(name):
        return ORDER.index(name if name in ORDER else ENVIRONMENT)

    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("s5lib.envs"):
            inside = node.module.removeprefix("s5lib.envs").lstrip(".")
            for name in [inside.split(".")[0]] if inside else [alias.name for alias in node.names]:
                assert name == own or place(name) < place(own), f"{own} imports {name}, which stands below or beside it"
