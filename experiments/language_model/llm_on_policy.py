"""On-policy against offline DPO of a small language model, at equal labels and equal steps, every metric exact."""

from dataclasses import dataclass, field, replace

from banditlab import plotting
from banditlab.claims import Check, Experiment, Shards, Table
from experiments.language_model.shared import curves, references
from experiments.language_model.shared.curve_figure import plot_curves
from experiments.language_model.shared.curves import Sizes
from experiments.language_model.shared.references import Setup

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


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """The parts of `curves.tables` for ARMS."""
    data = curves.measured(shards, config.setup, config.sizes, ARMS)
    return curves.tables(data, config.sizes, ARMS, OFFLINE)


def check(parts: curves.Parts) -> list[Check]:
    """Exact identities, and the order of the arms after the last round."""
    last = parts["rounds"].where(round=parts["rounds"]["round"].max())
    fresh, fixed = last.where(arm=ON_POLICY), last.where(arm=FIXED)
    return [
        *curves.sound_checks(parts),
        curves.less("on-policy less offline: gap", fresh, "gap_over"),
        curves.less("on-policy less offline: KL(pi*||pi)", fresh, "kl_target_over"),
        curves.more("on-policy less offline: win rate against the reference", fresh, "win_rate_over"),
        curves.more("one fixed set less fresh pairs, both offline: gap", fixed, "gap_over"),
    ]


LOOKS = {
    OFFLINE: ("offline", "offline, fresh"),
    FIXED: ("offline", "offline, one set", plotting.shades("offline", 3)[1]),
    ON_POLICY: ("on_policy", "on-policy"),
}


def plot(parts: curves.Parts):
    """The curves of `plot_curves`."""
    finding = r"On-policy labels bring DPO nearest to $\pi^*$; one set used again is behind fresh ones"
    return plot_curves(parts, LOOKS, findings={finding: [(ON_POLICY, OFFLINE), (OFFLINE, FIXED)]})


EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(references.SMOKE, curves.SMOKE),
        "default": Config(),
        "paper": Config(references.FRESH, replace(curves.PAPER, num_rounds=16)),
    },
    run=run,
    check=check,
    plot=plot,
    columns=curves.columns("offline DPO on fresh pairs"),
)
