"""The checks of `sample_reuse`: a single step's law; exact values; where reuse hurts and where it pays."""

import numpy as np

from banditlab.claims.checks import Check, interval, lower
from banditlab.store import Table
from experiments.didactic.sample_reuse.runs import EACH, FIRST, FIXED
from experiments.didactic.shared import tuned_training
from experiments.didactic.shared.tuned_training import margin


def check(table: Table) -> list[Check]:
    """A single step's law; exact values; where reuse hurts and where it pays."""
    runs = Table.stack([table.where(mode=mode) for mode in (EACH, FIXED)])
    checks = tuned_training.sound_checks(runs)
    for name, says in (("reinforce", "REINFORCE on two draws"), ("best_of_n", "Best-of-N on ten")):
        row = table.where(mode=FIRST, method=name)
        claim = f"R2, one state, one step of Adam: mean improvement of {says}, enumerated"
        checks.append(interval(claim, row["predicted"][0], row["reward"][0], float(row["error"][0])))
    most = runs["reuse"].max()
    fixed, each = (table.where(mode=mode, reuse=most, bandit="R1") for mode in (FIXED, EACH))
    least = margin(fixed, "loss")[fixed["method"] != "ipo"].min()
    claim = f"R1, {FIXED}: loss by T = {most}, least method but IPO, whose loss is not resolved"
    checks.append(lower(claim, 0.0, least, why=_LESS))
    errors = np.hypot(fixed["loss_se"], each["loss_se"])
    least = (fixed["loss"] - each["loss"] - 4 * errors).min()
    claim = f"R1: loss by T = {most} at the rate of T = 1 less that at its own rate, least method"
    checks.append(lower(claim, 0.0, least, why=_LESS))
    for name in ("ppo", "ipo"):
        row = each.where(method=name)
        gain = margin(row, "loss", -1)[0]
        checks.append(lower(f"R1, {EACH}: gain of {name} by T = {most}", 0.0, gain, why=_LESS))
    return checks + _method_checks(table, most)


_LESS = "less four standard errors"


def _method_checks(table: Table, most: int) -> list[Check]:
    few = 4
    checks = []
    for mode in (EACH, FIXED):
        row = table.where(mode=mode, method="ppo", reuse=few, bandit="R1")
        gain = margin(row, "over_reinforce")[0]
        checks.append(lower(f"R1, {mode}: PPO over REINFORCE at T = {few}", 0.0, gain, why=_LESS))
    row = table.where(mode=FIXED, method="reinforce", reuse=most, bandit="R2")
    claim = f"R2, {FIXED}: loss of REINFORCE by T = {most}"
    return [*checks, lower(claim, 0.0, margin(row, "loss")[0], why=_LESS)]
