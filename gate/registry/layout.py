"""An OCI image layout on disk, asked as a registry is asked (image-spec v1.1, image-layout.md). No network.

Where tools put what is signed about an image differs, and all of it is looked at, because each candidate is judged by
its own bytes alone:

- ``oras copy --recursive`` lists referrers in index.json, and ``regctl image copy --referrers`` in the fallback index
  under the tag ``sha256-<hex>``; ``regctl image copy --digest-tags`` keeps the tag ``sha256-<hex>.sig``.
- ``cosign save`` lists the manifest under ``sha256-<hex>.sig`` without a tag, as ``kind: …/sigs``. Of a bundle cosign
  3.1 leaves the manifest among the blobs without listing it, so the blobs are looked through for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from gate.core import limits, strictjson
from gate.core.deadline import Deadline
from gate.core.errors import ConfigError, MalformedError, UnavailableError
from gate.core.manifests import OCI_MANIFEST, Descriptor, listed_manifests
from gate.core.oci import LAYOUT_PREFIX, Digest, Reference
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.registry.client import Document
from gate.registry.folder import Folder
from gate.registry.referrers import Entries, Listed, subject_of

VERSION = "1.0.0"  # image-layout.md, "oci-layout file": the only one there is
MARKER_BYTES = 4 * limits.KIB  # of oci-layout, which holds that version
BLOBS = 16_384  # files in blobs/sha256; a hundred images have a few thousand
# Of blobs that begin like JSON, which are read to find what refers to an image; a manifest has about 1 KiB.
SCANNED_BYTES = 64 * limits.MIB
SHOWN = 8  # tags named in a message

REF_NAME = "org.opencontainers.image.ref.name"  # image-spec annotations.md: in index.json, the tag
_KIND = "kind"  # cosign, pkg/oci/layout/index.go
_IMAGE_KINDS = frozenset({"dev.cosignproject.cosign/image", "dev.cosignproject.cosign/imageIndex"})
_SIGNATURES_KIND = "dev.cosignproject.cosign/sigs"
_ATTESTATIONS_KIND = "dev.cosignproject.cosign/atts"
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)  # distribution-spec v1.1, "Pulling manifests"
_ABOUT_A_DIGEST = re.compile(r"sha256-[0-9a-f]{64}(?:\..*)?", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)
_JSON_STARTS = b"{ \t\r\n"  # of a JSON object, RFC 8259 section 2: no compressed layer begins so


@dataclass(frozen=True, slots=True)
class LayoutImage:
    """An image on disk: ``oci:DIR``, or ``oci:DIR:TAG``, or ``oci:DIR@DIGEST``."""

    directory: Path
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the image that ``text``, which begins with ``oci:``, names, or raise MalformedError."""
        rest = text.removeprefix(LAYOUT_PREFIX)
        if rest.startswith("//"):
            raise MalformedError(f"{quote(text)}: an image in a registry is named without oci://, a layout as oci:DIR")
        directory, at, digest = rest.rpartition("@sha256:")
        rest = directory if at else rest
        directory, colon, tag = rest.rpartition(":")
        tagged = bool(colon) and _TAG.fullmatch(tag) is not None
        if at and tagged:
            raise MalformedError(f"{quote(text)} names a tag and a digest; of a layout, name one of them")
        if not (directory if tagged else rest):
            raise MalformedError(f"{quote(text)} names no directory")
        pinned = Digest.parse(f"sha256:{digest}") if at else None
        return cls(Path(directory), tag) if tagged else cls(Path(rest), None, pinned)


