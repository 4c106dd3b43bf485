"""Graders of chapter 6: POPGym."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from s5lib import envs, stats
from s5lib.checks.grading import Hint, call, compare, graded, parts

__all__ = [
    "check_counting_step",
    "check_knot_player",
    "check_parity",
    "check_return_without_memory",
    "check_suite_score",
]


@graded
def check_return_without_memory(answer: float) -> str:
    """Exercise 06-1: the best return at Repeat Previous Easy for a player that sees the card in view alone."""
    right = 2 * 13 / 51 - 1
    mistakes = {
        "That is what random play earns. The card in view says a little: it is not the one asked for.": -0.5,
        "That is the chance of a right answer; wrong ones cost as much as right ones pay.": 13 / 51,
        "That is the return of naming the suit in view, of which one card is gone: the worst choice.": 2 * 12 / 51 - 1,
        "The card asked for is one of the 51 others, not of 52.": 2 * 13 / 52 - 1 + 1e-9,
        "Three suits are as likely as each other, but the suit in view is possible too: it has 12 cards left.": 2 / 3
        - 1,
    }
    compare(np.asarray(answer, dtype=float), right, mistakes, what="The return", rtol=0, atol=6e-4)
    return "2 · 13/51 - 1 = -0.490, a hundredth above random play. More takes memory, in the network or outside it."


@graded
def check_knot_player(answer: Callable) -> str:
    """Exercise 06-2: Repeat First with no memory but one's own previous action."""
    env = envs.PreviousAction(envs.make("RepeatFirstEasy"))
    starts = jax.vmap(lambda key: env.reset_env(key, env.default_params))(jax.random.split(jax.random.key(0), 4))[0]
    said = [np.asarray(call(answer, obs)) for obs in starts]
    if any(action.shape != () for action in said):
        raise Hint(f"Return one suit, an integer from 0 to 3; got an array of shape `{said[0].shape}`.")
    if any(action.dtype.kind not in "iu" for action in said):
        raise Hint(f"Return an integer from 0 to 3; got `{said[0].dtype}`.")
    keys = jax.random.split(jax.random.key(1), 64)

    def act(key: jax.Array, state: Any, obs: jax.Array) -> jax.Array:
        return jnp.asarray(answer(obs), jnp.int32)

    games = jax.jit(jax.vmap(lambda key: envs.play(env, key, act)))(keys)
    first = np.asarray(games.obs[:, 0, :4].argmax(-1))
    shown, actions = np.asarray(games.obs[..., :4].argmax(-1)), np.asarray(games.action)
    if (actions == shown).all():
        raise Hint("You name the suit in view at every step; only on the first step is it the first one.")
    if (actions[:, 0] != first).any():
        raise Hint("On the first step, where `obs[8]` is 1, the suit in view is the first one: name it.")
    if (actions[:, 1:] != actions[:, :-1]).any():
        raise Hint("After the first step, say again what you said before: `obs[4:8]` holds it, one-hot.")
    earned = float(games.reward.sum(1).min())
    if earned < 1 - 1e-4:
        raise Hint(f"Over 64 games your worst return is {earned:.3f}; this player can earn 1 in each.")
    return "a return of 1 in 64 of 64 games, and no memory but what was said."


