"""What every environment shares: gymnax's interface, wrappers, and many environments stepped as one.

Times of the flags: ``terminated`` and ``truncated`` are known after a step. A wrapper that changes observations changes
the last one of an episode too, since all wrappers act on ``reset_env`` and ``step_env``, below every automatic reset.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from s5lib.config import check_positive_int, check_shape, is_concrete, require

__all__ = [
    "ActionRepeat",
    "Description",
    "Environment",
    "Episode",
    "EpisodeStatistics",
    "MultiDiscrete",
    "PreviousAction",
    "TimeLimit",
    "VectorEnv",
    "Wrapper",
    "inner",
    "one_hots",
    "play",
    "rarely",
    "vectorize",
]

gymnax: Any = require("gymnax.environments.environment", "envs")
spaces: Any = require("gymnax.environments.spaces", "envs")


@dataclass(frozen=True)
class Description:
    """What a task shows, asks and pays.

    Attributes:
        name: the task, such as ``"RepeatPreviousHard"``.
        summary: the rules in a sentence or two.
        observation: pairs (indices, meaning) that cover the observation vector, such as ``("0-3", "suit of the card")``.
        action: what each action means.
        reward: what is paid, and when.
        horizon: steps in the longest episode.
        random_return: mean return of uniformly random actions; None for options that nobody measured.
        best_return: mean return of ``best_policy``; None for options that nobody measured.
        best_policy: who earns ``best_return``, and what that player may see.
        source: where the rules come from.
    """

    name: str
    summary: str
    observation: tuple[tuple[str, str], ...]
    action: str
    reward: str
    horizon: int
    random_return: float | None
    best_return: float | None
    best_policy: str
    source: str


class MultiDiscrete(spaces.Space):
    """Several choices at once: a vector of integers, entry i in 0 .. nvec[i] - 1. gymnax has no such space.

    Example:
        >>> board = MultiDiscrete((8, 8))
        >>> board.shape, bool(board.contains(jnp.array([7, 8])))
        ((2,), False)

    """

    def __init__(self, nvec: tuple[int, ...]):
        self.nvec = tuple(check_positive_int("nvec", n) for n in nvec)
        self.shape = (len(self.nvec),)
        self.dtype = jnp.dtype(jnp.int32)

    def __repr__(self) -> str:
        return f"MultiDiscrete({self.nvec})"

    def sample(self, key: jax.Array) -> jax.Array:
        return jax.random.randint(key, self.shape, 0, jnp.array(self.nvec))

    def contains(self, x: jax.Array) -> jax.Array:
        return jnp.all((x >= 0) & (x < jnp.array(self.nvec)))


def one_hots(values: jax.Array, sizes: tuple[int, ...]) -> jax.Array:
    """Write several integers as one vector of zeros and ones, each integer in its own stretch.

    The order is that of ``gymnasium.spaces.flatten`` for a ``MultiDiscrete`` space or a tuple of ``Discrete`` ones.

    Args:
        values: integers, shape (k,).
        sizes: how many values each of the k integers can take.
    Returns:
        Shape (sum(sizes),), float32.
    Example:
        >>> one_hots(jnp.array([1, 0]), (2, 3)).tolist()
        [0.0, 1.0, 1.0, 0.0, 0.0]

    """
    check_shape("values", values, (len(sizes),))
    values = values.astype(jnp.int32)
    if len(set(sizes)) == 1:
        return jax.nn.one_hot(values, sizes[0]).reshape(-1)
    return jnp.concatenate([jax.nn.one_hot(value, size) for value, size in zip(values, sizes, strict=True)])


def _choices(space: Any) -> tuple[int, ...]:
    """How many values each integer of a discrete action can take."""
    return space.nvec if hasattr(space, "nvec") else (space.n,)


def check_action(space: Any, action: Any, batch: tuple[int, ...] = ()) -> jax.Array:
    """Return an action as an array of the space's dtype, or say what is wrong with it.

    Shape and kind are checked always, the range only of numbers that can be looked at; traced ones are clipped into it.
    """
    action = action if hasattr(action, "dtype") else np.asarray(action)
    discrete = not isinstance(space, spaces.Box)
    wanted = jnp.integer if discrete else jnp.floating
    if not jnp.issubdtype(action.dtype, wanted):
        raise TypeError(f"action must be {'an integer' if discrete else 'a float'} of {space}; got {action.dtype}")
    check_shape("action", action, (*batch, *space.shape))
    low: Any = np.zeros(space.shape, np.int32) if discrete else space.low
    high: Any = np.array(getattr(space, "nvec", getattr(space, "n", 0))) - 1 if discrete else space.high
    if is_concrete(action):
        values = np.asarray(action)
        if not np.all((values >= low) & (values <= high)):
            raise ValueError(f"action must lie in {space}, from {low} to {high}; got {values}")
    return jnp.clip(jnp.asarray(action).astype(space.dtype), low, high)


def check_vectors(env: Any) -> int:
    """Return the length of an environment's observations if they are vectors; else a ValueError."""
    space = env.observation_space(env.default_params)
    if not isinstance(space, spaces.Box) or len(space.shape) != 1:
        raise ValueError(f"env must have vectors as observations; {type(env).__name__} has {space}")
    return space.shape[0]


