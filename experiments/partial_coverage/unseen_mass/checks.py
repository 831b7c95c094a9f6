"""The checks of `unseen_mass`."""

import numpy as np

from banditlab.claims import Check, Table, identity, lower, upper
from experiments.partial_coverage.unseen_mass.runs import RANDOM, TOLERANCE, UNIFORM


def check(tables: dict[str, Table]) -> list[Check]:
    """DPO's growth and its sign, HyPO's, and the references that are uniform on the seen actions."""
    dpo, hypo = tables["dpo"], tables["hypo"]
    failed = sum((rows["gradient_norm"] > TOLERANCE).sum() for rows in (dpo, hypo))
    checks = [upper("descents that did not converge", 0.0, failed)]
    for learner, rows, column, name in (
        ("DPO", dpo, "predicted", "log of the growth of the unseen mass, closed form"),
        ("HyPO", hypo, "divergence", "log of the growth of the unseen mass = KL(pi||pi_ref)"),
    ):
        share = np.abs(rows["growth"] - rows[column]) / rows["allowed"]
        checks.append(upper(f"{learner}: {name}, worst of {len(rows)}, over what is allowed", 1.0, share.max()))
        drawn = rows.where(reference=RANDOM)
        means = [float(np.abs(drawn[own]).mean()) for own in (column, "growth")]
        why = "gradient over curvature (DPO), gradient over lambda pi(u) (HyPO), rounding"
        checks.append(identity(f"{learner}: {name}, mean size", *means, atol=float(drawn["allowed"].max()), why=why))
    signs = (dpo["growth"] > 0) != (dpo["condition"] < 0)
    decided = np.abs(dpo["growth"]) > dpo["allowed"]
    claim = f"DPO: bandits of {len(dpo)} whose unseen mass grows against the condition, or shrinks against it"
    checks.append(upper(claim, 0.0, (signs & decided).sum()))
    drawn, even = dpo.where(reference=RANDOM), dpo.where(reference=UNIFORM)
    for word, number in (("grows", (drawn["growth"] > 0).sum()), ("shrinks", (drawn["growth"] < 0).sum())):
        checks.append(lower(f"DPO, {len(drawn)} random references: bandits whose unseen mass {word}", 1.0, number))
    claim = f"DPO, reference uniform on the seen actions: largest growth of the unseen mass, {len(even)} bandits"
    checks.append(upper(claim, 0.0, even["growth"].max()))
    claim = f"HyPO at its stationary point: smallest growth of any unseen action, {len(hypo)} bandits"
    checks.append(lower(claim, 0.0, hypo["least"].min()))
    # At pi_ref the penalty has no gradient: HyPO starts as DPO does.
    shrunk, after = (hypo.where(reference=RANDOM)["early"] < 0).sum(), f"HyPO after {hypo['early_steps'][0]} steps"
    claim = f"{after}, {len(drawn)} random references: bandits whose unseen mass is below that of pi_ref"
    return [*checks, lower(claim, 1.0, shrunk)]
