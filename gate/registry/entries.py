"""What the operator says of registries: the entries of a GATE_REGISTRIES file, as frozen values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from gate import strictyaml
from gate.core.errors import ConfigError, MalformedError
from gate.core.limits import MIB
from gate.core.oci import Reference
from gate.core.quote import quote
from gate.fields import Fields, Problems
from gate.registry.urls import Origin

REGISTRIES_BYTES = 1 * MIB  # a GATE_REGISTRIES file; as a policy file


@dataclass(frozen=True, slots=True)
class DockerConfigFile:
    """Credentials from this file, a docker config.json or the ``.dockerconfigjson`` of a Secret."""

    path: Path


@dataclass(frozen=True, slots=True)
class TokenFile:
    """The bare access token in this file."""

    path: Path


@dataclass(frozen=True, slots=True)
class TokenSecret:
    """The bare access token in this Secret of gate's own namespace."""

    name: str


@dataclass(frozen=True, slots=True)
class GoogleIdentity:
    """Google's credentials of the place where gate runs."""


@dataclass(frozen=True, slots=True)
class NoCredentials:
    """Ask anonymously, whatever GATE_AUTH would find."""


# What one registry is shown in place of what GATE_AUTH finds for its host.
CredentialChoice: TypeAlias = DockerConfigFile | TokenFile | TokenSecret | GoogleIdentity | NoCredentials


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """The certificate that gate shows to a registry, with its chain, and its private key: two PEM files."""

    cert_file: Path
    key_file: Path


@dataclass(frozen=True, slots=True)
class RegistryEntry:
    """One registry that the operator lists. ``host`` is canonical, as in Reference.registry."""

    host: str
    ca_file: Path | None = None  # PEM: trusted in place of the system's authorities
    plain_http: bool = False
    allow_private: bool = False  # whether hosts that this registry names (realm, redirect) may be private
    client: ClientCertificate | None = None  # shown to the registry alone, never to a host that it names
    realm_allow: tuple[str, ...] = ()  # realms that are believed besides its own domain: host, or host:port
    credentials: CredentialChoice | None = None  # None: GATE_AUTH

    @property
    def files(self) -> tuple[tuple[str, Path], ...]:
        """Every file that the entry names, each after the field that names it."""
        named = [] if self.ca_file is None else [("caFile", self.ca_file)]
        if self.client is not None:
            named += [("clientCertFile", self.client.cert_file), ("clientKeyFile", self.client.key_file)]
        match self.credentials:
            case DockerConfigFile(path):
                named.append(("dockerConfigFile", path))
            case TokenFile(path):
                named.append(("tokenFile", path))
            case TokenSecret() | GoogleIdentity() | NoCredentials() | None:
                pass
        return tuple(named)


def parse_registries(data: bytes, *, name: str, directory: Path = Path()) -> tuple[RegistryEntry, ...]:
    """Return the entries of a GATE_REGISTRIES file, or raise ConfigError with each mistake, its line and its path.

    The files that it names relatively are looked for in ``directory``, its own.
    """
    root = strictyaml.parse(data, limit=REGISTRIES_BYTES, name=name)
    if not isinstance(root, strictyaml.Sequence):
        raise ConfigError(f"{name}:{root.line}: the file holds a list of registries")
    problems = Problems(name)
    entries: dict[str, RegistryEntry] = {}
    for number, node in enumerate(root.items):
        fields = Fields.of(node, f"[{number}]", node.line, problems)
        entry = _entry(fields, directory)
        if entry is not None and entry.host in entries:
            fields.wrong("host", f"{quote(entry.host)} is listed twice")
        elif entry is not None:
            entries[entry.host] = entry
        fields.finish()
    problems.raise_any()
    return tuple(entries.values())


def canonical_host(host: str) -> str:
    """Return ``host`` as Reference.registry has it, or raise ConfigError when no reference can name it so."""
    try:
        reference = Reference.parse(f"{host}/name/of")
    except MalformedError as error:
        raise ConfigError(f"{quote(host)} is not a registry's host") from error
    if reference.repository != "name/of" or reference.tag is not None:
        raise ConfigError(f"{quote(host)} is not a registry's host: it needs a dot or a port, or to be localhost")
    return reference.registry


def _entry(fields: Fields, directory: Path) -> RegistryEntry | None:
    host = _host(fields)
    plain_http = fields.truth("plainHTTP", default=False)
    for name in ("caFile", "clientCertFile", "clientKeyFile"):
        if plain_http and fields.has(name):
            fields.wrong(name, "has no meaning for a registry that speaks plain http")
    credentials = _credentials(fields, directory) if fields.has("credentials") else None
    if plain_http and credentials not in (None, NoCredentials()):
        fields.wrong("credentials", "are never sent over plain http")
    entry = RegistryEntry(
        host or "",
        directory / fields.text("caFile") if fields.has("caFile") else None,
        plain_http,
        allow_private=fields.truth("allowPrivate", default=False),
        client=_client_certificate(fields, directory),
        realm_allow=_realm_hosts(fields),
        credentials=credentials,
    )
    return None if host is None else entry


def _host(fields: Fields) -> str | None:
    host = fields.text("host")
    try:
        return canonical_host(host) if host else None
    except ConfigError as error:
        fields.wrong("host", error.message)
        return None


def _client_certificate(fields: Fields, directory: Path) -> ClientCertificate | None:
    names = ("clientCertFile", "clientKeyFile")
    if not any(fields.has(name) for name in names):
        return None
    cert_file, key_file = (directory / fields.text(name) for name in names)
    return ClientCertificate(cert_file, key_file)


def _realm_hosts(fields: Fields) -> tuple[str, ...]:
    found = []
    for text, node in fields.texts("realmAllow"):
        try:
            netloc = Origin.of(f"https://{text}").netloc
        except MalformedError:
            netloc = ""
        if text.lower() in (netloc, f"{netloc}:443"):
            found.append(netloc)
        else:
            fields.wrong("realmAllow", f"{quote(text)} is not a host, or a host with a port", node)
    return tuple(found)


def _credentials(fields: Fields, directory: Path) -> CredentialChoice:
    """Return the one choice that is made; a stand-in, with the problem recorded, when it is not exactly one."""
    choices: dict[str, Callable[[str], CredentialChoice]] = {
        "dockerConfigFile": lambda text: DockerConfigFile(directory / text),
        "tokenFile": lambda text: TokenFile(directory / text),
        "tokenSecret": TokenSecret,
        "google": lambda _: GoogleIdentity(),
        "anonymous": lambda _: NoCredentials(),
    }
    section = fields.section("credentials")
    given = [name for name in choices if section.has(name)]
    made = [choices[name](_chosen(section, name)) for name in given]
    section.finish()
    if len(made) == 1:
        return made[0]
    fields.wrong("credentials", f"expected exactly one of {', '.join(choices)}")
    return NoCredentials()


def _chosen(section: Fields, name: str) -> str:
    """Return the text of the choice; those that need none are written ``true``."""
    if name not in ("google", "anonymous"):
        return section.text(name)
    if not section.truth(name, default=True):
        section.wrong(name, "expected true: to choose it is all there is to say")
    return ""
