"""The HTTP front, called as WSGI: bounds, deadlines, shedding and bugs."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from gate.core.deadline import Deadline
from gate.core.limits import REVIEW_BYTES
from gate.core.reasons import Reason
from gate.fronts.review import Reply
from gate.fronts.webhook import (
    LARGE_AT_ONCE,
    LARGE_BYTES,
    READ_AT_ONCE,
    REVIEWS_AT_ONCE,
    VALIDATE_PATH,
    InFlight,
    create_app,
    review_seconds,
)


@dataclass
class Scripted:
    """Answers every review with its own body, and remembers what it was asked."""

    fails: bool = False
    remaining: list[float] = field(default_factory=list)
    refused: list[tuple[Reason, str]] = field(default_factory=list)

    def answer(self, body: bytes, deadline: Deadline) -> Reply:
        self.remaining.append(deadline.remaining())
        if self.fails:
            raise RuntimeError("a secret detail")
        return Reply(200, body)

    def refuse(self, body: bytes, reason: Reason, message: str) -> Reply:
        self.refused.append((reason, message))
        return Reply(200, message.encode())


@dataclass
class Setup:
    reviews: Scripted
    in_flight: InFlight
    ready: str | None = None
    details: list[str | None] = field(default_factory=list)

    @property
    def client(self) -> FlaskClient:
        looks = [lambda detail=detail: detail for detail in self.details]
        app = create_app(self.reviews, lambda: 100.0, lambda: self.ready, self.in_flight, looks)
        return app.test_client()


@pytest.fixture
def setup() -> Iterator[Setup]:
    return Setup(Scripted(), InFlight())


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [
        (None, 8.0),
        ("10s", 8.0),
        ("9s", 8.0),
        ("5s", 4.0),
        ("2s", 1.0),
        ("1s", 0.5),
        ("500ms", 0.25),
        ("1m30s", 8.0),
        ("2.5s", 1.5),
        ("0s", 0.0),
        ("", 8.0),
        ("-5s", 8.0),
        ("5", 8.0),
        ("5s ", 8.0),
        ("nonsense", 8.0),
        ("٥s", 8.0),
        ("9" * 50 + "s", 8.0),
    ],
)
def test_a_second_or_half_of_the_callers_timeout_is_kept_for_the_answer(timeout: str | None, seconds: float) -> None:
    assert review_seconds(timeout) == pytest.approx(seconds)


@given(st.text(max_size=30) | st.from_regex(r"([0-9.]{1,8}(h|m|s|ms|us|ns)){1,4}", fullmatch=True))
def test_no_timeout_gives_more_than_eight_seconds_or_an_error(timeout: str) -> None:
    assert 0 <= review_seconds(timeout) <= 8


def test_each_review_has_the_deadline_of_its_own_query(setup: Setup) -> None:
    setup.client.post(VALIDATE_PATH + "?timeout=5s", data=b"x")
    setup.client.post(VALIDATE_PATH, data=b"x")
    assert setup.reviews.remaining == [4.0, 8.0]


def test_the_answer_goes_back_as_it_is(setup: Setup) -> None:
    response = setup.client.post(VALIDATE_PATH, data=b"{}")
    assert (response.status_code, response.data, response.content_type) == (200, b"{}", "application/json")


def test_a_body_without_a_length_is_refused(setup: Setup) -> None:
    response = setup.client.post(VALIDATE_PATH, data=b"x", headers={"Transfer-Encoding": "chunked"})
    assert response.status_code == 411
    assert setup.reviews.remaining == []


def test_a_body_that_is_too_large_is_refused_unread(setup: Setup) -> None:
    response = setup.client.post(VALIDATE_PATH, data=b"x", environ_overrides={"CONTENT_LENGTH": str(REVIEW_BYTES + 1)})
    assert response.status_code == 413
    assert setup.reviews.remaining == []


def test_a_bug_denies_with_an_id_that_finds_the_traceback(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    setup.reviews.fails = True
    with caplog.at_level(logging.ERROR):
        response = setup.client.post(VALIDATE_PATH, data=b"x")
    (reason, message), (record,) = setup.reviews.refused[0], caplog.records
    assert reason is Reason.INTERNAL
    assert record.__dict__["bug"] in message
    assert record.exc_info is not None
    assert b"secret" not in response.data


def test_a_bug_in_the_refusal_itself_is_a_500_with_a_sentence(setup: Setup) -> None:
    class Broken(Scripted):
        def refuse(self, body: bytes, reason: Reason, message: str) -> Reply:
            raise RuntimeError("a secret detail")

    setup.reviews = Broken(fails=True)
    response = setup.client.post(VALIDATE_PATH, data=b"x")
    assert response.status_code == 500
    assert b"secret" not in response.data
    assert b"Traceback" not in response.data


def test_reviews_above_the_limit_are_told_to_come_back_and_health_still_answers(setup: Setup) -> None:
    with ExitStack() as held:
        for _ in range(REVIEWS_AT_ONCE):
            assert held.enter_context(setup.in_flight.enter())
        setup.client.post(VALIDATE_PATH, data=b"x")
        assert setup.client.get("/healthz").status_code == 200
    assert [reason for reason, _ in setup.reviews.refused] == [Reason.BUSY]
    setup.client.post(VALIDATE_PATH, data=b"x")
    assert len(setup.reviews.remaining) == 1


def test_a_shed_review_does_not_give_back_a_place_it_never_had(setup: Setup) -> None:
    gauge = InFlight(limit=1)
    with gauge.enter() as first:
        for _ in range(3):
            with gauge.enter() as more:
                assert not more
        assert first
    with gauge.enter() as again:
        assert again


def test_a_place_is_given_back_after_a_bug(setup: Setup) -> None:
    setup.in_flight, setup.reviews.fails = InFlight(limit=1), True
    for _ in range(3):
        setup.client.post(VALIDATE_PATH, data=b"x")
    assert [reason for reason, _ in setup.reviews.refused] == [Reason.INTERNAL] * 3


def test_readiness_says_why_it_is_not(setup: Setup) -> None:
    assert setup.client.get("/readyz").data == b"ok\n"
    setup.ready = "the policy is not loaded"
    response = setup.client.get("/readyz")
    assert (response.status_code, response.data) == (503, b"the policy is not loaded\n")


def test_readiness_tells_what_is_wrong_besides_only_when_it_is_asked_for(setup: Setup) -> None:
    setup.details = ["the registries file is wrong", None, "something else is"]
    assert setup.client.get("/readyz").data == b"ok\n"
    response = setup.client.get("/readyz?verbose")
    expected = b"ok\nthe registries file is wrong\nsomething else is\n"
    assert (response.status_code, response.data) == (200, expected)
    setup.ready = "the policy is not loaded"
    assert setup.client.get("/readyz?verbose").status_code == 503


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/validate", 405), ("POST", "/x", 404), ("PUT", "/", 404)]
)
def test_other_questions_get_one_sentence(setup: Setup, method: str, path: str, status: int) -> None:
    response = setup.client.open(path, method=method)
    assert response.status_code == status
    assert response.data.count(b"\n") == 1
    assert b"<html" not in response.data.lower()


class Blocked(Scripted):
    """Answers nothing until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go, self.arrived = threading.Event(), threading.Semaphore(0)

    def answer(self, body: bytes, deadline: Deadline) -> Reply:
        self.arrived.release()
        assert self.go.wait(10)
        return Reply(200, b"{}")


