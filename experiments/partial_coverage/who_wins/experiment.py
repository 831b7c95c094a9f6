"""Who wins on an action without labels: the true reward swept past the values that DPO, HyPO and RLHF impute to it."""

from dataclasses import dataclass
from functools import partial

import jax.numpy as jnp
import numpy as np

import banditlab as bl
from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
from experiments.partial_coverage.who_wins.checks import check
from experiments.partial_coverage.who_wins.figure import plot
from experiments.partial_coverage.who_wins.laws import (
    crossing_reward,
    imputation_gap,
    imputed_value,
    with_unseen_reward,
)
from experiments.partial_coverage.who_wins.runs import CURVE, TRAINED, instances, lanes, train

CLAIM = (
    "Whether HyPO beats DPO is decided by the unseen action's reward, which neither observes: each is best where its "
    "own imputed value is the truth, and their gaps cross at a computable reward, on which either side may be HyPO's."
)


@dataclass(frozen=True)
class Config:
    """The sweep of the unseen reward; HyPO's penalty (and its double, to extrapolate); RLHF's bound; descent steps."""

    lowest: float = -3.0
    highest: float = 3.0
    num_points: int = 13
    num_curve: int = 121
    penalty: float = 0.001
    reward_bound: float = 1.1
    num_steps: int = 120_000


def run(config: Config, shards: Shards) -> Table:
    """A row per instance, learner and true reward of the unseen action: trained policies, then the closed forms."""
    shards.expect(1)
    data = shards.get("all", (0, 1), partial(train, config))
    rows, failures = [], {}
    for place, (name, scenario) in enumerate(instances().items()):
        crossing = crossing_reward(scenario)
        for lane, (learner, penalty) in enumerate(lanes(config)):
            failed = bool(data["failed"][place, lane])
            failures[f"{name}, {learner} {penalty:g}: not converged"] = int(failed)
            imputed = imputed_value(scenario, learner, config.reward_bound)
            shared = {"instance": name, "learner": learner, "penalty": penalty, "imputed": imputed}
            shared |= {"crossing": crossing, "failed": int(failed)}
            for reward in np.linspace(config.lowest, config.highest, config.num_points):
                predicted = imputation_gap(scenario, imputed, reward)
                row = shared | {"kind": TRAINED, "reward": reward, "predicted": predicted}
                rows.append(row | _measured(with_unseen_reward(scenario, reward), data, place, lane))
            for reward in np.linspace(config.lowest, config.highest, config.num_curve):
                predicted = imputation_gap(scenario, imputed, reward)
                row = shared | {"kind": CURVE, "reward": reward, "predicted": predicted}
                rows.append(row | {"gap": predicted, "allowed": 0.0, "doubled": 0.0})
    return Table.from_rows(rows, meta={"failures": failures})


def _measured(env: bl.Environment, data: dict[str, np.ndarray], place: int, lane: int) -> dict[str, float]:
    """The gap; how far the policy's own residual lets it be off; and a bound on what doubling HyPO's lambda changes.

    |d gap| <= beta (|log pi/pi*| + 1) |d log pi|, and half as much again for the second order.
    """
    log_policy = data["log_policy"][place]
    steepest = 1.5 * float(env.beta) * (np.abs(log_policy[lane] - np.asarray(env.log_target)).max() + 1)
    moved = np.abs(log_policy[2] - log_policy[1]).max() if lane in (1, 2) else 0.0
    gap = float(bl.metrics.gap(env, jnp.asarray(log_policy[lane])))
    return {"gap": gap, "allowed": steepest * float(data["error"][place, lane]) + 1e-14, "doubled": steepest * moved}


EXPERIMENT = Experiment(
    name="who_wins",
    claim=CLAIM,
    family="partial_coverage",
    presets={
        "smoke": Config(num_points=5, num_curve=21, penalty=0.002, num_steps=60_000),
        "default": Config(),
        "paper": Config(num_points=49, num_curve=481),
    },
    run=run,
    check=check,
    plot=plot,
)
