"""What is known of a run when it is over: whose run it was, where it ran, how it went; and the long runs that are stored.

Stored results are one file an experiment, ``<name>.jsonl``: a first line that says what was run, then a line a seed. The final
weights of one seed, where they are kept, lie beside it as ``<name>.npz``.
"""

import contextlib
import dataclasses
import errno
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import jax
import numpy as np

from s5lib.config import did_you_mean

__all__ = [
    "Identity", "Result", "add_measurement", "check_folder", "config_hash", "described", "environments", "files_read", "from_json",
    "hold", "is_stored", "load", "measurements", "provenance", "results_folder", "store", "stored", "stored_names", "to_json",
    "write",
]  # fmt: skip

Identity: TypeAlias = dict[str, Any]  # whose run it is, as ``identity`` makes it and JSON keeps it

POINTS_STORED = 100
RL_METRICS = (
    "return", "trial_return", "episodes", "steps", "entropy", "approx_kl", "explained_variance", "loss", "wall_time", "cpu_time",
)  # fmt: skip
LISTING = "*.jsonl"  # among the files read: which experiments there are
_READ: set[str] = set()


@dataclass(frozen=True)
class Result:
    """What a run leaves behind.

    Attributes:
        config: the dataclass that was trained; of a stored run, its fields as a dict.
        seed: the seed.
        metrics: name to an array with one entry an update; ``update`` counts from 1; ``wall_time`` and ``cpu_time``, the
            time that the processor gave to this run on all its cores, are in seconds since the first update. Of a run
            of more than 5000 updates, every k-th and the last: 5001 at most; ``metrics.jsonl`` has all.
        final: what the learner's ``evaluate`` gave after training.
        params: the final weights; None for a stored run (``load`` has those of one seed).
        provenance: versions, processor, cores in use, commit, seconds for compiling.
        stopped_early: True where ``until`` ended the run before its last update.
        environments: the environments that it ran in, as ``environments`` describes them.
    """

    config: Any
    seed: int
    metrics: dict[str, np.ndarray]
    final: dict[str, float]
    params: Any = field(default=None, repr=False)
    provenance: dict[str, Any] = field(default_factory=dict, repr=False)
    stopped_early: bool = False
    environments: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def wall_time(self) -> float:
        """Seconds from the first update to the last, compiling not counted."""
        return float(self.metrics["wall_time"][-1])

    @property
    def trials(self) -> np.ndarray:
        """Mean return of each trial of a life, as ``evaluate`` found it, (trials,); empty where there are none."""
        count = sum(name.startswith("trial/") for name in self.final)
        return np.array([self.final[f"trial/{k}"] for k in range(count)])


# ------------------------------------------------------------------------------------------------- whose run it is
def described(thing: Any) -> Any:
    """Say in JSON's words what something is: a dataclass is its class and the fields that differ from their defaults.

    A field that is added later, with a default, changes no description made before. Arrays are written out up to 64 numbers
    and as a digest beyond; an object that is no dataclass is its class and those of its attributes that are plain values.

    Args:
        thing: a config, an environment, a wrapper around one, or a plain value.
    Returns:
        Nested dicts, lists, numbers, strings.
    Example:
        >>> @dataclass(frozen=True)
        ... class Tiny:
        ...     width: int = 3
        ...     depth: int = 1
        >>> described(Tiny(width=4))
        {'class': 'Tiny', 'width': 4}
    """
    if thing is None or isinstance(thing, bool | int | float | str):
        return thing
    if isinstance(thing, tuple | list):
        return [described(part) for part in thing]
    if isinstance(thing, dict):
        return {str(key): described(value) for key, value in thing.items()}
    if isinstance(thing, np.ndarray | np.generic | jax.Array):
        return _array(thing)
    if isinstance(thing, type) or not hasattr(thing, "__dict__"):
        return getattr(thing, "__qualname__", type(thing).__qualname__)
    kind = type(thing)
    name = kind.__qualname__.rpartition(".")[2]
    home = kind.__module__.partition(".")[0]
    label = {"class": name if home == "s5lib" or dataclasses.is_dataclass(kind) else f"{home}.{name}"}
    if dataclasses.is_dataclass(kind):
        return {**label, **_set(thing)}
    if callable(thing) and hasattr(thing, "__qualname__"):
        return thing.__qualname__
    plain = {name: value for name, value in sorted(vars(thing).items()) if _is_plain(value)}
    return {**label, **described(plain)}


