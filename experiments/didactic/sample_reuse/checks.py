"""The checks of `sample_reuse`: a single step's law; exact values; where reuse hurts and where it pays."""

from collections.abc import Mapping

import numpy as np

from banditlab.claims import Check, Table, interval
from experiments.didactic.sample_reuse.runs import EACH, FIXED
from experiments.didactic.shared.tuned_training import least_above, sound_checks


def check(tables: Mapping[str, Table]) -> list[Check]:
    """A single step's law; exact values; where reuse hurts and where it pays."""
    table = tables["runs"]
    checks = sound_checks(table, tables["bandits"])
    for name, says in (("reinforce", "REINFORCE"), ("best_of_n", "Best-of-N")):
        row = {key: values[0] for key, values in tables["first_step"].where(method=name).columns.items()}
        claim = f"R2, one state, one step of Adam: mean improvement of {says} on {row['num_samples']} draws, enumerated"
        checks.append(interval(claim, row["predicted"], row["improvement"], row["predicted_error"]))
    few, most = 4, table["reuse"].max()
    fixed, each = (table.where(mode=mode, reuse=most, bandit="R1") for mode in (FIXED, EACH))
    rows = fixed.kept(fixed["method"] != "ipo")
    claim = f"R1, {FIXED}: loss by T = {most}, least method but IPO, whose loss is not resolved"
    checks.append(least_above(claim, rows["loss"], rows["loss_se"]))
    claim = f"R1: loss by T = {most} at the rate of T = 1 less that at its own rate, least method"
    checks.append(least_above(claim, fixed["loss"] - each["loss"], np.hypot(fixed["loss_se"], each["loss_se"])))
    for name in [name for name in ("ppo", "ipo") if name in each["method"]]:
        row = each.where(method=name)
        checks.append(least_above(f"R1, {EACH}: gain of {name} by T = {most}", -row["loss"], row["loss_se"]))
    for mode in (EACH, FIXED):
        row = table.where(mode=mode, method="ppo", reuse=few, bandit="R1")
        claim = f"R1, {mode}: PPO over REINFORCE at T = {few}"
        checks.append(least_above(claim, row["over_reinforce"], row["over_reinforce_se"]))
    row = table.where(mode=FIXED, method="reinforce", reuse=most, bandit="R2")
    return [*checks, least_above(f"R2, {FIXED}: loss of REINFORCE by T = {most}", row["loss"], row["loss_se"])]
