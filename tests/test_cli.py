"""The command line: each subcommand at the smoke budget, and one clear line for each mistake."""

import dataclasses
import os
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

from s5lib import cli, experiments, records, runs
from s5lib.experiments import command
from s5lib.ppo import PPOConfig
from s5lib.supervised import DigitsConfig

AGENT = "repeat-previous-easy-s5"
SMALL = ["features=8", "encoder=8", "head=8", "num_envs=4", "num_steps=16", "num_minibatches=2", "total_steps=256"]
SMALL += ["memory_options.state_size=8", "memory_options.layers=1", "eval_episodes=32"]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run one command in an empty folder; return its exit code, what it printed and what it complained of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("S5LIB_BUDGET", raising=False)
    monkeypatch.setenv("S5LIB_BUILD", "1")

    def command(*arguments):
        try:
            code = cli.main(arguments)
        except SystemExit as end:
            code = end.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


def score(text):
    return re.search(r": ((?:return|accuracy) .*)$", text, flags=re.M).group(1)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ((), ["train", "eval", "list", "results", "s5lib list repeat-previous", "same command goes on"]),
        (("train",), ["--seed INT", "--budget {smoke,cpu,gpu,paper}", "--out FOLDER", "--set FIELD=VALUE", "lr=1e-3", "--fresh"]),
        (("eval",), ["FOLDER|NAME", "--episodes INT"]),
        (("list",), ["[PREFIX]", "number to expect"]),
        (("results",), ["--seeds", "stored runs", "resumable"]),
    ],
    ids=lambda part: part[0] if len(part) == 1 else None,
)  # fmt: skip
def test_help_says_what_a_newcomer_needs(run, command, words):
    code, out, err = run(*command, "--help")
    assert code == 0 and err == ""
    plain = re.sub(r"[│\s]+", " ", out)
    for word in words:
        assert word in plain, f"{word!r} is missing in:\n{out}"
    assert not [line for line in plain.split() if line in ("None", "None)", "{None}|STR", "set_")]


def test_list_shows_length_and_number_to_expect(run):
    code, out, _ = run("list", "packed-s5")
    assert code == 0
    head, *lines = out.splitlines()
    assert head.split() == ["experiment", "budget", "cpu", "expect"]
    assert [line.split() for line in lines] == [
        [name, "60", "updates", "accuracy", f"{experiments.get(name, 'cpu').expected:.3f}"]
        for name in ("packed-s5", "packed-s5-no-resets")
    ]
    everything = run("list", "--budget", "paper")[1].splitlines()
    assert len(everything) == len(experiments.names()) + 1
    (agent,) = [line for line in everything if line.startswith(f"{AGENT} ")]
    assert f"{experiments.get(AGENT, 'paper').config.total_steps:,} steps" in agent


def test_train_and_eval_the_digits(run, tmp_path):
    code, out, err = run("train", "digits-gru", "--budget", "smoke", "--out", "here")
    assert (code, err) == (0, "")
    assert "digits-gru, seed 0, budget smoke: accuracy 0." in out and "to expect: no number: too short to learn" in out
    assert "s5lib eval here" in out
    again, said, _ = run("eval", "here")
    assert again == 0 and "here after 2 of 2 updates: " in said
    assert score(said) == score(out)
    code, _, err = run("eval", "here", "--episodes", "9")
    assert code == 2 and "--episodes is for agents; here is scored on all of its held-out data" in err
    code, out, _ = run("eval", "digits-gru")
    assert code == 0 and out.startswith("digits-gru: ")
    stored = records.stored("digits-gru")[0].final["accuracy"]
    assert float(re.search(r"accuracy ([\d.]+)", out).group(1)) == pytest.approx(stored, abs=0.004)


@pytest.mark.slow
def test_train_an_agent_with_fields_of_ones_own_stop_go_on_and_score_it(run, tmp_path, monkeypatch):
    command = ["train", AGENT, "--seed", "3", "--budget", "smoke", "--set", *SMALL[:3], "--set", *SMALL[3:]]
    made = []

    def interrupted(config, seed, out, *rest, **named):
        def stop(row):
            made.append(row["update"])
            if row["update"] == 2:
                raise KeyboardInterrupt

        return real(config, seed, out, *rest, callback=stop, **named)

    real = runs.train
    monkeypatch.setattr(runs, "train", interrupted)
    code, _, err = run(*command)
    assert code == 130 and "interrupted. What was done is saved: the same command goes on" in err
    code, out, _ = run(*command)
    assert code == 0 and made == [1, 2, 3, 4]
    assert f"{AGENT}, seed 3, budget smoke: return " in out and "to expect: unknown with features=8" in out
    folder = tmp_path / "runs" / f"{AGENT}-seed3"
    assert (folder / "metrics.jsonl").read_text().count("\n") == 4
    code, said, _ = run("eval", str(folder))
    assert code == 0 and score(said) == score(out) and "after 4 of 4 updates, 32 episodes: " in said
    code, more, _ = run("eval", str(folder), "--episodes", "64")
    assert code == 0 and "64 episodes" in more and score(more) != score(out)

    code, _, err = run("train", AGENT, "--seed", "3", "--budget", "smoke", "--set", *SMALL, "lr=0.5")
    assert code == 2 and re.search(r"holds another run \(lr: [\d.]+ there, 0\.5 now\)", err)
    assert "Choose another --out, or --fresh to replace it" in err
    made.clear()
    code, out, _ = run("train", AGENT, "--seed", "3", "--budget", "smoke", "--set", *SMALL, "--fresh", "--tensorboard")
    assert code == 130 and made == [1, 2] and list((folder / "tensorboard").iterdir())


