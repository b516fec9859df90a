"""Sockets that cannot outlive the deadline of the question they serve, and that connect only where they may.

A timeout of ``requests`` bounds one read, so a server that sends a byte now and then keeps a caller for ever (O11).
Here every wait of every socket, TLS handshake included, is clipped to what is left of the deadline.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeAlias

from gate.core.deadline import Deadline
from gate.core.errors import UnavailableError
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.registry.addresses import Admits
from gate.registry.urls import Origin

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer  # these names exist for type checkers only

CONNECT_SECONDS = 2.0  # one TCP connection; a handshake takes three round trips at most
SILENCE_SECONDS = 5.0  # one wait for a peer that sends nothing
ADDRESSES_TRIED = 4  # addresses of one name; a name server may list any number of dead ones

_SocketAddress: TypeAlias = tuple[Any, ...]
_Resolved: TypeAlias = tuple[int, _SocketAddress]

# urllib3 makes its sockets itself and offers no argument to hand a deadline through. All waiting for one request is
# done by the thread that asked, so its context carries the deadline; without one a socket refuses to wait at all.
_DEADLINE: ContextVar[Deadline] = ContextVar("deadline of this question")
# SO_ERROR of a name that does not exist, as opposed to a name server that does not answer.
_NO_SUCH_NAME = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


class ConnectError(UnavailableError):
    """No connection to ``host`` at ``port`` came about, its TLS handshake included: registry-unreachable, an outage."""

    def __init__(self, message: str, host: str, port: int) -> None:
        """Keep who could not be reached."""
        super().__init__(Reason.REGISTRY_UNREACHABLE, message, outage=True)
        self._peer = host, port

    def at(self, origin: Origin) -> bool:
        """Return whether it was ``origin`` that could not be reached."""
        return self._peer == (origin.host, origin.port)


@contextlib.contextmanager
def bounded_by(deadline: Deadline) -> Iterator[None]:
    """Clip every wait of this thread's sockets to ``deadline``."""
    token = _DEADLINE.set(deadline)
    try:
        yield
    finally:
        _DEADLINE.reset(token)


def _patience() -> float:
    """Return the seconds that the next wait may take, or raise UnavailableError (deadline)."""
    return min(SILENCE_SECONDS, _DEADLINE.get().remaining())


class DeadlineSocket(socket.socket):
    """A TCP socket whose sends and receives end with the deadline: what plain http speaks through."""

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Receive as socket.recv does, or raise TimeoutError at the deadline."""
        self.settimeout(_patience())
        return super().recv(bufsize, flags)

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        """Receive as socket.recv_into does, or raise TimeoutError at the deadline."""
        self.settimeout(_patience())
        return super().recv_into(buffer, nbytes, flags)

    def send(self, data: ReadableBuffer, flags: int = 0, /) -> int:
        """Send as socket.send does, or raise TimeoutError at the deadline."""
        self.settimeout(_patience())
        return super().send(data, flags)

    def sendall(self, data: ReadableBuffer, flags: int = 0, /) -> None:
        """Send as socket.sendall does (its timeout is for the whole), or raise TimeoutError at the deadline."""
        self.settimeout(_patience())
        super().sendall(data, flags)


class DeadlineTLSSocket(ssl.SSLSocket):
    """A TLS socket whose handshake, sends and receives end with the deadline (OpenSSL's loops take it as a total)."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 (ssl.SSLSocket's signature)
        """Shake hands, or raise TimeoutError at the deadline."""
        try:
            self.settimeout(_patience())
        except UnavailableError:
            self.close()  # ssl closes it for OSError and ValueError alone
            raise
        super().do_handshake(block)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Receive as ssl.SSLSocket.recv does, or raise TimeoutError at the deadline."""
        self.settimeout(_patience())
        return super().recv(buflen, flags)

    def recv_into(self, buffer: WriteableBuffer, nbytes: int | None = None, flags: int = 0) -> int:
        """Receive as ssl.SSLSocket.recv_into does, or raise TimeoutError at the deadline."""
        self.settimeout(_patience())
        return super().recv_into(buffer, nbytes, flags)

    def send(self, data: ReadableBuffer, flags: int = 0) -> int:
        """Send as ssl.SSLSocket.send does (sendall goes through it), or raise TimeoutError at the deadline."""
        self.settimeout(_patience())
        return super().send(data, flags)


def connect(host: str, port: int, admits: Admits) -> DeadlineSocket:
    """Return a connection to an address of ``host`` that ``admits`` accepts.

    Raises UnavailableError: registry-address when no address is admitted, registry-unreachable when none answers.
    The name is looked up once, and what is connected is an address that was judged: DNS cannot change its mind.
    """
    admitted = [(family, address) for family, address in _resolve(host, port) if admits(address[0])]
    if not admitted:
        raise _refused(host)
    failure: OSError | None = None
    for family, address in admitted[:ADDRESSES_TRIED]:
        try:
            connection = _connect_one(family, address)
        except OSError as error:
            failure = error
            continue
        except UnavailableError:
            if failure is None:
                raise
            break  # the deadline: what is wrong is that nobody has answered so far
        if not admits(connection.getpeername()[0]):  # before any byte is sent
            connection.close()
            raise _refused(host)
        return connection
    raise ConnectError(f"{quote(host)} cannot be reached: {_why(failure)}", host, port) from failure


def _connect_one(family: int, address: _SocketAddress) -> DeadlineSocket:
    patience = min(CONNECT_SECONDS, _patience())
    connection = DeadlineSocket(family, socket.SOCK_STREAM)
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(patience)
        connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection


def _resolve(host: str, port: int) -> list[_Resolved]:
    """Return the addresses of ``host``, each once, in the resolver's order."""
    deadline = _DEADLINE.get()
    deadline.remaining()
    try:
        # getaddrinfo has no timeout and cannot be interrupted: the pod's dnsConfig (timeout:1, attempts:2) bounds it.
        found: Iterable[tuple[Any, ...]] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in _NO_SUCH_NAME:
            message = f"there is no host named {quote(host)}"
            raise UnavailableError(Reason.REGISTRY_UNREACHABLE, message) from error
        raise ConnectError(f"the name of {quote(host)} cannot be looked up", host, port) from error
    except UnicodeError as error:  # a label of more than 63 characters
        raise UnavailableError(Reason.REGISTRY_UNREACHABLE, f"{quote(host)} cannot be a host's name") from error
    deadline.remaining()
    return list(dict.fromkeys((entry[0], entry[4]) for entry in found))


def _refused(host: str) -> UnavailableError:
    return UnavailableError(
        Reason.REGISTRY_ADDRESS, f"{quote(host)} has no address that gate may connect to for whoever named it"
    )


def _why(error: OSError | None) -> str:
    match error:
        case TimeoutError():
            return "nothing answered in time"
        case ConnectionRefusedError():
            return "the connection was refused"
        case _:
            return "the network has no way to it"
