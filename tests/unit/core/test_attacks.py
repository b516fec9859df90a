"""One regression test, or more, for each class of attack that verifiers of these formats have fallen to.

Each begins with a signature that verifies and changes the one thing that the attack is about. What is stopped outside
the core is tested where it is stopped, and listed at the end.
"""

from __future__ import annotations

import ast
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from gate.core import limits
from gate.core.errors import MalformedError
from gate.core.identities import Exact, IdentityRule, Pattern
from gate.core.policy import Signatures
from gate.core.reasons import Reason
from gate.core.trust import Window, parse_trusted_root
from gate.core.verdict import Denied, Verified
from gate.demo import layouts
from tests.fakes.keyless import (
    ANYBODY,
    BOX,
    DEV,
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
from tests.fakes.signing import REPOSITORY, Image, rule_for, signer
from tests.fakes.sigstore import ISSUER, NOW, SUBJECT, Authority, Layout, bodies
from tests.fakes.sigstore.keys import named_key

LAYOUTS: tuple[Layout, ...] = ("tag", "bundle")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


# -- An expired issuing authority: CVE-2026-24122


def expired(which: str) -> Authority:
    """Return an authority that issued when one of its own certificates was past."""
    lasting, past = Window(NOW - 365 * DAY, NOW + 365 * DAY), Window(NOW - 365 * DAY, NOW - DAY)
    root = past if which == "root" else lasting
    intermediate = past if which == "intermediate" else lasting
    window = past if which == "window" else lasting
    return Authority.create(f"expired {which}", window, root=root, intermediate=intermediate)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("which", ["root", "intermediate", "window", "none of them"])
def test_a_leaf_whose_issuer_had_expired_is_refused_though_it_is_valid_itself(layout: Layout, which: str) -> None:
    box = replace(BOX, ca=expired(which))
    made = box.sign(layout, box.enroll(), IMAGE)
    expected = Reason.VERIFIED if which == "none of them" else Reason.CERTIFICATE
    assert reason(made, keyless(box.trusted_root())) is expected


# -- A managed key outside its window: CVE-2026-54787. A key of the policy has no window, and
# -- test_policyfile.py has it that what the policy does not know is an error; a log's and an authority's are above.

# -- Thresholds counted by entry: GHSA-9vcr-p3rj-q5q6


@pytest.mark.parametrize("layout", LAYOUTS)
def test_two_signatures_of_one_identity_are_one_signer_under_two_authorities(layout: Layout) -> None:
    image = Image.push()
    for key in (signer(), signer("p256", 1)):
        BOX.sign(layout, BOX.enroll(key), IMAGE).push(image.store, REPOSITORY, IMAGE)
    twice = Signatures((keyless(ROOT, name="one"), keyless(ROOT, ANYBODY, name="two")), 2)
    assert len(image.evidence().candidates) == 2
    assert image.decide(rule_for(twice)).verdict.reason is Reason.NOT_ENOUGH_SIGNERS
    BOX.sign(layout, BOX.enroll(subject="eve@example.com"), IMAGE).push(image.store, REPOSITORY, IMAGE)
    assert isinstance(image.decide(rule_for(twice)).verdict, Verified)


def test_one_entry_given_twice_is_refused() -> None:
    made = sign()
    assert reason(replace(made, entries=made.entries * 2)) is Reason.LOG_ENTRY


def test_one_timestamp_given_twice_is_refused() -> None:
    made = sign(log=BOX.rekor2)
    assert reason(replace(made, timestamps=made.timestamps * 2)) is Reason.TIMESTAMP


# -- The wrong attestation type passes: CVE-2022-35929, CVE-2026-39395, CVE-2022-35930


@pytest.mark.parametrize("predicate", ["https://slsa.dev/provenance/v1", "", "https://sigstore.dev/cosign/sign/v1 "])
def test_an_attestation_by_the_right_identity_is_no_signature(predicate: str) -> None:
    statement = layouts.statement([IMAGE], predicate, layouts.STATEMENT_TYPE, {}, {})
    assert reason(BOX.sign("bundle", BOX.enroll(), IMAGE, content=statement)) is Reason.ATTESTATION


# -- A regular expression that is silently ignored: CVE-2025-29778


def test_an_authority_without_identities_accepts_nobody() -> None:
    assert reason(sign(), replace(DEV, identities=())) is Reason.IDENTITY


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("subject", "issuer"),
    [
        ("dev@example.com.evil.example", ISSUER),
        ("adev@example.com", ISSUER),
        ("DEV@example.com", ISSUER),
        (SUBJECT, f"{ISSUER}.evil.example"),
        (SUBJECT, ISSUER.upper()),
    ],
)
def test_an_identity_that_only_contains_the_right_one_is_refused(layout: Layout, subject: str, issuer: str) -> None:
    made = BOX.sign(layout, BOX.enroll(subject=subject, issuer=issuer), IMAGE)
    assert reason(made) is Reason.IDENTITY
    pattern = IdentityRule(Pattern.parse("dev@example.com"), Pattern.parse("https://accounts.example"))
    assert reason(made, keyless(ROOT, pattern)) is Reason.IDENTITY


