"""What the sender is told: every decision must admit, and a tenant does not see with gate's eyes."""

from __future__ import annotations

import pytest

from gate.core.authorities import KeyAuthority
from gate.core.keys import parse_public_key
from gate.core.oci import Reference
from gate.core.policy import Context, single_key_policy
from gate.core.reasons import Reason
from gate.core.verdict import Decision, Denied, Exempt, RuleResult, Unavailable, Verdict, Verified
from gate.core.verdict import Signer as Vouching
from gate.demo.signer import Signer
from gate.fronts.admission import parse_review
from gate.fronts.answers import answer_operator, answer_tenant
from gate.fronts.configsync import Answer, Ask, conclude, examine
from tests.fakes.reviews import IMAGE, A, B, claim, encode, oci, poll, sync
from tests.fakes.signing import NOW

ONE, TWO = Reference.parse(f"{IMAGE}@{A}"), Reference.parse(f"{IMAGE}@{B}")
SECRET = "released by jane@example.com with token s3cr3t"
VERIFIED = Verified(f"verified: {SECRET}", (Vouching("release", "jane@example.com"),))
UNAVAILABLE_REASONS = [
    Reason.REGISTRY_UNREACHABLE, Reason.REGISTRY_UNAUTHORIZED, Reason.REGISTRY_ERROR, Reason.REGISTRY_LIMITED,
    Reason.REGISTRY_ADDRESS, Reason.LIMIT, Reason.DEADLINE, Reason.TRUST_ROOT,
]  # fmt: skip
POLICY = single_key_policy(KeyAuthority("release", parse_public_key(Signer.generate().public_pem)))
LOOKS_UNSIGNED = (
    Denied(Reason.NO_SIGNATURE, SECRET),
    Denied(Reason.NOT_FOUND, SECRET),
    Unavailable(Reason.REGISTRY_UNAUTHORIZED, SECRET),
)


def asked(kind: str) -> Ask:
    review = parse_review(encode(poll(sync(oci(f"{IMAGE}:v1"), claim(f"{IMAGE}:v1@{A}"), kind=kind))))
    outcome = examine(review, POLICY, NOW)
    assert isinstance(outcome, Ask)
    return outcome


def told(kind: str, verdict: Verdict, *rules: RuleResult) -> Answer:
    return conclude(asked(kind), (Decision(verdict, rules),))


def test_no_decision_is_never_an_admission() -> None:
    for kind in ("RootSync", "RepoSync"):
        with pytest.raises(ValueError, match="shorter"):
            conclude(asked(kind), ())
    for answer in (answer_operator, answer_tenant):
        with pytest.raises(ValueError, match="needs a decision"):
            answer(())


def test_decisions_that_are_not_those_of_the_subjects_are_refused() -> None:
    with pytest.raises(ValueError, match="longer"):
        conclude(asked("RootSync"), (Decision(VERIFIED), Decision(VERIFIED)))


def test_a_review_that_asked_about_nothing_has_no_conclusion() -> None:
    with pytest.raises(ValueError, match="needs a decision"):
        conclude(Ask((), Context("RootSync")), ())


@pytest.mark.parametrize("verdict", [VERIFIED, Exempt(Reason.STATIC_PASS, "static-pass: x")])
def test_an_operator_is_told_an_admission_in_its_own_words(verdict: Verdict) -> None:
    answer = told("RootSync", verdict)
    assert (answer.allowed, answer.reason, answer.message) == (True, verdict.reason, verdict.message)


@pytest.mark.parametrize("verdict", [*LOOKS_UNSIGNED, Denied(Reason.UNTRUSTED, "untrusted: x")])
def test_an_operator_is_told_a_refusal_in_its_own_words(verdict: Verdict) -> None:
    answer = told("RootSync", verdict)
    assert (answer.allowed, answer.reason, answer.message) == (False, verdict.reason, verdict.message)


@pytest.mark.parametrize(
    ("verdicts", "decisive"),
    [
        ((VERIFIED, Denied(Reason.UNTRUSTED, "d")), 1),
        ((Denied(Reason.UNTRUSTED, "d"), VERIFIED), 0),
        ((VERIFIED, Unavailable(Reason.DEADLINE, "u")), 1),
        ((Unavailable(Reason.DEADLINE, "u"), Denied(Reason.UNTRUSTED, "d")), 1),
        ((Denied(Reason.UNTRUSTED, "d"), Denied(Reason.NO_SIGNATURE, "e")), 0),
        ((VERIFIED, Exempt(Reason.WARNED, "w")), 1),
        ((VERIFIED, VERIFIED), 0),
    ],
)
def test_of_several_decisions_the_worst_is_told(verdicts: tuple[Verdict, Verdict], decisive: int) -> None:
    pairs = tuple(zip((ONE, TWO), map(Decision, verdicts), strict=True))
    for answer in (answer_operator(pairs), answer_tenant(pairs)):
        assert answer.allowed is all(decision.admits for _, decision in pairs)
        assert answer.reason is verdicts[decisive].reason
    assert answer_operator(pairs).message == verdicts[decisive].message


