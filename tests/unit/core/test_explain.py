"""What is explained is what is decided."""
# ruff: noqa: E501 (a table of cases, a line each)

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given

from gate.core.explain import explain
from gate.core.oci import Digest, Reference
from gate.core.policy import Context, Match, Mode, NoMatch, Pass, Policy, Rule, SourceChoice, Sources, Term
from tests.fakes.signing import NOW
from tests.unit.core.test_inclusion import CONTEXTS, IMAGES, MATCHES
from tests.unit.trust.policies import (
    BASE,
    DIGEST,
    EDGE,
    RULE,
    UNTIL,
    authorities,
    load,
    matching,
    prepare,
    rule,
    static,
)

IMAGE = Reference.parse("registry.example/acme/platform:v1")
EXCEPTION = f'exceptions: [{{image: "registry.example/acme/platform@{DIGEST}", reason: INC-1, until: {UNTIL}}}]\n'
AGAIN = RULE.removeprefix("rules:\n").replace("one", "again")


@given(MATCHES, IMAGES, CONTEXTS)
def test_a_rule_is_about_what_it_is_decided_to_be_about(match: Match, image: Reference, context: Context) -> None:
    policy = Policy(NoMatch.DENY, Sources(SourceChoice.DENY, SourceChoice.DENY), (Rule("r", match, Pass()),))
    for asked in (image, image.at(Digest.of(b"1"))):
        (explained,) = explain(policy, asked, context, NOW).rules
        assert (explained.mismatch is None) == match.matches(asked, context)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (static(), ["nothing satisfies it (static: fail)"]),
        (static("message: INC-9"), ['nothing satisfies it (static: fail): "INC-9"']),
        (static().replace("static: fail", "static: pass"), ["nothing is asked (static: pass)"]),
        (BASE, ["signed by:", '- "a": the key KEY']),
        (
            rule("matchReference: repository", "onUnavailable: allow"),
            [
                "signed by:",
                '- "a": the key KEY',
                "a signed payload that names a repository has to name this one (matchReference: repository)",
                "an outage of the registry admits (onUnavailable: allow)",
            ],
        ),
        (
            authorities("name: a, key: {file: a.pub}", "name: b, keyless: {identities: [{issuer: i, subject: s}]}"),
            [
                "signed by any of:",
                '- "a": the key KEY',
                '- "b": a certificate for "s" by the issuer "i", with a log entry',
            ],
        ),
        (
            authorities(
                "name: a, key: {file: a.pub}, trustRoot: sigstore, transparencyLog: required, signedTimestamp: required",
                "name: b, keyless: {identities: [{subjectRegExp: 's.*'}]}, trustRoot: {file: root.json}",
            )
            + "    require: {count: 2}\n",
            [
                "signed by 2 of, each a signer of its own:",
                '- "a": the key KEY, with a log entry and a timestamp',
                '- "b": a certificate for /s.*/ without an issuer, with a log entry',
            ],
        ),
        (
            rule("require: {all: [a]}"),
            ['signed by all of "a", each a signer of its own, of:', '- "a": the key KEY'],
        ),
        (
            authorities("name: a, key: {file: a.pub}", "name: b, keyless: {identities: [{issuer: i, subject: s}]}")
            + "    require: {all: [a, b]}\n",
            [
                'signed by all of "a", "b", each a signer of its own, of:',
                '- "a": the key KEY',
                '- "b": a certificate for "s" by the issuer "i", with a log entry',
            ],
        ),
    ],
)
def test_what_would_satisfy_a_rule_is_said(text: str, wanted: list[str], tmp_path: Path) -> None:
    policy = load(prepare(tmp_path), text)
    (explained,) = explain(policy, IMAGE, Context(), NOW).rules
    key = load(tmp_path, BASE).rules[0].requirement.authorities[0].identity
    assert list(explained.wanted) == [line.replace("KEY", key) for line in wanted]


@pytest.mark.parametrize(
    ("fields", "context", "mismatch"),
    [
        ('{images: ["r.example/**"]}', Context(), "none of its images matches"),
        ('{images: ["**"], kinds: [RootSync]}', Context(), "it looks at kinds, and --kind is not given"),
        ('{images: ["**"], kinds: [RootSync]}', Context("RepoSync"), 'none of its kinds is "RepoSync"'),
        ('{images: ["**"], namespaces: [a]}', Context(), "it looks at namespaces, and --namespace is not given"),
        ('{images: ["**"], namespaces: ["a*"]}', Context(namespace="b"), 'none of its namespaces is "b"'),
        ('{images: ["**"], names: [a]}', Context(name="b"), 'none of its names is "b"'),
        (f'{{images: ["**"], digests: ["{DIGEST}"]}}', Context(), "it names digests, and none is given"),
    ],
)
def test_why_a_rule_is_not_about_it_is_said(fields: str, context: Context, mismatch: str, tmp_path: Path) -> None:
    (explained,) = explain(load(prepare(tmp_path), matching(fields)), IMAGE, context, NOW).rules
    assert explained.mismatch == mismatch


