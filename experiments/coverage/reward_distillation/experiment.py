"""Reward distillation: exact recovery at rank d, its noise floor, and a teacher's error times coverage, both ways."""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

import banditlab as bl
from banditlab import distillation_theory, exact_rank
from banditlab.claims import Experiment, Shards, Table, statistics
from experiments.coverage.reward_distillation import checks, figure, runs
from experiments.coverage.reward_distillation.laws import bias_path

CLAIM = (
    "Regressing the margin on reward differences recovers theta* exactly once they have rank d, has the noise floor "
    "tau^2 tr(V* M^-1)/(2 beta^2 n), and inherits a teacher's error weighted by its sampler: refreshing can do harm."
)


@dataclass(frozen=True)
class Config:
    """Pairs a round, rounds and seeds of every part.

    The seeds of the parts that test a constant are so many that eight standard errors are below 5%. Exact recovery is
    the same at every beta: its pairs come from policies, and these depend on theta alone.
    """

    recovery_start: float = -1.0
    recovery_pairs: int = 8
    recovery_rounds: int = 6
    recovery_seeds: int = 22528
    given_pairs: int = 20
    given_seeds: int = 24576
    start: float = -3.0
    beta: float = 2.0
    num_rounds: int = 8
    floor_seeds: tuple[int, ...] = (8192, 3072, 4096, 8192)  # of the arms FLOORS
    ramp: tuple[float, float] = (0.5, -1.0)  # theta*, theta_0
    ramp_beta: float = 1.0
    teacher_pairs: int = 10_000
    teacher_rounds: int = 6
    teacher_seeds: int = 512
    dampings: tuple[float, ...] = (0.25, 0.5, 0.75)
    damped_seeds: int = 128
    learner_pairs: int = 5000
    learner_seeds: int = 1024
    label_seeds: int = 6144
    ridge: float = 1.0
    seed: int = 0


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """A part per statement, each by arm and round where it has these."""
    shards.expect(5 + len(config.dampings) + len(runs.LEARNERS))
    parts = {
        "recovery": _recovery(config, shards),
        "given_pairs": _given_pairs(config, shards),
        "floors": _floors(config, shards),
        "teacher": _teachers(config, shards),
        "damped": _damped(config, shards),
        **_learners(config, shards),
    }
    return {part: Table.from_rows(rows) for part, rows in parts.items()}


Rows = list[dict[str, str | int | float]]


def _recovery(config: Config, shards: Shards) -> Rows:
    seeds = config.recovery_seeds
    data, rows = shards.get("recovery", (0, seeds), partial(runs.recovery, config)), []
    for place, sampler in enumerate(runs.SAMPLERS):
        for k, (share, law) in enumerate(zip(data["recovered"][place], data["predicted"][place], strict=True)):
            row = {"sampler": sampler, "round": k + 1, "num_pairs": float(config.recovery_pairs), "seeds": seeds}
            row |= {"probability_exact": float(law), "probability": share}
            row |= {"probability_se": math.sqrt(law * max(1 - law, 0.0) / seeds)}
            rows.append(row | {"unexplained": int(data["unexplained"][place])})
    return rows


def _given_pairs(config: Config, shards: Shards) -> Rows:
    seeds = config.given_seeds
    ratio = shards.get("given the pairs", (0, seeds), partial(runs.given_the_pairs, config))["ratio"]
    # Whether a batch spans depends on its pairs alone, so that leaving the others out changes no conditional mean.
    law = exact_rank.spanning_probability(np.full((5, 5), 1 / 25), config.given_pairs)
    row = {"num_pairs": float(config.given_pairs), "seeds": seeds, "spanning_exact": float(law)}
    row |= {"spanning": len(ratio) / seeds, "spanning_se": math.sqrt(law * (1 - law) / seeds)}
    return [row | statistics.mean("ratio", ratio)]


def _floors(config: Config, shards: Shards) -> Rows:
    data, rows = shards.get("floor", (0, max(config.floor_seeds)), partial(runs.floors, config)), []
    for arm, seeds in zip(runs.FLOORS, config.floor_seeds, strict=True):
        row = {"arm": arm, "num_rounds": config.num_rounds, "num_pairs": runs.MANY, "seeds": seeds}
        rows.append(row | statistics.mean("ratio", data[arm]) | {"undetermined": int(data[f"undetermined {arm}"])})
    return rows


def _teachers(config: Config, shards: Shards) -> Rows:
    env = runs.ramp(*config.ramp, config.ramp_beta)
    rewards = {name: runs.teacher_wrong_at(env, *wrong) for name, wrong in runs.WRONG.items()}
    rounds, seeds = config.teacher_rounds, config.teacher_seeds
    data, rows = shards.get("teacher", (0, seeds), partial(runs.teachers, env, rewards, config)), []
    for name, teacher in rewards.items():
        for sampler in runs.SAMPLERS:
            arm = f"{name} {sampler}"
            path = bias_path(env, teacher, rounds, refreshed=sampler == "refreshed")
            drawn, many = data[arm]
            for k in range(rounds):
                row = {"arm": arm, "round": k + 1, "num_pairs": float(config.teacher_pairs), "seeds": seeds}
                row |= {"bias_kl": float(path["kl"][k])} | statistics.quantiles("kl", drawn[:, k])
                row |= statistics.mean("limit_kl", many[:, k])
                rows.append(row | {column: float(path[column][k]) for column in ("coverage", "error", "share")})
    return rows


