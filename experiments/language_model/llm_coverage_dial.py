"""The coverage dial: the reference shows less of the target while pi*(target) stays; offline's gap, and on-policy's."""

from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from banditlab import plotting
from banditlab.claims import Check, Experiment, Shards, Table
from experiments.language_model.shared import curves, references
from experiments.language_model.shared.curve_figure import DOTTED, LABELS, curve, headline, look_of
from experiments.language_model.shared.curves import Sizes
from experiments.language_model.shared.references import Setup
from experiments.language_model.shared.training_runs import Bench

CLAIM = (
    "With pi*(target) held fixed, the gap that offline DPO leaves grows with the reference's coverage, and so does the "
    "one it starts from: of the reference's gap least is closed after a uniform corpus, where coverage is best."
)
OFFLINE, ON_POLICY = "offline", "on_policy"
ARMS: curves.Arms = {OFFLINE: ("offline_dpo", ()), ON_POLICY: ("on_policy_dpo", ())}


@dataclass(frozen=True)
class Config:
    """Noises of the corpus, each with references of its own; sizes as in llm_on_policy.

    At noise 1 the corpus is uniform and learned sooner: uniform_steps of pretraining are enough.
    """

    setup: Setup = field(default_factory=Setup)
    noises: tuple[float, ...] = (1.0, 0.5, 0.25)
    uniform_steps: int = 600
    sizes: Sizes = field(default_factory=Sizes)


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """The parts of `curves.tables` at every noise; share_left is the gap over that of the reference."""
    shards.expect(len(config.noises))
    bench = Bench(shards)
    found: dict[str, list[Table]] = {"reference": [], "rates": [], "rounds": []}
    for noise in config.noises:
        steps = config.uniform_steps if noise == 1 else config.setup.pretraining_steps
        setup = replace(config.setup, noise=noise, pretraining_steps=steps)
        compute = partial(curves.measure, bench, setup, config.sizes, ARMS)
        data = shards.get(f"noise {noise:g}", (0, config.sizes.num_seeds), compute)
        for arm in ARMS:
            data[f"{arm}: share_left"] = data[f"{arm}: gap"] / data[f"{arm}: gap"][:, :1]
        exact = {"noise": np.asarray(noise), "corpus_coverage": np.asarray(references.task_of(setup).coverage)}
        for part, table in curves.tables(data, config.sizes, ARMS, OFFLINE, ["share_left"]).items():
            known = {"noise": exact["noise"]} if part == "rates" else exact
            found[part].append(Table({**known, **table.columns}))
    return {part: Table.stack(listed) for part, listed in found.items()}


def check(parts: curves.Parts) -> list[Check]:
    """What is left where coverage is better and worse, the share where it is best, and the arms at the middle noise."""
    rounds = parts["rounds"]
    noises = np.unique(rounds["noise"])[::-1]
    checks = curves.sound_checks({part: parts[part].where(noise=noises[0]) for part in ("reference", "rounds")})
    last = rounds.where(round=rounds["round"].max())
    for arm in ARMS:
        best, *others = (last.where(noise=noise, arm=arm) for noise in noises)
        if arm == OFFLINE:
            claim = f"{arm}: gap left, coverage {_coverage(others[-1])} less {_coverage(best)}"
            checks.append(curves.apart(claim, others[-1], best, "gap"))
        for other in others:
            claim = f"{arm}: share of the gap left, coverage {_coverage(best)} less {_coverage(other)}"
            checks.append(curves.apart(claim, best, other, "share_left"))
    gains = [last.where(noise=noise, arm=ON_POLICY) for noise in noises]
    middle = gains[len(gains) // 2]
    checks.append(curves.less(f"noise {middle['noise'][0]:g}: on-policy less offline, gap", middle, "gap_over"))
    if last["num_labels"].max() >= curves.TELLING * last["round"].max():
        words = f"coverage {_coverage(gains[0])} less coverage {_coverage(gains[-1])}"
        checks.append(curves.apart(f"on-policy less offline, gap: {words}", gains[0], gains[-1], "gap_over"))
    return checks


def _coverage(row: Table) -> str:
    return f"{row['corpus_coverage'][0]:.0f}"


def plot(parts: curves.Parts):
    """Share of the gap left, and KL(pi*||pi), against the coverage of the references."""
    made, axes = plotting.figure(1, 2, height=2.5)
    start, rounds = parts["reference"], parts["rounds"]
    last = rounds.where(round=rounds["round"].max())
    levels = {"share_left": np.ones(len(start)), "kl_target": start["kl_target"]}
    for ax, (name, level) in zip(axes, levels.items(), strict=True):
        for arm in ARMS:
            curve(ax, start["coverage"], last.where(arm=arm), name, look_of(arm))
        ax.plot(start["coverage"], level, marker=".", label="reference", **DOTTED)
        ax.set(xscale="log", xlabel="coverage $E_{\\pi^*}[\\pi^*/\\pi_{\\mathrm{ref}}]$\n(better ← → worse)")
    axes[0].set_ylabel("gap left, of the reference's")
    axes[1].set_ylabel(LABELS["kl_target"])
    leads = [last.where(arm=OFFLINE)[name] - last.where(arm=ON_POLICY)[name] for name in levels]
    best, worst = start["coverage"].argmin(), start["coverage"].argmax()
    if all(lead[worst] > max(lead[best], 0) for lead in leads):
        headline(axes, "On-policy leads where coverage is bad")
    plotting.legend(made, columns=3)
    corpus = ", ".join(f"{value:,.0f}" for value in start["corpus_coverage"])
    plotting.caption(
        made,
        f"DPO of a small decoder, habit-target task, {rounds['num_labels'].max():,} labels each; means of "
        f"{rounds['seeds'][0]} seeds. {plotting.BARS} Learning rates tuned on held-out seeds at every point. "
        f"$\\pi^*$(target) is the same everywhere; the corpus has coverage {corpus}, the references, trained on it, "
        "that of the axis.",
    )
    return made


DIAL = {
    "noise": "probability that a symbol of the corpus is uniform rather than its habit's",
    "corpus_coverage": "E_pi*[pi*/pi_ref] of target pi* with the corpus as the reference pi_ref",
}
COLUMNS = curves.columns("offline DPO")
COLUMNS["reference"] |= DIAL
COLUMNS["rates"] = COLUMNS["rates"] | {"noise": DIAL["noise"]}
COLUMNS["rounds"] |= DIAL | {"share_left": "gap over that of the seed's reference"}

EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(references.SMOKE, (1.0, 0.5), 200, curves.SMOKE),
        "default": Config(),
        "paper": Config(references.FRESH, noises=(1.0, 0.7, 0.5, 0.35, 0.25), sizes=curves.PAPER),
    },
    run=run,
    check=check,
    plot=plot,
    columns=COLUMNS,
)
