"""float64 NumPy oracles for the scan: a Python loop and its gradient by hand, and the paper's three-tuple operator."""

import numpy as np


def loop(decay, inputs, initial=None, resets=None, reverse=False):
    """states[t] = decay[t] * where(resets[t], 0, states[t-1]) + inputs[t], one number at a time; see ``linear_scan``."""
    decay, inputs = np.asarray(decay), np.asarray(inputs)
    T, S = inputs.shape[0], inputs.shape[1:]
    dtype = np.result_type(decay, inputs, np.float64)
    state = np.zeros(S, dtype) if initial is None else np.array(initial, dtype)
    flags = np.zeros((T + 1, *S), bool)  # flags[T] belongs to the step after the last, which opens nothing
    if resets is not None:
        resets = np.asarray(resets)
        flags[:T] = np.broadcast_to(resets.reshape(resets.shape + (1,) * (inputs.ndim - resets.ndim)), inputs.shape)
    states = np.zeros(inputs.shape, dtype)
    for t in range(T)[:: -1 if reverse else 1]:
        state = np.where(flags[t + 1 if reverse else t], 0, state)
        state = (decay[t] if decay.ndim == inputs.ndim else decay) * state + inputs[t]
        states[t] = state
    return states


def loop_gradient(decay, inputs, initial, resets, cotangent, reverse=False):
    """Gradients of sum(Re(cotangent * states)) by finite algebra: each input's effect is followed forward on its own.

    Written from the definition, not from the adjoint: the effect of input s on state t is the product of the decays
    between them, or zero if a reset lies between.
    """
    decay, inputs = np.asarray(decay), np.asarray(inputs)
    T, S = inputs.shape[0], inputs.shape[1:]
    dtype = np.result_type(decay, inputs, np.float64)
    full_decay = np.broadcast_to(decay, inputs.shape).astype(dtype)
    flags = np.zeros(inputs.shape, bool)
    if resets is not None:
        resets = np.asarray(resets)
        flags[:] = resets.reshape(resets.shape + (1,) * (inputs.ndim - resets.ndim))
    if reverse:
        flags = np.concatenate([flags[1:], np.zeros((1, *S), bool)])[::-1]
        full_decay, inputs, cotangent = full_decay[::-1], inputs[::-1], cotangent[::-1]
    carried = np.concatenate([np.asarray(initial, dtype)[None], np.zeros((T, *S), dtype)])
    for t in range(T):
        carried[t + 1] = full_decay[t] * np.where(flags[t], 0, carried[t]) + inputs[t]
    grad_decay, grad_inputs, grad_initial = np.zeros((T, *S), dtype), np.zeros((T, *S), dtype), np.zeros(S, dtype)
    for s in range(-1, T):  # s = -1 is the initial state
        effect = np.ones(S, dtype)
        total = np.zeros(S, dtype) if s < 0 else cotangent[s].astype(dtype)
        for t in range(s + 1, T):
            effect = np.where(flags[t], 0, effect * full_decay[t])
            total = total + effect * cotangent[t]
        if s < 0:
            grad_initial = total
        else:
            grad_inputs[s] = total
            grad_decay[s] = np.where(flags[s], 0, carried[s]) * total
    if reverse:
        grad_decay, grad_inputs = grad_decay[::-1], grad_inputs[::-1]
    if decay.ndim < inputs.ndim:
        grad_decay = grad_decay.sum(0)
    return _sum_to(grad_decay, decay.shape), grad_inputs, grad_initial


def _sum_to(value, shape):
    value = value.sum(tuple(range(value.ndim - len(shape))))
    return value.sum(tuple(i for i, n in enumerate(shape) if value.shape[i] != n), keepdims=True)
