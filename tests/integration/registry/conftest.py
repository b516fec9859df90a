"""A client against a hostile server; 127.0.0.2 stands for a public address, 127.0.0.3 for a metadata server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from gate.core.deadline import Deadline
from gate.core.manifests import Descriptor
from gate.core.oci import Digest
from gate.registry import addresses
from gate.registry.addresses import AddressClass
from gate.registry.client import RegistryClient
from gate.registry.credentials import Anonymous, CredentialSource
from gate.registry.entries import RegistryEntry
from gate.registry.exchange import Patience
from gate.registry.registries import Registries, Surroundings
from tests.fakes.hostile import Authority, Hostile, make_authority

PUBLIC, METADATA = "127.0.0.2", "127.0.0.3"
REPOSITORY = "ns/app"


def classify(address: str) -> AddressClass:
    standing_for = {PUBLIC: AddressClass.PUBLIC, METADATA: AddressClass.NEVER}
    return standing_for.get(address) or addresses.classify(address)


def within(seconds: float = 3.0) -> Deadline:
    return Deadline.after(seconds, time.monotonic)


def described(data: bytes) -> Descriptor:
    return Descriptor("application/octet-stream", Digest.of(data), len(data))


@dataclass(slots=True)
class Asker:
    """Makes clients, and closes them after the test; ``slept`` holds the waits before retries."""

    authority: Authority
    slept: list[float] = field(default_factory=list)
    now: float = 0.0  # added to the clock of token lives
    _made: list[Registries] = field(default_factory=list)

    def registries(self, *entries: RegistryEntry, credentials: CredentialSource | None = None) -> Registries:
        patience = Patience(self.slept.append, lambda shortest, _: shortest)
        surroundings = Surroundings(lambda: time.monotonic() + self.now, patience, classify)
        made = Registries(entries, lambda _: credentials or Anonymous(), surroundings)
        self._made.append(made)
        return made

    def client(
        self,
        server: Hostile,
        *,
        allow_private: bool = False,
        credentials: CredentialSource | None = None,
    ) -> RegistryClient:
        ca_file = None if server.tls is None else self.authority.ca_file
        entry = RegistryEntry(server.host, ca_file, plain_http=server.tls is None, allow_private=allow_private)
        return self.registries(entry, credentials=credentials).client(server.host, named_by_operator=True)

    def close(self) -> None:
        for made in self._made:
            made.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"), "127.0.0.1", PUBLIC, METADATA)


@pytest.fixture(scope="session", autouse=True)
def system_authorities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let the system trust one authority that signed nothing here: reading the real ones takes time."""
    stranger = make_authority(tmp_path_factory.mktemp("system"))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SSL_CERT_FILE", str(stranger.ca_file))
        environment.setenv("SSL_CERT_DIR", str(stranger.ca_file.parent / "none"))
        yield


@pytest.fixture
def asker(authority: Authority) -> Iterator[Asker]:
    asker = Asker(authority)
    yield asker
    asker.close()


@pytest.fixture
def registry() -> Iterator[Hostile]:
    """A registry that speaks plain http."""
    with Hostile() as server:
        yield server


@pytest.fixture
def secure(authority: Authority) -> Iterator[Hostile]:
    """A registry that speaks TLS with a certificate of the private authority."""
    with Hostile(tls=authority.server) as server:
        yield server


@pytest.fixture(params=["plain", "tls"])
def either(request: pytest.FixtureRequest, authority: Authority) -> Iterator[Hostile]:
    """Both kinds of registry, one after the other."""
    with Hostile(tls=None if request.param == "plain" else authority.server) as server:
        yield server


@pytest.fixture
def public(authority: Authority) -> Iterator[Hostile]:
    """Another host, at a public address, over TLS."""
    with Hostile(PUBLIC, tls=authority.server) as server:
        yield server
