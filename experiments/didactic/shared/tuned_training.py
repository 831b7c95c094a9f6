"""Training runs of the 1-D bandit with peaks R1 and R2, each at a learning rate chosen on other seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from banditlab.claims import Check, Table, above, identity, statistics, upper
from banditlab.didactic import training
from banditlab.didactic.policies import Policy
from banditlab.didactic.problem import Problem, problem
from banditlab.didactic.settings import Settings
from banditlab.estimators import Status
from banditlab.exact import first_step
from banditlab.store import failures

# Rare under the reference, and near its mode; both of width 10.
PEAKS = {"R1": 70.0, "R2": 20.0}
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
        "reward": "E_pi R after training, over seeds [reward]",
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


class Study(NamedTuple):
    """What all the runs of an experiment share.

    Attributes:
        policy: tabular or mlp.
        rates: the grid of learning rates.
        settings: the other numbers of the losses.
        num_seeds, seeds_per_call: measured, `seeds_per_call` at a time.
        tuning_seeds: held-out seeds for each rate; about seeds_per_call / len(rates), so that both kinds of call are
            one compiled program.
        seed: root of all.
    """

    policy: Policy
    rates: tuple[float, ...]
    settings: Settings
    num_seeds: int
    seeds_per_call: int
    tuning_seeds: int
    seed: int


def bandits() -> Problem:
    """R1 and R2 along a leading axis."""
    peaks = jnp.asarray(list(PEAKS.values()))
    return jax.vmap(problem)(peaks, jnp.full(len(peaks), 10.0))


def tune(study: Study, algorithm: str, *, penalty: float = 0.0, **options: Any) -> np.ndarray:
    """(2, L, tuning_seeds) final rewards, less penalty * KL(pi || pi_ref), at every rate on held-out seeds.

    A run that broke off counts with its last.
    """
    wide, rates = _crossed(study.rates)
    settings = study.settings._replace(learning_rate=rates)
    held_out = {"seeds": study.tuning_seeds, "seed": 2 * study.seed + 1}
    found = training.train_grid(algorithm, study.policy, wide, settings=settings, **held_out, **_recorded(options))
    final = found["reward"][:, :, -1]
    if penalty:
        final = final - penalty * found["kl_reference"][:, :, -1]
    return _rounded(final).reshape(len(PEAKS), len(study.rates), -1)


def measure(study: Study, algorithm: str, rates: np.ndarray, **options: Any) -> dict[str, np.ndarray]:
    """(2, num_seeds) each: start, start_kl before training at the rates (2,), reward, kl after it, excess over the
    frontier, and failed."""
    joined = _evaluated(study, algorithm, rates, ("reward", "kl_reference", "status"), options)
    failed = (joined["status"] == Status.nonfinite).astype(int)
    reward, divergence = joined["reward"], joined["kl_reference"]
    excess = frontier_excess(reward[..., -1], divergence[..., -1])
    ends = {"start": _rounded(reward[..., 0]), "start_kl": np.maximum(divergence[..., 0], 0.0), "failed": failed}
    return ends | {"reward": _rounded(reward[..., -1]), "kl": _rounded(divergence[..., -1]), "excess": excess}


def tuned(study: Study, algorithm: str, **options: Any) -> dict[str, np.ndarray]:
    """`measure` at the best rates of `tune`, "rate" (2,); what it returns is "held_out"."""
    held_out = tune(study, algorithm, **options)
    rates = best_rates(study, held_out)
    return measure(study, algorithm, rates, **options) | {"rate": rates, "held_out": held_out}


def follow(study: Study, algorithm: str, *, penalty: float = 0.0, **options: Any) -> dict[str, np.ndarray]:
    """Paths at the best rates of `tune`: reward, kl_reference, kl_target (2, num_seeds, R), rate, held_out, failed."""
    held_out = tune(study, algorithm, penalty=penalty, **options)
    rates = best_rates(study, held_out)
    found = _evaluated(study, algorithm, rates, ("reward", "kl_reference", "kl_target", "status"), options)
    failed = (found.pop("status") == Status.nonfinite).astype(int)
    return found | {"failed": failed, "rate": rates, "held_out": held_out}


def best_rates(study: Study, held_out: np.ndarray) -> np.ndarray:
    """(2,) the rates with the largest mean of (2, L, tuning_seeds); of those equal to six decimals the smallest."""
    return np.asarray(study.rates)[_rounded(held_out.mean(axis=2)).argmax(axis=1)]


def side_by_side(jobs: Mapping[str, Callable[[], Mapping[str, np.ndarray]]]) -> dict[str, np.ndarray]:
    """The arrays of every job as "job: array"; two jobs at a time, for compiling one program uses one core."""
    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(jobs, pool.map(lambda job: job(), jobs.values()), strict=True))
    return {f"{name}: {key}": value for name, arrays in found.items() for key, value in arrays.items()}


def arrays_of(data: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """The arrays of one job, by their own names."""
    start = f"{name}: "
    return {key.removeprefix(start): value for key, value in data.items() if key.startswith(start)}


def broken(found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """How many of the runs of a shard stopped, as an entry of it."""
    counts = [values for name, values in found.items() if name.endswith(": failed")]
    return failures({"runs with a step that was not finite": counts})


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


def described(keys: Mapping[str, str], runs: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """COLUMNS with an experiment's own: keys of every part, and columns of "runs"."""
    return COLUMNS | {"*": {**COLUMNS["*"], **keys}, "runs": {**COLUMNS["runs"], **runs}}


