"""How the worlds with goals are drawn: roads, mazes, lakes, dark rooms and the T-Maze."""

from typing import Any

import numpy as np

from s5lib.envs import Episode
from s5lib.envs.goals.grid import MOVES
from s5lib.viz.pieces import (
    ACTION,
    ASKED,
    BAD,
    HIDDEN,
    INK,
    KNOWN,
    PALE,
    RIGHT,
    SEEN,
    WRONG,
    arrow,
    cards,
    frame,
    label,
    table,
    unit,
)
from s5lib.viz.style import Axes, plt

__all__ = ["BUTTONS", "LEGENDS", "NEEDS", "SEES", "dark_room", "delivery", "lake", "maze", "move", "package", "t_maze"]

_SOUGHT = "Blue disc: the player. White: where it has been. Grey: not seen yet. Purple: what is asked for. Orange: the action."
# class of the environment -> what the colours mean
LEGENDS = {
    "DarkKeyToDoor": f"{_SOUGHT} K: the key. D: the door. Faint: not found yet.",
    "MazeRunner": "Blue disc: the player. Blue lines: the free squares it feels. White and dark: what it has felt. Grey: the rest. "
    "Numbers: the goals in their order; purple: the one that is due. Orange: the action.",
    "MetaFrozenLake": f"{_SOUGHT} Circle: a hole, hidden. Cross: a hole it fell into. Star: the far side.",
    "PackageDelivery": "Blue frame: where the player is. White: seen before. Grey: not seen yet. Numbers: the goals in their "
    "order, purple the one that is due, green where done. Arrows: the correct sides of forks. Orange: the action.",
    "TMaze": "Blue disc: the player. Blue words: the cue, in view. Grey words: no longer in view. Star: where the reward lies. "
    "Orange: the action.",
}

_FAINT = "#9E9E9E"


# class of the environment -> what its player has to remember
NEEDS = {
    "DarkKeyToDoor": "where key and door were, and where they were not",
    "MazeRunner": "the walls that were felt, and what each action does where that is drawn anew",
    "MetaFrozenLake": "the holes, and what each action does",
    "PackageDelivery": "the side of each fork, and the drop that delivers",
    "TMaze": "the cue",
}
_DIRECTIONS = ("left", "up", "right", "down")
# class of the environment -> the names of its actions, where they have one
BUTTONS = {
    "DarkKeyToDoor": (*_DIRECTIONS, "stay"),
    "PackageDelivery": ("forward", "left", "right", "wait", *(f"drop {letter}" for letter in "ABCD")),
    "TMaze": _DIRECTIONS,
}


def _asked(env: Any, obs: np.ndarray) -> str:
    """The instruction in words, as the observation shows it."""
    goals, count = (np.asarray(part) for part in env.layout.read(obs))
    done = obs[env.layout.done].astype(bool)
    names = [
        "row {}, column {}".format(*map(int, goal)) if len(goal) > 1 else f"place {int(goal[0])}"
        for goal in goals[:count]
    ]
    return "; ".join(f"{name}{' (done)' * bool(was)}" for name, was in zip(names, done[:count], strict=True))


def _sees_road(env: Any, obs: np.ndarray, t: int) -> str:
    left = round(float(obs[1]) * env.max_goals * env.packages)
    where = f"place {round(float(obs[0]) * env.length)} of 0-{env.length - 1}{', at a fork' if obs[2] else ''}"
    return f"{where}, {left} packages left<br>deliver to: {_asked(env, obs)}"


def _sees_maze(env: Any, obs: np.ndarray, t: int) -> str:
    numbers = np.rint(obs[: env.world_size] * env.size).astype(int)
    where = "row {}, column {}; ".format(*numbers[:2]) if env.position else ""
    free = ", ".join(f"{way} {number}" for way, number in zip(_DIRECTIONS, numbers[-4:], strict=True))
    return f"{where}free squares {free}<br>go to: {_asked(env, obs)}"


def _sees_lake(env: Any, obs: np.ndarray, t: int) -> str:
    row, column = np.rint(obs[:2] * (env.size - 1)).astype(int)
    return f"row {row}, column {column}; attempt {round(float(obs[3]) * env.attempts)}{' begins' * bool(obs[2])}"


def _sees_room(env: Any, obs: np.ndarray, t: int) -> str:
    row, column = np.rint(obs[:2] * (env.size - 1)).astype(int)
    clock = round(float(obs[3]) * env.attempt_length)
    return f"row {row}, column {column}; {'the key is held' if obs[2] else 'no key'}; step {clock} of this attempt"


def _sees_corridor(env: Any, obs: np.ndarray, t: int) -> str:
    return "the end" if obs[1] else {1: "the cue: up", -1: "the cue: down", 0: "a corridor"}[int(obs[0])]


