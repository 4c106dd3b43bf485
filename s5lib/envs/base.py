"""What every environment is: gymnax's interface, what an environment tells about itself, and checks of what comes in.

Times of the flags: ``terminated`` and ``truncated`` are known after a step. A wrapper that changes observations changes
the last one of an episode too, since all wrappers act on ``reset_env`` and ``step_env``, below every automatic reset.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.typing import ArrayLike

from s5lib.config import check_shape, is_concrete, moved
from s5lib.envs.spaces import Space, choices, is_box, is_vector

__all__ = [
    "Action",
    "AnyEnv",
    "Description",
    "EnvParams",
    "EnvState",
    "Environment",
    "Family",
    "Info",
    "Obs",
    "Start",
    "Step",
    "Transition",
    "advance",
    "begin",
    "check_action",
    "check_action_box",
    "check_interface",
    "check_vectors",
    "horizon_of",
    "is_cut",
    "one_hots",
]

AnyEnv = Any  # an Environment, or anything else with gymnax's interface
Action = ArrayLike  # what is done: an array or a number, of the action space
Obs = Any  # what is seen: in this library an array, in others' environments any pytree of arrays
EnvState = Any  # what an environment has to remember between two steps: a pytree of arrays
Info = dict[str, Any]  # what else is told of a step: a name -> an array
Start = tuple[Obs, EnvState]  # what a reset gives
# what ``step_env`` gives: obs, state, reward, terminated, info; of an episode's last step too
Transition = tuple[Obs, EnvState, jax.Array, jax.Array, Info]
# what ``step`` gives: obs, state, reward, terminated, truncated, info; after an episode's end obs and state of the next one
Step = tuple[Obs, EnvState, jax.Array, jax.Array, jax.Array, Info]


@struct.dataclass
class EnvParams:
    """What may be told anew at each call. gymnax's own params serve as well.

    Attributes:
        max_steps_in_episode: the time limit.
    """

    max_steps_in_episode: int = 1


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


NEVER = np.iinfo(np.int32).max  # the time limit of an environment that has none


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
        return jax.nn.one_hot(values, sizes[0], dtype=jnp.float32).reshape(-1)
    parts = zip(values, sizes, strict=True)
    return jnp.concatenate([jax.nn.one_hot(value, size, dtype=jnp.float32) for value, size in parts])


def check_action(space: Space, action: Action, batch: tuple[int, ...] = ()) -> jax.Array:
    """Return an action as an array of the space's dtype, or say what is wrong with it.

    Shape and kind are checked always, the range only of numbers that can be looked at; traced ones are clipped into it.
    """
    given: Any = action if hasattr(action, "dtype") else np.asarray(action)
    box, bounds = is_box(space), cast(Any, space)
    if not jnp.issubdtype(given.dtype, jnp.floating if box else jnp.integer):
        raise TypeError(f"action must be {'a float' if box else 'an integer'} of {space}; got {given.dtype}")
    check_shape("action", given, (*batch, *space.shape))
    low = bounds.low if box else np.zeros(space.shape, np.int32)
    high = bounds.high if box else np.array(choices(space)).reshape(space.shape) - 1
    if is_concrete(given):
        values = np.asarray(given)
        if not np.all((values >= low) & (values <= high)):
            raise ValueError(f"action must lie in {space}, from {low} to {high}; got {values}")
    return jnp.clip(jnp.asarray(given).astype(space.dtype), low, high)


_INTERFACE = ("reset_env", "step_env", "is_truncated", "observation_space", "action_space", "default_params")


def check_interface(env: AnyEnv) -> None:
    """Refuse an environment that lacks part of gymnax's interface, or does in ``reset`` and ``step`` what it does not below.

    All of this library goes by ``reset_env`` and ``step_env``. gymnax's wrappers change ``reset`` and ``step``, and pass on those
    two of the environment inside as they are: what such a wrapper does would be left out in silence.
    """
    missing = [name for name in _INTERFACE if not hasattr(env, name)]
    if missing:
        lacks = " and no ".join(missing)
        raise ValueError(
            f"env must have gymnax's interface; {type(env).__name__} has no {lacks}. Brax takes those of brax"
        )
    owners = {name: getattr(getattr(env, name), "__self__", env) for name in ("reset", "step") if hasattr(env, name)}
    changed = [name for name, owner in owners.items() if not _stands_on(owner, name, f"{name}_env")]
    if changed:
        kind = type(owners[changed[0]]).__name__
        own = "define reset_env and step_env, as a subclass of s5lib.envs.Wrapper does"
        raise ValueError(
            f"env must do all it does in reset_env and step_env; {kind} changes {' and '.join(changed)} alone. "
            f"Instead, {'EpisodeStatistics does the same' if kind == 'LogWrapper' else own}"
        )


def _stands_on(owner: AnyEnv, above: str, below: str) -> bool:
    """Whether an object's own method can be one that is built on another of its own: that other's class is no older."""
    kinds = type(owner).__mro__
    first, *others = [i for i, kind in enumerate(kinds) if above in vars(kind)] or [len(kinds)]
    start = next((i for i, kind in enumerate(kinds) if below in vars(kind)), len(kinds))
    return getattr(getattr(owner, below), "__self__", owner) is owner and (start <= first or not others)


def begin(env: AnyEnv, key: jax.Array, params: EnvParams) -> Start:
    """Start an episode of anyone's environment: ``reset_env``, with numbers as arrays whose types are settled."""
    return _settled(env.reset_env(key, params))


