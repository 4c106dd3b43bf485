"""Chapter 8. Worlds of rigid bodies: MuJoCo Playground's dm_control suite and brax, with gymnax's interface.

Both packages are optional: ``pip install 's5lib[physics]'``. Nothing of them is loaded before a world is made.
"""

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from s5lib.config import check_choice, check_positive_int, require
from s5lib.envs import spaces
from s5lib.envs.base import Description, Environment, EnvParams, EnvState, Family, Start, Transition
from s5lib.envs.spaces import Space

__all__ = ["Brax", "PhysicsState", "Playground", "physics", "physics_names"]

# name of the world: its summary, what is paid, what the action does, and what is observed; all else is the package's own
_CART = "A pole hangs on a cart on a rail. {} Episodes last 1000 steps of 0.01 s."
_CART_SEEN = (
    ("0", "position of the cart"),
    ("1-2", "cosine and sine of the pole's angle"),
    ("3-4", "velocities of cart and pole"),
)
_CART_PAID = "0 to 1 a step: upright, near the middle, slow and with little force"
_FINGER = "A finger of two joints stands beside a free spinner. {} Episodes last 1000 steps of 0.02 s."
_FINGER_SEEN = (
    ("0-1", "angles of the finger's joints"),
    ("2-3", "where the spinner's tip is, seen from its hinge"),
    ("4-6", "velocities of joints and spinner"),
    ("7-8", "log(1 + force) on the two touch sensors"),
)
_TURN = _FINGER.format("Turn the spinner until its tip stands in {}.")
_TURN_SEEN = (
    *_FINGER_SEEN,
    ("9-10", "where the target is, seen from the hinge"),
    ("11", "distance from tip to target"),
)
_TURN_PAID = "1 a step while the tip is in the target"
_REACHER = "An arm of two links in the plane. Bring its finger to {}. Episodes last 1000 steps of 0.02 s."
_REACHER_SEEN = (
    ("0-1", "angles of shoulder and wrist"),
    ("2-3", "from finger to target, x and y"),
    ("4-5", "angular velocities"),
)
_REACHER_PAID = "1 a step while the finger touches the target"
_FORCE, _TORQUES = "force on the cart, -1 to 1", "torques on the two joints, -1 to 1"
_PLANE = (("0-1", "position, x and y"), ("2-3", "velocity"))

_TOLD: dict[str, tuple[str, str, str, tuple[tuple[str, str], ...]]] = {
    "CartpoleBalance": (_CART.format("It starts upright: balance it."), _CART_PAID, _FORCE, _CART_SEEN),
    "CartpoleSwingup": (_CART.format("Swing it up and balance it."), _CART_PAID, _FORCE, _CART_SEEN),
    "PointMass": (
        "A ball rolls on a plane, pushed along x and y. Bring it to the middle. Episodes last 1000 steps of 0.02 s.",
        "0 to 1 a step: near the target, with little force",
        "force along x and y, -1 to 1",
        _PLANE,
    ),
    "ReacherEasy": (_REACHER.format("a large target"), _REACHER_PAID, _TORQUES, _REACHER_SEEN),
    "ReacherHard": (_REACHER.format("a small target"), _REACHER_PAID, _TORQUES, _REACHER_SEEN),
    "FingerSpin": (
        _FINGER.format("Flick the spinner so that it keeps spinning."),
        "1 a step while it spins at 15 rad/s or more",
        _TORQUES,
        _FINGER_SEEN,
    ),
    "FingerTurnEasy": (_TURN.format("a large target"), _TURN_PAID, _TORQUES, _TURN_SEEN),
    "FingerTurnHard": (_TURN.format("a small target"), _TURN_PAID, _TORQUES, _TURN_SEEN),
    "BallInCup": (
        "A ball hangs on a string from a cup. Swing it up and catch it. All episodes start alike and last 1000 steps of 0.02 s.",
        "1 a step while the ball is in the cup",
        "where the cup is pulled, x and z, -1 to 1",
        (("0-1", "position of the cup, x and z"), ("2-3", "position of the ball"), ("4-7", "their velocities")),
    ),
    "PendulumSwingup": (
        "A pole hangs on a hinge whose motor is too weak to lift it at once. Episodes last 1000 steps of 0.02 s.",
        "1 a step while the pole is within 8 degrees of upright",
        "torque on the hinge, -1 to 1",
        (("0-1", "sine and cosine of the pole's angle"), ("2", "angular velocity")),
    ),
    "brax/inverted_double_pendulum": (
        "Two poles, one upon the other, on a cart on a rail. Keep them up. An episode ends when the tip falls to 1 m.",
        "10 a step, less how far the tip is from the top and how fast the poles turn",
        _FORCE,
        (
            ("0", "position of the cart"),
            ("1-4", "sines, then cosines, of the poles' angles"),
            ("5-7", "velocities of cart and poles"),
        ),
    ),
    "brax/reacher": (
        "An arm of two links in the plane. Bring its finger to a target.",
        "minus the distance, minus the square of the torques",
        _TORQUES,
        (
            ("0-3", "cosines, then sines, of the two angles"),
            ("4-5", "position of the target, x and y"),
            ("6-7", "velocity of the finger"),
            ("8-10", "from target to finger, x, y and z"),
        ),
    ),
}

