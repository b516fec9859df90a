from __future__ import annotations

import signal

import pytest

from gate.demo.interruption import SIGNALS, Interruption, Stopped


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_raises_stopped_where_it_is_listened_to(number: signal.Signals) -> None:
    with pytest.raises(Stopped) as stopped, Interruption().listening():
        signal.raise_signal(number)
    assert stopped.value.number == number


def test_a_second_signal_does_not_interrupt_the_clearing_up() -> None:
    cleared = []

    def play() -> None:
        with Interruption().listening():
            try:
                signal.raise_signal(signal.SIGTERM)
            finally:
                signal.raise_signal(signal.SIGINT)
                cleared.append(True)

    with pytest.raises(Stopped):
        play()
    assert cleared


def test_a_signal_waits_until_what_is_held_has_ended() -> None:
    interruption, steps = Interruption(), []

    def play() -> None:
        with interruption.listening():
            with interruption.held():
                signal.raise_signal(signal.SIGTERM)
                steps.append("started")
            steps.append("not reached")

    with pytest.raises(Stopped):
        play()
    assert steps == ["started"]


def test_the_callers_handlers_come_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(Stopped), Interruption().listening():
        signal.raise_signal(signal.SIGTERM)
    assert [signal.getsignal(number) for number in SIGNALS] == before
