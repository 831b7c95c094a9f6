"""Total labels to reach KL <= eps, against initial coverage and eps: multiplicative offline, additive on-policy."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import banditlab as bl
from banditlab import coverage, plotting
from banditlab.claims import Check, Experiment, Instance, Shards, Table, instance_field, interval
from banditlab.exact import chi_squares, sample_estimates
from banditlab.exact.bisection import bisection
from banditlab.numerics import linalg
from banditlab.store import failures
from experiments.shared import bands, chosen_instance, equal_labels

CLAIM = (
    "The labels needed for KL <= eps grow with slope 1 in the log of the initial label price offline and with slope 0 "
    "on-policy and for both hybrids once eps is small, with no free constant."
)
# Arm -> (mixture of samplers, pooled, rounds). Offline labels do not depend on the rounds: all are bought in one.
ARMS: Mapping[str, tuple[Mapping[str, float], bool, int]] = {
    "offline": ({"initial": 1.0}, True, 1),
    "on_policy": ({"on_policy": 1.0}, False, 8),
    "on_policy_pooled": ({"on_policy": 1.0}, True, 8),
    "hybrid_paired": ({"paired": 1.0}, False, 2),
    "hybrid_mixture": ({"on_policy": 0.5, "designed": 0.5}, False, 2),
    "design_one_round": ({"designed": 1.0}, False, 1),
}
MOST_LABELS = 1e15
_WHY = "4 G* eps: second order in osc, with osc^2 <= G* ||.||^2_{V*} = 2 G* KL (Propositions 1 and 2)"
COLUMNS = {
    "instance": "environment: a named instance, else the file that holds it",
    "rounds": "rounds that the arm divides its labels into [rounds]",
    "start": "minus every coordinate of theta_0, the parameter of pi_0",
    "target": "KL(pi*||pi) that the median run must reach in its last round [nats]",
    "price": "C_F(pi_0), label price of pairs from pi_0 [labels x nats]",
    "remainder": "4 G* target, G* the leverage of pi*: relative error of the prediction, at most",
    "predicted": "labels at which the median KL is the target, many labels: a median of chi-squares [labels]",
    "labels": "labels at which the median KL is the target, by bisection; inf where not reached [labels]",
    "reached": "1 where the largest batch tried reaches the target, 0 elsewhere",
}


@dataclass(frozen=True)
class Config:
    """Staircases from theta_0 = -start, and the KL that the median run must reach.

    The least target, the last, is far below 1/C_F(pi_0): pooled data then leave the early rounds behind, as the limit
    says. instance: the environment in place of the staircase; it too starts from theta_0 = -start in every coordinate.
    """

    num_stairs: int = 4
    step: float = 0.5
    beta: float = 1.0
    instance: Instance | None = instance_field("num_stairs", "step", "beta")
    starts: tuple[float, ...] = (0.5, 1.5, 2.5, 3.5)
    targets: tuple[float, ...] = (1e-2, 1e-4, 1e-6, 1e-9)
    arms: tuple[str, ...] = tuple(ARMS)
    ridge: float = 1.0
    num_seeds: int = 256
    num_steps: int = 8
    final_seeds: int = 1024
    finest_seeds: int = 24576


def run(config: Config, shards: Shards) -> Table:
    """One row per arm, start and target."""
    staircase = partial(bl.instances.staircase, config.num_stairs, config.step, beta=config.beta)
    name, base = chosen_instance.named(config.instance, "staircase", staircase)
    design = jax.jit(bl.designs.joint)(base)  # the features are those of every start
    groups = ((config.final_seeds, config.targets[:-1]), (config.finest_seeds, config.targets[-1:]))
    groups = [(seeds, np.asarray(targets)) for seeds, targets in groups if targets]
    shards.expect(len(config.arms) * len(config.starts) * len(groups))
    rows = []
    for arm in config.arms:
        for place, start in enumerate(config.starts):
            env = base.replace(initial_params=np.full(base.num_features, -start))
            price = float(bl.theory.label_price(env, bl.samplers.initial(env, env.log_initial)))
            remainder = 4 * float(bl.theory.target_leverage(env))
            limit = limit_constant(arm, env, design)
            for seeds, targets in groups:
                # Its own seed for every start: the checks average over starts that must be independent.
                compute = partial(search, arm, env, targets, limit / targets, config, design, seeds, 2 * place)
                data = shards.get(f"{arm}-{start}-{targets[-1]}", (0, seeds), compute)
                for i, target in enumerate(targets):
                    row = {"instance": name, "arm": arm, "rounds": ARMS[arm][2], "start": start, "target": target}
                    row |= {"seeds": seeds, "ridge": config.ridge, "price": price, "remainder": remainder * target}
                    row["predicted"] = limit / target
                    rows.append(row | {column: data[column][i] for column in ("labels", "labels_se", "reached")})
    return Table.from_rows(rows)


def limit_constant(arm: str, env: bl.Environment, design: "bl.designs.Design") -> float:
    """Labels times median KL as eps -> 0 (I6): every round but the first then samples from pi*."""
    weights, pooled, rounds = ARMS[arm]
    law = equal_labels.mixture(design, weights)
    first, later = (
        np.asarray(bl.theory.fisher_information(env, law(env, log_policy)))
        for log_policy in (env.log_initial, env.log_target)
    )
    # Information per label bought; fresh batches use the last round's alone.
    per_label = (first + (rounds - 1) * later) / rounds if pooled else (first if rounds == 1 else later) / rounds
    return limit_median(env, per_label)


def limit_median(env: bl.Environment, information: np.ndarray) -> float:
    """Median of (1/2) g'V*g, g ~ N(0, information^{-1}) (I6): the median KL times the labels, in the limit."""
    rows, _ = linalg.inverse_root(jnp.asarray(information))
    whitened = np.asarray(rows @ coverage.target_covariance(env) @ rows.T)
    return chi_squares.median(0.5 * np.linalg.eigvalsh(whitened))


