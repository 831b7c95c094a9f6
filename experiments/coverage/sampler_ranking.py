"""All samplers ranked by their label price C_F, predicted at pi* and measured on fresh batches."""

import itertools
from dataclasses import dataclass
from functools import partial

import numpy as np

from banditlab import plotting
from banditlab.claims import Check, Experiment, Shards, Table, identity, interval, lower, statistics, upper
from experiments.shared import sampler_zoo
from experiments.shared.sampler_zoo import ARMS, FREE_PROMPTS

CLAIM = (
    "The label price C_F(mu) = tr(V* H(mu)^{-1}) at pi* predicts 2 n KL of every sampler and so their order, which "
    "differs from instance to instance; only the L-optimal oracle is the cheapest on all."
)
LABELS = {
    "offline": r"offline, $\pi_0\times\pi_0$",
    "uniform": "uniform",
    "on_policy": r"on-policy, $\pi\times\pi$",
    "policy_reference": r"XPO, $\pi\times\pi_{\mathrm{ref}}$",
    "two_stage": "two-stage, half offline",
    "mix_r": "Mix-R (knows $r^*$)",
    "mix_p": "Mix-P",
    "pilaf": "PILAF, half and half",
    "pilaf_weighted": "PILAF, weighted",
    "greedy_leverage": "greedy leverage (APO)",
    "design_joint": "design, joint",
    "design_triple": "design, triple",
    "hybrid_paired": "hybrid, paired",
    "hybrid_mixture": "hybrid, mixture",
    "reweighted": r"design, $\sigma'$-aware",
    "oracle": "oracle, free prompts",
    "oracle_conditional": r"oracle, $x\sim\rho$",
}
# The arms that other figures know have their colours there; the others share one.
_LOOKS = {"design_joint": "design", "design_triple": "design", "reweighted": "design", "oracle_conditional": "oracle"}
_LOOKS |= {"policy_reference": "xpo", "pilaf_weighted": "pilaf"}
_WIDEST = 4.0  # prices beyond this many times the oracle's are written at the edge


@dataclass(frozen=True)
class Config:
    """Instances and their beta, labels and rounds of fresh batches, and the error of a price that must be caught."""

    instances: tuple[str, ...] = ("staircase", "needle", "random features")
    beta: float = 1.0
    num_pairs: float = 1e14
    num_rounds: int = 9
    relative_error: float = 0.05


def run(config: Config, shards: Shards) -> Table:
    """One row per instance and arm."""
    shards.expect(len(config.instances) * (len(ARMS) + 1))
    rows = []
    for instance in config.instances:
        known = shards.get(f"{instance}-predictions", (0, 1), partial(sampler_zoo.predict, instance, config.beta))
        for place, arm in enumerate(ARMS):
            free = arm in FREE_PROMPTS
            seeds = sampler_zoo.seeds_needed(known["deviation"][place], config.num_rounds, config.relative_error)
            setting = (config.beta, arm, config.num_pairs, config.num_rounds, seeds)
            data = shards.get(f"{instance}-{arm}", (0, seeds), partial(sampler_zoo.simulate, instance, *setting))
            failed = sum(shards.failures.get(f"{instance}-{arm}", {}).values())
            row = {"instance": instance, "arm": arm, "prompts": "free" if free else "rho"}
            row |= {name: float(known[name][place]) for name in ("price", "leverage", "remainder", "drift")}
            row |= {"oracle_gap": float(known["gap_oracle" if free else "gap_oracle_conditional"])}
            row |= statistics.mean("measured", data["price"].ravel()) | {"num_batches": data["price"].size}
            rows.append(row | {"num_pairs": config.num_pairs, "failed": failed})
    return Table.from_rows(rows)


def check(table: Table) -> list[Check]:
    """Every price to 5%; the oracles; Mix-P's limit; and no two samplers in the wrong order."""
    checks = []
    why = "the O(1/n) remainder, (rad lam)^2 of Proposition 3, and the policy's distance from pi*, of order n^{-1/2}"
    for row in range(len(table)):
        price, n = table["price"][row], table["num_pairs"][row]
        allowance = price * (table["remainder"][row] / n + table["drift"][row] / np.sqrt(n))
        claim = f"2 n KL = C_F, {table['instance'][row]}, {table['arm'][row]}, n = {n:.0e}"
        measured, error = table["measured"][row], table["measured_se"][row]
        checks.append(interval(claim, price, measured, error, allowance=allowance, why=why))
    for instance in dict.fromkeys(table["instance"].tolist()):
        rows = table.where(instance=instance)
        checks += _oracle_checks(rows, instance)
        pair = [rows.where(arm=arm)["price"][0] for arm in ("mix_r", "mix_p")]
        claim = f"Mix-P at pi* has the price of Mix-R, {instance}"
        checks.append(identity(claim, *pair, why="rounding of r* against beta log pi*/pi_ref", rtol=1e-9))
        claim = f"pairs of samplers in the wrong order, of those apart by eight standard errors, {instance}"
        checks.append(upper(claim, 0.0, _inversions(rows), why="an inversion takes noise of eight standard errors"))
    return checks


