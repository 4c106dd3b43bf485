"""An instruction: a tuple of goals to achieve in order, shown in an observation that hindsight can rewrite.

A world says what is achieved at each step and knows nothing of rewards. What it is asked for stands in one stretch of the
observation, described by a ``Layout``, so that ``s5lib.replay.relabel`` can ask for something else afterwards and replay the
rewards without knowing the world.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from s5lib.config import check_positive_int, check_shape, is_concrete
from s5lib.envs import spaces
from s5lib.envs.base import AnyEnv, Environment, EnvParams, Start, Transition
from s5lib.envs.spaces import Space
from s5lib.envs.wrappers import (
    EpisodeStatistics,
    PreviousAction,
    ScaledAction,
    TimeLimit,
    VariedParams,
    WithParams,
    Wrapper,
)

__all__ = ["Instructed", "InstructedState", "Layout", "check_goals", "distinct", "goal_times", "layout_of"]  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """Where an observation holds the instruction: ``[world, goals, present, done, time, ...]``.

    Goals are vectors of whole numbers, shown divided by ``goal_scale``. A slot without a goal shows zeros, and 0 as ``present``.

    Args:
        world: how many numbers the world's own part has.
        goal_scale: what each number of a goal is divided by; as many as a goal has.
        max_goals: slots.
        previous_rewards: indices at which the observation shows the last step's reward, as ``PreviousAction`` appends it.
    Example:
        >>> layout = Layout(world=3, goal_scale=(30.0,), max_goals=4)
        >>> layout.size, layout.goals, layout.time
        (16, slice(3, 7, None), 15)

    """

    world: int
    goal_scale: tuple[float, ...]
    max_goals: int
    previous_rewards: tuple[int, ...] = ()

    @property
    def goal_size(self) -> int:
        """Numbers of one goal."""
        return len(self.goal_scale)

    @property
    def goals(self) -> slice:
        """The goals, slot after slot."""
        return slice(self.world, self.world + self.max_goals * self.goal_size)

    @property
    def present(self) -> slice:
        """One number a slot: 1 where it holds a goal."""
        return slice(self.goals.stop, self.goals.stop + self.max_goals)

    @property
    def done(self) -> slice:
        """One number a slot: 1 where its goal is achieved."""
        return slice(self.present.stop, self.present.stop + self.max_goals)

    @property
    def time(self) -> int:
        """Steps taken, as a share of the horizon."""
        return self.done.stop

    @property
    def size(self) -> int:
        """Numbers of the observation, without what wrappers append."""
        return self.time + 1

    def read(self, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Read the instruction out of observations.

        Args:
            obs: shape (..., size or more), float32.
        Returns:
            The goals, whole numbers, shape (..., max_goals, goal_size), float32, and how many there are, shape (...), int32.
        """
        shown = obs[..., self.goals].reshape(*obs.shape[:-1], self.max_goals, self.goal_size)
        goals = jnp.round(shown * jnp.array(self.goal_scale, jnp.float32))
        return goals, jnp.sum(obs[..., self.present], -1).astype(jnp.int32)

    def shown(self, goals: jax.Array) -> jax.Array:
        """Goals as they stand in an observation: shape (..., max_goals, goal_size) -> (..., max_goals * goal_size)."""
        return (goals / jnp.array(self.goal_scale, jnp.float32)).reshape(*goals.shape[:-2], -1)


class InstructedState(struct.PyTreeNode):
    """A world under an instruction.

    ``world``: its own state; ``goals`` (max_goals, goal_size), float32: whole numbers; ``count``: goals that there are;
    ``achieved``: how many of them are done; ``time``: steps taken.
    """

    time: jax.Array
    world: Any
    goals: jax.Array
    count: jax.Array
    achieved: jax.Array


