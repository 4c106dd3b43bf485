"""Who plays without being trained: one episode by random actions, by an environment's best player, or by a function."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from s5lib.envs.base import AnyEnv, EnvParams, EnvState, Obs, advance, begin, check_interface, horizon_of, is_cut

__all__ = ["Episode", "Player", "play"]

Player = Callable[[jax.Array, EnvState, Obs], jax.Array]  # key, state, obs -> what is done


class Episode(NamedTuple):
    """One episode, all with a leading time axis of as many steps as the longest has.

    Attributes:
        obs: what was seen before each action.
        state: the hidden state at that time.
        action: what was done.
        reward: what it earned; 0 after the end.
        terminated: known after the step.
        truncated: known after the step.
        active: True until the episode's last step, that step included; what stands later means nothing.
        next_obs: what was seen after each action, never a reset's.
    """

    obs: Obs
    state: EnvState
    action: jax.Array
    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    active: jax.Array
    next_obs: Obs


def play(env: AnyEnv, key: jax.Array, policy: str | Player = "random", params: EnvParams | None = None) -> Episode:
    """Play one episode without a reset; pure, so that ``vmap`` over keys plays many.

    Args:
        env: any environment that says how long its episodes may be, see ``TimeLimit``.
        key: the same key plays the same episode.
        policy: ``"random"`` (uniform actions), ``"best"`` (``env.best_action``) or a function of (key, state, obs).
        params: the environment's, or None for its own defaults.
    Returns:
        An ``Episode`` of as many steps as the environment's longest.
    Raises:
        ValueError: ``policy`` is another string, the environment does not say how long its episodes may be, or is refused as by
            ``Wrapper``.
    Example:
        >>> from s5lib.envs import make
        >>> episode = play(make("RepeatPreviousEasy"), jax.random.key(0), "best")
        >>> round(float(episode.reward.sum()), 4)
        1.0

    """
    check_interface(env)
    params = env.default_params if params is None else params
    named: dict[str, Player] = {
        "random": lambda key, state, obs: env.action_space(params).sample(key),
        "best": lambda key, state, obs: env.best_action(state),
    }
    if isinstance(policy, str) and policy not in named:
        raise ValueError(f"policy must be 'random', 'best' or a function of (key, state, obs); got {policy!r}")
    act: Player = named[policy] if isinstance(policy, str) else policy
    key_reset, key_steps = jax.random.split(key)
    obs, state = begin(env, key_reset, params)

    def step(carry: tuple, key: jax.Array) -> tuple:
        obs, state, active = carry
        key_act, key_step = jax.random.split(key)
        action = act(key_act, state, obs)
        next_obs, next_state, reward, terminated, _ = advance(env, key_step, state, action, params)
        truncated = is_cut(env, next_state, params)
        row = Episode(obs, state, action, jnp.where(active, reward, 0), terminated, truncated, active, next_obs)
        return (next_obs, next_state, active & ~(terminated | truncated)), row

    return jax.lax.scan(step, (obs, state, jnp.bool_(True)), jax.random.split(key_steps, horizon_of(env)))[1]