def _set(thing: Any) -> dict[str, Any]:
    """The fields of a dataclass that differ from their defaults, each described once; of a flax module its own alone."""
    found = {}
    for entry in dataclasses.fields(thing):
        if hasattr(thing, "scope") and entry.name in ("parent", "name"):
            continue
        default = entry.default if entry.default_factory is dataclasses.MISSING else entry.default_factory()
        value = described(getattr(thing, entry.name))
        if default is dataclasses.MISSING or value != described(default):
            found[entry.name] = value
    return found


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str | tuple | np.ndarray | jax.Array)


def _array(array: Any) -> Any:
    if jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
        array = jax.random.key_data(array)
    array = np.asarray(array)
    if array.size <= 64:
        return array.tolist()
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:12]
    return f"{array.dtype}{list(array.shape)} {digest}"


def config_hash(config: Any) -> str:
    """Return 12 hexadecimal digits that change whenever the config's class or a field's value does.

    They are of the class and the fields that differ from their defaults, so a field that is added with a default moves none.

    Args:
        config: a frozen dataclass.
    Raises:
        TypeError: config is no instance of a dataclass.
    Example:
        >>> @dataclass(frozen=True)
        ... class Tiny:
        ...     width: int = 3
        >>> config_hash(Tiny()) == config_hash(Tiny(3)), config_hash(Tiny()) == config_hash(Tiny(4))
        (True, False)
    """
    check_config(config)
    return hashlib.sha256(json.dumps(described(config), sort_keys=True).encode()).hexdigest()[:12]


def check_config(config: Any) -> None:
    """Refuse what is no instance of a dataclass."""
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        raise TypeError(f"config must be an instance of a dataclass, such as DigitsConfig(); got {config!r}")


def all_fields(config: Any) -> dict[str, Any]:
    """A config's class and every field, as JSON has them."""
    check_config(config)
    return json.loads(json.dumps({"class": type(config).__name__, **dataclasses.asdict(config)}))


def environments(learner: Any) -> dict[str, Any]:
    """Describe the environments that a learner really runs in: class, fields, wrappers, parameters.

    Args:
        learner: anything; what counts are its ``env``, where it has one, and its ``eval_env``, where that is another.
    Returns:
        "environment" and "eval_environment", as ``described``, those that there are; {} for a learner without.
    Example:
        >>> from s5lib.supervised import DigitsConfig
        >>> environments(DigitsConfig())
        {}
    """
    found = {}
    for key, env in (
        ("environment", getattr(learner, "env", None)),
        ("eval_environment", getattr(learner, "eval_env", None)),
    ):
        if env is not None:
            found[key] = {**described(env), "params": described(getattr(env, "default_params", None))}
    if found.get("eval_environment") == found.get("environment"):
        found.pop("eval_environment", None)
    return json.loads(json.dumps(found))


def identity(config: Any, seed: int | list[int], learner: Any) -> Identity:
    """Whose run a folder holds: config, environments, network, seed or seeds, and the version of s5lib that began it.

    "open" names the fields whose change is no other run but more of the same: the config's ``open_ended``, where it has that.
    """
    return {
        "hash": config_hash(config),
        "seed": seed,
        "config": all_fields(config),
        "set": list(_set(config)),
        "open": list(getattr(config, "open_ended", ())),
        "environments": environments(learner),
        "network": described(getattr(learner, "network", None)),
        "s5lib": _version("s5lib"),
    }


def differences(there: Identity, now: Identity) -> list[str]:
    """What tells two identities apart, in words; a field that one of them is too old to have stands at its default.

    Args:
        there: the identity of a run that was begun.
        now: that of the run that is asked for.
    Returns:
        One entry a difference: the field, its value there and now. Nothing for one and the same run.
    """
    rows: list[tuple[str, Any, Any]] = [("seed", there["seed"], now["seed"])]
    for name in {**there["config"], **now["config"]}:
        if name not in now["open"] and (name in there["config"] or name in now["set"]):
            rows.append((name, there["config"].get(name), now["config"].get(name)))
    for part, path in (("environments", ""), ("network", "network")):
        if part in there:  # runs of the first versions do not say
            rows += _apart(path, there[part], now[part])
    return [f"{name}: {old!r} there, {new!r} now" for name, old, new in rows if old != new]


