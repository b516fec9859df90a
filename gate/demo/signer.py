"""A key that signs as cosign does: into a tag, into a referrer, or as a Sigstore bundle.

Every field can be overridden, because a verifier is tested with what no honest signer makes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias, TypedDict, Unpack

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gate.core.formats import dsse, sigstorebundle, simplesigning
from gate.core.manifests import (
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    parse_manifest,
    parse_manifest_by_layer,
)
from gate.core.oci import Digest
from gate.demo import layouts
from gate.demo.store import Store

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
CREATED = "2026-01-01T00:00:00Z"  # when a bundle says it was made; nothing reads it

_KINDS: dict[str, Callable[[], PrivateKey]] = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "rsa2048": lambda: rsa.generate_private_key(65537, 2048),
    "rsa3072": lambda: rsa.generate_private_key(65537, 3072),
    "rsa4096": lambda: rsa.generate_private_key(65537, 4096),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}
# cosign 3 takes the hash that goes with the curve, cosign 2 takes SHA-256 with every key.
_CURVE_HASHES: dict[str, hashes.HashAlgorithm] = {"secp384r1": hashes.SHA384(), "secp521r1": hashes.SHA512()}


class SimpleSigning(TypedDict, total=False):
    """What can be overridden in a simple signing payload, its layer and the manifest that holds it."""

    claim: Digest | str  # critical.image.docker-manifest-digest; the digest that is signed
    type: str  # critical.type
    reference: str  # critical.identity.docker-reference
    optional: Mapping[str, object] | None
    payload: bytes  # the whole payload; the four above are then not used
    hash: hashes.HashAlgorithm
    signature: bytes | str | None  # raw bytes, or the annotation's text; None leaves the annotation out
    annotations: Mapping[str, str]  # more annotations of the layer
    layer: Mapping[str, object]  # members of the layer's descriptor
    config: Mapping[str, object]  # members of the config's descriptor
    manifest: Mapping[str, object]  # members of the manifest; None leaves one out
    media_type: str  # what the registry says of the manifest


class TagSigning(SimpleSigning, total=False):
    """As SimpleSigning, for a signature that is found by its tag."""

    tag: str  # sha256-<hex>.sig
    append: bool  # keep the layers of a signature that is already there, as cosign does; the default


class ReferrerSigning(SimpleSigning, total=False):
    """As SimpleSigning, for a signature that names its subject."""

    subject: Digest  # what the manifest refers to; the digest that is signed
    fallback: bool  # also write the fallback tag; the default where the registry has no referrers API


class BundleSigning(TypedDict, total=False):
    """What can be overridden in a Sigstore bundle, its statement and the manifest that holds it."""

    claim: Digest | str | Sequence[Digest | str]  # the statement's subjects; the digest that is signed
    predicate_type: str
    predicate: object
    statement_type: str
    subject_annotations: Mapping[str, str]
    statement: bytes  # the whole statement; the five above are then not used
    payload_type: str
    hash: hashes.HashAlgorithm
    signatures: Sequence[bytes]  # raw; one good one
    material: Mapping[str, object]  # verificationMaterial; the key's hint
    bundle: Mapping[str, object]  # members of the bundle; None leaves one out
    document: bytes  # the whole bundle; all of the above is then not used
    layer: Mapping[str, object]
    config: Mapping[str, object]
    manifest: Mapping[str, object]
    media_type: str
    subject: Digest
    fallback: bool


@dataclass(frozen=True, slots=True)
class Signer:
    """One private key."""

    key: PrivateKey

    @classmethod
    def generate(cls, kind: str = "p256") -> Self:
        """Return a signer with a fresh key: p256, p384, p521, rsa2048, rsa3072, rsa4096 or ed25519."""
        return cls(_KINDS[kind]())

    @property
    def public_pem(self) -> bytes:
        """The public key as cosign.pub holds it."""
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    @property
    def hint(self) -> str:
        """The public key's name in a bundle: base64 of the SHA-256 of its SPKI DER."""
        spki = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(hashlib.sha256(spki).digest()).decode()

    def sign(self, message: bytes, algorithm: hashes.HashAlgorithm | None = None) -> bytes:
        """Return a signature over ``message``: ECDSA in DER, PKCS #1 v1.5, or pure Ed25519 (which has no choice)."""
        match self.key:
            case ec.EllipticCurvePrivateKey():
                chosen = algorithm or _CURVE_HASHES.get(self.key.curve.name, hashes.SHA256())
                return self.key.sign(message, ec.ECDSA(chosen))
            case rsa.RSAPrivateKey():
                return self.key.sign(message, padding.PKCS1v15(), algorithm or hashes.SHA256())
            case ed25519.Ed25519PrivateKey():
                return self.key.sign(message)

    def sign_tag(self, store: Store, repository: str, digest: Digest, **changes: Unpack[TagSigning]) -> Digest:
        """Sign ``digest`` under the tag ``sha256-<hex>.sig`` and return the digest of the signature manifest."""
        layer = self._layer(store, repository, digest, changes)
        tag = changes.get("tag", f"{digest.tag}.sig")
        known = _layers(store, repository, tag) if changes.get("append", True) else []
        layers = [*known, layer]
        config = {**_signature_config(store, repository, layers), **changes.get("config", {})}
        raw = layouts.image(config, layers, **changes.get("manifest", {}))
        return store.push_manifest(repository, raw, changes.get("media_type", OCI_MANIFEST), tag=tag)

    def sign_referrer(
        self, store: Store, repository: str, digest: Digest, **changes: Unpack[ReferrerSigning]
    ) -> Digest:
        """Sign ``digest`` in a manifest whose subject it is, and return the digest of that manifest."""
        layers = [self._layer(store, repository, digest, changes)]
        config = _signature_config(store, repository, layers) | {"mediaType": layouts.SIGNATURE_CONFIG}
        subject = changes.get("subject", digest)
        members = {"subject": _subject(store, repository, subject), **changes.get("manifest", {})}
        raw = layouts.image({**config, **changes.get("config", {})}, layers, **members)
        pushed = store.push_manifest(repository, raw, changes.get("media_type", OCI_MANIFEST))
        if changes.get("fallback", not store.referrers_api):
            list_in_fallback(store, repository, subject, pushed)
        return pushed

    def sign_bundle(self, store: Store, repository: str, digest: Digest, **changes: Unpack[BundleSigning]) -> Digest:
        """Sign ``digest`` with a bundle in a manifest whose subject it is, and return the digest of that manifest."""
        document = changes["document"] if "document" in changes else self._bundle(digest, changes)
        layer = _push(store, repository, document, sigstorebundle.BUNDLE_TYPE)
        config = {
            **_push(store, repository, layouts.EMPTY, layouts.EMPTY_CONFIG),
            "artifactType": sigstorebundle.BUNDLE_TYPE,
            **changes.get("config", {}),
        }
        subject = changes.get("subject", digest)
        members: dict[str, object] = {
            "annotations": {
                "dev.sigstore.bundle.content": "dsse-envelope",
                "dev.sigstore.bundle.predicateType": changes.get("predicate_type", dsse.SIGNATURE_PREDICATE),
                "org.opencontainers.image.created": CREATED,
            },
            "subject": _subject(store, repository, subject),
            "artifactType": sigstorebundle.BUNDLE_TYPE,
            **changes.get("manifest", {}),
        }
        raw = layouts.image(config, [{**layer, **changes.get("layer", {})}], **members)
        pushed = store.push_manifest(repository, raw, changes.get("media_type", OCI_MANIFEST))
        if changes.get("fallback", not store.referrers_api):
            list_in_fallback(store, repository, subject, pushed)
        return pushed

    def _layer(self, store: Store, repository: str, digest: Digest, changes: SimpleSigning) -> layouts.Fields:
        payload = changes["payload"] if "payload" in changes else _payload(repository, digest, changes)
        made = self.sign(payload, changes.get("hash"))
        signature = changes.get("signature", made)
        text = base64.b64encode(signature).decode() if isinstance(signature, bytes) else signature
        annotations = {} if text is None else {simplesigning.SIGNATURE_ANNOTATION: text}
        return {
            **_push(store, repository, payload, simplesigning.LAYER_TYPE),
            "annotations": {**annotations, **changes.get("annotations", {})},
            **changes.get("layer", {}),
        }

    def _bundle(self, digest: Digest, changes: BundleSigning) -> bytes:
        statement = changes["statement"] if "statement" in changes else _statement(digest, changes)
        payload_type = changes.get("payload_type", dsse.IN_TOTO_TYPE)
        message = dsse.pre_authentication_encoding(payload_type, statement)
        made = self.sign(message, changes.get("hash"))
        members: dict[str, object] = {
            "mediaType": sigstorebundle.BUNDLE_TYPE,
            "verificationMaterial": changes.get("material", {"publicKey": {"hint": self.hint}}),
            "dsseEnvelope": layouts.envelope(statement, changes.get("signatures", [made]), payload_type),
            **changes.get("bundle", {}),
        }
        return layouts.compact({name: value for name, value in members.items() if value is not None})


