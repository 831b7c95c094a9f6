"""The checks of pessimism, on its tables."""

from collections.abc import Mapping

import numpy as np

from banditlab.claims import Check, Table, interval, lower, upper
from banditlab.exact.zhu_jordan_jiao import LIMIT
from experiments.coverage.pessimism.runs import COVERED, GREEDY, NARROW, UNCOVERED, UNIFORM

# Whatever the temperature: the gap is p m + (1 - p)(1 - m) + 0.1 (masses of the 2nd and 3rd), p = sigma(-1), m >= 1/2.
_SWAP = "the two outcomes' rewards are images of each other under a_1 <-> a_4, a_2 <-> a_3"


def check(tables: Mapping[str, Table]) -> list[Check]:
    """Every arm against its exact law, in the worst place; the limits; what pessimism does and does not change."""
    simulated, limit = tables["simulated"], tables["limits"]
    most = simulated["num_labels"].max()
    checks = []
    for arm in dict.fromkeys(simulated["arm"].tolist()):
        rows = simulated.where(arm=arm)
        # The variance is known exactly; a sample of few failures would misjudge its own.
        error = rows["deviation"] / np.sqrt(rows["seeds"])
        certain = rows["deviation"] < 1e-12
        distance = np.where(certain, -1.0, np.abs(rows["gap"] - rows["exact"]) / np.where(certain, 1.0, error))
        worst = int(np.argmax(distance))
        claim = f"expected gap, {arm}, n = {rows['num_labels'][worst]:.0f} (the worst of {len(rows)})"
        checks.append(interval(claim, rows["exact"][worst], rows["gap"][worst], error[worst]))
    for arm, value in ((GREEDY, LIMIT), (NARROW, LIMIT), (UNIFORM, LIMIT), (UNCOVERED, 1.0)):
        row = simulated.where(arm=arm, num_labels=most)
        why = "0.1 P(theta_hat_2 on the wrong side), summed exactly"
        allowance = abs(row["exact"][0] - limit.where(arm=arm)["gap"][0]) + 1e-12
        name = "1" if arm == UNCOVERED else "sigma(-1)"
        claim = f"{arm}, n = {most:.0e}: expected gap = its limit {name}"
        error = row["deviation"][0] / np.sqrt(row["seeds"][0])
        checks.append(interval(claim, value, row["gap"][0], error, allowance=allowance, why=why))
    covered = simulated.where(arm=COVERED, num_labels=most)
    why = "rounding; P(theta_hat_2 below its width) is under 1e-30"
    claim = f"covered, n = {most:.0e}: expected gap = its limit 0"
    checks.append(upper(claim, 0.0, covered["gap"][0], allowance=1e-12, why=why))
    checks.append(upper("likelihood fits that did not converge", 0.0, simulated["failed"].max()))
    claim = "share of the data sets on which pessimism measured from the uniform policy changes the policy"
    share = simulated.where(arm=UNIFORM)["unlike_greedy"].max()
    checks.append(upper(claim, 0.0, share, why="all four bounds are lowered by the same width"))
    smallest = min(limit["gap"][np.char.startswith(limit["arm"], "chi_po")])
    claim = "chi-PO, smallest limit over temperatures, is not below sigma(-1)"
    return [*checks, lower(claim, LIMIT, smallest, why=_SWAP)]