@pytest.mark.parametrize("layout", LAYOUTS)
def test_issuers_that_disagree_within_one_certificate_are_refused(layout: Layout) -> None:
    made = BOX.sign(layout, BOX.enroll(issuer_v1=b"https://evil.example"), IMAGE)
    assert reason(made) is Reason.CERTIFICATE
    assert reason(made, keyless(ROOT, ANYBODY)) is Reason.CERTIFICATE


def test_a_certificate_without_issuer_matches_only_a_rule_without_one() -> None:
    made = BOX.sign("tag", BOX.enroll(issuer=None), IMAGE)
    assert reason(made, keyless(ROOT, ANYBODY)) is Reason.IDENTITY
    assert reason(made, keyless(ROOT, IdentityRule(Exact(SUBJECT)))) is Reason.VERIFIED
    assert reason(sign("tag"), keyless(ROOT, IdentityRule(Exact(SUBJECT)))) is Reason.IDENTITY


@pytest.mark.parametrize("count", [0, 2])
def test_a_certificate_with_no_or_several_names_is_refused(count: int) -> None:
    names = [x509.RFC822Name(SUBJECT), x509.RFC822Name("eve@example.com")][:count]
    made = BOX.sign("bundle", BOX.enroll(names=names), IMAGE)
    assert reason(made, keyless(ROOT, ANYBODY)) is Reason.CERTIFICATE


# -- Keys fetched from the service that is to be judged: CVE-2023-47122


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("part", ["ca", "ct", "rekor"])
def test_what_a_foreign_instance_signed_is_refused(layout: Layout, part: str) -> None:
    box = replace(BOX, **{part: getattr(FOREIGN, part)})
    made = box.sign(layout, box.enroll(), IMAGE)
    expected = {"ca": Reason.CERTIFICATE, "ct": Reason.NO_SCT, "rekor": Reason.LOG_ENTRY}[part]
    assert reason(made) is expected
    assert reason(made, keyless(box.trusted_root())) is Reason.VERIFIED


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_foreign_key_under_the_id_of_a_trusted_log_is_refused(layout: Layout) -> None:
    rekor = replace(BOX.rekor, key=FOREIGN.rekor.key)
    assert reason(BOX.sign(layout, BOX.enroll(), IMAGE, log=rekor)) is Reason.LOG_ENTRY
    ct = replace(BOX.ct, key=FOREIGN.ct.key)
    assert reason(BOX.sign(layout, BOX.enroll(logs=[ct]), IMAGE)) is Reason.NO_SCT


def test_a_trusted_key_under_another_id_than_its_own_is_refused() -> None:
    made = sign()
    renamed = replace(BOX.rekor, log_id=FOREIGN.rekor.log_id)
    assert reason(made.with_entry(log_id=renamed.log_id)) is Reason.LOG_ENTRY


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_root_that_the_signature_brings_along_is_not_trusted(layout: Layout) -> None:
    box = replace(BOX, ca=FOREIGN.ca)
    holder = box.enroll()
    assert holder.chain == FOREIGN.ca.chain
    assert reason(box.sign(layout, holder, IMAGE)) is Reason.CERTIFICATE


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("missing", ["no extension", "empty list", "another certificate", "another issuer"])
def test_a_certificate_that_no_trusted_log_promised_to_log_is_refused(layout: Layout, missing: str) -> None:
    changes = {
        "no extension": {"logs": []},
        "empty list": {"scts": b"\x00\x00"},
        "another certificate": {"promised_tbs": b"another"},
        "another issuer": {"promised_issuer": bytes(32)},
    }[missing]
    made = BOX.sign(layout, BOX.enroll(**changes), IMAGE)
    assert reason(made) is Reason.NO_SCT


def test_a_promise_outside_its_logs_window_is_refused() -> None:
    made = sign()
    closed = replace(BOX.ct, window=Window(NOW - 30 * DAY, NOW - DAY))
    assert reason(made, keyless(BOX.trusted_root(ct_logs=[closed]))) is Reason.NO_SCT


