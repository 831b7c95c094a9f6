"""Tables of training runs at tuned rates: their rows, what columns mean, and checks that hold for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from banditlab.claims import Check, Table, above, identity, statistics, upper
from banditlab.exact import best_of_n
from experiments.didactic.shared.tuned_training import PEAKS, Study, bandits

# Exact to four decimals: the mean reward of the reference, and that of the best of ten of its draws.
STATED = {"R1": (0.0390, 0.3135), "R2": (0.3772, 0.9401)}
# What the parts of `tables` hold beside an experiment's own columns.
COLUMNS = {
    "*": {"bandit": "R1, whose peak is rare under the reference, and R2, whose peak is common"},
    "runs": {
        "num_steps": "gradient steps of Adam in all [steps]",
        "num_queries": "draws whose reward is asked for in all [draws]",
        "start_kl": "KL(pi||pi_ref) before training, largest over seeds, rounded up to six decimals [nats]",
        "start": "E_pi R before training, mean over seeds [reward]",
        "reward": "E_pi R after training, mean over seeds [reward]",
        "kl": "KL(pi||pi_ref) after training, mean over seeds [nats]",
        "above_frontier": "runs above the exact reward-KL frontier by more than rounding of sums over actions [runs]",
        "learning_rate": "of Adam; the best of the grid on held-out seeds",
        "rate_at_edge": "1 where that rate is at an end of the grid, else 0",
        "failed": "runs that stopped before a step that was not finite [runs]",
    },
    "bandits": {
        "num_samples": "draws of the reference that the best is taken of [draws]",
        "reference_reward": "E R under the reference, exact [reward]",
        "best_of_n": "E R of the best of num_samples draws of the reference, exact [reward]",
        "best_of_n_sd": "standard deviation of R of the best of num_samples draws, exact [reward]",
    },
    "tuning": {
        "learning_rate": "of Adam, from the grid",
        "held_out": "E_pi R after training at that rate, mean over held-out seeds [reward]",
    },
}


class Cell(NamedTuple):
    """One way to train.

    Attributes:
        keys, facts: its first columns, in every part that has a row for it, and in "runs" alone.
        found: the arrays of `tuned`.
        differences: name -> (2, K) differences of rewards, whose means over seeds are the last columns.
    """

    keys: Mapping[str, str | int]
    facts: Mapping[str, float]
    found: Mapping[str, np.ndarray]
    differences: Mapping[str, np.ndarray]


def tables(study: Study, num_samples: int, cells: Sequence[Cell]) -> dict[str, Table]:
    """A row per cell and bandit, a row per bandit, and a row per cell, bandit and rate of the grid."""
    lanes = [(cell, place, {**cell.keys, "bandit": bandit}) for cell in cells for place, bandit in enumerate(PEAKS)]
    tuning = [
        {**keys, "learning_rate": rate, **statistics.mean("held_out", rewards)}
        for cell, place, keys in lanes
        for rate, rewards in zip(study.rates, cell.found["held_out"][place], strict=True)
    ]
    runs = [keys | _row(study, cell, place) for cell, place, keys in lanes]
    return {"runs": Table.from_rows(runs), "bandits": exact(num_samples), "tuning": Table.from_rows(tuning)}


def _row(study: Study, cell: Cell, place: int) -> dict[str, float]:
    found = {name: values[place] for name, values in cell.found.items()}
    rate, largest = float(found["rate"]), found["start_kl"].max()
    row = {**cell.facts, "seeds": study.num_seeds}
    row["start_kl"] = float(np.ceil(largest * 1e6) / 1e6) if largest > 1e-12 else 0.0
    row |= statistics.mean("start", found["start"])
    row |= statistics.mean("reward", found["reward"]) | statistics.quantiles("reward", found["reward"])
    row |= statistics.mean("kl", found["kl"])
    # Single precision, or rounding of sums over the actions.
    row["above_frontier"] = int((found["excess"] > 100 * float(np.finfo(study.policy.dtype).eps)).sum())
    row |= {"learning_rate": rate, "rate_at_edge": int(rate in (study.rates[0], study.rates[-1]))}
    row["failed"] = int(found["failed"].sum())
    for name, values in cell.differences.items():
        row |= statistics.mean(name, values[place])
    return row


def exact(num_samples: int) -> Table:
    """E_ref R, and mean and standard deviation of the best of the draws, of every bandit."""
    rows = []
    for bandit, reward, log_reference in zip(PEAKS, *map(np.asarray, bandits()), strict=True):
        law = best_of_n.law(reward, np.exp(log_reference), num_samples)
        mean = float(law @ reward)
        row = {"bandit": bandit, "num_samples": num_samples, "reference_reward": float(np.exp(log_reference) @ reward)}
        rows.append(row | {"best_of_n": mean, "best_of_n_sd": float(np.sqrt(law @ (reward - mean) ** 2))})
    return Table.from_rows(rows)


def described(keys: Mapping[str, str], runs: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """COLUMNS with an experiment's own: keys of every part, and columns of "runs"."""
    return COLUMNS | {"*": {**COLUMNS["*"], **keys}, "runs": {**COLUMNS["runs"], **runs}}


def sound_checks(runs: Table, bandits: Table) -> list[Check]:
    """No run broke off or passed the frontier; policies start at the stated E_ref R; the best of ten is as stated."""
    checks = [upper("runs with a step that was not finite", 0.0, runs["failed"].sum())]
    claim = "runs above the exact reward-KL frontier by more than rounding of sums over the actions"
    checks.append(upper(claim, 0.0, runs["above_frontier"].sum()))
    for bandit, (reference, best) in STATED.items():
        rows, exact_row = runs.where(bandit=bandit), bandits.where(bandit=bandit)
        # The policies that start nearest to the reference: a fitted network is 1e-5 nats away.
        rows = rows.kept(rows["start_kl"] == rows["start_kl"].min())
        # Pinsker, for rewards in [0, 1].
        away, decimals = float(np.sqrt(rows["start_kl"].max() / 2)), 5e-5
        claim, why = f"{bandit}: mean reward before training, at the stated E_ref R", "four decimals, and sqrt(KL/2)"
        checks.append(identity(claim, reference, float(rows["start"].max()), atol=decimals + away, why=why))
        if exact_row["num_samples"][0] == 10:
            claim = f"{bandit}: mean reward of the best of ten draws, as stated"
            checks.append(identity(claim, best, float(exact_row["best_of_n"][0]), atol=decimals, why="four decimals"))
    return checks


def least_above(claim: str, values: np.ndarray, errors: np.ndarray, bound: float = 0.0) -> Check:
    """`above` for the value whose lower end is least."""
    least = np.argmin(values - 4 * errors)
    return above(claim, bound, values[least], errors[least])


def least_of(claim: str, rows: Table, column: str, sign: int = 1) -> Check:
    """`least_above` for a column of the rows, for minus it with sign -1."""
    return least_above(claim, sign * rows[column], rows[f"{column}_se"])


def least_more(claim: str, first: Table, second: Table, column: str) -> Check:
    """`least_above` for a column of the first less that of the second, row by row."""
    errors = np.hypot(first[f"{column}_se"], second[f"{column}_se"])
    return least_above(claim, first[column] - second[column], errors)
