"""The chapters that prove equalities, with matrix products as an NVIDIA card makes them unless told otherwise: in TF32, 10 bits."""

import nbformat
import pytest
from nbclient import NotebookClient

from .chapters import ROOT, notebooks, read

pytestmark = pytest.mark.notebooks
# A product at the default precision first loses all but 10 bits of its operands' fractions, on this CPU too.
TF32 = """
import jax
from jax import lax
from jax._src.interpreters import mlir

product = lax.dot_general_p
exact = {**mlir._lowerings, **mlir._platform_specific_lowerings["cpu"]}[product].rule

def rounded(x):
    if jax.numpy.iscomplexobj(x):
        return lax.complex(rounded(x.real), rounded(x.imag))
    return lax.reduce_precision(x, exponent_bits=8, mantissa_bits=10)

def lower(context, *operands, precision, **rest):
    single = all(value.dtype in ("float32", "complex64") for value in context.avals_in)
    if not single or precision not in (None, (lax.Precision.DEFAULT,) * 2):
        return exact(context, *operands, precision=precision, **rest)
    highest = (lax.Precision.HIGHEST,) * 2
    multiply = lambda a, b: product.bind(rounded(a), rounded(b), precision=highest, **rest)
    return mlir.lower_fun(multiply, multiple_results=False)(context, *operands)

mlir.register_lowering(product, lower, platform="cpu")
x = jax.numpy.full((2, 2), 1 + 2.0**-12)
assert (x @ x == 2).all() and (jax.numpy.matmul(x, x, precision="highest") > 2).all()
"""


@pytest.mark.parametrize("stem", ["03-resettable-scan", "04-s5-layer", "05-memory-under-ppo"])
def test_what_a_chapter_proves_holds_on_a_card(stem, tmp_path, monkeypatch):
    path = next(path for path in notebooks() if path.stem == stem)
    notebook = read(path)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(TF32))
    monkeypatch.setenv("S5LIB_BUDGET", "smoke")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()
