"""The one writer of files, which are whole or absent, the one reader, and the checksum."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows: what a dead writer left is then not told from what a living one is writing
    fcntl = None

LARGEST = 2**30
_PREFIX, _SUFFIX = ".banditlab-", ".part"
_TRIES = 8
# Folders in which this process has looked for what dead writers left.
_swept: set[Path] = set()
_sweeping = threading.Lock()


def sha256_of_bytes(content: bytes) -> str:
    """SHA-256 of ``content`` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def read_bytes(path: Path, largest: int = LARGEST) -> bytes:
    """The content of a regular file of at most ``largest`` bytes; nothing else is read, or waited for.

    Raises:
      OSError: when there is none, or none that may be read.
      ValueError: when it is something else, with what it is.
    """
    # Opening a pipe without O_NONBLOCK waits for its other end.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("is no regular file")
        if found.st_size > largest:
            raise ValueError(f"is larger than {largest >> 20} MiB")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(found.st_size)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` through a temporary file of the same folder: file and name are flushed to the disk.

    Folders are created as needed. On any error ``path`` is left as it was and the temporary file is removed. What
    writers that were killed left in that folder is removed too.

    Raises OSError, which names ``path``, when it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_litter(path.parent)
        with _temporary(path.parent) as file:
            _write(file, content)
            if fcntl is None:  # Windows renames no open file
                file.close()
            os.replace(file.name, path)
        flush_folder(path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def append(path: Path, content: bytes) -> None:
    """Write ``content`` to the end of a file and flush it to the disk; OSError, which names ``path``."""
    try:
        with path.open("ab") as file:
            _write(file, content)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _write(file: BinaryIO, content: bytes) -> None:
    file.write(content)
    file.flush()
    os.fsync(file.fileno())


def flush_file(path: Path) -> None:
    """Flush to the disk a file that another program wrote."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Flush the names in ``folder`` to the disk, where the system and the disk can."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some disks over a network flush no folder
                raise
        finally:
            os.close(descriptor)


@contextmanager
def _temporary(folder: Path) -> Iterator[BinaryIO]:
    """A new file, locked so that no other process takes it for litter; removed on any error."""
    for _ in range(_TRIES):
        name = folder / f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"
        try:
            with name.open("xb") as file:
                _lock(file.fileno())
                if os.fstat(file.fileno()).st_nlink:
                    yield file
                    return
        except BaseException:
            name.unlink(missing_ok=True)
            raise
    raise OSError(errno.EBUSY, "another process removes temporary files")


def _lock(descriptor: int, mode: int = 0) -> bool:
    """Whether the open file is now this process's; False where another has it, or the disk knows no locks."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | mode)
    except OSError:
        return False
    return True


def _remove_litter(folder: Path) -> None:
    """Remove the temporary files that no living writer holds; once a process and folder, before it writes there."""
    with _sweeping:
        if fcntl is None or folder in _swept:
            return
        _swept.add(folder)
        for path in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            except OSError:  # another process was faster, or it is no file of a writer
                continue
            try:
                if _lock(descriptor, fcntl.LOCK_NB):
                    path.unlink(missing_ok=True)
            finally:
                os.close(descriptor)