_SUITE = (
    "AcrobotSwingup", "AcrobotSwingupSparse", "BallInCup", "CartpoleBalance", "CartpoleBalanceSparse", "CartpoleSwingup",
    "CartpoleSwingupSparse", "CheetahRun", "FingerSpin", "FingerTurnEasy", "FingerTurnHard", "FishSwim", "HopperHop",
    "HopperStand", "HumanoidRun", "HumanoidStand", "HumanoidWalk", "PendulumSwingup", "PointMass", "ReacherEasy",
    "ReacherHard", "SwimmerSwimmer6", "WalkerRun", "WalkerStand", "WalkerWalk",
)  # fmt: skip
_BRAX = (
    "ant", "halfcheetah", "hopper", "humanoid", "humanoidstandup", "inverted_double_pendulum", "inverted_pendulum", "pusher",
    "reacher", "walker2d",
)  # fmt: skip


def _kind(name: str) -> tuple[Any, str]:
    """The class of a world, and its name in its package."""
    return (Brax, name.removeprefix("brax/")) if name.startswith("brax/") else (Playground, name)


def _families() -> dict[str, Family]:
    """The worlds as ``s5lib.envs.make`` keeps families: "ReacherHard" is Reacher's level Hard."""
    found: dict[str, Family] = {}
    for name in physics_names():
        kind, world = _kind(name)
        level = next((level for level in ("Easy", "Hard") if name.endswith(level)), "")
        found.setdefault(name.removesuffix(level), (kind, {}))[1][level] = {"world": world}
    return found


def physics_names() -> list[str]:
    """Every world of rigid bodies that ``s5lib.envs.make`` knows; no package is loaded for it.

    Returns:
        Names of MuJoCo Playground's dm_control suite, such as ``"CartpoleSwingup"``, and of brax behind its own,
        such as ``"brax/reacher"``.
    Example:
        >>> len(physics_names()), "ReacherEasy" in physics_names(), "brax/reacher" in physics_names()
        (35, True, True)

    """
    return [*_SUITE, *(f"brax/{name}" for name in _BRAX)]


def physics(name: str, **options: Any) -> Environment:
    """Build a world of rigid bodies by name.

    Args:
        name: one of ``physics_names()``.
        options: fields of ``Playground`` or ``Brax`` to set otherwise, such as ``max_steps``.
    Returns:
        A ``Playground`` or a ``Brax`` world.
    Raises:
        ValueError: an unknown name, with the nearest one.
        ImportError: the package is missing; the message holds the pip command.
    """
    kind, world = _kind(check_choice("world", name, physics_names()))
    return kind(world=world, **options)


class PhysicsState(struct.PyTreeNode):
    """``time``: steps taken. ``obs``: what is seen. ``physics``: what the package's next step depends on, and no more."""

    time: jax.Array
    obs: jax.Array
    physics: EnvState


class _World(NamedTuple):
    """A package's world as two functions: key -> obs, physics; physics, action -> obs, physics, reward, done."""

    reset: Callable
    step: Callable
    num_actions: int
    source: Any


