"""All samplers at equal total labels on one environment: arms, runs, checks and panels of the headline and its null."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial

import banditlab as bl
from banditlab import plotting
from banditlab.claims import statistics
from banditlab.claims.checks import Check, interval
from banditlab.store import Shards, Table
from experiments.shared import predictors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POLICY_ARMS = ("offline", "uniform", "on_policy", "on_policy_pooled")
DESIGN_ARMS = ("design", "design_one_round", "hybrid_paired", "hybrid_mixture", "hybrid_design")
COMPARED_ARMS = ("offline", "on_policy")
FINITE, ASYMPTOTIC = "finite", "asymptotic"


@dataclass(frozen=True)
class Budget:
    """How many labels and seeds; an experiment's Config adds its environment.

    Attributes:
        num_pairs, num_rounds, num_seeds, ridge: of the curves that are drawn.
        large_pairs, large_rounds, large_seeds: of the runs that test constants, without ridge; so many labels
            that the O(1/n) remainder of I6 is far below the standard error. Half the seeds do for arms whose
            ratio to another is not tested.
    """

    num_pairs: int = 800
    num_rounds: int = 10
    num_seeds: int = 1024
    ridge: float = 1.0
    large_pairs: float = 1e14
    large_rounds: int = 2
    large_seeds: int = 65536


COMPONENTS = ("initial", "uniform", "on_policy", "designed", "paired")


def blend(design: "bl.designs.Design", weights: dict[str, Array], env: bl.Environment, log_policy: Array) -> Array:
    """A mixture of the library's samplers: the arms then differ in numbers only, and share one compilation."""
    b = bl.samplers
    laws = {name: getattr(b, name)(env, log_policy) for name in ("initial", "uniform", "on_policy")}
    laws |= {name: getattr(b, name)(design, env, log_policy) for name in ("designed", "paired")}
    return sum((weights[name] * laws[name] for name in COMPONENTS), jnp.zeros_like(laws["initial"]))


def algorithms(
    num_pairs: float, num_rounds: int, ridge: float, design: "bl.designs.Design", *, pooled_hybrids: bool = True
) -> dict[str, tuple[bl.Algorithm, int]]:
    """Arm -> (algorithm, rounds). All buy num_pairs labels a round, but for the one that buys all in one round."""

    def arm(weights: dict[str, float], pooled: bool, pairs: float = num_pairs) -> bl.Algorithm:
        sampler = Partial(blend, design, {name: jnp.asarray(weights.get(name, 0.0)) for name in COMPONENTS})
        return bl.algorithms.dpo(sampler, pairs, ridge=ridge, pooled=pooled)

    return {
        "offline": (arm({"initial": 1.0}, pooled=True), num_rounds),
        "uniform": (arm({"uniform": 1.0}, pooled=True), num_rounds),
        "on_policy": (arm({"on_policy": 1.0}, pooled=False), num_rounds),
        "on_policy_pooled": (arm({"on_policy": 1.0}, pooled=True), num_rounds),
        "design": (arm({"designed": 1.0}, pooled=False), num_rounds),
        "design_one_round": (arm({"designed": 1.0}, pooled=False, pairs=num_pairs * num_rounds), 1),
        "hybrid_paired": (arm({"paired": 1.0}, pooled=pooled_hybrids), num_rounds),
        "hybrid_mixture": (arm({"on_policy": 0.5, "designed": 0.5}, pooled=pooled_hybrids), num_rounds),
        "hybrid_design": (arm({"designed": 1.0}, pooled=pooled_hybrids), num_rounds),
    }


def measure(env: bl.Environment, budget: Budget, shards: Shards) -> Table:
    """One row per regime, arm and round (round 0 is pi_0), with the predictor at the realised policies."""
    design = jax.jit(bl.designs.joint)(env)
    price_start = float(bl.theory.label_price(env, bl.samplers.initial(env, env.log_initial)))
    price_target = float(bl.theory.label_price(env, bl.samplers.on_policy(env, env.log_target)))
    regimes = (
        (FINITE, budget.num_pairs, budget.num_rounds, budget.num_seeds, budget.ridge),
        (ASYMPTOTIC, budget.large_pairs, budget.large_rounds, budget.large_seeds, 0.0),
    )
    arms = [(r, arm, *pair) for r in regimes for arm, pair in algorithms(r[1], r[2], r[4], design).items()]
    shards.expect(len(arms))
    rows, failures = [], {}
    for (regime, _, _, num_seeds, ridge), arm, algorithm, rounds in arms:
        seeds = num_seeds if regime == FINITE or arm in COMPARED_ARMS else num_seeds // 2
        data = shards.get(f"{regime}-{arm}", (0, seeds), partial(_run, env, algorithm, rounds, seeds))
        failures |= {f"{regime}-{arm}-{k[7:]}": int(v) for k, v in data.items() if k.startswith("failed_")}
        labels = float(algorithm.settings["num_pairs"])
        setting = {"regime": regime, "arm": arm, "seeds": seeds, "ridge": ridge}
        prices = {"price_start": price_start, "price_target": price_target}
        kl, predicted = data["kl"], data["predicted"]
        before = data["start"], data["start"]  # no label yet: the KL is that of pi_0, exactly
        for k, (value, expected) in enumerate([before, *zip(kl.T, predicted.T, strict=True)]):
            row = setting | {"round": k, "labels": k * labels, **prices}
            row |= statistics.quantiles("kl", value) | statistics.mean("kl_mean", value)
            row |= statistics.mean("ratio", value / expected) | statistics.quantiles(
                "predicted", expected, {"median": 0.5}
            )
            rows.append(row)
    return Table.from_rows(rows, meta={"failures": failures})


