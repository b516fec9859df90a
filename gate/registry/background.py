"""A token that is fetched in the background: whoever needs it waits a little, and never for a server that is dead.

One thread at a time fetches, started by the question that finds a new token due (none runs before a process forks, none
in an idle one). A token is replaced between half and four fifths of its life, while the old one is still good.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from gate.core.deadline import Deadline
from gate.core.errors import ConfigError, GateError, UnavailableError
from gate.core.reasons import Reason

RENEWAL = (0.5, 0.8)  # of a token's life, after which it is replaced: spread, so that replicas do not ask at once
MARGIN_SECONDS = 10.0  # a token is not shown any more this long before its end
WAIT_SECONDS = 3.0  # for the first token: enough for a server that lives, and leaves the review time for its answer
WAIT_AGAIN_SECONDS = 0.5  # for one that has failed before: a server that is back answers in milliseconds
RETRY_SECONDS = (5.0, 60.0)  # between attempts after a failure: at first, and at most
RECHECK_SECONDS = (5.0, 300.0)  # between looks for what is not there: at first, a new node's servers may be late
REFUSED_SECONDS = 10.0  # how often refusals of a registry may cause a fetch: a tenant can name images that are refused


@dataclass(frozen=True, slots=True)
class Fetched:
    """A token, and how long it is good for from now on."""

    token: str = field(repr=False)
    seconds: float


class BackgroundToken:
    """A token that one thread at a time fetches; thread safe."""

    def __init__(
        self,
        fetch: Callable[[], Fetched],
        source: str,
        clock: Callable[[], float],
        uniform: Callable[[float, float], float],
        *,
        optional: bool,
    ) -> None:
        """Get tokens with ``fetch``, which ends by itself within some seconds.

        ``fetch`` raises ConfigError when there is nobody to ask, and UnavailableError when the answer is no token.
        ``source`` names who gives tokens, in messages.
        ``clock`` is monotonic, in seconds; ``uniform`` draws a number between two. While there is nobody to ask, and
        never was, an ``optional`` token is None.
        """
        self._fetch = fetch
        self._source = source
        self._clock = clock
        self._uniform = uniform
        self._optional = optional
        self._lock = threading.Lock()  # guards what follows; never held while fetching
        self._flight: Future[None] | None = None
        self._token: str | None = None
        self._seen = False
        self._failure: GateError | None = None
        self._failures = 0
        self._fetched_at = float("-inf")
        self._until = float("-inf")
        self._next_at = float("-inf")

    def check(self) -> None:
        """Fetch the token now, without a thread; raise ConfigError when it is required and cannot be had."""
        outcome = self._attempt()
        with self._lock:
            self._settle(outcome)
        if isinstance(outcome, GateError) and not self._optional:
            raise ConfigError(outcome.message) from outcome

    def get(self, deadline: Deadline, *, fresh: bool) -> str | None:
        """Return the token, or None when it is optional and there is nobody to ask.

        ``fresh`` says that the last one was refused. Raises UnavailableError (registry-unauthorized) when there is none
        within 3 s or ``deadline``.
        """
        with self._lock:
            flight = self._flight
            if flight is None and self._due(fresh=fresh):
                flight = self._flight = self._start()
            usable = self._usable()
            if flight is None or (usable is not None and not fresh) or self._absent():
                return self._settled()
            patience = WAIT_SECONDS if self._failure is None else WAIT_AGAIN_SECONDS
        try:
            flight.result(min(patience, deadline.remaining()))
        except TimeoutError:
            if usable is not None:
                return usable
            if self._failure is None:
                raise _unauthorized(f"no access token came from {self._source} within {patience:g} seconds") from None
        with self._lock:
            return self._settled()

    def _start(self) -> Future[None]:
        flight = Future[None]()
        threading.Thread(target=self._fly, args=(flight,), name="google-token", daemon=True).start()
        return flight

    def _fly(self, flight: Future[None]) -> None:
        outcome: Fetched | GateError = _unauthorized("the thread that fetches Google's access token has ended")
        try:
            outcome = self._attempt()
        finally:
            with self._lock:
                self._settle(outcome)
                self._flight = None
            flight.set_result(None)

    def _attempt(self) -> Fetched | GateError:
        try:
            return self._fetch()
        except GateError as error:
            return error

    def _settle(self, outcome: Fetched | GateError) -> None:
        now = self._clock()
        if isinstance(outcome, GateError):
            self._failure, self._failures = outcome, self._failures + 1
            shortest, longest = RECHECK_SECONDS if self._absent() else RETRY_SECONDS
            self._next_at = now + min(longest, shortest * 2 ** min(self._failures - 1, 16))
            return
        self._token, self._seen, self._failure, self._failures = outcome.token, True, None, 0
        self._fetched_at = now
        self._until = now + max(outcome.seconds - MARGIN_SECONDS, outcome.seconds / 2)
        self._next_at = now + outcome.seconds * self._uniform(*RENEWAL)

    def _due(self, *, fresh: bool) -> bool:
        now = self._clock()
        if fresh and self._usable() is not None and now - self._fetched_at >= REFUSED_SECONDS:
            return True
        return now >= self._next_at or (self._failure is None and self._usable() is None)

    def _usable(self) -> str | None:
        return self._token if self._clock() < self._until else None

    def _absent(self) -> bool:
        return self._optional and not self._seen and isinstance(self._failure, ConfigError)

    def _settled(self) -> str | None:
        usable = self._usable()
        if usable is not None or self._absent():
            return usable
        # A token may end at the very moment at which it is looked at: whoever asks next gets a new one.
        why = "it has just ended" if self._failure is None else self._failure.message
        raise _unauthorized(f"gate has no access token of Google: {why}")


def _unauthorized(message: str) -> UnavailableError:
    # Never an outage: whoever can stop a metadata server must not be able to open the gate.
    return UnavailableError(Reason.REGISTRY_UNAUTHORIZED, message)
