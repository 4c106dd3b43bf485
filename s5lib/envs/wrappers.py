"""Environments around environments: what is seen, done, told or repeated otherwise than inside."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from s5lib.config import check_flags, check_positive_int
from s5lib.envs import spaces
from s5lib.envs.base import (
    AnyEnv,
    Description,
    Environment,
    EnvParams,
    EnvState,
    Start,
    Transition,
    advance,
    begin,
    check_action_box,
    check_interface,
    check_vectors,
    horizon_of,
    is_cut,
    one_hots,
)
from s5lib.envs.spaces import Space

__all__ = [
    "ActionRepeat",
    "EpisodeStatistics",
    "Padded",
    "PreviousAction",
    "ScaledAction",
    "Standardized",
    "TimeLimit",
    "VariedParams",
    "VariedState",
    "WithParams",
    "WrappedState",
    "Wrapper",
    "bare_name",
    "in_reach",
    "inner",
    "trials_of",
]


class WrappedState(struct.PyTreeNode):
    """The state of a wrapped environment: its own, the steps of this episode, and its return so far."""

    env_state: EnvState
    time: jax.Array
    episode_return: jax.Array


def inner(state: EnvState, kind: type) -> Any:
    """Look into a wrapped environment's state for that of one wrapper, or of the environment inside.

    Args:
        state: what ``env.reset`` or ``env.step`` returned, of one environment or of many stepped as one.
        kind: the class of state to look for, such as ``ProjectedState``.
    Returns:
        The outermost state of that class.
    Raises:
        ValueError: there is none.
    Example:
        >>> from s5lib.envs import make
        >>> from s5lib.envs.popgym.cartpole import State
        >>> inner(PreviousAction(make("PositionOnlyCartPoleEasy")).reset(jax.random.key(0))[1], State).physics.shape
        (4,)

    """
    layers = [state]
    while not isinstance(layers[-1], kind):
        if not hasattr(layers[-1], "env_state"):
            found = ", ".join(type(layer).__name__ for layer in layers)
            raise ValueError(f"state must hold a {kind.__name__}; it holds {found}")
        layers.append(layers[-1].env_state)
    return layers[-1]


@dataclass(frozen=True)
class Wrapper(Environment):
    """An environment around another; by itself it changes nothing.

    Args:
        env: any environment with gymnax's interface.
    Raises:
        ValueError: it lacks part of the interface, or changes ``reset`` or ``step`` where ``reset_env`` or ``step_env`` is meant.
    """

    env: AnyEnv
    opens_trials: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_flags(self)
        check_interface(self.env)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "env":
            raise AttributeError(name)
        return getattr(self.env, name)

    @property
    def horizon(self) -> int:
        return horizon_of(self.env)

    @property
    def default_params(self) -> EnvParams:
        return self.env.default_params

    def observation_space(self, params: EnvParams) -> Space:
        return self.env.observation_space(params)

    def action_space(self, params: EnvParams) -> Space:
        return self.env.action_space(params)

    def reset_env(self, key: jax.Array, params: EnvParams) -> Start:
        obs, state = begin(self.env, key, params)
        return obs, WrappedState(state, jnp.int32(0), jnp.float32(0))

    def transition(self, key: jax.Array, state: WrappedState, action: jax.Array, params: EnvParams) -> Transition:
        obs, inner, reward, terminated, info = advance(self.env, key, state.env_state, action, params)
        state = WrappedState(inner, state.time + 1, state.episode_return + reward)
        return obs, state, reward, terminated, info

    def is_truncated(self, state: WrappedState, params: EnvParams) -> jax.Array:
        return is_cut(self.env, state.env_state, params)

    def best_action(self, state: WrappedState) -> jax.Array:
        return self.env.best_action(state.env_state)

    def describe(self) -> Description:
        return self.env.describe()


def trials_of(env: AnyEnv) -> Any:
    """Return the outermost ``Trials`` among an environment and what stands inside its wrappers; None without one."""
    while isinstance(env, Wrapper) and not env.opens_trials:
        env = env.env
    return env if isinstance(env, Wrapper) else None


def bare_name(env: AnyEnv) -> str:
    """The name of the environment inside all wrappers."""
    while isinstance(env, Wrapper):
        env = env.env
    return env.name


@dataclass(frozen=True)
class PreviousAction(Wrapper):
    """Append the previous action to the observation, what came of it if asked, and a flag that is 1 on the first.

    ``obs' = [obs, action (one-hot, or as it is where it is continuous), reward, trial (both if asked), first]``. Before
    the first action those entries are 0; the flag tells this from a first action that was 0. Real numbers are shown no
    larger than 10: where an environment does not mind an action's size, one who answers with twice what it is shown goes on to inf.

    Args:
        env: an environment whose observations are vectors.
        reward: append the previous reward too.
        trial: append ``info["trial_ended"]`` of the previous step too: 1 on the observation that opens a new trial (see
            ``Trials``), on the last of a meta-episode as well; always 0 where the environment has no trials.
    Raises:
        ValueError: an observation is not a vector.
    Source: popgym 1.0.7, wrappers PreviousAction and Antialias.
    Differs: the null action before the first step is all zeros, not the one-hot of action 0.
    """

    reward: bool = False
    trial: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_vectors(self.env)

    def _encode(self, action: jax.Array, params: EnvParams) -> jax.Array:
        space = self.env.action_space(params)
        if spaces.is_box(space):
            return jnp.clip(action.astype(jnp.float32).reshape(-1), -10, 10)
        return one_hots(action.reshape(-1), spaces.choices(space))

    def _extra(self, params: EnvParams) -> int:
        space = self.env.action_space(params)
        wide = int(np.prod(space.shape)) if spaces.is_box(space) else sum(spaces.choices(space))
        return wide + self.reward + self.trial + 1

    def observation_space(self, params: EnvParams) -> Space:
        space = self.env.observation_space(params)
        size, extra = space.shape[0], self._extra(params)
        low, high = (
            jnp.concatenate([jnp.broadcast_to(bound, (size,)), jnp.full(extra, end)]).astype(jnp.float32)
            for bound, end in ((space.low, -jnp.inf), (space.high, jnp.inf))
        )
        return spaces.Box(low, high, (size + extra,))

    def reset_env(self, key: jax.Array, params: EnvParams) -> Start:
        obs, state = super().reset_env(key, params)
        return jnp.concatenate([obs, jnp.zeros(self._extra(params) - 1, jnp.float32), jnp.ones(1, jnp.float32)]), state

    def transition(self, key: jax.Array, state: WrappedState, action: jax.Array, params: EnvParams) -> Transition:
        obs, state, reward, terminated, info = super().transition(key, state, action, params)
        ended = jnp.float32(info.get("trial_ended", False))
        parts = [obs, self._encode(action, params)] + [reward[None]] * self.reward + [ended[None]] * self.trial
        return jnp.concatenate([*parts, jnp.zeros(1, jnp.float32)]), state, reward, terminated, info


@dataclass(frozen=True)
class EpisodeStatistics(Wrapper):
    """Report ``info["episode_return"]`` (undiscounted) and ``info["episode_length"]``, up to and with this step.

    They are those of a whole episode where ``terminated | truncated``.

    Args:
        env: any environment.
    """

    def transition(self, key: jax.Array, state: WrappedState, action: jax.Array, params: EnvParams) -> Transition:
        obs, state, reward, terminated, info = super().transition(key, state, action, params)
        statistics = {"episode_return": state.episode_return, "episode_length": state.time}
        return obs, state, reward, terminated, {**info, **statistics}


@dataclass(frozen=True)
class TimeLimit(Wrapper):
    """Cut an episode after ``max_steps`` steps. A cut is ``truncated``, never ``terminated``: the value goes on.

    Args:
        env: any environment.
        max_steps: the limit, counted from the reset.
    """

    max_steps: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive_int("max_steps", self.max_steps)

    @property
    def horizon(self) -> int:
        try:
            return min(self.max_steps, super().horizon)
        except ValueError:  # it does not say
            return self.max_steps

    def is_truncated(self, state: WrappedState, params: EnvParams) -> jax.Array:
        return super().is_truncated(state, params) | (state.time >= self.max_steps)


@dataclass(frozen=True)
class WithParams(Wrapper):
    """Put params of your own in the place of an environment's ``default_params``, by which all of this library goes.

    A ``vmap`` over params makes its agents inside: a function of ``gravity`` that makes ``WithParams(env,
    params.replace(gravity=gravity))``, an agent in it, and its state and updates.

    Args:
        env: the environment itself: other wrappers go around this one.
        params: of the kind of its ``default_params``, such as ``env.default_params.replace(gravity=5.0)``. Their
            ``max_steps_in_episode`` is the horizon, a plain number.
    Raises:
        ValueError: ``env`` is a wrapper.
        TypeError: params of another kind. Its ``reset`` and ``step``, where params hold arrays: ``vectorize`` takes those.
    """

    params: EnvParams

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.env, Wrapper):
            raise ValueError(f"env must be the environment itself, inside all wrappers; got {type(self.env).__name__}")
        kind = type(self.env.default_params)
        if not isinstance(self.params, kind):
            raise TypeError(f"params must be of the kind of env's own, {kind.__name__}; got {self.params!r}")

    def __hash__(self) -> int:
        try:
            return hash((type(self), self.env, self.params))
        except TypeError:
            raise TypeError(
                "params must be plain numbers here; those that hold arrays go by vectorize(env, num_envs)"
            ) from None

    @property
    def horizon(self) -> int:
        told = getattr(self.params, "max_steps_in_episode", None)
        return super().horizon if told is None else told

    @property
    def default_params(self) -> EnvParams:
        return self.params


class VariedState(WrappedState):
    """A wrapper's state, and the params of this episode."""

    params: EnvParams


