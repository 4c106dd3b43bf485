"""The training loop outside jit: progress, a file of metrics, checkpoints, resume; and the long runs that are stored.

It trains anything with two functions: ``init(key) -> state`` and ``update(state) -> state, metrics``, where the state
has a field ``params``. The digits of chapter 4 and every agent from chapter 5 on are such learners.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from s5lib.config import check_positive_int, did_you_mean, require

__all__ = [
    "DivergedError",
    "Result",
    "config_hash",
    "load",
    "provenance",
    "results_folder",
    "store",
    "stored",
    "stored_names",
    "train",
]

ROWS_KEPT = 5000  # of a run, in memory
POINTS_STORED = 100
RL_METRICS = (
    "return", "episodes", "steps", "entropy", "approx_kl", "explained_variance", "loss", "wall_time", "cpu_time",
)  # fmt: skip
SAVE_EVERY = 30.0  # seconds between checkpoints


class DivergedError(FloatingPointError):
    """Training stopped because a metric or a parameter was no longer finite."""


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
    """

    config: Any
    seed: int
    metrics: dict[str, np.ndarray]
    final: dict[str, float]
    params: Any = field(default=None, repr=False)
    provenance: dict[str, Any] = field(default_factory=dict, repr=False)
    stopped_early: bool = False

    @property
    def wall_time(self) -> float:
        """Seconds from the first update to the last, compiling not counted."""
        return float(self.metrics["wall_time"][-1])


def config_hash(config: Any) -> str:
    """Return 12 hexadecimal digits that change whenever the config's class or any field does.

    Example:
        >>> @dataclass(frozen=True)
        ... class Tiny:
        ...     width: int = 3
        >>> config_hash(Tiny()) == config_hash(Tiny(3)), config_hash(Tiny()) == config_hash(Tiny(4))
        (True, False)
    """
    return hashlib.sha256(json.dumps(_described(config), sort_keys=True).encode()).hexdigest()[:12]


def _described(config: Any) -> dict[str, Any]:
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        raise TypeError(f"config must be an instance of a dataclass, such as DigitsConfig(); got {config!r}")
    return {"class": type(config).__name__, **dataclasses.asdict(config)}


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
            **{name: importlib.metadata.version(name) for name in packages},
        },
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "device": jax.devices()[0].device_kind,
        "commit": commit,
    }


def _processor() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        if sys.platform == "darwin":
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(command, capture_output=True, text=True).stdout.strip() or platform.machine()
        return platform.processor() or platform.machine()


