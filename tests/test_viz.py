"""Figures: every one has alt text and a caption, nothing is fetched, and the sliders work with and without a kernel."""

import base64
import functools
import importlib
import io
import json
import re
import subprocess
import sys
import warnings

import matplotlib

matplotlib.use("Agg")

import IPython
import ipywidgets
import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest
from bs4 import BeautifulSoup
from matplotlib.colors import to_rgb
from PIL import Image

from s5lib import stats, viz
from s5lib.memory import KINDS
from s5lib.viz import embed, page


@pytest.fixture
def displayed(monkeypatch):
    """What was displayed, in order, instead of on the terminal."""
    seen = []
    monkeypatch.setattr(IPython.display, "display", seen.append)
    monkeypatch.delenv("S5LIB_BUILD", raising=False)
    viz.use_style()
    yield seen
    assert plt.get_fignums() == [], "a figure was left open, and a notebook would show it twice"
    matplotlib.rcdefaults()


@pytest.fixture
def building(displayed, monkeypatch):
    monkeypatch.setenv("S5LIB_BUILD", "1")
    return displayed


def line(n=2, kind="sin"):
    fig, ax = plt.subplots()
    ax.plot(getattr(np, kind)(np.linspace(0, n, 200)), **viz.style("s5"))
    ax.set_xlabel("time step t")
    return fig


def pixels(uri):
    head, data = uri.split(",", 1)
    assert head.startswith("data:image/") and head.endswith(";base64")
    return Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")


def element(shown):
    """The one figure in what was displayed, after checking that it fetches nothing and names nothing twice."""
    text = shown._repr_html_()
    assert not re.search(r"""(src|href)=["'](?!data:)""", text) and "http" not in re.sub(r"base64,[^\"']*", "", text)
    assert " id=" not in text, "two figures on a page would share it"
    figures = BeautifulSoup(text, "html.parser").find_all("figure")
    assert len(figures) == 1
    return figures[0]


# --- style


def test_methods_stay_apart():
    looks = [(look["color"], str(look["linestyle"])) for look in viz.METHODS.values()]
    assert len(set(looks)) == len(looks) and len({colour for colour, _ in looks}) == len(looks)
    assert viz.METHODS["optimal"]["linestyle"] == viz.METHODS["random"]["linestyle"] == "--"
    assert viz.style("s5", linewidth=3) == {**viz.METHODS["s5"], "linewidth": 3}
    with pytest.raises(ValueError, match=r"method must be one of 's5'.*Did you mean 'gru'"):
        viz.style("grru")


def test_methods_are_the_memories_and_what_they_are_compared_with():
    assert list(viz.METHODS) == [*(kind.name for kind in KINDS), "lstm-open", "optimal", "random"]
    for kind in KINDS:
        assert viz.METHODS[kind.name] == {"color": kind.colour, "linestyle": kind.linestyle, "label": kind.label}
    with matplotlib.rc_context():
        viz.use_style()
        assert plt.rcParams["axes.prop_cycle"].by_key()["color"] == [kind.colour for kind in KINDS]


ALIASES = {
    "curves": ["CENTRES", "bars", "learning_curve", "state_heatmap", "unit_disc"],
    "embed": ["DPI", "MAX_BYTES", "SVG_BYTES"],
    "page": ["MAX_FRAMES", "Words", "explore", "progress", "show", "show_source"],
    "style": ["METHODS", "plt", "style", "use_style"],
}


@pytest.mark.parametrize("home, name", [(home, name) for home, names in ALIASES.items() for name in names])
def test_every_name_of_the_package_is_that_of_its_file(home, name):
    """``viz.style`` is the function, though its file bears that name as well."""
    assert getattr(viz, name) is getattr(importlib.import_module(f"s5lib.viz.{home}"), name)


def test_an_unknown_name_of_viz_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"module 's5lib.viz' has no attribute 'shown'"):
        _ = viz.shown


