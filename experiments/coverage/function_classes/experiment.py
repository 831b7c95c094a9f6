"""General function classes: version spaces of a finite class against their exact law, and the noisy 1/n rate."""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from banditlab import function_classes
from banditlab.claims import statistics
from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
from experiments.coverage.function_classes import checks, figure, runs
from experiments.coverage.function_classes.laws import chosen_alone, exact_version_spaces, threshold
from experiments.coverage.function_classes.runs import ALONE, NOISELESS, RATE, WHOLE

CLAIM = (
    "Noiseless pairs single out f* with the failure probability of the exact version-space law, below sum_f (1-p_f)^n; "
    "following a survivor's policy helps if errors are optimistic and hurts if they are pessimistic; noise gives 1/n."
)


@dataclass(frozen=True)
class Config:
    """Pairs a round, rounds and seeds of the version spaces; numbers of pairs and seeds of the noisy parts.

    Seeds: eight standard errors are below 5% of a probability of .29 and more, and of every constant of the rate.
    """

    num_pairs: int = 4
    num_rounds: int = 24
    num_seeds: int = 49152
    error: float = 1.4
    noise: float = 1.0
    finite_pairs: tuple[int, ...] = (10, 40, 128)
    finite_seeds: int = 57344
    classes: tuple[str, ...] = ("tabular", "random features")
    rate_pairs: tuple[float, ...] = (1e4, 1e6, 1e8)
    rate_seeds: int = 18432
    seed: int = 0


def run(config: Config, shards: Shards) -> Table:
    """One row per part, arm and number of labels; what a part does not measure is zero, what it does not bound inf."""
    shards.expect(2 + len(config.classes))
    rate, failures = _rate(config, shards)
    return Table.from_rows([*_noiseless(config, shards), *_finite(config, shards), *rate], meta={"failures": failures})


def _row(part: str, arm: str, labels: float, seeds: int, predicted: float, **columns: float):
    """value against predicted; value <= bound <= crude; exceed: P(a bound with log(|F|/delta) is broken)."""
    nothing = {"bound": math.inf, "crude": math.inf, "allowance": 0.0, "undetermined": 0}
    nothing |= {"exceed": 0.0, "exceed_se": 0.0, "exceed_predicted": 0.0}
    setting = {"part": part, "arm": arm, "labels": float(labels), "seeds": seeds, "predicted": float(predicted)}
    return setting | nothing | columns


def _share(name: str, found: np.ndarray, probability: float) -> dict[str, float]:
    """A share (num_seeds,) of booleans, with the standard error that its exact probability gives."""
    error = math.sqrt(max(probability * (1 - probability), 0.0) / len(found))
    return {name: float(found.mean()), f"{name}_se": error}


def _noiseless(config: Config, shards: Shards):
    compute = partial(runs.version_spaces, config.num_pairs, config.num_rounds, config.num_seeds, config.seed)
    data = shards.get(NOISELESS, (0, config.num_seeds), compute)
    rows = []
    for arm, (error, on_policy) in runs.ARMS.items():
        env, rewards = runs.one_action_wrong(error)
        initial, truth = np.asarray(env.log_initial), np.asarray(env.reward)
        laws = exact_version_spaces(arm, config.num_pairs, config.num_rounds)
        shown = function_classes.disagreement(env, rewards, truth, initial)
        members = np.arange(laws.shape[1])[:, None] >> np.arange(len(shown)) & 1
        for k, law in enumerate(laws):
            labels = config.num_pairs * (k + 1)
            failed = float(law[1:].sum())
            columns = _share("value", data[arm][:, k] > 0, failed)
            if not on_policy:  # both bounds are for pairs from one policy
                crude, bound = function_classes.failure_bounds(env, rewards, truth, initial, labels)
                beyond = (members * (shown > threshold(len(shown)) / labels)).any(axis=1)
                exceeding = float(law @ beyond)
                columns |= {"bound": bound, "crude": crude, "exceed_predicted": exceeding}
                columns |= _share("exceed", beyond[data[arm][:, k]], exceeding)
            rows.append(_row(NOISELESS, arm, labels, config.num_seeds, failed, **columns))
    return rows


def _finite(config: Config, shards: Shards):
    setting = config.error, config.noise
    compute = partial(runs.least_squares, *setting, config.finite_pairs, config.finite_seeds, config.seed)
    data = shards.get(WHOLE, (0, config.finite_seeds), compute)
    limit = 8 * config.noise**2 * threshold(data["wrong_alone"].shape[2])
    rows = []
    for place, n in enumerate(config.finite_pairs):
        union = float(chosen_alone(*setting, n).sum())
        taken = data["wrong_alone"][:, place].sum(axis=1).astype(float)
        rows.append(_row(ALONE, ALONE, n, config.finite_seeds, union, **statistics.mean("value", taken)))
        columns = statistics.mean("value", data["wrong"][:, place].astype(float)) | {"bound": union}
        columns["exceed_predicted"] = float(chosen_alone(*setting, n, limit).sum())
        columns |= _share("exceed", data["deviation"][:, place] > limit, columns["exceed_predicted"])
        rows.append(_row(WHOLE, WHOLE, n, config.finite_seeds, union, **columns))
    return rows


def _rate(config: Config, shards: Shards):
    rows, failures = [], {}
    for name in config.classes:
        env = runs.classes()[name]
        compute = partial(runs.rate, env, config.rate_pairs, config.noise, config.rate_seeds, config.seed)
        data = shards.get(name, (0, config.rate_seeds), compute)
        failures[f"{name} undetermined"] = int(data["undetermined"])
        for arm in ("offline", "on-policy"):
            predicted = float(data[f"predicted {arm}"])
            for n, values in zip(config.rate_pairs, data[arm], strict=True):
                columns = statistics.mean("value", values)
                columns["undetermined"] = int(data["undetermined"])  # of the class, both rounds and all n
                columns["allowance"] = 2 * float(data[f"remainder {arm}"]) / n * predicted
                rows.append(_row(RATE, f"{name}, {arm}", n, config.rate_seeds, predicted, **columns))
    return rows, failures


EXPERIMENT = Experiment(
    name="function_classes",
    claim=CLAIM,
    family="coverage",
    presets={
        "smoke": Config(
            num_rounds=12, num_seeds=2048, finite_seeds=2048, rate_seeds=512, rate_pairs=(1e6,), classes=("tabular",)
        ),
        "default": Config(),
        "paper": Config(num_seeds=491_520, finite_seeds=573_440, rate_seeds=184_320),
    },
    run=run,
    check=checks.check,
    plot=figure.plot,
)
