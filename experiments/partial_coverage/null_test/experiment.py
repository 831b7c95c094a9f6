"""The null test: with one unbounded tabular class, RLHF and DPO are the same on seen actions; a bound parts them."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from banditlab.claims import Experiment, Shards, Table, statistics
from banditlab.exact.bradley_terry import descent_remainder, strongly_connected
from experiments.partial_coverage.null_test.checks import check
from experiments.partial_coverage.null_test.figure import plot
from experiments.partial_coverage.null_test.runs import simulate

CLAIM = (
    "With one unbounded tabular class RLHF and DPO give the same policy on the seen actions, whatever the data set; a "
    "bound B on the reward parts them exactly where the fitted rewards span more than 2B."
)
COLUMNS = {
    "*": {
        "worst": "largest `distance` of any data set [nats]",
        "distance": "largest log-ratio pi(i)/pi(j) between the two policies of a data set [nats]",
    },
    "newton": {
        "span": "smallest span over data sets of the fitted reward on the seen actions [reward]",
        "ratio": "span of log pi/pi_ref on the seen actions, DPO over RLHF, of the data set farthest from 1",
        "data_sets": "data sets whose likelihood has a maximum [data sets]",
        "missing": "data sets whose likelihood has no maximum, left out [data sets]",
        "num_actions": "actions of a bandit [actions]",
        "num_seen": "actions that labels compare [actions]",
        "labels": "labels of a data set [labels]",
    },
    "descent": {
        "steps": "gradient steps of DPO from pi_ref [steps]",
        "excess": "largest distance beyond the remainder of descent, over data sets [nats]",
        "remainder": "largest bound over data sets on the distance of descent from its limit, by its gradient [nats]",
    },
    "bounded": {
        "bound": "bound B on RLHF's |reward| [reward]",
        "shortfall": "largest amount over data sets by which a distance is below (span - 2B)/beta [nats]",
        "ball": "largest KL(pi||pi_ref) over data sets, over 2B/beta",
        "parted": "share of data sets that the bound parts",
        "expected": "share of data sets whose unbounded fit spans more than 2B",
        "least": "median over data sets of (span - 2B)/beta, 0 where negative [nats]",
    },
}
# Log-ratios count as parted above this. The barrier of the bounded fit moves a reward near its bound by up to
# sqrt(mu/curvature), some 1e-5; where the bound binds the log-ratios part by (span - 2B)/beta at least.
_PARTED = 1e-3


@dataclass(frozen=True)
class Config:
    """Random bandits, one data set each; the actions seen, the labels; the bounds; the steps of gradient descent.

    Rewards are normal, references Dirichlet. pi_0 is pi_ref on the seen actions: the others are never compared.
    """

    num_data: int = 512
    num_actions: int = 6
    num_seen: int = 4
    num_labels: int = 400
    spread: float = 1.2
    concentration: float = 6.0
    beta: float = 0.5
    bounds: tuple[float, ...] = (0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0)
    steps: tuple[int, ...] = (0, 5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560)
    seed: int = 0


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """DPO by Newton, by descent per number of steps, and bounded RLHF per bound: log-ratios away from plain RLHF."""
    shards.expect(1)
    data, seen = shards.get("fits", (0, config.num_data), partial(simulate, config)), config.num_seen
    # Without a chain of wins from every seen action to every other there is no maximum, and nothing to compare.
    exists = strongly_connected(data["wins"][:, :seen, :seen])
    data = {name: values[exists] for name, values in data.items()}
    wins, reward = data["wins"][:, :seen, :seen], data["reward"][:, :seen]
    span = np.ptp(reward, axis=1)
    spans = [np.ptp((data[name] - data["reference"])[:, :seen], axis=1) for name in ("dpo", "rlhf")]
    ratios = spans[0] / spans[1]
    newton = {"span": float(span.min()), "ratio": float(ratios[np.abs(ratios - 1).argmax()])}
    newton |= {"data_sets": int(exists.sum()), "missing": int((~exists).sum())}
    newton |= {"num_actions": config.num_actions, "num_seen": seen, "beta": config.beta, "labels": config.num_labels}
    descent, bounded = [], []
    for place, steps in enumerate(config.steps):
        # Where descent starts at pi_ref and the reward is the shortest, they agree on the unseen actions too.
        distance, row = _distances(data["descent"][:, place], data["rlhf"], config.num_actions)
        remainder = descent_remainder(wins, reward, config.beta, data["norm"][:, place])
        excess = {"excess": float((distance - remainder).max()), "remainder": float(remainder.max())}
        descent.append({"steps": float(steps)} | row | excess)
    for place, bound in enumerate(config.bounds):
        distance, row = _distances(data["bounded"][:, place], data["rlhf"], seen)
        least = np.maximum(span - 2 * bound, 0.0) / config.beta
        ball = data["kl"][:, place] * config.beta / (2 * bound)
        row |= {"shortfall": float((least - distance).max()), "ball": float(ball.max())}
        row |= {"parted": float((distance > _PARTED).mean()), "expected": float((least > _PARTED).mean())}
        bounded.append({"bound": float(bound)} | row | {"least": float(np.median(least))})
    rows = {"newton": [_distances(data["dpo"], data["rlhf"], seen)[1] | newton], "descent": descent, "bounded": bounded}
    return {part: Table.from_rows(listed) for part, listed in rows.items()}


def _distances(policy: np.ndarray, other: np.ndarray, among: int) -> tuple[np.ndarray, dict[str, float]]:
    """(N,) largest differences of log pi(i)/pi(j) of policies (N, A) over the first `among` actions; their columns."""
    distance = np.ptp((policy - other)[:, :among], axis=1)
    return distance, {"worst": float(distance.max())} | statistics.quantiles("distance", distance)


PRESETS = {
    "smoke": Config(num_data=16, bounds=(0.5, 2.0), steps=(0, 40, 640)),
    "default": Config(),
    "paper": Config(num_data=8192),
}
EXPERIMENT = Experiment(claim=CLAIM, presets=PRESETS, run=run, check=check, plot=plot, columns=COLUMNS)
