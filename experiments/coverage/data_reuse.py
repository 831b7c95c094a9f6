"""Fresh batches, all labels so far, and what lies between: how the weight of old labels sets the decay of the KL."""

from dataclasses import dataclass
from functools import partial

import numpy as np

import banditlab as bl
from banditlab import plotting
from banditlab.claims import statistics
from banditlab.claims.checks import Check, interval
from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
from experiments.shared import predictors

CLAIM = (
    "Fresh batches end at a floor that does not fall with the rounds, pooled ones decay like 1/k; labels that keep a "
    "weight m each round end at (1 - m)/(1 + m) times the floor, without free constant."
)
FINITE, ASYMPTOTIC = "finite", "asymptotic"


@dataclass(frozen=True)
class Config:
    """A staircase from theta_0 = -start; the weights that a label keeps each round, 0 fresh and 1 pooled."""

    num_stairs: int = 4
    step: float = 0.5
    start: float = 2.0
    memories: tuple[float, ...] = (0.0, 0.5, 0.8, 1.0)
    num_rounds: int = 12
    num_pairs: int = 800
    num_seeds: int = 1024
    ridge: float = 1.0
    large_pairs: float = 1e12
    large_seeds: int = 28672


def run(config: Config, shards: Shards) -> Table:
    env = bl.instances.staircase(config.num_stairs, config.step, config.start)
    regimes = (
        (FINITE, config.num_pairs, config.num_seeds, config.ridge),
        (ASYMPTOTIC, config.large_pairs, config.large_seeds, 0.0),
    )
    shards.expect(len(regimes) * len(config.memories))
    rows, failures = [], {}
    for regime, num_pairs, seeds, ridge in regimes:
        for place, memory in enumerate(config.memories):
            # Its own seed for every memory, so that ratios of two are of independent runs.
            compute = partial(_run, env, num_pairs, ridge, memory, config.num_rounds, seeds, place)
            data = shards.get(f"{regime}-{memory:g}", (0, seeds), compute)
            failures |= {f"{regime}-{memory:g}-{k[7:]}": int(v) for k, v in data.items() if k.startswith("failed_")}
            for k in range(config.num_rounds):
                row = {"regime": regime, "memory": memory, "round": k + 1, "num_pairs": float(num_pairs)}
                row |= {"seeds": seeds, "ridge": ridge, "ideal": ideal(env, memory, k + 1) / num_pairs}
                row |= {"floor": ideal(env, 0.0, 2) / num_pairs}
                row |= statistics.quantiles("kl", data["kl"][:, k]) | statistics.mean("kl_mean", data["kl"][:, k])
                row |= statistics.quantiles("predicted", data["predicted"][:, k], {"median": 0.5})
                rows.append(row)
    return Table.from_rows(rows, meta={"failures": failures})


def ideal(env: bl.Environment, memory: float, num_rounds: int) -> float:
    """Labels a round times the KL when the first batch comes from pi_0 and all later ones from pi*: n -> infinity.

    With every batch from pi* this is C_F(pi*)/2 times sum m^{2j} / (sum m^j)^2: 1 at m = 0, 1/K at m = 1, and
    (1 - m)/(1 + m) in the limit.
    """
    laws = [bl.samplers.initial(env, env.log_initial), bl.samplers.on_policy(env, env.log_target)]
    first, later = (bl.theory.fisher_information(env, law) for law in laws)
    ages = np.arange(num_rounds - 1, dtype=float)

    def total(weight: float):
        return weight ** (num_rounds - 1) * first + float((weight**ages).sum()) * later

    return float(bl.theory.predicted_kl_weighted(env, total(memory), total(memory**2)))


def _run(
    env: bl.Environment, num_pairs: float, ridge: float, memory: float, num_rounds: int, num_seeds: int, seed: int
) -> dict[str, np.ndarray]:
    # One program for both batch sizes and every memory.
    algorithm = bl.algorithms.on_policy_dpo(num_pairs, ridge=ridge, pooled=memory, max_pairs=1e15)
    run = bl.simulate(
        algorithm, env, num_rounds=num_rounds, num_seeds=num_seeds, metrics=("kl_target", "existence"), seed=seed
    )
    failures = {f"failed_{name}": np.asarray(count) for name, count in run.failures.items()}
    return {"kl": run.metrics["kl_target"], "predicted": predictors.realised(env, algorithm, run)} | failures


