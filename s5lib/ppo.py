"""Chapter 5. Proximal policy optimisation with a memory: the whole of it, from the rollout to the gradient step.

Times, with t counting the steps of a rollout: the agent reads ``obs[t]``, after forgetting if ``resets[t]``; acts; then come
``reward[t]``, ``terminated[t]`` and ``truncated[t]``. So ``resets[t + 1] = terminated[t] | truncated[t]``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from s5lib.acting import Episodes, Network, episodes, once
from s5lib.config import check_choice, check_flags, check_positive_int, check_widths, is_concrete
from s5lib.distributions import Distribution
from s5lib.envs import EpisodeStatistics, PreviousAction, ScaledAction, find, vectorize
from s5lib.envs import make as make_env
from s5lib.envs.base import AnyEnv, EnvState, Obs, check_interface, check_vectors, horizon_of
from s5lib.envs.spaces import is_vector
from s5lib.envs.vector import rarely
from s5lib.envs.worlds import ManyWorlds, check_share
from s5lib.envs.wrappers import in_reach, trials_of
from s5lib.memory import MEMORIES, Carry, Params, Prepared, make_memory
from s5lib.networks import ActorCritic
from s5lib.returns import gae

__all__ = ["Agent", "Hypers", "PPOConfig", "PPOState", "Rollout", "make", "ppo_loss"]


Number: TypeAlias = jax.Array | float  # one number, or one for each member of a ``vmap``
Options: TypeAlias = tuple[tuple[str, Any], ...]  # pairs (option, value): a dict that can be hashed


class Hypers(NamedTuple):
    """The numbers of PPO that may differ between members of one ``vmap``.

    Attributes:
        lr: Adam's step size at the start.
        ssm_lr: what the step size is multiplied by for the memory's slow parameters: S5's Lambda, B_tilde and log_step.
        gamma: discount, 0 to 1.
        gae_lambda: 0 (one-step advantages) to 1 (whole returns).
        clip_eps: how far the probability ratio may move, above 0.
        ent_coef: weight of the entropy bonus.
        vf_coef: weight of the value loss.
        max_grad_norm: the gradient's global norm is cut to this.
    """

    lr: Number
    ssm_lr: Number
    gamma: Number
    gae_lambda: Number
    clip_eps: Number
    ent_coef: Number
    vf_coef: Number
    max_grad_norm: Number


@dataclass(frozen=True)
class PPOConfig:
    """Everything a run depends on but its seed.

    Args:
        env: name of the environment, as ``s5lib.envs.make`` takes it.
        env_options: pairs (option, value) for it.
        memory: "s5", "gru", "lstm", "attention" or "none".
        features: width of the memory.
        memory_options: pairs (option, value) for ``make_memory``.
        encoder: widths of the encoder's hidden layers.
        head: widths of the hidden layers of actor and critic.
        num_envs: environments stepped side by side.
        num_steps: time steps of a rollout; the gradient reaches back no further.
        total_steps: environment steps of the whole run, over all environments; rounded up to whole rollouts.
        update_epochs: passes over each rollout.
        num_minibatches: parts of a rollout, each num_envs / num_minibatches whole sequences; divides num_envs.
        anneal: let the step size fall linearly to 0.
        previous_action: append the previous action and a first-step flag to the observation; in an environment with
            ``Trials``, the flag of a trial's end too.
        previous_reward: append the previous reward too.
        resets: tell the memory where episodes open; False is the ablation that remembers across them.
        normalize_advantage: give each minibatch's advantages mean 0 and variance 1.
        clip_value: let the values' change count only within clip_eps too, as the RL paper's code does.
        eval_episodes: episodes that ``evaluate`` plays.
        eval_env_options: pairs (option, value) that ``evaluate`` puts in the place of ``env_options``' own.
        lr: step size; this and the fields below are what ``Hypers`` holds and explains.
    Raises:
        TypeError, ValueError: a field outside its range; what does not divide is said with the nearest choices.
    """

    env: str = "RepeatPreviousEasy"
    env_options: Options = ()
    memory: str = "s5"
    features: int = 128
    memory_options: Options = ()
    encoder: tuple[int, ...] = (128,)
    head: tuple[int, ...] = (128,)
    num_envs: int = 64
    num_steps: int = 128
    total_steps: int = 1_000_000
    update_epochs: int = 4
    num_minibatches: int = 4
    anneal: bool = False
    previous_action: bool = True
    previous_reward: bool = False
    resets: bool = True
    normalize_advantage: bool = True
    clip_value: bool = False
    eval_episodes: int = 512
    eval_env_options: Options = ()
    lr: float = 5e-4
    ssm_lr: float = 1.0
    gamma: float = 0.99
    gae_lambda: float = 0.95
    clip_eps: float = 0.2
    ent_coef: float = 0.0
    vf_coef: float = 1.0
    max_grad_norm: float = 0.5

    def __post_init__(self) -> None:
        for name in (
            "features",
            "num_envs",
            "num_steps",
            "total_steps",
            "update_epochs",
            "num_minibatches",
            "eval_episodes",
        ):
            check_positive_int(name, getattr(self, name))
        check_flags(self)
        check_choice("memory", self.memory, tuple(MEMORIES))
        for name in ("encoder", "head"):
            check_widths(name, getattr(self, name))
        if self.num_envs % self.num_minibatches:
            divisors = [n for n in range(1, self.num_envs + 1) if self.num_envs % n == 0]
            near = [max((n for n in divisors if n < self.num_minibatches), default=1)]
            near += [min((n for n in divisors if n > self.num_minibatches), default=self.num_envs)]
            raise ValueError(
                f"num_minibatches must divide num_envs = {self.num_envs}; got {self.num_minibatches}. "
                f"The nearest that do: {' and '.join(map(str, near))}"
            )
        if self.normalize_advantage and self.num_envs // self.num_minibatches * self.num_steps == 1:
            raise ValueError(
                "normalize_advantage leaves nothing of a minibatch of one transition, whose mean it is: take more num_steps or "
                f"num_envs, or fewer num_minibatches; got num_steps = 1, num_minibatches = num_envs = {self.num_envs}"
            )
        check_hypers(self.hypers)

    @property
    def hypers(self) -> "Hypers":
        """The fields that may differ between members of one ``vmap``."""
        return Hypers(*(getattr(self, name) for name in Hypers._fields))

    @property
    def open_ended(self) -> tuple[str, ...]:
        """Fields that a run may be gone on with another value of: ``total_steps``, unless the step size falls towards its end."""
        return () if self.anneal else ("total_steps",)

    @property
    def num_updates(self) -> int:
        """Rollouts of the run: total_steps / (num_envs * num_steps), rounded up."""
        return -(-self.total_steps // (self.num_envs * self.num_steps))

    def make(self) -> "Agent":
        """As ``make(self)``."""
        return make(self)


EVALUATION = 2**31 - 1  # the stream of ``evaluate``'s key: splitting a key gives streams 0, 1, 2, which updates use

RANGES = {
    "lr": (0, np.inf), "ssm_lr": (0, np.inf), "gamma": (0, 1), "gae_lambda": (0, 1), "clip_eps": (1e-6, np.inf),
    "ent_coef": (0, np.inf), "vf_coef": (0, np.inf), "max_grad_norm": (1e-9, np.inf),
}  # fmt: skip


def check_hypers(hypers: Any, ranges: Mapping[str, tuple[float, float]] = RANGES) -> Any:
    """Return ``hypers``, PPO's or another learner's, if each number that can be looked at is in its range; else a ValueError."""
    for name, (low, high) in ranges.items():
        value = getattr(hypers, name)
        if is_concrete(value) and not np.all((np.asarray(value) >= low) & (np.asarray(value) <= high)):
            raise ValueError(f"{name} must lie between {low:g} and {high:g}; got {value}")
    return hypers


class Rollout(NamedTuple):
    """What the agent saw and did, leaves (T, B, ...).

    Attributes:
        obs: what it saw.
        resets: True where obs opens an episode.
        action: what it did.
        log_prob: of that action at the time.
        value: the critic's estimate at obs.
        reward: what came of it.
        ended: no later reward counts for this step or an earlier one: an episode's last, or a trial's that asks for it.
        cut_value: the value of the episode's last observation where it was truncated, and nothing else ended the sum; else 0.
    """

    obs: Obs
    resets: jax.Array
    action: jax.Array
    log_prob: jax.Array
    value: jax.Array
    reward: jax.Array
    ended: jax.Array
    cut_value: jax.Array


class PPOState(struct.PyTreeNode):
    """Everything that changes from one update to the next; a pytree, so that ``vmap`` over seeds carries many."""

    params: Params
    opt_state: optax.OptState
    env_state: EnvState
    obs: Obs
    resets: jax.Array
    carry: Carry
    key: jax.Array
    hypers: Hypers
    update: jax.Array
    latest: dict[str, jax.Array]  # mean returns of the episodes, and trials, that ended last; NaN until one has


def ppo_loss(
    policy: Distribution,
    value: jax.Array,
    rollout: Rollout,
    advantage: jax.Array,
    target: jax.Array,
    hypers: Hypers,
    clip_value: bool = False,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    r"""The clipped surrogate, a value loss and an entropy bonus.

    With the ratio ``r = exp(log_prob - rollout.log_prob)`` the policy loss is the mean of
    ``-min(r * A, clip(r, 1 - eps, 1 + eps) * A)``; the value loss is ``0.5 * (value - target)^2``, or with ``clip_value``
    the larger of that and the same for a value that moved no more than eps. ``log r`` is cut at 20: a narrow policy that
    moves far would make ``r`` infinite, and one such step every weight NaN.

    Args:
        policy: the present distribution over (T, B).
        value: (T, B), the present values.
        rollout: what was done.
        advantage: (T, B).
        target: (T, B), what the values should be: advantage plus old value.
        hypers: clip_eps, ent_coef and vf_coef count.
        clip_value: clip the values' change as well.
    Returns:
        The loss, and its parts and diagnostics by name.
    Source: Schulman et al. 2017 (arXiv 1707.06347), equations 7 and 9.
    """
    log_ratio = jnp.minimum(policy.log_prob(rollout.action) - rollout.log_prob, 20.0)
    ratio = jnp.exp(log_ratio)
    clipped = jnp.clip(ratio, 1 - hypers.clip_eps, 1 + hypers.clip_eps)
    policy_loss = -jnp.minimum(ratio * advantage, clipped * advantage).mean()
    error = jnp.square(value - target)
    if clip_value:
        near = rollout.value + jnp.clip(value - rollout.value, -hypers.clip_eps, hypers.clip_eps)
        error = jnp.maximum(error, jnp.square(near - target))
    value_loss = 0.5 * error.mean()
    entropy = policy.entropy().mean()
    loss = policy_loss + hypers.vf_coef * value_loss - hypers.ent_coef * entropy
    return loss, {
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "entropy": entropy,
        "approx_kl": (ratio - 1 - log_ratio).mean(),
        "clip_fraction": (jnp.abs(ratio - 1) > hypers.clip_eps).mean(),
    }


@dataclass(frozen=True)
class Agent:
    """PPO on one environment: pure functions of a state, for ``jit`` and ``vmap``; made by ``make``.

    Attributes:
        config: what was asked for.
        env: the wrapped environment.
        eval_env: that of ``evaluate``; the same, unless another was asked for.
        network: its ActorCritic, or a network of your own.
    """

    config: PPOConfig
    env: AnyEnv
    eval_env: AnyEnv
    network: Any  # a Network

    @property
    def steps_per_update(self) -> int:
        """Environment steps of one update; ``runs.train`` counts them, in whole numbers that do not run over."""
        return self.config.num_envs * self.config.num_steps

    @property
    def worlds(self) -> tuple[str, ...]:
        """Names of the worlds of ``ManyWorlds``; none where the environment is one."""
        return worlds_of(self.env)

    @property
    def _returns(self) -> tuple[str, ...]:
        return ("return", "trial_return") if trials_of(self.env) else ("return",)

    def init(self, key: jax.Array, hypers: Hypers | None = None) -> PPOState:
        """Start: fresh weights, fresh environments.

        Args:
            key: random key.
            hypers: in place of the config's; may be traced, one set for each member of a ``vmap``.
        Returns:
            A PPOState.
        Raises:
            ValueError: a number outside its range.
        """
        hypers = check_hypers(self.config.hypers if hypers is None else hypers)
        key, key_env, key_net = jax.random.split(key, 3)
        B = self.config.num_envs
        obs, env_state = vectorize(self.env, B).reset(key_env)
        carry, resets = self.network.initial_carry(B), jnp.ones(B, bool)
        params = self.network.init(key_net, carry, *once((obs, resets)))
        state = PPOState(
            params=params,
            opt_state=ADAM.init(params),
            env_state=env_state,
            obs=obs,
            resets=resets,
            carry=carry,
            key=key,
            hypers=jax.tree.map(jnp.float32, hypers),
            update=jnp.int32(0),
            latest={name: jnp.full(len(self.worlds) or (), jnp.nan, jnp.float32) for name in self._returns},
        )
        return jax.tree.map(jnp.copy, state)  # each leaf a buffer of its own, so that the state may be donated

    def update(self, state: PPOState) -> tuple[PPOState, dict[str, jax.Array]]:
        """One rollout and the gradient steps on it.

        Args:
            state: where the last update stopped.
        Returns:
            The new state, and metrics: "return" is the mean of the episodes that ended in this rollout, or, where none did, in
            the last one that had any, and NaN until an episode has ended; so is "trial_return" of ``Trials``, and each
            "return/<name>" of ``ManyWorlds``. "episodes" counts those of this rollout.
        """
        config, hypers = self.config, state.hypers
        key, key_rollout, key_epochs = jax.random.split(state.key, 3)
        carry_start = state.carry

        # COLLECT A ROLLOUT
        state, rollout, finished = self.collect(state, key_rollout)

        # ADVANTAGES
        _, _, last_value = self._read(state.params, state.carry, *once((state.obs, state.resets)))
        following = jnp.concatenate([rollout.value[1:], last_value])
        next_value = jnp.where(rollout.ended, rollout.cut_value, following)
        advantage = gae(rollout.reward, rollout.value, next_value, rollout.ended, hypers.gamma, hypers.gae_lambda)
        target = advantage + rollout.value

        # GRADIENT STEPS: each minibatch is a set of whole sequences with the carry they started from
        def loss_of(
            params: Params, carry: Carry, rollout: Rollout, advantage: jax.Array, target: jax.Array
        ) -> tuple[jax.Array, dict[str, jax.Array]]:
            _, policy, value = self._read(params, carry, rollout.obs, rollout.resets)
            if config.normalize_advantage:
                advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
            return ppo_loss(policy, value, rollout, advantage, target, hypers, config.clip_value)

        def minibatch(learned: tuple, chosen: jax.Array) -> tuple:
            params, opt_state = learned
            carry = jax.tree.map(lambda leaf: leaf[chosen], carry_start)
            part = jax.tree.map(lambda leaf: leaf[:, chosen], (rollout, advantage, target))
            (loss, parts), grads = jax.value_and_grad(loss_of, has_aux=True)(params, carry, *part)
            params, opt_state, norm = self._step(params, opt_state, grads, hypers, state.update)
            return (params, opt_state), {"loss": loss, **parts, "grad_norm": norm}

        def epoch(learned: tuple, key: jax.Array) -> tuple:
            order = jax.random.permutation(key, config.num_envs).reshape(config.num_minibatches, -1)
            return jax.lax.scan(minibatch, learned, order)

        keys = jax.random.split(key_epochs, config.update_epochs)
        metrics: Any
        (params, opt_state), metrics = jax.lax.scan(epoch, (state.params, state.opt_state), keys)

        # METRICS
        metrics = jax.tree.map(jnp.mean, metrics)
        metrics["explained_variance"] = 1 - jnp.var(target - rollout.value) / (jnp.var(target) + 1e-8)
        latest, told = episode_means(finished, state.latest, self.worlds)
        metrics |= told
        metrics["episodes"] = finished["return"].ended.sum(dtype=jnp.int32)
        state = state.replace(params=params, opt_state=opt_state, key=key, update=state.update + 1, latest=latest)
        return state, metrics

    def collect(self, state: PPOState, key: jax.Array) -> tuple[PPOState, Rollout, dict[str, "Finished"]]:
        """Act for ``num_steps`` steps in all environments; the memory's matrices are prepared once.

        Args:
            state: where the last rollout stopped.
            key: random key.
        Returns:
            The state with environments, observation, resets and carry moved on; the Rollout; what ended in it: ``"return"``
            of episodes and, of an environment with ``Trials``, ``"trial_return"``.
        """
        envs, params = vectorize(self.env, self.config.num_envs), state.params
        prepared = self.network.apply(params, method="prepare")

        def value_of_cut(zero: jax.Array, carry: Carry, obs: Obs, params: Params, prepared: Prepared) -> jax.Array:
            unset = jnp.zeros(zero.shape, bool)  # the episode's own last observation: nothing is forgotten before it
            return self._read(params, carry, *once((obs, unset)), prepared)[2][0]

        def step(now: tuple, key: jax.Array) -> tuple:
            env_state, obs, resets, carry = now
            key_act, key_step = jax.random.split(key)
            carry, policy, value = self._read(params, carry, *once((obs, resets)), prepared)
            action = policy.sample(key_act)
            log_prob = policy.log_prob(action)[0]
            next_obs, env_state, reward, terminated, truncated, info = envs.step(key_step, env_state, action[0])
            # A trial may end the sum of rewards, though memory goes on.
            over = terminated | info.get("returns_end", False)
            cut = truncated & ~over
            final_value = rarely(
                cut.any(), value_of_cut, jnp.zeros_like(reward), carry, info["final_observation"], params, prepared
            )
            ended = terminated | truncated
            stops, cut_value = truncated | over, jnp.where(cut, final_value, 0)
            row = Rollout(obs, resets, action[0], log_prob, value[0], reward, stops, cut_value)
            finished = {"return": Finished(ended, info["episode_return"])}
            if "trial_return" in self._returns:
                finished["trial_return"] = Finished(info["trial_ended"], info["trial_return"])
            return (env_state, next_obs, ended, carry), (row, finished)

        start = (state.env_state, state.obs, state.resets, state.carry)
        rows: Any
        end, rows = jax.lax.scan(step, start, jax.random.split(key, self.config.num_steps))
        env_state, obs, resets, carry = end
        return state.replace(env_state=env_state, obs=obs, resets=resets, carry=carry), *rows

    def evaluate(self, state: PPOState) -> dict[str, jax.Array]:
        """Play ``eval_episodes`` fresh episodes with the sampled policy: mean return, its standard error, mean length.

        Each starts from an empty memory. An agent that was trained without resets knows no such start, so each of its
        episodes follows one that is not counted and goes on with that one's memory, as in training.

        Args:
            state: the trained state.
        Returns:
            "return", "return_se" and "length"; of ``ManyWorlds``, "return/<name>" of each world too and, where some of them
            were not trained on, the means over "return_trained" and "return_held_out" worlds; of an environment with a number
            of ``Trials``, "trial/<k>", the mean return of each trial, from 0, and their mean, "trial_return".
        """
        config, carry = self.config, None
        for key in jax.random.split(jax.random.fold_in(state.key, EVALUATION), 1 if config.resets else 2):
            found = episodes(self.network, state.params, self.eval_env, key, config.eval_episodes, carry=carry)
            carry = found.carry
        return told_of(found, self.eval_env, self.worlds)

    def _read(
        self, params: Params, carry: Carry, obs: Obs, resets: jax.Array, prepared: Prepared = None
    ) -> tuple[Carry, Distribution, jax.Array]:
        told = resets if self.config.resets else jnp.zeros_like(resets)
        read: Any = self.network.apply(params, carry, obs, told, prepared)
        return read

    def _step(
        self, params: Params, opt_state: optax.OptState, grads: Params, hypers: Hypers, update: jax.Array
    ) -> tuple[Params, optax.OptState, jax.Array]:
        left = jnp.maximum(0.0, 1 - update / self.config.num_updates) if self.config.anneal else 1.0
        return descend(self.network, params, opt_state, grads, hypers.lr * left, hypers)


def descend(
    network: Any, params: Params, opt_state: optax.OptState, grads: Params, lr: Number, hypers: Any
) -> tuple[Params, optax.OptState, jax.Array]:
    """Cut the gradient's global norm, take an Adam step; the memory's slow parameters move at their own pace.

    Args:
        network: what the parameters are of; its ``memory``, if it has one, says which of that one's are slow.
        params: flax's, ``{"params": ...}``.
        opt_state: Adam's.
        grads: as ``params``.
        lr: step size.
        hypers: ``max_grad_norm`` and ``ssm_lr`` count.
    Returns:
        New parameters, Adam's new state, and the gradient's norm before the cut.
    """
    norm = jnp.sqrt(sum(jnp.sum(jnp.square(g)) for g in jax.tree.leaves(grads)))
    grads = jax.tree.map(lambda g: g * jnp.minimum(1.0, hypers.max_grad_norm / (norm + 1e-9)), grads)
    moves, opt_state = ADAM.update(grads, opt_state)
    slow = getattr(getattr(network, "memory", None), "slow_parameters", ())

    def move(path: tuple, parameter: jax.Array, move: jax.Array) -> jax.Array:
        names = [getattr(step, "key", None) for step in path]
        inside = names[1:2] == ["memory"]  # after "params"; a leaf of the same name elsewhere is another matter
        pace = hypers.ssm_lr if inside and names[-1] in slow else 1.0
        return parameter - lr * pace * move

    return jax.tree_util.tree_map_with_path(move, params, moves), opt_state, norm


def worlds_of(env: AnyEnv) -> tuple[str, ...]:
    """Names of the worlds of ``ManyWorlds``; none where the environment is one."""
    return env.names if isinstance(env, ManyWorlds) else ()


def _named(what: str, names: tuple[str, ...], values: jax.Array) -> dict[str, jax.Array]:
    return {f"{what}/{name}": values[i] for i, name in enumerate(names)}


def _shapes(env: AnyEnv) -> Any:
    """The shapes of an environment's observations: of vectors their length."""
    space = env.observation_space(env.default_params)
    if is_vector(space):
        return space.shape[0]
    obs, _ = jax.eval_shape(vectorize(env, len(worlds_of(env)) or 1).reset_env, jax.random.key(0))
    return jax.tree.map(lambda leaf: leaf.shape[1:], obs)


