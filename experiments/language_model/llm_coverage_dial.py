"""The coverage dial: the reference shows less of the target while pi*(target) stays; offline's gap, and on-policy's."""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.claims.checks import Check
from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
from experiments.language_model.shared import curves, references
from experiments.language_model.shared.curves import Sizes
from experiments.language_model.shared.references import Setup
from experiments.language_model.shared.training_runs import Bench

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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


def run(config: Config, shards: Shards) -> Table:
    """A row per noise, arm and round; share_left is the gap over that of the reference."""
    shards.expect(len(config.noises))
    listed = []
    bench = Bench(shards)
    for noise in config.noises:
        steps = config.uniform_steps if noise == 1 else config.setup.pretraining_steps
        setup = replace(config.setup, noise=noise, pretraining_steps=steps)
        compute = partial(curves.measure, bench, setup, config.sizes, ARMS)
        data = shards.get(f"noise {noise:g}", (0, config.sizes.num_seeds), compute)
        for arm in ARMS:
            data[f"{arm}: share_left"] = data[f"{arm}: gap"] / data[f"{arm}: gap"][:, :1]
        exact = {"noise": noise, "corpus_coverage": references.task_of(setup).coverage}
        names = (*curves.EXACT, "share_left")
        listed += [exact | row for row in curves.rows(data, config.sizes, list(ARMS), OFFLINE, names)]
    return curves.table(listed)


def check(table: Table) -> list[Check]:
    """What is left where coverage is better and worse, the share where it is best, and the arms at half noise."""
    checks = curves.sound_checks(table.where(noise=table["noise"].max()))
    last = table.where(round=table["round"].max())
    noises = np.unique(last["noise"])[::-1]
    for arm in ARMS:
        rows = [last.where(noise=noise, arm=arm) for noise in noises]
        if arm == OFFLINE:
            words = f"coverage {rows[-1]['corpus_coverage'][0]:.0f} less {rows[0]['corpus_coverage'][0]:.0f}"
            checks.append(curves.apart(f"{arm}: gap left, {words}", rows[-1], rows[0], "gap"))
        for other in rows[1:]:
            words = f"coverage {rows[0]['corpus_coverage'][0]:.0f} less {other['corpus_coverage'][0]:.0f}"
            checks.append(curves.apart(f"{arm}: share of the gap left, {words}", rows[0], other, "share_left"))
    row = last.where(noise=0.5, arm=ON_POLICY)
    checks.append(curves.less("noise 1/2: on-policy less offline, gap", row, "gap_over"))
    if last["num_labels"].max() >= curves.TELLING * last["round"].max():
        best, worst = (last.where(noise=noise, arm=ON_POLICY) for noise in (noises[0], noises[-1]))
        words = [f"coverage {end['corpus_coverage'][0]:.0f}" for end in (best, worst)]
        checks.append(curves.apart(f"on-policy less offline, gap: {words[0]} less {words[1]}", best, worst, "gap_over"))
    return checks


def plot(table: Table) -> "Figure":
    """Share of the gap left, and KL(pi*||pi), against the coverage of the references."""
    made, axes = plotting.figure(1, 2, height=2.2)
    last, start = table.where(round=table["round"].max()), table.where(round=0, arm=OFFLINE)
    for ax, name in zip(axes, ("share_left", "kl_target"), strict=True):
        for arm in ARMS:
            one = last.where(arm=arm)
            look = {"color": plotting.COLORS[arm], "marker": plotting.MARKERS[arm], "label": arm.replace("_", "-")}
            ax.errorbar(one["reference_coverage"], one[name], one[f"{name}_se"], linewidth=1.2, elinewidth=0.8, **look)
        look = {"color": "#666666", "linestyle": ":", "marker": ".", "linewidth": 0.9, "label": "reference"}
        ax.plot(start["reference_coverage"], start[name], **look)
        ax.set(xscale="log", xlabel=r"$E_{\pi^*}[\pi^*/\pi_{ref}]$")
    axes[0].set_title(r"gap left, of $\pi_{ref}$'s")
    axes[1].set_title(r"KL$(\pi^*\|\pi)$")
    plotting.legend(made, columns=3)
    labels = int(table["num_labels"].max())
    corpus = ", ".join(f"{value:.0f}" for value in start["corpus_coverage"])
    plotting.caption(
        made,
        f"{labels} labels each; mean of {table['seeds'][0]} seeds, bars a standard error; rates tuned on held-out "
        f"seeds at every point. pi*(target) is the same everywhere; the corpus has coverage {corpus}, and the "
        f"references, trained on it, that of the axis.",
    )
    return made


EXPERIMENT = Experiment(
    name="llm_coverage_dial",
    claim=CLAIM,
    family="language_model",
    presets={
        "smoke": Config(references.SMOKE, (1.0, 0.5), 200, curves.SMOKE),
        "default": Config(),
        "paper": Config(references.FRESH, noises=(1.0, 0.7, 0.5, 0.35, 0.25), sizes=curves.PAPER),
    },
    run=run,
    check=check,
    plot=plot,
)
