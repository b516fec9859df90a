"""What a trust root says, and what is refused as a whole because a part of it cannot be believed."""

from __future__ import annotations

import base64
import copy
import importlib.resources
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.core import limits
from gate.core.errors import MalformedError
from gate.core.oci import Digest
from gate.core.trust import TrustedRoot, Window, parse_trusted_root
from tests.fakes.shared import shared_fixture
from tests.fakes.sigstore import NOW, CtLog, Rekor, Sigstore
from tests.fakes.sigstore.authority import self_signed_root
from tests.fakes.sigstore.keys import spki

SIGSTORE = Sigstore.create()
RAW = SIGSTORE.trusted_root()
SECOND = timedelta(seconds=1)
Document: TypeAlias = Any  # what json.loads returns: the tests know what is where
Edit: TypeAlias = Callable[[Document], object]


def edited(edit: Edit) -> bytes:
    """Return the trust root after ``edit`` changed its document."""
    document = json.loads(RAW)
    edit(document)
    return json.dumps(document).encode()


def refusal(raw: bytes) -> str:
    with pytest.raises(MalformedError) as caught:
        parse_trusted_root(raw)
    return caught.value.message


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def der(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def put(path: str, value: object) -> Edit:
    """Return the edit that puts ``value`` at a path such as ``tlogs.0.logId``."""
    *above, last = path.split(".")

    def edit(document: Document) -> None:
        for name in above:
            document = document[int(name) if name.isdigit() else name]
        document[int(last) if last.isdigit() else last] = value

    return edit


def drop(path: str) -> Edit:
    """Return the edit that removes the member at a path."""
    *above, last = path.split(".")

    def edit(document: Document) -> None:
        for name in above:
            document = document[int(name) if name.isdigit() else name]
        del document[last]

    return edit


def test_everything_that_is_listed_is_read() -> None:
    root = parse_trusted_root(RAW)
    assert root.digest == Digest.of(RAW)
    assert root.source == RAW
    assert [log.log_id for log in root.logs] == [SIGSTORE.rekor.log_id, SIGSTORE.rekor2.log_id]
    assert [log.key.spki for log in root.logs] == [spki(SIGSTORE.rekor.key), spki(SIGSTORE.rekor2.key)]
    assert [(log.log_id, log.key.spki) for log in root.ct_logs] == [(SIGSTORE.ct.log_id, spki(SIGSTORE.ct.key))]
    assert root.logs[0].window == SIGSTORE.rekor.window
    [authority] = root.certificate_authorities
    assert (authority.chain, authority.window) == (SIGSTORE.ca.chain, SIGSTORE.ca.window)
    [stamping] = root.timestamp_authorities
    assert (stamping.chain, stamping.window) == (SIGSTORE.tsa.chain, SIGSTORE.tsa.window)


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "application/vnd.dev.sigstore.trustedroot.v0.1+json",
        "application/vnd.dev.sigstore.trustedroot.v0.2+json",
    ],
)
def test_both_versions_are_read_in_every_spelling_of_the_field(media_type: str) -> None:
    assert parse_trusted_root(edited(put("mediaType", media_type))).logs


@pytest.mark.parametrize("name", ["tlogs", "ctlogs", "certificateAuthorities", "timestampAuthorities"])
@pytest.mark.parametrize("how", ["absent", "null", "empty"])
def test_any_list_may_be_absent_or_empty(name: str, how: str) -> None:
    edit = {"absent": drop(name), "null": put(name, None), "empty": put(name, [])}[how]
    root = parse_trusted_root(edited(edit))
    lists = {
        "tlogs": root.logs,
        "ctlogs": root.ct_logs,
        "certificateAuthorities": root.certificate_authorities,
        "timestampAuthorities": root.timestamp_authorities,
    }
    assert [each for each, entries in lists.items() if not entries] == [name]


def test_a_chain_of_eight_certificates_and_a_window_of_one_instant_are_the_limits() -> None:
    window = Window(NOW, NOW + SECOND)
    chain = [self_signed_root(f"number {number}", window)[1] for number in range(8)]
    listed = [{"rawBytes": text(each.public_bytes(Encoding.DER))} for each in chain]
    instant = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:00:00Z"}

    def edit(document: Document) -> None:
        document["certificateAuthorities"][0] |= {"certChain": {"certificates": listed}, "validFor": instant}

    [authority] = parse_trusted_root(edited(edit)).certificate_authorities
    assert list(authority.chain) == chain
    assert authority.window.start == authority.window.end


def test_a_trust_root_of_nothing_trusts_nothing() -> None:
    raw = b'{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}'
    assert parse_trusted_root(raw) == TrustedRoot(Digest.of(raw))


