"""Preference losses on sequences: the bandit's elementwise losses, of the margins of a batch of pairs."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from banditlab import losses
from banditlab.llm.policy import Params, Policy, Prompts, Responses


class Pairs(NamedTuple):
    """A batch of labelled pairs.

    Attributes:
        prompts: of B rows.
        chosen, rejected: of B rows; the responses of a self-pair are equal and its margin is zero.
        log_reference: (B,) log pi_ref(chosen) - log pi_ref(rejected), which never changes: computed once.
    """

    prompts: Prompts
    chosen: Responses
    rejected: Responses
    log_reference: Array


def log_probs(
    policy: Policy[Params], params: Params, prompts: Prompts, first: Responses, second: Responses
) -> tuple[Array, Array]:
    """log pi(first) and log pi(second), (B,) each, both in one pass of 2 B rows."""
    twice = Prompts(*(jnp.concatenate([leaf, leaf]) for leaf in prompts))
    both = Responses(*(jnp.concatenate(leaves) for leaves in zip(first, second, strict=True)))
    values = policy.log_prob(params, twice, both)
    size = first.tokens.shape[0]
    return values[:size], values[size:]


def log_ratio(policy: Policy[Params], params: Params, prompts: Prompts, first: Responses, second: Responses) -> Array:
    """(B,) log pi(first) - log pi(second)."""
    of_first, of_second = log_probs(policy, params, prompts, first, second)
    return of_first - of_second


def label(wins: Array, first: Responses, second: Responses) -> tuple[Responses, Responses]:
    """(chosen, rejected): `first` is chosen where `wins` (B,) bool."""

    def pick(winner: Array) -> Responses:
        return Responses(*(jnp.where(winner[:, None], a, b) for a, b in zip(first, second, strict=True)))

    return pick(wins), pick(~wins)


def margins(policy: Policy[Params], params: Params, pairs: Pairs, beta: Array | float) -> Array:
    """(B,) h = beta [log(pi/pi_ref)(chosen) - log(pi/pi_ref)(rejected)]."""
    ratio = log_ratio(policy, params, pairs.prompts, pairs.chosen, pairs.rejected)
    return jnp.asarray(beta, ratio.dtype) * (ratio - pairs.log_reference.astype(ratio.dtype))


def mean_loss(
    policy: Policy[Params],
    params: Params,
    pairs: Pairs,
    beta: Array | float,
    *,
    loss: losses.Loss = losses.dpo,
    target: Array | None = None,
) -> Array:
    """() mean over the batch of loss(h), or loss(h, target) for the regressions; target (B,)."""
    h = margins(policy, params, pairs, beta)
    return jnp.mean(loss(h) if target is None else loss(h, target.astype(h.dtype)))
