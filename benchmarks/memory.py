"""What a memory costs against the length of its sequences: training time, memory, and time of an acting step.

    python benchmarks/memory.py           # about 5 minutes; prints the table, writes book/results/memory-cost.json
    python benchmarks/memory.py --quick   # two lengths; writes nothing

Every memory is 128 wide and two layers deep and reads 8 sequences; attention's window is the length. Training is one gradient
of the mean square of the outputs, over all parameters and inputs. Acting is a step inside a rollout, for 8 games at once, the
matrices prepared. Medians of interleaved repetitions on one core, compile time not counted. ``gru-flax`` is the GRU of
published code: flax's GRUCell under ``lax.scan``. A second table compares S5's variants with both at three widths.
"""

import argparse
import functools
import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any

from measure import interleaved, machine, on_cores, pin

RESULT = pathlib.Path(__file__).parents[1] / "book/results/memory-cost.json"
LENGTHS = (16, 32, 64, 128, 256, 512, 1024, 2048)
MEMORIES = ("s5", "gru", "lstm", "attention", "none", "gru-flax")
VARIANTS = ("s5", "s5 half_glu1", "s5 half state", "s5 half_glu1, half state", "s5 gelu", "gru", "gru-flax")
WIDTHS = (64, 128, 256)
WIDTH, LAYERS, BATCH = 128, 2, 8
ACTING_STEPS = 64


def make(name: str, length: int, width: int = WIDTH) -> Any:
    """The memory of that name; "s5" with as many real state variables as features, as the experiments have it."""
    from s5lib.memory import make_memory

    options: dict[str, Any] = {"layers": LAYERS}
    if name.startswith("s5"):
        options |= {"state_size": width // 2 if "half state" in name else width, "norm": "none"}
        options |= {"activation": "half_glu1" if "half_glu1" in name else "gelu" if "gelu" in name else "full_glu"}
    if name == "attention":
        options |= {"window": length}
    return FlaxGRU(width, LAYERS) if name == "gru-flax" else make_memory(name.split()[0], width, **options)


class FlaxGRU:
    """flax's GRUCell over time, its carry replaced where an episode opens, as PureJaxRL writes it; signature as our memories'."""

    def __init__(self, features: int, layers: int):
        import flax.linen as nn

        self.cells = [nn.GRUCell(features) for _ in range(layers)]
        self.features = features

    def initial_carry(self, batch: int) -> tuple:
        import jax.numpy as jnp

        return (jnp.zeros((batch, self.features)),) * len(self.cells)

    def init(self, key: Any, carry: tuple, x: Any, resets: Any) -> list:
        return [cell.init(key, h, x[0]) for cell, h in zip(self.cells, carry, strict=True)]

    def apply(self, params: Any, *arguments: Any, method: str = "read") -> Any:
        return None if method == "prepare" else self.read(params, *arguments)

    def read(self, params: list, carry: tuple, x: Any, resets: Any, prepared: None = None) -> tuple:
        import jax
        import jax.numpy as jnp

        ends = []
        for cell, weights, start in zip(self.cells, params, carry, strict=True):

            def step(h: Any, now: tuple, cell: Any = cell, weights: Any = weights) -> tuple:
                x, reset = now
                return cell.apply(weights, jnp.where(reset[:, None], 0, h), x)

            end, x = jax.lax.scan(step, start, (x, resets))
            ends.append(end)
        return tuple(ends), x


@functools.cache
def parameters(name: str, width: int = WIDTH) -> Any:
    """Started at a window of 16: no memory's parameters depend on the length."""
    import jax
    import jax.numpy as jnp

    memory = make(name, 16, width)
    x, resets = jnp.zeros((1, 1, width)), jnp.zeros((1, 1), bool)
    return jax.jit(memory.init)(jax.random.key(2), memory.initial_carry(1), x, resets)


def training(memory: Any, params: Any, T: int, B: int) -> tuple[Callable, tuple]:
    """The gradient of one loss over parameters and inputs, and its arguments."""
    import jax
    import jax.numpy as jnp

    carry = memory.initial_carry(B)
    x = jax.random.normal(jax.random.key(0), (T, B, memory.features))
    resets = jax.random.bernoulli(jax.random.key(1), 0.01, (T, B))

    def loss(params: Any, x: Any, carry: Any, resets: Any) -> Any:
        return jnp.mean(memory.apply(params, carry, x, resets)[1] ** 2)

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1))), (params, x, carry, resets)


def acting(memory: Any, params: Any, B: int, steps: int = ACTING_STEPS) -> tuple[Callable, tuple]:
    """``steps`` steps, each reading what the last one gave, and their arguments; all of a window is filled."""
    import jax
    import jax.numpy as jnp

    x, resets = jax.random.normal(jax.random.key(0), (1, B, memory.features)), jnp.zeros((1, B), bool)
    carry = jax.tree.map(jnp.ones_like, memory.initial_carry(B))

    def run(params: Any, carry: Any, x: Any, resets: Any) -> Any:
        prepared = memory.apply(params, method="prepare")

        def step(now: tuple, _: None) -> tuple:
            carry, y = memory.apply(params, now[0], now[1], resets, prepared)
            return (carry, 0.5 * y), None

        return jax.lax.scan(step, (carry, x), None, length=steps)[0][1]

    return jax.jit(run), (params, carry, x, resets)


