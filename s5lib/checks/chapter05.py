"""Graders of chapter 5: memory under PPO."""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from s5lib import envs
from s5lib.checks.grading import Hint, call, compare, graded

__all__ = [
    "check_gae_from_flags",
    "check_largest_step",
    "check_packed_equals_separate",
    "check_ratio_gap",
    "check_value_ahead",
]


@graded
def check_largest_step(answer: float) -> str:
    """Exercise 05-1: the largest step at which a newborn state keeps a tenth over 2048 steps."""
    right = 2 * np.log(10) / 2048
    mistakes = {
        "The real part is -1/2, not -1: the state shrinks by exp(-step/2) a time step.": right / 2,
        "That leaves 1/e; a tenth was asked for.": 2 / 2048,
        "That leaves a half; a tenth was asked for.": 2 * np.log(2) / 2048,
        "That leaves nine tenths: it loses a tenth. One tenth should be left.": -2 * np.log(0.9) / 2048,
        "Use the natural logarithm: exp(-step · 2048 / 2) = 1/10.": 2 / 2048 * np.log2(10),
        "The sign: the state fades because Re λ is negative; a step is positive.": -right,
        "That is the time constant in units of time, not a step: divide by the 2048 steps.": 2 * np.log(10),
    }
    compare(np.asarray(answer, dtype=float), right, mistakes, what="The step", rtol=0.03, atol=0)
    return f"2 ln 10 / 2048 = {right:.5f}: above the default step_min of 0.001, so some newborn states are slow enough."


