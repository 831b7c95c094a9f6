"""With exact gradients, which samplers make DPO converge linearly and which quadratically (`exact.gradient_rates`).

After 2409.19605, of which the abstract and the authors' public bandit code were read: uniform pairs linearly, Mix-R
and Mix-P quadratically.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from banditlab.claims import Experiment, Shards, Table
from experiments.coverage.exact_gradient_dynamics import checks, figure, runs
from experiments.coverage.exact_gradient_dynamics.runs import INSTANCES, OWN_STEP, ROUNDING, SAMPLERS, SMALLEST

CLAIM = (
    "With exact gradients Mix-R and Mix-P converge quadratically and uniform or on-policy pairs linearly, each at its "
    "derived rate; with two actions a well-chosen step makes uniform pairs quadratic too."
)


@dataclass(frozen=True)
class Config:
    """Steps of gradient descent from the reference policy; beta of each of `runs.INSTANCES`."""

    num_steps: int = 120
    betas: tuple[float, float, float] = (1.0, 1.0, 0.7)


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """A row per instance, sampler and step, until the error is down to 1e-11; by who chooses the step's length."""
    shards.expect(len(INSTANCES))
    rows = {"constant_step": [], "own_step": []}
    for instance, beta in zip(INSTANCES, config.betas, strict=True):
        data = shards.get(instance, (0, 1), partial(runs.descend, instance, beta, config.num_steps))
        for sampler in SAMPLERS:
            errors = data[f"error_{sampler}"]
            for k, error in enumerate(errors[: int(np.argmax(np.append(errors, 0.0) < SMALLEST))]):
                row = {"instance": instance, "beta": beta, "sampler": sampler, "step": k}
                row |= {"error": error, "error_se": ROUNDING}
                if sampler in OWN_STEP:
                    image = data[f"quadratic_{sampler}"][k]
                    rows["own_step"].append(row | {"quadratic": image, "quadratic_se": ROUNDING * error})
                else:
                    rates = {name: float(data[f"{name}_{sampler}"]) for name in ("rate", "bend")}
                    rows["constant_step"].append(row | rates)
    return {part: Table.from_rows(listed) for part, listed in rows.items()}


EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={"smoke": Config(num_steps=60), "default": Config(), "paper": Config(num_steps=240)},
    run=run,
    check=checks.check,
    plot=figure.plot,
    columns={
        "*": {
            "instance": "number of actions, and which reference",
            "sampler": "law of the pairs; it moves with the policy",
            "step": "gradient steps taken from pi_ref [steps]",
            "error": "e: largest error of an implicit reward difference [reward]",
            "error_se": "rounding level of the error [reward]",
        },
        "constant_step": {
            "rate": "rho: predicted factor of the error in a step, at the best constant step",
            "bend": "b: the error of the linear prediction of a step is at most b e^2 [1/reward]",
        },
        "own_step": {
            "quadratic": "predicted error after one more step, up to third order in e [reward]",
            "quadratic_se": "rounding level of that prediction [reward]",
        },
    },
)
