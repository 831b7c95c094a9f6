"""Monte-Carlo estimates of KL, win rate and coverage from sampled responses, against their exact values."""

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import jax
import numpy as np

from banditlab import plotting
from banditlab.store import Shards, Table
from experiments.framework import statistics
from experiments.framework.checks import Check, identity, interval, lower, upper
from experiments.framework.experiment import Experiment
from experiments.language_model import sampled_estimates
from experiments.language_model.shared import references
from experiments.language_model.shared.references import Setup
from experiments.language_model.shared.training_runs import Bench, Cell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLAIM = (
    "KL, reward and win rate of sampled responses agree with the exact values from the tree of all responses; the "
    "coverage of a reference does not: most sets of fewer responses than one over the rarest match see a small part."
)
SAMPLED, TAIL = "sampled", "tail"
NAMES = ("kl", "reward", "reference_reward", "win_rate", "coverage", "chi_squared")


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


def check(table: Table) -> list[Check]:
    """Estimates against exact values, the law of the coverage estimate, closed forms of the corpus."""
    checks = []
    for name in ("kl", "reward", "reference_reward", "win_rate"):
        row = table.where(kind=SAMPLED, name=name)
        claim = f"{name} of {row['num_samples'][0]} sampled responses, against the tree"
        checks.append(interval(claim, row["exact"][0], row["estimate"][0], row["estimate_se"][0]))
    row = table.where(kind=SAMPLED, name="chi_squared")
    claim = "counts of matches by prompt against the tree: chi-squared a seed, mean"
    checks.append(upper(claim, row["exact"][0], row["estimate"][0], row["estimate_se"][0]))
    tail = table.where(kind=TAIL)
    last = tail.where(num_samples=tail["num_samples"].max())
    claim = f"coverage estimate over the exact value, N = {last['num_samples'][0]:.0e}, mean of sets"
    checks.append(interval(claim, 1.0, last["estimate"][0], last["estimate_se"][0]))
    checks += _tail_checks(tail)
    why = "rounding of sums over the responses"
    claim = "{} of the corpus's own table, against the closed form"
    for name in ("coverage", "optimum"):
        pair = float(table[f"closed_{name}"][0]), float(table[f"corpus_{name}"][0])
        checks.append(identity(claim.format(name), *pair, rtol=1e-8, why=why))
    share = float(table["reference_coverage"][0] / table["closed_coverage"][0])
    checks.append(lower("coverage of the pretrained references over the corpus's", 0.9, share, why=_CLOSE))
    return [*checks, upper("the same", 1.1, share, why=_CLOSE)]


_CLOSE = "what close to the corpus meant when the decoder was chosen"


def _tail_checks(tail: Table) -> list[Check]:
    """By Markov's inequality at most half of the sets exceed (1 - s)/(1/2 - N p): p and s of a full match."""
    checks = []
    for i, size in enumerate(tail["num_samples"]):
        seen = size * tail["top_prob"][i]
        if seen < 0.1:
            bound = float((1 - tail["top_share"][i]) / (0.5 - seen))
            claim = f"coverage estimate over the exact value, N = {size}, median, below Markov's bound"
            checks.append(upper(claim, bound, tail["ratio_median"][i]))
    return checks


def plot(table: Table) -> "Figure":
    """Left: estimates over exact values, in standard errors; right: the coverage estimate against N."""
    made, axes = plotting.figure(1, 2, height=2.3, width_ratios=(1, 1.5))
    names = {"kl": "KL", "reward": "reward", "reference_reward": r"reward, $\pi_{ref}$", "win_rate": "win rate"}
    for place, name in enumerate(names):
        row = table.where(kind=SAMPLED, name=name)
        value, error = (row[column][0] / row["exact"][0] for column in ("estimate", "estimate_se"))
        look = {"color": plotting.COLORS["on_policy"], "marker": "s"}
        axes[0].errorbar([100 * (value - 1)], [-place], xerr=[400 * error], **look)
    axes[0].axvline(0.0, color="#000000", linestyle=(0, (4, 2)), linewidth=0.9)
    axes[0].set_yticks(-np.arange(len(names)), list(names.values()))
    axes[0].set(title="estimate, % off", ylim=(-len(names) + 0.5, 0.5))
    tail = table.where(kind=TAIL)
    quantiles = np.stack([tail[f"ratio_{level}"] for level in statistics.BAND])
    plotting.band(axes[1], tail["num_samples"], np.maximum(quantiles, 1e-6), "reference", label="estimate / exact")
    plotting.theory(axes[1], tail["num_samples"], np.ones(len(tail)), label="exact, and mean")
    axes[1].axvline(1 / tail["top_prob"][0], color="#666666", linestyle=":", linewidth=0.9)
    axes[1].set(xscale="log", yscale="log", xlabel="responses N", title=r"coverage $E_{\pi^*}[\pi^*/\pi_{ref}]$")
    plotting.legend(made)
    needed = float(tail["relative_variance"][0]) / 0.01
    plotting.caption(
        made,
        f"Left: {table.where(kind=SAMPLED)['num_samples'][0]} responses of the decoder, bars four exact standard "
        f"errors. Right: median and 10% to 90% of sets of N responses to one prompt, from the exact law; dotted: one "
        f"full match expected. For an error of 10% N = {needed:.1e} is needed.",
    )
    return made


EXPERIMENT = Experiment(
    name="llm_estimates",
    claim=CLAIM,
    family="language_model",
    presets={
        "smoke": Config(references.SMOKE, 64, 32, 2, each=512, num_seeds=3, tail_sizes=(10, 1000), tail_repeats=256),
        "default": Config(each=2048),
        "paper": Config(references.FRESH, num_pairs=2048, batch_size=128, each=16384),
    },
    run=run,
    check=check,
    plot=plot,
)
