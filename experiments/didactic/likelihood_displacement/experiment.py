"""Likelihood displacement: log-likelihoods of chosen and rejected along offline DPO, IPO and Pref-FT."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from banditlab.claims import Experiment, Shards, Table
from banditlab.claims.statistics import mean, quantiles
from banditlab.didactic.pair_steps import gradient_steps
from banditlab.didactic.settings import Settings
from banditlab.exact import pair_steps
from experiments.didactic.likelihood_displacement import runs
from experiments.didactic.likelihood_displacement.checks import check
from experiments.didactic.likelihood_displacement.figure import plot
from experiments.didactic.likelihood_displacement.runs import ALGORITHMS, NEGATIVE, SIDES

CLAIM = (
    "A step on one pair raises log pi(chosen) by c (1 - pi_w + pi_l) and moves all other actions by -c (pi_w - pi_l): "
    "with a single winner and small steps the chosen never fall under DPO and IPO; with many pairs they rise, and end "
    "below the start once pi's mass on net winners exceeds their share of wins; under maximum likelihood of winners "
    "never. Where the rate earns most the chosen fall further, and the reward grows all the same."
)
COLUMNS = {
    "*": {
        "algorithm": "loss that is minimised",
        "prompts": "prompts of a data set [prompts]",
        "samples": "reference draws of a prompt, all pairs of which are labelled [draws]",
        "rate": "learning rate of Adam; in tuned, pref_ft the one with the largest reward on held-out data sets",
        "step": "steps of Adam done [steps]",
        "data_sets": "data sets with a pair, those that means are over [data sets]",
        "chosen": "change of log pi since the start, mean over winners of a data set and data sets [nats]",
        "rejected": "change of log pi since the start, mean over losers of a data set and data sets [nats]",
    },
    "step": {
        "side": "action whose log pi moves: chosen, rejected, any other",
        "size": "step size of plain gradient descent on one pair",
        "change": "size of the change of log pi, mean over random policies [nats]",
        "predicted": "size of the change in closed form, mean over random policies [nats]",
        "directed": "change of log pi in the direction of its first order, mean over random policies [nats]",
        "first_order": "size of the first-order change in closed form, mean over random policies [nats]",
        "remainder": "largest distance of a change from its first order, over c^2/2, c half the step times the "
        "range of the gradient over actions",
        "error": "largest rounding-level error of a change against the exact one [nats]",
    },
    "tuning": {
        "reward": "expected reward E_pi R at the end, mean over held-out data sets [reward]",
        "chosen": "change of log pi to the end, mean over winners of a data set and held-out data sets [nats]",
    },
    "tuned": {"gain": "change of the expected reward E_pi R since the start, mean over data sets [reward]"},
    "pref_ft": {"falls": "share of data sets whose chosen are less likely than at the start"},
    "path": {
        "chosen_falls": "share of data sets whose chosen are less likely than at the start",
        "rejected_falls": "share of data sets whose rejected are less likely than at the start",
        "margin": "change of log pi of the chosen less that of the rejected, mean over data sets [nats]",
        "reward": "expected reward E_pi R, mean over data sets [reward]",
        "unseen_mass": "pi's mass on actions in no pair, mean over data sets",
        "net_mass": "pi's mass on actions that win more pairs than they lose, mean over data sets",
        "net_share": "share of the pairs that such actions win, mean over data sets",
        "sign_path": "change of log pi of the chosen if steps move logits by rate times sign(wins - losses) [nats]",
    },
    "closed": {
        "peak": "action with the largest reward",
        "start": "log pi of the chosen at the start, mean over data sets [nats]",
        "predicted_start": "log pi_ref of the chosen by the counted data sets, mean over data sets [nats]",
        "start_error": "largest rounding-level error of the start [nats]",
        "first_step": "change of log pi of the chosen in Adam's first step, mean over data sets [nats]",
        "predicted_first_step": "that change in closed form, mean over data sets [nats]",
        "first_step_error": "largest rounding-level error of the first step [nats]",
        "first_step_bound": "what rounding of pulls that cancel allows of that error [nats]",
        "first_order_error": "largest distance of the first step from its first order [rate^2/2]",
        "end": "log pi of the chosen at the end, mean over data sets [nats]",
        "minus_entropy": "largest log pi of the chosen that there is, minus the entropy of winners, mean [nats]",
        "entropy_excess": "largest log pi of the chosen less minus the entropy, over data sets and records [nats]",
        "one_winner": "data sets with a single winner [data sets]",
        "one_winner_falls": "data sets with a single winner whose likelihood falls between records [data sets]",
    },
    "data_set": {
        "winners": "different actions that win a pair of the data set [actions]",
        "change": "change of log pi of the chosen to the end at the small rate, of one data set [nats]",
    },
    "single_pair": {
        "end": "log pi of the chosen at the end, data sets of a single pair, mean over them [nats]",
        "predicted": "that number from the margin's change alone [nats]",
        "error": "largest rounding-level error of a record against it [nats]",
    },
}


@dataclass(frozen=True)
class Config:
    """Prompts and samples of a data set; one temperature and target; records at powers of two.

    Paths are run at a small rate, so that they are the losses' own, and at the best of `rates` (the grid of
    on_policyness) on tuning_seeds other data sets. As many runs tune as measure, up to a block: one program.
    """

    cells: tuple[tuple[int, int], ...] = ((1, 2), (100, 2), (1, 10), (10, 10))
    peak: float = 70.0
    num_steps: int = 256
    small_rate: float = 0.03
    rates: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0)
    beta: float = 0.1
    ipo_target: float = 10.0
    num_seeds: int = 128
    tuning_seeds: int = 25
    num_random: int = 256
    step_sizes: tuple[float, ...] = (0.5, 0.02, 0.01)
    seed: int = 0

    @property
    def record_at(self) -> tuple[int, ...]:
        """0 and the powers of two."""
        return (0, *(2**k for k in range(self.num_steps.bit_length())))


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """Single steps from random policies; every algorithm on every kind of data set, at every record and rate."""
    shards.expect(len(ALGORITHMS) * len(config.cells))
    names = ("step", "tuning", "tuned", "pref_ft", "path", "closed", "data_set", "single_pair")
    parts = {name: [] for name in names} | {"step": _single_steps(config)}
    for algorithm in ALGORITHMS:
        for cell in config.cells:
            name = f"{algorithm}, {cell[0]} prompts of {cell[1]}"
            data = shards.get(name, (0, config.num_seeds), partial(runs.train, config, algorithm, *cell))
            kept = data["pairs"] > 0
            held_out = {name: data.pop(f"held_out_{name}") for name in ("reward", "chosen")}
            best = float(data["rate"])
            data = {name: values[kept] for name, values in data.items() if values.ndim}
            arm = {"algorithm": algorithm, "prompts": float(cell[0]), "samples": float(cell[1])}
            for place, rate in enumerate(config.rates):
                ends = mean("reward", held_out["reward"][place]) | mean("chosen", held_out["chosen"][place])
                parts["tuning"].append(arm | {"rate": rate} | ends)
            tuned = list(_tuned(config, data, best))
            parts["tuned"] += [arm | row for row, _ in tuned]
            if algorithm == "pref_ft":  # elsewhere large rates make the share one of roundings
                parts["pref_ft"] += [arm | falls for _, falls in tuned]
            small = arm | {"rate": config.small_rate, "data_sets": float(kept.sum())}
            parts["path"] += [small | row for row in _path(config, data)]
            parts["closed"].append(small | _closed(config, algorithm, data))
            if algorithm in NEGATIVE:
                changes = zip(data["num_winners"].tolist(), data["chosen"][:, -1] - data["chosen"][:, 0], strict=True)
                parts["data_set"] += [arm | {"winners": float(count), "change": change} for count, change in changes]
            if cell == (1, 2) and algorithm in NEGATIVE:
                parts["single_pair"].append({"algorithm": algorithm} | _single_pair(data))
    return {part: Table.from_rows(rows) for part, rows in parts.items() if rows}


def _single_steps(config: Config) -> list[dict]:
    """Largest errors of the exact and of the first-order change, over random policies and pairs."""
    tables = pair_steps.random_pairs(config.seed, config.num_random, 12)
    winner, loser, ratio = pair_steps.pair_laws(tables)
    settings = Settings(beta=config.beta, ipo_target=config.ipo_target)
    rows = []
    for algorithm in NEGATIVE:
        for step_size in config.step_sizes:
            size = step_size * (10.0 if algorithm == "dpo" else 0.1)  # both pulls about one at the largest step
            pull = size * pair_steps.pair_pull(algorithm, ratio, config.beta, config.ipo_target)
            moves = pair_steps.pair_move(pull, winner, loser)
            measured = gradient_steps(algorithm, tables, settings, size)
            for side in SIDES:
                move, change, first = moves[side], measured[side], moves[side]["first_order"]
                row = {"algorithm": algorithm, "side": side, "size": size, "change": np.abs(change).mean()}
                row |= {"predicted": np.abs(move["exact"]).mean(), "directed": (np.sign(first) * change).mean()}
                row |= {"first_order": np.abs(first).mean()}
                row |= {"remainder": (np.abs(change - first) / move["bound"]).max()}
                rows.append(row | {"error": np.abs(change - move["exact"]).max()})
    return rows


def _path(config: Config, data: dict[str, np.ndarray]) -> Iterator[dict]:
    """Every record at the small rate: changes of log-likelihoods with their bands, reward, masses."""
    for place, step in enumerate(config.record_at):
        chosen, rejected = (data[side][:, place] - data[side][:, 0] for side in ("chosen", "rejected"))
        row = {"step": float(step)}
        for side, change in (("chosen", chosen), ("rejected", rejected)):
            levels = {key: level for key, level in quantiles(side, change).items() if not key.endswith("_se")}
            row |= mean(side, change) | levels | {f"{side}_falls": float((change < -1e-12).mean())}
        row |= mean("margin", chosen - rejected)
        for name in ("reward", "unseen_mass", "net_mass", "net_share", "sign_path"):
            row |= mean(name, data[name][:, place])
        yield row


def _closed(config: Config, algorithm: str, data: dict[str, np.ndarray]) -> dict:
    """Start, first step and end of the chosen against the closed forms, and how often a single winner falls."""
    chosen = data["chosen"]
    row = {"peak": config.peak, "start": chosen[:, 0].mean(), "predicted_start": data["start"].mean()}
    row |= {"start_error": np.abs(chosen[:, 0] - data["start"]).max()}
    moved, predicted = chosen[:, 1] - chosen[:, 0], data["first_exact"] - data["start"]
    row |= {"first_step": moved.mean(), "predicted_first_step": predicted.mean()}
    row |= {"first_step_error": np.abs(moved - predicted).max()}
    scale = pair_steps.reference_pull(algorithm, config.beta, config.ipo_target)
    row |= {"first_step_bound": pair_steps.adam_rounding(config.small_rate, scale)}
    row |= {"first_order_error": np.abs(chosen[:, 1] - data["first_order"]).max() / (config.small_rate**2 / 2)}
    row |= {"end": chosen[:, -1].mean(), "minus_entropy": data["entropy_bound"].mean()}
    row |= {"entropy_excess": (chosen - data["entropy_bound"][:, None]).max()}
    one, falls = data["num_winners"] == 1, (np.diff(chosen, axis=1) < -1e-12).any(axis=1)
    return row | {"one_winner": float(one.sum()), "one_winner_falls": float((falls & one).sum())}


def _tuned(config: Config, data: dict[str, np.ndarray], rate: float) -> Iterator[tuple[dict, dict]]:
    """Every record at the best rate: changes of log-likelihoods and reward; share of seeds whose chosen are lower."""
    for place, step in enumerate(config.record_at):
        at = {"rate": rate, "step": float(step)}
        changes = {side: data[f"best_{side}"] for side in ("chosen", "rejected", "reward")}
        changes = {side: values[:, place] - values[:, 0] for side, values in changes.items()}
        row = at | mean("chosen", changes["chosen"]) | mean("rejected", changes["rejected"])
        yield row | mean("gain", changes["reward"]), at | {"falls": float((changes["chosen"] < -1e-12).mean())}


def _single_pair(data: dict[str, np.ndarray]) -> dict:
    """With one pair the margin's change fixes both."""
    moved = data["chosen"] - data["rejected"] - data["gap"][:, None]
    predicted = pair_steps.chosen_of_margin(data["start"], moved, data["single"])
    ends = {"end": data["chosen"][:, -1].mean(), "predicted": predicted[:, -1].mean()}
    return ends | {"error": np.abs(predicted - data["chosen"]).max()}


PRESETS = {
    "smoke": Config(cells=((1, 2), (100, 2)), num_seeds=32, num_random=32),
    "default": Config(),
    "paper": Config(num_seeds=2048, cells=tuple((p, n) for n in (2, 10) for p in (1, 8, 32, 128))),
}
EXPERIMENT = Experiment(claim=CLAIM, presets=PRESETS, run=run, check=check, plot=plot, columns=COLUMNS)
