"""Chapter 6. Honest numbers from a handful of seeds: interquartile means, bootstrap intervals, normalised scores.

Scores are arrays (..., runs, tasks): one row for each independent run, which is one seed, and one column for each task.
A vector is read as the runs of one task. Everything is NumPy in float64. The definitions are those of Agarwal et al. 2021
(arXiv 2108.13264) and of their package rliable.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from s5lib.config import check_positive_int, check_real, check_shape

__all__ = [
    "Interval",
    "bootstrap_interval",
    "curve_interval",
    "interquartile_mean",
    "mean_score",
    "median_score",
    "normalised_scores",
    "optimality_gap",
    "probability_of_improvement",
    "summary",
    "time_to_threshold",
]

Statistic = Callable[..., np.ndarray]
CHUNK = 500_000  # numbers resampled at once: 4 MB, however many resamples are asked for


class Interval(NamedTuple):
    """An estimate and the interval around it; arrays where many were asked for at once."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def _real(name: str, value: ArrayLike, nan: bool = False) -> np.ndarray:
    if value is None:
        raise TypeError(
            f"{name} must be real numbers; got None, which in a task's description means: nobody measured it"
        )
    try:
        value = value if hasattr(value, "dtype") else np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be a full array; its rows differ in length") from error
    check_real(name, np.nan_to_num(value) if nan else value)
    return np.asarray(value, np.float64)


def _scores(name: str, value: ArrayLike) -> np.ndarray:
    value = _real(name, value)
    value = value[:, None] if value.ndim == 1 else value
    if value.ndim < 2 or 0 in value.shape[-2:]:
        raise ValueError(
            f"{name} must have shape (runs,) or (..., runs, tasks), with one or more of each; got {value.shape}"
        )
    return value


# ------------------------------------------------------------------------------------------ one number


def mean_score(scores: ArrayLike) -> np.ndarray:
    """Average over runs and tasks. One outlying run or task can move it as far as it likes.

    Args:
        scores: (..., runs, tasks), or (runs,) of one task.
    Returns:
        The means, (...).
    Raises:
        TypeError, ValueError: not real, not finite, or a wrong shape.
    Example:
        >>> float(mean_score([[0.0, 1.0], [1.0, 4.0]]))
        1.5

    Source: rliable 1.2.0, metrics.py, aggregate_mean.
    """
    return _scores("scores", scores).mean((-2, -1))


def median_score(scores: ArrayLike) -> np.ndarray:
    """Average each task over its runs, then take the median of the tasks.

    With one task it is that task's mean, not the median of its runs; with many, it ignores half of them altogether.

    Args:
        scores: (..., runs, tasks), or (runs,) of one task.
    Returns:
        The medians, (...).
    Raises:
        TypeError, ValueError: as for ``mean_score``.
    Example:
        >>> float(median_score([[0.0, 0.4, 9.0], [0.2, 0.6, 9.0]]))
        0.5

    Source: rliable 1.2.0, metrics.py, aggregate_median.
    """
    return np.median(_scores("scores", scores).mean(-2), -1)


def interquartile_mean(scores: ArrayLike) -> np.ndarray:
    """Average the middle half of all runs on all tasks: no outlier in either outer quarter moves it.

    Of n scores, sorted, the lowest and the highest ``n // 4`` are left out. Five seeds of one task give the mean of the
    middle three; with fewer than four scores nothing is left out.

    Args:
        scores: (..., runs, tasks), or (runs,) of one task. Scores of several tasks must have one scale: see ``normalised_scores``.
    Returns:
        The interquartile means, (...).
    Raises:
        TypeError, ValueError: as for ``mean_score``.
    Example:
        >>> float(interquartile_mean([0.75, 0.5, -5.0, 1.0, 0.25]))  # one failed seed does not decide
        0.5

    Source: rliable 1.2.0, metrics.py, aggregate_iqm; the trimming rule is that of scipy.stats.trim_mean.
    """
    scores = _scores("scores", scores)
    flat = np.sort(scores.reshape(*scores.shape[:-2], -1), -1)
    cut = flat.shape[-1] // 4
    return flat[..., cut : flat.shape[-1] - cut].mean(-1)


