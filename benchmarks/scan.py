"""How fast is linear_scan? Against the paper's operator, in one run, interleaved, on one core and on two.

    python benchmarks/scan.py            # prints the tables, a few minutes; also writes them to benchmarks/scan.md
    python benchmarks/scan.py --quick    # one length only

Forward and backward means the values and the gradients of decay, inputs and initial for a given cotangent. Times are medians
over interleaved repetitions with compile time apart; ratios hold better than times.
"""

import argparse
import json
import pathlib
import statistics
import sys
import time

from measure import on_cores, pin

TRIED = """
### Where the time goes, and what else was tried

One core of an AMD EPYC, jax 0.7.2, (1024, 16, 128), complex64, with resets, processor milliseconds, the least of 15 in turn.
Forward and backward must read or write an array of 16.8 MB five times: 3.9 ms at the pace of a sum of two. The loops take
11.2 ms, the forward one 3.8, the backward one 6.4; arrays that the system has to hand out anew for the results cost up to
8 ms more.

| backward loop | ms |
|---|---|
| as it is: states by index, the sum for decay in the carry | 6.4 |
| index left to be clamped by the slice | 6.8 |
| states scanned, the sum one step late | 7.3 |
| the same, summed over the batch at each step | 7.6 |
| the gradient of inputs alone, then one reduction over shifted states | 8.0 |
| real and imaginary parts apart inside a step | 8.4 |
| two steps, four steps at once | 9.6, 12.3 |
| the sum for decay over the batch at each step, states by index | 11.5 |
| the first step apart, so that no index is clipped | 21.8 |
| arrays of real and of imaginary parts | 31.1 |
| the gradient of inputs alone, then an einsum | 53.8 |
| the inputs' gradient written over the cotangent | 2200 |

Forward states written over the inputs save a copy, 2 of 19.1 ms with what the system takes. The same form backwards is the last
row, where XLA copies the whole array at every step: a gain that hangs on this choice of the compiler's is not taken.
"""
HERE = pathlib.Path(__file__).parent
B, P = 16, 128
LENGTHS = (128, 512, 1024, 2048, 4096, 8192)
METHODS = ("sequential", "associative", "chunked", "auto")
COLUMNS = ("autodiff", *METHODS)


def measure(lengths: list[int], repetitions: int) -> dict:
    """Time every method and the paper's operator on this process's cores; return rows of the tables."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from paper import paper_scan

    from s5lib import linear_scan

    def autodiff(decay, inputs, initial, resets):
        """The sequential loop without a gradient of its own: what JAX derives by itself."""

        def step(state, now):
            input_t, reset_t = now
            state = decay * jnp.where(reset_t[:, None], 0, state) + input_t
            return state, state

        return jax.lax.scan(step, initial, (inputs, resets))[1]

    contenders = {"paper": paper_scan, "autodiff": autodiff}
    for method in METHODS:
        contenders[method] = lambda d, u, x, r, method=method: linear_scan(d, u, x, r, method=method)
    rows = []
    for T in lengths:
        rng = np.random.default_rng(0)
        random = lambda *shape: jnp.asarray((rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64))  # noqa: B023, E731
        decay = jnp.asarray(np.exp((-0.5 + 1j * np.arange(P)) * 0.01).astype(np.complex64))
        arguments = decay, random(T, B, P), random(B, P), jnp.asarray(rng.random((T, B)) < 0.01)
        cotangent = random(T, B, P)
        row = {"T": T}
        compiled = {}
        for name, scan in contenders.items():

            def forward_backward(d, u, x, r, g, scan=scan):
                states, vjp = jax.vjp(lambda d, u, x: scan(d, u, x, r), d, u, x)
                return states, vjp(g)

            lowered = {"forward": jax.jit(scan).lower(*arguments)}
            lowered["both"] = jax.jit(forward_backward).lower(*arguments, cotangent)
            for what, program in lowered.items():
                start = time.perf_counter()
                compiled[name, what] = program.compile()
                row[f"{name} {what} compile s"] = time.perf_counter() - start
            row[f"{name} MiB"] = compiled[name, "both"].memory_analysis().temp_size_in_bytes / 2**20
        inputs = {"forward": arguments, "both": (*arguments, cotangent)}
        agree(compiled, inputs["both"])
        row |= {f"{name} {what} ms": t for (name, what), t in interleaved(compiled, inputs, repetitions).items()}
        rows.append(row)
        print(f"  T = {T} done", file=sys.stderr, flush=True)
    return {"rows": rows, "network": measure_network(repetitions), "jax": jax.__version__}


def agree(compiled: dict, arguments: tuple) -> None:
    """Nobody wins by being wrong: every contender must give the paper's values and gradients."""
    import jax
    import numpy as np

    expected = jax.tree.leaves(compiled["paper", "both"](*arguments))
    for (name, what), program in compiled.items():
        if what == "both":
            for a, b in zip(jax.tree.leaves(program(*arguments)), expected, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 * float(abs(b).max()), err_msg=name)


