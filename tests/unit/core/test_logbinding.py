"""An entry counts for the one signature, signer and message that its body names, whatever kind it is of."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.core import limits
from gate.core.errors import MalformedError, UntrustedError
from gate.core.keys import parse_public_key
from gate.core.logbinding import LoggedSignature, require_binding
from gate.core.oci import Digest
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.core.trust import Window
from gate.demo.signer import Signer
from tests.fakes.sigstore import NOW, Holder, Layout, Made, Sigstore, bodies
from tests.fakes.sigstore.authority import builder_for, common_name
from tests.fakes.sigstore.keys import named_key

BOX = Sigstore.create(name="binding")
IMAGE = Digest.of(b"an image")
KEY = Holder(named_key("binding holder"))
CERTIFIED = BOX.enroll(KEY.key)
RENEWED = BOX.enroll(KEY.key)  # another certificate of the same key
STRANGER = Holder(named_key("binding stranger"))
STRANGER_CERTIFIED = BOX.enroll(STRANGER.key)

KINDS: dict[str, tuple[bodies.Describe, Layout]] = {
    "hashedrekord": (bodies.hashedrekord, "tag"),
    "hashedrekord of an envelope": (bodies.hashedrekord, "bundle"),
    "hashedrekord v2": (bodies.hashedrekord_v2, "tag"),
    "hashedrekord v2 of an envelope": (bodies.hashedrekord_v2, "bundle"),
    "dsse": (bodies.dsse, "bundle"),
    "intoto": (bodies.intoto, "bundle"),
}
ENVELOPES = ("dsse", "intoto")
HOLDERS = {"key": KEY, "certificate": CERTIFIED}


def made(kind: str, holder: Holder = KEY) -> Made:
    return BOX.sign(KINDS[kind][1], holder, IMAGE, log=None)


def about(signed: Made) -> LoggedSignature:
    """Return what an entry of ``signed`` must be about."""
    key = parse_public_key(signed.holder.key.public_pem)
    payload = signed.content if signed.layout == "bundle" else None
    return LoggedSignature(signed.signature, signed.message, key, signed.holder.certificate, payload)


def bind(kind: str, logged: Made, wanted: LoggedSignature) -> None:
    """Hold the entry of ``logged`` against what is wanted."""
    body = KINDS[kind][0](logged)
    require_binding(body.raw, (body.kind, body.version), wanted)


def refusal(kind: str, logged: Made, wanted: LoggedSignature) -> str:
    with pytest.raises(UntrustedError) as caught:
        bind(kind, logged, wanted)
    assert caught.value.reason is Reason.LOG_ENTRY
    return caught.value.message


@dataclass(frozen=True, slots=True)
class Edited:
    """A body in which one member, named by its path, is something else."""

    kind: tuple[str, str]
    body: bytes

    @classmethod
    def of(cls, kind: str, logged: Made, path: tuple[str | int, ...], value: object) -> Edited:
        body = KINDS[kind][0](logged)
        document: Any = json.loads(body.raw)
        holder = document
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = value
        return cls((body.kind, body.version), json.dumps(document).encode())

    def bind(self, wanted: LoggedSignature) -> None:
        require_binding(self.body, self.kind, wanted)


every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
@pytest.mark.parametrize("holder", HOLDERS)
def test_an_entry_of_this_signature_counts(kind: str, holder: str) -> None:
    signed = made(kind, HOLDERS[holder])
    bind(kind, signed, about(signed))


@every_kind
@pytest.mark.parametrize("holder", HOLDERS)
def test_an_entry_of_another_signature_of_the_same_message_is_refused(kind: str, holder: str) -> None:
    signed, again = (made(kind, HOLDERS[holder]) for _ in range(2))
    assert refusal(kind, again, about(signed)) == "the log entry belongs to another signature"


@every_kind
def test_an_entry_of_another_message_is_refused(kind: str) -> None:
    signed = made(kind)
    what = "payload" if kind in ENVELOPES else "message"
    assert (
        refusal(kind, replace(signed, content=b"another"), about(signed)) == f"the log entry belongs to another {what}"
    )


@every_kind
@pytest.mark.parametrize(
    ("holder", "named"),
    [
        (KEY, STRANGER),
        (KEY, STRANGER_CERTIFIED),
        (CERTIFIED, RENEWED),
        (CERTIFIED, STRANGER_CERTIFIED),
        (CERTIFIED, KEY),
        (CERTIFIED, STRANGER),
    ],
    ids=[
        "key: another key",
        "key: a certificate of another key",
        "certificate: another of the same key",
        "certificate: another of another key",
        "certificate: its key alone",
        "certificate: another key",
    ],
)
def test_an_entry_of_another_signer_is_refused(kind: str, holder: Holder, named: Holder) -> None:
    signed = made(kind, holder)
    assert refusal(kind, replace(signed, holder=named), about(signed)) == "the log entry belongs to another signer"


@every_kind
def test_an_entry_that_names_a_certificate_counts_for_the_key_in_it(kind: str) -> None:
    signed = made(kind)
    bind(kind, replace(signed, holder=CERTIFIED), about(signed))


@every_kind
def test_an_entry_of_another_kind_or_version_than_it_says_is_refused(kind: str) -> None:
    signed = made(kind)
    body = KINDS[kind][0](signed)
    others = {("hashedrekord", "0.0.1"), ("hashedrekord", "0.0.2"), ("dsse", "0.0.1"), ("intoto", "0.0.2")}
    for other in others - {(body.kind, body.version)}:
        with pytest.raises(UntrustedError, match=r"^the log entry is of another kind than it says$"):
            require_binding(body.raw, other, about(signed))


@pytest.mark.parametrize(
    ("kind", "version"),
    [("intoto", "0.0.1"), ("hashedrekord", "0.0.3"), ("dsse", "0.0.2"), ("rekord", "0.0.1"), ("\u202e", "")],
)
def test_an_entry_of_a_kind_that_binds_nothing_that_is_known_is_unsupported(kind: str, version: str) -> None:
    body = json.dumps({"kind": kind, "apiVersion": version, "spec": {}}).encode()
    with pytest.raises(UntrustedError) as caught:
        require_binding(body, (kind, version), about(made("dsse")))
    assert caught.value.reason is Reason.UNSUPPORTED
    named = f"{quote(kind)} {quote(version)}"  # so that no character of either can pass for another
    assert caught.value.message == f"the log entry is of kind {named}, which is not supported"


@pytest.mark.parametrize("kind", ENVELOPES)
def test_an_entry_of_an_envelope_does_not_count_for_a_signature_without_one(kind: str) -> None:
    signed = made(kind)
    wanted = replace(about(signed), payload=None)
    assert refusal(kind, signed, wanted) == "the log entry belongs to another payload"


SIGNATURES: dict[str, tuple[str | int, ...]] = {
    "dsse": ("spec", "signatures"),
    "intoto": ("spec", "content", "envelope", "signatures"),
}


@pytest.mark.parametrize("kind", ENVELOPES)
@pytest.mark.parametrize("count", [0, 2])
def test_an_entry_of_an_envelope_names_exactly_one_signature(kind: str, count: int) -> None:
    signed = made(kind)
    found: Any = json.loads(KINDS[kind][0](signed).raw)
    for step in SIGNATURES[kind]:
        found = found[step]
    edited = Edited.of(kind, signed, SIGNATURES[kind], found * count)
    with pytest.raises(UntrustedError, match=f"^the log entry names {count} signatures, not exactly one$"):
        edited.bind(about(signed))


HASHES: dict[str, tuple[str | int, ...]] = {
    "dsse": ("spec", "payloadHash"),
    "intoto": ("spec", "content", "payloadHash"),
}


@pytest.mark.parametrize("kind", ENVELOPES)
@pytest.mark.parametrize("algorithm", ["sha512", "SHA256", ""])
def test_a_payload_is_named_by_its_sha256(kind: str, algorithm: str) -> None:
    signed = made(kind)
    digest = {"algorithm": algorithm, "value": hashlib.sha512(signed.content).hexdigest()}
    for changed in (digest, {**digest, "value": hashlib.sha256(signed.content).hexdigest()}):
        with pytest.raises(UntrustedError, match=r"^the log entry belongs to another payload$"):
            Edited.of(kind, signed, HASHES[kind], changed).bind(about(signed))


def test_what_the_log_wrote_down_of_the_envelope_is_not_compared() -> None:
    signed = made("dsse")
    Edited.of("dsse", signed, ("spec", "envelopeHash"), {"algorithm": "sha256", "value": "00"}).bind(about(signed))


V1_HASH, V2_DATA = ("spec", "data", "hash"), ("spec", "hashedRekordV002", "data")


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_a_message_may_be_named_by_any_sha2_that_signs(algorithm: str) -> None:
    signed = made("hashedrekord")
    digest = hashlib.new(algorithm, signed.message)
    v1 = {"algorithm": algorithm, "value": digest.hexdigest()}
    v2 = {"algorithm": algorithm.replace("sha", "SHA2_"), "digest": base64.b64encode(digest.digest()).decode()}
    Edited.of("hashedrekord", signed, V1_HASH, v1).bind(about(signed))
    Edited.of("hashedrekord v2", signed, V2_DATA, v2).bind(about(signed))


@pytest.mark.parametrize("algorithm", ["sha1", "md5", "sha224", "SHA256", "", "no such hash"])
def test_a_message_that_is_named_by_another_hash_is_another_message(algorithm: str) -> None:
    signed = made("hashedrekord")
    name = algorithm.lower() if algorithm.lower() in hashlib.algorithms_available else "sha256"
    digest = hashlib.new(name, signed.message)
    v1 = {"algorithm": algorithm, "value": digest.hexdigest()}
    v2 = {"algorithm": algorithm, "digest": base64.b64encode(digest.digest()).decode()}
    for edited in (
        Edited.of("hashedrekord", signed, V1_HASH, v1),
        Edited.of("hashedrekord v2", signed, V2_DATA, v2),
    ):
        with pytest.raises(UntrustedError, match=r"^the log entry belongs to another message$"):
            edited.bind(about(signed))


@pytest.mark.parametrize("kind", ["hashedrekord", "hashedrekord v2"])
def test_where_only_a_messages_digest_is_known_its_sha256_is_compared(kind: str) -> None:
    signed = made(kind)
    bind(kind, signed, replace(about(signed), message=Digest.of(signed.message)))
    wanted = replace(about(signed), message=Digest.of(b"another"))
    assert refusal(kind, signed, wanted) == "the log entry belongs to another message"


def test_where_only_a_messages_sha256_is_known_another_hash_of_it_says_nothing() -> None:
    signed = made("hashedrekord")
    wanted = replace(about(signed), message=Digest.of(signed.message))
    for value in (hashlib.sha512(signed.message).hexdigest(), Digest.of(signed.message).hex):
        edited = Edited.of("hashedrekord", signed, V1_HASH, {"algorithm": "sha512", "value": value})
        with pytest.raises(UntrustedError, match=r"^the log entry belongs to another message$"):
            edited.bind(wanted)


PEM_PATHS: dict[str, tuple[str | int, ...]] = {
    "hashedrekord": ("spec", "signature", "publicKey", "content"),
    "dsse": ("spec", "signatures", 0, "verifier"),
    "intoto": ("spec", "content", "envelope", "signatures", 0, "publicKey"),
}
with_pem = pytest.mark.parametrize("kind", PEM_PATHS)


def naming(kind: str, signed: Made, pem: bytes) -> Edited:
    return Edited.of(kind, signed, PEM_PATHS[kind], base64.b64encode(pem).decode())


@with_pem
@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize(
    "space",
    [
        lambda pem: pem.rstrip(b"\n"),
        lambda pem: pem + b"\n\n",
        lambda pem: pem.replace(b"\n", b"\r\n"),
    ],
    ids=["none at the end", "more at the end", "carriage returns"],
)
def test_white_space_around_a_named_signer_changes_nothing(
    kind: str, holder: str, space: Callable[[bytes], bytes]
) -> None:
    signed = made(kind, HOLDERS[holder])
    spaced = space(signed.holder.pem)
    assert spaced != signed.holder.pem
    naming(kind, signed, spaced).bind(about(signed))


def public_pem(kind: ec.EllipticCurve) -> bytes:
    key = ec.generate_private_key(kind).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


UNREADABLE = "the signer in the log entry cannot be read: "
NO_CERTIFICATE = "a certificate cannot be read"
NO_CHAIN = "a chain of certificates is not made of PEM blocks of type CERTIFICATE"
ONE_KEY = "it is not exactly one PEM block of type PUBLIC KEY"
K1 = "it is on the curve secp256k1; P-256, P-384 and P-521 are supported"


@with_pem
@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize(
    ("pem", "message"),
    [
        (b"rubbish", ONE_KEY),
        (KEY.pem * 2, ONE_KEY),
        (CERTIFIED.pem * 2, "it is more than one certificate"),
        (CERTIFIED.pem + KEY.pem, NO_CHAIN),
        (KEY.pem + CERTIFIED.pem, NO_CHAIN),
        (CERTIFIED.pem[:100], NO_CERTIFICATE),
        (CERTIFIED.pem.replace(b"MII", b"AII", 1), NO_CERTIFICATE),
        (KEY.pem[:60], "it does not hold a public key that can be read"),
        (public_pem(ec.SECP256K1()), K1),
    ],
    ids=["rubbish", "two keys", "two", "and a key", "and a certificate", "cut", "altered", "cut key", "curve"],
)
def test_a_signer_that_cannot_be_read_is_malformed(kind: str, holder: str, pem: bytes, message: str) -> None:
    signed = made(kind, HOLDERS[holder])
    with pytest.raises(MalformedError) as caught:
        naming(kind, signed, pem).bind(about(signed))
    assert caught.value.message == UNREADABLE + message


V2_CERTIFICATE = ("spec", "hashedRekordV002", "signature", "verifier", "x509Certificate", "rawBytes")
V2_VERIFIER = V2_CERTIFICATE[:-2]


def verifier_of(body: bodies.Body) -> dict[str, object]:
    found: dict[str, object] = json.loads(body.raw)["spec"]["hashedRekordV002"]["signature"]["verifier"]
    return found


@pytest.mark.parametrize("holder", HOLDERS)
def test_an_entry_that_names_a_certificate_and_a_key_is_malformed(holder: str) -> None:
    certified, keyed = (bodies.hashedrekord_v2(made("hashedrekord v2", each)) for each in (CERTIFIED, KEY))
    signed = made("hashedrekord v2", HOLDERS[holder])
    both = verifier_of(certified) | verifier_of(keyed)
    with pytest.raises(MalformedError, match=r"^the log entry names a certificate and a key$"):
        Edited.of("hashedrekord v2", signed, V2_VERIFIER, both).bind(about(signed))


def naming_der(signed: Made, der: bytes) -> Edited:
    return Edited.of("hashedrekord v2", signed, V2_CERTIFICATE, base64.b64encode(der).decode())


assert CERTIFIED.certificate is not None
DER = CERTIFIED.certificate.public_bytes(Encoding.DER)
VERSION = bytes.fromhex("a003020102")  # of X.509, v3; RFC 5280 section 4.1.2.1
P256 = bytes.fromhex("06082a8648ce3d030107")  # the curve's OID; RFC 5480 section 2.1.1.1
POINT = bytes.fromhex("03420004")  # a bit string that holds an uncompressed point; RFC 5480 section 2.2


@pytest.mark.parametrize("der", [DER[:-1], DER.replace(VERSION, VERSION[:-1] + b"\x07"), CERTIFIED.pem, b"\x00"])
def test_a_certificate_in_der_that_cannot_be_read_is_malformed(der: bytes) -> None:
    for holder in (CERTIFIED, KEY):
        signed = made("hashedrekord v2", holder)
        edited = naming_der(replace(signed, holder=CERTIFIED), der)
        with pytest.raises(MalformedError, match=f"^{UNREADABLE}{NO_CERTIFICATE}$"):
            edited.bind(about(signed))


def certificate_on(curve: ec.EllipticCurve) -> bytes:
    name, issuer = common_name("somebody"), named_key("binding issuer")
    window = Window(NOW, NOW.replace(year=2027))
    certificate = builder_for(name, Signer(ec.generate_private_key(curve)), name, issuer, window)
    return certificate.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    "der",
    [certificate_on(ec.SECP256K1()), DER.replace(P256, P256[:-1] + b"\x63"), DER.replace(POINT, POINT[:-1] + b"\x09")],
    ids=["not gate's", "nobody's", "no point"],
)
def test_a_certificate_whose_key_is_not_supported_is_another_signers(der: bytes) -> None:
    assert der != DER
    signed = made("hashedrekord v2")
    with pytest.raises(UntrustedError, match=r"^the log entry belongs to another signer$") as caught:
        naming_der(replace(signed, holder=CERTIFIED), der).bind(about(signed))
    assert caught.value.reason is Reason.LOG_ENTRY


def test_a_body_that_is_no_json_is_malformed() -> None:
    signed = made("hashedrekord")
    raw = bodies.hashedrekord(signed).raw
    twice = raw.replace(b'{"apiVersion"', b'{"kind":"hashedrekord","apiVersion"', 1)
    for body in (b"", b"rubbish", b"[]", twice, raw[:-1]):
        with pytest.raises(MalformedError, match=r"^the body of the log entry cannot be read: the document "):
            require_binding(body, ("hashedrekord", "0.0.1"), about(signed))


def test_a_body_of_256_kib_is_read_and_one_byte_more_is_not() -> None:
    signed = made("hashedrekord")
    body = bodies.hashedrekord(signed).raw
    padded = body + b" " * (limits.LOG_BODY_BYTES - len(body))
    require_binding(padded, ("hashedrekord", "0.0.1"), about(signed))
    with pytest.raises(MalformedError, match=r"the document has 262145 bytes, more than 262144$"):
        require_binding(padded + b" ", ("hashedrekord", "0.0.1"), about(signed))


def paths(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return where every member and element of a document is."""
    found: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        found += value.items()
    elif isinstance(value, list):
        found += enumerate(value)
    return [each for name, below in found for each in ((*path, name), *paths(below, (*path, name)))]