def _reader(carry: jax.Array, obs: jax.Array, resets: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A memory and critic in one line: the state is a fading sum, the value reads it."""
    carry = 0.5 * jnp.where(resets, 0, carry) + obs
    return carry, 2 * carry + 1


@graded
def check_value_ahead(answer: Callable) -> str:
    """Exercise 05-2: what the target of a step takes for the later rewards."""
    rng = np.random.default_rng(5)
    B = 8
    terminated = np.array([0, 0, 1, 0, 1, 0, 0, 1], bool)
    truncated = np.array([0, 1, 0, 0, 1, 1, 0, 0], bool)
    carry, opening, last = (jnp.asarray(rng.normal(size=B), jnp.float32) for _ in range(3))
    ended = terminated | truncated
    next_obs = jnp.where(ended, opening, last)  # as the environments here do: the next episode's first observation

    def value(obs: Any, resets: Any = False, past: Any = carry) -> np.ndarray:
        return np.asarray(_reader(past, obs, jnp.broadcast_to(resets, (B,)))[1])

    right = np.where(terminated, 0, np.where(truncated, value(last), value(next_obs)))
    both = terminated & truncated
    mistakes = {
        "You took a truncation for a termination: an episode that was only cut still has a future.": np.where(
            ended, 0, value(next_obs)
        ),
        "A terminated step has nothing ahead: its value is 0.": np.where(truncated, value(last), value(next_obs)),
        "Terminated and truncated in one step: it is over, so the value is 0 there too.": np.where(
            both, value(last), right
        ),
        "Where an episode was cut, `next_obs` already belongs to the next one; its own last is `final_observation`.": np.where(
            terminated, 0, value(next_obs)
        ),
        "`next_obs` of a cut episode is another episode's, and emptying the carry does not mend it.": np.where(
            terminated, 0, value(next_obs, ended)
        ),
        "The last observation must be read from the carry that knows the episode; you emptied it.": np.where(
            terminated, 0, np.where(truncated, value(last, True), value(next_obs))
        ),
        "The carry is emptied inside an episode too: inside it nothing is to be forgotten.": np.where(
            terminated, 0, np.where(truncated, value(last), value(next_obs, True))
        ),
        "The flags are swapped: truncated keeps its future, terminated has none.": np.where(
            truncated, 0, np.where(terminated, value(last), value(next_obs))
        ),
    }
    mistakes["Nothing may be forgotten here: both values are read from the carry as it is."] = np.where(
        terminated, 0, np.where(truncated, value(last, True), value(next_obs, True))
    )
    got = call(answer, _reader, carry, next_obs, last, jnp.asarray(terminated), jnp.asarray(truncated))
    if isinstance(got, tuple | list):
        raise Hint("Return the value alone; `read` gives a pair, carry and value.")
    compare(got, right, mistakes, what="The value ahead", rtol=1e-3)
    return "0 after a termination, V(o*) from the unemptied carry after a cut, V of the next observation otherwise."


def _episodes(seed: int, T: int, B: int) -> tuple[np.ndarray, ...]:
    """Rewards, values and flags of some rollout, float64; where no episode was cut the final value is a trap."""
    rng = np.random.default_rng(seed)
    reward, value, final_value = rng.normal(size=(3, T, B))
    terminated, truncated = rng.random((2, T, B)) < 0.2
    terminated[2, 0], truncated[2, 0], truncated[4, 1], terminated[4, 1] = True, True, True, False
    terminated[-1, 0], truncated[-1, 0] = False, False  # so that the value after the last step matters
    return reward, value, terminated, truncated, np.where(truncated, final_value, 1e3), rng.normal(size=B)


def _advantages(
    reward: np.ndarray, value: np.ndarray, ahead: np.ndarray, stops: np.ndarray, gamma: float, decay: float
) -> np.ndarray:
    advantage, later = np.zeros_like(reward), np.zeros(reward.shape[1])
    for t in reversed(range(len(reward))):
        later = reward[t] + gamma * ahead[t] - value[t] + decay * np.where(stops[t], 0, later)
        advantage[t] = later
    return advantage


@graded
def check_gae_from_flags(answer: Callable) -> str:
    """Exercise 05-3: advantages from terminated and truncated, float64."""
    for gamma, lam in ((0.9, 0.8), (0.97, 1.0), (0.99, 0.0)):
        reward, value, terminated, truncated, final_value, last_value = _episodes(3, 9, 4)
        ended, neither = terminated | truncated, np.zeros_like(terminated)
        following = np.concatenate([value[1:], last_value[None]])
        ahead = np.where(terminated, 0, np.where(truncated, final_value, following))

        def other(future=ahead, stops=ended, discount=gamma, decay=gamma * lam, reward=reward, value=value):
            return _advantages(reward, value, future, stops, discount, decay)

        mistakes = {
            "You took a truncation for a termination: it still has a future, `final_value`.": other(
                np.where(ended, 0, following)
            ),
            "After a truncation `value[t + 1]` belongs to the next episode; use `final_value[t]`.": other(
                np.where(terminated, 0, following)
            ),
            "A terminated step has no future: its value ahead is 0.": other(
                np.where(truncated, final_value, following)
            ),
            "Where a step is both terminated and truncated, it is over: 0 ahead.": other(
                np.where(truncated, final_value, np.where(terminated, 0, following))
            ),
            "The sum must stop at a truncation too: the errors after it are another episode's.": other(
                stops=terminated
            ),
            "The sum never stops: credit of one episode flows into the one before.": other(stops=neither),
            "The last step of the rollout ignores `last_value`.": other(
                np.where(terminated, 0, np.where(truncated, final_value, np.r_[value[1:], 0 * value[:1]]))
            ),
            "Later errors fade by gamma times gae_lambda, not by gamma alone.": other(decay=gamma),
            "Later errors fade by gamma times gae_lambda, not by gae_lambda alone.": other(decay=lam),
            "The value ahead is discounted by gamma.": other(discount=1.0),
            "These are the targets, advantage plus value; the advantages alone were asked for.": other() + value,
        }
        got = call(answer, reward, value, terminated, truncated, final_value, last_value, gamma, lam)
        where = f"With gamma {gamma}, gae_lambda {lam}: the advantage"
        compare(got, other(), mistakes, what=where, rtol=1e-3, atol=1e-4)
    return "equal for three pairs of gamma and gae_lambda, with episodes that terminate, are cut, and both at once."


@cache
def _full_memories() -> tuple[Any, Any, Any, Any]:
    """An agent whose policy reads its memory, its weights, a rollout made while episodes were under way, its carry."""
    from s5lib import ppo  # loaded here: the other graders do without a learner

    config = ppo.PPOConfig(
        memory="gru", features=8, encoder=(8,), head=(8,), num_envs=16, num_steps=16, num_minibatches=4,
    )  # fmt: skip
    agent = ppo.make(config, env=envs.TimeLimit(envs.make("PositionOnlyCartPoleEasy"), 12))
    collect = jax.jit(agent.collect)
    state = jax.jit(agent.init)(jax.random.key(0))
    louder = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf * (1000 if "policy" in str(path) else 1), state.params
    )
    state, _, _ = collect(state.replace(params=louder), jax.random.key(1))
    return agent, state.params, collect(state, jax.random.key(2))[1], state.carry


@cache
def _ratios(resets: bool) -> np.ndarray:
    """New probability over old at every step (T, B), read from an empty carry, with the rollout's resets or without."""
    agent, params, rollout, _ = _full_memories()
    empty = agent.network.initial_carry(agent.config.num_envs)
    flags = rollout.resets & resets
    _, policy, _ = agent.network.apply(params, empty, rollout.obs, flags)
    return np.exp(np.asarray(policy.log_prob(rollout.action) - rollout.log_prob))


@graded
def check_ratio_gap(answer: Callable) -> str:
    """Exercise 05-4: how far the ratio is from 1, over time, when training starts from an empty carry."""
    agent, params, rollout, _ = _full_memories()
    each = _ratios(True)
    gap, right = np.abs(each - 1), np.abs(each - 1).mean(1)
    mistakes: dict[str, Any] = {
        "Take the absolute value before the mean: ratios above and below 1 cancel.": each.mean(1) - 1,
        "Take the absolute value of each ratio's gap, then the mean; not the other way round.": np.abs(
            each.mean(1) - 1
        ),
        "That is the mean over time; average over the environments, axis 1.": gap.mean(0),
        "Average over the environments: one number for each time step.": gap,
        "That is one number; keep the time axis.": gap.mean(),
        "That is the ratio itself; subtract 1.": each.mean(1),
        "That is the difference of logarithms; the ratio is its exponential.": np.abs(np.log(each)).mean(1),
        "The ratio is upside down: new over old is exp(new log_prob - old log_prob).": np.abs(1 / each - 1).mean(1),
        "You read the rollout without its resets.": np.abs(_ratios(False) - 1).mean(1),
    }
    got = np.asarray(call(answer, agent, params, rollout))
    if got.shape == right.shape and np.abs(got).max() < 1e-3:
        raise Hint(
            "That is the gap of the carry the agent acted from, nearly 0. Start from `agent.network.initial_carry`."
        )
    compare(got, right, mistakes, what="The gap", rtol=1e-3, atol=1e-4)
    late = int(np.argmax(np.cumsum(rollout.resets, axis=0).min(1) > 0))
    return f"{right[0]:.2f} at the first step, and 0 from step {late} on, when every environment has been reset."


def _read_with(flags_of: Callable[[np.ndarray], np.ndarray], rounding: float = 0.0) -> Callable:
    """A reader with a fading memory, emptied where ``flags_of(ended)`` is True."""

    def read(obs: Any, ended: Any) -> np.ndarray:
        obs, flags = np.asarray(obs, float), flags_of(np.asarray(ended, bool))
        state, outputs = np.zeros(obs.shape[1:]), []
        for now, flag in zip(obs, flags, strict=True):
            state = 0.8 * np.where(flag[:, None], 0, state) + now
            outputs.append(np.tanh(state) * (1 + rounding * len(obs)))
        return np.array(outputs)

    return read


def _late(ended: np.ndarray, by: int = 1) -> np.ndarray:
    """What was said after each step, as it stands ``by`` steps later; True at first."""
    by = min(by, len(ended))
    return np.concatenate([np.ones_like(ended[:by]), ended[: len(ended) - by]])


@graded
def check_packed_equals_separate(answer: Callable) -> str:
    """Exercise 05-5: the reader's test must pass readers that keep episodes apart and catch those that do not."""
    rng = np.random.default_rng(55)
    obs, ended = rng.normal(size=(24, 3, 2)), np.zeros((24, 3), bool)
    # One episode has a single step, one ends with the pack.
    ended[[5, 6, 17], 0] = ended[[2, 11], 1] = ended[23, 2] = True

    def over_time(obs: Any, ended: Any) -> np.ndarray:
        return _read_with(_late)(np.asarray(obs) - np.mean(obs, axis=0), ended)

    right = {
        "keeps episodes apart. Give it each episode with its own part of `ended`, and mind an episode that ends with the last "
        "step: nothing follows it.": _read_with(_late),
        "differs by rounding only. Compare with a tolerance.": _read_with(_late, rounding=1e-8),
        "has no memory at all.": lambda obs, ended: np.tanh(np.asarray(obs)),
    }
    for what, read in right.items():
        verdict = call(answer, read, obs, ended)
        if np.shape(verdict) != () or np.asarray(verdict).dtype.kind != "b":
            raise Hint(f"Return one bool, True or False; your test returned `{type(verdict).__name__}`.")
        if not verdict:
            raise Hint(f"Your test turns away a reader that {what}")
    wrong = {
        "empties its memory one step early, by `ended` as it stands.": _read_with(lambda ended: ended),
        "empties its memory one step late.": _read_with(lambda ended: _late(ended, 2)),
        "never empties its memory.": _read_with(lambda ended: np.zeros_like(ended)),
        "takes the flags of environment 0 for all. Compare every environment.": _read_with(
            lambda ended: np.broadcast_to(_late(ended)[:, :1], ended.shape)
        ),
        "misses the end of an episode of one step. Compare every episode, short ones too.": _read_with(
            lambda ended: _late(ended) & ~ended
        ),
        "looks ahead: it subtracts the mean over the whole pack.": over_time,
    }
    for fault, read in wrong.items():
        if call(answer, read, obs, ended):
            raise Hint(f"Your test lets through a reader that {fault}")
    return f"your test passed {len(right)} honest readers and caught all {len(wrong)} others."
