"""Every check passes right answers, knows a stub, gives each plausible mistake its own hint, and never raises."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from s5lib import checks, linear_scan
from s5lib.checks import Hint, Verdict, call, compare, graded, parts
from s5lib.hippo import hippo_eig
from s5lib.s5 import S5SSM, S5Block


@graded
def check_double(answer):
    for x in (3.0, np.arange(4.0)):
        compare(call(answer, x), 2 * x, {"That is the square.": x**2, "You returned x itself.": x})
    return "it doubles."


def assert_graded(check, right, wrong, stub=None):
    """Right answers pass, the stub is not written yet, and the wrong answers each get a hint of their own."""
    for answer in right:
        verdict = check(answer)
        assert isinstance(verdict, Verdict) and verdict.passed, verdict
    for answer in (None, ..., *([stub] if stub else [])):
        verdict = check(answer)
        assert not verdict and verdict.message.startswith("Not written yet"), verdict
    hints = [check(answer) for answer in wrong]
    assert not any(hints), hints
    messages = [verdict.message for verdict in hints]
    assert len(set(messages)) == len(messages), f"two wrong answers share a hint: {messages}"


def stub(*args, **options):
    raise NotImplementedError


def test_graded():
    assert_graded(
        check_double,
        right=[lambda x: 2 * x, lambda x: x + x],
        wrong=[lambda x: x**2, lambda x: x, lambda x: x.shape, lambda x: np.zeros(7), lambda x: "six", lambda: 6, 6.0],
        stub=stub,
    )
    assert check_double(lambda x: x**2).message == "That is the square."
    assert "AttributeError" in check_double(lambda x: x.shape).message
    assert "shape" in check_double(lambda x: np.zeros(7)).message
    assert not check_double(lambda x: None) and "Not written" in check_double(lambda x: ...).message


@pytest.mark.parametrize(
    ("value", "expected", "said"),
    [
        (np.zeros(3), np.zeros((3, 1)), "shape `(3,)`"),
        ([1.0, np.nan], [1.0, 2.0], "NaN"),
        ([1.0, 2.5], [1.0, 2.0], "first at `[1]`: 2.5 instead of 2"),
        ([1.0, 2j], [1.0, 2.0], "complex"),
        ("abc", 1.0, "dtype"),
        ([[1], [2, 3]], [1.0], "not an array"),
        (4.0, 5.0, "is 4, which is not right"),
        (True, False, "is True"),
        ([True, False], [True, True], "first at `[1]`"),
    ],
)
def test_compare(value, expected, said):
    with pytest.raises(Hint) as caught:
        compare(value, expected)
    assert said in str(caught.value)


def test_parts():
    assert parts([1, 2], 2, "a and b") == (1, 2)
    for wrong in (3, (1, 2, 3)):
        with pytest.raises(Hint, match="Return 2 values, a and b"):
            parts(wrong, 2, "a and b")


def test_verdict_shows_itself():
    good, bad = Verdict(True, "it runs."), Verdict(False, "use `a < b` & think")
    assert repr(good) == "Passed: it runs." and repr(bad).startswith("Not yet: use")
    assert repr(check_double(...)).startswith("Not written yet: replace the stub")
    assert "Not written yet:</strong> replace" in check_double(...)._repr_html_()
    assert "a &lt; b</code> &amp; think" in bad._repr_html_()
    assert "background:" in good._repr_html_() and "color:" in good._repr_html_()


def test_every_check_is_public():
    names = [name for name in vars(checks) if name.startswith("check_")]
    assert sorted(set(checks.__all__)) == sorted([*names, "Verdict"])


# --- chapter 1


def test_fade_step():
    assert_graded(
        checks.check_fade_step,
        right=[0.002, 2 / 1000, np.float32(0.002), np.array(0.002)],
        wrong=[0.001, 0.0005, 500, 2000.0, 2 * np.log(2) / 1000, 0.3, "0.002", [0.002, 0.002]],
    )


def recall_at(position, scaled=True):
    def recall(x, t, k):
        n = np.arange(len(x))
        curves = np.polynomial.legendre.legvander([2 * position(t, k) - 1], len(x) - 1)[0]
        return float(x @ (curves * np.sqrt(2 * n + 1) if scaled else curves))

    return recall


def test_recall():
    middle = recall_at(lambda t, k: (t - k - 0.5) / t)
    assert_graded(
        checks.check_recall,
        right=[
            middle,
            lambda x, t, k: np.array([middle(x, t, k)]),
            lambda x, t, k: np.float32(middle(x, t, k)).astype(float),
        ],
        wrong=[
            recall_at(lambda t, k: (k + 0.5) / t),
            recall_at(lambda t, k: (t - k) / t),
            recall_at(lambda t, k: (t - k - 1) / t),
            recall_at(lambda t, k: (t - k - 0.5) / t, scaled=False),
            recall_at(lambda t, k: np.exp(-k)),
            lambda x, t, k: x,
        ],
        stub=stub,
    )


def kernel_from_half(Lambda, V, B, s):
    return 2 * ((np.exp(np.outer(s, Lambda)) * (V.conj().T @ B)) @ V.T).real


def test_kernel_from_half():
    def waves(Lambda, s):
        return np.exp(np.outer(s, Lambda))

    assert_graded(
        checks.check_kernel_from_half,
        right=[
            kernel_from_half,
            lambda Lambda, V, B, s: 2 * np.einsum("np,kp,p->kn", V, waves(Lambda, s), V.conj().T @ B).real,
            lambda Lambda, V, B, s: jnp.asarray(kernel_from_half(Lambda, V, B, s)),
        ],
        wrong=[
            lambda Lambda, V, B, s: kernel_from_half(Lambda, V, B, s) / 2,
            lambda Lambda, V, B, s: 2 * (waves(Lambda, s) * (V.conj().T @ B)) @ V.T,
            lambda Lambda, V, B, s: 2 * ((waves(Lambda, s) * (V.T @ B)) @ V.T).real,
            lambda Lambda, V, B, s: 2 * (waves(Lambda, s) * (V.conj().T @ B)).real @ V.real.T,
            lambda Lambda, V, B, s: 2 * ((waves(Lambda, s) * (V.conj().T @ B)) @ V.conj().T).real,
            lambda Lambda, V, B, s: kernel_from_half(Lambda, V, B, s).T,
            lambda Lambda, V, B, s: np.zeros((7, 7)),
        ],
        stub=stub,
    )


def test_best_step():
    assert_graded(
        checks.check_best_step,
        right=[0.025, np.float32(0.023)],
        wrong=[0.003, 0.05, 150, [0.01, 0.02], 2 / 1000],
    )
    assert "too small" in checks.check_best_step(0.002).message
    assert "too large" in checks.check_best_step(0.1).message


# --- chapter 2


def test_step_for_half_life():
    right = 2 * np.log(2) / 50
    assert_graded(
        checks.check_step_for_half_life,
        right=[right, 0.0277, np.float32(right), jnp.asarray(right)],
        wrong=[right / 4, right / 2, 2 / 50, 50, 1 / right, right / 16, right / 8, 0.5, "0.03"],
    )
    assert "per frame" in checks.check_step_for_half_life(right / 4).message


def test_largest_euler_step():
    def limits(Lambda):
        return -2 * Lambda.real / np.abs(Lambda) ** 2

    assert_graded(
        checks.check_largest_euler_step,
        right=[
            lambda L: limits(L).min(),
            lambda L: float(limits(L).min()),
            lambda L: jnp.min(-2 * jnp.real(L) / jnp.abs(L) ** 2),
        ],
        wrong=[
            lambda L: np.min(2 / np.abs(L)),
            lambda L: np.min(-2 / L.real),
            lambda L: np.max(limits(L)),
            lambda L: np.min(limits(L)) / 2,
            lambda L: -np.min(limits(L)),
            limits,
            lambda L: 0.1,
            0.1,
        ],
        stub=stub,
    )
    assert "real λ only" in checks.check_largest_euler_step(lambda L: np.min(2 / np.abs(L))).message


def phi_2(z, seam=1.0, terms=14, patched=False):
    z = jnp.asarray(z)
    small = jnp.abs(z) < seam
    near, far = (z, z) if patched else (jnp.where(small, z, 0.0), jnp.where(small, 1.0, z))
    series = jnp.ones_like(z)
    for k in range(terms, 2, -1):
        series = 1 + near / k * series
    return jnp.where(small, series / 2, (jnp.expm1(far) - far) / far**2)


def test_phi_2():
    def naive(z):
        return (jnp.exp(z) - 1 - z) / z**2

    assert_graded(
        checks.check_phi_2,
        right=[phi_2, lambda z: phi_2(z, seam=0.5), lambda z: phi_2(z, seam=2.0, terms=22)],
        wrong=[
            naive,
            lambda z: jnp.where(z == 0, 0.5, naive(z)),  # the digits go long before 0
            lambda z: phi_2(z, patched=True),  # one where too few: the gradient is NaN
            lambda z: phi_2(jnp.where(jnp.abs(z) < 1e-5, 0.0, z)),  # flat near 0
            lambda z: phi_2(z, terms=4),
            lambda z: jnp.where(z == 0, 1, jnp.expm1(z) / jnp.where(z == 0, 1, z)),
            lambda z: 0.5,
        ],
        stub=stub,
    )
    assert "second `where`" in checks.check_phi_2(lambda z: phi_2(z, patched=True)).message


def uneven(Lambda, B_tilde, values, durations, gain=lambda L, d: np.expm1(L * d) / L, decay=lambda L, d: np.exp(L * d)):
    x, states = np.zeros(len(Lambda), complex), []
    for value, duration in zip(values, durations, strict=True):
        x = decay(Lambda, duration) * x + gain(Lambda, duration) * B_tilde * value
        states.append(x)
    return np.array(states)


def test_run_uneven():
    assert_graded(
        checks.check_run_uneven,
        right=[uneven, lambda *a: uneven(*a).astype(np.complex64)],
        wrong=[
            lambda L, B, u, d: uneven(L, B, u, np.full_like(d, d.mean())),
            lambda L, B, u, d: uneven(L, B, u, np.roll(d, -1)),
            lambda L, B, u, d: uneven(L, B, u, np.roll(d, 1)),
            lambda *a: uneven(*a, gain=lambda L, d: d),
            lambda *a: uneven(*a, gain=lambda L, d: 1.0),
            lambda *a: uneven(*a, gain=lambda L, d: d, decay=lambda L, d: 1 + L * d),
            lambda *a: np.vstack([np.zeros(len(a[0])), uneven(*a)[:-1]]),
            lambda *a: uneven(*a).real,
            lambda *a: uneven(*a).T,
        ],
        stub=stub,
    )
    own, mean = (
        float(score) for score in re.findall(r"(?:R² =|it has) (-?\d\.\d\d)", checks.check_run_uneven(uneven).message)
    )
    assert own > 0.9 > 0.5 > mean


# --- chapter 3


def test_merged_element():
    assert_graded(
        checks.check_merged_element,
        right=[(1 / 4, 6.5, True), [0.25, 6.5, 1], (np.float32(0.25), jnp.float32(6.5), np.bool_(True))],
        wrong=[
            (1 / 8, 6.75, True),
            (0, 6.5, True),
            (1 / 4, 5, True),
            (1 / 2, 5, True),
            (1 / 4, 5.5, True),
            (1 / 4, 6.75, True),
            (1 / 4, 6.5, False),
            (1 / 4, 6.5, "up"),
            (1 / 4, 6.5),
            6.5,
        ],
    )
    assert checks.check_merged_element((..., 6.5, True)).passed is False


def law_test(combine, patterns=range(8), exact=False, part=lambda result: (*result[0], result[1])):
    rng = np.random.default_rng(0)
    for i in patterns:
        x, y, z = ((tuple(jnp.float32(rng.normal(size=(2, 50)))), jnp.full(50, bool(i & bit))) for bit in (4, 2, 1))
        one, other = part(combine(combine(x, y), z)), part(combine(x, combine(y, z)))
        rtol, atol = (0, 0) if exact else (1e-4, 1e-5)
        if not all(np.allclose(p, q, rtol=rtol, atol=atol) for p, q in zip(one, other, strict=True)):
            return False
    return True


def test_law_test():
    assert_graded(
        checks.check_law_test,
        right=[law_test, lambda combine: np.bool_(law_test(combine)), lambda combine: jnp.array(law_test(combine))],
        wrong=[
            lambda combine: True,
            lambda combine: law_test(combine, exact=True),
            lambda combine: law_test(combine, patterns=(0, 1, 2, 4)),  # one flag at a time
            lambda combine: law_test(combine, part=lambda result: result[0]),  # the flags are not compared
            lambda combine: law_test(combine, part=lambda result: (result[0][1], result[1])),  # nor is a
            lambda combine: 0.0,
        ],
        stub=stub,
    )
    assert "exclusive or" in checks.check_law_test(lambda combine: law_test(combine, patterns=(0, 1, 2, 4))).message


def fixed_resets(terminated, truncated, prev_ended):
    return jnp.concatenate([prev_ended[None], (terminated | truncated)[:-1]])


def test_resets_from_flags():
    assert_graded(
        checks.check_resets_from_flags,
        right=[fixed_resets, lambda *flags: np.asarray(fixed_resets(*flags))],
        wrong=[
            lambda d, c, p: d | c,
            lambda d, c, p: jnp.roll(d | c, 1, axis=0),
            lambda d, c, p: jnp.roll(d | c, -1, axis=0),
            lambda d, c, p: jnp.concatenate([(d | c)[1:], jnp.zeros_like(d[:1])]),
            lambda d, c, p: fixed_resets(d, c, jnp.zeros_like(p)),
            lambda d, c, p: fixed_resets(d, c, jnp.ones_like(p)),
            lambda d, c, p: fixed_resets(d, d, p),
            lambda d, c, p: fixed_resets(c, c, p),
            lambda d, c, p: ~fixed_resets(d, c, p),
            lambda d, c, p: fixed_resets(d, c, p).astype(jnp.float32),
            lambda d, c, p: jnp.concatenate([p[None], d | c]),
        ],
        stub=stub,
    )


def test_discounted_returns():
    def scan(rewards, resets, gamma, value, reverse=True):
        return linear_scan(gamma, rewards, value, resets, reverse=reverse)

    def loop(rewards, resets, gamma, value):
        G, out = value, []
        for t in reversed(range(len(rewards))):
            following = resets[t + 1] if t + 1 < len(rewards) else jnp.zeros_like(resets[0])
            G = rewards[t] + gamma * jnp.where(following, 0, G)
            out.append(G)
        return jnp.stack(out[::-1])

    def moved(resets, by):
        return jnp.concatenate([resets, jnp.zeros_like(resets)])[by : by + len(resets)]

    assert_graded(
        checks.check_discounted_returns,
        right=[scan, loop],
        wrong=[
            lambda *args: scan(*args, reverse=False),
            lambda r, f, g, v: linear_scan(g, r, v, reverse=True),
            lambda r, f, g, v: linear_scan(g, r, resets=f, reverse=True),
            lambda r, f, g, v: scan(r, moved(f, 1), g, v),
            lambda r, f, g, v: scan(r, jnp.concatenate([f[:1] & False, f[:-1]]), g, v),
            lambda r, f, g, v: scan(r, f, 1.0, v),
            lambda r, f, g, v: scan(r, f, g, v)[0],
        ],
        stub=stub,
    )


def test_leak_length():
    states = linear_scan(jnp.exp(0.001 * (-0.5 + 1j * jnp.pi)), jnp.zeros(20000, jnp.complex64), jnp.complex64(1))
    measured = int(np.argmax(np.abs(states) < 0.01)) + 1
    real_part = int(np.argmax(states.real < 0.01)) + 1
    assert_graded(
        checks.check_leak_length,
        right=[measured, measured - 1, jnp.asarray(measured)],
        wrong=[measured / 2, real_part, 1386, 2000, 9.21, 100, "many"],
    )


# --- chapter 4


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
