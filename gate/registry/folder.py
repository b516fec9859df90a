"""Files below one directory, read without ever leaving it: whoever made the directory may have put anything there.

No symbolic link below the directory is followed and nothing but regular files is read, so that neither a link to
somebody's secrets nor a pipe that never ends is taken for content.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from gate.core.errors import ConfigError, UnavailableError
from gate.core.quote import quote
from gate.core.reasons import Reason

# O_NONBLOCK: opening a pipe or a device must not wait for anybody.
_FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_BELOW = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_DIRECTORY


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file of a folder; ``name`` is its last part, ``size`` is in bytes."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Folder:
    """One directory of somebody's. Every method raises UnavailableError (layout-error) for what cannot be read."""

    path: Path

    def require(self) -> None:
        """Raise ConfigError if there is no such directory: then its name is wrong, and not its content."""
        try:
            is_directory = stat.S_ISDIR(self.path.stat().st_mode)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            why = error.strerror if isinstance(error, OSError) else "it is not the name of a directory"
            raise ConfigError(f"the layout {quote(str(self.path))} cannot be read: {why}") from error
        if not is_directory:
            raise ConfigError(f"{quote(str(self.path))} is not a directory; an OCI layout is one")

    def read(self, *parts: str, limit: int) -> bytes | None:
        """Return the bytes of a file, or None where there is none; one of more than ``limit`` bytes is not read."""
        data = self.head(*parts, most=limit + 1)
        if data is not None and len(data) > limit:
            label = self._label("/".join(parts))
            raise UnavailableError(Reason.LIMIT, f"{label} has more than the {limit} bytes that gate reads")
        return data

    def head(self, *parts: str, most: int) -> bytes | None:
        """Return the first bytes of a file, at most ``most``, or None where there is no such file."""
        name = "/".join(parts)
        with self._errors(name), ExitStack() as opened:
            try:
                descriptor = self._open(opened, parts, _FILE)
            except FileNotFoundError:
                return None
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise self._unreadable(name, "it is not a regular file")
            with os.fdopen(os.dup(descriptor), "rb") as file:
                return file.read(most)

    def files(self, *parts: str, most: int) -> tuple[Found, ...]:
        """Return the regular files of a directory in the order of their size; UnavailableError (limit) above ``most``.

        There are none where the directory does not exist.
        """
        name = "/".join(parts)
        found: list[Found] = []
        with self._errors(name), ExitStack() as opened:
            try:
                descriptor = self._open(opened, parts, _BELOW)
            except FileNotFoundError:
                return ()
            for number, entry in enumerate(opened.enter_context(os.scandir(descriptor))):
                if number >= most:
                    raise UnavailableError(Reason.LIMIT, f"{self._label(name)} has more than {most} files")
                if entry.is_file(follow_symlinks=False):
                    found.append(Found(entry.name, entry.stat(follow_symlinks=False).st_size))
        return tuple(sorted(found, key=lambda each: (each.size, each.name)))

    def _open(self, opened: ExitStack, parts: tuple[str, ...], flags: int) -> int:
        """Return the last of ``parts``, opened from directory to directory: none of them may be a link."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
        opened.callback(os.close, descriptor)
        for number, part in enumerate(parts, start=1):
            descriptor = os.open(part, flags if number == len(parts) else _BELOW, dir_fd=descriptor)
            opened.callback(os.close, descriptor)
        return descriptor

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._unreadable(name, f"{error.strerror} (symbolic links are not followed)") from error

    def _unreadable(self, name: str, why: str) -> UnavailableError:
        return UnavailableError(Reason.LAYOUT_ERROR, f"{self._label(name)} cannot be read: {why}")

    def _label(self, name: str) -> str:
        return quote(str(self.path / name))
