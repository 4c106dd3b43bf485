"""The training loop: resume to the bit, guards, divergence, and the form of stored results."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s5lib import checkpoints, runs
from s5lib.supervised import DigitsConfig


class State(NamedTuple):
    params: Any
    key: jax.Array


class Learner(NamedTuple):
    init: Any
    update: Any
    evaluate: Any


@dataclass(frozen=True)
class Walk:
    """A learner that costs nothing: a random walk, whose loss becomes NaN at ``breaks``."""

    num_updates: int = 7
    width: float = 1.0
    breaks: int = 0

    def make(self):
        def init(key):
            return State({"params": {"w": jnp.zeros(3), "z": jnp.zeros(2, jnp.complex64), "n": jnp.int32(0)}}, key)

        def update(state):
            key, draw = jax.random.split(state.key)
            p = state.params["params"]
            count = p["n"] + 1
            w = p["w"] + self.width * jax.random.normal(draw, (3,))
            loss = jnp.where(count == self.breaks, jnp.nan, w.sum())
            return State({"params": {"w": w, "z": p["z"] + 1j, "n": count}}, key), {"loss": loss, "count": count}

        return Learner(init, update, lambda state: {"end": state.params["params"]["w"].sum()})


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a.params, b.params)
    for name in set(a.metrics) - {"wall_time", "cpu_time"}:
        np.testing.assert_array_equal(a.metrics[name], b.metrics[name])
    assert a.final == b.final


def test_a_run_gives_metrics_score_and_weights(tmp_path):
    seen = []
    result = runs.train(Walk(), 3, tmp_path, progress=False, callback=seen.append)
    assert result.metrics["update"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert [row["loss"] for row in seen] == result.metrics["loss"].tolist()
    assert result.final["end"] == pytest.approx(result.params["params"]["w"].sum())
    assert np.all(np.diff(result.metrics["wall_time"]) >= 0) and result.wall_time == result.metrics["wall_time"][-1]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == seen
    assert {"versions", "processor", "commit", "cores", "compile_seconds"} <= set(result.provenance)


def test_a_run_is_a_function_of_config_and_seed():
    first, again, other = (runs.train(Walk(), seed, progress=False) for seed in (0, 0, 1))
    same(first, again)
    assert first.metrics["loss"][0] != other.metrics["loss"][0]


def test_chunks_of_any_length_cover_the_run_exactly():
    result = runs.train(Walk(num_updates=250), 0, progress=False)  # chunks of 3, then one of 1
    assert result.metrics["count"].tolist() == list(range(1, 251))


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from s5lib import runs
from test_runs import Walk
from s5lib.supervised import DigitsConfig
def stop(row):
    if row["update"] == 3:
        os.kill(os.getpid(), signal.SIGKILL)
runs.train({config}, 5, {out!r}, progress=False, callback=stop, save_every={every})
"""


DIGITS = DigitsConfig(memory="gru", features=8, layers=1, batch_size=256, num_updates=5)


@pytest.mark.parametrize(
    ("config", "every", "rest"),
    [(DIGITS, 0.0, [3, 4, 5]), (Walk(), 1e9, [1, 2, 3, 4, 5, 6, 7])],
    ids=["digits, checkpoint at each chunk", "walk, no checkpoint yet"],
)
def test_a_killed_run_resumes_to_the_bit(tmp_path, config, every, rest):
    code = KILLED.format(tests=os.path.dirname(__file__), config=config, out=str(tmp_path / "a"), every=every)
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    seen = []
    resumed = runs.train(config, 5, tmp_path / "a", progress=False, callback=seen.append)
    assert [row["update"] for row in seen] == rest
    whole = runs.train(config, 5, tmp_path / "b", progress=False)
    same(resumed, whole)
    kept = [[json.loads(line) for line in (tmp_path / run / "metrics.jsonl").read_text().splitlines()] for run in "ab"]
    for row in (*kept[0], *kept[1]):
        del row["wall_time"], row["cpu_time"]
    assert kept[0] == kept[1]


def test_an_interrupted_run_saves_and_goes_on(tmp_path):
    def interrupt(row):
        if row["update"] == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runs.train(Walk(), 0, tmp_path, progress=False, callback=interrupt)
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"update": 5, "loss')  # torn by a crash
    seen = []
    resumed = runs.train(Walk(), 0, tmp_path, progress=False, callback=seen.append)
    assert [row["update"] for row in seen] == [5, 6, 7]
    same(resumed, runs.train(Walk(), 0, progress=False))


