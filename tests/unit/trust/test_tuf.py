"""What is believed of a TUF repository, what is not, and what stays behind on disk."""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Targets

from gate.core import limits
from gate.core.deadline import Deadline
from gate.core.errors import ConfigError, GateError, MalformedError, UnavailableError
from gate.core.reasons import Reason
from gate.trust.tuf import TufClient
from tests.fakes.tuf_repository import URL, TufRepository, later

FIRST, SECOND, THIRD = b'{"first": 1}', b'{"second": 2}', b'{"third": 3}'
MEMORY = Path("/dev/shm")  # noqa: S108 (Linux mounts a tmpfs there, as Kubernetes does for a volume in memory)
SOON = Deadline.after(10, time.monotonic)


@pytest.fixture
def repository() -> TufRepository:
    return TufRepository(FIRST)


@pytest.fixture
def client(repository: TufRepository, tmp_path: Path) -> TufClient:
    return client_of(repository, tmp_path)


def client_of(repository: TufRepository, tmp_path: Path) -> TufClient:
    return TufClient(tmp_path / "state" / "tuf", URL, repository.bootstrap, repository.get)


def kept(client: TufClient) -> bytes | None:
    stored = client.stored()
    return None if stored is None else stored.raw


def refusal(client: TufClient, kind: type[GateError]) -> str:
    with pytest.raises(kind) as caught:
        client.refresh(SOON)
    return caught.value.message


def edited(metadata: bytes) -> bytes:
    """Return metadata of another version than was signed."""
    assert b'"version":1}' in metadata
    return metadata.replace(b'"version":1}', b'"version":9}')


def test_what_the_repository_says_is_returned_and_kept(client: TufClient) -> None:
    fresh = client.refresh(SOON)
    assert (fresh.raw, fresh.version) == (FIRST, 1)
    assert client.stored() == fresh


def test_nothing_is_kept_before_anything_was_said(client: TufClient) -> None:
    assert client.stored() is None


def test_a_later_root_replaces_an_earlier_one(repository: TufRepository, client: TufClient) -> None:
    client.refresh(SOON)
    repository.publish(SECOND)
    fresh = client.refresh(SOON)
    assert (fresh.raw, fresh.version) == (SECOND, 2)
    assert client.stored() == fresh


def test_when_nothing_has_changed_only_the_timestamp_is_read(repository: TufRepository, client: TufClient) -> None:
    client.refresh(SOON)
    repository.asked.clear()
    client.refresh(SOON)
    assert repository.asked == ["/2.root.json", "/timestamp.json"]


def test_a_confirmation_is_remembered_with_its_time(client: TufClient, tmp_path: Path) -> None:
    client.refresh(SOON)
    os.utime(tmp_path / "state" / "tuf" / "kept" / "trusted_root.json", (0, 0))
    before = time.time() - 1
    client.refresh(SOON)
    stored = client.stored()
    assert stored is not None
    assert stored.confirmed is not None
    assert stored.confirmed.timestamp() > before


def test_a_rotation_of_the_repositorys_keys_is_followed(repository: TufRepository, client: TufClient) -> None:
    client.refresh(SOON)
    repository.rotate()
    repository.publish(SECOND)
    assert client.refresh(SOON).raw == SECOND
    assert kept(client) == SECOND


def test_new_keys_that_the_old_ones_do_not_sign_are_not_believed(repository: TufRepository, client: TufClient) -> None:
    client.refresh(SOON)
    repository.rotate(by_old=False)
    assert "is not believed" in refusal(client, MalformedError)
    assert kept(client) == FIRST


def test_a_repository_that_cannot_be_reached_changes_nothing(repository: TufRepository, client: TufClient) -> None:
    client.refresh(SOON)
    repository.failure = UnavailableError(Reason.REGISTRY_UNREACHABLE, "'tuf.example' cannot be reached", outage=True)
    assert refusal(client, UnavailableError) == f"{URL} could not be read: 'tuf.example' cannot be reached"
    assert kept(client) == FIRST


