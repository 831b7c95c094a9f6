"""Gradient estimators of E_x KL(pi||pi_ref): means by enumeration, variances, and where RLOO is no better."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import log_softmax

import banditlab as bl
from banditlab import plotting
from banditlab.store import Shards, Table
from experiments.framework.checks import Check, identity, interval, lower, upper
from experiments.framework.experiment import Experiment
from experiments.partial_coverage import estimator_moments as moments

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLAIM = (
    "RLOO and REINFORCE have the exact gradient as their mean, autodiff through the sampled log-ratio alone mean 0; "
    "with f = log(pi/pi_ref) RLOO's variance is above REINFORCE's around a uniform reference, for every k."
)
UNIFORM, PEAKED, CENTRED = "uniform reference", "peaked reference", "centred values"
# Reference, and the direction in which the policy is tilted away from it.
FAMILIES: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    UNIFORM: ((0.25, 0.25, 0.25, 0.25), (0.0, 0.3, -0.5, 1.0)),
    PEAKED: ((0.97, 0.01, 0.01, 0.01), (0.0, 1.0, 0.9, 1.1)),
}
_ACTIONS = 4
_EPS = float(np.finfo(np.float64).eps)
_LOOKS = {2: "on_policy", 4: "hypo", 6: "hybrid_paired"}


@dataclass(frozen=True)
class Config:
    """Tilts t of pi ∝ pi_ref e^{t u}; numbers k of draws; the tilts and the number of simulated estimates.

    The simulated tilts leave every action a mass at which the variance of an estimate's squared distance is moderate:
    eight standard errors are then below 5% of the variance.
    """

    tilts: tuple[float, ...] = (0.02, *(float(f"{x:.3g}") for x in np.geomspace(0.1, 10.0, 17)))
    num_samples: tuple[int, ...] = (2, 4, 6)
    simulated_tilts: tuple[float, ...] = (1.0, 3.16)
    num_estimates: int = 2**19
    seed: int = 0


def run(config: Config, shards: Shards) -> Table:
    """One row per family, tilt, k and estimator: enumerated and predicted moments, simulated ones where asked."""
    shards.expect(len(config.num_samples))
    rows = []
    for k in config.num_samples:
        data = shards.get(f"k={k}", (0, config.num_estimates), partial(measure, config, k))
        for place, (family, tilt, log_policy, values) in enumerate(settings(config)):
            policy = np.exp(log_policy)
            closed = moments.closed_forms(policy, values, k)
            limit = moments.closed_forms(policy, values, np.inf)
            for name in moments.NAMES:
                row = {"family": family, "tilt": tilt, "divergence": float(policy @ values), "draws": k}
                row |= {"estimator": name, "predicted": closed[name], "limit": limit[name]}
                row |= {"rarest": float(-log_policy.min()), "size": float(data["size"][place])}
                row |= {key: float(data[f"{name}_{key}"][place]) for key in ("variance", "spread", "error", "along")}
                shown = tilt in config.simulated_tilts or family == CENTRED
                drawn = float(data[f"{name}_simulated"][place]) if shown else 0.0
                rows.append(row | {"simulated": drawn, "estimates": config.num_estimates if shown else 0})
    return Table.from_rows(rows, meta={"failures": {}})


def settings(config: Config) -> list[tuple[str, float, np.ndarray, np.ndarray]]:
    """(family, tilt, log pi (A,), f (A,)): f = log(pi/pi_ref), but for the last, any f of mean zero at pi uniform."""
    made = []
    for family, (reference, direction) in FAMILIES.items():
        log_reference = np.log(reference)
        for tilt in config.tilts:
            log_policy = log_softmax(log_reference + tilt * np.array(direction))
            made.append((family, tilt, log_policy, log_policy - log_reference))
    direction = np.array(FAMILIES[UNIFORM][1])
    made.append((CENTRED, 0.0, np.full(_ACTIONS, -np.log(_ACTIONS)), direction - direction.mean()))
    return made


def measure(config: Config, num_samples: int) -> dict[str, np.ndarray]:
    """estimator_moment (P,): enumerated variance, its error in the mean, and the simulated variance; P settings."""
    env = bl.instances.tabular(np.zeros((1, _ACTIONS)))
    listed = settings(config)
    log_policies, values = (jnp.asarray(np.stack([setting[k] for setting in listed])[:, None]) for k in (2, 3))
    found = moments.enumerated(env, log_policies, values, num_samples)
    gradients = np.asarray(_gradients(log_policies, values))
    largest = np.abs(np.asarray(values)).max(axis=(1, 2))
    result = {"size": np.linalg.norm(gradients, axis=1) / largest}
    for name, own in found.items():
        target = np.zeros_like(gradients) if name == moments.NAIVE else gradients
        mean = np.asarray(own["mean"])
        scale = np.ones(len(values)) if name == moments.NAIVE else largest
        result[f"{name}_error"] = np.abs(mean - target).max(axis=1) / scale
        result[f"{name}_along"] = (mean * gradients).sum(1) / (gradients**2).sum(1)
        result |= {f"{name}_{key}": np.asarray(own[key]) for key in ("variance", "spread")}
    shown = np.array([s[1] in config.simulated_tilts or s[0] == CENTRED for s in listed])
    means = {name: own["mean"][shown] for name, own in found.items()}
    key = jax.random.fold_in(jax.random.key(config.seed), num_samples)
    counts = (config.num_estimates, num_samples)
    drawn = moments.simulated(key, env, log_policies[shown], values[shown], means, counts)
    for name, variance in drawn.items():
        result[f"{name}_simulated"] = np.zeros(len(listed))
        result[f"{name}_simulated"][shown] = np.asarray(variance)
    return result


@jax.jit
def _gradients(log_policies, values):
    """(P, A) gradients in the logits of sum_y pi(y) f(y), f held fixed, by autodiff."""

    def mean(logits, table):
        return jnp.sum(jax.nn.softmax(logits) * table)

    return jax.vmap(jax.grad(mean))(log_policies[:, 0], values[:, 0])


def check(table: Table) -> list[Check]:
    """Means against the exact gradient; variances against their closed forms and simulation; RLOO over REINFORCE."""
    checks = []
    for name in moments.NAMES:
        rows = table.where(estimator=name)
        words = "0" if name == moments.NAIVE else "the exact gradient"
        claim = f"{name}: largest error of its enumerated mean against {words}, in units of max|f|, {len(rows)} cases"
        # The weight of a sample is the exponential of k logarithms, off by eps in each; 8 roundings in each term.
        limit = rows["draws"] * (rows["rarest"] + 8) * _EPS
        worst = int(np.argmax(rows["error"] / limit))
        why = "k (max |log pi| + 8) roundings"
        checks.append(upper(claim, 0.0, rows["error"][worst], allowance=float(limit[worst]), why=why))
        if name != moments.NAIVE:
            allowed = limit * np.sqrt(_ACTIONS) / rows["size"]
            worst = int(np.argmax(np.abs(rows["along"] - 1) / allowed))
            claim = f"{name}: component of the mean along the exact gradient (the worst of {len(rows)})"
            atol = float(allowed[worst])
            checks.append(identity(claim, 1.0, rows["along"][worst], atol=atol, why=f"{why}, over |g|/max|f|"))
        worst = int(np.argmax(np.abs(rows["variance"] / rows["predicted"] - 1)))
        claim = f"{name}: variance in closed form, k = {rows['draws'][worst]} (the worst of {len(rows)})"
        predicted, variance = rows["predicted"][worst], rows["variance"][worst]
        checks.append(identity(claim, predicted, variance, rtol=1e-11, why="rounding of cancelling terms"))
        drawn = _kept(rows, rows["estimates"] > 0)
        error = drawn["spread"] / np.sqrt(drawn["estimates"])
        # Where every estimate is equally far from the mean nothing is left to chance.
        distance = np.abs(drawn["simulated"] - drawn["variance"]) / (error + 1e-12 * drawn["variance"])
        worst = int(np.argmax(distance))
        claim = f"{name}: simulated variance, {drawn['family'][worst]}, t = {drawn['tilt'][worst]:g}, "
        claim += f"k = {drawn['draws'][worst]} (the worst of {len(drawn)})"
        value, variance = drawn["simulated"][worst], drawn["variance"][worst]
        checks.append(interval(claim, variance, value, error[worst], allowance=1e-12 * variance, why="rounding"))
    return checks + _ratio_checks(table)


def _ratio_checks(table: Table) -> list[Check]:
    checks = []
    for k in np.unique(table["draws"]):
        ratio, _ = ratios(table.where(family=CENTRED, draws=k))
        predicted = 1 + _ACTIONS / ((_ACTIONS - 2) * (k - 1))
        claim = f"pi uniform, f of mean zero, k = {k}: RLOO's variance over REINFORCE's = 1 + A/((A - 2)(k - 1))"
        checks.append(identity(claim, predicted, ratio[0], rtol=1e-11, why="rounding"))
    near, far = (ratios(table.where(family=family)) for family in (UNIFORM, PEAKED))
    claim = "of RLOO's variances over REINFORCE's"
    checks.append(lower(f"{UNIFORM}: smallest {claim}, {len(near[0])} cases", 1.0, near[0].min()))
    claim_limit = f"{UNIFORM}: smallest {claim} as k -> infinity, in closed form"
    checks.append(lower(claim_limit, 1.0, near[1].min(), allowance=1e-12, why="rounding"))
    checks.append(upper(f"{PEAKED}: smallest {claim}, {len(far[0])} cases", 1.0, far[0].min()))
    return [*checks, lower(f"{PEAKED}: largest {claim}", 1.0, far[0].max())]


def ratios(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """RLOO's variance over REINFORCE's, enumerated, and its limit for many draws; row by row."""
    first, second = (table.where(estimator=name) for name in (moments.RLOO, moments.REINFORCE))
    return first["variance"] / second["variance"], first["limit"] / second["limit"]


def _kept(table: Table, rows: np.ndarray) -> Table:
    return Table({name: values[rows] for name, values in table.columns.items()}, table.meta)


def plot(table: Table) -> "Figure":
    """RLOO's variance over REINFORCE's against the tilt away from the reference, for both references."""
    made, axes = plotting.figure(2, 1, height=4.4, sharex=True)
    for ax, family in zip(axes, FAMILIES, strict=True):
        for k in np.unique(table["draws"]):
            rows = table.where(family=family, draws=k)
            key = _LOOKS[int(k)]
            x = rows.where(estimator=moments.RLOO)["tilt"]
            ax.plot(x, ratios(rows)[0], plotting.MARKERS[key], color=plotting.COLORS[key], label=f"k = {k}", ms=4)
            predicted = [rows.where(estimator=name)["predicted"] for name in (moments.RLOO, moments.REINFORCE)]
            plotting.theory(ax, x, predicted[0] / predicted[1], key)
            shown = rows.where(estimator=moments.RLOO)["estimates"] > 0
            drawn = [rows.where(estimator=name)["simulated"][shown] for name in (moments.RLOO, moments.REINFORCE)]
            ax.plot(x[shown], drawn[0] / drawn[1], "o", ms=9, mfc="none", mew=0.8, color="#000000", label="simulated")
        rows = table.where(family=family, draws=np.max(table["draws"]))
        x = rows.where(estimator=moments.RLOO)["tilt"]
        ax.plot(x, ratios(rows)[1], ":", color="#000000", linewidth=0.9, label=r"$k\to\infty$")
        ax.axhline(1.0, color="#888888", linewidth=0.8, zorder=1)
        ax.set(xscale="log", yscale="log", ylabel="variance, RLOO / REINFORCE")
    axes[0].set_title("uniform reference: RLOO is worse, for every k")
    axes[1].set_title("far from a peaked reference RLOO is better")
    axes[1].set_xlabel(r"tilt $t$ of $\pi \propto \pi_{\rm ref}\,e^{tu}$")
    plotting.legend(made, columns=3, theory_label="closed form")
    estimates = table["estimates"].max()
    ends = [table.where(family=family)["divergence"].max() for family in FAMILIES]
    plotting.caption(
        made,
        "Gradient of KL(pi||pi_ref) in the logits from k draws of pi, f = log(pi/pi_ref), four actions; pi_ref uniform "
        f"or (.97, .01, .01, .01), KL up to {ends[0]:.1f} and {ends[1]:.1f}. Filled: all 4^k samples. Circles: "
        f"{estimates} simulated estimates. Dashed: Hoeffding's variance of the U-statistic over Var(f grad log pi)/k.",
    )
    return made


EXPERIMENT = Experiment(
    name="estimator_facts",
    claim=CLAIM,
    family="partial_coverage",
    presets={
        "smoke": Config(tilts=(0.1, 1.0, 3.16, 10.0), num_samples=(2,), num_estimates=2**14),
        "default": Config(),
        "paper": Config(num_estimates=2**22),
    },
    run=run,
    check=check,
    plot=plot,
)