def test_another_digest_is_not_one_that_the_rule_names(tmp_path: Path) -> None:
    policy = load(prepare(tmp_path), matching(f'{{images: ["**"], digests: ["{DIGEST}"]}}'))
    (explained,) = explain(policy, IMAGE.at(Digest.of(b"1")), Context(), NOW).rules
    assert explained.mismatch == "none of its digests is this one"


NO_RULE = "no-rule: no rule of the policy matches registry.example/other/x"


@pytest.mark.parametrize(
    ("text", "image", "conclusion", "hopeless"),
    [
        (BASE, "registry.example/acme/x", 'admitted if every enforce rule that matches is satisfied: "one"', False),
        (BASE + AGAIN, "registry.example/acme/x", 'admitted if every enforce rule that matches is satisfied: "one", "again"', False),
        (rule("mode: warn"), "registry.example/acme/x", "admitted: the rules that match only warn", False),
        (static(), "registry.example/acme/x", 'refused: rule "one" refuses it whoever signs it', True),
        (static("mode: warn"), "registry.example/acme/x", "admitted: the rules that match only warn", False),
        (BASE, "registry.example/other/x", f"{NO_RULE}; add a rule for it or sync another image", True),
        (rule("mode: audit"), "registry.example/acme/x", NO_RULE.replace("other", "acme") + "; add a rule for it or sync another image", True),
        (BASE.replace("noMatch: deny", "noMatch: allow"), "registry.example/other/x", "no-rule-allowed: no rule of the policy matches registry.example/other/x", False),
    ],
)  # fmt: skip
def test_what_follows_is_said(text: str, image: str, conclusion: str, hopeless: bool, tmp_path: Path) -> None:
    explanation = explain(load(prepare(tmp_path), text), Reference.parse(image), Context(), NOW)
    assert (explanation.conclusion, explanation.hopeless) == (conclusion, hopeless)


def test_an_exception_admits_while_it_lasts_and_is_told_afterwards(tmp_path: Path) -> None:
    policy = load(prepare(tmp_path), BASE + EXCEPTION)
    until = policy.exceptions[0].term.until
    asked = Reference.parse(f"registry.example/acme/platform@{DIGEST}")
    during = explain(policy, asked, Context(), until - timedelta(days=1))
    what = f"the exception for registry.example/acme/platform@{DIGEST}"
    assert during.leniency == (f'{what} admits until {UNTIL}: "INC-1"',)
    assert during.conclusion == "admitted, also where the rules refuse it, until what is said below ends"
    after = explain(policy, asked, Context(), until)
    assert after.leniency == (f"{what} until {UNTIL} has no effect: it is past",)
    assert after.conclusion == 'admitted if every enforce rule that matches is satisfied: "one"'
    assert explain(policy, IMAGE, Context(), until).leniency == ()


def test_no_exception_and_no_rollout_outweighs_a_rule_that_refuses(tmp_path: Path) -> None:
    policy = load(prepare(tmp_path), static() + EXCEPTION)
    until = policy.exceptions[0].term.until
    policy = replace(policy, rollout=Term(until, "first weeks"))
    asked = Reference.parse(f"registry.example/acme/platform@{DIGEST}")
    explanation = explain(policy, asked, Context(), until - timedelta(days=1))
    assert explanation.hopeless
    assert explanation.leniency[1] == f'the rollout admits until {UNTIL}: "first weeks"'


def test_an_exception_for_an_object_is_told_to_that_object_alone(tmp_path: Path) -> None:
    text = f"{BASE}exceptions: [{{repository: registry.example/acme/platform, {EDGE}, reason: x, until: {UNTIL}}}]\n"
    policy = load(prepare(tmp_path), text)
    edge = Context("RootSync", "config-management-system", "edge")
    assert len(explain(policy, IMAGE, edge, NOW).leniency) == 1
    assert explain(policy, IMAGE, replace(edge, name="other"), NOW).leniency == ()


def test_a_warn_rule_beside_an_enforced_one_is_not_counted_among_those_to_be_satisfied(tmp_path: Path) -> None:
    policy = load(prepare(tmp_path), BASE)
    warn = replace(policy.rules[0], name="two", mode=Mode.WARN)
    explanation = explain(replace(policy, rules=(*policy.rules, warn)), IMAGE, Context(), NOW)
    assert explanation.conclusion == 'admitted if every enforce rule that matches is satisfied: "one"'
