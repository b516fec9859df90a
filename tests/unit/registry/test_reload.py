"""The registries file while gate runs: what counts as a change, and what a mistake does."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gate.core.errors import ConfigError
from gate.registry.entries import RegistryEntry
from gate.registry.reload import LOOK_SECONDS, RegistriesFile, read_registries

FIRST, SECOND, WRONG = "- host: a.example\n", "- host: b.example\n", "- colour: red\n"


@dataclass
class Watched:
    """A registries file, the one who watches it, and what was taken of it."""

    path: Path
    now: float = 0.0
    taken: list[list[str]] = field(default_factory=list)
    refusal: str | None = None  # what is wrong with the files that the entries name
    file: RegistriesFile = field(init=False)

    def __post_init__(self) -> None:
        self.path.write_text(FIRST)
        self.file = RegistriesFile(self.path, read_registries(self.path), self.update, lambda: self.now)
        self.look()  # what was there at the start
        self.taken.clear()

    def update(self, entries: tuple[RegistryEntry, ...]) -> tuple[str, ...]:
        if self.refusal is not None:
            raise ConfigError(self.refusal)
        self.taken.append([entry.host for entry in entries])
        return tuple(self.taken[-1])

    def look(self) -> None:
        self.now += LOOK_SECONDS
        self.file.look()


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "registries.yaml")


def test_the_name_of_the_file_writes_nothing_to_a_terminal_but_itself(tmp_path: Path) -> None:
    path = tmp_path / "\x1b[2J.yaml"
    path.write_text(WRONG)
    with pytest.raises(ConfigError, match=r'^"\\x1b\[2J.yaml":1: '):
        read_registries(path)


def test_a_changed_file_is_taken(watched: Watched) -> None:
    watched.path.write_text(SECOND)
    watched.look()
    assert watched.taken == [["b.example"]]


def test_a_file_that_has_not_changed_is_not_read(watched: Watched) -> None:
    watched.look()
    watched.look()
    assert watched.taken == []


def test_the_files_are_looked_at_every_two_seconds_at_most(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Path] = []
    stat = Path.stat

    def counted(path: Path) -> os.stat_result:
        looked.append(path)
        return stat(path)

    monkeypatch.setattr(Path, "stat", counted)
    for _ in range(10):
        watched.now += LOOK_SECONDS / 10
        watched.file.look()
    assert looked == [watched.path]


def test_a_change_before_the_first_look_is_not_missed(tmp_path: Path) -> None:
    path = tmp_path / "registries.yaml"
    path.write_text(FIRST)
    taken: list[tuple[RegistryEntry, ...]] = []

    def update(entries: tuple[RegistryEntry, ...]) -> tuple[str, ...]:
        taken.append(entries)
        return ()

    file = RegistriesFile(path, read_registries(path), update, lambda: 0.0)
    path.write_text(SECOND)
    file.look()
    assert [entry.host for entry in taken[-1]] == ["b.example"]


def test_a_file_of_the_same_size_and_age_is_still_another_file(watched: Watched) -> None:
    before = watched.path.stat()
    watched.path.write_text(SECOND)
    os.utime(watched.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    watched.look()
    assert watched.taken == [["b.example"]]


def test_a_mount_that_swaps_its_symlink_is_seen(tmp_path: Path) -> None:
    # As a kubelet does it: registries.yaml -> ..data/registries.yaml, ..data -> a folder with a date.
    for folder, text in (("..2026_01", FIRST), ("..2026_02", SECOND)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "registries.yaml").write_text(text)
    (tmp_path / "..data").symlink_to("..2026_01")
    (tmp_path / "registries.yaml").symlink_to("..data/registries.yaml")
    path = tmp_path / "registries.yaml"
    taken: list[str] = []

    def update(entries: tuple[RegistryEntry, ...]) -> tuple[str, ...]:
        taken.extend(entry.host for entry in entries)
        return ()

    now = [0.0]
    file = RegistriesFile(path, read_registries(path), update, lambda: now[0])
    file.look()
    (tmp_path / "new").symlink_to("..2026_02")
    (tmp_path / "new").rename(tmp_path / "..data")
    now[0] += LOOK_SECONDS
    file.look()
    assert taken == ["a.example", "b.example"]


@pytest.mark.parametrize(
    "fields",
    [
        "caFile: named",
        "clientCertFile: named\n  clientKeyFile: other",
        "clientCertFile: other\n  clientKeyFile: named",
        "credentials: {dockerConfigFile: named}",
        "credentials: {tokenFile: named}",
    ],
)
def test_a_change_of_any_file_that_it_names_is_a_change(watched: Watched, fields: str) -> None:
    named = watched.path.with_name("named")
    named.write_text("one")
    watched.path.write_text(f"- host: a.example\n  {fields}\n")
    watched.look()
    watched.look()  # the files that are named for the first time are read once more
    watched.taken.clear()
    watched.look()
    assert watched.taken == []
    named.write_text("two")
    watched.look()
    named.unlink()
    watched.look()
    assert len(watched.taken) == 2


def test_a_wrong_file_changes_nothing_and_is_told_until_it_is_right(watched: Watched) -> None:
    assert watched.file.problem() is None
    watched.path.write_text(WRONG)
    watched.now += LOOK_SECONDS
    problem = watched.file.problem()
    assert problem is not None
    assert "colour: is not a field that gate knows" in problem
    assert watched.taken == []
    watched.path.write_text(SECOND)
    watched.look()
    assert watched.file.problem() is None
    assert watched.taken == [["b.example"]]


def test_a_file_that_is_gone_changes_nothing(watched: Watched) -> None:
    watched.path.unlink()
    watched.look()
    assert "cannot be read" in (watched.file.problem() or "")
    assert watched.taken == []


def test_what_no_stat_shows_is_tried_again_at_the_next_look(watched: Watched) -> None:
    watched.refusal = 'the caFile "ca.pem" cannot be read'
    watched.path.write_text(SECOND)
    watched.look()
    assert watched.taken == []
    watched.refusal = None
    watched.look()
    assert watched.taken == [["b.example"]]


def test_a_mistake_is_logged_once_for_each_change(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for text, times in ((WRONG, 3), (FIRST, 1), (WRONG, 3), ("- colour: blue\n", 1)):
        watched.path.write_text(text)
        for _ in range(times):
            watched.look()
    logged = [record.getMessage() for record in caplog.records]
    assert logged == [
        "the registries were not reloaded",
        "the registries were reloaded",
        "the registries were not reloaded",
        "the registries were not reloaded",
    ]


def test_whoever_asks_while_another_looks_does_not_wait(watched: Watched) -> None:
    watched.path.write_text(SECOND)
    watched.now += LOOK_SECONDS
    with watched.file._looking:
        watched.file.look()
    assert watched.taken == []


@pytest.mark.parametrize("content", [None, b"x" * (1024 * 1024 + 1), b"\xff"])
def test_a_file_that_cannot_be_read_is_a_config_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "registries.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"registries\.yaml"):
        read_registries(path)