def _payload(repository: str, digest: Digest, changes: SimpleSigning) -> bytes:
    return layouts.payload(
        changes.get("claim", digest),
        changes.get("reference", f"registry.example/{repository}"),
        changes.get("type", simplesigning.PAYLOAD_TYPE),
        changes.get("optional"),
    )


def _statement(digest: Digest, changes: BundleSigning) -> bytes:
    claim = changes.get("claim", digest)
    return layouts.statement(
        [claim] if isinstance(claim, Digest | str) else claim,
        changes.get("predicate_type", dsse.SIGNATURE_PREDICATE),
        changes.get("statement_type", layouts.STATEMENT_TYPE),
        changes.get("subject_annotations", {}),
        changes.get("predicate", {}),
    )


def list_in_fallback(store: Store, repository: str, subject: Digest, referrer: Digest) -> None:
    """Add ``referrer`` to the index under the tag ``sha256-<hex>`` of ``subject``.

    As cosign writes it: the artifact type is that of the config, and there are no annotations.
    """
    found = store.manifest(repository, referrer)
    if found is None:
        raise ValueError("only what was pushed can be listed")
    raw, media_type = found
    manifest = parse_manifest_by_layer(raw)
    artifact_type = manifest.config.media_type if isinstance(manifest, Manifest) else None
    entry = Descriptor(media_type, referrer, len(raw), artifact_type=artifact_type)
    listed = [item for item in _listed(store, repository, subject) if item.digest != referrer]
    index = layouts.index([layouts.descriptor_fields(item) for item in (*listed, entry)])
    store.push_manifest(repository, index, OCI_INDEX, tag=subject.tag)


