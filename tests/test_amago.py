"""AMAGO: its losses against NumPy in float64, what gradients may reach, what is collected, and worlds with known answers."""

import dataclasses
from functools import cache

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from s5lib import amago, runs
from s5lib.amago import AmagoConfig
from s5lib.envs import Environment, Trials, make, spaces
from s5lib.memory import MEMORIES
from s5lib.networks import MultiGammaActorCritic
from s5lib.offpolicy import PopArt
from s5lib.replay import Trajectories

KEY = jax.random.key(0)
GAMMAS = (0.5, 0.9, 0.99)
SMALL = {
    "features": 16, "encoder": (16,), "head": (16,), "gammas": GAMMAS, "acting_gamma": 0.99, "critics": 3, "num_envs": 8,
    "num_steps": 8, "batch_size": 4, "capacity": 32, "warmup": 1, "eval_episodes": 64, "bins": 8, "bin_limit": 100.0,
}  # fmt: skip
S5 = (("state_size", 16), ("layers", 1))


class ProbeState(struct.PyTreeNode):
    time: jax.Array
    bit: jax.Array
    length: jax.Array


@dataclasses.dataclass(frozen=True)
class Probe(Environment):
    """See a bit, wait, name it. Episodes are ``least`` to ``length`` steps long; ``cut`` ends them by truncation.

    Observations: the bit as -1 or 1 on the first, the time, the number of the steps there will be, and 1 as the answer is due.
    With ``box`` the answer is the sign of a real number, and the reward falls with its distance from the bit's.
    """

    least: int = 3
    length: int = 3
    cut: bool = False
    box: bool = False

    horizon = property(lambda self: self.length)

    def observation_space(self, params):
        return spaces.Box(-10.0, 10.0, (4,))

    def action_space(self, params):
        return spaces.Box(-2.0, 1.0, (1,)) if self.box else spaces.Discrete(3)

    def is_truncated(self, state, params):
        return (state.time >= state.length) & self.cut

    def reset_env(self, key, params):
        key_bit, key_length = jax.random.split(key)
        bit = jax.random.bernoulli(key_bit).astype(jnp.int32)
        state = ProbeState(jnp.int32(0), bit, jax.random.randint(key_length, (), self.least, self.length + 1))
        return self._see(state), state

    def _see(self, state):
        shown = jnp.where(state.time == 0, 2 * state.bit - 1, 0)
        due = state.time == state.length - 1
        return jnp.stack([shown, state.time, state.length, due]).astype(jnp.float32)

    def transition(self, key, state, action, params):
        best = 1.5 * state.bit - 1.0 if self.box else state.bit
        right = 1 - jnp.abs(action[0] - best) if self.box else jnp.where(action == best, 1.0, -1.0)
        state = state.replace(time=state.time + 1)
        last = state.time >= state.length
        return self._see(state), state, jnp.where(last, right, 0.0), last & (not self.cut), {}


@cache
def agent_for(world=Probe(2, 6), **options):
    settings = SMALL | {"relabel": "none", "previous_action": False} | options
    if settings.get("memory", "s5") == "s5":
        settings = {"memory_options": S5} | settings
    return amago.make(AmagoConfig(**settings), world)


@cache
def started(agent):
    return jax.jit(agent.init)(KEY)


@cache
def updated(agent, count=1):
    state, update = started(agent), jax.jit(agent.update)
    for _ in range(count):
        state, metrics = update(state)
    return state, metrics


