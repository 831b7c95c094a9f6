"""Training runs of a table of logits on one problem at one learning rate, two jobs at a time."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from banditlab.didactic import policies, training
from banditlab.didactic.problem import Problem
from banditlab.store import failures
from experiments.didactic.shared.tuned_training import all_named


def trained(algorithm: str, bandit: Problem, names: Sequence[str], **options: Any) -> dict[str, np.ndarray]:
    """The arrays `names` of `training.train`, and how many of its runs were not finite, "failed"."""
    found = training.train(algorithm, policies.tabular(), bandit, **options)
    return {name: found[name] for name in names} | {"failed": np.asarray(training.failures(found)["nonfinite"])}


def counted(jobs: Mapping[str, Callable[[], Mapping[str, np.ndarray]]]) -> dict[str, np.ndarray]:
    """`all_named` of jobs by `trained`; what failed is no array of a shard, but an entry of it."""
    found = all_named(jobs)
    return found | failures({"not finite": [found.pop(f"{name}: failed") for name in jobs]})
