"""The HTTP front: bounded bodies, one deadline for each review, and an answer whatever happens."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol
from urllib.parse import parse_qs

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from gate.core import limits
from gate.core.deadline import Deadline
from gate.core.reasons import Reason

VALIDATE_PATH = "/validate"
HEALTH_PATH = "/healthz"
READY_PATH = "/readyz"

REVIEW_SECONDS = 8.0  # the most that a review may take; Config Sync itself waits 15 s, the API server 10 s by default
ANSWER_SECONDS = 1.0  # kept back from the caller's own timeout, so that an answer is heard before it hangs up
REVIEWS_AT_ONCE = 60  # more are told to come back; of the server's 64 threads 4 stay free for health checks
READ_AT_ONCE = 32  # bodies on their way: half of the threads, so that who stalls there leaves the others at work
LARGE_BYTES = 1 * limits.MIB
LARGE_AT_ONCE = 2  # bodies above that; each takes up to 100 MiB while it is parsed

_BUSY = f"{Reason.BUSY}: gate answers too many reviews at this moment; Config Sync asks again by itself"
_DURATION = re.compile(r"(?:[0-9]{1,6}(?:\.[0-9]{1,9})?(?:h|ms|us|ns|m|s)){1,4}", re.ASCII)
_PART = re.compile(r"([0-9.]+)(h|ms|us|ns|m|s)", re.ASCII)
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}  # seconds; Go time.ParseDuration

log = logging.getLogger("gate.webhook")


class Answer(Protocol):
    """What goes back over HTTP."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def body(self) -> bytes:
        """The body."""

    @property
    def content_type(self) -> str:
        """The body's media type."""


class Reviews(Protocol):
    """Who answers reviews."""

    def answer(self, body: bytes, deadline: Deadline) -> Answer:
        """Return the answer to the review in ``body`` before the deadline."""

    def refuse(self, body: bytes, reason: Reason, message: str) -> Answer:
        """Return a denial of the review in ``body`` without looking at what it asks."""


def review_seconds(timeout: str | None) -> float:
    """Return how long a review may take, in seconds, given the caller's ``timeout`` query (a Go duration like 10s).

    A second is kept back for the answer, or half of a timeout below two seconds; never more than eight seconds.
    """
    if timeout is None or _DURATION.fullmatch(timeout) is None:
        return REVIEW_SECONDS
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(timeout))
    return min(REVIEW_SECONDS, max(seconds - ANSWER_SECONDS, seconds / 2))


@lru_cache(maxsize=16)  # queries of at most 4 KiB; an API server always sends the same one
def _seconds_of_query(query: bytes) -> float:
    timeouts = parse_qs(query.decode("latin-1")).get("timeout")
    return review_seconds(timeouts[0] if timeouts else None)


@dataclass(slots=True)
class InFlight:
    """Counts the reviews that are being answered, up to a limit."""

    limit: int = REVIEWS_AT_ONCE
    _count: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def enter(self) -> Iterator[bool]:
        """Yield whether there is room; the place is given back at the end."""
        with self._lock:
            admitted = self._count < self.limit
            self._count += admitted
        try:
            yield admitted
        finally:
            with self._lock:
                self._count -= admitted


def create_app(
    reviews: Reviews,
    clock: Callable[[], float],
    ready: Callable[[], str | None],
    in_flight: InFlight | None = None,
    details: Sequence[Callable[[], str | None]] = (),
) -> Flask:
    """Return the WSGI application.

    ``clock`` is monotonic, in seconds. ``ready`` returns None, or one sentence that says why this server is not ready.
    Each of ``details`` returns None, or what an operator may want to know of a server that answers.
    """
    app = Flask("gate", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = limits.REVIEW_BYTES
    gauge, reading, large = in_flight or InFlight(), InFlight(READ_AT_ONCE), InFlight(LARGE_AT_ONCE)

    @app.post(VALIDATE_PATH)
    def validate() -> Response:
        deadline = Deadline.after(_seconds_of_query(request.query_string), clock)
        # A chunked body would be cut at the limit and then read as if it were whole; the API server never sends one.
        if request.content_length is None:
            return _text(411, "send the review with a Content-Length")
        with ExitStack() as held:
            arriving = held.enter_context(ExitStack())
            if not arriving.enter_context(reading.enter()):
                return _text(503, "too many reviews are on their way; send it again")
            # A large body costs many times its size while it is read; an object of a cluster is rarely above 1 MiB.
            if request.content_length > LARGE_BYTES and not held.enter_context(large.enter()):
                return _text(503, "too many large reviews are on their way; send it again")
            body = request.get_data(cache=False)
            arriving.close()
            if not held.enter_context(gauge.enter()):
                return _reply(reviews.refuse(body, Reason.BUSY, _BUSY))
            return _guarded(reviews, body, deadline)

    @app.get(HEALTH_PATH)
    def healthz() -> Response:
        return _text(200, "ok")

    @app.get(READY_PATH)
    def readyz() -> Response:
        reason = ready()
        status, lines = (200, ["ok"]) if reason is None else (503, [reason])
        if "verbose" in request.args:
            lines += [detail for detail in (look() for look in details) if detail is not None]
        return _text(status, "\n".join(lines))

    app.register_error_handler(RequestEntityTooLarge, _too_large)
    app.register_error_handler(HTTPException, _http_error)
    return app


def _guarded(reviews: Reviews, body: bytes, deadline: Deadline) -> Response:
    """Answer the review; a bug denies it with an id that finds the traceback in the log."""
    try:
        return _reply(reviews.answer(body, deadline))
    except Exception:
        # The same bug has the same id at every poll: a message that changes is a status that is written again.
        bug = hashlib.sha256(traceback.format_exc().encode()).hexdigest()[:16]
        log.exception("a review failed", extra={"bug": bug})
        message = f"{Reason.INTERNAL}: a bug in gate; look for {bug} in its log and report what stands there"
        return _reply(reviews.refuse(body, Reason.INTERNAL, message))


def _reply(answer: Answer) -> Response:
    return Response(answer.body, answer.status, content_type=answer.content_type)


def _text(status: int, sentence: str) -> Response:
    return Response(sentence + "\n", status, content_type="text/plain; charset=utf-8")


def _too_large(_: RequestEntityTooLarge) -> Response:
    return _text(413, f"the review has more than {limits.REVIEW_BYTES} bytes")


def _http_error(error: HTTPException) -> Response:
    return _text(
        error.code or 500, f"{error.name}: gate answers POST {VALIDATE_PATH}, GET {HEALTH_PATH} and {READY_PATH}"
    )
