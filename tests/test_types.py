"""Public signatures are typed: every argument has an annotation, and none holds `Any` or `object` but those named."""

import inspect
import typing
from importlib import import_module

from public_names import callables

import banditlab as bl

PYTREE = "any pytree: users choose what their own algorithm keeps"
# Qualified name and argument -> why nothing narrower is true. At most ten.
UNTYPED = {
    "banditlab.algorithms.base.Algorithm settings": PYTREE,
    "banditlab.algorithms.base.Algorithm options": "any hashable; read by the algorithm's own step as what it is",
    "banditlab.algorithms.base.Algorithm.create settings": "Python numbers, arrays and functions that carry arrays",
    "banditlab.running.simulation.Run params": PYTREE,
    "banditlab.claims.evaluation.Outcome record": "JSON data",
    "banditlab.plotting.styles.Subplots gridspec_kw": "Matplotlib's own dictionary",
}
# What an annotation may not be, nor hold; a TypeVar says that two arguments agree.
NOTHING = (typing.Any, object, inspect.Parameter.empty)


def arguments(value):
    """(name, annotation) of what a caller gives."""
    if typing.is_typeddict(value) or dataclass_like(value):
        yield from value.__annotations__.items()
        return
    if isinstance(value, type):
        if "__init__" not in vars(value) or getattr(value, "_is_protocol", False):
            return
        value = value.__init__
    for index, parameter in enumerate(inspect.signature(value).parameters.values()):
        if not (index == 0 and parameter.name in ("self", "cls")):
            yield parameter.name, parameter.annotation


def dataclass_like(value):
    return isinstance(value, type) and (hasattr(value, "_fields") or "__dataclass_fields__" in vars(value))


def loose(annotation):
    """Whether an annotation is, or holds, one that says nothing; texts are read as texts."""
    if isinstance(annotation, typing.ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        words = annotation.replace("[", " ").replace("]", " ").replace(",", " ").replace("|", " ").split()
        return bool({"Any", "typing.Any", "object"} & set(words))
    return annotation in NOTHING or any(
        loose(part) for part in typing.get_args(annotation) if "numpy" not in repr(part)
    )


def test_public_arguments_are_typed():
    found = callables()
    assert len(found) > 300  # the walk sees the library
    untyped = {f"{where} {name}" for where, value in found.items() for name, hint in arguments(value) if loose(hint)}
    assert untyped == set(UNTYPED)
    assert len(UNTYPED) <= 10


def test_an_untyped_argument_would_be_seen():
    def told(env: bl.Environment, value: typing.Any, texts: "dict[str, object]", bare=1) -> None:
        del env, value, texts, bare

    assert [name for name, hint in arguments(told) if loose(hint)] == ["value", "texts", "bare"]


def test_the_package_says_that_it_is_typed():
    assert (import_module("importlib.resources").files(bl) / "py.typed").is_file()