class Environment(gymnax.Environment):
    """A gymnax environment. Families are frozen dataclasses, so that equal environments share compiled functions.

    ``reset(key, params)`` returns ``obs, state``; ``step(key, state, action, params)`` returns ``obs, state, reward,
    terminated, truncated, info``, and starts the next episode where one ended, as gymnax does: the last observation is
    ``info["final_observation"]``. ``step_env`` takes the same arguments and never resets; it returns ``obs, state,
    reward, terminated, info``, and ``is_truncated(state, params)`` says the rest. To step many environments fast, see
    ``vectorize``.

    An action of the wrong shape or kind raises; so does one outside the space, except inside ``jax.jit`` and the
    like, where values cannot be looked at: there the nearest valid action is taken.

    A family defines ``horizon``, ``observation_space``, ``action_space``, ``reset_env``, ``transition``,
    ``best_action`` and ``describe``.
    """

    @property
    def horizon(self) -> int:
        """Steps in the longest episode."""
        raise NotImplementedError

    @property
    def default_params(self) -> Any:
        return gymnax.EnvParams(max_steps_in_episode=self.horizon)

    def step(self, key: jax.Array, state: Any, action: Any, params: Any = None) -> tuple:
        params = self.default_params if params is None else params
        return super().step(key, state, check_action(self.action_space(params), action), params)

    def step_env(self, key: jax.Array, state: Any, action: Any, params: Any) -> tuple:
        return self.transition(key, state, check_action(self.action_space(params), action), params)

    def transition(self, key: jax.Array, state: Any, action: jax.Array, params: Any) -> tuple:
        """The rules: ``obs, state, reward, terminated, info`` after a valid action; never resets."""
        raise NotImplementedError

    def best_action(self, state: Any) -> jax.Array:
        """What the player named in ``describe().best_policy`` does in this state."""
        raise NotImplementedError

    def describe(self) -> Description:
        """What each observation index, action and reward means."""
        raise NotImplementedError

    @property
    def num_actions(self) -> int:
        return self.action_space(self.default_params).n


# ---------------------------------------------------------------------------------------------- wrappers


class WrappedState(struct.PyTreeNode):
    """The state of a wrapped environment: its own, the steps of this episode, and its return so far."""

    env_state: Any
    time: jax.Array
    episode_return: jax.Array


