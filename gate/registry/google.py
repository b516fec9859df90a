"""Google's identity of the place where gate runs, for Google's registries alone.

On GKE the metadata server gives the token of the pod's ServiceAccount (workload identity). Elsewhere a credentials file
says how to get one (workload identity federation; on a laptop, the user's own).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from gate.core.deadline import Deadline
from gate.core.errors import ConfigError, GateError, MalformedError, UnavailableError
from gate.core.limits import KIB
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.registry import addresses, federation
from gate.registry.background import BackgroundToken, Fetched
from gate.registry.credentials import Credential, HostGlobs
from gate.registry.federation import CredentialsFile, ExternalAccount
from gate.registry.reread import file_reader
from gate.registry.transport import Transport, trusting
from gate.registry.urls import Origin

HOSTS = HostGlobs.parse(("*.pkg.dev", "gcr.io", "*.gcr.io"))  # the only hosts that ever receive a token of Google's
PING_SECONDS = 1.0  # is there a metadata server: it is on the same machine, and answers in milliseconds
FETCH_SECONDS = 8.0  # all that one token needs, in the background: three requests to Google at most
_OK = 200
_FLAVOR = {"Metadata-Flavor": "Google"}  # both ways: no other server answers so, and none is asked by a browser so
_PING_BYTES = 64 * KIB  # a listing of the server's directories
_REMEDY = "check that this identity may read the repository (roles/artifactregistry.reader)"


@dataclass(frozen=True, slots=True)
class Clocks:
    """What arrives from outside: monotonic seconds, the time of day (aware, UTC), and a number between two."""

    monotonic: Callable[[], float]
    now: Callable[[], datetime]
    uniform: Callable[[float, float], float]


@dataclass(frozen=True, slots=True)
class MetadataServer:
    """Where the metadata server is, as google-auth understands the environment."""

    token_origin: Origin
    ping_origin: Origin
    denied: bool  # somebody says that there is none

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """Return what ``environ`` (GCE_METADATA_HOST, GCE_METADATA_IP, NO_GCE_CHECK) says, or raise ConfigError."""
        host = environ.get("GCE_METADATA_HOST") or environ.get("GCE_METADATA_ROOT") or "metadata.google.internal"
        ip = environ.get("GCE_METADATA_IP") or "169.254.169.254"
        try:
            origins = Origin.of(f"http://{host}"), Origin.of(f"http://{ip}")
        except MalformedError as error:
            raise ConfigError(f"GCE_METADATA_HOST or GCE_METADATA_IP is wrong: {error.message}") from error
        return cls(*origins, environ.get("NO_GCE_CHECK") == "true")


class GoogleSource:
    """The token of Google's identity; thread safe, and nothing is imported, asked or started before it is needed."""

    def __init__(self, token: BackgroundToken, source: str) -> None:
        """Show ``token``; ``source`` says in messages who gives it."""
        self._token = token
        self._source = source

    def check(self) -> None:
        """Raise ConfigError when the token is required and cannot be had; it takes some seconds at most."""
        self._token.check()

    def credential(self, host: str, repository: str, deadline: Deadline, *, fresh: bool) -> Credential | None:
        """Return the token for a registry of Google's; see CredentialSource."""
        del repository
        if not HOSTS.match(host):
            return None
        token = self._token.get(deadline, fresh=fresh)
        return None if token is None else Credential(token, self._source, remedy=_REMEDY)


def workload_identity(server: MetadataServer, clocks: Clocks, *, optional: bool) -> GoogleSource:
    """Return the source that asks the metadata server; an ``optional`` one is nothing where there is no such server."""
    fetch = _MetadataToken(server, clocks)
    source = "the metadata server (workload identity)"
    token = BackgroundToken(fetch, source, clocks.monotonic, clocks.uniform, optional=optional)
    return GoogleSource(token, source)


def from_file(path: Path, clocks: Clocks, *, laptop: bool) -> GoogleSource:
    """Return the source that does what the credentials file says, read anew for each token; see federation.parse()."""
    source = f"the credentials file {quote(str(path))}"
    fetch = _FileToken(path, source, clocks, laptop=laptop)
    return GoogleSource(BackgroundToken(fetch, source, clocks.monotonic, clocks.uniform, optional=False), source)


def read_credentials_file(path: Path, *, laptop: bool) -> CredentialsFile:
    """Return what the file holds, or raise ConfigError."""
    what = "the credentials file"
    data = file_reader(path, what, federation.FILE_BYTES)()
    return federation.parse(data, f"{what} {quote(str(path))}", laptop=laptop)


class _MetadataToken:
    """Fetches from the metadata server. Until it has answered once, it is asked first whether it is there at all."""

    def __init__(self, server: MetadataServer, clocks: Clocks) -> None:
        self._server = server
        self._clocks = clocks
        self._there = False
        self._wire: Transport | None = None

    def __call__(self) -> Fetched:
        if self._server.denied:
            raise ConfigError("NO_GCE_CHECK says that there is no metadata server")
        if self._wire is None:
            # Its address is link-local, and the operator's platform names it: the one place where that is right.
            self._wire = Transport(trusting(system=False), lambda _: True, hosts=2)
        if not self._there:
            self._ping(self._wire)
            self._there = True
        from gate.registry import googleauth  # noqa: PLC0415 (0.3 s and 10 MiB that others do not need)

        deadline = Deadline.after(FETCH_SECONDS, self._clocks.monotonic)
        try:
            return googleauth.from_metadata_server(self._wire, self._server.token_origin, deadline, self._clocks.now)
        except GateError as error:
            raise _failed("the metadata server gave none", error) from error

    def _ping(self, wire: Transport) -> None:
        deadline = Deadline.after(PING_SECONDS, self._clocks.monotonic)
        try:
            answer = wire.get(f"{self._server.ping_origin}/", _FLAVOR, _PING_BYTES, deadline)
        except UnavailableError as error:
            where = self._server.ping_origin
            raise ConfigError(
                f"there is no metadata server at {where} (outside Google Cloud, set GATE_GOOGLE_CREDENTIALS_FILE)"
            ) from error
        if answer.status != _OK or answer.headers.get("Metadata-Flavor") != _FLAVOR["Metadata-Flavor"]:
            raise ConfigError(f"what answers at {self._server.ping_origin} is not a metadata server")


class _FileToken:
    """Fetches as a credentials file says."""

    def __init__(self, path: Path, source: str, clocks: Clocks, *, laptop: bool) -> None:
        self._path = path
        self._source = source
        self._clocks = clocks
        self._laptop = laptop
        self._wire: Transport | None = None

    def __call__(self) -> Fetched:
        found = read_credentials_file(self._path, laptop=self._laptop)
        if self._wire is None:
            # Google's names may have private addresses (Private Service Connect); the link-local ones stay barred.
            self._wire = Transport(trusting(), addresses.for_operators_hosts(addresses.classify), hosts=3)
        from gate.registry import googleauth  # noqa: PLC0415 (0.3 s and 10 MiB that others do not need)

        deadline = Deadline.after(FETCH_SECONDS, self._clocks.monotonic)
        try:
            if isinstance(found, ExternalAccount):
                return googleauth.from_external_account(self._wire, found, deadline, self._clocks.now)
            return googleauth.from_authorized_user(self._wire, found, deadline, self._clocks.now)
        except GateError as error:
            raise _failed(f"{self._source} gave none", error) from error


def _failed(what: str, error: GateError) -> UnavailableError:
    return UnavailableError(Reason.REGISTRY_UNAUTHORIZED, f"{what}: {error.message}")
