"""PPO: the loss against hand numbers, the rollout's flags, and probe environments with known answers."""

import dataclasses
from functools import cache
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from s5lib import ppo, runs
from s5lib.distributions import Categorical, DiagNormal
from s5lib.envs import Environment, Trials, make, spaces
from s5lib.memory import MEMORIES
from s5lib.networks import ActorCritic
from s5lib.ppo import Hypers, PPOConfig, Rollout, ppo_loss

KEY = jax.random.key(0)
HYPERS = PPOConfig().hypers
SMALL = {
    "features": 16,
    "encoder": (16,),
    "head": (16,),
    "num_envs": 8,
    "num_steps": 16,
    "num_minibatches": 2,
    "eval_episodes": 64,
}
S5 = (("state_size", 16), ("layers", 1))


def at(tree, index):
    return jax.tree.map(lambda leaf: leaf[index], tree)


# ---------------------------------------------------------------------------------------------- the loss


def test_loss_by_hand():
    """One step with ratio 1.5, once with a good advantage (clipped) and once with a bad one (not clipped)."""
    policy = Categorical(jnp.log(jnp.array([[[0.75, 0.25]]])))
    old = jnp.log(jnp.array([[0.5]]))
    blank = jnp.zeros((1, 1))
    rollout = Rollout(blank, blank, jnp.zeros((1, 1), int), old, blank, blank, blank, blank)
    hypers = HYPERS._replace(clip_eps=0.2, vf_coef=2.0, ent_coef=0.1)
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    for advantage, surrogate in ((1.0, -1.2), (-1.0, 1.5)):
        loss, parts = ppo_loss(
            policy, jnp.array([[3.0]]), rollout, jnp.array([[advantage]]), jnp.array([[1.0]]), hypers
        )
        np.testing.assert_allclose(parts["policy_loss"], surrogate, rtol=1e-6)
        np.testing.assert_allclose(parts["value_loss"], 2.0, rtol=1e-6)
        np.testing.assert_allclose(loss, surrogate + 2 * 2.0 - 0.1 * entropy, rtol=1e-6)
        assert parts["clip_fraction"] == 1


@pytest.mark.parametrize("advantage", [1.0, 0.0, -1.0])
def test_a_narrow_policy_that_moved_far_breaks_nothing(advantage):
    """The action is exp(199) times as likely as it was, infinite in float32; loss and gradient are not."""
    blank = jnp.zeros((1, 1))
    rollout = Rollout(blank, blank, jnp.zeros((1, 1, 1)), jnp.full((1, 1), -200.0), blank, blank, blank, blank)

    def loss(mean):
        policy = DiagNormal(mean, jnp.zeros(1))
        return ppo_loss(policy, blank, rollout, jnp.full((1, 1), advantage), blank, HYPERS)[0]

    value, gradient = jax.value_and_grad(loss)(jnp.full((1, 1, 1), 0.5))
    assert jnp.isfinite(value) and jnp.isfinite(gradient).all()


def test_clipped_value_loss_by_hand():
    """Old value 0, target 1, eps .2: a value that moved to .5 counts as .2, one that moved to -.5 as itself."""
    policy, blank = Categorical(jnp.zeros((1, 1, 2))), jnp.zeros((1, 1))
    rollout = Rollout(blank, blank, jnp.zeros((1, 1), int), blank, blank, blank, blank, blank)
    for value, plain, clipped in ((0.5, 0.125, 0.32), (-0.5, 1.125, 1.125)):
        for flag, wanted in ((False, plain), (True, clipped)):
            parts = ppo_loss(policy, jnp.array([[value]]), rollout, blank, jnp.array([[1.0]]), HYPERS, flag)[1]
            np.testing.assert_allclose(parts["value_loss"], wanted, rtol=1e-6)


# ---------------------------------------------------------------------------------------------- probes


class ProbeState(struct.PyTreeNode):
    time: jax.Array
    bit: jax.Array