# class of the environment -> an observation in words
SEES = {
    "DarkKeyToDoor": _sees_room,
    "MazeRunner": _sees_maze,
    "MetaFrozenLake": _sees_lake,
    "PackageDelivery": _sees_road,
    "TMaze": _sees_corridor,
}


def delivery(env: Any, episode: Episode, t: int) -> str:
    """An action on the road in words, and the packages that are left before it."""
    action, left = int(episode.action[t]), int(episode.state.world.packages[t])
    does = ("goes forward", "goes left", "goes right", "waits", *(f"drops by {letter}" for letter in "ABCD"))[action]
    return f"{does}, {left} package{'s' * (left != 1)}"


def move(env: Any, episode: Episode, t: int) -> str:
    """A move in words: by what it does, not by its number, which says nothing where actions are permuted."""
    return ("goes left", "goes up", "goes right", "goes down", "waits")[_moved(env, episode, t)]


def _moved(env: Any, episode: Episode, t: int) -> int:
    action, state = episode.action[t], episode.state
    if hasattr(state, "world"):
        return int(state.world.order[t][int(env.choice(action))])
    return int(state.order[t][int(action)] if hasattr(state, "order") else action)


def _goals(episode: Episode, t: int) -> list[tuple[np.ndarray, int]]:
    """The goals of an instruction at a step, each with how far off it is: below 0 done, 0 due, above 0 later."""
    count, done = int(episode.state.count[t]), int(episode.state.achieved[t])
    return [(goal.astype(int), i - done) for i, goal in enumerate(episode.state.goals[t][:count])]


def package(ax: Axes, env: Any, episode: Episode, t: int) -> None:
    """The road, row by row from the top left: numbers are the goals in their order, arrows the correct sides of forks."""
    world = episode.state.world
    places, side = table(env.length)
    known = np.zeros(env.length, bool)
    known[world.place[: t + 1]] = True
    goals = {int(goal[0]): (i + 1, ahead) for i, (goal, ahead) in enumerate(_goals(episode, t))}
    grounds = [KNOWN if seen else HIDDEN for seen in known]
    shown = [("", INK)] * env.length
    for fork in np.flatnonzero(world.forks[t]):
        shown[fork] = ("→" if world.right[t, fork] else "←", INK if known[fork] else _FAINT)
    for place, (number, ahead) in goals.items():
        shown[place] = (str(number), ASKED if ahead == 0 else INK)
        grounds[place] = RIGHT if ahead < 0 else grounds[place]
    cards(ax, places, side, grounds, shown)
    for place, (_, ahead) in goals.items():
        if ahead == 0:
            frame(ax, *places[place], side, side, ASKED)
    x, y = places[int(world.place[t])]
    frame(ax, x, y, side, side, SEEN, linewidth=3)
    ax.add_patch(plt.Circle((x + 0.2 * side, y + 0.2 * side), 0.12 * side, color=SEEN, zorder=5))
    label(
        ax,
        x + 0.75 * side,
        y + 0.2 * side,
        "↑←→·ABCD"[int(episode.action[t])],
        color=ACTION,
        fontsize=0.45 * side * unit(ax),
    )


def maze(ax: Axes, env: Any, episode: Episode, t: int) -> None:
    """The maze: what was in sight so far is clear, the rest grey; numbers are the goals in their order."""
    world = episode.state.world
    wall, n = world.wall[t], env.size
    known = np.zeros((n, n), bool)
    for place in np.unique(world.position[: t + 1], axis=0):
        known |= _sight(wall, place)
    shades = np.where(known, np.where(wall, 0.25, 1.0), np.where(wall, 0.62, 0.84))
    ax.imshow(shades, cmap="gray", vmin=0, vmax=1, extent=(0, 10, 0, 10), interpolation="nearest", aspect="equal")
    size = 0.75 * 10 / n * unit(ax)
    for i, (goal, ahead) in enumerate(_goals(episode, t)):
        color = PALE if ahead < 0 else ASKED if ahead == 0 else INK
        x, y, side = _square(n, goal)
        label(ax, x + side / 2, y + 0.47 * side, str(i + 1), color=color, fontsize=size, fontweight="bold", zorder=6)
        if ahead == 0:
            frame(ax, x, y, side, side, ASKED, linewidth=1.6)
    here = world.position[t]
    rows, columns = np.nonzero(_sight(wall, here) & ~wall)
    x, y, side = _square(n, here)
    for low, high, lies in ((rows.min(), rows.max(), True), (columns.min(), columns.max(), False)):
        middle = x + side / 2 if lies else y + side / 2
        ends = (
            (10 - (low + 0.5) * side, 10 - (high + 0.5) * side) if lies else ((low + 0.5) * side, (high + 0.5) * side)
        )
        ax.plot(
            *(([middle] * 2, ends) if lies else (ends, [middle] * 2)), color=SEEN, linewidth=1.6, alpha=0.6, zorder=3
        )
    _player(ax, n, here, MOVES[_moved(env, episode, t)])


