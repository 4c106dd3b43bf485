"""The notebooks, chapters and others: their order from _toc.yml, what each needs, how long it takes, its setup cell's text."""

import pathlib
from dataclasses import dataclass

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Needs:
    """What one notebook asks for: extras of s5lib, and minutes at the budgets smoke, cpu (measured) and gpu (estimated)."""

    extras: str = "book"
    smoke_minutes: float = 1
    cpu_minutes: float = 2
    gpu_minutes: float = 2


NEEDS = {
    "01-hippo": Needs(cpu_minutes=1, gpu_minutes=1),
    "02-discretisation": Needs(cpu_minutes=1, gpu_minutes=1),
    "03-resettable-scan": Needs(cpu_minutes=2, gpu_minutes=2),
    "04-s5-layer": Needs(cpu_minutes=4, gpu_minutes=4),
    "05-memory-under-ppo": Needs(smoke_minutes=2, cpu_minutes=3, gpu_minutes=6),
    "06-popgym": Needs(cpu_minutes=3, gpu_minutes=8),
    "07-learning-in-context": Needs(smoke_minutes=3, cpu_minutes=6, gpu_minutes=12),
    "08-many-worlds": Needs("book,physics", smoke_minutes=4, cpu_minutes=6, gpu_minutes=10),
    "environments": Needs(smoke_minutes=2, cpu_minutes=2, gpu_minutes=2),
}

INSTALL = """\
if importlib.util.find_spec("s5lib") is None:  # install it, and leave the JAX that is there, with its CUDA, in place
    !{{sys.executable}} -m pip list --format=freeze | grep -Ei "^(jax|numpy|flax|optax|orbax)" > /tmp/s5lib-keep.txt
    !{{sys.executable}} -m pip install -q -c /tmp/s5lib-keep.txt "s5lib[{extras}] @ git+{url}"
    importlib.invalidate_caches()"""
TELL = """\
if importlib.util.find_spec("s5lib") is None:
    raise ModuleNotFoundError("s5lib is not installed. In your copy of the book: pip install -e '.[{extras}]'")"""
SETUP = """\
import importlib.util
import sys

if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    raise SystemExit(f"s5lib needs Python 3.11, 3.12 or 3.13; this kernel runs {{sys.version.split()[0]}}")
{install}
import jax

import s5lib

minutes = {{"smoke": "{smoke}", "cpu": "{cpu}", "gpu": "{gpu}"}}.get(s5lib.budget(), "hours")
print(f"s5lib {{s5lib.__version__}}, JAX {{jax.__version__}} on {{jax.devices()[0].device_kind}}")
print(f"budget {{s5lib.budget()!r}}: the cells of this {kind} take about {{minutes}}")"""


def toc_files() -> list[str]:
    """Every page that _toc.yml names, in order, without suffix, such as "book/intro"."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    return [toc["root"]] + [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]


def notebooks() -> list[pathlib.Path]:
    """Every notebook that _toc.yml names, in reading order."""
    return [path for file in toc_files() if (path := ROOT / f"{file}.ipynb").exists()]


def is_chapter(stem: str) -> bool:
    """Whether a notebook is a numbered chapter, with exercises; the others are for reference."""
    return stem[:2].isdigit()


def repository_url() -> str:
    """The one place where the repository's address stands; empty when it has none."""
    return yaml.safe_load((ROOT / "_config.yml").read_text())["repository"].get("url") or ""


def branch() -> str:
    """The branch that the web book and Colab point at."""
    return yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["branch"]


def minutes(number: float) -> str:
    """Spell a number of minutes."""
    return f"{number:g} minute{'' if number == 1 else 's'}"


def setup_cell(stem: str, url: str) -> str:
    """Write the first code cell of a notebook: check Python, install s5lib where it is missing, say what runs where.

    Args:
        stem: the notebook, such as "01-hippo".
        url: where pip finds s5lib with git; empty: the cell says how to install a copy instead.
    """
    needs = NEEDS[stem]
    install = (INSTALL if url else TELL).format(extras=needs.extras, url=url)
    times = {name: minutes(getattr(needs, f"{name}_minutes")) for name in ("smoke", "cpu", "gpu")}
    return SETUP.format(install=install, kind="chapter" if is_chapter(stem) else "page", **times)
