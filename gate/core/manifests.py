"""OCI content: descriptors, manifests and indexes (image-spec v1.1, distribution-spec v1.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from gate.core import limits, strictjson
from gate.core.errors import MalformedError, UnavailableError
from gate.core.oci import Digest
from gate.core.quote import quote
from gate.core.reasons import Reason

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFEST_TYPES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_INDEX})

DEFAULT_PLATFORM = "linux/amd64"  # of an index's entry without one: go-containerregistry, childByPlatform

_SIZE_MAX = 2**63 - 1  # image-spec descriptor.md: int64

Annotations = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A pointer to content: its type, digest, size in bytes and annotations (image-spec descriptor.md).

    ``platform`` is an index's word on an entry, as os/architecture; None elsewhere.
    """

    media_type: str
    digest: Digest
    size: int
    annotations: Annotations = ()
    artifact_type: str | None = None
    platform: str | None = None

    @classmethod
    def parse(cls, value: strictjson.Json, what: str) -> Self:
        """Return the descriptor in ``value``, or raise MalformedError that names ``what``.

        UnavailableError (limit) for annotations of more than 256 KiB.
        """
        fields = strictjson.expect_object(value, what)
        size = strictjson.expect_integer(fields.get("size"), f"the size of {what}")
        if not 0 <= size <= _SIZE_MAX:
            raise MalformedError(f"the size of {what} is out of range")
        return cls(
            strictjson.expect_string(fields.get("mediaType"), f"the mediaType of {what}"),
            Digest.parse(strictjson.expect_string(fields.get("digest"), f"the digest of {what}")),
            size,
            _annotations(fields.get("annotations"), what),
            _optional_string(fields.get("artifactType"), f"the artifactType of {what}"),
        )

    def annotation(self, name: str) -> str | None:
        """Return the value of the annotation, or None when it is absent."""
        return next((value for key, value in self.annotations if key == name), None)


