"""Chapter 3. The resettable scan: a linear recurrence over time, in sequence or in parallel, cut where episodes begin.

Everything here is one equation, ``states[t] = decay[t] * where(resets[t], 0, states[t-1]) + inputs[t]``, computed three
ways. ``resets[t]`` is True when time t opens an episode. The previous state is selected away *before* it is multiplied:
a mask that multiplies would turn an infinite state of a dead episode into a NaN in the next one.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from s5lib.config import check_choice

__all__ = ["associative_states", "linear_operator", "linear_scan", "resettable"]

METHODS = ("auto", "sequential", "associative", "chunked")
Element = Any  # a pytree of arrays


def linear_scan(
    decay: jax.Array,
    inputs: jax.Array,
    initial: jax.Array | None = None,
    resets: jax.Array | None = None,
    *,
    method: str = "auto",
    reverse: bool = False,
) -> jax.Array:
    r"""Run a linear recurrence over time, starting afresh wherever an episode begins.

    ``states[t] = decay[t] * where(resets[t], 0, states[t-1]) + inputs[t]`` with ``states[-1] = initial``. A reset at t keeps
    the input of t and makes everything from t on, gradients included, independent of all that came before, NaN and inf too.

    Args:
        decay: real or complex. Constant: any shape that broadcasts to S. Varying in time: (T, ...) of rank ``1 + len(S)``.
            Up to ``|decay| = 1`` any T is safe. Beyond, once decays multiply to more than 3e38, "associative" and "chunked" may
            give NaN, inf * 0, where the state itself is finite.
        inputs: (T, *S), real or complex, T >= 1; time comes first.
        initial: S; the state before the first step. None stands for zero.
        resets: (T,) or (T, B) bool with B = S[0]; True where an episode opens. None stands for no reset.
        method: "sequential" is a loop over time, O(T) steps, least work: best on a CPU. "associative" is a parallel prefix scan,
            O(log T) steps, more work: best on a GPU or TPU. "chunked" runs about sqrt(T) chunks side by side. "auto" takes
            "sequential" when compiled for CPU and "associative" elsewhere. All give the same values and gradients.
        reverse: run from the end: ``states[t] = decay[t] * where(resets[t+1], 0, states[t+1]) + inputs[t]`` with ``initial`` at
            T. An episode that opens at t+1 cuts t off from it, so a packed sequence equals its episodes reversed one by one.
    Returns:
        states (T, *S) with dtype ``result_type(decay, inputs)``; half precision is computed in single, and rounded at the end.
    Raises:
        ValueError: unknown method, or shapes that do not fit. TypeError: resets that are not bool, inputs that are no numbers.
    Example:
        >>> linear_scan(0.5, jnp.ones(4), resets=jnp.array([False, False, True, False])).tolist()
        [1.0, 1.5, 1.0, 1.5]

    Source: Lu et al. 2023 (arXiv 2303.03982), section 3.1; Martin and Cundy 2018 (arXiv 1709.04057).
    Differs: the paper masks by multiplication, which lets NaN and inf through. "sequential" and "auto" carry a gradient of their
        own (the adjoint is the same recurrence run backwards), so forward-mode differentiation needs one of the other methods.
    """
    check_choice("method", method, METHODS)
    dtype = jnp.result_type(decay, inputs)
    decay, inputs, initial, flags, varying = _checked(decay, inputs, initial, resets)
    decay, inputs, initial, flags = vary_together((decay, inputs, initial, flags))
    if reverse and flags is not None:
        flags = _delayed(flags, False, reverse=True)
    return _run(decay, inputs, initial, flags, method=method, varying=varying, reverse=reverse).astype(dtype)


def _checked(decay, inputs, initial, resets):
    """Check the arguments of ``linear_scan``; return them in one dtype, zeros for no initial state, and flags of full rank.

    The dtype is single precision at least: a running sum of halves stops growing at 256 or 2048.
    """
    decay, inputs = jnp.asarray(decay), jnp.asarray(inputs)
    for name, value in (("decay", decay), ("inputs", inputs)):
        if not jnp.issubdtype(value.dtype, jnp.inexact):
            raise TypeError(f"{name} must be real or complex floating point; got dtype {value.dtype}")
    if inputs.ndim == 0 or inputs.shape[0] == 0:
        raise ValueError(f"inputs must have shape (T, ...) with T >= 1; got {inputs.shape}")
    T, S = inputs.shape[0], inputs.shape[1:]
    dtype = jnp.result_type(decay, inputs, jnp.float32)
    varying = decay.ndim == inputs.ndim
    if varying and decay.shape[0] != T:
        raise ValueError(
            f"decay has the rank of inputs, so its first axis is time and must be T={T}; got shape {decay.shape}"
        )
    step_shape = decay.shape[1:] if varying else decay.shape
    if len(step_shape) > len(S) or any(d not in (1, s) for d, s in zip(step_shape[::-1], S[::-1], strict=False)):
        raise ValueError(f"decay must broadcast to {S}, or to {inputs.shape} with a leading T; got shape {decay.shape}")
    initial = jnp.zeros(S, dtype) if initial is None else jnp.asarray(initial)
    if initial.shape != S:
        raise ValueError(f"initial must have shape {S}, that of inputs without time; got {initial.shape}")
    if jnp.iscomplexobj(initial) and not jnp.issubdtype(dtype, jnp.complexfloating):
        raise TypeError("initial is complex, but decay and inputs are real; make inputs complex")
    return decay.astype(dtype), inputs.astype(dtype), initial.astype(dtype), _full_rank(resets, inputs.shape), varying


def as_rows(x: jax.Array) -> jax.Array:
    """All steps of all sequences, (T, B, H), below one another, (B T, H), for one matrix product.

    Sequence after sequence, so that a batch split over devices stays split; the other order would gather it. With both axes kept
    a CPU takes 1.2 to 1.8 times as long for the gradient.
    """
    return x.swapaxes(0, 1).reshape(-1, x.shape[-1])


def as_sequences(rows: jax.Array, batch_size: int) -> jax.Array:
    """What ``as_rows`` made (B T, H), time first again, (T, B, H)."""
    return rows.reshape(batch_size, -1, rows.shape[-1]).swapaxes(0, 1)


def _full_rank(resets, shape: tuple[int, ...]):
    """Check resets against inputs of ``shape`` = (T, *S) and append axes of size 1 up to its rank; None stays None."""
    if resets is None:
        return None
    resets = jnp.asarray(resets)
    if resets.dtype != jnp.bool_:
        raise TypeError(f"resets must be bool, True where an episode opens; got dtype {resets.dtype}")
    if resets.shape not in (shape[:1], shape[:2]):
        raise ValueError(f"resets must have shape {shape[:1]} or {shape[:2]}, as inputs; got {resets.shape}")
    return resets.reshape(resets.shape + (1,) * (len(shape) - resets.ndim))


def vary_together(operands: Element) -> Element:
    """Under ``shard_map``, mark arrays as varying over every mesh axis that one of them varies over; elsewhere do nothing.

    A loop's carry must say so from the start, and a gradient of our own would miss what JAX does where arrays meet: this cast's
    transpose sums over the devices, so that what all of them share, such as parameters, gets its whole gradient.
    """
    axes = [_axes(leaf) for leaf in jax.tree.leaves(operands)]
    common = frozenset().union(*axes)
    if all(own == common for own in axes):
        return operands
    return jax.tree.map(lambda leaf: _vary(leaf, tuple(common - _axes(leaf))), operands)


def _axes(array) -> frozenset:
    kind = jax.typeof(array)
    newer = getattr(kind, "manual_axis_type", None)  # what jax calls it since 0.12
    return getattr(kind, "vma", frozenset()) if newer is None else newer.varying


def _vary(array, axes: tuple):
    return lax.pcast(array, axes, to="varying") if hasattr(lax, "pcast") else lax.pvary(array, axes)


@partial(jax.jit, static_argnames=("method", "varying", "reverse"))
def _run(decay, inputs, initial, flags, *, method: str, varying: bool, reverse: bool):
    if method in ("auto", "sequential"):
        return _with_adjoint(decay, inputs, initial, flags, method, varying, reverse)
    run = _associative if method == "associative" else _chunked
    return run(decay, inputs, initial, flags, varying, reverse)


# --- sequential: one step after another, and a gradient that does the same in the other direction -----------------------------


def _sequential(decay, inputs, initial, flags, varying: bool, reverse: bool):
    def step(state, now):
        decay_t, input_t, flag_t = now
        state = (decay_t if varying else decay) * _unless(flag_t, state) + input_t
        return state, state

    return lax.scan(step, initial, (decay if varying else None, inputs, flags), reverse=reverse)[1]


def _unless(flag, state):
    """The state, or zero where the flag is up. A selection, never a product: 0 * inf is NaN."""
    return state if flag is None else jnp.where(flag, 0, state)


@partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6))
def _with_adjoint(decay, inputs, initial, flags, method, varying, reverse):
    sequential = partial(_sequential, varying=varying, reverse=reverse)
    if method == "sequential":
        return sequential(decay, inputs, initial, flags)
    associative = partial(_associative, varying=varying, reverse=reverse)
    return lax.platform_dependent(decay, inputs, initial, flags, cpu=sequential, default=associative)


def _forward(decay, inputs, initial, flags, method, varying, reverse):
    states = _with_adjoint(decay, inputs, initial, flags, method, varying, reverse)
    return states, (decay, states, initial, flags)


def _backward(method, varying, reverse, residuals, cotangent):
    sequential: Callable[..., tuple] = partial(_sequential_adjoint, varying=varying, reverse=reverse)
    if method == "sequential":
        gradients = sequential(*residuals, cotangent)
    else:
        associative = partial(_associative_adjoint, varying=varying, reverse=reverse)
        gradients = lax.platform_dependent(*residuals, cotangent, cpu=sequential, default=associative)
    return *gradients, None


_with_adjoint.defvjp(_forward, _backward)


def _sequential_adjoint(decay, states, initial, flags, cotangent, varying: bool, reverse: bool):
    """Gradients of decay, inputs and initial in one loop against the direction of the scan.

    ``lam[t] = cotangent[t] + decay[t+1] * where(flags[t+1], 0, lam[t+1])`` is the gradient of inputs[t]; that of decay[t] is
    ``where(flags[t], 0, states[t-1]) * lam[t]``. For a constant decay its sum rides along in the carry.
    """
    T = cotangent.shape[0]
    before, first = (1, T - 1) if reverse else (-1, 0)

    def step(carry, now):
        arriving, total = carry
        t, decay_t, cotangent_t, flag_t = now
        decay_t = decay_t if varying else decay
        lam = cotangent_t + arriving
        previous = lax.dynamic_index_in_dim(states, jnp.clip(t + before, 0, T - 1), keepdims=False)
        product = _unless(flag_t, jnp.where(t == first, initial, previous)) * lam
        leaving = _unless(flag_t, decay_t * lam)
        return (leaving, total if varying else total + product), (
            lam,
            _sum_to(product, decay_t.shape) if varying else None,
        )

    zero = jnp.zeros_like(initial)
    times = (jnp.arange(T), decay if varying else None, cotangent, flags)
    (grad_initial, total), (lam, products) = lax.scan(step, (zero, zero), times, reverse=not reverse)
    return products if varying else _sum_to(total, decay.shape), lam, grad_initial


def _sum_to(value, shape: tuple[int, ...]):
    """Sum over the axes along which ``shape`` was broadcast: the transpose of broadcasting."""
    value = value.sum(tuple(range(value.ndim - len(shape))))
    return value.sum([axis for axis, size in enumerate(shape) if size != value.shape[axis]], keepdims=True)


# --- associative: a prefix scan over an operator that knows about resets -------------------------------------------------------


def linear_operator(left: Element, right: Element) -> Element:
    r"""Compose two steps of a linear recurrence into one.

    An element ``(a, b)`` stands for the step ``x -> a x + b``. First left, then right:
    ``(a_r, b_r) after (a_l, b_l) = (a_r a_l, a_r b_l + b_r)``. Composition is associative; its identity is (1, 0).

    Args:
        left: (a, b), the earlier step; arrays that broadcast.
        right: (a, b), the later step.
    Returns:
        (a, b) of both in one.
    Example:
        >>> linear_operator((2.0, 1.0), (3.0, 5.0))  # 3 (2 x + 1) + 5
        (6.0, 8.0)

    Source: Blelloch 1990, section 1.4; Smith et al. 2023 (S5, arXiv 2208.04933), section 2.2.
    """
    a_l, b_l = left
    a_r, b_r = right
    return a_r * a_l, a_r * b_l + b_r


def resettable(operator: Callable[[Element, Element], Element], identity: Element) -> Callable:
    r"""Teach any associative operator to forget at episode boundaries.

    Elements become pairs (element, flag). Where the right flag is up, the left element is replaced by the identity before the two
    are combined: ``(e_l, f_l) * (e_r, f_r) = (operator(where(f_r, identity, e_l), e_r), f_l or f_r)``. The result is
    associative whenever the operator is, and a NaN on the left of a reset never reaches the right.

    Args:
        operator: combines (left, right) elements, pytrees of arrays.
        identity: an element with ``operator(identity, e) = e``; arrays or numbers that broadcast to an element's leaves.
    Returns:
        An operator on pairs; a flag is bool with the leading axes of the element's leaves.
    Example:
        >>> add = resettable(lambda l, r: l + r, 0.0)
        >>> total, flag = add((jnp.array(5.0), jnp.array(False)), (jnp.array(2.0), jnp.array(True)))
        >>> float(total), bool(flag)
        (2.0, True)

    Source: Lu et al. 2023 (arXiv 2303.03982), section 3.1 and appendix A; Morad et al. 2024 (arXiv 2402.09900).
    Differs: the paper's three-tuple form multiplies by the flag, so 0 * inf = NaN crosses a reset.
    """

    def keep(flag, leaf, neutral):
        return jnp.where(flag.reshape(flag.shape + (1,) * (jnp.ndim(leaf) - flag.ndim)), neutral, leaf)

    def combine(left, right):
        (element_l, flag_l), (element_r, flag_r) = left, right
        kept = jax.tree.map(partial(keep, flag_r), element_l, identity)
        return operator(kept, element_r), flag_l | flag_r

    return combine


def associative_states(
    operator: Callable[[Element, Element], Element],
    identity: Element,
    elements: Element,
    initial: Element | None = None,
    resets: jax.Array | None = None,
) -> Element:
    r"""Combine every prefix of a sequence of elements in parallel: O(log T) steps for any associative operator.

    ``prefix[t] = initial * elements[0] * ... * elements[t]``, where a reset at t drops all that stands left of ``elements[t]``.

    Args:
        operator: associative; combines (left, right) elements whose leaves have a leading axis of time.
        identity: its identity element; leaves that broadcast to one element.
        elements: pytree with leaves (T, ...).
        initial: one element, leaves without the time axis: what came before the sequence. None stands for nothing.
        resets: (T,) or (T, B) bool, True where an episode opens; (T, B) needs leaves (T, B, ...). None stands for no reset.
    Returns:
        Pytree like ``elements``: the prefixes, the initial element not among them.
    Raises:
        ValueError: leaves that differ in T, an initial element or resets of another shape. TypeError: resets that are not bool.
    Example:
        >>> associative_states(jnp.maximum, -jnp.inf, jnp.array([1.0, 3.0, 2.0]), resets=jnp.array([True, False, True])).tolist()
        [1.0, 3.0, 2.0]

    Source: Blelloch 1990, section 1; Morad et al. 2024 (arXiv 2402.09900), section 4.
    """
    leaves = jax.tree.leaves(elements)
    lengths = sorted({leaf.shape[0] for leaf in leaves})
    if len(lengths) != 1:
        raise ValueError(f"elements must share one leading axis of time; got lengths {lengths}")
    for leaf in leaves:
        _full_rank(resets, leaf.shape)
    if initial is not None:
        expected, got = [leaf.shape[1:] for leaf in leaves], [np.shape(leaf) for leaf in jax.tree.leaves(initial)]
        if expected != got:
            raise ValueError(f"initial must be one element with leaves of shapes {expected}; got {got}")
    return _prefixes(operator, identity, elements, initial, None if resets is None else jnp.asarray(resets))


def _prefixes(operator, identity, elements, initial, flags):
    """``associative_states`` on checked arguments; flags have the leading axes of the elements' leaves, up to full rank."""
    if initial is not None:
        elements = jax.tree.map(
            lambda first, rest: jnp.concatenate([jnp.asarray(first)[None], rest]), initial, elements
        )
        flags = None if flags is None else _delayed(flags, False, keep_last=True)
    if flags is None:
        prefixes = lax.associative_scan(operator, elements)
    else:
        prefixes, _ = lax.associative_scan(resettable(operator, identity), (elements, flags))
    return prefixes if initial is None else jax.tree.map(lambda leaf: leaf[1:], prefixes)


