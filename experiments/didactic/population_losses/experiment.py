"""Infinite-sample versions of the didactic losses: where each one goes, and where it ends, against large samples."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np

from banditlab.claims import Experiment, Shards, Table, statistics
from banditlab.didactic.problem import Problem, problem
from banditlab.exact import population_losses as laws
from experiments.didactic.population_losses import runs
from experiments.didactic.population_losses.checks import check
from experiments.didactic.population_losses.figure import plot
from experiments.didactic.population_losses.runs import LANES, PEAKS

CLAIM = (
    "With infinite samples Best-of-N ends at the law of the best of N draws, RWR and AWR at a tilt by the reward, "
    "Pref-FT at the law of winners, DPO at a tilt by the reward, IPO at a tilt by its rank; offline REINFORCE and "
    "Best-of-N with a negative term end nowhere."
)
# N, beta, temperature, IPO's target, negative weight.
_LIMITS, _TRAINING = laws.Numbers(10, 0.25, 0.2, 1.0, 0.1), laws.Numbers(10, 1.0, 0.5, 1.0, 0.1)


@dataclass(frozen=True)
class Config:
    """Growths: batches of states of draws. Training: Adam on all of a data set, on 20 actions, whose masses are large.

    numbers: of the limits, and of the growths with their own N; beta is among them. learning_rate: large enough for
    the masses that vanish in the limit, which Adam sends there like 1/t.
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


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """The limits: laws, rewards; coefficients of the endless losses; growths of E_pi R; what training ends with."""
    shards.expect(1 + len(config.trained))
    used = {key: value for key, value in asdict(config.numbers).items() if key != "negative_weight"}
    law, value, endless = [], [], []
    for bandit, peak in PEAKS.items():
        reward, log_reference = _arrays(problem(peak))
        probs = np.exp(log_reference)
        limits = {name: np.exp(laws.minimiser(name, reward, log_reference, config.numbers)) for name in laws.FIXED}
        for name, policy in limits.items():
            value.append({"bandit": bandit, "method": name, "reward": float(policy @ reward), **used})
        for name in laws.ENDLESS:
            wanted = laws.coefficients(name, reward, probs, config.numbers)
            lowest = {"action": float(np.argmin(wanted)), "coefficient": wanted.min()}
            endless.append({"bandit": bandit, "method": name, **lowest})
        if bandit == "R1":
            for name, policy in (limits | {"reference": probs}).items():
                law += [{"method": name, "action": float(a), "mass": mass} for a, mass in enumerate(policy)]
    parts = {"law": law, "value": value, "endless": endless, "growth": _growths(config, shards)}
    parts["trained"] = [_trained(config, name, shards) for name in config.trained]
    return {part: Table.from_rows(rows) for part, rows in parts.items()}


def _arrays(bandit: Problem) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(bandit.reward), np.asarray(bandit.log_reference)


def _settings(numbers: laws.Numbers) -> dict[str, float]:
    return {name: value for name, value in asdict(numbers).items() if name != "num_samples"}


def _growths(config: Config, shards: Shards) -> Iterator[dict]:
    """Growth of E_pi R per unit of a descent step: means over batches, and the closed form."""
    num_batches, num_states, num_samples = config.batches
    numbers = replace(config.numbers, num_samples=num_samples)
    bandits = [_arrays(problem(PEAKS[reward])) for reward, _ in LANES.values()]
    log_reference = bandits[0][1]
    uniform = np.full_like(log_reference, -np.log(len(log_reference)))
    policies = np.stack([log_reference if kind == "reference" else uniform for _, kind in LANES.values()])
    rewards = np.stack([reward for reward, _ in bandits])
    compute = partial(runs.growths, rewards, log_reference, policies, _settings(numbers), config.batches, config.seed)
    found = shards.get("growths", (0, num_batches), compute)
    for name in (*runs.OFFLINE, *(f"{name} on-policy" for name in runs.ON_POLICY)):
        loss, on_policy = name.removesuffix(" on-policy"), name.endswith(" on-policy")
        for lane, (case, (_, kind)) in enumerate(LANES.items()):
            if on_policy and kind == "reference":
                continue  # the same draws as offline
            probs = np.exp(policies[lane] if on_policy else log_reference)
            step = laws.direction(loss, rewards[lane], probs, policies[lane], log_reference, numbers)
            policy = np.exp(policies[lane])
            predicted = step @ (policy * (rewards[lane] - policy @ rewards[lane]))
            # A mean over the pairs kept is a ratio: its bias is at most the deviations' product, over their means.
            ties = float((probs * laws.ranks(rewards[lane], probs)[1]).sum()) if loss in ("pref_ft", "ipo") else 0.0
            bias = np.sqrt(num_batches * ties / (1 - ties) / num_states)
            row = {"setting": case, "method": name, **statistics.mean("growth", found[name][lane])}
            sizes = {"batches": num_batches, "states": num_states, "draws": num_samples}
            yield row | {"predicted": predicted, "bias": bias} | sizes


