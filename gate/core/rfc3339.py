"""Points in time as text, RFC 3339."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from gate.core.errors import MalformedError
from gate.core.quote import quote

# RFC 3339 section 5.6, date-time; the zone is not optional.
_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)


def parse_instant(text: str) -> datetime:
    """Return the point in time (aware, in UTC, to the microsecond), or raise MalformedError.

    A leap second is refused: nothing that gate reads names one.
    """
    if _DATE_TIME.fullmatch(text) is None:
        raise MalformedError(f"{quote(text)} is not a time of the form 2026-12-01T00:00:00Z (RFC 3339, with a zone)")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise MalformedError(f"{quote(text)} is not a time that exists") from error


def format_instant(at: datetime) -> str:
    """Return the point in time in UTC, to the second."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
