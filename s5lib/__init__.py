"""s5lib: structured state space models for reinforcement learning, in JAX.

The library behind the book *Structured State Space RL*. Each module is one idea; ``MODULES`` lists them in the order of
their imports: a module imports only modules above it. ``from s5lib import linear_scan, S5Stack`` works for every public
name; modules load on first use.
"""

import importlib
import warnings

__version__ = "0.1.0"

# name: the chapter that explains it, what it holds, and which of its names ``s5lib`` passes on
MODULES: dict[str, tuple[str, str, list[str]]] = {
    "config": ("all", "the budget in force, the Experiment record, the checks of arguments", ["Experiment", "budget"]),
    "hippo": ("1", "HiPPO-LegS, its online 1/t form, its normal part, timescales",
        ["hippo_eig", "hippo_legs", "hippo_normal", "legs_online", "legs_reconstruct", "timescale_init"]),
    "discretize": ("2", "zero-order hold, bilinear, forward Euler", ["bilinear", "euler", "zoh"]),
    "scan": ("3", "linear_scan and the resettable operator",
        ["associative_states", "linear_operator", "linear_scan", "resettable"]),
    "s5": ("4", "the S5 layer: S5SSM, S5Block, S5Stack", ["S5SSM", "S5Block", "S5Stack"]),
    "memory": ("5", "one signature for S5, GRU, LSTM, attention and none",
        ["GRU", "LSTM", "FeedForward", "Memory", "Transformer", "count_parameters", "make_memory", "match_parameters"]),
    "distributions": ("5", "what a policy draws its actions from: one choice, several, or real numbers",
        ["Categorical", "DiagNormal", "MultiCategorical"]),
    "envs": ("5-9", "environments that need a memory: POPGym and bsuite in JAX, trials, projections, rigid bodies, goals; wrappers",
        []),
    "offpolicy": ("9", "targets of many discounts, PopArt, two-hot values, exploration that falls within a rollout", []),
    "networks": ("5", "the agent's network: encoder, memory, actor and critic", ["ActorCritic"]),
    "acting": ("5", "one step of a policy, or whole episodes, with weights that stay as they are", ["act"]),
    "returns": ("5", "from rewards to advantages", ["gae"]),
    "supervised": ("4", "the digits read pixel by pixel, packed sequences, loss and fit", []),
    "ppo": ("5", "proximal policy optimisation with a memory", ["PPOConfig", "ppo_loss"]),
    "replay": ("9", "a ring of whole trajectories on device, and hindsight instruction relabelling", []),
    "amago": ("9", "off-policy actor and critics in context, for many discounts at once", ["AmagoConfig"]),
    "records": ("all", "whose run it was, where and how it went; the stored runs", []),
    "progress": ("all", "how far a run is: a bar, and TensorBoard's files", []),
    "checkpoints": ("all", "a run's folder: whose run, its metrics, its checkpoints", []),
    "runs": ("all", "training outside jit: early stop, resume", []),
    "stats": ("6", "interquartile mean, bootstrap intervals, normalised scores", []),
    "experiments": ("all", "named experiments: a config for each budget and the number to expect", []),
    "viz": ("all", "figures: one style, alt text, sliders that need no kernel; games, worlds and agents drawn", []),
    "checks": ("all", "graders of the exercises", []),
    "cli": ("all", "the command line: s5lib train, eval, list, results", []),
}  # fmt: skip
_HOME = {name: module for module, (_, _, names) in MODULES.items() for name in names}
__all__ = sorted([*MODULES, *_HOME])
__doc__ = "\n".join(
    [str(__doc__), *(f"{name:14}{chapters:5}{words}" for name, (chapters, words, _) in MODULES.items())]
)


def __getattr__(name: str):
    if name in MODULES:
        return importlib.import_module(f"s5lib.{name}")
    if name in _HOME:
        return getattr(importlib.import_module(f"s5lib.{_HOME[name]}"), name)
    raise AttributeError(f"module 's5lib' has no attribute {name!r}; public names: {', '.join(__all__)}")


def __dir__():
    return __all__


# Versions that pyproject.toml excludes, and why: numbers of issues of jax-ml/jax. The tests pass at the pins, on 0.7.2; the fast
# ones on 0.11.2 and 0.12.0.1 too.
BAD_JAX = {
    "0.10.2": "returns wrong numbers or crashes on CPU (issues 39103, 39257)",
    "0.11.0": "crashes or hangs on CPU (issue 39257)",
    "0.11.1": "takes time quadratic in the length of a scan on CPU (issue 40101)",
}


def _warn_about_jax() -> None:
    """Say so once when the installed JAX is one of those that pip is told to avoid."""
    import jax

    if jax.__version__ in BAD_JAX:
        others = ",".join(f"!={version}" for version in BAD_JAX)
        warnings.warn(
            f"jax {jax.__version__} {BAD_JAX[jax.__version__]}; install another: pip install 'jax{others}'",
            stacklevel=3,
        )


_warn_about_jax()
