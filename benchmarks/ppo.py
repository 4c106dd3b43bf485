"""How fast is PPO? Environment steps per second of whole updates: every memory, and the paper's network on its own operator.

    python benchmarks/ppo.py           # about 20 minutes; prints the tables, writes book/results/ppo-speed.json
    python benchmarks/ppo.py --quick   # only the paper's network, S5 and GRU at the base size; writes nothing

An update is a rollout, its advantages and 4 passes over it in 4 minibatches, on Repeat Previous Easy. The base size is the
experiments': 64 wide, two layers, 64 environments for 128 steps. "paper" is the same network with the same parameters as
"s5", computed as in paper.py; both must give the same losses before they are timed. Medians of interleaved repetitions from
one state, compile time not counted. The ceilings are measured in the same process: a square float32 matrix product, and a
sum of two large arrays. Rollout and one gradient are timed by themselves, so their shares of an update can add up to a little
more than all of it.
"""

import argparse
import dataclasses
import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any

from measure import ceilings, interleaved, machine, on_cores, pin

RESULT = pathlib.Path(__file__).parents[1] / "book/results/ppo-speed.json"
MEMORIES = ("s5", "gru", "lstm", "attention", "none")
BASE = {"features": 64, "num_envs": 64, "num_steps": 128}
SCALING = {"num_steps": (32, 512), "num_envs": (16, 256), "features": (128, 256)}


def agent(memory: str, equal: str = "width", **sizes: int) -> Any:
    """The agent of one row: ``memory`` two layers deep at equal width, or as the experiments match its parameters to S5's."""
    from s5lib import experiments, ppo
    from s5lib.networks import ActorCritic

    base = experiments.get("repeat-previous-easy-s5", "cpu").config
    if equal == "parameters":
        return ppo.make(experiments.get(f"repeat-previous-easy-{memory}", "cpu").config)
    size = BASE | sizes
    width = size["features"]
    options: dict[str, Any] = {"layers": 2}
    if memory in ("s5", "paper"):
        options |= {"state_size": width, "norm": "none"}
    if memory == "attention":
        options |= {"window": size["num_steps"]}
    kind = "s5" if memory == "paper" else memory
    config = dataclasses.replace(
        base, memory=kind, memory_options=tuple(options.items()), encoder=(width,), head=(width,), **size
    )
    made = ppo.make(config)
    if memory == "paper":
        from paper import PaperStack

        space = made.env.action_space(made.env.default_params)
        network = ActorCritic(space, PaperStack(width, **options), config.encoder, config.head)
        made = dataclasses.replace(made, network=network)
    return made


def gradient(made: Any, state: Any, rollout: Any) -> tuple[Callable, tuple]:
    """One minibatch's gradient by itself, and its arguments."""
    import jax

    from s5lib import ppo

    B = made.config.num_envs // made.config.num_minibatches
    part = jax.tree.map(lambda leaf: leaf[:, :B], rollout)
    carry = jax.tree.map(lambda leaf: leaf[:B], state.carry)

    def loss(params: Any, part: Any) -> Any:
        _, policy, value = made.network.apply(params, carry, part.obs, part.resets)
        return ppo.ppo_loss(policy, value, part, part.reward, part.value, state.hypers)[0]

    return jax.jit(jax.value_and_grad(loss)), (state.params, part)


def matmul_flops(made: Any, params: Any) -> float:
    """Floating point operations of the network's matrix products in one update: 2 for each weight, step and pass.

    A gradient counts as three passes. Attention's scores, over ``window`` steps, are counted; the paper's network counts as
    ours, for its complex products do the same work.
    """
    import jax

    config = made.config
    weights = sum(leaf.size for leaf in jax.tree.leaves(params) if leaf.ndim >= 2)
    if config.memory == "attention":
        memory = made.network.memory
        weights += 2 * memory.layers * memory.window * memory.features
    return 2.0 * weights * config.num_envs * config.num_steps * (1 + 3 * config.update_epochs)


