"""On-policy against offline DPO of a small language model, at equal labels and equal steps, every metric exact."""

from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from banditlab.claims.checks import Check
from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
from experiments.language_model.shared import curves, references
from experiments.language_model.shared.curve_figure import plot_curves
from experiments.language_model.shared.curves import Sizes
from experiments.language_model.shared.references import Setup
from experiments.language_model.shared.training_runs import Bench

CLAIM = (
    "On the habit-target task, with 1024 labels a round or more, on-policy DPO ends with a smaller gap, a smaller "
    "KL(pi*||pi) and a larger win rate than DPO on as many fresh pairs from the reference; one set reused is behind."
)
OFFLINE, FIXED, ON_POLICY = "offline", "fixed", "on_policy"
ARMS: curves.Arms = {
    OFFLINE: ("offline_dpo", ()),
    FIXED: ("offline_dpo", (("fresh", False),)),
    ON_POLICY: ("on_policy_dpo", ()),
}


@dataclass(frozen=True)
class Config:
    """Task, decoder and references; sizes of the rounds."""

    setup: Setup = field(default_factory=Setup)
    sizes: Sizes = field(default_factory=Sizes)


def run(config: Config, shards: Shards) -> Table:
    """The rows of `curves.rows` for ARMS."""
    shards.expect(1)
    data = shards.get("all", (0, config.sizes.num_seeds), partial(train, config, shards))
    return curves.table(curves.rows(data, config.sizes, list(ARMS), OFFLINE))


def train(config: Config, shards: Shards) -> dict[str, np.ndarray]:
    """The arrays of `curves.measure` for ARMS."""
    return curves.measure(Bench(shards), config.setup, config.sizes, ARMS)


def check(table: Table) -> list[Check]:
    """Exact identities, and the order of the arms after the last round."""
    last = table.where(round=table["round"].max())
    fresh, fixed = last.where(arm=ON_POLICY), last.where(arm=FIXED)
    return [
        *curves.sound_checks(table),
        curves.less("on-policy less offline: gap", fresh, "gap_over"),
        curves.less("on-policy less offline: KL(pi*||pi)", fresh, "kl_target_over"),
        curves.more("on-policy less offline: win rate against the reference", fresh, "win_rate_over"),
        curves.more("one fixed set less fresh pairs, both offline: gap", fixed, "gap_over"),
    ]


LOOKS = {
    OFFLINE: ("offline", "offline, fresh"),
    FIXED: ("uniform", "offline, one set"),
    ON_POLICY: ("on_policy", "on-policy"),
}

EXPERIMENT = Experiment(
    name="llm_on_policy",
    claim=CLAIM,
    family="language_model",
    presets={
        "smoke": Config(references.SMOKE, curves.SMOKE),
        "default": Config(),
        "paper": Config(references.FRESH, replace(curves.PAPER, num_rounds=16)),
    },
    run=run,
    check=check,
    plot=partial(plot_curves, looks=LOOKS),
)
