"""The chapters: their order from _toc.yml, what each needs, how long it takes, and the text of its setup cell."""

import pathlib
import re
from dataclasses import dataclass

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Needs:
    """What one chapter asks for: extras of s5lib, and minutes at the cpu budget (measured) and the gpu one (estimated)."""

    extras: str = "book"
    cpu_minutes: float = 2
    gpu_minutes: float = 2


NEEDS = {
    "01-hippo": Needs(cpu_minutes=1, gpu_minutes=1),
    "02-discretisation": Needs(cpu_minutes=1, gpu_minutes=1),
    "03-resettable-scan": Needs(cpu_minutes=2, gpu_minutes=2),
    "04-s5-layer": Needs(cpu_minutes=4, gpu_minutes=4),
}

INSTALL = """\
if importlib.util.find_spec("s5lib") is None:  # install it, and leave the JAX that is there, with its CUDA, in place
    !{{sys.executable}} -m pip list --format=freeze | grep -Ei "^(jax|numpy|flax|optax|orbax)" > /tmp/s5lib-keep.txt
    !{{sys.executable}} -m pip install -q -c /tmp/s5lib-keep.txt "s5lib[{extras}] @ git+{url}"
    importlib.invalidate_caches()"""
TELL = """\
if importlib.util.find_spec("s5lib") is None:
    raise ModuleNotFoundError("s5lib is not installed. In your copy of the repository: pip install -e '.[{extras}]'")"""
SETUP = """\
import importlib.util
import sys

if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    raise SystemExit(f"s5lib needs Python 3.11, 3.12 or 3.13; this kernel runs {{sys.version.split()[0]}}")
{install}
import jax

import s5lib

minutes = {{"smoke": "1 minute", "cpu": "{cpu}", "gpu": "{gpu}"}}.get(s5lib.budget(), "hours")
print(f"s5lib {{s5lib.__version__}}, JAX {{jax.__version__}} on {{jax.devices()[0].device_kind}}")
print(f"budget {{s5lib.budget()!r}}: the cells of this chapter take about {{minutes}}")"""


def toc_files() -> list[str]:
    """Every page that _toc.yml names, in order, without suffix, such as "book/intro"."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    return [toc["root"]] + [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]


def notebooks() -> list[pathlib.Path]:
    """The chapters that are notebooks, in reading order."""
    return [ROOT / f"{file}.ipynb" for file in toc_files() if re.match(r"book/\d\d-", file)]


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
    """Write the first code cell of a chapter: check Python, install s5lib where it is missing, say what runs where.

    Args:
        stem: the chapter, such as "01-hippo".
        url: where pip finds s5lib with git; empty: the cell says how to install a copy instead.
    """
    needs = NEEDS[stem]
    install = (INSTALL if url else TELL).format(extras=needs.extras, url=url)
    return SETUP.format(install=install, cpu=minutes(needs.cpu_minutes), gpu=minutes(needs.gpu_minutes))
