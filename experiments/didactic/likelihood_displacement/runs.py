"""Runs at the small rate and at the tuned one on every kind of data set, and what closed forms say of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from banditlab.didactic import data_sets, policies, training
from banditlab.didactic.problem import problem
from banditlab.didactic.settings import Settings
from banditlab.exact import pair_steps
from banditlab.store import failures

if TYPE_CHECKING:
    from experiments.didactic.likelihood_displacement.experiment import Config

ALGORITHMS = ("dpo", "ipo", "pref_ft")
NEGATIVE = ("dpo", "ipo")
SIDES = ("chosen", "rejected", "other")


def train(config: Config, algorithm: str, num_prompts: int, num_samples: int) -> dict[str, np.ndarray]:
    """chosen, rejected, reward (seeds, R) at the small rate; what data sets and closed forms say: see `pair_steps`.

    Also held_out_reward, held_out_chosen (L, tuning_seeds), the last reward at every rate and the chosen's change;
    rate, the best; best_chosen, best_rejected, best_reward (seeds, R) at that rate.
    """
    bandit = problem(config.peak)
    laws = data_sets.winner_laws(bandit, num_prompts, num_samples, config.num_seeds, config.seed)
    sizes = {"num_states": num_prompts, "num_samples": num_samples}
    fresh = {"seeds": config.tuning_seeds, "seed": config.seed + 1}
    tried = _trained(config, algorithm, np.asarray(config.rates), **fresh, **sizes)
    held_out = np.round(tried["reward"][:, :, -1], 6)
    rate = config.rates[int(np.round(held_out.mean(axis=1), 6).argmax())]
    same = {"seeds": config.num_seeds, "seed": config.seed}
    found, best = (_trained(config, algorithm, np.asarray([r]), **same, **sizes) for r in (config.small_rate, rate))
    names = ("chosen", "rejected", "reward")
    data = {name: found[name][0] for name in names} | {f"best_{name}": best[name][0] for name in names}
    data |= {"rate": np.asarray(rate), "held_out_reward": held_out}
    data["held_out_chosen"] = tried["chosen"][:, :, -1] - tried["chosen"][:, :, 0]
    net = np.sign(laws["winners"] - laws["losers"])
    data |= pair_steps.net_masses(laws, net, found["log_policy"][0])
    moved = config.small_rate * np.asarray(config.record_at, float)
    log_reference = np.asarray(bandit.log_reference)
    data["sign_path"] = pair_steps.sign_path(laws["winners"], net, log_reference, moved)
    failed: dict[str, Any] = {"not finite": [training.failures(runs)["nonfinite"] for runs in (tried, found, best)]}
    failed["data sets without a pair"] = laws["pairs"] == 0
    failed["best learning rate at an end of the grid"] = rate in (config.rates[0], config.rates[-1])
    scale = pair_steps.reference_pull(algorithm, config.beta, config.ipo_target)
    shift = pair_steps.adam_first_step(algorithm, laws, log_reference, config.small_rate, scale)
    return data | pair_steps.chosen_laws(laws, log_reference, shift) | failures(failed)


def _trained(config: Config, algorithm: str, rates: np.ndarray, **sizes: int) -> dict[str, np.ndarray]:
    bandits = jax.tree.map(lambda leaf: np.repeat(np.asarray(leaf)[None], len(rates), axis=0), problem(config.peak))
    settings = Settings(learning_rate=rates, beta=config.beta, ipo_target=config.ipo_target)
    record = {"record_at": config.record_at, "record_policy": True}
    shared = {"num_steps": config.num_steps, "on_policy": False, "settings": settings}
    return training.train_grid(algorithm, policies.tabular(), bandits, **sizes, **shared, **record)