def advance(env: AnyEnv, key: jax.Array, state: EnvState, action: Action, params: EnvParams) -> Transition:
    """Step anyone's environment and begin nothing anew: ``step_env``, with the reward as float32 and the flag as bool.

    It may pay any real number, and flag with any: not 0 is True. A TypeError names what else it gives.
    """
    obs, state, reward, terminated, info = env.step_env(key, state, action, params)
    reward, terminated = _number(env, "reward", reward, float), _number(env, "terminated", terminated, bool)
    return *_settled((obs, state)), reward, terminated, info


def is_cut(env: AnyEnv, state: EnvState, params: EnvParams) -> jax.Array:
    """Ask anyone's environment whether a time limit cut the episode at this state: ``is_truncated``, as bool."""
    return _number(env, "truncated", env.is_truncated(state, params), bool)


def _number(env: AnyEnv, name: str, value: ArrayLike, kind: type) -> jax.Array:
    number = jnp.asarray(value)
    if number.shape != () or not any(jnp.issubdtype(number.dtype, of) for of in (jnp.bool_, jnp.integer, jnp.floating)):
        raise TypeError(
            f"{name} must be one real number; {type(env).__name__} gives {number.dtype} of shape {number.shape}"
        )
    return number.astype(jnp.float32 if kind is float else kind)


def _settled(tree: Any) -> Any:
    """Plain numbers and weakly typed arrays would change their type with the first step, and all be compiled twice."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.asarray(leaf).dtype), tree)


def horizon_of(env: AnyEnv) -> int:
    """Return the steps of the longest episode, by ``horizon`` or gymnax's ``max_steps_in_episode``; a ValueError without either."""
    params = getattr(env, "default_params", None)
    horizon = getattr(env, "horizon", getattr(params, "max_steps_in_episode", NEVER))
    if not horizon < NEVER:
        raise ValueError(
            f"horizon must be given: {type(env).__name__} does not say how long its episodes may be. TimeLimit(env, max_steps) does"
        )
    return int(horizon)


def check_vectors(env: AnyEnv, advice: str = "") -> int:
    """Return the length of an environment's observations if they are vectors; else a ValueError, with advice if there is some."""
    space = env.observation_space(env.default_params)
    if not is_vector(space):
        raise ValueError(f"env must have vectors as observations; {type(env).__name__} has {space}.{advice}")
    return space.shape[0]


def check_action_box(env: AnyEnv) -> int:
    """Return the length of an environment's actions if they are vectors; else a ValueError."""
    space = env.action_space(env.default_params)
    if not is_vector(space):
        raise ValueError(
            f"env must have vectors as actions; {type(env).__name__} has {space}. Projection makes vectors of choices"
        )
    return space.shape[0]