# -- Confusion about the timestamp authority's certificate: CVE-2026-39984, CVE-2025-66564


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("attack", ["foreign", "foreign in the bag", "foreign key", "another signature", "refused"])
def test_a_timestamp_that_the_trusted_authority_did_not_sign_over_this_signature_proves_nothing(
    layout: Layout, attack: str
) -> None:
    authority = keyless(ROOT, log=False, timestamp=True)
    made = BOX.sign(layout, BOX.enroll(), IMAGE, log=None)
    assert reason(made, authority) is Reason.VERIFIED
    both = [*FOREIGN.tsa.chain, *BOX.tsa.chain]
    stamp = {
        "foreign": FOREIGN.tsa.stamp(made.signature, NOW),
        "foreign in the bag": FOREIGN.tsa.stamp(made.signature, NOW, embedded=both),
        "foreign key": BOX.tsa.stamp(made.signature, NOW, signing_key=FOREIGN.tsa.key),
        "another signature": BOX.tsa.stamp(b"another signature", NOW),
        "refused": BOX.tsa.stamp(made.signature, NOW, status="rejection"),
    }[attack]
    assert reason(replace(made, timestamps=(stamp,)), authority) is Reason.TIMESTAMP
    assert reason(replace(made, timestamps=()), authority) is Reason.TIMESTAMP


def test_a_leaf_that_only_chains_to_the_trusted_timestamp_root_is_refused() -> None:
    tsa = replace(BOX.tsa, key=named_key("a cousin"))
    made = BOX.sign("bundle", BOX.enroll(), IMAGE, log=None)
    stamp = tsa.stamp(made.signature, NOW)
    assert reason(replace(made, timestamps=(stamp,)), keyless(ROOT, log=False, timestamp=True)) is Reason.TIMESTAMP


# -- Many signatures, huge blobs, many entries: CVE-2023-46737, CVE-2024-29902, CVE-2024-29903,
# -- CVE-2024-45395; what a registry may send is limited where it is read


def test_more_log_entries_than_the_limit_are_refused() -> None:
    made = sign()
    many = tuple(BOX.rekor.append(bodies.dsse(made), NOW) for _ in range(limits.LOG_ENTRIES + 1))
    assert reason(replace(made, entries=many)) is Reason.MALFORMED


def test_more_timestamps_than_the_limit_are_refused() -> None:
    made = sign(log=BOX.rekor2)
    many = tuple(BOX.tsa.stamp(made.signature, NOW) for _ in range(limits.TIMESTAMPS + 1))
    assert reason(replace(made, timestamps=many)) is Reason.MALFORMED


def test_a_longer_chain_than_the_limit_is_refused() -> None:
    made = sign("tag")
    chain = made.holder.chain * limits.CHAIN_CERTIFICATES
    assert reason(replace(made, holder=replace(made.holder, chain=chain))) is Reason.MALFORMED


def test_a_timestamp_with_a_huge_number_in_it_is_refused_quickly() -> None:
    made = BOX.sign("bundle", BOX.enroll(), IMAGE, log=None)
    stamp = BOX.tsa.stamp(made.signature, NOW, serial=1 << 1_000_000)
    assert reason(replace(made, timestamps=(stamp,)), keyless(ROOT, log=False, timestamp=True)) is Reason.TIMESTAMP


# -- Parser differences: CVE-2026-44309; names in another case, names twice


@pytest.mark.parametrize("repeated", [b'"mediaType":"x",', b'"verificationMaterial":{},', b'"dsseEnvelope":{},'])
def test_a_bundle_that_names_a_member_twice_is_refused(repeated: bytes) -> None:
    assert _document_reason(sign().document().replace(b"{", b"{" + repeated, 1)) is Reason.MALFORMED


@pytest.mark.parametrize("name", [b"dsseEnvelope", b"verificationMaterial", b"mediaType"])
def test_a_bundle_that_names_a_member_in_another_case_is_refused(name: bytes) -> None:
    document = sign().document()
    assert _document_reason(document) is Reason.VERIFIED
    assert _document_reason(document.replace(name, name.lower())) is Reason.MALFORMED


def test_a_signed_statement_or_payload_that_names_its_digest_twice_is_refused() -> None:
    payload, holder = layouts.payload(IMAGE, "r"), BOX.enroll()
    twice = payload.replace(b'"docker-manifest-digest"', b'"docker-manifest-digest":"x","docker-manifest-digest"')
    assert reason(BOX.sign("tag", holder, IMAGE, content=twice)) is Reason.MALFORMED
    statement = sign().content.replace(b'"subject"', b'"subject":[],"subject"')
    assert reason(BOX.sign("bundle", holder, IMAGE, content=statement)) is Reason.MALFORMED


def test_a_log_entry_whose_body_could_mean_two_things_is_refused() -> None:
    made = sign()
    body = bodies.dsse(made)
    twice = replace(body, raw=body.raw.replace(b'"kind":"dsse"', b'"kind":"x","kind":"dsse"'))
    entry = BOX.rekor.append(twice, NOW)
    assert reason(replace(made, entries=(entry,))) is Reason.MALFORMED