def _sight(wall: np.ndarray, place: np.ndarray) -> np.ndarray:
    """A square, the free ones in line with it, and the walls that end them."""
    seen = np.zeros_like(wall)
    seen[tuple(place)] = True
    for step in MOVES[:4]:
        there = place + step
        while not wall[tuple(there)]:
            seen[tuple(there)] = True
            there = there + step
        seen[tuple(there)] = True
    return seen


def lake(ax: Axes, env: Any, episode: Episode, t: int) -> None:
    """The lake: circles are holes, crossed once the player fell in; the star is the far corner."""
    state, n = episode.state, env.size
    known, fallen = np.zeros((2, n, n), bool)
    for step in range(t + 1):
        known[tuple(state.position[step])] = True
        if step < t:
            landed = np.clip(state.position[step] + MOVES[state.order[step][int(episode.action[step])]], 0, n - 1)
            fallen[tuple(landed)] |= state.hole[t][tuple(landed)]
    known |= fallen
    marks = [
        ("✕", BAD) if fell else ("○", _FAINT) if hole else ("", INK)
        for fell, hole in zip(fallen.flat, state.hole[t].flat, strict=True)
    ]
    marks[-1] = ("★", ASKED)
    _board(ax, np.select([fallen, known], [WRONG, KNOWN], HIDDEN), marks)
    _player(ax, n, state.position[t], MOVES[_moved(env, episode, t)])


def dark_room(ax: Axes, env: Any, episode: Episode, t: int) -> None:
    """The room: K is the key and D the door, faint until they are found; what is due is framed."""
    state, n = episode.state, env.size
    known = np.zeros((n, n), bool)
    known[tuple(state.position[: t + 1].T)] = True
    paid = np.flatnonzero(episode.reward[:t] > 0)
    marks = [("", INK)] * n**2
    for text, place, held in (("K", state.key[t], False), ("D", state.door[t], True)):
        found = np.any(state.held[paid] == held)
        known[tuple(place)] |= found
        marks[place[0] * n + place[1]] = (text, INK if found else _FAINT)
    _board(ax, np.where(known, KNOWN, HIDDEN), marks)
    due = state.door[t] if state.held[t] else state.key[t]
    x, y, side = _square(n, due)
    frame(ax, x, y, side, side, ASKED)
    _player(ax, n, state.position[t], MOVES[_moved(env, episode, t)])


def t_maze(ax: Axes, env: Any, episode: Episode, t: int) -> None:
    """The corridor, however long, with its two arms; the star is where the reward lies, the cue is what says so."""
    x = 0.8 + 7.4 * episode.state.place[t] / env.length
    up = bool(episode.state.up[t])
    for low, left, height, width in ((4.5, 0.3, 1, 9), (1.5, 8.3, 7, 1)):
        ax.add_patch(
            plt.Rectangle((left, low), width, height, facecolor=KNOWN, edgecolor="#9A9A9A", linewidth=0.8, zorder=1)
        )
    ax.add_patch(plt.Rectangle((8.3, 4.52), 1, 0.96, facecolor=KNOWN, edgecolor="none", zorder=2))
    label(ax, 8.8, 7.9 if up else 2.1, "★", color=ASKED, fontsize=0.9 * unit(ax), zorder=4)
    cue = f"cue: {'up' if up else 'down'}"
    label(ax, 1.9, 6.2, cue if t == 0 else f"({cue})", color=SEEN if t == 0 else _FAINT)
    label(ax, 4.6, 3.7, f"step {t} of {env.horizon - 1}", color=INK)
    ax.add_patch(plt.Circle((x + 0.6 * (x > 8.1), 5), 0.33, color=SEEN, zorder=5))
    down, across = MOVES[_moved(env, episode, t)]
    x += 0.6 * (x > 8.1)
    arrow(ax, (x, 5), (x + 1.1 * across, 5 - 1.1 * down), ACTION)


def _square(n: int, place: np.ndarray) -> tuple[float, float, float]:
    """The lower left corner of a square of the board, and its side."""
    side = 10 / n
    return float(place[1] * side), float(10 - (place[0] + 1) * side), side


def _board(ax: Axes, grounds: np.ndarray, marks: list) -> None:
    corners = [_square(len(grounds), np.array(place)) for place in np.ndindex(grounds.shape)]
    cards(ax, [corner[:2] for corner in corners], 10 / len(grounds), grounds.ravel().tolist(), marks)


def _player(ax: Axes, n: int, place: np.ndarray, move: tuple[int, int]) -> None:
    """A disc where the player stands, and an arrow to where its action leads; none where it stays."""
    x, y, side = _square(n, place)
    ax.add_patch(plt.Circle((x + side / 2, y + side / 2), 0.3 * side, color=SEEN, zorder=7))
    if any(move):
        middle = np.array([x, y]) + side / 2
        arrow(ax, middle, middle + 0.95 * side * np.array([move[1], -move[0]]), ACTION)
