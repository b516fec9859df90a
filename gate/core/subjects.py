"""What may be asked about: each is an image, and a way in which a digest becomes what is synced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from gate.core.oci import Digest, Reference


@dataclass(frozen=True, slots=True)
class Image:
    """What Config Sync syncs of ``reference``: the image it names, or of an index the linux/amd64 manifest."""

    reference: Reference

    @property
    def references(self) -> tuple[Reference, ...]:
        """By what a rule is known to be about it before anybody is asked."""
        return (self.reference,)


@dataclass(frozen=True, slots=True)
class Claimed:
    """``digest``, of which it is said that it is what is synced of ``image``, by its tag or from an index it pins."""

    image: Reference
    digest: Digest

    @property
    def reference(self) -> Reference:
        """The image at the digest."""
        return self.image.at(self.digest)

    @property
    def references(self) -> tuple[Reference, ...]:
        """By what a rule is known to be about it before anybody is asked: for one of an index that is pinned, both."""
        return (self.reference, self.image) if is_decided(self) else (self.reference,)


@dataclass(frozen=True, slots=True)
class Chart:
    """A Helm chart at one exact version, which is the tag of ``reference``: no digest is known that would be synced."""

    reference: Reference

    @property
    def references(self) -> tuple[Reference, ...]:
        """By what a rule is known to be about it before anybody is asked."""
        return (self.reference,)


Subject: TypeAlias = Image | Claimed | Chart


def is_decided(subject: Subject) -> bool:
    """Return whether it is known before anybody is asked which digests a rule about the subject can name.

    They are where an index is pinned, and a manifest of it is claimed. Else a tag names one, or an index lists one.
    """
    return isinstance(subject, Claimed) and subject.image.digest not in {None, subject.digest}
