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
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from s5lib.checkpoints import RunFolder, write
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
    "return", "trial_return", "episodes", "steps", "entropy", "approx_kl", "explained_variance", "loss", "wall_time", "cpu_time",
)  # fmt: skip
SAVE_EVERY = 30.0  # seconds between checkpoints
CHUNK_SECONDS = 5.0  # between signs of life
MAIN_METRICS = (
    "trial_return",
    "return",
    "accuracy",
    "loss",
)  # the first of these that a learner has is what its bar shows


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

    @property
    def trials(self) -> np.ndarray:
        """Mean return of each trial of a life, as ``evaluate`` found it, (trials,); empty where there are none."""
        count = sum(name.startswith("trial/") for name in self.final)
        return np.array([self.final[f"trial/{k}"] for k in range(count)])


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
    tensorboard: bool = False,
) -> Result:
    """Train what a config describes and return its metrics, score and weights.

    Updates run in jitted chunks of some five seconds, a hundredth of the run at most; between chunks Python shows
    progress, appends to ``out/metrics.jsonl`` and, every ``save_every`` seconds, at the end, and when interrupted, saves
    a checkpoint. A run that was killed goes on from its last checkpoint and ends with the same numbers, bit for bit, as
    one that was not: one compiled program makes all updates, however they fall into chunks.

    Args:
        config: a frozen dataclass with ``num_updates`` and a method ``make()`` that returns a learner.
        seed: seed of everything random; an integer.
        out: folder for the run; made if missing. None keeps nothing on disk.
        resume: go on from a checkpoint of the same config and seed in ``out``; False starts over and replaces it.
        progress: show a progress bar (one line at the end while the book is built).
        callback: called with each update's metrics, as a dict of floats, as soon as they are there.
        until: called likewise; the run ends with the first update for which it returns True, as one that is done, and
            returns at once when it is resumed with the same ``until``.
        learner: use this learner in place of ``config.make()``, say for an environment of your own.
        label: what the progress bar calls the run; the config's class if None.
        save_every: seconds between checkpoints; 0 saves after every chunk.
        tensorboard: log the metrics to ``out/tensorboard`` too.
    Returns:
        A Result.
    Raises:
        DivergedError: a metric or parameter is not finite; the last good checkpoint stays in ``out``.
        ValueError: ``out`` holds a run of another config, seed or form, or only damaged checkpoints.
        TypeError: config is not such a dataclass.
        OSError: ``out`` cannot be written, or no longer; what was saved stays whole, and the run goes on from there.
        ImportError: ``progress`` without tqdm, or ``tensorboard`` without tensorboardX installed.
    Example:
        >>> from s5lib.supervised import DigitsConfig
        >>> config = DigitsConfig(memory="gru", features=8, layers=1, batch_size=256, num_updates=2)
        >>> result = train(config, seed=0, progress=False)
        >>> result.metrics["loss"].shape
        (2,)
    """
    total = _checked(config, seed, learner)
    if tensorboard and out is None:
        raise ValueError("tensorboard=True writes into the run's folder: name one with out=...")
    learner = config.make() if learner is None else learner
    rows, goal = _Thinned(total), _Goal(until)
    bar = _Bar(label or type(config).__name__, total, progress)
    folder = _Nowhere() if out is None else RunFolder(out, _identity(config, seed), resume)
    with closing(folder), closing(bar), ExitStack() as stack:
        state, done = folder.restore(jax.jit(learner.init)(jax.random.key(seed)), lambda row: goal.note(rows.add(row)))
        board = stack.enter_context(closing(_Board(folder.path, rows.last))) if tensorboard else None
        updates = _Updates(learner.update, -(-total // 100), rows.last)
        bar.start(done, rows.last)
        saved = time.monotonic()
        try:
            while done < total and not goal.reached:
                state_then, fresh, broken = updates.advance(state, done, total, goal, bar)
                # The metrics first: a checkpoint never knows of updates that their file lacks.
                folder.append(fresh)
                state, done = state_then, done + len(fresh)
                for row in fresh:
                    rows.add(row)
                    if board is not None and row["update"] % rows.every == 0:
                        board.add(row)
                    if callback is not None:
                        callback(row)
                if broken:
                    raise DivergedError(_diverged(broken, done, folder.path))
                bar.show(done, rows.last, goal.reached)
                if goal.reached or done == total or time.monotonic() - saved >= save_every:
                    folder.save(done, state)
                    saved = time.monotonic()
        except OSError:
            raise
        except BaseException:
            folder.save(done, state)
            raise
    final = (
        {name: float(value) for name, value in learner.evaluate(state).items()} if hasattr(learner, "evaluate") else {}
    )
    bar.summary(done, final, updates.spent[0])
    where = {**provenance(), "compile_seconds": round(updates.compile_seconds, 2)}
    params = jax.tree.map(np.asarray, state.params)
    return Result(config, int(seed), rows.arrays(), final, params, where, stopped_early=done < total)


def _checked(config: Any, seed: Any, learner: Any) -> int:
    """The number of updates, once everything that ``train`` takes is what it should be."""
    _described(config)
    if not hasattr(config, "num_updates") or (learner is None and not hasattr(config, "make")):
        raise TypeError(
            f"config must have num_updates and make(); {type(config).__name__} has not: pass learner=... for the latter"
        )
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"seed must be an integer; got {seed!r}")
    return check_positive_int("config.num_updates", config.num_updates)


def _identity(config: Any, seed: int) -> dict[str, Any]:
    version = importlib.metadata.version("s5lib")
    return {"hash": config_hash(config), "seed": int(seed), "config": _described(config), "s5lib": version}


class _Goal:
    """``until``, asked once a row, in order, until it says yes."""

    def __init__(self, until: Callable[[dict[str, float]], bool] | None):
        self.until, self.reached = until, False

    def note(self, row: dict[str, float]) -> None:
        self.reached = self.reached or (self.until is not None and bool(self.until(row)))


class _Updates:
    """One compiled program that makes any number of updates up to ``most``, so that the chunks do not change the numbers."""

    def __init__(self, update: Callable, most: int, last: dict[str, float]):
        self.update, self.most = update, most
        self.program: Any = None
        self.compile_seconds, self.length = 0.0, 1
        self.spent = np.array([last.get("wall_time", 0.0), last.get("cpu_time", 0.0)])

    def advance(self, state: Any, done: int, total: int, goal: _Goal, bar: "_Bar") -> tuple[Any, list[dict], str]:
        """Make a chunk of updates: the state after the good ones up to the goal, their rows, and what broke, or ""."""
        if self.program is None:
            bar.compiling()
            start = time.monotonic()
            advance = jax.jit(partial(_advance, self.update, self.most))
            self.program = advance.lower(state, np.int32(1)).compile()
            self.compile_seconds = time.monotonic() - start
            bar.compiled()
        length = min(self.length, total - done)
        began = _clocks()
        after, finite, metrics = jax.block_until_ready(self.program(state, np.int32(length)))
        spent = _clocks() - began
        rows = _rows(metrics, done, length, self.spent, spent)
        self.spent = self.spent + spent
        self.length = int(np.clip(CHUNK_SECONDS * length / max(spent[0], 1e-6), 1, self.most))
        broken = ""
        for k, row in enumerate(rows):
            bad = [f"{name} = {value}" for name, value in row.items() if not np.isfinite(value)]
            if bad:
                broken = f"at update {row['update']}: {', '.join(bad)}"
                rows = rows[:k]
                break
            goal.note(row)
            if goal.reached:
                rows = rows[: k + 1]
                break
        if 0 < len(rows) < length:  # back to the last update that counts
            after, finite, _ = jax.block_until_ready(self.program(state, np.int32(len(rows))))
        if rows and not finite:
            return state, [], broken or f"by update {rows[-1]['update']}: a parameter is not finite"
        return (after if rows else state), rows, broken


def _advance(update: Callable, most: int, state: Any, length: jax.Array):
    """Make ``length`` updates, ``most`` at most; also say whether every parameter is finite after them."""

    def step(k: jax.Array, now: tuple) -> tuple:
        state, metrics = now
        state, row = update(state)
        return state, jax.tree.map(lambda column, value: column.at[k].set(value), metrics, row)

    columns = jax.tree.map(lambda leaf: jnp.zeros((most, *leaf.shape), leaf.dtype), jax.eval_shape(update, state)[1])
    state, metrics = jax.lax.fori_loop(0, length, step, (state, columns))
    finite = [
        jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params) if jnp.issubdtype(leaf.dtype, jnp.inexact)
    ]
    return state, jnp.array(finite, bool).all(), metrics


