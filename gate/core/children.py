"""Index and child: for a manifest that an index lists, what is signed about either of the two counts."""

from __future__ import annotations

from dataclasses import replace

from gate.core.oci import Digest, Reference
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.core.verdict import ADMITTING, REFUSING, CandidateResult, Denied, RuleResult, Unavailable, Verified

# Of two denials the one is told that says more about what to do: that nobody signed is said last.
_SAYS_LITTLE = (Reason.UNTRUSTED, Reason.NO_SIGNATURE)


def either(own: RuleResult, over: RuleResult, child: Reference, index: Digest) -> RuleResult:
    """Return what a rule says of ``child``, given what it says of it alone and of the ``index`` that lists it.

    It is satisfied by the one or by the other, never half by each. Where neither satisfies it, it is unavailable if
    either is.
    """
    if isinstance(own.verdict, ADMITTING):
        return own
    merged = replace(own, candidates=own.candidates + _located(over))
    if isinstance(over.verdict, Verified):
        names = ", ".join(quote(signer.authority) for signer in over.verdict.signers)
        listed = f"{Reason.VERIFIED}: {child.label} is listed by index {index}"
        message = f"{listed}, which is signed for rule {quote(own.name)} by {names}"
        return replace(merged, verdict=Verified(message, over.verdict.signers))
    refusals = [verdict for verdict in (own.verdict, over.verdict) if isinstance(verdict, REFUSING)]
    told = min(refusals, key=_telling_first)
    place = f"listed by index {index}" if told is own.verdict else f"the index that lists {child.label}"
    message = f"{told.message} ({place})"
    match told:
        case Denied(reason):
            return replace(merged, verdict=Denied(reason, message))
        case Unavailable(reason):
            outage = all(verdict.outage for verdict in refusals if isinstance(verdict, Unavailable))
            return replace(merged, verdict=Unavailable(reason, message, outage))


def _located(over: RuleResult) -> tuple[CandidateResult, ...]:
    return tuple(replace(found, location=f"index: {found.location}") for found in over.candidates)


def _telling_first(verdict: Denied | Unavailable) -> tuple[int, int, str]:
    match verdict:
        case Unavailable(reason, outage=outage):
            # What an outage does not explain is said first, as for one digest.
            return 0, outage, str(reason)
        case Denied(reason):
            return 1, _SAYS_LITTLE.index(reason) + 1 if reason in _SAYS_LITTLE else 0, ""
