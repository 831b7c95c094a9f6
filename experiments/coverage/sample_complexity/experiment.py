"""Total labels to reach KL <= eps, against initial coverage and eps: multiplicative offline, additive on-policy."""

from dataclasses import dataclass
from functools import partial

import jax
import numpy as np

import banditlab as bl
from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
from experiments.coverage.sample_complexity import checks, figure, laws, runs

CLAIM = (
    "The labels needed for KL <= eps grow with slope 1 in the log of the initial label price offline and with slope 0 "
    "on-policy and for both hybrids once eps is small, with no free constant."
)
FLAT = ("on_policy", "on_policy_pooled", "hybrid_paired", "hybrid_mixture", "design_one_round")


@dataclass(frozen=True)
class Config:
    """Staircases from theta_0 = -start, and the KL that the median run must reach.

    The least target is far below 1/C_F(pi_0): pooled data then leave the early rounds behind, as the limit says.
    """

    num_stairs: int = 4
    step: float = 0.5
    starts: tuple[float, ...] = (0.5, 1.5, 2.5, 3.5)
    targets: tuple[float, ...] = (1e-2, 1e-4, 1e-6, 1e-9)
    arms: tuple[str, ...] = tuple(runs.ARMS)
    ridge: float = 1.0
    num_seeds: int = 256
    num_steps: int = 8
    final_seeds: int = 1024
    finest_seeds: int = 24576


def run(config: Config, shards: Shards) -> Table:
    envs = [bl.instances.staircase(config.num_stairs, config.step, start) for start in config.starts]
    design = jax.jit(bl.designs.joint)(envs[0])  # the features are those of every start
    groups = {config.final_seeds: config.targets[:-1], config.finest_seeds: config.targets[-1:]}
    shards.expect(len(config.arms) * len(envs) * len(groups))
    rows, failures = [], {}
    for arm in config.arms:
        for place, (start, env) in enumerate(zip(config.starts, envs, strict=True)):
            limit = laws.limit(arm, env, design)
            for seeds, targets in groups.items():
                predicted = limit / np.asarray(targets)
                # Its own seed for every start: the checks average over starts that must be independent.
                compute = partial(
                    runs.search, arm, env, np.asarray(targets), predicted,
                    design=design, ridge=config.ridge, seed=2 * place,
                    num_seeds=config.num_seeds, num_steps=config.num_steps, final_seeds=seeds,
                )  # fmt: skip
                data = shards.get(f"{arm}-{start}-{targets[-1]}", (0, seeds), compute)
                found = {k[7:]: int(v) for k, v in data.items() if k.startswith("failed_")}
                failures |= {f"{arm}-{start}-{targets[-1]}-{k}": v for k, v in found.items()}
                for i, target in enumerate(targets):
                    row = {"arm": arm, "rounds": runs.ARMS[arm][1], "start": start, "target": target}
                    row |= {"seeds": seeds, "ridge": config.ridge, "price": _start_price(env)}
                    row |= {"remainder": 4 * float(bl.theory.target_leverage(env)) * target}
                    row |= {"predicted": predicted[i]}
                    rows.append(row | {name: data[name][i] for name in ("labels", "labels_se", "reached")})
    return Table.from_rows(rows, meta={"failures": failures})


def _start_price(env: bl.Environment) -> float:
    return float(bl.theory.label_price(env, bl.samplers.initial(env, env.log_initial)))


EXPERIMENT = Experiment(
    name="sample_complexity",
    claim=CLAIM,
    family="coverage",
    presets={
        "smoke": Config(
            num_stairs=2,
            starts=(0.5, 2.0),
            targets=(1e-2, 1e-9),
            arms=("offline", "on_policy"),
            num_seeds=64,
            num_steps=6,
            final_seeds=128,
            finest_seeds=256,
        ),
        "default": Config(),
        "paper": Config(num_seeds=1024, num_steps=14, final_seeds=10240, finest_seeds=245760),
    },
    run=run,
    check=checks.check,
    plot=figure.plot,
)
