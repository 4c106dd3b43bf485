"""Cart pole without half of its state: the velocities hidden, or the positions, with noise or without."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from s5lib.config import check_choice, check_positive_int
from s5lib.envs import spaces
from s5lib.envs.base import Description, Environment, EnvParams, Start, Transition
from s5lib.envs.popgym.noise import blur, check_sigma
from s5lib.envs.spaces import Space

__all__ = ["DIFFICULTY", "CartPole", "State"]

# family: options of each difficulty
DIFFICULTY: dict[str, dict[str, dict[str, Any]]] = {
    "PositionOnlyCartPole": {
        "Easy": {"shown": "positions", "max_steps": 200},
        "Medium": {"shown": "positions", "max_steps": 400},
        "Hard": {"shown": "positions", "max_steps": 600},
    },
    "VelocityOnlyCartPole": {
        "Easy": {"shown": "velocities", "max_steps": 200},
        "Medium": {"shown": "velocities", "max_steps": 400},
        "Hard": {"shown": "velocities", "max_steps": 600},
    },
    "NoisyPositionOnlyCartPole": {
        "Easy": {"shown": "positions", "noise_sigma": 0.1},
        "Medium": {"shown": "positions", "noise_sigma": 0.2},
        "Hard": {"shown": "positions", "noise_sigma": 0.3},
    },
}

GRAVITY = 9.8
CART, POLE = 1.0, 0.1  # masses
HALF_LENGTH = 0.5  # of the pole
FORCE = 10.0
TAU = 0.02  # seconds between steps
X_LIMIT = 2.4
THETA_LIMIT = 12 * 2 * math.pi / 360  # 12 degrees
FEEDBACK = (
    0.15,
    0.18,
    1.0,
    0.23,
)  # push right where this times the state is above 0; after a linear-quadratic regulator
_RANDOM_STEPS = 22.259  # mean of 1 000 000 episodes of random play; the standard error is 0.012
_LONGEST = 200  # none of those took this long (the longest took 167), so that the limit plays no part
_BALANCED = 2000  # none of 20 000 episodes of feedback fell in as many steps


class State(struct.PyTreeNode):
    """``physics`` (4,): x (m), x_dot, theta (rad, 0 upright), theta_dot. ``time``: steps taken."""

    time: jax.Array
    physics: jax.Array


@dataclass(frozen=True)
class CartPole(Environment):
    """Balance a pole on a cart that is pushed left or right, and see only the two positions or the two velocities.

    The hidden half has to be inferred from what was seen and done before. An episode ends when the cart is more than
    2.4 m off or the pole more than 12 degrees, or after ``max_steps`` steps; each step pays 1 / max_steps, the one on
    which the pole falls too. A fall on the very last step is ``terminated`` and ``truncated`` both.

    Args:
        shown: ``"positions"`` (x, theta) or ``"velocities"`` (x_dot, theta_dot). With velocities the first observation
            of an episode still holds the positions, as in the original.
        noise_sigma: standard deviation of normal noise on each number shown, drawn anew at the reset and each step;
            the sum is clipped to the observation space.
        max_steps: the time limit.
    Raises:
        ValueError: another ``shown``, a negative or infinite ``noise_sigma``, or ``max_steps`` below 1.
        TypeError: ``noise_sigma`` is not a number, or ``max_steps`` not an integer.
    Example:
        >>> env = CartPole(shown="velocities")
        >>> obs, state = env.reset(jax.random.key(0))
        >>> obs, state, reward, terminated, truncated, info = env.step(jax.random.key(1), state, 1)
        >>> obs.shape, round(float(reward), 4), bool(terminated)
        ((2,), 0.005, False)

    Source: popgym 1.0.7, envs/position_only_cartpole.py, velocity_only_cartpole.py, noisy_position_only_cartpole.py;
        gymnasium 1.3.0, envs/classic_control/cartpole.py.
    """

    shown: str = "positions"
    noise_sigma: float = 0.0
    max_steps: int = 200

    def __post_init__(self) -> None:
        check_choice("shown", self.shown, ("positions", "velocities"))
        check_sigma(self.noise_sigma)
        check_positive_int("max_steps", self.max_steps)

    @property
    def horizon(self) -> int:
        return self.max_steps

    def observation_space(self, params: EnvParams) -> spaces.Box:
        high = np.array([2 * X_LIMIT, 2 * THETA_LIMIT] if self.shown == "positions" else [np.inf, np.inf], np.float32)
        return spaces.Box(-high, high, (2,))

    def action_space(self, params: EnvParams) -> Space:
        return spaces.Discrete(2)

    def reset_env(self, key: jax.Array, params: EnvParams) -> Start:
        key_physics, key_noise = jax.random.split(key)
        state = State(jnp.int32(0), jax.random.uniform(key_physics, (4,), minval=-0.05, maxval=0.05))
        obs = blur(key_noise, state.physics[::2], self.noise_sigma, self.observation_space(params))
        return obs, state  # the positions, whatever is shown later

    def transition(self, key: jax.Array, state: State, action: jax.Array, params: EnvParams) -> Transition:
        _, x_dot, theta, theta_dot = state.physics
        cos, sin = jnp.cos(theta), jnp.sin(theta)
        push = (jnp.where(action == 1, FORCE, -FORCE) + POLE * HALF_LENGTH * theta_dot**2 * sin) / (CART + POLE)
        theta_acc = (GRAVITY * sin - cos * push) / (HALF_LENGTH * (4 / 3 - POLE * cos**2 / (CART + POLE)))
        x_acc = push - POLE * HALF_LENGTH * theta_acc * cos / (CART + POLE)
        change = jnp.stack([x_dot, x_acc, theta_dot, theta_acc])
        physics = state.physics + TAU * change  # Euler's method: the old velocities move the positions
        terminated = (jnp.abs(physics[0]) > X_LIMIT) | (jnp.abs(physics[2]) > THETA_LIMIT)
        shown = physics[::2] if self.shown == "positions" else physics[1::2]
        obs = blur(key, shown, self.noise_sigma, self.observation_space(params))
        return obs, State(state.time + 1, physics), jnp.float32(1 / self.max_steps), terminated, {}

    def best_action(self, state: State) -> jax.Array:
        return (state.physics @ jnp.array(FEEDBACK, state.physics.dtype) > 0).astype(jnp.int32)

    def describe(self) -> Description:
        half = "the two positions" if self.shown == "positions" else "the two velocities"
        noisy = f", under normal noise of standard deviation {self.noise_sigma}" if self.noise_sigma else ""
        names = ("x, m", "theta, rad") if self.shown == "positions" else ("x_dot, m/s", "theta_dot, rad/s")
        first = "" if self.shown == "positions" else "; the first of an episode is {}"
        return Description(
            name="CartPole",
            summary=f"Keep a pole upright on a cart, and see only {half}{noisy}.",
            observation=(("0", names[0] + first.format("x")), ("1", names[1] + first.format("theta"))),
            action="push the cart: 0 left, 1 right",
            reward=f"1/{self.max_steps} a step, the one on which the pole falls too",
            horizon=self.max_steps,
            random_return=_RANDOM_STEPS / self.max_steps if self.max_steps >= _LONGEST else None,
            best_return=1.0 if self.max_steps <= _BALANCED else None,
            best_policy="sees all four numbers; linear feedback",
            source="popgym 1.0.7, envs/position_only_cartpole.py, velocity_only_cartpole.py, noisy_position_only_cartpole.py",
        )
