"""Chapter 9. AMAGO: off-policy actor and critics whose context is the whole rollout, for many discounts at once.

Times, with t counting the steps of a trajectory from 0: the agent reads ``obs[t]``, acts, and ``reward[t]`` and ``terminated[t]``
follow. A trajectory of length L has observations 0 to L; steps t < L are learnt from.

One encoder and one memory, the trunk, read a trajectory once per gradient step; small heads read the trunk. Only the heads have
target copies. The critics' loss trains the trunk, and so does the actor's, through the policy alone.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from s5lib.acting import Moment, episodes, once
from s5lib.config import check_choice, check_flags, check_positive_int, check_widths
from s5lib.envs import spaces, vectorize
from s5lib.envs.base import AnyEnv, EnvState, Obs, horizon_of
from s5lib.envs.goals.instruction import InstructedState, Layout, layout_of
from s5lib.envs.wrappers import inner, trials_of
from s5lib.memory import MEMORIES, Carry, Params, make_memory
from s5lib.networks import MultiGammaActorCritic
from s5lib.offpolicy import PopArt, bin_centers, epsilon, explored, inside, masked_mean, td_target, two_hot
from s5lib.ppo import (
    ADAM,
    EVALUATION,
    Finished,
    Number,
    Options,
    check_hypers,
    descend,
    environments,
    episode_means,
    told_of,
    worlds_of,
)  # fmt: skip
from s5lib.replay import STRATEGIES, Replay, Steps, Trajectories, append, create, relabel, sample

__all__ = ["Agent", "AmagoConfig", "AmagoState", "Hypers", "amago_loss", "make"]

CRITICS = ("popart", "two_hot")
S5_OPTIONS: Options = (("state_size", 64), ("activation", "half_glu1"))


class Hypers(NamedTuple):
    """The numbers of AMAGO that may differ between members of one ``vmap``.

    Attributes:
        lr: Adam's step size once it is warm.
        ssm_lr: what the step size is multiplied by for the memory's slow parameters: S5's Lambda, B_tilde and log_step.
        tau: how far target heads move towards the learnt ones in a gradient step, 0 to 1.
        td_coef: weight of the critics' loss.
        pg_coef: weight of the policy gradient.
        bc_coef: weight of filtered behaviour cloning.
        max_grad_norm: the gradient's global norm is cut to this.
    """

    lr: Number
    ssm_lr: Number
    tau: Number
    td_coef: Number
    pg_coef: Number
    bc_coef: Number
    max_grad_norm: Number


@dataclass(frozen=True)
class AmagoConfig:
    """Everything a run depends on but its seed.

    Args:
        env: name of the environment, as ``s5lib.envs.make`` takes it; it must say how long its episodes may be.
        env_options: pairs (option, value) for it.
        memory: "s5", "gru", "lstm", "attention" or "none".
        features: width of the memory.
        memory_options: pairs (option, value) for ``make_memory``; the default is S5's, and of another memory none.
        encoder: widths of the encoder's hidden layers.
        head: widths of the hidden layers of the actor and of each critic.
        gammas: discounts, rising; all are learnt at once.
        acting_gamma: the one of them that acts.
        critic: "popart", one output a value, on the scale of that discount's targets; "two_hot", bins on the scale of ``symlog``.
        bins: of a two-hot critic.
        bin_limit: the largest value that bins can tell.
        critics: how many there are.
        target_critics: how many of them, drawn at each gradient step, a target takes the least of.
        num_envs: environments stepped side by side.
        num_steps: time steps collected before each ``updates_per_collect``.
        total_steps: environment steps of the whole run, over all environments; rounded up to whole updates.
        updates_per_collect: gradient steps of an update, none before the ring holds ``batch_size`` trajectories.
        batch_size: trajectories of a gradient step.
        capacity: trajectories that the ring holds.
        relabel: "some" or "all", hindsight for worlds with goals, see ``s5lib.replay.relabel``; "none".
        rarity: how much hindsight favours what a trajectory seldom achieved.
        reward_scale: what rewards are multiplied by in learning.
        popart_beta: how fast ``PopArt`` follows the targets.
        epsilon_start: share of random actions at a trajectory's first step, early and late in training.
        epsilon_end: likewise at its last possible step. A number drawn for each trajectory, 0 to 1, multiplies both.
        epsilon_steps: environment steps over which they fall.
        warmup: gradient steps over which the step size rises.
        previous_action: append the previous action and a first-step flag to the observation; in an environment with
            ``Trials``, the flag of a trial's end too.
        previous_reward: append the previous reward too.
        eval_episodes: episodes that ``evaluate`` plays.
        eval_env_options: pairs (option, value) that ``evaluate`` puts in the place of ``env_options``' own.
        lr: step size; this and the fields below are what ``Hypers`` holds and explains.
    Raises:
        TypeError, ValueError: a field outside its range, or fields that do not go together.
    """

    env: str = "PackageDeliveryEasy"
    env_options: Options = ()
    memory: str = "s5"
    features: int = 64
    memory_options: Options = S5_OPTIONS
    encoder: tuple[int, ...] = (64, 64)
    head: tuple[int, ...] = (64,)
    gammas: tuple[float, ...] = (0.7, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
    acting_gamma: float = 0.999
    critic: str = "popart"
    bins: int = 64
    bin_limit: float = 1e5
    critics: int = 4
    target_critics: int = 2
    num_envs: int = 64
    num_steps: int = 8
    total_steps: int = 1_000_000
    updates_per_collect: int = 1
    batch_size: int = 24
    capacity: int = 4000
    relabel: str = "some"
    rarity: float = 0.0
    reward_scale: float = 10.0
    popart_beta: float = 1e-3
    epsilon_start: tuple[float, float] = (1.0, 0.05)
    epsilon_end: tuple[float, float] = (0.8, 0.01)
    epsilon_steps: int = 400_000
    warmup: int = 200
    previous_action: bool = True
    previous_reward: bool = True
    eval_episodes: int = 512
    eval_env_options: Options = ()
    lr: float = 1e-3
    ssm_lr: float = 1.0
    tau: float = 0.01
    td_coef: float = 10.0
    pg_coef: float = 1.0
    bc_coef: float = 0.1
    max_grad_norm: float = 1.0

    def __post_init__(self) -> None:
        for name in (
            "features", "critics", "target_critics", "num_envs", "num_steps", "total_steps", "updates_per_collect",
            "batch_size", "capacity", "epsilon_steps", "warmup", "eval_episodes",
        ):  # fmt: skip
            check_positive_int(name, getattr(self, name))
        check_flags(self)
        for name, choices in (("memory", tuple(MEMORIES)), ("critic", CRITICS), ("relabel", STRATEGIES)):
            check_choice(name, getattr(self, name), choices)
        for name in ("encoder", "head"):
            check_widths(name, getattr(self, name))
        if self.memory != "s5" and self.memory_options == S5_OPTIONS:
            object.__setattr__(self, "memory_options", ())
        _check_gammas(self.gammas, self.acting_gamma)
        for name in ("epsilon_start", "epsilon_end"):
            pair = getattr(self, name)
            if not isinstance(pair, tuple) or len(pair) != 2 or not all(0 <= share <= 1 for share in pair):
                raise ValueError(f"{name} must be two shares from 0 to 1, early and late in training; got {pair!r}")
        bin_centers(self.bins, self.bin_limit)
        for name, low, high in (("reward_scale", 0, np.inf), ("popart_beta", 0, 1)):
            if not low < getattr(self, name) < high:
                raise ValueError(f"{name} must lie between {low} and {high}; got {getattr(self, name)}")
        if self.target_critics > self.critics:
            raise ValueError(f"target_critics must be critics = {self.critics} at most; got {self.target_critics}")
        if self.capacity < self.num_envs or self.capacity < self.batch_size:
            raise ValueError(
                f"capacity must be at least num_envs = {self.num_envs}, which may all end at once, and batch_size = "
                f"{self.batch_size}; got {self.capacity}"
            )
        check_hypers(self.hypers, RANGES)

    @property
    def hypers(self) -> Hypers:
        """The fields that may differ between members of one ``vmap``."""
        return Hypers(*(getattr(self, name) for name in Hypers._fields))

    @property
    def open_ended(self) -> tuple[str, ...]:
        """Fields that a run may be gone on with another value of: nothing falls towards the run's end."""
        return ("total_steps",)

    @property
    def num_updates(self) -> int:
        """Updates of the run: total_steps / (num_envs * num_steps), rounded up."""
        return -(-self.total_steps // (self.num_envs * self.num_steps))

    def make(self) -> "Agent":
        """As ``make(self)``."""
        return make(self)


def _check_gammas(gammas: Any, acting: float) -> None:
    if not isinstance(gammas, tuple) or not gammas:
        raise TypeError(f"gammas must be a tuple of discounts, such as (0.9, 0.999); got {gammas!r}")
    if not all(0 < gamma < 1 for gamma in gammas) or list(gammas) != sorted(set(gammas)):
        raise ValueError(f"gammas must lie between 0 and 1, both excluded, each once, rising; got {gammas}")
    if acting not in gammas:
        raise ValueError(f"acting_gamma must be one of gammas = {gammas}; got {acting}")


RANGES = {
    "lr": (0, np.inf), "ssm_lr": (0, np.inf), "tau": (1e-9, 1), "td_coef": (0, np.inf), "pg_coef": (0, np.inf),
    "bc_coef": (0, np.inf), "max_grad_norm": (1e-9, np.inf),
}  # fmt: skip


class AmagoState(struct.PyTreeNode):
    """Everything that changes from one update to the next; a pytree, so that ``vmap`` over seeds carries many."""

    params: Params  # the network's: "params", and "popart" where critics learn on that scale
    target: Params  # the slowly moving copies of the heads' parameters
    opt_state: optax.OptState
    replay: Replay
    current: Trajectories  # of each environment, the trajectory under way
    time: jax.Array  # (B,), its steps so far
    boldness: jax.Array  # (B,), what multiplies the share of random actions in it
    env_state: EnvState
    obs: Obs
    resets: jax.Array
    carry: Carry
    key: jax.Array
    hypers: Hypers
    update: jax.Array
    latest: dict[str, jax.Array]  # means of the episodes, and trials, that ended last; NaN until one has


def amago_loss(
    td_error: jax.Array,
    improvement: jax.Array,
    log_prob: jax.Array,
    advantage: jax.Array,
    mask: jax.Array,
    hypers: Hypers,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    r"""Critics, policy gradient and filtered behaviour cloning, each the mean over steps, discounts and critics.

    ``td_coef * mean(td_error) - pg_coef * mean(improvement) - bc_coef * mean(1[advantage > 0] * log_prob)``.
    With pg_coef = 0 the policy only clones what was better than itself: the critic-regularised regression of AMAGO-2.

    Args:
        td_error: (K, T, B, G), each critic's loss against the target.
        improvement: (T, B, G), the value of the policy's own actions, on the critics' scale; gradients reach the policy alone.
        log_prob: (T, B, G), of the actions that were taken, under each discount's policy.
        advantage: (T, B, G), ``Q(s, a) - E_{a' ~ pi} Q(s, a')``; no gradient flows.
        mask: (T, B) bool, the steps that count.
        hypers: td_coef, pg_coef and bc_coef count.
    Returns:
        The loss, and its parts by name.
    Source: Grigsby et al. 2024 (arXiv 2310.09971), appendix A.2.
    """
    good = jax.lax.stop_gradient(advantage) > 0
    parts = {
        "td_loss": masked_mean(td_error.mean(0), mask),
        "policy_loss": -masked_mean(improvement, mask),
        "bc_loss": -masked_mean(jnp.where(good, log_prob, 0), mask),
    }
    loss = hypers.td_coef * parts["td_loss"] + hypers.pg_coef * parts["policy_loss"] + hypers.bc_coef * parts["bc_loss"]
    return loss, {**parts, "filter": masked_mean(good.astype(jnp.float32), mask)}


class _Judged(NamedTuple):
    """What the loss is made of; see ``amago_loss``."""

    out: jax.Array  # of the critics, for the actions taken
    value: jax.Array  # what that means, (K, T, B, G)
    own: jax.Array  # of the policy's own actions, (K, T, B, G): E_pi Q, or Q of one drawn
    least: jax.Array  # the same for the least of all critics, (T, B, G)
    next_value: jax.Array  # after the step, by the targets, (T, B, G)


@dataclass(frozen=True)
class Agent:
    """AMAGO on one environment: pure functions of a state, for ``jit`` and ``vmap``; made by ``make``.

    Attributes:
        config: what was asked for.
        env: the wrapped environment.
        eval_env: that of ``evaluate``; the same, unless another was asked for.
        network: its MultiGammaActorCritic.
    """

    config: AmagoConfig
    env: AnyEnv
    eval_env: AnyEnv
    network: MultiGammaActorCritic

    @property
    def steps_per_update(self) -> int:
        """Environment steps of one update; ``runs.train`` counts them, in whole numbers that do not run over."""
        return self.config.num_envs * self.config.num_steps

    @property
    def worlds(self) -> tuple[str, ...]:
        """Names of the worlds of ``ManyWorlds``; none where the environment is one."""
        return worlds_of(self.env)

    @property
    def _means(self) -> tuple[str, ...]:
        trial = ("trial_return",) * (trials_of(self.env) is not None)
        return ("return", *trial, *("success",) * (_goals(self.env) is not None))

    def init(self, key: jax.Array, hypers: Hypers | None = None) -> AmagoState:
        """Start: fresh weights, fresh environments, an empty ring.

        Args:
            key: random key.
            hypers: in place of the config's; may be traced, one set for each member of a ``vmap``.
        Returns:
            An AmagoState.
        Raises:
            ValueError: a number outside its range.
        """
        hypers = check_hypers(self.config.hypers if hypers is None else hypers, RANGES)
        key, key_env, key_net, key_boldness = jax.random.split(key, 4)
        B, horizon = self.config.num_envs, horizon_of(self.env)
        obs, env_state = vectorize(self.env, B).reset(key_env)
        carry, resets = self.network.initial_carry(B), jnp.ones(B, bool)
        params = self.network.init(key_net, carry, *once((obs, resets)))
        state = AmagoState(
            params=params,
            target=self._heads(params),
            opt_state=ADAM.init({"params": params["params"]}),
            replay=None,  # type: ignore[arg-type]  # the next lines
            current=None,  # type: ignore[arg-type]
            time=jnp.zeros(B, jnp.int32),
            boldness=jax.random.uniform(key_boldness, (B,)),
            env_state=env_state,
            obs=obs,
            resets=resets,
            carry=carry,
            key=key,
            hypers=jax.tree.map(jnp.float32, hypers),
            update=jnp.int32(0),
            latest={name: jnp.full(len(self.worlds) or (), jnp.nan, jnp.float32) for name in self._means},
        )
        steps = jax.eval_shape(self.collect, state, key)[1].seen
        example = steps.replace(obs=jax.ShapeDtypeStruct((len(steps.obs) + 1, *steps.obs.shape[1:]), steps.obs.dtype))
        example = example.replace(length=jax.ShapeDtypeStruct((B,), jnp.int32))
        replay = create(example, self.config.capacity, horizon)

        def blank(leaf: jax.Array) -> jax.Array:
            return jnp.zeros((*leaf.shape[1:2], B, *leaf.shape[2:]), leaf.dtype)

        state = state.replace(replay=replay, current=jax.tree.map(blank, replay.rows))
        return jax.tree.map(jnp.copy, state)  # each leaf a buffer of its own, so that the state may be donated

    def update(self, state: AmagoState) -> tuple[AmagoState, dict[str, jax.Array]]:
        """Collect, put what ended into the ring, and make the gradient steps.

        Args:
            state: where the last update stopped.
        Returns:
            The new state, and metrics: "return" is the mean of the episodes that ended in this update, or, where none did, in
            the last one that had any, and NaN until an episode has ended; so is "trial_return" of ``Trials``, "success" of a world
            with goals, and each "return/<name>" of ``ManyWorlds``. "episodes" counts those of this update. Of losses, means over
            its gradient steps; 0 before the first.
        """
        config = self.config
        key, key_collect, key_learn = jax.random.split(state.key, 3)
        state, steps, finished = self.collect(state, key_collect)
        current, replay = append(state.current, state.replay, steps)
        keys = jax.random.split(key_learn, config.updates_per_collect)

        def learn(learned: tuple, key: jax.Array) -> tuple:
            params, target, opt_state = learned
            return self.learn(params, target, opt_state, replay, key, state.hypers)

        def learn_all(learned: tuple) -> tuple:
            return jax.lax.scan(learn, learned, keys)

        def wait(learned: tuple) -> tuple:
            shapes = jax.eval_shape(learn_all, learned)[1]
            return learned, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

        learned, metrics = jax.lax.cond(
            replay.stored >= config.batch_size, learn_all, wait, (state.params, state.target, state.opt_state)
        )
        params, target, opt_state = learned
        metrics = jax.tree.map(jnp.mean, metrics)
        latest, told = episode_means(finished, state.latest, self.worlds)
        metrics |= told | {"episodes": steps.ended.sum(dtype=jnp.int32), "stored": replay.stored}
        state = state.replace(
            params=params, target=target, opt_state=opt_state, replay=replay, current=current, key=key, latest=latest,
            update=state.update + 1,
        )  # fmt: skip
        return state, metrics

    def collect(self, state: AmagoState, key: jax.Array) -> tuple[AmagoState, Steps, dict[str, Finished]]:
        """Act for ``num_steps`` steps in all environments, some actions at random; the memory's matrices are prepared once.

        Args:
            state: where the last update stopped.
            key: random key.
        Returns:
            The state with environments, observation, resets, carry and time moved on; the Steps; what ended in them: ``"return"``
            of episodes, ``"trial_return"`` of ``Trials``, and ``"success"`` of a world with goals.
        """
        config, params = self.config, state.params
        envs, space = vectorize(self.env, config.num_envs), self.env.action_space(self.env.default_params)
        prepared = self.network.apply(params, method="prepare")
        trained = state.update * (self.steps_per_update / config.epsilon_steps)
        last = max(horizon_of(self.env) - 1, 1)

        def step(now: tuple, key: jax.Array) -> tuple:
            env_state, obs, resets, carry, time, boldness = now
            key_act, key_explore, key_step, key_boldness = jax.random.split(key, 4)
            read: Any = self.network.apply(params, carry, *once((obs, resets)), prepared)
            carry, policy, _ = read
            share = boldness * epsilon(time / last, trained, config.epsilon_start, config.epsilon_end)
            action = explored(space, policy.sample(key_act)[0], share, key_explore)
            next_obs, env_state, reward, terminated, truncated, info = envs.step(key_step, env_state, action)
            ended = terminated | truncated
            # A trial may end the sum of rewards, though memory goes on.
            over = terminated | info.get("returns_end", False)
            achieved = (info["achieved"], info["achieved_any"]) if config.relabel != "none" else ()
            seen = Trajectories(obs, action, reward, over, time, *achieved)
            finished = {"return": Finished(ended, info["episode_return"])}
            if "trial_return" in self._means:
                finished["trial_return"] = Finished(info["trial_ended"], info["trial_return"])
            if "success" in self._means:
                finished["success"] = Finished(ended, info["success"].astype(jnp.float32))
            fresh = jax.random.uniform(key_boldness, boldness.shape)
            now = (env_state, next_obs, ended, carry, jnp.where(ended, 0, time + 1), jnp.where(ended, fresh, boldness))
            return now, (Steps(seen, info["final_observation"], ended), finished)

        start = (state.env_state, state.obs, state.resets, state.carry, state.time, state.boldness)
        rows: Any
        end, rows = jax.lax.scan(step, start, jax.random.split(key, config.num_steps))
        names = ("env_state", "obs", "resets", "carry", "time", "boldness")
        return state.replace(**dict(zip(names, end, strict=True))), *rows

    def learn(
        self,
        params: Params,
        target: Params,
        opt_state: optax.OptState,
        replay: Replay,
        key: jax.Array,
        hypers: Hypers,
    ) -> tuple[tuple[Params, Params, optax.OptState], dict[str, jax.Array]]:
        """One gradient step on trajectories drawn from the ring.

        Args:
            params: the network's.
            target: the heads' slow copies.
            opt_state: Adam's.
            replay: the ring, which must not be empty.
            key: random key.
            hypers: see ``Hypers``.
        Returns:
            The first three, a step on; and metrics.
        """
        config = self.config
        key_sample, key_relabel, key_loss = jax.random.split(key, 3)
        batch = sample(replay, key_sample, config.batch_size)
        if config.relabel != "none":
            batch = relabel(batch, key_relabel, config.relabel, layout_of(self.env), config.rarity)

        def loss_of(weights: Params) -> tuple:
            return self.loss({**params, **weights}, target, batch, key_loss, hypers)

        weights: Params = {"params": params["params"]}
        (loss, (parts, targets, mask)), grads = jax.value_and_grad(loss_of, has_aux=True)(weights)
        lr = hypers.lr * jnp.minimum(1.0, (opt_state.count + 1) / config.warmup)  # type: ignore[attr-defined]
        weights, opt_state, norm = descend(self.network, weights, opt_state, grads, lr, hypers)
        params = {**params, **weights}
        target = jax.tree.map(lambda old, new: old + hypers.tau * (new - old), target, self._heads(params))
        if config.critic == "popart":
            params, target = rescaled(params, target, targets, mask, config.popart_beta)
        return (params, target, opt_state), {"loss": loss, **parts, "grad_norm": norm}

    def loss(
        self, params: Params, target: Params, batch: Trajectories, key: jax.Array, hypers: Hypers
    ) -> tuple[jax.Array, tuple[dict[str, jax.Array], jax.Array, jax.Array]]:
        """AMAGO's loss on whole trajectories, read once.

        Args:
            params: the network's.
            target: the heads' slow copies.
            batch: trajectories, each from its start.
            key: random key: which critics a target takes the least of, and actions of a box.
            hypers: weights of the parts.
        Returns:
            The loss; and its parts by name, the targets (T, B, G), and which steps count, (T, B).
        """
        config, network = self.config, self.network
        T, B = batch.reward.shape
        resets = jnp.zeros((T + 1, B), bool).at[0].set(True)
        read: Any = network.apply(params, network.initial_carry(B), batch.obs, resets, method="read")
        y = read[1]
        policy: Any = network.apply(params, y[:-1], method="policy")
        judged = (self._of_choices if network.discrete else self._of_box)(params, target, y, policy, batch, key)
        gammas = jnp.array(config.gammas, jnp.float32)
        targets = td_target(config.reward_scale * batch.reward, batch.terminated, judged.next_value, gammas)
        targets = jax.lax.stop_gradient(targets)
        if config.critic == "popart":
            statistics = PopArt(**params["popart"])
            td_error = jnp.square(judged.out - statistics.normalized(targets))
            improvement = statistics.normalized(judged.least)
        else:
            weights = two_hot(targets, jnp.asarray(bin_centers(config.bins, config.bin_limit)))
            td_error = -jnp.sum(weights * jax.nn.log_softmax(judged.out), -1)
            improvement = judged.least
        taken = batch.action[:, :, None]
        log_prob = policy.log_prob(jnp.broadcast_to(taken, (T, B, len(gammas), *taken.shape[3:])))
        mask = jnp.arange(T)[:, None] < batch.length
        advantage = judged.value.mean(0) - judged.own.mean(0)
        loss, parts = amago_loss(td_error, improvement, log_prob, advantage, mask, hypers)
        acting = network.acting
        parts["entropy"] = masked_mean(policy.entropy()[..., acting], mask)
        parts["value"] = masked_mean(judged.own.mean(0)[..., acting], mask) / config.reward_scale
        return loss, (parts, targets, mask)

    def _of_choices(
        self, params: Params, target: Params, y: jax.Array, policy: Any, batch: Trajectories, key: jax.Array
    ) -> _Judged:
        """Choices: the exact mean over all of them."""
        apply: Any = self.network.apply
        slow = {**params, "params": {**params["params"], **target}}
        later = jax.lax.stop_gradient(y[1:])
        next_q = apply(slow, apply(slow, later, method="critic"), method="value")
        next_q = next_q[self._drawn(key)].min(0)
        next_probs = jax.nn.softmax(apply(slow, later, method="policy").logits)
        out = apply(params, y[:-1], method="critic")
        q, probs = jax.lax.stop_gradient(apply(params, out, method="value")), jax.nn.softmax(policy.logits)
        index = batch.action[None, :, :, None, None]
        taken = index[..., None] if self.config.critic == "two_hot" else index
        return _Judged(
            jnp.take_along_axis(out, taken, 4).squeeze(4),
            jnp.take_along_axis(q, index, -1)[..., 0],
            jnp.sum(probs * q, -1),
            jnp.sum(probs * q.min(0), -1),
            jnp.sum(next_probs * next_q, -1),
        )

    def _of_box(
        self, params: Params, target: Params, y: jax.Array, policy: Any, batch: Trajectories, key: jax.Array
    ) -> _Judged:
        """Real numbers: one action drawn from each discount's policy, through which the gradient flows."""
        apply: Any = self.network.apply
        key_critics, key_own, key_next = jax.random.split(key, 3)
        slow = {**params, "params": {**params["params"], **target}}
        frozen, later = jax.lax.stop_gradient((params, y))
        space = self.env.action_space(self.env.default_params)
        next_action = inside(space, apply(slow, later[1:], method="policy").sample(key_next))
        next_q = apply(slow, apply(slow, later[1:], next_action, method="critic"), method="value")
        own = apply(frozen, later[:-1], inside(space, policy.sample(key_own)), method="critic")
        own = apply(frozen, own, method="value")
        out = apply(params, y[:-1], batch.action, method="critic")
        value = jax.lax.stop_gradient(apply(params, out, method="value"))
        return _Judged(out, value, own, own.min(0), next_q[self._drawn(key_critics)].min(0))

    def _drawn(self, key: jax.Array) -> jax.Array:
        """The critics that a target takes the least of."""
        return jax.random.permutation(key, self.config.critics)[: self.config.target_critics]

    def _heads(self, params: Params) -> Params:
        return {name: leaf for name, leaf in params["params"].items() if name in self.network.heads}

    def evaluate(self, state: AmagoState) -> dict[str, jax.Array]:
        """Play ``eval_episodes`` fresh episodes with the sampled policy, no action at random besides.

        Args:
            state: the trained state.
        Returns:
            As PPO's: "return", its standard error "return_se", "length" and the like; and of a world with goals "goals_met", the
            share of an instruction's goals that were achieved, and "success", the share of episodes in which all were.
        """
        key = jax.random.fold_in(state.key, EVALUATION)
        goals = _goals(self.eval_env) is not None
        found = episodes(
            self.network, state.params, self.eval_env, key, self.config.eval_episodes, keep=_met if goals else None
        )
        told = told_of(found, self.eval_env, self.worlds)
        if goals:
            met = found.kept.max(0)
            told |= {"goals_met": met.mean(), "success": (met == 1).mean()}
        return told


def rescaled(params: Params, target: Params, targets: jax.Array, mask: jax.Array, beta: float) -> tuple[Params, Params]:
    """Take targets into the statistics of ``PopArt``, and move the critics' last layers so that no value changes.

    Args:
        params: the network's.
        target: the heads' slow copies.
        targets: (T, B, G).
        mask: (T, B) bool, the steps that count.
        beta: see ``PopArt.updated``.
    Returns:
        ``params`` and ``target``.
    """
    old = PopArt(**params["popart"])
    new = old.updated(targets, mask, beta)

    def moved(heads: Params) -> Params:
        kernel, bias = old.moved(new, *(heads["ensemble"]["last"][name] for name in ("kernel", "bias")))
        return {**heads, "ensemble": {**heads["ensemble"], "last": {"kernel": kernel, "bias": bias}}}

    return {**params, "params": moved(params["params"]), "popart": dict(vars(new))}, moved(target)


def _goals(env: AnyEnv) -> Layout | None:
    """Where the instruction stands; None in a world without goals."""
    try:
        return layout_of(env)
    except ValueError:
        return None


def _met(now: Moment) -> jax.Array:
    """The share of the instruction's goals that are achieved after a step; 0 after the episode's end."""
    state = inner(now.state, InstructedState)
    return jnp.where(now.active, (state.achieved + now.reward) / state.count, 0)


def make(
    config: AmagoConfig,
    env: AnyEnv | None = None,
    eval_env: AnyEnv | None = None,
    network: MultiGammaActorCritic | None = None,
) -> Agent:
    """Build the agent that a config describes.

    Args:
        config: an AmagoConfig.
        env: your own environment, as ``ppo.make`` takes it, that says how long its episodes may be.
        eval_env: another for ``evaluate``, likewise.
        network: your own, a ``MultiGammaActorCritic`` or a class made from it, whose ``read`` may read pictures. The config's
            memory, encoder and head are then not used.
    Returns:
        An Agent.
    Raises:
        ValueError, TypeError: as ``ppo.make``; hindsight in a world without goals; an environment that does not say how long its
            episodes may be; actions that are neither ``Discrete`` nor in a box of finite bounds; a network whose discounts, critics
            or bins are not the config's, or whose carry changes its shape from step to step.
    Example:
        >>> config = AmagoConfig(features=16, num_envs=4, batch_size=2, capacity=8)
        >>> agent = make(config)
        >>> state, metrics = jax.jit(agent.update)(agent.init(jax.random.key(0)))
        >>> state.replay.rows.reward.shape, float(metrics["loss"])  # no trajectory has ended yet
        ((8, 60), 0.0)

    Source: Grigsby et al. 2024 (arXiv 2310.09971); UT-Austin-RPL/amago.
    Differs: the policy gradient and the filter take the mean over all choices, not over sampled ones; without L2; the trunk may be
        any memory.
    """
    if network is not None and not isinstance(network, MultiGammaActorCritic):
        raise TypeError(f"network must be a MultiGammaActorCritic, or of a class made from it; got {network!r}")
    env, eval_env = environments(config, env, eval_env, network)
    horizon_of(env)
    if config.relabel != "none" and _goals(env) is None:
        raise ValueError(
            f"relabel must be 'none' in a world without goals; got {config.relabel!r}. Hindsight needs what layout_of takes: a "
            "world such as MazeRunner or PackageDelivery, whose instruction is shown as it is"
        )
    space = env.action_space(env.default_params)
    bounded = spaces.is_vector(space) and np.isfinite([space.low, space.high]).all()
    if not (hasattr(space, "n") or bounded):
        raise TypeError(f"actions must be Discrete, or a Box of one dimension and finite bounds; got {space}")
    wanted: dict[str, Any] = {
        "gammas": config.gammas,
        "critics": config.critics,
        "bins": config.bins if config.critic == "two_hot" else 1,
        "bin_limit": config.bin_limit,
    }
    if network is None:
        memory = make_memory(config.memory, config.features, **dict(config.memory_options))
        acting = config.gammas.index(config.acting_gamma)
        network = MultiGammaActorCritic(
            space, memory, acting=acting, encoder=config.encoder, head=config.head, **wanted
        )
    for name, value in wanted.items():
        if getattr(network, name) != value:
            raise ValueError(f"network.{name} must be {value}, as in config; got {getattr(network, name)}")
    agent = Agent(config, env, eval_env, network)
    _check_carry(agent)
    return agent


def _check_carry(agent: Agent) -> None:
    """Refuse a memory whose carry is another after a step: acting would need more room with each."""

    def step(key: jax.Array) -> tuple[Carry, Carry]:
        size = len(agent.worlds) or 1
        obs, _ = vectorize(agent.env, size).reset_env(key)
        start, resets = agent.network.initial_carry(size), jnp.ones(size, bool)
        read: Any = agent.network.init_with_output(key, start, *once((obs, resets)))
        return start, read[0][0]

    before, after = jax.eval_shape(step, jax.random.key(0))
    if str(jax.tree.structure(before)) != str(jax.tree.structure(after)) or before != after:
        raise ValueError(
            "network must have a carry that keeps its shapes and dtypes from step to step, so that it is bounded; "
            f"got {before} before a step and {after} after it"
        )
