"""Local and global coverage as functions of the radius, and the KL ball that a bounded reward reaches."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
from experiments.partial_coverage.coverage_functions import laws, runs
from experiments.partial_coverage.coverage_functions.checks import check
from experiments.partial_coverage.coverage_functions.figure import plot
from experiments.partial_coverage.coverage_functions.runs import CURVE, EXTREMAL, RANDOM, RATIO, REACH

CLAIM = (
    "C_kl(e) rises from 1 at e = 0 to C_glo = 1/min pi_ref, but never below e/log(1/p) of it; a reward of span s keeps "
    "RLHF within E_x KL <= s/beta and pi/pi_ref <= e^{s/beta}, whatever the rare mass p."
)


@dataclass(frozen=True)
class Config:
    """Radii and rare masses of the curves; random bandits against the enclosure; spans s/beta of random rewards."""

    radii: tuple[float, ...] = (0.0, *(float(f"{x:.3g}") for x in np.logspace(-6, 1.5, 31)), np.inf)
    masses: tuple[float, ...] = (1e-1, 1e-2, 1e-4, 1e-6, 1e-8)
    num_bandits: int = 256
    shape: tuple[int, int] = (3, 5)
    spans: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
    num_rewards: int = 4096
    seed: int = 0


def run(config: Config, shards: Shards) -> Table:
    """Rows of parts: C_kl of two actions; of random bandits (their worst); largest KL and pi/pi_ref by span."""
    shards.expect(2)
    constants = partial(runs.constants, config.radii, config.masses, config.num_bandits, config.shape, config.seed)
    spans = partial(runs.reached, config.spans, config.num_rewards, config.shape, config.seed)
    balls = shards.get("constants", (0, config.num_bandits), constants)
    reached = shards.get("reach", (0, config.num_rewards), spans)
    rows = []
    for place, mass in enumerate((*config.masses, 0.0)):
        for name, radius in enumerate(config.radii):
            low, high = (balls[end][place, name] for end in ("curve_low", "curve_high"))
            rows.append(_row(CURVE, radius, mass, balls["curve"][place, name], low, high))
    for name, radius in enumerate(config.radii):
        value, low, high = (balls[f"random{end}"][:, name] for end in ("", "_low", "_high"))
        outside = np.maximum(low - value, value - high)
        worst = int(np.argmax(np.maximum(outside, 0.0) + np.abs(value / np.sqrt(low * high) - 1)))
        count, out = len(value), int((outside > 0).sum())
        rows.append(_row(RANDOM, radius, 1.0, value[worst], low[worst], high[worst], count=count, out=out))
    for place, span in enumerate(config.spans):
        largest, count = laws.largest_divergence(span), config.num_rewards
        mass = laws.extremal_mass(span)
        divergence = reached["divergence"][place].max()
        rows.append(_row(REACH, span, 1.0, divergence, 0.0, largest, count=count))
        rows.append(_row(EXTREMAL, span, mass, reached["extremal"][place], largest, largest))
        ratio = reached["ratio"][place].max()
        rows.append(_row(RATIO, span, 1.0, ratio, 0.0, float(np.exp(span)), count=count))
    falls = sum(int((np.diff(balls[name]) < 0).sum()) for name in ("curve", "random"))
    rows.append(_row("monotone", 0.0, 1.0, falls, 0.0, 0.0, count=balls["random"].size + balls["curve"].size))
    return Table.from_rows(rows, meta={"failures": {}})


def _row(
    part: str, x: float, mass: float, value: float, low: float, high: float, *, count: int = 1, out: int = 0
) -> dict[str, str | int | float]:
    numbers = {"x": float(x), "mass": float(mass), "value": float(value), "low": float(low), "high": float(high)}
    return {"part": part} | numbers | {"count": count, "out": out}


EXPERIMENT = Experiment(
    name="coverage_functions",
    claim=CLAIM,
    family="partial_coverage",
    presets={
        "smoke": Config(num_bandits=16, num_rewards=256),
        "default": Config(),
        "paper": Config(num_bandits=4096, num_rewards=65_536),
    },
    run=run,
    check=check,
    plot=plot,
)
