"""What a file or Secret holds, read again while gate runs: whoever renews a secret need not restart anything."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from gate.core.errors import ConfigError, MalformedError, UnavailableError
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.files import read_start

REREAD_SECONDS = 60.0  # what is in use is read again after this long: a renewed secret works without a restart
FRESH_SECONDS = 1.0  # how often refusals of a registry may cause a read: a tenant can name images that are refused

Value = TypeVar("Value")


class Reread(Generic[Value]):
    """A value that is read again when it is 60 seconds old or was refused; thread safe."""

    def __init__(
        self, read: Callable[[], Value], what: str, clock: Callable[[], float], *, optional: bool = False
    ) -> None:
        """Read the value with ``read``, which has a timeout of its own, and tell by ``clock`` (monotonic, s) when.

        ``read`` raises ConfigError when there is none, MalformedError when it is not what it should be, and
        UnavailableError when nobody answers. ``what`` names the value in messages. An ``optional`` value that has never
        been there is None until it appears; one that is there and malformed is an error all the same.
        """
        self._read = read
        self._what = what
        self._clock = clock
        self._optional = optional
        self._reading = threading.Lock()  # held while reading; guards what follows
        self._value: Value | None = None
        self._seen = False
        self._failure: str | None = None  # why there is no value although there should be one
        self._read_at: float | None = None
        self._refused_at: float | None = None  # when a refusal last caused a read

    def check(self) -> None:
        """Read the value now; raise ConfigError when it is required and not there, or not what it should be.

        A Secret that cannot be read at this moment (the API server does not answer) is read again when it is needed.
        """
        with self._reading:
            failure = self._reread()
        if isinstance(failure, MalformedError) or (isinstance(failure, ConfigError) and not self._optional):
            raise ConfigError(failure.message) from failure

    def get(self, *, fresh: bool) -> Value | None:
        """Return the value, or None when it is optional and not there; ``fresh`` says that the last one was refused.

        Raises UnavailableError (registry-unauthorized) when there should be a value and it cannot be read.
        """
        known = self._value
        # While somebody else reads, the value that is known is good enough, unless it was refused.
        if self._reading.acquire(blocking=fresh or known is None):
            try:
                self._refresh(known, fresh=fresh)
            finally:
                self._reading.release()
        if self._failure is not None:
            raise UnavailableError(Reason.REGISTRY_UNAUTHORIZED, f"{self._what} cannot be read: {self._failure}")
        return self._value

    def _refresh(self, known: Value | None, *, fresh: bool) -> None:
        """Read the value if it is due; the caller holds the lock."""
        refused = fresh and known is self._value  # else somebody has read it since
        at = self._refused_at if refused else self._read_at
        interval = FRESH_SECONDS if refused or self._failure is not None else REREAD_SECONDS
        if at is not None and self._clock() - at < interval:
            return
        self._reread()
        if refused:
            self._refused_at = self._read_at

    def _reread(self) -> ConfigError | MalformedError | UnavailableError | None:
        """Read the value, and return what went wrong; the caller holds the lock."""
        try:
            self._value = self._read()
        except ConfigError as error:  # not there
            self._value, self._failure = None, None if self._optional and not self._seen else error.message
            return error
        except MalformedError as error:
            self._value, self._failure, self._seen = None, error.message, True
            return error
        except UnavailableError as error:
            # The API server does not answer. A value that is known may still be good: the registry decides that. One
            # that was not there at the last look is taken not to be there.
            if self._value is None and self._read_at is None:
                self._failure = error.message
            return error
        else:
            self._seen, self._failure = True, None
            return None
        finally:
            self._read_at = self._clock()


def file_reader(path: Path, what: str, limit: int) -> Callable[[], bytes]:
    """Return a reader of at most ``limit`` bytes (and one more, if there are more) of the file at ``path``.

    It raises ConfigError, which names ``what`` the file is, when it cannot be read.
    """

    def read() -> bytes:
        try:
            return read_start(path, limit + 1)[0]
        except OSError as error:
            why = error.strerror or "it cannot be opened"
            raise ConfigError(f"{what} {quote(str(path))} cannot be read: {why}") from error

    return read
