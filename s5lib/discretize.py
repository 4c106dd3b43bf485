"""Chapter 2. From a differential equation to one step per sample: zero-order hold, bilinear, forward Euler.

All three turn ``x'(t) = Lambda x(t) + B_tilde u(t)``, with a diagonal Lambda, into ``x_t = Lambda_bar x_{t-1} + B_bar u_t``.
They differ in how well they follow the exact solution and in when they blow up.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from s5lib.config import check_real, check_shape, is_concrete

__all__ = ["bilinear", "euler", "zoh"]


def _check(Lambda: Any, B_tilde: Any, step: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    Lambda, B_tilde, step = (part if hasattr(part, "dtype") else np.asarray(part) for part in (Lambda, B_tilde, step))
    check_real("step", step, positive=True)
    for name, value in (("Lambda", Lambda), ("B_tilde", B_tilde)):
        if not jnp.issubdtype(value.dtype, jnp.number):
            raise TypeError(f"{name} must hold numbers; got dtype {value.dtype}")
    if np.ndim(Lambda) != 1:
        raise ValueError(f"Lambda must have shape (P,); got {np.shape(Lambda)}")
    P = np.shape(Lambda)[0]
    check_shape("B_tilde", B_tilde, (P, "H"))
    if np.shape(step) not in ((), (P,)):
        raise ValueError(f"step must be a number or have shape ({P},), one per state; got {np.shape(step)}")
    for name, value in (("Lambda", Lambda), ("B_tilde", B_tilde)):
        if is_concrete(value) and not np.all(np.isfinite(value)):
            raise ValueError(f"{name} must be finite; it holds NaN or infinite values")
    return jnp.asarray(Lambda), jnp.asarray(B_tilde), jnp.asarray(step)


def _phi(z: jax.Array) -> jax.Array:
    """(exp(z) - 1) / z, and 1 at z = 0; value and gradient keep full precision for tiny z, where the quotient would not."""
    small = jnp.abs(z) < 0.5
    series = jnp.ones_like(z)
    for k in range(15, 1, -1):
        series = 1 + jnp.where(small, z, 0) / k * series
    far = jnp.where(small, 1, z)
    return jnp.where(small, series, jnp.expm1(far) / far)


def zoh(Lambda: jax.Array, B_tilde: jax.Array, step: jax.Array) -> tuple[jax.Array, jax.Array]:
    r"""Hold the input constant over each step and solve the differential equation exactly.

    ``Lambda_bar = exp(Lambda step)`` and ``B_bar = (Lambda_bar - 1) / Lambda * B_tilde``, with the limit
    ``step * B_tilde`` at Lambda = 0; accurate, in value and gradient, for tiny ``|Lambda step|`` too.

    Args:
        Lambda: (P,), real or complex, per unit of time; Re < 0 for a state that forgets, 0 for one that never does.
        B_tilde: (P, H), real or complex; input matrix in the eigenbasis.
        step: (P,) or a number, real, > 0; time per sample. One per state lets each forget at a rate of its own.
    Returns:
        Lambda_bar (P,), inside the unit disc exactly when Re Lambda < 0, and B_bar (P, H).
    Raises:
        TypeError, ValueError: shapes that do not fit, a step that is complex, not positive or not finite.
    Example:
        >>> Lambda_bar, B_bar = zoh(jnp.log(jnp.array([0.5])), jnp.ones((1, 1)), 1.0)  # halves once per unit of time
        >>> round(float(Lambda_bar[0]), 4), round(float(B_bar[0, 0]), 4)
        (0.5, 0.7213)

    Source: Smith et al. 2023 (S5, arXiv 2208.04933), section 2.1; lindermanlab/S5, s5/ssm.py, discretize_zoh.
    Differs: the reference divides by Lambda, which is 0/0 at Lambda = 0.
    """
    Lambda, B_tilde, step = _check(Lambda, B_tilde, step)
    z = Lambda * step
    return jnp.exp(z), (_phi(z) * step)[:, None] * B_tilde


def bilinear(Lambda: jax.Array, B_tilde: jax.Array, step: jax.Array) -> tuple[jax.Array, jax.Array]:
    r"""Average the slope at both ends of each step (Tustin's rule): stable whenever the continuous system is.

    ``Lambda_bar = (1 + Lambda step / 2) / (1 - Lambda step / 2)`` and ``B_bar = step / (1 - Lambda step / 2) * B_tilde``.
    It maps the left half plane onto the unit disc, but squeezes fast oscillations towards -1.

    Args:
        Lambda: (P,), real or complex, per unit of time.
        B_tilde: (P, H), real or complex.
        step: (P,) or a number, real, > 0; time per sample.
    Returns:
        Lambda_bar (P,) and B_bar (P, H).
    Raises:
        TypeError, ValueError: as for ``zoh``.
    Example:
        >>> Lambda_bar, _ = bilinear(jnp.array([-1e6]), jnp.ones((1, 1)), 1.0)  # very stiff, still stable
        >>> round(float(Lambda_bar[0]), 3)
        -1.0

    Source: Smith et al. 2023 (S5, arXiv 2208.04933), section 2.1; lindermanlab/S5, s5/ssm.py, discretize_bilinear.
    """
    Lambda, B_tilde, step = _check(Lambda, B_tilde, step)
    half = Lambda * step / 2
    return (1 + half) / (1 - half), (step / (1 - half))[:, None] * B_tilde


def euler(Lambda: jax.Array, B_tilde: jax.Array, step: jax.Array) -> tuple[jax.Array, jax.Array]:
    r"""Follow the slope at the start of each step: the simplest rule, shown to see it blow up.

    ``Lambda_bar = 1 + Lambda step`` and ``B_bar = step * B_tilde``. It is stable only where ``|1 + Lambda step| < 1``:
    a lightly damped oscillation explodes at steps that the other two rules do not even notice.

    Args:
        Lambda: (P,), real or complex, per unit of time.
        B_tilde: (P, H), real or complex.
        step: (P,) or a number, real, > 0; time per sample.
    Returns:
        Lambda_bar (P,) and B_bar (P, H).
    Raises:
        TypeError, ValueError: as for ``zoh``.
    Example:
        >>> Lambda_bar, _ = euler(jnp.array([-0.5 + 10j]), jnp.ones((1, 1)), 0.1)
        >>> bool(abs(Lambda_bar[0]) > 1)  # explodes, though the system itself forgets
        True

    Source: any text on numerical integration; here only as the counter-example.
    """
    Lambda, B_tilde, step = _check(Lambda, B_tilde, step)
    return 1 + Lambda * step, jnp.asarray(step * jnp.ones_like(Lambda))[:, None] * B_tilde
