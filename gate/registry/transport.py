"""HTTP to one registry, or to the hosts it names: one question, one bounded answer.

``requests`` without what makes it a browser: no environment (O14, O15), no cookies, no redirects (O12), no inflating
(O3), no retries (O10), no default timeouts to forget (O11).
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import NoReturn

import oras
import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

import gate
from gate.core.deadline import Deadline
from gate.core.errors import MalformedError, UnavailableError
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.registry import failures, sockets
from gate.registry.addresses import Admits
from gate.registry.trace import Observe, Trace
from gate.registry.urls import Origin

POOL = 32  # connections to one host, and requests in flight; as many as reviews are usually in flight
FOREIGN_HOSTS = 8  # hosts named by one registry to which connections are kept
ERROR_BODY_BYTES = 64 * 1024  # of an answer that is not 200: read only to keep the connection
ERROR_BODY_SECONDS = 0.5  # the same
_CHUNK = 64 * 1024
_OK = 200


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What a server said to one GET: ``body`` is empty unless ``status`` is 200."""

    status: int
    headers: Mapping[str, str]  # names in any case
    challenges: tuple[str, ...] = ()  # values of WWW-Authenticate
    body: bytes = b""
    elsewhere: bool = False  # answered by another origin than the one that was asked first

    @property
    def media_type(self) -> str | None:
        """The Content-Type in lower case without parameters, or None."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower() or None


def trusting(ca_pem: bytes | None = None, *, system: bool = True) -> ssl.SSLContext:
    """Return a client context for TLS 1.2 and later that trusts the system's authorities, those of ``ca_pem``, or both.

    Raises ssl.SSLError or ValueError when ``ca_pem`` holds no certificates.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = sockets.DeadlineTLSSocket
    if system:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if ca_pem is not None:
        context.load_verify_locations(cadata=ca_pem.decode("ascii"))
    return context


class ReadOnlySession(requests.Session):
    """A session that only Transport uses: whatever is inherited from elsewhere and would ask by itself, raises."""

    def __init__(self, adapter: HTTPAdapter) -> None:
        """Speak through ``adapter`` alone."""
        super().__init__()
        self.trust_env = False  # no netrc, no proxies, no CA bundle from the environment
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.headers.update(
            {
                "User-Agent": f"config-sync-gate/{gate.__version__} oras-py/{oras.__version__}",
                "Accept-Encoding": "identity",
            }
        )
        self.adapters.clear()
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def request(self, *_: object, **__: object) -> NoReturn:
        """Raise: nothing but Transport.get and post may reach the wire."""
        raise NotImplementedError("gate's registry client is read-only and asks through Transport alone")

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None: to find the target of a redirect, requests would read and inflate its whole body."""


class Transport:
    """One question after another to the hosts that ``admits`` accepts; thread safe."""

    def __init__(
        self, trust: ssl.SSLContext, admits: Admits, *, hosts: int = 1, observe: Observe | None = None
    ) -> None:
        """Keep connections to at most ``hosts`` hosts; ``observe`` is told of every request."""
        self._adapter = _Adapter(trust, admits, hosts)
        self._observe = observe
        self.session = ReadOnlySession(self._adapter)
        self._slots = threading.BoundedSemaphore(POOL)
        self._lock = threading.Lock()
        self._in_flight = 0
        self._closed = False

    def get(self, url: str, headers: Mapping[str, str], limit: int, deadline: Deadline) -> Answer:
        """Return the answer to GET ``url``, its body (status 200) of at most ``limit`` bytes.

        Raises UnavailableError for everything that is not an HTTP answer within the limit and the deadline.
        """
        return self._observed(requests.Request("GET", url, headers=dict(headers)), limit, deadline)

    def post(self, url: str, headers: Mapping[str, str], body: bytes, limit: int, deadline: Deadline) -> Answer:
        """Return the answer to POST ``url``, for those who give tokens for other tokens alone; see get()."""
        return self._observed(requests.Request("POST", url, headers=dict(headers), data=body), limit, deadline)

    def _observed(self, question: requests.Request, limit: int, deadline: Deadline) -> Answer:
        if self._observe is None:
            return self._ask(question, limit, deadline)
        # A POST carries what it shows in its body.
        shown = question.method == "POST" or "Authorization" in question.headers
        begun, url = deadline.clock(), question.url.partition("?")[0]
        try:
            answer = self._ask(question, limit, deadline)
        except UnavailableError as error:
            self._observe(Trace(question.method, url, shown, deadline.clock() - begun, error=error))
            raise
        took = deadline.clock() - begun
        self._observe(Trace(question.method, url, shown, took, answer.status, len(answer.body)))
        return answer

    def _ask(self, question: requests.Request, limit: int, deadline: Deadline) -> Answer:
        request = self.session.prepare_request(question)
        origin = _same_origin(question.url, request.url)
        with self._slot(deadline), sockets.bounded_by(deadline):
            try:
                response = self.session.send(
                    request, stream=True, allow_redirects=False, timeout=sockets.SILENCE_SECONDS
                )
            except failures.RAISED as error:
                raise failures.before_answer(error, origin, deadline) from error
            with response:
                return _answer(response, origin, limit, deadline)

    def close(self) -> None:
        """Close idle connections now and those in use when they are done; a later get() still works."""
        with self._lock:
            self._closed = True
            self._close_if_unused()

    @contextlib.contextmanager
    def _slot(self, deadline: Deadline) -> Iterator[None]:
        if not self._slots.acquire(blocking=False):
            self._queue(deadline)
        with self._lock:
            self._in_flight += 1
        try:
            yield
        finally:
            with self._lock:
                self._in_flight -= 1
                if self._closed:
                    self._close_if_unused()
            self._slots.release()

    def _queue(self, deadline: Deadline) -> None:
        """Wait for a place; what passes the deadline in gate's own queue says nothing about the registry: no outage."""
        got = self._slots.acquire(timeout=max(deadline.at - deadline.clock(), 0.0))
        if got and deadline.clock() < deadline.at:
            return
        if got:
            self._slots.release()
        raise UnavailableError(Reason.BUSY, f"{POOL} requests to the registry did not end within the deadline")

    def _close_if_unused(self) -> None:
        if self._in_flight == 0:
            self._adapter.close()


