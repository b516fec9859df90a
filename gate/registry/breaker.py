"""A circuit breaker: what has failed again and again is left alone for a moment, and answered for at once.

Connections to the registry's host that do not come about count for the whole host. Other outages (429, 5xx, silence, a
dead token realm or storage host) count for their repository, so that one does not hide another. Nothing else counts:

- What is no outage (401, 403, a limit, wrong bytes) is an answer of somebody, and closes the circuit as a success does.
  So a circuit only ever answers with an outage in the place of an outage: nobody turns a refusal into one, or the
  reverse, by making other questions fail.
- Running out of time says nothing: short deadlines, and whoever pushes large content, bring that about as well.
- How content is answered that is asked for by its digest is up to whoever pushed it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gate.core.errors import UnavailableError
from gate.core.reasons import Reason
from gate.registry.sockets import ConnectError
from gate.registry.urls import Origin

FAILURES = 3  # in a row, a retry counted; one question that failed twice opens nothing, one search may
OPEN_SECONDS = 5.0  # as long as "none found" is believed, a third of Config Sync's poll: the next poll asks again
REPOSITORIES = 256  # of one registry, that have failed lately; as many as tokens are kept for


@dataclass(slots=True)
class _Circuit:
    """Failures in a row; from the last of them on it is open, and half open when ``until`` (seconds) has passed."""

    failures: int = 0
    opened_by: UnavailableError | None = None
    until: float = 0.0
    probing: bool = False

    def check(self, now: float) -> None:
        """Return when a question may be asked, else raise what opened the circuit."""
        known = self.opened_by
        if known is not None and (now < self.until or self.probing):
            raise UnavailableError(known.reason, known.message, outage=known.outage)

    def fail(self, error: UnavailableError, now: float) -> None:
        """Count a failure; one that was under way when the circuit opened does not keep it open for longer."""
        self.failures += 1
        if self.failures >= FAILURES and now >= self.until:
            self.opened_by, self.until, self.probing = error, now + OPEN_SECONDS, False


class Breaker:
    """The circuits of one registry; thread safe."""

    def __init__(self, origin: Origin, clock: Callable[[], float]) -> None:
        """Start with all circuits closed; ``clock`` is monotonic, in seconds."""
        self._origin = origin
        self._clock = clock
        self._lock = threading.Lock()
        self._host = _Circuit()
        self._repositories: OrderedDict[str, _Circuit] = OrderedDict()

    @contextmanager
    def question(self, repository: str) -> Iterator[None]:
        """Let a question be asked, or raise UnavailableError: the failure that opened the circuit, word for word.

        While a circuit is half open, one question at a time is let through, and the others are answered as before.
        """
        with self._lock:
            now = self._clock()
            circuits = [self._host, self._repositories.get(repository, _Circuit())]
            for circuit in circuits:
                circuit.check(now)
            probed = [circuit for circuit in circuits if circuit.opened_by is not None]
            for circuit in probed:
                circuit.probing = True
        try:
            yield
        finally:
            with self._lock:
                for circuit in probed:
                    circuit.probing = False

    def record(self, repository: str, error: UnavailableError | None, *, pushed: bool) -> None:
        """Record what became of one attempt at a question: its ``error``, or None when the registry answered.

        ``pushed`` says that the question was for content by its digest.
        """
        with self._lock:
            if error is None or not error.outage:
                self._host = _Circuit()
                self._repositories.pop(repository, None)
            elif isinstance(error, ConnectError) and error.at(self._origin):
                self._host.fail(error, self._clock())
            elif error.reason is not Reason.DEADLINE:
                self._host = _Circuit()
                if not pushed:
                    self._fail(repository, error)

    def _fail(self, repository: str, error: UnavailableError) -> None:
        circuit = self._repositories.setdefault(repository, _Circuit())
        self._repositories.move_to_end(repository)
        circuit.fail(error, self._clock())
        if len(self._repositories) > REPOSITORIES:
            self._repositories.popitem(last=False)
