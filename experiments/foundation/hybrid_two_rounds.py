"""Two rounds with a G-optimal design: the KL reached does not depend on the coverage of pi_0."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import banditlab as bl
from banditlab import plotting, policies
from banditlab.claims import Check, Experiment, Shards, Table, above, identity, interval, lower, statistics
from banditlab.store import failures
from experiments.shared import bands, equal_labels, predictors, row_checks
from experiments.shared.equal_labels import ASYMPTOTIC, FINITE

CLAIM = (
    "After two rounds the hybrid sampler's KL is flat in the coverage of pi_0, while on-policy and offline DPO "
    "grow with it; pairing policy and design loses nothing in M (Proposition 7)."
)
GROWING, FLAT = ("offline", "on_policy"), ("hybrid_paired", "hybrid_mixture", "design")
ARMS = GROWING + FLAT


@dataclass(frozen=True)
class Config:
    """Staircases from theta_0 = -start for every start; two rounds of num_pairs labels.

    The constants are tested on `large_seeds` runs of large_pairs labels, from the first and the last start alone.
    """

    num_stairs: int = 6
    step: float = 0.5
    starts: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
    num_pairs: int = 3200
    num_seeds: int = 1024
    ridge: float = 0.1
    large_pairs: float = 1e14
    large_seeds: int = 49152
    beta: float = 1.0


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """Per regime one row per arm and start; the designs, by start."""
    envs = [bl.instances.staircase(config.num_stairs, config.step, start, config.beta) for start in config.starts]
    # The features, and so the designs, are the same from every start.
    design, triple = jax.jit(bl.designs.joint)(envs[0]), jax.jit(bl.designs.triple)(envs[0])
    facts = [{"start": start} | _facts(env, design, triple) for start, env in zip(config.starts, envs, strict=True)]
    regimes = {
        FINITE: (range(len(envs)), config.num_pairs, config.num_seeds, config.ridge),
        ASYMPTOTIC: ((0, len(envs) - 1), config.large_pairs, config.large_seeds, 0.0),
    }
    shards.expect(len(regimes) * len(ARMS))
    tables = {}
    for regime, (places, num_pairs, seeds, ridge) in regimes.items():
        chosen = equal_labels.algorithms(num_pairs, 2, ridge, design, pooled_hybrids=False)
        rows = []
        for arm in ARMS:
            compute = partial(_run, [envs[place] for place in places], chosen[arm][0], seeds)
            data = shards.get(f"{regime}-{arm}", (0, seeds), compute)
            for i, place in enumerate(places):
                row = {"arm": arm, "start": config.starts[place], "labels": 2.0 * num_pairs, "seeds": seeds}
                row |= {"ridge": ridge, "coverage_start": float(data["coverage"][i])}
                rows.append(row | equal_labels.compared(data["kl"][i], data["predicted"][i]))
        tables[regime] = Table.from_rows(rows)
    return tables | {"designs": Table.from_rows(facts)}


def _run(envs: list[bl.Environment], algorithm: bl.Algorithm, num_seeds: int) -> dict[str, np.ndarray]:
    run = bl.simulate_grid([algorithm], envs, num_rounds=2, num_seeds=num_seeds, metrics=("kl_target", "existence"))
    one_each = [jax.tree.map(lambda leaf, i=i: leaf[i], run) for i in range(len(envs))]
    predicted = [predictors.realised(env, algorithm, one)[:, -1] for env, one in zip(envs, one_each, strict=True)]
    coverage = [bl.coverage.operator(env, env.log_initial) for env in envs]
    kl = run.metrics["kl_target"][..., -1]
    return {"kl": kl, "predicted": np.stack(predicted), "coverage": np.stack(coverage)} | failures(run.failures)


def _facts(env: bl.Environment, design: "bl.designs.Design", triple: "bl.designs.Design") -> dict[str, float]:
    """Kiefer-Wolfowitz for the triple design, and Proposition 7 at pi_0: the smallest eigenvalue of the surplus."""
    paired = bl.theory.second_moment(env, bl.samplers.paired(design, env, env.log_initial))
    log_design = jnp.log(design.action_probs)
    apart = policies.feature_covariance(env, env.log_initial) + policies.feature_covariance(env, log_design)
    surplus = jnp.linalg.eigvalsh(paired - apart)[0] / jnp.trace(apart)
    leverage = float(bl.theory.leverage(env, triple.pair_law))
    return {"beta": float(env.beta), "rank": env.rank, "max_leverage": leverage, "surplus": round(float(surplus), 12)}


def check(tables: Mapping[str, Table]) -> list[Check]:
    """The constants of all arms; whose KL depends on the start; the two facts on designs."""
    large, small, designs = (tables[part] for part in (ASYMPTOTIC, FINITE, "designs"))
    best, worst = float(designs["start"].min()), float(designs["start"].max())
    checks = []
    for arm in ARMS:
        end = large.where(arm=arm, start=worst)
        claim = f"{arm}: KL after two rounds over its prediction, from the worst coverage, n = {end['labels'][0]:.0e}"
        checks.append(interval(claim, 1.0, end["ratio"][0], end["ratio_se"][0]))
    words = "KL from the worst coverage over KL from the best"
    for arm in FLAT:
        growth = row_checks.quotient("kl", *(large.where(arm=arm, start=start) for start in (worst, best)))
        checks.append(interval(f"{arm}: {words} = 1 (flat)", 1.0, *growth))
    for arm in GROWING:
        growth = row_checks.quotient("kl", *(small.where(arm=arm, start=start) for start in (worst, best)))
        checks.append(above(f"{arm}: {words}, {small['labels'][0]:.0f} labels: above 1 (grows)", 1.0, *growth))
    rank, why = int(designs["rank"][0]), "the certified gap is 1e-9; as much again for rounding"
    claim = "triple design: max leverage = d (Kiefer-Wolfowitz)"
    checks.append(identity(claim, float(rank), float(designs["max_leverage"].max()), rtol=2e-9, why=why))
    claim = "Proposition 7: smallest eigenvalue of M(pi_0 x nu) - V(pi_0) - V(nu), relative to the trace"
    surplus, why = float(designs["surplus"].min()), f"rounding of a {rank} x {rank} sum"
    return [*checks, lower(claim, 0.0, surplus, allowance=1e-14, why=why)]


def plot(tables: Mapping[str, Table]):
    drawn, designs = tables[FINITE], tables["designs"]
    made, ax = plotting.figure(height=3.2)
    for place, arm in enumerate(ARMS):
        rows = drawn.where(arm=arm)
        x = np.exp(bands.apart(np.log(rows["coverage_start"]), place, len(ARMS), 0.3))
        plotting.mean(ax, x, rows["kl"], rows["kl_se"], arm, quantiles=statistics.band(rows, "kl"))
        plotting.theory(ax, x, rows["predicted"], arm)
    ax.set(xscale="log", yscale="log", ylabel=r"KL($\pi^*\|\pi_2$) [nats]")
    ax.set_xlabel(r"first coverage, $C_{\mathrm{op}}(\pi_0)$ (arms a little apart)")
    ax.set_title("With a design the first round's coverage\ndoes not matter; without one it does")
    plotting.legend(made, columns=2, theory_label="predicted mean")
    plotting.caption(
        made,
        f"Staircases, {designs['rank'][0]} stairs, $\\beta$ = {designs['beta'][0]:g}, linear softmax, two rounds of "
        f"{drawn['labels'][0] / 2:,.0f} labels: means over {drawn['seeds'][0]:,} seeds. {plotting.BARS} "
        f"{plotting.BAND} Ridge {drawn['ridge'][0]:g} on the sum of losses, centred at the last iterate. Offline fits "
        "both batches, the others the second. Dashed: the mean predicted at the policies realised (over seeds), "
        "which asks for many labels: offline from far away is below it.",
    )
    return made


EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(starts=(0.0, 3.0), num_seeds=32, large_seeds=128),
        "default": Config(),
        "paper": Config(num_seeds=10240, large_seeds=491520),
    },
    run=run,
    check=check,
    plot=plot,
    columns={
        "*": {
            **equal_labels.PREDICTED,
            "start": "minus theta_0, the same on every stair, of the start pi_0",
            "coverage_start": "C_op(pi_0), operator coverage of the target pi* by the start pi_0",
        },
        "designs": {
            "rank": "d, the number of stairs",
            "max_leverage": "largest leverage of a pair under the triple design, d at the optimum",
            "surplus": "smallest eigenvalue of M(pi_0 x nu) - V(pi_0) - V(nu) over the trace, nu the joint design, "
            "rounded to 12 digits (0 is rounding)",
        },
    },
)