def search(
    arm: str, env: bl.Environment, targets: np.ndarray, guess: np.ndarray, config: Config,
    design: "bl.designs.Design", final_seeds: int, seed: int = 0,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Total labels at which the median KL of the last round is each of `targets` (C,).

    Bisection on log n over three decades on either side of `guess` (C,), with common random numbers; then an
    evaluation with fresh ones at the result, corrected along KL ~ 1/n: the correction and its error are those of a
    sample median. All settings move together, in one program.

    Returns labels, labels_se, (C,), and reached (C,): False where the median stays above the target at the largest n
    tried (labels is then inf, an explicit "not reached"). The failures are seed-rounds of the final evaluation.
    """
    weights, pooled, rounds = ARMS[arm]
    law = equal_labels.mixture(design, weights)
    low = np.maximum(np.log(guess / rounds) - math.log(1e3), 0.0)
    high = np.minimum(np.log(guess / rounds) + math.log(1e3), math.log(MOST_LABELS))

    def evaluate(log_n: np.ndarray, seeds: int, root: int) -> tuple[np.ndarray, np.ndarray, bl.Run]:
        batches = np.round(np.exp(log_n))
        run = bl.simulate_grid(
            [bl.algorithms.dpo(law, n, ridge=config.ridge, pooled=pooled, max_pairs=MOST_LABELS) for n in batches],
            [env], num_rounds=rounds, num_seeds=seeds, seed=root,
            metrics=("kl_target", "existence"), record_params=False,
        )  # fmt: skip
        return batches, np.sort(run.metrics["kl_target"][..., -1], axis=1), run

    def enough(log_n: np.ndarray) -> np.ndarray:
        return np.median(evaluate(log_n, config.num_seeds, seed)[1], axis=1) <= targets

    reached = enough(high)
    log_n = bisection(enough, low, high, config.num_steps)
    batches, kl, run = evaluate(log_n, final_seeds, seed + 1)
    median, error = sample_estimates.median(kl)
    labels = rounds * batches * median / targets
    return {
        "labels": np.where(reached, labels, np.inf),
        "labels_se": np.where(reached, labels * error / median, np.inf),
        "reached": reached,
    } | failures(run.failures)


def check(table: Table) -> list[Check]:
    """At the smallest eps: every constant, averaged over the starts, and the slope of every arm in the price."""
    target, checks = table["target"].min(), []
    for arm in dict.fromkeys(table["arm"].tolist()):
        rows = table.where(arm=arm, target=target)
        ratio, error = (rows[name] / rows["predicted"] for name in ("labels", "labels_se"))
        claim = f"{arm}: labels to KL {target:.0e} over the prediction, mean over {len(rows)} starts"
        spread = float(np.hypot.reduce(error)) / len(rows)
        allowance = float(rows["remainder"].max())
        checks.append(interval(claim, 1.0, float(ratio.mean()), spread, allowance=allowance, why=_WHY))
        if len(rows) > 1:
            x, relative = np.log(rows["price"]), rows["labels_se"] / rows["labels"]
            slope, spread = sample_estimates.slope(x, np.log(rows["labels"]), relative)
            expected, _ = sample_estimates.slope(x, np.log(rows["predicted"]), relative)
            claim = f"{arm}: slope of log labels in log C_F(pi_0), plus 1, at KL {target:.0e}"
            checks.append(interval(claim, 1.0 + expected, 1.0 + slope, spread))
    return checks


def plot(table: Table):
    """Labels against the initial price at the least target, and against the target from the farthest start."""
    made, (top, bottom) = plotting.figure(2, 1, height=4.8)
    arms = dict.fromkeys(table["arm"].tolist())
    start, target = table["start"].max(), table["target"].min()
    finest, farthest = table.where(target=target), table.where(start=start)
    for place, arm in enumerate(arms):
        bands.curve(top, finest.where(arm=arm), "price", "predicted", arm, "labels", spread="")
        rows = farthest.where(arm=arm)
        x = 10 ** bands.apart(np.log10(rows["target"]), place, len(arms), 0.08)
        ratio, error = (rows[name] / rows["predicted"] for name in ("labels", "labels_se"))
        plotting.mean(bottom, x, ratio, error, arm, label="")
    targets = np.unique(farthest["target"])
    plotting.theory(bottom, targets, np.ones(len(targets)))
    top.set(xscale="log", yscale="log", xlabel=r"price of the first sampler, $C_F(\pi_0)$", ylabel="labels in total")
    bottom.set(xscale="log", xlabel=r"KL to be reached, $\epsilon$ [nats] (arms apart)", ylabel="labels / predicted")
    usual = finest["instance"][0] == "staircase"
    to = f"(KL $\\leq$ {plotting.number(target)} nats)"
    title = f"Offline labels pay the price of $\\pi_0$,\nthe other samplers hardly do {to}"
    top.set_title(title if usual else f"Labels in total {to}")
    price = plotting.number(float(f"{farthest['price'][0]:.2g}"))
    bottom.set_title(f"As $\\epsilon$ falls, the predicted labels suffice\n($C_F(\\pi_0)$ = {price})")
    bottom.invert_xaxis()
    plotting.legend(made, columns=2, theory_label=r"predicted as $\epsilon\to 0$")
    rounds = ", ".join(f"{plotting.LABELS[arm]} {finest.where(arm=arm)['rounds'][0]}" for arm in arms)
    plotting.caption(
        made,
        f"Linear softmax ({finest['instance'][0]}): labels, over all rounds, at which the median KL reaches "
        rf"$\epsilon$, by bisection on the batch. {plotting.BARS} {table['seeds'].min():,} seeds, "
        rf"{finest['seeds'][0]:,} at the least $\epsilon$. Rounds: {rounds}; ridge {table['ridge'][0]:g} on the sum "
        "of losses, centre the last iterate; fresh batches unless pooled.",
    )
    return made


PRESETS = {
    "smoke": Config(
        num_stairs=2, starts=(0.5, 2.0), targets=(1e-2, 1e-9), arms=("offline", "on_policy"),
        num_seeds=64, num_steps=6, final_seeds=128, finest_seeds=256,
    ),
    "default": Config(),
    "paper": Config(num_seeds=1024, num_steps=14, final_seeds=10240, finest_seeds=245760),
}  # fmt: skip
EXPERIMENT = Experiment(claim=CLAIM, presets=PRESETS, run=run, check=check, plot=plot, columns=COLUMNS)
