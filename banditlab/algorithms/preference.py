"""Direct preference optimisation with labels bought in rounds; the sampler alone tells its variants apart."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, TypedDict, Unpack

from jax import Array
from jax.tree_util import Partial

from banditlab import designs, estimators, preferences, samplers, validation
from banditlab.algorithms import batches, fitted
from banditlab.algorithms.base import Algorithm, RoundInfo
from banditlab.algorithms.fitted import State
from banditlab.door import door
from banditlab.environment import Environment

_SCHEMES = {"paired": samplers.paired, "mixture": samplers.half_designed, "design": samplers.designed}


class Options(NamedTuple):
    """Static choices: the ridge's centre, whether the norm is capped, how a batch is drawn."""

    center: str
    capped: bool
    branch: batches.Branch


class DPOOptions(TypedDict, total=False):
    """Keyword arguments of `dpo`, as the algorithms built on it pass them on."""

    labeller: preferences.Labeller
    ridge: float
    center: Literal["previous", "reference"]
    max_norm: float
    pooled: bool | float
    max_pairs: float | None
    name: str


class OnPolicyOptions(TypedDict, total=False):
    """`DPOOptions` but for those that `on_policy_dpo` names itself."""

    labeller: preferences.Labeller
    center: Literal["previous", "reference"]
    max_norm: float
    max_pairs: float | None
    name: str


@door
def dpo(
    sampler: samplers.Sampler | samplers.Prepared,
    num_pairs: float,
    *,
    labeller: preferences.Labeller = preferences.bradley_terry,
    ridge: float = 0.0,
    center: Literal["previous", "reference"] = "previous",
    max_norm: float = math.inf,
    pooled: bool | float = False,
    max_pairs: float | None = None,
    name: str = "dpo",
) -> Algorithm:
    """DPO: each round draws `num_pairs` labels from the sampler at pi_k, then refits theta_{k+1}.

    The fit minimises the SUM of logistic losses + (ridge/2) ||theta - center||^2 over ||theta||_2 <= max_norm, on
    the fresh batch or on all labels so far (pooled). The reference never changes; refreshing the sampler is not
    refreshing the reference. Without an informative pair and without ridge theta_{k+1} = theta_k.

    Args:
        sampler: (env, log_policy) -> pair law (S, A, A); see `banditlab.samplers`.
        num_pairs: labels bought per round, a whole number >= 1; inf fits the outcome law itself.
        labeller: win probabilities; see `banditlab.preferences`.
        ridge: non-negative weight against the sum of losses.
        center: of the ridge: theta_k ("previous") or the parameters of pi_ref ("reference"; of pi_0 where the class
            does not hold pi_ref).
        max_norm: cap R on ||theta||_2; inf for none.
        pooled: fit all labels so far instead of the fresh batch. A number between 0 (fresh) and 1 (pooled) is
            the weight that a label keeps each time a new batch arrives: exponential forgetting.
        max_pairs: algorithms that share a compilation (in `simulate_grid`, or by changing num_pairs) must be able
            to draw up to the same number of labels; num_pairs by default.
        name: for tables and plots.

    Raises:
        ValueError: naming the argument that is out of range.
    """
    pairs, branch = batches.size(num_pairs, max_pairs)
    validation.positive("ridge", ridge, zero=True)
    validation.positive("max_norm", max_norm, infinite=True)
    validation.choice("center", center, ("previous", "reference"))
    return Algorithm.create(
        name,
        init=fitted.init,
        step=_step,
        settings={
            "sampler": batches.as_sampler(sampler),
            "labeller": preferences.as_partial(labeller),
            "num_pairs": pairs,
            "ridge": float(ridge),
            "max_norm": float(max_norm),
            "memory": batches.memory(pooled),
        },
        options=Options(center, math.isfinite(max_norm), branch),
    )


@door
def offline_dpo(num_pairs: float, **options: Unpack[DPOOptions]) -> Algorithm:
    """Offline DPO: `num_pairs` labels a round from the never-refreshed pi_0, refitted on all of them.

    After k rounds it has fitted one data set of k num_pairs labels. Options as in `dpo`.
    """
    return dpo(samplers.initial, num_pairs, **{"pooled": True, "name": "offline_dpo", **options})


@door
def on_policy_dpo(
    num_pairs: float, ridge: float = 0.0, pooled: bool | float = False, **options: Unpack[OnPolicyOptions]
) -> Algorithm:
    """On-policy DPO: both actions from pi_k; fresh batches by default. Options as in `dpo`."""
    return dpo(samplers.on_policy, num_pairs, ridge=ridge, pooled=pooled, **{"name": "on_policy_dpo", **options})


@door
def uniform_dpo(num_pairs: float, **options: Unpack[DPOOptions]) -> Algorithm:
    """DPO on uniform pairs, refitted on all labels so far. Options as in `dpo`."""
    return dpo(samplers.uniform, num_pairs, **{"pooled": True, "name": "uniform_dpo", **options})


@door
def hybrid_dpo(
    num_pairs: float,
    scheme: Literal["paired", "mixture", "design"] = "paired",
    design: designs.Design | None = None,
    **options: Unpack[DPOOptions],
) -> Algorithm:
    """The hybrid sampler on a preferential G-optimal design, in its three readings.

    Args:
        num_pairs: labels per round.
        scheme: "paired" (y ~ pi_k against y' ~ nu(.|x)), "mixture" (half on-policy pairs, half design pairs) or
            "design" (design pairs only).
        design: from `banditlab.designs`; None computes `designs.joint(env)` when a run starts.
        options: as in `dpo`; batches are fresh by default for the first two and pooled for "design".
    """
    law = _SCHEMES[validation.choice("scheme", scheme, tuple(_SCHEMES))]
    sampler = samplers.Prepared(Partial(designs.joint), Partial(law)) if design is None else Partial(law, design)
    return dpo(sampler, num_pairs, **{"pooled": scheme == "design", "name": f"hybrid_dpo_{scheme}", **options})


def _step(algorithm: Algorithm, key: Array, state: State, env: Environment) -> tuple[State, RoundInfo]:
    settings, options = algorithm.settings, algorithm.options
    pair_law = state.sampler(env, state.log_policy)
    law = preferences.outcome_law(env, pair_law, settings["labeller"])
    wins = batches.draw(key, law, settings["num_pairs"], options.branch) + settings["memory"] * state.wins
    fit = estimators.fit(
        env,
        wins,
        ridge=settings["ridge"],
        center=state.params if options.center == "previous" else fitted.reference(env),
        max_norm=settings["max_norm"] if options.capped else math.inf,
        warm_start=state.params,
    )
    info = RoundInfo(settings["num_pairs"], fit.status, fit.existence)
    return State(fit.params, env.log_policy(fit.params), wins, state.sampler), info
