"""The headline: on a staircase, on-policy labels climb it while offline labels pay the coverage of pi_0."""

from dataclasses import dataclass

import banditlab as bl
from banditlab import plotting
from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
from experiments.shared import equal_labels
from experiments.shared.equal_labels import Budget

CLAIM = (
    "At equal labels on-policy DPO reaches the constant-free floor C_F(pi*)/(2n) within a few rounds, "
    "while offline DPO pays C_F(pi_0), 10^7 times more."
)


@dataclass(frozen=True)
class Config(Budget):
    """A staircase of `num_stairs` stairs, sampling from theta_0 = -start, and what is spent on it."""

    num_stairs: int = 6
    step: float = 0.5
    start: float = 3.0


def run(config: Config, shards: Shards) -> Table:
    env = bl.instances.staircase(config.num_stairs, config.step, config.start)
    return equal_labels.measure(env, config, shards)


def plot(table: Table):
    made = equal_labels.plot(table)
    drawn = table.where(regime=equal_labels.FINITE)
    plotting.caption(made, equal_labels.caption("Staircase, 6 stairs, linear softmax", drawn))
    return made


EXPERIMENT = Experiment(
    name="staircase",
    claim=CLAIM,
    family="foundation",
    presets={
        "smoke": Config(num_seeds=32, num_rounds=3, large_seeds=128),
        "default": Config(),
        "paper": Config(num_seeds=10240, large_seeds=655360),
    },
    run=run,
    check=equal_labels.check,
    plot=plot,
)
