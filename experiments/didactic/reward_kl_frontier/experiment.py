"""Every algorithm's path in the plane of KL to the reference and expected reward, against the exact frontier of pi*."""

from collections import defaultdict
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np

from banditlab.claims import Experiment, Shards, Table
from banditlab.claims.statistics import mean
from banditlab.didactic import problem as didactic
from banditlab.didactic.problem import problem
from banditlab.exact import frontier, loss_limits
from experiments.didactic.reward_kl_frontier import runs
from experiments.didactic.reward_kl_frontier.checks import check
from experiments.didactic.reward_kl_frontier.figure import plot
from experiments.didactic.reward_kl_frontier.runs import DRAWS, Arm, arms
from experiments.didactic.shared.tuned_training import PEAKS, arrays_of

CLAIM = (
    "No path passes the frontier of pi_ref e^{R/t}. At tuned rates REINFORCE with a KL penalty ends on it, with either "
    "baseline, offline RWR and AWR within a tenth of its gain; Best-of-10 and Pref-FT, likelihoods that read ranks, at "
    "no more than 0.6 of it where the peak is rare, and above that law with a negative term or their own draws."
)
_frontier = jax.jit(didactic.frontier)


@dataclass(frozen=True)
class Config:
    """Steps, states and draws of each; PPO takes `reuse` steps on a batch, without which no ratio leaves one.

    beta: of RWR, AWR and DPO. penalties: of REINFORCE, the first with the running mean too.
    rates: the grid of on_policyness; the best at the end on held-out seeds, problem by problem.
    """

    num_steps: int = 96
    num_states: int = 8
    num_samples: int = 10
    reuse: int = 4
    beta: float = 0.1
    ipo_target: float = 3.0
    negative_weight: float = 0.5
    penalties: tuple[float, ...] = (0.1, 0.3)
    clip: float = 0.2
    rates: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0)
    num_seeds: int = 100
    tuning_seeds: int = 20
    seed: int = 0

    @property
    def record_at(self) -> tuple[int, ...]:
        """0, a few, then 16 at equal distances."""
        return tuple(sorted({0, 1, 2, 4, *(self.num_steps * k // 16 for k in range(1, 17))}))


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """Curves and limits of infinite data; paths, where they end, and what a KL penalty says of them."""
    shards.expect(1)
    data = shards.get("all", (0, config.num_seeds), partial(runs.train, config))
    parts = defaultdict(list)
    for bandit in PEAKS:
        parts["frontier"] += _curve(bandit)
        parts["limits"] += _limits(config, bandit)
    for arm in arms(config):
        found = arrays_of(data, runs.key(arm))
        for lane, bandit in enumerate(PEAKS):
            _follow(config, arm, bandit, {name: values[lane] for name, values in found.items()}, parts)
    return {part: Table.from_rows(rows) for part, rows in parts.items()}


def _tables(bandit: str) -> tuple[tuple[np.ndarray, np.ndarray], float]:
    """(R, log pi_ref), and E_ref R."""
    made = problem(PEAKS[bandit])
    reward, log_reference = np.asarray(made.reward), np.asarray(made.log_reference)
    return (reward, log_reference), float(np.exp(log_reference) @ reward)


def _curve(bandit: str) -> list[dict]:
    """The frontier, by temperatures."""
    tables, _ = _tables(bandit)
    rows = []
    for temperature in np.geomspace(0.02, 30.0, 60):
        kl, reward = loss_limits.place(tables, loss_limits.tilted(*tables, temperature))
        rows.append({"bandit": bandit, "temperature": temperature, "kl": kl, "reward": reward})
    return rows


def _limits(config: Config, bandit: str) -> list[dict]:
    """Where infinite data lead: laws of the maximum, rank tilts, reward tilts."""
    tables, start = _tables(bandit)
    counts, targets = (2, 4, config.num_samples, 32, 128), (0.5, 1.0, 2.0, config.ipo_target, 6.0, 12.0)
    limits = [("best_of_n", DRAWS, n, loss_limits.maximum_law(*tables, n)) for n in dict.fromkeys(counts)]
    limits += [("pref_ft", DRAWS, 2, loss_limits.winner_law(*tables))]
    limits += [("ipo", "ipo_target", t, loss_limits.rank_tilt(*tables, t)) for t in dict.fromkeys(targets)]
    # AWR subtracts the mean of N draws, of which the draw itself is one: a tilt at temperature beta N / (N - 1).
    warmer = config.num_samples / (config.num_samples - 1)
    for name, temperature in (("rwr", config.beta), ("awr", config.beta * warmer)):
        limits.append((name, "beta", config.beta, loss_limits.tilted(*tables, temperature)))
    places = [loss_limits.place(tables, log_law) for *_, log_law in limits]
    frontiers = np.asarray(_frontier(problem(PEAKS[bandit]), np.asarray([kl for kl, _ in places])))
    rows = []
    for (algorithm, parameter, value, _), (kl, reward), best in zip(limits, places, frontiers.tolist(), strict=True):
        row = {"bandit": bandit, "algorithm": algorithm, "parameter": parameter, "value": float(value)}
        share = (reward - start) / (best - start)
        rows.append(row | {"kl": kl, "reward": reward, "share": share, "excess": reward - best})
    return rows


def _follow(config: Config, arm: Arm, bandit: str, found: dict[str, np.ndarray], parts: dict[str, list[dict]]) -> None:
    """Means along the path; share of the frontier's gain that is reached; how far any seed is above the frontier."""
    tables, start = _tables(bandit)
    keys = {"bandit": bandit, "algorithm": arm.name, "sampler": arm.sampler}
    keys |= {"parameter": arm.parameter, "value": arm.value}
    for place, step in enumerate(config.record_at):
        reward, kl, aim = (found[name][:, place] for name in ("reward", "kl_reference", "kl_target"))
        numbers = {"step": float(step), "kl": kl.mean()} | mean("reward", reward)
        parts["paths"].append(keys | numbers | {"above_bound": (reward - frontier.most_reward(*tables, kl)).max()})
        if arm.penalty:
            objective = frontier.log_partition(*tables, arm.penalty) - arm.penalty * aim
            row = {"bandit": bandit, "algorithm": arm.name, "penalty": arm.penalty, "step": float(step)}
            residual = np.abs(reward - arm.penalty * kl - objective).max()
            parts["penalised"].append(row | {"kl_target": aim.mean(), "residual": residual})
    reward, kl = (found[name][:, -1] for name in ("reward", "kl_reference"))
    frontiers = np.asarray(_frontier(problem(PEAKS[bandit]), kl))
    row = {"num_states": config.num_states, "num_samples": config.num_samples, "reuse": runs.reuse(config, arm)}
    row |= {"seeds": float(len(reward)), "learning_rate": found["rate"]} | mean("reward", reward)
    row |= mean("share", (reward - start) / (frontiers - start)) | {"excess": (reward - frontiers).max()}
    parts["ends"].append(keys | row)


EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(num_steps=32, num_seeds=10, tuning_seeds=2),
        "default": Config(),
        "paper": Config(num_seeds=2000, tuning_seeds=400),
    },
    run=run,
    check=check,
    plot=plot,
    columns={
        "*": {
            "bandit": "R1, whose peak is rare under the reference, and R2, whose peak is common",
            "algorithm": "loss",
            "sampler": "who draws the batches: the reference (offline), else the policy itself (on_policy)",
            "parameter": "the algorithm's own number, as training settings name it; num_draws: draws that it ranks",
            "value": "of that number",
            "step": "gradient steps done [steps]",
            "reward": "E_pi R, mean over seeds [reward]",
        },
        "frontier": {
            "temperature": "t of the policy pi_ref e^{R/t} / Z [reward]",
            "kl": "KL(pi||pi_ref) of that policy, exact [nats]",
            "reward": "E_pi R of that policy, exact [reward]",
        },
        "limits": {
            "kl": "KL(pi||pi_ref) of the policy that infinite data lead to, exact [nats]",
            "reward": "E_pi R of that policy, exact [reward]",
            "share": "E_pi R - E_ref R of that policy over the same on the frontier at its KL(pi||pi_ref)",
            "excess": "E_pi R less that on the frontier at this KL(pi||pi_ref); of rounding level on it [reward]",
        },
        "paths": {
            "kl": "KL(pi||pi_ref), mean over seeds [nats]",
            "above_bound": "E_pi R less min over t of t KL(pi||pi_ref) + t log E_ref e^{R/t}, largest seed [reward]",
        },
        "ends": {
            "num_states": "states of a batch [states]",
            "num_samples": "draws at each state [draws]",
            "reuse": "gradient steps on each batch [steps]",
            "learning_rate": "of Adam; the best of the grid on held-out seeds",
            "share": "E_pi R - E_ref R over the same on the frontier at this KL(pi||pi_ref), mean over seeds",
            "excess": "E_pi R less that on the frontier at this KL(pi||pi_ref), largest over seeds [reward]",
        },
        "penalised": {
            "penalty": "beta: what KL(pi||pi_ref) costs [reward]",
            "kl_target": "KL(pi||pi*) to pi* = pi_ref e^{R/beta} / Z, mean over seeds [nats]",
            "residual": "|E_pi R - beta KL(pi||pi_ref) - beta log Z + beta KL(pi||pi*)|, at most; rounding [reward]",
        },
    },
)
