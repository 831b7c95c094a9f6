"""The public names of the library, found by walking what its modules list."""

import enum
import inspect
import pkgutil
import types
from importlib import import_module

import banditlab as bl


def public_modules():
    """The front door and its modules, and the modules of those that list none of their names."""
    waiting = [bl, *(part for part in (getattr(bl, name) for name in dir(bl)) if isinstance(part, types.ModuleType))]
    found = {}
    while waiting:
        module = waiting.pop()
        if module.__name__ in found or not module.__name__.startswith("banditlab"):
            continue
        found[module.__name__] = module
        for name in getattr(module, "__all__", ()):
            if isinstance(getattr(module, name), types.ModuleType):
                waiting.append(getattr(module, name))
        if hasattr(module, "__path__") and not hasattr(module, "__all__"):
            waiting += [
                import_module(f"{module.__name__}.{part.name}") for part in pkgutil.iter_modules(module.__path__)
            ]
    return found.values()


def public_names(module):
    """Names that a module lists, or that it defines without an underscore."""
    if hasattr(module, "__all__"):
        return module.__all__
    return [name for name, value in vars(module).items() if not name.startswith("_") and home(value) == module.__name__]


def home(value):
    """The module that a value says it is of."""
    return getattr(value, "__module__", "")


def callables():
    """Public functions, classes and methods, each once, by qualified name; without what is wrapped around them."""
    found = {}
    for module in public_modules():
        for name in public_names(module):
            value = inspect.unwrap(getattr(module, name)) if callable(getattr(module, name)) else None
            if not home(value).startswith("banditlab") or isinstance(value, enum.EnumMeta):
                continue
            where = f"{value.__module__}.{getattr(value, '__qualname__', name)}"
            if isinstance(value, type):
                found[where] = value
                found |= {f"{where}.{part}": method for part, method in methods(value)}
            elif inspect.isfunction(value):
                found[where] = value
    return found


def methods(kind):
    """(name, function) of the public methods that a class defines itself."""
    for part, method in vars(kind).items():
        method = getattr(method, "__func__", method)
        if not part.startswith("_") and inspect.isfunction(inspect.unwrap(method)) and method.__name__ != "<lambda>":
            yield part, inspect.unwrap(method)
