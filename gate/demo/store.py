"""The content of a registry, in memory: repositories of blobs, manifests, tags and referrers."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from gate.core import limits, strictjson
from gate.core.errors import UnavailableError
from gate.core.manifests import OCI_MANIFEST, Descriptor
from gate.core.oci import Digest
from gate.core.reasons import Reason
from gate.registry.referrers import subject_of

BLOB_BYTES = 16 * limits.MIB  # one blob; a config bundle has some KiB, a cosign payload less than one
TOTAL_BYTES = 256 * limits.MIB  # everything in one store; it lives in memory, beside the process that it serves
ITEMS = 200_000  # blobs, manifests and tags in one store; ten thousand signed images need 50,000
RECENT_REQUESTS = 10_000  # requests that are remembered by name; all of them are counted


@dataclass(slots=True)
class _Repository:
    blobs: dict[Digest, bytes] = field(default_factory=dict)
    manifests: dict[Digest, tuple[bytes, str]] = field(default_factory=dict)
    tags: dict[str, Digest] = field(default_factory=dict)
    referrers: dict[Digest, list[Digest]] = field(default_factory=dict)


class Store:
    """Thread-safe OCI content, bounded in bytes and items.

    Nothing is judged: a manifest that is not one is stored like any other, because the tests need hostile registries.
    ``referrers_api`` says whether the registry that this is the content of has a referrers API; where it has none,
    whoever pushes a referrer keeps the fallback tag (distribution-spec v1.1, "Listing Referrers").
    """

    def __init__(self, *, referrers_api: bool = True, total_bytes: int = TOTAL_BYTES) -> None:
        """Start empty; ``total_bytes`` bounds everything that is kept."""
        self.referrers_api = referrers_api
        self._total_bytes = total_bytes
        self._bytes = 0
        self._items = 0
        self._requests = 0
        self._recent: deque[str] = deque(maxlen=RECENT_REQUESTS)
        self._repositories: dict[str, _Repository] = {}
        self._lock = threading.RLock()

    @property
    def requests(self) -> int:
        """How many requests the registry in front of this content has answered, refusals included."""
        with self._lock:
            return self._requests

    @property
    def recent_requests(self) -> tuple[str, ...]:
        """The last requests in order, as ``GET /v2/…``; at most 10,000."""
        with self._lock:
            return tuple(self._recent)

    def record_request(self, request: str) -> None:
        """Count one request; whoever answers it calls this before it looks."""
        with self._lock:
            self._requests += 1
            self._recent.append(request)

    def push_blob(self, repository: str, data: bytes, *, stored_as: Digest | None = None) -> Digest:
        """Keep ``data`` and return its digest; UnavailableError (limit) when it is too large or the store is full.

        ``stored_as`` files the bytes under another digest, as a registry would that lies.
        """
        digest = stored_as or Digest.of(data)
        with self._lock:
            blobs = self._repository(repository).blobs
            self._reserve(data, blobs.get(digest), BLOB_BYTES)
            blobs[digest] = data
        return digest

    def push_manifest(
        self,
        repository: str,
        raw: bytes,
        media_type: str = OCI_MANIFEST,
        *,
        tag: str | None = None,
        stored_as: Digest | None = None,
    ) -> Digest:
        """Keep the manifest ``raw``, point ``tag`` at it and return its digest; raises as push_blob()."""
        digest = stored_as or Digest.of(raw)
        subject = subject_of(raw)
        with self._lock:
            content = self._repository(repository)
            known = content.manifests.get(digest)
            self._reserve(raw, None if known is None else known[0], limits.MANIFEST_BYTES)
            content.manifests[digest] = (raw, media_type)
            if subject is not None and digest not in content.referrers.setdefault(subject, []):
                content.referrers[subject].append(digest)
            if tag is not None:
                self.tag(repository, tag, digest)
        return digest

    def tag(self, repository: str, tag: str, digest: Digest) -> None:
        """Point ``tag`` at ``digest``, whatever it named before."""
        with self._lock:
            tags = self._repository(repository).tags
            if tag not in tags:
                self._count_item()
            tags[tag] = digest

    def untag(self, repository: str, tag: str) -> None:
        """Forget ``tag``; what it named stays."""
        with self._lock:
            if self._repository(repository).tags.pop(tag, None) is not None:
                self._items -= 1

    def delete_manifest(self, repository: str, digest: Digest) -> None:
        """Forget the manifest; tags and indexes that name it dangle, as they do in a registry."""
        with self._lock:
            content = self._repository(repository)
            known = content.manifests.pop(digest, None)
            if known is not None:
                self._release(known[0])
            for found in content.referrers.values():
                if digest in found:
                    found.remove(digest)

    def delete_blob(self, repository: str, digest: Digest) -> None:
        """Forget the blob."""
        with self._lock:
            data = self._repository(repository).blobs.pop(digest, None)
            if data is not None:
                self._release(data)

    def blob(self, repository: str, digest: Digest) -> bytes | None:
        """Return the blob, or None."""
        with self._lock:
            content = self._repositories.get(repository)
            return None if content is None else content.blobs.get(digest)

    def manifest(self, repository: str, reference: str | Digest) -> tuple[bytes, str] | None:
        """Return the bytes and media type of what ``reference`` (a tag or a digest) names, or None."""
        with self._lock:
            content = self._repositories.get(repository)
            if content is None:
                return None
            digest = reference if isinstance(reference, Digest) else content.tags.get(reference)
            return None if digest is None else content.manifests.get(digest)

    def resolve(self, repository: str, tag: str) -> Digest | None:
        """Return the digest that ``tag`` names, or None."""
        with self._lock:
            content = self._repositories.get(repository)
            return None if content is None else content.tags.get(tag)

    def tags(self, repository: str) -> tuple[str, ...] | None:
        """Return the tags in order, or None when there is no such repository."""
        with self._lock:
            content = self._repositories.get(repository)
            return None if content is None else tuple(sorted(content.tags))

    def referrers(self, repository: str, digest: Digest) -> tuple[Descriptor, ...]:
        """Return a descriptor of each manifest whose subject is ``digest``, in the order they were pushed."""
        with self._lock:
            content = self._repositories.get(repository)
            if content is None:
                return ()
            referring = [(found, *content.manifests[found]) for found in content.referrers.get(digest, ())]
        return tuple(_describe(found, raw, media_type) for found, raw, media_type in referring)

    def _repository(self, name: str) -> _Repository:
        return self._repositories.setdefault(name, _Repository())

    def _reserve(self, data: bytes, replaced: bytes | None, limit: int) -> None:
        if len(data) > limit:
            raise UnavailableError(Reason.LIMIT, f"{len(data)} bytes were pushed, more than {limit} in one piece")
        size = self._bytes + len(data) - len(replaced or b"")
        if size > self._total_bytes:
            raise UnavailableError(Reason.LIMIT, f"the registry in memory keeps at most {self._total_bytes} bytes")
        if replaced is None:
            self._count_item()
        self._bytes = size

    def _release(self, data: bytes) -> None:
        self._bytes -= len(data)
        self._items -= 1

    def _count_item(self) -> None:
        if self._items >= ITEMS:
            raise UnavailableError(Reason.LIMIT, f"the registry in memory keeps at most {ITEMS} blobs, manifests, tags")
        self._items += 1


def _describe(digest: Digest, raw: bytes, media_type: str) -> Descriptor:
    """Return the descriptor that a referrers list shows; distribution-spec v1.1, "Listing Referrers"."""
    fields = strictjson.loads_object(raw, limit=limits.MANIFEST_BYTES)
    annotations = _texts(fields.get("annotations"))
    config = fields.get("config")
    configured = config.get("mediaType") if isinstance(config, Mapping) else None
    artifact_type = fields.get("artifactType") or configured
    return Descriptor(
        media_type, digest, len(raw), annotations, artifact_type if isinstance(artifact_type, str) else None
    )


def _texts(value: strictjson.Json) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, Mapping):
        return ()
    return tuple((name, text) for name, text in value.items() if isinstance(text, str))
