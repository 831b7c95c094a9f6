"""Reward distillation: exact recovery at rank d, its noise floor, and a teacher's error times coverage, both ways."""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

import banditlab as bl
from banditlab import distillation_theory, exact_rank
from banditlab.claims import statistics
from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
from experiments.coverage.reward_distillation import checks, figure, runs
from experiments.coverage.reward_distillation.laws import bias_path

CLAIM = (
    "Regressing the margin on reward differences recovers theta* exactly once they have rank d, has the noise floor "
    "tau^2 tr(V* M^-1)/(2 beta^2 n), and inherits a teacher's error weighted by its sampler: refreshing can do harm."
)


@dataclass(frozen=True)
class Config:
    """Pairs a round, rounds and seeds of every part.

    The seeds of the parts that test a constant are so many that eight standard errors are below 5%.
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


def run(config: Config, shards: Shards) -> Table:
    """One row per part, arm and round; what a part does not measure is zero."""
    shards.expect(5 + len(config.dampings) + len(runs.LEARNERS))
    parts = (_recovery, _floors, _teachers, _damped, _learners)
    rows, failures = [], {}
    for part in parts:
        found, failed = part(config, shards)
        rows += found
        failures |= failed
    return Table.from_rows(rows, meta={"failures": failures})


def _row(part: str, arm: str, k: int, num_pairs: float, seeds: int, predicted: float, **columns: float):
    nothing = {name: 0.0 for level in ("kl_low", "kl_median", "kl_high", "value") for name in (level, f"{level}_se")}
    nothing |= {"coverage": 0.0, "error": 0.0, "share": 0.0, "damping": 0.0, "unexplained": 0}
    setting = {"part": part, "arm": arm, "round": k, "num_pairs": float(num_pairs), "seeds": seeds}
    return setting | {"predicted": float(predicted)} | nothing | columns


def _recovery(config: Config, shards: Shards):
    env = runs.stairs([config.recovery_start] * 4, 1.0)
    seeds = config.recovery_seeds
    compute = partial(runs.recovery, env, config.recovery_pairs, config.recovery_rounds, seeds, config.seed)
    data = shards.get(runs.RECOVERY, (0, seeds), compute)
    rows = []
    for arm, shares, laws, unexplained in zip(
        runs.SAMPLERS, data["recovered"], data["predicted"], data["unexplained"], strict=True
    ):
        for k, (share, law) in enumerate(zip(shares, laws, strict=True)):
            columns = {"value": share, "value_se": math.sqrt(law * max(1 - law, 0.0) / seeds)}
            columns["unexplained"] = int(unexplained)
            rows.append(_row(runs.RECOVERY, arm, k + 1, config.recovery_pairs, seeds, law, **columns))
    return rows, {}


def _floors(config: Config, shards: Shards):
    seeds = config.given_seeds
    env = runs.stairs([0.0] * 4, config.beta)
    compute = partial(runs.given_the_pairs, env, config.given_pairs, runs.LABEL_NOISE, seeds, config.seed)
    data = shards.get(runs.GIVEN, (0, seeds), compute)
    setting = (runs.GIVEN, 1, config.given_pairs)
    rows = [_row(runs.FLOOR, *setting, seeds, 1.0, **statistics.mean("value", data["ratio"]))]
    # Whether a batch spans depends on its pairs alone, so that leaving the others out changes no conditional mean.
    law = exact_rank.spanning_probability(np.full((5, 5), 1 / 25), config.given_pairs)
    columns = {"value": len(data["ratio"]) / seeds, "value_se": math.sqrt(law * (1 - law) / seeds)}
    rows.append(_row(runs.RECOVERY, *setting, seeds, law, **columns))
    failures = {f"{runs.GIVEN}-undetermined": int(data["undetermined"])}
    far, near = runs.stairs([config.start] * 4, config.beta), runs.stairs(runs.STEPS, config.beta)
    counts = dict(zip(runs.FLOORS, config.floor_seeds, strict=True))
    compute = partial(runs.floors, far, near, runs.MANY, config.num_rounds, counts, config.seed)
    data = shards.get(runs.FLOOR, (0, max(config.floor_seeds)), compute)
    for arm in runs.FLOORS:
        columns = statistics.mean("value", data[arm]) | {"unexplained": int(data[f"undetermined {arm}"])}
        rows.append(_row(runs.FLOOR, arm, config.num_rounds, runs.MANY, len(data[arm]), 1.0, **columns))
    return rows, failures


def _teachers(config: Config, shards: Shards):
    env = runs.ramp(*config.ramp)
    rewards = {name: runs.teacher_wrong_at(env, *wrong) for name, wrong in runs.WRONG.items()}
    pairs, rounds, seeds = (config.teacher_pairs, runs.MANY), config.teacher_rounds, config.teacher_seeds
    data = shards.get(runs.TEACHER, (0, seeds), partial(runs.teachers, env, rewards, pairs, rounds, seeds, config.seed))
    rows = []
    for name, teacher in rewards.items():
        for sampler in runs.SAMPLERS:
            arm = f"{name} {sampler}"
            path = bias_path(env, teacher, rounds, refreshed=sampler == "refreshed")
            drawn, many = data[arm]
            for k in range(rounds):
                columns = statistics.quantiles("kl", drawn[:, k]) | statistics.mean("value", many[:, k])
                columns |= {column: float(path[column][k]) for column in ("coverage", "error", "share")}
                rows.append(_row(runs.TEACHER, arm, k + 1, config.teacher_pairs, seeds, path["kl"][k], **columns))
    return rows, {}


def _damped(config: Config, shards: Shards):
    env = runs.stairs([config.start] * 4, config.beta)
    rows, seeds = [], config.damped_seeds
    for damping in config.dampings:
        arm = f"damping {damping:g}"
        compute = partial(runs.damped, env, damping, runs.MANY, config.num_rounds, seeds, config.seed)
        data = shards.get(arm, (0, seeds), compute)
        for k, (kl, deviation) in enumerate(zip(data["kl"].T, data["deviation"], strict=True)):
            columns = statistics.quantiles("kl", kl) | {"value": 1.0 + deviation, "damping": damping}
            columns["unexplained"] = int(data["undetermined"])
            rows.append(_row(runs.DAMPED, arm, k + 1, runs.MANY, seeds, data["predicted"][k], **columns))
    return rows, {}


def _learners(config: Config, shards: Shards):
    env = runs.stairs([config.start] * 4, config.beta)
    on_policy = bl.samplers.on_policy(env, env.log_target)
    floor = {
        "DPO": float(bl.theory.predicted_kl(env, on_policy, 1.0)),
        "distillation": float(distillation_theory.predicted_kl(env, on_policy, 1.0, runs.LABEL_NOISE)),
        "noiseless": 0.0,
    }
    rows, failures = [], {}
    for name in runs.LEARNERS:
        seeds = config.learner_seeds
        compute = partial(
            runs.learner, name, env, config.learner_pairs, config.ridge, config.num_rounds, seeds, config.seed
        )
        data = shards.get(name, (0, seeds), compute)
        failures |= {f"{name}-{case[7:]}": int(n) for case, n in data.items() if case.startswith("failed_")}
        for k, kl in enumerate([data["start"], *data["kl"].T]):
            predicted = floor[name] / config.learner_pairs
            rows.append(
                _row(runs.LEARNER, name, k, config.learner_pairs, seeds, predicted, **statistics.quantiles("kl", kl))
            )
    seeds = config.label_seeds
    compute = partial(runs.learner, "DPO", env, runs.MANY, 0.0, config.num_rounds, seeds, config.seed)
    data = shards.get(runs.LABELS, (0, seeds), compute)
    failures |= {f"{runs.LABELS}-{case[7:]}": int(n) for case, n in data.items() if case.startswith("failed_")}
    # From the third round on the sampler is pi*'s, to 1/sqrt(n).
    columns = statistics.mean("value", runs.MANY * data["kl"][:, 2:].mean(axis=1))
    rows.append(_row(runs.LEARNER, runs.LABELS, config.num_rounds, runs.MANY, seeds, floor["DPO"], **columns))
    return rows, failures


EXPERIMENT = Experiment(
    name="reward_distillation",
    claim=CLAIM,
    family="coverage",
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
)  # fmt: skip
