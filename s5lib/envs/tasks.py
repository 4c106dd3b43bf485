"""Chapters 7 and 8. The tasks that are learnt in context, under names: what they are made of stands in the modules above."""

import dataclasses
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np

from s5lib.config import check_choice, check_flags, check_positive_int, random_key
from s5lib.envs.base import AnyEnv, Description, Environment, EnvState, check_action_box, check_vectors
from s5lib.envs.physics import physics
from s5lib.envs.popgym.cartpole import CartPole
from s5lib.envs.projection import Projection
from s5lib.envs.trials import Trials
from s5lib.envs.worlds import ManyWorlds
from s5lib.envs.wrappers import ActionRepeat, Padded, Standardized, Wrapper

__all__ = [
    "HELD_OUT",
    "PROJECTED",
    "SPREADS",
    "TRAIN",
    "ProjectedCartPole",
    "ProjectedWorlds",
    "measure_spread",
]

TRAIN = ("CartpoleSwingup", "PointMass", "ReacherEasy", "FingerSpin", "FingerTurnHard", "BallInCup")
HELD_OUT = ("CartpoleBalance", "ReacherHard", "FingerTurnEasy", "PendulumSwingup")
PROJECTED = ("both", "observations", "actions", "neither")


@dataclass(frozen=True)
class ProjectedCartPole(Wrapper):
    """Chapter 7's task: balance a pole behind a random projection, and have several trials to find out how.

    ``Projection(Trials(CartPole(max_steps=max_steps), trials, fresh, own_returns), ...)`` under a name, for configs and
    ``make``. The pole's velocities are hidden; a trial pays 1 / max_steps a step, so 1 at most, and a meta-episode
    ``trials``.

    Args:
        trials: trials to a meta-episode; None for as many as fit in ``steps``.
        fresh: each trial from a start of its own; False repeats the first.
        own_returns: returns end with their trial, see ``Trials``.
        steps: cut a meta-episode after this many steps, see ``Trials``.
        obs_size: numbers that the agent sees, 2 or more; None shows x and theta.
        action_size: numbers that it acts with, 2 or more; None leaves it two buttons.
        distribution: as in ``Projection``, and so are the fields after it.
        max_steps: time limit of a trial.
    Raises:
        ValueError, TypeError: as in ``Trials`` and ``Projection``.
    Example:
        >>> from s5lib.envs import make
        >>> env = make("ProjectedCartPole", trials=32, held_out=True)
        >>> env.reset(jax.random.key(0))[0].shape, env.horizon
        ((4,), 6400)

    Source: Lu et al. 2023 (arXiv 2303.03982), section 4.3; luchris429/popjaxrl, envs/meta_cartpole.py.
    Differs: from that code in projecting actions, in trials that start afresh, in a projection for held-out tests. Its form is
        ``ProjectedCartPole(fresh=False, action_size=None)`` with the action's number and two flags appended.
    """

    env: AnyEnv = field(init=False, repr=False, compare=False)
    trials: int | None = 16
    fresh: bool = True
    own_returns: bool = False
    steps: int | None = None
    obs_size: int | None = 4
    action_size: int | None = 2
    distribution: str = "orthogonal"
    gain: float = 1.0
    action_gain: float = 1.0
    mirror: bool = False
    pool: int | None = None
    seed: int = 0
    held_out: bool = False
    max_steps: int = 200

    def __post_init__(self) -> None:
        names = [option.name for option in dataclasses.fields(Projection) if option.name != "env"]
        inside = Trials(CartPole(max_steps=self.max_steps), self.trials, self.fresh, self.own_returns, self.steps)
        object.__setattr__(self, "env", Projection(inside, **{name: getattr(self, name) for name in names}))

    def describe(self) -> Description:
        return dataclasses.replace(self.env.describe(), name="ProjectedCartPole")


def measure_spread(
    env: AnyEnv, episodes: int = 16, steps: int = 1000, hold: int = 20, seed: int = 0
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Measure mean and standard deviation of all that is observed while random actions are held, some steps each.

    Actions are standard normal, clipped to their box. Held for a while they take a body to places where actions that
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
        actions = jax.random.normal(key_actions, (steps // hold, size), jnp.float32).repeat(hold, 0)
        _, state = env.reset_env(key_reset, params)

        def step(state: EnvState, now: tuple) -> tuple:
            obs, state, *_ = env.step_env(now[0], state, jnp.clip(now[1], space.low, space.high), params)
            return state, obs

        return jax.lax.scan(step, state, (jax.random.split(key_steps, steps), actions))[1]

    keys = jax.random.split(random_key(seed), check_positive_int("episodes", episodes))
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
        check_flags(self)
        check_choice("project", self.project, PROJECTED)
        object.__setattr__(self, "worlds", tuple(self._projected(name) for name in self.worlds))
        super().__post_init__()

    def _projected(self, name: str) -> Environment:
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
            world = Padded(world, seen, self.action_size if action_size is None else check_action_box(world))
        options = {name: getattr(self, name) for name in ("distribution", "gain", "pool", "seed", "held_out")}
        return Projection(world, obs_size, action_size, **options)
