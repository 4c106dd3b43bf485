"""The command line: ``s5lib train``, ``eval``, ``list`` and ``results``, or ``python -m s5lib`` followed by one of them.

It is a thin skin over ``experiments`` and ``runs``: a mistake in what was typed is said in one line, with the nearest match.
"""

import ast
import contextlib
import dataclasses
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import jax
import numpy as np

from s5lib import checkpoints, experiments, records, runs
from s5lib.amago import AmagoConfig
from s5lib.config import BUDGETS, check_choice, check_positive_int, check_seed, did_you_mean, random_key, require
from s5lib.config import budget as budget_in_force
from s5lib.experiments import command
from s5lib.ppo import PPOConfig
from s5lib.records import check_folder
from s5lib.supervised import DigitsConfig

__all__ = ["main", "with_fields"]

CONFIGS = {cls.__name__: cls for cls in (AmagoConfig, DigitsConfig, PPOConfig)}
ABOUT = """Train, score and look up the experiments of the book Structured State Space RL.

examples:
  s5lib list repeat-previous              what there is, and the number to expect
  s5lib train repeat-previous-easy-s5     minutes on two cores; Ctrl-C, and the same command goes on
  s5lib eval runs/repeat-previous-easy-s5-seed0
  s5lib eval digits-s5                    the weights that come with s5lib"""


class Mistake(ValueError):
    """Something typed that cannot be meant."""


@contextlib.contextmanager
def _typed() -> Iterator[None]:
    """What is refused in here is a mistake in what was typed, not in the library."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise Mistake(str(error)) from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: what follows ``s5lib``; taken from the command line if None.
    Returns:
        The exit code: 0; 1 where a run failed; 2 where what was typed is wrong; 130 after Ctrl-C.
    """
    try:
        tyro = require("tyro", "cli")
        commands = _commands(tyro.conf.arg, tyro.conf.Positional, tyro.conf.UseAppendAction)
        plain = (tyro.conf.FlagCreatePairsOff,)
        tyro.extras.subcommand_cli_from_dict(commands, prog="s5lib", description=ABOUT, args=arguments, config=plain)
    except (Mistake, checkpoints.RunFolderError) as error:
        return _say(error, 2)
    except (OSError, ImportError, runs.DivergedError) as error:
        return _say(error, 1)
    except KeyboardInterrupt:
        return _say("interrupted. What was done is saved: the same command goes on from there", 130)
    return 0


def _say(error: object, code: int) -> int:
    """Print an error in the words of the command line."""
    words = str(error).replace("resume=False", "--fresh").replace("another out", "another --out")
    print(f"s5lib: {words}", file=sys.stderr)
    return code


def _commands(arg: Any, positional: Any, append: Any) -> dict[str, Any]:
    """The functions behind the subcommands; their signatures and docstrings are the command line and its help."""

    def told(metavar: str) -> Any:
        return arg(metavar=metavar, help_behavior_hint="")

    budgets = "{" + ",".join(BUDGETS) + "}"

    def train(
        name: Annotated[positional[str], told("NAME")],
        seed: int = 0,
        budget: Annotated[str, told(budgets)] = "",
        out: Annotated[str, told("FOLDER")] = "",
        set_: Annotated[
            list[tuple[str, ...]], arg(name="set", metavar="FIELD=VALUE", help_behavior_hint=""), append
        ] = [],  # noqa: B006
        tensorboard: Annotated[bool, told("")] = False,
        fresh: Annotated[bool, told("")] = False,
    ) -> None:
        """Train an experiment and print its score beside the one to expect.

        Stopped or killed, it goes on when the same command is given again.

        Args:
            name: the experiment; 's5lib list' shows them all.
            seed: seed of everything random.
            budget: size of the run: smoke takes seconds and learns nothing, cpu is for two laptop cores, gpu for one T4, paper
                is the papers' scale. If not given, $S5LIB_BUDGET, else gpu where there is one, else cpu.
            out: folder for metrics and checkpoints; runs/NAME-seedSEED if not given.
            set_: change fields of the experiment's config, such as --set lr=1e-3 num_envs=32 env_options.memory_length=100.
            tensorboard: log for TensorBoard too, into the folder.
            fresh: start over; a run that is in the folder is deleted.
        """
        _train(name, seed, budget, out, [item for group in set_ for item in group], tensorboard, fresh)

    def evaluate(
        what: Annotated[positional[str], told("FOLDER|NAME")], episodes: Annotated[int, told("INT")] = 0, seed: int = 0
    ) -> None:
        """Score a folder that 's5lib train' filled, or weights that come with s5lib.

        Args:
            what: the folder of a run; or the name of an experiment whose weights are stored.
            episodes: episodes to play; as many as in training's own score (512 as a rule) if not given.
            seed: seed of the episodes, for stored weights; a folder's are those that follow its training.
        """
        _evaluate(what, episodes, seed)

    def show(
        prefix: Annotated[positional[str], told("[PREFIX]")] = "", budget: Annotated[str, told(budgets)] = ""
    ) -> None:
        """List the experiments, one a line: name, length, the number to expect.

        Args:
            prefix: only those whose name begins so.
            budget: the budget whose lengths are shown; that in force if not given.
        """
        _show(prefix, budget)

    def results(
        names: Annotated[positional[tuple[str, ...]], told("[NAME ...]")] = (),
        seeds: tuple[int, ...] = (0, 1, 2, 3, 4),
        out: Annotated[str, told("FOLDER")] = "runs",
    ) -> None:
        """Run what is missing of the book's stored runs, at the cpu budget, and store it (hours; resumable).

        Args:
            names: experiments, or how their names begin; all if none is given.
            seeds: seeds to run.
            out: folder of unfinished runs; 'runs' if not given.
        """
        with _typed():
            for name in names:
                _some(name)
        command.main([*names, "--seeds", *map(str, seeds), "--out", out])

    return {"train": train, "eval": evaluate, "list": show, "results": results}


