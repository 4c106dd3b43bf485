"""Spaces: the numbers that gymnax's give, gymnax's own accepted, and wrong arguments refused."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces as theirs

from s5lib.envs import spaces as ours
from s5lib.envs.spaces import MultiDiscrete, Reals, choices, is_box, is_discrete, is_vector
from tests.precision import double_precision

KEY = jax.random.key(7)
BOXES = [
    (-1.0, 2.0, (3,)),
    (0, 1, (2, 2)),
    (jnp.array([-1.0, 0.0]), jnp.array([0.5, 4.0]), (2,)),
    (np.float32(-3), np.full((4, 1), 3.0), (4, 5)),
    (-2.0, 2.0, ()),
]


@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_discrete_is_as_gymnax(n):
    mine, other = ours.Discrete(n), theirs.Discrete(n)
    assert repr(mine) == repr(other)
    assert (mine.n, mine.shape, mine.dtype) == (other.n, other.shape, other.dtype)
    keys = jax.random.split(KEY, 200)
    drawn = jax.vmap(mine.sample)(keys)
    np.testing.assert_array_equal(drawn, jax.vmap(other.sample)(keys))
    assert drawn.dtype == jnp.int32
    x = np.arange(-3, n + 3)
    np.testing.assert_array_equal(mine.contains(x), other.contains(x))
    assert not mine.contains(-0.5) and not mine.contains(0.5) and not mine.contains(jnp.nan)


@pytest.mark.parametrize("low, high, shape", BOXES)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_box_is_as_gymnax(low, high, shape, dtype):
    mine, other = ours.Box(low, high, shape, dtype), theirs.Box(low, high, shape, dtype)
    assert repr(mine) == repr(other)
    assert mine.low is low and mine.high is high and mine.shape == shape and mine.dtype == dtype
    drawn = mine.sample(KEY)
    np.testing.assert_array_equal(drawn, other.sample(KEY))
    assert drawn.dtype == dtype and drawn.shape == shape
    for x in (drawn, drawn + 100, drawn - 100):
        assert bool(mine.contains(x)) == bool(other.contains(x))


def test_int64_in_x64_mode():
    with pytest.raises(ValueError, match="dtype = int64 needs JAX's x64 mode"):
        ours.Discrete(3, dtype=jnp.int64)
    with double_precision():
        mine, other = ours.Discrete(5, dtype=jnp.int64), theirs.Discrete(5, dtype=jnp.int64)
        assert mine.sample(KEY) == other.sample(KEY) and mine.sample(KEY).dtype == jnp.int64


def test_several_choices():
    board = MultiDiscrete((3, 4))
    drawn = jax.vmap(board.sample)(jax.random.split(KEY, 300))
    assert drawn.min() == 0 and drawn.max(0).tolist() == [2, 3]
    assert jax.vmap(board.contains)(drawn).all() and not board.contains(np.array([3, 0]))


@pytest.mark.parametrize(
    "space, kind, sizes",
    [
        (ours.Discrete(3), "discrete", (3,)),
        (theirs.Discrete(3), "discrete", (3,)),
        (MultiDiscrete((2, 3)), "several", (2, 3)),
        (ours.Box(0.0, 1.0, (2,)), "vector", None),
        (theirs.Box(0.0, 1.0, (2,)), "vector", None),
        (Reals(2), "vector", None),
        (ours.Box(0.0, 1.0, (2, 2)), "box", None),
        (theirs.Dict({"a": theirs.Discrete(2)}), "other", None),
        (theirs.Tuple((theirs.Discrete(2),)), "other", None),
    ],
    ids=str,
)
def test_kinds_are_told_by_what_a_space_has(space, kind, sizes):
    assert is_discrete(space) == (kind == "discrete")
    assert is_box(space) == (kind in ("box", "vector"))
    assert is_vector(space) == (kind == "vector")
    if sizes is None:
        with pytest.raises(TypeError, match="space must be Discrete or MultiDiscrete; got"):
            choices(space)
    else:
        assert choices(space) == sizes


def test_gymnax_takes_ours_for_its_own():
    """Its wrappers ask ``isinstance``; and a space that gymnax takes for its own is still copied and pickled as ours."""
    assert isinstance(ours.Discrete(3), theirs.Discrete) and isinstance(ours.Discrete(3), ours.Discrete)
    assert isinstance(Reals(3), theirs.Box) and not isinstance(Reals(3), theirs.Discrete)
    assert isinstance(MultiDiscrete((2, 2)), theirs.Space)
    for space in (ours.Discrete(3), MultiDiscrete((2, 3)), ours.Box(-1.0, 1.0, (2,)), Reals(4)):
        for again in (pickle.loads(pickle.dumps(space)), copy.deepcopy(space)):
            assert type(again) is type(space) and repr(again) == repr(space)
            np.testing.assert_array_equal(again.sample(KEY), space.sample(KEY))
    assert theirs.gymnax_space_to_gym_space(ours.Discrete(3)).n == 3


def test_bounds_may_be_traced():
    drawn = jax.jit(lambda high: ours.Box(0.0, high, (2,)).sample(KEY))(2.0)
    np.testing.assert_array_equal(drawn, ours.Box(0.0, 2.0, (2,)).sample(KEY))


@pytest.mark.parametrize(
    "build, kind, message",
    [
        (lambda: ours.Discrete(0), ValueError, "num_categories must be a positive integer; got 0"),
        (lambda: ours.Discrete(2.0), TypeError, "num_categories must be an integer"),
        (lambda: ours.Discrete(2, dtype=jnp.float32), ValueError, "dtype must be int32 or int64; got float32"),
        (lambda: MultiDiscrete((2, 0)), ValueError, "nvec must be a positive integer; got 0"),
        (lambda: ours.Box(np.zeros(3), 1.0, (2,)), ValueError, r"low must broadcast to shape \(2,\); got shape \(3,\)"),
        (lambda: ours.Box(0.0, np.ones((2, 2)), (2,)), ValueError, "high must broadcast to shape"),
        (lambda: ours.Box(1.0, -1.0, (2,)), ValueError, "low must not lie above high"),
        (lambda: ours.Box(0.0, np.nan, (2,)), ValueError, "low must not lie above high, nor either be NaN"),
        (lambda: Reals(0), ValueError, "size must be a positive integer; got 0"),
    ],
)
def test_bad_spaces(build, kind, message):
    with pytest.raises(kind, match=message):
        build()
