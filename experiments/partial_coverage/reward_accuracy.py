"""An implicit reward as accurate as one likes on the reference's pairs, whose policy is as bad as one likes."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

import banditlab as bl
from banditlab import metrics, partial_coverage, plotting
from banditlab.store import Shards, Table
from experiments.framework.checks import Check, identity, upper
from experiments.framework.experiment import Experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLAIM = (
    "Existence: with pi_ref = (1 - p, p) and pi = (1/2, 1/2), as p -> 0 the implicit reward's error eps falls to 0 "
    "while the gap grows by (beta/2) log 10 per decade; at p = 0 eps is 0 and J = -inf."
)
_ROUNDING = 1e-12
# From here on the part of the gap's slope that vanishes with p is below 1/50 of the slope, for every reward tried.
_SMALL = 1e-3
_LOOKS = ("on_policy_pooled", "hybrid_design", "hybrid_mixture", "design")


@dataclass(frozen=True)
class Config:
    """Decades of p, temperatures beta, and the reward of the rare action (the other's is 0)."""

    decades: int = 16
    betas: tuple[float, ...] = (0.1, 1.0)
    rewards: tuple[float, ...] = (-1.0, 0.0, 1.0)


def run(config: Config, shards: Shards) -> Table:
    """One row per beta, reward and mass p = 10^-1, 10^-2, ... and 0; all deterministic."""
    shards.expect(1)
    measured = shards.get("all", (0, 1), partial(measure, config))
    rows = []
    for place, (beta, reward, mass) in enumerate(_settings(config)):
        row = {"beta": beta, "reward": reward, "mass": mass}
        row |= {name: float(values[place]) for name, values in measured.items()}
        gap, error, bound = predicted(beta, reward, mass)
        rows.append(row | {"gap_exact": gap, "error_exact": error, "bound_exact": bound})
    return Table.from_rows(rows, meta={"failures": {}})


def measure(config: Config) -> dict[str, np.ndarray]:
    """objective J(pi), gap, error eps and bound sqrt(C eps) by the library, in the order of the settings."""
    rows = []
    for beta, reward, mass in _settings(config):
        with np.errstate(divide="ignore"):
            log_reference = np.log([[1 - mass, mass]])
        rows.append(bl.instances.tabular([[0.0, reward]], log_reference, beta=beta))
    env = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)
    return {name: np.asarray(values) for name, values in _measured(env).items()}


@jax.jit
@jax.vmap
def _measured(env):
    log_policy = jnp.full((1, 2), jnp.log(0.5))
    reward = partial_coverage.implicit_reward(env, log_policy)
    error = partial_coverage.squared_error(env, env.log_reference, reward)
    constant = partial_coverage.least_constant(env, env.log_reference, log_policy)
    return {
        "objective": partial_coverage.objective(env, log_policy),
        "gap": metrics.gap(env, log_policy),
        "error": error,
        "bound": partial_coverage.gap_bound(error, constant),
    }


def predicted(beta: float, reward: float, mass: float) -> tuple[float, float, float]:
    """(gap, eps, sqrt(C eps)) in closed form, with a = reward/beta and p = mass.

    gap = beta [-log 2 - log(p (1 - p))/2 - a/2 + log(1 + p (e^a - 1))];
    eps = 2 p (1 - p) (reward - beta log((1 - p)/p))^2; C = max(1/2, pi*)/pi_ref at its worst action.
    """
    if mass == 0:
        return np.inf, 0.0, np.inf
    tilt = reward / beta
    normaliser = np.log1p(mass * np.expm1(tilt))
    gap = beta * (-np.log(2) - 0.5 * np.log(mass) - 0.5 * np.log1p(-mass) - 0.5 * tilt + normaliser)
    error = 2 * mass * (1 - mass) * (reward - beta * (np.log1p(-mass) - np.log(mass))) ** 2
    constant = np.exp(max(-np.log(2 * mass), -np.log(2 * (1 - mass)), -normaliser, tilt - normaliser))
    return gap, error, float(np.sqrt(constant * error))


