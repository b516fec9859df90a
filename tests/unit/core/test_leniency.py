"""What an exception and the rollout make of a refusal, and what neither touches."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from gate.core.globs import ImageGlob
from gate.core.leniency import soften
from gate.core.oci import Digest, Reference
from gate.core.policy import (
    BreakGlass,
    Context,
    Fail,
    ImageException,
    Match,
    Mode,
    NoMatch,
    ObjectException,
    OnUnavailable,
    Pass,
    Policy,
    Rule,
    SourceChoice,
    Sources,
    Term,
)
from gate.core.reasons import Reason
from gate.core.subjects import Claimed, Image
from gate.core.verdict import Decision, Denied, Exempt, Unavailable, Verified
from tests.fakes.signing import NOW

REPOSITORY = Reference.parse("reg.io/team/config")
DIGEST, INDEX, OTHER = (Digest.of(name) for name in (b"image", b"index", b"other"))
IMAGE = REPOSITORY.at(DIGEST)
EDGE = Context("RootSync", "config-management-system", "edge")
TERM = Term(NOW + timedelta(days=7), "INC-7")
BY_IMAGE = ImageException(IMAGE, TERM)
BY_OBJECT = ObjectException(REPOSITORY, EDGE, TERM)
REFUSED = Denied(Reason.UNTRUSTED, "untrusted: nobody vouches")
UNTIL = "2026-01-08T00:00:00Z"

# The answers that stand, whatever is written down to weaken the policy.
FIRM = {Reason.MALFORMED, Reason.STATIC_FAIL, Reason.INTERNAL}


def policy(*exceptions: BreakGlass, rollout: Term | None = None, rules: tuple[Rule, ...] = ()) -> Policy:
    sources = Sources(SourceChoice.DENY, SourceChoice.DENY)
    return Policy(NoMatch.DENY, sources, rules, rollout, exceptions)


def refuses(mode: Mode = Mode.ENFORCE, images: str = "**", *digests: Digest) -> Rule:
    return Rule("known-bad", Match((ImageGlob.parse(images),), digests=digests), Fail(), mode, message="see INC-9")


def ask(
    policy: Policy,
    verdict: Denied | Unavailable = REFUSED,
    *,
    subject: Reference | None = IMAGE,
    index: Digest | None = None,
    context: Context = EDGE,
    now: datetime = NOW,
) -> Decision:
    return soften(Decision(verdict, subject=subject, index=index), Image(REPOSITORY), context, policy, now)


@pytest.mark.parametrize("exception", [BY_IMAGE, BY_OBJECT], ids=["image", "object"])
def test_an_exception_admits_and_the_true_verdict_is_kept(exception: BreakGlass) -> None:
    decision = ask(policy(exception))
    message = f'exception: "INC-7" admits until {UNTIL} what is refused otherwise: untrusted: nobody vouches'
    assert decision.verdict == Exempt(Reason.EXCEPTION, message)
    assert decision.refused == REFUSED


def test_a_rollout_admits_with_a_warning_and_the_true_verdict_is_kept() -> None:
    decision = ask(policy(rollout=TERM))
    message = f'rollout: "INC-7" admits until {UNTIL} what is refused otherwise: untrusted: nobody vouches'
    assert decision.verdict == Exempt(Reason.ROLLOUT, message, (message,))
    assert decision.refused == REFUSED


def test_without_an_exception_or_a_rollout_a_refusal_stands() -> None:
    assert ask(policy()) == Decision(REFUSED, subject=IMAGE)


@pytest.mark.parametrize("verdict", [Verified("verified", ()), Exempt(Reason.STATIC_PASS, "pass")])
def test_what_is_admitted_anyhow_uses_no_exception(verdict: Verified | Exempt) -> None:
    decision = Decision(verdict, subject=IMAGE)
    assert soften(decision, Image(REPOSITORY), EDGE, policy(BY_IMAGE, rollout=TERM), NOW) is decision


def test_an_exception_is_used_before_the_rollout() -> None:
    assert ask(policy(BY_IMAGE, rollout=TERM)).verdict.reason is Reason.EXCEPTION


# What no exception and no rollout touches


@pytest.mark.parametrize("kind", [Denied, Unavailable])
@pytest.mark.parametrize("reason", Reason, ids=str)
def test_a_rollout_softens_every_refusal_but_malformed_static_fail_and_internal(
    reason: Reason, kind: type[Denied | Unavailable]
) -> None:
    verdict = kind(reason, "m")
    decision = ask(policy(rollout=TERM), verdict)
    assert decision.admits is (reason not in FIRM)
    assert decision.refused == (verdict if decision.admits else None)


@pytest.mark.parametrize("reason", Reason, ids=str)
def test_an_exception_is_about_the_image_never_about_a_false_claim(reason: Reason) -> None:
    decision = ask(policy(BY_IMAGE, BY_OBJECT), Denied(reason, "m"))
    assert decision.admits is (reason not in FIRM | {Reason.SOURCE_MISMATCH})


@pytest.mark.parametrize("weakened", [policy(BY_IMAGE), policy(BY_OBJECT), policy(rollout=TERM)])
@pytest.mark.parametrize("digests", [(), (DIGEST,), (INDEX,)], ids=["any", "image", "index"])
def test_static_fail_beats_what_would_admit_although_something_else_was_refused(
    weakened: Policy, digests: tuple[Digest, ...]
) -> None:
    rule = refuses(Mode.ENFORCE, "reg.io/**", *digests)
    decision = ask(replace(weakened, rules=(rule,)), index=INDEX)
    assert decision.verdict.reason is Reason.STATIC_FAIL
    refused = REPOSITORY.at(INDEX if INDEX in digests else DIGEST)
    assert decision.verdict.message.startswith(f'static-fail: rule "known-bad" refuses {refused}: "see INC-9"')
    assert decision.refused is None


@pytest.mark.parametrize(
    "rule",
    [
        refuses(Mode.WARN),
        refuses(Mode.AUDIT),
        refuses(Mode.ENFORCE, "other.io/**"),
        refuses(Mode.ENFORCE, "**", OTHER),
        replace(refuses(), requirement=Pass()),
    ],
    ids=["warn", "audit", "elsewhere", "another digest", "pass"],
)
def test_only_a_static_fail_that_is_enforced_about_this_image_beats_an_exception(rule: Rule) -> None:
    assert ask(policy(BY_IMAGE, rules=(rule,)), index=INDEX).admits


def test_static_fail_of_the_index_that_is_only_claimed_beats_an_exception_for_the_manifest() -> None:
    claimed = Claimed(REPOSITORY.at(INDEX), DIGEST)
    weakened = policy(BY_IMAGE, rules=(refuses(Mode.ENFORCE, "**", INDEX),))
    decision = soften(Decision(REFUSED, subject=IMAGE), claimed, EDGE, weakened, NOW)
    assert decision.verdict.reason is Reason.STATIC_FAIL
    assert str(INDEX) in decision.verdict.message


# What is synced is not known

BY_DIGEST = refuses(Mode.ENFORCE, "reg.io/**", OTHER)
NO_ANSWER, FORBIDDEN = Unavailable(Reason.DEADLINE, "m", outage=True), Unavailable(Reason.DEADLINE, "m")


def undecided(rule: Rule, verdict: Denied | Unavailable = REFUSED) -> Decision:
    """Return what an exception makes of the refusal while a digest is unknown that the rule may be about."""
    decision = Decision(verdict, subject=IMAGE, undecided=True)
    return soften(decision, Image(REPOSITORY), EDGE, policy(BY_IMAGE, rules=(rule,)), NOW)


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        (BY_DIGEST, REFUSED),
        (BY_DIGEST, NO_ANSWER),
        (BY_DIGEST, FORBIDDEN),
        (replace(BY_DIGEST, on_unavailable=OnUnavailable.ALLOW), REFUSED),
        (replace(BY_DIGEST, on_unavailable=OnUnavailable.ALLOW), FORBIDDEN),
    ],
)
def test_no_exception_admits_what_a_rule_by_a_digest_that_is_not_known_may_refuse(
    rule: Rule, verdict: Denied | Unavailable
) -> None:
    why = 'exception does not admit it before it is known whether rule "known-bad" refuses it'
    decision = undecided(rule, verdict)
    assert decision.verdict == replace(verdict, message=f"{verdict.message}; {why}")
    assert decision.refused is None


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        (replace(BY_DIGEST, mode=Mode.WARN), REFUSED),
        (replace(BY_DIGEST, requirement=Pass()), REFUSED),
        (refuses(Mode.ENFORCE, "other.io/**", OTHER), REFUSED),
        (replace(BY_DIGEST, match=replace(BY_DIGEST.match, kinds=("RepoSync",))), REFUSED),
        (replace(BY_DIGEST, on_unavailable=OnUnavailable.ALLOW), NO_ANSWER),
    ],
    ids=["warn", "pass", "elsewhere", "another kind", "open on outage"],
)
def test_an_exception_admits_what_no_rule_in_force_may_refuse_by_a_digest(
    rule: Rule, verdict: Denied | Unavailable
) -> None:
    decision = undecided(rule, verdict)
    assert decision.verdict.reason is Reason.EXCEPTION
    assert decision.refused == verdict


# Whom an exception is about


@pytest.mark.parametrize(
    ("subject", "index", "covered"),
    [
        (IMAGE, None, True),
        (Reference.parse(f"reg.io/team/config:v1@{DIGEST}"), None, True),  # the tag says nothing beside a digest
        (REPOSITORY.at(OTHER), None, False),
        (REPOSITORY.at(OTHER), DIGEST, True),  # the child of an index that is excepted
        (REPOSITORY.at(OTHER), INDEX, False),
        (Reference.parse("reg.io/team/other").at(DIGEST), None, False),
        (Reference.parse("other.io/team/config").at(DIGEST), None, False),
        (REPOSITORY, None, False),  # no digest is known
        (None, None, False),
    ],
)
def test_an_exception_for_a_digest_is_about_that_digest_of_that_repository(
    subject: Reference | None, index: Digest | None, covered: bool
) -> None:
    assert ask(policy(BY_IMAGE), subject=subject, index=index).admits is covered


@pytest.mark.parametrize(
    ("context", "repository", "covered"),
    [
        (EDGE, REPOSITORY, True),
        (replace(EDGE, kind="RepoSync"), REPOSITORY, False),
        (replace(EDGE, namespace="team-a"), REPOSITORY, False),
        (replace(EDGE, name="edge-2"), REPOSITORY, False),
        (replace(EDGE, name=None), REPOSITORY, False),
        (Context(), REPOSITORY, False),
        (EDGE, Reference.parse("reg.io/team"), False),
        (EDGE, Reference.parse("other.io/team/config"), False),
    ],
)
def test_an_exception_for_an_object_is_about_that_object_and_that_repository(
    context: Context, repository: Reference, covered: bool
) -> None:
    exception = ObjectException(repository, EDGE, TERM)
    assert ask(policy(exception), context=context).admits is covered
    assert ask(policy(exception), context=context, subject=None).admits is covered  # whatever the digest


# Terms


@pytest.mark.parametrize(
    ("term", "lapse"),
    [
        (Term(NOW + timedelta(microseconds=1), "x"), None),
        (Term(NOW + timedelta(days=30), "x"), None),
        (Term(NOW, "x"), "it is past"),
        (Term(NOW - timedelta(days=400), "x"), "it is past"),
        (Term(NOW + timedelta(days=30, microseconds=1), "x"), "it ends more than 30 days ahead"),
        (Term(NOW + timedelta(days=1), ""), "it gives no reason"),
    ],
)
def test_what_is_past_or_too_far_ahead_or_gives_no_reason_has_no_effect_and_is_reported(
    term: Term, lapse: str | None
) -> None:
    weakened = policy(
        replace(BY_IMAGE, term=term), replace(BY_OBJECT, term=term), ImageException(REPOSITORY.at(OTHER), term)
    )
    weakened = replace(weakened, rollout=term)
    decision = ask(weakened)
    assert decision.admits is (lapse is None)
    about = f"until {term.until.isoformat(timespec='seconds').removesuffix('+00:00')}Z has no effect: {lapse}"
    by_object = "reg.io/team/config in RootSync config-management-system/edge"
    told = [f"the exception for {IMAGE} {about}", f"the exception for {by_object} {about}", f"the rollout {about}"]
    if lapse is None:
        assert weakened.without_effect(NOW) == ()
    else:
        # The person who is denied hears of what was meant for this image, the operator of everything.
        assert decision.verdict == replace(REFUSED, message="; ".join([REFUSED.message, *told]))
        assert decision.lapsed == (told[1], told[2])  # what was asked about is the repository alone
        other = f"the exception for {REPOSITORY.at(OTHER)} {about}"
        assert weakened.without_effect(NOW) == (told[0], told[1], other, told[2])


def test_an_exception_that_lapsed_leaves_the_rollout_in_effect() -> None:
    lapsed = replace(BY_IMAGE, term=Term(NOW, "x"))
    assert ask(policy(lapsed, rollout=TERM)).verdict.reason is Reason.ROLLOUT
    assert ask(policy(lapsed, BY_OBJECT)).verdict.reason is Reason.EXCEPTION


def test_each_question_is_asked_at_its_own_time() -> None:
    assert ask(policy(BY_IMAGE), now=TERM.until - timedelta(seconds=1)).admits
    assert not ask(policy(BY_IMAGE), now=TERM.until).admits


def test_whatever_is_written_down_to_weaken_a_policy_makes_it_lenient() -> None:
    assert [each.lenient for each in (policy(), policy(BY_IMAGE), policy(rollout=TERM))] == [False, True, True]


def test_a_host_that_only_an_exception_writes_down_is_named_by_the_operator() -> None:
    assert policy(BY_IMAGE, BY_OBJECT).literal_hosts == {"reg.io"}