def measure(group: str, contenders: dict[str, Any], repetitions: int) -> list[dict]:
    """One row for each agent of a group, timed in turn."""
    import jax
    import numpy as np

    programs: dict[Any, tuple[Callable, tuple]] = {}
    rows, losses = [], {}
    for name, made in contenders.items():
        config = made.config
        state = jax.jit(made.init)(jax.random.key(0))
        update = jax.jit(made.update).lower(state).compile()
        collect = jax.jit(made.collect).lower(state, state.key).compile()
        _, rollout, _ = collect(state, state.key)
        minibatch, arguments = gradient(made, state, rollout)
        minibatch = minibatch.lower(*arguments).compile()
        programs |= {
            (name, "update"): (update, (state,)),
            (name, "rollout"): (collect, (state, state.key)),
            (name, "gradient"): (minibatch, arguments),
        }
        losses[name] = float(update(state)[1]["loss"])
        rows.append({
            "group": group, "memory": name, "features": config.features, "num_envs": config.num_envs,
            "num_steps": config.num_steps, "parameters": sum(leaf.size for leaf in jax.tree.leaves(state.params)),
            "gflop": 1e-9 * matmul_flops(made, state.params),
            "gradient_gb": 1e-9 * (minibatch.cost_analysis() or {}).get("bytes accessed", 0.0),
        })  # fmt: skip
        print(f"  {group} {name} compiled", file=sys.stderr, flush=True)
    if "paper" in losses:
        np.testing.assert_allclose(losses["paper"], losses["s5"], rtol=1e-2, err_msg="paper and s5 differ")
    found = interleaved(programs, repetitions)
    for row in rows:
        seconds, name = found[row["memory"], "update"], row["memory"]
        config = contenders[name].config
        row |= {
            "update_ms": 1e3 * seconds,
            "steps_per_s": config.num_envs * config.num_steps / seconds,
            "rollout_share": found[name, "rollout"] / seconds,
            "gradient_share": config.update_epochs * config.num_minibatches * found[name, "gradient"] / seconds,
            "gflops": row.pop("gflop") / seconds,
            "gradient_gb_per_s": row.pop("gradient_gb") / found[name, "gradient"],
        }
    return rows


def worker(quick: bool, repetitions: int, scaling: bool) -> None:
    """Print one JSON object a row: the ceilings first, and again at the end."""
    print(json.dumps({"group": "ceilings", **ceilings()}), flush=True)
    names = ("paper", "s5", "gru") if quick else ("paper", *MEMORIES)
    groups = {"equal width": {name: agent(name) for name in names}}
    if not quick:
        groups["equal parameters"] = {name: agent(name, "parameters") for name in MEMORIES}
    if scaling and not quick:
        for axis, sizes in SCALING.items():
            for size in sizes:
                groups[f"{axis} {size}"] = {name: agent(name, **{axis: size}) for name in ("paper", "s5", "gru")}
    for group, contenders in groups.items():
        for row in measure(group, contenders, repetitions):
            print(json.dumps(row), flush=True)
    print(json.dumps({"group": "ceilings", **ceilings()}), flush=True)


def table(rows: list[dict], ceiling: dict[str, float]) -> str:
    """One line for each row; ratios are to the paper's network of the same group."""
    titles = "memory, width, envs x steps, parameters, env steps/s, paper's = 1, rollout, gradients, matmul ceiling, bandwidth"
    lines = ["| " + titles.replace(", ", " | ") + " |"]
    lines.append("|---" * 10 + "|")
    papers = {row["group"]: row["steps_per_s"] for row in rows if row["memory"] == "paper"}
    for row in rows:
        ratio = f"{row['steps_per_s'] / papers[row['group']]:.2f}x" if row["group"] in papers else ""
        cells = [
            row["memory"], row["features"], f"{row['num_envs']} x {row['num_steps']}", f"{row['parameters']:,}",
            f"{row['steps_per_s']:,.0f}", ratio, f"{row['rollout_share']:.0%}", f"{row['gradient_share']:.0%}",
            f"{row['gflops'] / ceiling['gflops']:.0%}", f"{row['gradient_gb_per_s'] / ceiling['gb_per_s']:.0%}",
        ]  # fmt: skip
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three memories at the base size; writes nothing")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        pin(options.worker)
        worker(options.quick, options.repetitions, scaling=options.worker == 1)
        return
    rows, limits = [], {}
    for cores in (1, 2):
        print(f"{cores} core(s):", file=sys.stderr)
        arguments = ["--repetitions", str(options.repetitions)] + ["--quick"] * options.quick
        found = on_cores(__file__, cores, *arguments)
        best = [row for row in found if row["group"] == "ceilings"]
        limits[cores] = {name: max(row[name] for row in best) for name in ("gflops", "gb_per_s")}
        measured = [row for row in found if row["group"] != "ceilings"]
        rows += [{"cores": cores} | row for row in measured]
        print(
            f"\n{cores} core(s); ceilings {limits[cores]['gflops']:.0f} GFLOP/s, {limits[cores]['gb_per_s']:.1f} GB/s\n"
        )
        print(table(measured, limits[cores]), flush=True)
    if not options.quick:
        what = (
            "Repeat Previous Easy, PPO with 4 epochs and 4 minibatches; rollout_share and gradient_share are of the update's "
            "time; gflops are useful matrix products of the update; gradient_gb_per_s is what one minibatch's gradient reads and "
            "writes by XLA's count (caches ignored, loops counted once)"
        )
        rounded = [{k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in row.items()} for row in rows]
        text = ",\n  ".join(json.dumps(row) for row in rounded)
        head = (
            f'{{"machine": {json.dumps(machine())},\n "what": {json.dumps(what)},\n "ceilings": {json.dumps(limits)},\n'
        )
        RESULT.write_text(f'{head} "rows": [\n  {text}\n ]}}\n')


if __name__ == "__main__":
    main()
