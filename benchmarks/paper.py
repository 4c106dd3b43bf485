"""The RL paper's scan and network, as its released code computes them, to be measured beside ours.

Lu et al. 2023 (arXiv 2303.03982), section 3.1; luchris429/popjaxrl, algorithms/s5.py: the three-tuple operator under
``lax.associative_scan``, vmapped over the batch, with the initial state as an element of its own, complex matrix products, and
matrices discretised on every call. Ours to write, theirs in what is computed and in which order.
"""

import jax
import jax.numpy as jnp
from jax import lax

from s5lib.discretize import zoh
from s5lib.s5 import S5Stack

__all__ = ["PaperStack", "paper_operator", "paper_scan", "paper_stack"]


def paper_operator(left, right):
    """Combine (A, b, c) triples, c = 1.0 where an episode opens; the masks multiply."""
    a_l, b_l, c_l = left
    a_r, b_r, c_r = right
    return (a_r * a_l) * (1 - c_r) + a_r * c_r, (a_r * b_l + b_r) * (1 - c_r) + b_r * c_r, c_l * (1 - c_r) + c_r


def paper_scan(decay, inputs, initial, resets):
    """decay (P,), inputs (T, B, P), initial (B, P), resets (T, B) -> states (T, B, P)."""

    def one(inputs, initial, resets):
        a = jnp.concatenate([jnp.ones_like(decay)[None], jnp.broadcast_to(decay, inputs.shape)])
        b = jnp.concatenate([initial[None], inputs])
        c = jnp.concatenate([jnp.zeros(1), resets.astype(jnp.float32)])[:, None]
        return lax.associative_scan(paper_operator, (a, b, c))[1][1:]

    return jax.vmap(one, in_axes=(1, 0, 1), out_axes=1)(inputs, initial, resets)


def paper_stack(params, carry, x, resets):
    """Run the network on the parameters of an ``S5Stack`` with norm="none" and activation="full_glu"."""
    last = []
    for index, initial in enumerate(carry):
        block = params["params"][f"stack_{index}"]
        p = block["ssm"]
        Lambda = lax.complex(jnp.minimum(p["Lambda_re"], -1e-4), p["Lambda_im"])
        B_tilde, C_tilde = (lax.complex(p[name][..., 0], p[name][..., 1]) for name in ("B_tilde", "C_tilde"))
        Lambda_bar, B_bar = zoh(Lambda, B_tilde, jnp.exp(p["log_step"]))
        states = paper_scan(Lambda_bar, x.astype(jnp.complex64) @ B_bar.T, initial, resets)
        activated = jax.nn.gelu(2 * (states @ C_tilde.T).real + p["D"] * x)
        value, gate = jnp.split(activated @ block["gate"]["kernel"] + block["gate"]["bias"], 2, axis=-1)
        x = x + value * jax.nn.sigmoid(gate)
        last.append(states[-1])
    return tuple(last), x


class PaperStack(S5Stack):
    """An ``S5Stack`` that computes as ``paper_stack`` does, acting too: same parameters, same values."""

    def prepare(self):
        return ()

    def __call__(self, carry, x, resets=None, prepared=None):
        if self.is_initializing():
            return super().__call__(carry, x, resets)
        return paper_stack(self.variables, carry, x, resets)
