"""What syncs now is judged by the status, as the next poll would be; the annotation is no evidence."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.core.globs import ImageGlob
from gate.core.oci import Digest, Reference
from gate.core.policy import (
    Context,
    Fail,
    HelmOciChoice,
    Match,
    ObjectException,
    Policy,
    Rule,
    SourceChoice,
    Sources,
    Term,
)
from gate.core.reasons import Reason
from gate.core.subjects import Chart, Claimed
from gate.core.verdict import Decision, Denied, Exempt, Unavailable, Verified
from gate.fronts import audit
from gate.fronts.audit import Question, Row, Synced, config_sync_asks, counts, severity
from tests.fakes import reviews
from tests.fakes.audits import synced
from tests.fakes.engine import POLICY

A, B = (Digest.parse(text) for text in (reviews.A, reviews.B))
NOW = datetime(2026, 1, 1, tzinfo=UTC)
GIT_COMMIT = "5b2fd5e5e8ee0f5a9d4c9d3f0f6b4a2c1d0e9f88"
STRICT = replace(POLICY, sources=Sources(git=SourceChoice.DENY, helm_http=SourceChoice.DENY, require_digest=True))


def examine(kind: str, held: reviews.Document, policy: Policy) -> Synced:
    return audit.examine(kind, held, policy, NOW)


def exemption(found: Synced) -> Reason:
    """Return why nothing needs to be asked to admit what syncs."""
    assert isinstance(found.question, Decision)
    assert isinstance(found.question.verdict, Exempt)
    return found.question.verdict.reason


def refusal(found: Synced) -> Reason:
    """Return why nothing needs to be asked to refuse what syncs."""
    assert isinstance(found.question, Decision)
    assert isinstance(found.question.verdict, Denied)
    return found.question.verdict.reason


def subject(found: Synced) -> object:
    assert isinstance(found.question, Question)
    return found.question.subject


def test_what_syncs_is_the_commit_of_the_status_and_not_what_the_annotation_names() -> None:
    held = synced(reviews.oci(), A.hex, annotations=reviews.claim(f"{reviews.IMAGE}:v1@{B}"))
    found = examine("RootSync", held, POLICY)
    assert subject(found) == Claimed(Reference.parse(f"{reviews.IMAGE}:v1"), A)
    assert found.what == f"{reviews.IMAGE}:v1@{A}"


def test_a_child_of_a_pinned_index_is_asked_about_as_such() -> None:
    found = examine("RootSync", synced(reviews.oci(f"{reviews.IMAGE}@{A}"), B.hex), POLICY)
    assert subject(found) == Claimed(Reference.parse(f"{reviews.IMAGE}@{A}"), B)


def test_what_syncs_is_of_the_source_that_the_status_names_and_not_of_what_the_spec_wants_by_now() -> None:
    held = synced(reviews.oci("registry.example.com/team/next:v1"), A.hex, ociStatus={"image": f"{reviews.IMAGE}:v1"})
    found = examine("RootSync", held, POLICY)
    assert subject(found) == Claimed(Reference.parse(f"{reviews.IMAGE}:v1"), A)
    assert not found.current


def test_an_image_that_still_syncs_after_a_switch_to_git_is_not_taken_for_git() -> None:
    found = examine("RootSync", synced(reviews.git(), A.hex, ociStatus={"image": reviews.IMAGE}), POLICY)
    assert (found.source_type, found.current) == ("oci", False)
    assert subject(found) == Claimed(Reference.parse(reviews.IMAGE), A)


@pytest.mark.parametrize("status", [{}, {"status": {}}, {"status": {"sync": {}}}, {"status": {"sync": {"commit": ""}}}])
def test_where_nothing_is_synced_nothing_is_asked(status: dict[str, Any]) -> None:
    found = examine("RootSync", reviews.sync(reviews.oci(f"{reviews.IMAGE}@{A}")) | status, STRICT)
    assert (exemption(found), found.what) == (Reason.NO_DIGEST_YET, None)


def test_git_is_reported_as_the_policy_has_it() -> None:
    held = synced(reviews.git(), GIT_COMMIT)
    allowed = examine("RootSync", held, POLICY)
    existing = replace(POLICY, sources=Sources(git=SourceChoice.EXISTING, helm_http=SourceChoice.DENY))
    assert exemption(allowed) is Reason.GIT
    assert allowed.what == f"https://git.example.com/config@{GIT_COMMIT}"
    assert exemption(examine("RootSync", held, existing)) is Reason.GIT
    assert refusal(examine("RootSync", held, STRICT)) is Reason.SOURCE_DENIED


def test_helm_over_http_is_reported_as_the_policy_has_it() -> None:
    held = synced(reviews.helm("https://charts.example.com"), "1.2.3")
    assert exemption(examine("RootSync", held, POLICY)) is Reason.HELM_HTTP
    assert refusal(examine("RootSync", held, STRICT)) is Reason.SOURCE_DENIED


def test_a_chart_in_a_registry_is_asked_about_at_the_version_that_syncs_where_the_policy_resolves_it() -> None:
    held = synced(reviews.helm("oci://registry.example.com/charts", "^1.0"), "1.2.3")
    assert refusal(examine("RootSync", held, POLICY)) is Reason.HELM_OCI
    resolving = replace(POLICY, sources=replace(POLICY.sources, helm_oci=HelmOciChoice.RESOLVE))
    assert subject(examine("RootSync", held, resolving)) == Chart(
        Reference.parse("registry.example.com/charts/app:1.2.3")
    )


def test_a_candidate_that_requires_digests_denies_a_tag() -> None:
    assert refusal(examine("RootSync", synced(reviews.oci(), A.hex), STRICT)) is Reason.DIGEST_REQUIRED


def test_an_image_that_no_rule_is_about_is_denied_without_asking_its_registry() -> None:
    elsewhere = replace(POLICY.rules[0], match=Match((ImageGlob.parse("elsewhere.example/**"),)))
    found = examine("RootSync", synced(reviews.oci(), A.hex), replace(POLICY, rules=(elsewhere,)))
    assert refusal(found) is Reason.NO_RULE


@pytest.mark.parametrize(
    "broken",
    [
        {"spec": None},
        {"spec": {"sourceType": "svn"}},
        {"spec": {"sourceType": "oci"}},
        {"status": []},
        {"status": {"sync": []}},
        {"status": {"sync": {"commit": 7}}},
        {"status": {"sync": {"commit": "not-a-digest"}}},
        {"status": {"sync": {"commit": "A" * 64}}},
        {"status": {"sync": {"commit": "a" * 64, "ociStatus": {"image": "x.example/y"}, "gitStatus": {"repo": "x"}}}},
        {"status": {"sync": {"commit": "a" * 64, "ociStatus": {}}}},
        {"status": {"sync": {"commit": "a" * 64, "gitStatus": {}}}},
        {"metadata": {}},
    ],
)
def test_what_cannot_be_read_is_denied_as_malformed(broken: dict[str, Any]) -> None:
    held = synced(reviews.oci(), A.hex) | broken
    assert refusal(examine("RootSync", held, POLICY)) is Reason.MALFORMED


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["commit", "oci", "image"]), inner),
    max_leaves=6,
)


@given(st.sampled_from(["metadata", "spec", "status"]), JSON)
def test_no_object_raises(name: str, value: object) -> None:
    examine("RepoSync", synced(reviews.oci(), A.hex) | {name: value}, POLICY)


# What an exception or the rollout admits


ROLLOUT = replace(STRICT, rollout=Term(NOW + timedelta(days=1), "first weeks"))


def test_a_source_that_the_rollout_admits_is_exempt_and_says_what_will_deny_it() -> None:
    found = examine("RootSync", synced(reviews.git(), GIT_COMMIT), ROLLOUT)
    assert isinstance(found.question, Decision)
    row = Row.of(found, found.question)
    assert row.decision.verdict.reason is Reason.ROLLOUT
    assert row.decision.refused is not None
    assert row.decision.refused.reason is Reason.SOURCE_DENIED


def test_a_verified_image_in_a_source_that_the_rollout_admits_is_no_better_than_the_source() -> None:
    found = examine("RootSync", synced(reviews.oci(), A.hex), ROLLOUT)
    assert subject(found) == Claimed(Reference.parse(f"{reviews.IMAGE}:v1"), A)
    assert Row.of(found, Decision(Verified("", ()))).decision.verdict.reason is Reason.ROLLOUT
    assert Row.of(found, Decision(Denied(Reason.STATIC_FAIL, ""))).decision.verdict.reason is Reason.STATIC_FAIL


# What is asked once


def rsync(name: str, kind: str = "RootSync") -> dict[str, Any]:
    return synced(reviews.oci(), A.hex, kind=kind, name=name)


def test_two_objects_that_sync_the_same_digest_ask_one_question() -> None:
    one, other = (examine(kind, rsync("edge", kind), POLICY).question for kind in ("RootSync", "RepoSync"))
    assert one == other
    assert hash(one) == hash(other)


def test_a_rule_about_some_objects_makes_it_two_questions() -> None:
    match = Match((ImageGlob.parse("**"),), names=("edge",))
    policy = replace(POLICY, rules=(*POLICY.rules, Rule("edge-only", match, Fail())))
    one, other = (examine("RootSync", rsync(name), policy).question for name in ("edge", "core"))
    assert one != other


def test_an_exception_for_one_object_makes_it_two_questions() -> None:
    context = Context("RootSync", "config-management-system", "edge")
    term = Term(NOW + timedelta(days=1), "INC-1")
    policy = replace(POLICY, exceptions=(ObjectException(Reference.parse(reviews.IMAGE), context, term),))
    one, other = (examine("RootSync", rsync(name), policy).question for name in ("edge", "core"))
    assert one != other


# Config Sync itself


@pytest.mark.parametrize(
    ("image", "asks"),
    [
        ("gcr.io/config-management-release/reconciler-manager:v1.19.2", False),
        ("gcr.io/config-management-release/reconciler-manager:v1.20.0-rc.1", True),
        ("gcr.io/config-management-release/reconciler-manager:v1.20.3-gke.1", True),
        ("localhost:5000/reconciler-manager:v2.0.0", True),
        ("localhost:5000/reconciler-manager:v1.9.0@sha256:" + "0" * 64, False),
        ("localhost:5000/reconciler-manager", None),
        ("localhost:5000/reconciler-manager@sha256:" + "0" * 64, None),
        ("gcr.io/x/reconciler-manager:latest", None),
        ("gcr.io/x/reconciler-manager:1.20", None),
        ("", None),
    ],
)
def test_the_tag_of_the_manager_says_whether_config_sync_asks(image: str, asks: bool | None) -> None:
    assert config_sync_asks(image) is asks


def test_what_is_denied_comes_first_and_then_what_could_not_be_told() -> None:
    verdicts = (
        Verified("", ()),
        Unavailable(Reason.DEADLINE, ""),
        Exempt(Reason.GIT, ""),
        Denied(Reason.NO_SIGNATURE, ""),
    )
    rows = [Row(examine("RootSync", rsync("edge"), POLICY), Decision(verdict)) for verdict in verdicts]
    ordered = [type(row.decision.verdict) for row in sorted(rows, key=severity)]
    assert ordered[:2] == [Denied, Unavailable]
    assert counts(rows) == {"verified": 1, "exempt": 1, "denied": 1, "unavailable": 1}
