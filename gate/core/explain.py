"""What a policy has to say about an image, and what would satisfy it. Pure: nobody is asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from gate.core.authorities import Authority, KeyAuthority, KeylessAuthority
from gate.core.combine import unmatched
from gate.core.globs import match_text
from gate.core.identities import Exact, IdentityRule, TextRule
from gate.core.oci import Reference
from gate.core.policy import (
    Context,
    Fail,
    Match,
    MatchReference,
    Mode,
    OnUnavailable,
    Pass,
    Policy,
    Rule,
    Signatures,
    Term,
    describe_lapse,
)
from gate.core.quote import quote
from gate.core.rfc3339 import format_instant
from gate.core.verdict import Denied


@dataclass(frozen=True, slots=True)
class Explained:
    """One rule: why it is not about the question, or None; and what it wants, a line each."""

    rule: Rule
    mismatch: str | None
    wanted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The rules in their order, what weakens them, and in a sentence what follows; ``hopeless`` if nothing admits."""

    rules: tuple[Explained, ...]
    leniency: tuple[str, ...]
    conclusion: str
    hopeless: bool


def explain(policy: Policy, reference: Reference, context: Context, now: datetime) -> Explanation:
    """Return what ``policy`` says at ``now`` (aware) about ``reference`` where ``context`` asks for it."""
    rules = tuple(
        Explained(rule, _mismatch(rule.match, reference, context), tuple(_wanted(rule))) for rule in policy.rules
    )
    terms = tuple(_terms(policy, reference, context))
    leniency = tuple(_describe_term(what, term, now) for what, term in terms)
    admitted = any(term.lapse(now) is None for _, term in terms)
    conclusion, hopeless = _conclude(policy, reference, context, admitted=admitted)
    return Explanation(rules, leniency, conclusion, hopeless)


def _conclude(policy: Policy, reference: Reference, context: Context, *, admitted: bool) -> tuple[str, bool]:
    matching = policy.matching(reference, context)
    enforced = [rule for rule in matching if rule.mode is Mode.ENFORCE]
    refusing = next((rule for rule in enforced if isinstance(rule.requirement, Fail)), None)
    if refusing is not None:
        return f"refused: rule {quote(refusing.name)} refuses it whoever signs it", True
    if admitted:
        return "admitted, also where the rules refuse it, until what is said below ends", False
    if all(rule.mode is Mode.AUDIT for rule in matching):
        verdict = unmatched(reference, policy.no_match)
        return verdict.message, isinstance(verdict, Denied)
    if not enforced:
        return "admitted: the rules that match only warn", False
    names = ", ".join(quote(rule.name) for rule in enforced)
    return f"admitted if every enforce rule that matches is satisfied: {names}", False


def _mismatch(match: Match, reference: Reference, context: Context) -> str | None:
    """Return the first thing that keeps the rule from being about the question; the same as Match.matches()."""
    if not any(glob.matches(reference) for glob in match.images):
        return "none of its images matches"
    for name, given, wanted in (
        ("kinds", context.kind, match.kinds),
        ("namespaces", context.namespace, match.namespaces),
        ("names", context.name, match.names),
    ):
        if not wanted:
            continue
        if given is None:
            return f"it looks at {name}, and --{name[:-1]} is not given"
        if not any(match_text(pattern, given) for pattern in wanted):
            return f"none of its {name} is {quote(given)}"
    if match.digests and reference.digest not in match.digests:
        return "none of its digests is this one" if reference.digest else "it names digests, and none is given"
    return None


def _wanted(rule: Rule) -> Iterator[str]:
    """Yield what would satisfy the rule, and what else it says, a line each."""
    match rule.requirement:
        case Pass():
            yield "nothing is asked (static: pass)"
        case Fail():
            yield f"nothing satisfies it (static: fail){': ' + quote(rule.message) if rule.message else ''}"
        case Signatures() as wanted:
            yield _count(wanted)
            for authority in wanted.authorities:
                yield from _authority(authority)
    if rule.match_reference is MatchReference.REPOSITORY:
        yield "a signed payload that names a repository has to name this one (matchReference: repository)"
    if rule.on_unavailable is OnUnavailable.ALLOW:
        yield "an outage of the registry admits (onUnavailable: allow)"


def _count(wanted: Signatures) -> str:
    if wanted.needed:
        return f"signed by all of {', '.join(map(quote, wanted.needed))}, each a signer of its own, of:"
    if len(wanted.authorities) == 1:
        return "signed by:"
    return "signed by any of:" if wanted.count == 1 else f"signed by {wanted.count} of, each a signer of its own:"


def _authority(authority: Authority) -> Iterator[str]:
    name = f"- {quote(authority.name)}:"
    match authority:
        case KeyAuthority():
            yield f"{name} the key {authority.identity}{_proofs(authority)}"
        case KeylessAuthority():
            yield from (f"{name} {_identity(identity)}{_proofs(authority)}" for identity in authority.identities)


def _proofs(authority: Authority) -> str:
    given = (("a log entry", authority.log), ("a timestamp", authority.timestamp))
    wanted = [what for what, required in given if required]
    return f", with {' and '.join(wanted)}" if wanted else ""


def _identity(identity: IdentityRule) -> str:
    issuer = "without an issuer" if identity.issuer is None else f"by the issuer {_text(identity.issuer)}"
    return f"a certificate for {_text(identity.subject)} {issuer}"


def _text(rule: TextRule) -> str:
    return quote(rule.text) if isinstance(rule, Exact) else f"/{quote(rule.source)[1:-1]}/"


def _terms(policy: Policy, reference: Reference, context: Context) -> Iterator[tuple[str, Term]]:
    for exception in policy.exceptions:
        if exception.covers(reference, context):
            yield f"the exception for {exception}", exception.term
    if policy.rollout is not None:
        yield "the rollout", policy.rollout


def _describe_term(what: str, term: Term, now: datetime) -> str:
    lapse = term.lapse(now)
    if lapse is not None:
        return describe_lapse(what, term, lapse)
    return f"{what} admits until {format_instant(term.until)}: {quote(term.reason)}"
