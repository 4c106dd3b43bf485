"""What the benchmarks share: interleaved timing, a process pinned to one core or two, the machine's ceilings."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

__all__ = ["ceilings", "interleaved", "machine", "on_cores", "pin"]


def pin(cores: int) -> None:
    """Keep this process on its first ``cores`` cores; to be called before JAX starts its threads."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def on_cores(script: str, cores: int, *arguments: str) -> list[dict]:
    """Run ``script --worker cores`` in a process of its own; return the JSON objects that it prints, one a line.

    Without the compilation cache, because a program that comes from it does not know how much memory it takes; with large
    pages for what glibc allocates, as the Makefile sets it: XLA allocates its temporary memory anew for every call, and
    touching that in pages of 4 KiB can take longer than computing on it. Elsewhere than on Linux that setting is ignored.
    """
    command = [sys.executable, script, "--worker", str(cores), *arguments]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_COMPILATION_CACHE": "false"}
    environment = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"} | environment
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env=environment)
    return [json.loads(line) for line in done.stdout.splitlines()]


def interleaved(
    programs: dict[Any, tuple[Callable, tuple]], repetitions: int, seconds: float = 60.0
) -> dict[Any, float]:
    """Median seconds of each program on its arguments: all of them in turn, again and again, after two calls to warm up.

    A round calls a short program until 20 ms have passed.

    Args:
        programs: by any key, a function and its arguments; the function is compiled already.
        repetitions: rounds; two at least.
        seconds: after this long no further round begins.
    """
    import jax

    def once(key: Any, calls: int) -> float:
        program, arguments = programs[key]
        start = time.perf_counter()
        for _ in range(calls):
            jax.block_until_ready(program(*arguments))
        return (time.perf_counter() - start) / calls

    calls = {key: min(100, 1 + int(0.02 / min(once(key, 1), once(key, 1)))) for key in programs}
    times: dict[Any, list[float]] = {key: [] for key in programs}
    began = time.perf_counter()
    for repetition in range(repetitions):
        for key in programs:
            times[key].append(once(key, calls[key]))
        if repetition and time.perf_counter() - began > seconds:
            break
    return {key: statistics.median(values) for key, values in times.items()}


def ceilings() -> dict[str, float]:
    """What this process can reach: GFLOP/s of the best square float32 matrix product, GB/s of a large sum of two arrays."""
    import jax
    import jax.numpy as jnp

    programs: dict[Any, tuple[Callable, tuple]] = {}
    for size in (512, 1024, 2048):
        square = jnp.ones((size, size))
        programs[size] = jax.jit(jnp.matmul).lower(square, square).compile(), (square, square)
    vector = jnp.ones(32 * 2**20)
    programs["sum"] = jax.jit(jnp.add).lower(vector, vector).compile(), (vector, vector)
    found = interleaved(programs, 7)
    return {
        "gflops": max(2e-9 * size**3 / found[size] for size in (512, 1024, 2048)),
        "gb_per_s": 3e-9 * vector.nbytes / found["sum"],
    }


def machine() -> str:
    """Processor and versions, in one line."""
    import jax

    from s5lib.records import provenance

    return f"{provenance()['processor']}, jax {jax.__version__}, CPU, float32"