def test_a_finished_run_is_read_back_not_run_again(tmp_path):
    first = runs.train(Walk(), 0, tmp_path, progress=False)
    seen = []
    second = runs.train(Walk(), 0, tmp_path, progress=False, callback=seen.append)
    assert seen == []
    same(first, second)
    np.testing.assert_array_equal(first.metrics["wall_time"], second.metrics["wall_time"])


def test_a_folder_of_another_run_is_refused_and_replaced_only_on_request(tmp_path):
    runs.train(Walk(), 0, tmp_path, progress=False)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds another run \(width: 1.0 there, 2.0 now\).*resume=False"):
        runs.train(Walk(width=2.0), 0, tmp_path, progress=False)
    with pytest.raises(ValueError, match=r"seed: 0 there, 1 now"):
        runs.train(Walk(), 1, tmp_path, progress=False)
    replaced = runs.train(Walk(width=2.0), 1, tmp_path, resume=False, progress=False)
    same(replaced, runs.train(Walk(width=2.0), 1, progress=False))
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_diverged_run_stops_and_keeps_its_last_good_checkpoint(tmp_path):
    with pytest.raises(runs.DivergedError, match=r"at update 4: loss = nan\. The checkpoint after update 3"):
        runs.train(Walk(breaks=4), 0, tmp_path, progress=False)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir() if path.name.isdigit()] == ["3"]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 3
    with pytest.raises(runs.DivergedError, match="Nothing was kept: out is None"):
        runs.train(Walk(breaks=4), 0, progress=False)


class Episodes:
    """A walk of which an episode ends at update 4: what it returned is not known before."""

    steps_per_update = 2**31

    def __init__(self, first=jnp.nan):
        self.first, self.inner = first, Walk().make()
        self.init = self.inner.init

    def update(self, state):
        state, row = self.inner.update(state)
        return state, {
            "return": jnp.where(row["count"] < 4, self.first, -jnp.float32(row["count"])),
            "loss": row["loss"],
        }


def test_a_return_is_not_a_number_until_an_episode_has_ended(tmp_path, monkeypatch, capsys):
    def until(row):
        return row["return"] > -5.5

    result = runs.train(Walk(), 0, tmp_path, progress=False, learner=Episodes(), until=until)
    assert result.stopped_early and result.metrics["update"][-1] == 4
    np.testing.assert_array_equal(result.metrics["return"], [np.nan] * 3 + [-4])
    lines = [
        json.loads(line, parse_constant=pytest.fail) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()
    ]
    assert [row["return"] for row in lines] == [None, None, None, -4]
    again = runs.train(Walk(), 0, tmp_path, learner=Episodes(), until=until, tensorboard=True)
    np.testing.assert_array_equal(again.metrics["return"], result.metrics["return"])
    monkeypatch.delenv("S5LIB_BUILD", raising=False)
    runs.train(Walk(num_updates=3), 0, learner=Episodes())
    assert "no return yet" in capsys.readouterr().err
    with pytest.raises(runs.DivergedError, match="return = inf"):
        runs.train(Walk(), 0, progress=False, learner=Episodes(jnp.inf))


def test_steps_are_counted_beyond_what_32_bits_hold(tmp_path):
    result = runs.train(Walk(), 0, tmp_path, progress=False, learner=Episodes())
    assert result.metrics["steps"].tolist() == [2**31 * k for k in range(1, 8)]
    again = runs.train(Walk(), 0, tmp_path, progress=False, learner=Episodes())
    assert again.metrics["steps"].tolist() == result.metrics["steps"].tolist()


def test_parameters_that_are_not_finite_stop_a_run_too():
    with pytest.raises(runs.DivergedError, match=r"a parameter is not finite|loss = "):
        runs.train(Walk(width=float("inf")), 0, progress=False)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (({"lr": 1},), TypeError, "config must be an instance of a dataclass"),
        ((State({}, 0),), TypeError, "config must be an instance of a dataclass"),
        ((Walk(num_updates=0),), ValueError, "config.num_updates must be a positive integer"),
        ((Walk(), 0.5), TypeError, "seed must be an integer; got 0.5"),
        ((Walk(), -1), ValueError, r"seed must lie between 0 and 2\*\*32 - 1; got -1"),
        ((Walk(), 2**32), ValueError, r"seed must lie between .*; got 4294967296"),  # would be seed 0 again
        ((Walk(), 0, ""), ValueError, "out must name a folder; got ''"),
        ((Walk(), 0, " "), ValueError, "out must name a folder"),
        (
            (Walk(), 0, "s3://bucket/run"),
            ValueError,
            "out must be a folder on a disk of this machine; got 's3://bucket/run'",
        ),
        ((Walk(), 0, pathlib.Path("gs://bucket")), ValueError, "got 'gs:/bucket', an address"),
    ],
)
def test_bad_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        runs.train(*arguments, progress=False)


