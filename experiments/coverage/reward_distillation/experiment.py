"""Reward distillation: exact recovery at rank d, its noise floor, and a teacher's error times coverage, both ways."""

import math
from collections.abc import Iterator
from functools import partial

import numpy as np

from banditlab.claims import Check, Experiment, Shards, Table, identity, interval, lower, statistics, upper
from banditlab.exact import distillation_rounds, rank
from banditlab.theory.distillation import on_policy_floor, population_bias
from experiments.coverage.reward_distillation import runs
from experiments.coverage.reward_distillation.figure import plot
from experiments.coverage.reward_distillation.runs import Config
from experiments.shared import row_checks, shares

CLAIM = (
    "Regressing the margin on reward differences recovers theta* exactly once they have rank d, has the noise floor "
    "tau^2 tr(V* M^-1)/(2 beta^2 n), and inherits a teacher's error weighted by its sampler: refreshing can do harm."
)
COLUMNS = {
    "*": {
        "num_rounds": "rounds of every seed [rounds]",
        "undetermined": "batches of all seeds and rounds without rank d, d the number of features [batches]",
        "sampler": "whose pairs are shown: the current policy's where refreshed, else those of pi_0",
        "probability_exact": "exact probability of theta = theta*, from the law of the rank of the pairs so far",
        "probability": "share of seeds with theta = theta*",
        "unexplained": "seeds times rounds of the sampler where theta contradicts the law of the rank",
        "spanning_exact": "exact probability that one batch has rank d, d the number of features",
        "spanning": "share of seeds whose batch has rank d",
        "bias_kl": "KL(pi*||pi) of the recursion with infinitely many pairs [nats]",
        "limit_kl": "KL(pi*||pi) at 1e12 pairs a round, mean over seeds [nats]",
        "coverage": "largest v'V*v over v'Vv, V* the covariance at pi*, V at the policy of the round's pairs",
        "error": "variance of the teacher's error under that policy, over beta^2",
        "share": "||theta - theta*||^2_V* over coverage times error, at most 1",
        "damping": "eta, the share of the way to the fit that a round goes",
        "path_kl": "KL(pi*||pi) at theta* + (1-eta)^k (theta_0 - theta*) after k rounds [nats]",
        "one_plus_distance": "1 + a rounding-level residual, the largest distance of theta from that path over the "
        "path's from theta*",
        "floor_kl": "KL(pi*||pi) predicted for late rounds of num_pairs = n: C_F/(2n) for labels, C_F their price "
        "at pi*; tau^2 d/(4 beta^2 n) for rewards, tau their noise, d the number of features [nats]",
        "ridge": "weight of the ridge of DPO beside the sum of losses; distillation has none",
        "floor": "half the label price at pi*, limit of scaled_kl [labels x nats]",
        "scaled_kl": "labels of a round times KL(pi*||pi) of DPO, mean over rounds and seeds [labels x nats]",
    },
    "given_pairs": {
        "ratio": "||theta - theta*||^2_V* over (tau^2/beta^2) tr(V* (sum zz')^-1), V* the covariance at pi*, tau "
        "the teacher's noise, z the feature differences shown; mean over the seeds with rank d",
    },
    "floors": {
        "arm": "where the pairs come from, and which pairs are fitted",
        "ratio": "KL(pi*||pi) over the noise floor of the arm's round, mean over rounds and seeds",
    },
    "teacher": {"arm": "action that the teacher is wrong about, and whether the sampler is refreshed"},
    "learners": {"arm": "what is fitted: labels by DPO, reward differences with the labels' noise, without noise"},
}
Rows = Iterator[dict[str, str | int | float]]


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """A part per statement, each by arm and round where it has these."""
    shards.expect(5 + len(config.dampings) + len(runs.LEARNERS))
    parts = {"recovery": _recovery, "given_pairs": _given_pairs, "floors": _floors, "teacher": _teachers}
    parts |= {"damped": _damped, "learners": _learners, "label_floor": _label_floor}
    return {part: Table.from_rows(rows(config, shards)) for part, rows in parts.items()}


def _recovery(config: Config, shards: Shards) -> Rows:
    seeds = config.recovery_seeds
    data = shards.get("recovery", (0, seeds), partial(runs.recovery, config))
    for place, sampler in enumerate(runs.SAMPLERS):
        for k, (share, law) in enumerate(zip(data["recovered"][place], data["predicted"][place], strict=True)):
            row = {"sampler": sampler, "round": k + 1, "num_pairs": float(config.recovery_pairs), "seeds": seeds}
            row |= shares.beside("probability", law, share, seeds)
            yield row | {"unexplained": int(data["unexplained"][place])}


def _given_pairs(config: Config, shards: Shards) -> Rows:
    seeds = config.given_seeds
    ratio = shards.get("given the pairs", (0, seeds), partial(runs.given_the_pairs, config))["ratio"]
    # Whether a batch spans depends on its pairs alone, so that leaving the others out changes no conditional mean.
    law = rank.spanning_probability(np.full((5, 5), 1 / 25), config.given_pairs)
    row = {"num_pairs": float(config.given_pairs), "seeds": seeds}
    yield row | shares.beside("spanning", law, len(ratio) / seeds, seeds) | statistics.mean("ratio", ratio)