def test_members_that_v0_2_added_to_logs_and_authorities_are_tolerated() -> None:
    def edit(document: Document) -> None:
        document["tlogs"][0] |= {"operator": "sigstore.dev", "checkpointKeyId": {"keyId": "AAAA"}}
        document["certificateAuthorities"][0]["operator"] = "sigstore.dev"

    assert parse_trusted_root(edited(edit)).logs == parse_trusted_root(RAW).logs


CERTIFICATES = "certificateAuthorities.0.certChain.certificates"
WRONG: dict[str, tuple[Edit, str]] = {
    "no media type": (drop("mediaType"), "mediaType is not a string"),
    "another media type": (
        put("mediaType", "application/vnd.dev.sigstore.bundle.v0.3+json"),
        'mediaType is "application/vnd.dev.sigstore.bundle.v0.3+json", not that of a trust root v0.1 or v0.2',
    ),
    # It would waive every SCT.
    "misspelt list": (put("ctLogs", []), 'the trust root has the unknown member "ctLogs"'),
    "list is no array": (put("tlogs", {}), "tlogs is not an array"),
    "entry is no object": (put("tlogs.1", "x"), "tlogs[1] is not an object"),
    "no key": (drop("tlogs.1.publicKey"), "tlogs[1].publicKey is not an object"),
    "unknown member of a key": (
        put("tlogs.1.publicKey.purpose", "none"),
        'tlogs[1].publicKey has the unknown member "purpose"',
    ),
    "no bytes of a key": (drop("ctlogs.0.publicKey.rawBytes"), "ctlogs[0].publicKey.rawBytes is not a string"),
    "key is no base64": (put("tlogs.0.publicKey.rawBytes", "AA"), "tlogs[0].publicKey.rawBytes is not base64"),
    "key is no key": (
        put("tlogs.0.publicKey.rawBytes", "AAAA"),
        "tlogs[0].publicKey.rawBytes does not hold a public key that can be read",
    ),
    "no log id": (drop("tlogs.0.logId"), "tlogs[0].logId is not an object"),
    "unknown member of a log id": (put("tlogs.0.logId.hash", "x"), 'tlogs[0].logId has the unknown member "hash"'),
    "empty log id": (put("tlogs.0.logId.keyId", ""), "tlogs[0].logId.keyId is empty"),
    "log id is no string": (put("tlogs.0.logId.keyId", 7), "tlogs[0].logId.keyId is not a string"),
    "no window of a log": (drop("tlogs.0.publicKey.validFor"), "tlogs[0].publicKey.validFor is not an object"),
    "no start of a log": (
        put("tlogs.1.publicKey.validFor", {}),
        "tlogs[1].publicKey.validFor.start is missing",
    ),
    "no start of an authority": (
        put("timestampAuthorities.0.validFor", {"end": "2026-01-01T00:00:00Z"}),
        "timestampAuthorities[0].validFor.start is missing",
    ),
    "no window of an authority": (
        drop("certificateAuthorities.0.validFor"),
        "certificateAuthorities[0].validFor is not an object",
    ),
    "unknown member of a window": (
        put("tlogs.0.publicKey.validFor.until", "x"),
        'tlogs[0].publicKey.validFor has the unknown member "until"',
    ),
    "start is no string": (
        put("ctlogs.0.publicKey.validFor.start", 0),
        "ctlogs[0].publicKey.validFor.start is not a string",
    ),
    "end is no string": (put("ctlogs.0.publicKey.validFor.end", 0), "ctlogs[0].publicKey.validFor.end is not a string"),
    "ends before it starts": (
        put("certificateAuthorities.0.validFor", {"start": "2026-01-01T00:00:00Z", "end": "2025-12-31T23:59:59Z"}),
        "certificateAuthorities[0].validFor ends before it starts",
    ),
    "no chain": (drop("certificateAuthorities.0.certChain"), "certificateAuthorities[0].certChain is not an object"),
    "unknown member of a chain": (
        put("certificateAuthorities.0.certChain.roots", []),
        'certificateAuthorities[0].certChain has the unknown member "roots"',
    ),
    "chain is no array": (put(CERTIFICATES, "x"), "certificateAuthorities[0].certChain.certificates is not an array"),
    "empty chain": (
        put(CERTIFICATES, []),
        "certificateAuthorities[0].certChain.certificates has 0 certificates, not 1 to 8",
    ),
    "long chain": (
        put(CERTIFICATES, [{"rawBytes": "AAAA"}] * 9),
        "certificateAuthorities[0].certChain.certificates has 9 certificates, not 1 to 8",
    ),
    "the same certificate twice": (
        put(CERTIFICATES, [{"rawBytes": text(SIGSTORE.ca.chain[0].public_bytes(Encoding.DER))}] * 2),
        "certificateAuthorities[0].certChain.certificates lists a certificate twice",
    ),
    "certificate is no object": (
        put(f"{CERTIFICATES}.1", "AAAA"),
        "certificateAuthorities[0].certChain.certificates[1] is not an object",
    ),
    "unknown member of a certificate": (
        put(f"{CERTIFICATES}.0.pem", ""),
        'certificateAuthorities[0].certChain.certificates[0] has the unknown member "pem"',
    ),
    "certificate is no base64": (
        put(f"{CERTIFICATES}.1.rawBytes", "AAAA\n"),
        "certificateAuthorities[0].certChain.certificates[1].rawBytes is not base64",
    ),
    "certificate is none": (
        put(f"{CERTIFICATES}.1.rawBytes", "AAAA"),
        "certificateAuthorities[0].certChain.certificates[1].rawBytes: a certificate cannot be read",
    ),
    "timestamp certificate is none": (
        put("timestampAuthorities.0.certChain.certificates.0.rawBytes", "AAAA"),
        "timestampAuthorities[0].certChain.certificates[0].rawBytes: a certificate cannot be read",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_one_wrong_part_refuses_the_whole_root_and_the_message_names_its_path(name: str) -> None:
    edit, message = WRONG[name]
    assert refusal(edited(edit)) == message


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2022-10-31T23:59:59.999Z", datetime(2022, 10, 31, 23, 59, 59, 999000, tzinfo=UTC)),
        ("2022-10-31T23:59:59.123456789Z", datetime(2022, 10, 31, 23, 59, 59, 123456, tzinfo=UTC)),
        ("2022-10-31T23:59:59+02:00", datetime(2022, 10, 31, 21, 59, 59, tzinfo=UTC)),
    ],
)
def test_times_are_read_as_rfc_3339_has_them(written: str, read: datetime) -> None:
    window = parse_trusted_root(edited(put("tlogs.0.publicKey.validFor", {"start": written}))).logs[0].window
    assert window == Window(read)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "2022-10-31",
        "2022-10-31T23:59:59",  # no offset: whose midnight?
        "2022-10-31 23:59:59Z",
        "20221031T235959Z",
        "2022-W44-1T00:00:00Z",
        "2022-10-31T23:59:59,5Z",
        "2022-10-31T23:59:59Z ",
        "٢022-10-31T23:59:59Z",
    ],
)
def test_any_other_way_to_write_a_time_is_refused(written: str) -> None:
    message = refusal(edited(put("tlogs.0.publicKey.validFor.start", written)))
    assert message == "tlogs[0].publicKey.validFor.start is not a time such as 2026-01-01T00:00:00Z"


