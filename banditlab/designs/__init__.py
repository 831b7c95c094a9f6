"""Preferential G-optimal designs with a certificate (docs/theory.md, Proposition 6), and the L-optimal oracle.

Every design carries its duality gap over ALL pairs or nodes, so it proves itself: gap = (left side of the
equivalence theorem) / d - 1, with d the rank of the environment. Contexts of probability zero and actions outside
the class are left out. All functions can be jitted and vmapped over environments of equal shape.
"""

from banditlab.designs.certified import (
    MAX_STEPS,
    Design,
    conditional_nodes,
    conditional_pairs,
    d_optimal,
    joint,
    l_optimal,
    triple,
)

__all__ = ["MAX_STEPS", "Design", "conditional_nodes", "conditional_pairs", "d_optimal", "joint", "l_optimal", "triple"]


def __dir__() -> list[str]:
    return __all__
