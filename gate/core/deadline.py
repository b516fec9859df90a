"""One deadline for everything that a question waits for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from gate.core.errors import UnavailableError
from gate.core.reasons import Reason


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point in time, in seconds, on a monotonic clock that the caller hands in."""

    at: float
    clock: Callable[[], float]

    @classmethod
    def after(cls, seconds: float, clock: Callable[[], float]) -> Self:
        """Return the deadline that is ``seconds`` from now on ``clock``."""
        return cls(clock() + seconds, clock)

    def passed(self, seconds: float = 0) -> bool:
        """Return whether the deadline lies ``seconds`` or more in the past."""
        return self.clock() - self.at >= seconds

    def remaining(self) -> float:
        """Return the seconds that are left (more than 0), or raise UnavailableError (deadline, an outage)."""
        left = self.at - self.clock()
        if left <= 0:
            raise UnavailableError(Reason.DEADLINE, "the deadline passed before the registry had answered", outage=True)
        return left
