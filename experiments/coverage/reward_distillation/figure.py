"""The figure of reward_distillation, from its tables."""

import numpy as np

from banditlab import plotting
from banditlab.claims import Table, statistics
from experiments.coverage.reward_distillation import runs
from experiments.shared import bands

_KEY = "reward_distillation"
_SAMPLERS = {"refreshed": (_KEY, "distillation, on-policy"), "never": ("offline", "never refreshed")}


def plot(tables: dict[str, Table]):
    """Recovery, floors, damping; a teacher wrong at the top, and at the bottom; against DPO."""
    made, axes = plotting.figure(2, 3, width=plotting.PAGE_WIDTH, height=4.4)
    parts = ("recovery", "given_pairs", "floors", "teacher", "damped", "learners")
    recovery, given, floors, teacher, damped, learner = (tables[part] for part in parts)
    for sampler, (key, _) in _SAMPLERS.items():
        arm = recovery.where(sampler=sampler)
        axes[0, 0].plot(arm["round"], arm["probability"], plotting.MARKERS[key], color=plotting.COLORS[key])
        plotting.theory(axes[0, 0], arm["round"], arm["probability_exact"], key)
    title = "(a) Refreshed pairs recover\n" + r"$\theta^*$ in fewer rounds"
    axes[0, 0].set(ylim=(0, 1.05), xlabel="round", ylabel=r"P($\theta_k=\theta^*$)", title=title)
    _draw_floors(axes[0, 1], {"given\nthe pairs": given} | {arm: floors.where(arm=arm) for arm in runs.FLOORS})
    _draw_damped(axes[0, 2], damped)
    titles = ("(d) Teacher wrong at the top:\nrefreshing does harm", "(e) Wrong at the bottom:\nrefreshing helps")
    for ax, place, title in zip(axes[1], runs.WRONG, titles, strict=False):
        for sampler, (key, label) in _SAMPLERS.items():
            bands.curve(ax, teacher.where(arm=f"{place} {sampler}"), "round", "bias_kl", key, label=label)
        ax.set(yscale="log", xlabel="round", ylabel=r"KL($\pi^*\|\pi$) [nats]", title=title)
        ax.set_ylim(0.5 * teacher["kl_low"].min(), 3 * teacher["kl_high"].max())
    _draw_learners(axes[1, 2], learner)
    plotting.legend(made, columns=4, theory_label="exact or predicted")
    # Panel by panel; (b) has those of the given pairs, as its other arms have their own.
    seeds = ", ".join(f"{one['seeds'][0]:,.0f}" for one in (recovery, given, damped, teacher, teacher, learner))
    plotting.caption(
        made,
        f"Linear softmax, no ridge but DPO's ({learner['ridge'][0]:g}); staircase of 4 unequal stairs, in (d), (e) a "
        f"ramp of 6 actions with one feature; {seeds} seeds in (a)-(f). "
        f"(a) {recovery['num_pairs'][0]:g} noiseless pairs a round, pooled. (b) $n\\,$KL or, given the pairs, the "
        f"squared error. {plotting.BARS} (d), (e) Noiseless, wrong about the action that $\\pi^*$ or $\\pi_0$ likes; "
        f"{teacher['num_pairs'][0]:,g} fresh pairs a round, in (f) {learner['num_pairs'][0]:,g}; means. "
        f"{plotting.BAND}",
    )
    return made


def _draw_floors(ax, rows: dict[str, Table]) -> None:
    for place, (arm, row) in enumerate(rows.items()):
        key = "offline" if arm == "offline" else _KEY
        look = {"fmt": plotting.MARKERS[key], "color": plotting.COLORS[key], "markersize": 3.5, "elinewidth": 0.9}
        ax.errorbar(row["ratio"], [-place], xerr=plotting.NUM_ERRORS * row["ratio_se"], **look)
    plotting.theory(ax, np.ones(2), np.array([-len(rows) + 0.5, 0.5]))
    ax.set_yticks(-np.arange(len(rows)), list(rows))
    ax.locator_params(axis="x", nbins=4)
    ax.set(title="(b) The noise floors are\nthose predicted", xlabel="measured / predicted")


def _draw_damped(ax, rows: Table) -> None:
    shares = np.unique(rows["damping"])
    for damping, shade in zip(shares, plotting.shades(_KEY, len(shares)), strict=True):
        arm = rows.where(damping=damping)
        ax.plot(arm["round"], arm["kl_median"], plotting.MARKERS[_KEY], color=shade, gid="labelled")
        line = plotting.theory(ax, arm["round"], arm["path_kl"], color=shade)
        plotting.direct_label(line, rf"$\eta={damping:g}$", place=len(arm) // 2, offset=(3, 6))
    title = "(c) Damped by $\\eta$, noiseless:\ngeometric decay"
    ax.set(yscale="log", xlabel="round", ylabel=r"KL($\pi^*\|\pi$) [nats]", title=title)


def _draw_learners(ax, rows: Table) -> None:
    lowest = min(rows.where(arm=arm)["floor_kl"][0] for arm in ("DPO", "distillation")) / 10
    for arm, label in {"DPO": "DPO, on-policy", "distillation": ""}.items():
        line, key = rows.where(arm=arm), "on_policy" if arm == "DPO" else _KEY
        labels = line["round"] * line["num_pairs"] / 1000
        quantiles = np.maximum(statistics.band(line, "kl"), 1e-6 * lowest)
        plotting.mean(ax, labels, line["kl"], line["kl_se"], key, quantiles=quantiles, label=label)
        plotting.theory(ax, labels[3:], line["floor_kl"][3:], key)
    line, shade = rows.where(arm="noiseless"), plotting.shades(_KEY, 5)[0]
    labels = line["round"] * line["num_pairs"] / 1000
    # Exact recovery is at KL = 0, below every logarithmic axis.
    shown = ax.plot(labels, np.maximum(line["kl_median"], 1e-6 * lowest), plotting.MARKERS[_KEY], ls="-", color=shade)
    plotting.direct_label(shown[0], "noiseless: exact", place=min(1, len(line) - 1), offset=(6, 4))
    ax.set(yscale="log", xlabel="thousand pairs in all", ylabel=r"KL($\pi^*\|\pi$) [nats]", ylim=(lowest, None))
    ax.set_title("(f) Noisy rewards tell more\nthan their signs, DPO's labels")