class _Physics(Environment):
    """What both packages share."""

    world: str
    max_steps: int

    def _load(self) -> _World:
        raise NotImplementedError

    @property
    def horizon(self) -> int:
        return self.max_steps

    @property
    def source(self) -> Any:
        """The package's own environment, for its renderer and its model."""
        return self._load().source

    def observation_space(self, params: EnvParams) -> Space:
        obs, _ = jax.eval_shape(self._load().reset, jax.random.key(0))
        if not hasattr(obs, "shape"):
            raise ValueError(f"world must show one array; {self.name} shows {type(obs).__name__}")
        return spaces.Box(-jnp.inf, jnp.inf, obs.shape)

    def action_space(self, params: EnvParams) -> Space:
        return spaces.Box(-1.0, 1.0, (self._load().num_actions,))

    @property
    def num_actions(self) -> int:
        return self._load().num_actions

    def reset_env(self, key: jax.Array, params: EnvParams) -> Start:
        obs, physics = self._load().reset(key)
        return obs, PhysicsState(jnp.int32(0), obs, physics)

    def transition(self, key: jax.Array, state: PhysicsState, action: jax.Array, params: EnvParams) -> Transition:
        obs, physics, reward, done = self._load().step(state.physics, action)
        sound = jnp.isfinite(reward) & jnp.isfinite(obs).all()
        obs, reward = jnp.where(sound, obs, state.obs), jnp.where(sound, reward, 0)
        return obs, PhysicsState(state.time + 1, obs, physics), reward, (done > 0) | ~sound, {"diverged": ~sound}

    def best_action(self, state: EnvState) -> jax.Array:
        raise NotImplementedError(f"{self.name} has no scripted player")

    def _tell(self, source: str) -> Description:
        name, size = self.name, self.observation_space(self.default_params).shape[0]
        plain = (f"{name}, as its package defines it.", "as the package defines it", "controls, -1 to 1")
        summary, reward, action, seen = _TOLD.get(name, (*plain, ((f"0-{size - 1}", "as the package orders it"),)))
        return Description(name, summary, seen, action, reward, self.horizon, None, None, "none is known", source)


@dataclass(frozen=True)
class Playground(_Physics):
    """A world of MuJoCo Playground's dm_control suite, on MJX.

    Starts, physics, observations and rewards are the package's own; the time limit is ``truncated``. Between steps only
    what the next one depends on is kept: positions, velocities, targets and the solver's warm start, one short vector
    instead of hundreds of numbers. So a pool of starts is small, and a start compiles to what its first observation needs.

    Physics may diverge. Then ``terminated`` and ``info["diverged"]`` hold, the step pays 0 and the last finite
    observation is shown again: no NaN reaches the agent, which would learn nothing ever after.

    Args:
        world: as the package spells it, such as ``"CartpoleSwingup"``.
        max_steps: time limit of an episode; 1000 in the suite.
    Raises:
        ImportError: the packages are missing; the message holds the pip command.
        ValueError, TypeError: an unknown world, or a limit that is not a positive integer.
    Source: Zakka et al. 2025 (arXiv 2502.08844); google-deepmind/mujoco_playground, dm_control_suite, impl "jax".
    Differs: where the package's training wrapper starts an episode from the first start again, here each start is fresh.
        A diverged step is paid 0, not NaN.
    """

    world: str = "CartpoleSwingup"
    max_steps: int = 1000

    def __post_init__(self) -> None:
        check_choice("world", self.world, _SUITE)
        check_positive_int("max_steps", self.max_steps)
        self._load()

    @property
    def name(self) -> str:
        return self.world

    def _load(self) -> _World:
        return _playground(self.world)

    def describe(self) -> Description:
        return self._tell("MuJoCo Playground, dm_control suite; after Tassa et al. 2018 (arXiv 1801.00690)")


@dataclass(frozen=True)
class Brax(_Physics):
    """A world of brax, under one of its physics engines.

    As ``Playground``: the package's own starts, physics, observations and rewards, fresh starts, a time limit that is
    ``truncated``, no NaN for the agent. Actions are -1 to 1, which brax itself stretches where its motors need it.

    Args:
        world: as brax spells it, such as ``"reacher"``; or a ``brax.envs.Env`` of your own, without brax's training wrappers.
        max_steps: time limit of an episode; 1000 in brax's training.
        backend: ``"spring"``, the fastest, ``"positional"`` or ``"generalized"``; your own has its own.
    Raises:
        ImportError: the package is missing; the message holds the pip command.
        ValueError, TypeError: an unknown world or backend, a limit that is not a positive integer, a training wrapper, or an
            object that is no environment.
    Source: Freeman et al. 2021 (arXiv 2106.13281); google/brax, brax/envs.
    Differs: brax's AutoResetWrapper starts each episode of an environment from its first start again; here each is fresh.
        Its worlds default to the engine "generalized", which is 3 to 6 times slower.
    """

    world: Any = "reacher"
    max_steps: int = 1000
    backend: str = "spring"

    def __post_init__(self) -> None:
        if isinstance(self.world, str):
            check_choice("world", self.world, _BRAX)
        check_choice("backend", self.backend, ("spring", "positional", "generalized"))
        check_positive_int("max_steps", self.max_steps)
        self._load()

    @property
    def name(self) -> str:
        return f"brax/{self.world if isinstance(self.world, str) else type(self.world).__name__}"

    def _load(self) -> _World:
        return _brax(self.world, self.backend) if isinstance(self.world, str) else _own(self.world)

    def describe(self) -> Description:
        named = isinstance(self.world, str)
        return self._tell(
            f"brax, engine {self.backend!r}; after the MuJoCo tasks of OpenAI Gym"
            if named
            else "your own, with brax's interface"
        )


