"""banditlab: a theory-validation simulator for preference learning in contextual bandits.

Importing sets `jax_enable_x64`, unless BANDITLAB_PRECISION=float32; there is no other global state.
"""

import os as _os

import jax as _jax

_precision = _os.environ.get("BANDITLAB_PRECISION", "float64")
if _precision not in ("float32", "float64"):
    raise ValueError(f"BANDITLAB_PRECISION must be 'float32' or 'float64'; got {_precision!r}")
_jax.config.update("jax_enable_x64", _precision == "float64")

from banditlab import (  # noqa: E402  (the precision comes first)
    algorithms,
    coverage,
    designs,
    estimators,
    function_classes,
    gradient_limits,
    instances,
    losses,
    metrics,
    one_sided,
    partial_coverage,
    planner,
    policy_gradients,
    preferences,
    samplers,
    scenarios,
    testing,
    theory,
    trajectories,
)
from banditlab.algorithms import Algorithm  # noqa: E402
from banditlab.environment import Environment  # noqa: E402
from banditlab.estimators import Existence, Status  # noqa: E402
from banditlab.simulate import Run, simulate, simulate_grid  # noqa: E402

__version__ = "0.1.0"

__all__ = [
    "Algorithm",
    "Environment",
    "Existence",
    "Run",
    "Status",
    "algorithms",
    "coverage",
    "designs",
    "estimators",
    "function_classes",
    "gradient_limits",
    "instances",
    "losses",
    "metrics",
    "one_sided",
    "partial_coverage",
    "planner",
    "policy_gradients",
    "preferences",
    "samplers",
    "scenarios",
    "simulate",
    "simulate_grid",
    "testing",
    "theory",
    "trajectories",
]
