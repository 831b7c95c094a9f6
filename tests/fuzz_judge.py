"""What a call of the fuzzer comes to, in the process that makes it."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

import fuzz_calls

REFUSED, ODD = "refused, naming the argument", "right arguments refused together, naming one"
FINITE, DOCUMENTED = "finite numbers", "infinite, as the docstring says"
FLAGGED, OVERFLOW = "not finite, and flagged by a status", "infinite, from a number at the end of its type"
NO_CALL, FAILURE = "no call: the expression has no value", "failure"
OUTCOMES = (REFUSED, ODD, FINITE, DOCUMENTED, FLAGGED, OVERFLOW, NO_CALL, FAILURE)
# What flags a result: a field of that name that holds another value than this.
FLAGS = {"status": 0, "existence": 0, "converged": 1, "finite": 1, "spans": 1}
# Results that carry the numbers they were given, inf for no cap or limit among them.
CARRIED = ("Algorithm", "Settings")
EXTREME = re.compile(r"1e308|5e-324|1e-320|1e-300|e[+-]\d{2,3}\b")


def serve(pipe: Connection) -> None:
    """Answer calls until the pipe closes."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ.setdefault("BANDITLAB_DEVICES", "1")
    import jax

    from banditlab.claims import jax_settings
    from experiments import CHECKOUT

    jax_settings.configure(CHECKOUT / ".jax_cache")
    jax.config.update("jax_disable_most_optimizations", True)
    import fuzz_values

    names = fuzz_values.namespace()
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    warnings.simplefilter("ignore")
    pipe.send("ready")
    while True:
        try:
            call = pipe.recv()
        except EOFError:
            return
        pipe.send(outcome(call, names))


def outcome(call: fuzz_calls.Call, names: dict[str, object]) -> tuple[str, str]:
    """(one of OUTCOMES, what was said or found)."""
    function = fuzz_calls.find(call.target)
    try:
        args, kwargs = _arguments(call.target, call.text, names)
    except Exception as error:
        return NO_CALL, repr(error)[:200]
    try:
        result = _called(function, args, kwargs)
    except Exception as error:
        found, said = _of_error(call, error)
        return (
            (ODD, said) if found == FAILURE and call.hostile and _refused_anyway(call, names, error) else (found, said)
        )
    return _of_result(call, function, result)


def _called(function: Callable[..., object], args: tuple, kwargs: dict[str, object]) -> object:
    """The result; of a traced argument nothing but that there is one, since what is no array cannot leave a trace."""
    import jax
    from fuzz_values import Traced

    marked = [key for key, value in (*enumerate(args), *kwargs.items()) if isinstance(value, Traced)]
    if not marked:
        return function(*args, **kwargs)
    (key,) = marked
    value = (kwargs if isinstance(key, str) else args)[key].value

    def called(value: object) -> float:
        given = tuple(value if place == key else other for place, other in enumerate(args))
        function(*given, **{name: value if name == key else other for name, other in kwargs.items()})
        return 0.0

    return jax.jit(called)(value)


def _arguments(target: str, text: str, names: dict[str, object]) -> tuple[tuple, dict[str, object]]:
    return eval(f"(lambda *args, **kwargs: (args, kwargs)){text[len(target) :]}", names)


def _refused_anyway(call: fuzz_calls.Call, names: dict[str, object], error: Exception) -> bool:
    """Whether the call is refused in the same words where all arguments are right: they do not go together."""
    args, kwargs = _arguments(call.target, call.right, names)
    try:
        fuzz_calls.find(call.target)(*args, **kwargs)
    except Exception as again:
        return str(again) == str(error) and _of_error(call._replace(hostile=""), again)[0] == ODD
    return False


def _of_error(call: fuzz_calls.Call, error: Exception) -> tuple[str, str]:
    from banditlab.errors import CommandLineError

    said = f"{type(error).__name__}: {error}"[:400]
    wanted = (call.hostile,) if call.hostile else call.names
    named = any(re.search(rf"\b{re.escape(name)}\b", str(error)) for name in wanted)
    if not isinstance(error, ValueError | TypeError | CommandLineError) or not named:
        return FAILURE, said
    return (REFUSED if call.hostile else ODD), said


def _of_result(call: fuzz_calls.Call, function: object, result: object) -> tuple[str, str]:
    import numpy as np

    if type(result).__name__ in CARRIED:
        return FINITE, ""
    leaves = list(numbers(result, ""))
    bad = [(where, leaf[~np.isfinite(leaf)].flat[0]) for where, leaf in leaves if not np.isfinite(leaf).all()]
    if not bad:
        return FINITE, ""
    said = ", ".join(f"{where or 'result'} holds {value}" for where, value in bad[:4])
    if any(_flagged(where, leaf) for where, leaf in leaves):
        return FLAGGED, said
    if any(np.isnan(leaf).any() for _, leaf in leaves):
        return FAILURE, said
    plain = inspect.unwrap(function)
    if re.search(r"\binf", f"{plain.__doc__} {type(result).__doc__}"):
        return DOCUMENTED, said
    return (OVERFLOW if EXTREME.search(call.text) else FAILURE), said


def _flagged(where: str, leaf: object) -> bool:
    fine = FLAGS.get(where.rpartition(".")[2])
    return fine is not None and bool((leaf != fine).any())


def numbers(value: object, where: str) -> Iterator[tuple[str, object]]:
    """(where, NumPy array) of all numbers that a result holds."""
    import jax
    import numpy as np

    if isinstance(value, dict):
        parts = value.items()
    elif hasattr(value, "_asdict"):
        parts = value._asdict().items()
    elif dataclasses.is_dataclass(value):
        parts = [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    elif isinstance(value, list | tuple):
        parts = enumerate(value)
    else:
        if isinstance(value, jax.Array) and jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key):
            return
        if isinstance(value, jax.Array | np.ndarray | np.generic | float | int):
            array = np.asarray(value)
            if array.dtype.kind in "biufc":
                yield where, array
        return
    for name, part in parts:
        yield from numbers(part, f"{where}.{name}")
