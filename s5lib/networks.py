"""Chapter 5. The agent's network: an encoder, a memory, and two heads that read it, the actor and the critic."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from s5lib.config import check_shape
from s5lib.distributions import ActionSpace, Distribution, from_parameters, parameter_count
from s5lib.memory import Carry, Memory, Prepared
from s5lib.scan import as_rows, as_sequences

__all__ = ["MLP", "ActorCritic"]


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
