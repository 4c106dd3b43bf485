"""Chapter 7. Several trials in one meta-episode: what is learned in the first may be used in the next.

A trial is an episode of the environment inside. A meta-episode is a lifetime of trials with one hidden task, and the only thing
that ends: memory is reset where it ends, and never where a trial does.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from s5lib.config import check_positive_int
from s5lib.envs.base import Description, EnvParams, EnvState, Start, Transition, advance, begin, is_cut
from s5lib.envs.vector import rarely
from s5lib.envs.wrappers import WrappedState, Wrapper

__all__ = ["TrialState", "Trials"]


class TrialState(WrappedState):
    """A wrapper's state, the index of the trial under way and its return so far, and the first start if it is kept."""

    trial: jax.Array
    trial_return: jax.Array
    first: Start | None


@dataclass(frozen=True)
class Trials(Wrapper):
    """Give several trials, one after another, in one meta-episode.

    Where the episode inside ends, by a fall or by its time limit, the step returns the first observation of the next
    trial: nothing else marks the boundary in the observation (``PreviousAction(env, trial=True)`` adds a flag). The flags
    of a trial's end are therefore neither ``terminated`` nor ``truncated``: returns run on, and memory is kept.
    ``terminated`` holds once, as the last trial ends, even where that trial was cut by its time limit: the task is this
    number of trials, nothing can be earned after them, and so there is no value to bootstrap from.

    ``info`` tells on every step: ``"trial"``, the index from 0 of the trial that the step belonged to; ``"trial_ended"``,
    whether it was that trial's last; ``"trial_return"``, what the trial has earned, up to and with this step.

    With ``own_returns`` a learner is asked to credit an action with what follows in its own trial alone:
    ``info["returns_end"]`` is set at each trial's end, and ``ppo`` counts the value after it as 0. Memory is kept all the
    same. It takes away the reward for finding out now what helps later, and gives a signal that is many times clearer: where
    each step pays alike and the next trial begins at once, a fall costs nothing that a discounted sum could see, unless
    it is the last one.

    A meta-episode may be so many ``steps`` long instead, with ``trials=None``: it is then ``truncated``, in the middle of a
    trial. That is for learners. Where falls are quick, a number of trials makes lives of very different lengths, and those that
    need no more learning fill nearly all of a batch; a number of steps gives every hidden task the same share.

    What stays the same over the trials of a meta-episode, such as a ``Projection``, goes around this wrapper.

    Args:
        env: any environment; its own time limit is that of a trial.
        trials: how many to a meta-episode, positive; None for as many as fit in ``steps``.
        steps: cut a meta-episode after this many steps; None for no cut.
        fresh: draw each trial's start anew; False repeats the start of the meta-episode's first trial.
        own_returns: ask for returns that end with their trial.
    Raises:
        ValueError, TypeError: ``trials`` or ``steps`` is not a positive integer, or both are None.
    Example:
        >>> from s5lib.envs import make
        >>> env = Trials(make("PositionOnlyCartPoleEasy"), 16)
        >>> obs, state = env.reset(jax.random.key(0))
        >>> obs, state, reward, terminated, truncated, info = env.step(jax.random.key(1), state, 0)
        >>> env.horizon, int(info["trial"]), bool(info["trial_ended"])
        (3200, 0, False)

    Source: Lu et al. 2023 (arXiv 2303.03982), section 4.3; luchris429/popjaxrl, envs/meta_cartpole.py.
    Differs: that code starts every trial from the state of the first, which is ``fresh=False`` here.
    """

    opens_trials: ClassVar[bool] = True
    trials: int | None = 16
    fresh: bool = True
    own_returns: bool = False
    steps: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps is not None:
            check_positive_int("steps", self.steps)
        if self.trials is not None or self.steps is None:
            check_positive_int("trials", self.trials)

    @property
    def horizon(self) -> int:
        limits = [] if self.trials is None else [self.trials * super().horizon]
        return min(limits + ([] if self.steps is None else [self.steps]))

    def reset_env(self, key: jax.Array, params: EnvParams) -> Start:
        obs, state = super().reset_env(key, params)
        start = (obs, state.env_state)
        first = None if self.fresh else jax.tree.map(jnp.copy, start)  # buffers of its own: a state may be donated
        return obs, TrialState(**vars(state), trial=jnp.int32(0), trial_return=jnp.float32(0), first=first)

    def transition(self, key: jax.Array, state: EnvState, action: jax.Array, params: EnvParams) -> Transition:
        key_step, key_start = jax.random.split(key)
        obs, inner, reward, ended, info = advance(self.env, key_step, state.env_state, action, params)
        ended = ended | is_cut(self.env, inner, params)
        last = jnp.bool_(False) if self.trials is None else state.trial == self.trials - 1
        trial_return = state.trial_return + reward

        def restart(current: tuple, start: Any, params: EnvParams) -> tuple:
            start = begin(self.env, start, params) if self.fresh else start
            return jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), start, current)

        obs, inner = rarely(ended & ~last, restart, (obs, inner), key_start if self.fresh else state.first, params)
        info = {**info, "trial": state.trial, "trial_ended": ended, "trial_return": trial_return}
        info |= {"returns_end": ended} if self.own_returns else {}
        state = state.replace(
            env_state=inner,
            time=state.time + 1,
            episode_return=state.episode_return + reward,
            trial=state.trial + (ended & ~last),
            trial_return=jnp.where(ended, 0, trial_return),
        )
        return obs, state, reward, ended & last, info

    def is_truncated(self, state: EnvState, params: EnvParams) -> jax.Array:
        return jnp.bool_(False) if self.steps is None else state.time >= self.steps

    def describe(self) -> Description:
        told = self.env.describe()
        starts = "a fresh start each" if self.fresh else "all from one start"
        trials = "Trials" if self.trials is None else f"{self.trials} trials"
        cut = "" if self.steps is None else f", cut after {self.steps} steps"

        def total(of_trial: float | None) -> float | None:
            return None if of_trial is None or self.trials is None or self.steps is not None else self.trials * of_trial

        return dataclasses.replace(
            told,
            summary=f"{told.summary} {trials} to an episode{cut}, {starts}.",
            horizon=self.horizon,
            random_return=total(told.random_return),
            best_return=total(told.best_return),
        )
