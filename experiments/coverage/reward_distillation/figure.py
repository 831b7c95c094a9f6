"""The figure of reward_distillation, from its table."""

from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.claims import statistics
from banditlab.store import Table
from experiments.coverage.reward_distillation import runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SAMPLER_LOOKS = {
    "refreshed": ("reward_distillation", "distillation, on-policy"),
    "never": ("offline", "never refreshed"),
}


def plot(table: Table) -> "Figure":
    """Recovery, floors; a teacher wrong at the top, and at the bottom; damped; against DPO."""
    made, axes = plotting.figure(3, 2, height=5.4)
    _draw_recovery(axes[0, 0], table.where(part=runs.RECOVERY))
    _draw_floors(axes[0, 1], table.where(part=runs.FLOOR))
    for ax, place in zip(axes[1], runs.WRONG, strict=True):
        _draw_teacher(ax, table.where(part=runs.TEACHER), place)
    _draw_damped(axes[2, 0], table.where(part=runs.DAMPED))
    _draw_learners(axes[2, 1], table.where(part=runs.LEARNER))
    plotting.legend(made, columns=2, theory_label="exact or predicted")
    recovery, teacher, damped, learner = (
        table.where(part=part) for part in (runs.RECOVERY, runs.TEACHER, runs.DAMPED, runs.LEARNER)
    )
    given = recovery.where(arm=runs.GIVEN)
    plotting.caption(
        made,
        "Linear softmax, distillation without any ridge. (a) Staircase of 4 unequal stairs, "
        f"{recovery['num_pairs'][0]:g} noiseless pairs a round, pooled, {recovery['seeds'][0]} seeds. (b) n KL, or the "
        f"squared error given the pairs (the {given['value'][0]:.1%} of {given['seeds'][0]} batches that have rank d), "
        "over its prediction; four standard errors. (c), (d) Ramp of 6 actions, one "
        "feature: a noiseless teacher wrong about one action, the top one, which pi* likes, or the bottom one, which "
        f"pi_0 likes; {teacher['num_pairs'][0]:g} fresh pairs a round, median and 10-90% band over "
        f"{teacher['seeds'][0]} seeds. (e), (f) Staircase, fresh batches, {damped['seeds'][0]} and "
        f"{learner['seeds'][0]} seeds. (f) {learner['num_pairs'][0]:g} pairs a round; DPO (ridge 1) sees who won, "
        "distillation sees the difference with the noise whose sign that label is (tau^2 = pi^2/3), or without noise: "
        "more information per pair, not a better use of it.",
    )
    return made


def _draw_recovery(ax: "Axes", rows: Table) -> None:
    for sampler, (key, _) in _SAMPLER_LOOKS.items():
        arm = rows.where(arm=sampler)
        ax.plot(arm["round"], arm["value"], plotting.MARKERS[key], color=plotting.COLORS[key])
        plotting.theory(ax, arm["round"], arm["predicted"], key)
    ax.set(title="(a) exact recovery", xlabel="round", ylabel=r"P($\theta_k=\theta^*$)", ylim=(0, 1.05))


def _draw_floors(ax: "Axes", rows: Table) -> None:
    names = [runs.GIVEN, *runs.FLOORS]
    for place, arm in enumerate(names):
        row = rows.where(arm=arm)
        key = "offline" if arm == "offline" else "reward_distillation"
        look = {"color": plotting.COLORS[key], "markersize": 3.5, "elinewidth": 0.9}
        ax.errorbar(row["value"], [-place], xerr=4 * row["value_se"], fmt=plotting.MARKERS[key], **look)
    plotting.theory(ax, np.ones(2), np.array([-len(names) + 0.5, 0.5]))
    ax.set_yticks(-np.arange(len(names)), ["given\nthe pairs", *names[1:]])
    ax.set(title="(b) noise floors", xlabel="measured / predicted")


def _draw_teacher(ax: "Axes", rows: Table, place: str) -> None:
    for sampler, (key, label) in _SAMPLER_LOOKS.items():
        arm = rows.where(arm=f"{place} {sampler}")
        plotting.band(ax, arm["round"], _quantiles(arm), key, label=label)
        plotting.theory(ax, arm["round"], arm["predicted"], key)
    ax.set(yscale="log", xlabel="round", title=f"({'c' if place == 'top' else 'd'}) {place} wrong")
    ax.set_ylim(0.5 * rows["kl_low"].min(), 3 * rows["kl_high"].max())
    ax.set_ylabel(r"bias KL($\pi^*\|\pi$)" if place == "top" else "")


def _draw_damped(ax: "Axes", rows: Table) -> None:
    shares = np.unique(rows["damping"])
    for damping, shade in zip(shares, plotting.shades("reward_distillation", len(shares) + 1)[:-1], strict=True):
        arm = rows.where(damping=damping)
        plotting.band(ax, arm["round"], _quantiles(arm), "reward_distillation", label="", color=shade)
        plotting.theory(ax, arm["round"], arm["predicted"], "reward_distillation")
        middle = len(arm) // 2
        place = (arm["round"][middle], arm["predicted"][middle])
        ax.annotate(rf"$\eta={damping:g}$", place, fontsize=6, xytext=(3, 3), textcoords="offset points")
    ax.set(yscale="log", xlabel="round", title="(e) damped, noiseless", xticks=np.unique(rows["round"])[1::2])
    ax.set_ylabel(r"KL($\pi^*\|\pi$)")


def _draw_learners(ax: "Axes", rows: Table) -> None:
    looks = {
        "DPO": ("on_policy", "DPO, on-policy", None),
        "distillation": ("reward_distillation", "", None),
        "noiseless": ("reward_distillation", "distillation, noiseless", plotting.shades("reward_distillation", 4)[0]),
    }
    lowest = min(rows.where(arm=arm)["predicted"][0] for arm in ("DPO", "distillation")) / 10
    for arm, (key, label, color) in looks.items():
        line = rows.where(arm=arm)
        labels = line["round"] * line["num_pairs"] / 1000
        # Exact recovery is at KL = 0, below every logarithmic axis.
        plotting.band(ax, labels, np.maximum(_quantiles(line), 1e-6 * lowest), key, label=label, color=color)
        if line["predicted"][0] > 0:
            plotting.theory(ax, labels[3:], line["predicted"][3:], key)
    ax.set(yscale="log", xlabel="thousand pairs in total", title="(f) against DPO", ylim=(lowest, None))


def _quantiles(rows: Table) -> np.ndarray:
    return np.stack([rows[f"kl_{level}"] for level in statistics.BAND])
