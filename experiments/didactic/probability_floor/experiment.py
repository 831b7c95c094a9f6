"""The floor on probabilities that published code inherits: where it acts, and what training does with and without."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from banditlab.claims.experiment import Experiment
from banditlab.claims.statistics import mean
from banditlab.didactic import losses
from banditlab.didactic.settings import Settings
from banditlab.store import Shards, Table
from experiments.didactic.probability_floor import by_hand, runs
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
    """Random policies and batches for gradients; runs of B states and N draws on R1, one data set again and again.

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


def run(config: Config, shards: Shards) -> Table:
    """Rows: gradients of every loss with and without the floor; paths of the runs, and what the floor changes."""
    shards.expect(1)
    data = shards.get("all", (0, config.num_seeds), partial(runs.train, config))
    rows, failures = _gradients(config), {"not finite": int(data["failed"])}
    tables = runs.tables(config)
    balanced = runs.balanced(tables)
    failures["data sets with an action that wins as often as it loses"] = int(balanced.sum())
    for algorithm, sampler in ARMS:
        log_policy, reward = (
            [data[f"{algorithm}, {sampler}, {floor}: {name}"] for floor in (0, 1)] for name in ("log_policy", "reward")
        )
        # Where wins and losses cancel Adam divides rounding by rounding: such lanes are no test of a formula.
        kept = ~balanced if algorithm == "dpo" and sampler == OFFLINE else np.ones(config.num_seeds, bool)
        below = [runs.below(config, tables, sampler, logs) for logs in log_policy]
        for floor in (0, 1):
            numbers = {"reward": reward[floor], "below": below[floor]}
            if sampler == OFFLINE:
                numbers["rejected"] = runs.rejected(tables, log_policy[floor])
            rows += _path(config, (algorithm, sampler, floor), numbers)
        if sampler == OFFLINE:
            rows += _exact(config, algorithm, tables, log_policy, kept)
        rows.append(_effect(algorithm, sampler, log_policy, reward, below, kept))
    return Table.from_rows(rows, meta={"failures": failures})


_COLUMNS = ("step", "value", "value_se", "worst", "bound", "kept")


def _row(part: str, algorithm: str, sampler: str, floor: int, quantity: str, **columns: float) -> dict:
    labels = {"part": part, "algorithm": algorithm, "sampler": sampler, "floor": floor, "quantity": quantity}
    return labels | dict.fromkeys(_COLUMNS, 0.0) | {key: float(number) for key, number in columns.items()}


def _path(config: Config, arm: tuple[str, str, int], numbers: dict[str, np.ndarray]) -> list[dict]:
    return [
        _row("path", *arm, quantity, step=step, kept=len(values), **mean("value", values[:, place]))
        for quantity, values in numbers.items()
        for place, step in enumerate(config.record_at)
    ]


def _exact(config: Config, algorithm: str, tables: dict[str, np.ndarray], log_policy: list[np.ndarray], kept) -> list:
    """The runs against Adam down the gradients by hand, with and without the floor."""
    rows = []
    for floor, measured in enumerate(log_policy):
        path = by_hand.adam_path(algorithm, tables, config.numbers, bool(floor), config.record_at)
        rejected = runs.rejected(tables, path)
        # Every step, where pulls cancel, 16 units of the last place of them are divided by Adam's 1e-8.
        scale = config.beta / 2 if algorithm == "dpo" else 1.0
        bound = config.num_steps * 2 * config.learning_rate * 16 * 2.0**-53 * scale / 1e-8
        numbers = {"worst": np.abs(path - measured)[kept].max(), "bound": bound, "kept": kept.sum()}
        for place, step in enumerate(config.record_at):
            one = mean("value", rejected[:, place])
            rows.append(_row("by hand", algorithm, OFFLINE, floor, "rejected", step=step, **one, **numbers))
    return rows


def _effect(algorithm: str, sampler: str, log_policy: list, reward: list, below: list, kept: np.ndarray) -> dict:
    """Reward with the floor less that without, at the end; worst: their difference before an action is below."""
    free = np.cumsum(below[0] > 0, axis=1) == 0
    apart = np.abs(log_policy[1] - log_policy[0]).max(axis=2)
    early = apart[free & kept[:, None]].max()
    numbers = mean("value", (reward[1] - reward[0])[:, -1])
    return _row("effect", algorithm, sampler, 1, "reward", **numbers, worst=early, bound=np.max(below[0]))


def _gradients(config: Config) -> list[dict]:
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
    rows = []
    for name in by_hand.ALGORITHMS:
        found = [_autodiff(name, logits, tables, config, bool(floor)) for floor in (0, 1)]
        for floor, measured in enumerate(found):
            expected = by_hand.gradient(name, logits, tables, config.numbers, bool(floor))
            scale = np.abs(expected).max()
            pulled = -measured[:, -1] / np.exp(log_policy[:, -1])
            own = measured[:, :-1] + np.exp(log_policy[:, :-1]) * pulled[:, None]
            usable = low & (log_policy[:, -1:] > np.log(1e-3))  # else the division loses the digits
            numbers = {"worst": np.abs(measured - expected).max() / scale, "value": np.abs(own[usable]).max() / scale}
            # PPO's own terms carry pi(a)/pi_ref(a), advantages are below 1 and weights sum to 1.
            numbers["bound"] = by_hand.EPSILON / np.exp(reference.min()) / scale
            rows.append(_row("gradient", name, OFFLINE, floor, "own term", **numbers))
        change = np.linalg.norm(found[1] - found[0]) / np.linalg.norm(found[0])
        rows.append(_row("gradient", name, OFFLINE, 1, "change", value=float(change)))
    return rows


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
    name="probability_floor",
    claim=CLAIM,
    family="didactic",
    presets={
        "smoke": Config(num_random=16, num_steps=48, num_seeds=10),
        "default": Config(),
        "paper": Config(num_random=256, num_seeds=2000),
    },
    run=run,
    check=check,
    plot=plot,
)
