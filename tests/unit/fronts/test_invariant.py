"""The one thing that must be true of every answer, whatever is asked, by whom, with which verdicts.

An admitted poll or claim of an OCI source had its digest verified, or exempted by name. What is a poll, a claim and a
source is worked out here a second time, from the documents and as suspiciously as possible. And whatever the registry
says, nothing that weakens a policy admits what a rule refuses by digest, or what nobody was seen to list.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from gate.core.deadline import Deadline
from gate.core.errors import UnavailableError
from gate.core.globs import ImageGlob
from gate.core.oci import Digest, Reference
from gate.core.policy import Context, Fail, ImageException, Match, ObjectException, Pass, Policy, Rule, Term
from gate.core.reasons import Reason
from gate.core.verdict import Decision, Denied, Exempt, Unavailable, Verdict, Verified
from gate.fronts.admission import parse_review
from gate.fronts.configsync import Admit, Ask, Refuse, conclude, examine
from gate.fronts.review import Reviewer
from tests.fakes import engine as fake
from tests.fakes.reviews import (
    IMAGE,
    IMAGE_TO_SYNC,
    RECONCILERS,
    SOURCE_COMMIT,
    SOURCE_URL,
    A,
    B,
    Document,
    claim,
    encode,
    git,
    helm,
    oci,
    poll,
    review,
    sync,
)
from tests.fakes.signing import NOW
from tests.vectors.reviews import make

TAG, PIN = f"{IMAGE}:v1", f"{IMAGE}@{A}"
CHARTS, WEB = "oci://registry.example.com/charts", "https://charts.example.com"
BOOKKEEPING = {"managedFields", "resourceVersion", "generation"}

IMAGES = (TAG, IMAGE, PIN, f"{TAG}@{A}", f"{IMAGE}@{B}")
SOURCES = (*map(oci, IMAGES), oci(TAG, dir="b"), oci(TAG, period="0s"), git(), helm(WEB), helm(CHARTS))
BESIDE = ("managedFields", "generation", "resourceVersion", "labels")
POLICIES = tuple(map(make.make_policy, (make.OPEN, make.EXISTING, make.CLOSED, make.RESOLVE, make.ELSEWHERE_WARN)))
# Until a date that is written down nothing is denied: what is admitted by that is admitted by name.
ROLLOUT = replace(
    POLICIES[0],
    rules=(replace(POLICIES[0].rules[0], requirement=Pass()),),
    rollout=Term(NOW + timedelta(days=1), "first weeks"),
)
EXEMPT = tuple(Exempt(reason, f"{reason}: x") for reason in (Reason.EXCEPTION, Reason.STATIC_PASS))
REFUSING = (Denied(Reason.NO_SIGNATURE, "no signatures found"), Unavailable(Reason.DEADLINE, "x"))
VERIFIED = Verified("verified: x", ())
VERDICTS: tuple[Verdict, ...] = (VERIFIED, VERIFIED, *EXEMPT, *REFUSING)
SENDERS = ("jane@example.com", "system:serviceaccount:config-management-system:reconciler-manager")


def claims_about(image: str) -> tuple[Document, ...]:
    """Return annotations: right ones of either generation and of both, and others of another image, half or empty."""
    right, child = {IMAGE_TO_SYNC: f"{image}@{A}"}, {IMAGE_TO_SYNC: f"{image}@{B}"}
    pair, other = {SOURCE_URL: image, SOURCE_COMMIT: A[7:]}, {IMAGE_TO_SYNC: f"{IMAGE}:v2@{A}"}
    return (right, right, child, pair, right | pair, child | pair, other, {SOURCE_URL: image}, {IMAGE_TO_SYNC: ""}, {})


CLAIMS = st.integers(0, len(claims_about(TAG)) - 1)


@dataclass(frozen=True, slots=True)
class Question:
    """A review, with what matters in it."""

    document: Document
    own: bool
    new: Document
    old: Document | None


@st.composite
def questions(draw: st.DrawFn) -> Question:
    """Every operation, sender, source before and after and claims before and after."""
    kind, version = draw(st.sampled_from(("RootSync", "RepoSync"))), draw(st.sampled_from(("v1beta1", "v1alpha1")))
    source = draw(st.sampled_from(SOURCES))
    about = claims_about(source["oci"]["image"] if "oci" in source else TAG)
    new = sync(source, about[draw(CLAIMS)], kind=kind, version=version)
    old = copy.deepcopy(new)
    change = draw(st.sampled_from(("nothing", "claims", "anything")))
    if change != "nothing":
        old["metadata"]["annotations"] = about[draw(CLAIMS)]
    if change == "anything":
        old["spec"] = draw(st.sampled_from(SOURCES))
    new["metadata"][draw(st.sampled_from(BESIDE))] = "another"
    held = draw(st.sampled_from((old, old, old, None)))
    own = draw(st.booleans())
    username = RECONCILERS[kind] if own else draw(st.sampled_from(SENDERS))
    operation = draw(st.sampled_from((None, None, None, "CONNECT")))
    document = review(new, held, operation=operation, username=username, dryRun=draw(st.booleans()))
    return Question(document, own, new, held)


def claimed_digests(document: Document | None) -> set[str]:
    """Return the last digest of everything that any annotation may be taken to say; unreadable text counts, too."""
    annotations = (document or {"metadata": {}})["metadata"].get("annotations", {})
    single, url, commit = (annotations.get(name, "") for name in (IMAGE_TO_SYNC, SOURCE_URL, SOURCE_COMMIT))
    pair = f"{url}@sha256:{commit}" if url or commit else ""
    return {text.rpartition("@")[2] for text in (single, pair) if text}


def is_poll(question: Question) -> bool:
    """Return whether the object's own reconciler changes nothing that is not bookkeeping of the API server."""
    if question.old is None or not question.own:
        return False
    new, old = (
        {**each, "metadata": {name: value for name, value in each["metadata"].items() if name not in BOOKKEEPING}}
        for each in (question.new, question.old)
    )
    return new == old


