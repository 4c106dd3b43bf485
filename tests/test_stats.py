"""Statistics: known answers, rliable's definitions, laws, what intervals cover, and what is refused."""

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from rliable import metrics

from s5lib import stats

X = np.random.default_rng(0).normal([0, 1, 3], [1, 2, 0.5], (6, 3))
Y = np.random.default_rng(1).normal([0.5, 1, 2.5], 1, (4, 3))
AGGREGATES = [stats.mean_score, stats.median_score, stats.interquartile_mean, stats.optimality_gap]
names = pytest.mark.parametrize("aggregate", AGGREGATES, ids=lambda aggregate: aggregate.__name__)
# Few distinct values, so that ties are common.
matrices = st.tuples(st.integers(1, 7), st.integers(1, 5), st.integers(0, 2**32 - 1)).map(
    lambda made: np.random.default_rng(made[2]).integers(-6, 7, made[:2]) / 4
)


# ------------------------------------------------------------------------------------ one number


@given(matrices)
def test_aggregates_are_rliables(scores):
    assert stats.mean_score(scores) == pytest.approx(metrics.aggregate_mean(scores), abs=1e-12)
    assert stats.median_score(scores) == pytest.approx(metrics.aggregate_median(scores), abs=1e-12)
    assert stats.interquartile_mean(scores) == pytest.approx(metrics.aggregate_iqm(scores), abs=1e-12)
    for target in (1.0, -0.5):
        expected = metrics.aggregate_optimality_gap(scores, target)
        assert stats.optimality_gap(scores, target) == pytest.approx(expected, abs=1e-12)


