"""The graders of chapter 5: right answers, the stub, and plausible mistakes."""

import itertools

import jax.numpy as jnp
import numpy as np

from s5lib import checks
from s5lib.checks import chapter05
from s5lib.hippo import hippo_eig
from s5lib.ppo import gae
from tests.checks.grading import assert_graded, stub


def test_largest_step():
    right = 2 * np.log(10) / 2048
    assert np.allclose(hippo_eig(16)[0].real, -0.5)
    assert np.isclose(np.exp(-0.5 * right * 2048), 0.1)
    assert_graded(
        checks.check_largest_step,
        right=[right, 0.00225, 0.0022, np.float32(right)],
        wrong=[right / 2, 2 / 2048, 2 * np.log(2) / 2048, -2 * np.log(0.9) / 2048, -right, 2 * np.log(10), 0.1, "slow"],
    )


def value_ahead(
    read, carry, next_obs, final_observation, terminated, truncated, clear=(False, False), twice=0, own=True
):
    """The solution, with what may go wrong in it as options."""
    ended = terminated | truncated
    flags = [jnp.broadcast_to(flag, ended.shape) for flag in clear]
    going_on = read(carry, next_obs, flags[0])[1]
    cut = read(carry, final_observation if own else next_obs, flags[1])[1]
    if twice == 1:  # truncated first: a step that is both keeps a future
        return jnp.where(truncated, cut, jnp.where(terminated, 0, going_on))
    return jnp.where(terminated, 0, jnp.where(truncated, cut, going_on))


def test_value_ahead():
    def swapped(read, carry, next_obs, final, terminated, truncated):
        return value_ahead(read, carry, next_obs, final, truncated & ~terminated, terminated)

    def emptied_next(read, carry, next_obs, final, terminated, truncated):
        return jnp.where(terminated, 0, read(carry, next_obs, terminated | truncated)[1])

    assert_graded(
        checks.check_value_ahead,
        right=[
            value_ahead,
            lambda *a: np.asarray(value_ahead(*a)),
            # where an episode terminated both values are masked, so what was read there does not matter
            lambda read, carry, next_obs, final, over, cut: jnp.where(
                over, 0, read(carry, jnp.where(cut, final, next_obs), jnp.zeros_like(cut))[1]
            ),
        ],
        wrong=[
            lambda *a: value_ahead(*a[:4], a[4] | a[5], a[5]),  # truncated taken for terminated
            lambda *a: value_ahead(*a, twice=1),
            lambda *a: value_ahead(*a, own=False),
            lambda *a: value_ahead(*a[:4], jnp.zeros_like(a[4]), a[5]),
            lambda *a: value_ahead(*a, clear=(False, True)),
            lambda *a: value_ahead(*a, clear=(True, False)),
            lambda *a: value_ahead(*a, clear=(True, True)),
            emptied_next,
            lambda read, carry, *a: (carry, value_ahead(read, carry, *a)),
            lambda *a: value_ahead(*a)[:3],
            lambda *a: 2 * value_ahead(*a),
        ],
        stub=stub,
    )
    assert not checks.check_value_ahead(swapped)


def gae_loop(
    reward, value, terminated, truncated, final_value, last_value, gamma, lam, ahead=None, stops=None, decay=None
):
    following = np.concatenate([value[1:], last_value[None]])
    future = np.where(terminated, 0, np.where(truncated, final_value, following)) if ahead is None else ahead(following)
    stops = terminated | truncated if stops is None else stops
    advantage, later = np.zeros_like(reward), np.zeros_like(last_value)
    for t in reversed(range(len(reward))):
        delta = reward[t] + gamma * future[t] - value[t]
        later = delta + (gamma * lam if decay is None else decay) * np.where(stops[t], 0, later)
        advantage[t] = later
    return advantage


def library_gae(reward, value, terminated, truncated, final_value, last_value, gamma, lam):
    following = np.concatenate([value[1:], last_value[None]])
    ahead = np.where(terminated, 0, np.where(truncated, final_value, following))
    return gae(
        *(jnp.asarray(a, jnp.float32) for a in (reward, value, ahead)), jnp.asarray(terminated | truncated), gamma, lam
    )


