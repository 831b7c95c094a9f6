"""The hybrid sampler on a pool of candidates: pairs of the G-optimal design, of a language model's own responses."""

from dataclasses import dataclass, field

from banditlab import plotting
from banditlab.claims import Check, Experiment, Shards, Table
from experiments.language_model.shared import curves, references
from experiments.language_model.shared.curve_figure import plot_curves
from experiments.language_model.shared.curves import Sizes
from experiments.language_model.shared.references import Setup

CLAIM = (
    "With one-hot features the G-optimal design of a pool is uniform over its distinct candidates and knows nothing of "
    "the reward: its pairs, even of a small pool, bring the reference nearer to pi*, as on-policy pairs do better than "
    "offline ones. With 2048 labels a round the pairs of a small pool, compared again and again, end farther from pi* "
    "than on-policy pairs, and those of a pool of as many responses as on-policy draws beat offline pairs."
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


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """The parts of `curves.tables`, differences from on-policy; and "pools", their sizes."""
    pools = dict.fromkeys(config.schemes, config.num_candidates) | {SMALL: config.small_pool}
    arms: dict = {OFFLINE: ("offline_dpo", ()), ON_POLICY: ("on_policy_dpo", ())}
    for arm, count in pools.items():
        scheme = DESIGN if arm == SMALL else arm
        arms[arm] = ("hybrid_dpo", (("num_candidates", count), ("scheme", scheme)))
    data = curves.measured(shards, config.setup, config.sizes, arms)
    sizes = Table.from_rows({"arm": arm, "num_candidates": count} for arm, count in pools.items())
    return {**curves.tables(data, config.sizes, arms, ON_POLICY), "pools": sizes}


def check(parts: curves.Parts) -> list[Check]:
    """Offline against on-policy, the small pool against the reference; with enough labels to tell, pools beside both.

    At the default size five seeds do not tell a small pool from on-policy pairs.
    """
    last = parts["rounds"].where(round=parts["rounds"]["round"].max())
    offline, small = last.where(arm=OFFLINE), last.where(arm=SMALL)
    moved = "the reference less design of a small pool, KL(pi*||pi)"
    checks = [
        *curves.sound_checks(parts),
        curves.more("offline less on-policy, gap", offline, "gap_over"),
        curves.more("offline less on-policy, KL(pi*||pi)", offline, "kl_target_over"),
        curves.less("offline less on-policy, win rate", offline, "win_rate_over"),
        curves.apart(moved, parts["reference"], small, "kl_target"),
    ]
    if last["num_labels"].max() >= curves.TELLING * last["round"].max():
        checks.append(curves.more("design of a small pool less on-policy, KL(pi*||pi)", small, "kl_target_over"))
        for scheme in (arm for arm in (DESIGN, PAIRED, MIXTURE) if arm in last["arm"]):
            claim = f"offline less hybrid, {scheme}, both less on-policy: gap"
            checks.append(curves.apart(claim, offline, last.where(arm=scheme), "gap_over"))
    return checks


def plot(parts: curves.Parts):
    """The curves of `plot_curves`."""
    *_, pool, few = parts["pools"]["num_candidates"]
    note = f"Pools: {pool} candidates a prompt of the reference and as many of the policy; small: {few} each."
    findings = {
        "Pairs of a design end between on-policy and offline ones": [(ON_POLICY, DESIGN), (DESIGN, OFFLINE)],
        "Offline pairs end behind on-policy ones": [(ON_POLICY, OFFLINE)],
    }
    return plot_curves(parts, LOOKS, note, findings)


LOOKS = {
    OFFLINE: ("offline", "offline"),
    ON_POLICY: ("on_policy", "on-policy"),
    DESIGN: ("hybrid_design", "hybrid, design"),
    PAIRED: ("hybrid_paired", "hybrid, paired"),
    MIXTURE: ("hybrid_mixture", "hybrid, mixture"),
    SMALL: ("hybrid_design", "design, small pool", plotting.shades("hybrid_design", 3)[0]),
}
POOLS = {"num_candidates": "candidates of the reference, and as many of the policy, in a prompt's pool [responses]"}

EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(references.SMOKE, 8, 8, sizes=curves.SMOKE),
        "default": Config(),
        "paper": Config(references.FRESH, 128, schemes=(DESIGN, PAIRED, MIXTURE), sizes=curves.PAPER),
    },
    run=run,
    check=check,
    plot=plot,
    columns=curves.columns("on-policy DPO") | {"pools": POOLS},
)
