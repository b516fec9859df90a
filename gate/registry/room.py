"""Room for what is fetched: a bound on what all searches of a process hold at once, beside the bound of each."""

from __future__ import annotations

import threading

from gate.core import limits

OWN_BYTES = 512 * limits.KIB  # what each search may fetch whatever the others do; fifty signatures with certificates
ROOM_BYTES = limits.EVIDENCE_BYTES  # beyond that, all searches of a process; read, it takes five times as much


class Room:
    """Bytes that searches share; thread safe."""

    def __init__(self, size: int = ROOM_BYTES) -> None:
        """Start with ``size`` bytes free."""
        self._free = size
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Return whether there are ``size`` bytes free, which are then the caller's until it gives them back."""
        with self._lock:
            if size > self._free:
                return False
            self._free -= size
            return True

    def give(self, size: int) -> None:
        """Give back what was taken."""
        with self._lock:
            self._free += size
