"""A run's folder under bad luck: torn writes, damaged checkpoints, a full disk, another run's files; a killed agent."""

import dataclasses
import errno
import gc
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import pytest

from s5lib import checkpoints, runs
from tests.test_runs import Learner, State, Walk, same


def steps_in(path):
    return sorted(int(child.name) for child in (path / "checkpoints").iterdir() if child.name.isdigit())


def damage(path, how):
    """Spoil a checkpoint the way a power cut may: the folder is there, what it should hold is not."""
    if how == "empty":
        shutil.rmtree(path)
        path.mkdir()
    elif how == "files of no length":
        for file in path.rglob("*"):
            if file.is_file():
                file.write_bytes(b"")
    else:
        for file in path.rglob("d/*"):
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def interrupted_after_five(path):
    def interrupt(row):
        if row["update"] == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runs.train(Walk(), 0, path, progress=False, callback=interrupt, save_every=0)
    assert steps_in(path) == [4, 5]


@pytest.fixture
def half(tmp_path):
    """A run of seven updates, interrupted after five, with checkpoints after four and five."""
    interrupted_after_five(tmp_path)
    return tmp_path


def finish(path):
    """Go on with the run; return the updates that were still made."""
    seen = []
    result = runs.train(Walk(), 0, path, progress=False, callback=lambda row: seen.append(row["update"]), save_every=0)
    same(result, runs.train(Walk(), 0, progress=False))
    return seen


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("how", ["empty", "files of no length", "files cut in half"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(half, how):
    damage(half / "checkpoints" / "5", how)
    interrupted_after_five(half)  # from the fourth, and the fifth is written anew
    assert finish(half) == [6, 7]
    assert finish(half) == []
    time.sleep(0.3)  # orbax reads many files at once and leaves the others' threads to themselves when one fails
    gc.collect()


def test_where_all_checkpoints_are_damaged_the_run_is_left_alone(half):
    for step in (4, 5):
        damage(half / "checkpoints" / str(step), "empty")
    with pytest.raises(ValueError, match=r"no checkpoint in .* can be read .*start over with resume=False"):
        runs.train(Walk(), 0, half, progress=False)
    assert steps_in(half) == [4, 5]
    same(runs.train(Walk(), 0, half, resume=False, progress=False), runs.train(Walk(), 0, progress=False))


def test_what_an_unfinished_save_left_is_cleared_away(half):
    left = half / "checkpoints" / "6.orbax-checkpoint-tmp-1700000000000000"
    shutil.copytree(half / "checkpoints" / "5", left)
    assert finish(half) == [6, 7]
    assert not left.exists()


@pytest.mark.parametrize(
    ("spoil", "rest"),
    [
        (lambda text: text + '{"update": 6, "lo', [6, 7]),
        (lambda text: text + '{"update": 6, "loss": 1.0}\n{"update": 7, "loss": 1.0}\n', [6, 7]),
        (lambda text: text[:-9], [5, 6, 7]),
        (lambda text: "".join(text.splitlines(keepends=True)[:4] * 2), [5, 6, 7]),
    ],
    ids=["torn line", "rows ahead of the checkpoint", "last row torn", "row out of place"],
)
def test_metrics_and_checkpoint_are_brought_together(half, spoil, rest):
    file = half / "metrics.jsonl"
    file.write_text(spoil(file.read_text()))
    assert finish(half) == rest
    assert [json.loads(line)["update"] for line in file.read_text().splitlines()] == [1, 2, 3, 4, 5, 6, 7]


def test_metrics_that_lack_what_every_checkpoint_has_are_refused(half):
    (half / "metrics.jsonl").write_text("")
    with pytest.raises(ValueError, match=r"metrics\.jsonl has only 0 whole rows"):
        runs.train(Walk(), 0, half, progress=False)
    assert steps_in(half) == [4, 5]


def test_a_checkpoint_of_another_form_is_refused_with_the_first_difference(half):
    class Wider(Walk):
        def make(self):
            inner = super().make()

            def init(key):
                state = inner.init(key)
                return State({"params": {**state.params["params"], "w": jnp.zeros(4)}}, state.key)

            return Learner(init, inner.update, inner.evaluate)

    with pytest.raises(
        ValueError, match=r"'w'\] is float32\[3\] there, float32\[4\] now.*begun with s5lib 0"
    ) as caught:
        runs.train(Walk(), 0, half, progress=False, learner=Wider().make())
    assert "resume=False" in str(caught.value)
    assert finish(half) == [6, 7]


def test_the_folder_must_be_one_and_be_ours(tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(OSError, match=f"cannot use {file} as the folder of a run: .*Choose another out"):
        runs.train(Walk(), 0, file, progress=False)
    with pytest.raises(NotADirectoryError, match="as the folder of a run"):
        runs.train(Walk(), 0, file / "run", progress=False)
    (tmp_path / "checkpoints" / "7").mkdir(parents=True)
    for resume in (True, False):
        with pytest.raises(ValueError, match=r"no run\.json: .* are left alone"):
            runs.train(Walk(), 0, tmp_path, resume, progress=False)
    assert file.read_text() == "mine" and steps_in(tmp_path) == [7]


def test_a_folder_that_cannot_be_written_is_said_at_once(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(pathlib.Path, "mkdir", refuse)
    with pytest.raises(PermissionError, match=r"cannot use .*run as the folder of a run: Permission denied"):
        runs.train(Walk(), 0, tmp_path / "run", progress=False)


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_fills_up_under_the_metrics_stops_the_run_and_loses_nothing(tmp_path, monkeypatch):
    real = os.fsync
    monkeypatch.setattr(checkpoints.os, "fsync", lambda file: full() if filled else real(file))
    filled = []
    with pytest.raises(
        OSError, match=r"cannot write metrics.jsonl in .*: No space left on device\. The checkpoint after "
    ):
        runs.train(
            Walk(),
            0,
            tmp_path,
            progress=False,
            save_every=0,
            callback=lambda row: filled.append(1) if row["update"] == 3 else None,
        )
    assert steps_in(tmp_path) == [2, 3]
    filled.clear()
    assert finish(tmp_path) == [4, 5, 6, 7]


NO_SPACE = [
    OSError(errno.ENOSPC, "No space left on device"),
    ValueError("RESOURCE_EXHAUSTED: No space left on device [more]\nand more"),  # as tensorstore puts it
]


@pytest.mark.parametrize("error", NO_SPACE, ids=["OSError", "ValueError"])
def test_a_disk_that_fills_up_under_a_checkpoint_stops_the_run_and_loses_nothing(tmp_path, monkeypatch, error):
    import orbax.checkpoint as ocp

    real = ocp.CheckpointManager.save

    def save(self, step, *rest, **named):
        if step == 4:
            raise error
        return real(self, step, *rest, **named)

    monkeypatch.setattr(ocp.CheckpointManager, "save", save)
    words = r"cannot write a checkpoint in .*No space left on device.*The checkpoint after update 3 is whole"
    with pytest.raises(OSError, match=words):
        runs.train(Walk(), 0, tmp_path, progress=False, save_every=0)
    monkeypatch.undo()
    assert steps_in(tmp_path) == [2, 3]
    assert finish(tmp_path) == [4, 5, 6, 7]


LIMITED = """
import resource, sys
sys.path.insert(0, {root!r})
from s5lib import runs
from tests.test_checkpoints import Big
def limit(row):
    if row["update"] == 2:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # no file may grow beyond 20 kB from here on
runs.train(Big(), 0, {out!r}, progress=False, callback=limit, save_every=0)
"""


@dataclasses.dataclass(frozen=True)
class Big:
    """A learner whose state does not compress."""

    num_updates: int = 4

    def make(self):
        def update(state):
            key, draw = jax.random.split(state.key)
            return State({"w": jax.random.normal(draw, (100, 100))}, key), {"loss": state.params["w"].sum()}

        return Learner(lambda key: State({"w": jnp.zeros((100, 100))}, key), update, lambda state: {})


def test_a_system_that_takes_no_more_bytes_leaves_the_last_checkpoint_whole(tmp_path):
    root = str(pathlib.Path(__file__).resolve().parents[1])
    code = LIMITED.format(root=root, out=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    said = [line for line in done.stderr.splitlines() if line.startswith("OSError")]  # orbax may speak after it
    assert done.returncode == 1 and len(said) == 1, done.stderr
    assert "cannot write a checkpoint" in said[0] and "The checkpoint after update 1 is whole" in said[0]
    assert steps_in(tmp_path) == [1]
    same(runs.train(Big(), 0, tmp_path, progress=False), runs.train(Big(), 0, progress=False))


def test_a_broken_callback_loses_no_update(tmp_path):
    with pytest.raises(ZeroDivisionError):
        runs.train(Walk(), 0, tmp_path, progress=False, callback=lambda row: 1 / (row["update"] - 3))
    assert steps_in(tmp_path) == [3]
    assert finish(tmp_path) == [4, 5, 6, 7]


def test_reading_a_folder_changes_nothing_in_it(half):
    before = {path: path.stat().st_mtime_ns for path in half.rglob("*")}
    learner = Walk().make()
    state, done = checkpoints.restore(half, learner.init(jax.random.key(0)))
    assert done == 5 and state.params["params"]["n"] == 5
    assert checkpoints.read_identity(half)["seed"] == 0
    assert {path: path.stat().st_mtime_ns for path in half.rglob("*")} == before
    with pytest.raises(ValueError, match=r"holds no run: it has no run\.json"):
        checkpoints.read_identity(half / "checkpoints")
    with pytest.raises(checkpoints.RunFolderError, match="holds no checkpoint yet"):
        checkpoints.restore(half / "checkpoints", state)
    with pytest.raises(checkpoints.RunFolderError, match="another form"):
        checkpoints.restore(half, State({"w": jnp.zeros(3)}, state.key))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"{", "not readable as JSON"),
        (b"\xff\xfe\x00", "not readable as JSON"),
        (b"[]", "it does not say hash, seed, config"),
        (b'{"hash": "0", "config": {}}', "it does not say seed"),
        (b'{"hash": "0", "seed": 0, "config": 3}', "it does not say config"),
    ],
)
def test_a_damaged_run_json_is_told_and_replaced_only_on_request(half, text, words):
    (half / "run.json").write_bytes(text)
    with pytest.raises(checkpoints.RunFolderError, match=words + ".*resume=False"):
        runs.train(Walk(), 0, half, progress=False)
    with pytest.raises(checkpoints.RunFolderError, match=words):
        checkpoints.read_identity(half)
    same(runs.train(Walk(), 0, half, resume=False, progress=False), runs.train(Walk(), 0, progress=False))


HOLDER = """
import sys, time
sys.path.insert(0, {root!r})
from s5lib import runs
from tests.test_runs import Walk
def wait(row):
    print("holding", flush=True)
    time.sleep(60)
runs.train(Walk(), 0, {out!r}, progress=False, callback=wait)
"""


def test_one_process_at_a_time_writes_in_a_folder(tmp_path):
    root = str(pathlib.Path(__file__).resolve().parents[1])
    code = HOLDER.format(root=root, out=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "holding\n"
        with pytest.raises(
            checkpoints.RunFolderError, match=rf"is being written by process {holder.pid} on \S+\. Wait for it"
        ):
            runs.train(Walk(), 0, tmp_path, progress=False)
        with pytest.raises(checkpoints.RunFolderError, match="is being written by"):
            runs.train(Walk(), 0, tmp_path, resume=False, progress=False)
        holder.kill()
    same(runs.train(Walk(), 0, tmp_path, progress=False), runs.train(Walk(), 0, progress=False))


AGENT = """
import sys, time
sys.path.insert(0, {root!r})
import tests.conftest  # the same JAX settings, and its cache of compiled programs
from s5lib import runs
from tests.test_checkpoints import TINY
runs.train(TINY, 1, {out!r}, progress=False, save_every=0, callback=lambda row: time.sleep(0.1))
"""


def tiny():
    from s5lib.ppo import PPOConfig

    return PPOConfig(
        env="MemoryChain", env_options=(("memory_length", 5),), features=8, encoder=(8,), head=(8,),
        memory_options=(("state_size", 8), ("layers", 1)), num_envs=4, num_steps=16, num_minibatches=2, update_epochs=2,
        total_steps=4 * 16 * 60, anneal=True, eval_episodes=32,
    )  # fmt: skip


TINY = tiny()


@pytest.mark.slow
def test_an_agent_killed_at_no_chosen_moment_ends_with_the_same_numbers_to_the_bit(tmp_path):
    root = str(pathlib.Path(__file__).resolve().parents[1])
    whole = runs.train(TINY, 1, tmp_path / "whole", progress=False)
    code = AGENT.format(root=root, out=str(tmp_path / "killed"))
    log = tmp_path / "killed" / "metrics.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 240
    while not (log.exists() and log.read_bytes().count(b"\n") >= 12):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate(timeout=10)[1]
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stderr.close()
    seen = []
    resumed = runs.train(TINY, 1, tmp_path / "killed", progress=False, callback=lambda row: seen.append(row["update"]))
    assert 8 < seen[0] < 60 and seen == list(range(seen[0], 61))
    same(resumed, whole)
    files = [tmp_path / run / "metrics.jsonl" for run in ("whole", "killed")]
    rows = [[json.loads(line) for line in file.read_text().splitlines()] for file in files]
    for row in (*rows[0], *rows[1]):
        del row["wall_time"], row["cpu_time"]
    assert rows[0] == rows[1]


def test_metrics_go_to_tensorboard_where_asked(half, monkeypatch):
    pytest.importorskip("tensorboardX")
    runs.train(Walk(), 0, half, progress=False, tensorboard=True)
    (events,) = (half / "tensorboard").iterdir()
    assert events.name.startswith("events.out.tfevents") and b"loss" in events.read_bytes()
    with pytest.raises(ValueError, match=r"tensorboard=True writes into the run's folder: name one with out="):
        runs.train(Walk(), 0, progress=False, tensorboard=True)
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"pip install 's5lib\[tensorboard\]'"):
        runs.train(Walk(), 0, half, progress=False, tensorboard=True)
