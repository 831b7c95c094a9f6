"""An environment named in a configuration: one of the library's instances with its arguments, or a saved one."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from banditlab.environment import Environment
from banditlab.instances import named
from banditlab.store.files import read_bytes, sha256_of_bytes

# Key of a field's metadata: the fields that the instance replaces.
REPLACES = "replaces"


def instance_field(*replaces: str) -> Any:
    """The field ``instance: Instance | None`` of a configuration, None by default.

    An instance that is chosen takes the place of the fields ``replaces``, by name; setting one beside it is an error.
    """
    return field(default=None, metadata={REPLACES: replaces})


@dataclass(frozen=True)
class Instance:
    """A factory of `banditlab.instances` and its keyword arguments, or the file of `Environment.save`.

    Attributes:
      name: of the factory; the path of the file, which ends in ``.npz``.
      arguments: numbers by keyword; none for a file.
      sha256: of the file, so that another content is another configuration.
    """

    name: str
    arguments: Mapping[str, float] = field(default_factory=dict)
    sha256: str = ""

    @classmethod
    def parse(cls, text: str) -> Instance:
        """``random_features(num_actions=5, seed=3)``, ``chain()``, or a path that ends in ``.npz``.

        The text is parsed and never evaluated. Raises ValueError for anything else.
        """
        if text.endswith(".npz"):
            try:
                content = read_bytes(Path(text))
            except OSError as error:
                raise ValueError(f"the file cannot be read: {error.strerror}") from error
            except ValueError as error:
                raise ValueError(f"the file {error}") from error
            return cls(text, sha256=sha256_of_bytes(content))
        known = _factories()
        try:
            call = ast.parse(text, mode="eval").body
            name = call.func.id  # type: ignore[attr-defined]
            arguments = {item.arg: ast.literal_eval(item.value) for item in call.keywords}  # type: ignore[attr-defined]
            positional = call.args  # type: ignore[attr-defined]
        except (SyntaxError, AttributeError, ValueError, MemoryError, RecursionError) as error:
            raise ValueError("a call such as staircase(num_stairs=6) is wanted, or FILE.npz") from error
        if name not in known:
            raise ValueError(f"instances are {', '.join(known)}")
        numbers = all(type(value) in (int, float, bool) for value in arguments.values())
        if positional or not numbers or not set(arguments) <= set(known[name]):
            raise ValueError(f"{name} takes numbers by keyword: {', '.join(known[name])}")
        return cls(name, arguments)

    def __str__(self) -> str:
        """The text that `parse` reads."""
        arguments = ", ".join(f"{name}={value}" for name, value in self.arguments.items())
        return self.name if self.sha256 else f"{self.name}({arguments})"

    def environment(self) -> Environment:
        """The environment; ValueError for arguments or a file that `Environment.create` refuses."""
        if self.sha256:
            if sha256_of_bytes(read_bytes(Path(self.name))) != self.sha256:
                raise ValueError(f"instance must be the file that was chosen; '{self.name}' has changed since")
            return Environment.load(self.name)
        return getattr(named, self.name)(**self.arguments)


def _factories() -> dict[str, list[str]]:
    """Name -> keywords of every instance that takes numbers alone."""
    found = {}
    for name, factory in vars(named).items():
        if inspect.isfunction(factory) and factory.__module__ == named.__name__ and not name.startswith("_"):
            parameters = inspect.signature(factory).parameters.values()
            if all(parameter.default is not inspect.Parameter.empty for parameter in parameters):
                found[name] = [parameter.name for parameter in parameters]
    return found