# --- show


def test_show_embeds_one_image(displayed):
    viz.show(line(), "A wave & its <phase>,\n  one seed.", 'A "sine" < 1')
    figure = element(displayed[0])
    assert figure.img["alt"] == 'A "sine" < 1' and figure.figcaption.text == "A wave & its <phase>, one seed."
    assert figure.img["src"].startswith("data:image/svg+xml;base64,")
    assert "640px" in figure.img["style"]
    assert repr(displayed[0]).startswith("[figure] A wave")


def test_show_is_deterministic_and_opaque(displayed):
    for _ in range(2):
        viz.show(line(), "caption", "alt")
    first, second = (shown._repr_html_() for shown in displayed)
    assert first == second
    svg = base64.b64decode(element(displayed[0]).img["src"].split(",")[1]).decode()
    assert "fill: #ffffff" in svg


def test_heavy_drawings_become_pixels(displayed):
    fig, ax = plt.subplots()
    ax.scatter(*np.random.default_rng(0).normal(size=(2, 5000)))
    viz.show(fig, "caption", "alt")
    image = pixels(element(displayed[0]).img["src"])
    assert image.size == (1024, 576) and image.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(("caption", "alt", "named"), [("", "alt", "caption"), ("c", " \n", "alt"), ("c", None, "alt")])
def test_show_refuses_a_figure_without_words(displayed, caption, alt, named):
    fig = line()
    with pytest.raises(ValueError, match=f"{named} must be a text"):
        viz.show(fig, caption, alt)
    plt.close(fig)


def test_show_refuses_what_is_no_figure(displayed):
    with pytest.raises(TypeError, match="fig must be a matplotlib Figure; got list"):
        viz.show([1], "caption", "alt")


# --- explore, on a page


def test_explore_page_has_every_frame(building):
    ns, kinds = [1, 2, 4.5], ["sin", "cos"]
    viz.explore(
        line,
        caption=lambda n, kind: f"{kind} < {n}",
        alt=lambda n, kind: f"a {kind} of {n}",
        labels={"n": "length N"},
        start={"n": 2},
        n=ns,
        kind=kinds,
    )
    figure = element(building[0])
    assert figure["class"][0] == "s5lib-explore" and repr(building[0]).startswith("[figure with sliders] sin < 2")
    data = json.loads(figure.find("script", type="application/json").string)
    assert data["values"] == [["1", "2", "4.5"], kinds]
    assert data["captions"] == [f"{kind} < {n}" for n in ns for kind in kinds]
    assert data["alts"][5] == "a cos of 4.5"
    sizes = {pixels(frame).size for frame in data["frames"]}
    assert len(data["frames"]) == len(set(data["frames"])) == 6 and len(sizes) == 1
    sliders = figure.find_all("input")
    assert [slider["aria-label"] for slider in sliders] == ["length N", "kind"]
    assert [slider["aria-valuetext"] for slider in sliders] == ["2", "sin"]
    assert [(slider["type"], slider["max"], slider["value"]) for slider in sliders] == [
        ("range", "2", "1"),
        ("range", "1", "0"),
    ]
    assert [label.get_text() for label in figure.find_all("label")] == ["length N = 2", "kind = sin"]
    assert figure.img["src"] == data["frames"][2] and figure.img["alt"] == "a sin of 2"
    assert (int(figure.img["width"]), int(figure.img["height"])) in sizes
    assert figure.find("noscript")


def test_explore_page_is_deterministic(building):
    for _ in range(2):
        viz.explore(line, caption="c", alt="a", n=[1, 2])
    assert building[0]._repr_html_() == building[1]._repr_html_()


def test_explore_fixes_the_canvas(building):
    def draw(n):
        fig, _ = plt.subplots(figsize=(n, 2))
        return fig

    viz.explore(draw, caption="c", alt="a", n=[3, 5, 4])
    frames = json.loads(element(building[0]).find("script").string)["frames"]
    assert {pixels(frame).size for frame in frames} == {(800, 320)}
    assert pixels(frames[0]).getpixel((0, 0)) == (255, 255, 255)


