"""A scripted HTTP(S) server on loopback that can misbehave as registries can: the other end of the hazards."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import json
import socket
import ssl
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_TICK_SECONDS = 0.02  # between two bytes of a drip, and how soon a stalled connection notices the end of the test


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


@dataclass(frozen=True, slots=True)
class Reply:
    """An ordinary answer. Content-Length is added unless ``headers`` has one or a Transfer-Encoding."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    def encoded(self) -> bytes:
        names = {name.lower() for name, _ in self.headers}
        lines = [f"HTTP/1.1 {self.status} Scripted", *(f"{name}: {value}" for name, value in self.headers)]
        if not names & {"content-length", "transfer-encoding"}:
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes sent as they are, then dripped without end or followed by silence or the end of the connection."""

    start: bytes = b""
    drip: bytes = b""
    then: str = "close"  # or "stall", or "reset"


Answer: TypeAlias = Reply | Raw
Scripted: TypeAlias = Answer | Callable[[Seen], Answer]


def as_json(value: object, status: int = 200, media_type: str = "application/json", *headers: tuple[str, str]) -> Reply:
    return Reply(status, json.dumps(value).encode(), (("Content-Type", media_type), *headers))


def redirect(location: str, status: int = 307) -> Reply:
    return Reply(status, b"", (("Location", location),))


def challenge(value: str) -> Reply:
    return Reply(401, b"{}", (("WWW-Authenticate", value),))


@dataclass(slots=True)
class Hostile:
    """Answers what its script says: per path a list of answers in order, of which the last repeats.

    A path without a script is answered with ``otherwise``.
    """

    address: str = "127.0.0.1"
    tls: ssl.SSLContext | None = None
    stalls_handshake: bool = False
    otherwise: Scripted = Reply(404, b"{}")
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    _script: dict[str, list[Scripted]] = field(default_factory=lambda: defaultdict(list))
    _over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _open: set[socket.socket] = field(default_factory=set)
    _threads: list[threading.Thread] = field(default_factory=list)
    _listener: socket.socket = field(default_factory=socket.socket)

    def __enter__(self) -> Self:
        self._listener.bind((self.address, 0))
        self._listener.listen(128)
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            still_open = list(self._open)
        for connection in still_open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    @property
    def host(self) -> str:
        return f"{self.address}:{self._listener.getsockname()[1]}"

    @property
    def url(self) -> str:
        return f"{'http' if self.tls is None else 'https'}://{self.host}"

    @property
    def open(self) -> int:
        """How many connections are open now."""
        with self._lock:
            return len(self._open)

    def on(self, path: str, *answers: Scripted) -> None:
        self._script[path] = list(answers)

    def paths(self) -> list[str]:
        return [seen.path for seen in self.seen]

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.add(connection)
            self._spawn(self._serve, connection)

    def _serve(self, plain: socket.socket) -> None:
        connection = plain
        try:
            if self.stalls_handshake:
                self._over.wait()
                return
            if self.tls is not None:
                connection = self.tls.wrap_socket(plain, server_side=True)
                with self._lock:
                    self._open.discard(plain)
                    self._open.add(connection)
            while (seen := _read_request(connection)) is not None:
                if not self._answer(connection, seen):
                    return
        except OSError:  # the client went away, or would not shake hands
            return
        finally:
            with self._lock:
                self._open.discard(plain)
                self._open.discard(connection)
            connection.close()
            plain.close()

    def _answer(self, connection: socket.socket, seen: Seen) -> bool:
        """Answer, and return whether the connection goes on."""
        with self._lock:
            self.seen.append(seen)
            answers = self._script.get(seen.path, [self.otherwise])
            scripted = answers.pop(0) if len(answers) > 1 else answers[0]
        answer = scripted(seen) if callable(scripted) else scripted
        if isinstance(answer, Reply):
            connection.sendall(answer.encoded())
            return True
        connection.sendall(answer.start)
        while answer.drip and not self._over.wait(_TICK_SECONDS):
            connection.sendall(answer.drip)
        if answer.then == "stall":
            self._over.wait()
        if answer.then == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        return False


def _read_request(connection: socket.socket) -> Seen | None:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return None
        data += more
        if data.startswith(b"\x16"):  # a TLS handshake at a server that speaks plain http
            return Seen("?", "/", {})
    start, _, body = data.partition(b"\r\n\r\n")
    head, *lines = start.decode("latin-1").split("\r\n")
    method, target, _ = head.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += connection.recv(65536)
    return Seen(method, target, headers, body)


@dataclass(frozen=True, slots=True)
class Authority:
    """A private certificate authority, and a server certificate that it made."""

    ca_file: Path
    server: ssl.SSLContext


def make_authority(folder: Path, *names: str) -> Authority:
    """Return an authority with a certificate for ``names`` (host names or addresses), its files in ``folder``."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"gate test authority {folder.name}")])
    ca = _certificate(issuer, issuer, ca_key, ca_key, x509.BasicConstraints(ca=True, path_length=0), ())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gate test server")])
    leaf = _certificate(subject, issuer, key, ca_key, x509.BasicConstraints(ca=False, path_length=None), names)
    folder.mkdir(parents=True, exist_ok=True)
    ca_file, chain = folder / "ca.pem", folder / "server.pem"
    ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain.write_bytes(private + leaf.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return Authority(ca_file, context)


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    constraints: x509.BasicConstraints,
    names: tuple[str, ...],
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(constraints, critical=True)
    )
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False
        )
    return builder.sign(signer, hashes.SHA256())


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@contextlib.contextmanager
def serving(*servers: Hostile) -> Iterator[None]:
    """Run all of ``servers``."""
    with contextlib.ExitStack() as stack:
        for server in servers:
            stack.enter_context(server)
        yield
