"""Recordings that lie beside the checkout; where they are absent a test is skipped, but in CI it fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parents[2].parent / "shared" / "fixtures"


def shared_fixture(name: str) -> Path:
    path = FIXTURES / name
    if not path.exists():
        missing = f"../shared/fixtures/{name} is not beside the checkout"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return path
