"""How whole runs are compiled: the options of an outermost `jit`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jaxlib

# XLA's fusion emitters take a third of the time of a first call. On the arrays of a bandit they gain 0 to 8%; on arrays
# that no cache holds far more: a program that streams such asks for them itself. Since jaxlib 0.11 they are always on.
OPTIONS: dict[str, bool] = {"xla_cpu_use_fusion_emitters": False} if jaxlib.version.__version_info__ < (0, 11) else {}


# Why most functions are compiled by themselves.
LOOPS = "an eager call would compile its loops anew, which takes 0.1 to 5 s"
Function = TypeVar("Function", bound=Callable[..., Any])


def inner(reason: str, *, static: str | Sequence[str] = ()) -> Callable[[Function], Function]:
    """`jax.jit` for a function that is called eagerly and traced inside others: its loops are compiled once.

    Args:
        reason: what an eager call costs without, as measured.
        static: names of arguments whose values select the code.
    """

    def compiled(function: Function) -> Function:
        if not reason:
            raise ValueError(f"reason must say what {function.__name__} costs uncompiled; got nothing")
        return jax.jit(function, static_argnames=static)  # pyright: ignore[reportReturnType]

    return compiled


def outermost(fun: Callable[..., Any], *, optimized: bool = True) -> Callable[..., Any]:
    """`jax.jit` with `OPTIONS`, for a function that is never traced inside another: JAX refuses options there.

    `optimized = False` is for what runs once and spends its time in LAPACK: it compiles in half the time.
    """
    level = {} if optimized else {"xla_backend_optimization_level": 0}
    return jax.jit(fun, compiler_options={**OPTIONS, **level})


def streaming(fun: Callable[..., Any]) -> Callable[..., Any]:
    """`outermost` for a program that is bound by memory traffic: with XLA's fusion emitters."""
    return jax.jit(fun, compiler_options=dict.fromkeys(OPTIONS, True))