def test_a_file_that_is_gone_is_not_a_root_that_is_gone(repository: TufRepository, client: TufClient) -> None:
    del repository.files["/timestamp.json"]
    assert refusal(client, UnavailableError) == f"{URL} could not be read: the answer is 404"


def test_an_older_timestamp_is_a_rollback_and_not_believed(repository: TufRepository, client: TufClient) -> None:
    old = repository.files["/timestamp.json"]
    repository.publish(SECOND)
    client.refresh(SOON)
    repository.files["/timestamp.json"] = old
    assert "must be >= 2" in refusal(client, MalformedError)
    assert kept(client) == SECOND


def test_a_rollback_is_noticed_by_another_process_with_the_same_state(
    repository: TufRepository, tmp_path: Path
) -> None:
    old = repository.files["/timestamp.json"]
    repository.publish(SECOND)
    client_of(repository, tmp_path).refresh(SOON)
    repository.files["/timestamp.json"] = old
    assert "must be >= 2" in refusal(client_of(repository, tmp_path), MalformedError)


def test_expired_metadata_is_not_believed(repository: TufRepository, client: TufClient) -> None:
    client.refresh(SOON)
    repository.publish(SECOND, expires=later(-1))
    assert "timestamp.json is expired" in refusal(client, MalformedError)
    assert kept(client) == FIRST


def test_an_expired_root_is_not_believed(repository: TufRepository, client: TufClient) -> None:
    repository.rotate(expires=later(-1))
    assert "root.json is expired" in refusal(client, MalformedError)


def test_what_is_kept_outlives_its_expiry(repository: TufRepository, client: TufClient) -> None:
    repository.publish(FIRST, expires=later(1 / 86400))
    client.refresh(SOON)
    time.sleep(1.1)
    assert "expired" in refusal(client, MalformedError)
    assert kept(client) == FIRST


def test_a_tampered_target_is_not_believed(repository: TufRepository, client: TufClient) -> None:
    client.refresh(SOON)
    repository.publish(SECOND)
    repository.files[repository.target_path] = SECOND[::-1]
    assert "is not believed" in refusal(client, MalformedError)
    assert kept(client) == FIRST


def test_tampered_metadata_is_not_believed(repository: TufRepository, client: TufClient) -> None:
    repository.files["/1.targets.json"] = edited(repository.files["/1.targets.json"])
    assert "is not believed" in refusal(client, MalformedError)
    assert kept(client) is None


def test_metadata_of_another_repository_is_not_believed(repository: TufRepository, client: TufClient) -> None:
    repository.files["/timestamp.json"] = TufRepository(SECOND).files["/timestamp.json"]
    assert "is not believed" in refusal(client, MalformedError)


def test_a_repository_without_the_target_is_not_believed(repository: TufRepository, client: TufClient) -> None:
    repository.publish(None)
    assert "it names no trusted_root.json" in refusal(client, MalformedError)


def test_an_oversized_target_is_not_even_asked_for(repository: TufRepository, client: TufClient) -> None:
    repository.publish(SECOND, length=limits.TRUST_ROOT_BYTES + 1)
    assert f"more than {limits.TRUST_ROOT_BYTES} bytes" in refusal(client, MalformedError)
    assert repository.target_path not in repository.asked


def test_oversized_metadata_is_not_read(repository: TufRepository, client: TufClient) -> None:
    repository.files["/timestamp.json"] += b" " * limits.TUF_METADATA_BYTES
    assert "sent more than" in refusal(client, UnavailableError)


def test_a_directory_that_cannot_be_written_is_said_before_anybody_is_asked(
    repository: TufRepository, client: TufClient, tmp_path: Path
) -> None:
    (tmp_path / "state").write_text("a file")
    assert "cannot be written" in refusal(client, ConfigError)
    assert repository.asked == []
    assert client.stored() is None


