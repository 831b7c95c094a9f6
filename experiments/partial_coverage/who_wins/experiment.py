"""Who wins on an action without labels: the true reward swept past the values that DPO, HyPO and RLHF impute to it."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

import banditlab as bl
from banditlab import gradient_limits
from banditlab.claims import Experiment, Shards, Table
from banditlab.exact import imputation
from experiments.partial_coverage.who_wins.checks import check
from experiments.partial_coverage.who_wins.figure import plot
from experiments.partial_coverage.who_wins.runs import DPO, HYPO, RLHF, instances, lanes, train

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
    beta: float = 1.0
    penalty: float = 0.001
    reward_bound: float = 1.1
    num_steps: int = 120_000


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """What each learner imputes; its trained policy's gap at true rewards of the unseen action; the closed forms."""
    shards.expect(1)
    data = shards.get("all", (0, 1), partial(train, config))
    points, fine = (np.linspace(config.lowest, config.highest, n) for n in (config.num_points, config.num_curve))
    learners, trained, curves = [], [], []
    for place, (name, scenario) in enumerate(instances(config.beta).items()):
        env, seen = scenario.env, scenario.seen
        reference, rewards = np.asarray(env.log_reference)[0], np.asarray(env.reward)[0]
        bandit = (reference, rewards, np.asarray(seen)[0], config.beta)
        values = {x: imputation.imputed_value(x, *bandit, config.reward_bound) for x in (DPO, HYPO, RLHF)}
        crossing = float(gradient_limits.equal_gap_reward(env, env.reward, seen, values[DPO], values[HYPO])[0])
        for lane, (learner, penalty) in enumerate(lanes(config)):
            row = {"instance": name, "learner": learner, "penalty": penalty}
            failed = int(data["failed"][place, lane])
            learners.append(row | {"imputed": values[learner], "crossing": crossing, "failed": failed})
            for reward in points:
                predicted = imputation.gap(values[learner], reward, *bandit)
                truth = env.replace(reward=np.where(seen, env.reward, reward))
                measured = _measured(truth, data["log_policy"][place], lane, float(data["error"][place, lane]))
                trained.append(row | {"reward": reward, "predicted": predicted} | measured)
        for learner, value in values.items():
            curve: dict[str, Any] = {"instance": name, "learner": learner, "reward": fine}
            curve["gap"] = [imputation.gap(value, reward, *bandit) for reward in fine]
            curves.append(Table(curve))
    return {"learners": Table.from_rows(learners), "trained": Table.from_rows(trained), "curves": Table.stack(curves)}


def _measured(env: bl.Environment, log_policies: np.ndarray, lane: int, error: float) -> dict[str, float]:
    """The gap; how far the policy's own residual lets it be off; and a bound on what doubling HyPO's lambda changes.

    |d gap| <= beta (|log pi/pi*| + 1) |d log pi|, and half as much again for the second order.
    """
    log_policy = log_policies[lane]
    steepest = 1.5 * float(env.beta) * (np.abs(log_policy - np.asarray(env.log_target)).max() + 1)
    moved = np.abs(log_policies[2] - log_policies[1]).max() if lane in (1, 2) else 0.0
    gap = float(bl.metrics.gap(env, jnp.asarray(log_policy)))
    return {"gap": gap, "allowed": steepest * error + 1e-14, "doubled": steepest * moved}


EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(num_points=5, num_curve=21, penalty=0.002, num_steps=60_000),
        "default": Config(),
        "paper": Config(num_points=49, num_curve=481),
    },
    run=run,
    check=check,
    plot=plot,
    columns={
        "*": {
            "instance": "bandit, named by its reference",
            "learner": "whose policy it is",
            "penalty": "lambda, the weight of KL(pi||pi_ref); 0 is training without it",
            "reward": "true reward of the unseen action [reward]",
        },
        "learners": {
            "imputed": "value that the learner implies for the unseen action, for HyPO as lambda falls to 0 [reward]",
            "crossing": "true reward of the unseen action at which the gaps of DPO and HyPO are equal [reward]",
            "failed": "1 if the learner's training did not converge, else 0",
        },
        "trained": {
            "predicted": "closed form of gap, for HyPO as lambda falls to 0 [reward]",
            "gap": "J(pi*) - J(pi) of the trained policy [reward]",
            "allowed": "how far the residual of the training lets gap be off, mostly of the size of rounding [reward]",
            "doubled": "bound on what twice the lambda changes in gap [reward]",
        },
        "curves": {"gap": "closed form of J(pi*) - J(pi), for HyPO as lambda falls to 0 [reward]"},
    },
)
