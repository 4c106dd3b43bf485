"""How far a run is: a progress bar in a terminal or a notebook, and TensorBoard's event files."""

import os
import pathlib

import numpy as np

from s5lib.config import require

__all__ = ["Bar", "Board"]

MAIN_METRICS = ("trial_return", "return", "accuracy", "loss")  # the first that a learner has is what its bar shows


class Bar:
    """A tqdm bar: the metric that matters, environment steps a second, time left. While the book is built, a line at the end."""

    def __init__(self, label: str, total: int, progress: bool):
        self.label, self.total, self.progress, self.bar = label, total, progress, None
        self.building = os.environ.get("S5LIB_BUILD") == "1"
        self.tqdm = require("tqdm.auto", "digits").tqdm if progress and not self.building else None
        self.before: dict[str, float] = {}

    def start(self, done: int, last: dict[str, float]) -> None:
        if self.tqdm is not None:
            form = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} updates [{elapsed} gone, {remaining} left{postfix}]"
            self.bar = self.tqdm(total=self.total, initial=done, desc=self.label, bar_format=form)
            self.before = last
            self.show(done, last)

    def compiling(self) -> None:
        if self.bar is not None:
            self.bar.set_postfix_str("compiling")

    def compiled(self) -> None:
        """Leave the time for compiling out of the time that is left."""
        if self.bar is not None:
            self.bar.unpause()

    def show(self, done: int, row: dict[str, float], stopped: bool = False) -> None:
        if self.bar is not None and row:
            main = [name for name in MAIN_METRICS if name in row][:1]
            shown = [f"no {name} yet" if np.isnan(row[name]) else f"{name} {row[name]:.3g}" for name in main]
            seconds = row["wall_time"] - self.before.get("wall_time", 0.0)
            if "steps" in row and seconds > 0:
                shown.append(f"{(row['steps'] - self.before.get('steps', 0)) / seconds:,.0f} steps/s")
            self.bar.set_postfix_str(", ".join(shown), refresh=False)
            self.bar.update(done - self.bar.n)
            if stopped:  # done all the same
                self.bar.total = done
            self.bar.refresh()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()

    def summary(self, done: int, final: dict[str, float], elapsed: float) -> None:
        if self.progress and self.building:
            scores = ", ".join(
                f"{name} {value:,.0f}" if value >= 1000 else f"{name} {value:.3f}"
                for name, value in final.items()
                if "/" not in name  # the parts of a score, such as trial/3
            )
            stop = "" if done == self.total else f" of {self.total} at most"
            print(f"{self.label}: {done} updates{stop} in {elapsed:.0f} s" + (f"; {scores}" if scores else ""))


class Board:
    """TensorBoard's event files, over environment steps where they are counted."""

    def __init__(self, path: pathlib.Path, last: dict[str, float]):
        writer = require("tensorboardX", "tensorboard").SummaryWriter
        self.writer = writer(str(path / "tensorboard"), purge_step=self._at(last) + 1 if last else None)

    @staticmethod
    def _at(row: dict[str, float]) -> int:
        return int(row.get("steps", row["update"]))

    def add(self, row: dict[str, float]) -> None:
        for name, value in row.items():
            if not np.isnan(value):  # of an episode, where none has ended yet
                self.writer.add_scalar(name, value, self._at(row))

    def close(self) -> None:
        self.writer.close()
