"""OCI layouts on disk, as the tools that people copy images with write them; any byte of them can be another."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from gate.core.manifests import OCI_MANIFEST, Descriptor
from gate.core.oci import Digest
from gate.demo import layouts
from gate.demo.signer import Signer
from gate.demo.store import Store

REPOSITORY = "acme/config"
REF_NAME = "org.opencontainers.image.ref.name"
COSIGN = "dev.cosignproject.cosign"


@dataclass(slots=True)
class Disk:
    """A layout that is being written; ``store`` holds what is signed, before it is copied."""

    path: Path
    store: Store = field(default_factory=lambda: Store(referrers_api=False))
    entries: list[dict[str, object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.path / "blobs" / "sha256").mkdir(parents=True)
        (self.path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        self.write_index()

    def image(self, content: str = "") -> Digest:
        """Put an image into the store and among the blobs, but not into the index."""
        config = {"mediaType": "application/x", "digest": str(Digest.of(b"{}")), "size": 2}
        self.blob(b"{}")
        raw = layouts.image(config, [], annotations={"content": content})
        self.blob(raw)
        return self.store.push_manifest(REPOSITORY, raw)

    def blob(self, data: bytes) -> Digest:
        digest = Digest.of(data)
        self.file(digest).write_bytes(data)
        return digest

    def file(self, digest: Digest) -> Path:
        return self.path / "blobs" / "sha256" / digest.hex

    def list(self, digest: Digest, name: str | None = None, kind: str | None = None, **members: object) -> None:
        """List a manifest in index.json, under a name or cosign's kind."""
        annotations = {key: value for key, value in ((REF_NAME, name), ("kind", kind)) if value is not None}
        size = self.file(digest).stat().st_size if self.file(digest).exists() else 1
        fields = layouts.descriptor_fields(Descriptor(OCI_MANIFEST, digest, size))
        self.entries.append({**fields, **({"annotations": annotations} if annotations else {}), **members})
        self.write_index()

    def write_index(self) -> None:
        index = {"schemaVersion": 2, "manifests": self.entries}
        (self.path / "index.json").write_text(json.dumps(index))

    def copy(self, reference: str | Digest) -> Digest:
        """Copy a manifest of the store and the blobs it names, without listing it."""
        found = self.store.manifest(REPOSITORY, reference)
        assert found is not None
        digest = self.blob(found[0])
        for member in _descriptors(json.loads(found[0])):
            blob = self.store.blob(REPOSITORY, Digest.parse(member))
            if blob is not None:
                self.blob(blob)
        return digest

    # What the tools write.

    def oras(self, digest: Digest, signer: Signer, tag: str = "v1") -> None:
        """``oras copy --recursive --to-oci-layout``: the image by its tag, what refers to it without one."""
        self.list(digest, tag)
        self.list(self.copy(signer.sign_bundle(self.store, REPOSITORY, digest)))

    def regctl(self, digest: Digest, signer: Signer, tag: str = "v1") -> None:
        """``regctl image copy --referrers --digest-tags``: the fallback index, and the signature's tag."""
        self.list(digest, tag)
        self.copy(signer.sign_bundle(self.store, REPOSITORY, digest))
        self.list(self.copy(digest.tag), digest.tag)
        signer.sign_tag(self.store, REPOSITORY, digest)
        self.list(self.copy(f"{digest.tag}.sig"), f"{digest.tag}.sig")

    def cosign2(self, digest: Digest, signer: Signer, name: str | None = None) -> None:
        """``cosign save`` of an image signed under its tag: kinds, and no names."""
        signer.sign_tag(self.store, REPOSITORY, digest)
        self.list(digest, name, f"{COSIGN}/image")
        self.list(self.copy(f"{digest.tag}.sig"), name, f"{COSIGN}/sigs")

    def cosign3(self, digest: Digest, signer: Signer) -> None:
        """``cosign save`` of version 3.1: of a bundle it copies the bytes and lists nothing."""
        self.list(digest, None, f"{COSIGN}/image")
        self.copy(signer.sign_bundle(self.store, REPOSITORY, digest))


def _descriptors(manifest: dict[str, object]) -> list[str]:
    members = [manifest.get("config"), *_listed(manifest.get("layers"))]
    return [str(member["digest"]) for member in members if isinstance(member, dict)]


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []
