"""The engine of each command, open as long as the command runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache

from gate.compose import clock, places, policies
from gate.core.oci import Reference
from gate.inquiry import Source
from gate.kube.api import KubernetesApi, from_kubeconfig, in_cluster
from gate.registry.check import Access
from gate.registry.discovery import Client
from gate.registry.evidence import EvidenceStore, Flights, RegistrySource
from gate.registry.layout import Layout
from gate.registry.registries import Registries
from gate.registry.shelf import Shelf
from gate.registry.sources import Sources
from gate.registry.trace import Observe
from gate.service import Gate, KeptChecks
from gate.settings import Settings, kubeconfig_environment, kubernetes_environment

LAYOUT_READS_AT_ONCE = 4  # files of an OCI layout; a disk gains nothing by more


@contextmanager
def open_gate(settings: Settings, command_line: places.CommandLine) -> Iterator[Gate]:
    """Yield the engine of a command line, and close its connections; ConfigError when a setting is wrong.

    Credentials are those of GATE_AUTH, and what ``docker login`` and ``gcloud`` left to whoever sits there.
    """
    credentials = Sources(settings, places.at_a_command_line(command_line))
    registries = Registries(places.entries_of(settings, command_line), credentials.build, clock.surroundings())
    with closing(places.OpenRegistries.over(registries, command_line.hosts)) as sources:
        yield Gate(sources.source, clock.now, KeptChecks())


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
    command_line = places.CommandLine(frozenset(), token=token)
    namespace = places.pod_namespace() if kubeconfig == Kubeconfig(None, None) else None
    if namespace is not None:
        api, identity = in_cluster(kubernetes_environment()), f"the ServiceAccount of a pod in {namespace}"
        place = replace(places.in_a_pod(namespace), token=places.at_a_command_line(command_line).token)
    else:
        file = kubeconfig.file or kubeconfig_environment()
        api, identity = from_kubeconfig(file, kubeconfig.context), f"the kubeconfig {file}"
        identity += "" if kubeconfig.context is None else f", context {kubeconfig.context}"
        place = places.at_a_command_line(command_line)
    registries = Registries(
        places.entries_of(settings, command_line), Sources(settings, place).build, clock.surroundings()
    )
    with closing(api), closing(places.OpenRegistries.over(registries, command_line.hosts)) as sources:
        yield Audit(api, Gate(sources.source, clock.now, KeptChecks()), identity)


@contextmanager
def open_layout(layout: Layout) -> Iterator[Gate]:
    """Yield an engine that finds everything in ``layout``, whatever is asked about: no host and no credential."""
    with _reading_disk() as on_disk:
        yield Gate(lambda host, _: on_disk(host, layout), clock.now, KeptChecks())


@contextmanager
def open_rehearsal(
    settings: Settings, command_line: places.CommandLine, layouts: Mapping[Reference, Layout], at: datetime | None
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

        yield Gate(source, clock.now if at is None else lambda: at, KeptChecks())


@contextmanager
def _reading_disk() -> Iterator[Callable[[str, Client], RegistrySource]]:
    """Yield what makes a source of a host's client that reads a disk."""
    with ThreadPoolExecutor(1) as searches, ThreadPoolExecutor(LAYOUT_READS_AT_ONCE) as requests:
        store, flights = EvidenceStore(time.monotonic), Flights(searches)
        yield lambda host, client: RegistrySource(host, client, store, flights, requests)


@contextmanager
def open_registry(
    settings: Settings, command_line: places.CommandLine, host: str, observe: Observe
) -> Iterator[Access]:
    """Yield the access to ``host``: in gate's own pod as the webhook has it, elsewhere as this command line has it.

    ConfigError when a setting is wrong.
    """
    place, named, named_by = places.at_a_command_line(command_line), command_line.hosts, "named on this command line"
    namespace = places.pod_namespace()
    if namespace is not None:
        place = replace(places.in_a_pod(namespace), token=place.token)
        # A host that is named here is not named there: what is found must be what the webhook finds.
        named, named_by = policies.load_policy_offline(settings).literal_hosts, "named by the policy"
    entries = places.entries_of(settings, command_line)
    if host not in named:
        listed = host in {entry.host for entry in entries}
        named_by = "listed in GATE_REGISTRIES" if listed else "named by nobody, so asked at public addresses alone"
    registries = Registries(entries, Sources(settings, place).build, replace(clock.surroundings(), observe=observe))
    with closing(places.OpenRegistries.over(registries, named)) as sources:
        client = registries.client(host, named_by_operator=host in named)
        yield Access(named_by, client, sources.source(host, by_policy=False))
