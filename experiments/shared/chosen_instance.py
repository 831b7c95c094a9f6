"""The environment of a claim that can be asked about any: the usual one, or the one that a configuration names."""

from collections.abc import Callable, Mapping
from typing import Any

import banditlab as bl
from banditlab.claims import Instance, Table

COLUMNS = {
    "instance": "environment by its name in the claim, by the configuration's spelling where another one is chosen",
    "num_contexts": "contexts of the environment",
    "num_actions": "actions in every context",
    "rank": "d, the dimension in which feature differences vary",
}


def choose(
    instance: Instance | None, usual: str, make: Callable[[], bl.Environment]
) -> tuple[bl.Environment, dict[str, Any]]:
    """The environment ``instance``, or what ``make`` returns, called ``usual``; and a row that describes it."""
    env, name = (make(), usual) if instance is None else (instance.environment(), str(instance))
    sizes = {"num_contexts": env.num_contexts, "num_actions": env.num_actions, "rank": env.rank}
    return env, {"instance": name, **sizes, "beta": float(env.beta)}


def named(instance: Instance | None, usual: str, make: Callable[[], bl.Environment]) -> tuple[str, bl.Environment]:
    """Name and environment of ``instance``, or ``usual`` and what ``make`` returns."""
    return (usual, make()) if instance is None else (instance.name, instance.environment())


def words(environment: Table) -> str:
    """How a caption names the environment of a row of `choose`."""
    row: Mapping[str, Any] = {name: values[0] for name, values in environment.columns.items()}
    contexts = f"{row['num_contexts']} contexts, " if row["num_contexts"] > 1 else ""
    sizes = f"{contexts}{row['num_actions']} actions, $d$ = {row['rank']}, $\\beta$ = {row['beta']:g}"
    return f"Linear softmax, {row['instance']} ({sizes})"
