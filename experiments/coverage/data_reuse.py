"""Fresh batches, all labels so far, and what lies between: how the weight of old labels sets the decay of the KL."""

from dataclasses import dataclass
from functools import partial

import numpy as np

import banditlab as bl
from banditlab import plotting
from banditlab.claims import Check, Experiment, Instance, Shards, Table, instance_field, interval, statistics
from banditlab.store import failures
from experiments.shared import bands, chosen_instance, predictors, row_checks

CLAIM = (
    "Fresh batches end at a floor that does not fall with the rounds, pooled ones decay like 1/k; labels that keep a "
    "weight m each round end at (1 - m)/(1 + m) times the floor, without free constant."
)
FINITE, ASYMPTOTIC = "finite", "asymptotic"
NAMES = {0.0: "fresh", 1.0: "pooled"}


@dataclass(frozen=True)
class Config:
    """A staircase from theta_0 = -start; the weights that a label keeps each round, 0 fresh and 1 pooled.

    instance: the environment in place of the one of the four fields above it.
    """

    num_stairs: int = 4
    step: float = 0.5
    start: float = 2.0
    beta: float = 1.0
    instance: Instance | None = instance_field("num_stairs", "step", "start", "beta")
    memories: tuple[float, ...] = (0.0, 0.5, 0.8, 1.0)
    num_rounds: int = 12
    num_pairs: int = 800
    num_seeds: int = 1024
    ridge: float = 1.0
    large_pairs: float = 1e12
    large_seeds: int = 28672


def run(config: Config, shards: Shards) -> Table:
    """One row per batch size, weight of old labels and round."""
    staircase = partial(bl.instances.staircase, config.num_stairs, config.step, config.start, config.beta)
    name, env = chosen_instance.named(config.instance, "staircase", staircase)
    regimes = (
        (FINITE, config.num_pairs, config.num_seeds, config.ridge),
        (ASYMPTOTIC, config.large_pairs, config.large_seeds, 0.0),
    )
    shards.expect(len(regimes) * len(config.memories))
    rows = []
    for regime, num_pairs, seeds, ridge in regimes:
        for place, memory in enumerate(config.memories):
            # Its own seed for every memory, so that ratios of two are of independent runs.
            compute = partial(_run, env, num_pairs, ridge, memory, config.num_rounds, seeds, place)
            data = shards.get(f"{regime}-{memory:g}", (0, seeds), compute)
            for k in range(config.num_rounds):
                row = {"instance": name, "num_features": env.num_features, "regime": regime, "memory": memory}
                row |= {"round": k + 1, "num_pairs": float(num_pairs), "seeds": seeds, "ridge": ridge}
                row |= {"ideal": ideal(env, memory, k + 1) / num_pairs, "floor": ideal(env, 0.0, 2) / num_pairs}
                row |= statistics.quantiles("kl", data["kl"][:, k]) | statistics.mean("kl_mean", data["kl"][:, k])
                rows.append(row | statistics.mean("predicted", data["predicted"][:, k]))
    return Table.from_rows(rows)


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
    metrics = ("kl_target", "existence")
    run = bl.simulate(algorithm, env, num_rounds=num_rounds, num_seeds=num_seeds, metrics=metrics, seed=seed)
    arrays = {"kl": run.metrics["kl_target"], "predicted": predictors.realised(env, algorithm, run)}
    return arrays | failures(run.failures)


