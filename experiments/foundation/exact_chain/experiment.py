"""The simulator against exact summation: the K-round law of DPO on the two-action chain."""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

import banditlab as bl
from banditlab.claims import Check, Experiment, Shards, Table, interval, upper
from banditlab.store import failures
from experiments.foundation.exact_chain.figure import arms_of, plot
from experiments.foundation.exact_chain.laws import LATTICE_TOLERANCE, compared, exact_laws

CLAIM = (
    "On the two-action chain the simulated law of theta after every round is the one obtained by exact summation: "
    "its mean KL, its mass at the norm cap, its distribution function."
)


@dataclass(frozen=True)
class Config:
    """The chain, the norm cap R, and the arms (sampler, labels per round, seeds).

    The seeds are so many that eight standard errors, by exact summation too, are at most 5% of the mean KL and of
    the mass at the cap in the worst round.
    """

    target: float = 2.0
    start: float = -3.0
    max_norm: float = 3.0
    betas: tuple[float, ...] = (0.5, 1.0)
    num_rounds: int = 5
    arms: tuple[tuple[str, int, int], ...] = (
        ("on_policy", 40, 256_000), ("on_policy", 120, 163_840), ("offline", 60, 212_992)
    )  # fmt: skip
    seed: int = 0


ALGORITHMS = {"on_policy": bl.algorithms.on_policy_dpo, "offline": bl.algorithms.offline_dpo}
_FALSE_ALARM = 1e-4
_WRONG = 1.05  # a theta* wrong by so much says what the distance of the distribution functions can tell


def run(config: Config, shards: Shards) -> Table:
    """One row per arm, beta and round, with the exact law beside the simulated one."""
    shards.expect(len(config.arms))
    rows = []
    for sampler, num_pairs, num_seeds in config.arms:
        compute = partial(_simulate, config, sampler, num_pairs, num_seeds)
        data = shards.get(f"{sampler} n={num_pairs}", (0, num_seeds), compute)
        for beta, params in zip(config.betas, data["params"], strict=True):
            chain = {"target": config.target, "beta": beta, "max_norm": config.max_norm, "initial": config.start}
            laws = exact_laws(sampler, num_pairs, config.num_rounds, **chain)
            wrong = exact_laws(sampler, num_pairs, config.num_rounds, **chain | {"target": _WRONG * config.target})
            for k, (law, other) in enumerate(zip(laws, wrong, strict=True)):
                row = {"arm": sampler, "num_pairs": num_pairs, "round": k + 1} | chain
                values = compared(params[:, k], law, other, target=config.target, max_norm=config.max_norm)
                rows.append(row | values)
    return Table.from_rows(rows)


def _simulate(config: Config, sampler: str, num_pairs: int, num_seeds: int) -> dict[str, np.ndarray]:
    envs = [bl.instances.chain(config.target, config.start, beta) for beta in config.betas]
    algorithm = ALGORITHMS[sampler](num_pairs, max_norm=config.max_norm)
    setting = {"num_rounds": config.num_rounds, "num_seeds": num_seeds, "seed": config.seed, "metrics": ()}
    done = bl.simulate_grid([algorithm], envs, **setting)
    return {"params": done.params[..., 0]} | failures(done.failures)


def check(table: Table) -> list[Check]:
    """Per arm and beta, in the worst round: mean KL, mass at the cap, distribution function."""
    checks = []
    for arm, num_pairs, beta in arms_of(table, "beta"):
        rows = table.where(arm=arm, num_pairs=num_pairs, beta=beta)
        words = f"{arm}, n = {num_pairs}, beta = {beta:g}"
        for name, claim in (("kl", "mean KL"), ("absorbed", "mass at the norm cap")):
            # The variance is known exactly; a sample of few absorbed runs would misjudge its own.
            error = rows[f"{name}_deviation"] / np.sqrt(rows["seeds"])
            worst = int(np.argmax(np.abs(rows[name] - rows[f"{name}_exact"]) / error))
            where = f"{words}, round {rows['round'][worst]} (the worst of {len(rows)})"
            checks.append(interval(f"{claim}, {where}", rows[f"{name}_exact"][worst], rows[name][worst], error[worst]))
        # Dvoretzky-Kiefer-Wolfowitz-Massart: P(sup |F_N - F| > e) <= 2 exp(-2 N e^2), whatever the law.
        bound = math.sqrt(math.log(2 / _FALSE_ALARM) / (2 * rows["seeds"][0]))
        wrong = 1 - rows["wrong_distance"].max()
        told = f"theta* wrong by {_WRONG - 1:.0%} would give {wrong:.4f}"
        why = f"exceeded with probability {_FALSE_ALARM:g} at most; {told}"
        claim = f"1 - sup |F_N - F|, {words}, smallest of {len(rows)} rounds"
        checks.append(interval(claim, 1.0, 1 - rows["distance"].max(), 0.0, allowance=bound, why=why))
    claim = "simulated values of theta that the exact law does not allow"
    return [*checks, upper(claim, 0.0, table["num_off_lattice"].sum(), why=f"to {LATTICE_TOLERANCE:g}")]


EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(num_rounds=2, arms=(("on_policy", 40, 32_768),)),
        "default": Config(),
        "paper": Config(arms=(("on_policy", 40, 2_560_000), ("on_policy", 120, 1_638_400), ("offline", 60, 2_129_920))),
    },
    run=run,
    check=check,
    plot=plot,
    columns={
        "target": "theta* of the chain",
        "max_norm": "R, the cap of |theta|",
        "initial": "theta_0 of the chain, whose policy draws the first pairs",
        "kl_exact": "mean of KL(pi*||pi) under the exact law [nats]",
        "kl_deviation": "standard deviation of KL(pi*||pi) under the exact law [nats]",
        "absorbed": "share of the runs at the cap",
        "absorbed_exact": "mass at the cap under the exact law",
        "absorbed_deviation": "standard deviation of being at the cap under the exact law",
        "exact_low": "10% quantile of KL(pi*||pi) under the exact law [nats]",
        "exact_median": "median of KL(pi*||pi) under the exact law [nats]",
        "exact_high": "90% quantile of KL(pi*||pi) under the exact law [nats]",
        "distance": "Kolmogorov distance sup |F_N - F| of the simulated theta to the exact law",
        "wrong_distance": f"the same distance to the exact law of {_WRONG:g} theta*",
        "num_off_lattice": "simulated theta that are no value of the exact law beyond rounding [runs]",
    },
)
