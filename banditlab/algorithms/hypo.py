"""HyPO (Song et al. 2024) and gradient DPO: offline labels, descent to a stated budget (docs/theory.md, section 7)."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypedDict, Unpack

import jax
import jax.numpy as jnp
from jax import Array

from banditlab import losses, preferences, samplers, validation
from banditlab.algorithms import batches
from banditlab.algorithms.base import Algorithm, RoundInfo
from banditlab.door import door
from banditlab.environment import Environment
from banditlab.estimators import Existence
from banditlab.estimators.descent import check_options, descend
from banditlab.numerics import streams

_LOSSES = {"dpo": losses.dpo, "ipo": losses.ipo}


class State(NamedTuple):
    """Parameters (d,) of the current policy, its table (S, A), and all wins (S, A, A) so far."""

    params: Array
    log_policy: Array
    wins: Array


class Options(NamedTuple):
    """Static choices: the loss, the KL's gradient and its draws, the optimiser, how a batch is drawn."""

    loss: str
    kl: Literal["exact", "rloo", "reinforce"]
    num_samples: int
    optimizer: Literal["gradient", "adam"]
    branch: batches.Branch


class GradientOptions(TypedDict, total=False):
    """Keyword arguments of `hypo`, as `gradient_dpo` passes them on."""

    kl: Literal["exact", "rloo", "reinforce"]
    num_samples: int
    num_steps: int
    step_size: float
    beta: float | None
    loss: Literal["dpo", "ipo"]
    margin: float
    optimizer: Literal["gradient", "adam"]
    tolerance: float
    labeller: preferences.Labeller
    max_pairs: float | None
    name: str


@door
def hypo(
    num_pairs: float,
    penalty: float,
    *,
    kl: Literal["exact", "rloo", "reinforce"] = "exact",
    num_samples: int = 4,
    num_steps: int = 200,
    step_size: float = 1.0,
    beta: float | None = None,
    loss: Literal["dpo", "ipo"] = "dpo",
    margin: float = 1.0,
    optimizer: Literal["gradient", "adam"] = "gradient",
    tolerance: float = 1e-8,
    labeller: preferences.Labeller = preferences.bradley_terry,
    max_pairs: float | None = None,
    name: str = "hypo",
) -> Algorithm:
    """HyPO: descent on the mean loss of offline labels + penalty E_x KL(pi || pi_ref), the KL from on-policy draws.

    Each round buys `num_pairs` labels from the never-refreshed pi_0, as `offline_dpo` does, and takes `num_steps`
    steps on all labels so far from where the last round ended. The draws for the KL are not labelled and cost no
    labels. The objective need not have a minimiser: a round whose steps end before its gradient is below the
    tolerance has status max_steps; the existence of an optimum is not examined.

    Args:
        num_pairs: labels bought per round, a whole number >= 1; inf fits the outcome law itself.
        penalty: lambda >= 0. It weighs against the MEAN of the losses.
        kl: the KL's gradient: exact, or estimated from draws of the policy (`banditlab.estimators.policy_gradients`).
        num_samples: draws per context and step; kl = "rloo" needs at least 2, "exact" reads none.
        num_steps: steps a round, at least 1.
        step_size: positive; of Adam (whose moments start afresh every round), its learning rate.
        beta: temperature of the margins; env.beta, that of J, by default.
        loss: of the margins.
        margin: the target of "ipo", positive; not read by "dpo".
        optimizer: plain gradient steps, which the closed forms are about, or Adam.
        tolerance: on the norm of the exact gradient, for the status.
        labeller, max_pairs, name: as in `dpo`.

    Raises:
        ValueError: naming the argument that is out of range.
    """
    pairs, branch = batches.size(num_pairs, max_pairs)
    draws = check_options(kl, num_samples, optimizer)
    validation.choice("loss", loss, tuple(_LOSSES))
    return Algorithm.create(
        name,
        init=_init,
        step=_step,
        settings={
            "labeller": preferences.as_partial(labeller),
            "num_pairs": pairs,
            "penalty": validation.positive("penalty", penalty, zero=True),
            "num_steps": float(validation.steps("num_steps", num_steps)),
            "step_size": validation.positive("step_size", step_size),
            "beta": None if beta is None else validation.positive("beta", beta),
            "margin": validation.positive("margin", margin),
            "tolerance": validation.positive("tolerance", tolerance, zero=True),
        },
        options=Options(loss, kl, 1 if kl == "exact" else draws, optimizer, branch),
    )


@door
def gradient_dpo(num_pairs: float, **options: Unpack[GradientOptions]) -> Algorithm:
    """Offline DPO (or IPO) by descent to a stated budget: `hypo` without its penalty; options as there."""
    return hypo(num_pairs, 0.0, **{"name": "gradient_dpo", **options})


def _init(algorithm: Algorithm, key: Array, env: Environment) -> State:
    del algorithm, key
    nothing = jnp.zeros((env.num_contexts, env.num_actions, env.num_actions), env.features.dtype)
    return State(env.start_params, env.log_initial, nothing)


def _step(algorithm: Algorithm, key: Array, state: State, env: Environment) -> tuple[State, RoundInfo]:
    settings, options = algorithm.settings, algorithm.options
    law = preferences.outcome_law(env, samplers.initial(env, state.log_policy), settings["labeller"])
    # The round's own key draws the labels, so that a seed buys the labels it buys in `offline_dpo`.
    wins = state.wins + batches.draw(key, law, settings["num_pairs"], options.branch)
    targets = jnp.broadcast_to(settings["margin"], wins.shape) if options.loss == "ipo" else None
    run = descend(
        jax.random.fold_in(key, streams.DESCENT),
        env,
        wins,
        state.params,
        record_at=settings["num_steps"].astype(jnp.int32)[None],
        step_size=settings["step_size"],
        penalty=settings["penalty"],
        loss=_LOSSES[options.loss],
        target=targets,
        beta=settings["beta"],
        kl=options.kl,
        num_samples=options.num_samples,
        optimizer=options.optimizer,
        tolerance=settings["tolerance"],
    )
    params = run.params[-1]
    info = RoundInfo(settings["num_pairs"], run.status, jnp.int8(Existence.undetermined))
    return State(params, env.log_policy(params), wins), info