class Instructed(Environment):
    """A world with an instruction: +1 for each goal achieved in its order, the end when all are.

    A step achieves one goal at most. Time is shown and nothing can be earned after the horizon, so that running out of time is
    ``terminated`` as well. ``info`` tells of each step ``"achieved"``, what the world achieved, asked for or not, shape
    (goal_size,), float32; ``"achieved_any"``, whether it achieved anything; ``"success"``, whether all goals are done.

    A world is a frozen dataclass with the fields ``min_goals`` and ``max_goals`` and the methods below. Its rules may hang on how
    many goals there are, never on which: relabelling relies on it.

    Source: Grigsby et al. 2024 (arXiv 2310.09971), section 4; amago, envs/builtin/mazerunner.py for the end at the horizon.
    Differs: the paper's goals are tokens or places; there a done goal is overwritten, here a flag tells.
    """

    goal_scale: tuple[float, ...]
    world_size: int
    min_goals: int
    max_goals: int
    world_low: ClassVar[float] = 0.0

    def begin_world(self, key: jax.Array, count: jax.Array) -> Any:
        """Draw a world in which ``count`` goals will be asked for."""
        raise NotImplementedError

    def draw_goals(self, key: jax.Array, world: Any, count: jax.Array) -> jax.Array:
        """Draw an instruction, shape (max_goals, goal_size), float32, of which the first ``count`` goals are used."""
        raise NotImplementedError

    def step_world(self, key: jax.Array, world: Any, action: jax.Array) -> Any:
        """The world after an action."""
        raise NotImplementedError

    def see_world(self, world: Any) -> jax.Array:
        """What is seen of the world, shape (world_size,), float32, from ``world_low`` to 1."""
        raise NotImplementedError

    def achieved(self, world: Any) -> tuple[jax.Array, jax.Array]:
        """The goal that the last step achieved, shape (goal_size,), float32, and whether it achieved one."""
        raise NotImplementedError

    @property
    def layout(self) -> Layout:
        """Where the observation holds the instruction."""
        return Layout(self.world_size, self.goal_scale, self.max_goals)

    def observation_space(self, params: EnvParams) -> Space:
        low = np.zeros(self.layout.size, np.float32)
        low[: self.world_size] = self.world_low
        return spaces.Box(low, 1.0, low.shape)

    def reset_env(self, key: jax.Array, params: EnvParams) -> Start:
        key_count, key_world, key_goals = jax.random.split(key, 3)
        count = jax.random.randint(key_count, (), self.min_goals, self.max_goals + 1)
        world = self.begin_world(key_world, count)
        goals = jnp.where(self._slots < count, self.draw_goals(key_goals, world, count), 0).astype(jnp.float32)
        state = InstructedState(jnp.int32(0), world, goals, count, jnp.int32(0))
        return self._see(state), state

    @property
    def _slots(self) -> jax.Array:
        return jnp.arange(self.max_goals)[:, None]

    def instruct(self, state: InstructedState, goals: jax.Array | list) -> Start:
        """Ask for other goals at the start of an episode.

        Args:
            state: what a reset returned.
            goals: whole numbers, shape (k, goal_size), as many goals as the state has.
        Returns:
            The first observation and the state with these goals.
        Raises:
            ValueError: more goals than slots, another number of goals than the world was drawn for, or of another size.
        """
        given = jnp.asarray(goals, jnp.float32)
        check_shape("goals", given, ("k", len(self.goal_scale)))
        if len(given) > self.max_goals:
            raise ValueError(f"goals must be {self.max_goals} at most, the slots of {self.name}; got {len(given)}")
        if is_concrete(state.count) and len(given) != state.count:
            raise ValueError(f"goals must be {state.count}, as the world was drawn for; got {len(given)}")
        goals = jnp.zeros_like(state.goals).at[: len(given)].set(given)
        state = state.replace(goals=goals)
        return self._see(state), state

    def _see(self, state: InstructedState) -> jax.Array:
        slots = jnp.arange(self.max_goals)
        parts = [
            self.see_world(state.world),
            self.layout.shown(state.goals),
            slots < state.count,
            slots < state.achieved,
            jnp.minimum(state.time / self.horizon, 1)[None],
        ]
        return jnp.concatenate([part.astype(jnp.float32) for part in parts])

    def transition(self, key: jax.Array, state: InstructedState, action: jax.Array, params: EnvParams) -> Transition:
        world = self.step_world(key, state.world, action)
        goal, any_goal = self.achieved(world)
        wanted = state.goals[jnp.minimum(state.achieved, self.max_goals - 1)]
        hit = any_goal & jnp.all(goal == wanted) & (state.achieved < state.count)
        state = state.replace(time=state.time + 1, world=world, achieved=state.achieved + hit)
        success = state.achieved >= state.count
        info = {"achieved": goal, "achieved_any": any_goal, "success": success}
        return self._see(state), state, jnp.where(hit, 1.0, 0.0), success | (state.time >= self.horizon), info

    def is_truncated(self, state: InstructedState, params: EnvParams) -> jax.Array:
        over = (state.achieved >= state.count) | (state.time >= self.horizon)
        return (state.time >= params.max_steps_in_episode) & ~over

    def next_goal(self, state: InstructedState) -> jax.Array:
        """The goal that is due, as int32, shape (goal_size,)."""
        return state.goals[jnp.minimum(state.achieved, self.max_goals - 1)].astype(jnp.int32)

    def told_instruction(self, goal: str) -> tuple[tuple[str, str], ...]:
        """The rows of ``describe().observation`` that say where the instruction stands."""
        layout = self.layout

        def place(part: slice) -> str:
            return f"{part.start}-{part.stop - 1}" if part.stop - part.start > 1 else str(part.start)

        return (
            (place(layout.goals), f"{self.max_goals} slots, in order: {goal}; 0 in an empty slot"),
            (place(layout.present), "1 for each slot that holds a goal"),
            (place(layout.done), "1 for each goal that is done"),
            (str(layout.time), f"time, as a share of {self.horizon} steps"),
        )


