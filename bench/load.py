"""The load generator: many TLS connections in one thread of a process of its own, each kept alive.

It must not be what is measured: requests are encoded beforehand, an answer is looked at just far enough to know that it
is complete and what it should be, and the share of time that this process was busy is part of the result.
"""

from __future__ import annotations

import contextlib
import re
import selectors
import socket
import ssl
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HOST = "localhost"
PATIENCE_SECONDS = 15.0  # for one answer; the API server itself waits 10
CONNECT_SECONDS = 10.0
KEPT_CONNECTIONS = 900  # gunicorn keeps at most its 1024 connections less its 64 threads
_CHUNK = 64 * 1024
_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ([0-9]+)\r\n")
_HEAD_ENDS = b"\r\n\r\n"


class LoadError(Exception):
    """The server does not do what is to be measured."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the load goes to."""

    port: int
    authority: Path


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of request: ``bodies`` are posted to ``path`` in turn, and ``expected`` is in each answer's body."""

    path: str
    bodies: tuple[bytes, ...]
    expected: bytes

    @property
    def requests(self) -> tuple[bytes, ...]:
        """The requests as they go over the wire."""
        return tuple(_post(self.path, body) for body in self.bodies)


@dataclass(frozen=True, slots=True)
class Slice:
    """What was measured in one stretch of time: ``seconds`` of load, and the milliseconds each answer took."""

    seconds: float
    milliseconds: tuple[float, ...]

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.milliseconds) / self.seconds


@dataclass(frozen=True, slots=True)
class Measured:
    """For each kind of work a slice for each round, and how busy the load generator was (0 to 1)."""

    slices: tuple[tuple[Slice, ...], ...]
    busy: float


@dataclass(frozen=True, slots=True)
class Burst:
    """The milliseconds each answer took, and how many answers held each of the words that were looked for."""

    milliseconds: tuple[float, ...]
    words: tuple[tuple[str, int], ...]


