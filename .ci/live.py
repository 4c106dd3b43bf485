"""The weights of stored runs, packed for figures that live in a page without a kernel; python .ci/live.py draws their picture."""

import base64
import json
import pathlib

import nbformat
import numpy as np
from chapters import ROOT
from chromium import chromium

AGENTS = {"s5": "projected-cartpole-s5", "none": "projected-cartpole-none"}  # on the landing page
PLAYER = {"suits": "repeat-previous-easy-s5"}  # in chapter 6
FRAGMENTS = ROOT / ".ci/fragments"
DYNAMICS = ("Lambda_re", "Lambda_im", "log_step")  # half precision would turn a fast state by a wrong angle


def packed(name: str) -> dict:
    """What book/_assets/agent.js unpacks: names, shapes and bytes a number of a stored run's actor, and all numbers in base64."""
    layout, data = [], b""
    with np.load(ROOT / "book/results" / f"{name}.npz") as weights:
        for path in weights.files:
            if "/critic/" in path or "/value/" in path:
                continue
            exact = path.endswith(DYNAMICS)
            array = weights[path].astype("<f4" if exact else "<f2")
            layout.append([path.removeprefix("params/"), array.shape, array.itemsize])
            data += array.tobytes()
    return {"layout": layout, "data": base64.b64encode(data).decode()}


def signal() -> list[float]:
    """Chapter 1's signal, from the cell that makes it."""
    cells = nbformat.read(ROOT / "book/01-hippo.ipynb", as_version=4).cells
    names: dict = {"np": np}
    exec(next(cell.source for cell in cells if cell.id == "hippo-04"), names)
    return [round(float(value), 4) for value in names["signal"]]


def write(folder: pathlib.Path) -> None:
    """Write what the figures' scripts read: weights, which come after agent.js, and a signal, which comes after hippo.js."""
    for file, agents in {"weights": AGENTS, "suits-weights": PLAYER}.items():
        weights = {label: packed(name) for label, name in agents.items()}
        text = f"Object.assign(s5live.weights, {json.dumps(weights, separators=(',', ':'))});\n"
        (folder / f"{file}.js").write_text(text)
    begin = 'document.querySelectorAll("figure.s5lib-hippo").forEach(s5hippo.start);'
    (folder / "hippo-signal.js").write_text(f"s5hippo.signal = {json.dumps(signal())};\n{begin}\n")


def figure(name: str, still: str) -> str:
    """The live figure of this name, and what stands in for it without JavaScript."""
    return (FRAGMENTS / f"{name}.html").read_text() + f"<noscript>{still}</noscript>"


def picture() -> None:
    """Write book/_assets/live.png, which stands in for the figure on paper and without JavaScript, from the built page."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1100, "height": 1000})
        page.goto((ROOT / "_build/html/book/intro.html").as_uri())
        figure = page.locator("figure.s5lib-live")
        figure.locator("[data-do=speed]").click()
        for _ in range(3):  # worlds, of half a minute each
            page.wait_for_timeout(6000)
            figure.locator("[data-do=world]").click()
        page.wait_for_timeout(6000)
        page.wait_for_function(
            "Math.abs(document.querySelector('figure.s5lib-live').s5live[0].world.physics[2]) < 0.02"
        )
        figure.locator(".players").screenshot(path=ROOT / "book/_assets/live.png")


if __name__ == "__main__":
    picture()
