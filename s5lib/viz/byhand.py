"""Playing a task by hand: see no more than an agent sees, press a button a step, and find out what there was to remember.

Colours and marks are those of the drawings in ``games``. Where no kernel is live, both players' games are shown instead.
"""

import html
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import jax
import numpy as np

from s5lib import envs
from s5lib.config import random_key, require
from s5lib.envs.base import AnyEnv
from s5lib.viz import games, goals
from s5lib.viz.embed import data_uri, encode, figure, img, in_kernel
from s5lib.viz.pieces import BAD, GOOD, HIDDEN, INK, KNOWN, SEEN, face
from s5lib.viz.style import plt, use_style

__all__ = ["NEEDS", "Hand", "play"]

# Class of the environment -> what its player has to remember.
NEEDS = {
    "Autoencode": "every suit, in order",
    "Battleship": "which squares were shot at, and which of them were hits",
    "CartPole": "enough of the past to know what is hidden: speeds from positions, or positions from speeds",
    "Concentration": "which card lies where, of those turned up so far",
    "CountRecall": "one counter for each kind of card",
    "HigherLower": "how many of each rank have gone",
    "LabyrinthEscape": "where you have been, and which openings you left",
    "LabyrinthExplore": "where you have been, and which openings you left",
    "MemoryChain": "the cue",
    "MineSweeper": "the numbers of the squares that are open",
    "MultiarmedBandit": "how often each arm was pulled, and how often it won",
    "Pendulum": "the last angles, to know how fast the rod turns",
    "RepeatFirst": "the first suit",
    "RepeatPrevious": "the last k suits, in order",
    **goals.NEEDS,
}


# ------------------------------------------------------------------------------------------ what is seen, as HTML
def _tile(text: str, color: str = INK, ground: str = KNOWN, edge: str = SEEN, size: str = "2.6em") -> str:
    box = f"display:inline-block;min-width:1.2em;margin:.08em;padding:.05em .15em;border:2px solid {edge}"
    look = f"border-radius:.12em;background:{ground};color:{color};font-size:{size};line-height:1.25;text-align:center"
    return f'<span style="{box};{look}">{text}</span>'


def _card(kinds: int, value: Any) -> str:
    return _tile(*face(kinds, int(value)))


def _repeat(env: AnyEnv, obs: np.ndarray, t: int) -> str:
    return _card(4, obs.argmax())


def _autoencode(env: AnyEnv, obs: np.ndarray, t: int) -> str:
    if obs[1] == 1:
        return _card(4, obs[2:].argmax()) + " watch"
    last = _card(4, obs[2:].argmax()) if t == env.horizon // 2 else ""
    return last + " answer now, from the last card back"


def _count_recall(env: AnyEnv, obs: np.ndarray, t: int) -> str:
    kinds = len(obs) // 2
    return f"{_card(kinds, obs[:kinds].argmax())} and how many {_card(kinds, obs[kinds:].argmax())} so far?"


def _higher_lower(env: AnyEnv, obs: np.ndarray, t: int) -> str:
    return _card(13, obs.argmax())


def _memory_chain(env: AnyEnv, obs: np.ndarray, t: int) -> str:
    cue = " ".join(_tile(str(int(bit > 0))) for bit in obs[2:]) if np.any(obs[2:]) else "no cue"
    return f"{cue}, time left {obs[0]:.2f}, asked for: bit {int(obs[1])}"


def _concentration(env: AnyEnv, obs: np.ndarray, t: int) -> str:
    values = obs.reshape(env.num_cards, -1).argmax(-1)
    kinds = 2 if env.deck_type == "colors" else 13
    tiles = [
        _tile(*face(kinds, value), size="1.1em") if value < kinds else _tile("&middot;", INK, HIDDEN, HIDDEN, "1.1em")
        for value in values
    ]
    return _rows(tiles, math.ceil(math.sqrt(env.num_cards)))


