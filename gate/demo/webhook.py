"""``gate serve`` as a child process, and the API server's side of the conversation with it."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import gate
from gate.core import limits, strictjson
from gate.core.errors import ConfigError, MalformedError
from gate.core.quote import quote
from gate.demo.certificate import ServingCertificate
from gate.demo.registry import LOOPBACK

READY_SECONDS = 8.0  # from the start of the process; it takes about 1 s on one idle core
STOP_SECONDS = 5.0  # for a graceful stop; then it is killed
PATIENCE_SECONDS = 10.0  # for one answer: timeoutSeconds of the webhook configuration
PROBE_SECONDS = 1.0  # for one answer to "are you ready?"; whoever else has the port may never give one
_LOG_TAIL_BYTES = 64 * limits.KIB
SERVE = (sys.executable, "-m", "gate", "serve")
PACKAGES = Path(gate.__file__).parent.parent  # where the child finds this very package, installed or not
AUTHORITY, LOG = "ca.crt", "gate.log"
VALIDATE = "/validate?timeout=10s"  # as the API server asks


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server is told."""

    allowed: bool
    message: str


@dataclass(frozen=True, slots=True)
class Webhook:
    """A running webhook: where it listens, who issued its certificate, and what it logs."""

    process: subprocess.Popen[bytes]
    port: int
    authority: Path
    log: Path

    @property
    def url(self) -> str:
        """Where reviews are posted."""
        return f"https://{LOOPBACK}:{self.port}{VALIDATE}"

    def ask(self, review: bytes) -> Answer:
        """Return the answer to an AdmissionReview; ConfigError when there is none that can be read."""
        try:
            status, body = self._exchange("POST", VALIDATE, review, PATIENCE_SECONDS)
            response = _response(strictjson.loads_object(body, limit=limits.REVIEW_BYTES))
        except (OSError, http.client.HTTPException) as error:
            raise ConfigError(f"the webhook does not answer; its last words: {self.last_words()}") from error
        except MalformedError as error:
            raise ConfigError(f"the webhook's answer (HTTP {status}) is not an AdmissionReview") from error
        return response

    def is_ready(self) -> bool:
        """Return whether /readyz says so; ConfigError when the process has ended."""
        if self.process.poll() is not None:
            raise ConfigError(f"gate serve did not start: {self.last_words()}")
        try:
            status, _ = self._exchange("GET", "/readyz", b"", PROBE_SECONDS)
        except (OSError, http.client.HTTPException):
            return False
        return status == http.HTTPStatus.OK

    def last_words(self) -> str:
        """Return the last line of the log, its event where it is a record; for an error message."""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - _LOG_TAIL_BYTES))
            lines = log.read(_LOG_TAIL_BYTES).decode("utf-8", "replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "nothing was logged")
        try:
            event = strictjson.loads_object(last.encode(), limit=_LOG_TAIL_BYTES).get("event")
        except MalformedError:
            event = last
        return quote((event if isinstance(event, str) else last).removeprefix("gate serve: "))

    def _exchange(self, method: str, path: str, body: bytes, seconds: float) -> tuple[int, bytes]:
        context = ssl.create_default_context(cafile=str(self.authority))
        connection = http.client.HTTPSConnection(LOOPBACK, self.port, timeout=seconds, context=context)
        with contextlib.closing(connection):
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read(limits.REVIEW_BYTES)


def _response(review: strictjson.Object) -> Answer:
    response = strictjson.expect_object(review.get("response"), "the response")
    status = strictjson.expect_object(response.get("status") or {}, "the status")
    return Answer(response.get("allowed") is True, strictjson.expect_string(status.get("message", ""), "the message"))


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """The environment of a webhook, and the directory that its files are in."""

    directory: Path
    environment: Mapping[str, str]
    port: int
    ready_seconds: float = READY_SECONDS
    stop_seconds: float = STOP_SECONDS


def write_settings(
    directory: Path, registry: str, public_key: bytes, certificate: ServingCertificate
) -> WebhookSettings:
    """Write what the webhook needs into ``directory`` and return its settings.

    ``registry`` (host:port) is spoken to in plain HTTP, and ``public_key`` (PEM) is the whole policy. Nothing of the
    caller's environment is inherited: a setting of somebody's shell must not change what the demo shows.
    """
    files = {
        "GATE_KEY": ("cosign.pub", public_key),
        "GATE_TLS_CERT": ("tls.crt", certificate.certificate),
        "GATE_TLS_KEY": ("tls.key", certificate.key),
        "GATE_REGISTRIES": ("registries.yaml", registries(registry)),
    }
    for name, data in (*files.values(), (AUTHORITY, certificate.authority)):
        path = directory / name
        path.touch(mode=0o600)
        path.write_bytes(data)
    state = directory / "state"
    state.mkdir()
    port, metrics_port = _free_ports(2)
    environment = {
        **{setting: str(directory / name) for setting, (name, _) in files.items()},
        "GATE_AUTH": "anonymous",
        "GATE_STATE_DIR": str(state),
        "GATE_PORT": str(port),
        "GATE_METRICS_PORT": str(metrics_port),
        "PATH": os.defpath,
        "PYTHONPATH": str(PACKAGES),
        "TMPDIR": tempfile.gettempdir(),
    }
    return WebhookSettings(directory, environment, port)


@contextlib.contextmanager
def start(
    settings: WebhookSettings,
    held: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    command: Sequence[str] = SERVE,
) -> Iterator[Webhook]:
    """Start ``gate serve``, wait until it is ready, and yield it; on leaving it is stopped, whatever happened.

    Nothing interrupts a block of ``held``. ``command`` stands in for gate in tests. ConfigError when it does not become
    ready.
    """
    log = settings.directory / LOG
    with contextlib.ExitStack() as stack:
        with log.open("wb") as stream, held():
            process = subprocess.Popen(  # noqa: S603 (this very interpreter and program)
                command,
                env=settings.environment,
                cwd=settings.directory,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,  # Ctrl-C reaches the demo alone, which then ends the server and its workers
            )
            stack.callback(_stop, process, settings.stop_seconds)
        webhook = Webhook(process, settings.port, settings.directory / AUTHORITY, log)
        _wait_until_ready(webhook, settings.ready_seconds)
        yield webhook


def _wait_until_ready(webhook: Webhook, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not webhook.is_ready():
        if time.monotonic() > until:
            raise ConfigError(f"gate serve was not ready after {seconds:g} s; its log: {webhook.last_words()}")
        time.sleep(0.05)


def _stop(process: subprocess.Popen[bytes], seconds: float) -> None:
    """End the server and everything that it started."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        pass
    finally:
        # The session is its own, so its group is the server and its workers, even where the server died first.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def registries(host: str) -> bytes:
    """Return a registries file that lets gate speak plain HTTP to ``host``, on this machine."""
    return f'- host: "{host}"\n  plainHTTP: true\n  allowPrivate: true\n'.encode()


def _free_ports(count: int) -> tuple[int, ...]:
    """Return ports that nobody listens on at this moment; all are held at once, so they differ."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("", 0))
        return tuple(sock.getsockname()[1] for sock in sockets)
