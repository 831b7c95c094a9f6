"""DPO and HyPO on the same labels, each at its best setting of a grid of equal size, chosen on held-out data sets."""

from dataclasses import dataclass
from functools import partial
from itertools import product

import jax
import numpy as np

import banditlab as bl
from banditlab import plotting, scenarios, trajectories
from banditlab.claims import Check, Experiment, Shards, Table, above, lower, statistics, upper
from banditlab.exact import frontier
from banditlab.store import failures

CLAIM = (
    "Tuned HyPO beats DPO run to the end at J's own beta, but hardly DPO whose beta and steps were tuned over as many "
    "settings; no setting of either passes the exact frontier of gap and KL to the reference."
)
SCENARIOS = {"rare_good": scenarios.rare_good, "rare_bad": scenarios.rare_bad}


@dataclass(frozen=True)
class Config:
    """Two bandits whose rare action is good or bad; two grids of equal size; data sets to tune on, as many to test on.

    beta: of J. betas: of training, in units of J's; 1 is among them. steps: the budgets of DPO; the last is HyPO's.
    The grids were fixed before the first run.
    """

    rare_mass: float = 0.02
    num_common: int = 6
    beta: float = 1.0
    num_pairs: float = 200.0
    betas: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)
    steps: tuple[int, ...] = (10, 30, 100, 300, 1000)
    penalties: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.3)
    num_seeds: int = 256
    seed: int = 0


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """A part per algorithm, one row per scenario and setting; `tuned` marks its least held-out gap."""
    knobs = {"dpo": ("steps", config.steps), "hypo": ("penalty", config.penalties)}
    shards.expect(len(SCENARIOS) * len(knobs))
    rows = {arm: [] for arm in knobs}
    halves = slice(config.num_seeds), slice(config.num_seeds, None)
    for scenario, make in SCENARIOS.items():
        env = make(config.rare_mass, num_common=config.num_common, beta=config.beta).env
        tables = np.asarray(env.reward).ravel(), np.asarray(env.log_reference).ravel()
        found = {}
        for arm in knobs:
            compute = partial(measured, env, arm, config)
            found[arm] = shards.get(f"{scenario}-{arm}", (0, 2 * config.num_seeds), compute)
        held_out, test = ({arm: data["gap"][:, half] for arm, data in found.items()} for half in halves)
        tuned = {arm: int(np.argmin(gaps.mean(axis=1))) for arm, gaps in held_out.items()}
        for arm, (knob, values) in knobs.items():
            kl = found[arm]["kl_reference"][:, halves[1]]
            for place, (beta, value) in enumerate(product(training_betas(config), values)):
                row = {"scenario": scenario, "beta": config.beta, "training_beta": beta, knob: float(value)}
                row |= {"seeds": config.num_seeds, "tuned": int(place == tuned[arm])}
                row |= statistics.mean("gap", test[arm][place]) | statistics.mean("held_out", held_out[arm][place])
                least, leasts = (frontier.least_gap(*tables, x, config.beta) for x in (kl[place].mean(), kl[place]))
                row |= statistics.mean("kl", kl[place]) | {"frontier": float(least)}
                row |= {"over_frontier": float((test[arm][place] - leasts).min())}
                # On the same data sets: sharper than the difference of two means.
                row |= statistics.mean("behind_tuned_hypo", test[arm][place] - test["hypo"][tuned["hypo"]])
                rows[arm].append(row)
    return {arm: Table.from_rows(listed) for arm, listed in rows.items()}


def training_betas(config: Config) -> list[float]:
    return [config.beta * ratio for ratio in config.betas]


