"""Proposition 12, which is Proposition 4 with its constants: a batch size at which on-policy DPO provably succeeds.

Plain floats from the environment's arrays, for concrete environments. Loose by construction: worst differences, worst
labels, a union bound over rounds.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import root_scalar

from banditlab import coverage, policies, validation
from banditlab.door import door
from banditlab.environment import Environment
from banditlab.theory import prices

__all__ = ["initial_distance", "kl_factor", "score_bound", "success_probability"]

# -log(1 - x)/x <= 2 log 2 for x <= 1/2 (Proposition 3), squared.
_NEWTON = (2 * math.log(2)) ** 2
# Matrix Chernoff: P(lambda_min of a mean of n independent matrices with mean I and norm L <= 1/2) <= d c^(n/L).
_CHERNOFF = 0.5 - 0.5 * math.log(2)


@door
def success_probability(
    env: Environment, num_pairs: float, num_rounds: int, factor: float, *, failure: float = 1e-3
) -> float:
    """Lower bound on P(KL(pi*||pi_K) <= factor C_F(pi*)/(2n)) for unregularised on-policy DPO on fresh batches.

    Every round but the last obeys the recursion u_{k+1} <= 2 log 2 sqrt(2 G* Gam/n) e^{u_k/2} with probability
    1 - failure - d exp(-0.153 n/L), as long as n >= 8 beta^2 G* Gam e^{u_k}; the last one may fail with whatever
    probability makes the proposition's KL meet the target. Here Gam = tau/(2 beta^2 kappa), tau a bound on n lam^2, and
    L = G* e^{u_k}/(8 kappa) one on the leverages. See docs/theory.md, Proposition 12.

    Args:
        env: realizable, concrete, with `target_params`.
        num_pairs: n, labels per round.
        num_rounds: K.
        factor: how far above the floor still counts as success, positive.
        failure: allowed in each round but the last, in (0, 1).

    Returns:
        A probability; 0 where the proposition says nothing.

    Raises:
        ValueError: for arguments out of range, or an environment without `target_params`.
    """
    num_pairs = float(validation.whole("num_pairs", num_pairs))
    num_rounds = validation.steps("num_rounds", num_rounds)
    factor = validation.positive("factor", factor)
    if not 0 < failure < 1:
        raise ValueError(f"failure must lie strictly between 0 and 1; got {failure}")
    beta, rank = float(env.beta), env.rank
    kappa = float(prices.smallest_label_variance(env))
    leverage = float(prices.target_leverage(env))
    on_target = policies.independent_pairs(env, env.log_target, env.log_target)
    allowed = factor * float(prices.predicted_kl(env, on_target, num_pairs))
    distance = initial_distance(env)

    def radius(chance: float) -> float:  # Gam, exceeded with probability `chance`
        return score_bound(rank, kappa, chance) / (2 * beta**2 * kappa)

    def existence_fails(u: float, gam: float) -> bool:
        return u > 700 or num_pairs < 8 * beta**2 * leverage * gam * math.exp(u)

    def degenerate(u: float) -> float:
        return rank * math.exp(-_CHERNOFF * num_pairs * 8 * kappa / (leverage * math.exp(u)))

    lost = 0.0
    for _ in range(num_rounds - 1):
        gam = radius(failure)
        if existence_fails(distance, gam):
            return 0.0
        lost += failure + degenerate(distance)
        distance = math.sqrt(2 * _NEWTON * leverage * gam / num_pairs) * math.exp(distance / 2)

    def excess(chance: float) -> float:
        gam = radius(chance)
        if existence_fails(distance, gam):
            return math.inf
        square = 2 * _NEWTON * gam * math.exp(distance) / num_pairs
        return kl_factor(math.sqrt(leverage * square)) * square - allowed

    least = 1e-300
    if excess(1.0 - 1e-12) > 0:
        return 0.0
    if excess(least) > 0:
        # log(chance) is the natural scale of both tail bounds; inf stands for any positive number.
        def signed(log_chance: float) -> float:
            return min(excess(math.exp(log_chance)), 1e300)

        least = math.exp(root_scalar(signed, bracket=(math.log(least), math.log1p(-1e-12)), xtol=1e-9).root)
    return max(0.0, 1.0 - lost - least - degenerate(distance))


@door
def score_bound(rank: int, kappa: float, chance: float) -> float:
    """tau with P(n lam^2 > tau) <= chance: Markov on I5, or a sub-Gaussian quadratic form, whichever is smaller.

    The labels minus their means are sub-Gaussian with variance factor 1/4, and H_n >= kappa beta^2 mean zz': the
    quadratic form n lam^2 has trace d/kappa, so it exceeds (d + 2 sqrt(d t) + 2 t)/(4 kappa) with probability e^{-t}
    at most (Hsu, Kakade and Zhang, 2012). rank is d, a whole number; kappa is positive.
    """
    rank, kappa = validation.index("rank", rank), validation.positive("kappa", kappa)
    if not 0 < validation.positive("chance", chance) <= 1:
        raise ValueError(f"chance must be a probability above 0; got {chance}")
    t = -math.log(chance)
    return min(rank / chance, (rank + 2 * math.sqrt(rank * t) + 2 * t) / (4 * kappa))


@door
def initial_distance(env: Environment) -> float:
    """u_0 = sqrt(G*) ||theta_0 - theta*||_{V*}, at the policy that samples the first round."""
    shift = np.asarray(env.difference_basis).T @ (np.asarray(env.start_params) - np.asarray(env.optimal_params))
    spread = np.asarray(coverage.target_covariance(env))
    return math.sqrt(float(prices.target_leverage(env)) * float(shift @ spread @ shift))


@door
def kl_factor(u: float) -> float:
    """(e^u - 1 - u)/u^2, Proposition 2's upper factor; 1/2 at u = 0, inf once it overflows."""
    if u < 1e-4:
        return 0.5 + u / 6
    return (math.expm1(u) - u) / u**2 if u < 700 else math.inf


def __dir__() -> list[str]:
    return __all__