@dataclass(frozen=True, slots=True)
class Layout:
    """The images of one directory: discovery's Client, for whichever repository it is asked.

    ``entries`` are those of index.json. Methods raise UnavailableError for bytes that are listed and are not there, are
    others or cannot be read, and MalformedError for what is there and is not what it should be.
    """

    folder: Folder
    entries: tuple[Descriptor, ...]

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Return the layout in ``directory``; ConfigError where there is no layout at all."""
        folder = Folder(directory)
        folder.require()
        marker = folder.read("oci-layout", limit=MARKER_BYTES)
        if marker is None:
            raise ConfigError(f"{quote(str(directory))} is not an OCI layout: it has no file oci-layout")
        version = strictjson.loads_object(marker, limit=MARKER_BYTES).get("imageLayoutVersion")
        if version != VERSION:
            raise MalformedError(f"the layout's imageLayoutVersion is not {VERSION}")
        index = folder.read("index.json", limit=limits.MANIFEST_BYTES)
        if index is None:
            raise MalformedError("the layout has no index.json")
        return cls(folder, _entries(index))

    def subject(self, image: LayoutImage) -> Document | None:
        """Return the image's manifest or index, or None where the layout has no such image.

        Without a tag or digest it is the one image of the layout; ConfigError where there are several.
        """
        if image.digest is not None:
            if self._blob(image.digest) is None:
                return None
            return self._document(image.digest, None, limits.MANIFEST_BYTES)
        named = self._only() if image.tag is None else self._named(image.tag)
        return None if named is None else self._document(named.digest, named.media_type, limits.MANIFEST_BYTES)

    @property
    def names(self) -> tuple[str, ...]:
        """The first names of its images in order, as many as a message shows."""
        found = {entry.annotation(REF_NAME) for entry in self._images()}
        return tuple(sorted(name for name in found if name is not None))[:SHOWN]

    def manifest(
        self,
        repository: str,  # noqa: ARG002 (what a layout is called is not in it)
        reference: str | Digest,
        deadline: Deadline,  # noqa: ARG002 (a disk answers)
        *,
        limit: int = limits.MANIFEST_BYTES,
    ) -> Document | None:
        """Return the manifest or index, or None where index.json does not have the tag."""
        if isinstance(reference, Digest):
            return self._document(reference, None, limit)
        named = self._named(reference)
        return None if named is None else self._document(named.digest, named.media_type, limit)

    def blob(self, repository: str, descriptor: Descriptor, limit: int, deadline: Deadline) -> bytes:  # noqa: ARG002
        """Return the bytes that ``descriptor`` names, digest and size compared; above ``limit``: UnavailableError."""
        if descriptor.size > limit:
            message = f"the blob {descriptor.digest} has {descriptor.size} bytes, more than the {limit} that gate reads"
            raise UnavailableError(Reason.LIMIT, message)
        data = self._document(descriptor.digest, None, limit).raw
        if len(data) != descriptor.size:
            raise _layout_error(f"the blob {descriptor.digest} has another number of bytes than its descriptor says")
        return data

    def referrers_api(self, repository: str, digest: Digest, deadline: Deadline) -> Listed:  # noqa: ARG002
        """Return every manifest among the blobs whose subject is ``digest``, and what ``cosign save`` lists for it."""
        found: list[Descriptor] = []
        read = 0
        for file in self.folder.files("blobs", "sha256", most=BLOBS):
            if file.size > limits.MANIFEST_BYTES:
                break  # the files come in the order of their size
            if deadline.clock() >= deadline.at:
                raise UnavailableError(Reason.DEADLINE, "the deadline passed before all blobs were looked through")
            head = self.folder.head("blobs", "sha256", file.name, most=1)
            if _HEX.fullmatch(file.name) is None or not head or head not in _JSON_STARTS:
                continue
            read += file.size
            if read > SCANNED_BYTES:
                raise UnavailableError(Reason.LIMIT, f"more than {SCANNED_BYTES} bytes would have to be looked through")
            raw = self._blob(Digest(file.name))
            if raw is not None and subject_of(raw) == digest:
                found.append(Descriptor(OCI_MANIFEST, Digest(file.name), len(raw)))
        return Listed((*found, *self._saved(digest)))

    def referrers_tag(self, repository: str, digest: Digest, deadline: Deadline) -> Listed:
        """Return what the fallback tag ``sha256-<hex>`` lists for ``digest``; nothing where there is no such tag."""
        document = self.manifest(repository, digest.tag, deadline)
        if document is None:
            return Listed()
        entries = Entries(quote(str(digest)))
        entries.add(document.raw)
        return entries.found()

    def _saved(self, digest: Digest) -> tuple[Descriptor, ...]:
        """Return the signatures that ``cosign save`` put beside the image; where it is one of many, of its name."""
        names = {entry.annotation(REF_NAME) for entry in self.entries if _is_image(entry) and entry.digest == digest}
        signatures = (entry for entry in self.entries if entry.annotation(_KIND) == _SIGNATURES_KIND)
        return tuple(entry for entry in signatures if entry.annotation(REF_NAME) in names)

    def _images(self) -> tuple[Descriptor, ...]:
        """Return the entries that may be meant by the layout as a whole: not what is only there about another one."""
        saved = tuple(entry for entry in self.entries if _is_image(entry))
        others = tuple(entry for entry in self.entries if not _is_about_another(entry))
        return saved or tuple(entry for entry in others if _name(entry)) or others

    def _only(self) -> Descriptor | None:
        images = {entry.digest: entry for entry in self._images()}
        if len(images) <= 1:
            return next(iter(images.values()), None)
        shown = ", ".join(map(quote, self.names)) or ", ".join(map(str, list(images)[:SHOWN]))
        raise ConfigError(
            f"the layout {quote(str(self.folder.path))} holds {len(images)} images: append :TAG or @DIGEST ({shown})"
        )

    def _named(self, tag: str) -> Descriptor | None:
        """Return the entry with the tag; some tools write a whole reference in its place."""
        exact = {entry.digest: entry for entry in self.entries if _name(entry) == tag}
        found = exact or {entry.digest: entry for entry in self.entries if _tag_of(_name(entry)) == tag}
        if len(found) > 1:
            raise MalformedError(f"the layout's index.json gives {quote(tag)} to {len(found)} manifests; name a digest")
        return next(iter(found.values()), None)

    def _document(self, digest: Digest, media_type: str | None, limit: int) -> Document:
        raw = self._blob(digest)
        if raw is None:
            raise _layout_error(f"the layout lists {digest} and lacks its bytes")
        if Digest.of(raw) != digest:
            raise _layout_error(f"the layout holds other bytes in the place of {digest}")
        if len(raw) > limit:
            raise UnavailableError(Reason.LIMIT, f"{digest} has {len(raw)} bytes, more than the {limit} expected of it")
        return Document(digest, media_type, raw)

    def _blob(self, digest: Digest) -> bytes | None:
        # Nothing that is read as a whole is longer than a manifest may be.
        return self.folder.read("blobs", "sha256", digest.hex, limit=limits.MANIFEST_BYTES)


def _entries(index: bytes) -> tuple[Descriptor, ...]:
    """Return the entries of index.json; one that is no descriptor hides none of the others."""
    found = []
    for entry in listed_manifests(strictjson.loads_object(index, limit=limits.MANIFEST_BYTES)):
        try:
            found.append(Descriptor.parse(entry, "an entry of index.json"))
        except MalformedError:
            continue
    return tuple(found)


def _is_image(entry: Descriptor) -> bool:
    return entry.annotation(_KIND) in _IMAGE_KINDS


def _is_about_another(entry: Descriptor) -> bool:
    kind = entry.annotation(_KIND)
    return kind in (_SIGNATURES_KIND, _ATTESTATIONS_KIND) or _ABOUT_A_DIGEST.fullmatch(_name(entry)) is not None


def _name(entry: Descriptor) -> str:
    return entry.annotation(REF_NAME) or ""


def _tag_of(name: str) -> str | None:
    try:
        return Reference.parse(name).tag
    except MalformedError:
        return None


def _layout_error(message: str) -> UnavailableError:
    return UnavailableError(Reason.LAYOUT_ERROR, message)
