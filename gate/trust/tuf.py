"""Sigstore's public good trust root as its TUF repository gives it: fetched, verified, and kept in one directory.

python-tuf's Updater does the verifying (TUF specification section 5). Imported only where a policy names
``trustRoot: sigstore``.
"""

from __future__ import annotations

import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import IO, TypeAlias, TypeVar

from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    RepositoryError,
)
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from gate.core import limits
from gate.core.deadline import Deadline
from gate.core.errors import ConfigError, MalformedError, UnavailableError
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.files import read_bounded
from gate.trust.publicgood import Stored

TARGET = "trusted_root.json"
METADATA = "targets.json"  # the role that names it
ROOT_ROTATIONS = 64  # new versions of the repository's own root in one go; in its first five years there were 14
_OK = 200
_ROLES = (Timestamp.type, Snapshot.type, Targets.type)

# What is raised where a kept file is absent, cannot be read, or is not what was signed.
_UNUSABLE = (ConfigError, OSError, RepositoryError)

Role = TypeVar("Role", Root, Targets)

# (url, limit in bytes, deadline) -> HTTP status and, where it is 200, the body. Raises UnavailableError.
Get: TypeAlias = Callable[[str, int, Deadline], tuple[int, bytes]]


class TufClient:
    """One TUF repository, and the directory where what it said is kept; one thread at a time."""

    def __init__(self, directory: Path, url: str, bootstrap: bytes, get: Get) -> None:
        """Keep everything below ``directory``, and trust ``bootstrap`` (root.json) and what follows from it."""
        self._directory = directory  # the Updater's own files: the newest metadata, whatever became of the target
        self._history = directory / "root_history"  # and its copies of the repository's own root, by version
        self._kept = directory / "kept"  # the last target, and the metadata that vouches for it
        self._url = url
        self._bootstrap = bootstrap
        self._get = get

    def refresh(self, deadline: Deadline) -> Stored:
        """Return what the repository says now.

        Raises UnavailableError when it cannot be asked, MalformedError when what it says is not to be believed (a bad
        signature, expired, older than before), and ConfigError when the directory cannot be written.

        Whatever else lies where gate keeps its files is replaced, for nobody would hear of a revocation behind it.
        """
        try:
            self._clear_the_way()
            self._update(deadline)
        except OSError as error:
            raise ConfigError(f"{quote(str(self._directory))} cannot be written: {error.strerror}") from error
        except DownloadError as error:
            raise UnavailableError(Reason.TRUST_ROOT, f"{self._url} could not be read: {error}") from error
        except RepositoryError as error:
            raise MalformedError(f"what {self._url} says is not believed: {quote(str(error))}") from error
        stored = self.stored()
        if stored is None:
            raise ConfigError(f"{quote(str(self._directory))} does not hold what was just written")
        return stored

    def stored(self) -> Stored | None:
        """Return what was kept, verified again from ``bootstrap`` on, or None where nothing is kept that verifies.

        Nothing is fetched, so whether it has expired is not asked: it was fresh when it was confirmed.
        """
        try:
            targets = self._targets()
            raw = self._target(targets.targets[TARGET])
            written = (self._kept / TARGET).stat().st_mtime
        except (*_UNUSABLE, KeyError):
            return None
        return Stored(raw, targets.version, _date(written))

    def _clear_the_way(self) -> None:
        """Make every directory one that can be used, and discard what lies in the place of a file and is none.

        python-tuf reads what is there without a limit, and waits for whoever writes to a pipe.
        """
        for directory in (self._directory, self._history, self._kept):
            _own(directory)
        first = _parse(self._bootstrap, Root).signed.version
        roots = (self._root_path(first + number) for number in range(ROOT_ROTATIONS + 1))
        metadata = (self._directory / f"{role}.json" for role in (Root.type, *_ROLES))
        for path in (*roots, *metadata, self._kept / METADATA):
            _discard_unless_file(path, limits.TUF_METADATA_BYTES)
        _discard_unless_file(self._kept / TARGET, limits.TRUST_ROOT_BYTES)

    def _update(self, deadline: Deadline) -> None:
        updater = Updater(
            metadata_dir=str(self._directory),
            metadata_base_url=self._url,
            target_base_url=f"{self._url}/targets/",
            fetcher=_Fetcher(lambda url, limit: self._get(url, limit, deadline)),
            config=UpdaterConfig(
                max_root_rotations=ROOT_ROTATIONS,
                root_max_length=limits.TUF_METADATA_BYTES,
                timestamp_max_length=limits.TUF_METADATA_BYTES,
                snapshot_max_length=limits.TUF_METADATA_BYTES,
                targets_max_length=limits.TUF_METADATA_BYTES,
            ),
            # Always: what lies in the directory is believed because this vouches for it, not because it lies there.
            bootstrap=self._bootstrap,
        )
        updater.refresh()
        info = updater.get_targetinfo(TARGET)
        if info is None:
            raise RepositoryError(f"it names no {TARGET}")
        if info.length > limits.TRUST_ROOT_BYTES:
            raise RepositoryError(f"its {TARGET} has more than {limits.TRUST_ROOT_BYTES} bytes")
        self._keep(updater, info)
        _, passed_over = self._latest_root()
        if passed_over is not None:
            # python-tuf did not believe it either, and did without: the repository has no such version to put there.
            _discard(passed_over)

    def _keep(self, updater: Updater, info: TargetFile) -> None:
        metadata = read_bounded(self._directory / METADATA, limits.TUF_METADATA_BYTES, "the metadata")
        self._require_not_older(_parse(metadata, Targets).signed.version)
        # Aside first: Updater writes a target in place, and another process may be reading it.
        with tempfile.TemporaryDirectory(dir=self._directory) as scratch:
            target, vouching = Path(scratch, TARGET), Path(scratch, METADATA)
            try:
                raw = self._target(info)
            except _UNUSABLE:
                updater.download_target(info, str(target))
            else:
                # Written again though it is the same: the time of the file is when it was confirmed.
                target.write_bytes(raw)
            vouching.write_bytes(metadata)
            target.replace(self._kept / TARGET)
            vouching.replace(self._kept / METADATA)

    def _require_not_older(self, version: int) -> None:
        """Return if nothing later is kept, else raise RepositoryError.

        python-tuf compares with its own files. Where those were lost to garbage, this compares with the kept metadata.
        Where that was lost as well, a refresh is as the first one was: signed and not expired is all that is asked.
        """
        try:
            kept = _read(self._kept / METADATA, Targets)
        except _UNUSABLE:
            return
        root, passed_over = self._latest_root()
        try:
            root.verify_delegate(Targets.type, kept.signed_bytes, kept.signatures)
        except RepositoryError:
            # Signed by keys that were replaced, which is how a repository takes a version back. Where a root was lost
            # to garbage, and the repository has none to put there, it may as well be the keys of that root.
            if passed_over is None:
                return
        if version < kept.signed.version:
            raise RepositoryError(
                f"it names version {version} of its targets, and version {kept.signed.version} is kept"
            )

    def _target(self, info: TargetFile) -> bytes:
        """Return the kept target if it is the one that ``info`` describes, else raise one of _UNUSABLE."""
        raw = read_bounded(self._kept / TARGET, limits.TRUST_ROOT_BYTES, "the trust root")
        info.verify_length_and_hashes(raw)
        return raw

    def _targets(self) -> Targets:
        """Return the kept metadata that names the target, signed as the latest kept root wants it.

        Raises one of _UNUSABLE.
        """
        root, passed_over = self._latest_root()
        if passed_over is not None:
            raise RepositoryError(f"{passed_over.name} does not follow the root before it")
        targets = _read(self._kept / METADATA, Targets)
        root.verify_delegate(Targets.type, targets.signed_bytes, targets.signatures)
        return targets.signed

    def _latest_root(self) -> tuple[Root, Path | None]:
        """Return the root that the kept ones lead to, and what lies in its successor's place if that is no successor.

        Later ones may lie behind that place: they count again when the repository has filled it.
        """
        root = _parse(self._bootstrap, Root).signed
        for _ in range(ROOT_ROTATIONS):
            path = self._root_path(root.version + 1)
            if not path.exists():
                break
            try:
                root = _successor(root, path)
            except _UNUSABLE:
                return root, path
        return root, None

    def _root_path(self, version: int) -> Path:
        return self._history / f"{version}.root.json"