def _associative(decay, inputs, initial, flags, varying: bool, reverse: bool):
    def forward(decay, inputs, flags):
        elements = (jnp.broadcast_to(decay, inputs.shape), inputs)
        return _prefixes(linear_operator, (1.0, 0.0), elements, (jnp.ones_like(initial), initial), flags)[1]

    return _either_way(forward, decay, inputs, flags, varying, reverse)


def _either_way(forward, decay, inputs, flags, varying: bool, reverse: bool):
    """Run a method that only knows forward, in either direction, by turning time around."""
    if not reverse:
        return forward(decay, inputs, flags)
    turned = (
        jnp.flip(decay, 0) if varying else decay,
        jnp.flip(inputs, 0),
        None if flags is None else jnp.flip(flags, 0),
    )
    return jnp.flip(forward(*turned), 0)


def _delayed(values, first, reverse: bool = False, keep_last: bool = False):
    """Move values one step along the direction of the scan and put ``first`` at the front."""
    first = jnp.broadcast_to(jnp.asarray(first, values.dtype), values.shape[1:])[None]
    if reverse:
        return jnp.concatenate([values[1:], first])
    return jnp.concatenate([first, values if keep_last else values[:-1]])


def _associative_adjoint(decay, states, initial, flags, cotangent, varying: bool, reverse: bool):
    """Gradients of decay, inputs and initial: the associative scan again, against the direction of the first."""
    against = not reverse
    decay_next = _delayed(decay, 1, against) if varying else decay
    flags_next = None if flags is None else _delayed(flags, False, against)
    lam = _associative(decay_next, cotangent, jnp.zeros_like(initial), flags_next, varying, against)
    products = _unless(flags, _delayed(states, initial, reverse)) * lam
    first = -1 if reverse else 0
    leaving = (decay[first] if varying else decay) * lam[first]
    return _sum_to(products, decay.shape), lam, _unless(None if flags is None else flags[first], leaving)