# ----------------------------------------------------------------------------------------------------------- training
def train(
    config: Any,
    seed: int = 0,
    out: str | os.PathLike | None = None,
    resume: bool = True,
    progress: bool = True,
    callback: Callable[[dict[str, float]], None] | None = None,
    *,
    until: Callable[[dict[str, float]], bool] | None = None,
    learner: Any = None,
    label: str | None = None,
    save_every: float = SAVE_EVERY,
) -> Result:
    """Train what a config describes and return its metrics, score and weights.

    Updates run in jitted chunks, a hundredth of the run each; between chunks Python shows progress, appends to
    ``out/metrics.jsonl`` and, every ``save_every`` seconds, at the end, and when interrupted, saves a checkpoint. A run
    that was killed goes on from its last checkpoint and ends with the same numbers, bit for bit, as one that was not.

    Args:
        config: a frozen dataclass with ``num_updates`` and a method ``make()`` that returns a learner.
        seed: seed of everything random; an integer.
        out: folder for the run; made if missing. None keeps nothing on disk.
        resume: go on from a checkpoint of the same config and seed in ``out``; False starts over and replaces it.
        progress: show a progress bar (one line at the end while the book is built).
        callback: called with each update's metrics, as a dict of floats, as soon as they are there.
        until: called likewise; where it returns True the run stops after that chunk, as one that is done. Resumed with the
            same ``until``, a run that stopped returns at once.
        learner: use this learner in place of ``config.make()``, say for an environment of your own.
        label: what the progress bar calls the run; the config's class if None.
        save_every: seconds between checkpoints; 0 saves after every chunk.
    Returns:
        A Result.
    Raises:
        DivergedError: a metric or parameter is not finite; the last good checkpoint stays in ``out``.
        ValueError: ``out`` holds a run of another config or seed. TypeError: config is not such a dataclass.
        ImportError: ``progress`` without tqdm installed.
    Example:
        >>> from s5lib.supervised import DigitsConfig
        >>> config = DigitsConfig(memory="gru", features=8, layers=1, batch_size=256, num_updates=2)
        >>> result = train(config, seed=0, progress=False)
        >>> result.metrics["loss"].shape
        (2,)
    """
    description = _described(config)
    if not hasattr(config, "num_updates") or (learner is None and not hasattr(config, "make")):
        raise TypeError(
            f"config must have num_updates and make(); {type(config).__name__} has not: pass learner=... for the latter"
        )
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"seed must be an integer; got {seed!r}")
    total = check_positive_int("config.num_updates", config.num_updates)
    learner = config.make() if learner is None else learner
    folder = _Folder(out, {"hash": config_hash(config), "seed": int(seed), "config": description}, resume)
    bar = _Bar(label or type(config).__name__, total, progress)
    state = jax.jit(learner.init)(jax.random.key(seed))
    rows = _Thinned(total)
    stopped = False

    def note(row: dict[str, float]) -> None:
        nonlocal stopped
        rows.add(row)
        stopped = stopped or (until is not None and bool(until(row)))

    state, done = folder.restore(state, note)
    chunk = -(-total // 100)
    compiled: dict[int, Any] = {}
    compile_time, saved = 0.0, time.monotonic()
    spent = np.array([rows.last.get("wall_time", 0.0), rows.last.get("cpu_time", 0.0)])
    bar.show(done, rows.last)
    try:
        while done < total and not stopped:
            length = min(chunk, total - done)
            if length not in compiled:
                start = time.monotonic()
                compiled[length] = jax.jit(partial(_advance, learner.update, length)).lower(state).compile()
                compile_time += time.monotonic() - start
            began = _clocks()
            after, finite, metrics = jax.block_until_ready(compiled[length](state))
            spent = spent + _clocks() - began
            fresh = _rows(metrics, done, spent)
            if not (finite and all(np.isfinite(value) for row in fresh for value in row.values())):
                raise DivergedError(_diverged(fresh, done, folder.path))
            folder.append(fresh)  # before the state moves on: a checkpoint never knows of updates that the file lacks
            state, done = after, done + length
            for row in fresh:
                note(row)
                if callback is not None:
                    callback(row)
            bar.show(done, rows.last)
            if stopped or done == total or time.monotonic() - saved >= save_every:
                folder.save(done, state)
                saved = time.monotonic()
    except (KeyboardInterrupt, DivergedError):
        folder.save(done, state)
        raise
    finally:
        bar.close()
        folder.close()
    final = (
        {name: float(value) for name, value in learner.evaluate(state).items()} if hasattr(learner, "evaluate") else {}
    )
    bar.summary(done, final, spent[0])
    where = {**provenance(), "compile_seconds": round(compile_time, 2)}
    params = jax.tree.map(np.asarray, state.params)
    return Result(config, int(seed), rows.arrays(), final, params, where, stopped_early=done < total)


class _Thinned:
    """The rows of a run: all of a short one; of a long one every k-th and the last, so that memory stays bounded."""

    def __init__(self, total: int):
        self.every = -(-total // ROWS_KEPT)
        self.kept: list[dict[str, float]] = []
        self.last: dict[str, float] = {}

    def add(self, row: dict[str, float]) -> None:
        self.last = row
        if row["update"] % self.every == 0:
            self.kept.append(row)

    def arrays(self) -> dict[str, np.ndarray]:
        rows = self.kept if self.kept and self.kept[-1] is self.last else [*self.kept, self.last]
        return {name: np.asarray([row[name] for row in rows]) for name in self.last}


def _advance(update: Callable, length: int, state: Any):
    """Make ``length`` updates; also say whether every parameter is finite after them."""
    state, metrics = jax.lax.scan(lambda state, _: update(state), state, None, length=length)
    finite = [
        jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params) if jnp.issubdtype(leaf.dtype, jnp.inexact)
    ]
    return state, jnp.array(finite, bool).all(), metrics


def _clocks() -> np.ndarray:
    return np.array([time.monotonic(), time.process_time()])


def _rows(metrics: dict[str, jax.Array], done: int, spent: np.ndarray) -> list[dict[str, float]]:
    values = {name: np.asarray(value) for name, value in metrics.items()}
    for name, value in values.items():
        if value.ndim != 1:
            raise ValueError(f"update must return scalar metrics; {name!r} has shape {value.shape[1:]}")
    length = len(next(iter(values.values())))
    times = {"wall_time": round(spent[0], 3), "cpu_time": round(spent[1], 3)}
    return [
        {"update": done + k + 1, **{name: value[k].item() for name, value in values.items()}, **times}
        for k in range(length)
    ]


def _diverged(rows: list[dict[str, float]], done: int, path: pathlib.Path | None) -> str:
    for row in rows:
        bad = [f"{name} = {value}" for name, value in row.items() if not np.isfinite(value)]
        if bad:
            what = f"at update {row['update']}: {', '.join(bad)}"
            break
    else:
        what = f"by update {rows[-1]['update']}: a parameter is not finite"
    kept = (
        f"The checkpoint after update {done}, the last good one, is in {path}."
        if path
        else "Nothing was kept: out is None."
    )
    return f"training diverged {what}. {kept} A smaller learning rate or max_grad_norm usually helps."


class _Bar:
    """A tqdm bar; while the book is built, or without progress, nothing until one line at the end."""

    def __init__(self, label: str, total: int, progress: bool):
        self.building = os.environ.get("S5LIB_BUILD") == "1"
        self.progress, self.label, self.total, self.bar = progress, label, total, None
        if progress and not self.building:
            self.bar = require("tqdm.auto", "digits").tqdm(total=total, desc=label, unit="update")

    def show(self, done: int, row: dict[str, float]) -> None:
        if self.bar is not None and row:
            shown = {
                name: f"{value:.3g}" for name, value in row.items() if name not in ("update", "wall_time", "cpu_time")
            }
            self.bar.set_postfix(shown, refresh=False)
            self.bar.update(done - self.bar.n)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()

    def summary(self, done: int, final: dict[str, float], elapsed: float) -> None:
        if self.progress and self.building:
            scores = ", ".join(
                f"{name} {value:,.0f}" if value >= 1000 else f"{name} {value:.3f}" for name, value in final.items()
            )
            stop = "" if done == self.total else f" of {self.total}: it was stopped early,"
            print(f"{self.label}: {done} updates{stop} in {elapsed:.0f} s" + (f"; {scores}" if scores else ""))


class _Folder:
    """A run's folder: run.json (which config and seed), metrics.jsonl (one line an update), checkpoints/."""

    def __init__(self, out: str | os.PathLike | None, identity: dict[str, Any], resume: bool):
        self.path = None if out is None else pathlib.Path(out).expanduser().resolve()
        self.manager = None
        if self.path is None:
            return
        import orbax.checkpoint as ocp

        self.path.mkdir(parents=True, exist_ok=True)
        self.metrics = self.path / "metrics.jsonl"
        owner = self.path / "run.json"
        if resume and owner.exists():
            _same_run(self.path, json.loads(owner.read_text()), identity)
        options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False)
        self.manager = ocp.CheckpointManager(self.path / "checkpoints", options=options)
        if not (resume and owner.exists()):
            for step in self.manager.all_steps():
                self.manager.delete(step)
            self.metrics.unlink(missing_ok=True)
        _write(owner, json.dumps(identity, indent=1))

    def restore(self, state: Any, note: Callable[[dict[str, float]], None]) -> tuple[Any, int]:
        """Return the last checkpoint and its number of updates, or ``state`` and 0; cut the metrics to match, note them."""
        if self.manager is None:
            return state, 0
        import orbax.checkpoint as ocp

        done = self.manager.latest_step()
        if done is None:
            done = 0
        else:
            state = self.manager.restore(
                done, args=ocp.args.StandardRestore(jax.tree.map(ocp.utils.to_shape_dtype_struct, state))
            )
        lines = self.metrics.read_text().splitlines()[:done] if self.metrics.exists() else []
        if len(lines) != done:
            raise ValueError(
                f"{self.metrics} lacks some of the {done} updates of the checkpoint; pass resume=False to start over"
            )
        for line in lines:
            note(json.loads(line))
        _write(self.metrics, "".join(line + "\n" for line in lines))
        return state, done

    def append(self, rows: list[dict[str, float]]) -> None:
        if self.path is not None:
            with open(self.metrics, "a") as file:
                file.write("".join(json.dumps(row) + "\n" for row in rows))
                file.flush()
                os.fsync(file.fileno())

    def save(self, done: int, state: Any) -> None:
        if self.manager is not None and done and self.manager.latest_step() != done:
            import orbax.checkpoint as ocp

            self.manager.save(done, args=ocp.args.StandardSave(state))
            self.manager.wait_until_finished()

    def close(self) -> None:
        if self.manager is not None:
            self.manager.close()


