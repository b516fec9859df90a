"""The service: one resolution, no request that no rule asks for, and every outcome of a registry in the verdict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gate.core.authorities import KeyAuthority
from gate.core.deadline import Deadline
from gate.core.errors import UnavailableError
from gate.core.globs import ImageGlob
from gate.core.keys import parse_public_key
from gate.core.manifests import OCI_INDEX
from gate.core.oci import Digest, Reference
from gate.core.policy import (
    Context,
    Fail,
    Match,
    Mode,
    NoMatch,
    OnUnavailable,
    Pass,
    Policy,
    Requirement,
    Rule,
    Signatures,
    SourceChoice,
    Sources,
    Term,
    single_key_policy,
)
from gate.core.reasons import Reason
from gate.core.subjects import Claimed, Image
from gate.core.verdict import Denied, Exempt, Unavailable, Verified
from gate.demo import layouts
from gate.demo.signer import Signer
from gate.registry.evidence import RegistrySource
from gate.service import Gate
from tests.fakes.engine import HOST, POLICY, REPOSITORY, SIGNER, Engine, running

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def setup() -> Iterator[Engine]:
    with running() as engine:
        yield engine


def one_rule(requirement: Requirement, images: str = "**") -> Policy:
    sources = Sources(SourceChoice.ALLOW, SourceChoice.ALLOW)
    return Policy(NoMatch.DENY, sources, (Rule("r", Match((ImageGlob.parse(images),)), requirement),))


def test_a_signed_tag_is_resolved_once_and_verified(setup: Engine) -> None:
    digest = setup.push()
    SIGNER.sign_tag(setup.store, REPOSITORY, digest)
    decision = setup.ask(f"{HOST}/{REPOSITORY}:v1")
    assert isinstance(decision.verdict, Verified)
    assert decision.subject == Reference(HOST, REPOSITORY, digest=digest)
    assert sum(path.endswith("/manifests/v1") for path in setup.client.requests) == 1


def test_an_image_without_tag_and_digest_is_the_latest(setup: Engine) -> None:
    setup.push("latest")
    assert isinstance(setup.ask(f"{HOST}/{REPOSITORY}").verdict, Denied)
    assert setup.client.requests[0].endswith("/manifests/latest")


def test_a_digest_that_is_given_is_not_fetched(setup: Engine) -> None:
    digest = setup.push()
    SIGNER.sign_tag(setup.store, REPOSITORY, digest)
    assert setup.ask(f"{HOST}/{REPOSITORY}:v1@{digest}").admits
    assert not any(path.endswith(("/v1", f"/manifests/{digest}")) for path in setup.client.requests)


def test_a_tag_that_no_rule_is_about_is_not_asked_for(setup: Engine) -> None:
    setup.push()
    verdict = setup.ask(f"{HOST}/{REPOSITORY}:v1", one_rule(Pass(), "other.example/**")).verdict
    assert isinstance(verdict, Denied)
    assert verdict.reason is Reason.NO_RULE
    assert setup.client.requests == []


def test_a_tag_that_is_not_there_is_not_found(setup: Engine) -> None:
    verdict = setup.ask(f"{HOST}/{REPOSITORY}:gone").verdict
    assert isinstance(verdict, Denied)
    assert verdict.reason is Reason.NOT_FOUND
    assert verdict.message.startswith(f"not-found: the registry has no {HOST}/{REPOSITORY}:gone")


def test_a_tag_that_names_no_manifest_is_malformed(setup: Engine) -> None:
    setup.store.push_manifest(REPOSITORY, b"[]", tag="v1")
    verdict = setup.ask(f"{HOST}/{REPOSITORY}:v1").verdict
    assert isinstance(verdict, Denied)
    assert verdict.reason is Reason.MALFORMED


def test_an_index_can_be_a_subject(setup: Engine) -> None:
    digest = setup.store.push_manifest(REPOSITORY, layouts.index([]), OCI_INDEX, tag="v1")
    SIGNER.sign_bundle(setup.store, REPOSITORY, digest)
    assert setup.ask(f"{HOST}/{REPOSITORY}:v1").admits


def test_a_tag_that_cannot_be_read_is_unavailable(setup: Engine) -> None:
    setup.client.fail("*/v1", UnavailableError(Reason.REGISTRY_UNAUTHORIZED, "the registry answered 401"))
    verdict = setup.ask(f"{HOST}/{REPOSITORY}:v1").verdict
    assert isinstance(verdict, Unavailable)
    assert verdict.reason is Reason.REGISTRY_UNAUTHORIZED
    assert verdict.message.startswith("registry-unauthorized: ")


def test_a_host_that_may_not_be_contacted_is_unavailable(setup: Engine) -> None:
    def source(host: str, named: bool) -> RegistrySource:
        raise UnavailableError(Reason.REGISTRY_ADDRESS, f"{host} is private")

    gate = Gate(source, lambda: NOW)
    image = Reference.parse(f"{HOST}/x@{Digest.of(b'')}")
    verdict = gate.decide(POLICY, Image(image), Context(), Deadline.after(5, lambda: 0.0)).verdict
    assert isinstance(verdict, Unavailable)
    assert verdict.reason is Reason.REGISTRY_ADDRESS


@pytest.mark.parametrize(
    ("policy", "kind"),
    [
        (one_rule(Pass()), Exempt),
        (one_rule(Fail()), Denied),
        (one_rule(Signatures((POLICY.rules[0].requirement.authorities[0],)), "other.example/**"), Denied),  # type: ignore[union-attr]  # it is Signatures
    ],
)
def test_no_request_is_made_that_no_rule_asks_for(setup: Engine, policy: Policy, kind: type) -> None:
    assert isinstance(setup.ask(f"{HOST}/{REPOSITORY}@{Digest.of(b'')}", policy).verdict, kind)
    assert setup.client.requests == []


def test_a_host_written_in_the_policy_is_named_by_the_operator_and_another_is_not(setup: Engine) -> None:
    authority = KeyAuthority("release", parse_public_key(SIGNER.public_pem))
    policy = one_rule(Signatures((authority,)), f"{HOST}/**")
    setup.ask(f"{HOST}/{REPOSITORY}@{Digest.of(b'')}", policy)
    setup.ask(f"tenant.example/{REPOSITORY}@{Digest.of(b'')}", policy)
    assert setup.hosts[0] == (HOST, True)
    assert (("tenant.example", True)) not in setup.hosts


def test_what_was_proved_is_not_asked_for_again_and_stands_while_the_registry_is_down(setup: Engine) -> None:
    digest = setup.push()
    SIGNER.sign_tag(setup.store, REPOSITORY, digest)
    first = setup.ask(f"{HOST}/{REPOSITORY}@{digest}")
    asked = len(setup.client.requests)
    setup.time, _ = 3600.0, setup.client.fail("*", UnavailableError(Reason.REGISTRY_ERROR, "503", outage=True))
    second = setup.ask(f"{HOST}/{REPOSITORY}@{digest}")
    assert (first.admits, first.kept) == (True, False)
    assert (second.admits, second.kept) == (True, True)
    assert len(setup.client.requests) == asked


def test_a_key_that_is_no_longer_trusted_is_refused_at_the_next_question(setup: Engine) -> None:
    digest = setup.push()
    SIGNER.sign_tag(setup.store, REPOSITORY, digest)
    assert setup.ask(f"{HOST}/{REPOSITORY}@{digest}").admits
    other = single_key_policy(KeyAuthority("other", parse_public_key(Signer.generate().public_pem)))
    verdict = setup.ask(f"{HOST}/{REPOSITORY}@{digest}", other).verdict
    assert verdict.reason is Reason.UNTRUSTED


def test_a_new_signature_is_seen_after_five_seconds_and_not_asked_for_before(setup: Engine) -> None:
    digest = setup.push()
    assert setup.ask(f"{HOST}/{REPOSITORY}@{digest}").verdict.reason is Reason.NO_SIGNATURE
    SIGNER.sign_tag(setup.store, REPOSITORY, digest)
    setup.time = 4.9
    assert setup.ask(f"{HOST}/{REPOSITORY}@{digest}").verdict.reason is Reason.NO_SIGNATURE
    setup.time = 5.1
    assert setup.ask(f"{HOST}/{REPOSITORY}@{digest}").admits


def test_what_could_not_be_read_is_asked_for_again_at_once(setup: Engine) -> None:
    digest = setup.push()
    SIGNER.sign_tag(setup.store, REPOSITORY, digest)
    setup.client.fail("*", UnavailableError(Reason.REGISTRY_ERROR, "503", outage=True))
    assert isinstance(setup.ask(f"{HOST}/{REPOSITORY}@{digest}").verdict, Unavailable)
    setup.client.recover()
    assert setup.ask(f"{HOST}/{REPOSITORY}@{digest}").admits


def test_a_registry_that_is_not_asked_at_all_may_hold_what_a_rule_refuses_by_digest() -> None:
    def source(host: str, _named: bool) -> RegistrySource:
        raise UnavailableError(Reason.REGISTRY_ADDRESS, f"{host} is private")

    gate = Gate(source, lambda: NOW)
    bad = Match((ImageGlob.parse("**"),), digests=(Digest.of(b"bad"),))
    rolling = replace(POLICY, rollout=Term(NOW + timedelta(days=1), "first weeks"))
    known_bad = replace(rolling, rules=(*rolling.rules, Rule("known-bad", bad, Fail())))
    tag = Reference.parse(f"{HOST}/{REPOSITORY}:v1")
    pin, child = tag.at(Digest.of(b"index")), Digest.of(b"child")
    for subject, decided in ((Image(pin), False), (Claimed(tag, child), False), (Claimed(pin, child), True)):
        for policy, admits in ((rolling, True), (known_bad, decided)):
            assert gate.decide(policy, subject, Context(), Deadline.after(5, lambda: 0.0)).admits is admits


def failing_open() -> Policy:
    authority = KeyAuthority("release", parse_public_key(SIGNER.public_pem))
    everything = Match((ImageGlob.parse("**"),))
    rule = Rule("r", everything, Signatures((authority,)), on_unavailable=OnUnavailable.ALLOW)
    return Policy(NoMatch.DENY, Sources(SourceChoice.ALLOW, SourceChoice.ALLOW), (rule,))


def test_a_registry_that_is_down_fails_open_where_the_rule_says_so(setup: Engine) -> None:
    setup.client.fail("*", UnavailableError(Reason.REGISTRY_UNREACHABLE, "refused", outage=True))
    assert setup.ask(f"{HOST}/{REPOSITORY}@{setup.push()}", failing_open()).verdict.reason is Reason.FAILED_OPEN


@pytest.mark.parametrize("slow", ["*/blobs/*", "*/manifests/sha256:*"])
def test_what_somebody_pushed_and_takes_too_long_does_not_fail_open(setup: Engine, slow: str) -> None:
    digest = setup.push()
    Signer.generate().sign_bundle(setup.store, REPOSITORY, digest)
    setup.client.fail(slow, UnavailableError(Reason.DEADLINE, "the deadline passed", outage=True))
    verdict = setup.ask(f"{HOST}/{REPOSITORY}@{digest}", failing_open()).verdict
    assert isinstance(verdict, Unavailable)


def test_a_review_with_too_little_time_does_not_fail_open(setup: Engine) -> None:
    digest = setup.push()
    gate = Gate(setup.source, lambda: NOW)
    image = Reference.parse(f"{HOST}/{REPOSITORY}@{digest}")
    verdict = gate.decide(failing_open(), Image(image), Context(), Deadline(at=0.0, clock=lambda: 0.0)).verdict
    assert isinstance(verdict, Unavailable)
    assert verdict.reason is Reason.DEADLINE


def test_what_only_a_warning_admits_is_looked_for_again(setup: Engine) -> None:
    authority = KeyAuthority("release", parse_public_key(SIGNER.public_pem))
    rule = Rule("r", Match((ImageGlob.parse("**"),)), Signatures((authority,)), Mode.WARN)
    policy = Policy(NoMatch.DENY, Sources(SourceChoice.ALLOW, SourceChoice.ALLOW), (rule,))
    image = f"{HOST}/{REPOSITORY}@{setup.push()}"
    assert setup.ask(image, policy).verdict.reason is Reason.WARNED
    SIGNER.sign_tag(setup.store, REPOSITORY, Digest.parse(image.partition("@")[2]))
    setup.time = 6.0
    assert setup.ask(image, policy).verdict.reason is Reason.VERIFIED
