"""Local and global coverage as functions of the radius, and the KL ball that a bounded reward reaches."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from banditlab.claims import Experiment, Shards, Table
from banditlab.exact import bounded_reward
from experiments.partial_coverage.coverage_functions import runs
from experiments.partial_coverage.coverage_functions.checks import check
from experiments.partial_coverage.coverage_functions.figure import plot

CLAIM = (
    "C_kl(e) rises from 1 at e = 0 to C_glo = 1/min pi_ref, but never below e/log(1/p) of it; a reward of span s keeps "
    "RLHF within E_x KL <= s/beta and pi/pi_ref <= e^{s/beta}, whatever the rare mass p."
)
COLUMNS = {
    "*": {
        "radius": "radius e of the KL ball around pi_ref [nats]",
        "lower": "lower end of the enclosure of `coverage`: the ratio of a tilted policy in the ball",
        "upper": "upper end of the enclosure of `coverage`: a dual bound",
    },
    "two_actions": {
        "mass": "mass p of the rare action under pi_ref",
        "coverage": "C_kl(e), the largest pi/pi_ref of a policy in the ball, by the library",
    },
    "random_bandits": {
        "coverage": "C_kl(e) by the library, of the bandit worst placed in its enclosure",
        "bandits": "random bandits compared [bandits]",
        "outside": "bandits whose C_kl(e) leaves its enclosure [bandits]",
    },
    "spans": {
        "span": "span s of the reward over beta",
        "rewards": "random rewards and references compared [rewards]",
        "divergence": "largest E_x KL(pi*||pi_ref) over the random rewards [nats]",
        "largest_divergence": "largest KL(pi*||pi_ref) that a reward of this span can have, closed form [nats]",
        "ratio": "largest pi*/pi_ref over the random rewards",
        "largest_ratio": "e^{s/beta}, which no pi*/pi_ref exceeds",
        "extremal_mass": "pi_ref of the better of two actions at which the largest KL is attained",
        "extremal_divergence": "KL(pi*||pi_ref) of these two actions, by the library [nats]",
    },
    "monotone": {
        "falls": "values of C_kl that are below the one at the radius before [values]",
        "values": "values of C_kl computed [values]",
    },
}


@dataclass(frozen=True)
class Config:
    """Radii, beside 0 and inf, and rare masses of the curves; random bandits; spans s/beta of random rewards.

    There is no beta to set: it is drawn with every reward, and the claim is about s/beta alone.
    """

    radii: tuple[float, ...] = (0.0, *(float(f"{x:.3g}") for x in np.logspace(-6, 1.5, 31)), np.inf)
    masses: tuple[float, ...] = (1e-1, 1e-2, 1e-4, 1e-6, 1e-8)
    num_bandits: int = 256
    shape: tuple[int, int] = (3, 5)
    spans: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
    num_rewards: int = 4096
    seed: int = 0


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """C_kl of two actions, and of random bandits (their worst); largest KL and pi/pi_ref by span."""
    shards.expect(2)
    radii = tuple(sorted({0.0, *config.radii, np.inf}))
    constants = partial(runs.constants, radii, config.masses, config.num_bandits, config.shape, config.seed)
    spans = partial(runs.reached, config.spans, config.num_rewards, config.shape, config.seed)
    balls = shards.get("constants", (0, config.num_bandits), constants)
    reached = shards.get("reach", (0, config.num_rewards), spans)
    curve = {"radius": np.tile(radii, len(config.masses) + 1), "mass": np.repeat((*config.masses, 0.0), len(radii))}
    curve |= {name: balls[f"curve{end}"].ravel() for name, end in runs.ENDS.items()}
    rows = []
    for place, radius in enumerate(radii):
        value, low, high = (balls[f"random{end}"][:, place] for end in runs.ENDS.values())
        outside = np.maximum(low - value, value - high)
        worst = int(np.argmax(np.maximum(outside, 0.0) + np.abs(value / np.sqrt(low * high) - 1)))
        row = {"radius": radius, "coverage": value[worst], "lower": low[worst], "upper": high[worst]}
        rows.append(row | {"bandits": len(value), "outside": int((outside > 0).sum())})
    widths = {
        "span": config.spans,
        "rewards": config.num_rewards,
        "divergence": reached["divergence"].max(axis=1),
        "largest_divergence": [bounded_reward.largest_divergence(span) for span in config.spans],
        "ratio": reached["ratio"].max(axis=1),
        "largest_ratio": np.exp(config.spans),
        "extremal_mass": [bounded_reward.extremal_mass(span) for span in config.spans],
        "extremal_divergence": reached["extremal"],
    }
    falls = float(sum((np.diff(balls[name]) < 0).sum() for name in ("curve", "random")))
    return {
        "two_actions": Table(curve),
        "random_bandits": Table.from_rows(rows),
        "spans": Table(widths),
        "monotone": Table({"falls": falls, "values": balls["random"].size + balls["curve"].size}),
    }


PRESETS = {
    "smoke": Config(num_bandits=16, num_rewards=256),
    "default": Config(),
    "paper": Config(num_bandits=4096, num_rewards=65_536),
}
EXPERIMENT = Experiment(claim=CLAIM, presets=PRESETS, run=run, check=check, plot=plot, columns=COLUMNS)
