"""Playing by hand: what is seen is what an agent sees, buttons move the game, and without a kernel both players are watched."""

import re
import warnings

import matplotlib

matplotlib.use("Agg")

import IPython
import ipywidgets
import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest

from s5lib import envs
from s5lib.viz import byhand, games

NAMES = [  # a game need not be drawn
    name
    for name in envs.env_names()
    if name.endswith(("Easy", "MemoryChain")) and type(envs.make(name)).__name__ in games.GAMES
]


@pytest.fixture(autouse=True)
def tidy():
    yield
    plt.close("all")
    matplotlib.rcdefaults()


@pytest.fixture
def displayed(monkeypatch):
    shown = []
    monkeypatch.setattr(IPython.display, "display", shown.append)
    return shown


@pytest.fixture
def desk(displayed, monkeypatch):
    """Start a game with a live kernel; return its desk."""
    monkeypatch.setattr(byhand, "in_kernel", lambda: True)
    monkeypatch.delenv("S5LIB_BUILD", raising=False)
    made = []
    original = byhand._Desk.__init__
    monkeypatch.setattr(byhand._Desk, "__init__", lambda self, *args: made.append(self) or original(self, *args))

    def start(name, **options):
        byhand.play(name, **options)
        assert displayed[-1] is made[-1].page
        return made[-1]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # ipywidgets asks for a kernel that this test does not have
        yield start


def button(desk, name):
    (found,) = [button for button in (*desk.moves, desk.best, desk.again) if button.description == name]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_best_player_by_hand_earns_what_it_earns_in_play(name):
    env = envs.make(name)
    hand, steps = byhand.Hand(env, seed=3), 25
    while not hand.over and hand.t < steps:
        hand.move(hand.best())
        assert hand.seen()
    episode = hand.episode()
    assert hand.total == pytest.approx(episode.reward.sum(), abs=1e-5) and len(episode.reward) == hand.t <= steps
    start = jax.tree.map(np.asarray, envs.play(env, jax.random.key(3), "best"))
    assert jax.tree.all(jax.tree.map(lambda mine, other: (mine[0] == other[0]).all(), episode.state, start.state))
    if not hasattr(env, "noise_sigma") and "Bandit" not in name:  # nothing random after the start: the same game
        np.testing.assert_allclose(episode.reward, start.reward[: hand.t], atol=1e-6)
        np.testing.assert_allclose(episode.obs, start.obs[: hand.t], atol=1e-5)


def test_a_hand_stops_at_the_end_and_refuses_what_is_no_action():
    hand = byhand.Hand(envs.make("RepeatPreviousEasy"))
    with pytest.raises(ValueError, match="no step was taken"):
        hand.episode()
    with pytest.raises(ValueError, match=r"action must lie in .*; got 4"):
        hand.move(4)
    while not hand.over:
        hand.move(hand.best())
    assert hand.t == 51 and hand.total == pytest.approx(1.0)
    with pytest.raises(ValueError, match="over after 51 steps"):
        hand.move(0)


def plain(text):
    """The words of a piece of HTML."""
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


def test_what_is_seen_hides_what_is_hidden():
    suits = "♠♦♣♥"
    hand = byhand.Hand(envs.make("RepeatPreviousEasy"))
    cards = hand._state.suits
    for t in range(6):
        assert plain(hand.seen()) == suits[cards[t]], "the card in view, and no other"
        hand.move(0)
    hand = byhand.Hand(envs.make("ConcentrationEasy"))
    assert not set("BR") & set(plain(hand.seen()))
    hand.move(7)
    assert plain(hand.seen()).count("B") + plain(hand.seen()).count("R") == 1
    assert plain(hand.seen()).split()[7] == "BR"[hand._state.cards[7]]
    hand = byhand.Hand(envs.make("BattleshipEasy"))
    assert plain(hand.seen()) == "nothing yet"
    hand.move(hand.best())
    assert plain(hand.seen()) == "hit"
    hand.move(hand.rows[0][2])
    assert plain(hand.seen()) == "miss", "a second shot at one square is a miss"
    hand = byhand.Hand(envs.make("MultiarmedBanditEasy"))
    for _ in range(20):
        hand.move(3)
        assert plain(hand.seen()) == ("won" if hand.reward > 0 else "lost")
    hand = byhand.Hand(envs.make("CountRecallEasy"))
    shown, asked = (hand._state.values[0], hand._state.queries[0])
    assert plain(hand.seen()) == f"{'BR'[shown]} and how many {'BR'[asked]} so far?"
    hand = byhand.Hand(envs.make("MemoryChain"))
    assert plain(hand.seen()).startswith(f"{hand._state.context[0]} ,")
    hand.move(0)
    hand.move(0)
    assert plain(hand.seen()).startswith("no cue")


