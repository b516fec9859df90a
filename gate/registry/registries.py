"""The registries that gate asks: what the operator lists, and a client for each host."""

from __future__ import annotations

import ssl
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gate import strictyaml
from gate.core.errors import ConfigError, MalformedError
from gate.core.limits import MIB
from gate.core.oci import DOCKER_HUB, Reference
from gate.core.quote import quote
from gate.registry import addresses
from gate.registry.addresses import Classify
from gate.registry.auth import Authentication
from gate.registry.client import RegistryClient
from gate.registry.credentials import CredentialSource
from gate.registry.exchange import Patience, Routes
from gate.registry.transport import FOREIGN_HOSTS, Transport, trusting
from gate.registry.urls import Origin

CLIENTS = 64  # hosts to which connections and tokens are kept; a tenant may name any number
REGISTRIES_BYTES = 1 * MIB  # a GATE_REGISTRIES file; as a policy file
CA_BYTES = 1 * MIB  # a CA bundle; the system's own has 200 KiB
OWN_PORTS = 2  # origins at one registry's host: itself, and a token realm on another port
_DOCKER_HUB_WIRE = "registry-1.docker.io"  # where docker.io is served
_UNBUILT = ("clientCertFile", "clientKeyFile", "realmAllow", "credentials")


@dataclass(frozen=True, slots=True)
class RegistryEntry:
    """One registry that the operator lists. ``host`` is canonical, as in Reference.registry."""

    host: str
    ca_file: Path | None = None  # PEM: trusted in place of the system's authorities
    plain_http: bool = False
    allow_private: bool = False  # whether hosts that this registry names (realm, redirect) may be private

    @classmethod
    def of(
        cls, host: str, *, ca_file: Path | None = None, plain_http: bool = False, allow_private: bool = False
    ) -> RegistryEntry:
        """Return the entry for ``host`` as somebody wrote it, or raise ConfigError when it is not a registry's host."""
        return cls(canonical_host(host), ca_file, plain_http, allow_private)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What arrives from outside: a monotonic clock (seconds), the wait before a retry, and what addresses are."""

    clock: Callable[[], float]
    patience: Patience
    classify: Classify = addresses.classify


def parse_registries(data: bytes, *, name: str) -> tuple[RegistryEntry, ...]:
    """Return the entries of a GATE_REGISTRIES file, or raise ConfigError with each mistake, its line and its path."""
    root = strictyaml.parse(data, limit=REGISTRIES_BYTES, name=name)
    if not isinstance(root, strictyaml.Sequence):
        raise ConfigError(f"{name}:{root.line}: the file holds a list of registries")
    problems = strictyaml.Problems(name)
    entries: dict[str, RegistryEntry] = {}
    for number, node in enumerate(root.items):
        fields = strictyaml.Fields.of(node, f"[{number}]", node.line, problems)
        entry = _entry(fields)
        if entry is not None and entry.host in entries:
            fields.wrong("host", f"{quote(entry.host)} is listed twice")
        elif entry is not None:
            entries[entry.host] = entry
        fields.unbuilt(*_UNBUILT)
        fields.finish()
    problems.raise_any()
    return tuple(entries.values())


def _entry(fields: strictyaml.Fields) -> RegistryEntry | None:
    host = fields.text("host")
    ca_file = Path(fields.text("caFile")) if fields.has("caFile") else None
    plain_http = fields.truth("plainHTTP", default=False)
    allow_private = fields.truth("allowPrivate", default=False)
    if plain_http and ca_file is not None:
        fields.wrong("caFile", "has no meaning for a registry that speaks plain http")
    if not host:
        return None
    try:
        return RegistryEntry.of(host, ca_file=ca_file, plain_http=plain_http, allow_private=allow_private)
    except ConfigError as error:
        fields.wrong("host", error.message)
        return None


def canonical_host(host: str) -> str:
    """Return ``host`` as Reference.registry has it, or raise ConfigError when no reference can name it so."""
    try:
        reference = Reference.parse(f"{host}/name/of")
    except MalformedError as error:
        raise ConfigError(f"{quote(host)} is not a registry's host") from error
    if reference.repository != "name/of" or reference.tag is not None:
        raise ConfigError(f"{quote(host)} is not a registry's host: it needs a dot or a port, or to be localhost")
    return reference.registry


class Registries:
    """A client for each registry; thread safe. The least recently used one is closed when there are too many."""

    def __init__(
        self, entries: Sequence[RegistryEntry], credentials: CredentialSource, surroundings: Surroundings
    ) -> None:
        """Know the listed ``entries``; raises ConfigError for a host listed twice or a CA file that cannot be used."""
        self._entries = {entry.host: entry for entry in entries}
        if len(self._entries) != len(entries):
            raise ConfigError("a registry is listed twice")
        self._credentials = credentials
        self._surroundings = surroundings
        self._system = trusting()
        self._private = {entry.host: _trust(entry.ca_file) for entry in entries if entry.ca_file is not None}
        self._lock = threading.Lock()
        self._clients: OrderedDict[tuple[str, bool], RegistryClient] = OrderedDict()

    def client(self, host: str, *, named_by_operator: bool) -> RegistryClient:
        """Return the client for ``host`` (canonical, as in Reference.registry).

        A host that is not ``named_by_operator`` and not listed is connected to at public addresses only.
        """
        key = (host, named_by_operator or host in self._entries)
        with self._lock:
            client = self._clients.get(key)
            if client is None:
                client = self._clients[key] = self._build(*key)
            self._clients.move_to_end(key)
            dropped = self._clients.popitem(last=False)[1] if len(self._clients) > CLIENTS else None
        if dropped is not None:
            dropped.close()
        return client

    def close(self) -> None:
        """Close every client's connections, those in use when they are done."""
        with self._lock:
            clients = tuple(self._clients.values())
            self._clients.clear()
        for client in clients:
            client.close()

    def _build(self, host: str, named: bool) -> RegistryClient:  # noqa: FBT001 (half of a cache key)
        entry = self._entries.get(host, RegistryEntry(host))
        classify = self._surroundings.classify
        anywhere, public = addresses.for_operators_hosts(classify), addresses.for_others_hosts(classify)
        own_trust, foreign_trust = self._private.get(host, (self._system, self._system))
        routes = Routes(
            _origin(entry),
            Transport(own_trust, anywhere if named else public, hosts=OWN_PORTS),
            Transport(foreign_trust, anywhere if entry.allow_private else public, hosts=FOREIGN_HOSTS),
        )
        auth = Authentication(
            routes, self._credentials, self._surroundings.clock, classify, allow_private=entry.allow_private
        )
        return RegistryClient(host, routes, auth, self._surroundings.patience)


def _origin(entry: RegistryEntry) -> Origin:
    wire = _DOCKER_HUB_WIRE if entry.host == DOCKER_HUB else entry.host
    return Origin.of(f"{'http' if entry.plain_http else 'https'}://{wire}")


def _trust(ca_file: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the trust for a registry, its authorities alone, and for the hosts it names, the system's besides."""
    try:
        with ca_file.open("rb") as file:
            pem = file.read(CA_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"the caFile {quote(str(ca_file))} cannot be read: {error.strerror}") from error
    try:
        if len(pem) <= CA_BYTES:
            return trusting(pem, system=False), trusting(pem)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(f"the caFile {quote(str(ca_file))} does not hold certificates in PEM") from error
    raise ConfigError(f"the caFile {quote(str(ca_file))} has more than {CA_BYTES} bytes")