def test_many_busy_frames_are_made_coarser(building, monkeypatch):
    def draw(seed):
        fig, ax = plt.subplots()
        ax.plot(np.random.default_rng(seed).normal(size=(400, 5)).cumsum(0))
        return fig

    viz.explore(draw, caption="c", alt="a", seed=range(4))
    monkeypatch.setattr(embed, "MAX_BYTES", embed.MAX_BYTES * 4 // 60)  # what four frames of sixty may take
    viz.explore(draw, caption="c", alt="a", seed=range(4))
    fine, coarse = (json.loads(element(shown).find("script").string)["frames"] for shown in building)
    assert pixels(fine[0]).width == 1024 > pixels(coarse[0]).width >= 640
    assert sum(map(len, coarse)) < 1.1 * embed.MAX_BYTES < sum(map(len, fine))


def test_rare_colours_survive_the_palette(building, monkeypatch):
    def draw(n):
        fig, ax = plt.subplots()
        fig.colorbar(ax.imshow(np.abs(np.random.default_rng(n).normal(size=(24, 120))), vmax=8))
        return fig

    monkeypatch.setattr(embed, "MAX_BYTES", 0)  # the coarsest palette
    viz.explore(draw, caption="c", alt="a", n=[1, 2])
    colours = np.asarray(pixels(json.loads(element(building[0]).find("script").string)["frames"][0])).reshape(-1, 3)
    yellow = np.array(matplotlib.colormaps["viridis"](1.0)[:3]) * 255
    assert np.abs(colours - yellow).max(1).min() < 20


def test_explore_script_data_cannot_close_its_script(building):
    viz.explore(line, caption="</script><b>", alt="</script>", n=[1])
    figure = element(building[0])
    assert json.loads(figure.find("script").string)["captions"] == ["</script><b>"]


# --- explore, live


@pytest.fixture
def live(displayed, monkeypatch):
    monkeypatch.setattr(page, "in_kernel", lambda: True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # ipywidgets asks for a kernel that this test does not have
        yield displayed


def test_explore_live_redraws(live):
    calls = []

    def draw(n, kind):
        calls.append((n, kind))
        return line(n, kind)

    viz.explore(
        draw, caption=lambda n, kind: f"{kind} to {n}", alt="a", labels={"n": "length N"}, n=[1, 2], kind=["sin", "cos"]
    )
    n, kind, page = live[0].children
    assert isinstance(live[0], ipywidgets.VBox) and (n.description, kind.description) == ("length N", "kind")
    assert calls == [(1, "sin")] and "sin to 1" in page.value
    before = page.value
    n.value = 2
    assert "sin to 2" in page.value and page.value != before
    kind.value = "cos"
    assert "cos to 2" in page.value and calls == [(1, "sin"), (2, "sin"), (2, "cos")]
    kind.value, n.value = "sin", 1
    assert page.value == before and len(calls) == 3, "a frame that was drawn is remembered"


def test_explore_live_shows_an_error_of_draw(live):
    def draw(n):
        if n == 2:
            raise RuntimeError("no <two>")
        return line()

    viz.explore(draw, caption="c", alt="a", n=[1, 2])
    slider, page = live[0].children
    slider.value = 2
    assert "RuntimeError: no &lt;two&gt;" in page.value
    slider.value = 1
    assert "<img" in page.value


def test_explore_in_a_terminal_shows_the_first_frame(displayed):
    viz.explore(line, caption=lambda n: f"to {n}", alt="a", start={"n": 3}, n=[1, 3])
    assert repr(displayed[0]) == "[figure] to 3"


@pytest.mark.parametrize("mode", ["building", "live", "displayed"])
def test_explore_checks_its_arguments_in_every_mode(mode, request):
    request.getfixturevalue(mode)
    explore = functools.partial(viz.explore, line, caption="c", alt="a")
    with pytest.raises(ValueError, match="axes must be one or more names"):
        explore()
    with pytest.raises(ValueError, match="axes must be one or more names"):
        explore(n=[])
    with pytest.raises(ValueError, match=r"60 combinations at most.*got 9 \(n\) x 7 \(kind\) = 63"):
        explore(n=range(9), kind=range(7))
    with pytest.raises(ValueError, match="a key of labels must be one of 'n'; got 'm'"):
        explore(n=[1], labels={"m": "M"})
    with pytest.raises(ValueError, match=r"start\['n'\] must be one of \[1\]; got 2"):
        explore(n=[1], start={"n": 2})
    with pytest.raises(ValueError, match="alt must be a text"):
        viz.explore(lambda n: line(), caption="c", alt=lambda n: "", n=[1])
    plt.close("all")
    with pytest.raises(TypeError, match="draw returns must be a matplotlib Figure; got NoneType"):
        viz.explore(lambda n: None, caption="c", alt="a", n=[1])


# --- kinds of figure


@pytest.fixture
def ax(displayed):
    fig, axes = plt.subplots()
    yield axes
    fig.canvas.draw()
    plt.close(fig)


def test_state_heatmap(ax):
    states = np.array([[3 + 4j, 0], [1, 2], [0, 1j]])
    image = viz.state_heatmap(ax, states, np.array([True, False, True]), vmax=5)
    assert image.get_array().tolist() == [[5, 1, 0], [0, 2, 1]] and image.get_clim() == (0, 5)
    assert {mark.get_xdata()[0] for mark in ax.lines} == {-0.5, 1.5}
    with pytest.raises(ValueError, match=r"states must have shape \(T, P\); got \(3,\)"):
        viz.state_heatmap(ax, np.zeros(3))
    with pytest.raises(ValueError, match=r"resets must have shape \(3,\); got \(2,\)"):
        viz.state_heatmap(ax, states, np.zeros(2, bool))


def test_unit_disc(ax):
    viz.unit_disc(ax, np.array([[0.5 + 0.5j, -1j]]), color="red", label="eigenvalues")
    assert ax.collections[0].get_offsets().tolist() == [[0.5, 0.5], [0, -1]]
    assert ax.patches[0].get_radius() == 1 and ax.get_aspect() == 1
    viz.unit_disc(ax)
    assert len(ax.collections) == 1


def test_learning_curve(ax):
    runs = np.array([[0.0, 1, 2], [2, 3, 4]])
    viz.learning_curve(ax, [10, 20, 30], runs, "gru", band=(runs[0], runs[1]), linewidth=3)
    *thin, thick = ax.lines
    assert len(thin) == 2 and thick.get_ydata().tolist() == [1, 2, 3] and thick.get_label() == "GRU (2 seeds)"
    assert thick.get_linewidth() == 3 and thick.get_color() == viz.METHODS["gru"]["color"]
    viz.learning_curve(ax, [10, 20, 30], runs[:1], "s5", centre=[0, 0, 0])
    assert ax.lines[-1].get_label() == "S5 (1 seed)" and len(ax.lines) == 4
    assert viz.METHODS["gru"]["label"] == "GRU"
    with pytest.raises(ValueError, match=r"runs must have shape \(seeds, 2\)"):
        viz.learning_curve(ax, [1, 2], runs, "s5")
    with pytest.raises(ValueError, match=r"band\[1\] must have shape \(3,\)"):
        viz.learning_curve(ax, [1, 2, 3], runs, "s5", band=(runs[0], runs[0][:2]))


@pytest.mark.parametrize("centre, statistic", [("iqm", stats.interquartile_mean), ("mean", stats.mean_score)])
def test_learning_curve_with_its_interval(ax, centre, statistic):
    """Named, the middle brings its band; a time at which a seed has no value is left out of both."""
    runs = np.random.default_rng(0).normal(size=(5, 4)).cumsum(1)
    runs[2, 1] = np.nan
    viz.learning_curve(ax, [10, 20, 30, 40], runs, "gru", centre=centre)
    wanted = stats.curve_interval(runs[:, [0, 2, 3]], statistic, resamples=2000)
    *thin, thick = ax.lines
    assert len(thin) == 5 and thick.get_ydata()[[0, 2, 3]] == pytest.approx(wanted.value)
    assert np.isnan(thick.get_ydata()[1])
    (band,) = ax.collections
    corners = np.concatenate([path.vertices for path in band.get_paths()])
    for x, low, high in zip((10, 30, 40), wanted.low, wanted.high, strict=True):
        heights = corners[corners[:, 0] == x, 1]
        assert (heights.min(), heights.max()) == pytest.approx((low, high))
    assert 20 not in corners[:, 0] and band.get_facecolor()[0, :3] == pytest.approx(to_rgb(viz.METHODS["gru"]["color"]))


def test_learning_curve_draws_no_interval_that_it_does_not_know(ax):
    viz.learning_curve(ax, [1, 2], [[3.0, np.nan]], "s5", centre="iqm")  # one seed
    assert not ax.collections and ax.lines[-1].get_ydata() == pytest.approx([3, np.nan], nan_ok=True)
    viz.learning_curve(ax, [1, 2], np.full((2, 2), np.nan), "s5", centre="mean")  # nothing measured
    assert not ax.collections
    viz.learning_curve(ax, [1, 2], np.eye(2), "s5", centre="mean", band=([7, 7], [9, 9]))  # the caller's own band
    assert len(ax.collections) == 1 and ax.collections[0].get_paths()[0].vertices[:, 1].min() == 7
    with pytest.raises(ValueError, match=r"centre must be one of 'iqm', 'mean'; got 'median'"):
        viz.learning_curve(ax, [1, 2], np.eye(2), "s5", centre="median")


def test_bars(ax):
    viz.bars(ax, {"s5": [1.0, 0.8], "blocks = 2": [0.5]})
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([0.9, 0.5])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["S5", "blocks = 2"]
    assert [line.get_ydata().tolist() for line in ax.lines] == [[1.0, 0.8], [0.5]]
    for nothing in ({}, {"s5": []}):
        with pytest.raises(ValueError, match="one value per seed"):
            viz.bars(ax, nothing)


# --- source and progress


@jax.jit
def doubled(x):
    """Twice x.

    In two lines.
    """
    return 2 * x


def test_show_source(displayed):
    viz.show_source(doubled)
    viz.show_source(doubled, docstring=False)
    viz.show_source(line, docstring=False)
    whole, short, plain = displayed
    assert "In two lines." in repr(whole) and repr(short) == "@jax.jit\ndef doubled(x):\n    return 2 * x\n"
    assert "def line" in repr(plain)
    assert short._repr_markdown_() == f"```python\n{short!r}```"
    with pytest.raises(TypeError, match="fn must be a function or class written in Python"):
        viz.show_source(len)


def test_progress_prints_one_line_in_the_book(building, capsys):
    assert list(viz.progress("abc", "spelling")) == ["a", "b", "c"]
    assert list(viz.progress(2, "counting")) == [0, 1]
    out, err = capsys.readouterr()
    assert out == "spelling: 3 steps in 0 s\ncounting: 2 steps in 0 s\n" and err == ""


def test_progress_shows_a_bar_when_someone_looks(displayed, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert list(viz.progress(3, "counting")) == [0, 1, 2]
    out, err = capsys.readouterr()
    assert out == "" and "counting" in err


def test_without_matplotlib_the_error_says_what_to_install():
    code = "import sys; sys.modules['matplotlib.pyplot'] = None; import s5lib.viz"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 's5lib[viz]'" in done.stderr
