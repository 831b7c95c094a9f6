"""The figure of `coverage_functions`."""

import numpy as np

from banditlab import plotting
from banditlab.claims import Table


def plot(tables: dict[str, Table]):
    """C_kl against the radius; the divergence that rewards of a span reach; what stays bounded as p falls."""
    made, axes = plotting.figure(3, 1, height=6.2)
    curve, spans = tables["two_actions"], tables["spans"]
    inside = curve.kept((curve["mass"] > 0) & (curve["radius"] > 0) & np.isfinite(curve["radius"]))
    masses = np.unique(inside["mass"])[::-1]
    for mass, shade in zip(masses, plotting.shades("rlhf", len(masses)), strict=True):
        rows = inside.where(mass=mass)
        axes[0].plot(rows["radius"], rows["coverage"], color=shade, label=rf"$C_{{kl}}$, p = {mass:g}")
        plotting.theory(axes[0], rows["radius"], rows["lower"])
        axes[0].axhline(1 / mass, color="#888888", linewidth=0.6, zorder=1)
    axes[0].set(xscale="log", yscale="log", xlabel=r"radius $e$ of the KL ball", ylabel=r"$\max\,\pi/\pi_{\rm ref}$")
    axes[0].set_title(r"a  from 1 to $C_{glo} = 1/p$ (grey)")
    look = {"color": plotting.COLORS["hybrid_design"], "label": "largest of random", "ms": 5}
    axes[1].plot(spans["span"], spans["divergence"], plotting.MARKERS["hybrid_design"], **look)
    plotting.theory(axes[1], spans["span"], spans["largest_divergence"])
    axes[1].plot(spans["span"], spans["span"], ":", color="#888888", label=r"$s/\beta$")
    axes[1].set(xscale="log", yscale="log", xlabel=r"span $s/\beta$ of the reward")
    axes[1].set(ylabel=r"$E_x$KL$(\pi\|\pi_{\rm ref})$", title="b  a bounded reward stays in a KL ball")
    # At the radius and the span that are nearest to 1.
    radius, place = inside["radius"][np.abs(np.log(inside["radius"])).argmin()], np.abs(np.log(spans["span"])).argmin()
    rows = inside.where(radius=radius)
    axes[2].plot(
        rows["mass"], rows["coverage"], "o", color=plotting.COLORS["rlhf"], ms=5, label=f"$C_{{kl}}({radius:g})$"
    )
    plotting.theory(axes[2], rows["mass"], rows["lower"])
    axes[2].plot(rows["mass"], 1 / rows["mass"], "-", color="#888888", linewidth=0.8, label=r"$C_{glo}$")
    name = r"\beta" if spans["span"][place] == 1 else rf"{spans['span'][place]:g}\beta"
    limit = np.full(len(rows), spans["largest_ratio"][place])
    axes[2].plot(rows["mass"], limit, "-.", color="#882255", label=rf"limit $e^{{s/\beta}}$, $s={name}$")
    axes[2].set(xscale="log", yscale="log", xlabel=r"mass $p$ of the rare action", ylabel=r"$\max\,\pi/\pi_{\rm ref}$")
    axes[2].invert_xaxis()
    axes[2].set_title("c  the ball saves only a logarithm")
    plotting.legend(made, columns=2, theory_label="enclosure / maximum")
    width = (inside["upper"] / inside["lower"]).max() - 1
    plotting.caption(
        made,
        "a, c: two actions, pi_ref = (1 - p, p); dashed: the largest pi/pi_ref of tilted policies in the ball, which a "
        f"dual bound encloses to {width:.0e}, as for {tables['random_bandits']['bandits'].sum()} random ones in the "
        f"checks. b: the largest of {spans['rewards'][0]} random rewards and references a span; dashed: the exact "
        "maximum, c - 1 - log c, c = (s/beta)/(1 - e^-s/beta).",
    )
    return made
