"""Credentials, looked up by the host that will receive them: anonymous, and one access token."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

from gate.core.errors import ConfigError, UnavailableError
from gate.core.quote import quote
from gate.core.reasons import Reason

TOKEN_BYTES = 16 * 1024  # an access token; Google documents at most 2048 bytes, and header lines end at 64 KiB
REREAD_SECONDS = 60.0  # a token in use is read again after this long: a renewed one works without a restart
FRESH_SECONDS = 1.0  # how often refusals of a registry may cause a read: a tenant can name images that are refused
_TOKEN = re.compile(rb"[\x21-\x7e]+")  # visible ASCII: nothing that could end a header line
_PATTERN = re.compile(r"[a-z0-9*](?:[a-z0-9*.-]*[a-z0-9*])?(?::[0-9]{1,5})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Credential:
    """A bearer token for one host, and the file or Secret it was read from, for messages. Never printed."""

    token: str = field(repr=False)
    source: str


class CredentialSource(Protocol):
    """Where credentials come from. Implementations are thread safe."""

    def credential(self, host: str, *, fresh: bool) -> Credential | None:
        """Return what to show to ``host`` (with its port, if any), or None to ask it anonymously.

        ``fresh`` says that the host refused the last one. Raises UnavailableError (registry-unauthorized) when there
        is a credential for the host and it cannot be read.
        """


class Anonymous:
    """No credentials for anybody."""

    def credential(self, host: str, *, fresh: bool) -> Credential | None:
        """Return None."""
        del host, fresh
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
        hosts: HostGlobs,
        clock: Callable[[], float],
        *,
        optional: bool,
    ) -> None:
        """Read the token with ``read``, which raises ConfigError when there is none and has a timeout of its own.

        ``source`` names the file or Secret in messages; ``clock`` is monotonic, in seconds. An ``optional`` token that
        has never been there is no error: its hosts are asked anonymously until it appears.
        """
        self._read = read
        self._source = source
        self._hosts = hosts
        self._clock = clock
        self._optional = optional
        self._reading = threading.Lock()  # held while reading; guards what follows
        self._token: Credential | None = None
        self._seen = False
        self._failure: str | None = None  # why there is no token although there should be one
        self._read_at: float | None = None
        self._refused_at: float | None = None  # when a refusal last caused a read

    def check(self) -> None:
        """Read the token now; raise ConfigError when it is required and not there or not a token.

        A Secret that cannot be read at this moment (the API server does not answer) is read again when it is needed.
        """
        with self._reading:
            failure = self._reread()
        if isinstance(failure, ConfigError) and not self._optional:
            raise failure

    def credential(self, host: str, *, fresh: bool) -> Credential | None:
        """Return the token for a host of GATE_TOKEN_HOSTS; see CredentialSource."""
        if not self._hosts.match(host):
            return None
        known = self._token
        # While somebody else reads, the token that is known is good enough, unless it was refused.
        if self._reading.acquire(blocking=fresh or known is None):
            try:
                self._refresh(known, fresh=fresh)
            finally:
                self._reading.release()
        if self._failure is not None:
            raise UnavailableError(Reason.REGISTRY_UNAUTHORIZED, f"gate's access token cannot be read: {self._failure}")
        return self._token

    def _refresh(self, known: Credential | None, *, fresh: bool) -> None:
        """Read the token if it is due; the caller holds the lock."""
        refused = fresh and known is self._token  # else somebody has read it since
        at = self._refused_at if refused else self._read_at
        interval = FRESH_SECONDS if refused or self._failure is not None else REREAD_SECONDS
        if at is not None and self._clock() - at < interval:
            return
        self._reread()
        if refused:
            self._refused_at = self._read_at

    def _reread(self) -> ConfigError | UnavailableError | None:
        """Read the token, and return what went wrong; the caller holds the lock."""
        try:
            self._token = Credential(_token(self._read(), self._source), self._source)
        except ConfigError as error:  # not there, or not a token
            self._token, self._failure = None, None if self._optional and not self._seen else error.message
            return error
        except UnavailableError as error:
            # The API server does not answer. A token that is known may still be good: the registry decides that. One
            # that was not there at the last look is taken not to be there.
            if self._token is None and self._read_at is None:
                self._failure = error.message
            return error
        else:
            self._seen, self._failure = True, None
            return None
        finally:
            self._read_at = self._clock()


def _token(raw: bytes, source: str) -> str:
    if len(raw) > TOKEN_BYTES:
        raise ConfigError(f"{source} has more than {TOKEN_BYTES} bytes, which is no access token")
    token = raw.strip()
    if _TOKEN.fullmatch(token) is None:
        raise ConfigError(f"{source} does not hold one access token")
    return token.decode("ascii")


def token_in_file(path: Path) -> Callable[[], bytes]:
    """Return a reader of the token file at ``path``, which raises ConfigError when it cannot be read."""

    def read() -> bytes:
        try:
            with path.open("rb") as file:
                return file.read(TOKEN_BYTES + 1)
        except OSError as error:
            why = error.strerror or "it cannot be opened"
            raise ConfigError(f"the token file {quote(str(path))} cannot be read: {why}") from error

    return read
