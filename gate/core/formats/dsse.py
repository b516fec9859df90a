"""DSSE envelopes and in-toto statements (DSSE v1.0.2 ``protocol.md``, in-toto attestation v1 ``statement.md``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from gate.core import limits, strictjson
from gate.core.errors import MalformedError, UntrustedError
from gate.core.oci import Digest
from gate.core.quote import quote
from gate.core.reasons import Reason

IN_TOTO_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPES = frozenset({"https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"})
SIGNATURE_PREDICATE = "https://sigstore.dev/cosign/sign/v1"


@dataclass(frozen=True, slots=True)
class Envelope:
    """An in-toto statement and its one signature, which is over the encoding of both type and payload."""

    payload: bytes
    signature: bytes

    @classmethod
    def parse(cls, value: strictjson.Json) -> Self:
        """Return the envelope in ``value``; MalformedError, or UntrustedError (unsupported) for another payload."""
        envelope = strictjson.expect_object(value, "the bundle's dsseEnvelope")
        payload_type = strictjson.expect_string(envelope.get("payloadType"), "the envelope's payloadType")
        if payload_type != IN_TOTO_TYPE:
            raise UntrustedError(
                Reason.UNSUPPORTED, f"the envelope holds {quote(payload_type)}, not an in-toto statement"
            )
        signatures = strictjson.expect_array(envelope.get("signatures"), "the envelope's signatures")
        if len(signatures) != 1:
            raise MalformedError(f"the envelope has {len(signatures)} signatures; a bundle has exactly one")
        signature = strictjson.expect_object(signatures[0], "the envelope's signature")
        return cls(
            strictjson.expect_base64(envelope.get("payload"), "the envelope's payload"),
            strictjson.expect_base64(signature.get("sig"), "the signature"),
        )

    @property
    def message(self) -> bytes:
        """What the signature is over."""
        return pre_authentication_encoding(IN_TOTO_TYPE, self.payload)


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that a DSSE signature is over (DSSE v1.0.2, "PAE"); lengths are in bytes."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


@dataclass(frozen=True, slots=True)
class Statement:
    """What an in-toto statement says of which digests; unproved until the signature over its very bytes verified."""

    predicate_type: str
    subjects: tuple[Digest, ...]

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Return the statement in ``raw``; MalformedError, or UntrustedError (unsupported) for another kind."""
        statement = strictjson.loads_object(raw, limit=limits.BUNDLE_BYTES)
        kind = strictjson.expect_string(statement.get("_type"), "the statement's _type")
        if kind not in STATEMENT_TYPES:
            raise UntrustedError(Reason.UNSUPPORTED, f"the statement is of type {quote(kind)}, which is not in-toto's")
        predicate = strictjson.expect_string(statement.get("predicateType"), "the statement's predicateType")
        subjects = strictjson.expect_array(statement.get("subject"), "the statement's subject")
        if not 0 < len(subjects) <= limits.STATEMENT_SUBJECTS:
            raise MalformedError(f"the statement has {len(subjects)} subjects, not 1 to {limits.STATEMENT_SUBJECTS}")
        return cls(predicate, tuple(digest for subject in subjects for digest in _subject_digests(subject)))


def _subject_digests(value: strictjson.Json) -> tuple[Digest, ...]:
    """Return the sha256 digest of one subject, or nothing where it has only others."""
    subject = strictjson.expect_object(value, "a subject of the statement")
    digests = strictjson.expect_object(subject.get("digest"), "the digest of a subject")
    if len(digests) > limits.SUBJECT_DIGESTS:
        raise MalformedError(f"a subject has {len(digests)} digests, more than {limits.SUBJECT_DIGESTS}")
    if "sha256" not in digests:
        return ()
    return (Digest.parse("sha256:" + strictjson.expect_string(digests["sha256"], "the sha256 of a subject")),)