def _floors(config: Config, shards: Shards) -> Rows:
    data = shards.get("floor", (0, max(config.floor_seeds)), partial(runs.floors, config))
    for arm, seeds in zip(runs.FLOORS, config.floor_seeds, strict=True):
        row = {"arm": arm, "num_rounds": config.num_rounds, "num_pairs": runs.MANY, "seeds": seeds}
        yield row | statistics.mean("ratio", data[arm]) | {"undetermined": int(data[f"undetermined {arm}"])}


def _teachers(config: Config, shards: Shards) -> Rows:
    env, seeds = runs.ramp(*config.ramp, config.ramp_beta), config.teacher_seeds
    rewards = {place: np.asarray(env.reward) + wrong for place, wrong in runs.WRONG.items()}
    data = shards.get("teacher", (0, seeds), partial(runs.teachers, env, rewards, config))
    for arm, (drawn, many) in data.items():
        place, sampler = arm.split()
        path = population_bias(env, rewards[place], config.teacher_rounds, on_policy=sampler == "refreshed")
        for k, bias in enumerate(path.pop("bias_kl")):
            row = {"arm": arm, "round": k + 1, "num_pairs": float(config.teacher_pairs), "seeds": seeds}
            row |= {"bias_kl": bias} | statistics.quantiles("kl", drawn[:, k]) | statistics.mean("kl", drawn[:, k])
            yield row | statistics.mean("limit_kl", many[:, k]) | {name: values[k] for name, values in path.items()}


def _damped(config: Config, shards: Shards) -> Rows:
    for damping in config.dampings:
        data = shards.get(f"damping {damping:g}", (0, config.damped_seeds), partial(runs.damped, damping, config))
        for k, (kl, deviation) in enumerate(zip(data["kl"].T, data["deviation"], strict=True)):
            row = {"damping": damping, "round": k + 1, "num_pairs": runs.MANY, "seeds": config.damped_seeds}
            row |= {"path_kl": float(data["predicted"][k])} | statistics.quantiles("kl", kl)
            yield row | {"one_plus_distance": 1.0 + deviation, "undetermined": int(data["undetermined"])}


def _learners(config: Config, shards: Shards) -> Rows:
    env, pairs, seeds = runs.stairs(config.start, config.beta), config.learner_pairs, config.learner_seeds
    for name, noise in runs.LEARNERS.items():
        floor = float(on_policy_floor(env, noise)) / pairs
        data = shards.get(name, (0, seeds), partial(runs.learner, name, pairs, config.ridge, seeds, config))
        for k, kl in enumerate([data["start"], *data["kl"].T]):
            row = {"arm": name, "round": k, "num_pairs": float(pairs), "ridge": config.ridge, "seeds": seeds}
            yield row | {"floor_kl": floor} | statistics.quantiles("kl", kl) | statistics.mean("kl", kl)


def _label_floor(config: Config, shards: Shards) -> Rows:
    """The mean of n KL of DPO at many labels, where the remainder is nothing."""
    seeds, floor = config.label_seeds, float(on_policy_floor(runs.stairs(config.start, config.beta), None))
    kl = shards.get("DPO, many labels", (0, seeds), partial(runs.learner, "DPO", runs.MANY, 0.0, seeds, config))["kl"]
    row = {"num_rounds": config.num_rounds, "num_pairs": runs.MANY, "seeds": seeds, "floor": floor}
    # From the third round on the sampler is pi*'s, to 1/sqrt(n).
    yield row | statistics.mean("scaled_kl", runs.MANY * kl[:, 2:].mean(axis=1))


def check(tables: dict[str, Table]) -> list[Check]:
    """Part by part; every tolerance is sampling error, but for the identities, which allow rounding."""
    parts = (_recovery_checks, _floor_checks, _teacher_checks, _damped_checks, _learner_checks)
    return [made for part in parts for made in part(tables)]


def _recovery_checks(tables: dict[str, Table]) -> Iterator[Check]:
    rows, given = tables["recovery"], tables["given_pairs"]
    for sampler in runs.SAMPLERS:
        arm = rows.where(sampler=sampler)
        law, share = arm["probability_exact"], arm["probability"]
        middle = min(int(np.sum(law < 0.5)), len(arm) - 1)  # the first round with probability 1/2
        claim = f"P(theta = theta*) after round {arm['round'][middle]}, sampler {sampler}, exact rank process"
        yield row_checks.at(claim, arm, "probability_exact", "probability", middle)
        claim = f"1 - sup |F_N - F| of the round of recovery, sampler {sampler}"
        yield row_checks.same_law(claim, float(np.abs(share - law).max()), arm["seeds"][0])
    claim = f"P(one batch of {given['num_pairs'][0]:g} pairs has rank d), inclusion-exclusion"
    yield row_checks.at(claim, given, "spanning_exact", "spanning")
    claim = "seed-rounds whose theta is not that of minimum change, or exact without rank d, or not exact with it"
    yield upper(claim, 0.0, rows["unexplained"].max(), why=f"to {runs.EXACT:g}")