@dataclasses.dataclass(frozen=True)
class Probe(Environment):
    """A tiny world with a known answer. ``kind`` says which; see the tests."""

    kind: str
    length: int = 1

    horizon = property(lambda self: self.length)

    def observation_space(self, params):
        return spaces.Box(-1.0, 1.0, (1,))

    def action_space(self, params):
        return spaces.Discrete(2)

    def is_truncated(self, state, params):
        return (state.time >= self.length) & (self.kind == "truncated")

    def reset_env(self, key, params):
        state = ProbeState(jnp.int32(0), jax.random.bernoulli(key).astype(jnp.int32))
        return self._see(state), state

    def _see(self, state):
        shown = 2.0 * state.bit - 1
        what = {
            "constant": 0.0, "truncated": 0.0, "terminated": 0.0, "action": 0.0, "bit": shown, "answer": shown,
            "later": state.time * 1.0, "recall": jnp.where(state.time == 0, shown, 0.0),
        }[self.kind]  # fmt: skip
        return jnp.full((1,), what, jnp.float32)

    def transition(self, key, state, action, params):
        right = jnp.where(action == state.bit, 1.0, -1.0)
        state = state.replace(time=state.time + 1)
        last = state.time >= self.length
        reward = {
            "constant": 1.0, "truncated": 1.0, "terminated": 1.0, "action": 2.0 * action - 1, "bit": 2.0 * state.bit - 1,
            "answer": right, "later": jnp.where(last, 1.0, 0.0), "recall": jnp.where(last, right, 0.0),
        }[self.kind]  # fmt: skip
        return self._see(state), state, jnp.float32(reward), last & (self.kind != "truncated"), {}


@cache
def trained(kind, length=1, memory="none", updates=60, **options):
    settings = SMALL | {"memory": memory, "lr": 3e-3, "gamma": 0.5, "previous_action": False} | dict(options)
    settings |= {"memory_options": S5} if memory == "s5" else {}
    config = PPOConfig(**settings, total_steps=updates * SMALL["num_envs"] * SMALL["num_steps"])
    agent = ppo.make(config, Probe(kind, length))
    result = runs.train(config, progress=False, learner=agent)
    return agent, result.params, result.final


def values(agent, params, obs, resets=None):
    """V along one sequence of observations."""
    obs = jnp.asarray(obs, jnp.float32)[:, None, None]
    resets = jnp.zeros(obs.shape[:2], bool).at[0].set(True) if resets is None else resets
    _, policy, value = agent.network.apply(params, agent.network.initial_carry(1), obs, resets)
    return np.asarray(value[:, 0]), np.asarray(jax.nn.softmax(policy.logits)[:, 0])


def test_probe_a_constant_reward():
    agent, params, _ = trained("constant")
    np.testing.assert_allclose(values(agent, params, [0.0])[0], 1, atol=0.05)


def test_probe_a_reward_that_the_observation_tells():
    agent, params, _ = trained("bit")
    np.testing.assert_allclose(values(agent, params, [-1.0])[0], -1, atol=0.1)
    np.testing.assert_allclose(values(agent, params, [1.0])[0], 1, atol=0.1)


def test_probe_a_reward_that_comes_later_is_discounted():
    agent, params, _ = trained("later", 2)
    np.testing.assert_allclose(values(agent, params, [0.0])[0], 0.5, atol=0.1)
    np.testing.assert_allclose(values(agent, params, [1.0])[0], 1, atol=0.1)


def test_probe_only_terminated_stops_bootstrapping():
    """Reward 1 a step, observations alike: a world that is only cut is worth 1 / (1 - gamma) = 2, one that ends is not."""
    agent, params, _ = trained("truncated", 2)
    np.testing.assert_allclose(values(agent, params, [0.0])[0], 2, atol=0.15)
    agent, params, _ = trained("terminated", 2)
    np.testing.assert_allclose(values(agent, params, [0.0])[0], 1.25, atol=0.15)  # the mean of 1 + gamma and 1


def test_probe_the_better_action():
    agent, params, final = trained("action")
    assert values(agent, params, [0.0])[1][0, 1] > 0.95 and final["return"] > 0.9


def test_probe_the_action_that_fits_the_observation():
    agent, params, final = trained("answer")
    assert values(agent, params, [-1.0])[1][0, 0] > 0.95 and values(agent, params, [1.0])[1][0, 1] > 0.95
    assert final["return"] > 0.9 and final["length"] == 1


