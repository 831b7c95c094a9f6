"""The headline: on a staircase, on-policy labels climb it while offline labels pay the coverage of pi_0."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import banditlab as bl
from banditlab.claims import Experiment, Instance, Shards, Table, instance_field
from experiments.shared import equal_labels

CLAIM = (
    "At equal labels on-policy DPO reaches the constant-free floor C_F(pi*)/(2n) within a few rounds, "
    "while offline DPO pays C_F(pi_0), asymptotically 8.7 million times more."
)


@dataclass(frozen=True)
class Config(equal_labels.Budget):
    """A staircase of `num_stairs` stairs, sampling from theta_0 = -start, and what is spent on it."""

    num_stairs: int = 6
    step: float = 0.5
    start: float = 3.0
    instance: Instance | None = instance_field("num_stairs", "step", "start", "beta")


def run(config: Config, shards: Shards) -> dict[str, Table]:
    usual = partial(bl.instances.staircase, config.num_stairs, config.step, config.start, config.beta)
    return equal_labels.measure(config, "staircase", usual, shards)


def plot(tables: Mapping[str, Table]):
    if tables["environment"]["instance"][0] != "staircase":
        return equal_labels.plot(tables)
    titles = (
        "On-policy labels reach the floor in a few rounds;\noffline labels pay for $\\pi_0$",
        "With a design one round is enough",
    )
    return equal_labels.plot(tables, titles=titles)


EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(num_seeds=32, num_rounds=3, large_seeds=128, plain_seeds=32),
        "default": Config(),
        "paper": Config(num_seeds=10240, large_seeds=655360),
    },
    run=run,
    check=equal_labels.check,
    plot=plot,
    columns=equal_labels.COLUMNS,
)