@given(matrices, st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_probability_of_improvement_is_rliables(scores, runs, seed):
    others = np.random.default_rng(seed).integers(-6, 7, (runs, scores.shape[1])) / 4
    expected = metrics.probability_of_improvement(scores, others)
    assert stats.probability_of_improvement(scores, others) == pytest.approx(expected, abs=1e-12)
    assert stats.probability_of_improvement(others, scores) == pytest.approx(1 - expected, abs=1e-12)
    assert stats.probability_of_improvement(scores, scores) == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize("count", range(1, 18))
def test_interquartile_mean_trims_as_scipy_does(count):
    scores = np.random.default_rng(count).normal(size=count)
    assert stats.interquartile_mean(scores) == pytest.approx(scipy.stats.trim_mean(scores, 0.25), abs=1e-12)


def test_interquartile_mean_by_hand():
    assert stats.interquartile_mean([1, 2, 9]) == 4  # nothing to leave out
    assert stats.interquartile_mean([9, 1, 2, 4]) == 3
    assert stats.interquartile_mean([-1e9, 5, 3, 4, 1e9]) == 4
    assert stats.interquartile_mean([7, 6, 5, 4, 3, 2, 1, 0]) == 3.5
    # All runs of all tasks are trimmed together: the failed task goes, not the worst run of each.
    assert stats.interquartile_mean([[0, 8, 10, 100], [0, 8, 10, 100]]) == 9


def test_aggregates_by_hand():
    scores = [[0.0, 1.0, 0.2], [1.0, 3.0, 0.2]]
    assert stats.mean_score(scores) == pytest.approx(0.9)
    assert stats.median_score(scores) == 0.5
    assert stats.median_score([0, 0, 9]) == 3  # one task: its mean
    assert stats.optimality_gap(scores) == pytest.approx((1 + 0 + 0.8 + 0 + 0 + 0.8) / 6)
    assert stats.optimality_gap(scores, target=3) == pytest.approx(3 - 0.9)
    assert stats.probability_of_improvement([[3, 0], [2, 0]], [[1, 0], [2, 1], [9, 1]]) == pytest.approx(
        (((1 + 1 + 0) + (1 + 0.5 + 0)) / 6 + (0.5 + 0.5) / 6) / 2
    )


@names
def test_leading_axes_are_separate_questions(aggregate):
    many = np.random.default_rng(2).normal(size=(2, 3, 5, 4))
    assert aggregate(many).shape == (2, 3)
    assert aggregate(many)[1, 2] == pytest.approx(aggregate(many[1, 2]), abs=1e-12)
    others = np.random.default_rng(3).normal(size=(2, 3, 6, 4))
    both = stats.probability_of_improvement(many, others)
    assert both.shape == (2, 3)
    assert both[0, 1] == pytest.approx(stats.probability_of_improvement(many[0, 1], others[0, 1]))


def test_scores_need_no_particular_type():
    import jax.numpy as jnp

    for scores in ([1, 2, 4], np.array([1, 2, 4], np.int8), np.array([1, 2, 4], np.float16), jnp.array([1.0, 2, 4])):
        assert stats.mean_score(scores) == 7 / 3  # in float64


# ---------------------------------------------------------------------------------------- one scale


def test_normalised_scores():
    assert stats.normalised_scores([[-1, 5], [1, 10], [3, 20]], [-1, 0], [1, 10]).tolist() == [[0, 0.5], [1, 1], [2, 2]]
    assert stats.normalised_scores(-0.5, -1, 0) == 0.5
    with pytest.raises(ValueError, match=r"best must be above random; got best 1 and random 1"):
        stats.normalised_scores([0.0], 1, 1)
    with pytest.raises(ValueError, match=r"best must be above random"):
        stats.normalised_scores(np.zeros((2, 2)), [0, 0], [1, -1])
    with pytest.raises(TypeError, match=r"random must be real numbers; got None, .* nobody measured it"):
        stats.normalised_scores([0.0], None, 1)
    with pytest.raises(ValueError, match=r"best must be a number, or \(tasks,\) .* shapes \(2,\), \(5, 3\)"):
        stats.normalised_scores(np.zeros((5, 3)), 0, [1, 1])
    with pytest.raises(ValueError, match=r"random must be a number"):  # a vector is the runs of one task
        stats.normalised_scores([0.0, 1.0], [0, 0], 1)


def test_every_documented_task_has_a_scale():
    from s5lib import envs

    for name in envs.env_names():
        task = envs.describe(name)
        ends = stats.normalised_scores([task.random_return, task.best_return], task.random_return, task.best_return)
        assert ends.tolist() == [0, 1], name


# ------------------------------------------------------------------------------------- how certain


def exact_interval(statistic, scores: np.ndarray, confidence: float) -> tuple[float, float]:
    """The percentile interval over every resample that there is, each drawn once."""
    runs, tasks = scores.shape
    rows = itertools.product(range(runs), repeat=runs * tasks)
    chosen = np.array(list(rows)).reshape(-1, runs, tasks)
    values = statistic(scores[chosen, np.arange(tasks)])
    tail = (1 - confidence) / 2
    return tuple(np.quantile(values, [tail, 1 - tail], method="inverted_cdf"))


@names
@pytest.mark.parametrize("shape", [(5, 1), (3, 2), (2, 6)], ids=str)
def test_intervals_are_those_over_all_resamples(aggregate, shape):
    """Runs are drawn within each task, each task apart: compared with all the equally likely resamples, listed."""
    scores = np.random.default_rng(4).normal(1, 1, shape)
    found = stats.bootstrap_interval(aggregate, scores, confidence=0.5, resamples=40_000)
    inner, outer = (exact_interval(aggregate, scores, confidence) for confidence in (0.47, 0.53))
    assert found.value == aggregate(scores)
    assert outer[0] - 1e-9 <= found.low <= inner[0] + 1e-9
    assert inner[1] - 1e-9 <= found.high <= outer[1] + 1e-9


@names
def test_intervals_are_scipys_where_there_is_one_task(aggregate):
    scores = np.random.default_rng(10).normal(size=12)  # enough that no quantile stands between two far values
    wanted = scipy.stats.bootstrap(
        (scores,), lambda drawn, axis: aggregate(drawn[..., None]), n_resamples=40_000, method="percentile", rng=0
    ).confidence_interval
    found = stats.bootstrap_interval(aggregate, scores, resamples=40_000)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=0.03)


@pytest.mark.parametrize(
    "name, value, low, high",
    [
        ("mean", 1.021476, 0.6083, 1.4674),
        ("median", 0.630994, -0.0273, 1.6224),
        ("iqm", 1.054001, 0.5369, 1.662),
        ("optimality gap", 0.733349, 0.4296, 1.0516),
    ],
)
def test_intervals_are_rliables(name, value, low, high):
    """The numbers are rliable 1.2.0's for X (several tasks), with arch 7.2.0 and pandas 2.3.3, which the pins here do not have:

    python -m venv other && other/bin/pip install rliable==1.2.0 arch==7.2.0 "pandas<3"

    import numpy as np
    from rliable import library, metrics
    np.random.seed(0)
    for name in ("mean", "median", "iqm", "optimality_gap"):
        aggregate = getattr(metrics, f"aggregate_{name}")
        print(library.get_interval_estimates({name: X}, lambda s: np.array([aggregate(s)]), reps=50_000))
    improvement = lambda x, y: np.array([metrics.probability_of_improvement(x, y)])
    print(library.get_interval_estimates({"improvement": [X, Y]}, improvement, reps=20_000))
    """
    found = stats.summary(X, resamples=50_000)[name]
    assert found.value == pytest.approx(value, abs=1e-6)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.04)  # the interval is about 1 wide


