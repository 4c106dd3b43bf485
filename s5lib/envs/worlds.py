"""Chapter 8. Several worlds side by side in one batch: the agent is not told which one it is in.

A switch between worlds inside one environment would compute all of them at every step of every environment, since ``vmap``
turns a choice into a select. Here each world has its own part of the batch, and steps only that.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from s5lib.config import check_choice, check_positive_int
from s5lib.envs.base import ActionRepeat, VectorEnv, WrappedState, Wrapper, check_action, check_vectors, spaces
from s5lib.envs.physics import physics
from s5lib.envs.projection import Projection

__all__ = [
    "HELD_OUT", "SPREADS", "TRAIN", "ManyVectorEnv", "ManyWorlds", "Padded", "ProjectedWorlds", "Standardized", "measure_spread",
]  # fmt: skip

TRAIN = ("CartpoleSwingup", "PointMass", "ReacherEasy", "FingerSpin", "FingerTurnHard", "BallInCup")
HELD_OUT = ("CartpoleBalance", "ReacherHard", "FingerTurnEasy", "PendulumSwingup")
PROJECTED = ("both", "observations", "actions", "neither")


@dataclass(frozen=True)
class Padded(Wrapper):
    """Give an environment observations and actions of another, larger size.

    Observations end in zeros. Of an action, -1 to 1 in each entry, the world reads the first few, stretched to its box;
    the rest move nothing.

    Args:
        env: an environment whose observations are vectors, and its actions bounded vectors.
        obs_size: at least the world's observations.
        action_size: at least the world's actions.
    Raises:
        ValueError: the world is wider, or has other kinds of observations or actions.
        TypeError: a size that is not an integer.
    """

    obs_size: int = 12
    action_size: int = 2

    def __post_init__(self) -> None:
        check_action_box(self.env)
        space = self.env.action_space(self.env.default_params)
        if not np.isfinite([space.low, space.high]).all():
            raise ValueError(
                f"env must have bounded actions, to be stretched to; {type(self.env).__name__} has {space}"
            )
        for name, least in (("obs_size", check_vectors(self.env)), ("action_size", space.shape[0])):
            if check_positive_int(name, getattr(self, name)) < least:
                what = "observations" if name == "obs_size" else "actions"
                raise ValueError(
                    f"{name} = {getattr(self, name)} is too small for {_name(self.env)}: it has {least} {what}"
                )

    def observation_space(self, params: Any) -> Any:
        space = self.env.observation_space(params)
        low, high = (self._pad(jnp.broadcast_to(bound, space.shape)) for bound in (space.low, space.high))
        return spaces.Box(low, high, (self.obs_size,))

    def action_space(self, params: Any) -> Any:
        return spaces.Box(-1.0, 1.0, (self.action_size,))

    def _pad(self, obs: jax.Array) -> jax.Array:
        return jnp.pad(obs.astype(jnp.float32), (0, self.obs_size - obs.shape[0]))

    def reset_env(self, key: jax.Array, params: Any) -> tuple:
        obs, state = super().reset_env(key, params)
        return self._pad(obs), state

    def transition(self, key: jax.Array, state: WrappedState, action: jax.Array, params: Any) -> tuple:
        space = self.env.action_space(params)
        middle, half = (space.high + space.low) / 2, (space.high - space.low) / 2
        action = middle + half * action[: space.shape[0]]
        obs, state, reward, terminated, info = super().transition(key, state, action, params)
        return self._pad(obs), state, reward, terminated, info

    def best_action(self, state: WrappedState) -> jax.Array:
        space = self.env.action_space(self.env.default_params)
        middle, half = (space.high + space.low) / 2, (space.high - space.low) / 2
        action = (super().best_action(state) - middle) / half
        return jnp.pad(action, (0, self.action_size - action.shape[0]))


@dataclass(frozen=True)
class Standardized(Wrapper):
    """Shift and scale each number that a world observes: ``(o - mean) / std``.

    A world may observe distances of centimetres beside speeds of many radians a second. Where all of them are mixed, the
    small ones drown in the large.

    Args:
        env: an environment whose observations are vectors.
        mean, std: one number for each that is observed; ``measure_spread`` has them, and ``SPREADS`` those of some worlds.
    Raises:
        ValueError: observations that are not vectors, another count of numbers, or an std that is not positive.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        size = check_vectors(self.env)
        for name in ("mean", "std"):
            values = tuple(map(float, getattr(self, name)))
            if len(values) != size or not np.isfinite(values).all() or (name == "std" and min(values) <= 0):
                kind = "positive numbers" if name == "std" else "numbers"
                raise ValueError(f"{name} must be {size} {kind}, one for each that is observed; got {values}")
            object.__setattr__(self, name, values)

    def _scaled(self, obs: jax.Array) -> jax.Array:
        return (obs - jnp.array(self.mean)) / jnp.array(self.std)

    def observation_space(self, params: Any) -> Any:
        space = self.env.observation_space(params)
        return spaces.Box(self._scaled(space.low), self._scaled(space.high), space.shape)

    def reset_env(self, key: jax.Array, params: Any) -> tuple:
        obs, state = super().reset_env(key, params)
        return self._scaled(obs), state

    def transition(self, key: jax.Array, state: WrappedState, action: jax.Array, params: Any) -> tuple:
        obs, state, reward, terminated, info = super().transition(key, state, action, params)
        return self._scaled(obs), state, reward, terminated, info


