"""Games drawn: every task at every moment, what is seen apart from what is hidden, and both players beside each other."""

import json
import re
from functools import cache

import matplotlib

matplotlib.use("Agg")

import IPython
import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest
from bs4 import BeautifulSoup
from matplotlib.colors import to_hex

from s5lib import envs, ppo
from s5lib.viz import games, pieces

NAMES = [  # a game need not be drawn
    name
    for name in envs.env_names()
    if name.endswith(("Easy", "MemoryChain")) and type(envs.make(name)).__name__ in games.GAMES
]


pytestmark = pytest.mark.usefixtures("book_style")


@cache
def played(name, policy="best"):
    env = envs.make(name)
    return env, jax.tree.map(np.asarray, jax.jit(lambda key: envs.play(env, key, policy))(jax.random.key(1)))


def drawn(name, t, policy="best"):
    env, episode = played(name, policy)
    fig = plt.figure(figsize=(2.8, 3.4), layout="none")
    ax = fig.add_axes((0.05, 0.04, 0.9, 0.92))
    games.draw_game(ax, env, episode, t)
    return ax


def words(ax):
    return [text.get_text() for text in ax.texts if text.get_text()]


def frames(ax, color):
    """The places of all frames of a colour: (column, row) of their lower left corner, in units of their own size."""
    return sorted(
        (round(patch.get_x() / patch.get_width(), 1), round(patch.get_y() / patch.get_height(), 1))
        for patch in ax.patches
        if isinstance(patch, plt.Rectangle) and not patch.get_fill() and to_hex(patch.get_edgecolor()) == color.lower()
    )


def grounds(ax):
    """How many tiles of a board have which ground."""
    colors = [to_hex(color) for color in ax.collections[0].get_facecolors()]
    return {color: colors.count(color) for color in set(colors)}


