"""What a reading of a policy's files notices: that it saw one moment, or that it did not."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gate.core.errors import ConfigError
from gate.core.oci import Digest
from gate.core.policy import NoMatch, Policy, SourceChoice, Sources
from gate.core.trust import TrustedRoot
from gate.trust.publicgood import Trusted
from gate.trust.reading import READS, Reading, read_set
from gate.trust.roots import Roots
from tests.fakes.mount import Mount
from tests.fakes.roots import agrees
from tests.fakes.sigstore.box import Sigstore

LIMIT = 1024


def trusted(name: str = "root") -> Trusted:
    return Trusted(TrustedRoot(Digest.of(name.encode())), agrees)


def nobody() -> Trusted:
    pytest.fail("nothing asked for the public good root")


@dataclass
class Loader:
    """Reads two files and makes a policy of the second's length; meanwhile something may happen."""

    directory: Path
    between: Callable[[], None] = lambda: None
    read: list[tuple[bytes, bytes]] = field(default_factory=list)

    def __call__(self, roots: Roots) -> Policy:
        first = roots.read(self.directory / "first", LIMIT, "the first")
        self.between()
        self.read.append((first, roots.read(self.directory / "second", LIMIT, "the second")))
        return Policy(NoMatch.DENY, Sources(SourceChoice.DENY, SourceChoice.DENY), ())


@pytest.fixture
def mount(tmp_path: Path) -> Mount:
    mount = Mount(tmp_path / "mount")
    mount.update({"first": b"A", "second": b"A"})
    return mount


def test_files_that_stay_what_they_are_are_read_once(mount: Mount) -> None:
    loader = Loader(mount.path)
    read_set(loader, nobody).policy()
    assert loader.read == [(b"A", b"A")]


def test_a_mount_that_is_swapped_between_two_files_is_read_again(mount: Mount) -> None:
    swaps = iter([b"B"])
    loader = Loader(mount.path, lambda: [mount.update({"first": each, "second": each}) for each in swaps] and None)
    read_set(loader, nobody).policy()
    assert loader.read == [(b"A", b"B"), (b"B", b"B")]


def test_a_link_that_is_swapped_there_and_back_is_noticed(tmp_path: Path) -> None:
    for name in ("A", "B"):
        (tmp_path / name).mkdir()
        for file in ("first", "second"):
            (tmp_path / name / file).write_text(name)
    link = tmp_path / "link"
    link.symlink_to("A")

    def point(name: str) -> None:
        (tmp_path / "new").symlink_to(name)
        (tmp_path / "new").replace(link)

    reading = Reading(nobody)
    assert reading.read(link / "first", LIMIT, "the first") == b"A"
    point("B")
    assert reading.read(link / "second", LIMIT, "the second") == b"B"
    point("A")
    assert not reading.current()


def test_files_that_never_rest_are_an_error(mount: Mount) -> None:
    loader = Loader(mount.path, lambda: mount.update({"first": b"B", "second": b"B"}))
    attempt = read_set(loader, nobody)
    assert len(loader.read) == READS
    with pytest.raises(ConfigError, match="change faster than they can be read"):
        attempt.policy()


def test_an_error_of_half_a_set_is_no_error(mount: Mount) -> None:
    whole = iter([{"first": b"B"}, {"first": b"C", "second": b"C"}])

    def swap() -> None:
        files = next(whole, None)
        if files is not None:
            mount.update(files)

    loader = Loader(mount.path, swap)
    read_set(loader, nobody).policy()
    assert loader.read[-1] == (b"C", b"C")


def test_an_error_of_files_that_rest_is_raised(mount: Mount) -> None:
    mount.update({"first": b"A"})
    with pytest.raises(ConfigError, match=r"the second .* cannot be read: No such file"):
        read_set(Loader(mount.path), nobody).policy()


@pytest.mark.parametrize("change", ["appears", "vanishes", "is replaced", "is written", "is touched"])
def test_a_change_of_any_file_of_the_set_is_noticed(tmp_path: Path, change: str) -> None:
    path = tmp_path / "file"
    if change != "appears":
        path.write_bytes(b"one")
    reading = Reading(nobody)
    try:
        reading.read(path, LIMIT, "the file")
    except ConfigError:
        assert change == "appears"
    assert reading.current()
    match change:
        case "appears" | "is written":
            path.write_bytes(b"two")
        case "vanishes":
            path.unlink()
        case "is replaced":
            (tmp_path / "other").write_bytes(b"two")
            (tmp_path / "other").replace(path)
        case "is touched":
            os.utime(path, (1, 1))
    assert not reading.current()


@pytest.mark.parametrize("name", ["..", "a/b", "x\0y"])
def test_a_file_that_cannot_be_read_is_part_of_the_set_and_at_rest(tmp_path: Path, name: str) -> None:
    reading = Reading(nobody)
    with pytest.raises(ConfigError):
        reading.read(tmp_path / name, LIMIT, "the file")
    assert reading.current()


def test_a_file_that_is_too_large_is_refused_and_at_rest(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * (LIMIT + 1))
    reading = Reading(nobody)
    with pytest.raises(ConfigError, match=f"has more than {LIMIT} bytes"):
        reading.read(tmp_path / "file", LIMIT, "the file")
    assert reading.current()


def test_another_public_good_root_is_a_change_of_the_set() -> None:
    roots = [trusted()]
    reading = Reading(lambda: roots[-1])
    assert reading.sigstore() == (roots[0].root, agrees)
    assert reading.current()
    roots.append(trusted())
    assert not reading.current()


def test_a_set_has_one_public_good_root_however_often_it_names_it() -> None:
    roots = iter([trusted("first"), trusted("second")])
    reading = Reading(lambda: next(roots))
    assert reading.sigstore() is not reading.sigstore()
    assert reading.sigstore()[0].digest == Digest.of(b"first")


def test_a_set_that_does_not_name_the_public_good_root_does_not_ask_for_it(mount: Mount) -> None:
    assert read_set(Loader(mount.path), nobody).reading.current()


def test_a_trust_root_is_read_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "trusted_root.json").write_bytes(raw := Sigstore.create().trusted_root())
    reading = Reading(nobody)
    assert reading.file(tmp_path / "trusted_root.json").digest == Digest.of(raw)
    assert list(reading.files) == [tmp_path / "trusted_root.json"]


def test_a_trust_root_that_is_none_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "trusted_root.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"the trust root .*/trusted_root.json. cannot be used: mediaType"):
        Reading(nobody).file(tmp_path / "trusted_root.json")