# --- chunked: chunks side by side, then their ends joined -----------------------------------------------------------------------


def _chunked(decay, inputs, initial, flags, varying: bool, reverse: bool):
    """Scan about sqrt(T) chunks at once as if each began at zero, then carry what enters each chunk through it.

    Within a chunk, ``gain`` is the product of its decays so far and ``cut`` says whether a reset has been passed: what enters
    the chunk as x stands at t as ``gain[t] * where(cut[t], 0, x)``.
    """

    def forward(decay, inputs, flags):
        T = inputs.shape[0]
        size = math.isqrt(T - 1) + 1 if T > 1 else 1
        chunks = -(-T // size)

        def split(values, fill):  # (T, ...) -> (size, chunks, ...), the last chunk padded
            padding = jnp.full((chunks * size - T, *values.shape[1:]), fill, values.dtype)
            return jnp.concatenate([values, padding]).reshape(chunks, size, *values.shape[1:]).swapaxes(0, 1)

        def within(carry, now):
            state, gain, cut = carry
            decay_t, input_t, flag_t = now
            decay_t = decay_t if varying else decay
            carry = decay_t * _unless(flag_t, state) + input_t, decay_t * _unless(flag_t, gain), cut | flag_t
            return carry, carry

        def between(entering, last):
            state, gain, cut = last
            return gain * _unless(cut, entering) + state, entering

        if flags is None:
            flags = jnp.zeros((T,) + (1,) * (inputs.ndim - 1), bool)
        now = (split(decay, 1) if varying else None, split(inputs, 0), split(flags, False))
        start = (jnp.zeros_like(now[1][0]), jnp.ones_like(now[1][0]), jnp.zeros_like(now[2][0]))
        last, (states, gains, cuts) = lax.scan(within, start, now)
        _, entering = lax.scan(between, initial, last)
        states = states + gains * _unless(cuts, entering)
        return states.swapaxes(0, 1).reshape(chunks * size, *inputs.shape[1:])[:T]

    return _either_way(forward, decay, inputs, flags, varying, reverse)
