"""Elementwise losses of the margin h = beta [log(pi/pi_ref)(chosen) - log(pi/pi_ref)(rejected)].

One definition serves the bandit, which weighs a table of margins by the win matrix, and the language
model, which averages over a batch of sequences.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from banditlab.door import Margins, door

__all__ = ["Loss", "derivatives", "distillation", "dpo", "ipo", "is_quadratic", "pair_derivatives"]

Loss = Callable[..., Array]


@door
def dpo(margin: Margins) -> Array:
    """DPO, the logistic loss: -log sigma(h). Any shape, elementwise."""
    return jax.nn.softplus(-margin)


@door
def ipo(margin: Margins, target: Margins) -> Array:
    """IPO: (h - target)^2, the margin regressed on a constant (beta / (2 tau) in the notation of its paper).

    With tau = beta the target is 1/2, and the loss is beta^2 times that of trainers who regress log-ratios on
    1 / (2 beta).
    """
    return jnp.square(margin - target)


@door
def distillation(margin: Margins, target: Margins) -> Array:
    """Reward distillation: (h - [r(chosen) - r(rejected)])^2, the margin regressed on the observed reward gap."""
    return jnp.square(margin - target)


@door
def is_quadratic(loss: Loss) -> bool:
    """Whether the loss is one of the regressions, quadratic in the margin: one Newton step then is exact."""
    return loss is ipo or loss is distillation


@door
def pair_derivatives(
    loss: Loss, margin: Margins, wins: tuple[Margins, Margins], targets: tuple[Margins, ...]
) -> tuple[Array, Array]:
    """First and second derivative in h of W_ij loss(h) + W_ji loss(-h); elementwise, the shape of `margin` both.

    Args:
        margin: h of outcome (i beats j); the other outcome has -h.
        wins: W_ij and W_ji.
        targets: () or the regression targets of the two outcomes.
    """
    if loss is dpo:  # one exponential serves both outcomes
        win, lose = _sigmoids(margin)
        return wins[1] * win - wins[0] * lose, (wins[0] + wins[1]) * _curvature(win, lose)
    slope, bend = derivatives(loss, margin, *targets[:1])
    other_slope, other_bend = derivatives(loss, -margin, *targets[1:])
    return wins[0] * slope - wins[1] * other_slope, wins[0] * bend + wins[1] * other_bend


@door
def derivatives(loss: Loss, margin: Margins, *targets: Margins) -> tuple[Array, Array]:
    """First and second derivative of an elementwise loss in the margin; the shape of `margin` both."""
    if loss is dpo:
        win, lose = _sigmoids(margin)
        return -lose, _curvature(win, lose)
    ones = jnp.ones_like(margin)

    def slope(h: Array) -> Array:
        return jax.jvp(lambda m: loss(m, *targets), (h,), (ones,))[1]

    return jax.jvp(slope, (margin,), (ones,))


def _sigmoids(margin: Array) -> tuple[Array, Array]:
    """sigma(h) and sigma(-h), neither by subtraction from one: both keep their digits in the tails."""
    small = jnp.exp(-jnp.abs(margin))
    large = 1.0 / (1.0 + small)
    return jnp.where(margin >= 0, large, small * large), jnp.where(margin >= 0, small * large, large)


def _curvature(win: Array, lose: Array) -> Array:
    """sigma(h) sigma(-h), kept from underflow: where it vanished a Newton step would stop short of the optimum."""
    return jnp.maximum(win * lose, _least_curvature(win.dtype))


def _least_curvature(dtype: Any) -> float:
    return 1e8 * float(jnp.finfo(dtype).tiny)


def largest_margin(dtype: Any) -> float:
    """The |h| up to which the derivatives of `dpo` are what they are: 689 in float64, 68 in float32.

    Beyond, its slope may vanish and its curvature is kept from it: nothing can be proved from such a label.
    """
    return -math.log(2 * _least_curvature(dtype))


def __dir__() -> list[str]:
    return __all__
