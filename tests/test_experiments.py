"""Named experiments, and the stored runs: each is held to today's config and can still be run."""

import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from s5lib import experiments, ppo, records
from s5lib.config import BUDGETS, Experiment
from s5lib.envs import describe, worlds
from s5lib.envs.popgym import FAMILIES
from s5lib.experiments import command, search
from s5lib.memory import count_parameters
from s5lib.s5 import S5Stack
from s5lib.supervised import make, num_params
from s5lib.viz.worlds import visit_worlds

MEMORIES = ("s5", "gru", "lstm", "attention", "none")
CHAINS = [f"memory-length-{length}" for length in experiments.LENGTHS]
DIGITS = ("digits-gru", "digits-s5", "packed-gru", "packed-s5", "packed-s5-no-resets")
STARTS = tuple(f"digits-s5-{start}" for start in ("frozen", "random", "random-frozen", "real"))
CONTEXT = "projected-cartpole"
MANY = [name for name in records.stored_names() if name.startswith("projected-worlds")]
STORED = records.stored_names()


def kebab(name):
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name.replace("CartPole", "Cartpole")).lower()


def record(name):
    """The lines of an experiment's file: what was run, and its seeds."""
    return [json.loads(line) for line in (records.results_folder() / f"{name}.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("budget", BUDGETS)
def test_every_name_has_a_config_at_every_budget(budget):
    for name in experiments.names():
        found = experiments.get(name, budget)
        digits = name in DIGITS + STARTS
        assert isinstance(found, Experiment) and (found.name, found.budget) == (name, budget)
        assert hash(found.config) == hash(found.config)
        special = {CONTEXT: "trial_return", "projected-worlds": "return_trained"}
        wanted = "accuracy" if digits else next((special[task] for task in special if name.startswith(task)), "return")
        assert found.metric == wanted and found.source
        assert found.expected is None or budget not in ("smoke", "gpu") or digits
        assert not digits or not found.config.validation


def test_the_names_are_tasks_and_memories():
    assert set(experiments.EASY) == {f"{kebab(family)}-easy" for family in FAMILIES}
    assert len(experiments.HARD) == 5 and len(experiments.LENGTHS) == 10
    found = set(experiments.names()) - set(DIGITS + STARTS)
    for task in (*experiments.EASY, *experiments.HARD):
        assert {f"{task}-{memory}" for memory in ("s5", "gru", "lstm", "attention", "none")} <= found
    assert {f"{task}-s5-no-resets" for task in experiments.HARD} <= found
    for name in found:
        config = experiments.get(name, "cpu").config
        level = re.sub("-", "", name).lower()
        (task,) = dict(config.env_options).get("worlds", (config.env.replace("Chain", "Length"),))
        assert config.memory in name.split("-"), f"{name}: call it <task>-{config.memory}"
        assert level.startswith(task.lower()), (
            f"{name}: its task's name begins as its environment's, {task}, in kebab-case"
        )


def test_the_budget_in_force_decides_when_none_is_named(monkeypatch):
    monkeypatch.setenv("S5LIB_BUDGET", "smoke")
    assert experiments.get("digits-s5") == experiments.get("digits-s5", "smoke")
    assert experiments.get("digits-s5", "gpu").config == experiments.get("digits-s5", "cpu").config
    assert experiments.get("repeat-previous-hard-s5").config.total_steps == 128


def test_unknown_names_and_budgets_are_refused():
    with pytest.raises(ValueError, match=r"got 'digit-s5'. Did you mean 'digits-s5'\?"):
        experiments.get("digit-s5")
    with pytest.raises(ValueError, match=r"Did you mean 'repeat-previous-hard-s5'\?"):
        experiments.get("repeat-previous-hard-s6")
    with pytest.raises(ValueError, match=r"budget must be one of 'smoke', 'cpu', 'gpu', 'paper'; got 'tiny'"):
        experiments.get("digits-s5", "tiny")
    with pytest.raises(ValueError, match=r"name must be one of .*'popgym-s5'.*; got 'popgym-s6'"):
        search.tune("popgym-s6", "nowhere")


@pytest.mark.parametrize("task", ["digits", "packed"])
def test_the_readers_of_digits_have_equal_parameters_and_equal_tuning(task):
    configs = [experiments.get(f"{task}-{memory}", "cpu").config for memory in ("s5", "gru")]
    counts = [num_params(jax.eval_shape(make(config).init, jax.random.key(0)).params) for config in configs]
    assert abs(counts[0] - counts[1]) < 0.02 * max(counts)
    own = {"memory", "features", "learning_rate", "weight_decay"}
    assert same_but(own, *configs)


def same_but(own, *configs):
    rest = [{key: value for key, value in dataclasses.asdict(config).items() if key not in own} for config in configs]
    return all(fields == rest[0] for fields in rest)


def memory_parameters(config):
    """Those of the memory and of the Dense layer before it."""
    params = jax.eval_shape(ppo.make(config).init, jax.random.key(0)).params["params"]
    return count_parameters({name: params[name] for name in ("memory", "embed") if name in params})


@pytest.mark.parametrize("task", ["repeat-previous-easy", "memory-length-64", "position-only-pendulum-hard"])
def test_agents_differ_in_their_memory_alone_and_have_equal_parameters(task):
    equal = [name for name in experiments.names(task) if not name.endswith(("no-resets", "slow", "wide", "short"))]
    configs = [experiments.get(name, "cpu").config for name in equal]
    assert len(configs) >= 4
    assert same_but({"memory", "features", "memory_options", "lr"}, *configs)
    counts = [memory_parameters(config) for config in configs]
    assert max(counts) < 1.05 * min(counts), counts


def test_players_behind_projections_differ_in_their_memory_alone():
    configs = [experiments.get(f"{CONTEXT}-{memory}", "cpu").config for memory in ("s5", "gru", "none")]
    assert same_but({"memory", "features", "memory_options", "lr"}, *configs)
    counts = [memory_parameters(config) for config in configs]
    assert max(counts) < 1.05 * min(counts), counts


def test_players_of_many_worlds_differ_in_their_memory_alone():
    """Their whole networks have equal numbers of parameters; which worlds they play does not change that."""
    configs = [experiments.get(f"projected-worlds-{memory}", "cpu").config for memory in ("s5", "gru", "lstm", "none")]
    assert same_but({"memory", "features", "memory_options", "lr"}, *configs)
    one = {"env_options": (("worlds", ("PointMass",)),), "eval_env_options": ()}
    shapes = [
        jax.eval_shape(ppo.make(dataclasses.replace(config, **one)).init, jax.random.key(0)) for config in configs
    ]
    counts = [count_parameters(shape.params) for shape in shapes]
    assert max(counts) < 1.02 * min(counts), counts


@pytest.mark.parametrize(
    "change, fields",
    [
        ("no-resets", {"resets": False}),
        ("no-reward", {"previous_reward": False}),
        ("light-critic", {"vf_coef": 1.0}),
        ("two-buttons", {"env_options": {"action_size": None}}),
        ("one-bit", {"env_options": {"action_size": None, "mirror": True}}),
        ("same-starts", {"env_options": {"fresh": False}}),
        ("lives-of-trials", {"env_options": {"trials": 16, "steps": None}}),
        ("one-return", {"env_options": {"trials": 16, "steps": None, "own_returns": False}}),
        ("usual-steps", {"memory_options": {"step_min": 0.001, "step_max": 0.1}}),
        ("two-layers", {"memory_options": {"layers": 2}}),
    ],
)
def test_an_ablation_behind_projections_changes_what_its_name_says(change, fields):
    whole, ablated = (experiments.get(f"{CONTEXT}-s5{end}", "cpu").config for end in ("", f"-{change}"))
    assert same_but(set(fields), whole, ablated) and whole != ablated
    for field, value in fields.items():
        now = getattr(ablated, field)
        assert dict(now) == {**dict(getattr(whole, field)), **value} if isinstance(value, dict) else now == value


def test_projected_cartpole_is_judged_on_projections_and_trials_that_training_has_not():
    for name in experiments.names(CONTEXT):
        for budget in BUDGETS:
            agent = ppo.make(experiments.get(name, budget).config)
            assert agent.eval_env.held_out and not agent.env.held_out and agent.eval_env.trials == 32
            assert agent.eval_env.steps is None and (agent.env.trials is None) != (agent.env.steps is None)
            assert agent.eval_env.fresh == agent.env.fresh
    published = experiments.PUBLISHED[CONTEXT]
    assert {name: round(16 * value, 2) for name, (value, _) in published.items()} == {
        "s5": 6.83, "s5-no-resets": 5.89, "gru": 5.92, "none": 2.87
    }  # fmt: skip
    for method, (value, _) in published.items():
        assert experiments.get(f"{CONTEXT}-{method}", "paper").expected == value
    assert experiments.get(f"{CONTEXT}-s5-usual-steps", "paper").expected is None


def test_only_the_pace_of_its_dynamics_differs_where_s5_is_slow():
    for task in experiments.EASY:
        usual, slow = (experiments.get(f"{task}-s5{end}", "cpu").config for end in ("", "-slow"))
        assert same_but({"ssm_lr"}, usual, slow) and (usual.ssm_lr, slow.ssm_lr) == (1.0, 0.25)
        assert experiments.get(f"{task}-s5-slow", "paper").expected is None


def test_the_wide_one_is_named_where_equal_parameters_are_left():
    narrow, wide = (
        experiments.get(f"noisy-position-only-pendulum-hard-s5{end}", "cpu").config for end in ("", "-wide")
    )
    assert same_but({"features", "memory_options", "encoder", "head", "total_steps", "lr"}, narrow, wide)
    assert wide.total_steps <= 5_000_000
    paper = [experiments.get(f"noisy-position-only-pendulum-hard-s5{end}", "paper") for end in ("", "-wide")]
    assert paper[0].config == paper[1].config and paper[0].expected == paper[1].expected == 0.55


@pytest.mark.parametrize("name", ["digits-s5", "digits-gru", "packed-s5", "packed-gru"])
def test_each_reader_of_digits_is_the_one_that_tuning_chose(name):
    tries = experiments.tuning()[name]
    assert tries["tries"] == list(experiments.TRIES)
    assert len(tries["validation_accuracy"]) == len(experiments.TRIES)
    best = int(np.argmax(tries["validation_accuracy"]))
    config = dataclasses.asdict(experiments.get(name, "cpu").config)
    assert tries["chosen"] == tries["tries"][best] == {key: config[key] for key in tries["chosen"]}


@pytest.mark.parametrize(
    "suite, tasks",
    [("popgym", (*experiments.EASY, *experiments.HARD)), ("memory-length", CHAINS), (CONTEXT, (CONTEXT,))],
)
def test_each_agent_has_the_step_size_that_tuning_chose(suite, tasks):
    for name in (name for task in tasks for name in experiments.names(f"{task}-") if not name.endswith("wide")):
        config = experiments.get(name, "cpu").config
        own = "-open" in name and suite == "memory-length"  # elsewhere it takes the LSTM's
        tries = experiments.tuning()[f"{suite}-{config.memory}{'-open' if own else ''}"]
        rates = [one["lr"] for one in tries["tries"]]
        lower = [6e-5, 1.25e-4] if suite == "memory-length" else []
        assert rates == [*lower, *experiments.AGENT_TRIES]
        best = tries["chosen"]["lr"]
        assert best == rates[int(np.argmax(tries["score"]))] and config.lr == (1e-3 if "same-step" in name else best)


@pytest.mark.parametrize("name", experiments.names("projected-worlds"))
def test_many_worlds_take_the_smallest_step_near_the_best(name):
    tries = experiments.tuning()[name]
    rates, scores = [one["lr"] for one in tries["tries"]], np.array(tries["score"])
    assert rates == list(experiments.WORLD_TRIES)
    near = min(rate for rate, score in zip(rates, scores, strict=True) if score >= 0.95 * scores.max())
    assert experiments.get(name, "cpu").config.lr == tries["chosen"]["lr"] == near


@pytest.mark.parametrize("name", ["packed-s5", *(f"{task}-s5" for task in (*experiments.HARD, CONTEXT))])
def test_only_the_flags_differ_where_resets_are_left_out(name):
    with_flags, without = (experiments.get(full, "cpu").config for full in (name, f"{name}-no-resets"))
    assert dataclasses.replace(with_flags, resets=False) == without


# ---------------------------------------------------------------------------------------------- the papers' settings
POPGYM_TABLE = {  # Lu et al. 2023, appendix B, and the released code where the table is silent
    "lr": 5e-5, "max_grad_norm": 0.5, "anneal": False, "num_envs": 64, "num_steps": 1024, "total_steps": 15_000_000,
    "update_epochs": 30, "num_minibatches": 8, "gamma": 0.99, "gae_lambda": 1.0, "clip_eps": 0.2, "ent_coef": 0.0, "vf_coef": 1.0,
    "clip_value": True, "features": 256, "encoder": (128,), "head": (128, 128), "previous_action": True, "previous_reward": False,
    "normalize_advantage": True,
}  # fmt: skip
CHAIN_TABLE = {  # the same appendix, "A2C on bsuite"; our value loss has a half
    "lr": 3e-4, "ent_coef": 0.0, "gamma": 0.99, "gae_lambda": 0.9, "num_envs": 1, "num_steps": 32, "features": 256,
    "encoder": (256,), "vf_coef": 2.0, "update_epochs": 1, "num_minibatches": 1,
}  # fmt: skip


@pytest.mark.parametrize("task", experiments.HARD)
def test_paper_configs_are_the_papers_table(task):
    for memory in ("s5", "gru", "none"):
        found = experiments.get(f"{task}-{memory}", "paper")
        fields = dataclasses.asdict(found.config)
        assert {name: fields[name] for name in POPGYM_TABLE} == POPGYM_TABLE
        assert found.expected == experiments.PUBLISHED[task][memory][0]
    assert dict(experiments.get(f"{task}-s5", "paper").config.memory_options) == {
        "layers": 4, "state_size": 256, "norm": "none"
    }  # fmt: skip
    assert S5Stack(256, 256, 4, norm="none").activation == "full_glu"
    assert experiments.get(f"{task}-gru", "paper").config.memory_options == ()  # one layer
    assert experiments.get(f"{task}-s5-no-resets", "paper").config.resets is False


def test_paper_configs_of_projected_cartpole():
    """Its settings are not published: POPGym's, for as many updates as the figure shows, in the released code's trials."""
    for memory in ("s5", "gru", "none"):
        fields = dataclasses.asdict(experiments.get(f"{CONTEXT}-{memory}", "paper").config)
        table = {**POPGYM_TABLE, "total_steps": 762 * 65_536, "previous_reward": True}
        assert {name: fields[name] for name in table} == table
        wanted = {"trials": 16, "steps": None, "fresh": False, "own_returns": False, "gain": 1.0}
        assert dict(fields["env_options"]) == wanted


def test_paper_configs_of_many_worlds():
    """Appendix B of the paper, but for its optimiser, Muesli, and for shares of 1024 environments that six worlds cannot have."""
    table = {
        "encoder": (512, 512),
        "num_envs": 1026,
        "num_steps": 1000,
        "lr": 3e-4,
        "gamma": 0.995,
        "total_steps": 2 * 10**9,
    }
    for memory, width in (("s5", 256), ("lstm", 512), ("gru", 512), ("none", 512)):
        config = experiments.get(f"projected-worlds-{memory}", "paper").config
        assert {name: getattr(config, name) for name in table} == table and config.features == width
        assert config.previous_action and config.previous_reward  # algorithm 1
    assert dict(experiments.get("projected-worlds-s5", "paper").config.memory_options)["layers"] == 10
    assert experiments.get("projected-worlds-s5", "paper").expected == 810
    train = [experiments.PUBLISHED_WORLDS[world] for world in worlds.TRAIN]
    for memory, mean in (
        ("s5", 810),
        ("lstm", 660),
        ("none", 233),
    ):  # the mean's curve is smoothed, the figure's bars are not
        assert np.mean([row[memory] for row in train]) == pytest.approx(mean, rel=0.03)
    assert set(experiments.PUBLISHED_WORLDS) == {*worlds.TRAIN, *worlds.HELD_OUT}
    env = experiments.get("projected-worlds-s5", "cpu").config
    assert dict(env.eval_env_options)["held_out"] and set(worlds.TRAIN + worlds.HELD_OUT) < set(experiments.EVERYWHERE)


@pytest.mark.parametrize("length", experiments.LENGTHS)
def test_paper_configs_of_memory_length_are_the_papers_table(length):
    for name in experiments.names(f"memory-length-{length}-"):
        config = experiments.get(name, "paper").config
        fields = dataclasses.asdict(config)
        assert {name: fields[name] for name in CHAIN_TABLE} == CHAIN_TABLE
        assert config.total_steps == 10_000 * (length + 1) and dict(config.memory_options).get("layers", 1) == 1


def lowered_for_cuda(function, *shapes):
    return export.export(jax.jit(function), platforms=["cuda"])(*shapes).mlir_module()


@pytest.mark.slow
@pytest.mark.parametrize("budget", ["gpu", "paper"])
@pytest.mark.parametrize(
    "name",
    [f"repeat-previous-hard-{m}" for m in MEMORIES]
    + [f"memory-length-256-{m}" for m in ("s5", "lstm")]
    + [f"{CONTEXT}-{m}" for m in ("s5", "gru", "none")]
    + ["projected-worlds-s5"],
)
def test_whole_updates_are_lowered_for_cuda(name, budget):
    agent = ppo.make(experiments.get(name, budget).config)
    assert "stablehlo" in lowered_for_cuda(agent.update, jax.eval_shape(agent.init, jax.random.key(0)))


@pytest.mark.slow
@pytest.mark.parametrize("memory", ["s5", "gru"])
def test_on_cuda_s5_reads_a_rollout_without_a_loop_over_time(memory):
    agent = ppo.make(experiments.get(f"repeat-previous-hard-{memory}", "paper").config)
    state = jax.eval_shape(agent.init, jax.random.key(0))
    obs = jax.ShapeDtypeStruct((1024, *state.obs.shape), jnp.float32)
    resets = jax.ShapeDtypeStruct(obs.shape[:2], bool)

    def value(params, carry, obs, resets):
        return agent.network.apply(params, carry, obs, resets)[2].sum()

    found = lowered_for_cuda(jax.grad(value), state.params, state.carry, obs, resets)
    assert ("stablehlo.while" in found) == (memory == "gru")


# ---------------------------------------------------------------------------------------------- stored runs
def test_stored_seeds_have_no_gaps():
    assert set(DIGITS + STARTS) <= set(records.stored_names()) <= set(experiments.names())
    for name in records.stored_names():
        seeds = [result.seed for result in records.stored(name)]
        assert seeds == list(range(len(seeds))) and len(seeds) == 5


@pytest.mark.parametrize("name", STORED)
def test_stored_runs_are_of_todays_config_and_say_where_they_come_from(name):
    head, *seeds = record(name)
    experiment = experiments.get(name, head["budget"])
    assert head["name"] == name and head["hash"] == records.config_hash(experiment.config)
    now = records.identity(experiment.config, 0, experiment.config.make())
    assert records.differences({"seed": 0, **head}, now) == []
    for run in seeds:
        check_stored(experiment, run)
    assert ("weights" in seeds[0]) == (name in experiments.WEIGHTS)
    size = (records.results_folder() / f"{name}.jsonl").stat().st_size
    assert size < len(seeds) * (50_000 if experiment.metric == "accuracy" else 16_000)


def check_stored(experiment, run):
    assert {"versions", "processor", "cores", "device", "commit"} <= set(run["provenance"])
    lengths = {len(values) for values in run["metrics"].values()}
    assert len(lengths) == 1 and lengths.pop() <= 200
    assert run["metrics"]["update"][-1] == experiment.config.num_updates
    if experiment.metric == "accuracy":
        assert 0 <= run["final"]["accuracy"] <= 1
    elif experiment.config.env == "ProjectedWorlds":
        returns = {metric: value for metric, value in run["final"].items() if metric.startswith("return/")}
        assert all(0 <= value <= 1000 for metric, value in returns.items() if "brax" not in metric)
        own = dict(experiment.config.env_options).get("worlds", worlds.TRAIN)
        scored = dict(experiment.config.eval_env_options).get("worlds", own)
        assert set(returns) == {f"return/{world}" for world in scored}
    else:
        about = describe(
            experiment.config.env, **dict(experiment.config.env_options + experiment.config.eval_env_options)
        )
        assert run["final"]["return"] <= about.best_return + 4 * run["final"]["return_se"] + 0.02


@pytest.mark.parametrize("name", DIGITS + STARTS)
def test_the_number_to_expect_is_the_mean_of_the_stored_seeds(name):
    found = experiments.get(name, "cpu")
    assert found.expected == pytest.approx(np.mean([result.final["accuracy"] for result in records.stored(name)]))
    assert found.source == "measured: mean of 5 stored runs, cpu budget"


@pytest.mark.parametrize("name", DIGITS)
def test_stored_readers_of_digits_score_what_was_stored(name):
    learner = make(experiments.get(name, "cpu").config)
    shapes = jax.eval_shape(learner.init, jax.random.key(0))
    scores = learner.evaluate(shapes._replace(params=loaded(name, shapes)))
    for metric, value in records.stored(name)[0].final.items():
        assert scores[metric] == pytest.approx(value, abs=0.004)


def loaded(name, shapes):
    """The stored weights, of the shapes that today's network has."""
    assert (records.results_folder() / f"{name}.npz").stat().st_size <= 1_000_000
    params = records.load(name)
    jax.tree.map(
        lambda want, got: np.testing.assert_equal((want.shape, want.dtype), (got.shape, got.dtype)),
        shapes.params,
        params,
    )
    return params


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name in experiments.WEIGHTS if name not in (*DIGITS, *MANY) and name in records.stored_names()]
)
def test_stored_agents_score_what_was_stored(name):
    final, stored = played(dataclasses.replace(experiments.get(name, "cpu").config, eval_episodes=256), name)
    assert abs(final["return"] - stored["return"]) < 5 * (final["return_se"] + stored["return_se"]) + 0.01


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MANY if name in experiments.WEIGHTS])
def test_stored_agents_of_many_worlds_score_what_was_stored(name):
    """In one world of the twelve, since all of them take minutes to compile; 16 episodes were stored, with a spread near 100."""
    options = {**dict(experiments.get(name, "cpu").config.eval_env_options), "worlds": ("CartpoleSwingup",)}
    config = dataclasses.replace(
        experiments.get(name, "cpu").config, eval_env_options=tuple(options.items()), eval_episodes=64
    )
    final, stored = played(config, name)
    assert abs(final["return"] - stored["return/CartpoleSwingup"]) < 5 * (100 / 4 + final["return_se"])


