"""The server's TLS: contexts that follow the certificate files, and sockets on which nobody can stall a thread."""

from __future__ import annotations

import logging
import os
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gate.core.errors import ConfigError
from gate.core.quote import quote

HANDSHAKE_SECONDS = 3.0  # a whole handshake; the API server is next door
REQUEST_SECONDS = 5.0  # head and body of one request together; 8 MiB take a fraction of a second
SEND_SECONDS = 5.0  # one answer, of a few KiB
LINGER_SECONDS = 0.05  # waiting for the peer to close, which gunicorn does on its one main thread

log = logging.getLogger("gate.server.tls")


class BoundedSocket(ssl.SSLSocket):
    """A server-side TLS socket that gives every request a total time, however slowly its bytes drip in.

    gunicorn calls ``do_handshake()`` for the first request of a connection and ``setblocking(True)`` for each of the
    others, in the thread that then reads the request, and would wait without limit from there on.
    """

    _read_until: float | None = None

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 (the signature is SSLSocket's)
        """Finish the handshake within its time, which OpenSSL's wrapper takes from the timeout, and begin a request."""
        super().settimeout(HANDSHAKE_SECONDS)
        super().do_handshake(block)
        self._begin_request()

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 (the signature is socket's)
        """Begin the time of a request instead of waiting for ever."""
        if flag:
            self._begin_request()
        else:
            super().setblocking(flag)

    def _begin_request(self) -> None:
        self._read_until = time.monotonic() + REQUEST_SECONDS
        super().settimeout(REQUEST_SECONDS)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Return what has come, or raise TimeoutError when the request's time is over."""
        self._clip()
        return super().recv(buflen, flags)

    def recv_into(self, *arguments: Any, **options: Any) -> int:  # noqa: ANN401 (the signature is socket's)
        """As recv()."""
        self._clip()
        return super().recv_into(*arguments, **options)

    def sendall(self, data: Any, flags: int = 0) -> None:  # noqa: ANN401 (the signature is socket's)
        """Send all of ``data``, each part of it within the time of an answer."""
        super().settimeout(SEND_SECONDS)
        super().sendall(data, flags)

    def shutdown(self, how: int) -> None:
        """End the connection; from here on gunicorn's main thread waits for the peer, so it waits very shortly."""
        super().shutdown(how)
        self._read_until = time.monotonic() + LINGER_SECONDS

    def _clip(self) -> None:
        if self._read_until is None:
            return
        left = self._read_until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request took too long to arrive")
        current = super().gettimeout()
        super().settimeout(left if current is None else min(current, left))


class _BoundedContext(ssl.SSLContext):
    """A context whose connections are BoundedSockets."""

    sslsocket_class = BoundedSocket


def load_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return a context for the PEM files, TLS 1.2 and above, or raise ConfigError that says which file is wrong."""
    for path, what in ((certificate, "the serving certificate"), (key, "the serving key")):
        if not path.is_file():
            raise ConfigError(f"{what} {quote(str(path))} does not exist; mount the Secret webhook-tls there")
    context = _BoundedContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(
            f"the serving certificate {quote(str(certificate))} and key {quote(str(key))} cannot be used:"
            " they are not a PEM certificate and its unencrypted private key"
        ) from error
    return context


def _fingerprint(*paths: Path) -> tuple[tuple[int, int, int], ...]:
    """Return what changes when a file is replaced: a Secret mount swaps a symlink, so inode and time both change."""
    states = (os.stat(path) for path in paths)  # noqa: PTH116 (follows the symlinks of a Secret mount)
    return tuple((state.st_ino, state.st_mtime_ns, state.st_size) for state in states)


@dataclass(slots=True)
class ReloadingContext:
    """The context for the next connection: read again when the files change, the last good one kept when they are bad.

    One context serves all connections in between, so that sessions resume and no file is read for each of them.
    """

    certificate: Path
    key: Path
    load: Callable[[Path, Path], ssl.SSLContext] = load_context
    _context: ssl.SSLContext | None = None
    _seen: tuple[tuple[int, int, int], ...] = ()
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def current(self) -> ssl.SSLContext:
        """Return the context; ConfigError only when there has never been a good one."""
        with self._lock:
            try:
                seen = _fingerprint(self.certificate, self.key)
            except OSError:
                seen = ()
            if self._context is None or (seen and seen != self._seen):
                self._reload(seen)
            if self._context is None:
                raise ConfigError("there is no serving certificate")
            return self._context

    def _reload(self, seen: tuple[tuple[int, int, int], ...]) -> None:
        try:
            self._context = self.load(self.certificate, self.key)
        except ConfigError as error:
            if self._context is None:
                raise
            # Certificate and key are two files: between two writes they may not belong together. The next connection
            # looks again, because what was seen is not remembered as good.
            log.warning("the serving certificate was not reloaded", extra={"problem": error.message})
            return
        if self._seen:
            log.info("the serving certificate was reloaded")
        self._seen = seen
