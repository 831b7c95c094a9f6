"""The headline comparison with a neural policy: offline Best-of-N, offline IPO and on-policy learners on R1 and R2."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.claims import statistics
from banditlab.claims.checks import Check, lower
from banditlab.claims.experiment import Experiment
from banditlab.didactic import policies
from banditlab.didactic.settings import Settings
from banditlab.store import Shards, Table
from experiments.didactic.shared import tuned_training
from experiments.didactic.shared.looks import LOOKS
from experiments.didactic.shared.tuned_training import PEAKS, Study, margin

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLAIM = (
    "A network trained with equal reward queries and equal gradient steps orders as a table does: offline Best-of-N "
    "below offline IPO below the on-policy learners where the peak is rare (R1), and little between them on R2."
)

OFFLINE, ON_POLICY = "offline", "on-policy"


@dataclass(frozen=True)
class Config:
    """Steps of B states with N draws, each batch new; offline they are a data set of the reference's draws.

    The grid of rates was fixed before any run.
    """

    arms: tuple[tuple[str, str], ...] = (
        ("best_of_n", OFFLINE),
        ("ipo", OFFLINE),
        ("best_of_n", ON_POLICY),
        ("ipo", ON_POLICY),
        ("reinforce", ON_POLICY),
    )
    num_steps: int = 200
    num_states: int = 10
    num_samples: int = 10
    rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3)
    ipo_target: float = 10.0
    num_seeds: int = 16
    seeds_per_call: int = 16
    tuning_seeds: int = 4
    seed: int = 0


def study(config: Config) -> Study:
    """The runs' shared part."""
    settings = Settings(ipo_target=config.ipo_target)
    sizes = (config.num_seeds, config.seeds_per_call, config.tuning_seeds, config.seed)
    return Study(policies.mlp(), config.rates, settings, *sizes)


def run(config: Config, shards: Shards) -> Table:
    """A row per algorithm, way to sample and bandit."""
    shards.expect(1)
    data = shards.get("all", (0, config.num_seeds), partial(train, config))
    offline = tuned_training.arrays_of(data, f"ipo, {OFFLINE}")
    rows = []
    for algorithm, sampling in config.arms:
        found = tuned_training.arrays_of(data, f"{algorithm}, {sampling}")
        for place, bandit in enumerate(PEAKS):
            row = {"algorithm": algorithm, "sampling": sampling, "bandit": bandit}
            row |= {"num_steps": config.num_steps, "num_queries": _dataset(config) * config.num_samples}
            row |= tuned_training.columns(study(config), found, place)
            rows.append(row | statistics.mean("over_offline_ipo", found["reward"][place] - offline["reward"][place]))
    table = Table.from_rows(rows)
    counts = {"runs with a step that was not finite": int(table["failed"].sum())}
    counts["best learning rate at an end of the grid"] = int(table["rate_at_edge"].sum())
    return Table(table.columns, {"failures": counts})


def train(config: Config) -> dict[str, np.ndarray]:
    """The arrays of `tuned_training.tuned` for every arm."""
    shapes = {"num_steps": config.num_steps, "num_states": config.num_states, "num_samples": config.num_samples}
    jobs = {}
    for algorithm, sampling in config.arms:
        source = {"on_policy": True} if sampling == ON_POLICY else {"on_policy": False, "dataset": _dataset(config)}
        name = f"{algorithm}, {sampling}"
        jobs[name] = partial(tuned_training.tuned, study(config), algorithm, **shapes, **source)
    return tuned_training.side_by_side(jobs)


def _dataset(config: Config) -> int:
    return config.num_steps * config.num_states


