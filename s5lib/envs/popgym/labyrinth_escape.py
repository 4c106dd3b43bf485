"""Labyrinth Escape: find the way out of a maze of which only the nearest squares are seen."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from s5lib.envs.base import Description, EnvParams, Start, Transition
from s5lib.envs.popgym.maze import ACTIONS, DIFFICULTY, GOAL, NONE, OBSERVATION, WALL, WARNING, Maze, State, first_step

__all__ = ["DIFFICULTY", "LabyrinthEscape"]

# (size, episode_length): mean return of random play, 20 000 episodes, and of the shortest way out, 100 000 mazes
_MEASURED = {
    (10, 1024): (-0.418, 0.97887),
    (14, 1024): (-0.837, 0.96489),
    (18, 1024): (-0.958, 0.94899),
}


@dataclass(frozen=True)
class LabyrinthEscape(Maze):
    """Enter a maze at one side and leave it at the exit on the side across.

    Each step costs 1/``episode_length``, and the step onto the exit earns 1 besides and ends the episode. Very
    rarely (once in 100 000 mazes of size 18) the start or the exit leads to an uncarved cell, and nobody can escape.

    Args:
        size: of the square maze, even and at least 6: (size / 2)^2 cells.
        episode_length: the limit; an episode is cut after ``episode_length - 1`` steps.
    Raises:
        TypeError: an option that is not an integer.
        ValueError: ``size`` odd or below 6, or ``episode_length`` below 2.
    Example:
        >>> env = LabyrinthEscape(size=18)
        >>> obs, state = env.reset(jax.random.key(0))
        >>> obs, state, reward, terminated, truncated, info = env.step(jax.random.key(1), state, 3)
        >>> obs.shape, float(reward)
        ((50,), -0.0009765625)

    Source: popgym 1.0.7, envs/labyrinth_escape.py, core/maze.py.
    Differs: square mazes only (the original's view is wrong in others).
    """

    def reset_env(self, key: jax.Array, params: EnvParams) -> Start:
        state, end = self._start(key)
        state = state.replace(maze=state.maze.at[end[0], end[1]].set(GOAL))
        return self._see(state, NONE), state

    def transition(self, key: jax.Array, state: State, action: jax.Array, params: EnvParams) -> Transition:
        state = self._move(state, action)
        out = state.maze[state.position[0], state.position[1]] == GOAL
        return self._see(state, action), state, jnp.where(out, 1.0, 0.0) - 1 / self.episode_length, out, {}

    def best_action(self, state: State) -> jax.Array:
        return first_step(state.maze != WALL, state.position, state.maze == GOAL)

    def describe(self) -> Description:
        random_return, best_return = _MEASURED.get((self.size, self.episode_length), (None, None))
        return Description(
            name="LabyrinthEscape",
            summary="Find the exit of a maze, on the side across from where you enter; only the squares next to you are "
            f"in view. {WARNING}",
            observation=OBSERVATION,
            action=ACTIONS,
            reward=f"-1/{self.episode_length} a step, and +1 on reaching the exit, which ends the episode",
            horizon=self.horizon,
            random_return=random_return,
            best_return=best_return,
            best_policy="sees the whole maze and takes the shortest way out",
            source="popgym 1.0.7, envs/labyrinth_escape.py",
        )