def _apart(path: str, old: Any, new: Any) -> list[tuple[str, Any, Any]]:
    """Where two descriptions part, as deep down as they still have the same form."""
    if isinstance(old, dict) and isinstance(new, dict) and old.get("class") == new.get("class"):
        rows = [_apart(f"{path}.{key}".lstrip("."), old.get(key), new.get(key)) for key in {**old, **new}]
        return [row for part in rows for row in part]
    return [(path, old, new)] if old != new else []


def provenance() -> dict[str, Any]:
    """Say where and with what this process computes: versions, processor, device, commit."""
    packages = ("s5lib", "jax", "jaxlib", "flax", "optax", "numpy")
    here = pathlib.Path(__file__).resolve().parent
    git = partial(subprocess.run, cwd=here, capture_output=True, text=True, timeout=10)
    try:
        commit = git(["git", "rev-parse", "HEAD"]).stdout.strip() or None
        used = [module.__file__ for name, module in list(sys.modules.items()) if name.split(".")[0] == "s5lib"]
        if commit and git(["git", "status", "--porcelain", "--", *filter(None, used)]).stdout.strip():
            commit += "-dirty"
    except (OSError, subprocess.TimeoutExpired):
        commit = None
    return {
        "versions": {
            "python": platform.python_version(),
            **{name: _version(name) for name in packages},
        },
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "device": jax.devices()[0].device_kind,
        "commit": commit,
    }


def _version(package: str) -> str | None:
    """A package's version, by its metadata or by what it says itself: a copied folder has no metadata."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return getattr(sys.modules.get(package), "__version__", None)


def _processor() -> str:
    with contextlib.suppress(OSError, StopIteration):
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    if sys.platform == "darwin":
        with contextlib.suppress(OSError):
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(command, capture_output=True, text=True).stdout.strip() or platform.machine()
    return platform.processor() or platform.machine()


# ----------------------------------------------------------------------------------------------------- stored results
def results_folder() -> pathlib.Path:
    """Return the folder of stored runs: inside the package when installed from a wheel, ``book/results`` in a clone."""
    package = pathlib.Path(__file__).resolve().parent
    places = (package / "results", package.parent / "book" / "results")
    for place in places:
        if place.is_dir():
            return place
    raise FileNotFoundError(
        f"no stored results: neither {places[0]} nor {places[1]} exists; reinstall s5lib, or work in a clone"
    )


def _read(name: str) -> pathlib.Path:
    """The path of a file in the folder of stored results, noted as one that this process depends on."""
    _READ.add(name)
    return results_folder() / name


def files_read() -> list[str]:
    """Name the files of stored results that this process has asked for, those that are not there among them.

    Returns:
        Names in ``results_folder()``, sorted; ``"*.jsonl"`` stands for having asked which experiments there are.
    """
    return sorted(_READ)


def stored_names() -> list[str]:
    """Return the names of all experiments with stored runs.

    Example:
        >>> "digits-s5" in stored_names()
        True
    """
    _READ.add(LISTING)
    return _names()


def _names() -> list[str]:
    return sorted(path.stem for path in results_folder().glob(LISTING))


def is_stored(name: str) -> bool:
    """Say whether an experiment has stored runs.

    Args:
        name: the experiment's name.
    Example:
        >>> is_stored("digits-s5"), is_stored("digits-s6")
        (True, False)
    """
    return _read(f"{name}.jsonl").exists()


def stored(name: str) -> list[Result]:
    """Read the stored runs of one experiment, in the order of their seeds.

    Args:
        name: the experiment's name, such as ``"digits-s5"``.
    Returns:
        One Result a seed. Its metrics are thinned (200 points or fewer), its config is a dict, its params None.
    Raises:
        ValueError: nothing is stored under this name.
    Example:
        >>> [result.seed for result in stored("digits-s5")][:3]
        [0, 1, 2]
    """
    head, *seeds = _lines(_known(name))
    results = []
    for run in seeds:
        metrics = {metric: np.asarray(values) for metric, values in from_json(run["metrics"]).items()}
        where = {**run["provenance"], "hash": head["hash"], "budget": head["budget"]}
        early = run.get("stopped_early", False)
        ran_in = head["environments"]
        results.append(Result(head["config"], run["seed"], metrics, run["final"], None, where, early, ran_in))
    return results


def _lines(path: pathlib.Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def load(name: str) -> dict[str, Any]:
    """Read the stored weights of one seed of an experiment.

    Args:
        name: the experiment's name, such as ``"digits-s5"``.
    Returns:
        Nested dicts of arrays, as the flax module of that experiment takes them.
    Raises:
        ValueError: nothing is stored under this name.
    Example:
        >>> sorted(load("digits-s5")["params"])
        ['encoder', 'head', 'memory', 'norm']
    """
    _known(name)
    path = _read(f"{name}.npz")
    if not path.exists():
        raise ValueError(f"no weights are stored for {name!r}")
    tree: dict[str, Any] = {}
    with np.load(path) as arrays:
        for key in arrays.files:
            *parents, leaf = key.split("/")
            branch = tree
            for parent in parents:
                branch = branch.setdefault(parent, {})
            branch[leaf] = arrays[key]
    return tree


def _known(name: str) -> pathlib.Path:
    """The file of an experiment's stored runs; a ValueError where there are none."""
    path = _read(f"{name}.jsonl")
    if not path.exists():
        names = _names()
        raise ValueError(
            f"no runs are stored under {name!r}; stored: {', '.join(names) or 'none'}.{did_you_mean(name, names)}"
        )
    return path


