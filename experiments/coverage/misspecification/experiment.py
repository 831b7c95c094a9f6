"""Labels that no reward in the class explains: where each sampler ends, and what is left of the theory."""

from dataclasses import dataclass
from functools import partial

import numpy as np

import banditlab as bl
from banditlab.claims import statistics
from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
from experiments.coverage.misspecification import checks, figure, pseudo_true, runs
from experiments.coverage.misspecification.runs import NOISES, SAMPLERS

CLAIM = (
    "A wrong temperature moves every sampler to the same, computable policy; label flips and intransitive noise move "
    "each sampler to its own pseudo-true policy, with the sandwich in place of C_F as its constant."
)


@dataclass(frozen=True)
class Config:
    """A staircase, and how strong each kind of noise is; so many labels that only the bias is left."""

    num_stairs: int = 4
    step: float = 0.5
    start: float = 1.0
    flips: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2, 0.3)
    temperature: tuple[float, ...] = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)
    cycles: tuple[float, ...] = (0.1, 0.25, 0.5, 1.0, 2.0)
    num_pairs: float = 1e10
    num_rounds: int = 8
    num_seeds: int = 256
    sandwich_seeds: int = 32768


def run(config: Config, shards: Shards) -> Table:
    env = bl.instances.staircase(config.num_stairs, config.step, config.start)
    shards.expect(len(NOISES) + 1)
    rows, failures = [], {}
    for noise in NOISES:
        strengths = getattr(config, noise)
        tables = [runs.win_probs(env, noise, strength) for strength in strengths]
        data = shards.get(noise, (0, config.num_seeds), partial(runs.ends, env, tables, config, config.num_seeds))
        failures |= {f"{noise}-{k[7:]}": int(v) for k, v in data.items() if k.startswith("failed_")}
        for i, (strength, table) in enumerate(zip(strengths, tables, strict=True)):
            for j, sampler in enumerate(SAMPLERS):
                truth = pseudo_true.after_rounds(env, table, sampler, config.num_rounds)
                row = {"noise": noise, "strength": strength, "sampler": sampler, "seeds": config.num_seeds}
                row |= {"num_pairs": config.num_pairs, "predicted": pseudo_true.kl_target(env, truth)}
                row |= {"remainder": float(_price(env)) / config.num_pairs, "sandwich": np.inf, "spread": np.inf}
                rows.append(row | {"spread_se": np.inf} | statistics.mean("kl", data["kl"][i, j]))
    for row in rows:
        if row["noise"] == "flips" and row["strength"] == config.flips[-1] and row["sampler"] == "offline":
            row |= runs.sandwich(env, config, shards)
    return Table.from_rows(rows, meta={"failures": failures})


def _price(env: bl.Environment):
    return bl.theory.label_price(env, bl.samplers.initial(env, env.log_initial))


EXPERIMENT = Experiment(
    name="misspecification",
    claim=CLAIM,
    family="coverage",
    presets={
        "smoke": Config(
            num_stairs=2,
            num_rounds=3,
            flips=(0.2,),
            temperature=(1.0,),
            cycles=(0.5,),
            num_seeds=32,
            sandwich_seeds=256,
        ),
        "default": Config(),
        "paper": Config(num_seeds=2560, sandwich_seeds=327680),
    },
    run=run,
    check=checks.check,
    plot=figure.plot,
)
