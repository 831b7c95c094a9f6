"""`plan`: an estimate where there is one, what pairs are worth, and which to buy next.

This is the planner's jit boundary: decisions on the host, in between compiled steps.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from banditlab import designs, estimators, samplers, theory, validation
from banditlab.door import door
from banditlab.environment import Environment
from banditlab.estimators import Existence, Status
from banditlab.numerics.compilation import outermost
from banditlab.planner.prices import Assessment, assess, pooled_kl
from banditlab.planner.purchase import apportion, greedy_pairs, lower_bound

GREEDY = "greedy at the estimate: each label lowers the predicted KL most, given the labels in hand"
DESIGNED = "the G-optimal design over pairs, free of theta, apportioned to whole labels"

# Beyond this a count of labels is no longer exact in float64, and nobody buys so many.
_MOST_LABELS = 2.0**53
_CURVE_POINTS = 60

_fit = outermost(lambda env, wins, ridge: estimators.fit(env, wins, ridge=ridge))
_joint_law = outermost(lambda env: designs.joint(env).pair_law)
_triple_law = outermost(lambda env: designs.triple(env).pair_law)
_assess = outermost(assess)
_greedy_pairs, _lower_bound = outermost(greedy_pairs), outermost(lower_bound)
_leverages = outermost(jax.vmap(theory.leverage, (None, 0)))
_curves = outermost(jax.vmap(pooled_kl, (None, None, 0, None)))


@dataclasses.dataclass(frozen=True)
class Plan:
    """What `plan` found; arrays are NumPy's. Without an estimate, what needs one is inf.

    Attributes:
        env: the problem with theta_hat in the place of theta* (zeros without an estimate).
        estimate: "maximum likelihood", "ridge" or "none".
        existence: of the unregularised estimate: "exists", "separable" or "undetermined" (Proposition 3).
        params: (d,) theta_hat, or zeros.
        num_comparisons: labels in hand.
        samplers: names of the m samplers compared: the data's own pairs first; on_policy is pi_hat x pi_hat.
        leverage: (m,) G of each pair law, which needs no estimate; inf where it never shows a direction.
        self_pairs: (m,) share of labels that a sampler spends on comparing an action with itself.
        assessment: label prices, labels needed and predicted KL of the samplers.
        curve_labels, curve_kl: (K,) further labels and (m, K) the predicted KL after them.
        next_pairs: (S, A, A) whole labels to buy per unordered pair, above the diagonal.
        rule: how the next pairs were chosen.
        kl_after: (m,) predicted KL after as many further labels from each sampler as the next pairs have.
        next_kl, next_kl_bound: () predicted KL after the next pairs, and below which none as many can bring it.
    """

    env: Environment
    estimate: str
    existence: str
    params: np.ndarray
    num_comparisons: float
    samplers: tuple[str, ...]
    leverage: np.ndarray
    self_pairs: np.ndarray
    assessment: Assessment
    curve_labels: np.ndarray
    curve_kl: np.ndarray
    next_pairs: np.ndarray
    rule: str
    kl_after: np.ndarray
    next_kl: float
    next_kl_bound: float


@door
def plan(env: Environment, wins: ArrayLike, *, kl: float = 0.01, num_next: int = 100, ridge: float = 0.0) -> Plan:
    """Assess comparisons and say what to buy next.

    Args:
        env: from `problem`; its reward is not read.
        wins: (S, A, A) from `comparisons`.
        kl: the E_x KL(pi* || pi_hat) wanted, positive.
        num_next: labels to buy next, a whole number.
        ridge: if positive, theta_hat is the ridge estimate (centre zero), whether or not the unregularised one
            exists. The ridge counts neither as information nor, for its bias, in standard errors.

    Raises:
        ValueError: if an argument is out of range, or no sampler reaches `kl` within 2^53 labels.
    """
    validation.squarable("kl", kl)
    if validation.positive("ridge", ridge, zero=True) > 0:
        validation.squarable("ridge", ridge)
    num_next = int(validation.count("num_next", validation.whole("num_next", num_next)))
    table = validation.array("wins", wins, (env.num_contexts, env.num_actions, env.num_actions))
    if not (table.min() >= 0 and table.sum() > 0):
        raise ValueError(f"wins must be non-negative, not all zero; got values from {table.min()} to {table.max()}")
    wins = jnp.asarray(table, env.features.dtype)
    estimate, existence, params = _estimate(env, wins, ridge)
    known = estimate != "none"
    env = env.replace(target_params=params)
    laws = _pair_laws(env, wins, known=known)
    stacked = jnp.stack(list(laws.values()))
    shared = {
        "env": env,
        "estimate": estimate,
        "existence": existence,
        "params": np.asarray(params),
        "num_comparisons": float(jnp.sum(wins)),
        "samplers": tuple(laws),
        "leverage": np.asarray(_leverages(env, stacked)),
        "self_pairs": np.asarray(jnp.einsum("mxaa->m", stacked)),
    }
    if not known:
        pairs = apportion(np.asarray(laws["triple"]), num_next)
        return Plan(next_pairs=pairs, rule=DESIGNED, **shared, **_unknown(laws))

    labels = jnp.sum(wins)
    follows = jnp.asarray([name == "on_policy" for name in laws])
    dtype = wins.dtype
    found = _assess(env, labels, stacked, jnp.asarray(kl, dtype), jnp.asarray(ridge, dtype), follows)
    if not min(found.labels_needed) <= _MOST_LABELS:
        needed = f"the best sampler needs {float(min(found.labels_needed)):.3g}"
        raise ValueError(f"kl must be reachable within 2^53 labels; got {kl}, for which {needed}")
    if existence != "exists":  # the delta method speaks of the fluctuations of an estimate that there is
        errors = [name for name in Assessment._fields if name.endswith("_se")]
        found = found._replace(**{name: jnp.full_like(getattr(found, name), jnp.inf) for name in errors})
    information = labels * theory.fisher_information(env, laws["data"])
    start = information + ridge * jnp.eye(env.rank, dtype=dtype)
    bought = _greedy_pairs(env, start, jnp.asarray(num_next, dtype))
    bound, reached = _lower_bound(env, information, bought)
    grid = _grid(num_next, np.asarray(found.labels_needed))
    curves = np.asarray(_curves(env, information, stacked, jnp.asarray([num_next, *grid], dtype)))
    return Plan(
        assessment=Assessment(*map(np.asarray, found)),
        curve_labels=grid,
        curve_kl=curves[:, 1:],
        next_pairs=np.asarray(bought).astype(np.int64),
        rule=GREEDY,
        kl_after=curves[:, 0],
        next_kl=float(reached),
        next_kl_bound=float(bound),
        **shared,
    )


def _estimate(env: Environment, wins: Array, ridge: float) -> tuple[str, str, Array]:
    """Which estimate, existence of the unregularised one, and theta_hat (d,)."""
    free = _fit(env, wins, jnp.zeros((), wins.dtype))
    existence = Existence(int(free.existence)).name
    if ridge > 0:
        fit = _fit(env, wins, jnp.asarray(ridge, wins.dtype))
        name = "ridge"
    else:
        fit, name = free, "maximum likelihood" if existence == "exists" else "none"
    if name == "none" or int(fit.status) != Status.converged:
        return "none", existence, jnp.zeros(env.num_features, wins.dtype)
    return name, existence, fit.params


def _pair_laws(env: Environment, wins: Array, *, known: bool) -> dict[str, Array]:
    """Pair laws (S, A, A) of the samplers compared, the data's own first."""
    policy = env.log_target
    laws = {"data": wins / jnp.sum(wins)}
    if known:
        laws["on_policy"] = samplers.on_policy(env, policy)
    return laws | {
        "uniform": samplers.uniform(env, policy),
        "joint": _joint_law(env),
        "triple": _triple_law(env),
    }


def _unknown(laws: dict[str, Array]) -> dict[str, Any]:
    """The fields of a plan that need an estimate, all inf."""
    infinite, none = np.full(len(laws), np.inf), np.asarray(np.inf)
    return {
        "assessment": Assessment(infinite, infinite, infinite, infinite, none, none),
        "curve_labels": np.ones(0),
        "curve_kl": np.ones((len(laws), 0)),
        "kl_after": infinite,
        "next_kl": np.inf,
        "next_kl_bound": 0.0,
    }


def _grid(num_next: int, needed: np.ndarray) -> np.ndarray:
    """Further labels (K,), evenly on a log scale around the batch and all the numbers of labels needed."""
    wanted = np.asarray([num_next, *needed[np.isfinite(needed) & (needed > 0)]])
    return np.geomspace(max(1.0, wanted.min() / 10), min(10 * wanted.max(), _MOST_LABELS), _CURVE_POINTS)