def measured(env: bl.Environment, arm: str, config: Config) -> dict[str, np.ndarray]:
    """gap and kl_reference (settings, 2 num_seeds) on the same data sets for every setting."""
    keys = jax.random.split(jax.random.key(config.seed), 2 * config.num_seeds)
    law = bl.preferences.outcome_law(env, bl.samplers.initial(env, env.log_initial))
    wins = np.asarray(jax.vmap(lambda key: bl.preferences.draw_counts(key, law, config.num_pairs))(keys))
    penalties = (0.0,) if arm == "dpo" else config.penalties
    lanes = np.asarray(list(product(training_betas(config), penalties)))
    beta, penalty = np.repeat(lanes, len(wins), axis=0).T
    found = trajectories.paths(
        env, np.tile(wins, (len(lanes), 1, 1, 1)), record_at=config.steps if arm == "dpo" else config.steps[-1:],
        step_size=1 / (beta**2 / 2 + 4 * penalty), penalty=penalty, beta=beta,
        start=env.log_reference.reshape(-1), metrics=("gap", "kl_reference"),
    )  # fmt: skip

    def by_setting(values: np.ndarray) -> np.ndarray:
        return values.reshape(len(lanes), len(wins), -1).swapaxes(1, 2).reshape(-1, len(wins))

    failed = failures({"runs not finite": found["status"] == bl.Status.nonfinite})
    return {name: by_setting(found[name]) for name in ("gap", "kl_reference")} | failed


def check(tables: dict[str, Table]) -> list[Check]:
    """The frontier, and what HyPO gains before and after DPO is tuned."""
    claim = "least gap above the exact frontier's at the same KL, over all settings and data sets"
    why = "rounding of differences of order 1"
    least = min(table["over_frontier"].min() for table in tables.values())
    checks = [lower(claim, 0.0, least, allowance=1e-12, why=why)]
    for scenario in SCENARIOS:
        dpo = tables["dpo"].where(scenario=scenario)
        untuned = dpo.where(training_beta=dpo["beta"][0], steps=dpo["steps"].max())
        hypo = tables["hypo"].where(scenario=scenario, tuned=1)
        claim = f"{scenario}: gap of DPO at J's beta, run to the end, is above that of tuned HyPO"
        error = untuned["gap_se"][0] + hypo["gap_se"][0]
        checks.append(above(claim, hypo["gap"][0], untuned["gap"][0], error, why="of both, added"))
        best = dpo.where(tuned=1)
        claim = f"{scenario}: tuned DPO is behind tuned HyPO by at most a tenth of its gap"
        lag = best["behind_tuned_hypo"][0] / hypo["gap"][0]
        checks.append(upper(claim, 0.1, lag, best["behind_tuned_hypo_se"][0] / hypo["gap"][0]))
    return checks


def plot(tables: dict[str, Table]):
    """Gap against KL to the reference, every setting beside the exact frontier; below, DPO's gap over tuned HyPO's."""
    made, axes = plotting.figure(2, len(SCENARIOS), height=3.7, height_ratios=(3.5, 1), sharey="row")
    for (top, bottom), scenario in zip(axes.T, SCENARIOS, strict=True):
        panel = {arm: table.where(scenario=scenario) for arm, table in tables.items()}
        for arm, rows in panel.items():
            look = {"color": plotting.COLORS[arm], "marker": plotting.MARKERS[arm], "markersize": 2.5}
            top.plot(rows["kl"], rows["gap"], linestyle="", label=plotting.LABELS[arm], **look)
        kl, exact = (np.concatenate([rows[name] for rows in panel.values()]) for name in ("kl", "frontier"))
        order = np.argsort(kl)
        plotting.theory(top, kl[order], exact[order])
        compared = _compared(panel)
        for name, (row, marker) in compared.items():
            ring = {"color": "#000000", "markersize": 7, "markerfacecolor": "none", "markeredgewidth": 0.9}
            top.plot(row["kl"], row["gap"], marker, linestyle="", label=name, zorder=4, **ring)
        _draw_quotients(bottom, *(row for row, _ in compared.values()))
        top.set(xscale="log", yscale="log", xlabel=r"KL$(\pi\|\pi_{\mathrm{ref}})$ [nats]", ylim=(5e-3, None))
        words = f"the rare action\nis {scenario.removeprefix('rare_')}"
        top.annotate(words, (0.04, 0.98), xycoords="axes fraction", va="top", fontsize=7)
    axes[0, 0].set_ylabel(r"mean gap $J(\pi^*)-J(\pi)$ [reward]")
    axes[0, 0].set_title("Untuned DPO is behind tuned HyPO;\ntuned over as many settings it keeps up")
    plotting.legend(made, columns=2, theory_label="exact frontier")
    dpo = tables["dpo"]
    beta, num_seeds = f"{dpo['beta'][0]:g}", dpo["seeds"][0]
    plotting.caption(
        made,
        f"Tabular policies, gradient descent on offline labels, $J$'s $\\beta$ = {beta}. Points: "
        f"{len(dpo) // len(SCENARIOS)} settings each (DPO: training $\\beta$, steps; HyPO: training $\\beta$, "
        f"$\\lambda$), means over {num_seeds:,} data sets. Tuned: the least gap on {num_seeds:,} others. Untuned: "
        f"training $\\beta$ = {beta}, {dpo['steps'].max():,.0f} steps. Below: differences of gaps, data set by data "
        f"set, in percent of HyPO's mean gap. {plotting.BARS} The frontier is the least gap of any policy at that KL.",
    )
    return made


