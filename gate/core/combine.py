"""Rules together: modes, outages, and images that no rule is about. Denied before unavailable before what admits."""

from __future__ import annotations

from collections.abc import Sequence

from gate.core.oci import Reference
from gate.core.policy import Mode, NoMatch, OnUnavailable, Rule
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.core.verdict import REFUSING, Denied, Exempt, RuleResult, Unavailable, Verdict, Verified


def combine(subject: Reference, judged: Sequence[tuple[Rule, RuleResult]], no_match: NoMatch) -> Verdict:
    """Return the verdict of all rules together; audit rules only record, warn rules only warn."""
    counted = [(rule, result.verdict) for rule, result in judged if rule.mode is not Mode.AUDIT]
    if not counted:
        return unmatched(subject, no_match)
    warnings = tuple(
        f"rule {quote(rule.name)} (warn): {verdict.message}"
        for rule, verdict in counted
        if rule.mode is Mode.WARN and isinstance(verdict, REFUSING)
    )
    enforced = [_apply_outage(rule, verdict) for rule, verdict in counted if rule.mode is Mode.ENFORCE]
    refusals = [verdict for verdict in enforced if isinstance(verdict, REFUSING)]
    if refusals:
        return min(refusals, key=_first_said)
    return _admitting(enforced, [verdict for rule, verdict in counted if rule.mode is Mode.WARN], warnings)


def _first_said(verdict: Denied | Unavailable) -> int:
    """Return the place of a refusal among several: what no exception and no rollout softens hides behind none."""
    if verdict.reason is Reason.STATIC_FAIL:
        return 0
    return 1 if isinstance(verdict, Denied) else 2


def _apply_outage(rule: Rule, verdict: Verdict) -> Verdict:
    if isinstance(verdict, Unavailable) and verdict.outage and rule.on_unavailable is OnUnavailable.ALLOW:
        message = f"{Reason.FAILED_OPEN}: rule {quote(rule.name)} says onUnavailable: allow, and {verdict.message}"
        return Exempt(Reason.FAILED_OPEN, message, (message,))
    return verdict


def _admitting(enforced: Sequence[Verdict], warned: Sequence[Verdict], warnings: tuple[str, ...]) -> Verified | Exempt:
    """Return the weakest of the admitting answers, so that a record never claims more than was proved."""
    failed_open = next((v for v in enforced if isinstance(v, Exempt) and v.reason is Reason.FAILED_OPEN), None)
    if failed_open is not None:
        return Exempt(failed_open.reason, failed_open.message, failed_open.warnings + warnings)
    if warnings and not enforced:
        return Exempt(Reason.WARNED, f"{Reason.WARNED}: {warnings[0]}", warnings)
    verified = [verdict for verdict in enforced or warned if isinstance(verdict, Verified)]
    if verified:
        signers = tuple(dict.fromkeys(signer for verdict in verified for signer in verdict.signers))
        return Verified(verified[0].message, signers, warnings)
    passed = next(verdict for verdict in (*enforced, *warned) if isinstance(verdict, Exempt))
    return Exempt(passed.reason, passed.message, warnings)


def unmatched(subject: Reference, no_match: NoMatch) -> Verdict:
    """Return the verdict on an image that no enforce or warn rule is about."""
    match no_match:
        case NoMatch.DENY:
            return Denied(Reason.NO_RULE, no_rule_message(subject))
        case NoMatch.WARN:
            message = (
                f"{Reason.NO_RULE_ALLOWED}: no rule of the policy matches {subject.label}; noMatch: warn admits it"
            )
            return Exempt(Reason.NO_RULE_ALLOWED, message, (message,))
        case NoMatch.ALLOW:
            return Exempt(
                Reason.NO_RULE_ALLOWED, f"{Reason.NO_RULE_ALLOWED}: no rule of the policy matches {subject.label}"
            )


def no_rule_message(subject: Reference) -> str:
    """Return the sentence for an image that no rule matches."""
    return f"{Reason.NO_RULE}: no rule of the policy matches {subject.label}; add a rule for it or sync another image"