def test_a_trust_root_that_names_a_member_twice_is_malformed() -> None:
    with pytest.raises(MalformedError):
        parse_trusted_root(BOX.trusted_root().replace(b'"tlogs":', b'"tlogs":[],"tlogs":'))


# -- The right signature of another image (tag moved, platform confused, copied)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_good_signature_of_another_digest_is_refused_under_this_one(layout: Layout) -> None:
    made = BOX.sign(layout, BOX.enroll(), OTHER_IMAGE)
    assert answer(read(made), DEV, OTHER_IMAGE)[0] is Reason.VERIFIED
    assert reason(made) is Reason.WRONG_DIGEST


# -- Referrer spam that switches off the tag-based signature: cosign 3


def test_a_foreign_bundle_does_not_hide_the_tag_based_signature() -> None:
    image = Image.push()
    sign("tag").push(image.store, REPOSITORY, IMAGE)
    for number in range(8):
        box = replace(FOREIGN, now=NOW + number * MINUTE)
        box.sign("bundle", box.enroll(), IMAGE).push(image.store, REPOSITORY, IMAGE)
    assert len(image.evidence().candidates) == 9
    assert isinstance(image.decide(rule_for(Signatures((DEV,)))).verdict, Verified)
    assert isinstance(image.decide(rule_for(Signatures((logged_key(ROOT, signer()),)))).verdict, Denied)


# -- Catastrophic patterns: CVE-2023-7279


def test_a_pattern_with_nested_repetition_is_matched_in_linear_time_against_the_longest_subject() -> None:
    pattern = Pattern.parse("(a+)+(a|a?)+(.*.*)*b")
    assert not pattern.matches("a" * 2048)


@pytest.mark.parametrize("source", [r"(a)\1", "(?=a)a", "(?<!b)a", "a{1,100000}"])
def test_a_pattern_that_cannot_be_matched_in_linear_time_is_refused(source: str) -> None:
    with pytest.raises(MalformedError):
        Pattern.parse(source)


@pytest.mark.parametrize("source", ["(\x1b[2J", "[\x1b", "(?P<\x1b>", "\\\u202e"])
def test_what_is_said_of_a_wrong_pattern_writes_nothing_to_a_terminal_but_words(source: str) -> None:
    with pytest.raises(MalformedError) as caught:
        Pattern.parse(source)
    assert caught.value.message.isprintable()


# -- What is stopped elsewhere

ELSEWHERE = {
    "unit/trust/test_policyfile.py": [  # a managed key's window, an ignored regular expression
        "test_a_wrong_policy_is_refused_with_these_words",
    ],
    "unit/registry/test_discovery.py": [  # many signatures
        "test_more_signatures_in_one_manifest_than_the_limit_are_a_problem",
        "test_above_64_referrers_the_rest_is_a_problem_and_what_was_found_stands",
    ],
    "integration/registry/test_bytes.py": [  # huge blobs, sizes that are only declared
        "test_a_blob_above_the_limit_is_not_asked_for",
        "test_a_body_that_announces_too_many_bytes_is_not_read",
    ],
    "integration/registry/test_hazards.py": [  # other bytes for a digest, links and realms elsewhere
        "test_o01_a_manifest_with_other_bytes_than_its_digest_is_refused",
        "test_o08_a_realm_that_is_not_the_registrys_own_is_refused_and_shown_no_password",
        "test_o13_a_link_to_a_next_page_anywhere_else_is_refused",
    ],
    "integration/registry/test_redirects.py": [
        "test_a_redirect_to_a_private_address_is_refused",
        "test_another_port_is_another_party",
        "test_credentials_do_not_come_back_from_another_party",
    ],
    "unit/trust/test_tuf.py": [  # file names that a TUF repository chooses: there is one, and it is ours
        "test_a_repository_without_the_target_is_not_believed",
        "test_nothing_is_left_behind_but_what_is_kept",
    ],
    "unit/test_service.py": [  # a tag that moves, an index for its platform
        "test_a_signed_tag_is_resolved_once_and_verified",
        "test_an_index_can_be_a_subject",
    ],
}


@pytest.mark.parametrize("file", ELSEWHERE)
def test_the_tests_of_what_is_stopped_elsewhere_are_there(file: str) -> None:
    tree = ast.parse((Path(__file__).parents[2] / file).read_bytes())
    assert set(ELSEWHERE[file]) <= {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def _document_reason(document: bytes) -> Reason:
    image = Image.push()
    signer().sign_bundle(image.store, REPOSITORY, IMAGE, document=document)
    (candidate,) = image.evidence().candidates
    return answer(candidate, DEV)[0]
