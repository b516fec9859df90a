"""The circuit breaker by itself: what opens it, what it answers, and what closes it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from gate.core.errors import UnavailableError
from gate.core.reasons import Reason
from gate.registry.breaker import FAILURES, OPEN_SECONDS, REPOSITORIES, Breaker
from gate.registry.sockets import ConnectError
from gate.registry.urls import Origin

ORIGIN = Origin.of("https://registry.example:5000")
REFUSED = ConnectError('"registry.example" cannot be reached: the connection was refused', "registry.example", 5000)
ELSEWHERE = ConnectError('"storage.example" cannot be reached: the connection was refused', "storage.example", 443)
BROKEN = UnavailableError(Reason.REGISTRY_ERROR, '"registry.example:5000" answered 503', outage=True)
LIMITED = UnavailableError(Reason.REGISTRY_LIMITED, '"registry.example:5000" answered 429', outage=True)
SILENT = UnavailableError(Reason.REGISTRY_UNREACHABLE, "sent nothing for 5 seconds", outage=True)
LATE = UnavailableError(Reason.DEADLINE, "the deadline passed", outage=True)
ONE, OTHER = "team/one", "team/other"


@dataclass
class Registry:
    """Questions to a breaker, as a client asks them."""

    now: float = 100.0
    breaker: Breaker = field(init=False)

    def __post_init__(self) -> None:
        self.breaker = Breaker(ORIGIN, lambda: self.now)

    def ask(self, repository: str, outcome: UnavailableError | None, *, pushed: bool = False) -> None:
        with self.breaker.question(repository):
            self.breaker.record(repository, outcome, pushed=pushed)

    def ask_often(self, repository: str, *outcomes: UnavailableError | None, pushed: bool = False) -> None:
        for outcome in outcomes:
            self.ask(repository, outcome, pushed=pushed)

    def answers_with(self, repository: str) -> tuple[Reason, str, bool] | None:
        """Return what a question is answered with without being asked, or None when it is asked."""
        try:
            with self.breaker.question(repository):
                return None
        except UnavailableError as error:
            return error.reason, error.message, error.outage


@pytest.fixture
def registry() -> Registry:
    return Registry()


def told(error: UnavailableError) -> tuple[Reason, str, bool]:
    return error.reason, error.message, error.outage


@pytest.mark.parametrize("failure", [BROKEN, LIMITED, SILENT, ELSEWHERE])
def test_the_third_failure_in_a_row_opens_the_circuit_of_its_repository_alone(
    registry: Registry, failure: UnavailableError
) -> None:
    registry.ask_often(ONE, *[failure] * (FAILURES - 1))
    assert registry.answers_with(ONE) is None
    registry.ask(ONE, failure)
    assert registry.answers_with(ONE) == told(failure)
    assert registry.answers_with(OTHER) is None


def test_a_host_that_takes_no_connections_is_left_alone_whatever_repository_is_asked(registry: Registry) -> None:
    registry.ask_often(ONE, REFUSED, REFUSED)
    registry.ask(OTHER, REFUSED)
    assert registry.answers_with("team/third") == told(REFUSED)


def test_a_bad_repository_does_not_hide_another(registry: Registry) -> None:
    for _ in range(10):
        if registry.answers_with(ONE) is None:
            registry.ask(ONE, BROKEN)
        registry.ask(OTHER, None)
        registry.now += 1


def test_what_is_answered_is_the_failure_that_opened_the_circuit_and_not_a_later_one(registry: Registry) -> None:
    registry.ask_often(ONE, SILENT, LIMITED, BROKEN)
    registry.breaker.record(ONE, LIMITED, pushed=False)  # one that was under way
    assert registry.answers_with(ONE) == told(BROKEN)


@pytest.mark.parametrize(
    "reason",
    [Reason.REGISTRY_UNAUTHORIZED, Reason.REGISTRY_ERROR, Reason.LIMIT, Reason.REGISTRY_ADDRESS, Reason.TRUST_ROOT],
)
@pytest.mark.parametrize("pushed", [False, True])
def test_what_is_no_outage_never_opens_a_circuit_and_never_becomes_one(
    registry: Registry, reason: Reason, pushed: bool
) -> None:
    refusal = UnavailableError(reason, "no")
    registry.ask_often(ONE, *[refusal] * (FAILURES * 2), pushed=pushed)
    assert registry.answers_with(ONE) is None
    registry.ask_often(ONE, *[BROKEN, BROKEN, refusal] * FAILURES)
    assert registry.answers_with(ONE) is None


@pytest.mark.parametrize("answer", [None, UnavailableError(Reason.REGISTRY_UNAUTHORIZED, "no")])
def test_an_answer_to_a_question_under_way_closes_an_open_circuit(
    registry: Registry, answer: UnavailableError | None
) -> None:
    registry.ask_often(ONE, *[BROKEN] * FAILURES)
    registry.breaker.record(ONE, answer, pushed=False)
    registry.ask_often(ONE, *[BROKEN] * (FAILURES - 1))
    assert registry.answers_with(ONE) is None


def test_running_out_of_time_is_no_news(registry: Registry) -> None:
    registry.ask_often(ONE, *[LATE] * 10)
    assert registry.answers_with(ONE) is None
    registry.ask_often(ONE, BROKEN, LATE, BROKEN, LATE, BROKEN)
    assert registry.answers_with(ONE) == told(BROKEN)


@pytest.mark.parametrize("failure", [BROKEN, LIMITED, SILENT, ELSEWHERE, LATE])
def test_whoever_pushes_slow_content_opens_no_circuit(registry: Registry, failure: UnavailableError) -> None:
    registry.ask_often(ONE, *[failure] * 10, pushed=True)
    assert registry.answers_with(ONE) is None


def test_no_connection_counts_whatever_was_to_be_asked(registry: Registry) -> None:
    registry.ask_often(ONE, *[REFUSED] * FAILURES, pushed=True)
    assert registry.answers_with(ONE) == told(REFUSED)


def test_a_host_that_answers_badly_takes_connections(registry: Registry) -> None:
    registry.ask_often(ONE, REFUSED, REFUSED, BROKEN, REFUSED, REFUSED)
    assert registry.answers_with(OTHER) is None


def test_an_open_circuit_is_tried_again_after_its_time_by_one_question_alone(registry: Registry) -> None:
    registry.ask_often(ONE, *[BROKEN] * FAILURES)
    registry.now += OPEN_SECONDS - 0.01
    assert registry.answers_with(ONE) == told(BROKEN)
    registry.now += 0.01
    with registry.breaker.question(ONE):
        assert registry.answers_with(ONE) == told(BROKEN)
        registry.breaker.record(ONE, None, pushed=False)
        assert registry.answers_with(ONE) is None
    assert registry.answers_with(ONE) is None


def test_a_probe_that_fails_opens_the_circuit_for_as_long_again(registry: Registry) -> None:
    registry.ask_often(ONE, *[BROKEN] * FAILURES)
    registry.now += OPEN_SECONDS
    registry.ask(ONE, LIMITED)
    assert registry.answers_with(ONE) == told(LIMITED)
    registry.now += OPEN_SECONDS - 0.01
    assert registry.answers_with(ONE) == told(LIMITED)


@pytest.mark.parametrize("failure", [BROKEN, REFUSED])
def test_a_probe_without_news_leaves_the_next_question_to_try(registry: Registry, failure: UnavailableError) -> None:
    registry.ask_often(ONE, *[failure] * FAILURES)
    registry.now += OPEN_SECONDS
    registry.ask(ONE, LATE)
    assert registry.answers_with(ONE) is None


def test_a_probe_that_ends_in_a_bug_leaves_the_next_question_to_try(registry: Registry) -> None:
    registry.ask_often(ONE, *[BROKEN] * FAILURES)
    registry.now += OPEN_SECONDS
    with pytest.raises(ZeroDivisionError), registry.breaker.question(ONE):
        raise ZeroDivisionError
    assert registry.answers_with(ONE) is None


def test_failures_under_way_do_not_keep_a_circuit_open_for_longer(registry: Registry) -> None:
    registry.ask_often(ONE, *[BROKEN] * FAILURES)
    registry.now += OPEN_SECONDS / 2
    registry.breaker.record(ONE, BROKEN, pushed=False)
    registry.now += OPEN_SECONDS / 2
    assert registry.answers_with(ONE) is None


def test_an_open_host_is_told_before_an_open_repository_and_takes_no_probe_of_it(registry: Registry) -> None:
    registry.ask_often(ONE, *[BROKEN] * FAILURES)
    registry.now += OPEN_SECONDS
    registry.ask_often(OTHER, *[REFUSED] * FAILURES)
    assert registry.answers_with(ONE) == told(REFUSED)
    registry.now += OPEN_SECONDS
    assert registry.answers_with(ONE) is None


def test_no_more_repositories_are_remembered_than_the_limit(registry: Registry) -> None:
    registry.ask_often(ONE, *[BROKEN] * FAILURES)
    for number in range(REPOSITORIES):
        registry.ask(f"team/{number}", BROKEN)
    assert registry.answers_with(ONE) is None  # the one that failed longest ago made room
    assert len(registry.breaker._repositories) == REPOSITORIES


def test_an_open_circuit_answers_in_well_under_a_millisecond(registry: Registry) -> None:
    registry.ask_often(ONE, *[BROKEN] * FAILURES)
    started = time.perf_counter()
    for _ in range(100):
        assert registry.answers_with(ONE) is not None
    assert time.perf_counter() - started < 0.05  # half a millisecond each


def test_of_many_threads_one_probes(registry: Registry) -> None:
    registry.ask_often(ONE, *[REFUSED] * FAILURES)
    registry.now += OPEN_SECONDS
    together = threading.Barrier(16)
    told_them = threading.Event()

    def ask(_: int) -> bool:
        together.wait()
        try:
            with registry.breaker.question(ONE):
                return told_them.wait(5)
        except UnavailableError:
            return False

    with ThreadPoolExecutor(16) as pool:
        answers = [pool.submit(ask, number) for number in range(16)]
        while sum(answer.done() for answer in answers) < 15:
            time.sleep(0.001)
        told_them.set()
        assert sum(answer.result() for answer in answers) == 1
