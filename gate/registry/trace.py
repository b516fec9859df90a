"""What went over the wire, for whoever looks for a fault in the access to a registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from gate.core.errors import UnavailableError


@dataclass(frozen=True, slots=True)
class Trace:
    """One request: what was asked, how long it took, and the answer or the error. Nothing in it is secret.

    ``url`` has no query, because the targets of redirects carry signatures there. ``status`` is None where there was no
    answer, ``size`` is the number of bytes of the body that were read.
    """

    method: str
    url: str
    with_credentials: bool
    seconds: float
    status: int | None = None
    size: int = 0
    error: UnavailableError | None = None


Observe: TypeAlias = Callable[[Trace], None]  # called by the thread that asked, so by several at once
