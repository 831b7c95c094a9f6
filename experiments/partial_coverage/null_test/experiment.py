"""The null test: with one unbounded tabular class, RLHF and DPO are the same on seen actions; a bound parts them."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from banditlab.claims import statistics
from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
from experiments.partial_coverage.null_test.checks import check
from experiments.partial_coverage.null_test.figure import plot
from experiments.partial_coverage.null_test.laws import descent_remainder, strongly_connected
from experiments.partial_coverage.null_test.runs import BOUNDED, DESCENT, NEWTON, simulate

CLAIM = (
    "With one unbounded tabular class RLHF and DPO give the same policy on the seen actions, whatever the data set; a "
    "bound B on the reward parts them exactly where the fitted rewards span more than 2B."
)
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


def run(config: Config, shards: Shards) -> Table:
    """One row per bound, and per number of steps; one of Newton. Differences are of log-ratios on seen actions."""
    shards.expect(1)
    data = shards.get("fits", (0, config.num_data), partial(simulate, config))
    # Without a chain of wins from every seen action to every other there is no maximum, and nothing to compare.
    exists = strongly_connected(data["wins"][:, : config.num_seen, : config.num_seen])
    failures = {"data sets without a maximum of the likelihood": int((~exists).sum())}
    data = {name: values[exists] for name, values in data.items()}
    failures["fits not converged"] = int((data["status"] != 0).sum())
    failures["labels that differ between the two"] = int((data["wins"] != data["rlhf_wins"]).sum())
    common = {
        "data_sets": int(exists.sum()),
        "missing": int((~exists).sum()),
        "beta": config.beta,
        "labels": config.num_labels,
    }
    span = np.ptp(data["reward"][:, : config.num_seen], axis=1)
    ratios = _log_ratio_span(config, data["dpo"], data) / _log_ratio_span(config, data["rlhf"], data)
    ratio = {"ratio": float(ratios[np.abs(ratios - 1).argmax()]), "span": float(span.min())}
    rows = [_row(NEWTON, 0.0, _distance(config, data["dpo"], data["rlhf"]), common | ratio)]
    everywhere = config.num_actions
    for place, steps in enumerate(config.steps):
        # Where descent starts at pi_ref and the reward is the shortest, they agree on the unseen actions too.
        distance = _distance(config, data["descent"][:, place], data["rlhf"], everywhere)
        remainder = descent_remainder(config, data["wins"], data["reward"], data["norm"][:, place])
        excess = {"excess": float((distance - remainder).max()), "remainder": float(remainder.max())}
        rows.append(_row(DESCENT, steps, distance, common | excess))
    for place, bound in enumerate(config.bounds):
        distance = _distance(config, data["bounded"][:, place], data["rlhf"])
        least = np.maximum(span - 2 * bound, 0.0) / config.beta
        ball = data["kl"][:, place] * config.beta / (2 * bound)
        measured = {"excess": float((least - distance).max()), "ball": float(ball.max())}
        parted = {"parted": float((distance > _PARTED).mean()), "expected": float((least > _PARTED).mean())}
        rows.append(_row(BOUNDED, bound, distance, common | measured | parted | {"least": float(np.median(least))}))
    return Table.from_rows(rows, meta={"failures": failures})


def _row(kind: str, setting: float, distance: np.ndarray, columns: dict[str, float]) -> dict[str, float | str]:
    empty = dict.fromkeys(("excess", "remainder", "ball", "parted", "expected", "least", "span", "ratio"), 0.0)
    row = {"kind": kind, "setting": float(setting), "worst": float(distance.max())}
    return row | statistics.quantiles("distance", distance) | empty | columns


def _distance(config: Config, policy: np.ndarray, other: np.ndarray, among: int | None = None) -> np.ndarray:
    """(N,) largest difference of log pi(i)/pi(j) between policies (N, A), over pairs of the first `among` actions."""
    gap = (policy - other)[:, : among or config.num_seen]
    return np.ptp(gap, axis=1)


def _log_ratio_span(config: Config, policy: np.ndarray, data: dict[str, np.ndarray]) -> np.ndarray:
    """(N,) span of log pi/pi_ref over the seen actions."""
    return np.ptp((policy - data["reference"])[:, : config.num_seen], axis=1)


EXPERIMENT = Experiment(
    name="null_test",
    claim=CLAIM,
    family="partial_coverage",
    presets={
        "smoke": Config(num_data=16, bounds=(0.5, 2.0), steps=(0, 40, 640)),
        "default": Config(),
        "paper": Config(num_data=8192),
    },
    run=run,
    check=check,
    plot=plot,
)
