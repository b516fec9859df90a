"""Digests, and references to images (image-spec v1.1 descriptor.md, distribution/reference)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Self

from gate.core import limits
from gate.core.errors import MalformedError
from gate.core.quote import QUOTED_LIMIT, quote

LAYOUT_PREFIX = "oci:"  # of an image that lies on disk, where people write one
DOCKER_HUB = "docker.io"
_DOCKER_HUB_ALIASES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})", re.ASCII)
# distribution/reference grammar, every class spelled out; always with fullmatch
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?P<host>{_HOST})/(?P<repository>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_HOST_CHARACTERS = 255  # RFC 1035 section 2.3.4
_REPOSITORY_CHARACTERS = 255  # distribution/reference NameTotalLengthMax
_PORT_MAX = 65535


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A sha256 digest of some bytes; no other algorithm is accepted."""

    hex: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the digest that ``text`` names (``sha256:``, 64 lower-case hex digits), or raise MalformedError."""
        match = _DIGEST.fullmatch(text)
        if match is None:
            raise MalformedError(f"{quote(text)} is not a digest of the form sha256:<64 hex digits>")
        return cls(match[1])

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Return the digest of ``data``."""
        return cls(hashlib.sha256(data).hexdigest())

    @property
    def tag(self) -> str:
        """The digest as a tag, ``sha256-<hex>``: where fallback referrers and tag-based signatures are found."""
        return f"sha256-{self.hex}"

    def __str__(self) -> str:
        """Return ``sha256:<hex>``."""
        return f"sha256:{self.hex}"


@dataclass(frozen=True, slots=True)
class Reference:
    """Where an image is: canonical registry and repository, and a tag or a digest or both.

    ``registry`` is in lower case, without the default port, and ``docker.io`` for every name of Docker Hub.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the reference that ``text`` names (distribution/reference grammar), or raise MalformedError."""
        if len(text) > limits.REFERENCE_CHARACTERS:
            raise MalformedError(
                f"the image reference {quote(text)} is longer than {limits.REFERENCE_CHARACTERS} characters"
            )
        match = _REFERENCE.fullmatch(_with_host(text))
        if match is None:
            raise MalformedError(f"{quote(text)} is not an image reference")
        digest = match["digest"]
        registry, repository = _canonical_host(match["host"], text), match["repository"]
        if registry == DOCKER_HUB and "/" not in repository:
            repository = "library/" + repository
        if len(repository) > _REPOSITORY_CHARACTERS:
            raise MalformedError(f"the repository in {quote(text)} is longer than {_REPOSITORY_CHARACTERS} characters")
        return cls(registry, repository, match["tag"], None if digest is None else Digest.parse(digest))

    @classmethod
    def parse_repository(cls, text: str) -> Self:
        """Return the repository that ``text`` names, or raise MalformedError, also where it names an image of it."""
        reference = cls.parse(text)
        if reference.tag is not None or reference.digest is not None:
            raise MalformedError(f"found {quote(text)}, expected a repository without tag and digest")
        return reference

    @property
    def name(self) -> str:
        """The canonical name without tag and digest: what policies match."""
        return f"{self.registry}/{self.repository}"

    def at(self, digest: Digest) -> Self:
        """Return this repository at ``digest``, without a tag."""
        return type(self)(self.registry, self.repository, None, digest)

    @property
    def label(self) -> str:
        """The reference for messages: at most 200 characters of its name and tag, and the whole digest."""
        name = self.name + (f":{self.tag}" if self.tag else "")
        shown = name if len(name) <= QUOTED_LIMIT else name[:QUOTED_LIMIT] + "…"
        return shown + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        """Return the canonical form."""
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def _with_host(text: str) -> str:
    """Return ``text`` with a registry in front: a first segment with a dot or a colon, or localhost, is one."""
    head, slash, _ = text.partition("/")
    if slash and ("." in head or ":" in head or head.lower() == "localhost"):
        return text
    return f"{DOCKER_HUB}/{text}"


def _canonical_host(host: str, text: str) -> str:
    host = host.lower()
    name, colon, port = host.rpartition(":")
    if colon and port.isdigit():
        if not 0 < int(port) <= _PORT_MAX:
            raise MalformedError(f"the port in {quote(text)} is out of range")
        # The default port of https goes, unless it alone tells the host from the first segment of a Docker Hub name.
        keeps_port = int(port) != 443 or not ("." in name or "[" in name or name == "localhost")  # noqa: PLR2004
        host = f"{name}:{int(port)}" if keeps_port else name
    if len(host) > _HOST_CHARACTERS:
        raise MalformedError(f"the registry in {quote(text)} is longer than {_HOST_CHARACTERS} characters")
    return DOCKER_HUB if host in _DOCKER_HUB_ALIASES else host
