"""Signature formats: each recognises a manifest, says which documents it wants, and reads candidates from their bytes.

A format never fetches, and never judges: whether a candidate counts is for an authority to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gate.core import limits, strictjson
from gate.core.errors import UnavailableError
from gate.core.formats.bundle import BundleFormat
from gate.core.formats.simplesigning import SimpleSigningFormat
from gate.core.manifests import Descriptor, Index, Manifest, parse_manifest_by_layer
from gate.core.oci import Digest
from gate.core.reasons import Reason
from gate.core.signature import Candidate


class Format(Protocol):
    """One way to store signatures in a registry."""

    @property
    def name(self) -> str:
        """The format's name in records."""

    def recognises(self, manifest: Manifest) -> bool:
        """Return whether the manifest, by its own content, holds candidates of this format."""

    def wanted(self, manifest: Manifest) -> tuple[Descriptor, ...]:
        """Return the documents to fetch, within the limits: what is too much does not hide the rest."""

    def omitted(self, manifest: Manifest) -> UnavailableError | None:
        """Return why some documents are not wanted though the format could read them (limit), or None."""

    def read(self, manifest: Manifest, location: str, documents: Mapping[Digest, bytes]) -> tuple[Candidate, ...]:
        """Return the candidates of the manifest, a refused one for each layer that is malformed.

        ``documents`` holds the bytes that could be fetched: for one that is missing there is no candidate, because
        whoever fetched it has recorded why.
        """


FORMATS: tuple[Format, ...] = (SimpleSigningFormat(), BundleFormat())


def recognise(manifest: Manifest) -> Format | None:
    """Return the format that the manifest's own content shows, or None: then it is no candidate at all."""
    return next((form for form in FORMATS if form.recognises(manifest)), None)


def parse_candidate(raw: bytes, content_type: str | None = None) -> Manifest | Index:
    """Return the manifest or index in ``raw``, which may hold candidates, or raise what parse_manifest() raises.

    UnavailableError (limit) also for more values than a signature manifest has: there may be 65 of them.

    A layer that cannot be read is left to the format, which judges each alone. Where no format recognises the manifest,
    nobody can say what the layer is, and it is an error as in any image.
    """
    if strictjson.count_values(raw) > limits.CANDIDATE_VALUES:
        raise UnavailableError(Reason.LIMIT, f"a manifest has more than {limits.CANDIDATE_VALUES} values")
    found = parse_manifest_by_layer(raw, content_type)
    if isinstance(found, Manifest) and recognise(found) is None:
        found.require_layers()
    return found