def measure(length: int, repetitions: int) -> list[dict]:
    """One row for each memory at one length."""
    import jax

    programs: dict[Any, tuple[Callable, tuple]] = {}
    rows = []
    for name in MEMORIES:
        memory = make(name, length)
        for what, (program, arguments) in (
            ("train", training(memory, parameters(name), length, BATCH)),
            ("act", acting(memory, parameters(name), BATCH)),
        ):
            programs[name, what] = program.lower(*arguments).compile(), arguments
        temp = programs[name, "train"][0].memory_analysis().temp_size_in_bytes  # type: ignore[attr-defined]
        carried = sum(leaf.nbytes for leaf in jax.tree.leaves(memory.initial_carry(1)))
        rows.append({"memory": name, "length": length, "temp_mib": temp / 2**20, "carry_kib": carried / 2**10})
    found = interleaved(programs, repetitions)
    for row in rows:
        row["train_us_per_step"] = 1e6 * found[row["memory"], "train"] / (length * BATCH)
        row["act_us"] = 1e6 * found[row["memory"], "act"] / ACTING_STEPS
    return [
        {key: value if isinstance(value, str | int) else round(value, 3) for key, value in row.items()} for row in rows
    ]


def compare(width: int, repetitions: int) -> list[dict]:
    """S5's variants and two GRUs at one width: training at 512 steps for 8 and 16 sequences, acting for 1, 8 and 64 games."""
    programs: dict[Any, tuple[Callable, tuple]] = {}
    for name in VARIANTS:
        memory, params = make(name, 16, width), parameters(name, width)
        for B in (8, 16):
            programs[name, f"train {B}"] = training(memory, params, 512, B)
        for B in (1, 8, 64):
            programs[name, f"act {B}"] = acting(memory, params, B)
    programs = {key: (program.lower(*given).compile(), given) for key, (program, given) in programs.items()}  # type: ignore[attr-defined]
    found = interleaved(programs, repetitions)
    rows = []
    for name in VARIANTS:
        train = {f"train_us_per_step_{B}": 1e6 * found[name, f"train {B}"] / (512 * B) for B in (8, 16)}
        act = {f"act_us_{B}": 1e6 * found[name, f"act {B}"] / ACTING_STEPS for B in (1, 8, 64)}
        rows.append({"variant": name, "width": width} | {k: round(v, 3) for k, v in (train | act).items()})
    return rows


def ratios(rows: list[dict]) -> str:
    """How many times as fast as our GRU of the same width each variant is."""
    columns = {
        "train_us_per_step_8": "train, 8 sequences", "train_us_per_step_16": "train, 16", "act_us_1": "act, 1 game",
        "act_us_8": "act, 8", "act_us_64": "act, 64",
    }  # fmt: skip
    lines = ["| width | memory | " + " | ".join(columns.values()) + " |", "|---" * (2 + len(columns)) + "|"]
    for row in rows:
        gru = next(other for other in rows if other["variant"] == "gru" and other["width"] == row["width"])
        cells = [f"{row[key]:.3g} us, {gru[key] / row[key]:.2f}x" for key in columns]
        lines.append(f"| {row['width']} | {row['variant']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def table(rows: list[dict], unit: str) -> str:
    """Lengths down, memories across."""
    lines = ["| length | " + " | ".join(MEMORIES) + " |", "|---" * (1 + len(MEMORIES)) + "|"]
    for length in sorted({row["length"] for row in rows}):
        cells = [
            f"{row[unit]:.4g}" for name in MEMORIES for row in rows if (row["memory"], row["length"]) == (name, length)
        ]
        lines.append(f"| {length} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="lengths 64 and 512 only; writes nothing")
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        pin(options.worker)
        for length in (64, 512) if options.quick else LENGTHS:
            for row in measure(length, options.repetitions):
                print(json.dumps(row), flush=True)
            print(f"  length {length} done", file=sys.stderr, flush=True)
        for width in () if options.quick else WIDTHS:
            for row in compare(width, options.repetitions):
                print(json.dumps(row), flush=True)
            print(f"  width {width} done", file=sys.stderr, flush=True)
        return
    arguments = ["--repetitions", str(options.repetitions)] + ["--quick"] * options.quick
    found = on_cores(__file__, 1, *arguments)
    rows, variants = ([row for row in found if key in row] for key in ("memory", "variant"))
    titles = {
        "train_us_per_step": "Training, us for each time step and sequence (forward and backward)",
        "temp_mib": "Training, MiB of temporary memory",
        "act_us": f"Acting, us for a step of {BATCH} games",
        "carry_kib": "Carried between steps, KiB a game",
    }
    for unit, title in titles.items():
        print(f"\n{title}; {WIDTH} wide, {LAYERS} layers, batch {BATCH}, one core:\n\n{table(rows, unit)}")
    if not options.quick:
        print(f"\nS5's variants and the GRUs, two layers, one core; ratios to our GRU:\n\n{ratios(variants)}")
        what = (
            f"{LAYERS} layers, {WIDTH} wide, {BATCH} sequences; attention's window is the length; one core; medians of "
            f"{options.repetitions} interleaved repetitions. train_us_per_step: forward and backward, for each time step and "
            f"sequence; temp_mib: temporary memory of that gradient; act_us: one acting step of {BATCH} games; carry_kib: state "
            "of one game; gru-flax: flax's GRUCell under lax.scan. variants: 512 time steps for 8 and 16 sequences, acting "
            "for 1, 8 and 64 games; half state: half as many real state variables as features, not as many"
        )
        text, more = (",\n  ".join(json.dumps(row) for row in table) for table in (rows, variants))
        head = f'{{"machine": {json.dumps(machine())},\n "what": {json.dumps(what)},\n "rows": [\n  {text}\n ],\n '
        RESULT.write_text(f'{head}"variants": [\n  {more}\n ]}}\n')


if __name__ == "__main__":
    main()
