"""Games that need a memory, drawn: what the player sees, what a memory can hold, what is hidden, and what it does."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from s5lib import acting, envs
from s5lib.config import check_choice, check_positive_int, random_key
from s5lib.envs.base import AnyEnv
from s5lib.memory import Params
from s5lib.viz import boards, cards, goals, motion
from s5lib.viz.page import explore
from s5lib.viz.pieces import BAD, GOOD, INK, canvas, label
from s5lib.viz.style import METHODS, Axes, Figure, plt

__all__ = ["draw_game", "record", "watch", "watch_agents"]

SUITS = ("♠ spades", "♦ diamonds", "♣ clubs", "♥ hearts")
COLOURS = "Blue frame: what the player sees now. White: seen before. Grey: not seen yet."
ASKED = f"{COLOURS} Purple, dashed: what is asked for."
CHOSEN = f"{COLOURS} Orange: what the player chooses."
MOVING = "Blue: what the player sees. Grey: what is hidden. Orange: the action."


Says = Callable[[AnyEnv, envs.Episode, int], str]  # an action in words, at a step


@dataclass(frozen=True)
class Game:
    """How one kind of game is drawn, what an action is called, and what the colours mean."""

    draw: Callable[[Axes, AnyEnv, envs.Episode, int], None]
    says: Says
    legend: str


def _suit(env: AnyEnv, episode: envs.Episode, t: int) -> str:
    return f"says {SUITS[int(episode.action[t])]}"


def _when_asked(says: Callable, first: Callable[[AnyEnv], int], before: str) -> Says:
    """What is said until the game asks for something counts for nothing."""
    return lambda env, episode, t: says(env, episode, t) if t >= first(env) else before


def _square(verb: str) -> Says:
    return lambda env, episode, t: f"{verb} row {episode.action[t][0]}, column {episode.action[t][1]}"


def _one_of(before: str, *names: str) -> Says:
    return lambda env, episode, t: before + names[int(episode.action[t])]


def _number(before: str) -> Says:
    return lambda env, episode, t: f"{before}{int(episode.action[t])}"


def _torque(env: AnyEnv, episode: envs.Episode, t: int) -> str:
    return f"torque {_signed(float(np.ravel(episode.action[t])[0]), 1)}"


_MAZE = Game(boards.labyrinth, _one_of("goes ", "left", "right", "up", "down"), f"{CHOSEN} Dots: where it has been.")
# class of the environment -> its game
GAMES = {
    "Autoencode": Game(
        cards.autoencode,
        _when_asked(_suit, lambda env: env.horizon // 2, "watches"),
        f"{ASKED} Green: answered rightly. Red, struck out: answered wrongly.",
    ),
    "Battleship": Game(
        boards.battleship, _square("shoots"), f"{CHOSEN} Cross: a hit. Circle: a miss. Dark grey: a ship, hidden."
    ),
    "CartPole": Game(
        motion.cartpole,
        _one_of("pushes ", "left", "right"),
        f"{MOVING} Thin arrows: velocities. Dotted: where the game is lost. The pole is drawn longer than it is.",
    ),
    "Concentration": Game(
        boards.concentration, _number("turns up card "), f"{CHOSEN} Green: matched, stays in view. B: black. R: red."
    ),
    "CountRecall": Game(cards.count_recall, _number("says "), f"{ASKED} Bars: how many of each were dealt so far."),
    "DarkKeyToDoor": Game(goals.dark_room, goals.move, goals.LEGENDS["DarkKeyToDoor"]),
    "HigherLower": Game(
        cards.higher_lower, _one_of("says ", "higher", "lower"), f"{COLOURS} Bars: cards of each rank still to come."
    ),
    "LabyrinthEscape": Game(_MAZE.draw, _MAZE.says, f"{_MAZE.legend} Star: the exit."),
    "LabyrinthExplore": _MAZE,
    "MazeRunner": Game(goals.maze, goals.move, goals.LEGENDS["MazeRunner"]),
    "MemoryChain": Game(
        cards.memory_chain, _when_asked(_number("says "), lambda env: env.memory_length, "waits"), ASKED
    ),
    "MetaFrozenLake": Game(goals.lake, goals.move, goals.LEGENDS["MetaFrozenLake"]),
    "MineSweeper": Game(boards.minesweeper, _square("opens"), f"{CHOSEN} Numbers: mines around. Stars: hidden mines."),
    "MultiarmedBandit": Game(
        motion.bandit,
        _number("pulls arm "),
        "Blue frame: the last pull and whether it won. White bars: share of an arm's pulls that won so far; above, how "
        "many those are. Grey bars: its chance, hidden. Orange: the next pull.",
    ),
    "PackageDelivery": Game(goals.package, goals.delivery, goals.LEGENDS["PackageDelivery"]),
    "Pendulum": Game(
        motion.pendulum, _torque, f"{MOVING} Inner arrow: the torque. Outer arrow: the velocity. Dotted: upright."
    ),
    "RepeatFirst": Game(cards.repeat_first, _suit, ASKED),
    "RepeatPrevious": Game(
        cards.repeat_previous, _when_asked(_suit, lambda env: env.k - 1, "waits"), f"{ASKED} Faint: may be forgotten."
    ),
    "TMaze": Game(goals.t_maze, goals.move, goals.LEGENDS["TMaze"]),
}


def _game(env: AnyEnv) -> Game:
    game = GAMES.get(type(env).__name__)
    if game is None:
        raise TypeError(
            f"env must be one of {', '.join(GAMES)}, without wrappers, for how to draw it; got {type(env).__name__}"
        )
    return game


def _length(episode: envs.Episode) -> int:
    return int(np.sum(episode.active))


def _check_step(t: Any, length: int) -> int:
    if isinstance(t, bool) or not isinstance(t, int | np.integer) or not 0 <= t < length:
        raise ValueError(f"t must be a step of this episode, an integer from 0 to {length - 1}; got {t!r}")
    return int(t)


def draw_game(ax: Axes, env: AnyEnv, episode: envs.Episode, t: int) -> None:
    """Draw one step of a game: what is seen and what is hidden before the action, the action, and what it earns.

    Args:
        ax: a matplotlib Axes, about 2.5 inches wide or wider.
        env: the environment that was played, without wrappers.
        episode: what ``s5lib.envs.play`` returned for one game, as NumPy arrays.
        t: the step, from 0 to the episode's last.
    Raises:
        TypeError: an environment that nobody knows how to draw.
        ValueError: the episode has no step ``t``.
    """
    game = _game(env)
    t = _check_step(t, _length(episode))
    canvas(ax)
    game.draw(ax, env, episode, t)
    reward = float(episode.reward[t])
    label(ax, 5, -0.75, game.says(env, episode, t), fontsize=12, fontweight="bold")
    look = GOOD if reward > 0 else BAD if reward < 0 else INK
    label(ax, 5, -1.9, f"reward {_signed(reward, 3)}, sum {_signed(_sum(episode, t), 3)}", color=look)


def _sum(episode: envs.Episode, t: int) -> float:
    """The return up to and with step t."""
    return float(np.sum(episode.reward[: t + 1]))


def _signed(number: float, places: int) -> str:
    rounded = round(number, places) + 0.0  # no minus zero
    return f"{rounded:+.{places}f}" if rounded else f"{rounded:.{places}f}"


PLAYERS = {"random": "random", "best": "optimal"}  # the two that need no training -> their look in METHODS


@cache
def _player(env: AnyEnv, policy: str) -> Callable:
    return jax.jit(lambda key: envs.play(env, key, policy))


def _cut(episode: envs.Episode) -> envs.Episode:
    """An episode as NumPy arrays, cut after its last step."""
    episode = jax.tree.map(np.asarray, episode)
    until_end = slice(_length(episode))
    return jax.tree.map(operator.itemgetter(until_end), episode)


def _both(env: AnyEnv, seed: int) -> dict[str, envs.Episode]:
    """The same start played by both players."""
    return {policy: _cut(_player(env, policy)(random_key(seed))) for policy in PLAYERS}


def watch(name: str, steps: int = 20, seed: int = 0, **options: Any) -> None:
    """Display a game with a slider over its steps: the same start played at random on the left, by the best player right.

    Args:
        name: a task, as in ``s5lib.envs.make``.
        steps: how many steps the slider shows at most, 60 or fewer. They are spread evenly; where one game is over
            before half of the other, half of them go to the time in which both are played.
        seed: which start.
        options: as in ``s5lib.envs.make``.
    Raises:
        TypeError, ValueError: as in ``s5lib.envs.make``, or ``steps`` is out of range.
    """
    _check_steps(steps)
    env, about = envs.make(name, **options), envs.describe(name, **options)
    _game(env)
    both = _both(env, seed)
    random, best = (f"return {_sum(game, _length(game) - 1):.2f}, {_length(game)} steps" for game in both.values())
    caption = f"{name}, one start, two players. Left: random actions ({random}). Right: best play ({best}): {about.best_policy}."
    sides = [Side(f"{policy} play", METHODS[look]["color"], both[policy]) for policy, look in PLAYERS.items()]
    _slide(name, env, sides, caption, steps)


def record(agent: acting.Playable, params: Params, seed: int = 0) -> tuple[AnyEnv, envs.Episode]:
    """Let a trained agent play one game of its ``eval_env``, acting as in training: its actions are drawn from its policy.

    Args:
        agent: what ``s5lib.ppo.make`` returned.
        params: its weights.
        seed: which start: the same one as in ``watch``.
    Returns:
        The environment without its wrappers, and the ``Episode`` that was played, both as ``draw_game`` takes them.
    """
    env, states = agent.eval_env, 0
    while isinstance(env, envs.Wrapper):
        env, states = env.env, states + 1
    episode = played(agent, params, seed)
    state = episode.state
    for _ in range(states):
        state = state.env_state
    width = env.observation_space(env.default_params).shape[0]  # wrappers append to what is seen
    seen, then = (obs[..., :width] for obs in (episode.obs, episode.next_obs))
    return env, episode._replace(state=state, obs=seen, next_obs=then)


def played(agent: acting.Playable, params: Params, seed: int) -> envs.Episode:
    """One episode of a trained agent, from its reset to its end, with what all wrappers add to states and observations."""
    env = agent.eval_env
    key_reset, key_steps = jax.random.split(random_key(seed))
    start = jax.tree.map(lambda leaf: leaf[None], jax.jit(env.reset_env)(key_reset, env.default_params))
    found = acting.episodes(agent.network, params, env, key_steps, 1, start=start, keep=_episode)
    episode = jax.tree.map(lambda leaf: leaf[:, 0], found.kept)
    space = env.action_space(env.default_params)
    if hasattr(space, "low"):  # what the environment made of it
        episode = episode._replace(action=jnp.clip(episode.action, space.low, space.high))
    return _cut(episode)


def _episode(now: acting.Moment) -> envs.Episode:
    return envs.Episode(*(getattr(now, name) for name in envs.Episode._fields))


def watch_agents(agents: Mapping[str, tuple[acting.Playable, Params]], steps: int = 20, seed: int = 0) -> None:
    """Display one start played by two trained agents, side by side, with a slider over the steps.

    Args:
        agents: two of them: the memory, a key of ``s5lib.viz.METHODS`` -> (the agent, its weights). Both play one task.
        steps: as in ``watch``.
        seed: which start: the same one as in ``watch``.
    Raises:
        TypeError, ValueError: not two agents of one task that can be drawn, an unknown memory, or ``steps`` out of range.
    """
    _check_steps(steps)
    for memory in agents:
        check_choice("a key of agents", memory, list(METHODS))
    played = {memory: record(agent, params, seed) for memory, (agent, params) in agents.items()}
    worlds = [env for env, _ in played.values()]
    if len(worlds) != 2 or worlds[0] != worlds[1]:
        raise ValueError(f"agents must be two that play one task; got {', '.join(map(str, worlds)) or 'none'}")
    name = next(iter(agents.values()))[0].config.env
    sides = [
        Side(METHODS[memory]["label"], METHODS[memory]["color"], episode) for memory, (_, episode) in played.items()
    ]
    left, right = (
        f"{side.title} (return {_sum(side.episode, _length(side.episode) - 1):.2f}, {_length(side.episode)} steps)"
        for side in sides
    )
    _slide(name, worlds[0], sides, f"{name}, one start, two trained agents. Left: {left}. Right: {right}.", steps)


@dataclass(frozen=True)
class Side:
    """One half of a picture: who plays, its colour, and the game that was played."""

    title: str
    color: str
    episode: envs.Episode


def _check_steps(steps: Any) -> None:
    if check_positive_int("steps", steps) > 60:
        raise ValueError(f"steps must be 60 or fewer, for the page holds them all; got {steps}")


def _slide(name: str, env: AnyEnv, sides: list[Side], caption: str, steps: int) -> None:
    """Show two games with one slider over their steps."""
    game = _game(env)
    shown = _spread(steps, *sorted(_length(side.episode) for side in sides))

    def alt(t: int) -> str:
        parts = []
        for side in sides:
            last = min(t, _length(side.episode) - 1)
            over = "" if last == t else f" (over after {last + 1} steps)"
            said, total = game.says(env, side.episode, last), _sum(side.episode, last)
            parts.append(f"{side.title} {said}{over}, return so far {total:.2f}")
        return f"{name} at step {t}. {'; '.join(parts)}."

    explore(
        lambda t: _side_by_side(env, sides, t),
        caption=f"{caption} {game.legend}",
        alt=alt,
        labels={"t": "step"},
        start={"t": shown[len(shown) // 3]},
        t=shown,
    )


def _spread(steps: int, shorter: int, longer: int) -> list[int]:
    def evenly(first: int, last: int, count: int) -> set[int]:
        return set(np.linspace(first, last, min(count, last - first + 1)).round().astype(int).tolist())

    if longer <= steps or 2 * shorter > longer:
        return sorted(evenly(0, longer - 1, steps))
    together = evenly(0, shorter - 1, steps // 2)
    return sorted(together | evenly(shorter, longer - 1, steps - len(together)))


def _side_by_side(env: AnyEnv, sides: list[Side], t: int) -> Figure:
    """Both players at step t, or where their game ended, and beneath how the return grew."""
    fig = plt.figure(figsize=(5.6, 4.9), layout="none")
    below = fig.add_axes((0.13, 0.115, 0.84, 0.13))
    for place, side in enumerate(sides):
        last = min(t, _length(side.episode) - 1)
        ax = fig.add_axes((0.015 + 0.5 * place, 0.295, 0.47, 0.62))
        draw_game(ax, env, side.episode, last)
        over = "" if last == t else f", over at {last}"
        head = {"ha": "center", "va": "center", "fontsize": 13, "color": side.color}
        fig.text(0.25 + 0.5 * place, 0.955, side.title + over, **head)
        grown = np.cumsum(side.episode.reward)
        below.plot(np.arange(len(grown)), grown, color=side.color, linestyle=("--", "-")[place], linewidth=1.6)
        below.plot(last, grown[last], "o", color=side.color, markersize=6, clip_on=False)
    below.axvline(t, color="#B0B0B0", linewidth=1)
    below.set(xlabel="step", ylabel="return")
    below.margins(y=0.12)
    below.tick_params(labelsize=10.5)
    below.locator_params(axis="x", nbins=6, integer=True)
    below.locator_params(axis="y", nbins=3)
    return fig