def check(table: Table) -> list[Check]:
    """Exact values, the frontier, and the order of the learners on R1 and R2."""
    checks = tuned_training.sound_checks(table)
    rare, common = (table.where(bandit=bandit) for bandit in PEAKS)
    row = rare.where(algorithm="best_of_n", sampling=OFFLINE)
    more = margin(row, "over_offline_ipo", -1)[0]
    checks.append(lower("R1: offline IPO over offline Best-of-N", 0.0, more, why=_LESS))
    for algorithm in ("best_of_n", "ipo", "reinforce"):
        row = rare.where(algorithm=algorithm, sampling=ON_POLICY)
        more = margin(row, "over_offline_ipo")[0]
        checks.append(lower(f"R1: on-policy {algorithm} over offline IPO", 0.0, more, why=_LESS))
    spread, error = [], 0.0
    for rows in (rare, common):
        ends = rows["reward"].argmax(), rows["reward"].argmin()
        spread.append(rows["reward"][ends[0]] - rows["reward"][ends[1]])
        error = np.hypot(error, np.hypot(*rows["reward_se"][list(ends)]))
    claim = "spread of the learners on R1 less that on R2"
    return [*checks, lower(claim, 0.0, spread[0] - spread[1] - 4 * error, why=_LESS)]


_LESS = "less four standard errors"


def plot(table: Table) -> "Figure":
    """Reward after training, a line per learner, R1 beside R2."""
    made, axes = plotting.figure(1, 2, height=2.3, sharey=True, sharex=True)
    first = table.where(bandit="R1")
    for ax, bandit in zip(axes, ("R1", "R2"), strict=True):
        rows = table.where(bandit=bandit)
        for place in range(len(rows)):
            key, _ = LOOKS[str(rows["algorithm"][place])]
            offline = rows["sampling"][place] == OFFLINE
            look = {"color": plotting.COLORS[key], "marker": plotting.MARKERS[key], "markersize": 5}
            look |= {"markerfacecolor": "white", "markeredgewidth": 1.0} if offline else {}
            spread = [[rows["reward"][place] - rows["reward_low"][place]], [0.0]]
            spread[1][0] = rows["reward_high"][place] - rows["reward"][place]
            # The mean of skewed runs may lie outside their quantiles.
            spread = np.maximum(spread, 0.0)
            ax.errorbar(rows["reward"][place : place + 1], [-place], xerr=spread, linewidth=1.2, **look)
        ax.axvline(rows["best_of_ten"][0], color="#000000", linestyle=(0, (4, 2)), linewidth=0.9, zorder=1)
        ax.axvline(rows["reference_reward"][0], color="#666666", linestyle=":", linewidth=0.9, zorder=1)
        ax.set(title=bandit, xlim=(-0.02, 1.04), xlabel=r"reward $E_\pi R$")
    names = [f"{LOOKS[str(a)][1]}, {s}" for a, s in zip(first["algorithm"], first["sampling"], strict=True)]
    axes[0].set_yticks(-np.arange(len(names)), names)
    axes[0].set_ylim(-len(names) + 0.5, 0.5)
    plotting.caption(
        made,
        f"Neural policy (MLP, float32): {table['num_steps'][0]} Adam steps, {table['num_queries'][0]} reward queries "
        f"each. Mean of {table['seeds'][0]} seeds, bars 10% to 90% of them; learning rate tuned on held-out seeds; "
        f"open: offline. Dotted: reference; dashed: the best of ten of its draws. "
        f"Runs not finite: {table['failed'].sum()}.",
    )
    return made


EXPERIMENT = Experiment(
    name="neural_headline",
    claim=CLAIM,
    family="didactic",
    presets={
        "smoke": Config(
            arms=(("ipo", OFFLINE), ("reinforce", ON_POLICY)),
            num_steps=20,
            num_states=4,
            rates=(1e-3, 3e-3),
            num_seeds=4,
            seeds_per_call=4,
            tuning_seeds=2,
        ),
        "default": Config(),
        "paper": Config(num_steps=1000, num_seeds=128, seeds_per_call=64, tuning_seeds=16),
    },
    run=run,
    check=check,
    plot=plot,
)