@pytest.mark.parametrize("name", NAMES)
def test_every_task_is_drawn_from_its_first_step_to_its_last(name):
    _, episode = played(name)
    length = int(episode.active.sum())
    pictures = []
    for t in sorted({0, length // 2, length - 1}):
        ax = drawn(name, t)
        ax.figure.canvas.draw()
        said, earned = words(ax)[-2:]
        assert re.match(r"(says|watches|waits|shoots|opens|turns|pulls|pushes|torque|goes) ?", said)
        reward, total = re.fullmatch(r"reward (\S+), sum (\S+)", earned).groups()
        assert float(reward) == pytest.approx(episode.reward[t], abs=6e-4)
        assert float(total) == pytest.approx(episode.reward[: t + 1].sum(), abs=6e-4)
        pictures.append(np.asarray(ax.figure.canvas.buffer_rgba())[..., :3])
        inside = (pictures[-1][4:-4, 4:-4] != 255).any(-1).sum()
        assert inside == (pictures[-1] != 255).any(-1).sum() > 500, "something is drawn, and nothing beyond the edge"
    assert (pictures[0] != pictures[-1]).any()


@pytest.mark.parametrize(
    "name", [name.replace("Easy", "Hard") for name in NAMES if name.startswith(("Ba", "Co", "Mu"))]
)
def test_hard_ones_too(name):
    drawn(name, 5).figure.canvas.draw()


@pytest.mark.parametrize("t", [-1, 51, 2.0, True, "0", None])
def test_a_step_that_is_not_there(t):
    with pytest.raises(ValueError, match="t must be a step of this episode, an integer from 0 to 50; got"):
        drawn("RepeatPreviousEasy", t)


def test_a_step_after_the_end():
    _, episode = played("BattleshipEasy")
    assert episode.active.sum() == 12 < len(episode.active)
    with pytest.raises(ValueError, match="from 0 to 11; got 12"):
        drawn("BattleshipEasy", 12)


def test_what_nobody_can_draw():
    env, episode = played("RepeatPreviousEasy")
    with pytest.raises(
        TypeError, match=r"env must be one of .*RepeatPrevious, TMaze, without wrappers, .*got PreviousAction"
    ):
        games.draw_game(plt.figure().add_subplot(), envs.PreviousAction(env), episode, 0)


def test_repeat_previous_tells_seen_from_asked():
    env, episode = played("RepeatPreviousEasy")
    early, late = drawn("RepeatPreviousEasy", 2), drawn("RepeatPreviousEasy", 20)
    assert grounds(early) == {pieces.KNOWN.lower(): 3, pieces.HIDDEN.lower(): 49}
    assert grounds(late) == {pieces.KNOWN.lower(): 21, pieces.HIDDEN.lower(): 31}
    assert len(frames(early, pieces.SEEN)) == 1 and frames(early, pieces.ASKED) == []
    side = 10 / 8
    for color, card in ((pieces.SEEN, 20), (pieces.ASKED, 17)):
        (patch,) = [patch for patch in late.patches if to_hex(patch.get_edgecolor()) == color.lower()]
        assert (10 - patch.get_y()) // side * 8 + patch.get_x() // side == card
    suits = "♠♦♣♥"
    assert "waits" in words(early)
    assert words(late)[-2].startswith(f"says {suits[episode.state.suits[20][20 - env.k + 1]]}")


def test_repeat_first_and_memory_chain_stop_showing_what_is_asked():
    assert len(frames(drawn("MemoryChain", 1), pieces.SEEN)) == 2, "the cue and the clock"
    assert len(frames(drawn("MemoryChain", 2), pieces.SEEN)) == 1, "the clock alone"
    assert "17 cards ago" in words(drawn("RepeatFirstEasy", 17)) and "the same card" in words(
        drawn("RepeatFirstEasy", 0)
    )


def test_autoencode_marks_answers():
    assert pieces.RIGHT.lower() not in grounds(drawn("AutoencodeEasy", 40))
    half = grounds(drawn("AutoencodeEasy", 51 + 20))
    assert half == {pieces.RIGHT.lower(): 20, pieces.KNOWN.lower(): 32}
    assert grounds(drawn("AutoencodeEasy", 51 + 20, "random"))[pieces.WRONG.lower()] > 5


def test_count_recall_shows_the_counts():
    _, episode = played("CountRecallEasy")
    shown = words(drawn("CountRecallEasy", 30))
    assert {str(count) for count in episode.state.counts[30]} <= set(shown) and sum(episode.state.counts[30]) == 31
    assert shown[-2] == f"says {episode.state.counts[30][episode.state.queries[30][30]]}"


def test_higher_lower_shows_what_is_left():
    ax = drawn("HigherLowerEasy", 50)
    heights = [bar.get_height() for bar in ax.containers[0]]
    assert len(heights) == 13 and sum(height > 0 for height in heights) == 1


def test_battleship_shows_hits_and_hidden_ships():
    assert grounds(drawn("BattleshipEasy", 0)) == {pieces.HIDDEN.lower(): 52, "#a8a8a8": 12}
    ax = drawn("BattleshipEasy", 5)
    assert grounds(ax) == {pieces.HIDDEN.lower(): 52, "#a8a8a8": 7, pieces.WRONG.lower(): 5}
    assert len(frames(ax, pieces.SEEN)) == len(frames(ax, pieces.ACTION)) == 1


def test_minesweeper_counts_as_the_game_does():
    env, episode = played("MineSweeperEasy")
    counted = grounds(drawn("MineSweeperEasy", 6))
    assert counted == {pieces.KNOWN.lower(): 6, pieces.HIDDEN.lower(): 10}
    glyphs = drawn("MineSweeperEasy", 6).collections[1:]
    assert sum(len(scatter.get_offsets()) for scatter in glyphs) == 6 + env.num_mines
    shown = {number: np.sum(np.argmax(episode.obs[1:7], -1) == number) for number in range(3)}
    assert sorted(len(s.get_offsets()) for s in glyphs) == sorted([env.num_mines, *(n for n in shown.values() if n)])


def test_concentration_shows_what_the_observation_shows():
    _, episode = played("ConcentrationEasy")
    t = 21
    shown = episode.obs[t].reshape(52, 3).argmax(-1) < 2
    ax = drawn("ConcentrationEasy", t)
    assert grounds(ax)[pieces.RIGHT.lower()] == episode.state.face_up[t].sum()
    assert len(frames(ax, pieces.SEEN)) == (shown & ~episode.state.face_up[t]).sum() > 0


def test_bandit_counts_pulls():
    _, episode = played("MultiarmedBanditEasy", "random")
    ax = drawn("MultiarmedBanditEasy", 100, "random")
    chances, shares = ([bar.get_height() / 6.6 for bar in bars] for bars in ax.containers)
    assert np.allclose(chances, episode.state.arms[0])
    arm = int(episode.action[99])
    mine = episode.action[:100] == arm
    assert shares[arm] == pytest.approx(np.mean(episode.reward[:100][mine] > 0))
    assert f"arm {arm} {'won' if episode.reward[99] > 0 else 'lost'}" in words(ax)


def test_poles_and_pendulums_point_the_right_way():
    ax = drawn("PositionOnlyCartPoleEasy", 30)
    x, _, theta, _ = played("PositionOnlyCartPoleEasy")[1].state.physics[30]
    pole = next(line for line in ax.lines if line.get_linewidth() == 5)
    (foot, tip), (low, high) = pole.get_data()
    assert foot == pytest.approx(5 + 1.9 * x) and np.arctan2(tip - foot, high - low) == pytest.approx(theta, abs=1e-5)
    assert to_hex(pole.get_color()) == pieces.SEEN.lower()
    assert sum(line.get_linewidth() == 5 for line in drawn("NoisyPositionOnlyCartPoleEasy", 30).lines) == 2
    hidden = [line for line in drawn("VelocityOnlyCartPoleEasy", 30).lines if line.get_linewidth() == 5]
    assert to_hex(hidden[0].get_color()) != pieces.SEEN.lower()

    ax = drawn("PositionOnlyPendulumEasy", 3)
    cos, sin = played("PositionOnlyPendulumEasy")[1].obs[3]
    (x0, x1), (y0, y1) = next(line for line in ax.lines if line.get_linewidth() == 8).get_data()
    assert (y1 - y0) / 3.7 == pytest.approx(cos, abs=1e-5) and (x0 - x1) / 3.7 == pytest.approx(sin, abs=1e-5)


def test_labyrinth_shows_the_view_alone_at_first():
    _, episode = played("LabyrinthEscapeEasy")
    ax = drawn("LabyrinthEscapeEasy", 0)
    shades = np.asarray(ax.images[0].get_array())
    assert np.isin(shades, (0.25, 1.0)).sum() == 6, "at the edge the view holds two rows of three"
    later = np.asarray(drawn("LabyrinthEscapeEasy", 10).images[0].get_array())
    rows, columns = np.indices(later.shape)
    near = [(abs(rows - row) <= 1) & (abs(columns - column) <= 1) for row, column in episode.state.position[:11]]
    assert (np.isin(later, (0.25, 1.0)) == np.any(near, axis=0)).all()
    assert (later == 1.0)[episode.state.explored[10]].all()


@pytest.fixture
def displayed(monkeypatch):
    shown = []
    monkeypatch.setattr(IPython.display, "display", shown.append)
    monkeypatch.setenv("S5LIB_BUILD", "1")
    return shown


def test_watch_shows_both_players_of_one_start(displayed):
    games.watch("BattleshipEasy", steps=6)
    (element,) = displayed
    page = BeautifulSoup(element._repr_html_(), "html.parser")
    store = json.loads(page.find("script", type="application/json").string)
    (slider,) = store["values"]
    assert len(slider) == len(store["frames"]) == len(set(store["frames"])) == len(set(store["alts"])) <= 6
    assert slider[0] == "0" and "11" in slider, "the last step of the shorter game"
    assert "best play shoots" in store["alts"][0] and "over after 12 steps" in store["alts"][-1]
    (caption,) = set(store["captions"])
    assert "return 1.00, 12 steps" in caption and "sees where the ships are" in caption and "Cross: a hit." in caption
    assert plt.get_fignums() == []


def test_both_players_begin_alike():
    both = games._both(envs.make("MineSweeperEasy"), seed=3)
    assert list(both) == ["random", "best"]
    assert (both["random"].state.mines[0] == both["best"].state.mines[0]).all()
    assert both["best"].active.all() and both["random"].active.all()
    other = games._both(envs.make("MineSweeperEasy"), seed=4)
    assert (other["best"].state.mines[0] != both["best"].state.mines[0]).any()


def test_steps_are_spread():
    assert games._spread(10, 4, 6) == list(range(6))
    even = games._spread(10, 60, 100)
    assert len(even) == 10 and even[0] == 0 and even[-1] == 99 and set(np.diff(even)) == {11}
    early = games._spread(10, 12, 1000)
    assert len(early) == 10 and early[-1] == 999 and sum(t < 12 for t in early) == 5 and 11 in early
    assert games._spread(24, 5, 1000)[:6] == [0, 1, 2, 3, 4, 5] and len(games._spread(24, 5, 1000)) == 24


@pytest.mark.parametrize("wrong, error", [({"steps": 61}, "steps must be 60 or fewer"), ({"steps": 0}, "steps")])
def test_watch_refuses(wrong, error):
    with pytest.raises(ValueError, match=error):
        games.watch("RepeatPreviousEasy", **wrong)
    with pytest.raises(ValueError, match="no environment is called"):
        games.watch("RepeatPreviousEase")


def agent_of(name, memory="gru", sure=True):
    """An untrained agent and its weights; a sure one always does what its policy likes best."""
    options = {"attention": {"window": 32}, "s5": {"state_size": 16}}.get(memory, {})
    config = ppo.PPOConfig(
        name, memory=memory, features=16, memory_options=tuple(options.items()), num_envs=2, num_minibatches=1
    )
    agent = ppo.make(config)
    params = agent.init(jax.random.key(0)).params
    if sure:
        params["params"]["policy"]["kernel"] *= 1e6
    return agent, params


@pytest.mark.parametrize("name, memory", [("RepeatPreviousEasy", "gru"), ("MineSweeperEasy", "s5")])
def test_a_recorded_game_is_what_the_agent_does(name, memory):
    agent, params = agent_of(name, memory)
    env, episode = games.record(agent, params, seed=5)
    assert env == envs.make(name) and episode.active.all() and (episode.terminated | episode.truncated)[-1]
    assert episode.obs.shape[-1] == env.observation_space(None).shape[0], "what wrappers appended is gone"
    start = envs.play(env, jax.random.key(5))
    assert jax.tree.all(jax.tree.map(lambda mine, other: (mine[0] == other[0]).all(), episode.state, start.state))
    # Replayed, the actions earn the same; and read in one call, the same observations lead to the same actions.
    wrapped = agent.env
    obs, state = wrapped.reset_env(jax.random.split(jax.random.key(5))[0], wrapped.default_params)
    seen, total = [], 0.0
    for action in episode.action:
        seen.append(obs)
        obs, state, reward, *_ = wrapped.step_env(jax.random.key(0), state, action, wrapped.default_params)
        total += float(reward)
    assert total == pytest.approx(episode.reward.sum(), abs=1e-5)
    T = len(seen)
    resets = np.zeros((T, 1), bool)
    _, policy, _ = agent.network.apply(params, agent.network.initial_carry(1), np.stack(seen)[:, None], resets)
    assert (np.asarray(policy.mode())[:, 0] == episode.action).all()


def test_recorded_torques_stay_in_their_box():
    agent, params = agent_of("PositionOnlyPendulumEasy", sure=False)
    params["params"]["log_std"] = np.full(1, 2.0, np.float32)
    _, episode = games.record(agent, params)
    assert np.abs(episode.action).max() == 2.0 and len(np.unique(episode.action)) > 20


def test_two_agents_are_watched_side_by_side(displayed):
    games.watch_agents({"gru": agent_of("RepeatPreviousEasy"), "none": agent_of("RepeatPreviousEasy", "none")}, steps=4)
    page = BeautifulSoup(displayed[0]._repr_html_(), "html.parser")
    store = json.loads(page.find("script", type="application/json").string)
    assert len(store["frames"]) == 4 and "GRU says" in store["alts"][-1] and "no memory says" in store["alts"][-1]
    assert "two trained agents. Left: GRU (return" in store["captions"][0]


def test_watch_agents_refuses():
    easy, other = agent_of("RepeatPreviousEasy"), agent_of("RepeatFirstEasy")
    with pytest.raises(ValueError, match="agents must be two that play one task"):
        games.watch_agents({"gru": easy, "none": other})
    with pytest.raises(ValueError, match="agents must be two that play one task"):
        games.watch_agents({"gru": easy})
    with pytest.raises(ValueError, match="a key of agents must be one of"):
        games.watch_agents({"grue": easy, "none": easy})
