"""AdmissionReview, admission.k8s.io v1 and v1beta1: bytes to values, answers to bytes. Pure.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gate.core import limits, strictjson
from gate.core.errors import MalformedError
from gate.core.quote import quote

V1 = "admission.k8s.io/v1"
V1BETA1 = "admission.k8s.io/v1beta1"
API_VERSIONS = frozenset({V1, V1BETA1})

UID_CHARACTERS = 253  # characters; Kubernetes sends UUIDs of 36, and none of its names is longer than this (RFC 1123)

# HTTP status of every denial. Config Sync replaces the message of a 403 by one about its own permissions, and the
# Kubernetes client repeats what is answered 429 until its time is up: neither reaches the person denied.
DENIED_CODE = 400
WARNING_CHARACTERS = 256  # characters of one warning; Kubernetes may cut longer ones
WARNINGS_CHARACTERS = 4096  # characters of all warnings of one answer; Kubernetes may drop what is beyond
_NO_MESSAGE = "internal: the review is denied and no reason was given"


@dataclass(frozen=True, slots=True)
class Review:
    """One request of the API server; ``object`` is None for DELETE, ``old_object`` for CREATE.

    ``api_version`` is the AdmissionReview's; ``group``, ``version`` and ``kind`` are those of ``object``. ``name`` may
    be empty on CREATE (generateName). ``subresource`` is None for the object itself.
    """

    api_version: str
    uid: str
    operation: str
    group: str
    version: str
    kind: str
    resource: str
    subresource: str | None
    namespace: str
    name: str
    username: str
    dry_run: bool
    object: strictjson.Object | None
    old_object: strictjson.Object | None


class ReviewError(MalformedError):
    """A review that cannot be judged.

    With a ``uid`` it is answered as a denial in ``api_version``; without one no AdmissionReview can be an answer.
    """

    def __init__(self, message: str, uid: str | None = None, api_version: str = V1) -> None:
        """Keep one sentence, and to whom and in which version it is to be said."""
        super().__init__(message)
        self.uid = uid
        self.api_version = api_version


def parse_review(body: bytes) -> Review:
    """Return the review in ``body`` (at most 8 MiB), every field's type checked, or raise ReviewError."""
    try:
        document = strictjson.loads_object(body, limit=limits.REVIEW_BYTES)
    except MalformedError as error:
        raise ReviewError(f"the review cannot be read: {error.message}") from error
    uid = _readable_uid(document)
    if uid is None:
        raise ReviewError("the review has no readable request.uid, so it cannot be answered")
    api_version = document.get("apiVersion")
    answer_in = api_version if isinstance(api_version, str) and api_version in API_VERSIONS else V1
    try:
        return _parse(document, uid)
    except MalformedError as error:
        raise ReviewError(error.message, uid, answer_in) from error


def _readable_uid(document: strictjson.Object) -> str | None:
    """Return what an answer has to repeat, if it is there and safe to repeat."""
    request = document.get("request")
    uid = request.get("uid") if isinstance(request, Mapping) else None
    if not isinstance(uid, str) or not 0 < len(uid) <= UID_CHARACTERS or not (uid.isascii() and uid.isprintable()):
        return None
    return uid


def _parse(document: strictjson.Object, uid: str) -> Review:
    api_version = strictjson.expect_string(document.get("apiVersion"), "the review's apiVersion")
    if api_version not in API_VERSIONS or document.get("kind") != "AdmissionReview":
        raise MalformedError(
            f"the document is no AdmissionReview of {V1} or {V1BETA1}, its version is {quote(api_version)}"
        )
    request = strictjson.expect_object(document.get("request"), "the request")
    kind = strictjson.expect_object(request.get("kind"), "request.kind")
    resource = strictjson.expect_object(request.get("resource"), "request.resource")
    user = strictjson.expect_object(request.get("userInfo"), "request.userInfo")
    return Review(
        api_version=api_version,
        uid=uid,
        operation=strictjson.expect_string(request.get("operation"), "request.operation"),
        group=strictjson.expect_string(kind.get("group"), "request.kind.group"),
        version=strictjson.expect_string(kind.get("version"), "request.kind.version"),
        kind=strictjson.expect_string(kind.get("kind"), "request.kind.kind"),
        resource=strictjson.expect_string(resource.get("resource"), "request.resource.resource"),
        # An empty name stands for none, as everywhere in Kubernetes: it must not count as a subresource.
        subresource=_optional_string(request, "subResource") or None,
        namespace=_optional_string(request, "namespace"),
        name=_optional_string(request, "name"),
        username=_sender(user),
        dry_run=_optional_flag(request, "dryRun"),
        object=_optional_object(request, "object"),
        old_object=_optional_object(request, "oldObject"),
    )


def _sender(user: strictjson.Object) -> str:
    username = strictjson.expect_string(user.get("username"), "request.userInfo.username")
    # Who polls is known by name: a review that names nobody cannot be told from one that changes nothing.
    if not username:
        raise MalformedError("request.userInfo.username is empty")
    return username


def _optional_string(request: strictjson.Object, name: str) -> str:
    value = request.get(name)
    return "" if value is None else strictjson.expect_string(value, f"request.{name}")


def _optional_flag(request: strictjson.Object, name: str) -> bool:
    value = request.get(name)
    if value is not None and not isinstance(value, bool):
        raise MalformedError(f"request.{name} is neither true nor false")
    return value is True


def _optional_object(request: strictjson.Object, name: str) -> strictjson.Object | None:
    value = request.get(name)
    return None if value is None else strictjson.expect_object(value, f"request.{name}")


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def render(api_version: str, uid: str, *, allowed: bool, message: str = "", warnings: tuple[str, ...] = ()) -> bytes:
    """Return the answer as JSON, the same bytes for the same arguments; ``message`` is for a denial only.

    Warnings are shown by kubectl and logged by Config Sync; they are cut to what Kubernetes passes on.
    """
    response: dict[str, object] = {"uid": uid, "allowed": allowed}
    if not allowed:
        response["status"] = {"code": DENIED_CODE, "message": message or _NO_MESSAGE}
    passed_on = list(_within_limits(warnings))
    if passed_on:
        response["warnings"] = passed_on
    review = {"apiVersion": api_version, "kind": "AdmissionReview", "response": response}
    return _ENCODER.encode(review).encode()


def _within_limits(warnings: tuple[str, ...]) -> Iterator[str]:
    left = WARNINGS_CHARACTERS
    for warning in warnings:
        text = warning if len(warning) <= WARNING_CHARACTERS else warning[: WARNING_CHARACTERS - 1] + "…"
        left -= len(text)
        if left < 0:
            return
        yield text
