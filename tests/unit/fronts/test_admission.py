"""AdmissionReview: every field's type is checked, and whoever can be answered is answered."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.core import limits, strictjson
from gate.fronts.admission import Review, ReviewError, parse_review, render
from tests.fakes.reviews import Document, encode, oci, review, sync

V1 = "admission.k8s.io/v1"
V1BETA1 = "admission.k8s.io/v1beta1"
GOOD = review(sync(oci()), sync(oci(dir="old")), subResource="status", dryRun=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


DROPPED = object()


def with_field(path: str, value: object) -> bytes:
    """The good review with the field at a dotted path replaced; the value DROPPED removes it."""
    document: Document = copy.deepcopy(GOOD)
    *parents, last = path.split(".")
    target = document
    for parent in parents:
        target = target[parent]
    if value is DROPPED:
        del target[last]
    else:
        target[last] = value
    return encode(document)


def refusal(body: bytes) -> ReviewError:
    with pytest.raises(ReviewError) as caught:
        parse_review(body)
    return caught.value


def read(answer: bytes) -> Document:
    return dict(strictjson.loads_object(answer, limit=limits.MIB))


@pytest.mark.parametrize("api_version", [V1, V1BETA1])
def test_a_review_of_either_version_is_read_field_by_field(api_version: str) -> None:
    request = GOOD["request"]
    assert parse_review(with_field("apiVersion", api_version)) == Review(
        api_version=api_version,
        uid=request["uid"],
        operation="UPDATE",
        group="configsync.gke.io",
        version="v1beta1",
        kind="RootSync",
        resource="rootsyncs",
        subresource="status",
        namespace="config-management-system",
        name="root-sync",
        username="jane@example.com",
        dry_run=True,
        object=request["object"],
        old_object=request["oldObject"],
    )


@pytest.mark.parametrize(
    ("field", "attribute", "value"),
    [
        ("subResource", "subresource", None),
        ("namespace", "namespace", ""),
        ("name", "name", ""),
        ("dryRun", "dry_run", False),
        ("object", "object", None),
        ("oldObject", "old_object", None),
    ],
)
@pytest.mark.parametrize("written", [DROPPED, None])
def test_a_field_that_kubernetes_leaves_out_may_be_absent_or_null(
    field: str, attribute: str, value: object, written: object
) -> None:
    assert getattr(parse_review(with_field(f"request.{field}", written)), attribute) == value


def test_an_empty_subresource_is_none() -> None:
    assert parse_review(with_field("request.subResource", "")).subresource is None


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("kind", "Review", "no AdmissionReview"),
        ("kind", DROPPED, "no AdmissionReview"),
        ("apiVersion", "admission.k8s.io/v2", '"admission.k8s.io/v2"'),
        ("apiVersion", 1, "the review's apiVersion is not a string"),
        ("apiVersion", ["x"], "the review's apiVersion is not a string"),
        ("request.kind", "RootSync", "request.kind is not an object"),
        ("request.kind.group", None, "request.kind.group is not a string"),
        ("request.kind.version", 1, "request.kind.version is not a string"),
        ("request.kind.kind", DROPPED, "request.kind.kind is not a string"),
        ("request.resource", DROPPED, "request.resource is not an object"),
        ("request.resource.resource", True, "request.resource.resource is not a string"),
        ("request.operation", DROPPED, "request.operation is not a string"),
        ("request.operation", ["UPDATE"], "request.operation is not a string"),
        ("request.subResource", ["status"], "request.subResource is not a string"),
        ("request.subResource", True, "request.subResource is not a string"),
        ("request.namespace", 7, "request.namespace is not a string"),
        ("request.name", {}, "request.name is not a string"),
        ("request.userInfo", DROPPED, "request.userInfo is not an object"),
        ("request.userInfo.username", None, "request.userInfo.username is not a string"),
        ("request.userInfo.username", "", "request.userInfo.username is empty"),
        ("request.dryRun", "false", "request.dryRun is neither true nor false"),
        ("request.dryRun", 0, "request.dryRun is neither true nor false"),
        ("request.object", "x", "request.object is not an object"),
        ("request.object", [], "request.object is not an object"),
        ("request.oldObject", 1, "request.oldObject is not an object"),
    ],
)
def test_a_review_with_a_bad_field_is_refused_by_its_uid(path: str, value: object, message: str) -> None:
    error = refusal(with_field(path, value))
    assert message in error.message
    assert (error.uid, error.api_version) == (GOOD["request"]["uid"], V1)


def test_a_bad_review_is_answered_in_its_own_version() -> None:
    body = encode({**GOOD, "apiVersion": V1BETA1, "kind": "Review"})
    assert refusal(body).api_version == V1BETA1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"request": {"uid": "a", "uid": "b"}}',
        encode({}),
        encode({"request": None}),
        encode({"request": ["uid"]}),
        b"[" * 100_000,
        b" " * (limits.REVIEW_BYTES + 1),
    ],
    ids=lambda body: repr(body[:40]),
)
def test_what_is_no_review_at_all_cannot_be_answered(body: bytes) -> None:
    error = refusal(body)
    assert error.uid is None
    assert "\n" not in error.message


@pytest.mark.parametrize("uid", [DROPPED, None, "", 7, ["a"], {}, "a" * 254, "a\nb", "ä", "a\u202eb"])
def test_a_review_without_a_readable_uid_cannot_be_answered(uid: object) -> None:
    assert refusal(with_field("request.uid", uid)).uid is None


def test_the_longest_uid_is_readable() -> None:
    assert parse_review(with_field("request.uid", "a" * 253)).uid == "a" * 253


@given(st.binary(max_size=200))
def test_bytes_raise_nothing_but_a_review_error(body: bytes) -> None:
    try:
        parse_review(body)
    except ReviewError as error:
        assert error.uid is None


PATHS = [
    "apiVersion", "kind", "request", "request.uid", "request.kind", "request.kind.group", "request.operation",
    "request.resource", "request.subResource", "request.namespace", "request.name", "request.userInfo",
    "request.userInfo.username", "request.dryRun", "request.object", "request.oldObject",
]  # fmt: skip


@given(st.sampled_from(PATHS), JSON)
def test_any_value_in_any_field_is_read_or_refused(path: str, value: object) -> None:
    try:
        parsed = parse_review(with_field(path, value))
    except ReviewError:
        return
    assert isinstance(parsed.uid, str)
    assert isinstance(parsed.dry_run, bool)
    assert parsed.subresource != ""


@pytest.mark.parametrize("api_version", [V1, V1BETA1])
def test_an_admission_carries_no_status(api_version: str) -> None:
    assert read(render(api_version, "u", allowed=True, message="fine")) == {
        "apiVersion": api_version,
        "kind": "AdmissionReview",
        "response": {"uid": "u", "allowed": True},
    }


@pytest.mark.parametrize("api_version", [V1, V1BETA1])
def test_a_denial_is_code_400_with_its_message_and_no_reason_field(api_version: str) -> None:
    answer = read(render(api_version, "u", allowed=False, message="malformed: x"))
    assert answer["response"] == {"uid": "u", "allowed": False, "status": {"code": 400, "message": "malformed: x"}}


def test_a_denial_always_says_something() -> None:
    assert read(render(V1, "u", allowed=False))["response"]["status"]["message"]


@pytest.mark.parametrize("api_version", [V1, V1BETA1])
def test_warnings_are_passed_on_in_both_versions(api_version: str) -> None:
    answer = read(render(api_version, "u", allowed=True, warnings=("a", "b")))
    assert answer["response"] == {"uid": "u", "allowed": True, "warnings": ["a", "b"]}


@pytest.mark.parametrize(("length", "shown"), [(256, "x" * 256), (257, "x" * 255 + "…")])
def test_a_warning_longer_than_kubernetes_shows_is_cut_and_says_so(length: int, shown: str) -> None:
    assert read(render(V1, "u", allowed=True, warnings=("x" * length,)))["response"]["warnings"] == [shown]


def test_no_more_warnings_are_sent_than_kubernetes_passes_on() -> None:
    warnings = tuple(f"{number:03d}" + "x" * 253 for number in range(20))
    assert read(render(V1, "u", allowed=True, warnings=warnings))["response"]["warnings"] == list(warnings[:16])


@given(st.text(max_size=300), st.lists(st.text(max_size=300), max_size=20).map(tuple), st.booleans())
def test_an_answer_is_always_the_same_json(message: str, warnings: tuple[str, ...], allowed: bool) -> None:
    first, second = (render(V1, "u", allowed=allowed, message=message, warnings=warnings) for _ in range(2))
    response = read(first)["response"]
    assert first == second
    assert response["allowed"] is allowed
    assert ("status" in response) is not allowed
    assert sum(map(len, response.get("warnings", []))) <= 4096
