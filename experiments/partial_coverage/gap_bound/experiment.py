"""The gap identity and the bound sqrt(C eps) on random and adversarial bandits; what a mean over contexts hides."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from banditlab.claims import Experiment, Shards, Table
from experiments.partial_coverage.gap_bound import exact_cases as cases
from experiments.partial_coverage.gap_bound import runs
from experiments.partial_coverage.gap_bound.checks import check
from experiments.partial_coverage.gap_bound.figure import plot
from experiments.partial_coverage.gap_bound.runs import BALL, EPS, GLOBAL, LEAST, OWN

CLAIM = (
    "J* - J(pi) = beta E_x KL(pi||pi*) never exceeds sqrt(C eps), with C = C_glo for DPO, C_kl for RLHF and HyPO; the "
    "constant 1 cannot be lowered; and a mean over contexts hides an uncovered one, which the maximum shows."
)
LEVELS = (0.0, *np.round(np.linspace(0.02, 0.98, 49), 2).tolist(), 0.99, 0.999, 1.0)


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
    rounding = np.abs(lanes["difference"] - lanes["gap"]) / (EPS * lanes["scale"])
    # Rounding of a root of a rounded kl: see coverage_functions.
    out = (lanes["least"] > lanes["ball"] * (1 + 1e-6)) | (lanes["ball"] > lanes["global"] * (1 + 1e-12))
    means = {name: float(lanes[name].mean()) for name in ("difference", "gap")}
    return {"bandits": len(out), **means, "rounding": float(rounding.max())} | {
        "scale": float(lanes["scale"].mean()),
        "out_of_order": float(out.sum()),
    }


_RATIO = {"ratio": "gap over sqrt(C eps)", "predicted": "closed form of ratio"}
_CONTEXTS = {
    "mean_gap": "J(pi*) - J(pi), mean over contexts [beta]",
    "largest_gap": "J(pi*) - J(pi), largest over contexts [beta]",
    "mean_bound": "sqrt(C eps) with eps the mean over contexts [beta]",
    "largest_bound": "sqrt(C eps) with eps the largest over contexts [beta]",
}
EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(num_bandits=256, num_ascents=32, num_steps=40, contexts=(1, 8, 64)),
        "default": Config(),
        "paper": Config(num_bandits=65_536, num_ascents=1024, num_steps=2000),
    },
    run=run,
    check=check,
    plot=plot,
    columns={
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
    },
)  # fmt: skip
