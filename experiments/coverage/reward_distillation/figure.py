"""The figure of reward_distillation, from its tables."""

import numpy as np

from banditlab import plotting
from banditlab.claims import Table, statistics
from experiments.coverage.reward_distillation import runs
from experiments.shared import bands

_KEY = "reward_distillation"
_SAMPLERS = {"refreshed": (_KEY, "distillation, on-policy"), "never": ("offline", "never refreshed")}


def plot(tables: dict[str, Table]):
    """Recovery, floors; a teacher wrong at the top, and at the bottom; damped; against DPO."""
    made, axes = plotting.figure(3, 2, height=5.4)
    recovery, given, floors, teacher, damped, learner = (
        tables[part] for part in ("recovery", "given_pairs", "floors", "teacher", "damped", "learners")
    )
    for sampler, (key, _) in _SAMPLERS.items():
        arm = recovery.where(sampler=sampler)
        axes[0, 0].plot(arm["round"], arm["probability"], plotting.MARKERS[key], color=plotting.COLORS[key])
        plotting.theory(axes[0, 0], arm["round"], arm["probability_exact"], key)
    axes[0, 0].set(ylim=(0, 1.05), title="(a) exact recovery", xlabel="round", ylabel=r"P($\theta_k=\theta^*$)")
    _draw_floors(axes[0, 1], {"given\nthe pairs": given} | {arm: floors.where(arm=arm) for arm in runs.FLOORS})
    for ax, place, letter in zip(axes[1], runs.WRONG, "cd", strict=True):
        for sampler, (key, label) in _SAMPLERS.items():
            bands.medians(ax, teacher.where(arm=f"{place} {sampler}"), "round", "bias_kl", key, label=label)
        ax.set(yscale="log", xlabel="round", title=f"({letter}) {place} wrong")
        ax.set_ylim(0.5 * teacher["kl_low"].min(), 3 * teacher["kl_high"].max())
    axes[1, 0].set_ylabel(r"bias KL($\pi^*\|\pi$)")
    _draw_damped(axes[2, 0], damped)
    _draw_learners(axes[2, 1], learner)
    plotting.legend(made, columns=2, theory_label="exact or predicted")
    plotting.caption(
        made,
        "Linear softmax, distillation without any ridge. (a) Staircase of 4 unequal stairs, "
        f"{recovery['num_pairs'][0]:g} noiseless pairs a round, pooled, {recovery['seeds'][0]} seeds. (b) n KL, or the "
        f"squared error given the pairs (the {given['spanning'][0]:.1%} of {given['seeds'][0]} batches that have rank "
        "d), over its prediction; four standard errors. (c), (d) Ramp of 6 actions, one feature: a noiseless teacher "
        "wrong about one action, the top one, which pi* likes, or the bottom one, which pi_0 likes; "
        f"{teacher['num_pairs'][0]:g} fresh pairs a round, median and 10-90% band over {teacher['seeds'][0]} seeds. "
        f"(e), (f) Staircase, fresh batches, {damped['seeds'][0]} and {learner['seeds'][0]} seeds. (f) "
        f"{learner['num_pairs'][0]:g} pairs a round; DPO (ridge {learner['ridge'][0]:g}) sees who won, distillation "
        "sees the difference with the noise whose sign that label is (tau^2 = pi^2/3), or without noise: more "
        "information per pair, not a better use of it.",
    )
    return made


def _draw_floors(ax, rows: dict[str, Table]) -> None:
    for place, (arm, row) in enumerate(rows.items()):
        key = "offline" if arm == "offline" else _KEY
        look = {"fmt": plotting.MARKERS[key], "color": plotting.COLORS[key], "markersize": 3.5, "elinewidth": 0.9}
        ax.errorbar(row["ratio"], [-place], xerr=4 * row["ratio_se"], **look)
    plotting.theory(ax, np.ones(2), np.array([-len(rows) + 0.5, 0.5]))
    ax.set_yticks(-np.arange(len(rows)), list(rows))
    ax.set(title="(b) noise floors", xlabel="measured / predicted")


def _draw_damped(ax, rows: Table) -> None:
    shares = np.unique(rows["damping"])
    for damping, shade in zip(shares, plotting.shades(_KEY, len(shares) + 1)[:-1], strict=True):
        arm = rows.where(damping=damping)
        bands.medians(ax, arm, "round", "path_kl", _KEY, label="", color=shade)
        place = tuple(arm[name][len(arm) // 2] for name in ("round", "path_kl"))
        ax.annotate(rf"$\eta={damping:g}$", place, fontsize=6, xytext=(3, 3), textcoords="offset points")
    ax.set(yscale="log", xlabel="round", title="(e) damped, noiseless", xticks=np.unique(rows["round"])[1::2])
    ax.set_ylabel(r"KL($\pi^*\|\pi$)")


def _draw_learners(ax, rows: Table) -> None:
    noiseless = {"label": "distillation, noiseless", "color": plotting.shades(_KEY, 4)[0]}
    looks = {"DPO": {"label": "DPO, on-policy"}, "distillation": {"label": ""}, "noiseless": noiseless}
    lowest = min(rows.where(arm=arm)["floor_kl"][0] for arm in ("DPO", "distillation")) / 10
    for arm, look in looks.items():
        line, key = rows.where(arm=arm), "on_policy" if arm == "DPO" else _KEY
        labels = line["round"] * line["num_pairs"] / 1000
        # Exact recovery is at KL = 0, below every logarithmic axis.
        plotting.band(ax, labels, np.maximum(statistics.band(line, "kl"), 1e-6 * lowest), key, **look)
        if line["floor_kl"][0] > 0:
            plotting.theory(ax, labels[3:], line["floor_kl"][3:], key)
    ax.set(yscale="log", xlabel="thousand pairs in total", title="(f) against DPO", ylim=(lowest, None))
