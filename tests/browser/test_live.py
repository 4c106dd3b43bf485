"""The landing page's figure: the agents and the world in the page are those of the library, and its buttons do what they say."""

import json

import jax
import numpy as np
import pytest

from s5lib import experiments, legs_online, legs_reconstruct, ppo, records
from s5lib.envs import inner
from s5lib.envs.popgym.cartpole import State
from s5lib.envs.projection import ProjectedState
from s5lib.viz.games import played

from .conftest import ROOT

import live  # isort: skip  (.ci, which conftest makes known)

pytestmark = pytest.mark.browser

STEPS = 1000
FIGURE = "figure.s5lib-live"
# What the page's own code makes of a thousand recorded observations, and of each recorded action where the pole then was.
REPLAY = """({packed, obs, actions, physics, time, matrices}) => {
  const agent = new s5live.Agent(packed), world = new s5live.World();
  [world.M_o, world.M_a] = matrices;
  const means = obs.map(row => Array.from(agent.act(row)));
  const after = actions.slice(0, -1).map((action, t) => {
    world.begin = () => { world.physics = physics[t + 1]; world.time = 0; };
    [world.physics, world.time] = [physics[t], time[t]];
    world.step(action);
    return [...world.physics, world.time, ...world.obs];
  });
  return [means, after];
}"""


def half(params):
    """Weights as the page has them."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf if path[-1].key in live.DYNAMICS else leaf.astype(np.float16).astype(np.float32), params
    )


def meant(name, seed):
    """A stored agent with the page's weights: them, an episode of its own up to STEPS, and its policy at each step, in one call."""
    agent, params = ppo.make(experiments.get(name, "cpu").config), half(records.load(name))
    episode = played(agent, params, seed)
    obs = episode.obs[:STEPS, None]
    resets = np.arange(len(obs))[:, None] == 0
    _, policy, _ = jax.jit(agent.network.apply)(params, agent.network.initial_carry(1), obs, resets)
    return live.packed(name), episode, policy


@pytest.fixture(scope="module", params=["s5", "none"])
def recorded(request):
    """A thousand steps of the library's agent, with the page's weights: what it saw, meant and did, and where the pole was."""
    packed, episode, policy = meant(live.AGENTS[request.param], seed=3)
    obs = episode.obs[:STEPS]
    hidden = inner(episode.state, ProjectedState)
    states = inner(episode.state, State)
    physics, time = np.asarray(states.physics[:STEPS]), np.asarray(states.time[:STEPS])
    arguments = {
        "packed": packed, "obs": np.asarray(obs).tolist(), "actions": np.asarray(episode.action[:STEPS]).tolist(),
        "physics": physics.tolist(), "time": time.tolist(),
        "matrices": [np.asarray(hidden.obs_matrix[0]).tolist(), np.asarray(hidden.action_matrix[0]).tolist()],
    }  # fmt: skip
    return arguments, np.asarray(policy.mode()[:, 0]), np.concatenate([physics, time[:, None], obs], axis=1)