def _trained(config: Config, name: str, shards: Shards) -> dict:
    """E_pi R that training ends with, mean over data sets, against the limit and its deviation."""
    samples = config.train_numbers.num_samples if name == "best_of_n" else 2
    numbers = replace(config.train_numbers, num_samples=samples)
    bandit = problem(config.train_peak, config.train_width, num_actions=config.train_actions)
    settings = _settings(numbers) | {"learning_rate": config.learning_rate}
    sizes = {"num_states": config.train_states, "num_samples": samples}
    sizes |= {"num_steps": config.train_steps, "num_seeds": config.train_seeds}
    compute = partial(runs.trained, name, bandit, settings, **sizes)
    found = shards.get(f"trained-{name}", (0, config.train_seeds), compute)
    observations = config.train_states * (samples if name == "rwr" else 1)
    reward, log_reference = _arrays(bandit)
    deviation, bias = laws.reward_error(name, reward, log_reference, numbers, observations)
    ended = found["reward"][:, -1]
    error = deviation / np.sqrt(config.train_seeds)
    return {
        "method": name,
        "observations": float(observations),
        "reward": ended.mean(),
        "reward_se": error,
        "predicted": float(np.exp(laws.minimiser(name, reward, log_reference, numbers)) @ reward),
        # Two estimates are unbiased, and say so to rounding.
        "bias": round(2 * abs(bias) / error, 9),
        # A 1/t approach has twice as far to go as the last third of the steps went.
        "left": 2 * np.abs(ended - found["reward"][:, 0]).max(),
        # Another machine's is the same to a standard error.
        "left_se": error,
        "failed": float(found["failed"]),
        "actions": config.train_actions,
        "seeds": config.train_seeds,
    }


EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(batches=(32, 256, 4), trained=("rwr",), train_states=1000, train_steps=120),
        "default": Config(),
        "paper": Config(batches=(4096, 1024, 4), train_states=100_000, train_seeds=16, train_steps=600),
    },
    run=run,
    check=check,
    plot=plot,
    columns={
        "*": {
            "bandit": "R1, its peak far from the reference's mode, and R2, its peak near it",
            "method": "loss that is minimised; `on-policy` where the policy itself draws",
        },
        "law": {
            "method": "loss whose limit on R1 this is; `reference` is pi_ref",
            "action": "place on the line of actions",
            "mass": "probability of the action under the limit",
        },
        "value": {
            "reward": "expected reward E_pi R of the limit pi [reward]",
            "num_samples": "N, draws that Best-of-N and AWR take of a state [draws]",
            "beta": "beta of RWR, AWR and DPO",
            "temperature": "temperature of DPO's Bradley-Terry labels [reward]",
            "ipo_target": "margin of log ratios that IPO regresses on [nats]",
        },
        "endless": {
            "action": "action with the least coefficient",
            "coefficient": "least weight of log pi in the expected loss; below zero there is no minimum",
        },
        "growth": {
            "setting": "reward, and policy whose step it is",
            "growth": "growth of the expected reward E_pi R per unit of a descent step, mean over batches [reward]",
            "predicted": "that growth in closed form, with infinite samples [reward]",
            "bias": "bound on the bias of a mean over the pairs kept [standard errors]",
            "batches": "batches that the mean is over [batches]",
            "states": "states of a batch [states]",
            "draws": "draws of a state [draws]",
        },
        "trained": {
            "observations": "independent observations of a data set [observations]",
            "reward": "expected reward E_pi R after training, mean over data sets; error of the M-estimator [reward]",
            "predicted": "expected reward E_pi R of the limit in closed form [reward]",
            "bias": "twice the bias to first order in 1/observations [standard errors]",
            "left": "twice the largest change in the last third of the steps [reward]",
            "failed": "runs that were not finite [runs]",
            "actions": "actions of the bandit [actions]",
            "seeds": "data sets [data sets]",
        },
    },
)
