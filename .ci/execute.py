"""Execute the chapters, each once for what it depends on, and append to each a stamp that says how it was made.

    python .ci/execute.py [--budget smoke] [--jobs 2] [--force] [01-hippo ...]

The executed copies go to _build/executed/<budget>/. A chapter runs again only when its code, the budget, JAX's or Python's
version, a stored result that it reads or a module of s5lib that it reaches has changed; changed text alone is taken over without
running anything.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import platform
import re
import sys
import time
from importlib.metadata import version

import nbformat
from chapters import ROOT, notebooks
from kernel import kernel_of
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from reach import code_hash, reached_modules

TIMEOUT = 3600
PROBE = """
import json as _json, platform as _platform, resource as _resource, sys as _sys, flax as _flax, jax as _jax, s5lib as _s5lib
_peak = _resource.getrusage(_resource.RUSAGE_SELF).ru_maxrss / (2**20 if _sys.platform == "darwin" else 2**10)
print(_json.dumps({"python": _platform.python_version(), "jax": _jax.__version__, "flax": _flax.__version__,
    "s5lib": _s5lib.__version__, "device": _jax.devices()[0].device_kind, "budget": _s5lib.budget(), "peak_mb": round(_peak),
    "read": _s5lib.records.files_read(),
    **{_name: _s5lib.records.provenance()[_name] for _name in ("processor", "cores")}}))
"""
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def cache_key(notebook, budget: str) -> str:
    """Hash all that a chapter's outputs depend on, but for the stored results that it reads: a run tells which those are."""
    sources = [cell.source for cell in code_cells(notebook)]
    digest = hashlib.sha256(json.dumps([sources, budget, version("jax"), platform.python_version()]).encode())
    for module in sorted(reached_modules("\n".join(sources))):
        digest.update(code_hash(module).encode())
    return digest.hexdigest()


def results_hash(names: list[str]) -> str:
    """Hash the stored results of these names; of one with a star, which files there are."""
    digest, folder = hashlib.sha256(), ROOT / "book/results"
    for name in names:
        found = sorted(folder.glob(name))
        digest.update(json.dumps([name, [path.name for path in found]]).encode())
        if "*" not in name:
            digest.update(b"".join(path.read_bytes() for path in found))
    return digest.hexdigest()


def tidy(cell) -> None:
    """Keep what a reader of a page can use: a progress bar's last state, and no widget that would need a kernel."""
    kept = []
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            lines = [line.rstrip("\r").split("\r")[-1] for line in ANSI.sub("", output.text).split("\n")]
            output.text = "\n".join(lines)
        data = output.get("data", {})
        for widget in [mime for mime in data if mime.startswith("application/vnd.jupyter.widget")]:
            del data[widget]
        if output.output_type == "stream" and not output.text.strip():
            continue
        kept.append(output)
    if "outputs" in cell:
        cell.outputs = kept


def stamp(facts: dict, seconds: float) -> str:
    """The last lines of a chapter's page: what ran it, on what, how long."""
    minutes = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
    return (
        f"---\n\n*Executed on {time.strftime('%Y-%m-%d')} with the budget `{facts['budget']}` in {minutes}, "
        f"peak memory {facts['peak_mb']} MB. Python {facts['python']}, JAX {facts['jax']}, Flax {facts['flax']}, "
        f"s5lib {facts['s5lib']}; {facts['device']}: {facts['processor']}.*"
    )


class Chapter(NotebookClient):
    """A notebook that says how far it is, in this interpreter whatever kernels the machine has."""

    def __init__(self, path: pathlib.Path, notebook):
        self.chapter, self.total, self.begun = path.stem, len(code_cells(notebook)), time.time()
        self.done = 0
        super().__init__(
            notebook,
            kernel_manager_class=kernel_of(sys.executable),
            timeout=TIMEOUT,
            resources={"metadata": {"path": str(path.parent)}},
            extra_arguments=["--log-level=40"],
        )

    async def async_execute_cell(self, cell, cell_index, **kwargs):
        before = time.time()
        result = await super().async_execute_cell(cell, cell_index, **kwargs)
        if cell.cell_type == "code":
            self.done += 1
            spent = time.time() - before
            if spent > 2 or self.done == self.total:
                print(f"  {self.chapter}: cell {min(self.done, self.total)}/{self.total}, {spent:.1f} s", flush=True)
        return result


