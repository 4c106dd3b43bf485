"""The weights of stored runs, packed for the figures that live in a page without a kernel."""

import base64
import json
import pathlib

import numpy as np
from chapters import ROOT

AGENTS = {"s5": "projected-cartpole-s5", "none": "projected-cartpole-none"}
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


def write(folder: pathlib.Path) -> None:
    """Write weights.js, which comes after agent.js in a page."""
    weights = {label: packed(name) for label, name in AGENTS.items()}
    (folder / "weights.js").write_text(f"s5live.weights = {json.dumps(weights, separators=(',', ':'))};\n")
