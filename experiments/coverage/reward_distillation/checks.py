"""The checks of reward_distillation, on its tables."""

import math

import numpy as np

from banditlab.claims import Check, Table, identity, interval, lower, upper
from experiments.coverage.reward_distillation import runs

_FALSE_ALARM = 1e-4


def check(tables: dict[str, Table]) -> list[Check]:
    """Part by part; every tolerance is sampling error, but for the identities, which allow rounding."""
    parts = (_recovery_checks, _floor_checks, _teacher_checks, _damped_checks, _learner_checks)
    return [made for part in parts for made in part(tables)]


def _recovery_checks(tables: dict[str, Table]) -> list[Check]:
    checks, rows, given = [], tables["recovery"], tables["given_pairs"]
    for sampler in runs.SAMPLERS:
        arm = rows.where(sampler=sampler)
        law, share, error = (arm[name] for name in ("probability_exact", "probability", "probability_se"))
        middle = min(int(np.sum(law < 0.5)), len(arm) - 1)  # the first round with probability 1/2
        claim = f"P(theta = theta*) after round {arm['round'][middle]}, sampler {sampler}, exact rank process"
        checks.append(interval(claim, law[middle], share[middle], error[middle]))
        # Dvoretzky-Kiefer-Wolfowitz-Massart for the law of the round of recovery.
        bound = math.sqrt(math.log(2 / _FALSE_ALARM) / (2 * arm["seeds"][0]))
        why = f"exceeded with probability {_FALSE_ALARM:g} at most"
        claim = f"1 - sup |F_N - F| of the round of recovery, sampler {sampler}"
        checks.append(interval(claim, 1.0, 1.0 - float(np.abs(share - law).max()), 0.0, allowance=bound, why=why))
    claim = f"P(one batch of {given['num_pairs'][0]:g} pairs has rank d), inclusion-exclusion"
    checks.append(interval(claim, *(given[name][0] for name in ("spanning_exact", "spanning", "spanning_se"))))
    claim = "seed-rounds whose theta is not that of minimum change, or exact without rank d, or not exact with it"
    return [*checks, upper(claim, 0.0, rows["unexplained"].max(), why=f"to {runs.EXACT:g}")]


def _floor_checks(tables: dict[str, Table]) -> list[Check]:
    words = {
        "offline": "n KL over tau^2 C_tr(pi_0)/(4 beta^2), never refreshed",
        "on-policy": "n KL over tau^2 d/(4 beta^2), on-policy",
        "damped": f"n KL over eta^2 sum (1-eta)^2j of tau^2 d/(4 beta^2), eta = {runs.HALF:g}, on-policy",
        "pooled": "n KL over 1/k of tau^2 d/(4 beta^2), pooled on-policy",
    }
    claim = "||theta_hat - theta*||^2_V* over (tau^2/beta^2) tr(V* (sum zz')^-1), batch by batch"
    rows = {claim: tables["given_pairs"]} | {words[arm]: tables["floors"].where(arm=arm) for arm in words}
    checks = [
        interval(f"{claim}, n = {row['num_pairs'][0]:g}", 1.0, row["ratio"][0], row["ratio_se"][0])
        for claim, row in rows.items()
    ]
    undetermined = tables["floors"]["undetermined"].sum() + tables["damped"]["undetermined"].sum()
    return [*checks, upper(f"batches of {runs.MANY:g} pairs without rank d", 0.0, undetermined)]


def _teacher_checks(tables: dict[str, Table]) -> list[Check]:
    checks, rows = [], tables["teacher"]
    names = ("bias_kl", "limit_kl", "limit_kl_se")
    for place in runs.WRONG:
        ends = {}
        for sampler in runs.SAMPLERS:
            arm = rows.where(arm=f"{place} {sampler}")
            worst = int(np.argmax(np.abs(arm["limit_kl"] - arm["bias_kl"]) / arm["limit_kl_se"]))
            claim = f"KL of a teacher wrong at the {place}, sampler {sampler}, round {arm['round'][worst]} (the worst)"
            checks.append(interval(claim, *(arm[name][worst] for name in names)))
            ends[sampler] = [float(arm[name][-1]) for name in (*names, "coverage")]
            if sampler == "refreshed":
                claim = f"log coverage of the last sampler over the first's, teacher wrong at the {place}: negative"
                fall = math.log(ends[sampler][-1] / arm["coverage"][0])
                checks.append(upper(claim, 0.0, fall, why="exact"))
        expected, measured = (math.log(ends["refreshed"][k] / ends["never"][k]) for k in (0, 1))
        error = math.hypot(*(ends[sampler][2] / ends[sampler][1] for sampler in runs.SAMPLERS))
        claim = f"log of the KL refreshed over never refreshed, teacher wrong at the {place}"
        checks.append(interval(claim, expected, measured, error))
        bound = lower if place == "top" else upper
        checks.append(bound(f"{claim}: {'grows' if place == 'top' else 'shrinks'}", 0.0, measured, error))
    claim = "||theta - theta*||^2_V* over coverage times weighted teacher error, largest"
    return [*checks, upper(claim, 1.0, rows["share"].max(), why="exact, population recursion")]


def _damped_checks(tables: dict[str, Table]) -> list[Check]:
    checks, rows = [], tables["damped"]
    for damping in np.unique(rows["damping"]):
        arm = rows.where(damping=damping)
        claim = f"1 + largest distance of theta_k from the geometric path, relative, damping {damping:g}"
        # theta and theta* are of order 4, and the last error (1-eta)^k times that: rounding grows by its inverse.
        rounding = 1e4 * np.finfo(float).eps / (1 - damping) ** arm["round"].max()
        why = "rounding: units of the last place of theta over the length of the error"
        checks.append(identity(claim, 1.0, arm["one_plus_distance"].max(), atol=rounding, why=why))
    return checks


def _learner_checks(tables: dict[str, Table]) -> list[Check]:
    labels, on_policy = tables["label_floor"], tables["floors"].where(arm="on-policy")
    distilled = tables["learners"].where(arm="distillation")
    price = distilled["floor_kl"][0] * distilled["num_pairs"][0]
    measured = labels["scaled_kl"][0] / (on_policy["ratio"][0] * price)
    columns = ((labels, "scaled_kl"), (on_policy, "ratio"))
    error = math.hypot(*(rows[f"{name}_se"][0] / rows[name][0] for rows, name in columns))
    claim = "floor of on-policy DPO over that of distillation with the labels' own noise, tau^2 = pi^2/3"
    return [interval(claim, labels["floor"][0] / price, measured, measured * error)]
