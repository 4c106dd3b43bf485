"""Chapters 7 and 8. An environment behind random matrices, drawn anew for each episode: what the agent has to learn.

No weights can know a projection that was drawn after training. Whoever does well behind it has found out within the episode.
"""

import dataclasses
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from s5lib.config import check_choice, check_positive_int, check_real, check_seed, check_shape, is_concrete, moved
from s5lib.envs.base import Description, EnvParams, EnvState, Start, Transition, check_vectors
from s5lib.envs.spaces import Reals, Space, is_discrete, is_vector
from s5lib.envs.wrappers import WrappedState, Wrapper

__all__ = ["DISTRIBUTIONS", "ProjectedState", "Projection", "random_matrix"]

DISTRIBUTIONS = ("orthogonal", "gaussian")


def random_matrix(
    key: jax.Array, rows: int, columns: int, distribution: str = "orthogonal", gain: float = 1.0
) -> jax.Array:
    r"""Draw a matrix M that keeps numbers at their scale: on average, ``mean((M x)^2) = gain^2 mean(x^2)``.

    Both distributions have entries of mean 0 and variance ``gain^2 / columns`` and prefer no direction: M followed or
    preceded by any rotation is as likely as M. ``"gaussian"`` draws the entries independently. ``"orthogonal"`` draws a
    uniformly random orthonormal set and scales it: with at least as many rows as columns, ``M^T M = gain^2 (rows /
    columns) I``, so the law above holds for every x, exactly; with fewer rows, ``M M^T = gain^2 I``, so normal inputs
    of unit variance give outputs of variance gain^2, independent of each other.

    Either can be undone when M is tall (x from M x) and reach everything when M is wide (some x for each M x); the
    orthogonal one with the transpose and without loss of precision, while a square Gaussian may be nearly singular.

    Args:
        key: random key.
        rows: length of M x, positive.
        columns: length of x, positive.
        distribution: ``"orthogonal"`` or ``"gaussian"``.
        gain: the scale, positive.
    Returns:
        M, shape (rows, columns), float32.
    Raises:
        ValueError, TypeError: a size that is not a positive integer, another distribution, a gain that is not positive.
    Example:
        >>> M = random_matrix(jax.random.key(0), 4, 2)
        >>> bool(jnp.allclose(M.T @ M, 2 * jnp.eye(2), atol=1e-5))
        True

    """
    check_positive_int("rows", rows)
    check_positive_int("columns", columns)
    check_choice("distribution", distribution, DISTRIBUTIONS)
    check_shape("gain", gain, ())
    check_real("gain", gain, positive=True)
    if distribution == "gaussian":
        return gain / np.sqrt(columns) * jax.random.normal(key, (rows, columns), jnp.float32)
    return gain * np.sqrt(max(1, rows / columns)) * jax.random.orthogonal(key, rows, m=columns)


class ProjectedState(WrappedState):
    """A wrapper's state and the episode's projection: its number, and M_o, M_a and the sign of actions where in use."""

    index: jax.Array
    obs_matrix: jax.Array | None
    action_matrix: jax.Array | None
    mirrored: jax.Array | None