class Finished(NamedTuple):
    """Where episodes, or trials, ended in a rollout, and what each had earned by then; (T, B)."""

    ended: jax.Array
    total: jax.Array


def episode_means(
    finished: dict[str, Finished], latest: dict[str, jax.Array], worlds: tuple[str, ...]
) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """Mean returns of what ended in a rollout; where nothing did, those of the last that had any.

    Args:
        finished: a name -> what ended.
        latest: a name -> the last means, (), or (worlds,) of many.
        worlds: their names.
    Returns:
        The new ``latest``, and metrics: each name, and of many worlds ``"<name>/<world>"`` too.
    """

    def over(leaf: jax.Array) -> jax.Array:
        return leaf.reshape(len(leaf), len(worlds), -1).sum((0, 2)) if worlds else leaf.sum()

    means: dict[str, jax.Array] = {}
    metrics: dict[str, jax.Array] = {}
    for name, (ended, total) in finished.items():
        count = over(ended)
        mean = jnp.where(count > 0, over(ended * total) / jnp.maximum(count, 1), latest[name])
        means[name] = mean
        metrics |= {name: mean.mean(), **_named(name, worlds, mean)}
    return means, metrics


def told_of(found: Episodes, env: AnyEnv, trained: tuple[str, ...]) -> dict[str, jax.Array]:
    """What ``evaluate`` tells of episodes played, see there.

    Args:
        found: the episodes.
        env: where they were played.
        trained: names of the worlds of ``ManyWorlds`` that were learnt in.
    Returns:
        Numbers by name.
    """
    total, trials = found.returns, found.trial_returns
    names = worlds_of(env)
    part = total.reshape(len(names) or 1, -1)  # each world's share is fixed: only spread within it is chance
    se = jnp.sqrt(part.var(1).mean() / total.size)
    told = {f"trial/{k}": trials[:, k].mean() for k in range(trials.shape[1])}
    told |= {"trial_return": trials.mean()} if told else {}
    worlds = _named("return", names, part.mean(1))
    if set(trained) & set(names) and set(names) - set(trained):
        known = np.isin(names, trained)
        worlds |= {"return_trained": part[known].mean(), "return_held_out": part[~known].mean()}
    return {"return": total.mean(), "return_se": se, "length": found.lengths.mean(), **worlds, **told}


