"""Pendulum without its speed: only the direction in which it points is seen, with noise or without."""

import functools
import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from s5lib.config import check_positive_int
from s5lib.envs import spaces
from s5lib.envs.base import Description, Environment, EnvParams, Start, Transition
from s5lib.envs.popgym.noise import blur, check_sigma
from s5lib.envs.spaces import Space

__all__ = ["DIFFICULTY", "Pendulum", "State"]

# family: options of each difficulty
DIFFICULTY: dict[str, dict[str, dict[str, Any]]] = {
    "PositionOnlyPendulum": {"Easy": {"max_steps": 200}, "Medium": {"max_steps": 150}, "Hard": {"max_steps": 100}},
    "NoisyPositionOnlyPendulum": {
        "Easy": {"noise_sigma": 0.1},
        "Medium": {"noise_sigma": 0.2},
        "Hard": {"noise_sigma": 0.3},
    },
}

MAX_SPEED = 8.0  # rad/s
MAX_TORQUE = 2.0
DT = 0.05  # seconds between steps
GRAVITY_PULL = 3 * 10.0 / 2  # 3 g / (2 l): a rod of 1 kg and 1 m
COST_RANGE = 16.2736044  # π² + 0.1 * 8² + 0.001 * 2², the highest cost, as the original writes it
_GRID = (101, 81)  # angles, speeds
# max_steps: mean returns of random play and of best_action, 400 000 episodes each; the standard errors are below 0.0003
_MEASURED = {200: (0.2451, 0.9143), 150: (0.2435, 0.8857), 100: (0.2421, 0.8285)}


class State(struct.PyTreeNode):
    """``physics`` (2,): theta (rad, 0 upright, at most one step's swing beyond ±π), theta_dot. ``time``: steps taken."""

    time: jax.Array
    physics: jax.Array


def _wrap(angle: Any, xp: Any) -> Any:
    return angle - 2 * math.pi * xp.floor((angle + math.pi) / (2 * math.pi))


def _swing(theta: Any, theta_dot: Any, torque: Any, xp: Any = jnp) -> tuple:
    """One step of the rod: the cost of what it was, and its angle and speed afterwards."""
    theta = _wrap(theta, xp)
    cost = theta**2 + 0.1 * theta_dot**2 + 0.001 * torque**2
    theta_dot = xp.clip(theta_dot + (GRAVITY_PULL * xp.sin(theta) + 3 * torque) * DT, -MAX_SPEED, MAX_SPEED)
    return cost, theta + theta_dot * DT, theta_dot


