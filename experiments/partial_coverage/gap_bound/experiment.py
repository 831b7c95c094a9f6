"""The gap identity and the bound sqrt(C eps) on random and adversarial bandits; what a mean over contexts hides."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
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
    compute = partial(runs.lanes, *counts, config.shape, config.bound, config.num_steps, config.seed)
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
    difference = np.abs(lanes["difference"] - lanes["gap"]) / (EPS * lanes["scale"])
    rows.append(_row("identity", kind, 0.0, float(lanes["difference"].mean()), float(lanes["gap"].mean()), count=count))
    rows.append(_row("rounding", kind, 0.0, float(difference.max()), float(lanes["scale"].mean()), count=count))
    # Rounding of a root of a rounded kl: see coverage_functions.
    out = (lanes["least"] > lanes["ball"] * (1 + 1e-6)) | (lanes["ball"] > lanes["global"] * (1 + 1e-12))
    return [*rows, _row("order", kind, 0.0, float(out.sum()), 0.0, count=count)]


def _row(part: str, case: str, x: float, value: float, predicted: float, mass: float = 1.0, *, count: int = 1) -> dict:
    numbers = {"x": float(x), "value": float(value), "predicted": float(predicted), "mass": float(mass)}
    return {"part": part, "case": case} | numbers | {"count": count}


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