def played(config, name):
    """What the stored weights earn now, and what they earned when they were stored."""
    agent = config.make()
    shapes = jax.eval_shape(agent.init, jax.random.key(0))
    play = jax.jit(lambda params: agent.evaluate(shapes.replace(params=params, key=jax.random.key(1))))
    return play(loaded(name, shapes)), records.stored(name)[0].final


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [*DIGITS, *(f"count-recall-easy-{m}" for m in MEMORIES), "memory-length-16-s5", f"{CONTEXT}-s5"]
)
def test_one_update_of_stored_configs_still_runs(name):
    config = experiments.get(name, "cpu").config
    learner = make(dataclasses.replace(config, steps_per_update=1)) if name in DIGITS else ppo.make(config)
    _, metrics = jax.jit(learner.update)(learner.init(jax.random.key(0)))
    assert all(np.isfinite(value) for metric, value in metrics.items() if not metric.startswith("return"))
    assert np.isfinite(metrics["loss"])


def test_the_claims_of_the_stored_runs_hold():
    def mean(name, metric="accuracy"):
        return np.mean([result.final[metric] for result in records.stored(name)])

    assert mean("digits-s5") >= 0.97
    assert mean("packed-s5") - mean("packed-s5", "accuracy_resets_hidden") >= 0.2
    assert mean("packed-s5") - mean("packed-s5-no-resets") >= 0.2