def test_interval_of_an_improvement_is_rliables():
    """As above; both methods' runs are drawn, each apart."""
    found = stats.bootstrap_interval(stats.probability_of_improvement, X, Y, resamples=20_000)
    assert found.value == pytest.approx(0.347222, abs=1e-6)
    assert (found.low, found.high) == pytest.approx((0.1528, 0.5556), abs=0.02)
    again = stats.bootstrap_interval(stats.probability_of_improvement, X, X + 0.0)
    assert again.low < 0.45 and again.high > 0.55  # not the same draw of both


def test_summary_is_the_four_aggregates():
    found = stats.summary(X, target=2, confidence=0.8, resamples=300, seed=2)
    wanted = [*AGGREGATES[:3], lambda scores: stats.optimality_gap(scores, 2)]
    assert list(found) == ["mean", "median", "iqm", "optimality gap"]
    for interval, aggregate in zip(found.values(), wanted, strict=True):
        assert interval == stats.bootstrap_interval(aggregate, X, confidence=0.8, resamples=300, seed=2)


def test_strata():
    """Tasks of different levels add no uncertainty, and tasks are not drawn in pairs."""
    levels = np.array([[0.0, 1.0, 5.0]] * 4)
    for aggregate in AGGREGATES:
        found = stats.bootstrap_interval(aggregate, levels)
        assert found.low == found.high == pytest.approx(found.value)
    opposed = np.array([[0.0, 3], [1, 2], [2, 1], [3, 0]])  # every run's mean is 1.5; the tasks' means still vary
    found = stats.bootstrap_interval(stats.mean_score, opposed)
    assert found.low < 0.9 and found.high > 2.1


COVERED = {  # runs, tasks -> share of the 95 % intervals that hold the truth: around the mean, around the interquartile mean
    (3, 1): (0.75, 0.75),
    (5, 1): (0.84, 0.90),
    (10, 1): (0.90, 0.94),
    (5, 5): (0.90, 0.92),
}


@pytest.mark.parametrize("runs, tasks", COVERED)
@pytest.mark.parametrize("place", [0, 1], ids=["mean", "iqm"])
def test_coverage(runs, tasks, place):
    """What the docstring of bootstrap_interval says about few seeds; with 3 seeds of one task it can be computed: 1 - 2 / 2^3."""
    scores = np.random.default_rng(5).normal(size=(3000, runs, tasks))
    found = stats.bootstrap_interval((stats.mean_score, stats.interquartile_mean)[place], scores, resamples=1000)
    covered = np.mean((found.low <= 0) & (found.high >= 0))
    assert covered == pytest.approx(COVERED[runs, tasks][place], abs=0.025)  # three standard errors


def test_wide_intervals_hold_more_and_more_runs_tell_more():
    scores = np.random.default_rng(6).normal(size=(40, 2))
    half, most = (stats.bootstrap_interval(stats.mean_score, scores, confidence=c) for c in (0.5, 0.99))
    assert most.low < half.low < half.value < half.high < most.high
    few = stats.bootstrap_interval(stats.mean_score, scores[:10])
    all_of_them = stats.bootstrap_interval(stats.mean_score, scores)
    assert 1.5 < (few.high - few.low) / (all_of_them.high - all_of_them.low) < 2.7  # about sqrt(4)
    # The middle of a normal distribution: mean +- 1.96 standard errors.
    width = 2 * 1.96 * np.sqrt(scores.var(0).sum() / 40) / 2
    assert all_of_them.high - all_of_them.low == pytest.approx(width, rel=0.05)


# -------------------------------------------------------------------------------------------- laws


@names
def test_the_order_of_runs_and_tasks_does_not_matter(aggregate):
    rng = np.random.default_rng(7)
    shuffled = rng.permuted(X, axis=0)  # each task's runs in an order of its own
    assert aggregate(shuffled) == pytest.approx(aggregate(X), abs=1e-12)
    here, there = stats.bootstrap_interval(aggregate, X), stats.bootstrap_interval(aggregate, shuffled)
    assert (here.low, here.high) == (there.low, there.high)
    assert aggregate(X[:, [2, 0, 1]]) == pytest.approx(aggregate(X), abs=1e-12)


