"""Sigstore's public good trust root as its TUF repository gives it: fetched, verified, and kept in one directory.

python-tuf's Updater does the verifying (TUF specification section 5). Imported only where a policy names
``trustRoot: sigstore``.
"""

from __future__ import annotations

import os
import shutil
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
    LengthOrHashMismatchError,
    RepositoryError,
)
from tuf.api.metadata import Metadata, Root, TargetFile, Targets
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

Role = TypeVar("Role", Root, Targets)

# (url, limit in bytes, deadline) -> HTTP status and, where it is 200, the body. Raises UnavailableError.
Get: TypeAlias = Callable[[str, int, Deadline], tuple[int, bytes]]


class TufClient:
    """One TUF repository, and the directory where what it said is kept; one thread at a time."""

    def __init__(self, directory: Path, url: str, bootstrap: bytes, get: Get) -> None:
        """Keep everything below ``directory``, and trust ``bootstrap`` (root.json) and what follows from it."""
        self._directory = directory  # the Updater's own files: the newest metadata, whatever became of the target
        self._kept = directory / "kept"  # the last target, and the metadata that vouches for it
        self._url = url
        self._bootstrap = bootstrap
        self._get = get

    def refresh(self, deadline: Deadline) -> Stored:
        """Return what the repository says now.

        Raises UnavailableError when it cannot be asked, MalformedError when what it says is not to be believed (a bad
        signature, expired, older than before), and ConfigError when the directory cannot be written.
        """
        try:
            self._kept.mkdir(parents=True, exist_ok=True)
            self._update(deadline)
            os.utime(self._kept / TARGET)
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
        path = self._kept / TARGET
        try:
            targets = self._targets()
            raw = read_bounded(path, limits.TRUST_ROOT_BYTES, "the trust root")
            targets.targets[TARGET].verify_length_and_hashes(raw)
            confirmed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        except (ConfigError, OSError, RepositoryError, LengthOrHashMismatchError, KeyError):
            return None
        return Stored(raw, targets.version, confirmed)

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

    def _keep(self, updater: Updater, info: TargetFile) -> None:
        # Aside first, because Updater writes a target in place and another process may be reading it.
        with tempfile.TemporaryDirectory(dir=self._directory) as scratch:
            if updater.find_cached_target(info, str(self._kept / TARGET)) is None:
                updater.download_target(info, str(Path(scratch, TARGET)))
                Path(scratch, TARGET).replace(self._kept / TARGET)
            shutil.copyfile(self._directory / METADATA, Path(scratch, METADATA))
            Path(scratch, METADATA).replace(self._kept / METADATA)

    def _targets(self) -> Targets:
        """Return the kept metadata that names the target, signed as the latest kept root wants it."""
        root = _parse(self._bootstrap, Root).signed
        for version in range(root.version + 1, root.version + 1 + ROOT_ROTATIONS):
            path = self._directory / "root_history" / f"{version}.root.json"
            if not path.exists():
                break
            later = _read(path, Root)
            root.verify_delegate(Root.type, later.signed_bytes, later.signatures)
            later.signed.verify_delegate(Root.type, later.signed_bytes, later.signatures)
            if later.signed.version != version:
                raise RepositoryError(f"{path.name} is another version")
            root = later.signed
        targets = _read(self._kept / METADATA, Targets)
        root.verify_delegate(Targets.type, targets.signed_bytes, targets.signatures)
        return targets.signed


def _read(path: Path, kind: type[Role]) -> Metadata[Role]:
    return _parse(read_bounded(path, limits.TUF_METADATA_BYTES, "the metadata"), kind)


def _parse(data: bytes, kind: type[Role]) -> Metadata[Role]:
    metadata = Metadata[Role].from_bytes(data)
    # Sigstore's root and targets are signed by the same people: a signature does not tell one from the other.
    if metadata.signed.type != kind.type:
        raise RepositoryError(f"expected {kind.type}, found {metadata.signed.type}")
    return metadata


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
