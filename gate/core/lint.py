"""What deserves a second look in a policy that loads. Pure, and only what is certain is said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta

from gate.core.authorities import Authority, KeyAuthority, KeylessAuthority
from gate.core.distinct import match_distinct
from gate.core.findings import Finding, Path, error, warning
from gate.core.globs import match_text
from gate.core.identities import Exact, IdentityRule, Pattern, TextRule
from gate.core.oci import Reference
from gate.core.overlaps import find_overlaps
from gate.core.policy import (
    Context,
    Fail,
    Mode,
    NoMatch,
    ObjectException,
    OnUnavailable,
    Policy,
    Rule,
    Signatures,
    SourceChoice,
    Term,
)
from gate.core.quote import quote
from gate.core.rfc3339 import format_instant
from gate.core.verdict import Signer

ROOT_SYNC, REPO_SYNC = "RootSync", "RepoSync"
ROOT_NAMESPACE = "config-management-system"  # Config Sync takes a RootSync from nowhere else
SOON = timedelta(days=7)  # before the end of a term
# Identities and issuers that nobody writes a rule for: an expression that accepts one is open to whoever comes along.
STRANGERS = (
    "stranger@stranger.example",
    "https://stranger.example/",
    "https://github.com/stranger/stranger/.github/workflows/stranger.yaml@refs/heads/stranger",
    "https://gitlab.com/stranger/stranger//.gitlab-ci.yml@refs/heads/stranger",
)


def lint(policy: Policy, now: datetime) -> tuple[Finding, ...]:
    """Return everything to look at in ``policy`` at ``now`` (aware)."""
    return (
        *_choices(policy),
        *_terms(policy, now),
        *(finding for number, rule in enumerate(policy.rules) for finding in _rule(("rules", number), rule)),
        *find_overlaps(policy.rules),
    )


def unmatched(policy: Policy, images: tuple[Reference, ...]) -> tuple[Reference, ...]:
    """Return the images that no enforce or warn rule is about, whoever asks and whatever digest they have."""
    globs = [glob for rule in policy.rules if rule.mode is not Mode.AUDIT for glob in rule.match.images]
    return tuple(image for image in images if not any(glob.matches(image) for glob in globs))


def _choices(policy: Policy) -> Iterator[Finding]:
    if policy.no_match is not NoMatch.DENY:
        yield warning(("noMatch",), f"{policy.no_match.value} admits every image that no rule is about, signed or not")
    for name, choice in (("git", policy.sources.git), ("helmHttp", policy.sources.helm_http)):
        if choice is SourceChoice.ALLOW:
            message = f"allow: whoever may switch a source to {name} walks around every rule; consider existing or deny"
            yield warning(("sources", name), message)


def _terms(policy: Policy, now: datetime) -> Iterator[Finding]:
    if policy.rollout is not None:
        yield from _term(("rollout",), policy.rollout, now)
    for number, exception in enumerate(policy.exceptions):
        path: Path = ("exceptions", number)
        yield from _term(path, exception.term, now)
        # Of whoever asks for a digest nothing is known: a rule that looks at it may not match.
        context = exception.context if isinstance(exception, ObjectException) else Context()
        matching = policy.matching(exception.subject, context)
        refusing = next((rule for rule in matching if _refuses(rule)), None)
        if refusing is not None:
            yield error(path, f"has no effect: rule {quote(refusing.name)} refuses what it excepts (static: fail)")


def _refuses(rule: Rule) -> bool:
    return rule.mode is Mode.ENFORCE and isinstance(rule.requirement, Fail)


def _term(path: Path, term: Term, now: datetime) -> Iterator[Finding]:
    until, lapse = format_instant(term.until), term.lapse(now)
    if lapse is not None:
        yield error(path, f"until {until} has no effect: {lapse}")
    elif term.until - now <= SOON:
        yield warning(path, f"ends soon, at {until}")


def _rule(path: Path, rule: Rule) -> Iterator[Finding]:
    if rule.mode is not Mode.ENFORCE:
        yield warning((*path, "mode"), f"{rule.mode.value} denies nothing and has no end; a rollout has one")
    if rule.on_unavailable is OnUnavailable.ALLOW:
        yield warning((*path, "onUnavailable"), "allow: an outage of the registry admits what nobody has verified")
    yield from _match(path, rule)
    if isinstance(rule.requirement, Signatures):
        yield from _signatures(path, rule.requirement)


def _match(path: Path, rule: Rule) -> Iterator[Finding]:
    match = rule.match
    for number, namespace in enumerate(match.namespaces):
        if "." in namespace:  # RFC 1123 label, as Kubernetes has it for namespaces
            yield error((*path, "match", "namespaces", number), 'matches nothing: no namespace has a "." in its name')
    if match.kinds == (ROOT_SYNC,) and match.namespaces and not _any_matches(match.namespaces, ROOT_NAMESPACE):
        message = f"the rule never matches: a RootSync is in {ROOT_NAMESPACE} or nowhere"
        yield error((*path, "match", "namespaces"), message)
    open_kinds = not match.kinds or REPO_SYNC in match.kinds
    # The name is chosen by whoever creates the object.
    open_namespaces = not match.namespaces or any(not each.strip("*") for each in match.namespaces)
    if open_kinds and open_namespaces and rule.mode is not Mode.AUDIT and not isinstance(rule.requirement, Fail):
        message = "is open to every RepoSync, whoever owns its namespace; kinds or namespaces would say for whom it is"
        yield warning((*path, "match"), message)


def _any_matches(patterns: tuple[str, ...], text: str) -> bool:
    return any(match_text(pattern, text) for pattern in patterns)


def _signatures(path: Path, wanted: Signatures) -> Iterator[Finding]:
    possible = {authority.name: _possible_signers(authority) for authority in wanted.authorities}
    needed = {name: possible[name] for name in wanted.needed}
    for names, count in ((possible, wanted.count), (needed, len(needed))):
        most = len(match_distinct(names))
        if most < count:
            message = f"can never be satisfied: {count} signers are wanted, and its authorities accept only {most}"
            yield error((*path, "require"), message)
            break
    for number, authority in enumerate(wanted.authorities):
        if isinstance(authority, KeylessAuthority):
            for place, identity in enumerate(authority.identities):
                where = (*path, "authorities", number, "keyless", "identities", place)
                yield from _identity(where, identity)


def _possible_signers(authority: Authority) -> tuple[Signer, ...]:
    """Return at least as many signers as the authority can give: one of its own where an expression is open-ended."""
    if isinstance(authority, KeyAuthority):
        return (Signer(authority.name, authority.identity),)
    signers = []
    for number, identity in enumerate(authority.identities):
        parts = [_exact(identity.issuer), _exact(identity.subject)]
        known = all(part is not None for part in parts)
        signers.append(Signer(authority.name, json.dumps(parts if known else [authority.name, number])))
    return tuple(signers)


def _exact(rule: TextRule | None) -> list[str] | None:
    """Return the one text that is accepted, an empty list where there must be none; None where it may be any."""
    if rule is None:
        return []
    return [rule.text] if isinstance(rule, Exact) else None


def _identity(path: Path, identity: IdentityRule) -> Iterator[Finding]:
    for name, rule in (("issuer", identity.issuer), ("subject", identity.subject)):
        if not isinstance(rule, Pattern):
            continue
        accepted = [stranger for stranger in STRANGERS if rule.matches(stranger)]
        if len(accepted) == len(STRANGERS):
            yield warning((*path, f"{name}RegExp"), f"matches everything: {quote(rule.source)}")
        elif accepted:
            message = f"{quote(rule.source)} accepts strangers, such as {quote(accepted[0])}"
            yield warning((*path, f"{name}RegExp"), message)