@graded
def check_counting_step(answer: Callable) -> str:
    """Exercise 06-3: the memory of Count Recall's best player, over packed episodes, at three sizes."""
    for name in ("CountRecallEasy", "CountRecallMedium", "CountRecallHard"):
        env = envs.make(name)
        games = [envs.play(env, jax.random.key(seed), "best") for seed in (0, 1)]
        obs = np.concatenate([np.asarray(game.obs) for game in games])
        truth = np.concatenate([np.asarray(game.action) for game in games])
        kinds, first = obs.shape[1] // 2, np.zeros(len(obs), bool)
        first[[0, len(obs) // 2]] = True
        counts, wrong = jnp.full(kinds, 5.0), []  # what another episode left behind
        for t in range(len(obs)):
            stepped = call(answer, counts, jnp.asarray(obs[t]), jnp.asarray(first[t]))
            after, said = parts(stepped, 2, "the counts and the action")
            if np.shape(after) != (kinds,):
                raise Hint(f"The counts should have shape `({kinds},)`, one for each kind; got `{np.shape(after)}`.")
            if np.shape(said) != ():
                raise Hint(f"The action should be one number; got shape `{np.shape(said)}`.")
            if int(said) != truth[t]:
                wrong.append((t, int(said)))
            counts = after
        if wrong:
            raise Hint(_why_miscounted(name, obs, first, truth, wrong))
    return "every count right, at 2, 4 and 13 kinds, over two games in a row: K counters and a reset are all it takes."


def _why_miscounted(name: str, obs: np.ndarray, first: np.ndarray, truth: np.ndarray, wrong: list) -> str:
    kinds, half = obs.shape[1] // 2, len(obs) // 2
    t, said = wrong[0]
    shown, asked = obs[:, :kinds], obs[:, kinds:]
    mistakes = dict(wrong)
    before = truth - (shown * asked).sum(1)
    if all(mistakes.get(t, truth[t]) == before[t] for t in range(len(obs))):
        return "The card in view counts too: add it before you answer."
    games = np.cumsum(first)
    opening = shown[np.searchsorted(games, games)]  # the first card of each game
    if all(mistakes.get(t, truth[t]) == truth[t] - (opening[t] * asked[t]).sum() for t in range(len(obs))):
        return "The first card of each game is missing: where `first` is True, void the counts *before* you add the card in view."
    dealt = np.stack([shown[(games == games[t]) & (np.arange(len(obs)) <= t)].sum(0) for t in range(len(obs))])
    if all(mistakes.get(t, truth[t]) == (dealt[t] * shown[t]).sum() for t in range(len(obs))):
        return (
            "You say how often the kind in view was dealt; the second half of `obs` names the kind that is asked about."
        )
    if t == 0 and said == truth[0] + 5:
        return "The counts you are given may belong to another episode: where `first` is True they count for nothing."
    if t >= half and wrong[-1][0] >= half:
        return "The first game is right and the second is not: where `first` is True, what was counted before is void."
    return f"{name}, step {t}: you say {said}, and {truth[t]} were dealt; {len(wrong)} of {len(obs)} answers are wrong."


@graded
def check_suite_score(answer: Callable) -> str:
    """Exercise 06-4: the interquartile mean of normalised scores."""
    rng = np.random.default_rng(6)
    for runs, tasks in ((5, 7), (3, 4), (1, 2)):
        random, best = rng.normal(size=tasks) - 1, rng.normal(size=tasks) ** 2 + 1
        returns = random + (best - random) * rng.normal(0.5, 0.8, size=(runs, tasks))
        scores = stats.normalised_scores(returns, random, best)
        right = stats.interquartile_mean(scores)
        value = np.asarray(call(answer, returns, random, best), dtype=float)
        if value.shape != ():
            raise Hint(f"Return one number for the whole suite; got an array of shape `{value.shape}`.")
        ordered, cut = np.sort(scores.ravel()), scores.size // 4
        mistakes = {
            "That averages returns of different scales: put each task between its random and its best return first.": (
                stats.interquartile_mean(returns)
            ),
            "That is the mean of all scores; leave out the lowest and the highest quarter.": scores.mean(),
            "That is a median; the interquartile mean averages the middle half.": np.median(scores),
            "Only the lowest quarter is left out; leave out the highest too.": ordered[cut:].mean(),
            "Only the highest quarter is left out; leave out the lowest too.": ordered[: len(ordered) - cut].mean(),
            "You cut the quarters within each task; cut them from all scores of all tasks together.": np.mean(
                [stats.interquartile_mean(column) for column in scores.T]
            ),
            "You average each task over its runs first; the quarters are cut from single runs.": (
                stats.interquartile_mean(scores.mean(0))
            ),
            "Nothing is clipped: a score may lie below 0 or above 1.": stats.interquartile_mean(np.clip(scores, 0, 1)),
            "The difference to random play is right; divide it by the distance from random to best.": (
                stats.interquartile_mean((returns - random) / best)
            ),
        }
        compare(value, right, {hint: x for hint, x in mistakes.items() if abs(x - right) > 1e-3}, what="The score")
    return "equal to s5lib.stats, for 5, 3 and 1 runs."


@graded
def check_parity(answer: Any) -> str:
    """Exercise 06-5: an environment of the reader's own."""
    env = answer() if isinstance(answer, type) else answer
    if not isinstance(env, envs.Environment):
        raise Hint("Pass the class itself, a subclass of `Environment`.")
    keys, params = jax.random.split(jax.random.key(0), 32), env.default_params
    first = [env.reset_env(key, params) for key in keys[:8]]
    shapes = {np.shape(obs) for obs, _ in first}
    if shapes != {(1,)}:
        raise Hint(f"The first observation should be `[bit]`, of shape `(1,)`; got `{shapes.pop()}`.")
    if len({float(obs[0]) for obs, _ in first}) == 1:
        raise Hint("The first bit is the same in 8 games out of 8; draw it from `key`.")
    games = jax.jit(jax.vmap(lambda key: envs.play(env, key, lambda key, state, obs: state[1] % 2, params)))(keys)
    bits = np.asarray(games.obs[..., 0])
    odd = np.cumsum(bits, 1) % 2
    if not np.isin(bits, (0, 1)).all():
        raise Hint("The observation should be the bit, 0 or 1.")
    if (bits[:, 1:] == bits[:, :1]).all():
        raise Hint("The bit never changes within a game; draw a new one from the `key` of each step.")
    if (np.asarray(games.state)[..., 0] != bits).any():
        raise Hint("The state's first entry should be the bit that the observation shows.")
    if (np.asarray(games.state)[..., 1] != np.cumsum(bits, 1)).any():
        raise Hint("The state's second entry should count the ones so far, the bit in view among them.")
    if not games.terminated[:, -1].all() or games.terminated[:, :-1].any():
        raise Hint(f"A game has {env.horizon} steps: `terminated` is True after the last and never before.")
    paid = np.asarray(games.reward) * env.horizon
    if np.allclose(paid, -1):
        raise Hint("Even is action 0 and odd is action 1; your reward has them the wrong way round.")
    after = np.where(odd[:, :-1] == odd[:, 1:], 1, -1)
    if np.allclose(paid[:, :-1], after):
        raise Hint("The reward is for the bits seen so far; yours counts the next one already.")
    if not np.allclose(paid, 1, atol=1e-4):
        raise Hint(
            f"A right answer should pay 1/{env.horizon}; a player that is always right earns {paid.sum(1)[0] / env.horizon:.3f}."
        )
    lazy = jax.vmap(lambda key: envs.play(env, key, lambda key, state, obs: (state[1] + 1) % 2, params))(keys[:2])
    if not np.allclose(lazy.reward.sum(1), -1, atol=1e-4):
        raise Hint("A wrong answer should cost as much as a right one pays.")
    return "an environment of your own: every rule holds over 32 games. Train on it."