def inner(state: Any, kind: type) -> Any:
    """Look into a wrapped environment's state for that of one wrapper, or of the world inside.

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
    """

    env: Any

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "env":
            raise AttributeError(name)
        return getattr(self.env, name)

    @property
    def horizon(self) -> int:
        if isinstance(self.env, Environment):
            return self.env.horizon
        return int(self.env.default_params.max_steps_in_episode)  # gymnax's own environments

    @property
    def default_params(self) -> Any:
        return self.env.default_params

    def observation_space(self, params: Any) -> Any:
        return self.env.observation_space(params)

    def action_space(self, params: Any) -> Any:
        return self.env.action_space(params)

    def reset_env(self, key: jax.Array, params: Any) -> tuple:
        obs, state = self.env.reset_env(key, params)
        return obs, WrappedState(state, jnp.int32(0), jnp.float32(0))

    def transition(self, key: jax.Array, state: WrappedState, action: jax.Array, params: Any) -> tuple:
        obs, inner, reward, terminated, info = self.env.step_env(key, state.env_state, action, params)
        state = WrappedState(inner, state.time + 1, state.episode_return + reward)
        return obs, state, reward, terminated, info

    def is_truncated(self, state: WrappedState, params: Any) -> jax.Array:
        return self.env.is_truncated(state.env_state, params)

    def best_action(self, state: WrappedState) -> jax.Array:
        return self.env.best_action(state.env_state)

    def describe(self) -> Description:
        return self.env.describe()