ADAM = optax.scale_by_adam(eps=1e-5)  # what ``descend`` steps with, and so what its ``opt_state`` is begun by


def environments(
    config: Any, env: AnyEnv | None, eval_env: AnyEnv | None, network: Network | None
) -> tuple[AnyEnv, AnyEnv]:
    """The wrapped environments that a config asks for, of training and of ``evaluate``; as ``make`` takes them.

    Args:
        config: a PPOConfig, or another with its fields of environments.
        env: your own, or None.
        eval_env: likewise.
        network: your own, or None.
    Returns:
        The two.
    Raises:
        ValueError, TypeError: as ``make``.
    """

    def wrap(env: AnyEnv) -> EpisodeStatistics:
        check_interface(env)
        env = env if in_reach(env.action_space(env.default_params)) else ScaledAction(env)
        if network is None or config.previous_action:
            check_vectors(env, " Others need make(config, env, network=...) and previous_action=False")
        if config.previous_action:
            env = PreviousAction(env, reward=config.previous_reward, trial=trials_of(env) is not None)
        return EpisodeStatistics(env)

    def wrapped(env: AnyEnv, share: str) -> AnyEnv:
        if not isinstance(env, ManyWorlds):
            return wrap(env)
        check_share(share, getattr(config, share), env)
        return env.wrap(wrap)

    if isinstance(network, type) or (network is not None and not hasattr(network, "initial_carry")):
        raise TypeError(f"network must be an object with initial_carry and prepare; got {network!r}")
    find(config.env)
    for name, own in {"env_options": env, "eval_env_options": eval_env if env is None else env}.items():
        if own is not None and getattr(config, name):
            raise ValueError(f"{name} must be empty beside an environment of your own; got {getattr(config, name)}")
    if env is None:
        options = dict(config.env_options)
        env = make_env(config.env, **options)
        if eval_env is None and config.eval_env_options:
            eval_env = make_env(config.env, **{**options, **dict(config.eval_env_options)})
    env, eval_env = wrapped(env, "num_envs"), wrapped(env if eval_env is None else eval_env, "eval_episodes")
    sizes, eval_sizes = ((_shapes(e), str(e.action_space(e.default_params))) for e in (env, eval_env))
    if sizes != eval_sizes:
        raise ValueError(f"eval_env must have the observations and actions of env, {sizes}; got {eval_sizes}")
    horizon_of(eval_env)  # said now, and not when a long run is over and to be scored
    return env, eval_env


