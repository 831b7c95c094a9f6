"""The estimates of every seed's trained policy, and the rows of the table."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import jax
import numpy as np

from banditlab.claims import statistics
from banditlab.store import Shards, Table
from experiments.language_model.llm_estimates import sampled_estimates
from experiments.language_model.shared import references
from experiments.language_model.shared.training_runs import Bench, Cell

if TYPE_CHECKING:
    from experiments.language_model.llm_estimates.experiment import Config

SAMPLED, TAIL = "sampled", "tail"
NAMES = ("kl", "reward", "reference_reward", "win_rate", "coverage", "chi_squared")


def run(config: Config, shards: Shards) -> Table:
    """A row per seed and estimate, and a row per N of the coverage's law."""
    shards.expect(1)
    data = shards.get("all", (0, config.num_seeds), partial(train, config, shards))
    shared = {"responses": config.each * config.setup.num_prompts, "seeds": config.num_seeds}
    shared |= {"closed_coverage": float(data["corpus"][0]), "corpus_coverage": float(data["corpus"][1])}
    shared |= {"closed_optimum": float(data["corpus"][2]), "corpus_optimum": float(data["corpus"][3])}
    shared |= statistics.mean("reference_coverage", data["reference_coverage"])
    for name in ("relative_variance", "top_prob", "top_share"):
        shared |= statistics.mean(name, data[name])
    rows = []
    for name in NAMES:
        estimate, exact, error = data[name].T
        row = {"kind": SAMPLED, "name": name, "num_samples": shared["responses"] * config.num_seeds}
        row |= {"estimate": estimate.mean(), "estimate_se": float(np.sqrt((error**2).sum()) / len(error))}
        row |= statistics.mean("exact", exact) | dict.fromkeys(TAILS, 0.0)
        rows.append(shared | row)
    for place, size in enumerate(config.tail_sizes):
        ratio = data["ratio"][:, place]  # seeds, repeats
        row = {"kind": TAIL, "name": "coverage", "num_samples": size}
        predicted = np.sqrt((data["relative_variance"] / (size * ratio.shape[1])).sum()) / len(ratio)
        row |= {"estimate": ratio.mean(), "estimate_se": float(predicted), "exact": 1.0, "exact_se": 0.0}
        row |= statistics.quantiles("ratio", ratio.ravel())
        rows.append(shared | row)
    return Table.from_rows(rows)


TAILS = tuple(f"ratio_{level}{end}" for level in statistics.BAND for end in ("", "_se"))


def train(config: Config, shards: Shards) -> dict[str, np.ndarray]:
    """(seeds, 3) of every estimate, the law of the coverage estimate by seed, the corpus and its closed forms."""
    bench = Bench(shards)
    sizes = (config.num_pairs, 1, config.batch_size, config.num_rounds)
    cell = Cell(config.setup, "on_policy_dpo", (), *sizes, config.rate)
    (history,) = bench.histories([cell], config.num_seeds)
    place = bench.lab(config.setup)
    rows, tails = [], []
    for seed in range(config.num_seeds):
        reference, evaluator = place.of(seed)
        policy = references.unflatten(place.model, history["params"][seed])
        number = config.setup.first_seed + seed
        key = jax.random.fold_in(jax.random.key(2**31 + 1), number)
        given = (place.model, place.task, evaluator, reference, policy)
        rows.append(sampled_estimates.estimates(*given, key, config.each))
        tails.append(sampled_estimates.tail_law(evaluator, config.tail_sizes, config.tail_repeats, number))
    evaluators = [place.of(seed)[1] for seed in range(config.num_seeds)]
    data = {name: np.stack([row[name] for row in rows]) for name in NAMES}
    data |= {name: np.stack([tail[name] for tail in tails]) for name in tails[0]}
    data |= {"corpus": np.asarray(sampled_estimates.corpus_measure(place.task))}
    return data | {"reference_coverage": references.reference_columns(evaluators)["reference_coverage"]}