@pytest.mark.slow
def test_probe_memory():
    """See a bit, wait four steps, name it: S5 can, no memory cannot, nor S5 that is told nothing and starts at the answer."""
    agent, params, final = trained("recall", 5, "s5", updates=120, gamma=0.9)
    assert final["return"] > 0.9
    assert trained("recall", 5, "none", updates=120, gamma=0.9)[2]["return"] < 0.4
    for bit in (0, 1):
        _, policy = values(agent, params, [2.0 * bit - 1, 0, 0, 0, 0])
        assert policy[-1, bit] > 0.9
        forgot = jnp.zeros((5, 1), bool).at[4].set(True)
        same = values(agent, params, [2.0 * bit - 1, 0, 0, 0, 0], forgot)[1][-1]
        np.testing.assert_allclose(same, values(agent, params, [0.0])[1][0], atol=1e-5)


# ---------------------------------------------------------------------------------------------- rollouts and updates


@cache
def agent_for(memory="s5", **options):
    settings = {"memory": memory, "memory_options": S5 if memory == "s5" else ()} | SMALL | options
    return ppo.make(PPOConfig(**settings))


def test_rollout_flags_and_carry():
    """resets[t + 1] is the end at t; reading the rollout as one sequence from the stored carry gives the acting's numbers."""
    agent = ppo.make(PPOConfig(memory_options=S5, **SMALL), Probe("recall", 5))
    state = jax.jit(agent.init)(KEY)
    for _ in range(2):  # the second starts amid episodes
        start = state.carry
        state, rollout, _ = jax.jit(agent.collect)(state, KEY)
        np.testing.assert_array_equal(rollout.resets[1:], rollout.ended[:-1])
        np.testing.assert_array_equal(state.resets, rollout.ended[-1])
        assert rollout.ended.any() and not rollout.ended.all()
        carry, policy, value = agent.network.apply(state.params, start, rollout.obs, rollout.resets)
        np.testing.assert_allclose(value, rollout.value, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(policy.log_prob(rollout.action), rollout.log_prob, rtol=1e-4, atol=1e-5)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), carry, state.carry)


def test_a_cut_is_valued_with_the_carry_of_its_own_episode():
    agent = ppo.make(PPOConfig(memory_options=S5, previous_action=False, **SMALL), Probe("truncated", 3))
    state = jax.jit(agent.init)(KEY)
    start = state.carry
    state, rollout, _ = jax.jit(agent.collect)(state, KEY)
    (last, *_), _ = np.nonzero(np.asarray(rollout.ended))
    assert last == 2
    obs = jnp.concatenate([rollout.obs[: last + 1], jnp.zeros_like(rollout.obs[:1])])  # its last observation is 0 too
    resets = jnp.concatenate([rollout.resets[: last + 1], jnp.zeros_like(rollout.resets[:1])])
    _, _, value = agent.network.apply(state.params, start, obs, resets)
    np.testing.assert_allclose(rollout.cut_value[last], value[-1], rtol=1e-4, atol=1e-5)
    assert not rollout.cut_value[~rollout.ended].any()


def test_the_first_gradient_step_is_on_policy():
    """Before any step the ratio is 1: the loss's own reading of the rollout agrees with the acting."""
    agent = agent_for(update_epochs=1, num_minibatches=1)
    state = jax.jit(agent.init)(KEY)
    for _ in range(2):
        state, metrics = jax.jit(agent.update)(state)
        assert abs(metrics["approx_kl"]) < 1e-6 and metrics["clip_fraction"] == 0


@pytest.mark.parametrize("memory", MEMORIES)
def test_no_two_leaves_of_a_state_share_a_buffer(memory):
    state = ppo.make(PPOConfig(memory=memory, **SMALL), Trials(Probe("terminated"), 2, fresh=False)).init(KEY)
    leaves = jax.tree.leaves(state.replace(key=jax.random.key_data(state.key)))
    assert len({leaf.unsafe_buffer_pointer() for leaf in leaves}) == len(leaves)


@pytest.mark.parametrize("jit", [jax.jit, lambda function: function], ids=["jit", "plain"])
def test_a_state_may_be_donated(jit):
    """XLA refuses to take a buffer twice; and what it takes is not the caller's own."""
    agent, hypers = agent_for(), jax.tree.map(jnp.float32, HYPERS)
    state, update = jit(agent.init)(KEY, hypers), jax.jit(agent.update, donate_argnums=0)
    for _ in range(2):
        state, metrics = update(state)
    assert np.isfinite(metrics["loss"]) and jnp.isfinite(jnp.stack(hypers)).all()


