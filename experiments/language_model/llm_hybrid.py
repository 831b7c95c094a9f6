"""The hybrid sampler on a pool of candidates: pairs of the G-optimal design, of a language model's own responses."""

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from banditlab.claims.checks import Check
from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
from experiments.language_model.shared import curves, references
from experiments.language_model.shared.curve_figure import plot_curves
from experiments.language_model.shared.curves import Sizes
from experiments.language_model.shared.references import Setup
from experiments.language_model.shared.training_runs import Bench

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLAIM = (
    "With one-hot features the G-optimal design of a pool is uniform over its distinct candidates and knows nothing of "
    "the reward: pairs of a small pool, compared again and again, end farther from pi* than on-policy pairs. From a "
    "pool of as many responses as on-policy draws, 2048 labels a round, they beat offline pairs."
)
OFFLINE, ON_POLICY = "offline", "on_policy"
DESIGN, PAIRED, MIXTURE, SMALL = "design", "paired", "mixture", "design, small pool"


@dataclass(frozen=True)
class Config:
    """num_candidates: of each of the reference and the current policy, for every prompt and round.

    With 64 of them on 16 prompts a pool costs as many responses as 1024 pairs; small_pool is another size, whose
    candidates are compared again and again. schemes: of `llm.algorithms.hybrid_dpo`; paired pairs a policy's candidate
    with one of the design.
    """

    setup: Setup = field(default_factory=Setup)
    num_candidates: int = 64
    small_pool: int = 16
    schemes: tuple[str, ...] = (DESIGN,)
    sizes: Sizes = field(default_factory=Sizes)


def arms(config: Config) -> curves.Arms:
    """Offline, on-policy and the schemes of the hybrid."""
    count, few = (("num_candidates", size) for size in (config.num_candidates, config.small_pool))
    hybrids = {scheme: ("hybrid_dpo", (count, ("scheme", scheme))) for scheme in config.schemes}
    hybrids[SMALL] = ("hybrid_dpo", (few, ("scheme", DESIGN)))
    return {OFFLINE: ("offline_dpo", ()), ON_POLICY: ("on_policy_dpo", ()), **hybrids}


def run(config: Config, shards: Shards) -> Table:
    """The rows of `curves.rows`, differences from on-policy, and num_candidates, 0 without a pool."""
    shards.expect(1)
    data = shards.get("all", (0, config.sizes.num_seeds), partial(train, config, shards))
    rows = curves.rows(data, config.sizes, list(arms(config)), ON_POLICY)
    counts = {arm: dict(options).get("num_candidates", 0) for arm, (_, options) in arms(config).items()}
    return curves.table([row | {"num_candidates": counts[row["arm"]]} for row in rows])


def train(config: Config, shards: Shards) -> dict[str, np.ndarray]:
    """The arrays of `curves.measure`."""
    return curves.measure(Bench(shards), config.setup, config.sizes, arms(config))


def check(table: Table) -> list[Check]:
    """Offline and the small pool against on-policy; with enough labels to tell, the large pools against offline."""
    last = table.where(round=table["round"].max())
    offline, small = last.where(arm=OFFLINE), last.where(arm=SMALL)
    checks = [
        *curves.sound_checks(table),
        curves.more("offline less on-policy, gap", offline, "gap_over"),
        curves.more("design of a small pool less on-policy, KL(pi*||pi)", small, "kl_target_over"),
    ]
    if last["num_labels"].max() >= curves.TELLING * last["round"].max():
        for scheme in (arm for arm in (DESIGN, PAIRED, MIXTURE) if arm in last["arm"]):
            claim = f"offline less hybrid, {scheme}, both less on-policy: gap"
            checks.append(curves.apart(claim, offline, last.where(arm=scheme), "gap_over"))
    return checks


def plot(table: Table) -> "Figure":
    """The curves of `plot_curves`."""
    pool, few = (table.where(arm=arm)["num_candidates"][0] for arm in (DESIGN, SMALL))
    note = f"Pools of {pool} candidates a prompt of the reference and as many of the policy; small: {few}."
    return plot_curves(table, LOOKS, note)


LOOKS = {
    OFFLINE: ("offline", "offline"),
    ON_POLICY: ("on_policy", "on-policy"),
    DESIGN: ("hybrid_design", "hybrid, design"),
    PAIRED: ("hybrid_paired", "hybrid, paired"),
    MIXTURE: ("hybrid_mixture", "hybrid, mixture"),
    SMALL: ("uniform", "design, small pool"),
}

EXPERIMENT = Experiment(
    name="llm_hybrid",
    claim=CLAIM,
    family="language_model",
    presets={
        "smoke": Config(references.SMOKE, 8, 8, sizes=curves.SMOKE),
        "default": Config(),
        "paper": Config(references.FRESH, 128, schemes=(DESIGN, PAIRED, MIXTURE), sizes=curves.PAPER),
    },
    run=run,
    check=check,
    plot=plot,
)
