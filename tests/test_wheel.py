"""The wheel alone: built, installed into an empty environment with jax, flax, optax and numpy, and used there."""

import statistics
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.wheel
ROOT = Path(__file__).resolve().parents[1]
CORE = ("jax", "jaxlib", "flax", "optax", "numpy")
LIMIT = 2.0  # seconds that `import s5lib` may add to importing jax and flax
USE = """
import importlib.util, sys
missing = [name for name in ("matplotlib", "IPython", "ipywidgets", "sklearn", "gymnax", "brax") if importlib.util.find_spec(name)]
assert not missing, f"not an empty environment: {missing}"
import jax, jax.numpy as jnp, s5lib
states = s5lib.linear_scan(0.5, jnp.ones(4), resets=jnp.array([False, False, True, False]))
assert states.tolist() == [1.0, 1.5, 1.0, 1.5]
model = s5lib.S5Stack(features=4, layers=1, state_size=8)
x, resets = jnp.ones((5, 2, 4)), jnp.zeros((5, 2), bool)
params = model.init(jax.random.key(0), model.initial_carry(2), x, resets)
carry, y = model.apply(params, model.initial_carry(2), x, resets)
assert y.shape == (5, 2, 4) and bool(jnp.isfinite(y).all())
assert "matplotlib" not in sys.modules
records = s5lib.records  # the stored runs ship in the wheel
assert len(records.stored("digits-s5")) >= 3 and "params" in records.load("digits-s5")
assert s5lib.checks.check_fade_step(0.002)
try:
    s5lib.viz.use_style()
except ImportError as error:
    assert "pip install 's5lib[viz]'" in str(error), error
else:
    raise AssertionError("figures without matplotlib?")
print("fine")
"""


def run(*command, **options) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """An interpreter with the wheel and the pinned core, nothing else."""
    pins = [
        line.strip() for line in (ROOT / "requirements.txt").read_text().splitlines() if line.split("==")[0] in CORE
    ]
    assert len(pins) == len(CORE)
    folder = tmp_path_factory.mktemp("empty") / "venv"
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin/python", "-m", "pip", "install", "-q", *pins, wheel)
    return folder / "bin/python"


def test_wheel_holds_the_package_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "s5lib").rglob("*.py")}
    assert {"s5lib/py.typed", *modules} <= set(names)
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"s5lib"}
    stored = {path.name for path in (ROOT / "book/results").glob("*.*") if path.suffix in (".json", ".jsonl", ".npz")}
    assert stored <= {Path(name).name for name in names}, "the stored runs ship in the wheel"


def test_core_alone_is_enough(python, tmp_path):
    assert run(python, "-W", "error", "-c", USE, cwd=tmp_path).strip() == "fine"


def test_import_time(python, tmp_path):
    """`import s5lib` costs little beyond jax and flax, which it needs anyway: the median of five fresh starts."""
    both = "import jax, flax.linen; import time; t = time.perf_counter(); import s5lib; print(time.perf_counter() - t)"
    run(python, "-c", both, cwd=tmp_path)
    alone = statistics.median(float(run(python, "-c", both, cwd=tmp_path)) for _ in range(5))
    assert alone < LIMIT, f"import s5lib takes {alone:.2f} s beyond jax and flax"


def test_names_load_their_module_alone(python, tmp_path):
    code = "import sys, s5lib; s5lib.hippo_legs; assert 's5lib.s5' not in sys.modules and 's5lib.hippo' in sys.modules"
    run(python, "-c", code, cwd=tmp_path)
