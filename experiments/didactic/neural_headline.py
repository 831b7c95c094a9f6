"""The headline comparison with a neural policy: offline Best-of-N, offline IPO and on-policy learners on R1 and R2."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from banditlab import plotting
from banditlab.claims import Check, Experiment, Shards, Table, above
from banditlab.didactic import policies
from experiments.didactic.shared import tuned_tables, tuned_training
from experiments.didactic.shared.shortfalls import from_zero
from experiments.didactic.shared.tuned_tables import Cell
from experiments.didactic.shared.tuned_training import PEAKS, Batches
from experiments.shared.bands import apart

CLAIM = (
    "A network trained with equal reward queries and equal gradient steps orders as a table does: offline Best-of-N "
    "below offline IPO below the on-policy learners where the peak is rare (R1), and little between them on R2. How "
    "a network starts at the reference, fitted to it or added to it, matters at a given rate, and hardly at tuned ones."
)

COLUMNS = tuned_tables.described(
    {
        "network": "its start: it makes the logits alone, fitted to pi_ref (fitted), else log pi_ref + it (offset)",
        "algorithm": "loss that is trained on",
        "sampling": "who draws: the policy itself (on-policy), else the reference (offline)",
    },
    {
        "over_offline_ipo": "E_pi R less that of offline IPO of the same network, mean over seeds [reward]",
        "over_offset": "E_pi R less that of the offset network on the same draws, mean over seeds [reward]",
    },
)
OFFLINE, ON_POLICY = "offline", "on-policy"
FITTED, OFFSET = STARTS = ("fitted", "offset")


@dataclass(frozen=True)
class Config(Batches):
    """Steps of B states with N draws, each batch new; offline they are a data set of the reference's draws.

    Networks that are fitted to the reference first are those of the paper's public code; the others show how much that
    matters. The grid of rates was fixed before any run of the offset network. It was moved up by one step when six of
    ten fitted arms were best at its upper end, and none of any network at the lower one.
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
    rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3, 1e-2)
    num_seeds: int = 16
    seeds_per_call: int = 16
    tuning_seeds: int = 4
    seed: int = 0


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """Starts, algorithms and ways to sample, each on both bandits."""
    shards.expect(len(STARTS))
    data = {start: shards.get(start, (0, config.num_seeds), partial(train, config, start)) for start in STARTS}
    facts = {"num_steps": config.num_steps, "num_queries": config.queries(config.num_steps)}
    cells = []
    for start in STARTS:
        offline = tuned_training.arrays_of(data[start], f"ipo, {OFFLINE}")
        for algorithm, sampling in config.arms:
            found, offset = (tuned_training.arrays_of(data[s], f"{algorithm}, {sampling}") for s in (start, OFFSET))
            over = {
                "over_offline_ipo": found["reward"] - offline["reward"],
                "over_offset": found["reward"] - offset["reward"],
            }
            cells.append(Cell({"network": start, "algorithm": algorithm, "sampling": sampling}, facts, found, over))
    return tuned_tables.tables(config.study(policies.mlp()), config.num_samples, cells)


def train(config: Config, start: str) -> dict[str, np.ndarray]:
    """The arrays of `tuned_training.tuned` for every arm."""
    dataset = config.num_steps * config.num_states
    shapes = {"num_steps": config.num_steps, "num_states": config.num_states, "num_samples": config.num_samples}
    jobs = {}
    for algorithm, sampling in config.arms:
        source = {"on_policy": True} if sampling == ON_POLICY else {"on_policy": False, "dataset": dataset}
        study = config.study(policies.mlp(start=start))
        jobs[f"{algorithm}, {sampling}"] = partial(tuned_training.tuned, study, algorithm, **shapes, **source)
    found = tuned_training.all_named(jobs)
    return found | tuned_training.broken(found)


def check(tables: Mapping[str, Table]) -> list[Check]:
    """Exact values, the frontier, and the order of the learners on R1 and R2, whichever way the networks start."""
    checks = tuned_tables.sound_checks(tables["runs"], tables["bandits"])
    for network in STARTS:
        checks += _order(tables["runs"].where(network=network), f"{network} networks")
    return checks


def _order(table: Table, who: str) -> list[Check]:
    checks = []
    rare, common = (table.where(bandit=bandit) for bandit in PEAKS)
    over, error = rare["over_offline_ipo"], rare["over_offline_ipo_se"]
    for place, (algorithm, sampling) in enumerate(zip(rare["algorithm"], rare["sampling"], strict=True)):
        if sampling == ON_POLICY:
            checks.append(above(f"R1, {who}: on-policy {algorithm} over offline IPO", 0.0, over[place], error[place]))
        elif algorithm == "best_of_n":
            claim = f"R1, {who}: offline IPO over offline Best-of-N"
            checks.append(above(claim, 0.0, -over[place], error[place]))
    ends = [(rows, rows["reward"].argmax(), rows["reward"].argmin()) for rows in (rare, common)]
    wide, narrow = (rows["reward"][most] - rows["reward"][least] for rows, most, least in ends)
    spread_se = float(np.linalg.norm([rows["reward_se"][[most, least]] for rows, most, least in ends]))
    return [*checks, above(f"{who}: spread of the learners on R1 less that on R2", 0.0, wide - narrow, spread_se)]


