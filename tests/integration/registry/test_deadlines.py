"""Nothing outlives the deadline, over plain http and TLS alike."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from gate.core.deadline import Deadline
from gate.core.errors import UnavailableError
from gate.core.reasons import Reason
from gate.registry import transport
from gate.registry.entries import RegistryEntry
from tests.fakes.hostile import Authority, Hostile, Raw
from tests.integration.registry.conftest import REPOSITORY, Asker, described, within

TAGGED = f"/v2/{REPOSITORY}/manifests/v1"
BUDGET = 0.15


@contextmanager
def ending_in_time() -> Iterator[None]:
    started = time.monotonic()
    with pytest.raises(UnavailableError) as caught:
        yield
    assert time.monotonic() - started < BUDGET + 0.5
    assert (caught.value.reason, caught.value.outage) == (Reason.DEADLINE, True)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"


def test_a_stalled_blob_is_left_at_the_deadline(asker: Asker, registry: Hostile) -> None:
    descriptor = described(bytes(1000))
    registry.on(f"/v2/{REPOSITORY}/blobs/{descriptor.digest}", Raw(HEAD, drip=b"\x00"))
    with ending_in_time():
        asker.client(registry).blob(REPOSITORY, descriptor, 2000, within(BUDGET))


def test_a_stalled_handshake_is_left_at_the_deadline(asker: Asker, authority: Authority) -> None:
    with Hostile(tls=authority.server, stalls_handshake=True) as server:
        client = asker.client(server)
        with ending_in_time():
            client.manifest(REPOSITORY, "v1", within(BUDGET))


@contextmanager
def taking_no_connections() -> Iterator[tuple[str, int]]:
    """Yield an address and port whose queue of connections is full."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)  # noqa: FBT003 (the socket module's signature)
            filler.connect_ex(full.getsockname())
        yield full.getsockname()


def test_a_host_that_takes_no_connections_is_left_at_the_deadline(asker: Asker) -> None:
    with taking_no_connections() as (address, port):
        host = f"{address}:{port}"
        client = asker.registries(RegistryEntry(host, plain_http=True)).client(host, named_by_operator=True)
        started = time.monotonic()
        with pytest.raises(UnavailableError) as caught:
            client.manifest(REPOSITORY, "v1", within(BUDGET))
    assert caught.value.outage
    assert time.monotonic() - started < BUDGET + 0.5


def test_a_host_of_which_no_address_answers_is_unreachable_rather_than_late(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whether a registry is dead must not depend on how many dead addresses it has.
    with taking_no_connections() as (address, port):
        found = (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
        other = (*found[:4], ("127.0.0.5", port))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [found, other])
        host = f"registry.example:{port}"
        client = asker.registries(RegistryEntry(host, plain_http=True)).client(host, named_by_operator=True)
        with pytest.raises(UnavailableError, match="nothing answered in time") as caught:
            client.manifest(REPOSITORY, "v1", within(BUDGET))
    assert (caught.value.reason, caught.value.outage) == (Reason.REGISTRY_UNREACHABLE, True)


def test_a_deadline_that_has_passed_asks_nobody(asker: Asker, registry: Hostile) -> None:
    with pytest.raises(UnavailableError) as caught:
        asker.client(registry).manifest(REPOSITORY, "v1", Deadline(0.0, time.monotonic))
    assert (caught.value.reason, registry.connections) == (Reason.DEADLINE, 0)


def test_the_body_of_an_error_is_not_waited_for(asker: Asker, registry: Hostile) -> None:
    registry.on(TAGGED, Raw(b"HTTP/1.1 404 No\r\nContent-Length: 10\r\n\r\n", drip=b""), Raw(then="stall"))
    assert asker.client(registry).manifest(REPOSITORY, "v1", within()) is None


def test_a_stalled_error_body_costs_half_a_second_at_most(asker: Asker, registry: Hostile) -> None:
    registry.on(TAGGED, Raw(b"HTTP/1.1 404 No\r\nContent-Length: 10\r\n\r\n", then="stall"))
    started = time.monotonic()
    assert asker.client(registry).manifest(REPOSITORY, "v1", within()) is None
    assert time.monotonic() - started < transport.ERROR_BODY_SECONDS + 0.3


def test_more_questions_than_connections_wait_no_longer_than_their_deadline(asker: Asker, registry: Hostile) -> None:
    registry.on(TAGGED, Raw(then="stall"))
    client = asker.client(registry)
    outcomes: list[UnavailableError] = []
    lock = threading.Lock()

    def ask(deadline: Deadline) -> None:
        try:
            client.manifest(REPOSITORY, "v1", deadline)
        except UnavailableError as error:
            with lock:
                outcomes.append(error)

    with ThreadPoolExecutor(transport.POOL + 8) as pool:
        for _ in range(transport.POOL):
            pool.submit(ask, within(BUDGET + 2))
        started = time.monotonic()
        while registry.connections < transport.POOL and time.monotonic() - started < BUDGET + 1:
            time.sleep(0.01)
        started = time.monotonic()
        for waiting in [pool.submit(ask, within(BUDGET)) for _ in range(8)]:
            waiting.result()
        assert time.monotonic() - started < BUDGET + 1
    # Who waited in gate's own queue has learnt nothing about the registry: no outage.
    said = Counter((error.reason, error.outage) for error in outcomes)
    assert said == {(Reason.DEADLINE, True): transport.POOL, (Reason.BUSY, False): 8}
    assert registry.connections <= transport.POOL
