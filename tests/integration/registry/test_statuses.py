"""What a status means, and what is asked again."""

from __future__ import annotations

import pytest

from gate.core.deadline import Deadline
from gate.core.errors import UnavailableError
from gate.core.reasons import Reason
from tests.fakes.hostile import Hostile, Raw, Reply, challenge
from tests.integration.registry.conftest import REPOSITORY, Asker, within

TAGGED = f"/v2/{REPOSITORY}/manifests/v1"
FOUND = Reply(200, b"{}")


def refused(asker: Asker, server: Hostile) -> UnavailableError:
    with pytest.raises(UnavailableError) as caught:
        asker.client(server).manifest(REPOSITORY, "v1", within())
    return caught.value


def test_a_404_of_the_registry_means_that_there_is_none(asker: Asker, either: Hostile) -> None:
    assert asker.client(either).manifest(REPOSITORY, "v1", within()) is None
    assert len(either.seen) == 1


@pytest.mark.parametrize(
    ("status", "reason", "outage", "requests"),
    [
        (400, Reason.REGISTRY_ERROR, False, 1),
        (401, Reason.REGISTRY_UNAUTHORIZED, False, 1),
        (403, Reason.REGISTRY_UNAUTHORIZED, False, 1),
        (405, Reason.REGISTRY_ERROR, False, 1),
        (410, Reason.REGISTRY_ERROR, False, 1),
        (418, Reason.REGISTRY_ERROR, False, 1),
        (204, Reason.REGISTRY_ERROR, False, 1),
        (206, Reason.REGISTRY_ERROR, False, 1),
        (304, Reason.REGISTRY_ERROR, False, 1),
        (300, Reason.REGISTRY_ERROR, False, 1),
        (429, Reason.REGISTRY_LIMITED, True, 2),
        (500, Reason.REGISTRY_ERROR, True, 2),
        (502, Reason.REGISTRY_ERROR, True, 2),
        (503, Reason.REGISTRY_ERROR, True, 2),
        (504, Reason.REGISTRY_ERROR, True, 2),
        (999, Reason.REGISTRY_ERROR, False, 1),
    ],
)
def test_a_status_has_one_meaning(
    asker: Asker, registry: Hostile, status: int, reason: Reason, outage: bool, requests: int
) -> None:
    registry.on(TAGGED, Reply(status, b"" if status in (204, 304) else b"{}"))
    error = refused(asker, registry)
    assert (error.reason, error.outage, len(registry.seen)) == (reason, outage, requests)
    assert len(asker.slept) == requests - 1


@pytest.mark.parametrize("first", [Reply(503), Reply(429), Reply(500), Raw(), Raw(then="reset")])
def test_a_passing_failure_is_asked_again_once(asker: Asker, either: Hostile, first: Reply | Raw) -> None:
    either.on(TAGGED, first, FOUND)
    assert asker.client(either).manifest(REPOSITORY, "v1", within()) is not None
    assert asker.slept == [0.05]


def test_a_registry_that_closes_every_connection_is_unreachable(asker: Asker, either: Hostile) -> None:
    either.on(TAGGED, Raw())
    error = refused(asker, either)
    assert (error.reason, error.outage, len(either.seen)) == (Reason.REGISTRY_UNREACHABLE, True, 2)


def test_a_refused_connection_is_unreachable(asker: Asker) -> None:
    with Hostile() as server:
        client = asker.client(server)
    with pytest.raises(UnavailableError, match="was refused") as caught:
        client.manifest(REPOSITORY, "v1", within())
    assert (caught.value.reason, caught.value.outage) == (Reason.REGISTRY_UNREACHABLE, True)
    assert len(asker.slept) == 1


@pytest.mark.parametrize(("value", "waits"), [("0", [0.05]), ("1", [1.0]), ("2", [2.0])])
def test_a_short_retry_after_is_waited_for(asker: Asker, registry: Hostile, value: str, waits: list[float]) -> None:
    registry.on(TAGGED, Reply(429, b"", (("Retry-After", value),)), FOUND)
    assert asker.client(registry).manifest(REPOSITORY, "v1", within()) is not None
    assert asker.slept == waits


@pytest.mark.parametrize("value", ["3", "86400", "9" * 400, "-1", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", ""])
def test_a_long_or_odd_retry_after_ends_the_question(asker: Asker, registry: Hostile, value: str) -> None:
    registry.on(TAGGED, Reply(429, b"", (("Retry-After", value),)), FOUND)
    with pytest.raises(UnavailableError) as caught:
        asker.client(registry).manifest(REPOSITORY, "v1", within(10**6))
    assert caught.value.reason is Reason.REGISTRY_LIMITED
    assert (len(registry.seen), asker.slept) == (1, [])


def test_there_is_no_retry_without_time_for_it(asker: Asker, registry: Hostile) -> None:
    registry.on(TAGGED, Reply(503), FOUND)
    now = [0.0]
    client = asker.client(registry)

    def answer(_: object) -> Reply:
        now[0] = 7.96  # the answer took most of the deadline
        return Reply(503)

    registry.on(TAGGED, answer)
    with pytest.raises(UnavailableError) as caught:
        client.manifest(REPOSITORY, "v1", Deadline(8.0, lambda: now[0]))
    assert (caught.value.reason, len(registry.seen)) == (Reason.REGISTRY_ERROR, 1)


@pytest.mark.parametrize("status", [429, 503])
def test_a_passing_failure_of_the_realm_is_asked_again_once(asker: Asker, registry: Hostile, status: int) -> None:
    registry.on("/token", Reply(status))
    registry.on(TAGGED, challenge(f'Bearer realm="{registry.url}/token"'))
    error = refused(asker, registry)
    assert error.outage
    assert registry.paths().count("/token") == 2


def test_connections_are_used_again(asker: Asker, either: Hostile) -> None:
    either.on(TAGGED, FOUND)
    client = asker.client(either)
    for path in ("v1", "v1", "absent", "v1"):
        client.manifest(REPOSITORY, path, within())
    assert either.connections == 1


def test_cookies_are_not_kept(asker: Asker, registry: Hostile) -> None:
    registry.on(TAGGED, Reply(200, b"{}", (("Set-Cookie", "session=1; Path=/"),)))
    client = asker.client(registry)
    client.manifest(REPOSITORY, "v1", within())
    client.manifest(REPOSITORY, "v1", within())
    assert "cookie" not in registry.seen[1].headers


def test_messages_hold_no_control_characters_of_a_server(asker: Asker, registry: Hostile) -> None:
    registry.on(TAGGED, Reply(200, b"{}", (("Content-Encoding", "\x1b[31mred"),)))
    assert "\x1b" not in refused(asker, registry).message
