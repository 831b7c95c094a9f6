"""All samplers at equal total labels on one environment: arms, runs, checks and panels of the headline and its null."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial

import banditlab as bl
from banditlab import plotting
from banditlab.claims import Check, Instance, Shards, Table, instance_field, interval, statistics, upper
from banditlab.store import failures
from experiments.shared import bands, chosen_instance, plain_rounds, predictors, row_checks
from experiments.shared.chosen_instance import choose, words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POLICY_ARMS = ("offline", "uniform", "on_policy", "on_policy_pooled")
ONE_ROUND = "design_one_round"
DESIGN_ARMS = ("design", ONE_ROUND, "hybrid_paired", "hybrid_mixture", "hybrid_design")
COMPARED_ARMS = ("offline", "on_policy")
MOST_PLAIN_CELLS = 10_000
FINITE, ASYMPTOTIC = "finite", "asymptotic"  # parts of the tables, and prefixes of the shards
PLAIN = "plain"  # the curves that are drawn, again by rounds in plain NumPy
PLAIN_ARMS = {  # whose pairs, and whether all labels so far are fitted
    "offline": {"on_policy": False, "pooled": True},
    "on_policy": {"on_policy": True, "pooled": False},
    "on_policy_pooled": {"on_policy": True, "pooled": True},
}


@dataclass(frozen=True)
class Budget:
    """How many labels and seeds; an experiment's Config adds its environment.

    Attributes:
        beta: of the experiment's environment. instance: the environment in place of that one, with a beta of its own.
        num_pairs, num_rounds, num_seeds, ridge: of the curves that are drawn.
        large_pairs, large_rounds, large_seeds: of the runs that test constants, without ridge; so many labels
            that the O(1/n) remainder of I6 is far below the standard error. Half the seeds do for arms whose
            ratio to another is not tested.
        plain_seeds: runs of the curves again by `plain_rounds`, for the regime in which no constant is known.
    """

    num_pairs: int = 800
    num_rounds: int = 10
    num_seeds: int = 1024
    ridge: float = 1.0
    large_pairs: float = 1e14
    large_rounds: int = 2
    large_seeds: int = 65536
    plain_seeds: int = 256
    beta: float = 1.0
    instance: Instance | None = instance_field("beta")


COMPONENTS = ("initial", "uniform", "on_policy", "designed", "paired")


def blend(design: "bl.designs.Design", weights: dict[str, Array], env: bl.Environment, log_policy: Array) -> Array:
    """A mixture of the library's samplers: the arms then differ in numbers only, and share one compilation."""
    b = bl.samplers
    laws = {name: getattr(b, name)(env, log_policy) for name in ("initial", "uniform", "on_policy")}
    laws |= {name: getattr(b, name)(design, env, log_policy) for name in ("designed", "paired")}
    return sum((weights[name] * laws[name] for name in COMPONENTS), jnp.zeros_like(laws["initial"]))


def mixture(design: "bl.designs.Design", weights: Mapping[str, float]) -> Partial:
    """`blend` of COMPONENTS by weight, as a sampler."""
    return Partial(blend, design, {name: jnp.asarray(weights.get(name, 0.0)) for name in COMPONENTS})


def algorithms(
    num_pairs: float, num_rounds: int, ridge: float, design: "bl.designs.Design", *, pooled_hybrids: bool = True
) -> dict[str, tuple[bl.Algorithm, int]]:
    """Arm -> (algorithm, rounds). All buy num_pairs labels a round, but for the one that buys all in one round."""

    def arm(weights: dict[str, float], pooled: bool, pairs: float = num_pairs) -> bl.Algorithm:
        return bl.algorithms.dpo(mixture(design, weights), pairs, ridge=ridge, pooled=pooled)

    return {
        "offline": (arm({"initial": 1.0}, pooled=True), num_rounds),
        "uniform": (arm({"uniform": 1.0}, pooled=True), num_rounds),
        "on_policy": (arm({"on_policy": 1.0}, pooled=False), num_rounds),
        "on_policy_pooled": (arm({"on_policy": 1.0}, pooled=True), num_rounds),
        "design": (arm({"designed": 1.0}, pooled=False), num_rounds),
        ONE_ROUND: (arm({"designed": 1.0}, pooled=False, pairs=num_pairs * num_rounds), 1),
        "hybrid_paired": (arm({"paired": 1.0}, pooled=pooled_hybrids), num_rounds),
        "hybrid_mixture": (arm({"on_policy": 0.5, "designed": 0.5}, pooled=pooled_hybrids), num_rounds),
        "hybrid_design": (arm({"designed": 1.0}, pooled=pooled_hybrids), num_rounds),
    }


