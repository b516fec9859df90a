"""The second verifier: Sigstore's own library, asked about a bundle that the core has judged."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Unpack

import pytest
from cryptography.hazmat.primitives import hashes
from sigstore.models import Bundle
from sigstore.verify import Verifier
from sigstore.verify.policy import VerificationPolicy

from gate.core.errors import ConfigError, UntrustedError
from gate.core.oci import Digest
from gate.core.reasons import Reason
from gate.core.trust import TrustedRoot
from gate.trust.sigstore_bundle import SigstoreBundles
from tests.fakes.sigstore.box import Signing, Sigstore, Trusted
from tests.fakes.sigstore.keys import named_key

BOX = Sigstore.create()
IMAGE = Digest.of(b"image")
REFUSES = "Sigstore's own library refuses the bundle: "


def opinion(box: Sigstore = BOX, **changes: Unpack[Trusted]) -> SigstoreBundles:
    raw = box.trusted_root(**changes)
    return SigstoreBundles(TrustedRoot(Digest.of(raw), source=raw))


def signed(kind: str = "p256", **changes: Unpack[Signing]) -> bytes:
    return BOX.sign("bundle", BOX.enroll(named_key("holder", kind)), IMAGE, **changes).document()


def refusal(second: SigstoreBundles, document: bytes) -> str:
    with pytest.raises(UntrustedError) as caught:
        second(document)
    assert caught.value.reason is Reason.VERIFIERS_DIFFER
    return caught.value.message


@pytest.mark.parametrize("log", ["rekor", "rekor2"])
def test_a_bundle_of_either_log_is_accepted(log: str) -> None:
    opinion()(signed(log=getattr(BOX, log)))


def test_whoever_signed_is_accepted_because_identities_are_judged_by_the_core() -> None:
    opinion()(BOX.sign("bundle", BOX.enroll(san="mailto:nobody@example.com"), IMAGE).document())


def test_a_bundle_of_another_sigstore_is_refused_in_the_librarys_words() -> None:
    message = refusal(opinion(Sigstore.create(name="another")), signed())
    assert message.startswith(REFUSES)
    assert "certificate" in message


def test_a_bundle_whose_signature_was_altered_is_refused() -> None:
    made = BOX.sign("bundle", BOX.enroll(), IMAGE)
    other = BOX.sign("bundle", BOX.enroll(), Digest.of(b"another"))
    document = other.document(dsseEnvelope=made.envelope)
    assert refusal(opinion(), document).startswith(REFUSES)


def test_what_is_no_bundle_is_refused_as_unreadable() -> None:
    expected = "Sigstore's own library, which must accept the bundle as well, cannot read it"
    assert refusal(opinion(), b"{}") == expected
    assert refusal(opinion(), b"\xff") == expected


@pytest.mark.parametrize(
    ("kind", "hashed"),
    [("p384", hashes.SHA384()), ("p521", hashes.SHA512()), ("rsa2048", None), ("ed25519", None)],
)
def test_a_key_that_the_library_does_not_verify_is_refused_and_says_so(
    kind: str, hashed: hashes.HashAlgorithm | None
) -> None:
    message = refusal(opinion(), signed(kind, hash=hashed))
    assert message.endswith("verifies ECDSA P-256 keys alone; sign with one")


def test_a_trust_root_that_the_library_cannot_use_is_an_error_of_configuration() -> None:
    with pytest.raises(ConfigError, match="cannot use the trust root that gate can"):
        opinion(logs=[])
    with pytest.raises(ConfigError, match="cannot use the trust root that gate can"):
        opinion(authorities=[])


@dataclass
class Counting:
    """The library's verifier, which counts how often it is asked."""

    verifier: Verifier
    asked: int = 0

    def verify_dsse(self, bundle: Bundle, policy: VerificationPolicy) -> tuple[str, bytes]:
        self.asked += 1
        return self.verifier.verify_dsse(bundle, policy)


@pytest.mark.parametrize("name", ["box", "another"])
def test_the_library_is_asked_once_about_a_document_whatever_it_says(name: str) -> None:
    second, document = opinion(Sigstore.create(name=name)), signed()
    second._verifier = counting = Counting(second._verifier)
    said = {second(document) if name == "box" else refusal(second, document) for _ in range(3)}
    assert (len(said), counting.asked) == (1, 1)


def test_the_answers_of_two_documents_are_two() -> None:
    second, good, bad = opinion(), signed(), signed("rsa2048")
    second(good)
    refusal(second, bad)
    second(good)
    refusal(second, bad)


def test_threads_may_ask_at_once_and_each_gets_its_own_answer() -> None:
    good = [BOX.sign("bundle", BOX.enroll(), Digest.of(bytes([number]))).document() for number in range(8)]
    bad = [Sigstore.create(name="another").sign("bundle", BOX.enroll(), IMAGE).document(), b"{}"]
    second = opinion()

    def accepted(document: bytes) -> bool:
        try:
            second(document)
        except UntrustedError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(accepted, [*good, *bad] * 4))
    assert answers == ([True] * len(good) + [False] * len(bad)) * 4
