"""A claim of one's own: three labels in four from the better of two actions bring what Bradley-Terry says.

    banditlab run example_claim.py
    banditlab figures example_claim.py
    banditlab verify example_claim.py
    banditlab run example_claim.py --set num_labels=4000

Results and figures appear beside the file. Nothing has to be registered.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

import banditlab as bl
from banditlab import plotting
from banditlab.claims import Check, Experiment, Shards, Table, interval, statistics

CLAIM = "With n uniform labels on two actions, n times the mean KL(pi*||pi) tends to half the label price."


@dataclass(frozen=True)
class Config:
    """Sizes, and the reward of the better action in units of the temperature."""

    num_labels: int = 10_000
    num_seeds: int = 100_000
    reward: float = 1.1


def run(config: Config, shards: Shards) -> Table:
    """One row: the mean of n KL over seeds, and the prediction from the environment alone."""
    env = bl.instances.chain(target=config.reward)
    price = bl.theory.label_price(env, bl.samplers.uniform(env, env.log_target))
    kl = shards.get("uniform", (0, config.num_seeds), partial(train, config, env))["kl"]
    return Table.from_rows(
        [
            {
                "labels": config.num_labels,
                "predicted": float(price) / 2,
                **statistics.mean("scaled", config.num_labels * kl),
            }
        ]
    )


def train(config: Config, env: bl.Environment) -> dict[str, np.ndarray]:
    """One round of DPO for every seed."""
    algorithm = bl.algorithms.uniform_dpo(config.num_labels)
    return {"kl": bl.simulate(algorithm, env, num_rounds=1, num_seeds=config.num_seeds).metrics["kl_target"][:, 0]}


def check(table: Table) -> list[Check]:
    """The constant, to four standard errors."""
    row = {name: values[0] for name, values in table.columns.items()}
    return [interval("n times the mean KL", row["predicted"], row["scaled"], row["scaled_se"])]


def plot(table: Table):
    """The measurement with its error, and the prediction."""
    made, ax = plotting.figure()
    ax.errorbar(table["labels"], table["scaled"], 4 * table["scaled_se"], fmt="o")
    ax.axhline(table["predicted"][0], linestyle="--", color="black")
    ax.set(xlabel="labels", ylabel="n KL")
    return made


EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={"default": Config()},
    run=run,
    check=check,
    plot=plot,
    columns={
        "labels": "labels bought in total [labels]",
        "predicted": "half the label price of uniform pairs at pi*",
        "scaled": "labels times KL(pi*||pi), mean over seeds [nats]",
    },
)