def check_goals(env: Any) -> None:
    """Refuse a world whose ``min_goals`` and ``max_goals`` are no range of positive integers."""
    low, high = (check_positive_int(name, getattr(env, name)) for name in ("min_goals", "max_goals"))
    if low > high:
        raise ValueError(f"min_goals must be max_goals or less; got {low} and {high}")


def distinct(key: jax.Array, allowed: jax.Array, count: int) -> jax.Array:
    """Draw places without replacement, each ordered choice equally likely.

    Args:
        key: random key.
        allowed: which places may be drawn, shape (places,), bool; at least ``count`` of them.
        count: how many to draw.
    Returns:
        Indices, shape (count,), int32.
    """
    return jax.lax.top_k(jnp.where(allowed, jax.random.uniform(key, allowed.shape), -1), count)[1].astype(jnp.int32)


def goal_times(goals: jax.Array, count: jax.Array, achieved: jax.Array, achieved_any: jax.Array) -> jax.Array:
    """Replay an instruction: when is each goal done, if they are taken in order and a step does one at most.

    Goal i is done at the first step after goal i - 1's at which it is achieved.

    Args:
        goals: shape (max_goals, goal_size), float32.
        count: how many of them there are, int32.
        achieved: what each step achieved, shape (T, goal_size), float32.
        achieved_any: whether it achieved anything, shape (T,), bool.
    Returns:
        The steps, from 0, shape (max_goals,), int32; T where a goal is never done, or is none.
    Example:
        >>> steps = jnp.array([[4.0], [5.0], [4.0]])
        >>> goal_times(jnp.array([[5.0], [4.0], [0.0]]), jnp.int32(2), steps, jnp.ones(3, bool)).tolist()
        [1, 2, 3]

    """
    length = achieved.shape[0]
    steps = jnp.arange(length)
    times, last = [], jnp.int32(-1)
    for slot in range(goals.shape[0]):
        fits = achieved_any & jnp.all(achieved == goals[slot], -1) & (steps > last) & (slot < count)
        last = jnp.where(jnp.any(fits), jnp.argmax(fits), length).astype(jnp.int32)
        times.append(last)
    return jnp.stack(times)


_KEEP = (EpisodeStatistics, ScaledAction, TimeLimit, VariedParams, WithParams)  # wrappers that leave observations alone


def layout_of(env: AnyEnv) -> Layout:
    """Say where the observation of a wrapped environment holds the instruction.

    Args:
        env: an ``Instructed`` world, in wrappers that keep its observation or append to it, as ``PreviousAction`` does.
    Returns:
        A ``Layout`` that knows where previous rewards are shown.
    Raises:
        ValueError: a world without goals, or a wrapper that changes what is seen.
    Example:
        >>> from s5lib.envs import PreviousAction, make
        >>> layout_of(PreviousAction(make("PackageDeliveryEasy"), reward=True)).previous_rewards
        (18,)

    """
    wrappers = []
    while isinstance(env, Wrapper):
        wrappers.append(env)
        env = env.env
    if not isinstance(env, Instructed):
        raise ValueError(
            f"env must be a world with goals, such as MazeRunner or PackageDelivery; got {type(env).__name__}"
        )
    shown: tuple[int, ...] = ()
    for wrapper in reversed(wrappers):
        if isinstance(wrapper, PreviousAction):
            size = wrapper.observation_space(wrapper.default_params).shape[0]
            shown += (size - 2 - wrapper.trial,) if wrapper.reward else ()
        elif type(wrapper) is not Wrapper and not isinstance(wrapper, _KEEP):
            kept = ", ".join(kind.__name__ for kind in (PreviousAction, *_KEEP))
            raise ValueError(
                f"env must show its instruction as it is, in no wrappers but {kept}; got {type(wrapper).__name__}"
            )
    return replace(env.layout, previous_rewards=shown)
