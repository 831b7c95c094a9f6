"""The floor on probabilities that published code inherits: where it acts, and what training does with and without."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from banditlab.claims import Experiment, Shards, Table
from banditlab.claims.statistics import mean
from banditlab.didactic import losses
from banditlab.didactic.settings import Settings
from banditlab.exact import clamped_losses as by_hand
from experiments.didactic.probability_floor import runs
from experiments.didactic.probability_floor.checks import check
from experiments.didactic.probability_floor.figure import plot
from experiments.didactic.probability_floor.runs import ARMS, OFFLINE

CLAIM = (
    "Clamping log pi at log 2^-23 takes a drawn action's own gradient away once pi falls below: rejected actions stop "
    "there, offline and with a negative gradient only. Winners alone never get that low, and own draws are that rare."
)
_BASELINE = 0.3


@dataclass(frozen=True)
class Config:
    """Random policies and batches for gradients; runs on one data set of num_states, again and again.

    spread: standard deviation of the random logits, so that most actions are below the floor.
    """

    num_random: int = 64
    num_actions: int = 12
    spread: float = 12.0
    peak: float = 70.0
    num_steps: int = 256
    num_states: int = 20
    num_samples: int = 4
    learning_rate: float = 0.1
    beta: float = 0.1
    negative_weight: float = 0.5
    num_seeds: int = 100
    seed: int = 0

    @property
    def record_at(self) -> tuple[int, ...]:
        """Every sixteenth step."""
        return tuple(range(0, self.num_steps + 1, 16))

    @property
    def settings(self) -> Settings:
        """Of the losses; what is not here is the default."""
        return Settings(learning_rate=self.learning_rate, beta=self.beta, negative_weight=self.negative_weight)

    @property
    def numbers(self) -> dict[str, float]:
        """The same for the formulas by hand."""
        return {**self.settings._asdict(), "baseline": _BASELINE}


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """Gradients of every loss with and without the floor; paths of the runs, and what the floor changes."""
    shards.expect(1)
    data = shards.get("all", (0, config.num_seeds), partial(runs.train, config))
    parts = {"gradient": _gradients(config), "path": [], "rejected": [], "effect": []}
    tables = runs.tables(config)
    for algorithm, sampler in ARMS:
        log_policy, reward = (
            [data[f"{algorithm}, {sampler}, {floor}: {name}"] for floor in (0, 1)] for name in ("log_policy", "reward")
        )
        # Where wins and losses cancel Adam divides rounding by rounding: such lanes are no test of a formula.
        kept = np.ones(config.num_seeds, bool)
        if algorithm == "dpo" and sampler == OFFLINE:
            kept = ~runs.balanced(tables)
        below = [runs.below(config, tables, sampler, logs) for logs in log_policy]
        for floor in (0, 1):
            for place, step in enumerate(config.record_at):
                row = {"algorithm": algorithm, "sampler": sampler, "floor": floor, "step": float(step)}
                row |= mean("reward", reward[floor][:, place]) | mean("below", below[floor][:, place])
                parts["path"].append(row | {"seeds": float(config.num_seeds)})
        if sampler == OFFLINE:
            parts["rejected"] += _rejected(config, algorithm, tables, log_policy, kept)
        parts["effect"].append(_effect(config, algorithm, sampler, log_policy, reward, below, kept))
    return {part: Table.from_rows(rows) for part, rows in parts.items()}


def _rejected(config: Config, algorithm: str, tables: dict[str, np.ndarray], log_policy: list[np.ndarray], kept):
    """The runs against Adam down the gradients by hand, with and without the floor."""
    # Every step, where pulls cancel, 16 units of the last place of them are divided by Adam's 1e-8.
    scale = config.beta / 2 if algorithm == "dpo" else 1.0
    bound = config.num_steps * 2 * config.learning_rate * 16 * 2.0**-53 * scale / 1e-8
    for floor, measured in enumerate(log_policy):
        path = by_hand.adam_path(algorithm, tables, config.numbers, bool(floor), config.record_at)
        numbers = {"error": float(np.abs(path - measured)[kept].max()), "error_bound": bound}
        numbers["compared"] = float(kept.sum())
        found, predicted = (runs.rejected(tables, one) for one in (measured, path))
        for place, step in enumerate(config.record_at):
            row = {"algorithm": algorithm, "floor": floor, "step": float(step), **mean("rejected", found[:, place])}
            yield row | mean("predicted", predicted[:, place]) | numbers


def _effect(config: Config, algorithm: str, sampler: str, log_policy: list, reward: list, below: list, kept) -> dict:
    """Reward with the floor less that without, at the end, and their policies before an action is below."""
    free = np.cumsum(below[0] > 0, axis=1) == 0
    apart = np.abs(log_policy[1] - log_policy[0]).max(axis=2)
    row = {"algorithm": algorithm, "sampler": sampler, **mean("gain", (reward[1] - reward[0])[:, -1])}
    row |= {"early_difference": float(apart[free & kept[:, None]].max()), "largest_below": float(np.max(below[0]))}
    sizes = {"peak": config.peak, "learning_rate": config.learning_rate}
    return row | sizes | {"states": config.num_states, "draws": config.num_samples}


def _gradients(config: Config) -> Iterator[dict]:
    """Every loss at random policies: autodiff against the formula; what is left of own terms below the floor."""
    generator = np.random.default_rng(config.seed)
    shape = (config.num_random, config.num_actions)
    logits = generator.normal(0.0, config.spread, shape)
    reference = np.log(generator.dirichlet(np.ones(config.num_actions)))
    # The last action is never drawn: what reaches its logit is the normaliser's share alone.
    actions = generator.integers(0, config.num_actions - 1, (config.num_random, 3, 4))
    tables = {"actions": actions, "log_reference": reference, "reward": generator.random(config.num_actions)}
    log_policy = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    low = (log_policy < by_hand.LOW)[:, :-1]
    usable = low & (log_policy[:, -1:] > np.log(1e-3))  # else the division loses the digits
    for name in by_hand.ALGORITHMS:
        row, found = {"algorithm": name}, []
        for floor, prefix in enumerate(("", "floored_")):
            measured = _autodiff(name, logits, tables, config, bool(floor))
            expected = by_hand.gradient(name, logits, tables, config.numbers, bool(floor))
            scale = np.abs(expected).max()
            pulled = -measured[:, -1] / np.exp(log_policy[:, -1])
            own = measured[:, :-1] + np.exp(log_policy[:, :-1]) * pulled[:, None]
            row |= {f"{prefix}error": np.abs(measured - expected).max() / scale}
            row |= {f"{prefix}own": np.abs(own[usable]).max() / scale}
            # PPO's own terms carry pi(a)/pi_ref(a), advantages are below 1 and weights sum to 1.
            row |= {} if floor else {"ppo_bound": by_hand.EPSILON / np.exp(reference.min()) / scale}
            found.append(measured)
        yield row | {"change": float(np.linalg.norm(found[1] - found[0]) / np.linalg.norm(found[0]))}


def _autodiff(name: str, logits: np.ndarray, tables: dict[str, np.ndarray], config: Config, floor: bool) -> np.ndarray:
    """(K, A) gradients of the loss in the logits."""
    chosen = losses.ALGORITHMS[name]
    extra = {"baseline": jnp.asarray(_BASELINE)} if chosen.uses_baseline else {}

    @jax.jit
    @jax.vmap
    @jax.grad
    def slope(theta: Array, actions: Array) -> Array:
        log_probs = jax.nn.log_softmax(theta)[actions]
        log_probs = losses.floored(log_probs) if floor else log_probs
        fixed = jnp.asarray(tables["log_reference"])[actions]
        return chosen.loss(log_probs, fixed, jnp.asarray(tables["reward"])[actions], fixed, config.settings, **extra)

    return np.asarray(slope(logits, tables["actions"]))


EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(num_random=16, num_steps=48, num_seeds=10),
        "default": Config(),
        "paper": Config(num_random=256, num_seeds=2000),
    },
    run=run,
    check=check,
    plot=plot,
    columns={
        "*": {
            "algorithm": "loss that is minimised",
            "sampler": "who draws: pi_ref once, offline, the policy itself at every step, on_policy",
            "floor": "1 where log-probabilities are clamped at log 2^-23, 0 where not",
            "step": "steps of Adam done [steps]",
        },
        "gradient": {
            "error": "largest rounding-level error of autodiff against the formula, over the largest gradient",
            "floored_error": "largest rounding-level error with the floor, over the largest gradient",
            "own": "largest own term of a drawn action below the floor, over the largest gradient, without the floor",
            "floored_own": "largest own term of a drawn action below the floor, with the floor; rounding-level",
            "ppo_bound": "bound on PPO's own: 2^-23 over the least reference mass, over the largest gradient",
            "change": "norm of the change by the floor over the norm of the gradients, all policies together",
        },
        "path": {
            "reward": "expected reward E_pi R, mean over seeds [reward]",
            "below": "share of the data's draws below the floor, mean over seeds; on-policy a draw's probability of it",
        },
        "rejected": {
            "rejected": "log pi of the losers of all pairs, mean over pairs and seeds [nats]",
            "predicted": "log pi of the losers along Adam down the gradients by hand, mean over pairs and seeds [nats]",
            "error": "largest error of log pi against Adam by hand, over actions, steps, data sets [nats]",
            "error_bound": "what rounding allows of that error [nats]",
            "compared": "data sets compared: without an action that wins as often as it loses, under DPO [data sets]",
        },
        "effect": {
            "gain": "expected reward E_pi R at the end with the floor, less that without, mean over seeds [reward]",
            "early_difference": "largest rounding-level difference of log pi before a draw is below [nats]",
            "largest_below": "largest share of draws below, without the floor, over seeds and steps",
            "peak": "action with the largest reward",
            "learning_rate": "learning rate of Adam",
            "states": "states of a data set [states]",
            "draws": "draws of a state [draws]",
        },
    },
)
