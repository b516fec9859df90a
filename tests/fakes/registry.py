"""A registry client without a registry: a Store answers, and any answer can be made to fail."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from gate.core import limits
from gate.core.deadline import Deadline
from gate.core.errors import UnavailableError
from gate.core.manifests import Descriptor
from gate.core.oci import Digest
from gate.core.reasons import Reason
from gate.demo.store import Store
from gate.registry.client import Document
from gate.registry.referrers import Entries, Listed


@dataclass(slots=True)
class StoreClient:
    """Answers as RegistryClient does, from ``store``; thread safe.

    ``requests`` holds the paths that were asked for, in order: ``/v2/<repository>/manifests/<tag or digest>``,
    ``…/blobs/<digest>``, ``…/referrers/<digest>``.
    """

    store: Store
    requests: list[str] = field(default_factory=list)
    _failures: list[tuple[str, UnavailableError]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, path: str, error: UnavailableError) -> None:
        """Raise ``error`` whenever a path is asked for that matches ``path`` (a shell pattern)."""
        self._failures.append((path, error))

    def recover(self) -> None:
        """Forget every failure."""
        self._failures.clear()

    def manifest(
        self, repository: str, reference: str | Digest, deadline: Deadline, *, limit: int = limits.MANIFEST_BYTES
    ) -> Document | None:
        """Return the manifest or index, or None when there is none."""
        self._ask(f"/v2/{repository}/manifests/{reference}", deadline)
        found = self.store.manifest(repository, reference)
        if found is None:
            return None
        raw, media_type = found
        if len(raw) > limit:
            raise UnavailableError(Reason.LIMIT, f"the manifest has {len(raw)} bytes, more than {limit}")
        if isinstance(reference, Digest) and Digest.of(raw) != reference:
            raise UnavailableError(Reason.REGISTRY_ERROR, "the registry sent bytes with another digest")
        return Document(Digest.of(raw), media_type, raw)

    def blob(self, repository: str, descriptor: Descriptor, limit: int, deadline: Deadline) -> bytes:
        """Return the bytes that ``descriptor`` names, size and digest compared."""
        if descriptor.size > limit:
            raise UnavailableError(Reason.LIMIT, f"the blob has {descriptor.size} bytes, more than {limit}")
        self._ask(f"/v2/{repository}/blobs/{descriptor.digest}", deadline)
        data = self.store.blob(repository, descriptor.digest)
        if data is None:
            raise UnavailableError(Reason.REGISTRY_ERROR, "the registry has no such blob")
        if len(data) != descriptor.size or Digest.of(data) != descriptor.digest:
            raise UnavailableError(Reason.REGISTRY_ERROR, "the registry sent other bytes than the descriptor says")
        return data

    def referrers(self, repository: str, digest: Digest, deadline: Deadline) -> Listed:
        """Return what refers to ``digest``, from the API or, where there is none, from the fallback tag."""
        listed = self.referrers_api(repository, digest, deadline)
        return self.referrers_tag(repository, digest, deadline) if listed is None else listed

    def referrers_api(self, repository: str, digest: Digest, deadline: Deadline) -> Listed | None:
        """Return what the API lists, or None where the store's registry has none."""
        self._ask(f"/v2/{repository}/referrers/{digest}", deadline)
        if not self.store.referrers_api:
            return None
        listed = self.store.referrers(repository, digest)
        if len(listed) > limits.INDEX_ENTRIES:
            raise UnavailableError(Reason.LIMIT, f"more than {limits.INDEX_ENTRIES} referrers are listed")
        size = sum(len(str(item)) for item in listed)  # about as long as the list would be
        return Listed(tuple(Descriptor(item.media_type, item.digest, item.size) for item in listed), size)

    def referrers_tag(self, repository: str, digest: Digest, deadline: Deadline) -> Listed:
        """Return what the fallback tag lists; MalformedError when it names something that is no index."""
        document = self.manifest(repository, digest.tag, deadline)
        if document is None:
            return Listed()
        entries = Entries(f'"{repository}@{digest}"')
        entries.add(document.raw)
        return entries.found()

    def _ask(self, path: str, deadline: Deadline) -> None:
        with self._lock:
            self.requests.append(path)
        self.store.record_request(f"GET {path}")
        for pattern, error in self._failures:
            if fnmatchcase(path, pattern):
                raise error
        deadline.remaining()