def _floor_checks(tables: dict[str, Table]) -> Iterator[Check]:
    words = {
        "offline": "n KL over tau^2 C_tr(pi_0)/(4 beta^2), never refreshed",
        "on-policy": "n KL over tau^2 d/(4 beta^2), on-policy",
        "damped": f"n KL over eta^2 sum (1-eta)^2j of tau^2 d/(4 beta^2), eta = {runs.HALF:g}, on-policy",
        "pooled": "n KL over 1/k of tau^2 d/(4 beta^2), pooled on-policy",
    }
    claim = "||theta_hat - theta*||^2_V* over (tau^2/beta^2) tr(V* (sum zz')^-1), batch by batch"
    rows = {claim: tables["given_pairs"]} | {words[arm]: tables["floors"].where(arm=arm) for arm in words}
    for claim, row in rows.items():
        yield interval(f"{claim}, n = {row['num_pairs'][0]:g}", 1.0, row["ratio"][0], row["ratio_se"][0])
    undetermined = tables["floors"]["undetermined"].sum() + tables["damped"]["undetermined"].sum()
    yield upper(f"batches of {runs.MANY:g} pairs without rank d", 0.0, undetermined)


def _teacher_checks(tables: dict[str, Table]) -> Iterator[Check]:
    for place, bound, word in (("top", lower, "grows"), ("bottom", upper, "shrinks")):
        arms = {sampler: tables["teacher"].where(arm=f"{place} {sampler}") for sampler in runs.SAMPLERS}
        for sampler, arm in arms.items():
            worst = row_checks.worst(arm, "bias_kl", "limit_kl")
            claim = f"KL of a teacher wrong at the {place}, sampler {sampler}, round {arm['round'][worst]} (the worst)"
            yield row_checks.at(claim, arm, "bias_kl", "limit_kl", worst)
            if sampler == "refreshed":
                claim = f"log coverage of the last sampler over the first's, teacher wrong at the {place}: negative"
                yield upper(claim, 0.0, math.log(arm["coverage"][-1] / arm["coverage"][0]), why="exact")
        expected = math.log(arms["refreshed"]["bias_kl"][-1] / arms["never"]["bias_kl"][-1])
        share, error = row_checks.quotient("limit_kl", arms["refreshed"], arms["never"], place=-1)
        claim = f"log of the KL refreshed over never refreshed, teacher wrong at the {place}"
        yield interval(claim, expected, math.log(share), error / share)
        yield bound(f"{claim}: {word}", 0.0, math.log(share), error / share)
    claim = "||theta - theta*||^2_V* over coverage times weighted teacher error, largest"
    yield upper(claim, 1.0, tables["teacher"]["share"].max(), why="exact, population recursion")


def _damped_checks(tables: dict[str, Table]) -> Iterator[Check]:
    rows, why = tables["damped"], "rounding: units of the last place of theta over the length of the error"
    for damping in np.unique(rows["damping"]):
        arm = rows.where(damping=damping)
        claim = f"1 + largest distance of theta_k from the geometric path, relative, damping {damping:g}"
        rounding = distillation_rounds.damped_rounding(damping, arm["round"].max())
        yield identity(claim, 1.0, arm["one_plus_distance"].max(), atol=rounding, why=why)


def _learner_checks(tables: dict[str, Table]) -> Iterator[Check]:
    labels, on_policy = tables["label_floor"], tables["floors"].where(arm="on-policy")
    distilled = tables["learners"].where(arm="distillation")
    price = distilled["floor_kl"][0] * distilled["num_pairs"][0]
    measured, error = row_checks.quotient("scaled_kl", labels, on_policy, other="ratio")
    claim = "floor of on-policy DPO over that of distillation with the labels' own noise, tau^2 = pi^2/3"
    yield interval(claim, labels["floor"][0] / price, measured / price, error / price)


PRESETS = {
    "smoke": Config(recovery_seeds=2048, given_seeds=2048, num_rounds=4, floor_seeds=(512, 512, 512, 512),
        recovery_rounds=3, teacher_rounds=4, teacher_seeds=128, dampings=(0.5,), learner_seeds=128, label_seeds=512),
    "default": Config(),
    "paper": Config(recovery_seeds=225_280, given_seeds=245_760, floor_seeds=(81_920, 30_720, 40_960, 81_920),
        teacher_seeds=5120, damped_seeds=1280, learner_seeds=10_240, label_seeds=61_440),
}  # fmt: skip
EXPERIMENT = Experiment(claim=CLAIM, presets=PRESETS, run=run, check=check, plot=plot, columns=COLUMNS)
