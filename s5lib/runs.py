"""The training loop outside jit: progress, a file of metrics, checkpoints, resume.

It trains anything with two functions: ``init(key) -> state`` and ``update(state) -> state, metrics``, where the state
has a field ``params``. The digits of chapter 4 and every agent from chapter 5 on are such learners.
"""

import os
import pathlib
import re
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from functools import partial
from typing import Any, Protocol, TypeAlias, overload

import jax
import jax.numpy as jnp
import numpy as np

from s5lib.checkpoints import RunFolder, State
from s5lib.config import check_positive_int, check_seed, moved
from s5lib.progress import Bar, Board
from s5lib.records import Result, check_config, identity, provenance

__all__ = ["DivergedError", "Learner", "train"]

Out: TypeAlias = str | os.PathLike | None
Row: TypeAlias = dict[str, float]  # the metrics of one update

# Metrics of episodes, by world and by seed too: NaN until one has ended.
EPISODIC = ("return", "trial_return", "success")
ROWS_KEPT = 5000  # of a run, in memory
SAVE_EVERY = 30.0  # seconds between checkpoints
CHUNK_SECONDS = 5.0  # between signs of life


class Learner(Protocol):
    """What can be trained: two functions of a state, which is a pytree with a field ``params``.

    Where it has ``evaluate(state)``, a dict of numbers, those are the run's score; ``env`` and ``eval_env`` are the environments
    that it runs in; ``steps_per_update`` counts the environment steps of an update, which gives the metric ``steps``.
    """

    def init(self, key: jax.Array) -> State:
        """Start."""

    def update(self, state: State) -> tuple[State, dict[str, jax.Array]]:
        """Make one update; return the new state and scalar metrics. A ``return`` may be NaN until an episode has ended."""


class DivergedError(FloatingPointError):
    """Training stopped because a metric or a parameter was no longer finite."""