# Of MuJoCo's state, what the suite's next step depends on: it sets the controls itself, and applies no outside force.
_KEPT = ("TIME", "QPOS", "QVEL", "ACT", "WARMSTART", "MOCAP_POS", "MOCAP_QUAT")


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without the packages' warnings about their own age."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# Models are made once a process, in real numbers even while something is traced. The two functions of a world are jitted
# so that they are traced once, however many programs use them.


@functools.cache
def _playground(name: str) -> _World:
    with _quietly(), jax.ensure_compile_time_eval():
        suite = require(
            "mujoco_playground", "physics"
        ).dm_control_suite  # the registry would download other suites' models
        mjx_env = require("mujoco_playground._src.mjx_env", "physics")
        mujoco, mjx = require("mujoco", "physics"), require("mujoco.mjx", "physics")
        env = suite.load(name, config_overrides={"impl": "jax"})
        model, blank = env.mjx_model, mjx.make_data(env.mj_model, impl="jax")
    spec = sum(int(getattr(mujoco.mjtState, f"mjSTATE_{part}")) for part in _KEPT)

    def keep(state: Any) -> jax.Array:
        return mjx.get_state(model, state.data, spec).astype(jnp.float32)

    @_quietly()
    def reset(key: jax.Array) -> Start:
        state = env.reset(key)
        return state.obs, keep(state)

    @_quietly()
    def step(kept: jax.Array, action: jax.Array) -> tuple:
        data = mjx.set_state(model, blank, kept, spec)
        state = env.step(mjx_env.State(data, None, None, None, {}, {}), action)
        return state.obs, keep(state), jnp.asarray(state.reward, jnp.float32), jnp.asarray(state.done)

    return _World(jax.jit(reset), jax.jit(step), env.action_size, env)


@functools.cache
def _brax(name: str, backend: str) -> _World:
    with _quietly(), jax.ensure_compile_time_eval():
        envs = require("brax.envs", "physics")
        env = envs.get_environment(name, backend=backend)

    @_quietly()
    def reset(key: jax.Array) -> Start:
        state = env.reset(key)
        return state.obs, state.pipeline_state

    @_quietly()
    def step(pipeline_state: EnvState, action: jax.Array) -> tuple:
        state = env.step(envs.State(pipeline_state, None, jnp.float32(0), jnp.float32(0)), action)
        return state.obs, state.pipeline_state, jnp.asarray(state.reward, jnp.float32), jnp.asarray(state.done)

    return _World(jax.jit(reset), jax.jit(step), env.action_size, env)


@functools.cache
def _own(env: Any) -> _World:
    """An environment of somebody's, of which no more is known than brax's interface: all of its state is kept."""
    if isinstance(env, type) or not all(hasattr(env, name) for name in ("reset", "step", "action_size")):
        raise TypeError(f"world must be a name or a brax.envs.Env, with reset, step and action_size; got {env!r}")
    layer = env
    while layer is not None:
        if type(layer).__module__ == "brax.envs.wrappers.training":
            name = type(layer).__name__
            raise ValueError(
                f"world must be the environment itself, which is batched, cut and begun anew here; got {name}"
            )
        layer = vars(layer).get("env")

    @_quietly()
    def reset(key: jax.Array) -> Start:
        state = env.reset(key)
        return state.obs, state

    @_quietly()
    def step(state: EnvState, action: jax.Array) -> tuple:
        state = env.step(state, action)
        return state.obs, state, jnp.asarray(state.reward, jnp.float32), jnp.asarray(state.done)

    return _World(jax.jit(reset), jax.jit(step), env.action_size, env)


PHYSICS = _families()
