"""Make .venv from requirements.txt, or leave it when nothing changed. Any Python 3 can run this file: it looks for a suited one.

python3 .ci/bootstrap.py [--latest]     PYTHON=python3.12 overrides the interpreter; CI installs Debian's chromium where it can.
--latest makes .venv-latest: the same pins, but JAX and what moves with it at their newest; at that version with JAX=0.11.2; with
JAX=lowest all that pyproject.toml bounds from below at its bound.
"""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
WANTED = [(3, 13), (3, 12), (3, 11)]
# These move together, and are free in .venv-latest.
JAX_FAMILY = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "tensorstore")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def version_of(python):
    """The (major, minor) an interpreter reports, or None when it does not run or cannot make environments."""
    code = "import sys, venv, ensurepip; print(*sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return tuple(map(int, done.stdout.split())) if done.returncode == 0 else None
    except OSError:
        return None


def find_python():
    """The interpreter asked for, else this one if it suits, else the newest that suits."""
    asked = os.environ.get("PYTHON")
    candidates = [asked] if asked else [sys.executable, *(f"python{major}.{minor}" for major, minor in WANTED)]
    found = [(candidate, version_of(candidate)) for candidate in candidates]
    for candidate, version in found:
        if version in WANTED:
            return candidate
    seen = ", ".join(f"{c} ({'.'.join(map(str, v)) if v else 'does not run, or lacks venv'})" for c, v in found)
    sys.exit(
        f"This project needs CPython 3.11, 3.12 or 3.13 with the venv module (Debian: python3-venv). Found: {seen}. "
        "Install one, or name it: make setup PYTHON=/path/to/python3.12"
    )


def stamp_of(*parts):
    digest = hashlib.sha256()
    for name in ["requirements.txt", "pyproject.toml"]:
        digest.update((ROOT / name).read_bytes())
    digest.update(repr(parts).encode())
    return digest.hexdigest()


def works(venv):
    """Whether an environment's interpreter still starts: it does not when the folder was moved or Python was upgraded."""
    return version_of(str(venv / "bin/python")) in WANTED


def pip(venv, arguments):
    """Run pip install; say now and then how many packages it has found; on failure show all that it said."""
    command = [str(venv / "bin/python"), "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    process = subprocess.Popen(command, cwd=str(ROOT), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said, found = [], 0
    for line in process.stdout:
        said.append(line)
        found += line.startswith("Collecting")
        if line.startswith("Collecting") and found % 50 == 0:
            print(f"  {found} packages found", flush=True)
        elif line.startswith("Installing collected"):
            print("  installing", flush=True)
    if process.wait():
        sys.exit("".join(said[-40:]) + f"pip could not install {' '.join(arguments)}: see its message above")


def install(venv, commands, stamp):
    """Run pip's commands in a fresh environment unless the stamp says they have been run."""
    marker = venv / "s5lib-setup"
    asked = os.environ.get("PYTHON")
    if (
        marker.exists()
        and marker.read_text() == stamp
        and works(venv)
        and (not asked or version_of(asked) == version_of(str(venv / "bin/python")))
    ):
        return
    python = find_python()
    print(f"Setting up {venv.name} with {python}: about 3 minutes", flush=True)
    if not works(venv) or version_of(str(venv / "bin/python")) != version_of(python):
        subprocess.run([python, "-m", "venv", "--clear", str(venv)], check=True)
    for command in commands:
        pip(venv, command)
    marker.write_text(stamp)


def browser():
    """Install Debian's chromium when it is missing and we can; else say what to install. Only the browser tests need it."""
    if any(shutil.which(name) for name in BROWSERS):
        return
    if sys.platform == "linux" and shutil.which("apt-get") and os.geteuid() == 0:
        print("Installing Debian's chromium for the browser tests", flush=True)
        for command in (
            ["apt-get", "update", "-q"],
            ["apt-get", "install", "-y", "-q", "--no-install-recommends", "chromium"],
        ):
            if subprocess.run(
                command, stdout=subprocess.DEVNULL, env=dict(os.environ, DEBIAN_FRONTEND="noninteractive")
            ).returncode:
                break
    if not any(shutil.which(name) for name in BROWSERS):
        print(
            "No chromium found. Only the browser tests of `make test` need it. Debian and Ubuntu: sudo apt-get install chromium",
            flush=True,
        )


def latest(version):
    """pip's commands for the pins of requirements.txt under another JAX: the newest, the version given, or all "lowest" bounds.

    gymnax 1.0.1 declares a cap on JAX that it does not need, so it comes without what it asks for, which is all pinned.
    """
    direct, _, transitive = (ROOT / "requirements.txt").read_text().partition("# Transitive")
    pinned, indirect = (dict(re.findall(r"^([\w-]+)==(\S+)", part, re.MULTILINE)) for part in (direct, transitive))
    gymnax = f"gymnax=={pinned.pop('gymnax')}"
    project = (ROOT / "pyproject.toml").read_text()
    if version == "lowest":
        declared = project.partition("dependencies")[2].partition("[project.scripts]")[0]
        bounds = dict(re.findall(r'"([\w-]+)>=([\w.]+)', declared))
        wanted = {name: pin for name, pin in {**pinned, **bounds}.items() if name not in ("jaxlib", "gymnax")}
        free = []
    else:
        wanted = {name: pin for name, pin in {**pinned, **indirect}.items() if name not in JAX_FAMILY}
        jax = f"jax=={version}" if version else re.search(r'"(jax>=[^"]*)"', project).group(1)
        free = [jax, "flax", "optax", "orbax-checkpoint"]
    exact = [f"{name}=={pin}" for name, pin in sorted(wanted.items())]
    return [["--upgrade", *free, *exact], ["--no-deps", gymnax, "-e", "."]]


def main():
    os.chdir(str(ROOT))
    if "--latest" in sys.argv[1:]:
        version = os.environ.get("JAX", "")
        install(ROOT / ".venv-latest", latest(version), stamp_of("latest", version))
        return
    install(ROOT / ".venv", [["-r", "requirements.txt"], ["--no-deps", "-e", "."]], stamp_of("pinned"))
    browser()


if __name__ == "__main__":
    main()