@dataclass(frozen=True)
class PreviousAction(Wrapper):
    """Append the previous action to the observation, what came of it if asked, and a flag that is 1 on the first.

    ``obs' = [obs, action (one-hot, or as it is where it is continuous), reward, trial (both if asked), first]``. Before
    the first action those entries are 0; the flag tells this from a first action that was 0. Real numbers are shown no
    larger than 10: where a world does not mind an action's size, one who answers with twice what it is shown goes on to inf.

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
        check_vectors(self.env)

    def _encode(self, action: jax.Array, params: Any) -> jax.Array:
        space = self.env.action_space(params)
        if isinstance(space, spaces.Box):
            return jnp.clip(action.astype(jnp.float32).reshape(-1), -10, 10)
        return one_hots(action.reshape(-1), _choices(space))

    def _extra(self, params: Any) -> int:
        space = self.env.action_space(params)
        wide = int(np.prod(space.shape)) if isinstance(space, spaces.Box) else sum(_choices(space))
        return wide + self.reward + self.trial + 1

    def observation_space(self, params: Any) -> Any:
        space = self.env.observation_space(params)
        size, extra = space.shape[0], self._extra(params)
        low, high = (
            jnp.concatenate([jnp.broadcast_to(bound, (size,)), jnp.full(extra, end)]).astype(jnp.float32)
            for bound, end in ((space.low, -jnp.inf), (space.high, jnp.inf))
        )
        return spaces.Box(low, high, (size + extra,))

    def reset_env(self, key: jax.Array, params: Any) -> tuple:
        obs, state = super().reset_env(key, params)
        return jnp.concatenate([obs, jnp.zeros(self._extra(params) - 1), jnp.ones(1)]), state

    def transition(self, key: jax.Array, state: WrappedState, action: jax.Array, params: Any) -> tuple:
        obs, state, reward, terminated, info = super().transition(key, state, action, params)
        ended = jnp.float32(info.get("trial_ended", False))
        parts = [obs, self._encode(action, params)] + [reward[None]] * self.reward + [ended[None]] * self.trial
        return jnp.concatenate([*parts, jnp.zeros(1)]), state, reward, terminated, info


@dataclass(frozen=True)
class EpisodeStatistics(Wrapper):
    """Report ``info["episode_return"]`` (undiscounted) and ``info["episode_length"]``, up to and with this step.

    They are those of a whole episode where ``terminated | truncated``.

    Args:
        env: any environment.
    """

    def transition(self, key: jax.Array, state: WrappedState, action: jax.Array, params: Any) -> tuple:
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
        check_positive_int("max_steps", self.max_steps)

    @property
    def horizon(self) -> int:
        return min(self.max_steps, self.env.horizon)

    def is_truncated(self, state: WrappedState, params: Any) -> jax.Array:
        return super().is_truncated(state, params) | (state.time >= self.max_steps)


@dataclass(frozen=True)
class ActionRepeat(Wrapper):
    """Do each action so many times in a row: fewer decisions, each with more to see for it.

    The reward is the sum over those steps; observation and ``info`` are the last one's. Where the episode ends on the way,
    the rest is not played. A world of rigid bodies may ask for a hundred actions a second, of which one alone moves little.

    Args:
        env: any environment.
        repeats: steps of the environment to one of this, positive.
    Raises:
        TypeError, ValueError: ``repeats`` is not a positive integer.
    Source: Mnih et al. 2013 (arXiv 1312.5602), section 5, as frame skipping.
    """

    repeats: int = 4

    def __post_init__(self) -> None:
        check_positive_int("repeats", self.repeats)

    @property
    def horizon(self) -> int:
        return -(-super().horizon // self.repeats)

    def transition(self, key: jax.Array, state: WrappedState, action: jax.Array, params: Any) -> tuple:
        def step(now: tuple, key: jax.Array) -> tuple:
            inner, over = now
            obs, new, reward, terminated, info = self.env.step_env(key, inner, action, params)
            inner = jax.tree.map(lambda new, old: jnp.where(over, old, new), new, inner)
            ends = terminated | self.env.is_truncated(inner, params)
            return (inner, over | ends), (obs, jnp.where(over, 0, reward), terminated, info, ~over)

        keys = jax.random.split(key, self.repeats)
        rows: Any
        (inner, _), rows = jax.lax.scan(step, (state.env_state, jnp.bool_(False)), keys)
        obs, reward, terminated, info, played = rows
        last = jnp.sum(played) - 1
        obs, terminated, info = jax.tree.map(lambda leaf: leaf[last], (obs, terminated, info))
        total = reward.sum()
        return obs, WrappedState(inner, state.time + 1, state.episode_return + total), total, terminated, info


# ---------------------------------------------------------------------------------------------- many at once


def rarely(predicate: jax.Array, update: Callable, operand: Any, *args: Any) -> Any:
    """Apply ``update`` where ``predicate`` holds, and skip its work where it holds nowhere, under ``vmap`` too.

    ``lax.cond`` under ``vmap`` becomes a select: both branches run, always. Here a batch runs ``update`` only on the
    steps where some member wants it, then selects.

    Args:
        predicate: bool, shape ().
        update: a function of (operand, *args) that returns something of operand's structure, shapes and dtypes.
        operand: what is returned unchanged where ``predicate`` is False.
        args: further arguments of ``update``.
    Returns:
        ``update(operand, *args)`` or ``operand``.
    Example:
        >>> jax.vmap(lambda p, x: rarely(p, jnp.square, x))(jnp.array([True, False]), jnp.array([3.0, 3.0])).tolist()
        [9.0, 3.0]

    """

    @jax.custom_batching.custom_vmap
    def branch(predicate: jax.Array, operand: Any, args: tuple) -> Any:
        return jax.lax.cond(predicate, update, lambda operand, *args: operand, operand, *args)

    @branch.def_vmap
    def _(axis_size: int, batched: list, predicate: jax.Array, operand: Any, args: tuple) -> tuple:
        def spread(leaf: jax.Array, is_batched: bool) -> jax.Array:
            return leaf if is_batched else jnp.broadcast_to(leaf, (axis_size, *jnp.shape(leaf)))

        def update_some(operand: Any, predicate: jax.Array, args: tuple) -> Any:
            new = jax.vmap(update)(operand, *args)
            return jax.tree.map(
                lambda new, old: jnp.where(predicate.reshape(-1, *[1] * (jnp.ndim(new) - 1)), new, old), new, operand
            )

        predicate, operand, args = jax.tree.map(spread, (predicate, operand, args), tuple(batched))
        result = rarely(jnp.any(predicate), update_some, operand, predicate, args)
        return result, jax.tree.map(lambda _: True, result)

    return branch(predicate, operand, args)


class VectorState(struct.PyTreeNode):
    """Many environments: their states, the pool of fresh starts, and how many of those are used."""

    env_state: Any
    starts: Any
    used: jax.Array


@dataclass(frozen=True)
class VectorEnv:
    """``num_envs`` copies of one environment, stepped as one; made by ``vectorize``.

    ``reset(key, params)`` returns ``obs (num_envs, ...), state``; ``step(key, state, action, params)`` returns ``obs,
    state, reward, terminated, truncated, info``, all with a leading axis. Where an episode ended, ``obs`` and ``state``
    are those of the next one, and ``info["final_observation"]`` holds the last observation of the old one.
    """

    env: Any
    num_envs: int

    def reset(self, key: jax.Array, params: Any = None) -> tuple[Any, VectorState]:
        """Start all environments, and fill the pool."""
        params = self.env.default_params if params is None else params
        keys = jnp.concatenate([jax.random.split(part, self.num_envs) for part in jax.random.split(key)])
        starts = jax.vmap(self.env.reset_env, in_axes=(0, None))(keys, params)  # one call: the reset is compiled once
        obs, env_state = jax.tree.map(lambda leaf: leaf[: self.num_envs], starts)
        pool = jax.tree.map(lambda leaf: leaf[self.num_envs :], starts)
        return obs, VectorState(env_state, pool, jnp.int32(0))

    def reset_env(self, key: jax.Array, params: Any = None) -> tuple:
        """Start all environments, without a pool: for ``step_env``."""
        params = self.env.default_params if params is None else params
        return jax.vmap(self.env.reset_env, in_axes=(0, None))(jax.random.split(key, self.num_envs), params)

    def step_env(self, key: jax.Array, env_state: Any, action: Any, params: Any = None) -> tuple:
        """Step all environments and start none anew; returns what ``step`` returns, with the environments' own states."""
        params = self.env.default_params if params is None else params
        action = check_action(self.env.action_space(params), action, (self.num_envs,))
        obs, env_state, reward, terminated, info = jax.vmap(self.env.step_env, in_axes=(0, 0, 0, None))(
            jax.random.split(key, self.num_envs), env_state, action, params
        )
        truncated = jax.vmap(self.env.is_truncated, in_axes=(0, None))(env_state, params)
        return obs, env_state, reward, terminated, truncated, {**info, "final_observation": obs}

    def step(self, key: jax.Array, state: VectorState, action: Any, params: Any = None) -> tuple:
        """Step all environments; give those that ended a start from the pool, and refill the pool when it runs out."""
        params = self.env.default_params if params is None else params
        key_step, key_pool = jax.random.split(key)
        obs, env_state, reward, terminated, truncated, info = self.step_env(key_step, state.env_state, action, params)
        ended = terminated | truncated

        def refill(pool: tuple, key: jax.Array, params: Any) -> tuple:
            return self.reset_env(key, params), jnp.int32(0)

        def restart(current: tuple, ended: jax.Array, starts: tuple, used: jax.Array) -> tuple:
            place = used + jnp.cumsum(ended) - 1
            return jax.tree.map(
                lambda old, start: jnp.where(ended.reshape(-1, *[1] * (old.ndim - 1)), start[place], old),
                current,
                starts,
            )

        count = jnp.sum(ended, dtype=jnp.int32)
        pool = (state.starts, state.used)
        starts, used = rarely(state.used + count > self.num_envs, refill, pool, key_pool, params)
        obs, env_state = rarely(count > 0, restart, (obs, env_state), ended, starts, used)
        return obs, VectorState(env_state, starts, used + count), reward, terminated, truncated, info


