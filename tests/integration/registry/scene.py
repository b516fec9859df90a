"""The engine over real connections: a gate, what it is asked, and a hostile server that has something to offer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime

from gate.core.authorities import KeyAuthority
from gate.core.keys import parse_public_key
from gate.core.oci import Digest, Reference
from gate.core.policy import Context, Policy, single_key_policy
from gate.core.subjects import Image
from gate.core.verdict import Decision
from gate.demo import endpoints, layouts
from gate.demo.signer import Signer
from gate.demo.store import Store
from gate.registry.evidence import EvidenceStore, Flights, RegistrySource
from gate.registry.registries import Registries
from gate.service import Gate
from tests.fakes.hostile import Reply, Seen
from tests.integration.registry.conftest import REPOSITORY, within

SIGNER = Signer.generate()
POLICY = single_key_policy(KeyAuthority("release", parse_public_key(SIGNER.public_pem)))


def published(*, referrers_api: bool = True) -> tuple[Digest, Callable[[Seen], Reply]]:
    """Return the digest of an image that is signed, and the answers of a registry that has it."""
    store = Store(referrers_api=referrers_api)
    config: layouts.Fields = {"mediaType": "application/x", "digest": str(Digest.of(b"")), "size": 0}
    digest = store.push_manifest(REPOSITORY, layouts.image(config, []), tag="v1")
    SIGNER.sign_tag(store, REPOSITORY, digest)
    SIGNER.sign_bundle(store, REPOSITORY, digest)
    registry = endpoints.Registry(store, referrers_api)

    def answer(seen: Seen) -> Reply:
        said = registry.answer(endpoints.Request(seen.method, seen.path, {}, "", "", b""))
        return Reply(said.status, said.body, (("Content-Type", said.media_type), *said.headers))

    return digest, answer


@contextmanager
def gate_over(registries: Registries, clock: Callable[[], float] = time.monotonic) -> Iterator[Gate]:
    """Yield the engine over ``registries``, with as many threads as the server has."""
    with ThreadPoolExecutor(64) as searches, ThreadPoolExecutor(64) as requests:
        store, flights = EvidenceStore(clock), Flights(searches)

        def source(host: str, named: bool) -> RegistrySource:
            client = registries.client(host, named_by_operator=named)
            return RegistrySource(host, client, store, flights, requests)

        yield Gate(source, lambda: datetime(2026, 1, 1, tzinfo=UTC))


def decide(gate: Gate, host: str, digest: Digest, policy: Policy = POLICY) -> Decision:
    """Return the decision on the image that published() has, as if a review were waiting for it."""
    return gate.decide(policy, Image(Reference(host, REPOSITORY, digest=digest)), Context(), within(8))
