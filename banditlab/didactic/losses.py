"""The fine-tuning losses of a batch, written once over arrays of B states with N drawn actions each.

Every loss is a function of (log_probs, reference, rewards, behaviour, settings): (B, N) log pi of the drawn actions,
their log pi_ref, their rewards and the log-probabilities they were drawn with. Only `log_probs` carries a gradient.
Losses of pairs also take `labels` (deterministic ones of `rewards` by default), `reinforce` a baseline.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax import Array

from banditlab import losses as margin_losses
from banditlab import validation
from banditlab.didactic import pairs
from banditlab.didactic.pairs import Labels
from banditlab.didactic.problem import LogMasses
from banditlab.didactic.settings import Settings
from banditlab.door import Margins, Scalar, Shape, door

__all__ = [
    "ALGORITHMS",
    "FLOOR",
    "LossSpecification",
    "awr",
    "best_of_n",
    "best_of_n_negative",
    "best_of_n_worst",
    "clipped",
    "dpo",
    "floored",
    "ipo",
    "ppo",
    "pref_ft",
    "reinforce",
    "rwr",
]

# (B, N) numbers of the drawn actions.
Drawn = Annotated[Array, Shape(("B", "N"), validation.finite)]

# What PyTorch's Categorical(probs=...) clamps float32 probabilities to; published code inherits it silently.
FLOOR = 2.0**-23


@door
def floored(log_probs: LogMasses) -> Array:
    """log of p clamped to [eps, 1 - eps], eps = 2^-23 = 1.19e-7: no gradient outside, and no longer normalised."""
    floor = jnp.asarray(FLOOR, log_probs.dtype)
    return jnp.clip(log_probs, jnp.log(floor), jnp.log1p(-floor))


@door
def best_of_n(log_probs: Drawn, reference: Drawn, rewards: Drawn, behaviour: Drawn, settings: Settings) -> Array:
    """-mean log pi(best of the N draws); of equal ones the first."""
    del reference, behaviour, settings
    return -jnp.mean(_best(log_probs, rewards))


@door
def best_of_n_negative(
    log_probs: Drawn, reference: Drawn, rewards: Drawn, behaviour: Drawn, settings: Settings
) -> Array:
    """-mean [log pi(best) - negative_weight * average of log pi over the other N - 1 draws]."""
    del reference, behaviour
    best = _best(log_probs, rewards)
    others = (jnp.sum(log_probs, axis=1) - best) / (log_probs.shape[1] - 1)
    return -jnp.mean(best - settings.negative_weight * others)


@door
def best_of_n_worst(log_probs: Drawn, reference: Drawn, rewards: Drawn, behaviour: Drawn, settings: Settings) -> Array:
    """-mean [log pi(best) - negative_weight * log pi(worst of the N draws)]."""
    del reference, behaviour
    return -jnp.mean(_best(log_probs, rewards) - settings.negative_weight * _best(log_probs, -rewards))


@door
def rwr(log_probs: Drawn, reference: Drawn, rewards: Drawn, behaviour: Drawn, settings: Settings) -> Array:
    """Reward-weighted regression: -mean min(e^{r / beta}, weight_cap) log pi(a)."""
    del reference, behaviour
    return -jnp.mean(_weights(rewards, settings) * log_probs)


@door
def awr(log_probs: Drawn, reference: Drawn, rewards: Drawn, behaviour: Drawn, settings: Settings) -> Array:
    """Advantage-weighted regression: rwr with the rewards less the mean of the state's N draws."""
    del reference, behaviour
    advantages = rewards - jnp.mean(rewards, axis=1, keepdims=True)
    return -jnp.mean(_weights(advantages, settings) * log_probs)


def _over_pairs(values: Callable[[Array, Array, Labels, Settings], Array]) -> Callable[..., Array]:
    """The loss that averages values(log_probs, reference, labels, settings), (B, P), over the pairs that count."""

    def loss(
        log_probs: Drawn,
        reference: Drawn,
        rewards: Drawn,
        behaviour: Drawn,
        settings: Settings,
        labels: Labels | None = None,
    ) -> Array:
        del behaviour
        if labels is None:
            labels = pairs.label(rewards, settings.threshold)
        return pairs.mean(values(log_probs, reference, labels, settings), labels)

    loss.__name__, loss.__doc__ = values.__name__, values.__doc__
    return loss


