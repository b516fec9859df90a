"""The endpoints of a registry over a Store: a parsed request in, an answer out; distribution-spec v1.1."""

from __future__ import annotations

import re
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from gate.core import limits, strictjson
from gate.core.errors import MalformedError, UnavailableError
from gate.core.manifests import OCI_INDEX, OCI_MANIFEST, Descriptor
from gate.core.oci import Digest
from gate.demo.layouts import compact, descriptor_fields
from gate.demo.store import BLOB_BYTES, Store

UPLOADS = 64  # uploads that were begun and not finished; the oldest gives way

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = rf"(?P<name>{_COMPONENT}(?:/{_COMPONENT})*)"
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Request:
    """One request; ``query`` holds the first value of each parameter, ``media_type`` no parameters."""

    method: str
    path: str
    query: dict[str, str]
    media_type: str
    content_range: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back; the body is left out for HEAD, its length is not."""

    status: HTTPStatus
    body: bytes = b""
    media_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


class _RefusedError(Exception):
    """The request is answered with one of the specification's error codes."""

    def __init__(self, status: HTTPStatus, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass(slots=True)
class Registry:
    """The endpoints, without HTTP: a parsed request in, an answer out."""

    store: Store
    referrers_api: bool
    _uploads: OrderedDict[str, bytes] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: Request) -> Answer:
        """Return what the registry says to ``request``."""
        self.store.record_request(f"{request.method} {request.path}")
        try:
            endpoint, path = _route(request)
            return endpoint(self, request, path)
        except _RefusedError as error:
            return refusal(error.status, error.code, error.message)
        except MalformedError as error:
            return refusal(HTTPStatus.BAD_REQUEST, "MANIFEST_INVALID", error.message)
        except UnavailableError as error:
            return refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "SIZE_INVALID", error.message)

    def ping(self, _request: Request, _path: dict[str, str]) -> Answer:
        """Say that the protocol is spoken here."""
        return Answer(HTTPStatus.OK, b"{}")

    def get_manifest(self, _request: Request, path: dict[str, str]) -> Answer:
        """Return the manifest that a tag or digest names."""
        found = self.store.manifest(path["name"], _reference(path["reference"]))
        if found is None:
            raise _RefusedError(HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN", "no such manifest")
        raw, media_type = found
        return Answer(HTTPStatus.OK, raw, media_type, (("Docker-Content-Digest", str(Digest.of(raw))),))

    def put_manifest(self, request: Request, path: dict[str, str]) -> Answer:
        """Keep a manifest; the OCI-Subject header says that its subject was understood."""
        raw, reference = request.body, _reference(path["reference"])
        subject = _subject(raw)
        if isinstance(reference, Digest) and reference != Digest.of(raw):
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID", "the manifest has another digest")
        tag = None if isinstance(reference, Digest) else reference
        digest = self.store.push_manifest(path["name"], raw, request.media_type or OCI_MANIFEST, tag=tag)
        understood = () if subject is None or not self.referrers_api else (("OCI-Subject", str(subject)),)
        return Answer(HTTPStatus.CREATED, headers=(*_content(path["name"], "manifests", digest), *understood))

    def get_blob(self, _request: Request, path: dict[str, str]) -> Answer:
        """Return a blob."""
        data = self.store.blob(path["name"], Digest.parse(path["digest"]))
        if data is None:
            raise _RefusedError(HTTPStatus.NOT_FOUND, "BLOB_UNKNOWN", "no such blob")
        return Answer(HTTPStatus.OK, data, "application/octet-stream", (("Docker-Content-Digest", path["digest"]),))

    def get_tags(self, _request: Request, path: dict[str, str]) -> Answer:
        """Return the tags of a repository."""
        tags = self.store.tags(path["name"])
        if tags is None:
            raise _RefusedError(HTTPStatus.NOT_FOUND, "NAME_UNKNOWN", "no such repository")
        return Answer(HTTPStatus.OK, compact({"name": path["name"], "tags": list(tags)}))

    def get_referrers(self, request: Request, path: dict[str, str]) -> Answer:
        """Return the manifests whose subject is the digest, or 404 where there is no such API."""
        if not self.referrers_api:
            raise _RefusedError(HTTPStatus.NOT_FOUND, "UNSUPPORTED", "no referrers API here")
        found = self.store.referrers(path["name"], Digest.parse(path["digest"]))
        wanted = request.query.get("artifactType")
        headers = () if wanted is None else (("OCI-Filters-Applied", "artifactType"),)
        listed = [descriptor_fields(item) for item in found if wanted is None or item.artifact_type == wanted]
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}
        return Answer(HTTPStatus.OK, compact(index), OCI_INDEX, headers)

    def start_upload(self, request: Request, path: dict[str, str]) -> Answer:
        """Begin an upload, or take a whole blob in one request."""
        if "digest" in request.query:
            return self._finish(path["name"], request.body, request.query["digest"])
        upload = str(uuid.uuid4())
        with self._lock:
            self._uploads[upload] = b""
            while len(self._uploads) > UPLOADS:
                self._uploads.popitem(last=False)
        return _progress(path["name"], upload, 0, HTTPStatus.ACCEPTED)

    def append_upload(self, request: Request, path: dict[str, str]) -> Answer:
        """Add one chunk to an upload, in order."""
        with self._lock:
            data = self._upload(path["upload"])
            start = request.content_range.partition("-")[0]
            if start and start != str(len(data)):
                raise _RefusedError(
                    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID", "the chunk is out of order"
                )
            if len(data) + len(request.body) > BLOB_BYTES:
                raise _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "SIZE_INVALID", "the blob is too large")
            self._uploads[path["upload"]] = data + request.body
            return _progress(path["name"], path["upload"], len(data) + len(request.body), HTTPStatus.ACCEPTED)

    def finish_upload(self, request: Request, path: dict[str, str]) -> Answer:
        """Complete an upload with what is left of the blob."""
        with self._lock:
            data = self._upload(path["upload"]) + request.body
            answer = self._finish(path["name"], data, request.query.get("digest", ""))
            del self._uploads[path["upload"]]
            return answer

    def get_upload(self, _request: Request, path: dict[str, str]) -> Answer:
        """Say how much of an upload has arrived."""
        with self._lock:
            size = len(self._upload(path["upload"]))
        return _progress(path["name"], path["upload"], size, HTTPStatus.NO_CONTENT)

    def cancel_upload(self, _request: Request, path: dict[str, str]) -> Answer:
        """Forget an upload."""
        with self._lock:
            self._upload(path["upload"])
            del self._uploads[path["upload"]]
        return Answer(HTTPStatus.NO_CONTENT)

    def _upload(self, upload: str) -> bytes:
        if upload not in self._uploads:
            raise _RefusedError(HTTPStatus.NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "no such upload")
        return self._uploads[upload]

    def _finish(self, name: str, data: bytes, digest: str) -> Answer:
        if digest != str(Digest.of(data)):
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID", "the blob has another digest")
        return Answer(HTTPStatus.CREATED, headers=_content(name, "blobs", self.store.push_blob(name, data)))


