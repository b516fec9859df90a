"""The decision on one subject: evidence and rules in, verdict out.

1. Every rule judges every candidate alone: one bad or foreign candidate never disables another.
2. What is proved stands. Without enough proof a rule is *unavailable* if anything could not be read, else *denied*.
3. Rules combine: denied before unavailable before the admitting answers; a rule's mode is applied only here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from gate.core.authorities import Authority
from gate.core.children import either
from gate.core.errors import UnavailableError, UntrustedError
from gate.core.keys import Check, PublicKey
from gate.core.oci import Digest, Reference
from gate.core.policy import Fail, Mode, NoMatch, OnUnavailable, Pass, Rule, Signatures
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.core.signature import Candidate, Evidence, RefusedCandidate, UntrustedSignature
from gate.core.verdict import (
    REFUSING,
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

# Of several authorities' refusals of one candidate the most telling is shown: bad-signature only says "another key".
_TELLING_LAST = (Reason.CERTIFICATE, Reason.BAD_SIGNATURE)


def decide(
    subject: Reference,
    evidence: Evidence,
    rules: Sequence[Rule],
    no_match: NoMatch,
    now: datetime,
    check: Check = PublicKey.verify,
) -> Decision:
    """Return the decision on ``subject``, whose digest is what the evidence is about, under the rules that match it.

    Only a subject that no rule is about needs no digest. Where the evidence has an index that lists it, a rule may be
    satisfied by the index in its place; rules that match the index are among ``rules``.
    ``now`` is an aware datetime; for ``check`` see KeyAuthority.verify(). Nothing is raised: whatever keeps a rule from
    being satisfied is in the verdict.
    """
    if subject.digest is None:
        if rules:
            raise ValueError("a decision is about a digest")
        return Decision(_unmatched(subject, no_match))
    decided = subject.at(subject.digest)
    results = tuple(_judge(decided, subject.digest, evidence, rule, now, check) for rule in rules)
    parent = evidence.parent
    if parent is not None:
        index = decided.at(parent.digest)
        over = (_judge(index, parent.digest, parent.evidence, rule, now, check) for rule in rules)
        results = tuple(either(*pair, decided, parent.digest) for pair in zip(results, over, strict=True))
    verdict = _combine(subject, tuple(zip(rules, results, strict=True)), no_match)
    return Decision(verdict, results, decided, None if parent is None else parent.digest)


def decide_unread(
    subject: Reference, error: UnavailableError, rules: Sequence[Rule], no_match: NoMatch, now: datetime
) -> Decision:
    """Return the decision on ``subject`` where ``error`` kept from reading what it is: no signature counts."""
    digest = subject.digest or Digest.of(b"")  # there is no candidate that it would be compared with
    nothing = Evidence(unreadable=(error,))
    results = tuple(_judge(subject, digest, nothing, rule, now, PublicKey.verify) for rule in rules)
    verdict = _combine(subject, tuple(zip(rules, results, strict=True)), no_match)
    return Decision(verdict, results, None if subject.digest is None else subject)


def _judge(
    subject: Reference, digest: Digest, evidence: Evidence, rule: Rule, now: datetime, check: Check
) -> RuleResult:
    """Return what one rule says of the evidence, its mode not yet applied; ``digest`` is that of ``subject``."""
    match rule.requirement:
        case Pass():
            verdict: Verdict = Exempt(
                Reason.STATIC_PASS, f"static-pass: rule {quote(rule.name)} admits {subject.label}"
            )
            return RuleResult(rule.name, rule.mode.value, verdict)
        case Fail():
            return RuleResult(rule.name, rule.mode.value, _static_failure(subject, rule))
        case Signatures() as wanted:
            judged = [
                _try_authorities(candidate, wanted.authorities, digest, now, check) for candidate in evidence.candidates
            ]
            accepted = {
                authority.name: [
                    signer for signers, _ in judged for signer in signers if signer.authority == authority.name
                ]
                for authority in wanted.authorities
            }
            results = tuple(result for _, result in judged)
            signers = match_distinct(accepted)
            verdict = _conclude(subject, rule, wanted, signers, results, evidence)
            return RuleResult(rule.name, rule.mode.value, verdict, results)


def _try_authorities(
    candidate: Candidate, authorities: Sequence[Authority], digest: Digest, now: datetime, check: Check
) -> tuple[tuple[Signer, ...], CandidateResult]:
    """Return everybody who vouches by this one candidate, and what to say about it."""
    if isinstance(candidate, RefusedCandidate):
        return (), CandidateResult(candidate.format, candidate.location, candidate.reason, candidate.message)
    signers: list[Signer] = []
    refusals: list[UntrustedError] = []
    for authority in authorities:
        try:
            signers.append(authority.verify(candidate, digest, now, check))
        except UntrustedError as error:
            refusals.append(error)
    return tuple(signers), _summarise(candidate, signers, refusals)


def _summarise(
    candidate: UntrustedSignature, signers: Sequence[Signer], refusals: Sequence[UntrustedError]
) -> CandidateResult:
    if signers:
        return CandidateResult(
            candidate.format, candidate.location, Reason.VERIFIED, "the signature is valid", signers[0]
        )
    ranked = sorted(
        refusals, key=lambda error: _TELLING_LAST.index(error.reason) + 1 if error.reason in _TELLING_LAST else 0
    )
    return CandidateResult(candidate.format, candidate.location, ranked[0].reason, ranked[0].message)


def match_distinct(accepted: Mapping[str, Sequence[Signer]]) -> tuple[Signer, ...]:
    """Return a largest set of signers in which every authority and every identity occurs at most once.

    ``accepted`` maps an authority's name to whom it accepted. Bipartite matching by augmenting paths: one identity that
    two authorities accept counts once, and is given to the one that has nobody else.
    """
    held: dict[str, Signer] = {}  # identity -> the signer that is counted for it

    def assign(authority: str, visited: set[str]) -> bool:
        for signer in accepted[authority]:
            if signer.identity in visited:
                continue
            visited.add(signer.identity)
            holder = held.get(signer.identity)
            if holder is None or assign(holder.authority, visited):
                held[signer.identity] = signer
                return True
        return False

    for authority in accepted:
        assign(authority, set())
    order = list(accepted)
    return tuple(sorted(held.values(), key=lambda signer: order.index(signer.authority)))


def _conclude(
    subject: Reference,
    rule: Rule,
    wanted: Signatures,
    signers: tuple[Signer, ...],
    results: tuple[CandidateResult, ...],
    evidence: Evidence,
) -> Verdict:
    if len(signers) >= wanted.count > 0:
        names = ", ".join(quote(signer.authority) for signer in signers)
        return Verified(f"verified: {subject.label} is signed for rule {quote(rule.name)} by {names}", signers)
    if evidence.unreadable:
        # What an outage does not explain is said first, and keeps a rule from failing open.
        worst = min(evidence.unreadable, key=lambda problem: (problem.outage, str(problem.reason), problem.message))
        message = (
            f"{worst.reason}: {subject.label} could not be verified for rule {quote(rule.name)}: {worst.message};"
            f" {_lower(worst.reason.remedy)}"
        )
        return Unavailable(worst.reason, message, outage=all(problem.outage for problem in evidence.unreadable))
    if all(result.reason is Reason.ATTESTATION for result in results):
        return Denied(Reason.NO_SIGNATURE, no_signature_message(subject, rule.name, len(results)))
    if signers:
        found = (
            f"rule {quote(rule.name)} wants {wanted.count} distinct signers of {subject.label} and found {len(signers)}"
        )
        return Denied(
            Reason.NOT_ENOUGH_SIGNERS,
            f"{Reason.NOT_ENOUGH_SIGNERS}: {found}; add the missing signatures to this digest",
        )
    return Denied(Reason.UNTRUSTED, _untrusted_message(subject, rule, results))


def no_signature_message(subject: Reference, rule: str, attestations: int = 0) -> str:
    """Return the sentence for a digest without any signature; it begins with "no signatures found"."""
    only = " (only attestations, which are not signatures)" if attestations else ""
    return (
        f"no signatures found for {subject.label}{only}: rule {quote(rule)} requires one; sign this digest, not a tag"
        " (of a multi-platform image, the index that the source names or its linux/amd64 manifest)"
    )


def _untrusted_message(subject: Reference, rule: Rule, results: Sequence[CandidateResult]) -> str:
    # Attestations are left out: whoever may push one must not choose what is told about the signatures.
    refused = [result for result in results if result.reason is not Reason.ATTESTATION]
    counts = Counter(str(result.reason) for result in refused)
    summary = ", ".join(f"{number} {reason}" for reason, number in sorted(counts.items()))
    telling = min(refused, key=_telling_first)
    return (
        f"{Reason.UNTRUSTED}: none of the {len(refused)} signatures found for {subject.label}"
        f" satisfies rule {quote(rule.name)} ({summary}: {telling.message}); {_lower(telling.reason.remedy)}"
    )


def _telling_first(result: CandidateResult) -> tuple[bool, str, str, str]:
    return result.reason in _TELLING_LAST, result.location, str(result.reason), result.message


def _static_failure(subject: Reference, rule: Rule) -> Denied:
    why = f": {quote(rule.message)}" if rule.message else ""
    return Denied(
        Reason.STATIC_FAIL,
        f"{Reason.STATIC_FAIL}: rule {quote(rule.name)} refuses {subject.label}{why}; sync another digest",
    )


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].rstrip(".")


def _combine(subject: Reference, judged: Sequence[tuple[Rule, RuleResult]], no_match: NoMatch) -> Verdict:
    """Return the verdict of all rules together; audit rules only record, warn rules only warn."""
    counted = [(rule, result.verdict) for rule, result in judged if rule.mode is not Mode.AUDIT]
    if not counted:
        return _unmatched(subject, no_match)
    warnings = tuple(
        f"rule {quote(rule.name)} (warn): {verdict.message}"
        for rule, verdict in counted
        if rule.mode is Mode.WARN and isinstance(verdict, REFUSING)
    )
    enforced = [_apply_outage(rule, verdict) for rule, verdict in counted if rule.mode is Mode.ENFORCE]
    for kind in REFUSING:
        refusal = next((verdict for verdict in enforced if isinstance(verdict, kind)), None)
        if refusal is not None:
            return refusal
    return _admitting(enforced, [verdict for rule, verdict in counted if rule.mode is Mode.WARN], warnings)


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


def _unmatched(subject: Reference, no_match: NoMatch) -> Verdict:
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
