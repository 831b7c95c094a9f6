"""The honest null: where the reference already covers pi*, on-policy labels have nothing to improve."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import banditlab as bl
from banditlab.claims import Check, Experiment, Instance, Shards, Table, instance_field, upper
from experiments.shared import equal_labels

CLAIM = (
    "With random features C_F(pi_0) is close to C_F(pi*): pooled on-policy DPO gains nothing on offline DPO, "
    "and fresh batches lose by the factor of the labels they forget."
)
USUAL = "random features"


@dataclass(frozen=True)
class Config(equal_labels.Budget):
    """Unit-norm Gaussian features, uniform reference, and what is spent on it."""

    num_contexts: int = 8
    num_actions: int = 10
    num_features: int = 4
    large_pairs: float = 1e8
    large_seeds: int = 32768
    instance: Instance | None = instance_field("num_contexts", "num_actions", "num_features", "beta")


def run(config: Config, shards: Shards) -> dict[str, Table]:
    sizes = config.num_contexts, config.num_actions, config.num_features
    return equal_labels.measure(config, USUAL, partial(bl.instances.random_features, *sizes, beta=config.beta), shards)


def check(tables: Mapping[str, Table]) -> list[Check]:
    """The constants of all arms; on random features, that there is little to gain."""
    checks, environment = equal_labels.check(tables), tables["environment"]
    if environment["instance"][0] == USUAL:
        prices = environment["price_start"][0] / environment["price_target"][0]
        claim = "the label price of pi_0 over that of pi*: at most 1.25, so there is little to gain"
        checks.append(upper(claim, 1.25, prices, why="exact; 1.25 is what we call little"))
    return checks


def plot(tables: Mapping[str, Table]):
    if tables["environment"]["instance"][0] != USUAL:
        return equal_labels.plot(tables)
    titles = (
        "Where $\\pi_0$ covers, own draws gain nothing,\nand fresh batches forget",
        "Designs and hybrids hardly gain",
    )
    note = r"; $\pi_0$ is uniform, so offline is uniform too"
    return equal_labels.plot(tables, titles=titles, note=note, left_out=("uniform",))


EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(num_seeds=32, num_rounds=3, large_seeds=128, plain_seeds=32),
        "default": Config(),
        "paper": Config(num_seeds=10240, large_seeds=327680),
    },
    run=run,
    check=check,
    plot=plot,
    columns=equal_labels.COLUMNS,
)
