"""Chapter 5. Acting with weights that stay as they are: one step, for a loop of your own, or whole episodes at once.

Everything that watches or scores a trained network stands on these two functions. They know a network, its weights and an
environment, and nothing of how the weights were learnt.
"""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from s5lib.config import check_positive_int
from s5lib.envs import vectorize
from s5lib.envs.base import AnyEnv, EnvState, Info, Obs, Start, Step, horizon_of
from s5lib.envs.vector import beside
from s5lib.envs.wrappers import trials_of
from s5lib.memory import Carry, Params, Prepared

__all__ = ["Episodes", "Moment", "Network", "Playable", "act", "episodes"]


Tree = TypeVar("Tree")


class Network(Protocol):
    """What can act: an ``ActorCritic``, or another flax module whose call takes the same and returns the same."""

    def initial_carry(self, batch_size: int) -> Carry:
        """The memory's state before an episode."""

    def init(self, rngs: jax.Array, /, *args: Any, **kwargs: Any) -> Params:
        """Flax's: draw parameters."""

    def apply(self, variables: Params, /, *args: Any, **kwargs: Any) -> Any:
        """``(carry, obs, resets, prepared)`` -> carry, policy, value; with ``method="prepare"``, what many calls share."""


class Playable(Protocol):
    """An agent that can be watched: a network, the environment that it is judged in, and the config that names it."""

    @property
    def config(self) -> Any: ...

    @property
    def network(self) -> Network: ...

    @property
    def eval_env(self) -> AnyEnv: ...


def act(
    network: Network,
    params: Params,
    carry: Carry,
    obs: Obs,
    resets: jax.Array,
    key: jax.Array,
    prepared: Prepared = None,
    greedy: bool = False,
) -> tuple[jax.Array, Carry]:
    """Take one step of a policy: read what is seen, and answer.

    Args:
        network: an ``ActorCritic``, or another ``Network``.
        params: its weights.
        carry: the memory's state: ``network.initial_carry(B)`` at first, then what the last call returned.
        obs: (B, O), what is seen now; or what else the network reads, each leaf (B, ...).
        resets: (B,) bool, True where obs opens an episode: the memory forgets before it reads.
        key: random key, a new one each step; unused with ``greedy``.
        prepared: ``network.apply(params, method="prepare")``, worked out once for many steps; None works it out anew.
        greedy: take the likeliest action instead of drawing one.
    Returns:
        The actions (B, ...) and the new carry.
    Example:
        >>> from s5lib import ppo
        >>> agent = ppo.make(ppo.PPOConfig(features=16, memory_options=(("layers", 1),)))
        >>> params = agent.init(jax.random.key(0)).params
        >>> obs, state = agent.env.reset(jax.random.key(1))
        >>> start = agent.network.initial_carry(1)
        >>> action, carry = act(agent.network, params, start, obs[None], jnp.ones(1, bool), jax.random.key(2))
        >>> action.shape
        (1,)

    """
    return _act(_static(network), params, carry, obs, resets, key, prepared, greedy)


@partial(jax.jit, static_argnames=("network", "greedy"))
def _act(
    network: Any,
    params: Params,
    carry: Carry,
    obs: Obs,
    resets: jax.Array,
    key: jax.Array,
    prepared: Prepared,
    greedy: bool,
) -> tuple[jax.Array, Carry]:
    carry, policy, _ = _open(network).apply(params, carry, *once((obs, resets)), prepared)
    return (policy.mode() if greedy else policy.sample(key))[0], carry


def once(tree: Tree) -> Tree:
    """One step as a sequence of one: an axis of time before each leaf's own."""
    return jax.tree.map(lambda leaf: leaf[None], tree)


class Moment(NamedTuple):
    """One step of B episodes side by side, leaves (B, ...).

    Attributes:
        obs: what was seen.
        state: the environments' hidden states at that time.
        carry: the memory's state after reading ``obs``.
        action: what was done.
        reward: what came of it; 0 after an episode's end.
        terminated: known after the step.
        truncated: known after the step.
        active: True up to an episode's last step, that step included; what stands later means nothing.
        next_obs: what was seen after the action.
    """

    obs: Obs
    state: EnvState
    carry: Carry
    action: jax.Array
    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    active: jax.Array
    next_obs: Obs


