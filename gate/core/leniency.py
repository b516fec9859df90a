"""What becomes of a refusal under the policy's exceptions and its rollout. Applied once, last, to what is answered.

A rule that refuses the image by name or digest (``static: fail``) is never outweighed, nor one of which that could not
be told. Whatever is admitted here, the true verdict stays in the record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from gate.core.oci import Reference
from gate.core.policy import Context, Fail, Mode, OnUnavailable, Policy, Rule, Term, describe_lapse
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.core.rfc3339 import format_instant
from gate.core.subjects import Subject
from gate.core.verdict import ADMITTING, Decision, Denied, Exempt, Unavailable
from gate.core.verify import static_failure

# Where nobody knows what would be admitted, and what an operator refuses by name.
NEVER_SOFTENED = frozenset({Reason.MALFORMED, Reason.STATIC_FAIL, Reason.INTERNAL})
# Not the image is wrong then, but what is claimed of it: no exception is about that.
_NEVER_EXCEPTED = NEVER_SOFTENED | {Reason.SOURCE_MISMATCH}


def soften(decision: Decision, asked: Subject, context: Context, policy: Policy, now: datetime) -> Decision:
    """Return ``decision`` on the image that was ``asked`` about as it is to be answered for ``context`` at ``now``.

    An exception for an index is about what it was seen to list, and not about what is only claimed of it.
    """
    verdict = decision.verdict
    if isinstance(verdict, ADMITTING):
        return decision
    subject = decision.subject or asked.reference
    subjects = (subject,) if decision.index is None else (subject, subject.at(decision.index))
    answer = relent(verdict, subjects, context, policy, now, beside=asked.references)
    if isinstance(answer, Exempt) and decision.undecided:
        answer = _heed(answer, verdict, asked, context, policy)
    if isinstance(answer, Exempt):
        return replace(decision, verdict=answer, refused=verdict)
    return replace(decision, verdict=answer, lapsed=_lapsed(answer, asked.references, context, policy, now))


def _heed(
    answer: Exempt, refusal: Denied | Unavailable, asked: Subject, context: Context, policy: Policy
) -> Exempt | Denied | Unavailable:
    """Return ``answer``, or the refusal where a rule may refuse what is synced by a digest that is not known."""
    outage = isinstance(refusal, Unavailable) and refusal.outage
    for rule in policy.rules:
        opens = outage and rule.on_unavailable is OnUnavailable.ALLOW
        refuses = isinstance(rule.requirement, Fail) and rule.mode is Mode.ENFORCE and not opens
        if refuses and rule.match.may_match(asked.reference, context):
            why = f"{answer.reason} does not admit it before it is known whether rule {quote(rule.name)} refuses it"
            return replace(refusal, message=f"{refusal.message}; {why}")
    return answer


def relent(
    refusal: Denied | Unavailable,
    subjects: Sequence[Reference],
    context: Context,
    policy: Policy,
    now: datetime,
    *,
    beside: Sequence[Reference] = (),
) -> Exempt | Denied | Unavailable:
    """Return what becomes of ``refusal`` for ``context`` at ``now`` (aware).

    ``subjects`` are the references of the image that is refused, none where it is not about an image. What is only said
    of it, ``beside``, is covered by no exception, and refused by name like the image. A refusal that stands although an
    exception or a rollout was meant for it says why that has no effect.
    """
    if refusal.reason in NEVER_SOFTENED:
        return refusal
    for reason, _, term in _terms(refusal, subjects, context, policy):
        if term.lapse(now) is None:
            forbidding = _forbidding((*subjects, *beside), context, policy)
            if forbidding is not None:
                return static_failure(*forbidding)
            why = f"{reason}: {quote(term.reason)} admits until {format_instant(term.until)}"
            message = f"{why} what is refused otherwise: {refusal.message}"
            return Exempt(reason, message, (message,) if reason is Reason.ROLLOUT else ())
    lapsed = _lapsed(refusal, subjects, context, policy, now)
    return replace(refusal, message="; ".join((refusal.message, *lapsed)))


def _lapsed(
    refusal: Denied | Unavailable, subjects: Sequence[Reference], context: Context, policy: Policy, now: datetime
) -> tuple[str, ...]:
    """Return a clause for whatever was meant to admit the refusal and has no effect."""
    if refusal.reason in NEVER_SOFTENED:
        return ()
    terms = ((what, term, term.lapse(now)) for _, what, term in _terms(refusal, subjects, context, policy))
    return tuple(describe_lapse(what, term, lapse) for what, term, lapse in terms if lapse is not None)


def _forbidding(subjects: Sequence[Reference], context: Context, policy: Policy) -> tuple[Reference, Rule] | None:
    """Return a rule in force that refuses one of the references whoever signed it, with that reference."""
    for subject in subjects:
        for rule in policy.matching(subject, context):
            if isinstance(rule.requirement, Fail) and rule.mode is Mode.ENFORCE:
                return subject, rule
    return None


def _terms(
    refusal: Denied | Unavailable, subjects: Sequence[Reference], context: Context, policy: Policy
) -> Iterator[tuple[Reason, str, Term]]:
    """Yield what could admit, in or out of effect: what is about this image first."""
    if refusal.reason not in _NEVER_EXCEPTED:
        for exception in policy.exceptions:
            if any(exception.covers(subject, context) for subject in subjects):
                yield Reason.EXCEPTION, f"the exception for {exception}", exception.term
    if policy.rollout is not None:
        yield Reason.ROLLOUT, "the rollout", policy.rollout
