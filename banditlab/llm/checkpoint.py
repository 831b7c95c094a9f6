"""Checkpoints of any pytree by number: whole or not there, and known to be what was saved."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# Of a folder this many of the newest are kept: one to go back to, should the last be damaged.
KEPT = 2
# Written last into a checkpoint: the digest of every file, and what arrays are packed, in their order.
_MANIFEST = "manifest.json"


class CheckpointError(Exception):
    """A checkpoint cannot be written or read; one line that says which, why and what to do."""


def require_orbax() -> None:
    """CheckpointError unless the package that writes checkpoints is installed."""
    try:
        import orbax.checkpoint  # noqa: F401
    except ImportError as error:
        raise CheckpointError("checkpoints need orbax-checkpoint: pip install 'banditlab[llm]'") from error


def save(folder: Path, number: int, tree: Any) -> None:
    """Write `tree` as checkpoint `number`: it appears under its name when it is complete, or never.

    Args:
        folder: made where missing; what an interrupted save left there is removed, and all but the newest two.
        tree: arrays in any containers.
    """
    import orbax.checkpoint as ocp

    for path in list(folder.glob("*.saving*")):
        shutil.rmtree(path)
    unfinished = folder / f"{number}.saving"
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as writer:
        writer.save(unfinished.absolute(), args=ocp.args.PyTreeSave(_packed(tree)))
    manifest = {"files": _digests(unfinished), "packed": _arrays(tree)}
    (unfinished / _MANIFEST).write_text(json.dumps(manifest, indent=1))
    os.replace(unfinished, folder / str(number))
    for old in numbers(folder)[:-KEPT]:
        shutil.rmtree(folder / str(old))


def numbers(folder: Path) -> list[int]:
    """The complete checkpoints of a folder, ascending."""
    return sorted(int(path.name) for path in folder.glob("*") if path.name.isdecimal())


def restore(folder: Path, number: int, like: Any) -> Any:
    """Checkpoint `number`, with the containers, shapes and dtypes of `like` (arrays, or their shapes).

    Raises:
        CheckpointError: if a file of it is missing or altered, or its arrays are others than those of `like`.
    """
    import orbax.checkpoint as ocp

    path = folder / str(number)
    _check(path, like)
    expected = _packed(jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like))
    kinds = dict.fromkeys(expected, ocp.RestoreArgs(restore_type=np.ndarray))
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
        saved = reader.restore(path.absolute(), args=ocp.args.PyTreeRestore(expected, restore_args=kinds))
    return _unpacked(saved, like)


def _packed(tree: Any) -> dict[str, np.ndarray]:
    """All arrays of one dtype end to end, in the tree's order: orbax saves a few files five times faster than many."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    kinds = sorted({leaf.dtype.name for leaf in leaves})
    return {kind: np.concatenate([leaf.ravel() for leaf in leaves if leaf.dtype.name == kind]) for kind in kinds}


def _unpacked(packed: dict[str, np.ndarray], like: Any) -> Any:
    """The inverse of `_packed`, as arrays of JAX that are committed to no device: for others it compiles again."""
    ends = dict.fromkeys(packed, 0)

    def take(old: Any) -> jax.Array:
        kind, size = np.dtype(old.dtype).name, math.prod(old.shape)
        ends[kind] += size
        return jnp.asarray(packed[kind][ends[kind] - size : ends[kind]].reshape(old.shape))

    return jax.tree.map(take, like)


def _check(path: Path, like: Any) -> None:
    """Before orbax reads it: what it says of a damaged file is long and goes to stderr."""
    try:
        manifest = json.loads((path / _MANIFEST).read_text())
        expected, arrays = manifest["files"], manifest["packed"]
    except (OSError, ValueError, TypeError, KeyError):
        expected, arrays = {_MANIFEST: ""}, None
    found = _digests(path)
    if damaged := [name for name, digest in expected.items() if found.get(name) != digest]:
        raise CheckpointError(
            f"checkpoint '{path}' is truncated or damaged ({damaged[0]}); "
            "remove that folder to resume from the one before it"
        )
    if arrays != _arrays(like):
        raise CheckpointError(f"checkpoint '{path}' holds the arrays of another configuration")


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file but the manifest, by its path in the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != _MANIFEST)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _arrays(tree: Any) -> dict[str, str]:
    """dtype and shape of every array, by its path in the tree."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in leaves}
