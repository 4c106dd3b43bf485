"""Chapter 9. Worlds that are asked for something: instructions of several goals, and places to find again in the dark.

``PackageDelivery`` and ``MazeRunner`` show an instruction that hindsight can rewrite, see ``instruction``. In ``MetaFrozenLake``
and ``DarkKeyToDoor`` the goal is never told and has to be found and found again; ``TMaze`` asks for one bit at the end.

Source: Grigsby et al. 2024, "AMAGO: Scalable In-Context Reinforcement Learning for Adaptive Agents" (ICLR).
"""

from s5lib.envs.base import Family
from s5lib.envs.goals import dark_key, frozen_lake, maze, package, t_maze

__all__ = ["FAMILIES"]

FAMILIES: dict[str, Family] = {
    "DarkKeyToDoor": (dark_key.DarkKeyToDoor, dark_key.DIFFICULTY),
    "MazeRunner": (maze.MazeRunner, maze.DIFFICULTY),
    "MetaFrozenLake": (frozen_lake.MetaFrozenLake, frozen_lake.DIFFICULTY),
    "PackageDelivery": (package.PackageDelivery, package.DIFFICULTY),
    "TMaze": (t_maze.TMaze, t_maze.DIFFICULTY),
}
