"""Logins in the format of docker's ``config.json``, found for an image as the kubelet finds them.

A ``kubernetes.io/dockerconfigjson`` Secret holds the same. Which entry is for an image is decided as the kubelet does
it (Kubernetes documentation, "Images", section "Interpretation of config.json"; pkg/credentialprovider/keyring.go): an
entry's host is compared label by label, its port exactly, its path as the beginning of the image's repository.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

from gate.core import strictjson
from gate.core.deadline import Deadline
from gate.core.errors import MalformedError
from gate.core.limits import MIB
from gate.core.oci import DOCKER_HUB
from gate.core.quote import quote
from gate.core.strictjson import Object
from gate.registry.credentials import Credential, Kind
from gate.registry.reread import Reread

CONFIG_BYTES = 1 * MIB  # a config.json; a Secret cannot hold more
ENTRIES = 1024  # logins of one file
SECRET_CHARACTERS = 64 * 1024  # of one login; an identity token of Azure has 2 KiB
DOCKER_HUB_LOGIN = "index.docker.io"  # what docker calls docker.io in its configuration, for the path "/v1/"
_DOCKER_HUB_NAMES = frozenset({DOCKER_HUB, DOCKER_HUB_LOGIN, "registry-1.docker.io"})
_VERSION_PREFIXES = ("/v1/", "/v2/")  # of the API, in keys that docker wrote long ago
_SCHEMES = ("https://", "http://")
# What Go's path.Match knows besides literal characters: "*", "?" and one class of characters.
_LABEL = re.compile(r"(?:[a-z0-9_*?-]|\[\^?[a-z0-9-]+\])+", re.ASCII)
_IPV6 = re.compile(r"\[[0-9a-f:.]+\]", re.ASCII)
_CLASS_OR_CHARACTER = re.compile(r"\[\^?[a-z0-9-]+\]|.", re.ASCII)
_VISIBLE = re.compile(r"[\x21-\x7e]+", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")  # RFC 7617 section 2: neither part may hold one
_IDENTITY_USER = "<token>"  # what credential helpers name the user of an identity token (docker-credential-helpers)


@dataclass(frozen=True, slots=True)
class Login:
    """One entry: for which images it is, and the credential itself."""

    written: str  # the key as the kubelet sorts it: without a scheme, in lower case
    labels: tuple[re.Pattern[str], ...]  # of the host
    port: str
    path: str
    credential: Credential

    def matches(self, host: str, port: str, repository: str) -> bool:
        """Return whether the entry is for ``repository`` at ``host`` and ``port`` (empty: the default)."""
        asked = host.split(".")
        return (
            self.port == port
            and len(self.labels) == len(asked)
            and f"/{repository}".startswith(self.path)
            and all(glob.fullmatch(label) is not None for glob, label in zip(self.labels, asked, strict=True))
        )


@dataclass(frozen=True, slots=True)
class DockerConfig:
    """Logins in the order in which they are tried: the longest first."""

    logins: tuple[Login, ...]

    @classmethod
    def parse(cls, data: bytes, source: str) -> Self:
        """Return the logins in ``data``, or raise MalformedError; ``source`` names the file or Secret in messages.

        An entry without a secret (docker writes them for its credential stores) is none, and so is one whose key is not
        a host. What says how to run programs is not read here.
        """
        try:
            document = strictjson.loads_object(data, limit=CONFIG_BYTES)
            auths = strictjson.expect_object(document.get("auths", {}), '"auths"')
        except MalformedError as error:
            raise MalformedError(f"{source} is not a docker configuration: {error.message}") from error
        if len(auths) > ENTRIES:
            raise MalformedError(f"{source} has more than {ENTRIES} entries")
        found = {key: login for key in auths if (login := _login(key, auths[key], source)) is not None}
        # The kubelet's order: by what was written, without scheme, backwards. What is a prefix of another comes later,
        # and "*" after every letter.
        ordered = sorted(found.values(), key=lambda login: login.written, reverse=True)
        return cls(tuple(ordered))

    def find(self, host: str, repository: str) -> Credential | None:
        """Return the credential for ``repository`` at ``host`` (with its port, if any), or None."""
        for name in names(host):
            bare, port = _split_port(name)
            for login in self.logins:
                if login.matches(bare, port, repository):
                    return login.credential
        return None


class DockerConfigSource:
    """The logins of a file or Secret, read again when they are 60 seconds old or one was refused; thread safe."""

    def __init__(self, read: Callable[[], bytes], source: str, clock: Callable[[], float], *, optional: bool) -> None:
        """Read them with ``read``; see Reread for its errors. ``source`` names the file or Secret in messages."""
        self._config = Reread(
            lambda: DockerConfig.parse(read(), source), "gate's docker configuration", clock, optional=optional
        )

    def check(self) -> None:
        """Read them now; raise ConfigError when they are required and not there, or malformed."""
        self._config.check()

    def credential(self, host: str, repository: str, deadline: Deadline, *, fresh: bool) -> Credential | None:
        """Return what the best entry for the repository holds; see CredentialSource."""
        del deadline
        config = self._config.get(fresh=fresh)
        return None if config is None else config.find(host, repository)


def names(host: str) -> tuple[str, ...]:
    """Return what ``host`` is called in such files, the preferred name first: Docker Hub has two."""
    return (DOCKER_HUB, DOCKER_HUB_LOGIN) if host in _DOCKER_HUB_NAMES else (host,)


def credential(fields: Object, what: str, source: str) -> Credential | None:
    """Return the credential in an entry's ``fields``, or None when it has none; MalformedError names ``what``.

    As docker reads them: a registry token before an identity token, before a user name and password; "auth" before the
    two fields that it stands for.
    """
    texts = {name: _text(fields, name, what) for name in ("registrytoken", "identitytoken", "auth")}
    if texts["registrytoken"]:
        return Credential(_token(texts["registrytoken"], what), source, remedy="log in again")
    if texts["identitytoken"]:
        return Credential(_token(texts["identitytoken"], what), source, Kind.IDENTITY)
    if texts["auth"]:
        return password(*_pair(texts["auth"], what), what, source)
    username, secret = _text(fields, "username", what), _text(fields, "password", what)
    return password(username, secret, what, source) if username or secret else None


def password(username: str, secret: str, what: str, source: str) -> Credential:
    """Return the credential that is a user name and password, or the identity token that such a pair may stand for."""
    if username == _IDENTITY_USER:
        return Credential(_token(secret, what), source, Kind.IDENTITY)
    if not username or ":" in username or _CONTROL.search(username + secret) is not None:
        raise MalformedError(f"{what} holds a user name or password that cannot be sent (RFC 7617)")
    return Credential(secret, source, Kind.PASSWORD, username)


def _login(key: str, value: strictjson.Json, source: str) -> Login | None:
    """Return the entry, or None when it is for no image. The key is not a URL: "?" and "[" are part of its pattern."""
    scheme = next((each for each in _SCHEMES if key.startswith(each)), "")
    netloc, slash, path = key.removeprefix(scheme).partition("/")
    host, port = _split_port(netloc.lower())
    labels = _labels(host)
    if labels is None or "@" in netloc or not (port.isascii() and (port.isdigit() or not port)):
        return None  # before it is named in a message: it may hold a password
    what = f"the entry {quote(key)} of {source}"
    made = credential(strictjson.expect_object(value, what), what, source)
    if made is None:
        return None
    path = slash + path
    if path.startswith(_VERSION_PREFIXES):
        path = path[len(_VERSION_PREFIXES[0]) - 1 :]
    path = "" if path == "/" else path
    return Login(f"{netloc.lower()}{path}", labels, port, path, made)


def _split_port(netloc: str) -> tuple[str, str]:
    host, colon, port = netloc.rpartition(":")
    return (host, port) if colon and not netloc.endswith("]") else (netloc, "")


def _labels(host: str) -> tuple[re.Pattern[str], ...] | None:
    """Return the patterns of the host's labels, or None when it is neither a host nor a pattern of hosts."""
    if _IPV6.fullmatch(host) is not None:
        return tuple(re.compile(re.escape(label)) for label in host.split("."))
    globs = host.split(".")
    if not all(_LABEL.fullmatch(glob) for glob in globs):
        return None
    try:
        return tuple(re.compile("".join(_translated(glob)), re.ASCII) for glob in globs)
    except re.error:  # a range like [z-a]
        return None


