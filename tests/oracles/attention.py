"""A windowed causal Transformer in float64 NumPy: one query at a time, over the list of steps that it may see."""

import math

import numpy as np


def norm(x, p):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * p["scale"] + p["bias"]


def dense(x, p):
    largest = np.linalg.norm(p["kernel"], 2) / p["gamma"] if "gamma" in p else 1
    return x @ (p["kernel"] / largest) + p["bias"]


def gelu(x):  # the tanh form, as jax.nn.gelu
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def score(q, k, distance):
    """q . R k / sqrt(d), R turning pair i by ``-distance * 10000^(-2 i / d)``: written with complex numbers."""
    half = len(q) // 2
    turn = np.exp(1j * distance * 10000.0 ** (-np.arange(half) / half))
    return ((q[:half] + 1j * q[half:]) * turn * np.conj(k[:half] + 1j * k[half:])).real.sum() / math.sqrt(len(q))


def attention(x, resets, p, heads, window):
    """x (T, H) of one sequence to the mixed values (T, H): for each step, a softmax over the steps it sees."""
    q, k, v = np.split(dense(x, p["qkv"]), 3, axis=-1)
    width = x.shape[1] // heads
    mixed = np.zeros_like(x)
    for t in range(len(x)):
        opened = max([s for s in range(t + 1) if resets[s]], default=0)
        seen = range(max(opened, t - window), t + 1)
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            weights = np.exp([score(q[t, part], k[s, part], t - s) for s in seen])
            mixed[t, part] = weights / weights.sum() @ v[list(seen), part]
            mixed[t, part] *= p.get("head_scale", np.ones((heads, 1)))[head]
    mixed = dense(mixed, p["out"])
    return norm(mixed, p["norm_after"]) if "norm_after" in p else mixed


def transformer(params, x, resets, heads, window):
    """x (T, B, H), resets (T, B) to y (T, B, H), for the parameters of ``s5lib.memory.Transformer``."""
    outputs = []
    for b in range(x.shape[1]):
        stream = x[:, b]
        for index in range(sum(name.startswith("block") for name in params)):
            p = params[f"block_{index}"]
            stream = stream + attention(norm(stream, p["norm"]), resets[:, b], p, heads, window)
            hidden = gelu(dense(norm(stream, p["mlp"]["norm"]), p["mlp"]["up"]))
            hidden = norm(hidden, p["mlp"]["inner_norm"]) if "inner_norm" in p["mlp"] else hidden
            stream = stream + dense(hidden, p["mlp"]["down"])
        outputs.append(norm(stream, params["norm"]))
    return np.stack(outputs, axis=1)