def noisy(tree, scale=0.3):
    """The same with numbers added, so that no part of a network is near 0."""
    leaves, treedef = jax.tree.flatten(tree)
    keys = jax.random.split(KEY, len(leaves))
    moved = [leaf + scale * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(treedef, moved)


def batch_for(agent, lengths=(6, 2, 4, 3), seed=0):
    """Random trajectories of unequal lengths; what stands after their ends is as random."""
    rng, T, B = np.random.default_rng(seed), 6, len(lengths)
    box = not agent.network.discrete
    return Trajectories(
        obs=jnp.asarray(rng.normal(size=(T + 1, B, 4)), jnp.float32),
        action=jnp.asarray(rng.uniform(-2, 1, (T, B, 1)), jnp.float32)
        if box
        else jnp.asarray(rng.integers(0, 3, (T, B)), jnp.int32),
        reward=jnp.asarray(rng.normal(size=(T, B)), jnp.float32),
        terminated=jnp.asarray((np.arange(T)[:, None] == np.array(lengths) - 1) & (np.arange(B) != 1)),
        length=jnp.asarray(lengths, jnp.int32),
    )


def parameters(agent):
    """Weights, targets and statistics that are all different and of ordinary size."""
    params = started(agent).params
    target = noisy(agent._heads(params), 0.5)
    fresh = {"params": noisy(params["params"])}
    if "popart" in params:
        fresh["popart"] = dict(vars(PopArt(jnp.array([1.0, -2.0, 3.0]), jnp.array([5.0, 8.0, 10.0]), jnp.int32(4))))
    return fresh, target


# ---------------------------------------------------------------------------------------------- the losses


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize("critic", ["popart", "two_hot"])
def test_the_loss_beside_loops(critic):
    """Step by step in float64: targets, their scale, the sum over actions, the filter, the mean over what counts."""
    agent = agent_for(critic=critic)
    network, config = agent.network, agent.config
    (params, target), batch, hypers = parameters(agent), batch_for(agent), config.hypers
    found, (parts, targets, mask) = jax.jit(agent.loss)(params, target, batch, KEY, hypers)

    resets = jnp.zeros((7, 4), bool).at[0].set(True)
    y = network.apply(params, network.initial_carry(4), batch.obs, resets, method="read")[1]
    slow = {**params, "params": {**params["params"], **target}}

    def read(variables, method):
        return np.asarray(network.apply(variables, y, method=method).logits if method == "policy" else
                          network.apply(variables, y, method=method), np.float64)  # fmt: skip

    centers = np.linspace(-np.log(101), np.log(101), 8)
    if critic == "popart":
        statistics = {name: np.asarray(leaf, np.float64) for name, leaf in params["popart"].items()}
        mean, scale = statistics["mean"], np.sqrt(statistics["square"] - statistics["mean"] ** 2)

    def value(out, g):
        if critic == "popart":
            return scale[g] * out + mean[g]
        place = softmax(out) @ centers
        return np.sign(place) * np.expm1(np.abs(place))

    logits, out, slow_logits, slow_out = (
        read(variables, method) for variables in (params, slow) for method in ("policy", "critic")
    )
    drawn = np.asarray(agent._drawn(KEY))
    assert len(set(drawn.tolist())) == 2
    td, pg, bc, good = [], [], [], []
    for t, b, g in np.ndindex(6, 4, 3):
        if t >= batch.length[b]:
            continue
        a, p = int(batch.action[t, b]), softmax(logits[t, b, g])
        q = np.array([[value(out[k, t, b, g, i], g) for i in range(3)] for k in range(3)])
        next_q = np.array([[value(slow_out[k, t + 1, b, g, i], g) for i in range(3)] for k in drawn])
        later = softmax(slow_logits[t + 1, b, g]) @ next_q.min(0)
        wanted = 10 * float(batch.reward[t, b]) + (0 if batch.terminated[t, b] else GAMMAS[g] * later)
        np.testing.assert_allclose(targets[t, b, g], wanted, rtol=2e-3, atol=2e-3)
        if critic == "popart":
            td += [(out[k, t, b, g, a] - (wanted - mean[g]) / scale[g]) ** 2 for k in range(3)]
            pg.append(p @ (q.min(0) - mean[g]) / scale[g])
        else:
            place = np.clip(np.sign(wanted) * np.log1p(abs(wanted)), centers[0], centers[-1])
            weights = np.maximum(0, 1 - np.abs(place - centers) / (centers[1] - centers[0]))
            td += [-weights @ np.log(softmax(out[k, t, b, g, a])) for k in range(3)]
            pg.append(p @ q.min(0))
        good.append(q.mean(0)[a] - p @ q.mean(0) > 0)
        bc.append(good[-1] * np.log(p[a]))
    assert 0.2 < np.mean(good) < 0.8
    np.testing.assert_array_equal(mask.sum(0), batch.length)
    np.testing.assert_allclose(parts["td_loss"], np.mean(td), rtol=2e-3)
    np.testing.assert_allclose(parts["policy_loss"], -np.mean(pg), rtol=2e-3)
    np.testing.assert_allclose(parts["bc_loss"], -np.mean(bc), rtol=2e-3)
    np.testing.assert_allclose(parts["filter"], np.mean(good), rtol=1e-5)
    np.testing.assert_allclose(found, 10 * np.mean(td) - np.mean(pg) - 0.1 * np.mean(bc), rtol=2e-3)


KINDS = {"choices": Probe(2, 6), "box": Probe(2, 6, box=True)}


@pytest.mark.parametrize("critic", ["popart", "two_hot"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_the_actors_loss_may_change(kind, critic):
    """Never the critics, not by their parameters nor through the state that they are given; the trunk through the policy."""
    agent = agent_for(KINDS[kind], critic=critic)
    (params, target), batch = parameters(agent), batch_for(agent)

    @jax.jit
    def gradient(params, td_coef):
        hypers = agent.config.hypers._replace(td_coef=td_coef, pg_coef=1.0, bc_coef=1.0)
        return jax.grad(lambda weights: agent.loss({**params, "params": weights}, target, batch, KEY, hypers)[0])(
            params["params"]
        )

    found = gradient(params, 0.0)
    size = {name: sum(float(jnp.abs(leaf).sum()) for leaf in jax.tree.leaves(tree)) for name, tree in found.items()}
    assert size["ensemble"] == 0 and size["actor"] > 0 and size["memory"] > 0 and size["encode"] > 0
    blind = jax.tree.map(lambda leaf: leaf, params)
    blind["params"]["actor"]["last"]["kernel"] *= 0  # a policy that does not look at the trunk
    found = gradient(blind, 0.0)
    assert not any(
        bool(leaf.any()) for name in ("memory", "encode", "embed", "norm") for leaf in jax.tree.leaves(found[name])
    )
    assert found["actor"]["last"]["bias"].any()
    found = gradient(params, 1.0)
    assert found["ensemble"]["last"]["kernel"].any()


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_after_an_end_changes_nothing(kind):
    """Neither the loss nor a gradient; and each trajectory counts by its steps."""
    agent = agent_for(KINDS[kind])
    (params, target), batch = parameters(agent), batch_for(agent)
    other = batch_for(agent, seed=1)
    inside = np.arange(7)[:, None] < np.asarray(batch.length)

    def mixed(name):
        a, b = getattr(batch, name), 3 * getattr(other, name) if name == "obs" else getattr(other, name)
        keep = inside[: len(a)] if name != "obs" else np.arange(7)[:, None] <= np.asarray(batch.length)
        return jnp.where(keep.reshape(*keep.shape, *[1] * (a.ndim - 2)), a, b)

    changed = batch.replace(**{name: mixed(name) for name in ("obs", "action", "reward", "terminated")})
    loss = jax.jit(jax.value_and_grad(
        lambda weights, batch: agent.loss({**params, "params": weights}, target, batch, KEY, agent.config.hypers)[0]
    ))  # fmt: skip
    for one, two in zip(*(jax.tree.leaves(loss(params["params"], given)) for given in (batch, changed)), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)
    assert not np.allclose(loss(params["params"], batch)[0], loss(params["params"], other)[0], rtol=1e-2)


def test_a_cut_is_valued_and_an_end_is_not():
    """Trajectory 1 of the batch is cut after two steps: its last target bootstraps from the observation after."""
    agent = agent_for()
    (params, target), batch = parameters(agent), batch_for(agent)
    _, (_, targets, _) = jax.jit(agent.loss)(params, target, batch, KEY, agent.config.hypers)
    moved = batch.replace(obs=batch.obs.at[2, 1].add(1.0).at[6, 0].add(1.0))
    _, (_, others, _) = jax.jit(agent.loss)(params, target, moved, KEY, agent.config.hypers)
    assert not np.allclose(targets[1, 1], others[1, 1]) and not batch.terminated[1, 1]
    np.testing.assert_array_equal(targets[5, 0], others[5, 0])
    np.testing.assert_allclose(targets[5, 0], 10 * batch.reward[5, 0], rtol=1e-5)


def test_statistics_move_and_no_value_does():
    agent = agent_for()
    params, target = parameters(agent)
    y = jax.random.normal(KEY, (5, 2, 16))

    def values(params, target):
        slow = {**params, "params": {**params["params"], **target}}
        apply = agent.network.apply
        return [apply(each, apply(each, y, method="critic"), method="value") for each in (params, slow)]

    targets = 40 + 9 * jax.random.normal(KEY, (6, 4, 3))
    new = jax.jit(amago.rescaled, static_argnums=4)(params, target, targets, jnp.ones((6, 4), bool), 0.1)
    assert not np.allclose(new[0]["popart"]["mean"], params["popart"]["mean"], rtol=0.1)
    for one, two in zip(values(params, target), values(*new), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------------------------------------- collecting


@pytest.mark.parametrize("cut", [False, True])
def test_whole_trajectories_reach_the_ring(cut):
    """Episodes of 2 to 6 steps, several an update and over its borders: each is in the ring once, whole and in order."""
    agent = agent_for(Probe(2, 6, cut=cut), memory="none", capacity=400, num_steps=7)
    state, update = started(agent), jax.jit(agent.update)
    seen = 0
    for _ in range(5):
        state, metrics = update(state)
        seen += int(metrics["episodes"])
        assert int(state.replay.stored) == seen == int(metrics["stored"])
    rows, lengths = jax.tree.map(np.asarray, state.replay.rows), np.asarray(state.replay.rows.length)[:seen]
    assert set(lengths) == {2, 3, 4, 5, 6} and seen * 2 + int(state.time.sum()) <= 8 * 35
    assert lengths.sum() + int(state.time.sum()) == 8 * 35  # no step is lost
    for k, length in enumerate(lengths):
        np.testing.assert_array_equal(rows.obs[k, : length + 1, 1], np.arange(length + 1))
        np.testing.assert_array_equal(rows.obs[k, : length + 1, 2], length)
        bit = (rows.obs[k, 0, 0] + 1) / 2
        wanted = 1 if rows.action[k, length - 1] == bit else -1
        np.testing.assert_array_equal(rows.reward[k, :length], [0] * (length - 1) + [wanted])
        np.testing.assert_array_equal(rows.terminated[k, :length], [False] * (length - 1) + [not cut])
    assert len({row.tobytes() for row in rows.action[:seen]}) > 10


def test_a_trial_may_end_the_sum_of_rewards():
    agent = agent_for(Trials(Probe(3, 3), 2, own_returns=True), memory="none", capacity=64)
    state, _ = updated(agent, 3)
    row = jax.tree.map(lambda leaf: leaf[0], state.replay.rows)
    assert row.length == 6
    np.testing.assert_array_equal(row.terminated, [False, False, True] * 2)


def test_the_policy_acts_by_its_gamma():
    agent = agent_for(acting_gamma=0.9)
    params, _ = parameters(agent)
    obs, resets = jax.random.normal(KEY, (5, 2, 4)), jnp.zeros((5, 2), bool)
    _, policy, value = agent.network.apply(params, agent.network.initial_carry(2), obs, resets)
    _, y = agent.network.apply(params, agent.network.initial_carry(2), obs, resets, method="read")
    np.testing.assert_array_equal(policy.logits, agent.network.apply(params, y, method="policy").logits[:, :, 1])
    q = agent.network.apply(params, agent.network.apply(params, y, method="critic"), method="value")[:, :, :, 1].mean(0)
    np.testing.assert_allclose(value, (jax.nn.softmax(policy.logits) * q).sum(-1), rtol=1e-5)


# ---------------------------------------------------------------------------------------------- updates


def test_no_two_leaves_of_a_state_share_a_buffer():
    state = agent_for(memory="none").init(KEY)
    leaves = jax.tree.leaves(state.replace(key=jax.random.key_data(state.key)))
    assert len({leaf.unsafe_buffer_pointer() for leaf in leaves}) == len(leaves)


@pytest.mark.parametrize("memory", MEMORIES)
def test_states_keep_their_types(memory):
    """Every leaf is strongly typed, and of the same shape and dtype after an update."""
    agent = agent_for(memory=memory)
    state = jax.eval_shape(agent.init, KEY)
    after = jax.eval_shape(agent.update, state)[0]
    assert jax.tree.structure(state) == jax.tree.structure(after)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
        assert (a.shape, a.dtype, False) == (b.shape, b.dtype, a.weak_type or b.weak_type)


def test_nothing_is_learnt_before_there_is_a_batch():
    agent = agent_for(Probe(6, 6), memory="none", batch_size=9, num_steps=6)
    state, metrics = updated(agent)
    assert metrics["stored"] == 8 and metrics["loss"] == 0
    jax.tree.map(np.testing.assert_array_equal, state.params, started(agent).params)
    later, metrics = updated(agent, 2)
    assert metrics["stored"] == 16 and metrics["loss"] != 0
    assert later.opt_state.count == 1 and later.params["popart"]["count"] == 1


def test_targets_follow_and_the_slow_parameters_stay_behind():
    """Tau 1 makes target heads equal to the heads; at pace 0 the memory's dynamics stay."""
    agent = agent_for(Probe(6, 6), tau=1.0, ssm_lr=0.0, num_steps=6)
    state, _ = updated(agent)
    heads = {name: state.params["params"][name] for name in ("actor", "ensemble")}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), heads, state.target)
    before = started(agent).params["params"]
    for path, leaf in jax.tree_util.tree_leaves_with_path(state.params["params"]):
        same = bool((leaf == _at(before, path)).all())
        slow = path[0].key == "memory" and path[-1].key in agent.network.memory.slow_parameters
        assert same == slow, jax.tree_util.keystr(path)


def _at(tree, path):
    for step in path:
        tree = tree[step.key]
    return tree


def test_seeds_by_vmap():
    agent = agent_for(memory="none")
    keys = jax.random.split(KEY, 2)

    def two(key):
        return agent.update(agent.update(agent.init(key))[0])

    together, metrics = jax.jit(jax.vmap(two))(keys)
    assert metrics["loss"].all()
    for i in range(2):
        alone, _ = jax.jit(two)(keys[i])
        same = jax.tree.map(lambda leaf, i=i: leaf[i], together)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4), alone.params, same.params)
        np.testing.assert_array_equal(alone.replay.stored, same.replay.stored)


