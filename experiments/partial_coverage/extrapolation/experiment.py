"""Linear features carry what is learned on the seen actions to unseen ones: exactly iff the differences span."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from banditlab.claims import Experiment, Shards, Table, statistics
from banditlab.exact.unseen_action import error_constant, log_ratios
from experiments.partial_coverage.extrapolation import runs
from experiments.partial_coverage.extrapolation.checks import check
from experiments.partial_coverage.extrapolation.figure import plot
from experiments.partial_coverage.extrapolation.runs import ACTIONS, ARMS, SPANNED, UNSEEN, UNSPANNED, sweep

CLAIM = (
    "With linear features DPO and RLHF find every unseen reward iff the seen differences span; the best unseen action "
    "then rises while the preferred seen one falls, iff its r < beta log E_ref e^{r/beta}. Else they find P theta*."
)
COLUMNS = {
    "*": {
        "position": "feature u of the unseen action; those of the seen ones are 0, 1",
        "angle": "angle of the unseen action's feature to the seen difference [degrees]",
        "action": "the loser and the preferred action are compared, the unseen one never is",
        "truth": "log pi*/pi_ref of the action [nats]",
        "predicted": "log pi/pi_ref of the action at P theta*, P the projection on the seen differences [nats]",
        "dpo": "log pi/pi_ref of the action after DPO [nats]",
        "rlhf": "log pi/pi_ref of the action after RLHF [nats]",
    },
    "labels": {"predicted": "log pi*/pi_ref of the action [nats]"},
    "many_labels": {
        "constant": "labels times the mean squared error of log pi(unseen) as labels grow, closed form [labels]",
        "dpo_ratio": "labels times DPO's mean squared error of log pi(unseen), over `constant`",
        "rlhf_ratio": "labels times RLHF's mean squared error of log pi(unseen), over `constant`",
    },
    "ensemble": {
        "seen": "actions that labels compare [actions]",
        "bandits": "random bandits [bandits]",
        "least_lost": "smallest ||P theta* - theta*|| of a bandit",
        "most_lost": "largest ||P theta* - theta*|| of a bandit",
        "error": "largest ||theta_hat - theta*|| of a bandit, theta_hat by RLHF on the population's labels",
        "off": "largest ||theta_hat - P theta*|| of a bandit, a residual of the optimiser",
    },
}


@dataclass(frozen=True)
class Config:
    """The unseen action's feature in the sweeps, labels, and an ensemble of random bandits.

    Spanned: phi = 0, 1, u with theta* = target/beta. Unspanned: phi = (0,0), (1,0), length (cos a, sin a) with theta*
    = (1, 1) target/beta. n times the squared error of log pi(unseen) is chi-squared of one degree of freedom in
    the limit: with `large_seeds` eight of its standard errors are below 5%.
    """

    reference: tuple[float, ...] = (0.45, 0.45, 0.1)
    target: float = 1.0
    beta: float = 0.5
    positions: tuple[float, ...] = tuple(np.linspace(-1.0, 4.0, 21).tolist())
    angles: tuple[float, ...] = tuple(np.linspace(-90.0, 90.0, 25).tolist())
    length: float = 1.5
    labels: float = 300
    num_seeds: int = 1024
    position: float = 2.0
    large: float = 1e8
    large_seeds: int = 53248
    steps: int = 2000
    num_actions: int = 7
    num_features: int = 4
    num_bandits: int = 256
    seed: int = 0


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """log pi/pi_ref per sweep, setting, arm and action; errors of sampled labels; errors of the ensemble."""
    shards.expect(4)
    reference = np.asarray(config.reference)
    population = shards.get("population", (0, 1), partial(runs.population, config))
    few, many = (
        shards.get(arm, (0, seeds), partial(runs.sampled, config, positions, labels, seeds))
        for arm, positions, labels, seeds in (
            ("labels", config.positions, config.labels, config.num_seeds),
            ("many labels", (config.position,), config.large, config.large_seeds),
        )
    )
    drawn = []
    for place, position in enumerate(config.positions):
        truth = log_ratios(*sweep(config, SPANNED, position), reference)
        for action, name in enumerate(ACTIONS):
            row = {"position": position, "action": name, "labels": float(config.labels)}
            row |= {"seeds": float(config.num_seeds), "predicted": truth[action]}
            for arm in ARMS:
                row |= statistics.quantiles(arm, few[arm][place, :, action])
            drawn.append(row)
    truth = log_ratios(*sweep(config, SPANNED, config.position), reference)
    constant = error_constant(config.position, config.target, config.beta, reference)
    scaled = {"position": config.position, "labels": config.large, "seeds": float(config.large_seeds)}
    scaled |= {"constant": constant}
    for arm in ARMS:
        scaled[f"{arm}_ratio"] = (config.large * (many[arm][0, :, UNSEEN] - truth[UNSEEN]) ** 2 / constant).mean()
    data, split = shards.get("ensemble", (0, config.num_bandits), partial(runs.ensemble, config)), len(config.positions)
    ensemble = {"seen": data["seen"].astype(float), "bandits": float(config.num_bandits)}
    ensemble |= {"least_lost": data["lost"].min(axis=1), "most_lost": data["lost"].max(axis=1)}
    return {
        SPANNED: _sweep(config, SPANNED, {arm: population[arm][:split] for arm in ARMS}),
        UNSPANNED: _sweep(config, UNSPANNED, {arm: population[arm][split:] for arm in ARMS}),
        "labels": Table.from_rows(drawn),
        "many_labels": Table.from_rows([scaled]),
        "ensemble": Table(ensemble | {name: data[name].max(axis=1) for name in ("error", "off")}),
    }


def _sweep(config: Config, kind: str, learned: dict[str, np.ndarray]) -> Table:
    name, values = ("position", config.positions) if kind == SPANNED else ("angle", config.angles)
    settings = [sweep(config, kind, value) for value in values]
    columns = {name: np.repeat(values, len(ACTIONS)), "action": np.tile(ACTIONS, len(values))}
    if kind == UNSPANNED:  # P projects on the seen axis
        columns["truth"] = np.ravel([log_ratios(*setting, np.asarray(config.reference)) for setting in settings])
        settings = [(features, target * np.array([1.0, 0.0])) for features, target in settings]
    columns["predicted"] = np.ravel([log_ratios(*setting, np.asarray(config.reference)) for setting in settings])
    return Table(columns | {arm: changes.ravel() for arm, changes in learned.items()})


PRESETS = {
    "smoke": Config(
        positions=(-1.0, 2.0), angles=(-45.0, 45.0), num_seeds=64, large_seeds=128, num_bandits=8, num_actions=6
    ),
    "default": Config(),
    "paper": Config(num_seeds=10240, large_seeds=532480, num_bandits=4096),
}
EXPERIMENT = Experiment(claim=CLAIM, presets=PRESETS, run=run, check=check, plot=plot, columns=COLUMNS)
