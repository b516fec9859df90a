"""The decision on one subject: evidence and rules in, verdict out.

1. Every rule judges every candidate alone: one bad or foreign candidate never disables another.
2. What is proved stands. Without enough proof a rule is *unavailable* if anything could not be read, else *denied*.
3. Rules combine (combine.py): denied before unavailable before the admitting answers.

What an exception or the rollout makes of a refusal is none of this module's business (leniency.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias

from gate.core.authorities import Authority
from gate.core.children import either
from gate.core.combine import combine, unmatched
from gate.core.distinct import match_distinct
from gate.core.errors import MalformedError, UnavailableError, UntrustedError
from gate.core.keys import Check, PublicKey
from gate.core.oci import Digest, Reference
from gate.core.policy import Fail, MatchReference, NoMatch, Pass, Rule, Signatures
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.core.signature import Candidate, Evidence, RefusedCandidate, UntrustedSignature
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

# Of several authorities' refusals of one candidate the most telling is shown: bad-signature only says "another key".
_TELLING_LAST = (Reason.CERTIFICATE, Reason.BAD_SIGNATURE)

# Returns the signer, or raises UntrustedError; UnavailableError where there is no time left to ask.
Verify: TypeAlias = Callable[[Authority, UntrustedSignature], Signer]


def decide(  # noqa: PLR0913 (the last two are somebody else's answers, and have usual values)
    subject: Reference,
    evidence: Evidence,
    rules: Sequence[Rule],
    no_match: NoMatch,
    now: datetime,
    check: Check = PublicKey.verify,
    *,
    in_time: Callable[[], None] = lambda: None,
) -> Decision:
    """Return the decision on ``subject``, whose digest is what the evidence is about, under the rules that match it.

    Only a subject that no rule is about needs no digest. Where the evidence has an index that lists it, a rule may be
    satisfied by the index in its place; rules that match the index are among ``rules``.
    ``now`` is an aware datetime; for ``check`` see KeyAuthority.verify(); ``in_time`` is asked before each candidate,
    and raises UnavailableError when there is no time left. Nothing is raised here: whatever keeps a rule from being
    satisfied is in the verdict.
    """
    if subject.digest is None:
        if rules:
            raise ValueError("a decision is about a digest")
        return Decision(unmatched(subject, no_match))

    def about(digest: Digest) -> Verify:
        def verify(authority: Authority, candidate: UntrustedSignature) -> Signer:
            in_time()
            return authority.verify(candidate, digest, now, check)

        return verify

    decided = subject.at(subject.digest)
    results = tuple(_judge(decided, evidence, rule, about(subject.digest)) for rule in rules)
    parent = evidence.parent
    if parent is not None:
        index = decided.at(parent.digest)
        over = (_judge(index, parent.evidence, rule, about(parent.digest)) for rule in rules)
        results = tuple(either(*pair, decided, parent.digest) for pair in zip(results, over, strict=True))
    verdict = combine(subject, tuple(zip(rules, results, strict=True)), no_match)
    return Decision(verdict, results, decided, None if parent is None else parent.digest)


def decide_unread(subject: Reference, error: UnavailableError, rules: Sequence[Rule], no_match: NoMatch) -> Decision:
    """Return the decision on ``subject`` where ``error`` kept from reading what it is: no signature counts."""
    nothing = Evidence(unreadable=(error,))
    results = tuple(_judge(subject, nothing, rule, _nobody) for rule in rules)
    verdict = combine(subject, tuple(zip(rules, results, strict=True)), no_match)
    return Decision(verdict, results, None if subject.digest is None else subject)


def _nobody(_authority: Authority, _candidate: UntrustedSignature) -> Signer:
    raise UntrustedError(Reason.WRONG_DIGEST, "it is not known which digest the signature would have to be about")


def _judge(subject: Reference, evidence: Evidence, rule: Rule, ask: Verify) -> RuleResult:
    """Return what one rule says of the evidence about ``subject``, its mode not yet applied."""
    match rule.requirement:
        case Pass():
            admits = f"{Reason.STATIC_PASS}: rule {quote(rule.name)} admits {subject.label}{_words(rule)}"
            return RuleResult(rule.name, rule.mode.value, Exempt(Reason.STATIC_PASS, admits))
        case Fail():
            return RuleResult(rule.name, rule.mode.value, static_failure(subject, rule))
        case Signatures() as wanted:

            def verify(authority: Authority, candidate: UntrustedSignature) -> Signer:
                signer = ask(authority, candidate)
                if rule.match_reference is MatchReference.REPOSITORY:
                    _require_repository(candidate, subject)
                return signer

            judged: list[tuple[tuple[Signer, ...], CandidateResult]] = []
            for candidate in evidence.candidates:
                try:
                    judged.append(_try_authorities(candidate, wanted.authorities, verify))
                except UnavailableError as error:  # there is no time for the rest: nothing is known of it
                    evidence = replace(evidence, unreadable=(*evidence.unreadable, error))
                    break
            accepted = {
                authority.name: [
                    signer for signers, _ in judged for signer in signers if signer.authority == authority.name
                ]
                for authority in wanted.authorities
            }
            results = tuple(result for _, result in judged)
            signers = match_distinct(accepted, first=wanted.needed)
            verdict = _conclude(subject, rule, wanted, signers, results, evidence)
            return RuleResult(rule.name, rule.mode.value, verdict, results)


def _require_repository(signature: UntrustedSignature, subject: Reference) -> None:
    """Return if a signature that is proved names the subject's repository or none, else raise UntrustedError."""
    named = signature.claim.repository
    if named is None:
        return
    refusal = UntrustedError(Reason.REFERENCE, f"the signature is valid, but it names the repository {quote(named)}")
    try:
        repository = Reference.parse(named).name
    except MalformedError as error:
        raise refusal from error  # a name that no image has is not this one's
    if repository != subject.name:
        raise refusal


