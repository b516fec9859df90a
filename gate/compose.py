"""Composition: the only place that picks implementations, reads the clock and draws random numbers."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Self

from gate.core.deadline import Deadline
from gate.core.oci import Reference
from gate.core.policy import Policy
from gate.fronts.review import Record, Reviewer
from gate.inquiry import Source
from gate.kube.api import SERVICE_ACCOUNT, KubernetesApi, from_kubeconfig, in_cluster, own_namespace
from gate.kube.events import Events
from gate.kube.secrets import read_secret_key
from gate.registry.addresses import classify, for_operators_hosts
from gate.registry.check import Access
from gate.registry.discovery import Client
from gate.registry.entries import RegistryEntry, canonical_host
from gate.registry.evidence import SEARCHES_AT_ONCE, EvidenceStore, Flights, RegistrySource
from gate.registry.exchange import Patience
from gate.registry.google import Clocks
from gate.registry.layout import Layout
from gate.registry.registries import Registries, Surroundings
from gate.registry.reload import RegistriesFile, read_registries
from gate.registry.shelf import Shelf
from gate.registry.sources import Place, Sources
from gate.registry.trace import Observe
from gate.registry.transport import Transport, trusting
from gate.service import Gate, KeptChecks
from gate.settings import (
    Settings,
    google_environment,
    home_environment,
    kubeconfig_environment,
    kubernetes_environment,
)
from gate.trust.mounts import Mount, Mounted
from gate.trust.policyfile import load_key_policy
from gate.trust.policyfile import load_policy as load_policy_file
from gate.trust.publicgood import URL as SIGSTORE_URL
from gate.trust.publicgood import PublicGood, Times, read_shipped
from gate.trust.reading import read_set
from gate.trust.reload import PolicySet
from gate.trust.roots import Roots

if TYPE_CHECKING:
    from flask import Flask

REQUESTS_AT_ONCE = 3 * SEARCHES_AT_ONCE  # registry requests of one process: a search begins with three at once
LAYOUT_READS_AT_ONCE = 4  # files of an OCI layout; a disk gains nothing by more
SECRET_SECONDS = 2.0  # reading a Secret with credentials, inside a review that has 8 s

decisions = logging.getLogger("gate.decision")


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What a command line adds to the settings: hosts that its caller named, and a token."""

    hosts: frozenset[str]
    plain_http: bool = False
    token: bytes | None = None


def now() -> datetime:
    """Return the time of day, aware, in UTC."""
    return datetime.now(UTC)


def deadline(seconds: float) -> Deadline:
    """Return the deadline that is ``seconds`` from now."""
    return Deadline.after(seconds, time.monotonic)


def load_policy(settings: Settings) -> Policy:
    """Return the policy that the settings name, or raise ConfigError; for a command, which needs it once.

    Sigstore's trust root is asked for first where the policy names it, at most once an hour.
    """
    good = _public_good(settings)
    return read_set(_loader(settings), cache(lambda: good().fresh())).policy()


def load_policy_offline(settings: Settings, mounts: tuple[Mount, ...] = ()) -> Policy:
    """Return the policy that the settings name, with the trust root that is at hand; ConfigError as load_policy().

    What the policy names below ``mounts`` is read from there.
    """
    good = _public_good(settings)
    return read_set(_loader(settings, mounts), lambda: good().current()).policy()


def _loader(settings: Settings, mounts: tuple[Mount, ...] = ()) -> Callable[[Roots], Policy]:
    """Return what reads the policy that the settings name."""
    path = settings.policy
    if path is not None:
        return lambda roots: load_policy_file(path, Mounted(roots, mounts))
    return lambda roots: load_key_policy(settings.key, roots)


def _public_good(settings: Settings) -> Callable[[], PublicGood]:
    """Return what gives Sigstore's trust root and library, made at the first question: most policies never ask."""

    @cache
    def public_good() -> PublicGood:
        from gate.trust.sigstore_bundle import SigstoreBundles  # noqa: PLC0415 (a key-only policy does without them)
        from gate.trust.tuf import TufClient  # noqa: PLC0415

        shipped = read_shipped()
        client = TufClient(settings.state_dir / "tuf", SIGSTORE_URL, shipped.tuf_root, _tuf_get())
        times = Times(time.monotonic, now, random.SystemRandom().uniform)
        return PublicGood(client, shipped, SigstoreBundles, times)

    return public_good


def _tuf_get() -> Callable[[str, int, Deadline], tuple[int, bytes]]:
    """Return what asks Sigstore's TUF repository: by TLS, which guards the question; what is answered is signed."""
    transport = Transport(trusting(), for_operators_hosts(classify))

    def get(url: str, limit: int, deadline: Deadline) -> tuple[int, bytes]:
        answer = transport.get(url, {}, limit, deadline)
        return answer.status, answer.body

    return get


