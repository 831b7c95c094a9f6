"""General function classes: version spaces of a finite class against their exact law, and the noisy 1/n rate."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from banditlab import function_classes
from banditlab.claims import Experiment, Shards, Table, statistics
from banditlab.exact.finite_class import chosen_alone, threshold
from experiments.coverage.function_classes import checks, figure, runs
from experiments.coverage.function_classes.laws import exact_version_spaces
from experiments.shared import shares

CLAIM = (
    "Noiseless pairs single out f* with the failure probability of the exact version-space law, below sum_f (1-p_f)^n; "
    "following a survivor's policy helps if errors are optimistic and hurts if they are pessimistic; noise gives 1/n."
)


@dataclass(frozen=True)
class Config:
    """Pairs a round, rounds and seeds of the version spaces; numbers of pairs and seeds of the noisy parts.

    Seeds: eight standard errors are below 5% of a probability of .29 and more, and of every constant of the rate.
    beta leaves pi* of the tables where it is: their rewards scale with it, the errors of the wrong functions do not.
    """

    num_pairs: int = 4
    num_rounds: int = 24
    num_seeds: int = 49152
    error: float = 1.4
    noise: float = 1.0
    beta: float = 1.0
    finite_pairs: tuple[int, ...] = (10, 40, 128)
    finite_seeds: int = 57344
    classes: tuple[str, ...] = ("tabular", "random features")
    rate_pairs: tuple[float, ...] = (1e4, 1e6, 1e8)
    rate_seeds: int = 18432
    seed: int = 0


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """version_spaces by arm and labels, bounds of the off-policy arm; least_squares by labels; rate by class."""
    shards.expect(2 + len(config.classes))
    parts = _version_spaces(config, shards) | {"least_squares": _finite(config, shards), "rate": _rate(config, shards)}
    return {part: Table.from_rows(rows) for part, rows in parts.items()}


def _version_spaces(config: Config, shards: Shards) -> dict[str, list]:
    setting = config.num_pairs, config.num_rounds
    compute = partial(runs.version_spaces, *setting, config.num_seeds, config.seed, config.beta)
    data = shards.get("noiseless", (0, config.num_seeds), compute)
    parts = {"version_spaces": [], "bounds": []}
    for arm, (error, on_policy) in runs.ARMS.items():
        env, rewards = runs.one_action_wrong(error, config.beta)
        initial, truth = np.asarray(env.log_initial), np.asarray(env.reward)
        laws = exact_version_spaces(arm, *setting, config.beta)
        shown = function_classes.disagreement(env, rewards, truth, initial)
        members = np.arange(laws.shape[1])[:, None] >> np.arange(len(shown)) & 1
        for k, law in enumerate(laws):
            labels = config.num_pairs * (k + 1)
            size = {"labels": float(labels), "seeds": config.num_seeds}
            failed = shares.beside("failure", law[1:].sum(), (data[arm][:, k] > 0).mean(), config.num_seeds)
            parts["version_spaces"].append({"arm": arm} | size | failed)
            if not on_policy:  # both bounds are for pairs from one policy
                crude, union = function_classes.failure_bounds(env, rewards, truth, initial, labels)
                beyond = (members * (shown > threshold(len(shown), runs.DELTA) / labels)).any(axis=1)
                exceeded = shares.beside("exceed", law @ beyond, beyond[data[arm][:, k]].mean(), config.num_seeds)
                parts["bounds"].append(size | {"union_bound": union, "crude_bound": crude} | exceeded)
    return parts


def _finite(config: Config, shards: Shards) -> list[dict[str, float]]:
    env, rewards = runs.one_action_wrong(config.error)
    shown = function_classes.disagreement(env, rewards, np.asarray(env.reward), np.asarray(env.log_initial))
    setting = config.error, config.noise
    compute = partial(runs.least_squares, *setting, config.finite_pairs, config.finite_seeds, config.seed)
    data = shards.get("whole class", (0, config.finite_seeds), compute)
    limit = 8 * config.noise**2 * threshold(len(shown), runs.DELTA)
    rows = []
    for place, n in enumerate(config.finite_pairs):
        row = {"labels": float(n), "seeds": config.finite_seeds}
        row |= {"errors_exact": float(chosen_alone(shown, *setting, n).sum())}
        row |= statistics.mean("errors", data["wrong_alone"][:, place].sum(axis=1).astype(float))
        row |= statistics.mean("failure", data["wrong"][:, place].astype(float))
        union = float(chosen_alone(shown, *setting, n, limit).sum())
        exceeded = (data["deviation"][:, place] > limit).mean()
        rows.append(row | shares.beside("exceed", union, exceeded, config.finite_seeds))
    return rows


def _rate(config: Config, shards: Shards) -> list[dict[str, float | str]]:
    rows = []
    for name in config.classes:
        env = runs.classes(config.beta)[name]
        compute = partial(runs.rate, env, config.rate_pairs, config.noise, config.rate_seeds, config.seed)
        data = shards.get(name, (0, config.rate_seeds), compute)
        for arm in ("offline", "on-policy"):
            constant = float(data[f"predicted {arm}"])
            for n, values in zip(config.rate_pairs, data[arm], strict=True):
                row = {"arm": f"{name}, {arm}", "num_pairs": float(n), "seeds": config.rate_seeds}
                row |= {"constant": constant, "allowance": 2 * float(data[f"remainder {arm}"]) / n * constant}
                row |= {"undetermined": int(data["undetermined"])}
                rows.append(row | statistics.mean("scaled_error", values))
    return rows


EXPERIMENT = Experiment(
    claim=CLAIM,
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
    columns={
        "version_spaces": {
            "arm": "sampler, and the sign of the functions' errors where it follows the survivors",
            "failure_exact": "exact probability that a wrong function fits all labels",
            "failure": "share of seeds where a wrong function fits all labels",
        },
        "bounds": {
            "union_bound": "sum over wrong f of (1-p_f)^n, p_f the share of pairs that tell f from f*, n the labels",
            "crude_bound": "|F| (1-p_0)^n, |F| the number of wrong functions, p_0 the least p_f, n the labels",
            "exceed_exact": "exact probability that a survivor has p_f > log(|F|/delta)/n, |F| with f*",
            "exceed": "share of seeds where a survivor has p_f > log(|F|/delta)/n, |F| with f*",
        },
        "least_squares": {
            "errors_exact": "sum over wrong f of the exact probability that least squares over {f*, f} takes f",
            "errors": "number of wrong f that least squares over {f*, f} takes, mean over seeds",
            "failure": "share of seeds where least squares over the whole class is wrong; errors_exact bounds it",
            "exceed_exact": "exact union bound on the probability that a seed counts in exceed",
            "exceed": "share of seeds with sum (Delta_fhat - Delta*)^2 > 8 tau^2 log(|F|/delta), Delta_f the "
            "difference that f predicts for a pair, fhat what is taken, tau the noise",
        },
        "rate": {
            "arm": "class of functions, and where its pairs come from",
            "constant": "tau^2 tr(V* M^-1), tau the noise, V* the covariance at pi*, M the pairs' second moment "
            "[reward^2 x labels]",
            "allowance": "2/num_pairs times the largest z'M^-1 z over feature differences z times the constant, what "
            "its O(1/num_pairs) remainder is allowed [reward^2 x labels]",
            "undetermined": "batches of the class without full rank, both rounds and all sizes [batches]",
            "scaled_error": "num_pairs times E_x Var_{pi*}(f_hat - f*), mean over seeds [reward^2 x labels]",
        },
    },
)
