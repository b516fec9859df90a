"""What is looked at, in which order: indexes and their manifests, pins and tags, rules by digest, and charts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gate.core import limits
from gate.core.authorities import KeyAuthority
from gate.core.deadline import Deadline
from gate.core.errors import UnavailableError
from gate.core.globs import ImageGlob
from gate.core.keys import PublicKey, parse_public_key
from gate.core.manifests import OCI_INDEX, Descriptor
from gate.core.oci import Digest, Reference
from gate.core.policy import (
    Context,
    Fail,
    ImageException,
    Match,
    Mode,
    NoMatch,
    OnUnavailable,
    Pass,
    Policy,
    Requirement,
    Rule,
    Signatures,
    Term,
    single_key_policy,
)
from gate.core.reasons import Reason
from gate.core.subjects import Chart, Claimed, Image
from gate.core.verdict import Decision, Denied, Exempt, Unavailable, Verified
from gate.demo import layouts
from gate.demo.signer import Signer
from gate.registry.client import Document
from gate.registry.referrers import Listed
from tests.fakes.engine import HOST, POLICY, REPOSITORY, SIGNER, Engine, running
from tests.fakes.registry import StoreClient

IMAGE = f"{HOST}/{REPOSITORY}"
TAGGED = Reference.parse(f"{IMAGE}:v1")
OTHER = Signer.generate()
EVERYTHING = (ImageGlob.parse("**"),)
OUTAGE = UnavailableError(Reason.REGISTRY_ERROR, "the registry answered 503", outage=True)
FORBIDDEN = UnavailableError(Reason.REGISTRY_UNAUTHORIZED, "the registry answered 403")
RELEASE = Signatures((KeyAuthority("release", parse_public_key(SIGNER.public_pem)),))
STRANGER = Signatures((KeyAuthority("other", parse_public_key(OTHER.public_pem)),))


@pytest.fixture
def engine() -> Iterator[Engine]:
    with running() as engine:
        yield engine


def rule(requirement: Requirement, *digests: Digest, mode: Mode = Mode.ENFORCE, opens: bool = False) -> Rule:
    outage = OnUnavailable.ALLOW if opens else OnUnavailable.DENY
    return Rule(f"{requirement} {digests}", Match(EVERYTHING, digests=digests), requirement, mode, outage)


def policy(*rules: Rule) -> Policy:
    return replace(POLICY, rules=rules)


def at(digest: Digest, tag: str = "") -> Reference:
    return Reference.parse(f"{IMAGE}{tag}@{digest}")


def sign(engine: Engine, *digests: Digest) -> None:
    for digest in digests:
        SIGNER.sign_tag(engine.store, REPOSITORY, digest)


def claimed_of_tag(engine: Engine, digest: Digest, policy: Policy = POLICY) -> Decision:
    return engine.decide(Claimed(TAGGED, digest), policy)


def claimed_of_pin(engine: Engine, pin: Digest, digest: Digest, policy: Policy = POLICY) -> Decision:
    return engine.decide(Claimed(at(pin), digest), policy)


def multi_platform(engine: Engine, **members: object) -> tuple[Digest, Digest, Digest]:
    """Push an index under v1 and return its digest, that of its manifest for linux/amd64, and that of the other."""
    arm64, amd64 = engine.push(None, "arm64"), engine.push(None, "amd64")
    return engine.push_index(arm64, amd64, **members), amd64, arm64


# What is claimed of a tag


def test_a_child_that_is_signed_itself_costs_no_look_at_the_index(engine: Engine) -> None:
    _, child, _ = multi_platform(engine)
    sign(engine, child)
    decision = claimed_of_tag(engine, child)
    assert isinstance(decision.verdict, Verified)
    assert (decision.subject, decision.index) == (at(child), None)
    assert "v1" not in engine.names
    assert len(engine.names) == 4  # three places and the payload


@pytest.mark.parametrize("layout", ["tag", "bundle"])
def test_the_index_that_the_tag_names_vouches_for_what_it_lists(engine: Engine, layout: str) -> None:
    index, child, other = multi_platform(engine)
    getattr(SIGNER, f"sign_{layout}")(engine.store, REPOSITORY, index)
    for digest in (child, other):
        decision = claimed_of_tag(engine, digest)
        assert isinstance(decision.verdict, Verified)
        assert (decision.subject, decision.index) == (at(digest), index)
        assert f"{at(digest)} is listed by index {index}, which is signed" in decision.verdict.message


def test_a_claim_without_a_tag_is_of_the_latest(engine: Engine) -> None:
    index, child, _ = multi_platform(engine)
    engine.store.tag(REPOSITORY, "latest", index)
    sign(engine, index)
    assert engine.decide(Claimed(Reference.parse(IMAGE), child)).admits


def test_a_signed_index_does_not_vouch_for_what_it_does_not_list(engine: Engine) -> None:
    index, *_ = multi_platform(engine)
    sign(engine, index)
    evil = engine.push(None, "evil")
    decision = claimed_of_tag(engine, evil)
    assert decision.verdict.reason is Reason.NO_SIGNATURE
    assert decision.index is None
    assert str(evil) in decision.verdict.message


def test_a_signed_index_that_the_tag_does_not_name_vouches_for_nothing(engine: Engine) -> None:
    index, child, _ = multi_platform(engine)
    sign(engine, index)
    engine.push("v1", "something else")
    assert claimed_of_tag(engine, child).verdict.reason is Reason.NO_SIGNATURE


def test_an_index_that_lists_something_new_has_to_be_signed_anew(engine: Engine) -> None:
    index, child, _ = multi_platform(engine)
    sign(engine, index)
    assert claimed_of_tag(engine, child).admits
    evil = engine.push(None, "evil")
    moved = engine.push_index(child, evil)
    engine.time = 10.0
    for digest in (child, evil):
        decision = claimed_of_tag(engine, digest)
        assert decision.verdict.reason is Reason.NO_SIGNATURE
        assert str(moved) in decision.verdict.message


def test_an_index_does_not_vouch_for_what_only_an_index_in_it_lists(engine: Engine) -> None:
    inner, child, _ = multi_platform(engine)
    entry = layouts.descriptor_fields(Descriptor(OCI_INDEX, inner, 1))
    outer = engine.store.push_manifest(REPOSITORY, layouts.index([entry]), OCI_INDEX, tag="v1")
    sign(engine, outer)
    assert claimed_of_tag(engine, child).verdict.reason is Reason.NO_SIGNATURE
    assert claimed_of_pin(engine, outer, child).verdict.reason is Reason.SOURCE_MISMATCH


@pytest.mark.parametrize("named", ["image", "itself", "nothing", "garbage"])
def test_where_the_tag_names_no_index_the_digest_is_judged_alone(engine: Engine, named: str) -> None:
    digest = engine.push("v1" if named == "itself" else None, "a")
    if named == "image":
        engine.push("v1", "b")
    elif named == "garbage":
        engine.store.push_manifest(REPOSITORY, b"{", tag="v1")
    assert claimed_of_tag(engine, digest).verdict.reason is Reason.NO_SIGNATURE
    sign(engine, digest)
    engine.time = 10.0
    assert claimed_of_tag(engine, digest).admits


def test_a_tag_that_cannot_be_read_makes_it_unavailable_unless_it_is_proved(engine: Engine) -> None:
    _, child, _ = multi_platform(engine)
    engine.client.fail("*/manifests/v1", OUTAGE)
    verdict = claimed_of_tag(engine, child).verdict
    assert isinstance(verdict, Unavailable)
    assert (verdict.reason, verdict.outage) == (Reason.REGISTRY_ERROR, True)
    sign(engine, child)
    engine.time = 10.0
    assert claimed_of_tag(engine, child).admits


def test_an_index_of_too_many_manifests_cannot_be_read(engine: Engine) -> None:
    children = [engine.push(None, str(number)) for number in range(257)]
    index = engine.push_index(*children)
    sign(engine, index)
    verdict = claimed_of_tag(engine, children[1]).verdict
    assert isinstance(verdict, Unavailable)
    assert (verdict.reason, verdict.outage) == (Reason.LIMIT, False)
    assert engine.push_index(*children[:256], tag="v2")
    assert engine.decide(Claimed(Reference.parse(f"{IMAGE}:v2"), children[255])).verdict.reason is Reason.NO_SIGNATURE


@pytest.mark.parametrize("broken", ["referrers", "sig"])
def test_what_the_index_proves_stands_whatever_could_not_be_read_of_the_child(engine: Engine, broken: str) -> None:
    index, child, _ = multi_platform(engine)
    sign(engine, index)
    engine.client.fail(f"*/referrers/{child}" if broken == "referrers" else f"*/{child.tag}.sig", FORBIDDEN)
    assert claimed_of_tag(engine, child).admits
    assert engine.names.count(f"{child.tag}.sig") == 1  # what cannot be read is not asked for twice


def test_what_could_not_be_read_of_the_index_makes_it_unavailable(engine: Engine) -> None:
    index, child, _ = multi_platform(engine)
    engine.client.fail(f"*/referrers/{index}", FORBIDDEN)
    verdict = claimed_of_tag(engine, child).verdict
    assert isinstance(verdict, Unavailable)
    assert verdict.reason is Reason.REGISTRY_UNAUTHORIZED


@pytest.mark.parametrize(("late", "verdict"), [(0.4, Verified), (0.5, Unavailable)])
def test_what_came_late_is_judged_for_half_a_second(engine: Engine, late: float, verdict: type) -> None:
    sign(engine, engine.push())
    engine.ask(f"{IMAGE}:v1")  # and now it is known
    question = replace(engine.gate, check=PublicKey.verify)
    deadline = Deadline(engine.time - late, lambda: engine.time)
    digest = Reference.parse(f"{IMAGE}@{engine.push()}")
    answer = question.decide(POLICY, Image(digest), Context(), deadline).verdict
    assert isinstance(answer, verdict)
    if isinstance(answer, Unavailable):
        assert (answer.reason, answer.outage) == (Reason.DEADLINE, False)


def test_an_outage_that_leaves_no_time_for_the_tag_is_still_an_outage(engine: Engine) -> None:
    _, child, _ = multi_platform(engine)
    opening = policy(rule(RELEASE, opens=True))
    engine.client.fail("*/manifests/v1", UnavailableError(Reason.DEADLINE, "the deadline passed"))
    assert isinstance(claimed_of_tag(engine, child, opening).verdict, Unavailable)
    engine.time = 10.0
    engine.client.fail(f"*{child.hex}*", OUTAGE)
    assert claimed_of_tag(engine, child, opening).verdict.reason is Reason.FAILED_OPEN
    engine.client.recover()
    engine.client.fail("*/manifests/v1", FORBIDDEN)
    engine.client.fail(f"*{child.hex}*", OUTAGE)
    assert isinstance(claimed_of_tag(engine, child, opening).verdict, Unavailable)


# What is kept


def test_what_an_index_vouched_for_costs_one_request_at_the_next_poll(engine: Engine) -> None:
    index, child, _ = multi_platform(engine)
    sign(engine, index)
    claimed_of_tag(engine, child)
    asked = len(engine.names)
    engine.time = 4.9
    assert claimed_of_tag(engine, child).admits
    assert len(engine.names) == asked
    engine.time = 15.0
    assert claimed_of_tag(engine, child).admits
    assert engine.names[asked:] == ["v1"]


def test_what_an_index_vouched_for_stands_while_the_registry_is_down(engine: Engine) -> None:
    index, child, _ = multi_platform(engine)
    sign(engine, index)
    assert claimed_of_tag(engine, child).admits
    assert claimed_of_pin(engine, index, child).admits
    engine.time = 3600.0
    engine.client.fail("*", OUTAGE)
    assert claimed_of_tag(engine, child).admits
    assert claimed_of_pin(engine, index, child).kept
    other = single_key_policy(KeyAuthority("other", parse_public_key(OTHER.public_pem)))
    assert not claimed_of_tag(engine, child, other).admits
    assert not claimed_of_pin(engine, index, child, other).admits


def test_a_new_signature_of_the_index_is_seen_after_five_seconds(engine: Engine) -> None:
    index, child, _ = multi_platform(engine)
    assert not claimed_of_tag(engine, child).admits
    sign(engine, index)
    engine.time = 5.1
    assert claimed_of_tag(engine, child).admits


def test_what_a_tag_named_before_does_not_vouch_after_it_is_gone_or_unreadable(engine: Engine) -> None:
    index, child, _ = multi_platform(engine)
    sign(engine, index)
    for breaks in (
        lambda: engine.store.untag(REPOSITORY, "v1"),
        lambda: engine.store.push_manifest(REPOSITORY, b"{", tag="v1"),
        lambda: engine.push_index(*[engine.push(None, str(number)) for number in range(257)]),
    ):
        engine.store.tag(REPOSITORY, "v1", index)
        engine.time += 10.0
        assert claimed_of_tag(engine, child).admits
        breaks()
        engine.time += 10.0
        assert not claimed_of_tag(engine, child).admits
        engine.client.fail("*/manifests/v1", OUTAGE)
        assert not claimed_of_tag(engine, child).admits
        engine.client.recover()


def test_a_child_that_is_signed_itself_by_now_does_not_need_the_tag_that_cannot_be_read_any_more(
    engine: Engine,
) -> None:
    index, child, _ = multi_platform(engine)
    sign(engine, index)
    assert claimed_of_tag(engine, child).index == index
    sign(engine, child)
    engine.push_index(*[engine.push(None, str(number)) for number in range(257)])
    engine.time = 10.0
    decision = claimed_of_tag(engine, child)
    assert isinstance(decision.verdict, Verified)
    assert decision.index is None


# What is claimed of a pin


class Meeting(StoreClient):
    """Gives the index only while the signatures of its child are asked for, and the other way round."""

    def meet(self, index: Digest) -> None:
        self.index, self.both = index, threading.Barrier(2, timeout=5)

    def manifest(
        self, repository: str, reference: str | Digest, deadline: Deadline, *, limit: int = limits.MANIFEST_BYTES
    ) -> Document | None:
        if reference == self.index:
            self.both.wait()
        return super().manifest(repository, reference, deadline, limit=limit)

    def referrers_api(self, repository: str, digest: Digest, deadline: Deadline) -> Listed | None:
        self.both.wait()
        return super().referrers_api(repository, digest, deadline)


def test_a_pinned_index_and_the_signatures_of_its_child_are_asked_for_at_once(engine: Engine) -> None:
    index, child, _ = multi_platform(engine)
    sign(engine, child)
    engine.client = Meeting(engine.store)
    engine.client.meet(index)
    assert claimed_of_pin(engine, index, child).admits


def test_a_child_of_a_pinned_index_is_verified_by_its_own_signature_or_that_of_the_index(engine: Engine) -> None:
    index, child, other = multi_platform(engine, tag=None)
    assert claimed_of_pin(engine, index, child).verdict.reason is Reason.NO_SIGNATURE
    sign(engine, child)
    engine.time = 10.0
    own = claimed_of_pin(engine, index, child)
    assert isinstance(own.verdict, Verified)
    assert own.subject == at(child)
    assert claimed_of_pin(engine, index, other).verdict.reason is Reason.NO_SIGNATURE
    sign(engine, index)
    engine.time = 20.0
    assert claimed_of_pin(engine, index, other).index == index


@pytest.mark.parametrize("pinned", ["index", "image"])
def test_a_signed_image_that_the_pin_does_not_list_is_a_mismatch_that_names_both(engine: Engine, pinned: str) -> None:
    pin = multi_platform(engine)[0] if pinned == "index" else engine.push()
    stranger = engine.push(None, "signed, but another")
    sign(engine, pin, stranger)
    assert claimed_of_tag(engine, stranger).admits
    decision = claimed_of_pin(engine, pin, stranger)
    assert decision.verdict == Denied(
        Reason.SOURCE_MISMATCH,
        f"source-mismatch: {at(stranger)} is claimed, and the source is pinned to {pin}, which is no index that lists"
        " it; remove the annotation; Config Sync sets it again",
    )
    assert decision.subject == at(stranger)


def test_a_pin_that_is_not_there_lists_nothing(engine: Engine) -> None:
    child = engine.push()
    sign(engine, child)
    missing = Digest.of(b"missing")
    decision = claimed_of_pin(engine, missing, child)
    assert decision.verdict.reason is Reason.NOT_FOUND
    assert str(missing) in decision.verdict.message


def test_a_pin_that_does_not_parse_lists_nothing(engine: Engine) -> None:
    child = engine.push()
    sign(engine, child)
    garbage = engine.store.push_manifest(REPOSITORY, b"{")
    assert claimed_of_pin(engine, garbage, child).verdict.reason is Reason.MALFORMED


def test_until_a_pin_is_read_no_signature_of_what_is_claimed_counts(engine: Engine) -> None:
    index, child, _ = multi_platform(engine)
    sign(engine, index, child)
    engine.client.fail(f"*/manifests/{index}", OUTAGE)
    assert claimed_of_tag(engine, child).admits
    verdict = claimed_of_pin(engine, index, child).verdict
    assert isinstance(verdict, Unavailable)
    assert verdict.outage
    opening = policy(rule(RELEASE, opens=True))
    assert claimed_of_pin(engine, index, child, opening).verdict.reason is Reason.FAILED_OPEN
    warning = policy(rule(RELEASE, mode=Mode.WARN))
    assert claimed_of_pin(engine, index, child, warning).verdict.reason is Reason.WARNED
    engine.client.recover()
    assert claimed_of_pin(engine, index, child).admits


def test_a_claim_of_the_pin_itself_is_the_pinned_image(engine: Engine) -> None:
    digest = engine.push()
    sign(engine, digest)
    assert claimed_of_pin(engine, digest, digest).subject == at(digest)
    assert str(digest) not in engine.names[0]


@pytest.mark.parametrize("requirement", [Pass(), Fail()])
def test_a_fixed_answer_about_all_of_it_causes_no_request(engine: Engine, requirement: Requirement) -> None:
    index, child, _ = multi_platform(engine)
    fixed = policy(rule(requirement))
    assert claimed_of_pin(engine, index, child, fixed).admits is isinstance(requirement, Pass)
    assert claimed_of_tag(engine, child, fixed).admits is isinstance(requirement, Pass)
    assert engine.decide(Image(at(index)), fixed).admits is isinstance(requirement, Pass)
    assert engine.names == []


def test_what_a_rule_passes_by_the_digest_of_an_index_is_what_the_index_lists(engine: Engine) -> None:
    index, child, _ = multi_platform(engine)
    passing = policy(rule(Pass(), index))
    engine.client.fail(f"*/manifests/{index}", OUTAGE)
    assert isinstance(claimed_of_pin(engine, index, child, passing).verdict, Denied)
    engine.client.recover()
    assert isinstance(claimed_of_pin(engine, index, child, passing).verdict, Exempt)
    assert claimed_of_pin(engine, index, engine.push(None, "evil"), passing).verdict.reason is Reason.SOURCE_MISMATCH


# What is synced of an image


def test_a_signed_index_that_is_pinned_costs_no_look_at_what_it_lists(engine: Engine) -> None:
    index, *_ = multi_platform(engine)
    sign(engine, index)
    for image in (at(index), TAGGED):
        decision = engine.decide(Image(image))
        assert isinstance(decision.verdict, Verified)
        assert (decision.subject, decision.index) == (at(index), None)
    assert not any(path.endswith(f"/manifests/{index}") for path in engine.client.requests)


@pytest.mark.parametrize("named", ["tag", "digest", "tag and digest"])
def test_of_an_index_that_is_not_signed_the_child_for_linux_on_amd64_is_verified(engine: Engine, named: str) -> None:
    index, child, other = multi_platform(engine)
    images = {"tag": f"{IMAGE}:v1", "digest": f"{IMAGE}@{index}", "tag and digest": f"{IMAGE}:v1@{index}"}
    sign(engine, other)
    decision = engine.ask(images[named])
    assert decision.verdict.reason is Reason.NO_SIGNATURE
    assert str(index) in decision.verdict.message
    assert str(child) in decision.verdict.message
    sign(engine, child)
    engine.time = 10.0
    decision = engine.ask(images[named])
    assert isinstance(decision.verdict, Verified)
    assert (decision.subject, decision.index) == (at(child), index)


def test_of_two_manifests_for_linux_on_amd64_only_the_first_is_synced(engine: Engine) -> None:
    first, second = engine.push(None, "first"), engine.push(None, "second")
    index = engine.push_index(engine.push(None, "arm64"), first, second)
    sign(engine, second)
    assert not engine.ask(f"{IMAGE}@{index}").admits
    sign(engine, first)
    engine.time = 10.0
    assert engine.ask(f"{IMAGE}@{index}").subject == at(first)


def test_an_index_without_a_manifest_for_linux_on_amd64_is_judged_alone(engine: Engine) -> None:
    child = engine.push(None, "arm64")
    index = engine.push_index(child)
    sign(engine, child)
    decision = engine.ask(f"{IMAGE}:v1")
    assert decision.verdict.reason is Reason.NO_SIGNATURE
    assert decision.subject == at(index)


def test_a_child_by_its_tag_and_digest_is_vouched_for_by_the_index_and_by_its_digest_alone_it_is_not(
    engine: Engine,
) -> None:
    index, child, _ = multi_platform(engine)
    sign(engine, index)
    decision = engine.ask(f"{IMAGE}:v1@{child}")
    assert isinstance(decision.verdict, Verified)
    assert decision.index == index
    assert engine.ask(f"{IMAGE}@{child}").verdict.reason is Reason.NO_SIGNATURE


def test_an_unsigned_image_that_cannot_be_read_may_be_an_index_with_a_signed_child(engine: Engine) -> None:
    index, child, _ = multi_platform(engine)
    sign(engine, child)
    engine.client.fail(f"*/manifests/{index}", FORBIDDEN)
    verdict = engine.ask(f"{IMAGE}@{index}").verdict
    assert isinstance(verdict, Unavailable)
    assert verdict.reason is Reason.REGISTRY_UNAUTHORIZED


def test_an_unsigned_digest_that_names_no_manifest_is_denied_whatever_a_rule_lets_pass(engine: Engine) -> None:
    garbage = engine.store.push_manifest(REPOSITORY, b"{")
    assert engine.ask(f"{IMAGE}@{garbage}").verdict.reason is Reason.NO_SIGNATURE
    warning = policy(rule(RELEASE, mode=Mode.WARN))
    assert engine.ask(f"{IMAGE}@{garbage}", warning).verdict.reason is Reason.MALFORMED


@pytest.mark.parametrize("mode", [Mode.ENFORCE, Mode.WARN])
def test_what_is_gone_is_not_admitted_where_a_rule_by_digest_might_be_about_it(engine: Engine, mode: Mode) -> None:
    index, child, _ = multi_platform(engine)
    by_child, by_index = (policy(rule(Fail(), digest, mode=mode), rule(Pass())) for digest in (child, index))
    assert engine.ask(f"{IMAGE}@{index}", by_child).admits is (mode is Mode.WARN)
    assert claimed_of_tag(engine, child, by_index).admits is (mode is Mode.WARN)
    engine.store.push_manifest(REPOSITORY, b"{", tag="v1")
    engine.time += 60
    assert claimed_of_tag(engine, child, by_index).admits is (mode is Mode.WARN)
    missing = Digest.of(b"deleted")
    assert engine.ask(f"{IMAGE}@{missing}", by_child).admits is (mode is Mode.WARN)
    gone = Reference.parse(f"{IMAGE}:gone")
    decision = engine.decide(Claimed(gone, child), by_index)
    assert decision.admits is (mode is Mode.WARN)
    assert decision.undecided
    if mode is Mode.ENFORCE:
        assert decision.verdict.reason is Reason.NOT_FOUND
        excepted = replace(by_index, exceptions=(ImageException(at(child), SOON),))
        assert not engine.decide(Claimed(gone, child), excepted).admits


@pytest.mark.parametrize("signed", ["nothing", "index", "child", "other", "both"])
def test_what_is_said_of_a_pin_is_said_again_of_what_is_claimed_of_it(engine: Engine, signed: str) -> None:
    index, child, other = multi_platform(engine)
    digests = {"nothing": (), "index": (index,), "child": (child,), "other": (other,), "both": (index, child)}
    sign(engine, *digests[signed])
    admitted = signed in {"index", "child", "both"}
    assert engine.decide(Image(at(index))).admits is admitted
    assert claimed_of_pin(engine, index, child).admits is admitted
    assert claimed_of_tag(engine, child).admits is admitted
    assert engine.ask(f"{IMAGE}:v1").admits is admitted
    assert engine.ask(f"{IMAGE}:v1@{child}").admits is admitted


# Rules by digest


@pytest.mark.parametrize("bad", ["index", "child"])
def test_a_digest_that_is_refused_is_refused_as_an_index_and_as_a_child(engine: Engine, bad: str) -> None:
    index, child, _ = multi_platform(engine)
    sign(engine, index, child)
    known_bad = policy(rule(RELEASE), rule(Fail(), index if bad == "index" else child))
    for decision in (
        claimed_of_tag(engine, child, known_bad),
        claimed_of_pin(engine, index, child, known_bad),
        engine.decide(Image(at(index)), known_bad),
        engine.ask(f"{IMAGE}:v1", known_bad),
        engine.ask(f"{IMAGE}:v1@{child}", known_bad),
    ):
        assert decision.verdict.reason is Reason.STATIC_FAIL
        assert str(index if bad == "index" else child) in decision.verdict.message


def test_another_digest_that_is_refused_changes_nothing(engine: Engine) -> None:
    index, child, _ = multi_platform(engine)
    known_bad = policy(rule(RELEASE), rule(Fail(), Digest.of(b"another")))
    assert claimed_of_tag(engine, child, known_bad).verdict.reason is Reason.NO_SIGNATURE
    sign(engine, index)
    engine.time = 10.0
    assert claimed_of_tag(engine, child, known_bad).admits
    assert engine.ask(f"{IMAGE}:v1", known_bad).admits
    assert engine.decide(Image(at(index)), known_bad).admits


def test_a_refused_index_is_refused_where_everything_else_is_passed(engine: Engine) -> None:
    index, child, _ = multi_platform(engine)
    known_bad = policy(rule(Pass()), rule(Fail(), index))
    assert claimed_of_tag(engine, child, known_bad).verdict.reason is Reason.STATIC_FAIL
    assert claimed_of_pin(engine, index, child, known_bad).verdict.reason is Reason.STATIC_FAIL
    refused_child = policy(rule(Pass()), rule(Fail(), child))
    assert engine.decide(Image(at(index)), refused_child).verdict.reason is Reason.STATIC_FAIL


@pytest.mark.parametrize("requirement", [RELEASE, Pass()])
def test_where_it_cannot_be_told_whether_a_refused_index_is_named_nothing_is_admitted(
    engine: Engine, requirement: Requirement
) -> None:
    index, child, _ = multi_platform(engine)
    sign(engine, child, index)
    engine.client.fail("*/manifests/v1", OUTAGE)
    engine.client.fail(f"*/manifests/{index}", OUTAGE)
    bad = Digest.of(b"bad")
    first = rule(requirement)
    for subject in (Claimed(TAGGED, child), Image(at(index)), Image(TAGGED)):
        verdict = engine.decide(subject, policy(first, rule(Fail(), bad))).verdict
        assert isinstance(verdict, Unavailable)
        assert verdict.reason is Reason.REGISTRY_ERROR
        if subject != Image(TAGGED) or requirement == Pass():
            assert engine.decide(subject, policy(first, rule(Fail(), bad, opens=True))).admits
            assert engine.decide(subject, policy(first, rule(Fail(), bad, mode=Mode.AUDIT))).admits
            assert engine.decide(subject, policy(first, rule(Pass(), bad))).admits


def test_a_rule_that_cannot_be_about_what_is_synced_keeps_nothing_from_being_admitted(engine: Engine) -> None:
    _, child, _ = multi_platform(engine)
    sign(engine, child)
    engine.client.fail("*/manifests/v1", FORBIDDEN)
    bad = Digest.of(b"bad")
    elsewhere = Rule("elsewhere", Match((ImageGlob.parse("other.example/**"),), digests=(bad,)), Fail())
    assert claimed_of_tag(engine, child, policy(rule(RELEASE), elsewhere)).admits
    assert claimed_of_tag(engine, child, policy(rule(RELEASE, child, bad))).admits
    assert not claimed_of_tag(engine, child, policy(rule(RELEASE), rule(Fail(), bad, opens=True))).admits


def test_what_the_tag_named_before_tells_whether_a_refused_index_is_named_while_the_registry_is_down(
    engine: Engine,
) -> None:
    index, child, _ = multi_platform(engine)
    sign(engine, child)
    known_bad = policy(rule(RELEASE), rule(Fail(), Digest.of(b"bad")))
    assert claimed_of_tag(engine, child, known_bad).admits
    engine.time = 60.0
    engine.client.fail("*", OUTAGE)
    assert claimed_of_tag(engine, child, known_bad).admits
    assert not claimed_of_tag(engine, child, policy(rule(RELEASE), rule(Fail(), index))).admits


def test_a_rule_by_the_digest_of_an_index_asks_for_more_of_what_it_lists(engine: Engine) -> None:
    index, child, _ = multi_platform(engine)
    sign(engine, child)
    stricter = policy(rule(RELEASE), rule(STRANGER, index))
    assert claimed_of_tag(engine, child, stricter).verdict.reason is Reason.UNTRUSTED
    OTHER.sign_tag(engine.store, REPOSITORY, index)
    engine.time = 10.0
    assert claimed_of_tag(engine, child, stricter).admits
    assert claimed_of_pin(engine, index, child, stricter).admits


def test_an_index_that_no_rule_is_about_vouches_for_nothing(engine: Engine) -> None:
    index, child, _ = multi_platform(engine)
    sign(engine, index)
    nothing = replace(POLICY, rules=(Rule("r", Match((ImageGlob.parse("other.example/**"),)), RELEASE),))
    assert claimed_of_tag(engine, child, nothing).verdict.reason is Reason.NO_RULE
    assert claimed_of_pin(engine, index, child, nothing).verdict.reason is Reason.NO_RULE
    assert engine.ask(f"{IMAGE}:v1", nothing).verdict.reason is Reason.NO_RULE
    assert engine.ask(f"{IMAGE}:v1", replace(nothing, no_match=NoMatch.ALLOW)).admits
    assert engine.names == []


# Helm charts

CHART = Chart(TAGGED)


def test_a_chart_is_what_its_version_names_now_and_the_record_says_what_that_is_worth(engine: Engine) -> None:
    digest = engine.push("v1", "chart")
    assert engine.decide(CHART).verdict.reason is Reason.NO_SIGNATURE
    sign(engine, digest)
    engine.time = 10.0
    decision = engine.decide(CHART)
    assert isinstance(decision.verdict, Verified)
    assert decision.subject == at(digest)
    assert decision.verdict.message.endswith(f"; that is bound to the version of {TAGGED}, not to content")
    engine.push("v1", "replaced")
    engine.time = 20.0
    assert engine.decide(CHART).verdict.reason is Reason.NO_SIGNATURE


def test_helm_chooses_nothing_in_an_index(engine: Engine) -> None:
    index, child, _ = multi_platform(engine)
    sign(engine, child)
    assert engine.decide(CHART).verdict.reason is Reason.NO_SIGNATURE
    sign(engine, index)
    engine.time = 10.0
    assert engine.decide(CHART).subject == at(index)


def test_a_chart_that_is_not_there_or_no_manifest_is_denied(engine: Engine) -> None:
    assert engine.decide(CHART).verdict.reason is Reason.NOT_FOUND
    engine.store.push_manifest(REPOSITORY, b"{", tag="v1")
    assert engine.decide(CHART).verdict.reason is Reason.MALFORMED


def test_a_chart_that_cannot_be_read_is_unavailable_as_its_rules_say(engine: Engine) -> None:
    engine.client.fail("*", OUTAGE)
    assert isinstance(engine.decide(CHART).verdict, Unavailable)
    assert engine.decide(CHART, policy(rule(RELEASE, opens=True))).verdict.reason is Reason.FAILED_OPEN
    assert engine.decide(CHART, policy(rule(RELEASE, mode=Mode.WARN))).verdict.reason is Reason.WARNED
    assert isinstance(engine.decide(CHART, policy(rule(Pass()), rule(Fail(), Digest.of(b"bad")))).verdict, Unavailable)


def test_a_chart_that_a_rule_refuses_by_digest_is_refused(engine: Engine) -> None:
    digest = engine.push("v1", "chart")
    sign(engine, digest)
    known_bad = policy(rule(RELEASE), rule(Fail(), digest))
    assert engine.decide(CHART, known_bad).verdict.reason is Reason.STATIC_FAIL


# Exceptions by digest

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SOON, PAST = Term(NOW + timedelta(days=7), "INC-7"), Term(NOW, "INC-7")


def excepting(digest: Digest, *rules: Rule, term: Term = SOON, repository: str = IMAGE) -> Policy:
    exception = ImageException(Reference.parse(f"{repository}@{digest}"), term)
    return replace(POLICY, rules=rules, exceptions=(exception,))


def ways_to_ask(engine: Engine, index: Digest, child: Digest, policy: Policy) -> list[Decision]:
    return [
        claimed_of_tag(engine, child, policy),
        claimed_of_pin(engine, index, child, policy),
        engine.decide(Image(at(index)), policy),
        engine.ask(f"{IMAGE}:v1", policy),
        engine.ask(f"{IMAGE}:v1@{child}", policy),
    ]


@pytest.mark.parametrize("rules", [(rule(RELEASE),), ()], ids=["unsigned", "no rule"])
@pytest.mark.parametrize("excepted", ["index", "child"])
def test_an_exception_for_an_index_covers_the_child_that_is_synced_of_it_and_one_for_the_child_as_well(
    engine: Engine, excepted: str, rules: tuple[Rule, ...]
) -> None:
    index, child, _ = multi_platform(engine)
    exceptional = excepting(index if excepted == "index" else child, *rules)
    for decision in ways_to_ask(engine, index, child, exceptional):
        assert decision.verdict.reason is Reason.EXCEPTION
        assert decision.refused is not None
        assert decision.refused.reason is (Reason.NO_SIGNATURE if rules else Reason.NO_RULE)


@pytest.mark.parametrize("rules", [(rule(RELEASE),), ()], ids=["unsigned", "no rule"])
def test_an_exception_for_another_index_covers_no_child(engine: Engine, rules: tuple[Rule, ...]) -> None:
    index, child, _ = multi_platform(engine)
    other = engine.push_index(engine.push(None, "a"), engine.push(None, "b"), tag=None)
    decisions = ways_to_ask(engine, index, child, excepting(other, *rules))
    assert not any(decision.admits for decision in decisions)
    assert not claimed_of_pin(engine, other, child, excepting(other, *rules)).admits


def test_an_exception_for_an_index_does_not_cover_what_it_cannot_be_seen_to_list(engine: Engine) -> None:
    index, child, _ = multi_platform(engine)
    engine.client.fail("*", OUTAGE)
    assert not claimed_of_pin(engine, index, child, excepting(index, rule(RELEASE))).admits
    assert not claimed_of_tag(engine, child, excepting(index, rule(RELEASE))).admits
    assert claimed_of_tag(engine, child, excepting(child, rule(RELEASE))).admits


@pytest.mark.parametrize("there", ["nothing", "garbage", "another index"])
def test_an_exception_for_an_index_covers_no_claim_that_it_was_not_seen_to_list(engine: Engine, there: str) -> None:
    claimed = engine.push(None, "claimed")
    pin = Digest.of(b"missing")
    if there == "garbage":
        pin = engine.store.push_manifest(REPOSITORY, b"{")
    elif there == "another index":
        pin = engine.push_index(engine.push(None, "a"), engine.push(None, "b"))
    decision = claimed_of_pin(engine, pin, claimed, excepting(pin, rule(RELEASE)))
    assert not decision.admits
    assert decision.subject == at(claimed)
    assert str(pin) in decision.verdict.message


@pytest.mark.parametrize("there", [True, False], ids=["another index", "nothing"])
@pytest.mark.parametrize("bad", ["pin", "claimed"])
def test_what_is_refused_by_digest_is_refused_by_pin_and_claim_although_the_one_does_not_list_the_other(
    engine: Engine, there: bool, bad: str
) -> None:
    claimed = engine.push(None, "claimed")
    pin = engine.push_index(engine.push(None, "a"), engine.push(None, "b")) if there else Digest.of(b"missing")
    rules = (rule(RELEASE), rule(Fail(), pin if bad == "pin" else claimed))
    for weakened in (
        replace(POLICY, rules=rules, rollout=SOON),
        excepting(pin, *rules),
        replace(excepting(pin, *rules), rollout=SOON),
    ):
        assert not claimed_of_pin(engine, pin, claimed, weakened).admits
    assert claimed_of_pin(engine, pin, claimed, replace(POLICY, rules=rules[:1], rollout=SOON)).admits


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("problem", [OUTAGE, FORBIDDEN])
def test_where_it_cannot_be_told_whether_a_refused_index_is_named_neither_exception_nor_rollout_admits(
    engine: Engine, problem: UnavailableError, signed: bool
) -> None:
    index, child, _ = multi_platform(engine)
    if signed:
        sign(engine, index, child)
    engine.client.fail("*/manifests/v1", problem)
    engine.client.fail(f"*/manifests/{index}", problem)
    bad = Digest.of(b"bad")
    elsewhere = Rule("elsewhere", Match((ImageGlob.parse("other.example/**"),), digests=(bad,)), Fail())
    for subject, excepted in ((Claimed(TAGGED, child), child), (Image(at(index)), index), (Image(TAGGED), child)):
        for weakened in (excepting(excepted), replace(POLICY, rollout=SOON)):
            known_bad = replace(weakened, rules=(rule(RELEASE), rule(Fail(), bad)))
            decision = engine.decide(subject, known_bad)
            assert decision.verdict.reason is problem.reason
            assert decision.refused is None
            if weakened.rollout is None and subject == Image(TAGGED):
                continue  # no digest is known that an exception could be about
            assert 'does not admit it before it is known whether rule "' in decision.verdict.message
            for other in (elsewhere, rule(Fail(), bad, mode=Mode.WARN), rule(STRANGER, bad), rule(Pass(), bad)):
                assert engine.decide(subject, replace(weakened, rules=(rule(RELEASE), other))).admits
            opening = replace(weakened, rules=(rule(RELEASE), rule(Fail(), bad, opens=True)))
            assert engine.decide(subject, opening).admits is problem.outage


def test_a_chart_that_is_not_there_yet_may_be_what_a_rule_refuses_by_digest(engine: Engine) -> None:
    rolling = replace(POLICY, rules=(rule(RELEASE),), rollout=SOON)
    assert engine.decide(CHART, rolling).admits
    known_bad = replace(rolling, rules=(rule(RELEASE), rule(Fail(), Digest.of(b"bad"))))
    assert engine.decide(CHART, known_bad).verdict.reason is Reason.NOT_FOUND


@pytest.mark.parametrize("bad", ["index", "child"])
@pytest.mark.parametrize("excepted", ["index", "child"])
def test_a_digest_that_is_refused_is_refused_although_an_exception_is_about_it(
    engine: Engine, excepted: str, bad: str
) -> None:
    index, child, _ = multi_platform(engine)
    digests = {"index": index, "child": child}
    exceptional = excepting(digests[excepted], rule(RELEASE), rule(Fail(), digests[bad]))
    for decision in ways_to_ask(engine, index, child, exceptional):
        assert decision.verdict.reason is Reason.STATIC_FAIL


@pytest.mark.parametrize(
    "exceptional",
    [
        excepting(Digest.of(b"an index"), term=PAST),
        excepting(Digest.of(b"an index"), repository=f"{HOST}/acme/other"),
        replace(excepting(Digest.of(b"an index")), no_match=NoMatch.ALLOW),
    ],
    ids=["lapsed", "of another repository", "not needed"],
)
def test_an_exception_that_cannot_help_causes_no_request(engine: Engine, exceptional: Policy) -> None:
    index, child, _ = multi_platform(engine)
    claimed_of_tag(engine, child, exceptional)
    claimed_of_pin(engine, index, child, exceptional)
    assert engine.names == []


def test_an_exception_for_what_is_claimed_itself_causes_no_request(engine: Engine) -> None:
    index, child, _ = multi_platform(engine)
    assert claimed_of_tag(engine, child, excepting(child)).admits
    assert claimed_of_pin(engine, index, child, excepting(child)).admits
    assert engine.names == []


def test_what_is_verified_is_not_said_to_be_excepted(engine: Engine) -> None:
    index, child, _ = multi_platform(engine)
    sign(engine, index)
    for decision in ways_to_ask(engine, index, child, excepting(index, rule(RELEASE))):
        assert isinstance(decision.verdict, Verified)
        assert decision.refused is None
