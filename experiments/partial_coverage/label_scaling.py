"""Labels under partial coverage: the gap falls like C_F/n, and what n has to be measured in when an action is rare."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binom, poisson

import banditlab as bl
from banditlab import plotting
from banditlab.store import Shards, Table
from experiments.framework import statistics
from experiments.framework.checks import Check, interval, upper
from experiments.framework.experiment import Experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLAIM = (
    "Offline the gap is (beta/2) C_F/n, slope -1, once the labels with the rarest action are many, which n above C_F "
    "does not ensure; gap/p is a function of n p at fixed rewards, and rewards that lift it cost n p^(1+beta)."
)
FIXED, LIFTED = "fixed", "lifted"
CURVE, CONSTANT, LIMIT, LAW = "curve", "constant", "limit", "law"


@dataclass(frozen=True)
class Config:
    """Two actions, pi_ref = (1 - p, p), phi in {0, 1}: masses p, temperatures, labels.

    Rewards of the rare action: `reward` (fixed), or what makes pi* = (1/2, 1/2) (lifted). Estimates are capped at
    |theta| <= |theta*| + margin, so that data without a loss count. `labels` is n p (fixed) or n/C_F (lifted), and
    `large` the same for the constants; there 2n KL/C_F is chi-squared of one degree of freedom, of deviation sqrt(2),
    and over all masses the seeds of a regime and temperature are so many that eight standard errors are below 5%.
    `rates` are the n p at which the smallest mass is compared with the law at p = 0; its deviation is below its mean.
    """

    masses: tuple[float, ...] = (1e-1, 1e-3, 1e-5)
    betas: tuple[float, ...] = (0.5, 1.0)
    reward: float = 1.0
    margin: float = 1.0
    labels: tuple[float, ...] = (1e-2, 1e-1, 1.0, 10.0, 100.0, 1e3)
    num_seeds: int = 1024
    large: float = 1e5
    large_seeds: int = 17408
    rates: tuple[float, ...] = (0.3, 3.0)
    tiny: float = 1e-9
    rate_seeds: int = 32768
    seed: int = 0


def target_params(regime: str, mass: float, beta: float, reward: float) -> float:
    """theta* = r/beta of the rare action: log((1-p)/p) if lifted."""
    return float(np.log1p(-mass) - np.log(mass)) if regime == LIFTED else reward / beta


def environment(mass: float, beta: float, target: float) -> bl.Environment:
    """The bandit of Config."""
    reference = np.log([[1 - mass, mass]])
    return bl.Environment.create([[[0.0], [1.0]]], target_params=[target], log_reference=reference, beta=beta)


def label_price(mass: float, beta: float, target: float) -> float:
    """C_F = p*(1 - p*) / (2 beta^2 p (1-p) sigma'(beta theta*)), p* the mass of the rare action under pi*."""
    odds, half = mass / (1 - mass) * np.exp(target), 0.5 * beta * target
    return float(odds / (1 + odds) ** 2 * 4 * np.cosh(half) ** 2 / (2 * beta**2 * mass * (1 - mass)))


def rare_limit(rate: float, beta: float, reward: float, margin: float) -> tuple[float, float]:
    """Mean and standard deviation of gap/p as p -> 0 with n p -> `rate`, by summation.

    m ~ Poisson(2 n p) labels compare the two actions, w ~ Binomial(m, sigma(r)) of them for the rare one, theta_hat
    = logit(w/m)/beta, capped, 0 without any; and KL(pi_hat||pi*)/p -> e^t (t - t*) - e^t + e^{t*} at t = theta_hat.
    """
    target = reward / beta
    most = int(poisson.isf(1e-15, 2 * rate)) + 1
    m, w = np.meshgrid(np.arange(most + 1), np.arange(most + 1), indexing="ij")
    probs = poisson.pmf(m, 2 * rate) * binom.pmf(w, m, 1 / (1 + np.exp(-reward)))
    with np.errstate(divide="ignore", invalid="ignore"):
        logit = np.log(w) - np.log(np.maximum(m - w, 0))
    estimate = np.clip(np.where(m > 0, logit / beta, 0.0), -(target + margin), target + margin)
    estimate, probs = np.where(w <= m, estimate, 0.0), np.where(w <= m, probs, 0.0)
    gap = beta * (np.exp(estimate) * (estimate - target) - np.exp(estimate) + np.exp(target))
    mean = float((probs * gap).sum())
    return mean, float(np.sqrt((probs * (gap - mean) ** 2).sum()))


def run(config: Config, shards: Shards) -> Table:
    """Curves and constants per regime, beta and p; the comparison with the law at p = 0; the law."""
    cells = [(regime, beta, mass) for regime in (FIXED, LIFTED) for beta in config.betas for mass in config.masses]
    parts = (
        (CURVE, [(*cell, amount) for cell in cells for amount in config.labels], config.num_seeds),
        (CONSTANT, [(*cell, config.large) for cell in cells], config.large_seeds),
        (
            LIMIT,
            [(FIXED, beta, config.tiny, rate) for beta in config.betas for rate in config.rates],
            config.rate_seeds,
        ),
    )
    shards.expect(len(parts))
    rows, failures = [], {}
    for place, (kind, settings, seeds) in enumerate(parts):
        data = shards.get(kind, (0, seeds), partial(simulate, config, settings, seeds, config.seed + place))
        failures[f"{kind}: fits not converged"] = int(data["failed"])
        for setting, labels, gaps in zip(settings, data["labels"], data["gap"], strict=True):
            regime, beta, mass, _ = setting
            row = _row(config, kind, regime, beta, mass, labels) | {"seeds": seeds}
            if kind == LIMIT:
                law = rare_limit(labels * mass, beta, config.reward, config.margin)
                row |= dict(zip(("exact", "deviation"), law, strict=True))
            rows.append(row | statistics.mean("gap", gaps))
    for beta in config.betas:
        for rate in np.geomspace(config.labels[0], 300.0, 24):  # beyond, the slope is -1
            mean, deviation = rare_limit(rate, beta, config.reward, config.margin)
            row = _row(config, LAW, FIXED, beta, 0.0, rate) | {"gap": mean, "gap_se": 0.0, "seeds": 0}
            rows.append(row | {"exact": mean, "deviation": deviation})
    return Table.from_rows(rows, meta={"failures": failures})


def _row(config: Config, kind: str, regime: str, beta: float, mass: float, labels: float) -> dict[str, float | str]:
    """What is known before any label: `labels` is n, or n p in the rows of the law at p = 0."""
    row = {"kind": kind, "regime": regime, "beta": beta, "mass": mass, "labels": float(labels)}
    row |= {"price": 0.0, "remainder": 0.0, "exact": 0.0, "deviation": 0.0}
    if mass > 0:
        target = target_params(regime, mass, beta, config.reward)
        curvature = 0.25 / np.cosh(0.5 * beta * target) ** 2
        # (rad lam)^2 of Proposition 3, in the mean: one over the information of the comparisons.
        row |= {"remainder": float(1 / (2 * labels * mass * (1 - mass) * curvature))}
        row |= {"price": label_price(mass, beta, target)}
    return row


def simulate(config: Config, settings: list, num_seeds: int, seed: int) -> dict[str, np.ndarray]:
    """Gaps (settings, num_seeds) of offline DPO, and the labels of every setting; one compiled program for all."""
    algorithms, envs, labels = [], [], []
    for regime, beta, mass, amount in settings:
        target = target_params(regime, mass, beta, config.reward)
        unit = 1 / mass if regime == FIXED else label_price(mass, beta, target)
        count = max(1.0, float(round(amount * unit)))
        algorithms.append(bl.algorithms.offline_dpo(count, max_norm=abs(target) + config.margin, max_pairs=1e15))
        envs.append(environment(mass, beta, target))
        labels.append(count)
    run = bl.simulate_grid(
        algorithms, envs, num_rounds=1, num_seeds=num_seeds, seed=seed, record_params=False,
        metrics=("gap",), common_seeds=False,
    )  # fmt: skip
    failed = np.asarray(run.failures["max_steps"] + run.failures["nonfinite"])
    return {"gap": run.metrics["gap"][:, :, 0], "labels": np.asarray(labels), "failed": failed}


def check(table: Table) -> list[Check]:
    """The constant and the slope of both regimes; the law at p = 0; the exponent; where n >> C_F is not enough."""
    checks = []
    constants, curves = table.where(kind=CONSTANT), table.where(kind=CURVE)
    for regime in (FIXED, LIFTED):
        for beta in np.unique(table["beta"]):
            words = f"{regime} rewards, beta = {beta:g}"
            rows = constants.where(regime=regime, beta=beta)
            ratios = scaled(rows)
            error = np.sqrt(2 / rows["seeds"].sum())  # chi-squared of one degree of freedom
            why = "order of the remainder, (rad lam)^2 of Proposition 3"
            claim = f"2 n gap / (beta C_F), {words}, mean over all p at the most labels"
            checks.append(interval(claim, 1.0, ratios.mean(), error, allowance=rows["remainder"].max(), why=why))
            checks.append(_slope(rows, curves.where(regime=regime, beta=beta), words))
            if regime == LIFTED:
                checks.append(_exponent(rows, beta))
    limits = table.where(kind=LIMIT)
    for row in range(len(limits)):
        beta, mass, labels, exact, deviation = (
            limits[name][row] for name in ("beta", "mass", "labels", "exact", "deviation")
        )
        claim = f"gap/p against the law at p = 0, fixed rewards, beta = {beta:g}, n p = {labels * mass:g}"
        error = deviation / np.sqrt(limits["seeds"][row])
        why = "KL/p has a remainder of order p e^(2 theta), theta <= 4"
        checks.append(
            interval(claim, exact, limits["gap"][row] / mass, error, allowance=exact * mass * np.exp(8), why=why)
        )
    few = curves.where(regime=FIXED, mass=curves["mass"].min())
    few = few.where(labels=few["labels"][np.abs(few["labels"] * few["mass"] - 0.1).argmin()])
    least = (few["labels"] / few["price"]).min()
    claim = f"n above {least:.0f} C_F but n p = 0.1: 2 n gap / (beta C_F) is far from 1, at most"
    errors = few["gap_se"] * 2 * few["labels"] / (few["beta"] * few["price"])
    worst = int(scaled(few).argmax())
    return [*checks, upper(claim, 0.5, scaled(few)[worst] + 4 * errors[worst], why="four standard errors are added")]


def scaled(rows: Table) -> np.ndarray:
    """2 n gap / (beta C_F): 1 for many labels."""
    return 2 * rows["labels"] * rows["gap"] / (rows["beta"] * rows["price"])


def _slope(constants: Table, curves: Table, words: str) -> Check:
    """d log gap / d log n between the last point of every curve and the constants, averaged over the masses."""
    ends = [curves.where(mass=mass) for mass in constants["mass"]]
    last = [rows["labels"].argmax() for rows in ends]
    columns = {name: np.array([rows[name][k] for rows, k in zip(ends, last, strict=True)]) for name in curves.columns}
    lever = np.log(constants["labels"] / columns["labels"])
    slopes = np.log(constants["gap"] / columns["gap"]) / lever
    errors = np.sqrt(2 / constants["seeds"] + 2 / columns["seeds"]) / lever
    allowance = (columns["remainder"] / lever).max()
    why = "the remainder (rad lam)^2 of Proposition 3 at the fewer labels, over log n"
    claim = f"slope of log gap in log n, {words}"
    return interval(claim, -1.0, slopes.mean(), np.sqrt((errors**2).sum()) / len(errors), allowance=allowance, why=why)


def _exponent(rows: Table, beta: float) -> Check:
    """d log(n gap) / d log p between the two smallest masses: -(1 + beta), up to the factor (1 + p^beta)^2 of C_F."""
    small, large = rows.where(mass=rows["mass"].min()), rows.where(mass=np.sort(rows["mass"])[1])
    lever = float(np.log(large["mass"][0] / small["mass"][0]))
    values = [float(part["labels"][0] * part["gap"][0]) for part in (small, large)]
    odds = [float((part["mass"][0] / (1 - part["mass"][0])) ** beta) for part in (small, large)]
    allowance = (2 * np.log((1 + odds[1]) / (1 + odds[0])) + (2 + beta) * large["mass"][0]) / lever
    error = float(np.sqrt(2 / small["seeds"][0] + 2 / large["seeds"][0])) / lever
    claim = f"d log(n gap)/d log p with lifted rewards, beta = {beta:g}: -(1 + beta)"
    why = "the factor (1 + (p/(1-p))^beta)^2 (1-p)^-(1+beta) of C_F"
    return interval(claim, -(1 + beta), np.log(values[1] / values[0]) / lever, error, allowance=allowance, why=why)


def plot(table: Table) -> "Figure":
    """gap/beta against n/C_F; gap/p against n p (fixed rewards); gap/beta against n p^(1+beta) (lifted)."""
    made, axes = plotting.figure(3, 1, height=6.6)
    curves = table.where(kind=CURVE)
    masses = np.sort(np.unique(curves["mass"]))[::-1]
    betas = np.unique(curves["beta"])
    for regime, key in ((FIXED, "dpo"), (LIFTED, "reference")):
        for mass, shade in zip(masses, plotting.shades(key, len(masses)), strict=True):
            for beta, filling in zip(betas, ("none", shade), strict=False):
                rows = curves.where(regime=regime, mass=mass, beta=beta)
                label = f"{regime}, p = {mass:g}" if beta == betas[-1] else None
                look = {"color": shade, "markerfacecolor": filling, "markeredgewidth": 0.8, "linewidth": 0.7}
                own, unit = (axes[1], mass) if regime == FIXED else (axes[2], mass ** (1 + beta))
                value = rows["gap"] / (mass if regime == FIXED else beta)
                marker = "o" if regime == FIXED else "s"
                axes[0].plot(rows["labels"] / rows["price"], rows["gap"] / beta, f"{marker}-", label=label, **look)
                own.plot(rows["labels"] * unit, value, f"{marker}-", **look)
    few = np.geomspace(3, 1e8, 50)
    plotting.theory(axes[0], few, 0.5 / few, label=r"$\frac{1}{2} C_F/n$")
    span = np.geomspace(0.2, 200, 40)
    for beta in betas:
        law = table.where(kind=LAW, beta=beta)
        plotting.theory(axes[1], law["labels"], law["gap"], "dpo", label=r"exact law, $p\to0$")
        plotting.theory(axes[2], span, 1 / (16 * beta**2 * span), "reference", label=r"$1/(16\beta^2np^{1+\beta})$")
    axes[0].set(xlabel=r"$n/C_F$", ylabel=r"gap$/\beta$")
    axes[1].set(xlabel=r"$n\,p$", ylabel=r"gap$/p$, fixed rewards")
    axes[2].set(xlabel=r"$n\,p^{1+\beta}$", ylabel=r"gap$/\beta$, lifted rewards")
    for ax in axes:
        ax.set(xscale="log", yscale="log")
    plotting.legend(made)
    plotting.caption(
        made,
        f"Two actions, mass p of pi_ref on the rare one; offline DPO, linear softmax, mean over {curves['seeds'][0]} "
        f"seeds; beta = {betas[0]:g} (open) and {betas[-1]:g} (filled). Fixed: its reward is 1; lifted: pi* = 1/2 on "
        "it. With fixed rewards C_F stays bounded as p falls, so n above C_F alone does not reach the dashed line: "
        "n p has to be large. Estimates capped at |theta*| + 1.",
    )
    return made


EXPERIMENT = Experiment(
    name="label_scaling",
    claim=CLAIM,
    family="partial_coverage",
    presets={
        "smoke": Config(
            masses=(1e-1, 1e-3), betas=(1.0,), labels=(0.1, 1e3), num_seeds=128, large_seeds=128, rates=(3.0,),
            rate_seeds=128,
        ),
        "default": Config(),
        "paper": Config(num_seeds=10240, large_seeds=174080, rate_seeds=327680),
    },
    run=run,
    check=check,
    plot=plot,
)  # fmt: skip
