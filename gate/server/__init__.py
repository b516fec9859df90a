"""The web server: gunicorn with TLS, threads, bounded sockets and structured logs."""

from __future__ import annotations

from gate import compose
from gate.server.app import Server, check_port
from gate.server.logs import configure
from gate.server.tls import ReloadingContext
from gate.settings import Settings


def serve(settings: Settings) -> int:
    """Serve until stopped and return the exit code; ConfigError when anything that is needed is wrong or missing.

    Policy, keys, certificate and token are read before the first socket is opened, so that a server that listens works.
    """
    configure(settings.log_level)
    tls = ReloadingContext(settings.tls_cert, settings.tls_key)
    tls.current()
    application = compose.application(settings)
    check_port(settings.port)
    Server(application, settings, tls).run()
    return 0