def state(tmp_path: Path, name: str) -> Path:
    return tmp_path / "state" / "tuf" / name


def test_a_kept_root_that_was_edited_does_not_count(client: TufClient, tmp_path: Path) -> None:
    client.refresh(SOON)
    state(tmp_path, "kept/trusted_root.json").write_bytes(FIRST[::-1])
    assert client.stored() is None


def test_kept_metadata_that_was_edited_does_not_count(client: TufClient, tmp_path: Path) -> None:
    client.refresh(SOON)
    path = state(tmp_path, "kept/targets.json")
    path.write_bytes(edited(path.read_bytes()))
    assert client.stored() is None


def test_what_another_repository_left_does_not_count(client: TufClient, tmp_path: Path) -> None:
    client_of(TufRepository(SECOND), tmp_path).refresh(SOON)
    assert client.stored() is None


def test_what_was_signed_by_keys_that_were_replaced_does_not_count(
    repository: TufRepository, client: TufClient, tmp_path: Path
) -> None:
    client.refresh(SOON)
    repository.rotate()
    state(tmp_path, "root_history/2.root.json").write_bytes(repository.files["/2.root.json"])
    assert client.stored() is None


def test_a_kept_root_of_the_repository_that_its_predecessor_did_not_sign_does_not_count(
    repository: TufRepository, client: TufClient, tmp_path: Path
) -> None:
    client.refresh(SOON)
    repository.rotate(by_old=False)
    repository.publish(SECOND)
    state(tmp_path, "root_history/2.root.json").write_bytes(repository.files["/2.root.json"])
    # All else is as it would be if that root were one.
    state(tmp_path, "kept/targets.json").write_bytes(repository.files[f"/{repository.version}.targets.json"])
    state(tmp_path, "kept/trusted_root.json").write_bytes(SECOND)
    assert client.stored() is None


def test_a_kept_root_of_the_repository_that_does_not_sign_itself_does_not_count(
    repository: TufRepository, client: TufClient, tmp_path: Path
) -> None:
    client.refresh(SOON)
    old = repository.signers["root"]
    repository.root = copy.deepcopy(repository.root)
    repository.root.version = 2
    repository.root.revoke_key(old.public_key.keyid, "root")
    repository.root.add_key(CryptoSigner.generate_ed25519().public_key, "root")
    repository.publish_root(old)
    state(tmp_path, "root_history/2.root.json").write_bytes(repository.files["/2.root.json"])
    assert client.stored() is None


def test_a_kept_root_of_the_repository_under_another_number_does_not_count(
    repository: TufRepository, client: TufClient, tmp_path: Path
) -> None:
    client.refresh(SOON)
    state(tmp_path, "root_history/2.root.json").write_bytes(repository.bootstrap)
    assert client.stored() is None


@pytest.mark.parametrize("role", ["root", "targets"])
def test_what_the_same_people_signed_as_something_else_does_not_count(role: str, tmp_path: Path) -> None:
    repository = TufRepository(FIRST)
    repository.root.add_key(repository.signers["targets"].public_key, "root")
    repository.root.add_key(repository.signers["root"].public_key, "targets")
    repository.publish_root()
    client = client_of(repository, tmp_path)
    client.refresh(SOON)
    if role == "targets":
        state(tmp_path, "kept/targets.json").write_bytes(repository.bootstrap)
    else:
        confused: Metadata[Targets] = Metadata(Targets(version=2, expires=later()))
        confused.sign(repository.signers["root"])
        state(tmp_path, "root_history/2.root.json").write_bytes(confused.to_bytes())
    assert client.stored() is None


def test_garbage_in_the_state_is_replaced_by_the_next_refresh(client: TufClient, tmp_path: Path) -> None:
    client.refresh(SOON)
    for path in (tmp_path / "state" / "tuf").rglob("*.json"):
        path.write_bytes(b"\xff")
    assert client.stored() is None
    assert client.refresh(SOON).raw == FIRST