def optimality_gap(scores: ArrayLike, target: float = 1.0) -> np.ndarray:
    """Average how far the scores fall short of a target; what goes beyond it counts for nothing. Lower is better.

    Args:
        scores: (..., runs, tasks), or (runs,) of one task; normalised, so that one target serves all.
        target: the score to reach.
    Returns:
        The mean of ``max(target - score, 0)``, (...).
    Raises:
        TypeError, ValueError: as for ``mean_score``, or a target that is not one number.
    Example:
        >>> float(optimality_gap([0.5, 1.0, 7.0, 1.0]))
        0.125

    Source: rliable 1.2.0, metrics.py, aggregate_optimality_gap.
    """
    goal = _real("target", target)
    check_shape("target", goal, ())
    return np.maximum(goal - _scores("scores", scores), 0).mean((-2, -1))


def probability_of_improvement(scores: ArrayLike, others: ArrayLike) -> np.ndarray:
    """How likely is a run of one method to beat a run of another on the same task? The average over tasks.

    Every run meets every other; a tie counts as half. It says how often, not by how much.

    Args:
        scores: (..., runs, tasks), or (runs,) of one task; of the method that should be better.
        others: the same of the other method: the same tasks in the same order; the number of runs may differ.
    Returns:
        The probabilities, (...).
    Raises:
        TypeError, ValueError: as for ``mean_score``, or other tasks.
    Example:
        >>> float(probability_of_improvement([0.9, 0.8], [0.8, 0.1]))
        0.875

    Source: rliable 1.2.0, metrics.py, probability_of_improvement.
    """
    x, y = _scores("scores", scores), _scores("others", others)
    if x.shape[:-2] != y.shape[:-2] or x.shape[-1] != y.shape[-1]:
        raise ValueError(f"scores and others must differ in nothing but their number of runs; got {x.shape}, {y.shape}")
    x, y = x[..., :, None, :], y[..., None, :, :]
    return ((x > y).mean((-3, -2)) + (x == y).mean((-3, -2)) / 2).mean(-1)


# ---------------------------------------------------------------------------------------- one scale


def normalised_scores(returns: ArrayLike, random: ArrayLike, best: ArrayLike) -> np.ndarray:
    """Put returns on one scale: 0 is the random player's return, 1 the best player's.

    Args:
        returns: (..., runs, tasks), or any shape with one task.
        random: what random play earns, a number or (tasks,): ``describe(name).random_return`` of ``s5lib.envs``.
        best: what the best play earns, a number or (tasks,): ``describe(name).best_return``.
    Returns:
        ``(returns - random) / (best - random)``, of the shape of returns. Nothing is clipped.
    Raises:
        TypeError, ValueError: not real, not finite, None (not measured), a wrong shape, or a best that is not above random.
    Example:
        >>> from s5lib import envs
        >>> task = envs.describe("RepeatPreviousHard")
        >>> normalised_scores([-0.5, 0.25, 1.0], task.random_return, task.best_return)
        array([0. , 0.5, 1. ])

    """
    values, low, high = _real("returns", returns), _real("random", random), _real("best", best)
    for name, bound in (("random", low), ("best", high)):
        if bound.ndim and (bound.ndim > 1 or bound.shape != values.shape[-1:] or values.ndim < 2):
            raise ValueError(
                f"{name} must be a number, or (tasks,) beside returns (..., runs, tasks); got shapes {bound.shape}, {values.shape}"
            )
    if not np.all(high > low):
        raise ValueError(f"best must be above random; got best {best!r} and random {random!r}")
    return (values - low) / (high - low)


# -------------------------------------------------------------------------------------- how certain


