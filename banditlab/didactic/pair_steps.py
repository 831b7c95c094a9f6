"""One gradient step on one labelled pair, by autodiff of the losses."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from banditlab.didactic import losses
from banditlab.didactic.settings import Settings
from banditlab.door import door
from banditlab.numerics.compilation import inner

__all__ = ["gradient_steps"]


@door
def gradient_steps(
    algorithm: str, tables: dict[str, np.ndarray], settings: Settings, step_size: float
) -> dict[str, np.ndarray]:
    """Measured changes (K,) of log pi of winner, loser and a third action, by autodiff of `losses` on one pair each.

    tables: logits and log_reference (K, A); winner, loser, other (K,) actions.
    """
    loss = losses.ALGORITHMS[algorithm].loss
    rewards = jnp.asarray([[1.0, 0.0]])

    @inner("thousands of pairs are measured at once")
    @jax.vmap
    def moves(logits: Array, log_reference: Array, winner: Array, loser: Array, other: Array) -> Array:
        drawn = jnp.stack([winner, loser])[None, :]

        def value(theta: Array) -> Array:
            log_probs = jax.nn.log_softmax(theta)[drawn]
            return loss(log_probs, log_reference[drawn], rewards, log_reference[drawn], settings)

        stepped = logits - step_size * jax.grad(value)(logits)
        change = jax.nn.log_softmax(stepped) - jax.nn.log_softmax(logits)
        return change[jnp.stack([winner, loser, other])]

    names = ("logits", "log_reference", "winner", "loser", "other")
    found = np.asarray(moves(*(jnp.asarray(tables[name]) for name in names)))
    return dict(zip(("chosen", "rejected", "other"), found.T, strict=True))


def __dir__() -> list[str]:
    return __all__