def test_autoencode_shows_the_last_card_and_then_asks():
    hand = byhand.Hand(envs.make("AutoencodeEasy"))
    last = "♠♦♣♥"[hand._state.suits[51]]
    for t in range(53):
        seen = plain(hand.seen())
        assert ("watch" in seen) == (t < 51) and ("answer" in seen) == (t >= 51)
        if t == 51:
            assert seen.startswith(last)
        if t == 52:
            assert not set(seen) & set("♠♦♣♥")
        hand.move(hand.best())


def test_positions_are_drawn_where_they_are():
    hand = byhand.Hand(envs.make("PositionOnlyCartPoleEasy"))
    hand.move(1)
    x, theta = (float(number) for number in hand.obs)
    assert f"{x:+.2f} m" in hand.seen() and f"{theta:+.3f} rad" in hand.seen()
    (foot, tip) = [
        [float(found) for found in re.findall(rf'stroke-linecap|x{i}="(\S+)"', hand.seen()) if found] for i in (1, 2)
    ]
    assert tip[-1] - foot[-1] == pytest.approx(1.8 * np.sin(theta), abs=2e-3)
    hand = byhand.Hand(envs.make("VelocityOnlyCartPoleEasy"))
    assert "rad;" in hand.seen(), "the first observation shows positions"
    hand.move(1)
    assert "rad/s" in hand.seen() and "<svg" not in hand.seen()


def test_luck_is_drawn_anew_at_every_step():
    hand = byhand.Hand(envs.make("NoisyPositionOnlyCartPoleEasy"))
    errors = []
    for _ in range(6):
        hand.move(hand.best())
        errors.append(float(hand.obs[0] - hand._state.physics[0]))
    assert len(set(errors)) == 6


def test_buttons_play_a_card_game(desk):
    table = desk("RepeatPreviousEasy")
    assert [move.description for move in table.moves] == list(games.SUITS)
    assert "random play earns -0.50, the best player +1.00" in table.said.value
    assert "the last 4 suits" in table.page.children[0].value
    cards = table.hand._state.suits
    for _ in range(3):
        table.moves[0].click()
    assert table.hand.t == 3 and table.hand.total == 0 and "♠♦♣♥"[cards[3]] in table.seen.value
    table.moves[int(cards[0])].click()
    assert "reward +0.021" in table.said.value and table.hand.total == pytest.approx(1 / 48)
    table.moves[int(cards[1] + 1) % 4].click()
    assert "reward -0.021" in table.said.value and table.hand.total == pytest.approx(0)


def test_the_table_is_shown_when_asked_for_and_at_the_end(desk):
    table = desk("RepeatPreviousEasy")
    table.moves[0].click()
    assert table.table.value == ""
    table.peek.value = True
    assert "<img" in table.table.value and "Your last step, number 0" in table.table.value
    table.peek.value = False
    assert table.table.value == ""
    while not table.hand.over:
        table.best.click()
    assert "<img" in table.table.value and "the game is over" in table.seen.value
    assert all(move.disabled for move in table.moves) and table.best.disabled and not table.again.disabled
    assert "return +1.000" in table.said.value and "the best player +1.00" in table.said.value
    first = table.hand.rows[0][1]
    table.again.click()
    assert table.hand.t == 0 and not table.moves[0].disabled and table.table.value == ""
    assert (np.asarray(table.hand._state.suits) != first.suits).any(), "another start"
    assert plt.get_fignums() == []


