"""A decision as JSON data: the one form that the command line prints and the log records."""

from __future__ import annotations

from gate.core.strictjson import Json
from gate.core.verdict import CandidateResult, Decision, RuleResult, Signer, Verdict, Verified


def verdict_name(verdict: Verdict) -> str:
    """Return the verdict's name: verified, exempt, denied or unavailable."""
    return type(verdict).__name__.lower()


def describe(decision: Decision) -> dict[str, Json]:
    """Return the digest, verdict, reason and message of a decision, what each rule said, and every candidate once.

    ``digest`` is null when there was none to decide on, ``index`` when no index that lists it was looked at. A rule's
    verdict is the true one, before its mode is applied; ``refused`` is it where an exception or the rollout admits.
    """
    subject = decision.subject
    return {
        "digest": None if subject is None or subject.digest is None else str(subject.digest),
        "index": None if decision.index is None else str(decision.index),
        **_verdict(decision.verdict),
        "refused": None if decision.refused is None else _verdict(decision.refused),
        "rules": [_rule(rule) for rule in decision.rules],
        "candidates": [_candidate(candidate) for candidate in decision.candidates],
    }


def _verdict(verdict: Verdict) -> dict[str, Json]:
    return {"verdict": verdict_name(verdict), "reason": str(verdict.reason), "message": verdict.message}


def _rule(rule: RuleResult) -> dict[str, Json]:
    signers = rule.verdict.signers if isinstance(rule.verdict, Verified) else ()
    return {
        "name": rule.name,
        "mode": rule.mode,
        "verdict": verdict_name(rule.verdict),
        "reason": str(rule.verdict.reason),
        "signers": [_signer(signer) for signer in signers],
    }


def _candidate(candidate: CandidateResult) -> dict[str, Json]:
    return {
        "format": candidate.format,
        "location": candidate.location,
        "verdict": "denied" if candidate.signer is None else "verified",
        "reason": str(candidate.reason),
        "message": candidate.message,
        "signer": None if candidate.signer is None else _signer(candidate.signer),
    }


def _signer(signer: Signer) -> dict[str, Json]:
    return {"authority": signer.authority, "identity": signer.identity}
