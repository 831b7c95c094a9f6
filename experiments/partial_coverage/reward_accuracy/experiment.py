"""An implicit reward as accurate as one likes on the reference's pairs, whose policy is as bad as one likes."""

from dataclasses import dataclass
from functools import partial

from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
from experiments.partial_coverage.reward_accuracy.checks import check
from experiments.partial_coverage.reward_accuracy.figure import plot
from experiments.partial_coverage.reward_accuracy.laws import predicted
from experiments.partial_coverage.reward_accuracy.runs import measure, settings

CLAIM = (
    "Existence: with pi_ref = (1 - p, p) and pi = (1/2, 1/2), as p -> 0 the implicit reward's error eps falls to 0 "
    "while the gap grows by (beta/2) log 10 per decade; at p = 0 eps is 0 and J = -inf."
)


@dataclass(frozen=True)
class Config:
    """Decades of p, temperatures beta, and the reward of the rare action (the other's is 0)."""

    decades: int = 16
    betas: tuple[float, ...] = (0.1, 1.0)
    rewards: tuple[float, ...] = (-1.0, 0.0, 1.0)


def run(config: Config, shards: Shards) -> Table:
    """One row per beta, reward and mass p = 10^-1, 10^-2, ... and 0; all deterministic."""
    shards.expect(1)
    measured = shards.get("all", (0, 1), partial(measure, config))
    rows = []
    for place, (beta, reward, mass) in enumerate(settings(config)):
        row = {"beta": beta, "reward": reward, "mass": mass}
        row |= {name: float(values[place]) for name, values in measured.items()}
        gap, error, bound = predicted(beta, reward, mass)
        rows.append(row | {"gap_exact": gap, "error_exact": error, "bound_exact": bound})
    return Table.from_rows(rows, meta={"failures": {}})


EXPERIMENT = Experiment(
    name="reward_accuracy",
    claim=CLAIM,
    family="partial_coverage",
    presets={
        "smoke": Config(decades=10, betas=(1.0,)),
        "default": Config(),
        "paper": Config(decades=100, betas=(0.1, 0.3, 1.0, 3.0)),
    },
    run=run,
    check=check,
    plot=plot,
)
