"""Transparency logs that log anything: Rekor v1 (promise, proof, time) and v2 (proof alone)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self, TypedDict, Unpack

import rfc8785
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519

from gate.core.keys import parse_public_key
from gate.core.transparency import InclusionProof, LogEntry
from gate.core.trust import Log, Window
from gate.demo import layouts
from gate.demo.signer import Signer
from tests.fakes.sigstore.bodies import Body
from tests.fakes.sigstore.keys import key_id, named_key, raw_public_key
from tests.fakes.sigstore.merkle import audit_path, tree_hash

_ED25519_NOTE = b"\x01"  # C2SP signed-note, "Signature types"
_FIRST_LEAVES = (b"first", b"second", b"third", b"fourth", b"fifth")  # so that a path has hashes on both sides
_FIRST_INDEX = 1_000_000  # of a Rekor v1 log, whose older trees are closed


class Noting(TypedDict, total=False):
    """What can be overridden in a checkpoint."""

    origin: str
    size: int
    root: bytes
    name: str  # in the signature's line
    hint: bytes  # the first four bytes of the log's id
    key: Signer
    other_lines: str  # after the root
    signatures: Sequence[str]  # all lines, in place of the one


@dataclass(frozen=True, slots=True)
class Rekor:
    """A log with a tree of its own. ``promises`` says that it is v1: an entry has a time and a promise.

    ``first_index`` is what the log's own index of an entry has above the index in the tree.
    """

    key: Signer
    log_id: bytes
    origin: str
    window: Window
    promises: bool
    first_index: int = 0
    leaves: list[bytes] = field(default_factory=lambda: [*_FIRST_LEAVES])

    @classmethod
    def v1(cls, name: str, window: Window, kind: str = "p256") -> Self:
        """Return a Rekor v1 log with a key of its own."""
        key = named_key(name, kind)
        return cls(key, key_id(key), f"{name}.example - 4242", window, promises=True, first_index=_FIRST_INDEX)

    @classmethod
    def v2(cls, name: str, window: Window, kind: str = "ed25519") -> Self:
        """Return a Rekor v2 log with a key of its own."""
        key, origin = named_key(name, kind), f"{name}.example"
        return cls(key, note_id(origin, key), origin, window, promises=False)

    @property
    def trusted(self) -> Log:
        """The log as a trust root lists it."""
        return Log(self.log_id, parse_public_key(self.key.public_pem), self.window)

    @property
    def url(self) -> str:
        """Where it would be asked."""
        return f"https://{self._name}"

    @property
    def _name(self) -> str:
        return self.origin.split(" ")[0]

    def append(self, body: Body, at: datetime) -> LogEntry:
        """Log ``body`` and return its entry."""
        self.leaves.append(body.raw)
        index = len(self.leaves) - 1
        entry = LogEntry(self.log_id, self.first_index + index, body.kind, body.version, body.raw)
        if self.promises:
            entry = replace(entry, integrated_at=int(at.timestamp()))
            entry = replace(entry, promise=self.promise(entry))
        return replace(entry, proof=self.prove(index))

    def promise(self, entry: LogEntry) -> bytes:
        """Return the signed entry timestamp (SET) of what the entry says."""
        return self.key.sign(rfc8785.dumps(_promised(entry)), hashes.SHA256())

    def prove(self, index: int, **changes: Unpack[Noting]) -> InclusionProof:
        """Return the proof for the leaf at ``index`` of the tree as it is, or of its first ``size`` leaves."""
        size = changes.get("size", len(self.leaves))
        leaves = self.leaves[:size]
        note = self.checkpoint(**changes)
        return InclusionProof(index, size, tree_hash(leaves), audit_path(index, leaves), note)

    def checkpoint(self, **changes: Unpack[Noting]) -> str:
        """Return the signed note about the tree as it is, or about what is said of it."""
        size = changes.get("size", len(self.leaves))
        root = changes.get("root", tree_hash(self.leaves[:size]))
        body = f"{changes.get('origin', self.origin)}\n{size}\n{_text(root)}\n{changes.get('other_lines', '')}"
        lines = changes.get("signatures", [self.note_line(body, **changes)])
        return body + "\n" + "".join(lines)

    def note_line(self, body: str, **changes: Unpack[Noting]) -> str:
        """Return a line that signs the note's ``body``."""
        signature = changes.get("key", self.key).sign(body.encode(), hashes.SHA256())
        hint = changes.get("hint", self.log_id[:4])
        return f"\N{EM DASH} {changes.get('name', self._name)} {_text(hint + signature)}\n"


def note_id(origin: str, key: Signer) -> bytes:
    """Return the id of a Rekor v2 log: of an Ed25519 key as signed notes have it, of any other the key's own."""
    if isinstance(key.key, ed25519.Ed25519PrivateKey):
        return hashlib.sha256(origin.encode() + b"\n" + _ED25519_NOTE + raw_public_key(key.key)).digest()
    return key_id(key)


def as_annotation(entry: LogEntry) -> str:
    """Return the entry as cosign's annotation has it: without the proof, which has no place there."""
    assert entry.promise is not None
    return layouts.compact({"SignedEntryTimestamp": _text(entry.promise), "Payload": _promised(entry)}).decode()


def as_member(entry: LogEntry) -> dict[str, object]:
    """Return the entry as a member of a bundle's ``tlogEntries``, as protojson writes it: nothing that is zero."""
    members: dict[str, object] = {
        "logIndex": str(entry.index),
        "logId": {"keyId": _text(entry.log_id)},
        "kindVersion": {"kind": entry.kind, "version": entry.version},
    }
    if entry.integrated_at is not None:
        members["integratedTime"] = str(entry.integrated_at)
    if entry.promise is not None:
        members["inclusionPromise"] = {"signedEntryTimestamp": _text(entry.promise)}
    if entry.proof is not None:
        members["inclusionProof"] = _proof(entry.proof)
    members["canonicalizedBody"] = _text(entry.body)
    return _without_zeros(members)


def _proof(proof: InclusionProof) -> dict[str, object]:
    members: dict[str, object] = {
        "logIndex": str(proof.index),
        "rootHash": _text(proof.root),
        "treeSize": str(proof.size),
        "hashes": [_text(each) for each in proof.hashes],
        "checkpoint": {"envelope": proof.checkpoint},
    }
    return _without_zeros(members)


def _without_zeros(members: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in members.items() if value not in ("0", [])}


def _promised(entry: LogEntry) -> dict[str, object]:
    return {
        "body": _text(entry.body),
        "integratedTime": entry.integrated_at,
        "logIndex": entry.index,
        "logID": entry.log_id.hex(),
    }


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
