"""The figure of `reward_model_labels`: what a reward model gets wrong, and what that costs Pref-FT."""

from collections.abc import Mapping

from banditlab import plotting
from banditlab.claims import Table
from experiments.didactic.reward_model_labels.runs import NOISY, TRUE

_MODES = {TRUE: ("on_policy", "true rewards"), NOISY: ("offline", "Bradley-Terry")}
_LEARNED = ("design", "reward model")


def plot(tables: Mapping[str, Table]):
    """Error and order of the learned rewards against the labels they cost; below, where Pref-FT ends on each kind."""
    made, axes = plotting.figure(3, 1, height=5.0, sharex=True)
    fits, limits, rows, exact = (tables[part] for part in ("fits", "limits", "learned", "exact"))
    look = {"color": plotting.COLORS[_LEARNED[0]], "marker": plotting.MARKERS[_LEARNED[0]], "linestyle": ""}
    for ax, name in zip(axes, ("error", "agreement"), strict=False):
        ax.errorbar(fits["labels"], fits[name], 4 * fits[f"{name}_se"], elinewidth=0.8, **look)
        plotting.theory(ax, fits["labels"], fits[f"{name}_predicted"], _LEARNED[0])
    axes[0].set(
        ylabel=r"$n\,$E$\,(\hat r_a - \hat r_b - R_a + R_b)^2$", ylim=(0, None), title="error of a reward model"
    )
    axes[1].set(ylabel="share", title="pairs that it orders as the rewards do")
    plotting.theory(axes[2], limits["labels"], limits["predicted"], _LEARNED[0])
    axes[2].errorbar(rows["labels"], rows["reward"], 4 * rows["reward_se"], label=_LEARNED[1], elinewidth=0.8, **look)
    for name, (key, label) in _MODES.items():
        one = tables["direct"].where(labeller=name)
        plotting.theory(axes[2], limits["labels"], one["predicted"].repeat(len(limits)), key)
        shown = {"color": plotting.COLORS[key], "marker": plotting.MARKERS[key], "linestyle": "", "label": label}
        axes[2].errorbar([limits["labels"].max()], one["reward"], 4 * one["reward_se"], elinewidth=0.8, **shown)
    axes[2].set(xscale="log", xlabel="labels n of the reward model", ylabel=r"$E_\pi R$", title="Pref-FT on its labels")
    plotting.legend(made, columns=2)
    plotting.caption(
        made,
        f"A bump of reward on {exact['num_actions'][0]} actions, Bradley-Terry labels of temperature "
        f"{exact['temperature'][0]:g} on pairs of reference draws. Dashed: inverse information and its normal law; the "
        "limit of Pref-FT by exact sums (averaged over reward models drawn and fitted in NumPy). Points: fits, and "
        f"Adam on {rows['num_pairs'][0]} labelled pairs for true, noisy (at the right end) and learned labels; bars "
        "four standard errors.",
    )
    return made
