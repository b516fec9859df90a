"""``gate serve`` as a process: TLS, time limits on every socket, certificates that change, start and stop."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from gate.demo import certificate, webhook
from gate.demo.signer import Signer

PEM = Signer.generate().public_pem


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webhook.Webhook]:
    directory = tmp_path_factory.mktemp("serve")
    settings = webhook.write_settings(directory, "127.0.0.1:1", PEM, certificate.issue(datetime.now(UTC)))
    with webhook.start(settings) as running:
        yield running


def connect(server: webhook.Webhook, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
    trusting = context or ssl.create_default_context(cafile=server.authority)
    raw = socket.create_connection(("127.0.0.1", server.port), timeout=15)
    return trusting.wrap_socket(raw, server_hostname="localhost")


def ask(
    server: webhook.Webhook, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, bytes]:
    context = ssl.create_default_context(cafile=server.authority)
    connection = HTTPSConnection("localhost", server.port, timeout=15, context=context)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_health_and_readiness_answer_over_tls(server: webhook.Webhook) -> None:
    assert ask(server, "GET", "/healthz") == (200, b"ok\n")
    assert ask(server, "GET", "/readyz") == (200, b"ok\n")


def test_tls_below_1_2_is_refused(server: webhook.Webhook) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        connect(server, context)


def test_a_connection_is_kept_for_the_next_review(server: webhook.Webhook) -> None:
    with connect(server) as stream:
        for _ in range(3):
            stream.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            received = b""
            while not received.endswith(b"ok\n"):
                received += stream.recv(4096)
            assert b"connection: keep-alive" in received.lower()


def test_a_chunked_body_is_refused_not_cut(server: webhook.Webhook) -> None:
    status, sentence = ask(server, "POST", "/validate", b"2\r\n{}\r\n0\r\n\r\n", **{"Transfer-Encoding": "chunked"})
    assert (status, sentence) == (411, b"send the review with a Content-Length\n")


def test_a_body_of_more_than_eight_mebibytes_is_refused_unread(server: webhook.Webhook) -> None:
    with connect(server) as stream:
        stream.sendall(b"POST /validate HTTP/1.1\r\nHost: x\r\nContent-Length: 8388609\r\n\r\n")
        assert b" 413 " in stream.recv(4096)


def test_a_body_that_is_no_review_gets_400_and_one_sentence(server: webhook.Webhook) -> None:
    status, sentence = ask(server, "POST", "/validate", b"hello")
    assert status == 400
    assert sentence.startswith(b"malformed: ")
    assert sentence.count(b"\n") == 1


def drip(stream: ssl.SSLSocket, seconds: float) -> float:
    """Send a body a byte at a time until the server has had enough, and return how many seconds that took."""
    started = time.monotonic()
    try:
        while time.monotonic() - started < seconds:
            stream.sendall(b"x")
            time.sleep(0.2)
    except OSError:
        pass
    return time.monotonic() - started


def test_stalled_and_dripping_clients_do_not_keep_others_from_an_answer(server: webhook.Webhook) -> None:
    """Seventy clients stall, more than there are threads, and one drips; each gives its thread back within its time."""
    head = b"POST /validate HTTP/1.1\r\nHost: x\r\n"
    with ExitStack() as held, ThreadPoolExecutor(1) as background:
        dripping = held.enter_context(connect(server))
        dripping.sendall(head + b"Content-Length: 1000\r\n\r\n")
        dripped = background.submit(drip, dripping, 20)
        for number in range(70):
            if number % 3 == 0:
                raw = held.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=15))
                raw.sendall(b"\x16\x03\x01")
            else:
                stream = held.enter_context(connect(server))
                stream.sendall(head if number % 3 == 1 else head + b"Content-Length: 100\r\n\r\nabc")
        started = time.monotonic()
        assert ask(server, "GET", "/healthz")[0] == 200
        assert time.monotonic() - started < 9  # 5 s for a request, and some to spare
        assert 4 < dripped.result() < 9


def replace_files(directory: Path, fresh: certificate.ServingCertificate) -> None:
    for name, data in (("tls.crt", fresh.certificate), ("tls.key", fresh.key), ("ca.crt", fresh.authority)):
        (directory / f"{name}.new").write_bytes(data)
        (directory / f"{name}.new").replace(directory / name)


def test_a_replaced_certificate_is_served_to_the_next_connection(server: webhook.Webhook) -> None:
    old = ssl.create_default_context(cafile=server.authority)
    connect(server, old).close()
    replace_files(server.authority.parent, certificate.issue(datetime.now(UTC)))
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(server, old)
    assert ask(server, "GET", "/healthz")[0] == 200


def test_a_certificate_that_became_bad_keeps_the_last_good_one(server: webhook.Webhook) -> None:
    good = (server.authority.parent / "tls.crt").read_bytes()
    try:
        for bad in (b"", b"hello", certificate.issue(datetime.now(UTC)).certificate):
            (server.authority.parent / "tls.crt").write_bytes(bad)
            assert ask(server, "GET", "/healthz")[0] == 200
        (server.authority.parent / "tls.crt").unlink()
        assert ask(server, "GET", "/healthz")[0] == 200
    finally:
        (server.authority.parent / "tls.crt").write_bytes(good)


def run(environment: Mapping[str, str], directory: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "gate", "serve"],
        env=dict(environment),
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"GATE_KEY": "gone.pub"}, 'the public key "gone.pub" cannot be read: No such file or directory'),
        ({"GATE_KEY": "tls.key"}, 'the public key "tls.key" cannot be used: it holds a private key'),
        ({"GATE_TLS_CERT": "gone.crt"}, 'the serving certificate "gone.crt" does not exist'),
        ({"GATE_TLS_KEY": "gone.key"}, 'the serving key "gone.key" does not exist'),
        ({"GATE_TLS_KEY": "cosign.pub"}, 'the serving certificate "'),
        ({"GATE_POLICY": "gone.yaml"}, 'the policy "gone.yaml" cannot be read: No such file or directory'),
        ({"GATE_REGISTRIES": "gone.yaml"}, 'the registries file "gone.yaml" cannot be read'),
        ({"GATE_AUTH": "token", "GATE_TOKEN_FILE": "gone"}, 'the token file "gone" cannot be read: No such file'),
        (
            {"GATE_AUTH": "google", "GCE_METADATA_IP": "127.0.0.1:1"},
            "there is no metadata server at http://127.0.0.1:1",
        ),
        ({"GATE_AUTH": "google", "GATE_GOOGLE_CREDENTIALS_FILE": "gone"}, 'the credentials file "gone" cannot be read'),
        ({"GATE_AUTH": "dockerconfig"}, 'the docker configuration "/var/run/secrets/dockerconfig/.dockerconfigjson"'),
        (
            {"GATE_AUTH": "dockerconfig,anonymous", "GATE_DOCKERCONFIG_FILE": "tls.key"},
            'the file "tls.key" is not a docker configuration',
        ),
        ({"GATE_PORT": "80x"}, 'GATE_PORT is "80x"; it takes a port from 1 to 65535'),
        ({"GATE_COLOUR": "red"}, "GATE_COLOUR is not a setting of gate"),
    ],
)
def test_a_start_that_cannot_work_ends_with_code_2_and_one_sentence(
    tmp_path: Path, changes: dict[str, str], sentence: str
) -> None:
    settings = webhook.write_settings(tmp_path, "127.0.0.1:1", PEM, certificate.issue(datetime.now(UTC)))
    code, said = run({**settings.environment, **changes}, tmp_path)
    assert code == 2
    assert said.startswith(f"gate serve: {sentence}")
    assert said.count("\n") == 1


def test_a_port_that_is_taken_ends_with_code_2_and_one_sentence(tmp_path: Path, server: webhook.Webhook) -> None:
    settings = webhook.write_settings(tmp_path, "127.0.0.1:1", PEM, certificate.issue(datetime.now(UTC)))
    code, said = run({**settings.environment, "GATE_PORT": str(server.port)}, tmp_path)
    assert (code, said) == (2, f"gate serve: GATE_PORT {server.port} cannot be listened on: Address already in use\n")


def test_a_stop_answers_what_is_in_flight_and_exits_with_0(tmp_path: Path) -> None:
    settings = webhook.write_settings(tmp_path, "127.0.0.1:1", PEM, certificate.issue(datetime.now(UTC)))
    with webhook.start(replace(settings)) as running, connect(running) as stream:
        stream.sendall(b"POST /validate HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel")
        time.sleep(0.5)
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        stream.sendall(b"lo")
        assert b" 400 " in stream.recv(4096)
        assert running.process.wait(10) == 0