def slope_remainder(beta: float, reward: float, mass: float) -> float:
    """How far gap(p/10) - gap(p) can be from (beta/2) log 10, for p = mass, from the closed form of the gap.

    The difference is beta [log((1 - p)/(1 - p/10))/2 + log((1 + u/10)/(1 + u))], u = p (e^a - 1) > -p; a logarithm of a
    quotient is at most the difference of its two sides over the smaller: .45 p/(1 - p) and .9 |u|/(1 + min(u, 0)).
    """
    shift = mass * np.expm1(reward / beta)
    return beta * (0.45 * mass / (1 - mass) + 0.9 * abs(shift) / (1 + min(shift, 0.0)))


def _settings(config: Config) -> Iterator[tuple[float, float, float]]:
    for beta in config.betas:
        for reward in config.rewards:
            yield from ((beta, reward, 10.0**-decade) for decade in range(1, config.decades + 1))
            yield beta, reward, 0.0


def check(table: Table) -> list[Check]:
    """Gap, error and bound against their closed forms; the slope of the gap; the fall of the error; p = 0."""
    finite = Table({name: values[table["mass"] > 0] for name, values in table.columns.items()})
    checks = []
    for name, words in (("gap", "gap"), ("error", "eps"), ("bound", "sqrt(C eps)")):
        # Relative to the terms, which nearly cancel where pi* is nearly pi.
        worst = int(np.argmax(np.abs(finite[name] - finite[f"{name}_exact"]) / finite[f"{name}_exact"]))
        claim = f"{words} in closed form (the worst of {len(finite)}, p = {finite['mass'][worst]:g})"
        exact, value = finite[f"{name}_exact"][worst], finite[name][worst]
        checks.append(identity(claim, exact, value, rtol=_ROUNDING, why="rounding"))
    lanes = [finite.where(beta=beta, reward=reward) for beta, reward in _lanes(finite)]
    steps = [step for lane in lanes for step in _steps(lane) if step["mass"] <= _SMALL]
    for beta in np.unique(finite["beta"]):
        own = [step for step in steps if step["beta"] == beta and step["remainder"] < 0.02 * beta]
        step = max(own, key=lambda step: abs(step["slope"] - step["predicted"]) / step["tolerance"])
        claim = f"beta = {beta:g}: gap(p/10) - gap(p) = (beta/2) log 10 (the worst of {len(own)}, p = {step['mass']:g})"
        why = "remainder of the closed form, and rounding"
        checks.append(identity(claim, step["predicted"], step["slope"], atol=step["tolerance"], why=why))
    # eps ∝ p (1 - p) L^2, L = log((1 - p)/p) - a. From p to p/10 L grows by log 10 + s and 1 - p by the factor 1 + s or
    # less, s = p for p <= .1: where L >= 3 the ratio is below the bound.
    bound = (1 + (np.log(10) + _SMALL) / 3) ** 2 * (1 + _SMALL) / 10
    falls = [lane["error"][i + 1] / lane["error"][i] for lane in lanes for i in range(len(lane) - 1) if _far(lane, i)]
    claim = f"largest eps(p/10)/eps(p), of {len(falls)} decades"
    checks.append(upper(claim, bound, max(falls), why="derived for L of at least 3"))
    ratio = max(finite["gap"] / finite["bound"])
    checks.append(upper("largest gap over sqrt(C eps)", 1.0, ratio))
    last = finite.where(mass=finite["mass"].min())
    # With C = 1/(2p), which needs e^a <= 1/(2p): bound = beta sqrt(1 - p)|a - log((1 - p)/p)|, and half of it is taken
    # from the gap; what is left depends on p by p (1 + L) + |u| and less, L = log 1/p.
    for beta in np.unique(last["beta"]):
        rows = last.where(beta=beta)
        left = rows["gap"] - rows["bound"] / 2 + beta * np.log(2)
        shift = rows["mass"] * np.abs(np.expm1(rows["reward"] / beta))
        allowed = beta * (rows["mass"] * (1 - np.log(rows["mass"])) + shift) + _ROUNDING * rows["bound"]
        worst = int(np.argmax(np.abs(left) / allowed))
        claim = f"beta = {beta:g}, p = {rows['mass'][0]:g}: gap = sqrt(C eps)/2 - beta log 2 (the worst of {len(rows)})"
        value = rows["gap"][worst] - rows["bound"][worst] / 2
        why = "p (1 + log 1/p) + |u| in units of beta, and rounding"
        checks.append(identity(claim, -beta * np.log(2), value, atol=float(allowed[worst]), why=why))
    nothing = table.where(mass=0.0)
    lost = float((np.isneginf(nothing["objective"]) & np.isposinf(nothing["gap"])).mean())
    checks.append(identity(f"p = 0: share of {len(nothing)} with J = -inf and a gap of +inf", 1.0, lost, why="exact"))
    checks.append(upper("p = 0: largest eps", 0.0, nothing["error"].max(), why="one action is all that the pairs hold"))
    return checks


