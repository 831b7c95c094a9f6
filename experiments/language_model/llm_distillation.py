"""Reward distillation of a small language model, on policy and off, beside DPO at as many labels."""

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from banditlab.claims import statistics
from banditlab.claims.checks import Check
from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
from experiments.language_model.shared import curves, references
from experiments.language_model.shared.curve_figure import plot_curves
from experiments.language_model.shared.curves import Sizes
from experiments.language_model.shared.references import Setup
from experiments.language_model.shared.training_runs import Bench

CLAIM = (
    "Reward differences observed with noise of deviation one are distilled better on policy than off policy, and a "
    "difference says more than a Bradley-Terry label: both arms end below the DPO arm of the same sampler."
)
OFFLINE, ON_POLICY, OFF_DISTILLED, ON_DISTILLED = "offline", "on_policy", "distilled_off", "distilled_on"
SAME_SAMPLER = {OFFLINE: OFFLINE, ON_POLICY: ON_POLICY, OFF_DISTILLED: OFFLINE, ON_DISTILLED: ON_POLICY}


@dataclass(frozen=True)
class Config:
    """noise: standard deviation of an observed reward difference."""

    setup: Setup = field(default_factory=Setup)
    noise: float = 1.0
    sizes: Sizes = field(default_factory=Sizes)


def arms(config: Config) -> curves.Arms:
    """DPO and distillation, from the reference's pairs and from the policy's."""
    noisy = ("noise", config.noise)
    return {
        OFFLINE: ("offline_dpo", ()),
        ON_POLICY: ("on_policy_dpo", ()),
        OFF_DISTILLED: ("reward_distillation", (noisy, ("on_policy", False))),
        ON_DISTILLED: ("reward_distillation", (noisy, ("on_policy", True))),
    }


def run(config: Config, shards: Shards) -> Table:
    """The rows of `curves.rows`, differences from distillation off policy; and from DPO of the same sampler."""
    shards.expect(1)
    data = shards.get("all", (0, config.sizes.num_seeds), partial(train, config, shards))
    listed = curves.rows(data, config.sizes, list(arms(config)), OFF_DISTILLED)
    for row in listed:
        own, dpo = (data[f"{arm}: gap"][:, row["round"]] for arm in (row["arm"], SAME_SAMPLER[row["arm"]]))
        row |= statistics.mean("gap_over_dpo", own - dpo)
    return curves.table(listed)


def train(config: Config, shards: Shards) -> dict[str, np.ndarray]:
    """The arrays of `curves.measure`."""
    return curves.measure(Bench(shards), config.setup, config.sizes, arms(config))


def check(table: Table) -> list[Check]:
    """On policy against off, and distillation against DPO."""
    last = table.where(round=table["round"].max())
    rows = {arm: last.where(arm=arm) for arm in (OFF_DISTILLED, ON_DISTILLED)}
    return [
        *curves.sound_checks(table),
        curves.less("distillation: on policy less off policy, gap", rows[ON_DISTILLED], "gap_over"),
        curves.less("distillation: on policy less off policy, KL(pi*||pi)", rows[ON_DISTILLED], "kl_target_over"),
        curves.less("off policy: distillation less DPO, gap", rows[OFF_DISTILLED], "gap_over_dpo"),
        curves.less("on policy: distillation less DPO, gap", rows[ON_DISTILLED], "gap_over_dpo"),
    ]


LOOKS = {
    OFFLINE: ("offline", "DPO, offline"),
    ON_POLICY: ("on_policy", "DPO, on-policy"),
    OFF_DISTILLED: ("reward_distillation", "distilled, off policy"),
    ON_DISTILLED: ("oracle", "distilled, on policy"),
}

EXPERIMENT = Experiment(
    name="llm_distillation",
    claim=CLAIM,
    family="language_model",
    presets={
        "smoke": Config(references.SMOKE, 1.0, curves.SMOKE),
        "default": Config(),
        "paper": Config(references.FRESH, sizes=curves.PAPER),
    },
    run=run,
    check=check,
    plot=partial(plot_curves, looks=LOOKS, note="Noise of a reward difference: 1."),
)