def _listed(store: Store, repository: str, subject: Digest) -> tuple[Descriptor, ...]:
    found = store.manifest(repository, subject.tag)
    if found is None:
        return ()
    index = parse_manifest(found[0])
    return index.manifests if isinstance(index, Index) else ()


def _push(store: Store, repository: str, data: bytes, media_type: str) -> dict[str, object]:
    digest = store.push_blob(repository, data)
    return layouts.descriptor_fields(Descriptor(media_type, digest, len(data)))


def _subject(store: Store, repository: str, digest: Digest) -> layouts.Fields:
    """Return the descriptor of the subject; one that is not there yet is said to be an empty image manifest."""
    raw, media_type = store.manifest(repository, digest) or (b"", OCI_MANIFEST)
    return layouts.descriptor_fields(Descriptor(media_type, digest, len(raw)))


def _layers(store: Store, repository: str, tag: str) -> list[layouts.Fields]:
    """Return the layers of the signature that ``tag`` names, or none."""
    found = store.manifest(repository, tag)
    if found is None:
        return []
    manifest = parse_manifest(found[0])
    return [layouts.descriptor_fields(layer) for layer in manifest.layers] if isinstance(manifest, Manifest) else []


def _signature_config(store: Store, repository: str, layers: Sequence[layouts.Fields]) -> dict[str, object]:
    config = layouts.signature_config([str(layer.get("digest")) for layer in layers])
    return _push(store, repository, config, layouts.IMAGE_CONFIG)
