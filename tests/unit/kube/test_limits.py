"""How often what is said: the same once in five minutes, of one object a few things, of all of them not too many."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gate.kube.events import (
    BURST,
    NAME_CHARACTERS,
    OBJECT_BURST,
    OBJECT_SECONDS,
    REMEMBERED,
    REPEAT_SECONDS,
    SECONDS,
    Event,
    Limits,
)

EVENT = Event("RootSync", "config-management-system", "edge", "uid-1", "SyncDenied", "no signatures found")


def admitted(limits: Limits, events: list[Event], now: float = 0.0) -> int:
    return sum(admit(limits, event, now) for event in events)


def admit(limits: Limits, event: Event, now: float) -> bool:
    """Return whether the event is written, and count it if so."""
    allowed = limits.allow(event, now)
    if allowed:
        limits.count(event, now)
    return allowed


def test_the_same_is_said_again_only_after_a_while() -> None:
    limits = Limits()
    assert admit(limits, EVENT, 0.0)
    assert not admit(limits, EVENT, REPEAT_SECONDS - 0.1)
    assert admit(limits, EVENT, REPEAT_SECONDS)


@pytest.mark.parametrize("name", ["kind", "namespace", "name", "uid", "reason", "message"])
def test_what_differs_in_anything_is_not_the_same(name: str) -> None:
    other = replace(EVENT, **{name: "RepoSync" if name == "kind" else "other"})
    assert other.digest != EVENT.digest
    assert admitted(Limits(), [EVENT, other]) == 2


def test_the_parts_of_an_event_do_not_run_into_one_another() -> None:
    assert replace(EVENT, namespace="a", name="bc").digest != replace(EVENT, namespace="ab", name="c").digest


def test_one_object_is_said_a_few_things_about_at_once_and_then_one_a_minute() -> None:
    limits = Limits()
    changing = [replace(EVENT, message=str(number)) for number in range(20)]
    assert admitted(limits, changing) == OBJECT_BURST
    assert admitted(limits, changing[OBJECT_BURST:], OBJECT_SECONDS) == 1
    assert admit(limits, replace(EVENT, uid="uid-2"), OBJECT_SECONDS)


def test_all_objects_together_are_not_said_more_about_than_a_process_may() -> None:
    limits = Limits()
    objects = [replace(EVENT, uid=f"uid-{number}") for number in range(2 * BURST)]
    assert admitted(limits, objects) == BURST
    assert admitted(limits, objects[BURST:], 3 * SECONDS) == 3


def test_what_was_not_written_does_not_count_as_said() -> None:
    limits = Limits()
    admitted(limits, [replace(EVENT, uid=f"other-{number}") for number in range(BURST)])
    assert not admit(limits, EVENT, 0.0)
    assert admit(limits, EVENT, SECONDS)


def test_what_is_not_written_is_counted_nowhere() -> None:
    limits = Limits()
    admit(limits, EVENT, 0.0)
    for number in range(2 * REMEMBERED):
        assert limits.allow(replace(EVENT, uid=f"invented-{number}"), 0.0)
    assert admitted(limits, [replace(EVENT, uid=f"uid-{number}") for number in range(BURST)]) == BURST - 1
    assert not limits.allow(EVENT, 0.0)


@pytest.mark.parametrize("same", [True, False], ids=["of one object", "of all"])
def test_what_is_denied_leaves_the_use_of_an_exception_its_own_budget(same: bool) -> None:
    limits = Limits()
    denied = [replace(EVENT, uid="uid-1" if same else f"uid-{number}", message=str(number)) for number in range(100)]
    used = [replace(each, reason="ExceptionUsed") for each in denied]
    assert admitted(limits, denied) == admitted(limits, used) == (OBJECT_BURST if same else BURST)


def test_what_is_remembered_is_bounded() -> None:
    limits = Limits()
    for number in range(REMEMBERED + 10):
        assert admit(limits, replace(EVENT, uid=f"uid-{number}"), 1000.0 * number)
    assert len(limits._objects) == REMEMBERED
    assert len(limits._said) == REMEMBERED


def test_an_event_has_one_name_that_the_api_server_takes() -> None:
    long = replace(EVENT, name="a" * (NAME_CHARACTERS - 1) + "-" + "b" * 22)
    assert EVENT.own_name == replace(EVENT).own_name
    assert EVENT.own_name.startswith("edge.")
    assert len(long.own_name) <= 253
    assert "-." not in long.own_name
