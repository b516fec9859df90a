"""Events are written in the background, for an object that is there, and a failure stays where it is."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gate.kube.api import KubernetesApi
from gate.kube.events import BURST, MESSAGE_BYTES, WAITING, Event, Events
from tests.fakes.hostile import Answer, Hostile, Raw, Reply, Seen, as_json

EVENT = Event("RepoSync", "team-a", "repo-sync", "uid-1", "SyncDenied", "no signatures found")
OBJECT = "/apis/configsync.gke.io/v1beta1/namespaces/team-a/reposyncs/repo-sync"
LIST = "/api/v1/namespaces/team-a/events"
OWN = f"{LIST}/{EVENT.own_name}"
LIVE = as_json({"metadata": {"uid": "uid-1"}})


class Clock:
    """Monotonic time that moves when a test says so."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def events(api: KubernetesApi, clock: Clock) -> Events:
    return Events(api, clock, lambda: datetime(2026, 1, 1, 12, 0, int(clock.at) % 60, tzinfo=UTC))


@pytest.fixture
def cluster(server: Hostile) -> Hostile:
    server.on(OBJECT, LIVE)
    server.on(LIST, Reply(201, b"{}"))
    server.on(OWN, Reply(200, b"{}"))
    return server


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def sent(server: Hostile, number: int) -> list[Seen]:
    """Return the requests, once there are so many; a little later there are no more."""
    until(lambda: len(server.seen) >= number)
    time.sleep(0.1)
    assert len(server.seen) == number
    return server.seen


def test_an_event_about_an_object_is_written_in_its_namespace(events: Events, cluster: Hostile) -> None:
    events.offer(EVENT)
    looked, written = sent(cluster, 2)
    assert (looked.method, looked.path) == ("GET", OBJECT)
    assert (written.method, written.path) == ("POST", LIST)
    assert written.headers["authorization"].lower() == "bearer pod-identity"
    body = json.loads(written.body)
    assert body["metadata"] == {"namespace": "team-a", "name": EVENT.own_name}
    assert body["involvedObject"] == {
        "apiVersion": "configsync.gke.io/v1beta1",
        "kind": "RepoSync",
        "namespace": "team-a",
        "name": "repo-sync",
        "uid": "uid-1",
    }
    assert (body["type"], body["reason"], body["message"]) == ("Warning", "SyncDenied", "no signatures found")
    assert body["firstTimestamp"] == body["lastTimestamp"] == "2026-01-01T12:00:00Z"


def test_what_a_replica_wrote_already_gets_a_new_time(events: Events, cluster: Hostile) -> None:
    cluster.on(LIST, Reply(409, b"{}"))
    events.offer(EVENT)
    renewed = sent(cluster, 3)[-1]
    assert (renewed.method, renewed.path) == ("PATCH", OWN)
    assert renewed.headers["content-type"] == "application/merge-patch+json"
    assert json.loads(renewed.body) == {"lastTimestamp": "2026-01-01T12:00:00Z"}
    assert events.problem() is None


@pytest.mark.parametrize("answer", [Reply(404), as_json({"metadata": {"uid": "uid-2"}}), as_json({"metadata": {}})])
def test_nothing_is_written_about_an_object_that_is_not_there_or_is_another(
    answer: Reply, events: Events, cluster: Hostile
) -> None:
    cluster.on(OBJECT, answer)
    events.offer(EVENT)
    sent(cluster, 1)


@pytest.mark.parametrize("name", ["..", "a/b", "", "A"])
def test_a_name_that_is_another_path_is_not_asked_for(name: str, events: Events, cluster: Hostile) -> None:
    events.offer(replace(EVENT, name=name))
    events.offer(replace(EVENT, namespace=name))
    events.offer(EVENT)
    assert [seen.path for seen in sent(cluster, 2)] == [OBJECT, LIST]
    assert events.problem() is None


def test_the_same_is_said_once_however_often_it_is_offered(events: Events, cluster: Hostile, clock: Clock) -> None:
    for _ in range(20):
        events.offer(EVENT)
    sent(cluster, 2)
    clock.at = 301.0
    events.offer(EVENT)
    sent(cluster, 4)


def test_a_long_message_is_cut_between_characters(events: Events, cluster: Hostile) -> None:
    events.offer(replace(EVENT, message="x" + "\u20ac" * MESSAGE_BYTES))
    message = json.loads(sent(cluster, 2)[-1].body)["message"]
    assert MESSAGE_BYTES - 4 < len(message.encode()) <= MESSAGE_BYTES
    assert set(message) == {"x", "\u20ac"}


@pytest.mark.parametrize("path", [OBJECT, LIST])
@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (Reply(403), "may not use"),
        (Reply(401), "may not use"),
        (Reply(500), "answered 500"),
        (Raw(), "does not answer"),
    ],
)
def test_a_failure_is_told_to_the_operator_and_the_next_event_is_tried(
    path: str, answer: Answer, problem: str, events: Events, cluster: Hostile
) -> None:
    cluster.on(path, answer, LIVE if path == OBJECT else Reply(201, b"{}"))
    events.offer(EVENT)
    until(lambda: problem in str(events.problem()))
    events.offer(replace(EVENT, message="another"))
    until(lambda: events.problem() is None)


@pytest.fixture
def stalled(cluster: Hostile) -> Iterator[threading.Event]:
    """Let the API server answer only once this is set."""
    go_on = threading.Event()

    def late(_: Seen) -> Reply:
        go_on.wait(10)
        return LIVE

    cluster.on(OBJECT, late)
    yield go_on
    go_on.set()


def test_whoever_offers_waits_for_nobody_and_what_is_too_much_is_dropped(
    events: Events, cluster: Hostile, clock: Clock, stalled: threading.Event
) -> None:
    started = time.monotonic()
    for number in range(2 * WAITING):
        clock.at = 1000.0 * number  # so that no limit but the queue's applies
        events.offer(replace(EVENT, message=str(number)))
    assert time.monotonic() - started < 2
    until(lambda: events._waiting.qsize() == WAITING - 1)  # the first is being looked at
    events.offer(replace(EVENT, reason="ExceptionUsed"))
    assert events._waiting.qsize() == WAITING  # of each reason so many wait
    stalled.set()
    until(events._waiting.empty)


def test_what_waits_already_does_not_wait_twice(events: Events, cluster: Hostile, stalled: threading.Event) -> None:
    for _ in range(10):
        events.offer(replace(EVENT, message="first"))
        events.offer(EVENT)
    until(lambda: events._waiting.qsize() == 1)
    stalled.set()
    sent(cluster, 4)


def test_objects_that_are_not_there_use_up_nothing_of_those_that_are(events: Events, cluster: Hostile) -> None:
    for number in range(2 * BURST):
        events.offer(replace(EVENT, uid=f"invented-{number}"))
    events.offer(EVENT)
    seen = sent(cluster, 2 * BURST + 2)
    assert [each.path for each in seen if each.method == "POST"] == [LIST]
    assert json.loads(seen[-1].body)["involvedObject"]["uid"] == "uid-1"


def test_no_thread_is_started_before_there_is_something_to_say(api: KubernetesApi, clock: Clock) -> None:
    assert Events(api, clock, lambda: datetime(2026, 1, 1, tzinfo=UTC))._thread is None