def outside(path: Path) -> Path:
    """Return a directory beside the one of all state that holds ``path``."""
    (holder,) = (parent for parent in path.parents if parent.name == "state")
    return holder.with_name("outside")


def a_directory(path: Path) -> None:
    (path / "inner").mkdir(parents=True)
    (path / "inner" / "file").write_bytes(b"x")


LITTER: dict[str, Callable[[Path], object]] = {
    "garbage": lambda path: path.write_bytes(b"\xff"),
    "nested garbage": lambda path: path.write_bytes(b"[" * 100_000),
    "metadata of no sense": lambda path: path.write_bytes(b'{"signed":{"_type":["x"]},"signatures":[1]}'),
    "large": lambda path: path.write_bytes(b" " * (limits.TRUST_ROOT_BYTES + 1)),
    "directory": a_directory,
    "pipe": os.mkfifo,
    "symlink": lambda path: path.symlink_to(outside(path)),
    "loop": lambda path: path.symlink_to(path.name),
    "unreadable": lambda path: (path.write_bytes(b""), path.chmod(0)),
}
METADATA = ["root.json", "timestamp.json", "snapshot.json", "targets.json", "kept/targets.json"]
FILES = [*METADATA, "kept/trusted_root.json", *(f"root_history/{version}.root.json" for version in (1, 2, 3))]


def litter(path: Path, kind: str) -> Path:
    """Put something in the place of what is at ``path``, and return a directory that may not change because of it."""
    outside(path).mkdir()
    (outside(path) / "file").write_bytes(b"x")
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    LITTER[kind](path)
    return outside(path)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", LITTER)
def test_whatever_lies_in_the_place_of_a_file_is_replaced_by_the_next_refresh(
    kind: str, name: str, repository: TufRepository, client: TufClient, tmp_path: Path
) -> None:
    repository.rotate()
    client.refresh(SOON)
    beside = litter(state(tmp_path, name), kind)
    fresh = client.refresh(SOON)
    assert fresh.raw == FIRST
    assert client.stored() == fresh
    assert [path.name for path in beside.iterdir()] == ["file"]


@pytest.mark.parametrize("kind", LITTER)
def test_whatever_lies_where_a_later_root_will_be_is_replaced_by_it(
    kind: str, repository: TufRepository, client: TufClient, tmp_path: Path
) -> None:
    client.refresh(SOON)
    litter(state(tmp_path, "root_history/2.root.json"), kind)
    repository.rotate()
    repository.publish(SECOND)
    assert client.refresh(SOON).raw == SECOND
    assert kept(client) == SECOND


@pytest.mark.parametrize("name", ["", "kept", "root_history"])
@pytest.mark.parametrize("kind", LITTER)
def test_whatever_lies_in_the_place_of_a_directory_is_replaced_by_the_next_refresh(
    kind: str, name: str, client: TufClient, tmp_path: Path
) -> None:
    client.refresh(SOON)
    beside = litter(state(tmp_path, name), kind)
    fresh = client.refresh(SOON)
    assert client.stored() == fresh
    assert [path.name for path in beside.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["", "kept", "root_history"])
def test_a_directory_that_was_closed_is_opened_with_what_is_in_it(name: str, client: TufClient, tmp_path: Path) -> None:
    client.refresh(SOON)
    state(tmp_path, name).chmod(0)
    client.refresh(SOON)
    assert state(tmp_path, name).stat().st_mode & 0o777 == 0o700
    assert kept(client) == FIRST


def test_a_pipe_in_the_state_is_not_waited_for_when_nobody_is_asked(client: TufClient, tmp_path: Path) -> None:
    client.refresh(SOON)
    for name in FILES:
        state(tmp_path, name).unlink(missing_ok=True)
        os.mkfifo(state(tmp_path, name))
    assert client.stored() is None