def check(table: Table) -> list[Check]:
    """The floor of every memory after all rounds, and 1/k against 1 for pooled and fresh, at very many labels."""
    large = table.where(regime=ASYMPTOTIC)
    last = int(large["round"].max())
    ends = {memory: large.where(memory=memory, round=last) for memory in np.unique(large["memory"])}
    checks = []
    for memory, end in ends.items():
        scale = end["floor"][0]
        claim = f"labels keep the weight {memory:g} each round: KL over the floor of fresh batches after {last} rounds"
        value, error = end["kl_mean"][0] / scale, end["kl_mean_se"][0] / scale
        checks.append(interval(claim, end["ideal"][0] / scale, value, error))
    fresh, pooled = (large.where(memory=memory) for memory in (0.0, 1.0))
    for name, rows in (("fresh", fresh), ("pooled", pooled)):
        early, late = rows.where(round=last // 2), rows.where(round=last)
        measured = late["kl_mean"][0] / early["kl_mean"][0]
        error = measured * float(np.hypot(*(end["kl_mean_se"][0] / end["kl_mean"][0] for end in (early, late))))
        claim = f"{name}: KL after {last} rounds over KL after {last // 2}"
        checks.append(interval(claim, late["ideal"][0] / early["ideal"][0], measured, error))
    return checks


def plot(table: Table):
    made, axes = plotting.figure(2, 1, height=4.4, sharex=True)
    memories = np.unique(table["memory"])
    shades = plotting.shades("on_policy", len(memories))
    for ax, regime in zip(axes, (FINITE, ASYMPTOTIC), strict=True):
        drawn = table.where(regime=regime)
        for memory, shade in zip(memories, shades, strict=True):
            rows = table.where(regime=regime, memory=memory)
            quantiles = np.stack([rows[f"kl_{level}"] for level in statistics.BAND])
            name = {0.0: "fresh (0)", 1.0: "pooled (1)"}.get(float(memory), f"weight {memory:g}")
            plotting.band(ax, rows["round"], quantiles, "on_policy", label=name, color=shade)
            if regime == FINITE:
                plotting.theory(ax, rows["round"], rows["predicted_median"], "on_policy")
            else:
                plotting.theory(ax, rows["round"], rows["ideal"], "on_policy")
        ax.set(xscale="log", yscale="log", ylabel=r"KL($\pi^*\|\pi$)")
        ax.set_title(f"{drawn['num_pairs'][0]:,.0f} labels a round")
        highest = 4 * drawn["kl_high"][drawn["round"] > 1].max() if regime == ASYMPTOTIC else None
        ax.set_ylim(0.5 * drawn["kl_low"].min(), highest)
    axes[1].set_xlabel("round")
    plotting.legend(made, columns=2, theory_label="predicted mean")
    rows = table.where(regime=FINITE)
    plotting.caption(
        made,
        f"Staircase, 4 stairs, linear softmax, on-policy DPO; a label keeps the given weight each round. Median and "
        f"10-90% band over {rows['seeds'][0]} seeds above (ridge {rows['ridge'][0]:g}, centre the last iterate), "
        f"{table.where(regime=ASYMPTOTIC)['seeds'][0]} below (no ridge). Dashed: the predicted mean, at the realised "
        "policies above, with every batch but the first from pi* below.",
    )
    return made


EXPERIMENT = Experiment(
    name="data_reuse",
    claim=CLAIM,
    family="coverage",
    presets={
        "smoke": Config(num_stairs=2, memories=(0.0, 0.5, 1.0), num_rounds=4, num_seeds=64, large_seeds=256),
        "default": Config(),
        "paper": Config(num_seeds=10240, large_seeds=286720),
    },
    run=run,
    check=check,
    plot=plot,
)