def image_of(document: Document) -> str | None:
    """Return the image that is synced of an object, or None where the source is another."""
    spec = document["spec"]
    return str(spec["oci"]["image"]) if spec.get("sourceType", "git") == "oci" else None


@dataclass(frozen=True, slots=True)
class Told:
    """Whether a review is admitted, the verdict on each digest that was looked at, and by what names it is excused."""

    admitted: bool
    looked_at: dict[str, Verdict]
    excused: frozenset[Reason] = frozenset()


def told(question: Question, policy: Policy, verdicts: tuple[Verdict, Verdict]) -> Told:
    """Return the answer to a question, where each digest that is asked about gets the next of ``verdicts``."""
    match examine(parse_review(encode(question.document)), policy, NOW):
        case Admit(excused=excused):
            return Told(admitted=True, looked_at={}, excused=frozenset(each.verdict.reason for each in excused))
        case Refuse():
            return Told(admitted=False, looked_at={})
        case Ask(subjects, excused=excused) as ask:
            each_verdict = verdicts[: len(subjects)]
            answer = conclude(ask, tuple(map(Decision, each_verdict)))
            digests = (str(subject.reference.digest) for subject in subjects)
            names = frozenset(each.verdict.reason for each in excused)
            return Told(answer.allowed, dict(zip(digests, each_verdict, strict=True)), names)


