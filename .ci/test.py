"""Run what CI runs, or the stages named: python .ci/test.py [lint] [unit] [fast] [notebooks] [book] [wheel]

Each stage says how long it takes on two cores. The last line counts passed and failed over all stages.
"""

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass

from chapters import ROOT

PYTEST = [sys.executable, "-m", "pytest", "-q"]


@dataclass(frozen=True)
class Stage:
    """One part of the tests: what it proves, about how many seconds it takes, its commands."""

    about: str
    seconds: int
    commands: list[list[str]]


def module(*arguments: str) -> list[str]:
    return [sys.executable, "-m", *arguments]


APART = "not notebooks and not browser and not wheel"
STAGES = {
    "lint": Stage("lint and types", 60, [
        module("ruff", "check", "."),
        module("ruff", "format", "--check", "."),
        module("mypy"),
        module("codespell_lib", "--ignore-words-list=reacher", "."),
        [sys.executable, ".ci/sync.py", "--check"],
    ]),
    "unit": Stage("unit, property, oracle and doctests, warnings as errors", 1500, [[*PYTEST, "-n", "2", "-m", APART]]),
    "fast": Stage("the tests that take seconds", 800, [[*PYTEST, "-n", "2", "-m", f"{APART} and not slow"]]),
    "book": Stage("every chapter executed at smoke, the pages built with warnings as errors, and read in a browser", 600, [
        [sys.executable, ".ci/execute.py", "--budget", "smoke", "--jobs", "2"],
        [sys.executable, ".ci/build.py", "--budget", "smoke"],
        [*PYTEST, "-n", "2", "-m", "browser", "tests/browser"],
    ]),
    "notebooks": Stage("every chapter the way Colab runs it, its exercises solved", 780, [
        [*PYTEST, "-n", "2", "-m", "notebooks", "tests/notebooks"],
    ]),
    "wheel": Stage("the wheel alone in an empty environment", 45, [[*PYTEST, "-m", "wheel", "tests/test_wheel.py"]]),
}  # fmt: skip
ALL = ["lint", "unit", "book", "notebooks", "wheel"]


def run(command: list[str]) -> tuple[int, dict[str, int]]:
    """Run one command, showing its output as it comes; return its exit code and, for pytest, what it counted."""
    shown = " ".join(["python", *command[1:]])
    print(f"\n$ {shown}", flush=True)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "BUDGET": "smoke"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )
    closing = ""
    for line in process.stdout:
        print(line, end="", flush=True)
        closing = line if re.search(r"\d+ (passed|failed|error).* in [\d.]+s", line) else closing
    code = process.wait()
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for number, word in re.findall(r"(\d+) (passed|failed|errors?|skipped)", closing):
        counts["failed" if word.startswith("error") else word] += int(number)
    if not closing:
        counts["passed" if code == 0 else "failed"] = 1
    elif code and not counts["failed"]:
        counts["failed"] = 1
    return code, counts


def main() -> int:
    names = sys.argv[1:] or ALL
    unknown = [name for name in names if name not in STAGES]
    if unknown:
        sys.exit(f"no such stage: {', '.join(unknown)}; there are {', '.join(STAGES)}")
    minutes = sum(STAGES[name].seconds for name in names) / 60
    print(f"{len(names)} stage(s), about {minutes:.0f} min on two cores: {', '.join(names)}", flush=True)
    total, rows = {"passed": 0, "failed": 0, "skipped": 0}, []
    for name in names:
        stage, begun = STAGES[name], time.time()
        print(f"\n=== {name}: {stage.about} (about {stage.seconds} s)", flush=True)
        bad = 0
        for command in stage.commands:
            code, counts = run(command)
            bad += counts["failed"]
            total = {key: total[key] + counts[key] for key in total}
            if code and name != "lint":
                break  # what follows in a stage needs what came before
        rows.append(f"{name:10s} {time.time() - begun:6.0f} s  {'failed' if bad else 'passed'}")
    print("\n" + "\n".join(rows))
    skipped = f", {total['skipped']} skipped" if total["skipped"] else ""
    print(f"{total['passed']} passed, {total['failed']} failed{skipped}", flush=True)
    return int(total["failed"] > 0)


if __name__ == "__main__":
    sys.exit(main())
