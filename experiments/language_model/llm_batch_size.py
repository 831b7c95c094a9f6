"""The batch threshold of a small language model: labels a round swept, gradient steps a round held fixed."""

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from banditlab import plotting
from banditlab.claims import Check, Experiment, Shards, Table
from experiments.language_model.shared import curves, references
from experiments.language_model.shared.curve_figure import LABELS, REFERENCE, behind, curve, look_of
from experiments.language_model.shared.references import Setup
from experiments.language_model.shared.training_runs import Bench, Cell

CLAIM = (
    "Whether on-policy labels pay depends on the batch: at the rate that is best for the largest batches both arms end "
    "above the reference's gap with the smallest; at tuned rates on-policy's advantage is there with the largest, and "
    "where these have 2048 labels it is larger than with a quarter of them."
)
OFFLINE, ON_POLICY = "offline", "on_policy"
ARMS = {OFFLINE: "offline_dpo", ON_POLICY: "on_policy_dpo"}
SHARED, TUNED = "rate of the largest batch", "tuned"
MEASURED = ("gap", "kl_target", "kl_reference", "win_rate")


@dataclass(frozen=True)
class Config:
    """Rounds of n labels, each passed largest/n times in batches: equal steps for every n, equal labels for both arms.

    Measured at the rate that is best for the arm with the most labels a round, and at each point's own best, both on
    held-out seeds.
    """

    setup: Setup = field(default_factory=Setup)
    num_pairs: tuple[int, ...] = (64, 256, 1024)
    batch_size: int = 64
    num_rounds: int = 8
    rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
    num_seeds: int = 5
    tuning_seeds: int = 2


def cell(config: Config, arm: str, size: int, rate: float) -> Cell:
    """The arm's runs with this many labels a round."""
    epochs = max(config.num_pairs) // size
    return Cell(config.setup, ARMS[arm], (), size, epochs, config.batch_size, config.num_rounds, rate)


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """The parts "rates", of every size and arm; "ends", after the last round, by the largest size's and own rate."""
    shards.expect(1)
    data = shards.get("all", (0, config.num_seeds), partial(train, config, shards))
    rates, ends = [], []
    for i, size in enumerate(config.num_pairs):
        for j, arm in enumerate(ARMS):
            point = {"num_pairs": size, "arm": arm}
            rates += [point | row for row in curves.rate_rows(config.rates, data["tried"][i, j])]
            for k, rule in enumerate((SHARED, TUNED)):
                row = point | {"rule": rule, "learning_rate": config.rates[_places(data["tried"])[i, j, k]]}
                row |= {"num_labels": size * config.num_rounds, "seeds": config.num_seeds}
                found = {"reference_gap": data["start"]}
                for name in MEASURED:
                    found |= {name: data[name][i, j, k], f"{name}_over": data[name][i, j, k] - data[name][i, 0, k]}
                found["gap_over_reference"] = found["gap"] - data["start"]
                ends.append(row | curves.means(found))
    return {"rates": Table.from_rows(rates), "ends": Table.from_rows(ends)}


def train(config: Config, shards: Shards) -> dict[str, np.ndarray]:
    """Last MEASURED (sizes, arms, rules, seeds); "tried" (sizes, arms, rates, held-out seeds), last gaps; "start"."""
    bench = Bench(shards)
    arms = [(size, arm) for size in config.num_pairs for arm in ARMS]
    shape = (len(config.num_pairs), len(ARMS))
    grid = [cell(config, arm, size, rate) for size, arm in arms for rate in config.rates]
    tried = bench.held_out(grid, config.tuning_seeds).reshape(*shape, len(config.rates), -1)
    places = _places(tried).reshape(-1, 2)
    pairs = zip(arms, places, strict=True)
    wanted = [cell(config, arm, size, config.rates[k]) for (size, arm), pair in pairs for k in pair]
    runs = bench.histories(wanted, config.num_seeds)
    data = {name: np.stack([run[name][:, -1] for run in runs]).reshape(*shape, 2, -1) for name in MEASURED}
    evaluators = [bench.lab(config.setup).of(seed)[1] for seed in range(config.num_seeds)]
    return data | {"tried": tried, "start": curves.reference_metric(evaluators, "gap")}


def _places(tried: np.ndarray) -> np.ndarray:
    """(sizes, arms, 2) places in the grid of the best on held-out seeds: for the arm's last size, and for each."""
    best = tried.mean(axis=-1).argmin(axis=-1)
    return np.stack([np.broadcast_to(best[-1], best.shape), best], axis=-1)


