"""banditlab: a theory-validation simulator for preference learning in contextual bandits.

Importing sets `jax_enable_x64`, unless BANDITLAB_PRECISION=float32; there is no other global state. `claims`,
`didactic`, `llm`, `plotting` and `store` are imported when they are first asked for.
"""

from typing import TYPE_CHECKING

from banditlab import precision as _precision  # noqa: F401  (before anything is traced)

# isort: split
from banditlab import (
    algorithms,
    coverage,
    designs,
    estimators,
    instances,
    losses,
    metrics,
    planner,
    policies,
    preferences,
    samplers,
    testing,
    theory,
)
from banditlab.algorithms import Algorithm
from banditlab.environment import Environment
from banditlab.estimators import Existence, Status, policy_gradients
from banditlab.instances import labelled as scenarios
from banditlab.lazy import attributes as _attributes
from banditlab.running import Run, simulate, simulate_grid, trajectories
from banditlab.theory import function_classes, gradient_limits, one_sided, partial_coverage

if TYPE_CHECKING:
    from banditlab import claims as claims
    from banditlab import didactic as didactic
    from banditlab import llm as llm
    from banditlab import plotting as plotting
    from banditlab import store as store

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
    "policies",
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

__getattr__, __dir__ = _attributes(
    __name__,
    __all__,
    shown=("claims", "didactic", "llm", "plotting", "store"),
    moved={
        "binomial": "numerics",
        "compilation": "numerics",
        "environment": "",
        "factorise": "numerics",
        "linalg": "numerics",
        "multinomial": "numerics",
        "validation": "",
        "vectorised": "numerics",
    },
)
