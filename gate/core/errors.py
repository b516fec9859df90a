"""The one tree of errors; anything else that is raised is a bug.

::

    GateError
    ├── ConfigError        a setting, key or policy is wrong: the operator must act
    ├── MalformedError     complete bytes that are not what they should be
    ├── UntrustedError     a well-formed signature that is not good for what was asked
    └── UnavailableError   could not be read, so nothing is known

Messages are one sentence, deterministic, and safe to show to the person who is denied.
"""

from __future__ import annotations

from gate.core.reasons import Reason


class GateError(Exception):
    """Base of everything that gate raises on purpose."""

    def __init__(self, message: str) -> None:
        """Keep one sentence for people."""
        super().__init__(message)
        self.message = message


class ConfigError(GateError):
    """A setting, key or policy is wrong: what, where and what was expected."""


class MalformedError(GateError):
    """Complete bytes do not parse as what they should be."""

    reason = Reason.MALFORMED


class UntrustedError(GateError):
    """One candidate signature is not good for what was asked; ``reason`` is from the candidate part of the list."""

    def __init__(self, reason: Reason, message: str) -> None:
        """Keep why the candidate is refused."""
        super().__init__(message)
        self.reason = reason


class UnavailableError(GateError):
    """Something that was asked for could not be read, so nothing can be concluded from its absence.

    ``outage`` is true only for connection failures, timeouts, 429 and 5xx: the cases that a rule's
    ``onUnavailable: allow`` may cover.
    """

    def __init__(self, reason: Reason, message: str, *, outage: bool = False) -> None:
        """Keep what kept gate from reading, and whether it is an outage."""
        super().__init__(message)
        self.reason = reason
        self.outage = outage
