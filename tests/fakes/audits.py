"""RootSyncs and RepoSyncs as an API server lists them, with what their reconcilers report."""

from __future__ import annotations

from tests.fakes.reviews import Document, sync


def synced(
    spec: Document, commit: str, *, annotations: Document | None = None, kind: str = "RootSync", **fields: object
) -> Document:
    """Return an object that syncs ``commit``; ``name`` is its own, every other field one of ``status.sync``."""
    metadata = {"name": fields.pop("name")} if "name" in fields else {}
    held = sync(spec, annotations, kind=kind, **metadata)
    return held | {"status": {"sync": {"commit": commit, **fields}, "lastSyncedCommit": commit}}
