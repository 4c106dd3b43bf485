"""POPGym in JAX: every task of the original package, one file a family, difficulty as data.

Rules, rewards and lengths are those of the package ``popgym`` 1.0.7, and the tests play both side by side. Observations are
the original's, flattened as ``gymnasium.spaces.flatten`` does it: integers one-hot, vectors as they are.

Source: Morad et al. 2023, "POPGym: Benchmarking Partially Observable Reinforcement Learning" (ICLR).
"""

from s5lib.envs.base import Family
from s5lib.envs.popgym import (
    autoencode,
    battleship,
    cartpole,
    concentration,
    count_recall,
    higher_lower,
    labyrinth_escape,
    labyrinth_explore,
    minesweeper,
    multiarmed_bandit,
    pendulum,
    repeat_first,
    repeat_previous,
)

__all__ = ["ALIASES", "FAMILIES", "Family"]

FAMILIES: dict[str, Family] = {
    "Autoencode": (autoencode.Autoencode, autoencode.DIFFICULTY),
    "Battleship": (battleship.Battleship, battleship.DIFFICULTY),
    "Concentration": (concentration.Concentration, concentration.DIFFICULTY),
    "CountRecall": (count_recall.CountRecall, count_recall.DIFFICULTY),
    "HigherLower": (higher_lower.HigherLower, higher_lower.DIFFICULTY),
    "LabyrinthEscape": (labyrinth_escape.LabyrinthEscape, labyrinth_escape.DIFFICULTY),
    "LabyrinthExplore": (labyrinth_explore.LabyrinthExplore, labyrinth_explore.DIFFICULTY),
    "MineSweeper": (minesweeper.MineSweeper, minesweeper.DIFFICULTY),
    "MultiarmedBandit": (multiarmed_bandit.MultiarmedBandit, multiarmed_bandit.DIFFICULTY),
    "NoisyPositionOnlyCartPole": (cartpole.CartPole, cartpole.DIFFICULTY["NoisyPositionOnlyCartPole"]),
    "NoisyPositionOnlyPendulum": (pendulum.Pendulum, pendulum.DIFFICULTY["NoisyPositionOnlyPendulum"]),
    "PositionOnlyCartPole": (cartpole.CartPole, cartpole.DIFFICULTY["PositionOnlyCartPole"]),
    "PositionOnlyPendulum": (pendulum.Pendulum, pendulum.DIFFICULTY["PositionOnlyPendulum"]),
    "RepeatFirst": (repeat_first.RepeatFirst, repeat_first.DIFFICULTY),
    "RepeatPrevious": (repeat_previous.RepeatPrevious, repeat_previous.DIFFICULTY),
    "VelocityOnlyCartPole": (cartpole.CartPole, cartpole.DIFFICULTY["VelocityOnlyCartPole"]),
}

# Names of the first version of the package, which papers use, and of the ids it registers with gymnasium.
ALIASES = {
    "StatelessCartPole": "PositionOnlyCartPole",
    "NoisyStatelessCartPole": "NoisyPositionOnlyCartPole",
    "StatelessPendulum": "PositionOnlyPendulum",
    "NoisyStatelessPendulum": "NoisyPositionOnlyPendulum",
    "VelocityOnlyCartpole": "VelocityOnlyCartPole",
}
