"""Files below one directory: never outside of it, never more than asked for, never waiting."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gate.core.errors import ConfigError, UnavailableError
from gate.core.reasons import Reason
from gate.registry.folder import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "root" / "a").mkdir(parents=True)
    (tmp_path / "root" / "a" / "file").write_bytes(b"0123456789")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "file").write_bytes(b"somebody's")
    return Folder(tmp_path / "root")


def refusal(folder: Folder, *parts: str, limit: int = 100) -> UnavailableError:
    with pytest.raises(UnavailableError) as caught:
        folder.read(*parts, limit=limit)
    assert not caught.value.outage
    assert "somebody's" not in caught.value.message
    return caught.value


def test_a_file_is_read_whole_or_from_its_beginning(folder: Folder) -> None:
    assert folder.read("a", "file", limit=10) == b"0123456789"
    assert folder.head("a", "file", most=3) == b"012"


def test_a_file_that_is_too_long_is_not_read(folder: Folder) -> None:
    assert refusal(folder, "a", "file", limit=9).reason is Reason.LIMIT


@pytest.mark.parametrize("parts", [("none",), ("a", "none"), ("none", "file")])
def test_what_is_not_there_is_none(folder: Folder, parts: tuple[str, ...]) -> None:
    assert folder.read(*parts, limit=1) is None


def test_a_link_to_a_file_is_refused(folder: Folder) -> None:
    (folder.path / "link").symlink_to("../secret/file")
    assert refusal(folder, "link").reason is Reason.LAYOUT_ERROR


def test_a_link_within_the_directory_is_refused_as_well(folder: Folder) -> None:
    (folder.path / "link").symlink_to("a/file")
    assert refusal(folder, "link").reason is Reason.LAYOUT_ERROR


def test_a_link_to_a_directory_is_not_entered(folder: Folder) -> None:
    (folder.path / "link").symlink_to("../secret")
    assert refusal(folder, "link", "file").reason is Reason.LAYOUT_ERROR
    with pytest.raises(UnavailableError):
        folder.files("link", most=10)


def test_a_dangling_link_is_not_taken_for_nothing(folder: Folder) -> None:
    (folder.path / "link").symlink_to("gone")
    assert refusal(folder, "link").reason is Reason.LAYOUT_ERROR


def test_the_directory_itself_may_be_a_link_because_its_user_named_it(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to("root")
    assert Folder(tmp_path / "current").read("a", "file", limit=10) == b"0123456789"


def test_a_pipe_is_refused_without_waiting_for_a_writer(folder: Folder) -> None:
    os.mkfifo(folder.path / "pipe")
    assert "not a regular file" in refusal(folder, "pipe").message


def test_a_directory_is_not_read_as_a_file(folder: Folder) -> None:
    assert refusal(folder, "a").reason is Reason.LAYOUT_ERROR


def test_a_file_is_not_entered_as_a_directory(folder: Folder) -> None:
    assert refusal(folder, "a", "file", "x").reason is Reason.LAYOUT_ERROR


def test_files_come_in_the_order_of_their_size_and_are_regular(folder: Folder) -> None:
    (folder.path / "a" / "small").write_bytes(b"1")
    (folder.path / "a" / "link").symlink_to("file")
    (folder.path / "a" / "below").mkdir()
    assert [(each.name, each.size) for each in folder.files("a", most=10)] == [("small", 1), ("file", 10)]


def test_a_directory_that_is_not_there_has_no_files(folder: Folder) -> None:
    assert folder.files("b", most=10) == ()


def test_more_files_than_are_looked_at_are_a_limit(folder: Folder) -> None:
    (folder.path / "a" / "second").write_bytes(b"")
    with pytest.raises(UnavailableError) as caught:
        folder.files("a", most=1)
    assert caught.value.reason is Reason.LIMIT


@pytest.mark.parametrize(
    ("name", "why"), [("gone", "No such file"), ("root/a/file", "not a directory"), ("a\0b", "not the name")]
)
def test_what_is_no_directory_is_a_mistake_of_whoever_named_it(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "root" / "a").mkdir(parents=True)
    (tmp_path / "root" / "a" / "file").touch()
    with pytest.raises(ConfigError, match=why):
        Folder(tmp_path / name).require()
