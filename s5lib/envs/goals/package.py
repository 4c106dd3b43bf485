"""Package Delivery: along a road with forks to places in a given order, with a drop that has to be found out."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from s5lib.config import check_flags, check_positive_int
from s5lib.envs import spaces
from s5lib.envs.base import Description, EnvParams
from s5lib.envs.goals.instruction import Instructed, InstructedState, check_goals, distinct
from s5lib.envs.spaces import Space

__all__ = ["DIFFICULTY", "DROPS", "Package", "PackageDelivery"]

DIFFICULTY: dict[str, dict[str, Any]] = {
    "Easy": {
        "length": 12, "episode_length": 60, "min_forks": 1, "max_forks": 2, "min_goals": 1, "max_goals": 2, "forgiving": True,
    },
    "Hard": {"length": 30, "episode_length": 180},
}  # fmt: skip
FORWARD, LEFT, RIGHT, WAIT = range(4)
DROPS = 4  # candidates: actions 4 to 7

_RANDOM = {"Easy": 0.3142, "Hard": 0.1892}  # mean return of random play, 32 768 episodes


class Package(struct.PyTreeNode):
    """A road and who travels on it.

    ``place``: from 0, int32; ``packages``: left, int32; ``forks`` (length,), bool; ``right`` (length,), bool: whether a fork's
    correct side is the right one; ``drop``: which of the drops delivers, from 0, int32; ``delivered``, bool: whether the last
    step did.
    """

    place: jax.Array
    packages: jax.Array
    forks: jax.Array
    right: jax.Array
    drop: jax.Array
    delivered: jax.Array


@dataclass(frozen=True)
class PackageDelivery(Instructed):
    """Deliver packages at places of a road in the order of the instruction; forks and the way to drop must be found out.

    The road has places 0 to length - 1 and is travelled one way, from the last place on to place 0. At a fork the correct one of
    left and right goes on and the wrong one leads back to place 0; forward and drops do nothing there. Elsewhere one of four
    drops delivers, the same one throughout an episode, and uses up a package; a wrong one leads back to place 0, and so does
    any drop at place 0 or without packages, unless the road is forgiving: then these do nothing. All of this is hidden, and none
    of it changes in an episode.

    The paper does not say what drops do and how many packages there are; the first release of its code does, and is followed:
    three packages a goal, enough to be careless and too few to drop one everywhere. A right drop at a place that is not asked
    for is an achieved goal all the same, which hindsight may ask for.

    Args:
        length: places of the road.
        episode_length: steps to the end.
        min_forks, max_forks: how many forks; every number between them, and every choice of places 1 to length - 1, is
            equally likely.
        min_goals, max_goals: how many goals, at different places from 1 on that are no forks; likewise. They are asked for in the
            order of the road.
        packages: how many for each goal.
        forgiving: whether a drop that fails leaves the player where it is.
    Raises:
        TypeError: an option that is not an integer, or a ``forgiving`` that is not a bool.
        ValueError: a number that is not positive, an empty range, or a road too short for its forks and goals.
    Example:
        >>> env = PackageDelivery()
        >>> obs, state = env.reset(jax.random.key(0))
        >>> obs, state, reward, terminated, truncated, info = env.step(jax.random.key(1), state, env.best_action(state))
        >>> obs.shape, info["achieved"].shape, bool(info["achieved_any"])
        ((16,), (1,), False)

    Source: Grigsby et al. 2024 (arXiv 2310.09971), appendix C.3; amago at commit 91ea577, envs/builtin/delivery.py.
    Differs: two to six forks, as the paper has it, where that code draws three to six. What is seen is divided by its largest
    value. ``forgiving`` is ours, and so is the road of 12 that has it, for a quick look: who acts at random is led back on three
    steps in eight, and hardly ever sees the road's end.
    """

    length: int = 30
    episode_length: int = 180
    min_forks: int = 2
    max_forks: int = 6
    min_goals: int = 2
    max_goals: int = 4
    packages: int = 3
    forgiving: bool = False

    def __post_init__(self) -> None:
        check_flags(self)
        for name in ("length", "episode_length", "min_forks", "max_forks", "packages"):
            check_positive_int(name, getattr(self, name))
        check_goals(self)
        if self.min_forks > self.max_forks:
            raise ValueError(f"min_forks must be max_forks or less; got {self.min_forks} and {self.max_forks}")
        least = self.max_forks + self.max_goals + 1
        if self.length < least:
            raise ValueError(
                f"length must be {least} or more, for {self.max_forks} forks, {self.max_goals} goals and the start; "
                f"got {self.length}"
            )

    @property
    def horizon(self) -> int:
        return self.episode_length

    @property
    def goal_scale(self) -> tuple[float, ...]:  # type: ignore[override]
        return (float(self.length),)

    @property
    def world_size(self) -> int:  # type: ignore[override]
        return 3

    def action_space(self, params: EnvParams) -> Space:
        return spaces.Discrete(4 + DROPS)

    def begin_world(self, key: jax.Array, count: jax.Array) -> Package:
        key_count, key_forks, key_right, key_drop = jax.random.split(key, 4)
        wanted = jax.random.randint(key_count, (), self.min_forks, self.max_forks + 1)
        places = jnp.arange(self.length)
        drawn = distinct(key_forks, places > 0, self.max_forks)
        forks = jnp.any((places[:, None] == drawn) & (jnp.arange(self.max_forks) < wanted), 1)
        right = jax.random.bernoulli(key_right, shape=(self.length,))
        drop = jax.random.randint(key_drop, (), 0, DROPS)
        return Package(jnp.int32(0), count * self.packages, forks, right, drop, jnp.bool_(False))

    def draw_goals(self, key: jax.Array, world: Package, count: jax.Array) -> jax.Array:
        free = ~world.forks & (jnp.arange(self.length) > 0)
        drawn = distinct(key, free, self.max_goals)
        used = jnp.arange(self.max_goals) < count
        return jnp.sort(jnp.where(used, drawn, self.length))[:, None].astype(jnp.float32)

    def step_world(self, key: jax.Array, world: Package, action: jax.Array) -> Package:
        fork = world.forks[world.place]
        correct = jnp.where(world.right[world.place], RIGHT, LEFT)
        moves = jnp.where(fork, action == correct, action == FORWARD)
        drops = ~fork & (action > WAIT)
        delivered = drops & (action - WAIT - 1 == world.drop) & (world.packages > 0) & (world.place > 0)
        lost = (drops & ~delivered & (not self.forgiving)) | (fork & ((action == LEFT) | (action == RIGHT)) & ~moves)
        place = jnp.where(lost, 0, jnp.mod(world.place + moves, self.length))
        return world.replace(place=place, packages=world.packages - delivered, delivered=delivered)

    def see_world(self, world: Package) -> jax.Array:
        most = self.max_goals * self.packages
        return jnp.stack([world.place / self.length, world.packages / most, world.forks[world.place] * 1.0])

    def achieved(self, world: Package) -> tuple[jax.Array, jax.Array]:
        return world.place[None].astype(jnp.float32), world.delivered

    def best_action(self, state: InstructedState) -> jax.Array:
        world = state.world
        onward = jnp.where(world.forks[world.place], jnp.where(world.right[world.place], RIGHT, LEFT), FORWARD)
        return jnp.where(world.place == self.next_goal(state)[0], WAIT + 1 + world.drop, onward).astype(jnp.int32)

    def describe(self) -> Description:
        level = next((name for name, options in DIFFICULTY.items() if self == PackageDelivery(**options)), "")
        in_time = self.length + self.max_goals <= self.episode_length
        costly = "side" if self.forgiving else "side or drop"
        return Description(
            name="PackageDelivery",
            summary=f"Deliver at {self.min_goals} to {self.max_goals} places of a road of {self.length}, in order. Forks have a "
            f"correct side, one of four drops delivers; both are hidden and stay the same. A wrong {costly} leads "
            "back to the start.",
            observation=(
                ("0", f"place, divided by {self.length}"),
                ("1", f"packages left, divided by {self.max_goals * self.packages}"),
                ("2", "1 at a fork"),
                *self.told_instruction(f"a place, divided by {self.length}"),
            ),
            action="0 forward, 1 left, 2 right, 3 nothing, 4-7 drop a package in one of four ways",
            reward="+1 for each goal, in order; the episode ends when all are done",
            horizon=self.horizon,
            random_return=_RANDOM.get(level),
            best_return=(self.min_goals + self.max_goals) / 2 if in_time else None,
            best_policy="knows the correct sides and the drop that delivers",
            source="Grigsby et al. 2024 (arXiv 2310.09971), appendix C.3; amago at commit 91ea577, envs/builtin/delivery.py",
        )