def test_a_tenant_cannot_tell_no_signature_from_no_image_and_no_access() -> None:
    answers = {told("RepoSync", verdict) for verdict in LOOKS_UNSIGNED}
    assert len(answers) == 1
    answer = answers.pop()
    assert answer.reason is Reason.NO_SIGNATURE
    assert answer.message.startswith(f"no signatures found for {ONE}: ")


@pytest.mark.parametrize("reason", UNAVAILABLE_REASONS)
def test_a_tenant_is_told_of_a_problem_but_not_what_gate_saw(reason: Reason) -> None:
    answer = told("RepoSync", Unavailable(reason, SECRET))
    assert not answer.allowed
    assert SECRET not in answer.message
    assert str(ONE) in answer.message
    if reason is not Reason.REGISTRY_UNAUTHORIZED:
        assert answer.message.startswith(f"{reason}: ")
        assert "credentials" not in answer.message
        assert "token of" not in answer.message


@pytest.mark.parametrize(
    "verdict",
    [
        VERIFIED,
        Denied(Reason.UNTRUSTED, SECRET),
        Denied(Reason.NOT_ENOUGH_SIGNERS, SECRET),
        Denied(Reason.MALFORMED, SECRET),
    ],
)
def test_a_tenant_is_told_no_signer(verdict: Verdict) -> None:
    answer = told("RepoSync", verdict)
    assert "jane" not in answer.message
    assert answer.message.startswith(f"{verdict.reason}: {ONE}: ")


@pytest.mark.parametrize("reason", [Reason.NO_RULE, Reason.STATIC_FAIL])
def test_a_tenant_is_told_what_the_operator_wrote(reason: Reason) -> None:
    assert told("RepoSync", Denied(reason, f"{reason}: rolled back, see INC-9")).message.endswith("see INC-9")


@pytest.mark.parametrize("reason", [Reason.INTERNAL, Reason.BUSY])
def test_a_tenant_is_told_what_gate_says_of_itself(reason: Reason) -> None:
    assert told("RepoSync", Unavailable(reason, f"{reason}: look for 1234")).message == f"{reason}: look for 1234"


def test_warnings_of_all_decisions_are_passed_on_once_each() -> None:
    first, second = Exempt(Reason.WARNED, "w", ("a", "b")), Verified("v", (), ("b", "c"))
    answer = answer_operator(((ONE, Decision(first)), (TWO, Decision(second))))
    assert answer.warnings == ("a", "b", "c")


def test_a_denial_carries_no_warnings() -> None:
    pairs = ((ONE, Decision(Verified("v", (), ("a",)))), (TWO, Decision(Denied(Reason.UNTRUSTED, "d"))))
    assert answer_operator(pairs).warnings == ()
    assert answer_tenant(pairs).warnings == ()


def warned(verdict: Verdict) -> RuleResult:
    return RuleResult("soon", "warn", verdict)


def test_a_tenants_warnings_cannot_tell_no_signature_from_no_image_and_no_access() -> None:
    answers = {
        told("RepoSync", Exempt(Reason.WARNED, SECRET, (SECRET,)), warned(verdict)) for verdict in LOOKS_UNSIGNED
    }
    assert len(answers) == 1
    (warning,) = answers.pop().warnings
    assert warning.startswith(f'rule "soon" (warn): no signatures found for {ONE}: ')


def test_a_tenants_warnings_are_about_the_rules_that_warn() -> None:
    rules = (
        warned(Denied(Reason.UNTRUSTED, SECRET)),
        warned(VERIFIED),
        RuleResult("record", "audit", Denied(Reason.UNTRUSTED, SECRET)),
        RuleResult("now", "enforce", VERIFIED),
    )
    (warning,) = told("RepoSync", Verified(SECRET, (), (SECRET,)), *rules).warnings
    assert warning.startswith('rule "soon" (warn): untrusted: ')
    assert SECRET not in warning


def test_a_tenant_is_warned_that_an_image_was_admitted_unverified() -> None:
    (warning,) = told("RepoSync", Exempt(Reason.FAILED_OPEN, SECRET, (SECRET,))).warnings
    assert warning.startswith(f"failed-open: {ONE}: ")
    assert SECRET not in warning


@pytest.mark.parametrize("reason", list(Reason))
def test_whatever_the_reason_a_tenant_is_told_one_line(reason: Reason) -> None:
    assert told("RepoSync", Denied(reason, f"{reason}: x")).message.isprintable()
