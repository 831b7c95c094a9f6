"""Linear features carry what is learned on the seen actions to unseen ones: exactly iff the differences span."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.store import Shards, Table
from experiments.framework import statistics
from experiments.framework.checks import Check, identity, interval, upper
from experiments.framework.experiment import Experiment
from experiments.partial_coverage.extrapolation_runs import (
    ACTIONS,
    ARMS,
    ENSEMBLE,
    SAMPLED,
    SPANNED,
    UNSEEN,
    UNSPANNED,
    changes,
    ensemble,
    error_constant,
    population,
    sampled,
    sweep,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLAIM = (
    "With linear features DPO and RLHF find every unseen reward iff the seen differences span; the best unseen action "
    "then rises while the preferred seen one falls, iff its r < beta log E_ref e^{r/beta}. Else they find P theta*."
)


@dataclass(frozen=True)
class Config:
    """The unseen action's feature in the sweeps, labels, and an ensemble of random bandits.

    Spanned: phi = 0, 1, u with theta* = target/beta. Unspanned: phi = (0,0), (1,0), length (cos a, sin a) with theta*
    = (1, 1) target/beta. n times the squared error of log pi(unseen) is chi-squared of one degree of freedom in
    the limit: with `large_seeds` eight of its standard errors are below 5%.
    """

    reference: tuple[float, ...] = (0.45, 0.45, 0.1)
    target: float = 1.0
    beta: float = 0.5
    positions: tuple[float, ...] = tuple(np.linspace(-1.0, 4.0, 21).tolist())
    angles: tuple[float, ...] = tuple(np.linspace(-90.0, 90.0, 25).tolist())
    length: float = 1.5
    labels: float = 300
    num_seeds: int = 1024
    position: float = 2.0
    large: float = 1e8
    large_seeds: int = 53248
    steps: int = 2000
    num_actions: int = 7
    num_features: int = 4
    num_bandits: int = 256
    seed: int = 0


def run(config: Config, shards: Shards) -> Table:
    """Rows of log pi/pi_ref per sweep, setting, arm and action; errors of sampled labels; errors of the ensemble."""
    shards.expect(4)
    rows, failures = [], {}
    data = shards.get("population", (0, 1), partial(population, config))
    failures["population: fits not converged"] = int((data["status"] != 0).sum())
    settings = [(SPANNED, value) for value in config.positions] + [(UNSPANNED, value) for value in config.angles]
    for place, (kind, setting) in enumerate(settings):
        features, target = sweep(config, kind, setting)
        learned = target * np.array([1.0, 0.0])  # P theta*, P onto the seen axis; theta* itself in the first sweep
        for action, name in enumerate(ACTIONS):
            row = _row(kind, setting, name, np.inf) | {"truth": changes(config, features, target)[action]}
            row |= {"predicted": changes(config, features, learned)[action]}
            rows.append(row | {f"{arm}_median": float(data[arm][place, action]) for arm in ARMS})
    data = shards.get("labels", (0, config.num_seeds), partial(sampled, config, config.labels, config.num_seeds))
    failures["labels: seeds without a maximum of the likelihood"] = int(data["missing"])
    for place, setting in enumerate(config.positions):
        features, target = sweep(config, SPANNED, setting)
        for action, name in enumerate(ACTIONS):
            row = _row(SAMPLED, setting, name, config.labels) | {"truth": changes(config, features, target)[action]}
            row |= statistics.quantiles("dpo", data["dpo"][place, :, action])
            row |= statistics.quantiles("rlhf", data["rlhf"][place, :, action])
            rows.append(row | {"predicted": row["truth"], "seeds": config.num_seeds})
    data = shards.get(
        "many labels", (0, config.large_seeds), partial(sampled, config, config.large, config.large_seeds)
    )
    failures["many labels: seeds without a maximum of the likelihood"] = int(data["missing"])
    features, target = sweep(config, SPANNED, config.position)
    truth = changes(config, features, target)[UNSEEN]
    row = _row(SAMPLED, config.position, "error", config.large) | {"truth": error_constant(config), "predicted": 1.0}
    for arm in ARMS:
        square = config.large * (data[arm][0, :, UNSEEN] - truth) ** 2 / error_constant(config)
        row |= {f"{name}_mean": value for name, value in statistics.mean(arm, square).items() if name == arm}
    rows.append(row | {"seeds": config.large_seeds})
    data = shards.get(ENSEMBLE, (0, config.num_bandits), partial(ensemble, config))
    failures["ensemble: fits not converged"] = int(data["not_converged"])
    for place, count in enumerate(data["seen"]):
        row = _row(ENSEMBLE, float(count), "params", np.inf) | {"truth": float(data["lost"][place].min())}
        row |= {"predicted": float(data["lost"][place].max()), "rlhf_median": float(data["error"][place].max())}
        rows.append(row | {"off": float(data["off"][place].max()), "seeds": config.num_bandits})
    return Table.from_rows(rows, meta={"failures": failures, "beta": config.beta})


def _row(kind: str, setting: float, quantity: str, labels: float) -> dict[str, float | str]:
    numbers = ("truth", "predicted", "off", "seeds", "dpo_mean", "rlhf_mean")
    levels = [f"{arm}_{level}{se}" for arm in ARMS for level in statistics.BAND for se in ("", "_se")]
    return {"kind": kind, "setting": setting, "quantity": quantity, "labels": float(labels)} | dict.fromkeys(
        (*numbers, *levels), 0.0
    )


def check(table: Table) -> list[Check]:
    """Both arms against the closed forms in every setting, the condition's signs, the error's constant, the iff."""
    checks = []
    why = "the optimisers' error: Newton's of 1e-10 in margins, a gradient of 1e-8 over a curvature above 1e-2"
    for kind, words in ((SPANNED, "r/beta - log E_ref e^(r/beta)"), (UNSPANNED, "the same at P theta*")):
        rows = table.where(kind=kind)
        for arm in ARMS:
            worst = int(np.abs(rows[f"{arm}_median"] - rows["predicted"]).argmax())
            claim = f"{kind}, {arm}: change of log pi = {words}, worst of {len(rows)}"
            predicted, measured = rows["predicted"][worst], rows[f"{arm}_median"][worst]
            checks.append(identity(claim, predicted, measured, why=why, atol=1e-6))
    preferred, unseen = (table.where(kind=SPANNED, quantity=name) for name in ("preferred", "unseen"))
    for arm in ARMS:
        both = (preferred[f"{arm}_median"] < 0) & (unseen[f"{arm}_median"] > 0)
        expected = (preferred["truth"] < 0) & (unseen["truth"] > 0)
        claim = f"{arm}: settings where the unseen action rises and the preferred one falls, against the condition"
        checks.append(identity(claim, expected.sum(), both.sum(), why="no tolerance: a count"))
    row = table.where(quantity="error")
    for arm in ARMS:
        claim = f"{arm}: n times the squared error of log pi(unseen) over its constant, n = {row['labels'][0]:.0e}"
        error = np.sqrt(2 / row["seeds"][0])  # chi-squared of one degree of freedom
        why = "remainder of order 1/n"
        allowance = row["truth"][0] / row["labels"][0]
        checks.append(interval(claim, 1.0, row[f"{arm}_mean"][0], error, allowance=allowance, why=why))
    for rows in (table.where(kind=ENSEMBLE, setting=size) for size in np.unique(table.where(kind=ENSEMBLE)["setting"])):
        size, lost = rows["setting"][0], rows["truth"][0]
        why = "Newton's error of 1e-10 in margins over the smallest singular value of the differences"
        claim = f"{size:.0f} seen actions of random features: the fit is P theta*, farthest of {rows['seeds'][0]:.0f}"
        checks.append(upper(claim, 0.0, rows["off"][0], allowance=1e-6, why=why))
        if lost < 1e-9:
            claim = f"{size:.0f} seen actions span: ||theta_hat - theta*||, the largest"
            checks.append(upper(claim, 0.0, rows["rlhf_median"][0], allowance=1e-6, why=why))
        else:
            claim = (
                f"{size:.0f} seen actions do not span: the largest ||theta_hat - theta*|| is that of (Id - P) theta*"
            )
            checks.append(identity(claim, rows["predicted"][0], rows["rlhf_median"][0], why=why, atol=1e-6))
    return checks


def plot(table: Table) -> "Figure":
    """Above, the spanned sweep; below, the unspanned one: what is learned against the truth."""
    made, (top, bottom) = plotting.figure(2, 1, height=4.8)
    for ax in (top, bottom):
        ax.axhline(0.0, color="#888888", linewidth=0.6, zorder=1)
    for quantity, place in (("preferred", (3.1, -1.1)), ("unseen", (-0.6, -3.3))):
        drawn = table.where(kind=SAMPLED, quantity=quantity)
        exact = table.where(kind=SPANNED, quantity=quantity)
        band = np.stack([drawn[f"dpo_{level}"] for level in ("low", "high")])
        top.fill_between(drawn["setting"], *band, color=plotting.COLORS["dpo"], alpha=0.2, linewidth=0)
        _arms(top, exact)
        plotting.theory(top, exact["setting"], exact["truth"])
        top.annotate(quantity, place, fontsize=7)
    preferred = table.where(kind=SPANNED, quantity="preferred")
    if (preferred["truth"] < 0).any() and (preferred["truth"] > 0).any():
        crossing = np.interp(0.0, -preferred["truth"], preferred["setting"])  # it falls with u
        top.axvspan(crossing, preferred["setting"].max(), color="#BBBBBB", alpha=0.25, linewidth=0)
    rows = table.where(kind=UNSPANNED, quantity="unseen")
    _arms(bottom, rows)
    plotting.theory(bottom, rows["setting"], rows["predicted"])
    bottom.plot(rows["setting"], rows["truth"], color=plotting.COLORS["reference"], linewidth=1.0, label=r"$\pi^*$")
    bottom.annotate("unseen", (-85, 0.3), fontsize=7)
    top.set(xlabel="feature u of the unseen action", ylabel=r"log $\pi/\pi_{\rm ref}$")
    bottom.set(xlabel="angle to the seen difference, degrees", ylabel=r"log $\pi/\pi_{\rm ref}$")
    top.set_title("seen differences span")
    bottom.set_title("seen differences do not span")
    plotting.legend(made, columns=4, theory_label="closed form")
    drawn = table.where(kind=SAMPLED, quantity="unseen")
    plotting.caption(
        made,
        "Linear softmax; labels compare two of three actions, features 0 and 1 above. Markers: infinitely many labels, "
        f"DPO by gradient descent from pi_ref. Bands: 10-90% of DPO on {drawn['labels'][0]:.0f} labels, "
        f"{drawn['seeds'][0]:.0f} seeds. Shaded: r of the preferred action is below beta log E_ref e^(r/beta), and its "
        "probability falls although it is the better of the two compared. Dashed below: the closed form at P theta*, "
        "the part of theta* along the seen difference.",
    )
    return made


def _arms(ax, rows: Table) -> None:
    size = {"dpo": {"markersize": 3}, "rlhf": {"markerfacecolor": "none", "markersize": 6, "markeredgewidth": 0.8}}
    for arm in ARMS:
        look = {"color": plotting.COLORS[arm], "marker": plotting.MARKERS[arm], "linestyle": "", **size[arm]}
        ax.plot(rows["setting"], rows[f"{arm}_median"], label=plotting.LABELS[arm], **look)


EXPERIMENT = Experiment(
    name="extrapolation",
    claim=CLAIM,
    family="partial_coverage",
    presets={
        "smoke": Config(
            positions=(-1.0, 2.0), angles=(-45.0, 45.0), num_seeds=64, large_seeds=128, num_bandits=8, num_actions=6
        ),
        "default": Config(),
        "paper": Config(num_seeds=10240, large_seeds=532480, num_bandits=4096),
    },
    run=run,
    check=check,
    plot=plot,
)