def _clocks() -> np.ndarray:
    return np.array([time.monotonic(), time.process_time()])


def _rows(
    metrics: dict[str, jax.Array], done: int, length: int, before: np.ndarray, spent: np.ndarray
) -> list[dict[str, float]]:
    """One dict an update; the chunk's time is shared out evenly."""
    values = {name: np.asarray(value) for name, value in metrics.items()}
    for name, value in values.items():
        if value.ndim != 1:
            raise ValueError(f"update must return scalar metrics; {name!r} has shape {value.shape[1:]}")
    clocks = np.round(before + spent * np.arange(1, length + 1)[:, None] / length, 3)
    return [
        {
            "update": done + k + 1,
            **{name: value[k].item() for name, value in values.items()},
            "wall_time": clocks[k, 0].item(),
            "cpu_time": clocks[k, 1].item(),
        }
        for k in range(length)
    ]


def _diverged(broken: str, done: int, path: pathlib.Path | None) -> str:
    kept = f"The checkpoint after update {done}, the last good one, is in {path}."
    if path is None or not done:
        kept = "Nothing was kept: " + ("out is None." if path is None else "there was no good update.")
    return f"training diverged {broken}. {kept} A smaller learning rate or max_grad_norm usually helps."


class _Thinned:
    """The rows of a run: all of a short one; of a long one every k-th and the last, so that memory stays bounded."""

    def __init__(self, total: int):
        self.every = -(-total // ROWS_KEPT)
        self.kept: list[dict[str, float]] = []
        self.last: dict[str, float] = {}

    def add(self, row: dict[str, float]) -> dict[str, float]:
        self.last = row
        if row["update"] % self.every == 0:
            self.kept.append(row)
        return row

    def arrays(self) -> dict[str, np.ndarray]:
        rows = self.kept if self.kept and self.kept[-1] is self.last else [*self.kept, self.last]
        return {name: np.asarray([row[name] for row in rows]) for name in self.last}


class _Bar:
    """A tqdm bar: the metric that matters, environment steps a second, time left. While the book is built, a line at the end."""

    def __init__(self, label: str, total: int, progress: bool):
        self.label, self.total, self.progress, self.bar = label, total, progress, None
        self.building = os.environ.get("S5LIB_BUILD") == "1"
        self.tqdm = require("tqdm.auto", "digits").tqdm if progress and not self.building else None
        self.before: dict[str, float] = {}

    def start(self, done: int, last: dict[str, float]) -> None:
        if self.tqdm is not None:
            form = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} updates [{elapsed} gone, {remaining} left{postfix}]"
            self.bar = self.tqdm(total=self.total, initial=done, desc=self.label, bar_format=form)
            self.before = last
            self.show(done, last)

    def compiling(self) -> None:
        if self.bar is not None:
            self.bar.set_postfix_str("compiling")

    def compiled(self) -> None:
        """Leave the time for compiling out of the time that is left."""
        if self.bar is not None:
            self.bar.unpause()

    def show(self, done: int, row: dict[str, float], stopped: bool = False) -> None:
        if self.bar is not None and row:
            shown = [f"{name} {row[name]:.3g}" for name in MAIN_METRICS if name in row][:1]
            seconds = row["wall_time"] - self.before.get("wall_time", 0.0)
            if "steps" in row and seconds > 0:
                shown.append(f"{(row['steps'] - self.before.get('steps', 0)) / seconds:,.0f} steps/s")
            self.bar.set_postfix_str(", ".join(shown), refresh=False)
            self.bar.update(done - self.bar.n)
            if stopped:  # done all the same
                self.bar.total = done
            self.bar.refresh()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()

    def summary(self, done: int, final: dict[str, float], elapsed: float) -> None:
        if self.progress and self.building:
            scores = ", ".join(
                f"{name} {value:,.0f}" if value >= 1000 else f"{name} {value:.3f}"
                for name, value in final.items()
                if "/" not in name  # the parts of a score, such as trial/3
            )
            stop = "" if done == self.total else f" of {self.total} at most"
            print(f"{self.label}: {done} updates{stop} in {elapsed:.0f} s" + (f"; {scores}" if scores else ""))


