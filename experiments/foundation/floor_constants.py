"""The floor has no free constant (I6): n KL against tr(V* H^{-1})/2 for every sampler, and the O(1/n) remainder."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.claims import Check, Experiment, Shards, Table, interval, statistics, upper
from banditlab.exact import chain
from banditlab.exact.remainder import remainder_constant
from experiments.shared.floor_batches import SAMPLERS, simulate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLAIM = (
    "Whatever the sampler, n E KL(pi*||pi_hat) = tr(V* H(mu)^{-1})/2 without a free constant, "
    "up to a relative remainder of order 1/n."
)
# Name in the figure, and colour.
LOOKS = {
    "offline": ("offline", "offline"),
    "uniform": ("uniform", "uniform"),
    "on_policy": ("on-policy", "on_policy"),
    "design_joint": ("joint design", "design"),
    "design_triple": ("triple design", "design_one_round"),
}


@dataclass(frozen=True)
class Config:
    """Instances with their seeds, batches, rounds and beta; theta*, starts theta_0 and labels of the exact remainder.

    Every round but the first, which brings the sampler near pi*, gives one fresh batch: seeds (num_rounds - 1) in
    all. n KL has the relative deviation sqrt(2 tr S^2)/tr S <= sqrt(2) of g'V*g (I6), S = V*^{1/2} H^{-1} V*^{1/2}:
    the seeds are so many that eight standard errors are below 5%, which takes most where one direction dominates.
    The exact remainder is that of a chain with beta = 1 whatever `beta` is, as its closed form is for that one.
    """

    instances: tuple[tuple[str, int], ...] = (
        ("chain", 6656), ("staircase", 5120), ("needle", 2944), ("random features", 2432)
    )  # fmt: skip
    batches: tuple[int, ...] = (10**6, 10**9)
    num_rounds: int = 9
    labels: tuple[int, ...] = tuple(100 * 2**j for j in range(11))
    starts: tuple[float, ...] = (0.0, -1.5)
    seed: int = 0
    beta: float = 1.0
    target: float = 1.0


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """One row per instance, sampler and batch; and the exact remainder, one row per start and number of labels."""
    shards.expect(len(config.instances) + 1)
    settings = [(sampler, num_pairs) for sampler in SAMPLERS for num_pairs in config.batches]
    constants = []
    for instance, num_seeds in config.instances:
        compute = partial(simulate, instance, settings, config.num_rounds, num_seeds, config.seed, config.beta)
        data = shards.get(instance, (0, num_seeds), compute)
        for place, (sampler, num_pairs) in enumerate(settings):
            row = {"instance": instance, "beta": config.beta, "sampler": sampler, "num_pairs": num_pairs}
            row |= {"remainder_order": data["remainder"][place], "num_unproved": data["unproved"][place]}
            ratio = data["ratio"][place].ravel()
            constants.append(row | statistics.mean("ratio", ratio) | {"num_batches": ratio.size})
    excess = shards.get("exact remainder", (0, 1), partial(_exact_remainder, config))["excess"]
    starts, labels = (values.ravel() for values in np.meshgrid(config.starts, config.labels, indexing="ij"))
    predicted = np.asarray([remainder_constant(config.target, start) for start in starts]) / labels
    exact = {"target": config.target, "start": starts, "labels": labels, "predicted": predicted}
    return {"constants": Table.from_rows(constants), "remainder": Table(exact | {"ratio": 1.0 + excess.ravel()})}


def _exact_remainder(config: Config) -> dict[str, np.ndarray]:
    """(starts, labels): n E KL / (C_F/2) - 1 for the estimate capped at R = theta* + 3: that changes it by e^{-cn}."""
    cap = 3.0 + abs(config.target)
    remainder = partial(chain.relative_remainder, target=config.target, beta=1.0, max_norm=cap)
    return {"excess": np.asarray([[remainder(n, initial=start) for n in config.labels] for start in config.starts])}


def check(tables: Mapping[str, Table]) -> list[Check]:
    """Every constant to 5%; the remainder's slope and its constant, both extrapolated to n = infinity."""
    checks = []
    constants, why = tables["constants"], "order of the O(1/n) remainder, (rad lam)^2 of Proposition 3"
    names = ("instance", "sampler", "num_pairs", "ratio", "ratio_se", "remainder_order")
    for instance, sampler, n, measured, error, scale in zip(*(constants[name] for name in names), strict=True):
        claim = f"n KL / (tr(V* H^-1)/2), {instance}, {sampler}, n = {n:.0e}"
        checks.append(interval(claim, 1.0, measured, error, allowance=scale, why=why))
    claim = "fits whose maximum is not proved to exist: none is dropped, and none may be there"
    checks.append(upper(claim, 0.0, constants["num_unproved"].sum()))
    for start in np.unique(tables["remainder"]["start"]):
        checks += _remainder_checks(tables["remainder"].where(start=start), f"exact chain, theta_0 = {start:g}")
    return checks


