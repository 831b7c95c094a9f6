"""Writing so that a file is either whole or absent, and its checksum."""

import hashlib
import os
import tempfile
from pathlib import Path


def sha256_of_bytes(content: bytes) -> str:
    """SHA-256 of ``content`` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` through a temporary file of the same folder, flushed, then renamed.

    Folders are created as needed. On any error ``path`` is left as it was and the temporary file is removed.
    Raises OSError when the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    # mkstemp makes private files; a result should have the permissions of any other file of the user. The
    # mask can only be read by setting it.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