@pytest.mark.parametrize("written", ["2022-02-30T00:00:00Z", "2016-12-31T23:59:60Z", "2022-01-01T00:00:00+99:00"])
def test_a_time_that_does_not_exist_is_refused(written: str) -> None:
    message = refusal(edited(put("tlogs.0.publicKey.validFor.start", written)))
    assert message == "tlogs[0].publicKey.validFor.start is not a time that exists"


def test_both_ends_of_a_window_belong_to_it() -> None:
    window = Window(NOW, NOW + SECOND)
    assert [window.contains(NOW + n * SECOND) for n in (-1, 0, 1, 2)] == [False, True, True, False]
    assert Window(NOW).contains(NOW + timedelta(days=10**5))


UNSUPPORTED = {
    "another curve": der(ec.generate_private_key(ec.SECP256K1()).public_key()),
    "ed448": der(ed448.Ed448PrivateKey.generate().public_key()),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_a_log_with_a_key_of_another_kind_is_left_out_and_the_others_stay(name: str) -> None:
    root = parse_trusted_root(edited(put("tlogs.0.publicKey.rawBytes", text(UNSUPPORTED[name]))))
    assert [log.log_id for log in root.logs] == [SIGSTORE.rekor2.log_id]


def test_what_is_left_out_must_be_well_formed_too() -> None:
    def edit(document: Document) -> None:
        document["tlogs"][0]["publicKey"] = {"rawBytes": text(UNSUPPORTED["ed448"]), "validFor": {}}

    assert refusal(edited(edit)) == "tlogs[0].publicKey.validFor.start is missing"


def test_a_root_whose_ct_logs_are_all_left_out_is_refused_because_scts_would_lapse() -> None:
    message = refusal(edited(put("ctlogs.0.publicKey.rawBytes", text(UNSUPPORTED["ed448"]))))
    assert message == "ctlogs lists no log with a key that is supported (ECDSA, RSA or Ed25519)"


@pytest.mark.parametrize("kind", ["p384", "p521", "rsa2048", "ed25519"])
def test_logs_may_have_keys_of_every_kind_that_signatures_may_have(kind: str) -> None:
    log = CtLog.create(f"ct {kind}", Window(NOW), kind)
    assert [each.key.spki for each in parse_trusted_root(SIGSTORE.trusted_root(ct_logs=[log])).ct_logs] == [
        spki(log.key)
    ]


def test_a_list_is_bounded() -> None:
    log = SIGSTORE.rekor
    full = parse_trusted_root(SIGSTORE.trusted_root(logs=[log] * limits.TRUST_ROOT_ENTRIES))
    assert len(full.logs) == limits.TRUST_ROOT_ENTRIES
    message = refusal(SIGSTORE.trusted_root(logs=[log] * (limits.TRUST_ROOT_ENTRIES + 1)))
    assert message == "tlogs has 257 entries, more than 256"


def test_a_document_is_bounded() -> None:
    assert parse_trusted_root(RAW + b" " * (limits.TRUST_ROOT_BYTES - len(RAW))).logs
    assert "more than 4194304" in refusal(RAW + b" " * (limits.TRUST_ROOT_BYTES + 1 - len(RAW)))


def test_two_readers_cannot_see_two_roots_in_one_document() -> None:
    assert "twice" in refusal(RAW.replace(b'"tlogs":', b'"tlogs":[],"tlogs":', 1))


def test_a_log_may_be_listed_once_per_window() -> None:
    old = replace(SIGSTORE.rekor, window=Window(NOW - timedelta(days=9), NOW - timedelta(days=8)))
    root = parse_trusted_root(SIGSTORE.trusted_root(logs=[old, SIGSTORE.rekor]))
    assert [log.window for log in root.logs] == [old.window, SIGSTORE.rekor.window]


def test_two_logs_do_not_share_an_id() -> None:
    other = Rekor.v1("rekor.other", SIGSTORE.rekor.window).trusted
    raw = SIGSTORE.trusted_root(logs=[SIGSTORE.rekor, SIGSTORE.rekor])
    spki = base64.b64encode(SIGSTORE.rekor.trusted.key.spki)
    twice = raw.replace(spki, base64.b64encode(other.key.spki), 1)
    assert refusal(twice) == "tlogs lists two keys for one log id, and an entry names its log by that"


@pytest.mark.parametrize("name", ["https%3A%2F%2Ftuf-repo-cdn.sigstore.dev", "https%3A%2F%2Ftuf-repo-cdn.sigstage.dev"])
def test_the_roots_that_sigstore_publishes_are_read_in_full(name: str) -> None:
    published = importlib.resources.files("sigstore").joinpath("_store", name, "trusted_root.json").read_bytes()
    document = json.loads(published)
    root = parse_trusted_root(published)
    assert len(root.logs) == len(document["tlogs"])
    assert len(root.ct_logs) == len(document["ctlogs"])
    assert len(root.certificate_authorities) == len(document["certificateAuthorities"])
    assert len(root.timestamp_authorities) == len(document["timestampAuthorities"])


def test_every_recorded_root_is_read_but_the_one_without_a_start() -> None:
    shared = shared_fixture("conformance").parent
    refused: list[tuple[str, str]] = []
    recorded = sorted(shared.rglob("trusted_root.json"))
    for path in recorded:
        try:
            parse_trusted_root(path.read_bytes())
        except MalformedError as error:
            refused.append((path.parent.name, error.message))
    assert len(recorded) > 20
    assert refused == [("trust-root-tlog-missing-validity-start_fail", "tlogs[1].publicKey.validFor.start is missing")]


def paths(value: object, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every value in a document."""
    yield above
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in members:
        yield from paths(each, (*above, name))


PATHS = list(paths(json.loads(RAW)))
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just("AAAA")
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner))


@settings(max_examples=300)
@given(st.sampled_from(PATHS), VALUES)
def test_no_value_anywhere_raises_anything_but_malformed_error(path: tuple[str | int, ...], value: object) -> None:
    document = copy.deepcopy(json.loads(RAW))
    if path:
        target = document
        for name in path[:-1]:
            target = target[name]
        target[path[-1]] = value
    raw = json.dumps(document if path else value).encode()
    try:
        parse_trusted_root(raw)
    except MalformedError as error:
        assert len(error.message.splitlines()) == 1


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_malformed_error(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_trusted_root(raw)
