"""How rules combine: modes, fixed answers, outages and images that no rule matches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import pytest

from gate.core.combine import combine
from gate.core.errors import UnavailableError
from gate.core.policy import Fail, Mode, NoMatch, OnUnavailable, Pass, Rule
from gate.core.reasons import Reason
from gate.core.signature import Evidence
from gate.core.verdict import Decision, Denied, Exempt, RuleResult, Unavailable, Verdict, Verified
from gate.core.verify import decide
from tests.fakes.signing import NOW, REPOSITORY, Image, rule_for, signer

TIMEOUT = UnavailableError(Reason.DEADLINE, "the deadline passed", outage=True)
FORBIDDEN = UnavailableError(Reason.REGISTRY_UNAUTHORIZED, "the registry answered 403")

SIGNED = Image.push()
signer().sign_tag(SIGNED.store, REPOSITORY, SIGNED.digest)

GOOD = rule_for(signer(), "good")  # satisfied by what SIGNED carries
BAD = rule_for(signer("p256", 1), "bad")  # not satisfied
PASS = rule_for(Pass(), "pass")
FAIL = rule_for(Fail(), "fail")


def warn(rule: Rule) -> Rule:
    return replace(rule, mode=Mode.WARN)


def audit(rule: Rule) -> Rule:
    return replace(rule, mode=Mode.AUDIT)


def open_on_outage(rule: Rule) -> Rule:
    return replace(rule, on_unavailable=OnUnavailable.ALLOW)


def ask(rules: Sequence[Rule], *unreadable: UnavailableError, no_match: NoMatch = NoMatch.DENY) -> Decision:
    evidence = Evidence(SIGNED.evidence().candidates, unreadable)
    return decide(SIGNED.reference, evidence, rules, no_match, NOW)


def warnings(verdict: Verdict) -> tuple[str, ...]:
    return verdict.warnings if isinstance(verdict, Verified | Exempt) else ()


@pytest.mark.parametrize(
    ("rules", "kind", "reason"),
    [
        ([GOOD], Verified, Reason.VERIFIED),
        ([BAD], Denied, Reason.UNTRUSTED),
        ([PASS], Exempt, Reason.STATIC_PASS),
        ([FAIL], Denied, Reason.STATIC_FAIL),
        ([GOOD, BAD], Denied, Reason.UNTRUSTED),
        ([GOOD, FAIL], Denied, Reason.STATIC_FAIL),
        ([PASS, FAIL], Denied, Reason.STATIC_FAIL),
        ([BAD, FAIL], Denied, Reason.STATIC_FAIL),
        ([PASS, BAD], Denied, Reason.UNTRUSTED),
        ([PASS, GOOD], Verified, Reason.VERIFIED),
        ([GOOD, audit(BAD)], Verified, Reason.VERIFIED),
        ([GOOD, audit(FAIL)], Verified, Reason.VERIFIED),
        ([GOOD, warn(BAD)], Verified, Reason.VERIFIED),
        ([PASS, warn(BAD)], Exempt, Reason.STATIC_PASS),
        ([PASS, warn(GOOD)], Exempt, Reason.STATIC_PASS),
        ([BAD, warn(GOOD)], Denied, Reason.UNTRUSTED),
        ([warn(GOOD)], Verified, Reason.VERIFIED),
        ([warn(PASS)], Exempt, Reason.STATIC_PASS),
        ([warn(PASS), warn(GOOD)], Verified, Reason.VERIFIED),
        ([warn(BAD)], Exempt, Reason.WARNED),
        ([warn(FAIL)], Exempt, Reason.WARNED),
        ([warn(GOOD), warn(BAD)], Exempt, Reason.WARNED),
        ([warn(BAD), audit(FAIL)], Exempt, Reason.WARNED),
    ],
)
def test_every_rule_that_is_enforced_must_hold(rules: list[Rule], kind: type[Verdict], reason: Reason) -> None:
    for order in permutations(rules):
        verdict = ask(order).verdict
        assert isinstance(verdict, kind)
        assert verdict.reason is reason


def test_what_a_rule_in_warn_mode_misses_is_told_and_does_not_deny() -> None:
    verdict = ask([GOOD, warn(BAD), warn(FAIL)]).verdict
    first, second = warnings(verdict)
    assert first.startswith('rule "bad" (warn): untrusted: ')
    assert second.startswith('rule "fail" (warn): static-fail: ')
    assert ask([warn(BAD)]).verdict == Exempt(Reason.WARNED, f"warned: {first}", (first,))
    assert warnings(ask([PASS, warn(BAD)]).verdict) == (first,)


def test_a_rule_in_audit_mode_changes_nothing_and_is_recorded() -> None:
    decision = ask([GOOD, audit(FAIL)])
    assert warnings(decision.verdict) == ()
    assert [(rule.name, rule.mode, type(rule.verdict)) for rule in decision.rules] == [
        ("good", "enforce", Verified),
        ("fail", "audit", Denied),
    ]


def test_the_true_verdict_of_each_rule_is_recorded_whatever_its_mode() -> None:
    decision = ask([warn(BAD), open_on_outage(BAD)], TIMEOUT)
    assert [type(rule.verdict) for rule in decision.rules] == [Unavailable, Unavailable]


@pytest.mark.parametrize("rules", [[], [audit(GOOD)], [audit(PASS), audit(FAIL)]], ids=len)
@pytest.mark.parametrize(
    ("no_match", "kind", "reason", "warned"),
    [
        (NoMatch.DENY, Denied, Reason.NO_RULE, 0),
        (NoMatch.WARN, Exempt, Reason.NO_RULE_ALLOWED, 1),
        (NoMatch.ALLOW, Exempt, Reason.NO_RULE_ALLOWED, 0),
    ],
)
def test_without_a_rule_that_acts_no_match_decides(
    rules: list[Rule], no_match: NoMatch, kind: type[Verdict], reason: Reason, warned: int
) -> None:
    verdict = ask(rules, no_match=no_match).verdict
    assert isinstance(verdict, kind)
    assert verdict.reason is reason
    assert len(warnings(verdict)) == warned


@pytest.mark.parametrize("no_match", [NoMatch.WARN, NoMatch.ALLOW])
def test_no_match_admits_nothing_that_a_rule_denies(no_match: NoMatch) -> None:
    assert not ask([BAD], no_match=no_match).admits
    assert not ask([BAD], FORBIDDEN, no_match=no_match).admits
    assert warnings(ask([GOOD], no_match=no_match).verdict) == ()


# Denied before unavailable before verified


@pytest.mark.parametrize(
    ("rules", "kind", "reason"),
    [
        ([BAD], Unavailable, Reason.REGISTRY_UNAUTHORIZED),
        ([GOOD, BAD], Unavailable, Reason.REGISTRY_UNAUTHORIZED),
        ([PASS, BAD], Unavailable, Reason.REGISTRY_UNAUTHORIZED),
        ([BAD, FAIL], Denied, Reason.STATIC_FAIL),
        ([GOOD, BAD, FAIL], Denied, Reason.STATIC_FAIL),
        ([GOOD], Verified, Reason.VERIFIED),
        ([PASS], Exempt, Reason.STATIC_PASS),
        ([warn(BAD)], Exempt, Reason.WARNED),
        ([GOOD, warn(BAD)], Verified, Reason.VERIFIED),
        ([GOOD, audit(BAD)], Verified, Reason.VERIFIED),
    ],
)
def test_denied_comes_before_unavailable_before_admitted(
    rules: list[Rule], kind: type[Verdict], reason: Reason
) -> None:
    for order in permutations(rules):
        decision = ask(order, FORBIDDEN)
        assert isinstance(decision.verdict, kind)
        assert decision.verdict.reason is reason
        assert decision.admits is (kind in (Verified, Exempt))


def test_a_denial_is_told_before_what_there_was_no_time_to_judge() -> None:
    denied, unavailable = Denied(Reason.UNTRUSTED, "d"), Unavailable(Reason.DEADLINE, "u")
    for order in permutations([(BAD, denied), (GOOD, unavailable)]):
        judged = [(rule, RuleResult(rule.name, "enforce", verdict)) for rule, verdict in order]
        assert combine(SIGNED.reference, judged, NoMatch.DENY) == denied


# onUnavailable


def test_an_outage_denies_unless_the_rule_says_otherwise() -> None:
    assert isinstance(ask([BAD], TIMEOUT).verdict, Unavailable)
    verdict = ask([open_on_outage(BAD)], TIMEOUT).verdict
    assert isinstance(verdict, Exempt)
    assert verdict.reason is Reason.FAILED_OPEN
    assert verdict.warnings == (verdict.message,)


def test_only_outages_alone_fail_open() -> None:
    for problems in ((FORBIDDEN,), (FORBIDDEN, TIMEOUT), (TIMEOUT, FORBIDDEN)):
        verdict = ask([open_on_outage(BAD)], *problems).verdict
        assert isinstance(verdict, Unavailable)
        assert verdict.reason is Reason.REGISTRY_UNAUTHORIZED


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason.value.startswith("registry-")], ids=str)
def test_the_reason_alone_does_not_make_an_outage(reason: Reason) -> None:
    assert not ask([open_on_outage(BAD)], UnavailableError(reason, "m")).admits
    assert ask([open_on_outage(BAD)], UnavailableError(reason, "m", outage=True)).admits


def test_a_rule_that_fails_open_does_not_open_another_one() -> None:
    for rules in permutations([open_on_outage(BAD), replace(BAD, name="closed")]):
        assert isinstance(ask(rules, TIMEOUT).verdict, Unavailable)
    for rules in permutations([open_on_outage(BAD), FAIL]):
        assert isinstance(ask(rules, TIMEOUT).verdict, Denied)


def test_a_denial_never_fails_open() -> None:
    assert isinstance(ask([open_on_outage(BAD)]).verdict, Denied)
    assert isinstance(ask([open_on_outage(FAIL)], TIMEOUT).verdict, Denied)


@pytest.mark.parametrize(
    "others",
    [[GOOD], [PASS], [GOOD, PASS], [warn(GOOD)]],
    ids=lambda rules: rules[0].name + rules[0].mode.value + str(len(rules)),
)
def test_a_record_of_failing_open_is_not_covered_by_what_other_rules_proved(others: list[Rule]) -> None:
    for rules in permutations([*others, open_on_outage(BAD)]):
        verdict = ask(rules, TIMEOUT).verdict
        assert isinstance(verdict, Exempt)
        assert verdict.reason is Reason.FAILED_OPEN


def test_failing_open_keeps_the_warnings_of_other_rules() -> None:
    verdict = ask([open_on_outage(BAD), warn(FAIL)], TIMEOUT).verdict
    assert len(warnings(verdict)) == 2


def test_what_proves_is_verified_during_an_outage_not_failed_open() -> None:
    assert isinstance(ask([open_on_outage(GOOD)], TIMEOUT).verdict, Verified)


def test_the_signers_of_all_enforced_rules_are_recorded_once() -> None:
    twice = replace(GOOD, name="again")
    verdict = ask([GOOD, twice, PASS]).verdict
    assert isinstance(verdict, Verified)
    assert [found.authority for found in verdict.signers] == ["release"]
