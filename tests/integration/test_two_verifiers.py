"""On every keyless bundle that both can read, the core and the field's own verifier say the same.

Neither is asked whom a certificate names: that is the policy's, and the library has no whole-string expressions.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import pytest
from cryptography import x509
from sigstore.errors import Error
from sigstore.hashes import Hashed
from sigstore.models import Bundle, InvalidBundle, TrustedRoot
from sigstore.verify import Verifier
from sigstore_models.common.v1 import HashAlgorithm

from gate.core.artifacts import read_artifact_signature
from gate.core.errors import MalformedError, UntrustedError
from gate.core.formats.dsse import Statement
from gate.core.oci import Digest
from gate.core.reasons import Reason
from gate.trust.publicgood import read_shipped
from gate.trust.sigstore_bundle import AnyIdentity
from tests.fakes.keyless import ANYBODY, keyless
from tests.fakes.shared import FIXTURES, shared_fixture
from tests.fakes.signing import NOW
from tests.vectors.signatures import make

RECORDED = {
    "sigstore-box/h": "sigstore-box/keys/trusted_root.json",
    "signed/fk": "signed/keys/fake-tr.json",
}


class Answer(Enum):
    """What a verifier says."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Question:
    """A bundle with a certificate, the artifact it should be about, and the trust root."""

    name: str
    bundle: bytes
    artifact: Digest
    root: bytes


# Where they differ, and are known to. First what the library cannot do: it takes P-256 and SHA-256 alone, no intoto
# entries, the end of a window for outside, and a trust root without CT logs for one that has lost them.
ONLY_CORE = {
    "conformance/intoto-with-custom-trust-root",
    "conformance/trust-root-tsa-validity-end-inclusive",
    "bundle-p384_admit/0",
    "bundle-p521_admit/0",
    "bundle-intoto-entry_admit/0",
    "no-sct-without-ct-logs_admit/0",
}
# Then where the core is stricter: who is named must be one, issuers must agree, and a root and each window count.
ONLY_LIBRARY = {
    "certificate-issuers-disagree_deny/0",
    "certificate-two-names_deny/0",
    "expired-ca-root_deny/0",
    "expired-ca-window_deny/0",
    "entry-after-log-window_deny/0",
    "entry-after-log-window-unpromised_deny/0",
    "entry-after-log-window-invented-time_deny/0",
    "entry-after-log-window-rekor2_deny/0",
}


def has_certificate(raw: bytes) -> bool:
    try:
        document = json.loads(raw)
    except ValueError:
        return False
    material = document.get("verificationMaterial") if isinstance(document, dict) else None
    return isinstance(material, dict) and ("certificate" in material or "x509CertificateChain" in material)


def conformance() -> Iterator[Question]:
    """The cases of the public suite."""
    folder = FIXTURES / "conformance"
    for path in sorted(folder.glob("*/bundle.sigstore.json")):
        raw = path.read_bytes()
        if has_certificate(raw):
            own, root = path.with_name("artifact"), path.with_name("trusted_root.json")
            artifact = Digest.of((own if own.exists() else folder / "a.txt").read_bytes())
            trusted = root.read_bytes() if root.exists() else read_shipped().trusted_root
            yield Question(f"conformance/{path.parent.name}", raw, artifact, trusted)


def recorded() -> Iterator[Question]:
    """What cosign signed with private instances: the bundle's own subject is the artifact."""
    for folder, root in RECORDED.items():
        for path in sorted((FIXTURES / folder).glob("*/blobs/*")):
            raw = path.read_bytes()
            if has_certificate(raw):
                statement = Statement.parse(base64.b64decode(json.loads(raw)["dsseEnvelope"]["payload"]))
                name = f"{folder}/{path.parts[-3]}/{path.name}"
                yield Question(name, raw, statement.subjects[0], (FIXTURES / root).read_bytes())


def made() -> Iterator[Question]:
    """What the Sigstore in memory signs, good and bad."""
    for case in make.cases():
        for number, signature in enumerate(case.signatures):
            if signature.layout == "bundle" and signature.holder.certificate is not None:
                yield Question(f"{case.directory}/{number}", signature.document(), make.IMAGE, case.root)


QUESTIONS = [*conformance(), *recorded(), *made()]


def core_says(question: Question) -> Answer:
    """Return what the core says, of anybody's signature."""
    logged = bool(json.loads(question.bundle)["verificationMaterial"].get("tlogEntries"))
    try:
        signature = read_artifact_signature(question.bundle, question.artifact)
        authority = keyless(question.root, ANYBODY, log=logged, timestamp=not logged)
        authority.verify(signature, question.artifact, NOW)
    except MalformedError:
        return Answer.UNREADABLE
    except UntrustedError as error:
        return Answer.UNREADABLE if error.reason in (Reason.MALFORMED, Reason.UNSUPPORTED) else Answer.REFUSED
    return Answer.ACCEPTED


def library_says(question: Question, folder: Path) -> Answer:
    """Return what the library says; of a statement, what it returns must be about the artifact."""
    path = folder / "trusted_root.json"
    path.write_bytes(question.root)
    try:
        verifier = Verifier(trusted_root=TrustedRoot.from_file(str(path)))
        bundle = Bundle.from_json(question.bundle)
    except (Error, ValueError, IndexError):
        return Answer.UNREADABLE
    try:
        if "dsseEnvelope" not in json.loads(question.bundle):
            hashed = Hashed(algorithm=HashAlgorithm.SHA2_256, digest=bytes.fromhex(question.artifact.hex))
            verifier.verify_artifact(hashed, bundle, AnyIdentity())
            return Answer.ACCEPTED
        _, payload = verifier.verify_dsse(bundle, AnyIdentity())
    except (InvalidBundle, TypeError, KeyError, x509.ExtensionNotFound):  # RSA, Ed25519; a TLS feature
        return Answer.UNREADABLE
    except Error:
        return Answer.REFUSED
    return Answer.ACCEPTED if question.artifact in Statement.parse(payload).subjects else Answer.REFUSED


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_two_verifiers_agree(question: Question, tmp_path: Path) -> None:
    answers = core_says(question), library_says(question, tmp_path)
    if question.name in ONLY_CORE:
        assert answers == (Answer.ACCEPTED, Answer.REFUSED)
    elif question.name in ONLY_LIBRARY:
        assert answers == (Answer.REFUSED, Answer.ACCEPTED)
    elif Answer.UNREADABLE not in answers:
        assert answers[0] is answers[1]


def test_both_accept_and_both_refuse_many_and_every_known_difference_is_asked_about() -> None:
    shared_fixture("conformance")
    assert len(QUESTIONS) > 100
    assert {question.name for question in QUESTIONS} >= ONLY_CORE | ONLY_LIBRARY