def test_no_more_than_two_large_reviews_are_read_at_once_and_small_ones_still_are() -> None:
    reviews = Blocked()
    app = create_app(reviews, lambda: 0.0, lambda: None)
    large = b"x" * (LARGE_BYTES + 1)
    with ThreadPoolExecutor(3) as pool:
        first = [pool.submit(app.test_client().post, VALIDATE_PATH, data=large) for _ in range(LARGE_AT_ONCE)]
        for _ in first:
            assert reviews.arrived.acquire(timeout=10)
        assert app.test_client().post(VALIDATE_PATH, data=large).status_code == 503
        small = pool.submit(app.test_client().post, VALIDATE_PATH, data=b"x")
        assert reviews.arrived.acquire(timeout=10)
        reviews.go.set()
        assert [answer.result(10).status_code for answer in (*first, small)] == [200, 200, 200]
    assert app.test_client().post(VALIDATE_PATH, data=large).status_code == 200


class Stalling(io.BytesIO):
    """A body that does not come until it is told to."""

    def __init__(self, go: threading.Event, arrived: threading.Semaphore) -> None:
        super().__init__(b"x")
        self.go, self.arrived = go, arrived

    def readinto(self, buffer: bytearray, /) -> int:  # type: ignore[override]  # all that is read into here
        self.arrived.release()
        assert self.go.wait(10)
        return super().readinto(buffer)


def test_bodies_that_stall_leave_half_of_the_threads_and_give_their_places_back() -> None:
    go, arrived = threading.Event(), threading.Semaphore(0)
    app = create_app(Scripted(), lambda: 0.0, lambda: None)

    def stall() -> int:
        body = {"input_stream": Stalling(go, arrived), "content_length": 1}
        return app.test_client().post(VALIDATE_PATH, **body).status_code

    with ThreadPoolExecutor(READ_AT_ONCE) as pool:
        stalled = [pool.submit(stall) for _ in range(READ_AT_ONCE)]
        for _ in stalled:
            assert arrived.acquire(timeout=10)
        assert app.test_client().post(VALIDATE_PATH, data=b"x").status_code == 503
        assert app.test_client().get("/healthz").status_code == 200
        go.set()
        assert {answer.result(10) for answer in stalled} == {200}
    assert app.test_client().post(VALIDATE_PATH, data=b"x").status_code == 200


def test_a_review_that_is_being_answered_is_no_body_on_its_way() -> None:
    reviews = Blocked()
    app = create_app(reviews, lambda: 0.0, lambda: None)
    with ThreadPoolExecutor(READ_AT_ONCE + 1) as pool:
        asked = [pool.submit(app.test_client().post, VALIDATE_PATH, data=b"x") for _ in range(READ_AT_ONCE + 1)]
        arrived = [reviews.arrived.acquire(timeout=2) for _ in asked]
        reviews.go.set()
        assert all(arrived)
        assert {answer.result(10).status_code for answer in asked} == {200}
