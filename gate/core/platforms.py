"""What a manifest lists, and which manifest of an index Config Sync syncs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from gate.core.manifests import INDEX_TYPES, Index, Manifest
from gate.core.oci import Digest

SYNCED_PLATFORM = "linux/amd64"  # whatever it runs on: Config Sync, pkg/oci/fetcher.go


@dataclass(frozen=True, slots=True)
class Listing:
    """What the manifest ``digest`` lists, read from its bytes.

    ``manifests`` is what it lists directly: nothing, where it is an image. ``synced`` is what Config Sync syncs when it
    is told to sync it: an image itself, of an index the first entry for its platform, and None where there is none.
    """

    digest: Digest
    manifests: tuple[Digest, ...]
    synced: Digest | None

    @classmethod
    def of(cls, document: Manifest | Index) -> Self:
        """Return what ``document`` lists."""
        if isinstance(document, Manifest):
            return cls(document.digest, (), document.digest)
        suitable = (entry for entry in document.manifests if entry.platform == SYNCED_PLATFORM)
        first = next(suitable, None)
        # Of an index in an index another one would be synced, which the first does not list: nothing vouches for it.
        synced = None if first is None or first.media_type in INDEX_TYPES else first.digest
        return cls(document.digest, tuple(entry.digest for entry in document.manifests), synced)

    def lists(self, digest: Digest) -> bool:
        """Return whether ``digest`` is listed directly, for whichever platform."""
        return digest in self.manifests