def test_a_thousand_steps_in_the_page_are_those_of_the_library(browser, recorded):
    """The agent carries its own state through all of them; a pole left alone for as long would magnify any rounding."""
    arguments, means, moments = recorded
    page = browser.new_page()
    page.add_script_tag(path=ROOT / "book/_assets/agent.js")
    here, after = page.evaluate(REPLAY, arguments)
    page.close()
    assert len(means) == STEPS and np.std(means) > 0.1 and (moments[:, 4] == 0).sum() > 4  # trials
    np.testing.assert_allclose(here, means, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(after, moments[1:], rtol=1e-4, atol=1e-4)


def test_the_player_of_cards_in_the_page_is_that_of_the_library(browser):
    """A whole deck: what is seen of it, and what the agent would answer."""
    (name,) = live.PLAYER.values()
    packed, episode, policy = meant(name, seed=1)
    page = browser.new_page()
    page.add_script_tag(path=ROOT / "book/_assets/agent.js")
    page.evaluate("packed => { window.agent = new s5live.Agent(packed); }", packed)
    here = page.evaluate("obs => obs.map(row => Array.from(agent.act(row)))", np.asarray(episode.obs).tolist())
    page.close()
    theirs = np.asarray(policy.logits[:, 0])
    here = np.array(here) - np.log(np.exp(here).sum(1, keepdims=True))
    theirs = theirs - np.log(np.exp(theirs).sum(1, keepdims=True))
    assert len(here) == 51
    np.testing.assert_allclose(here, theirs, rtol=1e-4, atol=2e-4)


def test_the_curve_in_the_page_is_that_of_the_library(browser, tmp_path):
    """At whole steps the memory of hippo.js is legs_online, and its curve legs_reconstruct."""
    live.write(tmp_path)
    page = browser.new_page()
    page.add_script_tag(path=ROOT / "book/_assets/paper.js")
    page.add_script_tag(path=ROOT / "book/_assets/hippo.js")
    page.add_script_tag(path=tmp_path / "hippo-signal.js")
    signal = np.array(page.evaluate("s5hippo.signal"))
    for t, N in ((1, 4), (57, 8), (400, 32)):
        x, curve = page.evaluate(
            "([t, N]) => { const x = s5hippo.remember(s5hippo.signal, t, N);"
            " return [Array.from(x), [0.1, 0.5, 0.9].map(z => s5hippo.recall(x, z))]; }",
            [t, N],
        )
        np.testing.assert_allclose(x, legs_online(signal, N)[t - 1], atol=1e-8)
        np.testing.assert_allclose(curve, legs_reconstruct(np.array(x), np.array([0.1, 0.5, 0.9])), atol=1e-8)
    page.close()


def test_the_present_is_dragged(page):
    page.goto(page.url.replace("intro", "01-hippo"), wait_until="load")
    figure = page.locator("figure.s5lib-hippo")
    canvas, said = figure.locator("canvas"), figure.locator("[data-shows=said]")
    canvas.scroll_into_view_if_needed()
    box, before = canvas.bounding_box(), said.inner_text()
    page.mouse.click(box["x"] + box["width"] / 4, box["y"] + 40)
    assert said.inner_text() != before and figure.locator("output").first.inner_text() in ("99", "100", "101")
    figure.locator("input[name=numbers]").focus()
    page.keyboard.press("ArrowRight")
    assert said.inner_text().startswith("9 numbers")


def test_a_game_of_cards_beside_the_agent(page):
    page.goto(page.url.replace("intro", "06-popgym"), wait_until="load")
    figure = page.locator("figure.s5lib-suits")
    seen = "document.querySelector('figure.s5lib-suits').s5live"
    cards = page.evaluate(f"{seen}.cards()")
    for t in range(51):
        right = cards[max(0, t - 3)]
        figure.locator(f"[data-suit='{right}']").click()
    assert figure.locator("[data-shows=score]").inner_text().startswith("Right of 48: you 48, S5 ")
    assert figure.locator("[data-suit='0']").is_disabled()
    figure.locator("[data-do=deal]").click()
    figure.locator("[data-suit='0']").click()
    assert page.evaluate(f"{seen}.agent.memory.states.some(x => x.some(y => y))")
    figure.locator("[data-do=forget]").click()
    assert not page.evaluate(f"{seen}.agent.memory.states.some(x => x.some(y => y))")


@pytest.fixture
def page(browser, address, request):
    context = browser.new_context(viewport={"width": 390, "height": 844}, **getattr(request, "param", {}))
    opened = context.new_page()
    complaints = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(f"{address}/book/intro.html", wait_until="load")
    yield opened
    assert complaints == []
    context.close()


def steps(page) -> int:
    return int(page.locator(FIGURE).get_attribute("data-steps"))


def do(page, name: str) -> None:
    page.locator(f"{FIGURE} [data-do={name}]").click()


def state_size(page) -> float:
    return page.evaluate(
        "document.querySelector('figure.s5lib-live').s5live[0].agent.memory.states.flatMap(x => [...x]).reduce((a, b) => a + b * b)"
    )


def test_the_figure_runs_at_its_pace_while_it_is_seen(page):
    """Fifty steps a second, within what a loaded machine allows; none while paused or out of sight."""
    page.locator(FIGURE).scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    before = steps(page)
    page.wait_for_timeout(2000)
    assert 10 < steps(page) - before < 140
    do(page, "play")
    before = steps(page)
    page.wait_for_timeout(300)
    assert steps(page) == before
    do(page, "play")
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.wait_for_timeout(300)
    before = steps(page)
    page.wait_for_timeout(300)
    assert steps(page) == before


def test_the_buttons_do_what_they_say(page):
    figure = page.locator(FIGURE)
    do(page, "play")  # it stands still, so that each change is the button's
    figures = "document.querySelector('figure.s5lib-live').s5live"
    assert state_size(page) > 0
    do(page, "forget")
    assert state_size(page) == 0 and "empty" in figure.get_by_role("status").inner_text()
    old = page.evaluate(f"{figures}.map(player => player.world.M_o)")
    do(page, "world")
    new = page.evaluate(f"{figures}.map(player => player.world.M_o)")
    assert new[0] == new[1] != old[0] and steps(page) == 0
    spin = page.evaluate(f"{figures}.map(player => player.world.physics[3])")
    do(page, "kick")
    kicked = page.evaluate(f"{figures}.map(player => player.world.physics[3])")
    assert abs(kicked[0] - spin[0]) == pytest.approx(0.5) and kicked[0] - spin[0] == pytest.approx(kicked[1] - spin[1])
    assert "0 falls in 0 steps" in figure.locator(".tally").first.inner_text()


@pytest.mark.parametrize("page", [{"reduced_motion": "reduce"}], indirect=True)
def test_it_stands_still_for_who_asks_for_less_motion(page):
    before = steps(page)
    page.wait_for_timeout(300)
    assert steps(page) == before > 0
    assert page.locator(f"{FIGURE} [data-do=play]").inner_text() == "Play"


@pytest.mark.parametrize("page", [{"java_script_enabled": False}], indirect=True)
def test_a_picture_stands_in_without_scripts(page):
    assert page.locator(f"{FIGURE} > img").is_visible() and not page.locator(f"{FIGURE} .live").is_visible()


def test_a_picture_stands_in_on_paper(page):
    page.emulate_media(media="print")
    assert page.locator(f"{FIGURE} > img").is_visible() and not page.locator(f"{FIGURE} .live").is_visible()
    page.goto(
        page.url.replace("intro", "01-hippo"), wait_until="load"
    )  # a figure without a picture prints as it stands
    assert page.locator("figure.s5lib-hippo canvas").is_visible()


def test_the_weights_are_small(tmp_path):
    live.write(tmp_path)
    text = (tmp_path / "weights.js").read_text()
    weights = json.loads(text.removeprefix("Object.assign(s5live.weights, ").removesuffix(");\n"))
    assert set(weights) == set(live.AGENTS) and sum(len(each["data"]) for each in weights.values()) * 3 / 4 < 400_000