def _same_run(path: pathlib.Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    old, new = ({"seed": run["seed"], **run["config"]} for run in (found, wanted))
    if old != json.loads(json.dumps(new)):
        changed = [
            f"{key}: {old.get(key)!r} there, {new.get(key)!r} now"
            for key in {**old, **new}
            if old.get(key) != new.get(key)
        ]
        raise ValueError(
            f"{path} holds another run ({'; '.join(changed)}). Choose another out, or resume=False to replace it"
        )


def _write(path: pathlib.Path, text: str) -> None:
    """Write a file so that it is at all times either the old one or the new one."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    os.replace(fresh, path)


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


def stored_names() -> list[str]:
    """Return the names of all experiments with stored runs.

    Example:
        >>> "digits-s5" in stored_names()
        True
    """
    return sorted({path.name.rsplit(".seed", 1)[0] for path in results_folder().glob("*.seed*.json")})


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
    paths = list(results_folder().glob(f"{_known(name)}.seed*.json"))
    found = [json.loads(path.read_text()) for path in paths]
    results = []
    for run in sorted(found, key=lambda run: run["seed"]):
        metrics = {metric: np.asarray(values) for metric, values in run["metrics"].items()}
        where = {**run["provenance"], "hash": run["hash"], "budget": run["budget"]}
        early = run.get("stopped_early", False)
        results.append(Result(run["config"], run["seed"], metrics, run["final"], None, where, early))
    return results


def load(name: str) -> Any:
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
    path = results_folder() / f"{_known(name)}.npz"
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


def _known(name: str) -> str:
    names = stored_names()
    if name not in names:
        raise ValueError(
            f"no runs are stored under {name!r}; stored: {', '.join(names) or 'none'}.{did_you_mean(name, names)}"
        )
    return name


def store(
    name: str, budget: str, result: Result, folder: str | os.PathLike | None = None, weights: bool = True
) -> pathlib.Path:
    """Write a run to the folder of stored results: one small JSON, and for seed 0 its weights as one .npz.

    Metrics are thinned to 100 updates, the first and the last among them, and rounded to 4 digits (counts are not). Where
    there is a return, the metrics are those that tell how an agent learnt: ``RL_METRICS``.

    Args:
        name: the experiment's name.
        budget: the budget it ran at.
        result: what ``train`` returned.
        folder: where to write; ``results_folder()`` if None.
        weights: store the weights of seed 0; False leaves them out.
    Returns:
        The path of the JSON.
    """
    folder = results_folder() if folder is None else pathlib.Path(folder)
    count = len(result.metrics["update"])
    kept = np.unique(np.linspace(0, count - 1, min(count, POINTS_STORED)).round().astype(int))
    chosen = ("update", *RL_METRICS) if "return" in result.metrics else tuple(result.metrics)
    record = {
        "name": name,
        "budget": budget,
        "seed": result.seed,
        "hash": config_hash(result.config),
        "config": _described(result.config),
        "stopped_early": result.stopped_early,
        "final": result.final,
        "metrics": {
            metric: [_short(value) for value in values[kept].tolist()]
            for metric, values in result.metrics.items()
            if metric in chosen
        },
        "provenance": result.provenance,
    }
    path = folder / f"{name}.seed{result.seed}.json"
    _write(path, json.dumps(record, indent=1).replace(",\n   ", ", ").replace("[\n   ", "[") + "\n")
    if weights and result.seed == 0:
        leaves = jax.tree_util.tree_leaves_with_path(result.params)
        arrays: dict[str, Any] = {"/".join(str(step.key) for step in where): np.asarray(leaf) for where, leaf in leaves}
        fresh = folder / f".{name}.new.npz"
        np.savez_compressed(fresh, **arrays)
        os.replace(fresh, folder / f"{name}.npz")
    return path


def _short(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.4g}")