def interleaved(compiled: dict, inputs: dict, repetitions: int) -> dict:
    import jax

    times = {key: [] for key in compiled}
    for _ in range(repetitions):
        for key, program in compiled.items():
            start = time.perf_counter()
            jax.block_until_ready(program(*inputs[key[-1]]))
            times[key].append(1e3 * (time.perf_counter() - start))
    return {key: statistics.median(values) for key, values in times.items()}


def measure_network(repetitions: int, T: int = 1024, layers: int = 2, features: int = 64) -> dict:
    """A training step (loss and gradient) of the same two-layer network, ours and the paper's way: compile and run time."""
    import jax
    import jax.numpy as jnp
    from paper import paper_stack

    from s5lib import S5Stack

    ours = S5Stack(features, 2 * P, layers, norm="none")
    carry, x = ours.initial_carry(B), jax.random.normal(jax.random.key(0), (T, B, features))
    resets = jax.random.bernoulli(jax.random.key(1), 0.01, (T, B))
    params = ours.init(jax.random.key(2), carry, x, resets)
    result, compiled = {"T": T, "layers": layers, "features": features}, {}
    for name, apply in (("paper", paper_stack), ("ours", ours.apply)):
        step = jax.jit(jax.value_and_grad(lambda p, x, apply=apply: jnp.mean(apply(p, carry, x, resets)[1] ** 2)))
        start = time.perf_counter()
        lowered = step.lower(params, x)
        compiled[name, "step"] = lowered.compile()
        result[f"{name} compile s"] = time.perf_counter() - start
    times = interleaved(compiled, {"step": (params, x)}, repetitions)
    return result | {f"{name} ms": times[name, "step"] for name in ("paper", "ours")}


def table(result: dict, cores: int) -> str:
    lines = [f"### {cores} core{'s' if cores > 1 else ''}, (T, B, P) = (T, {B}, {P}), complex64, with resets", ""]
    lines.append(
        "| T | paper fwd / fwd+bwd ms | "
        + " | ".join(f"{m} fwd / fwd+bwd" for m in COLUMNS)
        + " | temp MiB, paper -> auto |"
    )
    lines.append("|---" * (3 + len(COLUMNS)) + "|")
    for row in result["rows"]:
        ratios = [
            f"{row['paper forward ms'] / row[f'{m} forward ms']:.1f}x / {row['paper both ms'] / row[f'{m} both ms']:.1f}x"
            for m in COLUMNS
        ]
        paper = f"{row['paper forward ms']:.1f} / {row['paper both ms']:.1f}"
        lines.append(
            f"| {row['T']} | {paper} | " + " | ".join(ratios) + f" | {row['paper MiB']:.0f} -> {row['auto MiB']:.0f} |"
        )
    lines += ["", "Compile seconds of forward and backward:", "", "| T | paper | " + " | ".join(COLUMNS) + " |"]
    lines.append("|---" * (2 + len(COLUMNS)) + "|")
    for row in result["rows"]:
        seconds = [f"{row[f'{name} both compile s']:.2f}" for name in ("paper", *COLUMNS)]
        lines.append(f"| {row['T']} | " + " | ".join(seconds) + " |")
    net = result["network"]
    lines += [
        "",
        f"Training step of {net['layers']} layers, {net['features']} wide, T = {net['T']}: paper {net['paper ms']:.0f} ms, "
        f"ours {net['ours ms']:.0f} ms ({net['paper ms'] / net['ours ms']:.1f}x); compiles in {net['paper compile s']:.1f} s and "
        f"{net['ours compile s']:.1f} s (a share of {net['ours compile s'] / net['paper compile s']:.2f}).",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="T = 1024 only")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    lengths = [1024] if options.quick else list(LENGTHS)
    if options.worker:
        pin(options.worker)
        print(json.dumps(measure(lengths, options.repetitions)))
        return
    from s5lib.records import provenance

    page = [
        f"# The scan, measured\n\nWritten by `make bench` on {time.strftime('%Y-%m-%d')}: {provenance()['processor']}.\n"
    ]
    for cores in (1, 2):
        print(f"{cores} core(s):", file=sys.stderr)
        (result,) = on_cores(__file__, cores, "--repetitions", str(options.repetitions), *["--quick"] * options.quick)
        page.append(table(result, cores))
    legend = (
        "ratios are the paper's time over ours. \"autodiff\" is the sequential loop under JAX's own gradient; "
        '"auto", what linear_scan does by default, is "sequential" on a CPU: there the two differ by noise.'
    )
    page.append(TRIED)
    page.insert(1, f"jax {result['jax']}; {legend}\n")
    print("\n".join(page))
    if not options.quick:
        (HERE / "scan.md").write_text("\n".join(page))


if __name__ == "__main__":
    main()