@pytest.mark.parametrize("seeds", [[], [1, 1], [0, 2**32], [0.5]])
def test_bad_seeds_are_refused(seeds):
    with pytest.raises((ValueError, TypeError), match="seeds must"):
        runs.train(Walk(), seeds=seeds, progress=False)
    with pytest.raises(ValueError, match=r"in the place of seed; got \[0, 1\], seed = 3"):
        runs.train(Walk(), 3, seeds=[0, 1], progress=False)


def test_several_seeds_at_once_are_the_same_runs(tmp_path):
    alone = [runs.train(Walk(), seed, progress=False) for seed in (3, 0)]
    seen = []
    together = runs.train(Walk(), seeds=(3, 0), out=tmp_path, progress=False, callback=seen.append)
    for one, other in zip(alone, together, strict=True):
        assert one.seed == other.seed and one.metrics.keys() == other.metrics.keys()
        np.testing.assert_allclose(one.metrics["loss"], other.metrics["loss"], rtol=1e-5)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), one.params, other.params)
        assert one.final == pytest.approx(other.final, rel=1e-5)
    assert seen[0]["loss"] == pytest.approx(np.mean([run.metrics["loss"][0] for run in alone]))
    again = runs.train(Walk(), seeds=(3, 0), out=tmp_path, progress=False, callback=pytest.fail)
    for one, other in zip(together, again, strict=True):
        same(one, other)
    with pytest.raises(ValueError, match=r"seed: \[3, 0\] there, 0 now"):
        runs.train(Walk(), 0, tmp_path, progress=False)
    with pytest.raises(runs.DivergedError, match="loss@0 = nan"):
        runs.train(Walk(breaks=3), seeds=[0, 1], progress=False)


@dataclass(frozen=True)
class Open(Walk):
    """A walk whose length changes nothing but its end."""

    open_ended = ("num_updates",)


def test_a_run_that_is_done_goes_on_where_more_of_the_same_is_asked_for(tmp_path):
    runs.train(Open(4), 0, tmp_path, progress=False)
    seen = []
    longer = runs.train(Open(300), 0, tmp_path, progress=False, callback=seen.append)
    assert [row["update"] for row in seen] == list(range(5, 301))
    same(longer, runs.train(Open(300), 0, progress=False))
    assert checkpoints.read_identity(tmp_path)["config"]["num_updates"] == 300
    with pytest.raises(ValueError, match=r"holds 300 updates already, and config asks for 4"):
        runs.train(Open(4), 0, tmp_path, progress=False)
    with pytest.raises(ValueError, match=r"width: 1\.0 there, 2\.0 now"):
        runs.train(Open(300, width=2.0), 0, tmp_path, progress=False)


@pytest.mark.parametrize("part", ["init", "update"])
def test_a_run_that_cannot_begin_claims_no_folder(tmp_path, part):
    def broken(*arguments):
        raise ValueError("no environment is called 'RepeatPreviosEasy'")

    with pytest.raises(ValueError, match="RepeatPrevios"):
        runs.train(Walk(), 0, tmp_path / "run", progress=False, learner=Walk().make()._replace(**{part: broken}))
    same(
        runs.train(Walk(width=2.0), 1, tmp_path / "run", progress=False), runs.train(Walk(width=2.0), 1, progress=False)
    )


def test_a_learner_of_your_own_takes_the_place_of_make():
    @dataclass(frozen=True)
    class Bare:
        num_updates: int = 2

    with pytest.raises(TypeError, match="pass learner="):
        runs.train(Bare(), progress=False)
    assert runs.train(Bare(), progress=False, learner=Walk().make()).metrics["loss"].shape == (2,)


def test_while_the_book_is_built_a_run_prints_one_line(monkeypatch, capsys):
    monkeypatch.setenv("S5LIB_BUILD", "1")
    runs.train(Walk(), 0)
    printed = capsys.readouterr()
    assert printed.err == "" and printed.out.startswith("Walk: 7 updates in ") and printed.out.count("\n") == 1