def _successor(root: Root, path: Path) -> Root:
    """Return the root at ``path`` if it is the next one and both sign it, else raise one of _UNUSABLE."""
    later = _read(path, Root)
    root.verify_delegate(Root.type, later.signed_bytes, later.signatures)
    later.signed.verify_delegate(Root.type, later.signed_bytes, later.signatures)
    if later.signed.version != root.version + 1:
        raise RepositoryError(f"{path.name} is another version")
    return later.signed


def _read(path: Path, kind: type[Role]) -> Metadata[Role]:
    return _parse(read_bounded(path, limits.TUF_METADATA_BYTES, "the metadata"), kind)


def _parse(data: bytes, kind: type[Role]) -> Metadata[Role]:
    metadata = Metadata[Role].from_bytes(data)
    # Sigstore's root and targets are signed by the same people: a signature does not tell one from the other.
    if metadata.signed.type != kind.type:
        raise RepositoryError(f"expected {kind.type}, found {metadata.signed.type}")
    return metadata


def _date(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OSError, OverflowError, ValueError):  # a file system may hold times that no calendar has
        return None


def _own(path: Path) -> None:
    """Make ``path`` a directory that its owner can use; a symlink to one is replaced, for it leads elsewhere."""
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        path.unlink()
    path.mkdir(parents=True, exist_ok=True)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & stat.S_IRWXU != stat.S_IRWXU:
        path.chmod(mode | stat.S_IRWXU)


def _discard_unless_file(path: Path, limit: int) -> None:
    """Discard what is at ``path`` unless it is a regular file of at most ``limit`` bytes."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode) or found.st_size > limit:
        _discard(path)


def _discard(path: Path) -> None:
    """Make room at ``path``; of a directory there, what cannot be deleted stays beside it under another name."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)  # another process may do the same
        return
    aside = path.replace(tempfile.mkdtemp(dir=path.parent, prefix="discarded-"))
    shutil.rmtree(aside, ignore_errors=True)


class _Fetcher(FetcherInterface):
    """python-tuf's own seam for the network, over gate's transport: whole bodies of a bounded size, in memory."""

    def __init__(self, get: Callable[[str, int], tuple[int, bytes]]) -> None:
        self._bounded_get = get

    @contextmanager
    def download_file(self, url: str, max_length: int) -> Iterator[IO[bytes]]:
        # The inherited method goes through a file in the system's temporary directory, which a read-only root lacks.
        yield BytesIO(self._read(url, max_length))

    def _fetch(self, url: str) -> Iterator[bytes]:
        return iter((self._read(url, limits.TRUST_ROOT_BYTES),))

    def _read(self, url: str, limit: int) -> bytes:
        try:
            status, body = self._bounded_get(url, limit)
        except UnavailableError as error:
            if error.reason is Reason.LIMIT:
                raise DownloadLengthMismatchError(error.message) from error
            raise DownloadError(error.message) from error
        if status != _OK:
            raise DownloadHTTPError(f"the answer is {status}", status)
        return body
