"""Files of an operator: read within limits, and looked at to see whether they are still what was read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

from gate.core.errors import ConfigError
from gate.core.quote import quote

# Device, inode, times in nanoseconds and size: None where there is no such file. A mount of Kubernetes swaps a symlink
# and an editor replaces a file, which both change the inode; a file that is written in place changes its times.
Mark: TypeAlias = "tuple[int, int, int, int, int] | None"


def mark(path: Path) -> Mark:
    """Return what changes when the file at ``path`` does; symlinks are followed."""
    try:
        return _mark(path.stat())
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return None


def read_bounded(path: Path, limit: int, what: str) -> bytes:
    """Return the bytes of ``path``, or raise ConfigError; never more than ``limit`` bytes are read."""
    return read_marked(path, limit, what)[0]


def read_marked(path: Path, limit: int, what: str) -> tuple[bytes, Mark]:
    """Return the bytes of ``path`` and the mark of the file that held them; raises as ``read_bounded``."""
    try:
        with path.open("rb") as file:
            found = _mark(os.fstat(file.fileno()))
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        why = error.strerror if isinstance(error, OSError) else "it is not the name of a file"
        raise ConfigError(f"{what} {quote(str(path))} cannot be read: {why}") from error
    if len(data) > limit:
        raise ConfigError(f"{what} {quote(str(path))} has more than {limit} bytes")
    return data, found


def _mark(found: os.stat_result) -> Mark:
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size