def test_boards_have_a_button_a_square(desk):
    table = desk("BattleshipEasy")
    grid = table.page.children[2]
    assert isinstance(grid, ipywidgets.GridBox) and len(grid.children) == 64
    button(table, "2,5").click()
    assert table.hand.rows[0][2].tolist() == [2, 5]
    table = desk("ConcentrationHard")
    button(table, "51").click()
    assert table.hand.rows[0][2] == 51


def test_a_slider_for_a_torque(desk):
    table = desk("PositionOnlyPendulumEasy")
    slider, act = table.page.children[2].children
    assert (slider.min, slider.max) == (-2.0, 2.0)
    slider.value = 1.5
    act.click()
    assert table.hand.rows[0][2].tolist() == [1.5] and "reward +0." in table.said.value


def test_names_of_actions_are_the_games_own(desk):
    assert [move.description for move in desk("PositionOnlyCartPoleEasy").moves] == ["push left", "push right"]
    table = desk("HigherLowerEasy")
    ranks = table.hand._state.ranks
    button(table, "higher").click()
    assert np.sign(table.hand.reward) == np.sign(int(ranks[1]) - int(ranks[0]))
    assert len(desk("CountRecallEasy").moves) == 27


@pytest.mark.parametrize(
    "name, seen, first",
    [
        ("DarkKeyToDoorEasy", "no key; step 0", "left"),
        ("MazeRunnerEasy", "go to: row", "0"),
        ("MetaFrozenLakeEasy", "attempt 0 begins", "0"),
        ("PackageDeliveryEasy", "deliver to: place", "forward"),
        ("TMazeEasy", "the cue: ", "left"),
    ],
)
def test_worlds_with_goals_are_played_by_hand(desk, name, seen, first):
    table = desk(name)
    assert seen in table.seen.value and table.moves[0].description == first
    table.moves[0].click()
    table.best.click()
    table.peek.value = True
    assert table.hand.t == 2 and "Error" not in table.said.value and "<img" in table.table.value


def test_an_error_in_a_button_is_shown(desk, monkeypatch):
    table = desk("RepeatPreviousEasy")
    monkeypatch.setattr(byhand.Hand, "move", lambda self, action: 1 / 0)
    table.moves[0].click()
    assert "ZeroDivisionError" in table.said.value


def test_options_and_seeds_are_passed_on(desk):
    assert desk("RepeatPreviousHard", k=10).env.k == 10
    one, other = desk("RepeatPreviousEasy", seed=1), desk("RepeatPreviousEasy", seed=2)
    assert (one.hand._state.suits != other.hand._state.suits).any()


def test_while_the_book_is_built_both_players_are_watched(displayed, monkeypatch):
    monkeypatch.setenv("S5LIB_BUILD", "1")
    monkeypatch.setattr(byhand, "in_kernel", lambda: True)
    asked = []
    monkeypatch.setattr(games, "watch", lambda name, **options: asked.append((name, options)))
    byhand.play("MineSweeperEasy", seed=4, num_mines=3)
    assert asked == [("MineSweeperEasy", {"seed": 4, "num_mines": 3})] and displayed == []


def test_without_a_kernel_a_figure_is_shown(displayed, monkeypatch):
    monkeypatch.delenv("S5LIB_BUILD", raising=False)
    byhand.play("MineSweeperEasy")
    assert "[figure] MineSweeperEasy, one start, two players" in repr(displayed[0])


def test_an_unknown_task():
    with pytest.raises(ValueError, match="no environment is called 'RepeatPreviousEase'"):
        byhand.play("RepeatPreviousEase")


def test_every_family_says_what_it_needs_and_shows_what_it_shows():
    """Each of the original package at least; a game of one's own need not."""
    import popgym.envs

    kinds = {type(envs.make(kind.__name__)).__name__ for kind in popgym.envs.ALL}
    assert set(byhand.NEEDS) == set(byhand.SHOWS) == set(games.GAMES) >= kinds | {"MemoryChain"}