def test_oversized_metadata_is_not_read_from_the_state_either(
    repository: TufRepository, client: TufClient, tmp_path: Path
) -> None:
    client.refresh(SOON)
    path = state(tmp_path, "snapshot.json")
    path.write_bytes(path.read_bytes() + b" " * limits.TUF_METADATA_BYTES)
    repository.asked.clear()
    client.refresh(SOON)
    assert "/1.snapshot.json" in repository.asked


def test_garbage_in_the_place_of_one_root_does_not_bring_back_an_earlier_one(
    repository: TufRepository, client: TufClient, tmp_path: Path
) -> None:
    repository.rotate()
    repository.rotate()
    client.refresh(SOON)
    state(tmp_path, "root_history/2.root.json").write_bytes(b"\xff")
    del repository.files["/3.root.json"]  # what is on disk still tells that there is one
    client.refresh(SOON)
    assert state(tmp_path, "root.json").readlink() == Path("root_history/3.root.json")
    assert kept(client) == FIRST


def test_garbage_in_the_metadata_does_not_bring_back_an_earlier_version(
    repository: TufRepository, client: TufClient, tmp_path: Path
) -> None:
    old = repository.files["/timestamp.json"]
    repository.publish(SECOND)
    client.refresh(SOON)
    for name in ("timestamp.json", "snapshot.json", "targets.json", "kept/trusted_root.json"):
        state(tmp_path, name).write_bytes(b"\xff")
    new, repository.files["/timestamp.json"] = repository.files["/timestamp.json"], old
    told = refusal(client, MalformedError)
    assert "is not believed" in told
    assert "it names version 1 of its targets, and version 2 is kept" in told
    repository.files["/timestamp.json"] = new
    assert client.refresh(SOON).raw == SECOND


def test_garbage_in_the_place_of_a_root_whose_keys_vouch_for_what_is_kept_does_not_bring_back_an_earlier_version(
    repository: TufRepository, client: TufClient, tmp_path: Path
) -> None:
    repository.publish(SECOND)
    old = dict(repository.files)
    repository.rotate()
    repository.publish(THIRD)
    kept_version = client.refresh(SOON).version
    new, repository.files = repository.files, old
    for name in ("timestamp.json", "snapshot.json", "targets.json", "root_history/2.root.json"):
        state(tmp_path, name).write_bytes(b"\xff")
    for _ in range(2):
        told = refusal(client, MalformedError)
        assert f"it names version 2 of its targets, and version {kept_version} is kept" in told
    repository.files = new
    assert client.refresh(SOON).raw == THIRD


def test_a_repository_that_replaces_the_keys_of_its_targets_may_begin_to_count_again(
    repository: TufRepository, client: TufClient, tmp_path: Path
) -> None:
    repository.publish(SECOND)
    client.refresh(SOON)
    for name in ("timestamp.json", "snapshot.json", "targets.json"):
        state(tmp_path, name).unlink()
    repository.version = 0
    repository.rotate()
    assert client.refresh(SOON).version == 1


@pytest.mark.skipif(not MEMORY.is_dir(), reason="only a file system in memory holds such times")
@pytest.mark.parametrize("seconds", [2**40, 10**17])  # of no calendar, and more than the C library counts
def test_a_time_of_no_calendar_is_not_one_of_a_confirmation(repository: TufRepository, seconds: int) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        client = client_of(repository, Path(directory))
        client.refresh(SOON)
        os.utime(state(Path(directory), "kept/trusted_root.json"), (0, seconds))
        stored = client.stored()
    assert stored is not None
    assert stored.confirmed is None


def test_nothing_is_left_behind_but_what_is_kept(repository: TufRepository, client: TufClient, tmp_path: Path) -> None:
    client.refresh(SOON)
    repository.files["/timestamp.json"] = b"{}"
    refusal(client, MalformedError)
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if not path.is_dir())
    names = "kept/targets.json kept/trusted_root.json root.json root_history/1.root.json snapshot.json targets.json"
    assert found == [f"state/tuf/{name}" for name in f"{names} timestamp.json".split()]
