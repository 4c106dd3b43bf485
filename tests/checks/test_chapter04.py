"""The graders of chapter 4: right answers, the stub, and plausible mistakes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from s5lib import checks
from s5lib.hippo import hippo_eig
from s5lib.s5 import S5SSM, S5Block
from tests.checks.grading import assert_graded, stub


def test_block_parameters():
    ssm, norm, gate = 60 + 8000 + 100, 200, 20200
    right = ssm + norm + gate
    assert_graded(
        checks.check_block_parameters,
        right=[right, float(right), np.int64(right)],
        wrong=[
            ssm,
            ssm + gate,
            ssm + norm,
            right - 100,
            right - 20,
            right - 10100,
            right - 4020,
            7,
            "many",
        ],
    )
    block = S5Block(S5SSM(features=100, state_size=40))
    params = jax.eval_shape(block.init, jax.random.key(0), block.initial_carry(1), jnp.ones((1, 1, 100)))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == right


def s5_step(prepared, D, carry, u, reset, clear=None, gain=1, skip=1, late=False, driven_too=1, flip=False):
    driven = jax.lax.complex(*jnp.split(u @ prepared.B_stacked, 2, axis=-1))
    clear = clear or (lambda flag, state: jnp.where(flag[:, None], 0, state))
    previous = carry if late else clear(~reset if flip else reset, carry)
    state = prepared.Lambda_bar * previous + driven_too * driven
    state = clear(reset, state) if late else state
    y = gain * jnp.concatenate([state.real, state.imag], axis=-1) @ prepared.C_stacked + skip * D * u
    return state, y


def test_s5_step():
    assert_graded(
        checks.check_s5_step,
        right=[s5_step, lambda *a: list(s5_step(*a))],
        wrong=[
            lambda *a: s5_step(*a, clear=lambda flag, state: state),
            lambda *a: s5_step(*a, late=True),
            lambda *a: s5_step(*a, flip=True),
            lambda *a: s5_step(*a, clear=lambda flag, state: state * (1 - flag[:, None])),  # NaN survives
            lambda *a: s5_step(*a, gain=2),
            lambda *a: s5_step(*a, skip=0),
            lambda *a: s5_step(*a, driven_too=0),
            lambda *a: s5_step(*a)[1],
            lambda prepared, *a: s5_step(prepared._replace(Lambda_bar=1), *a),
            lambda *a: (s5_step(*a)[0], s5_step(*a)[0]),
        ],
        stub=stub,
    )
    assert "NaN" in checks.check_s5_step(lambda *a: s5_step(*a, clear=lambda f, s: s * (1 - f[:, None]))).message


def test_block_start():
    def blocks(N, J, arrange=np.tile):
        Lambda, V = hippo_eig(N // J)
        return arrange(Lambda, J), scipy.linalg.block_diag(*[V] * J)

    def shuffled(N, J):  # another order, other phases, the other half of the pairs: as right
        Lambda, V = hippo_eig(N, J)
        order = np.random.default_rng(0).permutation(N // 2)
        return Lambda[order].conj(), V[:, order].conj() * np.exp(1j * np.arange(N // 2))

    def twice(N, J):  # the first pair whole, the last pair not at all
        Lambda, V = hippo_eig(N, J)
        return np.append(Lambda[:-1], Lambda[0].conj()), np.column_stack([V[:, :-1], V[:, 0].conj()])

    assert_graded(
        checks.check_block_start,
        right=[blocks, lambda N, J: hippo_eig(N, J), shuffled],
        wrong=[
            lambda N, J: blocks(N, J, np.repeat),
            lambda N, J: hippo_eig(N),
            lambda N, J: hippo_eig(N, J, conjugate=False),
            lambda N, J: hippo_eig(N // J),
            lambda N, J: (blocks(N, J)[0], np.vstack([hippo_eig(N // J)[1]] * J)),
            lambda N, J: (blocks(N, J)[0], 2 * blocks(N, J)[1]),
            lambda N, J: (-blocks(N, J)[0], blocks(N, J)[1]),
            lambda N, J: blocks(N, J)[0],
            twice,
        ],
        stub=stub,
    )


def test_steps_to_overflow():
    @partial(jax.jit, static_argnames="clip")
    def output(growth, step, clip):
        ssm = S5SSM(features=1, state_size=2, clip_eigs=clip)
        params = ssm.init(jax.random.key(0), ssm.initial_carry(1), jnp.ones((1, 1, 1)))["params"]
        given = {"Lambda_re": growth[None], "Lambda_im": jnp.zeros(1), "log_step": jnp.log(step)[None]}
        return ssm.apply({"params": {**params, **given}}, ssm.initial_carry(1), jnp.ones((4000, 1, 1)))[1]

    def simulated(growth, step, clip=False):
        return int(np.argmax(~np.isfinite(output(jnp.float32(growth), jnp.float32(step), clip)))) + 1

    assert_graded(
        checks.check_steps_to_overflow,
        right=[simulated, lambda growth, step: 88.7 / (growth * step)],
        wrong=[
            lambda growth, step: simulated(growth, step, clip=True),
            lambda growth, step: 88.7 / growth,
            lambda growth, step: 709.8 / (growth * step),
            lambda growth, step: np.inf,
            lambda growth, step: np.ones(3),
            lambda growth, step: 40.0,
        ],
        stub=stub,
    )