SIGNED = {(kind, name): made(kind, holder) for kind in KINDS for name, holder in HOLDERS.items()}
# Of an envelope: how it was spelt, and what the payload's hash and the signature already say.
NOT_COMPARED = {"dsse": {"envelopeHash"}, "intoto": {"hash", "payloadType"}}
EVERY_MEMBER = [
    (signed, kind, path)
    for (kind, _), signed in SIGNED.items()
    for path in paths(json.loads(KINDS[kind][0](signed).raw))
    if not NOT_COMPARED.get(kind, {"keyDetails"}).intersection(path)
]
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda below: st.lists(below, max_size=2) | st.dictionaries(st.text(max_size=4), below, max_size=2),
    max_leaves=3,
)


@given(st.sampled_from(EVERY_MEMBER), junk)
@settings(deadline=None, max_examples=600)
def test_no_member_of_a_body_may_be_something_else(
    member: tuple[Made, str, tuple[str | int, ...]], value: object
) -> None:
    signed, kind, path = member
    with pytest.raises((MalformedError, UntrustedError)):
        Edited.of(kind, signed, path, value).bind(about(signed))


@given(st.binary(max_size=40), st.sampled_from(sorted(KINDS)))
@settings(deadline=None)
def test_no_body_that_somebody_made_up_counts(body: bytes, kind: str) -> None:
    with pytest.raises((MalformedError, UntrustedError)):
        require_binding(body, ("hashedrekord", "0.0.1"), about(SIGNED[kind, "key"]))


@pytest.mark.parametrize("algorithm", ["sha256", "SHA256", "SHA2_224", ""])
def test_each_version_of_an_entry_has_its_own_names_of_hashes(algorithm: str) -> None:
    signed = made("hashedrekord v2")
    data = {"algorithm": algorithm, "digest": base64.b64encode(hashlib.sha256(signed.message).digest()).decode()}
    with pytest.raises(UntrustedError, match=r"^the log entry belongs to another message$"):
        Edited.of("hashedrekord v2", signed, V2_DATA, data).bind(about(signed))