class _Board:
    """TensorBoard's event files, over environment steps where they are counted."""

    def __init__(self, path: pathlib.Path, last: dict[str, float]):
        writer = require("tensorboardX", "tensorboard").SummaryWriter
        self.writer = writer(str(path / "tensorboard"), purge_step=self._at(last) + 1 if last else None)

    @staticmethod
    def _at(row: dict[str, float]) -> int:
        return int(row.get("steps", row["update"]))

    def add(self, row: dict[str, float]) -> None:
        for name, value in row.items():
            self.writer.add_scalar(name, value, self._at(row))

    def close(self) -> None:
        self.writer.close()


class _Nowhere:
    """The folder of a run that keeps nothing on disk."""

    path: Any = None

    def restore(self, state: Any, note: Callable) -> tuple[Any, int]:
        return state, 0

    def append(self, rows: list[dict[str, float]]) -> None:
        pass

    def save(self, done: int, state: Any) -> None:
        pass

    def close(self) -> None:
        pass


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
    there is a return, the metrics are those that tell how an agent learnt, ``RL_METRICS`` and the return in each of many
    worlds, and ``final`` gains the best and the mean over all updates of an update's mean return, ``return_best_update``
    and ``return_mean_update``.

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
    chosen, final = tuple(result.metrics), dict(result.final)
    if "return" in result.metrics:
        chosen = ("update", *RL_METRICS, *(metric for metric in result.metrics if metric.startswith("return/")))
        returns = result.metrics["return"]
        final |= {"return_best_update": float(np.max(returns)), "return_mean_update": float(np.mean(returns))}
    record = {
        "name": name,
        "budget": budget,
        "seed": result.seed,
        "hash": config_hash(result.config),
        "config": _described(result.config),
        "stopped_early": result.stopped_early,
        "final": final,
        "metrics": {
            metric: [_short(value) for value in values[kept].tolist()]
            for metric, values in result.metrics.items()
            if metric in chosen
        },
        "provenance": result.provenance,
    }
    path = folder / f"{name}.seed{result.seed}.json"
    write(path, json.dumps(record, indent=1).replace(",\n   ", ", ").replace("[\n   ", "[") + "\n")
    if weights and result.seed == 0:
        leaves = jax.tree_util.tree_leaves_with_path(result.params)
        arrays: dict[str, Any] = {"/".join(str(step.key) for step in where): np.asarray(leaf) for where, leaf in leaves}
        fresh = folder / f".{name}.new.npz"
        np.savez_compressed(fresh, **arrays)
        os.replace(fresh, folder / f"{name}.npz")
    return path


def _short(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.4g}")
