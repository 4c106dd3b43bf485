"""``make quick`` plays the easy level of each family; ``make test`` all three."""

import pathlib

import pytest

HERE = pathlib.Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents and any(level in item.name for level in ("Medium", "Hard")):
            item.add_marker(pytest.mark.slow)
