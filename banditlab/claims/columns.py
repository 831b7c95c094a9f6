"""The data dictionary: what every column of a table means, and its unit.

A meaning is one string, with the unit in brackets at its end: ``"KL(pi*||pi), mean over contexts [nats]"``. Columns
that summarise others need no entry: ``x_se``, ``x_low``, ``x_median`` and ``x_high`` follow from ``x``. Nor do the
words of COMMON, where they mean what it says.
"""

import re
from collections.abc import Mapping, Sequence

Meanings = Mapping[str, str]
# Of the one table, or of every part.
Columns = Meanings | Mapping[str, Meanings]

SUMMARIES = {
    "se": "standard error of: {}",
    "low": "10% quantile over seeds of: {}",
    "median": "median over seeds of: {}",
    "high": "90% quantile over seeds of: {}",
}
# Words that mean the same in every table; an experiment's own entries come before them.
COMMON: Meanings = {
    "arm": "algorithm, by the name of its arm",
    "beta": "temperature of the KL term [reward]",
    "gap": "J(pi*) - J(pi), mean over contexts [reward]",
    "kl": "KL(pi*||pi), mean over contexts [nats]",
    "labels": "labels bought in total [labels]",
    "num_labels": "labels bought in total [labels]",
    "num_pairs": "labels bought in one round [labels]",
    "ridge": "weight of the ridge beside the sum of losses",
    "round": "rounds done; 0 is the starting policy [rounds]",
    "seeds": "independent runs that the row summarises [runs]",
}
# The same where a standard error stands beside it: the row is of many runs then.
AVERAGED: Meanings = {
    "gap": "J(pi*) - J(pi), mean over contexts and seeds [reward]",
    "kl": "KL(pi*||pi), mean over contexts and seeds [nats]",
}
_MEAN = ", mean over seeds"
_UNIT = re.compile(r"^(.*?)(?:\s*\[([^\]]+)\])?$", re.DOTALL)


def meanings(columns: Columns, part: str) -> Meanings:
    """The entries of one part, or of the only table; those under "*" hold in every part."""
    if all(isinstance(entry, str) for entry in columns.values()):
        return {**COMMON, **columns}  # type: ignore[dict-item]
    return {**COMMON, **columns.get("*", {}), **columns.get(part, {})}  # type: ignore[dict-item]


def described(columns: Columns, part: str, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """{column: {"meaning": ..., "unit": ...}}, the unit where it has one; ValueError for a column without a meaning."""
    of_one = meanings(columns, part)
    summarised = {name for name in AVERAGED if of_one[name] == COMMON[name] and f"{name}_se" in names}
    entries = {**of_one, **{name: AVERAGED[name] for name in summarised}}
    found = {name: _describe(entries, of_one, name) for name in names}
    missing = [name for name, text in found.items() if text is None]
    if missing:
        where = f" of part {part!r}" if part else ""
        raise ValueError(f"columns must say what each column{where} means; got none for {', '.join(missing)}")
    split = {name: _UNIT.fullmatch(text or "") for name, text in found.items()}
    return {
        name: {"meaning": match[1], **({"unit": match[2]} if match[2] else {})}
        for name, match in split.items()
        if match is not None
    }


def _describe(entries: Meanings, of_one: Meanings, name: str) -> str | None:
    """The meaning of a column; a quantile over seeds is of what one run gives, ``of_one``, and of no mean."""
    if name in entries:
        return entries[name]
    base, _, suffix = name.rpartition("_")
    if not base or suffix not in SUMMARIES:
        return None
    inner = _describe(entries if suffix == "se" else of_one, of_one, base)
    if inner is not None and suffix != "se":
        inner = inner.replace(_MEAN, "")
    return None if inner is None else SUMMARIES[suffix].format(inner)
