"""On-policy DPO over batch size and initial coverage: where it reaches the floor, and where the theory says it must."""

from dataclasses import dataclass
from functools import partial

import banditlab as bl
from banditlab.claims import Experiment, Shards, Table
from banditlab.theory import guarantees
from experiments.coverage.phase_diagram import checks, figure, runs

CLAIM = (
    "On-policy DPO on fresh batches has a batch threshold that grows with the initial coverage; above Proposition 4's, "
    "written with all its constants, it succeeds at least as often as guaranteed."
)
SMALL = (1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0)
LARGE = (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 6.0, 8.0, 9.0, 10.0, 12.0)


@dataclass(frozen=True)
class Sweep:
    """Initial coverages (see `runs.INSTANCES`) and log10 of the batch sizes of one instance."""

    dials: tuple[float, ...]
    decades: tuple[float, ...] = LARGE


@dataclass(frozen=True)
class Config:
    """Batch sizes and initial coverages of each instance; the regularised arms are on the chain alone.

    factor: a run has succeeded when its last KL is within this factor of the floor C_F(pi*)/(2n).
    instances: the chain is always among them. few_dials: the initial coverages of the regularised arms.
    largest_exact: the largest batch of the chain whose law is summed; not below its smallest.
    """

    num_rounds: int = 8
    num_seeds: int = 1024
    beta: float = 1.0
    factor: float = 20.0
    ridge: float = 1.0
    max_norm: float = 12.0
    instances: tuple[str, ...] = ("chain", "needle", "staircase")
    regularisers: tuple[str, ...] = ("ridge_previous", "ridge_reference", "cap")
    chain: Sweep = Sweep((0.0, 1.0, 2.0, 3.0, 4.0, 5.0), SMALL)
    needle: Sweep = Sweep((0.5, 1.0, 1.5, 2.0, 2.5, 3.0))
    staircase: Sweep = Sweep((0.0, 0.6, 1.2, 1.8, 2.4, 3.0))
    few_dials: tuple[float, ...] = (0.0, 2.0, 4.0)
    largest_exact: int = 100


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """A row per cell; per initial policy; per cell without regulariser; per cell whose law is summed."""
    arms = [(instance, "none") for instance in config.instances] + [("chain", name) for name in config.regularisers]
    shards.expect(len(arms) + len({("chain", name) for name in runs.SUMMED} & set(arms)))
    rows = {"cells": [], "starts": [], "guarantees": [], "exact": []}
    for instance, regulariser in arms:
        sweep: Sweep = getattr(config, instance)
        dials = sweep.dials if regulariser == "none" else config.few_dials
        envs = [runs.INSTANCES[instance](dial, config.beta) for dial in dials]
        batches = [float(round(10**decade)) for decade in sweep.decades]
        summed = [int(n) for n in batches if n <= config.largest_exact]
        compute = partial(runs.simulate, config, envs, batches, regulariser)
        data = shards.get(f"{instance}-{regulariser}", (0, config.num_seeds), compute)
        exact = {}
        if instance == "chain" and regulariser in runs.SUMMED:
            compute = partial(runs.exact, config, dials, summed, regulariser)
            exact = shards.get(f"exact-{regulariser}", (0, 1), compute)
        options = runs.options(config, regulariser)
        for i, (dial, env) in enumerate(zip(dials, envs, strict=True)):
            if regulariser == "none":
                rows["starts"].append({"instance": instance, "dial": dial} | _thresholds(env))
            for j, n in enumerate(batches):
                place = {"instance": instance, "regulariser": regulariser, "dial": dial, "num_pairs": n}
                found = {name: values[i, j] for name, values in data.items()}
                setting = {"ridge": options["ridge"], "max_norm": options["max_norm"], "seeds": config.num_seeds}
                setting |= {"rounds": config.num_rounds, "trivial": _trivial(env, n, config.factor)}
                rows["cells"].append(place | setting | {name: found[name] for name in runs.COLUMNS})
                if regulariser == "none":
                    chance = guarantees.success_probability(env, n, config.num_rounds, config.factor)
                    row = {"instance": instance, "dial": dial, "num_pairs": n, "factor": config.factor}
                    row |= {"guarantee": chance, "success": found["success"], "success_se": found["success_se"]}
                    rows["guarantees"].append(row)
                if exact and j < len(summed):
                    row = {"regulariser": regulariser, "dial": dial, "num_pairs": n, "seeds": config.num_seeds}
                    for name in ("success", "absorbed"):
                        row |= {name: found[name], f"exact_{name}": exact[name][i, j]}
                    rows["exact"].append(row)
    return {part: Table.from_rows(listed) for part, listed in rows.items() if listed}


def _thresholds(env: bl.Environment) -> dict[str, float]:
    start = bl.samplers.initial(env, env.log_initial)
    return {
        "threshold": float(bl.theory.batch_threshold(env, guarantees.initial_distance(env))),
        "price": float(bl.theory.label_price(env, start)),
        "coverage": float(bl.coverage.operator(env, env.log_initial)),
        "leverage": float(bl.theory.leverage(env, start)),
    }


def _trivial(env: bl.Environment, num_pairs: float, factor: float) -> bool:
    """Whether pi_0 itself counts as a success at so few labels."""
    return float(bl.metrics.kl_target(env, env.log_initial)) <= factor * runs.floor(env) / num_pairs


EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(
            num_seeds=128, num_rounds=6, instances=("chain",), regularisers=("cap",),
            chain=Sweep((0.0, 4.0), (1.0, 1.5, 3.0, 6.0)), few_dials=(0.0, 4.0),
        ),
        "default": Config(),
        "paper": Config(num_seeds=10240),
    },
    run=run,
    check=checks.check,
    plot=figure.plot,
    columns={
        "*": {
            "instance": "environment, by the name of its factory",
            "regulariser": "what holds the fit back: none, a ridge at the last iterate, one at the reference, a cap",
            "dial": "initial coverage: -theta_0 of the chain, -log10 of the needles' mass, start of the staircase",
            "success": "share of runs that end within the configuration's factor times C_F(pi*)/(2n), the floor",
            "absorbed": "share of runs whose last policy expects less than one informative pair in its next batch",
        },
        "cells": {
            "max_norm": "cap on the norm of theta; inf for none",
            "rounds": "rounds of the run [rounds]",
            "trivial": "1 where pi_0 itself is within factor times the floor, 0 elsewhere",
            "certified": "share of runs whose first batch has an optimum by Proposition 3",
            "certified_success": "share of runs that are certified and succeed",
            "sure": "share of runs whose every batch has an optimum by Proposition 3",
            "sure_success": "share of runs that are sure and succeed",
            "rate": "log(KL_k/KL_0)/k, k the round of arrival at twice the floor, else the last; mean over runs",
        },
        "starts": {
            "threshold": "batch threshold of Proposition 4's recursion at pi_0 [labels]",
            "price": "C_F(pi_0), label price of pairs from pi_0 [labels x nats]",
            "coverage": "C_op(pi_0), operator coverage of pi_0",
            "leverage": "G(pi_0), largest leverage of a pair under pairs from pi_0",
        },
        "guarantees": {
            "factor": "multiple of the floor C_F(pi*)/(2 num_pairs) within which a run must end",
            "guarantee": "Proposition 4's lower bound on the probability of success; 0 where it says nothing",
        },
        "exact": {
            "exact_success": "probability of success, by summation over the chain's law",
            "exact_absorbed": "probability of absorption, by summation over the chain's law",
        },
    },
)  # fmt: skip