def exact(num_samples: int) -> Table:
    """E_ref R, and mean and standard deviation of the best of the draws, of every bandit."""
    rows = []
    for bandit, reward, log_reference in zip(PEAKS, *map(np.asarray, bandits()), strict=True):
        law = first_step.law_of_maximum(reward, np.exp(log_reference), num_samples)
        mean = float(law @ reward)
        row = {"bandit": bandit, "num_samples": num_samples, "reference_reward": float(np.exp(log_reference) @ reward)}
        rows.append(row | {"best_of_n": mean, "best_of_n_sd": float(np.sqrt(law @ (reward - mean) ** 2))})
    return Table.from_rows(rows)


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


def sound_checks(runs: Table, bandits: Table) -> list[Check]:
    """No run broke off or passed the frontier; policies start at the stated E_ref R; the best of ten is as stated."""
    checks = [upper("runs with a step that was not finite", 0.0, runs["failed"].sum())]
    claim = "runs above the exact reward-KL frontier by more than rounding of sums over the actions"
    checks.append(upper(claim, 0.0, runs["above_frontier"].sum()))
    for bandit, (reference, best) in STATED.items():
        rows, exact_row = runs.where(bandit=bandit), bandits.where(bandit=bandit)
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


def frontier_excess(reward: np.ndarray, divergence: np.ndarray) -> np.ndarray:
    """(2, K) reward less the most that any policy at that divergence has, from (2, K) of each.

    By duality that is min over t > 0 of t (KL + log E_ref e^{R/t}), and every t is an upper bound.
    """
    prices = np.geomspace(1e-4, 1e3, 700)
    bandit = bandits()
    excess = []
    for r, log_reference, rewards, kls in zip(*map(np.asarray, bandit), reward, divergence, strict=True):
        potential = np.logaddexp.reduce(log_reference + r / prices[:, None], axis=1)
        excess.append(rewards - (prices[:, None] * (kls + potential[:, None])).min(axis=0))
    return np.stack(excess)


def _crossed(rates: Sequence[float]) -> tuple[Problem, np.ndarray]:
    """Every bandit at every rate: fields (2 L, A), and (2 L,) the rates."""
    wide = jax.tree.map(lambda leaf: np.repeat(np.asarray(leaf), len(rates), axis=0), bandits())
    return wide, np.tile(np.asarray(rates), len(PEAKS))


def _evaluated(study: Study, algorithm: str, rates: np.ndarray, names: Sequence[str], options: Mapping[str, Any]):
    """The arrays `names` of num_seeds runs of both bandits at the rates (2,), seeds_per_call at a time."""
    settings = study.settings._replace(learning_rate=rates)
    calls = []
    for place in range(-(-study.num_seeds // study.seeds_per_call)):
        fresh = {"seeds": study.seeds_per_call, "seed": 2 * (study.seed + 1000 * place)}
        call = training.train_grid(algorithm, study.policy, bandits(), settings=settings, **fresh, **_recorded(options))
        calls.append(call)
    return {name: np.concatenate([call[name] for call in calls], axis=1)[:, : study.num_seeds] for name in names}


def _rounded(values: np.ndarray) -> np.ndarray:
    """To six decimals: single precision holds no more, and another machine's sums agree."""
    return np.round(values, 6) + 0.0


def _recorded(options: Mapping[str, Any]) -> dict[str, Any]:
    return {"record_at": (0, options["num_steps"])} | dict(options)
