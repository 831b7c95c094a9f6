"""Renewing the stamp of a committed table without computing it whole: a sample of its shards, chosen by nobody."""

import glob
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import numpy as np

from banditlab.store import Shards, commit_of, config_hash, sha256_of_bytes, write_atomically
from banditlab.store.provenance import now
from banditlab.store.shards import Compute, checked, digest
from experiments import CHECKOUT
from experiments.framework import places, session
from experiments.framework.arguments import CommandLineError
from experiments.framework.experiment import Experiment
from experiments.framework.verification import Verdict

Key = tuple[str, tuple[int, int]]
WATCHED = ("banditlab", "experiments", "locks")


class _AllSampled(Exception):
    """The chosen shards are computed: the rest of `run` is of no interest."""


@dataclass
class _Sample(Shards):
    """Computes the chosen shards; the others are read, or else arrays of ones in the shape that the record names."""

    known: Mapping[Key, dict] = field(default_factory=dict)
    chosen: Sequence[Key] = ()
    equal: dict[Key, bool] = field(default_factory=dict)

    def _obtain(self, arm: str, seeds: tuple[int, int], compute: Compute) -> tuple[dict[str, np.ndarray], float]:
        key = arm, tuple(seeds)
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
            with np.load(path, allow_pickle=False) as archive:
                arrays = dict(archive)
            if digest(arrays) == known["digest"]:
                return arrays
        return {name: np.ones(shape, dtype) for name, (dtype, shape) in known["arrays"].items()}


def confirm(experiment: Experiment, preset: str, output: Path, *, arms: int) -> Verdict:
    """Compute ``arms`` shards of the committed table again; where all are equal the record says so, and it is written.

    Which shards follows from the hash of the present sources. Raises CommandLineError when there is no committed
    record with digests at ``preset``, or the tree differs from its commit.
    """
    kept = places.committed(preset, experiment.name)
    label = f"{experiment.name} [{preset}]"
    problem = "never committed" if kept is None else kept.damage()
    if kept is None or problem:
        raise CommandLineError(
            f"NAME {experiment.name} must have a committed table at preset {preset}; it is {problem}"
        )
    record = kept.record()
    hashed = config_hash(experiment.presets[preset])
    if kept.outdated(experiment.source_hash(), hashed) is None:
        return Verdict("pass", f"{label}: its stamp is that of the present sources")
    listed = record.get("shards")
    if not (isinstance(listed, list) and listed) or record.get("config_hash") != hashed:
        digests = isinstance(listed, list) and listed
        why = "its configuration has changed" if digests else "its record lists no digests of shards"
        return Verdict("FAIL", f"{label}: cannot be sampled, {why}; run it whole")
    commit = commit_of(CHECKOUT, WATCHED)
    if commit["dirty"]:
        raise CommandLineError(f"NAME {experiment.name} must be confirmed on a committed tree; tracked files differ")
    known = {(piece["arm"], tuple(piece["seeds"])): piece for piece in listed}
    chosen = _chosen(known, experiment.source_hash(), arms)
    started = time.perf_counter()
    problem = _compute(experiment, preset, output, hashed, known, chosen)
    here = session.circumstances(), session.describe_machine()
    if problem:
        if (record.get("circumstances"), record.get("machine", {}).get("cpu")) != (here[0], here[1]["cpu"]):
            problem += "; this is another processor or release than the record's: cannot be sampled here"
        return Verdict("FAIL", f"{label}: {problem}")
    sample = {
        "source_hash": experiment.source_hash(),
        **commit,
        "created": now(),
        "sampled": len(chosen),
        "of": len(known),
        "arms": [[arm, list(seeds)] for arm, seeds in chosen],
        "seconds": time.perf_counter() - started,
        "machine": here[1],
    }
    record["confirmed"] = [*places.confirmations(record), sample]
    write_atomically(kept.file(".json"), places.as_json(record))
    return Verdict("pass", f"{label}: sampled {len(chosen)} of {len(known)} arms, equal -> {kept.file('.json')}")


def _chosen(known: Mapping[Key, dict], source_hash: str, arms: int) -> list[Key]:
    """``arms`` of the shards, in the order of a hash that nobody can steer."""
    return sorted(known, key=lambda key: sha256_of_bytes(f"{source_hash} {key}".encode()))[:arms]


def _compute(
    experiment: Experiment, preset: str, output: Path, hashed: str, known: Mapping[Key, dict], chosen: Sequence[Key]
) -> str | None:
    """What is wrong with the chosen shards, or None when all come out as the record says."""
    folder = places.shards_folder(output, experiment.name, hashed)
    of = experiment.name, hashed, experiment.source_hash(), session.circumstances()
    shards = _Sample(folder, *of, fresh=True, known=known, chosen=chosen)
    try:
        experiment.run(experiment.presets[preset], shards)
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