def _oracle_checks(rows: Table, instance: str) -> list[Check]:
    """Least price of the arms that the constraint set allows, over the oracle's, is at least 1/(1 + gap).

    f(mu) = tr(V* H(mu)^{-1}) is convex, homogeneous of degree -1, and has q = -grad f >= 0 with E_mu q = f(mu):
    so f(nu) >= 2 f(mu) - E_nu q >= f(mu) (1 - gap) for every nu, where 1 + gap = max E_nu q / f(mu).
    """
    checks = []
    for oracle, arms in (("oracle", rows), ("oracle_conditional", rows.where(prompts="rho"))):
        own = rows.where(arm=oracle)
        others = arms["price"][arms["arm"] != oracle]
        claim = f"least price of the other samplers over that of the {oracle.replace('_', ', ')}, {instance}"
        why = "the gap certified for the oracle; nothing is random"
        checks.append(lower(claim, 1.0, others.min() / own["price"][0], allowance=own["oracle_gap"][0], why=why))
    return checks


def _inversions(rows: Table) -> int:
    """Pairs of arms predicted to differ by more than eight combined standard errors and measured the other way."""
    wrong = 0
    for first, second in itertools.combinations(range(len(rows)), 2):
        apart = rows["price"][first] - rows["price"][second]
        error = np.hypot(rows["measured_se"][first], rows["measured_se"][second])
        wrong += abs(apart) > 8 * error and apart * (rows["measured"][first] - rows["measured"][second]) < 0
    return wrong


def plot(table: Table):
    """One panel per instance, samplers in the order of their mean log price over the oracle's."""
    instances = list(dict.fromkeys(table["instance"].tolist()))
    cheapest = {name: table.where(instance=name, arm="oracle")["price"][0] for name in instances}
    score = {arm: sum(np.log(_price(table, name, arm) / cheapest[name]) for name in instances) for arm in ARMS}
    order = sorted(ARMS, key=lambda arm: score[arm])
    made, axes = plotting.figure(
        1, len(instances), width=plotting.PAGE_WIDTH, height=3.5, sharex=True, sharey=True, squeeze=False
    )
    heights = -np.arange(len(order))
    for ax, name in zip(axes[0], instances, strict=True):
        for height, arm in zip(heights, order, strict=True):
            row = table.where(instance=name, arm=arm)
            value, error, predicted = (row[key][0] / cheapest[name] for key in ("measured", "measured_se", "price"))
            color = plotting.COLORS.get(_LOOKS.get(arm, arm), plotting.COLORS["reference"])
            # The row's name says whose point it is.
            look = {"color": color, "fmt": "o", "elinewidth": 0.8, "markersize": 4.5}
            ax.errorbar(value, height, xerr=plotting.NUM_ERRORS * error, **look)[0].set_gid("labelled")
            ax.plot([predicted], [height], "|", color="#000000", markersize=9, markeredgewidth=1.0)
            if value > _WIDEST:
                side = {"transform": ax.get_yaxis_transform(), "ha": "right", "va": "center", "fontsize": 7}
                ax.text(0.99, height, f"{value:.0f} →", **side)
        known = [arm for arm in ARMS if not arm.startswith("oracle")]
        best = min(known, key=lambda arm: _price(table, name, arm))
        ax.set_title(f"{name.capitalize()}: oracles,\nthen {LABELS[best]}")
    axes[0][0].set(xlim=(0.85, _WIDEST), xticks=[1, 2, 3, 4])
    axes[0][0].set_yticks(heights, [LABELS[arm] for arm in order])
    axes[0][len(instances) // 2].set_xlabel("label price $C_F$ over the oracle's")
    extra = [plotting.proxy("measured", marker="o"), plotting.proxy(r"predicted at $\pi^*$", marker="|")]
    extra[1].set(markersize=9, markeredgewidth=1.0)
    plotting.legend(made, extra=extra)
    counts, off = table["num_batches"], np.abs(table["measured"] / table["price"] - 1).max()
    error = (plotting.NUM_ERRORS * table["measured_se"] / table["price"]).max()
    plotting.caption(
        made,
        f"Measured: $2n\\,$KL$(\\pi^*\\|\\pi)$, means over {counts.min():,} to {counts.max():,} fresh batches of $n$ = "
        f"{plotting.number(table['num_pairs'][0])} labels after the first; at most {off:.1%} from the prediction, "
        f"where four standard errors, the bars, are up to {error:.1%}. Ridge 0, linear softmax, $d$ = 4, 5 actions; "
        r"policies start at $\pi_0$. Greedy and $\sigma'$-aware designs are taken at $\pi^*$."
        + plotting.only_if(table["failed"].sum(), " Fits that failed: {}."),
    )
    return made


def _price(table: Table, instance: str, arm: str) -> float:
    return float(table.where(instance=instance, arm=arm)["price"][0])


EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(instances=("staircase",), num_rounds=3, relative_error=0.4),
        "default": Config(),
        "paper": Config(relative_error=0.05 / 10**0.5),
    },
    run=run,
    check=check,
    plot=plot,
    columns={
        "instance": "environment, by name",
        "arm": "sampler, by name",
        "prompts": "free where the sampler chooses the contexts itself, rho where they come from the environment",
        "price": "C_F = tr(V* H^-1) at pi*, V* the covariance there, H a label's information [labels x nats]",
        "leverage": "largest z'M^-1 z over feature differences z, M the second moment of the sampler's pairs",
        "remainder": "labels times the order of the relative O(1/n) term of the prediction [labels]",
        "drift": "sqrt(labels) times a bound on the relative change of the price from pi_k being away from pi*",
        "oracle_gap": "certified relative gap of the oracle with the same prompts",
        "measured": "2 n KL(pi*||pi) after a round of n labels, mean over batches [labels x nats]",
        "num_batches": "rounds of all seeds that the row summarises, the first of each seed left out [rounds]",
        "failed": "fits without a proved maximum, all rounds [fits]",
    },
)
