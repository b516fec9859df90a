"""Where the real tools are. ``make tools`` puts them into ``.tools/bin`` of the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
SHARED = CHECKOUT.parent / "shared"
BIN = CHECKOUT / ".tools" / "bin"


def tool(name: str) -> Path:
    """Return the program ``name``; without it the test is skipped, and in CI it fails."""
    named = os.environ.get("GATE_TOOL_" + name.upper().replace("-", "_"))
    program = Path(named) if named else BIN / name
    if not os.access(program, os.X_OK):
        missing(f"{name} is not there; run make tools")
    return program


def missing(what: str) -> None:
    """Skip the test because of ``what``, or fail it where env CI is true: there nothing may be left out unseen."""
    if os.environ.get("CI") == "true":
        pytest.fail(what, pytrace=False)
    pytest.skip(what)
