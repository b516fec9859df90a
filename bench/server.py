"""``gate serve`` with two routes more that answer a constant: what a review is measured against.

One is a WSGI application of its own in front of gate's, so it pays for gunicorn, TLS and the body alone. The other is a
view of gate's own Flask application, so it pays for Flask as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask, Response, request

from gate import compose
from gate.server.app import Server
from gate.server.logs import configure
from gate.server.tls import ReloadingContext
from gate.settings import from_environment

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

BARE_PATH = "/constant"
FLASK_PATH = "/constant-in-flask"
# As long as the answer to an admitted review, so that both send the same bytes over the wire.
CONSTANT = (
    b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview",'
    b'"response":{"allowed":true,"uid":"00000000-0000-4000-8000-000000000000"}}'
)


def bare(application: WSGIApplication) -> WSGIApplication:
    """Return ``application`` with a handler in front of it that reads a body and answers a constant."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != BARE_PATH:
            return application(environ, start_response)
        environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(CONSTANT)))])
        return [CONSTANT]

    return answer


def with_constants(application: Flask) -> Flask:
    """Add both constant handlers to ``application`` and return it."""

    @application.post(FLASK_PATH)
    def constant() -> Response:
        request.get_data(cache=False)
        return Response(CONSTANT, content_type="application/json")

    application.wsgi_app = bare(application.wsgi_app)  # type: ignore[assignment, method-assign]  # how Flask documents middleware
    return application


def main() -> None:
    """Serve until stopped, with the settings of the environment; as gate.server.serve() but for the routes."""
    settings = from_environment()
    configure(settings.log_level)
    application = with_constants(compose.application(settings))
    Server(application, settings, ReloadingContext(settings.tls_cert, settings.tls_key)).run()


if __name__ == "__main__":
    main()