def measure_spread(
    env: Any, episodes: int = 16, steps: int = 1000, hold: int = 20, seed: int = 0
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Measure mean and standard deviation of all that a world observes while random actions are held, some steps each.

    Actions are standard normal, clipped to the world's box. Held for a while they take a world to places where actions that
    change at every step cancel each other.

    Args:
        env: an environment with vectors as observations and actions.
        episodes: how many, each from a fresh start.
        steps: length of each; nothing ends earlier.
        hold: steps that an action is held for; divides ``steps``.
        seed: of starts and actions.
    Returns:
        The means and the standard deviations, the latter .001 or more; as ``Standardized`` takes them.
    Raises:
        ValueError, TypeError: a number out of range, or observations or actions of other kinds.
    """
    check_vectors(env)
    size = check_action_box(env)
    check_positive_int("steps", steps, multiple_of=check_positive_int("hold", hold))
    space, params = env.action_space(env.default_params), env.default_params

    def episode(key: jax.Array) -> jax.Array:
        key_reset, key_actions, key_steps = jax.random.split(key, 3)
        actions = jax.random.normal(key_actions, (steps // hold, size)).repeat(hold, 0)
        _, state = env.reset_env(key_reset, params)

        def step(state: Any, now: tuple) -> tuple:
            obs, state, *_ = env.step_env(now[0], state, jnp.clip(now[1], space.low, space.high), params)
            return state, obs

        return jax.lax.scan(step, state, (jax.random.split(key_steps, steps), actions))[1]

    keys = jax.random.split(jax.random.key(seed), check_positive_int("episodes", episodes))
    seen = np.asarray(jax.jit(jax.vmap(episode))(keys), np.float64).reshape(episodes * steps, -1)
    mean, std = seen.mean(0), np.maximum(seen.std(0), 1e-3)
    return tuple(map(float, mean.round(4))), tuple(map(float, std.round(4)))


# name of a world -> what measure_spread finds
SPREADS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "CartpoleSwingup": ((-0.0941, -0.2085, -0.0155, -0.0075, 1.7665), (1.263, 0.6877, 0.6953, 1.9092, 5.7022)),
    "PointMass": ((-0.0123, -0.0341, 0.0017, 0.0015), (0.164, 0.1625, 0.047, 0.0455)),
    "ReacherEasy": (
        (-2.2553, 0.0407, 0.0063, 0.0213, -0.0607, 0.0181),
        (7.1249, 1.8795, 0.1472, 0.1491, 3.2002, 3.049),
    ),
    "FingerSpin": (
        (-0.068, -0.0098, 0.0031, 0.0233, 0.006, 0.0369, -0.0218, 0.1677, 0.119),
        (1.5697, 1.4623, 0.079, 0.1005, 5.3312, 3.4363, 2.9879, 0.8106, 0.7004),
    ),
    "FingerTurnHard": (
        (-0.0603, 0.0083, -0.0032, -0.0657, 0.0099, 0.0395, -0.0068, 0.1784, 0.1408, -0.0167, -0.0254, 0.1125),
        (1.5738, 1.4517, 0.0599, 0.0948, 5.3301, 3.4402, 0.902, 0.8524, 0.7643, 0.0901, 0.0886, 0.0763),
    ),
    "BallInCup": (
        (-0.0031, -0.0585, -0.0027, 0.0464, -0.0003, 0.0008, 0.0018, 0.0048),
        (0.1487, 0.1414, 0.2091, 0.1867, 0.6906, 0.6873, 0.876, 0.892),
    ),
    "CartpoleBalance": ((-0.0892, -0.0332, -0.0013, -0.0249, -2.283), (1.241, 0.7151, 0.6982, 1.9592, 9.3446)),
    "FingerTurnEasy": (
        (-0.0603, 0.0083, -0.0032, -0.0657, 0.0099, 0.0395, -0.0068, 0.1784, 0.1408, -0.0167, -0.0254, 0.0725),
        (1.5738, 1.4517, 0.0599, 0.0948, 5.3301, 3.4402, 0.902, 0.8524, 0.7643, 0.0901, 0.0886, 0.0763),
    ),
    "PendulumSwingup": ((0.0062, -0.8372, 0.0759), (0.4657, 0.2867, 2.2375)),
    "brax/inverted_double_pendulum": (
        (-0.0049, -0.0126, -0.0112, -0.027, 0.0013, -0.0035, 0.1462, 0.4394),
        (0.7042, 0.7206, 0.7001, 0.6927, 0.7139, 4.7817, 7.7323, 8.4643),
    ),
    "brax/reacher": (
        (0.0336, -0.0096, -0.0008, -0.0088, 0.0261, -0.0298, -0.0066, -0.2931, -0.0231, 0.0319, 0.0019),
        (0.7052, 0.7088, 0.7082, 0.7053, 0.0621, 0.0616, 2.0465, 2.8512, 0.1263, 0.1234, 0.001),
    ),
}
SPREADS["ReacherHard"] = SPREADS["ReacherEasy"]  # they differ in what is paid


def check_action_box(env: Any) -> int:
    """Return the length of an environment's actions if they are vectors; else a ValueError."""
    space = env.action_space(env.default_params)
    if not isinstance(space, spaces.Box) or len(space.shape) != 1:
        raise ValueError(
            f"env must have vectors as actions; {type(env).__name__} has {space}. Projection makes vectors of choices"
        )
    return space.shape[0]


def _name(world: Any) -> str:
    while isinstance(world, Wrapper):
        world = world.env
    return world.name


def check_share(name: str, size: int, env: "ManyWorlds") -> int:
    """Return ``size``, a number of environments, if each world can have an equal part of them; else a ValueError."""
    n = len(env.worlds)
    if size % n:
        near = [near for near in (size // n * n, (size // n + 1) * n) if near]
        raise ValueError(
            f"{name} must be a multiple of {n}, the number of worlds; got {size}. The nearest: {' and '.join(map(str, near))}"
        )
    return size


def _same(left: Any, right: Any) -> bool:
    """Whether two spaces are boxes of one shape and the same bounds."""
    bounds = ((left.low, right.low), (left.high, right.high))
    return left.shape == right.shape and all(np.all(np.asarray(one) == np.asarray(other)) for one, other in bounds)


@dataclass(frozen=True)
class ManyWorlds:
    """Several worlds with observations and actions of one size, to be stepped side by side.

    ``vectorize(ManyWorlds(worlds), num_envs)`` has the interface of a ``VectorEnv``, and ``ppo.make(config, env)`` takes
    it as it takes an environment. The batch is cut into equal parts: of ``num_envs`` = n * k environments, i * k to
    (i + 1) * k - 1 are world i's. Nothing in an observation says so.

    Worlds that differ in size or in bounds of actions are ``Padded`` to a common size. Worlds behind a ``Projection`` to
    one size need no padding, and stay as they are. A wrapper goes around each world: see ``wrap``.

    Args:
        worlds: environments, one or more, with vectors as observations and actions, and episodes of equal length.
        obs_size: the common size of observations; the largest world's if None.
        action_size: the common size of actions; the largest world's if None.
    Raises:
        ValueError: no world, worlds of unequal horizons, a world wider than a common size, or with observations or
            actions of other kinds.
        TypeError: a size that is not an integer.
    Example:
        >>> from s5lib.envs import make, vectorize
        >>> easy, hard = (make("PositionOnlyPendulum" + level, max_steps=200) for level in ("Easy", "Hard"))
        >>> envs = vectorize(ManyWorlds((easy, hard), obs_size=12, action_size=2), 8)
        >>> obs, state = envs.reset(jax.random.key(0))
        >>> obs.shape, envs.world.tolist()
        ((8, 12), [0, 0, 0, 0, 1, 1, 1, 1])

    Source: Lu et al. 2023 (arXiv 2303.03982), section 4.4 and algorithm 1.
    Differs: there the world of each new episode is drawn at random; here every world always has its share.
    """

    worlds: tuple[Any, ...]
    obs_size: int | None = None
    action_size: int | None = None

    def __post_init__(self) -> None:
        worlds = tuple(self.worlds)
        if not worlds:
            raise ValueError("worlds must hold at least one environment; got none")
        horizons = [Wrapper(world).horizon for world in worlds]
        if len(set(horizons)) > 1:
            told = ", ".join(f"{_name(world)} {horizon}" for world, horizon in zip(worlds, horizons, strict=True))
            raise ValueError(f"worlds must have episodes of one length; got {told}. TimeLimit cuts longer ones")
        obs_sizes, action_sizes = (
            [check_vectors(world) for world in worlds],
            [check_action_box(world) for world in worlds],
        )
        sizes = (
            max(obs_sizes) if self.obs_size is None else self.obs_size,
            max(action_sizes) if self.action_size is None else self.action_size,
        )
        actions = [world.action_space(world.default_params) for world in worlds]
        as_they_are = {*zip(obs_sizes, action_sizes, strict=True)} == {sizes} and all(
            _same(a, actions[0]) for a in actions
        )
        object.__setattr__(self, "worlds", worlds if as_they_are else tuple(Padded(world, *sizes) for world in worlds))

    @property
    def names(self) -> tuple[str, ...]:
        """What the worlds are called; a number tells those of one name apart."""
        names = [_name(world) for world in self.worlds]
        count, seen = Counter(names), Counter[str]()
        for i, name in enumerate(names):
            seen[name] += 1
            names[i] = name if count[name] == 1 else f"{name} {seen[name]}"
        return tuple(names)

    @property
    def horizon(self) -> int:
        return Wrapper(self.worlds[0]).horizon

    @property
    def default_params(self) -> tuple:
        """The worlds' own, one after the other."""
        return tuple(world.default_params for world in self.worlds)

    def observation_space(self, params: Any = None) -> Any:
        spaces_of = [world.observation_space(world.default_params) for world in self.worlds]
        shape = spaces_of[0].shape
        low = jnp.min(jnp.stack([jnp.broadcast_to(space.low, shape) for space in spaces_of]), axis=0)
        high = jnp.max(jnp.stack([jnp.broadcast_to(space.high, shape) for space in spaces_of]), axis=0)
        return spaces.Box(low, high, shape)

    def action_space(self, params: Any = None) -> Any:
        return self.worlds[0].action_space(self.worlds[0].default_params)

    def wrap(self, wrapper: Callable[[Any], Any]) -> "ManyWorlds":
        """Put a wrapper around each world.

        Args:
            wrapper: a function of an environment, such as ``lambda world: PreviousAction(world, reward=True)``.
        Returns:
            The same worlds, wrapped.
        """
        return ManyWorlds(tuple(wrapper(world) for world in self.worlds))

    def reset_env(self, key: jax.Array, params: Any) -> tuple:
        raise TypeError("many worlds are no single environment: vectorize them, and wrap each with ManyWorlds.wrap")

    def vectorize(self, num_envs: int) -> "ManyVectorEnv":
        """As ``vectorize(self, num_envs)``."""
        return ManyVectorEnv(self, check_positive_int("num_envs", num_envs))


@dataclass(frozen=True)
class ProjectedWorlds(ManyWorlds):
    """Worlds of rigid bodies, side by side, each seen and moved through random matrices; nothing tells which it is.

    For each episode of 1000 steps a projection is drawn, ``Projection``'s M_o and M_a, to sizes that all worlds share. What
    the agent has to find out in an episode is the world, the projection, and what is paid for. With ``project`` less than
    ``"both"`` the rest is padded with zeros, ``Padded``: easier tasks on the way to the whole one.

    Args:
        worlds: names, of ``physics_names()``.
        obs_size: O, what the agent sees; at least the largest world's.
        action_size: A, what it acts with; at least the largest world's.
        project: ``"both"``, ``"observations"``, ``"actions"`` or ``"neither"``.
        distribution: as in ``Projection``; so are ``gain``, ``pool``, ``seed`` and ``held_out``.
        max_steps: time limit of an episode.
        repeats: steps that an answer is held for, see ``ActionRepeat``; 1000 steps are then 1000 / repeats decisions.
        standardized: mix the numbers of a world when they are ``Standardized`` by its ``SPREADS``; False mixes them as they
            are, metres with radians a second.
    Raises:
        ValueError, TypeError: no world, an unknown one, one without ``SPREADS`` to be standardized, a size below a world's,
            another ``project``, or as in ``Projection``.
        ImportError: the package of a world is missing; the message holds the pip command.
    Source: Lu et al. 2023 (arXiv 2303.03982), algorithm 1, section 4.4 and appendix B: worlds, O = 12, A = 2.
    Differs: the paper does not say whether observations are scaled before they are mixed, or answers are held. Of its
        worlds to hold out, the suite has no harder point mass; brax has others of these sizes. See ``Projection`` and
        ``ManyWorlds``.
    """

    worlds: tuple[str, ...] = TRAIN
    obs_size: int = 12
    action_size: int = 2
    project: str = "both"
    distribution: str = "orthogonal"
    gain: float = 1.0
    pool: int | None = None
    seed: int = 0
    held_out: bool = False
    max_steps: int = 1000
    repeats: int = 1
    standardized: bool = True

    def __post_init__(self) -> None:
        check_choice("project", self.project, PROJECTED)
        object.__setattr__(self, "worlds", tuple(self._projected(name) for name in self.worlds))
        super().__post_init__()

    def _projected(self, name: str) -> Any:
        world = physics(name, max_steps=self.max_steps)
        if check_positive_int("repeats", self.repeats) > 1:
            world = ActionRepeat(world, self.repeats)
        if self.standardized:
            if name not in SPREADS:
                known = ", ".join(SPREADS)
                raise ValueError(f"standardized must be False, or every world one of {known}; got {name!r}")
            world = Standardized(world, *SPREADS[name])
        obs_size = self.obs_size if self.project in ("both", "observations") else None
        action_size = self.action_size if self.project in ("both", "actions") else None
        if self.project != "both":
            seen = self.obs_size if obs_size is None else check_vectors(world)
            world = Padded(world, seen, self.action_size if action_size is None else world.num_actions)
        options = {name: getattr(self, name) for name in ("distribution", "gain", "pool", "seed", "held_out")}
        return Projection(world, obs_size, action_size, **options)


@dataclass(frozen=True)
class ManyVectorEnv:
    """``num_envs`` environments, an equal part of them in each world; a ``VectorEnv`` for the rest of the library.

    ``info`` holds what all worlds report, such as ``"final_observation"``.

    Args:
        env: the worlds.
        num_envs: a multiple of their number.
    Raises:
        ValueError: ``num_envs`` cannot be cut into equal parts.
    """

    env: ManyWorlds
    num_envs: int

    def __post_init__(self) -> None:
        check_share("num_envs", self.num_envs, self.env)

    @property
    def parts(self) -> tuple[VectorEnv, ...]:
        return tuple(VectorEnv(world, self.num_envs // len(self.env.worlds)) for world in self.env.worlds)

    @property
    def world(self) -> np.ndarray:
        """The index in ``env.worlds`` of each environment of the batch, (num_envs,)."""
        return np.repeat(np.arange(len(self.env.worlds)), self.num_envs // len(self.env.worlds))

    def _each(self, method: str, key: jax.Array, rows: list[tuple], params: Any) -> list[tuple]:
        """Call a method of each world's part with its own key, arguments and params."""
        params = self.env.default_params if params is None else params
        keys = jax.random.split(key, len(self.parts))
        calls = zip(self.parts, keys, rows, params, strict=True)
        return [getattr(part, method)(key, *row, param) for part, key, row, param in calls]

    def _reset(self, method: str, key: jax.Array, params: Any) -> tuple[jax.Array, tuple]:
        obs, states = zip(*self._each(method, key, [()] * len(self.parts), params), strict=True)
        return jnp.concatenate(obs), states

    def _step(self, method: str, key: jax.Array, state: tuple, action: Any, params: Any) -> tuple:
        action = check_action(self.env.action_space(), action, (self.num_envs,))
        rows = list(zip(state, jnp.split(action, len(self.parts)), strict=True))
        obs, states, reward, terminated, truncated, infos = zip(*self._each(method, key, rows, params), strict=True)
        shared = {name for name in infos[0] if all(name in info for info in infos)}
        info = {name: jax.tree.map(_join, *(info[name] for info in infos)) for name in sorted(shared)}
        return _join(*obs), states, _join(*reward), _join(*terminated), _join(*truncated), info

    def reset(self, key: jax.Array, params: Any = None) -> tuple[jax.Array, tuple]:
        """Start all environments, and fill each world's pool; ``params`` is a tuple, one entry a world."""
        return self._reset("reset", key, params)

    def step(self, key: jax.Array, state: tuple, action: Any, params: Any = None) -> tuple:
        """As ``VectorEnv.step``; ``action`` (num_envs, action_size)."""
        return self._step("step", key, state, action, params)

    def reset_env(self, key: jax.Array, params: Any = None) -> tuple[jax.Array, tuple]:
        """As ``VectorEnv.reset_env``."""
        return self._reset("reset_env", key, params)

    def step_env(self, key: jax.Array, state: tuple, action: Any, params: Any = None) -> tuple:
        """As ``VectorEnv.step_env``."""
        return self._step("step_env", key, state, action, params)


def _join(*parts: jax.Array) -> jax.Array:
    return jnp.concatenate(parts)
