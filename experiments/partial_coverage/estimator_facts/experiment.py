"""Gradient estimators of E_x KL(pi||pi_ref): means by enumeration, variances, and where RLOO is no better."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from banditlab.claims import Experiment, Shards, Table
from banditlab.exact.score_estimators import ESTIMATORS, variances
from experiments.partial_coverage.estimator_facts.checks import check
from experiments.partial_coverage.estimator_facts.figure import plot
from experiments.partial_coverage.estimator_facts.runs import far_from_uniform, measure, near_uniform, settings

CLAIM = (
    "RLOO and REINFORCE have the exact gradient as their mean, autodiff through the sampled log-ratio alone mean 0; "
    "with f = log(pi/pi_ref) neither variance is always the smaller: next to a uniform reference RLOO's is above "
    "REINFORCE's for A < 9 actions and below for A > 9, far from it either way."
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
    "near": {
        "actions": "number A of actions [actions]",
        "size": "mean over the actions of (A pi - 1)^2",
        "limit": "RLOO's variance over REINFORCE's as k grows without end, closed form",
        "gap": "k times REINFORCE's less RLOO's variance in that limit, closed form",
        "predicted_gap": "E_pi f (2 E_pi f |e_y - pi|^2 - E_pi f E_pi |e_y - pi|^2), the same from other moments",
        "slope": "(limit - 1) over size / 4",
        "predicted_slope": "(9 - A) / (A - 2), the slope at the uniform policy",
    },
    "far": {
        "policy": "probabilities of the actions",
        "ratio": "RLOO's variance over REINFORCE's, closed form",
    },
    "simulated": {
        "simulated": "mean squared distance of the drawn estimates from the mean over all samples",
        "estimates": "estimates drawn [estimates]",
    },
}


@dataclass(frozen=True)
class Config:
    """Tilts t of pi ∝ pi_ref e^{t u}; numbers k of draws; the tilts and the number of simulated estimates.

    Near the uniform policy u falls evenly from 1 to -1 over any number of actions; nine would decide nothing.

    The simulated tilts leave every action a mass at which the variance of an estimate's squared distance is moderate:
    eight standard errors are then below 5% of the variance. There is no beta: no reward enters the KL's gradient.
    """

    tilts: tuple[float, ...] = (0.02, *(float(f"{x:.3g}") for x in np.geomspace(0.1, 10.0, 17)))
    num_samples: tuple[int, ...] = (2, 4, 6)
    simulated_tilts: tuple[float, ...] = (1.0, 3.16)
    near_actions: tuple[int, ...] = (3, 4, 5, 6, 7, 8, 10, 11, 12, 14, 16, 20, 30, 50)
    near_tilts: tuple[float, ...] = (0.05, 0.1)
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
    return {
        "enumerated": Table.from_rows(enumerated),
        "near": Table.from_rows(near_uniform(config.near_actions, config.near_tilts)),
        "far": Table.from_rows(far_from_uniform()),
        "simulated": Table.from_rows(simulated),
    }


PRESETS = {
    "smoke": Config(tilts=(0.1, 1.0, 3.16, 10.0), num_samples=(2,), num_estimates=2**14),
    "default": Config(),
    "paper": Config(num_estimates=2**22),
}
EXPERIMENT = Experiment(claim=CLAIM, presets=PRESETS, run=run, check=check, plot=plot, columns=COLUMNS)
