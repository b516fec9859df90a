"""Which of Sigstore's trust roots is in force: the shipped one, one that was kept, or what the repository says now."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from gate.core.authorities import SecondOpinion
from gate.core.deadline import Deadline
from gate.core.errors import ConfigError, MalformedError, UnavailableError
from gate.core.reasons import Reason
from gate.core.trust import TrustedRoot, Window, parse_trusted_root
from gate.trust.publicgood import (
    REFRESH_SECONDS,
    STAGING_URL,
    URL,
    PublicGood,
    Shipped,
    Stored,
    Times,
    newest,
    read_shipped,
    takes_back,
)
from tests.fakes.roots import agrees
from tests.fakes.sigstore.box import NOW, Sigstore

BOX = Sigstore.create()
OTHER = Sigstore.create(name="other")
SHIPPED = BOX.trusted_root()
# What Sigstore does when it adds a log: everything stays, and there is one more.
LATER = BOX.trusted_root(logs=[BOX.rekor, BOX.rekor2, OTHER.rekor])
EARLIER = BOX.trusted_root(logs=[BOX.rekor])
UNREACHABLE = UnavailableError(Reason.TRUST_ROOT, "nobody answers")


@dataclass
class Repository:
    """A TUF repository that answers what a test says, and what was kept of it."""

    kept: Stored | None = None
    answers: list[Stored | Exception] = field(default_factory=list)
    asked: int = 0
    patience: list[float] = field(default_factory=list)
    answering: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.answering.set()

    def refresh(self, deadline: Deadline) -> Stored:
        self.asked += 1
        self.patience.append(deadline.remaining())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        assert self.answering.wait(5)
        if not isinstance(answer, Stored):
            raise answer
        return answer

    def stored(self) -> Stored | None:
        return self.kept


@dataclass
class Setup:
    repository: Repository = field(default_factory=Repository)
    unusable: set[bytes] = field(default_factory=set)  # trust roots that the library cannot use
    clock: float = 1000.0
    now: datetime = NOW
    good: PublicGood = field(init=False)

    def __post_init__(self) -> None:
        times = Times(lambda: self.clock, lambda: self.now, lambda low, high: (low + high) / 2)
        self.good = PublicGood(self.repository, Shipped(SHIPPED, b"{}", "4.5.1"), self.second, times)

    def second(self, root: TrustedRoot) -> SecondOpinion:
        if root.source in self.unusable:
            raise ConfigError("the library cannot use it")
        return agrees

    def pass_time(self, seconds: float) -> None:
        self.clock += seconds
        self.now += timedelta(seconds=seconds)

    @property
    def source(self) -> bytes:
        return self.good.current().root.source


@pytest.fixture
def setup() -> Setup:
    return Setup()


def stored(raw: bytes, version: int = 7, ago: float = 0.0) -> Stored:
    return Stored(raw, version, NOW - timedelta(seconds=ago))


def said(setup: Setup, *answers: Stored | Exception) -> None:
    setup.repository.answers = list(answers)


def test_the_shipped_root_serves_before_anybody_was_asked(setup: Setup) -> None:
    assert setup.source == SHIPPED
    assert setup.repository.asked == 0


def test_the_release_and_the_newest_member_of_the_shipped_root_are_told(setup: Setup) -> None:
    setup.good.current()
    newest_day = f"{NOW - timedelta(days=30):%F}"
    expected = f"Sigstore's trust root is the one shipped with sigstore 4.5.1, with nothing after {newest_day}"
    assert setup.good.status() == expected


def test_what_the_repository_says_replaces_the_shipped_root(setup: Setup) -> None:
    before = setup.good.current()
    said(setup, stored(LATER))
    setup.good.refresh()
    assert setup.source == LATER
    assert setup.good.current() is not before


def test_a_fresh_answer_may_take_back_what_the_shipped_root_says(setup: Setup) -> None:
    setup.good.current()
    said(setup, stored(EARLIER))
    setup.good.refresh()
    assert setup.source == EARLIER  # signed and not expired: it may be a log or an authority that was compromised


def test_the_age_and_version_of_the_root_are_told(setup: Setup) -> None:
    said(setup, stored(LATER, version=12))
    setup.good.refresh()
    setup.pass_time(150)
    assert setup.good.status() == f"Sigstore's trust root is version 12 of {URL}, confirmed 2 minutes ago"


@pytest.mark.parametrize(
    ("seconds", "age"),
    [(-10, "0 seconds"), (119, "119 seconds"), (7199, "119 minutes"), (50_000, "13 hours"), (200_000, "2 days")],
)
def test_an_age_is_told_in_one_number(setup: Setup, seconds: float, age: str) -> None:
    said(setup, stored(LATER, ago=seconds))
    setup.good.refresh()
    assert setup.good.status().endswith(f", confirmed {age} ago")


UNKNOWN_AGE = "and when it was confirmed is not known, for its file's date does not agree with the clock"


@pytest.mark.parametrize(
    "confirmed", [None, NOW + timedelta(seconds=11), NOW + timedelta(days=10), NOW.replace(year=2446)]
)
def test_a_kept_root_with_a_date_that_cannot_be_true_serves_and_is_not_called_confirmed(
    setup: Setup, confirmed: datetime | None
) -> None:
    setup.repository.kept = Stored(LATER, 7, confirmed)
    assert setup.source == LATER
    assert setup.good.status() == f"Sigstore's trust root is version 7 of {URL}, {UNKNOWN_AGE}"


def test_a_root_whose_age_is_not_known_is_confirmed_by_a_refresh(setup: Setup) -> None:
    setup.repository.kept = Stored(LATER, 7, None)
    said(setup, stored(LATER))
    assert setup.good.fresh().root.source == LATER
    assert setup.good.status().endswith(", confirmed 0 seconds ago")


@pytest.mark.parametrize("error", [UNREACHABLE, MalformedError("it has expired"), ConfigError("cannot be written")])
def test_what_goes_wrong_changes_nothing_and_is_told(setup: Setup, error: UnavailableError) -> None:
    said(setup, stored(LATER), error)
    setup.good.refresh()
    before = setup.good.current()
    setup.good.refresh()
    assert setup.good.current() is before
    assert setup.good.status().endswith(f" ago; it was not refreshed: {error.message}")


def test_a_bug_in_asking_changes_nothing_and_is_told_and_logged(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    said(setup, stored(LATER), KeyError("keyid"))
    setup.good.refresh()
    before = setup.good.current()
    setup.good.refresh()
    assert setup.good.current() is before
    assert setup.good.status().endswith("it was not refreshed: a bug in gate or in its TUF client; see the log")
    assert "KeyError" in caplog.text


def test_what_went_wrong_is_forgotten_when_it_is_right_again(setup: Setup) -> None:
    said(setup, UNREACHABLE, stored(LATER))
    setup.good.refresh()
    setup.good.refresh()
    assert "not refreshed" not in setup.good.status()


def test_a_confirmation_of_the_same_root_replaces_nothing(setup: Setup) -> None:
    said(setup, stored(SHIPPED, version=3))
    before = setup.good.current()
    setup.good.refresh()
    assert setup.good.current() is before
    assert "version 3" in setup.good.status()


def test_a_lower_version_is_not_taken(setup: Setup) -> None:
    said(setup, stored(LATER, version=9), stored(SHIPPED, version=8))
    setup.good.refresh()
    setup.good.refresh()
    assert setup.source == LATER
    assert setup.good.status().endswith(f"it was not refreshed: {URL} names version 8 after 9")


@pytest.mark.parametrize("raw", [b"{}", b"", b"[]"])
def test_an_answer_that_is_no_trust_root_is_not_taken(setup: Setup, raw: bytes) -> None:
    said(setup, stored(raw))
    setup.good.refresh()
    assert setup.source == SHIPPED
    assert "it was not refreshed" in setup.good.status()


def test_a_root_that_the_library_cannot_use_is_not_taken(setup: Setup) -> None:
    setup.unusable.add(LATER)
    said(setup, stored(LATER))
    setup.good.refresh()
    assert setup.source == SHIPPED
    assert setup.good.status().endswith("it was not refreshed: the library cannot use it")


def test_what_was_kept_serves_before_anybody_was_asked(setup: Setup) -> None:
    setup.repository.kept = stored(LATER, version=5, ago=86400 * 40)
    assert setup.source == LATER
    assert setup.good.status() == f"Sigstore's trust root is version 5 of {URL}, confirmed 40 days ago"


def test_a_lower_version_than_what_was_kept_is_not_taken(setup: Setup) -> None:
    setup.repository.kept = stored(LATER, version=5)
    setup.good.current()
    said(setup, stored(SHIPPED, version=4))
    setup.good.refresh()
    assert setup.source == LATER


def test_what_was_kept_and_is_older_than_the_shipped_root_does_not_serve(setup: Setup) -> None:
    setup.repository.kept = stored(EARLIER)
    assert setup.source == SHIPPED
    said(setup, stored(LATER, version=1))
    setup.good.refresh()
    assert setup.source == LATER  # its version counts for nothing either


@pytest.mark.parametrize("raw", [b"{}", LATER])
def test_what_was_kept_and_cannot_be_used_does_not_serve(setup: Setup, raw: bytes) -> None:
    setup.unusable.add(LATER)
    setup.repository.kept = stored(raw)
    assert setup.source == SHIPPED


def test_a_shipped_root_that_cannot_be_used_is_an_error_of_configuration(setup: Setup) -> None:
    setup.unusable.add(SHIPPED)
    with pytest.raises(ConfigError):
        setup.good.current()


def ended(box: Sigstore) -> Sigstore:
    return replace(box, rekor=replace(box.rekor, window=Window(box.rekor.window.start, NOW)))


@pytest.mark.parametrize(
    ("root", "earlier", "answer"),
    [
        (BOX.trusted_root(), BOX.trusted_root(), False),
        (LATER, SHIPPED, False),
        (ended(BOX).trusted_root(), SHIPPED, False),
        (SHIPPED, ended(BOX).trusted_root(), True),
        (SHIPPED, LATER, True),
        (BOX.trusted_root(ct_logs=[OTHER.ct]), SHIPPED, True),
        (BOX.trusted_root(authorities=[OTHER.ca]), SHIPPED, True),
        (BOX.trusted_root(timestamp_authorities=[]), SHIPPED, True),
    ],
    ids=["same", "one-more", "one-ended", "one-open-again", "one-less", "other-ct-log", "other-authority", "no-tsa"],
)
def test_a_root_is_older_when_it_takes_something_back(root: bytes, earlier: bytes, answer: bool) -> None:
    assert takes_back(parse_trusted_root(root), parse_trusted_root(earlier)) is answer


def asked(setup: Setup) -> int:
    """Return how often the repository has been asked after a server looked whether that is due."""
    setup.good.keep_fresh()
    for thread in threading.enumerate():
        if thread.name == "trust-root":
            thread.join(5)
    return setup.repository.asked


def test_a_server_asks_at_once_and_then_every_hour(setup: Setup) -> None:
    said(setup, stored(LATER))
    assert (asked(setup), setup.source) == (1, LATER)
    setup.pass_time(REFRESH_SECONDS - 1)
    assert asked(setup) == 1
    setup.pass_time(1)
    assert asked(setup) == 2


def test_a_server_does_not_wait_for_the_answer(setup: Setup) -> None:
    said(setup, stored(LATER))
    setup.repository.answering.clear()
    setup.good.keep_fresh()
    assert setup.source == SHIPPED
    setup.repository.answering.set()
    assert asked(setup) == 1
    assert setup.source == LATER


def test_while_one_thread_asks_no_other_does(setup: Setup) -> None:
    said(setup, stored(LATER))
    setup.repository.answering.clear()
    for _ in range(3):
        setup.good.keep_fresh()
        setup.pass_time(10)
    assert setup.repository.asked == 1
    setup.repository.answering.set()


def test_after_a_failure_a_server_asks_again_sooner_and_then_less_and_less_often(setup: Setup) -> None:
    said(setup, UNREACHABLE)
    for number, seconds in enumerate([60, 120, 240, 480, 960, 1920, 3600, 3600], 1):
        assert asked(setup) == number
        setup.pass_time(seconds - 1)
        assert asked(setup) == number
        setup.pass_time(1)


def test_a_refresh_ends_after_half_a_minute(setup: Setup) -> None:
    said(setup, stored(LATER))
    setup.good.refresh()
    assert setup.repository.patience == [30.0]


def test_what_goes_wrong_is_logged_once(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    said(setup, UNREACHABLE)
    with caplog.at_level(logging.WARNING, "gate.trust"):
        for _ in range(3):
            setup.good.refresh()
    assert caplog.messages == ["Sigstore's trust root was not refreshed: nobody answers"]


def test_a_command_asks_before_it_answers(setup: Setup) -> None:
    said(setup, stored(LATER))
    assert setup.good.fresh().root.source == LATER


def test_a_command_does_not_ask_again_within_the_hour(setup: Setup) -> None:
    setup.repository.kept = stored(LATER, ago=REFRESH_SECONDS - 1)
    assert setup.good.fresh().root.source == LATER
    assert setup.repository.asked == 0


@pytest.mark.parametrize("ago", [REFRESH_SECONDS, -60])
def test_a_command_asks_when_what_was_kept_is_old_or_of_another_time(setup: Setup, ago: float) -> None:
    setup.repository.kept = stored(SHIPPED, ago=ago)
    said(setup, stored(LATER))
    assert setup.good.fresh().root.source == LATER


def test_a_command_goes_on_with_the_shipped_root_when_nobody_answers(setup: Setup) -> None:
    said(setup, UNREACHABLE)
    assert setup.good.fresh().root.source == SHIPPED


@pytest.mark.parametrize("url", [URL, STAGING_URL])
def test_the_installed_package_carries_a_root_that_can_be_used(url: str) -> None:
    shipped = read_shipped(url)
    assert newest(parse_trusted_root(shipped.trusted_root)) > datetime(2021, 1, 1, tzinfo=UTC)
    assert shipped.release.startswith("4.5.")
    assert b'"_type"' in shipped.tuf_root


def test_an_instance_that_the_package_does_not_carry_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"carries nothing of https://tuf\.example; install"):
        read_shipped("https://tuf.example")


def test_another_instance_is_another_root() -> None:
    assert read_shipped().trusted_root != read_shipped(STAGING_URL).trusted_root
