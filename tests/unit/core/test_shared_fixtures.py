"""Repositories that real cosign signed, read from disk through formats, authorities and the decision."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from gate.core import strictjson
from gate.core.authorities import KeyAuthority
from gate.core.formats.dsse import SIGNATURE_PREDICATE
from gate.core.keys import parse_public_key
from gate.core.oci import Digest, Reference
from gate.core.policy import NoMatch, Signatures
from gate.core.reasons import Reason
from gate.core.verdict import Denied, Verified
from gate.core.verify import decide
from tests.fakes.signing import NOW, evidence, rule_for

SIGNED = Path(__file__).parents[4] / "shared" / "fixtures" / "signed"

if not SIGNED.is_dir():
    if os.environ.get("CI") == "true":
        pytest.fail(f"{SIGNED.name}: the fixtures that real cosign signed are missing", pytrace=False)
    pytest.skip("the fixtures that real cosign signed are not beside the checkout", allow_module_level=True)


def read(name: str) -> strictjson.Object:
    return strictjson.loads_object((SIGNED / name).read_bytes(), limit=10**7)


@dataclass(frozen=True, slots=True)
class Directory:
    """The dump of a registry: documents by digest, and tags in index.json."""

    tags: strictjson.Object

    def manifest(self, repository: str, reference: str | Digest) -> tuple[bytes, str] | None:
        """Return the bytes and media type, or None."""
        known = strictjson.expect_object(self.tags[repository], repository)
        if str(reference) not in known:
            return None
        entry = strictjson.expect_object(known[str(reference)], "an entry")
        digest = Digest.parse(strictjson.expect_string(entry["digest"], "a digest"))
        raw = (SIGNED / repository / "manifests" / f"{digest.tag}.json").read_bytes()
        assert Digest.of(raw) == digest
        return raw, strictjson.expect_string(entry["mediaType"], "a media type")

    def blob(self, repository: str, digest: Digest) -> bytes | None:
        """Return the bytes."""
        raw = (SIGNED / repository / "blobs" / digest.tag).read_bytes()
        assert Digest.of(raw) == digest
        return raw


CONTENT = Directory(read("index.json"))


def expected() -> Mapping[str, bool]:
    """Return for each "repository key" whether the key vouches; an attestation is not a signature."""
    answers: dict[str, bool] = {}
    for repository, lines in read("expected-by-prototype.json").items():
        if repository.startswith("fk/"):
            continue
        for line in strictjson.expect_array(lines, repository):
            _, key, verdict = strictjson.expect_string(line, "a line").split(" ", 2)
            question = f"{repository} {key}"
            answers[question] = answers.get(question, False) or verdict in {"OK", f"OK {SIGNATURE_PREDICATE}"}
    return answers


EXPECTED = expected()


def test_every_repository_of_keys_is_asked_about() -> None:
    repositories = {name for name in CONTENT.tags if not name.startswith("fk/")}
    assert {question.split()[0] for question in EXPECTED} == repositories
    assert len(repositories) == 26
    assert sum(EXPECTED.values()) > 20


@pytest.mark.parametrize("question", EXPECTED)
def test_real_signatures_are_answered_as_expected(question: str) -> None:
    repository, key = question.split()
    image = CONTENT.manifest(repository, "1")
    assert image is not None
    digest = Digest.of(image[0])
    vouching = KeyAuthority(key, parse_public_key((SIGNED / "keys" / key).read_bytes()))
    found = evidence(CONTENT, repository, digest)
    reference = Reference("registry.example", repository, digest=digest)
    decision = decide(reference, found, (rule_for(Signatures((vouching,))),), NoMatch.DENY, NOW)
    assert len(decision.candidates) == (2 if repository == "t/both" else 1)
    assert isinstance(decision.verdict, Verified if EXPECTED[question] else Denied)


def test_what_cosign_3_signs_with_ed25519_is_refused_with_the_name_of_the_variant() -> None:
    vouching = KeyAuthority("k", parse_public_key((SIGNED / "keys" / "i-ed25519.pub").read_bytes()))
    for repository in ("k/ed25519-c3l", "k/ed25519-c3b"):
        image = CONTENT.manifest(repository, "1")
        assert image is not None
        reference = Reference("registry.example", repository, digest=Digest.of(image[0]))
        found = evidence(CONTENT, repository, Digest.of(image[0]))
        decision = decide(reference, found, (rule_for(Signatures((vouching,))),), NoMatch.DENY, NOW)
        assert "Ed25519ph" in decision.verdict.message


def test_an_attestation_by_the_trusted_key_alone_is_no_signature() -> None:
    image = CONTENT.manifest("t/att", "1")
    assert image is not None
    reference = Reference("registry.example", "t/att", digest=Digest.of(image[0]))
    vouching = KeyAuthority("k", parse_public_key((SIGNED / "keys" / "cosign.pub").read_bytes()))
    found = evidence(CONTENT, "t/att", Digest.of(image[0]))
    decision = decide(reference, found, (rule_for(Signatures((vouching,))),), NoMatch.DENY, NOW)
    assert decision.verdict.reason is Reason.NO_SIGNATURE
