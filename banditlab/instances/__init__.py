"""The named instances of docs/theory.md, section 9; in `labelled` also which actions the labels show."""

from banditlab.instances.named import (
    chain,
    needle,
    partial_coverage,
    random_features,
    staircase,
    tabular,
    zhu_jordan_jiao,
)

__all__ = ["chain", "needle", "partial_coverage", "random_features", "staircase", "tabular", "zhu_jordan_jiao"]


def __dir__() -> list[str]:
    return __all__
