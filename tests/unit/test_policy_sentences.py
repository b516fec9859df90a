"""What the policy file promises, a sentence a test: from the text of a policy to the answer of a review."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gate.core.authorities import KeylessAuthority
from gate.core.certificates import Identity
from gate.core.deadline import Deadline
from gate.core.errors import ConfigError, UnavailableError
from gate.core.globs import ImageGlob
from gate.core.oci import Digest, Reference
from gate.core.policy import Context, Policy, Signatures
from gate.core.reasons import Reason
from gate.core.subjects import Image
from gate.fronts.review import Record, Reviewer
from tests.fakes import reviews
from tests.fakes.engine import HOST, REPOSITORY, Engine, running
from tests.fakes.reviews import Document, claim, git, helm, oci, review, sync
from tests.fakes.signing import signer
from tests.unit.trust.policies import load, prepare

TAG = f"{HOST}/{REPOSITORY}:v1"
HEAD = """\
apiVersion: gate/v1
kind: Policy
noMatch: deny
sources: {git: existing, helmHttp: deny, helmOci: deny}
"""
A = "authorities: [{name: a, key: {file: a.pub}}]"
B = "authorities: [{name: b, key: {file: b.pub}}]"
BOTH = "authorities: [{name: a, key: {file: a.pub}}, {name: b, key: {file: b.pub}}]"
OURS = 'match: {images: ["registry.example/acme/**"]}'
OUTAGE = UnavailableError(Reason.REGISTRY_UNREACHABLE, "no connection", outage=True)
SOON = "until: 2026-01-15T00:00:00Z"
ROOT_SYNC = "kind: RootSync, namespace: config-management-system, name: root-sync"
ROLLOUT = f"rollout: {{mode: warn, {SOON}, reason: first weeks}}\n"


class World:
    """A cluster with one policy at a time, a registry, and what gate recorded."""

    def __init__(self, engine: Engine, directory: Path) -> None:
        self.engine, self.directory = engine, directory
        self.records: list[Record] = []
        self.digest = engine.push()
        self.text = ""
        self.reviewer = Reviewer(engine.gate, lambda: self.policy, self.records.append)

    @property
    def policy(self) -> Policy:
        return load(self.directory, self.text)

    def sign(self, *names: str, reference: str = f"{HOST}/{REPOSITORY}") -> None:
        for name in names:
            key = signer("p256", "abc".index(name))
            key.sign_tag(self.engine.store, REPOSITORY, self.digest, reference=reference)
        self.engine.time += 6.0  # what was not found is looked for again

    def write(self, *rules: str, head: str = HEAD, more: str = "") -> None:
        """Write the policy down; each rule is its fields, a line each."""
        listed = "".join(
            f"  - name: rule-{number}\n" + "".join(f"    {line}\n" for line in rule.split("\n"))
            for number, rule in enumerate(rules)
        )
        self.text = f"{head}{more}rules:\n{listed}"

    def ask(self, document: Document) -> dict[str, Any]:
        reply = self.reviewer.answer(reviews.encode(document), Deadline.after(5, lambda: self.engine.time))
        response: dict[str, Any] = json.loads(reply.body)["response"]
        return response

    def poll(self, kind: str = "RootSync", **labels: str) -> dict[str, Any]:
        """Return the answer to a reconciler that is about to sync the image."""
        held = sync(oci(TAG), claim(f"{TAG}@{self.digest}"), kind=kind, labels=labels)
        return self.ask(reviews.poll(held))

    def admits(self, kind: str = "RootSync") -> bool:
        return self.poll(kind)["allowed"] is True

    @property
    def reason(self) -> object:
        return self.records[-1]["reason"]

    @property
    def verdicts(self) -> list[tuple[str, str]]:
        """What each rule said of the last image, before its mode."""
        decisions: Any = self.records[-1]["decisions"]
        return [(rule["name"], rule["verdict"]) for rule in decisions[-1]["rules"]]

    @property
    def refused(self) -> list[str]:
        decisions: Any = self.records[-1]["decisions"]
        return [each["refused"]["reason"] for each in decisions if each["refused"] is not None]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running() as engine:
        yield World(engine, prepare(tmp_path))


# The sentences under the example


def test_all_enforce_rules_that_match_must_pass(world: World) -> None:
    world.write(f"{OURS}\n{A}", f"{OURS}\n{B}", 'match: {images: ["other.example/**"]}\nstatic: fail')
    world.sign("a")
    assert not world.admits()
    assert world.verdicts == [("rule-0", "verified"), ("rule-1", "denied")]
    world.sign("b")
    assert world.admits()


def test_keys_rotate_inside_one_rule_where_any_authority_will_do(world: World) -> None:
    world.sign("b")
    world.write(f"{OURS}\n{A}")
    assert not world.admits()
    world.write(f"{OURS}\n{BOTH}")
    assert world.admits()
    world.write(f"{OURS}\n{B}")
    assert world.admits()


def test_a_warn_rule_admits_with_an_admission_warning(world: World) -> None:
    world.write(f"{OURS}\nmode: warn\n{A}")
    response = world.poll()
    assert response["allowed"] is True
    (warning,) = response["warnings"]
    assert warning.startswith('rule "rule-0" (warn): no signatures found for ')
    assert world.verdicts == [("rule-0", "denied")]
    world.sign("a")
    assert "warnings" not in world.poll()


def test_an_audit_rule_only_records(world: World) -> None:
    world.sign("a")
    world.write(f"{OURS}\n{A}", f"{OURS}\nmode: audit\n{B}")
    response = world.poll()
    assert response["allowed"] is True
    assert "warnings" not in response
    assert world.verdicts == [("rule-0", "verified"), ("rule-1", "denied")]


def test_an_audit_rule_never_counts_as_a_match(world: World) -> None:
    world.sign("a")
    world.write(f"{OURS}\nmode: audit\n{A}")
    assert not world.admits()
    assert world.reason == "no-rule"
    world.write(f"{OURS}\nmode: warn\n{A}")
    assert world.admits()


def test_rules_do_not_match_labels(world: World) -> None:
    world.write('match: {images: ["**"], labels: {team: platform}}\nstatic: pass')
    with pytest.raises(ConfigError, match=r"policy\.yaml:7: rules\[0\]\.match\.labels: is not a field"):
        assert world.policy
    world.write('match: {images: ["**"]}\nstatic: pass')
    assert world.poll(team="platform")["allowed"] is world.poll(team="other")["allowed"] is True


@pytest.mark.parametrize(
    "written",
    [
        "registry.example/acme/config",
        "REGISTRY.example/acme/config",
        "registry.example:443/acme/config",
        "registry.EXAMPLE:443/acme/*",
    ],
)
def test_references_are_canonical_before_matching(world: World, written: str) -> None:
    world.sign("a")
    world.write(f'match: {{images: ["{written}"]}}\n{A}')
    assert world.admits()


@pytest.mark.parametrize("image", ["nginx", "library/nginx", "docker.io/nginx", "index.docker.io/library/nginx:1"])
def test_docker_hub_is_canonical_before_matching(image: str) -> None:
    assert ImageGlob.parse("docker.io/nginx").matches(Reference.parse(image))
    assert not ImageGlob.parse("docker.io/acme/nginx").matches(Reference.parse(image))


def test_a_rollout_turns_denials_into_warnings(world: World) -> None:
    world.write(f"{OURS}\n{A}", more=ROLLOUT)
    response = world.poll()
    assert response["allowed"] is True
    assert [warning.partition(" ")[0] for warning in response["warnings"]] == ["rollout:"]
    assert world.refused == ["no-signature"]
    assert world.verdicts == [("rule-0", "denied")]
    world.engine.client.fail("*", OUTAGE)
    world.engine.time += 6.0
    assert world.admits()
    assert world.refused == ["registry-unreachable"]


def test_a_rollout_does_not_soften_malformed(world: World) -> None:
    world.write(f"{OURS}\n{A}", more=ROLLOUT)
    response = world.ask(reviews.poll(sync(oci(TAG), {reviews.SOURCE_URL: TAG})))
    assert response["allowed"] is False
    assert world.reason == "malformed"


def test_a_rollout_does_not_soften_static_fail(world: World) -> None:
    known_bad = f'match: {{images: ["**"], digests: ["{world.digest}"]}}\nstatic: fail\nmessage: rolled back, see INC-9'
    world.write(f"{OURS}\n{A}", known_bad, more=ROLLOUT)
    response = world.poll()
    assert response["allowed"] is False
    assert response["status"]["message"].startswith('static-fail: rule "rule-1" refuses ')
    assert '"rolled back, see INC-9"' in response["status"]["message"]


def test_a_rollout_does_not_soften_internal(world: World) -> None:
    world.write(f"{OURS}\n{A}", more=ROLLOUT)
    held = sync(oci(TAG), claim(f"{TAG}@{world.digest}"))
    reply = world.reviewer.refuse(reviews.encode(reviews.poll(held)), Reason.INTERNAL, "internal: a bug")
    assert json.loads(reply.body)["response"]["allowed"] is False


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ("until: 2026-01-15T00:00:00Z", "it gives no reason"),
        ('until: 2026-01-15T00:00:00Z, reason: "  "', "it gives no reason"),
        ("until: 2025-12-31T00:00:00Z, reason: x", "it is past"),
        ("until: 2026-02-01T00:00:00Z, reason: x", "it ends more than 30 days ahead"),
    ],
)
def test_an_exception_or_rollout_without_reason_past_or_too_far_ahead_has_no_effect_and_is_reported(
    world: World, fields: str, why: str
) -> None:
    exception = f'exceptions: [{{image: "{HOST}/{REPOSITORY}@{world.digest}", {fields}}}]\n'
    for what, more in (("the exception for ", exception), ("the rollout ", f"rollout: {{mode: warn, {fields}}}\n")):
        world.write(f"{OURS}\n{A}", more=more)
        response = world.poll()
        assert response["allowed"] is False
        assert f"; {what}" in response["status"]["message"]
        assert response["status"]["message"].endswith(f"Z has no effect: {why}")
        (reported,) = world.policy.without_effect(world.engine.gate.now())
        assert reported.startswith(what)
        assert reported.endswith(why)


def test_what_is_left_out_has_its_default(world: World) -> None:
    world.write(f"{OURS}\n{BOTH}")
    assert not world.admits()  # mode: enforce
    world.sign("a", reference="other.example/another")  # require: {count: 1}, matchReference: ignore
    assert world.admits()
    assert world.ask(review(sync(oci(TAG))))["allowed"] is True  # requireDigest: false


def test_an_unknown_or_unimplemented_field_is_an_error_that_names_its_path_and_line(world: World) -> None:
    world.write(f"{OURS}\n{A}\nattestations: []")
    with pytest.raises(ConfigError, match=r"^policy\.yaml:9: rules\[0\]\.attestations: is not a field that gate knows"):
        assert world.policy


MANDATORY = {
    "noMatch": ("noMatch: deny\n", ""),
    "sources": ("sources: {git: existing, helmHttp: deny, helmOci: deny}\n", ""),
    "sources.git": ("git: existing, ", ""),
    "sources.helmHttp": ("helmHttp: deny, ", ""),
    "sources.helmOci": (", helmOci: deny", ""),
    "rules[0].name": ("- name: rule-0", "- mode: enforce"),
    "rules[0].match": ("    " + OURS + "\n", ""),
    "rules[0].match.images": (OURS, "match: {}"),
    "rules[0]": ("    " + A + "\n", ""),
    "rules[0].authorities[0].name": ("{name: a, ", "{"),
    "rules[0].authorities[0]": (", key: {file: a.pub}", ""),
}


@pytest.mark.parametrize("field", MANDATORY)
def test_what_is_mandatory_is_missed_by_its_name(world: World, field: str) -> None:
    world.write(f"{OURS}\n{A}")
    assert world.policy
    world.text = world.text.replace(*MANDATORY[field])
    with pytest.raises(ConfigError) as caught:
        assert world.policy
    assert f": {field}: " in caught.value.message
    assert "is missing, expected" in caught.value.message or "found neither" in caught.value.message


def test_the_same_key_twice_is_an_error_within_a_rule_and_none_across_rules(world: World) -> None:
    world.write(f"{OURS}\n{A}", f"{OURS}\n{A}")
    assert len(world.policy.rules) == 2
    world.write(f"{OURS}\n{BOTH.replace('b.pub', 'a.pub')}")
    with pytest.raises(ConfigError, match=r"found the key of .* a second time, expected another key"):
        assert world.policy


def test_timestamps_may_be_quoted(world: World) -> None:
    for written in ("2026-01-15T00:00:00Z", '"2026-01-15T00:00:00Z"', "'2026-01-15T01:00:00+01:00'"):
        world.write(f"{OURS}\n{A}", more=f"rollout: {{mode: warn, until: {written}, reason: x}}\n")
        assert world.policy.rollout is not None
        assert world.policy.rollout.until == datetime(2026, 1, 15, tzinfo=UTC)


@pytest.mark.parametrize("subject", ["me", "mee", "ame", "a|me"])
def test_regexps_are_whole_string(world: World, subject: str) -> None:
    world.write(
        f"{OURS}\nauthorities: [{{name: a, keyless: {{identities: [{{issuer: i, subjectRegExp: 'you|me'}}]}}}}]"
    )
    requirement = world.policy.rules[0].requirement
    assert isinstance(requirement, Signatures)
    (only,) = requirement.authorities
    assert isinstance(only, KeylessAuthority)
    assert only.identities[0].accepts(Identity(subject, "i")) is (subject == "me")


# The comments of the example


@pytest.mark.parametrize(
    ("choice", "allowed", "warned"), [("deny", False, False), ("warn", True, True), ("allow", True, False)]
)
def test_no_match_is_for_where_no_enforce_or_warn_rule_matches(
    world: World, choice: str, allowed: bool, warned: bool
) -> None:
    head = HEAD.replace("noMatch: deny", f"noMatch: {choice}")
    world.write('match: {images: ["other.example/**"]}\nstatic: fail', f"{OURS}\nmode: audit\nstatic: fail", head=head)
    response = world.poll()
    assert response["allowed"] is allowed
    assert ("warnings" in response) is warned
    assert world.reason == ("no-rule-allowed" if allowed else "no-rule")
    world.write(f"{OURS}\n{A}", head=head)
    assert not world.admits()


@pytest.mark.parametrize(
    ("choice", "new", "held"), [("allow", True, True), ("existing", False, True), ("deny", False, False)]
)
@pytest.mark.parametrize("name", ["git", "helmHttp"])
def test_existing_is_only_what_is_of_that_kind_already(
    world: World, name: str, choice: str, new: bool, held: bool
) -> None:
    open_sources = "git: allow, helmHttp: allow, helmOci: deny"
    sources = open_sources.replace(f"{name}: allow", f"{name}: {choice}")
    world.write(f"{OURS}\n{A}", head=HEAD.replace("git: existing, helmHttp: deny, helmOci: deny", sources))
    before, after = {
        "git": (git("https://git.example.com/a"), git("https://git.example.com/b")),
        "helmHttp": (helm("https://charts.example.com/a"), helm("https://charts.example.com/b")),
    }[name]
    assert world.ask(review(sync(after)))["allowed"] is new
    assert world.ask(review(sync(after), sync(oci(TAG))))["allowed"] is new
    assert world.ask(review(sync(after), sync(before)))["allowed"] is held


def test_helm_oci_is_denied_or_resolved(world: World) -> None:
    chart = sync(helm(f"oci://{HOST}/acme", "1.0.0", "config"))
    world.digest = world.engine.push("1.0.0", "chart")
    world.sign("a")
    world.write(f"{OURS}\n{A}")
    assert world.ask(review(chart))["allowed"] is False
    assert world.reason == "helm-oci"
    world.write(f"{OURS}\n{A}", head=HEAD.replace("helmOci: deny", "helmOci: resolve"))
    assert world.ask(review(chart))["allowed"] is True
    assert world.reason == "verified"


def test_require_digest_wants_the_image_to_carry_one(world: World) -> None:
    world.sign("a")
    world.write(f"{OURS}\n{A}", head=HEAD.replace("helmOci: deny", "helmOci: deny, requireDigest: true"))
    assert not world.admits()
    assert world.reason == "digest-required"
    assert world.ask(review(sync(oci(f"{HOST}/{REPOSITORY}@{world.digest}"))))["allowed"] is True


@pytest.mark.parametrize(
    ("fields", "matches"),
    [
        ("", True),
        (", kinds: [RootSync]", True),
        (", kinds: [RepoSync]", False),
        (', namespaces: ["config-*"]', True),
        (", namespaces: [team-a]", False),
        (", names: [root-sync]", True),
        (', names: ["*-2"]', False),
        (", kinds: [RootSync], names: [other]", False),
        (', digests: ["DIGEST"]', True),
        (f', digests: ["{Digest.of(b"other")}"]', False),
    ],
)
def test_all_that_is_given_must_match(world: World, fields: str, matches: bool) -> None:
    world.write(f'match: {{images: ["**"]{fields}}}\nstatic: pass'.replace("DIGEST", str(world.digest)))
    assert world.admits() is matches
    assert world.reason == ("static-pass" if matches else "no-rule")


@pytest.mark.parametrize(
    ("glob", "matches"),
    [
        ("registry.example/acme/*", True),
        ("registry.example/*", False),
        ("registry.example/**", True),
        ("*.example/acme/conf*", True),
        ("*.other/acme/config", False),
        ("**", True),
    ],
)
def test_a_star_is_within_a_segment_and_two_are_across(world: World, glob: str, matches: bool) -> None:
    world.write(f'match: {{images: ["{glob}"]}}\nstatic: pass')
    assert world.admits() is matches


@pytest.mark.parametrize(
    ("wanted", "by", "reason"),
    [
        ("{count: 1}", "a", "verified"),
        ("{count: 1}", "c", "untrusted"),
        ("{count: 2}", "a", "not-enough-signers"),
        ("{count: 2}", "aa", "not-enough-signers"),
        ("{count: 2}", "ab", "verified"),
        ("{all: [a]}", "b", "not-enough-signers"),
        ("{all: [a]}", "a", "verified"),
        ("{all: [b, a]}", "a", "not-enough-signers"),
        ("{all: [b, a]}", "ab", "verified"),
    ],
)
def test_a_rule_requires_a_count_of_signers_or_all_of_some_names(
    world: World, wanted: str, by: str, reason: str
) -> None:
    world.sign(*by)
    world.write(f"{OURS}\nrequire: {wanted}\n{BOTH}")
    assert world.admits() is (reason == "verified")
    assert world.reason == reason


def test_the_repository_named_in_the_signed_payload_must_be_this_one_where_it_names_one(world: World) -> None:
    world.sign("a", reference="registry.example/acme/another")
    world.write(f"{OURS}\n{A}")
    assert world.admits()
    world.write(f"{OURS}\nmatchReference: repository\n{A}")
    assert not world.admits()
    world.sign("a")
    assert world.admits()


def test_on_unavailable_allow_admits_in_an_outage_and_the_record_says_failed_open(world: World) -> None:
    world.engine.client.fail("*", OUTAGE)
    world.write(f"{OURS}\n{A}")
    assert not world.admits()
    world.write(f"{OURS}\nonUnavailable: allow\n{A}")
    assert world.admits()
    assert world.reason == "failed-open"


@pytest.mark.parametrize(
    "exception",
    [
        'image: "registry.example/acme/config@DIGEST"',
        f"repository: registry.example/acme/config, {ROOT_SYNC}",
    ],
    ids=["image", "object"],
)
def test_an_exception_is_dated_and_narrow_and_recorded_at_every_use_and_fail_beats_it(
    world: World, exception: str
) -> None:
    written = exception.replace("DIGEST", str(world.digest))
    more = f"exceptions: [{{{written}, reason: INC-123, {SOON}}}]\n"
    world.write(f"{OURS}\n{A}", more=more)
    assert world.admits()
    assert (world.reason, world.refused) == ("exception", ["no-signature"])
    assert world.admits()
    assert (world.reason, world.refused) == ("exception", ["no-signature"])
    assert world.admits("RepoSync") is written.startswith("image")
    world.write(f"{OURS}\n{A}", f"{OURS}\nstatic: fail", more=more)
    assert not world.admits()
    assert world.reason == "static-fail"
    world.write(f"{OURS}\n{A}", more=more)
    world.digest = world.engine.push("v2", "another")
    assert world.admits() is written.startswith("repository")


def test_a_rule_is_matched_before_any_registry_is_asked(world: World) -> None:
    world.write('match: {images: ["other.example/**"]}\nstatic: pass')
    world.engine.client.requests.clear()
    assert not world.admits()
    decision = world.engine.gate.decide(
        world.policy, Image(Reference.parse(TAG)), Context(), Deadline.after(5, lambda: world.engine.time)
    )
    assert decision.verdict.reason is Reason.NO_RULE
    assert world.engine.client.requests == []
