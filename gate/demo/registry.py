"""A Store over HTTP on loopback: what oras and cosign need to push, and gate to read."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from gate.demo.endpoints import Answer, Registry, Request, refusal
from gate.demo.store import BLOB_BYTES, Store

LOOPBACK = "127.0.0.1"
IDLE_SECONDS = 60  # a kept connection without a request; clients open a new one
_LINE_BYTES = 1024  # the size line of one chunk, RFC 9112 section 7.1


@contextlib.contextmanager
def serve(store: Store, *, referrers_api: bool | None = None) -> Iterator[str]:
    """Serve ``store`` on a free port of 127.0.0.1 and yield ``host:port``; plain HTTP, nobody has to log in.

    ``referrers_api`` overrides what the store says of itself. On leaving every connection is closed.
    """
    registry = Registry(store, store.referrers_api if referrers_api is None else referrers_api)
    server = _Server(registry)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="demo-registry", daemon=True)
    thread.start()
    try:
        yield f"{LOOPBACK}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    # Threads are joined on close: nothing of a finished registry may still write while the next test runs.
    daemon_threads = False
    request_queue_size = 128  # connections; the benchmark opens 64 at once

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        super().__init__((LOOPBACK, 0), _Handler)

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        connection, address = super().get_request()
        with self._guard:
            self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        if isinstance(request, socket.socket):
            with self._guard:
                self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        # A client that goes away is not an error of the registry; anything else is a bug and keeps its traceback.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # typeshed's private socket type

    def server_close(self) -> None:
        with self._guard:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        super().server_close()


class _BodyError(Exception):
    """The body cannot be read, so the connection cannot be used again."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    wbufsize = 64 * 1024  # bytes; a small answer leaves in one packet
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        try:
            body = self._body()
        except _BodyError as error:
            self.close_connection = True
            self._send(refusal(error.status, "SIZE_INVALID", error.message))
            return
        url = urlsplit(self.path)
        request = Request(
            self.command,
            url.path,
            dict(reversed(parse_qsl(url.query, max_num_fields=16))),
            self.headers.get("Content-Type", "").partition(";")[0].strip(),
            self.headers.get("Content-Range", ""),
            body,
        )
        self._send(self.server.registry.answer(request))

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 (http.server looks methods up by these names)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class names it so)
        """Say nothing: whoever wants to know reads Store.recent_requests."""

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if answer.body:
            self.send_header("Content-Type", answer.media_type)
        if answer.status is not HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _body(self) -> bytes:
        encoding = self.headers.get("Transfer-Encoding", "").lower()
        if encoding == "chunked":
            return self._chunked()
        if encoding:
            raise _BodyError(HTTPStatus.NOT_IMPLEMENTED, "the transfer encoding is not chunked")
        length = self.headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdigit()):
            raise _BodyError(HTTPStatus.BAD_REQUEST, "the content length is not a number")
        return self._exactly(int(length))

    def _chunked(self) -> bytes:
        """Return a chunked body, RFC 9112 section 7.1; trailers are read and ignored."""
        chunks: list[bytes] = []
        total = 0
        while size := self._chunk_size():
            total += size
            chunks.append(self._exactly(size, total))
            self._line()
        while self._line():
            pass
        return b"".join(chunks)

    def _chunk_size(self) -> int:
        digits = self._line().partition(b";")[0].strip()
        try:
            return int(digits, 16)
        except ValueError as error:
            raise _BodyError(HTTPStatus.BAD_REQUEST, "the size of a chunk is not a number") from error

    def _line(self) -> bytes:
        line = self.rfile.readline(_LINE_BYTES)
        if not line.endswith(b"\n"):
            raise _BodyError(HTTPStatus.BAD_REQUEST, "the body ends early")
        return line.strip()

    def _exactly(self, size: int, total: int | None = None) -> bytes:
        if not 0 <= (size if total is None else total) <= BLOB_BYTES:
            raise _BodyError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body has more than {BLOB_BYTES} bytes")
        data = self.rfile.read(size)
        if len(data) != size:
            raise _BodyError(HTTPStatus.BAD_REQUEST, "the body ends early")
        return data
