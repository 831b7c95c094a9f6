"""Renewing the stamp of a committed table without computing it whole: a sample of its shards, chosen by nobody."""

import glob
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

import numpy as np

from banditlab.claims import jax_settings
from banditlab.claims.result_files import as_json, confirmations
from banditlab.claims.running import watched
from banditlab.claims.selection import Selection
from banditlab.claims.verification import Verdict
from banditlab.errors import CommandLineError
from banditlab.store import Shards, commit_of, sha256_of_bytes, write_atomically
from banditlab.store.files import read_bytes
from banditlab.store.provenance import now
from banditlab.store.shards import LARGEST, Compute, checked, digest, unpacked

Key = tuple[str, tuple[int, int]]


class _AllSampled(Exception):
    """The chosen shards are computed: the rest of `run` is of no interest."""


@dataclass
class _Sample(Shards):
    """Computes the chosen shards; the others are read, or else arrays of ones in the shape that the record names."""

    known: Mapping[Key, dict] = field(default_factory=dict)
    chosen: Sequence[Key] = ()
    equal: dict[Key, bool] = field(default_factory=dict)

    def _obtain(self, arm: str, seeds: tuple[int, int], compute: Compute) -> tuple[dict[str, np.ndarray], float]:
        key = arm, seeds
        if key not in self.known:
            raise CommandLineError(
                f"the present sources ask for a shard that the record does not list: {arm!r} {seeds}"
            )
        if key not in self.chosen:
            return self._stand_in(arm, seeds, self.known[key]), 0.0
        arrays = checked(arm, compute())
        self.equal[key] = digest(arrays) == self.known[key]["digest"]
        if len(self.equal) == len(self.chosen):
            raise _AllSampled
        return arrays, 0.0

    def _stand_in(self, arm: str, seeds: tuple[int, int], known: Mapping) -> dict[str, np.ndarray]:
        stem = f"{quote(arm, safe=' =+,')}-{seeds[0]}-{seeds[1]}-"
        for path in self.folder.glob(f"{glob.escape(stem)}*.npz"):  # of any sources: the digest says that it is the one
            try:
                arrays, _ = unpacked(read_bytes(path, LARGEST))
            except (OSError, ValueError):
                continue
            if digest(arrays) == known["digest"]:
                return arrays
        return {name: np.ones(shape, dtype) for name, (dtype, shape) in known["arrays"].items()}


def confirm(selection: Selection, *, arms: int) -> Verdict:
    """Compute ``arms`` shards of the committed table again; where all are equal the record says so, and it is written.

    Which shards follows from the hash of the present sources. Raises CommandLineError when there is no committed
    table, or the tree differs from its commit.
    """
    kept, label, home = selection.committed(), selection.label, selection.experiment.home
    problem = "never committed" if kept is None else kept.damage()
    if kept is None or problem:
        raise CommandLineError(f"NAME {label} must have a committed table; it is {problem}")
    record = kept.record()
    source_hash, hashed = selection.hashes
    if kept.outdated(source_hash, hashed) is None:
        return Verdict("pass", f"{label}: its stamp is that of the present sources")
    listed = record.get("shards")
    if not (isinstance(listed, list) and listed) or record.get("config_hash") != hashed:
        digests = isinstance(listed, list) and listed
        why = "its configuration has changed" if digests else "its record lists no digests of shards"
        return Verdict("FAIL", f"{label}: cannot be sampled, {why}; run it whole")
    commit = commit_of(home, watched(home))
    if commit["dirty"]:
        raise CommandLineError(f"NAME {label} must be confirmed on a committed tree; tracked files differ")
    known = {(piece["arm"], tuple(piece["seeds"])): piece for piece in listed}
    chosen = _chosen(known, source_hash, arms)
    started = time.perf_counter()
    problem = _compute(selection, known, chosen)
    here = jax_settings.circumstances(), jax_settings.describe_machine()
    if problem:
        if (record.get("circumstances"), record.get("machine", {}).get("cpu")) != (here[0], here[1]["cpu"]):
            problem += "; this is another processor or release than the record's: cannot be sampled here"
        return Verdict("FAIL", f"{label}: {problem}")
    sample = {
        "source_hash": source_hash,
        **commit,
        "created": now(),
        "sampled": len(chosen),
        "of": len(known),
        "arms": [[arm, list(seeds)] for arm, seeds in chosen],
        "seconds": time.perf_counter() - started,
        "machine": here[1],
    }
    record["confirmed"] = [*confirmations(record), sample]
    write_atomically(kept.file(".json"), as_json(record))
    return Verdict("pass", f"{label}: sampled {len(chosen)} of {len(known)} arms, equal -> {kept.file('.json')}")


def _chosen(known: Mapping[Key, dict], source_hash: str, arms: int) -> list[Key]:
    """``arms`` of the shards, in the order of a hash that nobody can steer."""
    return sorted(known, key=lambda key: sha256_of_bytes(f"{source_hash} {key}".encode()))[:arms]


def _compute(selection: Selection, known: Mapping[Key, dict], chosen: Sequence[Key]) -> str | None:
    """What is wrong with the chosen shards, or None when all come out as the record says."""
    source_hash, hashed = selection.hashes
    of = selection.name, hashed, source_hash, jax_settings.circumstances()
    shards = _Sample(selection.shards, *of, fresh=True, known=known, chosen=chosen)
    try:
        selection.experiment.run(selection.config, shards)
    except _AllSampled:
        pass
    except CommandLineError as error:
        return str(error)
    except (ArithmeticError, LookupError, ValueError) as error:
        if len(shards.equal) < len(chosen):  # arrays of ones did not do where the next shard needed the true ones
            return f"cannot be sampled, its shards need one another ({error}); run it whole"
    missing = [key for key in chosen if key not in shards.equal]
    if missing:
        return f"the present sources do not ask for the shard {missing[0][0]!r} any more"
    unequal = [key[0] for key, equal in shards.equal.items() if not equal]
    return f"{len(unequal)} of {len(chosen)} sampled shards differ, {unequal[0]!r} among them" if unequal else None
