"""Every parser of the core raises its own errors and nothing else, and no altered signature becomes somebody else's."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.core import strictjson
from gate.core.artifacts import read_artifact_signature
from gate.core.certificates import identity, parse_certificate, parse_certificates, public_key, require_profile
from gate.core.errors import MalformedError, UntrustedError
from gate.core.formats import parse_candidate
from gate.core.formats.bundle import read_signature
from gate.core.formats.dsse import Envelope, Statement
from gate.core.formats.sigstorebundle import Bundle
from gate.core.formats.simplesigning import LAYER_TYPE, LayerMaterial, parse_payload
from gate.core.identities import Pattern
from gate.core.keys import parse_public_key
from gate.core.manifests import parse_manifest
from gate.core.oci import Digest, Reference
from gate.core.reasons import Reason
from gate.core.signature import Candidate, UntrustedSignature
from gate.core.timestamps import verify_timestamps
from gate.core.transparency import LogEntry
from gate.core.trust import parse_trusted_root
from gate.demo import layouts
from tests.fakes.keyless import ANYBODY, BOX, FOREIGN, IMAGE, OTHER_IMAGE, ROOT, answer, keyless, logged_key, read
from tests.fakes.signing import signer
from tests.fakes.sigstore import Holder, Made
from tests.fakes.sigstore.rekor import as_annotation, as_member

ANYONE = keyless(ROOT, ANYBODY)
TAGGED = BOX.sign("tag", BOX.enroll(), IMAGE, stamped=True)
BUNDLED = BOX.sign("bundle", BOX.enroll(), IMAGE, stamped=True)
BUNDLED_V2 = BOX.sign("bundle", BOX.enroll(), IMAGE, log=BOX.rekor2)
KEYED = BOX.sign("bundle", Holder(signer()), IMAGE)
FOREIGN_CANDIDATE = read(FOREIGN.sign("bundle", FOREIGN.enroll(), IMAGE))
LEAF = BOX.enroll().certificate
assert LEAF is not None


def all_of(material: object) -> None:
    """Read everything that lies beside a signature, whatever of it cannot be read."""
    for part in ("certificates", "entries", "timestamps"):
        with suppress(MalformedError):
            getattr(material, part)()


def read_layer(text: str) -> None:
    all_of(LayerMaterial(text, text, text, text))


def read_certificate(raw: bytes) -> None:
    certificate = parse_certificate(raw)
    for judge in (public_key, identity, require_profile):
        with suppress(UntrustedError):
            judge(certificate)


def read_bundle(raw: bytes) -> None:
    all_of(Bundle.parse(raw).material)


def as_json(parse: Callable[[strictjson.Json], object]) -> Callable[[bytes], object]:
    """Return a parser of the JSON that holds what ``parse`` reads."""
    return lambda raw: parse(strictjson.loads(raw, limit=1 << 20))


def as_text(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    """Return a parser of text that is given as bytes."""
    return lambda raw: parse(raw.decode("utf-8", errors="replace"))


def compact(value: object) -> bytes:
    return layouts.compact(value)


LAYER = {"mediaType": LAYER_TYPE, "size": 2, "digest": str(IMAGE), "annotations": {"a": "b"}}

# Each parser with what it reads, from which what it nearly reads is made.
PARSERS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "json": (lambda raw: strictjson.loads_object(raw, limit=1 << 20), b'{"a":[1,"b",null]}'),
    "digest": (as_text(Digest.parse), str(IMAGE).encode()),
    "reference": (as_text(Reference.parse), f"registry.example/a/b:v1@{IMAGE}".encode()),
    "manifest": (parse_manifest, layouts.image({"mediaType": "a/b", "size": 2, "digest": str(IMAGE)}, [])),
    "candidate": (parse_candidate, layouts.image(LAYER, [LAYER])),
    "key": (parse_public_key, signer().public_pem),
    "payload": (parse_payload, TAGGED.content),
    "statement": (Statement.parse, BUNDLED.content),
    "envelope": (as_json(Envelope.parse), compact(BUNDLED.envelope)),
    "bundle": (read_bundle, BUNDLED.document()),
    "bundle v2": (read_bundle, BUNDLED_V2.document()),
    "signature": (lambda raw: read_signature("bundle", "here", raw), BUNDLED.document()),
    "artifact": (lambda raw: read_artifact_signature(raw, IMAGE), BUNDLED.document()),
    "certificate": (read_certificate, LEAF.public_bytes(Encoding.DER)),
    "certificates": (parse_certificates, LEAF.public_bytes(Encoding.PEM)),
    "layer": (as_text(read_layer), LEAF.public_bytes(Encoding.PEM)),
    "entry": (as_json(LogEntry.from_bundle), compact(as_member(BUNDLED.entries[0]))),
    "annotation": (as_text(LogEntry.from_annotation), as_annotation(TAGGED.entries[0]).encode()),
    "timestamp": (
        lambda raw: verify_timestamps([raw], TAGGED.signature, ROOT.timestamp_authorities),
        TAGGED.timestamps[0],
    ),
    "trust root": (parse_trusted_root, BOX.trusted_root()),
    "pattern": (as_text(Pattern.parse), rb"https://example\.com/(a|b)+[c-d]{1,3}\p{L}"),
}

# The library warns of certificates that its later releases will refuse, and reads them: to be read is what is asked.
pytestmark = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")

Change = tuple[int, int]


def altered(raw: bytes, changes: Sequence[Change]) -> bytes:
    """Return ``raw`` with bits of some bytes turned over; a place beyond the end is counted from the start again."""
    copy = bytearray(raw)
    for place, bits in changes:
        copy[place % len(copy)] ^= bits
    return bytes(copy)


changes = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(1, 255)), min_size=1, max_size=3)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("aGk="),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("name", PARSERS)
def test_what_is_well_formed_is_read(name: str) -> None:
    parse, good = PARSERS[name]
    parse(good)


@pytest.mark.parametrize("name", PARSERS)
@given(st.binary(max_size=300))
@settings(max_examples=50)
def test_no_bytes_raise_anything_but_malformed_and_untrusted_error(name: str, raw: bytes) -> None:
    with suppress(MalformedError, UntrustedError):
        PARSERS[name][0](raw)


@pytest.mark.parametrize("name", PARSERS)
@given(changes, st.integers(0, 1 << 16))
@settings(max_examples=50)
def test_nothing_nearly_well_formed_raises_anything_but_malformed_and_untrusted_error(
    name: str, places: list[Change], end: int
) -> None:
    parse, good = PARSERS[name]
    for raw in (altered(good, places), good[: end % len(good)]):
        with suppress(MalformedError, UntrustedError):
            parse(raw)


def paths(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Return the way to every value within a JSON document."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(each for name, inner in members for each in paths(inner, (*path, name)))]


def put(value: object, path: tuple[object, ...], new: object) -> object:
    """Return the document with another value at the end of the way."""
    if not path:
        return new
    copy = value.copy()  # type: ignore[attr-defined]
    copy[path[0]] = put(copy[path[0]], path[1:], new)
    return copy


DOCUMENTS = ["payload", "statement", "envelope", "bundle", "bundle v2", "signature", "artifact", "entry", "annotation"]


@pytest.mark.parametrize("name", [*DOCUMENTS, "manifest", "candidate", "trust root"])
@given(st.data())
@settings(max_examples=75)
def test_no_value_of_another_type_anywhere_raises_anything_but_malformed_and_untrusted_error(
    name: str, data: st.DataObject
) -> None:
    parse, good = PARSERS[name]
    document = json.loads(good)
    changed = put(document, data.draw(st.sampled_from(paths(document))), data.draw(values))
    with suppress(MalformedError, UntrustedError):
        parse(compact(changed) if "\\ud" not in json.dumps(changed) else json.dumps(changed).encode())


# -- An altered signature


WHO = answer(read(BUNDLED), ANYONE)[1]


def assert_nobody_elses(candidate: Candidate) -> None:
    """Assert that, if anybody vouches for the candidate, it is who made it, and for its digest alone."""
    reason, who = answer(candidate, ANYONE)
    assert reason is not Reason.VERIFIED or who == WHO
    assert answer(candidate, ANYONE, OTHER_IMAGE)[0] is not Reason.VERIFIED


@pytest.mark.parametrize("made", [TAGGED, BUNDLED, BUNDLED_V2], ids=["tag", "rekor v1", "rekor v2"])
def test_what_was_not_altered_verifies_as_who_made_it(made: Made) -> None:
    assert answer(read(made), ANYONE) == (Reason.VERIFIED, WHO)
    assert_nobody_elses(read(made))


@pytest.mark.parametrize("made", [BUNDLED, BUNDLED_V2], ids=["rekor v1", "rekor v2"])
@given(changes)
@settings(max_examples=200)
def test_no_altered_bundle_verifies_as_somebody_elses_or_for_another_digest(made: Made, places: list[Change]) -> None:
    raw = altered(made.document(), places)
    with suppress(MalformedError, UntrustedError):
        assert_nobody_elses(read_signature("bundle", "here", raw))


LAYER = read(TAGGED)
assert isinstance(LAYER, UntrustedSignature)


@pytest.mark.parametrize("part", ["certificate", "chain", "entry", "timestamp"])
@given(changes)
@settings(max_examples=100)
def test_no_altered_annotation_makes_a_signature_somebody_elses(part: str, places: list[Change]) -> None:
    material = LAYER.material
    assert isinstance(material, LayerMaterial)
    text = altered(getattr(material, part).encode(), places).decode("utf-8", errors="replace")
    assert_nobody_elses(replace(LAYER, material=replace(material, **{part: text})))


@given(changes)
@settings(max_examples=100)
def test_no_altered_payload_or_signature_verifies(places: list[Change]) -> None:
    for changed in (
        replace(TAGGED, content=altered(TAGGED.content, places)),
        replace(TAGGED, signature=altered(TAGGED.signature, places)),
    ):
        if changed != TAGGED:
            assert answer(read(changed), ANYONE)[0] is not Reason.VERIFIED


@given(changes)
@settings(max_examples=75)
def test_no_altered_bundle_of_a_logged_key_verifies_for_another_digest(places: list[Change]) -> None:
    raw = altered(KEYED.document(), places)
    with suppress(MalformedError, UntrustedError):
        candidate = read_signature("bundle", "here", raw)
        assert answer(candidate, logged_key(ROOT, KEYED.holder.key), OTHER_IMAGE)[0] is not Reason.VERIFIED


@given(changes)
@settings(max_examples=75)
def test_no_altered_trust_root_accepts_what_a_foreign_instance_signed(places: list[Change]) -> None:
    with suppress(MalformedError):
        root = parse_trusted_root(altered(BOX.trusted_root(), places))
        assert answer(FOREIGN_CANDIDATE, keyless(root, ANYBODY))[0] is not Reason.VERIFIED
