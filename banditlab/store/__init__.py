"""What a result is on disk: immutable shards, tables with full precision, and the record of their origin.

Only NumPy and the standard library are imported here, and every file appears by an atomic rename: a reader
never sees half of one.
"""

from banditlab.store.files import sha256_of_bytes, write_atomically
from banditlab.store.provenance import commit_of, config_hash, origin_record, plain
from banditlab.store.shards import Piece, Shards, failures
from banditlab.store.sources import source_hash
from banditlab.store.tables import Table

__all__ = [
    "Piece",
    "Shards",
    "Table",
    "commit_of",
    "config_hash",
    "failures",
    "origin_record",
    "plain",
    "sha256_of_bytes",
    "source_hash",
    "write_atomically",
]


def __dir__() -> list[str]:
    return __all__
