"""The floor has no free constant (I6): n KL against tr(V* H^{-1})/2 for every sampler, and the O(1/n) remainder."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from banditlab import exact_chain, plotting
from banditlab.claims import statistics
from banditlab.claims.checks import Check, interval, upper
from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
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
CONSTANT, REMAINDER = "constant", "remainder"
_TARGET = 1.0  # theta* of the chain whose remainder is summed exactly


@dataclass(frozen=True)
class Config:
    """Instances with their seeds, batches and rounds; labels and starts theta_0 of the exact remainder.

    Every round but the first, which brings the sampler near pi*, gives one fresh batch: seeds (num_rounds - 1) in
    all. n KL has the relative deviation sqrt(2 tr S^2)/tr S <= sqrt(2) of g'V*g (I6), S = V*^{1/2} H^{-1} V*^{1/2}:
    the seeds are so many that eight standard errors are below 5%, which takes most where one direction dominates.
    """

    instances: tuple[tuple[str, int], ...] = (
        ("chain", 6656), ("staircase", 5120), ("needle", 2944), ("random features", 2432)
    )  # fmt: skip
    batches: tuple[int, ...] = (10**6, 10**9)
    num_rounds: int = 9
    labels: tuple[int, ...] = tuple(100 * 2**j for j in range(11))
    starts: tuple[float, ...] = (0.0, -1.5)
    seed: int = 0


def run(config: Config, shards: Shards) -> Table:
    """One row per instance, sampler and batch; then the exact remainder, one row per start and number of labels."""
    shards.expect(len(config.instances) + 1)
    settings = _settings(config)
    rows, failures = [], {}
    for instance, num_seeds in config.instances:
        compute = partial(simulate, instance, settings, config.num_rounds, num_seeds, config.seed)
        data = shards.get(instance, (0, num_seeds), compute)
        for place, (sampler, num_pairs) in enumerate(settings):
            row = {"kind": CONSTANT, "instance": instance, "sampler": sampler, "start": 0.0, "num_pairs": num_pairs}
            row |= {name: data[name][place] for name in ("remainder", "unproved")}
            ratio = data["ratio"][place].ravel()
            rows.append(row | statistics.mean("ratio", ratio) | {"num_batches": ratio.size})
        failures |= {f"{instance} {name[7:]}": int(n) for name, n in data.items() if name.startswith("failed_")}
    exact = shards.get("exact remainder", (0, 1), partial(_exact_remainder, config))["excess"]
    for start, excess in zip(config.starts, exact, strict=True):
        for num_labels, value in zip(config.labels, excess, strict=True):
            row = {"kind": REMAINDER, "instance": "chain", "sampler": "offline", "start": start}
            row |= {"num_pairs": num_labels, "remainder": remainder_constant(_TARGET, start) / num_labels}
            rows.append(row | {"unproved": 0, "ratio": 1.0 + value, "ratio_se": 0.0, "num_batches": 0})
    return Table.from_rows(rows, meta={"failures": failures})


def remainder_constant(target: float, start: float) -> float:
    """c of n E KL / (C_F/2) = 1 + c/n + O(1/n^2) on the chain with beta = 1, for labels from pi_{theta_0}.

    Of n pairs m ~ Binomial(n, q) are informative, q = 2 sigma'(theta_0), and action 1 wins w ~ Binomial(m, p), p =
    sigma(theta*). With beta = 1 KL is the binary kl(p||w/m), whose derivatives at w/m = p are h, -2 (1-2p) h^2 and
    6 h^2 + 6 (1-2p)^2 h^3, h = 1/(p(1-p)). Inserting the central moments 1/(h m), (1-2p)/(h m^2) and 3/(h m)^2 of
    w/m, then E 1/m = (1 + (1-q)/(nq))/(nq) + ..., gives c = (1-q)/q + (3/2 + (5/6) (1-2p)^2 h)/q.
    """
    p, q = expit(target), 2 * expit(start) * expit(-start)
    skewness = (1 - 2 * p) ** 2 / (p * (1 - p))
    return float((1 - q) / q + (1.5 + 5 / 6 * skewness) / q)


def check(table: Table) -> list[Check]:
    """Every constant to 5%; the remainder's slope and its constant, both extrapolated to n = infinity."""
    checks = []
    constants = table.where(kind=CONSTANT)
    for row in range(len(constants)):
        instance, sampler, n, measured, error, scale = (
            constants[name][row] for name in ("instance", "sampler", "num_pairs", "ratio", "ratio_se", "remainder")
        )
        why = "order of the O(1/n) remainder, (rad lam)^2 of Proposition 3"
        claim = f"n KL / (tr(V* H^-1)/2), {instance}, {sampler}, n = {n:.0e}"
        checks.append(interval(claim, 1.0, measured, error, allowance=scale, why=why))
    claim = "fits whose maximum is not proved to exist: none is dropped, and none may be there"
    checks.append(upper(claim, 0.0, constants["unproved"].sum()))
    for start in np.unique(table.where(kind=REMAINDER)["start"]):
        checks += _remainder_checks(table.where(kind=REMAINDER, start=start), f"exact chain, theta_0 = {start:g}")
    return checks