# ----------------------------------------------------------------------------------------------------------- training
@overload
def train(config: Any, seed: int = 0, out: Out = None, *, seeds: Sequence[int], **options: Any) -> list[Result]: ...
@overload
def train(config: Any, seed: int = 0, out: Out = None, resume: bool = True, **options: Any) -> Result: ...
def train(  # type: ignore[misc]  # the options are spelled out here alone
    config: Any,
    seed: int = 0,
    out: Out = None,
    resume: bool = True,
    progress: bool = True,
    callback: Callable[[Row], None] | None = None,
    *,
    seeds: Sequence[int] | None = None,
    until: Callable[[Row], bool] | None = None,
    learner: Learner | None = None,
    label: str | None = None,
    save_every: float = SAVE_EVERY,
    tensorboard: bool = False,
) -> Result | list[Result]:
    """Train what a config describes and return its metrics, score and weights.

    Updates run in jitted chunks of some five seconds, a hundredth of the run at most; between chunks Python shows
    progress, appends to ``out/metrics.jsonl`` and, every ``save_every`` seconds, at the end, and when interrupted, saves
    a checkpoint. A run that was killed goes on from its last checkpoint and ends with the same numbers, bit for bit, as
    one that was not: one compiled program makes all updates, however they fall into chunks.

    A run that is done goes on where the config asks for more of the same: the fields of its ``open_ended`` may have grown, such
    as ``PPOConfig.total_steps``. What it had done stays, and what follows is what the longer run would have done.

    Args:
        config: a frozen dataclass with ``num_updates`` and a method ``make()`` that returns a learner.
        seed: seed of everything random; an integer from 0 to 2^32 - 1, all that JAX tells apart.
        out: folder for the run; made if missing. None keeps nothing on disk.
        resume: go on from a checkpoint of the same config and seed in ``out``; False starts over and replaces it.
        progress: show a progress bar (one line at the end while the book is built).
        callback: called with each update's metrics, as a dict of floats, as soon as they are there.
        seeds: several seeds at once, under one ``vmap``, in the place of ``seed``: faster than one after another where a seed alone
            does not fill the machine, and as many times its memory. A row of metrics then holds means over the seeds, and each
            seed's own as ``"loss@3"``; they share one folder, and one that diverges ends them all.
        until: called likewise; the run ends with the first update for which it returns True, as one that is done, and
            returns at once when it is resumed with the same ``until``.
        learner: use this learner in place of ``config.make()``, say for an environment of your own.
        label: what the progress bar calls the run; the config's class if None.
        save_every: seconds between checkpoints; 0 saves after every chunk.
        tensorboard: log the metrics to ``out/tensorboard`` too.
    Returns:
        A Result; with ``seeds`` a list, one of each seed, whose times are those of all together.
    Raises:
        DivergedError: a metric or parameter is not finite; the last good checkpoint stays in ``out``.
        ValueError: ``out`` holds a run of another config, seed or form, or only damaged checkpoints, or more updates than are asked
            for; another process writes in it; it is no folder; or a seed is out of range.
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
    total = _checked(config, seed, seeds, learner)
    if tensorboard and out is None:
        raise ValueError("tensorboard=True writes into the run's folder: name one with out=...")
    learner = config.make() if learner is None else learner
    where = provenance()
    rows, goal = _Thinned(total), _Goal(until)
    bar = Bar(label or type(config).__name__, total, progress)
    whose = identity(config, int(seed) if seeds is None else [int(one) for one in seeds], learner)
    runner = learner if seeds is None else _Together(learner, whose["seed"])
    start = jax.jit(runner.init)(jax.random.key(seed))  # before the folder is claimed: what cannot begin owns nothing
    folder = _Nowhere() if out is None else RunFolder(out, whose, resume)
    with closing(folder), closing(bar), ExitStack() as stack:
        state, done = folder.restore(start, lambda row: goal.note(rows.add(row)))
        if done > total:
            raise ValueError(f"{folder.path} holds {done} updates already, and config asks for {total}")
        board = stack.enter_context(closing(Board(folder.path, rows.last))) if tensorboard else None
        updates = _Updates(runner.update, -(-total // 100), rows.last, getattr(learner, "steps_per_update", 0))
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
    where["compile_seconds"] = round(updates.compile_seconds, 2)

    def result(seed: int, state: State, metrics: dict[str, np.ndarray]) -> Result:
        score = learner.evaluate(state) if hasattr(learner, "evaluate") else {}
        final = {name: float(value) for name, value in score.items()}
        params = jax.tree.map(np.asarray, state.params)
        return Result(config, seed, metrics, final, params, where, done < total, whose["environments"])

    found = [result(*part) for part in _apart(whose["seed"], state, rows.arrays())]
    final = {name: float(np.mean([one.final[name] for one in found])) for name in found[0].final}
    bar.summary(done, final, updates.spent[0])
    return found[0] if seeds is None else found


class _Together:
    """One learner under several seeds: a ``vmap`` over its states. Metrics are means, and each seed's own behind an @."""

    def __init__(self, learner: Learner, seeds: list[int]):
        self.learner, self.seeds = learner, seeds

    def init(self, key: jax.Array) -> State:
        """Start every seed from the key that it would have alone; ``key`` is not used."""
        return jax.vmap(self.learner.init)(jnp.stack([jax.random.key(seed) for seed in self.seeds]))

    def update(self, state: State) -> tuple[State, dict[str, jax.Array]]:
        state, metrics = jax.vmap(self.learner.update)(state)
        own = {f"{name}@{seed}": column[k] for name, column in metrics.items() for k, seed in enumerate(self.seeds)}
        return state, {name: column.mean(0) for name, column in metrics.items()} | own


def _apart(
    seeds: int | list[int], state: State, metrics: dict[str, np.ndarray]
) -> list[tuple[int, State, dict[str, np.ndarray]]]:
    """Each seed's state and metrics, of one or of several at once."""
    if isinstance(seeds, int):
        return [(seeds, state, metrics)]
    shared = {name: column for name, column in metrics.items() if "@" not in name}
    return [
        (
            seed,
            jax.tree.map(lambda leaf, k=k: leaf[k], state),
            {name: metrics.get(f"{name}@{seed}", column) for name, column in shared.items()},
        )
        for k, seed in enumerate(seeds)
    ]