def test_a_run_goes_on_with_the_same_numbers(tmp_path):
    """Stopped after four updates and taken up again, it ends as one that was not, ring and all."""
    agent = agent_for(memory="none")
    short, whole = (dataclasses.replace(agent.config, total_steps=64 * n) for n in (4, 7))
    runs.train(short, 0, tmp_path, progress=False, learner=agent)
    rows = []
    found = runs.train(whole, 0, tmp_path, progress=False, learner=agent, callback=rows.append)
    once = runs.train(whole, 0, progress=False, learner=agent)
    assert [row["update"] for row in rows] == [5, 6, 7] and found.final == once.final
    for name in set(once.metrics) - {"wall_time", "cpu_time"}:
        np.testing.assert_array_equal(found.metrics[name], once.metrics[name])
    jax.tree.map(np.testing.assert_array_equal, found.params, once.params)


def test_a_world_with_goals():
    """With one goal the return is the success; hindsight asks for more than was done."""
    options = (("min_goals", 1), ("max_goals", 1), ("episode_length", 16))
    config = AmagoConfig(env="PackageDeliveryEasy", env_options=options, memory_options=S5, relabel="all", **SMALL)
    agent = amago.make(config)
    state, metrics = updated(agent, 3)
    assert metrics["success"] == metrics["return"] and state.replay.rows.achieved.shape == (32, 16, 1)
    final = jax.jit(agent.evaluate)(state)
    assert final["success"] == final["return"] == final["goals_met"]
    plain = amago.make(dataclasses.replace(config, relabel="none"))
    ring = state.replay.replace(rows=state.replay.rows.replace(reward=jnp.zeros_like(state.replay.rows.reward)))
    given = (state.params, state.target, state.opt_state)
    told, untold = (jax.jit(each.learn)(*given, ring, KEY, state.hypers)[1] for each in (agent, plain))
    assert told["loss"] != untold["loss"]  # the same trajectories, of which some now earn


