"""What is told to the person who is denied: one line that begins with the reason and names the whole digest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gate.core.combine import no_rule_message
from gate.core.errors import UnavailableError
from gate.core.oci import Digest, Reference
from gate.core.policy import Fail, Mode, NoMatch, OnUnavailable, Pass, Rule, Signatures
from gate.core.reasons import Reason
from gate.core.signature import Evidence, RefusedCandidate
from gate.core.verdict import Decision, Denied, Exempt, Unavailable, Verified
from gate.core.verify import decide, no_signature_message
from tests.fakes.signing import NOW, REPOSITORY, Image, authority, rule_for, signer

IMAGE = Image.push()
SIGNED = Image.push()
signer().sign_tag(SIGNED.store, REPOSITORY, SIGNED.digest)
HOSTILE = 'a"\\\n\x1b[31m\u202e\u2066\u200b\u2028' + "x" * 300
ESCAPED = '"a\\"\\\\\\n\\x1b[31m\\u202e\\u2066\\u200b\\u2028' + "x" * 187 + '"…'
TIMEOUT = UnavailableError(Reason.REGISTRY_UNREACHABLE, "no connection to registry.example", outage=True)
BAD = rule_for(signer("p256", 1))
PAIR = rule_for(Signatures((authority(signer(), "a"), authority(signer("p256", 1), "b")), 2))


def ask(image: Image, rule: Rule | None, *unreadable: UnavailableError, no_match: NoMatch = NoMatch.DENY) -> Decision:
    evidence = Evidence(image.evidence().candidates, unreadable)
    return decide(image.reference, evidence, () if rule is None else (rule,), no_match, NOW)


CASES: dict[str, tuple[Callable[[], Decision], str]] = {
    "no signature": (lambda: ask(IMAGE, BAD), "no signatures found for "),
    "untrusted": (lambda: ask(SIGNED, BAD), "untrusted: none of the 1 signatures found for "),
    "not enough": (lambda: ask(SIGNED, PAIR), 'not-enough-signers: rule "release" wants 2 distinct signers of '),
    "unavailable": (lambda: ask(IMAGE, BAD, TIMEOUT), "registry-unreachable: "),
    "failed open": (lambda: ask(IMAGE, replace(BAD, on_unavailable=OnUnavailable.ALLOW), TIMEOUT), "failed-open: "),
    "static fail": (lambda: ask(IMAGE, rule_for(Fail())), 'static-fail: rule "release" refuses '),
    "static pass": (lambda: ask(IMAGE, rule_for(Pass())), 'static-pass: rule "release" admits '),
    "no rule": (lambda: ask(IMAGE, None), "no-rule: no rule of the policy matches "),
    "no rule, warned": (
        lambda: ask(IMAGE, None, no_match=NoMatch.WARN),
        "no-rule-allowed: no rule of the policy matches ",
    ),
    "no rule, allowed": (
        lambda: ask(IMAGE, None, no_match=NoMatch.ALLOW),
        "no-rule-allowed: no rule of the policy matches ",
    ),
    "warned": (
        lambda: ask(IMAGE, replace(BAD, mode=Mode.WARN)),
        'warned: rule "release" (warn): no signatures found for ',
    ),
    "verified": (lambda: ask(SIGNED, rule_for(signer())), "verified: "),
}


def message_of(name: str) -> str:
    return CASES[name][0]().verdict.message


@pytest.mark.parametrize("name", CASES)
def test_every_message_is_one_line_that_begins_with_the_reason_and_names_the_whole_digest(name: str) -> None:
    make, beginning = CASES[name]
    decision = make()
    message = decision.verdict.message
    assert message.startswith(beginning)
    assert message.startswith(("no signatures found", f"{decision.verdict.reason}: "))
    assert message.isprintable()
    assert decision.subject is not None
    assert str(decision.subject.digest) in message
    assert decision.subject.name in message


def test_the_cases_above_are_every_kind_of_answer() -> None:
    assert {type(make().verdict) for make, _ in CASES.values()} == {Verified, Exempt, Denied, Unavailable}


@pytest.mark.parametrize("name", ["no signature", "untrusted", "not enough", "unavailable", "static fail", "warned"])
def test_what_a_rule_refuses_names_the_rule(name: str) -> None:
    assert 'rule "release"' in message_of(name)


def test_a_denial_says_what_to_do() -> None:
    assert "sign this digest, not a tag" in message_of("no signature")
    assert "sign with the key that the rule names" in message_of("untrusted")
    assert "add the missing signatures to this digest" in message_of("not enough")
    assert "check the registry's name" in message_of("unavailable")
    assert "sync another digest" in message_of("static fail")
    assert "add a rule for it" in message_of("no rule")


def test_attestations_alone_are_named() -> None:
    image = Image.push()
    signer().sign_bundle(image.store, REPOSITORY, image.digest, predicate_type="https://slsa.dev/provenance/v1")
    assert "(only attestations, which are not signatures)" in ask(image, BAD).verdict.message
    assert "attestations" not in message_of("no signature")


def test_an_untrusted_message_counts_the_reasons_and_tells_the_most_telling_one() -> None:
    image = Image.push()
    signer("p256", 2).sign_tag(image.store, REPOSITORY, image.digest)
    signer("p256", 3).sign_tag(image.store, REPOSITORY, image.digest)
    signer("p256", 1).sign_tag(image.store, REPOSITORY, image.digest, claim=Digest.of(b"another"))
    message = ask(image, BAD).verdict.message
    assert "none of the 3 signatures found" in message
    assert "(2 bad-signature, 1 wrong-digest: the signature is valid, but it signs another digest)" in message
    assert message.endswith("sign this digest; a signature cannot be copied from another image")


def test_an_attestation_beside_a_bad_signature_is_neither_counted_nor_told() -> None:
    # Otherwise whoever may push an attestation chooses what is told about the signature.
    image = Image.push()
    signer().sign_bundle(image.store, REPOSITORY, image.digest, predicate_type="https://slsa.dev/provenance/v1")
    signer().sign_tag(image.store, REPOSITORY, image.digest)
    message = ask(image, BAD).verdict.message
    assert "none of the 1 signatures found" in message
    assert message.endswith("sign with the key that the rule names")


def test_of_several_problems_the_one_that_is_no_outage_is_told() -> None:
    forbidden = UnavailableError(Reason.REGISTRY_UNAUTHORIZED, "registry.example answered 403")
    for order in ((TIMEOUT, forbidden), (forbidden, TIMEOUT)):
        message = ask(IMAGE, BAD, *order).verdict.message
        assert message.startswith("registry-unauthorized: ")
        assert "answered 403" in message


def test_a_rules_own_sentence_is_told_where_it_refuses() -> None:
    message = ask(IMAGE, replace(rule_for(Fail()), message="revoked, see INC-1")).verdict.message
    assert ': "revoked, see INC-1"; sync another digest' in message
    for image, rule in ((IMAGE, BAD), (SIGNED, BAD), (SIGNED, PAIR)):
        message = ask(image, replace(rule, message="ask team-a")).verdict.message
        assert message == ask(image, rule).verdict.message + '; the rule says "ask team-a"'


def test_a_rule_without_a_sentence_adds_none() -> None:
    label = IMAGE.reference.label
    assert ask(IMAGE, rule_for(Fail())).verdict.message == (
        f'static-fail: rule "release" refuses {label}; sync another digest'
    )
    assert ask(IMAGE, BAD).verdict.message.startswith(f'no signatures found for {label}: rule "release" requires one; ')


@pytest.mark.parametrize(
    "rule",
    [
        replace(BAD, name=HOSTILE),
        replace(rule_for(Fail()), name=HOSTILE),
        replace(rule_for(Fail()), message=HOSTILE),
        replace(rule_for(Pass()), name=HOSTILE),
        replace(PAIR, name=HOSTILE),
        replace(BAD, name=HOSTILE, mode=Mode.WARN),
        replace(BAD, name=HOSTILE, on_unavailable=OnUnavailable.ALLOW),
        rule_for(Signatures((authority(signer(), HOSTILE),))),
        replace(rule_for(signer()), name=HOSTILE),
    ],
    ids=["name", "fail name", "fail message", "pass", "count", "warn", "open", "authority", "verified"],
)
def test_names_of_the_policy_are_quoted_escaped_and_cut(rule: Rule) -> None:
    for image, problems in ((IMAGE, ()), (SIGNED, ()), (IMAGE, (TIMEOUT,))):
        verdict = ask(image, rule, *problems).verdict
        warned = verdict.warnings if isinstance(verdict, Verified | Exempt) else ()
        for message in (verdict.message, *warned):
            assert message.isprintable()
            assert HOSTILE not in message
    assert any(
        ESCAPED in ask(image, rule, *problems).verdict.message
        for image, problems in ((SIGNED, ()), (IMAGE, (TIMEOUT,)))
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"type": HOSTILE},
        {"payload": b'{"critical": {"%s": 1}}' % HOSTILE[14:].encode()},
        {"claim": HOSTILE},
    ],
    ids=["type", "member", "digest"],
)
def test_strings_of_a_payload_are_quoted_escaped_and_cut(changes: dict[str, object]) -> None:
    image = Image.push()
    signer().sign_tag(image.store, REPOSITORY, image.digest, **changes)  # type: ignore[arg-type]  # one of the members
    message = ask(image, BAD).verdict.message
    assert message.isprintable()
    assert "x" * 201 not in message


@pytest.mark.parametrize(
    "changes",
    [
        {"predicate_type": HOSTILE},
        {"statement_type": HOSTILE},
        {"payload_type": HOSTILE},
        {"bundle": {"mediaType": HOSTILE}},
        {"bundle": {HOSTILE: 1}},
        {"claim": HOSTILE},
    ],
    ids=["predicate", "statement", "payload", "bundle", "member", "digest"],
)
def test_strings_of_a_bundle_are_quoted_escaped_and_cut(changes: dict[str, object]) -> None:
    image = Image.push()
    signer().sign_bundle(image.store, REPOSITORY, image.digest, **changes)  # type: ignore[arg-type]  # one of the members
    decision = ask(image, BAD)
    for message in (decision.verdict.message, *(found.message for found in decision.candidates)):
        assert message.isprintable()
        assert "x" * 201 not in message


def test_the_name_of_an_image_is_cut_and_its_digest_is_whole() -> None:
    reference = Reference(f"{'h' * 200}.example", "r" * 255, digest=IMAGE.digest)
    for rules in ((BAD,), (rule_for(Fail()),), ()):
        message = decide(reference, Evidence(), rules, NoMatch.DENY, NOW).verdict.message
        assert str(IMAGE.digest) in message
        assert "r" * 201 not in message


def test_a_thousand_refused_candidates_do_not_lengthen_the_message() -> None:
    refused = tuple(
        RefusedCandidate("bundle", f"referrer {number}", Reason.MALFORMED, "the document is not valid JSON")
        for number in range(1000)
    )
    message = decide(IMAGE.reference, Evidence(refused), (BAD,), NoMatch.DENY, NOW).verdict.message
    assert len(message) < 500
    assert "(1000 malformed: the document is not valid JSON)" in message


def test_the_sentences_that_other_parts_use_are_the_same() -> None:
    assert message_of("no signature") == no_signature_message(IMAGE.reference, "release")
    assert message_of("no rule") == no_rule_message(IMAGE.reference)