@dataclass(frozen=True, slots=True)
class UnreadableLayer:
    """A layer whose descriptor cannot be read, because it is malformed or above a limit.

    ``media_type`` is what it says it is; None where not even that can be read.
    """

    media_type: str | None
    # Not the error itself, which keeps the frames it was raised through, and with them the whole document.
    reason: Reason
    message: str

    @property
    def excess(self) -> UnavailableError | None:
        """What is above a limit, or None where the layer is malformed."""
        return None if self.reason is Reason.MALFORMED else UnavailableError(self.reason, self.message)


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image manifest: ``digest`` is of the bytes that were parsed, ``all_layers`` are in their order."""

    digest: Digest
    media_type: str
    artifact_type: str | None
    config: Descriptor
    all_layers: tuple[Descriptor | UnreadableLayer, ...]
    subject: Descriptor | None
    annotations: Annotations = ()

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        """The layers that can be read: of what parse_manifest() returns, all of them."""
        return tuple(layer for layer in self.all_layers if isinstance(layer, Descriptor))

    @property
    def unreadable_layers(self) -> tuple[UnreadableLayer, ...]:
        """The layers that cannot be read."""
        return tuple(layer for layer in self.all_layers if isinstance(layer, UnreadableLayer))

    def require_layers(self) -> None:
        """Return if every layer can be read, else raise the error of the first that cannot."""
        for layer in self.unreadable_layers:
            raise layer.excess or MalformedError(layer.message)


@dataclass(frozen=True, slots=True)
class Index:
    """An index of manifests: ``digest`` is of the bytes that were parsed."""

    digest: Digest
    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: Annotations = ()


def parse_manifest(raw: bytes, content_type: str | None = None) -> Manifest | Index:
    """Return the manifest or index in ``raw``, or raise MalformedError.

    UnavailableError (limit) for an index that is too long, and for annotations that are too large.

    ``content_type`` is what the registry said of it. A document that says two things of itself is refused
    (image-spec manifest.md, "mediaType"; CVE-2021-41190).
    """
    found = parse_manifest_by_layer(raw, content_type)
    if isinstance(found, Manifest):
        found.require_layers()
    return found


def parse_manifest_by_layer(raw: bytes, content_type: str | None = None) -> Manifest | Index:
    """Return what parse_manifest() returns, or raise what it raises, except for a layer that cannot be read.

    That is an UnreadableLayer among the others: where each layer is a signature of its own, a bad one disables none.
    What comes after 64 of them is not looked at, and is one more of them (limit).
    """
    fields = strictjson.loads_object(raw, limit=limits.MANIFEST_BYTES)
    media_type = _optional_string(fields.get("mediaType"), "the manifest's mediaType")
    if "manifests" in fields and ("layers" in fields or "config" in fields):
        raise MalformedError("the manifest is an index and an image at once")
    known = INDEX_TYPES if "manifests" in fields else MANIFEST_TYPES
    fallback = OCI_INDEX if "manifests" in fields else OCI_MANIFEST
    for claimed in (media_type, content_type if content_type in INDEX_TYPES | MANIFEST_TYPES else None):
        if claimed is not None and claimed not in known:
            raise MalformedError(f"the manifest's content is not what its media type {quote(claimed)} says")
    if media_type is not None and content_type in INDEX_TYPES | MANIFEST_TYPES and content_type != media_type:
        raise MalformedError("the manifest's media type is not the one that the registry names")
    resolved = media_type or (content_type if content_type in known else None) or fallback
    if "manifests" in fields:
        return _parse_index(fields, Digest.of(raw), resolved)
    return _parse_image(fields, Digest.of(raw), resolved)


def _parse_index(fields: strictjson.Object, digest: Digest, media_type: str) -> Index:
    _expect_one_spelling(fields, "manifests", "mediaType")
    return Index(digest, media_type, parse_descriptors(fields), _annotations(fields.get("annotations"), "the index"))


def parse_descriptors(index: strictjson.Object) -> tuple[Descriptor, ...]:
    """Return the descriptors of an index; MalformedError for a bad one, UnavailableError (limit) for more than 256."""
    entries = listed_manifests(index)
    if len(entries) > limits.INDEX_ENTRIES:
        message = f"an index lists {len(entries)} manifests, more than {limits.INDEX_ENTRIES}"
        raise UnavailableError(Reason.LIMIT, message)
    return tuple(_parse_entry(entry) for entry in entries)


def _parse_entry(entry: strictjson.Json) -> Descriptor:
    descriptor = Descriptor.parse(entry, "a manifest of the index")
    fields = strictjson.expect_object(entry, "a manifest of the index")
    _expect_one_spelling(fields, "mediaType", "digest", "platform")
    platform = fields.get("platform")
    if platform is None:
        return replace(descriptor, platform=DEFAULT_PLATFORM)
    named = strictjson.expect_object(platform, "the platform of a manifest of the index")
    _expect_one_spelling(named, "os", "architecture")
    system = strictjson.expect_string(named.get("os", ""), "the os of a platform")
    architecture = strictjson.expect_string(named.get("architecture", ""), "the architecture of a platform")
    return replace(descriptor, platform=f"{system}/{architecture}")


def _expect_one_spelling(fields: strictjson.Object, *names: str) -> None:
    """Raise MalformedError for a member that who reads without regard to case (Go's encoding/json) takes for another.

    Of an index that says two things, gate would look at one manifest and Config Sync sync another.
    """
    folded = {name.casefold(): name for name in names}
    for member in fields:
        if folded.get(member.casefold(), member) != member:
            raise MalformedError(f"the index spells a member {quote(member)}")


def listed_manifests(index: strictjson.Object) -> Sequence[strictjson.Json]:
    """Return the entries of an index, unread, or raise MalformedError when it has no list of them."""
    if "manifests" not in index:
        raise MalformedError("the index has no manifests")
    listed = index["manifests"]
    # An empty list is null where a registry written in Go answers.
    return () if listed is None else strictjson.expect_array(listed, "the index's manifests")


def _parse_image(fields: strictjson.Object, digest: Digest, media_type: str) -> Manifest:
    subject = fields.get("subject")
    return Manifest(
        digest,
        media_type,
        _optional_string(fields.get("artifactType"), "the manifest's artifactType"),
        Descriptor.parse(fields.get("config"), "the manifest's config"),
        _parse_layers(strictjson.expect_array(fields.get("layers"), "the manifest's layers")),
        None if subject is None else Descriptor.parse(subject, "the manifest's subject"),
        _annotations(fields.get("annotations"), "the manifest"),
    )


def _parse_layers(values: Sequence[strictjson.Json]) -> tuple[Descriptor | UnreadableLayer, ...]:
    layers: list[Descriptor | UnreadableLayer] = []
    unreadable = 0
    for value in values:
        # One takes as little as 2 bytes of the manifest, and 150 bytes of memory.
        if unreadable == limits.SIGNATURE_LAYERS:
            message = f"{unreadable} layers of the manifest cannot be read, and what follows them is not looked at"
            return (*layers, UnreadableLayer(None, Reason.LIMIT, message))
        layer = _parse_layer(value)
        unreadable += isinstance(layer, UnreadableLayer)
        layers.append(layer)
    return tuple(layers)


def _parse_layer(value: strictjson.Json) -> Descriptor | UnreadableLayer:
    try:
        return Descriptor.parse(value, "a layer of the manifest")
    except (MalformedError, UnavailableError) as error:
        media_type = value.get("mediaType") if isinstance(value, Mapping) else None
        return UnreadableLayer(media_type if isinstance(media_type, str) else None, error.reason, error.message)


def _optional_string(value: strictjson.Json, what: str) -> str | None:
    return None if value is None else strictjson.expect_string(value, what)


def _annotations(value: strictjson.Json, what: str) -> Annotations:
    if value is None:
        return ()
    members: Mapping[str, strictjson.Json] = strictjson.expect_object(value, f"the annotations of {what}")
    pairs = tuple((name, strictjson.expect_string(text, f"an annotation of {what}")) for name, text in members.items())
    if sum(len(name.encode()) + len(text.encode()) for name, text in pairs) > limits.ANNOTATIONS_BYTES:
        message = f"the annotations of {what} are larger than {limits.ANNOTATIONS_BYTES} bytes"
        raise UnavailableError(Reason.LIMIT, message)
    return pairs
