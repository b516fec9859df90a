"""Inclusion in a transparency log: the path from a leaf to a root that the log has signed.

RFC 6962 section 2.1 (Merkle trees), C2SP ``tlog-checkpoint`` and ``signed-note`` (what the log signs).
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

from gate.core import limits, strictjson
from gate.core.errors import MalformedError, UntrustedError
from gate.core.keys import Check
from gate.core.reasons import Reason
from gate.core.trust import Log

# RFC 6962 section 2.1: a leaf and an inner node never hash the same bytes.
_LEAF, _NODE = b"\x00", b"\x01"
_HINT_BYTES = 4  # signed-note, "Signatures": the key id's first bytes
_SIGNATURE_LINE = re.compile(r"\u2014 \S+ (\S+)")


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """The path from one leaf to a tree's root (RFC 6962 section 2.1.1), and the checkpoint that signs the root."""

    index: int
    size: int
    root: bytes
    hashes: tuple[bytes, ...]
    checkpoint: str


def verify_inclusion(leaf: bytes, proof: InclusionProof, log: Log, check: Check) -> None:
    """Return if ``leaf`` is in a tree that ``log`` has signed, else raise UntrustedError (log-entry).

    Raises MalformedError for a checkpoint that is no signed note.
    """
    if _root(leaf, proof) != proof.root:
        raise UntrustedError(Reason.LOG_ENTRY, "the inclusion proof of the log entry does not lead to its root")
    if len(proof.checkpoint.encode()) > limits.CHECKPOINT_BYTES:
        raise MalformedError(f"the checkpoint of the log entry has more than {limits.CHECKPOINT_BYTES} bytes")
    text, _, signatures = proof.checkpoint.partition("\n\n")
    _require_head(text, proof)
    _require_log_signature(f"{text}\n".encode(), signatures, log, check)


def _root(leaf: bytes, proof: InclusionProof) -> bytes:
    """Return the root that the path leads to; its length is fixed by the leaf's place in the tree."""
    if not 0 <= proof.index < proof.size:
        raise UntrustedError(Reason.LOG_ENTRY, "the inclusion proof is about a leaf beyond the end of its tree")
    # Up to ``inner`` the siblings are on either side; above it the node is on the tree's right edge, they on its left.
    inner = (proof.index ^ (proof.size - 1)).bit_length()
    if len(proof.hashes) != inner + (proof.index >> inner).bit_count():
        raise UntrustedError(Reason.LOG_ENTRY, "the inclusion proof of the log entry has the wrong length")
    node = hashlib.sha256(_LEAF + leaf).digest()
    for level, sibling in enumerate(proof.hashes):
        sibling_is_left = level >= inner or proof.index >> level & 1
        node = hashlib.sha256(_NODE + (sibling + node if sibling_is_left else node + sibling)).digest()
    return node


def _require_head(text: str, proof: InclusionProof) -> None:
    """Return if the checkpoint is of this very tree, which a signed root of another would not prove (CVE-2024-54140).

    Nothing is parsed: size and root each have one spelling. More lines may follow, and are signed as well.
    """
    origin, *head = text.split("\n")
    if not origin:
        raise MalformedError("the checkpoint of the log entry does not begin with its origin")
    if head[:2] != [str(proof.size), base64.b64encode(proof.root).decode()]:
        raise UntrustedError(Reason.LOG_ENTRY, "the checkpoint of the log entry is not of the tree of its proof")


def _require_log_signature(text: bytes, signatures: str, log: Log, check: Check) -> None:
    """Return if the log signed ``text``; other lines are of witnesses, or of keys that are not in the trust root.

    Of the lines with the log's hint the first one decides, as for golang.org/x/mod/sumdb/note: one check per note.
    """
    *lines, end = signatures.split("\n")
    if end or not lines:
        raise MalformedError("the checkpoint of the log entry does not end with a line that is a signature")
    parsed = [_signature(line) for line in lines]
    ours = next((each for each in parsed if each[:_HINT_BYTES] == log.log_id[:_HINT_BYTES]), None)
    if ours is None:
        raise UntrustedError(Reason.LOG_ENTRY, "the checkpoint of the log entry is not signed by its log")
    try:
        check(log.key, ours[_HINT_BYTES:], text)
    except UntrustedError as error:
        raise UntrustedError(
            Reason.LOG_ENTRY, "the checkpoint of the log entry carries a signature that is not its log's"
        ) from error


def _signature(line: str) -> bytes:
    """Return the hint and the signature on a line of a note."""
    match = _SIGNATURE_LINE.fullmatch(line)
    if match is None:
        raise MalformedError("a line in the checkpoint of the log entry is not a signature")
    return strictjson.expect_base64(match[1], "a signature in the checkpoint of the log entry")
