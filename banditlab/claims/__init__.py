"""Stating and checking a claim: declared data, derived checks, named tables, and a record of where they come from.

`docs/example_claim.py` is a whole claim; `banditlab run FILE.py` computes it, `banditlab verify FILE.py` checks it.
"""

from banditlab.claims import statistics
from banditlab.claims.checks import Check, above, below, identity, interval, lower, upper
from banditlab.claims.evaluation import Outcome, evaluate
from banditlab.claims.experiment import Experiment
from banditlab.claims.instances import Instance, instance_field
from banditlab.claims.registry import Collection, register
from banditlab.claims.side_by_side import side_by_side
from banditlab.store import Shards, Table

__all__ = [
    "Check",
    "Collection",
    "Experiment",
    "Instance",
    "Outcome",
    "Shards",
    "Table",
    "above",
    "below",
    "evaluate",
    "identity",
    "instance_field",
    "interval",
    "lower",
    "register",
    "side_by_side",
    "statistics",
    "upper",
]


def __dir__() -> list[str]:
    return __all__
