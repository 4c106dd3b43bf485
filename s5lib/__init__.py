"""s5lib: structured state space models for reinforcement learning, in JAX.

The library behind the book *Structured State Space RL*. Each module is one idea, in the order of the chapters:

=======  =============  ==============================================================================
chapter  module         what it holds
=======  =============  ==============================================================================
1        hippo          HiPPO-LegS, its online 1/t form, its normal part, timescales
2        discretize     zero-order hold, bilinear, forward Euler
3        scan           linear_scan and the resettable operator
4        s5             S5SSM, S5Block, S5Stack
5        memory         one signature for S5, GRU, LSTM, attention and none
5        distributions  what a policy draws its actions from: one choice, several, or real numbers
5-8      envs           the POPGym suite and bsuite's memory chain in JAX, wrappers, vectorize; trials and projections
5        networks       the agent's network: encoder, memory, actor and critic
5        acting         one step of a policy, or whole episodes, with weights that stay as they are
5        returns        from rewards to advantages
4        supervised     the digits read pixel by pixel, packed sequences, loss and fit
5        ppo            proximal policy optimisation with a memory
all      config         the budget in force, the Experiment record
all      records        whose run it was, where and how it went; the stored runs
all      progress       how far a run is: a bar, and TensorBoard's files
all      checkpoints    a run's folder: whose run, its metrics, its checkpoints
all      runs           training outside jit: early stop, resume
all      stats          interquartile mean, bootstrap intervals, normalised scores
all      experiments    named experiments: a config per budget and the number to expect
all      viz            figure style, state heat maps, unit disc, explore()
all      checks         graders for the exercises
all      cli            the command line: s5lib train, eval, list, results
=======  =============  ==============================================================================

``from s5lib import linear_scan, S5Stack`` works for every public name; modules load on first use.
"""

import importlib
import warnings

__version__ = "0.1.0"

_PUBLIC = {
    "config": ["Experiment", "budget"],
    "hippo": ["hippo_eig", "hippo_legs", "hippo_normal", "legs_online", "legs_reconstruct", "timescale_init"],
    "discretize": ["bilinear", "euler", "zoh"],
    "scan": ["associative_states", "linear_operator", "linear_scan", "resettable"],
    "s5": ["S5SSM", "S5Block", "S5Stack"],
    "memory": ["GRU", "LSTM", "FeedForward", "Transformer", "count_parameters", "make_memory", "match_parameters"],
    "distributions": ["Categorical", "DiagNormal", "MultiCategorical"],
    "envs": [],
    "networks": ["ActorCritic"],
    "acting": ["act"],
    "returns": ["gae"],
    "supervised": [],
    "ppo": ["PPOConfig", "ppo_loss"],
    "records": [],
    "progress": [],
    "checkpoints": [],
    "runs": [],
    "experiments": [],
    "stats": [],
    "viz": [],
    "checks": [],
    "cli": [],
}
_HOME = {name: module for module, names in _PUBLIC.items() for name in names}
__all__ = sorted([*_PUBLIC, *_HOME])


def __getattr__(name: str):
    if name in _PUBLIC:
        return importlib.import_module(f"s5lib.{name}")
    if name in _HOME:
        return getattr(importlib.import_module(f"s5lib.{_HOME[name]}"), name)
    raise AttributeError(f"module 's5lib' has no attribute {name!r}; public names: {', '.join(__all__)}")


def __dir__():
    return __all__


def _warn_about_jax() -> None:
    """Say so once when the installed JAX is known to compute wrong numbers on CPU."""
    import jax

    if jax.__version__ in ("0.10.2", "0.11.0"):
        warnings.warn(
            f"jax {jax.__version__} returns wrong numbers or crashes on CPU (jax-ml/jax issues 39103, 39257); "
            "install another: pip install 'jax!=0.10.2,!=0.11.0'",
            stacklevel=3,
        )


_warn_about_jax()