def make(
    config: PPOConfig, env: AnyEnv | None = None, eval_env: AnyEnv | None = None, network: Network | None = None
) -> Agent:
    """Build the agent that a config describes.

    Actions whose bounds are far from 1, such as -2000 to 2000, are stretched: see ``ScaledAction``.

    Args:
        config: a PPOConfig.
        env: your own environment, with gymnax's interface and vectors as observations, or ``ManyWorlds``; made from
            ``config.env`` if None. ``config.env`` is then no more than a name, though a known one, and options are refused.
        eval_env: another for ``evaluate``, with the same spaces; if None, your own, or what ``config.eval_env_options`` ask for.
        network: your own, a flax module that is called as an ``ActorCritic`` is and returns the same, with its ``initial_carry``
            and ``prepare``; it may read observations of any kind, pictures or a dictionary of them. The config's memory, encoder
            and head are then not used; where it calls a memory ``memory``, that one's slow parameters heed ``ssm_lr``.
    Returns:
        An Agent.
    Raises:
        ValueError, TypeError: the environment, memory or an option is unknown, observations are not vectors, ``eval_env`` has
            other spaces or does not say how long its episodes may be, many worlds cannot have equal shares of the environments, or
            options are set for an environment that is given.
    Example:
        >>> agent = make(PPOConfig(features=16, num_envs=4, num_steps=16, num_minibatches=2))
        >>> state, metrics = jax.jit(agent.update)(agent.init(jax.random.key(0)))
        >>> int(metrics["episodes"]), bool(jnp.isnan(metrics["return"]))  # no episode of 51 steps ends in 16
        (0, True)

    """
    env, eval_env = environments(config, env, eval_env, network)
    if network is None:
        memory = make_memory(config.memory, config.features, **dict(config.memory_options))
        network = ActorCritic(env.action_space(env.default_params), memory, config.encoder, config.head)
    return Agent(config, env, eval_env, network)