def measure(config: Budget, usual: str, make: Callable[[], bl.Environment], shards: Shards) -> dict[str, Table]:
    """The environment in one row; per regime one row per arm and round (round 0 is pi_0), beside the predictor."""
    env, environment = choose(config.instance, usual, make)
    design = jax.jit(bl.designs.joint)(env)
    environment |= {
        "price_start": float(bl.theory.label_price(env, bl.samplers.initial(env, env.log_initial))),
        "price_target": float(bl.theory.label_price(env, bl.samplers.on_policy(env, env.log_target))),
    }
    regimes = {
        FINITE: (config.num_pairs, config.num_rounds, config.num_seeds, config.ridge),
        ASYMPTOTIC: (config.large_pairs, config.large_rounds, config.large_seeds, 0.0),
    }
    plain = _plain_arms(config, env)
    shards.expect(len(regimes) * len(POLICY_ARMS + DESIGN_ARMS) + len(plain))
    tables = {"environment": Table.from_rows([environment])}
    for regime, (num_pairs, num_rounds, num_seeds, ridge) in regimes.items():
        rows = []
        for arm, (algorithm, rounds) in algorithms(num_pairs, num_rounds, ridge, design).items():
            seeds = num_seeds if regime == FINITE or arm in COMPARED_ARMS else num_seeds // 2
            data = shards.get(f"{regime}-{arm}", (0, seeds), partial(_run, env, algorithm, rounds, seeds))
            labels = float(algorithm.settings["num_pairs"])
            before = data["start"], data["start"]  # no label yet: the KL is that of pi_0, exactly
            for k, (kl, expected) in enumerate([before, *zip(data["kl"].T, data["predicted"].T, strict=True)]):
                row = {"arm": arm, "seeds": seeds, "ridge": ridge, "round": k, "labels": k * labels}
                rows.append(row | compared(kl, expected))
        tables[regime] = Table.from_rows(rows)
    rows = []
    for arm, how in plain.items():
        kl = shards.get(f"{PLAIN}-{arm}", (0, config.plain_seeds), partial(_plain_kl, env, how, config.plain_seeds))
        for k, values in enumerate(kl["kl"].T, 1):
            rows.append({"arm": arm, "seeds": config.plain_seeds, "round": k} | statistics.mean("kl", values))
    return tables | ({PLAIN: Table.from_rows(rows)} if rows else {})


def _plain_arms(config: Budget, env: bl.Environment) -> dict[str, dict[str, Any]]:
    """Arguments of `plain_rounds` by arm: none without a ridge (a fit may not exist), or beyond what it is made for."""
    whole = np.isfinite(env.log_base).all() and np.isfinite(env.log_reference).all()
    if not (config.ridge and whole and env.num_contexts * env.num_actions**2 <= MOST_PLAIN_CELLS):
        return {}
    sizes = {"num_pairs": config.num_pairs, "ridge": config.ridge, "num_rounds": config.num_rounds}
    return {arm: how | sizes for arm, how in PLAIN_ARMS.items()}


def _plain_kl(env: bl.Environment, how: dict[str, Any], runs: int) -> dict[str, np.ndarray]:
    return {"kl": plain_rounds.kl_of_rounds(plain_rounds.bandit(env), runs=runs, seed=0, **how)}


