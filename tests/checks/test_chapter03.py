"""The graders of chapter 3: right answers, the stub, and plausible mistakes."""

import itertools

import jax.numpy as jnp
import numpy as np

from s5lib import checks, linear_scan
from tests.checks.grading import assert_graded, stub


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


def plain_law_test(combine):
    """The same with Python's own numbers and flags."""
    rng = np.random.default_rng(0)
    for flags in itertools.product([False, True], repeat=3):
        x, y, z = [((float(rng.normal()), float(rng.normal())), flag) for flag in flags]
        one, other = combine(combine(x, y), z), combine(x, combine(y, z))
        if bool(one[1]) != bool(other[1]) or not np.allclose(one[0], other[0], rtol=1e-4, atol=1e-5):
            return False
    return True


def test_law_test():
    assert_graded(
        checks.check_law_test,
        right=[
            law_test,
            plain_law_test,
            lambda combine: np.bool_(law_test(combine)),
            lambda combine: jnp.array(law_test(combine)),
        ],
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
