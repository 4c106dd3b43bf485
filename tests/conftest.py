"""Settings for every test: the CPU, JAX's usual promotion of dtypes and ranks, and a compilation cache shared by the whole run."""

import os
import pathlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest

jax.config.update("jax_numpy_dtype_promotion", "standard")
jax.config.update("jax_numpy_rank_promotion", "allow")
cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "s5lib-jax"
jax.config.update("jax_compilation_cache_dir", str(cache))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


@pytest.fixture(autouse=True, scope="module")
def few_executables():
    """Drop compiled programs before they are too many: each holds memory maps, of which Linux allows a process 65 530."""
    yield
    maps = pathlib.Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 20_000:
        jax.clear_caches()


@pytest.fixture
def book_style():
    """The book's figure style, and everything as it was after the test."""
    import matplotlib
    import matplotlib.pyplot as plt

    from s5lib.viz import use_style

    use_style()
    yield
    plt.close("all")
    matplotlib.rcdefaults()
