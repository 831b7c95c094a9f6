"""Total labels to reach KL <= eps, against initial coverage and eps: multiplicative offline, additive on-policy."""

from dataclasses import dataclass
from functools import partial

import jax
import numpy as np

import banditlab as bl
from banditlab import plotting
from banditlab.store import Shards, Table
from experiments.coverage import label_search
from experiments.framework.checks import Check, interval
from experiments.framework.experiment import Experiment

CLAIM = (
    "The labels needed for KL <= eps grow with slope 1 in the log of the initial label price offline and with slope 0 "
    "on-policy and for both hybrids once eps is small, with no free constant."
)
FLAT = ("on_policy", "on_policy_pooled", "hybrid_paired", "hybrid_mixture", "design_one_round")


@dataclass(frozen=True)
class Config:
    """Staircases from theta_0 = -start, and the KL that the median run must reach.

    The least target is far below 1/C_F(pi_0): pooled data then leave the early rounds behind, as the limit says.
    """

    num_stairs: int = 4
    step: float = 0.5
    starts: tuple[float, ...] = (0.5, 1.5, 2.5, 3.5)
    targets: tuple[float, ...] = (1e-2, 1e-4, 1e-6, 1e-9)
    arms: tuple[str, ...] = tuple(label_search.ARMS)
    ridge: float = 1.0
    num_seeds: int = 256
    num_steps: int = 8
    final_seeds: int = 1024
    finest_seeds: int = 24576


def run(config: Config, shards: Shards) -> Table:
    envs = [bl.instances.staircase(config.num_stairs, config.step, start) for start in config.starts]
    design = jax.jit(bl.designs.joint)(envs[0])  # the features are those of every start
    groups = {config.final_seeds: config.targets[:-1], config.finest_seeds: config.targets[-1:]}
    shards.expect(len(config.arms) * len(envs) * len(groups))
    rows, failures = [], {}
    for arm in config.arms:
        for place, (start, env) in enumerate(zip(config.starts, envs, strict=True)):
            limit = _limit(arm, env, design)
            for seeds, targets in groups.items():
                predicted = limit / np.asarray(targets)
                # Its own seed for every start: the checks average over starts that must be independent.
                compute = partial(
                    label_search.search, arm, env, np.asarray(targets), predicted,
                    design=design, ridge=config.ridge, seed=2 * place,
                    num_seeds=config.num_seeds, num_steps=config.num_steps, final_seeds=seeds,
                )  # fmt: skip
                data = shards.get(f"{arm}-{start}-{targets[-1]}", (0, seeds), compute)
                found = {k[7:]: int(v) for k, v in data.items() if k.startswith("failed_")}
                failures |= {f"{arm}-{start}-{targets[-1]}-{k}": v for k, v in found.items()}
                for i, target in enumerate(targets):
                    row = {"arm": arm, "rounds": label_search.ARMS[arm][1], "start": start, "target": target}
                    row |= {"seeds": seeds, "ridge": config.ridge, "price": _start_price(env)}
                    row |= {"remainder": 4 * float(bl.theory.target_leverage(env)) * target}
                    row |= {"predicted": predicted[i]}
                    rows.append(row | {name: data[name][i] for name in ("labels", "labels_se", "reached")})
    return Table.from_rows(rows, meta={"failures": failures})


def _start_price(env: bl.Environment) -> float:
    return float(bl.theory.label_price(env, bl.samplers.initial(env, env.log_initial)))


def _limit(arm: str, env: bl.Environment, design: "bl.designs.Design") -> float:
    """Labels times median KL as eps -> 0 (I6): every round but the first then samples from pi*."""
    pooled, rounds = label_search.ARMS[arm]
    first, later = (
        np.asarray(bl.theory.fisher_information(env, label_search.law(arm, design, env, log_policy)))
        for log_policy in (env.log_initial, env.log_target)
    )
    # Information per label bought; fresh batches use the last round's alone.
    per_label = (first + (rounds - 1) * later) / rounds if pooled else (first if rounds == 1 else later) / rounds
    return label_search.limit_median(env, per_label)