class Episodes(NamedTuple):
    """B episodes, played side by side from their starts to their ends.

    Attributes:
        returns: (B,), the undiscounted sum of rewards.
        lengths: (B,), steps.
        trial_returns: (B, trials), the part of each trial, of an environment with a number of ``Trials``; else (B, 0).
        rewards: (T, B), step by step; 0 after an episode's end.
        cut: (B,) bool, True where the horizon came before the episode's end.
        carry: the memory's state at each episode's end.
        kept: what ``keep`` was asked for, each leaf (T / every, B, ...) in time order; None if nothing was.
    """

    returns: jax.Array
    lengths: jax.Array
    trial_returns: jax.Array
    rewards: jax.Array
    cut: jax.Array
    carry: Carry
    kept: Any


def episodes(
    network: Network,
    params: Params,
    env: AnyEnv,
    key: jax.Array,
    count: int,
    greedy: bool = False,
    forget: Collection[int] | None = None,
    horizon: int | None = None,
    *,
    carry: Carry = None,
    start: Start | None = None,
    keep: Callable[[Moment], Any] | None = None,
    every: int = 1,
    apart: bool = False,
) -> Episodes:
    """Play whole episodes side by side, each once, from empty memories; it is over when all have ended.

    Args:
        network: as in ``act``.
        params: its weights.
        env: what the network was made for, wrappers and all: of an agent, ``agent.eval_env``.
        key: random key: the same key plays the same episodes.
        count: B, how many; of ``ManyWorlds``, a multiple of their number.
        greedy: take the likeliest actions instead of drawing them.
        forget: steps before which all memories are emptied: ``(500,)`` is once, ``range(0, 1000, 8)`` every eighth.
        horizon: cut what is longer than this many steps; None takes the environment's own.
        carry: the memories to begin with, in the place of empty ones.
        start: the (obs, state) to begin from, as ``vectorize(env, count).reset_env`` gives them; None makes fresh ones.
        keep: a function of a ``Moment`` that says what of it to keep, such as ``lambda now: now.action``.
        every: keep it of steps 0, ``every``, 2 ``every`` and so on.
        apart: compile network and environment by themselves and step them from Python: slower, but worlds that take
            minutes to compile do so once for all networks that play them.
    Returns:
        Episodes.
    Raises:
        ValueError: no horizon is given and the environment has none; a number out of range.
        TypeError: ``forget`` is no collection of steps.
    Example:
        >>> from s5lib import ppo
        >>> agent = ppo.make(ppo.PPOConfig(features=16, memory_options=(("layers", 1),)))
        >>> params = agent.init(jax.random.key(0)).params
        >>> played = episodes(agent.network, params, agent.eval_env, jax.random.key(1), 8)
        >>> played.returns.shape, int(played.lengths[0]), bool(played.cut.any())
        ((8,), 51, False)

    """
    check_positive_int("count", count)
    check_positive_int("every", every)
    horizon = horizon_of(env) if horizon is None else check_positive_int("horizon", horizon)
    if forget is not None and (not isinstance(forget, Collection) or isinstance(forget, str)):
        raise TypeError(f"forget must hold steps, such as (500,) or range(0, 1000, 8); got {forget!r}")
    emptied = jnp.asarray(np.isin(np.arange(horizon), list(forget or ())))
    roll = _roll if apart else _roll_compiled
    game = _Game(_static(network), _static(env), count, greedy, horizon, keep, every)
    return roll(game, params, key, emptied, carry, start)


class _Game(NamedTuple):
    """What is fixed while compiled: see ``episodes``."""

    network: Any
    env: Any
    size: int
    greedy: bool
    horizon: int
    keep: Callable[[Moment], Any] | None
    every: int


class _Now(NamedTuple):
    """What goes on from step to step; ``rows`` are the rewards of every step and what is kept of some."""

    t: jax.Array
    obs: Obs
    state: EnvState
    carry: Carry
    active: jax.Array
    returns: jax.Array
    lengths: jax.Array
    trial_returns: jax.Array
    rows: tuple


