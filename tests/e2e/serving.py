"""HTTP servers in threads of the test run, on loopback."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.e2e.registries import Tls


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked; ``path`` carries the query."""

    path: str
    authorization: str | None
    body: bytes


def in_json(answer: Callable[[Request], tuple[int, object]]) -> type[BaseHTTPRequestHandler]:
    """Return a handler that sends the status and the document that ``answer`` returns, for GET and POST."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, document = answer(Request(self.path, self.headers["Authorization"], content))
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's signature)
            """What is asked is kept by those who want to know."""

    return Handler


@contextlib.contextmanager
def serving(handler: type[BaseHTTPRequestHandler], tls: Tls | None = None) -> Iterator[int]:
    """Yield the port at which ``handler`` answers: over TLS where there is a certificate, else over plain HTTP."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.certificate, tls.key)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
