"""Decisions on the images of one review become the one answer that its sender is told. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gate.core.oci import Reference
from gate.core.policy import Mode
from gate.core.quote import quote
from gate.core.reasons import Reason, clause
from gate.core.verdict import ADMITTING, Decision, Denied, Exempt, Unavailable, Verdict, Verified

# What is told of several decisions: a refusal before an admission, what is known before what is not, and of the
# admitting ones the weaker, so that an answer never claims more than was proved.
_PRECEDENCE = (Denied, Unavailable, Exempt, Verified)

# One answer for three reasons: with gate's credentials a tenant must not find out which private images exist.
_LOOKS_UNSIGNED = frozenset({Reason.NO_SIGNATURE, Reason.NOT_FOUND, Reason.REGISTRY_UNAUTHORIZED})
# The operator's own words, or gate's about itself: they tell nothing about a registry or a signer.
_TOLD_AS_IT_IS = frozenset(
    {Reason.NO_RULE, Reason.NO_RULE_ALLOWED, Reason.STATIC_FAIL, Reason.STATIC_PASS, Reason.BUSY, Reason.INTERNAL}
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the sender is told; what is true beyond that is in the decisions."""

    allowed: bool
    reason: Reason
    message: str
    warnings: tuple[str, ...] = ()


def answer_operator(asked: Sequence[tuple[Reference, Decision]]) -> Answer:
    """Return the answer to somebody who may see everything: the decisive verdict in its own words.

    Every decision must admit; ValueError for no decision at all.
    """
    _, decision = _decisive(asked)
    verdict = decision.verdict
    warnings = tuple(warning for _, each in asked for warning in _warnings(each.verdict))
    return _answer(decision, verdict.reason, verdict.message, warnings)


def answer_tenant(asked: Sequence[tuple[Reference, Decision]]) -> Answer:
    """Return the answer to a tenant, as answer_operator() but for what gate saw with its own credentials.

    No signer is named, and the three ways of finding no signature (none there, no image there, no access) read alike.
    That an exception has lapsed is told of what was asked about: what an index lists is what gate saw.
    """
    subject, decision = _decisive(asked)
    verdict = decision.verdict
    reason = Reason.NO_SIGNATURE if verdict.reason in _LOOKS_UNSIGNED else verdict.reason
    warnings = tuple(warning for about, each in asked for warning in _tenant_warnings(about, each))
    message = _tenant_message(subject, verdict)
    if verdict.reason not in _TOLD_AS_IT_IS:  # whose own words say it already
        message = "; ".join((message, *decision.lapsed))
    return _answer(decision, reason, message, warnings)


def answer_excused(excused: Sequence[Decision]) -> Answer:
    """Return the answer where nothing but what is ``excused`` was decided; ValueError for nothing at all."""
    if not excused:
        raise ValueError("an answer needs a decision")
    first, *_ = excused
    warnings = tuple(warning for each in excused for warning in _warnings(each.verdict))
    return _answer(first, first.verdict.reason, first.verdict.message, warnings)


def excuse(answer: Answer, excused: Sequence[Decision]) -> Answer:
    """Return ``answer`` where something else is ``excused`` beside it: to admit is worth no more than its excuse."""
    if not answer.allowed or not excused:
        return answer
    told = answer_excused(excused)
    return replace(told, warnings=tuple(dict.fromkeys((*told.warnings, *answer.warnings))))


def _decisive(asked: Sequence[tuple[Reference, Decision]]) -> tuple[Reference, Decision]:
    if not asked:
        raise ValueError("an answer needs a decision")
    return min(asked, key=lambda pair: _PRECEDENCE.index(type(pair[1].verdict)))


def _answer(decision: Decision, reason: Reason, message: str, warnings: Sequence[str]) -> Answer:
    # A warning beside a denial would only be repeated at every poll.
    shown = tuple(dict.fromkeys(warnings)) if decision.admits else ()
    return Answer(decision.admits, reason, message, shown)


def _warnings(verdict: Verdict) -> tuple[str, ...]:
    return verdict.warnings if isinstance(verdict, ADMITTING) else ()


def _tenant_warnings(subject: Reference, decision: Decision) -> tuple[str, ...]:
    """Return what the warnings are about, in words for tenants; one whose cause is not known here is left out."""
    verdict = decision.verdict
    if not _warnings(verdict):
        return ()
    if decision.refused is not None:
        return (
            f"{verdict.reason}: admitted for now, and refused otherwise: {_tenant_message(subject, decision.refused)}",
        )
    own = () if verdict.reason in {Reason.VERIFIED, Reason.WARNED} else (_tenant_message(subject, verdict),)
    return own + tuple(
        f"rule {quote(rule.name)} (warn): {_tenant_message(subject, rule.verdict)}"
        for rule in decision.rules
        if rule.mode == Mode.WARN.value and not isinstance(rule.verdict, ADMITTING)
    )


def _tenant_message(subject: Reference, verdict: Verdict) -> str:
    reason = verdict.reason
    if reason in _LOOKS_UNSIGNED:
        return (
            f"no signatures found for {subject.label}: the policy requires one; push the image, sign this digest, not a"
            " tag (of a multi-platform image, the index that the source names or its linux/amd64 manifest),"
            " and make sure that gate may read the repository"
        )
    if reason in _TOLD_AS_IT_IS:
        return verdict.message
    told = f"{reason}: {subject.label}: {clause(reason.cause)}"
    return told if isinstance(verdict, ADMITTING) else f"{told}; {reason.advice}"
