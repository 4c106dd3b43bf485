"""An S5 block in float64 NumPy, written from the paper's equations with one Python loop over time and nothing shared with s5lib.

Smith et al. 2023 (arXiv 2208.04933), sections 2.1 and 3: the conjugate half of the states is written out in full here, the
matrices stay complex, and the zero-order hold solves the equation with a matrix exponential.
"""

import numpy as np
import scipy.linalg


def discretise(Lambda, B, step, rule):
    """One state at a time, by the exponential of the augmented matrix [[Lambda, B], [0, 0]] or by solving the bilinear step."""
    P, H = B.shape
    Lambda_bar, B_bar = np.zeros(P, complex), np.zeros((P, H), complex)
    for p in range(P):
        if rule == "zoh":
            augmented = np.zeros((1 + H, 1 + H), complex)
            augmented[0, 0], augmented[0, 1:] = Lambda[p], B[p]
            exponential = scipy.linalg.expm(augmented * step[p])
            Lambda_bar[p], B_bar[p] = exponential[0, 0], exponential[0, 1:]
        else:
            left = 1 - Lambda[p] * step[p] / 2
            Lambda_bar[p], B_bar[p] = (1 + Lambda[p] * step[p] / 2) / left, step[p] * B[p] / left
    return Lambda_bar, B_bar


def ssm(parameters, u, resets, state, rule="zoh", clip=True, scale=1.0):
    """u (T, B, H) -> y (T, B, H) and the last state (B, P), with all 2P conjugate states carried."""
    p = {name: np.asarray(value, np.float64) for name, value in parameters.items()}
    real = np.minimum(p["Lambda_re"], -1e-4) if clip else p["Lambda_re"]
    Lambda = real + 1j * p["Lambda_im"]
    B, C = p["B_tilde"][..., 0] + 1j * p["B_tilde"][..., 1], p["C_tilde"][..., 0] + 1j * p["C_tilde"][..., 1]
    step = scale * np.exp(p["log_step"])
    Lambda, B, C, step = (
        np.concatenate([Lambda, Lambda.conj()]),
        np.concatenate([B, B.conj()]),
        np.concatenate([C, C.conj()], 1),
        np.concatenate([step, step]),
    )
    Lambda_bar, B_bar = discretise(Lambda, B, step, rule)
    state = np.concatenate([state, state.conj()], 1).astype(complex)
    y = np.zeros(u.shape)
    for t in range(u.shape[0]):
        for b in range(u.shape[1]):
            if resets[t, b]:
                state[b] = 0
            state[b] = Lambda_bar * state[b] + B_bar @ u[t, b]
            output = C @ state[b]
            assert np.abs(output.imag).max() < 1e-9 * max(1, np.abs(output).max())  # conjugates cancel
            y[t, b] = output.real + p["D"] * u[t, b]
    return y, state[:, : state.shape[1] // 2]


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def block(parameters, x, resets, state, activation="full_glu", norm="layer", **options):
    """Norm, SSM, gate, residual."""
    u = x
    if norm != "none":
        weights = {name: np.asarray(value, np.float64) for name, value in parameters["normalise"].items()}
        centred = x - x.mean(-1, keepdims=True) if norm == "layer" else x
        u = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * weights["scale"] + weights.get("bias", 0)
    y, state = ssm(parameters["ssm"], u, resets, state, **options)
    activated = gelu(y)
    if activation != "gelu":
        kernel, bias = (np.asarray(parameters["gate"][name], np.float64) for name in ("kernel", "bias"))
        gate = activated @ kernel + bias
        if activation == "full_glu":
            H = x.shape[-1]
            activated = gate[..., :H] * sigmoid(gate[..., H:])
        else:
            activated = (activated if activation == "half_glu1" else y) * sigmoid(gate)
    return x + activated, state
