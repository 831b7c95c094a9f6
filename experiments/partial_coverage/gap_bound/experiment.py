"""The gap identity and the bound sqrt(C eps) on random and adversarial bandits; what a mean over contexts hides."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from banditlab.claims import Check, Experiment, Shards, Table, identity, lower, upper
from banditlab.exact.gap_bound_cases import sharp_shortfall, small_ball_rounding
from experiments.partial_coverage.gap_bound import exact_cases as cases
from experiments.partial_coverage.gap_bound import runs
from experiments.partial_coverage.gap_bound.figure import plot
from experiments.partial_coverage.gap_bound.runs import BALL, EPS, GLOBAL, LEAST, OWN

CLAIM = (
    "J* - J(pi) = beta E_x KL(pi||pi*) never exceeds sqrt(C eps), with C = C_glo for DPO, C_kl for RLHF and HyPO; the "
    "constant 1 cannot be lowered; and a mean over contexts hides an uncovered one, which the maximum shows."
)
LEVELS = (0.0, *np.round(np.linspace(0.02, 0.98, 49), 2).tolist(), 0.99, 0.999, 1.0)
# J*, J and KL: a log-softmax is off by 3 (1 + |logit|) eps, which its exponential turns into a relative error; every
# term takes 4 more roundings and the sum over 15 cells 15.
_ROUNDINGS = 3 * (3 + 4 + 15)
_RATIO = {"ratio": "gap over sqrt(C eps)", "predicted": "closed form of ratio"}
_CONTEXTS = {
    "mean_gap": "J(pi*) - J(pi), mean over contexts [beta]",
    "largest_gap": "J(pi*) - J(pi), largest over contexts [beta]",
    "mean_bound": "sqrt(C eps) with eps the mean over contexts [beta]",
    "largest_bound": "sqrt(C eps) with eps the largest over contexts [beta]",
}
COLUMNS = {
    "*": {"policy": "kind of policy; adversarial is the end of an ascent of the ratio"},
    "ratios": {
        "constant": "which C: least of the bound, C_kl of the ball that holds pi and pi*, C_glo of all policies",
        "level": "share of the bandits whose ratio is at most this one",
        "ratio": "quantile over bandits of the gap over sqrt(C eps), which the bound says is at most 1",
    },
    "identity": {
        "contexts": "contexts of every bandit",
        "actions": "actions of every bandit",
        "bandits": "bandits of this kind of policy [bandits]",
        "difference": "J(pi*) - J(pi) as a difference of two objectives, mean over bandits [reward]",
        "gap": "beta E_x KL(pi||pi*), mean over bandits [reward]",
        "rounding": "largest difference of the two, a rounding-level residual [eps of a float times scale]",
        "scale": "(1 + |logit|) times the size of J's terms, mean over bandits [reward]",
        "out_of_order": "bandits in which least C <= C_kl <= C_glo fails [bandits]",
    },
    "sharp": _RATIO | {
        "constant": "limit of C as reward_gap grows, 1/mu of the two likely actions",
        "reward_gap": "L, the reward of pi*'s action over the others' [beta]",
    },
    "small_balls": _RATIO | {
        "left_out": "which policy lies outside of the ball, whose radius is the other's KL to pi_ref",
        "mass": "mass of the rare action under pi_ref",
    },
    "contexts": _CONTEXTS | {f"{name}_predicted": f"closed form of {name} [beta]" for name in _CONTEXTS} | {
        "contexts": "contexts of equal probability, one of them uncovered",
        "mass": "p, the mass of the rare action under pi_ref in the uncovered context",
    },
}  # fmt: skip


@dataclass(frozen=True)
class Config:
    """Random bandits for every kind of policy, ascents of the ratio, and the deterministic families.

    bound: RLHF's |r_hat|. steepness, constants: L and C of the sharp families. left_out: masses of the rare action
    where a ball misses pi* or pi. contexts: numbers of contexts, one uncovered, its rare action of each of the masses;
    0 is no mass at all. Beta is no field: it is drawn with every random bandit, and the families are in its units.
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


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """Quantiles of the ratios; identity and order; the sharp family; balls too small; many contexts."""
    shards.expect(1)
    counts = (config.num_bandits, config.num_ascents)
    compute = partial(runs.lanes, *counts, config.shape, config.bound, config.num_steps, config.seed)
    measured = shards.get("lanes", (0, sum(counts)), compute)
    lanes = {kind: {name: x[measured["kind"] == kind] for name, x in measured.items()} for kind in OWN}
    ratios = [
        {"policy": kind, "constant": name, "level": level, "ratio": float(np.quantile(own[f"ratio_{name}"], level))}
        for kind, own in lanes.items()
        for name in (LEAST, BALL, GLOBAL)
        for level in LEVELS
    ]
    sizes = dict(zip(("contexts", "actions"), config.shape, strict=True))
    return {
        "ratios": Table.from_rows(ratios),
        "identity": Table.from_rows({"policy": kind} | sizes | _summary(own) for kind, own in lanes.items()),
        "sharp": Table.from_rows(cases.sharp(config.steepness, config.constants)),
        "small_balls": Table.from_rows(cases.small_balls(config.left_out)),
        "contexts": Table.from_rows(cases.contexts(config.contexts, config.masses)),
    }