def check(parts: curves.Parts) -> list[Check]:
    """What one rate does with the fewest and the most labels a round, and where on-policy labels pay."""
    table = parts["ends"]
    sizes = np.unique(table["num_pairs"])
    shared, tuned = table.where(rule=SHARED), table.where(rule=TUNED)
    few, many = (shared.where(num_pairs=size) for size in (sizes[0], sizes[-1]))
    checks = []
    for compare, rows in ((curves.more, few), (curves.less, many)):
        for arm in ARMS:
            row = rows.where(arm=arm)
            words = f"rate {row['learning_rate'][0]:g}, {row['num_pairs'][0]} labels a round"
            checks.append(compare(f"{words}: {arm} less the reference, gap", row, "gap_over_reference"))
    gain = tuned.where(arm=ON_POLICY, num_pairs=sizes[-1])
    words = f"rates tuned, {sizes[-1]} labels a round"
    checks.append(curves.less(f"{words}: on-policy less offline, gap", gain, "gap_over"))
    if sizes[-1] >= curves.TELLING:
        quarter = sizes[sizes <= sizes[-1] / 4].max()
        claim = f"rates tuned: on-policy less offline, gap, {quarter} labels a round less {sizes[-1]}"
        checks.append(curves.apart(claim, tuned.where(arm=ON_POLICY, num_pairs=quarter), gain, "gap_over"))
    return checks


def plot(parts: curves.Parts):
    """Final gap against labels a round: at the rates of the largest batch, and at rates tuned for each point."""
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    table = parts["ends"]
    made, axes = plotting.figure(1, 2, height=2.5, sharex=True, sharey=True)
    sizes = np.unique(table["num_pairs"])
    for ax, rule in zip(axes, (SHARED, TUNED), strict=True):
        for arm in ARMS:
            one = table.where(arm=arm, rule=rule)
            curve(ax, one["num_pairs"], one, "gap", look_of(arm))
        ax.axhline(table["reference_gap"][0], **REFERENCE)
        ax.set_xscale("log", base=2)
        ax.set_xticks(sizes, [str(size) for size in sizes], rotation=45 if len(sizes) > 3 else 0)
        ax.minorticks_off()
        ax.set_xlabel("labels a round, $n$")
    low, high = axes[0].get_ylim()
    ticks = [value for value in (0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0) if low < value < high]
    axes[0].set(yscale="log", ylabel=LABELS["gap"].replace("gap", "last gap"))
    axes[0].set_yticks(ticks)
    axes[0].yaxis.set(major_formatter=ScalarFormatter(), minor_formatter=NullFormatter())
    shared = table.where(rule=SHARED, num_pairs=sizes[0])
    rate = ", ".join(f"{rate:g}" for rate in np.unique(table.where(rule=SHARED)["learning_rate"]))
    worse = (shared["gap_over_reference"] > plotting.NUM_ERRORS * shared["gap_over_reference_se"]).all()
    axes[0].set_title(f"Learning rate {rate}:\n{'small batches overfit' if worse else ''}".rstrip(":\n"))
    few, many = (table.where(rule=TUNED, num_pairs=size) for size in (sizes[0], sizes[-1]))
    falls = all(behind(few.where(arm=arm), many.where(arm=arm), "gap") for arm in ARMS)
    axes[1].set_title("Each $n$'s own rate:\nthe gap falls with $n$" if falls else "Each $n$'s own rate")
    plotting.legend(made, columns=3)
    tried = ", ".join(f"{rate:g}" for rate in np.unique(parts["rates"]["learning_rate"]))
    plotting.caption(
        made,
        f"DPO, small decoder, habit-target task: {table['num_labels'][0] // table['num_pairs'][0]} rounds of $n$ "
        f"labels with the same number of gradient steps (small batches are passed more often). Means of "
        f"{table['seeds'][0]} seeds. {plotting.BARS} Left: the best rate of $n$ = {sizes[-1]}; rates of {tried}, "
        "chosen on held-out seeds.",
    )
    return made


ENDS = {
    "rule": "whose best rate is used: that of the arm's largest rounds, and the point's own",
    "learning_rate": "learning rate that the rule chose",
    "reference_gap": "J(pi*) - J(pi_ref) of target pi* and reference pi_ref, J the objective [reward]",
    "gap_over_reference": "gap less that of the seed's reference [reward]",
}

EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(references.SMOKE, (32, 64), 32, 2, (3e-3, 1e-2), 3, 2),
        "default": Config(),
        "paper": Config(references.FRESH, num_pairs=(128, 256, 512, 1024, 2048), batch_size=128, tuning_seeds=5),
    },
    run=run,
    check=check,
    plot=plot,
    columns={
        "rates": curves.RATES,
        "ends": curves.meanings(MEASURED) | curves.less_than("the offline arm by the same rule", MEASURED) | ENDS,
    },
)