def _some(prefix: str) -> list[str]:
    """The experiments whose names begin with a prefix: at least one."""
    names = experiments.names()
    found = [name for name in names if name.startswith(prefix)]
    if not found:
        raise ValueError(f"no experiment's name begins with {prefix!r}.{did_you_mean(prefix, names)} See: s5lib list")
    return found


def _budget(budget: str) -> str:
    return check_choice("budget", budget, BUDGETS) if budget else budget_in_force()


def _experiment(name: str, budget: str) -> Any:
    names = experiments.names()
    if name not in names:
        begin = [other for other in names if other.startswith(name)]
        near = f" Names that begin so: {', '.join(begin[:6])}." if begin else did_you_mean(name, names)
        raise ValueError(f"there is no experiment {name!r}.{near} All of them: s5lib list")
    return experiments.get(name, _budget(budget))


def _show(prefix: str, budget: str) -> None:
    with _typed():
        budget = _budget(budget)
        found = [experiments.get(name, budget) for name in _some(prefix)]
    width = max(len(experiment.name) for experiment in found)
    print(f"{'experiment':{width}}  {'budget ' + budget:>14}  expect")
    for experiment in found:
        steps = getattr(experiment.config, "total_steps", None)
        length = f"{experiment.config.num_updates:,} updates" if steps is None else f"{steps:,} steps"
        print(f"{experiment.name:{width}}  {length:>14}  {_expected(experiment)}")


def _expected(experiment: Any) -> str:
    return "-" if experiment.expected is None else f"{experiment.metric} {experiment.expected:.3f}"


def _train(name: str, seed: int, budget: str, out: str, changes: list[str], tensorboard: bool, fresh: bool) -> None:
    with _typed():
        experiment = _experiment(name, budget)
        config = with_fields(experiment.config, changes)
        learner = config.make()
        check_seed("seed", seed)
        folder = out or f"runs/{name}-seed{seed}"
        check_folder("out", folder)
    if tensorboard:
        require("tensorboardX", "tensorboard")
    result = runs.train(config, seed, folder, not fresh, learner=learner, label=name, tensorboard=tensorboard)
    print(f"{name}, seed {seed}, budget {experiment.budget}: {_scores(result.final)}")
    if changes:
        without = "" if experiment.expected is None else f"; without them {_expected(experiment)}"
        print(f"to expect: unknown with {' '.join(changes)}{without}")
    elif experiment.expected is None:
        print(f"to expect: {experiment.source}")
    else:
        print(f"to expect: {_expected(experiment)} ({experiment.source})")
    print(f"metrics and checkpoints: {folder}; score it again: s5lib eval {folder}")


def _scores(final: dict[str, float]) -> str:
    """Scores in words: an error beside what it belongs to, counts whole."""
    shown = []
    for name, value in final.items():
        if not name.endswith("_se"):
            error = f" (standard error {final[name + '_se']:.3f})" if name + "_se" in final else ""
            shown.append(f"{name} {value:,.0f}" if abs(value) >= 1000 else f"{name} {value:.3f}{error}")
    return ", ".join(shown)