# ---------------------------------------------------------------------------------------------- known answers


LEARN = {"updates_per_collect": 4, "lr": 3e-3, "epsilon_steps": 4000, "capacity": 1000, "batch_size": 16, "tau": 0.05}


@cache
def trained(world, memory="s5", updates=150, **options):
    agent = agent_for(world, memory=memory, total_steps=updates * 64, **LEARN, **options)
    return runs.train(agent.config, progress=False, learner=agent).final["return"]


@pytest.mark.slow
def test_probe_memory():
    """See a bit, wait, name it: S5 can, no memory cannot."""
    assert trained(Probe(3, 6)) > 0.8
    assert trained(Probe(3, 6), "none") < 0.4


@pytest.mark.slow
def test_probe_memory_as_amago_2():
    """Cloning alone learns a wait of one step soon; longer ones take it more steps than a test has."""
    assert trained(Probe(2, 2), critic="two_hot", pg_coef=0.0, bc_coef=1.0) > 0.8


@pytest.mark.slow
def test_probe_the_number_that_fits_the_observation():
    """One step, a box from -2 to 1: the best answers, -1 and .5, earn 1, the best that ignores the bit .25."""
    assert trained(Probe(1, 1, box=True), "none") > 0.7


# ---------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"gammas": (0.9, 1.0)},
            r"gammas must lie between 0 and 1, both excluded, each once, rising; got \(0.9, 1.0\)",
        ),
        ({"gammas": (0.999, 0.9)}, "gammas must lie between 0 and 1, both excluded, each once, rising"),
        ({"gammas": 0.9}, "gammas must be a tuple of discounts"),
        ({"acting_gamma": 0.5}, "acting_gamma must be one of gammas = .*; got 0.5"),
        ({"memory": "lstn"}, "memory must be one of .*; got 'lstn'. Did you mean 'lstm'"),
        ({"critic": "twohot"}, "critic must be one of 'popart', 'two_hot'; got 'twohot'. Did you mean 'two_hot'"),
        ({"relabel": "future"}, "relabel must be one of 'all', 'some', 'none'; got 'future'"),
        ({"target_critics": 5}, "target_critics must be critics = 4 at most; got 5"),
        ({"capacity": 10}, "capacity must be at least num_envs = 64"),
        ({"batch_size": 0}, "batch_size must be a positive integer; got 0"),
        ({"epsilon_end": (1.5, 0.0)}, r"epsilon_end must be two shares from 0 to 1.*; got \(1.5, 0.0\)"),
        ({"epsilon_start": 0.1}, "epsilon_start must be two shares from 0 to 1"),
        ({"reward_scale": 0.0}, "reward_scale must lie between 0 and inf; got 0.0"),
        ({"popart_beta": 1.0}, "popart_beta must lie between 0 and 1; got 1.0"),
        ({"bins": 1}, "bins must be 2 or more; got 1"),
        ({"tau": 0.0}, "tau must lie between .*; got 0.0"),
        ({"head": 64}, r"head must be a tuple of widths"),
        ({"previous_action": 1}, "previous_action must be True or False; got 1"),
    ],
)
def test_bad_config(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        AmagoConfig(**options)


def test_another_memory_has_no_options_of_s5():
    assert AmagoConfig(memory="gru").memory_options == ()
    assert dict(AmagoConfig().memory_options)["activation"] == "half_glu1"


class Growing(nn.Module):
    """A memory that keeps everything."""

    features: int = 16

    def __call__(self, carry, x, resets, prepared=None):
        return jnp.concatenate([carry, x.swapaxes(0, 1)], 1), x

    def initial_carry(self, batch_size):
        return jnp.zeros((batch_size, 0, self.features))

    def prepare(self):
        return ()


def test_bad_worlds_and_networks():
    with pytest.raises(ValueError, match="relabel must be 'none' in a world without goals; got 'some'"):
        amago.make(AmagoConfig(**SMALL), Probe())
    with pytest.raises(TypeError, match="actions must be Discrete, or a Box of one dimension and finite bounds"):
        amago.make(AmagoConfig(relabel="none", **SMALL), make("MineSweeperEasy"))
    with pytest.raises(TypeError, match="network must be a MultiGammaActorCritic"):
        amago.make(AmagoConfig(relabel="none", **SMALL), Probe(), network=Growing())
    space, own = spaces.Discrete(3), {"gammas": GAMMAS, "critics": 3, "bin_limit": 100.0}
    config = AmagoConfig(relabel="none", previous_action=False, **SMALL)
    with pytest.raises(ValueError, match="must have a carry that keeps its shapes and dtypes from step to step"):
        amago.make(config, Probe(), network=MultiGammaActorCritic(space, Growing(), **own))
    with pytest.raises(ValueError, match=r"network.gammas must be \(0.5, 0.9, 0.99\), as in config; got \(0.5,\)"):
        memory = agent_for().network.memory
        amago.make(config, Probe(), network=MultiGammaActorCritic(space, memory, **{**own, "gammas": (0.5,)}))
    with pytest.raises(ValueError, match="tau must lie between"):
        agent_for().init(KEY, agent_for().config.hypers._replace(tau=2.0))