def _corners(theta: Any, theta_dot: Any, xp: Any = jnp) -> tuple:
    """The four grid points around a state, as indices into the flat table, and their weights; both have 4 in front."""
    row = (_wrap(theta, xp) + math.pi) / (2 * math.pi) * (_GRID[0] - 1)
    column = (theta_dot + MAX_SPEED) / (2 * MAX_SPEED) * (_GRID[1] - 1)
    top, left = xp.clip(xp.floor(row), 0, _GRID[0] - 2), xp.clip(xp.floor(column), 0, _GRID[1] - 2)
    down, right = row - top, column - left
    first = (top * _GRID[1] + left).astype(np.int32)
    index = xp.stack([first, first + 1, first + _GRID[1], first + _GRID[1] + 1])
    return index, xp.stack([(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right])


@functools.lru_cache(maxsize=1)
def _torques() -> np.ndarray:
    """The torque that costs least over the next 60 steps, for each point of the grid: dynamic programming, 0.2 s."""
    angles, speeds = np.linspace(-math.pi, math.pi, _GRID[0]), np.linspace(-MAX_SPEED, MAX_SPEED, _GRID[1])
    torques = np.linspace(-MAX_TORQUE, MAX_TORQUE, 9)
    theta, theta_dot, torque = np.meshgrid(angles, speeds, torques, indexing="ij")
    cost, theta, theta_dot = _swing(theta, theta_dot, torque, np)
    index, weights = _corners(theta, theta_dot, np)
    total = cost
    for _ in range(60):
        total = cost + (weights * total.min(-1).reshape(-1)[index]).sum(0)
    return torques[total.argmin(-1)].reshape(-1).astype(np.float32)


@dataclass(frozen=True)
class Pendulum(Environment):
    """Swing a rod up and hold it there with a torque too weak to lift it, and see only where the rod points.

    The speed has to be inferred from what was seen before. A step costs theta² + 0.1 theta_dot² + 0.001 torque², of
    the angle and speed before the step, and pays (1 - cost / 8.1368022) / max_steps: from -1 / max_steps at worst to
    1 / max_steps upright and still. An episode ends after ``max_steps`` steps and never earlier.

    Args:
        noise_sigma: standard deviation of normal noise on cos(theta) and sin(theta), drawn anew at the reset and each
            step; the sums are clipped to [-1, 1].
        max_steps: the time limit.
    Raises:
        ValueError: a negative or infinite ``noise_sigma``, or ``max_steps`` below 1.
        TypeError: ``noise_sigma`` is not a number, or ``max_steps`` not an integer.
    Example:
        >>> env = Pendulum(max_steps=100)
        >>> obs, state = env.reset(jax.random.key(0))
        >>> obs, state, reward, terminated, truncated, info = env.step(jax.random.key(1), state, jnp.array([2.0]))
        >>> obs.shape, round(float(jnp.sum(obs**2)), 4)
        ((2,), 1.0)

    Source: popgym 1.0.7, envs/position_only_pendulum.py, noisy_position_only_pendulum.py; gymnasium 1.3.0,
        envs/classic_control/pendulum.py.
    Differs: a torque outside -2 .. 2 raises where its value is known; the original always clips it.
    """

    noise_sigma: float = 0.0
    max_steps: int = 200

    def __post_init__(self) -> None:
        check_sigma(self.noise_sigma)
        check_positive_int("max_steps", self.max_steps)

    @property
    def horizon(self) -> int:
        return self.max_steps

    def observation_space(self, params: EnvParams) -> spaces.Box:
        return spaces.Box(-1.0, 1.0, (2,))

    def action_space(self, params: EnvParams) -> Space:
        return spaces.Box(-MAX_TORQUE, MAX_TORQUE, (1,))

    def reset_env(self, key: jax.Array, params: EnvParams) -> Start:
        key_physics, key_noise = jax.random.split(key)
        high = jnp.array([math.pi, 1.0], jnp.float32)
        state = State(jnp.int32(0), jax.random.uniform(key_physics, (2,), minval=-high, maxval=high))
        return self._see(key_noise, state), state

    def _see(self, key: jax.Array, state: State) -> jax.Array:
        theta = state.physics[0]
        shown = jnp.stack([jnp.cos(theta), jnp.sin(theta)])
        return blur(key, shown, self.noise_sigma, self.observation_space(self.default_params))

    def transition(self, key: jax.Array, state: State, action: jax.Array, params: EnvParams) -> Transition:
        theta, theta_dot = state.physics
        cost, theta, theta_dot = _swing(theta, theta_dot, action[0])
        state = State(state.time + 1, jnp.stack([theta, theta_dot]))
        reward = (1 - cost / (COST_RANGE / 2)) / self.max_steps
        return self._see(key, state), state, reward, jnp.bool_(False), {}

    def best_action(self, state: State) -> jax.Array:
        index, weights = _corners(state.physics[0], state.physics[1])
        return jnp.sum(weights * jnp.array(_torques())[index], keepdims=True).astype(jnp.float32)

    def describe(self) -> Description:
        noisy = f", under normal noise of standard deviation {self.noise_sigma}" if self.noise_sigma else ""
        random_return, best_return = _MEASURED.get(self.max_steps, (None, None))
        return Description(
            name="Pendulum",
            summary=f"Swing a rod up and hold it there by a weak torque, and see only where it points{noisy}.",
            observation=(("0", "cos(theta), 1 upright"), ("1", "sin(theta)")),
            action="the torque, -2 to 2",
            reward=f"(1 - cost / 8.1368) / {self.max_steps} a step, cost = theta² + 0.1 theta_dot² + 0.001 torque²",
            horizon=self.max_steps,
            random_return=random_return,
            best_return=best_return,
            best_policy="sees angle and speed; torques from dynamic programming on a grid",
            source="popgym 1.0.7, envs/position_only_pendulum.py, noisy_position_only_pendulum.py",
        )