def vectorize(env: Any, num_envs: int) -> Any:
    """Step ``num_envs`` environments as one, with cheap automatic resets.

    gymnax starts a new episode at every step of every environment and throws nearly all of them away. Here a pool of
    ``num_envs`` fresh starts is made at once, each is used once, and a new pool is made when it runs out: about one
    start made for each episode begun. Under a ``vmap`` over seeds it stays so.

    Args:
        env: any environment with gymnax's interface, wrapped as you like; wrappers go inside.
        num_envs: how many, positive.
    Returns:
        A ``VectorEnv``; of ``ManyWorlds``, what has its methods.
    Raises:
        TypeError, ValueError: ``num_envs`` is not a positive integer.
    Example:
        >>> from s5lib.envs import make
        >>> envs = vectorize(make("RepeatPreviousEasy"), 8)
        >>> obs, state = envs.reset(jax.random.key(0))
        >>> obs, state, reward, terminated, truncated, info = envs.step(jax.random.key(1), state, jnp.zeros(8, int))
        >>> obs.shape, reward.shape
        ((8, 4), (8,))

    """
    check_positive_int("num_envs", num_envs)
    many = hasattr(type(env), "vectorize")  # of the class: a wrapper passes on what it wraps
    return env.vectorize(num_envs) if many else VectorEnv(env, num_envs)