def _remainder_checks(rows: Table, words: str) -> list[Check]:
    """Richardson: local values s + a/n + b/n^2 at doubling n extrapolate to 2 s(2n) - s(n) = s + O(1/n^2).

    The error of the last extrapolation is then a third of its distance from the one before. A KL of order 1/n at
    double precision leaves relative errors n eps in KL and n^2 eps / c in the excess c/n, which the two
    differences amplify by five at most.
    """
    n, excess = rows["labels"], rows["ratio"] - 1
    constant = n[-1] * rows["predicted"][-1]
    rounding = 5 * n[-1] ** 2 * np.finfo(float).eps / constant
    why = f"next order, 1/n^2, and rounding of {rounding:.0e}"
    checks = []
    for claim, predicted, local in (
        ("slope of the remainder in n", -1.0, np.log2(excess[1:] / excess[:-1])),
        ("n times the remainder", constant, n * excess),
    ):
        before, measured = 2 * local[-2:] - local[-3:-1]
        allowance = abs(measured - before) + rounding * abs(predicted)
        claim = f"{claim}, n to infinity, {words}"
        checks.append(interval(claim, predicted, measured, 0.0, allowance=allowance, why=why))
    return checks


def plot(tables: Mapping[str, Table]) -> "Figure":
    """Above, measured over predicted constants at the largest batch; below, the exact remainder."""
    made, (top, bottom) = plotting.figure(2, 1, height=5.2, height_ratios=(1.7, 1))
    constants, remainder = tables["constants"], tables["remainder"]
    instances = list(dict.fromkeys(constants["instance"].tolist()))
    largest = constants["num_pairs"].max()
    for place, instance in enumerate(instances):
        for offset, (sampler, (label, key)) in enumerate(LOOKS.items()):
            row = constants.where(instance=instance, sampler=sampler, num_pairs=largest)
            look = {"color": plotting.COLORS[key], "fmt": plotting.MARKERS[key], "label": label, "elinewidth": 0.8}
            top.errorbar(row["ratio"], -place - (offset - 2) * 0.15, xerr=plotting.NUM_ERRORS * row["ratio_se"], **look)
    plotting.theory(top, np.ones(2), np.array([-len(instances) + 0.5, 0.5]))
    top.set_yticks(-np.arange(len(instances)), [name.replace(" ", "\n") for name in instances])
    top.set_xlabel(r"$n\,$KL / $\frac{1}{2}$tr$(V^*H^{-1})$")
    top.set_title("Every sampler has its predicted constant")
    starts = np.unique(remainder["start"])[::-1]
    for start, shade, marker in zip(starts, plotting.shades("reference", len(starts)), "oD", strict=False):
        rows = remainder.where(start=start)
        bottom.plot(rows["labels"], rows["ratio"] - 1, marker, color=shade, gid="labelled")
        line = plotting.theory(bottom, rows["labels"], rows["predicted"], color=shade)
        offset = (4, 5) if start == starts[-1] else (-4, -5)
        plotting.direct_label(line, rf"$\theta_0={start:g}$", place=len(rows) // 2, offset=offset)
    bottom.set(xscale="log", yscale="log", xlabel="labels $n$ (chain, exact summation)", ylabel="relative remainder")
    bottom.set_title("Its remainder is $c/n$, with $c$ as predicted")
    plotting.legend(made, columns=3, theory_label="predicted")
    counts = constants["num_batches"]
    plotting.caption(
        made,
        f"Linear softmax, $\\beta$ = {constants['beta'][0]:g}, ridge 0, one fit per fresh batch of "
        f"{plotting.number(largest)} labels: means over {counts.min():,} to {counts.max():,} batches. {plotting.BARS} "
        "On-policy: predicted at the policies realised, after the first round. Below: $\\beta$ = 1, $\\theta^*$ = "
        f"{remainder['target'][0]:g}; dashed: $c/n$.",
    )
    return made


EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(instances=(("chain", 512),), num_rounds=2, labels=(100, 200, 400, 800, 1600)),
        "default": Config(),
        "paper": Config(
            instances=(("chain", 66_560), ("staircase", 51_200), ("needle", 29_440), ("random features", 24_320))
        ),
    },
    run=run,
    check=check,
    plot=plot,
    columns={
        "constants": {
            "instance": "environment, by its name in `floor_batches`",
            "sampler": "law of the pairs, by its name in `floor_batches`",
            "remainder_order": "(rad lam)^2 of Proposition 3, the order of the relative remainder of E KL",
            "num_unproved": "fits whose maximum is not proved to exist [fits]",
            "ratio": "n KL(pi*||pi) over tr(V* H^-1)/2, mean over fresh batches of n labels",
            "num_batches": "batches that the row summarises [batches]",
        },
        "remainder": {
            "target": "theta* of the chain",
            "start": "theta_0 of the chain, from whose policy the pairs are",
            "labels": "labels n of the one batch [labels]",
            "predicted": "c/n, first order of the relative remainder of n E KL(pi*||pi)",
            "ratio": "n E KL(pi*||pi) over tr(V* H^-1)/2, by exact summation",
        },
    },
)
