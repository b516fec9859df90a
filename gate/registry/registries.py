"""The registries that gate asks: what the operator lists, and a client for each host."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from gate.core.errors import ConfigError
from gate.core.oci import DOCKER_HUB
from gate.registry import addresses, material
from gate.registry.addresses import Classify
from gate.registry.auth import Authentication
from gate.registry.breaker import Breaker
from gate.registry.client import RegistryClient
from gate.registry.credentials import CredentialSource
from gate.registry.entries import CredentialChoice, RegistryEntry
from gate.registry.exchange import Patience, Routes
from gate.registry.material import Trust
from gate.registry.trace import Observe
from gate.registry.transport import FOREIGN_HOSTS, Transport, trusting
from gate.registry.urls import Origin

CLIENTS = 64  # hosts to which connections and tokens are kept; a tenant may name any number
OWN_PORTS = 2  # origins at one registry's host: itself, and a token realm on another port
_DOCKER_HUB_WIRE = "registry-1.docker.io"  # where docker.io is served

Sources: TypeAlias = Callable[[CredentialChoice | None], CredentialSource]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What arrives from outside: a monotonic clock (seconds), the wait before a retry, and what addresses are."""

    clock: Callable[[], float]
    patience: Patience
    classify: Classify = addresses.classify
    observe: Observe | None = None  # told of every request to a registry, and to whom it names


@dataclass(frozen=True, slots=True)
class _Listed:
    """An entry with what its files held; two are equal when nothing about the registry has changed."""

    entry: RegistryEntry
    fingerprint: tuple[bytes, ...] = field(repr=False)
    trust: Trust = field(compare=False)
    credentials: CredentialSource = field(compare=False, repr=False)


class Registries:
    """A client for each registry; thread safe. The least recently used one is closed when there are too many."""

    def __init__(self, entries: Sequence[RegistryEntry], sources: Sources, surroundings: Surroundings) -> None:
        """Know the listed ``entries``; raises ConfigError when a host is listed twice or a file cannot be used.

        ``sources`` returns where the credentials of a choice come from, and for None those of every other host.
        """
        self._sources = sources
        self._surroundings = surroundings
        self._system = trusting()
        self._unlisted = sources(None)
        self._lock = threading.Lock()
        self._clients: OrderedDict[tuple[str, bool], RegistryClient] = OrderedDict()
        self._listed: Mapping[str, _Listed] = {}
        self._listed = self._load(entries)

    def update(self, entries: Sequence[RegistryEntry]) -> tuple[str, ...]:
        """Know these ``entries`` from now on, or raise ConfigError and know those that were known before.

        Returns the hosts about which something has changed.
        Clients of hosts about which nothing has changed, files included, stay as they are. The others are replaced;
        their connections are closed, those in use when they are done.
        """
        listed = self._load(entries)
        with self._lock:
            changed = {host for host in {*listed, *self._listed} if listed.get(host) != self._listed.get(host)}
            self._listed = listed
            replaced = [self._clients.pop(key) for key in tuple(self._clients) if key[0] in changed]
        for client in replaced:
            client.close()
        return tuple(sorted(changed))

    def client(self, host: str, *, named_by_operator: bool) -> RegistryClient:
        """Return the client for ``host`` (canonical, as in Reference.registry).

        A host that is not ``named_by_operator`` and not listed is connected to at public addresses only.
        """
        with self._lock:
            listed = self._listed.get(host)
            key = (host, named_by_operator or listed is not None)
            client = self._clients.get(key)
            if client is None:
                client = self._clients[key] = self._build(host, listed, anywhere=key[1])
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

    def _load(self, entries: Sequence[RegistryEntry]) -> dict[str, _Listed]:
        listed = {entry.host: self._read(entry) for entry in entries}
        if len(listed) != len(entries):
            raise ConfigError("a registry is listed twice")
        return listed

    def _read(self, entry: RegistryEntry) -> _Listed:
        """Return ``entry`` with what its files hold; what is known already when nothing has changed."""
        fingerprint = material.fingerprint(entry)
        known = self._listed.get(entry.host)
        if known is not None and (known.entry, known.fingerprint) == (entry, fingerprint):
            return known
        credentials = self._unlisted if entry.credentials is None else self._sources(entry.credentials)
        return _Listed(entry, fingerprint, material.trust(entry, self._system), credentials)

    def _build(self, host: str, listed: _Listed | None, *, anywhere: bool) -> RegistryClient:
        entry = RegistryEntry(host) if listed is None else listed.entry
        trust = Trust(self._system, self._system) if listed is None else listed.trust
        classify, clock, observe = self._surroundings.classify, self._surroundings.clock, self._surroundings.observe
        operators, others = addresses.for_operators_hosts(classify), addresses.for_others_hosts(classify)
        routes = Routes(
            _origin(entry),
            Transport(trust.own, operators if anywhere else others, hosts=OWN_PORTS, observe=observe),
            Transport(
                trust.foreign, operators if entry.allow_private else others, hosts=FOREIGN_HOSTS, observe=observe
            ),
            {host: Transport(trust.foreign, operators, observe=observe) for host in entry.realm_allow},
        )
        credentials = self._unlisted if listed is None else listed.credentials
        auth = Authentication(routes, credentials, clock, classify, allow_private=entry.allow_private)
        return RegistryClient(host, routes, auth, self._surroundings.patience, Breaker(routes.origin, clock))


def _origin(entry: RegistryEntry) -> Origin:
    wire = _DOCKER_HUB_WIRE if entry.host == DOCKER_HUB else entry.host
    return Origin.of(f"{'http' if entry.plain_http else 'https'}://{wire}")