class Episode(NamedTuple):
    """One episode, all with a leading time axis of ``env.horizon`` steps.

    Attributes:
        obs: what was seen before each action.
        state: the hidden state at that time.
        action: what was done.
        reward: what it earned; 0 after the end.
        terminated: known after the step.
        truncated: known after the step.
        active: True until the episode's last step, that step included; what stands later means nothing.
        next_obs: what was seen after each action, never a reset's.
    """

    obs: Any
    state: Any
    action: Any
    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    active: jax.Array
    next_obs: Any


def play(env: Any, key: jax.Array, policy: str | Callable = "random", params: Any = None) -> Episode:
    """Play one episode without a reset; pure, so that ``vmap`` over keys plays many.

    Args:
        env: any environment with a ``horizon``.
        key: the same key plays the same episode.
        policy: ``"random"`` (uniform actions), ``"best"`` (``env.best_action``) or a function of (key, state, obs).
        params: the environment's, or None for its own defaults.
    Returns:
        An ``Episode`` of ``env.horizon`` steps.
    Raises:
        ValueError: ``policy`` is another string.
    Example:
        >>> from s5lib.envs import make
        >>> episode = play(make("RepeatPreviousEasy"), jax.random.key(0), "best")
        >>> round(float(episode.reward.sum()), 4)
        1.0

    """
    params = env.default_params if params is None else params
    named: dict[Any, Callable] = {
        "random": lambda key, state, obs: env.action_space(params).sample(key),
        "best": lambda key, state, obs: env.best_action(state),
    }
    if isinstance(policy, str) and policy not in named:
        raise ValueError(f"policy must be 'random', 'best' or a function of (key, state, obs); got {policy!r}")
    act: Any = named.get(policy, policy)
    key_reset, key_steps = jax.random.split(key)
    obs, state = env.reset_env(key_reset, params)

    def step(carry: tuple, key: jax.Array) -> tuple:
        obs, state, active = carry
        key_act, key_step = jax.random.split(key)
        action = act(key_act, state, obs)
        next_obs, next_state, reward, terminated, _ = env.step_env(key_step, state, action, params)
        truncated = env.is_truncated(next_state, params)
        row = Episode(obs, state, action, jnp.where(active, reward, 0), terminated, truncated, active, next_obs)
        return (next_obs, next_state, active & ~(terminated | truncated)), row

    return jax.lax.scan(step, (obs, state, jnp.bool_(True)), jax.random.split(key_steps, env.horizon))[1]