def _roll(
    game: _Game, params: Params, key: jax.Array, emptied: jax.Array, carry: Carry, start: Start | None
) -> Episodes:
    """The one loop over an episode's steps: compiled as a whole where it is traced, from Python where it is not."""
    key_reset, key_play = jax.random.split(key)
    obs, state = _reset(game.env, game.size, key_reset) if start is None else start
    carry = _open(game.network).initial_carry(game.size) if carry is None else carry
    prepared = _prepare(game.network, params)

    def look(now: _Now) -> tuple[Moment, EnvState, Info]:
        """Act and step: the moment, the environments' next states, and what they tell besides."""
        key_act, key_step = _keys(key_play, now.t)
        resets = jnp.broadcast_to(emptied[now.t], (game.size,))
        action, after = _act(game.network, params, now.carry, now.obs, resets, key_act, prepared, game.greedy)
        then, state, reward, terminated, truncated, info = _step(game.env, game.size, key_step, now.state, action)
        reward = jnp.where(now.active, reward, 0)
        seen = Moment(now.obs, now.state, after, action, reward, terminated, truncated, now.active, then)
        return seen, state, info

    zeros = jnp.zeros(game.size, jnp.float32)
    trials = trials_of(_open(game.env))
    trial_returns = jnp.zeros((game.size, (trials.trials or 0) if trials else 0), jnp.float32)
    now = _Now(jnp.int32(0), obs, state, carry, jnp.ones(game.size, bool), zeros, zeros, trial_returns, ())
    keep, kept = game.keep, None
    if keep is not None:
        row, count = jax.eval_shape(lambda: keep(look(now)[0])), -(-game.horizon // game.every)
        kept = jax.tree.map(lambda leaf: jnp.zeros((count, *leaf.shape), leaf.dtype), row)
    now = now._replace(rows=(jnp.zeros((game.horizon, game.size), jnp.float32), kept))

    def step(now: _Now) -> _Now:
        return _account(game.keep, game.every, now.rows, now._replace(rows=()), *look(now))

    loop = jax.lax.while_loop if isinstance(key, jax.core.Tracer) else _while
    end = loop(lambda now: now.active.any() & (now.t < game.horizon), step, now)
    rewards, kept = end.rows
    return Episodes(end.returns, end.lengths, end.trial_returns, rewards, end.active, end.carry, kept)


_roll_compiled = partial(jax.jit, static_argnums=0)(_roll)


def _while(going: Callable[[_Now], Any], step: Callable[[_Now], _Now], now: _Now) -> _Now:
    """As ``lax.while_loop``, from Python."""
    while going(now):
        now = step(now)
    return now


# Each of these compiles by itself where the loop runs in Python, once for all that share it, and is part of the loop elsewhere.


@partial(jax.jit, static_argnums=(0, 1))
def _reset(env: Any, count: int, key: jax.Array) -> Start:
    return vectorize(_open(env), count).reset_env(key)


@partial(jax.jit, static_argnums=(0, 1))
def _step(env: Any, count: int, key: jax.Array, state: EnvState, action: jax.Array) -> Step:
    return vectorize(_open(env), count).step_env(key, state, action)


@partial(jax.jit, static_argnums=0)
def _prepare(network: Any, params: Params) -> Prepared:
    return _open(network).apply(params, method="prepare")


@jax.jit
def _keys(key: jax.Array, t: jax.Array) -> tuple[jax.Array, jax.Array]:
    key_act, key_step = jax.random.split(jax.random.fold_in(key, t))
    return key_act, key_step


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=2)
def _account(keep: Any, every: int, rows: tuple, now: _Now, seen: Moment, state: EnvState, info: Info) -> _Now:
    """Book a step: what those episodes that were under way have earned, and what is to be kept of it."""
    t, active, (rewards, kept) = now.t, now.active, rows
    trial_returns = now.trial_returns
    if trial_returns.shape[1]:
        trial_returns = trial_returns.at[jnp.arange(len(active)), info["trial"]].add(seen.reward)
    if keep is not None:
        place = jnp.where(t % every == 0, t // every, len(rewards))  # a place beyond the end is dropped
        kept = jax.tree.map(lambda rows, row: rows.at[place].set(row, mode="drop"), kept, keep(seen))
    return _Now(
        t=t + 1,
        obs=seen.next_obs,
        state=state,
        carry=jax.tree.map(lambda new, old: jnp.where(beside(active, new), new, old), seen.carry, now.carry),
        active=active & ~(seen.terminated | seen.truncated),
        returns=now.returns + seen.reward,
        lengths=now.lengths + active,
        trial_returns=trial_returns,
        rows=(rewards.at[t].set(seen.reward), kept),
    )


class _Held:
    """A static argument of jit that cannot be hashed, such as an environment that holds arrays: it stands for itself."""

    def __init__(self, value: Any):
        self.value = value


def _static(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return _Held(value)
    return value


def _open(value: Any) -> Any:
    return value.value if isinstance(value, _Held) else value
