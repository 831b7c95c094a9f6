"""Hypothesis strategies of calls of public callables: all arguments right, or all but one."""

import importlib
import inspect
import itertools
import re
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import hypothesis
import public_names
from fuzz_values import ENVIRONMENTS, HOSTILE, right_values
from hypothesis import strategies as st

# What is not called, and why.
LEFT_OUT = {
    "banditlab.claims": "its arguments are an experiment's own functions, tables and files",
    "banditlab.llm": "its arguments are parameters of a decoder, checked by `LanguageModel` and the command",
    "banditlab.plotting": "its arguments are Matplotlib's objects",
    "banditlab.store": "its arguments are folders, files and code",
    "banditlab.testing.check_algorithm": "a test, which runs an algorithm many times and says what is wrong with it",
}
# Names for what takes any keyword.
KEYWORDS = {
    "banditlab.environment.Environment.replace": (
        *("beta", "reward", "target_params", "log_reference", "context_probs", "initial_params", "features"),
    )
}
ARRAYS = re.compile(r"Array|ndarray|Policy|Law|Wins|Params|Information|Table")
FUNCTIONS = re.compile(r"Callable|Labeller|Loss|Sampler")
LITERAL = re.compile(r"None|inf|True|False|'.*'|[\d.e+-]+")


class Parameter(NamedTuple):
    """An argument: name, annotation as a text, and whether it must be given, and by its place."""

    name: str
    annotation: str
    required: bool
    by_place: bool


class Call(NamedTuple):
    """A call as an expression, the same with all arguments right, which is not (none: ""), and the names of all."""

    target: str
    text: str
    right: str
    hostile: str
    names: tuple[str, ...]


def targets() -> dict[str, Callable[..., object]]:
    """Public functions and methods by a name that finds them, but those of `LEFT_OUT`."""
    found: dict[int, tuple[str, Callable[..., object]]] = {}
    for module in public_names.public_modules():
        for name in public_names.public_names(module):
            for path, function in _of(module, name):
                plain = inspect.unwrap(function)
                home = public_names.home(plain)
                if home.startswith("banditlab") and (id(plain) not in found or home == module.__name__):
                    found[id(plain)] = path, function
    named = dict(sorted(found.values()))
    return {path: f for path, f in named.items() if not any(f"{path}.".startswith(f"{out}.") for out in LEFT_OUT)}


def _of(module: object, name: str) -> Iterator[tuple[str, Callable[..., object]]]:
    value, path = getattr(module, name), f"{module.__name__}.{name}"
    if inspect.isclass(value):
        if value.__module__ == module.__name__ and not getattr(value, "_is_protocol", False):
            yield from ((f"{path}.{part}", getattr(value, part)) for part, _ in public_names.methods(value))
    elif inspect.isfunction(inspect.unwrap(value)) if callable(value) else False:
        yield path, value


def place(target: str, function: Callable[..., object]) -> str:
    """Where a callable is defined, which says what its arguments are; its public name where that is made by another."""
    plain = inspect.unwrap(function)
    return target if "<locals>" in plain.__qualname__ else f"{plain.__module__}.{plain.__qualname__}"


def find(target: str) -> Callable[..., object]:
    """The callable of that name."""
    value: object = importlib.import_module(target.partition(".")[0])
    for stop, part in enumerate(target.split(".")[1:], 2):
        path = ".".join(target.split(".")[:stop])
        value = getattr(value, part) if hasattr(value, part) else importlib.import_module(path)
    return value


def parameters(target: str, function: Callable[..., object]) -> list[Parameter]:
    """The arguments that `function` takes."""
    found, by_place = [], any(p.kind is p.VAR_POSITIONAL for p in inspect.signature(function).parameters.values())
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            fields = None if target in KEYWORDS else typing.get_args(typing.get_type_hints(function)[name])[0]
            names = (
                typing.get_type_hints(fields, include_extras=True)
                if fields
                else dict.fromkeys(KEYWORDS[target], "ArrayLike")
            )
            found += [Parameter(key, str(hint), "Required" in str(hint), False) for key, hint in names.items()]
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            place = by_place and parameter.kind is not parameter.KEYWORD_ONLY
            found.append(Parameter(name, str(parameter.annotation), parameter.default is parameter.empty, place))
    return found


def traced(target: str, function: Callable[..., object], env: str) -> Iterator[Call]:
    """The right call of one callable, with each of its required arrays traced in turn."""
    takes = parameters(target, function)
    names = tuple(parameter.name for parameter in takes)
    values = {p: (right_values(place(target, function), p.name) or [""])[0].replace("{E}", env) for p in takes}
    for marked, value in values.items():
        if marked.required and ARRAYS.search(marked.annotation) and not LITERAL.fullmatch(value):
            given = {p: f"Traced(jnp.asarray({text}))" if p == marked else text for p, text in values.items()}
            texts = (
                ", ".join(f"{'' if p.by_place else f'{p.name}='}{text}" for p, text in chosen.items() if p.required)
                for chosen in (given, values)
            )
            yield Call(target, *(f"{target}({text})" for text in texts), marked.name, names)


@st.composite
def calls(draw: st.DrawFn, target: str, function: Callable[..., object]) -> Call:
    """A call of one callable; the simplest one is right."""
    env, arguments, rightly = draw(st.sampled_from(ENVIRONMENTS)), [], []
    takes = parameters(target, function)
    right = {p.name: right_values(place(target, function), p.name) for p in takes}
    if unknown := [name for name, values in right.items() if values is None]:
        raise ValueError(f"VALID must have a right value of {', '.join(unknown)} of {target}")
    names = [name for name in right if name != "self"]
    hostile = draw(st.sampled_from(["", *names, *names, *names])) if names else ""
    for parameter in takes:
        if parameter.required or parameter.name == hostile or draw(st.integers(0, 3)) == 3:
            value = draw(st.sampled_from(right[parameter.name])).replace("{E}", env)
            given = draw(_hostile(value, parameter.annotation)) if parameter.name == hostile else value
            name = "" if parameter.by_place else f"{parameter.name}="
            arguments.append(f"{name}{given}")
            rightly.append(f"{name}{value}")
    return Call(target, f"{target}({', '.join(arguments)})", f"{target}({', '.join(rightly)})", hostile, tuple(names))


def _hostile(value: str, annotation: str) -> st.SearchStrategy[str]:
    # What a caller's own function raises is the caller's.
    objects = [text for text in HOSTILE["objects"] if text != "len" or not FUNCTIONS.search(annotation)]
    kinds = [st.sampled_from(HOSTILE["numbers"]), st.sampled_from(objects)]
    if "float" in annotation:
        kinds.append(st.floats().map(repr))
    if ARRAYS.search(annotation) and not LITERAL.fullmatch(value):
        kinds += [st.sampled_from(HOSTILE["arrays"]).map(lambda text: text.replace("{V}", value))] * 3
    return st.one_of(kinds)


def drawn(count: int, seed: int, only: Sequence[str] = ()) -> list[Call]:
    """`count` calls, as many of every callable (of those whose name holds one of `only`), in a fixed order."""
    found: list[list[Call]] = []
    chosen = {path: f for path, f in targets().items() if not only or any(word in path for word in only)}
    each = -(-count // len(chosen))
    for number, (target, function) in enumerate(chosen.items()):
        found.append([])

        @hypothesis.seed(seed * 1_000_003 + number)
        @hypothesis.settings(
            max_examples=each,
            database=None,
            deadline=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(calls(target, function))
        def collect(call: Call) -> None:
            found[-1].append(call)

        collect()
    return [call for turn in itertools.zip_longest(*found) for call in turn if call is not None][:count]