def test_gae_from_flags():
    def ahead(rule):
        return lambda r, v, over, cut, fv, *rest: gae_loop(
            r, v, over, cut, fv, *rest, ahead=lambda following: rule(over, cut, fv, following)
        )

    assert_graded(
        checks.check_gae_from_flags,
        right=[gae_loop, library_gae],
        wrong=[
            ahead(lambda over, cut, fv, following: np.where(over | cut, 0, following)),
            ahead(lambda over, cut, fv, following: np.where(over, 0, following)),
            ahead(lambda over, cut, fv, following: np.where(cut, fv, following)),
            ahead(lambda over, cut, fv, following: np.where(cut, fv, np.where(over, 0, following))),
            ahead(
                lambda over, cut, fv, following: np.where(over, 0, np.where(cut, fv, np.r_[following[:-1], 0 * fv[:1]]))
            ),
            lambda *a: gae_loop(*a, stops=a[2]),
            lambda *a: gae_loop(*a, stops=np.zeros_like(a[2])),
            lambda *a: gae_loop(*a, decay=a[6]),
            lambda *a: gae_loop(*a, decay=a[7]),
            lambda *a: gae_loop(*a) + a[1],
            lambda *a: gae_loop(*a)[1:],
        ],
        stub=stub,
    )


def ratio_gap(agent, params, rollout, carry=None, resets=True, reduce=lambda ratio: jnp.abs(ratio - 1).mean(1)):
    empty = agent.network.initial_carry(rollout.reward.shape[1]) if carry is None else carry
    flags = rollout.resets if resets else jnp.zeros_like(rollout.resets)
    _, policy, _ = agent.network.apply(params, empty, rollout.obs, flags)
    return reduce(jnp.exp(policy.log_prob(rollout.action) - rollout.log_prob))


def test_ratio_gap():
    stored = chapter05._full_memories()[3]
    assert_graded(
        checks.check_ratio_gap,
        right=[ratio_gap, lambda *a: np.asarray(ratio_gap(*a), np.float64)],
        wrong=[
            lambda *a: ratio_gap(*a, carry=stored),
            lambda *a: ratio_gap(*a, resets=False),
            lambda *a: ratio_gap(*a, reduce=lambda r: (r - 1).mean(1)),
            lambda *a: ratio_gap(*a, reduce=lambda r: jnp.abs((r - 1).mean(1))),
            lambda *a: ratio_gap(*a, reduce=lambda r: jnp.abs(r - 1).mean(0)),
            lambda *a: ratio_gap(*a, reduce=lambda r: jnp.abs(r - 1)),
            lambda *a: ratio_gap(*a, reduce=lambda r: jnp.abs(r - 1).mean()),
            lambda *a: ratio_gap(*a, reduce=lambda r: r.mean(1)),
            lambda *a: ratio_gap(*a, reduce=lambda r: jnp.abs(jnp.log(r)).mean(1)),
            lambda *a: ratio_gap(*a, reduce=lambda r: jnp.abs(1 / r - 1).mean(1)),
            lambda *a: 2 * ratio_gap(*a),
        ],
        stub=stub,
    )
    assert "acted from" in checks.check_ratio_gap(lambda *a: ratio_gap(*a, carry=stored)).message


def packed_equals_separate(read, obs, ended, tolerance=1e-4, environments=None, shortest=1):
    """The solution, with what may go wrong in it as options."""
    packed = np.asarray(read(obs, ended))
    for b in range(environments or obs.shape[1]):
        edges = [0, *(np.flatnonzero(ended[:, b]) + 1), len(obs)]
        for begin, end in itertools.pairwise(edges):
            if end - begin < shortest:
                continue
            alone = read(obs[begin:end, b : b + 1], ended[begin:end, b : b + 1])
            if not np.allclose(packed[begin:end, b : b + 1], alone, rtol=tolerance, atol=tolerance / 10):
                return False
    return True


def test_packed_equals_separate():
    assert_graded(
        checks.check_packed_equals_separate,
        right=[packed_equals_separate, lambda *a: np.bool_(packed_equals_separate(*a))],
        wrong=[
            lambda *a: True,
            lambda *a: "yes",
            lambda *a: packed_equals_separate(*a, tolerance=0),
            lambda *a: packed_equals_separate(*a, environments=1),
            lambda *a: packed_equals_separate(*a, shortest=2),
            lambda read, obs, ended: packed_equals_separate(lambda o, e: read(o, np.zeros_like(e)), obs, ended),
        ],
        stub=stub,
    )
