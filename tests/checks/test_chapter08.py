"""The graders of chapter 8: right answers, the stub, and plausible mistakes."""

import dataclasses
import itertools
import math

import numpy as np
from scipy import stats

from s5lib import checks
from s5lib.envs.tasks import TRAIN
from tests.checks.grading import assert_graded, stub


def test_answer_for():
    def basic(M_a, wanted):
        """Right, but with as few numbers as possible instead of the shortest."""
        answer = np.zeros(M_a.shape[1])
        answer[: len(wanted)] = np.linalg.solve(M_a[:, : len(wanted)], wanted)
        return answer

    assert_graded(
        checks.check_answer_for,
        right=[
            lambda M_a, wanted: np.linalg.pinv(M_a) @ wanted,
            lambda M_a, wanted: M_a.T @ np.linalg.solve(M_a @ M_a.T, wanted),
            lambda M_a, wanted: np.linalg.lstsq(M_a, wanted, rcond=None)[0],
        ],
        wrong=[
            lambda M_a, wanted: M_a.T @ wanted,
            lambda M_a, wanted: M_a[:, : len(wanted)] @ wanted,
            basic,
            lambda M_a, wanted: wanted[:1] if len(wanted) > 1 else wanted[:0],
        ],
        stub=stub,
    )


def test_world_size():
    def by_energy(seen):
        values = np.linalg.svd(seen, compute_uv=False)
        return int((np.cumsum(values**2) < 0.9 * (values**2).sum()).sum()) + 1

    assert_graded(
        checks.check_world_size,
        right=[
            lambda seen: np.linalg.matrix_rank(seen),
            lambda seen: int((np.linalg.svd(seen, compute_uv=False) > 1e-4 * np.linalg.norm(seen)).sum()),
        ],
        wrong=[
            lambda seen: seen.shape[1],
            lambda seen: np.linalg.svd(seen, compute_uv=False),
            by_energy,
        ],
        stub=stub,
    )


def permutation_p(one, other, far=lambda deal, true: abs(deal) >= abs(true) - 1e-12):
    """The solution, with what counts as far left open."""
    pooled, found = np.concatenate([one, other]), []
    for chosen in itertools.combinations(range(len(pooled)), len(one)):
        mine = np.isin(np.arange(len(pooled)), chosen)
        found.append(far(pooled[mine].mean() - pooled[~mine].mean(), one.mean() - other.mean()))
    return np.mean(found)


def drawn_at_random(one, other, count=400):
    rng, pooled, n = np.random.default_rng(0), np.concatenate([one, other]), len(one)
    deals = [(order[:n].mean() - order[n:].mean()) for order in (rng.permutation(pooled) for _ in range(count))]
    return np.mean(np.abs(deals) >= abs(one.mean() - other.mean()) - 1e-12)


def test_permutation():
    def scipys(one, other):
        return stats.permutation_test((one, other), lambda a, b: a.mean() - b.mean(), n_resamples=np.inf).pvalue

    assert_graded(
        checks.check_permutation,
        right=[permutation_p, scipys, lambda *seeds: np.float32(permutation_p(*seeds)).astype(float)],
        wrong=[
            lambda *seeds: permutation_p(*seeds, far=lambda deal, true: deal >= true - 1e-12),
            lambda *seeds: permutation_p(*seeds, far=lambda deal, true: deal <= true + 1e-12),
            lambda *seeds: permutation_p(*seeds, far=lambda deal, true: abs(deal) > abs(true) + 1e-9),
            lambda *seeds: 1 - permutation_p(*seeds),
            lambda one, other: permutation_p(one, other) * math.comb(2 * len(one), len(one)),
            drawn_at_random,
            lambda *seeds: 2.0,
        ],
        stub=stub,
    )


def test_leave_out():
    def left_out(config, world, **changes):
        others = tuple(name for name in TRAIN if name != world)
        options = {
            "env_options": (*config.env_options, ("worlds", others)),
            "eval_env_options": (("worlds", (world,)), ("held_out", True)),
            "num_envs": 100, "num_minibatches": 25, **changes,
        }  # fmt: skip
        return dataclasses.replace(config, **options)

    assert_graded(
        checks.check_leave_out,
        right=[left_out, lambda config, world: left_out(config, world, num_envs=95, num_minibatches=19)],
        wrong=[
            lambda config, world: config,
            lambda config, world: dataclasses.asdict(config),
            lambda config, world: left_out(config, world, env_options=(("worlds", TRAIN),)),
            lambda config, world: left_out(config, world, env_options=(("worlds", TRAIN[1:3]),)),
            lambda config, world: left_out(config, world, eval_env_options=(("held_out", True),)),
            lambda config, world: left_out(config, world, eval_env_options=(("worlds", (world,)),)),
            lambda config, world: left_out(config, world, num_envs=96, num_minibatches=24),
            lambda config, world: left_out(config, world, lr=1e-5),
        ],
        stub=stub,
    )