def _summary(lanes: dict[str, np.ndarray]) -> dict[str, float]:
    """The identity of the gap and the order of the constants, over all bandits of one kind of policy."""
    rounding = float((np.abs(lanes["difference"] - lanes["gap"]) / (EPS * lanes["scale"])).max())
    # Rounding of a root of a rounded kl: see coverage_functions.
    out = (lanes["least"] > lanes["ball"] * (1 + 1e-6)) | (lanes["ball"] > lanes["global"] * (1 + 1e-12))
    means = {name: float(lanes[name].mean()) for name in ("difference", "gap")}
    sizes = {"rounding": rounding, "scale": float(lanes["scale"].mean()), "out_of_order": float(out.sum())}
    return {"bandits": len(out)} | means | sizes


def check(tables: dict[str, Table]) -> list[Check]:
    """The identity, every worst ratio, how sharp the bound is, that small balls break it, and the contexts."""
    checks = []
    for kind, constant in OWN.items():
        row = {name: values[0] for name, values in tables["identity"].where(policy=kind).columns.items()}
        why = f"{_ROUNDINGS} roundings of (1 + |logit|)(terms of J)"
        claim = f"{kind}: mean of J* - J over {row['bandits']} bandits = mean of beta E_x KL(pi||pi*)"
        atol = _ROUNDINGS * EPS * row["scale"]
        checks.append(identity(claim, row["gap"], row["difference"], atol=atol, why=why))
        claim = f"{kind}: largest |J* - J - beta E_x KL(pi||pi*)|, in roundings of (1 + |logit|)(terms of J)"
        checks.append(upper(claim, _ROUNDINGS, row["rounding"]))
        worst = tables["ratios"].where(policy=kind, constant=constant, level=1.0)["ratio"][0]
        claim = f"{kind}: largest gap over sqrt(C eps), C = {constant}, of {row['bandits']} bandits"
        checks.append(upper(claim, 1.0, worst))
    order = tables["identity"]["out_of_order"].sum()
    checks.append(upper("bandits in which least C <= C_kl(e) <= C_glo fails", 0.0, order))
    for constant in dict.fromkeys(tables["sharp"]["constant"].tolist()):
        checks += _sharp_checks(f"sharp, C = {constant:g}", tables["sharp"].where(constant=constant))
    for policy in dict.fromkeys(tables["small_balls"]["left_out"].tolist()):
        checks += _ball_checks(f"ball without {policy}", tables["small_balls"].where(left_out=policy))
    return checks + _context_checks(tables["contexts"])


def _sharp_checks(case: str, rows: Table) -> list[Check]:
    last = int(np.argmax(rows["reward_gap"]))
    size = rows["reward_gap"][last]
    claim, why = f"{case}: gap over bound tends to 1 (L = {size:g})", "(log L + 3)/L, from the closed form"
    limit = identity(claim, 1.0, rows["ratio"][last], atol=sharp_shortfall(size), why=why)
    return [_closed_form(case, rows, 1e-12, "rounding"), limit]


def _ball_checks(case: str, rows: Table) -> list[Check]:
    claim = f"{case}: the smallest gap over sqrt(C_kl eps) is above 1, such a ball is too small"
    rtol, why = small_ball_rounding(rows["mass"].min()) + 1e-12, "rounding, and C_kl(0) from a rounded kl"
    return [_closed_form(case, rows, rtol, why), lower(claim, 1.0, rows["ratio"].min())]


def _closed_form(case: str, rows: Table, rtol: float, why: str) -> Check:
    place = int(np.argmax(np.abs(rows["ratio"] / rows["predicted"] - 1)))
    claim = f"{case}: gap over bound (the worst of {len(rows)})"
    return identity(claim, rows["predicted"][place], rows["ratio"][place], rtol=rtol, why=why)


def _context_checks(contexts: Table) -> list[Check]:
    checks = []
    covered = contexts.kept(contexts["mass"] > 0)
    for name, words in cases.CONTEXT_COLUMNS.items():
        measured, predicted = covered[name], covered[f"{name}_predicted"]
        place = int(np.argmax(np.abs(measured / predicted - 1)))
        claim = f"one uncovered context of {covered['contexts'][place]:.0f}: {words} (the worst of {len(covered)})"
        checks.append(identity(claim, predicted[place], measured[place], rtol=1e-12, why="rounding"))
    lost = np.stack([contexts.where(mass=0.0)[name] for name in cases.CONTEXT_COLUMNS])
    claim, infinite = "no mass at all: share of means and maxima that are +inf", float(np.isposinf(lost).mean())
    return [*checks, identity(claim, 1.0, infinite, why="exact")]


PRESETS = {
    "smoke": Config(num_bandits=256, num_ascents=32, num_steps=40, contexts=(1, 8, 64)),
    "default": Config(),
    "paper": Config(num_bandits=65_536, num_ascents=1024, num_steps=2000),
}
EXPERIMENT = Experiment(claim=CLAIM, presets=PRESETS, run=run, check=check, plot=plot, columns=COLUMNS)
