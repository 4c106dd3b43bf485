"""Chapter 4. Handwritten digits read pixel by pixel, one at a time or packed in long sequences, and their classifier.

The same two functions that PPO has, ``init`` and ``update``, train it: ``make(config)`` returns them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from s5lib.config import check_choice, check_flags, check_positive_int, check_real, check_shape, require
from s5lib.memory import GRU, Carry, Memory, Params, Prepared, count_parameters
from s5lib.s5 import S5Stack

__all__ = [
    "Batch",
    "Classifier",
    "DigitsConfig",
    "Learner",
    "TrainState",
    "accuracy",
    "digits",
    "evaluate",
    "make",
    "make_classifier",
    "num_params",
    "packed_digits",
    "single_digits",
]

MEMORIES = ("s5", "gru")
TASKS = ("single", "packed")
EIGENVALUES = ("hippo", "random", "real")
PIXELS, CLASSES, ROW = 64, 10, 8
Array = jax.Array | np.ndarray


class Batch(NamedTuple):
    """Sequences with the moments at which the class is asked for.

    Attributes:
        x: (T, B, 1) float32, one pixel a time step, -1 for blank paper to 1 for ink.
        resets: (T, B) bool, True where an episode's first pixel stands.
        labels: (T, B) int32, the class of the digit that opened the episode.
        asked: (T, B) bool, True where the answer counts: the last pixel of every digit.
    """

    x: jax.Array
    resets: jax.Array
    labels: jax.Array
    asked: jax.Array


# --------------------------------------------------------------------------------------------------------------- data
@cache
def _scans() -> tuple[np.ndarray, np.ndarray]:
    """Images (1797, 64) float32 from -1 to 1 and labels (1797,) int32, in scikit-learn's order."""
    found = require("sklearn.datasets", "digits").load_digits()
    return (found.data / 8 - 1).astype(np.float32), found.target.astype(np.int32)


