"""A token that is fetched in the background: by one thread, in good time, and nobody waits for the dead."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from gate.core.deadline import Deadline
from gate.core.errors import ConfigError, UnavailableError
from gate.core.reasons import Reason
from gate.registry import background
from gate.registry.background import MARGIN_SECONDS, RECHECK_SECONDS, REFUSED_SECONDS, BackgroundToken, Fetched

LIFE = 3600.0
DEAD = UnavailableError(Reason.REGISTRY_UNREACHABLE, "nothing answered in time", outage=True)
ABSENT = ConfigError("there is no metadata server")


class Server:
    """Gives t0, t1 …, or fails; ``held`` keeps it from answering."""

    def __init__(self, life: float = LIFE) -> None:
        self.now, self.life, self.asked = 0.0, life, 0
        self.threads: set[str] = set()
        self.failure: Exception | None = None
        self.held = threading.Event()
        self.held.set()

    def fetch(self) -> Fetched:
        self.asked += 1
        self.threads.add(threading.current_thread().name)
        number = self.asked - 1
        self.held.wait(5)
        if self.failure is not None:
            raise self.failure
        return Fetched(f"t{number}", self.life)

    def token(
        self, *, optional: bool = True, at: Callable[[float, float], float] = lambda low, _: low
    ) -> BackgroundToken:
        return BackgroundToken(self.fetch, "the server", lambda: self.now, at, optional=optional)


def soon(seconds: float = 5.0) -> Deadline:
    return Deadline.after(seconds, time.monotonic)


def settled(token: BackgroundToken) -> None:
    """Wait until no thread fetches."""
    until = time.monotonic() + 5
    while token._flight is not None and time.monotonic() < until:
        time.sleep(0.001)
    assert token._flight is None


def get(token: BackgroundToken, *, fresh: bool = False) -> str | None:
    found = token.get(soon(), fresh=fresh)
    settled(token)
    return found


def test_nothing_is_asked_and_no_thread_runs_before_somebody_needs_a_token() -> None:
    server = Server()
    before = threading.active_count()
    server.token()
    assert (server.asked, threading.active_count()) == (0, before)


def test_a_token_is_fetched_by_a_thread_of_its_own_and_kept() -> None:
    server = Server()
    token = server.token()
    assert [get(token) for _ in range(3)] == ["t0"] * 3
    assert server.asked == 1
    assert server.threads == {"google-token"}


def test_the_check_at_the_start_needs_no_thread() -> None:
    server = Server()
    token = server.token(optional=False)
    token.check()
    assert server.threads == {threading.current_thread().name}
    assert get(token) == "t0"
    assert server.asked == 1


def test_sixty_four_at_once_cause_one_fetch() -> None:
    server = Server()
    server.held.clear()
    token = server.token()
    threading.Timer(0.05, server.held.set).start()
    with ThreadPoolExecutor(64) as pool:
        assert set(pool.map(lambda _: token.get(soon(), fresh=False), range(64))) == {"t0"}
    assert server.asked == 1


@pytest.mark.parametrize("part", [0.5, 0.65, 0.8])
def test_a_token_is_replaced_at_a_drawn_part_of_its_life_while_the_old_one_is_shown(part: float) -> None:
    def draw(low: float, high: float) -> float:
        assert (low, high) == (0.5, 0.8)
        return part

    server = Server()
    token = server.token(at=draw)
    get(token)
    server.now = part * LIFE - 1
    assert (get(token), server.asked) == ("t0", 1)
    server.now = part * LIFE
    server.held.clear()
    began = time.monotonic()
    assert [token.get(soon(), fresh=False) for _ in range(8)] == ["t0"] * 8  # nobody waits for the new one
    assert time.monotonic() - began < 1
    server.held.set()
    settled(token)
    assert (get(token), server.asked) == ("t1", 2)


def test_a_token_that_cannot_be_renewed_is_shown_until_its_end() -> None:
    server = Server()
    token = server.token()
    get(token)
    server.failure = DEAD
    for server.now in (LIFE / 2, LIFE - MARGIN_SECONDS - 1):
        assert get(token) == "t0"
    server.now = LIFE - MARGIN_SECONDS
    with pytest.raises(UnavailableError, match="nothing answered in time"):
        get(token)


def test_a_token_with_a_short_life_is_used_for_half_of_it() -> None:
    server = Server(life=12)
    token = server.token(at=lambda _, high: high)
    get(token)
    server.now = 5.9
    assert (get(token), server.asked) == ("t0", 1)
    server.now = 6
    assert (get(token), server.asked) == ("t1", 2)


def test_a_refused_token_is_replaced_at_once_and_then_every_ten_seconds() -> None:
    server = Server()
    token = server.token()
    get(token)
    server.now = REFUSED_SECONDS
    assert get(token, fresh=True) == "t1"
    assert [get(token, fresh=True) for _ in range(3)] == ["t1"] * 3
    assert server.asked == 2
    server.now += REFUSED_SECONDS
    assert get(token, fresh=True) == "t2"


def test_whoever_is_refused_gets_the_old_token_when_no_new_one_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "WAIT_SECONDS", 0.05)
    server = Server()
    token = server.token()
    get(token)
    server.now = REFUSED_SECONDS
    server.held.clear()
    assert token.get(soon(), fresh=True) == "t0"
    server.held.set()
    settled(token)


def test_a_server_that_does_not_answer_is_waited_for_three_seconds_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    assert background.WAIT_SECONDS == 3
    monkeypatch.setattr(background, "WAIT_SECONDS", 0.05)
    server = Server()
    server.held.clear()
    token = server.token()
    with pytest.raises(UnavailableError, match="no access token came from the server within") as caught:
        token.get(soon(), fresh=False)
    assert (caught.value.reason, caught.value.outage) == (Reason.REGISTRY_UNAUTHORIZED, False)
    server.held.set()
    settled(token)
    assert get(token) == "t0"  # the thread had gone on


def test_nobody_waits_beyond_their_deadline() -> None:
    server = Server()
    server.held.clear()
    token = server.token()
    began = time.monotonic()
    with pytest.raises(UnavailableError):
        token.get(soon(0.05), fresh=False)
    assert time.monotonic() - began < 1
    server.held.set()
    settled(token)


def test_a_dead_server_is_told_of_in_a_sentence_that_is_no_outage() -> None:
    server = Server()
    server.failure = DEAD
    token = server.token()
    with pytest.raises(UnavailableError, match="no access token of Google: nothing answered in time") as caught:
        get(token)
    # Whoever can stop a metadata server must not be able to make a gate with onUnavailable: allow open.
    assert (caught.value.reason, caught.value.outage) == (Reason.REGISTRY_UNAUTHORIZED, False)


def test_a_dead_server_is_asked_again_after_five_seconds_then_ten_and_at_most_every_minute() -> None:
    server = Server()
    server.failure = DEAD
    token = server.token()
    times = []
    for server.now in range(400):
        with pytest.raises(UnavailableError):
            get(token)
        if server.asked > len(times):
            times.append(server.now)
    assert times == [0, 5, 15, 35, 75, 135, 195, 255, 315, 375]
    server.failure = None
    server.now = 500
    assert get(token) is not None


def test_an_optional_server_that_is_absent_is_nothing_and_nobody_waits_for_another_look() -> None:
    server = Server()
    server.failure = ABSENT
    token = server.token()
    assert get(token) is None
    server.now = RECHECK_SECONDS[0]
    server.held.clear()
    began = time.monotonic()
    assert token.get(soon(), fresh=False) is None
    assert time.monotonic() - began < 1
    server.held.set()
    settled(token)
    assert server.asked == 2


def test_what_is_absent_is_looked_for_ever_more_rarely() -> None:
    server = Server()
    server.failure = ABSENT
    token = server.token()
    for server.now in range(3600):
        assert get(token) is None
    assert server.asked == 17  # 0, 5, 15, 35, 75, 155, 315, then every 300 s


def test_a_server_that_appears_late_is_used() -> None:
    server = Server()
    server.failure = ABSENT
    token = server.token()
    get(token)
    server.failure = None
    server.now = RECHECK_SECONDS[0]
    get(token)
    assert get(token) == "t1"


def test_a_server_that_was_there_is_never_silently_absent() -> None:
    server = Server()
    token = server.token()
    get(token)
    server.failure = ABSENT
    server.now = LIFE
    with pytest.raises(UnavailableError, match="there is no metadata server"):
        get(token)


def test_a_required_server_that_is_absent_stops_the_start_and_is_an_error_afterwards() -> None:
    server = Server()
    server.failure = ABSENT
    with pytest.raises(ConfigError, match="there is no metadata server"):
        server.token(optional=False).check()
    with pytest.raises(UnavailableError, match="there is no metadata server"):
        get(server.token(optional=False))


def test_a_bug_in_the_thread_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    server = Server()
    server.failure = RuntimeError("a bug")
    token = server.token()
    with pytest.raises(UnavailableError, match="has ended"):
        get(token)
    for thread in threading.enumerate():
        if thread.name == "google-token":
            thread.join(5)
    assert len(told) == 1


def test_tokens_are_never_printed() -> None:
    assert "sesame" not in repr(Fetched("sesame", 1))
