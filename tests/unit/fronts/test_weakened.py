"""Config Sync's own refusals under a rollout and under exceptions: warned of, recorded, and never less than true."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gate.core.deadline import Deadline
from gate.core.errors import UnavailableError
from gate.core.globs import ImageGlob
from gate.core.oci import Digest, Reference
from gate.core.policy import (
    Context,
    Fail,
    HelmOciChoice,
    ImageException,
    Match,
    NoMatch,
    ObjectException,
    Policy,
    Rule,
    SourceChoice,
    Sources,
    Term,
)
from gate.core.reasons import Reason
from gate.fronts.review import Record, Reviewer
from gate.registry.evidence import EvidenceStore
from tests.fakes import reviews
from tests.fakes.engine import HOST, REPOSITORY, SIGNER, Engine, running
from tests.fakes.reviews import Document, claim, git, helm, oci, pair, review, sync
from tests.fakes.signing import NOW, rule_for

IMAGE = f"{HOST}/{REPOSITORY}"
TAG = f"{IMAGE}:v1"
TERM, PAST = Term(NOW + timedelta(days=7), "first weeks"), Term(NOW, "first weeks")
SOURCES = Sources(SourceChoice.DENY, SourceChoice.DENY, require_digest=True)
ABOUT = Match((ImageGlob.parse(f"{HOST}/**"),))
STRICT = Policy(NoMatch.DENY, SOURCES, (rule_for(SIGNER, match=ABOUT),))
CHART = "oci://registry.example/acme/charts"
D = str(Digest.of(b"the bundle"))


class Front:
    """A reviewer over an empty registry, with what it recorded."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.records: list[Record] = []
        self.policy = STRICT
        self.reviewer = Reviewer(engine.gate, lambda: self.policy, self.records.append)

    def ask(self, document: Document, policy: Policy) -> dict[str, Any]:
        self.policy = policy
        reply = self.reviewer.answer(reviews.encode(document), Deadline.after(5, lambda: 0.0))
        response: dict[str, Any] = json.loads(reply.body)["response"]
        return response

    def refuse(self, document: Document, reason: Reason, policy: Policy) -> dict[str, Any]:
        self.policy = policy
        response: dict[str, Any] = json.loads(
            self.reviewer.refuse(reviews.encode(document), reason, f"{reason}: m").body
        )["response"]
        return response

    @property
    def refused(self) -> list[str]:
        """The reasons of what the last record says was refused."""
        decisions: Any = self.records[-1]["decisions"]
        return [each["refused"]["reason"] for each in decisions if each["refused"] is not None]


@pytest.fixture
def front() -> Iterator[Front]:
    with running() as engine:
        yield Front(engine)


def rolling(policy: Policy = STRICT, term: Term = TERM) -> Policy:
    return replace(policy, rollout=term)


