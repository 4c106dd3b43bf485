"""The page "In your own code": every block is a whole program, which prints what it says."""

import pathlib
import re
import subprocess
import sys

import pytest

from tests.test_readme import blocks, printed_by

pytestmark = pytest.mark.slow
ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAMS = blocks((ROOT / "book/your-code.md").read_text(), "python")
NAMES = ["params", "brax", "network", "memory", "longer and seeds", "export", "elsewhere", "equinox", "nnx"]
ALONE = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("s5lib", "flax", "optax"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hidden())
"""


def said(program: str) -> list[str]:
    return re.findall(r"^ *print\(.*\)  # (.*)$", program, flags=re.M)


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore:Brax System"
)  # brax, and what it stands on, about their age
@pytest.mark.parametrize("name", [name for name in NAMES if name != "elsewhere"])
def test_a_program_of_the_page_prints_what_it_says(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program = PROGRAMS[NAMES.index(name)]
    assert printed_by([program]) == said(program) != []
    if name in ("equinox", "nnx"):
        assert len([line for line in program[program.index("class") :].splitlines() if line]) <= 15
    if name == "export":  # read again where there is neither s5lib nor flax
        elsewhere = PROGRAMS[NAMES.index("elsewhere")]
        done = subprocess.run([sys.executable, "-c", ALONE + elsewhere], capture_output=True, text=True, cwd=tmp_path)
        assert done.stdout.splitlines() == said(elsewhere), done.stderr


def test_the_page_for_users_of_pytorch_prints_what_it_says():
    """Its blocks go on from each other; what is printed within a call is said where it is called."""
    code = blocks((ROOT / "book/jax-for-pytorch.md").read_text(), "python")
    promised = re.findall(r"^(?:print|halve)\(.*\)  # (.*)$", "\n".join(code), flags=re.M)
    assert printed_by(code) == promised


def test_the_page_has_no_other_program():
    assert len(PROGRAMS) == len(NAMES)
