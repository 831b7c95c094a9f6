"""The committed tables, for tests of the checks made on them; whether one is stale is what `verify` says."""

from banditlab.claims import registry
from banditlab.claims.experiment import Tables, as_returned, by_part
from banditlab.claims.selection import select
from banditlab.store import Table


def committed(name: str, preset: str = "default") -> Tables:
    """The table of an experiment's preset under figures/, or its tables by part."""
    return select(registry.load(name), preset).committed().tables()


def failing(name: str, part: str = "", **columns) -> list[str]:
    """The claims of the checks that fail on the committed tables with some columns of one part changed."""
    return broken_claims(name, committed(name), part, **columns)


def broken_claims(name: str, tables: Tables, part: str = "", **columns) -> list[str]:
    """The claims of an experiment's checks that fail on tables with some columns of one part changed."""
    parts = by_part(tables)
    changed = parts | {part: Table({**parts[part].columns, **columns})}
    return [check.claim for check in registry.load(name).check(as_returned(changed)) if not check.passed]