def _try_authorities(
    candidate: Candidate, authorities: Sequence[Authority], verify: Verify
) -> tuple[tuple[Signer, ...], CandidateResult]:
    """Return everybody who vouches by this one candidate, and what to say about it."""
    if isinstance(candidate, RefusedCandidate):
        return (), CandidateResult(candidate.format, candidate.location, candidate.reason, candidate.message)
    signers: list[Signer] = []
    refusals: list[UntrustedError] = []
    for authority in authorities:
        try:
            signers.append(verify(authority, candidate))
        except UntrustedError as error:
            refusals.append(error)
        except (UnavailableError, KeyboardInterrupt, SystemExit):
            raise
        # A bug, and whoever can push what meets it must not disable the others. A Rust library's panic is no Exception.
        except BaseException as error:  # noqa: BLE001 (see above)
            bug = f"gate cannot judge this signature, which is a bug in gate ({type(error).__name__})"
            refusals.append(UntrustedError(Reason.MALFORMED, bug))
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


def _conclude(
    subject: Reference,
    rule: Rule,
    wanted: Signatures,
    signers: tuple[Signer, ...],
    results: tuple[CandidateResult, ...],
    evidence: Evidence,
) -> Verdict:
    missing = set(wanted.needed).difference(signer.authority for signer in signers)
    if len(signers) >= wanted.count > 0 and not missing:
        names = ", ".join(quote(signer.authority) for signer in signers)
        return Verified(f"verified: {subject.label} is signed for rule {quote(rule.name)} by {names}", signers)
    if evidence.unreadable:
        # What an outage does not explain is said first, and keeps a rule from failing open.
        worst = min(evidence.unreadable, key=lambda problem: (problem.outage, str(problem.reason), problem.message))
        message = (
            f"{worst.reason}: {subject.label} could not be verified for rule {quote(rule.name)}: {worst.message};"
            f" {worst.reason.advice}"
        )
        return Unavailable(worst.reason, message, outage=all(problem.outage for problem in evidence.unreadable))
    return _lack(subject, rule, wanted, signers, results)


def _lack(
    subject: Reference,
    rule: Rule,
    wanted: Signatures,
    signers: tuple[Signer, ...],
    results: tuple[CandidateResult, ...],
) -> Denied:
    """Return the denial where everything could be read, and is not enough."""
    if all(result.reason is Reason.ATTESTATION for result in results):
        message = no_signature_message(subject, rule.name, len(results))
        return Denied(Reason.NO_SIGNATURE, message + _words(rule))
    if signers:
        return Denied(Reason.NOT_ENOUGH_SIGNERS, _few_message(subject, rule, wanted, signers) + _words(rule))
    return Denied(Reason.UNTRUSTED, _untrusted_message(subject, rule, results) + _words(rule))


def _words(rule: Rule) -> str:
    return f"; the rule says {quote(rule.message)}" if rule.message else ""


def _few_message(subject: Reference, rule: Rule, wanted: Signatures, signers: tuple[Signer, ...]) -> str:
    found = {signer.authority for signer in signers}
    missing = ", ".join(quote(name) for name in wanted.needed if name not in found)
    if missing:
        lack = f"signatures of {missing} for {subject.label}, each by a signer of its own, and has them not"
    else:
        lack = f"{wanted.count} distinct signers of {subject.label} and found {len(signers)}"
    start = f"{Reason.NOT_ENOUGH_SIGNERS}: rule {quote(rule.name)} wants"
    return f"{start} {lack}; add the missing signatures to this digest"


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
        f" satisfies rule {quote(rule.name)} ({summary}: {telling.message}); {telling.reason.advice}"
    )


def _telling_first(result: CandidateResult) -> tuple[bool, str, str, str]:
    return result.reason in _TELLING_LAST, result.location, str(result.reason), result.message


def static_failure(subject: Reference, rule: Rule) -> Denied:
    """Return the denial of an image by a rule that nothing satisfies."""
    why = f": {quote(rule.message)}" if rule.message else ""
    refuses = f"{Reason.STATIC_FAIL}: rule {quote(rule.name)} refuses {subject.label}{why}"
    return Denied(Reason.STATIC_FAIL, f"{refuses}; sync another digest")
