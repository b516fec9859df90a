"""Artifact Registry's front, as a client sees it: TLS at Google's name, and nothing without an access token."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

import requests

from tests.e2e.registries import Tls
from tests.e2e.serving import serving

PASSED_ON = ("Content-Type", "Docker-Content-Digest", "Link", "OCI-Filters-Applied")


@dataclass(slots=True)
class Front:
    """What is behind it, where it is on loopback, and the Authorization of each request so far, or None."""

    upstream: str
    port: int = 0
    shown: list[str | None] = field(default_factory=list)


@contextlib.contextmanager
def running_front(tls: Tls, name: str, upstream: str, accepted: str) -> Iterator[Front]:
    """Yield a front for ``upstream``, for requests whose Authorization begins with what is ``accepted``."""
    front = Front(upstream)
    challenge = f'Bearer realm="https://{name}/v2/token",service="{name}"'

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            shown = self.headers["Authorization"]
            front.shown.append(shown)
            if shown is None or not shown.startswith(accepted):
                self._answer(401, b'{"errors":[{"code":"UNAUTHORIZED"}]}', {"WWW-Authenticate": challenge})
                return
            headers = {"Accept": self.headers.get("Accept", "*/*")}
            answer = requests.get(f"http://{upstream}{self.path}", headers=headers, timeout=10)
            kept = {each: answer.headers[each] for each in PASSED_ON if each in answer.headers}
            self._answer(answer.status_code, answer.content, kept)

        def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for each, value in headers.items():
                self.send_header(each, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's signature)
            """What is shown is kept instead."""

    with serving(Handler, tls) as front.port:
        yield front
