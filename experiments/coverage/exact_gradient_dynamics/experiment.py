"""With exact gradients, which samplers make DPO converge linearly and which quadratically (rates: `laws`).

After 2409.19605, of which the abstract and the authors' public bandit code were read: uniform pairs linearly, Mix-R
and Mix-P quadratically.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
from experiments.coverage.exact_gradient_dynamics import checks, figure, runs
from experiments.coverage.exact_gradient_dynamics.runs import INSTANCES, LABELS, ROUNDING, SMALLEST

CLAIM = (
    "With exact gradients Mix-R and Mix-P converge quadratically and uniform or on-policy pairs linearly, each at its "
    "derived rate; with two actions a well-chosen step makes uniform pairs quadratic too."
)


@dataclass(frozen=True)
class Config:
    """Steps of gradient descent from the reference policy."""

    num_steps: int = 120


def run(config: Config, shards: Shards) -> Table:
    """One row per instance, sampler and step, until the error is down to 1e-11."""
    shards.expect(len(INSTANCES))
    rows = []
    for instance in INSTANCES:
        data = shards.get(instance, (0, 1), partial(runs.descend, instance, config.num_steps))
        for sampler in LABELS:
            errors = data[f"error_{sampler}"]
            for k in range(int(np.argmax(np.append(errors, 0.0) < SMALLEST))):
                row = {"instance": instance, "sampler": sampler, "step": k}
                row |= {"error": errors[k], "error_se": ROUNDING, "rate": float(data[f"rate_{sampler}"])}
                row |= {"bend": float(data[f"bend_{sampler}"]), "quadratic": data[f"quadratic_{sampler}"][k]}
                rows.append(row | {"quadratic_se": ROUNDING * errors[k]})
    return Table.from_rows(rows)


EXPERIMENT = Experiment(
    name="exact_gradient_dynamics",
    claim=CLAIM,
    family="coverage",
    presets={"smoke": Config(num_steps=60), "default": Config(), "paper": Config(num_steps=240)},
    run=run,
    check=checks.check,
    plot=figure.plot,
)
