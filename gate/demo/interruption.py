"""Signals that end the demo, as one exception that never comes at a bad moment."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """A signal asked for the end; like KeyboardInterrupt it is no error, and no ``except Exception`` may eat it."""

    def __init__(self, number: int) -> None:
        """Keep which signal it was."""
        super().__init__(number)
        self.number = number


@dataclass(slots=True)
class Interruption:
    """The first signal raises Stopped in the main thread; later ones are ignored, so that clearing up is left alone."""

    _held: bool = False
    _pending: int | None = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Raise Stopped out of this block when a signal comes; only in the main thread."""
        before = {number: signal.signal(number, self._receive) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep a signal waiting until this block ends, so that what it starts is on record before Stopped is raised."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._pending is not None:
            raise Stopped(self._pending)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        if self._held:
            self._pending = number
        else:
            raise Stopped(number)
