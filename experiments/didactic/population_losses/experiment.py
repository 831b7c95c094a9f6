"""Infinite-sample versions of the didactic losses: where each one goes, and where it ends, against large samples."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from banditlab.claims.experiment import Experiment
from banditlab.didactic.problem import Problem, problem
from banditlab.store import Shards, Table
from experiments.didactic.population_losses import laws, runs
from experiments.didactic.population_losses.checks import check
from experiments.didactic.population_losses.figure import plot
from experiments.didactic.population_losses.laws import ENDLESS
from experiments.didactic.population_losses.runs import LANES, PEAKS

CLAIM = (
    "With infinite samples Best-of-N ends at the law of the best of N draws, RWR and AWR at a tilt by the reward, "
    "Pref-FT at the law of winners, DPO at a tilt by the reward, IPO at a tilt by its rank; offline REINFORCE and "
    "Best-of-N with a negative term end nowhere."
)
# N, beta, temperature, IPO's target, negative weight.
_LIMITS = laws.Numbers(10, 0.25, 0.2, 1.0, 0.1)
_TRAINING = laws.Numbers(10, 1.0, 0.5, 1.0, 0.1)


@dataclass(frozen=True)
class Config:
    """Growths: batches of states of draws. Training: Adam on all of a data set, on 20 actions, whose masses are large.

    numbers: of the limits, and of the growths with their own N. learning_rate: large enough for the masses that vanish
    in the limit, which Adam sends there like 1/t.
    """

    numbers: laws.Numbers = _LIMITS
    batches: tuple[int, int, int] = (272, 1024, 4)
    trained: tuple[str, ...] = ("best_of_n", "rwr", "awr", "pref_ft", "dpo", "ipo")
    train_numbers: laws.Numbers = _TRAINING
    train_peak: float = 4.0
    train_width: float = 2.0
    train_actions: int = 20
    train_states: int = 10_000
    train_steps: int = 240
    train_seeds: int = 4
    learning_rate: float = 0.3
    seed: int = 0


def run(config: Config, shards: Shards) -> Table:
    """Rows of parts: law and value of the limits, coefficients of the endless, growths of E_pi R, trained limits."""
    shards.expect(1 + len(config.trained))
    rows = [*_limits(config), *_growths(config, shards)]
    failures = {}
    for name in config.trained:
        row, failed = _trained(config, name, shards)
        rows += [row, _exact("failed", "20 actions", name, 0.0, failed)]
        failures[f"{name}: runs that were not finite"] = failed
    return Table.from_rows(rows, meta={"failures": failures})


def _row(
    part: str, case: str, name: str, x: float, value: float, error: float, predicted: float, bias: float, left: float
):
    """bias: in standard errors; left: what training still moves, told from another machine's to a standard error."""
    numbers = {"x": float(x), "value": float(value), "value_se": float(error), "predicted": float(predicted)}
    numbers |= {"bias": float(bias), "left": float(left), "left_se": float(error) if part == "trained" else 0.0}
    return {"part": part, "case": case, "name": name} | numbers


def _exact(part: str, case: str, name: str, x: float, value: float):
    return _row(part, case, name, x, value, 0.0, value, 0.0, 0.0)


def _arrays(bandit: Problem) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(bandit.reward), np.asarray(bandit.log_reference)


def _limits(config: Config) -> Iterator[dict]:
    """The policies in the limit (drawn), their E_pi R, and the least coefficient of the losses without a limit."""
    for case, peak in PEAKS.items():
        reward, log_reference = _arrays(problem(peak))
        for name in laws.FIXED:
            policy = np.exp(laws.minimiser(name, reward, log_reference, config.numbers))
            yield _exact("value", case, name, 0.0, float(policy @ reward))
            if case == "R1":
                for action, mass in enumerate(policy):
                    yield _exact("law", case, name, action, mass)
        probs = np.exp(log_reference)
        for name in ENDLESS:
            wanted = laws.coefficients(name, reward, probs, config.numbers)
            yield _exact("least", case, name, int(np.argmin(wanted)), wanted.min())
    _, log_reference = _arrays(problem())
    for action, mass in enumerate(np.exp(log_reference)):
        yield _exact("law", "R1", "reference", action, mass)


