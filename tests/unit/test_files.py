"""Files of an operator: what is read, how much of it, and what nobody waits for."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gate.core.errors import ConfigError
from gate.files import mark, read_bounded, read_marked, read_start
from gate.registry.reread import file_reader

LIMIT = 200_000  # bytes; more than a pipe holds at once, so that it is read in several parts


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_bounded(path, LIMIT, "the policy")
    return caught.value.message


@pytest.mark.parametrize("size", [0, 1, LIMIT])
def test_a_file_is_read_whole_with_the_mark_of_what_was_read(size: int, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_bytes(b"x" * size)
    assert read_marked(path, LIMIT, "the policy") == (b"x" * size, mark(path))


def test_a_file_above_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_bytes(b"x" * (LIMIT + 1))
    assert refusal(path) == f'the policy "{path}" has more than {LIMIT} bytes'


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("pipe", "it is not a regular file"),
        ("device", "it is not a regular file"),
        ("directory", "Is a directory"),
    ],
)
def test_what_is_not_a_file_is_refused_at_once(kind: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    assert refusal(path) == f'the policy "{path}" cannot be read: {why}'
    with pytest.raises(ConfigError, match=rf"the token .* cannot be read: {why}"):
        file_reader(path, "the token", LIMIT)()


def test_a_pipe_whose_writer_writes_nothing_is_not_waited_for_either(tmp_path: Path) -> None:
    path = tmp_path / "x"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)
    try:
        assert refusal(path).endswith("it is not a regular file")
    finally:
        os.close(writer)


@pytest.mark.parametrize("size", [0, LIMIT])
def test_what_a_shell_puts_in_place_of_a_file_is_read_to_its_end(size: int) -> None:
    reader, writer = os.pipe()
    filling = threading.Thread(target=fill, args=(writer, size))
    filling.start()
    try:
        assert read_bounded(Path(f"/dev/fd/{reader}"), LIMIT, "the policy") == b"x" * size
    finally:
        os.close(reader)
        filling.join()


def fill(writer: int, size: int) -> None:
    with os.fdopen(writer, "wb") as file:
        file.write(b"x" * size)


def test_standard_input_is_a_file_by_its_name() -> None:
    code = "from pathlib import Path; from gate.files import *; print(read_bounded(Path('/dev/stdin'), 9, 'x'))"
    done = subprocess.run([sys.executable, "-c", code], input=b"policy", capture_output=True, timeout=20, check=True)
    assert done.stdout == b"b'policy'\n"


def test_a_writer_that_says_nothing_is_waited_for_only_so_long() -> None:
    reader, writer = os.pipe()
    try:
        with pytest.raises(OSError, match=r"nothing came for 0\.05 seconds"):
            read_start(Path(f"/dev/fd/{reader}"), LIMIT, silence=0.05)
    finally:
        os.close(reader)
        os.close(writer)


def test_what_was_handed_over_above_the_limit_is_refused() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"x" * 10)
    try:
        with pytest.raises(ConfigError, match="has more than 9 bytes"):
            read_bounded(Path(f"/dev/fd/{reader}"), 9, "the policy")
    finally:
        os.close(reader)
        os.close(writer)
