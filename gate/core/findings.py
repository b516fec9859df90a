"""Findings about a policy: values, and how they are told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

Path: TypeAlias = "tuple[str | int, ...]"


class Severity(Enum):
    """An error is written down and does nothing, or can never hold; a warning works, and may be more than is wanted."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at: ``path`` leads to it from the top of the file, by names and by numbers in lists."""

    severity: Severity
    path: Path
    message: str

    @property
    def where(self) -> str:
        """The path as messages have it: ``rules[0].match.images``."""
        parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)
        return "".join(parts).removeprefix(".")


def error(path: Path, message: str) -> Finding:
    """Return an error."""
    return Finding(Severity.ERROR, path, message)


def warning(path: Path, message: str) -> Finding:
    """Return a warning."""
    return Finding(Severity.WARNING, path, message)
