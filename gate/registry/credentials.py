"""Credentials, looked up by the host that will receive them: what they are, and the bare access token."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol, Self

from gate.core.deadline import Deadline
from gate.core.errors import ConfigError, UnavailableError
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.registry.reread import Reread, file_reader

TOKEN_BYTES = 16 * 1024  # an access token; Google documents at most 2048 bytes, and header lines end at 64 KiB
_TOKEN = re.compile(rb"[\x21-\x7e]+")  # visible ASCII: nothing that could end a header line
_PATTERN = re.compile(r"[a-z0-9*](?:[a-z0-9*.-]*[a-z0-9*])?(?::[0-9]{1,5})?", re.ASCII)


class Kind(Enum):
    """What a credential is, which decides how it is shown."""

    BEARER = "access token"  # to the registry itself, as it is (RFC 6750)
    PASSWORD = "user name and password"  # noqa: S105 (to the token realm, or to the registry if it asks; RFC 7617)
    IDENTITY = "identity token"  # to the token realm alone, as an OAuth 2.0 refresh token (distribution-spec, oauth)


_REMEDIES = {
    Kind.BEARER: "renew it (Google access tokens live an hour), and check that its owner may read the repository",
    Kind.PASSWORD: "check that they are right and that the user may read the repository",
    Kind.IDENTITY: "log in again, and check that its owner may read the repository",
}


@dataclass(frozen=True, slots=True)
class Credential:
    """A secret for one host, and where it comes from, for messages. Nothing of the secret is ever printed."""

    token: str = field(repr=False)  # the password, for a PASSWORD
    source: str
    kind: Kind = field(default=Kind.BEARER, repr=False)
    username: str = field(default="", repr=False)  # of a PASSWORD
    remedy: str = field(default="", repr=False)  # what to do when it is refused, where the kind does not say it

    @property
    def refused(self) -> str:
        """What was refused, and what to do about it: the end of a sentence that begins with who refused it."""
        return f"refused the {self.kind.value} from {self.source}: {self.remedy or _REMEDIES[self.kind]}"


class CredentialSource(Protocol):
    """Where credentials come from. Implementations are thread safe."""

    def credential(self, host: str, repository: str, deadline: Deadline, *, fresh: bool) -> Credential | None:
        """Return what to show to ``host`` (with its port, if any) for ``repository``, or None when there is nothing.

        ``fresh`` says that the host refused the last one. Raises UnavailableError (registry-unauthorized) when there
        should be a credential for the host and it cannot be had before ``deadline``.
        """


class Chain:
    """Several sources, of which the first that has something for a host is believed."""

    def __init__(self, sources: Sequence[CredentialSource], *, anonymous: bool) -> None:
        """Ask ``sources`` in order; without ``anonymous``, a host for which none has anything is not asked at all."""
        self._sources = tuple(sources)
        self._anonymous = anonymous

    def credential(self, host: str, repository: str, deadline: Deadline, *, fresh: bool) -> Credential | None:
        """Return the first credential that a source has; see CredentialSource. What a source cannot read ends it."""
        for source in self._sources:
            found = source.credential(host, repository, deadline, fresh=fresh)
            if found is not None:
                return found
        if self._anonymous:
            return None
        message = f"gate has no credentials for {quote(host)}, and GATE_AUTH does not list anonymous"
        raise UnavailableError(Reason.REGISTRY_UNAUTHORIZED, message)


class Anonymous:
    """No credentials for anybody."""

    def credential(self, host: str, repository: str, deadline: Deadline, *, fresh: bool) -> Credential | None:
        """Return None."""
        del host, repository, deadline, fresh
        return None


@dataclass(frozen=True, slots=True)
class HostGlobs:
    """Host patterns with kubelet's rules: label by label, ``*`` within one label only, ports equal.

    So ``*.pkg.dev`` matches ``us-docker.pkg.dev`` and neither ``pkg.dev`` nor ``a.b.pkg.dev``.
    """

    patterns: tuple[re.Pattern[str], ...]

    @classmethod
    def parse(cls, globs: tuple[str, ...]) -> Self:
        """Return the patterns, or raise ConfigError that names GATE_TOKEN_HOSTS and the pattern that is wrong."""
        return cls(tuple(_pattern(glob) for glob in globs))

    def match(self, host: str) -> bool:
        """Return whether a pattern matches ``host`` (lower case, with its port if it is not the default)."""
        return any(pattern.fullmatch(host) is not None for pattern in self.patterns)


def _pattern(glob: str) -> re.Pattern[str]:
    text = glob.lower()
    name = text.partition(":")[0]
    if _PATTERN.fullmatch(text) is None or ".." in text:
        raise ConfigError(f"GATE_TOKEN_HOSTS contains {quote(glob)}, which is not a host name or pattern")
    if "*" in name.rpartition(".")[2]:
        raise ConfigError(f"GATE_TOKEN_HOSTS contains {quote(glob)}, whose last label must be written out")
    return re.compile(re.escape(text).replace(r"\*", r"[^.:]*"), re.ASCII)


class AccessToken:
    """A bare access token that is read again when it is 60 seconds old or was refused, and sent only to some hosts."""

    def __init__(
        self,
        read: Callable[[], bytes],
        source: str,
        hosts: HostGlobs | None,
        clock: Callable[[], float],
        *,
        optional: bool,
    ) -> None:
        """Read the token with ``read``, which raises ConfigError when there is none and has a timeout of its own.

        ``source`` names the file or Secret in messages; ``clock`` is monotonic, in seconds. ``hosts`` None stands for
        every host that asks: a token that the operator gave to one registry. An ``optional`` token that has never been
        there is no error: its hosts are asked anonymously until it appears.
        """
        self._hosts = hosts
        self._token = Reread(
            lambda: Credential(_token(read(), source), source), "gate's access token", clock, optional=optional
        )

    def check(self) -> None:
        """Read the token now; raise ConfigError when it is required and not there or not a token."""
        self._token.check()

    def credential(self, host: str, repository: str, deadline: Deadline, *, fresh: bool) -> Credential | None:
        """Return the token for a host that it is meant for; see CredentialSource."""
        del repository, deadline
        if self._hosts is not None and not self._hosts.match(host):
            return None
        return self._token.get(fresh=fresh)


def _token(raw: bytes, source: str) -> str:
    if len(raw) > TOKEN_BYTES:
        raise ConfigError(f"{source} has more than {TOKEN_BYTES} bytes, which is no access token")
    token = raw.strip()
    if _TOKEN.fullmatch(token) is None:
        raise ConfigError(f"{source} does not hold one access token")
    return token.decode("ascii")


def token_in_file(path: Path) -> Callable[[], bytes]:
    """Return a reader of the token file at ``path``, which raises ConfigError when it cannot be read."""
    return file_reader(path, "the token file", TOKEN_BYTES)
