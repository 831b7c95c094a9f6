"""Gradient estimators of E_x KL(pi||pi_ref): means by enumeration, variances, and where RLOO is no better."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
from experiments.partial_coverage.estimator_facts import moments
from experiments.partial_coverage.estimator_facts.checks import check
from experiments.partial_coverage.estimator_facts.figure import plot
from experiments.partial_coverage.estimator_facts.runs import CENTRED, measure, settings

CLAIM = (
    "RLOO and REINFORCE have the exact gradient as their mean, autodiff through the sampled log-ratio alone mean 0; "
    "with f = log(pi/pi_ref) RLOO's variance is above REINFORCE's around a uniform reference, for every k."
)


@dataclass(frozen=True)
class Config:
    """Tilts t of pi ∝ pi_ref e^{t u}; numbers k of draws; the tilts and the number of simulated estimates.

    The simulated tilts leave every action a mass at which the variance of an estimate's squared distance is moderate:
    eight standard errors are then below 5% of the variance.
    """

    tilts: tuple[float, ...] = (0.02, *(float(f"{x:.3g}") for x in np.geomspace(0.1, 10.0, 17)))
    num_samples: tuple[int, ...] = (2, 4, 6)
    simulated_tilts: tuple[float, ...] = (1.0, 3.16)
    num_estimates: int = 2**19
    seed: int = 0


def run(config: Config, shards: Shards) -> Table:
    """One row per family, tilt, k and estimator: enumerated and predicted moments, simulated ones where asked."""
    shards.expect(len(config.num_samples))
    rows = []
    for k in config.num_samples:
        data = shards.get(f"k={k}", (0, config.num_estimates), partial(measure, config, k))
        for place, (family, tilt, log_policy, values) in enumerate(settings(config)):
            policy = np.exp(log_policy)
            closed = moments.closed_forms(policy, values, k)
            limit = moments.closed_forms(policy, values, np.inf)
            for name in moments.NAMES:
                row = {"family": family, "tilt": tilt, "divergence": float(policy @ values), "draws": k}
                row |= {"estimator": name, "predicted": closed[name], "limit": limit[name]}
                row |= {"rarest": float(-log_policy.min()), "size": float(data["size"][place])}
                row |= {key: float(data[f"{name}_{key}"][place]) for key in ("variance", "spread", "error", "along")}
                shown = tilt in config.simulated_tilts or family == CENTRED
                drawn = float(data[f"{name}_simulated"][place]) if shown else 0.0
                rows.append(row | {"simulated": drawn, "estimates": config.num_estimates if shown else 0})
    return Table.from_rows(rows, meta={"failures": {}})


EXPERIMENT = Experiment(
    name="estimator_facts",
    claim=CLAIM,
    family="partial_coverage",
    presets={
        "smoke": Config(tilts=(0.1, 1.0, 3.16, 10.0), num_samples=(2,), num_estimates=2**14),
        "default": Config(),
        "paper": Config(num_estimates=2**22),
    },
    run=run,
    check=check,
    plot=plot,
)