def _checked(config: Any, seed: Any, seeds: Any, learner: Learner | None) -> int:
    """The number of updates, once everything that ``train`` takes is what it should be."""
    check_config(config)
    if not hasattr(config, "num_updates") or (learner is None and not hasattr(config, "make")):
        raise TypeError(
            f"config must have num_updates and make(); {type(config).__name__} has not: pass learner=... for the latter"
        )
    check_seed("seed", seed)
    if seeds is not None:
        for one in seeds:
            check_seed("each of seeds", one)
        if len(set(seeds)) != len(seeds) or not len(seeds) or seed != 0:
            raise ValueError(
                f"seeds must be one or more, each once, in the place of seed; got {list(seeds)}, seed = {seed}"
            )
    return check_positive_int("config.num_updates", config.num_updates)


class _Goal:
    """``until``, asked once a row, in order, until it says yes."""

    def __init__(self, until: Callable[[Row], bool] | None):
        self.until, self.reached = until, False

    def note(self, row: Row) -> None:
        self.reached = self.reached or (self.until is not None and bool(self.until(row)))


class _Updates:
    """One compiled program that makes any number of updates up to ``most``, so that the chunks do not change the numbers."""

    def __init__(self, update: Callable, most: int, last: Row, steps_each: int):
        self.update, self.most, self.steps_each = update, most, steps_each
        self.program: Any = None
        self.compile_seconds, self.length = 0.0, 1
        self.spent = np.array([last.get("wall_time", 0.0), last.get("cpu_time", 0.0)])

    def advance(self, state: State, done: int, total: int, goal: _Goal, bar: Bar) -> tuple[State, list[Row], str]:
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
        rows = _rows(metrics, done, length, self.steps_each, self.spent, spent)
        self.spent = self.spent + spent
        self.length = int(np.clip(CHUNK_SECONDS * length / max(spent[0], 1e-6), 1, self.most))
        broken = ""
        for k, row in enumerate(rows):
            bad = [f"{name} = {value}" for name, value in row.items() if _is_bad(name, value)]
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


def _advance(
    update: Callable, most: int, state: State, length: jax.Array
) -> tuple[State, jax.Array, dict[str, jax.Array]]:
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


def _is_bad(name: str, value: float) -> bool:
    """Whether a metric shows that training has broken down. A mean over episodes is NaN until there has been one."""
    waits = re.split("[/@]", name)[0] in EPISODIC and np.isnan(value)
    return not (np.isfinite(value) or waits)


def _rows(
    metrics: dict[str, jax.Array], done: int, length: int, steps_each: int, before: np.ndarray, spent: np.ndarray
) -> list[Row]:
    """One dict an update; the chunk's time is shared out evenly. Steps are counted here, since 32 bits overflow at 2^31."""
    values = {name: np.asarray(value) for name, value in metrics.items()}
    for name, value in values.items():
        if value.ndim != 1:
            raise ValueError(f"update must return scalar metrics; {name!r} has shape {value.shape[1:]}")
    clocks = np.round(before + spent * np.arange(1, length + 1)[:, None] / length, 3)
    return [
        {
            "update": done + k + 1,
            **{name: value[k].item() for name, value in values.items()},
            **({"steps": (done + k + 1) * steps_each} if steps_each else {}),
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
        self.kept: list[Row] = []
        self.last: Row = {}

    def add(self, row: Row) -> Row:
        self.last = row
        if row["update"] % self.every == 0:
            self.kept.append(row)
        return row

    def arrays(self) -> dict[str, np.ndarray]:
        rows = self.kept if self.kept and self.kept[-1] is self.last else [*self.kept, self.last]
        return {name: np.asarray([row[name] for row in rows]) for name in self.last}


class _Nowhere:
    """The folder of a run that keeps nothing on disk."""

    path: Any = None

    def restore(self, state: State, note: Callable) -> tuple[State, int]:
        return state, 0

    def append(self, rows: list[Row]) -> None:
        pass

    def save(self, done: int, state: State) -> None:
        pass

    def close(self) -> None:
        pass


_RECORDS = ("config_hash", "is_stored", "load", "results_folder", "store", "stored", "stored_names")
__getattr__ = moved(__name__, dict.fromkeys(_RECORDS, "s5lib.records"))
