"""One deadline on a monotonic clock."""

from __future__ import annotations

import pytest

from gate.core.deadline import Deadline
from gate.core.errors import UnavailableError
from gate.core.reasons import Reason


def test_a_deadline_has_passed_from_the_moment_on_or_from_so_many_seconds_later() -> None:
    time = [107.9]
    deadline = Deadline(108.0, lambda: time[0])
    assert not deadline.passed()
    time[0] = 108.0
    assert deadline.passed()
    assert not deadline.passed(0.5)
    time[0] = 108.5
    assert deadline.passed(0.5)


def test_what_remains_shrinks_as_the_clock_moves() -> None:
    time = [100.0]
    deadline = Deadline.after(8.0, lambda: time[0])
    assert deadline.remaining() == 8.0
    time[0] = 107.5
    assert deadline.remaining() == 0.5


@pytest.mark.parametrize("now", [108.0, 108.1, 1e9])
def test_a_deadline_that_is_reached_is_an_outage_not_a_wait_of_zero(now: float) -> None:
    time = [100.0]
    deadline = Deadline.after(8.0, lambda: time[0])
    time[0] = now
    with pytest.raises(UnavailableError) as caught:
        deadline.remaining()
    assert caught.value.reason is Reason.DEADLINE
    assert caught.value.outage
