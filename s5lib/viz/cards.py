"""How the card games are drawn, and bsuite's memory chain. Each function draws one step of an episode on a canvas."""

from typing import Any

import numpy as np

from s5lib.envs import Episode
from s5lib.viz.pieces import (
    ASKED,
    BAD,
    HIDDEN,
    INK,
    KNOWN,
    PALE,
    RIGHT,
    SEEN,
    WRONG,
    card,
    cards,
    face,
    faint,
    frame,
    label,
    pillars,
    table,
    tile,
    unit,
)
from s5lib.viz.style import Axes

__all__ = [
    "autoencode",
    "count_recall",
    "higher_lower",
    "memory_chain",
    "repeat_first",
    "repeat_previous",
]


def repeat_previous(ax: Axes, env: Any, episode: Episode, t: int) -> None:
    """All cards in order of play: those that may be forgotten are faint, the one asked for is framed."""
    suits = episode.state.suits[t]
    asked = int(t - env.k + 1)
    places, side = table(len(suits))
    grounds = [KNOWN if i <= t else HIDDEN for i in range(len(suits))]
    shown = [face(4, suit) if asked <= i <= t else faint(face(4, suit)) for i, suit in enumerate(suits)]
    cards(ax, places, side, grounds, shown)
    frame(ax, *places[t], side, side, SEEN)
    if asked >= 0:
        frame(ax, *places[asked], side, side, ASKED)


def repeat_first(ax: Axes, env: Any, episode: Episode, t: int) -> None:
    """The first card and the one in view, large; beneath, the cards in between as they went by."""
    suits = episode.state.suits[t]
    for x, text, i in ((1.2, "first card", 0), (5.7, "in view", t)):
        label(ax, x + 1.55, 9.6, text)
        card(ax, x, 4.6, 3.1, 4.4, face(4, suits[i]), KNOWN)
    frame(ax, 1.2, 4.6, 3.1, 4.4, ASKED, linewidth=3)
    frame(ax, 5.7, 4.6, 3.1, 4.4, SEEN, linewidth=3)
    label(ax, 5, 3.6, f"{t} card{'' if t == 1 else 's'} ago" if t else "the same card", color=INK)
    for place, i in enumerate(range(t - 6, t + 1)):
        if i >= 0:
            x = place * 10 / 7
            card(ax, x, 1.0, 10 / 7, 1.7, face(4, suits[i]), KNOWN)
            if i == t:
                frame(ax, x, 1.0, 10 / 7, 1.7, SEEN)


def autoencode(ax: Axes, env: Any, episode: Episode, t: int) -> None:
    """All cards in order: seen one by one, then asked for from the last to the first; a wrong answer is struck out."""
    suits, count = episode.state.suits[t], len(episode.state.suits[t])
    places, side = table(count)
    asked = 2 * count - 2 - t if t >= count - 1 else None
    answered = 2 * count - 2 - np.arange(count)  # the step at which each card is asked for
    done, known = answered < t, np.arange(count) <= t
    right = done & (episode.reward[np.minimum(answered, len(episode.reward) - 1)] > 0)
    grounds = np.select([right, done, known], [RIGHT, WRONG, KNOWN], HIDDEN)
    shown = [face(4, suit) if seen else faint(face(4, suit)) for suit, seen in zip(suits, known, strict=True)]
    cards(ax, places, side, grounds.tolist(), shown)
    for x, y in np.array(places)[done & ~right]:
        ax.plot([x + 0.15 * side, x + 0.85 * side], [y + 0.2 * side, y + 0.8 * side], color=BAD, linewidth=1.6)
    if t < count:
        frame(ax, *places[t], side, side, SEEN)
    if asked is not None:
        frame(ax, *places[asked], side, side, ASKED)


def count_recall(ax: Axes, env: Any, episode: Episode, t: int) -> None:
    """The card and the query in view, and how often each kind of card was dealt, which is hidden."""
    state = episode.state
    counts = state.counts[t]
    kinds = len(counts)
    for x, text, value in ((1.2, "card", state.values[t][t]), (5.7, "how many of", state.queries[t][t])):
        label(ax, x + 1.55, 9.6, text)
        card(ax, x, 5.9, 3.1, 3.2, face(kinds, value), KNOWN)
        frame(ax, x, 5.9, 3.1, 3.2, SEEN, linewidth=3)
    names = ["black", "red"] if kinds == 2 else [face(kinds, kind)[0] for kind in range(kinds)]
    most = 52 * env.num_decks // kinds
    middles = pillars(ax, counts / most, 1.2, 4.3, names, KNOWN)
    for kind, middle in enumerate(middles):
        top = 1.2 + 3.1 * counts[kind] / most
        label(ax, middle, top + 0.42, str(counts[kind]), fontsize=min(11.5, 6.8 * unit(ax) / kinds))
    asked, width = state.queries[t][t], 10 / kinds
    frame(ax, asked * width, 0.15, width, 5.2, ASKED)


def higher_lower(ax: Axes, env: Any, episode: Episode, t: int) -> None:
    """The card in view, the next one, and how many of each rank are still to come."""
    ranks = episode.state.ranks[t]
    for x, text, i in ((1.2, "in view", t), (5.7, "next", t + 1)):
        label(ax, x + 1.55, 9.6, text)
        card(ax, x, 5.5, 3.1, 3.6, face(13, ranks[i]), KNOWN if i == t else HIDDEN)
    frame(ax, 1.2, 5.5, 3.1, 3.6, SEEN, linewidth=3)
    left = np.bincount(ranks[t + 1 :], minlength=13)
    names = [face(13, rank)[0] for rank in range(13)]
    pillars(ax, left / (4 * env.num_decks), 1.0, 3.9, names, KNOWN)
    label(ax, 5, 4.7, "still to come")


def memory_chain(ax: Axes, env: Any, episode: Episode, t: int) -> None:
    """The cue, shown on the first two observations only, and the time until it is asked for."""
    context, length = episode.state.context[t], env.memory_length
    side = min(3.4, 10 / len(context))
    left = 5 - side * len(context) / 2
    visible = bool(np.any(episode.obs[t][2:]))
    label(ax, 5, 9.6, "the cue")
    for i, bit in enumerate(context):
        card(ax, left + i * side, 5.4, side, 3.5, (str(int(bit)), INK), KNOWN)
        if visible:
            frame(ax, left + i * side, 5.4, side, 3.5, SEEN, linewidth=3)
        if t == length and i == episode.state.query[t]:
            frame(ax, left + i * side, 5.4, side, 3.5, ASKED, linewidth=3)
    width = 10 / (length + 1)
    for step in range(length + 1):
        tile(ax, step * width, 2.6, width, 1.0, PALE if step < t else HIDDEN)
    frame(ax, t * width, 2.6, width, 1.0, SEEN)
    label(ax, 5, 1.6, "asked now" if t == length else f"asked in {length - t} step{'s' * (length - t > 1)}")
