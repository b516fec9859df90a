"""What a process finds around it: its credentials, the registries it may ask, and the threads that ask them."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from typing import Self

from gate.compose import clock
from gate.kube.api import SERVICE_ACCOUNT, KubernetesApi, in_cluster, own_namespace
from gate.kube.secrets import read_secret_key
from gate.registry.entries import RegistryEntry, canonical_host
from gate.registry.evidence import SEARCHES_AT_ONCE, EvidenceStore, Flights, RegistrySource
from gate.registry.registries import Registries
from gate.registry.reload import RegistriesFile, read_registries
from gate.registry.sources import Place
from gate.settings import Settings, google_environment, home_environment, kubernetes_environment

REQUESTS_AT_ONCE = 3 * SEARCHES_AT_ONCE  # registry requests of one process: a search begins with three at once
SECRET_SECONDS = 2.0  # reading a Secret with credentials, inside a review that has 8 s


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What a command line adds to the settings: hosts that its caller named, and a token."""

    hosts: frozenset[str]
    plain_http: bool = False
    token: bytes | None = None


def entries_of(settings: Settings, command_line: CommandLine) -> tuple[RegistryEntry, ...]:
    """Return the listed registries, and with ``--plain-http`` the hosts of the command line."""
    listed = () if settings.registries is None else read_registries(settings.registries)
    if not command_line.plain_http:
        return listed
    entries = {entry.host: entry for entry in listed}
    for host in sorted(command_line.hosts):
        known = entries.get(host, RegistryEntry(canonical_host(host)))
        entries[host] = replace(known, plain_http=True, ca_file=None, client=None, credentials=None)
    return tuple(entries.values())


def pod_namespace() -> str | None:
    """Return the namespace of the pod that this process is in, or None where it is in none."""
    return own_namespace(SERVICE_ACCOUNT) if (SERVICE_ACCOUNT / "namespace").is_file() else None


def in_a_pod(namespace: str | None) -> Place:
    """Return what a server finds around it: outside a cluster, no Secrets."""
    return Place(clock.clocks(), google_environment(), _secret_reader(namespace), namespace or "")


def at_a_command_line(command_line: CommandLine) -> Place:
    """Return what a command finds around it. Kubernetes is not asked: whoever sits there has credentials, or none."""
    from gate.registry.laptop import Home  # noqa: PLC0415 (a server never imports it)

    token = None if command_line.token is None else _constant(command_line.token)
    return Place(clock.clocks(), google_environment(), home=Home.of(home_environment()), token=token)


def _secret_reader(namespace: str | None) -> Callable[[str, str], bytes] | None:
    """Return what reads a key of a Secret in gate's own ``namespace``, with one client for all; None outside of one."""
    if namespace is None:
        return None

    @cache
    def api() -> KubernetesApi:
        return in_cluster(kubernetes_environment())

    return lambda name, key: read_secret_key(api(), namespace, name, key, SECRET_SECONDS)


def _constant(data: bytes) -> Callable[[], bytes]:
    return lambda: data


@dataclass(frozen=True, slots=True)
class OpenRegistries:
    """The registries of one process, with the threads that ask them and what they have said."""

    registries: Registries
    listed: RegistriesFile | None  # looked at again while gate runs
    named: frozenset[str]
    store: EvidenceStore
    searches: ThreadPoolExecutor
    requests: ThreadPoolExecutor
    flights: Flights

    @classmethod
    def over(cls, registries: Registries, named: frozenset[str], listed: RegistriesFile | None = None) -> Self:
        """Return them with threads of their own, which start as they are needed; ``named`` are the operator's hosts."""
        searches = ThreadPoolExecutor(SEARCHES_AT_ONCE, thread_name_prefix="search")
        requests = ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="request")
        return cls(registries, listed, named, EvidenceStore(time.monotonic), searches, requests, Flights(searches))

    def source(self, host: str, by_policy: bool) -> RegistrySource:  # noqa: FBT001 (the service's own question)
        """Return what is asked about images on ``host``; RegistriesFile is looked at first."""
        if self.listed is not None:
            self.listed.look()
        client = self.registries.client(host, named_by_operator=by_policy or host in self.named)
        return RegistrySource(host, client, self.store, self.flights, self.requests)

    def close(self) -> None:
        """Close the connections; no thread that still waits for a registry is waited for."""
        self.searches.shutdown(wait=False, cancel_futures=True)
        self.requests.shutdown(wait=False, cancel_futures=True)
        self.registries.close()