_Endpoint = Callable[[Registry, Request, dict[str, str]], Answer]
_ROUTES: Final[tuple[tuple[re.Pattern[str], dict[str, _Endpoint]], ...]] = (
    (re.compile(r"/v2/"), {"GET": Registry.ping}),
    (
        re.compile(rf"/v2/{_NAME}/manifests/(?P<reference>[^/]+)", re.ASCII),
        {"GET": Registry.get_manifest, "PUT": Registry.put_manifest},
    ),
    (re.compile(rf"/v2/{_NAME}/blobs/uploads/?", re.ASCII), {"POST": Registry.start_upload}),
    (
        re.compile(rf"/v2/{_NAME}/blobs/uploads/(?P<upload>[0-9a-f-]{{36}})", re.ASCII),
        {
            "GET": Registry.get_upload,
            "PATCH": Registry.append_upload,
            "PUT": Registry.finish_upload,
            "DELETE": Registry.cancel_upload,
        },
    ),
    (re.compile(rf"/v2/{_NAME}/blobs/(?P<digest>[^/]+)", re.ASCII), {"GET": Registry.get_blob}),
    (re.compile(rf"/v2/{_NAME}/referrers/(?P<digest>[^/]+)", re.ASCII), {"GET": Registry.get_referrers}),
    (re.compile(rf"/v2/{_NAME}/tags/list", re.ASCII), {"GET": Registry.get_tags}),
)


def _route(request: Request) -> tuple[_Endpoint, dict[str, str]]:
    for pattern, endpoints in _ROUTES:
        match = pattern.fullmatch(request.path)
        if match is not None:
            endpoint = endpoints.get("GET" if request.method == "HEAD" else request.method)
            if endpoint is None:
                raise _RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, "UNSUPPORTED", "no such method here")
            return endpoint, match.groupdict()
    raise _RefusedError(HTTPStatus.NOT_FOUND, "NAME_UNKNOWN", "no such endpoint")


def _subject(raw: bytes) -> Digest | None:
    subject = strictjson.loads_object(raw, limit=limits.MANIFEST_BYTES).get("subject")
    return None if subject is None else Descriptor.parse(subject, "the manifest's subject").digest


def _reference(text: str) -> str | Digest:
    if _TAG.fullmatch(text):
        return text
    return Digest.parse(text)


def _content(name: str, kind: str, digest: Digest) -> tuple[tuple[str, str], ...]:
    return (("Location", f"/v2/{name}/{kind}/{digest}"), ("Docker-Content-Digest", str(digest)))


def _progress(name: str, upload: str, size: int, status: HTTPStatus) -> Answer:
    where = ("Location", f"/v2/{name}/blobs/uploads/{upload}")
    return Answer(status, headers=(where, ("Range", f"0-{max(size - 1, 0)}"), ("Docker-Upload-UUID", upload)))


def refusal(status: HTTPStatus, code: str, message: str) -> Answer:
    """Return the body that the specification gives an error."""
    return Answer(status, compact({"errors": [{"code": code, "message": message}]}))