def bootstrap_interval(
    statistic: Statistic, *scores: ArrayLike, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """How far could a statistic have come out otherwise, with other seeds? The stratified bootstrap's percentile interval.

    Each resample draws, for every task apart, as many runs as there are, with replacement; the interval holds the middle 95 %
    of the statistic over the resamples. The tasks are taken as given: it says nothing about other tasks.

    With few seeds it is too narrow. One task, normal scores: of the 95 % intervals around the mean, 75 % hold the truth with 3
    seeds, 84 % with 5 and 90 % with 10; around the interquartile mean 75 %, 90 % and 94 %. More tasks help: with 5 tasks of 5
    seeds, 90 % and 92 %. (Simulated; ``tests/test_stats.py`` holds these numbers.)

    Args:
        statistic: a function of as many arrays (..., runs, tasks) that gives (...), such as ``interquartile_mean``,
            or ``probability_of_improvement`` for two. The leading axes are many resamples at once.
        scores: one or more arrays (..., runs, tasks), or (runs,) of one task, resampled independently. Leading axes, the same
            in each, are separate questions, such as the times of a learning curve.
        confidence: how much the interval holds, between 0 and 1.
        resamples: how many are drawn.
        seed: equal seeds give equal intervals, in whatever order the runs come.
    Returns:
        An ``Interval`` whose parts have the shape of the leading axes.
    Raises:
        TypeError, ValueError: scores as for ``mean_score``, fewer than two runs, a confidence outside (0, 1),
            or a statistic that does not reduce runs and tasks.
    Example:
        >>> iqm = bootstrap_interval(interquartile_mean, [0.91, 0.94, 0.88, 0.95, 0.40])
        >>> print(f"{iqm.value:.2f} ({iqm.low:.2f} to {iqm.high:.2f})")
        0.91 (0.56 to 0.95)

    Source: rliable 1.2.0, library.py, StratifiedBootstrap and StratifiedIndependentBootstrap.
    Differs: a single run is refused, where rliable gives an interval of width zero; the seed decides, where rliable draws from
        NumPy's global state whatever ``random_state`` says; leading axes are resampled alike, rliable's trailing ones apart.
    """
    if not scores:
        raise TypeError("bootstrap_interval needs one or more arrays of scores after the statistic")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1; got {confidence}")
    check_positive_int("resamples", resamples)
    names = ["scores"] if len(scores) == 1 else [f"scores[{place}]" for place in range(len(scores))]
    arrays = [_scores(name, value) for name, value in zip(names, scores, strict=True)]
    lead = arrays[0].shape[:-2]
    for name, array in zip(names, arrays, strict=True):
        if array.shape[:-2] != lead:
            raise ValueError(f"{name} must have the leading axes {lead} of scores[0]; got {array.shape}")
        if array.shape[-2] < 2:
            raise ValueError(f"{name} must hold two or more runs: one says nothing about how much they differ")
    value = _reduced(statistic, arrays, lead)
    # Sorted within each task, the runs are the same whatever order they came in, and so are their resamples.
    ordered = [np.sort(array, -2) for array in arrays]
    streams = np.random.default_rng(seed).spawn(len(arrays))
    step = max(1, CHUNK // sum(array.size for array in arrays))
    drawn = []
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        some = [_resampled(array, stream, count) for array, stream in zip(ordered, streams, strict=True)]
        drawn.append(_reduced(statistic, some, (*lead, count)))
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(drawn, -1), [tail, 1 - tail], -1)
    return Interval(value[()], low, high)


def _reduced(statistic: Statistic, arrays: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    values = np.asarray(statistic(*arrays), np.float64)
    if values.shape != shape:
        given = ", ".join(str(array.shape) for array in arrays)
        raise ValueError(f"statistic must turn (..., runs, tasks) into (...); it turned {given} into {values.shape}")
    return values


def _resampled(scores: np.ndarray, stream: np.random.Generator, count: int) -> np.ndarray:
    """Draw runs within each task: (..., runs, tasks) -> (..., count, runs, tasks)."""
    *lead, runs, tasks = scores.shape
    chosen = stream.integers(runs, size=(count, runs, tasks)) * tasks + np.arange(tasks)
    return scores.reshape(*lead, runs * tasks)[..., chosen]


def curve_interval(curves: ArrayLike, statistic: Statistic = interquartile_mean, **options: Any) -> Interval:
    """The thick line and the band of a learning curve: a statistic over the seeds and its interval, at every time apart.

    Args:
        curves: (seeds, K), or (seeds, tasks, K) for several tasks on one scale.
        statistic: as for ``bootstrap_interval``.
        options: confidence, resamples and seed of ``bootstrap_interval``.
    Returns:
        An ``Interval`` of arrays (K,). Each time's interval stands alone: a whole curve leaves the band more often.
    Raises:
        TypeError, ValueError: as for ``bootstrap_interval``.
    Example:
        >>> band = curve_interval([[0.0, 0.5, 1.0], [0.2, 0.9, 1.0], [0.1, 0.1, 1.0]], mean_score)
        >>> band.value, band.high
        (array([0.1, 0.5, 1. ]), array([0.2, 0.9, 1. ]))

    """
    curves = _real("curves", curves)
    if curves.ndim not in (2, 3) or 0 in curves.shape:
        raise ValueError(f"curves must have shape (seeds, K) or (seeds, tasks, K); got {curves.shape}")
    curves = curves[:, None] if curves.ndim == 2 else curves
    return bootstrap_interval(statistic, np.moveaxis(curves, -1, 0), **options)


def summary(scores: ArrayLike, target: float = 1.0, **options: Any) -> dict[str, Interval]:
    """The four aggregates of a method over all its runs and tasks, each with its interval.

    Args:
        scores: (..., runs, tasks), or (runs,) of one task; normalised where there are several tasks.
        target: of ``optimality_gap``.
        options: confidence, resamples and seed of ``bootstrap_interval``.
    Returns:
        ``{"mean", "median", "iqm", "optimality gap"}`` -> ``Interval``.
    Raises:
        TypeError, ValueError: as for ``bootstrap_interval``.
    Example:
        >>> [f"{name} {part.value:.2f}" for name, part in summary([[0.9, 0.4], [1.1, 0.4]]).items()]
        ['mean 0.70', 'median 0.70', 'iqm 0.65', 'optimality gap 0.32']

    """
    statistics: dict[str, Statistic] = {
        "mean": mean_score,
        "median": median_score,
        "iqm": interquartile_mean,
        "optimality gap": lambda drawn: optimality_gap(drawn, target),
    }
    return {name: bootstrap_interval(statistic, scores, **options) for name, statistic in statistics.items()}


# --------------------------------------------------------------------------------------- how soon


def time_to_threshold(steps: ArrayLike, curves: ArrayLike, level: float) -> np.ndarray:
    """When does each seed first reach a level? The first recorded step at or above it; between records nothing is guessed.

    Args:
        steps: (K,), environment steps or updates of the records, ascending.
        curves: (..., K), such as (seeds, K); the metric of every seed, larger is better. NaN, where nothing was measured, reaches
            no level.
        level: the level to reach.
    Returns:
        The steps, (...), float64: NaN for a seed that never got there. Count those; a mean over the others flatters the method.
    Raises:
        TypeError, ValueError: not real, a wrong shape, steps that do not ascend, or a level that is not one finite number.
    Example:
        >>> time_to_threshold([100, 200, 300], [[0.1, 0.6, 0.4], [0.2, 0.3, 0.4]], 0.5)
        array([200.,  nan])

    """
    when, goal = _real("steps", steps), _real("level", level)
    check_shape("steps", when, ("K",))
    check_shape("level", goal, ())
    if len(when) == 0 or np.any(np.diff(when) <= 0):
        raise ValueError("steps must ascend, and hold one or more")
    curves = _real("curves", curves, nan=True)
    if curves.shape[-1:] != when.shape:
        raise ValueError(f"curves must have shape (..., {len(when)}), one value a step; got {curves.shape}")
    reached = curves >= goal
    return np.where(reached.any(-1), when[reached.argmax(-1)], np.nan)
