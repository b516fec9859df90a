"""Of what there is an Event: refusals and leniencies about an object that exists, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from gate.core.reasons import Reason
from gate.fronts.admission import Review, parse_review
from gate.fronts.answers import Answer
from gate.fronts.notices import notice
from tests.fakes import reviews

DENIED = Answer(allowed=False, reason=Reason.NO_SIGNATURE, message="no signatures found")


def review(of: str = "RootSync", **fields: object) -> Review:
    document = reviews.poll(reviews.sync(reviews.oci(), kind=of))
    document["request"] |= fields
    return parse_review(reviews.encode(document))


def admitted(reason: Reason, *warnings: str) -> Answer:
    return Answer(allowed=True, reason=reason, message=f"{reason}: because", warnings=warnings)


@pytest.mark.parametrize("kind", ["RootSync", "RepoSync"])
def test_a_refused_update_is_told_on_the_object_in_the_words_of_the_answer(kind: str) -> None:
    asked = review(kind)
    event = notice(asked, DENIED)
    assert event is not None
    assert (event.kind, event.namespace, event.name) == (kind, asked.namespace, asked.name)
    assert event.uid == "3d9a8e4e-2f30-4a37-9d7f-1d1f3f1f0001"
    assert (event.reason, event.message) == ("SyncDenied", "no signatures found")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (admitted(Reason.EXCEPTION), "ExceptionUsed"),
        *((admitted(each), "SyncUnverified") for each in (Reason.ROLLOUT, Reason.WARNED, Reason.FAILED_OPEN)),
        (admitted(Reason.VERIFIED, 'rule "next" (warn): no signatures found'), "SyncUnverified"),
    ],
)
def test_what_is_admitted_without_a_proof_is_told(answer: Answer, reason: str) -> None:
    event = notice(review(), answer)
    assert event is not None
    assert event.reason == reason
    assert event.message.startswith(answer.message)
    assert all(warning in event.message for warning in answer.warnings)


@pytest.mark.parametrize(
    "reason", [Reason.VERIFIED, Reason.UNCHANGED, Reason.GIT, Reason.CLAIM_REMOVED, Reason.STATIC_PASS]
)
def test_what_is_admitted_as_usual_is_not_told(reason: Reason) -> None:
    assert notice(review(), admitted(reason)) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"dryRun": True},
        {"operation": "CREATE", "oldObject": None},
        {"operation": "CREATE"},
        {"operation": "DELETE"},
        {"subResource": "status"},
        {"kind": {"group": "apps", "version": "v1", "kind": "Deployment"}},
        {"kind": {"group": "apps", "version": "v1", "kind": "RootSync"}},
        *({"oldObject": held} for held in (None, {}, {"metadata": {}}, {"metadata": []}, {"metadata": {"uid": 7}})),
        {"oldObject": {"metadata": {"uid": ""}}},
    ],
)
def test_a_dry_run_and_what_is_about_no_existing_object_is_not_told(fields: dict[str, Any]) -> None:
    assert notice(review(**fields), DENIED) is None
