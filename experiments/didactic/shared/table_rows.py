"""Tables row by row."""

from typing import Any

from banditlab.claims import Table


def rows_of(table: Table) -> list[dict[str, Any]]:
    """{column: value} of every row."""
    return [{name: values[place] for name, values in table.columns.items()} for place in range(len(table))]
