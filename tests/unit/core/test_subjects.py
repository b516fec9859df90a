"""What may be asked about, and which references it is known by before anybody is asked."""

from __future__ import annotations

import pytest

from gate.core.oci import Digest, Reference
from gate.core.subjects import Chart, Claimed, Image, Subject, is_decided

REPOSITORY = Reference.parse("reg.io/team/config")
TAGGED = Reference.parse("reg.io/team/config:v1")
INDEX, CHILD = Digest.of(b"index"), Digest.of(b"child")


@pytest.mark.parametrize(
    ("subject", "references", "decided"),
    [
        (Image(TAGGED), (TAGGED,), False),
        (Image(REPOSITORY.at(INDEX)), (REPOSITORY.at(INDEX),), False),
        (Chart(TAGGED), (TAGGED,), False),
        (Claimed(TAGGED, CHILD), (REPOSITORY.at(CHILD),), False),
        (Claimed(REPOSITORY.at(CHILD), CHILD), (REPOSITORY.at(CHILD),), False),
        (Claimed(REPOSITORY.at(INDEX), CHILD), (REPOSITORY.at(CHILD), REPOSITORY.at(INDEX)), True),
    ],
)
def test_only_of_a_manifest_of_a_pinned_index_both_digests_are_known(
    subject: Subject, references: tuple[Reference, ...], decided: bool
) -> None:
    assert subject.references == references
    assert is_decided(subject) is decided
