"""Logs: one JSON object a line, whatever was logged."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from gate.server.logs import LineHandler, configure


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    try:
        configure("info", stream)
        yield stream
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def test_a_record_is_one_line_of_json_with_its_extra_fields(stream: io.StringIO) -> None:
    logging.getLogger("gate.decision").info("decision", extra={"decision": {"uid": "a\nb", "allowed": False}})
    (line,) = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert (entry["event"], entry["level"], entry["logger"]) == ("decision", "info", "gate.decision")
    assert entry["decision"] == {"uid": "a\nb", "allowed": False}
    assert entry["time"].endswith("+00:00")


def test_text_from_outside_cannot_begin_a_line_of_its_own(stream: io.StringIO) -> None:
    logging.getLogger("x").warning('a\r\n{"event": "forged"}\u2028\x1b[31m')
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().isascii()


def test_a_traceback_is_part_of_the_line(stream: io.StringIO) -> None:
    try:
        int("why")
    except ValueError:
        logging.getLogger("x").exception("failed", extra={"bug": "0a1b"})
    entry = json.loads(stream.getvalue())
    assert entry["bug"] == "0a1b"
    assert "ValueError: invalid literal" in entry["traceback"]


def test_lines_of_many_threads_stay_whole(stream: io.StringIO) -> None:
    with ThreadPoolExecutor(8) as threads:
        for number in range(400):
            threads.submit(logging.getLogger("x").info, "line", extra={"number": number, "long": "y" * 2000})
    assert {json.loads(line)["number"] for line in stream.getvalue().splitlines()} == set(range(400))


def test_a_filter_of_the_handler_keeps_a_record_out(stream: io.StringIO) -> None:
    handler = next(each for each in logging.getLogger().handlers if isinstance(each, LineHandler))
    handler.addFilter(lambda record: record.name != "secret")
    logging.getLogger("secret").warning("hidden")
    assert stream.getvalue() == ""


def test_a_record_that_cannot_be_written_stops_nobody(stream: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    stream.close()
    logging.getLogger("x").warning("lost")
    assert "--- Logging error ---" in capsys.readouterr().err


def test_what_cannot_be_json_is_written_as_text(stream: io.StringIO) -> None:
    logging.getLogger("x").info("e", extra={"thing": object()})
    assert json.loads(stream.getvalue())["thing"].startswith("<object")


def test_debug_is_left_out_and_libraries_that_write_urls_are_silent(stream: io.StringIO) -> None:
    logging.getLogger("gate").debug("quiet")
    logging.getLogger("urllib3.connectionpool").error("https://x.example/?token=secret")
    logging.getLogger("oras.logger").error("secret")
    assert stream.getvalue() == ""