def _lanes(table: Table) -> list[tuple[float, float]]:
    return list(dict.fromkeys(zip(table["beta"].tolist(), table["reward"].tolist(), strict=True)))


def _steps(lane: Table) -> Iterator[dict[str, float]]:
    """From every p to p/10: the gap's growth, its prediction, the remainder and the tolerance."""
    for place in range(len(lane) - 1):
        beta, reward, mass = (float(lane[name][place]) for name in ("beta", "reward", "mass"))
        remainder = slope_remainder(beta, reward, mass)
        yield {
            "beta": beta,
            "mass": mass,
            "slope": float(lane["gap"][place + 1] - lane["gap"][place]),
            "predicted": 0.5 * beta * np.log(10),
            "remainder": remainder,
            "tolerance": remainder + _ROUNDING * float(lane["gap"][place + 1]),
        }


def _far(lane: Table, place: int) -> bool:
    """Whether L = log((1 - p)/p) - a is at least 3, and p small."""
    mass = lane["mass"][place]
    return bool(mass <= _SMALL and np.log((1 - mass) / mass) - lane["reward"][place] / lane["beta"][place] >= 3)


def plot(table: Table) -> "Figure":
    """The error and the gap against p."""
    made, axes = plotting.figure(2, 1, height=4.0, sharex=True)
    finite = Table({name: values[table["mass"] > 0] for name, values in table.columns.items()})
    ends = (finite["beta"].min(), finite["beta"].max())
    lanes = [lane for lane in _lanes(finite) if lane[0] in ends and lane[1] >= 0]
    for (beta, reward), key in zip(lanes, _LOOKS[: len(lanes)], strict=True):
        rows = finite.where(beta=beta, reward=reward)
        look = {"color": plotting.COLORS[key], "marker": plotting.MARKERS[key], "linestyle": ""}
        for ax, name, unit in zip(axes, ("error", "gap"), (1.0, beta), strict=True):
            ax.plot(rows["mass"], rows[name] / unit, label=rf"$\beta$ = {beta:g}, $r^*$ = (0, {reward:g})", **look)
            plotting.theory(ax, rows["mass"], rows[f"{name}_exact"] / unit, key)
    largest = max(lanes)
    rows = finite.where(beta=largest[0], reward=largest[1])
    axes[1].plot(
        rows["mass"],
        rows["bound"],
        ":",
        color="#888888",
        label=rf"$\sqrt{{C\,\epsilon}}$, $\beta$ = {largest[0]:g}, $r^*$ = (0, {largest[1]:g})",
    )
    axes[0].set(xscale="log", yscale="log", ylabel=r"$\epsilon$, squared error on pairs")
    axes[0].set_title("the implicit reward gets better ...")
    axes[1].set(xlabel=r"mass $p$ of the rare action under $\pi_{\rm ref}$", ylabel=r"$[J(\pi^*)-J(\pi)]\,/\,\beta$")
    axes[1].set_title("... and its policy worse")
    axes[1].invert_xaxis()
    plotting.legend(made, columns=2, theory_label="closed form")
    plotting.caption(
        made,
        "pi_ref = (1 - p, p), pi = (1/2, 1/2): existence only, no algorithm is claimed to end there. Once p e^(r/beta) "
        "is small the gap grows by (beta/2) log 10 per decade; before, pi* passes through pi. At p = 0 (not drawn) "
        "eps = 0 and J = -inf. Exact, by summation.",
    )
    return made


EXPERIMENT = Experiment(
    name="reward_accuracy",
    claim=CLAIM,
    family="partial_coverage",
    presets={
        "smoke": Config(decades=10, betas=(1.0,)),
        "default": Config(),
        "paper": Config(decades=100, betas=(0.1, 0.3, 1.0, 3.0)),
    },
    run=run,
    check=check,
    plot=plot,
)
