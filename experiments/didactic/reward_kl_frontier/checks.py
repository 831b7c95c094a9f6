"""The checks of `reward_kl_frontier`: nothing above the frontier, tilts on it, and who ends where."""

from collections.abc import Mapping

import numpy as np

from banditlab.claims import Check, Table, above, below, identity, upper
from experiments.didactic.reward_kl_frontier.runs import OFFLINE, ON_POLICY
from experiments.didactic.shared.tuned_tables import least_above
from experiments.didactic.shared.tuned_training import PEAKS

# Likelihoods that read the order of the rewards alone.
RANKS = ("best_of_n", "pref_ft")
TILTS = ("rwr", "awr")
PENALISED = ("reinforce", "reinforce_running")
# A loss with a negative gradient and the likelihood that reads the same.
NEGATIVE = (("best_of_n_negative", "best_of_n"), ("best_of_n_worst", "best_of_n"), ("dpo", "pref_ft"))


def check(tables: Mapping[str, Table]) -> list[Check]:
    """Nothing above the frontier; tilts on it; who ends on it and who below."""
    limits, ends = tables["limits"], tables["ends"]
    return [*_bounds(tables["paths"], ends), *_tilts(limits, tables["penalised"]), *_ends(ends, limits), *_orders(ends)]


def _bounds(paths: Table, ends: Table) -> list[Check]:
    checks = []
    for algorithm, sampler in dict.fromkeys(zip(paths["algorithm"].tolist(), paths["sampler"].tolist(), strict=True)):
        worst = paths.where(algorithm=algorithm, sampler=sampler)["above_bound"].max()
        claim = f"{algorithm} {sampler.replace('_', '-')}: reward above min_t t KL + t log E_ref e^(R/t), worst record"
        checks.append(upper(claim, 0.0, worst, allowance=1e-12, why="rounding"))
    for bandit in PEAKS:
        claim = f"{bandit}: reward above the frontier at the end, every algorithm and seed"
        why = "bisection in double precision"
        checks.append(upper(claim, 0.0, ends.where(bandit=bandit)["excess"].max(), allowance=1e-9, why=why))
    return checks


def _tilts(limits: Table, penalised: Table) -> list[Check]:
    checks = []
    for bandit in PEAKS:
        for name in TILTS:
            one = limits.where(bandit=bandit, algorithm=name)
            best = one["reward"][0] - one["excess"][0]
            claim = f"{bandit}: frontier at the divergence of the limit of {name}"
            checks.append(identity(claim, one["reward"][0], best, rtol=1e-9, why="bisection in double precision"))
        for name in PENALISED:
            claim = f"{bandit}, {name}: E_pi R - beta KL(pi||pi_ref) = beta log Z - beta KL(pi||pi*), worst record"
            checks.append(upper(claim, 1e-12, penalised.where(bandit=bandit, algorithm=name)["residual"].max()))
    return checks


def _ends(ends: Table, limits: Table) -> list[Check]:
    """On the frontier or below it, at the end and in infinite data."""
    checks = []
    for names, share, sampler in ((PENALISED, 0.98, ON_POLICY), (TILTS, 0.9, OFFLINE)):
        for name in names:
            rows = ends.where(algorithm=name, sampler=sampler)
            claim = f"{name} {sampler.replace('_', '-')}: share of the frontier's gain at the end, both problems"
            checks.append(least_above(claim, rows["share"], rows["share_se"], share))
    for name in RANKS:
        rare, near = (ends.where(bandit=bandit, algorithm=name, sampler=OFFLINE) for bandit in PEAKS)
        limit = limits.where(bandit="R1", algorithm=name, value=rare["value"][0])["share"][0]
        checks.append(upper(f"R1, {name} in infinite data: share of the frontier's gain", 0.6, limit))
        claim = f"R1, {name} offline: share of the frontier's gain at the end"
        checks.append(below(claim, 0.6, rare["share"][0], rare["share_se"][0]))
        claim = f"{name} offline: share of the frontier's gain on R2 less that on R1"
        error = np.hypot(near["share_se"], rare["share_se"])
        checks.append(above(claim, 0.0, near["share"][0] - rare["share"][0], error[0]))
    return checks


def _orders(ends: Table) -> list[Check]:
    """Negative gradients, own draws and PPO's clip, by the reward on R1."""

    def over(claim: str, first: tuple[str, str], second: tuple[str, str]) -> Check:
        one, other = (ends.where(bandit="R1", algorithm=name, sampler=sampler) for name, sampler in (first, second))
        error = np.hypot(one["reward_se"], other["reward_se"])
        return above(claim, 0.0, one["reward"][0] - other["reward"][0], error[0])

    checks = []
    for name, rival in NEGATIVE:
        checks.append(over(f"R1, offline: reward of {name} over {rival}", (name, OFFLINE), (rival, OFFLINE)))
    for name in (*dict.fromkeys(name for pair in NEGATIVE for name in pair), "ipo"):
        claim = f"R1, {name}: reward on its own draws over that on the reference's"
        checks.append(over(claim, (name, ON_POLICY), (name, OFFLINE)))
    clip = over("R1, PPO: reward with the clip over that without", ("ppo", ON_POLICY), ("ppo_unclipped", ON_POLICY))
    return [*checks, clip]
