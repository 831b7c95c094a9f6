"""Checkpoints of any pytree by number: whole or not there, and known to be what was saved."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from banditlab.store.documents import read_json
from banditlab.store.files import append, flush_file, flush_folder, read_bytes, sha256_of_bytes

# Of a folder this many of the newest are kept: one to go back to, should the last be damaged.
KEPT = 2
# Written last into a checkpoint: the digest of every file, and what arrays are packed, in their order.
_MANIFEST = "manifest.json"
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")
_LARGEST = 2**36


class CheckpointError(Exception):
    """A checkpoint cannot be written or read; one line that says which, why and what to do."""


def require_orbax() -> None:
    """CheckpointError unless the package that writes checkpoints is installed."""
    try:
        import orbax.checkpoint  # noqa: F401
    except ImportError as error:
        raise CheckpointError("checkpoints need orbax-checkpoint: pip install 'banditlab[llm]'") from error


def save(folder: Path, number: int, tree: Any, beside: Mapping[str, str] | None = None) -> None:
    """Write `tree` as checkpoint `number`: it appears under its name when it is complete and on the disk, or never.

    Args:
        folder: made where missing; what an interrupted save left there is removed, and all but the newest two.
        tree: arrays in any containers.
        beside: name -> digest of what lies beside the checkpoints and belongs to this one.

    Raises:
        CheckpointError: if it cannot be written, a full disk for one; then nothing of it is left.
    """
    unfinished = folder / f"{number}.saving"
    _clear(folder)
    try:
        _write(unfinished, tree, beside or {})
        os.replace(unfinished, folder / str(number))
        flush_folder(folder)
        for old in numbers(folder)[:-KEPT]:
            shutil.rmtree(folder / str(old))
    except Exception as error:  # orbax has errors of its own
        raise CheckpointError(f"checkpoint '{folder / str(number)}' cannot be written ({_reason(error)})") from error
    finally:
        _clear(folder)


def _write(unfinished: Path, tree: Any, beside: Mapping[str, str]) -> None:
    import orbax.checkpoint as ocp

    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as writer:
        writer.save(unfinished.absolute(), args=ocp.args.PyTreeSave(_packed(tree)))
    manifest = {"files": _digests(unfinished), "packed": _arrays(tree), "beside": dict(beside)}
    append(unfinished / _MANIFEST, json.dumps(manifest, indent=1).encode())
    for path in [*unfinished.rglob("*"), unfinished]:
        (flush_folder if path.is_dir() else flush_file)(path)


def _clear(folder: Path) -> None:
    """Remove what saves left that did not come to their end."""
    for path in list(folder.glob("*.saving*")):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _reason(error: BaseException) -> str:
    """The first line of what an error says, or of the system's error that it came from."""
    origin: BaseException | None = error
    while origin is not None and not (isinstance(origin, OSError) and origin.strerror):
        origin = origin.__cause__ or origin.__context__
    said = origin.strerror if isinstance(origin, OSError) else str(error)
    return (said or type(error).__name__).strip().splitlines()[0]


def numbers(folder: Path) -> list[int]:
    """The complete checkpoints of a folder, ascending."""
    names = [path.name for path in folder.glob("*") if path.is_dir()]
    return sorted(int(name) for name in names if _NUMBER.fullmatch(name))


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
    try:
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
            saved = reader.restore(path.absolute(), args=ocp.args.PyTreeRestore(expected, restore_args=kinds))
        return _unpacked(saved, like)
    except Exception as error:  # its manifest fits and its arrays do not
        raise _damaged(path, _reason(error)) from error


def beside(folder: Path, number: int) -> dict[str, str]:
    """What `save` was given with checkpoint `number`; CheckpointError where that cannot be read."""
    return _manifest(folder / str(number))["beside"]


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
    manifest = _manifest(path)
    try:
        found = _digests(path)
    except (OSError, ValueError) as error:
        raise _damaged(path, _reason(error)) from error
    if damaged := [name for name, digest in manifest["files"].items() if found.get(name) != digest]:
        raise _damaged(path, damaged[0])
    if manifest["packed"] != _arrays(like):
        raise CheckpointError(f"checkpoint '{path}' holds the arrays of another configuration")


def _manifest(path: Path) -> dict[str, dict[str, str]]:
    """The manifest of a checkpoint, all of it texts by name; CheckpointError where it is none."""
    try:
        found = read_json(path / _MANIFEST)
    except (OSError, ValueError) as error:
        raise _damaged(path, f"{_MANIFEST} {error}" if isinstance(error, ValueError) else _MANIFEST) from error
    parts = [found.get(name) for name in ("files", "packed", "beside")] if isinstance(found, dict) else [None]
    if not all(isinstance(part, dict) and all(isinstance(text, str) for text in part.values()) for part in parts):
        raise _damaged(path, f"{_MANIFEST} has another shape")
    return found


def _damaged(path: Path, what: str) -> CheckpointError:
    return CheckpointError(
        f"checkpoint '{path}' is truncated or damaged ({what}); remove that folder to resume from the one before it"
    )


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file but the manifest, by its path in the folder; ValueError for one that is no regular file."""
    files = sorted(path for path in folder.rglob("*") if not path.is_dir() and path.name != _MANIFEST)
    return {str(path.relative_to(folder)): sha256_of_bytes(read_bytes(path, _LARGEST)) for path in files}


def _arrays(tree: Any) -> dict[str, str]:
    """dtype and shape of every array, by its path in the tree."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in leaves}