@contextmanager
def open_gate(settings: Settings, command_line: CommandLine) -> Iterator[Gate]:
    """Yield the engine of a command line, and close its connections; ConfigError when a setting is wrong.

    Credentials are those of GATE_AUTH, and what ``docker login`` and ``gcloud`` left to whoever sits there.
    """
    credentials = Sources(settings, _at_a_command_line(command_line))
    registries = Registries(_entries(settings, command_line), credentials.build, _surroundings())
    with closing(_Sources.over(registries, command_line.hosts)) as sources:
        yield Gate(sources.source, now, KeptChecks())


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """Which cluster a command line names: by a kubeconfig and a context in it; None is what kubectl takes."""

    file: str | None
    context: str | None


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit asks: the API server and the registries, and ``identity``: as whom, for people."""

    api: KubernetesApi
    gate: Gate
    identity: str


@contextmanager
def open_audit(settings: Settings, token: bytes | None, kubeconfig: Kubeconfig) -> Iterator[Audit]:
    """Yield the API server and the engine of an audit, and close their connections; ConfigError for a wrong setting.

    In a pod, unless a kubeconfig is named, both are asked with what the pod has: its ServiceAccount, and the
    credentials of the webhook. Elsewhere with what whoever sits there has: a kubeconfig, and their own logins.
    """
    command_line = CommandLine(frozenset(), token=token)
    if (SERVICE_ACCOUNT / "namespace").is_file() and kubeconfig == Kubeconfig(None, None):
        namespace = own_namespace(SERVICE_ACCOUNT)
        api, identity = in_cluster(kubernetes_environment()), f"the ServiceAccount of a pod in {namespace}"
        place = replace(_in_a_pod(namespace), token=_at_a_command_line(command_line).token)
    else:
        file = kubeconfig.file or kubeconfig_environment()
        api, identity = from_kubeconfig(file, kubeconfig.context), f"the kubeconfig {file}"
        identity += "" if kubeconfig.context is None else f", context {kubeconfig.context}"
        place = _at_a_command_line(command_line)
    registries = Registries(_entries(settings, command_line), Sources(settings, place).build, _surroundings())
    with closing(api), closing(_Sources.over(registries, command_line.hosts)) as sources:
        yield Audit(api, Gate(sources.source, now, KeptChecks()), identity)


@contextmanager
def open_layout(layout: Layout) -> Iterator[Gate]:
    """Yield an engine that finds everything in ``layout``, whatever is asked about: no host and no credential."""
    with _reading_disk() as on_disk:
        yield Gate(lambda host, _: on_disk(host, layout), now, KeptChecks())


@contextmanager
def open_rehearsal(
    settings: Settings, command_line: CommandLine, layouts: Mapping[Reference, Layout], at: datetime | None
) -> Iterator[Gate]:
    """Yield an engine that finds the repositories of ``layouts`` on disk, and asks other hosts as open_gate() does.

    ``at`` is what time it is, None for the time of day.
    """
    hosts: dict[str, dict[str, Layout]] = {}
    for repository, layout in layouts.items():
        hosts.setdefault(repository.registry, {})[repository.repository] = layout
    with ExitStack() as opened, _reading_disk() as on_disk:
        shelves = {host: on_disk(host, Shelf(repositories)) for host, repositories in hosts.items()}
        # What lies on disk needs no registry, and so no credentials that would have to be there.
        registries = cache(lambda: opened.enter_context(open_gate(settings, command_line)))

        def source(host: str, by_policy: bool) -> Source:  # noqa: FBT001 (the service's own question)
            return shelves[host] if host in shelves else registries().sources(host, by_policy)

        yield Gate(source, now if at is None else lambda: at, KeptChecks())


@contextmanager
def _reading_disk() -> Iterator[Callable[[str, Client], RegistrySource]]:
    """Yield what makes a source of a host's client that reads a disk."""
    with ThreadPoolExecutor(1) as searches, ThreadPoolExecutor(LAYOUT_READS_AT_ONCE) as requests:
        store, flights = EvidenceStore(time.monotonic), Flights(searches)
        yield lambda host, client: RegistrySource(host, client, store, flights, requests)


