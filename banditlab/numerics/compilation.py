"""How whole runs are compiled: the options of an outermost `jit`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jaxlib

# XLA's fusion emitters take a third of the time of a first call. On the arrays of a bandit they gain 0 to 8%; on arrays
# that no cache holds far more: a program that streams such asks for them itself. Since jaxlib 0.11 they are always on.
OPTIONS: dict[str, bool] = {"xla_cpu_use_fusion_emitters": False} if jaxlib.version.__version_info__ < (0, 11) else {}


def outermost(fun: Callable[..., Any], *, optimized: bool = True) -> Callable[..., Any]:
    """`jax.jit` with `OPTIONS`, for a function that is never traced inside another: JAX refuses options there.

    `optimized = False` is for what runs once and spends its time in LAPACK: it compiles in half the time.
    """
    level = {} if optimized else {"xla_backend_optimization_level": 0}
    return jax.jit(fun, compiler_options={**OPTIONS, **level})
