"""Every algorithm's path in the plane of KL to the reference and expected reward, against the exact frontier of pi*."""

from dataclasses import dataclass
from functools import partial

import jax
import numpy as np

from banditlab.claims.experiment import Experiment
from banditlab.claims.statistics import mean
from banditlab.didactic.problem import frontier, problem
from banditlab.store import Shards, Table
from experiments.didactic.reward_kl_frontier import laws, runs
from experiments.didactic.reward_kl_frontier.checks import check
from experiments.didactic.reward_kl_frontier.figure import plot
from experiments.didactic.reward_kl_frontier.runs import OFFLINE, Arm, arms
from experiments.didactic.shared import tuned_training
from experiments.didactic.shared.tuned_training import PEAKS

CLAIM = (
    "No path passes the frontier of pi_ref e^{R/t}. At tuned rates REINFORCE with a KL penalty ends on it, with either "
    "baseline, offline RWR and AWR within a tenth of its gain; Best-of-10 and Pref-FT, likelihoods that read ranks, at "
    "no more than 0.6 of it where the peak is rare, and above that law with a negative term or their own draws."
)
_frontier = jax.jit(frontier)


@dataclass(frozen=True)
class Config:
    """Steps, states and draws of each; PPO takes `reuse` steps on a batch, without which no ratio leaves one.

    rates: the grid of on_policyness; the best at the end on held-out seeds, problem by problem.
    """

    num_steps: int = 96
    num_states: int = 8
    num_samples: int = 10
    reuse: int = 4
    rates: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0)
    num_seeds: int = 100
    tuning_seeds: int = 20
    seed: int = 0

    @property
    def record_at(self) -> tuple[int, ...]:
        """0, a few, then 16 at equal distances."""
        return tuple(sorted({0, 1, 2, 4, *(self.num_steps * k // 16 for k in range(1, 17))}))


def run(config: Config, shards: Shards) -> Table:
    """Rows: paths, mean over seeds and the worst of them; curves and limits of infinite data."""
    shards.expect(1)
    data = shards.get("all", (0, config.num_seeds), partial(runs.train, config))
    rows, failures = _exact(config), {"runs with a step that was not finite": 0}
    failures["best learning rate at an end of the grid"] = 0
    for arm in arms():
        found = tuned_training.arrays_of(data, runs.key(arm))
        failures["runs with a step that was not finite"] += int(found["failed"].sum())
        at_end = np.isin(found["rate"], (config.rates[0], config.rates[-1]))
        failures["best learning rate at an end of the grid"] += int(at_end.sum())
        rows += _paths(config, arm, found)
    return Table.from_rows(rows, meta={"failures": failures})


_NUMBERS = (
    "value",
    "rate",
    "seeds",
    "step",
    "kl",
    "reward",
    "reward_se",
    "share",
    "share_se",
    "excess",
    "dual",
    "identity",
)


def _row(part: str, case: str, algorithm: str, sampler: str, **columns: float) -> dict:
    labels = {"part": part, "case": case, "algorithm": algorithm, "sampler": sampler}
    blank = dict.fromkeys((*_NUMBERS, "kl_target"), 0.0)
    return labels | blank | {key: float(number) for key, number in columns.items()}


def _paths(config: Config, arm: Arm, data: dict[str, np.ndarray]) -> list[dict]:
    """Means along the path; share of the frontier's gain that is reached; how far any seed is above the frontier."""
    rows = []
    for lane, (case, peak) in enumerate(PEAKS.items()):
        bandit = problem(peak)
        tables = np.asarray(bandit.reward), np.asarray(bandit.log_reference)
        start = float(np.exp(tables[1]) @ tables[0])
        frontiers = np.asarray(_frontier(bandit, data["kl_reference"][lane, :, -1]))
        for place, step in enumerate(config.record_at):
            reward, kl, aim = (data[k][lane, :, place] for k in ("reward", "kl_reference", "kl_target"))
            numbers = {"value": arm.value, "rate": data["rate"][lane], "step": step, "kl": kl.mean()}
            numbers |= {"seeds": len(reward)}
            numbers |= {"kl_target": aim.mean()} | mean("reward", reward)
            numbers |= {"dual": (reward - laws.dual_bound(*tables, kl)).max()}
            if step == config.num_steps:
                numbers |= mean("share", (reward - start) / (frontiers - start))
                numbers |= {"excess": (reward - frontiers).max()}
            if arm.penalty:
                objective = laws.log_partition(*tables, arm.penalty) - arm.penalty * aim
                numbers |= {"identity": np.abs(reward - arm.penalty * kl - objective).max()}
            rows.append(_row("path", case, arm.name, arm.sampler, **numbers))
    return rows


def _exact(config: Config) -> list[dict]:
    """The frontier by temperatures, and where infinite data lead: laws of the maximum, rank tilts, reward tilts."""
    rows = []
    for case, peak in PEAKS.items():
        bandit = problem(peak)
        tables = np.asarray(bandit.reward), np.asarray(bandit.log_reference)
        start = float(np.exp(tables[1]) @ tables[0])
        for value in np.geomspace(0.02, 30.0, 60):
            log_law = laws.tilted(*tables, value)
            kl, reward = laws.place(tables, log_law)
            rows.append(_row("frontier", case, "rwr", OFFLINE, value=value, kl=kl, reward=reward))
        limits = [("best_of_n", float(n), laws.maximum_law(*tables, n)) for n in (2, 4, config.num_samples, 32, 128)]
        limits += [("pref_ft", 2.0, laws.winner_law(*tables))]
        limits += [("ipo", target, laws.rank_tilt(*tables, target)) for target in (0.5, 1.0, 2.0, 3.0, 6.0, 12.0)]
        # AWR subtracts the mean of N draws, of which the draw itself is one: a tilt at temperature beta N / (N - 1).
        warmer = config.num_samples / (config.num_samples - 1)
        limits += [("rwr", 0.1, laws.tilted(*tables, 0.1)), ("awr", 0.1, laws.tilted(*tables, 0.1 * warmer))]
        places = [laws.place(tables, log_law) for _, _, log_law in limits]
        frontiers = np.asarray(_frontier(bandit, np.asarray([kl for kl, _ in places])))
        for (algorithm, value, _), (kl, reward), best in zip(limits, places, frontiers.tolist(), strict=True):
            share = (reward - start) / (best - start)
            numbers = {"value": value, "kl": kl, "reward": reward, "share": share, "excess": reward - best}
            rows.append(_row("limit", case, algorithm, OFFLINE, **numbers))
    return rows


EXPERIMENT = Experiment(
    name="reward_kl_frontier",
    claim=CLAIM,
    family="didactic",
    presets={
        "smoke": Config(num_steps=32, num_seeds=10, tuning_seeds=2),
        "default": Config(),
        "paper": Config(num_seeds=2000, tuning_seeds=400),
    },
    run=run,
    check=check,
    plot=plot,
)
