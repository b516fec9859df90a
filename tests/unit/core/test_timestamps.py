"""Timestamps: which times are proved for a signature, and what proves nothing. Nothing is ever raised."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Unpack

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.core import limits
from gate.core.timestamps import Times, verify_timestamps
from gate.core.trust import CertificateAuthority, Window, parse_trusted_root
from gate.demo.signer import Signer
from tests.fakes.shared import shared_fixture
from tests.fakes.sigstore import NOW, Sigstore, TimestampAuthority
from tests.fakes.sigstore.authority import builder_for, common_name, key_usage, self_signed_root
from tests.fakes.sigstore.keys import certificate_hash, named_key
from tests.fakes.sigstore.tsa import Stamping

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
YEAR = Window(NOW - 365 * DAY, NOW + 365 * DAY)
TSA = Sigstore.create().tsa
SIGNATURE = b"the signature that is stamped"

UNREADABLE = "a timestamp cannot be read"
NOT_IN_USE = "a timestamp is of a time when no timestamp authority of the trust root was in use"
UNVERIFIED = "a timestamp does not verify: another authority's, expired by then, or of something else"


def stamp(at: datetime = NOW, by: TimestampAuthority = TSA, **changes: Unpack[Stamping]) -> bytes:
    return by.stamp(SIGNATURE, at, **changes)


def verify(*responses: bytes, by: TimestampAuthority = TSA) -> Times:
    return verify_timestamps(responses, SIGNATURE, [CertificateAuthority(by.chain, by.window)])


def created(name: str, certificate: Window = YEAR, root: Window = YEAR, window: Window = YEAR) -> TimestampAuthority:
    return TimestampAuthority.create(name, window, certificate=certificate, root=root)


def test_a_timestamp_proves_its_time() -> None:
    assert verify(stamp()) == Times((NOW,))
    assert verify(stamp(NOW - DAY)) == Times((NOW - DAY,))


def test_no_timestamp_proves_nothing_and_refuses_nothing() -> None:
    assert verify() == Times()


def test_each_timestamp_is_judged_alone() -> None:
    times = verify(b"garbage", stamp(), stamp(NOW - SECOND), stamp(imprint=bytes(32)))
    assert times == Times((NOW, NOW - SECOND), (UNREADABLE, UNVERIFIED))


def test_a_timestamp_of_another_signature_proves_nothing() -> None:
    assert verify(TSA.stamp(b"another signature", NOW)) == Times(refused=(UNVERIFIED,))


@pytest.mark.parametrize(
    "authorities", [[], [CertificateAuthority(created("other").chain, YEAR)]], ids=["none", "other"]
)
def test_a_timestamp_of_an_authority_that_nobody_trusts_proves_nothing(authorities: list[CertificateAuthority]) -> None:
    refused = UNVERIFIED if authorities else NOT_IN_USE
    assert verify_timestamps([stamp()], SIGNATURE, authorities) == Times(refused=(refused,))


def test_every_authority_of_the_trust_root_is_asked() -> None:
    authorities = [CertificateAuthority(each.chain, each.window) for each in (created("other"), TSA)]
    for listed in (authorities, authorities[::-1]):
        assert verify_timestamps([stamp()], SIGNATURE, listed) == Times((NOW,))


def test_an_authority_is_believed_in_its_own_window_only_and_both_ends_belong_to_it() -> None:
    authority = replace(TSA, window=Window(NOW - DAY, NOW))
    for at in (NOW - DAY, NOW):
        assert verify(stamp(at), by=authority) == Times((at,))
    for at in (NOW - DAY - SECOND, NOW + SECOND):
        assert verify(stamp(at), by=authority) == Times(refused=(NOT_IN_USE,))


@pytest.mark.parametrize("which", ["certificate", "root"])
def test_every_certificate_of_the_authority_is_valid_at_the_time(which: str) -> None:
    window = Window(NOW - 2 * DAY, NOW - DAY)
    authority = created(f"{which} expired", **{which: window})
    inside = window.start + SECOND
    assert verify(stamp(inside, authority), by=authority) == Times((inside,))
    for at in (NOW, window.start - SECOND):
        assert verify(stamp(at, authority), by=authority) == Times(refused=(UNVERIFIED,))


def test_a_timestamp_without_a_certificate_inside_is_the_pinned_ones() -> None:
    assert verify(stamp(embedded=[])) == Times((NOW,))
    forged = stamp(embedded=[], signing_key=named_key("forger"))
    assert verify(forged) == Times(refused=(UNVERIFIED,))


def test_the_certificate_is_pinned_and_not_taken_from_the_response_cve_2026_39984() -> None:
    # Another certificate of the very same root, that may stamp too.
    sibling = below_root("sibling")
    assert verify(stamp(by=sibling), by=sibling) == Times((NOW,))
    pinned = below_root("pinned")
    for embedded in ([], sibling.chain[:1], (*pinned.chain[:1], *sibling.chain[:1])):
        assert verify(stamp(by=sibling, embedded=embedded), by=pinned) == Times(refused=(UNVERIFIED,))


ROOT_KEY, ROOT = self_signed_root("stamping root", YEAR)
TIME_STAMPING = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])


def below_root(
    name: str, purposes: x509.ExtendedKeyUsage | None = TIME_STAMPING, *, critical: bool = True
) -> TimestampAuthority:
    signing = named_key(name)
    builder = builder_for(common_name(name), signing, ROOT.subject, ROOT_KEY, YEAR)
    builder = builder.add_extension(key_usage("digital_signature"), critical=True)
    if purposes is not None:
        builder = builder.add_extension(purposes, critical=critical)
    certificate = builder.sign(ROOT_KEY.key, certificate_hash(ROOT_KEY.key))
    return TimestampAuthority(signing, (certificate, ROOT), YEAR)


@pytest.mark.parametrize(
    ("purposes", "critical"),
    [(None, True), (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), True), (TIME_STAMPING, False)],
    ids=["none", "another", "not critical"],
)
def test_a_certificate_that_is_not_for_timestamps_proves_no_time(
    purposes: x509.ExtendedKeyUsage | None, critical: bool
) -> None:
    authority = below_root("other purpose", purposes, critical=critical)
    assert verify(stamp(by=authority), by=authority) == Times(refused=(UNVERIFIED,))


def test_an_authority_may_be_its_one_certificate() -> None:
    name, key = common_name("single"), named_key("single")
    builder = builder_for(name, key, name, key, YEAR).add_extension(key_usage("digital_signature"), critical=True)
    certificate = builder.add_extension(TIME_STAMPING, critical=True).sign(key.key, certificate_hash(key.key))
    single = TimestampAuthority(key, (certificate,), YEAR)
    assert verify(stamp(by=single), by=single) == Times((NOW,))


def test_an_authority_may_have_an_intermediate() -> None:
    root_key, root = named_key("long root", "p384"), common_name("long root")
    middle_key, middle = named_key("long middle", "p384"), common_name("long middle")

    def authority(subject: x509.Name, key: Signer, length: int) -> x509.Certificate:
        builder = builder_for(subject, key, root, root_key, YEAR)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=length), critical=True)
        builder = builder.add_extension(key_usage("key_cert_sign"), critical=True)
        return builder.sign(root_key.key, certificate_hash(root_key.key))

    key = named_key("long")
    builder = builder_for(common_name("long"), key, middle, middle_key, YEAR)
    builder = builder.add_extension(key_usage("digital_signature"), critical=True)
    leaf = builder.add_extension(TIME_STAMPING, critical=True).sign(middle_key.key, certificate_hash(middle_key.key))
    chain = (leaf, authority(middle, middle_key, 0), authority(root, root_key, 1))
    long = TimestampAuthority(key, chain, YEAR)
    assert verify(stamp(by=long), by=long) == Times((NOW,))


@pytest.mark.parametrize("status", ["granted_with_mods", "rejection", "waiting"])
def test_a_response_that_was_not_granted_proves_nothing(status: str) -> None:
    assert verify(stamp(status=status)) == Times(refused=(UNVERIFIED,))


def test_a_status_that_does_not_exist_proves_nothing() -> None:
    raw = stamp()
    assert raw.count(b"\x30\x03\x02\x01\x00") == 1
    assert verify(raw.replace(b"\x30\x03\x02\x01\x00", b"\x30\x03\x02\x01\x63")) == Times(refused=(UNVERIFIED,))


def test_a_certificate_inside_that_is_of_no_known_version_proves_nothing() -> None:
    raw = stamp()
    assert raw.count(b"\xa0\x03\x02\x01\x02\x02") == 1
    altered = raw.replace(b"\xa0\x03\x02\x01\x02\x02", b"\xa0\x03\x02\x01\x07\x02")
    assert verify(altered) == Times(refused=(UNVERIFIED,))


@pytest.mark.parametrize("algorithm", ["sha1", "md5", "sha224"])
def test_a_weak_digest_of_the_signature_proves_nothing(algorithm: str) -> None:
    assert verify(stamp(algorithm=algorithm)) == Times(refused=(UNVERIFIED,))


def test_an_altered_time_proves_nothing() -> None:
    raw = stamp()
    written = f"{NOW:%Y%m%d%H%M%SZ}".encode()
    assert raw.count(written) == 1
    earlier = raw.replace(written, f"{NOW - SECOND:%Y%m%d%H%M%SZ}".encode())
    assert verify(earlier) == Times(refused=(UNVERIFIED,))


def test_eight_timestamps_are_the_most() -> None:
    stamps = [stamp(NOW - n * SECOND) for n in range(limits.TIMESTAMPS + 1)]
    assert len(verify(*stamps[:-1]).proved) == limits.TIMESTAMPS
    assert verify(*stamps) == Times(refused=("it carries 9 timestamps, more than 8",))


def test_of_timestamps_that_repeat_none_proves_anything() -> None:
    first, second = stamp(), stamp(NOW - SECOND)
    assert verify(first, second, first) == Times(refused=("it carries the same timestamp twice",))


def test_a_timestamp_is_bounded() -> None:
    refused = "a timestamp has 65537 bytes, more than 65536"
    assert verify(bytes(limits.TIMESTAMP_BYTES)) == Times(refused=(UNREADABLE,))
    assert verify(bytes(limits.TIMESTAMP_BYTES + 1)) == Times(refused=(refused,))


RECORDED = stamp()


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(RECORDED) - 1), st.binary(min_size=1, max_size=3), st.booleans())
@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_an_altered_timestamp_raises_nothing(at: int, data: bytes, cut: bool) -> None:
    raw = RECORDED[:at] if cut else RECORDED[:at] + data + RECORDED[at + len(data) :]
    times = verify(raw)
    assert len(times.proved) + len(times.refused) == 1
    assert times.proved in ((), (NOW,))


@given(st.lists(st.binary(max_size=200), max_size=10))
def test_no_bytes_raise_anything_or_prove_a_time(responses: list[bytes]) -> None:
    times = verify(*responses)
    assert not times.proved
    assert bool(times.refused) == bool(responses)


CASES = {
    "rekor2-timestamp-with-embedded-cert": (),
    "rekor2-timestamp-without-embedded-cert": (),
    "trust-root-tsa-validity-end-inclusive": (),
    "rekor2-timestamp-outside-trust-root-tsa-validity_fail": (NOT_IN_USE,),
    "rekor2-timestamp-outside-tsa-cert-validity_fail": (UNVERIFIED,),
    "rekor2-timestamp-untrusted-tsa-without-embedded-cert_fail": (UNVERIFIED,),
}


@pytest.mark.parametrize("case", CASES)
def test_recorded_timestamps_are_judged_as_the_conformance_suite_wants(case: str) -> None:
    recorded = shared_fixture(f"conformance/{case}")
    bundle = json.loads((recorded / "bundle.sigstore.json").read_bytes())
    root = parse_trusted_root((recorded / "trusted_root.json").read_bytes())
    data = bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
    responses = [base64.b64decode(each["signedTimestamp"]) for each in data]
    signature = base64.b64decode(bundle["messageSignature"]["signature"])
    times = verify_timestamps(responses, signature, root.timestamp_authorities)
    assert times.refused == CASES[case]
    assert bool(times.proved) != bool(times.refused)
