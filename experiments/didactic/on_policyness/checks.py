"""The checks of `on_policyness`: exact values, the frontier, who gains from fresh samples, where, at what cost."""

import numpy as np

from banditlab.claims.checks import Check, interval, lower
from banditlab.store import Table
from experiments.didactic.on_policyness.runs import BUDGETS, COMPUTE, QUERIES, STEPS
from experiments.didactic.shared import tuned_training
from experiments.didactic.shared.tuned_training import PEAKS, margin


def check(table: Table) -> list[Check]:
    """Exact values, the frontier, who gains from fresh samples, where, and at what equal cost."""
    checks = tuned_training.sound_checks(table)
    checks.append(_limit_check(table))
    alone = table.where(collections=table["collections"].min())
    for budget in BUDGETS:
        rows = alone.where(budget=budget, bandit="R1")
        least = margin(rows, "gain").min()
        checks.append(lower(f"R1, {budget}: gain of the freshest samples, least algorithm", 0.0, least, why=_LESS))
    checks += [_rare_check(alone, budget) for budget in (QUERIES, STEPS)]
    rows = alone.where(budget=QUERIES, bandit="R1")
    for name in ("ipo", "rwr"):
        row = rows.where(algorithm=name)
        claim = f"R1, {QUERIES}, all from the reference: {name} over Best-of-N"
        checks.append(lower(claim, 0.0, margin(row, "over_best_of_n")[0], why=_LESS))
    return checks + _disagreements(table)


_LESS = "less four standard errors"


def _limit_check(table: Table) -> Check:
    """One batch, trained to the end: the policy is the law of its bests, whose mean is the best-of-ten's."""
    rows = table.where(algorithm="best_of_n", bandit="R2", collections=table["collections"].min())
    short, long = rows.where(budget=STEPS), rows.where(budget=COMPUTE)
    error = float(short["best_of_ten_sd"][0] / np.sqrt(short["seeds"][0] * short["num_states"][0]))
    claim = "R2, one batch from the reference: Best-of-N reaches the mean of the best of ten draws"
    moved = abs(float(long["reward"][0] - short["reward"][0]))
    why = f"what {long['num_steps'][0]} steps on these batches change over {short['num_steps'][0]}"
    return interval(claim, short["best_of_ten"][0], short["reward"][0], error, allowance=moved, why=why)


def _rare_check(alone: Table, budget: str) -> Check:
    """RWR is left out at equal queries: offline it tends to pi_ref e^{R / beta}, which is nearly as good on R1."""
    names = [name for name in _algorithms(alone) if not (budget == QUERIES and name == "rwr")]
    margins = []
    for name in names:
        rare, common = (alone.where(budget=budget, bandit=bandit, algorithm=name) for bandit in PEAKS)
        error = np.hypot(rare["gain_se"], common["gain_se"])
        margins.append((rare["gain"] - common["gain"] - 4 * error)[0])
    which = "least algorithm but RWR" if budget == QUERIES else "least algorithm"
    return lower(f"{budget}: gain of the freshest samples on R1 less that on R2, {which}", 0.0, min(margins), why=_LESS)


def _disagreements(table: Table) -> list[Check]:
    few, more = table["collections"].max() // 16, table["collections"].max() // 4
    margins = []
    for name in [name for name in _algorithms(table) if name != "pref_ft"]:
        queries, steps = (table.where(budget=b, bandit="R1", algorithm=name, collections=few) for b in (QUERIES, STEPS))
        error = np.hypot(queries["gain_se"], steps["gain_se"])
        margins.append((steps["gain"] - queries["gain"] - 4 * error)[0])
    claim = f"R1, {few} collections: loss at equal steps less that at equal queries, least algorithm but Pref-FT"
    checks = [lower(claim, 0.0, min(margins), why=_LESS)]
    row = table.where(budget=QUERIES, bandit="R1", algorithm="ppo", collections=more)
    claim = f"R1, {QUERIES}: PPO with {more} collections over PPO with a new one before every step"
    return [*checks, lower(claim, 0.0, margin(row, "gain", -1)[0], why=_LESS)]


def _algorithms(table: Table) -> list[str]:
    return list(dict.fromkeys(table["algorithm"].tolist()))