def _draw_quotients(ax, untuned: dict[str, float], tuned: dict[str, float], hypo: dict[str, float]) -> None:
    """How far tuned DPO is behind tuned HyPO, in percent of its gap; untuned DPO in words, beyond the axis."""
    percent = 100 / hypo["gap"]
    behind, bar = (percent * tuned[f"behind_tuned_hypo{end}"] for end in ("", "_se"))
    bar *= plotting.NUM_ERRORS
    look = {"fmt": plotting.MARKERS["dpo"], "color": plotting.COLORS["dpo"], "gid": "labelled"}
    ax.errorbar(behind, 0, xerr=bar, **look)
    ax.axvline(0, color="#888888", linewidth=0.8, zorder=1, gid="labelled")
    words = rf"untuned: {percent * untuned['behind_tuned_hypo']:,.0f}% $\to$"
    ax.annotate(words, (0.98, 0.9), xycoords="axes fraction", ha="right", va="top", fontsize=7)
    ax.set(xlabel="gap over HyPO's [%]", ylim=(-0.6, 1.0), yticks=())
    ax.set_xlim(*1.3 * (abs(behind) + bar) * np.array([-1, 1]))


def _compared(panel: dict[str, Table]) -> dict[str, tuple[dict[str, float], str]]:
    """Name, row and marker of what the checks compare."""
    dpo = panel["dpo"]
    untuned = dpo.where(training_beta=dpo["beta"][0], steps=dpo["steps"].max())
    return {
        "DPO, untuned": (_first(untuned), "s"),
        "DPO, tuned": (_first(dpo.where(tuned=1)), plotting.MARKERS["dpo"]),
        "HyPO, tuned": (_first(panel["hypo"].where(tuned=1)), plotting.MARKERS["hypo"]),
    }


def _first(rows: Table) -> dict[str, float]:
    return {name: rows[name][0] for name in ("kl", "gap", "behind_tuned_hypo", "behind_tuned_hypo_se")}


COLUMNS = {
    "*": {
        "scenario": "bandit, named by what its rare action is",
        "beta": "temperature of the KL term of J [reward]",
        "training_beta": "temperature of the training loss [reward]",
        "seeds": "data sets that the row's means are over, none of them tuned on [data sets]",
        "tuned": "1 for the setting of least held-out gap of its scenario and algorithm, 0 for the others",
        "gap": "J(pi*) - J(pi) at the end of training, mean over the test data sets [reward]",
        "held_out": "the same gap, mean over the data sets that the setting is chosen on [reward]",
        "kl": "KL(pi||pi_ref) at the end of training, mean over the test data sets [nats]",
        "frontier": "least gap of any policy whose KL(pi||pi_ref) is the mean one, exact [reward]",
        "over_frontier": "gap minus the exact frontier at the run's own KL, least over the test data sets [reward]",
        "behind_tuned_hypo": "gap minus that of tuned HyPO on the same data set, mean over the test ones [reward]",
    },
    "dpo": {"steps": "gradient steps before training stops [steps]"},
    "hypo": {"penalty": "lambda, the weight of KL(pi||pi_ref) beside the mean loss of the labels"},
}

EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(betas=(1.0, 2.0), steps=(10, 100), penalties=(0.01, 0.1), num_seeds=32),
        "default": Config(),
        "paper": Config(num_seeds=2560),
    },
    run=run,
    check=check,
    plot=plot,
    columns=COLUMNS,
)
