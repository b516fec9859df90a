"""What a review means: the vectors, the recorded reviews, and what somebody who edits a RepoSync might try."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.core import limits, strictjson
from gate.core.globs import ImageGlob
from gate.core.oci import Digest, Reference
from gate.core.policy import Context, Fail, Match, Mode, NoMatch, Policy, Rule, SourceChoice, Sources
from gate.core.reasons import Reason
from gate.core.subjects import Chart, Claimed, Image
from gate.fronts.admission import parse_review
from gate.fronts.configsync import Admit, Ask, Outcome, Refuse, examine, offline
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
from tests.fakes.shared import shared_fixture
from tests.fakes.signing import NOW
from tests.vectors.reviews import make

TAG = f"{IMAGE}:v1"
PIN = f"{IMAGE}@{A}"
POLICY = make.make_policy(make.OPEN)
CLOSED = make.make_policy(make.CLOSED)
VECTORS = Path(make.__file__).parent


def ask(document: Document, policy: Policy = POLICY) -> Outcome:
    return examine(parse_review(encode(document)), policy, NOW)


def reason(outcome: Outcome) -> Reason:
    assert not isinstance(outcome, Ask)
    return outcome.reason


def subjects(outcome: Outcome) -> list[str]:
    assert isinstance(outcome, Ask)
    return [str(subject.reference) for subject in outcome.subjects]


# The vectors


def test_the_vectors_are_what_their_generator_makes() -> None:
    found = {str(path.relative_to(VECTORS)): path.read_text() for path in VECTORS.glob("*/*.json")}
    assert found == make.files()


def test_no_two_cases_of_the_vectors_share_a_name() -> None:
    names = [name for name, _ in make.cases()]
    assert len(set(names)) == len(names)


def test_every_step_has_vectors() -> None:
    assert {name.partition("-")[0] for name, _ in make.cases()} == {*"01234567", "h", "m"}


@pytest.mark.parametrize("case", sorted({name for name, _ in make.cases()}))
def test_a_vector_is_answered_as_its_case_expects(case: str) -> None:
    expected = strictjson.loads_object((VECTORS / case / "expected.json").read_bytes(), limit=limits.MIB)
    answer = make.answer((VECTORS / case / "review.json").read_bytes(), expected["policy"])  # type: ignore[arg-type]  # an object
    assert answer == expected["answer"]
    assert case.rpartition("_")[2] == make.DECISIONS[answer["decision"]]


def test_every_vector_makes_the_same_decision_in_every_version() -> None:
    decisions: dict[str, set[str]] = {}
    for _, case in make.cases():
        decisions.setdefault(case.name, set()).add(case.decision)
    assert {name: found for name, found in decisions.items() if len(found) > 1} == {}


# The reviews that were recorded from a real cluster


def test_the_recorded_reviews_are_answered_as_expected() -> None:
    expected = strictjson.loads_object(shared_fixture("expected-reviews.json").read_bytes(), limit=limits.MIB)
    found: dict[str, strictjson.Json] = {"about": expected["about"]}
    for path in shared_fixture("admission-reviews").glob("*.json"):
        parsed = parse_review(path.read_bytes())
        answer = offline(parsed, examine(parsed, POLICY, NOW))
        digests = [subject.partition("@")[2] for subject in answer["subjects"]]
        assert len(digests) <= 1
        found[path.name] = [answer["decision"], digests[0] if digests else None]
    assert found == expected


# What each outcome carries


def test_a_subject_is_the_canonical_image_at_the_claimed_digest() -> None:
    asked = ask(poll(sync(oci("nginx:1"), claim(f"nginx:1@{A}"))))
    assert asked == Ask(
        (Claimed(Reference("docker.io", "library/nginx", "1"), Digest("a" * 64)),),
        Context("RootSync", "config-management-system", "root-sync"),
    )
    assert subjects(asked) == [f"docker.io/library/nginx@{A}"]


def test_a_pin_and_its_claim_are_one_subject() -> None:
    assert subjects(ask(review(sync(oci(PIN), claim(f"{PIN}@{A}"))))) == [PIN]


def test_a_pin_that_nothing_is_claimed_of_is_verified_as_what_is_synced_of_it() -> None:
    asked = ask(review(sync(oci(f"{TAG}@{A}"))))
    assert isinstance(asked, Ask)
    assert asked.subjects == (Image(Reference.parse(f"{TAG}@{A}")),)


@pytest.mark.parametrize("asking", [review, poll], ids=["created", "polled"])
def test_a_child_that_is_claimed_of_a_pin_is_verified_as_such_and_the_pin_is_not_forgotten(
    asking: Callable[[Document], Document],
) -> None:
    asked = ask(asking(sync(oci(PIN), claim(f"{PIN}@{B}"))))
    assert isinstance(asked, Ask)
    assert asked.subjects == (Claimed(Reference.parse(PIN), Digest.parse(B)),)


@pytest.mark.parametrize(("digests", "covered"), [([A], True), ([B], True), (["sha256:" + "c" * 64], False)])
def test_a_rule_by_digest_is_about_a_pinned_index_and_its_child_alike(digests: list[str], covered: bool) -> None:
    policy = make.make_policy(make.OPEN | {"digests": digests})
    outcome = ask(poll(sync(oci(PIN), claim(f"{PIN}@{B}"))), policy)
    assert isinstance(outcome, Ask) is covered
    assert covered or reason(outcome) is Reason.NO_RULE


def test_a_chart_is_asked_about_at_the_tag_that_helm_fetches() -> None:
    chart = sync(helm("oci://registry.example.com/charts", "1.2.3+b.7"))
    assert reason(ask(review(chart))) is Reason.HELM_OCI
    asked = ask(review(chart), make.make_policy(make.RESOLVE))
    assert isinstance(asked, Ask)
    assert asked.subjects == (Chart(Reference("registry.example.com", "charts/app", "1.2.3_b.7")),)


def test_rules_see_kind_namespace_and_name_of_the_object() -> None:
    asked = ask(poll(sync(oci(), claim(f"{TAG}@{A}"), kind="RepoSync")))
    assert isinstance(asked, Ask)
    assert asked.context == Context("RepoSync", "team-a", "repo-sync")


@pytest.mark.parametrize(
    ("context", "covered"),
    [
        (Match((), kinds=("RepoSync",)), True),
        (Match((), kinds=("RootSync",)), False),
        (Match((), namespaces=("team-*",)), True),
        (Match((), namespaces=("prod",)), False),
        (Match((), names=("repo-sync",)), True),
        (Match((), names=("edge",)), False),
    ],
)
def test_an_image_needs_a_rule_about_this_very_object(context: Match, covered: bool) -> None:
    policy = with_match(replace(context, images=(ImageGlob.parse("**"),)))
    outcome = ask(review(sync(oci(PIN), kind="RepoSync")), policy)
    assert isinstance(outcome, Ask) is covered
    assert covered or reason(outcome) is Reason.NO_RULE


def with_match(match: Match, mode: Mode = Mode.ENFORCE, no_match: NoMatch = NoMatch.DENY) -> Policy:
    return Policy(no_match, Sources(SourceChoice.ALLOW, SourceChoice.ALLOW), (Rule("r", match, Fail(), mode),))


EVERYTHING = Match((ImageGlob.parse("**"),))


def test_an_audit_rule_is_no_rule_about_an_image() -> None:
    assert reason(ask(review(sync(oci())), with_match(EVERYTHING, Mode.AUDIT))) is Reason.NO_RULE


def test_a_rule_by_name_does_not_match_a_name_that_is_not_known_yet() -> None:
    new = sync(oci(PIN), generateName="edge-")
    del new["metadata"]["name"]
    assert isinstance(ask(review(new)), Ask)
    assert reason(ask(review(new), with_match(replace(EVERYTHING, names=("*",))))) is Reason.NO_RULE


def test_an_admitted_tag_that_no_rule_matches_carries_a_warning_where_the_policy_warns() -> None:
    nothing = Match((ImageGlob.parse("registry.example.com/nothing"),))
    for no_match, warnings in ((NoMatch.WARN, 1), (NoMatch.ALLOW, 0)):
        outcome = ask(review(sync(oci())), with_match(nothing, no_match=no_match))
        assert isinstance(outcome, Admit)
        assert len(outcome.warnings) == warnings
    covered = ask(review(sync(oci())), with_match(EVERYTHING, no_match=NoMatch.WARN))
    assert isinstance(covered, Admit)
    assert covered.warnings == ()


def test_a_dry_run_gets_the_same_answer() -> None:
    for _, case in make.cases():
        wet, dry = copy.deepcopy(case.review), copy.deepcopy(case.review)
        wet["request"]["dryRun"], dry["request"]["dryRun"] = False, True
        assert ask(wet) == ask(dry)


def test_every_refusal_is_one_line_that_starts_with_its_reason() -> None:
    for name, case in make.cases():
        outcome = ask(case.review, make.make_policy(case.policy or make.OPEN))
        if not isinstance(outcome, Ask):
            assert outcome.message.startswith(f"{outcome.reason}: "), name
            assert outcome.message.isprintable(), name


def test_a_refused_digest_is_named_in_full_however_long_the_image_is() -> None:
    long = f"registry.example.com/{'a' * 200}:v1"
    outcome = ask(review(sync(oci(), claim(f"{long}@{B}")), sync(oci())))
    assert isinstance(outcome, Refuse)
    assert B in outcome.message


@pytest.mark.parametrize("text", ["\x1b[31m", "\u202e", "\n", "x" * 300])
def test_what_comes_from_outside_is_quoted_and_cut(text: str) -> None:
    for document in (
        review(sync(oci(f"{IMAGE}:{text}"))),
        review(sync(oci(), claim(text))),
        review(sync(helm(f"oci://{text}"))),
        review(sync(oci() | {"sourceType": text})),
        review(sync(oci()), operation=text),
        review(sync(oci(), kind=text)),
    ):
        outcome = ask(document)
        assert isinstance(outcome, Refuse)
        assert outcome.message.isprintable()
        assert "x" * 201 not in outcome.message


# Offline answers


def test_an_offline_answer_names_the_repository_canonically() -> None:
    image = "Registry.Example.com:443/a:v1"
    parsed = parse_review(encode(poll(sync(oci(image), claim(f"{image}@{A}")))))
    assert offline(parsed, examine(parsed, POLICY, NOW)) == {
        "uid": parsed.uid,
        "decision": "verify",
        "reason": None,
        "subjects": [f"registry.example.com/a@{A}"],
    }


# What somebody who edits a RepoSync might try

BAD = claim(f"{IMAGE}:evil@{B}")


def held(spec: Document | None = None, annotations: Document | None = None) -> Document:
    return sync(spec or oci(), annotations, kind="RepoSync")


@pytest.mark.parametrize(
    ("new", "old"),
    [
        # The annotation of the next source, set before the source: the reconciler's own patch would change nothing.
        (held(oci(), claim(f"{IMAGE}:v2@{B}")), held(oci())),
        # Two annotations, of which the one that is read first is harmless.
        (held(oci(), claim(f"{TAG}@{A}") | {SOURCE_URL: TAG, SOURCE_COMMIT: "b" * 64}), held(oci())),
        (held(oci(), claim(f"{TAG}@{A}") | {SOURCE_URL: f"{IMAGE}:v2", SOURCE_COMMIT: "a" * 64}), held(oci())),
        # Half a pair to be completed by another update.
        (held(oci(), claim(f"{TAG}@{A}") | {SOURCE_COMMIT: "b" * 64}), held(oci())),
        # A pair whose halves move the border between image and digest.
        (held(oci(), {SOURCE_URL: f"{TAG}@sha256:{'b' * 64}", SOURCE_COMMIT: "a" * 64}), held(oci())),
        (held(oci(), {SOURCE_URL: IMAGE, SOURCE_COMMIT: f"{'a' * 64}\n"}), held(oci())),
        # Types that a careless reader takes for absent.
        (held(oci(), {IMAGE_TO_SYNC: False}), held(oci(), BAD)),
        (held(oci(), {IMAGE_TO_SYNC: []}), held(oci(), BAD)),
        (held(oci(), {IMAGE_TO_SYNC: 0}), held(oci(), BAD)),
        (held(oci(), {IMAGE_TO_SYNC: None}), held(oci(), BAD)),
        # Source types that a careless reader takes for git.
        (held({**git(), "sourceType": ""}), held()),
        (held({**git(), "sourceType": "Git"}), held()),
        (held({**git(), "sourceType": None}), held()),
        (held({"sourceType": "oci", "git": git()["git"]}), held()),
        (held({"sourceType": "oci", "oci": None}), held()),
        # An image that names two things.
        (held(oci(f"{IMAGE}@{A}@{B}")), held()),
        (held(oci(f"{IMAGE}@{A},{IMAGE}@{B}")), held()),
        (held(oci(f" {IMAGE}@{A}")), held()),
        (held(oci("")), held()),
        # A chart in a registry that does not look like one.
        (held(helm("OCI://registry.example.com/charts")), held()),
        (held(helm("\toci://registry.example.com/charts")), held()),
    ],
)
def test_a_trick_with_fields_is_refused(new: Document, old: Document) -> None:
    assert isinstance(ask(review(new, old)), Refuse)
    assert isinstance(ask(review(new)), Refuse)


@pytest.mark.parametrize(
    "document",
    [
        review(held(oci(PIN)), kind={"group": "configsync.gke.io", "version": "v1beta1", "kind": "reposync"}),
        review(held(oci(PIN)), kind={"group": "example.com", "version": "v1beta1", "kind": "RepoSync"}),
        review(held(oci(PIN)), kind={"group": "configsync.gke.io", "version": "v2", "kind": "RepoSync"}),
        review(held(oci(PIN)), kind={"group": "configsync.gke.io", "version": "v1alpha1", "kind": "RepoSync"}),
        review(held(oci(PIN)), kind={"group": "configsync.gke.io", "version": "v1beta1", "kind": "RootSync"}),
        review({**held(oci(PIN)), "apiVersion": "example.com/v1beta1"}),
        review({**held(oci(PIN)), "apiVersion": "v1beta1"}),
        review(sync(oci(PIN), namespace="")),
        review(held(oci(PIN)), name=""),
        review(held(oci(PIN)), name="another"),
        review(held(oci(PIN)), namespace=""),
        review(held(oci(PIN)), namespace="another"),
        review(held(oci(PIN)), held(), name=""),
        review(held(oci(PIN)), operation="CONNECT"),
        review(held(oci(PIN)), operation="create"),
        review(held(oci(PIN)), held(), operation="PATCH"),
        review(held(oci(PIN)), operation="UPDATE"),
        review(None, held(oci(PIN)), operation="UPDATE"),
        review(None, None, operation="CREATE"),
    ],
)
def test_a_review_that_contradicts_itself_is_malformed(document: Document) -> None:
    assert reason(ask(document)) is Reason.MALFORMED


def test_a_generated_name_counts_only_on_create() -> None:
    new = sync(oci(PIN), generateName="edge-")
    assert reason(ask(review(new, sync(oci()), name=""))) is Reason.MALFORMED


def test_a_create_with_an_old_object_is_judged_as_a_create() -> None:
    document = review(held(git()), held(git()), operation="CREATE")
    assert reason(ask(document, make.make_policy(make.EXISTING))) is Reason.SOURCE_DENIED


def test_an_old_object_that_cannot_be_read_is_no_existing_git_source() -> None:
    document = review(held(git()), {**held(git()), "spec": {"sourceType": "git"}})
    assert reason(ask(document, make.make_policy(make.EXISTING))) is Reason.SOURCE_DENIED


def test_a_bad_object_can_be_set_right() -> None:
    bad = held({"sourceType": "oci"}, {SOURCE_URL: "half a pair"})
    assert subjects(ask(review(held(oci(PIN)), bad))) == [PIN]


@pytest.mark.parametrize("name", ["edge", "repo-sync", "root-sync"])
def test_every_reconciler_is_held_to_its_polls(name: str) -> None:
    for kind, account in (("RootSync", "root-reconciler"), ("RepoSync", "ns-reconciler-team-a")):
        named = sync(oci(), kind=kind, name=name)
        default = {"RootSync": "root-sync", "RepoSync": "repo-sync"}[kind]
        length = f"-{len(name)}" if kind == "RepoSync" else ""
        suffix = "" if name == default else f"-{name}{length}"
        username = f"system:serviceaccount:config-management-system:{account}{suffix}"
        assert reason(ask(poll(named, username=username))) is Reason.NO_ANNOTATION
        assert reason(ask(poll(named, username=username + "x"))) is Reason.UNCHANGED


# Properties

IMAGES = st.sampled_from([TAG, IMAGE, PIN, f"{TAG}@{A}", f"{IMAGE}:v2", f"{IMAGE}@{B}"])
CLAIMS = st.sampled_from([A, B, "sha256:", "", f"{A}@{A}", f"{A}@{B}"])
SPECS = st.one_of(
    IMAGES.map(oci),
    st.builds(lambda image, directory: oci(image, dir=directory), IMAGES, st.sampled_from(["a", "b"])),
    st.sampled_from([git(), git("https://git.example.com/b")]),
    st.sampled_from([helm("https://c.example.com"), helm("oci://c.example.com/x")]),
    st.sampled_from([{}, {"sourceType": "oci"}, {"sourceType": "oci", "oci": []}]),
)


@st.composite
def odd_annotations(draw: st.DrawFn) -> Document | None:
    """Claims of the images that specs name, of both generations, right and wrong, whole and half."""
    image, digest = draw(IMAGES), draw(CLAIMS)
    one, url, commit = claim(f"{image}@{digest}"), {SOURCE_URL: image}, {SOURCE_COMMIT: digest.removeprefix("sha256:")}
    both = claim(f"{image}@{draw(CLAIMS)}") | url | commit
    odd: list[Document] = [{IMAGE_TO_SYNC: ""}, {IMAGE_TO_SYNC: None}, {IMAGE_TO_SYNC: 1}, {IMAGE_TO_SYNC: []}]
    return draw(st.none() | st.sampled_from([one, url | commit, both]) | st.sampled_from([url, commit, *odd]))


@st.composite
def reviews(draw: st.DrawFn) -> Document:
    kind = draw(st.sampled_from(["RootSync", "RepoSync"]))
    old = sync(draw(SPECS), draw(odd_annotations()), kind=kind)
    new = copy.deepcopy(old)
    if draw(st.booleans()):
        new = sync(draw(SPECS), draw(odd_annotations()), kind=kind)
    elif draw(st.booleans()):
        new["metadata"] = sync({}, draw(odd_annotations()), kind=kind)["metadata"]
    if draw(st.booleans()):
        new["metadata"][draw(st.sampled_from(["labels", "generation"]))] = draw(st.sampled_from([{}, 2]))
    username = draw(st.sampled_from(["jane@example.com", RECONCILERS[kind]]))
    return review(new, draw(st.sampled_from([None, old])), username=username)


POLICIES = st.sampled_from(
    [
        POLICY,
        CLOSED,
        make.make_policy(make.RESOLVE),
        make.make_policy(make.EXISTING),
        make.make_policy(make.ELSEWHERE_WARN),
    ]
)


@given(reviews(), POLICIES)
def test_an_image_that_is_claimed_or_polled_is_never_admitted_unverified(document: Document, policy: Policy) -> None:
    outcome = ask(document, policy)
    request = document["request"]
    new, old = request["object"], request["oldObject"]
    image = new["spec"]["oci"]["image"] if new["spec"].get("sourceType") == "oci" and new["spec"].get("oci") else None
    own = request["userInfo"]["username"] == RECONCILERS[new["kind"]]
    is_poll = own and old is not None and stripped(new) == stripped(old)
    claimed, claimed_before = claims_of(new), claims_of(old)
    if image is None or not (is_poll or claimed != claimed_before):
        return
    if isinstance(outcome, Admit):
        # The written-down exemptions: nothing is claimed, and it is not the reconciler that keeps silent.
        assert not claimed
        assert not is_poll
        assert not own or old is None
        assert outcome.reason in {Reason.CLAIM_REMOVED, Reason.NO_DIGEST_YET}
    elif isinstance(outcome, Ask):
        verified = {str(subject.reference.digest) for subject in outcome.subjects}
        starts = is_poll or old is None or new["spec"] != old["spec"]
        pinned = {image.rpartition("@")[2]} if "@" in image and starts else set()
        # What is claimed of a pin is verified in its place, and has to be in it.
        assert verified == ({value.removeprefix(f"{image}@") for value in claimed} or pinned)
        assert all(isinstance(subject, Claimed) for subject in outcome.subjects) is bool(claimed)
        assert all(subject.image.digest is None or pinned for subject in outcome.subjects if claimed and starts)


def claims_of(document: Document | None) -> set[str]:
    """What the annotations say, read as generously as possible: anything that is not empty is a claim."""
    found = (document or {"metadata": {}})["metadata"].get("annotations") or {}
    claims = set()
    if found.get(IMAGE_TO_SYNC, "") != "":
        claims.add(str(found[IMAGE_TO_SYNC]))
    if found.get(SOURCE_URL) or found.get(SOURCE_COMMIT):
        # An absent half and an empty one are the same.
        claims.add(f"{found.get(SOURCE_URL) or ''}@sha256:{found.get(SOURCE_COMMIT) or ''}")
    return claims


def stripped(document: Document) -> Document:
    bookkeeping = {"managedFields", "resourceVersion", "generation"}
    return {**document, "metadata": {k: v for k, v in document["metadata"].items() if k not in bookkeeping}}


@given(reviews(), POLICIES)
def test_a_question_always_has_a_subject_and_every_image_a_digest(document: Document, policy: Policy) -> None:
    outcome = ask(document, policy)
    if isinstance(outcome, Ask):
        assert outcome.subjects
        assert len(set(outcome.subjects)) == len(outcome.subjects)
        references = [subject.reference for subject in outcome.subjects]
        charts = [isinstance(subject, Chart) for subject in outcome.subjects]
        assert [reference.digest is None for reference in references] == charts
        assert all(policy.covers(reference, outcome.context) for reference in references)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ("apiVersion", "kind", "metadata", "spec")


@given(st.sampled_from(FIELDS), JSON, st.sampled_from(FIELDS), JSON, st.booleans())
def test_no_object_makes_it_raise(
    first: str,
    one: object,
    second: str,
    two: object,
    polled: bool,
) -> None:
    document = poll(sync(oci(), claim(f"{TAG}@{A}")))
    request = document["request"]
    request["object"][first] = one
    request["oldObject" if polled else "object"][second] = two
    outcome = ask(document)
    assert isinstance(outcome, Admit | Refuse | Ask)