def check(table: Table) -> list[Check]:
    """The constants of every arm at many labels; the separation they imply; the order at the labels drawn."""
    large = table.where(regime=ASYMPTOTIC)
    checks = []
    for arm in POLICY_ARMS + DESIGN_ARMS:
        end = _last(large, arm)
        claim = f"{arm}: KL over its prediction at the realised policies, n = {end['labels'][0]:.0e}"
        checks.append(interval(claim, 1.0, end["ratio"][0], end["ratio_se"][0]))
    offline, fresh = (_last(large, arm) for arm in COMPARED_ARMS)
    measured = offline["kl_mean"][0] / fresh["kl_mean"][0]
    error = measured * np.hypot(*(end["kl_mean_se"][0] / end["kl_mean"][0] for end in (offline, fresh)))
    predicted = offline["price_start"][0] / (offline["round"][0] * offline["price_target"][0])
    claim = "offline KL over on-policy KL (fresh) at equal labels = C_F(pi_0) / (K C_F(pi*))"
    return [*checks, interval(claim, predicted, measured, error)]


def plot(table: Table, height: float = 4.6) -> "Figure":
    """KL against total labels: samplers made of policies above, designs and hybrids below."""
    drawn = table.where(regime=FINITE)
    made, axes = plotting.figure(2, 1, height=height, sharex=True, sharey=True)
    for ax, arms, title in zip(
        axes,
        (POLICY_ARMS, DESIGN_ARMS),
        ("pairs from policies", "pairs from a G-optimal design"),
        strict=True,
    ):
        for arm in arms:
            rows = drawn.where(arm=arm)
            quantiles = np.stack([rows[f"kl_{level}"] for level in statistics.BAND])
            if arm == "design_one_round":  # two points are no curve
                plotting.point(ax, rows["labels"][-1], quantiles[:, -1], arm)
                continue
            plotting.band(ax, rows["labels"], quantiles, arm)
            plotting.theory(ax, rows["labels"][1:], rows["predicted_median"][1:], arm)
        ax.set_title(title)
        ax.set_ylabel(r"KL($\pi^*\|\pi$)")
    axes[1].set_xlabel("labels bought in total")
    axes[0].set_yscale("log")
    axes[0].set_ylim(0.4 * drawn["kl_low"].min(), 4 * drawn["kl_high"].max())
    plotting.legend(made, columns=2, theory_label="predicted, at the policies realised")
    return made


def caption(what: str, drawn: Table) -> str:
    """What every figure of this family must say about itself."""
    batch = drawn.where(arm="on_policy", round=1)["labels"][0]
    return (
        f"{what}: median and 10-90% band over {drawn['seeds'][0]} seeds, {batch:.0f} labels a round; ridge "
        f"{drawn['ridge'][0]:g} on the sum of losses, centred at the last iterate. On-policy (fresh) and design "
        "fit the last batch, the others all labels so far. Dashed: the predicted mean, where it means something."
    )


def _last(table: Table, arm: str) -> Table:
    rows = table.where(arm=arm)
    return rows.where(round=int(rows["round"].max()))


def _run(env: bl.Environment, algorithm: bl.Algorithm, num_rounds: int, num_seeds: int) -> dict[str, np.ndarray]:
    run = bl.simulate(algorithm, env, num_rounds=num_rounds, num_seeds=num_seeds, metrics=("kl_target", "existence"))
    failures = {f"failed_{name}": np.asarray(count) for name, count in run.failures.items()}
    predicted = predictors.realised(env, algorithm, run)
    return {
        "kl": run.metrics["kl_target"],
        "start": run.initial["kl_target"],
        "predicted": predicted,
    } | failures
