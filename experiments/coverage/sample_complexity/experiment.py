"""Total labels to reach KL <= eps, against initial coverage and eps: multiplicative offline, additive on-policy."""

from dataclasses import dataclass
from functools import partial

import jax
import numpy as np

import banditlab as bl
from banditlab.claims import Experiment, Instance, Shards, Table
from experiments.coverage.sample_complexity import checks, figure, runs

CLAIM = (
    "The labels needed for KL <= eps grow with slope 1 in the log of the initial label price offline and with slope 0 "
    "on-policy and for both hybrids once eps is small, with no free constant."
)


@dataclass(frozen=True)
class Config:
    """Staircases from theta_0 = -start, and the KL that the median run must reach.

    The least target, the last, is far below 1/C_F(pi_0): pooled data then leave the early rounds behind, as the limit
    says. instance: the environment in place of the staircase; it too starts from theta_0 = -start in every coordinate.
    """

    num_stairs: int = 4
    step: float = 0.5
    beta: float = 1.0
    instance: Instance | None = None
    starts: tuple[float, ...] = (0.5, 1.5, 2.5, 3.5)
    targets: tuple[float, ...] = (1e-2, 1e-4, 1e-6, 1e-9)
    arms: tuple[str, ...] = tuple(runs.ARMS)
    ridge: float = 1.0
    num_seeds: int = 256
    num_steps: int = 8
    final_seeds: int = 1024
    finest_seeds: int = 24576

    def environment(self) -> tuple[str, bl.Environment]:
        """The name, and the environment from whatever start."""
        if self.instance is not None:
            return self.instance.name, self.instance.environment()
        return "staircase", bl.instances.staircase(self.num_stairs, self.step, beta=self.beta)


def run(config: Config, shards: Shards) -> Table:
    """One row per arm, start and target."""
    name, base = config.environment()
    design = jax.jit(bl.designs.joint)(base)  # the features are those of every start
    groups = ((config.final_seeds, config.targets[:-1]), (config.finest_seeds, config.targets[-1:]))
    groups = [(seeds, np.asarray(targets)) for seeds, targets in groups if targets]
    shards.expect(len(config.arms) * len(config.starts) * len(groups))
    rows = []
    for arm in config.arms:
        for place, start in enumerate(config.starts):
            env = base.replace(initial_params=np.full(base.num_features, -start))
            price = float(bl.theory.label_price(env, bl.samplers.initial(env, env.log_initial)))
            remainder = 4 * float(bl.theory.target_leverage(env))
            limit = runs.limit(arm, env, design)
            for seeds, targets in groups:
                # Its own seed for every start: the checks average over starts that must be independent.
                compute = partial(
                    runs.search, arm, env, targets, limit / targets,
                    design=design, ridge=config.ridge, seed=2 * place,
                    num_seeds=config.num_seeds, num_steps=config.num_steps, final_seeds=seeds,
                )  # fmt: skip
                data = shards.get(f"{arm}-{start}-{targets[-1]}", (0, seeds), compute)
                for i, target in enumerate(targets):
                    row = {"instance": name, "arm": arm, "rounds": runs.ARMS[arm][1], "start": start, "target": target}
                    row |= {"seeds": seeds, "ridge": config.ridge, "price": price, "remainder": remainder * target}
                    row |= {"predicted": limit / target}
                    rows.append(row | {column: data[column][i] for column in ("labels", "labels_se", "reached")})
    return Table.from_rows(rows)


EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(
            num_stairs=2, starts=(0.5, 2.0), targets=(1e-2, 1e-9), arms=("offline", "on_policy"),
            num_seeds=64, num_steps=6, final_seeds=128, finest_seeds=256,
        ),
        "default": Config(),
        "paper": Config(num_seeds=1024, num_steps=14, final_seeds=10240, finest_seeds=245760),
    },
    run=run,
    check=checks.check,
    plot=figure.plot,
    columns={
        "instance": "environment: a named instance, else the file that holds it",
        "rounds": "rounds that the arm divides its labels into [rounds]",
        "start": "minus every coordinate of theta_0, the parameter of pi_0",
        "target": "KL(pi*||pi) that the median run must reach in its last round [nats]",
        "price": "C_F(pi_0), label price of pairs from pi_0",
        "remainder": "4 G* target, G* the leverage of pi*: relative error of the prediction, at most",
        "predicted": "labels at which the median KL is the target, many labels: a median of chi-squares [labels]",
        "labels": "labels at which the median KL is the target, by bisection; inf where not reached [labels]",
        "reached": "1 where the largest batch tried reaches the target, 0 elsewhere",
    },
)  # fmt: skip
