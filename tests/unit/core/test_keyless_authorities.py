"""A certificate's holder vouches for one digest, at a time that is proved; and what a key must have proved besides.

One test, or more, for each check of the authorities. What certificates, entries and timestamps must be is tested beside
each, and what attackers do with them in test_attacks.py.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

import pytest
from cryptography import x509

from gate.core.authorities import KeyAuthority, KeylessAuthority, Memo, Outcome
from gate.core.errors import UntrustedError
from gate.core.formats.simplesigning import LayerMaterial
from gate.core.identities import Exact, IdentityRule
from gate.core.keys import PublicKey, Signed, parse_public_key
from gate.core.oci import Digest
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.core.signature import UntrustedSignature
from gate.core.trust import Window, parse_trusted_root
from gate.core.verdict import Signer as Voucher
from gate.demo.signer import Signer
from tests.fakes.keyless import (
    BOX,
    DEV,
    DEVELOPER,
    FOREIGN,
    IMAGE,
    OTHER_IMAGE,
    ROOT,
    answer,
    keyless,
    logged_key,
    read,
    reason,
    sign,
)
from tests.fakes.signing import authority, signer
from tests.fakes.sigstore import ISSUER, NOW, SUBJECT, Holder, Layout, Made
from tests.fakes.sigstore.bodies import hashedrekord_v2

LAYOUTS: tuple[Layout, ...] = ("tag", "bundle")
HOUR = timedelta(hours=1)
STAMPED = keyless(ROOT, log=False, timestamp=True)
BOTH = keyless(ROOT, timestamp=True)
NEITHER = keyless(ROOT, log=False)


def well_formed(made: Made) -> UntrustedSignature:
    """Return what is read of the signature."""
    candidate = read(made)
    assert isinstance(candidate, UntrustedSignature)
    return candidate


def beside(made: Made, **annotations: str) -> UntrustedSignature:
    """Return a tag-based signature with something else in the annotations."""
    candidate = well_formed(made)
    assert isinstance(candidate.material, LayerMaterial)
    return replace(candidate, material=replace(candidate.material, **annotations))


def stamps(made: Made, *hours: int) -> Made:
    """Return the signature with a timestamp so many hours after now, for each of them."""
    return replace(made, timestamps=tuple(BOX.tsa.stamp(made.signature, NOW + each * HOUR) for each in hours))


# -- Who vouches


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_signer_is_the_authority_by_name_and_the_identity_of_the_certificate(layout: Layout) -> None:
    assert DEV.verify(well_formed(sign(layout)), IMAGE, NOW) == Voucher("dev", json.dumps([ISSUER, SUBJECT]))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_of_several_identities_is_enough(layout: Layout) -> None:
    eve = IdentityRule(Exact("eve@example.com"), Exact(ISSUER))
    assert reason(sign(layout), keyless(ROOT, eve, DEVELOPER)) is Reason.VERIFIED
    assert reason(sign(layout), keyless(ROOT, eve)) is Reason.IDENTITY


def test_a_refused_identity_is_told_as_the_certificate_has_it() -> None:
    eve = read(BOX.sign("bundle", BOX.enroll(subject="eve@example.com"), IMAGE))
    words = f"the certificate names {quote('eve@example.com')} by {quote(ISSUER)}, whom the authority does not"
    assert answer(eve, DEV) == (Reason.IDENTITY, words)
    nobodys = read(BOX.sign("bundle", BOX.enroll(issuer=None), IMAGE))
    words = f"the certificate names {quote(SUBJECT)} without an issuer, whom the authority does not"
    assert answer(nobodys, DEV) == (Reason.IDENTITY, words)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_signature_without_a_certificate_is_refused_though_its_key_is_logged(layout: Layout) -> None:
    assert reason(BOX.sign(layout, Holder(signer()), IMAGE, stamped=True)) is Reason.CERTIFICATE


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_logged_key_vouches_by_its_name_and_fingerprint(layout: Layout) -> None:
    voucher = logged_key(ROOT, signer())
    made = well_formed(BOX.sign(layout, Holder(signer()), IMAGE))
    assert voucher.verify(made, IMAGE, NOW) == Voucher("release", voucher.key.fingerprint)


def test_a_log_without_promises_was_in_use_when_it_was_stamped_or_for_a_key_still_is() -> None:
    past = Window(NOW - 9 * 24 * HOUR, NOW - 24 * HOUR)
    old = parse_trusted_root(BOX.trusted_root(logs=[replace(BOX.rekor2, window=past)]))
    made, now = BOX.sign("bundle", BOX.enroll(), IMAGE, log=BOX.rekor2), keyless(ROOT)
    assert reason(made, now) is Reason.VERIFIED
    assert reason(made, keyless(old)) is Reason.LOG_ENTRY
    for voucher, stamped in ((logged_key, False), (partial(logged_key, timestamp=True), True)):
        made = BOX.sign("bundle", Holder(signer()), IMAGE, log=BOX.rekor2, stamped=stamped)
        assert reason(made, voucher(ROOT, signer())) is Reason.VERIFIED
        assert reason(made, voucher(old, signer())) is Reason.LOG_ENTRY
    # Of a certificate without any time that is what is said, whatever its log.
    assert reason(replace(BOX.sign("bundle", BOX.enroll(), IMAGE, log=BOX.rekor2), timestamps=()), keyless(old)) is (
        Reason.NO_TIME
    )


def test_a_log_without_promises_was_in_use_at_a_time_that_anything_else_proves() -> None:
    spent = Window(NOW - 9 * 24 * HOUR, NOW + HOUR)
    later = Window(NOW + HOUR)
    used, unused = (
        parse_trusted_root(BOX.trusted_root(logs=[BOX.rekor, replace(BOX.rekor2, window=window)]))
        for window in (spent, later)
    )
    # For a key it is the promise of another log that proves a time, for a certificate a timestamp.
    key = BOX.sign("bundle", Holder(signer()), IMAGE)
    entry = BOX.rekor2.append(hashedrekord_v2(key), NOW)
    key = replace(key, entries=(*key.entries, entry))
    certificate = BOX.sign("bundle", BOX.enroll(), IMAGE, log=BOX.rekor2)
    for made, voucher in ((key, partial(logged_key, key=signer())), (certificate, keyless)):
        assert reason(made, voucher(used)) is Reason.VERIFIED
        assert reason(made, voucher(unused)) is Reason.LOG_ENTRY


@pytest.mark.parametrize("broken", [b"no timestamp", BOX.tsa.stamp(b"another signature", NOW)])
def test_without_any_other_time_it_is_told_what_is_wrong_with_the_timestamp(broken: bytes) -> None:
    made = replace(BOX.sign("bundle", BOX.enroll(), IMAGE, log=BOX.rekor2), timestamps=(broken,))
    assert answer(read(made), keyless(ROOT)) == answer(read(made), BOTH)
    why, message = answer(read(made), keyless(ROOT))
    assert why is Reason.TIMESTAMP
    assert message.startswith("a timestamp ")


# -- What is remembered


def remembering(kept: dict[bytes, Outcome]) -> Memo:
    """Return a memory that a test can look into."""

    def get(name: bytes, ask: Callable[[], Outcome]) -> Outcome:
        if name not in kept:
            kept[name] = ask()
        return kept[name]

    return get


VOUCHERS: list[KeyAuthority | KeylessAuthority] = [DEV, BOTH, logged_key(ROOT, signer())]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("voucher", VOUCHERS)
def test_what_is_proved_or_refused_is_proved_once(layout: Layout, voucher: KeyAuthority | KeylessAuthority) -> None:
    holder = Holder(signer()) if isinstance(voucher, KeyAuthority) else BOX.enroll()
    good = read(BOX.sign(layout, holder, IMAGE, stamped=True))
    bad = read(replace(BOX.sign(layout, holder, IMAGE), entries=()))
    kept: dict[bytes, Outcome] = {}
    asked: list[bytes] = []

    def check(key: PublicKey, signature: bytes, message: Signed) -> None:
        asked.append(signature)
        key.verify(signature, message)

    authority = replace(voucher, memo=remembering(kept))
    for digest in (IMAGE, OTHER_IMAGE):
        for candidate in (good, bad):
            assert isinstance(candidate, UntrustedSignature)
            expected = answer(candidate, voucher, digest)
            for _ in range(2):
                try:
                    got = Reason.VERIFIED, authority.verify(candidate, digest, NOW, check).identity
                except UntrustedError as error:
                    got = error.reason, error.message
                assert got == expected
                count = len(asked)
            assert len(asked) == count
    assert len(kept) == 4
    asked.clear()
    for candidate in (good, bad):
        assert isinstance(candidate, UntrustedSignature)
        with contextlib.suppress(UntrustedError):
            authority.verify(candidate, IMAGE, NOW, check)
    assert asked == []


def test_what_differs_in_anything_that_is_proved_has_another_fingerprint() -> None:
    tag, bundle = well_formed(sign("tag")), well_formed(sign("bundle"))
    changed = [
        tag,
        bundle,
        replace(tag, message=b"another"),
        replace(tag, message=Digest.of(b"another")),
        replace(tag, signature=b"another"),
        replace(tag, payload=b"another"),
        replace(tag, certified=not tag.certified),
        *(beside(sign("tag"), **{part: "another"}) for part in ("certificate", "chain", "entry", "timestamp")),
        replace(bundle, material=replace(bundle.material, document=b"{}")),
    ]
    assert len({each.fingerprint for each in changed}) == len(changed)
    assert replace(tag, location="elsewhere").fingerprint == tag.fingerprint


def test_whoever_is_not_named_is_not_proved() -> None:
    made = BOX.sign("bundle", BOX.enroll(subject="eve@example.com"), IMAGE)
    assert reason(replace(made, entries=())) is Reason.IDENTITY


# -- What is signed


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_signature_of_another_key_than_the_certificates_is_refused(layout: Layout) -> None:
    made, other = sign(layout), BOX.enroll(signer("p256", 1))
    assert reason(replace(made, holder=other)) is Reason.BAD_SIGNATURE


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_good_signature_of_another_image_is_refused(layout: Layout) -> None:
    assert answer(read(sign(layout)), DEV, OTHER_IMAGE)[0] is Reason.WRONG_DIGEST


# -- The certificate


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_certificate_for_another_purpose_is_refused(layout: Layout) -> None:
    holder = BOX.enroll(purposes=[x509.ExtendedKeyUsageOID.SERVER_AUTH])
    assert reason(BOX.sign(layout, holder, IMAGE)) is Reason.CERTIFICATE


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_certificate_of_an_authority_that_is_not_trusted_is_refused(layout: Layout) -> None:
    box = replace(BOX, ca=FOREIGN.ca)
    assert reason(box.sign(layout, box.enroll(), IMAGE)) is Reason.CERTIFICATE


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_certificate_must_be_promised_to_a_log_only_where_the_root_has_one(layout: Layout) -> None:
    made = BOX.sign(layout, BOX.enroll(logs=[]), IMAGE)
    assert reason(made) is Reason.NO_SCT
    assert reason(made, keyless(BOX.trusted_root(ct_logs=[]))) is Reason.VERIFIED


def test_the_intermediates_beside_a_certificate_lead_to_a_root_that_lists_none() -> None:
    box = replace(BOX, ca=replace(BOX.ca, chain=BOX.ca.chain[-1:]))
    made, vouching = sign("tag"), keyless(box.trusted_root())
    assert reason(made, vouching) is Reason.VERIFIED
    alone = replace(made, holder=replace(made.holder, chain=()))
    assert reason(alone, vouching) is Reason.CERTIFICATE


# -- The time


@pytest.mark.parametrize("layout", LAYOUTS)
def test_without_any_proved_time_nothing_is_accepted(layout: Layout) -> None:
    made = BOX.sign(layout, BOX.enroll(), IMAGE, stamped=False)
    assert reason(made) is Reason.VERIFIED
    assert reason(made, NEITHER) is Reason.NO_TIME


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_proved_time_must_be_within_the_certificates(layout: Layout) -> None:
    logged_late = BOX.sign(layout, BOX.enroll(), IMAGE, at=NOW + HOUR)
    assert reason(stamps(logged_late, 0)) is Reason.CERTIFICATE
    assert reason(stamps(sign(layout), 1)) is Reason.CERTIFICATE
    assert reason(stamps(sign(layout), 0)) is Reason.VERIFIED


@pytest.mark.parametrize("hours", [(0, 1), (1, 0)])
def test_every_timestamp_must_be_within_the_certificates_time(hours: tuple[int, ...]) -> None:
    made = BOX.sign("bundle", BOX.enroll(), IMAGE, log=None)
    assert reason(stamps(made, 0), STAMPED) is Reason.VERIFIED
    assert reason(stamps(made, *hours), STAMPED) is Reason.CERTIFICATE


# -- The log, as it is wanted


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_log_entry_is_required_by_default_whatever_else_proves_the_time(layout: Layout) -> None:
    made = BOX.sign(layout, BOX.enroll(), IMAGE, log=None)
    assert reason(made, STAMPED) is Reason.VERIFIED
    assert reason(made) is Reason.NO_LOG_ENTRY
    assert reason(made, BOTH) is Reason.NO_LOG_ENTRY


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_log_that_is_ignored_proves_no_time_and_refuses_nothing(layout: Layout) -> None:
    foreign = replace(BOX, rekor=FOREIGN.rekor)
    made = foreign.sign(layout, BOX.enroll(), IMAGE, stamped=True)
    assert reason(made) is Reason.LOG_ENTRY
    assert reason(made, STAMPED) is Reason.VERIFIED
    assert reason(BOX.sign(layout, BOX.enroll(), IMAGE), NEITHER) is Reason.NO_TIME


# -- Timestamps, as they are wanted


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_timestamp_that_is_required_is_required_beside_a_logs_promise_too(layout: Layout) -> None:
    made = sign(layout)
    missing = "it carries no timestamp, and the rule requires one"
    assert answer(read(made), BOTH) == (Reason.TIMESTAMP, missing)
    assert reason(stamps(made, 0), BOTH) is Reason.VERIFIED


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_required_timestamp_that_does_not_verify_is_refused_and_says_why(layout: Layout) -> None:
    made = sign(layout)
    foreign = replace(made, timestamps=(FOREIGN.tsa.stamp(made.signature, NOW),))
    refused, words = answer(read(foreign), BOTH)
    assert refused is Reason.TIMESTAMP
    assert words.startswith("a timestamp does not verify")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_timestamp_that_does_not_verify_counts_as_none_where_the_log_proves_the_time(layout: Layout) -> None:
    made = sign(layout)
    foreign = replace(made, timestamps=(FOREIGN.tsa.stamp(made.signature, NOW),))
    assert reason(foreign) is Reason.VERIFIED


def test_a_timestamp_that_does_not_verify_is_told_where_nothing_else_proves_the_time() -> None:
    made = sign(log=BOX.rekor2)
    foreign = replace(made, timestamps=(FOREIGN.tsa.stamp(made.signature, NOW),))
    assert reason(foreign) is Reason.TIMESTAMP
    assert reason(replace(made, timestamps=())) is Reason.NO_TIME
    assert reason(replace(foreign, timestamps=(*foreign.timestamps, *made.timestamps))) is Reason.VERIFIED


# -- What cannot be read


@pytest.mark.parametrize("part", ["certificate", "entry", "timestamp"])
def test_what_is_needed_and_cannot_be_read_is_malformed(part: str) -> None:
    made = sign("tag", stamped=True)
    assert answer(beside(made, **{part: "garbage"}), BOTH)[0] is Reason.MALFORMED
    assert answer(well_formed(made), BOTH)[0] is Reason.VERIFIED


def test_an_entry_that_cannot_be_read_concerns_nobody_who_ignores_the_log() -> None:
    assert answer(beside(sign("tag", stamped=True), entry="garbage"), STAMPED)[0] is Reason.VERIFIED


# -- The second opinion


@dataclass
class Second:
    """A second verifier that keeps what it was asked."""

    objects: bool = False
    asked: list[bytes] = field(default_factory=list)

    def __call__(self, bundle: bytes) -> None:
        self.asked.append(bundle)
        if self.objects:
            raise UntrustedError(Reason.VERIFIERS_DIFFER, "the second verifier objects")


def test_a_second_verifier_is_asked_about_the_very_bytes_of_a_bundle_and_may_refuse_it() -> None:
    made, agreeing, objecting = sign(), Second(), Second(objects=True)
    assert reason(made, replace(DEV, second=agreeing)) is Reason.VERIFIED
    assert agreeing.asked == [made.document()]
    assert reason(made, replace(DEV, second=objecting)) is Reason.VERIFIERS_DIFFER


def test_a_second_verifier_is_not_asked_about_what_is_not_a_bundle_or_is_refused_anyway() -> None:
    second = Second()
    vouching = replace(DEV, second=second)
    assert reason(sign("tag"), vouching) is Reason.VERIFIED
    assert reason(BOX.sign("bundle", BOX.enroll(subject="eve@example.com"), IMAGE), vouching) is Reason.IDENTITY
    assert second.asked == []


# -- Who checks signatures


@dataclass
class Checker:
    """Checks signatures as the keys do, and keeps whose they were."""

    asked: set[str] = field(default_factory=set)

    def __call__(self, key: PublicKey, signature: bytes, message: Signed) -> None:
        self.asked.add(key.fingerprint)
        key.verify(signature, message)


def fingerprints(*keys: Signer) -> set[str]:
    return {parse_public_key(key.public_pem).fingerprint for key in keys}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_signature_that_is_checked_by_a_key_is_checked_by_whoever_was_given(layout: Layout) -> None:
    made, check = sign(layout), Checker()
    DEV.verify(well_formed(made), IMAGE, NOW, check)
    assert check.asked == fingerprints(made.holder.key, BOX.ct.key, BOX.rekor.key)


# -- A key, and what must be proved besides


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_key_that_must_be_logged_is_refused_without_its_entry(layout: Layout) -> None:
    made = BOX.sign(layout, Holder(signer()), IMAGE, stamped=True)
    logged = logged_key(ROOT, signer())
    assert reason(made, logged) is Reason.VERIFIED
    assert reason(replace(made, entries=()), logged) is Reason.NO_LOG_ENTRY
    assert reason(replace(made, entries=()), authority(signer())) is Reason.VERIFIED


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("log", [True, False])
def test_a_key_whose_signatures_must_be_stamped_is_refused_without_a_good_timestamp(layout: Layout, log: bool) -> None:
    made = BOX.sign(layout, Holder(signer()), IMAGE, stamped=True)
    stamped = logged_key(ROOT, signer(), log=log, timestamp=True)
    assert reason(made, stamped) is Reason.VERIFIED
    assert reason(replace(made, timestamps=()), stamped) is Reason.TIMESTAMP
    foreign = (FOREIGN.tsa.stamp(made.signature, NOW),)
    assert reason(replace(made, timestamps=foreign), stamped) is Reason.TIMESTAMP


def test_timestamps_that_a_key_does_not_need_are_not_looked_at() -> None:
    made = BOX.sign("tag", Holder(signer()), IMAGE, stamped=True)
    assert answer(beside(made, timestamp="garbage"), logged_key(ROOT, signer()))[0] is Reason.VERIFIED


@pytest.mark.parametrize("part", ["entry", "timestamp"])
def test_what_a_key_needs_and_cannot_be_read_is_malformed(part: str) -> None:
    made = BOX.sign("tag", Holder(signer()), IMAGE, stamped=True)
    demanding = logged_key(ROOT, signer(), timestamp=True)
    assert answer(well_formed(made), demanding)[0] is Reason.VERIFIED
    assert answer(beside(made, **{part: "garbage"}), demanding)[0] is Reason.MALFORMED


def test_a_keys_log_entry_is_checked_by_whoever_was_given() -> None:
    check = Checker()
    logged_key(ROOT, signer()).verify(well_formed(BOX.sign("bundle", Holder(signer()), IMAGE)), IMAGE, NOW, check)
    assert check.asked == fingerprints(signer(), BOX.rekor.key)


@pytest.mark.parametrize("vouching", [logged_key(ROOT, BOX.enroll().key), authority(BOX.enroll().key)])
def test_a_bundle_with_a_certificate_is_refused_by_its_very_key(vouching: KeyAuthority) -> None:
    assert reason(sign(), vouching) is Reason.CERTIFICATE
    assert reason(sign("tag"), vouching) is Reason.VERIFIED