def with_fields(config: Any, changes: Sequence[str]) -> Any:
    """Change fields of a config as ``--set`` does.

    Args:
        config: a frozen dataclass.
        changes: strings "field=value"; for a field that holds pairs, "field.option=value" changes one of them.
    Returns:
        The changed config.
    Raises:
        ValueError: not of that form, an unknown field, or a value that the field cannot take.
    Example:
        >>> with_fields(PPOConfig(), ["lr=1e-3", "encoder=64,64", "env_options.k=5"]).encoder
        (64, 64)

    """
    for change in changes:
        left, equals, text = change.partition("=")
        name, dot, option = left.partition(".")
        fields = [field.name for field in dataclasses.fields(config)]
        if not equals:
            raise ValueError(f"--set takes FIELD=VALUE, such as {fields[0]}=...; got {change!r}")
        if name not in fields:
            raise ValueError(
                f"{type(config).__name__} has no field {name!r}.{did_you_mean(name, fields)} It has: {', '.join(fields)}"
            )
        now = getattr(config, name)
        if dot:
            if not isinstance(now, tuple) or not name.endswith("_options"):
                raise ValueError(f"{name} has no options to set: write {name}=VALUE; got {change!r}")
            value: Any = tuple({**dict(now), option: _literal(text)}.items())
        else:
            value = _value(name, now, text)
        config = dataclasses.replace(config, **{name: value})
    return config


def _literal(text: str) -> Any:
    """A Python value where the text is one, else the text."""
    try:
        return ast.literal_eval({"true": "True", "false": "False"}.get(text.lower(), text))
    except (ValueError, SyntaxError):
        return text


def _value(name: str, now: Any, text: str) -> Any:
    """The text as a value of the type that a field has."""
    value = _literal(text)
    if isinstance(now, str):
        return text
    if isinstance(now, tuple):
        value = value if isinstance(value, tuple | list) else (value,)
        if not now or not all(isinstance(item, type(now[0])) for item in value):
            wanted = f"options one by one, {name}.OPTION=VALUE" if name.endswith("_options") else "numbers, 64,64"
            if name.endswith("_options") or not all(isinstance(item, int) for item in value):
                raise ValueError(f"--set {name} takes {wanted}; got {text!r}")
        return tuple(value)
    if isinstance(now, int) and not isinstance(now, bool) and isinstance(value, float) and value.is_integer():
        value = int(value)  # 1e6
    if isinstance(now, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not type(now):
        wanted = {bool: "true or false", int: "an integer", float: "a number"}[type(now)]
        raise ValueError(f"--set {name} takes {wanted}; got {text!r}")
    return value


def _evaluate(what: str, episodes: int, seed: int) -> None:
    path = pathlib.Path(what).expanduser()
    stored = records.stored_names()
    if path.is_dir():
        described = checkpoints.read_identity(path)
        seed, name = described["seed"], str(path)
        if not isinstance(seed, int):
            raise Mistake(f"{path} holds several seeds, trained at once; go on with them in Python: seeds={seed}")
    elif what in stored:
        described = {"config": records.stored(what)[0].config}
        name = what
    else:
        raise Mistake(
            f"{what!r} is neither the folder of a run nor an experiment with stored weights.{did_you_mean(what, stored)}"
        )
    with _typed():
        config = _rebuilt(described["config"])
        if episodes:
            check_positive_int("--episodes", episodes)
            if not hasattr(config, "eval_episodes"):
                raise ValueError(f"--episodes is for agents; {name} is scored on all of its held-out data")
            config = dataclasses.replace(config, eval_episodes=episodes)
        learner = config.make()
        state = jax.jit(learner.init)(random_key(seed))
        if not path.is_dir():
            state = _with_params(state, records.load(what))
    if path.is_dir():
        state, done = checkpoints.restore(path, state)
        name = f"{path} after {done:,} of {config.num_updates:,} updates"
    final = {metric: float(value) for metric, value in learner.evaluate(state).items()}
    count = f", {config.eval_episodes:,} episodes" if hasattr(config, "eval_episodes") else ""
    print(f"{name}{count}: {_scores(final)}")


def _rebuilt(described: dict[str, Any]) -> Any:
    """A config from what a run's record says of it."""

    def tuples(value: Any) -> Any:
        return tuple(map(tuples, value)) if isinstance(value, list) else value

    fields = {name: tuples(value) for name, value in described.items() if name != "class"}
    return CONFIGS[check_choice("the run's config", described["class"], sorted(CONFIGS))](**fields)


def _with_params(state: Any, params: Any) -> Any:
    if jax.tree.map(np.shape, state.params) != jax.tree.map(np.shape, params):
        raise ValueError("the stored weights are of another version of s5lib")
    return state._replace(params=params) if hasattr(state, "_replace") else state.replace(params=params)