def test_what_is_claimed_of_learning_in_context():
    """Above the paper's S5, better over the first trials, and no loss to trial 32."""

    def trials(name):
        return np.array([run.trials for run in records.stored(f"{CONTEXT}-{name}")])

    s5 = trials("s5")
    assert s5[:, :16].sum(1).mean() >= 6.83
    assert all(
        trials(memory)[:, :16].sum(1).mean() > 1.5 * trials("none")[:, :16].sum(1).mean() for memory in ("s5", "gru")
    )
    mean = s5.mean(0)
    assert mean[3:8].mean() > mean[0] and mean[28:].mean() > 0.9 * mean[12:16].mean()
    assert all("trial_return" in run.metrics for run in records.stored(f"{CONTEXT}-s5"))


def test_what_is_claimed_of_many_worlds():
    """Every seed of S5 earns more, on the mean of six worlds, than any with another memory or with none."""

    def trained(memory):
        return [run.final["return_trained"] for run in records.stored(f"projected-worlds-{memory}")]

    assert min(trained("s5")) > max(*trained("lstm"), *trained("gru"), *trained("none"))


@pytest.mark.slow
def test_levers_are_found_out_in_the_episode():
    """Behind projected levers reward rises as the episode goes on, and falls where the memory is emptied."""
    name = "cartpole-swingup-s5-actions"
    agent, weights = experiments.get(name, "cpu").config.make(), records.load(name)

    def course(forget):
        """Mean reward of a step before step 250, from 400 to 500 and from 550 to 650."""
        (found,) = visit_worlds(agent, weights, 2, 128, forget).values()
        reward = np.mean([visit.reward for visit in found], 0)
        return reward[:250].mean(), reward[400:500].mean(), reward[550:650].mean()

    early, before, after = course(())
    assert before > early + 0.3 and abs(after - before) < 0.1
    assert course((500,))[2] < before - 0.1


def test_every_experiment_is_of_one_family_and_what_a_family_names_is_its_own():
    everything = [name for family in experiments.FAMILIES for name in family.configs]
    assert len(everything) == len(set(everything)) == len(experiments.names())
    for family in experiments.FAMILIES:
        tuned = {task for tasks in (family.tuning.tasks.values() if family.tuning else ()) for task in tasks}
        assert {*family.weights, *tuned} <= set(family.configs)
        for task, methods in family.published.items():
            assert {f"{task}-{method}" for method in methods} <= set(family.configs) or task.startswith("memory-length")


@pytest.mark.parametrize(
    "old, new", [("TRIALS", "TRIES"), ("AGENT_TRIALS", "AGENT_TRIES"), ("WORLD_TRIALS", "WORLD_TRIES")]
)
def test_old_names_lead_to_the_same_things(old, new):
    assert getattr(experiments, old) is getattr(experiments, new)
    assert experiments.main is command.main and experiments.tune is search.tune