def check(table: Table) -> list[Check]:
    """The floor of every memory after all rounds, and 1/k against 1 for pooled and fresh, at very many labels."""
    large = table.where(regime=ASYMPTOTIC)
    last = int(large["round"].max())
    checks = []
    for memory in np.unique(large["memory"]):
        end = large.where(memory=memory, round=last)
        value, error, predicted = (end[name][0] / end["floor"][0] for name in ("kl_mean", "kl_mean_se", "ideal"))
        claim = f"labels keep the weight {memory:g} each round: KL over the floor of fresh batches after {last} rounds"
        checks.append(interval(claim, predicted, value, error))
    for memory, name in NAMES.items():
        if memory in large["memory"] and last > 1:
            early, late = (large.where(memory=memory, round=k) for k in (last // 2, last))
            claim = f"{name}: KL after {last} rounds over KL after {last // 2}"
            predicted = late["ideal"][0] / early["ideal"][0]
            # The same runs, taken as independent: pooled ones go together, which can only make the interval too wide.
            checks.append(interval(claim, predicted, *row_checks.quotient("kl_mean", late, early)))
    return checks


def plot(table: Table):
    """KL against rounds, one panel per batch size; dashed, the predicted means."""
    from matplotlib.ticker import NullFormatter

    made, axes = plotting.figure(2, 1, height=4.6, sharex=True)
    memories = np.unique(table["memory"])
    shades = plotting.shades("on_policy", len(memories))
    few, many = (table.where(regime=regime) for regime in (FINITE, ASYMPTOTIC))
    for ax, drawn, predicted in ((axes[0], few, "predicted"), (axes[1], many, "ideal")):
        for memory, shade in zip(memories, shades, strict=True):
            rows = drawn.where(memory=memory)
            label = f"{NAMES[memory]} ({memory:g})" if memory in NAMES else f"weight {memory:g}"
            # Bands of the two ends alone: those between would hide each other.
            spread = "kl" if memory in NAMES else ""
            look = {"label": label, "color": shade, "spread": spread}
            bands.curve(ax, rows, "round", predicted, "on_policy", "kl_mean", **look)
        ax.set(xscale="log", yscale="log", ylabel=r"KL($\pi^*\|\pi$) [nats]")
        highest = 4 * drawn["kl_high"][drawn["round"] > 1].max(initial=0.0) if drawn is many else None
        ax.set_ylim(0.5 * drawn["kl_low"].min(), highest or None)
    last = int(table["round"].max())
    if 1.0 in memories and last > 2:
        ideal = many.where(memory=1.0, round=last)["ideal"][0]
        rounds = np.arange(max(2, last // 3), last + 1)
        guide = axes[1].plot(rounds, 0.45 * ideal * last / rounds, ":", color="#000000", linewidth=1.0)[0]
        plotting.direct_label(guide, r"$\propto 1/k$", place=0, offset=(-3, -2))
    ticks = [k for k in (1, 2, 3, 5, 8, 12, 20, 50, 100) if k <= last]
    axes[1].set_xticks(ticks, [str(k) for k in ticks])
    axes[1].xaxis.set_minor_formatter(NullFormatter())
    axes[1].set_xlabel("round $k$")
    n = [plotting.number(drawn["num_pairs"][0]) for drawn in (few, many)]
    usual = few["instance"][0] == "staircase" and set(NAMES) <= set(memories)
    axes[0].set_title(
        f"Pooled labels go on lowering KL, fresh\nones stop ($n$ = {n[0]} a round)" if usual else f"$n$ = {n[0]}"
    )
    axes[1].set_title(f"With $n$ = {n[1]} a round pooled KL falls as $1/k$" if usual else f"$n$ = {n[1]}")
    plotting.legend(made, columns=2, theory_label="predicted mean")
    plotting.caption(
        made,
        f"On-policy DPO, linear softmax, {few['instance'][0]} of {few['num_features'][0]} features; a label keeps the "
        f"given weight each round. Means over {few['seeds'][0]:,} seeds above (ridge {few['ridge'][0]:g}, centre the "
        f"last iterate), {many['seeds'][0]:,} below (ridge {many['ridge'][0]:g}). {plotting.BARS} {plotting.BAND} "
        r"Dashed: many labels, above at the realised policies, below with every batch but the first from $\pi^*$.",
    )
    return made


EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(num_stairs=2, memories=(0.0, 0.5, 1.0), num_rounds=4, num_seeds=64, large_seeds=256),
        "default": Config(),
        "paper": Config(num_seeds=10240, large_seeds=286720),
    },
    run=run,
    check=check,
    plot=plot,
    columns={
        "instance": "environment: a named instance, else the file that holds it",
        "num_features": "dimension of theta",
        "regime": "finite: the few labels that are drawn; asymptotic: so many that the constants are tested",
        "memory": "weight m that a label keeps each round: 0 fresh batches, 1 pooled ones",
        "ideal": "predicted KL(pi*||pi) where every batch but the first comes from pi*, many labels [nats]",
        "floor": "C_F(pi*)/(2 num_pairs), the KL at which fresh batches end, many labels [nats]",
        "kl_mean": "KL(pi*||pi), mean over contexts and seeds [nats]",
        "predicted": "predicted KL(pi*||pi), many labels, at the policies realised, mean over seeds [nats]",
    },
)
