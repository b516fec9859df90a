"""A rule that is said to decide nothing decides nothing: without it, exactly the same is admitted."""
# ruff: noqa: E501 (a table of cases, a line each)

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.core.authorities import KeyAuthority
from gate.core.combine import combine
from gate.core.globs import ImageGlob
from gate.core.keys import parse_public_key
from gate.core.oci import Digest, Reference
from gate.core.overlaps import find_overlaps
from gate.core.policy import (
    Context,
    Fail,
    Match,
    MatchReference,
    Mode,
    NoMatch,
    OnUnavailable,
    Pass,
    Requirement,
    Rule,
    Signatures,
)
from gate.core.reasons import Reason
from gate.core.trust import TrustedRoot
from gate.core.verdict import ADMITTING, Denied, Exempt, RuleResult, Unavailable, Verdict, Verified
from tests.fakes.keyless import keyless
from tests.fakes.signing import signer

KEYS = [KeyAuthority(name, parse_public_key(signer("p256", number).public_pem)) for number, name in enumerate("ab")]
WANTED: list[Requirement] = [Pass(), Fail(), Signatures((KEYS[0],)), Signatures((KEYS[1],))]
SAID: list[Verdict] = [
    Verified("", ()),
    Denied(Reason.UNTRUSTED, ""),
    Unavailable(Reason.REGISTRY_ERROR, "", outage=True),
    Unavailable(Reason.LIMIT, ""),
]
IMAGES = [Reference("r.example", path) for path in ("a", "a/b", "b")]
MATCHES = [Match((ImageGlob.parse(glob),)) for glob in ("**", "r.example/**", "r.example/a", "r.example/b")]
RULES = st.builds(
    Rule,
    st.just("rule"),
    st.sampled_from(MATCHES),
    st.sampled_from(WANTED),
    st.sampled_from(Mode),
    st.sampled_from(OnUnavailable),
    st.just(""),
    st.sampled_from(MatchReference),
)


def result(rule: Rule, said: dict[tuple[Requirement, MatchReference], Verdict]) -> RuleResult:
    match rule.requirement:
        case Pass():
            verdict: Verdict = Exempt(Reason.STATIC_PASS, "")
        case Fail():
            verdict = Denied(Reason.STATIC_FAIL, "")
        case wanted:
            verdict = said[wanted, rule.match_reference]
    return RuleResult(rule.name, rule.mode.value, verdict)


@given(
    st.lists(RULES, min_size=2, max_size=4),
    st.lists(st.sampled_from(SAID), min_size=4, max_size=4),
    st.sampled_from(IMAGES),
    st.sampled_from(NoMatch),
)
def test_without_a_rule_that_decides_nothing_the_same_is_admitted(
    rules: list[Rule], answers: list[Verdict], image: Reference, no_match: NoMatch
) -> None:
    said = dict(zip(product(WANTED[2:], MatchReference), answers, strict=True))

    def admits(among: list[Rule]) -> bool:
        judged = [(rule, result(rule, said)) for rule in among if rule.match.matches(image, Context())]
        return isinstance(combine(image, judged, no_match), ADMITTING)

    for finding in find_overlaps(rules):
        if finding.path[0] == "rules" and len(finding.path) == 2:
            number = finding.path[1]
            assert admits(rules) == admits([rule for place, rule in enumerate(rules) if place != number])


def overlaps(*rules: Rule) -> list[str]:
    return [f"{finding.where}: {finding.message}" for finding in find_overlaps(rules)]


def rule(name: str, images: str, wanted: Requirement, mode: Mode = Mode.ENFORCE) -> Rule:
    return Rule(name, Match((ImageGlob.parse(images),)), wanted, mode)


SIGNED = WANTED[2]
SAME = 'decides nothing: rule "{}" asks the same of every image that it is about'


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ((rule("a", "**", SIGNED), rule("b", "r.example/a", WANTED[3])), []),
        ((rule("a", "r.example/*", Fail()), rule("b", "r.example/**", SIGNED)), []),
        ((rule("a", "r.example/a", SIGNED), rule("b", "r.example/**", Fail())), ['rules[0]: rule "a" decides nothing: rule "b" refuses every image that it is about']),
        ((rule("a", "r.example/a", SIGNED), rule("b", "r.example/**", Fail(), Mode.WARN)), []),
        ((rule("a", "r.example/a", SIGNED, Mode.AUDIT), rule("b", "r.example/**", Fail())), []),
        ((rule("a", "r.example/a", Pass()), rule("b", "**", SIGNED)), ['rules[0]: rule "a" admits nothing: rule "b" is about all its images as well, and every rule that matches counts']),
        ((rule("a", "**", Pass()), rule("b", "r.example/a", SIGNED)), []),
        ((rule("a", "r.example/a", Pass()), rule("b", "**", SIGNED, Mode.WARN)), []),
        ((rule("a", "r.example/a", Pass()), rule("b", "**", Pass())), [f'rules[0]: rule "a" {SAME.format("b")}']),
        ((rule("a", "**", Pass()), rule("b", "**", Pass())), [f'rules[1]: rule "b" {SAME.format("a")}']),
        ((rule("a", "**", Fail()), rule("b", "r.example/a", Fail())), [f'rules[1]: rule "b" {SAME.format("a")}']),
        ((rule("a", "r.example/a", Fail()), rule("b", "**", Fail())), []),  # its message is the one that is read
        ((rule("a", "**", Pass(), Mode.WARN), rule("b", "**", Pass())), [f'rules[0]: rule "a" {SAME.format("b")}']),
    ],
)  # fmt: skip
def test_a_rule_is_found_where_another_one_leaves_it_nothing(rules: tuple[Rule, ...], found: list[str]) -> None:
    assert overlaps(*rules) == found


def test_the_same_signatures_are_the_same_only_where_outages_and_references_are() -> None:
    wide, narrow = MATCHES[1], MATCHES[2]
    outage = (Rule("a", narrow, SIGNED), Rule("b", wide, SIGNED, on_unavailable=OnUnavailable.ALLOW))
    reference = (Rule("a", narrow, SIGNED, match_reference=MatchReference.REPOSITORY), Rule("b", wide, SIGNED))
    for rules in (outage, reference):
        assert [path for path in overlaps(*rules) if path.startswith("rules[0]:")] == []
    equal = overlaps(Rule("a", narrow, SIGNED), Rule("b", wide, SIGNED))
    assert equal[0] == f'rules[0]: rule "a" {SAME.format("b")}'


def test_a_key_is_told_of_every_other_rule_that_has_it() -> None:
    both = Signatures((KEYS[1], KEYS[0]))
    assert overlaps(rule("a", "r.example/a", SIGNED), rule("b", "r.example/b", both)) == [
        'rules[1].authorities[1].key: is the key of rule "a" as well: whoever replaces it has to do so in both'
    ]


def test_a_key_is_told_whatever_else_is_among_the_rules_and_authorities() -> None:
    mixed = Signatures((keyless(TrustedRoot(Digest.of(b"root"))), KEYS[0]))
    found = overlaps(
        rule("a", "r.example/a", SIGNED), rule("b", "r.example/b", Pass()), rule("c", "r.example/c", mixed)
    )
    assert [each.partition(" is the key of ")[0] for each in found] == ["rules[2].authorities[1].key:"]