def test_seeds_and_hypers_by_vmap():
    agent = agent_for()
    keys = jax.random.split(KEY, 2)
    hypers = jax.tree.map(lambda a, b: jnp.array([a, b]), HYPERS, HYPERS._replace(lr=1e-2, gamma=0.5, ent_coef=0.1))
    together, _ = jax.jit(jax.vmap(lambda k, h: agent.update(agent.init(k, h))))(keys, hypers)
    alone = jax.jit(lambda k, h: agent.update(agent.init(k, h))[0])
    for i in range(2):
        one, same = alone(keys[i], at(hypers, i)), at(together, i)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4), one.params, same.params)


def test_annealing_and_the_pace_of_s5():
    """With ssm_lr = 0 the dynamics stay; with annealing the last update moves less than the first."""
    agent = agent_for(ssm_lr=0.0, anneal=True, total_steps=3 * 128)
    state = jax.jit(agent.init)(KEY)
    moves = []
    for _ in range(3):
        before = state.params
        state, _ = jax.jit(agent.update)(state)
        moves.append(jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), before, state.params))
    frozen = [jax.tree_util.tree_leaves_with_path(m) for m in moves]
    for where, moved in frozen[0]:
        assert (moved == 0) == (where[-1].key in agent.network.memory.slow_parameters)
    size = [sum(moved for _, moved in tree) for tree in frozen]
    assert size[2] < 0.6 * size[0]
    beyond = agent._step(state.params, state.opt_state, state.params, state.hypers, jnp.int32(5))[0]
    jax.tree.map(np.testing.assert_array_equal, beyond, state.params)  # past the planned end it stands still


def test_the_key_of_an_evaluation_is_none_that_training_uses():
    """Every key of the updates that follow, and those split from them, differ from evaluation's."""
    agent = agent_for()
    state = jax.jit(agent.init)(KEY)
    scored = jax.random.fold_in(state.key, ppo.EVALUATION)
    key, used = state.key, []
    for _ in range(4):
        parts = jax.random.split(key, 3)
        used += [key, *parts]
        key = parts[0]
    assert jnp.array_equal(jax.random.split(state.key, 3)[0], jax.random.fold_in(state.key, 0))  # why not stream 0
    assert not any(jnp.array_equal(scored, other) for other in used)


@pytest.mark.parametrize("memory", MEMORIES)
def test_only_the_memorys_slow_parameters_move_at_a_pace_of_their_own(memory):
    """At pace 0 they stay where they are and all else moves, a leaf of the same name outside the memory too."""
    agent = ppo.make(PPOConfig(memory=memory, **SMALL))
    params = jax.tree.map(jnp.ones_like, jax.jit(agent.init)(KEY).params)
    params["params"]["encoder"] |= {name: jnp.ones(2) for name in ("Lambda_re", "B_tilde")}
    still = agent.config.hypers._replace(ssm_lr=0.0)
    after, _, _ = agent._step(params, ppo.ADAM.init(params), params, still, jnp.int32(0))
    slow = set(agent.network.memory.slow_parameters)
    found = set()
    for path, leaf in jax.tree_util.tree_leaves_with_path(after):
        stays = path[1].key == "memory" and path[-1].key in slow
        found |= {path[-1].key} if stays else set()
        assert bool((leaf == 1).all()) == stays, jax.tree_util.keystr(path)
    assert found == slow


def test_without_resets_the_memory_goes_on():
    """The ablation: the same agent, told nothing of episodes."""
    told, untold = agent_for(), agent_for(resets=False)
    state = jax.jit(told.init)(KEY)
    obs = jax.random.normal(KEY, (6, 8, state.obs.shape[-1]))
    resets = jnp.zeros((6, 8), bool).at[3].set(True)
    a, b = (agent._read(state.params, state.carry, obs, resets)[2] for agent in (told, untold))
    np.testing.assert_array_equal(a[:3], b[:3])
    assert not np.allclose(a[3:], b[3:])


def test_evaluate_plays_whole_episodes():
    agent = ppo.make(PPOConfig(memory="none", **SMALL), Probe("later", 7))
    final = jax.jit(agent.evaluate)(jax.jit(agent.init)(KEY))
    assert final["return"] == 1 and final["length"] == 7 and final["return_se"] == 0


