"""Chapter 5. The agent's network: an encoder, a memory, and two heads that read it, the actor and the critic."""

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from s5lib.config import check_shape
from s5lib.distributions import ActionSpace, Categorical, DiagNormal, Distribution, from_parameters, parameter_count
from s5lib.memory import Carry, Memory, Prepared
from s5lib.offpolicy import PopArt, bin_centers, decode_two_hot
from s5lib.scan import as_rows, as_sequences

__all__ = ["MLP", "ActorCritic", "MultiGammaActorCritic"]


class MLP(nn.Module):
    """Dense layers, each followed by a LeakyReLU: the encoder and the body of a head.

    Attributes:
        sizes: width of each layer; empty for no layer at all.
    """

    sizes: tuple[int, ...]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Read x (..., features); return (..., sizes[-1])."""
        for size in self.sizes:
            x = nn.leaky_relu(nn.Dense(size, kernel_init=nn.initializers.orthogonal(np.sqrt(2)))(x))
        return x


class ActorCritic(nn.Module):
    """Observation -> encoder -> memory -> actor and critic, over whole rollouts at once.

    The memory is the only part that looks at more than one time step, so time and batch are one axis everywhere else.
    Actor and critic share encoder and memory.

    Attributes:
        action_space: ``Discrete``, ``MultiDiscrete`` or one-dimensional ``Box``; decides the actor's distribution.
        memory: any memory, of width ``memory.features``.
        encoder: widths of the encoder's hidden layers, before a Dense to the memory's width.
        head: widths of the hidden layers of the actor, and of the critic.
    Example:
        >>> import jax.numpy as jnp
        >>> from s5lib.envs import make
        >>> from s5lib.s5 import S5Stack
        >>> network = ActorCritic(make("RepeatPreviousEasy").action_space(None), S5Stack(16, 16, 1))
        >>> obs, resets = jnp.zeros((5, 2, 4)), jnp.zeros((5, 2), bool)
        >>> params = network.init(jax.random.key(0), network.initial_carry(2), obs, resets)
        >>> carry, policy, value = network.apply(params, network.initial_carry(2), obs, resets)
        >>> policy.logits.shape, value.shape
        ((5, 2, 4), (5, 2))

    Source: Lu et al. 2023 (arXiv 2303.03982), appendix B: encoder [128, 256], heads [128, 128], LeakyReLU.
    """

    action_space: ActionSpace
    memory: Memory
    encoder: tuple[int, ...] = (128,)
    head: tuple[int, ...] = (128,)

    @nn.compact
    def __call__(
        self, carry: Carry, obs: jax.Array, resets: jax.Array, prepared: Prepared | None = None
    ) -> tuple[Carry, Distribution, jax.Array]:
        """Read observations (T, B, O) with resets (T, B).

        Args:
            carry: the memory's state before obs[0].
            obs: float32, (T, B, O).
            resets: bool, (T, B), True where obs[t] opens an episode.
            prepared: what ``prepare`` returned for the same parameters, or None; a loss passes None.
        Returns:
            The carry after the last step, the policy's distribution and the values, both over (T, B).
        Raises:
            ValueError, TypeError: shapes or dtypes that do not fit.
        """
        check_shape("obs", obs, ("T", "B", "O"))
        B = obs.shape[1]
        tokens = MLP(self.encoder, name="encoder")(as_rows(obs))
        tokens = nn.Dense(self.memory.features, name="embed")(tokens)
        carry, y = self.memory(carry, as_sequences(tokens, B), resets, prepared)
        y = as_rows(y)
        small, unit = nn.initializers.orthogonal(0.01), nn.initializers.orthogonal(1.0)
        acts = parameter_count(self.action_space)
        actor = nn.Dense(acts, kernel_init=small, name="policy")(MLP(self.head, name="actor")(y))
        value = nn.Dense(1, kernel_init=unit, name="value")(MLP(self.head, name="critic")(y))
        continuous = not (hasattr(self.action_space, "nvec") or hasattr(self.action_space, "n"))
        log_std = self.param("log_std", nn.initializers.zeros, (acts,), jnp.float32) if continuous else None
        return (
            carry,
            from_parameters(self.action_space, as_sequences(actor, B), log_std),
            as_sequences(value, B)[..., 0],
        )

    @nn.nowrap
    def initial_carry(self, batch_size: int) -> Carry:
        """The memory's state before an episode."""
        return self.memory.initial_carry(batch_size)

    def prepare(self) -> Prepared:
        """What the memory works out once a rollout."""
        return self.memory.prepare()


