"""The gap identity and the bound sqrt(C eps) on random and adversarial bandits; what a mean over contexts hides."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.store import Shards, Table
from experiments.framework.checks import Check, identity, lower, upper
from experiments.framework.experiment import Experiment
from experiments.partial_coverage import bound_cases as cases

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLAIM = (
    "J* - J(pi) = beta E_x KL(pi||pi*) never exceeds sqrt(C eps), with C = C_glo for DPO, C_kl for RLHF and HyPO; the "
    "constant 1 cannot be lowered; and a mean over contexts hides an uncovered one, which the maximum shows."
)
DPO, RLHF, HYPO, RANDOM, ADVERSARIAL = "dpo", "rlhf", "hypo", "random", "adversarial"
LEAST, BALL, GLOBAL = "least", "ball", "global"
OWN = {DPO: GLOBAL, RLHF: BALL, HYPO: BALL, RANDOM: LEAST, ADVERSARIAL: LEAST}
LOOKS = {DPO: "dpo", RLHF: "rlhf", HYPO: "hypo", RANDOM: "uniform", ADVERSARIAL: "oracle"}
NAMES = {DPO: "DPO, $C_{glo}$", RLHF: "RLHF, $C_{kl}$", HYPO: "HyPO, $C_{kl}$", RANDOM: "random, least C"}
NAMES |= {ADVERSARIAL: "ascent, least C"}
SHARP_LOOKS = ("hybrid_design", "design")
CONTEXT_LOOKS = ("on_policy_pooled", "hybrid_mixture", "on_policy", "hybrid_paired")
LEVELS = (0.0, *np.round(np.linspace(0.02, 0.98, 49), 2).tolist(), 0.99, 0.999, 1.0)
_EPS = float(np.finfo(np.float64).eps)
# J*, J and KL: a log-softmax is off by 3 (1 + |logit|) eps, which its exponential turns into a relative error; every
# term takes 4 more roundings and the sum over 15 cells 15.
_ROUNDINGS = 3 * (3 + 4 + 15)


@dataclass(frozen=True)
class Config:
    """Random bandits for every kind of policy, ascents of the ratio, and the deterministic families.

    bound: RLHF's |r_hat|. steepness, constants: L and C of
    the sharp families. left_out: masses
    of the rare action where a ball misses pi* or pi. contexts: numbers of contexts, one uncovered, its rare action of
    each of the masses; 0 is no mass at all.
    """

    num_bandits: int = 4096
    shape: tuple[int, int] = (3, 5)
    bound: float = 1.0
    num_ascents: int = 256
    num_steps: int = 400
    steepness: tuple[float, ...] = (3.0, 10.0, 30.0, 100.0, 1e3, 1e4, 1e5, 1e6)
    constants: tuple[float, ...] = (2.0, 1000.0)
    left_out: tuple[float, ...] = (0.03, 0.01, 0.001)
    contexts: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    masses: tuple[float, ...] = (1e-2, 1e-6, 0.0)
    seed: int = 0


def run(config: Config, shards: Shards) -> Table:
    """Rows of parts: quantiles of the ratios; the identity; the sharp family; balls too small; many contexts."""
    shards.expect(1)
    counts = (config.num_bandits, config.num_ascents)
    compute = partial(cases.lanes, *counts, config.shape, config.bound, config.num_steps, config.seed)
    measured = shards.get("lanes", (0, sum(counts)), compute)
    rows = []
    failures = {"bandits whose ratio is not finite": int((~np.isfinite(measured["ratio_least"])).sum())}
    for kind in OWN:
        rows += _summary(kind, {name: x[measured["kind"] == kind] for name, x in measured.items()})
    rows += [_row("sharp", case, x, *pair) for case, x, *pair in cases.sharp(config.steepness, config.constants)]
    rows += [_row("left_out", case, x, *pair) for case, x, *pair in cases.left_out(config.left_out)]
    rows += [_row("contexts", case, x, *rest) for case, x, *rest in cases.contexts(config.contexts, config.masses)]
    return Table.from_rows(rows, meta={"failures": failures})


def _summary(kind: str, lanes: dict[str, np.ndarray]) -> list[dict]:
    """Quantiles of the ratio for every constant, the identity of the gap, and the order of the constants."""
    count = len(lanes["gap"])
    rows = [
        _row(f"ratio {name}", kind, level, float(np.quantile(lanes[f"ratio_{name}"], level)), 1.0, count=count)
        for name in (LEAST, BALL, GLOBAL)
        for level in LEVELS
    ]
    difference = np.abs(lanes["difference"] - lanes["gap"]) / (_EPS * lanes["scale"])
    rows.append(_row("identity", kind, 0.0, float(lanes["difference"].mean()), float(lanes["gap"].mean()), count=count))
    rows.append(_row("rounding", kind, 0.0, float(difference.max()), float(lanes["scale"].mean()), count=count))
    # Rounding of a root of a rounded kl: see coverage_functions.
    out = (lanes["least"] > lanes["ball"] * (1 + 1e-6)) | (lanes["ball"] > lanes["global"] * (1 + 1e-12))
    return [*rows, _row("order", kind, 0.0, float(out.sum()), 0.0, count=count)]


def _row(part: str, case: str, x: float, value: float, predicted: float, mass: float = 1.0, *, count: int = 1) -> dict:
    numbers = {"x": float(x), "value": float(value), "predicted": float(predicted), "mass": float(mass)}
    return {"part": part, "case": case} | numbers | {"count": count}


def check(table: Table) -> list[Check]:
    """The identity, every worst ratio, how sharp the bound is, that small balls break it, and the contexts."""
    checks = []
    for kind, constant in OWN.items():
        rows = table.where(part="identity", case=kind)
        rounding = table.where(part="rounding", case=kind)
        why = f"{_ROUNDINGS} roundings of (1 + |logit|)(terms of J)"
        claim = f"{kind}: mean of J* - J over {rows['count'][0]} bandits = mean of beta E_x KL(pi||pi*)"
        atol = _ROUNDINGS * _EPS * rounding["predicted"][0]
        checks.append(identity(claim, rows["predicted"][0], rows["value"][0], atol=atol, why=why))
        claim = f"{kind}: largest |J* - J - beta E_x KL(pi||pi*)|, in roundings of (1 + |logit|)(terms of J)"
        checks.append(upper(claim, _ROUNDINGS, rounding["value"][0]))
        worst = table.where(part=f"ratio {constant}", case=kind, x=1.0)["value"][0]
        claim = f"{kind}: largest gap over sqrt(C eps), C = {constant}, of {rows['count'][0]} bandits"
        checks.append(upper(claim, 1.0, worst))
    order = table.where(part="order")["value"].sum()
    checks.append(upper("bandits in which least C <= C_kl(e) <= C_glo fails", 0.0, order))
    return checks + _exact_checks(table)


def _exact_checks(table: Table) -> list[Check]:
    checks = []
    for part in ("sharp", "left_out"):
        for case in dict.fromkeys(table.where(part=part)["case"].tolist()):
            rows = table.where(part=part, case=case)
            place = int(np.argmax(np.abs(rows["value"] / rows["predicted"] - 1)))
            claim = f"{case}: gap over bound (the worst of {len(rows)})"
            # C_kl(0) is the root of a kl rounded to 4 ulp of 1: C_kl - 1 <= sqrt(8 eps/m), and half of it in the root.
            root = 0.5 * float(np.sqrt(8 * _EPS / rows["x"].min())) if part == "left_out" else 0.0
            why = "rounding, and C_kl(0) from a rounded kl" if root else "rounding"
            checks.append(identity(claim, rows["predicted"][place], rows["value"][place], rtol=root + 1e-12, why=why))
            if part == "left_out":
                claim = f"{case}: the smallest gap over sqrt(C_kl eps) is above 1, such a ball is too small"
                checks.append(lower(claim, 1.0, rows["value"].min()))
                continue
            last = int(np.argmax(rows["x"]))
            x = rows["x"][last]
            # gap >= L (1 - 1/L) - 1 - log 2 or so, the bound is at most L + log L: 1 - ratio <= (log L + 3)/L.
            claim = f"{case}: gap over bound tends to 1 (L = {x:g})"
            why = "(log L + 3)/L, from the closed form"
            checks.append(identity(claim, 1.0, rows["value"][last], atol=float((np.log(x) + 3) / x), why=why))
    contexts = table.where(part="contexts")
    for case in cases.CONTEXT_CASES:
        rows = contexts.where(case=case)
        finite = np.isfinite(rows["predicted"])
        place = int(np.argmax(np.where(finite, np.abs(rows["value"] / np.where(finite, rows["predicted"], 1) - 1), 0)))
        claim = f"one uncovered context of {rows['x'][place]:.0f}: {case} (the worst of {finite.sum()})"
        predicted, value = rows["predicted"][place], rows["value"][place]
        checks.append(identity(claim, predicted, value, rtol=1e-12, why="rounding"))
    lost = contexts.where(mass=0.0)
    infinite = float(np.isposinf(lost["value"]).mean())
    checks.append(identity("no mass at all: share of means and maxima that are +inf", 1.0, infinite, why="exact"))
    return checks


def plot(table: Table) -> "Figure":
    """The share of bandits above a ratio; the sharp family; mean and maximum over contexts."""
    made, axes = plotting.figure(3, 1, height=6.2)
    for kind, constant in OWN.items():
        rows = table.where(part=f"ratio {constant}", case=kind)
        axes[0].plot(rows["value"], 1 - rows["x"], color=plotting.COLORS[LOOKS[kind]], label=NAMES[kind])
        axes[0].plot(rows["value"][-1], 0.0, plotting.MARKERS[LOOKS[kind]], color=plotting.COLORS[LOOKS[kind]], ms=5)
    axes[0].axvline(1.0, color="#888888", linewidth=0.8, zorder=1)
    axes[0].set(xlabel=r"gap / $\sqrt{C\,\epsilon}$", ylabel="share of bandits above")
    axes[0].set(xscale="log", xlim=(1e-4, 1.5))
    axes[0].set_title("a  the bound holds")
    for case, key in zip(dict.fromkeys(table.where(part="sharp")["case"].tolist()), SHARP_LOOKS, strict=True):
        rows = table.where(part="sharp", case=case)
        axes[1].plot(rows["x"], rows["value"], plotting.MARKERS[key], color=plotting.COLORS[key], label=case)
        plotting.theory(axes[1], rows["x"], rows["predicted"], key)
    axes[1].axhline(1.0, color="#888888", linewidth=0.8, zorder=1)
    axes[1].set(xscale="log", xlabel=r"reward gap $L$ (units of $\beta$)", ylabel=r"gap / $\sqrt{C\,\epsilon}$")
    axes[1].set(ylim=(0, 1.08))
    axes[1].set_title("b  and its constant is the best possible")
    mass = float(np.min(table["mass"][table["mass"] > 0]))
    for case, key in zip(cases.CONTEXT_CASES, CONTEXT_LOOKS, strict=True):
        rows = table.where(part="contexts", case=case, mass=mass)
        axes[2].plot(rows["x"], rows["value"], plotting.MARKERS[key], color=plotting.COLORS[key], label=case, ms=4.5)
        plotting.theory(axes[2], rows["x"], rows["predicted"], key)
    axes[2].set(xscale="log", yscale="log", xlabel="contexts, one of them uncovered", ylabel=r"gap or bound / $\beta$")
    axes[2].set_title("c  the mean over contexts hides it")
    plotting.legend(made, columns=2, theory_label="closed form")
    count, ascents = (table.where(part="identity", case=kind)["count"][0] for kind in (RANDOM, ADVERSARIAL))
    worst = max(table.where(part=f"ratio {OWN[kind]}", case=kind, x=1.0)["value"][0] for kind in OWN)
    plotting.caption(
        made,
        f"a: {count} random bandits a kind, {ascents} ascents of the ratio (3 contexts, 5 actions, mu = pi_ref); DPO, "
        f"RLHF, HyPO by their closed forms with noisy rewards, some actions unseen. Markers: the largest, {worst:.3f} "
        "at most. b: pi* and pi nearly deterministic on different actions, mu = 1/C on both. c: pi = (1/2, 1/2), "
        f"pi_ref = (1 - p, p) in one context, p = {mass:g}, and pi = pi* in the others. Exact, by summation.",
    )
    return made


EXPERIMENT = Experiment(
    name="gap_bound",
    claim=CLAIM,
    family="partial_coverage",
    presets={
        "smoke": Config(num_bandits=256, num_ascents=32, num_steps=40, contexts=(1, 8, 64)),
        "default": Config(),
        "paper": Config(num_bandits=65_536, num_ascents=1024, num_steps=2000),
    },
    run=run,
    check=check,
    plot=plot,
)