def _rows(tiles: list[str], columns: int) -> str:
    lines = ["".join(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    return '<div style="line-height:1.2;font-family:monospace">' + "<br>".join(lines) + "</div>"


def _bit(no: str, yes: str) -> Callable[[Any, np.ndarray, int], str]:
    def show(env: AnyEnv, obs: np.ndarray, t: int) -> str:
        if t == 0:
            return "nothing yet"
        return _tile(yes, GOOD) if obs.argmax() else _tile(no, BAD)

    return show


def _minesweeper(env: AnyEnv, obs: np.ndarray, t: int) -> str:
    return "nothing yet" if t == 0 else f"mines on that square and around it: {_tile(str(obs.argmax()))}"


def _labyrinth(env: AnyEnv, obs: np.ndarray, t: int) -> str:
    view = obs[:45].reshape(9, 5).argmax(-1)
    looks = {0: ("&nbsp;", KNOWN), 1: ("&nbsp;", "#404040"), 2: ("S", KNOWN), 3: ("&#9733;", KNOWN), 4: ("?", HIDDEN)}
    return _rows([_tile(looks[int(square)][0], INK, looks[int(square)][1], HIDDEN, "1.4em") for square in view], 3)


def _svg(width: float, body: str, label: str) -> str:
    return (
        f'<svg role="img" aria-label="{html.escape(label)}" viewBox="{-width / 2} -1.4 {width} 2.8" '
        f'style="width:{70 * width:.0f}px;max-width:100%;background:#fff;border-radius:.25em">{body}</svg>'
    )


def _line(x0: float, y0: float, x1: float, y1: float, width: float, color: str = SEEN) -> str:
    at = f'x1="{x0:.3f}" y1="{y0:.3f}" x2="{x1:.3f}" y2="{y1:.3f}"'
    return f'<line {at} stroke="{color}" stroke-width="{width}" stroke-linecap="round"/>'


def _cartpole(env: AnyEnv, obs: np.ndarray, t: int) -> str:
    if env.shown == "velocities" and t > 0:
        return f"the cart moves at {obs[0]:+.2f} m/s, the pole turns at {obs[1]:+.2f} rad/s"
    x, theta = (float(number) for number in obs)
    words = f"the cart is at {x:+.2f} m, the pole leans by {theta:+.3f} rad"
    foot, tip = (x, 0.8), (x + 1.8 * np.sin(theta), 0.8 - 1.8 * np.cos(theta))
    cart = f'<rect x="{x - 0.3:.3f}" y="0.8" width="0.6" height="0.3" fill="#fff" stroke="{SEEN}" stroke-width=".05"/>'
    ground = _line(-2.4, 1.2, 2.4, 1.2, 0.02, INK)
    return _svg(6, ground + cart + _line(*foot, *tip, 0.08), words) + f"<br>{words}; lean right is positive"


def _pendulum(env: AnyEnv, obs: np.ndarray, t: int) -> str:
    cos, sin = (float(number) for number in obs)
    words = f"cos = {cos:+.2f} (1 is upright), sin = {sin:+.2f}"
    return _svg(2.8, _line(0, 0, -1.1 * sin, -1.1 * cos, 0.14), words) + f"<br>{words}"


SHOWS = {
    "Autoencode": _autoencode,
    "Battleship": _bit("miss", "hit"),
    "CartPole": _cartpole,
    "Concentration": _concentration,
    "CountRecall": _count_recall,
    "HigherLower": _higher_lower,
    "LabyrinthEscape": _labyrinth,
    "LabyrinthExplore": _labyrinth,
    "MemoryChain": _memory_chain,
    "MineSweeper": _minesweeper,
    "MultiarmedBandit": _bit("lost", "won"),
    "Pendulum": _pendulum,
    "RepeatFirst": _repeat,
    "RepeatPrevious": _repeat,
    **goals.SEES,
}


# ------------------------------------------------------------------------------------------ the game
@cache
def _compiled(env: AnyEnv) -> tuple[Callable, Callable, Callable]:
    """Reset, step and best action of an environment, compiled once."""
    params = env.default_params

    def step(key: jax.Array, state: Any, action: Any) -> tuple:
        obs, state, reward, terminated, _ = env.step_env(key, state, action, params)
        return obs, state, reward, terminated, env.is_truncated(state, params)

    return jax.jit(lambda key: env.reset_env(key, params)), jax.jit(step), jax.jit(env.best_action)


@dataclass
class Hand:
    """One game played from outside, a step at a time.

    Args:
        env: an environment of ``s5lib.envs``, without wrappers.
        seed: which start.
    Example:
        >>> hand = Hand(envs.make("RepeatPreviousEasy"))
        >>> for _ in range(5):
        ...     hand.move(hand.best())
        >>> hand.t, hand.over, round(hand.total * 48)
        (5, False, 2)

    """

    env: AnyEnv
    seed: int = 0
    rows: list[tuple] = field(default_factory=list)

    def __post_init__(self) -> None:
        key_reset, self._key = jax.random.split(random_key(self.seed))
        self.obs, self._state = _compiled(self.env)[0](key_reset)
        self.over, self.total, self.reward = False, 0.0, 0.0

    @property
    def t(self) -> int:
        """Steps taken."""
        return len(self.rows)

    def best(self) -> Any:
        """What the best player would do now."""
        return np.asarray(_compiled(self.env)[2](self._state))

    def move(self, action: Any) -> None:
        """Take one step.

        Args:
            action: an action of the environment's space.
        Raises:
            ValueError: the game is over, or the action is outside the space.
        """
        if self.over:
            raise ValueError(f"the game is over after {self.t} steps")
        space = self.env.action_space(self.env.default_params)
        action = np.asarray(action, space.dtype)
        if not space.contains(action):
            raise ValueError(f"action must lie in {space}; got {action}")
        obs, state, reward, terminated, truncated = _compiled(self.env)[1](
            jax.random.fold_in(self._key, self.t), self._state, action
        )
        row = (self.obs, self._state, action, reward, terminated, truncated, np.True_, obs)
        self.rows.append(jax.tree.map(np.asarray, row))
        self.obs, self._state = obs, state
        self.reward = float(reward)
        self.total += self.reward
        self.over = bool(terminated | truncated)

    def episode(self) -> envs.Episode:
        """All steps taken so far, as ``draw_game`` takes them.

        Raises:
            ValueError: no step was taken.
        """
        if not self.rows:
            raise ValueError("no step was taken yet")
        return envs.Episode(*jax.tree.map(lambda *leaves: np.stack(leaves), *self.rows))

    def seen(self) -> str:
        """What the player sees now, as HTML."""
        return SHOWS[type(self.env).__name__](self.env, np.asarray(self.obs), self.t)


# ------------------------------------------------------------------------------------------ buttons
def play(name: str, seed: int = 0, **options: Any) -> None:
    """Play a task yourself: you see what an agent sees, and choose each action.

    With a live kernel there are buttons: one for each action, or each square of a board, or a slider for a torque; one that
    lets the best player move, and one for a new game. Tick "show the table" to see what you could have remembered. While the
    book is built, and in a terminal, what is shown instead is ``games.watch``: random and best play of the same start.

    Args:
        name: a task, as in ``s5lib.envs.make``.
        seed: which start comes first.
        options: as in ``s5lib.envs.make``.
    Raises:
        TypeError, ValueError: as in ``s5lib.envs.make``.
    """
    env, about = envs.make(name, **options), envs.describe(name, **options)
    if os.environ.get("S5LIB_BUILD") == "1" or not in_kernel():
        games.watch(name, seed=seed, **options)
    else:
        require("IPython", "viz").display.display(_Desk(env, about, seed).page)


class _Desk:
    """The widgets of one task, and the game that is being played on them."""

    def __init__(self, env: AnyEnv, about: envs.Description, seed: int):
        self.env, self.about, self.hand = env, about, Hand(env, seed)
        widgets = require("ipywidgets", "viz")  # only what both ipywidgets 7 (Colab) and 8 have
        self.seen, self.said, self.table = (widgets.HTML() for _ in range(3))
        self.peek = widgets.Checkbox(value=False, description="show the table", indent=False)
        self.peek.observe(lambda _: self._act(lambda: None), names="value")
        self.best = _button(widgets, "best player moves", lambda: self.hand.move(self.hand.best()))
        self.again = _button(widgets, "new game", self._deal)
        self.moves, controls = self._moves(widgets)
        for button in (*self.moves, self.best, self.again):
            button.on_click(lambda button: self._act(button.does))
        need = NEEDS[type(env).__name__].replace(" k ", f" {getattr(env, 'k', '')} ")
        title = f"<b>{html.escape(about.name)}</b>. {html.escape(about.summary)}<br>To remember: {need}."
        row = widgets.HBox([self.best, self.again, self.peek], layout={"flex_flow": "row wrap"})
        self.page = widgets.VBox([widgets.HTML(title), self.seen, controls, self.said, row, self.table])
        self._show()

    def _moves(self, widgets: Any) -> tuple[list, Any]:
        """The buttons that make a move, and the box that holds them."""
        space = self.env.action_space(self.env.default_params)
        if hasattr(space, "low"):
            low, high = float(space.low), float(space.high)
            slider = widgets.FloatSlider(value=0.0, min=low, max=high, step=0.1, description="action")
            act = _button(widgets, "do it", lambda: self.hand.move(np.full(space.shape, slider.value)))
            return [act], widgets.HBox([slider, act])
        names, columns = self._names(space)
        buttons = [
            _button(widgets, name, partial(self._move, action), "2.9em" if columns else "auto")
            for name, action in names
        ]
        if columns:
            grid = {"grid_template_columns": f"repeat({columns}, 3.1em)"}
            return buttons, widgets.GridBox(buttons, layout=grid)
        return buttons, widgets.HBox(buttons, layout={"flex_flow": "row wrap"})

    def _names(self, space: Any) -> tuple[list[tuple[str, Any]], int]:
        """A name for every action, and the columns of a board where there is one, else 0."""
        if hasattr(space, "nvec"):
            rows, columns = space.nvec
            return [(f"{i},{j}", (i, j)) for i in range(rows) for j in range(columns)], columns
        if type(self.env).__name__ == "Concentration":
            return [(str(i), i) for i in range(space.n)], math.ceil(math.sqrt(space.n))
        kind = type(self.env).__name__
        known = {
            "CartPole": ("push left", "push right"),
            "HigherLower": ("higher", "lower"),
            **dict.fromkeys(("LabyrinthEscape", "LabyrinthExplore"), ("left", "right", "up", "down")),
            **goals.BUTTONS,
            **dict.fromkeys(("Autoencode", "RepeatFirst", "RepeatPrevious"), games.SUITS),
        }
        names = known.get(kind) or [str(i) for i in range(space.n)]
        return list(zip(names, range(space.n), strict=True)), 0

    def _move(self, action: Any) -> None:
        self.hand.move(action)

    def _deal(self) -> None:
        self.hand = Hand(self.env, self.hand.seed + 1)

    def _act(self, does: Callable[[], Any]) -> None:
        """Do what a button says, and show what came of it."""
        try:
            does()
            self._show()
        except Exception as error:  # a callback's traceback would be lost
            self.said.value = f"<pre>{html.escape(f'{type(error).__name__}: {error}')}</pre>"

    def _show(self) -> None:
        hand, about = self.hand, self.about
        look = f"background:#fff;color:{INK};padding:.5em .8em;border-radius:.25em;overflow-x:auto;line-height:1.6"
        head = "the game is over" if hand.over else f"you see, at step {hand.t} of at most {about.horizon}"
        self.seen.value = f'<div style="{look}" role="status">{head}:<br>{"" if hand.over else hand.seen()}</div>'
        color = GOOD if hand.reward > 0 else BAD if hand.reward < 0 else "inherit"
        words = (
            f'<span style="color:{color}">reward {hand.reward:+.3f}</span>, return {hand.total:+.3f}' if hand.t else ""
        )
        ends = f"random play earns {_places(about.random_return)}, the best player {_places(about.best_return)}, on average"
        self.said.value = " &nbsp; ".join(filter(None, (words, ends if hand.over or not hand.t else "")))
        for button in (*self.moves, self.best):
            button.disabled = hand.over
        self.table.value = self._picture() if hand.t and (hand.over or self.peek.value) else ""

    def _picture(self) -> str:
        """The last step as ``games`` draws it, with all that was hidden."""
        use_style()
        fig = plt.figure(figsize=(3.4, 3.9), layout="none")
        t, episode = self.hand.t - 1, self.hand.episode()
        games.draw_game(fig.add_axes((0.03, 0.02, 0.94, 0.96)), self.env, episode, t)
        game = games.GAMES[type(self.env).__name__]
        alt = f"{self.about.name}, your step {t}: {game.says(self.env, episode, t)}"
        picture = img(data_uri(*encode(fig)), alt, fig.get_figwidth())
        plt.close(fig)
        return figure("s5lib-figure", picture, f"Your last step, number {t}, with all that was hidden. {game.legend}")


def _button(widgets: Any, name: str, does: Callable[[], Any], width: str = "auto") -> Any:
    layout = {"width": width} if width == "auto" else {"width": width, "padding": "0"}
    button = widgets.Button(description=name, layout=layout)
    button.does = does
    return button


def _places(number: float | None) -> str:
    return "an unknown return" if number is None else f"{number:+.2f}"
