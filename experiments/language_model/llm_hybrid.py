"""The hybrid sampler on a pool of candidates: pairs of the G-optimal design, of a language model's own responses."""

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from banditlab.store import Shards, Table
from experiments.framework.checks import Check
from experiments.framework.experiment import Experiment
from experiments.language_model import curves, lab
from experiments.language_model.cells import Bench
from experiments.language_model.curve_view import plot_curves
from experiments.language_model.curves import Sizes
from experiments.language_model.lab import Setup

CLAIM = (
    "With one-hot features the G-optimal design of a pool of candidates is uniform over the distinct ones and knows "
    "nothing of the reward: at equal labels its pairs end with a larger gap than on-policy pairs, like offline ones."
)
OFFLINE, ON_POLICY = "offline", "on_policy"
DESIGN, PAIRED, MIXTURE = "design", "paired", "mixture"


@dataclass(frozen=True)
class Config:
    """num_candidates: of each of the reference and the current policy, for every prompt and round.

    schemes: of `llm.algorithms.hybrid_dpo`; paired pairs a policy's candidate with one of the design.
    """

    setup: Setup = field(default_factory=Setup)
    num_candidates: int = 16
    schemes: tuple[str, ...] = (DESIGN,)
    sizes: Sizes = field(default_factory=Sizes)


def arms(config: Config) -> curves.Arms:
    """Offline, on-policy and the schemes of the hybrid."""
    count = ("num_candidates", config.num_candidates)
    hybrids = {scheme: ("hybrid_dpo", (count, ("scheme", scheme))) for scheme in config.schemes}
    return {OFFLINE: ("offline_dpo", ()), ON_POLICY: ("on_policy_dpo", ()), **hybrids}


def run(config: Config, shards: Shards) -> Table:
    """The rows of `curves.rows`, differences from on-policy."""
    shards.expect(1)
    data = shards.get("all", (0, config.sizes.num_seeds), partial(train, config, shards))
    return curves.table(curves.rows(data, config.sizes, list(arms(config)), ON_POLICY))


def train(config: Config, shards: Shards) -> dict[str, np.ndarray]:
    """The arrays of `curves.measure`."""
    return curves.measure(Bench(shards), config.setup, config.sizes, arms(config))


def check(table: Table) -> list[Check]:
    """The hybrids against offline and on-policy."""
    last = table.where(round=table["round"].max())
    checks = [
        *curves.sound_checks(table),
        curves.more("offline less on-policy, gap", last.where(arm=OFFLINE), "gap_over"),
    ]
    for scheme in (arm for arm in LOOKS if arm in last["arm"] and arm not in (OFFLINE, ON_POLICY)):
        row = last.where(arm=scheme)
        checks.append(curves.more(f"hybrid, {scheme}, less on-policy: gap", row, "gap_over"))
        checks.append(curves.more(f"hybrid, {scheme}, less on-policy: KL(pi*||pi)", row, "kl_target_over"))
    return checks


LOOKS = {
    OFFLINE: ("offline", "offline"),
    ON_POLICY: ("on_policy", "on-policy"),
    DESIGN: ("hybrid_design", "hybrid, design"),
    PAIRED: ("hybrid_paired", "hybrid, paired"),
    MIXTURE: ("hybrid_mixture", "hybrid, mixture"),
}

EXPERIMENT = Experiment(
    name="llm_hybrid",
    claim=CLAIM,
    family="language_model",
    presets={
        "smoke": Config(lab.SMOKE, 4, sizes=curves.SMOKE),
        "default": Config(),
        "paper": Config(lab.FRESH, schemes=(DESIGN, PAIRED, MIXTURE), sizes=curves.PAPER),
    },
    run=run,
    check=check,
    plot=partial(plot_curves, looks=LOOKS),
)
