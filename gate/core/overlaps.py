"""Rules that decide nothing because of another one. Every rule that matches counts, whatever their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gate.core.authorities import KeyAuthority
from gate.core.findings import Finding, error, warning
from gate.core.inclusion import match_within
from gate.core.policy import Fail, Mode, Pass, Rule, Signatures
from gate.core.quote import quote


def find_overlaps(rules: Sequence[Rule]) -> Iterator[Finding]:
    """Yield each rule to which another one leaves nothing to decide, and each key that several rules have."""
    for number, rule in enumerate(rules):
        others = [(number > place, other) for place, other in enumerate(rules) if place != number]
        found = (_idle(rule, other, later=later) for later, other in others)
        why = next((each for each in found if each is not None), None)
        if why is not None:
            yield error(("rules", number), f"rule {quote(rule.name)} {why}")
    yield from _keys_again(rules)


def _idle(rule: Rule, other: Rule, *, later: bool) -> str | None:
    """Return why ``rule`` decides nothing beside ``other``, or None where it may decide something.

    ``later`` says that it comes after the other one: of two that are alike, the first one stays.
    """
    if rule.mode is Mode.AUDIT or other.mode is not Mode.ENFORCE or not match_within(rule.match, other.match):
        return None
    name = quote(other.name)
    if _alike(rule, other):
        twins = rule.mode is Mode.ENFORCE and match_within(other.match, rule.match)
        # The words of a refusal are those of the first rule that refuses.
        worded = isinstance(rule.requirement, Fail)
        kept = not later and (twins or worded)
        return None if kept else f"decides nothing: rule {name} asks the same of every image that it is about"
    if isinstance(other.requirement, Fail):
        return f"decides nothing: rule {name} refuses every image that it is about"
    if isinstance(rule.requirement, Pass):
        return f"admits nothing: rule {name} is about all its images as well, and every rule that matches counts"
    return None


def _alike(rule: Rule, other: Rule) -> bool:
    return (
        rule.requirement == other.requirement
        and rule.match_reference is other.match_reference
        and rule.on_unavailable is other.on_unavailable
    )


def _keys_again(rules: Sequence[Rule]) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for number, rule in enumerate(rules):
        if not isinstance(rule.requirement, Signatures):
            continue
        for place, authority in enumerate(rule.requirement.authorities):
            if not isinstance(authority, KeyAuthority):
                continue
            known = seen.setdefault(authority.identity, rule.name)
            if known != rule.name:
                message = f"is the key of rule {quote(known)} as well: whoever replaces it has to do so in both"
                yield warning(("rules", number, "authorities", place, "key"), message)
