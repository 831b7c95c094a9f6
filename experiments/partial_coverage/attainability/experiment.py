"""Where training ends: DPO's gradient-flow limit, HyPO's stationary point and its limit in lambda, in closed form."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

import banditlab as bl
from banditlab import gradient_limits
from banditlab.claims import Experiment, Shards, Table
from banditlab.exact import small_penalty
from experiments.partial_coverage.attainability import runs
from experiments.partial_coverage.attainability.checks import check
from experiments.partial_coverage.attainability.figure import plot
from experiments.partial_coverage.shared.label_curvature import hessian, maximum_likelihood

CLAIM = (
    "Gradient descent on the DPO loss of a tabular softmax ends where the logits' sum over every component of compared "
    "actions is that of pi_ref (Adam does not); with a KL penalty every unseen action gains KL(pi||pi_ref) in "
    "log-probability, at a distance of order lambda from a limit that is not DPO's."
)


@dataclass(frozen=True)
class Config:
    """Temperatures and penalties (the smallest three a factor of two apart), steps, and finite data sets.

    One data set fewer than penalties makes both programs one. J's own beta decides nothing here: labels are of the
    rewards, and training has its own temperature.
    """

    betas: tuple[float, ...] = (0.5, 1.0, 2.0)
    penalties: tuple[float, ...] = (0.002, 0.004, 0.008, 0.03, 0.1, 0.3, 1.0)
    hypo_steps: int = 50_000
    dpo_steps: int = 4_000
    adam_steps: int = 20_000
    learning_rate: float = 0.003
    num_labels: int = 1000
    num_datasets: int = 6
    seed: int = 0


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """A row per trained policy, context and action: its log-ratio to pi_ref, and the closed form's."""
    shards.expect(1)
    data = shards.get("all", (0, config.num_datasets), partial(runs.train, config))
    env, seen, law = runs.instance()
    reference, truth = np.asarray(env.log_reference), np.asarray(env.reward)
    # Data set -1, the last, is the population.
    labels = [*data["wins"], np.asarray(bl.preferences.outcome_law(env, jnp.asarray(law)))]
    rewards = [*map(maximum_likelihood, data["wins"]), truth]
    context, action = np.indices(reference.shape).reshape(2, -1)
    place = {"context": context, "action": action, "unseen": ~seen.ravel(), "log_reference": reference.ravel()}
    tables = {"hypo": [], "dpo": [], "datasets": []}
    for lane, dataset in enumerate(data["dataset"]):
        wins, reward = labels[dataset], rewards[dataset]
        if reward is None:
            continue
        measured, penalty = data["log_policy"][lane], float(data["penalty"][lane])
        row: dict[str, Any] = {"beta": float(data["beta"][lane]), "gradient_norm": float(data["gradient_norm"][lane])}
        row |= {"num_steps": int(data["num_steps"][lane])}
        limit = gradient_limits.hypo_small_penalty_limit if penalty > 0 else gradient_limits.dpo_flow_limit
        predicted = np.asarray(limit(env, reward, seen, pairs=law, beta=row["beta"]))
        shown = place | {"log_ratio": (measured - reference).ravel(), "predicted": (predicted - reference).ravel()}
        if penalty > 0:
            part, row = "hypo", {"penalty": penalty} | row | runs.stationarity(measured, penalty, row["gradient_norm"])
            curvature = row["beta"] ** 2 * hessian(wins, reward)
            shown |= {"slope": small_penalty.derivative(reference, predicted, wins, curvature).ravel()}
        else:
            own = {"optimizer": str(data["optimizer"][lane])} if dataset < 0 else {"dataset": int(dataset)}
            allowed = runs.allowed_distance(measured, wins / wins.sum(), reward, **row)
            part, row = "dpo" if dataset < 0 else "datasets", own | row | {"allowed": allowed}
        tables[part].append(Table(row | shown))
    return {part: Table.stack(listed) for part, listed in tables.items()}


EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(betas=(1.0,), penalties=(0.01, 0.02, 0.04), hypo_steps=20_000, adam_steps=5000, num_datasets=2),
        "default": Config(),
        "paper": Config(num_datasets=256, hypo_steps=200_000),
    },
    run=run,
    check=check,
    plot=plot,
    columns={
        "*": {
            "optimizer": "what descends on the loss of the population's labels: dpo is plain gradient descent",
            "dataset": "number of the data set that plain gradient descent trains on",
            "beta": "temperature of the training loss [reward]",
            "penalty": "lambda, the weight of KL(pi||pi_ref) beside the loss of the population's labels",
            "gradient_norm": "norm of the loss's gradient in the logits at the end, mostly of the size of rounding",
            "num_steps": "steps of training [steps]",
            "allowed": "how far in log-probability gradient_norm and rounding let the policy be from its limit [nats]",
            "context": "number of the context",
            "action": "number of the action",
            "unseen": "1 for an action that no label mentions, else 0",
            "log_reference": "log pi_ref of the action [nats]",
            "log_ratio": "log(pi/pi_ref) of the action at the end of training [nats]",
        },
        "hypo": {
            "residual": "largest violation of the policy's stationarity, a rounding-level residual [nats]",
            "allowed_residual": "what gradient_norm and rounding allow of residual [nats]",
            "predicted": "limit of log_ratio as lambda falls to 0, in closed form [nats]",
            "slope": "derivative of log_ratio in lambda at 0, in closed form [nats]",
        },
        "dpo": {"predicted": "log_ratio where gradient flow ends, in closed form [nats]"},
        "datasets": {"predicted": "log_ratio where gradient flow on the data set ends, in closed form [nats]"},
    },
)
