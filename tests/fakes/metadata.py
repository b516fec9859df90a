"""Google's metadata server, as far as google-auth asks it: ``python -m tests.fakes.metadata [--port PORT] …``.

Started, it prints ``{"port": …}``, and then each request as a line of JSON. As the real one it wants the header
``Metadata-Flavor: Google`` and sends it, refuses what a proxy forwards, and gives the same token until five minutes
before its end. To make it a black hole, stop the process (SIGSTOP): connections are accepted and nothing answers.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

FLAVOR = ("Metadata-Flavor", "Google")
ACCOUNT = "/computeMetadata/v1/instance/service-accounts/default/"
RENEWED_SECONDS = 300  # before a token's end the server makes another
CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"


@dataclass(slots=True)
class Identity:
    """Who the pod is, and the tokens it gets: ``<token>-0``, ``<token>-1`` …"""

    email: str
    token: str
    life: float
    status: int
    _number: int = -1
    _until: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def account(self) -> object:
        return {"aliases": ["default"], "email": self.email, "scopes": [CLOUD_PLATFORM]}

    def access_token(self) -> object:
        with self._lock:
            now = time.monotonic()
            if self._until - now <= min(RENEWED_SECONDS, self.life / 2):
                self._number, self._until = self._number + 1, now + self.life
            left = int(self._until - now)
            return {"access_token": f"{self.token}-{self._number}", "expires_in": left, "token_type": "Bearer"}


def handler(identity: Identity) -> type[BaseHTTPRequestHandler]:
    """Return what answers for ``identity``."""
    documents: dict[str, Callable[[], object]] = {
        "/": lambda: "computeMetadata/\n",
        "/computeMetadata/v1/project/project-id": lambda: "acme",
        "/computeMetadata/v1/universe/universe-domain": lambda: "googleapis.com",
        ACCOUNT: identity.account,
        f"{ACCOUNT}token": identity.access_token,
    }

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version, sys_version = "GKE Metadata Server", ""

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            tell({"path": parts.path, "query": parse_qs(parts.query)})
            if self.headers.get(FLAVOR[0]) != FLAVOR[1] or "X-Forwarded-For" in self.headers:
                self._answer(403, "Missing required header: Metadata-Flavor")
            elif parts.path == ACCOUNT and parse_qs(parts.query).get("recursive") != ["true"]:
                self._answer(200, "aliases\nemail\nidentity\nscopes\ntoken\n")
            elif parts.path.startswith(ACCOUNT) and identity.status != 200:
                self._answer(identity.status, "Unable to generate access token")
            elif parts.path in documents:
                self._answer(200, documents[parts.path]())
            else:
                self._answer(404, "not found")

        def _answer(self, status: int, document: object) -> None:
            text = isinstance(document, str)
            body = str(document).encode() if text else json.dumps(document).encode()
            self.send_response(status)
            self.send_header(*FLAVOR)
            self.send_header("Content-Type", "application/text" if text else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's signature)
            """Requests are printed as JSON instead."""

    return Handler


def tell(value: object) -> None:
    """Print a line of JSON."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--email", default="acme.svc.id.goog", help="of a direct principal; else a service account's")
    parser.add_argument("--token", default="ya29.metadata")
    parser.add_argument("--life", type=float, default=3600.0, help="seconds of a token")
    parser.add_argument("--status", type=int, default=200, help="of what is answered about the account")
    given = parser.parse_args()
    identity = Identity(given.email, given.token, given.life, given.status)
    server = ThreadingHTTPServer((given.address, given.port), handler(identity))
    server.daemon_threads = True
    tell({"port": server.server_address[1]})
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