class _Head(nn.Module):
    """Hidden layers and a last one, that begins with small numbers."""

    head: tuple[int, ...]
    outputs: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        small = nn.initializers.orthogonal(0.01)
        return nn.Dense(self.outputs, kernel_init=small, name="last")(MLP(self.head, name="hidden")(x))


LOG_STD = (np.log(0.05), 0.0)  # of continuous actions, in units of half the box


class MultiGammaActorCritic(nn.Module):
    """Observation -> encoder -> memory -> for every discount a policy, and an ensemble of critics of actions.

    As a ``Network`` it acts by one of the discounts; ``read``, ``policy`` and ``critic`` are its parts, for a learner. The
    trunk of encoder and memory knows nothing of discounts.

    Discrete actions: a critic has an output for each. Boxes: a critic reads the action; a policy is normal about a mean inside
    the box, its standard deviation between .05 and 1 of half of it, and what it draws is clipped. A squashed normal has no
    density at the bounds, where clipped and exploring actions lie.

    Attributes:
        action_space: ``Discrete``, or a one-dimensional ``Box`` of finite bounds.
        memory: any memory, of width ``memory.features``.
        gammas: the discounts, G of them.
        acting: which of them acts, from 0.
        encoder: widths of the encoder's hidden layers, before a Dense to the memory's width.
        head: widths of the hidden layers of the actor, and of each critic.
        critics: K, how many.
        bins: of a two-hot critic; 1 for one output a value, on the scale of ``PopArt``.
        bin_limit: the largest value that bins can tell.
    Example:
        >>> import jax.numpy as jnp
        >>> from s5lib.envs import make
        >>> from s5lib.s5 import S5Stack
        >>> space = make("RepeatPreviousEasy").action_space(None)
        >>> network = MultiGammaActorCritic(space, S5Stack(16, 16, 1), gammas=(0.9, 0.99), acting=1)
        >>> start, obs, resets = network.initial_carry(2), jnp.zeros((5, 2, 4)), jnp.zeros((5, 2), bool)
        >>> params = network.init(jax.random.key(0), start, obs, resets)
        >>> _, y = network.apply(params, start, obs, resets, method="read")
        >>> network.apply(params, y, method="policy").logits.shape, network.apply(params, y, method="critic").shape
        ((5, 2, 2, 4), (4, 5, 2, 2, 4))

    Source: Grigsby et al. 2024 (arXiv 2310.09971), section 4 and appendix A; DrQ-v2 (arXiv 2107.09645) for clipped normals.
    Differs: its critics read discrete actions, one at a time, and its continuous policies are squashed by a tanh.
    """

    action_space: ActionSpace
    memory: Memory
    gammas: tuple[float, ...]
    acting: int = -1
    encoder: tuple[int, ...] = (64, 64)
    head: tuple[int, ...] = (64,)
    critics: int = 4
    bins: int = 1
    bin_limit: float = 1e5
    heads: ClassVar[tuple[str, ...]] = ("actor", "ensemble", "raw_std")  # parameters that are none of the trunk's

    def setup(self):
        self.encode = MLP(self.encoder)
        self.embed = nn.Dense(self.memory.features)
        self.norm = nn.LayerNorm()
        many = nn.vmap(
            _Head, variable_axes={"params": 0}, split_rngs={"params": True}, in_axes=None, axis_size=self.critics
        )
        G, acts = len(self.gammas), parameter_count(self.action_space)
        self.actor = _Head(self.head, G * acts)
        self.ensemble = many(self.head, G * self.bins * (acts if self.discrete else 1))
        if not self.discrete:
            self.raw_std = self.param("raw_std", nn.initializers.zeros, (G, acts), jnp.float32)
        if self.bins == 1:
            self.statistics = {
                name: self.variable("popart", name, lambda leaf=leaf: leaf)
                for name, leaf in vars(PopArt.create(G)).items()
            }

    @property
    def discrete(self) -> bool:
        """Whether actions are choices; else they are real numbers."""
        return hasattr(self.action_space, "n")

    def __call__(
        self, carry: Carry, obs: jax.Array, resets: jax.Array, prepared: Prepared | None = None
    ) -> tuple[Carry, Distribution, jax.Array]:
        """As ``ActorCritic``: the policy of ``acting`` and the mean of its critics' values; in a box, of the likeliest action."""
        carry, y = self.read(carry, obs, resets, prepared)
        policy = jax.tree.map(lambda leaf: leaf[..., self.acting, :], self.policy(y))
        value = self.value(self.critic(y, None if self.discrete else policy.mode())).mean(0)
        if self.discrete:
            return carry, policy, jnp.sum(jax.nn.softmax(policy.logits) * value[..., self.acting, :], -1)
        return carry, policy, value[..., self.acting]

    def read(
        self, carry: Carry, obs: jax.Array, resets: jax.Array, prepared: Prepared | None = None
    ) -> tuple[Carry, jax.Array]:
        """The trunk: observations (T, B, O) with resets (T, B) -> the carry after them, and what heads read, (T, B, H)."""
        check_shape("obs", obs, ("T", "B", "O"))
        tokens = as_sequences(self.embed(self.encode(as_rows(obs))), obs.shape[1])
        carry, y = self.memory(carry, tokens, resets, prepared)
        return carry, self.norm(y)

    def policy(self, y: jax.Array) -> Distribution:
        """The policies of all discounts, over (T, B, G)."""
        out = as_sequences(self.actor(as_rows(y)), y.shape[1]).reshape(*y.shape[:2], len(self.gammas), -1)
        if self.discrete:
            return Categorical(out)
        low, high = self._bounds()
        middle, half = (high + low) / 2, (high - low) / 2
        log_std = LOG_STD[0] + (LOG_STD[1] - LOG_STD[0]) * nn.sigmoid(self.raw_std) + jnp.log(half)
        return DiagNormal(middle + half * jnp.tanh(out), jnp.broadcast_to(log_std, out.shape))

    def critic(self, y: jax.Array, action: jax.Array | None = None) -> jax.Array:
        """What the critics put out: of every choice, (K, T, B, G, n); in a box of ``action``, (K, T, B, G); then ``bins`` if any.

        In a box actions are (T, B, k), or (T, B, G, k): for each discount its own.
        """
        T, B = y.shape[:2]
        G, tail = len(self.gammas), (self.bins,) if self.bins > 1 else ()

        def read(x: jax.Array) -> jax.Array:
            return jax.vmap(lambda rows: as_sequences(rows, B))(self.ensemble(as_rows(x)))

        if self.discrete:
            return read(y).reshape(self.critics, T, B, G, -1, *tail)
        low, high = self._bounds()
        action = (action - (high + low) / 2) / ((high - low) / 2)
        if action.ndim == 3:
            return read(jnp.concatenate([y, action], -1)).reshape(self.critics, T, B, G, *tail)
        each = [
            read(jnp.concatenate([y, action[:, :, g]], -1)).reshape(self.critics, T, B, G, *tail)[:, :, :, g]
            for g in range(G)
        ]
        return jnp.stack(each, 3)

    def value(self, out: jax.Array) -> jax.Array:
        """The action values that outputs of ``critic`` stand for, in the place of ``bins`` if any."""
        if self.bins > 1:
            return decode_two_hot(out, jnp.asarray(bin_centers(self.bins, self.bin_limit)))
        statistics = PopArt(**{name: variable.value for name, variable in self.statistics.items()})
        mean, scale = (x[:, None] if self.discrete else x for x in (statistics.mean, statistics.scale))
        return scale * out + mean

    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        box: Any = self.action_space
        low, high = (np.broadcast_to(np.asarray(bound, np.float32), box.shape) for bound in (box.low, box.high))
        return low, high

    @nn.nowrap
    def initial_carry(self, batch_size: int) -> Carry:
        """The memory's state before an episode."""
        return self.memory.initial_carry(batch_size)

    def prepare(self) -> Prepared:
        """What the memory works out once a rollout."""
        return self.memory.prepare()
