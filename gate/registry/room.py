"""Room for what is fetched: a bound on what all searches of a process hold at once, beside the bound of each."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass

from gate.core import limits

# Each search's own, whatever the others do: so many bytes of small manifests, and as many of documents. 64 bundles of
# 12 KiB fit, certificates and all.
OWN_BYTES = 768 * limits.KIB
ROOM_BYTES = 24 * limits.MIB  # beyond that, all searches of a process; read, it takes five times as much
HOST_BYTES = limits.EVIDENCE_BYTES  # of that, those at one host, which may be slow to bring it: one digest's evidence


class Room:
    """Bytes that searches share; thread safe."""

    def __init__(self, size: int = ROOM_BYTES, per_host: int = HOST_BYTES) -> None:
        """Start with ``size`` bytes free."""
        self._free, self._per_host = size, per_host
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    def of(self, host: str) -> Share:
        """Return what searches at ``host`` take from."""
        return Share(self, host)

    def take(self, host: str, size: int) -> bool:
        """Return whether there are ``size`` bytes free for ``host``; they are then taken until they are given back."""
        with self._lock:
            if size > self._free or self._taken[host] + size > self._per_host:
                return False
            self._free -= size
            self._taken[host] += size
            return True

    def give(self, host: str, size: int) -> None:
        """Give back what was taken."""
        with self._lock:
            self._free += size
            self._taken[host] -= size
            self._taken += Counter()  # which leaves out hosts that hold nothing


@dataclass(frozen=True, slots=True)
class Share:
    """What one host may take of a room."""

    room: Room
    host: str

    def take(self, size: int) -> bool:
        """Return whether the bytes are free, as Room does."""
        return self.room.take(self.host, size)

    def give(self, size: int) -> None:
        """Give back what was taken."""
        self.room.give(self.host, size)
