"""The figure of `who_wins`."""

from banditlab import plotting
from banditlab.claims import Table
from experiments.partial_coverage.who_wins.runs import DPO, HYPO, RLHF


def plot(tables: dict[str, Table]):
    """Gap against the unseen action's reward, one panel per reference."""
    learners = tables["learners"]
    names = list(dict.fromkeys(learners["instance"].tolist()))
    made, axes = plotting.figure(len(names), 1, height=4.4, sharex=True)
    single = learners["penalty"][learners["penalty"] > 0].min()
    for ax, name in zip(axes, names, strict=True):
        for learner, penalty in ((DPO, 0.0), (RLHF, 0.0), (HYPO, single)):
            rows = tables["trained"].where(instance=name, learner=learner, penalty=penalty)
            curve = tables["curves"].where(instance=name, learner=learner)
            look = {"color": plotting.COLORS[learner], "markersize": 4}
            ax.plot(rows["reward"], rows["gap"], plotting.MARKERS[learner], label=plotting.LABELS[learner], **look)
            plotting.theory(ax, curve["reward"], curve["gap"], learner)
        _mark_crossing(ax, learners.where(instance=name))
        ax.set(ylabel=r"gap $J(\pi^*)-J(\pi)$", title=name)
    axes[-1].set_xlabel("true reward of the unseen action")
    plotting.legend(made, columns=2, theory_label="closed form")
    plotting.caption(
        made,
        "Tabular softmax, population labels on four seen actions, one unseen. Points: trained policies (HyPO at "
        f"lambda = {single:g}); dashed: closed forms (lambda = 0+). Grey: where DPO and HyPO cross; the name says who "
        f"wins on which side. Policies that did not converge: {learners['failed'].sum()}.",
    )
    return made


def _mark_crossing(ax, learners: Table) -> None:
    crossing = float(learners["crossing"][0])
    order = sorted((DPO, HYPO), key=lambda name: learners.where(learner=name)["imputed"][0])
    ax.axvline(crossing, color="#888888", linewidth=0.8, zorder=1)
    top = ax.get_ylim()[1]
    for learner, shift, side in ((order[0], -4, "right"), (order[1], 4, "left")):
        where = {"textcoords": "offset points", "xytext": (shift, 0), "ha": side, "va": "top", "fontsize": 7}
        ax.annotate(f"{plotting.LABELS[learner]} wins", (crossing, top), color=plotting.COLORS[learner], **where)
