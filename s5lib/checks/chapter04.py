"""Graders of chapter 4: the S5 layer."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from s5lib.checks.grading import Hint, call, compare, graded, parts, same
from s5lib.hippo import hippo_eig, hippo_normal
from s5lib.s5 import PreparedSSM

__all__ = ["check_block_parameters", "check_block_start", "check_s5_step", "check_steps_to_overflow"]


@graded
def check_block_parameters(answer: float) -> str:
    """Exercise 04-1: the real parameters of S5Block(S5SSM(features=100, state_size=40))."""
    H, N = 100, 40
    P = N // 2
    ssm, norm, gate = 3 * P + 4 * P * H + H, 2 * H, 2 * H * H + 2 * H
    whole = ssm + norm + gate
    mistakes = {
        "You counted N complex states; of each conjugate pair one is kept, so P = N/2.": whole + ssm - H,
        "A complex number counts as two: B_tilde and C_tilde have P·H complex entries each, Lambda has P.": whole
        - P
        - 2 * P * H,
        "That is the SSM alone; the block also has a layer norm and the dense layer of the gate.": ssm,
        "2H numbers are missing: the layer norm's scale and bias, or the bias of the gate's dense layer.": whole
        - 2 * H,
        "The gate is missing: a dense layer from H to 2H.": whole - gate,
        "`full_glu` needs a value and a gate, so its dense layer goes from H to 2H.": whole - H * H - H,
        "H numbers are missing: the skip weights D are H, and the norm has a scale and a bias of H each.": whole - H,
        "P numbers are missing: each state has a log_step of its own, and its Lambda, complex, counts as two.": whole
        - P,
    }
    compare(np.asarray(answer, dtype=float), whole, mistakes, what="The number", rtol=0, atol=0.5)
    return f"{ssm} in the SSM, {norm} in the norm, {gate} in the gate: the gate has {gate / whole:.0%} of them."


@graded
def check_s5_step(answer: Callable) -> str:
    """Exercise 04-2: one step of S5SSM from its prepared matrices, with resets."""
    rng = np.random.default_rng(4)
    B, P, H = 5, 4, 3
    Lambda_bar, B_stacked, C_stacked = (
        rng.random(P) * np.exp(1j * np.arange(P)),
        rng.random((H, 2 * P)),
        rng.random((2 * P, H)),
    )
    carry, u, D = (
        rng.normal(size=(B, P)) + 1j * rng.normal(size=(B, P)),
        rng.normal(size=(B, H)),
        np.array([1.0, -2.0, 0.5]),
    )
    reset = np.array([True, False, False, True, False])
    driven, kept = u @ B_stacked @ np.vstack([np.eye(P), 1j * np.eye(P)]), np.where(reset[:, None], 0, carry)
    state = Lambda_bar * kept + driven

    def read(state: np.ndarray) -> np.ndarray:
        return np.concatenate([state.real, state.imag], axis=-1) @ C_stacked

    def ask(carry: np.ndarray) -> tuple:
        complex_, real = (lambda z: jnp.asarray(z, jnp.complex64)), (lambda z: jnp.asarray(z, jnp.float32))
        prepared = PreparedSSM(complex_(Lambda_bar), real(B_stacked), real(C_stacked))
        result = call(answer, prepared, real(D), complex_(carry), real(u), jnp.asarray(reset))
        return parts(result, 2, "the new carry and the output")

    got_state, got_y = ask(carry)
    states = {
        "The flags are ignored: a state must not see what came before a reset.": Lambda_bar * carry + driven,
        "The reset also erased this step's input. It clears the previous state; the input opens the new episode.": np.where(
            reset[:, None], 0, state
        ),
        "The flags are upside down: True means that this input opens an episode.": Lambda_bar * (carry - kept) + driven,
        "The input is not added to the state.": Lambda_bar * kept,
        "The state is not multiplied by Lambda_bar.": kept + driven,
    }
    compare(got_state, state, states, what="The new carry", rtol=1e-3)
    outputs = {
        "The output lacks D * u, what passes by the state.": read(state),
        "The output reads the previous state; it should read the new one.": read(kept) + D * u,
        "The factor 2 of the conjugates is inside C_stacked already.": 2 * read(state) + D * u,
    }
    compare(got_y, read(state) + D * u, outputs, what="The output", rtol=1e-3, atol=1e-4)
    if not all(np.isfinite(np.asarray(part)).all() for part in ask(np.where(reset[:, None], np.nan, carry))):
        raise Hint(
            "A NaN in the carry survives the reset: `0 * nan` is NaN. Select with `jnp.where`, before multiplying."
        )
    return "equal to S5SSM's own step, and a reset stops NaN."


@graded
def check_block_start(answer: Callable) -> str:
    """Exercise 04-3: eigenvalues and eigenvectors of J HiPPO blocks; any order, phase and half of the pairs will do."""
    for N, J in ((8, 2), (12, 3), (16, 1)):
        result = parts(call(answer, N, J), 2, "Lambda and V")
        Lambda, V = np.asarray(result[0]), np.asarray(result[1])
        where = f"For N = {N}, J = {J}: "
        size, P = N // J, N // 2
        if Lambda.shape == (N,):
            raise Hint(f"{where}keep one of each conjugate pair: Lambda should have shape `({P},)`.")
        if Lambda.shape == (size // 2,) and J > 1:
            raise Hint(f"{where}that is one block; Lambda needs the eigenvalues of all {J}.")
        if Lambda.shape != (P,) or V.shape != (N, P):
            raise Hint(
                f"{where}Lambda has shape `{Lambda.shape}` and V `{V.shape}`; they should have `({P},)` and `({N}, {P})`."
            )
        if Lambda.real.max() > 0:
            raise Hint(f"{where}the real parts are positive; a state that forgets has Re λ < 0, here -1/2.")
        S = np.kron(np.eye(J), hippo_normal(size))
        if J > 1 and same(np.sort(np.abs(Lambda.imag)), np.sort(hippo_eig(N)[0].imag), rtol=1e-3):
            raise Hint(
                f"{where}that is one HiPPO matrix of size N; each block has a HiPPO matrix of size N/J of its own."
            )
        if not same(S @ V, V * Lambda, rtol=1e-3, atol=1e-3 * np.abs(S).max()):
            alone = same(np.sort(np.abs(Lambda.imag)), np.sort(np.tile(hippo_eig(size)[0].imag, J)), rtol=1e-3)
            why = (
                "the eigenvalues are right, but not in the order of V's columns (did you use repeat instead of tile?), "
                "or V's blocks are not down the diagonal."
                if alone
                else "S V differs from V diag(Lambda)."
            )
            raise Hint(where + why)
        if not same(V.conj().T @ V, np.eye(P), rtol=0, atol=1e-3):
            raise Hint(f"{where}V solves S V = V diag(Lambda), but its columns are not orthonormal.")
        if np.abs(V.T @ V).max() > 1e-3:
            raise Hint(f"{where}some pair is there twice and another not at all: keep one of each.")
    return "V diag(Lambda) V*, with its conjugate added, is the block-diagonal matrix."


@graded
def check_steps_to_overflow(answer: Callable) -> str:
    """Exercise 04-4: how long a growing state stays finite in float32."""
    for growth, step in ((0.5, 0.1), (0.2, 0.5)):
        right = np.log(np.finfo(np.float32).max) / (growth * step)
        mistakes = {
            "It never overflowed: is `clip_eigs=False`, and is `Lambda_re` really set to the growth?": 1.0,
            "You forgot the step: growth is per unit of time, and each sample lasts `step`.": right * step,
            "That is float64's limit; the layer computes in float32.": np.log(np.finfo(np.float64).max)
            / (growth * step),
        }
        value = np.asarray(call(answer, growth, step), dtype=float)
        if value.shape != ():
            raise Hint(f"Return one number of time steps; got an array of shape `{value.shape}`.")
        for hint, wrong in mistakes.items():
            if abs(value / wrong - 1) < 0.1:
                raise Hint(hint)
        if not np.isfinite(value) or abs(value / right - 1) > 0.1:
            raise Hint(
                f"For growth {growth} and step {step} you have {value:g} time steps; a state that grows as exp(growth·step·t) "
                "passes 3.4e38 elsewhere. Did you run long enough, and look at the first step that is not finite?"
            )
    return f"about ln(3.4e38) / (growth·step): {right:.0f} time steps for growth {growth} and step {step}."
