"""Where cosign puts what it signs, byte for byte as its releases 2 and 3 write it (Go's field order, no whitespace)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence

from gate.core.formats import dsse, simplesigning
from gate.core.manifests import OCI_INDEX, OCI_MANIFEST, Descriptor
from gate.core.oci import Digest

IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
SIGNATURE_CONFIG = "application/vnd.dev.cosign.artifact.sig.v1+json"
EMPTY_CONFIG = "application/vnd.oci.empty.v1+json"
EMPTY = b"{}"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_EPOCH = "0001-01-01T00:00:00Z"  # Go's zero time, which cosign leaves in the configuration of its signature images

Fields = Mapping[str, object]


def compact(value: object) -> bytes:
    """Return ``value`` as JSON the way Go writes it: without whitespace, members in the order given."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def descriptor_fields(descriptor: Descriptor) -> dict[str, object]:
    """Return the descriptor as JSON members, absent ones left out."""
    fields: dict[str, object] = {
        "mediaType": descriptor.media_type,
        "size": descriptor.size,
        "digest": str(descriptor.digest),
    }
    if descriptor.annotations:
        fields["annotations"] = dict(descriptor.annotations)
    if descriptor.artifact_type is not None:
        fields["artifactType"] = descriptor.artifact_type
    return fields


def payload(
    digest: Digest | str, reference: str, kind: str = simplesigning.PAYLOAD_TYPE, optional: object = None
) -> bytes:
    """Return a simple signing payload, cosign SIGNATURE_SPEC.md."""
    critical = {
        "identity": {"docker-reference": reference},
        "image": {"docker-manifest-digest": str(digest)},
        "type": kind,
    }
    return compact({"critical": critical, "optional": optional})


def signature_config(layers: Sequence[str]) -> bytes:
    """Return the image configuration of a signature image with these layers."""
    history = [{"created": _EPOCH} for _ in layers]
    rootfs = {"type": "layers", "diff_ids": list(layers)}
    return compact(
        {"architecture": "", "created": _EPOCH, "history": history, "os": "", "rootfs": rootfs, "config": {}}
    )


def image(config: Fields, layers: Sequence[Fields], **members: object) -> bytes:
    """Return an image manifest, followed by those of ``members`` (subject, annotations …) that are not None."""
    head: dict[str, object] = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": list(layers)}
    return compact(head | {name: value for name, value in members.items() if value is not None})


def index(manifests: Sequence[Fields]) -> bytes:
    """Return an image index."""
    return compact({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(manifests)})


def statement(
    digests: Sequence[Digest | str], predicate_type: str, kind: str, annotations: Mapping[str, str], predicate: object
) -> bytes:
    """Return an in-toto statement about ``digests`` in the shape of cosign's: subjects without names."""
    subjects = [
        {"digest": {"sha256": str(digest).removeprefix("sha256:")}, "annotations": dict(annotations)}
        for digest in digests
    ]
    return compact({"_type": kind, "subject": subjects, "predicateType": predicate_type, "predicate": predicate})


def envelope(statement_bytes: bytes, signatures: Sequence[bytes], payload_type: str = dsse.IN_TOTO_TYPE) -> Fields:
    """Return a DSSE envelope."""
    return {
        "payload": base64.b64encode(statement_bytes).decode(),
        "payloadType": payload_type,
        "signatures": [{"sig": base64.b64encode(signature).decode()} for signature in signatures],
    }
