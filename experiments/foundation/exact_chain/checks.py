"""The checks: every arm against its exact law, in the worst round."""

import math

import numpy as np

from banditlab.claims.checks import Check, interval, upper
from banditlab.store import Table
from experiments.foundation.exact_chain.law_comparison import LATTICE_TOLERANCE

_FALSE_ALARM = 1e-4


def check(table: Table) -> list[Check]:
    """Per arm and beta, in the worst round: mean KL, mass at the cap, distribution function."""
    checks = []
    for sampler, num_pairs, beta in arms_of(table):
        rows = table.where(sampler=sampler, num_pairs=num_pairs, beta=beta)
        words = f"{sampler}, n = {num_pairs}, beta = {beta:g}"
        for name, claim in (("kl", "mean KL"), ("absorbed", "mass at the norm cap")):
            # The variance is known exactly; a sample of few absorbed runs would misjudge its own.
            error = rows[f"{name}_deviation"] / np.sqrt(rows["num_seeds"])
            worst = int(np.argmax(np.abs(rows[name] - rows[f"{name}_exact"]) / error))
            where = f"{words}, round {rows['round'][worst]} (the worst of {len(rows)})"
            checks.append(interval(f"{claim}, {where}", rows[f"{name}_exact"][worst], rows[name][worst], error[worst]))
        # Dvoretzky-Kiefer-Wolfowitz-Massart: P(sup |F_N - F| > e) <= 2 exp(-2 N e^2), whatever the law.
        bound = math.sqrt(math.log(2 / _FALSE_ALARM) / (2 * rows["num_seeds"][0]))
        wrong = 1 - rows["wrong_distance"].max()
        why = f"exceeded with probability {_FALSE_ALARM:g} at most; theta* wrong by 5% would give {wrong:.4f}"
        claim = f"1 - sup |F_N - F|, {words}, smallest of {len(rows)} rounds"
        checks.append(interval(claim, 1.0, 1 - rows["distance"].max(), 0.0, allowance=bound, why=why))
    claim = "simulated values of theta that the exact law does not allow"
    return [*checks, upper(claim, 0.0, table["num_off_lattice"].sum(), why=f"to {LATTICE_TOLERANCE:g}")]


def arms_of(table: Table) -> list[tuple[str, int, float]]:
    columns = (table[name].tolist() for name in ("sampler", "num_pairs", "beta"))
    return list(dict.fromkeys(zip(*columns, strict=True)))