def kernel_environment(budget: str) -> dict:
    """What the kernel sees: the budget, the build flag, and a cache of compiled programs shared by every build."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "s5lib-jax"
    return {
        **os.environ,
        "S5LIB_BUILD": "1",
        "S5LIB_BUDGET": budget,
        "JAX_COMPILATION_CACHE_DIR": os.environ.get("JAX_COMPILATION_CACHE_DIR", str(cache)),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


def execute(path: pathlib.Path, budget: str, force: bool = False) -> bool:
    """Bring one executed chapter up to date; True if that went well."""
    source = nbformat.read(path, as_version=4)
    target = ROOT / "_build/executed" / budget / path.name
    key = cache_key(source, budget)
    if target.exists() and not force:
        old = nbformat.read(target, as_version=4)
        made = old.metadata.get("s5lib", {})
        if made.get("key") == key and made["results"] == results_hash(made["read"]):
            merge_text(source, old, target)
            print(
                f"{path.stem}: nothing changed that its outputs depend on; kept the run of {made.date}",
                flush=True,
            )
            return True
    print(f"{path.stem}: executing at budget {budget!r}", flush=True)
    source.cells.append(nbformat.v4.new_code_cell(PROBE))
    client, begun = Chapter(path, source), time.time()
    client.total -= 1
    try:
        client.execute(env=kernel_environment(budget))
    except CellExecutionError as error:
        print(f"\n{path.name} FAILED. {ANSI.sub('', error.traceback)}", flush=True)
        return False
    except Exception as error:
        print(f"\n{path.name} FAILED: {type(error).__name__}: {error}", flush=True)
        return False
    seconds, probe = time.time() - begun, source.cells.pop()
    facts = json.loads("".join(o.text for o in probe.outputs if o.output_type == "stream" and o.name == "stdout"))
    facts["processor"] += f", {facts['cores']} core{'s' if facts['cores'] != 1 else ''}"
    for cell in source.cells:
        tidy(cell)
    source.cells.append(nbformat.v4.new_markdown_cell(stamp(facts, seconds), id="stamp"))
    made = {"key": key, "results": results_hash(facts["read"])}
    source.metadata["s5lib"] = {**made, "seconds": round(seconds, 1), "date": time.strftime("%Y-%m-%d"), **facts}
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(source, target)
    print(f"{path.stem}: done in {seconds:.0f} s, peak memory {facts['peak_mb']} MB", flush=True)
    return True


def merge_text(source, old, target: pathlib.Path) -> None:
    """Write today's text and tags with the outputs of the kept run."""
    for new, ran in zip(code_cells(source), code_cells(old), strict=True):
        new.outputs, new.execution_count = ran.outputs, ran.execution_count
    source.cells.append(old.cells[-1])
    source.metadata["s5lib"] = old.metadata["s5lib"]
    nbformat.write(source, target)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chapters", nargs="*", help="stems such as 01-hippo; default: all in _toc.yml")
    parser.add_argument("--budget", default=os.environ.get("BUDGET") or "cpu", choices=["smoke", "cpu", "gpu", "paper"])
    parser.add_argument(
        "--jobs", type=int, default=1, help="chapters at once; more than 1 disturbs the timings they print"
    )
    parser.add_argument("--force", action="store_true", help="run even what has not changed")
    options = parser.parse_args()
    paths = [path for path in notebooks() if not options.chapters or path.stem in options.chapters]
    unknown = set(options.chapters) - {path.stem for path in paths}
    if unknown:
        parser.error(
            f"no such chapter: {', '.join(sorted(unknown))}; there are {', '.join(p.stem for p in notebooks())}"
        )
    begun = time.time()
    with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        results = list(pool.map(execute, paths, [options.budget] * len(paths), [options.force] * len(paths)))
    failed = [path.stem for path, good in zip(paths, results, strict=True) if not good]
    print(f"{len(paths) - len(failed)} of {len(paths)} chapters executed in {time.time() - begun:.0f} s", flush=True)
    if failed:
        print("failed: " + ", ".join(failed), flush=True)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