def test_outside_a_build_a_bar_is_shown(monkeypatch, capsys):
    monkeypatch.delenv("S5LIB_BUILD", raising=False)
    runs.train(Walk(), 0)
    shown = capsys.readouterr().err
    assert "7/7 updates" in shown and " left, loss " in shown and "steps/s" not in shown
    runs.train(Walk(num_updates=9), 0, until=lambda row: row["update"] == 4)
    assert "100%" in (shown := capsys.readouterr().err) and "4/4 updates" in shown

    def update(state):
        state, row = learner.update(state)
        return state, {"return": row["loss"], "loss": row["loss"], "steps": row["count"] * 64}

    learner = Walk().make()
    runs.train(Walk(), 0, learner=learner._replace(update=update))
    assert re.search(r"left, return -?\d\S*, [\d,]+ steps/s\]", capsys.readouterr().err)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match="tqdm is not installed; install it with: pip install"):
        runs.train(Walk(), 0)


def test_until_stops_a_run_which_then_stays_stopped(tmp_path):
    seen = []

    def until(row):
        seen.append(row["update"])
        return row["update"] == 100

    config = Walk(num_updates=250)  # chunks of 3
    result = runs.train(config, 0, tmp_path, progress=False, until=until)
    assert result.stopped_early and result.metrics["update"].tolist() == seen == list(range(1, 101))
    assert result.final["end"] == pytest.approx(result.params["params"]["w"].sum())
    fresh = []
    again = runs.train(config, 0, tmp_path, progress=False, until=until, callback=fresh.append)
    assert fresh == [] and again.stopped_early
    same(result, again)
    onwards = runs.train(config, 0, tmp_path, progress=False)
    assert not onwards.stopped_early
    same(onwards, runs.train(config, 0, progress=False))


def test_until_may_remember_what_it_saw_and_is_asked_once_a_row(tmp_path):
    class Highest:
        """Stop when the loss has been under its highest for 40 rows."""

        def __init__(self):
            self.seen, self.highest, self.since = [], -np.inf, 0

        def __call__(self, row):
            self.seen.append(row["update"])
            self.since = 0 if row["loss"] > self.highest else self.since + 1
            self.highest = max(self.highest, row["loss"])
            return self.since == 40

    def interrupt(row):
        if row["update"] == 10:
            raise KeyboardInterrupt

    config, asked = Walk(num_updates=500), Highest()
    whole = runs.train(config, 2, progress=False, until=asked)
    assert whole.stopped_early and asked.seen == list(range(1, whole.metrics["update"][-1] + 1))
    with pytest.raises(KeyboardInterrupt):
        runs.train(config, 2, tmp_path, progress=False, until=Highest(), callback=interrupt)
    same(runs.train(config, 2, tmp_path, progress=False, until=Highest()), whole)


def test_chunks_do_not_change_the_numbers(monkeypatch):
    long = runs.train(Walk(num_updates=400), 0, progress=False)
    monkeypatch.setattr(runs, "CHUNK_SECONDS", 0.0)  # one update a chunk
    same(long, runs.train(Walk(num_updates=400), 0, progress=False))


def test_a_run_that_diverges_within_a_chunk_keeps_all_that_was_good(tmp_path):
    config = Walk(num_updates=1000, breaks=505)  # chunks of ten
    with pytest.raises(
        runs.DivergedError, match=r"at update 505: loss = nan\. The checkpoint after update 504, the last"
    ):
        runs.train(config, 0, tmp_path, progress=False)
    assert "504" in os.listdir(tmp_path / "checkpoints")
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 504
    with pytest.raises(runs.DivergedError, match=r"there was no good update"):
        runs.train(Walk(breaks=1), 0, tmp_path / "new", progress=False)


def test_a_run_that_never_gets_there_is_whole():
    result = runs.train(Walk(), progress=False, until=lambda row: False)
    assert not result.stopped_early and len(result.metrics["update"]) == 7


def test_a_long_run_keeps_a_bounded_number_of_rows_and_its_file_keeps_all(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "ROWS_KEPT", 100)
    config = Walk(num_updates=1010)
    result = runs.train(config, 0, tmp_path, progress=False)
    assert result.metrics["update"].tolist() == [*range(11, 1011, 11), 1010]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["update"] for row in lines] == list(range(1, 1011))
    same(result, runs.train(config, 0, tmp_path, progress=False))
