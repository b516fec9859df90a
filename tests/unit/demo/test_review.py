from __future__ import annotations

import pytest

from gate.core import limits, strictjson
from gate.core.oci import Digest
from gate.demo.review import ANNOTATION, RECONCILER, reconciler_review
from tests.fakes.shared import shared_fixture

IMAGE = "127.0.0.1:5000/config:v1"
GOOD, EVIL = Digest.of(b"good"), Digest.of(b"evil")


def request(review: bytes) -> strictjson.Object:
    return strictjson.expect_object(strictjson.loads_object(review, limit=limits.REVIEW_BYTES)["request"], "request")


def claim(value: strictjson.Json) -> strictjson.Json:
    metadata = strictjson.expect_object(strictjson.expect_object(value, "object")["metadata"], "metadata")
    return strictjson.expect_object(metadata.get("annotations") or {}, "annotations").get(ANNOTATION)


def test_it_is_an_update_by_the_reconciler_that_announces_the_digest() -> None:
    asked = request(reconciler_review(IMAGE, GOOD, "uid-1"))
    assert (asked["uid"], asked["operation"], asked["dryRun"]) == ("uid-1", "UPDATE", False)
    assert strictjson.expect_object(asked["userInfo"], "user")["username"] == RECONCILER
    assert claim(asked["object"]) == f"{IMAGE}@{GOOD}"


def test_what_was_denied_before_left_no_trace_and_what_was_admitted_did() -> None:
    assert claim(request(reconciler_review(IMAGE, GOOD, "u"))["oldObject"]) is None
    assert claim(request(reconciler_review(IMAGE, EVIL, "u", synced=GOOD))["oldObject"]) == f"{IMAGE}@{GOOD}"


@pytest.mark.parametrize("path", [("request",), ("request", "object"), ("request", "object", "spec")])
def test_it_has_the_members_of_a_recorded_review(path: tuple[str, ...]) -> None:
    recorded = shared_fixture("admission-reviews/003-UPDATE-RootSync-cap-tag-main.json").read_bytes()
    theirs = strictjson.loads_object(recorded, limit=limits.REVIEW_BYTES)
    ours = strictjson.loads_object(reconciler_review(IMAGE, GOOD, "u"), limit=limits.REVIEW_BYTES)
    for name in path:
        theirs = strictjson.expect_object(theirs[name], name)
        ours = strictjson.expect_object(ours[name], name)
    # A review is written before the API server adds status; everything else that was recorded is there.
    assert set(theirs) - {"status"} == set(ours)