def digits(part: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """Return one part of scikit-learn's 1797 scans of handwritten digits, 8 by 8 pixels, as sequences of 64 pixels.

    The split is fixed and has each class in equal shares: a fifth of all scans is ``"heldout"``, the rest ``"train"``.
    For tuning, ``"train"`` is split again, four to one, into ``"fit"`` and ``"validation"``: choose anything you like
    on ``"validation"`` and look at ``"heldout"`` once. The same writers may stand in every part.

    Args:
        part: ``"train"``, ``"heldout"``, ``"fit"`` or ``"validation"``.
    Returns:
        x (64, N, 1) float32, time-major, row by row from the top left, -1 for blank paper to 1 for ink; labels (N,)
        int32.
    Raises:
        ValueError: an unknown part. ImportError: scikit-learn is missing.
    Example:
        >>> x, labels = digits("heldout")
        >>> x.shape, np.bincount(labels).tolist()
        ((64, 355, 1), [35, 36, 35, 36, 36, 36, 36, 35, 34, 36])

    Source: Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, its test part, as shipped by scikit-learn.
    """
    check_choice("part", part, ("train", "heldout", "fit", "validation"))
    images, labels = _scans()
    fold = np.zeros(len(labels), np.int64)  # 0: held out; 1: validation; 2, 3, ...: fit
    for digit in range(CLASSES):
        members = np.random.RandomState(digit).permutation(np.flatnonzero(labels == digit))
        fifth = len(members) // 5
        fold[members] = 2
        fold[members[:fifth]] = 0
        fold[members[fifth : fifth + (len(members) - fifth) // 5]] = 1
    keep = {"train": fold > 0, "heldout": fold == 0, "fit": fold == 2, "validation": fold == 1}[part]
    return images[keep].T[..., None], labels[keep]


def single_digits(x: Array, labels: Array) -> Batch:
    """Make one sequence of each digit: 64 pixels, a reset at the first, the class asked for at the last.

    Args:
        x: (64, B, 1) and labels (B,), as ``digits`` returns them.
    Returns:
        A Batch with T = 64.
    Raises:
        ValueError: the shapes do not fit.
    Example:
        >>> batch = single_digits(*digits("heldout"))
        >>> batch.x.shape, int(batch.resets.sum()), int(batch.asked.sum())
        ((64, 355, 1), 355, 355)
    """
    check_shape("x", x, (PIXELS, "B", 1))
    check_shape("labels", labels, (x.shape[1],))
    t = jnp.arange(PIXELS)[:, None]
    flags = jnp.broadcast_to(t, x.shape[:2])
    return Batch(jnp.asarray(x), flags == 0, jnp.broadcast_to(jnp.asarray(labels), x.shape[:2]), flags == PIXELS - 1)


def packed_digits(
    key: jax.Array, x: Array, labels: Array, *, num_steps: int = 512, batch_size: int = 16, max_digits: int = 4
) -> Batch:
    """Pack episodes of 1 to ``max_digits`` digits into long sequences, and ask for the digit that opened the episode.

    Digits follow one another without a gap, 64 pixels each. How many an episode has is drawn at random, so nobody can
    tell by counting which digit opens the next one: only the reset flag says so. At each digit's last pixel the question
    is which class the episode's first digit had. A memory must hold on to it while other digits pass, and drop it at a
    reset.

    Without the flags the answer cannot be known: a guesser who names the digit just read is right in a share
    ``2 / (max_digits + 1)`` of the cases, and now and then by luck.

    Args:
        key: JAX random key; draws the digits and how many each episode has.
        x: (64, N, 1) and labels (N,), the digits to draw from.
        num_steps: length T of each sequence, a multiple of 64.
        batch_size: number of sequences B.
        max_digits: the most digits an episode has; 1 asks for each digit's own class.
    Returns:
        A Batch of shape (num_steps, batch_size); ``resets`` is True at each episode's first pixel.
    Raises:
        ValueError, TypeError: a shape or size is not as said.
    Example:
        >>> batch = packed_digits(jax.random.key(0), *digits("train"), num_steps=512, batch_size=1)
        >>> np.flatnonzero(batch.resets).tolist(), batch.labels[batch.asked].tolist()
        ([0, 192, 384, 448], [2, 2, 2, 7, 7, 7, 9, 8])
    """
    check_shape("x", x, (PIXELS, "N", 1))
    check_shape("labels", labels, (x.shape[1],))
    check_positive_int("num_steps", num_steps, multiple_of=PIXELS)
    check_positive_int("batch_size", batch_size)
    check_positive_int("max_digits", max_digits)
    x, labels = jnp.asarray(x), jnp.asarray(labels)
    count = num_steps // PIXELS
    key_digit, key_size = jax.random.split(key)
    chosen = jax.random.randint(key_digit, (count, batch_size), 0, x.shape[1])
    sizes = jax.random.randint(key_size, (count, batch_size), 1, max_digits + 1)
    openings = jnp.cumsum(sizes, axis=0) - sizes  # the number of the digit that opens each episode
    order = jnp.arange(count)[:, None, None]
    opener = jnp.where(openings <= order, openings, 0).max(1)  # (count, B): the last opening not after each digit
    pixel = jnp.arange(num_steps) % PIXELS
    digit = jnp.arange(num_steps) // PIXELS
    first = pixel[:, None] == 0
    return Batch(
        x=x[pixel[:, None], chosen[digit]],
        resets=first & (opener == order[..., 0])[digit],
        labels=labels[jnp.take_along_axis(chosen, opener, axis=0)][digit],
        asked=jnp.broadcast_to(pixel[:, None] == PIXELS - 1, (num_steps, batch_size)),
    )


# -------------------------------------------------------------------------------------------------------------- network
class Classifier(nn.Module):
    """A Dense layer, a memory, a layer norm and a Dense layer: scores for each class at every time step.

    Attributes:
        memory: any memory.
        features: width of the memory's input and output.
        classes: number of classes.
    """

    memory: Memory
    features: int
    classes: int = CLASSES

    @nn.compact
    def __call__(
        self, carry: Carry, x: jax.Array, resets: jax.Array, prepared: Prepared | None = None
    ) -> tuple[Carry, jax.Array]:
        """Read x (T, B, inputs) with resets (T, B); return the carry and logits (T, B, classes)."""
        T, B = x.shape[:2]
        tokens = nn.Dense(self.features, name="encoder")(x.reshape(T * B, -1))
        carry, y = self.memory(carry, tokens.reshape(T, B, -1), resets, prepared)
        scores = nn.Dense(self.classes, name="head")(nn.LayerNorm(name="norm")(y.reshape(T * B, -1)))
        return carry, scores.reshape(T, B, -1)

    def initial_carry(self, batch_size: int) -> Carry:
        """Return the memory's state before anything is read."""
        return self.memory.initial_carry(batch_size)


# ------------------------------------------------------------------------------------------------------------- learning
@dataclass(frozen=True)
class DigitsConfig:
    """Everything that a run on the digits depends on but its seed.

    Attributes:
        task: ``"single"``, one digit a sequence, or ``"packed"``, many.
        memory: ``"s5"`` or ``"gru"``.
        features: width H of the network.
        state_size: S5's real state size N (P = N/2 complex states); no meaning for the GRU.
        layers: number of memory layers.
        blocks: S5's number of HiPPO blocks.
        step_min: S5's smallest initial time step.
        step_max: S5's largest initial time step.
        eigenvalues: what S5's states start from: ``"hippo"``; ``"random"``, as many frequencies drawn evenly between 0 and HiPPO's
            highest; ``"real"``, all frequencies 0, which leaves states that fade and do not turn.
        ssm_lr: what the step size is multiplied by for S5's Lambda, B_tilde and log_step; 0 leaves them where they start.
        num_updates: number of updates: passes over the training part (single), or ``steps_per_update`` steps (packed).
        steps_per_update: gradient steps in one update of the packed task.
        batch_size: sequences in one gradient step.
        num_steps: length of a packed sequence.
        max_digits: the most digits a packed episode has.
        resets: False hides the reset flags from the memory, in training and after.
        learning_rate: peak of a cosine schedule with a linear warm-up over its first twentieth.
        weight_decay: decoupled, on the kernels of Dense layers (those inside a GRU too) only.
        max_grad_norm: the gradient's global norm is cut to this.
        shift: images are shifted by up to this many pixels each way in training; 0 for none.
        validation: train on ``"fit"`` and evaluate on ``"validation"``, as all tuning must.
    """

    task: str = "single"
    memory: str = "s5"
    features: int = 64
    state_size: int = 64
    layers: int = 2
    blocks: int = 4
    step_min: float = 0.001
    step_max: float = 0.1
    eigenvalues: str = "hippo"
    ssm_lr: float = 1.0
    num_updates: int = 80
    steps_per_update: int = 25
    batch_size: int = 32
    num_steps: int = 512
    max_digits: int = 4
    resets: bool = True
    learning_rate: float = 4e-3
    weight_decay: float = 0.05
    max_grad_norm: float = 1.0
    shift: int = 1
    validation: bool = False

    def __post_init__(self):
        check_flags(self)
        check_choice("task", self.task, TASKS)
        check_choice("memory", self.memory, MEMORIES)
        check_choice("eigenvalues", self.eigenvalues, EIGENVALUES)
        for name in ("features", "state_size", "layers", "blocks", "num_updates", "steps_per_update", "batch_size"):
            check_positive_int(name, getattr(self, name))
        check_positive_int("max_digits", self.max_digits)
        check_positive_int("num_steps", self.num_steps, multiple_of=PIXELS)
        for name in ("learning_rate", "max_grad_norm", "step_min", "step_max"):
            check_real(name, getattr(self, name), positive=True)
        for name in ("weight_decay", "ssm_lr"):
            check_real(name, getattr(self, name))
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more; got {getattr(self, name)}")
        if self.shift not in (0, 1, 2):
            raise ValueError(f"shift must be 0, 1 or 2 pixels; got {self.shift!r}")

    def make(self) -> "Learner":
        """Return the learner that this config describes; see ``make``."""
        return make(self)


class TrainState(NamedTuple):
    """What one update takes and returns: parameters, the optimiser's state, and the key that draws what comes next."""

    params: Params
    opt_state: optax.OptState
    key: jax.Array


class Learner(NamedTuple):
    """Functions that train a model. The first two can be put under jit and vmap.

    Attributes:
        init: ``init(key) -> state``; the state has a field ``params``.
        update: ``update(state) -> state, metrics``, metrics being a dict of scalars.
        evaluate: ``evaluate(state) -> dict`` of scalars, asked for once, after training.
        model: the flax module that ``state.params`` belong to.
    """

    init: Callable
    update: Callable
    evaluate: Callable
    model: nn.Module


num_params = count_parameters  # the name that chapter 4 uses


def make_classifier(config: DigitsConfig) -> Classifier:
    """Return the network that a config describes.

    Args:
        config: says which memory, and its sizes.
    Returns:
        A Classifier; its parameters are drawn by ``make(config).init``, and stored ones are read by ``records.load``.
    Example:
        >>> type(make_classifier(DigitsConfig(memory="gru")).memory).__name__
        'GRU'
    """
    memory: Memory
    if config.memory == "gru":
        memory = GRU(config.features, config.layers)
    else:
        memory = S5Stack(
            features=config.features, state_size=config.state_size, layers=config.layers, blocks=config.blocks,
            step_min=config.step_min, step_max=config.step_max,
        )  # fmt: skip
    return Classifier(memory, config.features)


def _losses(model: Classifier, params: Params, batch: Batch, resets: bool = True) -> tuple[jax.Array, jax.Array]:
    """Return the mean cross-entropy and the share of right answers, over the moments asked for."""
    flags = batch.resets if resets else jnp.zeros_like(batch.resets)
    logits: Any = model.apply(params, model.initial_carry(batch.x.shape[1]), batch.x, flags)[1]
    count = jnp.maximum(batch.asked.sum(), 1)
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels)
    right = logits.argmax(-1) == batch.labels
    return jnp.where(batch.asked, loss, 0.0).sum() / count, (right & batch.asked).sum() / count


def accuracy(model: Classifier, params: Params, batch: Batch, resets: bool = True) -> jax.Array:
    """Return the share of right answers among the moments asked for.

    Args:
        model: the classifier.
        params: its parameters.
        batch: sequences to read.
        resets: False hides the reset flags from the memory, so that digits run into one another.
    Returns:
        A scalar from 0 to 1.
    """
    return _losses(model, params, batch, resets)[1]


def _shifted(key: jax.Array, x: jax.Array, shift: int) -> jax.Array:
    """Move each image in x (64, B, 1) by up to ``shift`` pixels along both axes; the edge comes in blank."""
    if shift == 0:
        return x
    B = x.shape[1]
    images = jnp.pad(x.reshape(ROW, ROW, B), ((shift, shift), (shift, shift), (0, 0)), constant_values=-1.0)
    corners = jax.random.randint(key, (B, 2), 0, 2 * shift + 1)
    cut = jax.vmap(lambda image, at: jax.lax.dynamic_slice(image, at, (ROW, ROW)), in_axes=(2, 0), out_axes=2)
    return cut(images, corners).reshape(PIXELS, B, 1)


def _optimiser(config: DigitsConfig, total: int) -> optax.GradientTransformation:
    """AdamW: a clipped gradient, a cosine schedule over ``total`` gradient steps, S5's slow parameters at a pace of their own."""
    schedule = optax.warmup_cosine_decay_schedule(0.0, config.learning_rate, max(1, total // 20), max(2, total))

    def decayed(params):
        return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)

    def slow(params):
        return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key in S5Stack.slow_parameters, params)

    return optax.chain(
        optax.clip_by_global_norm(config.max_grad_norm),
        optax.adamw(schedule, weight_decay=config.weight_decay, mask=decayed),
        optax.masked(optax.scale(config.ssm_lr), slow),
    )


def _other_eigenvalues(config: DigitsConfig, key: jax.Array, params: Params) -> Params:
    """Replace the frequencies that S5 starts from by those that the config asks for."""
    keys = iter(jax.random.split(key, config.layers))

    def replaced(path, leaf):
        if path[-1].key != "Lambda_im" or config.eigenvalues == "hippo":
            return leaf
        highest = leaf.max() if config.eigenvalues == "random" else 0.0
        return highest * jax.random.uniform(next(keys), leaf.shape)

    return jax.tree_util.tree_map_with_path(replaced, params)


def make(config: DigitsConfig) -> Learner:
    """Turn a config into the functions that train and evaluate it.

    One update of the single task is one pass over the training digits in a new order; of the packed task,
    ``steps_per_update`` gradient steps, each on newly packed sequences. Both run inside one ``jax.lax.scan``.

    Args:
        config: what to train.
    Returns:
        A Learner. ``update``'s metrics are ``loss`` and ``train_accuracy``, means over the update's gradient steps, and
        ``accuracy`` after it, on the held-out part (the validation part with ``config.validation``; on the packed task,
        48 sequences where ``evaluate`` has 256).
        ``evaluate`` gives what the function of that name does.
    Raises:
        TypeError: config is not a DigitsConfig. ImportError: scikit-learn is missing.
    Example:
        >>> learner = make(DigitsConfig(features=8, state_size=8, layers=1, blocks=1, num_updates=1))
        >>> state, metrics = jax.jit(learner.update)(learner.init(jax.random.key(0)))
        >>> sorted(metrics)
        ['accuracy', 'loss', 'train_accuracy']
    """
    if not isinstance(config, DigitsConfig):
        raise TypeError(f"config must be a DigitsConfig; got {type(config).__name__}")
    train_x, train_labels = map(jnp.asarray, digits("fit" if config.validation else "train"))
    model = make_classifier(config)
    size = min(config.batch_size, train_x.shape[1])
    steps = config.steps_per_update if config.task == "packed" else train_x.shape[1] // size
    optimiser = _optimiser(config, config.num_updates * steps)
    test = _evaluation(config, 48)  # few packed sequences after each update, many at the end

    def draw(key: jax.Array, chosen: jax.Array) -> Batch:
        key_shift, key_pack = jax.random.split(key)
        if config.task == "packed":
            x = _shifted(key_shift, train_x, config.shift)
            return packed_digits(
                key_pack, x, train_labels, num_steps=config.num_steps, batch_size=size, max_digits=config.max_digits
            )
        return single_digits(_shifted(key_shift, train_x[:, chosen], config.shift), train_labels[chosen])

    def init(key: jax.Array) -> TrainState:
        key, key_params = jax.random.split(key)
        batch = jax.tree.map(lambda a: a[:, :1], test)
        born = model.init(key_params, model.initial_carry(1), batch.x, batch.resets)
        params = _other_eigenvalues(config, jax.random.fold_in(key_params, 1), born)
        return TrainState(params, optimiser.init(params), key)

    def gradient_step(carry, inputs):
        params, opt_state = carry
        grad = jax.value_and_grad(partial(_losses, model, batch=draw(*inputs), resets=config.resets), has_aux=True)
        (loss, right), gradient = grad(params)
        updates, opt_state = optimiser.update(gradient, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), (loss, right)

    def update(state: TrainState) -> tuple[TrainState, dict[str, jax.Array]]:
        key, key_order, key_draw = jax.random.split(state.key, 3)
        order = jax.random.permutation(key_order, train_x.shape[1])
        chosen = jnp.resize(order, (steps, size))
        carry = (state.params, state.opt_state)
        (params, opt_state), (loss, right) = jax.lax.scan(
            gradient_step, carry, (jax.random.split(key_draw, steps), chosen)
        )
        metrics = {
            "loss": loss.mean(),
            "train_accuracy": right.mean(),
            "accuracy": accuracy(model, params, test, config.resets),
        }
        return TrainState(params, opt_state, key), metrics

    return Learner(init, update, lambda state: evaluate(config, state.params), model)


@cache
def _evaluation(config: DigitsConfig, sequences: int = 256) -> Batch:
    """The sequences a config is evaluated on: every digit once, or packed sequences, the same for every run."""
    x, labels = digits("validation" if config.validation else "heldout")
    if config.task == "single":
        return single_digits(x, labels)
    key = jax.random.key(2026)
    return packed_digits(key, x, labels, num_steps=config.num_steps, batch_size=sequences, max_digits=config.max_digits)


def evaluate(config: DigitsConfig, params: Params) -> dict[str, float]:
    """Score parameters on the digits that training has not seen.

    Args:
        config: what was trained; says which task, and which part to score on.
        params: the classifier's parameters.
    Returns:
        ``accuracy``; ``parameters``, their number; on the packed task of a config with resets also
        ``accuracy_resets_hidden``, the accuracy of the same weights when the reset flags are hidden from them.
    """
    model = make_classifier(config)
    test = _evaluation(config)
    score = jax.jit(partial(accuracy, model), static_argnames="resets")
    found = {"accuracy": float(score(params, test, resets=config.resets)), "parameters": num_params(params)}
    if config.task == "packed" and config.resets:
        found["accuracy_resets_hidden"] = float(score(params, test, resets=False))
    return found
