"""An image and its signatures in memory, read through the formats as discovery reads them, without a registry."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, Self

from gate.core import formats
from gate.core.authorities import KeyAuthority
from gate.core.globs import ImageGlob
from gate.core.keys import parse_public_key
from gate.core.manifests import Index, Manifest, parse_manifest
from gate.core.oci import Digest, Reference
from gate.core.policy import Match, NoMatch, Requirement, Rule, Signatures
from gate.core.signature import Candidate, Evidence
from gate.core.verdict import Decision
from gate.core.verify import decide
from gate.demo.signer import Signer
from gate.demo.store import Store

REGISTRY = "registry.example"
REPOSITORY = "team/config"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVERYTHING = Match((ImageGlob.parse("**"),))


class Content(Protocol):
    """Where manifests and blobs lie; a Store is one."""

    def manifest(self, repository: str, reference: str | Digest) -> tuple[bytes, str] | None:
        """Return the bytes and media type, or None."""

    def blob(self, repository: str, digest: Digest) -> bytes | None:
        """Return the bytes, or None."""


def signer(kind: str = "p256", number: int = 0) -> Signer:
    """Return the same key for the same arguments, because RSA keys take long to make."""
    return _signer(kind, number)


@functools.cache
def _signer(kind: str, number: int) -> Signer:
    return Signer.generate(kind)


def authority(key: Signer, name: str = "release") -> KeyAuthority:
    """Return the authority that trusts the public half of ``key``."""
    return KeyAuthority(name, parse_public_key(key.public_pem))


def rule_for(requirement: Requirement | Signer, name: str = "release", match: Match = EVERYTHING) -> Rule:
    """Return an enforced rule about every image: one signature of the key, or what is required instead."""
    wanted = Signatures((authority(requirement),)) if isinstance(requirement, Signer) else requirement
    return Rule(name, match, wanted)


def candidates(manifest: Manifest, location: str, content: Content, repository: str) -> tuple[Candidate, ...]:
    """Return the candidates of one manifest, by its own format."""
    form = formats.recognise(manifest)
    if form is None:
        return ()
    blobs = {item.digest: content.blob(repository, item.digest) for item in form.wanted(manifest)}
    return form.read(manifest, location, {digest: data for digest, data in blobs.items() if data is not None})


def evidence(content: Content, repository: str, digest: Digest) -> Evidence:
    """Return every candidate under the signature tag and in the referrers fallback index."""
    found: list[Candidate] = []
    tagged = content.manifest(repository, f"{digest.tag}.sig")
    if tagged is not None:
        manifest = formats.parse_candidate(*tagged)
        assert isinstance(manifest, Manifest)
        found += candidates(manifest, "tag", content, repository)
    listed = content.manifest(repository, digest.tag)
    if listed is not None:
        index = parse_manifest(*listed)
        assert isinstance(index, Index)
        for entry in index.manifests:
            stored = content.manifest(repository, entry.digest)
            assert stored is not None
            manifest = formats.parse_candidate(*stored)
            assert isinstance(manifest, Manifest)
            found += candidates(manifest, f"referrer {entry.digest}", content, repository)
    return Evidence(tuple(found))


@dataclass(frozen=True, slots=True)
class Image:
    """An image in a repository of its own, to be signed and decided on."""

    store: Store
    digest: Digest

    @classmethod
    def push(cls) -> Self:
        """Return an image without signatures."""
        store = Store(referrers_api=False)  # so that the signer keeps the fallback index
        return cls(store, store.push_manifest(REPOSITORY, b"the bytes of an image manifest"))

    @property
    def reference(self) -> Reference:
        """The image by its digest."""
        return Reference(REGISTRY, REPOSITORY, digest=self.digest)

    def evidence(self) -> Evidence:
        """Return every candidate that is stored with the image."""
        return evidence(self.store, REPOSITORY, self.digest)

    def decide(self, *rules: Rule, no_match: NoMatch = NoMatch.DENY) -> Decision:
        """Return the decision on the image with what is stored."""
        return decide(self.reference, self.evidence(), rules, no_match, NOW)
