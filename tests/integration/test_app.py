"""gunicorn's options: the numbers that depend on one another."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask

from gate.core.errors import ConfigError
from gate.fronts.webhook import READ_AT_ONCE, REVIEW_SECONDS, REVIEWS_AT_ONCE
from gate.server.app import GRACEFUL_SECONDS, KEEPALIVE_SECONDS, THREADS, Server
from gate.server.tls import HANDSHAKE_SECONDS, REQUEST_SECONDS, SEND_SECONDS, ReloadingContext, load_context
from gate.settings import Settings

CONTROL_PLANE_IDLE_SECONDS = 90  # Go's http.Transport in the API server
KUBELET_PROBE_SECONDS = 5  # timeoutSeconds of the liveness probe


@pytest.fixture
def server() -> Server:
    settings = Settings.parse({"GATE_PORT": "4443"})
    return Server(Flask("x"), settings, ReloadingContext(settings.tls_cert, settings.tls_key))


def test_threads_are_left_for_health_checks_while_reviews_are_answered_or_stall() -> None:
    assert THREADS > REVIEWS_AT_ONCE >= 32
    assert THREADS >= 2 * READ_AT_ONCE


def test_an_idle_connection_is_closed_by_the_api_server_first() -> None:
    assert KEEPALIVE_SECONDS > CONTROL_PLANE_IDLE_SECONDS


def test_a_graceful_stop_outlasts_the_longest_review() -> None:
    assert GRACEFUL_SECONDS > REVIEW_SECONDS + REQUEST_SECONDS


def test_no_wait_for_a_client_is_longer_than_a_health_check_waits() -> None:
    assert max(HANDSHAKE_SECONDS, REQUEST_SECONDS, SEND_SECONDS) <= KUBELET_PROBE_SECONDS


def test_gunicorn_gets_one_process_with_threads_and_tls_and_no_files(server: Server) -> None:
    options = server.options()
    assert (options["worker_class"], options["workers"], options["threads"]) == ("gthread", 1, THREADS)
    assert options["bind"].endswith(":4443")
    assert options["control_socket_disable"]
    assert options["accesslog"] is None
    assert options["worker_tmp_dir"] == "/dev/shm"  # noqa: S108
    assert callable(options["ssl_context"])


@pytest.mark.parametrize(
    ("missing", "sentence"), [("tls.crt", "the serving certificate"), ("tls.key", "the serving key")]
)
def test_a_file_that_is_missing_is_named(tmp_path: Path, missing: str, sentence: str) -> None:
    for name in {"tls.crt", "tls.key"} - {missing}:
        (tmp_path / name).write_text("x")
    with pytest.raises(ConfigError, match=f'{sentence} ".*{missing}" does not exist'):
        load_context(tmp_path / "tls.crt", tmp_path / "tls.key")