class Environment:
    """An environment with gymnax's interface. Families are frozen dataclasses: equal ones share compiled functions.

    ``reset(key, params)`` returns ``obs, state``; ``step(key, state, action, params)`` returns ``obs, state, reward,
    terminated, truncated, info``, and starts the next episode where one ended, as gymnax does: the last observation is
    ``info["final_observation"]``. ``step_env`` takes the same arguments and never resets; it returns ``obs, state,
    reward, terminated, info``, and ``is_truncated(state, params)`` says the rest. To step many environments fast, see
    ``vectorize``.

    An action of the wrong shape or kind raises; so does one outside the space, except inside ``jax.jit`` and the
    like, where values cannot be looked at: there the nearest valid action is taken.

    A family defines ``horizon``, ``observation_space``, ``action_space``, ``reset_env``, ``transition``,
    ``best_action`` and ``describe``.

    Source: gymnax 1.0.1, environments/environment.py; the same keys give the same episodes, step for step.
    """

    @property
    def name(self) -> str:
        """The class's name."""
        return type(self).__name__

    @property
    def horizon(self) -> int:
        """Steps in the longest episode."""
        raise AttributeError(f"{self.name} does not say how long its episodes may be: let it define horizon")

    @property
    def default_params(self) -> EnvParams:
        """What ``reset`` and ``step`` go by when they are told nothing else."""
        return EnvParams(max_steps_in_episode=getattr(self, "horizon", NEVER))

    @property
    def num_actions(self) -> int:
        """How many choices there are, where an action is one choice."""
        return self.action_space(self.default_params).n  # type: ignore[attr-defined]

    def observation_space(self, params: EnvParams) -> Space:
        """What can be seen."""
        raise NotImplementedError

    def action_space(self, params: EnvParams) -> Space:
        """What can be done."""
        raise NotImplementedError

    @partial(jax.jit, static_argnames="self")
    def reset(self, key: jax.Array, params: EnvParams | None = None) -> Start:
        """Begin an episode."""
        return begin(self, key, self.default_params if params is None else params)

    def step(self, key: jax.Array, state: EnvState, action: Action, params: EnvParams | None = None) -> Step:
        """Step, and begin the next episode where this one ends."""
        params = self.default_params if params is None else params
        return self._step(key, state, check_action(self.action_space(params), action), params)

    @partial(jax.jit, static_argnames="self")
    def _step(self, key: jax.Array, state: EnvState, action: jax.Array, params: EnvParams) -> Step:
        key_step, key_reset = jax.random.split(key)
        last_obs, last_state, reward, terminated, info = advance(self, key_step, state, action, params)
        truncated = is_cut(self, last_state, params)
        over = terminated | truncated
        obs, state = jax.tree.map(
            lambda new, old: jax.lax.select(over, new, old), begin(self, key_reset, params), (last_obs, last_state)
        )
        info = {**info, "terminated": terminated, "truncated": truncated, "final_observation": last_obs}
        return obs, state, reward, terminated, truncated, info

    def reset_env(self, key: jax.Array, params: EnvParams) -> Start:
        """The first observation and state of an episode."""
        raise NotImplementedError

    def step_env(self, key: jax.Array, state: EnvState, action: Action, params: EnvParams) -> Transition:
        """Step, and begin nothing anew."""
        return self.transition(key, state, check_action(self.action_space(params), action), params)

    def transition(self, key: jax.Array, state: EnvState, action: jax.Array, params: EnvParams) -> Transition:
        """The rules: ``obs, state, reward, terminated, info`` after a valid action; never resets."""
        raise NotImplementedError

    def is_truncated(self, state: EnvState, params: EnvParams) -> jax.Array:
        """Whether the time limit cut the episode at this state."""
        return state.time >= params.max_steps_in_episode

    def best_action(self, state: EnvState) -> jax.Array:
        """What the player named in ``describe().best_policy`` does in this state."""
        raise NotImplementedError

    def describe(self) -> Description:
        """What each observation index, action and reward means."""
        raise NotImplementedError


Family = tuple[type, dict[str, dict[str, Any]]]  # a class, and the options of each of its levels

_WRAPPERS = ("ActionRepeat", "EpisodeStatistics", "PreviousAction", "TimeLimit", "WrappedState", "Wrapper", "inner")
_VECTOR = ("VectorEnv", "VectorState", "rarely", "vectorize")
__getattr__ = moved(
    __name__,
    {
        **dict.fromkeys(_WRAPPERS, "s5lib.envs.wrappers"),
        **dict.fromkeys(_VECTOR, "s5lib.envs.vector"),
        **dict.fromkeys(("Episode", "play"), "s5lib.envs.players"),
        "MultiDiscrete": "s5lib.envs.spaces",
        "spaces": "s5lib.envs",
    },
)