def check(table: Table) -> list[Check]:
    """At the smallest eps: every constant, averaged over the starts, and the slope of every arm in the price."""
    finest = table.where(target=float(table["target"].min()))
    checks = []
    for arm in dict.fromkeys(table["arm"]):
        rows = finest.where(arm=arm)
        ratio, error = rows["labels"] / rows["predicted"], rows["labels_se"] / rows["predicted"]
        claim = f"{arm}: labels to KL {rows['target'][0]:.0e} over the prediction, mean over {len(ratio)} starts"
        checks.append(
            interval(
                claim, 1.0, float(ratio.mean()), float(np.hypot.reduce(error)) / len(ratio),
                allowance=float(rows["remainder"].max()),
                why="4 G* eps: second order in osc, with osc^2 <= G* ||.||^2_{V*} = 2 G* KL (Propositions 1 and 2)",
            )
        )  # fmt: skip
        slope, spread = slope_in_price(rows, "labels")
        expected, _ = slope_in_price(rows, "predicted")
        claim = f"{arm}: slope of log labels in log C_F(pi_0), plus 1, at KL {rows['target'][0]:.0e}"
        checks.append(interval(claim, 1.0 + expected, 1.0 + slope, spread))
    return checks


def slope_in_price(rows: Table, column: str) -> tuple[float, float]:
    """Least-squares slope of log(column) in log(price), and its standard error."""
    x = np.log(rows["price"])
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    relative = rows["labels_se"] / rows["labels"]
    return float(weights @ np.log(rows[column])), float(np.hypot.reduce(weights * relative))


def plot(table: Table):
    made, axes = plotting.figure(2, 1, height=4.8)
    start, target = float(table["start"].max()), float(table["target"].min())
    for ax, fixed, x, name in (
        (axes[0], {"target": target}, "price", "price of the first sampler, $C_F(\\pi_0)$"),
        (axes[1], {"start": start}, "target", "KL to be reached, $\\epsilon$"),
    ):
        for arm in dict.fromkeys(table["arm"]):
            rows = table.where(arm=arm, **fixed)
            low, middle, high = (rows["labels"] + shift * rows["labels_se"] for shift in (-4, 0, 4))
            plotting.band(ax, rows[x], np.stack([low, middle, high]), arm)
            plotting.theory(ax, rows[x], rows["predicted"], arm)
        ax.set(xscale="log", yscale="log", xlabel=name, ylabel="labels in total")
    axes[0].set_title(f"to KL {target:.0e}")
    axes[1].set_title(f"from $\\theta_0=-{start:g}$, $C_F(\\pi_0)$ = {table.where(start=start)['price'][0]:.0e}")
    axes[1].invert_xaxis()
    plotting.legend(made, columns=2, theory_label="predicted as eps to 0")
    rows = table.where(arm="on_policy", target=target)
    plotting.caption(
        made,
        "Staircases, linear softmax: labels, over all rounds, at which the median KL reaches eps, by bisection on the "
        f"batch; band: 4 standard errors ({table['seeds'].min()} seeds, {rows['seeds'][0]} at the least eps). Rounds: "
        + ", ".join(f"{plotting.LABELS[arm]} {rounds}" for arm, (_, rounds) in label_search.ARMS.items())
        + f"; ridge {rows['ridge'][0]:g} on the sum of losses, centre the last iterate; fresh batches unless pooled.",
    )
    return made


EXPERIMENT = Experiment(
    name="sample_complexity",
    claim=CLAIM,
    family="coverage",
    presets={
        "smoke": Config(
            num_stairs=2,
            starts=(0.5, 2.0),
            targets=(1e-2, 1e-9),
            arms=("offline", "on_policy"),
            num_seeds=64,
            num_steps=6,
            final_seeds=128,
            finest_seeds=256,
        ),
        "default": Config(),
        "paper": Config(num_seeds=1024, num_steps=14, final_seeds=10240, finest_seeds=245760),
    },
    run=run,
    check=check,
    plot=plot,
)
