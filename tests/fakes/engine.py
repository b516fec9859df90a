"""The engine over a registry in memory, with time that stands still until a test moves it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gate.core.authorities import KeyAuthority
from gate.core.deadline import Deadline
from gate.core.keys import parse_public_key
from gate.core.manifests import OCI_INDEX, OCI_MANIFEST, Descriptor
from gate.core.oci import Digest, Reference
from gate.core.policy import Context, Policy, single_key_policy
from gate.core.subjects import Image, Subject
from gate.core.verdict import Decision
from gate.demo import layouts
from gate.demo.signer import Signer
from gate.demo.store import Store
from gate.registry.evidence import EvidenceStore, Flights, RegistrySource
from gate.service import Gate
from tests.fakes.registry import StoreClient

HOST, REPOSITORY = "registry.example", "acme/config"
SIGNER = Signer.generate()
POLICY = single_key_policy(KeyAuthority("release", parse_public_key(SIGNER.public_pem)))


@dataclass
class Engine:
    """A registry, a gate that asks it, and what was asked; ``time`` is in seconds."""

    executor: ThreadPoolExecutor
    searches: ThreadPoolExecutor
    store: Store = field(default_factory=Store)
    hosts: list[tuple[str, bool]] = field(default_factory=list)
    time: float = 0.0

    def __post_init__(self) -> None:
        self.client = StoreClient(self.store)
        self.kept = EvidenceStore(lambda: self.time)
        self.flights = Flights(self.searches)
        self.gate = Gate(self.source, lambda: datetime(2026, 1, 1, tzinfo=UTC))

    def source(self, host: str, named: bool) -> RegistrySource:
        self.hosts.append((host, named))
        return RegistrySource(host, self.client, self.kept, self.flights, self.executor)

    def push(self, tag: str | None = "v1", content: str = "") -> Digest:
        """Push an image; another one for other content."""
        config = {"mediaType": "application/x", "digest": str(Digest.of(b"")), "size": 0}
        raw = layouts.image(config, [], annotations={"content": content})
        return self.store.push_manifest(REPOSITORY, raw, tag=tag)

    def push_index(self, *children: Digest, tag: str | None = "v1", **members: object) -> Digest:
        """Push an index of ``children``: the first for linux/arm64, the others for linux/amd64."""
        entries = []
        for number, child in enumerate(children):
            platform = {"os": "linux", "architecture": "amd64" if number else "arm64"}
            entries.append({**layouts.descriptor_fields(Descriptor(OCI_MANIFEST, child, 1)), "platform": platform})
        raw = layouts.compact({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries, **members})
        return self.store.push_manifest(REPOSITORY, raw, OCI_INDEX, tag=tag)

    def ask(self, image: str, policy: Policy = POLICY, context: Context | None = None) -> Decision:
        """Return the decision on what is synced of ``image``."""
        return self.decide(Image(Reference.parse(image)), policy, context)

    def decide(self, subject: Subject, policy: Policy = POLICY, context: Context | None = None) -> Decision:
        """Return the decision on ``subject``, within five seconds."""
        return self.gate.decide(policy, subject, context or Context(), Deadline.after(5, lambda: self.time))

    @property
    def names(self) -> list[str]:
        """What was asked for, by the last part of each path."""
        return [path.rpartition("/")[2] for path in self.client.requests]


@contextmanager
def running() -> Iterator[Engine]:
    """Yield an engine whose registry is empty."""
    with ThreadPoolExecutor(8) as executor, ThreadPoolExecutor(4) as searches:
        yield Engine(executor, searches)