@pytest.mark.parametrize("aggregate", AGGREGATES[:3], ids=lambda aggregate: aggregate.__name__)
def test_another_unit_changes_nothing_else(aggregate):
    here, there = (stats.bootstrap_interval(aggregate, scores) for scores in (X, 100 * X - 7))
    assert np.array(there) == pytest.approx(100 * np.array(here) - 7, abs=1e-9)
    mirrored = stats.bootstrap_interval(aggregate, -X)
    assert mirrored.value == pytest.approx(-here.value)
    assert (-mirrored.high, -mirrored.low) == pytest.approx((here.low, here.high), abs=0.05)


def test_a_monotone_map_leaves_who_wins():
    assert stats.probability_of_improvement(np.exp(X), np.exp(Y)) == stats.probability_of_improvement(X, Y)
    assert stats.probability_of_improvement(Y + 100, X) == 1


@pytest.mark.parametrize("chunk", [1, 100, 1001])
def test_resamples_do_not_depend_on_how_many_are_drawn_at_once(chunk, monkeypatch):
    whole = stats.bootstrap_interval(stats.probability_of_improvement, X[:5], Y, resamples=301)
    monkeypatch.setattr(stats, "CHUNK", chunk)
    assert stats.bootstrap_interval(stats.probability_of_improvement, X[:5], Y, resamples=301) == whole


def test_the_seed_decides():
    first, again, other = (stats.bootstrap_interval(stats.mean_score, X, resamples=200, seed=s) for s in (3, 3, 4))
    assert first == again and first.value == other.value and first.low != other.low
    np.random.seed(0)  # noqa: NPY002
    assert stats.bootstrap_interval(stats.mean_score, X, resamples=200, seed=3) == first
    assert np.random.random() == np.random.RandomState(0).random()  # noqa: NPY002


def test_intervals_of_many_questions_at_once():
    many = np.random.default_rng(8).normal(size=(2, 3, 5, 4))
    found = stats.bootstrap_interval(stats.median_score, many, resamples=500)
    alone = stats.bootstrap_interval(stats.median_score, many[1, 2], resamples=500)
    assert found.low.shape == found.high.shape == found.value.shape == (2, 3)
    assert (found.value[1, 2], found.low[1, 2], found.high[1, 2]) == pytest.approx(tuple(alone), abs=1e-12)


def test_a_statistic_of_ones_own():
    found = stats.bootstrap_interval(lambda scores: scores.max((-2, -1)), [1.0, 2, 3, 4])
    assert found == (4, 2, 4)  # below 2 all four draws are the lowest: one resample in 256
    with pytest.raises(
        ValueError, match=r"statistic must turn \(..., runs, tasks\) into \(...\); it turned \(6, 3\) into"
    ):
        stats.bootstrap_interval(lambda scores: scores.mean(-1), X)
    with pytest.raises(ValueError, match=r"statistic must turn .* it turned \(\d+, 6, 3\) into \(\)"):
        stats.bootstrap_interval(np.mean, X)


# ---------------------------------------------------------------------------------- learning curves


def test_curve_interval():
    curves = np.random.default_rng(9).normal(size=(5, 7)).cumsum(1)
    band = stats.curve_interval(curves, resamples=400)
    assert band.value.shape == band.low.shape == band.high.shape == (7,)
    for k in (0, 6):
        alone = stats.bootstrap_interval(stats.interquartile_mean, curves[:, k], resamples=400)
        assert (band.value[k], band.low[k], band.high[k]) == pytest.approx(tuple(alone))
    tasks = np.random.default_rng(9).normal(size=(5, 2, 7))
    band = stats.curve_interval(tasks, stats.mean_score, resamples=400, seed=1)
    alone = stats.bootstrap_interval(stats.mean_score, tasks[:, :, 3], resamples=400, seed=1)
    assert (band.value[3], band.low[3], band.high[3]) == pytest.approx(tuple(alone))


def test_time_to_threshold():
    steps = np.array([10, 20, 40, 80])
    curves = [[0, 1, 0, 1], [0, 0, 0, 0.5], [1, 1, 1, 1], [0, 0.4, 0.49, 0]]
    assert stats.time_to_threshold(steps, curves, 0.5).tolist() == pytest.approx([20, 80, 10, np.nan], nan_ok=True)
    assert stats.time_to_threshold(steps, [np.nan, 0, np.nan, 1], 0.5) == 80
    assert np.isnan(stats.time_to_threshold(steps, [np.nan] * 4, 0.5))
    assert stats.time_to_threshold(steps, np.zeros((3, 2, 4)), 0).tolist() == [[10, 10]] * 3
    assert stats.time_to_threshold(steps, [-9, -5, -2, -1], -2) == 40  # returns may be negative


