"""The simulator against exact summation: the K-round law of DPO on the two-action chain."""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

import banditlab as bl
from banditlab import plotting
from banditlab.claims import Check, Experiment, Shards, Table, interval, statistics, upper
from banditlab.exact import chain, lattice
from banditlab.exact.chain import ChainLaw
from banditlab.store import failures
from experiments.shared import row_checks

CLAIM = (
    "On the two-action chain the simulated law of theta after every round is the one obtained by exact summation: "
    "its mean KL, its mass at the norm cap, its distribution function."
)


@dataclass(frozen=True)
class Config:
    """The chain, the norm cap R, and the arms (sampler, labels per round, seeds).

    The seeds are so many that eight standard errors, by exact summation too, are at most 5% of the mean KL and of
    the mass at the cap in the worst round.
    """

    target: float = 2.0
    start: float = -3.0
    max_norm: float = 3.0
    betas: tuple[float, ...] = (0.5, 1.0)
    num_rounds: int = 5
    arms: tuple[tuple[str, int, int], ...] = (
        ("on_policy", 40, 256_000), ("on_policy", 120, 163_840), ("offline", 60, 212_992)
    )  # fmt: skip
    seed: int = 0


ALGORITHMS = {"on_policy": bl.algorithms.on_policy_dpo, "offline": bl.algorithms.offline_dpo}
# A simulated theta this far from every value that the exact law allows is not rounding: Newton's method leaves
# less than 1e-9, and neighbouring values of up to 300 labels lie 1e-5 apart or more.
LATTICE_TOLERANCE = 1e-7
_WRONG = 1.05  # a theta* wrong by so much says what the distance of the distribution functions can tell


def run(config: Config, shards: Shards) -> Table:
    """One row per arm, beta and round, with the exact law beside the simulated one."""
    shards.expect(len(config.arms))
    rows = []
    for sampler, num_pairs, num_seeds in config.arms:
        compute = partial(_simulate, config, sampler, num_pairs, num_seeds)
        data = shards.get(f"{sampler} n={num_pairs}", (0, num_seeds), compute)
        for beta, params in zip(config.betas, data["params"], strict=True):
            chain = {"target": config.target, "beta": beta, "max_norm": config.max_norm, "initial": config.start}
            laws = _exact_laws(sampler, num_pairs, config.num_rounds, **chain)
            wrong = _exact_laws(sampler, num_pairs, config.num_rounds, **chain | {"target": _WRONG * config.target})
            for k, (law, other) in enumerate(zip(laws, wrong, strict=True)):
                row = {"arm": sampler, "num_pairs": num_pairs, "round": k + 1} | chain
                values = _compared(params[:, k], law, other, target=config.target, max_norm=config.max_norm)
                rows.append(row | values)
    return Table.from_rows(rows)


def _simulate(config: Config, sampler: str, num_pairs: int, num_seeds: int) -> dict[str, np.ndarray]:
    envs = [bl.instances.chain(config.target, config.start, beta) for beta in config.betas]
    algorithm = ALGORITHMS[sampler](num_pairs, max_norm=config.max_norm)
    setting = {"num_rounds": config.num_rounds, "num_seeds": num_seeds, "seed": config.seed, "metrics": ()}
    done = bl.simulate_grid([algorithm], envs, **setting)
    return {"params": done.params[..., 0]} | failures(done.failures)


def _exact_laws(sampler: str, num_pairs: int, num_rounds: int, **setting: float) -> list[ChainLaw]:
    """The law of theta after each round; `setting` holds what `chain.on_policy_law` calls so."""
    if sampler == "on_policy":
        laws = chain.on_policy_law(num_pairs, num_rounds, **setting)
        return [ChainLaw(laws.params, probs) for probs in laws.probs]
    return [chain.offline_law(num_pairs * k, **setting) for k in range(1, num_rounds + 1)]


def _compared(
    params: np.ndarray, law: ChainLaw, wrong: ChainLaw, *, target: float, max_norm: float
) -> dict[str, float | int]:
    """Columns for simulated params (num_seeds,): KL, mass at the cap, distribution function; beside the law's own.

    `wrong` is the law at a theta* off by 5%: how far the sample is from it says what the distance can tell.
    """
    kl, exact_kl = (chain.kl_target(theta, target) for theta in (params, law.params))
    at_cap, exact_at_cap = (np.abs(np.abs(theta) - max_norm) < LATTICE_TOLERANCE for theta in (params, law.params))
    row: dict[str, float | int] = {"seeds": len(params)}
    for name, values, exact in (("kl", kl, exact_kl), ("absorbed", at_cap.astype(float), exact_at_cap.astype(float))):
        mean = float(chain.mean(law, exact))
        deviation = math.sqrt(chain.mean(law, np.square(exact - mean)))
        row |= statistics.mean(name, values) | {f"{name}_exact": mean, f"{name}_deviation": deviation}
    row |= statistics.quantiles("kl", kl)
    row |= {f"exact_{level}": float(chain.quantile(law, exact_kl, p)) for level, p in statistics.BAND.items()}
    # The Kolmogorov distance of N values of a continuous law has a standard deviation of 0.26/sqrt(N).
    error = 0.26 / math.sqrt(len(params))
    for name, other in (("distance", law), ("wrong_distance", wrong)):
        row |= {name: lattice.kolmogorov_distance(*other, params, LATTICE_TOLERANCE), f"{name}_se": error}
    return row | {"num_off_lattice": lattice.off_lattice(law.params, params, LATTICE_TOLERANCE)}