def measurements(name: str) -> Any:
    """Read other numbers that are stored beside the runs: timings, and the tries that settings were chosen by.

    Args:
        name: such as ``"envs-speed"``, ``"memory-cost"`` or ``"tuning"``.
    Returns:
        What the file holds.
    Raises:
        ValueError: there is no such file.
    Example:
        >>> "digits-s5" in measurements("tuning")
        True
    """
    path = _read(f"{name}.json")
    if not path.exists():
        names = sorted(path.stem for path in results_folder().glob("*.json"))
        raise ValueError(f"no measurements are stored under {name!r}; stored: {', '.join(names) or 'none'}")
    return json.loads(path.read_text())


def add_measurement(name: str, key: str, value: Any) -> None:
    """Add one entry to a file of measurements, or replace it; others that are written at the same time are kept.

    Args:
        name: as for ``measurements``.
        key: the entry's.
        value: what JSON can hold.
    """
    folder = results_folder()
    path = folder / f"{name}.json"
    with _locked(folder):
        there = json.loads(path.read_text()) if path.exists() else {}
        write(path, to_json({**there, key: value}, indent=1, sort_keys=True) + "\n")


def store(
    name: str, budget: str, result: Result, folder: str | os.PathLike | None = None, weights: bool = True
) -> pathlib.Path:
    """Add a run to the stored results: a line of its experiment's file, and for seed 0 its weights as one .npz.

    Metrics are thinned to 100 updates, the first and the last among them, and rounded to 4 digits (counts are not). Where
    there is a return, the metrics are those that tell how an agent learnt, ``RL_METRICS`` and the return in each of many
    worlds, and ``final`` gains the best and the mean of the updates' mean returns, ``return_best_update`` and
    ``return_mean_update``, from the first episode's end on.

    The file is at all times the old one or the new one, and names weights only once they are there. A run of the same seed
    is replaced; so are all the file's runs where they are of another config or ran in other environments.

    Args:
        name: the experiment's name.
        budget: the budget it ran at.
        result: what ``train`` returned.
        folder: where to write; ``results_folder()`` if None.
        weights: store the weights of seed 0; False leaves them out.
    Returns:
        The path of the experiment's file.
    """
    folder = results_folder() if folder is None else check_folder("folder", folder)
    path = folder / f"{name}.jsonl"
    line = _line(result)
    with _locked(folder):
        if weights and result.seed == 0:
            line["weights"] = f"{name}.npz"
            _write_weights(folder / line["weights"], result.params)
        head = {
            "name": name,
            "budget": budget,
            "hash": config_hash(result.config),
            "config": all_fields(result.config),
            "environments": result.environments,
        }
        kept = _same_run(path, head) if path.exists() else {}
        rows = [head, *({**kept, result.seed: line}[seed] for seed in sorted({*kept, result.seed}))]
        write(path, "".join(to_json(row, separators=(",", ":")) + "\n" for row in rows))
    return path