def _post(path: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@dataclass(slots=True)
class _Connection:
    """One kept connection, non-blocking, with at most one request under way."""

    stream: ssl.SSLSocket
    sent_at: float = 0.0
    received: bytearray = field(default_factory=bytearray)

    def send(self, request: bytes) -> None:
        self.received.clear()
        self.sent_at = time.perf_counter()
        try:
            sent = self.stream.send(request)
        except ssl.SSLWantWriteError:
            sent = 0
        if sent != len(request):  # the send buffer was full: rare, and waiting for it is honest
            self.stream.settimeout(PATIENCE_SECONDS)
            self.stream.sendall(request[sent:])
            self.stream.settimeout(0.0)

    def answer(self) -> bytes | None:
        """Return the body if the whole answer is there, else None."""
        while True:
            try:
                chunk = self.stream.recv(_CHUNK)
            except ssl.SSLWantReadError:
                return None
            if not chunk:
                raise LoadError("the server closed a connection")
            self.received += chunk
            body = _complete(self.received)
            if body is not None:
                return body


def _complete(received: bytearray) -> bytes | None:
    end = received.find(_HEAD_ENDS)
    if end < 0:
        return None
    length = _LENGTH.search(received, 0, end + 2)
    if length is None or not received.startswith(b"HTTP/1.1 200 "):
        raise LoadError(f"the server answered {bytes(received[:200])!r}")
    begin = end + len(_HEAD_ENDS)
    if len(received) - begin < int(length[1]):
        return None
    return bytes(received[begin:])


class Load:
    """Connections to one server."""

    def __init__(self, target: Target, connections: int) -> None:
        """Open ``connections``; each has been answered once, so none of them is still shaking hands."""
        self._context = ssl.create_default_context(cafile=str(target.authority))
        self._target = target
        self._connections = [self._connect() for _ in range(connections)]
        self._selector = selectors.DefaultSelector()
        for connection in self._connections:
            self._selector.register(connection.stream, selectors.EVENT_READ, connection)

    def close(self) -> None:
        """Close every connection."""
        self._selector.close()
        for connection in self._connections:
            connection.stream.close()

    def _connect(self) -> _Connection:
        raw = socket.create_connection((HOST, self._target.port), CONNECT_SECONDS)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = self._context.wrap_socket(raw, server_hostname=HOST)
        stream.sendall(f"GET /healthz HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        received = bytearray()
        while _complete(received) is None:
            chunk = stream.recv(_CHUNK)
            if not chunk:
                raise LoadError("the server closed a connection")
            received += chunk
        stream.settimeout(0.0)  # from here on it does not wait
        return _Connection(stream)

    def _answers(self) -> Iterator[tuple[_Connection, bytes]]:
        """Yield each answer that is complete by now; LoadError when none is for too long."""
        events = self._selector.select(PATIENCE_SECONDS)
        if not events:
            raise LoadError(f"no answer within {PATIENCE_SECONDS:g} s")
        for key, _ in events:
            connection: _Connection = key.data
            body = connection.answer()
            if body is not None:
                yield connection, body

    def run(self, work: Work, seconds: float) -> Slice:
        """Keep every connection busy with ``work`` for ``seconds``, then wait for the answers that are under way."""
        requests, expected = work.requests, work.expected
        milliseconds: list[float] = []
        started = time.perf_counter()
        until = started + seconds
        for number, connection in enumerate(self._connections):
            connection.send(requests[number % len(requests)])
        sent = waiting = len(self._connections)
        now = started
        while waiting:
            for connection, body in self._answers():
                now = time.perf_counter()
                milliseconds.append((now - connection.sent_at) * 1000)
                if expected not in body:
                    raise LoadError(f"{work.path} answered {body[:400]!r}")
                if now < until:
                    connection.send(requests[sent % len(requests)])
                    sent += 1
                else:
                    waiting -= 1
        return Slice(now - started, tuple(milliseconds))

    def burst(self, work: Work, count: int, words: Sequence[str]) -> Burst:
        """Send ``count`` requests, one on every connection at once, and wait for all answers.

        Where there are more than connections, the rest follows on those that are answered first.
        """
        requests = work.requests
        waiting = iter(range(count))
        started = time.perf_counter()
        for connection, number in zip(self._connections, waiting, strict=False):
            connection.send(requests[number % len(requests)])
        milliseconds: list[float] = []
        found: Counter[str] = Counter(dict.fromkeys(words, 0))
        while len(milliseconds) < count:
            for connection, body in self._answers():
                milliseconds.append((time.perf_counter() - started) * 1000)
                found.update(word for word in words if word.encode() in body)
                following = next(waiting, None)
                if following is not None:
                    connection.send(requests[following % len(requests)])
        return Burst(tuple(milliseconds), tuple(found.items()))


def alternate(target: Target, connections: int, works: Sequence[Work], rounds: int, seconds: float) -> Measured:
    """Give the server a slice of each of ``works`` in turn, ``rounds`` times.

    In turn, because a machine's speed drifts: what is compared was measured within the same second or two.
    """
    with contextlib.closing(Load(target, connections)) as load:
        for work in works:
            load.run(work, seconds / 2)  # not counted: first times of everything
        wall, busy = time.perf_counter(), time.process_time()
        slices = [[load.run(work, seconds) for work in works] for _ in range(rounds)]
        share = (time.process_time() - busy) / (time.perf_counter() - wall)
    return Measured(tuple(zip(*slices, strict=True)), share)


def burst(target: Target, work: Work, count: int, words: Sequence[str] = ()) -> Burst:
    """Open connections, then send ``count`` requests on them at once."""
    with contextlib.closing(Load(target, min(count, KEPT_CONNECTIONS))) as load:
        return load.burst(work, count, words)


def count(target: Target, connections: int, work: Work, reviews: int) -> int:
    """Send at least ``reviews`` requests and return how many it were."""
    done = 0
    with contextlib.closing(Load(target, connections)) as load:
        while done < reviews:
            done += len(load.run(work, 1.0).milliseconds)
    return done