@settings(max_examples=600)
@given(
    questions(), st.sampled_from((*POLICIES, ROLLOUT)), st.tuples(st.sampled_from(VERDICTS), st.sampled_from(VERDICTS))
)
def test_an_admitted_poll_or_claim_of_an_oci_source_had_its_digest_verified_or_exempted_by_name(
    question: Question, policy: Policy, verdicts: tuple[Verdict, Verdict]
) -> None:
    image, claimed = image_of(question.new), claimed_digests(question.new)
    polled, changed = is_poll(question), claimed != claimed_digests(question.old)
    if image is None or not (polled or (claimed and changed)):
        return
    answer = told(question, policy, verdicts)
    event(f"{'poll' if polled else 'claim'}, {'admitted' if answer.admitted else 'refused'}")
    if not answer.admitted:
        return
    assert all(isinstance(verdict, Verified | Exempt) for verdict in answer.looked_at.values())
    if answer.excused:
        assert (policy, answer.excused) == (ROLLOUT, {Reason.ROLLOUT})
        return
    assert claimed, "a reconciler that says nothing of an image is not admitted"
    assert set(answer.looked_at) == claimed
    assert all(text == f"{image}@{digest}" for text, digest in claim_texts(question.new))


def claim_texts(document: Document) -> list[tuple[str, str]]:
    """Return every claim as text, with its digest."""
    annotations = document["metadata"].get("annotations", {})
    single, url, commit = (annotations.get(name, "") for name in (IMAGE_TO_SYNC, SOURCE_URL, SOURCE_COMMIT))
    texts = [single, f"{url}@sha256:{commit}" if url or commit else ""]
    return [(text, text.rpartition("@")[2]) for text in texts if text]


@settings(max_examples=200)
@given(questions(), st.sampled_from(POLICIES), st.tuples(st.sampled_from(VERDICTS), st.sampled_from(VERDICTS)))
def test_a_pinned_image_is_not_admitted_into_an_object_before_it_was_looked_at(
    question: Question, policy: Policy, verdicts: tuple[Verdict, Verdict]
) -> None:
    image = image_of(question.new)
    new_source = question.old is None or image_of(question.old) != image
    if image is None or "@" not in image or not new_source:
        return
    answer = told(question, policy, verdicts)
    if answer.admitted:
        assert answer.looked_at
        assert set(answer.looked_at) <= {image.rpartition("@")[2]} | claimed_digests(question.new)
        assert all(isinstance(verdict, Verified | Exempt) for verdict in answer.looked_at.values())


@settings(max_examples=200)
@given(questions(), st.sampled_from(POLICIES))
def test_a_refusal_of_any_subject_refuses_the_review(question: Question, policy: Policy) -> None:
    outcome = examine(parse_review(encode(question.document)), policy, NOW)
    if not isinstance(outcome, Ask):
        return
    for refused in range(len(outcome.subjects)):
        verdicts = [REFUSING[0] if number == refused else VERIFIED for number in range(len(outcome.subjects))]
        assert not conclude(outcome, tuple(map(Decision, verdicts))).allowed
    assert conclude(outcome, tuple(Decision(VERIFIED) for _ in outcome.subjects)).allowed


@given(questions(), st.sampled_from(POLICIES))
def test_who_removes_the_claim_is_not_asked_for_a_proof_unless_it_is_the_reconciler(
    question: Question, policy: Policy
) -> None:
    image = image_of(question.new)
    if image is None or question.old is None or question.new["spec"] != question.old["spec"]:
        return
    removed = claimed_digests(question.old) and not claimed_digests(question.new)
    if not removed or question.document["request"]["operation"] != "UPDATE":
        return
    outcome = examine(parse_review(encode(question.document)), policy, NOW)
    assert isinstance(outcome, Refuse if question.own else Admit)
    assert outcome.reason is (Reason.NO_ANNOTATION if question.own else Reason.CLAIM_REMOVED)


# Whatever the registry says


REGISTRY = f"{fake.HOST}/{fake.REPOSITORY}"
WEEK = Term(NOW + timedelta(days=7), "INC-7")
STATES = ("lists it", "lists another", "an image", "garbage", "nothing", "outage", "forbidden")
EDGE = Context("RootSync", "config-management-system", "root-sync")


