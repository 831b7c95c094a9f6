"""Who labels the pairs: the rewards themselves, Bradley-Terry coins, or a reward model fitted to such coins."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from banditlab.claims import Experiment, Shards, Table
from banditlab.claims.statistics import mean
from banditlab.didactic import reward_model
from banditlab.exact import reward_models as laws
from experiments.didactic.reward_model_labels import runs
from experiments.didactic.reward_model_labels.checks import check
from experiments.didactic.reward_model_labels.figure import plot
from experiments.didactic.reward_model_labels.runs import LEARNED, NOISY, TRUE

CLAIM = (
    "A reward model's error is the inverse information of its labels, and it tends to the rewards; Pref-FT on its "
    "labels ends at the law of a winner by the learned rewards: from a few hundred labels on nearly where the true "
    "rewards lead, and above Bradley-Terry labels, whose noise no number of pairs removes."
)


@dataclass(frozen=True)
class Config:
    """A bump on 20 actions without ties; labels of the fits, and runs of Pref-FT on B states of two draws.

    checked: labels that large-sample laws are held to, by num_fits fits; the rest of `labels`, drawn only, by few_fits.
    learned: labels of the reward models that runs are trained on. exact_labels: as good as infinitely many.
    """

    peak: float = 4.3
    width: float = 2.0
    num_actions: int = 20
    temperature: float = 0.25
    labels: tuple[int, ...] = (30, 100, 300, 1000, 10_000, 100_000, 1_000_000)
    checked: tuple[int, ...] = (100_000, 1_000_000)
    num_fits: int = 4096
    few_fits: int = 512
    ridge: float = 1e-2
    exact_labels: float = 1e6
    learned: tuple[int, ...] = (30, 300)
    num_states: int = 256
    num_steps: int = 160
    learning_rate: float = 0.3
    num_seeds: int = 512
    seed: int = 0

    @property
    def arms(self) -> tuple[tuple[str, int], ...]:
        """Label modes, and the labels of the reward model."""
        return ((TRUE, 0), (NOISY, 0), *((LEARNED, count) for count in self.learned))


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """Fits by number of labels, the fit of exact counts, limits, and the ends of runs; predicted from NumPy alone."""
    shards.expect(1)
    data = shards.get("all", (0, config.num_seeds), partial(runs.train, config))
    bandit = runs.bandit(config)
    tables = np.asarray(bandit.reward), np.exp(np.asarray(bandit.log_reference))
    parts = {"fits": _fits(config, *tables), "exact": [_exact(config, *tables)], **_runs(config, *tables, data)}
    return {part: Table.from_rows(rows) for part, rows in parts.items()}


def _fits(config: Config, reward: np.ndarray, probs: np.ndarray) -> list[dict]:
    """Reward models on drawn labels: squared error times n, and agreement with the order of the rewards."""
    generator = np.random.default_rng(config.seed)
    law = laws.win_law(reward, probs, config.temperature)
    fit = jax.jit(jax.vmap(lambda wins: reward_model.fit(wins, jnp.eye(config.num_actions), config.ridge)))
    error = config.temperature**2 * float(probs @ laws.distances(reward, probs, config.temperature) @ probs)
    rows = []
    for count in config.labels:
        many = config.num_fits if count in config.checked else config.few_fits
        learned = config.temperature * np.asarray(fit(laws.draw_wins(generator, law, count, many)))
        row = {"labels": float(count), **mean("error", count * laws.squared_error(learned, reward, probs))}
        row |= {"error_predicted": error, **mean("agreement", laws.agreements(learned, reward, probs))}
        rows.append(row | {"agreement_predicted": laws.agreement(reward, probs, config.temperature, count)})
    return rows


def _exact(config: Config, reward: np.ndarray, probs: np.ndarray) -> dict:
    """The fit of expected counts: its largest error, and what the ridge explains.

    The ridge's gradient at the truth, over a curvature that no more than halves as long as margins move by less than
    log 2.
    """
    wins = config.exact_labels * laws.win_law(reward, probs, config.temperature)
    found = np.asarray(jax.jit(reward_model.fit)(jnp.asarray(wins), jnp.eye(config.num_actions), config.ridge))
    truth = (reward - reward.mean()) / config.temperature
    curvature = np.linalg.eigvalsh(laws.laplacian(reward, probs, config.temperature))[1] * config.exact_labels
    bound = 2 * config.ridge * np.linalg.norm(truth) / curvature
    row = {"num_actions": config.num_actions, "temperature": config.temperature, "labels": config.exact_labels}
    return row | {"distance": np.linalg.norm(found - truth), "bound": bound}


def _runs(config: Config, reward: np.ndarray, probs: np.ndarray, data: dict) -> dict[str, list[dict]]:
    """E_pi R that training ends with, and the limits; reward models drawn and fitted afresh by NumPy."""
    generator = np.random.default_rng(config.seed + 1)
    law = laws.win_law(reward, probs, config.temperature)

    def limit(count: int, fits: int) -> dict[str, float]:
        learned = laws.fit(laws.draw_wins(generator, law, count, fits), config.ridge)
        return {"labels": float(count), **mean("predicted", laws.winners(learned, reward, probs))}

    def end(mode: str, count: int) -> dict[str, float]:
        ends = data[f"{mode}, {count}: reward"]
        # A 1/t approach has twice as far to go as the last third of the steps went.
        remaining = {"remaining": 2 * np.abs(ends[:, 1] - ends[:, 0]).mean()}
        return {"num_pairs": config.num_states, **mean("reward", ends[:, -1]), **remaining}

    direct = {TRUE: float(laws.winners(reward[None], reward, probs)[0])}
    direct[NOISY] = laws.noisy_winner(reward, probs, config.temperature)
    return {
        "limits": [limit(count, config.few_fits // 2) for count in config.labels],
        "direct": [{"labeller": mode, "predicted": value} | end(mode, 0) for mode, value in direct.items()],
        "learned": [limit(count, 2 * config.few_fits) | end(LEARNED, count) for count in config.learned],
    }


EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(num_fits=64, few_fits=16, learned=(30,), num_seeds=16, num_steps=60),
        "default": Config(),
        "paper": Config(num_fits=65_536, few_fits=8192, learned=(30, 100, 300, 1000), num_seeds=8192),
    },
    run=run,
    check=check,
    plot=plot,
    columns={
        "*": {
            "labels": "labelled pairs that a reward model is fitted to [labels]",
            "num_pairs": "labelled pairs in every step of Pref-FT [labels]",
            "predicted": "E R of the law of a pair's winner by these labels, where Pref-FT tends to [reward]",
            "reward": "E_pi R at the end of Pref-FT, mean over seeds [reward]",
            "remaining": "what a 1/t approach has left to go from there [reward]",
        },
        "fits": {
            "error": "labels times the mean of (r_a - r_b - R_a + R_b)^2 over pairs of reference draws, r fitted",
            "error_predicted": "the same by the inverse Fisher information, for many labels",
            "agreement": "share of pairs of reference draws that the fitted rewards order as R does",
            "agreement_predicted": "the same by the normal law of the fit, for many labels",
        },
        "exact": {
            "num_actions": "actions of the bandit [actions]",
            "temperature": "of the Bradley-Terry labels [reward]",
            "labels": "labels whose expected counts are fitted [labels]",
            "distance": "norm of the fitted rewards less the centred true ones, over the temperature",
            "bound": "largest such distance that the ridge explains",
        },
        "direct": {"labeller": "larger reward wins (deterministic), else a Bradley-Terry draw of the true rewards"},
    },
)
