"""Resident memory of a process and its children, each shared page counted once; Linux alone tells."""

from __future__ import annotations

import re
from pathlib import Path

_KIB = 1024
_MIB = 1024 * 1024
_PROPORTIONAL = re.compile(r"^Pss:\s+(\d+) kB$", re.MULTILINE)


def resident_mebibytes(process: int) -> float | None:
    """Return the memory of ``process`` and everything it started in MiB, or None where it cannot be told."""
    try:
        total = sum(_proportional(each) for each in _family(process))
    except OSError:
        return None
    return total / _MIB


def _family(process: int) -> list[int]:
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [process, *(each for child in children for each in _family(int(child)))]


def _proportional(process: int) -> int:
    found = _PROPORTIONAL.search(Path(f"/proc/{process}/smaps_rollup").read_text())
    return 0 if found is None else int(found[1]) * _KIB
