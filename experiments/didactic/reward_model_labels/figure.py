"""The figure of `reward_model_labels`: what a reward model gets wrong, and what that costs Pref-FT."""

from typing import TYPE_CHECKING

from banditlab import plotting
from banditlab.store import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MODES = {"deterministic": ("on_policy", "true rewards"), "bradley_terry": ("offline", "Bradley-Terry")}
_LEARNED = ("design", "reward model")


def plot(table: Table) -> "Figure":
    """Error and order of the learned rewards against the labels they cost; below, where Pref-FT ends on each kind."""
    made, axes = plotting.figure(3, 1, height=5.0, sharex=True)
    fits = table.where(part="fit")
    look = {"color": plotting.COLORS[_LEARNED[0]], "marker": plotting.MARKERS[_LEARNED[0]], "linestyle": ""}
    for ax, name in zip(axes, ("error", "agreement"), strict=False):
        rows = fits.where(name=name)
        ax.errorbar(rows["x"], rows["value"], 4 * rows["value_se"], elinewidth=0.8, **look)
        plotting.theory(ax, rows["x"], rows["predicted"], _LEARNED[0])
    axes[0].set(
        ylabel=r"$n\,$E$\,(\hat r_a - \hat r_b - R_a + R_b)^2$", ylim=(0, None), title="error of a reward model"
    )
    axes[1].set(ylabel="share", title="pairs that it orders as the rewards do")
    limit = table.where(part="limit")
    plotting.theory(axes[2], limit["x"], limit["predicted"], _LEARNED[0])
    runs = table.where(part="run")
    rows = runs.where(name="reward_model")
    axes[2].errorbar(rows["x"], rows["value"], 4 * rows["value_se"], label=_LEARNED[1], elinewidth=0.8, **look)
    for name, (key, label) in _MODES.items():
        one = runs.where(name=name)
        plotting.theory(axes[2], limit["x"], one["predicted"].repeat(len(limit)), key)
        place = limit["x"].max()
        shown = {"color": plotting.COLORS[key], "marker": plotting.MARKERS[key], "linestyle": "", "label": label}
        axes[2].errorbar([place], one["value"], 4 * one["value_se"], elinewidth=0.8, **shown)
    axes[2].set(xscale="log", xlabel="labels n of the reward model", ylabel=r"$E_\pi R$", title="Pref-FT on its labels")
    plotting.legend(made, columns=2)
    plotting.caption(
        made,
        "A bump of reward on 20 actions, Bradley-Terry labels of temperature 0.25 on pairs of reference draws. Dashed: "
        "inverse information and its normal law; the limit of Pref-FT by exact sums (averaged over reward models drawn "
        "and fitted in NumPy). Points: fits, and Adam on 256 labelled pairs for true, noisy (at the right end) and "
        "learned labels; bars four standard errors.",
    )
    return made
