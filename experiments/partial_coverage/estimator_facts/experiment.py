"""Gradient estimators of E_x KL(pi||pi_ref): means by enumeration, variances, and where RLOO is no better."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from banditlab.claims import Experiment, Shards, Table
from banditlab.exact.score_estimators import ESTIMATORS, variances
from experiments.partial_coverage.estimator_facts.checks import check
from experiments.partial_coverage.estimator_facts.figure import plot
from experiments.partial_coverage.estimator_facts.runs import measure, settings

CLAIM = (
    "RLOO and REINFORCE have the exact gradient as their mean, autodiff through the sampled log-ratio alone mean 0; "
    "with f = log(pi/pi_ref) RLOO's variance is above REINFORCE's around a uniform reference, for every k."
)
COLUMNS = {
    "*": {
        "family": "pi_ref that the policies are tilted away from; centred values: pi uniform, any f of mean 0",
        "tilt": "t of pi proportional to pi_ref e^{t u} [nats]",
        "draws": "draws k of pi behind one estimate [draws]",
        "estimator": "gradient estimator; naive is autodiff through the sampled log-ratio alone",
        "variance": "trace of the covariance of one estimate, over all samples",
        "spread": "standard deviation of the squared distance of one estimate from its mean, over all samples",
    },
    "enumerated": {
        "divergence": "E_pi f: KL(pi||pi_ref) where f is the log-ratio [nats]",
        "predicted": "trace of the covariance of one estimate, closed form",
        "limit": "k times that trace as k grows without end, closed form",
        "rarest": "largest -log pi of an action [nats]",
        "size": "norm of the exact gradient over max|f|",
        "error": "largest component of the mean's error (naive: of the mean) over max|f|, a rounding-level residual",
        "along": "component of the mean along the exact gradient, over that gradient's norm",
    },
    "simulated": {
        "simulated": "mean squared distance of the drawn estimates from the mean over all samples",
        "estimates": "estimates drawn [estimates]",
    },
}


@dataclass(frozen=True)
class Config:
    """Tilts t of pi ∝ pi_ref e^{t u}; numbers k of draws; the tilts and the number of simulated estimates.

    The simulated tilts leave every action a mass at which the variance of an estimate's squared distance is moderate:
    eight standard errors are then below 5% of the variance. There is no beta: no reward enters the KL's gradient.
    """

    tilts: tuple[float, ...] = (0.02, *(float(f"{x:.3g}") for x in np.geomspace(0.1, 10.0, 17)))
    num_samples: tuple[int, ...] = (2, 4, 6)
    simulated_tilts: tuple[float, ...] = (1.0, 3.16)
    num_estimates: int = 2**19
    seed: int = 0


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """One row per family, tilt, k and estimator: enumerated and predicted moments, and simulated ones where asked."""
    shards.expect(len(config.num_samples))
    enumerated, simulated = [], []
    for k in config.num_samples:
        data = shards.get(f"k={k}", (0, config.num_estimates), partial(measure, config, k))
        for place, (family, tilt, log_policy, values, shown) in enumerate(settings(config)):
            policy = np.exp(log_policy)
            closed, limit = (variances(policy, values, draws) for draws in (k, np.inf))
            for name in ESTIMATORS:
                setting = {"family": family, "tilt": tilt, "draws": k, "estimator": name}
                found = {key: float(data[f"{name}_{key}"][place]) for key in ("variance", "spread", "error", "along")}
                row = setting | {"divergence": float(policy @ values), "predicted": closed[name], "limit": limit[name]}
                row |= {"rarest": float(-log_policy.min()), "size": float(data["size"][place])}
                enumerated.append(row | found)
                if shown:
                    drawn = {"simulated": float(data[f"{name}_simulated"][place]), "estimates": config.num_estimates}
                    simulated.append(setting | {key: found[key] for key in ("variance", "spread")} | drawn)
    return {"enumerated": Table.from_rows(enumerated), "simulated": Table.from_rows(simulated)}


PRESETS = {
    "smoke": Config(tilts=(0.1, 1.0, 3.16, 10.0), num_samples=(2,), num_estimates=2**14),
    "default": Config(),
    "paper": Config(num_estimates=2**22),
}
EXPERIMENT = Experiment(claim=CLAIM, presets=PRESETS, run=run, check=check, plot=plot, columns=COLUMNS)