MISTAKES = [
    (["train", "digits-s4"], "there is no experiment 'digits-s4'. Did you mean 'digits-s5'? All of them: s5lib list"),
    (["train", "repeat-previous-ez-s5"], "Did you mean 'repeat-previous-easy-s5'?"),
    (["train", "repeat-previous-easy"], "Names that begin so: repeat-previous-easy-"),
    (["train", "digits-s5", "--budget", "smol"], "got 'smol'. Did you mean 'smoke'?"),
    (["train", "digits-s5", "--set", "leanring_rate=1"], "has no field 'leanring_rate'. Did you mean 'learning_rate'?"),
    (["train", "digits-s5", "--set", "learning_rate"], "--set takes FIELD=VALUE"),
    (["train", "digits-s5", "--set", "learning_rate=fast"], "--set learning_rate takes a number; got 'fast'"),
    (["train", "digits-s5", "--set", "layers=2.5"], "--set layers takes an integer; got '2.5'"),
    (["train", "digits-s5", "--set", "layers=0"], "layers must be a positive integer; got 0"),
    (["train", "digits-s5", "--set", "resets=maybe"], "--set resets takes true or false; got 'maybe'"),
    (["train", "digits-s5", "--set", "memory=s6"], "memory must be one of 's5', 'gru'; got 's6'"),
    (["train", AGENT, "--set", "env=RepeatPreviousHrad"], "Did you mean 'RepeatPreviousHard'?"),
    (["train", AGENT, "--set", "memory=lstn"], "Did you mean 'lstm'?"),
    (["train", AGENT, "--set", "env_options.leng=3"], "leng"),
    (["train", AGENT, "--set", "memory_options.state_sise=8"], "state_sise"),
    (["train", AGENT, "--set", "num_minibatches=7"], "num_minibatches must divide num_envs"),
    (["train", AGENT, "--set", "encoder=wide"], "--set encoder takes numbers, 64,64; got 'wide'"),
    (["train", AGENT, "--set", "encoder=0"], "each width of encoder must be a positive integer; got 0"),
    (["train", AGENT, "--seed", "-1"], "seed must lie between 0 and 2**32 - 1; got -1"),
    (["train", AGENT, "--out", "s3://bucket/run"], "out must be a folder on a disk of this machine"),
    (["train", AGENT, "--set", "env_options=5"], "one by one, env_options.OPTION=VALUE"),
    (["train", AGENT, "--set", "lr.x=5"], "lr has no options to set"),
    (["list", "digets"], "no experiment's name begins with 'digets'. Did you mean 'digits-"),
    (["list", "--budget", "tiny"], "budget must be one of 'smoke', 'cpu', 'gpu', 'paper'; got 'tiny'"),
    (["results", "digits-s5", "digits-s6"], "no experiment's name begins with 'digits-s6'. Did you mean 'digits-s5'?"),
    (
        ["eval", "digits-s6"],
        "neither the folder of a run nor an experiment with stored weights. Did you mean 'digits-s5'?",
    ),
    (["eval", "."], "holds no run: it has no run.json"),
    (["eval", "digits-s5", "--episodes", "5"], "--episodes is for agents"),
]


def test_a_folder_of_several_seeds_is_for_python(run, tmp_path):
    (tmp_path / "run.json").write_text('{"hash": "0", "seed": [0, 1], "config": {}}')
    code, out, err = run("eval", str(tmp_path))
    assert (code, out) == (
        2,
        "",
    ) and "holds several seeds, trained at once; go on with them in Python: seeds=[0, 1]" in err


