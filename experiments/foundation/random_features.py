"""The honest null: where the reference already covers pi*, on-policy labels have nothing to improve."""

from dataclasses import dataclass

import banditlab as bl
from banditlab import plotting
from banditlab.claims.checks import Check, upper
from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
from experiments.shared import equal_labels
from experiments.shared.equal_labels import Budget

CLAIM = (
    "With random features C_F(pi_0) is close to C_F(pi*): pooled on-policy DPO gains nothing on offline DPO, "
    "and fresh batches lose by the factor of the labels they forget."
)


@dataclass(frozen=True)
class Config(Budget):
    """Unit-norm Gaussian features, uniform reference, and what is spent on it."""

    num_contexts: int = 8
    num_actions: int = 10
    num_features: int = 4
    large_pairs: float = 1e8
    large_seeds: int = 32768


def run(config: Config, shards: Shards) -> Table:
    env = bl.instances.random_features(config.num_contexts, config.num_actions, config.num_features)
    return equal_labels.measure(env, config, shards)


def check(table: Table) -> list[Check]:
    prices = table["price_start"][0] / table["price_target"][0]
    claim = "the label price of pi_0 over that of pi*: at most 1.25, so there is little to gain"
    return [*equal_labels.check(table), upper(claim, 1.25, prices, why="exact; 1.25 is what we call little")]


def plot(table: Table):
    made = equal_labels.plot(table)
    drawn = table.where(regime=equal_labels.FINITE)
    plotting.caption(
        made,
        equal_labels.caption(
            "Random features (8 contexts, 10 actions, d = 4), linear softmax, pi_0 uniform (so offline = uniform)",
            drawn,
        ),
    )
    return made


EXPERIMENT = Experiment(
    name="random_features",
    claim=CLAIM,
    family="foundation",
    presets={
        "smoke": Config(num_seeds=32, num_rounds=3, large_seeds=128),
        "default": Config(),
        "paper": Config(num_seeds=10240, large_seeds=327680),
    },
    run=run,
    check=check,
    plot=plot,
)
