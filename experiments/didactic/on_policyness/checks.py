"""The checks of `on_policyness`: exact values, the frontier, who gains from fresh samples, where, at what cost."""

from collections.abc import Mapping

import numpy as np

from banditlab.claims import Check, Table, interval
from experiments.didactic.on_policyness.runs import BUDGETS, COMPUTE, QUERIES, STEPS
from experiments.didactic.shared.tuned_training import PEAKS, least_above, sound_checks


def check(tables: Mapping[str, Table]) -> list[Check]:
    """Exact values, the frontier, who gains from fresh samples, where, and at what equal cost."""
    table = tables["runs"]
    checks = [*sound_checks(table, tables["bandits"]), _limit_check(table, tables["bandits"])]
    alone = table.where(collections=table["collections"].min())
    for budget in BUDGETS:
        rows = alone.where(budget=budget, bandit="R1")
        claim = f"R1, {budget}: gain of the freshest samples, least algorithm"
        checks.append(least_above(claim, rows["gain"], rows["gain_se"]))
    checks += [_rare_check(alone, budget) for budget in (QUERIES, STEPS)]
    rows = alone.where(budget=QUERIES, bandit="R1")
    for name in [name for name in ("ipo", "rwr") if name in rows["algorithm"]]:
        row = rows.where(algorithm=name)
        claim = f"R1, {QUERIES}, all from the reference: {name} over Best-of-N"
        checks.append(least_above(claim, row["over_best_of_n"], row["over_best_of_n_se"]))
    return checks + _disagreements(table)


def _limit_check(table: Table, bandits: Table) -> Check:
    """One batch, trained to the end: the policy is the law of its bests, whose mean is that of the best of N draws."""
    rows = table.where(algorithm="best_of_n", bandit="R2", collections=table["collections"].min())
    short, long, exact = rows.where(budget=STEPS), rows.where(budget=COMPUTE), bandits.where(bandit="R2")
    error = float(exact["best_of_n_sd"][0] / np.sqrt(short["seeds"][0] * short["num_states"][0]))
    draws = exact["num_samples"][0]
    claim = f"R2, one batch from the reference: Best-of-N reaches the mean of the best of {draws} draws"
    moved = abs(float(long["reward"][0] - short["reward"][0]))
    why = f"what {long['num_steps'][0]} steps on these batches change over {short['num_steps'][0]}"
    return interval(claim, exact["best_of_n"][0], short["reward"][0], error, allowance=moved, why=why)


def _rare_check(alone: Table, budget: str) -> Check:
    """RWR is left out at equal queries: offline it tends to pi_ref e^{R / beta}, which is nearly as good on R1."""
    left_out, which = ("rwr", "least algorithm but RWR") if budget == QUERIES else ("", "least algorithm")
    rows = alone.kept(alone["algorithm"] != left_out)
    rare, common = (rows.where(budget=budget, bandit=bandit) for bandit in PEAKS)
    return _more(f"{budget}: gain of the freshest samples on R1 less that on R2, {which}", rare, common)


def _disagreements(table: Table) -> list[Check]:
    """Where schedules are far enough apart: two budgets disagree, and the most collections are not PPO's best."""
    few, more = table["collections"].max() // 16, table["collections"].max() // 4
    if few not in table["collections"]:
        return []
    rows = table.where(bandit="R1", collections=few)
    rows = rows.kept(rows["algorithm"] != "pref_ft")
    claim = f"R1, {few} collections: loss at equal steps less that at equal queries, least algorithm but Pref-FT"
    checks = [_more(claim, rows.where(budget=STEPS), rows.where(budget=QUERIES))]
    row = table.where(budget=QUERIES, bandit="R1", algorithm="ppo", collections=more)
    claim = f"R1, {QUERIES}: PPO with {more} collections over PPO with a new one before every step"
    return [*checks, least_above(claim, -row["gain"], row["gain_se"])]


def _more(claim: str, first: Table, second: Table) -> Check:
    """More gain in the first, row by row, at the least."""
    return least_above(claim, first["gain"] - second["gain"], np.hypot(first["gain_se"], second["gain_se"]))