def _remainder_checks(rows: Table, words: str) -> list[Check]:
    """Richardson: local values s + a/n + b/n^2 at doubling n extrapolate to 2 s(2n) - s(n) = s + O(1/n^2).

    The error of the last extrapolation is then a third of its distance from the one before. A KL of order 1/n at
    double precision leaves relative errors n eps in KL and n^2 eps / c in the excess c/n, which the two
    differences amplify by five at most.
    """
    n, excess = rows["num_pairs"], rows["ratio"] - 1
    constant = n[-1] * rows["remainder"][-1]
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


def plot(table: Table) -> "Figure":
    """Above, measured over predicted constants with four standard errors; below, the exact remainder."""
    made, (top, bottom) = plotting.figure(2, 1, height=5.2, height_ratios=(1.9, 1))
    constants = table.where(kind=CONSTANT)
    instances = list(dict.fromkeys(constants["instance"].tolist()))
    batches = np.unique(constants["num_pairs"])
    for place, instance in enumerate(instances):
        for offset, (sampler, (label, key)) in enumerate(LOOKS.items()):
            rows = constants.where(instance=instance, sampler=sampler)
            height = -place - (offset - 2) * 0.15
            values = zip((0.03, -0.03), ("none", None), rows["ratio"], rows["ratio_se"], strict=False)
            for shift, filling, ratio, error in values:
                look = {"color": plotting.COLORS[key], "markerfacecolor": filling, "markeredgewidth": 0.7}
                marks = {"fmt": plotting.MARKERS[key], "markersize": 3, "label": None if filling else label}
                top.errorbar(ratio, height + shift, xerr=4 * error, elinewidth=0.8, **marks, **look)
    plotting.theory(top, np.ones(2), np.array([-len(instances) + 0.5, 0.5]))
    top.set_yticks(-np.arange(len(instances)), [name.replace(" ", "\n") for name in instances])
    top.set_xlabel(r"$n\,$KL / $\frac{1}{2}$tr$(V^*H^{-1})$, four standard errors")
    for start, key in zip(np.unique(table.where(kind=REMAINDER)["start"])[::-1], ("uniform", "offline"), strict=False):
        rows = table.where(kind=REMAINDER, start=start)
        bottom.plot(rows["num_pairs"], rows["ratio"] - 1, plotting.MARKERS[key], color=plotting.COLORS[key])
        plotting.theory(bottom, rows["num_pairs"], rows["remainder"], key)
        side = {"xytext": (3, 3)} if key == "offline" else {"xytext": (-3, -3), "ha": "right", "va": "top"}
        middle = len(rows) // 2
        place = (rows["num_pairs"][middle], rows["remainder"][middle])
        bottom.annotate(rf"$\theta_0={start:g}$", place, textcoords="offset points", fontsize=7, **side)
    bottom.set_xscale("log")
    bottom.set_yscale("log")
    bottom.set_xlabel("labels n (chain, exact summation)")
    bottom.set_ylabel("relative remainder")
    plotting.legend(made, columns=3)
    batch_counts = constants["num_batches"]
    plotting.caption(
        made,
        f"Linear softmax, ridge 0, one fit per fresh batch: mean over {batch_counts.min()} to {batch_counts.max()} "
        f"batches at n = {batches[0]:.0e} (open) and {batches[-1]:.0e} (filled), same seeds. On-policy: predicted at "
        "the policies realised, after the first round.",
    )
    return made


def _settings(config: Config) -> list[tuple[str, int]]:
    return [(sampler, num_pairs) for sampler in SAMPLERS for num_pairs in config.batches]


def _exact_remainder(config: Config) -> dict[str, np.ndarray]:
    """(starts, labels): n E KL / (C_F/2) - 1 for the estimate capped at R = 4, which changes it by e^{-cn} only."""
    remainder = partial(exact_chain.relative_remainder, target=_TARGET, beta=1.0, max_norm=4.0)
    return {"excess": np.asarray([[remainder(n, initial=start) for n in config.labels] for start in config.starts])}


EXPERIMENT = Experiment(
    name="floor_constants",
    claim=CLAIM,
    family="foundation",
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
)
