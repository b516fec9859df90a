"""Repositories that real cosign signed, as dumps of a registry: served again, and asked about."""

from __future__ import annotations

import json
from pathlib import Path

from gate.cli import main
from gate.core.oci import Digest
from gate.demo.registry import serve
from gate.demo.store import Store
from tests.fakes.shared import shared_fixture


def load(dump: str, name: str, *, referrers_api: bool) -> tuple[Store, Digest]:
    """Return the repository of this dump and the digest that its own tag names."""
    folder = shared_fixture(dump)
    tags = json.loads((folder / "index.json").read_text())[name]
    by_digest: dict[str, list[str]] = {}
    for tag, target in tags.items():
        by_digest.setdefault(target["digest"], []).append(tag)
    store = Store(referrers_api=referrers_api)
    for path in (folder / name / "manifests").iterdir():
        raw = path.read_bytes()
        digest = str(Digest.of(raw))
        media_type = json.loads(raw)["mediaType"]
        store.push_manifest(name, raw, media_type)
        for tag in by_digest.get(digest, []):
            if not tag.startswith("sha256:"):
                store.tag(name, tag, Digest.of(raw))
    for path in (folder / name / "blobs").iterdir():
        store.push_blob(name, path.read_bytes())
    (own,) = (target["digest"] for tag, target in tags.items() if not tag.startswith("sha256"))
    return store, Digest.parse(own)


def ask(store: Store, name: str, digest: Digest, option: str, path: Path) -> int:
    """Return the exit code of ``gate verify`` with ``--key`` or ``--policy``; it has printed its answer as JSON."""
    with serve(store) as address:
        return main(["verify", "--plain-http", option, str(path), "-o", "json", f"{address}/{name}@{digest}"])
