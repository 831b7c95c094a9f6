"""Reward distillation of a small language model, on policy and off, beside DPO at as many labels."""

from dataclasses import dataclass, field

import numpy as np

from banditlab import plotting
from banditlab.claims import Check, Experiment, Shards, Table
from experiments.language_model.shared import curves, references
from experiments.language_model.shared.curve_figure import plot_curves
from experiments.language_model.shared.curves import Sizes
from experiments.language_model.shared.references import Setup

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


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """The parts of `curves.tables`, differences from distillation off policy; and from DPO of the same sampler."""
    noisy = ("noise", config.noise)
    arms: curves.Arms = {
        OFFLINE: ("offline_dpo", ()),
        ON_POLICY: ("on_policy_dpo", ()),
        OFF_DISTILLED: ("reward_distillation", (noisy, ("on_policy", False))),
        ON_DISTILLED: ("reward_distillation", (noisy, ("on_policy", True))),
    }
    data = curves.measured(shards, config.setup, config.sizes, arms)
    for arm, dpo in SAME_SAMPLER.items():
        data[f"{arm}: gap_over_dpo"] = data[f"{arm}: gap"] - data[f"{dpo}: gap"]
    parts = curves.tables(data, config.sizes, arms, OFF_DISTILLED, ["gap_over_dpo"])
    noise = {"reward_noise": np.asarray(config.noise)}
    return {**parts, "reference": Table({**parts["reference"].columns, **noise})}


def check(parts: curves.Parts) -> list[Check]:
    """On policy against off, and distillation against DPO."""
    last = parts["rounds"].where(round=parts["rounds"]["round"].max())
    off, on = (last.where(arm=arm) for arm in (OFF_DISTILLED, ON_DISTILLED))
    return [
        *curves.sound_checks(parts),
        curves.less("distillation: on policy less off policy, gap", on, "gap_over"),
        curves.less("distillation: on policy less off policy, KL(pi*||pi)", on, "kl_target_over"),
        curves.less("off policy: distillation less DPO, gap", off, "gap_over_dpo"),
        curves.less("on policy: distillation less DPO, gap", on, "gap_over_dpo"),
    ]


LOOKS = {
    OFFLINE: ("offline", "DPO, offline"),
    ON_POLICY: ("on_policy", "DPO, on-policy"),
    OFF_DISTILLED: ("reward_distillation", "distilled, offline", plotting.shades("reward_distillation", 3)[0]),
    ON_DISTILLED: ("reward_distillation", "distilled, on-policy"),
}


def plot(parts: curves.Parts):
    """The curves of `plot_curves`."""
    note = f"Noise of a reward difference: {parts['reference']['reward_noise'][0]:g}."
    finding = "Reward differences teach more than labels, and on-policy ones more than offline ones"
    pairs = [(OFF_DISTILLED, OFFLINE), (ON_DISTILLED, ON_POLICY), (ON_DISTILLED, OFF_DISTILLED)]
    return plot_curves(parts, LOOKS, note, {finding: pairs})


COLUMNS = curves.columns("distillation off policy")
COLUMNS["reference"]["reward_noise"] = "standard deviation of an observed reward difference [reward]"
COLUMNS["rounds"] |= curves.less_than("DPO with pairs of the same sampler", ["gap"], "over_dpo")

EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(references.SMOKE, 1.0, curves.SMOKE),
        "default": Config(),
        "paper": Config(references.FRESH, sizes=curves.PAPER),
    },
    run=run,
    check=check,
    plot=plot,
    columns=COLUMNS,
)
