"""Unit tests open no sockets."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_sockets(socket_disabled: None) -> None:
    """Bar sockets in every unit test; what needs loopback is an integration test."""
