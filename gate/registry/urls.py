"""URLs that a server sends, read strictly: no two readers may see different hosts in one (O8, O9, O12, O13)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import SplitResult, urljoin, urlsplit

from gate.core.errors import MalformedError, UnavailableError
from gate.core.quote import quote
from gate.core.reasons import Reason

URL_CHARACTERS = 8192  # a pre-signed storage URL has up to 2 KiB; half of http.client's limit for a header line
_DEFAULT_PORTS = {"https": 443, "http": 80}
# RFC 3986 section 2: reserved, unreserved and "%". No space, control, backslash or quote: readers disagree about them.
_URL = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+", re.ASCII)
# An authority without userinfo; urlsplit finds a host in much that is none, such as "a[::1]".
_AUTHORITY = re.compile(
    r"(?:(?P<name>[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9])?)|\[(?P<ipv6>[0-9a-f:.]*:[0-9a-f:.]*)\])(?::(?P<port>[0-9]{1,5}))?",
    re.ASCII,
)
_HOST_CHARACTERS = 255  # RFC 1035 section 2.3.4
_PORT_MAX = 65535


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host (lower case, IPv6 without brackets) and port: who a request goes to (RFC 6454)."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Self:
        """Return the origin of an absolute http or https URL without userinfo, or raise MalformedError."""
        return cls._of(split(url))

    @classmethod
    def _of(cls, parts: SplitResult) -> Self:
        default = _DEFAULT_PORTS.get(parts.scheme)
        if default is None:
            raise MalformedError("the URL is neither https nor http")
        if "@" in parts.netloc:
            raise MalformedError("the URL carries a user name")
        match = _AUTHORITY.fullmatch(parts.netloc.lower())
        if match is None:
            raise MalformedError(f"the URL's host {quote(parts.netloc)} is not a host name or address")
        port = default if match["port"] is None else int(match["port"])
        host = match["name"] or match["ipv6"]
        if not 0 < port <= _PORT_MAX or len(host) > _HOST_CHARACTERS:
            raise MalformedError("the URL's host or port is out of range")
        return cls(parts.scheme, host, port)

    @property
    def netloc(self) -> str:
        """Host and port as a URL has them, without the scheme's default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        """Return ``scheme://host[:port]``."""
        return f"{self.scheme}://{self.netloc}"


def split(url: str) -> SplitResult:
    """Return the parts of ``url``, or raise MalformedError for characters and lengths that no URL of a registry has."""
    if len(url) > URL_CHARACTERS:
        raise MalformedError(f"the URL is longer than {URL_CHARACTERS} characters")
    if _URL.fullmatch(url) is None:
        raise MalformedError("the URL contains a character that URLs do not have")
    try:
        return urlsplit(url)
    except ValueError as error:
        raise MalformedError("the URL cannot be read") from error


def resolve(base: str, location: str) -> str:
    """Return the absolute URL that ``location`` names when it is found at ``base``, or raise MalformedError."""
    parts = split(location)  # before joining: urljoin repairs what it should refuse
    if parts.scheme and not parts.netloc:
        raise MalformedError("the URL names no host")
    try:
        return urljoin(base, location)
    except ValueError as error:
        raise MalformedError("the URL cannot be read") from error


def refused(what: str, error: MalformedError) -> UnavailableError:
    """Return the refusal of a URL that a server sent, naming ``what`` it was (a redirect, a realm …)."""
    return UnavailableError(Reason.REGISTRY_ADDRESS, f"{what} is refused: {error.message}")
