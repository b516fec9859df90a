"""Which credentials are used where: the sources of GATE_AUTH in their order, and what one registry's entry chooses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from gate.core.errors import ConfigError
from gate.core.quote import quote
from gate.registry import google
from gate.registry.credentials import AccessToken, Anonymous, Chain, CredentialSource, HostGlobs, token_in_file
from gate.registry.dockerconfig import CONFIG_BYTES, DockerConfigSource
from gate.registry.entries import (
    CredentialChoice,
    DockerConfigFile,
    GoogleIdentity,
    NoCredentials,
    TokenFile,
    TokenSecret,
)
from gate.registry.google import Clocks, GoogleSource, MetadataServer
from gate.registry.reread import file_reader
from gate.settings import Settings

if TYPE_CHECKING:
    from gate.registry.laptop import Home  # a server never imports what it must not do

TOKEN_KEY = "token"  # noqa: S105 (the name of a Secret's key, not a secret)
DOCKERCONFIG_KEY = ".dockerconfigjson"  # of a kubernetes.io/dockerconfigjson Secret


class Checked(CredentialSource, Protocol):
    """A source that can say at the start whether it will do."""

    def check(self) -> None:
        """Raise ConfigError when what is required is not there or is not what it should be."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where gate runs: what it can read there."""

    clocks: Clocks
    environ: Mapping[str, str]  # what concerns the metadata server
    # The bytes of a key in a Secret of gate's own namespace; None outside a cluster. ConfigError when it is not there.
    read_secret: Callable[[str, str], bytes] | None = None
    namespace: str = ""
    home: Home | None = None  # on a laptop and in CI: None in a server
    token: Callable[[], bytes] | None = None  # given on the command line


class Sources:
    """The sources of one process. GATE_AUTH's and Google's are made once: registries share what they have read."""

    def __init__(self, settings: Settings, place: Place) -> None:
        """Make sources as ``settings`` say, from what there is in ``place``."""
        self._settings = settings
        self._place = place
        self._hosts = HostGlobs.parse(settings.token_hosts)
        self._shared: dict[GoogleIdentity | None, CredentialSource] = {}

    def build(self, choice: CredentialChoice | None) -> CredentialSource:
        """Return the source that ``choice`` stands for: None for GATE_AUTH.

        Raises ConfigError when something that is required is missing or wrong.
        """
        if choice is not None and not isinstance(choice, GoogleIdentity):
            return self._by_choice(choice)
        made = self._shared.get(choice)
        if made is None:
            # Google's is not checked: an answer takes seconds, and a registry that is listed need not be in use.
            made = self._shared[choice] = self._by_settings() if choice is None else self._google(optional=False)
        return made

    def _by_choice(self, choice: DockerConfigFile | TokenFile | TokenSecret | NoCredentials) -> CredentialSource:
        match choice:
            case NoCredentials():
                return Anonymous()
            case DockerConfigFile(path):
                return _checked(self._docker_file(path, optional=False))
            case TokenFile(path):
                source = f"the token file {quote(str(path))}"
                return _checked(self._token(token_in_file(path), source, hosts=None, optional=False))
            case TokenSecret(name):
                read, source = self._secret(name, TOKEN_KEY)
                return _checked(self._token(read, source, hosts=None, optional=False))

    def _by_settings(self) -> CredentialSource:
        order = self._settings.auth
        anonymous = "anonymous" in order
        named = order[: order.index("anonymous")] if anonymous else order
        alone = self._settings.auth_is_explicit and len(order) == 1
        sources: list[CredentialSource] = []
        if self._place.token is not None:
            given = self._token(self._place.token, "--token-file", hosts=self._hosts, optional=False)
            sources.append(_checked(given))
        for name in named:
            sources += self._named(name, required=alone)
        return Chain(sources, anonymous=anonymous)

    def _named(self, name: str, *, required: bool) -> list[CredentialSource]:
        match name:
            case "dockerconfig":
                return self._docker(required=required)
            case "token":
                return [_checked(self._access_token(required=required))]
            case "google":
                found = self._google(optional=not required)
                # An optional one is not waited for at the start: it is looked for when a host of Google's is asked.
                return [_checked(found) if required and self._place.home is None else found]
            case _:
                raise ConfigError(f"GATE_AUTH names {quote(name)}, which is no source of credentials")

    def _docker(self, *, required: bool) -> list[CredentialSource]:
        """Return docker's logins: a mounted file before a Secret, and a user's own beside them."""
        settings, home = self._settings, self._place.home
        path = settings.dockerconfig_file
        users: list[CredentialSource] = []
        if home is not None:
            from gate.registry.laptop import DockerLogins  # noqa: PLC0415 (a server never imports it)

            users.append(DockerLogins(home, self._place.clocks.monotonic))
        explicit = settings.dockerconfig_file_is_explicit
        if explicit or path.is_file() or self._place.read_secret is None:
            optional = not explicit and (not required or home is not None)
            return [_checked(self._docker_file(path, optional=optional)), *users]
        read, source = self._secret(settings.dockerconfig_secret, DOCKERCONFIG_KEY)
        made = DockerConfigSource(read, source, self._place.clocks.monotonic, optional=not required)
        return [_checked(made), *users]

    def _docker_file(self, path: Path, *, optional: bool) -> DockerConfigSource:
        source = f"the file {quote(str(path))}"
        read = file_reader(path, "the docker configuration", CONFIG_BYTES)
        return DockerConfigSource(read, source, self._place.clocks.monotonic, optional=optional)

    def _access_token(self, *, required: bool) -> AccessToken:
        """Return the bare token: a mounted file comes before the Secret, which is asked for only inside a cluster."""
        settings = self._settings
        path, explicit = settings.token_file, settings.token_file_is_explicit
        if explicit or path.is_file() or self._place.read_secret is None:
            source = f"the token file {quote(str(path))}"
            optional = not (required or explicit)
            return self._token(token_in_file(path), source, hosts=self._hosts, optional=optional)
        read, source = self._secret(settings.token_secret, TOKEN_KEY)
        return self._token(read, source, hosts=self._hosts, optional=not required)

    def _token(self, read: Callable[[], bytes], source: str, *, hosts: HostGlobs | None, optional: bool) -> AccessToken:
        return AccessToken(read, source, hosts, self._place.clocks.monotonic, optional=optional)

    def _secret(self, name: str, key: str) -> tuple[Callable[[], bytes], str]:
        """Return a reader of the Secret's key, and what the Secret is called in messages."""
        read = self._place.read_secret
        if read is None:
            raise ConfigError(f"the Secret {quote(name)} can be read inside a cluster alone")
        return (lambda: read(name, key)), f"the Secret {quote(name)} in {quote(self._place.namespace)}"

    def _google(self, *, optional: bool) -> GoogleSource:
        """Return Google's identity: a credentials file where there is one, else the metadata server."""
        place, home = self._place, self._place.home
        path = self._settings.google_credentials_file
        if path is None and home is not None and home.google_credentials is not None:
            path = home.google_credentials if home.google_credentials.is_file() else None
        if path is not None:
            if home is None:
                google.read_credentials_file(path, laptop=False)  # a wrong file stops the start of a server
            return google.from_file(path, place.clocks, laptop=home is not None)
        return google.workload_identity(MetadataServer.of(place.environ), place.clocks, optional=optional)


def _checked(source: Checked) -> CredentialSource:
    source.check()
    return source
