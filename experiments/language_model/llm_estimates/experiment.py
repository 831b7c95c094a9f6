"""Monte-Carlo estimates of KL, win rate and coverage from sampled responses, against their exact values."""

from dataclasses import dataclass, field
from functools import partial

import jax
import numpy as np

from banditlab.claims import Experiment, Shards, Table, statistics
from experiments.language_model.llm_estimates import sampled_estimates
from experiments.language_model.llm_estimates.checks import check
from experiments.language_model.llm_estimates.figure import plot
from experiments.language_model.shared import curves, references
from experiments.language_model.shared.references import Setup
from experiments.language_model.shared.training_runs import Bench, Cell

CLAIM = (
    "KL, reward and win rate of sampled responses agree with the exact values from the tree of all responses; the "
    "coverage of a reference does not: most sets of fewer responses than one over the rarest match see a small part."
)
QUANTITIES = ("kl", "reward", "reference_reward", "win_rate", "coverage", "chi_squared")


@dataclass(frozen=True)
class Config:
    """The policy is on-policy DPO's after these rounds; `each` responses of both policies to every prompt and seed.

    tail_sizes: N of the law of the coverage estimate, of tail_repeats sets each.
    """

    setup: Setup = field(default_factory=Setup)
    num_pairs: int = 1024
    batch_size: int = 64
    num_rounds: int = 8
    rate: float = 3e-3
    each: int = 4096
    num_seeds: int = 5
    tail_sizes: tuple[int, ...] = (100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
    tail_repeats: int = 4096


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """The parts "reference", exact; "sampled", a row per estimate; "sets", a row per N of the coverage's law."""
    shards.expect(1)
    data = shards.get("all", (0, config.num_seeds), partial(train, config, shards))
    corpus = ("closed_coverage", "corpus_coverage", "closed_optimum", "corpus_optimum")
    reference = {"seeds": config.num_seeds} | dict(zip(corpus, data["corpus"].tolist(), strict=True))
    reference |= statistics.mean("coverage", data["reference_coverage"])
    reference |= curves.means({name: data[name] for name in ("relative_variance", "top_prob", "top_share")})
    sampled, sets = [], []
    for name in QUANTITIES:
        estimate, exact, error = data[name].T
        row = {"quantity": name, "num_samples": config.each * config.setup.num_prompts * config.num_seeds}
        row |= {"seeds": config.num_seeds, "estimate": estimate.mean()}
        row |= {"estimate_se": float(np.sqrt((error**2).sum()) / len(error))}
        sampled.append(row | statistics.mean("exact", exact))
    for place, size in enumerate(config.tail_sizes):
        ratio = data["ratio"][:, place]  # seeds, repeats
        error = np.sqrt((data["relative_variance"] / (size * ratio.shape[1])).sum()) / len(ratio)
        row = {"num_samples": size, "seeds": config.num_seeds, "ratio": ratio.mean(), "ratio_se": float(error)}
        sets.append(row | statistics.quantiles("ratio", ratio.ravel()))
    return {
        "reference": Table.from_rows([reference]),
        "sampled": Table.from_rows(sampled),
        "sets": Table.from_rows(sets),
    }


def train(config: Config, shards: Shards) -> dict[str, np.ndarray]:
    """(seeds, 3) of every estimate, the law of the coverage estimate by seed, the corpus and its closed forms."""
    bench = Bench(shards)
    sizes = (config.num_pairs, 1, config.batch_size, config.num_rounds)
    cell = Cell(config.setup, "on_policy_dpo", (), *sizes, config.rate)
    (history,) = bench.histories([cell], config.num_seeds)
    place = bench.lab(config.setup)
    found = []
    for seed in range(config.num_seeds):
        reference, evaluator = place.of(seed)
        policy = references.unflatten(place.model, history["params"][seed])
        number = config.setup.first_seed + seed
        key = jax.random.fold_in(jax.random.key(2**31 + 1), number)
        given = (place.model, place.task, evaluator, reference, policy)
        law = sampled_estimates.tail_law(evaluator, config.tail_sizes, config.tail_repeats, number)
        found.append(sampled_estimates.estimates(*given, key, config.each) | law)
    evaluators = [place.of(seed)[1] for seed in range(config.num_seeds)]
    data = {name: np.stack([each[name] for each in found]) for name in found[0]}
    data |= {"corpus": np.asarray(sampled_estimates.corpus_measure(place.task))}
    return data | {"reference_coverage": references.reference_columns(evaluators)["reference_coverage"]}


COLUMNS = {
    "reference": {
        "closed_coverage": "E_pi*[pi*/pi_ref] of target pi* with the corpus as pi_ref, in closed form",
        "corpus_coverage": "E_pi*[pi*/pi_ref] of target pi* with the corpus as pi_ref, from its table of all responses",
        "closed_optimum": "J* of the objective J with the corpus as the reference, in closed form [reward]",
        "corpus_optimum": "J* of the objective J with the corpus as the reference, from its table [reward]",
        "coverage": "E_pi*[pi*/pi_ref] of target pi* and pretrained reference pi_ref, mean over prompts",
        "relative_variance": "variance of one response's (pi*/pi_ref)^2 over its squared mean, first prompt",
        "top_prob": "probability of a full match under pi_ref, first prompt",
        "top_share": "part of the coverage that full matches make up, first prompt",
    },
    "sampled": {
        "quantity": "what is estimated: KL(pi||pi_ref), rewards, win rate, coverage, Pearson's statistic of matches",
        "num_samples": "responses of each of policy and reference, all seeds together [responses]",
        "estimate": "mean over seeds of the sampled quantity, the error from the exact variance",
        "exact": "its exact expectation from the tree of all responses",
    },
    "sets": {
        "num_samples": "responses of the reference to its first prompt in a set [responses]",
        "ratio": "coverage estimate over its exact value, mean over sets, the error from the exact variance",
        "ratio_low": "10% quantile over sets of the coverage estimate over its exact value",
        "ratio_median": "median over sets of the coverage estimate over its exact value",
        "ratio_high": "90% quantile over sets of the coverage estimate over its exact value",
    },
}

EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(references.SMOKE, 64, 32, 2, each=512, num_seeds=3, tail_sizes=(10, 1000), tail_repeats=256),
        "default": Config(each=2048),
        "paper": Config(references.FRESH, num_pairs=2048, batch_size=128, each=16384),
    },
    run=run,
    check=check,
    plot=plot,
    columns=COLUMNS,
)
