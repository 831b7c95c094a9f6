"""Who labels the pairs: the rewards themselves, Bradley-Terry coins, or a reward model fitted to such coins."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from banditlab.claims.experiment import Experiment
from banditlab.claims.statistics import mean
from banditlab.didactic import reward_model
from banditlab.didactic.problem import Problem, problem
from banditlab.store import Shards, Table
from experiments.didactic.reward_model_labels import laws, runs
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


def run(config: Config, shards: Shards) -> Table:
    """Rows: fits by number of labels, the fit of exact counts, and the ends of the runs; predicted from NumPy alone."""
    shards.expect(1)
    data = shards.get("all", (0, config.num_seeds), partial(runs.train, config))
    bandit = problem(config.peak, config.width, num_actions=config.num_actions)
    rows = [*_fits(config, bandit), _exact(config, bandit), *_runs(config, bandit, data)]
    return Table.from_rows(rows, meta={"failures": {"not finite": int(data["failed"])}})


def _tables(bandit: Problem) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(bandit.reward), np.exp(np.asarray(bandit.log_reference))


def _row(part: str, name: str, x: float, **columns: float) -> dict:
    numbers = ("value", "value_se", "predicted", "predicted_se", "left", "left_se")
    blank = dict.fromkeys(numbers, 0.0)
    return {"part": part, "name": name, "x": float(x)} | blank | {key: float(number) for key, number in columns.items()}


def _fits(config: Config, bandit: Problem) -> Iterator[dict]:
    """Reward models on drawn labels: squared error times n, and agreement with the order of the rewards."""
    reward, probs = _tables(bandit)
    generator = np.random.default_rng(config.seed)
    law = laws.win_law(reward, probs, config.temperature)
    fit = jax.jit(jax.vmap(lambda wins: reward_model.fit(wins, jnp.eye(config.num_actions), config.ridge)))
    error = config.temperature**2 * float(probs @ laws.distances(reward, probs, config.temperature) @ probs)
    for count in config.labels:
        many = config.num_fits if count in config.checked else config.few_fits
        wins = laws.draw_wins(generator, law, count, many)
        learned = config.temperature * np.asarray(fit(wins))
        measured = count * laws.squared_error(learned, reward, probs)
        yield _row("fit", "error", count, predicted=error, **mean("value", measured))
        right = laws.agreement(reward, probs, config.temperature, count)
        shares = laws.agreements(learned, reward, probs)
        yield _row("fit", "agreement", count, predicted=right, **mean("value", shares))


def _exact(config: Config, bandit: Problem) -> dict:
    """The fit of expected counts: its largest error, and what the ridge explains.

    The ridge's gradient at the truth, over a curvature that no more than halves as long as margins move by less than
    log 2.
    """
    reward, probs = _tables(bandit)
    wins = config.exact_labels * laws.win_law(reward, probs, config.temperature)
    found = np.asarray(jax.jit(reward_model.fit)(jnp.asarray(wins), jnp.eye(config.num_actions), config.ridge))
    truth = (reward - reward.mean()) / config.temperature
    curvature = np.linalg.eigvalsh(laws.laplacian(reward, probs, config.temperature))[1] * config.exact_labels
    bound = 2 * config.ridge * np.linalg.norm(truth) / curvature
    return _row("exact", "fit", config.exact_labels, value=float(np.linalg.norm(found - truth)), predicted=bound)


def _runs(config: Config, bandit: Problem, data: dict[str, np.ndarray]) -> Iterator[dict]:
    """E_pi R that training ends with, and the limits; reward models drawn and fitted afresh by NumPy."""
    reward, probs = _tables(bandit)
    generator = np.random.default_rng(config.seed + 1)
    law = laws.win_law(reward, probs, config.temperature)
    for count in config.labels:
        learned = laws.fit(laws.draw_wins(generator, law, count, config.few_fits // 2), config.ridge)
        found = mean("predicted", laws.winners(learned, reward, probs))
        yield _row("limit", LEARNED, count, **found)
    for mode, count in config.arms:
        ends = data[f"{mode}, {count}: reward"]
        if mode == LEARNED:
            learned = laws.fit(laws.draw_wins(generator, law, count, 2 * config.few_fits), config.ridge)
            limit = mean("predicted", laws.winners(learned, reward, probs))
        elif mode == NOISY:
            limit = {"predicted": laws.noisy_winner(reward, probs, config.temperature)}
        else:
            limit = {"predicted": float(laws.winners(reward[None], reward, probs)[0])}
        numbers = limit | mean("value", ends[:, -1])
        # A 1/t approach has twice as far to go as the last third of the steps went.
        numbers |= {"left": 2 * np.abs(ends[:, 1] - ends[:, 0]).mean(), "left_se": numbers["value_se"]}
        yield _row("run", mode, count, **numbers)


EXPERIMENT = Experiment(
    name="reward_model_labels",
    claim=CLAIM,
    family="didactic",
    presets={
        "smoke": Config(num_fits=64, few_fits=16, learned=(30,), num_seeds=16, num_steps=60),
        "default": Config(),
        "paper": Config(num_fits=65_536, few_fits=8192, learned=(30, 100, 300, 1000), num_seeds=8192),
    },
    run=run,
    check=check,
    plot=plot,
)
