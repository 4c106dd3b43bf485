"""Steps per second of every task, ours and the original package's, in one run.

    python benchmarks/envs.py                     # every task, about 20 minutes; writes book/results/envs-speed.json
    python benchmarks/envs.py RepeatPreviousHard  # these tasks only; prints, writes nothing

Ours: 1, 64 and 1024 environments stepped by ``vectorize`` inside one jitted ``lax.scan``, automatic resets included. The
original: its single process, one environment, resets included. Both take the same uniformly random actions, drawn
beforehand. Medians of interleaved repetitions; compile time is not counted. ``one core`` pins both sides to the same core.
"""

import argparse
import itertools
import json
import pathlib
import statistics
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
from measure import on_cores, pin

RESULT = pathlib.Path(__file__).parents[1] / "book/results/envs-speed.json"
SIZES = (1, 64, 1024)
SECONDS = 0.15  # of one timed repetition, about


def original(name: str, seed: int = 0) -> Callable[[], int]:
    """A function that plays the original package's task for ``SECONDS`` and returns how many steps that were."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "MemoryChain":
            from bsuite.environments.memory_chain import MemoryChain

            env = MemoryChain(memory_length=10, seed=seed)
            begin, advance = env.reset, lambda action: env.step(action).last()
            actions = [int(action) for action in np.random.default_rng(seed).integers(2, size=4096)]
        else:
            import popgym.envs

            env = getattr(popgym.envs, name)()
            env.reset(seed=seed)
            env.action_space.seed(seed)
            begin = env.reset
            actions = [env.action_space.sample() for _ in range(4096)]

            def advance(action: object) -> bool:
                _, _, terminated, truncated, _ = env.step(action)
                return terminated or truncated

    def run() -> int:
        begin()
        stop, steps = time.perf_counter() + SECONDS, 0
        for steps, action in enumerate(itertools.cycle(actions), start=1):
            if advance(action):
                begin()
            if steps % 64 == 0 and time.perf_counter() > stop:
                break
        return steps

    return run


def ours(name: str, size: int) -> Callable[[], int]:
    """The same of ``size`` of our environments; compiled, and warm."""
    import jax

    from s5lib.envs import make, vectorize

    env = make(name)
    envs, space = vectorize(env, size), env.action_space(env.default_params)
    steps = {1: 2048, 64: 512, 1024: 128}[size]
    keys = jax.random.split(jax.random.key(0), (steps, size))
    actions = jax.jit(jax.vmap(jax.vmap(space.sample)))(keys)

    @jax.jit
    def advance(state: object, key: jax.Array) -> tuple:
        def step(carry: tuple, action: jax.Array) -> tuple:
            state, key = carry
            key, key_step = jax.random.split(key)
            obs, state, reward, terminated, truncated, _ = envs.step(key_step, state, action)
            return (state, key), (obs.sum(), reward.sum(), (terminated | truncated).sum())

        return jax.lax.scan(step, (state, key), actions)

    carry = jax.jit(envs.reset)(jax.random.key(1))[1], jax.random.key(2)
    carry, _ = jax.block_until_ready(advance(*carry))

    def run() -> int:
        nonlocal carry
        stop, done = time.perf_counter() + SECONDS, 0
        while done == 0 or time.perf_counter() < stop:
            carry, _ = jax.block_until_ready(advance(*carry))
            done += steps * size
        return done

    return run


def rates(contenders: dict[str, Callable[[], int]], repetitions: int) -> dict[str, float]:
    """Median steps per second of each, interleaved."""
    found: dict[str, list[float]] = {who: [] for who in contenders}
    for _ in range(repetitions):
        for who, run in contenders.items():
            start = time.perf_counter()
            found[who].append(run() / (time.perf_counter() - start))
    return {who: statistics.median(values) for who, values in found.items()}


def measure(name: str, sizes: tuple[int, ...], repetitions: int) -> dict[str, float]:
    return rates({"original": original(name)} | {f"ours_{size}": ours(name, size) for size in sizes}, repetitions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="tasks; default: all")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        pin(options.worker)
        sizes = SIZES if options.worker > 1 else SIZES[-1:]
        for name in options.names:
            row = measure(name, sizes, options.repetitions)
            ratio = row["ours_1024"] / row["original"]
            print(f"{options.worker} core(s), {name}: {ratio:.0f}x", file=sys.stderr, flush=True)
            print(json.dumps({"name": name} | row))
        return

    from s5lib.envs import env_names
    from s5lib.records import provenance

    names = options.names or env_names()
    repetitions = str(options.repetitions)
    found = {
        cores: {row["name"]: row for row in on_cores(__file__, cores, *names, "--repetitions", repetitions)}
        for cores in (2, 1)
    }
    rows = []
    for name in names:
        row, alone = found[2][name], found[1][name]
        row = {key: value if key == "name" else round(value) for key, value in row.items()}
        row["ratio"] = round(row["ours_1024"] / row["original"], 1)
        row["ratio_one_core"] = round(alone["ours_1024"] / alone["original"], 1)
        rows.append(row)
        print(" | ".join(f"{value:,}" if isinstance(value, int) else str(value) for value in row.values()))
    print(f"median ratio {statistics.median(row['ratio'] for row in rows)}")
    if not options.names:
        RESULT.write_text(json.dumps({"hardware": provenance(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