@given(st.integers(0, 2**32 - 1))
def test_time_to_threshold_is_a_loop(seed):
    rng = np.random.default_rng(seed)
    steps, curves = np.cumsum(rng.integers(1, 5, 6)), rng.integers(0, 5, (3, 6))
    expected = [next((t for t, score in zip(steps, c, strict=True) if score >= 3), np.nan) for c in curves]
    assert stats.time_to_threshold(steps, curves, 3).tolist() == pytest.approx(expected, nan_ok=True)
    higher = stats.time_to_threshold(steps, curves, 4)
    assert not np.any(higher < stats.time_to_threshold(steps, curves, 3))


# ---------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "scores, error, message",
    [
        ([1.0, np.nan], ValueError, "scores must be finite; it holds 1 NaN"),
        ([1.0, np.inf], ValueError, "scores must be finite"),
        ([1j, 2], TypeError, "scores must be real"),
        ([True, False], TypeError, "scores must be real; got dtype bool"),
        (["a"], TypeError, "scores must be real"),
        (None, TypeError, "scores must be real numbers; got None"),
        (3.0, ValueError, r"scores must have shape \(runs,\) or \(..., runs, tasks\)"),
        ([], ValueError, r"with one or more of each; got \(0, 1\)"),
        (np.zeros((3, 0)), ValueError, r"with one or more of each; got \(3, 0\)"),
        ([[1.0, 2], [3]], ValueError, "scores must be a full array; its rows differ in length"),
    ],
)
@names
def test_bad_scores(aggregate, scores, error, message):
    with pytest.raises(error, match=message):
        aggregate(scores)
    with pytest.raises(error, match=message):
        stats.bootstrap_interval(aggregate, scores)


def test_bad_arguments():
    interval, mean = stats.bootstrap_interval, stats.mean_score
    with pytest.raises(ValueError, match=r"target must have shape \(\)"):
        stats.optimality_gap(X, [1, 1, 1])
    with pytest.raises(ValueError, match=r"differ in nothing but their number of runs; got \(6, 3\), \(4, 2\)"):
        stats.probability_of_improvement(X, Y[:, :2])
    with pytest.raises(ValueError, match="others must be finite"):
        stats.probability_of_improvement(X, Y * np.nan)
    with pytest.raises(ValueError, match="scores must hold two or more runs: one says nothing"):
        interval(mean, X[:1])
    with pytest.raises(ValueError, match=r"scores\[1\] must hold two or more runs"):
        interval(stats.probability_of_improvement, X, Y[:1])
    with pytest.raises(
        ValueError, match=r"scores\[1\] must have the leading axes \(\) of scores\[0\]; got \(1, 4, 3\)"
    ):
        interval(stats.probability_of_improvement, X, Y[None])
    with pytest.raises(TypeError, match="needs one or more arrays of scores"):
        interval(mean)
    for confidence in (0, 1, 95, np.nan):
        with pytest.raises(ValueError, match="confidence must lie between 0 and 1"):
            interval(mean, X, confidence=confidence)
    with pytest.raises(ValueError, match="resamples must be a positive integer; got 0"):
        interval(mean, X, resamples=0)
    with pytest.raises(ValueError, match=r"curves must have shape \(seeds, K\) or \(seeds, tasks, K\); got \(3,\)"):
        stats.curve_interval([1.0, 2, 3])


@pytest.mark.parametrize(
    "steps, curves, level, error, message",
    [
        ([1, 2], [[0, 1, 2]], 1, ValueError, r"curves must have shape \(..., 2\), one value a step; got \(1, 3\)"),
        ([2, 1], [0, 1], 1, ValueError, "steps must ascend"),
        ([1, 1], [0, 1], 1, ValueError, "steps must ascend"),
        ([], [], 1, ValueError, "steps must ascend, and hold one or more"),
        ([[1, 2]], [0, 1], 1, ValueError, r"steps must have shape \(K,\)"),
        ([1, np.nan], [0, 1], 1, ValueError, "steps must be finite"),
        ([1, 2], [0, 1], np.nan, ValueError, "level must be finite"),
        ([1, 2], [0, 1], [1, 2], ValueError, r"level must have shape \(\)"),
        ([1, 2], ["a", "b"], 1, TypeError, "curves must be real"),
        ([1, 2], 3.0, 1, ValueError, r"curves must have shape \(..., 2\)"),
    ],
)
def test_bad_times(steps, curves, level, error, message):
    with pytest.raises(error, match=message):
        stats.time_to_threshold(steps, curves, level)
