"""gunicorn, configured in one place: one process, threads, TLS, and a graceful stop."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from gate.core.errors import ConfigError
from gate.server.tls import ReloadingContext
from gate.settings import Settings

THREADS = 64  # four more than reviews are answered at once, so that health checks always find one
KEEPALIVE_SECONDS = 100  # longer than the API server keeps an idle connection (90 s), so that it is the one to close
GRACEFUL_SECONDS = 20  # twice the longest review
WORKER_SECONDS = 30  # without a sign of life from the worker's main loop
BACKLOG = 2048  # connections that wait to be accepted
CONNECTIONS = 1024  # open connections of one process
REQUEST_LINE_BYTES = 4094  # gunicorn's own default
HEADER_FIELDS = 64  # the API server sends about ten


class QuietLogger(Logger):  # type: ignore[misc] # gunicorn carries no types
    """gunicorn's own messages, sent where all others go; no access log, because the decision record is the log."""

    def setup(self, cfg: object) -> None:
        """Hand gunicorn's messages to the root logger's handler."""
        super().setup(cfg)
        self.error_log.handlers[:] = []
        self.error_log.propagate = True


class Server(BaseApplication):  # type: ignore[misc] # gunicorn carries no types
    """gate under gunicorn, without a configuration file and without gunicorn's own command line."""

    def __init__(self, application: Flask, settings: Settings, tls: ReloadingContext) -> None:
        """Keep what the worker needs; it is forked with the application, which has started no thread by then."""
        self._application = application
        self._settings = settings
        self._tls = tls
        super().__init__()

    def load_config(self) -> None:
        """Set every option; nothing is read from gunicorn's environment variable or files."""
        for name, value in self.options().items():
            self.cfg.set(name, value)

    def options(self) -> dict[str, Any]:
        """Return gunicorn's options."""
        return {
            "bind": _address(self._settings.port),
            "worker_class": "gthread",
            # Evidence and the count of reviews in flight are shared within one process: scale by replicas.
            "workers": 1,
            "threads": THREADS,
            "keepalive": KEEPALIVE_SECONDS,
            "timeout": WORKER_SECONDS,
            "graceful_timeout": GRACEFUL_SECONDS,
            "backlog": BACKLOG,
            "worker_connections": CONNECTIONS,
            "limit_request_line": REQUEST_LINE_BYTES,
            "limit_request_fields": HEADER_FIELDS,
            # The root file system is read-only: the heartbeat file lives in memory, and there is no control socket.
            "worker_tmp_dir": "/dev/shm",  # noqa: S108 (gunicorn creates its own file there, unlinked at once)
            "control_socket_disable": True,
            "accesslog": None,
            "logger_class": QuietLogger,
            "loglevel": self._settings.log_level,
            "certfile": str(self._settings.tls_cert),
            "keyfile": str(self._settings.tls_key),
            "ssl_context": self._ssl_context,
            "proc_name": "gate",
        }

    def _ssl_context(self, _config: object, _default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        """Return the context for one new connection; gunicorn asks for each of them."""
        return self._tls.current()

    def load(self) -> Flask:
        """Return the application."""
        return self._application


def _address(port: int) -> str:
    """Return the address to bind: both families where the machine has both."""
    return f"[::]:{port}" if socket.has_dualstack_ipv6() else f"0.0.0.0:{port}"


def check_port(port: int) -> None:
    """Return if the port is free, else raise ConfigError: gunicorn itself would only try again and again."""
    family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    with contextlib.closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise ConfigError(f"GATE_PORT {port} cannot be listened on: {error.strerror}") from error
