"""How the games on a board are drawn: concentration, battleship, minesweeper and the labyrinths."""

from typing import Any

import numpy as np

from s5lib.envs import Episode
from s5lib.viz.pieces import (
    ACTION,
    ASKED,
    BAD,
    HIDDEN,
    INK,
    KNOWN,
    RIGHT,
    SEEN,
    WRONG,
    arrow,
    cards,
    face,
    faint,
    frame,
    label,
    table,
    unit,
)
from s5lib.viz.style import Axes, plt

__all__ = ["MOVES", "battleship", "concentration", "labyrinth", "minesweeper"]

MOVES = ((0, -1), (0, 1), (-1, 0), (1, 0))  # left, right, up, down: rows grow downwards


def concentration(ax: Axes, env: Any, episode: Episode, t: int) -> None:
    """The cards on the table: matched ones are green, those that have been shown white, the others grey."""
    values, up = episode.state.cards[t], episode.state.face_up[t]
    kinds = 2 if env.deck_type == "colors" else 13
    shown = episode.obs[: t + 1].reshape(t + 1, len(values), -1).argmax(-1) < kinds
    places, side = table(len(values))
    known = shown.any(0)
    grounds = np.select([up, known], [RIGHT, KNOWN], HIDDEN)
    looks = [
        face(kinds, value) if seen else faint(face(kinds, value)) for value, seen in zip(values, known, strict=True)
    ]
    cards(ax, places, side, grounds.tolist(), looks)
    for i in np.flatnonzero(shown[t] & ~up):
        frame(ax, *places[i], side, side, SEEN)
    frame(ax, *places[int(episode.action[t])], side, side, ACTION)


def battleship(ax: Axes, env: Any, episode: Episode, t: int) -> None:
    """The sea: ships are squares with a dot, hits are crossed, misses are open circles."""
    ships, guessed = episode.state.ships[t], episode.state.guessed[t]
    hit, missed = guessed & ships, guessed & ~ships
    grounds = np.select([hit, missed, ships], [WRONG, KNOWN, "#A8A8A8"], HIDDEN)
    marks = [
        ("✕", BAD) if cross else ("○" if circle else "", INK)
        for cross, circle in zip(hit.flat, missed.flat, strict=True)
    ]
    draw_board(ax, episode, t, grounds, marks)


def minesweeper(ax: Axes, env: Any, episode: Episode, t: int) -> None:
    """The field: an open square tells how many mines lie on its neighbours; hidden mines are stars."""
    mines, viewed = episode.state.mines[t], episode.state.viewed[t]
    n, wide = len(mines), np.pad(mines, 1).astype(int)
    counts = np.sum([wide[i : i + n, j : j + n] for i in range(3) for j in range(3)], axis=0)
    hit = np.zeros_like(mines)
    hit[tuple(episode.action[t])] = mines[tuple(episode.action[t])]
    grounds = np.select([viewed, hit], [KNOWN, WRONG], HIDDEN)
    texts = np.select([viewed, mines], [counts.astype(str), "✱"], "")
    colors = np.select([hit, viewed], [BAD, INK], "#6E6E6E")
    draw_board(ax, episode, t, grounds, list(zip(texts.flat, colors.flat, strict=True)))


def draw_board(ax: Axes, episode: Episode, t: int, grounds: np.ndarray, marks: list) -> None:
    """Squares row by row; framed are the one the observation speaks of, which was chosen last, and the one chosen now."""
    side = 10 / len(grounds)
    places = [(column * side, 10 - (row + 1) * side) for row, column in np.ndindex(grounds.shape)]
    cards(ax, places, side, grounds.ravel().tolist(), marks)
    for step, color in ((t - 1, SEEN), (t, ACTION)):
        if step >= 0:
            row, column = episode.action[step]
            frame(ax, column * side, 10 - (row + 1) * side, side, side, color, linewidth=3)


def labyrinth(ax: Axes, env: Any, episode: Episode, t: int) -> None:
    """The maze: the squares in view are framed, visited ones have a dot, and so far unseen ones are grey."""
    maze, explored = episode.state.maze[t], episode.state.explored[t]
    n, side = len(maze), 10 / len(maze)
    known = np.zeros((n, n), bool)
    for row, column in np.unique(episode.state.position[: t + 1], axis=0):
        known[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = True
    wall = maze == 1
    shades = np.where(known, np.where(wall, 0.25, 1.0), np.where(wall, 0.62, 0.84))
    ax.imshow(shades, cmap="gray", vmin=0, vmax=1, extent=(0, 10, 0, 10), interpolation="nearest", aspect="equal")
    rows, columns = np.nonzero(explored)
    ax.scatter(
        (columns + 0.5) * side, 10 - (rows + 0.5) * side, s=(0.22 * side * unit(ax)) ** 2, color="#8FBBD9", zorder=2
    )
    for row, column in np.argwhere(maze == 3):
        label(
            ax,
            (column + 0.5) * side,
            10 - (row + 0.52) * side,
            "★",
            color=ASKED,
            fontsize=0.9 * side * unit(ax),
            zorder=3,
        )
    row, column = episode.state.position[t]
    x, y = (column + 0.5) * side, 10 - (row + 0.5) * side
    top, left = max(row - 1, 0), max(column - 1, 0)
    height, width = min(row + 2, n) - top, min(column + 2, n) - left
    frame(ax, left * side, 10 - (top + height) * side, width * side, height * side, SEEN, linewidth=3)
    ax.add_patch(plt.Circle((x, y), 0.36 * side, color=SEEN, zorder=5))
    down, across = MOVES[int(episode.action[t])]
    arrow(ax, (x, y), (x + 1.5 * side * across, y - 1.5 * side * down), ACTION)
