"""What the tests of the cart pole and the pendulum share: our noise given to the original, and runs in double precision."""

import jax
import numpy as np

from s5lib.envs import make
from tests.precision import double_precision

from .agreement import SEEDS


class Fed:
    """Stands in for the original's generator: normal draws that we hand it, each time-step's two in turn."""

    def __init__(self, standard_normals):
        self.draws = iter(standard_normals)

    def normal(self, loc, scale):
        return loc + scale * next(self.draws)


def normals(env, seeds: int):
    """The standard normals that ``env`` uses in ``agreement.episodes``: (seeds, 1 + horizon, 2), the reset's first."""

    def draw(seed):
        key_reset, key_steps = jax.random.split(jax.random.key(seed))
        steps = jax.vmap(lambda key: jax.random.split(key)[1])(jax.random.split(key_steps, env.horizon))
        keys = jax.numpy.append(jax.random.split(key_reset)[1:], steps)
        return jax.vmap(lambda key: jax.random.normal(key, (2,)))(keys)

    return np.asarray(jax.jit(jax.vmap(draw))(np.arange(seeds)), np.float64)


def with_noise(name: str, put):
    """``put`` for a family with noise: before each step the original gets the draws that ours used."""
    draws = normals(make(name), SEEDS)
    seed = -1

    def put_noisy(theirs, state):
        nonlocal seed
        seed += state.time == 0
        clean = put(theirs, state)
        theirs.np_random = Fed(draws[seed, state.time :])
        return theirs.add_noise_to_obs(clean)

    return put_noisy


def free_run(name: str, share_of_random: float, compare) -> int:
    """One whole episode in double precision, its start and actions given to the original, which then runs by itself.

    ``compare(theirs, state)`` looks at the two hidden states after each step. Returns the steps.
    """
    from s5lib.envs import play

    from .agreement import at, mixed, original

    env, theirs = make(name), original(name)
    with double_precision():
        episode = jax.tree.map(
            np.asarray, jax.jit(lambda key: play(env, key, mixed(env, share_of_random)))(jax.random.key(3))
        )
    assert episode.state.physics.dtype == np.float64
    theirs.state = episode.state.physics[0].copy()
    steps = int(episode.active.sum())
    for t in range(steps):
        action = episode.action[t]
        obs, reward, terminated, truncated, _ = theirs.step(action.item() if action.ndim == 0 else action)
        np.testing.assert_allclose(episode.next_obs[t], obs, rtol=1e-6, atol=1e-6, err_msg=f"{name}, step {t}")
        np.testing.assert_allclose(episode.reward[t], reward, rtol=1e-6, err_msg=f"{name}, step {t}")
        assert (episode.terminated[t], episode.truncated[t]) == (terminated, truncated), (name, t)
        if t + 1 < steps:
            compare(theirs, at(episode.state, t + 1))
    assert terminated or truncated
    return steps
