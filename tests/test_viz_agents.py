"""Agents drawn: what is known when, a score against a size, and the settings of stored runs."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from s5lib import experiments, ppo, records
from s5lib.viz import METHODS, agents

RESETS = np.array([1, 0, 0, 1, 0, 1], bool)
TERMINATED = np.array([0, 0, 1, 0, 0, 0], bool)
TRUNCATED = np.array([0, 0, 0, 0, 1, 0], bool)


pytestmark = pytest.mark.usefixtures("book_style")


def drawn(moment=None):
    return agents.timeline(RESETS, TERMINATED, TRUNCATED, moment).axes[0]


def row(ax, y):
    """The texts at a height, from left to right, and whether each is drawn as known."""
    found = sorted(
        (
            (text.get_position()[0], text)
            for text in ax.texts
            if text.get_position()[1] == y and text.get_position()[0] >= -0.4
        ),
        key=lambda pair: pair[0],
    )
    return [(text.get_text(), text.get_color() != agents.UNKNOWN) for _, text in found if text.get_text()]


def test_every_flag_stands_at_its_time():
    ax = drawn()
    for name, flags in (("resets", RESETS), ("terminated", TERMINATED), ("truncated", TRUNCATED)):
        assert row(ax, agents.ROWS[name]) == [(str(int(flag)), True) for flag in flags]


def test_the_carry_is_cut_where_an_episode_opens_and_nowhere_else():
    ax = drawn()
    cuts = sorted(line.get_xdata()[0] + 0.5 for line in ax.lines if line.get_linewidth() == 4)
    assert cuts == [0, 3, 5]
    arrows = sorted(note.xy[0] + 0.26 for note in ax.texts if getattr(note, "arrow_patch", None))
    assert np.allclose(arrows, [1, 2, 4])
    zeros = [text for text, _ in row(ax, agents.ROWS["carry"]) if text == "0"]
    assert len(zeros) == 3


def test_the_value_ahead():
    """0 after a termination, the episode's own last observation after a cut, else the next; and from which carry."""
    values = [text for text, _ in row(drawn(), agents.NEXT)]
    assert values == [
        "$V(o_{t+1})$\n$h_{t}$", "$V(o_{t+2})$\n$h_{t+1}$", "0", "$V(o_{t+4})$\n$h_{t+3}$", "$V(o^{\\ast})$\n$h_{t+4}$",
        "$V(o_{t+6})$\n$h_{t+5}$",
    ]  # fmt: skip


@pytest.mark.parametrize("moment", range(12))
def test_nothing_is_known_too_early(moment):
    """Observation and reset are known when read; reward and flags when the step has returned; V of the next when that is read."""
    ax = drawn(moment)
    read, returned = [moment >= 2 * t for t in range(6)], [moment >= 2 * t + 1 for t in range(6)]
    for name, known in (("resets", read), ("observation", read), ("action", read), ("reward", returned)):
        assert [flag for _, flag in row(ax, agents.ROWS[name])] == known, name
    for name in ("terminated", "truncated"):
        assert [flag for _, flag in row(ax, agents.ROWS[name])] == returned
    ended = TERMINATED | TRUNCATED
    ahead = [returned[t] if ended[t] else moment >= 2 * t + 2 for t in range(6)]
    assert [flag for _, flag in row(ax, agents.NEXT)] == ahead


def test_flags_that_contradict_each_other():
    with pytest.raises(ValueError, match="one step after"):
        agents.timeline(np.roll(RESETS, 1), TERMINATED, TRUNCATED)
    with pytest.raises(ValueError, match="truncated"):
        agents.timeline(RESETS, TERMINATED, TRUNCATED[:-1])
    agents.timeline(np.array([0, 0]), np.array([0, 0], bool), np.array([0, 0], bool))  # in the middle of an episode


def test_sweep_draws_every_seed_and_the_means():
    ax = plt.figure().add_subplot()
    agents.sweep(ax, {8: [0.5, 1.0, 1.0], 2: [1.0], 4: []}, "lstm", shift=1.1)
    line, *points = ax.lines
    assert list(line.get_xdata()) == [2, 8] and np.allclose(line.get_ydata(), [1.0, 2.5 / 3])
    assert line.get_color() == METHODS["lstm"]["color"] and line.get_label() == "LSTM (1 to 3 seeds)"
    assert [list(dots.get_ydata()) for dots in points] == [[1.0], [0.5, 1.0, 1.0]]
    assert np.allclose(points[1].get_xdata(), 8.8)
    assert ax.get_xscale() == "log"


def test_sweep_of_nothing_draws_nothing():
    ax = plt.figure().add_subplot()
    agents.sweep(ax, {}, "s5")
    agents.sweep(ax, {4: []}, "s5")
    assert not ax.lines
    with pytest.raises(ValueError, match="method"):
        agents.sweep(ax, {4: [1.0]}, "s6")


def test_a_recipe_is_what_the_stored_runs_were_made_with():
    columns = {
        "S5": ("memory-length-32-s5", "memory-length-s5"),
        "GRU": ("projected-worlds-gru", "projected-worlds-gru"),
    }
    head, _, *lines = agents.recipe(columns).splitlines()
    assert head == "| | S5 | GRU |"
    found = {cells[1].strip(): [cell.strip() for cell in cells[2:4]] for cells in (line.split("|") for line in lines)}
    for place, (name, tuned) in enumerate(columns.values()):
        config = vars(ppo.PPOConfig()) | records.stored(name)[0].config
        rates = [one["lr"] for one in experiments.tuning()[tuned]["tries"]]
        assert found["step size"][place].split(",")[0] == f"{config['lr']:g}"
        assert found["of those tried"][place].endswith("at the edge") == (config["lr"] in (min(rates), max(rates)))
        assert found["gamma, lambda"][place] == f"{config['gamma']:g}, {config['gae_lambda']:g}"
    assert found["pace of slow parameters"][1] == ""
    with pytest.raises(ValueError, match="Did you mean 'memory-length-s5'"):
        agents.recipe({"S5": ("memory-length-32-s5", "memory-length-s6")})
