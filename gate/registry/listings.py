"""What manifests list, kept: for a digest its bytes never change, for a tag it counts when that was seen."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeAlias

from gate.core.platforms import Listing

LISTINGS = 4096  # indexes and tags; as many as digests whose evidence is kept
LISTED = 32768  # digests that all of them list: eight platforms each, 6 MiB

Key: TypeAlias = tuple[str, str, str]  # registry host, repository, tag or digest: only the latter has a colon


@dataclass(frozen=True, slots=True)
class KeptListing:
    """A listing, and when the registry gave it (seconds, monotonic)."""

    listing: Listing
    looked_at: float


class ListingStore:
    """Listings of all registries; thread safe, bounded in entries and in what they list."""

    def __init__(self, entries: int = LISTINGS, listed: int = LISTED) -> None:
        """Start empty."""
        self._entries, self._most = entries, listed
        self._kept: OrderedDict[Key, KeptListing] = OrderedDict()
        self._listed = 0
        self._lock = threading.Lock()

    def get(self, key: Key) -> KeptListing | None:
        """Return what is kept, and make it the last to go."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: Key, kept: KeptListing) -> None:
        """Keep it in place of what was there; the least recently used ones make room."""
        with self._lock:
            self._drop(key)
            self._kept[key] = kept
            self._listed += len(kept.listing.manifests)
            while len(self._kept) > self._entries or self._listed > self._most:
                self._drop(next(iter(self._kept)))

    def drop(self, key: Key) -> None:
        """Forget it: what the key names is gone, or cannot be read any more."""
        with self._lock:
            self._drop(key)

    def _drop(self, key: Key) -> None:
        dropped = self._kept.pop(key, None)
        if dropped is not None:
            self._listed -= len(dropped.listing.manifests)
