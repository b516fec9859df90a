"""The time of day and the dice of a process: nothing else reads them."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime

from gate.core.deadline import Deadline
from gate.registry.exchange import Patience
from gate.registry.google import Clocks
from gate.registry.registries import Surroundings
from gate.trust.publicgood import Times


def now() -> datetime:
    """Return the time of day, aware, in UTC."""
    return datetime.now(UTC)


def deadline(seconds: float) -> Deadline:
    """Return the deadline that is ``seconds`` from now."""
    return Deadline.after(seconds, time.monotonic)


def clocks() -> Clocks:
    """Return what tells time to who asks Google."""
    return Clocks(time.monotonic, now, random.SystemRandom().uniform)


def surroundings() -> Surroundings:
    """Return what tells time to who asks registries."""
    return Surroundings(time.monotonic, Patience(time.sleep, random.SystemRandom().uniform))


def times() -> Times:
    """Return what tells time to who asks for a trust root."""
    return Times(time.monotonic, now, random.SystemRandom().uniform)
