"""Composition: the only place that picks implementations, reads the clock and draws random numbers."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from gate.core.deadline import Deadline
from gate.core.policy import Policy
from gate.core.quote import quote
from gate.fronts.review import Record, Reviewer
from gate.kube.api import SERVICE_ACCOUNT, in_cluster, own_namespace
from gate.kube.secrets import read_secret_key
from gate.registry.credentials import AccessToken, Anonymous, CredentialSource, HostGlobs, token_in_file
from gate.registry.evidence import SEARCHES_AT_ONCE, EvidenceStore, Flights, RegistrySource
from gate.registry.exchange import Patience
from gate.registry.registries import (
    REGISTRIES_BYTES,
    Registries,
    RegistryEntry,
    Surroundings,
    parse_registries,
)
from gate.service import Gate, KeptChecks
from gate.settings import Settings, kubernetes_environment
from gate.trust.policyfile import load_key_policy, read_bounded
from gate.trust.policyfile import load_policy as load_policy_file

if TYPE_CHECKING:
    from flask import Flask

REQUESTS_AT_ONCE = 3 * SEARCHES_AT_ONCE  # registry requests of one process: a search begins with three at once
SECRET_SECONDS = 2.0  # reading the token's Secret, inside a review that has 8 s
TOKEN_KEY = "token"  # noqa: S105 (the name of a Secret's key, not a secret)

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
    """Return the policy that the settings name, or raise ConfigError."""
    if settings.policy is not None:
        return load_policy_file(settings.policy)
    return load_key_policy(settings.key)


@contextmanager
def open_gate(settings: Settings, command_line: CommandLine) -> Iterator[Gate]:
    """Yield the engine of a command line, and close its connections; ConfigError when a setting is wrong.

    Kubernetes is not asked for a token: whoever sits at the command line gives one.
    """
    credentials = _credentials(settings, namespace=None)
    if command_line.token is not None:
        credentials = _access_token(settings, _constant(command_line.token), "--token-file", optional=False)
    registries = Registries(_entries(settings, command_line), credentials, _surroundings())
    with closing(_Sources.over(registries, command_line.hosts)) as sources:
        yield Gate(sources.source, now, KeptChecks())


def application(settings: Settings) -> Flask:
    """Return the webhook, everything it needs loaded and checked, or raise ConfigError. No thread is started."""
    from gate.fronts.webhook import create_app  # noqa: PLC0415 (the command line does without a web framework)

    policy = load_policy(settings)
    credentials = _credentials(settings, own_namespace() if (SERVICE_ACCOUNT / "namespace").is_file() else None)
    registries = Registries(_entries(settings, CommandLine(frozenset())), credentials, _surroundings())
    gate = Gate(_Sources.over(registries, frozenset()).source, now, KeptChecks())
    return create_app(reviewer(gate, lambda: policy), time.monotonic, ready=lambda: None)


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
    named: frozenset[str]
    store: EvidenceStore
    searches: ThreadPoolExecutor
    requests: ThreadPoolExecutor
    flights: Flights

    @classmethod
    def over(cls, registries: Registries, named: frozenset[str]) -> Self:
        searches = ThreadPoolExecutor(SEARCHES_AT_ONCE, thread_name_prefix="search")
        requests = ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="request")
        return cls(registries, named, EvidenceStore(time.monotonic), searches, requests, Flights(searches))

    def source(self, host: str, by_policy: bool) -> RegistrySource:  # noqa: FBT001 (the service's own question)
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
    listed: tuple[RegistryEntry, ...] = ()
    if settings.registries is not None:
        data = read_bounded(settings.registries, REGISTRIES_BYTES, "the registries file")
        listed = parse_registries(data, name=settings.registries.name)
    if not command_line.plain_http:
        return listed
    entries = {entry.host: entry for entry in listed}
    for host in sorted(command_line.hosts):
        known = entries.get(host, RegistryEntry.of(host))
        entries[host] = replace(known, plain_http=True, ca_file=None)
    return tuple(entries.values())


def _credentials(settings: Settings, namespace: str | None) -> CredentialSource:
    """Return where credentials come from; ConfigError when a token is required and not there.

    A mounted file comes before the Secret of gate's own ``namespace``, which is asked for only inside a cluster.
    """
    before_anonymous = (
        settings.auth[: settings.auth.index("anonymous")] if "anonymous" in settings.auth else settings.auth
    )
    if "token" not in before_anonymous:
        return Anonymous()
    required = settings.auth_is_explicit and settings.auth == ("token",)
    if settings.token_file_is_explicit or settings.token_file.is_file() or namespace is None:
        optional = not (required or settings.token_file_is_explicit)
        source = f"the token file {quote(str(settings.token_file))}"
        return _access_token(settings, token_in_file(settings.token_file), source, optional=optional)
    source = f"the Secret {quote(settings.token_secret)} in {quote(namespace)}"
    return _access_token(settings, _secret_reader(namespace, settings.token_secret), source, optional=not required)


def _access_token(settings: Settings, read: Callable[[], bytes], source: str, *, optional: bool) -> AccessToken:
    token = AccessToken(read, source, HostGlobs.parse(settings.token_hosts), time.monotonic, optional=optional)
    token.check()
    return token


def _secret_reader(namespace: str, name: str) -> Callable[[], bytes]:
    api = in_cluster(kubernetes_environment())
    return lambda: read_secret_key(api, namespace, name, TOKEN_KEY, SECRET_SECONDS)


def _constant(data: bytes) -> Callable[[], bytes]:
    return lambda: data
