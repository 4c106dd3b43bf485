"""A run's folder on disk, which survives being killed, a torn write and a full disk.

``run.json`` says whose run it is, ``metrics.jsonl`` has one line an update, ``checkpoints/`` holds the last two states, ``lock``
names the process that writes.
"""

import json
import os
import pathlib
import platform
import shutil
from collections.abc import Callable
from typing import Any, TypeAlias

import jax

from s5lib.records import Identity, check_folder, differences, from_json, hold, to_json, write

__all__ = ["RunFolder", "RunFolderError", "State", "read_identity", "restore"]

State: TypeAlias = Any  # a learner's own pytree of arrays, with a field ``params``


class RunFolderError(ValueError):
    """A folder holds something else than the run that is asked for: another run, another form, damaged files."""


class RunFolder:
    """The folder of one run: metrics appended as they come, checkpoints written beside the old ones and then renamed.

    Args:
        out: the folder; made if missing.
        identity: whose run it is, as ``records.identity`` has it.
        resume: go on with the run that is there; False removes it first.
    Raises:
        RunFolderError: the folder holds another run, or files that are no run's, or another process writes in it.
        ValueError: out is no name of a folder.
        OSError: it cannot be made or written.
    """

    def __init__(self, out: str | os.PathLike, identity: Identity, resume: bool = True):
        self.path = check_folder("out", out)
        self.metrics = self.path / "metrics.jsonl"
        self.identity = identity
        self.manager: Any = None
        self.lock: Any = None
        self.done = 0
        try:
            self._hold()
            self._claim(resume)
        except OSError as error:
            self.close()
            raise OSError(
                error.errno, f"cannot use {self.path} as the folder of a run: {error.strerror}. Choose another out"
            ) from error
        except BaseException:
            self.close()
            raise

    def _hold(self) -> None:
        """Be the only process that writes here, until ``close`` or the process's end."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.lock = open(self.path / "lock", "a+")  # noqa: SIM115
        if not hold(self.lock.fileno(), wait=False):
            self.lock.seek(0)
            holder = self.lock.read().strip() or "another process"
            raise RunFolderError(
                f"{self.path} is being written by {holder}. Wait for it, stop it, or choose another out"
            )
        self.lock.truncate(0)
        self.lock.write(f"process {os.getpid()} on {platform.node()}\n")
        self.lock.flush()

    def _claim(self, resume: bool) -> None:
        owner, states = self.path / "run.json", self.path / "checkpoints"
        if owner.exists():
            if resume and _begun(self.path):
                found = read_identity(self.path)
                _same_run(self.path, found, self.identity)
                self.identity = {**self.identity, **{key: found[key] for key in ("state", "s5lib") if key in found}}
            else:
                shutil.rmtree(states, ignore_errors=True)
                self.metrics.unlink(missing_ok=True)
        elif states.exists() or self.metrics.exists():
            raise RunFolderError(
                f"{self.path} holds checkpoints or metrics.jsonl and no run.json: they are not of a run of s5lib, and are "
                "left alone. Choose another out"
            )
        write(owner, json.dumps(self.identity, indent=1))
        import orbax.checkpoint as ocp

        options = ocp.CheckpointManagerOptions(
            max_to_keep=2, enable_async_checkpointing=False, cleanup_tmp_directories=True
        )
        self.manager = ocp.CheckpointManager(states, options=options)

    def restore(self, state: State, note: Callable[[dict[str, float]], None] = lambda row: None) -> tuple[State, int]:
        """Find the last whole checkpoint; cut the metrics to match it.

        Args:
            state: a fresh state of the same shapes.
            note: called with each row of metrics that stays.
        Returns:
            The checkpoint and its number of updates; ``state`` and 0 if there is none yet.
        Raises:
            RunFolderError: no checkpoint fits: the library has changed, or all are damaged.
        """
        _same_form(self.path, self.identity, state)
        if "state" not in self.identity:
            self.identity["state"] = _layout(state)
            try:
                write(self.path / "run.json", json.dumps(self.identity, indent=1))
            except OSError as error:
                raise self._unwritten("run.json", error) from error
        ends = self._ends_of_rows()
        state, self.done = _newest(self.path, state, len(ends))
        for step in self.manager.all_steps():
            if step > self.done:  # damaged, or ahead of what the metrics still have
                self.manager.delete(step)
        if self.metrics.exists():
            with open(self.metrics, "r+b") as file:
                file.truncate(ends[self.done - 1] if self.done else 0)
            with open(self.metrics) as lines:
                for line in lines:
                    note(from_json(json.loads(line)))
        return state, self.done

    def _ends_of_rows(self) -> list[int]:
        """Where each whole row of the metrics ends, in bytes, up to the first that is torn or out of its place."""
        ends: list[int] = []
        if self.metrics.exists():
            with open(self.metrics, "rb") as lines:
                for line in lines:
                    try:
                        if not line.endswith(b"\n") or json.loads(line)["update"] != len(ends) + 1:
                            break
                    except (ValueError, KeyError, TypeError):
                        break
                    ends.append((ends[-1] if ends else 0) + len(line))
        return ends

    def append(self, rows: list[dict[str, float]]) -> None:
        """Add rows to the metrics, and have them on the disk before it returns."""
        try:
            with open(self.metrics, "a") as file:
                file.write("".join(to_json(row) + "\n" for row in rows))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise self._unwritten("metrics.jsonl", error) from error

    def save(self, done: int, state: State) -> None:
        """Write a checkpoint after ``done`` updates, unless it is there already; the last but one stays too."""
        import orbax.checkpoint as ocp

        if done <= self.done:
            return
        try:
            self.manager.save(done, args=ocp.args.StandardSave(state))
            self.manager.wait_until_finished()
        except Exception as error:  # orbax and tensorstore have many names for a disk that does not take the bytes
            raise self._unwritten("a checkpoint", error) from error
        self.done = done

    def close(self) -> None:
        """Let go of the checkpoint manager and of the lock."""
        if self.manager is not None:
            self.manager.close()
        if self.lock is not None:
            self.lock.close()

    def _unwritten(self, what: str, error: Exception) -> OSError:
        why = getattr(error, "strerror", None) or str(error).strip().split("\n")[0]
        kept = f"The checkpoint after update {self.done} is whole" if self.done else "No checkpoint was written yet"
        return OSError(
            getattr(error, "errno", None) or 0,
            f"cannot write {what} in {self.path}: {why}. {kept}. Make room, or allow writing, and run the same again: it "
            "goes on from there",
        )


def read_identity(path: str | os.PathLike) -> Identity:
    """Read whose run a folder holds.

    Args:
        path: the folder.
    Returns:
        What ``run.json`` says: "config", "seed", "hash" and more.
    Raises:
        RunFolderError: there is no run in it.
    """
    owner = check_folder("path", path) / "run.json"
    try:
        found = json.loads(owner.read_text())
    except FileNotFoundError:
        raise RunFolderError(f"{owner.parent} holds no run: it has no run.json") from None
    except ValueError as error:  # no JSON, or no text
        raise RunFolderError(f"{owner} is not readable as JSON ({error}); start over with resume=False") from None
    wanted = {"hash": str, "seed": int | list, "config": dict}
    lacks = [key for key, kind in wanted.items() if not isinstance(found, dict) or not isinstance(found.get(key), kind)]
    if lacks:
        raise RunFolderError(f"{owner} is damaged: it does not say {', '.join(lacks)}; start over with resume=False")
    return found


def restore(path: str | os.PathLike, state: State) -> tuple[State, int]:
    """Read the last whole checkpoint of a run's folder and change nothing there.

    Args:
        path: the folder.
        state: a fresh state of the same shapes.
    Returns:
        The checkpoint and its number of updates.
    Raises:
        RunFolderError: there is no checkpoint, or none that fits.
    """
    folder = check_folder("path", path)
    if not (folder / "checkpoints").is_dir():
        raise RunFolderError(f"{folder} holds no checkpoint yet")
    _same_form(folder, read_identity(folder), state)
    state, done = _newest(folder, state)
    if not done:
        raise RunFolderError(f"{folder} holds no checkpoint yet")
    return state, done


def _newest(path: pathlib.Path, state: State, rows: int | None = None) -> tuple[State, int]:
    """Restore the newest checkpoint that can be read and whose updates are all among the ``rows`` of the metrics."""
    import orbax.checkpoint as ocp

    steps = sorted(
        (int(child.name) for child in (path / "checkpoints").iterdir() if child.name.isdigit()), reverse=True
    )
    wanted = jax.tree.map(ocp.utils.to_shape_dtype_struct, state)
    reason = f"metrics.jsonl has only {rows} whole rows in order"
    for step in steps:
        if rows is None or step <= rows:
            try:
                with ocp.StandardCheckpointer() as reader:
                    return reader.restore(path / "checkpoints" / str(step) / "default", wanted), step
            except Exception as error:  # a damaged file shows in as many ways as there are files
                reason = str(error).strip().split("\n")[0] or type(error).__name__
    if steps:
        raise RunFolderError(
            f"no checkpoint in {path} can be read ({reason}). Go on with the code that began the run, choose another out, or "
            "start over with resume=False"
        )
    return state, 0


def _begun(path: pathlib.Path) -> bool:
    """Whether a run has left anything but its name: one that failed before its first update owns nothing."""
    metrics, states = path / "metrics.jsonl", path / "checkpoints"
    return (metrics.exists() and metrics.stat().st_size > 0) or (states.is_dir() and any(states.iterdir()))


def _layout(state: State) -> dict[str, str]:
    """Name, shape and dtype of everything in a state."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(where): f"{leaf.dtype}{list(leaf.shape)}" for where, leaf in leaves}


def _same_form(path: pathlib.Path, identity: Identity, state: State) -> None:
    now = _layout(state)
    there = identity.get("state", now)
    if there != now:
        first = next(key for key in {**there, **now} if there.get(key) != now.get(key))
        raise RunFolderError(
            f"{path} holds a checkpoint whose state has another form: {first} is {there.get(first, 'missing')} there, "
            f"{now.get(first, 'missing')} now. It was begun with s5lib {identity.get('s5lib')}: go on with the code that "
            "began it, choose another out, or start over with resume=False"
        )


def _same_run(path: pathlib.Path, found: Identity, wanted: Identity) -> None:
    apart = differences(found, wanted)
    if apart:
        raise RunFolderError(
            f"{path} holds another run ({'; '.join(apart)}). Choose another out, or resume=False to replace it"
        )