def check(table: Table) -> list[Check]:
    """Per arm and beta, in the worst round: mean KL, mass at the cap, distribution function."""
    checks = []
    for arm, num_pairs, beta in _arms_of(table, "beta"):
        rows = table.where(arm=arm, num_pairs=num_pairs, beta=beta)
        words = f"{arm}, n = {num_pairs}, beta = {beta:g}"
        for name, claim in (("kl", "mean KL"), ("absorbed", "mass at the norm cap")):
            # The variance is known exactly; a sample of few absorbed runs would misjudge its own.
            error = rows[f"{name}_deviation"] / np.sqrt(rows["seeds"])
            worst = int(np.argmax(np.abs(rows[name] - rows[f"{name}_exact"]) / error))
            where = f"{words}, round {rows['round'][worst]} (the worst of {len(rows)})"
            checks.append(interval(f"{claim}, {where}", rows[f"{name}_exact"][worst], rows[name][worst], error[worst]))
        wrong = 1 - rows["wrong_distance"].max()
        told = f"theta* wrong by {_WRONG - 1:.0%} would give {wrong:.4f}"
        claim = f"1 - sup |F_N - F|, {words}, smallest of {len(rows)} rounds"
        checks.append(row_checks.same_law(claim, rows["distance"].max(), rows["seeds"][0], told))
    claim = "simulated values of theta that the exact law does not allow"
    return [*checks, upper(claim, 0.0, table["num_off_lattice"].sum(), why=f"to {LATTICE_TOLERANCE:g}")]


def plot(table: Table):
    """One column per arm: KL at the largest beta, mean and band, above the mass at the cap for all betas."""
    arms = sorted(_arms_of(table), key=lambda arm: arm[1])
    betas = np.unique(table["beta"])
    made, axes = plotting.figure(2, len(arms), height=3.4, sharex=True, sharey="row", squeeze=False)
    for (top, bottom), (name, num_pairs) in zip(axes.T, arms, strict=True):
        arm = table.where(arm=name, num_pairs=num_pairs)
        rows = arm.where(beta=betas[-1])
        plotting.mean(top, rows["round"], rows["kl"], rows["kl_se"], name, quantiles=statistics.band(rows, "kl"))
        plotting.theory(top, rows["round"], rows["kl_exact"], name)
        for beta, filling in zip(betas, ("none", None), strict=False):
            rows = arm.where(beta=beta)
            look = {"color": plotting.COLORS[name], "markerfacecolor": filling, "markeredgewidth": 0.8}
            bottom.plot(rows["round"], rows["absorbed"], plotting.MARKERS[name], **look)
            plotting.theory(bottom, rows["round"], rows["absorbed_exact"], name)
        top.set(title=f"$n$ = {num_pairs}: on\nthe exact law", yscale="log")
        bottom.set(xlabel="round", xticks=np.unique(table["round"]))
    axes[0, 0].set_ylabel(rf"KL($\pi^*\|\pi$), $\beta={betas[-1]:g}$ [nats]")
    axes[1, 0].set_ylabel(r"P($|\theta|=R$)")
    axes[1, 0].set_ylim(bottom=0)
    samplers = dict.fromkeys(name for name, _ in arms)
    labels = {name: rf"{plotting.LABELS[name]}, $\beta={betas[0]:g}$" for name in samplers}
    opened = [plotting.proxy(labels[name], name, filled=False) for name in samplers if len(betas) > 1]
    plotting.legend(made, columns=2, theory_label="exact", extra=opened)
    target, start, cap = (f"${table[name][0]:g}$" for name in ("target", "initial", "max_norm"))
    seeds = table["seeds"]
    plotting.caption(
        made,
        rf"Two-action chain, $\theta^*$ = {target}, $\theta_0$ = {start}, norm cap $R$ = {cap}, $n$ labels a round, "
        f"ridge 0; {seeds.min():,} to {seeds.max():,} seeds. Above: mean KL at $\\beta$ = {betas[-1]:g}. "
        f"{plotting.BARS} {plotting.BAND} Below: share of the runs at the cap, "
        f"$\\beta$ = {betas[0]:g} open, {betas[-1]:g} filled.",
    )
    return made


def _arms_of(table: Table, *also: str) -> list[tuple]:
    """The arms of the rows, each once, with their labels a round and the columns ``also``."""
    columns = (table[name].tolist() for name in ("arm", "num_pairs", *also))
    return list(dict.fromkeys(zip(*columns, strict=True)))


EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(num_rounds=2, arms=(("on_policy", 40, 32_768),)),
        "default": Config(),
        "paper": Config(arms=(("on_policy", 40, 2_560_000), ("on_policy", 120, 1_638_400), ("offline", 60, 2_129_920))),
    },
    run=run,
    check=check,
    plot=plot,
    columns={
        "target": "theta* of the chain",
        "max_norm": "R, the cap of |theta|",
        "initial": "theta_0 of the chain, whose policy draws the first pairs",
        "kl_exact": "mean of KL(pi*||pi) under the exact law [nats]",
        "kl_deviation": "standard deviation of KL(pi*||pi) under the exact law [nats]",
        "absorbed": "share of the runs at the cap",
        "absorbed_exact": "mass at the cap under the exact law",
        "absorbed_deviation": "standard deviation of being at the cap under the exact law",
        "exact_low": "10% quantile of KL(pi*||pi) under the exact law [nats]",
        "exact_median": "median of KL(pi*||pi) under the exact law [nats]",
        "exact_high": "90% quantile of KL(pi*||pi) under the exact law [nats]",
        "distance": "Kolmogorov distance sup |F_N - F| of the simulated theta to the exact law",
        "wrong_distance": f"the same distance to the exact law of {_WRONG:g} theta*",
        "num_off_lattice": "simulated theta that are no value of the exact law beyond rounding [runs]",
    },
)
