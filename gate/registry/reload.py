"""The GATE_REGISTRIES file while gate runs: a change works within seconds, a mistake changes nothing.

A mount of Kubernetes swaps a symlink, an editor replaces a file, a certificate is renewed in place: all are seen by
looking at the files now and then, when somebody asks for a registry. No thread waits for it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from gate.core.errors import ConfigError
from gate.core.quote import plain
from gate.registry import material
from gate.registry.entries import RegistryEntry, parse_registries

LOOK_SECONDS = 2.0  # between two looks at the files: far below the minute that a kubelet takes to update a mount

_State: TypeAlias = "tuple[tuple[int, ...] | None, ...]"

log = logging.getLogger("gate.registries")


def read_registries(path: Path) -> tuple[RegistryEntry, ...]:
    """Return the entries of the file, or raise ConfigError when it cannot be read or is wrong."""
    data = material.read("registries file", path)
    return parse_registries(data, name=plain(path.name), directory=path.parent)


class RegistriesFile:
    """The file and the files that it names, as one set; thread safe.

    The caller has read the file and knows its entries; ``update`` takes the next ones and returns the hosts about which
    something has changed, or raises ConfigError.
    """

    def __init__(
        self,
        path: Path,
        entries: tuple[RegistryEntry, ...],
        update: Callable[[tuple[RegistryEntry, ...]], tuple[str, ...]],
        clock: Callable[[], float],
    ) -> None:
        """Watch ``path``, which held ``entries``; ``clock`` is monotonic, in seconds."""
        self._path = path
        self._entries = entries
        self._update = update
        self._clock = clock
        self._looking = threading.Lock()  # held while looking; guards what follows
        self._looked_at = float("-inf")
        self._seen: _State = ()  # nothing yet: what changed between start and the first look is not missed
        self._logged: tuple[_State, str] | None = None
        self._problem: str | None = None

    def look(self) -> None:
        """Take what has changed, if the last look is two seconds ago; returns at once while somebody else looks."""
        if self._clock() - self._looked_at < LOOK_SECONDS or not self._looking.acquire(blocking=False):
            return
        try:
            self._looked_at = self._clock()
            state = self._state()
            # A set that is wrong is tried again at every look: what was wrong may be something that no stat shows.
            if state != self._seen or self._problem is not None:
                # As it was before reading: what changes meanwhile, and what is named for the first time, is read at the
                # next look.
                self._seen = state
                self._take(state)
        finally:
            self._looking.release()

    def problem(self) -> str | None:
        """Return what is wrong with the set that is there now, while an older one is in force, or None."""
        self.look()
        return self._problem

    def _take(self, state: _State) -> None:
        try:
            entries = self._entries = read_registries(self._path)
            changed = self._update(entries)
        except ConfigError as error:
            self._problem = f"the registries file is wrong and the one before stays in force: {error.message}"
            if self._logged != (state, error.message):
                log.warning("the registries were not reloaded", extra={"problem": error.message})
            self._logged = (state, error.message)
            return
        if changed:
            log.info("the registries were reloaded", extra={"changed": list(changed)})
        self._problem = self._logged = None

    def _state(self) -> _State:
        """Return what changes when one of the files does: symlinks are followed, so a swapped one changes it all."""
        named = (path for entry in self._entries for _, path in entry.files)
        return tuple(map(_stat, (self._path, *named)))


def _stat(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size