@dataclass(frozen=True, slots=True)
class Pinned:
    """A registry in some state, a pin in it or what a tag names, and a digest that is claimed of it; unsigned."""

    engine: fake.Engine
    state: str
    pin: Digest
    claimed: Digest

    @classmethod
    def of(cls, engine: fake.Engine, state: str) -> Pinned:
        """Return the registry in that state."""
        claimed, other = engine.push(None, "claimed"), engine.push(None, "other")
        match state:
            case "lists another":
                pin = engine.push_index(other, other)
            case "an image":
                pin = engine.push("v1", "an image")
            case "garbage":
                pin = engine.store.push_manifest(fake.REPOSITORY, b"{", tag="v1")
            case "nothing":
                pin = Digest.of(b"nothing")
            case _:
                pin = engine.push_index(other, claimed)
        if state == "outage":
            engine.client.fail("*", UnavailableError(Reason.REGISTRY_ERROR, "the registry answered 503", outage=True))
        elif state == "forbidden":
            engine.client.fail("*", UnavailableError(Reason.REGISTRY_UNAUTHORIZED, "the registry answered 403"))
        return cls(engine, state, pin, claimed)

    def admits(self, policy: Policy, *, tag: bool, busy: bool) -> bool:
        """Return whether the reconciler's poll is admitted."""
        image = f"{REGISTRY}:v1" if tag else f"{REGISTRY}@{self.pin}"
        body = encode(poll(sync(oci(image), claim(f"{image}@{self.claimed}"))))
        reviewer = Reviewer(self.engine.gate, lambda: policy, lambda _: None)
        if busy:
            reply = reviewer.refuse(body, Reason.BUSY, "busy: later")
        else:
            reply = reviewer.answer(body, Deadline.after(5, lambda: self.engine.time))
        return bool(json.loads(reply.body)["response"]["allowed"])

    def weakened(self) -> Iterator[tuple[str, bool, str, Policy]]:
        """Yield policies: what is excepted, whether there is a rollout, and what is refused by digest."""
        by_name = {"pin": self.pin, "claim": self.claimed}
        exceptions = {
            name: ImageException(Reference.parse(f"{REGISTRY}@{each}"), WEEK) for name, each in by_name.items()
        } | {"object": ObjectException(Reference.parse(REGISTRY), EDGE, WEEK)}
        for excepted, rollout, bad in product(("", *exceptions), (None, WEEK), ("", *by_name)):
            match = Match((ImageGlob.parse("**"),), digests=(by_name[bad],)) if bad else None
            rules = (*fake.POLICY.rules, *(() if match is None else (Rule("known-bad", match, Fail()),)))
            listed = (exceptions[excepted],) if excepted else ()
            policy = replace(fake.POLICY, rules=rules, rollout=rollout, exceptions=listed)
            yield excepted, rollout is not None, bad, policy


@pytest.mark.parametrize("busy", [False, True], ids=["asked", "busy"])
@pytest.mark.parametrize("tag", [False, True], ids=["pin", "tag"])
@pytest.mark.parametrize("state", STATES)
def test_nothing_that_weakens_a_policy_admits_what_may_be_refused_by_digest_or_what_no_excepted_index_lists(
    state: str, tag: bool, busy: bool
) -> None:
    with fake.running() as engine:
        pinned = Pinned.of(engine, state)
        read = not busy and state not in {"outage", "forbidden"}
        for excepted, rollout, bad, policy in pinned.weakened():
            if pinned.admits(policy, tag=tag, busy=busy):
                # What a tag does not name refuses nothing of it.
                assert not bad or (bad == "pin" and tag and read and state != "lists it"), (excepted, rollout, bad)
                seen = read and state == "lists it"
                assert rollout or excepted in {"claim", "object"} or (excepted == "pin" and seen), excepted
            elif rollout and not bad:
                assert state == "garbage", excepted  # a rollout does not soften what is malformed
                assert not tag
