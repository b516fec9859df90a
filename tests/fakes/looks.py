"""A clock that stands still until it was looked at often enough: time runs out exactly where a test says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Looks:
    """Seconds, monotonic: 0 for the first ``before`` looks, 9 from then on. ``count`` is how many looks there were."""

    before: float = float("inf")
    count: int = 0

    def __call__(self) -> float:
        self.count += 1
        return 9.0 if self.count > self.before else 0.0
