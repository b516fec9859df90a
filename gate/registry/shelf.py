"""Layouts on disk in the place of a registry: each is one of its repositories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gate.core import limits
from gate.core.deadline import Deadline
from gate.core.errors import UnavailableError
from gate.core.manifests import Descriptor
from gate.core.oci import Digest
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.registry.client import Document
from gate.registry.layout import Layout
from gate.registry.referrers import Listed


@dataclass(frozen=True, slots=True)
class Shelf:
    """The repositories of one host: discovery's Client.

    What is not there is unavailable, which is never an outage: that a repository has no layout says nothing of it.
    """

    layouts: Mapping[str, Layout]

    def manifest(
        self, repository: str, reference: str | Digest, deadline: Deadline, *, limit: int = limits.MANIFEST_BYTES
    ) -> Document | None:
        """Return the manifest, as Layout does."""
        return self._of(repository).manifest(repository, reference, deadline, limit=limit)

    def blob(self, repository: str, descriptor: Descriptor, limit: int, deadline: Deadline) -> bytes:
        """Return the blob, as Layout does."""
        return self._of(repository).blob(repository, descriptor, limit, deadline)

    def referrers_api(self, repository: str, digest: Digest, deadline: Deadline) -> Listed:
        """Return what refers to the digest, as Layout does."""
        return self._of(repository).referrers_api(repository, digest, deadline)

    def referrers_tag(self, repository: str, digest: Digest, deadline: Deadline) -> Listed:
        """Return what the fallback tag lists, as Layout does."""
        return self._of(repository).referrers_tag(repository, digest, deadline)

    def _of(self, repository: str) -> Layout:
        layout = self.layouts.get(repository)
        if layout is None:
            message = f"nothing says which layout on disk the repository {quote(repository)} is"
            raise UnavailableError(Reason.REGISTRY_UNREACHABLE, message)
        return layout
