"""Index and child: what is signed about either counts, each alone; what could not be read of either is not denied."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gate.core.children import either
from gate.core.combine import no_rule_message
from gate.core.errors import UnavailableError
from gate.core.oci import Digest
from gate.core.policy import Fail, Mode, NoMatch, OnUnavailable, Pass, Rule, Signatures
from gate.core.reasons import Reason
from gate.core.signature import Evidence, Parent
from gate.core.verdict import Decision, Denied, Exempt, RuleResult, Unavailable, Verified
from gate.core.verify import decide, decide_unread
from gate.demo.signer import Signer as Key
from tests.fakes.signing import NOW, REPOSITORY, Image, authority, evidence, rule_for, signer

INDEX = Digest.of(b"the index")
RELEASE, SECOND, STRANGER = (signer("p256", number) for number in range(3))
RULE = rule_for(RELEASE)
TWO = rule_for(Signatures((authority(RELEASE, "release"), authority(SECOND, "second")), 2))
TIMEOUT = UnavailableError(Reason.REGISTRY_UNREACHABLE, "no connection", outage=True)
FORBIDDEN = UnavailableError(Reason.REGISTRY_UNAUTHORIZED, "403")


def ask(
    *rules: Rule,
    child: tuple[Key, ...] = (),
    index: tuple[Key, ...] = (),
    unread: tuple[UnavailableError, ...] = (),
    index_unread: tuple[UnavailableError, ...] = (),
) -> Decision:
    """Return the decision on an image that the index lists, each signed by the keys given."""
    image = Image.push()
    for key in child:
        key.sign_tag(image.store, REPOSITORY, image.digest)
    for key in index:
        key.sign_tag(image.store, REPOSITORY, INDEX)
    over = Parent(INDEX, replace(evidence(image.store, REPOSITORY, INDEX), unreadable=index_unread))
    return decide(image.reference, replace(image.evidence(), unreadable=unread, parent=over), rules, NoMatch.DENY, NOW)


def test_a_signed_index_vouches_for_what_it_lists_and_says_so() -> None:
    decision = ask(RULE, index=(RELEASE,))
    assert isinstance(decision.verdict, Verified)
    assert decision.verdict.signers[0].identity == authority(RELEASE).identity
    assert f"{Image.push().reference} is listed by index {INDEX}, which is signed" in decision.verdict.message
    assert (decision.subject, decision.index) == (Image.push().reference, INDEX)


def test_what_is_signed_itself_says_nothing_of_an_index() -> None:
    decision = ask(RULE, child=(RELEASE,), index=(RELEASE,))
    assert isinstance(decision.verdict, Verified)
    assert str(INDEX) not in decision.verdict.message


@pytest.mark.parametrize(("child", "index"), [((RELEASE,), (SECOND,)), ((SECOND,), (RELEASE,)), ((), (RELEASE,))])
def test_no_rule_is_satisfied_half_by_one_and_half_by_the_other(child: tuple[Key, ...], index: tuple[Key, ...]) -> None:
    verdict = ask(TWO, child=child, index=index).verdict
    assert isinstance(verdict, Denied)
    assert verdict.reason is Reason.NOT_ENOUGH_SIGNERS


def test_each_rule_may_be_satisfied_by_another_of_the_two() -> None:
    rules = (rule_for(RELEASE, "one"), rule_for(SECOND, "two"))
    assert isinstance(ask(*rules, child=(RELEASE,), index=(SECOND,)).verdict, Verified)
    assert isinstance(ask(*rules, index=(RELEASE, SECOND)).verdict, Verified)
    assert isinstance(ask(*rules, index=(RELEASE,)).verdict, Denied)


def test_a_signature_of_the_child_under_the_tag_of_the_index_does_not_count() -> None:
    image = Image.push()
    STRANGER.sign_tag(image.store, REPOSITORY, INDEX)
    RELEASE.sign_tag(image.store, REPOSITORY, INDEX, claim=image.digest)
    over = Parent(INDEX, evidence(image.store, REPOSITORY, INDEX))
    decision = decide(image.reference, Evidence(parent=over), (RULE,), NoMatch.DENY, NOW)
    assert isinstance(decision.verdict, Denied)
    assert {found.reason for found in decision.candidates} == {Reason.BAD_SIGNATURE, Reason.WRONG_DIGEST}


@pytest.mark.parametrize(
    ("child", "index", "reason"),
    [
        ((), (), Reason.NO_SIGNATURE),
        ((STRANGER,), (), Reason.UNTRUSTED),
        ((), (STRANGER,), Reason.UNTRUSTED),
        ((STRANGER,), (STRANGER,), Reason.UNTRUSTED),
    ],
)
def test_a_denial_tells_what_was_found_and_names_both_digests(
    child: tuple[Key, ...], index: tuple[Key, ...], reason: Reason
) -> None:
    decision = ask(RULE, child=child, index=index)
    assert isinstance(decision.verdict, Denied)
    assert decision.verdict.reason is reason
    assert str(INDEX) in decision.verdict.message
    assert str(decision.subject) in decision.verdict.message
    assert len(decision.candidates) == len(child) + len(index)
    assert sum(found.location.startswith("index: ") for found in decision.candidates) == len(index)
    assert decision.verdict.message.startswith("no signatures found" if reason is Reason.NO_SIGNATURE else "untrusted")


@pytest.mark.parametrize(
    ("unread", "index_unread", "outage"),
    [
        ((TIMEOUT,), (), True),
        ((), (TIMEOUT,), True),
        ((TIMEOUT,), (TIMEOUT,), True),
        ((FORBIDDEN,), (TIMEOUT,), False),
        ((TIMEOUT,), (FORBIDDEN,), False),
        ((), (FORBIDDEN,), False),
    ],
)
def test_what_could_not_be_read_of_either_is_unavailable_and_an_outage_only_if_both_are(
    unread: tuple[UnavailableError, ...], index_unread: tuple[UnavailableError, ...], outage: bool
) -> None:
    verdict = ask(RULE, child=(STRANGER,), unread=unread, index_unread=index_unread).verdict
    assert isinstance(verdict, Unavailable)
    assert verdict.outage is outage
    assert verdict.reason is (Reason.REGISTRY_UNREACHABLE if outage else Reason.REGISTRY_UNAUTHORIZED)
    assert str(INDEX) in verdict.message
    assert str(Image.push().reference) in verdict.message
    open_rule = replace(RULE, on_unavailable=OnUnavailable.ALLOW)
    assert ask(open_rule, unread=unread, index_unread=index_unread).admits is outage


@pytest.mark.parametrize(("child", "index"), [((RELEASE,), ()), ((), (RELEASE,))])
def test_what_one_proves_stands_whatever_could_not_be_read_of_the_other(
    child: tuple[Key, ...], index: tuple[Key, ...]
) -> None:
    decision = ask(RULE, child=child, index=index, unread=(FORBIDDEN,), index_unread=(FORBIDDEN,))
    assert isinstance(decision.verdict, Verified)


def test_a_fixed_answer_is_about_both() -> None:
    failing = ask(rule_for(Fail()), child=(RELEASE,), index=(RELEASE,)).verdict
    assert isinstance(failing, Denied)
    assert failing.reason is Reason.STATIC_FAIL
    assert str(INDEX) in failing.message
    passing = ask(rule_for(Pass())).verdict
    assert isinstance(passing, Exempt)
    assert passing.reason is Reason.STATIC_PASS


def test_a_mode_is_applied_to_what_both_say() -> None:
    warning = replace(rule_for(RELEASE), mode=Mode.WARN)
    assert ask(warning, index=(RELEASE,)).verdict.reason is Reason.VERIFIED
    assert ask(warning, index=(STRANGER,)).verdict.reason is Reason.WARNED


@pytest.mark.parametrize("mine", [Reason.UNTRUSTED, Reason.NO_SIGNATURE])
def test_of_two_denials_the_one_that_says_more_is_told(mine: Reason) -> None:
    own = RuleResult("release", "enforce", Denied(mine, "mine"))
    over = RuleResult("release", "enforce", Denied(Reason.NOT_ENOUGH_SIGNERS, "the index's"))
    child = Image.push().reference
    told = either(own, over, child, INDEX).verdict
    assert told == Denied(Reason.NOT_ENOUGH_SIGNERS, f"the index's (the index that lists {child})")
    told = either(replace(own, verdict=over.verdict), replace(over, verdict=own.verdict), child, INDEX).verdict
    assert told == Denied(Reason.NOT_ENOUGH_SIGNERS, f"the index's (listed by index {INDEX})")


def test_of_two_that_could_not_be_read_one_is_told_whichever_is_the_index() -> None:
    verdicts = [Unavailable(reason, str(reason)) for reason in (Reason.REGISTRY_UNAUTHORIZED, Reason.LIMIT)]
    results = [RuleResult("release", "enforce", verdict) for verdict in verdicts]
    for own, over in (results, reversed(results)):
        assert either(own, over, Image.push().reference, INDEX).verdict.reason is Reason.LIMIT


def test_an_index_that_vouches_is_told_with_everybody_who_signed_it() -> None:
    child = Image.push().reference
    assert ask(TWO, index=(RELEASE, SECOND)).verdict.message == (
        f'verified: {child} is listed by index {INDEX}, which is signed for rule "{TWO.name}" by "release", "second"'
    )


# What is decided on is not known


def test_where_nothing_is_known_no_signature_counts_and_modes_and_outages_do() -> None:
    subject = Image.push().reference
    tag = replace(subject, tag="v1", digest=None)

    def told(rule: Rule, error: UnavailableError = TIMEOUT) -> Reason:
        decision = decide_unread(tag, error, (rule,), NoMatch.DENY)
        assert decision.subject is None
        known = decide_unread(subject, error, (rule,), NoMatch.DENY)
        assert known.subject == subject
        for each, label in ((decision, tag.label), (known, subject.label)):
            assert [result.name for result in each.rules] == [rule.name]
            assert label in each.verdict.message
            assert each.candidates == ()
        return decision.verdict.reason

    assert told(RULE) is Reason.REGISTRY_UNREACHABLE
    assert told(replace(RULE, mode=Mode.WARN)) is Reason.WARNED
    assert told(replace(RULE, on_unavailable=OnUnavailable.ALLOW)) is Reason.FAILED_OPEN
    assert told(replace(RULE, on_unavailable=OnUnavailable.ALLOW), FORBIDDEN) is Reason.REGISTRY_UNAUTHORIZED
    assert told(rule_for(Fail())) is Reason.STATIC_FAIL
    assert told(rule_for(Pass())) is Reason.STATIC_PASS


def test_where_nothing_is_known_and_no_rule_is_about_it_the_policy_says_what_then() -> None:
    subject = Image.push().reference
    assert decide_unread(subject, TIMEOUT, (), NoMatch.DENY).verdict == Denied(Reason.NO_RULE, no_rule_message(subject))
    assert decide_unread(subject, TIMEOUT, (), NoMatch.ALLOW).verdict.reason is Reason.NO_RULE_ALLOWED