def _growths(config: Config, shards: Shards) -> Iterator[dict]:
    """Growth of E_pi R per unit of a descent step: means over batches, and the closed form."""
    numbers = config.numbers._replace(num_samples=config.batches[2])
    bandits = [_arrays(problem(PEAKS[reward])) for reward, _ in LANES.values()]
    log_reference = bandits[0][1]
    uniform = np.full_like(log_reference, -np.log(len(log_reference)))
    policies = np.stack([log_reference if kind == "reference" else uniform for _, kind in LANES.values()])
    rewards = np.stack([reward for reward, _ in bandits])
    settings = {name: value for name, value in numbers._asdict().items() if name != "num_samples"}
    compute = partial(runs.growths, rewards, log_reference, policies, settings, config.batches, config.seed)
    found = shards.get("growths", (0, config.batches[0]), compute)
    for name in (*runs.OFFLINE, *(f"{name} on-policy" for name in runs.ON_POLICY)):
        loss, on_policy = name.removesuffix(" on-policy"), name.endswith(" on-policy")
        for lane, (case, (_, kind)) in enumerate(LANES.items()):
            if on_policy and kind == "reference":
                continue  # the same draws as offline
            probs = np.exp(policies[lane] if on_policy else log_reference)
            step = laws.direction(loss, rewards[lane], probs, policies[lane], log_reference, numbers)
            policy = np.exp(policies[lane])
            predicted = step @ (policy * (rewards[lane] - policy @ rewards[lane]))
            values = found[name][lane]
            # A mean over the pairs kept is a ratio: its bias is at most the deviations' product, over their means.
            ties = float((probs * laws.ranks(rewards[lane], probs)[1]).sum()) if loss in ("pref_ft", "ipo") else 0.0
            error = values.std(ddof=1) / np.sqrt(len(values))
            bias = np.sqrt(len(values) * ties / (1 - ties) / config.batches[1])
            yield _row("growth", case, name, len(values), values.mean(), error, predicted, bias, 0.0)


def _trained(config: Config, name: str, shards: Shards) -> tuple[dict, int]:
    """E_pi R that training ends with, mean over data sets, against the limit and its deviation."""
    samples = config.train_numbers.num_samples if name == "best_of_n" else 2
    numbers = config.train_numbers._replace(num_samples=samples)
    bandit = problem(config.train_peak, config.train_width, num_actions=config.train_actions)
    reward, log_reference = _arrays(bandit)
    settings = {key: value for key, value in numbers._asdict().items() if key != "num_samples"}
    settings["learning_rate"] = config.learning_rate
    sizes = {"num_states": config.train_states, "num_samples": samples}
    sizes |= {"num_steps": config.train_steps, "num_seeds": config.train_seeds}
    compute = partial(runs.trained, name, bandit, settings, **sizes)
    found = shards.get(f"trained-{name}", (0, config.train_seeds), compute)
    observations = config.train_states * (samples if name == "rwr" else 1)
    deviation, bias = laws.reward_error(name, reward, log_reference, numbers, observations)
    predicted = float(np.exp(laws.minimiser(name, reward, log_reference, numbers)) @ reward)
    ended = found["reward"][:, -1]
    # A 1/t approach has twice as far to go as the last third of the steps went.
    left = 2 * np.abs(ended - found["reward"][:, 0]).max()
    error = deviation / np.sqrt(config.train_seeds)
    # Two estimates are unbiased, and say so to rounding.
    numbers = (ended.mean(), error, predicted, round(2 * abs(bias) / error, 9), left)
    return _row("trained", "20 actions", name, observations, *numbers), int(found["failed"])


EXPERIMENT = Experiment(
    name="population_losses",
    claim=CLAIM,
    family="didactic",
    presets={
        "smoke": Config(batches=(32, 256, 4), trained=("rwr",), train_states=1000, train_steps=120),
        "default": Config(),
        "paper": Config(batches=(4096, 1024, 4), train_states=100_000, train_seeds=16, train_steps=600),
    },
    run=run,
    check=check,
    plot=plot,
)