@dataclass(frozen=True)
class Projection(Wrapper):
    r"""Show an environment through one random matrix and move it through another, both drawn for each episode.

    The agent sees ``o' = M_o o``, always ``obs_size`` = O numbers, and acts with any a in R^A, A = ``action_size``. If the
    environment inside has continuous actions it gets ``M_a a``, clipped to its box; if they are discrete, ``argmax(M_a a)``
    of its n. M_o is (O, n) where n numbers are observed inside; a square matrix on ``[o; 0, ...]``, the observation padded
    with zeros, would be the same, as the other columns meet only zeros. M_a is (n, A). Both come from ``random_matrix``:
    entries of variance 1 / n and 1 / A, so that the numbers an agent sees have the mean square of those inside, and that
    standard normal actions, which is what a new policy draws, arrive inside with variance 1 before the clip. Behind an
    orthogonal M_a they choose each of n discrete actions equally often.

    The task stays solvable. With O at least n nothing seen is lost; with A at least n every action inside is in
    reach, so smaller sizes are refused. With the default, ``"orthogonal"``, the transposes undo both matrices without
    loss of precision; a Gaussian M_a with A = n can be so close to singular that some actions need enormous numbers.

    A projection is a number: ``seed``, ``held_out`` and ``info["projection"]`` say all about it, and
    ``matrices(index)`` has its matrices. Training draws from even streams, ``held_out=True`` from odd ones of the same
    seed, so that the two share no projection, whether drawn afresh from 2^31 or from a pool.

    Around ``Trials`` the projection is that of the whole meta-episode; inside, each trial would draw one. The paper's
    inputs are
    ``PreviousAction(Projection(Trials(env), 4, 2), reward=True, trial=True)``: the agent is told its own action in R^A.

    Args:
        env: an environment with vectors as observations, and ``Discrete`` actions or vectors if those are projected.
        obs_size: O, at least as many as are observed inside; None shows them as they are.
        action_size: A, at least as many as the actions inside; None leaves them as they are.
        distribution: of the matrices, ``"orthogonal"`` or ``"gaussian"``.
        gain: scale of M_o; raise it where the numbers inside are small.
        action_gain: scale of M_a; discrete actions do not notice it.
        mirror: instead of M_a, one hidden bit, as an ablation: in half of the episodes the environment inside gets -a
            for an action vector a, or n - 1 - a for a discrete one.
        pool: draw from this many projections, always the same; None draws a new one each time.
        seed: of the projections, 0 to 2^32 - 1.
        held_out: draw projections that training does not.
    Raises:
        ValueError: observations that are not vectors, a size below that inside, actions of another kind, ``mirror``
            together with ``action_size``, another distribution, or a number out of range.
        TypeError: a size, a pool or a seed that is not an integer.
    Example:
        >>> from s5lib.envs import Trials, make
        >>> env = Projection(Trials(make("PositionOnlyCartPoleEasy"), 16), obs_size=4, action_size=2)
        >>> obs, state = env.reset(jax.random.key(0))
        >>> obs.shape, env.action_space(env.default_params).shape
        ((4,), (2,))

    Source: Lu et al. 2023 (arXiv 2303.03982), section 3.2, algorithm 1, and 4.3; luchris429/popjaxrl, envs/meta_cartpole.py.
    Differs: the paper gives no distribution and no scale, and does not say how discrete actions are projected; its code
        does not project them. The code's matrix for observations, 2 -> 4, orthonormal times sqrt(2), is the default here.
        The code appends the action's number, not one-hot, and no reward.
    """

    obs_size: int | None = None
    action_size: int | None = None
    distribution: str = "orthogonal"
    gain: float = 1.0
    action_gain: float = 1.0
    mirror: bool = False
    pool: int | None = None
    seed: int = 0
    held_out: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        sizes = {"obs_size": (check_vectors(self.env), "observations")}
        if self.action_size is not None or self.mirror:
            sizes["action_size"] = (self._num_inner_actions(), "actions")
        if self.mirror and self.action_size is not None:
            raise ValueError(f"mirror takes the place of action_size; got mirror=True and {self.action_size}")
        for name, (least, what) in sizes.items():
            size = getattr(self, name)
            if size is not None and check_positive_int(name, size) < least:
                raise ValueError(f"{name} must be at least {least}, the {what} inside, or some are lost; got {size}")
        check_choice("distribution", self.distribution, DISTRIBUTIONS)
        for name in ("gain", "action_gain"):
            check_shape(name, getattr(self, name), ())
            check_real(name, getattr(self, name), positive=True)
        if self.pool is not None and check_positive_int("pool", self.pool) > 2**31:
            raise ValueError(f"pool must be at most 2^31; got {self.pool}")
        check_seed("seed", self.seed)

    def _num_inner_actions(self) -> int:
        space = self.env.action_space(self.env.default_params)
        if is_discrete(space):
            return space.n
        if is_vector(space):
            return space.shape[0]
        raise ValueError(f"env must have Discrete actions or vectors; {type(self.env).__name__} has {space}")

    # ------------------------------------------------------------------------------------------ the projection

    def matrices(self, index: jax.Array | int) -> tuple[jax.Array | None, jax.Array | None, jax.Array | None]:
        """Work out a projection from its number.

        Args:
            index: uint32, from 0; below ``pool`` if there is one, else below 2^31.
        Returns:
            M_o (O, n), M_a (n, A) and, of ``mirror``, whether actions are mirrored; each None where it is not in use.
        Raises:
            ValueError: an index out of range that can be looked at.
        """
        count = 2**31 if self.pool is None else self.pool
        if is_concrete(index) and not 0 <= int(index) < count:
            raise ValueError(f"index must lie in 0 .. {count - 1}; got {index}")
        stream = 2 * jnp.uint32(index) + self.held_out  # fold_in is one to one: no two streams share a key
        key_obs, key_action, key_mirror = jax.random.split(jax.random.fold_in(jax.random.key(self.seed), stream), 3)
        obs_matrix = action_matrix = mirrored = None
        if self.obs_size is not None:
            size = check_vectors(self.env)
            obs_matrix = random_matrix(key_obs, self.obs_size, size, self.distribution, self.gain)
        if self.action_size is not None:
            size = self._num_inner_actions()
            action_matrix = random_matrix(key_action, size, self.action_size, self.distribution, self.action_gain)
        if self.mirror:
            mirrored = jax.random.bernoulli(key_mirror)
        return obs_matrix, action_matrix, mirrored

    def _draw(self, key: jax.Array) -> jax.Array:
        if self.pool is None:
            return jax.random.bits(key, (), jnp.uint32) >> 1
        return jax.random.randint(key, (), 0, jnp.uint32(self.pool), jnp.uint32)

    def _see(self, state: ProjectedState, obs: jax.Array) -> jax.Array:
        return obs if state.obs_matrix is None else state.obs_matrix @ obs

    def _act(self, state: ProjectedState, action: jax.Array, params: EnvParams) -> jax.Array:
        """The action inside."""
        space = self.env.action_space(params)
        discrete = is_discrete(space)
        if state.action_matrix is not None:
            moved = state.action_matrix @ action
            return jnp.argmax(moved).astype(space.dtype) if discrete else jnp.clip(moved, space.low, space.high)
        if state.mirrored is not None:
            other = space.n - 1 - action if discrete else jnp.clip(-action, space.low, space.high)
            return jnp.where(state.mirrored, other, action)
        return action

    # ------------------------------------------------------------------------------------------ the environment

    def observation_space(self, params: EnvParams) -> Space:
        return self.env.observation_space(params) if self.obs_size is None else Reals(self.obs_size)

    def action_space(self, params: EnvParams) -> Space:
        return self.env.action_space(params) if self.action_size is None else Reals(self.action_size)

    def reset_env(self, key: jax.Array, params: EnvParams) -> Start:
        key_inside, key_projection = jax.random.split(key)
        obs, inner = super().reset_env(key_inside, params)
        index = self._draw(key_projection)
        state = ProjectedState(inner.env_state, inner.time, inner.episode_return, index, *self.matrices(index))
        return self._see(state, obs), state

    def transition(self, key: jax.Array, state: EnvState, action: jax.Array, params: EnvParams) -> Transition:
        obs, inner, reward, terminated, info = super().transition(key, state, self._act(state, action, params), params)
        state = state.replace(**vars(inner))
        return self._see(state, obs), state, reward, terminated, {**info, "projection": state.index}

    def best_action(self, state: EnvState) -> jax.Array:
        """What does inside as the best player there would: this one knows the projection."""
        action = self.env.best_action(state.env_state)
        if self.action_size is None:
            return self._act(state, action, self.default_params)  # mirrored twice is not mirrored at all
        if is_discrete(self.env.action_space(self.default_params)):
            action = jax.nn.one_hot(action, self._num_inner_actions(), dtype=jnp.float32)
        return jnp.linalg.pinv(state.action_matrix) @ action

    def describe(self) -> Description:
        told = self.env.describe()
        observation, action, random_return = told.observation, told.action, told.random_return
        summary = f"{told.summary} What is seen or done passes through a projection, drawn for each episode."
        if self.obs_size is not None:
            mixed = "; ".join(f"{part}: {meaning}" for part, meaning in told.observation)
            last = f"-{self.obs_size - 1}" * (self.obs_size > 1)
            observation = ((f"0{last}", f"random mixtures of what is observed inside ({mixed})"),)
        discrete = is_discrete(self.env.action_space(self.default_params))
        if self.action_size is not None:
            rule = "the largest entry of M a chooses" if discrete else "M a, clipped, is done inside"
            action = f"a vector a of {self.action_size} real numbers; {rule}, M random. Inside: {action}"
            if not (discrete and (self.distribution == "orthogonal" or self._num_inner_actions() == 2)):
                random_return = None  # standard normal actions are not uniform ones inside
        elif self.mirror:
            action = f"{action}; in half of the episodes the other way round"
        return dataclasses.replace(
            told,
            summary=summary,
            observation=observation,
            action=action,
            random_return=random_return,
            best_policy=f"{told.best_policy}; knows the projection",
        )


__getattr__ = moved(__name__, {"ProjectedCartPole": "s5lib.envs.tasks"})