def compared(kl: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Columns of KL over seeds, its quotient by the prediction, and the prediction; PREDICTED says what they mean."""
    row = statistics.quantiles("kl", kl) | statistics.mean("kl", kl) | statistics.mean("ratio", kl / predicted)
    return row | statistics.mean("predicted", predicted)


def _run(env: bl.Environment, algorithm: bl.Algorithm, num_rounds: int, num_seeds: int) -> dict[str, np.ndarray]:
    run = bl.simulate(algorithm, env, num_rounds=num_rounds, num_seeds=num_seeds, metrics=("kl_target", "existence"))
    predicted = predictors.realised(env, algorithm, run)
    return {
        "kl": run.metrics["kl_target"], "start": run.initial["kl_target"], "predicted": predicted
    } | failures(run.failures)  # fmt: skip


def check(tables: Mapping[str, Table]) -> list[Check]:
    """The constants of every arm at many labels, and the separation that they imply."""
    checks = []
    ends = {arm: _last(tables[ASYMPTOTIC], arm) for arm in POLICY_ARMS + DESIGN_ARMS}
    for arm, end in ends.items():
        claim = f"{arm}: KL over its prediction at the realised policies, n = {end['labels'][0]:.0e}"
        checks.append(interval(claim, 1.0, end["ratio"][0], end["ratio_se"][0]))
    offline, fresh = (ends[arm] for arm in COMPARED_ARMS)
    prices = tables["environment"]
    predicted = prices["price_start"][0] / (offline["round"][0] * prices["price_target"][0])
    claim = "offline KL over on-policy KL (fresh) at equal labels = C_F(pi_0) / (K C_F(pi*))"
    checks.append(interval(claim, predicted, *row_checks.quotient("kl", offline, fresh)))
    return checks + (_plain_checks(tables[FINITE], tables[PLAIN]) if PLAIN in tables else [])


def _plain_checks(drawn: Table, plain: Table) -> list[Check]:
    """Means of the drawn curves against those in plain NumPy, at the round where they are farthest apart."""
    checks = []
    for arm in PLAIN_ARMS:
        own, other = drawn.where(arm=arm), plain.where(arm=arm)
        own = own.kept(own["round"] > 0)
        apart = np.abs(own["kl"] - other["kl"]) / np.hypot(own["kl_se"], other["kl_se"])
        most = NormalDist().inv_cdf(1 - 1e-4 / (2 * len(apart)))
        claim = f"{arm}: mean KL of a drawn round and of plain NumPy, largest difference in standard errors of it"
        why = f"{len(apart)} rounds, a false alarm with probability 1e-4"
        checks.append(upper(claim, most, float(apart.max()), why=why))
    return checks


TITLES = ("Pairs from policies", "Pairs from a G-optimal design")


def plot(
    tables: Mapping[str, Table], *, titles: tuple[str, str] = TITLES, note: str = "", left_out: tuple[str, ...] = ()
) -> "Figure":
    """KL against total labels: samplers made of policies above, designs and hybrids below.

    Args:
      titles: of the two panels.
      note: what the caption says of the environment beyond its sizes.
      left_out: arms that are not drawn.
    """
    drawn = tables[FINITE]
    made, axes = plotting.figure(2, 1, height=5.4, sharex=True)
    each = drawn.where(arm="on_policy", round=1)["labels"][0]
    for ax, title, arms in zip(axes, titles, (POLICY_ARMS, DESIGN_ARMS), strict=True):
        # One round ends in a point that others would cover: it comes last, open and larger.
        shown = sorted((arm for arm in arms if arm not in left_out), key=lambda arm: arm == ONE_ROUND)
        for place, arm in enumerate(shown):
            rows = drawn.where(arm=arm)
            if arm == ONE_ROUND:
                rows = rows.where(round=int(rows["round"].max()))
            x = bands.apart(rows["labels"], place, len(shown), each / 7)
            line = plotting.mean(ax, x, rows["kl"], rows["kl_se"], arm, quantiles=statistics.band(rows, "kl"))
            if arm == ONE_ROUND:
                line.set(markersize=9, markerfacecolor="none", markeredgewidth=0.9, zorder=6)
            known = rows["labels"] > 0
            plotting.theory(ax, x[known], rows["predicted"][known], arm)
        ax.set(title=title, ylabel=r"KL($\pi^*\|\pi$) [nats]", yscale="log")
    axes[1].set_xlabel("labels bought in total (arms a little apart)")
    plotting.legend(made, columns=2, theory_label="predicted mean")
    fresh, prices = _last(drawn, "on_policy"), tables["environment"]
    start, target = (plotting.number(prices[name][0]) for name in ("price_start", "price_target"))
    plotting.caption(
        made,
        f"{words(tables['environment'])}{note}. Means over {drawn['seeds'][0]:,} seeds. {plotting.BARS} "
        f"{plotting.BAND} {each:,.0f} labels a round; ridge {drawn['ridge'][0]:g} on the sum of losses, centred at the "
        "last iterate. On-policy (fresh) and design fit the last batch, the others all labels so far. Dashed: the mean "
        "predicted for many labels at the policies realised, $\\mathrm{tr}(V^*H^{-1})/(2n)$ without ridge; fresh "
        f"on-policy ends at {fresh['ratio'][0]:.2f} of it. Label prices: $C_F(\\pi_0)$ = {start}, "
        f"$C_F(\\pi^*)$ = {target}.",
    )
    return made


def _last(table: Table, arm: str) -> Table:
    rows = table.where(arm=arm)
    return rows.where(round=int(rows["round"].max()))


PREDICTED = {
    "ratio": "KL(pi*||pi) over its prediction at the policies realised, mean over seeds",
    "predicted": "predicted mean of KL(pi*||pi) at the policies realised, mean over seeds [nats]",
}
COLUMNS = {
    "environment": {
        **chosen_instance.COLUMNS,
        "price_start": "C_F(pi_0) = tr(V* H^-1), limit of 2 n KL for n pairs from the start pi_0 [labels x nats]",
        "price_target": "C_F(pi*), the same limit for pairs from the target pi* [labels x nats]",
    },
    PLAIN: {"kl": "KL(pi*||pi) by rounds in plain NumPy, mean over seeds [nats]"},
    "*": {**PREDICTED, "round": "rounds done; 0 is pi_0, whose KL is its own prediction [rounds]"},
}
