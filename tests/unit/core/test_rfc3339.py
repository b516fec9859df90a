"""Points in time as text: what is read, what is refused, and how it is written."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.core.errors import MalformedError
from gate.core.quote import quote
from gate.core.rfc3339 import format_instant, parse_instant

NOON = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-12-01T12:00:00Z", NOON),
        ("2026-12-01t12:00:00z", NOON),
        ("2026-12-01T14:30:00+02:30", NOON),
        ("2026-12-01T11:00:00-01:00", NOON),
        ("2026-12-01T12:00:00.5Z", NOON + timedelta(milliseconds=500)),
        ("2026-12-01T12:00:00.123456Z", NOON + timedelta(microseconds=123456)),
        ("2026-12-01T12:00:00.123456999Z", NOON + timedelta(microseconds=123456)),
        ("2026-12-01T12:00:00.000000001+00:00", NOON),
    ],
)
def test_an_instant_is_read_in_utc_to_the_microsecond(text: str, instant: datetime) -> None:
    assert parse_instant(text) == instant
    assert parse_instant(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-12-01",
        "2026-12-01T12:00:00",
        "2026-12-01 12:00:00Z",
        "2026-12-01T12:00Z",
        "2026-12-01T12:00:00.Z",
        "2026-12-01T12:00:00.1234567890Z",
        "2026-12-01T12:00:00+0100",
        "2026-12-01T12:00:00Z ",
        "2026-12-01T12:00:00Z\n",
        "\u0662026-12-01T12:00:00Z",
        "26-12-01T12:00:00Z",
    ],
)
def test_what_is_not_of_the_form_is_refused(text: str) -> None:
    with pytest.raises(MalformedError) as caught:
        parse_instant(text)
    form = "is not a time of the form 2026-12-01T00:00:00Z (RFC 3339, with a zone)"
    assert caught.value.message == f"{quote(text)} {form}"


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-29T12:00:00Z",
        "2026-13-01T12:00:00Z",
        "2026-12-01T25:00:00Z",
        "2026-12-01T12:00:60Z",
        "2026-12-01T12:00:00+25:00",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "0000-01-01T00:00:00Z",
    ],
)
def test_what_no_calendar_has_is_refused(text: str) -> None:
    with pytest.raises(MalformedError) as caught:
        parse_instant(text)
    assert caught.value.message == f"{quote(text)} is not a time that exists"


def test_an_instant_is_written_in_utc_to_the_second() -> None:
    assert format_instant(NOON + timedelta(microseconds=999_999)) == "2026-12-01T12:00:00Z"
    assert format_instant(NOON.astimezone(timezone(timedelta(hours=-5)))) == "2026-12-01T12:00:00Z"


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose own time is five hours behind UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "XXX+5")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("elsewhere")
def test_the_time_zone_of_the_machine_changes_nothing() -> None:
    assert NOON.astimezone().utcoffset() == timedelta(hours=-5)
    assert format_instant(NOON) == "2026-12-01T12:00:00Z"
    assert parse_instant("2026-12-01T14:00:00+02:00").tzinfo is UTC


@given(st.datetimes(timezones=st.just(UTC)))
def test_what_is_written_is_read_again(at: datetime) -> None:
    assert parse_instant(format_instant(at)) == at.replace(microsecond=0)
