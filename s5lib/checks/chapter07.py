"""Graders of chapter 7: learning in context."""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np

from s5lib import envs
from s5lib.checks.grading import Hint, call, compare, graded, parts

__all__ = ["check_generalisation_gap", "check_price_of_a_fall", "check_swapped", "check_trial_flags"]


@graded
def check_trial_flags(answer: Callable) -> str:
    """Exercise 07-1: where memory is emptied, and where nothing follows, from the ends of trials."""
    rng = np.random.default_rng(7)
    for trials in (1, 3, 16):
        ended = rng.random(400) < 0.25
        terminated = ended & (np.cumsum(ended) % trials == 0)
        resets = np.concatenate([[True], terminated[:-1]])
        stepped = parts(call(answer, ended, trials), 2, "`resets` and `terminated`")
        given = [np.asarray(flags) for flags in stepped]
        for name, flags in zip(("resets", "terminated"), given, strict=True):
            if flags.shape != ended.shape:
                raise Hint(f"`{name}` should have shape `{ended.shape}`, one flag a step; got `{flags.shape}`.")
        said = [flags.astype(bool) for flags in given]
        after = np.concatenate([[True], ended[:-1]])
        mistakes: dict[str, tuple] = {
            "You empty the memory at every trial. It must go on: what was found out in one trial is for the next.": (
                after,
                terminated,
            ),
            "Both flags hold at every trial. A trial's end is no end of the episode: only the last one's is.": (
                after,
                ended,
            ),
            "A fall terminates nothing but the last trial: rewards go on with the next.": (resets, ended),
            "`resets` looks back: it is True with the first observation of an episode, one step after `terminated`.": (
                terminated,
                terminated,
            ),
            "The very first step opens an episode too: `resets[0]` is True.": (
                np.concatenate([[False], resets[1:]]),
                terminated,
            ),
            "You have the two the wrong way round: return `resets`, then `terminated`.": (terminated, resets),
        }
        wrong = {hint: np.stack(flags) for hint, flags in mistakes.items()}
        what = f"With {trials} trials, [resets, terminated]"
        compare(np.stack(said), np.stack([resets, terminated]), wrong, what=what)
    return "right for 1, 3 and 16 trials: sixteen falls, and one end."


@graded
def check_price_of_a_fall(answer: Callable) -> str:
    """Exercise 07-2: what a discounted sum loses where a trial ends now, and not n steps later."""
    for gamma, n, trials in ((0.99, 50, 0), (0.99, 50, 1), (0.999, 200, 15), (0.9, 7, 3)):
        whole = (1 - gamma ** ((trials + 1) * n)) / (1 - gamma)
        rest = (1 - gamma ** (trials * n)) / (1 - gamma)
        one = (1 - gamma**n) / (1 - gamma)
        mistakes = {
            "That is what the n steps would have paid. But after a fall the next trial pays at once: compare the two sums.": one,
            "That is the value without a fall. Take from it the value with one.": whole,
            "That is the value after a fall. It is to be taken from the value without one.": rest,
            "The sign is flipped: a fall costs something, so the price is positive.": rest - whole,
            "That leaves out the discount: n steps are lost, but n steps that lie far ahead.": n,
            "You discount one trial too many: with a fall the sum ends after `trials * n` steps.": (
                gamma ** ((trials + 1) * n) * one
            ),
        }
        value = call(answer, gamma, n, trials)
        what = f"The price for gamma {gamma}, n {n} and {trials} trials to come"
        wrong = {hint: bad for hint, bad in mistakes.items() if abs(bad - (whole - rest)) > 1e-6 * whole}
        compare(np.asarray(value, dtype=float), whole - rest, wrong, what=what, rtol=1e-3, atol=1e-12)
    return "gamma^(K n) (1 - gamma^n) / (1 - gamma). With gamma = .99, n = 50 and 15 trials to come a fall costs .02 of 100."


@graded
def check_swapped(answer: Callable) -> str:
    """Exercise 07-3: one hidden bit, found out from a log."""
    env = envs.make("ProjectedCartPole", trials=4, obs_size=None, action_size=None, mirror=True)
    play = jax.jit(jax.vmap(lambda key: envs.play(env, key)))
    lives = jax.tree.map(np.asarray, play(jax.random.split(jax.random.key(7), 48)))
    projected = lives.state.env_state  # ProjectedCartPole wraps a Projection, which wraps Trials
    hidden, trials = projected.mirrored[:, 0], projected.env_state.trial
    said, careless = [], []  # careless: what the second difference says if trials are not kept apart
    for life in range(48):
        lived = lives.active[life]
        theta, action = lives.obs[life, lived, 1], lives.action[life, lived]
        opens = np.diff(trials[life, lived], prepend=-1) != 0
        careless.append(((theta[2:] - 2 * theta[1:-1] + theta[:-2]) * (2 * action[:-2] - 1)).sum() > 0)
        value = np.asarray(call(answer, theta, action, opens))
        if value.shape != ():
            raise Hint(f"Return one answer, True or False; got an array of shape `{value.shape}`.")
        said.append(bool(value))
    right = np.mean(np.array(said) == hidden)
    if right == 0:
        raise Hint("All 48 answers are the wrong way round: a push to the right tips the pole to the *left*.")
    if len(set(said)) == 1:
        raise Hint(f"You say {said[0]} every time; the buttons are swapped in {sum(hidden)} lives of 48.")
    if said == careless:
        raise Hint(
            f"{right:.0%} are right. The second difference is the thing to look at; but where a trial opens theta jumps, and the "
            "jumps outweigh the pushes: leave out differences that reach over `opens`."
        )
    if right < 0.8:
        raise Hint(
            f"{right:.0%} are right, little more than guesses. The push at t changes the speed: look for it in "
            "theta[t + 2] - 2 theta[t + 1] + theta[t]."
        )
    if right < 1:
        raise Hint(
            f"{right:.0%} are right. Does any of your differences still reach over a step at which a trial opens?"
        )
    return "48 of 48 bits found out, from four falls each."


@graded
def check_generalisation_gap(answer: Callable) -> str:
    """Exercise 07-4: the return on projections seen in training, less the return on others."""
    from s5lib import ppo  # loaded here: the other graders do without a learner

    options = {"trials": 2, "max_steps": 20, "pool": 2}
    config = ppo.PPOConfig(
        env="ProjectedCartPole",
        env_options=tuple(options.items()),
        memory="gru",
        features=8,
        num_envs=4,
        num_minibatches=1,
        eval_episodes=16,
        eval_env_options=(("held_out", True),),
    )
    agents = {
        held: ppo.make(dataclasses.replace(config, eval_env_options=(("held_out", held),))) for held in (False, True)
    }
    state = agents[False].init(jax.random.key(0))
    seen, unseen = (float(agents[held].evaluate(state)["return"]) for held in (False, True))
    mistakes = {
        "The sign is flipped: seen less unseen, so that a network that has memorised has a gap above 0.": unseen - seen,
        "That is the return on the projections of training; take the other from it.": seen,
        "That is the return on held-out projections; take it from that of training.": unseen,
        "Both returns are of the same projections. `evaluate` plays what `eval_env_options` say: let `held_out` be False "
        "in one agent and True in the other.": 0.0,
    }
    compare(np.asarray(call(answer, config, state), dtype=float), seen - unseen, mistakes, what="The gap", atol=1e-4)
    return "equal. An untrained network has no gap to speak of; now train one on a small pool."