@pytest.mark.parametrize(
    ("arguments", "message"), MISTAKES, ids=lambda part: " ".join(part) if isinstance(part, list) else ""
)
def test_a_mistake_is_said_in_one_line(run, monkeypatch, arguments, message):
    monkeypatch.setattr(runs, "train", lambda *_, **__: pytest.fail("trained all the same"))
    monkeypatch.setattr(experiments, "main", lambda *_: pytest.fail("ran all the same"))
    code, out, err = run(*arguments)
    assert (code, out) == (2, "") and message in err and err.startswith("s5lib: ") and "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["traim", "x"], ["traim", "Available subcommands", "train"]),
        (["train", "digits-s5", "--sed", "1"], ["--sed", "--seed"]),
        (["train"], ["NAME"]),
        (["train", "digits-s5", "--seed", "one"], ["--seed", "one"]),
        ([], ["train", "eval", "list", "results"]),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_an_unknown_word_is_answered_with_those_that_there_are(run, arguments, words):
    code, out, err = run(*arguments)
    assert code == 2 and all(word in out + err for word in words) and "Traceback" not in err


def test_a_run_that_fails_says_why(run, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    code, _, err = run("train", "digits-gru", "--budget", "smoke", "--out", "file")
    assert code == 1 and "as the folder of a run" in err and "Choose another --out" in err

    def diverge(*_, **__):
        raise runs.DivergedError("training diverged at update 4: loss = nan.")

    monkeypatch.setattr(runs, "train", diverge)
    code, _, err = run("train", "digits-gru", "--budget", "smoke")
    assert code == 1 and err == "s5lib: training diverged at update 4: loss = nan.\n"
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    code, _, err = run("train", "digits-gru", "--budget", "smoke", "--tensorboard")
    assert code == 1 and "pip install 's5lib[tensorboard]'" in err
    monkeypatch.setitem(sys.modules, "tyro", None)
    code, _, err = run("list")
    assert code == 1 and "tyro is not installed; install it with: pip install 's5lib[cli]'" in err


def test_an_error_of_the_library_keeps_its_traceback(run, monkeypatch):
    def broken(*_, **__):
        raise ValueError("a mistake of ours")

    monkeypatch.setattr(runs, "train", broken)
    with pytest.raises(ValueError, match="a mistake of ours"):
        run("train", "digits-gru", "--budget", "smoke")


def test_results_runs_what_is_missing(run, monkeypatch):
    asked = []
    monkeypatch.setattr(command, "main", asked.append)
    assert run("results", "digits", "packed-s5", "--seeds", "1", "2")[0] == 0
    assert run("results")[0] == 0
    assert asked == [
        ["digits", "packed-s5", "--seeds", "1", "2", "--out", "runs"],
        ["--seeds", "0", "1", "2", "3", "4", "--out", "runs"],
    ]


def test_results_leaves_what_is_stored_alone(run):
    code, out, _ = run("results", "digits-gru", "--seeds", "0")
    assert (code, out) == (0, "digits-gru seed 0: stored already\n")


def test_fields_take_values_of_their_own_kind():
    changes = [
        "lr=3",
        "total_steps=1e6",
        "resets=false",
        "encoder=64,32",
        "head=()",
        "env=RepeatFirstEasy",
        "seed_free=1",
    ]
    config = cli.with_fields(PPOConfig(), changes[:-1])
    assert config == dataclasses.replace(
        PPOConfig(), lr=3.0, total_steps=1_000_000, resets=False, encoder=(64, 32), head=(), env="RepeatFirstEasy"
    )
    assert isinstance(config.lr, float) and isinstance(config.total_steps, int)
    config = cli.with_fields(config, ["memory_options.layers=2", "memory_options.norm=none", "memory_options.layers=3"])
    assert config.memory_options == (("layers", 3), ("norm", "none"))
    assert cli.with_fields(DigitsConfig(), ["validation=True"]).validation is True
    assert cli.with_fields(config, []) is config
    with pytest.raises(ValueError, match="no field 'seed_free'"):
        cli.with_fields(config, changes)


def test_without_its_extra_the_command_line_says_how_to_get_it(monkeypatch, capsys):
    from s5lib import __main__ as program

    project = tomllib.loads((pathlib.Path(__file__).resolve().parents[1] / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"s5lib": f"{program.__name__}:{program.main.__name__}"}
    monkeypatch.delattr("s5lib.cli", raising=False)
    monkeypatch.setitem(sys.modules, "s5lib.cli", None)
    assert program.main() == 1
    assert "pip install 's5lib[cli]'" in capsys.readouterr().err


@pytest.mark.slow
def test_python_m_s5lib_is_the_command_line(tmp_path):
    environment = {**os.environ, "COLUMNS": "100"}
    for arguments, code, words in ((["list", "packed"], 0, "packed-gru"), (["list", "x"], 2, "no experiment's name")):
        done = subprocess.run(
            [sys.executable, "-m", "s5lib", *arguments], capture_output=True, text=True, cwd=tmp_path, env=environment
        )
        assert done.returncode == code and words in done.stdout + done.stderr
