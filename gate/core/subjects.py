"""What may be asked about: each is an image, and a way in which a digest becomes what is synced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from gate.core.oci import Digest, Reference


@dataclass(frozen=True, slots=True)
class Image:
    """What Config Sync syncs of ``reference``: the image it names, or of an index the linux/amd64 manifest."""

    reference: Reference


@dataclass(frozen=True, slots=True)
class Claimed:
    """``digest``, of which it is said that it is what is synced of ``image``, by its tag or from an index it pins."""

    image: Reference
    digest: Digest

    @property
    def reference(self) -> Reference:
        """The image at the digest."""
        return self.image.at(self.digest)


@dataclass(frozen=True, slots=True)
class Chart:
    """A Helm chart at one exact version, which is the tag of ``reference``: no digest is known that would be synced."""

    reference: Reference


Subject: TypeAlias = Image | Claimed | Chart