def _damped(config: Config, shards: Shards) -> Rows:
    rows, seeds = [], config.damped_seeds
    for damping in config.dampings:
        data = shards.get(f"damping {damping:g}", (0, seeds), partial(runs.damped, damping, config))
        for k, (kl, deviation) in enumerate(zip(data["kl"].T, data["deviation"], strict=True)):
            row = {"damping": damping, "round": k + 1, "num_pairs": runs.MANY, "seeds": seeds}
            row |= {"path_kl": float(data["predicted"][k])} | statistics.quantiles("kl", kl)
            rows.append(row | {"one_plus_distance": 1.0 + deviation, "undetermined": int(data["undetermined"])})
    return rows


def _learners(config: Config, shards: Shards) -> dict[str, Rows]:
    """learners by round; label_floor: the mean of n KL of DPO at many labels, where the remainder is nothing."""
    env = runs.far_stairs(config)
    on_policy = bl.samplers.on_policy(env, env.log_target)
    floor = {
        "DPO": float(bl.theory.predicted_kl(env, on_policy, 1.0)),
        "distillation": float(distillation_theory.predicted_kl(env, on_policy, 1.0, runs.LABEL_NOISE)),
        "noiseless": 0.0,
    }

    def measured(arm: str, name: str, num_pairs: float, ridge: float, seeds: int) -> dict[str, np.ndarray]:
        return shards.get(arm, (0, seeds), partial(runs.learner, name, num_pairs, ridge, seeds, config))

    rows, pairs, seeds = [], config.learner_pairs, config.learner_seeds
    for name in runs.LEARNERS:
        data = measured(name, name, pairs, config.ridge, seeds)
        for k, kl in enumerate([data["start"], *data["kl"].T]):
            row = {"arm": name, "round": k, "num_pairs": float(pairs), "ridge": config.ridge, "seeds": seeds}
            rows.append(row | {"floor_kl": floor[name] / pairs} | statistics.quantiles("kl", kl))
    kl = measured("DPO, many labels", "DPO", runs.MANY, 0.0, config.label_seeds)["kl"]
    row = {"num_rounds": config.num_rounds, "num_pairs": runs.MANY, "seeds": config.label_seeds, "floor": floor["DPO"]}
    # From the third round on the sampler is pi*'s, to 1/sqrt(n).
    row |= statistics.mean("scaled_kl", runs.MANY * kl[:, 2:].mean(axis=1))
    return {"learners": rows, "label_floor": [row]}


EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(
            recovery_seeds=2048, given_seeds=2048, num_rounds=4, floor_seeds=(512, 512, 512, 512), recovery_rounds=3,
            teacher_rounds=4, teacher_seeds=128, dampings=(0.5,), learner_seeds=128, label_seeds=512,
        ),
        "default": Config(),
        "paper": Config(
            recovery_seeds=225_280, given_seeds=245_760, floor_seeds=(81_920, 30_720, 40_960, 81_920),
            teacher_seeds=5120, damped_seeds=1280, learner_seeds=10_240, label_seeds=61_440,
        ),
    },
    run=run,
    check=checks.check,
    plot=figure.plot,
    columns={
        "*": {
            "num_rounds": "rounds of every seed [rounds]",
            "undetermined": "batches of all seeds and rounds without rank d, d the number of features [batches]",
        },
        "recovery": {
            "sampler": "whose pairs are shown: the current policy's where refreshed, else those of pi_0",
            "probability_exact": "exact probability of theta = theta*, from the law of the rank of the pairs so far",
            "probability": "share of seeds with theta = theta*",
            "unexplained": "seeds times rounds of the sampler where theta contradicts the law of the rank",
        },
        "given_pairs": {
            "spanning_exact": "exact probability that one batch has rank d, d the number of features",
            "spanning": "share of seeds whose batch has rank d",
            "ratio": "||theta - theta*||^2_V* over (tau^2/beta^2) tr(V* (sum zz')^-1), V* the covariance at pi*, tau "
            "the teacher's noise, z the feature differences shown; mean over the seeds with rank d",
        },
        "floors": {
            "arm": "where the pairs come from, and which pairs are fitted",
            "ratio": "KL(pi*||pi) over the noise floor of the arm's round, mean over rounds and seeds",
        },
        "teacher": {
            "arm": "action that the teacher is wrong about, and whether the sampler is refreshed",
            "bias_kl": "KL(pi*||pi) of the recursion with infinitely many pairs [nats]",
            "limit_kl": "KL(pi*||pi) at 1e12 pairs a round, mean over seeds [nats]",
            "coverage": "largest v'V*v over v'Vv, V* the covariance at pi*, V at the policy of the round's pairs",
            "error": "variance of the teacher's error under that policy, over beta^2",
            "share": "||theta - theta*||^2_V* over coverage times error, at most 1",
        },
        "damped": {
            "damping": "eta, the share of the way to the fit that a round goes",
            "path_kl": "KL(pi*||pi) at theta* + (1-eta)^k (theta_0 - theta*) after k rounds [nats]",
            "one_plus_distance": "1 + a rounding-level residual, the largest distance of theta from that path over the "
            "path's from theta*",
        },
        "learners": {
            "arm": "what is fitted: labels by DPO, reward differences with the labels' noise, without noise",
            "floor_kl": "KL(pi*||pi) predicted for late rounds of num_pairs = n: C_F/(2n) for labels, C_F their price "
            "at pi*; tau^2 d/(4 beta^2 n) for rewards, tau their noise, d the number of features [nats]",
            "ridge": "weight of the ridge of DPO beside the sum of losses; distillation has none",
        },
        "label_floor": {
            "floor": "half the label price at pi*, limit of scaled_kl [labels x nats]",
            "scaled_kl": "labels of a round times KL(pi*||pi) of DPO, mean over rounds and seeds [labels x nats]",
        },
    },
)  # fmt: skip