class _Adapter(HTTPAdapter):
    """The adapter that puts our TLS context, sockets and address rule under requests."""

    def __init__(self, trust: ssl.SSLContext, admits: Admits, hosts: int) -> None:
        self._trust = trust
        self._admits = admits
        super().__init__(pool_connections=hosts, pool_maxsize=POOL, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: object) -> None:  # noqa: FBT001, FBT002 (HTTPAdapter's signature)
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._trust, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _pools(self._admits)

    def cert_verify(self, conn: object, url: str, verify: object, cert: object) -> None:
        # The inherited method would add requests' own CA bundle to a context that trusts a private authority alone.
        del conn, url
        if verify is not True or cert is not None:
            raise NotImplementedError("trust is decided by the TLS context alone")


def _pools(admits: Admits) -> dict[str, type[HTTPConnectionPool]]:
    """Return pools whose connections obey ``admits``. ``_new_conn`` is what urllib3's own SOCKS support overrides."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return sockets.connect(self.host, self.port, admits)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return sockets.connect(self.host, self.port, admits)

        def connect(self) -> None:
            try:
                super().connect()
            except OSError as error:
                raise failures.HandshakeError from error

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _same_origin(asked: str, prepared: str | None) -> Origin:
    """Return the origin of ``asked`` when requests reads the same in it; two readers must not see two hosts."""
    try:
        origin, understood = Origin.of(asked), Origin.of(prepared or "")
    except MalformedError as error:
        raise UnavailableError(Reason.REGISTRY_ADDRESS, f"the URL cannot be asked: {error.message}") from error
    if understood != origin:
        raise UnavailableError(Reason.REGISTRY_ADDRESS, "the URL cannot be asked: it names two hosts")
    return origin


def _answer(response: requests.Response, origin: Origin, limit: int, deadline: Deadline) -> Answer:
    challenges = tuple(response.raw.headers.getlist("WWW-Authenticate"))
    if response.status_code != _OK:
        _drain(response, deadline)
        return Answer(response.status_code, response.headers, challenges)
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding.strip().lower() != "identity":
        raise UnavailableError(
            Reason.REGISTRY_ERROR,
            f"{quote(origin.netloc)} sent an encoded body ({quote(encoding)}), which gate does not ask for",
        )
    try:
        body = _read(response, limit, origin)
    except failures.RAISED as error:
        raise failures.within_body(error, origin, deadline) from error
    return Answer(_OK, response.headers, challenges, body)


def _read(response: requests.Response, limit: int, origin: Origin) -> bytes:
    """Return the whole body. Through read1: urllib3's stream() reads chunk headers of any length into memory."""
    declared = response.headers.get("Content-Length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > limit:
        raise _too_large(origin, limit)
    body = bytearray()
    while chunk := response.raw.read1(min(_CHUNK, limit + 1 - len(body)), decode_content=False):
        body += chunk
        if len(body) > limit:
            raise _too_large(origin, limit)
    return bytes(body)


def _drain(response: requests.Response, deadline: Deadline) -> None:
    """Read what little body an error has, so that its connection can be used again; what is not read is dropped."""
    soon = Deadline(min(deadline.at, deadline.clock() + ERROR_BODY_SECONDS), deadline.clock)
    with contextlib.suppress(UnavailableError, *failures.RAISED), sockets.bounded_by(soon):
        _read(response, ERROR_BODY_BYTES, Origin("https", "unused", 443))


def _too_large(origin: Origin, limit: int) -> UnavailableError:
    return UnavailableError(Reason.LIMIT, f"{quote(origin.netloc)} sent more than the {limit} bytes that gate reads")
