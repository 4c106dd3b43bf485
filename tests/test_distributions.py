"""What policies draw from: densities that sum to one, entropies, and samples that follow them; heads for each kind of action."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from s5lib.distributions import Categorical, DiagNormal, MultiCategorical, from_parameters, parameter_count
from s5lib.envs import MultiDiscrete, spaces

KEY = jax.random.key(0)


def test_categorical():
    logits = jnp.array([0.3, -1.0, 2.0])
    policy = Categorical(logits)
    p = np.asarray(jax.nn.softmax(logits), float)
    np.testing.assert_allclose(jnp.exp(jax.vmap(policy.log_prob)(jnp.arange(3))), p, rtol=1e-5)
    np.testing.assert_allclose(policy.entropy(), scipy.stats.entropy(p), rtol=1e-5)
    drawn = jax.vmap(policy.sample)(jax.random.split(KEY, 20000))
    assert scipy.stats.chisquare(np.bincount(drawn), 20000 * p / p.sum()).pvalue > 1e-3
    assert policy.mode() == 2
    np.testing.assert_allclose(Categorical(logits + 1000).log_prob(jnp.int32(1)), np.log(p[1]), rtol=1e-3)


def test_multi_categorical_is_a_product():
    policy = MultiCategorical(jnp.array([0.5, -0.5, 1.0, 0.0, -1.0]), (2, 3))
    pairs = jnp.array(list(itertools.product(range(2), range(3))))
    p = np.asarray(jnp.exp(jax.vmap(policy.log_prob)(pairs)), float)
    np.testing.assert_allclose(p.sum(), 1, rtol=1e-5)
    np.testing.assert_allclose(policy.entropy(), scipy.stats.entropy(p), rtol=1e-5)
    drawn = np.asarray(jax.vmap(policy.sample)(jax.random.split(KEY, 20000)))
    counts = np.bincount(3 * drawn[:, 0] + drawn[:, 1], minlength=6)
    assert scipy.stats.chisquare(counts, 20000 * p / p.sum()).pvalue > 1e-3
    assert policy.mode().tolist() == [0, 0]


def test_diag_normal():
    mean, log_std = jnp.array([0.5, -2.0]), jnp.array([0.1, -0.7])
    policy = DiagNormal(mean, log_std)
    one = scipy.stats.norm(np.asarray(mean), np.exp(np.asarray(log_std)))
    x = jnp.array([[0.0, -1.5], [1.0, -2.5]])
    np.testing.assert_allclose(jax.vmap(policy.log_prob)(x), one.logpdf(np.asarray(x)).sum(-1), rtol=1e-5)
    np.testing.assert_allclose(policy.entropy(), one.entropy().sum(), rtol=1e-5)
    drawn = np.asarray(jax.vmap(policy.sample)(jax.random.split(KEY, 5000)))
    for i in range(2):
        assert (
            scipy.stats.kstest(drawn[:, i], lambda v, i=i: scipy.stats.norm.cdf(v, mean[i], np.exp(log_std[i]))).pvalue
            > 1e-3
        )
    np.testing.assert_array_equal(policy.mode(), mean)


@pytest.mark.parametrize(
    "space, count, kind",
    [
        (spaces.Discrete(4), 4, Categorical),
        (MultiDiscrete((8, 3)), 11, MultiCategorical),
        (spaces.Box(-2.0, 2.0, (2,)), 2, DiagNormal),
    ],
)
def test_heads(space, count, kind):
    """Over time and batch: samples that lie in the space, log probabilities and entropies of one number each."""
    assert parameter_count(space) == count
    log_std = jnp.zeros(count) if kind is DiagNormal else None
    policy = from_parameters(space, jnp.zeros((5, 2, count)), log_std)
    assert isinstance(policy, kind)
    action = policy.sample(KEY)
    assert action.shape == (5, 2, *space.shape) and action.dtype == space.dtype
    assert policy.log_prob(action).shape == policy.entropy().shape == (5, 2)


def masked(kind):
    """Three choices of which the second is forbidden, alone or beside one of two that is free; an action; that of a free one."""
    logits = jnp.array([0.3, -jnp.inf, 1.0])
    if kind is Categorical:
        return Categorical(logits), Categorical(logits[::2]), jnp.int32(2), jnp.int32(1)
    free = jnp.array([0.5, -0.5])
    full, part = MultiCategorical(jnp.concatenate([logits, free]), (3, 2)), jnp.concatenate([logits[::2], free])
    return full, MultiCategorical(part, (2, 2)), jnp.array([2, 1]), jnp.array([1, 1])


@pytest.mark.parametrize("kind", [Categorical, MultiCategorical])
def test_a_choice_whose_logit_is_minus_infinity_is_one_that_is_not_there(kind):
    policy, without, action, same = masked(kind)
    for found, expected in ((policy.entropy(), without.entropy()), (policy.log_prob(action), without.log_prob(same))):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert policy.log_prob(action.at[..., *[0] * action.ndim].set(1)) == -jnp.inf
    keep = np.delete(np.arange(len(policy.logits)), 1)
    for ask in (lambda p, a: p.entropy(), lambda p, a: p.log_prob(a)):
        gradient, expected = (jax.grad(ask)(p, a).logits for p, a in ((policy, action), (without, same)))
        assert gradient[1] == 0
        np.testing.assert_allclose(gradient[keep], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "policy, action, error, message",
    [
        (Categorical(jnp.zeros(3)), jnp.int32(-1), ValueError, "action must lie in 0 to 2; got -1"),
        (Categorical(jnp.zeros((2, 3))), np.array([0, 3]), ValueError, "action must lie in 0 to 2; got 3"),
        (Categorical(jnp.zeros((2, 3))), jnp.zeros((2, 1), int), ValueError, r"action must have shape \(2,\)"),
        (Categorical(jnp.zeros(3)), jnp.float32(1), TypeError, "action must hold integers; got dtype float32"),
        (MultiCategorical(jnp.zeros(5), (2, 3)), jnp.array([0, 3]), ValueError, "action must lie in 0 to 2; got 3"),
        (
            MultiCategorical(jnp.zeros(5), (2, 3)),
            jnp.array([0]),
            ValueError,
            r"action must have shape \(2,\); got \(1,\)",
        ),
        (DiagNormal(jnp.zeros(3), jnp.zeros(3)), jnp.zeros((3, 1)), ValueError, r"action must have shape \(3,\)"),
    ],
)
def test_actions_that_are_none_are_refused(policy, action, error, message):
    with pytest.raises(error, match=message):
        policy.log_prob(action)


def test_where_actions_are_traced_those_out_of_range_have_probability_zero():
    found = jax.jit(jax.vmap(Categorical(jnp.zeros(4)).log_prob))(jnp.array([-1, 0, 3, 4]))
    np.testing.assert_allclose(found, [-np.inf, -np.log(4), -np.log(4), -np.inf], rtol=1e-6)


@pytest.mark.parametrize(
    "space, count", [(spaces.Discrete(4), 3), (MultiDiscrete((8, 3)), 12), (spaces.Box(-1.0, 1.0, (2,)), 3)]
)
def test_parameters_that_are_not_of_the_space_are_refused(space, count):
    with pytest.raises(ValueError, match=r"parameters must have shape \(..., \d+\) for .*; got"):
        from_parameters(space, jnp.zeros((5, count)), jnp.zeros(count))


def test_log_std_is_for_a_box():
    with pytest.raises(ValueError, match=r"log_std must have shape \(2,\) for Box.*; got None"):
        from_parameters(spaces.Box(-1.0, 1.0, (2,)), jnp.zeros(2))


def test_other_spaces_are_refused():
    with pytest.raises(TypeError, match="actions must be Discrete, MultiDiscrete or a Box of one dimension; got Box"):
        parameter_count(spaces.Box(-1.0, 1.0, (2, 2)))