@contextmanager
def open_registry(settings: Settings, command_line: CommandLine, host: str, observe: Observe) -> Iterator[Access]:
    """Yield the access to ``host``: in gate's own pod as the webhook has it, elsewhere as this command line has it.

    ConfigError when a setting is wrong.
    """
    place, named, named_by = _at_a_command_line(command_line), command_line.hosts, "named on this command line"
    if (SERVICE_ACCOUNT / "namespace").is_file():
        place = replace(_in_a_pod(own_namespace(SERVICE_ACCOUNT)), token=place.token)
        # A host that is named here is not named there: what is found must be what the webhook finds.
        named, named_by = load_policy_offline(settings).literal_hosts, "named by the policy"
    entries = _entries(settings, command_line)
    if host not in named:
        listed = host in {entry.host for entry in entries}
        named_by = "listed in GATE_REGISTRIES" if listed else "named by nobody, so asked at public addresses alone"
    registries = Registries(entries, Sources(settings, place).build, replace(_surroundings(), observe=observe))
    with closing(_Sources.over(registries, named)) as sources:
        client = registries.client(host, named_by_operator=host in named)
        yield Access(named_by, client, sources.source(host, by_policy=False))


def application(settings: Settings) -> Flask:
    """Return the webhook, everything it needs loaded and checked, or raise ConfigError. No thread is started."""
    from gate.fronts.webhook import create_app  # noqa: PLC0415 (the command line does without a web framework)

    policies = PolicySet(_loader(settings), _public_good(settings), time.monotonic)
    place = _in_a_pod(own_namespace() if (SERVICE_ACCOUNT / "namespace").is_file() else None)
    entries = _entries(settings, CommandLine(frozenset()))
    registries = Registries(entries, Sources(settings, place).build, _surroundings())
    listed: RegistriesFile | None = None
    if settings.registries is not None:
        listed = RegistriesFile(settings.registries, entries, registries.update, time.monotonic)
    gate = Gate(_Sources.over(registries, frozenset(), listed).source, now, KeptChecks())

    def lapsed() -> str | None:
        return "; ".join(policies.policy().without_effect(now())) or None

    details = [policies.trust_root, policies.problem, lapsed, *(() if listed is None else (listed.problem,))]
    answering = reviewer(gate, policies.policy)
    if settings.events:
        events = Events(in_cluster(kubernetes_environment()), time.monotonic, now)
        answering, details = replace(answering, notify=events.offer), [*details, events.problem]
    return create_app(answering, time.monotonic, ready=lambda: None, details=details)


def reviewer(gate: Gate, policy: Callable[[], Policy]) -> Reviewer:
    """Return who answers reviews, each with one decision record in the log."""
    return Reviewer(gate, policy, _record)


def _record(record: Record) -> None:
    # "name" and "message" belong to logging itself, so the record travels as one field of the line.
    # The record is made here, because the logger would first look through the stack for who asked.
    if decisions.isEnabledFor(logging.INFO):
        made = decisions.makeRecord(
            decisions.name, logging.INFO, "", 0, "decision", (), None, extra={"decision": record}
        )
        decisions.handle(made)


@dataclass(frozen=True, slots=True)
class _Sources:
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
        searches = ThreadPoolExecutor(SEARCHES_AT_ONCE, thread_name_prefix="search")
        requests = ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="request")
        return cls(registries, listed, named, EvidenceStore(time.monotonic), searches, requests, Flights(searches))

    def source(self, host: str, by_policy: bool) -> RegistrySource:  # noqa: FBT001 (the service's own question)
        if self.listed is not None:
            self.listed.look()
        client = self.registries.client(host, named_by_operator=by_policy or host in self.named)
        return RegistrySource(host, client, self.store, self.flights, self.requests)

    def close(self) -> None:
        self.searches.shutdown(wait=False, cancel_futures=True)
        self.requests.shutdown(wait=False, cancel_futures=True)
        self.registries.close()


def _surroundings() -> Surroundings:
    return Surroundings(time.monotonic, Patience(time.sleep, random.SystemRandom().uniform))


def _entries(settings: Settings, command_line: CommandLine) -> tuple[RegistryEntry, ...]:
    """Return the listed registries, and with ``--plain-http`` the hosts of the command line."""
    listed = () if settings.registries is None else read_registries(settings.registries)
    if not command_line.plain_http:
        return listed
    entries = {entry.host: entry for entry in listed}
    for host in sorted(command_line.hosts):
        known = entries.get(host, RegistryEntry(canonical_host(host)))
        entries[host] = replace(known, plain_http=True, ca_file=None, client=None, credentials=None)
    return tuple(entries.values())


def _in_a_pod(namespace: str | None) -> Place:
    """Return what a server finds around it: outside a cluster, no Secrets."""
    return Place(_clocks(), google_environment(), _secret_reader(namespace), namespace or "")


def _at_a_command_line(command_line: CommandLine) -> Place:
    """Return what a command finds around it. Kubernetes is not asked: whoever sits there has credentials, or none."""
    from gate.registry.laptop import Home  # noqa: PLC0415 (a server never imports it)

    token = None if command_line.token is None else _constant(command_line.token)
    return Place(_clocks(), google_environment(), home=Home.of(home_environment()), token=token)


def _clocks() -> Clocks:
    return Clocks(time.monotonic, now, random.SystemRandom().uniform)


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
