"""JAX in double precision for a part of a test."""

import contextlib
from collections.abc import Iterator

import jax


@contextlib.contextmanager
def double_precision() -> Iterator[None]:
    """Let float64 be float64, as ``JAX_ENABLE_X64`` does; by the setting, since the context manager has moved between versions."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", before)
