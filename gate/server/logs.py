"""Logs: one JSON object a line on stderr."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TextIO

# What logging puts on every record of its own accord; everything else was handed in as ``extra``.
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_ENCODER = json.JSONEncoder(ensure_ascii=True, default=str)


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON: time, level, logger, event, and whatever ``extra`` holds."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line. Text from outside is inside JSON strings, so it cannot begin a line of its own."""
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        entry.update({name: value for name, value in record.__dict__.items() if name not in _STANDARD})
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return _ENCODER.encode(entry)


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes each record as one line; the lock that keeps lines whole is held for the writing alone."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Format the record, then write it: reviews that are answered at the same time format at the same time."""
        if not self.filter(record):
            return False
        try:
            line = self.format(record) + self.terminator
            with self.lock or nullcontext():
                self.stream.write(line)
                self.stream.flush()
        except Exception:  # noqa: BLE001 (as every handler does: what cannot be logged stops nobody)
            self.handleError(record)
        return True


def configure(level: str, stream: TextIO | None = None) -> None:
    """Send every logger's records of ``level`` and above to ``stream`` (stderr when None), a JSON object a line."""
    # Nothing of these is in a line, so nobody needs to find them out (Python's logging HOWTO, "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = LineHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for library in ("urllib3", "oras", "oras.logger", "kubernetes", "google", "sigstore", "tuf"):
        # Libraries write URLs and bodies of strangers at lower levels.
        logging.getLogger(library).setLevel(logging.CRITICAL)
