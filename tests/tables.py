"""The committed tables, for tests of the checks made on them; whether one is stale is what `verify` says."""

from banditlab.claims import registry
from banditlab.claims.selection import select
from banditlab.store import Table


def committed(name: str, preset: str = "default") -> Table:
    """The table of an experiment's preset under figures/."""
    return select(registry.load(name), preset).committed().tables()


def failing(name: str, **columns) -> list[str]:
    """The claims of the checks that fail on the committed table with some columns changed."""
    return broken_claims(name, committed(name), **columns)


def broken_claims(name: str, table: Table, **columns) -> list[str]:
    """The claims of an experiment's checks that fail on a table with some columns changed."""
    changed = Table({**table.columns, **columns}, table.meta)
    return [check.claim for check in registry.load(name).check(changed) if not check.passed]