@dataclass(frozen=True)
class VariedParams(Wrapper):
    """Draw params anew for each episode: domains to generalise over, in training and in evaluation.

    Around ``Trials`` they are those of the whole meta-episode; inside, each trial draws its own.

    Args:
        env: an environment of gymnax's, or another that goes by params.
        draw: a function (key, params) of the params otherwise in force, that returns those of an episode, no longer than theirs:
            ``lambda key, params: params.replace(gravity=jax.random.uniform(key, minval=5.0, maxval=15.0))``.
    """

    draw: Callable[[jax.Array, EnvParams], EnvParams]

    def reset_env(self, key: jax.Array, params: EnvParams) -> Start:
        key_inside, key_params = jax.random.split(key)
        drawn = self.draw(key_params, params)
        obs, inner = super().reset_env(key_inside, drawn)
        return obs, VariedState(**vars(inner), params=drawn)

    def transition(self, key: jax.Array, state: EnvState, action: jax.Array, params: EnvParams) -> Transition:
        obs, inner, reward, terminated, info = super().transition(key, state, action, state.params)
        return obs, state.replace(**vars(inner)), reward, terminated, info

    def is_truncated(self, state: EnvState, params: EnvParams) -> jax.Array:
        return super().is_truncated(state, state.params)


@dataclass(frozen=True)
class ActionRepeat(Wrapper):
    """Do each action so many times in a row: fewer decisions, each with more to see for it.

    The reward is the sum over those steps; observation and ``info`` are the last one's. Where the episode ends on the way, or a
    trial (see ``Trials``), the rest is not done. A world of rigid bodies may ask for a hundred actions a second, of which one
    alone moves little.

    Args:
        env: any environment.
        repeats: steps of the environment to one of this, positive.
    Raises:
        TypeError, ValueError: ``repeats`` is not a positive integer.
    Source: Mnih et al. 2013 (arXiv 1312.5602), section 5, as frame skipping.
    """

    repeats: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive_int("repeats", self.repeats)

    @property
    def horizon(self) -> int:
        steps, trials = super().horizon, trials_of(self.env)
        if trials is None:
            return -(-steps // self.repeats)
        of_trial = -(-horizon_of(trials.env) // self.repeats)
        return steps if trials.trials is None else min(steps, trials.trials * of_trial)

    def transition(self, key: jax.Array, state: WrappedState, action: jax.Array, params: EnvParams) -> Transition:
        def step(now: tuple, key: jax.Array) -> tuple:
            inner, over = now
            obs, new, reward, terminated, info = advance(self.env, key, inner, action, params)
            inner = jax.tree.map(lambda new, old: jnp.where(over, old, new), new, inner)
            ends = terminated | is_cut(self.env, inner, params) | info.get("trial_ended", False)
            return (inner, over | ends), (obs, jnp.where(over, 0, reward), terminated, info, ~over)

        keys = jax.random.split(key, self.repeats)
        rows: Any
        (inner, _), rows = jax.lax.scan(step, (state.env_state, jnp.bool_(False)), keys)
        obs, reward, terminated, info, played = rows
        last = jnp.sum(played) - 1
        obs, terminated, info = jax.tree.map(lambda leaf: leaf[last], (obs, terminated, info))
        total = reward.sum()
        return obs, WrappedState(inner, state.time + 1, state.episode_return + total), total, terminated, info


def in_reach(space: Any) -> bool:
    """Whether what a new policy draws, standard normal numbers, suits a space as it is.

    It does not suit a box of one dimension and finite bounds, of which one lies nearer to 0 than .5, or further than 5, or on
    the other's side.
    """
    if not spaces.is_vector(space) or not _is_bounded(space):
        return True
    bounds = -np.asarray(space.low), np.asarray(space.high)
    return all(np.all((bound >= 0.5) & (bound <= 5)) for bound in bounds)


def _is_bounded(box: Any) -> bool:
    return all(np.isfinite(bound).all() for bound in (box.low, box.high))


@dataclass(frozen=True)
class ScaledAction(Wrapper):
    """Take actions from -1 to 1, stretched to the box of the environment inside.

    A policy starts with standard normal numbers: of a box such as -2000 to 2000 they would reach the middle alone, of .999 to
    1.001 the ends alone. ``ppo.make`` puts this around an environment whose bounds are not .5 to 5 on either side of 0.

    Args:
        env: an environment with bounded vectors as actions.
    Raises:
        ValueError: actions of other kinds, or without bounds.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_bounded(self.env)

    def action_space(self, params: EnvParams) -> Space:
        return spaces.Box(-1.0, 1.0, self.env.action_space(params).shape)

    def transition(self, key: jax.Array, state: WrappedState, action: jax.Array, params: EnvParams) -> Transition:
        return super().transition(key, state, _stretch(self.env.action_space(params), action), params)

    def best_action(self, state: WrappedState) -> jax.Array:
        return _shrink(self.env.action_space(self.env.default_params), super().best_action(state))


def _check_bounded(env: AnyEnv) -> None:
    check_action_box(env)
    space = env.action_space(env.default_params)
    if not _is_bounded(space):
        raise ValueError(f"env must have bounded actions, to be stretched to; {type(env).__name__} has {space}")


def _stretch(box: Any, action: jax.Array) -> jax.Array:
    """From -1 to 1 to the bounds of a box."""
    return (box.high + box.low) / 2 + (box.high - box.low) / 2 * action


def _shrink(box: Any, action: jax.Array) -> jax.Array:
    """From the bounds of a box to -1 to 1."""
    return (action - (box.high + box.low) / 2) / ((box.high - box.low) / 2)


@dataclass(frozen=True)
class Padded(Wrapper):
    """Give an environment observations and actions of another, larger size.

    Observations end in zeros. Of an action, -1 to 1 in each entry, the environment reads the first few, stretched to its box;
    the rest move nothing.

    Args:
        env: an environment whose observations are vectors, and its actions bounded vectors.
        obs_size: at least as many as are observed inside.
        action_size: at least as many as the actions inside.
    Raises:
        ValueError: the environment is wider, or has other kinds of observations or actions.
        TypeError: a size that is not an integer.
    """

    obs_size: int = 12
    action_size: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_bounded(self.env)
        space = self.env.action_space(self.env.default_params)
        for name, least in (("obs_size", check_vectors(self.env)), ("action_size", space.shape[0])):
            if check_positive_int(name, getattr(self, name)) < least:
                what = "observations" if name == "obs_size" else "actions"
                raise ValueError(
                    f"{name} = {getattr(self, name)} is too small for {bare_name(self.env)}: it has {least} {what}"
                )

    def observation_space(self, params: EnvParams) -> Space:
        space = self.env.observation_space(params)
        low, high = (self._pad(jnp.broadcast_to(bound, space.shape)) for bound in (space.low, space.high))
        return spaces.Box(low, high, (self.obs_size,))

    def action_space(self, params: EnvParams) -> Space:
        return spaces.Box(-1.0, 1.0, (self.action_size,))

    def _pad(self, obs: jax.Array) -> jax.Array:
        return jnp.pad(obs.astype(jnp.float32), (0, self.obs_size - obs.shape[0]))

    def reset_env(self, key: jax.Array, params: EnvParams) -> Start:
        obs, state = super().reset_env(key, params)
        return self._pad(obs), state

    def transition(self, key: jax.Array, state: WrappedState, action: jax.Array, params: EnvParams) -> Transition:
        space = self.env.action_space(params)
        action = _stretch(space, action[: space.shape[0]])
        obs, state, reward, terminated, info = super().transition(key, state, action, params)
        return self._pad(obs), state, reward, terminated, info

    def best_action(self, state: WrappedState) -> jax.Array:
        space = self.env.action_space(self.env.default_params)
        action = _shrink(space, super().best_action(state))
        return jnp.pad(action, (0, self.action_size - action.shape[0]))


@dataclass(frozen=True)
class Standardized(Wrapper):
    """Shift and scale each number that is observed: ``(o - mean) / std``.

    One environment may observe distances of centimetres beside speeds of many radians a second. Where all of them are mixed, the
    small ones drown in the large.

    Args:
        env: an environment whose observations are vectors.
        mean, std: one number for each that is observed; ``measure_spread`` has them, and ``SPREADS`` those of chapter 8's worlds.
    Raises:
        ValueError: observations that are not vectors, another count of numbers, or an std that is not positive.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        size = check_vectors(self.env)
        for name in ("mean", "std"):
            values = tuple(map(float, getattr(self, name)))
            if len(values) != size or not np.isfinite(values).all() or (name == "std" and min(values) <= 0):
                kind = "positive numbers" if name == "std" else "numbers"
                raise ValueError(f"{name} must be {size} {kind}, one for each that is observed; got {values}")
            object.__setattr__(self, name, values)

    def _scaled(self, obs: jax.Array) -> jax.Array:
        return (obs - jnp.array(self.mean, jnp.float32)) / jnp.array(self.std, jnp.float32)

    def observation_space(self, params: EnvParams) -> Space:
        space = self.env.observation_space(params)
        return spaces.Box(self._scaled(space.low), self._scaled(space.high), space.shape)

    def reset_env(self, key: jax.Array, params: EnvParams) -> Start:
        obs, state = super().reset_env(key, params)
        return self._scaled(obs), state

    def transition(self, key: jax.Array, state: WrappedState, action: jax.Array, params: EnvParams) -> Transition:
        obs, state, reward, terminated, info = super().transition(key, state, action, params)
        return self._scaled(obs), state, reward, terminated, info