@pytest.mark.parametrize("own", [False, True])
def test_returns_may_end_with_their_trial_and_memory_goes_on(own):
    agent = ppo.make(PPOConfig(memory="none", **SMALL), Trials(Probe("terminated", 5), 2, own_returns=own))
    state = jax.jit(agent.init)(KEY)
    _, rollout, finished = jax.jit(agent.collect)(state, KEY)
    steps = np.arange(1, SMALL["num_steps"] + 1)
    np.testing.assert_array_equal(rollout.ended[:, 0], steps % (5 if own else 10) == 0)
    np.testing.assert_array_equal(finished["return"].ended[:, 0], steps % 10 == 0)
    np.testing.assert_array_equal(finished["trial_return"].ended[:, 0], steps % 5 == 0)
    assert np.all(finished["trial_return"].total[4::5] == 5) and np.all(finished["return"].total[9::10] == 10)
    np.testing.assert_array_equal(rollout.resets[1:, 0], steps[:-1] % 10 == 0)
    assert not rollout.cut_value.any()


def test_the_returns_of_trials_are_told_while_training():
    """Where a life is so many steps, its return says nothing: the mean of the trials that ended does."""
    config = PPOConfig(memory="none", **SMALL)
    agent = ppo.make(config, Trials(Probe("terminated", 5), None, steps=12))
    _, metrics = jax.jit(agent.update)(jax.jit(agent.init)(KEY))
    assert metrics["trial_return"] == 5 and metrics["return"] == 12
    assert metrics["episodes"] == SMALL["num_envs"] * (SMALL["num_steps"] // 12)
    plain = ppo.make(config, Probe("terminated", 5))
    assert "trial_return" not in jax.eval_shape(plain.update, jax.eval_shape(plain.init, KEY))[1]
    # A rollout in which no trial ends tells the mean of the last that did: one of 33 steps ends in the third of these.
    agent = ppo.make(config, Trials(Probe("terminated", 33), 9))
    state, update = jax.jit(agent.init)(KEY), jax.jit(agent.update)
    told = []
    for _ in range(4):
        state, metrics = update(state)
        told.append(float(metrics["trial_return"]))
    np.testing.assert_array_equal(told, [np.nan, np.nan, 33, 33])


def test_evaluate_in_another_environment():
    """Trained on lives of so many steps, judged on lives of so many trials, on projections that training has not."""
    options = {
        "env": "ProjectedCartPole", "env_options": (("trials", None), ("steps", 32), ("max_steps", 20)),
        "eval_env_options": (("trials", 2), ("steps", None), ("held_out", True)),
    }  # fmt: skip
    agent = ppo.make(PPOConfig(memory="none", **options, **SMALL))
    assert agent.env.trials is None and agent.env.steps == 32 and not agent.env.held_out
    assert agent.eval_env.trials == 2 and agent.eval_env.steps is None and agent.eval_env.held_out
    final = jax.jit(agent.evaluate)(jax.jit(agent.init)(KEY))
    assert "trial/1" in final and "trial/2" not in final and 0 < final["return"] <= 2
    # Your own environments: the one given is used for both, unless another is given too.
    probe, later = Probe("later", 7), Probe("later", 9)
    assert ppo.make(PPOConfig(**SMALL), probe).eval_env.horizon == 7
    assert ppo.make(PPOConfig(**SMALL), probe, later).eval_env.horizon == 9
    with pytest.raises(ValueError, match="eval_env must have the observations and actions of env"):
        ppo.make(PPOConfig(**SMALL), probe, make("RepeatPreviousEasy"))


@pytest.mark.parametrize("cut", [False, True])
def test_evaluate_tells_the_return_of_each_trial(cut):
    """A trial earns its number of steps, whether it ends by itself or by its limit; its flag is in view."""
    world = Probe("truncated" if cut else "terminated", 5)
    agent = ppo.make(PPOConfig(memory="none", **SMALL), Trials(world, 3))
    plain = ppo.make(PPOConfig(memory="none", **SMALL), world)
    state = jax.jit(agent.init)(KEY)
    assert state.obs.shape[1] == jax.jit(plain.init)(KEY).obs.shape[1] + 1
    final = jax.jit(agent.evaluate)(state)
    assert [final[f"trial/{k}"] for k in range(3)] == [5, 5, 5] and "trial/3" not in final
    assert final["trial_return"] == 5
    assert final["return"] == final["length"] == 15
    # The later trials of some episodes are longer than those of others: each is counted where it belongs.
    pole = ppo.make(PPOConfig(memory="none", **SMALL), Trials(make("PositionOnlyCartPoleEasy"), 2))
    final = {name: float(value) for name, value in jax.jit(pole.evaluate)(jax.jit(pole.init)(KEY)).items()}
    assert final["return"] == pytest.approx(final["trial/0"] + final["trial/1"], rel=1e-5)
    assert final["trial/0"] == pytest.approx(final["trial/1"], rel=0.2)  # it does not learn from a trial


class Counter(nn.Module):
    """A memory that counts its steps."""

    features: int = 16

    def __call__(self, carry, x, resets, prepared=None):
        return carry + len(x), x

    def initial_carry(self, batch_size):
        return jnp.zeros((batch_size, 1))

    def prepare(self):
        return ()


@pytest.mark.parametrize("resets", [True, False])
def test_only_the_ablation_is_scored_with_a_memory_of_an_episode_before(resets, monkeypatch):
    config = PPOConfig(env="PositionOnlyCartPoleEasy", resets=resets, **SMALL)
    made = ppo.make(config)
    agent = dataclasses.replace(made, network=ActorCritic(made.network.action_space, Counter(), (16,), (16,)))
    played, play = [], ppo.episodes
    monkeypatch.setattr(
        ppo, "episodes", lambda *given, carry: played.append((carry, play(*given, carry=carry))) or played[-1][1]
    )
    final = agent.evaluate(agent.init(KEY))
    starts, found = zip(*played, strict=True)
    lengths = [episodes.lengths for episodes in found]
    assert len(played) == (1 if resets else 2) and starts[0] is None
    np.testing.assert_array_equal(found[0].carry[:, 0], lengths[0])  # the memory stops where its episode does
    assert len(set(lengths[0].tolist())) > 5
    if not resets:
        np.testing.assert_array_equal(starts[1], found[0].carry)
    assert final["length"] == lengths[-1].mean()


# ---------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_minibatches": 5}, "num_minibatches must divide num_envs = 64; got 5. The nearest that do: 4 and 8"),
        ({"num_envs": 0}, "num_envs must be a positive integer; got 0"),
        ({"gamma": 1.5}, "gamma must lie between 0 and 1; got 1.5"),
        ({"lr": float("nan")}, "lr must lie between"),
        ({"clip_eps": 0.0}, "clip_eps must lie between"),
        (
            {"num_steps": 1, "num_minibatches": 64},
            "normalize_advantage leaves nothing of a minibatch of one transition",
        ),
        ({"memory": "lstn"}, "memory must be one of .*; got 'lstn'. Did you mean 'lstm'"),
        ({"encoder": (0,)}, "each width of encoder must be a positive integer; got 0"),
        ({"encoder": 64}, r"encoder must be a tuple of widths, such as \(64, 64\); got 64"),
        ({"anneal": "false"}, "anneal must be True or False; got 'false'"),
        ({"resets": 0}, "resets must be True or False; got 0"),
    ],
)
def test_bad_config(options: dict[str, Any], message: str):
    with pytest.raises((ValueError, TypeError), match=message):
        PPOConfig(**options)


class Bare(nn.Module):
    """A network of one's own that calls nothing ``memory``."""

    @nn.compact
    def __call__(self, carry, obs, resets, prepared=None):
        y = nn.Dense(5)(obs)
        return carry, Categorical(y[..., :4]), y[..., 4]

    @nn.nowrap
    def initial_carry(self, batch_size):
        return ()

    def prepare(self):
        return ()


def test_a_network_that_calls_nothing_memory_has_no_slow_parameters():
    agent = ppo.make(PPOConfig(**SMALL, ssm_lr=0.0), make("RepeatPreviousEasy"), network=Bare())
    state = agent.init(KEY)
    moved, _ = jax.jit(agent.update)(state)
    assert all(bool((a != b).any()) for a, b in zip(*map(jax.tree.leaves, (state.params, moved.params)), strict=True))


def test_bad_names():
    with pytest.raises(ValueError, match="no environment is called 'RepeatPreviousHrd'"):
        ppo.make(PPOConfig(env="RepeatPreviousHrd"))
    with pytest.raises(ValueError, match="gamma must lie between"):
        agent_for().init(KEY, Hypers(*HYPERS)._replace(gamma=-1.0))