def plot(tables: Mapping[str, Table]):
    """What the learners lack at tuned rates, R1 beside R2; held-out reward on R1 against the learning rate."""
    table, bandits = tables["runs"], tables["bandits"]
    made, (first, second, last) = plotting.figure(
        1, 3, width=plotting.PAGE_WIDTH, height=2.9, width_ratios=(1.0, 0.9, 1.3)
    )
    for ax, bandit in zip((first, second), PEAKS, strict=True):
        names = _draw_ends(ax, table.where(bandit=bandit))
        best = 1 - bandits.where(bandit=bandit)["best_of_n"][0]
        plotting.theory(ax, np.array((best, best)), np.array((0.5, 0.5 - len(names))))
        ax.set_yticks(-np.arange(len(names)), names if ax is first else [])
        ax.set(ylim=(0.5 - len(names), 0.5), xlabel=r"shortfall $1-E_\pi R$")
    orders = [np.argsort(table.where(network=network, bandit="R1")["reward"]).tolist() for network in STARTS]
    order = "the same order" if orders[0] == orders[1] else "other orders"
    first.set_title(f"$R_1$, tuned rates: both\nnetworks, {order}")
    second.set_title("$R_2$, tuned rates:\nlittle between them")
    tuning = tables["tuning"].where(bandit="R1")
    _draw_tuning(last, tuning)
    last.set_title("$R_1$: at a given rate it matters how\na network starts at the reference")
    draws = plotting.number(bandits["num_samples"][0])
    opened = [plotting.proxy("network fitted to the reference first", marker="o")]
    opened += [plotting.proxy(r"offset: log $\pi_{\mathrm{ref}}$ + network", marker="o", filled=False)]
    plotting.legend(made, columns=3, theory_label=f"best of {draws} draws of the reference", extra=opened)
    plotting.caption(
        made,
        f"Neural policies (MLP, float32), {table['num_steps'][0]} Adam steps, {table['num_queries'][0]:,} reward "
        f"queries each: means over {table['seeds'][0]} seeds. {plotting.BARS} Left: learning rates tuned on the "
        f"held-out seeds at the right; linear below {plotting.number(_LINEAR)}.{_readings(tuning)}"
        + plotting.only_if(table["rate_at_edge"].sum(), f" Best rate at an end of the grid: {{}} of {len(table)}.")
        + plotting.only_if(table["failed"].sum(), " Runs not finite: {}."),
    )
    return made


# R2's near-ties are of this size.
_LINEAR = 1e-4
# What is drawn against the learning rate.
_TUNED = (("best_of_n", OFFLINE), ("ipo", OFFLINE), ("reinforce", ON_POLICY))


def _draw_ends(ax, rows: Table) -> list[str]:
    """A row for every learner, the fitted network above the offset one; the learners' names."""
    arms = list(dict.fromkeys(zip(rows["algorithm"].tolist(), rows["sampling"].tolist(), strict=True)))
    most = 0.0
    for place, (algorithm, sampling) in enumerate(arms):
        for network, up in ((FITTED, 0.17), (OFFSET, -0.17)):
            one = rows.where(network=network, algorithm=algorithm, sampling=sampling)
            shortfall, bar = 1 - one["reward"], plotting.NUM_ERRORS * one["reward_se"]
            color = plotting.COLORS[algorithm]
            look = {"color": color, "marker": plotting.MARKERS[algorithm], "markersize": 5, "elinewidth": 1.0}
            look |= {"markerfacecolor": "white", "markeredgewidth": 0.9} if network == OFFSET else {}
            # The label of its row names a learner.
            ax.errorbar(shortfall, up - place, xerr=bar, gid="labelled", linestyle="", **look)
            most = max(most, float((shortfall + bar).max()))
    from_zero(ax.xaxis, max(most, 1.0), _LINEAR)
    return [f"{plotting.LABELS[algorithm]}, {sampling}" for algorithm, sampling in arms]


def _draw_tuning(ax, rows: Table) -> None:
    arms = set(zip(rows["algorithm"].tolist(), rows["sampling"].tolist(), strict=True))
    shown = [(*arm, network) for arm in _TUNED if arm in arms for network in STARTS]
    for place, (algorithm, sampling, network) in enumerate(shown):
        one = rows.where(network=network, algorithm=algorithm, sampling=sampling)
        x = np.exp(apart(np.log(one["learning_rate"]), place, len(shown), 0.05))
        label = f"{plotting.LABELS[algorithm]}, {sampling}" if network == FITTED else ""
        line = plotting.mean(ax, x, one["held_out"], one["held_out_se"], algorithm, label=label)
        if network == OFFSET:
            line.set(markerfacecolor="white", markeredgewidth=0.9)
    rates = np.unique(rows["learning_rate"])
    ax.set_xscale("log")
    ax.set_xticks(rates, [plotting.number(rate) for rate in rates])
    ax.minorticks_off()
    ax.set(ylim=(0, 1.04), xlabel="learning rate (arms a little apart)", ylabel=r"held-out reward $E_\pi R$")


def _readings(rows: Table) -> str:
    """What the networks earn at the lowest rate, in words for the caption; nothing where learners are fewer."""
    rate = rows["learning_rate"].min()
    if not set(_TUNED) <= set(zip(rows["algorithm"].tolist(), rows["sampling"].tolist(), strict=True)):
        return ""

    def at(place: int, digits: str) -> str:
        algorithm, sampling = _TUNED[place]
        arm = rows.where(algorithm=algorithm, sampling=sampling, learning_rate=rate)
        return ", ".join(f"{arm.where(network=start)['held_out'][0]:{digits}} {start}" for start in STARTS)

    return f" At {plotting.number(rate)} on-policy REINFORCE ends at {at(2, '.4g')}; offline IPO at {at(1, '.3f')}."


PRESETS = {
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
}
EXPERIMENT = Experiment(claim=CLAIM, presets=PRESETS, run=run, check=check, plot=plot, columns=COLUMNS)
