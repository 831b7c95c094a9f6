"""One gradient step on one labelled pair, by autodiff of the losses."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from banditlab import validation
from banditlab.didactic import losses
from banditlab.didactic.settings import Settings
from banditlab.door import Finite, door
from banditlab.numerics.compilation import inner

__all__ = ["gradient_steps"]


@door
def gradient_steps(
    algorithm: str, tables: dict[str, np.ndarray], settings: Settings, step_size: Finite
) -> dict[str, np.ndarray]:
    """Measured changes (K,) of log pi of winner, loser and a third action, by autodiff of `losses` on one pair each.

    tables: logits and log_reference (K, A); winner, loser, other (K,) actions.
    """
    names = ("logits", "log_reference", "winner", "loser", "other")
    if missing := [name for name in names if name not in tables]:
        raise ValueError(f"tables must hold {', '.join(names)}; got none of {', '.join(missing)}")
    logits = validation.array("tables['logits']", tables["logits"], ("K", "A"))
    for name in names[1:]:
        wanted = logits.shape if name == "log_reference" else logits.shape[:1]
        validation.array(f"tables['{name}']", tables[name], wanted)
    specification = losses.ALGORITHMS[validation.choice("algorithm", algorithm, tuple(losses.ALGORITHMS))]
    if not specification.uses_labels:
        raise ValueError(f"algorithm must be a loss of pairs; got {algorithm!r}")
    loss = specification.loss
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

    found = np.asarray(moves(*(jnp.asarray(tables[name]) for name in names)))
    return dict(zip(("chosen", "rejected", "other"), found.T, strict=True))


def __dir__() -> list[str]:
    return __all__
