"""Labyrinth Explore: visit every square of a maze of which only the nearest ones are seen."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from s5lib.envs.base import Description, EnvParams, Start, Transition
from s5lib.envs.popgym.maze import ACTIONS, DIFFICULTY, FREE, NONE, OBSERVATION, WALL, WARNING, Maze, State, first_step

__all__ = ["DIFFICULTY", "LabyrinthExplore"]

# (size, episode_length): mean return of random play, 20 000 episodes, and of the shortest walk, 20 000 mazes
_MEASURED = {
    (10, 1024): (-0.3546, 0.98250),
    (14, 1024): (-0.6121, 0.95726),
    (18, 1024): (-0.7431, 0.91901),
}


@dataclass(frozen=True)
class LabyrinthExplore(Maze):
    """Walk over all squares of a maze, and as few as possible twice.

    The first visit to a square pays 1/F, where F counts the free squares without the start; any other step costs
    1/``episode_length``. The episode ends when nothing is left. The exit stays a wall here, and nothing shows which
    squares have been visited. Very rarely the start leads to an uncarved cell, and nobody can move.

    Args:
        size: of the square maze, even and at least 6: (size / 2)^2 cells.
        episode_length: the limit; an episode is cut after ``episode_length - 1`` steps.
    Raises:
        TypeError: an option that is not an integer.
        ValueError: ``size`` odd or below 6, or ``episode_length`` below 2.
    Example:
        >>> env = LabyrinthExplore(size=18)
        >>> obs, state = env.reset(jax.random.key(0))
        >>> obs, state, reward, terminated, truncated, info = env.step(jax.random.key(1), state, env.best_action(state))
        >>> obs.shape, round(1 / float(reward))
        ((50,), 161)

    Source: popgym 1.0.7, envs/labyrinth_explore.py, core/maze.py.
    Differs: square mazes only (the original's view is wrong in others).
    """

    def reset_env(self, key: jax.Array, params: EnvParams) -> Start:
        state, _ = self._start(key)
        return self._see(state, NONE), state

    def transition(self, key: jax.Array, state: State, action: jax.Array, params: EnvParams) -> Transition:
        known = jnp.sum(state.explored)
        state = self._move(state, action)
        new = jnp.sum(state.explored) > known
        reward = jnp.where(new, 1 / jnp.sum(state.maze == FREE), -1 / self.episode_length)
        done = jnp.all((state.maze != WALL) == state.explored)
        return self._see(state, action), state, reward, done, {}

    def best_action(self, state: State) -> jax.Array:
        free = state.maze != WALL
        return first_step(free, state.position, free & ~state.explored)

    def describe(self) -> Description:
        random_return, best_return = _MEASURED.get((self.size, self.episode_length), (None, None))
        return Description(
            name="LabyrinthExplore",
            summary="Visit every square of a maze; only the squares next to you are in view, and no mark shows where you "
            f"have been. {WARNING}",
            observation=OBSERVATION,
            action=ACTIONS,
            reward=f"1/F for the first visit to each of F free squares, -1/{self.episode_length} for any other step",
            horizon=self.horizon,
            random_return=random_return,
            best_return=best_return,
            best_policy="sees the whole maze and takes the shortest walk over what is left, the deepest branch last",
            source="popgym 1.0.7, envs/labyrinth_explore.py",
        )
