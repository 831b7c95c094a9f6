"""The jit boundary: simulations of whole algorithms, and training curves of many data sets."""

from banditlab.running import trajectories
from banditlab.running.simulation import Run, simulate, simulate_grid

__all__ = ["Run", "simulate", "simulate_grid", "trajectories"]


def __dir__() -> list[str]:
    return __all__