LAX = replace(STRICT, sources=replace(SOURCES, require_digest=False))
REFUSALS: dict[str, tuple[Document, Policy, list[str]]] = {
    "git": (review(sync(git())), STRICT, ["source-denied"]),
    "git, where only what is git already may be": (
        review(sync(git()), sync(oci(TAG))),
        replace(STRICT, sources=replace(SOURCES, git=SourceChoice.EXISTING)),
        ["source-denied"],
    ),
    "helm over http": (review(sync(helm("https://charts.example.com"))), STRICT, ["source-denied"]),
    "a chart": (review(sync(helm(CHART))), STRICT, ["helm-oci"]),
    "a chart of no one version": (
        review(sync(helm(CHART, "latest"))),
        replace(STRICT, sources=replace(SOURCES, helm_oci=HelmOciChoice.RESOLVE)),
        ["helm-oci"],
    ),
    "a tag": (review(sync(oci(TAG))), STRICT, ["digest-required"]),
    "an image that no rule is about": (review(sync(oci("other.example/a:v1"))), LAX, ["no-rule"]),
    "a digest that no rule is about": (review(sync(oci(f"other.example/a@{D}"))), LAX, ["no-rule"]),
    "no digest": (reviews.poll(sync(oci(TAG))), LAX, ["no-annotation"]),
    "a claim of another image": (
        reviews.poll(sync(oci(TAG), claim(f"other.example/a@{D}"))),
        LAX,
        ["source-mismatch"],
    ),
    "a claim without an image": (
        reviews.poll(sync(git(), claim(f"{TAG}@{D}"))),
        STRICT,
        ["source-denied", "source-mismatch"],
    ),
    "two claims": (
        reviews.poll(sync(oci(TAG), {**claim(f"{TAG}@{D}"), **pair(TAG, "0" * 64)})),
        LAX,
        ["source-mismatch", "no-signature", "no-signature"],
    ),
    "an image that nobody signed": (reviews.poll(sync(oci(TAG), claim(f"{TAG}@{D}"))), LAX, ["no-signature"]),
    "all at once": (reviews.poll(sync(oci(TAG), claim(f"{TAG}@{D}"))), STRICT, ["digest-required", "no-signature"]),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_becomes_a_warning_while_a_rollout_lasts_and_the_record_is_true(front: Front, case: str) -> None:
    document, policy, reasons = REFUSALS[case]
    assert front.ask(document, policy)["allowed"] is False
    assert front.refused == []
    response = front.ask(document, rolling(policy))
    assert response["allowed"] is True
    # The same refusal of two claims is told once.
    assert len(response["warnings"]) >= len(set(reasons))
    assert all(warning.startswith('rollout: "first weeks" admits until 2026-01-08') for warning in response["warnings"])
    assert front.records[-1]["allowed"] is True
    assert front.records[-1]["reason"] == "rollout"
    assert front.refused == reasons


@pytest.mark.parametrize("case", REFUSALS)
def test_a_rollout_that_is_past_admits_nothing_and_says_so(front: Front, case: str) -> None:
    document, policy, _ = REFUSALS[case]
    response = front.ask(document, rolling(policy, PAST))
    assert response["allowed"] is False
    assert "the rollout until 2026-01-01T00:00:00Z has no effect: it is past" in response["status"]["message"]


MALFORMED = {
    "half a pair": reviews.poll(sync(oci(TAG), {reviews.SOURCE_URL: TAG})),
    "no source": review(sync({"sourceType": "oci"})),
    "an image that is none": review(sync(oci("registry.example/A"))),
    "another kind": review({**sync(oci(TAG)), "kind": "ConfigMap"}),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_rollout_does_not_soften_what_is_malformed(front: Front, case: str) -> None:
    response = front.ask(MALFORMED[case], rolling())
    assert response["allowed"] is False
    assert response["status"]["message"].startswith("malformed: ")


KNOWN_BAD = replace(LAX, rules=(*LAX.rules, Rule("known-bad", ABOUT, Fail())))


@pytest.mark.parametrize(
    "document",
    [
        reviews.poll(sync(oci(TAG), claim(f"{TAG}@{D}"))),
        reviews.poll(sync(oci(TAG))),
        review(sync(oci(TAG))),
        review(sync(helm(CHART))),
    ],
    ids=["unsigned", "no annotation", "a tag", "a chart"],
)
def test_a_rollout_does_not_soften_static_fail(front: Front, document: Document) -> None:
    policy = rolling(replace(KNOWN_BAD, sources=SOURCES))
    response = front.ask(document, policy)
    assert response["allowed"] is False
    assert response["status"]["message"].startswith('static-fail: rule "known-bad" refuses registry.example/acme/')


BAD = Rule("known-bad", Match((ImageGlob.parse("**"),), digests=(Digest.parse(D),)), Fail())
ANOTHER_PIN = f"{IMAGE}:v1@sha256:{'1' * 64}"


@pytest.mark.parametrize(
    "document",
    [
        reviews.poll(sync(oci(TAG), claim(f"{IMAGE}:v2@{D}"))),
        reviews.poll(sync(oci(TAG), claim(f"other.example/a@{D}"))),
        reviews.poll(sync(oci(TAG), claim(f"other.example/a@{D}@sha256:{'1' * 64}"))),
        reviews.poll(sync(oci(TAG), claim(f"no image@{D}"))),
        reviews.poll(sync(oci(ANOTHER_PIN), claim(f"{IMAGE}@{D}"))),
        reviews.poll(sync(oci(TAG), {**claim(f"{TAG}@{D}"), **pair(TAG, "0" * 64)})),
        reviews.poll(sync(git(), claim(f"{TAG}@{D}"))),
        reviews.poll(sync(git(), pair(TAG, D.removeprefix("sha256:")))),
        reviews.poll(sync(helm("https://charts.example.com"), claim(f"{TAG}@{D}"))),
        reviews.poll(sync(helm(CHART), claim(f"{TAG}@{D}"))),
        reviews.poll(sync(helm(CHART, "latest"), claim(f"{TAG}@{D}"))),
    ],
    ids=[
        "another tag", "another image", "as a pin", "no image", "another pin", "two claims", "git", "git by a pair",
        "helm over http", "a chart", "a chart of no one version",
    ],
)  # fmt: skip
@pytest.mark.parametrize("charts", HelmOciChoice)
def test_a_digest_that_a_rule_refuses_is_refused_also_where_the_claim_is_false(
    front: Front, document: Document, charts: HelmOciChoice
) -> None:
    sources = replace(LAX.sources, helm_oci=charts)
    for strict in (replace(LAX, sources=sources), replace(STRICT, sources=replace(SOURCES, helm_oci=charts))):
        assert front.ask(document, rolling(strict))["allowed"] is True
        response = front.ask(document, rolling(replace(strict, rules=(*strict.rules, BAD))))
        assert response["allowed"] is False
        assert response["status"]["message"].startswith('static-fail: rule "known-bad" refuses ')
        assert D in response["status"]["message"]


def test_what_is_left_of_another_source_is_no_obstacle_to_setting_the_source_right(front: Front) -> None:
    pinned = f"{IMAGE}@{front.engine.push()}"
    document = review(sync(oci(pinned), claim(f"other.example/a@{D}")), sync(git(), claim(f"other.example/a@{D}")))
    assert front.ask(document, rolling(replace(LAX, rules=(*LAX.rules, BAD))))["allowed"] is True


@pytest.mark.parametrize("case", ["a claim of another image", "a claim without an image"])
def test_an_exception_for_what_is_falsely_claimed_admits_nothing(front: Front, case: str) -> None:
    document, policy, _ = REFUSALS[case]
    open_git = replace(policy, sources=replace(LAX.sources, git=SourceChoice.ALLOW))
    for image in ("other.example/a", IMAGE):
        by_digest = ImageException(Reference.parse(f"{image}@{D}"), TERM)
        assert front.ask(document, replace(open_git, exceptions=(by_digest,)))["allowed"] is False


@pytest.mark.parametrize(("reason", "allowed"), [(Reason.BUSY, True), (Reason.INTERNAL, False)])
def test_a_rollout_softens_busy_and_not_a_bug(front: Front, reason: Reason, allowed: bool) -> None:
    document = reviews.poll(sync(oci(TAG), claim(f"{TAG}@{D}")))
    assert front.refuse(document, reason, LAX)["allowed"] is False
    assert front.refuse(document, reason, rolling(LAX))["allowed"] is allowed
    assert front.refused == ([str(reason)] if allowed else [])
    assert front.refuse(document, reason, rolling(KNOWN_BAD))["allowed"] is False


def test_a_rollout_does_not_soften_a_bug_about_what_asks_for_no_image(front: Front) -> None:
    response = front.refuse(review(sync(git())), Reason.INTERNAL, rolling())
    assert (response["allowed"], response["status"]["message"]) == (False, "internal: m")
    assert front.refuse(review(sync(git())), Reason.BUSY, rolling())["allowed"] is True
    assert front.refused == ["source-denied"]


def test_what_is_signed_is_verified_and_not_warned_of_during_a_rollout(front: Front) -> None:
    digest = front.engine.push()
    SIGNER.sign_tag(front.engine.store, REPOSITORY, digest)
    response = front.ask(reviews.poll(sync(oci(TAG), claim(f"{TAG}@{digest}"))), rolling(LAX))
    assert response["allowed"] is True
    assert "warnings" not in response
    assert front.records[-1]["reason"] == "verified"


def test_a_proof_beside_a_refusal_that_is_softened_is_recorded_as_no_more_than_that(front: Front) -> None:
    digest = front.engine.push()
    SIGNER.sign_tag(front.engine.store, REPOSITORY, digest)
    response = front.ask(reviews.poll(sync(oci(TAG), claim(f"{TAG}@{digest}"))), rolling())
    assert response["allowed"] is True
    assert front.records[-1]["reason"] == "rollout"
    assert front.refused == ["digest-required"]


def test_a_tenant_is_warned_in_words_that_tell_nothing_of_a_registry(front: Front) -> None:
    document = reviews.poll(sync(oci(TAG), claim(f"{TAG}@{D}"), kind="RepoSync"))
    (unsigned,) = front.ask(document, rolling(LAX))["warnings"]
    front.engine.time = 10.0
    front.engine.client.fail("*", UnavailableError(Reason.REGISTRY_UNAUTHORIZED, "the registry answered 403"))
    (forbidden,) = front.ask(document, rolling(LAX))["warnings"]
    assert unsigned == forbidden
    assert unsigned.startswith("rollout: admitted for now, and refused otherwise: no signatures found for ")
    assert front.refused == ["registry-unauthorized"]


def test_a_tenant_is_told_that_an_exception_lapsed_and_nothing_of_a_registry_by_it(front: Front) -> None:
    index = front.engine.push_index(front.engine.push(None, "a"), front.engine.push(None, "b"))
    child = front.engine.push(None, "b")
    pinned = f"{IMAGE}@{index}"
    lapsed = tuple(ImageException(Reference.parse(f"{IMAGE}@{each}"), PAST) for each in (child, index))
    policy = replace(LAX, exceptions=lapsed)
    told = []
    for fails in (False, True):
        if fails:
            front.engine.time = 10.0
            front.engine.kept = EvidenceStore(lambda: 10.0)  # nothing is known from before
            front.engine.client.fail("*", UnavailableError(Reason.REGISTRY_UNAUTHORIZED, "the registry answered 403"))
        for image in (TAG, pinned):
            document = reviews.poll(sync(oci(image), claim(f"{image}@{child}"), kind="RepoSync"))
            told.append(front.ask(document, policy)["status"]["message"])
    by_child, by_index = (
        f"; the exception for {IMAGE}@{each} until 2026-01-01T00:00:00Z has no effect: it is past"
        for each in (child, index)
    )
    assert told[:2] == told[2:]
    assert told[0].startswith(f"no signatures found for {IMAGE}@{child}: the policy requires one; ")
    assert told[0].endswith(f"may read the repository{by_child}")
    assert told[1].endswith(f"may read the repository{by_child}{by_index}")


def test_a_tenant_is_told_once_that_the_rollout_is_past_also_in_words_that_are_not_gates(front: Front) -> None:
    document = reviews.poll(sync(oci(TAG), claim(f"{TAG}@{D}"), kind="RepoSync"))
    clause = "; the rollout until 2026-01-01T00:00:00Z has no effect: it is past"
    for message in (
        front.ask(document, rolling(LAX, PAST))["status"]["message"],
        front.refuse(document, Reason.BUSY, rolling(LAX, PAST))["status"]["message"],
    ):
        assert message.count(clause) == 1
    for policy in (LAX, rolling(KNOWN_BAD, PAST)):
        assert "no effect" not in front.ask(document, policy)["status"]["message"]


# Exceptions

ROOT_SYNC = Context("RootSync", "config-management-system", "root-sync")


def excepting(policy: Policy, *, term: Term = TERM, context: Context = ROOT_SYNC, image: str = IMAGE) -> Policy:
    return replace(policy, exceptions=(ObjectException(Reference.parse(image), context, term),))


@pytest.mark.parametrize(
    ("case", "admitted"),
    [
        ("git", False),  # not an image: sources alone say what may be switched to git
        ("helm over http", False),
        ("a tag", True),
        ("no digest", True),
        ("an image that nobody signed", True),
        ("all at once", True),
        ("a claim of another image", False),  # nor is a false claim
        ("two claims", False),
    ],
)
def test_an_exception_for_an_object_is_about_its_image_and_nothing_else(
    front: Front, case: str, admitted: bool
) -> None:
    document, policy, reasons = REFUSALS[case]
    response = front.ask(document, excepting(policy))
    assert response["allowed"] is admitted
    assert "warnings" not in response
    if admitted:
        assert front.records[-1]["reason"] == "exception"
        assert front.refused == reasons


def test_an_exception_admits_an_image_that_no_rule_is_about(front: Front) -> None:
    document, policy, _ = REFUSALS["a digest that no rule is about"]
    digest = ImageException(Reference.parse(f"other.example/a@{D}"), TERM)
    assert front.ask(document, replace(policy, exceptions=(digest,)))["allowed"] is True
    assert front.refused == ["no-rule"]
    tag, _, _ = REFUSALS["an image that no rule is about"]
    assert front.ask(tag, replace(policy, exceptions=(digest,)))["allowed"] is False
    assert front.ask(tag, excepting(policy, image="other.example/a"))["allowed"] is True


@pytest.mark.parametrize(
    "policy",
    [
        excepting(LAX, term=PAST),
        excepting(LAX, term=replace(TERM, reason="")),
        excepting(LAX, term=Term(NOW + timedelta(days=31), "x")),
        excepting(LAX, context=replace(ROOT_SYNC, name="other")),
        excepting(LAX, context=replace(ROOT_SYNC, kind="RepoSync")),
        excepting(LAX, image=f"{IMAGE}-2"),
        excepting(KNOWN_BAD),
    ],
    ids=["past", "no reason", "too far ahead", "another object", "another kind", "another repository", "static fail"],
)
def test_an_exception_without_effect_or_about_something_else_admits_nothing(front: Front, policy: Policy) -> None:
    for case in ("an image that nobody signed", "no digest"):
        assert front.ask(REFUSALS[case][0], policy)["allowed"] is False
        assert front.refused == []
