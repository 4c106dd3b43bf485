"""What a gradient step of AMAGO costs against the length of its context: the trunk alone, and all of it.

    python benchmarks/amago.py           # about 5 minutes; prints the table, writes book/results/amago-cost.json
    python benchmarks/amago.py --quick   # one length; writes nothing

Trunks are 64 wide and two layers deep and read 24 lives; attention's window is the context, its blocks are AMAGO's. "trunk" is
one gradient of the mean square of the outputs, "step" all of a gradient step of AMAGO: drawing lives, relabelling,
trunk, heads for seven discounts and four critics, Adam, targets. Medians of interleaved repetitions on one core, compile time
not counted, in microseconds a token.
"""

import argparse
import json
import pathlib
import sys
from typing import Any

from measure import interleaved, machine, on_cores, pin

RESULT = pathlib.Path(__file__).parents[1] / "book/results/amago-cost.json"
CONTEXTS = (60, 180, 400, 1000)
MEMORIES = ("s5", "gru", "attention", "none")
WIDTH, BATCH = 64, 24


def options_of(name: str, context: int) -> tuple:
    """Two layers of each."""
    own: dict[str, tuple] = {
        "s5": (("state_size", WIDTH), ("activation", "half_glu1")),
        "attention": (("window", context), ("normformer", True), ("sigma_reparam", True)),
    }
    return (("layers", 2), *own.get(name, ()))


def trunk(name: str, context: int) -> tuple[Any, tuple]:
    """The gradient of one loss over parameters and inputs, and its arguments."""
    import jax
    import jax.numpy as jnp

    from s5lib.memory import make_memory

    memory = make_memory(name, WIDTH, **dict(options_of(name, context)))
    x = jax.random.normal(jax.random.key(0), (context, BATCH, WIDTH))
    carry, resets = memory.initial_carry(BATCH), jnp.zeros((context, BATCH), bool).at[0].set(True)
    params = jax.jit(memory.init)(jax.random.key(1), carry, x, resets)

    def loss(params: Any, x: Any) -> Any:
        return jnp.mean(memory.apply(params, carry, x, resets)[1] ** 2)

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1))), (params, x)


def gradient_step(name: str, context: int) -> tuple[Any, tuple]:
    """``Agent.learn`` on a ring of lives as long as the context, in a maze of 11 x 11, and its arguments."""
    import jax
    import jax.numpy as jnp

    from s5lib import amago

    agent = amago.make(
        amago.AmagoConfig(
            env="MazeRunnerEasy", env_options=(("episode_length", context),), memory=name, features=WIDTH,
            memory_options=options_of(name, context), num_envs=BATCH, batch_size=BATCH, capacity=4 * BATCH,
        )
    )  # fmt: skip
    state = jax.jit(agent.init)(jax.random.key(0))
    rows = state.replay.rows
    full = rows.replace(length=jnp.full_like(rows.length, context), achieved_any=jnp.ones_like(rows.achieved_any))
    ring = state.replay.replace(rows=full, stored=jnp.int32(4 * BATCH))
    return jax.jit(agent.learn), (state.params, state.target, state.opt_state, ring, jax.random.key(1), state.hypers)


def measure(context: int, repetitions: int) -> list[dict]:
    """One row for each memory at one context."""
    programs: dict[Any, tuple] = {}
    for name in MEMORIES:
        programs[name, "trunk"] = trunk(name, context)
        programs[name, "step"] = gradient_step(name, context)
    compiled = {key: (program.lower(*given).compile(), given) for key, (program, given) in programs.items()}
    found = interleaved(compiled, repetitions)
    unit = 1e6 / (context * BATCH)
    return [
        {
            "memory": name,
            "context": context,
            **{f"{what}_us": round(unit * found[name, what], 3) for what in ("trunk", "step")},
        }
        for name in MEMORIES
    ]


def table(rows: list[dict], unit: str) -> str:
    """Contexts down, memories across."""
    lines = ["| context | " + " | ".join(MEMORIES) + " |", "|---" * (1 + len(MEMORIES)) + "|"]
    for context in sorted({row["context"] for row in rows}):
        cells = [f"{row[unit]:.4g}" for row in rows if row["context"] == context]
        lines.append(f"| {context} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="What a gradient step of AMAGO costs.")
    parser.add_argument("--quick", action="store_true", help="one context, few repetitions, nothing written")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        pin(given.worker)
        for context in CONTEXTS[:1] if given.quick else CONTEXTS:
            for row in measure(context, 3 if given.quick else 9):
                print(json.dumps(row), flush=True)
        return
    rows = on_cores(__file__, 1, *(["--quick"] if given.quick else []))
    for unit, what in (("trunk_us", "trunk alone"), ("step_us", "whole gradient step")):
        print(f"\n{what}, microseconds a token\n{table(rows, unit)}")
    if not given.quick:
        RESULT.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
