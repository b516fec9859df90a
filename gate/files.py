"""Files of an operator: read within limits, and looked at to see whether they are still what was read."""

from __future__ import annotations

import errno
import os
import select
import stat
from pathlib import Path
from typing import TypeAlias

from gate.core.errors import ConfigError
from gate.core.quote import quote

# Device, inode, times in nanoseconds and size: None where there is no such file. A mount of Kubernetes swaps a symlink
# and an editor replaces a file, which both change the inode; a file that is written in place changes its times.
Mark: TypeAlias = "tuple[int, int, int, int, int] | None"

# What a process was given open: /dev/fd/63 is what a shell writes for <(command).
DESCRIPTORS, STDIN = Path("/dev/fd"), Path("/dev/stdin")
SILENCE_SECONDS = 60.0  # of a command that writes what is read; some log in first, and ask somebody


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
        data, found = read_start(path, limit + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        why = error.strerror if isinstance(error, OSError) else "it is not the name of a file"
        raise ConfigError(f"{what} {quote(str(path))} cannot be read: {why}") from error
    if len(data) > limit:
        raise ConfigError(f"{what} {quote(str(path))} has more than {limit} bytes")
    return data, found


def read_start(path: Path, size: int, silence: float = SILENCE_SECONDS) -> tuple[bytes, Mark]:
    """Return the first ``size`` bytes of ``path``, and its mark; OSError or ValueError where it cannot be read.

    A pipe or a device is no file that anybody names, and whoever reads one may wait for ever. An exception is what the
    caller handed over, as a shell does in ``<(command)``: that is waited for while no more than ``silence`` seconds
    pass without a word.
    """
    # O_NONBLOCK: opening a pipe must not wait for a writer. Reading a regular file is the same with it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        found = os.fstat(descriptor)
        is_file = stat.S_ISREG(found.st_mode)
        if not is_file and path != STDIN and path.parent != DESCRIPTORS:
            raise OSError(errno.EINVAL, "it is not a regular file")
        data = bytearray()
        while len(data) < size:
            if not is_file and not select.select([file], [], [], silence)[0]:
                raise TimeoutError(errno.ETIMEDOUT, f"nothing came for {silence:g} seconds")
            # None: it was ready, and what was there is gone, because somebody else reads it as well.
            chunk = file.read(size - len(data))
            if chunk == b"":
                break
            data += chunk or b""
        return bytes(data), _mark(found)


def _mark(found: os.stat_result) -> Mark:
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size
