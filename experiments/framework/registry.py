"""The experiments there are, by module name; a module is imported only when its experiment is wanted."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from experiments.framework.arguments import CommandLineError, unknown

if TYPE_CHECKING:
    from experiments.framework.experiment import Experiment

# Family, which is also the package that holds its modules -> experiments, in the order in which they run.
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "foundation": (
        "staircase",
        "random_features",
        "batch_threshold",
        "coverage_improvement",
        "floor_constants",
        "exact_chain",
        "hybrid_two_rounds",
    ),
    "coverage": (
        "phase_diagram",
        "sample_complexity",
        "data_reuse",
        "offline_lower_bound",
        "pessimism",
        "reward_distillation",
        "function_classes",
        "sampler_ranking",
        "exact_gradient_dynamics",
        "design_comparison",
        "misspecification",
    ),
    "partial_coverage": (
        "gap_bound",
        "reward_accuracy",
        "attainability",
        "who_wins",
        "one_sided_data",
        "label_scaling",
        "coverage_functions",
        "extrapolation",
        "unseen_mass",
        "null_test",
        "estimator_facts",
        "fair_fight",
    ),
    "didactic": (
        "kl_directions",
        "population_losses",
        "on_policyness",
        "sample_reuse",
        "negative_gradient",
        "likelihood_displacement",
        "reward_kl_frontier",
        "probability_floor",
        "reward_model_labels",
        "neural_headline",
    ),
    "language_model": (
        "llm_on_policy",
        "llm_batch_size",
        "llm_epochs",
        "llm_coverage_dial",
        "llm_hypo",
        "llm_distillation",
        "llm_hybrid",
        "llm_estimates",
    ),
}


def names() -> tuple[str, ...]:
    """Names of all experiments, in the order in which they are listed, run and verified."""
    return tuple(name for members in FAMILIES.values() for name in members)


def load(name: str) -> "Experiment":
    """The experiment called ``name``; CommandLineError when there is none."""
    family = next((family for family, members in FAMILIES.items() if name in members), None)
    if family is None:
        raise CommandLineError(unknown("NAME", name, names()))
    experiment = import_module(f"experiments.{family}.{name}").EXPERIMENT
    if (experiment.name, experiment.family) != (name, family):
        raise ValueError(f"name and family must be those of its module, {family}.{name}; got {experiment}")
    return experiment


def load_all(wanted: Sequence[str]) -> "list[Experiment]":
    """The experiments ``wanted``, or all of them when none is named."""
    return [load(name) for name in dict.fromkeys(wanted or names())]
