"""Worlds with goals drawn: what is due, what is known and what is hidden, from the first step to the last."""

import re
from functools import cache

import matplotlib

matplotlib.use("Agg")

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex

from s5lib import envs
from s5lib.viz import games, goals, pieces

pytestmark = pytest.mark.usefixtures("book_style")

PLAYED = {
    "DarkKeyToDoorEasy": ({}, "best"),
    "MazeRunnerEasy": ({"permuted": True}, "best"),
    "MetaFrozenLakeMedium": ({}, "random"),
    "PackageDeliveryHard": ({}, "best"),
    "TMazeEasy": ({}, "best"),
}


@cache
def played(name):
    options, policy = PLAYED[name]
    env = envs.make(name, **options)
    return env, jax.tree.map(np.asarray, jax.jit(lambda key: envs.play(env, key, policy))(jax.random.key(1)))


def drawn(name, t):
    env, episode = played(name)
    fig = plt.figure(figsize=(2.8, 3.4), layout="none")
    ax = fig.add_axes((0.05, 0.04, 0.9, 0.92))
    games.draw_game(ax, env, episode, t)
    return ax


def words(ax):
    return [text.get_text() for text in ax.texts if text.get_text()]


def frames(ax, color, side):
    """The lower left corners of all frames of a colour, in squares of the board."""
    found = [patch for patch in ax.patches if isinstance(patch, plt.Rectangle) and not patch.get_fill()]
    found = [patch for patch in found if to_hex(patch.get_edgecolor()) == color.lower()]
    return [(round(patch.get_x() / side), round(patch.get_y() / side)) for patch in found]


def grounds(ax):
    colors = [to_hex(color) for color in ax.collections[0].get_facecolors()]
    return {color: colors.count(color) for color in set(colors)}


@pytest.mark.parametrize("name", PLAYED)
def test_every_world_is_drawn_from_its_first_step_to_its_last(name):
    _, episode = played(name)
    length = int(episode.active.sum())
    pictures = []
    for t in (0, length // 2, length - 1):
        ax = drawn(name, t)
        ax.figure.canvas.draw()
        said, earned = words(ax)[-2:]
        assert re.match(r"(goes (left|up|right|down|forward)|waits|drops by [A-D])", said)
        total = float(re.fullmatch(r"reward \S+, sum (\S+)", earned)[1])
        assert total == pytest.approx(episode.reward[: t + 1].sum(), abs=6e-4)
        pictures.append(np.asarray(ax.figure.canvas.buffer_rgba())[..., :3])
        inside = (pictures[-1][4:-4, 4:-4] != 255).any(-1).sum()
        assert inside == (pictures[-1] != 255).any(-1).sum() > 500, "something is drawn, and nothing beyond the edge"
        plt.close(ax.figure)
    assert (pictures[0] != pictures[-1]).any()


def test_the_road_tells_what_is_due_and_what_is_done():
    env, episode = played("PackageDeliveryHard")
    first = int(np.flatnonzero(episode.reward)[0])
    before, after = drawn("PackageDeliveryHard", first), drawn("PackageDeliveryHard", first + 1)
    places, side = pieces.table(env.length)
    for ax, t, due in ((before, first, 0), (after, first + 1, 1)):
        column, row = places[int(episode.state.goals[t][due, 0])]
        assert frames(ax, pieces.ASKED, side) == [(round(column / side), round(row / side))]
    assert pieces.RIGHT.lower() not in grounds(before) and grounds(after)[pieces.RIGHT.lower()] == 1
    assert re.match(r"drops by [A-D], 12 packages", words(before)[-2])
    assert words(after)[-2].endswith("11 packages")


def test_moves_are_named_by_what_they_do():
    """With permuted actions too: the words agree with where the player is next."""
    env, episode = played("MazeRunnerEasy")
    places = episode.state.world.position
    names = {(0, -1): "left", (-1, 0): "up", (0, 1): "right", (1, 0): "down"}
    for t in range(int(episode.active.sum()) - 1):
        assert goals.move(env, episode, t) == f"goes {names[tuple((places[t + 1] - places[t]).tolist())]}"


def test_the_lake_shows_holes_that_were_found():
    _, episode = played("MetaFrozenLakeMedium")
    over = np.flatnonzero(np.diff(episode.state.attempt_time[episode.active]) < 1) + 1
    over = next(
        t for t in over if episode.reward[t - 1] == 0 and episode.state.attempt_time[t - 1] < 39
    )  # the first fall
    wrong = pieces.WRONG.lower()
    assert wrong not in grounds(drawn("MetaFrozenLakeMedium", over - 1))
    assert grounds(drawn("MetaFrozenLakeMedium", over))[wrong] == 1


def test_the_room_shows_what_is_due():
    env, episode = played("DarkKeyToDoorEasy")
    found = int(np.flatnonzero(episode.reward)[0])
    for t, due in ((found, episode.state.key), (found + 1, episode.state.door)):
        (corner,) = frames(drawn("DarkKeyToDoorEasy", t), pieces.ASKED, 10 / env.size)
        assert corner == (due[t][1], env.size - 1 - due[t][0])


def test_what_is_seen_in_words():
    """Of the observation alone: the same words by hand as the hidden state would give."""
    env, episode = played("PackageDeliveryHard")
    first = int(np.flatnonzero(episode.reward)[0])
    said = goals.SEES["PackageDelivery"](env, episode.obs[first + 1], first + 1)
    place, asked = int(episode.state.world.place[first + 1]), episode.state.goals[0, :, 0].astype(int)
    assert said.startswith(f"place {place} of 0-29") and "11 packages left" in said
    assert f"deliver to: place {asked[0]} (done); place {asked[1]};" in said
    env, episode = played("MazeRunnerEasy")
    row, column = episode.state.world.position[5]
    said = goals.SEES["MazeRunner"](env, episode.obs[5], 5)
    assert re.match(
        rf"row {row}, column {column}; free squares left \d, up \d, right \d, down \d<br>go to: row \d+, column", said
    )
    env, episode = played("MetaFrozenLakeMedium")
    assert goals.SEES["MetaFrozenLake"](env, episode.obs[0], 0) == "row 0, column 0; attempt 0 begins"
    env, episode = played("DarkKeyToDoorEasy")
    held = int(np.flatnonzero(episode.state.held)[0])
    row, column = episode.state.key[0]
    said = goals.SEES["DarkKeyToDoor"](env, episode.obs[held], held)
    assert said == f"row {row}, column {column}; the key is held; step {held} of this attempt"
    env, episode = played("TMazeEasy")
    seen = [goals.SEES["TMaze"](env, episode.obs[t], t) for t in (0, 1, 100)]
    assert seen == [f"the cue: {'up' if episode.state.up[0] else 'down'}", "a corridor", "the end"]
    for name in PLAYED:
        env, _ = played(name)
        kind = type(env).__name__
        assert len(goals.BUTTONS.get(kind, range(env.num_actions))) == env.num_actions and goals.NEEDS[kind]


def test_the_cue_is_in_view_once():
    _, episode = played("TMazeEasy")
    cue = f"cue: {'up' if episode.state.up[0] else 'down'}"
    assert cue in words(drawn("TMazeEasy", 0)) and f"({cue})" in words(drawn("TMazeEasy", 1))
