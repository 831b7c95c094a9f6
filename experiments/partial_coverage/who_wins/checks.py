"""The checks of `who_wins`."""

import numpy as np

from banditlab.claims import Check, Table, identity, interval, upper
from experiments.partial_coverage.who_wins.runs import DPO, HYPO, RLHF

_DOUBLED = "what doubling lambda changes, before the extrapolation removes it"


def check(tables: dict[str, Table]) -> list[Check]:
    """Every gap on its curve; the crossing; who wins on either side of it."""
    learners = tables["learners"]
    checks = [upper("policies that did not converge", 0.0, learners["failed"].max())]
    single = learners["penalty"][learners["penalty"] > 0].min()
    for name in dict.fromkeys(learners["instance"].tolist()):
        here = tables["trained"].where(instance=name)
        for learner, says in ((DPO, "the plain mean of the seen"), (RLHF, "its barrier's centre")):
            rows = here.where(learner=learner)
            claim = f"{name}, {learner}, imputes {says}: gap at unseen reward"
            checks += _ends(claim, rows["reward"], rows["predicted"], rows["gap"], rows["allowed"])
        near, double = here.where(penalty=single), here.where(penalty=2 * single)
        claim = f"{name}, hypo, lambda -> 0, imputes the mean under pi|S: gap at unseen reward"
        extrapolated = 2 * near["gap"] - double["gap"]
        allowed = np.abs(double["gap"] - near["gap"]) + 3 * (near["allowed"] + double["allowed"])
        checks += _ends(claim, near["reward"], near["predicted"], extrapolated, allowed, near["doubled"] + allowed)
        checks += _crossing_checks(learners.where(instance=name), here.where(learner=DPO), near, double)
    return checks


def _ends(claim: str, reward, predicted, measured, allowed, along=None) -> list[Check]:
    """The gap at the ends of the sweep, and the worst place of the sweep in units of what is allowed `along` it."""
    why = "what the trained policy's own residual allows" if along is None else _DOUBLED
    along = allowed if along is None else along
    checks = [
        identity(f"{claim} {reward[end]:g}", predicted[end], measured[end], atol=float(allowed[end]), why=why)
        for end in (0, -1)
    ]
    worst = float((np.abs(measured - predicted) / along).max())
    return [*checks, upper(f"{claim}: worst of the sweep, over what is allowed", 1.0, worst)]


def _crossing_checks(learners: Table, dpo: Table, near: Table, double: Table) -> list[Check]:
    """J is linear in the unseen reward, so the difference of two gaps is too: two points give its zero."""
    crossings = [_zero(dpo["reward"], rows["gap"] - dpo["gap"]) for rows in (near, double)]
    name, predicted = learners["instance"][0], float(learners["crossing"][0])
    claim = f"{name}: unseen reward at which DPO and HyPO are equally bad, extrapolated to lambda = 0"
    measured, allowance = 2 * crossings[0] - crossings[1], abs(crossings[1] - crossings[0])
    checks = [interval(claim, predicted, measured, 0.0, allowance=allowance, why=_DOUBLED)]
    higher = learners.where(learner=HYPO)["imputed"][0] > learners.where(learner=DPO)["imputed"][0]
    expected = (near["reward"] > predicted) == higher
    wrong = int(((near["gap"] < dpo["gap"]) != expected).sum())
    side = "above" if higher else "below"
    claim = f"{name}: rewards of the sweep at which HyPO wins though not {side} the crossing, or the other way round"
    return [*checks, upper(claim, 0.0, wrong)]


def _zero(x: np.ndarray, y: np.ndarray) -> float:
    return float(x[0] - y[0] * (x[-1] - x[0]) / (y[-1] - y[0]))