def _translated(glob: str) -> Iterator[str]:
    for match in _CLASS_OR_CHARACTER.finditer(glob):
        part = match[0]
        if part in ("*", "?"):
            yield "[^/]*" if part == "*" else "[^/]"
        else:
            yield part if part.startswith("[") and len(part) > 1 else re.escape(part)


def _text(fields: Object, name: str, what: str) -> str:
    text = strictjson.expect_string(fields.get(name) or "", f"{name} in {what}")
    if len(text) > SECRET_CHARACTERS:
        raise MalformedError(f"{name} in {what} has more than {SECRET_CHARACTERS} characters")
    return text


def _token(text: str, what: str) -> str:
    if _VISIBLE.fullmatch(text) is None:
        raise MalformedError(f"{what} holds a token that cannot be sent")
    return text


def _pair(encoded: str, what: str) -> tuple[str, str]:
    """Return the user name and password that "auth" stands for: base64 with or without padding, as the kubelet."""
    text = encoded.strip()
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4 if not text.endswith("=") else 0), validate=True)
        username, colon, secret = raw.decode("utf-8").partition(":")
    except (binascii.Error, ValueError) as error:
        raise MalformedError(f"auth in {what} is not base64 of a user name and password") from error
    if not colon:
        raise MalformedError(f"auth in {what} is not base64 of a user name and password")
    return username, secret.rstrip("\x00")  # docker pads with it
