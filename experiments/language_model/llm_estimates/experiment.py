"""Monte-Carlo estimates of KL, win rate and coverage from sampled responses, against their exact values."""

from dataclasses import dataclass, field

from banditlab.claims.experiment import Experiment
from experiments.language_model.llm_estimates.checks import check
from experiments.language_model.llm_estimates.figure import plot
from experiments.language_model.llm_estimates.runs import run
from experiments.language_model.shared import references
from experiments.language_model.shared.references import Setup

CLAIM = (
    "KL, reward and win rate of sampled responses agree with the exact values from the tree of all responses; the "
    "coverage of a reference does not: most sets of fewer responses than one over the rarest match see a small part."
)


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
