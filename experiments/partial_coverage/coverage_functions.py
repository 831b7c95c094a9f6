"""Local and global coverage as functions of the radius, and the KL ball that a bounded reward reaches."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.store import Shards, Table
from experiments.framework.checks import Check, identity, lower, upper
from experiments.framework.experiment import Experiment
from experiments.partial_coverage import ball_limits as limits
from experiments.partial_coverage import ball_runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLAIM = (
    "C_kl(e) rises from 1 at e = 0 to C_glo = 1/min pi_ref, but never below e/log(1/p) of it; a reward of span s keeps "
    "RLHF within E_x KL <= s/beta and pi/pi_ref <= e^{s/beta}, whatever the rare mass p."
)
CURVE, RANDOM, REACH, RATIO, EXTREMAL = "curve", "random", "reach", "ratio", "extremal"
_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Config:
    """Radii and rare masses of the curves; random bandits against the enclosure; spans s/beta of random rewards."""

    radii: tuple[float, ...] = (0.0, *(float(f"{x:.3g}") for x in np.logspace(-6, 1.5, 31)), np.inf)
    masses: tuple[float, ...] = (1e-1, 1e-2, 1e-4, 1e-6, 1e-8)
    num_bandits: int = 256
    shape: tuple[int, int] = (3, 5)
    spans: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
    num_rewards: int = 4096
    seed: int = 0


def run(config: Config, shards: Shards) -> Table:
    """Rows of parts: C_kl of two actions; of random bandits (their worst); largest KL and pi/pi_ref by span."""
    shards.expect(2)
    constants = partial(ball_runs.constants, config.radii, config.masses, config.num_bandits, config.shape, config.seed)
    spans = partial(ball_runs.reached, config.spans, config.num_rewards, config.shape, config.seed)
    balls = shards.get("constants", (0, config.num_bandits), constants)
    reached = shards.get("reach", (0, config.num_rewards), spans)
    rows = []
    for place, mass in enumerate((*config.masses, 0.0)):
        for name, radius in enumerate(config.radii):
            low, high = (balls[end][place, name] for end in ("curve_low", "curve_high"))
            rows.append(_row(CURVE, radius, mass, balls["curve"][place, name], low, high))
    for name, radius in enumerate(config.radii):
        value, low, high = (balls[f"random{end}"][:, name] for end in ("", "_low", "_high"))
        outside = np.maximum(low - value, value - high)
        worst = int(np.argmax(np.maximum(outside, 0.0) + np.abs(value / np.sqrt(low * high) - 1)))
        count, out = len(value), int((outside > 0).sum())
        rows.append(_row(RANDOM, radius, 1.0, value[worst], low[worst], high[worst], count=count, out=out))
    for place, span in enumerate(config.spans):
        largest, count = limits.largest_divergence(span), config.num_rewards
        mass = limits.extremal_mass(span)
        divergence = reached["divergence"][place].max()
        rows.append(_row(REACH, span, 1.0, divergence, 0.0, largest, count=count))
        rows.append(_row(EXTREMAL, span, mass, reached["extremal"][place], largest, largest))
        ratio = reached["ratio"][place].max()
        rows.append(_row(RATIO, span, 1.0, ratio, 0.0, float(np.exp(span)), count=count))
    falls = sum(int((np.diff(balls[name]) < 0).sum()) for name in ("curve", "random"))
    rows.append(_row("monotone", 0.0, 1.0, falls, 0.0, 0.0, count=balls["random"].size + balls["curve"].size))
    return Table.from_rows(rows, meta={"failures": {}})


def _row(
    part: str, x: float, mass: float, value: float, low: float, high: float, *, count: int = 1, out: int = 0
) -> dict[str, str | int | float]:
    numbers = {"x": float(x), "mass": float(mass), "value": float(value), "low": float(low), "high": float(high)}
    return {"part": part} | numbers | {"count": count, "out": out}


def check(table: Table) -> list[Check]:
    """C_kl against its enclosure, its ends, that it rises, what a ball saves; what a bounded reward reaches."""
    curve, random = (table.where(part=part) for part in (CURVE, RANDOM))
    checks = [_enclosed("two actions", curve), _enclosed("worst of random bandits", random)]
    checks.append(upper("random bandits whose C_kl leaves the enclosure", 0.0, random["out"].sum()))
    for name, rows in (("two actions", curve.where(x=0.0)), ("random bandits", random.where(x=0.0))):
        worst = int(np.argmax(rows["value"]))
        why = "a kl of 8 ulp, as enclosed"
        atol = rows["high"].max() - 1
        checks.append(identity(f"{name}: largest C_kl(0) = 1", 1.0, rows["value"][worst], atol=atol, why=why))
    monotone = table.where(part="monotone")
    checks.append(
        upper(f"falls of C_kl from one radius to the next, {monotone['count'][0]} values", 0.0, monotone["value"][0])
    )
    some = _kept(curve, curve["mass"] > 0)
    far = _kept(some, some["x"] >= -np.log(some["mass"]))
    worst = int(np.argmax(np.abs(far["value"] * far["mass"] - 1)))
    claim = f"C_kl(e) = C_glo = 1/p for e >= log 1/p, e = inf included (the worst of {len(far)})"
    checks.append(identity(claim, 1.0, far["value"][worst] * far["mass"][worst], rtol=1e-12, why="rounding"))
    infinite = float(np.isposinf(curve.where(mass=0.0, x=np.inf)["value"][0]))
    checks.append(identity("pi_ref misses the action: C_glo = +inf", 1.0, infinite, why="exact"))
    finite = _kept(curve, (curve["mass"] == 0) & np.isfinite(curve["x"]))
    checks.append(
        identity("pi_ref misses the action: C_kl(e) stays that of the others", 1.0, finite["value"].max(), why="exact")
    )
    # kl(q||p) <= q log(1/p) for q >= p: a ball with e <= log 1/p holds a q of at least e/log(1/p).
    near = _kept(some, (some["x"] > 0) & (some["x"] <= -np.log(some["mass"])))
    share = near["value"] * near["mass"] * -np.log(near["mass"]) / near["x"]
    checks.append(
        lower("smallest C_kl(e)/C_glo, in units of e/log(1/p)", 1.0, share.min(), why="kl(q||p) <= q log 1/p")
    )
    return checks + _span_checks(table)


def _span_checks(table: Table) -> list[Check]:
    reach, extremal, ratio = (table.where(part=part) for part in (REACH, EXTREMAL, RATIO))
    checks = []
    lanes = f"of {reach['count'].sum()} random rewards"
    checks.append(upper(f"largest E_x KL over s/beta, {lanes}", 1.0, float((reach["value"] / reach["x"]).max())))
    claim = f"largest E_x KL over its maximum c - 1 - log c, c = (s/beta)/(1 - e^(-s/beta)), {lanes}"
    checks.append(upper(claim, 1.0, float((reach["value"] / reach["high"]).max())))
    worst = int(np.argmax(np.abs(extremal["value"] / extremal["high"] - 1)))
    claim = f"two actions attain that maximum (s/beta = {extremal['x'][worst]:g}, the worst of {len(extremal)})"
    # Z - 1 - log Z loses digits like eps/(s/beta)^2, which the library's KL does not.
    atol = 16 * _EPS * (1 + extremal["x"][worst])
    checks.append(identity(claim, extremal["high"][worst], extremal["value"][worst], atol=atol, why="rounding"))
    largest = float((ratio["value"] / ratio["high"]).max())
    why = "rounding"
    checks.append(upper(f"largest pi/pi_ref over e^(s/beta), {lanes}", 1.0, largest, allowance=1e-12, why=why))
    return checks


def _enclosed(name: str, rows: Table) -> Check:
    """The C_kl that is nearest to an end of its enclosure, or farthest outside."""
    rows = _kept(rows, np.isfinite(rows["value"]) & (rows["x"] > 0) & (rows["value"] > 1))
    middle, half = (rows["low"] + rows["high"]) / 2, (rows["high"] - rows["low"]) / 2
    worst = int(np.argmax(np.abs(rows["value"] - middle) / half))
    claim = f"{name}: C_kl(e) enclosed by tilted policies and duality, e = {rows['x'][worst]:g}"
    why = "width of the enclosure; 8 ulp of kl and 2^-60 of the bisection"
    return identity(claim, float(middle[worst]), rows["value"][worst], atol=float(half[worst]), why=why)


def _kept(table: Table, rows: np.ndarray) -> Table:
    return Table({name: values[rows] for name, values in table.columns.items()}, table.meta)


def plot(table: Table) -> "Figure":
    """C_kl against the radius; the divergence that rewards of a span reach; what stays bounded as p falls."""
    made, axes = plotting.figure(3, 1, height=6.2)
    curve = table.where(part=CURVE)
    masses = sorted(set(curve["mass"].tolist()) - {0.0}, reverse=True)
    for mass, shade in zip(masses, plotting.shades("rlhf", len(masses)), strict=True):
        rows = curve.where(mass=mass)
        rows = _kept(rows, (rows["x"] > 0) & np.isfinite(rows["x"]))
        axes[0].plot(rows["x"], rows["value"], color=shade, label=rf"$C_{{kl}}$, p = {mass:g}")
        plotting.theory(axes[0], rows["x"], rows["low"])
        axes[0].axhline(1 / mass, color="#888888", linewidth=0.6, zorder=1)
    axes[0].set(xscale="log", yscale="log", xlabel=r"radius $e$ of the KL ball", ylabel=r"$\max\,\pi/\pi_{\rm ref}$")
    axes[0].set_title(r"a  from 1 to $C_{glo} = 1/p$ (grey)")
    reach = table.where(part=REACH)
    key = "hybrid_design"
    axes[1].plot(
        reach["x"], reach["value"], plotting.MARKERS[key], color=plotting.COLORS[key], label="largest of random", ms=5
    )
    plotting.theory(axes[1], reach["x"], reach["high"])
    axes[1].plot(reach["x"], reach["x"], ":", color="#888888", label=r"$s/\beta$")
    axes[1].set(
        xscale="log", yscale="log", xlabel=r"span $s/\beta$ of the reward", ylabel=r"$E_x$KL$(\pi\|\pi_{\rm ref})$"
    )
    axes[1].set_title("b  a bounded reward stays in a KL ball")
    rows = _kept(curve.where(x=1.0), curve.where(x=1.0)["mass"] > 0)
    axes[2].plot(rows["mass"], rows["value"], "o", color=plotting.COLORS["rlhf"], ms=5, label=r"$C_{kl}(1)$")
    plotting.theory(axes[2], rows["mass"], rows["low"])
    axes[2].plot(rows["mass"], 1 / rows["mass"], "-", color="#888888", linewidth=0.8, label=r"$C_{glo}$")
    limit = float(table.where(part=RATIO, x=1.0)["high"][0])
    axes[2].plot(
        rows["mass"], np.full(len(rows), limit), "-.", color="#882255", label=r"limit $e^{s/\beta}$, $s=\beta$"
    )
    axes[2].set(xscale="log", yscale="log", xlabel=r"mass $p$ of the rare action", ylabel=r"$\max\,\pi/\pi_{\rm ref}$")
    axes[2].invert_xaxis()
    axes[2].set_title("c  the ball saves only a logarithm")
    plotting.legend(made, columns=2, theory_label="enclosure / maximum")
    count, values = reach["count"][0], table.where(part=RANDOM)["count"].sum()
    plotting.caption(
        made,
        "a, c: two actions, pi_ref = (1 - p, p); dashed: the largest pi/pi_ref of tilted policies in the ball, which a "
        f"dual bound encloses to 1e-8 or better, as for {values} random ones in the checks. b: the largest of {count} "
        "random rewards and references a span; dashed: the exact maximum, c - 1 - log c, c = (s/beta)/(1 - e^-s/beta).",
    )
    return made


EXPERIMENT = Experiment(
    name="coverage_functions",
    claim=CLAIM,
    family="partial_coverage",
    presets={
        "smoke": Config(num_bandits=16, num_rewards=256),
        "default": Config(),
        "paper": Config(num_bandits=4096, num_rewards=65_536),
    },
    run=run,
    check=check,
    plot=plot,
)
