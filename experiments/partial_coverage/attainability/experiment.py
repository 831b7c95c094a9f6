"""Where training ends: DPO's gradient-flow limit, HyPO's stationary point and its limit in lambda, in closed form."""

from dataclasses import dataclass
from functools import partial

import jax.numpy as jnp
import numpy as np

import banditlab as bl
from banditlab import gradient_limits
from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
from experiments.partial_coverage.attainability import laws
from experiments.partial_coverage.attainability.checks import check
from experiments.partial_coverage.attainability.figure import plot
from experiments.partial_coverage.attainability.runs import allowances, train

CLAIM = (
    "Gradient descent on the DPO loss of a tabular softmax ends where the logits' sum over every component of compared "
    "actions is that of pi_ref (Adam does not); with a KL penalty every unseen action gains KL(pi||pi_ref) in "
    "log-probability, at a distance of order lambda from a limit that is not DPO's."
)


@dataclass(frozen=True)
class Config:
    """Temperatures and penalties (the smallest three a factor of two apart), steps, and finite data sets.

    One data set fewer than penalties makes both programs one.
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


def run(config: Config, shards: Shards) -> Table:
    """A row per trained policy, context and action: its log-ratio to pi_ref, and the closed form's."""
    shards.expect(1)
    data = shards.get("all", (0, config.num_datasets), partial(train, config))
    env, seen, law = laws.instance()
    population = np.asarray(bl.preferences.outcome_law(env, jnp.asarray(law)))
    rows, failures = [], {"no maximum of the likelihood": 0}
    for lane in range(len(data["beta"])):
        optimizer, penalty, beta = str(data["optimizer"][lane]), float(data["penalty"][lane]), float(data["beta"][lane])
        wins = population if data["dataset"][lane] < 0 else data["wins"][data["dataset"][lane]]
        reward = np.asarray(env.reward) if data["dataset"][lane] < 0 else laws.maximum_likelihood(wins)
        if reward is None:
            failures["no maximum of the likelihood"] += 1
            continue
        limit = gradient_limits.hypo_small_penalty_limit if penalty > 0 else gradient_limits.dpo_flow_limit
        predicted = np.asarray(limit(env, reward, seen, pairs=law, beta=beta))
        tables = (np.asarray(env.log_reference), predicted, population, np.asarray(env.reward))
        slope = laws.first_order(*tables, beta)
        measured, norm = data["log_policy"][lane], float(data["gradient_norm"][lane])
        shared = {"optimizer": optimizer, "beta": beta, "penalty": penalty, "dataset": int(data["dataset"][lane])}
        shared |= {"gradient_norm": norm, "num_steps": int(data["num_steps"][lane])}
        shared |= allowances(np.asarray(env.log_reference), measured, wins / wins.sum(), reward, shared)
        for context, action in np.ndindex(*measured.shape):
            reference = float(env.log_reference[context, action])
            row = shared | {"context": context, "action": action, "unseen": int(not seen[context, action])}
            row |= {"log_reference": reference, "log_ratio": measured[context, action] - reference}
            row |= {"predicted": predicted[context, action] - reference}
            rows.append(row | {"slope": slope[context, action] if penalty > 0 else 0.0})
    return Table.from_rows(rows, meta={"failures": failures})


EXPERIMENT = Experiment(
    name="attainability",
    claim=CLAIM,
    family="partial_coverage",
    presets={
        "smoke": Config(betas=(1.0,), penalties=(0.01, 0.02, 0.04), hypo_steps=20_000, adam_steps=5000, num_datasets=2),
        "default": Config(),
        "paper": Config(num_datasets=256, hypo_steps=200_000),
    },
    run=run,
    check=check,
    plot=plot,
)
