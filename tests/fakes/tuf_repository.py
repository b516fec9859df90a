"""A TUF repository in memory that signs what a test tells it to, as Sigstore's does: consistent, one target."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Role, Root, Snapshot, TargetFile, Targets, Timestamp

from gate.core.deadline import Deadline
from gate.core.errors import UnavailableError
from gate.core.reasons import Reason

URL = "https://tuf.example"
TARGET = "trusted_root.json"
ROLES = ("root", "timestamp", "snapshot", "targets")


def later(days: float = 1) -> datetime:
    """Return a time that many days from now; python-tuf reads the clock itself."""
    return datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)


@dataclass
class TufRepository:
    """Answers by path in ``files``; what is published is signed by a key for each role."""

    target: bytes
    expires: datetime = field(default_factory=later)
    signers: dict[str, CryptoSigner] = field(
        default_factory=lambda: {r: CryptoSigner.generate_ed25519() for r in ROLES}
    )
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    failure: UnavailableError | None = None
    root: Root = field(init=False)
    version: int = 0

    def __post_init__(self) -> None:
        roles = {role: Role([signer.public_key.keyid], 1) for role, signer in self.signers.items()}
        keys = {signer.public_key.keyid: signer.public_key for signer in self.signers.values()}
        self.root = Root(version=1, expires=later(365), keys=keys, roles=roles, consistent_snapshot=True)
        self.publish_root()
        self.publish(self.target)

    @property
    def bootstrap(self) -> bytes:
        """The first root.json, which clients are shipped with."""
        return self.files["/1.root.json"]

    def publish_root(self, *signers: CryptoSigner) -> None:
        """Sign the root as it is, by ``signers`` or its own key."""
        metadata = Metadata(self.root)
        for signer in signers or (self.signers["root"],):
            metadata.sign(signer, append=True)
        self.files[f"/{self.root.version}.root.json"] = metadata.to_bytes()

    def rotate(self, *, by_old: bool = True, expires: datetime | None = None) -> None:
        """Publish a root with a new key for roots and another one for targets, signed by both keys or the new alone."""
        self.root = copy.deepcopy(self.root)
        self.root.version += 1
        self.root.expires = expires or self.root.expires
        old = self.signers["root"]
        for role in ("root", "targets"):
            self.root.revoke_key(self.signers[role].public_key.keyid, role)
            self.signers[role] = CryptoSigner.generate_ed25519()
            self.root.add_key(self.signers[role].public_key, role)
        self.publish_root(self.signers["root"], *([old] if by_old else []))
        self.publish(self.target)

    def publish(self, target: bytes | None, *, expires: datetime | None = None, length: int | None = None) -> None:
        """Publish the next version of everything but the root, which names ``target``."""
        self.version += 1
        end = expires or self.expires
        targets = Targets(version=self.version, expires=end)
        if target is not None:
            self.target = target
            info = TargetFile.from_data(TARGET, target, ["sha256"])
            self.files[f"/targets/{info.hashes['sha256']}.{TARGET}"] = target
            targets.targets[TARGET] = TargetFile(length or info.length, info.hashes, TARGET)
        snapshot = Snapshot(version=self.version, expires=end, meta={"targets.json": MetaFile(self.version)})
        timestamp = Timestamp(version=self.version, expires=end, snapshot_meta=MetaFile(self.version))
        self.files[f"/{self.version}.targets.json"] = self._signed("targets", targets)
        self.files[f"/{self.version}.snapshot.json"] = self._signed("snapshot", snapshot)
        self.files["/timestamp.json"] = self._signed("timestamp", timestamp)

    def _signed(self, role: str, content: Targets | Snapshot | Timestamp) -> bytes:
        metadata: Metadata[Targets | Snapshot | Timestamp] = Metadata(content)
        metadata.sign(self.signers[role])
        return metadata.to_bytes()

    @property
    def target_path(self) -> str:
        """Where the latest target is."""
        (path,) = (path for path, data in self.files.items() if path.startswith("/targets/") and data == self.target)
        return path

    def get(self, url: str, limit: int, deadline: Deadline) -> tuple[int, bytes]:
        """Answer as gate's transport does."""
        path = urlsplit(url).path
        self.asked.append(path)
        if self.failure is not None:
            raise self.failure
        body = self.files.get(path)
        if body is None:
            return 404, b""
        if len(body) > limit:
            raise UnavailableError(Reason.LIMIT, f"'tuf.example' sent more than the {limit} bytes that gate reads")
        return 200, body
