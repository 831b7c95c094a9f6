"""The figure of `coverage_functions`."""

import numpy as np

from banditlab import plotting
from banditlab.claims import Table

_RATIO = r"$\max\,\pi/\pi_{\mathrm{ref}}$"


def plot(tables: dict[str, Table]):
    """C_kl against the radius; the divergence that rewards of a span reach; what stays bounded as p falls."""
    made, axes = plotting.figure(3, 1, height=6.0)
    curve, spans = tables["two_actions"], tables["spans"]
    inside = curve.kept((curve["mass"] > 0) & (curve["radius"] > 0) & np.isfinite(curve["radius"]))
    _balls(axes[0], inside)
    _spans(axes[1], spans)
    _masses(axes[2], inside, spans)
    plotting.legend(made, columns=2, theory_label="exact maximum")
    width = float(f"{(inside['upper'] / inside['lower']).max() - 1:.0e}")
    plotting.caption(
        made,
        "a, c: two actions, $\\pi_{\\mathrm{ref}}$ = ($1-p$, $p$); dashed: the largest ratio of tilted policies, which "
        f"a dual bound encloses to {plotting.number(width)}, as for {tables['random_bandits']['bandits'].sum():,} "
        f"random bandits in the checks. b: {spans['rewards'][0]:,} rewards and references a span; dashed: $c-1-\\log c$"
        ", $c=(s/\\beta)/(1-e^{-s/\\beta})$.",
    )
    return made


def _balls(ax, inside: Table) -> None:
    for mass in np.unique(inside["mass"]):
        rows = inside.where(mass=mass)
        look = {"color": plotting.COLORS["rlhf"], "linestyle": "", "marker": plotting.MARKERS["rlhf"]}
        ax.plot(rows["radius"], rows["coverage"], label=r"$C_{\mathrm{kl}}$ by the library", markevery=2, **look)
        line = plotting.theory(ax, rows["radius"], rows["lower"], "rlhf")
        plotting.direct_label(line, f"$p$ = {plotting.number(mass)}", offset=(5, 0))
        ax.hlines(1 / mass, rows["radius"].min(), rows["radius"].max(), color="#888888", linewidth=0.6, zorder=1)
    ax.set(xscale="log", yscale="log", xlabel="radius $e$ of the KL ball [nats]", ylabel=_RATIO)
    ax.set_xlim(right=3e3 * inside["radius"].max())  # room for the names
    ax.set_title(r"a  $C_{\mathrm{kl}}$ grows from 1 to $C_{\mathrm{glo}}$ (grey)")


def _spans(ax, spans: Table) -> None:
    look = {"color": plotting.COLORS["reference"], "linestyle": "", "marker": "o", "markersize": 5}
    ax.plot(spans["span"], spans["divergence"], label="largest of random rewards", **look)
    plotting.theory(ax, spans["span"], spans["largest_divergence"])
    (line,) = ax.plot(spans["span"], spans["span"], ":", color="#666666")
    plotting.direct_label(line, r"bound $s/\beta$", place=len(spans) // 2, offset=(-4, 4))
    ax.set(xscale="log", yscale="log", xlabel=r"span $s/\beta$ of the reward")
    ax.set_ylabel(r"$E_x$KL$(\pi\|\pi_{\mathrm{ref}})$ [nats]")
    ax.set_title("b  a bounded reward stays in a KL ball")


def _masses(ax, inside: Table, spans: Table) -> None:
    """At the radius and the span that are nearest to 1."""
    radius, place = inside["radius"][np.abs(np.log(inside["radius"])).argmin()], np.abs(np.log(spans["span"])).argmin()
    rows = inside.where(radius=radius)
    look = {"color": plotting.COLORS["rlhf"], "linestyle": "", "marker": plotting.MARKERS["rlhf"], "markersize": 5}
    ax.plot(rows["mass"], rows["coverage"], gid="labelled", **look)
    ball = plotting.theory(ax, rows["mass"], rows["lower"], "rlhf")
    (everything,) = ax.plot(rows["mass"], 1 / rows["mass"], "-", color="#888888", linewidth=0.8)
    limit = np.full(len(rows), spans["largest_ratio"][place])
    (bounded,) = ax.plot(rows["mass"], limit, "-.", color=plotting.COLORS["reference"])
    middle, span = len(rows) // 2, spans["span"][place]
    plotting.direct_label(everything, r"$C_{\mathrm{glo}}=1/p$", place=middle, offset=(-6, 6))
    plotting.direct_label(ball, rf"$C_{{\mathrm{{kl}}}}$ at $e$ = {radius:g}", place=middle, offset=(8, -7))
    name = "" if span == 1 else f"{span:g}"
    plotting.direct_label(bounded, rf"$e^{{s/\beta}}$ at $s={name}\beta$", place=middle, offset=(8, 7))
    ax.set(xscale="log", yscale="log", xlabel=r"mass $p$ of the rare action", ylabel=_RATIO)
    ax.invert_xaxis()
    ax.set_title("c  the ball saves only a logarithm;\n    a bounded reward does not feel $p$")
