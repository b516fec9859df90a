"""Merkle trees, straight from RFC 6962 section 2.1."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def tree_hash(leaves: Sequence[bytes]) -> bytes:
    """Return the root over these leaves (data, not hashes)."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    split = _split(len(leaves))
    return hashlib.sha256(b"\x01" + tree_hash(leaves[:split]) + tree_hash(leaves[split:])).digest()


def audit_path(index: int, leaves: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return what, with the leaf at ``index``, gives the root; the nearest first."""
    if len(leaves) == 1:
        return ()
    split = _split(len(leaves))
    if index < split:
        return (*audit_path(index, leaves[:split]), tree_hash(leaves[split:]))
    return (*audit_path(index - split, leaves[split:]), tree_hash(leaves[:split]))


def _split(count: int) -> int:
    """Return the largest power of two below ``count``."""
    return 1 << (count - 1).bit_length() - 1
