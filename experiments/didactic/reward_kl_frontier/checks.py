"""The checks of `reward_kl_frontier`: nothing above the frontier, tilts on it, and who ends where."""

import numpy as np

from banditlab.claims.checks import Check, identity, lower, upper
from banditlab.store import Table

OFFLINE, ON_POLICY = "offline", "on_policy"
CASES = ("R1", "R2")
# Likelihoods that read the order of the rewards alone, and the strength they run at: N, a pair.
RANKS = {"best_of_n": 10.0, "pref_ft": 2.0}
TILTS = ("rwr", "awr")
PENALISED = ("reinforce", "reinforce_running")
# A loss with a negative gradient and the likelihood that reads the same.
NEGATIVE = (("best_of_n_negative", "best_of_n"), ("best_of_n_worst", "best_of_n"), ("dpo", "pref_ft"))
_LESS = "less four standard errors"


def check(table: Table) -> list[Check]:
    """Nothing above the frontier; tilts on it; who ends on it and who below."""
    paths, limits = table.where(part="path"), table.where(part="limit")
    last = paths.where(step=paths["step"].max())
    return _bounds(paths, last) + _tilts(limits, paths) + _ends(last, limits) + _orders(last)


def _bounds(paths: Table, last: Table) -> list[Check]:
    checks = []
    for algorithm, sampler in dict.fromkeys(zip(paths["algorithm"].tolist(), paths["sampler"].tolist(), strict=True)):
        worst = paths.where(algorithm=algorithm, sampler=sampler)["dual"].max()
        claim = f"{algorithm} {sampler.replace('_', '-')}: reward above min_t t KL + t log E_ref e^(R/t), worst record"
        checks.append(upper(claim, 0.0, worst, allowance=1e-12, why="rounding"))
    for case in CASES:
        claim = f"{case}: reward above the frontier at the end, every algorithm and seed"
        why = "bisection in double precision"
        checks.append(upper(claim, 0.0, last.where(case=case)["excess"].max(), allowance=1e-9, why=why))
    return checks


def _tilts(limits: Table, paths: Table) -> list[Check]:
    checks = []
    for case in CASES:
        for name in TILTS:
            one = limits.where(case=case, algorithm=name)
            best = one["reward"][0] - one["excess"][0]
            claim = f"{case}: frontier at the divergence of the limit of {name}"
            checks.append(identity(claim, one["reward"][0], best, rtol=1e-9, why="bisection in double precision"))
        for name in PENALISED:
            claim = f"{case}, {name}: E_pi R - beta KL(pi||pi_ref) = beta log Z - beta KL(pi||pi*), worst record"
            checks.append(upper(claim, 1e-12, paths.where(case=case, algorithm=name)["identity"].max()))
    return checks


def _ends(last: Table, limits: Table) -> list[Check]:
    """On the frontier or below it, at the end and in infinite data."""
    checks = []
    for names, share, sampler in ((PENALISED, 0.98, ON_POLICY), (TILTS, 0.9, OFFLINE)):
        for name in names:
            rows = last.where(algorithm=name, sampler=sampler)
            claim = f"{name} {sampler.replace('_', '-')}: share of the frontier's gain at the end, both problems"
            checks.append(lower(claim, share, (rows["share"] - 4 * rows["share_se"]).min(), why=_LESS))
    for name, value in RANKS.items():
        limit = limits.where(case="R1", algorithm=name, value=value)["share"][0]
        checks.append(upper(f"R1, {name} in infinite data: share of the frontier's gain", 0.6, limit))
        rare, near = (last.where(case=case, algorithm=name, sampler=OFFLINE) for case in CASES)
        claim = f"R1, {name} offline: share of the frontier's gain at the end, and 4 errors"
        checks.append(upper(claim, 0.6, rare["share"][0] + 4 * rare["share_se"][0]))
        gap = near["share"][0] - rare["share"][0] - 4 * np.hypot(near["share_se"][0], rare["share_se"][0])
        claim = f"{name} offline: share of the frontier's gain on R2 less that on R1"
        checks.append(lower(claim, 0.0, gap, why=_LESS))
    return checks


def _orders(last: Table) -> list[Check]:
    """Negative gradients, own draws and PPO's clip, by the reward on R1."""

    def over(first: tuple[str, str], second: tuple[str, str]) -> float:
        ends = [last.where(case="R1", algorithm=name, sampler=sampler) for name, sampler in (first, second)]
        error = np.hypot(ends[0]["reward_se"][0], ends[1]["reward_se"][0])
        return float(ends[0]["reward"][0] - ends[1]["reward"][0] - 4 * error)

    checks = []
    for name, rival in NEGATIVE:
        claim = f"R1, offline: reward of {name} over {rival}"
        checks.append(lower(claim, 0.0, over((name, OFFLINE), (rival, OFFLINE)), why=_LESS))
    for name in (*dict.fromkeys(name for pair in NEGATIVE for name in pair), "ipo"):
        claim = f"R1, {name}: reward on its own draws over that on the reference's"
        checks.append(lower(claim, 0.0, over((name, ON_POLICY), (name, OFFLINE)), why=_LESS))
    claim = "R1, PPO: reward with the clip over that without"
    return [*checks, lower(claim, 0.0, over(("ppo", ON_POLICY), ("ppo_unclipped", ON_POLICY)), why=_LESS)]
