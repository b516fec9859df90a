"""The four answers, and which of them admit."""

from __future__ import annotations

import pytest

from gate.core.reasons import Reason
from gate.core.verdict import (
    CandidateResult,
    Decision,
    Denied,
    Exempt,
    RuleResult,
    Signer,
    Unavailable,
    Verdict,
    Verified,
)

ME = Signer("a", "me")
BAD = CandidateResult("bundle", "here", Reason.BAD_SIGNATURE, "no")
GOOD = CandidateResult("bundle", "here", Reason.VERIFIED, "yes", ME)
NO = Denied(Reason.UNTRUSTED, "m")


@pytest.mark.parametrize(
    ("verdict", "admits"),
    [
        (Verified("m", (ME,)), True),
        (Exempt(Reason.DELETE, "m"), True),
        (NO, False),
        (Unavailable(Reason.LIMIT, "m"), False),
        (Unavailable(Reason.DEADLINE, "m", outage=True), False),
    ],
    ids=lambda value: type(value).__name__ + str(getattr(value, "outage", "")),
)
def test_only_verified_and_exempt_admit(verdict: Verdict, admits: bool) -> None:
    assert Decision(verdict).admits is admits


def test_verified_has_one_reason() -> None:
    assert Verified("m", (ME,)).reason is Reason.VERIFIED


def test_a_candidate_is_listed_once_as_the_rule_sees_it_that_accepts_it() -> None:
    rules = tuple(RuleResult(str(number), "enforce", NO, (found,)) for number, found in enumerate((BAD, GOOD, BAD)))
    assert Decision(NO, rules).candidates == (GOOD,)
    assert Decision(NO, rules[:1]).candidates == (BAD,)


def test_candidates_of_other_places_or_formats_are_kept_apart_and_in_order() -> None:
    there = CandidateResult("bundle", "there", Reason.UNSUPPORTED, "no")
    tagged = CandidateResult("simplesigning", "here", Reason.MALFORMED, "no")
    decision = Decision(NO, (RuleResult("r", "enforce", NO, (there, BAD, tagged)),))
    assert decision.candidates == (there, BAD, tagged)
