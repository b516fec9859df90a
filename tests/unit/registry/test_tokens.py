from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from gate.core.deadline import Deadline
from gate.core.errors import UnavailableError
from gate.core.reasons import Reason
from gate.registry.tokens import TOKENS, TokenCache


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Maker:
    """Makes t0, t1 … and counts."""

    def __init__(self, seconds: float = 100.0) -> None:
        self.made = 0
        self.seconds = seconds

    def __call__(self) -> tuple[str, float]:
        self.made += 1
        return f"t{self.made - 1}", self.seconds


def soon(seconds: float = 5.0) -> Deadline:
    return Deadline.after(seconds, time.monotonic)


def test_a_token_is_kept_until_it_ends() -> None:
    clock, maker = Clock(), Maker(100)
    cache = TokenCache[str](clock)
    assert cache.get("a", None, maker, soon()) == "t0"
    clock.now = 99.9
    assert cache.get("a", None, maker, soon()) == "t0"
    clock.now = 100
    assert cache.get("a", None, maker, soon()) == "t1"


def test_a_rejected_token_is_replaced_and_its_successor_is_not() -> None:
    cache, maker = TokenCache[str](Clock()), Maker()
    cache.get("a", None, maker, soon())
    assert cache.get("a", "t0", maker, soon()) == "t1"
    assert cache.get("a", "t0", maker, soon()) == "t1"


def test_keys_do_not_share_tokens() -> None:
    cache, maker = TokenCache[str](Clock()), Maker()
    assert [cache.get(key, None, maker, soon()) for key in "aba"] == ["t0", "t1", "t0"]


def test_the_token_used_least_is_dropped_first() -> None:
    cache, maker = TokenCache[int](Clock()), Maker()
    for number in range(TOKENS):
        cache.get(number, None, maker, soon())
    cache.get(0, None, maker, soon())
    cache.get(TOKENS, None, maker, soon())
    assert cache.get(0, None, maker, soon()) == "t0"
    assert cache.get(1, None, maker, soon()) == f"t{TOKENS + 1}"


def herd(count: int, ask: Callable[[int], object]) -> list[object]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(ask, range(count)))


def test_a_herd_asks_once() -> None:
    cache, maker = TokenCache[str](Clock()), Maker()
    go = threading.Event()

    def slow() -> tuple[str, float]:
        go.wait(5)
        return maker()

    threading.Timer(0.05, go.set).start()
    assert set(herd(32, lambda _: cache.get("a", None, slow, soon()))) == {"t0"}
    assert maker.made == 1


def test_those_who_wait_share_a_failure() -> None:
    cache = TokenCache[str](Clock())
    go, asked = threading.Event(), []

    def fail() -> tuple[str, float]:
        asked.append(1)
        go.wait(5)
        raise UnavailableError(Reason.REGISTRY_LIMITED, "busy", outage=True)

    def ask(_: int) -> object:
        with pytest.raises(UnavailableError) as caught:
            cache.get("a", None, fail, soon())
        return caught.value.reason, caught.value.outage

    threading.Timer(0.05, go.set).start()
    assert set(herd(8, ask)) == {(Reason.REGISTRY_LIMITED, True)}
    assert len(asked) == 1


def test_a_failure_is_not_remembered() -> None:
    cache, maker = TokenCache[str](Clock()), Maker()

    def fail() -> tuple[str, float]:
        raise UnavailableError(Reason.REGISTRY_ERROR, "broken")

    with pytest.raises(UnavailableError):
        cache.get("a", None, fail, soon())
    assert cache.get("a", None, maker, soon()) == "t0"


def test_whoever_has_time_left_asks_again_when_the_first_ran_out_of_it() -> None:
    cache, maker = TokenCache[str](Clock()), Maker()
    started, give_up = threading.Event(), threading.Event()

    def hurried() -> tuple[str, float]:
        started.set()
        give_up.wait(5)
        raise UnavailableError(Reason.DEADLINE, "too late", outage=True)

    def first(_: int) -> None:
        with pytest.raises(UnavailableError):
            cache.get("a", None, hurried, soon())

    with ThreadPoolExecutor(2) as pool:
        hurrying = pool.submit(first, 0)
        started.wait(5)
        patient = pool.submit(lambda: cache.get("a", None, maker, soon()))
        time.sleep(0.02)
        give_up.set()
        assert patient.result(5) == "t0"
        hurrying.result(5)


def test_whoever_waits_leaves_at_its_own_deadline() -> None:
    cache, maker = TokenCache[str](Clock()), Maker()
    started, go = threading.Event(), threading.Event()

    def slow() -> tuple[str, float]:
        started.set()
        go.wait(5)
        return maker()

    with ThreadPoolExecutor(1) as pool:
        leader = pool.submit(cache.get, "a", None, slow, soon())
        started.wait(5)
        with pytest.raises(UnavailableError) as caught:
            cache.get("a", None, maker, soon(0.05))
        assert caught.value.reason is Reason.DEADLINE
        go.set()
        assert leader.result(5) == "t0"