def _line(result: Result) -> dict[str, Any]:
    """A run in one line: its metrics thinned and rounded."""
    count = len(result.metrics["update"])
    kept = np.unique(np.linspace(0, count - 1, min(count, POINTS_STORED)).round().astype(int))
    chosen, final = tuple(result.metrics), dict(result.final)
    if "return" in result.metrics:
        chosen = ("update", *RL_METRICS, *(metric for metric in result.metrics if metric.startswith("return/")))
        returns = result.metrics["return"]
        known = returns[~np.isnan(returns)]
        best, mean = (known.max(), known.mean()) if len(known) else (np.nan, np.nan)
        final |= {"return_best_update": float(best), "return_mean_update": float(mean)}
    return {
        "seed": result.seed,
        "stopped_early": result.stopped_early,
        "final": final,
        "metrics": {
            metric: [_short(value) for value in values[kept].tolist()]
            for metric, values in result.metrics.items()
            if metric in chosen
        },
        "provenance": result.provenance,
    }


def _same_run(path: pathlib.Path, head: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """The runs of a file by their seeds, if they are of the config and the environments that ``head`` has; else none."""
    there, *seeds = _lines(path)
    same = all(there[key] == head[key] for key in ("hash", "budget", "environments"))
    return {run["seed"]: run for run in seeds} if same else {}


def _write_weights(path: pathlib.Path, params: Any) -> None:
    leaves = jax.tree_util.tree_leaves_with_path(params)
    arrays: dict[str, Any] = {"/".join(str(step.key) for step in where): np.asarray(leaf) for where, leaf in leaves}
    fresh = path.with_name(f".{path.stem}.new.npz")
    with open(fresh, "wb") as file:
        np.savez_compressed(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)


@contextlib.contextmanager
def _locked(folder: pathlib.Path) -> Iterator[None]:
    """One process at a time adds to a folder of results: two seeds may end in the same moment."""
    if sys.platform == "win32":  # opens no folder
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        hold(handle, wait=True)
        yield
    finally:
        os.close(handle)


def hold(handle: int, wait: bool) -> bool:
    """Lock an open file, or folder, until it is closed or the process ends, however it ends.

    Args:
        handle: a file descriptor.
        wait: wait for another who holds it.
    Returns:
        False where another holds it. True where it is ours, and where the system or the disk knows no such locks.
    """
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):
            raise
    return True


def check_folder(name: str, folder: str | os.PathLike) -> pathlib.Path:
    """Return the path of a folder on this machine's disk; a ValueError for no name at all, and for an address such as ``s3://``.

    Args:
        name: the argument's, for the message.
        folder: what was given; it need not exist.
    Returns:
        The whole path, with ``~`` written out.
    """
    text = os.fspath(folder)
    if not text.strip():
        raise ValueError(f"{name} must name a folder; got {text!r}")
    if re.match(r"[A-Za-z][\w+.-]+:/", text):  # pathlib makes one stroke of two
        raise ValueError(
            f"{name} must be a folder on a disk of this machine; got {text!r}, an address. Mount it, or copy the folder there later"
        )
    return pathlib.Path(text).expanduser().resolve()


def to_json(thing: Any, **options: Any) -> str:
    """Write as JSON, which knows no NaN: what is not a number is null.

    Args:
        thing: dicts, lists, numbers, strings.
        options: of ``json.dumps``.
    Example:
        >>> to_json({"return": [float("nan"), 1.0]})
        '{"return": [null, 1.0]}'
    """

    def known(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: known(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [known(part) for part in value]
        return None if isinstance(value, float) and np.isnan(value) else value

    return json.dumps(known(thing), **options)


def from_json(metrics: dict[str, Any]) -> dict[str, Any]:
    """Put NaN for each null in a row of metrics, or in lists of them: the other way round from ``to_json``.

    Args:
        metrics: a name -> a number, or a list of numbers.
    Example:
        >>> from_json({"update": 1, "return": None})
        {'update': 1, 'return': nan}
    """

    def number(value: Any) -> Any:
        return np.nan if value is None else value

    return {
        name: list(map(number, value)) if isinstance(value, list) else number(value) for name, value in metrics.items()
    }


def write(path: pathlib.Path, text: str) -> None:
    """Write a file so that it is at all times either the old one or the new one.

    Args:
        path: the file.
        text: what it shall hold.
    """
    fresh = path.with_name(path.name + ".new")
    with open(fresh, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)


def _short(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.4g}")