@door
@_over_pairs
def pref_ft(log_probs: Drawn, reference: Drawn, labels: Labels, settings: Settings) -> Array:
    """Maximum likelihood of the winners: -mean over pairs of log pi(winner)."""
    del reference, settings
    return -pairs.winners(log_probs, labels)[0]


@door
@_over_pairs
def dpo(log_probs: Drawn, reference: Drawn, labels: Labels, settings: Settings) -> Array:
    """`banditlab.losses.dpo` of beta [log(pi/pi_ref)(winner) - log(pi/pi_ref)(loser)], mean over pairs."""
    return margin_losses.dpo(_margins(log_probs - reference, labels) * settings.beta)


@door
@_over_pairs
def ipo(log_probs: Drawn, reference: Drawn, labels: Labels, settings: Settings) -> Array:
    """`banditlab.losses.ipo` of log(pi/pi_ref)(winner) - log(pi/pi_ref)(loser) on ipo_target, mean over pairs."""
    return margin_losses.ipo(_margins(log_probs - reference, labels), cast(Array, settings.ipo_target))


@door
def reinforce(
    log_probs: Drawn,
    reference: Drawn,
    rewards: Drawn,
    behaviour: Drawn,
    settings: Settings,
    baseline: Scalar | None = None,
) -> Array:
    """-mean (r - baseline) log pi(a); the policy gradient where the draws are pi's own.

    baseline: scalar, or None for each draw's leave-one-out mean of its state.
    """
    return -jnp.mean(_advantages(rewards, reference, behaviour, settings, baseline) * log_probs)


@door
def ppo(log_probs: Drawn, reference: Drawn, rewards: Drawn, behaviour: Drawn, settings: Settings) -> Array:
    """-mean min(u A, clipped(u) A), u = pi(a) / behaviour(a), clipped to 1 +- clip; A leave-one-out per state."""
    advantages = _advantages(rewards, reference, behaviour, settings, None)
    ratio = jnp.exp(log_probs - behaviour)
    return -jnp.mean(clipped(ratio, advantages, settings))


@door
def clipped(ratio: Margins, advantages: Margins, settings: Settings) -> Array:
    """PPO's min(u A, clip(u, 1 - clip, 1 + clip) A), elementwise."""
    bounded = jnp.clip(ratio, 1.0 - settings.clip, 1.0 + settings.clip)
    return jnp.minimum(ratio * advantages, bounded * advantages)


class LossSpecification(NamedTuple):
    """A loss and what its batch must hold: at least `least_samples` draws a state, labels of pairs, a baseline."""

    loss: Callable[..., Array]
    least_samples: int = 2
    uses_labels: bool = False
    uses_baseline: bool = False


ALGORITHMS = {
    "best_of_n": LossSpecification(best_of_n, least_samples=1),
    "best_of_n_negative": LossSpecification(best_of_n_negative),
    "best_of_n_worst": LossSpecification(best_of_n_worst),
    "rwr": LossSpecification(rwr, least_samples=1),
    "awr": LossSpecification(awr),
    "pref_ft": LossSpecification(pref_ft, uses_labels=True),
    "dpo": LossSpecification(dpo, uses_labels=True),
    "ipo": LossSpecification(ipo, uses_labels=True),
    "reinforce": LossSpecification(reinforce),
    "reinforce_running": LossSpecification(reinforce, least_samples=1, uses_baseline=True),
    "ppo": LossSpecification(ppo),
}


def _best(log_probs: Drawn, rewards: Drawn) -> Array:
    return jnp.take_along_axis(log_probs, jnp.argmax(rewards, axis=1)[:, None], axis=1)[:, 0]


def _weights(rewards: Drawn, settings: Settings) -> Array:
    return jnp.minimum(jnp.exp(rewards / settings.beta), settings.weight_cap)


def _margins(log_ratios: Array, labels: Labels) -> Array:
    """(B, P) log-ratio of the winner less the loser's; two gathers cost more than one and a sign."""
    return (2.0 * labels.first_wins - 1.0) * pairs.difference(log_ratios)


def _advantages(
    rewards: Drawn, reference: Drawn, behaviour: Drawn, settings: Settings, baseline: Array | None
) -> Array:
    shaped = rewards - settings.entropy * behaviour - settings.kl_weight * (behaviour - reference)
    if baseline is not None:
        return shaped - jax.lax.stop_gradient(baseline)
    return shaped - (jnp.sum(shaped, axis=1, keepdims=True) - shaped) / (rewards.shape[1] - 1)


def __dir__() -> list[str]:
    return __all__
