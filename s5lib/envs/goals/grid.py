"""Walks on a grid of squares: the moves, the distances to a square, the way there, and mazes that are spanning trees."""

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["MOVES", "STAY", "distances", "free_distances", "spanning_maze", "toward"]

MOVES = ((0, -1), (-1, 0), (0, 1), (1, 0), (0, 0))  # left, up, right, down, stay: rows grow downwards
STAY = 4


def distances(free: jax.Array, target: jax.Array) -> jax.Array:
    """Count the steps from every square to one of them.

    Args:
        free: squares that can be entered, shape (n, m), bool.
        target: row and column, shape (2,), int32.
    Returns:
        Shape (n, m), int32; n m where there is no way.
    Example:
        >>> distances(jnp.array([[True, True, False, True]]), jnp.array([0, 0])).tolist()
        [[0, 1, 4, 4]]

    """
    far = free.size
    start = jnp.full(free.shape, far, jnp.int32).at[target[0], target[1]].set(0)

    def spread(carry: tuple) -> tuple:
        steps, _ = carry
        wide = jnp.pad(steps, 1, constant_values=far)
        near = jnp.minimum(jnp.minimum(wide[1:-1, :-2], wide[1:-1, 2:]), jnp.minimum(wide[:-2, 1:-1], wide[2:, 1:-1]))
        new = jnp.where(free, jnp.minimum(steps, near + 1), steps)
        return new, jnp.any(new != steps)

    return jax.lax.while_loop(lambda carry: carry[1], spread, (start, jnp.bool_(True)))[0]


def toward(free: jax.Array, position: jax.Array, target: jax.Array) -> jax.Array:
    """Choose the first move of a shortest walk.

    Args:
        free: squares that can be entered, shape (n, m), bool.
        position: where the walk starts, row and column, shape (2,), int32.
        target: where it ends, likewise.
    Returns:
        An index of ``MOVES``, int32; ``STAY`` at the target and where there is no way.
    """
    steps = jnp.pad(distances(free, target), 1, constant_values=free.size)
    near = position + 1 + jnp.array(MOVES)
    reach = steps[near[:, 0], near[:, 1]] + jnp.array(
        [0, 0, 0, 0, 1]
    )  # of moves that gain nothing, staying is the first
    best = jnp.argmin(reach[:4])
    return jnp.where(reach[best] < reach[STAY] - 1, best, STAY).astype(jnp.int32)


def free_distances(wall: jax.Array, position: jax.Array) -> jax.Array:
    """Count the free squares between a square and the nearest wall left, above, right and below of it.

    Args:
        wall: shape (n, n), bool, its border all wall.
        position: row and column, shape (2,), int32.
    Returns:
        Shape (4,), int32, in the order of ``MOVES``.
    Example:
        >>> wall = jnp.ones((3, 5), bool).at[1, 1:4].set(False)
        >>> free_distances(wall, jnp.array([1, 2])).tolist()
        [1, 0, 1, 0]

    """
    indices = jnp.arange(wall.shape[0]), jnp.arange(wall.shape[1])
    row, column = position
    left, right = _nearest(wall[row], indices[1], column)
    up, down = _nearest(wall[:, column], indices[0], row)
    return jnp.stack([column - left, row - up, right - column, down - row]) - 1


def _nearest(line: jax.Array, index: jax.Array, place: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The nearest walls of a line before and after a place."""
    before = jnp.max(jnp.where(line & (index < place), index, 0))
    return before, jnp.min(jnp.where(line & (index > place), index, index.shape[0] - 1))


def spanning_maze(key: jax.Array, size: int) -> jax.Array:
    """Carve a maze with one way between any two squares: a minimum spanning tree of random edge weights, by Prim's method.

    Args:
        key: random key.
        size: squares on a side, odd and 5 or more; squares with two odd indices are the cells that the tree joins.
    Returns:
        The walls, shape (size, size), bool.
    Example:
        >>> spanning_maze(jax.random.key(0), 5).astype(int).tolist()[2:]
        [[1, 0, 1, 0, 1], [1, 0, 1, 0, 1], [1, 1, 1, 1, 1]]

    """
    side = size // 2
    cells = np.arange(side**2).reshape(side, side)
    ends = np.concatenate(
        [
            np.stack([cells[:, :-1], cells[:, 1:]], -1).reshape(-1, 2),
            np.stack([cells[:-1], cells[1:]], -1).reshape(-1, 2),
        ]
    )
    centre = 1 + 2 * np.stack(np.divmod(ends, side), -1)
    between = centre.sum(1) // 2  # the square between two cells
    weights = jax.random.uniform(key, (len(ends),))
    first, second = jnp.array(ends[:, 0], jnp.int32), jnp.array(ends[:, 1], jnp.int32)

    def join(_: int, carry: tuple) -> tuple:
        reached, opened = carry
        edge = jnp.argmin(jnp.where(reached[first] ^ reached[second], weights, 2.0))
        return reached.at[first[edge]].set(True).at[second[edge]].set(True), opened.at[edge].set(True)

    reached, opened = jnp.zeros(side**2, bool).at[0].set(True), jnp.zeros(len(ends), bool)
    _, opened = jax.lax.fori_loop(0, side**2 - 1, join, (reached, opened))
    wall = jnp.ones((size, size), bool).at[1::2, 1::2].set(False)
    return wall.at[between[:, 0], between[:, 1]].set(~opened)
